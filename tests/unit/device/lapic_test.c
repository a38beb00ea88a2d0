/* SPDX-License-Identifier: MIT */
/*
 * Laws of the local APIC, from SDM 3A chapter 11.
 */
#include "device/i8259.h"
#include "support/lapics.h"

enum { ICR_ASSERT = 1 << 14, ICR_LOGICAL = 1 << 11, TO_SELF = 1 << 18, TO_ALL = 2 << 18, TO_OTHERS = 3 << 18 };
enum { LVT_LINT0_REG = 0x350, LVT_LINT1_REG = 0x360 };

static int poll(unsigned i)
{
    return lapic_intc_ops.poll(&apic[i]);
}

static int take(unsigned i)
{
    return lapic_intc_ops.accept(&apic[i]);
}

static void eoi(unsigned i)
{
    lapic_write(&apic[i], LAPIC_EOI, 0);
}

static bool wrmsr(unsigned i, uint32_t msr, uint64_t v)
{
    return lapic_intc_ops.msr_write(&apic[i], msr, v);
}

static bool rdmsr(unsigned i, uint32_t msr, uint64_t *v)
{
    return lapic_intc_ops.msr_read(&apic[i], msr, v);
}

static void ipi(unsigned from, uint32_t dest, uint32_t low)
{
    lapic_write(&apic[from], LAPIC_ICR2, dest << 24);
    lapic_write(&apic[from], LAPIC_ICR, low);
}

static void enter_x2(unsigned i)
{
    assert_true(wrmsr(i, LAPIC_MSR_BASE, apic[i].base | LAPIC_BASE_X2));
}

/* Bit i set: CPU i has `vector` in its IRR. */
static unsigned who_has(uint8_t vector)
{
    unsigned set = 0;
    for (unsigned i = 0; i < LAPICS; i++)
        set |= (lapic_read(&apic[i], LAPIC_IRR + 0x10 * (vector / 32)) >> vector % 32 & 1) << i;
    return set;
}

static void reset_state_is_the_manuals(void **state)
{
    (void)state;
    lapic_class.reset(&apic[1]);
    assert_int_equal(lapic_read(&apic[1], LAPIC_ID), 1U << 24);
    assert_int_equal(lapic_read(&apic[1], LAPIC_VERSION) & 0xff, 0x14);
    assert_int_equal(lapic_read(&apic[1], LAPIC_VERSION) >> 16, 5);
    assert_int_equal(lapic_read(&apic[1], LAPIC_SVR), 0xff);
    assert_int_equal(lapic_read(&apic[1], LAPIC_DFR), 0xffffffff);
    assert_int_equal(lapic_read(&apic[1], LAPIC_LDR), 0);
    for (unsigned reg = LAPIC_LVT_TIMER_REG; reg <= LAPIC_LVT_ERROR_REG; reg += 0x10)
        assert_int_equal(lapic_read(&apic[1], reg), 0x10000);
    uint64_t base;
    assert_true(rdmsr(0, LAPIC_MSR_BASE, &base));
    assert_int_equal(base, 0xfee00900);
    assert_true(rdmsr(1, LAPIC_MSR_BASE, &base));
    assert_int_equal(base, 0xfee00800);
}

static void acceptance_moves_irr_to_isr(void **state)
{
    (void)state;
    ipi(0, 1, 0x61);
    assert_true(vcpu_take(&cpu[1], VCPU_REQ_IRQ));
    assert_int_equal(poll(1), 0x61);
    assert_int_equal(poll(1), 0x61);
    assert_int_equal(take(1), 0x61);
    assert_int_equal(lapic_read(&apic[1], LAPIC_IRR + 0x30), 0);
    assert_int_equal(lapic_read(&apic[1], LAPIC_ISR + 0x30), 2);
    assert_int_equal(take(1), -1);
    eoi(1);
    assert_int_equal(lapic_read(&apic[1], LAPIC_ISR + 0x30), 0);
}

static void higher_vector_goes_first_and_nests(void **state)
{
    (void)state;
    ipi(0, 1, 0x41);
    ipi(0, 1, 0x71);
    assert_int_equal(take(1), 0x71);
    assert_int_equal(poll(1), -1); /* 41h waits for the end of 71h */
    ipi(0, 1, 0x75);
    assert_int_equal(poll(1), -1); /* same class */
    ipi(0, 1, 0x81);
    assert_int_equal(take(1), 0x81);
    eoi(1); /* ends 81h, the highest in service */
    assert_int_equal(lapic_read(&apic[1], LAPIC_PPR), 0x70);
    eoi(1);
    assert_true(vcpu_take(&cpu[1], VCPU_REQ_IRQ));
    assert_int_equal(take(1), 0x75);
}

static void task_priority_holds_back_its_class_and_below(void **state)
{
    (void)state;
    lapic_write(&apic[1], LAPIC_TPR, 0x55);
    ipi(0, 1, 0x5f);
    assert_int_equal(poll(1), -1);
    ipi(0, 1, 0x60);
    assert_int_equal(poll(1), 0x60);
    assert_int_equal(lapic_read(&apic[1], LAPIC_PPR), 0x55);
    assert_int_equal(lapic_intc_ops.tpr_get(&apic[1]), 5);
    (void)take(1);
    eoi(1);
    (void)vcpu_take(&cpu[1], VCPU_REQ_IRQ);
    lapic_intc_ops.tpr_set(&apic[1], 4);
    assert_true(vcpu_take(&cpu[1], VCPU_REQ_IRQ)); /* lowering it calls the CPU */
    assert_int_equal(lapic_read(&apic[1], LAPIC_TPR), 0x40);
    assert_int_equal(take(1), 0x5f);
}

static void ppr_is_the_higher_of_tpr_and_isr_class(void **state)
{
    (void)state;
    ipi(0, 1, 0x83);
    (void)take(1);
    lapic_write(&apic[1], LAPIC_TPR, 0x81);
    assert_int_equal(lapic_read(&apic[1], LAPIC_PPR), 0x81);
    lapic_write(&apic[1], LAPIC_TPR, 0x7f);
    assert_int_equal(lapic_read(&apic[1], LAPIC_PPR), 0x80);
}

static void physical_destinations(void **state)
{
    (void)state;
    ipi(0, 2, 0x30);
    assert_int_equal(who_has(0x30), 1 << 2);
    ipi(0, 0xff, 0x31);
    assert_int_equal(who_has(0x31), 0xf);
    ipi(0, 9, 0x32); /* nobody */
    assert_int_equal(who_has(0x32), 0);
}

static void shorthands(void **state)
{
    (void)state;
    ipi(1, 3, TO_SELF | 0x40);
    assert_int_equal(who_has(0x40), 1 << 1);
    ipi(1, 3, TO_ALL | 0x41);
    assert_int_equal(who_has(0x41), 0xf);
    ipi(1, 3, TO_OTHERS | 0x42);
    assert_int_equal(who_has(0x42), 0xf & ~2);
}

static void flat_logical_destinations_are_masks(void **state)
{
    (void)state;
    for (unsigned i = 0; i < LAPICS; i++)
        lapic_write(&apic[i], LAPIC_LDR, 1U << (24 + i));
    for (unsigned mask = 0; mask < 16; mask++) {
        ipi(0, mask, ICR_LOGICAL | (0x50 + mask));
        assert_int_equal(who_has((uint8_t)(0x50 + mask)), mask);
    }
}

static void cluster_logical_destinations_name_cluster_and_members(void **state)
{
    (void)state;
    static const uint8_t ids[LAPICS] = { 0x01, 0x02, 0x11, 0x12 };
    for (unsigned i = 0; i < LAPICS; i++) {
        lapic_write(&apic[i], LAPIC_DFR, 0x0fffffff);
        lapic_write(&apic[i], LAPIC_LDR, (uint32_t)ids[i] << 24);
    }
    ipi(0, 0x13, ICR_LOGICAL | 0x60);
    assert_int_equal(who_has(0x60), 0xc);
    ipi(0, 0x02, ICR_LOGICAL | 0x61);
    assert_int_equal(who_has(0x61), 0x2);
    ipi(0, 0xff, ICR_LOGICAL | 0x62);
    assert_int_equal(who_has(0x62), 0xf);
}

static void x2apic_logical_id_follows_from_the_id(void **state)
{
    (void)state;
    uint64_t v;
    struct lapic high;
    lapic_init(&high, &bus, 37, NULL, &vclock);
    lapic_class.reset(&high);
    lapic_write(&high, LAPIC_SVR, LAPIC_SVR_ENABLE | 0xff);
    assert_true(lapic_intc_ops.msr_write(&high, LAPIC_MSR_BASE, high.base | LAPIC_BASE_X2));
    assert_true(lapic_intc_ops.msr_read(&high, 0x80d, &v));
    assert_int_equal(v, 2 << 16 | 1 << 5);
    assert_true(lapic_intc_ops.msr_read(&high, 0x802, &v));
    assert_int_equal(v, 37);
    enter_x2(0);
    assert_true(wrmsr(0, 0x830, 0x0002002000000000 | ICR_LOGICAL | 0x70));
    assert_int_equal(lapic_read(&high, LAPIC_IRR + 0x30) >> 16 & 1, 1);
    assert_int_equal(who_has(0x70), 0);
    lapic_class.done(&high);
}

static void x2apic_broadcast_needs_all_32_bits(void **state)
{
    (void)state;
    for (unsigned i = 0; i < LAPICS; i++)
        enter_x2(i);
    assert_true(wrmsr(0, 0x830, 0x000000ff00000000 | 0x71));
    assert_int_equal(who_has(0x71), 0);
    assert_true(wrmsr(0, 0x830, 0xffffffff00000000 | 0x72));
    assert_int_equal(who_has(0x72), 0xf);
    assert_true(wrmsr(2, 0x83f, 0x73)); /* self IPI */
    assert_int_equal(who_has(0x73), 1 << 2);
}

static void x2apic_registers_check_reserved_bits_and_existence(void **state)
{
    (void)state;
    uint64_t v;
    assert_false(rdmsr(0, 0x802, &v)); /* not in xAPIC mode */
    enter_x2(0);
    assert_true(rdmsr(0, 0x803, &v));
    static const uint32_t absent[] = { 0x800, 0x801, 0x804, 0x809, 0x80c, 0x80e, 0x82f, 0x831, 0x83a, 0x840, 0x8ff };
    for (unsigned i = 0; i < ARRAY_SIZE(absent); i++) {
        assert_false(rdmsr(0, absent[i], &v));
        assert_false(wrmsr(0, absent[i], 0));
    }
    static const uint32_t read_only[] = { 0x802, 0x803, 0x80a, 0x80d, 0x810, 0x818, 0x820, 0x839 };
    for (unsigned i = 0; i < ARRAY_SIZE(read_only); i++)
        assert_false(wrmsr(0, read_only[i], 0));
    assert_false(rdmsr(0, 0x80b, &v)); /* EOI and self IPI are write-only */
    assert_false(rdmsr(0, 0x83f, &v));
    assert_false(wrmsr(0, 0x80b, 1));
    assert_true(wrmsr(0, 0x80b, 0));
    assert_false(wrmsr(0, 0x828, 1));
    assert_false(wrmsr(0, 0x808, 0x100));
    assert_false(wrmsr(0, 0x83e, 4));
    assert_false(wrmsr(0, 0x838, 1ULL << 32));
}

static void mode_changes_follow_the_state_diagram(void **state)
{
    (void)state;
    const uint64_t off = 0xfee00000, on = off | LAPIC_BASE_ENABLE, x2 = on | LAPIC_BASE_X2;
    assert_false(wrmsr(1, LAPIC_MSR_BASE, off | LAPIC_BASE_X2));
    assert_true(wrmsr(1, LAPIC_MSR_BASE, x2));
    assert_false(wrmsr(1, LAPIC_MSR_BASE, on));
    assert_true(wrmsr(1, LAPIC_MSR_BASE, off));
    assert_false(wrmsr(1, LAPIC_MSR_BASE, x2));
    assert_true(wrmsr(1, LAPIC_MSR_BASE, on));
    assert_false(wrmsr(1, LAPIC_MSR_BASE, on | 1));
    assert_false(wrmsr(1, LAPIC_MSR_BASE, on | 1 << 9));
}

static void x2apic_mode_keeps_interrupts_of_xapic_mode(void **state)
{
    (void)state;
    ipi(0, 1, 0x61);
    enter_x2(1);
    assert_int_equal(take(1), 0x61);
    assert_true(wrmsr(1, 0x80b, 0));
    assert_int_equal(lapic_read(&apic[1], LAPIC_ISR + 0x30), 0);
}

static void nmi_init_and_sipi_become_requests(void **state)
{
    (void)state;
    ipi(0, 1, LAPIC_NMI << 8);
    assert_true(vcpu_take(&cpu[1], VCPU_REQ_NMI));
    lapic_write(&apic[1], LAPIC_TPR, 0x30);
    ipi(0, 1, LAPIC_INIT << 8 | ICR_ASSERT | 1 << 15);
    assert_true(vcpu_take(&cpu[1], VCPU_REQ_INIT));
    assert_int_equal(lapic_read(&apic[1], LAPIC_TPR), 0); /* INIT resets the APIC too */
    assert_int_equal(lapic_read(&apic[1], LAPIC_SVR), 0xff);
    ipi(0, 1, LAPIC_INIT << 8 | 1 << 15); /* de-assert: nothing */
    assert_false(vcpu_take(&cpu[1], VCPU_REQ_INIT));
    ipi(0, 1, LAPIC_SIPI << 8 | 0x9a);
    assert_true(vcpu_take(&cpu[1], VCPU_REQ_SIPI));
    assert_int_equal(cpu[1].sipi_vector, 0x9a);
}

static void init_voids_an_older_sipi(void **state)
{
    (void)state;
    ipi(0, 1, LAPIC_SIPI << 8 | 0x10);
    ipi(0, 1, LAPIC_INIT << 8 | ICR_ASSERT);
    assert_false(vcpu_take(&cpu[1], VCPU_REQ_SIPI));
}

static void software_disabled_takes_no_vectors_but_nmi(void **state)
{
    (void)state;
    lapic_write(&apic[1], LAPIC_LVT_TIMER_REG, 0x50);
    lapic_write(&apic[1], LAPIC_SVR, 0xff);
    assert_int_equal(lapic_read(&apic[1], LAPIC_LVT_TIMER_REG), 0x10050); /* forced masked */
    lapic_write(&apic[1], LAPIC_LVT_TIMER_REG, 0x50);
    assert_int_equal(lapic_read(&apic[1], LAPIC_LVT_TIMER_REG), 0x10050);
    ipi(0, 1, 0x61);
    assert_int_equal(who_has(0x61), 0);
    ipi(0, 1, LAPIC_NMI << 8);
    assert_true(vcpu_take(&cpu[1], VCPU_REQ_NMI));
}

static void lowest_priority_picks_the_idlest_and_takes_turns(void **state)
{
    (void)state;
    lapic_write(&apic[0], LAPIC_TPR, 0x30);
    lapic_write(&apic[1], LAPIC_TPR, 0x20);
    lapic_write(&apic[2], LAPIC_TPR, 0x10);
    lapic_write(&apic[3], LAPIC_TPR, 0x20);
    ipi(0, 0xff, LAPIC_LOWEST << 8 | 0x41);
    assert_int_equal(who_has(0x41), 1 << 2);
    lapic_write(&apic[2], LAPIC_TPR, 0x20);
    unsigned seen = 0;
    for (unsigned v = 0x50; v < 0x53; v++) {
        ipi(0, 0xff, LAPIC_LOWEST << 8 | v);
        seen |= who_has((uint8_t)v);
    }
    assert_int_equal(seen, 0xe); /* 1, 2 and 3 once each */
}

static void illegal_vectors_are_errors(void **state)
{
    (void)state;
    lapic_write(&apic[0], LAPIC_LVT_ERROR_REG, 0xfe);
    ipi(0, 1, 0x0f);
    lapic_write(&apic[0], LAPIC_ESR, 0);
    assert_int_equal(lapic_read(&apic[0], LAPIC_ESR), LAPIC_ESR_SEND_VECTOR);
    assert_int_equal(take(0), 0xfe);
    lapic_write(&apic[0], LAPIC_ESR, 0);
    assert_int_equal(lapic_read(&apic[0], LAPIC_ESR), 0);
    lapic_bus_deliver(&bus, 0xfee01000, 0x0003);
    lapic_write(&apic[1], LAPIC_ESR, 0);
    assert_int_equal(lapic_read(&apic[1], LAPIC_ESR), LAPIC_ESR_RECEIVE_VECTOR);
}

static void reserved_registers_are_errors(void **state)
{
    (void)state;
    (void)lapic_read(&apic[0], 0x40);
    lapic_write(&apic[0], LAPIC_ESR, 0);
    assert_int_equal(lapic_read(&apic[0], LAPIC_ESR), LAPIC_ESR_REGISTER);
}

static void eoi_of_level_vectors_is_broadcast(void **state)
{
    (void)state;
    lapic_bus_deliver(&bus, 0xfee01000, 0x0061);
    assert_int_equal(take(1), 0x61);
    eoi(1);
    assert_int_equal(eois, 0);
    lapic_bus_deliver(&bus, 0xfee01000, 0xc061);
    assert_int_equal(lapic_read(&apic[1], LAPIC_TMR + 0x30), 2);
    assert_int_equal(take(1), 0x61);
    eoi(1);
    assert_int_equal(eois, 1);
    assert_int_equal(last_eoi, 0x61);
    lapic_bus_deliver(&bus, 0xfee01000, 0x8062); /* level, de-asserted: nothing */
    assert_int_equal(who_has(0x62), 0);
}

static void msi_addresses_select_cpus(void **state)
{
    (void)state;
    lapic_bus_deliver(&bus, 0xfee03000, 0x44);
    assert_int_equal(who_has(0x44), 1 << 3);
    lapic_bus_deliver(&bus, 0x1234, 0x45); /* not the interrupt window */
    assert_int_equal(who_has(0x45), 0);
    for (unsigned i = 0; i < LAPICS; i++)
        lapic_write(&apic[i], LAPIC_LDR, 1U << (24 + i));
    lapic_bus_deliver(&bus, 0xfee06004, 0x46); /* logical, mask 6 */
    assert_int_equal(who_has(0x46), 6);
    lapic_bus_deliver(&bus, 0xfee0600c, 0x47); /* redirection hint: one of them */
    assert_true(who_has(0x47) == 2 || who_has(0x47) == 4);
}

static void eoi_without_service_is_harmless(void **state)
{
    (void)state;
    eoi(0);
    assert_int_equal(eois, 0);
}

static void one_shot_timer_fires_once(void **state)
{
    (void)state;
    lapic_write(&apic[0], LAPIC_LVT_TIMER_REG, 0x40);
    lapic_write(&apic[0], LAPIC_DIVIDE, 0xb);
    lapic_write(&apic[0], LAPIC_INITIAL_COUNT, 1000000);
    vm_clock_advance(&vclock, 400000);
    assert_int_equal(lapic_read(&apic[0], LAPIC_CURRENT_COUNT), 600000);
    vm_clock_advance(&vclock, 599999);
    assert_int_equal(poll(0), -1);
    vm_clock_advance(&vclock, 1);
    assert_int_equal(take(0), 0x40);
    eoi(0);
    assert_int_equal(lapic_read(&apic[0], LAPIC_CURRENT_COUNT), 0);
    vm_clock_advance(&vclock, NS_PER_S);
    assert_int_equal(poll(0), -1);
}

static void divide_values_are_powers_of_two(void **state)
{
    (void)state;
    static const struct {
        uint8_t code;
        unsigned by;
    } rows[] = { { 0x0, 2 }, { 0x1, 4 }, { 0x2, 8 }, { 0x3, 16 }, { 0x8, 32 }, { 0x9, 64 }, { 0xa, 128 }, { 0xb, 1 } };
    for (unsigned i = 0; i < ARRAY_SIZE(rows); i++) {
        lapic_write(&apic[0], LAPIC_DIVIDE, rows[i].code);
        lapic_write(&apic[0], LAPIC_INITIAL_COUNT, 0xffffffff);
        vm_clock_advance(&vclock, 128000);
        assert_int_equal(lapic_read(&apic[0], LAPIC_CURRENT_COUNT), 0xffffffff - 128000 / rows[i].by);
    }
}

static void periodic_timer_keeps_its_rhythm(void **state)
{
    (void)state;
    lapic_write(&apic[0], LAPIC_LVT_TIMER_REG, 0x40 | LVT_PERIODIC);
    lapic_write(&apic[0], LAPIC_DIVIDE, 0xb);
    lapic_write(&apic[0], LAPIC_INITIAL_COUNT, 1000000);
    for (unsigned i = 0; i < 10; i++) {
        vm_clock_advance(&vclock, MS);
        assert_int_equal(take(0), 0x40);
        assert_int_equal(lapic_read(&apic[0], LAPIC_CURRENT_COUNT), 1000000);
        eoi(0);
    }
    lapic_write(&apic[0], LAPIC_INITIAL_COUNT, 0); /* stops it */
    vm_clock_advance(&vclock, NS_PER_S);
    assert_int_equal(poll(0), -1);
}

static void masked_timer_is_silent(void **state)
{
    (void)state;
    lapic_write(&apic[0], LAPIC_LVT_TIMER_REG, 0x40 | LVT_MASKED);
    lapic_write(&apic[0], LAPIC_INITIAL_COUNT, 1000);
    vm_clock_advance(&vclock, NS_PER_S);
    assert_int_equal(poll(0), -1);
}

static void tsc_deadline_fires_when_the_tsc_reaches_it(void **state)
{
    (void)state;
    uint64_t v;
    assert_true(wrmsr(0, LAPIC_MSR_TSC_DEADLINE, 12345)); /* ignored in another mode */
    assert_true(rdmsr(0, LAPIC_MSR_TSC_DEADLINE, &v));
    assert_int_equal(v, 0);
    lapic_write(&apic[0], LAPIC_LVT_TIMER_REG, 0x40 | LVT_TSC_DEADLINE);
    assert_true(wrmsr(0, LAPIC_MSR_TSC_DEADLINE, vm_clock_tsc(&vclock) + MS)); /* the test TSC runs at 1 GHz */
    vm_clock_advance(&vclock, MS - 1);
    assert_int_equal(poll(0), -1);
    vm_clock_advance(&vclock, 1);
    assert_int_equal(take(0), 0x40);
    eoi(0);
    assert_true(rdmsr(0, LAPIC_MSR_TSC_DEADLINE, &v));
    assert_int_equal(v, 0);
    assert_true(wrmsr(0, LAPIC_MSR_TSC_DEADLINE, 1)); /* the past: at once */
    assert_int_equal(take(0), 0x40);
    eoi(0);
    lapic_write(&apic[0], LAPIC_INITIAL_COUNT, 1000); /* ignored in this mode */
    vm_clock_advance(&vclock, NS_PER_S);
    assert_int_equal(poll(0), -1);
}

static void tsc_deadline_counts_the_cpus_own_tsc(void **state)
{
    (void)state;
    lapic_write(&apic[0], LAPIC_LVT_TIMER_REG, 0x40 | LVT_TSC_DEADLINE);
    lapic_set_tsc_adjust(&apic[0], (uint64_t)-MS); /* this CPU's TSC is 1 ms behind */
    assert_true(wrmsr(0, LAPIC_MSR_TSC_DEADLINE, vm_clock_tsc(&vclock) + MS));
    vm_clock_advance(&vclock, 3 * MS / 2);
    assert_int_equal(poll(0), -1);
    assert_true(wrmsr(0, LAPIC_MSR_TSC_ADJUST, 0)); /* put right: the deadline has passed */
    vm_clock_advance(&vclock, 0);
    assert_int_equal(take(0), 0x40);
}

static void timer_mode_change_disarms_the_deadline(void **state)
{
    (void)state;
    lapic_write(&apic[0], LAPIC_LVT_TIMER_REG, 0x40 | LVT_TSC_DEADLINE);
    assert_true(wrmsr(0, LAPIC_MSR_TSC_DEADLINE, vm_clock_tsc(&vclock) + MS));
    lapic_write(&apic[0], LAPIC_LVT_TIMER_REG, 0x40);
    lapic_write(&apic[0], LAPIC_LVT_TIMER_REG, 0x40 | LVT_TSC_DEADLINE);
    vm_clock_advance(&vclock, NS_PER_S);
    assert_int_equal(poll(0), -1);
}

static struct i8259 pic;

/* An 8259 with vectors from 30h, wired to LINT0. */
static void add_pic(void)
{
    i8259_init(&pic, NULL, &(const struct irq_line){ .fn = lapic_bus_set_lint0, .opaque = &bus });
    i8259_class.reset(&pic);
    wr(&i8259_io_ops, &pic, 0, 0x13);
    wr(&i8259_io_ops, &pic, 1, 0x30);
    wr(&i8259_io_ops, &pic, 1, 1);
    bus.extint = i8259_inta;
    bus.pic = &pic;
}

static void virtual_wire_brings_8259_vectors_to_cpu_0(void **state)
{
    (void)state;
    add_pic();
    lapic_write(&apic[0], LVT_LINT0_REG, LAPIC_EXTINT << 8);
    lapic_write(&apic[0], LAPIC_TPR, 0xff); /* of no matter to ExtINT */
    i8259_set_irq(&pic, 4, true);
    assert_true(vcpu_take(&cpu[0], VCPU_REQ_IRQ));
    assert_int_equal(poll(0), 0x34);
    assert_int_equal(poll(1), -1);
    assert_int_equal(take(0), 0x34);
    assert_int_equal(take(0), -1);
    for (unsigned i = 0; i < 8; i++)
        assert_int_equal(lapic_read(&apic[0], LAPIC_ISR + 0x10 * i), 0); /* the APIC holds nothing in service */
    lapic_write(&apic[0], LVT_LINT0_REG, LVT_MASKED | LAPIC_EXTINT << 8);
    wr(&i8259_io_ops, &pic, 0, 0x20);
    i8259_set_irq(&pic, 5, true);
    assert_int_equal(poll(0), -1);
}

static void disabled_apic_passes_intr_to_the_cpu(void **state)
{
    (void)state;
    add_pic();
    assert_true(wrmsr(0, LAPIC_MSR_BASE, 0xfee00000));
    i8259_set_irq(&pic, 3, true);
    assert_int_equal(take(0), 0x33);
}

static void lint1_is_an_edge_triggered_nmi(void **state)
{
    (void)state;
    lapic_write(&apic[0], LVT_LINT1_REG, LAPIC_NMI << 8);
    lapic_bus_set_lint1(&bus, 0, true);
    assert_true(vcpu_take(&cpu[0], VCPU_REQ_NMI));
    lapic_bus_set_lint1(&bus, 0, true);
    assert_false(vcpu_take(&cpu[0], VCPU_REQ_NMI));
    assert_false(vcpu_take(&cpu[1], VCPU_REQ_NMI));
}

static void level_lint0_interrupts_again_after_eoi(void **state)
{
    (void)state;
    lapic_write(&apic[0], LVT_LINT0_REG, LVT_LEVEL | 0x44);
    lapic_bus_set_lint0(&bus, 0, true);
    assert_int_equal(take(0), 0x44);
    assert_int_equal(lapic_read(&apic[0], LVT_LINT0_REG) & LVT_REMOTE_IRR, LVT_REMOTE_IRR);
    eoi(0);
    assert_int_equal(take(0), 0x44);
    lapic_bus_set_lint0(&bus, 0, false);
    eoi(0);
    assert_int_equal(poll(0), -1);
}

static void page_is_nobodys_outside_a_cpu_thread(void **state)
{
    (void)state;
    assert_int_equal(lapic_io_ops.read(&bus, LAPIC_ID, 4), 0xffffffff);
    lapic_io_ops.write(&bus, LAPIC_TPR, 0x50, 4);
    assert_int_equal(lapic_read(&apic[0], LAPIC_TPR), 0);
}

static void state_survives_save_and_load(void **state)
{
    (void)state;
    struct lapic other;
    struct lapic_bus bus2;
    struct vcpu cpu2 = { 0 };
    lapic_write(&apic[0], LAPIC_TPR, 0x20);
    lapic_write(&apic[0], LAPIC_LVT_TIMER_REG, 0x40 | LVT_PERIODIC);
    lapic_write(&apic[0], LAPIC_DIVIDE, 0xb);
    lapic_write(&apic[0], LAPIC_INITIAL_COUNT, 1000000);
    ipi(0, 0, 0x91);
    ipi(0, 0, 0x51);
    (void)take(0);
    lapic_bus_init(&bus2);
    lapic_init(&other, &bus2, 0, &cpu2, &vclock);
    check_round_trip(lapic_class.state, &apic[0], &other);
    lapic_write(&other, LAPIC_EOI, 0);
    assert_int_equal(lapic_accept(&other), 0x51);
    lapic_write(&other, LAPIC_EOI, 0);
    vm_clock_advance(&vclock, MS); /* the timer was carried over */
    assert_int_equal(lapic_accept(&other), 0x40);
    check_round_trip(&lapic_bus_state, &bus, &bus2);
    lapic_class.done(&other);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, lapics_setup, lapics_teardown)
    const struct CMUnitTest tests[] = {
        T(reset_state_is_the_manuals),
        T(acceptance_moves_irr_to_isr),
        T(higher_vector_goes_first_and_nests),
        T(task_priority_holds_back_its_class_and_below),
        T(ppr_is_the_higher_of_tpr_and_isr_class),
        T(physical_destinations),
        T(shorthands),
        T(flat_logical_destinations_are_masks),
        T(cluster_logical_destinations_name_cluster_and_members),
        T(x2apic_logical_id_follows_from_the_id),
        T(x2apic_broadcast_needs_all_32_bits),
        T(x2apic_registers_check_reserved_bits_and_existence),
        T(mode_changes_follow_the_state_diagram),
        T(x2apic_mode_keeps_interrupts_of_xapic_mode),
        T(nmi_init_and_sipi_become_requests),
        T(init_voids_an_older_sipi),
        T(software_disabled_takes_no_vectors_but_nmi),
        T(lowest_priority_picks_the_idlest_and_takes_turns),
        T(illegal_vectors_are_errors),
        T(reserved_registers_are_errors),
        T(eoi_of_level_vectors_is_broadcast),
        T(msi_addresses_select_cpus),
        T(eoi_without_service_is_harmless),
        T(one_shot_timer_fires_once),
        T(divide_values_are_powers_of_two),
        T(periodic_timer_keeps_its_rhythm),
        T(masked_timer_is_silent),
        T(tsc_deadline_fires_when_the_tsc_reaches_it),
        T(tsc_deadline_counts_the_cpus_own_tsc),
        T(timer_mode_change_disarms_the_deadline),
        T(virtual_wire_brings_8259_vectors_to_cpu_0),
        T(disabled_apic_passes_intr_to_the_cpu),
        T(lint1_is_an_edge_triggered_nmi),
        T(level_lint0_interrupts_again_after_eoi),
        T(page_is_nobodys_outside_a_cpu_thread),
        T(state_survives_save_and_load),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
