/* SPDX-License-Identifier: MIT */
/*
 * Segment registers: descriptor fetches, loads with all their checks, and what follows from CS and SS for the mode.
 *
 * The CPL is the DPL of SS, as the manuals say; a null SS in 64-bit mode keeps the DPL in its attributes for that. Real
 * mode loads make DPL 0, virtual-8086 loads DPL 3. A null load clears base and limit, as Intel CPUs do (AMD ones keep the
 * base of FS and GS; Linux finds out which and works with either). A real-mode load leaves limit and D/B alone, so
 * "unreal mode" works.
 *
 * Spec: Intel SDM 3A 3.4.2 to 3.5.2, 5.4 to 5.7, 2B MOV; 3A 20.1 (real mode), 20.2 (virtual-8086)
 */
#include "isa/x86/seg.h"

#include "isa/x86/trap.h"

enum { ATTR_DATA_RW = SEG_P | SEG_S | SEG_TYPE_RW | SEG_TYPE_A };

bool x86_desc_read(struct x86_cpu *c, uint16_t sel, struct x86_desc *ret_desc)
{
    uint32_t at = sel & 0xfff8;
    gva_t base = c->gdtr.base;
    uint32_t limit = c->gdtr.limit;
    if (sel & 4) {
        if (c->seg[SEG_LDTR].attr & SEG_UNUSABLE)
            return false;
        base = c->seg[SEG_LDTR].base;
        limit = c->seg[SEG_LDTR].limit;
    }
    if (at + 7 > limit)
        return false;
    gva_t lin = base + at;
    if (!c->long_mode)
        lin = (uint32_t)lin;
    uint64_t lo = x86_lin_read(c, lin, 8, X86_BANK_KERNEL);
    *ret_desc = (struct x86_desc){ .lo = lo, .lin = lin, .sel = sel };
    return true;
}

bool x86_desc_read_upper(struct x86_cpu *c, struct x86_desc *d)
{
    uint32_t limit = d->sel & 4 ? c->seg[SEG_LDTR].limit : c->gdtr.limit;
    if ((d->sel & 0xfff8U) + 15 > limit)
        return false;
    d->hi = x86_lin_read(c, d->lin + 8, 8, X86_BANK_KERNEL);
    return true;
}

/* The type byte of a descriptor in RAM; NULL when it is a device register. One byte never crosses a page. */
static _Atomic uint8_t *desc_type_byte(struct x86_cpu *c, const struct x86_desc *d)
{
    return x86_lin_rmw(c, d->lin + 5, 1, X86_BANK_KERNEL);
}

static void desc_noted(struct x86_cpu *c, const void *host)
{
    if (c->gmem && gmem_note_write(c->gmem, host))
        c->code_written = true;
}

void x86_desc_set_bits(struct x86_cpu *c, struct x86_desc *d, uint8_t bits)
{
    if ((uint8_t)(d->lo >> 40 & bits) == bits)
        return;
    d->lo |= (uint64_t)bits << 40;
    _Atomic uint8_t *p = desc_type_byte(c, d);
    if (!p) {
        x86_lin_write(c, d->lin + 5, d->lo >> 40 & 0xff, 1, X86_BANK_KERNEL);
        return;
    }
    atomic_fetch_or(p, bits);
    desc_noted(c, (const void *)p);
}

void x86_desc_clear_bits(struct x86_cpu *c, struct x86_desc *d, uint8_t bits)
{
    if (!(d->lo >> 40 & bits))
        return;
    d->lo &= ~((uint64_t)bits << 40);
    _Atomic uint8_t *p = desc_type_byte(c, d);
    if (!p) {
        x86_lin_write(c, d->lin + 5, d->lo >> 40 & 0xff, 1, X86_BANK_KERNEL);
        return;
    }
    atomic_fetch_and(p, (uint8_t)~bits);
    desc_noted(c, (const void *)p);
}

void x86_desc_set_accessed(struct x86_cpu *c, struct x86_desc *d)
{
    x86_desc_set_bits(c, d, SEG_TYPE_A);
}

struct x86_seg x86_desc_to_seg(const struct x86_desc *d, uint16_t sel)
{
    uint32_t attr = desc_attr(d);
    uint32_t limit = (uint32_t)((d->lo & 0xffff) | (d->lo >> 32 & 0xf0000));
    if (attr & SEG_G)
        limit = limit << 12 | 0xfff;
    uint64_t base = (d->lo >> 16 & 0xffffff) | (d->lo >> 56) << 24 | d->hi << 32;
    return (struct x86_seg){ .base = base, .limit = limit, .attr = attr, .sel = sel };
}

struct x86_seg x86_seg_null(uint16_t sel, unsigned dpl)
{
    return (struct x86_seg){ .attr = SEG_UNUSABLE | dpl << SEG_DPL_SHIFT, .sel = sel };
}

struct x86_seg x86_seg_flat(uint16_t sel, uint32_t attr)
{
    return (struct x86_seg){ .limit = 0xffffffff, .attr = attr, .sel = sel };
}

bool x86_seg_fits(const struct x86_seg *s, uint64_t off, unsigned len)
{
    uint64_t last = off + len - 1;
    if ((s->attr & (SEG_TYPE_CODE | SEG_TYPE_EC)) == SEG_TYPE_EC)
        return off > s->limit && last <= (s->attr & SEG_DB ? 0xffffffffULL : 0xffff);
    return last <= s->limit;
}

void x86_seg_drop_inner(struct x86_cpu *c)
{
    static const uint8_t regs[] = { SEG_ES, SEG_DS, SEG_FS, SEG_GS };
    for (unsigned n = 0; n < sizeof(regs); n++) {
        struct x86_seg *s = &c->seg[regs[n]];
        bool conforming = (s->attr & (SEG_TYPE_CODE | SEG_TYPE_EC)) == (SEG_TYPE_CODE | SEG_TYPE_EC);
        if (s->attr & SEG_UNUSABLE || conforming || (s->attr >> SEG_DPL_SHIFT & 3) >= c->cpl)
            continue;
        s->sel = 0;
        s->attr = SEG_UNUSABLE;
    }
}

/* ---- loads ---- */

void x86_load_seg_real(struct x86_cpu *c, enum x86_seg_reg reg, uint16_t sel)
{
    struct x86_seg *s = &c->seg[reg];
    s->sel = sel;
    s->base = (uint64_t)sel << 4;
    if (x86_in_vm86(c)) {
        s->limit = 0xffff;
        s->attr = ATTR_DATA_RW | 3 << SEG_DPL_SHIFT;
    } else {
        s->attr = (s->attr & (SEG_DB | SEG_G | SEG_AVL)) | ATTR_DATA_RW;
    }
    x86_mode_update(c);
}

static void load_ss(struct x86_cpu *c, uint16_t sel)
{
    struct x86_desc d;
    if (sel_is_null(sel)) {
        if (c->mode != X86_MODE_64 || c->cpl == 3 || (sel & 3) != c->cpl)
            x86_raise_err(c, X86_GP, 0);
        c->seg[SEG_SS] = x86_seg_null(sel, c->cpl);
        x86_mode_update(c);
        return;
    }
    if (!x86_desc_read(c, sel, &d) || (sel & 3) != c->cpl || !desc_is_writable_data(&d) || desc_dpl(&d) != c->cpl)
        x86_raise_err(c, X86_GP, sel_error(sel, 0));
    if (!desc_present(&d))
        x86_raise_err(c, X86_SS, sel_error(sel, 0));
    x86_desc_set_accessed(c, &d);
    c->seg[SEG_SS] = x86_desc_to_seg(&d, sel);
    x86_mode_update(c);
}

void x86_load_seg(struct x86_cpu *c, enum x86_seg_reg reg, uint16_t sel)
{
    struct x86_desc d;
    if (x86_real_style(c)) {
        x86_load_seg_real(c, reg, sel);
        return;
    }
    if (reg == SEG_SS) {
        load_ss(c, sel);
        return;
    }
    if (sel_is_null(sel)) {
        c->seg[reg] = x86_seg_null(sel, 0);
    } else {
        if (!x86_desc_read(c, sel, &d) || !desc_is_readable(&d))
            x86_raise_err(c, X86_GP, sel_error(sel, 0));
        if (!desc_is_conforming(&d) && ((sel & 3) > desc_dpl(&d) || c->cpl > desc_dpl(&d)))
            x86_raise_err(c, X86_GP, sel_error(sel, 0));
        if (!desc_present(&d))
            x86_raise_err(c, X86_NP, sel_error(sel, 0));
        x86_desc_set_accessed(c, &d);
        c->seg[reg] = x86_desc_to_seg(&d, sel);
    }
    if (c->mode != X86_MODE_64)
        x86_mode_update(c);
}

/* ---- derived state ---- */

static bool seg_is_flat(const struct x86_seg *s, uint32_t type_mask, uint32_t type)
{
    return s->base == 0 && s->limit == 0xffffffff && !(s->attr & SEG_UNUSABLE) && (s->attr & type_mask) == type;
}

static bool all_flat(const struct x86_cpu *c)
{
    enum { DATA_MASK = SEG_TYPE_CODE | SEG_TYPE_EC | SEG_TYPE_RW, CODE_MASK = SEG_TYPE_CODE | SEG_TYPE_RW };
    if (c->mode == X86_MODE_64 || x86_real_style(c))
        return false;
    return seg_is_flat(&c->seg[SEG_CS], CODE_MASK, SEG_TYPE_CODE | SEG_TYPE_RW)
           && seg_is_flat(&c->seg[SEG_DS], DATA_MASK, SEG_TYPE_RW) && seg_is_flat(&c->seg[SEG_ES], DATA_MASK, SEG_TYPE_RW)
           && seg_is_flat(&c->seg[SEG_SS], DATA_MASK, SEG_TYPE_RW);
}

void x86_flags_update(struct x86_cpu *c)
{
    if (c->cpl == 3)
        c->bank = X86_BANK_USER;
    else if (!(c->cr4 & CR4_SMAP) || c->rflags & FLAG_AC)
        c->bank = X86_BANK_KERNEL_AC;
    else
        c->bank = X86_BANK_KERNEL;
    c->align_check = c->cpl == 3 && (c->rflags & FLAG_AC) && (c->cr0 & CR0_AM);
    c->slow = (c->rflags & (FLAG_TF | FLAG_RF)) || (c->dr7 & 0xff) || c->int_shadow || c->pending_dbg;
}

void x86_mode_update(struct x86_cpu *c)
{
    bool vm86 = x86_in_vm86(c);
    c->long_mode = c->efer & EFER_LMA;
    if (!(c->cr0 & CR0_PE))
        c->cpl = 0;
    else
        c->cpl = vm86 ? 3 : c->seg[SEG_SS].attr >> SEG_DPL_SHIFT & 3;
    if (c->long_mode && c->seg[SEG_CS].attr & SEG_L)
        c->mode = X86_MODE_64;
    else
        c->mode = !vm86 && c->seg[SEG_CS].attr & SEG_DB ? X86_MODE_32 : X86_MODE_16;
    if (c->mode == X86_MODE_64)
        c->stack_size = 8;
    else
        c->stack_size = !vm86 && c->seg[SEG_SS].attr & SEG_DB ? 4 : 2;
    c->ip_mask = c->mode == X86_MODE_64 ? ~0ULL : c->mode == X86_MODE_32 ? 0xffffffff : 0xffff;
    c->flat = all_flat(c);
    x86_flags_update(c);
}
