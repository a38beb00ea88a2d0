/* SPDX-License-Identifier: MIT */
/*
 * What leaves the guest, and what it costs: the nanobenchmarks of Adams and Agesen, in cycles of the TSC.
 *
 * Each operation is done ROUND times, ROUNDS times over, between two readings of the TSC; the median is printed as "name cycles",
 * with the empty loop taken off. No interrupts come.
 *
 * Spec: K. Adams, O. Agesen, "A Comparison of Software and Hardware Techniques for x86 Virtualization", ASPLOS 2006, section 6.3
 */
#include "exits.h"
#include "tiny/tiny.h"

enum { ROUND = 400, ROUNDS = 9, PIC_MASK = 0x21, PTES = 64 };
#define MISSING 0x50000000UL
#define WINDOW 0x48000000UL

extern uint8_t user_pages[], user_size[];

static uint64_t empty_loop;

static void __attribute__((noinline)) do_nothing(void)
{
    __asm__ volatile("");
}

static void do_in(void)
{
    (void)inb(PIC_MASK);
}

static void do_cr8(void)
{
    __asm__ volatile("mov %0, %%cr8" : : "r"(0UL));
}

static void do_call(void)
{
    do_nothing();
}

/* The handlers of these skip two bytes. */
static void do_fault(void)
{
    __asm__ volatile("movb (%0), %%al" : : "D"(MISSING) : "rax");
}

static void do_divide(void)
{
    __asm__ volatile("divl %%ecx" : : "c"(0) : "rax", "rdx");
}

static void sort(uint64_t *v)
{
    for (unsigned i = 1; i < ROUNDS; i++)
        for (unsigned k = i; k > 0 && v[k] < v[k - 1]; k--) {
            uint64_t t = v[k];
            v[k] = v[k - 1];
            v[k - 1] = t;
        }
}

static void report(const char *name, uint64_t v[ROUNDS], unsigned times)
{
    sort(v);
    uint64_t cycles = v[ROUNDS / 2] / times;
    print(name);
    print(" ");
    print_number(cycles > empty_loop ? cycles - empty_loop : 0);
    print("\n");
}

/* Inlined with each `what`, so that only what is measured is in the loop. */
static inline __attribute__((always_inline)) void measure(const char *name, void (*what)(void))
{
    uint64_t v[ROUNDS];
    for (unsigned r = 0; r < ROUNDS; r++) {
        uint64_t begin = rdtsc();
        for (unsigned k = 0; k < ROUND; k++) {
            what();
            __asm__ volatile("");
        }
        v[r] = rdtsc() - begin;
    }
    if (name) {
        report(name, v, ROUND);
    } else {
        sort(v);
        empty_loop = v[ROUNDS / 2] / ROUND;
    }
}

static inline void do_empty(void)
{
}

/* Entries changed and their pages touched; in batches, where the machine has them. */
static void measure_ptes(void)
{
    uint64_t v[ROUNDS];
    uint8_t *page[2] = { page_new(), page_new() };
    for (unsigned r = 0; r < ROUNDS; r++) {
        uint64_t begin = rdtsc();
        for (unsigned k = 0; k < PTES; k++)
            pte_set(pte_of(WINDOW + k * PAGE), (uintptr_t)page[r % 2] | PTE_P | PTE_W, WINDOW + k * PAGE);
        pte_flush();
        v[r] = rdtsc() - begin;
    }
    report("pte_change", v, PTES);
}

static void measure_syscalls(void)
{
    uint64_t v[ROUNDS];
    for (uintptr_t at = 0; at < (uintptr_t)user_size + PAGE; at += PAGE)
        pte_set(pte_of(USER + at), ((uintptr_t)user_pages + at) | PTE_P | PTE_W | PTE_U, USER + at);
    pte_flush();
    for (unsigned r = 0; r < ROUNDS; r++)
        v[r] = (unsigned)run_user((uintptr_t)exits_user_main, USER + (uintptr_t)user_size + PAGE - 8);
    report("syscall", v, EXITS_SYSCALLS);
}

uint64_t on_syscall(uint64_t nr, uint64_t a, uint64_t b)
{
    (void)b;
    if (nr == EXITS_END)
        end_user((int)a);
    return a;
}

void on_trap(struct frame *f)
{
    if (timer_interrupt(f))
        return;
    if (syscall_stayed_in_user(f)) { /* it is measured last */
        print("no_syscall 1\n");
        power_off(0);
    }
    if ((f->vector != DE && f->vector != PF) || f->cs != KERNEL_CS) /* the program makes none */
        power_off(1);
    f->rip += 2;
}

void kmain(void)
{
    machine_init();
    user_mode_init();
    outb(PIC_MASK, 0xff);
    measure(NULL, do_empty);
    measure("in", do_in);
    measure("cr8_write", do_cr8);
    measure("call_return", do_call);
    measure("page_fault", do_fault);
    measure("divide_by_zero", do_divide);
    measure_ptes();
    measure_syscalls();
    power_off(0);
}
