/* SPDX-License-Identifier: MIT */
/*
 * What engine `bt` remembers of a RISC-V guest's pages, and must not: rights of another mode, code that is mapped elsewhere now,
 * stores that may go ahead; each with the few instructions that show it. The lockstep test draws such programs too rarely.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "engine/bt/bt.h"
#include "engine/bt/bt_riscv.h"
#include "isa/riscv/profile.h"
#include "isa/riscv/trap.h"
#include "support/bare_riscv.h"

enum { TABLES = 0x800000, USER = 0x10000, SUPER = 0x50000, DATA = 0x70000, SECRET = 0x71000, HANDLER = RV_RAM + 0x1000 };
enum { V = 1, R = 2, W = 4, X = 8, U = 16, AD = 0xc0 };
enum { A0 = 10, A1, A2, A3 };
enum { ECALL = 0x73 };

static struct bare_riscv m;

static void leaf(uint64_t va, uint64_t offset, unsigned rights)
{
    rv_poke(&m, RV_RAM + TABLES + 0x2000 + 8 * (va >> 12), (RV_RAM + offset) >> 12 << 10 | rights, 8);
}

static void begin(const struct riscv_config *config)
{
    struct error err = { 0 };
    assert_int_equal(bare_riscv_init_with(&m, &bt_engine_ops, config, &err), 0);
    bt_riscv_set_eager(m.vcpu->engine_cpu);
    rv_poke(&m, RV_RAM + TABLES, (RV_RAM + TABLES + 0x1000) >> 12 << 10 | V, 8);
    rv_poke(&m, RV_RAM + TABLES + 0x1000, (RV_RAM + TABLES + 0x2000) >> 12 << 10 | V, 8);
    rv_poke(&m, HANDLER, 0x6f, 4); /* j . */
    m.c->mtvec = HANDLER;
    m.c->pmpcfg[0] = 0x1f;
    m.c->pmpaddr[0] = (1ULL << 54) - 1;
    m.c->satp = 8ULL << 60 | (RV_RAM + TABLES) >> 12;
    riscv_state_changed(m.c);
}

static int setup(void **state)
{
    (void)state;
    begin(NULL);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    bare_riscv_done(&m);
    return 0;
}

/* Runs from pc to the trap, and returns its cause. */
static uint64_t run(enum riscv_priv priv, bool sum, uint64_t pc)
{
    m.c->priv = priv;
    m.c->mstatus = MSTATUS_XL64 | (sum ? MSTATUS_SUM : 0);
    m.c->pc = pc;
    m.c->mcause = ~0ULL;
    riscv_mode_update(m.c);
    for (unsigned k = 0; k < 100000 && m.c->pc != HANDLER; k++)
        (void)bt_riscv_run(m.vcpu->engine_cpu, m.c, 4);
    assert_int_equal(m.c->pc, HANDLER);
    return m.c->mcause;
}

static uint64_t stat(const char *name)
{
    char text[4096];
    size_t n = bt_riscv_stats(m.vcpu->engine_cpu, m.c, text, sizeof(text));
    assert_true(n < sizeof(text));
    const char *at = strstr(text, name);
    assert_non_null(at);
    return strtoull(at + strlen(name), NULL, 10);
}

static uint32_t i_type(unsigned opcode, unsigned f3, unsigned rd, unsigned rs1, int32_t imm)
{
    return (uint32_t)imm << 20 | rs1 << 15 | f3 << 12 | rd << 7 | opcode;
}

static uint32_t sd(unsigned rs2, unsigned rs1)
{
    return rs2 << 20 | rs1 << 15 | 3U << 12 | 0x23;
}

/* More accesses are translated than there are sites, so that sites are used again: S-mode with SUM = 1 and U-mode see the same
 * address space, but not with the same rights. */
static void what_s_mode_may_access_u_mode_may_not(void **state)
{
    enum { ACCESSES = 4200, FROM = 0x100000 };
    (void)state;
    leaf(USER, 0x10000, V | R | X | U | AD);
    leaf(DATA, 0x20000, V | R | W | U | AD);
    leaf(SECRET, 0x21000, V | R | W | AD);
    rv_poke(&m, RV_RAM + 0x10000, i_type(3, 3, A1, A0, 0), 4); /* ld a1, 0(a0) */
    rv_poke(&m, RV_RAM + 0x10004, ECALL, 4);
    rv_poke(&m, RV_RAM + 0x21000, 0x5ec7e7, 8);
    for (unsigned k = 0; k < ACCESSES; k++) {
        rv_poke(&m, RV_RAM + FROM + 8 * k, i_type(3, 3, A1, A2, 0), 4);        /* ld a1, 0(a2) */
        rv_poke(&m, RV_RAM + FROM + 8 * k + 4, i_type(0x13, 0, A2, A3, 0), 4); /* mv a2, a3 */
    }
    rv_poke(&m, RV_RAM + FROM + 8 * ACCESSES, ECALL, 4);
    for (unsigned k = 0; k < 10; k++)
        leaf(SUPER + 0x1000 * k, FROM + 0x1000 * k, V | R | X | AD);
    m.c->x[A0] = DATA;
    assert_int_equal(run(RISCV_U, false, USER), RISCV_ECALL_U);
    m.c->x[A2] = m.c->x[A3] = SECRET;
    assert_int_equal(run(RISCV_S, true, SUPER), RISCV_ECALL_S);
    assert_int_equal(m.c->x[A1], 0x5ec7e7);
    m.c->x[A0] = SECRET;
    m.c->x[A1] = 0;
    assert_int_equal(run(RISCV_U, false, USER), RISCV_LOAD_PAGE_FAULT);
    assert_int_equal(m.c->x[A1], 0);
}

/* A trace of two pages has an exit to the second before it goes there itself. */
static void an_exit_to_the_second_page_looks_at_it(void **state)
{
    (void)state;
    leaf(SUPER, 0x10000, V | R | X | AD);
    leaf(SUPER + 0x1000, 0x11000, V | R | X | AD);
    rv_poke(&m, RV_RAM + 0x10100, 0x700500e3, 4); /* beq a0, x0, +0xf00 */
    rv_poke(&m, RV_RAM + 0x10104, 0x6fc0106f, 4); /* jal x0, +0x16fc */
    rv_poke(&m, RV_RAM + 0x11000, i_type(0x13, 0, A1, A1, 1), 4);
    rv_poke(&m, RV_RAM + 0x11004, ECALL, 4);
    rv_poke(&m, RV_RAM + 0x11800, ECALL, 4);
    rv_poke(&m, RV_RAM + 0x12000, i_type(0x13, 0, A1, A1, 2), 4);
    rv_poke(&m, RV_RAM + 0x12004, ECALL, 4);
    m.c->x[A0] = 1;
    m.c->x[A1] = 0;
    assert_int_equal(run(RISCV_S, false, SUPER + 0x100), RISCV_ECALL_S);
    assert_int_equal(m.c->mepc, SUPER + 0x1800);
    m.c->x[A0] = 0;
    for (unsigned k = 1; k <= 3; k++) {
        assert_int_equal(run(RISCV_S, false, SUPER + 0x100), RISCV_ECALL_S);
        assert_int_equal(m.c->mepc, SUPER + 0x1004);
        assert_int_equal(m.c->x[A1], k);
    }
    leaf(SUPER + 0x1000, 0x12000, V | R | X | AD);
    riscv_tlb_fence(m.c, NULL, NULL);
    assert_int_equal(run(RISCV_S, false, SUPER + 0x100), RISCV_ECALL_S);
    assert_int_equal(m.c->x[A1], 5);
}

/* Code that appears in many pages makes stores look at marks again, once. */
static void stores_are_fast_again_after_code_was_marked(void **state)
{
    enum { PAGES = 12, STORES = 50 };
    (void)state;
    leaf(DATA, 0x20000, V | R | W | AD);
    for (unsigned k = 0; k < PAGES; k++) {
        leaf(SUPER + 0x1000 * k, 0x100000 + 0x1000 * k, V | R | X | AD);
        rv_poke(&m, RV_RAM + 0x100000 + 0x1000 * k, sd(A1, A0), 4);
        rv_poke(&m, RV_RAM + 0x100004 + 0x1000 * k, 0, 4); /* the end: illegal, a step */
    }
    m.c->x[A0] = DATA;
    assert_int_equal(run(RISCV_S, false, SUPER), RISCV_ILLEGAL);
    for (unsigned k = 1; k < PAGES; k++) /* others mark pages, too: more than are remembered one by one */
        assert_true(gmem_mark_code(&m.vm.gmem, (0x100000 + 0x1000 * k) >> 12, &(uint32_t){ 0 }));
    assert_int_equal(run(RISCV_S, false, SUPER), RISCV_ILLEGAL);
    uint64_t before = stat("bt_exits_step ");
    for (unsigned k = 0; k < STORES; k++)
        assert_int_equal(run(RISCV_S, false, SUPER), RISCV_ILLEGAL);
    assert_in_range(stat("bt_exits_step ") - before, STORES, STORES + 2); /* one for each end */
}

/* Data where there was code: the write that ended that took the mark off. */
static void stores_are_fast_again_where_code_was(void **state)
{
    enum { STORES = 50 };
    (void)state;
    leaf(SUPER, 0x10000, V | R | X | AD);
    leaf(SUPER + 0x1000, 0x20000, V | R | X | AD);
    leaf(DATA, 0x20000, V | R | W | AD);
    rv_poke(&m, RV_RAM + 0x10000, sd(A1, A0), 4);
    m.c->x[A0] = DATA;
    assert_int_equal(run(RISCV_S, false, SUPER), RISCV_ILLEGAL);
    rv_poke(&m, RV_RAM + 0x20000, 0x13, 4);
    assert_int_equal(run(RISCV_S, false, SUPER + 0x1000), RISCV_ILLEGAL);
    assert_int_equal(run(RISCV_S, false, SUPER), RISCV_ILLEGAL); /* a write, noted */
    uint64_t before = stat("bt_exits_step ");
    for (unsigned k = 0; k < STORES; k++)
        assert_int_equal(run(RISCV_S, false, SUPER), RISCV_ILLEGAL);
    assert_in_range(stat("bt_exits_step ") - before, STORES, STORES + 2); /* one for each end */
}

static bool can_mark;

static void call_sbi(void *opaque, struct riscv_cpu *c)
{
    uint32_t gen;
    (void)opaque;
    can_mark = gmem_mark_code(&m.vm.gmem, 0x300, &gen);
    c->x[A0] = 42;
    c->next_pc = SUPER + 8;
}

/* SBI calls wait for other harts, who may wait for this one to have left translated code. */
static void firmware_is_called_outside_translated_code(void **state)
{
    (void)state;
    leaf(SUPER, 0x10000, V | R | X | AD);
    m.c->sbi = (struct riscv_sbi){ .call = call_sbi };
    rv_poke(&m, RV_RAM + 0x10000, i_type(0x13, 0, A1, A1, 1), 4);
    rv_poke(&m, RV_RAM + 0x10004, ECALL, 4);
    rv_poke(&m, RV_RAM + 0x10008, 0, 4); /* illegal */
    assert_int_equal(run(RISCV_S, false, SUPER), RISCV_ILLEGAL);
    assert_int_equal(m.c->x[A0], 42);
    assert_true(can_mark);
}

/* The trace begins at the end of the loop and goes backwards in its middle; what closes the loop is a forward branch. */
static void a_loop_closed_by_a_forward_branch_serves_requests(void **state)
{
    (void)state;
    leaf(SUPER, 0x10000, V | R | X | AD);
    rv_poke(&m, RV_RAM + 0x10000, i_type(0x13, 0, A1, A1, 1), 4);
    rv_poke(&m, RV_RAM + 0x10004, 0x00050663, 4); /* beq a0, x0, +12 */
    rv_poke(&m, RV_RAM + 0x10008, 0, 4);
    rv_poke(&m, RV_RAM + 0x10010, i_type(0x13, 0, A2, A2, 1), 4);
    rv_poke(&m, RV_RAM + 0x10014, 0xfedff06f, 4); /* jal x0, -20 */
    m.c->x[A0] = 0;
    m.c->priv = RISCV_S;
    m.c->pc = SUPER + 0x10;
    riscv_mode_update(m.c);
    (void)alarm(10); /* else this takes for ever */
    (void)bt_riscv_run(m.vcpu->engine_cpu, m.c, 8);
    (void)alarm(0);
    assert_int_not_equal(m.c->x[A1], 0);
}

/* Two stores that are checked together lie in two pages each time, and each time somebody asks for attention meanwhile: what
 * begins there goes on. */
static void a_group_in_two_pages_goes_on_while_requests_come(void **state)
{
    (void)state;
    leaf(SUPER, 0x10000, V | R | X | AD);
    leaf(DATA, 0x20000, V | R | W | AD);
    leaf(DATA + 0x1000, 0x21000, V | R | W | AD);
    rv_poke(&m, RV_RAM + 0x10000, sd(A0, A1), 4);
    rv_poke(&m, RV_RAM + 0x10004, sd(A0, A1) | 8 << 7, 4); /* sd a0, 8(a1) */
    rv_poke(&m, RV_RAM + 0x10008, i_type(0x13, 0, A2, A2, -1), 4);
    rv_poke(&m, RV_RAM + 0x1000c, 0xfe061ae3, 4); /* bnez a2, -12 */
    rv_poke(&m, RV_RAM + 0x10010, ECALL, 4);
    m.c->x[A1] = DATA + 0xff8;
    m.c->x[A2] = 20;
    assert_int_equal(run(RISCV_S, false, SUPER), RISCV_ECALL_S);
    assert_int_equal(m.c->x[A2], 0);
}

/* Runs the program at `offset` with a0 = at; it must trap at its first instruction, for the access at `tval`. */
static void faults(enum riscv_priv priv, bool sum, uint64_t code, uint64_t at, uint64_t tval, bool store)
{
    bool paged = m.c->satp >> 60 && priv != RISCV_M;
    uint64_t want = store ? (paged ? RISCV_STORE_PAGE_FAULT : RISCV_STORE_ACCESS_FAULT)
                          : (paged ? RISCV_LOAD_PAGE_FAULT : RISCV_LOAD_ACCESS_FAULT);
    uint64_t insns = m.c->insns;
    m.c->x[A0] = at;
    m.c->x[A1] = 0x1111;
    assert_int_equal(run(priv, sum, code), want);
    assert_int_equal(m.c->mepc, code);
    assert_int_equal(m.c->mtval, tval);
    assert_int_equal(m.c->x[A1], 0x1111);
    assert_in_range(m.c->insns - insns, 0, 4); /* of the handler's loop */
}

/* The address by which sites say that they know no page is one like any other, where nothing is. */
static void the_page_of_no_page_faults(void **state)
{
    static const uint32_t loads[] = { 0x00053583, 0x00853603 }; /* ld a1, 0(a0); ld a2, 8(a0) */
    const uint32_t stores[] = { sd(A1, A0), sd(A1, A0) | 8U << 7 };
    (void)teardown(state); /* cmocka takes the handler of host faults away between a setup and its test */
    (void)setup(state);
    for (unsigned k = 0; k < 5; k++) {
        enum riscv_priv priv = k == 0 ? RISCV_M : k == 4 ? RISCV_U : RISCV_S;
        bool paged = k > 1, sum = k == 3;
        unsigned user = priv == RISCV_U ? U : 0;
        uint64_t code = paged ? SUPER : RV_RAM + 0x10000, data = paged ? DATA : RV_RAM + 0x20000, none = 1ULL << 62;
        leaf(SUPER, 0x10000, V | R | X | AD | user);
        leaf(DATA, 0x20000, V | R | W | AD | user);
        m.c->satp = paged ? 8ULL << 60 | (RV_RAM + TABLES) >> 12 : 0;
        riscv_state_changed(m.c);
        for (unsigned n = 1; n <= 2; n++) /* alone, and as a group */
            for (unsigned store = 0; store < 2; store++) {
                const uint32_t *insn = store ? stores : loads;
                uint64_t at = code + 0x100 * (2 * n + store);
                for (unsigned i = 0; i < 2; i++)
                    rv_poke(&m, RV_RAM + 0x10000 + (at & 0xfff) + 4 * i, i < n ? insn[i] : 0, 4);
                rv_poke(&m, RV_RAM + 0x10000 + (at & 0xfff) + 4 * n, 0, 4);
                m.c->fenced = true;
                faults(priv, sum, at, none + 0x10, none + 0x10, store); /* the site knows nothing yet */
                m.c->x[A0] = data;
                assert_int_equal(run(priv, sum, at), RISCV_ILLEGAL);
                faults(priv, sum, at, none, none, store);
                faults(priv, sum, at, none + 0xff8, none + 0xff8, store);
            }
    }
}

/* What translated code tries, and leaves to the interpreter because the host does it otherwise, may have set the host's flags:
 * the guest's are not to be seen before the instruction is done. */
static void flags_come_with_the_instruction(void **state)
{
    enum { NV = 16, FA0 = 10, FA1 };
    static const struct {
        uint32_t insn;
        uint64_t a;
    } rows[] = {
        { 0xc20575d3, 0x46293e5939a08cea }, /* fcvt.w.d a1, fa0: 1e30 */
        { 0xc22575d3, 0x7ff8000000000000 }, /* fcvt.l.d a1, fa0: NaN */
        { 0xc00575d3, 0xffffffff7f800000 }, /* fcvt.w.s a1, fa0: infinity */
        { 0x5ab575c3, 0x7ff0000000000000 }, /* fmadd.d fa1, fa0, fa1, fa1: infinity times 0 */
        { 0x58b575c3, 0xffffffff7fa00000 }, /* fmadd.s fa1, fa0, fa1, fa1: a signalling NaN */
    };
    (void)state;
    leaf(SUPER, 0x10000, V | R | X | AD);
    for (unsigned k = 0; k < sizeof(rows) / sizeof(rows[0]); k++) {
        const uint64_t at = SUPER + 0x40 * k;
        rv_poke(&m, RV_RAM + 0x10000 + 0x40 * k, i_type(0x13, 0, A2, A2, 1), 4);
        rv_poke(&m, RV_RAM + 0x10004 + 0x40 * k, rows[k].insn, 4);
        rv_poke(&m, RV_RAM + 0x10008 + 0x40 * k, ECALL, 4);
        m.c->priv = RISCV_S;
        m.c->mstatus = MSTATUS_XL64 | MSTATUS_FS;
        m.c->fflags = m.c->frm = 0;
        m.c->f[FA0] = rows[k].a;
        m.c->f[FA1] = k == 4 ? 0xffffffff00000000 : 0;
        m.c->pc = at;
        riscv_mode_update(m.c);
        uint64_t before = stat("bt_entries ");
        for (unsigned turns = 0; turns < 100 && m.c->pc != HANDLER; turns++) {
            if (m.c->pc == at || m.c->pc == at + 4)
                assert_int_equal(m.c->fflags, 0); /* as an interrupt would find it, or who stops the machine here */
            (void)bt_riscv_run(m.vcpu->engine_cpu, m.c, 1);
        }
        assert_int_equal(m.c->pc, HANDLER);
        assert_int_equal(m.c->mepc, at + 8);
        assert_int_equal(m.c->fflags, NV);
        assert_true(stat("bt_entries ") > before); /* it was translated */
    }
}

/* A function that is written anew, by stores, each time before it is called: by one that is linked to it, and by a jump. */
static void callers_of_rewritten_code_reach_the_newest(void **state)
{
    enum { TIMES = 300, FENCE_I = 0x0000100f, RET = 0x00008067, RA = 1, A4 = 14 };
    (void)state;
    leaf(SUPER, 0x10000, V | R | X | AD);
    leaf(SUPER + 0x1000, 0x11000, V | R | X | AD);
    leaf(DATA, 0x11000, V | R | W | AD);
    const uint32_t caller[] = {
        0x00b52023,                 /* sw a1, 0(a0): the function's first instruction */
        FENCE_I,                    /* */
        0x7f9000ef,                 /* jal ra, +0xff8: the function */
        i_type(0x67, 0, RA, A4, 0), /* jalr ra, 0(a4): it again */
        i_type(0x67, 0, RA, A4, 0), /* */
        ECALL,
    };
    for (unsigned k = 0; k < sizeof(caller) / sizeof(caller[0]); k++)
        rv_poke(&m, RV_RAM + 0x10000 + 4 * k, caller[k], 4);
    rv_poke(&m, RV_RAM + 0x11004, RET, 4);
    m.c->x[A0] = DATA;
    m.c->x[A4] = SUPER + 0x1000;
    for (int k = 1; k <= TIMES; k++) {
        m.c->x[A1] = i_type(0x13, 0, A2, A2, k); /* addi a2, a2, k */
        m.c->x[A2] = 0;
        assert_int_equal(run(RISCV_S, false, SUPER), RISCV_ECALL_S);
        assert_int_equal(m.c->x[A2], 3 * k);
    }
    assert_true(stat("bt_kills ") > TIMES / 2); /* it was translated most of the times */
}

/* Harts without C: jumps that go to odd halves fault where they are, others go on; sepc has no such address. */
static void without_c_jumps_fault_that_go_to_odd_halves(void **state)
{
    enum { JAL_6 = 3 << 21 | 1 << 7 | 0x6f, BEQ_6 = 3 << 8 | A0 << 15 | 0x63, JALR = A1 << 15 | 1 << 7 | 0x67, RA = 1 };
    static const uint32_t jumps[] = { JAL_6, BEQ_6, JALR };
    struct riscv_profile profile;
    struct error err;
    assert_int_equal(riscv_profile_make("rv64,c=off", &profile, &err), 0);
    const struct riscv_config config = { .profile = &profile };
    (void)teardown(state);
    begin(&config);
    leaf(SUPER, 0x10000, V | R | X | AD);
    for (unsigned k = 0; k < 3; k++)
        for (unsigned odd = 0; odd < 2; odd++) {
            const uint64_t at = SUPER + 0x40 * (2 * k + odd);
            const uint32_t from = 0x10000 + 0x40 * (2 * k + odd), aligned = k < 2 && !odd ? 1U << (k ? 8 : 21) : 0; /* 6 - 2 */
            const uint32_t words[] = { i_type(0x13, 0, A2, A2, 1), jumps[k] - aligned, i_type(0x13, 0, A2, A2, 2), ECALL };
            for (unsigned w = 0; w < 4; w++)
                rv_poke(&m, RV_RAM + from + 4 * w, words[w], 4);
            for (unsigned turn = 0; turn < 3; turn++) {
                m.c->x[RA] = 0x1111;
                m.c->x[A0] = 0;
                m.c->x[A1] = at + (odd ? 10 : 8);
                m.c->x[A2] = 0;
                assert_int_equal(run(RISCV_S, false, at), odd ? RISCV_FETCH_MISALIGNED : RISCV_ECALL_S);
                assert_int_equal(m.c->mepc, odd ? at + 4 : at + 12);
                assert_int_equal(m.c->mtval, odd ? at + 10 : 0);
                assert_int_equal(m.c->x[RA], odd || k == 1 ? 0x1111 : at + 8);
                assert_int_equal(m.c->x[A2], odd ? 1 : 3);
            }
        }
    m.c->x[A0] = 1; /* the branch is not taken */
    m.c->x[A2] = 0;
    assert_int_equal(run(RISCV_S, false, SUPER + 0x40 * 3), RISCV_ECALL_S);
    assert_int_equal(m.c->x[A2], 3);
    rv_poke(&m, RV_RAM + 0x10400, 0x14151073, 4); /* csrw sepc, a0 */
    rv_poke(&m, RV_RAM + 0x10404, ECALL, 4);
    m.c->x[A0] = SUPER + 7;
    assert_int_equal(run(RISCV_S, false, SUPER + 0x400), RISCV_ECALL_S);
    assert_int_equal(m.c->sepc, SUPER + 4);
    assert_true(stat("bt_entries ") > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(what_s_mode_may_access_u_mode_may_not, setup, teardown),
        cmocka_unit_test_setup_teardown(an_exit_to_the_second_page_looks_at_it, setup, teardown),
        cmocka_unit_test_setup_teardown(stores_are_fast_again_where_code_was, setup, teardown),
        cmocka_unit_test_setup_teardown(a_loop_closed_by_a_forward_branch_serves_requests, setup, teardown),
        cmocka_unit_test_setup_teardown(a_group_in_two_pages_goes_on_while_requests_come, setup, teardown),
        cmocka_unit_test_setup_teardown(the_page_of_no_page_faults, setup, teardown),
        cmocka_unit_test_setup_teardown(callers_of_rewritten_code_reach_the_newest, setup, teardown),
        cmocka_unit_test_setup_teardown(flags_come_with_the_instruction, setup, teardown),
        cmocka_unit_test_setup_teardown(without_c_jumps_fault_that_go_to_odd_halves, setup, teardown),
        cmocka_unit_test_setup_teardown(firmware_is_called_outside_translated_code, setup, teardown),
        cmocka_unit_test_setup_teardown(stores_are_fast_again_after_code_was_marked, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
