/* SPDX-License-Identifier: MIT */
/*
 * A Linux program whose threads lean on what CPUs owe each other: atomics, memory order, code written by others, TLB shootdowns.
 *
 * usage: smp_stress [ROUNDS [LAW]]; prints one line a law and exits with 1 at the first that is broken. It also runs natively.
 */
#define _GNU_SOURCE
#include <linux/futex.h>
#include <linux/membarrier.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum { THREADS = 4, PAGE = 4096, PATIENCE = 128 };

static unsigned rounds = 1;
static const char *law;

static void broken(const char *what, long got, long want)
{
    printf("FAIL %s: %s: got %ld, want %ld\n", law, what, got, want);
    fflush(stdout);
    _exit(1);
}

static uint8_t *map(size_t bytes, int prot)
{
    uint8_t *p = mmap(NULL, bytes, prot, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED)
        broken("mmap", -1, 0);
    return p;
}

/* Runs fn(0) .. fn(n - 1) at once. */
static void in_threads(unsigned n, void *(*fn)(void *))
{
    pthread_t t[THREADS];
    for (unsigned k = 0; k < n; k++)
        if (pthread_create(&t[k], NULL, fn, (void *)(uintptr_t)k))
            broken("pthread_create", -1, 0);
    for (unsigned k = 0; k < n; k++)
        pthread_join(t[k], NULL);
}

/* One turn of a wait for another thread. Where there are more threads than CPUs that thread may not be running: after a while
 * it is let in, or each handover costs a time slice (two of these programs on two CPUs natively: 39 s instead of 2). */
static void be_patient(void)
{
    static _Thread_local unsigned turns;
    if (++turns % PATIENCE == 0)
        sched_yield();
}

static void relax(void)
{
    __asm__ volatile("pause" ::: "memory");
    be_patient();
}

static void serialize(void)
{
    unsigned a = 0, b, c = 0, d;
    __asm__ volatile("cpuid" : "+a"(a), "=b"(b), "+c"(c), "=d"(d)::"memory");
}

/* ---- atomics ---- */

enum { ADDS = 20000 };
static uint8_t *area; /* two pages */
#define AT(off) ((void *)(area + (off)))
enum {
    ALIGNED = 0,
    ODD = 131,
    LINE = 64 * 4 - 2,
    CROSSING = PAGE - 3,
    SPIN = 512,
    GUARDED = 520,
    WIDE = 576,
    BITS = 640,
    CAS = 704
};

static void *adder(void *arg)
{
    unsigned me = (unsigned)(uintptr_t)arg;
    for (unsigned k = 0; k < ADDS; k++) {
        __asm__ volatile("lock incl %0" : "+m"(*(uint32_t *)AT(ALIGNED))::"cc");
        __asm__ volatile("lock addl $1, %0" : "+m"(*(uint32_t *)AT(ODD))::"cc");
        uint32_t one = 1;
        __asm__ volatile("lock xaddl %1, %0" : "+m"(*(uint32_t *)AT(LINE)), "+r"(one)::"cc");
        if (k % 16 == 0)
            __asm__ volatile("lock incl %0" : "+m"(*(uint32_t *)AT(CROSSING))::"cc");
        uint32_t taken = 1;
        for (;;) {
            __asm__ volatile("xchgl %1, %0" : "+m"(*(uint32_t *)AT(SPIN)), "+r"(taken)::"memory");
            if (!taken)
                break;
            relax();
        }
        *(volatile uint64_t *)AT(GUARDED) += 3;
        __asm__ volatile("movl $0, %0" : "=m"(*(uint32_t *)AT(SPIN))::"memory");
        uint64_t lo = *(volatile uint64_t *)AT(WIDE), hi = *(volatile uint64_t *)AT(WIDE + 8);
        for (uint8_t ok = 0; !ok;)
            __asm__ volatile("lock cmpxchg16b %0; setz %1"
                             : "+m"(*(unsigned __int128 *)AT(WIDE)), "=q"(ok), "+a"(lo), "+d"(hi)
                             : "b"(lo + 1), "c"(hi + 2)
                             : "cc", "memory");
        __asm__ volatile("lock btcl %1, %0" : "+m"(*(uint32_t *)AT(BITS)) : "r"(me) : "cc");
        uint32_t seen = *(volatile uint32_t *)AT(CAS);
        for (uint8_t ok = 0; !ok;)
            __asm__ volatile("lock cmpxchgl %3, %0; setz %1"
                             : "+m"(*(uint32_t *)AT(CAS)), "=q"(ok), "+a"(seen)
                             : "r"(seen + 1)
                             : "cc", "memory");
    }
    return NULL;
}

static void locked_operations_are_atomic(void)
{
    area = map(2 * PAGE, PROT_READ | PROT_WRITE);
    in_threads(THREADS, adder);
    static const struct {
        const char *what;
        unsigned at, want;
    } sums[] = { { "aligned inc", ALIGNED, THREADS * ADDS },
                 { "unaligned add", ODD, THREADS * ADDS },
                 { "xadd over two lines", LINE, THREADS * ADDS },
                 { "inc over two pages", CROSSING, THREADS * ADDS / 16 },
                 { "sum under a spin lock", GUARDED, 3 * THREADS * ADDS },
                 { "low half of cmpxchg16b", WIDE, THREADS * ADDS },
                 { "high half of cmpxchg16b", WIDE + 8, 2 * THREADS * ADDS },
                 { "bits toggled", BITS, 0 },
                 { "cmpxchg", CAS, THREADS * ADDS } };
    for (unsigned k = 0; k < sizeof(sums) / sizeof(sums[0]); k++) {
        uint32_t got;
        memcpy(&got, area + sums[k].at, sizeof(got));
        if (got != sums[k].want)
            broken(sums[k].what, got, sums[k].want);
    }
    munmap(area, 2 * PAGE);
}

/* ---- memory order ---- */

enum { ORDERS = 20000 };
static _Alignas(64) volatile uint32_t flag_a;
static _Alignas(64) volatile uint32_t flag_b;
static _Alignas(64) atomic_uint turnstile[2];
static _Alignas(64) volatile uint32_t saw[2];

static void meet(unsigned me, unsigned turn)
{
    atomic_store(&turnstile[me], turn);
    while (atomic_load(&turnstile[!me]) < turn)
        relax();
}

static void *dekker(void *arg)
{
    unsigned me = (unsigned)(uintptr_t)arg;
    for (unsigned k = 1; k <= ORDERS; k++) {
        meet(me, 3 * k);
        if (me) {
            flag_a = k;
            __asm__ volatile("mfence" ::: "memory");
            saw[1] = flag_b;
        } else {
            flag_b = k;
            __asm__ volatile("mfence" ::: "memory");
            saw[0] = flag_a;
        }
        meet(me, 3 * k + 1);
        if (!me && saw[0] != k && saw[1] != k)
            broken("both stores overtook their fences in turn", k, 0);
        meet(me, 3 * k + 2);
    }
    return NULL;
}

static void *message(void *arg)
{
    unsigned me = (unsigned)(uintptr_t)arg;
    for (unsigned k = 1; k <= ORDERS; k++) {
        if (me) {
            flag_a = k;
            flag_b = k;
            while (saw[0] < k)
                relax();
        } else {
            while (flag_b < k)
                relax();
            if (flag_a < k)
                broken("the flag came before the message", flag_a, k);
            saw[0] = k;
        }
    }
    return NULL;
}

static void order_of(void *(*fn)(void *))
{
    flag_a = flag_b = saw[0] = saw[1] = 0;
    atomic_store(&turnstile[0], 0);
    atomic_store(&turnstile[1], 0);
    in_threads(2, fn);
}

static void stores_are_seen_in_order(void)
{
    order_of(dekker);
    order_of(message);
}

/* ---- code written by another CPU ---- */

enum { PATCHES = 4000 };
static uint8_t *code, *entry; /* the function; where it is called, perhaps with NOPs before it */
static atomic_uint patched, called;

static unsigned (*function(uint8_t *p))(void)
{
    return (unsigned (*)(void))(uintptr_t)p;
}

/* mov eax, value; ret */
static void put_function(uint8_t *at, unsigned value)
{
    at[0] = 0xb8;
    memcpy(at + 1, &value, 4);
    at[5] = 0xc3;
}

/* The one who patches, and one who calls behind a serializing instruction: it may not see code older than the flag. */
static void *patcher(void *arg)
{
    if (!arg) {
        for (unsigned k = 1; k <= PATCHES; k++) {
            *(volatile uint32_t *)(code + 1) = k; /* one aligned store: code starts 3 before a multiple of 4 */
            atomic_store(&patched, k);
            while (k % 4 == 0 && atomic_load(&called) + 2 < k)
                relax();
        }
        return NULL;
    }
    for (unsigned k = 0; k < PATCHES;) {
        k = atomic_load(&patched);
        serialize();
        unsigned got = function(entry)();
        if (got < k)
            broken("stale code behind a serializing instruction", got, k);
        atomic_store(&called, k);
        be_patient();
    }
    return NULL;
}

/* The same with a plain loop that calls until it sees the new code. */
static void *poller(void *arg)
{
    if (!arg) {
        for (unsigned k = 1; k <= PATCHES / 8; k++) {
            *(volatile uint32_t *)(code + 1) = k;
            while (atomic_load(&called) != k)
                relax();
        }
        return NULL;
    }
    for (unsigned k = 1; k <= PATCHES / 8; k++) {
        unsigned got;
        for (; (got = function(entry)()) < k; be_patient())
            if (got != k - 1)
                broken("code that was never there", got, k);
        atomic_store(&called, k);
    }
    return NULL;
}

static void patch(uint8_t *at, unsigned nops)
{
    code = at;
    entry = at - nops;
    memset(entry, 0x90, nops);
    put_function(code, 0);
    atomic_store(&patched, 0);
    atomic_store(&called, 0);
    in_threads(2, patcher);
    put_function(code, 0);
    atomic_store(&called, 0);
    in_threads(2, poller);
}

static void patched_code_is_seen(void)
{
    uint8_t *page = map(2 * PAGE, PROT_READ | PROT_WRITE | PROT_EXEC);
    patch(page + 67, 0);       /* the immediate is at 68 */
    patch(page + PAGE - 1, 5); /* and here in the next page */
    munmap(page, 2 * PAGE);
}

/* ---- a page that another CPU writes gets its first code ---- */

enum { FRESH = 600 };
static uint8_t *volatile fresh;
static atomic_uint fresh_nr, fresh_ready, fresh_done;

/* Thread 0 makes a page with data and runs the first code in it; thread 1 is just writing data there, and then changes the code.
 */
static void *first_code(void *arg)
{
    for (unsigned k = 1; k <= FRESH; k++) {
        if (!arg) {
            uint8_t *p = map(PAGE, PROT_READ | PROT_WRITE | PROT_EXEC);
            put_function(p, 7);
            fresh = p;
            atomic_store(&fresh_nr, k);
            while (*(volatile uint32_t *)(p + 2048) < 50 + k % 64) /* the other has the right to write by now */
                relax();
            for (unsigned n = 0; n < 1 + k % 12; n++) /* cold or hot */
                if (function(p)() != 7)
                    broken("first code", function(p)(), 7);
            atomic_store(&fresh_ready, k);
            while (atomic_load(&fresh_done) < k)
                relax();
            serialize();
            if (function(p)() != k + 8)
                broken("a store to the page's code went unnoticed", function(p)(), k + 8);
            munmap(p, PAGE);
        } else {
            while (atomic_load(&fresh_nr) < k)
                relax();
            uint8_t *p = fresh;
            for (; atomic_load_explicit(&fresh_ready, memory_order_relaxed) < k; be_patient())
                ++*(volatile uint32_t *)(p + 2048);
            *(volatile uint32_t *)(p + 1) = k + 8;
            atomic_store(&fresh_done, k);
        }
    }
    return NULL;
}

static void first_code_in_a_page_takes_rights_away(void)
{
    atomic_store(&fresh_nr, 0);
    atomic_store(&fresh_ready, 0);
    atomic_store(&fresh_done, 0);
    in_threads(2, first_code);
}

/* ---- just-in-time compilers ---- */

enum { JITS = 300 };

/* Everybody writes code, protects it, runs it, and writes it anew; what one has published the others call, too. */
static _Atomic(uint8_t *) published[THREADS];

static void *compiler(void *arg)
{
    unsigned me = (unsigned)(uintptr_t)arg;
    uint8_t *p = map(2 * PAGE, PROT_READ | PROT_WRITE);
    for (unsigned k = 1; k <= JITS; k++) {
        unsigned off = k * 61 % (PAGE + 64);
        uint8_t *f = p + off, *begin = f; /* sometimes across the page end */
        if (mprotect(p, 2 * PAGE, PROT_READ | PROT_WRITE))
            broken("mprotect", -1, 0);
        if (k % 2) { /* or not the first instruction there */
            memset(f, 0x90, 3);
            f += 3;
        }
        put_function(f, me << 16 | k);
        if (mprotect(p, 2 * PAGE, PROT_READ | PROT_EXEC))
            broken("mprotect", -1, 0);
        for (unsigned n = 0; n < 10; n++)
            if (function(begin)() != (me << 16 | k))
                broken("code just made", function(begin)(), me << 16 | k);
        uint8_t *shared = map(PAGE, PROT_READ | PROT_WRITE);
        put_function(shared + k % 2048, me << 16 | k);
        (void)mprotect(shared, PAGE, PROT_READ | PROT_EXEC);
        atomic_store(&published[me], shared + k % 2048);
        uint8_t *other = atomic_load(&published[(me + 1) % THREADS]);
        if (other && function(other)() >> 16 != (me + 1) % THREADS)
            broken("another's code", function(other)() >> 16, (me + 1) % THREADS);
    }
    return NULL;
}

static void compiled_code_runs(void)
{
    for (unsigned k = 0; k < THREADS; k++)
        atomic_store(&published[k], NULL);
    in_threads(THREADS, compiler);
}

/* ---- mappings ---- */

enum { SHOTS = 100 };
static uint8_t *target;
static atomic_uint shot;
static _Thread_local sigjmp_buf back;

static void on_segv(int sig)
{
    (void)sig;
    siglongjmp(back, 1);
}

/* The others write for as long as they may; behind mprotect() nothing may change any more. */
static void *shooter(void *arg)
{
    volatile uint32_t *word = (volatile uint32_t *)(target + 64 * (uintptr_t)arg);
    if (arg) {
        (void)sigsetjmp(back, 1);
        while (atomic_load_explicit(&shot, memory_order_relaxed) < SHOTS)
            for (unsigned k = 0; k < 100; k++)
                ++*word;
        return NULL;
    }
    for (unsigned k = 1; k <= SHOTS; k++) {
        uint32_t before[THREADS];
        if (mprotect(target, PAGE, PROT_READ))
            broken("mprotect", -1, 0);
        for (unsigned n = 1; n < THREADS; n++)
            before[n] = *(volatile uint32_t *)(target + 64 * n);
        for (unsigned n = 0; n < 2000; n++)
            __asm__ volatile("pause" ::: "memory");
        for (unsigned n = 1; n < THREADS; n++)
            if (*(volatile uint32_t *)(target + 64 * n) != before[n])
                broken("written behind mprotect", *(volatile uint32_t *)(target + 64 * n), before[n]);
        if (mprotect(target, PAGE, PROT_READ | PROT_WRITE))
            broken("mprotect", -1, 0);
        atomic_store(&shot, k);
    }
    return NULL;
}

static void rights_end_when_mprotect_returns(void)
{
    struct sigaction sa = { .sa_handler = on_segv, .sa_flags = SA_NODEFER };
    sigaction(SIGSEGV, &sa, NULL);
    target = map(PAGE, PROT_READ | PROT_WRITE);
    atomic_store(&shot, 0);
    in_threads(THREADS, shooter);
    munmap(target, PAGE);
    signal(SIGSEGV, SIG_DFL);
}

/* ---- waiting ---- */

enum { PINGS = 3000 };
static atomic_uint ball;

static long futex(atomic_uint *word, int op, unsigned value)
{
    return syscall(SYS_futex, word, op | FUTEX_PRIVATE_FLAG, value, NULL, NULL, 0);
}

static void *player(void *arg)
{
    unsigned me = (unsigned)(uintptr_t)arg;
    for (unsigned k = me; k < PINGS; k += 2) {
        unsigned now;
        while ((now = atomic_load(&ball)) != k) {
            if (now > k)
                broken("the ball", now, k);
            futex(&ball, FUTEX_WAIT, now);
        }
        atomic_store(&ball, k + 1);
        futex(&ball, FUTEX_WAKE, 1);
    }
    return NULL;
}

static void nobody_sleeps_through_a_futex(void)
{
    atomic_store(&ball, 0);
    in_threads(2, player);
    if (atomic_load(&ball) != PINGS)
        broken("pings", atomic_load(&ball), PINGS);
}

/* One side has only compiler barriers, the other membarrier(). */
enum { BARRIERS = 500 };

static void *asymmetric(void *arg)
{
    unsigned me = (unsigned)(uintptr_t)arg;
    for (unsigned k = 1; k <= BARRIERS; k++) {
        meet(me, 3 * k);
        if (me) {
            flag_a = k;
            if (syscall(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0, 0))
                broken("membarrier", -1, 0);
            saw[1] = flag_b;
        } else {
            flag_b = k;
            __asm__ volatile("" ::: "memory");
            saw[0] = flag_a;
        }
        meet(me, 3 * k + 1);
        if (!me && saw[0] != k && saw[1] != k)
            broken("a store overtook membarrier()", k, 0);
        meet(me, 3 * k + 2);
    }
    return NULL;
}

static void membarrier_is_a_barrier_everywhere(void)
{
    if (syscall(SYS_membarrier, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED, 0, 0))
        broken("membarrier registration", -1, 0);
    order_of(asymmetric);
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        void (*fn)(void);
    } laws[] = {
#define LAW(name) { #name, name }
        LAW(locked_operations_are_atomic),
        LAW(stores_are_seen_in_order),
        LAW(patched_code_is_seen),
        LAW(compiled_code_runs),
        LAW(first_code_in_a_page_takes_rights_away),
        LAW(rights_end_when_mprotect_returns),
        LAW(nobody_sleeps_through_a_futex),
        LAW(membarrier_is_a_barrier_everywhere),
    };
    rounds = argc > 1 ? (unsigned)atoi(argv[1]) : 1;
    for (unsigned r = 0; r < rounds; r++)
        for (unsigned k = 0; k < sizeof(laws) / sizeof(laws[0]); k++) {
            struct timespec a, b;
            law = laws[k].name;
            if (argc > 2 && strcmp(argv[2], law) != 0)
                continue;
            clock_gettime(CLOCK_MONOTONIC, &a);
            laws[k].fn();
            clock_gettime(CLOCK_MONOTONIC, &b);
            printf("ok %6.3f s %s\n", (double)(b.tv_sec - a.tv_sec) + (double)(b.tv_nsec - a.tv_nsec) / 1e9, law);
            fflush(stdout);
        }
    return 0;
}
