/* SPDX-License-Identifier: MIT */
/*
 * What Popek and Goldberg's theorem is about, in one page: a kernel that turns interrupts off with POPF and reads its mode from
 * CS.
 *
 * Both instructions are sensitive and neither traps in user mode. The native build believes them; the paravirtualized one asks
 * the shared page and the monitor. It says what it saw and ends with 0 if a kernel on the bare machine would have seen that,
 * else 1.
 */
#include "tiny/tiny.h"

enum { FLAG_IF = 1 << 9, WATCH_MS = 40 };

/* The deed under test. */
static void turn_interrupts_off(void)
{
#ifdef PARAVIRT
    irq_off();
#else
    uint64_t flags;
    __asm__ volatile("pushfq; pop %0; and %1, %0; push %0; popfq" : "=&r"(flags) : "r"(~(uint64_t)FLAG_IF) : "memory", "cc");
#endif
}

/* What happens in the meantime needs no clock that traps: the timer's rate tells how far the TSC gets in a tick. */
static uint64_t ticks_while(uint64_t tsc)
{
    uint64_t before = ticks, begin = rdtsc();
    while (rdtsc() - begin < tsc)
        ;
    return *(volatile uint64_t *)&ticks - before;
}

static uint64_t tsc_of_tick(void)
{
    uint64_t begin, tick;
    idle();
    tick = ticks;
    begin = rdtsc();
    while (*(volatile uint64_t *)&ticks < tick + 4)
        idle();
    return (rdtsc() - begin) / 4;
}

void on_trap(struct frame *f)
{
    if (!timer_interrupt(f))
        power_off(2);
}

uint64_t on_syscall(uint64_t nr, uint64_t a, uint64_t b)
{
    (void)nr, (void)a, (void)b;
    return 0;
}

static void say(const char *what, uint64_t v)
{
    print(what);
    print_number(v);
    print("\n");
}

void kmain(void)
{
    machine_init();
    irq_on();
    uint64_t tsc = tsc_of_tick();
    turn_interrupts_off();
    bool enabled = irq_enabled();
    uint64_t came = ticks_while(tsc * WATCH_MS * TIMER_HZ / 1000);
    unsigned level = mode();
    print("popf: ");
    print(machine_kind);
    say("\nmode ", level);
    say("interrupts_enabled ", enabled);
    say("interrupts_came ", came != 0);
    power_off(level != 0 || enabled || came);
}
