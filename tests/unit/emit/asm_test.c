/* SPDX-License-Identifier: MIT */
/* The host assembler against Zydis, and the code buffer's limits. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include <Zydis/Zydis.h>

#include "emit/asm.h"

static struct codebuf cb;

static int set_up(void **state)
{
    (void)state;
    return codebuf_init(&cb, 4096, NULL, NULL);
}

static int tear_down(void **state)
{
    (void)state;
    codebuf_done(&cb);
    return 0;
}

/* The one instruction in the buffer, disassembled; the buffer is emptied. */
static const char *text(void)
{
    static char buf[128];
    ZydisDecoder decoder;
    ZydisFormatter formatter;
    ZydisDecodedInstruction insn;
    ZydisDecodedOperand operands[ZYDIS_MAX_OPERAND_COUNT];

    ZydisDecoderInit(&decoder, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64);
    ZydisFormatterInit(&formatter, ZYDIS_FORMATTER_STYLE_INTEL);
    ZydisFormatterSetProperty(&formatter, ZYDIS_FORMATTER_PROP_FORCE_SIZE, ZYAN_TRUE);
    assert_true(ZYAN_SUCCESS(ZydisDecoderDecodeFull(&decoder, cb.rx, cb.pos, &insn, operands)));
    assert_int_equal(insn.length, cb.pos);
    ZydisFormatterFormatInstruction(&formatter, &insn, operands, insn.operand_count_visible, buf, sizeof(buf),
                                    ZYDIS_RUNTIME_ADDRESS_NONE, NULL);
    codebuf_reset(&cb);
    return buf;
}

static void every_base_register_and_displacement_size_encodes(void **state)
{
    static const char *const names[16] = { "rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi",
                                           "r8",  "r9",  "r10", "r11", "r12", "r13", "r14", "r15" };
    static const int32_t disps[] = { 0, 0x10, 0x1000 };
    (void)state;
    for (uint8_t base = 0; base < 16; base++) {
        for (unsigned d = 0; d < 3; d++) {
            char want[64];
            if (disps[d])
                snprintf(want, sizeof(want), "mov r9, qword ptr [%s+0x%X]", names[base], (unsigned)disps[d]);
            else
                snprintf(want, sizeof(want), "mov r9, qword ptr [%s]", names[base]);
            asm_load(&cb, 8, HOST_R9, host_mem((struct host_gpr){ base }, disps[d]));
            /* [rbp] and [r13] need a displacement of 0, which Zydis does not show */
            assert_string_equal(text(), want);
        }
    }
}

static void operations_are_what_they_are_called(void **state)
{
    (void)state;
    asm_store(&cb, 4, host_mem(HOST_RDI, -64), HOST_R10);
    assert_string_equal(text(), "mov dword ptr [rdi-0x40], r10d");
    asm_mov(&cb, 8, HOST_R15, HOST_RAX);
    assert_string_equal(text(), "mov r15, rax");
    asm_mov_imm(&cb, HOST_RSI, 0x12345678);
    assert_string_equal(text(), "mov esi, 0x12345678");
    asm_mov_imm(&cb, HOST_R8, ~0ULL);
    assert_string_equal(text(), "mov r8, 0xFFFFFFFFFFFFFFFF");
    asm_mov_imm(&cb, HOST_R8, 0x123456789aULL);
    assert_string_equal(text(), "mov r8, 0x123456789A");
    asm_alu(&cb, HOST_SBB, 4, HOST_RDX, HOST_R9);
    assert_string_equal(text(), "sbb edx, r9d");
    asm_alu_imm(&cb, HOST_CMP, 8, HOST_R12, -5);
    assert_string_equal(text(), "cmp r12, 0xFFFFFFFFFFFFFFFB");
    asm_alu_imm(&cb, HOST_AND, 4, HOST_RAX, 0x8d5);
    assert_string_equal(text(), "and eax, 0x8D5");
    asm_alu_mem_imm(&cb, HOST_OR, 4, host_mem(HOST_RDI, 0x80), 1);
    assert_string_equal(text(), "or dword ptr [rdi+0x80], 0x01");
    asm_alu_mem(&cb, HOST_XOR, 8, host_mem(HOST_RBX, 0), HOST_RCX);
    assert_string_equal(text(), "xor qword ptr [rbx], rcx");
    asm_push(&cb, HOST_R13);
    assert_string_equal(text(), "push r13");
    asm_pop(&cb, HOST_RBX);
    assert_string_equal(text(), "pop rbx");
    asm_fxsave64(&cb, host_mem(HOST_RDX, 0));
    assert_string_equal(text(), "fxsave64 [rdx]");
    asm_fxrstor64(&cb, host_mem(HOST_RDX, 0));
    assert_string_equal(text(), "fxrstor64 [rdx]");
    asm_xsave64(&cb, host_mem(HOST_RSP, 0x1000));
    assert_string_equal(text(), "xsave64 [rsp+0x1000]");
    asm_xrstor64(&cb, host_mem(HOST_RSP, 8));
    assert_string_equal(text(), "xrstor64 [rsp+0x08]");
    asm_ldmxcsr(&cb, host_mem(HOST_RSP, -64));
    assert_string_equal(text(), "ldmxcsr dword ptr [rsp-0x40]");
}

static void vector_moves_reach_all_registers_and_scaled_displacements(void **state)
{
    (void)state;
    asm_vec_load(&cb, 16, (struct host_vec){ 9 }, host_mem(HOST_RDI, 0x140));
    assert_string_equal(text(), "movups xmm9, xmmword ptr [rdi+0x140]");
    asm_vec_store(&cb, 32, host_mem(HOST_R12, 0x20), (struct host_vec){ 13 });
    assert_string_equal(text(), "vmovups ymmword ptr [r12+0x20], ymm13");
    asm_vec_load(&cb, 64, (struct host_vec){ 31 }, host_mem(HOST_RDI, 0x140));
    assert_string_equal(text(), "vmovups zmm31, zmmword ptr [rdi+0x140]");
    asm_vec_store(&cb, 64, host_mem(HOST_RDI, 0x141), (struct host_vec){ 17 });
    assert_string_equal(text(), "vmovups zmmword ptr [rdi+0x141], zmm17");
    asm_mask_load(&cb, (struct host_mask){ 7 }, host_mem(HOST_RDI, 8));
    assert_string_equal(text(), "kmovq k7, qword ptr [rdi+0x08]");
    asm_mask_store(&cb, host_mem(HOST_R9, 8), (struct host_mask){ 3 });
    assert_string_equal(text(), "kmovq qword ptr [r9+0x08], k3");
}

static void forms_of_vector_instructions_say_length_mask_and_broadcast(void **state)
{
    const struct asm_form y = { .len = 32 }, z = { .len = 64, .evex = true }, masked = { .len = 16, .evex = true, .mask = 2 };
    const struct asm_form zeroed = { .len = 32, .evex = true, .mask = 7, .zero = true },
                          one = { .len = 64, .w = 1, .evex = true, .bcast = true };
    const struct host_mem m = host_mem(HOST_RBP, 64), x = host_mem_indexed(HOST_R13, HOST_R9, 1, 0);
    (void)state;
    asm_form_reg(&cb, y, ASM_0F | ASM_66 | 0xfc, 9, 10, 11);
    assert_string_equal(text(), "vpaddb ymm9, ymm10, ymm11");
    asm_form_mem(&cb, y, ASM_0F38 | ASM_66 | 0x40, 1, 2, x);
    assert_string_equal(text(), "vpmulld ymm1, ymm2, ymmword ptr [r13+r9*1]");
    asm_form_reg(&cb, z, ASM_0F | ASM_66 | 0xfe, 1, 17, 31);
    assert_string_equal(text(), "vpaddd zmm1, zmm17, zmm31");
    asm_form_mem(&cb, masked, ASM_0F | ASM_F3 | 0x7f, 25, 0, m);
    assert_string_equal(text(), "vmovdqu32 xmmword ptr [rbp+0x40] {k2}, xmm25");
    asm_form_mem(&cb, zeroed, ASM_0F | 0x58, 9, 0, m);
    assert_string_equal(text(), "vaddps ymm9 {k7} {z}, ymm0, ymmword ptr [rbp+0x40]");
    asm_form_mem(&cb, one, ASM_0F | ASM_66 | 0xdb, 3, 20, m);
    assert_string_equal(text(), "vpandq zmm3, zmm20, qword ptr [rbp+0x40] {1to8}");
}

static void code_written_in_one_view_runs_in_the_other(void **state)
{
    (void)state;
    codebuf_reset(&cb);
    int (*fn)(void) = (int (*)(void))(uintptr_t)codebuf_here(&cb);
    asm_mov_imm(&cb, HOST_RAX, 42);
    asm_ret(&cb);
    assert_ptr_not_equal(cb.rw, cb.rx);
    assert_int_equal(fn(), 42);
    assert_true(codebuf_contains(&cb, (uintptr_t)fn));
    assert_false(codebuf_contains(&cb, (uintptr_t)cb.rx + cb.size));
}

static void overflow_is_sticky_until_rollback_and_writes_nothing_outside(void **state)
{
    (void)state;
    codebuf_reset(&cb);
    for (unsigned n = 0; n < 511; n++)
        codebuf_put8(&cb, n);
    size_t mark = cb.pos;
    codebuf_put4(&cb, 1);
    assert_false(cb.failed);
    codebuf_put8(&cb, 1);
    assert_true(cb.failed);
    assert_int_equal(cb.pos, mark + 4);
    codebuf_put1(&cb, 1);
    assert_true(cb.failed);
    assert_int_equal(cb.pos, mark + 4);
    codebuf_rollback(&cb, mark);
    codebuf_put8(&cb, 2);
    assert_false(cb.failed);
    assert_int_equal(cb.pos, cb.size);
    codebuf_put1(&cb, 1);
    assert_true(cb.failed);
    codebuf_rollback(&cb, mark);
    cb.end = mark + 4; /* no further than its user allows */
    codebuf_put8(&cb, 3);
    assert_true(cb.failed);
    codebuf_rollback(&cb, mark);
    codebuf_put4(&cb, 3);
    assert_false(cb.failed);
    codebuf_put1(&cb, 3);
    assert_true(cb.failed);
    cb.end = cb.size;
}

static void absurd_sizes_are_refused(void **state)
{
    struct codebuf b = { 0 };
    struct error err = { 0 };
    (void)state;
    assert_true(codebuf_init(&b, 0, NULL, &err) < 0);
    assert_true(codebuf_init(&b, 1UL << 40, NULL, &err) < 0);
    assert_null(b.rw);
}

static int init_anywhere(struct codebuf *b, size_t size, struct error *err)
{
    return codebuf_init(b, size, NULL, err);
}

static void code_lies_within_reach_of_what_it_is_to_be_near(void **state)
{
    struct codebuf b;
    void *near = calloc(1, 64); /* where there is room around it, as there is on a heap */
    (void)state;
    assert_int_equal(codebuf_init(&b, 16 << 20, near, NULL), 0);
    ptrdiff_t first = (uint8_t *)near - b.rx, last = first - (ptrdiff_t)b.size;
    bool reached = first == (int32_t)first && last == (int32_t)last;
    assert_true(reached || !codebuf_reaches(&b, near)); /* never says so of what is too far */
    assert_true(codebuf_reaches(&b, b.rx));
    assert_false(codebuf_reaches(&b, b.rx + (3LL << 30)));
    codebuf_done(&b);
    free(near);
}

static void what_is_written_in_one_view_is_executed_in_the_other(void **state)
{
    static const uint8_t mov_42_ret[] = { 0xb8, 42, 0, 0, 0, 0xc3 };
    int (*const make[])(struct codebuf *, size_t, struct error *) = { init_anywhere, codebuf_init_named };
    (void)state;
    for (unsigned k = 0; k < 2; k++) {
        struct codebuf other;
        int (*fn)(void);
        assert_int_equal(make[k](&other, 5000, NULL), 0);
        assert_int_equal(other.size, 8192);
        assert_ptr_not_equal(other.rw, other.rx);
        codebuf_put(&other, mov_42_ret, sizeof(mov_42_ret));
        memcpy(&fn, &other.rx, sizeof(fn));
        assert_int_equal(fn(), 42);
        codebuf_done(&other);
        assert_int_equal(make[k](&other, 0, NULL), -EINVAL);
    }
}

/* What was put there stays, runs, and can still be written, wherever the 2 MiB end. */
static void megabytes_become_large_pages_unnoticed(void **state)
{
    (void)state;
    struct codebuf b;
    const size_t large = 2 << 20, size = 2 * large + 4096, step = 4096 - 8;
    assert_int_equal(codebuf_init(&b, size, NULL, NULL), 0);
    assert_int_equal((uintptr_t)b.rw % large, 0);
    codebuf_goes(&b, 0, 0);
    for (uint32_t k = 0; b.pos + step + 6 <= size; k++) {
        size_t from = b.pos;
        codebuf_put1(&b, 0xb8); /* mov eax, k */
        codebuf_put4(&b, k);
        codebuf_put1(&b, 0xc3); /* ret */
        b.pos = from + step;
        codebuf_goes(&b, from, b.pos); /* also into the last page, which is no large one */
    }
    for (uint32_t k = 0; k * step + 6 <= b.pos; k++) {
        uint32_t (*fn)(void) = (uint32_t(*)(void))(uintptr_t)(b.rx + k * step);
        assert_int_equal(fn(), k);
        b.rw[k * step + 1] ^= 1;
        assert_int_equal(fn(), k ^ 1);
    }
    codebuf_done(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_base_register_and_displacement_size_encodes),
        cmocka_unit_test(operations_are_what_they_are_called),
        cmocka_unit_test(vector_moves_reach_all_registers_and_scaled_displacements),
        cmocka_unit_test(forms_of_vector_instructions_say_length_mask_and_broadcast),
        cmocka_unit_test(code_written_in_one_view_runs_in_the_other),
        cmocka_unit_test(overflow_is_sticky_until_rollback_and_writes_nothing_outside),
        cmocka_unit_test(absurd_sizes_are_refused),
        cmocka_unit_test(code_lies_within_reach_of_what_it_is_to_be_near),
        cmocka_unit_test(what_is_written_in_one_view_is_executed_in_the_other),
        cmocka_unit_test(megabytes_become_large_pages_unnoticed),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
