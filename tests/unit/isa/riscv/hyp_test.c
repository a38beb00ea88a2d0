/* SPDX-License-Identifier: MIT */
/*
 * Laws of the hypervisor extension: its CSRs, what a virtual machine may not do, traps between the modes, two-stage
 * translation, accesses to a virtual machine's memory, fences, and saved state.
 */
#include "isa/riscv/hyp.h"
#include "isa/riscv/profile.h"
#include "unit/isa/riscv/hart.h"

enum { G_TABLES = 0x40000, G_SIZE = 0x200000, S_HANDLER = HANDLER + 0x100, VS_HANDLER = HANDLER + 0x200 };
enum { HFENCE_VVMA = 0x22000073, HFENCE_GVMA = 0x62000073 };
enum { VSSTATUS = 0x200, VSIE = 0x204, VSIP = 0x244, VSATP = 0x280, HSTATUS = 0x600, HGATP = 0x680, HVIP = 0x645, HIP = 0x644 };
enum { SSTATUS = 0x100, SIE = 0x104, SCOUNTEREN = 0x106, SSCRATCH = 0x140, SIP = 0x144, STIMECMP = 0x14d, SATP = 0x180 };
#define GUEST_RAM 0x10000000ULL /* guest physical, by the G-stage: the 2 MiB from RV_RAM on */
#define H_CAUSES (RISCV_MEDELEG_BITS | RISCV_HYP_MEDELEG_BITS)

static struct riscv_profile profile;

static int set_up_hyp(void **state)
{
    struct error err;
    const struct riscv_config config = { .profile = &profile };
    (void)state;
    int r = riscv_profile_make("rv64,h=on", &profile, &err);
    if (r == 0)
        r = bare_riscv_init(&m, &config, &err);
    m.c->mtvec = RV_RAM + HANDLER;
    m.c->stvec = RV_RAM + S_HANDLER;
    m.c->hyp.vstvec = RV_RAM + VS_HANDLER;
    m.c->medeleg = H_CAUSES;
    return r;
}

static void enter_virt(enum riscv_priv priv)
{
    m.c->hyp.virt = true;
    enter(priv);
}

static void leave_virt(enum riscv_priv priv)
{
    m.c->hyp.virt = false;
    enter(priv);
}

/* Whether HS-mode took it. */
static bool s_trapped(uint64_t cause, uint64_t tval)
{
    return m.c->pc == RV_RAM + S_HANDLER && !m.c->hyp.virt && m.c->priv == RISCV_S && m.c->scause == cause && m.c->stval == tval;
}

static bool vs_trapped(uint64_t cause, uint64_t tval)
{
    return m.c->pc == RV_RAM + VS_HANDLER && m.c->hyp.virt && m.c->priv == RISCV_S && m.c->hyp.vscause == cause
           && m.c->hyp.vstval == tval;
}

static bool went_on(void)
{
    return m.c->pc != RV_RAM + HANDLER && m.c->pc != RV_RAM + S_HANDLER && m.c->pc != RV_RAM + VS_HANDLER;
}

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

/* ---- two stages ---- */

static void g_pte(unsigned level, unsigned index, gpa_t to, uint64_t bits)
{
    rv_poke(&m, RV_RAM + G_TABLES + 0x4000 * level + 8 * index, to >> 12 << 10 | bits, 8);
}

#define ALL_OF_IT (PTE_V | PTE_R | PTE_W | PTE_X | PTE_U | PTE_AD)

/* Sv39x4: GUEST_RAM + n pages, for 2 MiB, is RV_RAM + n pages by `bits`; that of code, tables and RV_RAM itself (1 GiB) by all.
 */
static void g_map(uint64_t bits)
{
    g_pte(0, GUEST_RAM >> 30, RV_RAM + G_TABLES + 0x4000, PTE_V);
    g_pte(1, GUEST_RAM >> 21 & 511, RV_RAM + G_TABLES + 0x8000, PTE_V);
    for (unsigned k = 0; k < 512; k++)
        g_pte(2, k, RV_RAM + 0x1000 * k, k == DATA >> 12 ? bits : ALL_OF_IT);
    g_pte(0, RV_RAM >> 30, RV_RAM, ALL_OF_IT);
    m.c->hyp.hgatp = 8ULL << 60 | (RV_RAM + G_TABLES) >> 12;
}

/* Its Sv39: MAPPED + n pages -> GUEST_RAM + DATA + n pages by `bits`; code by a 1 GiB page. The tables lie at GUEST_RAM + TABLES.
 */
static void vs_map(uint64_t bits)
{
    pte(0, MAPPED >> 30, GUEST_RAM + TABLES + 0x1000, PTE_V);
    pte(1, 0, GUEST_RAM + TABLES + 0x2000, PTE_V);
    pte(2, 0, GUEST_RAM + DATA, bits);
    pte(2, 1, GUEST_RAM + DATA + 0x3000, bits);
    pte(0, RV_RAM >> 30, RV_RAM, PTE_V | PTE_R | PTE_W | PTE_X | PTE_AD);
    m.c->hyp.vsatp = 8ULL << 60 | (GUEST_RAM + TABLES) >> 12;
}

static void both_stages_translate(void **state)
{
    (void)state;
    g_map(ALL_OF_IT);
    vs_map(PTE_V | PTE_R | PTE_W | PTE_AD);
    rv_poke(&m, RV_RAM + DATA + 8, 0x1122334455667788, 8);
    enter_virt(RISCV_S);
    m.c->x[A1] = MAPPED + 8;
    step(load(3));
    assert_int_equal(m.c->x[A0], 0x1122334455667788);
    m.c->x[A0] = 0x99;
    step(store(3));
    assert_true(went_on());
    assert_int_equal(rv_peek(&m, RV_RAM + DATA + 8, 8), 0x99);
    m.c->x[A1] = MAPPED + 0x1ffc; /* across two pages that lie apart */
    m.c->x[A0] = 0x8877665544332211;
    rv_poke(&m, RV_RAM + G_TABLES, 0, 8); /* the TLB knows them */
    pte(2, 2, GUEST_RAM + DATA + 0x1000, PTE_V | PTE_R | PTE_W | PTE_AD);
    g_map(ALL_OF_IT);
    enter_virt(RISCV_S);
    step(store(3));
    assert_int_equal(rv_peek(&m, RV_RAM + DATA + 0x3ffc, 4), 0x44332211);
    assert_int_equal(rv_peek(&m, RV_RAM + DATA + 0x1000, 4), 0x88776655);
    m.c->hyp.vsatp = 0; /* the G-stage alone */
    enter_virt(RISCV_U);
    m.c->x[A1] = GUEST_RAM + DATA + 8;
    step(load(3));
    assert_int_equal(m.c->x[A0], 0x99);
}

static void the_first_stage_raises_page_faults(void **state)
{
    (void)state;
    m.c->hyp.hedeleg = RISCV_HYP_HEDELEG_BITS;
    g_map(ALL_OF_IT);
    vs_map(PTE_V | PTE_R | PTE_AD);
    enter_virt(RISCV_S);
    m.c->x[A1] = MAPPED;
    step(store(3));
    assert_true(vs_trapped(RISCV_STORE_PAGE_FAULT, MAPPED));
    m.c->hyp.hedeleg = 0;
    enter_virt(RISCV_S);
    step(store(3));
    assert_true(s_trapped(RISCV_STORE_PAGE_FAULT, MAPPED));
    assert_true(m.c->hyp.hstatus & HSTATUS_GVA);
    assert_int_equal(m.c->hyp.htval | m.c->hyp.htinst, 0);
}

/* The last trap into HS-mode: a guest-page fault at that guest physical address. */
static bool g_trapped(uint64_t cause, uint64_t va, gpa_t gpa, uint64_t tinst)
{
    return s_trapped(cause, va) && m.c->hyp.htval == gpa >> 2 && m.c->hyp.htinst == tinst && (m.c->hyp.hstatus & HSTATUS_GVA);
}

static void the_second_stage_raises_guest_page_faults(void **state)
{
    const gpa_t data = GUEST_RAM + DATA;
    (void)state;
    vs_map(PTE_V | PTE_R | PTE_W | PTE_X | PTE_AD);
    g_map(PTE_V | PTE_R | PTE_U | PTE_AD);
    m.c->x[A1] = MAPPED + 8;
    enter_virt(RISCV_S);
    step(load(3));
    assert_true(went_on());
    step(store(3));
    assert_true(g_trapped(RISCV_STORE_GUEST_PAGE_FAULT, MAPPED + 8, data + 8, 0));
    enter_virt(RISCV_S);
    step_at(MAPPED + 16, RV_RAM + DATA + 16, NOP);
    assert_true(g_trapped(RISCV_FETCH_GUEST_PAGE_FAULT, MAPPED + 16, data + 16, 0));
    g_map(PTE_V | PTE_R | PTE_W | PTE_AD); /* all accesses are as in U-mode */
    enter_virt(RISCV_S);
    step(load(3));
    assert_true(g_trapped(RISCV_LOAD_GUEST_PAGE_FAULT, MAPPED + 8, data + 8, 0));
    m.c->medeleg = 0;
    enter_virt(RISCV_S);
    step(load(3));
    assert_true(trapped(RISCV_LOAD_GUEST_PAGE_FAULT, MAPPED + 8));
    assert_int_equal(m.c->hyp.mtval2, (data + 8) >> 2);
    assert_int_equal(m.c->hyp.mtinst, 0);
    assert_int_equal(m.c->mstatus & (MSTATUS_GVA | MSTATUS_MPV), MSTATUS_GVA | MSTATUS_MPV);
    m.c->medeleg = H_CAUSES;
    m.c->hyp.vsatp = 0;
    m.c->x[A1] = 1ULL << 41; /* beyond Sv39x4 */
    enter_virt(RISCV_S);
    step(load(3));
    assert_true(g_trapped(RISCV_LOAD_GUEST_PAGE_FAULT, 1ULL << 41, 1ULL << 41, 0));
}

static void tables_of_the_first_stage_are_translated_too(void **state)
{
    const gpa_t table = GUEST_RAM + TABLES + 0x2000;
    (void)state;
    g_map(ALL_OF_IT);
    vs_map(PTE_V | PTE_R | PTE_W);
    m.c->menvcfg = riscv_menvcfg_bits(m.c);
    m.c->hyp.henvcfg = ENVCFG_ADUE;
    m.c->x[A1] = MAPPED;
    g_pte(2, (TABLES + 0x2000) >> 12, RV_RAM + TABLES + 0x2000, PTE_V | PTE_X | PTE_U | PTE_AD);
    m.c->mstatus |= MSTATUS_MXR; /* is not for tables */
    enter_virt(RISCV_S);
    step(store(3));
    assert_true(g_trapped(RISCV_STORE_GUEST_PAGE_FAULT, MAPPED, table, 0x3000));
    g_pte(2, (TABLES + 0x2000) >> 12, RV_RAM + TABLES + 0x2000, PTE_V | PTE_R | PTE_U | PTE_AD);
    enter_virt(RISCV_S);
    step(load(3)); /* needs A to be set */
    assert_true(g_trapped(RISCV_LOAD_GUEST_PAGE_FAULT, MAPPED, table, 0x3020));
    g_pte(2, (TABLES + 0x2000) >> 12, RV_RAM + TABLES + 0x2000, PTE_V | PTE_R | PTE_W | PTE_U | PTE_A);
    enter_virt(RISCV_S);
    step(load(3));
    assert_true(went_on());
    assert_int_equal(rv_peek(&m, RV_RAM + TABLES + 0x2000, 8) & PTE_AD, PTE_A);
    assert_int_equal(rv_peek(&m, RV_RAM + G_TABLES + 0x8000 + 8 * ((TABLES + 0x2000) >> 12), 8) & PTE_AD, PTE_AD);
    step(store(3));
    assert_true(went_on());
    assert_int_equal(rv_peek(&m, RV_RAM + TABLES + 0x2000, 8) & PTE_AD, PTE_AD);
}

static void each_stage_has_its_own_switch_for_a_and_d(void **state)
{
    (void)state;
    g_map(ALL_OF_IT);
    vs_map(PTE_V | PTE_R | PTE_W);
    m.c->menvcfg = riscv_menvcfg_bits(m.c);
    m.c->x[A1] = MAPPED;
    enter_virt(RISCV_S);
    step(load(3));
    assert_true(s_trapped(RISCV_LOAD_PAGE_FAULT, MAPPED)); /* henvcfg.ADUE is 0 */
    g_map(PTE_V | PTE_R | PTE_W | PTE_U);
    vs_map(PTE_V | PTE_R | PTE_W | PTE_AD);
    enter_virt(RISCV_S);
    step(load(3));
    assert_true(went_on());
    assert_int_equal(rv_peek(&m, RV_RAM + G_TABLES + 0x8000 + 8 * (DATA >> 12), 8) & PTE_AD, PTE_A);
    step(store(3));
    assert_int_equal(rv_peek(&m, RV_RAM + G_TABLES + 0x8000 + 8 * (DATA >> 12), 8) & PTE_AD, PTE_AD);
    m.c->menvcfg = 0;
    g_map(PTE_V | PTE_R | PTE_W | PTE_U | PTE_A);
    enter_virt(RISCV_S);
    step(load(3));
    assert_true(went_on());
    step(store(3));
    assert_true(g_trapped(RISCV_STORE_GUEST_PAGE_FAULT, MAPPED, GUEST_RAM + DATA, 0));
}

static void mxr_is_for_one_stage_or_both(void **state)
{
    (void)state;
    g_map(ALL_OF_IT);
    vs_map(PTE_V | PTE_X | PTE_AD);
    m.c->x[A1] = MAPPED;
    m.c->hyp.vsstatus |= MSTATUS_MXR;
    enter_virt(RISCV_S);
    step(load(3));
    assert_true(went_on());
    g_map(PTE_V | PTE_X | PTE_U | PTE_AD);
    enter_virt(RISCV_S);
    step(load(3));
    assert_true(g_trapped(RISCV_LOAD_GUEST_PAGE_FAULT, MAPPED, GUEST_RAM + DATA, 0));
    m.c->hyp.vsstatus = 0;
    m.c->mstatus |= MSTATUS_MXR;
    enter_virt(RISCV_S);
    step(load(3));
    assert_true(went_on());
}

static void a_wider_root_translates_two_bits_more(void **state)
{
    (void)state;
    for (unsigned mode = 8; mode <= 10; mode++) {
        unsigned width = 12 + 9 * (mode - 5) + 2;
        gpa_t gpa = (3ULL << (width - 2)) + DATA + 8; /* by the root's last quarter */
        gpa_t root = RV_RAM + G_TABLES;
        for (unsigned level = mode - 5; level-- > 0; root += 0x4000) {
            unsigned index = (unsigned)(gpa >> (12 + 9 * level)) & (level == mode - 6 ? 2047 : 511);
            rv_poke(&m, root + 8 * index, level ? (root + 0x4000) >> 12 << 10 | PTE_V : (RV_RAM + DATA) >> 12 << 10 | ALL_OF_IT,
                    8);
        }
        m.c->hyp.hgatp = (uint64_t)mode << 60 | (RV_RAM + G_TABLES) >> 12;
        m.c->hyp.hstatus |= HSTATUS_SPVP;
        rv_poke(&m, RV_RAM + DATA + 8, 0xabc0 + mode, 8);
        leave_virt(RISCV_S);
        m.c->x[A1] = gpa;
        step(0x6c05c573); /* hlv.d */
        assert_int_equal(m.c->x[A0], 0xabc0 + mode);
        m.c->x[A1] = 1ULL << width;
        step(0x6c05c573);
        assert_true(g_trapped(RISCV_LOAD_GUEST_PAGE_FAULT, 1ULL << width, 1ULL << width, 0));
    }
}

/* ---- a virtual machine's memory from outside ---- */

static uint32_t hlv(unsigned funct7, unsigned kind)
{
    return funct7 << 25 | kind << 20 | A1 << 15 | 4 << 12 | A0 << 7 | 0x73;
}

static void hlv_and_hsv_access_as_the_virtual_machine_does(void **state)
{
    static const struct {
        uint8_t funct7, kind;
        uint64_t value;
    } loads[] = { { 0x30, 0, 0xffffffffffffff88 }, { 0x30, 1, 0x88 },       { 0x32, 0, 0xffffffffffff8788 }, { 0x32, 1, 0x8788 },
                  { 0x34, 0, 0xffffffff85868788 }, { 0x34, 1, 0x85868788 }, { 0x36, 0, 0x8182838485868788 } };
    (void)state;
    g_map(ALL_OF_IT);
    vs_map(PTE_V | PTE_R | PTE_W | PTE_AD);
    rv_poke(&m, RV_RAM + DATA + 8, 0x8182838485868788, 8);
    m.c->hyp.hstatus |= HSTATUS_SPVP;
    m.c->x[A1] = MAPPED + 8;
    for (unsigned priv = RISCV_S; priv <= RISCV_M; priv += 2)
        for (unsigned k = 0; k < sizeof(loads) / sizeof(loads[0]); k++) {
            leave_virt(priv);
            step(hlv(loads[k].funct7, loads[k].kind));
            assert_true(went_on());
            assert_int_equal(m.c->x[A0], loads[k].value);
        }
    leave_virt(RISCV_S);
    m.c->x[A0] = 0x1234567890abcdef;
    for (unsigned k = 0; k < 4; k++) {
        m.c->x[A1] = MAPPED + 16 + 8 * k;
        step((0x31 + 2 * k) << 25 | A0 << 20 | A1 << 15 | 4 << 12 | 0x73);
        assert_true(went_on());
        assert_int_equal(rv_peek(&m, RV_RAM + DATA + 16 + 8 * k, 8), k == 3 ? m.c->x[A0] : m.c->x[A0] & ((1ULL << (8 << k)) - 1));
    }
    step(load(3)); /* and its own loads know nothing of it: no paging, no RAM */
    assert_true(s_trapped(RISCV_LOAD_ACCESS_FAULT, m.c->x[A1]));
    assert_int_equal(m.c->hyp.hstatus & HSTATUS_GVA, 0);
}

static void hlv_has_the_rights_of_spvp_and_hlvx_needs_execution(void **state)
{
    const uint32_t hlv_w = hlv(0x34, 0), hlvx_wu = hlv(0x34, 3);
    (void)state;
    g_map(ALL_OF_IT);
    vs_map(PTE_V | PTE_R | PTE_U | PTE_AD);
    m.c->x[A1] = MAPPED;
    leave_virt(RISCV_S);
    step(hlv_w);
    assert_true(went_on());
    m.c->hyp.hstatus |= HSTATUS_SPVP;
    m.c->mstatus |= MSTATUS_SUM; /* HS-mode's does not count */
    leave_virt(RISCV_S);
    step(hlv_w);
    assert_true(s_trapped(RISCV_LOAD_PAGE_FAULT, MAPPED));
    assert_int_equal(m.c->hyp.hstatus & (HSTATUS_GVA | HSTATUS_SPV), HSTATUS_GVA);
    m.c->hyp.vsstatus |= MSTATUS_SUM;
    leave_virt(RISCV_S);
    step(hlv_w);
    assert_true(went_on());
    step(hlvx_wu);
    assert_true(s_trapped(RISCV_LOAD_PAGE_FAULT, MAPPED));
    vs_map(PTE_V | PTE_X | PTE_U | PTE_AD);
    leave_virt(RISCV_S);
    step(hlvx_wu);
    assert_true(went_on());
    g_map(PTE_V | PTE_R | PTE_W | PTE_U | PTE_AD);
    leave_virt(RISCV_S);
    step(hlvx_wu);
    assert_true(g_trapped(RISCV_LOAD_GUEST_PAGE_FAULT, MAPPED, GUEST_RAM + DATA, 0));
    leave_virt(RISCV_U);
    m.c->hyp.hstatus |= HSTATUS_HU;
    g_map(ALL_OF_IT);
    leave_virt(RISCV_U);
    step(hlvx_wu);
    assert_true(went_on());
}

static void mprv_with_mpv_accesses_the_virtual_machine(void **state)
{
    (void)state;
    g_map(ALL_OF_IT);
    vs_map(PTE_V | PTE_R | PTE_AD);
    rv_poke(&m, RV_RAM + DATA, 0x42, 8);
    m.c->mstatus |= MSTATUS_MPRV | MSTATUS_MPV | 1ULL << MSTATUS_MPP_SHIFT;
    leave_virt(RISCV_M);
    m.c->x[A1] = MAPPED;
    step(load(3));
    assert_int_equal(m.c->x[A0], 0x42);
    step(store(3));
    assert_true(trapped(RISCV_STORE_PAGE_FAULT, MAPPED));
    assert_int_equal(m.c->mstatus & (MSTATUS_GVA | MSTATUS_MPV), MSTATUS_GVA);
}

/* ---- what is remembered ---- */

static void fences_and_hgatp_forget(void **state)
{
    (void)state;
    g_map(ALL_OF_IT);
    vs_map(PTE_V | PTE_R | PTE_AD);
    rv_poke(&m, RV_RAM + DATA, 1, 8);
    rv_poke(&m, RV_RAM + DATA + 0x3000, 2, 8);
    m.c->x[A1] = MAPPED;
    m.c->hyp.vsepc = m.c->sepc = RV_RAM + CODE;
    enter_virt(RISCV_S);
    step(load(3));
    assert_int_equal(m.c->x[A0], 1);
    pte(2, 0, GUEST_RAM + DATA + 0x3000, PTE_V | PTE_R | PTE_AD);
    step(SFENCE);
    step(load(3));
    assert_int_equal(m.c->x[A0], 2);
    pte(2, 0, GUEST_RAM + DATA, PTE_V | PTE_R | PTE_AD);
    step(ECALL); /* to HS-mode, and back by SRET: nothing is forgotten on the way, but by the fence */
    assert_true(s_trapped(RISCV_ECALL_VS, 0));
    step(HFENCE_VVMA);
    step(SRET);
    step(load(3));
    assert_int_equal(m.c->x[A0], 1);
    g_pte(2, DATA >> 12, RV_RAM + DATA + 0x3000, ALL_OF_IT);
    step(ECALL);
    step(HFENCE_GVMA);
    step(SRET);
    step(load(3));
    assert_int_equal(m.c->x[A0], 2);
    step(ECALL);
    assert_true(riscv_csr_write(m.c, HGATP, 0));
    m.c->hyp.vsatp = 0;
    step(SRET);
    m.c->x[A1] = RV_RAM + DATA;
    step(load(3));
    assert_int_equal(m.c->x[A0], 1);
}

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
        T(both_stages_translate),
        T(the_first_stage_raises_page_faults),
        T(the_second_stage_raises_guest_page_faults),
        T(tables_of_the_first_stage_are_translated_too),
        T(each_stage_has_its_own_switch_for_a_and_d),
        T(mxr_is_for_one_stage_or_both),
        T(a_wider_root_translates_two_bits_more),
        T(hlv_and_hsv_access_as_the_virtual_machine_does),
        T(hlv_has_the_rights_of_spvp_and_hlvx_needs_execution),
        T(mprv_with_mpv_accesses_the_virtual_machine),
        T(fences_and_hgatp_forget),
        T(saved_state_has_the_virtual_machines),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
