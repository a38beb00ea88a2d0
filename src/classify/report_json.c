/* SPDX-License-Identifier: MIT */
/*
 * Verdicts on an instruction set as JSON.
 *
 * Numbers of the state are strings in hex: they have up to 128 bits.
 */
#include "classify/report.h"

#include <errno.h>
#include <jansson.h>

/* What is asked for as `witness`: why it is sensitive where it is, else that it traps. */
static unsigned main_class(const struct classify_insn *i)
{
    for (unsigned n = 1; n < CLASSIFY_CLASSES; n++)
        if (i->classes >> n & 1)
            return n;
    return 0;
}

static json_t *state_json(const struct classify_witness *w, bool after, unsigned side)
{
    json_t *o = json_object();
    for (unsigned n = 0; n < w->nr_facts; n++) {
        const char *v = after ? w->fact[n].after[side] : w->fact[n].before[side];
        if (v[0])
            (void)json_object_set_new(o, w->fact[n].field, json_string(v)); /* out of memory shows in the dump */
    }
    return o;
}

static json_t *witness_json(const struct classify_witness *w, unsigned n)
{
    json_t *sides = json_array();
    for (unsigned side = 0; side < 2 && w->side[side]; side++)
        (void)json_array_append_new(sides,
                                    json_pack("{s:s, s:o, s:s, s:o}", "side", w->side[side], "before", state_json(w, false, side),
                                              "outcome", w->outcome[side], "after", state_json(w, true, side)));
    return json_pack("{s:s, s:s, s:s, s:s, s:I, s:I, s:o}", "class", classify_class_name(n), "instruction", w->text, "bytes",
                     w->bytes, "varied", w->varied, "seed", (json_int_t)w->seed, "pair", (json_int_t)w->number, "sides", sides);
}

static json_t *classes_json(const struct classify_insn *i)
{
    json_t *a = json_array();
    for (unsigned n = 0; n < CLASSIFY_CLASSES; n++)
        if (i->classes >> n & 1)
            (void)json_array_append_new(a, json_string(classify_class_name(n)));
    if (!(i->classes & CLASSIFY_SENSITIVE))
        (void)json_array_append_new(a, json_string("innocuous"));
    return a;
}

static json_t *counts_json(const struct classify_counts *n)
{
    return json_pack("{s:i, s:i, s:i, s:i, s:i, s:i}", "pairs", (int)n->pairs, "both", (int)n->both, "supervisor_only",
                     (int)n->supervisor_only, "user_only", (int)n->user_only, "neither", (int)n->neither, "others",
                     (int)n->others);
}

static int add_insn(json_t *list, const struct classify_insn *i, classify_replay_fn replay, void *opaque, struct error *err)
{
    json_t *o = json_pack("{s:s, s:i, s:o, s:b, s:b, s:b, s:b, s:b, s:o}", "name", i->name, "row", i->row, "classes",
                          classes_json(i), "offender", classify_is_offender(i), "enters_supervisor_only", i->gate, "always_traps",
                          i->never, "copied_by_translator", i->copied, "leaves_note", i->notes, "counts",
                          counts_json(&i->counts));
    if (i->classes) {
        struct classify_witness w;
        int r = replay(opaque, i, main_class(i), &w, err);
        if (r < 0) {
            json_decref(o);
            return r;
        }
        (void)json_object_set_new(o, "witness", witness_json(&w, main_class(i)));
        classify_witness_done(&w);
    }
    return json_array_append_new(list, o) < 0 ? error_set(err, -ENOMEM, "out of memory for JSON") : 0;
}

int report_json(const struct classify_result *r, classify_replay_fn replay, void *opaque, FILE *out, struct error *err)
{
    json_t *offenders = json_array(), *insns = json_array();
    unsigned copied, nr = classify_offenders(r, &copied);
    int e = 0;
    for (unsigned n = 0; n < r->nr && e >= 0; n++) {
        if (classify_is_offender(&r->insn[n]) && !classify_named_before(r, n))
            (void)json_array_append_new(offenders, json_string(r->insn[n].name));
        e = add_insn(insns, &r->insn[n], replay, opaque, err);
    }
    json_t *root = json_pack("{s:s, s:b, s:b, s:I, s:b, s:s, s:i, s:o, s:o}", "isa", r->isa, "virtualizable", nr == 0,
                             "recursively_virtualizable", nr == 0, "seed", (json_int_t)r->seed, r->option, r->has_option,
                             "setting", r->setting, "offenders_copied_by_translator", (int)copied, "offenders", offenders,
                             "instructions", insns);
    if (!root && e >= 0)
        e = error_set(err, -ENOMEM, "out of memory for JSON");
    if (e >= 0 && json_dumpf(root, out, JSON_INDENT(1)) < 0)
        e = error_set(err, -EIO, "cannot write JSON");
    if (e >= 0)
        (void)fprintf(out, "\n");
    json_decref(root);
    return e;
}
