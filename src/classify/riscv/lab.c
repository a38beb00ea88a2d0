/* SPDX-License-Identifier: MIT */
/*
 * The laboratory of `doppel classify riscv64`: see lab.h.
 */
#include "classify/riscv/lab.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "classify/riscv/parts.h"
#include "classify/riscv/states.h"
#include "isa/riscv/disasm.h"
#include "isa/riscv/trap.h"

/* An instruction: a row, and which control registers with it. */
struct instruction {
    uint16_t row;
    const struct riscv_csrs *csrs; /* NULL: it names none; static */
};

struct lab {
    struct riscv_world world[2];
    struct instruction *instruction; /* owned */
    unsigned nr_instructions;
    bool open;
    struct riscv_insn insn; /* of the pair made last */
    const struct riscv_csrs *csrs;
    unsigned second_world; /* where its second side runs */
};

/* ---- making ---- */

static bool names_csr(unsigned row)
{
    return riscv_rows[row].format == RISCV_FMT_CSR || riscv_rows[row].format == RISCV_FMT_CSRI;
}

static int list_instructions(struct lab *l, struct error *err)
{
    unsigned max = riscv_nr_rows * riscv_nr_csrs;
    l->instruction = calloc(max, sizeof(*l->instruction));
    if (!l->instruction)
        return error_set(err, -ENOMEM, "out of memory for %u instructions", max);
    for (unsigned row = 0; row < riscv_nr_rows; row++) {
        unsigned forms = names_csr(row) ? riscv_nr_csrs : 1;
        for (unsigned n = 0; n < forms; n++)
            l->instruction[l->nr_instructions++] = (struct instruction){ (uint16_t)row, names_csr(row) ? &riscv_csrs[n] : NULL };
    }
    return 0;
}

static void lab_free(void *opaque)
{
    struct lab *l = opaque;
    riscv_world_done(&l->world[0]);
    riscv_world_done(&l->world[1]);
    free(l->instruction);
    free(l);
}

static int lab_new(bool open, void **ret_lab, struct error *err)
{
    struct lab *l = calloc(1, sizeof(*l));
    if (!l)
        return error_set(err, -ENOMEM, "out of memory for two small machines");
    l->open = open;
    int r = list_instructions(l, err);
    for (unsigned n = 0; n < 2 && r >= 0; n++)
        r = riscv_world_init(&l->world[n], n, open, err);
    if (r < 0) {
        lab_free(l);
        return r;
    }
    *ret_lab = l;
    return 0;
}

/* ---- instructions ---- */

static unsigned nr_subjects(void *opaque)
{
    return ((struct lab *)opaque)->nr_instructions;
}

static void subject(void *opaque, unsigned n, struct classify_insn *insn)
{
    const struct instruction *i = &((struct lab *)opaque)->instruction[n];
    insn->row = i->row;
    (void)snprintf(insn->name, sizeof(insn->name), i->csrs ? "%s %s" : "%s", riscv_rows[i->row].name,
                   i->csrs ? i->csrs->name : "");
}

/* ---- pairs ---- */

static bool make(void *opaque, const struct experiment_id *id, void *const ret_state[2])
{
    struct lab *l = opaque;
    const struct instruction *i = &l->instruction[id->subject];
    struct riscv_world *const worlds[2] = { &l->world[0], &l->world[1] };
    struct riscv_world_state *const states[2] = { ret_state[0], ret_state[1] };
    l->csrs = i->csrs;
    return riscv_states_make(worlds, i->row, i->csrs, id, states, &l->second_world, &l->insn);
}

static void run(void *opaque, unsigned side, const void *from, struct experiment_outcome *o, void *ret_state)
{
    struct lab *l = opaque;
    riscv_world_run(&l->world[side ? l->second_world : 0], &l->insn, from, o, ret_state);
}

static bool is_user(const void *state)
{
    return ((const struct riscv_world_state *)state)->cpu.priv == RISCV_U;
}

/* ---- words ---- */

static void outcome_text(const struct experiment_outcome *o, char *text, size_t cap)
{
    static const char *const names[] = {
        [RISCV_FETCH_MISALIGNED] = "misaligned jump",  [RISCV_FETCH_ACCESS_FAULT] = "fetch access fault",
        [RISCV_ILLEGAL] = "illegal instruction",       [RISCV_BREAKPOINT] = "breakpoint",
        [RISCV_LOAD_MISALIGNED] = "misaligned load",   [RISCV_LOAD_ACCESS_FAULT] = "load access fault",
        [RISCV_STORE_MISALIGNED] = "misaligned store", [RISCV_STORE_ACCESS_FAULT] = "store access fault",
        [RISCV_ECALL_U] = "call from U-mode",          [RISCV_ECALL_S] = "call from S-mode",
        [RISCV_FETCH_PAGE_FAULT] = "fetch page fault", [RISCV_LOAD_PAGE_FAULT] = "load page fault",
        [RISCV_STORE_PAGE_FAULT] = "store page fault",
    };
    const char *name = o->cause < ARRAY_SIZE(names) && names[o->cause] ? names[o->cause] : "trap";
    (void)snprintf(text, cap, "%s", o->trapped ? name : "completed");
}

/* "csrrs x5, 384, x0 (satp)" */
static void describe(void *opaque, struct classify_witness *w)
{
    const struct lab *l = opaque;
    size_t at = riscv_disasm(&l->insn, w->text, sizeof(w->text));
    if (l->csrs && at < sizeof(w->text)) {
        unsigned index = ((unsigned)l->insn.imm - l->csrs->first) / l->csrs->step;
        (void)snprintf(w->text + at, sizeof(w->text) - at, l->csrs->count > 1 ? " (%s, the %u. of them)" : " (%s)", l->csrs->name,
                       index + 1);
    }
    at = 0;
    for (unsigned n = 0; n < l->insn.len; n++)
        at += (size_t)snprintf(w->bytes + at, sizeof(w->bytes) - at, n ? " %02x" : "%02x", l->insn.bits >> (8 * n) & 0xff);
}

/* Registers, of the formats that instructions other than innocuous ones have. */
static const char *operand(void *opaque, unsigned n)
{
    static const char *const x[32] = { "x0",  "x1",  "x2",  "x3",  "x4",  "x5",  "x6",  "x7",  "x8",  "x9",  "x10",
                                       "x11", "x12", "x13", "x14", "x15", "x16", "x17", "x18", "x19", "x20", "x21",
                                       "x22", "x23", "x24", "x25", "x26", "x27", "x28", "x29", "x30", "x31" };
    const struct riscv_insn *i = &((struct lab *)opaque)->insn;
    switch ((enum riscv_format)riscv_rows[i->row].format) {
    case RISCV_FMT_CSR: return n < 2 ? x[n ? i->rs1 : i->rd] : NULL;
    case RISCV_FMT_CSRI: return n < 1 ? x[i->rd] : NULL;
    case RISCV_FMT_SF: return n < 2 ? x[n ? i->rs2 : i->rs1] : NULL;
    case RISCV_FMT_CBO: return n < 1 ? x[i->rs1] : NULL;
    default: return NULL;
    }
}

static void setting(void *opaque, char *text, size_t cap)
{
    (void)snprintf(text, cap,
                   ((struct lab *)opaque)->open ? "scounteren opens all counters, senvcfg all cache-block operations"
                                                : "scounteren 0, senvcfg 0");
}

const struct experiment_isa riscv_lab_isa = {
    .name = "riscv64",
    .option = "open",
    .fields = &riscv_parts,
    .kinds = riscv_states_kinds,
    .nr_kinds = VARY_NR,
    .state_size = sizeof(struct riscv_world_state),
    .lab_new = lab_new,
    .lab_free = lab_free,
    .nr_subjects = nr_subjects,
    .subject = subject,
    .make = make,
    .run = run,
    .is_user = is_user,
    .outcome_text = outcome_text,
    .describe = describe,
    .operand = operand,
    .setting = setting,
};
