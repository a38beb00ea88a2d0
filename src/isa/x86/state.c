/* SPDX-License-Identifier: MIT */
/*
 * Reset, INIT, and the declared state of an x86 CPU.
 *
 * There is no firmware on our boards: reset leaves the memory type registers as firmware would have set them (all RAM
 * write-back, the video hole uncached), the same on every CPU, because a kernel complains when they differ or are off.
 *
 * A loaded state is hostile: post_load refuses values that no sequence of instructions could have left behind and that
 * the rest of the ISA relies on (mode bits, reserved bits that host instructions would fault on, canonical bases).
 *
 * Spec: Intel SDM 253668-081 3A 10.1.1, table 10-1; 4.10 for what invalidates translations
 */
#include "isa/x86/state.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "base/checked.h"
#include "core/vcpu.h"
#include "isa/x86/kvmpv.h"
#include "isa/x86/mmu.h"
#include "isa/x86/profile.h"
#include "isa/x86/sysreg.h"

enum {
    RESET_ATTR_CODE = SEG_P | SEG_S | SEG_TYPE_CODE | SEG_TYPE_RW | SEG_TYPE_A,
    RESET_ATTR_DATA = SEG_P | SEG_S | SEG_TYPE_RW | SEG_TYPE_A,
    RESET_ATTR_LDT = SEG_P | 2,
    RESET_ATTR_TSS = SEG_P | 11, /* busy 32-bit TSS */
    SEG_ATTR_BITS = SEG_TYPE | SEG_S | SEG_DPL | SEG_P | SEG_AVL | SEG_L | SEG_DB | SEG_G | SEG_UNUSABLE,
};
enum {
    RESET_MXCSR = 0x1f80,
    MXCSR_BITS = 0xffff,
    RESET_FCW = 0x40,
    MISC_ENABLE_RESET = 1 << 0 | 1 << 11 | 1 << 12, /* fast strings on; no BTS, no PEBS */
    FEATURE_CONTROL_LOCKED = 1,
    MTRR_DEF_RESET = 1 << 11 | 1 << 10 | 6, /* MTRRs on, fixed ones too, the rest write-back */
};
#define RESET_PAT 0x0007040600070406ULL
#define RESET_DR6 0xffff0ff0ULL
#define RESET_DR7 0x400ULL
#define RFLAGS_BITS                                                                                                              \
    ((uint64_t)(FLAGS_ARITH | FLAG_ONE | FLAG_TF | FLAG_IF | FLAG_DF | FLAG_IOPL | FLAG_NT | FLAG_RF | FLAG_VM | FLAG_AC         \
                | FLAG_VIF | FLAG_VIP | FLAG_ID))
#define DR6_TRAP_BITS 0xe00fULL /* B0-B3, BD, BS, BT */

/* What both power-on reset and INIT set. */
static void reset_common(struct x86_cpu *c)
{
    memset(c->gpr, 0, sizeof(c->gpr));
    c->gpr[RDX] = X86_SIGNATURE;
    c->rip = c->next_rip = 0xfff0;
    c->rflags = FLAG_ONE;
    for (unsigned s = 0; s < SEG_NR; s++)
        c->seg[s] = (struct x86_seg){ .limit = 0xffff, .attr = RESET_ATTR_DATA };
    c->seg[SEG_CS] = (struct x86_seg){ .base = 0xffff0000, .limit = 0xffff, .attr = RESET_ATTR_CODE, .sel = 0xf000 };
    c->seg[SEG_LDTR].attr = RESET_ATTR_LDT;
    c->seg[SEG_TR].attr = RESET_ATTR_TSS;
    c->gdtr = c->idtr = (struct x86_table_reg){ .limit = 0xffff };
    c->cr0 = CR0_ET | CR0_CD | CR0_NW;
    c->cr2 = c->cr3 = c->cr4 = c->efer = 0;
    memset(c->dr, 0, sizeof(c->dr));
    c->dr6 = RESET_DR6;
    c->dr7 = RESET_DR7;
    c->debugctl = 0;
    memset(c->pdpte, 0, sizeof(c->pdpte));
    x86_kvm_reset(c);
    c->hc_shared = 0;
    c->activity = c->vcpu && c->vcpu->id != 0 ? X86_WAIT_SIPI : X86_RUNNING;
    c->int_shadow = 0;
    c->nmi_blocked = c->nmi_pending = c->unhalted = false;
    c->pending_dbg = 0;
}

static void reset_fpu(struct x86_fpu *f)
{
    memset(f, 0, sizeof(*f));
    f->fcw = RESET_FCW;
    f->ftw = 0xff; /* eight zeroes, none empty */
    f->mxcsr = RESET_MXCSR;
}

static void reset_memory_types(struct x86_cpu *c)
{
    c->pat = RESET_PAT;
    c->mtrr_def_type = MTRR_DEF_RESET;
    memset(c->mtrr_var, 0, sizeof(c->mtrr_var));
    c->mtrr_fixed[0] = c->mtrr_fixed[1] = 0x0606060606060606; /* 0 to 9ffff: write-back */
    c->mtrr_fixed[2] = 0;                                     /* a0000 to bffff: uncached */
    for (unsigned i = 3; i < ARRAY_SIZE(c->mtrr_fixed); i++)
        c->mtrr_fixed[i] = 0x0505050505050505; /* c0000 to fffff: write-protected */
}

void x86_cpu_reset(struct x86_cpu *c)
{
    reset_common(c);
    reset_fpu(&c->fpu);
    reset_memory_types(c);
    c->xcr0 = XCR0_X87;
    c->xss = 0;
    c->star = c->lstar = c->cstar = c->fmask = c->kernel_gs_base = c->tsc_aux = 0;
    c->sysenter_cs = c->sysenter_esp = c->sysenter_eip = 0;
    c->misc_enable = MISC_ENABLE_RESET;
    c->tsc_adjust = c->spec_ctrl = 0;
    c->feature_control = FEATURE_CONTROL_LOCKED;
    memset(c->mc_status, 0, sizeof(c->mc_status));
    c->mcg_status = 0;
    c->kvm_clock_version = 0;
    x86_state_changed(c);
}

void x86_cpu_init_signal(struct x86_cpu *c)
{
    uint64_t cache_bits = c->cr0 & (CR0_CD | CR0_NW);
    reset_common(c);
    c->cr0 = CR0_ET | cache_bits;
    x86_state_changed(c);
}

void x86_state_changed(struct x86_cpu *c)
{
    x86_mode_update(c);
    x86_tlb_flush_all(c); /* picks the address space, too */
    c->code_written = true;
}

/* ---- loading ---- */

static int check_control(const struct x86_cpu *c, struct error *err)
{
    bool lma = (c->efer & EFER_LME) && (c->cr0 & CR0_PG);
    if (!x86_cr0_legal(c->cr0) || !(c->cr0 & CR0_ET))
        return error_set(err, -EINVAL, "CR0 cannot be %#" PRIx64, c->cr0);
    if (c->cr4 & ~x86_cr4_bits(c))
        return error_set(err, -EINVAL, "CR4 is %#" PRIx64 ", this CPU model has only the bits %#" PRIx64, c->cr4,
                         x86_cr4_bits(c));
    if ((c->efer & ~(uint64_t)(EFER_SCE | EFER_LME | EFER_LMA | EFER_NXE)) || !!(c->efer & EFER_LMA) != lma)
        return error_set(err, -EINVAL, "EFER cannot be %#" PRIx64 " with CR0 %#" PRIx64, c->efer, c->cr0);
    if ((lma && !(c->cr4 & CR4_PAE)) || ((c->cr4 & CR4_PCIDE) && !lma))
        return error_set(err, -EINVAL, "CR4 cannot be %#" PRIx64 " with EFER %#" PRIx64, c->cr4, c->efer);
    if (c->cr3 >> x86_phys_bits(c))
        return error_set(err, -EINVAL, "CR3 %#" PRIx64 " exceeds %u bits", c->cr3, x86_phys_bits(c));
    if (!x86_xcr0_legal(c, c->xcr0) || c->xss)
        return error_set(err, -EINVAL, "XCR0 %#" PRIx64 ", XSS %#" PRIx64 ": this CPU model has not all of them", c->xcr0,
                         c->xss);
    return 0;
}

static int check_core(const struct x86_cpu *c, struct error *err)
{
    if ((c->rflags & ~RFLAGS_BITS) || !(c->rflags & FLAG_ONE)
        || ((c->rflags & FLAG_VM) && (!(c->cr0 & CR0_PE) || (c->efer & EFER_LMA))))
        return error_set(err, -EINVAL, "RFLAGS cannot be %#" PRIx64, c->rflags);
    if (c->dr6 >> 32 || c->dr7 >> 32 || (c->pending_dbg & ~DR6_TRAP_BITS))
        return error_set(err, -EINVAL, "DR6 %#" PRIx64 ", DR7 %#" PRIx64 ": reserved bits are set", c->dr6, c->dr7);
    if (c->activity > X86_SHUTDOWN || c->int_shadow > 2)
        return error_set(err, -EINVAL, "activity %u, interrupt shadow %u: no such state", c->activity, c->int_shadow);
    if (c->fpu.mxcsr & ~MXCSR_BITS)
        return error_set(err, -EINVAL, "MXCSR %#x: reserved bits are set", c->fpu.mxcsr);
    return 0;
}

static int check_segments(const struct x86_cpu *c, struct error *err)
{
    for (unsigned s = 0; s < SEG_NR; s++) {
        if (c->seg[s].attr & ~SEG_ATTR_BITS)
            return error_set(err, -EINVAL, "segment register %u: attributes %#x", s, c->seg[s].attr);
        if (!x86_canonical(c->seg[s].base))
            return error_set(err, -EINVAL, "segment register %u: base %#" PRIx64 " is not canonical", s, c->seg[s].base);
    }
    if ((c->efer & EFER_LMA) && (c->seg[SEG_CS].attr & SEG_L) && (c->seg[SEG_CS].attr & SEG_DB))
        return error_set(err, -EINVAL, "the code segment is both 64-bit and 32-bit");
    if (!x86_canonical(c->gdtr.base) || !x86_canonical(c->idtr.base))
        return error_set(err, -EINVAL, "GDTR or IDTR base is not canonical");
    return 0;
}

static int check_msrs(const struct x86_cpu *c, struct error *err)
{
    const uint64_t address[] = { c->lstar, c->cstar, c->kernel_gs_base, c->sysenter_esp, c->sysenter_eip };
    for (unsigned i = 0; i < ARRAY_SIZE(address); i++)
        if (!x86_canonical(address[i]))
            return error_set(err, -EINVAL, "entry point or base %#" PRIx64 " is not canonical", address[i]);
    if (!x86_pat_legal(c->pat) || !x86_mtrr_type_legal((uint8_t)c->mtrr_def_type))
        return error_set(err, -EINVAL, "PAT %#" PRIx64 " or MTRR default type %#" PRIx64 " has an unknown memory type", c->pat,
                         c->mtrr_def_type);
    return 0;
}

static int cpu_post_load(void *object, struct error *err)
{
    struct x86_cpu *c = object;
    int r = check_control(c, err);
    if (r == 0)
        r = check_core(c, err);
    if (r == 0)
        r = check_segments(c, err);
    if (r == 0)
        r = check_msrs(c, err);
    if (r == 0)
        r = x86_kvm_loaded(c, err);
    if (r < 0)
        return r;
    c->next_rip = c->rip;
    x86_state_changed(c);
    x86_kvm_clock_refresh(c);
    return 0;
}

/* ---- the declaration ---- */

static const struct state_field seg_fields[] = {
    STATE_U64(struct x86_seg, base),
    STATE_U32(struct x86_seg, limit),
    STATE_U32(struct x86_seg, attr),
    STATE_U16(struct x86_seg, sel),
    STATE_END,
};
static const struct state_desc seg_desc = { .name = "x86-seg", .version = 1, .fields = seg_fields };

static const struct state_field table_fields[] = {
    STATE_U64(struct x86_table_reg, base),
    STATE_U16(struct x86_table_reg, limit),
    STATE_END,
};
static const struct state_desc table_desc = { .name = "x86-table", .version = 1, .fields = table_fields };

static const struct state_field fpu_fields[] = {
    STATE_U16(struct x86_fpu, fcw),
    STATE_U16(struct x86_fpu, fsw),
    STATE_U8(struct x86_fpu, ftw),
    STATE_U16(struct x86_fpu, fop),
    STATE_U64(struct x86_fpu, fip),
    STATE_U64(struct x86_fpu, fdp),
    STATE_BYTES(struct x86_fpu, st),
    STATE_U32(struct x86_fpu, mxcsr),
    STATE_BYTES(struct x86_fpu, zmm),
    STATE_ARRAY(struct x86_fpu, k, STATE_U64),
    STATE_END,
};
static const struct state_desc fpu_desc = { .name = "x86-fpu", .version = 1, .fields = fpu_fields };

static const struct state_field cpu_fields[] = {
    STATE_ARRAY(struct x86_cpu, gpr, STATE_U64),
    STATE_U64(struct x86_cpu, rip),
    STATE_U64(struct x86_cpu, rflags),
    STATE_STRUCTS(struct x86_cpu, seg, &seg_desc),
    STATE_STRUCT(struct x86_cpu, gdtr, &table_desc),
    STATE_STRUCT(struct x86_cpu, idtr, &table_desc),
    STATE_U64(struct x86_cpu, cr0),
    STATE_U64(struct x86_cpu, cr2),
    STATE_U64(struct x86_cpu, cr3),
    STATE_U64(struct x86_cpu, cr4),
    STATE_U64(struct x86_cpu, efer),
    STATE_U64(struct x86_cpu, xcr0),
    STATE_U64(struct x86_cpu, xss),
    STATE_ARRAY(struct x86_cpu, dr, STATE_U64),
    STATE_U64(struct x86_cpu, dr6),
    STATE_U64(struct x86_cpu, dr7),
    STATE_STRUCT(struct x86_cpu, fpu, &fpu_desc),
    STATE_U64(struct x86_cpu, star),
    STATE_U64(struct x86_cpu, lstar),
    STATE_U64(struct x86_cpu, cstar),
    STATE_U64(struct x86_cpu, fmask),
    STATE_U64(struct x86_cpu, kernel_gs_base),
    STATE_U64(struct x86_cpu, tsc_aux),
    STATE_U64(struct x86_cpu, sysenter_cs),
    STATE_U64(struct x86_cpu, sysenter_esp),
    STATE_U64(struct x86_cpu, sysenter_eip),
    STATE_U64(struct x86_cpu, pat),
    STATE_U64(struct x86_cpu, misc_enable),
    STATE_U64(struct x86_cpu, tsc_adjust),
    STATE_U64(struct x86_cpu, spec_ctrl),
    STATE_U64(struct x86_cpu, debugctl),
    STATE_U64(struct x86_cpu, feature_control),
    STATE_U64(struct x86_cpu, mtrr_def_type),
    STATE_ARRAY(struct x86_cpu, mtrr_fixed, STATE_U64),
    STATE_ARRAY(struct x86_cpu, mtrr_var, STATE_U64),
    STATE_ARRAY(struct x86_cpu, mc_status, STATE_U64),
    STATE_U64(struct x86_cpu, mcg_status),
    STATE_U64(struct x86_cpu, kvm_wall_clock),
    STATE_U64(struct x86_cpu, kvm_system_time),
    STATE_U64(struct x86_cpu, kvm_steal_time),
    STATE_U64(struct x86_cpu, kvm_pv_eoi),
    STATE_U64(struct x86_cpu, kvm_poll_control),
    STATE_U64(struct x86_cpu, hc_shared),
    STATE_U32(struct x86_cpu, kvm_clock_version),
    STATE_ARRAY(struct x86_cpu, pdpte, STATE_U64),
    STATE_U8(struct x86_cpu, activity),
    STATE_U8(struct x86_cpu, int_shadow),
    STATE_BOOL(struct x86_cpu, nmi_blocked),
    STATE_BOOL(struct x86_cpu, nmi_pending),
    STATE_BOOL(struct x86_cpu, unhalted),
    STATE_U64(struct x86_cpu, pending_dbg),
    STATE_END,
};

const struct state_desc x86_state_desc = {
    .name = "x86-cpu",
    .version = 3,
    .fields = cpu_fields,
    .post_load = cpu_post_load,
};
