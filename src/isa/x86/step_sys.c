/* SPDX-License-Identifier: MIT */
/*
 * The definition of the system instructions on control, debug and model-specific registers, identification, time, caches
 * and the TLB; of random numbers; and of what does nothing or does not exist.
 *
 * I/O instructions are in step_io.c, those on segments, interrupts and far transfers in step_far.c and its kin.
 *
 * Spec: Intel SDM 2A, 2B, the instruction's page
 */
#include <sched.h>
#include <stdatomic.h>
#include <sys/random.h>

#include "core/vcpu.h"
#include "core/vm.h"
#include "isa/x86/insn_steps.h"
#include "isa/x86/profile.h"
#include "isa/x86/step.h"
#include "isa/x86/sysreg.h"

static void need_cpl0(struct x86_cpu *c)
{
    if (c->cpl != 0)
        x86_raise_err(c, X86_GP, 0);
}

static void set_edx_eax(struct x86_cpu *c, uint64_t v)
{
    c->gpr[RAX] = (uint32_t)v;
    c->gpr[RDX] = v >> 32;
}

static uint64_t edx_eax(const struct x86_cpu *c)
{
    return c->gpr[RDX] << 32 | (uint32_t)c->gpr[RAX];
}

/* ---- nothing, and what is not there ---- */

void step_ud(struct x86_cpu *c, const struct x86_insn *i)
{
    (void)i;
    x86_raise(c, X86_UD);
}

void step_nop(struct x86_cpu *c, const struct x86_insn *i)
{
    (void)c, (void)i;
}

/* A CPU that waits for another lets it run: the host may have fewer CPUs than the guest. */
void step_pause(struct x86_cpu *c, const struct x86_insn *i)
{
    (void)i;
    if (c->vcpu && c->vcpu->vm && c->vcpu->vm->nr_vcpus > 1)
        (void)sched_yield(); /* cannot fail */
}

void step_fence(struct x86_cpu *c, const struct x86_insn *i)
{
    (void)c, (void)i;
    atomic_thread_fence(memory_order_seq_cst);
}

void step_serialize(struct x86_cpu *c, const struct x86_insn *i)
{
    step_fence(c, i);
}

/* No model offers them: see profile.c. */
void step_monitor(struct x86_cpu *c, const struct x86_insn *i)
{
    step_ud(c, i);
}

void step_mwait(struct x86_cpu *c, const struct x86_insn *i)
{
    step_ud(c, i);
}

/* ---- identification and time ---- */

void step_cpuid(struct x86_cpu *c, const struct x86_insn *i)
{
    (void)i;
    uint32_t r[4];
    x86_cpuid(c, (uint32_t)c->gpr[RAX], (uint32_t)c->gpr[RCX], r);
    c->gpr[RAX] = r[0];
    c->gpr[RBX] = r[1];
    c->gpr[RCX] = r[2];
    c->gpr[RDX] = r[3];
}

static void need_tsc(struct x86_cpu *c)
{
    if (c->cpl != 0 && (c->cr4 & CR4_TSD))
        x86_raise_err(c, X86_GP, 0);
}

void step_rdtsc(struct x86_cpu *c, const struct x86_insn *i)
{
    (void)i;
    need_tsc(c);
    set_edx_eax(c, x86_tsc(c));
}

void step_rdtscp(struct x86_cpu *c, const struct x86_insn *i)
{
    (void)i;
    need_tsc(c);
    set_edx_eax(c, x86_tsc(c));
    c->gpr[RCX] = (uint32_t)c->tsc_aux;
}

void step_rdpid(struct x86_cpu *c, const struct x86_insn *i)
{
    gpr_write(c, i->op[0].reg, (uint32_t)c->tsc_aux, i->op[0].size);
}

/* There is no performance monitoring unit, hence no counter to name. */
void step_rdpmc(struct x86_cpu *c, const struct x86_insn *i)
{
    (void)i;
    x86_raise_err(c, X86_GP, 0);
}

/* ---- registers ---- */

void step_rdmsr(struct x86_cpu *c, const struct x86_insn *i)
{
    (void)i;
    need_cpl0(c);
    set_edx_eax(c, x86_msr_read(c, (uint32_t)c->gpr[RCX]));
}

void step_wrmsr(struct x86_cpu *c, const struct x86_insn *i)
{
    (void)i;
    need_cpl0(c);
    x86_msr_write(c, (uint32_t)c->gpr[RCX], edx_eax(c));
}

static bool cr_exists(unsigned n)
{
    return n == 0 || n == 2 || n == 3 || n == 4 || n == 8;
}

void step_mov_from_cr(struct x86_cpu *c, const struct x86_insn *i)
{
    unsigned n = i->op[1].reg;
    if (!cr_exists(n))
        x86_raise(c, X86_UD);
    need_cpl0(c);
    uint64_t v = 0;
    switch (n) {
    case 0: v = c->cr0; break;
    case 2: v = c->cr2; break;
    case 3: v = c->cr3; break;
    case 4: v = c->cr4; break;
    case 8: v = x86_cr8_read(c); break;
    }
    gpr_write(c, i->op[0].reg, v, i->op[0].size);
}

void step_mov_to_cr(struct x86_cpu *c, const struct x86_insn *i)
{
    unsigned n = i->op[0].reg;
    if (!cr_exists(n))
        x86_raise(c, X86_UD);
    need_cpl0(c);
    uint64_t v = gpr_read(c, i->op[1].reg, i->op[1].size);
    switch (n) {
    case 0: x86_cr0_write(c, v); break;
    case 2: c->cr2 = v; break;
    case 3: x86_cr3_write(c, v); break;
    case 4: x86_cr4_write(c, v); break;
    case 8: x86_cr8_write(c, v); break;
    }
}

/* #UD comes before the privilege check, #DB (in x86_dr_*) after it. */
static void dr_check(struct x86_cpu *c, unsigned n)
{
    if (n > 7 || ((n == 4 || n == 5) && (c->cr4 & CR4_DE)))
        x86_raise(c, X86_UD);
    need_cpl0(c);
}

void step_mov_from_dr(struct x86_cpu *c, const struct x86_insn *i)
{
    unsigned n = i->op[1].reg;
    dr_check(c, n);
    gpr_write(c, i->op[0].reg, x86_dr_read(c, n), i->op[0].size);
}

void step_mov_to_dr(struct x86_cpu *c, const struct x86_insn *i)
{
    unsigned n = i->op[0].reg;
    dr_check(c, n);
    x86_dr_write(c, n, gpr_read(c, i->op[1].reg, i->op[1].size));
}

void step_clts(struct x86_cpu *c, const struct x86_insn *i)
{
    (void)i;
    need_cpl0(c);
    c->cr0 &= ~(uint64_t)CR0_TS;
}

static void set_ac(struct x86_cpu *c, bool on)
{
    if (c->cpl != 0)
        x86_raise(c, X86_UD);
    c->rflags = on ? c->rflags | FLAG_AC : c->rflags & ~(uint64_t)FLAG_AC;
    x86_flags_update(c);
}

void step_clac(struct x86_cpu *c, const struct x86_insn *i)
{
    (void)i;
    set_ac(c, false);
}

void step_stac(struct x86_cpu *c, const struct x86_insn *i)
{
    (void)i;
    set_ac(c, true);
}

void step_hlt(struct x86_cpu *c, const struct x86_insn *i)
{
    (void)i;
    need_cpl0(c);
    c->activity = X86_HALTED;
}

/* ---- caches and the TLB ---- */

/* INVD too: our caches are always clean. */
void step_wbinvd(struct x86_cpu *c, const struct x86_insn *i)
{
    (void)i;
    need_cpl0(c);
}

/* Flushes nothing, but faults as a read would, without reading (a device register, say). */
void step_clflush(struct x86_cpu *c, const struct x86_insn *i)
{
    struct x86_walk w;
    gva_t lin = insn_lin(c, i, 1, X86_READ);
    uint32_t fault = x86_walk(c, lin, X86_READ, (enum x86_tlb_bank)c->bank, &w);
    if (fault)
        x86_raise_pf(c, lin, fault & 0x7fffffff);
}

/* Takes any address: no limit, no canonical check. */
void step_invlpg(struct x86_cpu *c, const struct x86_insn *i)
{
    need_cpl0(c);
    gva_t lin = insn_ea(c, i);
    if (c->mode != X86_MODE_64)
        lin = (uint32_t)(lin + c->seg[i->seg].base);
    else if (i->seg == SEG_FS || i->seg == SEG_GS)
        lin += c->seg[i->seg].base;
    if (x86_canonical(lin))
        x86_tlb_flush_page(c, lin);
}

void step_invpcid(struct x86_cpu *c, const struct x86_insn *i)
{
    enum { ADDRESS, CONTEXT, ALL_GLOBAL, ALL, TYPES };
    need_cpl0(c);
    uint64_t type = gpr_read(c, i->op[0].reg, i->op[0].size), desc[2];
    x86_mem_read_bytes(c, (enum x86_seg_reg)i->seg, insn_ea(c, i), desc, sizeof(desc));
    unsigned current = c->cr4 & CR4_PCIDE ? c->cr3 & 0xfff : 0;
    bool one = type == ADDRESS || type == CONTEXT;
    if (type >= TYPES || (desc[0] >> 12) || (one && desc[0] && !(c->cr4 & CR4_PCIDE))
        || (type == ADDRESS && !x86_canonical(desc[1])))
        x86_raise_err(c, X86_GP, 0);
    if (type == ADDRESS && desc[0] == current)
        x86_tlb_flush_page(c, desc[1]);
    else if (one)
        x86_tlb_flush_pcid(c, (int)desc[0]);
    else if (type == ALL_GLOBAL)
        x86_tlb_flush_all(c);
    else
        x86_tlb_flush_pcid(c, -1);
}

/* ---- random numbers ---- */

static void random_number(struct x86_cpu *c, const struct x86_insn *i)
{
    uint64_t v = 0;
    bool ok = getrandom(&v, sizeof(v), 0) == sizeof(v); /* else: carry clear, the guest asks again */
    gpr_write(c, i->op[0].reg, ok ? v : 0, i->op[0].size);
    c->rflags = (c->rflags & ~(uint64_t)FLAGS_ARITH) | (ok ? FLAG_CF : 0);
}

void step_rdrand(struct x86_cpu *c, const struct x86_insn *i)
{
    random_number(c, i);
}

void step_rdseed(struct x86_cpu *c, const struct x86_insn *i)
{
    random_number(c, i);
}
