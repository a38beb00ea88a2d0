/* SPDX-License-Identifier: MIT */
/*
 * Random and directed states for experiments on RISC-V: see states.h.
 */
#include "classify/riscv/states.h"

#include <string.h>

#include "base/checked.h"
#include "base/rng.h"
#include "isa/riscv/csr.h"
#include "isa/riscv/vec.h"

enum {
    DATA_FIRST = WORLD_DATA + 0x100,
    STEP = 64,
    FILLED = 128,
    X_SP = 2,
    CSR_SHIFT = 20,
    RD_SHIFT = 7,
    RM_SHIFT = 12,
    RS1_SHIFT = 15,
    RS2_SHIFT = 20,
    VM_SHIFT = 25
};

/* ---- the instruction ---- */

static bool has_rounding(enum riscv_format f)
{
    return f == RISCV_FMT_F1 || f == RISCV_FMT_F3 || f == RISCV_FMT_F4 || f == RISCV_FMT_F2X || f == RISCV_FMT_X2F;
}

/* Fault-only-first loads end where memory does, without a trap, once their first element is loaded; they may end anywhere, so
 * that is no sign of anything (docs/theory.md). They are made to begin with element 0, in a page of the program's. */
static bool faults_first(const struct riscv_row *row, uint32_t bits)
{
    return row->format == RISCV_FMT_VL && (bits >> RS2_SHIFT & 31) == 16;
}

/* A vtype that there is, and registers that groups of up to four may begin at. */
static uint32_t tame_vector(struct rng *r, const struct riscv_row *row, uint32_t bits)
{
    if (row->format == RISCV_FMT_VSETI || row->format == RISCV_FMT_VSETII)
        return rng_percent(r, 80) ? bits & ~(0x3e4U << RS2_SHIFT & ~row->mask) : bits; /* LMUL 1 to 8, SEW 8 to 64 */
    if (faults_first(row, bits))
        bits |= 1U << RS1_SHIFT | 1U << VM_SHIFT;
    if (row->format >= RISCV_FMT_VL && row->format <= RISCV_FMT_VD && rng_percent(r, 60))
        bits &= ~((3U << RD_SHIFT | 3U << RS2_SHIFT | (row->format == RISCV_FMT_VV ? 3U << RS1_SHIFT : 0)) & ~row->mask);
    return bits;
}

/* Anything in the free bits; but rarely a reserved rounding mode, and often a CSR instruction that only reads. False: not that
 * row, after all. */
static bool make_insn(struct rng *r, unsigned row, const struct riscv_csrs *csrs, struct riscv_insn *ret)
{
    static const uint8_t modes[] = { RM_RNE, RM_RTZ, RM_RDN, RM_RUP, RM_RMM, RM_DYN };
    const struct riscv_row *t = &riscv_rows[row];
    uint32_t bits = t->match | ((uint32_t)rng_next(r) & ~t->mask);
    if (has_rounding(t->format) && rng_percent(r, 90))
        bits = (bits & ~(7U << RM_SHIFT)) | (uint32_t)modes[rng_below(r, ARRAY_SIZE(modes))] << RM_SHIFT;
    if (csrs) {
        unsigned reads_only = rng_percent(r, 30) ? 31U << RS1_SHIFT : 0;
        bits &= ~(~0U << CSR_SHIFT | reads_only);
        bits |= (csrs->first + csrs->step * rng_below(r, csrs->count)) << CSR_SHIFT;
    }
    bits = tame_vector(r, t, bits);
    riscv_decode(bits, NULL, ret);
    return ret->row == row;
}

/* It accesses memory at rs1 + imm (or jumps there). */
static bool has_address(enum riscv_format f)
{
    switch (f) {
    case RISCV_FMT_LD:
    case RISCV_FMT_ST:
    case RISCV_FMT_LR:
    case RISCV_FMT_AMO:
    case RISCV_FMT_HLV:
    case RISCV_FMT_HSV:
    case RISCV_FMT_CBO:
    case RISCV_FMT_PREF:
    case RISCV_FMT_FLD:
    case RISCV_FMT_FST:
    case RISCV_FMT_VL:
    case RISCV_FMT_VLN:
    case RISCV_FMT_VLS:
    case RISCV_FMT_VLX:
    case RISCV_FMT_CLW:
    case RISCV_FMT_CLD:
    case RISCV_FMT_CSW:
    case RISCV_FMT_CSD:
    case RISCV_FMT_CFLD:
    case RISCV_FMT_CFSD:
    case RISCV_FMT_CLWSP:
    case RISCV_FMT_CLDSP:
    case RISCV_FMT_CFLDSP:
    case RISCV_FMT_CSWSP:
    case RISCV_FMT_CSDSP:
    case RISCV_FMT_CFSDSP: return true;
    default: return false;
    }
}

/* ---- values ---- */

static uint64_t data_pointer(struct rng *r)
{
    return DATA_FIRST + (uint64_t)STEP * rng_below(r, 48);
}

static uint64_t code_pointer(struct rng *r)
{
    return WORLD_HANDLER + 4 * rng_below(r, 128);
}

/* Legal or nearly so for some control register. */
static uint64_t control_value(struct rng *r)
{
    const uint64_t status = MSTATUS_SIE | MSTATUS_SPIE | MSTATUS_SPP | MSTATUS_FS | MSTATUS_VS | MSTATUS_SUM | MSTATUS_MXR;
    switch (rng_below(r, 4)) {
    case 0: return rng_next(r) & status;
    case 1: return (8ULL + rng_below(r, 2)) << 60 | rng_below(r, 0x800);
    case 2: return rng_next(r) & (MIP_S | MIP_M);
    default: return rng_next(r) & (ENVCFG_FIOM | ENVCFG_CBIE | ENVCFG_CBCFE | ENVCFG_CBZE);
    }
}

static uint64_t value(struct rng *r)
{
    switch (rng_below(r, 5)) {
    case 0: return rng_below(r, 32);
    case 1: return control_value(r);
    case 2: return rng_percent(r, 80) ? data_pointer(r) : code_pointer(r);
    case 3: return ~(uint64_t)rng_below(r, 64);
    default: return rng_next(r);
    }
}

/* As a program's floating-point registers are: boxed floats, doubles, halves, signalling NaNs of each, or anything. */
static uint64_t float_value(struct rng *r)
{
    static const uint64_t nans[] = { 0x7ff0000000000001, 0xffffffff7f800001, 0xffffffffffff7c01 };
    switch (rng_below(r, 5)) {
    case 0: return 0xffffffff00000000 | (uint32_t)rng_next(r);
    case 1: return 0xffffffffffff0000 | (uint16_t)rng_next(r);
    case 2: return (0x3f0ULL + rng_below(r, 32)) << 52 | rng_next(r) >> 12;
    case 3: return nans[rng_below(r, ARRAY_SIZE(nans))];
    default: return value(r);
    }
}

/* ---- the part that both states share ---- */

static void make_registers(struct rng *r, struct riscv_cpu *c)
{
    for (unsigned n = 1; n < 32; n++)
        c->x[n] = value(r);
    for (unsigned n = 0; n < 32; n++)
        c->f[n] = float_value(r);
    c->x[X_SP] = WORLD_STACK + 16 * rng_below(r, 16);
    c->frm = (uint8_t)(rng_percent(r, 90) ? rng_below(r, 5) : rng_below(r, 8));
    c->fflags = (uint8_t)rng_below(r, 32);
}

/* Few and small groups mostly, and small offsets in them. */
static void make_vectors(struct rng *r, struct riscv_cpu *c)
{
    c->vtype = riscv_vtype_legal(rng_percent(r, 80) ? rng_below(r, 4) << 3 | rng_below(r, 3) : rng_below(r, 256));
    c->vl = (uint16_t)rng_below(r, riscv_vlmax(c->vtype, c->vlenb) + 1);
    c->vstart = (uint16_t)(rng_percent(r, 90) ? 0 : rng_below(r, 4));
    c->vxsat = (uint8_t)rng_below(r, 2);
    c->vxrm = (uint8_t)rng_below(r, 4);
    for (unsigned n = 0; n < 32U * c->vlenb; n += 8) {
        uint64_t v = rng_percent(r, 50) ? rng_below(r, 64) : rng_percent(r, 50) ? float_value(r) : rng_next(r);
        memcpy(c->v + n, &v, 8);
    }
}

/* What the supervisor left in its registers. */
static void make_supervisor(struct rng *r, struct riscv_cpu *c)
{
    c->sepc = code_pointer(r);
    c->stvec = code_pointer(r);
    c->sscratch = value(r);
    c->scause = value(r);
    c->stval = value(r);
    c->mstatus |= rng_next(r) & (MSTATUS_SPP | MSTATUS_SPIE | MSTATUS_SIE);
    c->mie = rng_next(r) & MIP_S;
    atomic_store_explicit(&c->soft, rng_percent(r, 50) ? MIP_SSIP : 0, memory_order_relaxed); /* no other thread has it */
}

/* An earlier LR, of what an SC at `at` would store to, or of something else. */
static void make_reservation(struct rng *r, uint64_t at, struct riscv_world_state *s)
{
    unsigned size = rng_percent(r, 50) ? 4 : 8;
    uint64_t where = rng_percent(r, 80) ? at : data_pointer(r), offset = where - WORLD_DATA;
    if (rng_percent(r, 30) || offset > WORLD_DATA_SIZE - 8)
        return;
    s->cpu.reservation = (struct riscv_reservation){ .valid = true, .size = (uint8_t)size, .gpa = where };
    memcpy(&s->cpu.reservation.value, s->program.data + offset, size);
}

static void make_program(struct rng *r, const struct riscv_insn *i, struct riscv_world_state *s)
{
    uint64_t at = data_pointer(r) + (rng_percent(r, 10) ? rng_below(r, 8) : 0);
    make_registers(r, &s->cpu);
    make_supervisor(r, &s->cpu);
    make_vectors(r, &s->cpu);
    if (faults_first(&riscv_rows[i->row], i->bits))
        s->cpu.vstart = 0;
    for (unsigned n = 0; n < FILLED; n += 8) {
        uint64_t v = value(r);
        memcpy(s->program.data + (at - WORLD_DATA) + n, &v, 8);
    }
    if (has_address(riscv_rows[i->row].format) && i->rs1)
        s->cpu.x[i->rs1] = at - (uint64_t)(int64_t)i->imm;
    make_reservation(r, at, s);
    memcpy(s->program.code, &i->bits, i->len);
}

/* All but mode and place. */
static void share_program(const struct riscv_world_state *from, struct riscv_world_state *to)
{
    uint8_t priv = to->cpu.priv;
    uint64_t satp = to->cpu.satp;
    *to = *from;
    to->cpu.priv = priv;
    to->cpu.satp = satp;
}

/* ---- variations; of side 1, with whatever r gives ---- */

static void vary_interrupt(struct rng *r, struct riscv_cpu *c)
{
    uint32_t soft = (uint32_t)(rng_next(r) & (MIP_SSIP | MIP_SEIP)), wires = (uint32_t)(rng_next(r) & (MIP_STIP | MIP_SEIP));
    c->mstatus ^= MSTATUS_SIE;
    c->mie ^= rng_next(r) & MIP_S;
    atomic_store_explicit(&c->soft, soft, memory_order_relaxed);
    atomic_store_explicit(&c->wires, wires, memory_order_relaxed);
}

static void vary_status(struct rng *r, struct riscv_cpu *c)
{
    static const uint64_t bits[] = { MSTATUS_SPP, MSTATUS_SUM, MSTATUS_MXR, MSTATUS_MPP, MSTATUS_FS, MSTATUS_VS };
    c->mstatus ^= bits[rng_below(r, ARRAY_SIZE(bits))];
    if (rng_percent(r, 50))
        c->mstatus ^= MSTATUS_SPP | MSTATUS_MXR;
}

static void vary_registers(struct rng *r, struct riscv_cpu *c)
{
    uint64_t *const any[] = { &c->sscratch, &c->scause, &c->stval, &c->mscratch, &c->mcause, &c->mtval };
    for (unsigned n = 0; n < ARRAY_SIZE(any); n++)
        *any[n] = rng_next(r);
    c->stvec += 4 * (uint64_t)(1 + rng_below(r, 8));
    c->sepc += 4 * (uint64_t)(1 + rng_below(r, 8));
    c->mtvec += 4 * (uint64_t)(1 + rng_below(r, 8));
    c->mepc += 4 * (uint64_t)(1 + rng_below(r, 8));
    c->stimecmp -= 1 + rng_below(r, 1000);
    c->senvcfg ^= ENVCFG_FIOM;
    if (c->priv == RISCV_S) { /* in U-mode these decide what traps */
        c->scounteren ^= rng_next(r) & RISCV_COUNTEREN_BITS;
        c->senvcfg ^= rng_next(r) & (ENVCFG_CBCFE | ENVCFG_CBZE);
    }
    c->mstatus ^= MSTATUS_MPIE;
}

static void vary_devices(struct rng *r, struct riscv_world_state *s)
{
    s->devices.time += 1 + rng_below(r, 1000);
    s->devices.value ^= 1 + rng_below(r, 255);
    s->cpu.insns += 1 + rng_below(r, 1000);
}

static void vary(struct rng *r, enum vary_kind kind, struct riscv_world_state *s)
{
    switch (kind) {
    case VARY_MODE:
    case VARY_PLACE:
    case VARY_PAGING: break; /* they began otherwise */
    case VARY_INTERRUPT: vary_interrupt(r, &s->cpu); break;
    case VARY_STATUS: vary_status(r, &s->cpu); break;
    case VARY_REGISTERS: vary_registers(r, &s->cpu); break;
    case VARY_DEVICES: vary_devices(r, s); break;
    }
}

#define HERE_THERE                                                                                                               \
    {                                                                                                                            \
        "here", "there"                                                                                                          \
    }
const struct experiment_kind riscv_states_kinds[VARY_NR] = {
    [VARY_MODE] = { "the mode: S, U", { "supervisor", "user" }, false, 4 },
    [VARY_INTERRUPT] = { "interrupts: enabled, pending", HERE_THERE, false, 1 },
    [VARY_STATUS] = { "the status register", HERE_THERE, false, 2 },
    [VARY_REGISTERS] = { "registers of the supervisor and the firmware", HERE_THERE, false, 1 },
    [VARY_DEVICES] = { "time, counters, the firmware's answer", HERE_THERE, false, 1 },
    [VARY_PLACE] = { "where program and page tables are in memory", HERE_THERE, true, 2 },
    [VARY_PAGING] = { "paging: off, on", { "off", "on" }, true, 2 },
};

/* ---- a pair ---- */

bool riscv_states_make(struct riscv_world *const world[2], unsigned row, const struct riscv_csrs *csrs,
                       const struct experiment_id *id, struct riscv_world_state *const state[2], unsigned *ret_world,
                       struct riscv_insn *ret_insn)
{
    struct rng r = rng_of(id->seed, id->subject, id->kind, id->number);
    enum riscv_priv priv[2] = { RISCV_S, RISCV_U };
    enum riscv_world_paging paging = rng_percent(&r, 80) ? WORLD_PAGED : WORLD_BARE;
    enum riscv_world_paging pagings[2] = { paging, paging };

    if (!make_insn(&r, row, csrs, ret_insn))
        return false;
    if (id->kind != VARY_MODE)
        priv[0] = priv[1] = id->number % 2 ? RISCV_U : RISCV_S;
    if (id->kind == VARY_PAGING)
        pagings[0] = WORLD_BARE;
    if (id->kind == VARY_PAGING || id->kind == VARY_PLACE)
        pagings[1] = WORLD_PAGED;
    if (id->kind == VARY_PLACE)
        pagings[0] = WORLD_PAGED;
    *ret_world = id->kind == VARY_PLACE;
    for (unsigned k = 0; k < 2; k++)
        riscv_world_begin(world[k ? *ret_world : 0], priv[k], pagings[k], state[k]);
    make_program(&r, ret_insn, state[0]);
    share_program(state[0], state[1]);
    vary(&r, id->kind, state[1]);
    return true;
}
