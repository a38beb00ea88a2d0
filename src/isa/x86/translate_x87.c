/* SPDX-License-Identifier: MIT */
/*
 * The translator's x87 and MMX instructions: copied, while the guest's x87 state is in the host's FPU.
 *
 * It is loaded by XRSTOR when the first of them runs and goes back by XSAVE when translated code is left or a step function is
 * called; C code then finds the FPU as the ABI wants it. A TLB miss leaves it in place: nothing that is called there has x87 or
 * MMX instructions (meson.build forbids them to the compiler). It comes only while all exceptions are masked (x86_x87_away()),
 * and FLDCW keeps it so; hence no copied instruction can fault but for its memory operand, whose check comes first.
 *
 * The host's FIP is an address of ours. The guest's is known when the block is translated: it is pending in x->fip until
 * something may look at it. Out-of-line code brings its own (struct tail), a host fault finds it in the table of
 * instructions (struct x86_start), all else is preceded by xl_x87_settle(). FOP and FDP only change with unmasked exceptions
 * (docs/decisions/0007).
 *
 * Spec: SDM 1 8.1, 9.5, 13.7, 13.8
 */
#include <assert.h>
#include <string.h>

#include "isa/x86/fpu.h"
#include "isa/x86/insn_steps.h"
#include "isa/x86/translate_emit.h"

/* Offsets in the area. Spec: SDM 1 table 10-2, 13.4.2 */
enum { AREA_FCW = 0, AREA_FSW = 2, AREA_FTW = 4, AREA_ST = 32, AREA_XSTATE_BV = XSAVE_HEADER, ST_BYTES = 10 };

#define FPU(member) ((int32_t)offsetof(struct x86_cpu, fpu.member))

/* ---- moving the state ---- */

uint64_t x86_x87_away(const struct x86_cpu *c)
{
    return (c->fpu.fcw & FCW_MASKS) == FCW_MASKS && !(c->fpu.fsw & FSW_ES) ? 1 : 2;
}

void x86_x87_take(struct x86_frame *f, struct x86_cpu *c)
{
    memcpy(&c->fpu.fcw, f->x87_area + AREA_FCW, 2);
    memcpy(&c->fpu.fsw, f->x87_area + AREA_FSW, 2);
    c->fpu.ftw = f->x87_area[AREA_FTW];
    for (unsigned n = 0; n < 8; n++)
        memcpy(c->fpu.st[n], f->x87_area + AREA_ST + 16 * n, ST_BYTES);
    c->fpu.fip = f->x87_fip;
    f->x87_saved = 0;
}

static struct host_mem in_frame(int32_t disp)
{
    return host_mem(HOST_RSP, disp);
}

/* mov qword [rsp + disp], value */
static void put_store_imm(struct xl *x, int32_t disp, uint32_t value)
{
    XL_BYTES(x, 0x48, 0xc7, 0x84, 0x24);
    codebuf_put4(x->cb, (uint32_t)disp);
    codebuf_put4(x->cb, value);
}

/* edx:eax = the component x87; flags stay. */
static void put_component(struct xl *x)
{
    XL_BYTES(x, 0xb8, 1 << XSAVE_X87, 0, 0, 0); /* mov eax, imm32 */
    XL_BYTES(x, 0xba, 0, 0, 0, 0);              /* mov edx, imm32 */
}

void xl_x87_save_if_here(struct xl *x, int32_t disp)
{
    asm_alu_mem_imm(x->cb, HOST_CMP, 8, in_frame(disp + FRAME(x87_away)), 0);
    XL_BYTES(x, 0x0f, 0x85); /* jne */
    codebuf_put4(x->cb, 0);
    size_t from = x->cb->pos - 4;
    put_component(x);
    asm_xsave64(x->cb, in_frame(disp + FRAME(x87_area)));
    asm_fninit(x->cb);
    put_store_imm(x, disp + FRAME(x87_away), 1);
    put_store_imm(x, disp + FRAME(x87_saved), 1);
    xl_patch(x, from, x->cb->pos);
}

/* The CPU state at rcx into the area; rax is lost. */
static void put_fill_area(struct xl *x, int32_t disp)
{
    int32_t area = disp + FRAME(x87_area);
    static_assert(offsetof(struct x86_fpu, fsw) == offsetof(struct x86_fpu, fcw) + 2, "they are moved together");
    asm_load(x->cb, 4, HOST_RAX, host_mem(HOST_RCX, FPU(fcw)));
    asm_store(x->cb, 4, in_frame(area + AREA_FCW), HOST_RAX);
    XL_BYTES(x, 0x0f, 0xb6, 0x81); /* movzx eax, byte [rcx + disp32] */
    codebuf_put4(x->cb, (uint32_t)FPU(ftw));
    asm_store(x->cb, 4, in_frame(area + AREA_FTW), HOST_RAX);
    for (int32_t at = 0; at < 8 * 16; at += 8) {
        asm_load(x->cb, 8, HOST_RAX, host_mem(HOST_RCX, FPU(st) + at));
        asm_store(x->cb, 8, in_frame(area + AREA_ST + at), HOST_RAX);
    }
    put_store_imm(x, area + AREA_XSTATE_BV, 1 << XSAVE_X87);
}

/* rcx: frame.x87_away, not 0. 1: load and return; 2: bail. */
void xl_x87_stub(struct xl *x)
{
    enum { DISP = 3 * 8 }; /* return address and two registers */
    x->code->stub_x87_load = codebuf_here(x->cb);
    xl_lea(x, 8, H_RCX, H_RCX, H_RSP, 1, -1);
    XL_BYTES(x, 0xe3, 5 + 5);
    xl_lea(x, 8, H_RSP, H_RSP, H_RSP, 1, 8);
    (void)xl_jmp(x, x->code->stub_bail);
    asm_push(x->cb, HOST_RAX);
    asm_push(x->cb, HOST_RDX);
    asm_load(x->cb, 8, HOST_RCX, in_frame(DISP + FRAME(cpu)));
    put_fill_area(x, DISP);
    asm_load(x->cb, 8, HOST_RAX, host_mem(HOST_RCX, FPU(fip)));
    asm_store(x->cb, 8, in_frame(DISP + FRAME(x87_fip)), HOST_RAX);
    put_component(x);
    asm_xrstor64(x->cb, in_frame(DISP + FRAME(x87_area)));
    put_store_imm(x, DISP + FRAME(x87_away), 0);
    asm_pop(x->cb, HOST_RDX);
    asm_pop(x->cb, HOST_RAX);
    asm_ret(x->cb);
}

static void here(struct xl *x)
{
    if (x->x87_here)
        return;
    xl_x87_settle(x);
    xl_load(x, H_RCX, FRAME(x87_away));
    XL_BYTES(x, 0xe3, 9 + 5); /* jrcxz: it is here */
    xl_put_insn_off(x, xl_insn_off(x));
    xl_call(x, x->code->stub_x87_load);
    x->x87_here = true;
}

/* ---- the last instruction ---- */

void xl_x87_put_fip(struct xl *x, int32_t fip)
{
    xl_load(x, H_RCX, FRAME(page_va));
    xl_lea(x, 8, H_RCX, H_RCX, H_RSP, 1, fip);
    xl_store(x, FRAME(x87_fip), H_RCX);
}

void xl_x87_settle(struct xl *x)
{
    if (x->fip != NO_FIP)
        xl_x87_put_fip(x, x->fip);
    x->fip = NO_FIP;
}

/* ---- instructions ---- */

/* Control instructions that are not called out. */
static bool is_control(const struct x86_insn *i)
{
    x86_step_fn f = x86_row_step(i->row);
    return f == step_fldcw || f == step_fnstcw || f == step_fnstsw || f == step_fnclex || f == step_emms || f == step_nop;
}

bool xl_is_x87(const struct x86_insn *i)
{
    uint32_t flags = x86_rows[i->row].flags;
    if (i->step == step_fwait)
        return true;
    if (i->step == step_ud || !(flags & (ROW_X87 | ROW_MMX)) || (flags & (ROW_AVX | ROW_AVX512)))
        return false;
    return (flags & ROW_HOST) || is_control(i);
}

/* x86_check_fpu() and step_fwait() pass, if no exception is pending; code is dropped when that changes. */
static bool enabled(struct xl *x, uint32_t flags)
{
    xl_assume(x, X86_CONFIG_CR0(CR0_EM | CR0_TS));
    return !(x->c->cr0 & (CR0_EM | CR0_TS)) && (!(flags & ROW_SSE) || xl_vector_enabled(x, flags));
}

/* Bails if any exception would be unmasked. The operand is read once: another CPU may write it meanwhile. */
static bool fldcw(struct xl *x, const struct x86_insn *i)
{
    struct xl_place p;
    if (!xl_operand(x, i, 2, X86_READ, false, &p))
        return false;
    XL_BYTES(x, (uint8_t)(0x40 | (p.base >> 3 & 1)), 0x0f, 0xb7); /* movzx ecx, word [place] */
    xl_modrm_place(x, H_RCX, p);
    xl_store(x, FRAME(tmp), H_RCX);
    xl_pext(x, H_RCX, H_RCX, FRAME(fcw_masks));
    xl_lea(x, 8, H_RCX, H_RCX, H_RSP, 1, -FCW_MASKS);
    XL_BYTES(x, 0xe3, 5);
    xl_tail(x, (struct tail){ .kind = TAIL_BAIL, .from = xl_jmp(x, NULL), .off = x->off });
    XL_BYTES(x, 0xd9, 0x6c, 0x24, FRAME(tmp)); /* fldcw [rsp + tmp] */
    return true;
}

/* Sets FIP. */
static bool is_recorded(const struct x86_insn *i)
{
    const uint32_t recorded = ROW_X87 | ROW_HOST;
    return xl_is_x87(i) && (x86_rows[i->row].flags & recorded) == recorded;
}

bool xl_x87(struct xl *x, const struct x86_insn *i)
{
    const uint32_t flags = x86_rows[i->row].flags;
    x86_step_fn f = x86_row_step(i->row);
    if (!xl_is_x87(i) || !enabled(x, flags))
        return false;
    here(x);
    if (flags & ROW_SSE)
        xl_vector_here(x);
    if (f == step_fwait || f == step_nop) /* nothing is pending */
        return true;
    if (f == step_fldcw)
        return fldcw(x, i);
    if (!xl_copy(x, i, xl_mem_access(i)))
        return false;
    if (is_recorded(i))
        x->fip = x->off;
    return true;
}
