/* SPDX-License-Identifier: MIT */
/*
 * Which parts of an x86 CPU's state are the program's: see fields.h.
 */
#include "classify/x86/fields.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ONE(field_name, member, what)                                                                                            \
    {                                                                                                                            \
        .name = field_name, .at = offsetof(struct x86_cpu, member), .size = sizeof(((struct x86_cpu *)0)->member), .count = 1,   \
        .kind = what                                                                                                             \
    }
#define MANY(field_name, member, what)                                                                                           \
    {                                                                                                                            \
        .name = field_name, .at = offsetof(struct x86_cpu, member), .size = sizeof(((struct x86_cpu *)0)->member[0]),            \
        .count = sizeof(((struct x86_cpu *)0)->member) / sizeof(((struct x86_cpu *)0)->member[0]), .kind = what                  \
    }
#define SEGMENT(segment_name, n, base_kind)                                                                                      \
    ONE(segment_name, seg[n].sel, FIELD_RESOURCE), ONE(segment_name ".base", seg[n].base, base_kind),                            \
        ONE(segment_name ".limit", seg[n].limit, FIELD_RESOURCE), ONE(segment_name ".rights", seg[n].attr, FIELD_RESOURCE)

static const struct field table[] = {
    ONE("rax", gpr[RAX], FIELD_PROGRAM),
    ONE("rcx", gpr[RCX], FIELD_PROGRAM),
    ONE("rdx", gpr[RDX], FIELD_PROGRAM),
    ONE("rbx", gpr[RBX], FIELD_PROGRAM),
    ONE("rsp", gpr[RSP], FIELD_PROGRAM),
    ONE("rbp", gpr[RBP], FIELD_PROGRAM),
    ONE("rsi", gpr[RSI], FIELD_PROGRAM),
    ONE("rdi", gpr[RDI], FIELD_PROGRAM),
    ONE("r8", gpr[R8], FIELD_PROGRAM),
    ONE("r9", gpr[R9], FIELD_PROGRAM),
    ONE("r10", gpr[R10], FIELD_PROGRAM),
    ONE("r11", gpr[R11], FIELD_PROGRAM),
    ONE("r12", gpr[R12], FIELD_PROGRAM),
    ONE("r13", gpr[R13], FIELD_PROGRAM),
    ONE("r14", gpr[R14], FIELD_PROGRAM),
    ONE("r15", gpr[R15], FIELD_PROGRAM),
    ONE("rip", rip, FIELD_PROGRAM),
    ONE("rflags", rflags, FIELD_FLAGS),
    ONE("fcw", fpu.fcw, FIELD_PROGRAM),
    ONE("fsw", fpu.fsw, FIELD_PROGRAM),
    ONE("ftw", fpu.ftw, FIELD_PROGRAM),
    ONE("fop", fpu.fop, FIELD_PROGRAM),
    ONE("fip", fpu.fip, FIELD_PROGRAM),
    ONE("fdp", fpu.fdp, FIELD_PROGRAM),
    MANY("st", fpu.st, FIELD_PROGRAM),
    ONE("mxcsr", fpu.mxcsr, FIELD_PROGRAM),
    MANY("zmm", fpu.zmm, FIELD_PROGRAM),
    MANY("k", fpu.k, FIELD_PROGRAM),
    SEGMENT("es", SEG_ES, FIELD_RESOURCE),
    SEGMENT("cs", SEG_CS, FIELD_RESOURCE),
    SEGMENT("ss", SEG_SS, FIELD_RESOURCE),
    SEGMENT("ds", SEG_DS, FIELD_RESOURCE),
    SEGMENT("fs", SEG_FS, FIELD_PROGRAM),
    SEGMENT("gs", SEG_GS, FIELD_PROGRAM),
    SEGMENT("ldtr", SEG_LDTR, FIELD_RESOURCE),
    SEGMENT("tr", SEG_TR, FIELD_RESOURCE),
    ONE("gdtr.base", gdtr.base, FIELD_RESOURCE),
    ONE("gdtr.limit", gdtr.limit, FIELD_RESOURCE),
    ONE("idtr.base", idtr.base, FIELD_RESOURCE),
    ONE("idtr.limit", idtr.limit, FIELD_RESOURCE),
    ONE("cr0", cr0, FIELD_RESOURCE),
    ONE("cr2", cr2, FIELD_RESOURCE),
    ONE("cr3", cr3, FIELD_RESOURCE),
    ONE("cr4", cr4, FIELD_RESOURCE),
    ONE("efer", efer, FIELD_RESOURCE),
    ONE("xcr0", xcr0, FIELD_RESOURCE),
    ONE("xss", xss, FIELD_RESOURCE),
    MANY("dr", dr, FIELD_RESOURCE),
    ONE("dr6", dr6, FIELD_RESOURCE),
    ONE("dr7", dr7, FIELD_RESOURCE),
    ONE("star", star, FIELD_RESOURCE),
    ONE("lstar", lstar, FIELD_RESOURCE),
    ONE("cstar", cstar, FIELD_RESOURCE),
    ONE("fmask", fmask, FIELD_RESOURCE),
    ONE("kernel_gs_base", kernel_gs_base, FIELD_RESOURCE),
    ONE("tsc_aux", tsc_aux, FIELD_RESOURCE),
    ONE("sysenter_cs", sysenter_cs, FIELD_RESOURCE),
    ONE("sysenter_esp", sysenter_esp, FIELD_RESOURCE),
    ONE("sysenter_eip", sysenter_eip, FIELD_RESOURCE),
    ONE("pat", pat, FIELD_RESOURCE),
    ONE("misc_enable", misc_enable, FIELD_RESOURCE),
    ONE("tsc_adjust", tsc_adjust, FIELD_RESOURCE),
    ONE("spec_ctrl", spec_ctrl, FIELD_RESOURCE),
    ONE("debugctl", debugctl, FIELD_RESOURCE),
    ONE("feature_control", feature_control, FIELD_RESOURCE),
    ONE("mtrr_def_type", mtrr_def_type, FIELD_RESOURCE),
    MANY("mtrr_fixed", mtrr_fixed, FIELD_RESOURCE),
    MANY("mtrr_var", mtrr_var, FIELD_RESOURCE),
    MANY("mc_status", mc_status, FIELD_RESOURCE),
    ONE("mcg_status", mcg_status, FIELD_RESOURCE),
    ONE("kvm_wall_clock", kvm_wall_clock, FIELD_RESOURCE),
    ONE("kvm_system_time", kvm_system_time, FIELD_RESOURCE),
    ONE("kvm_steal_time", kvm_steal_time, FIELD_RESOURCE),
    ONE("kvm_pv_eoi", kvm_pv_eoi, FIELD_RESOURCE),
    ONE("kvm_poll_control", kvm_poll_control, FIELD_RESOURCE),
    ONE("kvm_clock_version", kvm_clock_version, FIELD_RESOURCE),
    ONE("hc_shared", hc_shared, FIELD_RESOURCE),
    MANY("pdpte", pdpte, FIELD_RESOURCE),
    ONE("activity", activity, FIELD_RESOURCE),
    ONE("int_shadow", int_shadow, FIELD_RESOURCE),
    ONE("nmi_blocked", nmi_blocked, FIELD_RESOURCE),
    ONE("nmi_pending", nmi_pending, FIELD_RESOURCE),
    ONE("unhalted", unhalted, FIELD_RESOURCE),
    ONE("pending_dbg", pending_dbg, FIELD_RESOURCE),
    { .name = NULL },
};

const struct field *fields(void)
{
    return table;
}

/* Memory and devices, compared in pieces of 8 bytes. `address` is where the piece is for people. */
static const struct area {
    const char *name;
    uint64_t address;
    uint32_t at, size;
    bool resource;
} areas[] = {
    { "memory", WORLD_DATA, offsetof(struct world_state, program.data), WORLD_DATA_SIZE, false },
    { "gdt+", 0, offsetof(struct world_state, tables.gdt), sizeof(((struct world_tables *)0)->gdt), true },
    { "ldt+", 0, offsetof(struct world_state, tables.ldt), sizeof(((struct world_tables *)0)->ldt), true },
    { "tss+", 0, offsetof(struct world_state, tables.tss), sizeof(((struct world_tables *)0)->tss), true },
    { "kernel-stack+", 0, offsetof(struct world_state, tables.kernel_stack), sizeof(((struct world_tables *)0)->kernel_stack),
      true },
    { "idt+", 0, offsetof(struct world_state, tables.idt), sizeof(((struct world_tables *)0)->idt), true },
    { "device.value", 0, offsetof(struct world_state, devices.value), 8, true },
    { "device.accesses", 0, offsetof(struct world_state, devices.accesses), 8, true },
    { "device.written", 0, offsetof(struct world_state, devices.last), 8, true },
    { "tpr", 0, offsetof(struct world_state, devices.tpr), 8, true },
    { "apic-msr", 0, offsetof(struct world_state, devices.msr), 8, true },
};
enum { AREAS = sizeof(areas) / sizeof(areas[0]) };

/* Up to 16 bytes, as a number. */
static void number_text(const uint8_t *p, unsigned size, char *text, size_t cap)
{
    unsigned n = size > 16 ? 16 : size;
    size_t at = (size_t)snprintf(text, cap, "0x");
    while (n > 1 && !p[n - 1])
        n--;
    for (bool first = true; n-- > 0; first = false)
        at += (size_t)snprintf(text + at, cap - at, first ? "%x" : "%02x", p[n]);
}

static void area_name(const struct area *a, unsigned off, char *text, size_t cap)
{
    if (a->size == 8)
        (void)snprintf(text, cap, "%s", a->name);
    else
        (void)snprintf(text, cap, a->resource ? "%s0x%" PRIx64 : "%s 0x%" PRIx64, a->name, a->address + off);
}

static void field_name(const struct field *f, unsigned n, char *text, size_t cap)
{
    if (f->count == 1)
        (void)snprintf(text, cap, "%s", f->name);
    else
        (void)snprintf(text, cap, "%s%u", f->name, n);
}

static bool compare_field(const struct field *f, unsigned n, const uint8_t *a, const uint8_t *b, unsigned how, difference_fn fn,
                          void *opaque)
{
    struct difference d = { .resource = f->kind == FIELD_RESOURCE };
    const uint8_t *x = a + f->at + n * f->size, *y = b + f->at + n * f->size;
    if (f->kind == FIELD_FLAGS)
        d.resource = (((const struct x86_cpu *)a)->rflags ^ ((const struct x86_cpu *)b)->rflags) & FIELDS_FLAGS;
    if (how & FIELDS_TEXTS) {
        field_name(f, n, d.name, sizeof(d.name));
        number_text(x, f->size, d.value[0], sizeof(d.value[0]));
        number_text(y, f->size, d.value[1], sizeof(d.value[1]));
    }
    return fn(opaque, &d);
}

/* The two differ in what the other two do not differ in. RFLAGS bit by bit. */
static bool differ(const struct field *f, size_t at, const struct world_state *a, const struct world_state *b,
                   const struct world_state *const alike[2])
{
    if (f->kind == FIELD_FLAGS)
        return (a->cpu.rflags ^ b->cpu.rflags) & ~(alike ? alike[0]->cpu.rflags ^ alike[1]->cpu.rflags : 0);
    if (memcmp((const uint8_t *)&a->cpu + at, (const uint8_t *)&b->cpu + at, f->size) == 0)
        return false;
    return !alike || memcmp((const uint8_t *)&alike[0]->cpu + at, (const uint8_t *)&alike[1]->cpu + at, f->size) == 0;
}

static bool compare_cpus(const struct world_state *a, const struct world_state *b, const struct world_state *const alike[2],
                         unsigned how, difference_fn fn, void *opaque)
{
    const uint8_t *x = (const uint8_t *)&a->cpu, *y = (const uint8_t *)&b->cpu;
    for (const struct field *f = table; f->name; f++) {
        if ((f->kind == FIELD_PROGRAM && how & FIELDS_RESOURCES) || memcmp(x + f->at, y + f->at, (size_t)f->size * f->count) == 0)
            continue;
        for (unsigned n = 0; n < f->count; n++) {
            if (differ(f, f->at + n * f->size, a, b, alike) && compare_field(f, n, x, y, how, fn, opaque))
                return true;
        }
    }
    return false;
}

bool fields_compare(const struct world_state *a, const struct world_state *b, const struct world_state *const alike[2],
                    unsigned how, difference_fn fn, void *opaque)
{
    if (compare_cpus(a, b, alike, how, fn, opaque))
        return true;
    for (unsigned k = 0; k < AREAS; k++) {
        const struct area *r = &areas[k];
        const uint8_t *x = (const uint8_t *)a + r->at, *y = (const uint8_t *)b + r->at;
        if ((!r->resource && how & FIELDS_RESOURCES) || memcmp(x, y, r->size) == 0)
            continue;
        for (unsigned off = 0; off < r->size; off += 8) {
            struct difference d = { .resource = r->resource };
            if (memcmp(x + off, y + off, 8) == 0
                || (alike && memcmp((const uint8_t *)alike[0] + r->at + off, (const uint8_t *)alike[1] + r->at + off, 8) != 0))
                continue;
            if (how & FIELDS_TEXTS) {
                area_name(r, off, d.name, sizeof(d.name));
                number_text(x + off, 8, d.value[0], sizeof(d.value[0]));
                number_text(y + off, 8, d.value[1], sizeof(d.value[1]));
            }
            if (fn(opaque, &d))
                return true;
        }
    }
    return false;
}

void fields_value(const struct world_state *s, const char *name, char *text, size_t cap)
{
    char own[32];
    text[0] = 0;
    for (const struct field *f = table; f->name; f++)
        for (unsigned n = 0; n < f->count; n++) {
            field_name(f, n, own, sizeof(own));
            if (strcmp(own, name) == 0)
                number_text((const uint8_t *)&s->cpu + f->at + n * f->size, f->size, text, cap);
        }
    for (unsigned k = 0; k < AREAS; k++)
        for (unsigned off = 0; off < areas[k].size; off += 8) {
            area_name(&areas[k], off, own, sizeof(own));
            if (strcmp(own, name) == 0)
                number_text((const uint8_t *)s + areas[k].at + off, 8, text, cap);
        }
}
