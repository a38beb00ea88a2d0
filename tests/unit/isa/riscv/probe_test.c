/* SPDX-License-Identifier: MIT */
/*
 * Laws of the tiny riscv64 guest that engines are tried with: one that runs it as it should is usable and measured; one that gets
 * anything wrong is not, and says what.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "core/vcpu.h"
#include "engine/interp/interp.h"
#include "isa/riscv/probe.h"
#include "isa/riscv/state.h"

enum { ROUNDS = 1000 };

/* `interp`, with a state that is changed behind its back. */
static void (*spoil)(struct riscv_cpu *c);

static enum vcpu_exit run_and_spoil(struct vcpu *vcpu)
{
    enum vcpu_exit exit = interp_engine_ops.run(vcpu);
    if (spoil)
        spoil(vcpu->cpu);
    return exit;
}

static struct engine_probe try(void (*how)(struct riscv_cpu *c))
{
    struct engine_ops engine = interp_engine_ops;
    struct engine_probe probe;
    engine.run = run_and_spoil;
    spoil = how;
    riscv_probe_engine(&engine, "works", ROUNDS, &probe);
    return probe;
}

static void an_engine_that_is_right_is_usable(void **state)
{
    (void)state;
    const struct engine_probe probe = try(NULL);
    assert_true(probe.usable);
    assert_false(probe.avoid);
    assert_true(probe.mips > 0);
    assert_string_equal(probe.why, "works");
}

static void a0(struct riscv_cpu *c)
{
    c->x[10] ^= 1;
}

static void fa0(struct riscv_cpu *c)
{
    c->f[10] ^= 1;
}

static void fflags(struct riscv_cpu *c)
{
    c->fflags = 0;
}

static void awake(struct riscv_cpu *c)
{
    c->activity = RISCV_RUNNING;
}

static void what_is_wrong_is_found(void **state)
{
    void (*const nonsense[])(struct riscv_cpu *) = { a0, fa0, fflags };
    (void)state;
    for (unsigned k = 0; k < sizeof(nonsense) / sizeof(nonsense[0]); k++) {
        const struct engine_probe probe = try(nonsense[k]);
        assert_false(probe.usable);
        assert_string_equal(probe.why, "the tiny guest computed nonsense");
    }
    const struct engine_probe probe = try(awake);
    assert_false(probe.usable);
    assert_string_equal(probe.why, "the tiny guest did not halt");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_engine_that_is_right_is_usable),
        cmocka_unit_test(what_is_wrong_is_found),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
