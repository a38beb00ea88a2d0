/* SPDX-License-Identifier: MIT */
/*
 * Laws of the monitor's SBI with one hart: answers of the calls, and that no arguments do harm.
 */
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "backend/chardev.h"
#include "isa/riscv/mmu.h"
#include "isa/riscv/profile.h"
#include "isa/riscv/trap.h"
#include "machine/sbi.h"
#include "machine/sbi_own.h"
#include "support/bare_riscv.h"

enum { BASE = 0x10, TIME = 0x54494d45, IPI = 0x735049, RFENCE = 0x52464e43, HSM = 0x48534d, SRST = 0x53525354 };
enum { DBCN = 0x4442434e, PMU = 0x504d55, ROUNDS = 100000 };

static struct bare_riscv m;
static struct sbi sbi;
static struct chardev *console;

static int set_up(void **state)
{
    struct error err;
    (void)state;
    if (bare_riscv_init(&m, NULL, &err) < 0 || chardev_buffer_new(64, &console, &err) < 0)
        return -1;
    sbi = (struct sbi){ .vm = &m.vm, .console = console };
    m.vm.vcpu[0] = m.vcpu;
    m.vm.nr_vcpus = 1;
    riscv_enter_supervisor(m.c, RV_RAM, 0);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    m.vm.nr_vcpus = 0;
    bare_riscv_done(&m);
    chardev_free(console);
    return 0;
}

static int64_t call(uint64_t eid, uint64_t fid, uint64_t a0, uint64_t a1, uint64_t a2)
{
    m.c->x[10] = a0, m.c->x[11] = a1, m.c->x[12] = a2, m.c->x[16] = fid, m.c->x[17] = eid;
    sbi_call(&sbi, m.c);
    return (int64_t)m.c->x[10];
}

static void extensions_are_there_or_not(void **state)
{
    const uint64_t known[] = { BASE, TIME, IPI, RFENCE, HSM, SRST, DBCN, PMU, SBI_OWN_EID };
    (void)state;
    for (unsigned k = 0; k < sizeof(known) / sizeof(known[0]); k++) {
        assert_int_equal(call(BASE, 3, known[k], 0, 0), 0);
        assert_int_equal(m.c->x[11], 1);
        assert_int_equal(call(known[k], 99, 0, 0, 0), -2);
    }
    assert_int_equal(call(BASE, 3, 0x53544100, 0, 0), 0);
    assert_int_equal(m.c->x[11], 0);
    assert_int_equal(call(0, 0, 0, 0, 0), -2); /* the legacy timer */
    assert_int_equal(call(PMU, 0, 0, 0, 0), 0);
    assert_int_equal(m.c->x[11], 0); /* counters */
}

static int64_t own(uint64_t fid, uint64_t a0, uint64_t a1, uint64_t a2)
{
    return call(SBI_OWN_EID, fid, a0, a1, a2);
}

static void own_calls_answer(void **state)
{
    char text[8] = "";
    (void)state;
    assert_int_equal(own(SBI_OWN_IDENTIFY, 0, 0, 0), 0);
    assert_int_equal(m.c->x[11], SBI_OWN_MAGIC << 32 | SBI_OWN_VERSION);
    rv_poke(&m, RV_RAM, 0x6b6f, 2);
    assert_int_equal(own(SBI_OWN_CONSOLE_WRITE, RV_RAM, 2, 0), 0);
    assert_int_equal(m.c->x[11], 2);
    assert_int_equal(chardev_buffer_take(console, text, sizeof(text)), 2);
    assert_memory_equal(text, "ok", 2);
    assert_int_equal(own(SBI_OWN_CONSOLE_WRITE, RV_RAM, SBI_OWN_CONSOLE_MAX + 1, 0), -3);
    assert_int_equal(own(SBI_OWN_CONSOLE_WRITE, 0x1000, 2, 0), -5);
    vm_clock_advance(&m.vm.clock, 12345);
    assert_int_equal(own(SBI_OWN_CLOCK, 0, 0, 0), 0);
    assert_int_equal(m.c->x[11], vm_clock_now(&m.vm.clock));
    assert_int_equal(own(SBI_OWN_YIELD, 2, 0, 0), -3);
    assert_int_equal(own(SBI_OWN_SHARED_PAGE, RV_RAM + 8, 0, 0), -3);
    assert_int_equal(own(SBI_OWN_SHARED_PAGE, 0x1000, 0, 0), -5);
    assert_int_equal(own(SBI_OWN_SHARED_PAGE + 1, 0, 0, 0), -2);
}

static uint64_t peek(gpa_t gpa)
{
    uint64_t v = 0;
    assert_int_equal(gmem_read(&m.vm.gmem, gpa, &v, 8), 0);
    return v;
}

static void own_page_table_updates_are_seen_at_once(void **state)
{
    enum { TABLE = 0x10000, LIST = 0x20000, A = 0x30000, B = 0x31000, LEAF = 0xcf /* V R W X A D */ };
    const gpa_t root = RV_RAM + TABLE, list = RV_RAM + LIST, slot = root + 0x2000;
    (void)state;
    rv_poke(&m, root, (root + 0x1000) >> 12 << 10 | 1, 8); /* Sv39: va 0 to 2 MiB */
    rv_poke(&m, root + 0x1000, (root + 0x2000) >> 12 << 10 | 1, 8);
    rv_poke(&m, slot, (RV_RAM + A) >> 12 << 10 | LEAF, 8);
    rv_poke(&m, RV_RAM + A, 1, 8);
    rv_poke(&m, RV_RAM + B, 2, 8);
    m.c->satp = 8ULL << 60 | root >> 12;
    riscv_mode_update(m.c);
    assert_int_equal(riscv_load(m.c, 0, 8), 1);
    rv_poke(&m, list, slot, 8);
    rv_poke(&m, list + 8, (RV_RAM + B) >> 12 << 10 | LEAF, 8);
    rv_poke(&m, list + 16, 0, 8);
    rv_poke(&m, list + 24, slot + 4, 8); /* not aligned */
    assert_int_equal(own(SBI_OWN_MMU_UPDATE, list, 2, 0), -5);
    assert_int_equal(peek(slot), (RV_RAM + A) >> 12 << 10 | LEAF); /* none was written */
    assert_int_equal(own(SBI_OWN_MMU_UPDATE, list, 1, 0), 0);
    assert_int_equal(m.c->x[11], 1);
    assert_int_equal(riscv_load(m.c, 0, 8), 2);
    rv_poke(&m, list + 8, (RV_RAM + A) >> 12 << 10 | LEAF, 8);
    rv_poke(&m, list + 16, UINT64_MAX, 8);
    assert_int_equal(own(SBI_OWN_MMU_UPDATE, list, 1, SBI_OWN_FLUSH), 0);
    assert_int_equal(riscv_load(m.c, 0, 8), 1);
    assert_int_equal(own(SBI_OWN_MMU_UPDATE, list, SBI_OWN_PTES_MAX + 1, 0), -3);
    assert_int_equal(own(SBI_OWN_MMU_UPDATE, list, 1, 2), -3);
}

static void the_shared_page_holds_interrupts_off(void **state)
{
    const gpa_t page = RV_RAM + 0x5000;
    (void)state;
    m.c->mie = MIP_SSIP;
    m.c->mstatus |= MSTATUS_SIE;
    riscv_set_soft(m.c, MIP_SSIP, true);
    assert_true(riscv_pending_interrupt(m.c));
    rv_poke(&m, page, 0, 2);
    assert_int_equal(own(SBI_OWN_SHARED_PAGE, page, 0, 0), 0);
    assert_false(riscv_pending_interrupt(m.c));
    assert_int_equal(peek(page) & 0xffff, 0x100); /* it is told */
    m.c->priv = RISCV_U;
    assert_true(riscv_pending_interrupt(m.c));
    m.c->priv = RISCV_S;
    rv_poke(&m, page, 1, 2);
    assert_true(riscv_pending_interrupt(m.c));
    rv_poke(&m, page, 0, 2);
    m.c->mstatus &= ~MSTATUS_SIE;
    assert_int_equal(own(SBI_OWN_YIELD, 1, 0, 0), 0); /* turns them on; there is one */
    assert_int_equal(m.c->activity, RISCV_RUNNING);
    assert_int_equal(peek(page) & 0xff, 1);
    assert_true(riscv_pending_interrupt(m.c));
    riscv_set_soft(m.c, MIP_SSIP, false);
    assert_int_equal(own(SBI_OWN_YIELD, 1, 0, 0), 0);
    assert_int_equal(m.c->activity, RISCV_WAITING);
    m.c->activity = RISCV_RUNNING;
    assert_int_equal(own(SBI_OWN_SHARED_PAGE, UINT64_MAX, 0, 0), 0);
    riscv_set_soft(m.c, MIP_SSIP, true);
    rv_poke(&m, page, 0, 2);
    assert_true(riscv_pending_interrupt(m.c));
}

static void hart_masks_name_harts_that_exist(void **state)
{
    (void)state;
    assert_int_equal(call(IPI, 0, 1, 0, 0), 0);
    assert_true(riscv_mip(m.c) & MIP_SSIP);
    riscv_set_soft(m.c, MIP_SSIP, false);
    assert_int_equal(call(IPI, 0, 0, UINT64_MAX, 0), 0); /* all */
    assert_true(riscv_mip(m.c) & MIP_SSIP);
    assert_int_equal(call(IPI, 0, 2, 0, 0), -3);
    assert_int_equal(call(IPI, 0, 1, 1, 0), -3);
    assert_int_equal(call(IPI, 0, 1, 64, 0), -3);
    assert_int_equal(call(IPI, 0, 3, 63, 0), -3);
    assert_int_equal(call(RFENCE, 1, 1, 0, 0), 0);
    assert_int_equal(call(RFENCE, 3, 1, 0, 0), -2);
    m.c->profile = riscv_profile_max();
    assert_int_equal(call(RFENCE, 3, 1, 0, 0), 0); /* for hypervisors */
    assert_int_equal(call(RFENCE, 6, 1, 0, 0), 0);
    assert_int_equal(call(RFENCE, 7, 1, 0, 0), -2);
}

static void a_fence_forgets_what_it_is_for(void **state)
{
    (void)state;
    rv_poke(&m, RV_RAM, 0x13, 4);
    (void)riscv_load(m.c, RV_RAM, 8);
    m.c->fenced = false;
    uint64_t flushes = m.c->tlb->nr_flushes;
    assert_int_equal(call(RFENCE, 0, 1, 0, 0), 0); /* FENCE.I */
    assert_true(m.c->fenced);
    assert_int_equal(m.c->tlb->nr_flushes, flushes);
    m.c->fenced = false;
    assert_int_equal(call(RFENCE, 1, 1, 0, 0), 0); /* SFENCE.VMA */
    assert_false(m.c->fenced);
    assert_int_equal(m.c->tlb->nr_flushes, flushes + 1);
}

static void the_timer_follows_set_timer(void **state)
{
    (void)state;
    assert_int_equal(call(TIME, 0, 10, 0, 0), 0);
    assert_false(riscv_mip(m.c) & MIP_STIP);
    vm_clock_advance(&m.vm.clock, 1000);
    assert_true(riscv_mip(m.c) & MIP_STIP);
    assert_int_equal(call(TIME, 0, UINT64_MAX, 0, 0), 0);
    assert_false(riscv_mip(m.c) & MIP_STIP);
}

static void the_console_takes_what_it_has_room_for(void **state)
{
    char text[80];
    (void)state;
    for (unsigned k = 0; k < 80; k++)
        rv_poke(&m, RV_RAM + k, 'a' + k % 26, 1);
    assert_int_equal(call(DBCN, 0, 80, RV_RAM, 0), 0);
    assert_int_equal(m.c->x[11], 64);
    m.c->pc = 0x1000, m.c->next_pc = 0x1004;
    (void)call(DBCN, 2, 'x', 0, 0); /* no room: the call is made again */
    assert_int_equal(m.c->next_pc, 0x1000);
    assert_int_equal(chardev_buffer_take(console, text, sizeof(text)), 64);
    assert_memory_equal(text, "abcdefghijklmnopqrstuvwxyzabc", 29);
    assert_int_equal(call(DBCN, 2, 'x', 0, 0), 0);
    assert_int_equal(chardev_buffer_feed(console, "in", 2), 2);
    assert_int_equal(call(DBCN, 1, 10, RV_RAM, 0), 0);
    assert_int_equal(m.c->x[11], 2);
    assert_int_equal(rv_peek(&m, RV_RAM, 2), 'i' | 'n' << 8);
    assert_int_equal(call(DBCN, 0, 4, 0x1000, 0), -3);
    assert_int_equal(call(DBCN, 0, 4, RV_RAM, 1), -3);
    assert_int_equal(call(DBCN, 0, RV_RAM_SIZE + 1, RV_RAM, 0), -3); /* though one call moves fewer */
    assert_int_equal(call(DBCN, 1, UINT64_MAX, RV_RAM, 0), -3);
    assert_int_equal(call(DBCN, 0, 0, 0x1000, 0), 0);
    assert_int_equal(call(DBCN, 1, 4, RV_RAM + RV_RAM_SIZE - 2, 0), -3);
    assert_int_equal(call(DBCN, 0, 4, UINT64_MAX - 1, 0), -3);
}

static void harts_and_the_machine_end_as_told(void **state)
{
    (void)state;
    assert_int_equal(call(HSM, 2, 0, 0, 0), 0);
    assert_int_equal(m.c->x[11], RISCV_HART_STARTED);
    assert_int_equal(call(HSM, 0, 0, RV_RAM, 0), -6);
    assert_int_equal(call(HSM, 0, 1, RV_RAM, 0), -3);
    assert_int_equal(call(HSM, 0, 0, 0x1000, 0), -5);
    assert_int_equal(call(HSM, 0, 0, RV_RAM + RV_RAM_SIZE, 0), -5);
    assert_int_equal(call(HSM, 0, 0, UINT64_MAX, 0), -5);
    assert_int_equal(call(HSM, 3, 0x80000000, 0, 0), -2);
    assert_int_equal(call(HSM, 3, 7, 0, 0), -3);
    assert_int_equal(call(SRST, 0, 9, 0, 0), -3);
    assert_int_equal(call(SRST, 0, 0, 9, 0), -3);
    assert_int_equal(m.vm.end, VM_END_NONE);
    assert_int_equal(call(SRST, 0, 0, 0, 0), 0);
    assert_int_equal(m.vm.end, VM_END_POWEROFF);
}

/* Any call with any arguments is answered, by an error of the specification. */
static void no_arguments_do_harm(void **state)
{
    static const uint64_t eid[] = { BASE, TIME, IPI, RFENCE, HSM, DBCN, PMU, 0, 1, 8 };
    static const uint64_t special[] = { 0,  1,  UINT64_MAX, UINT64_MAX - 1, 1ULL << 63, RV_RAM, RV_RAM + RV_RAM_SIZE,
                                        63, 64, 0x80000000 };
    uint64_t seed = 88172645463325252;
    (void)state;
    for (unsigned n = 0; n < ROUNDS; n++) {
        uint64_t a[3];
        for (unsigned k = 0; k < 3; k++) {
            seed ^= seed << 13, seed ^= seed >> 7, seed ^= seed << 17;
            a[k] = seed & 3 ? special[seed / 4 % 10] : seed;
        }
        m.c->pc = 0x1000, m.c->next_pc = 0x1004;
        vm_clock_advance(&m.vm.clock, 1);
        m.vm.end = VM_END_NONE;
        int64_t error = call(eid[seed / 64 % 10], seed / 1024 % 10, a[0], a[1], a[2]);
        assert_true(m.c->next_pc == 0x1000 || (error <= 0 && error >= -9));
        char text[64];
        (void)chardev_buffer_take(console, text, sizeof(text));
        m.c->activity = RISCV_RUNNING;
    }
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        T(extensions_are_there_or_not),
        T(hart_masks_name_harts_that_exist),
        T(a_fence_forgets_what_it_is_for),
        T(the_timer_follows_set_timer),
        T(the_console_takes_what_it_has_room_for),
        T(harts_and_the_machine_end_as_told),
        T(no_arguments_do_harm),
        T(own_calls_answer),
        T(own_page_table_updates_are_seen_at_once),
        T(the_shared_page_holds_interrupts_off),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
