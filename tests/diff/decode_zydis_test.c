/* SPDX-License-Identifier: MIT */
/*
 * Differential test of the x86 decoder against Zydis: validity, length, names, operands and layout.
 *
 * Four sources of bytes: executable sections of programs found on this machine (every instruction, and every byte offset of a
 * part), random strings biased towards prefixes, opcode maps, VEX and EVEX, the whole opcode space one by one, and mutants of
 * each table row until it was compared often enough. Every case counts for its row; a row that no case ever reaches fails.
 * Environment: DOPPEL_TEST_CASES random strings (10 million, each in three modes), DOPPEL_TEST_SEED (1; printed),
 * DOPPEL_TEST_KERNEL a kernel to sweep (bzImage), DOPPEL_TEST_SHOW mismatches to show a row (2), DOPPEL_TEST_LIST=1 lists the
 * rows that no program had.
 */
#include <elf.h>
#include <fcntl.h>
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "machine/bzimage.h"
#include "support/env_number.h"
#include "zydis_compare.h"

enum {
    SAMPLES = 4,     /* kept a row, to mutate */
    ROW_CASES = 500, /* comparisons each row must have */
    ROW_TRIES = 400 * ROW_CASES,
    KERNEL_MAX = 1 << 28,    /* bytes, packed or not */
    OFFSET_SAMPLE = 1 << 20, /* bytes of a file decoded at every offset, in all modes */
    SHOWN_MAX = 200,
};

struct sample {
    uint8_t bytes[ZC_BYTES];
    uint8_t mode, opcode, rex; /* offsets as in struct x86_layout */
};

struct row_stat {
    uint64_t compared, corpus, mismatches;
    unsigned samples;
    struct sample sample[SAMPLES];
};

struct run {
    struct zc zc;
    uint64_t rng[2];
    uint64_t seed, random_cases;
    unsigned show, shown;
    bool in_corpus;
    uint64_t verdict[ZC_MISMATCH + 1], exception[64];
    uint64_t not_offered[ZYDIS_ISA_SET_MAX_VALUE + 1];
    uint64_t refused[ZYDIS_MNEMONIC_MAX_VALUE + 1]; /* mismatches where we decode nothing, by Zydis's name */
    struct row_stat *row;
};

static const char *const files[] = {
    "/usr/lib/x86_64-linux-gnu/libc.so.6",
    "/usr/lib/x86_64-linux-gnu/libcrypto.so.3",
    "/usr/bin/python3",
    "/usr/lib64/libc.so.6",
    "/usr/lib64/libcrypto.so.3",
    "/proc/self/exe",
};

/* xoroshiro128+ */
static uint64_t rnd(struct run *r)
{
    uint64_t a = r->rng[0], b = r->rng[1] ^ a, sum = a + r->rng[1];
    r->rng[0] = (a << 24 | a >> 40) ^ b ^ b << 16;
    r->rng[1] = b << 37 | b >> 27;
    return sum;
}

static bool one_in(struct run *r, unsigned n)
{
    return (rnd(r) >> 32) % n == 0;
}

static void keep_sample(struct row_stat *st, const struct zc *z)
{
    struct sample *s = &st->sample[st->samples < SAMPLES ? st->samples++ : st->compared % SAMPLES];
    memcpy(s->bytes, z->bytes, ZC_BYTES);
    s->mode = z->mode;
    s->opcode = z->insn.layout.opcode;
    s->rex = z->insn.layout.rex;
}

static void count_mismatch(struct run *r)
{
    struct zc *z = &r->zc;
    uint64_t *n = z->len > 0 ? &r->row[z->insn.row].mismatches : &r->refused[z->zi.mnemonic];
    if (++*n <= r->show && r->shown < SHOWN_MAX) {
        r->shown++;
        zc_print_case(z);
    }
}

/* Every proper prefix of an instruction must ask for more bytes, not be taken for something else. */
static bool prefixes_are_short(struct zc *z)
{
    struct x86_insn scratch;
    for (int n = 0; n < z->len; n++) {
        int ret = x86_decode(z->bytes, (unsigned)n, z->mode, &scratch);
        if (ret != X86_DECODE_SHORT) {
            (void)snprintf(z->why, sizeof z->why, "%d of %d bytes decode to %d, not to X86_DECODE_SHORT", n, z->len, ret);
            return false;
        }
    }
    return true;
}

static void check(struct run *r, const uint8_t *bytes, enum x86_mode mode)
{
    struct zc *z = &r->zc;
    enum zc_verdict v = zc_compare(z, bytes, mode);
    if (v == ZC_EQUAL && r->verdict[v] % 8 == 0 && !prefixes_are_short(z))
        v = ZC_MISMATCH;
    r->verdict[v]++;
    if (z->len > 0) {
        struct row_stat *st = &r->row[z->insn.row];
        st->compared++;
        st->corpus += r->in_corpus;
        if (st->compared < 64)
            keep_sample(st, z);
    }
    if (v == ZC_MISMATCH)
        count_mismatch(r);
    else if (v == ZC_EXCEPTION)
        r->exception[z->exception]++;
    else if (v == ZC_NOT_OFFERED)
        r->not_offered[z->zi.meta.isa_set]++;
}

/* Fails the running test if it found mismatches. */
static void end_test(const struct run *r, uint64_t before, const char *what)
{
    uint64_t cases = 0;
    for (unsigned v = 0; v <= ZC_MISMATCH; v++)
        cases += r->verdict[v];
    printf("  %s: %" PRIu64 " mismatches so far, %" PRIu64 " cases so far\n", what, r->verdict[ZC_MISMATCH], cases);
    assert_int_equal(r->verdict[ZC_MISMATCH] - before, 0);
}

/* ---- corpus ---- */
static void sweep(struct run *r, const uint8_t *code, size_t len)
{
    for (size_t at = 0; at + ZC_BYTES <= len;) {
        check(r, code + at, X86_MODE_64);
        at += r->zc.z_valid ? r->zc.zi.length : 1;
    }
    for (size_t at = 0; at + ZC_BYTES <= len && at < OFFSET_SAMPLE; at++)
        for (unsigned mode = X86_MODE_16; mode <= X86_MODE_64; mode++)
            check(r, code + at, mode);
}

static bool sweep_sections(struct run *r, const uint8_t *map, size_t len)
{
    const Elf64_Ehdr *eh = (const void *)map;
    if (len < sizeof *eh || memcmp(eh->e_ident, ELFMAG, SELFMAG) != 0 || eh->e_ident[EI_CLASS] != ELFCLASS64
        || eh->e_machine != EM_X86_64 || eh->e_shoff > len || (len - eh->e_shoff) / sizeof(Elf64_Shdr) < eh->e_shnum)
        return false;
    const Elf64_Shdr *sh = (const void *)(map + eh->e_shoff);
    for (unsigned n = 0; n < eh->e_shnum; n++)
        if (sh[n].sh_type == SHT_PROGBITS && sh[n].sh_flags & SHF_EXECINSTR && sh[n].sh_offset <= len
            && sh[n].sh_size <= len - sh[n].sh_offset)
            sweep(r, map + sh[n].sh_offset, sh[n].sh_size);
    return true;
}

static bool sweep_file(struct run *r, const char *path)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    struct stat st;
    if (fd < 0)
        return false;
    bool done = false;
    if (fstat(fd, &st) == 0 && st.st_size > 0) {
        void *map = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
        if (map != MAP_FAILED) {
            done = sweep_sections(r, map, (size_t)st.st_size);
            (void)munmap(map, (size_t)st.st_size);
        }
    }
    (void)close(fd);
    printf("  %s: %s\n", path, done ? "compared" : "skipped, not an x86-64 ELF file");
    return done;
}

static void sweep_kernel(struct run *r, const char *path)
{
    struct error err = { 0 };
    struct blob image, vmlinux;
    struct bzimage bz;
    if (blob_read_file(path, KERNEL_MAX, &image, &err) < 0 || bzimage_parse(image.data, image.len, &bz, &err) < 0
        || bzimage_unpack(&bz, KERNEL_MAX, &vmlinux, &err) < 0)
        fail_msg("%s: %s", path, err.msg);
    assert_true(sweep_sections(r, vmlinux.data, vmlinux.len));
    printf("  %s: compared\n", path);
    blob_done(&vmlinux);
    blob_done(&image);
}

static void programs_decode_as_in_zydis(void **state)
{
    struct run *r = *state;
    uint64_t before = r->verdict[ZC_MISMATCH];
    const char *kernel = getenv("DOPPEL_TEST_KERNEL");
    unsigned done = 0;
    r->in_corpus = true;
    for (unsigned n = 0; n < sizeof files / sizeof *files; n++)
        done += sweep_file(r, files[n]);
    if (kernel && *kernel)
        sweep_kernel(r, kernel);
    r->in_corpus = false;
    assert_int_not_equal(done, 0);
    end_test(r, before, "programs");
}

/* ---- random strings ---- */
static unsigned put_prefixes(struct run *r, uint8_t *b)
{
    static const uint8_t prefix[] = { 0x66, 0x66, 0x67, 0xf2, 0xf3, 0xf0, 0x2e, 0x36, 0x3e, 0x26, 0x64, 0x65 };
    unsigned n = 0, count = one_in(r, 16) ? (unsigned)(rnd(r) >> 60) : (unsigned)(rnd(r) >> 62);
    while (n < count && n < 14)
        b[n++] = prefix[(rnd(r) >> 32) % sizeof prefix];
    return n;
}

static void put_legacy(struct run *r, uint8_t *b)
{
    unsigned n = put_prefixes(r, b);
    if (n < 12 && one_in(r, 2))
        b[n++] = 0x40 | (rnd(r) >> 60);
    unsigned map = rnd(r) >> 62;
    if (n < 12 && map > 0)
        b[n++] = 0x0f;
    if (n < 12 && map > 1)
        b[n] = map == 2 ? 0x38 : 0x3a;
}

static void put_vex(struct run *r, uint8_t *b)
{
    unsigned n = one_in(r, 8) ? put_prefixes(r, b) : 0;
    if (n > 10)
        return;
    if (one_in(r, 4)) {
        b[n++] = 0xc5;
    } else {
        b[n++] = 0xc4;
        b[n] = (b[n] & 0xe0) | (one_in(r, 16) ? b[n] & 0x1f : 1 + (b[n] & 0x1f) % 3);
        if (one_in(r, 2))
            b[n] |= 0xc0;
        n++;
    }
    if (one_in(r, 2))
        b[n] |= 0x78;
}

static void put_evex(struct run *r, uint8_t *b)
{
    unsigned n = one_in(r, 8) ? put_prefixes(r, b) : 0;
    if (n > 8)
        return;
    b[n] = 0x62;
    if (!one_in(r, 16))
        b[n + 1] = (b[n + 1] & 0xf0) | (1 + (b[n + 1] & 0xf) % 3);
    if (one_in(r, 2))
        b[n + 1] |= 0xc0;
    if (!one_in(r, 32))
        b[n + 2] |= 4;
    if (one_in(r, 2))
        b[n + 2] |= 0x78, b[n + 3] |= 8;
    if (one_in(r, 2))
        b[n + 3] &= 0x78;
}

static void put_random(struct run *r, uint8_t *b)
{
    uint64_t word[2] = { rnd(r), rnd(r) };
    memcpy(b, word, ZC_BYTES);
}

static void random_bytes_decode_as_in_zydis(void **state)
{
    struct run *r = *state;
    uint64_t before = r->verdict[ZC_MISMATCH];
    uint8_t b[ZC_BYTES];
    for (uint64_t n = 0; n < r->random_cases; n++) {
        put_random(r, b);
        unsigned kind = n & 3;
        if (kind == 1)
            put_legacy(r, b);
        else if (kind == 2)
            put_vex(r, b);
        else if (kind == 3)
            put_evex(r, b);
        for (unsigned mode = X86_MODE_16; mode <= X86_MODE_64; mode++)
            check(r, b, mode);
    }
    end_test(r, before, "random bytes");
}

/* ---- the opcode space ---- */
/* Puts opcode and ModRM behind `head`, random bytes behind them; decodes in 64-bit mode and one of the others. */
static void check_opcode(struct run *r, const uint8_t *head, unsigned n, unsigned opcode, unsigned modrm)
{
    uint8_t b[ZC_BYTES];
    put_random(r, b);
    memcpy(b, head, n);
    b[n] = opcode;
    b[n + 1] = modrm;
    check(r, b, X86_MODE_64);
    check(r, b, rnd(r) >> 63 ? X86_MODE_32 : X86_MODE_16);
}

static void check_opcodes(struct run *r, const uint8_t *head, unsigned n)
{
    for (unsigned opcode = 0; opcode < 256; opcode++)
        for (unsigned modrm = 0; modrm < 256; modrm++)
            check_opcode(r, head, n, opcode, modrm);
}

static void legacy_opcodes(struct run *r)
{
    static const uint8_t map[4][3] = { { 0 }, { 1, 0x0f }, { 2, 0x0f, 0x38 }, { 2, 0x0f, 0x3a } };
    static const uint8_t prefix[] = { 0, 0x66, 0xf3, 0xf2, 0xf0, 0x67 };
    static const uint8_t rex[] = { 0, 0x48, 0x41 };
    for (unsigned m = 0; m < 4; m++)
        for (unsigned p = 0; p < sizeof prefix; p++)
            for (unsigned x = 0; x < sizeof rex; x++) {
                uint8_t head[8];
                unsigned n = 0;
                if (prefix[p])
                    head[n++] = prefix[p];
                if (rex[x])
                    head[n++] = rex[x];
                memcpy(head + n, map[m] + 1, map[m][0]);
                check_opcodes(r, head, n + map[m][0]);
            }
}

static void vex_opcodes(struct run *r)
{
    for (unsigned map = 1; map <= 3; map++)
        for (unsigned wlpp = 0; wlpp < 16; wlpp++) {
            uint8_t head[3] = { 0xc4, 0xe0 | map, (wlpp & 8) << 4 | 0x78 | (wlpp & 7) };
            check_opcodes(r, head, 3);
            head[1] = 0xc0 | map;
            head[2] ^= 0x28; /* another vvvv */
            check_opcodes(r, head, 3);
        }
}

/* One opcode under a head: vvvv unused or used, no mask, mask or zeroing, a register, memory or memory with SIB, each /digit. */
static void check_evex_opcode(struct run *r, uint8_t head[4], unsigned opcode)
{
    const uint8_t vvvv_pp = head[2], ll_b = head[3];
    for (unsigned n = 0; n < 2 * 3 * 3 * 8; n++) {
        unsigned kind = n / 6 % 3, mask = n / 2 % 3, random = rnd(r) >> 56;
        unsigned mod = kind == 0 ? 3 : random % 3, rm = kind == 2 ? 4 : random >> 5;
        head[2] = n & 1 ? vvvv_pp ^ 0x10 : vvvv_pp;
        head[3] = mask == 0 ? ll_b : ll_b | (1 + random % 7) | (mask == 2 ? 0x80 : 0);
        check_opcode(r, head, 4, opcode, mod << 6 | n / 18 << 3 | rm);
    }
}

static void evex_opcodes(struct run *r)
{
    for (unsigned n = 0; n < 3 * 8 * 8 * 256; n++) {
        unsigned map = 1 + n % 3, wpp = n / 3 % 8, llb = n / 24 % 8, opcode = n / 192;
        uint8_t head[4] = { 0x62, 0xf0 | map, (wpp & 4) << 5 | 0x7c | (wpp & 3), llb << 4 | 8 };
        check_evex_opcode(r, head, opcode);
    }
}

static void every_opcode_decodes_as_in_zydis(void **state)
{
    struct run *r = *state;
    uint64_t before = r->verdict[ZC_MISMATCH];
    legacy_opcodes(r);
    vex_opcodes(r);
    evex_opcodes(r);
    end_test(r, before, "opcode space");
}

/* ---- every row ---- */
static void mutate(struct run *r, const struct sample *s, uint8_t *b)
{
    put_random(r, b);
    uint8_t modrm = s->bytes[(s->opcode + 1) % ZC_BYTES];
    memcpy(b, s->bytes, s->opcode + 1U);
    if (s->opcode + 1 < ZC_BYTES && one_in(r, 2)) /* keeps /digit and register or memory */
        b[s->opcode + 1] = one_in(r, 2) ? modrm : (modrm & 0xf8) | (b[s->opcode + 1] & 7);
    uint8_t bits = rnd(r) >> 56, *rex = b + s->rex;
    if (*rex == 0x62) {
        rex[1] ^= bits & 0xf0 & -(s->mode == X86_MODE_64);
        rex[2] ^= (rnd(r) >> 56) & 0x78 & -one_in(r, 2);
        rex[3] ^= (rnd(r) >> 56) & -one_in(r, 2);
    } else if (*rex == 0xc4) {
        rex[1] ^= bits & 0xe0 & -(s->mode == X86_MODE_64);
        rex[2] ^= (rnd(r) >> 56) & 0xf8 & -one_in(r, 2);
    } else if (s->mode == X86_MODE_64 && (*rex & 0xf0) == 0x40) {
        *rex ^= bits & 7;
    }
}

static void every_row_is_compared(void **state)
{
    struct run *r = *state;
    uint64_t before = r->verdict[ZC_MISMATCH];
    unsigned unreached = 0, few = 0;
    uint8_t b[ZC_BYTES];
    for (unsigned row = 1; row < x86_nr_rows; row++) {
        struct row_stat *st = &r->row[row];
        for (unsigned n = 0; st->samples && st->compared < ROW_CASES && n < ROW_TRIES; n++) {
            const struct sample s = st->sample[n % st->samples];
            mutate(r, &s, b);
            check(r, b, s.mode);
        }
        if (st->compared == 0) {
            printf("  row %u %s: never reached\n", row, x86_rows[row].name);
            unreached++;
        } else if (st->compared < ROW_CASES) {
            printf("  row %u %s: only %" PRIu64 " comparisons\n", row, x86_rows[row].name, st->compared);
            few++;
        }
    }
    printf("  rows: %u, never reached %u, compared less than %u times %u\n", x86_nr_rows - 1, unreached, ROW_CASES, few);
    end_test(r, before, "rows");
    assert_int_equal(unreached, 0);
}

/* ---- group ---- */
static int set_up(void **state)
{
    struct run *r = calloc(1, sizeof *r);
    if (!r || !(r->row = calloc(x86_nr_rows, sizeof *r->row)))
        return -1;
    zc_init(&r->zc);
    r->seed = env_number("DOPPEL_TEST_SEED", 1);
    r->random_cases = env_number("DOPPEL_TEST_CASES", 10000000);
    r->show = (unsigned)env_number("DOPPEL_TEST_SHOW", 2);
    r->rng[0] = r->seed * 0x9e3779b97f4a7c15U + 1;
    r->rng[1] = ~r->rng[0] * 0xbf58476d1ce4e5b9U;
    printf("decode_zydis: seed %" PRIu64 ", %" PRIu64 " random strings, %u rows\n", r->seed, r->random_cases, x86_nr_rows - 1);
    *state = r;
    return 0;
}

static void print_summary(const struct run *r)
{
    unsigned no_corpus = 0;
    bool list = env_number("DOPPEL_TEST_LIST", 0);
    for (unsigned n = 1; n < x86_nr_rows; n++) {
        no_corpus += r->row[n].corpus == 0;
        if (r->row[n].corpus == 0 && list)
            printf("  not in programs: row %u %s\n", n, x86_rows[n].name);
        if (r->row[n].mismatches)
            printf("  row %u %s: %" PRIu64 " mismatches in %" PRIu64 "\n", n, x86_rows[n].name, r->row[n].mismatches,
                   r->row[n].compared);
    }
    for (unsigned n = 0; n <= ZYDIS_MNEMONIC_MAX_VALUE; n++)
        if (r->refused[n])
            printf("  not decoded by us: %s, %" PRIu64 "\n", ZydisMnemonicGetString(n), r->refused[n]);
    printf("equal %" PRIu64 ", invalid in both %" PRIu64 ", not offered %" PRIu64 ", exceptions %" PRIu64 ", mismatches %" PRIu64
           "; rows without a case in programs: %u\n",
           r->verdict[ZC_EQUAL], r->verdict[ZC_BOTH_INVALID], r->verdict[ZC_NOT_OFFERED], r->verdict[ZC_EXCEPTION],
           r->verdict[ZC_MISMATCH], no_corpus);
    for (unsigned n = 0; zc_exception_reason(n); n++)
        printf("  exception %u, %" PRIu64 " times: %s\n", n, r->exception[n], zc_exception_reason(n));
    printf("  not offered:");
    for (unsigned n = 0; n <= ZYDIS_ISA_SET_MAX_VALUE; n++)
        if (r->not_offered[n])
            printf(" %s %" PRIu64, ZydisISASetGetString(n), r->not_offered[n]);
    printf("\n");
}

static int tear_down(void **state)
{
    struct run *r = *state;
    print_summary(r);
    free(r->row);
    free(r);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(programs_decode_as_in_zydis),
        cmocka_unit_test(random_bytes_decode_as_in_zydis),
        cmocka_unit_test(every_opcode_decodes_as_in_zydis),
        cmocka_unit_test(every_row_is_compared),
    };
    setvbuf(stdout, NULL, _IOLBF, 0);
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
