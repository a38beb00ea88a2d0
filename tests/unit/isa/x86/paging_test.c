/* SPDX-License-Identifier: MIT */
/*
 * Page walks and the software TLB: rights, A and D bits, fault codes, invalidation.
 */
#include "support/bare_x86.h"

enum { PT = BARE_TABLES + 0x3000, P = 1, W = 2, U = 4, A = 0x20, D = 0x40, PS = 0x80 };
#define NX (1ULL << 63)

static int setup(void **state)
{
    static struct bare b;
    bare_init(&b);
    bare_long(&b);
    *state = &b;
    return 0;
}

static int teardown(void **state)
{
    bare_done(*state);
    return 0;
}

static void map(struct bare *b, uint64_t page, uint64_t entry)
{
    bare_poke64(b, PT + 8 * page, entry);
}

/* The #PF error code of an access, or -1 when it is allowed. */
static int64_t fault(struct bare *b, gva_t lin, enum x86_access access, enum x86_tlb_bank bank)
{
    struct x86_walk w;
    uint32_t r = x86_walk(b->c, lin, access, bank, &w);
    return r ? (int64_t)(r & 0x7fffffff) : -1;
}

static void walk_sets_accessed_on_all_levels_and_dirty_on_the_leaf_of_a_write(void **state)
{
    struct bare *b = *state;
    assert_int_equal(fault(b, 0x5123, X86_READ, X86_BANK_KERNEL), -1);
    assert_true(bare_peek64(b, BARE_TABLES) & A);
    assert_true(bare_peek64(b, BARE_TABLES + 0x2000) & A);
    assert_int_equal(bare_peek64(b, PT + 8 * 5) & (A | D), A);
    assert_int_equal(fault(b, 0x5123, X86_WRITE, X86_BANK_KERNEL), -1);
    assert_int_equal(bare_peek64(b, PT + 8 * 5) & (A | D), A | D);
    assert_false(bare_peek64(b, BARE_TABLES + 0x2000) & D);
}

static void faulting_walk_sets_no_bits(void **state)
{
    struct bare *b = *state;
    map(b, 5, 0x5000 | P | U);
    assert_int_equal(fault(b, 0x5000, X86_WRITE, X86_BANK_USER), PF_P | PF_W | PF_U);
    assert_int_equal(bare_peek64(b, PT + 8 * 5), 0x5000 | P | U);
}

static void rights_follow_user_write_nx_and_wp(void **state)
{
    struct bare *b = *state;
    map(b, 1, 0x1000 | P | W);          /* supervisor */
    map(b, 2, 0x2000 | P | U);          /* user, read only */
    map(b, 3, 0x3000 | P | W | U | NX); /* user, no execute */
    map(b, 4, 0);
    assert_int_equal(fault(b, 0x1000, X86_READ, X86_BANK_USER), PF_P | PF_U);
    assert_int_equal(fault(b, 0x1000, X86_WRITE, X86_BANK_KERNEL), -1);
    assert_int_equal(fault(b, 0x2000, X86_WRITE, X86_BANK_KERNEL), PF_P | PF_W);
    b->c->cr0 &= ~(uint64_t)CR0_WP;
    assert_int_equal(fault(b, 0x2000, X86_WRITE, X86_BANK_KERNEL), -1);
    assert_int_equal(fault(b, 0x3000, X86_FETCH, X86_BANK_USER), PF_P | PF_U | PF_I);
    assert_int_equal(fault(b, 0x3000, X86_READ, X86_BANK_USER), -1);
    assert_int_equal(fault(b, 0x4000, X86_READ, X86_BANK_KERNEL), 0);
    assert_int_equal(fault(b, 0x4000, X86_WRITE, X86_BANK_USER), PF_W | PF_U);
}

static void smep_and_smap_keep_the_supervisor_out_of_user_pages(void **state)
{
    struct bare *b = *state;
    assert_int_equal(fault(b, 0x5000, X86_FETCH, X86_BANK_KERNEL), -1);
    assert_int_equal(fault(b, 0x5000, X86_READ, X86_BANK_KERNEL), -1);
    b->c->cr4 |= CR4_SMEP | CR4_SMAP;
    assert_int_equal(fault(b, 0x5000, X86_FETCH, X86_BANK_KERNEL), PF_P | PF_I);
    assert_int_equal(fault(b, 0x5000, X86_READ, X86_BANK_KERNEL), PF_P);
    assert_int_equal(fault(b, 0x5000, X86_READ, X86_BANK_KERNEL_AC), -1);
    assert_int_equal(fault(b, 0x5000, X86_READ, X86_BANK_USER), -1);
}

static void reserved_bits_fault_as_reserved(void **state)
{
    struct bare *b = *state;
    map(b, 5, 0x5000 | P | W | U | 1ULL << 51);
    assert_int_equal(fault(b, 0x5000, X86_READ, X86_BANK_USER), PF_P | PF_U | PF_RSVD);
    map(b, 5, 0x5000 | P | W | U | NX);
    b->c->efer &= ~(uint64_t)EFER_NXE;
    assert_int_equal(fault(b, 0x5000, X86_READ, X86_BANK_USER), PF_P | PF_U | PF_RSVD);
}

static void large_pages_translate_and_check_their_reserved_bits(void **state)
{
    struct bare *b = *state;
    struct x86_walk w;
    bare_poke64(b, BARE_TABLES + 0x2000 + 8, 0x200000 | P | W | U | PS);
    assert_int_equal(x86_walk(b->c, 0x212345, X86_READ, X86_BANK_USER, &w), 0);
    assert_int_equal(w.gpa, 0x212345);
    assert_int_equal(w.page_size, 2 << 20);
    bare_poke64(b, BARE_TABLES + 0x2000 + 8, 0x202000 | P | W | U | PS);
    assert_int_equal(fault(b, 0x212345, X86_READ, X86_BANK_USER), PF_P | PF_U | PF_RSVD);
}

static void pae_and_32_bit_tables_translate(void **state)
{
    struct bare *b = *state;
    struct x86_walk w;
    b->c->efer = 0;
    b->c->cr3 = BARE_TABLES + 0x1000; /* its first entries serve as PDPTEs when their rights bits are off */
    bare_poke64(b, BARE_TABLES + 0x1000, (BARE_TABLES + 0x2000) | P);
    assert_true(x86_load_pdptes(b->c, b->c->cr3));
    assert_int_equal(x86_walk(b->c, 0x5123, X86_READ, X86_BANK_USER, &w), 0);
    assert_int_equal(w.gpa, 0x5123);
    bare_poke64(b, BARE_TABLES + 0x1000, (BARE_TABLES + 0x2000) | P | W);
    assert_false(x86_load_pdptes(b->c, b->c->cr3));
    b->c->cr4 = CR4_PSE;
    b->c->cr3 = 0x200000;
    bare_poke64(b, 0x200000, 0x201007);                   /* PDE 0, and PDE 1 = 0 */
    bare_poke64(b, 0x201000, 0x0000700700006007ULL);      /* PTE 0 -> 6000h, PTE 1 -> 7000h */
    bare_poke64(b, 0x200008, (0x400000ULL | 0x87) << 32); /* PDE 3: a 4 MiB page */
    assert_int_equal(x86_walk(b->c, 0x1234, X86_READ, X86_BANK_USER, &w), 0);
    assert_int_equal(w.gpa, 0x7234);
    assert_int_equal(x86_walk(b->c, 0xc12345, X86_READ, X86_BANK_USER, &w), 0);
    assert_int_equal(w.gpa, 0x412345);
}

static void tlb_keeps_a_translation_until_it_is_invalidated(void **state)
{
    struct bare *b = *state;
    bare_poke64(b, 0x5000, 55);
    bare_poke64(b, 0x6000, 66);
    assert_int_equal(x86_lin_read(b->c, 0x5000, 8, X86_BANK_KERNEL), 55);
    map(b, 5, 0x6000 | P | W | U);
    x86_tlb_flush_page(b->c, 0x5000);
    assert_int_equal(x86_lin_read(b->c, 0x5000, 8, X86_BANK_KERNEL), 66);
}

static void invlpg_drops_every_piece_of_a_large_page(void **state)
{
    struct bare *b = *state;
    bare_poke64(b, BARE_TABLES + 0x2000 + 8, 0x200000 | P | W | U | PS);
    bare_poke64(b, 0x211000, 7);
    assert_int_equal(x86_lin_read(b->c, 0x211000, 8, X86_BANK_KERNEL), 7);
    bare_poke64(b, BARE_TABLES + 0x2000 + 8, 0);
    x86_tlb_flush_page(b->c, 0x3ff000);
    assert_true(RAISES(b->c, x86_lin_read(b->c, 0x211000, 8, X86_BANK_KERNEL)));
    assert_int_equal(b->c->trap.vector, X86_PF);
    assert_int_equal(b->c->trap.cr2, 0x211000);
}

static void address_spaces_with_pcid_do_not_mix(void **state)
{
    struct bare *b = *state;
    b->c->cr4 |= CR4_PCIDE;
    x86_tlb_flush_all(b->c);
    bare_poke64(b, 0x5000, 55);
    bare_poke64(b, 0x6000, 66);
    b->c->cr3 = BARE_TABLES | 1;
    x86_tlb_switch(b->c, false);
    assert_int_equal(x86_lin_read(b->c, 0x5000, 8, X86_BANK_KERNEL), 55);
    map(b, 5, 0x6000 | P | W | U);
    b->c->cr3 = BARE_TABLES | 2;
    x86_tlb_switch(b->c, false);
    assert_int_equal(x86_lin_read(b->c, 0x5000, 8, X86_BANK_KERNEL), 66);
    b->c->cr3 = BARE_TABLES | 1;
    x86_tlb_switch(b->c, false); /* without "keep" PCID 1 starts empty */
    assert_int_equal(x86_lin_read(b->c, 0x5000, 8, X86_BANK_KERNEL), 66);
}

static void write_that_crosses_into_a_bad_page_changes_nothing(void **state)
{
    struct bare *b = *state;
    map(b, 6, 0x6000 | P | U);
    bare_poke64(b, 0x5ff8, 0x1111111111111111);
    assert_true(RAISES(b->c, x86_lin_write(b->c, 0x5ffc, 0x2222222222222222, 8, X86_BANK_KERNEL)));
    assert_int_equal(b->c->trap.cr2, 0x6000);
    assert_int_equal(bare_peek64(b, 0x5ff8), 0x1111111111111111);
}

static void non_canonical_addresses_raise_gp_or_ss(void **state)
{
    struct bare *b = *state;
    assert_true(RAISES(b->c, x86_mem_read(b->c, SEG_DS, 0x800000000000, 8)));
    assert_int_equal(b->c->trap.vector, X86_GP);
    assert_true(RAISES(b->c, x86_mem_read(b->c, SEG_SS, 0x7ffffffffffc, 8)));
    assert_int_equal(b->c->trap.vector, X86_SS);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(walk_sets_accessed_on_all_levels_and_dirty_on_the_leaf_of_a_write),
        T(faulting_walk_sets_no_bits),
        T(rights_follow_user_write_nx_and_wp),
        T(smep_and_smap_keep_the_supervisor_out_of_user_pages),
        T(reserved_bits_fault_as_reserved),
        T(large_pages_translate_and_check_their_reserved_bits),
        T(pae_and_32_bit_tables_translate),
        T(tlb_keeps_a_translation_until_it_is_invalidated),
        T(invlpg_drops_every_piece_of_a_large_page),
        T(address_spaces_with_pcid_do_not_mix),
        T(write_that_crosses_into_a_bad_page_changes_nothing),
        T(non_canonical_addresses_raise_gp_or_ss),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
