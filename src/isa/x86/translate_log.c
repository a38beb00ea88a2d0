/* SPDX-License-Identifier: MIT */
/*
 * What the translator made, for people: a listing of guest and host instructions, and counts.
 *
 * Guest instructions are shown as our decoder understood them, host code as Zydis does: both sides of a translation, by
 * different eyes. Counts are translate_count.h's.
 */
#include "isa/x86/translate_log.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "isa/x86/disasm.h"
#include "isa/x86/translate_emit.h"

enum { HOT_SHOWN = 1000 };

static const char *const BANK_NAME[X86_BANK_NR] = { "user", "kernel", "kernel-ac" };

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

static void write_hot(FILE *hot, const struct x86_counts *counts)
{
    unsigned nr = counts->nr < STRETCHES_MAX ? counts->nr : STRETCHES_MAX;
    AUTO_FREE const struct x86_stretch **order = calloc(nr + 1, sizeof(struct x86_stretch *));
    uint64_t all = x86_counts_insns(counts), sum = 0;
    if (!order)
        return;
    for (unsigned k = 0; k < nr; k++)
        order[k] = &counts->stretch[k];
    qsort(order, nr, sizeof(order[0]), by_weight);
    (void)fprintf(hot, "# %" PRIu64 " instructions in %u stretches of %u blocks; the most executed first\n", all, nr,
                  counts->blocks);
    (void)fprintf(hot, "#%6s %6s %14s %6s  %s\n", "share", "sum", "runs", "insns", "block, stretch");
    for (unsigned k = 0; k < nr && k < HOT_SHOWN && order[k]->runs; k++) {
        const struct x86_stretch *s = order[k];
        sum += weight(s);
        (void)fprintf(hot, "%6.2f%% %5.1f%% %14" PRIu64 " %6u  #%u %s 0x%" PRIx64 "\n", 100.0 * (double)weight(s) / (double)all,
                      100.0 * (double)sum / (double)all, s->runs, s->use.insns, s->block, BANK_NAME[s->bank], s->lin);
    }
}

void x86_code_log_free(struct codelog *log, const struct x86_counts *counts)
{
    if (log && counts)
        write_hot(codelog_hot(log), counts);
    codelog_free(log);
}

/* ---- the listing ---- */

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
    struct codelog *log = x->code->log;
    gva_t page = x->c->rip & GPAGE_MASK;
    size_t at = x->inner + x->starts[0].code, end = (size_t)(n->end - x->cb->rx);
    codelog_range(log, x->cb, (size_t)(n->jump_entry - x->cb->rx), at);
    for (unsigned k = 0; k < x->nr; k++) {
        char text[X86_DISASM_MAX];
        size_t next = k + 1 < x->nr ? x->inner + x->starts[k + 1].code : end;
        x86_disasm(x->insn[k], page + x->at[k], text, sizeof(text));
        (void)fprintf(codelog_listing(log), "    0x%" PRIx64 "  %s\n", page + x->at[k], text);
        codelog_range(log, x->cb, at, next);
        at = next;
    }
    end = (size_t)((const uint8_t *)n->starts - x->cb->rx);
    for (unsigned k = 0; k < x->nr_tails; k++) {
        size_t next = k + 1 < x->nr_tails ? x->tail[k + 1].begin : end;
        (void)fprintf(codelog_listing(log), "    %s, from %p\n", tail_name(&x->tail[k]),
                      (const void *)(x->cb->rx + x->tail[k].from));
        codelog_range(log, x->cb, x->tail[k].begin, next);
    }
}

void x86_code_log_block(struct xl *x, const struct x86_native *n)
{
    struct codelog *log = x->code->log;
    const struct x86_block *b = x->b;
    const uint8_t *cold_end = (const uint8_t *)n->starts;
    size_t hot = (size_t)(n->end - n->jump_entry), cold = (size_t)(cold_end - n->exit);
    char name[96];
    uint64_t ram = b->page << GPAGE_SHIFT | (b->key >> 4 & 0xfff);
    (void)snprintf(name, sizeof(name), "guest %s 0x%" PRIx64 " ram 0x%" PRIx64 " cpl %u", BANK_NAME[x->bank], x->c->rip, ram,
                   x->c->cpl);
    codelog_map(log, n->jump_entry, n->end, name);
    codelog_map(log, n->exit, cold_end, name);
    (void)fprintf(codelog_listing(log),
                  "\n#%u %s: %u instructions (%u of the block), %zu bytes of host code and %zu out of line\n",
                  x->code->counts->blocks - 1, name, x->nr, b->nr, hot, cold);
    list_body(x, n);
}
