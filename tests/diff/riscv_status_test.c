/* SPDX-License-Identifier: MIT */
/*
 * sstatus as translated code reads, writes and leaves it, compared with the interpreter: every CSR instruction, values known to
 * the translator or not, all states of FS and VS, with vectors and without. The lockstep test draws what is lost here too rarely.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include "engine/bt/bt.h"
#include "engine/bt/bt_riscv.h"
#include "isa/riscv/profile.h"
#include "isa/riscv/trap.h"
#include "support/bare_riscv.h"

enum {
    TABLES = 0x800000,
    CODE = 0x10000,
    SUPER = 0x50000,
    USER = 0x60000,
    HANDLER = RV_RAM + 0x1000,
    PROGRAMS = 6000,
    SLOT = 32
};
enum { V = 1, R = 2, W = 4, X = 8, U = 16, AD = 0xc0 };
enum { A0 = 10, A1, SSTATUS = 0x100, ECALL = 0x73, SRET = 0x10200073 };

struct program {
    uint64_t mstatus, operand;
    uint32_t word[5];
};

static struct bare_riscv m[2]; /* interp, bt */

static void set_up(struct bare_riscv *b, const struct engine_ops *engine, const struct riscv_profile *profile)
{
    const struct riscv_config config = { .profile = profile };
    struct error err = { 0 };
    assert_int_equal(bare_riscv_init_with(b, engine, &config, &err), 0);
    rv_poke(b, RV_RAM + TABLES, (RV_RAM + TABLES + 0x1000) >> 12 << 10 | V, 8);
    rv_poke(b, RV_RAM + TABLES + 0x1000, (RV_RAM + TABLES + 0x2000) >> 12 << 10 | V, 8);
    rv_poke(b, RV_RAM + TABLES + 0x2000 + 8 * (SUPER >> 12), (RV_RAM + CODE) >> 12 << 10 | V | R | X | AD, 8);
    rv_poke(b, RV_RAM + TABLES + 0x2000 + 8 * (USER >> 12), (RV_RAM + CODE + 0x1000) >> 12 << 10 | V | R | X | U | AD, 8);
    rv_poke(b, RV_RAM + CODE + 0x1000, ECALL, 4);
    rv_poke(b, HANDLER, 0x6f, 4); /* j . */
    b->c->mtvec = HANDLER;
    b->c->pmpcfg[0] = 0x1f;
    b->c->pmpaddr[0] = (1ULL << 54) - 1;
    b->c->satp = 8ULL << 60 | (RV_RAM + TABLES) >> 12;
    riscv_state_changed(b->c);
}

static uint64_t draw(uint64_t *seed)
{
    *seed ^= *seed << 13;
    *seed ^= *seed >> 7;
    *seed ^= *seed << 17;
    return *seed >> 8;
}

static struct program make(uint64_t *seed, bool vectors)
{
    static const uint64_t sets[] = { MSTATUS_SUM,
                                     MSTATUS_SUM | MSTATUS_FS,
                                     MSTATUS_SUM | MSTATUS_FS | MSTATUS_VS,
                                     MSTATUS_FS,
                                     MSTATUS_VS,
                                     MSTATUS_SIE,
                                     MSTATUS_SPIE | MSTATUS_SPP,
                                     MSTATUS_MXR };
    const uint64_t all = MSTATUS_SIE | MSTATUS_SPIE | MSTATUS_SPP | MSTATUS_VS | MSTATUS_FS | MSTATUS_SUM | MSTATUS_MXR;
    uint64_t r = draw(seed);
    struct program p = { .mstatus = MSTATUS_XL64 | (draw(seed) & all), .operand = draw(seed) & all & draw(seed) };
    if (!vectors)
        p.mstatus &= ~MSTATUS_VS;
    if (r & 1)
        p.operand = sets[draw(seed) % 8];
    if (r & 2) /* as a kernel comes back from a trap: only what user code may have changed */
        p.operand = (draw(seed) & (MSTATUS_SPIE | MSTATUS_FS | MSTATUS_VS));
    unsigned n = 0, funct = (unsigned[]){ 1, 1, 2, 3, 5, 6, 7 }[(r >> 4) % 7], rd = r >> 8 & 1 ? A1 : 0;
    unsigned rs1 = funct > 4 ? (unsigned)(r >> 9 & 31) : r >> 14 & 15 ? A0 : 0;
    if (r & 4) {                                                                  /* the value is known */
        p.word[n++] = (uint32_t)(p.operand + 0x800) >> 12 << 12 | A0 << 7 | 0x37; /* lui */
        p.word[n++] = (uint32_t)p.operand << 20 | A0 << 15 | A0 << 7 | 0x1b;      /* addiw */
    }
    p.word[n++] = (uint32_t)SSTATUS << 20 | rs1 << 15 | funct << 12 | rd << 7 | 0x73;
    p.word[n++] = r & 8 ? SRET : ECALL;
    p.word[n] = ECALL;
    return p;
}

static void run(struct bare_riscv *b, const struct program *p, unsigned slot, bool bt)
{
    struct riscv_cpu *c = b->c;
    for (unsigned k = 0; k < 5; k++)
        rv_poke(b, RV_RAM + CODE + SLOT * slot + 4 * k, p->word[k], 4);
    c->priv = RISCV_S;
    c->mstatus = p->mstatus;
    c->x[A0] = p->operand;
    c->x[A1] = 0x1111;
    c->sepc = USER;
    c->pc = SUPER + SLOT * slot;
    c->fenced = true;
    riscv_mode_update(c);
    for (unsigned k = 0; k < 100 && c->pc != HANDLER; k++) {
        if (bt)
            (void)bt_riscv_run(b->vcpu->engine_cpu, c, 1);
        else
            riscv_run_step(b->vcpu->engine_cpu, c);
    }
    assert_int_equal(c->pc, HANDLER);
}

static void compare(const char *model)
{
    struct riscv_profile profile;
    struct error err = { 0 };
    uint64_t seed = 0x5eed5eed5eedULL;
    assert_int_equal(riscv_profile_make(model, &profile, &err), 0);
    set_up(&m[0], &interp_engine_ops, &profile);
    set_up(&m[1], &bt_engine_ops, &profile);
    bt_riscv_set_eager(m[1].vcpu->engine_cpu);
    for (unsigned k = 0; k < PROGRAMS; k++) {
        struct program p = make(&seed, profile.has[RISCV_EXT_V]);
        for (unsigned e = 0; e < 2; e++)
            run(&m[e], &p, k % (4096 / SLOT), e);
        const struct riscv_cpu *a = m[0].c, *b = m[1].c;
        if (a->mstatus != b->mstatus || a->mcause != b->mcause || a->mepc != b->mepc || a->x[A1] != b->x[A1]
            || a->bank != b->bank)
            fail_msg(
                "program %u of %s: mstatus %#lx, operand %#lx, words %08x %08x %08x %08x: mstatus %#lx, not %#lx; cause %lu, "
                "not %lu; a1 %#lx, not %#lx",
                k, model, p.mstatus, p.operand, p.word[0], p.word[1], p.word[2], p.word[3], b->mstatus, a->mstatus, b->mcause,
                a->mcause, b->x[A1], a->x[A1]);
    }
    bare_riscv_done(&m[0]);
    bare_riscv_done(&m[1]);
}

static void sstatus_is_the_same_with_vectors(void **state)
{
    (void)state;
    compare("max");
}

static void sstatus_is_the_same_without_vectors(void **state)
{
    (void)state;
    compare("rv64");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sstatus_is_the_same_with_vectors),
        cmocka_unit_test(sstatus_is_the_same_without_vectors),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
