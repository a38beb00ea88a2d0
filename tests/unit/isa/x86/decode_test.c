/* SPDX-License-Identifier: MIT */
/*
 * The decoder and the disassembler on cases taken from the manual by hand; the wide comparison is in tests/diff.
 *
 * A case is bytes in hex and the text x86_disasm() must give for them at address 0x1000, or "#UD", "#GP" (too long).
 * Spec: SDM 2A chapter 2, instruction pages of 2A to 2D.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "isa/x86/disasm.h"
#include "isa/x86/step.h"

enum { RIP = 0x1000 };

struct sample {
    const char *hex, *text;
};

static unsigned parse_hex(const char *hex, uint8_t *bytes)
{
    unsigned n = 0, byte;
    int used;
    for (; sscanf(hex, "%2x%n", &byte, &used) == 1; hex += used)
        bytes[n++] = byte;
    return n;
}

static int decode_hex(const char *hex, enum x86_mode mode, struct x86_insn *i)
{
    uint8_t bytes[64];
    return x86_decode(bytes, parse_hex(hex, bytes), mode, i);
}

/* All samples decode in full to their text; one that must be #UD does so with nops behind it. */
static void check(enum x86_mode mode, const struct sample *s, unsigned n)
{
    for (; n > 0; n--, s++) {
        uint8_t bytes[64] = {0};
        char text[X86_DISASM_MAX] = "?";
        struct x86_insn i;
        unsigned len = parse_hex(s->hex, bytes);
        memset(bytes + len, 0x90, 16);
        int r = x86_decode(bytes, len + 16, mode, &i);
        if (r == X86_DECODE_INVALID)
            strcpy(text, "#UD");
        else if (r == X86_DECODE_LONG)
            strcpy(text, "#GP");
        else if (r != (int)len)
            print_message("%s: length %d, not %u\n", s->hex, r, len);
        else
            x86_disasm(&i, RIP, text, sizeof(text));
        if (strcmp(text, s->text) != 0)
            fail_msg("%s: '%s', not '%s'", s->hex, text, s->text);
    }
}

#define CHECK(mode, samples) check(mode, samples, sizeof(samples) / sizeof(samples[0]))

static void operand_size_follows_mode_66_and_rex_w(void **state)
{
    static const struct sample s64[] = {
        {"89 d8", "mov eax, ebx"},
        {"66 89 d8", "mov ax, bx"},
        {"48 89 d8", "mov rax, rbx"},
        {"66 48 89 d8", "mov rax, rbx"},
        {"48 66 89 d8", "mov ax, bx"}, /* a REX that is not last is void */
        {"45 8b c8", "mov r9d, r8d"},
        {"48 b8 88 77 66 55 44 33 22 11", "mov rax, 0x1122334455667788"},
        {"b8 ff ff ff ff", "mov eax, 0xffffffff"},
        {"48 c7 c0 ff ff ff ff", "mov rax, 0xffffffffffffffff"},
        {"66 05 34 12", "add ax, 0x1234"},
        {"48 83 c0 80", "add rax, 0xffffffffffffff80"},
        {"48 98", "cdqe"}, {"98", "cwde"}, {"66 98", "cbw"},
    };
    static const struct sample s32[] = {{"89 d8", "mov eax, ebx"}, {"66 89 d8", "mov ax, bx"}, {"48", "dec eax"}};
    static const struct sample s16[] = {{"89 d8", "mov ax, bx"}, {"66 89 d8", "mov eax, ebx"}, {"b8 34 12", "mov ax, 0x1234"}};
    (void)state;
    CHECK(X86_MODE_64, s64);
    CHECK(X86_MODE_32, s32);
    CHECK(X86_MODE_16, s16);
}

static void any_rex_turns_high_bytes_into_low_ones(void **state)
{
    static const struct sample s[] = {
        {"88 e0", "mov al, ah"}, {"40 88 e0", "mov al, spl"}, {"88 fb", "mov bl, bh"}, {"40 88 fb", "mov bl, dil"},
        {"b4 01", "mov ah, 0x1"}, {"40 b4 01", "mov spl, 0x1"}, {"41 b4 01", "mov r12b, 0x1"}, {"0f 94 c4", "setz ah"},
    };
    (void)state;
    CHECK(X86_MODE_64, s);
}

static void memory_operands_have_every_form(void **state)
{
    static const struct sample s64[] = {
        {"8b 00", "mov eax, dword ptr [rax]"},
        {"67 8b 00", "mov eax, dword ptr [eax]"},
        {"8b 05 10 00 00 00", "mov eax, dword ptr [0x1016]"}, /* rip + length + disp */
        {"8b 04 25 f0 ff ff ff", "mov eax, dword ptr [0xfffffffffffffff0]"},
        {"8b 44 24 08", "mov eax, dword ptr [rsp+0x8]"},
        {"8b 45 fc", "mov eax, dword ptr [rbp-0x4]"},
        {"43 8b 44 25 00", "mov eax, dword ptr [r13+r12]"}, /* r12 is an index, rsp is not */
        {"41 8b 04 24", "mov eax, dword ptr [r12]"},
        {"41 8b 45 00", "mov eax, dword ptr [r13]"},
        {"8b 84 c8 00 01 00 00", "mov eax, dword ptr [rax+rcx*8+0x100]"},
        {"64 48 8b 04 25 28 00 00 00", "mov rax, qword ptr [fs:0x28]"},
        {"2e 8b 00", "mov eax, dword ptr [rax]"},    /* CS is void in 64-bit mode */
        {"64 2e 8b 00", "mov eax, dword ptr [fs:rax]"},
        {"48 8d 04 0a", "lea rax, [rdx+rcx]"},
        {"a1 88 77 66 55 44 33 22 11", "mov eax, dword ptr [0x1122334455667788]"},
        {"67 a1 88 77 66 f5", "mov eax, dword ptr [0xf5667788]"},
    };
    static const struct sample s16[] = {
        {"8b 00", "mov ax, word ptr [bx+si]"},
        {"8b 46 fe", "mov ax, word ptr [bp-0x2]"},
        {"8b 0e 34 12", "mov cx, word ptr [0x1234]"},
        {"26 8b 07", "mov ax, word ptr [es:bx]"},
        {"67 8b 04 24", "mov ax, word ptr [esp]"},
    };
    (void)state;
    CHECK(X86_MODE_64, s64);
    CHECK(X86_MODE_16, s16);
}

static void segment_is_ss_for_stack_bases_unless_overridden(void **state)
{
    static const struct {
        enum x86_mode mode;
        const char *hex;
        uint8_t seg;
    } s[] = {
        {X86_MODE_32, "8b 45 00", SEG_SS}, {X86_MODE_32, "8b 04 24", SEG_SS}, {X86_MODE_32, "3e 8b 45 00", SEG_DS},
        {X86_MODE_32, "8b 00", SEG_DS}, {X86_MODE_32, "8b 04 28", SEG_DS} /* ebp as index */, {X86_MODE_64, "41 8b 45 00", SEG_DS},
        {X86_MODE_16, "8b 02", SEG_SS}, {X86_MODE_16, "8b 06 00 00", SEG_DS}, {X86_MODE_16, "a5", SEG_DS}, {X86_MODE_16, "26 a5", SEG_ES},
        {X86_MODE_32, "64 2e 8b 00", SEG_CS},
    };
    (void)state;
    for (unsigned n = 0; n < sizeof(s) / sizeof(s[0]); n++) {
        struct x86_insn i;
        assert_true(decode_hex(s[n].hex, s[n].mode, &i) > 0);
        assert_int_equal(i.seg, s[n].seg);
    }
}

static void branches_and_stack_are_64_bit_in_64_bit_mode(void **state)
{
    static const struct sample s64[] = {
        {"e8 fb ff ff ff", "call 0x1000"}, {"66 e8 fa ff ff ff", "call 0x1000"}, /* Intel: 66 ignored */
        {"eb fe", "jmp 0x1000"}, {"0f 84 00 01 00 00", "jz 0x1106"}, {"ff d0", "call rax"}, {"ff 25 00 00 00 00", "jmp qword ptr [0x1006]"},
        {"50", "push rax"}, {"66 50", "push ax"}, {"41 57", "push r15"}, {"6a ff", "push 0xffffffffffffffff"},
        {"68 00 00 00 80", "push 0xffffffff80000000"}, {"8f 00", "pop qword ptr [rax]"}, {"c3", "ret"}, {"c2 08 00", "ret 0x8"},
        {"48 cf", "iretq"}, {"cf", "iretd"}, {"48 ff 28", "jmp tbyte ptr [rax]"}, {"0f a0", "push fs"}, {"e3 fe", "jrcxz 0x1000"},
        {"67 e3 fd", "jecxz 0x1000"}, {"c8 10 00 02", "enter 0x10, 0x2"},
    };
    static const struct sample s16[] = {
        {"e8 fd ff", "call 0x1000"}, {"66 e8 fa ff ff ff", "call 0x1000"}, {"ea 34 12 00 f0", "jmp 0x1234, 0xf000"},
        {"66 ea 78 56 34 12 08 00", "jmp 0x12345678, 0x8"}, {"ff 2f", "jmp dword ptr [bx]"}, {"66 ff 2f", "jmp fword ptr [bx]"},
    };
    (void)state;
    CHECK(X86_MODE_64, s64);
    CHECK(X86_MODE_16, s16);
}

static void rows_exist_only_in_their_modes(void **state)
{
    static const struct sample s64[] = {
        {"06", "#UD"}, {"27", "#UD"}, {"60", "#UD"}, {"82 c0", "#UD"}, {"9a", "#UD"}, {"ce", "#UD"}, {"d6", "#UD"}, {"ea", "#UD"},
        {"63 c8", "movsxd ecx, eax"}, {"48 63 c8", "movsxd rcx, eax"}, {"f3 48 0f ae c0", "rdfsbase rax"},
    };
    static const struct sample s32[] = {
        {"06", "push es"}, {"82 c0 01", "add al, 0x1"}, {"63 c8", "arpl ax, cx"}, {"d6", "salc"}, {"40", "inc eax"},
        {"62 00", "bound eax, qword ptr [eax]"}, {"c4 00", "les eax, fword ptr [eax]"}, {"c5 00", "lds eax, fword ptr [eax]"},
        {"f3 0f ae c0", "#UD"}, {"0f 01 f8", "#UD"},
    };
    (void)state;
    CHECK(X86_MODE_64, s64);
    CHECK(X86_MODE_32, s32);
}

static void lock_needs_a_lockable_memory_destination(void **state)
{
    static const struct sample s[] = {
        {"f0 01 00", "lock add dword ptr [rax], eax"}, {"f0 48 0f b1 0a", "lock cmpxchg qword ptr [rdx], rcx"},
        {"f0 0f c7 08", "lock cmpxchg8b qword ptr [rax]"}, {"f0 48 0f c7 08", "lock cmpxchg16b xmmword ptr [rax]"},
        {"f0 87 00", "lock xchg dword ptr [rax], eax"}, {"f0 0f ba 28 01", "lock bts dword ptr [rax], 0x1"},
        {"f0 01 c0", "#UD"}, {"f0 03 00", "#UD"}, {"f0 8b 00", "#UD"}, {"f0 39 00", "#UD"}, {"f0 0f ba 20 01", "#UD"}, {"f0 90", "#UD"},
    };
    (void)state;
    CHECK(X86_MODE_64, s);
}

static void mandatory_prefixes_select_the_row(void **state)
{
    static const struct sample s[] = {
        {"90", "nop"}, {"f3 90", "pause"}, {"41 90", "xchg r8d, eax"}, {"66 90", "nop"},
        {"0f bc c1", "bsf eax, ecx"}, {"f3 0f bc c1", "tzcnt eax, ecx"}, {"66 f3 0f bd c1", "lzcnt ax, cx"}, {"f2 0f bc c1", "bsf eax, ecx"},
        {"0f b8 c1", "#UD"}, {"f3 0f b8 c1", "popcnt eax, ecx"},
        {"0f 58 c1", "addps xmm0, xmm1"}, {"66 0f 58 c1", "addpd xmm0, xmm1"}, {"f3 0f 58 c1", "addss xmm0, xmm1"},
        {"f2 66 0f 58 c1", "addsd xmm0, xmm1"}, {"f2 f3 0f 58 c1", "addss xmm0, xmm1"}, {"f3 0f 14 c1", "#UD"},
        {"0f 38 f0 01", "movbe eax, dword ptr [rcx]"}, {"66 0f 38 f0 01", "movbe ax, word ptr [rcx]"},
        {"f2 0f 38 f0 c1", "crc32 eax, cl"}, {"f2 66 0f 38 f1 c1", "crc32 eax, cx"}, {"f2 48 0f 38 f1 c1", "crc32 rax, rcx"},
        {"66 0f 38 f6 c1", "adcx eax, ecx"}, {"f3 48 0f 38 f6 c1", "adox rax, rcx"}, {"66 0f ae 38", "clflushopt byte ptr [rax]"},
        {"f3 a4", "rep movsb"}, {"f2 48 a7", "repne cmpsq"}, {"f3 0f 1e fa", "nop edx, edi"},
    };
    (void)state;
    CHECK(X86_MODE_64, s);
}

static void system_registers_that_do_not_exist_are_invalid(void **state)
{
    static const struct sample s[] = {
        {"0f 20 c0", "mov rax, cr0"}, {"0f 22 d8", "mov cr3, rax"}, {"44 0f 20 c0", "mov rax, cr8"}, {"0f 20 c8", "#UD"}, {"0f 20 e8", "#UD"},
        {"0f 20 00", "mov rax, cr0"}, /* mod is ignored */
        {"0f 23 f8", "mov dr7, rax"}, {"44 0f 21 c0", "#UD"}, {"8e d8", "mov ds, ax"}, {"8e c8", "#UD"}, {"8c c8", "mov eax, cs"}, {"8c f0", "#UD"},
    };
    (void)state;
    CHECK(X86_MODE_64, s);
}

static void undocumented_aliases_decode(void **state)
{
    static const struct sample s[] = {
        {"c0 f0 01", "shl al, 0x1"}, {"d1 f0", "shl eax, 0x1"}, {"d3 f0", "shl eax, cl"}, {"f6 c8 01", "test al, 0x1"}, {"f7 c8 01 00 00 00", "test eax, 0x1"},
        {"0f 0b", "ud2"}, {"0f b9 c0", "ud1 eax, eax"}, {"0f ff c0", "ud0 eax, eax"}, {"f1", "int1"}, {"0f 1f 40 00", "nop dword ptr [rax], eax"},
        {"0f 19 c0", "nop eax, eax"}, {"df c0", "ffreep st(0)"}, {"0f 01 c1", "vmcall"}, {"0f 01 d9", "vmmcall"}, {"0f 01 c2", "#UD"},
    };
    (void)state;
    CHECK(X86_MODE_64, s);
}

static void x87_opcodes_split_by_modrm(void **state)
{
    static const struct sample s[] = {
        {"d8 00", "fadd dword ptr [rax]"}, {"dc 00", "fadd qword ptr [rax]"}, {"d8 c3", "fadd st(0), st(3)"}, {"dc c3", "fadd st(3), st(0)"},
        {"dc e3", "fsubr st(3), st(0)"}, {"de e9", "fsubp st(1), st(0)"}, {"db 28", "fld tbyte ptr [rax]"}, {"d9 e8", "fld1"}, {"d9 e2", "#UD"},
        {"df e0", "fnstsw ax"}, {"db e2", "fnclex"}, {"da e9", "fucompp"}, {"da e8", "#UD"}, {"dd 28", "#UD"}, {"9b", "fwait"},
    };
    (void)state;
    CHECK(X86_MODE_64, s);
}

static void vex_rules(void **state)
{
    static const struct sample s64[] = {
        {"c5 f8 58 c1", "vaddps xmm0, xmm0, xmm1"}, {"c5 fc 58 c1", "vaddps ymm0, ymm0, ymm1"}, {"c4 41 34 58 c1", "vaddps ymm8, ymm9, ymm9"},
        {"c4 e1 78 58 c1", "vaddps xmm0, xmm0, xmm1"}, {"c5 f8 28 c1", "vmovaps xmm0, xmm1"}, {"c5 f0 28 c1", "#UD"}, /* vvvv */
        {"66 c5 f8 58 c1", "#UD"}, {"f3 c5 f8 58 c1", "#UD"}, {"f0 c5 f8 58 c1", "#UD"}, {"40 c5 f8 58 c1", "#UD"}, {"64 c5 f8 58 00", "vaddps xmm0, xmm0, xmmword ptr [fs:rax]"},
        {"c4 e0 78 58 c1", "#UD"}, {"c4 e2 f8 f2 c1", "andn rax, rax, rcx"}, {"c4 e2 7c f2 c1", "#UD"}, /* L must be 0 */
        {"c5 f8 77", "vzeroupper"}, {"c4 e3 71 4b c2 30", "vblendvpd xmm0, xmm1, xmm2, xmm3"}, {"c5 fb 10 00", "vmovsd xmm0, qword ptr [rax]"},
        {"c4 e2 71 92 04 10", "vgatherdps xmm0, dword ptr [rax+vmm2], xmm1"}, {"c4 e2 71 92 04 00", "#UD"}, {"c4 e2 71 92 00", "#UD"},
    };
    static const struct sample s32[] = {{"c5 f8 58 c1", "vaddps xmm0, xmm0, xmm1"}, {"c4 e2 78 f2 c1", "andn eax, eax, ecx"}};
    (void)state;
    CHECK(X86_MODE_64, s64);
    CHECK(X86_MODE_32, s32);
}

static void evex_rules(void **state)
{
    static const struct sample s[] = {
        {"62 f1 7c 48 58 c1", "vaddps zmm0, zmm0, zmm1"}, {"62 01 04 40 58 ff", "vaddps zmm31, zmm31, zmm31"},
        {"62 f1 7c 49 58 c1", "vaddps zmm0{k1}, zmm0, zmm1"}, {"62 f1 7c c9 58 c1", "vaddps zmm0{k1}{z}, zmm0, zmm1"}, {"62 f1 7c c8 58 c1", "#UD"}, /* z without mask */
        {"62 f1 7c 48 58 40 01", "vaddps zmm0, zmm0, zmmword ptr [rax+0x40]"}, {"62 f1 7c 58 58 40 01", "vaddps zmm0, zmm0, dword ptr [rax+0x4]{1to16}"},
        {"62 f1 7c 28 58 40 ff", "vaddps ymm0, ymm0, ymmword ptr [rax-0x20]"}, {"62 f1 7c 78 58 c1", "vaddps zmm0, zmm0, zmm1, {rz-sae}"},
        {"62 f1 7c 68 58 c1", "#UD"}, /* L'L = 3 */ {"62 f5 7c 48 58 c1", "#UD"}, {"62 f1 78 48 58 c1", "#UD"}, {"62 f9 7c 48 58 c1", "#UD"},
        {"62 f1 74 48 28 c1", "#UD"}, /* vvvv */ {"62 f1 7c 40 28 c1", "#UD"}, /* V' */ {"62 f1 7c 58 28 00", "#UD"}, /* no broadcast */
        {"62 f1 7c cb 29 00", "#UD"}, /* stores merge */ {"66 62 f1 7c 48 58 c1", "#UD"},
    };
    (void)state;
    CHECK(X86_MODE_64, s);
}

static void more_than_fifteen_bytes_is_general_protection(void **state)
{
    static const struct sample s[] = {
        {"66 66 66 66 66 66 66 66 66 66 66 66 66 66 90", "nop"},
        {"66 66 66 66 66 66 66 66 66 66 66 66 66 66 66 90", "#GP"},
        {"66 66 66 66 66 66 66 66 66 66 66 66 66 66 05 00 00", "#GP"},
    };
    struct x86_insn i;
    (void)state;
    CHECK(X86_MODE_64, s);
    assert_int_equal(decode_hex("66 66 66 66 66 66 66 66 66 66 66 66 66 66", X86_MODE_64, &i), X86_DECODE_SHORT);
}

static void every_cut_instruction_asks_for_more(void **state)
{
    static const char *const all[] = {
        "48 b8 88 77 66 55 44 33 22 11", "64 48 8b 04 25 28 00 00 00", "c8 10 00 02", "62 f1 7c 48 58 40 01", "c4 e3 71 4b c2 30",
        "66 0f 3a 0f 44 24 10 08", "67 a1 88 77 66 f5", "f3 0f b8 c1", "81 84 88 00 00 00 00 01 00 00 00", "0f 84 00 01 00 00",
    };
    (void)state;
    for (unsigned n = 0; n < sizeof(all) / sizeof(all[0]); n++) {
        uint8_t bytes[64];
        struct x86_insn i = {.row = 0xbeef};
        unsigned len = parse_hex(all[n], bytes);
        for (unsigned cut = 0; cut < len; cut++)
            assert_int_equal(x86_decode(bytes, cut, X86_MODE_64, &i), X86_DECODE_SHORT);
        assert_int_equal(i.row, 0xbeef); /* not written */
        assert_int_equal(x86_decode(bytes, len, X86_MODE_64, &i), len);
    }
}

static void layout_names_each_part(void **state)
{
    struct x86_insn i;
    (void)state;
    assert_int_equal(decode_hex("f0 48 81 84 88 11 22 33 44 01 00 00 80", X86_MODE_64, &i), 13);
    assert_int_equal(i.layout.rex, 1);
    assert_int_equal(i.layout.opcode, 2);
    assert_int_equal(i.layout.modrm, 3);
    assert_int_equal(i.layout.sib, 4);
    assert_int_equal(i.layout.disp, 5);
    assert_int_equal(i.layout.disp_size, 4);
    assert_int_equal(i.layout.imm, 9);
    assert_int_equal(i.layout.imm_size, 4);
    assert_int_equal(i.imm, 0xffffffff80000001);
    assert_int_equal(i.modrm, 0x84);
    assert_int_equal(i.bytes[12], 0x80);
    assert_int_equal(decode_hex("c5 f8 77", X86_MODE_64, &i), 3);
    assert_int_equal(i.layout.rex, 0); /* VEX stands at 0 */
    assert_int_equal(i.layout.modrm, 0);
    assert_int_equal(i.enc, X86_ENC_VEX);
}

static void rows_say_what_they_do_to_flags_and_blocks(void **state)
{
    static const struct {
        const char *hex;
        x86_step_fn step;
        uint32_t flags;
        uint16_t read, written, undefined;
    } s[] = {
        {"11 d8", NULL, ROW_LOCK, FLAG_CF, FLAGS_ARITH, 0},
        {"31 d8", NULL, ROW_LOCK, 0, FLAGS_ARITH & ~FLAG_AF, FLAG_AF},
        {"ff c0", NULL, ROW_LOCK, 0, FLAGS_ARITH & ~FLAG_CF, 0},
        {"74 00", NULL, ROW_BRANCH | ROW_NEARBR, FLAG_ZF, 0, 0},
        {"f4", NULL, ROW_PRIV | ROW_SYS, 0, 0, 0},
        {"0f 0b", step_ud, ROW_BRANCH, 0, 0, 0},
        {"0f 58 c1", step_host, ROW_HOST | ROW_SSE | ROW_ALIGN | ROW_FPEXC, 0, 0, 0},
        {"66 0f f7 c1", NULL, ROW_SSE, 0, 0, 0},
        {"c4 e2 78 f2 c1", NULL, ROW_XCR_GPR, 0, FLAGS_ARITH & ~(FLAG_AF | FLAG_PF), FLAG_AF | FLAG_PF},
    };
    (void)state;
    for (unsigned n = 0; n < sizeof(s) / sizeof(s[0]); n++) {
        struct x86_insn i;
        assert_true(decode_hex(s[n].hex, X86_MODE_64, &i) > 0);
        const struct x86_row *row = &x86_rows[i.row];
        assert_true(i.row > 0 && i.row < x86_nr_rows);
        assert_int_equal(row->flags, s[n].flags);
        assert_int_equal(row->flags_read, s[n].read);
        assert_int_equal(row->flags_written, s[n].written);
        assert_int_equal(row->flags_undef, s[n].undefined);
        if (s[n].step)
            assert_ptr_equal(i.step, s[n].step);
    }
}

static void disassembly_never_overruns(void **state)
{
    struct x86_insn i;
    char full[X86_DISASM_MAX], text[X86_DISASM_MAX];
    (void)state;
    assert_true(decode_hex("f0 48 81 84 88 11 22 33 44 01 00 00 80", X86_MODE_64, &i) > 0);
    x86_disasm(&i, RIP, full, sizeof(full));
    for (unsigned cap = 1; cap < sizeof(text); cap++) {
        memset(text, 'X', sizeof(text));
        x86_disasm(&i, RIP, text, cap);
        assert_int_equal(text[cap], 'X');
        assert_int_equal(strncmp(text, full, strlen(text)), 0);
        assert_int_equal(strlen(text), strlen(full) < cap ? strlen(full) : cap - 1);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(operand_size_follows_mode_66_and_rex_w),
        cmocka_unit_test(any_rex_turns_high_bytes_into_low_ones),
        cmocka_unit_test(memory_operands_have_every_form),
        cmocka_unit_test(segment_is_ss_for_stack_bases_unless_overridden),
        cmocka_unit_test(branches_and_stack_are_64_bit_in_64_bit_mode),
        cmocka_unit_test(rows_exist_only_in_their_modes),
        cmocka_unit_test(lock_needs_a_lockable_memory_destination),
        cmocka_unit_test(mandatory_prefixes_select_the_row),
        cmocka_unit_test(system_registers_that_do_not_exist_are_invalid),
        cmocka_unit_test(undocumented_aliases_decode),
        cmocka_unit_test(x87_opcodes_split_by_modrm),
        cmocka_unit_test(vex_rules),
        cmocka_unit_test(evex_rules),
        cmocka_unit_test(more_than_fifteen_bytes_is_general_protection),
        cmocka_unit_test(every_cut_instruction_asks_for_more),
        cmocka_unit_test(layout_names_each_part),
        cmocka_unit_test(rows_say_what_they_do_to_flags_and_blocks),
        cmocka_unit_test(disassembly_never_overruns),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
