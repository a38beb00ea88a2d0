/* SPDX-License-Identifier: MIT */
/*
 * What a task with vectors does to find out whether anybody else changes them: vector_work(), which calls nobody and can run in
 * any address space. Whoever includes this interrupts it, switches between several, and takes away the pages of its area.
 *
 * Each round holds known values in all vector registers and CSRs for a while and looks at them again; then loads and stores of
 * all kinds go through the area, whose pages may fault at any element, and are compared with what scalar code finds there.
 * Compiled with V, by clang, which must not use vectors on its own.
 */
#ifndef DOPPEL_TESTS_GUESTS_RISCV_VECTOR_WORK_H
#define DOPPEL_TESTS_GUESTS_RISCV_VECTOR_WORK_H

typedef unsigned long u64;
typedef unsigned int u32;
typedef unsigned short u16;
typedef unsigned char u8;

enum { AREA_PAGES = 16, AREA = AREA_PAGES * 4096, VREGS_MAX = 32 * 64, ELEMENTS_MAX = 512 };

/* One task's memory, not shared with others. */
struct vector_task {
    u8 *area;    /* AREA bytes, whose pages may be missing */
    u64 rounds;  /* to do */
    u64 spins;   /* how long values are held, in rounds of a loop */
    u64 seed;    /* in, and where its random numbers have got to */
    u64 wrong;   /* out: how many comparisons failed */
    u64 where;   /* out: which one last, see the enum below */
    u64 checked; /* out */
    u8 want[VREGS_MAX], got[VREGS_MAX];
    u8 data[ELEMENTS_MAX * 8], back[ELEMENTS_MAX * 8];
    u32 index[ELEMENTS_MAX];
};
enum { AT_HOLD = 1, AT_CSRS, AT_UNIT, AT_STRIDED, AT_INDEXED, AT_SEGMENT, AT_MASKED, AT_FIRST, AT_SUM, AT_FLOAT };

static inline u64 vector_random(struct vector_task *t)
{
    t->seed ^= t->seed << 13;
    t->seed ^= t->seed >> 7;
    t->seed ^= t->seed << 17;
    return t->seed;
}

static inline void vector_fill(struct vector_task *t, u8 *p, u64 n)
{
    for (u64 k = 0; k < n; k++)
        p[k] = (u8)(vector_random(t) >> 20);
}

static inline void vector_compare(struct vector_task *t, const u8 *a, const u8 *b, u64 n, u64 where)
{
    t->checked++;
    for (u64 k = 0; k < n; k++) {
        if (a[k] != b[k]) {
            t->wrong++;
            t->where = where;
            return;
        }
    }
}

static inline u64 vector_bytes(void)
{
    u64 n;
    __asm__ volatile("csrr %0, vlenb" : "=r"(n));
    return n;
}

/* All registers and CSRs at once: one asm, between whose instructions anything may happen. */
static inline void vector_hold(struct vector_task *t)
{
    u64 bytes = 32 * vector_bytes(), eighth = bytes / 4, spins = t->spins, r = vector_random(t);
    u64 sew = r & 3, vtype = sew << 3 | (r >> 2 & 3) | (r >> 4 & 3) << 6, avl = r >> 8 & 255, vcsr = r >> 16 & 7, vl, csr[4];
    u8 *in = t->want, *out = t->got;
    vector_fill(t, t->want, bytes);
    __asm__ volatile(
        "vl8re8.v v0, (%[in])\n\tadd %[in], %[in], %[eighth]\n\tvl8re8.v v8, (%[in])\n\tadd %[in], %[in], %[eighth]\n\t"
        "vl8re8.v v16, (%[in])\n\tadd %[in], %[in], %[eighth]\n\tvl8re8.v v24, (%[in])\n\t"
        "vsetvl %[vl], %[avl], %[vtype]\n\tcsrw vcsr, %[vcsr]\n"
        "1:\taddi %[spins], %[spins], -1\n\tbnez %[spins], 1b\n\t"
        "csrr %[c0], vstart\n\tcsrr %[c1], vl\n\tcsrr %[c2], vtype\n\tcsrr %[c3], vcsr\n\t"
        "vs8r.v v0, (%[out])\n\tadd %[out], %[out], %[eighth]\n\tvs8r.v v8, (%[out])\n\tadd %[out], %[out], %[eighth]\n\t"
        "vs8r.v v16, (%[out])\n\tadd %[out], %[out], %[eighth]\n\tvs8r.v v24, (%[out])"
        : [in] "+&r"(in), [out] "+&r"(out), [spins] "+&r"(spins), [vl] "=&r"(vl), [c0] "=&r"(csr[0]), [c1] "=&r"(csr[1]),
          [c2] "=&r"(csr[2]), [c3] "=&r"(csr[3])
        : [eighth] "r"(eighth), [avl] "r"(avl), [vtype] "r"(vtype), [vcsr] "r"(vcsr)
        : "memory");
    vector_compare(t, t->want, t->got, bytes, AT_HOLD);
    u64 want[4] = { 0, vl, vtype, vcsr };
    vector_compare(t, (u8 *)want, (u8 *)csr, sizeof(want), AT_CSRS);
}

/* A place in the area for `bytes`, mostly near the end of a page. */
static inline u8 *vector_place(struct vector_task *t, u64 bytes)
{
    u64 r = vector_random(t), at = (r % AREA_PAGES + 1) * 4096 - (r >> 8) % 700;
    return t->area + (at + bytes > AREA ? (r >> 8) % (AREA - bytes) : at);
}

static inline void vector_unit(struct vector_task *t)
{
    u64 vl;
    vector_fill(t, t->data, ELEMENTS_MAX);
    u8 *p = vector_place(t, ELEMENTS_MAX);
    __asm__ volatile(
        "vsetvli %0, %1, e8, m8, ta, ma\n\tvle8.v v8, (%2)\n\tvse8.v v8, (%3)\n\tvle8.v v16, (%3)\n\tvse8.v v16, (%4)"
        : "=&r"(vl)
        : "r"((u64)ELEMENTS_MAX), "r"(t->data), "r"(p), "r"(t->back)
        : "memory");
    vector_compare(t, t->data, p, vl, AT_UNIT);
    vector_compare(t, t->data, t->back, vl, AT_UNIT);
}

/* Elements a good part of a page apart. */
static inline void vector_strided(struct vector_task *t)
{
    u64 vl, stride = 8 + vector_random(t) % 1000;
    vector_fill(t, t->data, 64 * 8);
    __asm__ volatile("vsetvli %0, %1, e64, m8, ta, ma\n\tvle64.v v8, (%2)\n\tvsse64.v v8, (%3), %4\n\tvlse64.v v16, (%3), %4\n\t"
                     "vse64.v v16, (%5)"
                     : "=&r"(vl)
                     : "r"(64UL), "r"(t->data), "r"(t->area + 5), "r"(stride), "r"(t->back)
                     : "memory");
    vector_compare(t, t->data, t->back, 8 * vl, AT_STRIDED);
    for (u64 k = 0; k < vl; k++)
        vector_compare(t, t->data + 8 * k, t->area + 5 + k * stride, 8, AT_STRIDED);
}

static inline void vector_indexed(struct vector_task *t)
{
    u64 vl, slots = AREA / 128;
    vector_fill(t, t->data, 128 * 4);
    u64 first = vector_random(t) % slots, step = 2 * (vector_random(t) % slots) + 1;
    for (u64 k = 0; k < 128; k++)
        t->index[k] = (u32)((first + k * step) % slots * 128 + 61); /* all different */
    __asm__ volatile("vsetvli %0, %1, e32, m8, ta, ma\n\tvle32.v v8, (%2)\n\tvle32.v v16, (%3)\n\tvsuxei32.v v8, (%4), v16\n\t"
                     "vloxei32.v v24, (%4), v16\n\tvse32.v v24, (%5)"
                     : "=&r"(vl)
                     : "r"(128UL), "r"(t->data), "r"(t->index), "r"(t->area), "r"(t->back)
                     : "memory");
    vector_compare(t, t->data, t->back, 4 * vl, AT_INDEXED);
    for (u64 k = 0; k < vl; k++)
        vector_compare(t, t->data + 4 * k, t->area + t->index[k], 4, AT_INDEXED);
}

/* Three fields of 16 bits, stored together and loaded one by one. */
static inline void vector_segments(struct vector_task *t)
{
    u64 vl;
    vector_fill(t, t->data, 64 * 6);
    u8 *p = vector_place(t, 64 * 6);
    __asm__ volatile(
        "vsetvli %0, %1, e16, m2, ta, ma\n\tvlseg3e16.v v8, (%2)\n\tvsseg3e16.v v8, (%3)\n\tli t0, 6\n\t"
        "vlse16.v v16, (%3), t0\n\taddi t1, %3, 2\n\tvlse16.v v18, (t1), t0\n\taddi t1, t1, 2\n\tvlse16.v v20, (t1), t0\n\t"
        "vsseg3e16.v v16, (%4)"
        : "=&r"(vl)
        : "r"(64UL), "r"(t->data), "r"(p), "r"(t->back)
        : "memory", "t0", "t1");
    vector_compare(t, t->data, p, 6 * vl, AT_SEGMENT);
    vector_compare(t, t->data, t->back, 6 * vl, AT_SEGMENT);
}

/* Every other element: the rest of the area, and of the register, stays. */
static inline void vector_masked(struct vector_task *t)
{
    u64 vl, n = 64;
    vector_fill(t, t->data, n * 8);
    u8 *p = vector_place(t, n * 8);
    for (u64 k = 0; k < n * 8; k++)
        p[k] = 0x77;
    __asm__ volatile(
        "vsetvli %0, %1, e64, m8, ta, mu\n\tvid.v v8\n\tvand.vi v8, v8, 1\n\tvmseq.vi v0, v8, 1\n\tvmv.v.i v16, -1\n\t"
        "vle64.v v8, (%2)\n\tvse64.v v8, (%3), v0.t\n\tvle64.v v16, (%3), v0.t\n\tvse64.v v16, (%4)"
        : "=&r"(vl)
        : "r"(n), "r"(t->data), "r"(p), "r"(t->back)
        : "memory");
    for (u64 k = 0; k < vl; k++) {
        u64 other = 0x7777777777777777, ones = ~0UL;
        vector_compare(t, k & 1 ? t->data + 8 * k : (u8 *)&other, p + 8 * k, 8, AT_MASKED);
        vector_compare(t, k & 1 ? t->data + 8 * k : (u8 *)&ones, t->back + 8 * k, 8, AT_MASKED);
    }
}

/* Fault-only-first loads may end early, but get on. */
static inline void vector_first(struct vector_task *t)
{
    u8 *p = vector_place(t, ELEMENTS_MAX);
    for (u64 done = 0, vl; done < ELEMENTS_MAX; done += vl) {
        __asm__ volatile("vsetvli %0, %1, e8, m8, ta, ma\n\tvle8ff.v v8, (%2)\n\tcsrr %0, vl\n\tvse8.v v8, (%3)"
                         : "=&r"(vl)
                         : "r"(ELEMENTS_MAX - done), "r"(p + done), "r"(t->back + done)
                         : "memory");
        if (!vl) {
            t->wrong++;
            t->where = AT_FIRST;
            return;
        }
    }
    vector_compare(t, p, t->back, ELEMENTS_MAX, AT_FIRST);
}

static inline void vector_sums(struct vector_task *t)
{
    u64 vl, sum, want = 0;
    double total, expected = 0, *numbers = (double *)t->data;
    u8 *p = vector_place(t, 256);
    vector_fill(t, t->data, 256);
    __asm__ volatile(
        "vsetvli %0, %2, e8, m2, ta, ma\n\tvle8.v v8, (%3)\n\tvse8.v v8, (%4)\n\tvle8.v v12, (%4)\n\tvwmulu.vv v16, v8, v12\n\t"
        "vsetvli x0, x0, e32, m8, ta, ma\n\tvmv.s.x v24, zero\n\tvsetvli x0, x0, e16, m4, ta, ma\n\tvwredsumu.vs v24, v16, "
        "v24\n\t"
        "vsetvli x0, x0, e32, m8, ta, ma\n\tvmv.x.s %1, v24"
        : "=&r"(vl), "=&r"(sum)
        : "r"(32UL), "r"(t->data), "r"(p)
        : "memory");
    for (u64 k = 0; k < vl; k++)
        want += (u64)t->data[k] * t->data[k];
    vector_compare(t, (u8 *)&want, (u8 *)&sum, 8, AT_SUM);
    for (u64 k = 0; k < 32; k++)
        numbers[k] = (double)(long)vector_random(t) / 1e6;
    __asm__ volatile(
        "vsetvli %0, %2, e64, m4, ta, ma\n\tvle64.v v8, (%3)\n\tvfmv.s.f v16, %4\n\tvfredosum.vs v16, v8, v16\n\tvfmv.f.s %1, v16"
        : "=&r"(vl), "=&f"(total)
        : "r"(32UL), "r"(numbers), "f"(expected)
        : "memory");
    for (u64 k = 0; k < vl; k++)
        expected += numbers[k];
    vector_compare(t, (u8 *)&expected, (u8 *)&total, 8, AT_FLOAT);
}

static void vector_work(struct vector_task *t)
{
    for (u64 r = 0; r < t->rounds; r++) {
        vector_hold(t);
        vector_unit(t);
        vector_strided(t);
        vector_indexed(t);
        vector_segments(t);
        vector_masked(t);
        vector_first(t);
        vector_sums(t);
    }
}

#endif
