/* SPDX-License-Identifier: MIT */
/*
 * Light calls from translated code: SYSCALL, SYSRET, MOVS and STOS, as long as nothing unusual happens.
 *
 * Compiled without vector instructions, as are the files it calls into (meson.build): the guest's vector registers stay where
 * they are. So no function of libc is called here, and nothing raises (a longjmp would leave those registers behind): what may
 * fault is left to a call-out, which starts from the state that was reached.
 *
 * After SYSCALL and SYSRET execution goes on in translated code, by way of the jump cache of the new bank; the block found
 * there looks for requests.
 */
#include "isa/x86/translate_light.h"

#include "core/vcpu.h"
#include "isa/x86/insn_steps.h"
#include "isa/x86/step.h"
#include "isa/x86/sysreg.h"
#include "isa/x86/tlb.h"
#include "isa/x86/translate_count.h"

/* Copies of fewer bytes are not worth the start of the host's string instructions. */
enum { SHORT_BYTES = 96 };

/* ---- system calls ---- */

static enum x86_light go_to(struct x86_frame *f, struct x86_cpu *c)
{
    c->rip = f->rip = c->next_rip;
    x86_frame_flags_load(f, c);
    if (c->slow || c->align_check || c->mode != X86_MODE_64)
        return X86_LIGHT_LEAVE;
    f->tmp = f->stub_goto[c->bank];
    return X86_LIGHT_GO_TO;
}

static enum x86_light light_syscall(struct x86_frame *f, struct x86_cpu *c, const struct x86_insn *i)
{
    if (!(c->efer & EFER_SCE))
        return X86_LIGHT_CALL_OUT;
    step_syscall(c, i);
    return go_to(f, c);
}

static enum x86_light light_sysret(struct x86_frame *f, struct x86_cpu *c, const struct x86_insn *i)
{
    if (!(c->efer & EFER_SCE) || c->cpl != 0 || !x86_canonical(c->gpr[RCX]) || f->irq_held)
        return X86_LIGHT_CALL_OUT;
    step_sysret(c, i);
    return go_to(f, c);
}

/* ---- strings ---- */

/* Elements from lin on that lie in its page, and where; 0: none, or it misses. */
static uint64_t run_length(const struct x86_cpu *c, gva_t lin, unsigned size, enum x86_access access, uint8_t **ret_host)
{
    *ret_host = tlb_hit(c, lin, size, c->bank, access);
    return *ret_host ? (GPAGE_SIZE - (lin & ~GPAGE_MASK)) / size : 0;
}

static void copy_up(uint8_t *to, const uint8_t *from, uint64_t n, unsigned size)
{
    uint64_t bytes = n * size;
    if (to > from && to < from + bytes) { /* the order of the elements shows */
        for (; n; n--, to += size, from += size) {
            store_le(to, load_le(from, size), size);
            __asm__ volatile("" ::: "memory");
        }
        return;
    }
    if (bytes >= SHORT_BYTES) {
        __asm__ volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(bytes)::"memory");
        return;
    }
    for (; bytes >= 8; bytes -= 8, to += 8, from += 8) {
        store_le(to, load_le(from, 8), 8);
        __asm__ volatile("" ::: "memory"); /* else the compiler makes it a call of memcpy() */
    }
    for (; bytes; bytes--) {
        *to++ = *from++;
        __asm__ volatile("" ::: "memory");
    }
}

static void fill_up(uint8_t *to, uint64_t n, uint64_t value, unsigned size)
{
    uint64_t bytes = n * size;
    value = value & size_mask(size);
    value *= size == 1 ? 0x0101010101010101 : size == 2 ? 0x0001000100010001 : size == 4 ? 0x0000000100000001 : 1;
    if (bytes >= SHORT_BYTES) {
        uint64_t words = bytes / 8;
        __asm__ volatile("rep stosq" : "+D"(to), "+c"(words) : "a"(value) : "memory");
        bytes &= 7;
    }
    for (; bytes >= 8; bytes -= 8, to += 8) {
        store_le(to, value, 8);
        __asm__ volatile("" ::: "memory");
    }
    for (; bytes; bytes--, value >>= 8) {
        *to++ = (uint8_t)value;
        __asm__ volatile("" ::: "memory");
    }
}

/* One run: up to n elements within a page on both sides. Returns how many, 0 when a call-out must go on. */
static uint64_t one_run(struct x86_cpu *c, const struct x86_insn *i, uint64_t n, bool moves)
{
    unsigned size = i->opsize;
    uint8_t *from = NULL, *to;
    gva_t src = c->gpr[RSI] + (i->seg >= SEG_FS ? c->seg[i->seg].base : 0);
    uint64_t k = moves ? run_length(c, src, size, X86_READ, &from) : n, m = run_length(c, c->gpr[RDI], size, X86_WRITE, &to);
    n = n < k ? n : k;
    n = n < m ? n : m;
    if (!n || atomic_load_explicit(&c->gmem->code[gmem_page_index(c->gmem, to)], memory_order_acquire))
        return 0; /* who marks the page from now on waits until translated code is left: struct gmem_storer */
    if (moves) {
        copy_up(to, from, n, size);
        c->gpr[RSI] += n * size;
    } else {
        fill_up(to, n, c->gpr[RAX], size);
    }
    c->gpr[RDI] += n * size;
    return n;
}

static enum x86_light light_string(struct x86_frame *f, struct x86_cpu *c, const struct x86_insn *i)
{
    bool moves = i->step == step_movs;
    uint64_t n = i->rep ? c->gpr[RCX] : 1;
    if (i->addrsize != 8 || (c->rflags & FLAG_DF))
        return X86_LIGHT_CALL_OUT;
    while (n) {
        uint64_t done = one_run(c, i, n, moves);
        if (!done)
            return X86_LIGHT_CALL_OUT;
        n -= done;
        if (i->rep)
            c->gpr[RCX] = n;
        if (n && vcpu_requests(c->vcpu)) { /* it is begun again with what is left */
            f->rip = c->rip;
            return X86_LIGHT_LEAVE;
        }
    }
    return X86_LIGHT_GO_ON;
}

bool x86_is_light(const struct x86_insn *i)
{
    x86_step_fn s = i->step;
    return s == step_syscall || s == step_sysret || s == step_movs || s == step_stos;
}

static enum x86_light light_call(struct x86_frame *f, const struct x86_insn *i)
{
    struct x86_cpu *c = f->cpu;
    if (f->insn_off & FRAME_IN_SHADOW)
        return X86_LIGHT_CALL_OUT;
    f->lights++;
    x86_frame_flags_store(f, c);
    c->rip = f->page_va + f->insn_off;
    c->next_rip = c->rip + i->len;
    if (i->step == step_syscall)
        return light_syscall(f, c, i);
    if (i->step == step_sysret)
        return light_sysret(f, c, i);
    return light_string(f, c, i);
}

enum x86_light x86_light_call(struct x86_frame *f, const struct x86_insn *i)
{
    x86_clock_to(f->clock, X86_PART_LIGHT);
    enum x86_light then = light_call(f, i);
    x86_clock_to(f->clock, X86_PART_CODE);
    return then;
}
