/* SPDX-License-Identifier: MIT */
/*
 * Laws of paravirtual ends of interrupts, and of IPIs to a set of CPUs. See msr.rst and hypercalls.rst of Linux.
 */
#include <errno.h>

#include "support/lapics.h"

enum { MAY_SKIP = 1 };
enum { ICR_NMI = LAPIC_NMI << 8, ICR_LOWEST = LAPIC_LOWEST << 8, ICR_INIT = LAPIC_INIT << 8 };

static _Atomic uint8_t word[LAPICS];

static int setup(void **state)
{
    (void)lapics_setup(state);
    for (unsigned i = 0; i < LAPICS; i++) {
        word[i] = 0;
        cpu[i].eoi_word = &word[i];
    }
    return 0;
}

static void message(unsigned i, uint8_t vector, bool level)
{
    const struct lapic_message msg = { .dest = i, .vector = vector, .delivery = LAPIC_FIXED, .level = level };
    assert_int_equal(lapic_bus_send(&bus, &msg), 1);
}

static int take(unsigned i)
{
    (void)vcpu_take(&cpu[i], VCPU_REQ_IRQ);
    return lapic_intc_ops.accept(&apic[i]);
}

/* What the guest does at the end of a handler; true: it wrote to the register. */
static bool guest_eoi(unsigned i)
{
    if (word[i] & MAY_SKIP) {
        word[i] &= (uint8_t)~MAY_SKIP;
        return false;
    }
    lapic_write(&apic[i], LAPIC_EOI, 0);
    return true;
}

static bool asked(unsigned i)
{
    return vcpu_requests(&cpu[i]) & VCPU_REQ_IRQ;
}

static bool in_service(unsigned i, uint8_t vector)
{
    return lapic_read(&apic[i], LAPIC_ISR + 0x10 * (vector / 32)) >> vector % 32 & 1;
}

static void an_edge_alone_may_be_ended_by_the_word(void **state)
{
    (void)state;
    word[1] = 0xf0; /* only bit 0 is ours */
    message(1, 0x61, false);
    assert_int_equal(take(1), 0x61);
    assert_int_equal(word[1], 0xf1);
    assert_true(in_service(1, 0x61));
    assert_int_equal(lapic_ppr(&apic[1]), 0x60);
    assert_false(guest_eoi(1));
    assert_int_equal(word[1], 0xf0);
    assert_false(in_service(1, 0x61)); /* whoever looks sees it ended */
    assert_int_equal(lapic_ppr(&apic[1]), 0);
    message(1, 0x51, false);
    assert_true(asked(1));
    assert_int_equal(lapic_intc_ops.poll(&apic[1]), 0x51);
    assert_int_equal(take(1), 0x51);
    assert_int_equal(lapic_in_service(&apic[1]), 1);
    assert_int_equal(word[1], 0xf1);
}

static void what_comes_before_the_end_is_not_lost(void **state)
{
    (void)state;
    message(1, 0x61, false);
    assert_int_equal(take(1), 0x61);
    message(1, 0x41, false); /* lower: it has to wait */
    assert_true(asked(1));   /* but nobody would tell of the end */
    assert_false(guest_eoi(1));
    assert_int_equal(take(1), 0x41);
}

static void a_look_before_the_end_takes_the_offer_back(void **state)
{
    (void)state;
    message(1, 0x61, false);
    assert_int_equal(take(1), 0x61);
    message(1, 0x41, false);
    assert_int_equal(take(1), -1);
    assert_int_equal(word[1], 0);
    assert_true(guest_eoi(1));
    assert_true(asked(1));
    assert_int_equal(take(1), 0x41);
}

static void a_look_with_nothing_new_leaves_the_offer(void **state)
{
    (void)state;
    message(1, 0x61, false);
    assert_int_equal(take(1), 0x61);
    assert_int_equal(take(1), -1);
    assert_int_equal(word[1], MAY_SKIP);
    assert_true(in_service(1, 0x61));
}

static void nested_interrupts_are_ended_one_by_one(void **state)
{
    (void)state;
    message(1, 0x61, false);
    assert_int_equal(take(1), 0x61);
    message(1, 0x81, false);
    assert_int_equal(take(1), 0x81); /* the handler had enabled interrupts */
    assert_int_equal(word[1], 0);
    assert_true(guest_eoi(1));
    assert_false(in_service(1, 0x81));
    assert_true(in_service(1, 0x61));
    assert_true(guest_eoi(1));
    assert_int_equal(lapic_in_service(&apic[1]), 0);
}

static void not_offered_where_another_waits(void **state)
{
    (void)state;
    message(1, 0x61, false);
    message(1, 0x41, false);
    assert_int_equal(take(1), 0x61);
    assert_int_equal(word[1], 0);
    assert_true(guest_eoi(1));
    assert_int_equal(take(1), 0x41);
    assert_int_equal(word[1], MAY_SKIP);
}

static void not_offered_for_levels(void **state)
{
    (void)state;
    message(1, 0x61, true);
    assert_int_equal(take(1), 0x61);
    assert_int_equal(word[1], 0);
    assert_int_equal(eois, 0);
    assert_true(guest_eoi(1));
    assert_int_equal(eois, 1);
}

static void the_register_may_be_written_all_the_same(void **state)
{
    (void)state;
    message(1, 0x61, false);
    assert_int_equal(take(1), 0x61);
    lapic_write(&apic[1], LAPIC_EOI, 0);
    assert_int_equal(word[1], 0);
    assert_int_equal(lapic_in_service(&apic[1]), 0);
    message(1, 0x61, false);
    assert_int_equal(take(1), 0x61);
    assert_false(guest_eoi(1));
    lapic_write(&apic[1], LAPIC_EOI, 0); /* of nothing */
    assert_int_equal(lapic_in_service(&apic[1]), 0);
    assert_false(apic[1].eoi_offered);
}

static void nothing_is_offered_without_a_word(void **state)
{
    (void)state;
    cpu[1].eoi_word = NULL;
    message(1, 0x61, false);
    assert_int_equal(take(1), 0x61);
    assert_false(apic[1].eoi_offered);
    assert_int_equal(word[1], 0);
}

static void a_word_that_goes_leaves_a_truth_behind(void **state)
{
    (void)state;
    message(1, 0x61, false);
    assert_int_equal(take(1), 0x61);
    lapic_intc_ops.settle(&apic[1]);
    cpu[1].eoi_word = NULL;
    assert_int_equal(word[1], 0);
    assert_true(in_service(1, 0x61));
    lapic_write(&apic[1], LAPIC_EOI, 0);
    cpu[1].eoi_word = &word[1];
    message(1, 0x61, false);
    assert_int_equal(take(1), 0x61);
    assert_false(guest_eoi(1));
    lapic_intc_ops.settle(&apic[1]);
    cpu[1].eoi_word = NULL;
    assert_int_equal(lapic_in_service(&apic[1]), 0);
}

static void reset_and_init_forget_the_offer(void **state)
{
    (void)state;
    message(1, 0x61, false);
    assert_int_equal(take(1), 0x61);
    lapic_reset_registers(&apic[1]);
    assert_false(apic[1].eoi_offered);
    assert_int_equal(lapic_in_service(&apic[1]), 0);
    word[1] = 0;
    lapic_write(&apic[1], LAPIC_SVR, LAPIC_SVR_ENABLE | 0xff);
    message(1, 0x41, false);
    assert_int_equal(take(1), 0x41);
    assert_int_equal(word[1], MAY_SKIP);
}

/* As often as not the guest's bit decides: no sequence of arrivals, looks and ends loses an interrupt or makes one of two. */
static void random_sequences_deliver_each_interrupt_once(void **state)
{
    (void)state;
    uint64_t seed = 0x9e3779b97f4a7c15;
    unsigned sent = 0, got = 0, depth = 0;
    uint8_t stack[256];
    for (unsigned n = 0; n < 200000; n++) {
        seed = seed * 6364136223846793005 + 1442695040888963407;
        unsigned what = seed >> 60, vector = 0x30 + (seed >> 33) % 0xc0;
        bool waits = apic[0].irr[vector / 32] >> vector % 32 & 1;
        bool active = false;
        for (unsigned k = 0; k < depth; k++)
            active |= stack[k] == vector;
        if (what < 5 && !waits && !active) {
            message(0, (uint8_t)vector, seed >> 20 & 1);
            sent++;
        } else if (what < 10 && asked(0)) {
            int v = take(0);
            if (v >= 0) {
                assert_true(depth == 0 || v >> 4 > stack[depth - 1] >> 4);
                stack[depth++] = (uint8_t)v;
                got++;
            }
        } else if (depth) {
            (void)guest_eoi(0);
            depth--;
        }
        unsigned serving = 0;
        for (unsigned reg = 0; reg < 8; reg++)
            serving += (unsigned)__builtin_popcount(lapic_read(&apic[0], LAPIC_ISR + 0x10 * reg));
        assert_int_equal(serving, depth);
    }
    while (depth || asked(0)) {
        int v = asked(0) ? take(0) : -1;
        if (v >= 0) {
            stack[depth++] = (uint8_t)v;
            got++;
        } else if (depth) {
            (void)guest_eoi(0);
            depth--;
        }
    }
    assert_true(sent > 10000);
    assert_int_equal(sent, got);
}

static void an_offer_is_saved(void **state)
{
    (void)state;
    struct lapic fresh;
    message(1, 0x61, false);
    assert_int_equal(take(1), 0x61);
    lapic_init(&fresh, &bus, 1, &cpu[1], &vclock);
    lapic_class.reset(&fresh);
    check_round_trip(lapic_class.state, &apic[1], &fresh);
    assert_true(fresh.eoi_offered);
    assert_int_equal(lapic_in_service(&fresh), 1);
    assert_false(guest_eoi(1));
    lapic_settle(&fresh);
    assert_int_equal(lapic_in_service(&fresh), 0);
    lapic_class.done(&fresh);
    lapic_init(&apic[1], &bus, 1, &cpu[1], &vclock);
    lapic_class.reset(&apic[1]);
}

static void an_offer_for_none_or_two_is_no_state(void **state)
{
    (void)state;
    struct state_buf buf = { 0 };
    struct error err = { 0 };
    apic[1].eoi_offered = true;
    assert_int_equal(state_save(lapic_class.state, &apic[1], &buf), 0);
    assert_int_equal(state_load(lapic_class.state, &apic[1], &buf, &err), -EINVAL);
    state_buf_done(&buf);
}

/* ---- IPIs ---- */

static int ipis(uint64_t first, uint64_t low, uint64_t high, uint32_t icr)
{
    const uint64_t ids[2] = { low, high };
    return lapic_intc_ops.send_ipis(&apic[0], first, ids, icr);
}

static unsigned who_has(uint8_t vector)
{
    unsigned set = 0;
    for (unsigned i = 0; i < LAPICS; i++)
        set |= (lapic_read(&apic[i], LAPIC_IRR + 0x10 * (vector / 32)) >> vector % 32 & 1) << i;
    return set;
}

static void ipis_go_to_the_set_and_are_counted(void **state)
{
    (void)state;
    assert_int_equal(ipis(0, 5, 0, 0x61), 2);
    assert_int_equal(who_has(0x61), 5);
    assert_true(asked(0) && !asked(1) && asked(2));
    assert_int_equal(ipis(1, 3, 0, 0x62), 2); /* bit 0 is the first */
    assert_int_equal(who_has(0x62), 6);
    assert_int_equal(ipis(0, ~0ULL, ~0ULL, ICR_LOWEST | 0x63), LAPICS);
    assert_int_equal(who_has(0x63), (1 << LAPICS) - 1);
    assert_int_equal(ipis(0, 0, 0, 0x64), 0);
    assert_int_equal(ipis(LAPICS, ~0ULL, ~0ULL, 0x64), 0);
    assert_int_equal(ipis(~0ULL, ~0ULL, ~0ULL, 0x64), 0); /* does not wrap round */
    assert_int_equal(who_has(0x64), 0);
}

static void ids_of_x2apics_are_the_same(void **state)
{
    (void)state;
    assert_true(lapic_intc_ops.msr_write(&apic[2], LAPIC_MSR_BASE, apic[2].base | LAPIC_BASE_X2));
    assert_int_equal(ipis(0, 6, 0, 0x61), 2);
    assert_int_equal(who_has(0x61), 6);
}

static void who_is_switched_off_takes_none_but_nmis(void **state)
{
    (void)state;
    lapic_write(&apic[1], LAPIC_SVR, 0xff);
    assert_int_equal(ipis(0, 2, 0, 0x61), 0);
    assert_int_equal(ipis(0, 6, 0, ICR_NMI), 2);
    assert_true(vcpu_requests(&cpu[1]) & VCPU_REQ_NMI);
    assert_true(vcpu_requests(&cpu[2]) & VCPU_REQ_NMI);
    assert_false(vcpu_requests(&cpu[0]) & VCPU_REQ_NMI);
    assert_true(lapic_intc_ops.msr_write(&apic[2], LAPIC_MSR_BASE, LAPIC_DEFAULT_BASE));
    assert_int_equal(ipis(0, 4, 0, ICR_NMI), 0);
}

static void what_only_one_destination_has_is_refused(void **state)
{
    (void)state;
    assert_int_equal(ipis(0, 2, 0, ICR_INIT), -EINVAL);
    assert_int_equal(ipis(0, 2, 0, 1 << 11 | 0x61), -EINVAL); /* logical */
    assert_int_equal(ipis(0, 2, 0, 1 << 18 | 0x61), -EINVAL); /* shorthand */
    assert_int_equal(who_has(0x61), 0);
    assert_int_equal(vcpu_requests(&cpu[1]), 0);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, lapics_teardown)
    const struct CMUnitTest tests[] = {
        T(an_edge_alone_may_be_ended_by_the_word),
        T(what_comes_before_the_end_is_not_lost),
        T(a_look_before_the_end_takes_the_offer_back),
        T(a_look_with_nothing_new_leaves_the_offer),
        T(nested_interrupts_are_ended_one_by_one),
        T(not_offered_where_another_waits),
        T(not_offered_for_levels),
        T(the_register_may_be_written_all_the_same),
        T(nothing_is_offered_without_a_word),
        T(a_word_that_goes_leaves_a_truth_behind),
        T(reset_and_init_forget_the_offer),
        T(random_sequences_deliver_each_interrupt_once),
        T(an_offer_is_saved),
        T(an_offer_for_none_or_two_is_no_state),
        T(ipis_go_to_the_set_and_are_counted),
        T(ids_of_x2apics_are_the_same),
        T(who_is_switched_off_takes_none_but_nmis),
        T(what_only_one_destination_has_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
