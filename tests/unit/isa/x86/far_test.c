/* SPDX-License-Identifier: MIT */
/*
 * Laws of far transfers, returns and tasks: CALL, JMP, RET, IRET, call gates, task switches, SYSCALL and SYSENTER.
 *
 * Spec: Intel SDM 2A CALL, IRET, JMP; 2B RET, SYSCALL, SYSEXIT, SYSRET; 3A 5.8, 7.3, 20.3
 */
#include "protection.h"

static struct x86_insn far_imm(unsigned size, uint16_t sel, uint64_t off)
{
    return (struct x86_insn){ .len = 7, .opsize = (uint8_t)size, .imm = off, .imm2 = sel };
}

static bool call_far(struct machine *m, unsigned size, uint16_t sel, uint64_t off)
{
    struct x86_insn i = far_imm(size, sel, off);
    return step(m, step_call_far, &i);
}

static bool jmp_far(struct machine *m, unsigned size, uint16_t sel, uint64_t off)
{
    struct x86_insn i = far_imm(size, sel, off);
    return step(m, step_jmp_far, &i);
}

static bool ret_far(struct machine *m, unsigned size, unsigned release)
{
    struct x86_insn i = { .len = 3, .opsize = (uint8_t)size, .imm = release, .nr_opnds = release != 0 };
    return step(m, step_ret_far, &i);
}

static bool iret(struct machine *m, unsigned size)
{
    struct x86_insn i = { .len = 1, .opsize = (uint8_t)size };
    return step(m, step_iret, &i);
}

static void push_values(struct machine *m, unsigned size, unsigned n, const uint64_t *v)
{
    while (n--) {
        m->c.gpr[RSP] -= size;
        put(m, m->c.gpr[RSP], *v++, size);
    }
}
#define PUSH(m, size, ...) push_values(m, size, sizeof((uint64_t[]){ __VA_ARGS__ }) / 8, (const uint64_t[]){ __VA_ARGS__ })

/* The machine a failed instruction must have left behind. */
static void expect_unchanged(struct machine *m, const struct x86_cpu *before)
{
    assert_memory_equal(m->c.gpr, before->gpr, sizeof(before->gpr));
    assert_memory_equal(m->c.seg, before->seg, sizeof(before->seg));
    assert_int_equal(m->c.rip, before->rip);
    assert_int_equal(m->c.rflags, before->rflags);
    assert_int_equal(m->c.cpl, before->cpl);
    assert_int_equal(m->c.mode, before->mode);
}

/* ---- CALL, JMP, RET far ---- */

static void real_mode_far_call_and_return(void **state)
{
    struct machine *m = machine_real();
    (void)state;
    assert_true(call_far(m, 2, 0x0700, 0x0123));
    assert_int_equal(m->c.seg[SEG_CS].base, 0x7000);
    assert_int_equal(m->c.rip, 0x0123);
    assert_int_equal(m->c.gpr[RSP], AT_STACK0 - 4);
    assert_int_equal(get(m, AT_STACK0 - 4, 2), AT_CODE + 7);
    assert_true(ret_far(m, 2, 6));
    assert_int_equal(m->c.seg[SEG_CS].base, 0);
    assert_int_equal(m->c.rip, AT_CODE + 7);
    assert_int_equal(m->c.gpr[RSP], AT_STACK0 + 6);
    assert_false(jmp_far(m, 4, 0x0700, 0x10000)); /* beyond the 64 KiB limit */
    expect_trap(m, X86_GP, 0);
    machine_free(m);
}

static void far_jump_enters_protected_and_64_bit_code(void **state)
{
    struct machine *m = machine_real();
    (void)state;
    m->c.cr0 |= CR0_PE;
    x86_mode_update(&m->c);
    assert_int_equal(m->c.cpl, 0);
    assert_int_equal(m->c.mode, X86_MODE_16);
    assert_true(jmp_far(m, 4, CODE0, AT_HANDLER));
    assert_int_equal(m->c.mode, X86_MODE_32);
    assert_int_equal(m->c.rip, AT_HANDLER);
    machine_free(m);
    m = machine_long(0, false);
    assert_int_equal(m->c.mode, X86_MODE_32);
    assert_true(jmp_far(m, 4, CODE0_64, AT_HANDLER));
    assert_int_equal(m->c.mode, X86_MODE_64);
    assert_int_equal(m->c.stack_size, 8);
    machine_free(m);
}

static void far_code_targets_are_checked(void **state)
{
    static const struct {
        uint16_t sel;
        unsigned vector;
        uint32_t error;
    } bad[] = {
        { 0, X86_GP, 0 },
        { 3, X86_GP, 0 },
        { 0xff8, X86_GP, 0xff8 },
        { DATA0, X86_GP, DATA0 },
        { CODE3, X86_GP, CODE3 & ~3 },
        { CODE0 | 1, X86_GP, CODE0 },
        { SPARE, X86_NP, SPARE },
        { SPARE2, X86_GP, SPARE2 },
        { CODE0 | 4, X86_GP, CODE0 | 4 },
    };
    struct machine *m = machine_protected(0);
    struct x86_cpu before = m->c;
    (void)state;
    gdt_set(m, SPARE, descriptor(0, 0xfffff, 0x1b, 0xc)); /* not present code */
    gdt_set(m, SPARE2, descriptor(0, 0x67, 0x82, 0));     /* an LDT */
    for (unsigned n = 0; n < sizeof(bad) / sizeof(bad[0]); n++) {
        assert_false(jmp_far(m, 4, bad[n].sel, AT_HANDLER));
        expect_trap(m, bad[n].vector, bad[n].error);
        assert_false(call_far(m, 4, bad[n].sel, AT_HANDLER));
        expect_trap(m, bad[n].vector, bad[n].error);
    }
    expect_unchanged(m, &before);
    machine_free(m);
}

static void far_call_to_bad_offset_pushes_nothing(void **state)
{
    struct machine *m = machine_protected(0);
    struct x86_cpu before = m->c;
    (void)state;
    put(m, AT_STACK0 - 8, 0x5555, 8);
    gdt_set(m, SPARE, descriptor(0, 0xfff, 0x9b, 4));
    assert_false(call_far(m, 4, SPARE, 0x1000));
    expect_trap(m, X86_GP, 0);
    expect_unchanged(m, &before);
    assert_int_equal(get(m, AT_STACK0 - 8, 8), 0x5555);
    machine_free(m);
}

static void far_memory_pointer_is_offset_then_selector(void **state)
{
    struct machine *m = machine_long(0, true);
    struct x86_insn i = { .len = 3, .opsize = 8, .addrsize = 8, .seg = SEG_DS, .base = RBX, .index = X86_NO_REG, .nr_opnds = 1 };
    (void)state;
    i.op[0] = (struct x86_opnd){ .kind = OPND_MEM, .size = 10, .access = OPND_R };
    m->c.gpr[RBX] = AT_DATA;
    put(m, AT_DATA, 0xffff800000001000, 8);
    put(m, AT_DATA + 8, CODE0_64, 2);
    assert_true(step(m, step_jmp_far_ind, &i));
    assert_int_equal(m->c.rip, 0xffff800000001000);
    put(m, AT_DATA, 0x0000800000000000, 8);
    assert_false(step(m, step_call_far_ind, &i));
    expect_trap(m, X86_GP, 0);
    put(m, AT_DATA, AT_HANDLER, 8);
    assert_true(step(m, step_call_far_ind, &i));
    assert_int_equal(get(m, AT_STACK0 - 8, 8), CODE0_64);
    assert_int_equal(get(m, AT_STACK0 - 16, 8), 0xffff800000001003);
    machine_free(m);
}

static void ret_far_releases_on_both_stacks(void **state)
{
    struct machine *m = machine_protected(0);
    (void)state;
    PUSH(m, 4, DATA3, AT_STACK3, 0x11, 0x22, CODE3, AT_HANDLER);
    assert_true(ret_far(m, 4, 8));
    assert_int_equal(m->c.cpl, 3);
    assert_int_equal(m->c.rip, AT_HANDLER);
    assert_int_equal(m->c.gpr[RSP], AT_STACK3 + 8);
    assert_int_equal(m->c.seg[SEG_SS].sel, DATA3);
    assert_int_equal(m->c.bank, X86_BANK_USER);
    machine_free(m);
}

static void returns_drop_inner_data_segments(void **state)
{
    struct machine *m = machine_protected(0);
    (void)state;
    load_seg_raw(m, SEG_ES, DATA3);
    load_seg_raw(m, SEG_FS, CONFORMING);
    PUSH(m, 4, DATA3, AT_STACK3, CODE3, AT_HANDLER);
    assert_true(ret_far(m, 4, 0));
    assert_int_equal(m->c.seg[SEG_DS].sel, 0);
    assert_true(m->c.seg[SEG_DS].attr & SEG_UNUSABLE);
    assert_int_equal(m->c.seg[SEG_ES].sel, DATA3);
    assert_int_equal(m->c.seg[SEG_FS].sel, CONFORMING);
    machine_free(m);
}

static void return_to_inner_level_is_refused(void **state)
{
    struct machine *m = machine_protected(3);
    (void)state;
    PUSH(m, 4, CODE0, AT_HANDLER);
    assert_false(ret_far(m, 4, 0));
    expect_trap(m, X86_GP, CODE0);
    machine_free(m);
}

/* ---- call gates ---- */

static void call_gate_copies_parameters_to_inner_stack(void **state)
{
    struct machine *m = machine_protected(3);
    (void)state;
    gdt_set(m, SPARE, gate(CODE0, AT_HANDLER, 0xec, 2)); /* DPL 3, two parameters */
    PUSH(m, 4, 0x1111, 0x2222);
    assert_true(call_far(m, 4, SPARE | 3, 0xdead));
    assert_int_equal(m->c.cpl, 0);
    assert_int_equal(m->c.seg[SEG_CS].sel, CODE0);
    assert_int_equal(m->c.rip, AT_HANDLER);
    assert_int_equal(m->c.gpr[RSP], AT_STACK0 - 24);
    assert_int_equal(get(m, AT_STACK0 - 4, 4), DATA3);
    assert_int_equal(get(m, AT_STACK0 - 8, 4), AT_STACK3 - 8);
    assert_int_equal(get(m, AT_STACK0 - 12, 4), 0x1111);
    assert_int_equal(get(m, AT_STACK0 - 16, 4), 0x2222);
    assert_int_equal(get(m, AT_STACK0 - 20, 4), CODE3);
    assert_int_equal(get(m, AT_STACK0 - 24, 4), AT_CODE + 7);
    assert_true(ret_far(m, 4, 8));
    assert_int_equal(m->c.cpl, 3);
    assert_int_equal(m->c.gpr[RSP], AT_STACK3);
    machine_free(m);
}

static void call_gate_checks_dpl_presence_and_kind_of_branch(void **state)
{
    struct machine *m = machine_protected(3);
    (void)state;
    gdt_set(m, SPARE, gate(CODE0, AT_HANDLER, 0x8c, 0)); /* DPL 0 */
    assert_false(call_far(m, 4, SPARE, 0));
    expect_trap(m, X86_GP, SPARE);
    gdt_set(m, SPARE, gate(CODE0, AT_HANDLER, 0x6c, 0)); /* DPL 3, absent */
    assert_false(call_far(m, 4, SPARE, 0));
    expect_trap(m, X86_NP, SPARE);
    gdt_set(m, SPARE, gate(CODE0, AT_HANDLER, 0xec, 0));
    assert_false(jmp_far(m, 4, SPARE, 0)); /* JMP may not raise the privilege */
    expect_trap(m, X86_GP, CODE0);
    gdt_set(m, SPARE, gate(0, AT_HANDLER, 0xec, 0));
    assert_false(call_far(m, 4, SPARE, 0));
    expect_trap(m, X86_GP, 0);
    put(m, AT_TSS + 8, 0, 2);
    gdt_set(m, SPARE, gate(CODE0, AT_HANDLER, 0xec, 0));
    assert_false(call_far(m, 4, SPARE, 0));
    expect_trap(m, X86_TS, 0);
    machine_free(m);
}

static void long_call_gate_has_64_bit_offset_and_null_ss(void **state)
{
    struct machine *m = machine_long(3, false);
    (void)state;
    put(m, AT_GDT + SPARE, gate(CODE0_64, 0x80001000, 0xec, 5), 8); /* the parameter count means nothing here */
    put(m, AT_GDT + SPARE + 8, 0xffffffff, 8);
    assert_true(call_far(m, 4, SPARE | 3, 0));
    assert_int_equal(m->c.rip, 0xffffffff80001000);
    assert_int_equal(m->c.mode, X86_MODE_64);
    assert_int_equal(m->c.cpl, 0);
    assert_int_equal(m->c.seg[SEG_SS].sel, 0);
    assert_int_equal(m->c.gpr[RSP], AT_STACK0 - 32);
    assert_int_equal(get(m, AT_STACK0 - 8, 8), DATA3);
    assert_int_equal(get(m, AT_STACK0 - 16, 8), AT_STACK3);
    assert_int_equal(get(m, AT_STACK0 - 24, 8), CODE3);
    assert_int_equal(get(m, AT_STACK0 - 32, 8), AT_CODE + 7);
    machine_free(m);
    m = machine_long(3, true);
    put(m, AT_GDT + SPARE, gate(CODE0_64, AT_HANDLER, 0xec, 0), 8);
    put(m, AT_GDT + SPARE + 8, 0x1f0000000000, 8); /* a type in the upper half */
    assert_false(call_far(m, 4, SPARE | 3, 0));
    expect_trap(m, X86_GP, SPARE);
    put(m, AT_GDT + SPARE, gate(CODE0, AT_HANDLER, 0xec, 0), 8); /* not 64-bit code */
    put(m, AT_GDT + SPARE + 8, 0, 8);
    assert_false(call_far(m, 4, SPARE | 3, 0));
    expect_trap(m, X86_GP, CODE0);
    put(m, AT_GDT + SPARE, gate(CODE0_64, AT_HANDLER, 0xe4, 0), 8); /* 16-bit gate */
    assert_false(call_far(m, 4, SPARE | 3, 0));
    expect_trap(m, X86_GP, SPARE);
    machine_free(m);
}

/* ---- IRET ---- */

static void iret_same_level_pops_three(void **state)
{
    struct machine *m = machine_protected(0);
    (void)state;
    PUSH(m, 4, FLAG_ONE | FLAG_IF | FLAG_RF | FLAG_IOPL | FLAG_ID | FLAG_CF, CODE0, AT_HANDLER);
    assert_true(iret(m, 4));
    assert_int_equal(m->c.rip, AT_HANDLER);
    assert_int_equal(m->c.gpr[RSP], AT_STACK0);
    assert_int_equal(m->c.rflags, FLAG_ONE | FLAG_IF | FLAG_RF | FLAG_IOPL | FLAG_ID | FLAG_CF);
    machine_free(m);
}

static void sixteen_bit_iret_keeps_upper_flags(void **state)
{
    struct machine *m = machine_protected(0);
    (void)state;
    m->c.rflags |= FLAG_AC | FLAG_ID;
    PUSH(m, 2, FLAG_ONE | FLAG_IF | FLAG_IOPL, CODE0, AT_HANDLER);
    assert_true(iret(m, 2));
    assert_int_equal(m->c.rflags, FLAG_ONE | FLAG_IF | FLAG_IOPL | FLAG_AC | FLAG_ID);
    assert_int_equal(m->c.gpr[RSP], AT_STACK0);
    machine_free(m);
}

static void iret_in_ring3_cannot_change_if_or_iopl(void **state)
{
    struct machine *m = machine_protected(3);
    (void)state;
    m->c.rflags |= FLAG_IF;
    PUSH(m, 4, FLAG_ONE | FLAG_IOPL | FLAG_ZF | FLAG_VM | FLAG_VIF, CODE3, AT_HANDLER);
    assert_true(iret(m, 4));
    assert_int_equal(m->c.rflags, FLAG_ONE | FLAG_IF | FLAG_ZF);
    m->c.rflags |= FLAG_IOPL;
    PUSH(m, 4, FLAG_ONE, CODE3, AT_HANDLER);
    assert_true(iret(m, 4));
    assert_int_equal(m->c.rflags, FLAG_ONE | FLAG_IOPL); /* IF, since CPL <= IOPL */
    machine_free(m);
}

static void iret_to_outer_level_pops_stack(void **state)
{
    struct machine *m = machine_protected(0);
    (void)state;
    PUSH(m, 4, DATA3, AT_STACK3, FLAG_ONE | FLAG_IF, CODE3, AT_HANDLER);
    assert_true(iret(m, 4));
    assert_int_equal(m->c.cpl, 3);
    assert_int_equal(m->c.gpr[RSP], AT_STACK3);
    assert_int_equal(m->c.seg[SEG_SS].sel, DATA3);
    assert_int_equal(m->c.rflags, FLAG_ONE | FLAG_IF);
    assert_int_equal(m->c.seg[SEG_DS].sel, 0);
    machine_free(m);
}

static void faulting_iret_leaves_everything(void **state)
{
    static const struct {
        uint64_t ss, cs;
        unsigned vector;
        uint32_t error;
    } bad[] = {
        { DATA3, 0, X86_GP, 0 },
        { DATA3, DATA3, X86_GP, DATA3 & ~3 },
        { DATA3, CODE0 | 3, X86_GP, CODE0 },
        { 0, CODE3, X86_GP, 0 },
        { DATA0, CODE3, X86_GP, DATA0 },
        { DATA0 | 3, CODE3, X86_GP, DATA0 },
        { CODE3, CODE3, X86_GP, CODE3 & ~3 },
        { SPARE | 3, CODE3, X86_SS, SPARE },
        { 0xffb, CODE3, X86_GP, 0xff8 },
        { DATA3, SPARE2 | 3, X86_NP, SPARE2 },
    };
    (void)state;
    for (unsigned n = 0; n < sizeof(bad) / sizeof(bad[0]); n++) {
        struct machine *m = machine_protected(0);
        gdt_set(m, SPARE, descriptor(0, 0xfffff, 0x73, 0xc));  /* absent data, DPL 3 */
        gdt_set(m, SPARE2, descriptor(0, 0xfffff, 0x7b, 0xc)); /* absent code, DPL 3 */
        PUSH(m, 4, bad[n].ss, AT_STACK3, FLAG_ONE | FLAG_TF, bad[n].cs, AT_HANDLER);
        struct x86_cpu before = m->c;
        assert_false(iret(m, 4));
        expect_trap(m, bad[n].vector, bad[n].error);
        expect_unchanged(m, &before);
        machine_free(m);
    }
}

static void iret_to_vm86_loads_all_segments(void **state)
{
    struct machine *m = machine_protected(0);
    (void)state;
    PUSH(m, 4, 0x105, 0x104, 0x103, 0x100, 0x102, 0x2000, FLAG_ONE | FLAG_VM | FLAG_IF, 0x101, 0x44);
    assert_true(iret(m, 4));
    assert_int_equal(m->c.cpl, 3);
    assert_int_equal(m->c.mode, X86_MODE_16);
    assert_int_equal(m->c.stack_size, 2);
    assert_int_equal(m->c.rip, 0x44);
    assert_int_equal(m->c.gpr[RSP], 0x2000);
    for (unsigned n = 0; n < 6; n++) {
        assert_int_equal(m->c.seg[n].sel, 0x100 + n);
        assert_int_equal(m->c.seg[n].base, (0x100 + n) << 4);
        assert_int_equal(m->c.seg[n].limit, 0xffff);
    }
    assert_int_equal(m->c.rflags, FLAG_ONE | FLAG_VM | FLAG_IF);
    machine_free(m);
}

static void vm86_iret_needs_iopl_and_keeps_it(void **state)
{
    struct machine *m = machine_protected(3);
    (void)state;
    m->c.rflags |= FLAG_VM;
    for (unsigned n = 0; n < 6; n++)
        x86_load_seg_real(&m->c, n, 0);
    PUSH(m, 2, FLAG_ONE | FLAG_IF, 0x0200, 0x0030);
    assert_false(iret(m, 2));
    expect_trap(m, X86_GP, 0);
    m->c.rflags |= FLAG_IOPL;
    assert_true(iret(m, 2));
    assert_int_equal(m->c.rflags, FLAG_ONE | FLAG_VM | FLAG_IOPL | FLAG_IF);
    assert_int_equal(m->c.seg[SEG_CS].base, 0x2000);
    assert_int_equal(m->c.rip, 0x30);
    machine_free(m);
}

static void long_iret_pops_five_at_the_same_level(void **state)
{
    struct machine *m = machine_long(0, true);
    (void)state;
    PUSH(m, 8, 0, AT_IST1, FLAG_ONE | FLAG_IF, CODE0_64, 0xffff900000000000);
    assert_true(iret(m, 8));
    assert_int_equal(m->c.rip, 0xffff900000000000);
    assert_int_equal(m->c.gpr[RSP], AT_IST1);
    assert_int_equal(m->c.seg[SEG_SS].sel, 0); /* null SS is fine below ring 3 */
    assert_int_equal(m->c.cpl, 0);
    machine_free(m);
}

static void long_iret_to_user_64_and_compatibility(void **state)
{
    for (unsigned wide = 0; wide < 2; wide++) {
        struct machine *m = machine_long(0, true);
        (void)state;
        m->c.seg[SEG_GS] = x86_seg_null(0, 0);
        m->c.seg[SEG_GS].base = 0x123456789000;
        PUSH(m, 8, DATA3, AT_STACK3, FLAG_ONE | FLAG_IF, wide ? CODE3_64 : CODE3, AT_HANDLER);
        assert_true(iret(m, 8));
        assert_int_equal(m->c.cpl, 3);
        assert_int_equal(m->c.mode, wide ? X86_MODE_64 : X86_MODE_32);
        assert_int_equal(m->c.stack_size, wide ? 8 : 4);
        assert_int_equal(m->c.gpr[RSP], AT_STACK3);
        assert_int_equal(m->c.seg[SEG_GS].base, 0x123456789000); /* a null GS keeps the base that an MSR gave it */
        assert_int_equal(m->c.bank, X86_BANK_USER);
        machine_free(m);
    }
}

static void long_iret_refuses_null_ss_for_ring3_and_bad_rip(void **state)
{
    static const uint64_t bad[][3] = { { 3, CODE3_64, AT_HANDLER },
                                       { DATA3, CODE3_64, 0x800000000000 },
                                       { DATA3, CODE3, 0x100000000 },
                                       { 3, CODE0_64, AT_HANDLER } };
    (void)state;
    for (unsigned n = 0; n < sizeof(bad) / sizeof(bad[0]); n++) {
        struct machine *m = machine_long(0, true);
        PUSH(m, 8, bad[n][0], AT_STACK3, FLAG_ONE, bad[n][1], bad[n][2]);
        struct x86_cpu before = m->c;
        assert_false(iret(m, 8));
        expect_trap(m, X86_GP, 0);
        expect_unchanged(m, &before);
        machine_free(m);
    }
}

static void long_iret_with_nt_faults(void **state)
{
    struct machine *m = machine_long(0, true);
    (void)state;
    m->c.rflags |= FLAG_NT;
    PUSH(m, 8, 0, AT_IST1, FLAG_ONE, CODE0_64, AT_HANDLER);
    assert_false(iret(m, 8));
    expect_trap(m, X86_GP, 0);
    machine_free(m);
}

/* ---- tasks ---- */

static void make_task(struct machine *m)
{
    gdt_set(m, TSS2, descriptor(AT_TSS2, 0x67, 0x89, 0));
    put(m, AT_TSS2 + 0x20, AT_HANDLER, 4);
    put(m, AT_TSS2 + 0x24, FLAG_ONE | FLAG_IF, 4);
    for (unsigned n = 0; n < 8; n++)
        put(m, AT_TSS2 + 0x28 + 4 * n, 0x100 + n, 4);
    put(m, AT_TSS2 + 0x38, AT_STACK_OTHER, 4);
    put(m, AT_TSS2 + 0x48, DATA0, 2);
    put(m, AT_TSS2 + 0x4c, CODE0, 2);
    put(m, AT_TSS2 + 0x50, DATA0, 2);
}

static unsigned tss_type(struct machine *m, uint16_t sel)
{
    return (unsigned)(gdt_get(m, sel) >> 40) & 0xf;
}

static void task_call_links_and_iret_returns(void **state)
{
    struct machine *m = machine_protected(0);
    (void)state;
    make_task(m);
    m->c.gpr[RBX] = 0xbbbb;
    m->c.rflags |= FLAG_ZF;
    m->c.dr7 = 0x400 | 3 | 1 << 8;
    assert_true(call_far(m, 4, TSS2, 0));
    assert_int_equal(m->c.rip, AT_HANDLER);
    assert_int_equal(m->c.gpr[RCX], 0x101);
    assert_int_equal(m->c.gpr[RSP], AT_STACK_OTHER);
    assert_int_equal(m->c.rflags, FLAG_ONE | FLAG_IF | FLAG_NT);
    assert_int_equal(m->c.seg[SEG_TR].sel, TSS2);
    assert_int_equal(m->c.seg[SEG_TR].base, AT_TSS2);
    assert_int_equal(m->c.seg[SEG_DS].sel, 0);
    assert_true(m->c.cr0 & CR0_TS);
    assert_int_equal(m->c.dr7, 0x402); /* local enables go, global ones stay */
    assert_int_equal(tss_type(m, TSS), SYS_TSS_BUSY);
    assert_int_equal(tss_type(m, TSS2), SYS_TSS_BUSY);
    assert_int_equal(get(m, AT_TSS2, 2), TSS);
    assert_int_equal(get(m, AT_TSS + 0x20, 4), AT_CODE + 7);
    assert_int_equal(get(m, AT_TSS + 0x24, 4), FLAG_ONE | FLAG_ZF);
    assert_int_equal(get(m, AT_TSS + 0x34, 4), 0xbbbb);
    assert_true(iret(m, 4));
    assert_int_equal(m->c.rip, AT_CODE + 7);
    assert_int_equal(m->c.gpr[RBX], 0xbbbb);
    assert_int_equal(m->c.rflags, FLAG_ONE | FLAG_ZF);
    assert_int_equal(m->c.seg[SEG_TR].sel, TSS);
    assert_int_equal(tss_type(m, TSS), SYS_TSS_BUSY);
    assert_int_equal(tss_type(m, TSS2), SYS_TSS);
    assert_int_equal(get(m, AT_TSS2 + 0x24, 4), FLAG_ONE | FLAG_IF); /* NT cleared in the task left */
    machine_free(m);
}

static void task_jump_moves_busy_without_link(void **state)
{
    struct machine *m = machine_protected(0);
    (void)state;
    make_task(m);
    put(m, AT_TSS2, 0xaaaa, 2);
    assert_true(jmp_far(m, 4, TSS2, 0));
    assert_int_equal(tss_type(m, TSS), SYS_TSS);
    assert_int_equal(tss_type(m, TSS2), SYS_TSS_BUSY);
    assert_int_equal(get(m, AT_TSS2, 2), 0xaaaa);
    assert_int_equal(m->c.rflags, FLAG_ONE | FLAG_IF);
    machine_free(m);
}

static void task_switch_faults_before_and_after(void **state)
{
    struct machine *m = machine_protected(0);
    struct x86_cpu before = m->c;
    (void)state;
    make_task(m);
    assert_false(jmp_far(m, 4, TSS, 0)); /* busy */
    expect_trap(m, X86_GP, TSS);
    gdt_set(m, TSS2, descriptor(AT_TSS2, 0x66, 0x89, 0));
    assert_false(jmp_far(m, 4, TSS2, 0)); /* too short */
    expect_trap(m, X86_TS, TSS2);
    gdt_set(m, TSS2, descriptor(AT_TSS2, 0x67, 0x09, 0));
    assert_false(jmp_far(m, 4, TSS2, 0));
    expect_trap(m, X86_NP, TSS2);
    expect_unchanged(m, &before);
    assert_int_equal(tss_type(m, TSS), SYS_TSS_BUSY);
    gdt_set(m, TSS2, descriptor(AT_TSS2, 0x67, 0x89, 0));
    put(m, AT_TSS2 + 0x50, DATA3, 2); /* SS of another ring: a fault of the new task */
    assert_false(jmp_far(m, 4, TSS2, 0));
    expect_trap(m, X86_TS, DATA3 & ~3);
    assert_int_equal(m->c.seg[SEG_TR].sel, TSS2);
    assert_int_equal(m->c.rip, AT_HANDLER);
    assert_int_equal(tss_type(m, TSS), SYS_TSS);
    machine_free(m);
}

static void sixteen_bit_task_saves_words(void **state)
{
    struct machine *m = machine_protected(0);
    (void)state;
    gdt_set(m, TSS2, descriptor(AT_TSS2, 0x2b, 0x81, 0));
    put(m, AT_TSS2 + 0x0e, AT_HANDLER, 2);
    put(m, AT_TSS2 + 0x10, FLAG_ONE, 2);
    put(m, AT_TSS2 + 0x12 + 2 * RSP, AT_STACK_OTHER, 2);
    put(m, AT_TSS2 + 0x24, CODE0_16, 2);
    put(m, AT_TSS2 + 0x26, DATA0_16, 2);
    assert_true(call_far(m, 4, TSS2, 0));
    assert_int_equal(m->c.mode, X86_MODE_16);
    assert_int_equal(m->c.gpr[RSP], AT_STACK_OTHER);
    m->c.gpr[RDX] = 0x12345678;
    put(m, AT_TSS2 + 0x2a, 0, 2);
    assert_true(iret(m, 2));
    assert_int_equal(get(m, AT_TSS2 + 0x12 + 2 * RDX, 4) & 0xffff, 0x5678);
    assert_int_equal(get(m, AT_TSS2 + 0x24, 2), CODE0_16);
    assert_int_equal(m->c.mode, X86_MODE_32);
    machine_free(m);
}

static void debug_trap_flag_of_tss_makes_bt_pending(void **state)
{
    struct machine *m = machine_protected(0);
    (void)state;
    make_task(m);
    put(m, AT_TSS2 + 0x64, 1, 2);
    assert_true(jmp_far(m, 4, TSS2, 0));
    assert_int_equal(m->c.pending_dbg, 1 << 15);
    assert_true(m->c.slow);
    machine_free(m);
}

/* ---- SYSCALL, SYSENTER ---- */

static const struct x86_insn syscall_insn = { .len = 2, .opsize = 8 };

static void syscall_and_sysret_round_trip(void **state)
{
    static const struct x86_insn sysretq = { .len = 3, .opsize = 8 };
    struct machine *m = machine_long(3, true);
    (void)state;
    m->c.star = (uint64_t)CODE0_64 << 32 | (uint64_t)(0x18 | 3) << 48;
    m->c.lstar = 0xffffffff81000000;
    m->c.fmask = FLAG_IF | FLAG_TF | FLAG_AC;
    m->c.rflags |= FLAG_IF | FLAG_CF | FLAG_AC;
    assert_true(step(m, step_syscall, &syscall_insn));
    assert_int_equal(m->c.rip, 0xffffffff81000000);
    assert_int_equal(m->c.cpl, 0);
    assert_int_equal(m->c.gpr[RCX], AT_CODE + 2);
    assert_int_equal(m->c.gpr[R11], FLAG_ONE | FLAG_IF | FLAG_CF | FLAG_AC);
    assert_int_equal(m->c.rflags, FLAG_ONE | FLAG_CF);
    assert_int_equal(m->c.seg[SEG_CS].sel, CODE0_64);
    assert_int_equal(m->c.seg[SEG_SS].sel, CODE0_64 + 8);
    assert_int_equal(m->c.gpr[RSP], AT_STACK3); /* the stack is the kernel's business */
    m->c.gpr[R11] |= FLAG_RF | FLAG_VM;
    assert_true(step(m, step_sysret, &sysretq));
    assert_int_equal(m->c.rip, AT_CODE + 2);
    assert_int_equal(m->c.cpl, 3);
    assert_int_equal(m->c.mode, X86_MODE_64);
    assert_int_equal(m->c.seg[SEG_CS].sel, 0x2b);
    assert_int_equal(m->c.seg[SEG_SS].sel, 0x23);
    assert_int_equal(m->c.rflags, FLAG_ONE | FLAG_IF | FLAG_CF | FLAG_AC);
    machine_free(m);
}

static void sysret_32_goes_to_compatibility_mode(void **state)
{
    static const struct x86_insn sysretl = { .len = 2, .opsize = 4 };
    struct machine *m = machine_long(0, true);
    (void)state;
    m->c.star = (uint64_t)(0x18 | 3) << 48;
    m->c.gpr[RCX] = 0xffffffff00005000;
    m->c.gpr[R11] = FLAG_ONE;
    assert_true(step(m, step_sysret, &sysretl));
    assert_int_equal(m->c.mode, X86_MODE_32);
    assert_int_equal(m->c.rip, 0x5000);
    assert_int_equal(m->c.seg[SEG_CS].sel, 0x1b);
    machine_free(m);
}

static void sysret_and_syscall_refusals(void **state)
{
    static const struct x86_insn sysretq = { .len = 3, .opsize = 8 };
    struct machine *m = machine_long(0, true);
    (void)state;
    m->c.gpr[RCX] = 0x800000000000;
    assert_false(step(m, step_sysret, &sysretq));
    expect_trap(m, X86_GP, 0);
    assert_int_equal(m->c.cpl, 0);
    m->c.efer &= ~(uint64_t)EFER_SCE;
    assert_false(step(m, step_sysret, &sysretq));
    assert_int_equal(m->c.trap.vector, X86_UD);
    assert_false(step(m, step_syscall, &syscall_insn));
    assert_int_equal(m->c.trap.vector, X86_UD);
    machine_free(m);
    m = machine_long(3, true);
    assert_false(step(m, step_sysret, &sysretq));
    expect_trap(m, X86_GP, 0);
    machine_free(m);
    m = machine_long(3, false); /* compatibility mode, no CSTAR */
    assert_false(step(m, step_syscall, &syscall_insn));
    assert_int_equal(m->c.trap.vector, X86_UD);
    machine_free(m);
}

static void sysret_with_tf_traps_at_once_and_masked_syscall_does_not(void **state)
{
    static const struct x86_insn sysretq = { .len = 3, .opsize = 8 };
    struct machine *m = machine_long(0, true);
    (void)state;
    m->c.star = (uint64_t)(0x18 | 3) << 48;
    m->c.gpr[RCX] = AT_CODE;
    m->c.gpr[R11] = FLAG_ONE | FLAG_TF;
    assert_true(step(m, step_sysret, &sysretq));
    assert_int_equal(m->c.pending_dbg, 1 << 14);
    m->c.pending_dbg = 0;
    m->c.fmask = FLAG_TF;
    m->c.lstar = AT_HANDLER;
    x86_check_breakpoint_fetch(&m->c);
    assert_true(step(m, step_syscall, &syscall_insn));
    x86_single_step(&m->c);
    assert_int_equal(m->c.pending_dbg, 0);
    machine_free(m);
}

static void sysenter_and_sysexit_use_fixed_segments(void **state)
{
    static const struct x86_insn sysexit32 = { .len = 2, .opsize = 4 }, sysexit64 = { .len = 3, .opsize = 8 };
    struct machine *m = machine_long(3, false);
    (void)state;
    assert_false(step(m, step_sysenter, &sysexit32)); /* no SYSENTER_CS */
    expect_trap(m, X86_GP, 0);
    m->c.sysenter_cs = 0x13;
    m->c.sysenter_esp = 0xffff888000000000;
    m->c.sysenter_eip = 0xffffffff82000000;
    m->c.rflags |= FLAG_IF;
    assert_true(step(m, step_sysenter, &sysexit32));
    assert_int_equal(m->c.mode, X86_MODE_64);
    assert_int_equal(m->c.cpl, 0);
    assert_int_equal(m->c.rip, 0xffffffff82000000);
    assert_int_equal(m->c.gpr[RSP], 0xffff888000000000);
    assert_int_equal(m->c.rflags, FLAG_ONE);
    assert_int_equal(m->c.seg[SEG_CS].sel, 0x10);
    assert_int_equal(m->c.seg[SEG_SS].sel, 0x18);
    m->c.gpr[RDX] = 0xffffffff00005000;
    m->c.gpr[RCX] = AT_STACK3;
    assert_true(step(m, step_sysexit, &sysexit64));
    assert_int_equal(m->c.mode, X86_MODE_64);
    assert_int_equal(m->c.cpl, 3);
    assert_int_equal(m->c.seg[SEG_CS].sel, 0x10 + 32 + 3);
    assert_false(step(m, step_sysexit, &sysexit64)); /* ring 3 now */
    expect_trap(m, X86_GP, 0);
    assert_true(step(m, step_sysenter, &sysexit32));
    assert_true(step(m, step_sysexit, &sysexit32));
    assert_int_equal(m->c.mode, X86_MODE_32);
    assert_int_equal(m->c.rip, 0x5000);
    assert_int_equal(m->c.seg[SEG_CS].sel, 0x10 + 16 + 3);
    assert_int_equal(m->c.seg[SEG_SS].sel, 0x10 + 24 + 3);
    machine_free(m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(real_mode_far_call_and_return),
        cmocka_unit_test(far_jump_enters_protected_and_64_bit_code),
        cmocka_unit_test(far_code_targets_are_checked),
        cmocka_unit_test(far_call_to_bad_offset_pushes_nothing),
        cmocka_unit_test(far_memory_pointer_is_offset_then_selector),
        cmocka_unit_test(ret_far_releases_on_both_stacks),
        cmocka_unit_test(returns_drop_inner_data_segments),
        cmocka_unit_test(return_to_inner_level_is_refused),
        cmocka_unit_test(call_gate_copies_parameters_to_inner_stack),
        cmocka_unit_test(call_gate_checks_dpl_presence_and_kind_of_branch),
        cmocka_unit_test(long_call_gate_has_64_bit_offset_and_null_ss),
        cmocka_unit_test(iret_same_level_pops_three),
        cmocka_unit_test(sixteen_bit_iret_keeps_upper_flags),
        cmocka_unit_test(iret_in_ring3_cannot_change_if_or_iopl),
        cmocka_unit_test(iret_to_outer_level_pops_stack),
        cmocka_unit_test(faulting_iret_leaves_everything),
        cmocka_unit_test(iret_to_vm86_loads_all_segments),
        cmocka_unit_test(vm86_iret_needs_iopl_and_keeps_it),
        cmocka_unit_test(long_iret_pops_five_at_the_same_level),
        cmocka_unit_test(long_iret_to_user_64_and_compatibility),
        cmocka_unit_test(long_iret_refuses_null_ss_for_ring3_and_bad_rip),
        cmocka_unit_test(long_iret_with_nt_faults),
        cmocka_unit_test(task_call_links_and_iret_returns),
        cmocka_unit_test(task_jump_moves_busy_without_link),
        cmocka_unit_test(task_switch_faults_before_and_after),
        cmocka_unit_test(sixteen_bit_task_saves_words),
        cmocka_unit_test(debug_trap_flag_of_tss_makes_bt_pending),
        cmocka_unit_test(syscall_and_sysret_round_trip),
        cmocka_unit_test(sysret_32_goes_to_compatibility_mode),
        cmocka_unit_test(sysret_and_syscall_refusals),
        cmocka_unit_test(sysret_with_tf_traps_at_once_and_masked_syscall_does_not),
        cmocka_unit_test(sysenter_and_sysexit_use_fixed_segments),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
