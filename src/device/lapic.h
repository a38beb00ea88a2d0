/* SPDX-License-Identifier: MIT */
/*
 * Local APIC, one a vCPU, and the bus that carries interrupt messages between them.
 *
 * xAPIC (a page of registers that every CPU sees at the same address and finds its own APIC in) and x2APIC (MSRs). Files:
 * lapic.c registers and priorities, lapic_msr.c the MSRs and mode changes, lapic_timer.c the timer, lapic_bus.c routing,
 * lapic_pv.c what a guest that knows its hypervisor may do instead. The bus clock of the timer is 1 GHz. A CPU learns that
 * something may be deliverable by VCPU_REQ_IRQ. All guarded by the machine's lock. A relocated APIC page is not followed: it goes
 * away from FEE00000h and appears nowhere. Not there: CMCI, EOI-broadcast suppression, SMIs (dropped), focus processors. Spec:
 * Intel SDM 253668-081, volume 3A chapter 11.
 */
#ifndef DOPPEL_DEVICE_LAPIC_H
#define DOPPEL_DEVICE_LAPIC_H

#include "core/bus.h"
#include "core/device.h"
#include "core/vcpu.h"
#include "core/vm_clock.h"

enum { LAPIC_IO_SIZE = 0x1000, LAPIC_MAX = 64, LAPIC_BUS_HZ = 1000000000 };

/* Register offsets in the page; an x2APIC MSR is 800h + offset / 16. */
enum lapic_reg {
    LAPIC_ID = 0x20,
    LAPIC_VERSION = 0x30,
    LAPIC_TPR = 0x80,
    LAPIC_APR = 0x90,
    LAPIC_PPR = 0xa0,
    LAPIC_EOI = 0xb0,
    LAPIC_RRD = 0xc0,
    LAPIC_LDR = 0xd0,
    LAPIC_DFR = 0xe0,
    LAPIC_SVR = 0xf0,
    LAPIC_ISR = 0x100,
    LAPIC_TMR = 0x180,
    LAPIC_IRR = 0x200,
    LAPIC_ESR = 0x280,
    LAPIC_ICR = 0x300,
    LAPIC_ICR2 = 0x310,
    LAPIC_LVT_TIMER_REG = 0x320,
    LAPIC_LVT_ERROR_REG = 0x370,
    LAPIC_INITIAL_COUNT = 0x380,
    LAPIC_CURRENT_COUNT = 0x390,
    LAPIC_DIVIDE = 0x3e0,
    LAPIC_SELF_IPI = 0x3f0, /* x2APIC only */
};
/* Local vector table, in register order from 320h. */
enum lapic_lvt { LVT_TIMER, LVT_THERMAL, LVT_PERF, LVT_LINT0, LVT_LINT1, LVT_ERROR, LVT_LAST = LVT_ERROR };
enum { LVT_NR = LVT_LAST + 1 };
enum lapic_delivery {
    LAPIC_FIXED,
    LAPIC_LOWEST,
    LAPIC_SMI,
    LAPIC_RESERVED,
    LAPIC_NMI,
    LAPIC_INIT,
    LAPIC_SIPI,
    LAPIC_EXTINT,
};
enum {
    LVT_MASKED = 1 << 16,
    LVT_LEVEL = 1 << 15,
    LVT_REMOTE_IRR = 1 << 14,
    LVT_PERIODIC = 1 << 17,
    LVT_TSC_DEADLINE = 2 << 17,
    LVT_TIMER_MODE = 3 << 17,
    LAPIC_SVR_ENABLE = 1 << 8,
};
enum {
    LAPIC_ESR_SEND_ACCEPT = 1 << 2,
    LAPIC_ESR_REDIRECTABLE = 1 << 4,
    LAPIC_ESR_SEND_VECTOR = 1 << 5,
    LAPIC_ESR_RECEIVE_VECTOR = 1 << 6,
    LAPIC_ESR_REGISTER = 1 << 7,
};
enum { LAPIC_BASE_BSP = 1 << 8, LAPIC_BASE_X2 = 1 << 10, LAPIC_BASE_ENABLE = 1 << 11 };
#define LAPIC_DEFAULT_BASE 0xfee00000ULL
enum { LAPIC_MSR_TSC_ADJUST = 0x3b, LAPIC_MSR_BASE = 0x1b, LAPIC_MSR_TSC_DEADLINE = 0x6e0, LAPIC_MSR_X2 = 0x800 };

struct lapic_bus;

struct lapic {
    struct lapic_bus *bus;  /* borrowed (the board's) */
    struct vcpu *vcpu;      /* borrowed (outlived by us); NULL in tests without one */
    struct vm_clock *clock; /* borrowed (the machine's) */
    struct vm_timer timer;
    unsigned index; /* of the vCPU: initial APIC ID */
    struct guest_errors errors;
    /* state */
    uint64_t base; /* IA32_APIC_BASE */
    uint32_t ldr, dfr, svr;
    uint8_t tpr;
    uint32_t isr[8], tmr[8], irr[8];
    uint32_t esr, esr_pending; /* shown; gathered until ESR is written */
    uint64_t icr;              /* x2APIC layout: destination in bits 63:32 */
    uint32_t lvt[LVT_NR];
    uint32_t divide, initial_count;
    uint64_t timer_deadline; /* guest ns of the next expiry in one-shot and periodic mode, VM_TIME_NEVER when idle */
    uint64_t tsc_deadline;   /* guest TSC, 0 when idle */
    uint64_t tsc_adjust;     /* of this CPU */
    bool lint[2];            /* input levels */
    bool extint;             /* an ExtINT message (IOAPIC) waits for acknowledgement */
    bool eoi_offered; /* bit 0 of vcpu->eoi_word was set for the interrupt in service, which is the only one (lapic_pv.c) */
};

struct lapic_bus {
    struct lapic *lapic[LAPIC_MAX]; /* borrowed (the board's); index = vCPU id */
    unsigned nr;
    /* the 8259 pair behind LINT0 and ExtINT: vector, or -1; `take` acknowledges. NULL: none */
    int (*extint)(void *pic, bool take);
    void *pic; /* borrowed (the board's) */
    /* EOI of a level-triggered vector, NULL: nobody listens */
    void (*eoi)(void *ioapic, uint8_t vector);
    void *ioapic; /* borrowed (the board's) */
    uint8_t turn; /* state: where the search for the lowest priority starts */
};

/* An interrupt message, from an IPI, the IOAPIC or an MSI. */
struct lapic_message {
    uint32_t dest;
    bool logical;  /* destination mode */
    bool ext_dest; /* dest has 32 bits (x2APIC IPI), else 8 */
    uint8_t vector;
    uint8_t delivery; /* enum lapic_delivery */
    bool level;       /* trigger mode */
};

/* What the vCPU calls: intc of the vCPU, intc_dev is its struct lapic. */
extern const struct vcpu_intc_ops lapic_intc_ops;
/* The register page; the device is the struct lapic_bus, and the accessing CPU is vcpu_current(). */
extern const struct io_ops lapic_io_ops;
extern const struct device_class lapic_class;
extern const struct state_desc lapic_bus_state;

void lapic_bus_init(struct lapic_bus *bus);
/* An irq_fn for LINT0 of every APIC: opaque is the lapic_bus; the 8259 master's INT output. */
void lapic_bus_set_lint0(void *bus, unsigned pin, bool level);
/* An irq_fn for LINT1 (NMI) of every APIC. */
void lapic_bus_set_lint1(void *bus, unsigned pin, bool level);
/* A message-signalled interrupt as a device writes it. Spec: SDM 3A 11.11 */
void lapic_bus_deliver(struct lapic_bus *bus, uint64_t address, uint32_t data);
/* Routes a message; returns how many APICs it was for. */
unsigned lapic_bus_send(struct lapic_bus *bus, const struct lapic_message *msg);
/* Broadcast of an EOI. */
void lapic_bus_eoi(struct lapic_bus *bus, uint8_t vector);

/* Makes the APIC of vCPU `index` (0..63) and adds it to the bus; vcpu may be NULL (tests). */
void lapic_init(struct lapic *apic, struct lapic_bus *bus, unsigned index, struct vcpu *vcpu, struct vm_clock *clock);
/* Registers by offset in the page, as the CPU that owns the APIC accesses them (xAPIC view). */
uint32_t lapic_read(struct lapic *apic, unsigned offset);
void lapic_write(struct lapic *apic, unsigned offset, uint32_t value);
/* The CPU's IA32_TSC_ADJUST changed: the deadline moves in time. The ISA may as well call msr_write(3Bh). */
void lapic_set_tsc_adjust(struct lapic *apic, uint64_t adjust);

/* --- between the lapic files --- */

bool lapic_hw_enabled(const struct lapic *apic);
bool lapic_x2(const struct lapic *apic);
/* Initial APIC ID as the current mode shows it to routing (32 bits). */
uint32_t lapic_id(const struct lapic *apic);
/* Processor priority. Spec: SDM 3A 11.8.3.1 */
uint8_t lapic_ppr(const struct lapic *apic);
/* Takes a message that was routed here. */
void lapic_accept_message(struct lapic *apic, const struct lapic_message *msg);
/* Fires a local interrupt (masks, delivery mode as its LVT says). */
void lapic_local(struct lapic *apic, enum lapic_lvt which);
void lapic_error(struct lapic *apic, uint32_t esr_bits);
void lapic_request(struct lapic *apic);
void lapic_set_lint(struct lapic *apic, unsigned n, bool level);
/* INIT: everything but ID and base. */
void lapic_reset_registers(struct lapic *apic);
/* poll and accept of the operations table. */
int lapic_poll(void *intc);
int lapic_accept(void *intc);
/* Sends the IPI that an ICR write asks for. */
void lapic_send_ipi(struct lapic *apic);
/* What a write to the EOI register does. */
void lapic_end_of_interrupt(struct lapic *apic);
/* Highest vector that is set in one of the 256-bit registers, or -1. */
int lapic_highest(const uint32_t *v);
/* How many interrupts are in service. */
unsigned lapic_in_service(const struct lapic *apic);

/* Paravirtual ends of interrupts. Whether the guest has ended the interrupt in service by its word; any thread. */
bool lapic_ended(const struct lapic *apic);
/* These three on the vCPU's thread: offer that for the vector that was just accepted, if it will do / take over that it happened
 * / take the offer back, so that the guest has to write to the register. */
void lapic_offer_eoi(struct lapic *apic, unsigned vector);
void lapic_settle(struct lapic *apic);
void lapic_withdraw_eoi(struct lapic *apic);
/* settle and send_ipis of the operations table. */
void lapic_pv_settle(void *intc);
int lapic_pv_send_ipis(void *intc, uint64_t first, const uint64_t ids[2], uint32_t icr);

void lapic_timer_init(struct lapic *apic);
/* LVT, divide, initial count or deadline changed. */
void lapic_timer_set_count(struct lapic *apic, uint32_t count);
void lapic_timer_set_divide(struct lapic *apic, uint32_t divide);
void lapic_timer_mode_changed(struct lapic *apic, uint32_t old_lvt);
void lapic_timer_set_deadline(struct lapic *apic, uint64_t tsc);
uint32_t lapic_timer_current(const struct lapic *apic);
/* Arms the host side from the state. */
void lapic_timer_rearm(struct lapic *apic);

#endif
