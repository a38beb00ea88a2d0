/* SPDX-License-Identifier: MIT */
/*
 * Laws of a RISC-V hart's memory: Sv39, Sv48, Sv57, rights, accessed and dirty bits, large pages, misaligned accesses, PMP.
 */
#include "unit/isa/riscv/hart.h"

static void pages_translate_and_rights_hold(void **state)
{
    (void)state;
    rv_poke(&m, RV_RAM + DATA + 8, 0x1122334455667788, 8);
    map(PTE_V | PTE_R | PTE_AD);
    m.c->x[A1] = MAPPED + 8;
    step(load(3));
    assert_int_equal(m.c->x[A0], 0x1122334455667788);
    step(store(3));
    assert_true(trapped(RISCV_STORE_PAGE_FAULT, MAPPED + 8));
    again();
    m.c->x[A1] = MAPPED + 0x2000;
    step(load(3));
    assert_true(trapped(RISCV_LOAD_PAGE_FAULT, MAPPED + 0x2000));
    again();
    step_at(MAPPED, RV_RAM + DATA, NOP);
    assert_true(trapped(RISCV_FETCH_PAGE_FAULT, MAPPED));
    again();
    m.c->x[A1] = 1ULL << 39; /* beyond Sv39 */
    step(load(3));
    assert_true(trapped(RISCV_LOAD_PAGE_FAULT, 1ULL << 39));
}

static void user_pages_are_for_s_mode_with_sum_only(void **state)
{
    (void)state;
    map(PTE_V | PTE_R | PTE_X | PTE_U | PTE_AD);
    m.c->x[A1] = MAPPED;
    step(load(2));
    assert_true(trapped(RISCV_LOAD_PAGE_FAULT, MAPPED));
    m.c->mstatus |= MSTATUS_SUM;
    again();
    step(load(2));
    assert_false(m.c->pc == RV_RAM + HANDLER);
    step_at(MAPPED, RV_RAM + DATA, NOP); /* never to execute */
    assert_true(trapped(RISCV_FETCH_PAGE_FAULT, MAPPED));
}

static void mxr_makes_executable_pages_readable(void **state)
{
    (void)state;
    map(PTE_V | PTE_X | PTE_AD);
    m.c->x[A1] = MAPPED;
    step(load(2));
    assert_true(trapped(RISCV_LOAD_PAGE_FAULT, MAPPED));
    m.c->mstatus |= MSTATUS_MXR;
    again();
    step(load(2));
    assert_false(m.c->pc == RV_RAM + HANDLER);
}

static void accessed_and_dirty_are_set_or_fault(void **state)
{
    (void)state;
    gpa_t at = RV_RAM + TABLES + 0x2000;
    map(PTE_V | PTE_R | PTE_W);
    m.c->x[A1] = MAPPED;
    step(load(2));
    assert_true(trapped(RISCV_LOAD_PAGE_FAULT, MAPPED)); /* Svade */
    m.c->menvcfg |= ENVCFG_ADUE;
    again();
    step(load(2));
    assert_int_equal(rv_peek(&m, at, 8) & PTE_AD, PTE_A);
    step(store(2));
    assert_int_equal(rv_peek(&m, at, 8) & PTE_AD, PTE_AD);
    pte(2, 0, RV_RAM + DATA, PTE_V | PTE_R | PTE_W | PTE_A);
    m.c->menvcfg = 0;
    again();
    step(load(2));
    assert_false(m.c->pc == RV_RAM + HANDLER);
    step(store(2));
    assert_true(trapped(RISCV_STORE_PAGE_FAULT, MAPPED));
}

static void reserved_entries_fault(void **state)
{
    (void)state;
    const uint64_t good = PTE_V | PTE_R | PTE_W | PTE_AD;
    const uint64_t bad[] = { good & ~(uint64_t)PTE_V, PTE_V | PTE_W | PTE_AD, PTE_V,
                             good | 1ULL << 54,       good | 1ULL << 60,      good | 1ULL << 61 /* PBMT, closed */,
                             good | 1ULL << 63 /* not a 64 KiB range */ };
    m.c->x[A1] = MAPPED;
    for (unsigned k = 0; k < sizeof(bad) / sizeof(bad[0]); k++) {
        map(bad[k]);
        step(load(2));
        assert_true(trapped(RISCV_LOAD_PAGE_FAULT, MAPPED));
    }
    map(good);
    pte(1, 0, RV_RAM + 0x1000, good); /* a 2 MiB page that is not aligned */
    again();
    step(load(2));
    assert_true(trapped(RISCV_LOAD_PAGE_FAULT, MAPPED));
    pte(1, 0, RV_RAM + TABLES + 0x2000, PTE_V | PTE_A); /* a pointer with A */
    again();
    step(load(2));
    assert_true(trapped(RISCV_LOAD_PAGE_FAULT, MAPPED));
    m.c->menvcfg |= ENVCFG_PBMTE;
    map(good | 1ULL << 61);
    step(load(2));
    assert_false(m.c->pc == RV_RAM + HANDLER);
}

static void napot_and_large_pages_translate(void **state)
{
    (void)state;
    map(PTE_V | PTE_R | PTE_AD);
    for (unsigned k = 0; k < 16; k++)
        pte(2, k, RV_RAM + DATA + 0x8000, PTE_V | PTE_R | PTE_AD | 1ULL << 63); /* 64 KiB at DATA: its base with bit 3 set */
    pte(1, 1, RV_RAM + 0x200000, PTE_V | PTE_R | PTE_AD);
    rv_poke(&m, RV_RAM + DATA + 0x5010, 0x55, 8);
    rv_poke(&m, RV_RAM + 0x200000 + 0x123458, 0x66, 8);
    again();
    m.c->x[A1] = MAPPED + 0x5010;
    step(load(3));
    assert_int_equal(m.c->x[A0], 0x55);
    m.c->x[A1] = MAPPED + 0x200000 + 0x123458;
    step(load(3));
    assert_int_equal(m.c->x[A0], 0x66);
}

static void sv48_has_one_level_more(void **state)
{
    (void)state;
    map(PTE_V | PTE_R | PTE_AD);
    rv_poke(&m, RV_RAM + TABLES + 0x3000 + 8 * 3, (RV_RAM + TABLES) >> 12 << 10 | PTE_V, 8);
    rv_poke(&m, RV_RAM + TABLES + 0x3000, (RV_RAM + TABLES) >> 12 << 10 | PTE_V, 8);
    m.c->satp = 9ULL << 60 | (RV_RAM + TABLES + 0x3000) >> 12;
    rv_poke(&m, RV_RAM + DATA, 0x77, 8);
    again();
    m.c->x[A1] = (3ULL << 39) + MAPPED;
    step(load(3));
    assert_int_equal(m.c->x[A0], 0x77);
}

static void sv57_has_two_levels_more(void **state)
{
    (void)state;
    const gpa_t root57 = RV_RAM + TABLES + 0x4000, root48 = RV_RAM + TABLES + 0x3000;
    map(PTE_V | PTE_R | PTE_AD);
    rv_poke(&m, root57 + 8 * 0xa5, root48 >> 12 << 10 | PTE_V, 8);
    rv_poke(&m, root57 + 8 * 0x1fe, root48 >> 12 << 10 | PTE_V, 8);
    rv_poke(&m, root57, root48 >> 12 << 10 | PTE_V, 8);
    rv_poke(&m, root48 + 8 * 3, (RV_RAM + TABLES) >> 12 << 10 | PTE_V, 8);
    rv_poke(&m, root48, (RV_RAM + TABLES) >> 12 << 10 | PTE_V, 8);
    rv_poke(&m, RV_RAM + DATA, 0x77, 8);
    assert_true(riscv_csr_write(m.c, 0x180, 10ULL << 60 | root57 >> 12));
    const gva_t low = 0xa5ULL << 48 | 3ULL << 39 | MAPPED, high = 0xfffeULL << 48 | 3ULL << 39 | MAPPED;
    const gva_t good[] = { low, high, MAPPED };
    for (unsigned k = 0; k < 3; k++) {
        again();
        m.c->x[A0] = 0;
        m.c->x[A1] = good[k];
        step(load(3));
        assert_int_equal(m.c->x[A0], 0x77);
    }
    const gva_t bad[] = { low | 1ULL << 56, low | 1ULL << 57, low | 1ULL << 63, high & ~(1ULL << 56), high & ~(1ULL << 63) };
    for (unsigned k = 0; k < 5; k++) { /* bits 63 to 56 differ */
        again();
        m.c->x[A1] = bad[k];
        step(load(3));
        assert_true(trapped(RISCV_LOAD_PAGE_FAULT, bad[k]));
    }
}

static void a_page_of_each_size_of_sv57_is_aligned(void **state)
{
    (void)state;
    const uint64_t bits = PTE_V | PTE_R | PTE_AD;
    rv_poke(&m, RV_RAM + DATA, 0x77, 8);
    for (unsigned level = 1; level <= 4; level++) { /* 2 MiB to 256 TiB, from 0 */
        const gva_t va = RV_RAM + DATA;
        const unsigned shift = 12 + 9 * level, index = va >> shift & 511;
        for (unsigned above = 4; above > level; above--)
            pte(above, va >> (12 + 9 * above) & 511, RV_RAM + TABLES + 0x1000 * (above - 1), PTE_V);
        const gpa_t leaf = va >> shift << shift;
        pte(level, index, leaf, bits | PTE_X);
        m.c->satp = 10ULL << 60 | (RV_RAM + TABLES + 0x4000) >> 12;
        enter(RISCV_S);
        m.c->x[A0] = 0;
        m.c->x[A1] = va;
        step_at(RV_RAM + CODE, RV_RAM + CODE, load(3));
        assert_int_equal(m.c->x[A0], 0x77);
        pte(level, index, leaf + 0x1000, bits | PTE_X);
        again();
        step_at(RV_RAM + CODE, RV_RAM + CODE, load(3));
        assert_true(trapped(RISCV_FETCH_PAGE_FAULT, RV_RAM + CODE));
    }
}

static void a_misaligned_access_crosses_pages_or_faults_whole(void **state)
{
    (void)state;
    map(PTE_V | PTE_R | PTE_W | PTE_AD);
    m.c->x[A1] = MAPPED + 0xffd;
    m.c->x[A0] = 0x8877665544332211;
    step(store(3));
    assert_int_equal(rv_peek(&m, RV_RAM + DATA + 0xffd, 3), 0x332211);
    assert_int_equal(rv_peek(&m, RV_RAM + DATA + 0x3000, 5), 0x8877665544);
    step(load(3));
    assert_int_equal(m.c->x[A0], 0x8877665544332211);
    pte(2, 1, RV_RAM + DATA + 0x3000, PTE_V | PTE_R | PTE_AD);
    again();
    m.c->x[A0] = 0;
    step(store(3));
    assert_true(trapped(RISCV_STORE_PAGE_FAULT, MAPPED + 0x1000));
    assert_int_equal(rv_peek(&m, RV_RAM + DATA + 0xffd, 3), 0x332211);
}

/* Spec: CMO 1.0, 2.5.2 */
static void cache_block_faults_name_the_address_that_was_given(void **state)
{
    enum { CLEAN = 1U << 20 | A1 << 15 | 2 << 12 | 0x0f, ZERO = 4U << 20 | A1 << 15 | 2 << 12 | 0x0f };
    (void)state;
    map(PTE_V | PTE_R | PTE_AD);
    m.c->menvcfg = ENVCFG_CBZE | ENVCFG_CBCFE;
    rv_poke(&m, RV_RAM + DATA + 0x40, 0x99, 8);
    m.c->x[A1] = MAPPED + 0x79;
    step(ZERO);
    assert_true(trapped(RISCV_STORE_PAGE_FAULT, MAPPED + 0x79));
    assert_int_equal(rv_peek(&m, RV_RAM + DATA + 0x40, 8), 0x99);
    map(PTE_V | PTE_R | PTE_W | PTE_AD);
    riscv_tlb_fence(m.c, NULL, NULL);
    step(ZERO);
    assert_int_equal(rv_peek(&m, RV_RAM + DATA + 0x40, 8), 0);
    m.c->x[A1] = MAPPED + 0x2079;
    again();
    for (unsigned k = 0; k < 2; k++) {
        again();
        step(k ? ZERO : CLEAN);
        assert_true(trapped(RISCV_STORE_PAGE_FAULT, MAPPED + 0x2079));
    }
}

static void mprv_makes_m_mode_access_as_mpp(void **state)
{
    (void)state;
    map(PTE_V | PTE_R | PTE_AD);
    rv_poke(&m, RV_RAM + DATA, 0x99, 8);
    enter(RISCV_M);
    m.c->mstatus |= MSTATUS_MPRV | 1ULL << MSTATUS_MPP_SHIFT;
    riscv_mode_update(m.c);
    m.c->x[A1] = MAPPED;
    step(load(3));
    assert_int_equal(m.c->x[A0], 0x99);
}

/* ---- PMP ---- */

static void pmp_guards_s_mode_and_when_locked_m_mode(void **state)
{
    (void)state;
    m.c->priv = RISCV_S;
    riscv_state_changed(m.c);
    step(NOP); /* no entry matches */
    assert_true(trapped(RISCV_FETCH_ACCESS_FAULT, m.c->mepc));
    m.c->pmpaddr[0] = (RV_RAM + DATA) >> 2;
    m.c->pmpaddr[1] = (RV_RAM + DATA + 8) >> 2;
    m.c->pmpcfg[1] = 0x09; /* TOR, read */
    enter(RISCV_S);
    m.c->x[A1] = RV_RAM + DATA;
    step(load(3));
    assert_false(m.c->pc == RV_RAM + HANDLER);
    step(store(3));
    assert_true(trapped(RISCV_STORE_ACCESS_FAULT, RV_RAM + DATA));
    enter(RISCV_S);
    m.c->x[A1] = RV_RAM + DATA + 8; /* the same page, behind the range */
    step(store(3));
    assert_false(m.c->pc == RV_RAM + HANDLER);
    m.c->x[A1] = RV_RAM + DATA + 4; /* half in, half out */
    step(load(3));
    assert_true(trapped(RISCV_LOAD_ACCESS_FAULT, RV_RAM + DATA + 4));
    m.c->x[A1] = RV_RAM + DATA;
    step(store(3)); /* M-mode may */
    assert_int_not_equal(m.c->pc, RV_RAM + HANDLER);
    assert_true(riscv_csr_write(m.c, 0x3a0, 0x8900));
    step(store(3));
    assert_true(trapped(RISCV_STORE_ACCESS_FAULT, RV_RAM + DATA));
    assert_true(riscv_csr_write(m.c, 0x3a0, 0)); /* locked: stays, and so does the address before a TOR */
    assert_int_equal(m.c->pmpcfg[1], 0x89);
    assert_true(riscv_csr_write(m.c, 0x3b0, 0));
    assert_int_equal(m.c->pmpaddr[0], (RV_RAM + DATA) >> 2);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        T(pages_translate_and_rights_hold),
        T(user_pages_are_for_s_mode_with_sum_only),
        T(mxr_makes_executable_pages_readable),
        T(accessed_and_dirty_are_set_or_fault),
        T(reserved_entries_fault),
        T(napot_and_large_pages_translate),
        T(sv48_has_one_level_more),
        T(sv57_has_two_levels_more),
        T(a_page_of_each_size_of_sv57_is_aligned),
        T(a_misaligned_access_crosses_pages_or_faults_whole),
        T(cache_block_faults_name_the_address_that_was_given),
        T(mprv_makes_m_mode_access_as_mpp),
        T(pmp_guards_s_mode_and_when_locked_m_mode),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
