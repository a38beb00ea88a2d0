/* SPDX-License-Identifier: MIT */
/*
 * Laws of a virtual machine's memory: two-stage translation and its faults, accesses from outside, what is remembered.
 */
#include "unit/isa/riscv/virtual.h"

/* ---- two stages ---- */

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
    m.c->hyp.vsatp = 0;
    m.c->x[A1] = GUEST_RAM + DATA;
    enter_virt(RISCV_S);
    step(load(3));
    assert_true(went_on());
    step(ECALL);
    m.c->x[A2] = MSTATUS_MXR;
    step(SSTATUS << 20 | A2 << 15 | 3 << 12 | 0x73); /* csrc sstatus, a2: what was read so is forgotten */
    step(SRET);
    step(load(3));
    assert_true(g_trapped(RISCV_LOAD_GUEST_PAGE_FAULT, GUEST_RAM + DATA, GUEST_RAM + DATA, 0));
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

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, set_up_hyp, tear_down)
    const struct CMUnitTest tests[] = {
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
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
