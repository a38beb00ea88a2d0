/* SPDX-License-Identifier: MIT */
/*
 * Differential test: every innocuous instruction's step function against the host CPU, bit for bit.
 *
 * A case is a random instruction on random (corner-biased) registers and memory. It runs once through x86_decode(),
 * x86_check_fpu() and its step function on a bare struct x86_cpu in 64-bit mode at CPL 3, and once as it is on the host
 * (host_native.c); both see the same memory at the same addresses, through a second mapping of the guest's RAM. Then all
 * registers, flags (undefined ones masked), vector, mask and x87 state, the trap's vector and the memory must agree.
 * HOST_TEST_CASES and HOST_TEST_SEED choose how many and which; HOST_TEST_ROW=NAME only that mnemonic; HOST_TEST_REPORTS
 * how many differences are printed.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "host_gen.h"
#include "host_native.h"
#include "host_state.h"
#include "isa/x86/fpu.h"
#include "isa/x86/hostexec.h"
#include "isa/x86/mmu.h"
#include "isa/x86/profile.h"
#include "isa/x86/step.h"
#include "support/env_number.h"
#include "support/shared_ram.h"

enum { DEFAULT_CASES = 1200000, DEFAULT_REPORTS = 20, TABLES = 0x1000 };
#define RAM_SIZE (4UL << 20)
#define DATA_GPA 0x200000UL

struct bench {
    struct gmem gmem;
    struct x86_profile profile;
    struct x86_cpu *cpu; /* owned */
    struct gen *gen;     /* owned */
    uint8_t *hot;        /* the compared pages, in gmem's own mapping */
    uint8_t before[HOT_SIZE], ours[HOT_SIZE], theirs[HOT_SIZE];
    uint64_t *row_cases;           /* owned; per row */
    uint16_t *rows;                /* owned; chosen ones, by their number in gen */
    unsigned reports, max_reports; /* cases that differ; how many to print */
    uint64_t traps[32], skipped;   /* cases by the host's trap */
};

/* ---- set-up ---- */

static void map_tables(struct bench *b)
{
    uint64_t *t = (uint64_t *)(b->gmem.host + TABLES);
    t[0] = (TABLES + 0x1000) | 7;
    t[512] = (TABLES + 0x2000) | 7;
    t[1024 + (NATIVE_DATA >> 21)] = DATA_GPA | 0x87; /* one 2 MiB page */
}

static void set_up_cpu(struct bench *b)
{
    struct x86_cpu *c = b->cpu;
    const uint32_t data = SEG_P | SEG_S | SEG_DPL | SEG_TYPE_RW | SEG_TYPE_A | SEG_DB | SEG_G;

    c->gmem = &b->gmem;
    c->profile = &b->profile;
    c->tlb = x86_tlb_new();
    assert_non_null(c->tlb);
    for (unsigned n = 0; n <= SEG_GS; n++)
        c->seg[n] = (struct x86_seg){ .sel = 0x2b, .limit = 0xffffffff, .attr = data };
    c->seg[SEG_CS].attr = SEG_P | SEG_S | SEG_DPL | SEG_TYPE_CODE | SEG_TYPE_RW | SEG_TYPE_A | SEG_L | SEG_G;
    c->cr0 = CR0_PE | CR0_PG | CR0_ET | CR0_NE | CR0_WP | CR0_MP;
    c->cr3 = TABLES;
    c->cr4 = CR4_PAE | CR4_OSFXSR | CR4_OSXMMEXCPT | CR4_OSXSAVE | CR4_FSGSBASE;
    c->efer = EFER_LME | EFER_LMA | EFER_NXE | EFER_SCE;
    c->xcr0 = b->profile.xcr0;
    c->rflags = FLAG_ONE;
    x86_state_changed(c);
    assert_int_equal(c->cpl, 3);
    assert_int_equal(c->mode, X86_MODE_64);
}

static void set_up(struct bench *b)
{
    struct error err = { 0 };
    memset(b, 0, sizeof(*b));
    if (hostexec_init(&err) < 0 || native_init(&err) < 0 || gmem_init(&b->gmem, RAM_SIZE, &err) < 0
        || gmem_add_slot(&b->gmem, 0, RAM_SIZE, 0, &err) < 0 || x86_profile_make("max", &b->profile, &err) < 0)
        fail_msg("%s", err.msg);
    int fd = shared_ram(&b->gmem);
    void *p = mmap((void *)NATIVE_DATA, NATIVE_DATA_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED_NOREPLACE, fd, DATA_GPA);
    assert_ptr_equal(p, (void *)NATIVE_DATA);
    (void)close(fd); /* the mappings keep the memory */
    map_tables(b);
    b->hot = b->gmem.host + DATA_GPA + (HOT_VA - NATIVE_DATA);
    b->cpu = aligned_alloc(64, (sizeof(*b->cpu) + 63) / 64 * 64);
    assert_non_null(b->cpu);
    memset(b->cpu, 0, sizeof(*b->cpu));
    set_up_cpu(b);
    b->gen = gen_new(&b->profile);
    b->row_cases = calloc(x86_nr_rows, sizeof(*b->row_cases));
    b->rows = calloc(x86_nr_rows, sizeof(*b->rows));
    assert_non_null(b->gen);
    assert_non_null(b->rows);
    assert_non_null(b->row_cases);
}

static void tear_down(struct bench *b)
{
    x86_tlb_free(b->cpu->tlb);
    free(b->cpu);
    free(b->row_cases);
    free(b->rows);
    gen_free(b->gen);
    gmem_done(&b->gmem);
}

/* ---- running ---- */

static void run_ours(struct bench *b, const struct x86_insn *i, struct native_state *s)
{
    struct x86_cpu *c = b->cpu;
    jmp_buf env;

    memcpy(c->gpr, s->gpr, sizeof(c->gpr));
    c->fpu = s->fpu;
    c->rflags = s->rflags;
    c->rip = NATIVE_RIP;
    c->trap_env = &env;
    s->trap = NATIVE_NO_TRAP;
    if (_setjmp(env) == 0) {
        do {
            c->next_rip = c->rip + i->len;
            x86_check_fpu(c, i);
            i->step(c, i);
        } while (c->next_rip == c->rip);
        s->next_rip = c->next_rip;
    } else {
        s->trap = c->trap.vector;
        s->next_rip = c->rip;
    }
    memcpy(s->gpr, c->gpr, sizeof(c->gpr));
    s->fpu = c->fpu;
    s->rflags = c->rflags;
}

/* ---- comparing ---- */

static void report_memory(const struct bench *b)
{
    for (unsigned n = 0; n < HOT_SIZE; n++)
        if (b->ours[n] != b->theirs[n])
            printf("    memory %#lx: before %02x, step %02x, host %02x\n", HOT_VA + n, b->before[n], b->ours[n], b->theirs[n]);
}

static void report(struct bench *b, const struct x86_insn *i, const struct native_state *s, const struct native_state *ours,
                   const struct native_state *theirs, uint64_t flags, uint64_t number)
{
    if (b->reports++ >= b->max_reports)
        return;
    printf("case %lu: %s, bytes", number, x86_rows[i->row].name);
    for (unsigned n = 0; n < i->len; n++)
        printf(" %02x", i->bytes[n]);
    printf("\n");
    state_report(s, ours, theirs, flags);
    report_memory(b);
}

static bool one_case(struct bench *b, struct rng *r, unsigned row, uint64_t number)
{
    struct x86_insn i;
    struct native_state s, ours, theirs;

    if (!gen_make(b->gen, r, row, &i))
        return false;
    state_random(r, &s);
    memory_random(r, b->hot);
    if (!state_fit(r, b->gen, &i, &s, b->hot)) {
        b->skipped++;
        return false;
    }
    ours = theirs = s;
    if (rng_percent(r, 25)) /* so that operands take the way through the bounce buffer too */
        x86_tlb_flush_all(b->cpu);
    memcpy(b->before, b->hot, HOT_SIZE);
    run_ours(b, &i, &ours);
    memcpy(b->ours, b->hot, HOT_SIZE);
    memcpy(b->hot, b->before, HOT_SIZE);
    native_run(&theirs, i.bytes, i.len);
    memcpy(b->theirs, b->hot, HOT_SIZE);
    b->row_cases[i.row]++;
    if (theirs.trap < 32)
        b->traps[theirs.trap]++;

    uint64_t flags = flags_defined(&i, &s);
    state_forgive(&i, &s, &ours, &theirs, b->ours, b->theirs);
    if (!state_equal(&ours, &theirs, flags) || memcmp(b->ours, b->theirs, HOT_SIZE) != 0)
        report(b, &i, &s, &ours, &theirs, flags, number);
    return true;
}

/* The rows to test, by their number in gen: those called `only`, or all. */
static unsigned choose_rows(struct bench *b, const char *only)
{
    unsigned nr = 0;
    for (unsigned n = 0; n < gen_rows(b->gen); n++)
        if (!only || strcmp(only, x86_rows[gen_row(b->gen, n)].name) == 0)
            b->rows[nr++] = (uint16_t)n;
    return nr;
}

static void step_functions_agree_with_the_host_cpu(void **state)
{
    uint64_t cases = env_number("HOST_TEST_CASES", DEFAULT_CASES), seed = env_number("HOST_TEST_SEED", (uint64_t)time(NULL));
    const char *only = getenv("HOST_TEST_ROW");
    struct bench *b = malloc(sizeof(*b));
    struct rng r = { .state = seed };
    uint64_t done = 0, uncovered = 0;

    (void)state;
    assert_non_null(b);
    set_up(b);
    b->max_reports = (unsigned)env_number("HOST_TEST_REPORTS", DEFAULT_REPORTS);
    printf("HOST_TEST_SEED=%lu HOST_TEST_CASES=%lu, %u rows of %u\n", seed, cases, gen_rows(b->gen), x86_nr_rows);
    unsigned nr_rows = choose_rows(b, only);
    for (uint64_t n = 0; nr_rows && done < cases && n < 4 * cases + 1000000; n++) {
        r.state = seed + n * 0x9e3779b97f4a7c15ULL * 3;
        done += one_case(b, &r, b->rows[n % nr_rows], n);
    }
    for (unsigned n = 0; n < gen_rows(b->gen); n++) {
        if (b->row_cases[gen_row(b->gen, n)] || only)
            continue;
        uncovered++;
        printf("row %u %s: no case\n", gen_row(b->gen, n), x86_rows[gen_row(b->gen, n)].name);
    }
    for (unsigned n = 0; n < 32; n++)
        if (b->traps[n])
            printf("trap %u: %lu cases\n", n, b->traps[n]);
    printf("%lu cases, %lu skipped, %u differ\n", done, b->skipped, b->reports);
    assert_int_equal(b->reports, 0);
    assert_true(done >= cases);
    assert_true(uncovered == 0 || cases < 100000);
    tear_down(b);
    free(b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(step_functions_agree_with_the_host_cpu),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
