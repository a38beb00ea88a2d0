/* SPDX-License-Identifier: MIT */
/*
 * Our 64-bit guests' machine as a kernel knows it that runs on doppel: hypercalls and a shared page.
 *
 * Spec: docs/hypercalls.md
 */
#include "tiny.h"

enum { HC_IDENTIFY, HC_CONSOLE_WRITE, HC_YIELD, HC_CLOCK, HC_MMU_UPDATE, HC_SHARED_PAGE, HC_MODE };
#define MAGIC 0x6c706f64ULL

const char machine_kind[] = "paravirtual";
const uint8_t machine_gate = 0x8f; /* trap gate: RFLAGS.IF stays set for good, the shared flag decides (boot.S) */
const bool machine_ends_irqs = false;

volatile struct {
    uint8_t irq_enabled, irq_pending, reserved[PAGE - 2];
} shared __attribute__((aligned(PAGE)));
static struct {
    uint64_t entry, value, va;
} batch[PTES_MAX];
static unsigned batched;
static char said[256]; /* and not written yet */
static unsigned said_used;

void irq_take_pending(void); /* for boot.S */

static int64_t hypercall(uint64_t nr, uint64_t a, uint64_t b, uint64_t c)
{
    __asm__ volatile("outl %%eax, $0xe4" : "+a"(nr) : "D"(a), "S"(b), "d"(c) : "memory");
    return (int64_t)nr;
}

void machine_init_pv(void)
{
    if ((uint64_t)hypercall(HC_IDENTIFY, 0, 0, 0) >> 32 != MAGIC || hypercall(HC_SHARED_PAGE, (uintptr_t)&shared, 0, 0) < 0)
        power_off(98);                      /* there is no monitor, or not this one: nobody to print through */
    __asm__ volatile("sti" : : : "memory"); /* for good; from now on the shared flag decides */
}

void irq_off(void)
{
    shared.irq_enabled = 0;
    irq_depth++;
}

void irq_take_pending(void)
{
    shared.irq_pending = 0;
    (void)hypercall(HC_YIELD, 0, 0, 0);
}

void irq_on(void)
{
    if (--irq_depth != 0)
        return;
    shared.irq_enabled = 1;
    if (shared.irq_pending)
        irq_take_pending();
}

bool irq_enabled(void)
{
    return shared.irq_enabled;
}

unsigned mode(void)
{
    return (unsigned)hypercall(HC_MODE, 0, 0, 0);
}

void console_flush(void)
{
    for (unsigned at = 0, left = said_used; left > 0;) {
        int64_t n = hypercall(HC_CONSOLE_WRITE, (uintptr_t)said + at, left, 0);
        said_used = 0; /* power_off() comes here, too */
        if (n < 0)
            power_off(97);
        if (n == 0)
            (void)hypercall(HC_YIELD, 0, 0, 0);
        at += (unsigned)n;
        left -= (unsigned)n;
    }
}

void console(const char *text, size_t len)
{
    for (size_t k = 0; k < len; k++) {
        if (said_used == sizeof(said))
            console_flush();
        said[said_used++] = text[k];
    }
}

void idle(void)
{
    console_flush();
    (void)hypercall(HC_YIELD, 1, 0, 0);
}

uint64_t clock_ns(void)
{
    return (uint64_t)hypercall(HC_CLOCK, 0, 0, 0);
}

void pte_flush(void)
{
    if (batched && hypercall(HC_MMU_UPDATE, (uintptr_t)batch, batched, 0) != batched)
        power_off(96);
    batched = 0;
}

void pte_set(uint64_t *entry, uint64_t value, uintptr_t va)
{
    if (batched == PTES_MAX)
        pte_flush();
    batch[batched].entry = (uintptr_t)entry;
    batch[batched].value = value;
    batch[batched++].va = va;
}
