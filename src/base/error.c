/* SPDX-License-Identifier: MIT */
/*
 * The error convention: formatting, prefixing and keeping the message one line.
 *
 * Messages may quote file names and guest text, so every control character becomes '?' before anybody prints it.
 */
#include "base/error.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/checked.h"

static void make_one_line(char *msg)
{
    for (; *msg; msg++)
        if ((unsigned char)*msg < 0x20 || *msg == 0x7f)
            *msg = '?';
}

int error_set(struct error *err, int code, const char *fmt, ...)
{
    if (!err)
        return code;
    va_list ap;
    va_start(ap, fmt);
    err->code = code;
    (void)vsnprintf(err->msg, sizeof(err->msg), fmt, ap); /* cut when too long, as declared */
    va_end(ap);
    make_one_line(err->msg);
    return code;
}

/* Shortens a context so that it leaves room for the fact behind it: a long file name must not hide what is wrong with it. */
static size_t make_room(char *context, size_t len, size_t fact, size_t room)
{
    static const char dots[] = "...";
    size_t keep = room - MIN(fact, room / 2);
    if (len <= keep)
        return len;
    memcpy(context + keep - strlen(dots), dots, sizeof(dots));
    return keep;
}

int error_prefix(struct error *err, const char *fmt, ...)
{
    if (!err)
        return -EIO;
    char text[2 * sizeof(err->msg)];
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(text, sizeof(err->msg), fmt, ap);
    va_end(ap);
    size_t at = n < 0 ? 0 : make_room(text, strlen(text), strlen(err->msg), sizeof(err->msg) - sizeof(": "));
    (void)snprintf(text + at, sizeof(text) - at, ": %s", err->msg);
    text[sizeof(err->msg) - 1] = '\0'; /* cut when too long, as declared */
    memcpy(err->msg, text, sizeof(err->msg));
    make_one_line(err->msg);
    return err->code ? err->code : -EIO;
}
