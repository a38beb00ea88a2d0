/* SPDX-License-Identifier: MIT */
/*
 * Laws of the pc's memory map, for any amount of memory.
 */
#include "machine/pc_boot.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "machine/pc.h"
#include "support/bare_x86.h"

static const uint64_t sizes[] = { 16ULL << 20,        32ULL << 20, 1ULL << 30, PC_RAM_HOLE - 4096, PC_RAM_HOLE,
                                  PC_RAM_HOLE + 4096, 4ULL << 30,  5ULL << 30, 64ULL << 30 };
enum { NR_SIZES = sizeof(sizes) / sizeof(sizes[0]) };

static void the_map_is_sorted_and_does_not_overlap(void **state)
{
    (void)state;
    for (unsigned s = 0; s < NR_SIZES; s++) {
        struct mem_range map[PC_MAP_MAX];
        unsigned n = pc_memory_map(sizes[s], map);
        assert_in_range(n, 1, PC_MAP_MAX);
        for (unsigned i = 1; i < n; i++)
            assert_true(map[i - 1].base + map[i - 1].size <= map[i].base);
    }
}

/* All of the memory is there, but for what the video hole hides. */
static void ram_adds_up_and_stays_out_of_the_hole(void **state)
{
    (void)state;
    for (unsigned s = 0; s < NR_SIZES; s++) {
        struct mem_range map[PC_MAP_MAX];
        unsigned n = pc_memory_map(sizes[s], map);
        uint64_t ram = 0;
        for (unsigned i = 0; i < n; i++) {
            if (map[i].type != MEM_TYPE_RAM)
                continue;
            ram += map[i].size;
            assert_true(map[i].base + map[i].size <= PC_RAM_HOLE || map[i].base >= PC_RAM_HIGH);
        }
        assert_true(ram == sizes[s] - (PC_TABLES_END - PC_LOW_RAM_END));
    }
}

static void all_mapped_ram_can_be_pinned_and_no_two_places_share_a_byte(void **state)
{
    (void)state;
    for (unsigned s = 0; s < NR_SIZES; s++) {
        struct gmem gm;
        struct mem_range map[PC_MAP_MAX];
        assert_int_equal(gmem_init(&gm, sizes[s], NULL), 0);
        assert_int_equal(pc_map_ram(&gm, NULL), 0);
        unsigned n = pc_memory_map(sizes[s], map);
        for (unsigned i = 0; i < n; i++) {
            bool device = map[i].base >= PC_RAM_HOLE && map[i].base < PC_RAM_HIGH;
            assert_int_equal(gmem_pin(&gm, map[i].base, map[i].size) != NULL, !device);
        }
        for (unsigned a = 0; a < gm.nr_slots; a++)
            for (unsigned b = 0; b < a; b++)
                assert_true(gm.slot[a].offset + gm.slot[a].size <= gm.slot[b].offset
                            || gm.slot[b].offset + gm.slot[b].size <= gm.slot[a].offset);
        assert_null(gmem_pin(&gm, PC_LOW_RAM_END, 1));
        assert_null(gmem_pin(&gm, PC_RAM_HOLE, 1));
        gmem_done(&gm);
    }
}

static void the_boot_state_is_what_the_protocol_says(void **state)
{
    (void)state;
    struct bare bare;
    bare_init(&bare);
    struct x86_cpu *cpu = bare.c;
    const struct x86_boot boot = {
        .mode = X86_BOOT_FLAT32,
        .entry = 0x123456,
        .rax = 0x2badb002,
        .rbx = 0x9000,
        .gdt_base = 0x800,
        .gdt_limit = 0x27,
    };
    pc_apply_boot(cpu, &boot);
    assert_int_equal(cpu->rip, 0x123456);
    assert_int_equal(cpu->gpr[RAX], 0x2badb002);
    assert_int_equal(cpu->gpr[RBX], 0x9000);
    assert_int_equal(cpu->rflags, FLAG_ONE);
    assert_int_equal(cpu->cr0, CR0_PE | CR0_ET | CR0_NE);
    assert_int_equal(cpu->mode, X86_MODE_32);
    assert_int_equal(cpu->cpl, 0);
    assert_true(cpu->flat);
    const struct x86_boot long64 = { .mode = X86_BOOT_LONG64, .entry = 0x1000200, .rsi = 0x10000, .cr3 = 0x12000 };
    pc_apply_boot(cpu, &long64);
    assert_int_equal(cpu->mode, X86_MODE_64);
    assert_true(cpu->long_mode);
    assert_int_equal(cpu->cr3, 0x12000);
    assert_int_equal(cpu->gpr[RSI], 0x10000);
    bare_done(&bare);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_map_is_sorted_and_does_not_overlap),
        cmocka_unit_test(ram_adds_up_and_stays_out_of_the_hole),
        cmocka_unit_test(all_mapped_ram_can_be_pinned_and_no_two_places_share_a_byte),
        cmocka_unit_test(the_boot_state_is_what_the_protocol_says),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
