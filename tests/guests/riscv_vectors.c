/* SPDX-License-Identifier: MIT */
/*
 * A Linux program for riscv64 whose processes use vectors at the same time: the kernel must keep them apart across switches,
 * forks, signals and page faults. Prints one line a law; status 0: all hold, 1: not, 3: the kernel offers no vectors.
 *
 * usage: riscv_vectors [PROCESSES [ROUNDS]]. Compiled by clang, without libc.
 */
#include "riscv_vector_work.h"

__asm__(".globl _start\n_start:\nmv a0, sp\nandi sp, sp, -16\ncall start\n");

enum { READ_WRITE = 3, READ = 1, SIGALRM = 14, SIGSEGV = 11, AT_HWCAP = 16, EINTR = 4, BATCHES_MAX = 1000 };
enum {
    MADVISE = 233,
    MMAP = 222,
    MPROTECT = 226,
    CLONE = 220,
    WAIT4 = 260,
    EXIT = 93,
    WRITE = 64,
    SIGACTION = 134,
    SETITIMER = 103
};

static long call(long n, u64 a, u64 b, u64 c, u64 d, u64 e, u64 f)
{
    register u64 a0 __asm__("a0") = a, a1 __asm__("a1") = b, a2 __asm__("a2") = c, a3 __asm__("a3") = d, a4 __asm__("a4") = e,
                    a5 __asm__("a5") = f;
    register long a7 __asm__("a7") = n;
    __asm__ volatile("ecall" : "+r"(a0) : "r"(a1), "r"(a2), "r"(a3), "r"(a4), "r"(a5), "r"(a7) : "memory");
    return (long)a0;
}

static void put(const char *s)
{
    u64 n = 0;
    while (s[n])
        n++;
    (void)call(WRITE, 1, (u64)s, n, 0, 0, 0);
}

static int say(const char *law, int holds)
{
    put(law);
    put(holds ? ": ok\n" : ": WRONG\n");
    return !holds;
}

/* Names what a law is broken by, for whoever reads the output. */
static void blame(const char *what, u64 number)
{
    char text[22] = " ................ \n";
    for (int k = 16; k >= 1; k--, number >>= 4)
        text[k] = "0123456789abcdef"[number & 15];
    put(what);
    put(text);
}

static struct vector_task task;
static volatile u64 signals, faults;

/* Changes all of the vectors' state, which is not the interrupted program's to lose, and takes the area away. */
static void on_alarm(int signal)
{
    (void)signal;
    signals++;
    __asm__ volatile("vsetvli t0, zero, e8, m8, ta, ma\n\tvmv.v.i v0, 1\n\tvmv.v.i v8, 2\n\tvmv.v.i v16, 3\n\tvmv.v.i v24, "
                     "4\n\tcsrwi vcsr, 5\n\t"
                     "vsetvli t0, zero, e64, m1, ta, ma" ::
                         : "t0", "memory");
    (void)call(MADVISE, (u64)task.area, AREA, 4 /* DONTNEED: a shared page stays what it is, but faults again */, 0, 0, 0);
    if (signals % 3 == 0)
        (void)call(MPROTECT, (u64)task.area, AREA, signals % 2 ? READ : 0, 0, 0, 0);
}

/* siginfo's address is of a page that on_alarm() locked: opens it. */
static void on_fault(int signal, const u64 *info)
{
    (void)signal;
    u64 page = info[2] & ~4095UL;
    faults++;
    __asm__ volatile("vsetvli t0, zero, e16, m8, ta, ma\n\tvmv.v.i v0, 7\n\tvmv.v.i v8, 7\n\tvmv.v.i v16, 7\n\tvmv.v.i v24, "
                     "7\n\tcsrwi vcsr, 2" ::
                         : "t0", "memory");
    if (page < (u64)task.area || page >= (u64)task.area + AREA) {
        put("a fault elsewhere\n");
        (void)call(EXIT, 2, 0, 0, 0, 0, 0);
    }
    (void)call(MPROTECT, page, 4096, READ_WRITE, 0, 0, 0);
}

static void catch (int signal, void *handler)
{
    u64 action[3] = { (u64)handler, 4 /* SA_SIGINFO */, 0 };
    (void)call(SIGACTION, (u64)signal, (u64)action, 0, 8, 0, 0);
}

static long fork(void)
{
    return call(CLONE, 17 /* SIGCHLD */, 0, 0, 0, 0, 0);
}

static int child_failed(void)
{
    u32 status = 0;
    long r;
    do {
        r = call(WAIT4, ~0UL, (u64)&status, 0, 0, 0, 0);
    } while (r == -EINTR);
    return r < 0 || status;
}

/* One process: forks in the middle, and both halves go on with what they had. */
static int work(u64 seed, u64 rounds)
{
    task.area = (u8 *)call(MMAP, 0, AREA, READ_WRITE, 0x21 /* shared, of no file */, ~0UL, 0);
    task.seed = seed * 0x9e3779b97f4a7c15 + 1;
    task.spins = 40000;
    task.rounds = rounds;
    catch (SIGALRM, on_alarm);
    catch (SIGSEGV, on_fault);
    u64 every[4] = { 0, 3000, 0, 3000 }; /* us */
    (void)call(SETITIMER, 0, (u64)every, 0, 0, 0, 0);
    for (u64 k = 0; k < BATCHES_MAX && signals < 10; k++)
        vector_work(&task);
    long pid = fork();
    if (!pid) {
        u8 *shared = task.area; /* an area of its own; timers are not inherited */
        task.area = (u8 *)call(MMAP, 0, AREA, READ_WRITE, 0x22 /* private */, ~0UL, 0);
        task.seed += 12345;
        (void)shared;
    }
    vector_work(&task);
    if (!pid)
        return task.wrong != 0;
    u64 never[4] = { 0 };
    (void)call(SETITIMER, 0, (u64)never, 0, 0, 0, 0);
    return pid < 0 || child_failed() || task.wrong || !signals || !task.checked;
}

/* Pages that a fork shared are copied when a vector store comes to them, each at its element. */
static int copies_on_write(void)
{
    u8 *p = (u8 *)call(MMAP, 0, AREA, READ_WRITE, 0x22, ~0UL, 0);
    for (u64 k = 0; k < AREA; k++)
        p[k] = (u8)(k >> 4);
    long pid = fork();
    u64 vl, bad = 0, mine = pid ? 0x1111111111111111 : 0x2222222222222222;
    __asm__ volatile("vsetvli %0, %1, e64, m8, ta, ma\n\tvmv.v.x v8, %2\n\tvsse64.v v8, (%3), %4"
                     : "=&r"(vl)
                     : "r"(16UL), "r"(mine), "r"(p), "r"(4096UL)
                     : "memory");
    for (u64 k = 0; k < AREA; k++)
        bad += p[k] != (k % 4096 < 8 && k / 4096 < vl ? (u8)mine : (u8)(k >> 4));
    if (!pid)
        (void)call(EXIT, bad != 0, 0, 0, 0, 0, 0);
    return bad || child_failed();
}

static u64 number(const char *s)
{
    u64 n = 0;
    for (; *s; s++)
        n = 10 * n + (u64)(*s - '0');
    return n;
}

static int has_vectors(u64 *environment)
{
    while (*environment)
        environment++;
    for (u64 *auxv = environment + 1; *auxv; auxv += 2)
        if (*auxv == AT_HWCAP)
            return auxv[1] >> ('v' - 'a') & 1;
    return 0;
}

void start(u64 *stack)
{
    u64 argc = *stack, n = argc > 1 ? number((char *)stack[2]) : 6, rounds = argc > 2 ? number((char *)stack[3]) : 30;
    if (!has_vectors(stack + argc + 2)) {
        put("this kernel offers no vectors\n");
        (void)call(EXIT, 3, 0, 0, 0, 0, 0);
    }
    for (u64 k = 0; k < n; k++) {
        if (!fork()) {
            int bad = work(k + 1, rounds);
            if (bad) {
                blame("a process: WRONG, comparisons", task.wrong);
                blame("the last of kind", task.where);
                blame("of", task.checked);
                blame("signals", signals);
                blame("pid", k);
            }
            (void)call(EXIT, (u64)bad, 0, 0, 0, 0, 0);
        }
    }
    int bad = 0;
    for (u64 k = 0; k < n; k++)
        bad += child_failed();
    bad = say("processes keep their vectors across switches, signals and faults", !bad);
    bad |= say("pages are copied at the element that writes first", !copies_on_write());
    (void)call(EXIT, (u64)bad, 0, 0, 0, 0, 0);
}
