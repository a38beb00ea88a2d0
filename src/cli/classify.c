/* SPDX-License-Identifier: MIT */
/*
 * doppel classify: which instructions of an ISA are privileged, sensitive, innocuous, found out by experiment.
 */
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "classify/report.h"
#include "classify/riscv/lab.h"
#include "classify/x86/host_report.h"
#include "classify/x86/lab.h"
#include "cli/verbs.h"

static const char help[] =
    "usage: doppel classify x86-64 [--umip] [--seed N] [--all | --witness NAME | --json | --html FILE | --host]\n"
    "       doppel classify riscv64 [--open] [--seed N] [--all | --witness NAME | --json | --html FILE]\n"
    "\n"
    "Finds out by experiment on the reference machine which instructions are privileged, control-sensitive,\n"
    "behaviour-sensitive (by location, by mode) or innocuous, in the sense of Popek and Goldberg, and what their\n"
    "theorem says of this instruction set: whether it can be virtualized by trapping alone. See docs/theory.md.\n"
    "\n"
    "  --umip          the monitor sets CR4.UMIP: SGDT, SIDT, SLDT, STR and SMSW trap in user mode\n"
    "  --open          the monitor opens counters and cache-block operations to user mode (scounteren, senvcfg)\n"
    "  --seed N        makes other random states (default 1); the verdict is the same\n"
    "  --all           lists innocuous instructions, too\n"
    "  --witness NAME  replays the pairs of states that decided about an instruction: popf, csrrw, 'csrrs time'\n"
    "  --json          writes JSON\n"
    "  --html FILE     writes a page with the picture of the sets\n"
    "  --host          executes the user-mode side on this CPU, in child processes, and compares\n";

/* The instruction sets, the choice about the monitor's setting that each has, and whether this CPU is one. */
static const struct known_isa {
    const struct experiment_isa *isa;
    const char *option;
    bool has_host;
} known_isas[] = { { &x86_lab_isa, "--umip", true }, { &riscv_lab_isa, "--open", false } };

struct options {
    struct experiment_options experiment;
    const struct known_isa *isa;
    const char *isa_name, *option, *witness, *html;
    bool all, json, host;
};

static int parse_seed(const char *text, uint64_t *ret_seed, struct error *err)
{
    char *end;
    errno = 0;
    uint64_t v = strtoull(text, &end, 0);
    if (errno || end == text || *end || *text == '-')
        return error_set(err, -EINVAL, "--seed '%s' is not a number", text);
    *ret_seed = v;
    return 0;
}

static int parse_valued(const char *name, const char *value, struct options *o, struct error *err)
{
    if (!value)
        return error_set(err, -EINVAL, "%s needs a value", name);
    if (strcmp(name, "--seed") == 0)
        return parse_seed(value, &o->experiment.seed, err);
    if (strcmp(name, "--witness") == 0)
        o->witness = value;
    else
        o->html = value;
    return 0;
}

static const struct known_isa *find_isa(const char *name)
{
    for (unsigned n = 0; n < ARRAY_SIZE(known_isas); n++)
        if (strcmp(name, known_isas[n].isa->name) == 0)
            return &known_isas[n];
    return NULL;
}

static bool is_isa_option(const char *a)
{
    for (unsigned n = 0; n < ARRAY_SIZE(known_isas); n++)
        if (strcmp(a, known_isas[n].option) == 0)
            return true;
    return false;
}

/* What is asked for must be of one instruction set, and in one form. */
static int check(struct options *o, struct error *err)
{
    if (!o->isa_name)
        return error_set(err, -EINVAL, "which instruction set? (x86-64, riscv64)");
    const struct known_isa *known = find_isa(o->isa_name);
    if (!known)
        return error_set(err, -EINVAL, "unknown instruction set '%s' (there are: x86-64, riscv64)", o->isa_name);
    o->isa = known;
    if (o->option && strcmp(o->option, o->isa->option) != 0)
        return error_set(err, -EINVAL, "%s is not for %s", o->option, o->isa_name);
    if (o->host && !o->isa->has_host)
        return error_set(err, -EINVAL, "--host is not for %s: this CPU is another one", o->isa_name);
    if (o->all + !!o->witness + o->json + !!o->html + o->host > 1)
        return error_set(err, -EINVAL, "--all, --witness, --json, --html and --host exclude one another");
    return 0;
}

static int parse(int argc, char **argv, struct options *o, struct error *err)
{
    for (int k = 1; k < argc; k++) {
        const char *a = argv[k];
        if (is_isa_option(a)) {
            o->experiment.option = true;
            o->option = a;
        } else if (strcmp(a, "--all") == 0) {
            o->all = true;
        } else if (strcmp(a, "--json") == 0) {
            o->json = true;
        } else if (strcmp(a, "--host") == 0) {
            o->host = true;
        } else if (strcmp(a, "--seed") == 0 || strcmp(a, "--witness") == 0 || strcmp(a, "--html") == 0) {
            int r = parse_valued(a, k + 1 < argc ? argv[k + 1] : NULL, o, err);
            if (r < 0)
                return r;
            k++;
        } else if (a[0] == '-') {
            return error_set(err, -EINVAL, "unknown option '%s'", a);
        } else if (o->isa_name) {
            return error_set(err, -EINVAL, "unexpected '%s': one instruction set at a time", a);
        } else {
            o->isa_name = a;
        }
    }
    return check(o, err);
}

static int write_html(const struct classify_result *r, struct experiment *e, const char *path, struct error *err)
{
    FILE *f = fopen(path, "we");
    if (!f)
        return error_set(err, -errno, "%s: cannot write: %s", path, strerror(errno));
    int k = report_html(r, experiment_witness, e, f, err);
    if (fclose(f) != 0 && k >= 0)
        k = error_set(err, -errno, "%s: cannot write: %s", path, strerror(errno));
    return k;
}

static int report(const struct options *o, const struct classify_result *r, struct experiment *e, struct error *err)
{
    if (o->witness)
        return report_witness(r, o->witness, experiment_witness, e, stdout, err);
    if (o->json)
        return report_json(r, experiment_witness, e, stdout, err);
    if (o->html)
        return write_html(r, e, o->html, err);
    if (o->host)
        return host_report(e, r, stdout, err);
    return report_text(r, o->all, experiment_witness, e, stdout, err);
}

int verb_classify(int argc, char **argv)
{
    struct options o = { .experiment = { .seed = 1 }, .isa = &known_isas[0] };
    struct classify_result result = { .insn = NULL };
    struct experiment *e = NULL;
    struct error err;
    for (int k = 1; k < argc; k++)
        if (strcmp(argv[k], "--help") == 0 || strcmp(argv[k], "-h") == 0) {
            (void)printf("%s", help);
            return EXIT_OK;
        }
    if (parse(argc, argv, &o, &err) < 0)
        return cli_usage(&err, "classify");
    int r = experiment_new(o.isa->isa, &o.experiment, &e, &err);
    if (r >= 0)
        r = experiment_all(e, o.witness, &result, &err);
    if (r >= 0)
        r = report(&o, &result, e, &err);
    classify_result_done(&result);
    experiment_free(e);
    if (r < 0)
        return cli_fail(&err);
    return EXIT_OK;
}
