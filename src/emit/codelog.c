/* SPDX-License-Identifier: MIT */
/*
 * Files of a log of translated code, and host code as Zydis reads it: other eyes than the translator's.
 */
#include "emit/codelog.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <Zydis/Zydis.h>

#include "base/log.h"

enum { LOG_PATH_MAX = 4096, BYTES_SHOWN = 11 };

struct codelog {
    FILE *listing, *map, *hot; /* owned */
    ZydisDecoder decoder;
    ZydisFormatter formatter;
};

/* ---- life ---- */

/* A new file, never one that somebody else put there. */
static int open_new(const char *path, FILE **ret_file, struct error *err)
{
    (void)unlink(path); /* if it stays, open says why */
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_APPEND | O_CLOEXEC, 0600);
    *ret_file = fd >= 0 ? fdopen(fd, "a") : NULL;
    if (*ret_file)
        return 0;
    int r = error_set(err, -errno, "--trace-code: cannot write %s: %s", path, strerror(errno));
    if (fd >= 0)
        (void)close(fd);
    return r;
}

static int open_in(const char *dir, unsigned cpu, const char *suffix, FILE **ret_file, struct error *err)
{
    char path[LOG_PATH_MAX];
    int n = snprintf(path, sizeof(path), "%s/cpu%u.%s", dir, cpu, suffix);
    if (n < 0 || (size_t)n >= sizeof(path))
        return error_set(err, -ENAMETOOLONG, "--trace-code: %.60s...: the name is too long", dir);
    return open_new(path, ret_file, err);
}

static int open_map(unsigned cpu, FILE **ret_file, struct error *err)
{
    char path[64];
    (void)snprintf(path, sizeof(path), "/tmp/perf-%d.map", (int)getpid());
    if (cpu == 0)
        return open_new(path, ret_file, err);
    int fd = open(path, O_WRONLY | O_NOFOLLOW | O_APPEND | O_CLOEXEC);
    *ret_file = fd >= 0 ? fdopen(fd, "a") : NULL;
    return *ret_file ? 0 : error_set(err, -errno, "--trace-code: cannot write %s: %s", path, strerror(errno));
}

int codelog_new(const char *dir, unsigned cpu, bool hot, struct codelog **ret_log, struct error *err)
{
    struct codelog *log = calloc(1, sizeof(*log));
    if (!log)
        return error_set(err, -ENOMEM, "out of memory for --trace-code");
    int r = 0;
    if (mkdir(dir, 0777) < 0 && errno != EEXIST)
        r = error_set(err, -errno, "--trace-code: cannot make the folder %s: %s", dir, strerror(errno));
    if (r == 0)
        r = open_in(dir, cpu, "lst", &log->listing, err);
    if (r == 0 && hot)
        r = open_in(dir, cpu, "hot", &log->hot, err);
    if (r == 0)
        r = open_map(cpu, &log->map, err);
    if (r < 0) {
        codelog_free(log);
        return r;
    }
    (void)setvbuf(log->map, NULL, _IOLBF, 0); /* whole lines, whoever else appends */
    /* These fail only for bad arguments. */
    (void)ZydisDecoderInit(&log->decoder, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64);
    (void)ZydisFormatterInit(&log->formatter, ZYDIS_FORMATTER_STYLE_INTEL);
    *ret_log = log;
    return 0;
}

static void close_file(FILE *f, const char *what)
{
    if (!f)
        return;
    bool failed = ferror(f);
    if (fclose(f) != 0 || failed)
        log_warn("--trace-code: the %s is incomplete: %s", what, strerror(errno));
}

void codelog_free(struct codelog *log)
{
    if (!log)
        return;
    close_file(log->listing, "listing");
    close_file(log->hot, "list of hot blocks");
    close_file(log->map, "map for perf");
    free(log);
}

FILE *codelog_listing(struct codelog *log)
{
    return log->listing;
}

FILE *codelog_hot(struct codelog *log)
{
    return log->hot;
}

/* ---- the listing ---- */

/* One host instruction at code[pos]; returns its length. */
static size_t list_host(struct codelog *log, const struct codebuf *cb, size_t pos, size_t end)
{
    ZydisDecodedInstruction zi;
    ZydisDecodedOperand zo[ZYDIS_MAX_OPERAND_COUNT];
    char text[128] = "(bad)", bytes[2 * BYTES_SHOWN + 1];
    size_t len = 1;
    if (ZYAN_SUCCESS(ZydisDecoderDecodeFull(&log->decoder, cb->rw + pos, end - pos, &zi, zo))) {
        len = zi.length;
        (void)ZydisFormatterFormatInstruction(&log->formatter, &zi, zo, zi.operand_count_visible, text, sizeof(text),
                                              (uint64_t)(uintptr_t)(cb->rx + pos), NULL);
    }
    for (size_t k = 0; k < BYTES_SHOWN; k++)
        (void)snprintf(bytes + 2 * k, 3, k < len ? "%02x" : "  ", k < len ? cb->rw[pos + k] : 0);
    (void)fprintf(log->listing, "        %p  %s%c %s\n", (const void *)(cb->rx + pos), bytes, len > BYTES_SHOWN ? '+' : ' ',
                  text);
    return len;
}

void codelog_range(struct codelog *log, const struct codebuf *cb, size_t pos, size_t end)
{
    while (pos < end)
        pos += list_host(log, cb, pos, end);
}

void codelog_map(struct codelog *log, const uint8_t *begin, const uint8_t *end, const char *name)
{
    (void)fprintf(log->map, "%" PRIxPTR " %zx %s\n", (uintptr_t)begin, (size_t)(end - begin), name);
}

void codelog_stub(struct codelog *log, const struct codebuf *cb, const char *name, const uint8_t *begin, const uint8_t *end)
{
    char text[64];
    (void)snprintf(text, sizeof(text), "doppel stub %s", name);
    codelog_map(log, begin, end, text);
    (void)fprintf(log->listing, "\n%s\n", text);
    codelog_range(log, cb, (size_t)(begin - cb->rx), (size_t)(end - cb->rx));
}

void codelog_reset(struct codelog *log)
{
    (void)fprintf(log->listing, "\n---- all code was dropped ----\n");
}
