/* SPDX-License-Identifier: MIT */
/*
 * Vectors in engine `bt`: that translated code does them itself, which the lockstep test cannot see, and what a kernel says of
 * mstatus.VS.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include "engine/bt/bt.h"
#include "engine/bt/bt_riscv.h"
#include "isa/riscv/trap.h"
#include "support/bare_riscv.h"

enum { TABLE = 0x800000, CODE = 0x10000, FROM = 0x20000, TO = 0x30000, BYTES = 16 * 4096, HANDLER = RV_RAM + 0x1000 };
enum { A0 = 10, A1, A2, A3, A4 };
enum { V1 = 1, V2, ECALL = 0x73, UNMASKED = 1 << 25, E8_M1 = 0xc0 };

static struct bare_riscv m;

static int setup(void **state)
{
    static struct riscv_profile profile;
    const struct riscv_config config = { .profile = &profile };
    struct error err = { 0 };
    (void)state;
    assert_int_equal(riscv_profile_make("max", &profile, &err), 0);
    assert_int_equal(bare_riscv_init_with(&m, &bt_engine_ops, &config, &err), 0);
    rv_poke(&m, HANDLER, 0x6f, 4); /* j . */
    m.c->mtvec = HANDLER;
    m.c->pmpcfg[0] = 0x1f;
    m.c->pmpaddr[0] = (1ULL << 54) - 1;
    rv_poke(&m, RV_RAM + TABLE + 8 * (RV_RAM >> 30), RV_RAM >> 12 << 10 | 0xcf, 8); /* 1 GiB as it is */
    m.c->satp = 8ULL << 60 | (RV_RAM + TABLE) >> 12;
    riscv_state_changed(m.c);
    for (unsigned k = 0; k < BYTES; k++)
        m.vm.gmem.host[FROM + k] = (uint8_t)(k * 7);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    bare_riscv_done(&m);
    return 0;
}

/* Runs what is at CODE in S-mode to its ECALL. */
static void run(void)
{
    m.c->priv = RISCV_S;
    m.c->mstatus = MSTATUS_XL64 | MSTATUS_VS;
    m.c->pc = RV_RAM + CODE;
    riscv_mode_update(m.c);
    for (unsigned k = 0; k < 100000 && m.c->pc != HANDLER; k++)
        (void)bt_riscv_run(m.vcpu->engine_cpu, m.c, 4);
    assert_int_equal(m.c->mcause, RISCV_ECALL_S);
}

static void put(const uint32_t *code, unsigned nr)
{
    for (unsigned k = 0; k < nr; k++)
        rv_poke(&m, RV_RAM + CODE + 4 * k, code[k], 4);
}

static uint64_t call_outs(void)
{
    static const char name[] = "bt_callouts_vector ";
    char text[8192];
    size_t n = bt_riscv_stats(m.vcpu->engine_cpu, m.c, text, sizeof(text));
    assert_true(n < sizeof(text));
    const char *at = strstr(text, name);
    assert_non_null(at);
    return strtoull(at + sizeof(name) - 1, NULL, 10);
}

static uint32_t r_type(unsigned f7, unsigned rd, unsigned rs1, unsigned rs2)
{
    return f7 << 25 | rs2 << 20 | rs1 << 15 | rd << 7 | 0x33;
}

/* TO = twice FROM, at most a4 bytes at a time. */
static void double_all(unsigned at_once)
{
    const uint32_t code[] = {
        E8_M1 << 20 | A4 << 15 | 7U << 12 | A3 << 7 | 0x57, /* vsetvli a3, a4, e8, m1, ta, ma */
        UNMASKED | A0 << 15 | V1 << 7 | 0x07,               /* vle8.v v1, (a0) */
        UNMASKED | V1 << 20 | V1 << 15 | V2 << 7 | 0x57,    /* vadd.vv v2, v1, v1 */
        UNMASKED | A1 << 15 | V2 << 7 | 0x27,               /* vse8.v v2, (a1) */
        r_type(0, A0, A0, A3),
        r_type(0, A1, A1, A3),
        r_type(32, A2, A2, A3),
        0xfe0612e3, /* bnez a2, -28 */
        ECALL,
    };
    put(code, sizeof(code) / 4);
    m.c->x[A0] = RV_RAM + FROM;
    m.c->x[A1] = RV_RAM + TO;
    m.c->x[A2] = BYTES;
    m.c->x[A4] = at_once;
    run();
    for (unsigned k = 0; k < BYTES; k++)
        assert_int_equal(m.vm.gmem.host[TO + k], (uint8_t)(2 * m.vm.gmem.host[FROM + k]));
}

/* But when a page is met first, and before the loop is translated. */
static void whole_registers_are_not_called_out(void **state)
{
    (void)state;
    double_all(16);
    assert_true(m.c->insns >= BYTES / 16 * 8);
    assert_true(call_outs() < 100);
}

static void parts_of_registers_are_not_called_out(void **state)
{
    (void)state;
    if (!__builtin_cpu_supports("avx512bw") || !__builtin_cpu_supports("avx512vl") || !__builtin_cpu_supports("avx512dq")) {
        print_message("skipped: the host has no AVX-512\n");
        skip();
    }
    double_all(8);
    assert_true(call_outs() < 100);
}

static void a_kernel_switches_vectors_off(void **state)
{
    static const uint32_t code[] = { 0x10051073 /* csrw sstatus, a0 */, 0x100025f3 /* csrr a1, sstatus */, ECALL };
    (void)state;
    bt_riscv_set_eager(m.vcpu->engine_cpu);
    put(code, 3);
    for (uint64_t vs = 0; vs < 4; vs++) {
        m.c->x[A0] = vs << 9;
        run();
        assert_int_equal(m.c->x[A1] & MSTATUS_VS, vs << 9);
        assert_int_equal(m.c->mstatus & MSTATUS_VS, vs << 9);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(whole_registers_are_not_called_out, setup, teardown),
        cmocka_unit_test_setup_teardown(parts_of_registers_are_not_called_out, setup, teardown),
        cmocka_unit_test_setup_teardown(a_kernel_switches_vectors_off, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
