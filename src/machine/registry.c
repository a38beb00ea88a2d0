/* SPDX-License-Identifier: MIT */
/*
 * The one table of instruction sets, boards and engines, and the choice among them.
 */
#include "machine/registry.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/checked.h"
#include "engine/bt/bt.h"
#include "engine/direct/direct.h"
#include "engine/interp/interp.h"
#include "engine/kvm/kvm.h"
#include "isa/riscv/isa.h"
#include "isa/x86/isa.h"
#include "machine/pc.h"
#include "machine/virt.h"

/* Best first: `auto` takes the first usable one that need not be avoided. `direct`, which is no equivalent machine, is behind one
 * that always works. */
static const struct engine_ops *const x86_engines[] = { &kvm_engine_ops, &bt_engine_ops, &interp_engine_ops, &direct_engine_ops,
                                                        NULL };
static const struct engine_ops *const riscv_engines[] = { &bt_engine_ops, &interp_engine_ops, NULL };

static const struct registry_arch archs[] = {
    { .name = "x86-64", .isa = &x86_isa_ops, .board = &pc_board_ops, .engines = x86_engines },
    { .name = "riscv64", .isa = &riscv_isa_ops, .board = &virt_board_ops, .engines = riscv_engines },
    { .name = NULL },
};

const struct registry_arch *registry_archs(void)
{
    return archs;
}

int registry_find_arch(const char *name, const struct registry_arch **ret_arch, struct error *err)
{
    char known[128] = "";
    size_t at = 0;
    for (const struct registry_arch *a = archs; a->name; a++) {
        if (strcmp(a->name, name) == 0) {
            *ret_arch = a;
            return 0;
        }
        if (at < sizeof(known))
            at += (size_t)snprintf(known + at, sizeof(known) - at, "%s%s", at ? ", " : "", a->name);
    }
    return error_set(err, -EINVAL, "unknown architecture '%s' (there is: %s)", name, known);
}

static int pick_auto(const struct registry_arch *arch, const struct engine_ops **ret_engine, char *why, size_t cap,
                     struct error *err)
{
    struct engine_probe probe = { .usable = false };
    const struct engine_ops *avoided = NULL; /* better than none */
    size_t at = 0;
    if (arch->engines[0] && !arch->engines[1]) {
        (void)snprintf(why, cap, "the only engine for %s", arch->name);
        *ret_engine = arch->engines[0];
        return 0;
    }
    for (const struct engine_ops *const *e = arch->engines; *e; e++) {
        probe = (struct engine_probe){ .usable = false };
        (*e)->probe(arch->isa, &probe);
        if (!probe.usable || probe.avoid) {
            int n = snprintf(why + at, cap - at, "%s %s: %s; ", (*e)->name,
                             probe.usable ? "is passed over" : "does not work here", probe.why);
            at = MIN(at + (size_t)MAX(n, 0), cap ? cap - 1 : 0);
            avoided = avoided || !probe.usable ? avoided : *e;
            continue;
        }
        if (probe.mips > 0)
            (void)snprintf(why + at, cap - at, "%.0f million instructions a second", probe.mips);
        else
            (void)snprintf(why + at, cap - at, "the best engine that works here");
        *ret_engine = *e;
        return 0;
    }
    if (avoided) {
        *ret_engine = avoided;
        return 0;
    }
    return error_set(err, -ENOTSUP, "no engine for %s works on this host: %s", arch->name, probe.why);
}

static const struct engine_ops *find_engine(const struct registry_arch *arch, const char *name)
{
    for (const struct engine_ops *const *e = arch->engines; *e; e++)
        if (strcmp((*e)->name, name) == 0)
            return *e;
    return NULL;
}

int registry_check_engine(const struct registry_arch *arch, const char *name, struct error *err)
{
    if (strcmp(name, "auto") == 0 || find_engine(arch, name))
        return 0;
    char known[128] = "auto";
    size_t at = strlen(known);
    for (const struct engine_ops *const *e = arch->engines; *e && at < sizeof(known); e++)
        at += (size_t)snprintf(known + at, sizeof(known) - at, ", %s", (*e)->name);
    return error_set(err, -EINVAL, "unknown engine '%s' for %s (there is: %s)", name, arch->name, known);
}

int registry_pick_engine(const struct registry_arch *arch, const char *name, const struct engine_ops **ret_engine, char *why,
                         size_t why_cap, struct error *err)
{
    if (why_cap)
        why[0] = '\0';
    int r = registry_check_engine(arch, name, err);
    if (r < 0)
        return r;
    if (strcmp(name, "auto") == 0)
        return pick_auto(arch, ret_engine, why, why_cap, err);
    *ret_engine = find_engine(arch, name);
    return 0;
}
