/* SPDX-License-Identifier: MIT */
/*
 * What the translator made, for people: a listing of guest and host instructions, counts, and a map for perf(1).
 *
 * Guest instructions are shown as our decoder understood them, host code as Zydis does: both sides of a translation, by
 * different eyes. Counts are translate_count.h's.
 * Spec: tools/perf/Documentation/jit-interface.txt of Linux (the map)
 */
#include "isa/x86/translate_log.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <Zydis/Zydis.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "isa/x86/disasm.h"
#include "isa/x86/translate_emit.h"

enum { HOT_SHOWN = 1000, LOG_PATH_MAX = 4096, BYTES_SHOWN = 11 };

struct x86_code_log {
    FILE *listing, *map, *hot; /* owned */
    unsigned cpu;
    ZydisDecoder decoder;
    ZydisFormatter formatter;
};

static const char *const BANK_NAME[X86_BANK_NR] = { "user", "kernel", "kernel-ac" };

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

int x86_code_log_new(const char *dir, unsigned cpu, struct x86_code_log **ret_log, struct error *err)
{
    struct x86_code_log *log = calloc(1, sizeof(*log));
    if (!log)
        return error_set(err, -ENOMEM, "out of memory for --trace-code");
    log->cpu = cpu;
    int r = 0;
    if (mkdir(dir, 0777) < 0 && errno != EEXIST)
        r = error_set(err, -errno, "--trace-code: cannot make the folder %s: %s", dir, strerror(errno));
    if (r == 0)
        r = open_in(dir, cpu, "lst", &log->listing, err);
    if (r == 0)
        r = open_in(dir, cpu, "hot", &log->hot, err);
    if (r == 0)
        r = open_map(cpu, &log->map, err);
    if (r < 0) {
        x86_code_log_free(log, NULL);
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

static uint64_t weight(const struct x86_stretch *s)
{
    return s->runs * s->use.insns;
}

/* By instructions executed, most first. */
static int by_weight(const void *a, const void *b)
{
    const struct x86_stretch *const *x = a, *const *y = b;
    uint64_t wx = weight(*x), wy = weight(*y);
    return wx < wy ? 1 : wx > wy ? -1 : 0;
}

static void write_hot(struct x86_code_log *log, const struct x86_counts *counts)
{
    unsigned nr = counts->nr < STRETCHES_MAX ? counts->nr : STRETCHES_MAX;
    AUTO_FREE const struct x86_stretch **order = calloc(nr + 1, sizeof(struct x86_stretch *));
    uint64_t all = x86_counts_insns(counts), sum = 0;
    if (!order)
        return;
    for (unsigned k = 0; k < nr; k++)
        order[k] = &counts->stretch[k];
    qsort(order, nr, sizeof(order[0]), by_weight);
    (void)fprintf(log->hot, "# %" PRIu64 " instructions in %u stretches of %u blocks; the most executed first\n", all, nr,
                  counts->blocks);
    (void)fprintf(log->hot, "#%6s %6s %14s %6s  %s\n", "share", "sum", "runs", "insns", "block, stretch");
    for (unsigned k = 0; k < nr && k < HOT_SHOWN && order[k]->runs; k++) {
        const struct x86_stretch *s = order[k];
        sum += weight(s);
        (void)fprintf(log->hot, "%6.2f%% %5.1f%% %14" PRIu64 " %6u  #%u %s 0x%" PRIx64 "\n",
                      100.0 * (double)weight(s) / (double)all, 100.0 * (double)sum / (double)all, s->runs, s->use.insns, s->block,
                      BANK_NAME[s->bank], s->lin);
    }
}

void x86_code_log_free(struct x86_code_log *log, const struct x86_counts *counts)
{
    if (!log)
        return;
    if (log->hot && counts)
        write_hot(log, counts);
    close_file(log->listing, "listing");
    close_file(log->hot, "list of hot blocks");
    close_file(log->map, "map for perf");
    free(log);
}

/* ---- the listing ---- */

/* One host instruction at code[pos]; returns its length. */
static size_t list_host(struct x86_code_log *log, const struct codebuf *cb, size_t pos, size_t end)
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

static void list_range(struct x86_code_log *log, const struct codebuf *cb, size_t pos, size_t end)
{
    while (pos < end)
        pos += list_host(log, cb, pos, end);
}

static void map_line(struct x86_code_log *log, const uint8_t *begin, const uint8_t *end, const char *name)
{
    (void)fprintf(log->map, "%" PRIxPTR " %zx %s\n", (uintptr_t)begin, (size_t)(end - begin), name);
}

void x86_code_log_stub(struct x86_code *code, const char *name, const uint8_t *begin, const uint8_t *end)
{
    struct x86_code_log *log = code->log;
    char text[64];
    (void)snprintf(text, sizeof(text), "doppel stub %s", name);
    map_line(log, begin, end, text);
    (void)fprintf(log->listing, "\n%s\n", text);
    list_range(log, &code->cb, (size_t)(begin - code->cb.rx), (size_t)(end - code->cb.rx));
}

static const char *tail_name(const struct tail *t)
{
    switch (t->kind) {
    case TAIL_MISS: return "miss";
    case TAIL_SITE: return "miss of a site";
    case TAIL_BAIL: return "bail";
    case TAIL_EXIT: return t->link ? "exit that may be linked" : "exit";
    case TAIL_CROSS: return "exit to another page that may be linked";
    }
    return "";
}

static void list_body(struct xl *x, const struct x86_native *n)
{
    struct x86_code_log *log = x->code->log;
    gva_t page = x->c->rip & GPAGE_MASK;
    size_t at = x->inner + x->starts[0].code, end = (size_t)(n->end - x->cb->rx);
    list_range(log, x->cb, (size_t)(n->jump_entry - x->cb->rx), at);
    for (unsigned k = 0; k < x->nr; k++) {
        char text[X86_DISASM_MAX];
        size_t next = k + 1 < x->nr ? x->inner + x->starts[k + 1].code : end;
        x86_disasm(x->insn[k], page + x->at[k], text, sizeof(text));
        (void)fprintf(log->listing, "    0x%" PRIx64 "  %s\n", page + x->at[k], text);
        list_range(log, x->cb, at, next);
        at = next;
    }
    end = (size_t)((const uint8_t *)n->starts - x->cb->rx);
    for (unsigned k = 0; k < x->nr_tails; k++) {
        size_t next = k + 1 < x->nr_tails ? x->tail[k + 1].begin : end;
        (void)fprintf(log->listing, "    %s, from %p\n", tail_name(&x->tail[k]), (const void *)(x->cb->rx + x->tail[k].from));
        list_range(log, x->cb, x->tail[k].begin, next);
    }
}

void x86_code_log_block(struct xl *x, const struct x86_native *n)
{
    struct x86_code_log *log = x->code->log;
    const struct x86_block *b = x->b;
    const uint8_t *cold_end = (const uint8_t *)n->starts;
    size_t hot = (size_t)(n->end - n->jump_entry), cold = (size_t)(cold_end - n->exit);
    char name[96];
    uint64_t ram = b->page << GPAGE_SHIFT | (b->key >> 4 & 0xfff);
    (void)snprintf(name, sizeof(name), "guest %s 0x%" PRIx64 " ram 0x%" PRIx64 " cpl %u", BANK_NAME[x->bank], x->c->rip, ram,
                   x->c->cpl);
    map_line(log, n->jump_entry, n->end, name);
    map_line(log, n->exit, cold_end, name);
    (void)fprintf(log->listing, "\n#%u %s: %u instructions (%u of the block), %zu bytes of host code and %zu out of line\n",
                  x->code->counts->blocks - 1, name, x->nr, b->nr, hot, cold);
    list_body(x, n);
}

void x86_code_log_reset(struct x86_code_log *log)
{
    (void)fprintf(log->listing, "\n---- all code was dropped ----\n");
}
