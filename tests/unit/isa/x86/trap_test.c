/* SPDX-License-Identifier: MIT */
/*
 * Laws of exception and interrupt delivery: frames of every mode, stack switches, error codes, double and triple faults.
 *
 * Spec: Intel SDM 3A chapter 6, 20.1.4, 20.3; 3B 17.2, 17.3
 */
#include "protection.h"

enum { INT_GATE = 0x8e, TRAP_GATE = 0x8f, INT_GATE_DPL3 = 0xee, INT16_GATE = 0x86, ABSENT_GATE = 0x0e, TASK_GATE = 0x85 };

static const struct x86_insn int_0x30 = { .len = 2, .imm = 0x30, .opsize = 4 };

/* ---- real mode ---- */

static void real_mode_pushes_flags_cs_ip_words(void **state)
{
    struct machine *m = machine_real();
    (void)state;
    put(m, 0x21 * 4, 0x1234, 2);
    put(m, 0x21 * 4 + 2, 0x0700, 2);
    m->c.rflags |= FLAG_IF | FLAG_TF | FLAG_CF;
    x86_load_seg_real(&m->c, SEG_CS, 0x0100);
    m->c.rip = 0x4000;
    x86_deliver_event(&m->c, 0x21, X86_EVENT_EXTERNAL);
    assert_int_equal(m->c.gpr[RSP], AT_STACK0 - 6);
    assert_int_equal(get(m, AT_STACK0 - 2, 2), FLAG_ONE | FLAG_IF | FLAG_TF | FLAG_CF);
    assert_int_equal(get(m, AT_STACK0 - 4, 2), 0x0100);
    assert_int_equal(get(m, AT_STACK0 - 6, 2), 0x4000);
    assert_int_equal(m->c.rip, 0x1234);
    assert_int_equal(m->c.seg[SEG_CS].sel, 0x0700);
    assert_int_equal(m->c.seg[SEG_CS].base, 0x7000);
    assert_int_equal(m->c.rflags, FLAG_ONE | FLAG_CF);
    machine_free(m);
}

static void real_mode_stack_wraps_at_64k(void **state)
{
    struct machine *m = machine_real();
    (void)state;
    put(m, 0x21 * 4, 0x1234, 4);
    m->c.gpr[RSP] = 0xabcd0002;
    x86_deliver_event(&m->c, 0x21, X86_EVENT_EXTERNAL);
    assert_int_equal(m->c.gpr[RSP], 0xabcdfffc);
    assert_int_equal(get(m, 0xfffc, 2), AT_CODE);
    assert_int_equal(get(m, 0, 2), FLAG_ONE);
    machine_free(m);
}

static void real_mode_short_idt_shuts_down(void **state)
{
    struct machine *m = machine_real();
    (void)state;
    m->c.idtr.limit = 3;
    fault(m, X86_UD, false, 0);
    assert_int_equal(m->c.activity, X86_SHUTDOWN);
    assert_int_equal(m->c.rip, AT_CODE);
    assert_int_equal(m->c.gpr[RSP], AT_STACK0);
    machine_free(m);
}

/* ---- protected mode ---- */

static void fault_frame_has_rf_and_error_code(void **state)
{
    struct machine *m = machine_protected(0);
    (void)state;
    idt_set(m, X86_GP, CODE0, AT_HANDLER, INT_GATE);
    m->c.rflags |= FLAG_IF | FLAG_NT | FLAG_TF | FLAG_ZF;
    fault(m, X86_GP, true, 0xabc8);
    assert_int_equal(m->c.gpr[RSP], AT_STACK0 - 16);
    assert_int_equal(get(m, AT_STACK0 - 4, 4), FLAG_ONE | FLAG_IF | FLAG_NT | FLAG_TF | FLAG_ZF | FLAG_RF);
    assert_int_equal(get(m, AT_STACK0 - 8, 4), CODE0);
    assert_int_equal(get(m, AT_STACK0 - 12, 4), AT_CODE);
    assert_int_equal(get(m, AT_STACK0 - 16, 4), 0xabc8);
    assert_int_equal(m->c.rip, AT_HANDLER);
    assert_int_equal(m->c.rflags, FLAG_ONE | FLAG_ZF);
    machine_free(m);
}

static void interrupt_frame_has_no_rf_of_its_own(void **state)
{
    struct machine *m = machine_protected(0);
    (void)state;
    idt_set(m, 0x30, CODE0, AT_HANDLER, INT_GATE);
    x86_deliver_event(&m->c, 0x30, X86_EVENT_EXTERNAL);
    assert_int_equal(get(m, AT_STACK0 - 4, 4), FLAG_ONE);
    m->c.rflags |= FLAG_RF;
    m->c.gpr[RSP] = AT_STACK0;
    x86_deliver_event(&m->c, 0x30, X86_EVENT_EXTERNAL);
    assert_int_equal(get(m, AT_STACK0 - 4, 4), FLAG_ONE | FLAG_RF);
    assert_int_equal(m->c.rflags, FLAG_ONE);
    machine_free(m);
}

static void trap_gate_keeps_if(void **state)
{
    struct machine *m = machine_protected(0);
    (void)state;
    idt_set(m, 0x30, CODE0, AT_HANDLER, TRAP_GATE);
    m->c.rflags |= FLAG_IF;
    x86_deliver_event(&m->c, 0x30, X86_EVENT_EXTERNAL);
    assert_int_equal(m->c.rflags, FLAG_ONE | FLAG_IF);
    machine_free(m);
}

static void sixteen_bit_gate_pushes_words(void **state)
{
    struct machine *m = machine_protected(0);
    (void)state;
    idt_set(m, 0x30, CODE0, 0xbeef6000, INT16_GATE); /* the upper offset is not used */
    x86_deliver_event(&m->c, 0x30, X86_EVENT_EXTERNAL);
    assert_int_equal(m->c.gpr[RSP], AT_STACK0 - 6);
    assert_int_equal(get(m, AT_STACK0 - 6, 2), AT_CODE);
    assert_int_equal(m->c.rip, AT_HANDLER);
    machine_free(m);
}

static void inner_ring_takes_stack_from_tss(void **state)
{
    struct machine *m = machine_protected(3);
    (void)state;
    idt_set(m, X86_PF, CODE0, AT_HANDLER, INT_GATE);
    fault(m, X86_PF, true, 7);
    assert_int_equal(m->c.cpl, 0);
    assert_int_equal(m->c.seg[SEG_CS].sel, CODE0);
    assert_int_equal(m->c.seg[SEG_SS].sel, DATA0);
    assert_int_equal(m->c.gpr[RSP], AT_STACK0 - 24);
    assert_int_equal(get(m, AT_STACK0 - 4, 4), DATA3);
    assert_int_equal(get(m, AT_STACK0 - 8, 4), AT_STACK3);
    assert_int_equal(get(m, AT_STACK0 - 16, 4), CODE3);
    assert_int_equal(get(m, AT_STACK0 - 20, 4), AT_CODE);
    assert_int_equal(get(m, AT_STACK0 - 24, 4), 7);
    assert_int_equal(m->c.bank, X86_BANK_KERNEL_AC);
    machine_free(m);
}

static void conforming_handler_stays_in_ring3(void **state)
{
    struct machine *m = machine_protected(3);
    (void)state;
    idt_set(m, 0x30, CONFORMING, AT_HANDLER, INT_GATE);
    x86_deliver_event(&m->c, 0x30, X86_EVENT_EXTERNAL);
    assert_int_equal(m->c.cpl, 3);
    assert_int_equal(m->c.seg[SEG_CS].sel, CONFORMING | 3);
    assert_int_equal(m->c.gpr[RSP], AT_STACK3 - 12);
    machine_free(m);
}

static void handler_descriptors_become_accessed(void **state)
{
    struct machine *m = machine_protected(3);
    (void)state;
    gdt_set(m, SPARE, descriptor(0, 0xfffff, 0x9a, 0xc));
    gdt_set(m, DATA0, descriptor(0, 0xfffff, 0x92, 0xc));
    idt_set(m, 0x30, SPARE, AT_HANDLER, INT_GATE);
    x86_deliver_event(&m->c, 0x30, X86_EVENT_EXTERNAL);
    assert_int_equal(m->c.rip, AT_HANDLER);
    assert_int_equal(gdt_get(m, SPARE), descriptor(0, 0xfffff, 0x9b, 0xc));
    assert_int_equal(gdt_get(m, DATA0), descriptor(0, 0xfffff, 0x93, 0xc));
    assert_true(m->c.seg[SEG_CS].attr & SEG_TYPE_A);
    assert_true(m->c.seg[SEG_SS].attr & SEG_TYPE_A);
    machine_free(m);
}

static void int_n_needs_gate_dpl_and_interrupts_do_not(void **state)
{
    struct machine *m = machine_protected(3);
    (void)state;
    idt_set(m, 0x30, CODE0, AT_HANDLER, INT_GATE);
    assert_false(step(m, step_int, &int_0x30));
    expect_trap(m, X86_GP, 0x30 * 8 + 2);
    assert_int_equal(m->c.rip, AT_CODE);
    idt_set(m, 0x30, CODE0, AT_HANDLER, INT_GATE_DPL3);
    assert_true(step(m, step_int, &int_0x30));
    assert_int_equal(get(m, AT_STACK0 - 20, 4), AT_CODE + 2);
    assert_int_equal(m->c.rip, AT_HANDLER);
    machine_free(m);
    m = machine_protected(3);
    idt_set(m, 0x30, CODE0, AT_HANDLER, INT_GATE);
    assert_true(enter(m, 0x30, X86_EVENT_EXTERNAL));
    machine_free(m);
}

static void int3_and_into_need_gate_dpl_but_int1_does_not(void **state)
{
    static const struct x86_insn one = { .len = 1, .opsize = 4 };
    struct machine *m = machine_protected(3);
    (void)state;
    for (unsigned v = 0; v < 5; v++)
        idt_set(m, v, CODE0, AT_HANDLER, INT_GATE);
    assert_false(step(m, step_int3, &one));
    expect_trap(m, X86_GP, X86_BP * 8 + 2);
    assert_true(step(m, step_into, &one)); /* OF clear: nothing */
    assert_int_equal(m->c.rip, AT_CODE + 1);
    m->c.rflags |= FLAG_OF;
    assert_false(step(m, step_into, &one));
    expect_trap(m, X86_GP, X86_OF * 8 + 2);
    assert_true(step(m, step_int1, &one));
    assert_int_equal(m->c.rip, AT_HANDLER);
    assert_int_equal(m->c.dr6, 0xffff0ff0);
    machine_free(m);
}

static void error_codes_carry_ext_for_external_events(void **state)
{
    struct machine *m = machine_protected(0);
    (void)state;
    idt_set(m, 0x30, CODE0, AT_HANDLER, ABSENT_GATE);
    assert_false(enter(m, 0x30, X86_EVENT_EXTERNAL));
    expect_trap(m, X86_NP, 0x30 * 8 + 3);
    assert_false(step(m, step_int, &int_0x30));
    expect_trap(m, X86_NP, 0x30 * 8 + 2);
    idt_set(m, 0x30, DATA0, AT_HANDLER, INT_GATE);
    assert_false(enter(m, 0x30, X86_EVENT_NMI));
    expect_trap(m, X86_GP, DATA0 + 1);
    idt_set(m, 0x30, 0, AT_HANDLER, INT_GATE);
    assert_false(enter(m, 0x30, X86_EVENT_ICEBP));
    expect_trap(m, X86_GP, 1);
    idt_set(m, 0x30, 0xff8, AT_HANDLER, INT_GATE);
    assert_false(step(m, step_int, &int_0x30));
    expect_trap(m, X86_GP, 0xff8);
    m->c.idtr.limit = 0x30 * 8 + 6;
    assert_false(enter(m, 0x30, X86_EVENT_EXTERNAL));
    expect_trap(m, X86_GP, 0x30 * 8 + 3);
    machine_free(m);
}

static void bad_tss_stacks_raise_ts(void **state)
{
    struct machine *m = machine_protected(3);
    (void)state;
    idt_set(m, 0x30, CODE0, AT_HANDLER, INT_GATE);
    put(m, AT_TSS + 8, 0, 2);
    assert_false(enter(m, 0x30, X86_EVENT_EXTERNAL));
    expect_trap(m, X86_TS, 1);
    put(m, AT_TSS + 8, DATA3, 2);
    assert_false(enter(m, 0x30, X86_EVENT_EXTERNAL));
    expect_trap(m, X86_TS, (DATA3 & ~3) + 1);
    put(m, AT_TSS + 8, CODE0, 2);
    assert_false(enter(m, 0x30, X86_EVENT_EXTERNAL));
    expect_trap(m, X86_TS, CODE0 + 1);
    put(m, AT_TSS + 8, DATA0 | 1, 2); /* RPL 1 for ring 0 */
    assert_false(enter(m, 0x30, X86_EVENT_EXTERNAL));
    expect_trap(m, X86_TS, DATA0 + 1);
    put(m, AT_TSS + 8, NOT_PRESENT, 2);
    assert_false(enter(m, 0x30, X86_EVENT_EXTERNAL));
    expect_trap(m, X86_SS, NOT_PRESENT + 1);
    m->c.seg[SEG_TR].limit = 8; /* SS0 ends at byte 9 */
    assert_false(enter(m, 0x30, X86_EVENT_EXTERNAL));
    expect_trap(m, X86_TS, TSS + 1);
    machine_free(m);
}

static void short_inner_stack_raises_ss_with_selector(void **state)
{
    struct machine *m = machine_protected(3);
    (void)state;
    idt_set(m, 0x30, CODE0, AT_HANDLER, INT_GATE);
    gdt_set(m, SPARE, descriptor(0, 0xfff, 0x93, 4)); /* byte limit 0xfff */
    put(m, AT_TSS + 8, SPARE, 2);
    put(m, AT_TSS + 4, 0x1010, 4); /* the first of five dwords lies beyond the limit */
    assert_false(enter(m, 0x30, X86_EVENT_EXTERNAL));
    expect_trap(m, X86_SS, SPARE + 1);
    assert_int_equal(m->c.cpl, 3);
    put(m, AT_TSS + 4, 0x1000, 4);
    assert_true(enter(m, 0x30, X86_EVENT_EXTERNAL));
    assert_int_equal(m->c.gpr[RSP], 0x1000 - 20);
    machine_free(m);
}

static void expand_down_stack_ends_above_its_limit(void **state)
{
    struct machine *m = machine_protected(3);
    (void)state;
    idt_set(m, 0x30, CODE0, AT_HANDLER, INT_GATE);
    gdt_set(m, SPARE, descriptor(0, 0x8fff, 0x97, 4));
    put(m, AT_TSS + 8, SPARE, 2);
    put(m, AT_TSS + 4, 0x9013, 4); /* the fifth dword begins at the limit */
    assert_false(enter(m, 0x30, X86_EVENT_EXTERNAL));
    expect_trap(m, X86_SS, SPARE + 1);
    put(m, AT_TSS + 4, 0x9014, 4);
    assert_true(enter(m, 0x30, X86_EVENT_EXTERNAL));
    assert_int_equal(m->c.gpr[RSP], 0x9000);
    machine_free(m);
}

static void vm86_frame_carries_data_segments(void **state)
{
    struct machine *m = machine_protected(3);
    (void)state;
    idt_set(m, X86_GP, CODE0, AT_HANDLER, INT_GATE);
    m->c.rflags |= FLAG_VM;
    for (unsigned n = 0; n < 6; n++)
        x86_load_seg_real(&m->c, n, (uint16_t)(0x100 + n));
    m->c.rip = 0x10;
    m->c.gpr[RSP] = 0x2000;
    fault(m, X86_GP, true, 0);
    assert_int_equal(m->c.gpr[RSP], AT_STACK0 - 40);
    assert_int_equal(get(m, AT_STACK0 - 4, 4), 0x100 + SEG_GS);
    assert_int_equal(get(m, AT_STACK0 - 8, 4), 0x100 + SEG_FS);
    assert_int_equal(get(m, AT_STACK0 - 12, 4), 0x100 + SEG_DS);
    assert_int_equal(get(m, AT_STACK0 - 16, 4), 0x100 + SEG_ES);
    assert_int_equal(get(m, AT_STACK0 - 20, 4), 0x100 + SEG_SS);
    assert_int_equal(get(m, AT_STACK0 - 24, 4), 0x2000);
    assert_int_equal(get(m, AT_STACK0 - 28, 4), FLAG_ONE | FLAG_VM | FLAG_RF);
    assert_int_equal(get(m, AT_STACK0 - 32, 4), 0x100 + SEG_CS);
    assert_int_equal(get(m, AT_STACK0 - 36, 4), 0x10);
    assert_int_equal(m->c.rflags, FLAG_ONE);
    assert_int_equal(m->c.cpl, 0);
    assert_int_equal(m->c.seg[SEG_DS].sel, 0);
    assert_true(m->c.seg[SEG_DS].attr & SEG_UNUSABLE);
    machine_free(m);
}

static void task_gate_pushes_error_code_in_new_task(void **state)
{
    struct machine *m = machine_protected(0);
    (void)state;
    gdt_set(m, TSS2, descriptor(AT_TSS2, 0x67, 0x89, 0));
    put(m, AT_TSS2 + 0x20, AT_HANDLER, 4);
    put(m, AT_TSS2 + 0x24, FLAG_ONE | FLAG_IF, 4);
    put(m, AT_TSS2 + 0x38, AT_STACK_OTHER, 4);
    put(m, AT_TSS2 + 0x48, DATA0, 2);
    put(m, AT_TSS2 + 0x4c, CODE0, 2);
    put(m, AT_TSS2 + 0x50, DATA0, 2);
    put(m, AT_TSS2 + 0x54, DATA0, 2);
    put(m, AT_IDT + X86_DF * 8, gate(TSS2, 0, TASK_GATE, 0), 8);
    fault(m, X86_DF, true, 0);
    assert_int_equal(m->c.rip, AT_HANDLER);
    assert_int_equal(m->c.gpr[RSP], AT_STACK_OTHER - 4);
    assert_int_equal(get(m, AT_STACK_OTHER - 4, 4), 0);
    assert_int_equal(m->c.rflags, FLAG_ONE | FLAG_IF | FLAG_NT);
    assert_int_equal(get(m, AT_TSS2, 2), TSS);
    assert_int_equal(get(m, AT_TSS + 0x20, 4), AT_CODE);
    machine_free(m);
}

/* ---- long mode ---- */

static void long_mode_frame_is_five_quads_on_aligned_stack(void **state)
{
    struct machine *m = machine_long(0, true);
    (void)state;
    idt_set64(m, X86_GP, CODE0_64, 0xffff800000001000, INT_GATE, 0);
    m->c.gpr[RSP] = AT_STACK0 - 5;
    m->c.rflags |= FLAG_IF;
    fault(m, X86_GP, true, 0x18);
    uint64_t top = AT_STACK0 - 16;
    assert_int_equal(m->c.gpr[RSP], top - 48);
    assert_int_equal(get(m, top - 8, 8), DATA0);
    assert_int_equal(get(m, top - 16, 8), AT_STACK0 - 5);
    assert_int_equal(get(m, top - 24, 8), FLAG_ONE | FLAG_IF | FLAG_RF);
    assert_int_equal(get(m, top - 32, 8), CODE0_64);
    assert_int_equal(get(m, top - 40, 8), AT_CODE);
    assert_int_equal(get(m, top - 48, 8), 0x18);
    assert_int_equal(m->c.rip, 0xffff800000001000);
    assert_int_equal(m->c.seg[SEG_SS].sel, DATA0); /* same level: SS stays */
    machine_free(m);
}

static void long_mode_inner_ring_has_null_ss(void **state)
{
    for (unsigned wide = 0; wide < 2; wide++) {
        struct machine *m = machine_long(3, wide);
        (void)state;
        idt_set64(m, 0x30, CODE0_64, AT_HANDLER, INT_GATE, 0);
        x86_deliver_event(&m->c, 0x30, X86_EVENT_EXTERNAL);
        assert_int_equal(m->c.cpl, 0);
        assert_int_equal(m->c.mode, X86_MODE_64);
        assert_int_equal(m->c.stack_size, 8);
        assert_int_equal(m->c.seg[SEG_SS].sel, 0);
        assert_int_equal(m->c.gpr[RSP], AT_STACK0 - 40);
        assert_int_equal(get(m, AT_STACK0 - 8, 8), DATA3);
        assert_int_equal(get(m, AT_STACK0 - 16, 8), AT_STACK3);
        assert_int_equal(get(m, AT_STACK0 - 32, 8), wide ? CODE3_64 : CODE3);
        machine_free(m);
    }
}

static void ist_replaces_stack_at_any_level(void **state)
{
    for (unsigned cpl = 0; cpl <= 3; cpl += 3) {
        struct machine *m = machine_long(cpl, true);
        (void)state;
        idt_set64(m, X86_NMI, CODE0_64, AT_HANDLER, INT_GATE, 1);
        x86_deliver_event(&m->c, X86_NMI, X86_EVENT_NMI);
        assert_int_equal(m->c.gpr[RSP], AT_IST1 - 40);
        assert_int_equal(get(m, AT_IST1 - 16, 8), cpl ? AT_STACK3 : AT_STACK0);
        assert_int_equal(m->c.seg[SEG_SS].sel, cpl ? 0 : DATA0);
        machine_free(m);
    }
}

static void long_mode_refuses_other_gates_and_segments(void **state)
{
    struct machine *m = machine_long(0, true);
    (void)state;
    idt_set64(m, 0x30, CODE0, AT_HANDLER, INT_GATE, 0); /* 32-bit code segment */
    assert_false(enter(m, 0x30, X86_EVENT_EXTERNAL));
    expect_trap(m, X86_GP, CODE0 + 1);
    idt_set64(m, 0x30, CODE_BOTH_L_D, AT_HANDLER, INT_GATE, 0);
    assert_false(enter(m, 0x30, X86_EVENT_EXTERNAL));
    expect_trap(m, X86_GP, CODE_BOTH_L_D + 1);
    idt_set64(m, 0x30, CODE0_64, AT_HANDLER, INT16_GATE, 0);
    assert_false(enter(m, 0x30, X86_EVENT_EXTERNAL));
    expect_trap(m, X86_GP, 0x30 * 8 + 3);
    idt_set64(m, 0x30, TSS, AT_HANDLER, TASK_GATE, 0);
    assert_false(enter(m, 0x30, X86_EVENT_EXTERNAL));
    expect_trap(m, X86_GP, 0x30 * 8 + 3);
    idt_set64(m, 0x30, CODE0_64, 0x800000000000, INT_GATE, 0);
    assert_false(enter(m, 0x30, X86_EVENT_EXTERNAL));
    expect_trap(m, X86_GP, 1);
    idt_set64(m, 0x30, CODE0_64, AT_HANDLER, INT_GATE, 1);
    put(m, AT_TSS + 36, 0x800000000000, 8);
    assert_false(enter(m, 0x30, X86_EVENT_EXTERNAL));
    expect_trap(m, X86_SS, 1);
    m->c.seg[SEG_TR].limit = 42; /* IST1 ends at byte 43 */
    assert_false(enter(m, 0x30, X86_EVENT_EXTERNAL));
    expect_trap(m, X86_TS, TSS + 1);
    machine_free(m);
}

/* ---- double and triple faults ---- */

static void two_contributory_faults_make_a_double_fault(void **state)
{
    struct machine *m = machine_protected(0);
    (void)state;
    idt_set(m, X86_GP, CODE0, AT_HANDLER, ABSENT_GATE); /* #GP, then #NP */
    idt_set(m, X86_NP, CODE0, AT_HANDLER + 1, INT_GATE);
    idt_set(m, X86_DF, CODE0, AT_HANDLER + 2, INT_GATE);
    fault(m, X86_GP, true, 0x50);
    assert_int_equal(m->c.rip, AT_HANDLER + 2);
    assert_int_equal(m->c.gpr[RSP], AT_STACK0 - 16);
    assert_int_equal(get(m, AT_STACK0 - 16, 4), 0);
    assert_int_equal(get(m, AT_STACK0 - 12, 4), AT_CODE);
    machine_free(m);
}

static void benign_then_contributory_is_served_in_turn(void **state)
{
    struct machine *m = machine_protected(0);
    (void)state;
    idt_set(m, X86_UD, CODE0, AT_HANDLER, ABSENT_GATE);
    idt_set(m, X86_NP, CODE0, AT_HANDLER + 1, INT_GATE);
    idt_set(m, X86_DF, CODE0, AT_HANDLER + 2, INT_GATE);
    fault(m, X86_UD, false, 0);
    assert_int_equal(m->c.rip, AT_HANDLER + 1);
    assert_int_equal(get(m, AT_STACK0 - 16, 4), X86_UD * 8 + 3);
    machine_free(m);
}

static void interrupt_then_contributory_is_served_in_turn(void **state)
{
    struct machine *m = machine_protected(0);
    (void)state;
    idt_set(m, X86_TS, CODE0, AT_HANDLER, ABSENT_GATE); /* vector 10 as an interrupt: benign all the same */
    idt_set(m, X86_NP, CODE0, AT_HANDLER + 1, INT_GATE);
    idt_set(m, X86_DF, CODE0, AT_HANDLER + 2, INT_GATE);
    x86_deliver_event(&m->c, X86_TS, X86_EVENT_EXTERNAL);
    assert_int_equal(m->c.rip, AT_HANDLER + 1);
    machine_free(m);
}

static void page_fault_during_contributory_is_served_in_turn(void **state)
{
    struct machine *m = machine_long(0, true);
    (void)state;
    idt_set64(m, X86_GP, CODE0_64, AT_HANDLER, INT_GATE, 1);
    idt_set64(m, X86_PF, CODE0_64, AT_HANDLER + 1, INT_GATE, 0);
    put(m, AT_TSS + 36, UNMAPPED + 0x1000, 8);
    fault(m, X86_GP, true, 0);
    assert_int_equal(m->c.rip, AT_HANDLER + 1);
    assert_in_range(m->c.cr2, UNMAPPED + 0x1000 - 48, UNMAPPED + 0x1000 - 1);
    assert_int_equal(get(m, AT_STACK0 - 48, 8), PF_W);
    machine_free(m);
}

static void page_fault_during_page_fault_is_a_double_fault(void **state)
{
    struct machine *m = machine_long(0, true);
    (void)state;
    idt_set64(m, X86_PF, CODE0_64, AT_HANDLER, INT_GATE, 0);
    idt_set64(m, X86_DF, CODE0_64, AT_HANDLER + 1, INT_GATE, 1);
    m->c.gpr[RSP] = UNMAPPED + 0x800;
    fault(m, X86_PF, true, 0);
    assert_int_equal(m->c.rip, AT_HANDLER + 1);
    assert_int_equal(get(m, AT_IST1 - 48, 8), 0);
    assert_int_equal(get(m, AT_IST1 - 16, 8), UNMAPPED + 0x800);
    assert_in_range(m->c.cr2, UNMAPPED + 0x800 - 48, UNMAPPED + 0x800 - 1); /* of the second one */
    machine_free(m);
}

static void fault_entering_double_fault_shuts_down(void **state)
{
    struct machine *m = machine_long(0, true);
    (void)state;
    idt_set64(m, X86_PF, CODE0_64, AT_HANDLER, INT_GATE, 0);
    idt_set64(m, X86_DF, CODE0_64, AT_HANDLER + 1, INT_GATE, 0);
    m->c.gpr[RSP] = UNMAPPED;
    fault(m, X86_PF, true, 0);
    assert_int_equal(m->c.activity, X86_SHUTDOWN);
    assert_int_equal(m->c.rip, AT_CODE);
    assert_int_equal(m->c.gpr[RSP], UNMAPPED);
    machine_free(m);
}

static void chain_of_absent_handlers_ends_in_shutdown(void **state)
{
    struct machine *m = machine_protected(3);
    (void)state;
    idt_set(m, X86_AC, CODE0, AT_HANDLER, ABSENT_GATE);
    idt_set(m, X86_NP, 0, AT_HANDLER, ABSENT_GATE);
    fault(m, X86_AC, true, 0);
    assert_int_equal(m->c.activity, X86_SHUTDOWN);
    machine_free(m);
}

static void failed_entry_leaves_state_as_it_was(void **state)
{
    struct machine *m = machine_long(3, true);
    struct x86_cpu before;
    (void)state;
    idt_set64(m, 0x30, CODE0_64, AT_HANDLER, INT_GATE, 1);
    put(m, AT_TSS + 36, UNMAPPED + 8, 8);
    m->c.rflags |= FLAG_IF | FLAG_TF | FLAG_NT;
    x86_mode_update(&m->c);
    before = m->c;
    assert_false(enter(m, 0x30, X86_EVENT_NMI));
    assert_int_equal(m->c.trap.vector, X86_PF);
    assert_memory_equal(m->c.gpr, before.gpr, sizeof(before.gpr));
    assert_memory_equal(m->c.seg, before.seg, sizeof(before.seg));
    assert_int_equal(m->c.rip, before.rip);
    assert_int_equal(m->c.rflags, before.rflags);
    assert_int_equal(m->c.cpl, 3);
    assert_int_equal(m->c.nmi_blocked, false);
    assert_int_equal(m->c.cr2, before.cr2);
    machine_free(m);
}

/* ---- CR2, debug registers, NMI ---- */

static void cr2_is_written_at_delivery(void **state)
{
    struct machine *m = machine_long(0, true);
    jmp_buf env;
    (void)state;
    idt_set64(m, X86_PF, CODE0_64, AT_HANDLER, INT_GATE, 0);
    m->c.trap_env = &env;
    if (!setjmp(env))
        x86_raise_pf(&m->c, 0xdeadbeef, PF_P | PF_U);
    assert_int_equal(m->c.cr2, 0);
    x86_deliver_trap(&m->c);
    assert_int_equal(m->c.cr2, 0xdeadbeef);
    assert_int_equal(get(m, AT_STACK0 - 48, 8), PF_P | PF_U);
    assert_ptr_equal(m->c.trap_env, &env);
    machine_free(m);
}

static void nmi_blocks_until_iret_even_a_faulting_one(void **state)
{
    static const struct x86_insn iret = { .len = 2, .opsize = 8 };
    struct machine *m = machine_long(0, true);
    (void)state;
    idt_set64(m, X86_NMI, CODE0_64, AT_HANDLER, INT_GATE, 0);
    x86_deliver_event(&m->c, X86_NMI, X86_EVENT_NMI);
    assert_true(m->c.nmi_blocked);
    put(m, m->c.gpr[RSP] + 8, 0, 8); /* null CS */
    assert_false(step(m, step_iret, &iret));
    expect_trap(m, X86_GP, 0);
    assert_false(m->c.nmi_blocked);
    machine_free(m);
}

static void int_2_does_not_block_nmis(void **state)
{
    static const struct x86_insn int_2 = { .len = 2, .imm = 2, .opsize = 8 };
    struct machine *m = machine_long(0, true);
    (void)state;
    idt_set64(m, X86_NMI, CODE0_64, AT_HANDLER, INT_GATE, 0);
    assert_true(step(m, step_int, &int_2));
    assert_false(m->c.nmi_blocked);
    machine_free(m);
}

static void debug_trap_merges_dr6_and_clears_gd(void **state)
{
    struct machine *m = machine_long(0, true);
    (void)state;
    idt_set64(m, X86_DB, CODE0_64, AT_HANDLER, INT_GATE, 0);
    m->c.dr6 = 0xffff0ff0 | 3;
    m->c.dr7 |= 1 << 13;
    m->c.pending_dbg = 1 << 14 | 4;
    x86_deliver_event(&m->c, X86_DB, X86_EVENT_EXCEPTION);
    assert_int_equal(m->c.dr6, 0xffff0ff0 | 1 << 14 | 4); /* B0, B1 of long ago are gone */
    assert_int_equal(m->c.dr7, 0x400);
    assert_int_equal(m->c.pending_dbg, 0);
    assert_int_equal(get(m, AT_STACK0 - 24, 8), FLAG_ONE);
    machine_free(m);
}

static void instruction_breakpoint_faults_once_with_rf(void **state)
{
    struct machine *m = machine_long(0, true);
    jmp_buf env;
    (void)state;
    m->c.dr[2] = AT_CODE;
    m->c.dr7 |= 1 << 4; /* L2, execute */
    m->c.trap_env = &env;
    volatile unsigned raised = 0;
    if (setjmp(env))
        raised++;
    else
        x86_check_breakpoint_fetch(&m->c);
    assert_int_equal(raised, 1);
    assert_int_equal(m->c.trap.vector, X86_DB);
    assert_int_equal(m->c.trap.dr6, 4);
    m->c.rflags |= FLAG_RF | FLAG_TF;
    if (setjmp(env))
        raised++;
    else
        x86_check_breakpoint_fetch(&m->c);
    assert_int_equal(raised, 1);
    assert_int_equal(m->c.rflags, FLAG_ONE | FLAG_TF);
    x86_single_step(&m->c);
    assert_int_equal(m->c.pending_dbg, 1 << 14);
    machine_free(m);
}

static void data_breakpoints_match_overlap_kind_and_length(void **state)
{
    struct machine *m = machine_long(0, true);
    (void)state;
    m->c.dr[0] = 0x1004;
    m->c.dr7 |= 1 | 0xdU << 16; /* L0, writes, 4 bytes */
    x86_check_breakpoint_data(&m->c, 0x1000, 4, true, false);
    x86_check_breakpoint_data(&m->c, 0x1008, 8, true, false);
    x86_check_breakpoint_data(&m->c, 0x1004, 4, false, false);
    x86_check_breakpoint_data(&m->c, 0x1004, 4, true, true);
    assert_int_equal(m->c.pending_dbg, 0);
    x86_check_breakpoint_data(&m->c, 0x1000, 5, true, false);
    assert_int_equal(m->c.pending_dbg, 1);
    m->c.dr[1] = 0x2003;        /* low bits are ignored: 8 bytes at 0x2000 */
    m->c.dr7 |= 8 | 0xbU << 20; /* G1, reads and writes, 8 bytes */
    x86_check_breakpoint_data(&m->c, 0x2008, 1, false, false);
    assert_int_equal(m->c.pending_dbg, 1);
    x86_check_breakpoint_data(&m->c, 0x2000, 1, false, false);
    assert_int_equal(m->c.pending_dbg, 3);
    machine_free(m);
}

static void io_breakpoints_need_cr4_de(void **state)
{
    struct machine *m = machine_long(0, true);
    (void)state;
    m->c.dr[3] = 0x3f8;
    m->c.dr7 |= 1 << 6 | 2U << 28;
    x86_check_breakpoint_data(&m->c, 0x3f8, 1, false, true);
    assert_int_equal(m->c.pending_dbg, 0);
    m->c.cr4 |= CR4_DE;
    x86_check_breakpoint_data(&m->c, 0x3f8, 1, false, true);
    assert_int_equal(m->c.pending_dbg, 8);
    machine_free(m);
}

static void software_interrupt_swallows_the_single_step(void **state)
{
    struct machine *m = machine_protected(0);
    (void)state;
    idt_set(m, 0x30, CODE0, AT_HANDLER, TRAP_GATE);
    m->c.rflags |= FLAG_TF;
    x86_check_breakpoint_fetch(&m->c);
    assert_true(step(m, step_int, &int_0x30));
    x86_single_step(&m->c);
    assert_int_equal(m->c.pending_dbg, 0);
    machine_free(m);
}

static void delivery_wakes_and_ends_the_shadow(void **state)
{
    struct machine *m = machine_long(0, true);
    (void)state;
    idt_set64(m, X86_NMI, CODE0_64, AT_HANDLER, INT_GATE, 0);
    m->c.activity = X86_HALTED;
    m->c.int_shadow = 1;
    x86_deliver_event(&m->c, X86_NMI, X86_EVENT_NMI);
    assert_int_equal(m->c.activity, X86_RUNNING);
    assert_int_equal(m->c.int_shadow, 0);
    assert_false(m->c.slow);
    machine_free(m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(real_mode_pushes_flags_cs_ip_words),
        cmocka_unit_test(real_mode_stack_wraps_at_64k),
        cmocka_unit_test(real_mode_short_idt_shuts_down),
        cmocka_unit_test(fault_frame_has_rf_and_error_code),
        cmocka_unit_test(interrupt_frame_has_no_rf_of_its_own),
        cmocka_unit_test(trap_gate_keeps_if),
        cmocka_unit_test(sixteen_bit_gate_pushes_words),
        cmocka_unit_test(inner_ring_takes_stack_from_tss),
        cmocka_unit_test(conforming_handler_stays_in_ring3),
        cmocka_unit_test(handler_descriptors_become_accessed),
        cmocka_unit_test(int_n_needs_gate_dpl_and_interrupts_do_not),
        cmocka_unit_test(int3_and_into_need_gate_dpl_but_int1_does_not),
        cmocka_unit_test(error_codes_carry_ext_for_external_events),
        cmocka_unit_test(bad_tss_stacks_raise_ts),
        cmocka_unit_test(short_inner_stack_raises_ss_with_selector),
        cmocka_unit_test(expand_down_stack_ends_above_its_limit),
        cmocka_unit_test(vm86_frame_carries_data_segments),
        cmocka_unit_test(task_gate_pushes_error_code_in_new_task),
        cmocka_unit_test(long_mode_frame_is_five_quads_on_aligned_stack),
        cmocka_unit_test(long_mode_inner_ring_has_null_ss),
        cmocka_unit_test(ist_replaces_stack_at_any_level),
        cmocka_unit_test(long_mode_refuses_other_gates_and_segments),
        cmocka_unit_test(two_contributory_faults_make_a_double_fault),
        cmocka_unit_test(benign_then_contributory_is_served_in_turn),
        cmocka_unit_test(interrupt_then_contributory_is_served_in_turn),
        cmocka_unit_test(page_fault_during_contributory_is_served_in_turn),
        cmocka_unit_test(page_fault_during_page_fault_is_a_double_fault),
        cmocka_unit_test(fault_entering_double_fault_shuts_down),
        cmocka_unit_test(chain_of_absent_handlers_ends_in_shutdown),
        cmocka_unit_test(failed_entry_leaves_state_as_it_was),
        cmocka_unit_test(cr2_is_written_at_delivery),
        cmocka_unit_test(nmi_blocks_until_iret_even_a_faulting_one),
        cmocka_unit_test(int_2_does_not_block_nmis),
        cmocka_unit_test(debug_trap_merges_dr6_and_clears_gd),
        cmocka_unit_test(instruction_breakpoint_faults_once_with_rf),
        cmocka_unit_test(data_breakpoints_match_overlap_kind_and_length),
        cmocka_unit_test(io_breakpoints_need_cr4_de),
        cmocka_unit_test(software_interrupt_swallows_the_single_step),
        cmocka_unit_test(delivery_wakes_and_ends_the_shadow),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
