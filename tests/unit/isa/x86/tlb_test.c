/* SPDX-License-Identifier: MIT */
/*
 * The software TLB's upkeep: address spaces, global pages, flushes of pages, and what is told of them.
 */
#include "support/bare_x86.h"

#include "isa/x86/tlb.h"

enum { PD = BARE_TABLES + 0x2000, PT = BARE_TABLES + 0x3000, P = 1, W = 2, U = 4, PS = 0x80, G = 0x100 };

static int setup(void **state)
{
    static struct bare b;
    bare_init(&b);
    bare_long(&b);
    b.c->cr4 |= CR4_PCIDE;
    x86_tlb_flush_all(b.c);
    for (uint64_t k = 5; k < 9; k++)
        bare_poke64(&b, k << 12, 11 * k);
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

static void go_to(struct bare *b, unsigned pcid, bool keep)
{
    b->c->cr3 = BARE_TABLES | pcid;
    x86_tlb_switch(b->c, keep);
}

static uint64_t read_at(struct bare *b, gva_t lin)
{
    return x86_lin_read(b->c, lin, 8, X86_BANK_KERNEL);
}

static const struct x86_tlb_flushed *last_flush(const struct bare *b)
{
    return &b->c->tlb->flushed[(b->c->tlb->page_flushes - 1) % TLB_FLUSHED];
}

static void global_pages_outlive_cr3_writes_and_others_do_not(void **state)
{
    struct bare *b = *state;
    map(b, 5, 0x5000 | P | W | U | G);
    assert_int_equal(read_at(b, 0x5000), 55);
    assert_int_equal(read_at(b, 0x6000), 66);
    uint64_t misses = b->c->tlb->misses[X86_READ];
    go_to(b, 3, false);
    assert_int_equal(read_at(b, 0x5000), 55);
    assert_int_equal(b->c->tlb->misses[X86_READ], misses);
    assert_int_equal(read_at(b, 0x6000), 66);
    assert_int_equal(b->c->tlb->misses[X86_READ], misses + 1);
}

static void invlpg_reaches_a_global_page_entered_elsewhere(void **state)
{
    struct bare *b = *state;
    map(b, 5, 0x5000 | P | W | U | G);
    assert_int_equal(read_at(b, 0x5000), 55);
    go_to(b, 3, false);
    map(b, 5, 0x6000 | P | W | U | G);
    x86_tlb_flush_page(b->c, 0x5000);
    assert_int_equal(read_at(b, 0x5000), 66);
    go_to(b, 0, true);
    assert_int_equal(read_at(b, 0x5000), 66);
}

static void a_page_that_becomes_global_takes_no_older_rights_along(void **state)
{
    struct bare *b = *state;
    assert_non_null(x86_tlb_touch(b->c, 0x5000, X86_FETCH, X86_BANK_KERNEL));
    map(b, 5, 0x5000 | P | W | U | G | 1ULL << 63);
    assert_non_null(x86_tlb_touch(b->c, 0x5000, X86_READ, X86_BANK_KERNEL));
    go_to(b, 0, false);
    assert_null(x86_tlb_touch(b->c, 0x5000, X86_FETCH, X86_BANK_KERNEL));
}

static void a_kept_pcid_finds_its_entries_again(void **state)
{
    struct bare *b = *state;
    assert_int_equal(read_at(b, 0x5000), 55);
    go_to(b, 3, false);
    go_to(b, 0, true);
    uint64_t misses = b->c->tlb->misses[X86_READ];
    assert_int_equal(read_at(b, 0x5000), 55);
    assert_int_equal(b->c->tlb->misses[X86_READ], misses);
}

static void invlpg_spares_other_pages(void **state)
{
    struct bare *b = *state;
    bare_poke64(b, PD + 8, 0x200000 | P | W | U | PS); /* a large page is about */
    (void)read_at(b, 0x211000);
    (void)read_at(b, 0x5000);
    (void)read_at(b, 0x6000);
    uint64_t misses = b->c->tlb->misses[X86_READ];
    x86_tlb_flush_page(b->c, 0x6000);
    (void)read_at(b, 0x5000);
    (void)read_at(b, 0x211000);
    assert_int_equal(b->c->tlb->misses[X86_READ], misses);
    (void)read_at(b, 0x6000);
    assert_int_equal(b->c->tlb->misses[X86_READ], misses + 1);
}

static void flushes_are_noted_with_size_and_address_space(void **state)
{
    struct bare *b = *state;
    bare_poke64(b, PD + 8, 0x200000 | P | W | U | PS);
    (void)read_at(b, 0x211000);
    (void)read_at(b, 0x5000);
    x86_tlb_flush_page(b->c, 0x5123);
    assert_int_equal(last_flush(b)->lin, 0x5123);
    assert_int_equal(last_flush(b)->shift, 12);
    assert_int_equal(last_flush(b)->asid, b->c->asid);
    x86_tlb_flush_page(b->c, 0x3ff000);
    assert_int_equal(last_flush(b)->shift, 21);
    map(b, 5, 0x5000 | P | W | U | G);
    (void)read_at(b, 0x5000);
    x86_tlb_flush_page(b->c, 0x5000);
    assert_int_equal(last_flush(b)->asid, 0);
    x86_tlb_flush_page(b->c, 0xffff800000005000); /* nothing there is global */
    assert_int_equal(last_flush(b)->asid, b->c->asid);
}

static void a_dropped_asid_lives_no_more(void **state)
{
    struct bare *b = *state;
    go_to(b, 3, false);
    uint64_t asid = b->c->asid;
    go_to(b, 0, true);
    assert_true(tlb_asid_lives(b->c->tlb, 3, asid));
    x86_tlb_flush_pcid(b->c, 3);
    assert_false(tlb_asid_lives(b->c->tlb, 3, asid));
}

/* Its tag would be "no tag" if an address space had the highest number that fits. */
static void the_last_page_hits_under_no_asid_unless_it_was_entered(void **state)
{
    struct bare *b = *state;
    for (unsigned n = 0; n < 2 * 4096; n++) {
        go_to(b, n & 7, false);
        assert_null(x86_tlb_touch(b->c, 0xfffffffffffff000, X86_READ, X86_BANK_KERNEL));
    }
}

static void used_up_asids_count_as_a_drop(void **state)
{
    struct bare *b = *state;
    uint64_t drops = b->c->tlb->drops, last = b->c->asid;
    while (b->c->asid >= last) {
        assert_int_equal(b->c->tlb->drops, drops);
        last = b->c->asid;
        go_to(b, 1, false);
    }
    assert_int_equal(b->c->tlb->drops, drops + 1);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(global_pages_outlive_cr3_writes_and_others_do_not),
        T(invlpg_reaches_a_global_page_entered_elsewhere),
        T(a_page_that_becomes_global_takes_no_older_rights_along),
        T(a_kept_pcid_finds_its_entries_again),
        T(invlpg_spares_other_pages),
        T(flushes_are_noted_with_size_and_address_space),
        T(a_dropped_asid_lives_no_more),
        T(the_last_page_hits_under_no_asid_unless_it_was_entered),
        T(used_up_asids_count_as_a_drop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
