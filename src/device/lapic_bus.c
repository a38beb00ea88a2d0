/* SPDX-License-Identifier: MIT */
/*
 * Routing of interrupt messages: who is meant, and for the lowest priority, who of them gets it.
 *
 * Spec: Intel SDM 3A 11.6.2 (destinations), 11.12.9 (x2APIC ICR), 11.11 (MSI), 11.6.1 (ICR).
 */
#include "device/lapic.h"

enum { ICR_LOGICAL = 1 << 11, ICR_ASSERT = 1 << 14, ICR_LEVEL = 1 << 15, ICR_MASK = 0xccfff };
enum icr_shorthand { TO_DEST, TO_SELF, TO_ALL, TO_OTHERS };
enum { MSI_LOGICAL = 1 << 2, MSI_HINT = 1 << 3, MSI_ASSERT = 1 << 14, MSI_LEVEL = 1 << 15 };
enum { DFR_FLAT = 0xf, DFR_CLUSTER = 0x0 };
#define MSI_WINDOW 0xfee

static uint32_t broadcast(const struct lapic_message *msg)
{
    return msg->ext_dest ? UINT32_MAX : 0xff;
}

static bool matches_x2_logical(const struct lapic *a, uint32_t dest)
{
    return dest >> 16 == lapic_id(a) >> 4 && (dest & 1U << (lapic_id(a) & 15));
}

static bool matches_logical(const struct lapic *a, uint32_t dest)
{
    uint32_t mine = a->ldr >> 24;
    if (dest > 0xff)
        return false;
    if (a->dfr >> 28 == DFR_FLAT)
        return dest & mine;
    if (a->dfr >> 28 != DFR_CLUSTER)
        return false;
    return dest >> 4 == mine >> 4 && (dest & mine & 0xf);
}

static bool matches(const struct lapic *a, const struct lapic_message *msg)
{
    if (!a || !lapic_hw_enabled(a))
        return false;
    bool ordinary = msg->delivery == LAPIC_FIXED || msg->delivery == LAPIC_LOWEST;
    if (ordinary && !(a->svr & LAPIC_SVR_ENABLE))
        return false; /* switched off by software: only INIT, NMI, SMI and SIPI get through */
    bool x2_logical = msg->logical && lapic_x2(a);
    if (msg->dest == broadcast(msg) && !(x2_logical && !msg->ext_dest))
        return true; /* eight ones in logical mode are cluster 0 of an x2APIC */
    if (x2_logical)
        return matches_x2_logical(a, msg->dest);
    return msg->logical ? matches_logical(a, msg->dest) : msg->dest == lapic_id(a);
}

/* Of the APICs meant, one with the lowest processor priority; equals take turns. NULL when there is none. */
static struct lapic *least_busy(struct lapic_bus *bus, const struct lapic_message *msg)
{
    struct lapic *best = NULL;
    for (unsigned i = 0; i < bus->nr; i++) {
        struct lapic *a = bus->lapic[(bus->turn + i) % bus->nr];
        if (matches(a, msg) && (!best || lapic_ppr(a) < lapic_ppr(best)))
            best = a;
    }
    if (best)
        bus->turn = (uint8_t)((best->index + 1) % bus->nr);
    return best;
}

unsigned lapic_bus_send(struct lapic_bus *bus, const struct lapic_message *msg)
{
    if (msg->delivery == LAPIC_LOWEST) {
        struct lapic *a = least_busy(bus, msg);
        if (a)
            lapic_accept_message(a, msg);
        return a ? 1 : 0;
    }
    unsigned n = 0;
    for (unsigned i = 0; i < bus->nr; i++)
        if (matches(bus->lapic[i], msg)) {
            lapic_accept_message(bus->lapic[i], msg);
            n++;
        }
    return n;
}

void lapic_bus_deliver(struct lapic_bus *bus, uint64_t address, uint32_t data)
{
    if (address >> 20 != MSI_WINDOW)
        return; /* an ordinary memory write, which is the device's to do */
    struct lapic_message msg = {
        .dest = (uint32_t)(address >> 12) & 0xff,
        .logical = address & MSI_LOGICAL,
        .vector = (uint8_t)data,
        .delivery = data >> 8 & 7,
        .level = data & MSI_LEVEL,
    };
    if (msg.level && !(data & MSI_ASSERT))
        return;
    if ((address & MSI_HINT) && msg.delivery == LAPIC_FIXED)
        msg.delivery = LAPIC_LOWEST;
    (void)lapic_bus_send(bus, &msg); /* nobody there: the message is lost, as on the chip */
}

static void send_to_all(struct lapic *from, const struct lapic_message *msg, bool self)
{
    for (unsigned i = 0; i < from->bus->nr; i++) {
        struct lapic *a = from->bus->lapic[i];
        if (a && (self || a != from))
            lapic_accept_message(a, msg);
    }
}

void lapic_send_ipi(struct lapic *apic)
{
    apic->icr &= 0xffffffff00000000 | ICR_MASK;
    uint32_t icr = (uint32_t)apic->icr;
    bool x2 = lapic_x2(apic);
    struct lapic_message msg = {
        .dest = (uint32_t)(apic->icr >> (x2 ? 32 : 56)),
        .logical = icr & ICR_LOGICAL,
        .ext_dest = x2,
        .vector = (uint8_t)icr,
        .delivery = icr >> 8 & 7,
    };
    /* level and trigger mode mean something to INIT only: the de-assert that synchronised old APIC buses */
    if (msg.delivery == LAPIC_INIT && (icr & ICR_LEVEL) && !(icr & ICR_ASSERT))
        return;
    if ((msg.delivery == LAPIC_FIXED || msg.delivery == LAPIC_LOWEST) && msg.vector < 16) {
        lapic_error(apic, LAPIC_ESR_SEND_VECTOR);
        return;
    }
    if (msg.delivery == LAPIC_EXTINT) {
        guest_err(&apic->errors, "lapic %u: IPI with delivery mode ExtINT", apic->index);
        return;
    }
    switch ((enum icr_shorthand)(icr >> 18 & 3)) {
    case TO_DEST: (void)lapic_bus_send(apic->bus, &msg); break; /* nobody there: P6 and later report nothing */
    case TO_SELF: lapic_accept_message(apic, &msg); break;
    case TO_ALL: send_to_all(apic, &msg, true); break;
    case TO_OTHERS: send_to_all(apic, &msg, false); break;
    }
}

void lapic_bus_eoi(struct lapic_bus *bus, uint8_t vector)
{
    if (bus->eoi)
        bus->eoi(bus->ioapic, vector);
}

static void set_lint(struct lapic_bus *bus, unsigned n, bool level)
{
    for (unsigned i = 0; i < bus->nr; i++)
        if (bus->lapic[i])
            lapic_set_lint(bus->lapic[i], n, level);
}

void lapic_bus_set_lint0(void *bus, unsigned pin, bool level)
{
    (void)pin;
    set_lint(bus, 0, level);
}

void lapic_bus_set_lint1(void *bus, unsigned pin, bool level)
{
    (void)pin;
    set_lint(bus, 1, level);
}

static const struct state_field lapic_bus_fields[] = {
    STATE_U8(struct lapic_bus, turn),
    STATE_END,
};
const struct state_desc lapic_bus_state = { .name = "lapic_bus", .version = 1, .fields = lapic_bus_fields };

void lapic_bus_init(struct lapic_bus *bus)
{
    *bus = (struct lapic_bus){ 0 };
}
