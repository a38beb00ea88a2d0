/* SPDX-License-Identifier: MIT */
/*
 * The translator's instructions on flags and system registers that need no call: CLI, STI, PUSHF, POPF, CLAC, STAC, RDTSC,
 * RDTSCP, FS and GS bases, reads of control registers and selectors.
 *
 * Arithmetic flags and DF are the host's; IF, AC and the rest are words of the frame, whose sum with the host's is RFLAGS. CLAC
 * and STAC change the bank that the code behind them is translated for.
 *
 * STI holds interrupts off for one more instruction. Translated code takes interrupts where blocks begin only, and STI is
 * called out when it is the last of a block: so the shadow is over by then, and shows only when the next instruction
 * leaves without being done: its insn_off says so (FRAME_IN_SHADOW). An interrupt that was put aside makes what would enable
 * it bail.
 */
#include "core/vcpu.h"
#include "core/vm.h"
#include "isa/x86/insn_steps.h"
#include "isa/x86/translate_emit.h"

enum { SIB_NONE = H_RSP };

/* mov qword [rsp + disp], v */
static void put_frame_imm(struct xl *x, int32_t disp, uint32_t v)
{
    XL_BYTES(x, 0x48, 0xc7, 0x84, 0x24);
    codebuf_put4(x->cb, (uint32_t)disp);
    codebuf_put4(x->cb, v);
}

/* dst = the CPU state's 8 or 4 bytes at offset; rcx is lost. */
static void load_cpu(struct xl *x, unsigned size, unsigned dst, size_t offset)
{
    xl_load(x, H_RCX, FRAME(cpu));
    asm_load(x->cb, size, hg(dst), host_mem(HOST_RCX, (int32_t)offset));
}

/* Bails unless rcx is 0. */
static void bail_unless_rcx_0(struct xl *x)
{
    XL_BYTES(x, 0xe3, 5);
    xl_tail(x, (struct tail){ .kind = TAIL_BAIL, .from = xl_jmp(x, NULL), .off = x->off });
}

/* ---- flags ---- */

static void set_ac(struct xl *x, bool on)
{
    unsigned bank = on || !(x->c->cr4 & CR4_SMAP) ? X86_BANK_KERNEL_AC : X86_BANK_KERNEL;
    if (!on)
        xl_assume(x, X86_CONFIG_CR4(CR4_SMAP));
    put_frame_imm(x, FRAME(flag_ac), on ? FLAG_AC : 0);
    if (bank == x->bank)
        return;
    xl_load(x, H_RCX, FRAME(cpu));
    XL_BYTES(x, 0xc6, 0x81); /* mov byte [rcx + bank], bank */
    codebuf_put4(x->cb, offsetof(struct x86_cpu, bank));
    codebuf_put1(x->cb, (uint8_t)bank);
    x->bank = bank;
    xl_forget_checks(x);
}

static bool sti(struct xl *x)
{
    if (x->k + 1 == x->nr)
        return false;
    xl_load(x, H_RCX, FRAME(irq_held));
    bail_unless_rcx_0(x);
    xl_load(x, H_RCX, FRAME(flag_if));
    xl_store(x, FRAME(if_before), H_RCX);
    put_frame_imm(x, FRAME(flag_if), FLAG_IF);
    x->shadow = true;
    return true;
}

/* rcx += [rsp + word] + plus, by way of r11 */
static void add_word(struct xl *x, int32_t word, int32_t plus)
{
    xl_load(x, H_R11, word);
    xl_lea(x, 8, H_RCX, H_RCX, H_R11, 1, plus);
}

static bool pushf(struct xl *x, const struct x86_insn *i)
{
    if (i->opsize != 8)
        return false;
    asm_pushfq(x->cb);
    asm_pop(x->cb, HOST_RCX);
    xl_pext(x, H_RCX, H_RCX, FRAME(flags_mask)); /* only what is the guest's of it */
    xl_pdep(x, H_RCX, H_RCX, FRAME(flags_mask));
    add_word(x, FRAME(flag_if), FLAG_ONE);
    add_word(x, FRAME(flag_ac), 0);
    add_word(x, FRAME(flags_rest), 0);
    xl_store(x, FRAME(tmp), H_RCX);
    xl_store_rcx_at(x, xl_stack(x, RSP, -8, X86_WRITE), FRAME(tmp), 0);
    xl_lea(x, 8, H_R15, H_R15, SIB_NONE, 1, -8);
    return true;
}

/* Bails, by the host's condition code cc. */
static void bail_if(struct xl *x, unsigned cc)
{
    XL_BYTES(x, 0x0f, (uint8_t)(0x80 | cc));
    codebuf_put4(x->cb, 0);
    xl_tail(x, (struct tail){ .kind = TAIL_BAIL, .from = x->cb->pos - 4, .off = x->off });
}

/* The host's arithmetic flags from r11, and DF = 0; rcx is lost. (POPF takes the host five times as long.) */
static void put_host_flags(struct xl *x)
{
    XL_BYTES(x, 0x48, 0x89, 0xc1); /* mov rcx, rax */
    XL_BYTES(x, 0x44, 0x89, 0xd8); /* mov eax, r11d */
    XL_BYTES(x, 0x86, 0xe0);       /* xchg al, ah: the low byte is where SAHF wants it */
    XL_BYTES(x, 0xc0, 0xe8, 3);    /* shr al, 3: OF is bit 0 */
    XL_BYTES(x, 0x24, 1);          /* and al, 1 */
    XL_BYTES(x, 0x04, 0x7f);       /* add al, 0x7f: overflows if it was set */
    XL_BYTES(x, 0x9e);             /* sahf */
    XL_BYTES(x, 0x48, 0x89, 0xc8); /* mov rax, rcx */
    XL_BYTES(x, 0xfc);             /* cld */
}

/* What changes no more than arithmetic flags and IF; the rest bails. No flag is read before POPF writes it, so its own code may
 * use them. */
static bool popf(struct xl *x, const struct x86_insn *i)
{
    enum { NOT_EQUAL = 5 };
    bool kernel = x->bank != X86_BANK_USER;
    if (i->opsize != 8)
        return false;
    xl_load_at(x, xl_stack(x, RSP, 0, X86_READ), H_R11);
    XL_BYTES(x, 0x44, 0x89, 0xd9, 0x81, 0xe1); /* mov ecx, r11d; and ecx, what must stay */
    codebuf_put4(x->cb, FLAG_TF | FLAG_NT | FLAG_AC | FLAG_ID | (kernel ? FLAG_IOPL : 0));
    XL_BYTES(x, 0x48, 0x2b, 0x8c, 0x24); /* sub rcx, [rsp + flags_rest] */
    codebuf_put4(x->cb, (uint32_t)FRAME(flags_rest));
    XL_BYTES(x, 0x48, 0x2b, 0x8c, 0x24); /* sub rcx, [rsp + flag_ac] */
    codebuf_put4(x->cb, (uint32_t)FRAME(flag_ac));
    bail_if(x, NOT_EQUAL);
    XL_BYTES(x, 0x41, 0xf7, 0xc3); /* test r11d, DF */
    codebuf_put4(x->cb, FLAG_DF);
    bail_if(x, NOT_EQUAL);
    if (kernel) {                                  /* elsewhere IF stays: IOPL, which is among flags_rest, is 0 */
        XL_BYTES(x, 0x44, 0x89, 0xd9, 0x81, 0xe1); /* mov ecx, r11d; and ecx, IF */
        codebuf_put4(x->cb, FLAG_IF);
        XL_BYTES(x, 0x48, 0x85, 0x8c, 0x24); /* test [rsp + irq_held], rcx */
        codebuf_put4(x->cb, (uint32_t)FRAME(irq_held));
        bail_if(x, NOT_EQUAL);
        xl_store(x, FRAME(flag_if), H_RCX);
    }
    put_host_flags(x);
    put_frame_imm(x, FRAME(flag_df), 0);
    xl_lea(x, 8, H_R15, H_R15, SIB_NONE, 1, 8);
    return true;
}

/* ---- registers ---- */

/* The host register to make guest register `guest` in; done() puts it where it belongs. */
static unsigned target(unsigned guest)
{
    return xr_host(guest) == XR_MEM ? H_R11 : xr_host(guest);
}

static bool done(struct xl *x, unsigned guest)
{
    if (xr_host(guest) == XR_MEM)
        xl_store(x, xr_frame(guest), H_R11);
    return true;
}

static bool from_cr(struct xl *x, const struct x86_insn *i)
{
    static const size_t offset[] = { [0] = offsetof(struct x86_cpu, cr0),
                                     [2] = offsetof(struct x86_cpu, cr2),
                                     [3] = offsetof(struct x86_cpu, cr3),
                                     [4] = offsetof(struct x86_cpu, cr4) };
    unsigned n = i->op[1].reg;
    if (x->bank == X86_BANK_USER || n == 1 || n > 4)
        return false;
    load_cpu(x, 8, target(i->op[0].reg), offset[n]);
    return done(x, i->op[0].reg);
}

static bool from_selector(struct xl *x, const struct x86_insn *i)
{
    size_t at = offsetof(struct x86_cpu, seg) + i->op[1].reg * sizeof(struct x86_seg) + offsetof(struct x86_seg, sel);
    const struct x86_opnd *to = &i->op[0];
    struct xl_place p;
    unsigned h = H_R11;
    if (i->op[1].reg > SEG_GS)
        return false;
    if (to->kind == OPND_MEM) {
        if (!xl_operand(x, i, 2, X86_WRITE, false, &p))
            return false;
        xl_fold(x, p);
    } else {
        h = target(to->reg);
        if (i->opsize < 4 && h == H_R11)
            xl_load(x, H_R11, xr_frame(to->reg));
    }
    xl_load(x, H_RCX, FRAME(cpu));
    XL_BYTES(x, 0x0f, 0xb7, 0x89); /* movzx ecx, word [rcx + at] */
    codebuf_put4(x->cb, (uint32_t)at);
    if (to->kind == OPND_MEM) {
        XL_BYTES(x, 0x66, 0x41, 0x89, 0x0b); /* mov [r11], cx */
        return true;
    }
    if (i->opsize < 4) /* the rest of it stays */
        codebuf_put1(x->cb, 0x66);
    XL_BYTES(x, (uint8_t)(0x40 | h >> 3), 0x89, (uint8_t)(0xc8 | (h & 7))); /* mov h, ecx or cx */
    return done(x, to->reg);
}

static bool base(struct xl *x, const struct x86_insn *i, enum x86_seg_reg seg, bool write)
{
    int32_t in_frame = seg == SEG_FS ? FRAME(fs_base) : FRAME(gs_base);
    unsigned guest = i->op[0].reg, h = xr_host(guest);
    xl_assume(x, X86_CONFIG_CR4(CR4_FSGSBASE));
    if (!(x->c->cr4 & CR4_FSGSBASE) || i->opsize < 4)
        return false;
    if (!write) {
        asm_load(x->cb, i->opsize, hg(target(guest)), host_mem(HOST_RSP, in_frame));
        return done(x, guest);
    }
    if (h == XR_MEM)
        asm_load(x->cb, i->opsize, HOST_R11, host_mem(HOST_RSP, xr_frame(guest)));
    else
        asm_mov(x->cb, i->opsize, HOST_R11, hg(h));
    xl_canonical(x);
    bail_unless_rcx_0(x);
    xl_store(x, in_frame, H_R11);
    xl_load(x, H_RCX, FRAME(cpu));
    asm_store(x->cb, 8,
              host_mem(HOST_RCX,
                       (int32_t)(offsetof(struct x86_cpu, seg) + seg * sizeof(struct x86_seg) + offsetof(struct x86_seg, base))),
              HOST_R11);
    return true;
}

/* ---- time ---- */

/* rorx rdx, rdx, 32 */
static void swap_rdx(struct xl *x)
{
    XL_BYTES(x, 0xc4, 0xe3, 0xfb, 0xf0, 0xd2, 32);
}

/* As x86_tsc(); flags stay. */
static bool rdtsc(struct xl *x, bool with_aux)
{
    if (x->bank == X86_BANK_USER)
        xl_assume(x, X86_CONFIG_CR4(CR4_TSD));
    if (!x->c->vcpu || !x->c->vcpu->vm || (x->bank == X86_BANK_USER && (x->c->cr4 & CR4_TSD)))
        return false;
    const struct vm_clock *clock = &x->c->vcpu->vm->clock;
    asm_mov_imm(x->cb, HOST_RCX, (uint64_t)(uintptr_t)clock);
    XL_BYTES(x, 0x0f, 0xb6, 0x89); /* movzx ecx, byte [rcx + running] */
    codebuf_put4(x->cb, offsetof(struct vm_clock, running));
    XL_BYTES(x, 0xe3, 2, 0xeb, 5); /* jrcxz over the jump over the jump */
    xl_tail(x, (struct tail){ .kind = TAIL_BAIL, .from = xl_jmp(x, NULL), .off = x->off });
    if (with_aux)
        XL_BYTES(x, 0x0f, 0xae, 0xe8); /* lfence: what stands before is done */
    XL_BYTES(x, 0x0f, 0x31);
    swap_rdx(x);
    xl_lea(x, 8, H_RDX, H_RDX, H_RAX, 1, 0);
    asm_mov_imm(x->cb, HOST_RCX, (uint64_t)(uintptr_t)clock);
    asm_load(x->cb, 8, HOST_RCX, host_mem(HOST_RCX, offsetof(struct vm_clock, tsc_offset)));
    xl_lea(x, 8, H_RDX, H_RDX, H_RCX, 1, 0);
    load_cpu(x, 8, H_RCX, offsetof(struct x86_cpu, tsc_adjust));
    xl_lea(x, 8, H_RDX, H_RDX, H_RCX, 1, 0);
    asm_mov(x->cb, 4, HOST_RAX, HOST_RDX);
    swap_rdx(x);
    asm_mov(x->cb, 4, HOST_RDX, HOST_RDX);
    if (with_aux)
        load_cpu(x, 4, xr_host(RCX), offsetof(struct x86_cpu, tsc_aux));
    return true;
}

/* Those that only the supervisor may do: at CPL 0, where all its code is translated, their checks pass. */
static bool supervisor(struct xl *x, x86_step_fn f)
{
    if (x->bank == X86_BANK_USER)
        return false;
    if (f == step_cli)
        put_frame_imm(x, FRAME(flag_if), 0);
    else if (f == step_clac || f == step_stac)
        set_ac(x, f == step_stac);
    else
        return f == step_sti && sti(x);
    return true;
}

bool xl_sys(struct xl *x, const struct x86_insn *i)
{
    x86_step_fn f = i->step;
    if (f == step_pushf)
        return pushf(x, i);
    if (f == step_popf)
        return popf(x, i);
    if (f == step_cld) { /* STD, which is rare, is called out */
        codebuf_put1(x->cb, 0xfc);
        put_frame_imm(x, FRAME(flag_df), 0);
        return true;
    }
    if (f == step_rdtsc || f == step_rdtscp)
        return rdtsc(x, f == step_rdtscp);
    if (f == step_mov_from_cr)
        return from_cr(x, i);
    if (f == step_mov_from_sreg)
        return from_selector(x, i);
    if (f == step_rdfsbase || f == step_wrfsbase)
        return base(x, i, SEG_FS, f == step_wrfsbase);
    if (f == step_rdgsbase || f == step_wrgsbase)
        return base(x, i, SEG_GS, f == step_wrgsbase);
    if (f == step_serialize) {
        XL_BYTES(x, 0x0f, 0xae, 0xf0); /* mfence; changed code is seen anyway */
        return true;
    }
    return supervisor(x, f);
}
