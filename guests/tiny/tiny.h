/* SPDX-License-Identifier: MIT */
/*
 * What our 64-bit guests share: the machine, native or paravirtualized (-DPARAVIRT), behind one set of functions.
 *
 * Interrupts nest by a count, not by saved flags: PUSHF and POPF are what this is about. One CPU.
 */
#ifndef DOPPEL_GUESTS_TINY_H
#define DOPPEL_GUESTS_TINY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { PAGE = 4096, TIMER_HZ = 100, TIMER_VECTOR = 0x20, SYS_VECTOR = 3 /* INT3 is a system call, too */ };
enum { DE = 0, UD = 6, GP = 13, PF = 14 }; /* vectors */
enum { KERNEL_CS = 0x08, TSS_SEL = 0x18, USER_DS = 0x43, USER_CS = 0x4b };
#define USER 0x40000000UL /* where the user's part of the address space begins; all below is mapped one to one */
enum { PTE_P = 1, PTE_W = 2, PTE_U = 4 };
#define PTE_NX (1ULL << 63)

/* What boot.S pushes. */
struct frame {
    uint64_t rax, rbx, rcx, rdx, rsi, rdi, rbp, r8, r9, r10, r11, r12, r13, r14, r15;
    uint64_t vector, error;
    uint64_t rip, cs, rflags, rsp, ss;
};

static inline void outb(uint16_t port, uint8_t v)
{
    __asm__ volatile("outb %0, %1" : : "a"(v), "Nd"(port));
}

static inline uint8_t inb(uint16_t port)
{
    uint8_t v;
    __asm__ volatile("inb %1, %0" : "=a"(v) : "Nd"(port));
    return v;
}

static inline uint64_t rdtsc(void)
{
    uint32_t lo, hi;
    __asm__ volatile("rdtsc" : "=a"(lo), "=d"(hi));
    return (uint64_t)hi << 32 | lo;
}

/* ---- machine.c, or machine_pv.c for those that differ ---- */
extern const char machine_kind[];
extern const uint8_t machine_gate;   /* type of an IDT entry: interrupt or trap gate */
extern const bool machine_ends_irqs; /* the 8259 waits to be told; else it ends each interrupt when the CPU takes it */
/* Tables, interrupt controller, timer; interrupts are off, and stay so until irq_on(). */
void machine_init(void);
/* System calls, and a stack for what comes from user mode. */
void user_mode_init(void);
void machine_init_pv(void); /* machine_pv.c's part of it */
void irq_off(void);
void irq_on(void);
/* Interrupts on, and sleep until one came. Not within irq_off(). */
void idle(void);
/* Whether interrupts can come now, and the privilege level we run at, as the kernel sees them. */
bool irq_enabled(void);
unsigned mode(void);
/* May keep it until idle(), power_off() or console_flush(). */
void console(const char *text, size_t len);
void console_flush(void);
/* Since some moment; ns, about. */
uint64_t clock_ns(void);
/* Begins, collects and ends changes of page tables; value 0 unmaps. At most PTES_MAX between begin and end. */
enum { PTES_MAX = 128 };
void pte_set(uint64_t *entry, uint64_t value, uintptr_t va);
void pte_flush(void);
_Noreturn void power_off(uint32_t status);

/* ---- lib of the two: machine.c ---- */
extern uint64_t ticks;
/* The entry of va in [USER, USER + 1 GiB), its table made if need be. */
uint64_t *pte_of(uintptr_t va);
/* A zeroed page, never given back. */
void *page_new(void);
void print(const char *text);
void print_number(uint64_t v);
/* What boot.S calls, the kernel's. */
void kmain(void);
void on_trap(struct frame *f);
uint64_t on_syscall(uint64_t nr, uint64_t a, uint64_t b);
/* From on_trap(): it is the timer, and was served. */
bool timer_interrupt(const struct frame *f);
/* It is a SYSCALL that did not enter ring 0, as under some host's KVM. RCX is lost, so the program cannot go on. */
bool syscall_stayed_in_user(const struct frame *f);
/* Irq nesting of the running thread. */
extern unsigned irq_depth;

/* boot.S */
void syscall_entry(void); /* where SYSCALL goes, in ring 0 if the machine does it right */
int run_user(uintptr_t entry, uintptr_t stack);
_Noreturn void end_user(int status);
void switch_stack(void **save_rsp, void *rsp);

#endif
