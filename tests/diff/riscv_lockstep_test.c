/* SPDX-License-Identifier: MIT */
/*
 * Engine `bt` against `interp` on generated RISC-V programs, in lockstep.
 *
 * Two machines with the same memory and state run the same program (riscv_lockstep_gen.h). Law 1: after every turn of `bt`, which
 * translates all it meets, `interp`'s single steps lead to the same state and memory after the same number of instructions. Law
 * 2: so do runs of many turns, linked, that are interrupted at any time. The reference keeps no translations: it forgets its TLB
 * all the time, so that what `bt` remembers too long shows. Interrupts come between turns; where an instruction lets one in, it
 * must be taken at once. Law 1 is looked at with registers of 128 and 256 bits, and without AVX-512; law 2 with 512.
 *
 * A difference is printed with the program's seed and the last instructions. RISCV_LOCKSTEP_SEED, RISCV_LOCKSTEP_COUNT (programs
 * a law) and RISCV_LOCKSTEP_SECONDS (a law; 3) choose; RISCV_LOCKSTEP_SEED=N RISCV_LOCKSTEP_COUNT=1 repeats program N. The second
 * law's turns end by a timer, so that its differences may need several tries.
 */
#include "riscv_lockstep_gen.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/time.h>
#include <time.h>

#include <cmocka.h>

#include "base/checked.h"
#include "engine/bt/bt.h"
#include "engine/bt/bt_riscv.h"
#include "isa/riscv/csr.h"
#include "isa/riscv/disasm.h"
#include "isa/riscv/hyp.h"
#include "isa/riscv/trap.h"
#include "isa/riscv/vec.h"
#include "support/bare_riscv.h"

enum { ROUNDS = 250, TRACE = 40, STUCK = 40, REQUEST_US = 100, TURNS_MAX = 12, AHEAD_MAX = 60000 };

struct lockstep {
    struct bare_riscv a, b; /* the reference; under test */
    struct rng r;
    uint64_t seed;
    uint64_t x_satp[2];
    uint8_t code[RL_CODE + RL_PATCHED - RL_M_HANDLER]; /* as it should be */
    bool many;                                         /* turns at a time */
    bool virt; /* it runs in a virtual machine; HS-mode and M-mode have its handlers, too */
    bool wild; /* the program has executed data, which it may have written without a fence, or named no tables in satp */
    struct {
        uint64_t pc;
        uint32_t bits;
        uint8_t priv, bank;
    } trace[TRACE];
    uint64_t traced, programs, abandoned, turns, insns, traps, irqs, steps_virtual;
};

static struct vcpu *asked; /* by the timer */

static void on_alarm(int sig)
{
    (void)sig;
    if (asked)
        vcpu_request(asked, VCPU_REQ_CODE);
}

/* ---- comparing ---- */

struct field {
    const char *name;
    size_t at, size;
};
#define FIELD(name)                                                                                                              \
    {                                                                                                                            \
#name, offsetof(struct riscv_cpu, name), sizeof(((struct riscv_cpu *)0)->name)                                           \
    }

static const struct field fields[] = {
    FIELD(pc),
    FIELD(fflags),
    FIELD(frm),
    FIELD(priv),
    FIELD(activity),
    FIELD(mstatus),
    FIELD(medeleg),
    FIELD(mideleg),
    FIELD(mie),
    FIELD(mtvec),
    FIELD(mscratch),
    FIELD(mepc),
    FIELD(mcause),
    FIELD(mtval),
    FIELD(mcounteren),
    FIELD(mcountinhibit),
    FIELD(menvcfg),
    FIELD(stvec),
    FIELD(sscratch),
    FIELD(sepc),
    FIELD(scause),
    FIELD(stval),
    FIELD(scounteren),
    FIELD(senvcfg),
    FIELD(satp),
    FIELD(stimecmp),
    FIELD(cycle),
    FIELD(instret),
    FIELD(reservation.valid),
    FIELD(reservation.gpa),
    FIELD(reservation.value),
    FIELD(wires),
    FIELD(soft),
    FIELD(insns),
    FIELD(vtype),
    FIELD(vl),
    FIELD(vstart),
    FIELD(vxsat),
    FIELD(vxrm),
    FIELD(hyp.virt),
    FIELD(hyp.hstatus),
    FIELD(hyp.htval),
    FIELD(hyp.htinst),
    FIELD(hyp.mtval2),
    FIELD(hyp.mtinst),
    FIELD(hyp.hgatp),
    FIELD(hyp.vsstatus),
    FIELD(hyp.vsscratch),
    FIELD(hyp.vsepc),
    FIELD(hyp.vscause),
    FIELD(hyp.vstval),
    FIELD(hyp.vsatp),
    FIELD(bank),
    FIELD(fetch_bank),
};

static bool same_cpu(const struct riscv_cpu *a, const struct riscv_cpu *b)
{
    for (unsigned k = 0; k < ARRAY_SIZE(fields); k++)
        if (memcmp((const char *)a + fields[k].at, (const char *)b + fields[k].at, fields[k].size) != 0)
            return false;
    return memcmp(a->x, b->x, sizeof(a->x)) == 0 && memcmp(a->f, b->f, sizeof(a->f)) == 0
           && memcmp(a->v, b->v, sizeof(a->v)) == 0;
}

/* All of it, or only where programs write on purpose. */
static bool same_memory(const struct lockstep *t, bool all)
{
    size_t from = all ? 0 : RL_CODE, to = all ? RL_LOW : RL_DATA + 4096UL * RL_DATA_PAGES;
    return memcmp(t->a.vm.gmem.host + from, t->b.vm.gmem.host + from, to - from) == 0;
}

static void print_trace(const struct lockstep *t)
{
    for (uint64_t k = t->traced > TRACE ? t->traced - TRACE : 0; k < t->traced; k++) {
        char text[80];
        struct riscv_insn i;
        unsigned n = (unsigned)(k % TRACE);
        riscv_decode(t->trace[n].bits, NULL, &i);
        (void)riscv_disasm(&i, text, sizeof(text));
        printf("  %u/%u %16lx: %08x %s\n", t->trace[n].priv, t->trace[n].bank, t->trace[n].pc, i.bits, text);
    }
}

static void print_difference(const struct lockstep *t, const char *what, uint64_t from)
{
    const struct riscv_cpu *a = t->a.c, *b = t->b.c;
    printf("program %lu%s: %s after the turn from %lx; interp's last instructions:\n", t->seed, t->many ? ", many turns" : "",
           what, from);
    print_trace(t);
    for (unsigned k = 0; k < 32; k++) {
        if (a->x[k] != b->x[k])
            printf("x%u: interp %lx, bt %lx\n", k, a->x[k], b->x[k]);
        if (a->f[k] != b->f[k])
            printf("f%u: interp %lx, bt %lx\n", k, a->f[k], b->f[k]);
    }
    for (unsigned k = 0; k < 32U * a->vlenb; k++)
        if (a->v[k] != b->v[k])
            printf("v%u, byte %u: interp %02x, bt %02x\n", k / a->vlenb, k % a->vlenb, a->v[k], b->v[k]);
    for (unsigned k = 0; k < ARRAY_SIZE(fields); k++) {
        uint64_t v[2] = { 0, 0 };
        size_t size = fields[k].size < 8 ? fields[k].size : 8;
        memcpy(&v[0], (const char *)a + fields[k].at, size);
        memcpy(&v[1], (const char *)b + fields[k].at, size);
        if (v[0] != v[1])
            printf("%s: interp %lx, bt %lx\n", fields[k].name, v[0], v[1]);
    }
    const uint8_t *ma = t->a.vm.gmem.host, *mb = t->b.vm.gmem.host;
    for (unsigned k = 0, shown = 0; k < RL_LOW && shown < 8; k++)
        if (ma[k] != mb[k]) {
            printf("at %x: interp %02x, bt %02x\n", k, ma[k], mb[k]);
            shown++;
        }
    (void)fflush(stdout);
}

static bool is_code(uint64_t pc)
{
    if (pc - RL_MIRROR_48 < RL_LOW)
        pc -= RL_MIRROR_48;
    else if (pc - RL_MIRROR_57 < RL_LOW)
        pc -= RL_MIRROR_57;
    return pc - RL_CODE < RL_CODE_END || pc - RL_CODE_S < RL_CODE_END || pc - RL_GLOBAL_CODE < RL_CODE_END
           || (pc & ~0xfffULL) == RL_M_HANDLER || (pc & ~0xfffULL) == RL_S_HANDLER;
}

/* The program has written to its code without a fence (an instruction begun in its middle may): either version may have run. */
static bool rewrote_itself(const struct lockstep *t)
{
    return t->wild || memcmp(t->a.vm.gmem.host + RL_M_HANDLER, t->code, sizeof(t->code)) != 0
           || memcmp(t->b.vm.gmem.host + RL_M_HANDLER, t->code, sizeof(t->code)) != 0;
}

/* ---- the reference ---- */

/* satp has tables that somebody made. Global translations outlive others, which only an engine with a TLB shows. */
static bool has_tables(const struct lockstep *t)
{
    static const unsigned root[] = { 0, 0x5000, 0x6000 };
    const uint64_t ppn = t->a.c->satp & 0xfffffffffff;
    for (unsigned k = 0; k < 2 * ARRAY_SIZE(root); k++)
        if (ppn == (RV_RAM + RL_TABLES + 0x10000 * (k & 1) + root[k / 2]) >> 12)
            return true;
    return t->a.c->satp >> 60 == 0;
}

static void note(struct lockstep *t)
{
    struct riscv_cpu *c = t->a.c;
    unsigned n = (unsigned)(t->traced++ % TRACE);
    uint8_t *host = riscv_touch(c, c->pc, RISCV_FETCH, NULL), *second = riscv_touch(c, c->pc + 2, RISCV_FETCH, NULL);
    uint16_t half[2] = { 0, 0 };
    if (host)
        memcpy(&half[0], host + (c->pc & 4095), 2);
    if (second)
        memcpy(&half[1], second + ((c->pc + 2) & 4095), 2);
    t->wild = t->wild || (host && !is_code(c->pc)) || !has_tables(t);
    t->trace[n].pc = c->pc;
    t->trace[n].bits = (uint32_t)half[1] << 16 | half[0];
    t->trace[n].priv = c->priv;
    t->trace[n].bank = c->bank;
}

/* One step, or the interrupt that is due. */
static bool step(struct lockstep *t)
{
    struct riscv_cpu *c = t->a.c;
    enum vcpu_exit exit;
    uint64_t pc = c->pc;
    bool due = riscv_pending_interrupt(c) != 0;
    if (c->activity != RISCV_RUNNING || riscv_run_boundary(t->a.vcpu->engine_cpu, c, &exit))
        return false;
    if (due) {
        t->irqs++;
        return pc != c->pc || true;
    }
    if (rng_percent(&t->r, 3))
        riscv_tlb_flush_paged(c);
    t->steps_virtual += c->hyp.virt;
    note(t);
    riscv_run_step(t->a.vcpu->engine_cpu, c);
    return true;
}

/* An instruction that goes to the interpreter may have raised its flags already. */
static bool waits_with_flags(struct riscv_cpu *a, const struct riscv_cpu *b)
{
    uint8_t flags = a->fflags;
    if (a->insns != b->insns || a->pc != b->pc || (flags & ~b->fflags))
        return false;
    a->fflags = b->fflags;
    bool same = same_cpu(a, b);
    a->fflags = flags;
    return same;
}

static bool follow(struct lockstep *t)
{
    struct riscv_cpu *a = t->a.c, *b = t->b.c;
    for (uint64_t left = 4ULL * AHEAD_MAX; a->insns < b->insns; left--) /* traps and interrupts retire nothing, and bt had few */
        if (!left || !step(t))
            return false;
    for (unsigned k = 0; k < 3 && !same_cpu(a, b) && waits_with_flags(a, b); k++) {
        (void)bt_riscv_run(t->b.vcpu->engine_cpu, b, 1);
        while (a->insns < b->insns)
            if (!step(t))
                return false;
    }
    for (unsigned k = 0; k < 4 && !same_cpu(a, b); k++) { /* what retires nothing: traps */
        uint64_t insns = a->insns;
        if (!step(t) || a->insns != insns)
            return false;
        t->traps++;
    }
    return same_cpu(a, b) && (!rng_percent(&t->r, 20) || same_memory(t, false));
}

/* ---- programs ---- */

static void leaf_in(struct lockstep *t, unsigned space, enum rl_region region, unsigned n, uint64_t leaf)
{
    static const uint64_t va[RL_REGIONS] = { RL_CODE, RL_CODE_S, RL_DATA, RL_DATA_S, RL_GLOBAL_CODE, RL_GLOBAL_DATA };
    gpa_t table = RV_RAM + RL_TABLES + 0x10000 * space + (region >= RL_G_CODE ? 0x4000 : 0x2000);
    gpa_t at = table + 8 * ((va[region] >> 12 & 511) + n);
    rv_poke(&t->a, at, leaf, 8);
    rv_poke(&t->b, at, leaf, 8);
}

static void make_tables(struct lockstep *t)
{
    for (unsigned s = 0; s < 2; s++) {
        uint64_t base = RV_RAM + RL_TABLES + 0x10000 * s;
        const uint64_t link[][2] = { { base, base + 0x1000 },
                                     { base + 8 * 511, base + 0x3000 },
                                     { base + 0x1000, base + 0x2000 },
                                     { base + 0x3000, base + 0x4000 },
                                     { base + 0x5000, base },
                                     { base + 0x5000 + 8 * (RL_MIRROR_48 >> 39), base },
                                     { base + 0x5000 + 8 * 511, base },
                                     { base + 0x6000, base + 0x5000 },
                                     { base + 0x6000 + 8 * (RL_MIRROR_57 >> 48), base + 0x5000 },
                                     { base + 0x6000 + 8 * 511, base + 0x5000 } };
        for (unsigned m = 0; m < 2; m++) {
            struct bare_riscv *b = m ? &t->b : &t->a;
            memset(b->vm.gmem.host + RL_TABLES + 0x10000 * s, 0, 0x7000);
            for (unsigned k = 0; k < ARRAY_SIZE(link); k++)
                rv_poke(b, link[k][0], link[k][1] >> 12 << 10 | 1, 8);
            rv_poke(b, base + 0x2000 + (RL_S_HANDLER >> 12) * 8, (RV_RAM + RL_S_HANDLER) >> 12 << 10 | 0xeb, 8);
        }
        static const uint8_t pages[RL_REGIONS] = { RL_CODE_PAGES, RL_CODE_PAGES, RL_DATA_PAGES,
                                                   RL_DATA_PAGES, RL_CODE_PAGES, RL_DATA_PAGES };
        for (unsigned region = 0; region < RL_REGIONS; region++)
            for (unsigned n = 0; n < pages[region]; n++) {
                struct rng r = rng_of(t->seed, region, n, region < RL_G_CODE ? s : 0);
                leaf_in(t, s, (enum rl_region)region, n, rl_leaf(&r, (enum rl_region)region, s, n));
            }
    }
}

/* The G-stage, where the program runs in a virtual machine: all is where it is, but for some rights to pages of data and code. */
enum { G_ROOT = 0xf00000, G_LOW = 0xf04000, G_PAGES = 0xf05000, G_ALL = 0xdf };

static void put_both(struct lockstep *t, gpa_t at, uint64_t v)
{
    rv_poke(&t->a, at, v, 8);
    rv_poke(&t->b, at, v, 8);
}

static uint64_t g_leaf(struct rng *r, gpa_t at)
{
    static const uint8_t less[] = { 0xdf, 0xd3, 0x53, 0x5f, 0xd9, 0x00, 0xc7 }; /* not to be written, or executed; D is 0... */
    bool data = at - RV_RAM - RL_DATA < 4096UL * RL_DATA_PAGES, code = at - RV_RAM - RL_CODE < 4096UL * RL_CODE_PAGES;
    uint64_t bits = rng_percent(r, data ? 30 : code ? 5 : 0) ? less[rng_below(r, ARRAY_SIZE(less))] : G_ALL;
    return at >> 12 << 10 | bits;
}

static void make_g_tables(struct lockstep *t, struct rng *r)
{
    for (unsigned k = 0; k < 512; k++) {
        put_both(t, RV_RAM + G_LOW + 8 * k, (RV_RAM + 0x200000UL * k) >> 12 << 10 | G_ALL);
        put_both(t, RV_RAM + G_PAGES + 8 * k, g_leaf(r, RV_RAM + 0x1000UL * k));
    }
    put_both(t, RV_RAM + G_LOW, (RV_RAM + G_PAGES) >> 12 << 10 | 1);
    put_both(t, RV_RAM + G_ROOT, G_ALL);
    put_both(t, RV_RAM + G_ROOT + 16, (RV_RAM + G_LOW) >> 12 << 10 | 1);
}

/* A page's rights change, or the G-stage is switched on or off. */
static void change_g_stage(struct lockstep *t)
{
    struct riscv_cpu *c[2] = { t->a.c, t->b.c };
    unsigned page = rng_percent(&t->r, 80) ? RL_DATA / 4096 + rng_below(&t->r, RL_DATA_PAGES)
                                           : RL_CODE / 4096 + rng_below(&t->r, RL_CODE_PAGES);
    put_both(t, RV_RAM + G_PAGES + 8 * page, g_leaf(&t->r, RV_RAM + 0x1000UL * page));
    bool toggles = rng_percent(&t->r, 20);
    for (unsigned k = 0; k < 2; k++) {
        if (toggles)
            c[k]->hyp.hgatp ^= 8ULL << 60 | (RV_RAM + G_ROOT) >> 12;
        riscv_tlb_flush_all(c[k]);
    }
}

static void start_virtual(struct riscv_cpu *c, struct rng *r)
{
    struct riscv_hyp *h = &c->hyp;
    c->medeleg |= rng_percent(r, 80) ? RISCV_HYP_MEDELEG_BITS : 0;
    c->mideleg |= MIP_VS;
    c->mie |= rng_percent(r, 70) ? MIP_VS : 0;
    *h = (struct riscv_hyp){ .virt = c->priv != RISCV_M && rng_percent(r, 90), .hcounteren = 7, .vstimecmp = ~0ULL };
    h->hstatus = HSTATUS_VSXL64 | (rng_next(r) & (HSTATUS_SPV | HSTATUS_SPVP));
    h->hedeleg = rng_percent(r, 60) ? RISCV_HYP_HEDELEG_BITS : rng_next(r) & RISCV_HYP_HEDELEG_BITS;
    h->hideleg = rng_percent(r, 70) ? MIP_VS : 0;
    h->henvcfg = c->menvcfg;
    h->vsatp = c->satp;
    h->hgatp = rng_percent(r, 80) ? 8ULL << 60 | (RV_RAM + G_ROOT) >> 12 : 0;
    h->vsstatus = 2ULL << 32 | (rng_percent(r, 80) ? MSTATUS_FS : 0) | MSTATUS_VS | (rng_next(r) & (MSTATUS_SUM | MSTATUS_SIE));
    h->vstvec = RL_S_HANDLER;
    c->mstatus |= rng_percent(r, 50) ? MSTATUS_MPV : 0;
    if (rng_percent(r, 30))
        c->menvcfg |= ENVCFG_ADUE;
}

static void write_both(struct lockstep *t, gpa_t at, const void *data, size_t len)
{
    assert_int_equal(gmem_write(&t->a.vm.gmem, at, data, len), 0);
    assert_int_equal(gmem_write(&t->b.vm.gmem, at, data, len), 0);
}

/* An address of what the address space shows there, perhaps another one. */
static uint64_t mirrored(struct rng *r, const struct riscv_cpu *c, uint64_t va)
{
    if (c->satp >> 60 < 9 || va >= RL_LOW || !rng_percent(r, 30))
        return va;
    return va + (c->satp >> 60 == 10 && rng_percent(r, 70) ? RL_MIRROR_57 : RL_MIRROR_48);
}

static void set_registers(struct lockstep *t, struct rng *r)
{
    struct riscv_cpu *a = t->a.c, *b = t->b.c;
    bool paged = a->satp >> 60;
    for (unsigned k = 2; k < 32; k++) {
        if (rl_is_pointer(k))
            a->x[k] = mirrored(r, a, rl_address(r, k, paged));
        else if (rng_percent(r, 50))
            a->x[k] = rng_percent(r, 50) ? rng_next(r) : rng_below(r, 130);
        if (rng_percent(r, 50))
            a->f[k] = rl_float(r);
    }
    a->f[0] = rl_float(r);
    a->f[1] = rl_float(r);
    a->x[30] = t->x_satp[0];
    a->x[31] = t->x_satp[1];
    a->x[1] = mirrored(r, a, rl_code_address(r, a->priv, paged));
    memcpy(b->x, a->x, sizeof(a->x));
    memcpy(b->f, a->f, sizeof(a->f));
}

/* Registers of bytes that are often alike, so that comparisons have two outcomes. */
static void start_vectors(struct riscv_cpu *c, struct rng *r)
{
    c->mstatus |= rng_percent(r, 80) ? MSTATUS_VS : rng_percent(r, 50) ? 1ULL << 9 : 0;
    c->vtype = riscv_vtype_legal(rng_below(r, 256));
    unsigned max = riscv_vlmax(c->vtype, c->vlenb);
    c->vl = (uint16_t)(max ? rng_below(r, max + 1) : 0);
    c->vstart = (uint16_t)(rng_percent(r, 10) ? rng_below(r, 8) : 0);
    c->vxrm = (uint8_t)rng_below(r, 4);
    c->vxsat = 0;
    for (unsigned k = 0; k < sizeof(c->v); k++)
        c->v[k] = (uint8_t)(rng_percent(r, 50) ? rng_below(r, 3) - 1 : rng_next(r));
    bool special = rng_percent(r, 20);
    for (unsigned k = 0; k + 8 <= sizeof(c->v); k += 8) {
        static const uint64_t specials[] = { 0,
                                             0x7ff0000000000000,
                                             0x7ff8000000000000,
                                             0x8000000000000000,
                                             0x7f8000007f800000,
                                             0x7f80000000000000,
                                             0x7fc000007fc00000,
                                             0x000000007fc00000 };
        uint64_t v = special ? specials[rng_below(r, ARRAY_SIZE(specials))] : rl_float(r);
        if (special || rng_percent(r, 40))
            memcpy(c->v + k, &v, 8);
    }
}

static void start_cpu(struct lockstep *t, struct riscv_cpu *c, struct rng r)
{
    static const uint8_t modes[] = { RISCV_U, RISCV_S, RISCV_M, RISCV_S, RISCV_U };
    c->priv = modes[rng_below(&r, ARRAY_SIZE(modes))];
    c->satp = t->x_satp[rng_below(&r, 2)];
    c->activity = RISCV_RUNNING;
    c->mstatus = MSTATUS_XL64
                 | (rng_percent(&r, 80)   ? MSTATUS_FS
                    : rng_percent(&r, 50) ? 1ULL << 13
                                          : 0)
                 | (rng_next(&r) & (MSTATUS_SUM | MSTATUS_SIE | MSTATUS_MIE));
    start_vectors(c, &r);
    c->fflags = 0;
    c->frm = rng_percent(&r, 40) ? 0 : (uint8_t)rng_below(&r, 5);
    c->medeleg = rng_percent(&r, 70) ? 0xb1ff : 0;
    c->mideleg = rng_percent(&r, 70) ? MIP_S : 0;
    c->mie = rng_percent(&r, 70) ? MIP_S | MIP_M : 0;
    c->mtvec = RL_M_HANDLER;
    c->stvec = RL_S_HANDLER;
    c->mcounteren = c->scounteren = 7;
    c->menvcfg = ENVCFG_CBIE | ENVCFG_CBCFE | ENVCFG_CBZE;
    c->senvcfg = c->menvcfg;
    c->mcountinhibit = 0;
    c->stimecmp = ~0ULL;
    c->mepc = c->sepc = c->mcause = c->scause = c->mtval = c->stval = c->mscratch = c->sscratch = 0;
    memset(c->pmpcfg, 0, sizeof(c->pmpcfg));
    c->pmpcfg[1] = 0x1f;
    c->pmpaddr[1] = (1ULL << 54) - 1;
    if (rng_percent(&r, 15)) { /* some bytes of a page that S- and U-mode may only read */
        c->pmpcfg[0] = 0x19;
        c->pmpaddr[0] = (RV_RAM + RL_DATA + 0x2000) >> 2 | 0xf;
    }
    memset(&c->reservation, 0, sizeof(c->reservation));
    memset(&c->cycle, 0, sizeof(c->cycle));
    memset(&c->instret, 0, sizeof(c->instret));
    c->wires = c->soft = 0;
    c->insns = 0;
    if (t->virt)
        start_virtual(c, &r);
    else
        riscv_hyp_reset(c);
    c->pc = rl_code_address(&r, c->priv, c->satp >> 60);
    if (c->priv != RISCV_M)
        c->pc = mirrored(&r, c, c->pc);
    riscv_state_changed(c);
    c->stimer_stale = false;
}

static void load(struct lockstep *t, uint64_t seed)
{
    static const uint8_t zeros[RL_LOW];
    static uint8_t code[RL_CODE_PAGES * 4096], data[RL_DATA_PAGES * 4096];
    uint32_t handler[16];
    struct rng r = rng_of(seed, 1, 0, 0);
    t->seed = seed;
    t->r = rng_of(seed, 2, 0, 0);
    t->traced = 0;
    t->wild = false;
    rl_generate(&r, code, data);
    write_both(t, RV_RAM, zeros, sizeof(zeros)); /* all, and noted: wherever code may have been */
    write_both(t, RV_RAM + RL_CODE, code, sizeof(code));
    write_both(t, RV_RAM + RL_DATA, data, sizeof(data));
    write_both(t, RV_RAM + RL_M_HANDLER, handler, 4 * rl_handler(true, handler));
    write_both(t, RV_RAM + RL_S_HANDLER, handler, 4 * rl_handler(false, handler));
    memcpy(t->code, t->a.vm.gmem.host + RL_M_HANDLER, sizeof(t->code));
    bool asids = rng_percent(&r, 70);
    for (unsigned s = 0; s < 2; s++) {
        static const unsigned root[] = { 0, 0x5000, 0x6000 };
        unsigned more = rng_below(&r, 3);
        t->x_satp[s] = (8ULL + more) << 60 | (asids ? (uint64_t)(s + 1) << 44 : 0)
                       | (RV_RAM + RL_TABLES + 0x10000 * s + root[more]) >> 12;
    }
    if (rng_percent(&r, 15))
        t->x_satp[1] = 0;
    make_tables(t);
    struct rng virtual = rng_of(seed, 3, 0, 0);
    t->virt = rng_percent(&virtual, 40);
    make_g_tables(t, &virtual);
    start_cpu(t, t->a.c, r);
    start_cpu(t, t->b.c, r);
    set_registers(t, &r);
    riscv_run_drop(t->a.vcpu->engine_cpu);
    if (rng_percent(&r, 20))
        bt_riscv_drop(t->b.vcpu->engine_cpu);
    t->programs++;
}

/* ---- what happens between turns ---- */

/* A leaf changes, and what the architecture asks for follows. */
static void remap(struct lockstep *t)
{
    static const uint64_t va[RL_REGIONS] = { RL_CODE, RL_CODE_S, RL_DATA, RL_DATA_S, RL_GLOBAL_CODE, RL_GLOBAL_DATA };
    enum rl_region region = (enum rl_region)rng_below(&t->r, RL_REGIONS);
    bool code = region == RL_U_CODE || region == RL_SUP_CODE || region == RL_G_CODE;
    unsigned space = rng_below(&t->r, 2), n = rng_below(&t->r, code ? RL_CODE_PAGES - 1 : RL_DATA_PAGES), as = n;
    if (!code || rng_percent(&t->r, 50))
        as = code ? rng_below(&t->r, RL_CODE_PAGES - 1) : rng_below(&t->r, RL_DATA_PAGES);
    uint64_t leaf = rl_leaf(&t->r, region, rng_below(&t->r, 2), as), page = va[region] + 4096ULL * n;
    if (code && rng_percent(&t->r, 20))
        leaf = 0;
    if (region >= RL_G_CODE)
        leaf_in(t, !space, region, n, leaf);
    leaf_in(t, space, region, n, leaf);
    uint16_t asid = (uint16_t)(t->x_satp[space] >> 44);
    bool of_page = rng_percent(&t->r, 60), of_space = region < RL_G_CODE && rng_percent(&t->r, 60);
    const uint64_t pages[] = { page, page + RL_MIRROR_48, page + RL_MIRROR_57 };
    for (unsigned k = 0; k < (of_page && region < RL_G_CODE ? 3 : 1); k++) {
        riscv_tlb_fence(t->a.c, of_page ? &pages[k] : NULL, of_space ? &asid : NULL);
        riscv_tlb_fence(t->b.c, of_page ? &pages[k] : NULL, of_space ? &asid : NULL);
        riscv_hyp_fence(t->a.c, of_page ? &pages[k] : NULL, of_space ? &asid : NULL);
        riscv_hyp_fence(t->b.c, of_page ? &pages[k] : NULL, of_space ? &asid : NULL);
    }
}

/* Other code, and a remote fence. */
static void rewrite(struct lockstep *t)
{
    gpa_t at = RV_RAM + RL_CODE + (rng_below(&t->r, RL_PATCHED) & ~3U);
    uint32_t insn = 0x13 | (14 + rng_below(&t->r, 6)) << 7 | rng_below(&t->r, 2048) << 20;
    write_both(t, at, &insn, 4);
    memcpy(t->code + RL_CODE - RL_M_HANDLER + (at - RV_RAM - RL_CODE), &insn, 4);
    t->b.c->fenced = t->a.c->fenced = true;
}

static void set_wires(struct lockstep *t)
{
    static const uint8_t pins[] = { IRQ_MSI, IRQ_MTI, IRQ_STI, IRQ_SEI, IRQ_MEI };
    bool some = !t->a.c->wires;
    for (unsigned k = 0; k < ARRAY_SIZE(pins); k++) {
        bool on = some && rng_percent(&t->r, 20);
        riscv_set_wire(t->a.c, pins[k], on);
        riscv_set_wire(t->b.c, pins[k], on);
    }
    for (unsigned bit = MIP_VSSIP; t->virt && bit <= MIP_VSEIP; bit <<= 4) {
        bool on = some && rng_percent(&t->r, 20);
        riscv_set_soft(t->a.c, bit, on);
        riscv_set_soft(t->b.c, bit, on);
    }
}

/* Both at the beginning of a handler: where it returns to may change. */
static void redirect(struct lockstep *t)
{
    struct riscv_cpu *c[2] = { t->a.c, t->b.c };
    bool machine = c[0]->pc == RL_M_HANDLER && c[0]->priv == RISCV_M, paged = c[0]->satp >> 60;
    bool supervisor = c[0]->pc == RL_S_HANDLER && c[0]->priv == RISCV_S, virt = c[0]->hyp.virt;
    uint64_t cause = machine ? c[0]->mcause : virt ? c[0]->hyp.vscause : c[0]->scause;
    if ((!machine && !supervisor) || !(cause == 1 || cause == 12 || cause == 20 || rng_percent(&t->r, 5)))
        return;
    static const uint8_t modes[] = { RISCV_U, RISCV_S, RISCV_M };
    unsigned to = modes[rng_below(&t->r, machine ? 3 : 2)];
    uint64_t pc = rl_code_address(&t->r, to, paged);
    pc = (to == RISCV_M ? pc : mirrored(&t->r, c[0], pc)) - 4;
    for (unsigned k = 0; k < 2; k++) {
        if (machine) {
            c[k]->mepc = pc;
            c[k]->mstatus = (c[k]->mstatus & ~(MSTATUS_MPP | MSTATUS_MPRV)) | (uint64_t)to << MSTATUS_MPP_SHIFT;
            riscv_mode_update(c[k]);
        } else if (virt) {
            c[k]->hyp.vsepc = pc;
            c[k]->hyp.vsstatus = (c[k]->hyp.vsstatus & ~MSTATUS_SPP) | (to == RISCV_S ? MSTATUS_SPP : 0);
        } else {
            c[k]->sepc = pc;
            c[k]->mstatus = (c[k]->mstatus & ~MSTATUS_SPP) | (to == RISCV_S ? MSTATUS_SPP : 0);
        }
    }
    set_registers(t, &t->r);
}

static void between(struct lockstep *t)
{
    unsigned what = rng_below(&t->r, 100);
    t->a.c->activity = t->b.c->activity = RISCV_RUNNING;
    redirect(t);
    if (t->a.c->wires && rng_percent(&t->r, 40))
        set_wires(t);
    else if (what < 8)
        remap(t);
    else if (what < 10)
        rewrite(t);
    else if (what < 16)
        set_wires(t);
    else if (what < 19)
        set_registers(t, &t->r);
    else if (what < 21) {
        vm_clock_advance(&t->a.vm.clock, 12345);
        vm_clock_advance(&t->b.vm.clock, 12345);
    } else if (what < 25 && t->virt)
        change_g_stage(t);
}

/* One program; false: there was a difference. */
static bool run(struct lockstep *t, uint64_t seed)
{
    struct riscv_cpu *a = t->a.c, *b = t->b.c;
    unsigned stuck = 0;
    load(t, seed);
    for (unsigned k = 0; k < ROUNDS && stuck < STUCK; k++) {
        uint64_t from = b->pc, insns = b->insns;
        asked = t->many ? t->b.vcpu : NULL;
        (void)bt_riscv_run(t->b.vcpu->engine_cpu, b,
                           t->many ? 1 + rng_below(&t->r, TURNS_MAX)
                                   : 1 + rng_below(&t->r, 3)); /* links are made by the next turn */
        asked = NULL;
        t->turns++;
        if (b->insns - insns > AHEAD_MAX) { /* the timer was late, and the reference is slow */
            t->abandoned++;
            return true;
        }
        if (!follow(t)) {
            if (rewrote_itself(t)) {
                t->abandoned++;
                return true;
            }
            print_difference(t, same_cpu(a, b) ? "memory differs" : "the state differs", from);
            return false;
        }
        t->insns += b->insns - insns;
        stuck = b->insns - insns > 0 ? 0 : stuck + 1;
        between(t);
    }
    if (!same_memory(t, true) && !rewrote_itself(t))
        print_difference(t, "memory differs", b->pc);
    return same_memory(t, true) || rewrote_itself(t);
}

static uint64_t number(const char *name, uint64_t otherwise)
{
    const char *text = getenv(name);
    return text ? strtoull(text, NULL, 0) : otherwise;
}

static void start(struct lockstep *t, bool many, const char *cpu)
{
    static struct riscv_profile profile;
    const struct riscv_config config = { .profile = &profile };
    struct error err = { 0 };
    memset(t, 0, sizeof(*t));
    t->many = many;
    assert_int_equal(riscv_profile_make(cpu, &profile, &err), 0);
    assert_int_equal(bare_riscv_init(&t->a, &config, &err), 0);
    assert_int_equal(bare_riscv_init_with(&t->b, &bt_engine_ops, &config, &err), 0);
    if (many) /* RAM in one piece: LR and SC are translated */
        return;
    assert_int_equal(gmem_add_slot(&t->a.vm.gmem, 0, RL_LOW, 0, &err), 0);
    assert_int_equal(gmem_add_slot(&t->b.vm.gmem, 0, RL_LOW, 0, &err), 0);
    bt_riscv_set_eager(t->b.vcpu->engine_cpu);
}

static void law(bool many, const char *cpu)
{
    static struct lockstep t;
    struct itimerval often = { .it_interval.tv_usec = many ? REQUEST_US : 0, .it_value.tv_usec = many ? REQUEST_US : 0 };
    struct sigaction sa = { .sa_handler = on_alarm, .sa_flags = SA_RESTART };
    uint64_t seed = number("RISCV_LOCKSTEP_SEED", 1), count = number("RISCV_LOCKSTEP_COUNT", UINT64_MAX);
    time_t end = time(NULL) + (time_t)number("RISCV_LOCKSTEP_SECONDS", 3);
    bool good = true;
    start(&t, many, cpu);
    assert_int_equal(sigaction(SIGALRM, &sa, NULL), 0);
    assert_int_equal(setitimer(ITIMER_REAL, &often, NULL), 0);
    for (; good && count-- && time(NULL) < end; seed++)
        good = run(&t, seed);
    often = (struct itimerval){ 0 };
    (void)setitimer(ITIMER_REAL, &often, NULL);
    printf("%lu programs (%lu abandoned), %lu turns, %lu instructions, %lu traps, %lu interrupts; %lu instructions with V = 1\n",
           t.programs, t.abandoned, t.turns, t.insns, t.traps, t.irqs, t.steps_virtual);
    bare_riscv_done(&t.a);
    bare_riscv_done(&t.b);
    assert_true(good);
}

static void every_turn_of_bt_is_steps_of_interp(void **state)
{
    (void)state;
    law(false, "max");
}

static void every_turn_is_with_vectors_of_256_bits(void **state)
{
    (void)state;
    law(false, "max,vlen=256");
}

static void every_turn_is_without_avx512(void **state)
{
    (void)state;
    bt_riscv_without_avx512(true);
    law(false, "max,vlen=256");
    bt_riscv_without_avx512(false);
}

static void linked_code_is_steps_of_interp(void **state)
{
    (void)state;
    law(true, "max,vlen=512");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_turn_of_bt_is_steps_of_interp),
        cmocka_unit_test(every_turn_is_with_vectors_of_256_bits),
        cmocka_unit_test(every_turn_is_without_avx512),
        cmocka_unit_test(linked_code_is_steps_of_interp),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
