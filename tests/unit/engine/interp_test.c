/* SPDX-License-Identifier: MIT */
/*
 * The interpreter's run loop: decoded code must never outlive its bytes or its mapping, and boundaries are exact.
 */
#include "support/bare_x86.h"

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

static void store_into_the_next_instruction_is_executed(void **state)
{
    struct bare *b = *state;
    const uint8_t code[] = {
        0xc6, 0x05, 0x01, 0x00, 0x00, 0x00, 0x07, /* mov byte [rip + 1], 7: the immediate below */
        0xb8, 0x01, 0x00, 0x00, 0x00,             /* mov eax, 1 */
        0xf4,
    };
    bare_code(b, BARE_CODE, code, sizeof(code));
    bare_run(b);
    assert_int_equal(b->c->gpr[RAX], 7);
}

static void loop_that_patches_itself_runs_every_version(void **state)
{
    struct bare *b = *state;
    const uint8_t code[] = {
        0x31, 0xdb,                         /* xor ebx, ebx */
        0xb9, 0x64, 0x00, 0x00, 0x00,       /* mov ecx, 100 */
        0x83, 0xc3, 0x00,                   /* 1: add ebx, imm8 */
        0xfe, 0x05, 0xf9, 0xff, 0xff, 0xff, /* inc byte [rip - 7]: that imm8 */
        0xff, 0xc9,                         /* dec ecx */
        0x75, 0xf3,                         /* jnz 1b */
        0xf4,
    };
    bare_code(b, BARE_CODE, code, sizeof(code));
    bare_run(b);
    assert_int_equal(b->c->gpr[RBX], 99 * 100 / 2);
}

static void write_from_outside_is_seen(void **state)
{
    struct bare *b = *state;
    const uint8_t first[] = { 0xb8, 1, 0, 0, 0, 0xf4 }, second[] = { 0xb8, 2, 0, 0, 0, 0xf4 };
    bare_code(b, BARE_CODE, first, sizeof(first));
    bare_run(b);
    assert_int_equal(b->c->gpr[RAX], 1);
    bare_code(b, BARE_CODE, second, sizeof(second)); /* as a device would */
    b->c->rip = BARE_CODE;
    b->c->activity = X86_RUNNING;
    bare_run(b);
    assert_int_equal(b->c->gpr[RAX], 2);
}

static void instruction_across_two_pages_uses_both_translations(void **state)
{
    struct bare *b = *state;
    const uint8_t head[] = { 0xb8, 0x01, 0x02 }, tail[] = { 0x03, 0x04, 0xf4 };
    bare_code(b, 0x11ffd, head, 3);
    bare_code(b, 0x15000, tail, 3);
    bare_poke64(b, BARE_TABLES + 0x3000 + 8 * 0x12, 0x15000 | 7);
    b->c->rip = 0x11ffd;
    bare_run(b);
    assert_int_equal(b->c->gpr[RAX], 0x04030201);
}

static void fetch_fault_on_the_second_page_names_that_page(void **state)
{
    struct bare *b = *state;
    const uint8_t head[] = { 0xb8, 0x01, 0x02 };
    bare_code(b, 0x11ffd, head, 3);
    bare_poke64(b, BARE_TABLES + 0x3000 + 8 * 0x12, 0);
    b->c->rip = 0x11ffd;
    b->c->idtr.limit = 0; /* no handlers: ends in a triple fault, after CR2 was written */
    assert_int_equal(interp_engine_ops.run(b->vcpu), VCPU_EXIT_SHUTDOWN);
    assert_int_equal(b->c->cr2, 0x12000);
    assert_int_equal(b->c->rip, 0x11ffd);
}

static void remapped_code_page_runs_the_new_page_after_invlpg(void **state)
{
    struct bare *b = *state;
    /* calls page 12h, maps another frame there, invalidates, calls again */
    const uint8_t code[] = {
        0xe8, 0xfb, 0x1f, 0x00, 0x00,                                     /* call 12000h */
        0x89, 0xc3,                                                       /* mov ebx, eax */
        0xc7, 0x04, 0x25, 0x90, 0x30, 0x10, 0x00, 0x07, 0x50, 0x01, 0x00, /* mov dword [103090h], 15007h */
        0x0f, 0x01, 0x3c, 0x25, 0x00, 0x20, 0x01, 0x00,                   /* invlpg [12000h] */
        0xe8, 0xe1, 0x1f, 0x00, 0x00,                                     /* call 12000h */
        0xf4,
    };
    const uint8_t one[] = { 0xb8, 1, 0, 0, 0, 0xc3 }, two[] = { 0xb8, 2, 0, 0, 0, 0xc3 };
    bare_code(b, BARE_CODE, code, sizeof(code));
    bare_code(b, 0x12000, one, sizeof(one));
    bare_code(b, 0x15000, two, sizeof(two));
    bare_run(b);
    assert_int_equal(b->c->gpr[RBX], 1);
    assert_int_equal(b->c->gpr[RAX], 2);
}

static void step_executes_exactly_one_instruction(void **state)
{
    struct bare *b = *state;
    const uint8_t code[] = { 0xff, 0xc0, 0xff, 0xc0, 0xff, 0xc0, 0xf4 }; /* inc eax, three times */
    bare_code(b, BARE_CODE, code, sizeof(code));
    for (uint64_t n = 1; n <= 3; n++) {
        x86_run_step(b->vcpu->engine_cpu, b->c);
        assert_int_equal(b->c->gpr[RAX], n);
        assert_int_equal(b->c->rip, BARE_CODE + 2 * n);
    }
}

static void rep_movs_equals_its_elements_whatever_the_overlap(void **state)
{
    struct bare *b = *state;
    const uint8_t code[] = { 0xf3, 0xa4, 0xf4 }; /* rep movsb */
    static uint8_t want[0x3000];
    uint8_t *ram = gmem_pin(&b->vm.gmem, BARE_DATA, sizeof(want));
    bare_code(b, BARE_CODE, code, sizeof(code));
    for (int shift = -9; shift <= 9; shift++) {
        for (unsigned k = 0; k < sizeof(want); k++)
            ram[k] = want[k] = (uint8_t)(k * 7 + k / 256);
        for (unsigned k = 0; k < 0x1800; k++) /* one by one, as the manual says */
            want[0x800 + shift + k] = want[0x800 + k];
        b->c->gpr[RSI] = BARE_DATA + 0x800;
        b->c->gpr[RDI] = BARE_DATA + 0x800 + (uint64_t)shift;
        b->c->gpr[RCX] = 0x1800;
        b->c->rip = BARE_CODE;
        b->c->activity = X86_RUNNING;
        bare_run(b);
        assert_memory_equal(ram, want, sizeof(want));
        assert_int_equal(b->c->gpr[RCX], 0);
        assert_int_equal(b->c->gpr[RSI], BARE_DATA + 0x800 + 0x1800);
    }
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(store_into_the_next_instruction_is_executed),
        T(loop_that_patches_itself_runs_every_version),
        T(write_from_outside_is_seen),
        T(instruction_across_two_pages_uses_both_translations),
        T(fetch_fault_on_the_second_page_names_that_page),
        T(remapped_code_page_runs_the_new_page_after_invlpg),
        T(step_executes_exactly_one_instruction),
        T(rep_movs_equals_its_elements_whatever_the_overlap),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
