/* SPDX-License-Identifier: MIT */
/*
 * Leveled log lines to stderr, each in one write(2) so that lines of different threads do not mix.
 */
#include "base/log.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <termios.h>
#include <unistd.h>

enum { LINE_MAX_BYTES = 512 };

static enum log_level max_level = LOG_LEVEL_WARN;

static const char *const level_name[] = {
    [LOG_LEVEL_ERR] = "error",
    [LOG_LEVEL_WARN] = "warning",
    [LOG_LEVEL_INFO] = "info",
    [LOG_LEVEL_DEBUG] = "debug",
};

/* A terminal without output processing needs the carriage return from us. */
static bool terminal_is_raw(void)
{
    struct termios t;
    return tcgetattr(STDERR_FILENO, &t) == 0 && !(t.c_oflag & OPOST);
}

void log_set_level(enum log_level level)
{
    max_level = level;
}

void log_line(enum log_level level, const char *fmt, ...)
{
    if (level > max_level)
        return;
    char line[LINE_MAX_BYTES];
    const int cap = LINE_MAX_BYTES - 2; /* room for the line's end */
    int len = snprintf(line, cap, "doppel: [%s] ", level_name[level]);
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(line + len, cap - len, fmt, ap);
    va_end(ap);
    if (n > 0)
        len = n < cap - len ? len + n : cap - 1;
    for (int i = 0; i < len; i++)
        if ((unsigned char)line[i] < 0x20 || line[i] == 0x7f)
            line[i] = '?';
    if (terminal_is_raw())
        line[len++] = '\r';
    line[len++] = '\n';
    if (write(STDERR_FILENO, line, len) < 0)
        return; /* nowhere left to complain */
}

_Bool log_limit_pass(struct log_limit *limit, unsigned burst)
{
    if (limit->seen >= burst)
        return 0;
    limit->seen++;
    return 1;
}
