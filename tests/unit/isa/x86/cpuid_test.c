/* SPDX-License-Identifier: MIT */
/*
 * Laws of CPUID and of the CPU models behind it.
 */
#include "support/bare_x86.h"

#include <errno.h>

#include "base/checked.h"
#include "isa/x86/kvmpv.h"
#include "isa/x86/profile.h"
#include "isa/x86/sysreg.h"

enum { EAX, EBX, ECX, EDX };

static int setup(void **state)
{
    static struct bare bare;
    bare_init(&bare);
    bare.vm.nr_vcpus = 1;
    *state = &bare;
    return 0;
}

static int teardown(void **state)
{
    bare_done(*state);
    return 0;
}

static struct x86_cpu *cpu(void **state)
{
    return ((struct bare *)*state)->c;
}

static uint32_t reg(const struct x86_cpu *c, uint32_t leaf, uint32_t sub, unsigned which)
{
    uint32_t r[4];
    x86_cpuid(c, leaf, sub, r);
    return r[which];
}

static void every_feature_bit_follows_the_profile(void **state)
{
    struct x86_cpu *c = cpu(state);
    struct x86_profile p = *c->profile;
    c->profile = &p;
    for (unsigned on = 0; on < 2; on++) {
        for (unsigned f = X86_FEAT_NONE + 1; f < X86_FEAT_END; f++)
            p.has[f] = on;
        p.has[X86_FEAT_XSAVE] = true; /* without it leaf 0xd is empty */
#define X(name, leaf, sub, r, bit)                                                                                               \
    if (X86_FEAT_##name != X86_FEAT_XSAVE)                                                                                       \
        assert_int_equal(reg(c, leaf, sub, r) >> (bit)&1, on);
#include "isa/x86/features.def"
#undef X
    }
}

static void leaves_beyond_the_range_answer_as_the_highest_basic_one(void **state)
{
    static const uint32_t beyond[] = { 0x20, 0x3fffffff, 0x40000011, 0x50000000, 0x80000009, 0xc0000000, 0xffffffff };
    struct x86_cpu *c = cpu(state);
    uint32_t last = reg(c, 0, 0, EAX);
    for (unsigned k = 0; k < ARRAY_SIZE(beyond); k++)
        for (uint32_t sub = 0; sub < 3; sub++) {
            uint32_t want[4], got[4];
            x86_cpuid(c, last, sub, want);
            x86_cpuid(c, beyond[k], sub, got);
            assert_memory_equal(got, want, sizeof(got));
        }
}

static void osxsave_follows_cr4(void **state)
{
    struct x86_cpu *c = cpu(state);
    assert_false(reg(c, 1, 0, ECX) & 1U << 27);
    c->cr4 |= CR4_OSXSAVE;
    assert_true(reg(c, 1, 0, ECX) & 1U << 27);
}

static void xsave_sizes_follow_xcr0(void **state)
{
    struct x86_cpu *c = cpu(state);
    struct x86_profile p = *c->profile;
    c->profile = &p;
    for (unsigned f = 0; f < X86_FEAT_END; f++)
        p.has[f] = true;
    p.xcr0 = 0xe7;
    static const struct {
        uint64_t xcr0;
        unsigned standard, compacted;
    } row[] = { { 1, 576, 576 }, { 3, 576, 576 }, { 7, 832, 832 }, { 0xe7, 2688, 2432 } };
    for (unsigned k = 0; k < ARRAY_SIZE(row); k++) {
        c->xcr0 = row[k].xcr0;
        assert_int_equal(reg(c, 0xd, 0, EBX), row[k].standard);
        assert_int_equal(reg(c, 0xd, 0, ECX), 2688);
        assert_int_equal(reg(c, 0xd, 1, EBX), row[k].compacted);
    }
    assert_int_equal(reg(c, 0xd, 0, EAX), 0xe7);
    for (unsigned k = 2; k < 63; k++) /* a component is described exactly when it can be enabled */
        assert_int_equal(reg(c, 0xd, k, EAX) != 0, 0xe7ULL >> k & 1);
    p.xcr0 = 7;
    assert_int_equal(reg(c, 0xd, 0, ECX), 832);
    assert_int_equal(reg(c, 0xd, 6, EAX), 0);
}

static void topology_tells_all_cpus_apart(void **state)
{
    struct bare *b = *state;
    for (unsigned n = 1; n <= VM_MAX_VCPUS; n++) {
        b->vm.nr_vcpus = n;
        unsigned shift = reg(b->c, 0xb, 1, EAX);
        assert_true(1U << shift >= n && (n == 1 || 1U << (shift - 1) < n));
        assert_int_equal(reg(b->c, 0xb, 1, EBX), n);
        assert_int_equal(reg(b->c, 0xb, 1, ECX), 0x201);
        assert_int_equal(reg(b->c, 0xb, 0, EAX), 0); /* one thread a core */
        assert_int_equal(reg(b->c, 0xb, 0, ECX), 0x100);
        assert_int_equal(reg(b->c, 0xb, 2, EBX), 0);
        assert_int_equal(reg(b->c, 0xb, 2, ECX), 2);
        assert_int_equal(reg(b->c, 4, 0, EAX) >> 26, (1U << shift) - 1);         /* cores */
        assert_int_equal(reg(b->c, 4, 3, EAX) >> 14 & 0xfff, (1U << shift) - 1); /* share the L3 */
        assert_int_equal(reg(b->c, 4, 0, EAX) >> 14 & 0xfff, 0);                 /* but not the L1 */
        assert_int_equal(reg(b->c, 1, 0, EBX) >> 16 & 0xff, 1U << shift);
        assert_int_equal(!!(reg(b->c, 1, 0, EDX) & 1U << 28), n > 1);
        b->vcpu->id = n - 1;
        assert_int_equal(reg(b->c, 0xb, 0, EDX), n - 1);
        assert_int_equal(reg(b->c, 0x1f, 1, EDX), n - 1);
        assert_int_equal(reg(b->c, 1, 0, EBX) >> 24, n - 1);
        b->vcpu->id = 0;
    }
}

static void cache_leaves_end(void **state)
{
    struct x86_cpu *c = cpu(state);
    for (unsigned k = 0; k < 4; k++)
        assert_int_not_equal(reg(c, 4, k, EAX) & 0x1f, 0);
    assert_int_equal(reg(c, 4, 4, EAX) & 0x1f, 0);
}

/* As Linux's native_calibrate_tsc computes it, in 32 bits. */
static void tsc_leaf_gives_the_rate_within_two_millionths(void **state)
{
    struct bare *b = *state;
    for (uint64_t hz = 400000000; hz < 4290000000ULL; hz += 7654321) {
        b->vm.clock.tsc_hz = hz;
        uint32_t r[4];
        x86_cpuid(b->c, 0x15, 0, r);
        uint32_t crystal_khz = r[ECX] / 1000;
        assert_true(r[EAX] && r[EBX]);
        assert_true((uint64_t)crystal_khz * r[EBX] <= UINT32_MAX);
        uint64_t khz = crystal_khz * r[EBX] / r[EAX];
        assert_in_range(khz, hz / 1000 - hz / 500000000 - 1, hz / 1000 + hz / 500000000 + 1);
        assert_in_range(r[ECX], 999700000, 1000300000); /* it is the APIC timer's clock, too */
    }
}

static void hypervisor_is_kvm(void **state)
{
    struct x86_cpu *c = cpu(state);
    uint32_t r[4];
    x86_cpuid(c, 0x40000000, 0, r);
    assert_memory_equal(&r[EBX], "KVMKVMKVM\0\0\0", 12);
    assert_true(reg(c, 1, 0, ECX) & 1U << 31);
    assert_int_equal(reg(c, 0x40000001, 0, EAX), KVM_FEATURES_ALWAYS | KVM_FEATURES_DEFAULT);
}

static void brand_string_names_the_model(void **state)
{
    struct x86_cpu *c = cpu(state);
    char text[49] = "";
    for (unsigned k = 0; k < 3; k++)
        x86_cpuid(c, 0x80000002 + k, 0, (uint32_t *)(void *)(text + 16 * k));
    assert_string_equal(text, c->profile->brand);
    assert_non_null(strstr(text, "x86-64-v3"));
}

/* ---- models ---- */

static void models_offer_only_what_the_host_executes(void **state)
{
    (void)state;
    struct x86_profile p;
    assert_int_equal(x86_profile_make("max", &p, NULL), 0);
    assert_true(!p.has[X86_FEAT_SSE4_2] || __builtin_cpu_supports("sse4.2"));
    assert_true(!p.has[X86_FEAT_AES] || __builtin_cpu_supports("aes"));
    assert_true(!p.has[X86_FEAT_PCLMULQDQ] || __builtin_cpu_supports("pclmul"));
    assert_int_equal(p.has[X86_FEAT_AVX], !!__builtin_cpu_supports("avx"));
    assert_int_equal(p.has[X86_FEAT_AVX2], !!__builtin_cpu_supports("avx2"));
    assert_int_equal(p.has[X86_FEAT_FMA], !!__builtin_cpu_supports("fma"));
    assert_int_equal(p.has[X86_FEAT_AVX512F], !!__builtin_cpu_supports("avx512f"));
    assert_int_equal(p.has[X86_FEAT_AVX512BW], !!__builtin_cpu_supports("avx512bw"));
    assert_int_equal(p.has[X86_FEAT_AVX512VL], !!__builtin_cpu_supports("avx512vl"));
    assert_int_equal(!!(p.xcr0 & XCR0_AVX), p.has[X86_FEAT_AVX]);
    assert_int_equal((p.xcr0 & 0xe0) == 0xe0, p.has[X86_FEAT_AVX512F]);
}

static void each_model_contains_the_smaller_one(void **state)
{
    (void)state;
    struct x86_profile v3, v4, max;
    assert_int_equal(x86_profile_make("x86-64-v3", &v3, NULL), 0);
    assert_int_equal(x86_profile_make("x86-64-v4", &v4, NULL), 0);
    assert_int_equal(x86_profile_make("max", &max, NULL), 0);
    for (unsigned f = 0; f < X86_FEAT_END; f++) {
        assert_true(!v3.has[f] || v4.has[f]);
        assert_true(!v4.has[f] || max.has[f]);
    }
    assert_false(v3.has[X86_FEAT_AVX512F]);
    assert_int_equal(v3.has[X86_FEAT_AES], max.has[X86_FEAT_AES]);
    assert_int_equal(v3.has[X86_FEAT_SHA], max.has[X86_FEAT_SHA]);
    assert_false(max.has[X86_FEAT_MONITOR]);
    assert_string_equal(x86_profile_default()->name, "x86-64-v3");
    assert_memory_equal(x86_profile_default()->has, v3.has, sizeof(v3.has));
}

static void an_unknown_model_is_refused_by_name(void **state)
{
    (void)state;
    struct x86_profile p;
    struct error err = { 0 };
    assert_int_equal(x86_profile_make("pentium", &p, &err), -EINVAL);
    assert_non_null(strstr(err.msg, "pentium"));
    assert_non_null(strstr(err.msg, "x86-64-v3"));
}

static void lzcnt_and_tzcnt_of_a_model_without_them_are_bsr_and_bsf(void **state)
{
    static const uint8_t code[] = {
        0xf3, 0x0f, 0xbd, 0xc1, 0xf3, 0x0f, 0xbc, 0xd9, 0xf4
    }; /* lzcnt eax, ecx; tzcnt ebx, ecx; hlt */
    struct bare *b = *state;
    struct x86_profile p = *b->c->profile;
    b->c->profile = &p;
    for (unsigned on = 0; on < 2; on++) {
        p.has[X86_FEAT_LZCNT] = p.has[X86_FEAT_BMI1] = on;
        bare_long(b);
        bare_code(b, BARE_CODE, code, sizeof(code));
        b->c->gpr[RAX] = b->c->gpr[RBX] = 7;
        b->c->gpr[RCX] = 0x100;
        b->c->activity = X86_RUNNING;
        interp_engine_ops.state_changed(b->vcpu);
        bare_run(b);
        assert_int_equal(b->c->gpr[RAX], on ? 23 : 8);
        assert_int_equal(b->c->gpr[RBX], 8);
        b->c->gpr[RAX] = b->c->gpr[RBX] = 7;
        b->c->gpr[RCX] = 0; /* BSR and BSF of nothing change nothing */
        b->c->rip = BARE_CODE;
        b->c->activity = X86_RUNNING;
        bare_run(b);
        assert_int_equal(b->c->gpr[RBX], on ? 32 : 7);
        assert_int_equal(b->c->gpr[RAX], on ? 32 : 7);
    }
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(every_feature_bit_follows_the_profile),
        T(leaves_beyond_the_range_answer_as_the_highest_basic_one),
        T(osxsave_follows_cr4),
        T(xsave_sizes_follow_xcr0),
        T(topology_tells_all_cpus_apart),
        T(cache_leaves_end),
        T(tsc_leaf_gives_the_rate_within_two_millionths),
        T(hypervisor_is_kvm),
        T(brand_string_names_the_model),
        T(lzcnt_and_tzcnt_of_a_model_without_them_are_bsr_and_bsf),
        cmocka_unit_test(models_offer_only_what_the_host_executes),
        cmocka_unit_test(each_model_contains_the_smaller_one),
        cmocka_unit_test(an_unknown_model_is_refused_by_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
