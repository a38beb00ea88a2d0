/* SPDX-License-Identifier: MIT */
/*
 * Frames, stacks and targets of interrupt entry and far transfers.
 *
 * Spec: Intel SDM 3A 5.8.3 to 5.8.5, 6.12.1, 6.14.2 (64-bit stack frames), 7.2.1 (TSS)
 */
#include "isa/x86/far.h"

#include <assert.h>
#include <string.h>

#include "isa/x86/step.h"

void x86_frame_init(struct x86_frame *f, const struct x86_seg *ss, uint64_t sp, unsigned width, unsigned size, uint32_t ss_error)
{
    f->ss = *ss;
    f->sp = sp;
    f->width = (uint8_t)width;
    f->bank = (ss->attr & SEG_DPL) == SEG_DPL ? X86_BANK_USER : X86_BANK_KERNEL;
    f->size = (uint8_t)size;
    f->n = 0;
    f->ss_error = ss_error;
}

void x86_frame_init_current(const struct x86_cpu *c, struct x86_frame *f, unsigned size, uint32_t ss_error)
{
    x86_frame_init(f, &c->seg[SEG_SS], c->gpr[RSP], c->stack_size, size, ss_error);
    f->bank = c->bank;
}

void x86_frame_push(struct x86_frame *f, uint64_t value)
{
    assert(f->n < X86_FRAME_MAX);
    f->value[f->n++] = value;
}

/* Offset of value n in the stack segment. */
static uint64_t frame_off(const struct x86_frame *f, unsigned n)
{
    return (f->sp - (uint64_t)f->size * (n + 1)) & size_mask(f->width);
}

static gva_t frame_lin(const struct x86_frame *f, unsigned n)
{
    uint64_t off = frame_off(f, n);
    return f->width == 8 ? off : (uint32_t)(f->ss.base + off);
}

void x86_frame_check(struct x86_cpu *c, const struct x86_frame *f)
{
    for (unsigned n = 0; n < f->n; n++) {
        uint64_t off = frame_off(f, n);
        bool ok;
        if (f->width == 8)
            ok = x86_canonical(off) && x86_canonical(off + f->size - 1);
        else
            ok = !(f->ss.attr & SEG_UNUSABLE) && x86_seg_fits(&f->ss, off, f->size);
        if (!ok)
            x86_raise_err(c, X86_SS, f->ss_error);
    }
}

uint64_t x86_frame_write(struct x86_cpu *c, const struct x86_frame *f)
{
    uint8_t buf[X86_FRAME_MAX * 8];
    unsigned bytes = (unsigned)f->n * f->size;
    x86_frame_check(c, f);
    if (f->n == 0)
        return f->sp;
    gva_t top = frame_lin(f, 0), bottom = frame_lin(f, f->n - 1u);
    if (top - bottom == bytes - f->size) { /* in one piece, as nearly always */
        for (unsigned n = 0; n < f->n; n++)
            memcpy(buf + bytes - f->size * (n + 1), &f->value[n], f->size);
        x86_lin_write_bytes(c, bottom, buf, bytes, f->bank);
    } else { /* the stack pointer wraps */
        for (unsigned n = 0; n < f->n; n++)
            x86_lin_probe_write(c, frame_lin(f, n), f->size, f->bank);
        for (unsigned n = 0; n < f->n; n++)
            x86_lin_write(c, frame_lin(f, n), f->value[n], f->size, f->bank);
    }
    return frame_off(f, f->n - 1u);
}

uint64_t x86_stack_peek(struct x86_cpu *c, uint64_t off, unsigned size)
{
    return x86_mem_read(c, SEG_SS, (c->gpr[RSP] + off) & size_mask(c->stack_size), size);
}

void x86_stack_set(struct x86_cpu *c, uint64_t sp)
{
    gpr_write(c, RSP, sp, c->stack_size);
}

/* ---- stacks named by the TSS ---- */

void x86_tss_stack(struct x86_cpu *c, unsigned dpl, unsigned ext, struct x86_new_stack *ret_stack)
{
    const struct x86_seg *tr = &c->seg[SEG_TR];
    bool wide = (tr->attr & SEG_TYPE) >= SYS_TSS;
    uint32_t at = wide ? dpl * 8 + 4 : dpl * 4 + 2;
    struct x86_new_stack s;
    if (tr->attr & SEG_UNUSABLE || at + (wide ? 5 : 3) > tr->limit)
        x86_raise_err(c, X86_TS, sel_error(tr->sel, ext));
    gva_t lin = (uint32_t)(tr->base + at);
    s.sp = x86_lin_read(c, lin, wide ? 4 : 2, X86_BANK_KERNEL);
    s.sel = (uint16_t)x86_lin_read(c, lin + (wide ? 4 : 2), 2, X86_BANK_KERNEL);
    if (sel_is_null(s.sel))
        x86_raise_err(c, X86_TS, ext);
    if (!x86_desc_read(c, s.sel, &s.desc) || (s.sel & 3) != dpl || desc_dpl(&s.desc) != dpl || !desc_is_writable_data(&s.desc))
        x86_raise_err(c, X86_TS, sel_error(s.sel, ext));
    if (!desc_present(&s.desc))
        x86_raise_err(c, X86_SS, sel_error(s.sel, ext));
    *ret_stack = s;
}

uint64_t x86_tss_rsp(struct x86_cpu *c, unsigned off, unsigned ext)
{
    const struct x86_seg *tr = &c->seg[SEG_TR];
    if (tr->attr & SEG_UNUSABLE || off + 7 > tr->limit)
        x86_raise_err(c, X86_TS, sel_error(tr->sel, ext));
    uint64_t rsp = x86_lin_read(c, tr->base + off, 8, X86_BANK_KERNEL);
    if (!x86_canonical(rsp))
        x86_raise_err(c, X86_SS, ext);
    return rsp;
}

/* ---- targets ---- */

void x86_check_target(struct x86_cpu *c, const struct x86_seg *cs, uint64_t ip, uint32_t error)
{
    bool ok = c->efer & EFER_LMA && cs->attr & SEG_L ? x86_canonical(ip) : ip <= cs->limit;
    if (!ok)
        x86_raise_err(c, X86_GP, error);
}

void x86_check_code_width(struct x86_cpu *c, const struct x86_desc *d, unsigned ext)
{
    if (c->long_mode && (desc_attr(d) & (SEG_L | SEG_DB)) == (SEG_L | SEG_DB))
        x86_raise_err(c, X86_GP, sel_error(d->sel, ext));
}

struct x86_seg x86_code_seg(const struct x86_desc *d, unsigned cpl)
{
    return x86_desc_to_seg(d, (uint16_t)((d->sel & ~3u) | cpl));
}
