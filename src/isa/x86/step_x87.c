/* SPDX-License-Identifier: MIT */
/*
 * The x87 control instructions and MXCSR loads: all that is not innocuous arithmetic.
 *
 * Environment images exist in a 16- and a 32-bit form, each with a protected and a real-mode layout. FCS and FDS are
 * always stored as 0, as CPUs do that report their deprecation (CPUID.7.EBX[13]).
 * Spec: SDM 1 8.1.10 figures 8-9 to 8-12; SDM 2A, 2B, the instruction's page
 */
#include <string.h>

#include "isa/x86/fpu.h"
#include "isa/x86/insn_steps.h"
#include "isa/x86/step.h"

enum { ENV_MAX = 28, ST_BYTES = 10, ST_ALL = 8 * ST_BYTES, AREA_MAX = ENV_MAX + ST_ALL };

/* ---- environment ---- */

/* The seven fields in their order; the real-mode layouts pack the pointers' high parts with FOP. */
struct env {
    uint32_t f[7];
};
enum { ENV_FCW, ENV_FSW, ENV_FTW, ENV_FIP, ENV_FOP_FCS, ENV_FDP, ENV_FDS };

static bool real_layout(const struct x86_cpu *c)
{
    return !(c->cr0 & CR0_PE) || (c->rflags & FLAG_VM);
}

static unsigned env_field_size(const struct x86_insn *i)
{
    return i->opsize == 2 ? 2 : 4;
}

static struct env env_make(const struct x86_cpu *c, unsigned field)
{
    const struct x86_fpu *f = &c->fpu;
    struct env e;
    uint32_t ones = 0xffff0000; /* what CPUs put in the unused halves */

    e.f[ENV_FCW] = f->fcw | ones;
    e.f[ENV_FSW] = f->fsw | ones;
    e.f[ENV_FTW] = fpu_tags_full(f) | ones;
    if (!real_layout(c)) {
        e.f[ENV_FIP] = (uint32_t)f->fip;
        e.f[ENV_FOP_FCS] = field == 2 ? 0 : (uint32_t)(f->fop & FOP_VALID) << 16;
        e.f[ENV_FDP] = (uint32_t)f->fdp;
        e.f[ENV_FDS] = ones;
        return e;
    }
    uint32_t high = field == 2 ? 0xf : 0xffff; /* bits of a pointer above the low 16 */
    e.f[ENV_FIP] = (uint32_t)(f->fip & 0xffff) | ones;
    e.f[ENV_FOP_FCS] = ((uint32_t)(f->fip >> 16) & high) << 12 | (f->fop & FOP_VALID);
    e.f[ENV_FDP] = (uint32_t)(f->fdp & 0xffff) | ones;
    e.f[ENV_FDS] = ((uint32_t)(f->fdp >> 16) & high) << 12;
    return e;
}

static void env_take(struct x86_cpu *c, const struct env *e, unsigned field)
{
    struct x86_fpu *f = &c->fpu;
    f->fcw = fpu_fcw_value((uint16_t)e->f[ENV_FCW]);
    fpu_set_top(f, e->f[ENV_FSW] >> FSW_TOP_SHIFT & 7);
    f->fsw = (uint16_t)e->f[ENV_FSW];
    f->ftw = fpu_tags_abridge((uint16_t)e->f[ENV_FTW]);
    f->fop = 0;
    if (real_layout(c)) {
        f->fip = (e->f[ENV_FIP] & 0xffff) | (uint64_t)(e->f[ENV_FOP_FCS] >> 12) << 16;
        f->fdp = (e->f[ENV_FDP] & 0xffff) | (uint64_t)(e->f[ENV_FDS] >> 12) << 16;
        f->fop = (uint16_t)(e->f[ENV_FOP_FCS] & FOP_VALID);
    } else {
        f->fip = e->f[ENV_FIP];
        f->fdp = e->f[ENV_FDP];
        if (field == 4)
            f->fop = (uint16_t)(e->f[ENV_FOP_FCS] >> 16 & FOP_VALID);
    }
    fpu_update_es(f);
}

static void env_pack(const struct env *e, unsigned field, uint8_t *bytes)
{
    for (unsigned n = 0; n < 7; n++)
        memcpy(bytes + n * field, &e->f[n], field);
}

static struct env env_unpack(const uint8_t *bytes, unsigned field)
{
    struct env e = { 0 };
    for (unsigned n = 0; n < 7; n++)
        memcpy(&e.f[n], bytes + n * field, field);
    return e;
}

static void init(struct x86_cpu *c)
{
    /* the data registers keep their values, but st[] is in the order of a top that is 0 now */
    fpu_set_top(&c->fpu, 0);
    fpu_init(&c->fpu);
}

void step_fnstenv(struct x86_cpu *c, const struct x86_insn *i)
{
    unsigned field = env_field_size(i);
    uint8_t buf[ENV_MAX];
    struct env e = env_make(c, field);

    env_pack(&e, field, buf);
    x86_mem_write_bytes(c, i->seg, insn_ea(c, i), buf, 7 * field);
    c->fpu.fcw |= FCW_MASKS;
    fpu_update_es(&c->fpu);
}

void step_fldenv(struct x86_cpu *c, const struct x86_insn *i)
{
    unsigned field = env_field_size(i);
    uint8_t buf[ENV_MAX];

    x86_mem_read_bytes(c, i->seg, insn_ea(c, i), buf, 7 * field);
    struct env e = env_unpack(buf, field);
    env_take(c, &e, field);
}

void step_fnsave(struct x86_cpu *c, const struct x86_insn *i)
{
    unsigned field = env_field_size(i);
    uint8_t buf[AREA_MAX];
    struct env e = env_make(c, field);

    env_pack(&e, field, buf);
    for (unsigned n = 0; n < 8; n++)
        memcpy(buf + 7 * field + n * ST_BYTES, c->fpu.st[n], ST_BYTES);
    x86_mem_write_bytes(c, i->seg, insn_ea(c, i), buf, 7 * field + ST_ALL);
    init(c);
}

void step_frstor(struct x86_cpu *c, const struct x86_insn *i)
{
    unsigned field = env_field_size(i);
    uint8_t buf[AREA_MAX];

    x86_mem_read_bytes(c, i->seg, insn_ea(c, i), buf, 7 * field + ST_ALL);
    struct env e = env_unpack(buf, field);
    env_take(c, &e, field);
    for (unsigned n = 0; n < 8; n++)
        memcpy(c->fpu.st[n], buf + 7 * field + n * ST_BYTES, ST_BYTES);
}

/* ---- control and status words ---- */

void step_fldcw(struct x86_cpu *c, const struct x86_insn *i)
{
    c->fpu.fcw = fpu_fcw_value((uint16_t)x86_mem_read(c, i->seg, insn_ea(c, i), 2));
    fpu_update_es(&c->fpu);
}

void step_fnstcw(struct x86_cpu *c, const struct x86_insn *i)
{
    x86_mem_write(c, i->seg, insn_ea(c, i), c->fpu.fcw, 2);
}

void step_fnstsw(struct x86_cpu *c, const struct x86_insn *i)
{
    if (i->op[0].kind == OPND_REG)
        gpr_write(c, RAX, c->fpu.fsw, 2);
    else
        x86_mem_write(c, i->seg, insn_ea(c, i), c->fpu.fsw, 2);
}

void step_fnclex(struct x86_cpu *c, const struct x86_insn *i)
{
    (void)i;
    c->fpu.fsw &= (uint16_t) ~(FSW_EXC | FSW_SF | FSW_ES | FSW_B);
}

void step_fninit(struct x86_cpu *c, const struct x86_insn *i)
{
    (void)i;
    init(c);
}

void step_fwait(struct x86_cpu *c, const struct x86_insn *i)
{
    (void)i;
    if ((c->cr0 & (CR0_MP | CR0_TS)) == (CR0_MP | CR0_TS))
        x86_raise(c, X86_NM);
    if (fpu_pending(&c->fpu))
        x86_raise(c, X86_MF);
}

void step_emms(struct x86_cpu *c, const struct x86_insn *i)
{
    (void)i;
    fpu_set_top(&c->fpu, 0); /* SDM 3A table 13-1 */
    c->fpu.ftw = 0;
}

/* ---- MXCSR ---- */

void step_ldmxcsr(struct x86_cpu *c, const struct x86_insn *i)
{
    uint32_t v = (uint32_t)x86_mem_read(c, i->seg, insn_ea(c, i), 4);
    if (v & ~(uint32_t)MXCSR_VALID)
        x86_raise_err(c, X86_GP, 0);
    c->fpu.mxcsr = v;
}

void step_stmxcsr(struct x86_cpu *c, const struct x86_insn *i)
{
    x86_mem_write(c, i->seg, insn_ea(c, i), c->fpu.mxcsr, 4);
}
