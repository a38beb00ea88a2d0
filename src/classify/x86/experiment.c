/* SPDX-License-Identifier: MIT */
/*
 * The experiments of `doppel classify x86-64`: see experiment.h.
 *
 * What decides, in the words of the paper: an instruction is privileged if it traps in user mode always, and not in supervisor
 * mode (where it is legal); control-sensitive if in any state it changed a resource without a trap;
 * behaviour-sensitive if two states that differ in mode or resources alone, neither of which traps, have different results. A
 * part of the state that is equal before must be equal after; what differed before says nothing. What two runs from the very same
 * state do not agree on (random numbers) says nothing either.
 */
#include "classify/x86/experiment.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "classify/x86/fields.h"
#include "classify/x86/states.h"
#include "isa/x86/disasm.h"
#include "isa/x86/seg.h"
#include "isa/x86/translate_emit.h"
#include "isa/x86/trap.h"

enum { FACTS_MAX = 20, SUPERVISOR = 0, USER = 1, ENOUGH = 4, PATIENCE = 32, REPEATS = 3 };
enum { CLASS_PRIVILEGED, CLASS_CONTROL, CLASS_LOCATION, CLASS_MODE }; /* bit numbers */

struct pair {
    struct world_state before[2];
    struct world_outcome after[2], again;
};

struct experiment {
    struct world world[2];
    struct pair pair;
    struct experiment_options options;
    struct encodings_row *encodings; /* owned */
};

int experiment_new(const struct experiment_options *o, struct experiment **ret_e, struct error *err)
{
    struct experiment *e = aligned_alloc(64, ALIGN_UP(sizeof(*e), (size_t)64));
    if (!e)
        return error_set(err, -ENOMEM, "out of memory for the experiments");
    memset(e, 0, sizeof(*e));
    e->options = *o;
    if (!e->options.pairs)
        e->options.pairs = EXPERIMENT_PAIRS;
    int r = world_init(&e->world[0], 0, err);
    if (r >= 0)
        r = world_init(&e->world[1], 1, err);
    if (r >= 0 && !(e->encodings = encodings_new()))
        r = error_set(err, -ENOMEM, "out of memory for encodings");
    if (r < 0) {
        experiment_free(e);
        return r;
    }
    *ret_e = e;
    return 0;
}

void experiment_free(struct experiment *e)
{
    if (!e)
        return;
    world_done(&e->world[0]);
    world_done(&e->world[1]);
    free(e->encodings);
    free(e);
}

struct world *experiment_world(struct experiment *e, unsigned n)
{
    return &e->world[n];
}

const struct encodings_row *experiment_encodings(const struct experiment *e)
{
    return e->encodings;
}

/* ---- one pair ---- */

static bool run_pair(struct experiment *e, const struct experiment_id *id, unsigned *ret_world, struct x86_insn *ret_insn)
{
    struct world *const worlds[2] = { &e->world[0], &e->world[1] };
    struct world_state *const states[2] = { &e->pair.before[0], &e->pair.before[1] };
    if (!states_make(worlds, &e->encodings[id->row], id, states, ret_world, ret_insn))
        return false;
    world_run(worlds[0], states[0], &e->pair.after[0]);
    world_run(worlds[*ret_world], states[1], &e->pair.after[1]);
    return true;
}

static bool is_resource(void *opaque, const struct difference *d)
{
    (void)opaque;
    return d->resource;
}

static bool is_any(void *opaque, const struct difference *d)
{
    (void)opaque, (void)d;
    return true;
}

static bool changed_resources(const struct world_state *before, const struct world_outcome *after)
{
    return !after->trapped
           && (after->flushes || fields_compare(before, &after->state, NULL, FIELDS_RESOURCES, is_resource, NULL));
}

/* Both completed and their results differ, though each would be the same a second time. */
static bool results_differ(struct experiment *e)
{
    struct pair *p = &e->pair;
    const struct world_state *const alike[2] = { &p->before[0], &p->before[1] };
    if (p->after[0].trapped || p->after[1].trapped
        || !fields_compare(&p->after[0].state, &p->after[1].state, alike, 0, is_any, NULL))
        return false;
    for (unsigned n = 0; n < REPEATS; n++) {
        world_run(&e->world[0], &p->before[0], &p->again);
        if (fields_compare(&p->after[0].state, &p->again.state, NULL, 0, is_any, NULL))
            return false;
    }
    return true;
}

/* ---- one row ---- */

/* A verdict in the making. */
struct verdict {
    struct classify_insn *insn;
    bool gate; /* so far, user mode changed resources only by entering the supervisor */
    bool user_completed;
};

static void decide(struct classify_insn *v, unsigned n, const struct experiment_id *id, unsigned side)
{
    if (v->classes >> n & 1)
        return;
    v->classes |= (uint8_t)(1U << n);
    v->decided[n].kind = id->kind;
    v->decided[n].number = id->number;
    v->decided[n].at = (uint8_t)side;
}

static void count(struct classify_counts *n, bool supervisor, bool user)
{
    n->pairs++;
    n->both += supervisor && user;
    n->supervisor_only += supervisor && !user;
    n->user_only += !supervisor && user;
    n->neither += !supervisor && !user;
}

/* Looks at changed resources on both sides. */
static void look_at_control(struct experiment *e, const struct experiment_id *id, struct verdict *t)
{
    for (unsigned side = 0; side < 2; side++) {
        const struct world_state *before = &e->pair.before[side];
        const struct world_outcome *after = &e->pair.after[side];
        if (!changed_resources(before, after))
            continue;
        decide(t->insn, CLASS_CONTROL, id, side);
        if (before->cpu.seg[SEG_SS].attr & SEG_DPL)
            t->gate &= after->state.cpu.cpl == 0;
    }
}

/* Numbers of pairs [from, to) of a kind. */
struct stretch {
    uint32_t from, to;
};

/* What completes rarely is tried for longer: a verdict is not to hang on one pair. */
static bool wants_more(const struct classify_insn *v, const struct experiment_id *id, const struct stretch *s)
{
    const struct classify_counts *n = &v->counts;
    return id->kind == VARY_MODE && s->from == 0 && id->number < s->to * PATIENCE
           && (n->both + n->user_only < ENOUGH || n->both + n->supervisor_only < ENOUGH);
}

static unsigned class_of(enum vary_kind kind)
{
    return kind >= VARY_PLACE ? CLASS_LOCATION : CLASS_MODE;
}

static void run_kind(struct experiment *e, unsigned row, enum vary_kind kind, struct stretch s, struct verdict *t)
{
    struct experiment_id id = { .seed = e->options.seed, .row = (uint16_t)row, .kind = kind, .umip = e->options.umip };
    struct classify_insn *v = t->insn;
    unsigned world;
    struct x86_insn i;
    for (id.number = s.from; id.number < s.to || wants_more(v, &id, &s); id.number++) {
        if (!run_pair(e, &id, &world, &i))
            continue;
        bool done[2] = { !e->pair.after[0].trapped, !e->pair.after[1].trapped };
        if (kind == VARY_MODE) {
            count(&v->counts, done[SUPERVISOR], done[USER]);
            t->user_completed |= done[USER];
            if (done[SUPERVISOR] && !done[USER])
                decide(v, CLASS_PRIVILEGED, &id, USER);
        } else {
            v->counts.others += done[0] && done[1];
        }
        v->never &= !done[0] && !done[1];
        look_at_control(e, &id, t);
        if (!(v->classes >> class_of(kind) & 1) && results_differ(e))
            decide(v, class_of(kind), &id, USER);
    }
}

/* All kinds of pairs; and once it is known to be sensitive, more of those that may say so in another way. */
static void run_kinds(struct experiment *e, unsigned row, struct verdict *t)
{
    static const uint8_t share[VARY_NR] = { [VARY_MODE] = 4,    [VARY_INTERRUPT] = 1, [VARY_CONTROL] = 7, [VARY_REGISTERS] = 1,
                                            [VARY_DEVICES] = 1, [VARY_PLACE] = 1,     [VARY_TABLES] = 5 };
    uint32_t pairs = e->options.pairs;
    for (unsigned kind = 0; kind < VARY_NR; kind++)
        run_kind(e, row, kind, (struct stretch){ 0, pairs * share[kind] }, t);
    if (!(t->insn->classes & CLASSIFY_SENSITIVE))
        return;
    for (unsigned kind = 0; kind < VARY_NR; kind++)
        for (uint32_t n = 1; n < PATIENCE && !(t->insn->classes >> class_of(kind) & 1); n++)
            run_kind(e, row, kind, (struct stretch){ pairs * share[kind] * n, pairs * share[kind] * (n + 1) }, t);
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

void experiment_row(struct experiment *e, unsigned row, struct classify_insn *v)
{
    struct verdict t = { .insn = v, .gate = true };
    memset(v, 0, sizeof(*v));
    v->row = (uint16_t)row;
    name_of(row, v->name, sizeof(v->name));
    v->skipped = !e->encodings[row].nr;
    v->never = true;
    if (v->skipped)
        return;
    run_kinds(e, row, &t);
    if (v->counts.both || v->counts.user_only)
        v->classes &= (uint8_t)~CLASSIFY_PRIVILEGED;
    v->gate = t.gate && t.user_completed && (v->classes & CLASSIFY_CONTROL);
    v->copied = is_copied(&e->encodings[row]);
}

int experiment_all(struct experiment *e, struct classify_result *r, struct error *err)
{
    struct classify_insn *insn = calloc(x86_nr_rows, sizeof(*insn));
    if (!insn)
        return error_set(err, -ENOMEM, "out of memory for %u verdicts", x86_nr_rows);
    for (unsigned n = 0; n < x86_nr_rows; n++)
        experiment_row(e, n, &insn[n]);
    *r = (struct classify_result){
        .isa = "x86-64", .seed = e->options.seed, .umip = e->options.umip, .nr = x86_nr_rows, .insn = insn
    };
    (void)snprintf(r->setting, sizeof(r->setting), "IOPL 0, no I/O permissions, CR4.TSD set, CR4.UMIP %s",
                   r->umip ? "set" : "clear");
    return 0;
}

/* ---- witnesses ---- */

struct facts {
    struct classify_witness *w;
    const struct pair *p;
    bool only_resources;
};

static bool add_fact(struct facts *f, const char *name)
{
    struct classify_witness *w = f->w;
    for (unsigned n = 0; n < w->nr_facts; n++)
        if (strcmp(w->fact[n].field, name) == 0)
            return false;
    if (w->nr_facts == FACTS_MAX) {
        w->more++;
        return false;
    }
    struct classify_fact *t = &w->fact[w->nr_facts++];
    (void)snprintf(t->field, sizeof(t->field), "%s", name);
    for (unsigned side = 0; side < 2; side++) {
        fields_value(&f->p->before[side], name, t->before[side], sizeof(t->before[side]));
        if (!f->p->after[side].trapped)
            fields_value(&f->p->after[side].state, name, t->after[side], sizeof(t->after[side]));
    }
    return false;
}

static bool add_difference(void *opaque, const struct difference *d)
{
    struct facts *f = opaque;
    return (d->resource || !f->only_resources) && add_fact(f, d->name);
}

/* The registers the instruction names. */
static void add_operands(struct facts *f, const struct x86_insn *i)
{
    static const char *const gpr[16] = { "rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi",
                                         "r8",  "r9",  "r10", "r11", "r12", "r13", "r14", "r15" };
    for (unsigned n = 0; n < i->nr_opnds; n++)
        if (i->op[n].kind == OPND_REG)
            (void)add_fact(f, gpr[i->op[n].reg & 15]);
    if (i->base < 16)
        (void)add_fact(f, gpr[i->base]);
}

static void outcome_text(const struct world_outcome *o, char *text, size_t cap)
{
    static const char *const names[32] = {
        [X86_DE] = "#DE", [X86_DB] = "#DB", [X86_BR] = "#BR", [X86_UD] = "#UD", [X86_NM] = "#NM",
        [X86_TS] = "#TS", [X86_NP] = "#NP", [X86_SS] = "#SS", [X86_GP] = "#GP", [X86_PF] = "#PF",
        [X86_MF] = "#MF", [X86_AC] = "#AC", [X86_XM] = "#XM"
    };
    if (!o->trapped)
        (void)snprintf(text, cap, "completed");
    else if (o->has_error)
        (void)snprintf(text, cap, "%s(%#" PRIx32 ")", names[o->vector & 31] ? names[o->vector & 31] : "trap", o->error);
    else
        (void)snprintf(text, cap, "%s", names[o->vector & 31] ? names[o->vector & 31] : "trap");
}

static void describe(const struct pair *p, const struct experiment_id *id, const struct x86_insn *i, struct classify_witness *w)
{
    size_t at = 0;
    w->varied = vary_text(id->kind);
    w->seed = id->seed;
    w->number = id->number;
    x86_disasm(i, WORLD_RIP, w->text, sizeof(w->text));
    for (unsigned n = 0; n < i->len; n++)
        at += (size_t)snprintf(w->bytes + at, sizeof(w->bytes) - at, n ? " %02x" : "%02x", i->bytes[n]);
    for (unsigned side = 0; side < 2; side++) {
        w->side[side] = vary_side(id->kind, side);
        outcome_text(&p->after[side], w->outcome[side], sizeof(w->outcome[side]));
    }
}

/* One side only: what an instruction did to resources. */
static void keep_side(struct pair *p, struct classify_witness *w, unsigned side, unsigned kind)
{
    p->before[0] = p->before[1] = p->before[side];
    p->after[0] = p->after[1] = p->after[side];
    w->side[0] = vary_side(kind, side);
    w->side[1] = NULL;
    memcpy(w->outcome[0], w->outcome[side], sizeof(w->outcome[0]));
    if (kind != VARY_MODE)
        w->side[0] = p->before[0].cpu.seg[SEG_SS].attr & SEG_DPL ? "user" : "supervisor";
}

int experiment_witness(void *opaque, const struct classify_insn *insn, unsigned n, struct classify_witness *w, struct error *err)
{
    struct experiment *e = opaque;
    struct experiment_id id = { .seed = e->options.seed, .row = insn->row, .umip = e->options.umip };
    struct pair *p = &e->pair;
    struct x86_insn i;
    unsigned world;

    if (n >= CLASSIFY_CLASSES || !(insn->classes >> n & 1))
        return error_set(err, -EINVAL, "%s is not %s", insn->name, classify_class_name(n));
    id.kind = insn->decided[n].kind;
    id.number = insn->decided[n].number;
    memset(w, 0, sizeof(*w));
    w->fact = calloc(FACTS_MAX, sizeof(*w->fact));
    if (!w->fact || !run_pair(e, &id, &world, &i)) {
        classify_witness_done(w);
        return error_set(err, -ENOMEM, "out of memory for a witness");
    }
    describe(p, &id, &i, w);
    struct facts f = { w, p, false };
    if (n == CLASS_CONTROL) {
        keep_side(p, w, insn->decided[n].at, id.kind);
        f.only_resources = true;
        (void)fields_compare(&p->before[0], &p->after[0].state, NULL, FIELDS_TEXTS, add_difference, &f);
    } else if (n != CLASS_PRIVILEGED) {
        const struct world_state *const alike[2] = { &p->before[0], &p->before[1] };
        (void)fields_compare(&p->after[0].state, &p->after[1].state, alike, FIELDS_TEXTS, add_difference, &f);
    }
    if (n != CLASS_CONTROL)
        (void)fields_compare(&p->before[0], &p->before[1], NULL, FIELDS_TEXTS, add_difference, &f);
    add_operands(&f, &i);
    return 0;
}
