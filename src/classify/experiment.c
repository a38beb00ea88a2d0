/* SPDX-License-Identifier: MIT */
/*
 * The experiments of `doppel classify`: see experiment.h.
 *
 * What decides, in the words of the paper: an instruction is privileged if it traps in user mode always, and not in supervisor
 * mode (where it is legal); control-sensitive if in any state it changed a resource without a trap;
 * behaviour-sensitive if two states that differ in mode or resources alone, neither of which traps, have different results. A
 * part of the state that is equal before must be equal after; what differed before says nothing. What two runs from the very same
 * state do not agree on (random numbers) says nothing either.
 */
#include "classify/experiment.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"

enum { FACTS_MAX = 20, SUPERVISOR = 0, USER = 1, ENOUGH = 4, PATIENCE = 32, REPEATS = 3, KIND_MODE = 0, STATES = 5, LINE = 64 };
enum { CLASS_PRIVILEGED, CLASS_CONTROL, CLASS_LOCATION, CLASS_MODE }; /* bit numbers */

/* The states are parts of one piece of memory. */
struct pair {
    void *before[2], *after[2], *again;
    struct experiment_outcome outcome[2];
};

struct experiment {
    const struct experiment_isa *isa; /* borrowed (static) */
    struct experiment_options options;
    void *lab;      /* owned */
    uint8_t *block; /* owned: the states */
    struct pair pair;
};

static void *state_at(struct experiment *e, unsigned n)
{
    return e->block + n * ALIGN_UP(e->isa->state_size, (size_t)LINE);
}

int experiment_new(const struct experiment_isa *isa, const struct experiment_options *o, struct experiment **ret_e,
                   struct error *err)
{
    struct experiment *e = calloc(1, sizeof(*e));
    if (!e)
        return error_set(err, -ENOMEM, "out of memory for the experiments");
    e->isa = isa;
    e->options = *o;
    if (!e->options.pairs)
        e->options.pairs = EXPERIMENT_PAIRS;
    size_t size = STATES * ALIGN_UP(isa->state_size, (size_t)LINE);
    e->block = aligned_alloc(LINE, size);
    if (!e->block) {
        experiment_free(e);
        return error_set(err, -ENOMEM, "out of memory for states");
    }
    memset(e->block, 0, size);
    int r = isa->lab_new(o->option, &e->lab, err);
    if (r < 0) {
        experiment_free(e);
        return r;
    }
    e->pair = (struct pair){ .before = { state_at(e, 0), state_at(e, 1) },
                             .after = { state_at(e, 2), state_at(e, 3) },
                             .again = state_at(e, 4) };
    *ret_e = e;
    return 0;
}

void experiment_free(struct experiment *e)
{
    if (!e)
        return;
    if (e->lab)
        e->isa->lab_free(e->lab);
    free(e->block);
    free(e);
}

void *experiment_lab(struct experiment *e)
{
    return e->lab;
}

unsigned experiment_subjects(struct experiment *e)
{
    return e->isa->nr_subjects(e->lab);
}

/* ---- one pair ---- */

static bool run_pair(struct experiment *e, const struct experiment_id *id)
{
    struct pair *p = &e->pair;
    if (!e->isa->make(e->lab, id, p->before))
        return false;
    for (unsigned side = 0; side < 2; side++)
        e->isa->run(e->lab, side, p->before[side], &p->outcome[side], p->after[side]);
    return true;
}

/* Which kinds of difference there are. */
struct found {
    bool resource, note;
};

static bool is_resource(void *opaque, const struct difference *d)
{
    struct found *f = opaque;
    f->note |= d->note;
    f->resource |= d->resource;
    return d->resource;
}

static bool is_any(void *opaque, const struct difference *d)
{
    (void)opaque, (void)d;
    return true;
}

static struct found changes(struct experiment *e, unsigned side)
{
    const struct pair *p = &e->pair;
    struct found f = { .resource = false };
    if (p->outcome[side].trapped)
        return f;
    (void)fields_compare(e->isa->fields, p->before[side], p->after[side], NULL, FIELDS_RESOURCES, is_resource, &f);
    f.resource |= p->outcome[side].flushes > 0;
    return f;
}

/* Both completed and their results differ, though each would be the same a second time. */
static bool results_differ(struct experiment *e)
{
    struct pair *p = &e->pair;
    const void *const alike[2] = { p->before[0], p->before[1] };
    if (p->outcome[0].trapped || p->outcome[1].trapped
        || !fields_compare(e->isa->fields, p->after[0], p->after[1], alike, 0, is_any, NULL))
        return false;
    for (unsigned n = 0; n < REPEATS; n++) {
        struct experiment_outcome o;
        e->isa->run(e->lab, 0, p->before[0], &o, p->again);
        if (fields_compare(e->isa->fields, p->after[0], p->again, NULL, 0, is_any, NULL))
            return false;
    }
    return true;
}

/* ---- one instruction ---- */

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
        struct found f = changes(e, side);
        t->insn->notes |= f.note;
        if (!f.resource)
            continue;
        decide(t->insn, CLASS_CONTROL, id, side);
        if (e->isa->is_user(e->pair.before[side]))
            t->gate &= !e->isa->is_user(e->pair.after[side]);
    }
}

/* Numbers of pairs [from, to) of a kind. */
struct stretch {
    uint32_t from, to;
};

/* What completes rarely is tried for longer, whatever the kind: a verdict is not to hang on a few pairs. done: pairs of the
 * stretch that completed on both sides. */
static bool wants_more(const struct classify_insn *v, const struct experiment_id *id, const struct stretch *s, uint32_t done)
{
    const struct classify_counts *n = &v->counts;
    if (s->from)
        return false;
    if (id->kind != KIND_MODE)
        return !v->never && id->number < s->to * PATIENCE && done < s->to;
    return id->number < s->to * PATIENCE && (n->both + n->user_only < ENOUGH || n->both + n->supervisor_only < ENOUGH);
}

static unsigned class_of(const struct experiment *e, unsigned kind)
{
    return e->isa->kinds[kind].of_place ? CLASS_LOCATION : CLASS_MODE;
}

static void run_kind(struct experiment *e, unsigned subject, unsigned kind, struct stretch s, struct verdict *t)
{
    struct experiment_id id = { .seed = e->options.seed, .subject = (uint16_t)subject, .kind = (uint8_t)kind };
    struct classify_insn *v = t->insn;
    unsigned class = class_of(e, kind);
    uint32_t completed = 0;
    for (id.number = s.from; id.number < s.to || wants_more(v, &id, &s, completed); id.number++) {
        if (!run_pair(e, &id))
            continue;
        bool done[2] = { !e->pair.outcome[0].trapped, !e->pair.outcome[1].trapped };
        completed += done[0] && done[1];
        if (kind == KIND_MODE) {
            count(&v->counts, done[SUPERVISOR], done[USER]);
            t->user_completed |= done[USER];
            if (done[SUPERVISOR] && !done[USER])
                decide(v, CLASS_PRIVILEGED, &id, USER);
        } else {
            v->counts.others += done[0] && done[1];
        }
        v->never &= !done[0] && !done[1];
        look_at_control(e, &id, t);
        if (!(v->classes >> class & 1) && results_differ(e))
            decide(v, class, &id, USER);
    }
}

/* All kinds of pairs; and once it is known to be in some class, more of those that may put it into another. */
static void run_kinds(struct experiment *e, unsigned subject, struct verdict *t)
{
    for (unsigned kind = 0; kind < e->isa->nr_kinds; kind++)
        run_kind(e, subject, kind, (struct stretch){ 0, e->options.pairs * e->isa->kinds[kind].share }, t);
    if (!t->insn->classes)
        return;
    for (unsigned kind = 0; kind < e->isa->nr_kinds; kind++) {
        uint32_t pairs = e->options.pairs * e->isa->kinds[kind].share;
        for (uint32_t n = 1; n < PATIENCE && !(t->insn->classes >> class_of(e, kind) & 1); n++)
            run_kind(e, subject, kind, (struct stretch){ pairs * n, pairs * (n + 1) }, t);
    }
}

void experiment_subject(struct experiment *e, unsigned n, struct classify_insn *v)
{
    struct verdict t = { .insn = v, .gate = true };
    memset(v, 0, sizeof(*v));
    v->subject = (uint16_t)n;
    e->isa->subject(e->lab, n, v);
    v->never = true;
    if (v->skipped)
        return;
    run_kinds(e, n, &t);
    if (v->counts.both || v->counts.user_only)
        v->classes &= (uint8_t)~CLASSIFY_PRIVILEGED;
    v->gate = t.gate && t.user_completed && (v->classes & CLASSIFY_CONTROL);
    v->notes &= !(v->classes & CLASSIFY_CONTROL); /* else it is nothing apart */
}

static bool is_called(struct experiment *e, unsigned n, const char *name)
{
    struct classify_insn known = { .row = 0 };
    e->isa->subject(e->lab, n, &known);
    return classify_is_called(&known, name);
}

int experiment_all(struct experiment *e, const char *only, struct classify_result *r, struct error *err)
{
    unsigned subjects = experiment_subjects(e), nr = 0;
    struct classify_insn *insn = calloc(subjects, sizeof(*insn));
    if (!insn)
        return error_set(err, -ENOMEM, "out of memory for %u verdicts", subjects);
    for (unsigned n = 0; n < subjects; n++)
        if (!only || is_called(e, n, only))
            experiment_subject(e, n, &insn[nr++]);
    *r = (struct classify_result){ .isa = e->isa->name,
                                   .seed = e->options.seed,
                                   .option = e->isa->option,
                                   .has_option = e->options.option,
                                   .nr = nr,
                                   .insn = insn };
    e->isa->setting(e->lab, r->setting, sizeof(r->setting));
    return 0;
}

/* ---- witnesses ---- */

struct facts {
    struct classify_witness *w;
    const struct experiment *e;
    unsigned side[2]; /* of the pair, that stand at the witness's two */
    bool only_resources;
};

static bool add_fact(struct facts *f, const char *name)
{
    struct classify_witness *w = f->w;
    const struct pair *p = &f->e->pair;
    for (unsigned n = 0; n < w->nr_facts; n++)
        if (strcmp(w->fact[n].field, name) == 0)
            return false;
    if (w->nr_facts == FACTS_MAX) {
        w->more++;
        return false;
    }
    struct classify_fact *t = &w->fact[w->nr_facts++];
    (void)snprintf(t->field, sizeof(t->field), "%s", name);
    for (unsigned n = 0; n < 2; n++) {
        unsigned side = f->side[n];
        fields_value(f->e->isa->fields, p->before[side], name, t->before[n], sizeof(t->before[n]));
        if (!p->outcome[side].trapped)
            fields_value(f->e->isa->fields, p->after[side], name, t->after[n], sizeof(t->after[n]));
    }
    return false;
}

static bool add_difference(void *opaque, const struct difference *d)
{
    struct facts *f = opaque;
    return (d->resource || !f->only_resources) && add_fact(f, d->name);
}

/* The registers the instruction names. */
static void add_operands(struct facts *f)
{
    const char *name;
    for (unsigned n = 0; (name = f->e->isa->operand(f->e->lab, n)); n++)
        (void)add_fact(f, name);
}

static void describe(const struct experiment *e, const struct experiment_id *id, struct classify_witness *w)
{
    w->varied = e->isa->kinds[id->kind].text;
    w->seed = id->seed;
    w->number = id->number;
    e->isa->describe(e->lab, w);
    for (unsigned side = 0; side < 2; side++) {
        w->side[side] = e->isa->kinds[id->kind].side[side];
        e->isa->outcome_text(&e->pair.outcome[side], w->outcome[side], sizeof(w->outcome[side]));
    }
}

/* One side only: what an instruction did to resources. */
static void keep_side(struct facts *f, unsigned side)
{
    struct classify_witness *w = f->w;
    f->side[0] = f->side[1] = side;
    f->only_resources = true;
    w->side[0] = f->e->isa->is_user(f->e->pair.before[side]) ? "user" : "supervisor";
    w->side[1] = NULL;
    if (side)
        memcpy(w->outcome[0], w->outcome[side], sizeof(w->outcome[0]));
}

/* The translation cache is no part of the state that is compared. */
static void add_flush(struct facts *f, unsigned side)
{
    struct classify_fact *t = &f->w->fact[f->w->nr_facts];
    if (!f->e->pair.outcome[side].flushes || f->w->nr_facts == FACTS_MAX)
        return;
    f->w->nr_facts++;
    (void)snprintf(t->field, sizeof(t->field), "translations");
    for (unsigned n = 0; n < 2; n++) {
        (void)snprintf(t->before[n], sizeof(t->before[n]), "cached");
        (void)snprintf(t->after[n], sizeof(t->after[n]), "dropped");
    }
}

static void add_facts(struct experiment *e, unsigned class, unsigned side, struct facts *f)
{
    const struct pair *p = &e->pair;
    const void *const alike[2] = { p->before[0], p->before[1] };
    if (class == CLASS_CONTROL) {
        keep_side(f, side);
        (void)fields_compare(e->isa->fields, p->before[side], p->after[side], NULL, FIELDS_TEXTS, add_difference, f);
        add_flush(f, side);
    } else if (class != CLASS_PRIVILEGED) {
        (void)fields_compare(e->isa->fields, p->after[0], p->after[1], alike, FIELDS_TEXTS, add_difference, f);
    }
    if (class != CLASS_CONTROL)
        (void)fields_compare(e->isa->fields, p->before[0], p->before[1], NULL, FIELDS_TEXTS, add_difference, f);
    add_operands(f);
}

int experiment_witness(void *opaque, const struct classify_insn *insn, unsigned n, struct classify_witness *w, struct error *err)
{
    struct experiment *e = opaque;
    struct experiment_id id = { .seed = e->options.seed, .subject = insn->subject };

    if (n >= CLASSIFY_CLASSES || !(insn->classes >> n & 1))
        return error_set(err, -EINVAL, "%s is not %s", insn->name, classify_class_name(n));
    id.kind = insn->decided[n].kind;
    id.number = insn->decided[n].number;
    memset(w, 0, sizeof(*w));
    w->fact = calloc(FACTS_MAX, sizeof(*w->fact));
    if (!w->fact || !run_pair(e, &id)) {
        classify_witness_done(w);
        return error_set(err, -ENOMEM, "out of memory for a witness");
    }
    describe(e, &id, w);
    struct facts f = { .w = w, .e = e, .side = { 0, 1 } };
    add_facts(e, n, insn->decided[n].at, &f);
    return 0;
}
