/* SPDX-License-Identifier: MIT */
/*
 * A bare riscv64 kernel in S-mode that switches U-mode tasks with vectors (riscv_vector_work.h) by the timer, on all harts there
 * are, and says by the UART which laws held, one line each: "name: ok".
 *
 * A task's vectors are restored at once (VS Clean then), or when its first vector instruction traps (VS Off before); they are
 * saved when VS is Dirty, and compared with what was saved when it is not. Each switch takes the pages of all areas away, so that
 * loads and stores fault at any element and go on by vstart. Starts at 0x80200000 as SBI has it. Compiled by clang for riscv64,
 * without libc.
 */
#include "riscv_vector_work.h"

enum { HARTS = 4, TASKS = 4, ROUNDS = 20, SPINS = 3000, TICKS = 100, SLICE = 2000 /* of 100 ns */ };
enum { OFF, INITIAL, CLEAN, DIRTY };
enum { ILLEGAL = 2, CALL = 8, LOAD_FAULT = 13, STORE_FAULT = 15 };
#define VS_SHIFT 9
#define STATUS_SPP (1UL << 8)
#define STATUS_SPIE (1UL << 5)
#define STATUS_FS (3UL << 13)
#define STATUS_VS (3UL << VS_SHIFT)
#define TIMER (1UL << 63 | 5)
#define ALIAS 0x80000000UL /* user addresses of the kernel's memory: so much above */
#define AREA_AT (8UL << 30)

/* What run_user() and its trap keep; the assembly below knows the offsets. */
struct frame {
    u64 x[32], pc, kernel_sp, f[32], fcsr;
};

struct task {
    struct frame frame;
    u8 v[VREGS_MAX];
    u64 csr[4]; /* vstart, vl, vtype, vcsr */
    u64 *leaf;
    u8 *memory;
    struct vector_task *work;
    u64 satp, turns;
    int used, done;
};

struct hart {
    u64 traps_off, middles, ticks, unsaved, strange;
    volatile u64 finished;
};

static struct hart harts[HARTS];
static struct task tasks[HARTS][TASKS];
static struct vector_task works[HARTS][TASKS];
static u8 user_stacks[HARTS][TASKS][8192] __attribute__((aligned(16)));
static u8 areas[HARTS][TASKS][AREA] __attribute__((aligned(4096)));
static u64 tables[HARTS][TASKS][3][512] __attribute__((aligned(4096)));
static u8 scratch[HARTS][VREGS_MAX];
u8 stacks[HARTS][16384] __attribute__((aligned(16)));

#define ALL(op, reg, base)                                                                                                       \
    op " " reg "1, " base "+8(a0)\n" op " " reg "2, " base "+16(a0)\n" op " " reg "3, " base "+24(a0)\n" op " " reg "4, " base   \
       "+32(a0)\n" op " " reg "5, " base "+40(a0)\n" op " " reg "6, " base "+48(a0)\n" op " " reg "7, " base "+56(a0)\n" op      \
       " " reg "8, " base "+64(a0)\n" op " " reg "9, " base "+72(a0)\n" op " " reg "11, " base "+88(a0)\n" op " " reg            \
       "12, " base "+96(a0)\n" op " " reg "13, " base "+104(a0)\n" op " " reg "14, " base "+112(a0)\n" op " " reg "15, " base    \
       "+120(a0)\n" op " " reg "16, " base "+128(a0)\n" op " " reg "17, " base "+136(a0)\n" op " " reg "18, " base               \
       "+144(a0)\n" op " " reg "19, " base "+152(a0)\n" op " " reg "20, " base "+160(a0)\n" op " " reg "21, " base               \
       "+168(a0)\n" op " " reg "22, " base "+176(a0)\n" op " " reg "23, " base "+184(a0)\n" op " " reg "24, " base               \
       "+192(a0)\n" op " " reg "25, " base "+200(a0)\n" op " " reg "26, " base "+208(a0)\n" op " " reg "27, " base               \
       "+216(a0)\n" op " " reg "28, " base "+224(a0)\n" op " " reg "29, " base "+232(a0)\n" op " " reg "30, " base               \
       "+240(a0)\n" op " " reg "31, " base "+248(a0)\n"
#define KEPT(op)                                                                                                                 \
    op " ra, 0(sp)\n" op " s0, 8(sp)\n" op " s1, 16(sp)\n" op " s2, 24(sp)\n" op " s3, 32(sp)\n" op " s4, 40(sp)\n" op           \
       " s5, 48(sp)\n" op " s6, 56(sp)\n" op " s7, 64(sp)\n" op " s8, 72(sp)\n" op " s9, 80(sp)\n" op " s10, 88(sp)\n" op        \
       " s11, 96(sp)\n"

__asm__(".section .text.start\n.globl _start\n_start:\n"
        "la sp, stacks + 16384\ncall first_main\n"
        ".globl other_start\nother_start:\n"
        "mv sp, a1\ncall other_main\n1: j 1b\n"
        ".text\n"
        /* run_user(frame): until the next trap */
        ".globl run_user\nrun_user:\n"
        "addi sp, sp, -112\n" KEPT(
            "sd") "sd sp, 264(a0)\ncsrw sscratch, a0\nld t0, 256(a0)\ncsrw sepc, t0\n"
                  "ld t0, 528(a0)\ncsrw fcsr, t0\nfld f0, 272(a0)\nfld f10, 352(a0)\n" ALL("fld", "f", "272")
                      ALL("ld", "x", "0") "ld a0, 80(a0)\nsret\n"
                                          ".balign 4\n.globl kernel_trap\nkernel_trap:\ncall trapped_itself\n"
                                          ".balign 4\n.globl user_trap\nuser_trap:\n"
                                          "csrrw a0, sscratch, a0\n" ALL(
                                              "sd", "x",
                                              "0") "csrr t0, sscratch\nsd t0, 80(a0)\ncsrr t0, sepc\nsd t0, 256(a0)\n"
                                                   "csrr t0, fcsr\nsd t0, 528(a0)\nfsd f0, 272(a0)\nfsd f10, 352(a0)\n" ALL(
                                                       "fsd", "f",
                                                       "272") "ld sp, 264(a0)\n" KEPT("ld") "addi sp, sp, 112\nret\n"
                                                                                            /* user_main(work) */
                                                                                            ".globl user_main\nuser_main:\ncall "
                                                                                            "user_work\n1: ecall\nj 1b\n");

void run_user(struct frame *f);
void user_trap(void);
void kernel_trap(void);
void user_main(struct vector_task *t);
void other_start(void);

void user_work(struct vector_task *t)
{
    vector_work(t);
}

/* ---- small things ---- */

static void put(const char *s)
{
    volatile u8 *uart = (volatile u8 *)0x10000000UL;
    for (; *s; s++) {
        while (!(uart[5] & 0x20))
            ;
        uart[0] = (u8)*s;
    }
}

static void blame(const char *what, u64 number)
{
    char text[20] = " ................\n";
    for (int k = 16; k >= 1; k--, number >>= 4)
        text[k] = "0123456789abcdef"[number & 15];
    put(what);
    put(text);
}

static void say(const char *law, int holds)
{
    put(law);
    put(holds ? ": ok\n" : ": WRONG\n");
}

/* No trap is the kernel's own. */
void trapped_itself(void)
{
    u64 cause, value, at;
    __asm__ volatile("csrr %0, scause\n\tcsrr %1, stval\n\tcsrr %2, sepc" : "=r"(cause), "=r"(value), "=r"(at));
    blame("a trap of the kernel itself: WRONG, cause", cause);
    blame("at", at);
    blame("for", value);
    *(volatile u32 *)0x100000UL = 0x13333;
    for (;;)
        ;
}

static long sbi(u64 eid, u64 fid, u64 x, u64 y, u64 z)
{
    register u64 a0 __asm__("a0") = x, a1 __asm__("a1") = y, a2 __asm__("a2") = z, a6 __asm__("a6") = fid, a7 __asm__("a7") = eid;
    __asm__ volatile("ecall" : "+r"(a0), "+r"(a1) : "r"(a2), "r"(a6), "r"(a7) : "memory");
    return (long)a0;
}

static u64 vs(void)
{
    u64 status;
    __asm__ volatile("csrr %0, sstatus" : "=r"(status));
    return (status & STATUS_VS) >> VS_SHIFT;
}

static void set_vs(u64 state)
{
    __asm__ volatile("csrc sstatus, %0\n\tcsrs sstatus, %1" ::"r"(STATUS_VS), "r"(state << VS_SHIFT));
}

/* The same by one write, as kernels do it that have sstatus of each task. */
static void write_vs(u64 state)
{
    u64 status;
    __asm__ volatile("csrr %0, sstatus" : "=r"(status));
    __asm__ volatile("csrw sstatus, %0" ::"r"((status & ~STATUS_VS) | state << VS_SHIFT));
}

/* ---- vectors ---- */

static void save(u8 *v, u64 csr[4])
{
    u64 eighth = 8 * vector_bytes();
    __asm__ volatile("csrr %0, vstart\n\tcsrr %1, vl\n\tcsrr %2, vtype\n\tcsrr %3, vcsr"
                     : "=&r"(csr[0]), "=&r"(csr[1]), "=&r"(csr[2]), "=&r"(csr[3]));
    __asm__ volatile(
        "csrw vstart, zero\n\tvs8r.v v0, (%0)\n\tadd %0, %0, %1\n\tvs8r.v v8, (%0)\n\tadd %0, %0, %1\n\tvs8r.v v16, (%0)\n\t"
        "add %0, %0, %1\n\tvs8r.v v24, (%0)"
        : "+&r"(v)
        : "r"(eighth)
        : "memory");
}

static void restore(const u8 *v, const u64 csr[4])
{
    u64 eighth = 8 * vector_bytes();
    __asm__ volatile("csrw vstart, zero\n\tvl8re8.v v0, (%0)\n\tadd %0, %0, %1\n\tvl8re8.v v8, (%0)\n\tadd %0, %0, "
                     "%1\n\tvl8re8.v v16, (%0)\n\t"
                     "add %0, %0, %1\n\tvl8re8.v v24, (%0)"
                     : "+&r"(v)
                     : "r"(eighth)
                     : "memory");
    __asm__ volatile("vsetvl zero, %1, %2\n\tcsrw vcsr, %3\n\tcsrw vstart, %0" ::"r"(csr[0]), "r"(csr[1]), "r"(csr[2]),
                     "r"(csr[3]));
}

/* Gives the task its vectors: all 0 when it never had any. */
static void give(struct task *t)
{
    set_vs(INITIAL);
    if (!t->used)
        t->csr[2] = 1UL << 63; /* vtype: illegal, as after reset */
    restore(t->v, t->csr);
    write_vs(t->used ? CLEAN : INITIAL);
    t->used = 1;
}

static void take(struct hart *h, struct task *t, u8 *other)
{
    u64 csr[4], n, differs = 0;
    switch (vs()) {
    case OFF: return;
    case DIRTY: save(t->v, t->csr); return;
    default:
        save(other, csr);
        n = 32 * vector_bytes();
        for (u64 k = 0; k < n; k++)
            differs += other[k] != t->v[k];
        for (u64 k = 0; k < 4; k++)
            differs += csr[k] != t->csr[k];
        h->unsaved += differs != 0;
    }
}

/* ---- tasks ---- */

static void aim(struct task *t)
{
    t->frame.pc = (u64)user_main + ALIAS;
    t->frame.x[10] = (u64)t->work + ALIAS;
}

static void begin(u64 hart, u64 n)
{
    struct task *t = &tasks[hart][n];
    struct vector_task *w = &works[hart][n];
    u64(*table)[512] = tables[hart][n];
    table[0][0] = 0xc7;                                                /* chips */
    table[0][2] = 0x80000000UL >> 2 | 0xcf;                            /* the kernel */
    table[0][(0x80000000UL + ALIAS) >> 30] = 0x80000000UL >> 2 | 0xdf; /* and again, for U-mode */
    table[0][AREA_AT >> 30] = (u64)table[1] >> 2 | 1;
    table[1][0] = (u64)table[2] >> 2 | 1;
    t->leaf = table[2];
    t->memory = areas[hart][n];
    t->satp = 8UL << 60 | (n + 1) << 44 | (u64)table[0] >> 12;
    t->frame.x[2] = (u64)user_stacks[hart][n] + sizeof(user_stacks[hart][n]) + ALIAS;
    t->work = w;
    aim(t);
    w->area = (u8 *)AREA_AT;
    w->rounds = ROUNDS;
    w->spins = SPINS;
    w->seed = (hart * TASKS + n + 1) * 0x9e3779b97f4a7c15UL;
}

static int map(struct hart *h, struct task *t, u64 at)
{
    u64 page = at - AREA_AT, vstart = 0;
    if (page >= AREA || (t->leaf[page >> 12] & 1))
        return 0;
    if (vs() != OFF)
        __asm__ volatile("csrr %0, vstart" : "=r"(vstart));
    h->middles += vstart != 0;
    t->leaf[page >> 12] = ((u64)t->memory + (page & ~4095UL)) >> 2 | 0xd7; /* U, R, W */
    __asm__ volatile("sfence.vma %0, zero" ::"r"(at) : "memory");
    return 1;
}

/* One trap of the task; false: its turn is over. */
static int serve(struct hart *h, struct task *t)
{
    u64 cause, value;
    __asm__ volatile("csrr %0, scause\n\tcsrr %1, stval" : "=r"(cause), "=r"(value));
    if (cause == TIMER) {
        h->ticks++;
        return 0;
    }
    if (cause == ILLEGAL && vs() == OFF) {
        h->traps_off++;
        give(t);
        return 1;
    }
    if ((cause == LOAD_FAULT || cause == STORE_FAULT) && map(h, t, value))
        return 1;
    if (cause == CALL && h->ticks < TICKS) {
        aim(t); /* its work is done, ours not */
        return 1;
    }
    t->done = 1;
    if (cause != CALL) {
        h->strange++;
        blame("a strange trap: cause", cause);
        blame("at", t->frame.pc);
        blame("for", value);
    }
    return 0;
}

static void turn(struct hart *h, struct task *t, u8 *other)
{
    u64 now;
    __asm__ volatile("sfence.vma\n\tcsrw satp, %0" ::"r"(t->satp) : "memory");
    for (u64 k = 0; k < AREA_PAGES; k++)
        t->leaf[k] = 0;
    __asm__ volatile("sfence.vma zero, %0" ::"r"(t->satp >> 44 & 0xffff) : "memory");
    if (t->used && t->turns++ % 2)
        give(t);
    else
        write_vs(OFF);
    __asm__ volatile("csrr %0, time" : "=r"(now));
    (void)sbi(0x54494d45, 0, now + SLICE + t->turns % 7 * 300, 0, 0);
    __asm__ volatile("csrc sstatus, %0\n\tcsrs sstatus, %1" ::"r"(STATUS_SPP), "r"(STATUS_SPIE));
    do {
        __asm__ volatile("csrw stvec, %0\n\tcsrs sstatus, %1" ::"r"(user_trap), "r"(STATUS_FS));
        run_user(&t->frame); /* with floating point, which the kernel itself has not */
        __asm__ volatile("csrw stvec, %0\n\tcsrc sstatus, %1" ::"r"(kernel_trap), "r"(STATUS_FS));
    } while (serve(h, t));
    take(h, t, other);
}

static void run_tasks(u64 hart)
{
    struct hart *h = &harts[hart];
    __asm__ volatile("csrw stvec, %0\n\tcsrw sie, %1" ::"r"(kernel_trap), "r"(32UL));
    for (u64 n = 0; n < TASKS; n++)
        begin(hart, n);
    for (u64 left = TASKS; left;)
        for (u64 n = 0; n < TASKS; n++)
            if (!tasks[hart][n].done) {
                turn(h, &tasks[hart][n], scratch[hart]);
                left -= (u64)tasks[hart][n].done;
            }
    __atomic_store_n(&h->finished, 1, __ATOMIC_RELEASE);
}

void other_main(u64 hart)
{
    run_tasks(hart);
    for (;;)
        __asm__ volatile("csrw sie, zero\n\twfi");
}

static void report(u64 nr)
{
    u64 wrong = 0, checked = ~0UL, unsaved = 0, off = ~0UL, middles = ~0UL, ticks = ~0UL, strange = 0;
    for (u64 h = 0; h < nr; h++) {
        for (u64 n = 0; n < TASKS; n++) {
            const struct vector_task *w = &works[h][n];
            if (w->wrong)
                blame("the last of kind", w->where);
            wrong += w->wrong;
            checked = w->checked < checked ? w->checked : checked;
        }
        unsaved += harts[h].unsaved;
        strange += harts[h].strange;
        off = harts[h].traps_off < off ? harts[h].traps_off : off;
        middles = harts[h].middles < middles ? harts[h].middles : middles;
        ticks = harts[h].ticks < ticks ? harts[h].ticks : ticks;
    }
    say("tasks keep their vectors", !wrong && checked > 50 * ROUNDS);
    say("no other trap came", !strange);
    say("what VS calls clean is what was saved", !unsaved);
    say("the first vector instruction traps while VS is off", off >= TASKS);
    say("accesses that fault in the middle go on there", middles > 0);
    say("timers interrupt tasks", ticks >= TICKS);
}

void first_main(u64 self)
{
    u64 nr = 1;
    if (self != 0)
        put("not hart 0\n");
    while (nr < HARTS && sbi(0x48534d, 0, nr, (u64)other_start, (u64)stacks[nr] + sizeof(stacks[nr])) == 0)
        nr++;
    run_tasks(0);
    for (u64 h = 0; h < nr; h++)
        while (!__atomic_load_n(&harts[h].finished, __ATOMIC_ACQUIRE))
            ;
    blame("harts", nr);
    report(nr);
    put("done\n");
    *(volatile u32 *)0x100000UL = 0x5555;
    for (;;)
        ;
}
