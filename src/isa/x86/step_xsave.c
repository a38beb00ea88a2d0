/* SPDX-License-Identifier: MIT */
/*
 * FXSAVE, FXRSTOR and the XSAVE family.
 *
 * Saving builds the whole area in a local buffer and then writes only the ranges the instruction owns, after all of the
 * area was probed; restoring reads header and components, checks everything, and changes state last. A component is in
 * use (XINUSE) when it differs from its initial value, which is found by looking.
 * Spec: SDM 1 13.4 to 13.12; SDM 2A FXSAVE, FXRSTOR; SDM 2C the instruction's page
 */
#include <string.h>

#include "isa/x86/fpu.h"
#include "isa/x86/insn_steps.h"
#include "isa/x86/profile.h"
#include "isa/x86/step.h"
#include "isa/x86/sysreg.h"
#include "isa/x86/xsave_layout.h"

/* Offsets in the legacy region. Spec: SDM 1 table 10-2 */
enum {
    LEG_FCW = 0,
    LEG_FSW = 2,
    LEG_FTW = 4,
    LEG_FOP = 6,
    LEG_FIP = 8,
    LEG_FDP = 16,
    LEG_MXCSR = 24,
    LEG_MXCSR_MASK = 28,
    LEG_ST = 32,
    LEG_XMM = 160,
    LEG_XMM_END = 416,
};
enum { HDR_XSTATE_BV = XSAVE_HEADER, HDR_XCOMP_BV = XSAVE_HEADER + 8, HDR_RESERVED = XSAVE_HEADER + 16 };
#define XCOMP_COMPACT (1ULL << 63)
#define BIT(n) (1ULL << (n))

/* An XSAVE area in memory and its copy. */
struct area {
    gva_t lin;
    uint64_t comp; /* components that have a place in it */
    bool compact;
    bool wide;     /* REX.W: 64-bit FIP and FDP */
    unsigned regs; /* vector registers visible in this mode: 16 or 8 */
    uint8_t buf[XSAVE_MAX_SIZE];
};

/* ---- components ---- */

static unsigned visible_regs(const struct x86_cpu *c)
{
    return c->mode == X86_MODE_64 ? 16 : 8;
}

/* Bytes [from, from+len) of a group of vector registers as one component, copied out of or into the state. */
static void vec_copy(struct x86_cpu *c, uint8_t *image, unsigned first, unsigned count, unsigned from, unsigned len, bool save)
{
    for (unsigned n = 0; n < count; n++) {
        uint8_t *reg = c->fpu.zmm[first + n] + from;
        if (save)
            memcpy(image + n * len, reg, len);
        else
            memcpy(reg, image + n * len, len);
    }
}

/* Component n (not x87) between state and image; `regs` limits what other than 64-bit mode sees. */
static void component_copy(struct x86_cpu *c, unsigned n, uint8_t *image, unsigned regs, bool save)
{
    switch (n) {
    case XSAVE_SSE: vec_copy(c, image, 0, regs, 0, 16, save); break;
    case XSAVE_AVX: vec_copy(c, image, 0, regs, 16, 16, save); break;
    case XSAVE_ZMM_HI256: vec_copy(c, image, 0, regs, 32, 32, save); break;
    case XSAVE_HI16_ZMM: vec_copy(c, image, 16, regs == 16 ? 16 : 0, 0, 64, save); break;
    case XSAVE_OPMASK:
        if (save)
            memcpy(image, c->fpu.k, sizeof(c->fpu.k));
        else
            memcpy(c->fpu.k, image, sizeof(c->fpu.k));
        break;
    }
}

static bool all_zero(const void *p, unsigned len)
{
    const uint8_t *b = p;
    return len == 0 || (b[0] == 0 && memcmp(b, b + 1, len - 1) == 0);
}

static bool x87_in_use(const struct x86_fpu *f)
{
    return f->fcw != FCW_INIT || f->fsw || f->ftw || f->fop || f->fip || f->fdp || !all_zero(f->st, sizeof(f->st));
}

/* Components that are not in their initial state. MXCSR does not count here. Spec: SDM 1 13.6 */
static uint64_t xinuse(struct x86_cpu *c)
{
    uint64_t mask = x87_in_use(&c->fpu) ? BIT(XSAVE_X87) : 0;
    uint8_t image[16 * 64];

    for (unsigned n = XSAVE_SSE; n < XSAVE_COMPONENTS; n++) {
        unsigned size = n == XSAVE_SSE ? 256 : xsave_component[n].size;
        if (!size)
            continue;
        memset(image, 0, size);
        component_copy(c, n, image, visible_regs(c), true);
        if (!all_zero(image, size))
            mask |= BIT(n);
    }
    return mask;
}

/* Offset of component n (2 and up) in the area. */
static unsigned component_offset(const struct area *a, unsigned n)
{
    unsigned at = XSAVE_EXTENDED;
    if (!a->compact)
        return xsave_component[n].offset;
    for (unsigned m = XSAVE_AVX; m < n; m++)
        if (a->comp & BIT(m))
            at += xsave_component[m].size;
    return at;
}

/* Bytes from the start of the area to the end of its last component. */
static unsigned area_size(const struct area *a)
{
    unsigned end = XSAVE_EXTENDED;
    for (unsigned n = XSAVE_AVX; n < XSAVE_COMPONENTS; n++)
        if ((a->comp & BIT(n)) && xsave_component[n].size)
            end = component_offset(a, n) + xsave_component[n].size;
    return end;
}

/* ---- legacy region ---- */

static void legacy_put(struct x86_cpu *c, uint8_t *buf, bool wide)
{
    const struct x86_fpu *f = &c->fpu;
    const uint32_t mask = MXCSR_VALID;
    unsigned pointer = wide ? 8 : 4; /* else: 32-bit offset, then selector 0 */

    memset(buf, 0, LEG_XMM);
    memcpy(buf + LEG_FCW, &f->fcw, 2);
    memcpy(buf + LEG_FSW, &f->fsw, 2);
    buf[LEG_FTW] = f->ftw;
    memcpy(buf + LEG_FOP, &f->fop, 2);
    memcpy(buf + LEG_FIP, &f->fip, pointer);
    memcpy(buf + LEG_FDP, &f->fdp, pointer);
    memcpy(buf + LEG_MXCSR, &f->mxcsr, 4);
    memcpy(buf + LEG_MXCSR_MASK, &mask, 4);
    for (unsigned n = 0; n < 8; n++)
        memcpy(buf + LEG_ST + 16 * n, f->st[n], 10);
}

static void legacy_take_x87(struct x86_fpu *f, const uint8_t *buf, bool wide)
{
    unsigned pointer = wide ? 8 : 4;
    uint16_t fcw;

    memcpy(&fcw, buf + LEG_FCW, 2);
    f->fcw = fpu_fcw_value(fcw);
    memcpy(&f->fsw, buf + LEG_FSW, 2);
    f->ftw = buf[LEG_FTW];
    memcpy(&f->fop, buf + LEG_FOP, 2);
    f->fop &= FOP_VALID;
    f->fip = f->fdp = 0;
    memcpy(&f->fip, buf + LEG_FIP, pointer);
    memcpy(&f->fdp, buf + LEG_FDP, pointer);
    for (unsigned n = 0; n < 8; n++)
        memcpy(f->st[n], buf + LEG_ST + 16 * n, 10);
    fpu_update_es(f);
}

static uint32_t legacy_mxcsr(const uint8_t *buf)
{
    uint32_t v;
    memcpy(&v, buf + LEG_MXCSR, 4);
    return v;
}

static gva_t fx_lin(struct x86_cpu *c, const struct x86_insn *i, enum x86_access access)
{
    if (c->cr0 & (CR0_EM | CR0_TS))
        x86_raise(c, X86_NM);
    gva_t lin = insn_lin(c, i, XSAVE_LEGACY_SIZE, access);
    if (lin & 15)
        x86_raise_err(c, X86_GP, 0);
    return lin;
}

void step_fxsave(struct x86_cpu *c, const struct x86_insn *i)
{
    gva_t lin = fx_lin(c, i, X86_WRITE);
    unsigned regs = visible_regs(c);
    uint8_t buf[XSAVE_LEGACY_SIZE];

    legacy_put(c, buf, i->rex_w);
    component_copy(c, XSAVE_SSE, buf + LEG_XMM, regs, true);
    x86_lin_probe_write(c, lin, XSAVE_LEGACY_SIZE, c->bank);
    x86_lin_write_bytes(c, lin, buf, LEG_XMM + 16 * regs, c->bank);
}

void step_fxrstor(struct x86_cpu *c, const struct x86_insn *i)
{
    gva_t lin = fx_lin(c, i, X86_READ);
    uint8_t buf[XSAVE_LEGACY_SIZE];

    x86_lin_read_bytes(c, lin, buf, sizeof(buf), c->bank);
    if (legacy_mxcsr(buf) & ~(uint32_t)MXCSR_VALID)
        x86_raise_err(c, X86_GP, 0);
    legacy_take_x87(&c->fpu, buf, i->rex_w);
    c->fpu.mxcsr = legacy_mxcsr(buf);
    component_copy(c, XSAVE_SSE, buf + LEG_XMM, visible_regs(c), false);
}

/* ---- XSAVE ---- */

static uint64_t edx_eax(const struct x86_cpu *c)
{
    return (uint64_t)(uint32_t)c->gpr[RDX] << 32 | (uint32_t)c->gpr[RAX];
}

/* Checks that all of the family begin with; fills all of the area but its components. */
static void area_init(struct x86_cpu *c, const struct x86_insn *i, struct area *a, enum x86_access access)
{
    if (!(c->cr4 & CR4_OSXSAVE))
        x86_raise(c, X86_UD);
    if (c->cr0 & CR0_TS)
        x86_raise(c, X86_NM);
    a->lin = insn_lin(c, i, XSAVE_EXTENDED, access);
    if (a->lin & 63)
        x86_raise_err(c, X86_GP, 0);
    a->wide = i->rex_w;
    a->regs = visible_regs(c);
}

static void area_write(struct x86_cpu *c, const struct area *a, unsigned from, unsigned to)
{
    if (to > from)
        x86_lin_write_bytes(c, a->lin + from, a->buf + from, to - from, c->bank);
}

/* Writes the components in `save`; the MXCSR field if `mxcsr`. */
static void area_save(struct x86_cpu *c, struct area *a, uint64_t save, bool mxcsr)
{
    legacy_put(c, a->buf, a->wide);
    component_copy(c, XSAVE_SSE, a->buf + LEG_XMM, a->regs, true);
    x86_lin_probe_write(c, a->lin, area_size(a), c->bank);
    if (save & BIT(XSAVE_X87)) {
        area_write(c, a, 0, LEG_MXCSR);
        area_write(c, a, LEG_ST, LEG_XMM);
    }
    if (mxcsr)
        area_write(c, a, LEG_MXCSR, LEG_ST);
    if (save & BIT(XSAVE_SSE))
        area_write(c, a, LEG_XMM, LEG_XMM + 16 * a->regs);
    for (unsigned n = XSAVE_AVX; n < XSAVE_COMPONENTS; n++) {
        unsigned at = component_offset(a, n), size = xsave_component[n].size;
        if (!(save & BIT(n)) || !size)
            continue;
        if (n == XSAVE_HI16_ZMM && a->regs < 16)
            continue;
        if (n != XSAVE_OPMASK && n != XSAVE_HI16_ZMM)
            size = size / 16 * a->regs;
        component_copy(c, n, a->buf + at, a->regs, true);
        area_write(c, a, at, at + size);
    }
}

static void save_standard(struct x86_cpu *c, const struct x86_insn *i, bool init_optimised)
{
    struct area a = { 0 };
    area_init(c, i, &a, X86_WRITE);
    a.comp = c->xcr0 & edx_eax(c);

    uint64_t used = xinuse(c);
    x86_lin_probe_write(c, a.lin, area_size(&a), c->bank);
    uint64_t bv = x86_lin_read(c, a.lin + HDR_XSTATE_BV, 8, c->bank);
    bv = (bv & ~a.comp) | (used & a.comp);
    area_save(c, &a, init_optimised ? a.comp & used : a.comp, a.comp & (BIT(XSAVE_SSE) | BIT(XSAVE_AVX)));
    x86_lin_write(c, a.lin + HDR_XSTATE_BV, bv, 8, c->bank);
}

static void save_compact(struct x86_cpu *c, const struct x86_insn *i, uint64_t enabled)
{
    struct area a = { .compact = true };
    area_init(c, i, &a, X86_WRITE);
    a.comp = enabled & edx_eax(c);

    uint64_t used = xinuse(c) | (c->fpu.mxcsr != MXCSR_INIT ? BIT(XSAVE_SSE) : 0);
    uint64_t bv = used & a.comp, comp_bv = a.comp | XCOMP_COMPACT;
    area_save(c, &a, bv, bv & BIT(XSAVE_SSE));
    memcpy(a.buf + HDR_XSTATE_BV, &bv, 8);
    memcpy(a.buf + HDR_XCOMP_BV, &comp_bv, 8);
    area_write(c, &a, HDR_XSTATE_BV, HDR_RESERVED);
}

static void check_cpl0(struct x86_cpu *c)
{
    if (c->cpl != 0)
        x86_raise_err(c, X86_GP, 0);
}

void step_xsave(struct x86_cpu *c, const struct x86_insn *i)
{
    save_standard(c, i, false);
}

void step_xsaveopt(struct x86_cpu *c, const struct x86_insn *i)
{
    save_standard(c, i, true);
}

void step_xsavec(struct x86_cpu *c, const struct x86_insn *i)
{
    save_compact(c, i, c->xcr0);
}

void step_xsaves(struct x86_cpu *c, const struct x86_insn *i)
{
    if (!(c->cr4 & CR4_OSXSAVE))
        x86_raise(c, X86_UD);
    check_cpl0(c);
    save_compact(c, i, c->xcr0 | c->xss);
}

/* ---- XRSTOR ---- */

/* Raises #GP(0) on a header the instruction refuses; returns XSTATE_BV. Spec: SDM 1 13.8.1, 13.8.2, 13.12 */
static uint64_t header_check(struct x86_cpu *c, struct area *a, uint64_t enabled, bool must_be_compact)
{
    uint64_t bv, comp_bv;

    memcpy(&bv, a->buf + HDR_XSTATE_BV, 8);
    memcpy(&comp_bv, a->buf + HDR_XCOMP_BV, 8);
    a->compact = comp_bv & XCOMP_COMPACT;
    bool ok = a->compact ? c->profile == NULL || c->profile->has[X86_FEAT_XSAVEC] : !must_be_compact;
    if (a->compact) {
        a->comp = comp_bv & ~XCOMP_COMPACT;
        ok = ok && !(a->comp & ~enabled) && !(bv & ~a->comp);
        ok = ok && all_zero(a->buf + HDR_RESERVED, XSAVE_HEADER_SIZE - 16);
    } else {
        a->comp = enabled;
        ok = ok && !(bv & ~enabled) && comp_bv == 0 && all_zero(a->buf + HDR_RESERVED, 8);
    }
    if (!ok)
        x86_raise_err(c, X86_GP, 0);
    return bv;
}

static void init_x87(struct x86_fpu *f)
{
    fpu_init(f);
    memset(f->st, 0, sizeof(f->st));
}

/* Puts components `load` (from the copy) and `init` into the state. Nothing can fault any more. */
static void area_restore(struct x86_cpu *c, struct area *a, uint64_t load, uint64_t init)
{
    uint8_t zero[16 * 64] = { 0 };

    if (load & BIT(XSAVE_X87))
        legacy_take_x87(&c->fpu, a->buf, a->wide);
    else if (init & BIT(XSAVE_X87))
        init_x87(&c->fpu);
    for (unsigned n = XSAVE_SSE; n < XSAVE_COMPONENTS; n++) {
        if (load & BIT(n))
            component_copy(c, n, n == XSAVE_SSE ? a->buf + LEG_XMM : a->buf + component_offset(a, n), a->regs, false);
        else if (init & BIT(n))
            component_copy(c, n, zero, a->regs, false);
    }
}

static void restore(struct x86_cpu *c, const struct x86_insn *i, uint64_t enabled, bool must_be_compact)
{
    struct area a = { 0 };
    area_init(c, i, &a, X86_READ);
    x86_lin_read_bytes(c, a.lin, a.buf, XSAVE_EXTENDED, c->bank);

    uint64_t bv = header_check(c, &a, enabled, must_be_compact);
    uint64_t rfbm = enabled & edx_eax(c), load = rfbm & bv;
    for (unsigned n = XSAVE_AVX; n < XSAVE_COMPONENTS; n++) {
        unsigned at = component_offset(&a, n);
        if ((load & BIT(n)) && xsave_component[n].size)
            x86_lin_read_bytes(c, a.lin + at, a.buf + at, xsave_component[n].size, c->bank);
    }
    /* standard form: MXCSR comes with SSE or AVX, whatever XSTATE_BV says; compacted form: it is a part of SSE */
    bool mxcsr = a.compact ? load & BIT(XSAVE_SSE) : rfbm & (BIT(XSAVE_SSE) | BIT(XSAVE_AVX));
    if (mxcsr && (legacy_mxcsr(a.buf) & ~(uint32_t)MXCSR_VALID))
        x86_raise_err(c, X86_GP, 0);

    area_restore(c, &a, load, rfbm & ~bv);
    if (mxcsr)
        c->fpu.mxcsr = legacy_mxcsr(a.buf);
    else if (a.compact && (rfbm & ~bv & BIT(XSAVE_SSE)))
        c->fpu.mxcsr = MXCSR_INIT;
}

void step_xrstor(struct x86_cpu *c, const struct x86_insn *i)
{
    restore(c, i, c->xcr0, false);
}

void step_xrstors(struct x86_cpu *c, const struct x86_insn *i)
{
    if (!(c->cr4 & CR4_OSXSAVE))
        x86_raise(c, X86_UD);
    check_cpl0(c);
    restore(c, i, c->xcr0 | c->xss, true);
}

/* ---- XCR0 ---- */

void step_xgetbv(struct x86_cpu *c, const struct x86_insn *i)
{
    uint32_t n = (uint32_t)c->gpr[RCX];
    uint64_t v = c->xcr0;

    (void)i;
    if (!(c->cr4 & CR4_OSXSAVE))
        x86_raise(c, X86_UD);
    if (n == 1 && (!c->profile || c->profile->has[X86_FEAT_XGETBV1]))
        v &= xinuse(c);
    else if (n != 0)
        x86_raise_err(c, X86_GP, 0);
    c->gpr[RAX] = (uint32_t)v;
    c->gpr[RDX] = v >> 32;
}

void step_xsetbv(struct x86_cpu *c, const struct x86_insn *i)
{
    (void)i;
    if (!(c->cr4 & CR4_OSXSAVE))
        x86_raise(c, X86_UD);
    check_cpl0(c);
    if ((uint32_t)c->gpr[RCX] != 0)
        x86_raise_err(c, X86_GP, 0);
    x86_xcr0_write(c, edx_eax(c));
}
