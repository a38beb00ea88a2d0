/* SPDX-License-Identifier: MIT */
/*
 * The laboratory of `doppel classify x86-64`: see lab.h.
 */
#include "classify/x86/lab.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "classify/x86/encodings.h"
#include "classify/x86/parts.h"
#include "classify/x86/states.h"
#include "isa/x86/disasm.h"
#include "isa/x86/seg.h"
#include "isa/x86/translate_emit.h"
#include "isa/x86/trap.h"

enum { LINE = 64 };

struct lab {
    struct x86_world world[2];
    struct encodings_row *encodings; /* owned */
    bool umip;
    struct x86_insn insn;  /* of the pair made last */
    unsigned second_world; /* where its second side runs */
};

static void lab_free(void *opaque)
{
    struct lab *l = opaque;
    x86_world_done(&l->world[0]);
    x86_world_done(&l->world[1]);
    free(l->encodings);
    free(l);
}

static int lab_new(bool umip, void **ret_lab, struct error *err)
{
    struct lab *l = aligned_alloc(LINE, ALIGN_UP(sizeof(*l), (size_t)LINE));
    if (!l)
        return error_set(err, -ENOMEM, "out of memory for two small machines");
    memset(l, 0, sizeof(*l));
    l->umip = umip;
    int r = x86_world_init(&l->world[0], 0, err);
    if (r >= 0)
        r = x86_world_init(&l->world[1], 1, err);
    if (r >= 0 && !(l->encodings = encodings_new()))
        r = error_set(err, -ENOMEM, "out of memory for encodings");
    if (r < 0) {
        lab_free(l);
        return r;
    }
    *ret_lab = l;
    return 0;
}

struct x86_world *x86_lab_world(struct experiment *e, unsigned n)
{
    return &((struct lab *)experiment_lab(e))->world[n];
}

const struct encodings_row *x86_lab_encodings(struct experiment *e)
{
    return ((struct lab *)experiment_lab(e))->encodings;
}

/* ---- instructions ---- */

static unsigned nr_subjects(void *lab)
{
    (void)lab;
    return x86_nr_rows;
}

/* The part of the name before '/', in lower case: "PUSHF/PUSHFD/PUSHFQ" has operand sizes in one row. */
static void name_of(unsigned row, char *name, size_t cap)
{
    size_t n = 0;
    for (const char *p = x86_rows[row].name; *p && *p != '/' && n + 1 < cap; p++)
        name[n++] = (char)tolower((unsigned char)*p);
    name[n] = 0;
}

/* Whether the translator has the host execute some form of the row as it stands. */
static bool is_copied(const struct encodings_row *rows)
{
    for (unsigned n = 0; n < rows->nr; n++) {
        uint8_t bytes[X86_INSN_MAX] = { 0 };
        struct x86_insn i;
        memcpy(bytes, rows->e[n].bytes, rows->e[n].len);
        if (rows->mode == X86_MODE_64 && x86_decode(bytes, X86_INSN_MAX, X86_MODE_64, &i) > 0 && xl_kind(&i) != XL_OTHER)
            return true;
    }
    return false;
}

static void subject(void *opaque, unsigned n, struct classify_insn *insn)
{
    struct lab *l = opaque;
    insn->row = (uint16_t)n;
    name_of(n, insn->name, sizeof(insn->name));
    insn->skipped = !l->encodings[n].nr;
    insn->copied = is_copied(&l->encodings[n]);
}

/* ---- pairs ---- */

static bool make(void *opaque, const struct experiment_id *id, void *const ret_state[2])
{
    struct lab *l = opaque;
    struct x86_world *const worlds[2] = { &l->world[0], &l->world[1] };
    struct x86_world_state *const states[2] = { ret_state[0], ret_state[1] };
    return x86_states_make(worlds, &l->encodings[id->subject], id, l->umip, states, &l->second_world, &l->insn);
}

static void run(void *opaque, unsigned side, const void *from, struct experiment_outcome *o, void *ret_state)
{
    struct lab *l = opaque;
    x86_world_run(&l->world[side ? l->second_world : 0], from, o, ret_state);
}

static bool is_user(const void *state)
{
    return ((const struct x86_world_state *)state)->cpu.seg[SEG_SS].attr & SEG_DPL;
}

/* ---- words ---- */

static void outcome_text(const struct experiment_outcome *o, char *text, size_t cap)
{
    static const char *const names[32] = {
        [X86_DE] = "#DE", [X86_DB] = "#DB", [X86_BR] = "#BR", [X86_UD] = "#UD", [X86_NM] = "#NM",
        [X86_TS] = "#TS", [X86_NP] = "#NP", [X86_SS] = "#SS", [X86_GP] = "#GP", [X86_PF] = "#PF",
        [X86_MF] = "#MF", [X86_AC] = "#AC", [X86_XM] = "#XM"
    };
    const char *name = names[o->cause & 31] ? names[o->cause & 31] : "trap";
    if (!o->trapped)
        (void)snprintf(text, cap, "completed");
    else if (o->has_error)
        (void)snprintf(text, cap, "%s(%#" PRIx32 ")", name, o->error);
    else
        (void)snprintf(text, cap, "%s", name);
}

static void describe(void *opaque, struct classify_witness *w)
{
    const struct x86_insn *i = &((struct lab *)opaque)->insn;
    size_t at = 0;
    x86_disasm(i, WORLD_RIP, w->text, sizeof(w->text));
    for (unsigned n = 0; n < i->len; n++)
        at += (size_t)snprintf(w->bytes + at, sizeof(w->bytes) - at, n ? " %02x" : "%02x", i->bytes[n]);
}

/* Registers among the operands, then the base of what is in memory. */
static const char *operand(void *opaque, unsigned n)
{
    static const char *const gpr[16] = { "rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi",
                                         "r8",  "r9",  "r10", "r11", "r12", "r13", "r14", "r15" };
    const struct x86_insn *i = &((struct lab *)opaque)->insn;
    for (unsigned k = 0; k < i->nr_opnds; k++)
        if (i->op[k].kind == OPND_REG && n-- == 0)
            return gpr[i->op[k].reg & 15];
    return n == 0 && i->base < 16 ? gpr[i->base] : NULL;
}

static void setting(void *opaque, char *text, size_t cap)
{
    (void)snprintf(text, cap, "IOPL 0, no I/O permissions, CR4.TSD set, CR4.UMIP %s",
                   ((struct lab *)opaque)->umip ? "set" : "clear");
}

const struct experiment_isa x86_lab_isa = {
    .name = "x86-64",
    .option = "umip",
    .fields = &x86_parts,
    .kinds = x86_states_kinds,
    .nr_kinds = VARY_NR,
    .state_size = sizeof(struct x86_world_state),
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
