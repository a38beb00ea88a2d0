/* SPDX-License-Identifier: MIT */
/*
 * Local APIC: ends of interrupts by a word in memory, and IPIs to a set of CPUs, for guests that know KVM's interface.
 *
 * When an interrupt is accepted that nothing waits behind, bit 0 of the guest's word (vcpu->eoi_word) is set: the guest may clear
 * it instead of writing to the EOI register, and need not leave translated code for that. Nobody is told, so it is looked for
 * wherever the in-service register counts: lapic_ended() by any thread, lapic_settle() by the vCPU, which takes it over.
 * The guest tests and clears the bit by one instruction that is not locked: only the vCPU's own thread, between
 * instructions, may change it. Whoever makes another interrupt wait meanwhile therefore asks the vCPU to look (lapic_request),
 * and that either finds the interrupt ended or takes the offer back (lapic_accept). Not offered: for level-triggered interrupts,
 * whose end the IOAPIC must hear of, and for more than one in service.
 *
 * Spec: Linux Documentation/virt/kvm/x86/msr.rst (MSR_KVM_EOI_EN), hypercalls.rst (KVM_HC_SEND_IPI)
 */
#include <errno.h>
#include <stdatomic.h>

#include "core/vm.h"
#include "device/lapic.h"

enum { MAY_SKIP_EOI = 1 };
enum { ICR_LOGICAL = 1 << 11, ICR_SHORTHAND = 3 << 18, ICR_DELIVERY_SHIFT = 8, IDS = 128 };

static _Atomic uint8_t *word_of(const struct lapic *a)
{
    return a->vcpu ? atomic_load_explicit(&a->vcpu->eoi_word, memory_order_acquire) : NULL;
}

bool lapic_ended(const struct lapic *apic)
{
    const _Atomic uint8_t *word = apic->eoi_offered ? word_of(apic) : NULL;
    return word && !(atomic_load_explicit(word, memory_order_relaxed) & MAY_SKIP_EOI);
}

/* Between the guest's instructions, so that no store of its own comes between. */
static void set_word(struct lapic *a, bool may_skip)
{
    _Atomic uint8_t *word = word_of(a);
    if (!word)
        return;
    uint8_t rest = atomic_load_explicit(word, memory_order_relaxed) & (uint8_t)~MAY_SKIP_EOI;
    atomic_store_explicit(word, rest | (may_skip ? MAY_SKIP_EOI : 0), memory_order_relaxed);
    if (a->vcpu->vm)
        (void)gmem_note_write(&a->vcpu->vm->gmem, (const void *)word); /* the boundary we are at looks after code anyway */
}

void lapic_offer_eoi(struct lapic *apic, unsigned vector)
{
    bool level = apic->tmr[vector / 32] >> vector % 32 & 1;
    if (!word_of(apic) || level || lapic_highest(apic->irr) >= 0 || lapic_in_service(apic) != 1)
        return;
    apic->eoi_offered = true;
    set_word(apic, true);
}

void lapic_settle(struct lapic *apic)
{
    if (!lapic_ended(apic))
        return;
    apic->eoi_offered = false;
    lapic_end_of_interrupt(apic);
}

void lapic_withdraw_eoi(struct lapic *apic)
{
    if (!apic->eoi_offered)
        return;
    apic->eoi_offered = false;
    set_word(apic, false);
}

void lapic_pv_settle(void *intc)
{
    lapic_settle(intc);
    lapic_withdraw_eoi(intc);
}

static bool takes(const struct lapic *a, unsigned delivery)
{
    return a && lapic_hw_enabled(a) && (delivery == LAPIC_NMI || (a->svr & LAPIC_SVR_ENABLE));
}

int lapic_pv_send_ipis(void *intc, uint64_t first, const uint64_t ids[2], uint32_t icr)
{
    const struct lapic *from = intc;
    const struct lapic_bus *bus = from->bus;
    struct lapic_message msg = { .vector = (uint8_t)icr, .delivery = icr >> ICR_DELIVERY_SHIFT & 7 };
    if (icr & (ICR_LOGICAL | ICR_SHORTHAND))
        return -EINVAL;
    if (msg.delivery == LAPIC_LOWEST) /* of one: as KVM has it, each takes it */
        msg.delivery = LAPIC_FIXED;
    if (msg.delivery != LAPIC_FIXED && msg.delivery != LAPIC_NMI)
        return -EINVAL;
    int n = 0;
    for (unsigned k = 0; k < IDS && first < bus->nr && first + k < bus->nr; k++) {
        struct lapic *a = bus->lapic[first + k];
        if (!(ids[k / 64] >> k % 64 & 1) || !takes(a, msg.delivery))
            continue;
        lapic_accept_message(a, &msg);
        n++;
    }
    return n;
}
