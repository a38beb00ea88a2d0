/* SPDX-License-Identifier: MIT */
/*
 * KVM's paravirtual interface but for its clock (sysreg_test.c): MSRs, hypercalls, the preempted flag and what hangs on it.
 */
#include "isa/x86/kvmpv.h"

#include <errno.h>

#include "isa/x86/profile.h"
#include "isa/x86/sysreg.h"
#include "isa/x86/tlb.h"
#include "support/bare_x86.h"

enum { PREEMPTED_AT = 16, VERSION_AT = 8, CPUS = 2 };

static unsigned settled;
static struct {
    uint64_t first, ids[2];
    uint32_t icr;
    int result;
} sent;

static int no_irq(void *intc)
{
    (void)intc;
    return -1;
}

static void fake_settle(void *intc)
{
    (void)intc;
    settled++;
}

static int fake_send(void *intc, uint64_t first, const uint64_t ids[2], uint32_t icr)
{
    (void)intc;
    sent.first = first;
    memcpy(sent.ids, ids, sizeof(sent.ids));
    sent.icr = icr;
    return sent.result;
}

static const struct vcpu_intc_ops fake_intc = {
    .poll = no_irq,
    .accept = no_irq,
    .settle = fake_settle,
    .send_ipis = fake_send,
};

/* A second CPU, never run. */
static int setup(void **state)
{
    static struct bare b;
    struct error err = { 0 };
    bare_init(&b);
    bare_renew(&b);
    static struct x86_profile all;
    assert_int_equal(x86_profile_make("x86-64-v3,kvm-pv=on", &all, &err), 0);
    b.c->profile = &all;
    bare_long(&b);
    b.vcpu->intc = &fake_intc;
    b.vm.vcpu[0] = b.vcpu;
    assert_int_equal(vcpu_new(&b.vm, 1, &x86_isa_ops, &interp_engine_ops, NULL, &b.vm.vcpu[1], &err), 0);
    b.vm.nr_vcpus = CPUS;
    settled = 0;
    memset(&sent, 0, sizeof(sent));
    *state = &b;
    return 0;
}

static int teardown(void **state)
{
    struct bare *b = *state;
    b->vm.nr_vcpus = 0;
    vcpu_free(b->vm.vcpu[1]);
    bare_done(b);
    return 0;
}

static void write_msr(struct bare *b, uint32_t msr, uint64_t v)
{
    assert_false(RAISES(b->c, (x86_msr_write(b->c, msr, v), 0)));
}

static bool refuses(struct bare *b, uint32_t msr, uint64_t v)
{
    return RAISES(b->c, (x86_msr_write(b->c, msr, v), 0)) && b->c->trap.vector == X86_GP;
}

static uint8_t peek8(struct bare *b, gpa_t at)
{
    uint8_t v = 0;
    assert_int_equal(gmem_read(&b->vm.gmem, at, &v, 1), 0);
    return v;
}

static void poke8(struct bare *b, gpa_t at, uint8_t v)
{
    assert_int_equal(gmem_write(&b->vm.gmem, at, &v, 1), 0);
}

static const uint8_t vmcall_code[] = { 0x0f, 0x01, 0xc1, 0xf4 }, vmmcall_code[] = { 0x0f, 0x01, 0xd9, 0xf4 }; /* ...; hlt */

static int64_t call_by(struct bare *b, const uint8_t code[4], uint64_t nr, uint64_t a0, uint64_t a1, uint64_t a2, uint64_t a3)
{
    bare_code(b, BARE_CODE, code, 4);
    b->c->rip = BARE_CODE;
    b->c->activity = X86_RUNNING;
    b->c->gpr[RAX] = nr;
    b->c->gpr[RBX] = a0;
    b->c->gpr[RCX] = a1;
    b->c->gpr[RDX] = a2;
    b->c->gpr[RSI] = a3;
    bare_run(b);
    return (int64_t)b->c->gpr[RAX];
}

static int64_t call(struct bare *b, uint64_t nr, uint64_t a0, uint64_t a1, uint64_t a2, uint64_t a3)
{
    return call_by(b, vmcall_code, nr, a0, a1, a2, a3);
}

/* ---- what is offered ---- */

static uint32_t offered(struct bare *b)
{
    uint32_t r[4];
    x86_cpuid(b->c, KVM_CPUID_FEATURES, 0, r);
    assert_int_equal(r[3], 0); /* no hints: vCPUs may well be preempted */
    return r[0];
}

static void what_is_switched_off_is_not_there(void **state)
{
    struct bare *b = *state;
    struct x86_profile p;
    assert_int_equal(offered(b), KVM_FEATURES_ALWAYS | KVM_FEATURES_SWITCHED);
    assert_int_equal(x86_profile_make("max,kvm-pv=off", &p, NULL), 0);
    b->c->profile = &p;
    assert_int_equal(offered(b), KVM_FEATURES_ALWAYS);
    uint64_t v;
    for (uint32_t msr = KVM_MSR_ASYNC_PF_EN; msr <= KVM_MSR_POLL_CONTROL; msr++) {
        assert_true(refuses(b, msr, 0));
        assert_false(x86_kvm_msr_read(b->c, msr, &v));
    }
    assert_int_equal(call(b, KVM_HC_SEND_IPI, 1, 0, 0, 0x61), -KVM_ENOSYS);
    assert_int_equal(call(b, KVM_HC_KICK_CPU, 0, 1, 0, 0), -KVM_ENOSYS);
    assert_int_equal(call(b, KVM_HC_SCHED_YIELD, 1, 0, 0, 0), -KVM_ENOSYS);
    assert_int_equal(call(b, KVM_HC_VAPIC_POLL_IRQ, 0, 0, 0, 0), 0);
}

static void parts_are_switched_by_name_and_in_order(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        uint32_t kvm;
    } good[] = {
        { "max", KVM_FEATURES_DEFAULT },
        { "max,kvm-pv=on", KVM_FEATURES_SWITCHED },
        { "max,kvm-pv=on,-kvm-pv-eoi", KVM_FEATURES_SWITCHED & ~KVM_FEATURE_PV_EOI },
        { "max,kvm-pv=off,+kvm-pv-eoi,+kvm-pv-ipi", KVM_FEATURE_PV_EOI | KVM_FEATURE_PV_SEND_IPI },
        { "max,+kvm-pv-eoi,kvm-pv=off", 0 },
        { "max,kvm-pv=off,+kvm-pv-tlb-flush", 0 }, /* it builds on steal time */
        { "max,kvm-pv=off,+kvm-pv-tlb-flush,+kvm-steal-time", KVM_FEATURE_STEAL_TIME | KVM_FEATURE_PV_TLB_FLUSH },
    };
    static const char *const bad[] = { "max,",        "max,kvm-pv",   "max,kvm-pv=yes", "max,+kvm-async-pf", "max,kvm-pv-eoi",
                                       "max,-kvm-pv", "max,-aes,aes", ",kvm-pv=off",    "kvm-pv=off",        "max,,kvm-pv=on" };
    for (unsigned k = 0; k < sizeof(good) / sizeof(good[0]); k++) {
        struct x86_profile p;
        assert_int_equal(x86_profile_make(good[k].text, &p, NULL), 0);
        assert_string_equal(p.name, "max");
        assert_int_equal(p.kvm, good[k].kvm | KVM_FEATURES_ALWAYS);
    }
    for (unsigned k = 0; k < sizeof(bad) / sizeof(bad[0]); k++) {
        struct x86_profile p;
        struct error err = { 0 };
        assert_int_equal(x86_profile_make(bad[k], &p, &err), -EINVAL);
        assert_int_not_equal(err.msg[0], 0);
    }
}

/* ---- hypercalls ---- */

static void unknown_calls_and_wrong_levels_are_refused(void **state)
{
    struct bare *b = *state;
    assert_int_equal(call(b, 0, 0, 0, 0, 0), -KVM_ENOSYS);
    assert_int_equal(call(b, 2, 0, 0, 0, 0), -KVM_ENOSYS);
    assert_int_equal(call(b, 1ULL << 32 | KVM_HC_KICK_CPU, 0, 1, 0, 0), -KVM_ENOSYS);
    assert_int_equal(call_by(b, vmmcall_code, 12, 0, 0, 0, 0), -KVM_ENOSYS);
    b->c->seg[SEG_CS].attr |= SEG_DPL; /* as bare_run() ends by HLT, one step only */
    b->c->seg[SEG_SS].attr |= SEG_DPL;
    x86_mode_update(b->c);
    assert_int_equal(b->c->cpl, 3);
    b->c->rip = BARE_CODE;
    b->c->activity = X86_RUNNING;
    b->c->gpr[RAX] = KVM_HC_SEND_IPI;
    x86_run_step(b->vcpu->engine_cpu, b->c);
    assert_int_equal((int64_t)b->c->gpr[RAX], -KVM_EPERM);
    assert_int_equal(sent.icr, 0);
}

static void a_call_changes_nothing_but_rax(void **state)
{
    struct bare *b = *state;
    b->c->rflags |= FLAGS_ARITH;
    b->c->gpr[R8] = 8;
    assert_int_equal(call(b, KVM_HC_SCHED_YIELD, 1, 2, 3, 4), 0);
    assert_int_equal(b->c->rflags & FLAGS_ARITH, FLAGS_ARITH);
    assert_int_equal(b->c->gpr[RBX], 1);
    assert_int_equal(b->c->gpr[RSI], 4);
    assert_int_equal(b->c->gpr[R8], 8);
    assert_int_equal(b->c->rip, BARE_CODE + 4);
}

static void send_ipi_passes_the_set_on(void **state)
{
    struct bare *b = *state;
    sent.result = 7;
    assert_int_equal(call(b, KVM_HC_SEND_IPI, 0x8000000000000001, 0x23, 5, 0x461), 7);
    assert_int_equal(sent.first, 5);
    assert_int_equal(sent.ids[0], 0x8000000000000001);
    assert_int_equal(sent.ids[1], 0x23);
    assert_int_equal(sent.icr, 0x461);
    sent.result = -EINVAL;
    assert_int_equal(call_by(b, vmmcall_code, KVM_HC_SEND_IPI, 1, 0, 0, 0x800), -KVM_EINVAL);
}

static void outside_64_bit_mode_a_set_has_64_bits(void **state)
{
    struct bare *b = *state;
    bare_segment(b->c, SEG_CS, 8, SEG_P | SEG_S | SEG_TYPE_CODE | SEG_TYPE_RW | SEG_TYPE_A | SEG_DB | SEG_G);
    x86_mode_update(b->c);
    sent.result = 2;
    assert_int_equal(call(b, 1ULL << 32 | KVM_HC_SEND_IPI, 0xff00000001, 0xff00000002, 0xff00000003, 0xff00000061), 2);
    assert_int_equal(sent.first, 3);
    assert_int_equal(sent.ids[0], 0x200000001);
    assert_int_equal(sent.ids[1], 0);
    assert_int_equal(sent.icr, 0x61);
    assert_int_equal(call(b, 99, 0, 0, 0, 0), (uint32_t)-KVM_ENOSYS);
}

static void a_kick_asks_the_cpu_and_nobody_else(void **state)
{
    struct bare *b = *state;
    assert_int_equal(call(b, KVM_HC_KICK_CPU, 0, 1, 0, 0), 0);
    assert_int_equal(vcpu_requests(b->vm.vcpu[1]), VCPU_REQ_UNHALT);
    assert_int_equal(vcpu_requests(b->vcpu) & VCPU_REQ_UNHALT, 0);
    assert_int_equal(call(b, KVM_HC_KICK_CPU, 0, CPUS, 0, 0), 0); /* there is none */
    assert_int_equal(call(b, KVM_HC_KICK_CPU, 0, ~0ULL, 0, 0), 0);
}

/* hlt; mov bl, 1; hlt; mov bl, 2; hlt */
static const uint8_t halts[] = { 0xf4, 0xb3, 1, 0xf4, 0xb3, 2, 0xf4 };

static void a_kick_ends_a_halt_or_the_next_one(void **state)
{
    struct bare *b = *state;
    bare_code(b, BARE_CODE, halts, sizeof(halts));
    b->c->gpr[RBX] = 0;
    bare_run(b);
    bare_run(b); /* nothing came */
    assert_int_equal(b->c->gpr[RBX], 0);
    vcpu_request(b->vcpu, VCPU_REQ_UNHALT);
    bare_run(b);
    assert_int_equal(b->c->gpr[RBX], 1);
    assert_int_equal(vcpu_requests(b->vcpu) & VCPU_REQ_UNHALT, 0);
    b->c->activity = X86_RUNNING; /* now before the halt, twice: as good as once */
    b->c->rip = BARE_CODE;
    vcpu_request(b->vcpu, VCPU_REQ_UNHALT);
    vcpu_request(b->vcpu, VCPU_REQ_UNHALT);
    bare_run(b);
    assert_int_equal(b->c->gpr[RBX], 1);
    assert_int_equal(b->c->rip, BARE_CODE + 4);
    assert_false(b->c->unhalted);
}

static void a_cpu_that_waits_for_its_start_is_not_kicked_awake(void **state)
{
    struct bare *b = *state;
    b->c->activity = X86_WAIT_SIPI;
    vcpu_request(b->vcpu, VCPU_REQ_UNHALT);
    assert_int_equal(interp_engine_ops.run(b->vcpu), VCPU_EXIT_SLEEP);
    assert_int_equal(b->c->activity, X86_WAIT_SIPI);
}

/* ---- stolen time ---- */

static void steal_time_must_be_aligned_and_in_ram(void **state)
{
    struct bare *b = *state;
    for (unsigned bit = 1; bit < 6; bit++)
        assert_true(refuses(b, KVM_MSR_STEAL_TIME, BARE_DATA | 1 | 1U << bit));
    assert_int_equal(b->c->kvm_steal_time, 0);
    write_msr(b, KVM_MSR_STEAL_TIME, BARE_RAM | 1);
    assert_int_equal(b->c->kvm_steal_time, BARE_RAM); /* off */
    assert_false(b->vcpu->steal.on);
    write_msr(b, KVM_MSR_STEAL_TIME, BARE_DATA | 1);
    assert_true(b->vcpu->steal.on);
    assert_int_equal(x86_msr_read(b->c, KVM_MSR_STEAL_TIME), BARE_DATA | 1);
    write_msr(b, KVM_MSR_STEAL_TIME, 0);
    assert_false(b->vcpu->steal.on);
}

static void stolen_time_is_added_under_an_odd_version(void **state)
{
    struct bare *b = *state;
    bare_poke64(b, BARE_DATA, 1000);
    write_msr(b, KVM_MSR_STEAL_TIME, BARE_DATA | 1);
    b->vcpu->steal.stolen = 234;
    x86_kvm_tell_steal(b->c);
    assert_int_equal(bare_peek64(b, BARE_DATA), 1234);
    assert_int_equal(bare_peek64(b, BARE_DATA + VERSION_AT), 2); /* and flags are 0 */
    bare_poke64(b, BARE_DATA + VERSION_AT, 5);                   /* the guest's mistake is put right */
    b->vcpu->steal.stolen = 1;
    x86_kvm_tell_steal(b->c);
    assert_int_equal(bare_peek64(b, BARE_DATA), 1235);
    assert_int_equal(bare_peek64(b, BARE_DATA + VERSION_AT), 6);
}

static void a_cpu_that_does_not_run_says_so(void **state)
{
    struct bare *b = *state;
    bare_code(b, BARE_CODE, halts, sizeof(halts));
    write_msr(b, KVM_MSR_STEAL_TIME, BARE_DATA | 1);
    assert_int_equal(peek8(b, BARE_DATA + PREEMPTED_AT), 0);
    bare_run(b);
    assert_int_equal(peek8(b, BARE_DATA + PREEMPTED_AT), KVM_VCPU_PREEMPTED);
    x86_kvm_enter(b->c);
    assert_int_equal(peek8(b, BARE_DATA + PREEMPTED_AT), 0);
    vcpu_request(b->vcpu, VCPU_REQ_STOP);
    b->c->activity = X86_RUNNING;
    assert_int_equal(interp_engine_ops.run(b->vcpu), VCPU_EXIT_REQUEST);
    assert_int_equal(peek8(b, BARE_DATA + PREEMPTED_AT), KVM_VCPU_PREEMPTED);
}

/* Whoever waits with interrupts off waits for a kick; whoever waits with them on is free, and preempted only for who asks for
 * that. */
static void an_idle_cpu_is_preempted_only_for_tlb_flushes(void **state)
{
    struct bare *b = *state;
    struct x86_profile p;
    assert_int_equal(x86_profile_make("max,kvm-pv=on,-kvm-pv-tlb-flush", &p, NULL), 0);
    bare_code(b, BARE_CODE, halts, sizeof(halts));
    write_msr(b, KVM_MSR_STEAL_TIME, BARE_DATA | 1);
    for (unsigned flush = 0; flush < 2; flush++)
        for (unsigned idle = 0; idle < 2; idle++) {
            const struct x86_profile *was = b->c->profile;
            b->c->profile = flush ? was : &p;
            b->c->rflags = FLAG_ONE | (idle ? FLAG_IF : 0);
            b->c->rip = BARE_CODE;
            b->c->activity = X86_RUNNING;
            bare_run(b);
            assert_int_equal(peek8(b, BARE_DATA + PREEMPTED_AT), flush || !idle ? KVM_VCPU_PREEMPTED : 0);
            b->c->profile = was;
        }
}

/* mov rax, [0x50000]; hlt; jmp to the start */
static const uint8_t reads[] = { 0x48, 0x8b, 0x04, 0x25, 0, 0, 5, 0, 0xf4, 0xeb, 0xf5 };

static uint64_t read_again(struct bare *b)
{
    b->c->activity = X86_RUNNING;
    bare_run(b);
    return b->c->gpr[RAX];
}

static void a_flush_put_off_is_done_on_entering(void **state)
{
    struct bare *b = *state;
    const gpa_t entry = BARE_TABLES + 0x3000 + 8 * 0x50;
    bare_poke64(b, 0x50000, 1);
    bare_poke64(b, 0x51000, 2);
    bare_code(b, BARE_CODE, reads, sizeof(reads));
    write_msr(b, KVM_MSR_STEAL_TIME, BARE_DATA | 1);
    assert_int_equal(read_again(b), 1);
    bare_poke64(b, entry, 0x51000 | 7);
    assert_int_equal(read_again(b), 1); /* as any TLB may have it */
    poke8(b, BARE_DATA + PREEMPTED_AT, KVM_VCPU_PREEMPTED | KVM_VCPU_FLUSH_TLB);
    assert_int_equal(read_again(b), 2);
    assert_int_equal(peek8(b, BARE_DATA + PREEMPTED_AT), KVM_VCPU_PREEMPTED);
}

static void without_the_feature_the_flush_bit_means_nothing(void **state)
{
    struct bare *b = *state;
    struct x86_profile p;
    assert_int_equal(x86_profile_make("max,kvm-pv=off,+kvm-steal-time", &p, NULL), 0);
    b->c->profile = &p;
    write_msr(b, KVM_MSR_STEAL_TIME, BARE_DATA | 1);
    poke8(b, BARE_DATA + PREEMPTED_AT, KVM_VCPU_PREEMPTED | KVM_VCPU_FLUSH_TLB);
    uint64_t before = b->c->tlb->flushes;
    x86_kvm_enter(b->c);
    assert_int_equal(b->c->tlb->flushes, before);
    assert_int_equal(peek8(b, BARE_DATA + PREEMPTED_AT), 0);
}

/* ---- the other MSRs ---- */

static void an_eoi_word_must_be_aligned_and_in_ram(void **state)
{
    struct bare *b = *state;
    assert_true(refuses(b, KVM_MSR_EOI_EN, BARE_DATA | 3));
    assert_true(refuses(b, KVM_MSR_EOI_EN, BARE_RAM | 1));
    assert_int_equal(settled, 0);
    assert_null(b->vcpu->eoi_word);
    write_msr(b, KVM_MSR_EOI_EN, BARE_DATA | 1);
    assert_ptr_equal(b->vcpu->eoi_word, gmem_pin(&b->vm.gmem, BARE_DATA, 4));
    assert_int_equal(settled, 1);
    write_msr(b, KVM_MSR_EOI_EN, 0);
    assert_null(b->vcpu->eoi_word);
    assert_int_equal(settled, 2); /* the old word is looked at a last time */
}

static void the_guest_may_forbid_polling(void **state)
{
    struct bare *b = *state;
    assert_int_equal(x86_msr_read(b->c, KVM_MSR_POLL_CONTROL), 1);
    assert_false(b->vcpu->no_spin);
    assert_true(refuses(b, KVM_MSR_POLL_CONTROL, 2));
    write_msr(b, KVM_MSR_POLL_CONTROL, 0);
    assert_true(b->vcpu->no_spin);
    write_msr(b, KVM_MSR_POLL_CONTROL, 1);
    assert_false(b->vcpu->no_spin);
}

static void asynchronous_page_faults_are_not_there(void **state)
{
    struct bare *b = *state;
    uint64_t v;
    assert_true(refuses(b, KVM_MSR_ASYNC_PF_EN, 0));
    assert_false(x86_kvm_msr_read(b->c, KVM_MSR_ASYNC_PF_EN, &v));
    assert_true(refuses(b, KVM_MSR_POLL_CONTROL + 1, 0));
    assert_int_equal(offered(b) & (1 << 4 | 1 << 10 | 1 << 14), 0);
}

static void all_is_off_after_reset_and_init(void **state)
{
    struct bare *b = *state;
    for (unsigned how = 0; how < 2; how++) {
        write_msr(b, KVM_MSR_STEAL_TIME, BARE_DATA | 1);
        write_msr(b, KVM_MSR_EOI_EN, (BARE_DATA + 64) | 1);
        write_msr(b, KVM_MSR_POLL_CONTROL, 0);
        b->c->unhalted = true;
        if (how)
            x86_cpu_init_signal(b->c);
        else
            x86_cpu_reset(b->c);
        assert_int_equal(b->c->kvm_steal_time | b->c->kvm_pv_eoi, 0);
        assert_null(b->vcpu->eoi_word);
        assert_false(b->vcpu->steal.on || b->vcpu->no_spin || b->c->unhalted);
    }
}

static void a_loaded_state_goes_on(void **state)
{
    struct bare *b = *state;
    struct state_buf buf = { 0 };
    struct error err = { 0 };
    write_msr(b, KVM_MSR_STEAL_TIME, BARE_DATA | 1);
    write_msr(b, KVM_MSR_EOI_EN, (BARE_DATA + 64) | 1);
    write_msr(b, KVM_MSR_POLL_CONTROL, 0);
    b->c->unhalted = true;
    assert_int_equal(state_save(&x86_state_desc, b->c, &buf), 0);
    x86_cpu_reset(b->c);
    assert_int_equal(state_load(&x86_state_desc, b->c, &buf, &err), 0);
    assert_true(b->vcpu->steal.on && b->vcpu->no_spin && b->c->unhalted);
    assert_ptr_equal(b->vcpu->eoi_word, gmem_pin(&b->vm.gmem, BARE_DATA + 64, 4));
    buf.pos = 0;
    struct x86_profile off;
    assert_int_equal(x86_profile_make("x86-64-v3,kvm-pv=off", &off, NULL), 0);
    b->c->profile = &off;
    assert_int_equal(state_load(&x86_state_desc, b->c, &buf, &err), -EINVAL); /* this model has no such MSRs */
    assert_non_null(strstr(err.msg, "KVM"));
    state_buf_done(&buf);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(what_is_switched_off_is_not_there),
        T(parts_are_switched_by_name_and_in_order),
        T(unknown_calls_and_wrong_levels_are_refused),
        T(a_call_changes_nothing_but_rax),
        T(send_ipi_passes_the_set_on),
        T(outside_64_bit_mode_a_set_has_64_bits),
        T(a_kick_asks_the_cpu_and_nobody_else),
        T(a_kick_ends_a_halt_or_the_next_one),
        T(a_cpu_that_waits_for_its_start_is_not_kicked_awake),
        T(steal_time_must_be_aligned_and_in_ram),
        T(stolen_time_is_added_under_an_odd_version),
        T(a_cpu_that_does_not_run_says_so),
        T(an_idle_cpu_is_preempted_only_for_tlb_flushes),
        T(a_flush_put_off_is_done_on_entering),
        T(without_the_feature_the_flush_bit_means_nothing),
        T(an_eoi_word_must_be_aligned_and_in_ram),
        T(the_guest_may_forbid_polling),
        T(asynchronous_page_faults_are_not_there),
        T(all_is_off_after_reset_and_init),
        T(a_loaded_state_goes_on),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
