/* SPDX-License-Identifier: MIT */
/*
 * Our 64-bit guests' machine as a kernel knows it that believes in the bare hardware.
 */
#include "tiny.h"

enum { COM1 = 0x3f8, LSR = 5, LSR_THRE = 0x20, PIT = 0x40, PIT_HZ = 1193182, FLAG_IF = 1 << 9 };

const char machine_kind[] = "native";
const uint8_t machine_gate = 0x8e; /* interrupt gate: turns interrupts off, IRET turns them on */
const bool machine_ends_irqs = true;

void machine_init_pv(void)
{
}

void irq_off(void)
{
    __asm__ volatile("cli" : : : "memory");
    irq_depth++;
}

void irq_on(void)
{
    if (--irq_depth == 0)
        __asm__ volatile("sti" : : : "memory");
}

void idle(void)
{
    __asm__ volatile("sti; hlt" : : : "memory");
}

bool irq_enabled(void)
{
    uint64_t flags;
    __asm__ volatile("pushfq; pop %0" : "=r"(flags));
    return flags & FLAG_IF;
}

unsigned mode(void)
{
    uint64_t cs;
    __asm__ volatile("mov %%cs, %0" : "=r"(cs));
    return cs & 3;
}

void console(const char *text, size_t len)
{
    for (size_t k = 0; k < len; k++) {
        while (!(inb(COM1 + LSR) & LSR_THRE))
            ;
        outb(COM1, (uint8_t)text[k]);
    }
}

void console_flush(void)
{
}

uint64_t clock_ns(void)
{
    outb(PIT + 3, 0); /* latch channel 0 */
    uint32_t left = inb(PIT);
    left |= (uint32_t)inb(PIT) << 8;
    return ticks * (1000000000 / TIMER_HZ) + (PIT_HZ / TIMER_HZ - left) * 1000000000ULL / PIT_HZ;
}

void pte_set(uint64_t *entry, uint64_t value, uintptr_t va)
{
    *(volatile uint64_t *)entry = value;
    __asm__ volatile("invlpg (%0)" : : "r"(va) : "memory");
}

void pte_flush(void)
{
}
