/* SPDX-License-Identifier: MIT */
/*
 * Laws of segment loads, the descriptor-table and checking instructions, RFLAGS rights, and the derived mode.
 *
 * Spec: Intel SDM 3A 3.4 to 3.5, 5.4 to 5.10; 2A and 2B, the instructions' pages
 */
#include "protection.h"

static struct x86_insn mem_operand(unsigned n, unsigned size, unsigned opsize)
{
    struct x86_insn i = { .len = 3,
                          .opsize = (uint8_t)opsize,
                          .addrsize = 4,
                          .seg = SEG_DS,
                          .base = X86_NO_REG,
                          .index = X86_NO_REG,
                          .disp = AT_DATA,
                          .nr_opnds = 2 };
    i.op[n] = (struct x86_opnd){ .kind = OPND_MEM, .size = (uint8_t)size };
    i.op[!n] = (struct x86_opnd){ .kind = OPND_REG, .reg = RAX, .size = (uint8_t)opsize };
    return i;
}

static struct x86_insn reg_operands(unsigned dst, unsigned src, unsigned opsize)
{
    struct x86_insn i = { .len = 3, .opsize = (uint8_t)opsize, .addrsize = 4, .nr_opnds = 2 };
    i.op[0] = (struct x86_opnd){ .kind = OPND_REG, .reg = (uint8_t)dst, .size = (uint8_t)opsize };
    i.op[1] = (struct x86_opnd){ .kind = OPND_REG, .reg = (uint8_t)src, .size = (uint8_t)opsize };
    return i;
}

static bool load(struct machine *m, enum x86_seg_reg reg, uint16_t sel)
{
    struct x86_insn i = reg_operands(reg, RAX, 2);
    i.op[0].kind = OPND_SEG;
    m->c.gpr[RAX] = sel;
    return step(m, step_mov_to_sreg, &i);
}

/* ---- segment loads ---- */

static void data_loads_follow_the_rules(void **state)
{
    static const struct {
        uint16_t sel;
        unsigned vector;
        uint32_t error;
    } bad[] = {
        { 0xff8, X86_GP, 0xff8 },
        { TSS, X86_GP, TSS },
        { SPARE, X86_GP, SPARE },
        { DATA0 | 3, X86_GP, DATA0 },
        { NOT_PRESENT, X86_NP, NOT_PRESENT },
        { 0x0c, X86_GP, 0x0c },
    };
    struct machine *m = machine_protected(0);
    (void)state;
    gdt_set(m, SPARE, descriptor(0, 0xfffff, 0x99, 0xc)); /* code that cannot be read */
    for (unsigned n = 0; n < sizeof(bad) / sizeof(bad[0]); n++) {
        assert_false(load(m, SEG_ES, bad[n].sel));
        expect_trap(m, bad[n].vector, bad[n].error);
        assert_int_equal(m->c.seg[SEG_ES].sel, DATA0);
    }
    assert_true(load(m, SEG_ES, CODE0));
    assert_true(load(m, SEG_FS, DATA3));
    assert_true(load(m, SEG_GS, 3)); /* null, any RPL */
    assert_true(m->c.seg[SEG_GS].attr & SEG_UNUSABLE);
    gdt_set(m, SPARE, descriptor(0x12345678, 0x23, 0x92, 4));
    assert_true(load(m, SEG_DS, SPARE));
    assert_int_equal(m->c.seg[SEG_DS].base, 0x12345678);
    assert_int_equal(m->c.seg[SEG_DS].limit, 0x23);
    assert_int_equal(gdt_get(m, SPARE), descriptor(0x12345678, 0x23, 0x93, 4)); /* accessed now */
    assert_false(m->c.flat);
    machine_free(m);
}

static void ring3_may_load_conforming_code_but_not_inner_data(void **state)
{
    struct machine *m = machine_protected(3);
    (void)state;
    assert_false(load(m, SEG_ES, DATA0));
    expect_trap(m, X86_GP, DATA0);
    assert_true(load(m, SEG_ES, CONFORMING));
    machine_free(m);
}

static void ss_loads_follow_the_rules(void **state)
{
    static const struct {
        uint16_t sel;
        unsigned vector;
        uint32_t error;
    } bad[] = {
        { 0, X86_GP, 0 },
        { CODE0, X86_GP, CODE0 },
        { DATA3, X86_GP, DATA3 & ~3 },
        { DATA0 | 1, X86_GP, DATA0 },
        { NOT_PRESENT, X86_SS, NOT_PRESENT },
        { SPARE, X86_GP, SPARE },
    };
    struct machine *m = machine_protected(0);
    (void)state;
    gdt_set(m, SPARE, descriptor(0, 0xfffff, 0x91, 0xc)); /* read-only data */
    for (unsigned n = 0; n < sizeof(bad) / sizeof(bad[0]); n++) {
        assert_false(load(m, SEG_SS, bad[n].sel));
        expect_trap(m, bad[n].vector, bad[n].error);
        assert_int_equal(m->c.int_shadow, 0);
    }
    assert_true(load(m, SEG_SS, DATA0_16));
    assert_int_equal(m->c.stack_size, 2);
    assert_int_equal(m->c.int_shadow, 2);
    assert_true(m->c.slow);
    assert_false(load(m, SEG_CS, CODE0));
    assert_int_equal(m->c.trap.vector, X86_UD);
    machine_free(m);
}

static void null_ss_in_64_bit_mode_only_below_ring3(void **state)
{
    struct machine *m = machine_long(0, true);
    (void)state;
    assert_true(load(m, SEG_SS, 0));
    assert_int_equal(m->c.cpl, 0);
    assert_int_equal(m->c.stack_size, 8);
    assert_false(load(m, SEG_SS, 1));
    expect_trap(m, X86_GP, 0);
    machine_free(m);
    m = machine_long(3, true);
    assert_false(load(m, SEG_SS, 3));
    expect_trap(m, X86_GP, 0);
    machine_free(m);
}

static void ldt_selectors_use_the_ldt(void **state)
{
    static const uint16_t in_ldt = 0x08 | 4;
    struct machine *m = machine_protected(0);
    struct x86_insn lldt = reg_operands(RAX, RAX, 2);
    (void)state;
    assert_false(load(m, SEG_ES, in_ldt)); /* no LDT yet */
    expect_trap(m, X86_GP, in_ldt);
    gdt_set(m, LDT, descriptor(AT_LDT, 15, 0x82, 0));
    put(m, AT_LDT + 8, descriptor(0x5000, 0xfff, 0x93, 4), 8);
    m->c.gpr[RAX] = LDT;
    assert_true(step(m, step_lldt, &lldt));
    assert_true(load(m, SEG_ES, in_ldt));
    assert_int_equal(m->c.seg[SEG_ES].base, 0x5000);
    assert_false(load(m, SEG_ES, 0x10 | 4)); /* beyond its limit */
    m->c.gpr[RAX] = DATA0;
    assert_false(step(m, step_lldt, &lldt));
    expect_trap(m, X86_GP, DATA0);
    m->c.gpr[RAX] = 0;
    assert_true(step(m, step_lldt, &lldt));
    assert_false(load(m, SEG_ES, in_ldt));
    machine_free(m);
}

static void real_mode_loads_keep_limit(void **state)
{
    struct machine *m = machine_real();
    (void)state;
    m->c.seg[SEG_DS].limit = 0xffffffff; /* unreal mode */
    assert_true(load(m, SEG_DS, 0x1234));
    assert_int_equal(m->c.seg[SEG_DS].base, 0x12340);
    assert_int_equal(m->c.seg[SEG_DS].limit, 0xffffffff);
    machine_free(m);
}

static void pop_ss_moves_the_pointer_by_the_old_width(void **state)
{
    struct machine *m = machine_protected(0);
    struct x86_insn i = { .len = 1, .opsize = 4, .nr_opnds = 1, .op = { { .kind = OPND_SEG, .reg = SEG_SS } } };
    (void)state;
    m->c.gpr[RSP] = 0xfffc;
    put(m, 0xfffc, DATA0_16, 4);
    assert_true(step(m, step_pop_sreg, &i));
    assert_int_equal(m->c.gpr[RSP], 0x10000);
    assert_int_equal(m->c.int_shadow, 2);
    put(m, 0, NOT_PRESENT, 4);
    assert_false(step(m, step_pop_sreg, &i)); /* SP wraps to 0; the load faults */
    assert_int_equal(m->c.gpr[RSP], 0x10000);
    machine_free(m);
}

static void far_pointer_loads_set_both_or_neither(void **state)
{
    struct machine *m = machine_protected(0);
    struct x86_insn lss = mem_operand(1, 6, 4);
    (void)state;
    lss.layout.opcode = 1;
    lss.bytes[0] = 0x0f;
    lss.bytes[1] = 0xb2;
    lss.op[0].reg = RSP;
    put(m, AT_DATA, 0xb000, 4);
    put(m, AT_DATA + 4, DATA3, 2);
    assert_false(step(m, step_load_far, &lss));
    expect_trap(m, X86_GP, DATA3 & ~3);
    assert_int_equal(m->c.gpr[RSP], AT_STACK0);
    put(m, AT_DATA + 4, DATA0_16, 2);
    assert_true(step(m, step_load_far, &lss));
    assert_int_equal(m->c.gpr[RSP], 0xb000);
    assert_int_equal(m->c.seg[SEG_SS].sel, DATA0_16);
    assert_int_equal(m->c.int_shadow, 0);
    machine_free(m);
}

static void sreg_stores_zero_extend_in_registers_only(void **state)
{
    struct machine *m = machine_protected(0);
    struct x86_insn to_reg = reg_operands(RBX, SEG_DS, 4), to_mem = mem_operand(0, 2, 4);
    (void)state;
    to_mem.op[1] = (struct x86_opnd){ .kind = OPND_SEG, .reg = SEG_DS };
    m->c.gpr[RBX] = 0xffffffff;
    put(m, AT_DATA, 0xffffffff, 4);
    assert_true(step(m, step_mov_from_sreg, &to_reg));
    assert_true(step(m, step_mov_from_sreg, &to_mem));
    assert_int_equal(m->c.gpr[RBX], DATA0);
    assert_int_equal(get(m, AT_DATA, 4), 0xffff0000 | DATA0);
    to_reg.opsize = 2;
    m->c.gpr[RBX] = 0xffffffff;
    assert_true(step(m, step_mov_from_sreg, &to_reg));
    assert_int_equal(m->c.gpr[RBX], 0xffff0000 | DATA0);
    machine_free(m);
}

/* ---- LAR, LSL, VERR, VERW, ARPL ---- */

static bool zf(const struct machine *m)
{
    return m->c.rflags & FLAG_ZF;
}

static bool probe(struct machine *m, x86_step_fn fn, uint16_t sel)
{
    struct x86_insn i = reg_operands(RBX, RAX, 4);
    m->c.gpr[RAX] = sel;
    m->c.gpr[RBX] = sel; /* VERR and VERW take operand 0 */
    assert_true(step(m, fn, &i));
    return zf(m);
}

static void lar_and_lsl_report_what_is_visible(void **state)
{
    struct machine *m = machine_protected(3);
    (void)state;
    assert_true(probe(m, step_lar, DATA3));
    assert_int_equal(m->c.gpr[RBX], 0x00c0f300);
    assert_true(probe(m, step_lsl, DATA3));
    assert_int_equal(m->c.gpr[RBX], 0xffffffff);
    assert_false(probe(m, step_lar, DATA0)); /* inner: not visible */
    assert_int_equal(m->c.gpr[RBX], DATA0);
    assert_true(probe(m, step_lar, CONFORMING)); /* conforming: always */
    assert_false(probe(m, step_lar, 0));
    assert_false(probe(m, step_lar, 0xff8));
    set_ring(m, 0, CODE0, DATA0);
    assert_true(probe(m, step_lar, DATA0));
    assert_false(probe(m, step_lar, DATA0 | 3)); /* the RPL counts too */
    set_ring(m, 3, CODE3, DATA3);
    gdt_set(m, SPARE, gate(CODE0, 0, 0xec, 0));
    assert_true(probe(m, step_lar, SPARE));
    assert_int_equal(m->c.gpr[RBX], 0x0000ec00);
    assert_false(probe(m, step_lsl, SPARE)); /* gates have no limit */
    gdt_set(m, SPARE, gate(CODE0, 0, 0xee, 0));
    assert_false(probe(m, step_lar, SPARE)); /* interrupt gates are for the IDT */
    machine_free(m);
}

static void verr_and_verw_tell_rights(void **state)
{
    struct machine *m = machine_protected(3);
    (void)state;
    assert_true(probe(m, step_verr, DATA3));
    assert_true(probe(m, step_verw, DATA3));
    assert_true(probe(m, step_verr, CODE3));
    assert_false(probe(m, step_verw, CODE3));
    assert_false(probe(m, step_verr, DATA0));
    assert_false(probe(m, step_verr, TSS));
    gdt_set(m, SPARE, descriptor(0, 0, 0xf1, 0));
    assert_true(probe(m, step_verr, SPARE));
    assert_false(probe(m, step_verw, SPARE));
    machine_free(m);
}

static void arpl_raises_rpl_only(void **state)
{
    struct machine *m = machine_protected(0);
    struct x86_insn i = reg_operands(RBX, RAX, 2);
    (void)state;
    m->c.gpr[RBX] = 0xffff0008;
    m->c.gpr[RAX] = 3;
    assert_true(step(m, step_arpl, &i));
    assert_true(zf(m));
    assert_int_equal(m->c.gpr[RBX], 0xffff000b);
    m->c.gpr[RAX] = 1;
    assert_true(step(m, step_arpl, &i));
    assert_false(zf(m));
    assert_int_equal(m->c.gpr[RBX], 0xffff000b);
    machine_free(m);
}

static void checking_instructions_need_protected_mode(void **state)
{
    static const x86_step_fn fns[] = { step_lar,  step_lsl, step_verr, step_verw, step_arpl,
                                       step_sldt, step_str, step_lldt, step_ltr };
    struct x86_insn i = reg_operands(RBX, RAX, 2);
    struct machine *m = machine_real();
    (void)state;
    for (unsigned n = 0; n < sizeof(fns) / sizeof(fns[0]); n++) {
        assert_false(step(m, fns[n], &i));
        assert_int_equal(m->c.trap.vector, X86_UD);
    }
    machine_free(m);
}

/* ---- tables, TR, machine status word ---- */

static void lgdt_and_sgdt_agree(void **state)
{
    struct machine *m = machine_protected(0);
    struct x86_insn i = mem_operand(0, 6, 4);
    (void)state;
    put(m, AT_DATA, 0xcdef, 2);
    put(m, AT_DATA + 2, 0x89abcdef, 4);
    assert_true(step(m, step_lidt, &i));
    assert_int_equal(m->c.idtr.base, 0x89abcdef);
    assert_int_equal(m->c.idtr.limit, 0xcdef);
    put(m, AT_DATA, 0, 8);
    assert_true(step(m, step_sidt, &i));
    assert_int_equal(get(m, AT_DATA, 8), 0x89abcdefcdef);
    i.opsize = 2; /* 24-bit base */
    assert_true(step(m, step_lidt, &i));
    assert_int_equal(m->c.idtr.base, 0xabcdef);
    machine_free(m);
    m = machine_long(0, true);
    put(m, AT_DATA + 2, 0xffffffff80000000, 8);
    i.addrsize = 8;
    assert_true(step(m, step_lgdt, &i));
    assert_int_equal(m->c.gdtr.base, 0xffffffff80000000);
    put(m, AT_DATA + 2, 0x0000800000000000, 8);
    assert_false(step(m, step_lgdt, &i));
    expect_trap(m, X86_GP, 0);
    assert_int_equal(m->c.gdtr.base, 0xffffffff80000000);
    machine_free(m);
}

static void ltr_takes_free_tss_and_marks_it_busy(void **state)
{
    struct machine *m = machine_long(0, true);
    struct x86_insn i = reg_operands(RAX, RAX, 2);
    (void)state;
    m->c.gpr[RAX] = TSS; /* busy already */
    assert_false(step(m, step_ltr, &i));
    expect_trap(m, X86_GP, TSS);
    gdt_set(m, SPARE, descriptor(AT_TSS2, 0x67, 0x89, 0));
    gdt_set(m, SPARE + 8, 0xffff8880);
    m->c.gpr[RAX] = SPARE;
    assert_true(step(m, step_ltr, &i));
    assert_int_equal(m->c.seg[SEG_TR].base, 0xffff888000000000 | AT_TSS2);
    assert_int_equal(gdt_get(m, SPARE), descriptor(AT_TSS2, 0x67, 0x8b, 0));
    m->c.gpr[RAX] = 0;
    assert_false(step(m, step_ltr, &i));
    expect_trap(m, X86_GP, 0);
    gdt_set(m, SPARE, descriptor(AT_TSS2, 0x67, 0x09, 0));
    m->c.gpr[RAX] = SPARE;
    assert_false(step(m, step_ltr, &i));
    expect_trap(m, X86_NP, SPARE);
    machine_free(m);
}

static void umip_hides_tables_from_users(void **state)
{
    static const x86_step_fn fns[] = { step_sgdt, step_sidt, step_sldt, step_str, step_smsw };
    struct machine *m = machine_protected(3);
    struct x86_insn i = mem_operand(0, 6, 4);
    (void)state;
    for (unsigned n = 0; n < sizeof(fns) / sizeof(fns[0]); n++) {
        m->c.cr4 = 0;
        assert_true(step(m, fns[n], &i));
        m->c.cr4 = CR4_UMIP;
        assert_false(step(m, fns[n], &i));
        expect_trap(m, X86_GP, 0);
    }
    machine_free(m);
}

static void ring0_instructions_fault_in_ring3(void **state)
{
    static const x86_step_fn fns[] = { step_lgdt, step_lidt, step_lldt, step_ltr, step_lmsw, step_swapgs };
    struct machine *m = machine_long(3, true);
    struct x86_insn i = mem_operand(0, 6, 8);
    (void)state;
    for (unsigned n = 0; n < sizeof(fns) / sizeof(fns[0]); n++) {
        assert_false(step(m, fns[n], &i));
        expect_trap(m, X86_GP, 0);
    }
    machine_free(m);
}

static void fs_and_gs_bases(void **state)
{
    struct machine *m = machine_long(0, true);
    struct x86_insn i = reg_operands(RBX, RBX, 8);
    (void)state;
    assert_false(step(m, step_wrfsbase, &i));
    assert_int_equal(m->c.trap.vector, X86_UD);
    m->c.cr4 |= CR4_FSGSBASE;
    m->c.gpr[RBX] = 0xffff888000001000;
    assert_true(step(m, step_wrgsbase, &i));
    m->c.gpr[RBX] = 0x800000000000;
    assert_false(step(m, step_wrfsbase, &i));
    expect_trap(m, X86_GP, 0);
    m->c.kernel_gs_base = 0x1234;
    assert_true(step(m, step_swapgs, &i));
    assert_int_equal(m->c.seg[SEG_GS].base, 0x1234);
    assert_int_equal(m->c.kernel_gs_base, 0xffff888000001000);
    assert_true(step(m, step_swapgs, &i));
    i.opsize = 4;
    assert_true(step(m, step_rdgsbase, &i));
    assert_int_equal(m->c.gpr[RBX], 0x1000);
    machine_free(m);
}

/* ---- RFLAGS, BOUND ---- */

static uint64_t popf(struct machine *m, unsigned size, uint64_t image)
{
    struct x86_insn i = { .len = 1, .opsize = (uint8_t)size };
    m->c.gpr[RSP] -= size;
    put(m, m->c.gpr[RSP], image, size);
    assert_true(step(m, step_popf, &i));
    return m->c.rflags;
}

static void popf_obeys_cpl_and_iopl(void **state)
{
    struct machine *m = machine_protected(0);
    (void)state;
    assert_int_equal(popf(m, 4, FLAG_IF | FLAG_IOPL | FLAG_ID | FLAG_VM | FLAG_RF), FLAG_ONE | FLAG_IF | FLAG_IOPL | FLAG_ID);
    assert_int_equal(popf(m, 2, FLAG_CF), FLAG_ONE | FLAG_CF | FLAG_ID);
    assert_int_equal(m->c.gpr[RSP], AT_STACK0);
    machine_free(m);
    m = machine_protected(3);
    assert_int_equal(popf(m, 4, FLAG_IF | FLAG_IOPL | FLAG_ZF), FLAG_ONE | FLAG_ZF);
    m->c.rflags |= FLAG_IOPL;
    assert_int_equal(popf(m, 4, FLAG_IF), FLAG_ONE | FLAG_IF | FLAG_IOPL);
    machine_free(m);
}

static void pushf_hides_rf_and_vm(void **state)
{
    struct machine *m = machine_protected(0);
    struct x86_insn i = { .len = 1, .opsize = 4 };
    (void)state;
    m->c.rflags |= FLAG_RF | FLAG_CF;
    assert_true(step(m, step_pushf, &i));
    assert_int_equal(get(m, AT_STACK0 - 4, 4), FLAG_ONE | FLAG_CF);
    machine_free(m);
}

static void sti_shadows_only_when_it_enables(void **state)
{
    struct machine *m = machine_protected(0);
    struct x86_insn i = { .len = 1 };
    (void)state;
    assert_true(step(m, step_sti, &i));
    assert_true(m->c.rflags & FLAG_IF);
    assert_int_equal(m->c.int_shadow, 1);
    assert_true(m->c.slow);
    m->c.int_shadow = 0;
    assert_true(step(m, step_sti, &i));
    assert_int_equal(m->c.int_shadow, 0);
    assert_true(step(m, step_cli, &i));
    assert_false(m->c.rflags & FLAG_IF);
    machine_free(m);
    m = machine_protected(3);
    assert_false(step(m, step_cli, &i));
    expect_trap(m, X86_GP, 0);
    assert_false(step(m, step_sti, &i));
    m->c.rflags |= FLAG_IOPL;
    assert_true(step(m, step_sti, &i));
    machine_free(m);
}

static void bound_is_signed_and_inclusive(void **state)
{
    struct machine *m = machine_protected(0);
    struct x86_insn i = mem_operand(1, 8, 4);
    (void)state;
    put(m, AT_DATA, 0xfffffffe, 4); /* -2 */
    put(m, AT_DATA + 4, 5, 4);
    static const struct {
        uint32_t index;
        bool ok;
    } c[] = { { 0xfffffffe, true }, { 5, true }, { 6, false }, { 0xfffffffd, false } };
    for (unsigned n = 0; n < 4; n++) {
        m->c.gpr[RAX] = c[n].index;
        assert_int_equal(step(m, step_bound, &i), c[n].ok);
    }
    assert_int_equal(m->c.trap.vector, X86_BR);
    assert_false(m->c.trap.has_error);
    machine_free(m);
}

/* ---- derived state ---- */

static void bank_follows_cpl_smap_and_ac(void **state)
{
    struct machine *m = machine_long(0, true);
    (void)state;
    assert_int_equal(m->c.bank, X86_BANK_KERNEL_AC);
    m->c.cr4 |= CR4_SMAP;
    x86_flags_update(&m->c);
    assert_int_equal(m->c.bank, X86_BANK_KERNEL);
    m->c.rflags |= FLAG_AC;
    x86_flags_update(&m->c);
    assert_int_equal(m->c.bank, X86_BANK_KERNEL_AC);
    set_ring(m, 3, CODE3_64, DATA3);
    assert_int_equal(m->c.bank, X86_BANK_USER);
    assert_false(m->c.align_check);
    m->c.cr0 |= CR0_AM;
    x86_flags_update(&m->c);
    assert_true(m->c.align_check);
    machine_free(m);
}

static void flat_needs_all_four_segments(void **state)
{
    struct machine *m = machine_protected(0);
    (void)state;
    assert_true(m->c.flat);
    assert_true(load(m, SEG_GS, 0));
    assert_true(m->c.flat); /* FS and GS do not count */
    assert_true(load(m, SEG_ES, 0));
    assert_false(m->c.flat);
    assert_true(load(m, SEG_ES, DATA0));
    assert_true(m->c.flat);
    gdt_set(m, SPARE, descriptor(0, 0xfffff, 0x91, 0xc));
    assert_true(load(m, SEG_DS, SPARE)); /* not writable */
    assert_false(m->c.flat);
    machine_free(m);
    m = machine_long(0, true);
    assert_false(m->c.flat);
    machine_free(m);
}

static void widths_follow_cs_and_ss(void **state)
{
    struct machine *m = machine_protected(0);
    (void)state;
    assert_int_equal(m->c.ip_mask, 0xffffffff);
    load_seg_raw(m, SEG_CS, CODE0_16);
    load_seg_raw(m, SEG_SS, DATA0_16);
    x86_mode_update(&m->c);
    assert_int_equal(m->c.mode, X86_MODE_16);
    assert_int_equal(m->c.ip_mask, 0xffff);
    assert_int_equal(m->c.stack_size, 2);
    machine_free(m);
    m = machine_long(3, false);
    assert_true(m->c.long_mode);
    assert_int_equal(m->c.mode, X86_MODE_32);
    set_ring(m, 3, CODE3_64, DATA3);
    assert_int_equal(m->c.mode, X86_MODE_64);
    assert_int_equal(m->c.ip_mask, ~0ULL);
    machine_free(m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(data_loads_follow_the_rules),
        cmocka_unit_test(ring3_may_load_conforming_code_but_not_inner_data),
        cmocka_unit_test(ss_loads_follow_the_rules),
        cmocka_unit_test(null_ss_in_64_bit_mode_only_below_ring3),
        cmocka_unit_test(ldt_selectors_use_the_ldt),
        cmocka_unit_test(real_mode_loads_keep_limit),
        cmocka_unit_test(pop_ss_moves_the_pointer_by_the_old_width),
        cmocka_unit_test(far_pointer_loads_set_both_or_neither),
        cmocka_unit_test(sreg_stores_zero_extend_in_registers_only),
        cmocka_unit_test(lar_and_lsl_report_what_is_visible),
        cmocka_unit_test(verr_and_verw_tell_rights),
        cmocka_unit_test(arpl_raises_rpl_only),
        cmocka_unit_test(checking_instructions_need_protected_mode),
        cmocka_unit_test(lgdt_and_sgdt_agree),
        cmocka_unit_test(ltr_takes_free_tss_and_marks_it_busy),
        cmocka_unit_test(umip_hides_tables_from_users),
        cmocka_unit_test(ring0_instructions_fault_in_ring3),
        cmocka_unit_test(fs_and_gs_bases),
        cmocka_unit_test(popf_obeys_cpl_and_iopl),
        cmocka_unit_test(pushf_hides_rf_and_vm),
        cmocka_unit_test(sti_shadows_only_when_it_enables),
        cmocka_unit_test(bound_is_signed_and_inclusive),
        cmocka_unit_test(bank_follows_cpl_smap_and_ac),
        cmocka_unit_test(flat_needs_all_four_segments),
        cmocka_unit_test(widths_follow_cs_and_ss),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
