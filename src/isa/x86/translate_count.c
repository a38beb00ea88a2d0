/* SPDX-License-Identifier: MIT */
/*
 * What translated code did and where time went: see translate_count.h.
 *
 * Counters are never reused, so that code may be evicted without a thought of them; 4 million stretches are more than a cache
 * of any size holds, and take some rebuilding of it to be used up.
 */
#include "isa/x86/translate_count.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "isa/x86/translate_emit.h"

struct x86_counts *x86_counts_new(void)
{
    struct x86_counts *counts = calloc(1, sizeof(*counts));
    if (!counts)
        return NULL;
    void *mem = mmap(NULL, STRETCHES_MAX * sizeof(*counts->stretch), PROT_READ | PROT_WRITE,
                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (mem == MAP_FAILED) {
        free(counts);
        return NULL;
    }
    counts->stretch = mem;
    return counts;
}

void x86_counts_free(struct x86_counts *counts)
{
    if (!counts)
        return;
    (void)munmap(counts->stretch, STRETCHES_MAX * sizeof(*counts->stretch)); /* our own mapping */
    free(counts);
}

/* What was emitted since the last stretch began is its. */
static void close_stretch(struct xl *x)
{
    struct x86_counts *counts = x->code->counts;
    if (x->counting && counts->nr <= STRETCHES_MAX) {
        counts->stretch[counts->nr - 1].use = x->use;
        counts->stretch[counts->nr - 1].use.insns = (uint16_t)(x->k - x->counted_from);
    }
    memset(&x->use, 0, sizeof(x->use));
}

void x86_count_block(struct xl *x)
{
    x->counting = false;
    memset(&x->use, 0, sizeof(x->use));
    x->code->counts->blocks++;
}

void x86_count_stretch(struct xl *x)
{
    struct x86_counts *counts = x->code->counts;
    close_stretch(x);
    x->counting = true;
    x->counted_from = x->k;
    if (counts->nr++ >= STRETCHES_MAX)
        return;
    struct x86_stretch *s = &counts->stretch[counts->nr - 1];
    *s = (struct x86_stretch){ .lin = (x->c->rip & GPAGE_MASK) + x->at[x->k],
                               .block = counts->blocks - 1,
                               .bank = (uint8_t)x->bank };
    asm_mov_imm(x->cb, HOST_R11, (uint64_t)(uintptr_t)&s->runs);
    asm_load(x->cb, 8, HOST_RCX, host_mem(HOST_R11, 0));
    xl_lea(x, 8, H_RCX, H_RCX, H_RSP, 1, 1);
    asm_store(x->cb, 8, host_mem(HOST_R11, 0), HOST_RCX);
}

void x86_count_end(struct xl *x)
{
    x->k++;
    close_stretch(x);
}

static unsigned counted(const struct x86_counts *counts)
{
    return counts->nr < STRETCHES_MAX ? counts->nr : STRETCHES_MAX;
}

uint64_t x86_counts_insns(const struct x86_counts *counts)
{
    uint64_t sum = 0;
    for (unsigned k = 0; k < counted(counts); k++)
        sum += counts->stretch[k].runs * counts->stretch[k].use.insns;
    return sum;
}

static int count_lines(const struct x86_counts *counts, const uint64_t misses[2], char *text, size_t cap)
{
    uint64_t sum[2][X86_CHECK_NR] = { { 0 } }, runs = 0;
    for (unsigned k = 0; k < counted(counts); k++) {
        const struct x86_stretch *s = &counts->stretch[k];
        runs += s->runs;
        for (unsigned a = X86_READ; a <= X86_WRITE; a++)
            for (unsigned n = 0; n < X86_CHECK_NR; n++)
                sum[a][n] += s->runs * s->use.checks[a][n];
    }
    uint64_t hits[2];
    for (unsigned a = X86_READ; a <= X86_WRITE; a++) {
        uint64_t checks = sum[a][X86_CHECK_SITE] + sum[a][X86_CHECK_TABLE] + sum[a][X86_CHECK_QUIET];
        hits[a] = checks > misses[a] ? checks - misses[a] : 0;
    }
    const uint64_t *r = sum[X86_READ], *w = sum[X86_WRITE];
    return snprintf(text, cap,
                    "bt_insns_executed %" PRIu64 "\nbt_stretches_executed %" PRIu64 "\nbt_stretches_not_counted %u\n"
                    "bt_checks_read_site %" PRIu64 "\nbt_checks_read_table %" PRIu64 "\nbt_checks_read_quiet %" PRIu64
                    "\nbt_checks_write_site %" PRIu64 "\nbt_checks_write_table %" PRIu64 "\nbt_checks_write_quiet %" PRIu64
                    "\nbt_grouped_reads %" PRIu64 "\nbt_grouped_writes %" PRIu64 "\nbt_tlb_hits_read %" PRIu64
                    "\nbt_tlb_hits_write %" PRIu64 "\n",
                    x86_counts_insns(counts), runs, counts->nr - counted(counts), r[X86_CHECK_SITE], r[X86_CHECK_TABLE],
                    r[X86_CHECK_QUIET], w[X86_CHECK_SITE], w[X86_CHECK_TABLE], w[X86_CHECK_QUIET], r[X86_CHECK_GROUPED],
                    w[X86_CHECK_GROUPED], hits[X86_READ], hits[X86_WRITE]);
}

static int time_lines(const struct x86_clock *clock, char *text, size_t cap)
{
    const double hz = (double)clock_host_tsc_hz();
    return snprintf(
        text, cap,
        "bt_seconds_translated_code %.3f\nbt_seconds_misses %.3f\nbt_seconds_light_calls %.3f\nbt_seconds_callouts %.3f\n"
        "bt_seconds_interpreting %.3f\nbt_seconds_translating %.3f\nbt_seconds_run_loop %.3f\n"
        "bt_seconds_outside %.3f\n",
        (double)clock->ticks[X86_PART_CODE] / hz, (double)clock->ticks[X86_PART_MISS] / hz,
        (double)clock->ticks[X86_PART_LIGHT] / hz, (double)clock->ticks[X86_PART_CALLOUT] / hz,
        (double)clock->ticks[X86_PART_INTERPRET] / hz, (double)clock->ticks[X86_PART_TRANSLATE] / hz,
        (double)clock->ticks[X86_PART_LOOP] / hz, (double)clock->ticks[X86_PART_OUTSIDE] / hz);
}

size_t x86_count_stats(const struct x86_counts *counts, const struct x86_clock *clock, const uint64_t misses[2], char *text,
                       size_t cap)
{
    int n = counts ? count_lines(counts, misses, text, cap) : 0;
    size_t at = n < 0 ? 0 : (size_t)n;
    if (at < cap && clock) {
        n = time_lines(clock, text + at, cap - at);
        at += n < 0 ? 0 : (size_t)n;
    }
    return at < cap ? at : cap - 1;
}
