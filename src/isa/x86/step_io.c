/* SPDX-License-Identifier: MIT */
/*
 * The definition of the I/O instructions: IN, OUT, INS, OUTS.
 *
 * A device register is touched once all that can fault has been checked, because that cannot be undone. A repeated one
 * may be left after any element, see step_string.c.
 *
 * Spec: Intel SDM 2A IN, INS; 2B OUT, OUTS; volume 1 19.5 (IOPL, I/O permission bit map)
 */
#include "core/vcpu.h"
#include "core/vm.h"
#include "isa/x86/hypercall.h"
#include "isa/x86/insn_steps.h"
#include "isa/x86/step.h"

enum { TSS32_IO_BASE = 102, TSS32_LIMIT_MIN = 103, TSS32_AVAILABLE = 9, TSS32_BUSY = 11 };

/* Does the TSS's bit map let this program at `size` ports from `port` on? */
static bool bitmap_allows(struct x86_cpu *c, uint16_t port, unsigned size)
{
    const struct x86_seg *tr = &c->seg[SEG_TR];
    unsigned type = tr->attr & (SEG_TYPE | SEG_S | SEG_P);
    if ((type != (SEG_P | TSS32_AVAILABLE) && type != (SEG_P | TSS32_BUSY)) || tr->limit < TSS32_LIMIT_MIN)
        return false;
    uint64_t map = x86_lin_read(c, tr->base + TSS32_IO_BASE, 2, X86_BANK_KERNEL);
    uint64_t at = map + port / 8;
    if (at + 1 > tr->limit) /* always two bytes: the ports may straddle */
        return false;
    uint64_t bits = x86_lin_read(c, tr->base + at, 2, X86_BANK_KERNEL);
    return !(bits >> (port & 7) & ((1U << size) - 1));
}

static void check_permission(struct x86_cpu *c, uint16_t port, unsigned size)
{
    bool v86 = c->rflags & FLAG_VM;
    unsigned iopl = (unsigned)(c->rflags & FLAG_IOPL) >> 12;
    if (!(c->cr0 & CR0_PE) || (!v86 && c->cpl <= iopl))
        return;
    if (!bitmap_allows(c, port, size))
        x86_raise_err(c, X86_GP, 0);
}

static uint64_t port_in(struct x86_cpu *c, uint16_t port, unsigned size)
{
    if (c->slow)
        x86_check_breakpoint_data(c, port, size, false, true);
    if (!c->vcpu || !c->vcpu->vm)
        return size_mask(size);
    return vm_pio_read(c->vcpu->vm, port, size);
}

static void port_out(struct x86_cpu *c, uint16_t port, uint64_t v, unsigned size)
{
    if (c->slow)
        x86_check_breakpoint_data(c, port, size, true, true);
    if (c->vcpu && c->vcpu->vm)
        vm_pio_write(c->vcpu->vm, port, v & size_mask(size), size);
}

static uint16_t port_of(const struct x86_cpu *c, const struct x86_opnd *o, const struct x86_insn *i)
{
    return o->kind == OPND_IMM ? (uint8_t)i->imm : (uint16_t)c->gpr[RDX];
}

void step_in(struct x86_cpu *c, const struct x86_insn *i)
{
    unsigned size = i->op[0].size;
    uint16_t port = port_of(c, &i->op[1], i);
    check_permission(c, port, size);
    gpr_write(c, RAX, port_in(c, port, size), size);
}

void step_out(struct x86_cpu *c, const struct x86_insn *i)
{
    unsigned size = i->op[1].size;
    uint16_t port = port_of(c, &i->op[0], i);
    check_permission(c, port, size);
    if (x86_is_hypercall(c, port, size))
        x86_hypercall(c);
    else
        port_out(c, port, c->gpr[RAX], size);
}

/* After one element: moves the index register and counts; false when the loop ends (done, or wanted elsewhere: begun again). */
static bool next_element(struct x86_cpu *c, const struct x86_insn *i, unsigned index, unsigned size)
{
    uint64_t by = c->rflags & FLAG_DF ? -(uint64_t)size : size;
    gpr_write(c, index, c->gpr[index] + by, i->addrsize);
    if (!i->rep)
        return false;
    uint64_t left = gpr_read(c, RCX, i->addrsize) - 1;
    gpr_write(c, RCX, left, i->addrsize);
    if (left && (c->slow || c->pending_dbg || (c->vcpu && (vcpu_requests(c->vcpu) & ~(uint32_t)VCPU_REQ_CODE)))) {
        c->next_rip = c->rip;
        return false;
    }
    return left;
}

static bool nothing_to_do(const struct x86_cpu *c, const struct x86_insn *i)
{
    return i->rep && !gpr_read(c, RCX, i->addrsize);
}

void step_ins(struct x86_cpu *c, const struct x86_insn *i)
{
    unsigned size = i->opsize;
    uint16_t port = (uint16_t)c->gpr[RDX];
    check_permission(c, port, size);
    if (nothing_to_do(c, i))
        return;
    do {
        gva_t lin = x86_seg_lin(c, SEG_ES, gpr_read(c, RDI, i->addrsize), size, X86_WRITE);
        x86_lin_probe_write(c, lin, size, (enum x86_tlb_bank)c->bank);
        x86_lin_write(c, lin, port_in(c, port, size), size, (enum x86_tlb_bank)c->bank);
    } while (next_element(c, i, RDI, size));
}

void step_outs(struct x86_cpu *c, const struct x86_insn *i)
{
    unsigned size = i->opsize;
    uint16_t port = (uint16_t)c->gpr[RDX];
    check_permission(c, port, size);
    if (nothing_to_do(c, i))
        return;
    do {
        uint64_t v = x86_mem_read(c, (enum x86_seg_reg)i->seg, gpr_read(c, RSI, i->addrsize), size);
        port_out(c, port, v, size);
    } while (next_element(c, i, RSI, size));
}
