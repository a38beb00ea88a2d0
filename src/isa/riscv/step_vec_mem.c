/* SPDX-License-Identifier: MIT */
/*
 * Step functions of vector loads and stores.
 *
 * Elements are accessed one after the other, in the order of their numbers, each field of a segment after the one before it;
 * vstart follows, so that an exception finds there which element (or segment) it belongs to, and the instruction can be gone on
 * with. Registers change as elements arrive. Elements that lie in a row in one page of RAM are copied as a whole. Spec: volume
 * I 30.7
 */
#include "isa/riscv/vec.h"

/* One instruction's accesses. */
struct transfer {
    struct vec v;
    unsigned eew; /* of the data */
    unsigned fields;
    unsigned regs;       /* that a field takes */
    uint64_t base, step; /* address of the first element, from one to the next */
    unsigned index_eew;  /* where offsets come from vs2; else NO_INDEX */
    bool stores;
};
enum { NO_INDEX = 0xff };

/* ---- legality ---- */

/* Width as loads and stores encode it. */
static unsigned width_eew(const struct riscv_insn *i)
{
    return i->rm == 0 ? 0 : i->rm - 4U;
}

/* Data of EEW eew in `fields` groups from vd on. */
static void begin(struct transfer *t, struct riscv_cpu *c, const struct riscv_insn *i, unsigned eew, bool stores)
{
    struct vec *v = &t->v;
    int emul = vec_emul(v, eew);
    t->eew = eew;
    t->stores = stores;
    t->fields = (i->bits >> 29) + 1;
    t->regs = emul > 0 ? 1U << emul : 1;
    t->base = c->x[i->rs1];
    t->step = (uint64_t)t->fields << eew;
    t->index_eew = NO_INDEX;
    vec_require(v, vec_is_group(i->rd, emul));
    vec_require(v, t->fields * t->regs <= 8 && i->rd + t->fields * t->regs <= 32);
    vec_require(v, stores || !v->masked || i->rd != 0);
}

/* Offsets are in vs2; the data has SEW. */
static void begin_indexed(struct transfer *t, struct riscv_cpu *c, const struct riscv_insn *i, bool stores)
{
    struct vec *v = &t->v;
    unsigned eew = width_eew(i);
    vec_enter(v, c, i);
    begin(t, c, i, v->sew, stores);
    t->index_eew = eew;
    t->step = 0;
    vec_check_src(v, i->rs2, eew);
    if (stores)
        return;
    if (t->fields == 1) {
        vec_check_overlap(v, v->sew, i->rs2, eew);
        return;
    }
    int emul = vec_emul(v, eew);
    unsigned n = emul > 0 ? 1U << emul : 1, nd = t->fields * t->regs;
    vec_require(v, i->rd + nd <= i->rs2 || i->rs2 + n <= i->rd);
}

/* ---- accesses ---- */

static uint8_t *element(const struct transfer *t, unsigned field, unsigned k)
{
    return vec_reg(&t->v, t->v.i->rd + field * t->regs) + ((size_t)k << t->eew);
}

static void access_element(const struct transfer *t, unsigned field, unsigned k, uint64_t va)
{
    uint8_t *e = element(t, field, k);
    if (t->stores)
        riscv_store(t->v.c, va, vec_get(e, t->eew, 0), 1U << t->eew);
    else
        vec_set(e, t->eew, 0, riscv_load(t->v.c, va, 1U << t->eew));
}

/* Elements from k on that lie in one page of RAM the TLB knows; how many. */
static unsigned access_row(const struct transfer *t, unsigned k, uint64_t va)
{
    struct riscv_cpu *c = t->v.c;
    unsigned n = (GPAGE_SIZE - (unsigned)(va & ~GPAGE_MASK)) >> t->eew, left = t->v.vl - k;
    uint8_t *host = riscv_tlb_hit(c, va, 1, c->bank, t->stores ? RISCV_WRITE : RISCV_READ);
    n = n < left ? n : left;
    if (!host || !n)
        return 0;
    if (!t->stores) {
        memcpy(element(t, 0, k), host, (size_t)n << t->eew);
        return n;
    }
    memcpy(host, element(t, 0, k), (size_t)n << t->eew);
    (void)gmem_note_write(c->gmem, host);
    return n;
}

static void transfer_rows(const struct transfer *t)
{
    struct riscv_cpu *c = t->v.c;
    for (unsigned k = t->v.first; k < t->v.vl;) {
        uint64_t va = t->base + ((uint64_t)k << t->eew);
        unsigned n = access_row(t, k, va);
        c->vstart = (uint16_t)k;
        if (!n) {
            access_element(t, 0, k, va);
            n = 1;
        }
        k += n;
    }
}

static uint64_t address_of(const struct transfer *t, unsigned k)
{
    if (t->index_eew != NO_INDEX)
        return t->base + vec_get(vec_reg(&t->v, t->v.i->rs2), t->index_eew, k);
    return t->base + k * t->step;
}

static void transfer(const struct transfer *t)
{
    struct riscv_cpu *c = t->v.c;
    riscv_vec_dirty(c);
    if (t->fields == 1 && t->step == 1ULL << t->eew && !t->v.masked) {
        transfer_rows(t);
        c->vstart = 0;
        return;
    }
    for (unsigned k = t->v.first; k < t->v.vl; k++) {
        if (!vec_active(&t->v, k))
            continue;
        c->vstart = (uint16_t)k;
        uint64_t va = address_of(t, k);
        for (unsigned f = 0; f < t->fields; f++)
            access_element(t, f, k, va + ((uint64_t)f << t->eew));
    }
    c->vstart = 0;
}

/* ---- the kinds ---- */

static void unit(struct riscv_cpu *c, const struct riscv_insn *i, bool stores)
{
    struct transfer t;
    vec_enter(&t.v, c, i);
    begin(&t, c, i, width_eew(i), stores);
    transfer(&t);
}

static void strided(struct riscv_cpu *c, const struct riscv_insn *i, bool stores)
{
    struct transfer t;
    vec_enter(&t.v, c, i);
    begin(&t, c, i, width_eew(i), stores);
    t.step = c->x[i->rs2];
    transfer(&t);
}

static void indexed(struct riscv_cpu *c, const struct riscv_insn *i, bool stores)
{
    struct transfer t;
    begin_indexed(&t, c, i, stores);
    transfer(&t);
}

/* vl bits. Spec: 30.7.4 */
static void mask(struct riscv_cpu *c, const struct riscv_insn *i, bool stores)
{
    struct transfer t = {
        .eew = 0, .fields = 1, .regs = 1, .base = c->x[i->rs1], .step = 1, .index_eew = NO_INDEX, .stores = stores
    };
    vec_enter(&t.v, c, i);
    t.v.vl = (t.v.vl + 7) / 8;
    transfer(&t);
}

/* Whole registers, whatever vtype and vl are. Spec: 30.7.9 */
static void whole(struct riscv_cpu *c, const struct riscv_insn *i, bool stores)
{
    unsigned eew = width_eew(i), nr = (i->bits >> 29) + 1;
    struct transfer t = { .v = { .c = c, .i = i, .first = c->vstart, .vl = nr * c->vlenb >> eew },
                          .eew = eew,
                          .fields = 1,
                          .regs = nr,
                          .base = c->x[i->rs1],
                          .step = 1ULL << eew,
                          .index_eew = NO_INDEX,
                          .stores = stores };
    vec_require(&t.v, riscv_unit_on(c, MSTATUS_VS) && !(i->rd & (nr - 1)));
    transfer(&t);
}

/* The segment at va can be loaded without an exception; of RAM only. */
static bool loads_quietly(const struct transfer *t, uint64_t va)
{
    struct riscv_cpu *c = t->v.c;
    uint64_t last = va + ((uint64_t)t->fields << t->eew) - 1;
    return riscv_touch(c, va, RISCV_READ, NULL) && ((va ^ last) < GPAGE_SIZE || riscv_touch(c, last, RISCV_READ, NULL));
}

/* Only element 0 may raise; vl ends before another that would. Spec: 30.7.7 */
static void fault_first(struct riscv_cpu *c, const struct riscv_insn *i)
{
    struct transfer t;
    vec_enter(&t.v, c, i);
    begin(&t, c, i, width_eew(i), false);
    riscv_vec_dirty(c);
    for (unsigned k = t.v.first; k < t.v.vl; k++) {
        uint64_t va = address_of(&t, k);
        if (!vec_active(&t.v, k))
            continue;
        unsigned row = t.fields == 1 && !t.v.masked ? access_row(&t, k, va) : 0;
        if (row) {
            k += row - 1;
            continue;
        }
        if (k > 0 && !loads_quietly(&t, va)) {
            c->vl = (uint16_t)k;
            break;
        }
        c->vstart = (uint16_t)k;
        for (unsigned f = 0; f < t.fields; f++)
            access_element(&t, f, k, va + ((uint64_t)f << t.eew));
    }
    c->vstart = 0;
}

/* ---- the list ---- */

#define STEP(name, call)                                                                                                         \
    void rv_##name(struct riscv_cpu *c, const struct riscv_insn *i)                                                              \
    {                                                                                                                            \
        call;                                                                                                                    \
    }
#define STEPS_OF_EEW(eew)                                                                                                        \
    STEP(vle##eew##_v, unit(c, i, false))                                                                                        \
    STEP(vlsege##eew##_v, unit(c, i, false))                                                                                     \
    STEP(vlse##eew##_v, strided(c, i, false))                                                                                    \
    STEP(vlssege##eew##_v, strided(c, i, false))                                                                                 \
    STEP(vluxei##eew##_v, indexed(c, i, false))                                                                                  \
    STEP(vloxei##eew##_v, indexed(c, i, false))                                                                                  \
    STEP(vluxsegei##eew##_v, indexed(c, i, false))                                                                               \
    STEP(vloxsegei##eew##_v, indexed(c, i, false))                                                                               \
    STEP(vle##eew##ff_v, fault_first(c, i))                                                                                      \
    STEP(vlsege##eew##ff_v, fault_first(c, i))                                                                                   \
    STEP(vl1re##eew##_v, whole(c, i, false))                                                                                     \
    STEP(vl2re##eew##_v, whole(c, i, false))                                                                                     \
    STEP(vl4re##eew##_v, whole(c, i, false))                                                                                     \
    STEP(vl8re##eew##_v, whole(c, i, false))                                                                                     \
    STEP(vse##eew##_v, unit(c, i, true))                                                                                         \
    STEP(vssege##eew##_v, unit(c, i, true))                                                                                      \
    STEP(vsse##eew##_v, strided(c, i, true))                                                                                     \
    STEP(vsssege##eew##_v, strided(c, i, true))                                                                                  \
    STEP(vsuxei##eew##_v, indexed(c, i, true))                                                                                   \
    STEP(vsoxei##eew##_v, indexed(c, i, true))                                                                                   \
    STEP(vsuxsegei##eew##_v, indexed(c, i, true))                                                                                \
    STEP(vsoxsegei##eew##_v, indexed(c, i, true))
STEPS_OF_EEW(8)
STEPS_OF_EEW(16)
STEPS_OF_EEW(32)
STEPS_OF_EEW(64)

STEP(vlm_v, mask(c, i, false))
STEP(vsm_v, mask(c, i, true))
STEP(vs1r_v, whole(c, i, true))
STEP(vs2r_v, whole(c, i, true))
STEP(vs4r_v, whole(c, i, true))
STEP(vs8r_v, whole(c, i, true))
