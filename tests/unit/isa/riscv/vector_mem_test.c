/* SPDX-License-Identifier: MIT */
/*
 * Vector loads and stores, vtype and vl, vector CSRs and mstatus.VS, and what is illegal.
 */
#include "vector.h"

#include "isa/riscv/csr.h"
#include "isa/riscv/trap.h"

#define VLEN 256
enum { V_DATA = 0x10000, V_TABLES = 0x20000, BYTES = VLEN / 8, A1 = 11, A2 = 12 };
enum { U = 0, OX = 3, UX = 1, STRIDED = 2 }; /* mop */
enum { PTE_V = 1, PTE_RW = 0xc7 };
#define WINDOW 0x400000000ULL

static unsigned width(unsigned bits)
{
    return bits == 8 ? 0 : (unsigned)__builtin_ctz(bits) + 1;
}

static uint32_t load(unsigned nf, unsigned mop, unsigned vm, unsigned rs2, unsigned bits, unsigned vd)
{
    return (nf - 1) << 29 | mop << 26 | vm << 25 | rs2 << 20 | A1 << 15 | width(bits) << 12 | vd << 7 | 0x07;
}

static uint32_t store(unsigned nf, unsigned mop, unsigned vm, unsigned rs2, unsigned bits, unsigned vs3)
{
    return load(nf, mop, vm, rs2, bits, vs3) | 0x20;
}

static void fill_memory(unsigned seed)
{
    for (unsigned k = 0; k < 0x3000; k += 8)
        rv_poke(&m, RV_RAM + V_DATA + k, (k + seed) * 0x9e3779b97f4a7c15, 8);
}

static uint64_t there(uint64_t at, unsigned bits)
{
    return rv_peek(&m, at, bits / 8);
}

static bool is_illegal(uint32_t word)
{
    uint8_t before[sizeof(m.c->v)];
    memcpy(before, m.c->v, sizeof(before));
    do_step(word);
    if (m.c->mcause != RISCV_ILLEGAL)
        return false;
    assert_int_equal(m.c->mtval, word);
    assert_memory_equal(before, m.c->v, sizeof(before));
    return true;
}

/* ---- memory ---- */

/* Address of field f of element k. */
typedef uint64_t (*place_fn)(unsigned k, unsigned f, unsigned nf, unsigned bits);

static uint64_t in_a_row(unsigned k, unsigned f, unsigned nf, unsigned bits)
{
    return RV_RAM + V_DATA + 0x104 + (uint64_t)(k * nf + f) * bits / 8;
}

static uint64_t by_stride(unsigned k, unsigned f, unsigned nf, unsigned bits)
{
    (void)nf;
    return RV_RAM + V_DATA + 0x1104 - 24ULL * k + f * bits / 8;
}

static uint64_t by_index(unsigned k, unsigned f, unsigned nf, unsigned bits)
{
    (void)nf;
    return RV_RAM + V_DATA + 0x104 + k * 53 % 200 + f * bits / 8;
}

static void check_access(unsigned mop, place_fn place, unsigned bits, unsigned nf, unsigned turn)
{
    unsigned vl = VLEN / bits - turn % 3, vstart = turn % 4 == 3 ? 2 : 0;
    bool masked = turn & 1;
    uint8_t want[sizeof(m.c->v)];
    fill_memory(turn);
    fill_registers(turn + 1, bits);
    for (unsigned k = 0; k < 32; k++)
        set_element(m.c->v, VLEN, 24, 8, k, k * 53 % 200);
    memcpy(want, m.c->v, sizeof(want));
    m.c->x[A1] = place(0, 0, nf, bits);
    m.c->x[A2] = (uint64_t)-24;
    for (unsigned k = vstart; k < vl; k++)
        for (unsigned f = 0; f < nf; f++)
            if (!masked || (want[k / 8] >> k % 8 & 1))
                set_element(want, VLEN, 8 + f, bits, k, there(place(k, f, nf, bits), bits));
    configure(bits, 0, vl);
    m.c->vstart = (uint16_t)vstart;
    unsigned rs2 = mop == U ? 0 : mop == STRIDED ? A2 : 24;
    do_step(load(nf, mop, !masked, rs2, mop & 1 ? 8 : bits, 8));
    if (m.c->mcause || m.c->vstart || memcmp(want, m.c->v, sizeof(want)) != 0)
        fail_msg("load, mop %u, %u bits, %u fields, turn %u: cause %lu", mop, bits, nf, turn, m.c->mcause);
    fill_registers(turn + 5, bits);
    for (unsigned k = 0; k < 32; k++)
        set_element(m.c->v, VLEN, 24, 8, k, k * 53 % 200);
    static uint8_t memory[0x2000];
    memcpy(memory, m.vm.gmem.host + V_DATA, sizeof(memory));
    for (unsigned k = vstart; k < vl; k++)
        for (unsigned f = 0; f < nf; f++)
            for (unsigned b = 0; b < bits / 8 && (!masked || (m.c->v[k / 8] >> k % 8 & 1)); b++)
                memory[place(k, f, nf, bits) - RV_RAM - V_DATA + b] = m.c->v[(8 + f) * BYTES + k * bits / 8 + b];
    m.c->vstart = (uint16_t)vstart;
    do_step(store(nf, mop, !masked, rs2, mop & 1 ? 8 : bits, 8));
    assert_int_equal(m.c->mcause, 0);
    if (memcmp(memory, m.vm.gmem.host + V_DATA, sizeof(memory)) != 0)
        fail_msg("store, mop %u, %u bits, %u fields, turn %u", mop, bits, nf, turn);
}

static void loads_and_stores_reach_each_field_of_each_element(void **state)
{
    (void)state;
    for (unsigned bits = 8; bits <= 64; bits *= 2)
        for (unsigned nf = 1; nf <= 8; nf++)
            for (unsigned turn = 0; turn < 8; turn++) {
                check_access(U, in_a_row, bits, nf, turn);
                check_access(STRIDED, by_stride, bits, nf, turn);
                check_access(UX, by_index, bits, nf, turn);
                check_access(OX, by_index, bits, nf, turn);
            }
}

static void masks_and_whole_registers_ignore_widths_and_vl(void **state)
{
    uint8_t want[sizeof(m.c->v)];
    (void)state;
    fill_memory(9);
    fill_registers(2, 8);
    memcpy(want, m.c->v, sizeof(want));
    m.c->x[A1] = RV_RAM + V_DATA + 3;
    for (unsigned k = 0; k < 3; k++)
        set_element(want, VLEN, 9, 8, k, there(m.c->x[A1] + k, 8));
    configure(32, 2, 17);
    do_step(load(1, U, 1, 11, 8, 9)); /* vlm.v: 17 bits are 3 bytes, v9 though LMUL is 4 */
    assert_memory_equal(want, m.c->v, sizeof(want));
    for (unsigned nr = 1; nr <= 8; nr *= 2) {
        configure(32, 2, 0);
        m.c->vtype = 1ULL << 63; /* vill */
        m.c->vstart = 1;
        for (unsigned k = 4; k < nr * BYTES; k++)
            set_element(want, VLEN, 8, 8, k, there(m.c->x[A1] + k, 8));
        do_step(load(nr, U, 1, 8, 32, 8)); /* vl<nr>re32.v */
        assert_int_equal(m.c->mcause, 0);
        assert_memory_equal(want, m.c->v, sizeof(want));
        m.c->x[A1] += 0x800;
        do_step(store(nr, U, 1, 8, 8, 8)); /* vs<nr>r.v */
        assert_memory_equal(m.vm.gmem.host + V_DATA + 0x803, want + 8 * BYTES, nr * BYTES);
        m.c->x[A1] -= 0x800;
    }
}

/* Two pages at WINDOW, then none. */
static void map_window(void)
{
    rv_poke(&m, RV_RAM + V_TABLES + 8 * (WINDOW >> 30), (RV_RAM + V_TABLES + 0x1000) >> 12 << 10 | PTE_V, 8);
    rv_poke(&m, RV_RAM + V_TABLES + 8 * 2, RV_RAM >> 12 << 10 | 0xcf, 8);
    rv_poke(&m, RV_RAM + V_TABLES + 0x1000, (RV_RAM + V_TABLES + 0x2000) >> 12 << 10 | PTE_V, 8);
    for (unsigned n = 0; n < 2; n++)
        rv_poke(&m, RV_RAM + V_TABLES + 0x2000 + 8 * n, (RV_RAM + V_DATA + 0x1000 * n) >> 12 << 10 | PTE_RW, 8);
    m.c->satp = 8ULL << 60 | (RV_RAM + V_TABLES) >> 12;
}

/* In M-mode with S-mode's view of memory. */
static void step_paged(uint32_t word)
{
    m.c->mstatus = (m.c->mstatus & ~MSTATUS_MPP) | MSTATUS_MPRV | 1ULL << MSTATUS_MPP_SHIFT;
    riscv_state_changed(m.c);
    do_step(word);
    m.c->mstatus &= ~MSTATUS_MPRV;
    riscv_state_changed(m.c);
}

static void a_fault_leaves_its_element_in_vstart(void **state)
{
    uint8_t want[sizeof(m.c->v)];
    (void)state;
    map_window();
    fill_memory(4);
    fill_registers(4, 32);
    memcpy(want, m.c->v, sizeof(want));
    configure(32, 0, 8);
    m.c->x[A1] = WINDOW + 0x2000 - 5 * 4;
    for (unsigned k = 0; k < 5; k++)
        set_element(want, VLEN, 8, 32, k, there(RV_RAM + V_DATA + 0x2000 - 20 + 4 * k, 32));
    step_paged(load(1, U, 1, 0, 32, 8));
    assert_int_equal(m.c->mcause, RISCV_LOAD_PAGE_FAULT);
    assert_int_equal(m.c->mtval, WINDOW + 0x2000);
    assert_int_equal(m.c->vstart, 5);
    assert_int_equal(m.c->vl, 8);
    assert_memory_equal(want, m.c->v, sizeof(want));
    /* the handler maps the page: it goes on where it was */
    rv_poke(&m, RV_RAM + V_TABLES + 0x2010, (RV_RAM + V_DATA + 0x2000) >> 12 << 10 | PTE_RW, 8);
    for (unsigned k = 5; k < 8; k++)
        set_element(want, VLEN, 8, 32, k, there(RV_RAM + V_DATA + 0x2000 - 20 + 4 * k, 32));
    step_paged(load(1, U, 1, 0, 32, 8));
    assert_int_equal(m.c->mcause, 0);
    assert_int_equal(m.c->vstart, 0);
    assert_memory_equal(want, m.c->v, sizeof(want));
    rv_poke(&m, RV_RAM + V_TABLES + 0x2010, 0, 8);
    riscv_state_changed(m.c);
}

static void a_fault_within_a_segment_names_the_segment(void **state)
{
    (void)state;
    map_window();
    fill_registers(6, 16);
    configure(16, 0, 16);
    m.c->x[A1] = WINDOW + 0x2000 - 3 * 6 - 2; /* one field of segment 3 is in the page */
    step_paged(store(3, U, 1, 0, 16, 8));
    assert_int_equal(m.c->mcause, RISCV_STORE_PAGE_FAULT);
    assert_int_equal(m.c->mtval, WINDOW + 0x2000);
    assert_int_equal(m.c->vstart, 3);
    for (unsigned k = 0; k < 3; k++)
        for (unsigned f = 0; f < 3; f++)
            assert_int_equal(there(RV_RAM + V_DATA + 0x2000 - 20 + 6 * k + 2 * f, 16), element(m.c->v, VLEN, 8 + f, 16, k));
    /* strided downwards from the first page, across its beginning */
    m.c->x[A1] = WINDOW + 0x28;
    m.c->x[A2] = (uint64_t)-16;
    configure(64, 0, 4);
    step_paged(load(1, STRIDED, 1, A2, 64, 8));
    assert_int_equal(m.c->mcause, RISCV_LOAD_PAGE_FAULT);
    assert_int_equal(m.c->mtval, WINDOW - 8);
    assert_int_equal(m.c->vstart, 3);
    /* masked elements do not fault */
    memset(m.c->v, 0x07, BYTES);
    m.c->vstart = 0;
    step_paged(load(1, STRIDED, 0, A2, 64, 8));
    assert_int_equal(m.c->mcause, 0);
}

static void only_the_first_element_of_fault_only_first_faults(void **state)
{
    uint8_t want[sizeof(m.c->v)];
    (void)state;
    map_window();
    fill_memory(11);
    for (unsigned nf = 1; nf <= 3; nf++) {
        fill_registers(nf, 32);
        memcpy(want, m.c->v, sizeof(want));
        configure(32, 0, 8);
        m.c->x[A1] = WINDOW + 0x2000 - 4 * nf * 3 - 4 * (nf > 1);
        uint64_t host = m.c->x[A1] - WINDOW + RV_RAM + V_DATA;
        for (unsigned k = 0; k < 3; k++)
            for (unsigned f = 0; f < nf; f++)
                set_element(want, VLEN, 8 + f, 32, k, there(host + 4 * (k * nf + f), 32));
        step_paged(load(nf, U, 1, 16, 32, 8));
        assert_int_equal(m.c->mcause, 0);
        assert_int_equal(m.c->vl, 3);
        assert_int_equal(m.c->vstart, 0);
        assert_memory_equal(want, m.c->v, sizeof(want));
    }
    configure(32, 0, 8);
    m.c->x[A1] = WINDOW + 0x2000;
    step_paged(load(1, U, 1, 16, 32, 8));
    assert_int_equal(m.c->mcause, RISCV_LOAD_PAGE_FAULT);
    assert_int_equal(m.c->vl, 8);
    memset(m.c->v, 0xfe, BYTES); /* element 0 is not active: the next does not fault, either */
    step_paged(load(1, U, 0, 16, 32, 8));
    assert_int_equal(m.c->mcause, 0);
    assert_int_equal(m.c->vl, 1);
}

/* ---- configuration ---- */

static void vsetvl_takes_what_there_is_room_for(void **state)
{
    (void)state;
    for (unsigned vtype = 0; vtype < 0x200; vtype++) {
        unsigned sew = 8U << (vtype >> 3 & 7);
        int lmul = (int)(vtype & 7) < 4 ? (int)(vtype & 7) : (int)(vtype & 7) - 8;
        bool legal = vtype < 0x100 && sew <= 64 && lmul != -4 && (lmul >= 0 ? sew <= 64 : sew <= 64U >> -lmul);
        unsigned max = !legal ? 0 : lmul >= 0 ? (VLEN << lmul) / sew : (VLEN >> -lmul) / sew;
        const uint64_t avl[] = { 0, 1, max ? max - 1 : 3, max, max + 1, ~0ULL };
        for (unsigned k = 0; k < 6; k++) {
            uint64_t want = avl[k] < max ? avl[k] : max;
            m.c->x[A1] = avl[k];
            m.c->x[A2] = vtype;
            m.c->vstart = 1;
            do_step(0x80000057 | A2 << 20 | A1 << 15 | 7 << 12 | 13 << 7); /* vsetvl x13, x11, x12 */
            assert_int_equal(m.c->vl, want);
            assert_int_equal(m.c->x[13], want);
            assert_int_equal(m.c->vtype, legal ? vtype : 1ULL << 63);
            assert_int_equal(m.c->vstart, 0);
        }
        m.c->x[13] = 99;
        do_step((vtype & 0x3ff) << 20 | 0xc0000057 | 17 << 15 | 7 << 12 | 13 << 7); /* vsetivli x13, 17 */
        assert_int_equal(m.c->x[13], max < 17 ? max : 17);
        do_step(vtype << 20 | 0x57 | 0 << 15 | 7 << 12 | 13 << 7); /* vsetvli x13, x0: all */
        assert_int_equal(m.c->x[13], max);
    }
    configure(8, 0, 7);
    do_step(0x18 << 20 | 0x57 | 7 << 12); /* vsetvli x0, x0, e64, m1: vl as it is, or less */
    assert_int_equal(m.c->vl, 4);
    m.c->x[A2] = 1ULL << 63 | 8;
    do_step(0x80000057 | A2 << 20 | A1 << 15 | 7 << 12 | 13 << 7);
    assert_int_equal(m.c->vtype, 1ULL << 63);
}

static void csrs_show_and_set_the_state(void **state)
{
    uint64_t v;
    (void)state;
    configure(16, 1, 30);
    assert_true(riscv_csr_read(m.c, 0xc20, &v) && v == 30);
    assert_true(riscv_csr_read(m.c, 0xc21, &v) && v == 9);
    assert_true(riscv_csr_read(m.c, 0xc22, &v) && v == BYTES);
    assert_true(riscv_csr_write(m.c, 0x008, 0x1234));
    assert_true(riscv_csr_read(m.c, 0x008, &v) && v == 0x34); /* below VLEN */
    assert_true(riscv_csr_write(m.c, 0x00f, 5));
    assert_true(riscv_csr_read(m.c, 0x009, &v) && v == 1);
    assert_true(riscv_csr_read(m.c, 0x00a, &v) && v == 2);
    assert_true(riscv_csr_write(m.c, 0x00a, 7) && riscv_csr_write(m.c, 0x009, 2));
    assert_true(riscv_csr_read(m.c, 0x00f, &v) && v == 6);
    assert_false(riscv_csr_write(m.c, 0xc20, 1));
    assert_false(riscv_csr_write(m.c, 0xc22, 1));
    m.c->vstart = 0;
}

static void vectors_that_are_off_are_illegal(void **state)
{
    static const uint32_t words[] = {
        0x57 | 7 << 12, 0x02000057 | 8 << 7, 0x02000007 | A1 << 15, 0x02800007 | A1 << 15, 0x008025f3, 0x00f025f3, 0xc22025f3
    };
    uint64_t on = m.c->mstatus, v;
    (void)state;
    configure(8, 0, 4);
    m.c->x[A1] = RV_RAM + V_DATA;
    for (unsigned k = 0; k < 7; k++) {
        m.c->mstatus = on & ~MSTATUS_VS;
        assert_true(is_illegal(words[k]));
        m.c->mstatus = (on & ~(MSTATUS_VS | MSTATUS_FS)) | 1ULL << 9;
        do_step(words[k]);
        assert_int_equal(m.c->mcause, 0);
        assert_true(riscv_csr_read(m.c, 0x300, &v));
        assert_int_equal(!!(v & MSTATUS_SD), k < 4); /* dirty, but for reads of CSRs */
    }
    m.c->mstatus = on;
    m.c->priv = RISCV_M;
    assert_true(riscv_csr_write(m.c, 0x300, 0) && riscv_csr_read(m.c, 0x300, &v) && !(v & MSTATUS_VS));
    m.c->mstatus = on;
}

/* ---- what is reserved ---- */

static void groups_that_cannot_be_are_illegal(void **state)
{
    (void)state;
    m.c->x[A1] = RV_RAM + V_DATA;
    m.c->x[A2] = 8;
    configure(32, 1, 8);
    assert_true(is_illegal(vector_op(0, 1, 2, 4, 0, 3)));     /* vadd.vv v3, v2, v4: LMUL 2 */
    assert_true(is_illegal(vector_op(0, 1, 3, 4, 0, 2)));     /* vs2 */
    assert_true(is_illegal(vector_op(0, 1, 2, 5, 0, 2)));     /* vs1 */
    assert_false(is_illegal(vector_op(0, 1, 2, 5, 4, 2)));    /* vadd.vx: x5 */
    assert_true(is_illegal(vector_op(0, 0, 2, 4, 0, 0)));     /* the mask is the destination */
    assert_false(is_illegal(vector_op(0, 1, 2, 4, 0, 0)));    /* no mask */
    assert_false(is_illegal(vector_op(0x18, 0, 2, 4, 0, 0))); /* vmseq.vv v0, v2, v4, v0.t */
    assert_true(is_illegal(vector_op(0x10, 0, 2, 4, 0, 0)));  /* vadc.vvm v0, ... */
    assert_true(is_illegal(vector_op(0x30, 1, 8, 12, 2, 2))); /* vwaddu.vv v2: 4 registers */
    assert_false(is_illegal(vector_op(0x30, 1, 8, 12, 2, 4)));
    assert_true(is_illegal(vector_op(0x30, 1, 4, 12, 2, 4)));  /* vs2 in its lower half */
    assert_false(is_illegal(vector_op(0x30, 1, 6, 12, 2, 4))); /* in the upper one */
    assert_false(is_illegal(vector_op(0x2c, 1, 8, 12, 0, 8))); /* vnsrl.wv v8, v8, v12 */
    assert_true(is_illegal(vector_op(0x2c, 1, 8, 12, 0, 10))); /* the upper half of vs2 */
    assert_true(is_illegal(vector_op(0x18, 1, 8, 12, 0, 9)));  /* vmseq.vv v9, v8, v12 */
    assert_false(is_illegal(vector_op(0x18, 1, 8, 12, 0, 8)));
    assert_true(is_illegal(vector_op(0x0e, 1, 8, 5, 4, 8)));   /* vslideup.vx v8, v8 */
    assert_false(is_illegal(vector_op(0x0f, 1, 8, 5, 4, 8)));  /* vslidedown.vx v8, v8 */
    assert_true(is_illegal(vector_op(0x0c, 1, 8, 12, 0, 12))); /* vrgather.vv v12, v8, v12 */
    assert_true(is_illegal(vector_op(0x17, 1, 8, 9, 2, 8)));   /* vcompress.vm v8, v8 */
    assert_true(is_illegal(vector_op(0x17, 1, 4, 9, 2, 8)));   /* its mask v9 is in vd */
    assert_true(is_illegal(vector_op(0x14, 1, 9, 16, 2, 8)));  /* viota.m v8, v9 */
    assert_true(is_illegal(vector_op(0x14, 1, 9, 1, 2, 9)));   /* vmsbf.m v9, v9 */
    assert_true(is_illegal(vector_op(0x27, 1, 8, 3, 3, 2)));   /* vmv4r.v v2, v8 */
    assert_true(is_illegal(vector_op(0x12, 1, 8, 2, 2, 4)));   /* vzext.vf8 of 32 bits */
    assert_false(is_illegal(load(2, U, 1, 0, 32, 4)));
    assert_true(is_illegal(load(5, U, 1, 0, 32, 4)));   /* 10 registers */
    assert_true(is_illegal(load(4, U, 1, 0, 32, 26)));  /* behind v31 */
    assert_true(is_illegal(load(1, U, 0, 0, 32, 0)));   /* the mask */
    assert_false(is_illegal(store(1, U, 0, 0, 32, 0))); /* which may be stored */
    assert_true(is_illegal(load(1, UX, 1, 9, 32, 4)));  /* indices in v9 */
    memset(m.c->v + 8 * BYTES, 0, 8 * BYTES);
    assert_true(is_illegal(load(2, UX, 1, 8, 32, 6)));  /* segments over the indices */
    assert_true(is_illegal(load(1, UX, 1, 8, 64, 10))); /* the upper half of wider indices */
    assert_false(is_illegal(load(1, UX, 1, 8, 64, 8)));
    assert_true(is_illegal(load(2, U, 1, 8, 8, 9))); /* vl2re8.v v9 */
    configure(8, -3, 4);
    assert_false(is_illegal(load(1, U, 1, 0, 8, 3)));
    configure(32, -1, 4);
    assert_false(is_illegal(load(1, UX, 1, 9, 8, 10))); /* EMUL 1/8 */
    assert_false(is_illegal(vector_op(0x30, 1, 8, 12, 2, 4)));
    assert_true(is_illegal(vector_op(0x30, 1, 4, 12, 2, 4))); /* vwaddu.vv v4, v4: a fraction is not its upper half */
    configure(64, 0, 2);
    assert_true(is_illegal(vector_op(0x30, 1, 8, 12, 2, 4))); /* 128 bits */
    configure(8, 3, 2);
    assert_true(is_illegal(vector_op(0x30, 1, 8, 16, 2, 24))); /* 16 registers */
    assert_true(is_illegal(load(1, U, 1, 0, 16, 8)));
}

static void vill_and_vstart_are_illegal_where_they_matter(void **state)
{
    (void)state;
    m.c->x[A1] = RV_RAM + V_DATA;
    configure(32, 0, 4);
    static const uint32_t from_0[] = { 0x02002057 | 8 << 20 | 9 << 15 | 10 << 7,   /* vredsum.vs */
                                       0x42082057 | 8 << 20 | 10 << 7,             /* vcpop.m */
                                       0x4208a057 | 8 << 20 | 10 << 7,             /* vfirst.m */
                                       0x5200a057 | 8 << 20 | 10 << 7,             /* vmsbf.m */
                                       0x52082057 | 8 << 20 | 10 << 7,             /* viota.m */
                                       0x5e002057 | 8 << 20 | 9 << 15 | 10 << 7 }; /* vcompress.vm */
    for (unsigned k = 0; k < 6; k++) {
        m.c->vstart = 0;
        assert_false(is_illegal(from_0[k]));
        m.c->vstart = 1;
        assert_true(is_illegal(from_0[k]));
        assert_int_equal(m.c->vstart, 1);
    }
    m.c->vstart = 0;
    m.c->vtype = 1ULL << 63;
    m.c->vl = 0;
    static const uint32_t typed[] = { 0x02000057 | 8 << 7, 0x02b00007 | A1 << 15, 0x9e003057 | 8 << 7, 0x42002057 | 10 << 7,
                                      0x02006007 | A1 << 15 };
    for (unsigned k = 0; k < 5; k++)
        assert_true(is_illegal(typed[k]));
    assert_false(is_illegal(load(1, U, 1, 8, 8, 3)));
    assert_false(is_illegal(0x57 | 7 << 12));
}

static void nothing_happens_to_an_empty_body(void **state)
{
    (void)state;
    for (unsigned vl = 0; vl < 6; vl += 5) {
        uint8_t before[sizeof(m.c->v)];
        fill_registers(vl, 32);
        memcpy(before, m.c->v, sizeof(before));
        m.c->x[A1] = 1; /* no memory */
        static const uint32_t words[] = { 0x02000057 | 8 << 20 | 9 << 15 | 10 << 7,
                                          0x02006007 | A1 << 15 | 10 << 7,
                                          0x02006027 | A1 << 15 | 10 << 7,
                                          0x3e003057 | 8 << 20 | 10 << 7,
                                          0x42006057 | 10 << 7,
                                          0x66002057 | 8 << 20 | 10 << 7 };
        for (unsigned k = 0; k < 6; k++) {
            configure(32, 0, vl);
            m.c->vstart = vl ? 7 : 0;
            do_step(words[k]);
            assert_int_equal(m.c->mcause, 0);
            assert_int_equal(m.c->vstart, 0);
            assert_memory_equal(before, m.c->v, sizeof(before));
        }
    }
}

/* ---- saved state ---- */

/* Whether the state as it is now, saved, can be loaded; it is afterwards. */
static bool loads_again(void)
{
    struct state_buf buf = { 0 };
    struct error err;
    assert_int_equal(state_save(&riscv_state_desc, m.c, &buf), 0);
    memset(m.c->v, 0xee, sizeof(m.c->v));
    m.c->vl = 1;
    int r = state_load(&riscv_state_desc, m.c, &buf, &err);
    state_buf_done(&buf);
    return r == 0;
}

static void vectors_are_saved_and_impossible_ones_refused(void **state)
{
    uint8_t before[sizeof(m.c->v)];
    (void)state;
    fill_registers(8, 16);
    memcpy(before, m.c->v, sizeof(before));
    configure(16, 1, 31);
    m.c->vstart = 5;
    m.c->vxrm = 3;
    m.c->vxsat = 1;
    assert_true(loads_again());
    assert_memory_equal(before, m.c->v, sizeof(before));
    assert_true(m.c->vl == 31 && m.c->vstart == 5 && m.c->vxrm == 3 && m.c->vxsat == 1 && m.c->vtype == 9);
    m.c->vl = 33; /* VLMAX is 32 */
    assert_false(loads_again());
    m.c->vl = 32;
    assert_true(loads_again());
    m.c->vstart = VLEN;
    assert_false(loads_again());
    m.c->vstart = 0;
    m.c->vtype = 4;
    assert_false(loads_again());
    m.c->vtype = 1ULL << 63;
    assert_false(loads_again()); /* vl must be 0 then */
    m.c->vl = 0;
    assert_true(loads_again());
    m.c->vxrm = 4;
    assert_false(loads_again());
    m.c->vxrm = 0;
}

/* ---- CPU models ---- */

static void models_say_what_differs(void **state)
{
    struct riscv_profile p;
    struct error err;
    char isa[512];
    (void)state;
    assert_int_equal(riscv_profile_make("rv64", &p, &err), 0);
    assert_false(p.has[RISCV_EXT_V] || p.has[RISCV_EXT_ZVL128B] || p.has[RISCV_EXT_H]);
    assert_int_equal(riscv_profile_make("rv64,v=true,vlen=256", &p, &err), 0);
    assert_true(p.has[RISCV_EXT_V] && p.has[RISCV_EXT_ZVL256B] && !p.has[RISCV_EXT_ZVL512B] && !p.has[RISCV_EXT_ZVFH]);
    assert_int_equal(p.vlen, 256);
    (void)riscv_profile_isa(&p, isa, sizeof(isa));
    assert_memory_equal(isa, "rv64imafdcv_", 12);
    assert_true(riscv_profile_misa(&p) >> ('V' - 'A') & 1);
    assert_int_equal(riscv_profile_make("max", &p, &err), 0);
    (void)riscv_profile_isa(&p, isa, sizeof(isa));
    assert_memory_equal(isa, "rv64imafdcvh_", 13);
    assert_int_equal(riscv_profile_make("rv64gc,+zvfh", &p, &err), 0);
    assert_true(p.has[RISCV_EXT_V] && p.has[RISCV_EXT_ZFH] && p.has[RISCV_EXT_ZVFHMIN] && p.has[RISCV_EXT_ZVL128B]);
    assert_int_equal(riscv_profile_make("max,d=off,zba=false", &p, &err), 0);
    assert_false(p.has[RISCV_EXT_V] || p.has[RISCV_EXT_ZVFH] || p.has[RISCV_EXT_ZVL128B] || p.has[RISCV_EXT_ZBA]);
    assert_true(p.has[RISCV_EXT_F] && p.has[RISCV_EXT_ZBB]);
    static const char *const bad[] = { "rv32",  "rv64,v",     "rv64,vlen=64",    "rv64,vlen=", "rv64,v=maybe", "rv64,+q",
                                       "rv64,", "rv64,i=off", "rv64,zvl256b=on", "",           "rv64,-",       "rv64,=on" };
    for (unsigned k = 0; k < sizeof(bad) / sizeof(bad[0]); k++)
        assert_true(riscv_profile_make(bad[k], &p, &err) < 0);
}

static int set_up_vectors(void **state)
{
    (void)state;
    return start_vectors("max,vlen=256");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(loads_and_stores_reach_each_field_of_each_element),
        cmocka_unit_test(masks_and_whole_registers_ignore_widths_and_vl),
        cmocka_unit_test(a_fault_leaves_its_element_in_vstart),
        cmocka_unit_test(a_fault_within_a_segment_names_the_segment),
        cmocka_unit_test(only_the_first_element_of_fault_only_first_faults),
        cmocka_unit_test(vsetvl_takes_what_there_is_room_for),
        cmocka_unit_test(csrs_show_and_set_the_state),
        cmocka_unit_test(vectors_that_are_off_are_illegal),
        cmocka_unit_test(groups_that_cannot_be_are_illegal),
        cmocka_unit_test(vill_and_vstart_are_illegal_where_they_matter),
        cmocka_unit_test(nothing_happens_to_an_empty_body),
        cmocka_unit_test(vectors_are_saved_and_impossible_ones_refused),
        cmocka_unit_test(models_say_what_differs),
    };
    return cmocka_run_group_tests(tests, set_up_vectors, stop_vectors);
}
