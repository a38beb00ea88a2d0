/* SPDX-License-Identifier: MIT */
/*
 * A tiny kernel: preemptive threads, a timer, user mode, page faults on demand, system calls.
 *
 * It says what it did, the same on every engine and in both builds but for its first line, and ends through the debug exit
 * port: 0 when all was right.
 */
#include "tiny.h"
#include "user.h"

enum { THREADS = 3, THREAD_STACK = 8192, WORK = 1000, WINDOW_ROUNDS = 20, WINDOW_PAGES = 64, DEMAND_PAGES = 24 };
#define WINDOW 0x48000000UL
#define DEMAND 0x50000000UL

struct thread {
    void *rsp;
    unsigned depth;
    bool done;
};

extern uint8_t user_pages[], user_size[];

static struct thread thread[THREADS + 1]; /* 0: the first, kmain */
static uint8_t thread_stack[THREADS][THREAD_STACK] __attribute__((aligned(16)));
static unsigned current;
static volatile uint64_t shared_sum;
static uint64_t user_faults, demand_faults;

static void fail(const char *what)
{
    print("FAILED: ");
    print(what);
    print("\n");
    power_off(1);
}

/* ---- threads ---- */

/* Interrupts are off. */
static void schedule(void)
{
    unsigned old = current, next = old;
    do
        next = (next + 1) % (THREADS + 1);
    while (thread[next].done || !thread[next].rsp);
    if (next == old)
        return;
    thread[old].depth = irq_depth;
    current = next;
    irq_depth = thread[next].depth;
    switch_stack(&thread[old].rsp, thread[next].rsp);
}

static void thread_main(void)
{
    unsigned me = current;
    irq_on();
    for (uint64_t k = 1; k <= WORK; k++) {
        irq_off();
        uint64_t sum = shared_sum;
        for (volatile unsigned spin = 0; spin < 20; spin++)
            ;
        shared_sum = sum + me * k;
        irq_on();
        if (k % 50 == 0) {
            irq_off();
            schedule();
            irq_on();
        }
    }
    irq_off();
    thread[me].done = true;
    schedule();
    __builtin_unreachable();
}

static void thread_start(unsigned k)
{
    uint64_t *top = (uint64_t *)(thread_stack[k - 1] + THREAD_STACK) - 2;
    *top = (uint64_t)thread_main;
    thread[k] = (struct thread){ .rsp = top - 6, .depth = 1 };
}

static void run_threads(void)
{
    uint64_t expected = 0, before = ticks;
    irq_off();
    thread[0].rsp = &thread[0]; /* it is running: any value but 0 */
    for (unsigned k = 1; k <= THREADS; k++) {
        thread_start(k);
        expected += (uint64_t)k * WORK * (WORK + 1) / 2;
    }
    irq_on();
    for (;;) {
        bool all = true;
        for (unsigned k = 1; k <= THREADS; k++)
            all &= thread[k].done;
        if (all && ticks - before >= 5)
            break;
        if (all)
            idle();
        else {
            irq_off();
            schedule();
            irq_on();
        }
    }
    if (shared_sum != expected)
        fail("the threads' sum");
    print("threads: the sum is ");
    print_number(shared_sum);
    print(", the timer ticks\n");
}

/* ---- page tables ---- */

static void window(bool map, uint8_t *page[2])
{
    for (unsigned k = 0; k < WINDOW_PAGES; k++) {
        uintptr_t va = WINDOW + k * PAGE;
        pte_set(pte_of(va), map ? (uintptr_t)page[k % 2] | PTE_P | PTE_W | PTE_NX : 0, va);
    }
    pte_flush();
}

static void change_mappings(void)
{
    uint8_t *page[2] = { page_new(), page_new() };
    uint64_t sum = 0;
    for (unsigned round = 0; round < WINDOW_ROUNDS; round++) {
        page[0][0] = (uint8_t)round;
        window(true, page);
        for (unsigned k = 0; k < WINDOW_PAGES; k += 16)
            sum += *(volatile uint8_t *)(WINDOW + k * PAGE);
        window(false, page);
    }
    if (sum != 4 * WINDOW_ROUNDS * (WINDOW_ROUNDS - 1) / 2)
        fail("pages of the window");
    print("mappings: ");
    print_number(2UL * WINDOW_ROUNDS * WINDOW_PAGES);
    print(" changes\n");
}

/* A page that was not there: of the kernel's area for that, the user's heap, or its stack. */
static bool demand(uintptr_t va, bool user)
{
    bool of_kernel = va - DEMAND < (uint64_t)DEMAND_PAGES * PAGE;
    bool of_user = va - USER_HEAP < (uint64_t)USER_HEAP_PAGES * PAGE || USER_STACK - 1 - va < 4 * PAGE;
    if (!(of_kernel && !user) && !of_user)
        return false;
    demand_faults++;
    pte_set(pte_of(va), (uintptr_t)page_new() | PTE_P | PTE_W | (of_user ? PTE_U : 0) | PTE_NX, va);
    pte_flush();
    return true;
}

static void fault_pages_in(void)
{
    volatile uint8_t *area = (uint8_t *)DEMAND;
    uint64_t sum = 0;
    for (unsigned k = 0; k < DEMAND_PAGES; k++)
        area[k * PAGE + k] = 1;
    for (unsigned k = 0; k < DEMAND_PAGES; k++)
        sum += area[k * PAGE + k] + area[k * PAGE + 100];
    if (sum != DEMAND_PAGES || demand_faults != DEMAND_PAGES)
        fail("pages on demand");
    print("faults: ");
    print_number(demand_faults);
    print(" pages on demand\n");
}

/* ---- user mode ---- */

uint64_t on_syscall(uint64_t nr, uint64_t a, uint64_t b)
{
    irq_depth++;
    uint64_t result = ~0ULL;
    switch (nr) {
    case SYS_EXIT: irq_on(); end_user((int)a);
    case SYS_WRITE:
        if (a >= USER && b < PAGE && a - USER < (uint64_t)user_size) {
            console((const char *)((uintptr_t)user_pages + (a - USER)), b);
            result = b;
        }
        break;
    case SYS_ADD: result = a + b; break;
    case SYS_FAULTS: result = user_faults; break;
    }
    irq_depth--;
    return result;
}

static void run_program(void)
{
    uint64_t before = demand_faults;
    for (uintptr_t at = 0; at < (uintptr_t)user_size; at += PAGE)
        pte_set(pte_of(USER + at), ((uintptr_t)user_pages + at) | PTE_P | PTE_W | PTE_U, USER + at);
    pte_flush();
    int status = run_user((uintptr_t)user_main, USER_STACK - 8);
    if (status == STATUS_NO_SYSCALL) {
        print("user: this machine's SYSCALL stays in ring 3, so INT3 serves\n");
        user_pages[(uintptr_t)&user_without_syscall - USER] = 1;
        status = run_user((uintptr_t)user_main, USER_STACK - 8);
    }
    if (status)
        fail("the user program");
    print("user: ");
    print_number(user_faults);
    print(" faults skipped, ");
    print_number(demand_faults - before);
    print(" pages on demand\n");
}

/* What the program may not do counts, and is skipped. */
static bool skip_in_user(struct frame *f)
{
    uint8_t opcode = ((const uint8_t *)user_pages)[f->rip - USER];
    if (f->cs != USER_CS || f->rip - USER >= (uint64_t)user_size
        || (f->vector != DE && f->vector != UD && f->vector != GP && f->vector != PF))
        return false;
    user_faults++;
    f->rip += opcode == 0xfa || opcode == 0xf4 ? 1 : 2;
    return true;
}

void on_trap(struct frame *f)
{
    uint64_t cr2;
    if (f->vector == SYS_VECTOR) {
        f->rax = on_syscall(f->rax, f->rdi, f->rsi);
        return;
    }
    irq_depth++;
    if (timer_interrupt(f)) {
        if (f->cs == KERNEL_CS && thread[0].rsp)
            schedule();
    } else if (syscall_stayed_in_user(f)) {
        irq_on();
        end_user(STATUS_NO_SYSCALL);
    } else if (f->vector == PF) {
        __asm__ volatile("mov %%cr2, %0" : "=r"(cr2));
        if (!((f->error & 1) == 0 && demand(cr2, f->cs == USER_CS)) && !skip_in_user(f))
            fail("a page fault");
    } else if (!skip_in_user(f)) {
        print_number(f->vector);
        fail(" is an exception nobody expected");
    }
    irq_depth--;
}

void kmain(void)
{
    machine_init();
    user_mode_init();
    print("tiny: ");
    print(machine_kind);
    print("\n");
    irq_on();
    uint64_t begin = clock_ns();
    run_threads();
    change_mappings();
    fault_pages_in();
    run_program();
    if (clock_ns() < begin)
        fail("the clock");
    print("tiny: all is well\n");
    power_off(0);
}
