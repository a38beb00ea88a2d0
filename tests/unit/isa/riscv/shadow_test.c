/* SPDX-License-Identifier: MIT */
/*
 * Laws of shadow mappings: a window shows what U-mode may access, as it may, and no longer than the TLB may know it.
 */
#include <unistd.h>

#include "isa/riscv/shadow.h"
#include "unit/isa/riscv/hart.h"

enum { USER = PTE_V | PTE_R | PTE_W | PTE_U | PTE_AD, SLOT = 2 };

static struct riscv_block block;

/* What the host may do at an address: the kernel says, without a signal. */
static bool readable(uint64_t host)
{
    int fd[2];
    assert_int_equal(pipe(fd), 0);
    bool ok = write(fd[1], (const void *)host, 1) == 1; /* NOLINT(performance-no-int-to-ptr) */
    (void)close(fd[0]);
    (void)close(fd[1]);
    return ok;
}

static bool writable(uint64_t host)
{
    char c;
    int fd[2];
    assert_int_equal(pipe(fd), 0);
    assert_int_equal(write(fd[1], "x", 1), 1);
    bool ok = read(fd[0], (void *)host, 1) == 1; /* NOLINT(performance-no-int-to-ptr) */
    if (!ok)
        (void)read(fd[0], &c, 1);
    (void)close(fd[0]);
    (void)close(fd[1]);
    return ok;
}

static uint64_t at(gva_t va)
{
    return va + block.to_host;
}

/* Pages 0 to 2 of MAPPED show DATA, DATA + 0x3000 and DATA + 0x4000 to U-mode. */
static void show(uint64_t bits)
{
    map(bits);
    pte(2, 2, RV_RAM + DATA + 0x4000, bits);
    enter(RISCV_U);
    riscv_shadow_free(m.c->tlb->shadow);
    m.c->tlb->shadow = riscv_shadow_new(&m.vm.gmem);
    assert_non_null(m.c->tlb->shadow);
    block = riscv_shadow_show(m.c->tlb->shadow, m.c->tlb->now, SLOT, riscv_block_of(MAPPED));
}

static void a_window_shows_guest_memory(void **state)
{
    unsigned space;
    gva_t va;
    (void)state;
    show(USER);
    assert_int_equal(block.base, MAPPED);
    assert_false(readable(at(MAPPED)));
    assert_true(riscv_shadow_find(m.c->tlb->shadow, at(MAPPED + 0x1234), &space, &va));
    assert_int_equal(space, m.c->tlb->now);
    assert_int_equal(va, MAPPED + 0x1234);
    rv_poke(&m, RV_RAM + DATA + 8, 0x1122334455667788, 8);
    assert_int_equal(riscv_shadow_fill(m.c, MAPPED + 8, RISCV_READ), RISCV_SHOWN);
    assert_int_equal(*(uint64_t *)at(MAPPED + 8), 0x1122334455667788); /* NOLINT(performance-no-int-to-ptr) */
    *(uint64_t *)at(MAPPED + 16) = 99;                                 /* NOLINT(performance-no-int-to-ptr) */
    assert_int_equal(rv_peek(&m, RV_RAM + DATA + 16, 8), 99);
}

static void neighbours_in_memory_are_shown_with_it(void **state)
{
    (void)state;
    show(USER);
    assert_int_equal(riscv_shadow_fill(m.c, MAPPED + 0x1000, RISCV_READ), RISCV_SHOWN);
    assert_true(writable(at(MAPPED + 0x2000))); /* goes on where the page does */
    assert_false(readable(at(MAPPED)));         /* lies elsewhere */
    assert_false(readable(at(MAPPED + 0x3000)));
    assert_int_equal(riscv_shadow_counts(m.c->tlb->shadow).pages, 2);
}

static void rights_and_dirty_bits_hold(void **state)
{
    gpa_t entry = RV_RAM + TABLES + 0x2000;
    (void)state;
    show(PTE_V | PTE_R | PTE_U | PTE_AD);
    assert_int_equal(riscv_shadow_fill(m.c, MAPPED, RISCV_READ), RISCV_SHOWN);
    assert_true(readable(at(MAPPED)));
    assert_false(writable(at(MAPPED)));
    assert_int_equal(riscv_shadow_fill(m.c, MAPPED, RISCV_WRITE), RISCV_SHADOW_FAULTS);
    show(PTE_V | PTE_R | PTE_W | PTE_U | PTE_A);
    m.c->menvcfg |= ENVCFG_ADUE;
    assert_int_equal(riscv_shadow_fill(m.c, MAPPED, RISCV_READ), RISCV_SHOWN);
    assert_false(writable(at(MAPPED))); /* D would have to be set */
    assert_int_equal(rv_peek(&m, entry, 8) & PTE_D, 0);
    assert_int_equal(riscv_shadow_fill(m.c, MAPPED, RISCV_WRITE), RISCV_SHOWN);
    assert_true(writable(at(MAPPED)));
    assert_int_equal(rv_peek(&m, entry, 8) & PTE_D, PTE_D);
    show(PTE_V | PTE_R | PTE_W | PTE_AD); /* a page of the supervisor's */
    assert_int_equal(riscv_shadow_fill(m.c, MAPPED, RISCV_READ), RISCV_SHADOW_FAULTS);
    assert_int_equal(riscv_shadow_fill(m.c, MAPPED + RISCV_BLOCK_SIZE, RISCV_READ), RISCV_SHADOW_UNFIT); /* no window */
}

static void fences_take_pages_from_view(void **state)
{
    gva_t first = MAPPED;
    (void)state;
    show(USER);
    assert_int_equal(riscv_shadow_fill(m.c, MAPPED, RISCV_READ), RISCV_SHOWN);
    assert_int_equal(riscv_shadow_fill(m.c, MAPPED + 0x1000, RISCV_READ), RISCV_SHOWN);
    riscv_tlb_fence(m.c, &first, NULL);
    assert_false(readable(at(MAPPED)));
    assert_true(readable(at(MAPPED + 0x1000)));
    assert_true(readable(at(MAPPED + 0x2000)));
    gva_t third = MAPPED + 0x2000; /* never accessed, but shown */
    riscv_tlb_fence(m.c, &third, NULL);
    assert_false(readable(at(MAPPED + 0x2000)));
    riscv_tlb_fence(m.c, NULL, NULL);
    assert_false(readable(at(MAPPED + 0x1000)));
    assert_int_equal(riscv_shadow_fill(m.c, MAPPED, RISCV_READ), RISCV_SHOWN);
    riscv_state_changed(m.c);
    assert_false(readable(at(MAPPED)));
}

static void another_space_keeps_its_own(void **state)
{
    (void)state;
    show(USER);
    assert_int_equal(riscv_shadow_fill(m.c, MAPPED, RISCV_READ), RISCV_SHOWN);
    const uint64_t satp = m.c->satp;
    m.c->satp = satp | 1ULL << 44; /* another ASID */
    riscv_tlb_follow(m.c);
    assert_int_equal(riscv_shadow_fill(m.c, MAPPED, RISCV_READ), RISCV_SHADOW_UNFIT); /* shows nothing there */
    assert_true(readable(at(MAPPED)));
    uint16_t asid = 0;
    riscv_tlb_fence(m.c, NULL, &asid); /* the one that is not in use */
    assert_false(readable(at(MAPPED)));
}

static void pages_with_code_are_read_only(void **state)
{
    uint32_t gen;
    uint8_t *page = m.vm.gmem.host + DATA;
    (void)state;
    show(USER);
    pte(2, 1, RV_RAM + DATA, USER); /* shown twice */
    assert_int_equal(riscv_shadow_fill(m.c, MAPPED, RISCV_WRITE), RISCV_SHOWN);
    riscv_shadow_drop_stores(m.c->tlb->shadow, page);
    assert_true(readable(at(MAPPED)));
    assert_false(writable(at(MAPPED)));
    assert_int_equal(riscv_shadow_fill(m.c, MAPPED, RISCV_WRITE), RISCV_SHOWN);
    assert_int_equal(riscv_shadow_fill(m.c, MAPPED + 0x1000, RISCV_WRITE), RISCV_SHOWN);
    riscv_shadow_drop_stores(m.c->tlb->shadow, page);
    assert_false(writable(at(MAPPED)));
    assert_false(writable(at(MAPPED + 0x1000)));
    assert_true(gmem_mark_code(&m.vm.gmem, DATA >> GPAGE_SHIFT, &gen));
    riscv_tlb_flush_all(m.c);
    assert_int_equal(riscv_shadow_fill(m.c, MAPPED, RISCV_READ), RISCV_SHOWN);
    assert_false(writable(at(MAPPED)));
    assert_int_equal(riscv_shadow_fill(m.c, MAPPED, RISCV_WRITE), RISCV_SHADOW_UNFIT);
}

static void a_window_shows_another_block_when_asked(void **state)
{
    (void)state;
    show(USER);
    assert_int_equal(riscv_shadow_fill(m.c, MAPPED, RISCV_READ), RISCV_SHOWN);
    const struct riscv_block before = block;
    block = riscv_shadow_show(m.c->tlb->shadow, m.c->tlb->now, SLOT, riscv_block_of(MAPPED) + RISCV_BLOCK_SIZE);
    assert_int_equal(before.base + before.to_host, block.base + block.to_host);
    assert_false(readable(before.base + before.to_host));
    for (unsigned k = 1; k <= RISCV_BLOCK_SLACK; k *= 2) {
        assert_false(readable(block.base + block.to_host - k));
        assert_false(readable(block.base + block.to_host + RISCV_BLOCK_SIZE - 1 + k));
    }
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        T(a_window_shows_guest_memory),
        T(neighbours_in_memory_are_shown_with_it),
        T(rights_and_dirty_bits_hold),
        T(fences_take_pages_from_view),
        T(another_space_keeps_its_own),
        T(pages_with_code_are_read_only),
        T(a_window_shows_another_block_when_asked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
