/* SPDX-License-Identifier: MIT */
/*
 * The machine of our 64-bit guests: descriptor tables, 8259, 8254, page tables, printing.
 *
 * Spec: Intel SDM 3A 6.14, 7.7; 8259A and 8254 data sheets
 */
#include "tiny.h"

enum { PIC1 = 0x20, PIT = 0x40, PIT_HZ = 1193182, EOI = 0x20, DEBUG_EXIT = 0xf4, ICW4_8086 = 1, ICW4_AEOI = 2 };
enum { MSR_STAR = 0xc0000081, MSR_LSTAR, MSR_CSTAR, MSR_FMASK };
enum { POOL_PAGES = 256 };

extern const uint64_t vectors[48];
extern uint64_t gdt[], kernel_rsp, pd_high[512];

static struct {
    uint64_t lo, hi;
} idt[48] __attribute__((aligned(16)));
static struct {
    uint32_t reserved;
    uint64_t rsp[3], rest[11];
    uint16_t rest2, io_map;
} __attribute__((packed, aligned(16))) tss;
static uint8_t pool[POOL_PAGES][PAGE] __attribute__((aligned(PAGE)));
static unsigned pool_used;

uint64_t ticks;
unsigned irq_depth;

static void wrmsr(uint32_t msr, uint64_t v)
{
    __asm__ volatile("wrmsr" : : "c"(msr), "a"((uint32_t)v), "d"((uint32_t)(v >> 32)));
}

static void tables_init(void)
{
    for (unsigned v = 0; v < 48; v++) {
        uint64_t at = vectors[v];
        uint64_t type = machine_gate | (v == SYS_VECTOR ? 0x60 : 0);
        idt[v].lo = (at & 0xffff) | KERNEL_CS << 16 | type << 40 | (at >> 16 & 0xffff) << 48;
        idt[v].hi = at >> 32;
    }
    const struct {
        uint16_t limit;
        uint64_t base;
    } __attribute__((packed)) pointer = { sizeof(idt) - 1, (uint64_t)idt };
    __asm__ volatile("lidt %0" : : "m"(pointer));
}

void user_mode_init(void)
{
    uint64_t at = (uint64_t)&tss;
    tss.rsp[0] = kernel_rsp;
    tss.io_map = sizeof(tss);
    gdt[TSS_SEL / 8] = (sizeof(tss) - 1) | (at & 0xffffff) << 16 | 0x89ULL << 40 | (at >> 24 & 0xff) << 56;
    gdt[TSS_SEL / 8 + 1] = at >> 32;
    __asm__ volatile("ltr %w0" : : "r"(TSS_SEL));
    wrmsr(MSR_STAR, (uint64_t)(USER_DS - 8) << 48 | (uint64_t)KERNEL_CS << 32);
    wrmsr(MSR_LSTAR, (uint64_t)syscall_entry);
    wrmsr(MSR_FMASK, 0x40700);
}

static void timer_init(void)
{
    outb(PIC1, 0x11);
    outb(PIC1 + 1, TIMER_VECTOR);
    outb(PIC1 + 1, 4);
    outb(PIC1 + 1, machine_ends_irqs ? ICW4_8086 : ICW4_8086 | ICW4_AEOI);
    outb(PIC1 + 1, 0xfe); /* the timer alone, and none of the second chip's */
    outb(PIT + 3, 0x34);
    outb(PIT, (PIT_HZ / TIMER_HZ) & 0xff);
    outb(PIT, PIT_HZ / TIMER_HZ >> 8);
}

void machine_init(void)
{
    irq_depth = 1;
    tables_init();
    timer_init();
    machine_init_pv();
}

bool timer_interrupt(const struct frame *f)
{
    if (f->vector != TIMER_VECTOR)
        return false;
    ticks++;
    if (machine_ends_irqs)
        outb(PIC1, EOI);
    return true;
}

bool syscall_stayed_in_user(const struct frame *f)
{
    return f->vector == PF && f->cs == USER_CS && f->rip == (uintptr_t)syscall_entry;
}

void *page_new(void)
{
    if (pool_used == POOL_PAGES) {
        print("out of pages\n");
        power_off(99);
    }
    return pool[pool_used++];
}

uint64_t *pte_of(uintptr_t va)
{
    uint64_t *pde = &pd_high[(va - USER) >> 21 & 511];
    if (!*pde)
        *pde = (uint64_t)page_new() | PTE_P | PTE_W | PTE_U;
    uint64_t *table = (uint64_t *)(*pde & ~0xfffULL);
    return &table[va >> 12 & 511];
}

void print(const char *text)
{
    size_t n = 0;
    while (text[n])
        n++;
    console(text, n);
}

void print_number(uint64_t v)
{
    char text[20];
    unsigned at = sizeof(text);
    do
        text[--at] = (char)('0' + v % 10);
    while (v /= 10);
    console(text + at, sizeof(text) - at);
}

_Noreturn void power_off(uint32_t status)
{
    console_flush();
    for (;;)
        __asm__ volatile("outl %0, %w1" : : "a"(status), "Nd"(DEBUG_EXIT));
}
