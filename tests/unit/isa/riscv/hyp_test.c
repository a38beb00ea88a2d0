/* SPDX-License-Identifier: MIT */
/*
 * Laws of the hypervisor extension: its CSRs, what a virtual machine may not do, traps between the modes, and saved state.
 */
#include "unit/isa/riscv/virtual.h"

/* What the word does in the mode of a virtual machine. */
static bool is_virtual(enum riscv_priv priv, uint32_t word)
{
    enter_virt(priv);
    step(word);
    return s_trapped(RISCV_VIRTUAL, word);
}

static bool is_illegal(enum riscv_priv priv, uint32_t word)
{
    enter_virt(priv);
    step(word);
    return s_trapped(RISCV_ILLEGAL, word);
}

static bool is_fine(enum riscv_priv priv, uint32_t word)
{
    enter_virt(priv);
    step(word);
    return went_on();
}

/* ---- CSRs ---- */

static void without_the_extension_there_is_none_of_it(void **state)
{
    (void)state;
    const uint16_t csrs[] = { VSSTATUS, VSATP, HSTATUS, 0x602, HVIP, HGATP, 0x34a, 0x34b, 0xe12 };
    const uint32_t words[] = { HFENCE_VVMA, HFENCE_GVMA, 0x6005c573 /* hlv.b */, 0x62a5c073 /* hsv.b */ };
    uint64_t v;
    profile.has[RISCV_EXT_H] = false;
    riscv_cpu_reset(m.c);
    assert_int_equal(riscv_profile_misa(&profile) >> 7 & 1, 0);
    for (unsigned k = 0; k < sizeof(csrs) / sizeof(csrs[0]); k++)
        assert_false(riscv_csr_read(m.c, csrs[k], &v));
    m.c->mtvec = RV_RAM + HANDLER;
    for (unsigned k = 0; k < sizeof(words) / sizeof(words[0]); k++) {
        step(words[k]);
        assert_true(trapped(RISCV_ILLEGAL, words[k]));
    }
    assert_true(riscv_csr_write(m.c, 0x300, MSTATUS_MPV | MSTATUS_GVA));
    assert_true(riscv_csr_write(m.c, 0x302, UINT64_MAX) && riscv_csr_write(m.c, 0x303, UINT64_MAX));
    assert_int_equal(m.c->mstatus & (MSTATUS_MPV | MSTATUS_GVA), 0);
    assert_int_equal(m.c->medeleg, RISCV_MEDELEG_BITS);
    assert_int_equal(m.c->mideleg, MIP_S);
}

static uint64_t written(unsigned csr, uint64_t v)
{
    uint64_t got = 0;
    assert_true(riscv_csr_write(m.c, csr, v));
    assert_true(riscv_csr_read(m.c, csr, &got));
    return got;
}

static void csrs_hold_what_is_legal(void **state)
{
    const uint64_t all = UINT64_MAX;
    (void)state;
    assert_int_equal(riscv_profile_misa(&profile) >> 7 & 1, 1);
    assert_int_equal(written(HSTATUS, all), 2ULL << 32 | 0x7003c0);
    assert_int_equal(written(HSTATUS, 0), 2ULL << 32);
    assert_int_equal(written(0x602, all), 0xb1ff); /* hedeleg */
    assert_int_equal(written(0x603, all), 0x444);  /* hideleg */
    assert_int_equal(written(0x604, all), 0x444);  /* hie */
    assert_int_equal(written(0x302, all), H_CAUSES);
    assert_int_equal(written(0x303, 0), 0x444); /* mideleg: always */
    assert_int_equal(written(0x607, all), 0);   /* hgeie */
    assert_int_equal(written(HVIP, all), 0x444);
    assert_int_equal(written(HVIP, 0), 0);
    assert_int_equal(written(HIP, all), 4); /* VSSIP */
    assert_int_equal(m.c->soft & MIP_VS, MIP_VSSIP);
    assert_int_equal(written(HGATP, 8ULL << 60 | all >> 4),
                     8ULL << 60 | 0x03fffffffffffffcULL); /* VMIDLEN 14, a root of 16 KiB */
    assert_int_equal(written(HGATP, 5ULL << 60) >> 60, 8);
    assert_int_equal(written(VSSTATUS, all) & 0x7fffffffffffffff, 2ULL << 32 | 0xc6122);
    assert_int_equal(written(0x205, all), all & ~2ULL);
    assert_int_equal(written(0x241, all), all & ~1ULL);
    for (unsigned csr = 0x240; csr <= 0x243; csr++)
        if (csr != 0x241)
            assert_int_equal(written(csr, 0x123456789abcdef0), 0x123456789abcdef0);
    m.c->menvcfg = 0;
    assert_int_equal(written(0x60a, all), 0xf1); /* henvcfg: the rest follows menvcfg */
    m.c->menvcfg = riscv_menvcfg_bits(m.c);
    assert_int_equal(written(0x60a, all), riscv_menvcfg_bits(m.c));
    m.c->menvcfg = 0;
    assert_int_equal(riscv_hyp_envcfg(m.c), 0xf1);
}

static void a_virtual_machine_has_supervisor_csrs_of_its_own(void **state)
{
    const uint16_t csrs[] = { 0x105, 0x140, 0x141, 0x142, 0x143 };
    uint64_t v;
    (void)state;
    for (unsigned k = 0; k < sizeof(csrs) / sizeof(csrs[0]); k++) {
        leave_virt(RISCV_S);
        assert_int_equal(written(csrs[k], 0x1000 + 16 * k), 0x1000 + 16 * k);
        enter_virt(RISCV_S);
        assert_int_equal(written(csrs[k], 0x2000 + 16 * k), 0x2000 + 16 * k);
        leave_virt(RISCV_S);
        assert_true(riscv_csr_read(m.c, csrs[k], &v) && v == 0x1000 + 16 * k);
        assert_true(riscv_csr_read(m.c, csrs[k] + 0x100, &v) && v == 0x2000 + 16 * k);
    }
    m.c->mstatus = MSTATUS_XL64;
    enter_virt(RISCV_S);
    assert_int_equal(written(SSTATUS, MSTATUS_SUM | MSTATUS_SIE), 2ULL << 32 | MSTATUS_SUM | MSTATUS_SIE);
    assert_int_equal(m.c->mstatus, MSTATUS_XL64);
    assert_int_equal(written(SCOUNTEREN, 5), 5); /* there is but one */
    assert_int_equal(m.c->scounteren, 5);
}

static void interrupts_delegated_to_vs_mode_are_its_own(void **state)
{
    uint64_t v;
    (void)state;
    m.c->hyp.hideleg = MIP_VSSIP | MIP_VSTIP;
    m.c->mie = MIP_VS;
    assert_true(riscv_csr_write(m.c, HVIP, MIP_VS));
    enter_virt(RISCV_S);
    assert_true(riscv_csr_read(m.c, SIP, &v) && v == (MIP_SSIP | MIP_STIP)); /* VSEIP is HS-mode's */
    assert_int_equal(written(SIE, UINT64_MAX), MIP_SSIP | MIP_STIP);
    assert_int_equal(written(SIE, 0), 0);
    assert_int_equal(m.c->mie, MIP_VSEIP);
    assert_true(riscv_csr_write(m.c, SIE, MIP_S));
    assert_int_equal(riscv_pending_interrupt(m.c), RISCV_CAUSE_IRQ | IRQ_VSEI); /* HS-mode's, whatever SIE is */
    assert_true(riscv_csr_write(m.c, SIP, 0));
    assert_int_equal(m.c->soft, MIP_VSTIP | MIP_VSEIP);
    riscv_set_soft(m.c, MIP_VSEIP, false);
    assert_int_equal(riscv_pending_interrupt(m.c), 0); /* vsstatus.SIE is 0 */
    m.c->hyp.vsstatus |= MSTATUS_SIE;
    assert_int_equal(riscv_pending_interrupt(m.c), RISCV_CAUSE_IRQ | IRQ_VSTI);
    m.c->hyp.vstvec |= 1;
    riscv_enter_trap(m.c, riscv_pending_interrupt(m.c), 0);
    assert_int_equal(m.c->pc, RV_RAM + VS_HANDLER + 4 * IRQ_STI);
    assert_int_equal(m.c->hyp.vscause, RISCV_CAUSE_IRQ | IRQ_STI);
    leave_virt(RISCV_U);
    m.c->mie = MIP_VS;
    assert_int_equal(riscv_pending_interrupt(m.c), 0); /* no virtual machine, no interrupt of its */
    m.c->hyp.hideleg = 0;
    assert_int_equal(riscv_pending_interrupt(m.c), RISCV_CAUSE_IRQ | IRQ_VSTI);
}

static void vstimecmp_interrupts_at_the_virtual_time(void **state)
{
    const uint64_t delta = 1000;
    (void)state;
    m.c->menvcfg = riscv_menvcfg_bits(m.c);
    m.c->hyp.henvcfg = ENVCFG_STCE;
    assert_true(riscv_csr_write(m.c, 0x605, delta));
    assert_true(riscv_csr_write(m.c, 0x24d, delta + 5));
    assert_false(riscv_mip(m.c) & MIP_VSTIP);
    vm_clock_advance(&m.vm.clock, 499);
    assert_false(riscv_mip(m.c) & MIP_VSTIP);
    vm_clock_advance(&m.vm.clock, 1);
    assert_true(riscv_mip(m.c) & MIP_VSTIP);
    m.c->mcounteren = m.c->hyp.hcounteren = 2;
    enter_virt(RISCV_S);
    assert_int_equal(written(STIMECMP, delta + 6), delta + 6);
    assert_false(riscv_mip(m.c) & MIP_VSTIP);
    assert_int_equal(m.c->stimecmp, UINT64_MAX);
    uint64_t v;
    assert_true(riscv_csr_read(m.c, 0xc01, &v) && v == delta + 5);
    leave_virt(RISCV_S);
    assert_true(riscv_csr_read(m.c, 0xc01, &v) && v == 5);
    assert_true(riscv_csr_write(m.c, 0x60a, 0)); /* henvcfg.STCE */
    vm_clock_advance(&m.vm.clock, 5000);
    assert_false(riscv_mip(m.c) & MIP_VSTIP);
}

/* ---- what a virtual machine may not do ---- */

static void privileged_instructions_raise_virtual_instruction(void **state)
{
    const uint32_t sinval = 0x16000073, hlv_b = 0x6005c573, hsv_d = 0x6ea5c073, hlvx_wu = 0x6835c573;
    const uint32_t hypervisors[] = { HFENCE_VVMA, HFENCE_GVMA, 0x26000073, 0x66000073, hlv_b, hsv_d, hlvx_wu };
    (void)state;
    for (unsigned k = 0; k < sizeof(hypervisors) / sizeof(hypervisors[0]); k++) {
        assert_true(is_virtual(RISCV_S, hypervisors[k]));
        assert_true(is_virtual(RISCV_U, hypervisors[k]));
        leave_virt(RISCV_U);
        step(hypervisors[k]);
        assert_true(s_trapped(RISCV_ILLEGAL, hypervisors[k]));
    }
    assert_true(is_virtual(RISCV_U, SRET) && is_virtual(RISCV_U, SFENCE) && is_virtual(RISCV_U, sinval));
    assert_true(is_virtual(RISCV_U, WFI) && is_virtual(RISCV_U, 0x18000073));
    m.c->mstatus |= MSTATUS_TVM | MSTATUS_TSR; /* these are for HS-mode */
    assert_true(is_fine(RISCV_S, SFENCE) && is_fine(RISCV_S, sinval) && is_fine(RISCV_S, csrrs(SATP, A0, 0)));
    m.c->hyp.vsepc = RV_RAM + CODE;
    assert_true(is_fine(RISCV_S, SRET));
    m.c->hyp.hstatus |= HSTATUS_VTVM | HSTATUS_VTSR | HSTATUS_VTW;
    assert_true(is_virtual(RISCV_S, SFENCE) && is_virtual(RISCV_S, sinval) && is_virtual(RISCV_S, csrrs(SATP, A0, 0)));
    assert_true(is_virtual(RISCV_S, SRET) && is_virtual(RISCV_S, WFI));
    m.c->mstatus |= MSTATUS_TW;
    assert_true(is_illegal(RISCV_S, WFI) && is_illegal(RISCV_U, WFI));
    assert_true(is_illegal(RISCV_S, MRET));
    leave_virt(RISCV_S);
    step(HFENCE_GVMA); /* TVM */
    assert_true(s_trapped(RISCV_ILLEGAL, HFENCE_GVMA));
    leave_virt(RISCV_S);
    step(HFENCE_VVMA);
    assert_true(went_on());
}

static void csrs_raise_virtual_instruction_where_hs_mode_has_them(void **state)
{
    const uint32_t cycle = csrrs(0xc00, A0, 0), stimecmp = csrrs(STIMECMP, A0, 0), fcsr = csrrs(3, A0, 0);
    (void)state;
    assert_true(is_virtual(RISCV_S, csrrs(HSTATUS, A0, 0)) && is_virtual(RISCV_S, csrrw(VSATP, 0, A0)));
    assert_true(is_virtual(RISCV_U, csrrs(HSTATUS, A0, 0)) && is_virtual(RISCV_U, csrrs(SSTATUS, A0, 0)));
    assert_true(is_illegal(RISCV_S, csrrs(0x300, A0, 0)) && is_illegal(RISCV_S, csrrs(0x34b, A0, 0)));
    assert_true(is_illegal(RISCV_S, csrrw(0xe12, 0, A0))); /* hgeip: nobody writes it */
    assert_true(is_illegal(RISCV_S, csrrs(0x6ff, A0, 0)));
    assert_true(is_illegal(RISCV_S, cycle));
    m.c->mcounteren = 7;
    assert_true(is_virtual(RISCV_S, cycle));
    m.c->hyp.hcounteren = 7;
    assert_true(is_fine(RISCV_S, cycle) && is_virtual(RISCV_U, cycle));
    m.c->scounteren = 7;
    assert_true(is_fine(RISCV_U, cycle));
    assert_true(is_illegal(RISCV_S, stimecmp));
    m.c->menvcfg |= ENVCFG_STCE;
    assert_true(is_virtual(RISCV_S, stimecmp));
    m.c->hyp.henvcfg |= ENVCFG_STCE;
    assert_true(is_fine(RISCV_S, stimecmp) && is_virtual(RISCV_U, stimecmp));
    m.c->mstatus |= MSTATUS_FS;
    assert_true(is_illegal(RISCV_S, fcsr));                            /* vsstatus.FS is Off */
    m.c->hyp.vsstatus |= MSTATUS_FS & ~(MSTATUS_FS >> 1 & MSTATUS_FS); /* Initial or Clean */
    assert_true(is_fine(RISCV_S, fcsr));
    assert_true(is_fine(RISCV_S, csrrw(3, 0, 0)));
    assert_int_equal(m.c->hyp.vsstatus & MSTATUS_FS, MSTATUS_FS); /* Dirty */
    m.c->mstatus &= ~MSTATUS_FS;
    assert_true(is_illegal(RISCV_S, fcsr));
}

static void cache_blocks_need_henvcfg(void **state)
{
    const uint32_t zero = 0x0045a00f, clean = 0x0015a00f, inval = 0x0005a00f; /* of (a1) */
    const uint32_t words[] = { zero, clean, inval };
    const uint64_t bits[] = { ENVCFG_CBZE, ENVCFG_CBCFE, 1ULL << ENVCFG_CBIE_SHIFT };
    (void)state;
    m.c->x[A1] = RV_RAM + DATA;
    for (unsigned k = 0; k < 3; k++) {
        assert_true(is_illegal(RISCV_S, words[k]));
        m.c->menvcfg |= bits[k];
        assert_true(is_virtual(RISCV_S, words[k]));
        m.c->hyp.henvcfg |= bits[k];
        assert_true(is_fine(RISCV_S, words[k]) && is_virtual(RISCV_U, words[k]));
        m.c->senvcfg |= bits[k];
        assert_true(is_fine(RISCV_U, words[k]));
    }
}

/* ---- traps ---- */

static void traps_out_of_a_virtual_machine_say_so(void **state)
{
    (void)state;
    enter_virt(RISCV_S);
    step(ECALL);
    assert_true(s_trapped(RISCV_ECALL_VS, 0));
    assert_int_equal(m.c->hyp.hstatus & 0x1c0, HSTATUS_SPV | HSTATUS_SPVP);
    assert_true(m.c->mstatus & MSTATUS_SPP);
    step(SRET);
    assert_true(m.c->hyp.virt && m.c->priv == RISCV_S);
    assert_int_equal(m.c->pc, m.c->sepc);
    assert_int_equal(m.c->hyp.hstatus & HSTATUS_SPV, 0);
    enter_virt(RISCV_U);
    step(ECALL);
    assert_true(s_trapped(RISCV_ECALL_U, 0));
    assert_int_equal(m.c->hyp.hstatus & 0x1c0, HSTATUS_SPV);
    m.c->hyp.hstatus |= HSTATUS_SPVP;
    leave_virt(RISCV_U);
    step(ECALL);
    assert_int_equal(m.c->hyp.hstatus & 0x1c0, HSTATUS_SPVP); /* as it was */
    m.c->medeleg = 0;
    enter_virt(RISCV_S);
    step(ECALL);
    assert_true(trapped(RISCV_ECALL_VS, 0) && !m.c->hyp.virt);
    assert_int_equal(m.c->mstatus & (MSTATUS_MPV | MSTATUS_MPP | MSTATUS_GVA), MSTATUS_MPV | 1ULL << MSTATUS_MPP_SHIFT);
    step(MRET);
    assert_true(m.c->hyp.virt && m.c->priv == RISCV_S && !(m.c->mstatus & MSTATUS_MPV));
    leave_virt(RISCV_M);
    m.c->mstatus |= MSTATUS_MPV | MSTATUS_MPP;
    m.c->mepc = RV_RAM + CODE;
    step(MRET);
    assert_true(m.c->priv == RISCV_M && !m.c->hyp.virt);
}

static void what_hedeleg_has_stays_in_the_virtual_machine(void **state)
{
    const uint32_t ebreak = 0x00100073;
    (void)state;
    m.c->hyp.hedeleg = 1 << RISCV_BREAKPOINT | 1 << RISCV_ECALL_U;
    m.c->hyp.vsstatus |= MSTATUS_SIE;
    enter_virt(RISCV_U);
    step(ECALL);
    assert_true(vs_trapped(RISCV_ECALL_U, 0));
    assert_int_equal(m.c->hyp.vsstatus & (MSTATUS_SIE | MSTATUS_SPIE | MSTATUS_SPP), MSTATUS_SPIE);
    uint64_t back = m.c->hyp.vsepc;
    step(SRET);
    assert_true(m.c->hyp.virt && m.c->priv == RISCV_U && m.c->pc == back);
    assert_int_equal(m.c->hyp.vsstatus & (MSTATUS_SIE | MSTATUS_SPIE), MSTATUS_SIE | MSTATUS_SPIE);
    enter_virt(RISCV_S);
    step(ebreak);
    assert_true(vs_trapped(RISCV_BREAKPOINT, m.c->hyp.vsepc));
    assert_true(m.c->hyp.vsstatus & MSTATUS_SPP);
    m.c->hyp.hedeleg = 0;
    enter_virt(RISCV_S);
    step(ebreak);
    assert_true(s_trapped(RISCV_BREAKPOINT, m.c->sepc));
    assert_true(m.c->hyp.hstatus & HSTATUS_GVA); /* stval is the machine's address */
    enter_virt(RISCV_S);
    step(0xffffffff);
    assert_true(s_trapped(RISCV_ILLEGAL, 0xffffffff) && !(m.c->hyp.hstatus & HSTATUS_GVA));
}

/* ---- state ---- */

static void saved_state_has_the_virtual_machines(void **state)
{
    struct state_buf buf = { 0 };
    struct bare_riscv other;
    const struct riscv_config config = { .profile = &profile };
    struct error err;
    (void)state;
    g_map(ALL_OF_IT);
    vs_map(PTE_V | PTE_R | PTE_AD);
    rv_poke(&m, RV_RAM + DATA, 1, 8);
    enter_virt(RISCV_S);
    m.c->hyp.htval = 1, m.c->hyp.vscause = 2, m.c->hyp.mtinst = 3, m.c->hyp.vstimecmp = 4;
    assert_int_equal(bare_riscv_init(&other, &config, &err), 0);
    assert_int_equal(state_save(&riscv_state_desc, m.c, &buf), 0);
    assert_int_equal(state_load(&riscv_state_desc, other.c, &buf, &err), 0);
    assert_null(state_diff(&riscv_state_desc, m.c, other.c));
    assert_true(other.c->tlb->guest && !other.c->other_tlb->guest);
    bare_riscv_done(&other);
    assert_int_equal(bare_riscv_init(&other, NULL, &err), 0); /* without H */
    buf.pos = 0;
    assert_true(state_load(&riscv_state_desc, other.c, &buf, &err) < 0);
    bare_riscv_done(&other);
    state_buf_done(&buf);
    m.c->priv = RISCV_M; /* no such mode */
    assert_int_equal(state_save(&riscv_state_desc, m.c, &buf), 0);
    assert_int_equal(bare_riscv_init(&other, &config, &err), 0);
    assert_true(state_load(&riscv_state_desc, other.c, &buf, &err) < 0);
    bare_riscv_done(&other);
    state_buf_done(&buf);
    m.c->priv = RISCV_S;
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, set_up_hyp, tear_down)
    const struct CMUnitTest tests[] = {
        T(without_the_extension_there_is_none_of_it),
        T(csrs_hold_what_is_legal),
        T(a_virtual_machine_has_supervisor_csrs_of_its_own),
        T(interrupts_delegated_to_vs_mode_are_its_own),
        T(vstimecmp_interrupts_at_the_virtual_time),
        T(privileged_instructions_raise_virtual_instruction),
        T(csrs_raise_virtual_instruction_where_hs_mode_has_them),
        T(cache_blocks_need_henvcfg),
        T(traps_out_of_a_virtual_machine_say_so),
        T(what_hedeleg_has_stays_in_the_virtual_machine),
        T(saved_state_has_the_virtual_machines),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
