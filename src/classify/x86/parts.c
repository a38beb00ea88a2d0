/* SPDX-License-Identifier: MIT */
/*
 * Which parts of an x86 CPU's state are the program's: see parts.h.
 */
#include "classify/x86/parts.h"

#include <stddef.h>

#include "base/checked.h"

#define ONE(field_name, member, what)                                                                                            \
    {                                                                                                                            \
        .name = field_name, .at = offsetof(struct x86_world_state, cpu.member), .size = sizeof(((struct x86_cpu *)0)->member),   \
        .count = 1, .kind = what                                                                                                 \
    }
#define MANY(field_name, member, what)                                                                                           \
    {                                                                                                                            \
        .name = field_name, .at = offsetof(struct x86_world_state, cpu.member),                                                  \
        .size = sizeof(((struct x86_cpu *)0)->member[0]), .count = ARRAY_SIZE(((struct x86_cpu *)0)->member), .kind = what       \
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
    { .name = "rflags",
      .at = offsetof(struct x86_world_state, cpu.rflags),
      .size = 8,
      .count = 1,
      .kind = FIELD_MIXED,
      .resources = FLAG_IF | FLAG_IOPL | FLAG_VM | FLAG_AC | FLAG_VIF | FLAG_VIP },
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

static const struct field_area areas[] = {
    { "memory", WORLD_DATA, offsetof(struct x86_world_state, program.data), WORLD_DATA_SIZE, false },
    { "gdt+", 0, offsetof(struct x86_world_state, tables.gdt), sizeof(((struct x86_world_tables *)0)->gdt), true },
    { "ldt+", 0, offsetof(struct x86_world_state, tables.ldt), sizeof(((struct x86_world_tables *)0)->ldt), true },
    { "tss+", 0, offsetof(struct x86_world_state, tables.tss), sizeof(((struct x86_world_tables *)0)->tss), true },
    { "kernel-stack+", 0, offsetof(struct x86_world_state, tables.kernel_stack),
      sizeof(((struct x86_world_tables *)0)->kernel_stack), true },
    { "idt+", 0, offsetof(struct x86_world_state, tables.idt), sizeof(((struct x86_world_tables *)0)->idt), true },
    { "device.value", 0, offsetof(struct x86_world_state, devices.value), 8, true },
    { "device.accesses", 0, offsetof(struct x86_world_state, devices.accesses), 8, true },
    { "device.written", 0, offsetof(struct x86_world_state, devices.last), 8, true },
    { "tpr", 0, offsetof(struct x86_world_state, devices.tpr), 8, true },
    { "apic-msr", 0, offsetof(struct x86_world_state, devices.msr), 8, true },
};

const struct fields x86_parts = { table, areas, ARRAY_SIZE(areas) };
