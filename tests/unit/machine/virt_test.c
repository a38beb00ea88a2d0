/* SPDX-License-Identifier: MIT */
/*
 * Laws of board `virt` as a machine: it runs to the end its guest gives it, and is saved and loaded whole.
 */
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>
#include <libfdt.h>

#include "base/loop.h"
#include "core/vcpu.h"
#include "isa/riscv/state.h"
#include "machine/machine.h"
#include "machine/virt.h"
#include "machine/virt_fdt.h"

/* An Image: its header, then a program that ends the machine with status 7 by the test finisher. */
struct image {
    uint32_t jump, zero;
    uint64_t text_offset, image_size, flags;
    uint32_t version, reserved;
    uint64_t reserved2;
    char magic[8], magic2[4];
    uint32_t pe_offset;
    uint32_t code[5];
};

static const struct image guest = {
    .jump = 0x0400006f, /* j 64 */
    .text_offset = 0x200000,
    .image_size = 0x1000,
    .version = 2,
    .magic = "RISCV",
    .magic2 = { 'R', 'S', 'C', 5 },
    .code = { 0x001002b7,   /* lui t0, 0x100 */
              0x00073337,   /* lui t1, 0x73 */
              0x33330313,   /* addi t1, t1, 0x333 */
              0x0062a023,   /* sw t1, 0(t0) */
              0x0000006f }, /* j . */
};

static struct vm_config config_for(unsigned cpus)
{
    return (struct vm_config){
        .arch = "riscv64",
        .engine = "interp",
        .cpus = cpus,
        .memory = 32 << 20,
        .kernel = "guest",
        .kernel_image = &guest,
        .kernel_image_len = sizeof(guest),
        .cmdline = "",
    };
}

static struct machine *make(const struct vm_config *config, struct loop **ret_loop)
{
    struct error err = { 0 };
    struct machine *machine = NULL;
    assert_int_equal(loop_new(ret_loop, &err), 0);
    const struct machine_ports ports = { .loop = *ret_loop };
    if (machine_new(config, &ports, &machine, &err) < 0)
        fail_msg("%s", err.msg);
    return machine;
}

static void expect_status_7(struct machine *machine)
{
    struct error err = { 0 };
    assert_int_equal(machine_run(machine, &err), 0);
    assert_int_equal(machine_vm(machine)->end, VM_END_EXIT);
    assert_int_equal(machine_vm(machine)->end_status, 7);
}

static void it_stands_in_s_mode_at_the_image(void **state)
{
    const struct vm_config config = config_for(3);
    struct loop *loop;
    (void)state;
    struct machine *machine = make(&config, &loop);
    struct vm *vm = machine_vm(machine);
    const struct riscv_cpu *c = vm->vcpu[0]->cpu, *other = vm->vcpu[2]->cpu;
    assert_int_equal(c->pc, VIRT_RAM + 0x200000);
    assert_int_equal(c->priv, RISCV_S);
    assert_int_equal(c->x[10], 0);
    assert_int_equal(other->activity, RISCV_STOPPED);
    expect_status_7(machine);
    machine_free(machine);
    loop_free(loop);
}

/* The chosen number of that name in the tree at a1. */
static uint64_t chosen(const struct riscv_cpu *c, const char *name)
{
    int len = 0;
    const void *tree = gmem_pin(c->gmem, c->x[11], VIRT_FDT_MAX);
    assert_non_null(tree);
    assert_int_equal(fdt_check_full(tree, VIRT_FDT_MAX), 0);
    const fdt64_t *v = fdt_getprop(tree, fdt_path_offset(tree, "/chosen"), name, &len);
    assert_int_equal(len, 8);
    return fdt64_ld(v);
}

static void a1_is_a_tree_and_the_initrd_lies_where_it_says(void **state)
{
    static const char bytes[] = "what the kernel unpacks";
    struct vm_config config = config_for(1);
    struct loop *loop;
    (void)state;
    config.initramfs = bytes;
    config.initramfs_len = sizeof(bytes);
    struct machine *machine = make(&config, &loop);
    const struct riscv_cpu *c = machine_vm(machine)->vcpu[0]->cpu;
    const uint64_t at = chosen(c, "linux,initrd-start"), end = chosen(c, "linux,initrd-end");
    assert_int_equal(end - at, sizeof(bytes));
    assert_int_equal(at % GPAGE_SIZE, 0);
    assert_true(end <= c->x[11]);
    assert_memory_equal(gmem_pin(c->gmem, at, end - at), bytes, sizeof(bytes));
    expect_status_7(machine);
    machine_free(machine);
    loop_free(loop);
}

static void everything_loaded_lies_below_4_gib(void **state)
{
    struct vm_config config = config_for(1);
    struct loop *loop;
    (void)state;
    config.memory = 6ULL << 30; /* never touched */
    config.initramfs = "x";
    config.initramfs_len = 1;
    struct machine *machine = make(&config, &loop);
    const struct riscv_cpu *c = machine_vm(machine)->vcpu[0]->cpu;
    assert_true(c->x[11] + VIRT_FDT_MAX <= 1ULL << 32);
    assert_true(chosen(c, "linux,initrd-end") <= c->x[11]);
    machine_free(machine);
    loop_free(loop);
}

static void each_start_has_numbers_of_its_own(void **state)
{
    const struct vm_config config = config_for(1);
    struct loop *loop[2];
    (void)state;
    struct machine *a = make(&config, &loop[0]), *b = make(&config, &loop[1]);
    assert_int_not_equal(chosen(machine_vm(a)->vcpu[0]->cpu, "kaslr-seed"), chosen(machine_vm(b)->vcpu[0]->cpu, "kaslr-seed"));
    machine_free(a);
    machine_free(b);
    loop_free(loop[0]);
    loop_free(loop[1]);
}

static void a_saved_machine_goes_on_elsewhere(void **state)
{
    const struct vm_config config = config_for(2);
    struct loop *loop[2];
    struct state_buf first = { 0 }, second = { 0 };
    struct error err = { 0 };
    (void)state;
    struct machine *a = make(&config, &loop[0]), *b = make(&config, &loop[1]);
    struct riscv_cpu *c = machine_vm(a)->vcpu[0]->cpu;
    c->x[20] = 0x1234, c->satp = 0, c->stimecmp = 99;
    assert_int_equal(machine_save(a, &first), 0);
    if (machine_load(b, &first, &err) < 0)
        fail_msg("%s", err.msg);
    c = machine_vm(b)->vcpu[0]->cpu;
    assert_int_equal(c->x[20], 0x1234);
    assert_int_equal(machine_save(b, &second), 0);
    assert_int_equal(first.len, second.len);
    assert_memory_equal(first.data, second.data, first.len);
    machine_free(a);
    expect_status_7(b);
    machine_free(b);
    loop_free(loop[0]);
    loop_free(loop[1]);
    state_buf_done(&first);
    state_buf_done(&second);
}

static void a_broken_state_is_refused(void **state)
{
    const struct vm_config config = config_for(1);
    struct loop *loop;
    struct state_buf buf = { 0 };
    struct error err = { 0 };
    (void)state;
    struct machine *machine = make(&config, &loop);
    ((struct riscv_cpu *)machine_vm(machine)->vcpu[0]->cpu)->satp = 5ULL << 60; /* no such mode */
    assert_int_equal(machine_save(machine, &buf), 0);
    assert_true(machine_load(machine, &buf, &err) < 0);
    assert_non_null(strstr(err.msg, "satp"));
    machine_free(machine);
    loop_free(loop);
    state_buf_done(&buf);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_stands_in_s_mode_at_the_image),   cmocka_unit_test(a1_is_a_tree_and_the_initrd_lies_where_it_says),
        cmocka_unit_test(everything_loaded_lies_below_4_gib), cmocka_unit_test(each_start_has_numbers_of_its_own),
        cmocka_unit_test(a_saved_machine_goes_on_elsewhere),  cmocka_unit_test(a_broken_state_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
