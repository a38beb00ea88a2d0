/* SPDX-License-Identifier: MIT */
/*
 * The host code all translated blocks share: entry and exit, TLB misses, call-outs, vector registers; and its C side.
 *
 * Inside translated code rsp is the frame; a call pushes below it, onto the stack that lies there, and C functions run on that
 * same stack. A step function that raises longjmps away from it, which is fine: nothing there is owned.
 */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/asan.h"
#include "core/vcpu.h"
#include "core/vm.h"
#include "isa/x86/fpu.h"
#include "isa/x86/hostexec.h"
#include "isa/x86/insn_steps.h"
#include "isa/x86/step.h"
#include "isa/x86/tlb.h"
#include "isa/x86/translate_emit.h"
#include "isa/x86/translate_log.h"
#include "isa/x86/translate_light.h"

/* Guest registers that live in host registers of their own, and where they are saved. */
static const uint8_t IN_HOST[] = { RAX, RCX, RDX, RBX, RSP, RBP, RSI, RDI, R8, R9, R10, R11, R12 };
static const uint8_t IN_FRAME[] = { R13, R14, R15 };
enum { IN_HOST_NR = sizeof(IN_HOST), IN_FRAME_NR = sizeof(IN_FRAME), MXCSR_MASKS = 0x1f80 };
/* Cycles between misses of sites below which a place had better use the table: one that goes from page to next page hits in
 * between, one that goes anywhere hardly does. */
enum { SITE_MISSES = 256, SITE_CYCLES = 800, SITE_CYCLES_NEXT = 150 };

/* ---- C side ---- */

/* The general registers pass between host and CPU state in the stubs; here the rest. */
static void frame_load(struct x86_frame *f, const struct x86_cpu *c)
{
    x86_frame_flags_load(f, c);
    f->fs_base = c->seg[SEG_FS].base;
    f->gs_base = c->seg[SEG_GS].base;
    /* unmasked exceptions and AVX-512 state are the interpreter's business */
    bool plain = (c->fpu.mxcsr & MXCSR_MASKS) == MXCSR_MASKS && !(c->xcr0 & XCR0_OPMASK);
    f->fpu_away = plain ? 1 : 2;
    f->x87_away = x86_x87_away(c);
}

static void frame_store(struct x86_frame *f, struct x86_cpu *c)
{
    if (f->x87_saved)
        x86_x87_take(f, c);
    x86_frame_flags_store(f, c);
}

static void enter_shadow(const struct x86_frame *f, struct x86_cpu *c)
{
    if (f->if_before)
        return;
    c->int_shadow = 1;
    x86_flags_update(c);
}

void x86_code_enter_shadow(const struct x86_code *code, struct x86_cpu *c)
{
    enter_shadow(code->frame, c);
}

static uint64_t bail(struct x86_frame *f, enum x86_frame_bail why)
{
    f->bails[why]++;
    return 1;
}

/* Many sites have missed. True if that was within a short time: a look into the table each time would have cost less, at least at
 * the place that missed now (at lin), since that is a sample of those that do most often. */
static bool sites_miss_much(struct x86_frame *f, gva_t lin)
{
    const struct x86_site *s = (const struct x86_site *)((const uint8_t *)f + f->miss_site);
    uint64_t now = __builtin_ia32_rdtsc(), took = now - f->sites_since, by = (lin & GPAGE_MASK) + s->neg;
    bool next = by == GPAGE_SIZE || by == -(uint64_t)GPAGE_SIZE;
    f->sites_since = now;
    f->sites_left = SITE_MISSES;
    return took < (uint64_t)SITE_MISSES * (next ? SITE_CYCLES_NEXT : SITE_CYCLES);
}

/* A memory access missed the inline TLB. 0: filled, try again; 1: the interpreter must do it. */
static uint64_t miss(struct x86_frame *f, gva_t lin, uint32_t what)
{
    struct x86_cpu *c = f->cpu;
    enum x86_access access = what & 0xff;
    unsigned bank = what >> 8 & 3;
    f->misses++;
    f->misses_of[access]++;
    bool wanders = (what & MISS_SITE) && sites_miss_much(f, lin); /* first of all: it sets the count anew */
    if ((what >> 20) && (lin & ((what >> 20) - 1)))
        return bail(f, FRAME_BAIL_CROSSING);             /* #GP before anything of the page is looked at */
    if ((lin & ~GPAGE_MASK) + f->miss_size > GPAGE_SIZE) /* whether it gets to access any page is for the interpreter to see */
        return bail(f, what & MISS_GROUP ? FRAME_BAIL_GROUP : FRAME_BAIL_CROSSING);
    if (what & MISS_SITE) {
        if (!wanders)
            return 0;
        f->wanderer = f->miss_block;
        return bail(f, FRAME_BAIL_WANDERS);
    }
    const uint8_t *host = what & MISS_EARLY ? tlb_hit(c, lin, 1, bank, access) : x86_tlb_touch(c, lin, access, bank);
    if (!host)
        return bail(f, what & MISS_EARLY ? FRAME_BAIL_EARLY : FRAME_BAIL_NO_RAM); /* the latter: it faults, or is a device's */
    if (access == X86_WRITE && atomic_load_explicit(&c->gmem->code[gmem_page_index(c->gmem, host)], memory_order_acquire))
        return bail(f, FRAME_BAIL_CODE); /* each store to a page with code is looked at */
    x86_frame_add_page(f, bank, lin, host, access, c->tlb->global[bank][(lin >> GPAGE_SHIFT) & (TLB_ENTRIES - 1)]);
    return 0;
}

static uint64_t on_miss(struct x86_frame *f, gva_t lin, uint32_t what)
{
    x86_clock_to(f->clock, X86_PART_MISS);
    uint64_t leave = miss(f, lin, what);
    x86_clock_to(f->clock, X86_PART_CODE);
    return leave;
}

/* Nothing is left to the run loop: what it looks at between two entries into translated code is as it was. */
static bool may_go_on(const struct x86_frame *f, const struct x86_cpu *c)
{
    return !c->code_written && !c->slow && !c->pending_dbg && !c->align_check && c->mode == X86_MODE_64
           && (c->cpl == 0 || c->cpl == 3) && !(f->irq_held & c->rflags);
}

/* After it execution may go on elsewhere in translated code: a branch. Others that end blocks change more than may_go_on() sees.
 */
static bool may_go_to(const struct x86_insn *i)
{
    return i->step == step_iret || i->step == step_syscall || i->step == step_sysret || !(x86_rows[i->row].flags & ROW_SYS);
}

static enum x86_light leave(struct x86_frame *f, struct x86_cpu *c)
{
    f->rip = c->rip;
    x86_frame_flags_load(f, c);
    return X86_LIGHT_LEAVE;
}

/* Runs a step function; NULL: of the instruction at rip, which lies across two pages. */
static enum x86_light call_out(struct x86_frame *f, const struct x86_insn *i)
{
    struct x86_cpu *c = f->cpu;
    unsigned bank = c->bank;
    frame_store(f, c);
    if (f->insn_off & FRAME_IN_SHADOW) {
        f->insn_off -= FRAME_IN_SHADOW;
        enter_shadow(f, c);
    }
    uint8_t shadow = c->int_shadow;
    c->rip = f->page_va + f->insn_off;
    bool across = !i;
    if (across)
        i = x86_blocks_crossing(f->blocks, c);
    if (!i) /* the run loop decodes it: here no page may be marked as code, see struct gmem_storer */
        return leave(f, c);
    f->callouts++;
    f->callouts_of[i->row]++;
    c->next_rip = c->rip + i->len;
    uint64_t behind = c->next_rip;
    i->step(c, i);
    c->rip = c->next_rip;
    if (shadow && c->int_shadow == shadow) { /* it is over */
        c->int_shadow = 0;
        x86_flags_update(c);
    }
    if (!may_go_on(f, c))
        return leave(f, c);
    if (!across && !x86_row_ends_block(&x86_rows[i->row]) && c->rip == behind && c->bank == bank) {
        frame_load(f, c);
        return X86_LIGHT_GO_ON;
    }
    if (!may_go_to(i))
        return leave(f, c);
    frame_load(f, c);
    f->rip = c->rip;
    f->tmp = f->stub_goto[c->bank];
    return X86_LIGHT_GO_TO;
}

static enum x86_light on_callout(struct x86_frame *f, const struct x86_insn *i)
{
    x86_clock_to(f->clock, X86_PART_CALLOUT);
    enum x86_light then = call_out(f, i);
    x86_clock_to(f->clock, X86_PART_CODE);
    return then;
}

/* A branch led to no address: it faults, with all as it was before it. */
static void undo_branch(struct x86_frame *f, struct x86_cpu *c)
{
    f->exit = FRAME_EXIT_BAIL;
    f->insn_off = f->branch & XL_BRANCH_OFF;
    f->rip = f->page_va + f->insn_off;
    c->gpr[RSP] -= (uint64_t)(f->branch >> XL_BRANCH_MOVED) - XL_BRANCH_MOVED_0;
    if (!(f->branch & XL_BRANCH_CALLS))
        return;
    uint8_t *pushed = x86_tlb_touch(c, c->gpr[RSP] - 8, X86_WRITE, c->bank);
    if (!pushed) /* it was just written */
        return;
    memcpy(pushed, &f->overwritten, sizeof(f->overwritten));
    (void)gmem_note_write(c->gmem, pushed); /* true: it bumped the generation, that is all */
}

static void run_at(struct x86_code *code, struct x86_cpu *c, const uint8_t *entry)
{
    struct x86_frame *f = code->frame;
    frame_load(f, c);
    f->page_va = c->rip & GPAGE_MASK;
    f->exit = FRAME_EXIT_NEXT;
    asan_forget_stack((uint8_t *)f - FRAME_STACK, FRAME_STACK); /* of step functions that raised, and were left by longjmp */
    x86_clock_to(f->clock, X86_PART_CODE);
    code->enter(f, entry);
    x86_clock_to(f->clock, X86_PART_LOOP);
    frame_store(f, c);
    if (f->exit == FRAME_EXIT_BRANCH)
        undo_branch(f, c);
    if (f->exit == FRAME_EXIT_BAIL && f->insn_off & FRAME_IN_SHADOW) {
        f->rip -= FRAME_IN_SHADOW;
        enter_shadow(f, c);
    }
    c->rip = f->rip;
}

void x86_code_run(struct x86_code *code, struct x86_cpu *c, const struct x86_native *n)
{
    code->frame->requests = &c->vcpu->requests;
    run_at(code, c, n->near_entry);
}

void x86_code_run_block(struct x86_code *code, struct x86_cpu *c, const struct x86_native *n)
{
    static const _Atomic uint32_t always = 1; /* what any other block's entry sees */
    code->frame->requests = &always;
    run_at(code, c, n->inner_entry);
}

/* ---- stubs ---- */

static struct host_mem at(unsigned base, int32_t disp)
{
    return host_mem(hg(base), disp);
}

/* ymm0..15 and MXCSR between host and the CPU state of the frame at [base + disp]; r11 and, for the load, nothing else is lost.
 */
static void put_fpu_load(struct xl *x, unsigned base, int32_t disp)
{
    asm_stmxcsr(x->cb, at(base, disp + FRAME(host_mxcsr)));
    asm_load(x->cb, 8, HOST_R11, at(base, disp + FRAME(mxcsr)));
    asm_ldmxcsr(x->cb, at(H_R11, 0));
    asm_load(x->cb, 8, HOST_R11, at(base, disp + FRAME(vec)));
    for (unsigned v = 0; v < 16; v++)
        asm_vec_load(x->cb, 32, (struct host_vec){ (uint8_t)v }, at(H_R11, (int32_t)(64 * v)));
    XL_BYTES(x, 0x48, 0xc7, (uint8_t)(0x80 | base)); /* mov qword [base + disp32], 0 */
    if (base == H_RSP)
        codebuf_put1(x->cb, 0x24);
    codebuf_put4(x->cb, (uint32_t)(disp + FRAME(fpu_away)));
    codebuf_put4(x->cb, 0);
}

static void put_fpu_save(struct xl *x, unsigned base, int32_t disp)
{
    asm_load(x->cb, 8, HOST_R11, at(base, disp + FRAME(mxcsr)));
    asm_stmxcsr(x->cb, at(H_R11, 0));
    asm_ldmxcsr(x->cb, at(base, disp + FRAME(host_mxcsr)));
    asm_load(x->cb, 8, HOST_R11, at(base, disp + FRAME(vec)));
    for (unsigned v = 0; v < 16; v++)
        asm_vec_store(x->cb, 32, at(H_R11, (int32_t)(64 * v)), (struct host_vec){ (uint8_t)v });
    asm_vzeroupper(x->cb);
    XL_BYTES(x, 0x48, 0xc7, (uint8_t)(0x80 | base));
    if (base == H_RSP)
        codebuf_put1(x->cb, 0x24);
    codebuf_put4(x->cb, (uint32_t)(disp + FRAME(fpu_away)));
    codebuf_put4(x->cb, 1);
}

/* Skips `emit` unless the vector registers are here; flags are free. */
static void put_fpu_save_if_here(struct xl *x, unsigned base, int32_t disp)
{
    asm_alu_mem_imm(x->cb, HOST_CMP, 8, at(base, disp + FRAME(fpu_away)), 0);
    XL_BYTES(x, 0x0f, 0x85); /* jne */
    codebuf_put4(x->cb, 0);
    size_t from = x->cb->pos - 4;
    put_fpu_save(x, base, disp);
    xl_patch(x, from, x->cb->pos);
}

static void put_call_c(struct xl *x, const void *fn)
{
    asm_mov_imm(x->cb, HOST_RAX, (uint64_t)(uintptr_t)fn);
    XL_BYTES(x, 0xff, 0xd0);
}

/* All guest general registers and flags to the CPU state; rcx and all but r11 are lost. */
static void put_save_all(struct xl *x, int32_t disp)
{
    static_assert(offsetof(struct x86_cpu, gpr) == 0, "registers are addressed from the CPU state's start");
    asm_load(x->cb, 8, HOST_RCX, at(H_RSP, disp + FRAME(cpu)));
    for (unsigned k = 0; k < IN_HOST_NR; k++)
        asm_store(x->cb, 8, at(H_RCX, 8 * IN_HOST[k]), hg(xr_host(IN_HOST[k])));
    asm_pushfq(x->cb);
    XL_BYTES(x, 0x8f, 0x84, 0x24); /* pop [rsp + disp32] */
    codebuf_put4(x->cb, (uint32_t)(disp + FRAME(flags)));
    for (unsigned k = 0; k < IN_FRAME_NR; k++) {
        asm_load(x->cb, 8, HOST_RAX, at(H_RSP, disp + xr_frame(IN_FRAME[k])));
        asm_store(x->cb, 8, at(H_RCX, 8 * IN_FRAME[k]), HOST_RAX);
    }
    codebuf_put1(x->cb, 0xfc); /* cld */
}

/* Flags from frame.flags, where DF is 0 so far; rax is lost. POPF takes the host five times as long as this. */
static void put_flags(struct xl *x, int32_t disp)
{
    asm_load(x->cb, 8, HOST_RAX, at(H_RSP, disp + FRAME(flags)));
    XL_BYTES(x, 0xf6, 0xc4, FLAG_DF >> 8); /* test ah, DF */
    XL_BYTES(x, 0x75, 12);                 /* jne */
    XL_BYTES(x, 0x86, 0xe0);               /* xchg al, ah */
    XL_BYTES(x, 0xc0, 0xe8, 3);            /* shr al, 3: OF is bit 0 */
    XL_BYTES(x, 0x24, 1, 0x04, 0x7f);      /* and al, 1; add al, 0x7f: overflows if it was set */
    XL_BYTES(x, 0x9e);                     /* sahf */
    XL_BYTES(x, 0xeb, 2);                  /* jmp over the rest */
    codebuf_put1(x->cb, 0x50);             /* push rax */
    asm_popfq(x->cb);
}

static void put_restore_all(struct xl *x, int32_t disp)
{
    asm_load(x->cb, 8, HOST_RCX, at(H_RSP, disp + FRAME(cpu)));
    for (unsigned k = 0; k < IN_FRAME_NR; k++) {
        asm_load(x->cb, 8, HOST_RAX, at(H_RCX, 8 * IN_FRAME[k]));
        asm_store(x->cb, 8, at(H_RSP, disp + xr_frame(IN_FRAME[k])), HOST_RAX);
    }
    put_flags(x, disp);
    for (unsigned k = 0; k < IN_HOST_NR; k++)
        asm_load(x->cb, 8, hg(xr_host(IN_HOST[k])), at(H_RCX, 8 * IN_HOST[k]));
}

static const uint8_t HOST_SAVED[] = { H_RBX, H_RBP, H_R12, H_R13, H_R14, H_R15 };

/* enter(rdi = frame, rsi = code) */
static const uint8_t *put_enter(struct xl *x)
{
    const uint8_t *entry = codebuf_here(x->cb);
    for (unsigned k = 0; k < sizeof(HOST_SAVED); k++)
        asm_push(x->cb, hg(HOST_SAVED[k]));
    asm_store(x->cb, 8, at(H_RDI, FRAME(host_rsp)), HOST_RSP);
    asm_mov(x->cb, 8, HOST_RSP, HOST_RDI);
    xl_store(x, FRAME(tmp), H_RSI);
    put_restore_all(x, 0);
    XL_BYTES(x, 0xff, 0x64, 0x24, FRAME(tmp)); /* jmp [rsp + tmp] */
    return entry;
}

static void put_leave(struct xl *x)
{
    asm_load(x->cb, 8, HOST_RSP, at(H_RSP, FRAME(host_rsp)));
    for (unsigned k = sizeof(HOST_SAVED); k > 0; k--)
        asm_pop(x->cb, hg(HOST_SAVED[k - 1]));
    asm_ret(x->cb);
}

/* bail: rip = page_va + insn_off, exit = BAIL; then the common exit. */
static void put_bail_and_exit(struct xl *x)
{
    x->code->stub_bail = codebuf_here(x->cb);
    xl_load(x, H_R11, FRAME(page_va));
    xl_load(x, H_RCX, FRAME(insn_off));
    xl_lea(x, 8, H_R11, H_R11, H_RCX, 1, 0);
    xl_store(x, FRAME(rip), H_R11);
    XL_BYTES(x, 0x48, 0xc7, 0x44, 0x24, FRAME(exit));
    codebuf_put4(x->cb, FRAME_EXIT_BAIL);
    x->code->stub_exit = codebuf_here(x->cb);
    put_save_all(x, 0);
    put_fpu_save_if_here(x, H_RSP, 0);
    xl_x87_save_if_here(x, 0);
    put_leave(x);
    x->code->stub_fault = codebuf_here(x->cb);
    XL_BYTES(x, 0x48, 0xc7, 0x44, 0x24, FRAME(exit));
    codebuf_put4(x->cb, FRAME_EXIT_FAULT);
    (void)xl_jmp(x, x->code->stub_exit);
}

/* Called, and left for plain code at offset rcx in the page of index r11. Before its operands stands the jump that may be linked.
 */
static void put_plain(struct xl *x)
{
    x->code->stub_plain = codebuf_here(x->cb);
    xl_store(x, 8 + FRAME(link_page), H_R11);
    xl_load(x, H_R11, 8 + FRAME(page_va));
    xl_lea(x, 8, H_RCX, H_RCX, H_R11, 1, 0);
    xl_store(x, 8 + FRAME(rip), H_RCX);
    asm_pop(x->cb, HOST_R11);
    xl_lea(x, 8, H_R11, H_R11, H_RSP, 1, -XL_PLAIN_LINK);
    xl_store(x, FRAME(link), H_R11);
    XL_BYTES(x, 0x48, 0xc7, 0x44, 0x24, FRAME(exit));
    codebuf_put4(x->cb, FRAME_EXIT_LINK_PLAIN);
    (void)xl_jmp(x, x->code->stub_exit);
}

/* r11: address, ecx: what missed. Returns for another try, or bails. */
static void put_miss(struct xl *x)
{
    static const uint8_t kept[] = { H_RAX, H_RDX, H_RSI, H_RDI, H_R8, H_R9, H_R10, H_R11 };
    enum { PUSHED = 8 * (2 + (int)sizeof(kept)) }; /* with the flags and the return address: a multiple of 16 */
    static_assert(PUSHED % 16 == 0, "C wants the stack aligned");
    x->code->stub_miss = codebuf_here(x->cb);
    asm_pushfq(x->cb);
    for (unsigned k = 0; k < sizeof(kept); k++)
        asm_push(x->cb, hg(kept[k]));
    codebuf_put1(x->cb, 0xfc); /* cld */
    xl_lea(x, 8, H_RDI, H_RSP, H_RSP, 1, PUSHED);
    asm_mov(x->cb, 8, HOST_RSI, HOST_R11);
    asm_mov(x->cb, 4, HOST_RDX, HOST_RCX);
    asm_alu_mem_imm(x->cb, HOST_CMP, 8, at(H_RDI, FRAME(fpu_away)), 0);
    XL_BYTES(x, 0x0f, 0x84); /* je: vector registers are here */
    codebuf_put4(x->cb, 0);
    size_t here = x->cb->pos - 4;
    put_call_c(x, (const void *)on_miss);
    size_t done = xl_jmp(x, NULL);
    xl_patch(x, here, x->cb->pos);
    put_fpu_save(x, H_RDI, 0);
    put_call_c(x, (const void *)on_miss);
    xl_lea(x, 8, H_RDI, H_RSP, H_RSP, 1, PUSHED);
    put_fpu_load(x, H_RDI, 0);
    xl_patch(x, done, x->cb->pos);
    asm_mov(x->cb, 8, HOST_RCX, HOST_RAX);
    for (unsigned k = sizeof(kept); k > 0; k--)
        asm_pop(x->cb, hg(kept[k - 1]));
    asm_popfq(x->cb);
    XL_BYTES(x, 0xe3, 5 + 5); /* jrcxz: to the ret */
    xl_lea(x, 8, H_RSP, H_RSP, H_RSP, 1, 8);
    (void)xl_jmp(x, x->code->stub_bail);
    asm_ret(x->cb);
}

/* Goes on as enum x86_light in rax says, but for a call-out; rsp is 8 below the frame. */
static void put_go_on(struct xl *x)
{
    static_assert(X86_LIGHT_GO_ON == 0 && X86_LIGHT_LEAVE == 1, "the order of the tests below");
    asm_alu_imm(x->cb, HOST_CMP, 4, HOST_RAX, X86_LIGHT_LEAVE);
    XL_BYTES(x, 0x0f, 0x84); /* je: leave */
    codebuf_put4(x->cb, 0);
    size_t leaves = x->cb->pos - 4;
    XL_BYTES(x, 0x0f, 0x87); /* ja: go to */
    codebuf_put4(x->cb, 0);
    size_t goes = x->cb->pos - 4;
    put_restore_all(x, 8);
    asm_ret(x->cb);
    xl_patch(x, goes, x->cb->pos);
    put_restore_all(x, 8);
    xl_lea(x, 8, H_RSP, H_RSP, H_RSP, 1, 8);
    xl_load(x, H_R11, FRAME(rip));
    XL_BYTES(x, 0xff, 0x64, 0x24, FRAME(tmp)); /* jmp [rsp + tmp] */
    xl_patch(x, leaves, x->cb->pos);
    asm_alu_imm(x->cb, HOST_ADD, 8, HOST_RSP, 8);
    put_fpu_save_if_here(x, H_RSP, 0);
    xl_x87_save_if_here(x, 0);
    put_leave(x);
}

/* r11: the instruction, 0: it lies across two pages. Its light form first calls as the others do when that does not do it. */
static void put_callout(struct xl *x)
{
    x->code->stub_light = codebuf_here(x->cb);
    put_save_all(x, 8);
    asm_mov(x->cb, 8, HOST_RBX, HOST_R11);
    asm_mov(x->cb, 8, HOST_RSI, HOST_R11);
    xl_lea(x, 8, H_RDI, H_RSP, H_RSP, 1, 8);
    asm_alu_imm(x->cb, HOST_SUB, 8, HOST_RSP, 8);
    put_call_c(x, (const void *)x86_light_call);
    asm_alu_imm(x->cb, HOST_ADD, 8, HOST_RSP, 8);
    asm_mov(x->cb, 8, HOST_R11, HOST_RBX);
    asm_alu_imm(x->cb, HOST_CMP, 4, HOST_RAX, X86_LIGHT_CALL_OUT);
    XL_BYTES(x, 0x0f, 0x84); /* je */
    codebuf_put4(x->cb, 0);
    size_t from = x->cb->pos - 4;
    put_go_on(x);
    x->code->stub_callout = codebuf_here(x->cb);
    put_save_all(x, 8);
    xl_patch(x, from, x->cb->pos);
    asm_mov(x->cb, 8, HOST_RSI, HOST_R11);
    put_fpu_save_if_here(x, H_RSP, 8);
    xl_x87_save_if_here(x, 8);
    xl_lea(x, 8, H_RDI, H_RSP, H_RSP, 1, 8);
    asm_alu_imm(x->cb, HOST_SUB, 8, HOST_RSP, 8);
    put_call_c(x, (const void *)on_callout);
    asm_alu_imm(x->cb, HOST_ADD, 8, HOST_RSP, 8);
    put_go_on(x);
}

/* rcx: fpu_away, not 0. 1: load and return; 2: bail. */
static void put_fpu_stub(struct xl *x)
{
    x->code->stub_fpu_load = codebuf_here(x->cb);
    xl_lea(x, 8, H_RCX, H_RCX, H_RSP, 1, -1);
    XL_BYTES(x, 0xe3, 5 + 5);
    xl_lea(x, 8, H_RSP, H_RSP, H_RSP, 1, 8);
    (void)xl_jmp(x, x->code->stub_bail);
    put_fpu_load(x, H_RSP, 8);
    asm_ret(x->cb);
}

static bool put_stubs(struct x86_code *code)
{
    struct xl *x = code->work;
    x->code = code;
    x->cb = &code->cb;
    const uint8_t *enter = put_enter(x);
    memcpy(&code->enter, &enter, sizeof(enter));
    put_bail_and_exit(x);
    put_plain(x);
    put_miss(x);
    xl_site_stubs(x);
    put_callout(x);
    put_fpu_stub(x);
    xl_x87_stub(x);
    for (x->bank = 0; x->bank < X86_BANK_NR; x->bank++)
        xl_jump_stubs(x);
    for (x->bank = 0; x->bank < X86_BANK_NR; x->bank++)
        xl_goto_stub(x);
    if (code->cb.failed)
        return false;
    x86_frames_set_no_jump(&code->frames, code->stub_jump);
    xl_make_regions(code);
    xl_forget_code(code);
    return x86_code_has_room(code);
}

/* Whatever somebody wants to see of translation. */
static int watch_new(struct x86_code *code, const struct vm *vm, struct error *err)
{
    if (!vm->stats && !vm->trace_code)
        return 0;
    code->counts = x86_counts_new();
    code->clock = vm->stats ? calloc(1, sizeof(*code->clock)) : NULL;
    if (!code->counts || (vm->stats && !code->clock))
        return error_set(err, -ENOMEM, "no memory for the translator's counts");
    code->frame->clock = code->clock;
    return 0;
}

/* Begins the log of what is translated. */
static int log_new(struct x86_code *code, const struct vcpu *vcpu, struct error *err)
{
    const struct {
        const char *name;
        const uint8_t *begin;
    } stubs[] = { { "entry", code->cb.rx },
                  { "bail", code->stub_bail },
                  { "exit", code->stub_exit },
                  { "miss", code->stub_miss },
                  { "site misses", code->stub_site[0][0][0] },
                  { "call-out", code->stub_callout },
                  { "vector load", code->stub_fpu_load },
                  { "far jumps", code->stub_jump[0] } };
    const unsigned nr = sizeof(stubs) / sizeof(stubs[0]);
    int r = codelog_new(vcpu->vm->trace_code, vcpu->id, true, &code->log, err);
    for (unsigned k = 0; r == 0 && k < nr; k++)
        codelog_stub(code->log, &code->cb, stubs[k].name, stubs[k].begin,
                     k + 1 < nr ? stubs[k + 1].begin : codebuf_here(&code->cb));
    return r;
}

/* ---- life ---- */

/* As put_jump_stub() in translate_flow.c. */
enum { PLACE_SHIFT = 4, PLACE_MASK = (CODE_PLACES / 2 - 1) << PLACE_SHIFT };
static uint64_t place_key(uint64_t page, unsigned off)
{
    return page << GPAGE_SHIFT | off;
}

/* Of the first of a pair. Neighbours in memory are neighbours in the table. */
static unsigned place_index(uint64_t key)
{
    return (unsigned)((key & PLACE_MASK) >> PLACE_SHIFT) * 2;
}

uint64_t xl_no_place(unsigned k)
{
    return k < 2 ? -(1ULL << PLACE_SHIFT) : 0; /* the key's index is another */
}

/* From memory that is all zeros. */
static void init_places(struct x86_code *code)
{
    for (unsigned b = 0; b < X86_BANK_NR; b++)
        for (unsigned k = 0; k < 2; k++)
            code->places[b][k].neg_key = xl_no_place(k);
}

static void flush_places(struct x86_code *code)
{
    memset(code->places, 0, X86_BANK_NR * sizeof(code->places[0]));
    init_places(code);
}

/* What frames have of the rest of the translator; all share it. */
static void init_frame(struct x86_code *code)
{
    struct x86_frame *f = code->frame;
    f->place_mask = PLACE_MASK;
    for (unsigned b = 0; b < X86_BANK_NR; b++)
        f->places[b] = (uintptr_t)code->places[b];
    f->fcw_masks = FCW_MASKS;
    f->sites_left = SITE_MISSES;
    f->flags_mask = FLAGS_ARITH | FLAG_DF;
    f->bit_mask[0] = 31;
    f->bit_mask[1] = 63;
    init_places(code);
}

int x86_code_init(struct x86_code *code, struct x86_cpu *c, size_t size, struct error *err)
{
    memset(code, 0, sizeof(*code));
    if (!hostexec_is_ready() && hostexec_init(err) < 0)
        return -EINVAL;
    if (!__builtin_cpu_supports("bmi2") || !__builtin_cpu_supports("avx") || !__builtin_cpu_supports("sse4.2"))
        return error_set(err, -ENOTSUP, "the host CPU lacks BMI2, AVX or SSE4.2");
    code->places = calloc(X86_BANK_NR, sizeof(code->places[0]));
    if (!code->places)
        return error_set(err, -ENOMEM, "no memory for the translator's table");
    code->traces = true;
    code->loops = __builtin_cpu_is("amd");
    const char *trace = c->vcpu->vm->trace_code;
    int r = trace ? codebuf_init_named(&code->cb, size, err) : codebuf_init(&code->cb, size, &c->vcpu->requests, err);
    if (r >= 0)
        r = x86_frames_init(&code->frames, c, err);
    if (r >= 0) {
        code->frame = code->frames.now->frame;
        init_frame(code);
        code->work = calloc(1, sizeof(*code->work));
        r = code->work && put_stubs(code) ? 0 : error_set(err, -ENOMEM, "no memory for the translator");
    }
    if (r >= 0) {
        codebuf_goes(&code->cb, code->cb.pos, code->cb.pos);
        codebuf_goes(&code->cb, code->cold, code->cold);
        r = watch_new(code, c->vcpu->vm, err);
    }
    if (r >= 0 && trace)
        r = log_new(code, c->vcpu, err);
    if (r < 0)
        x86_code_done(code);
    return r;
}

void x86_code_attach(const struct x86_code *code)
{
    hostexec_watch((uintptr_t)code->cb.rx, code->cb.size, (uintptr_t)code->stub_fault, &code->frame->fault_pc);
}

void x86_code_done(struct x86_code *code)
{
    x86_frames_done(&code->frames);
    hostexec_watch(0, 0, 0, NULL); /* if it was this thread that ran it */
    free(code->work);
    free(code->places);
    x86_code_log_free(code->log, code->counts);
    x86_counts_free(code->counts);
    free(code->clock);
    for (unsigned r = 0; r < X86_CODE_REGIONS; r++)
        free(code->region[r].link);
    codebuf_done(&code->cb);
    memset(code, 0, sizeof(*code));
}

void x86_code_reset(struct x86_code *code)
{
    xl_forget_code(code);
    code->assumed = 0;
    if (code->log)
        codelog_reset(code->log);
    x86_frames_drop_jumps(&code->frames);
    flush_places(code);
}

void x86_code_add_place(struct x86_code *code, unsigned bank, uint64_t page, unsigned off, const struct x86_native *n)
{
    uint64_t key = place_key(page, off);
    struct x86_place *p = &code->places[bank][place_index(key)];
    if (p->neg_key != -key)
        p[1] = p[0];
    p[0] = (struct x86_place){ -key, (uintptr_t)n->jump_entry };
}
