/* SPDX-License-Identifier: MIT */
/*
 * The local APIC's model-specific registers: base, TSC deadline, x2APIC, and the operations table of the vCPU.
 *
 * Every reserved bit and every illegal change of mode is a #GP, told by returning false.
 * Spec: Intel SDM 3A 11.12 (x2APIC), 11.4.3 and 11.12.5 (base and modes).
 */
#include "device/lapic.h"

enum { BASE_FLAGS = LAPIC_BASE_BSP | LAPIC_BASE_X2 | LAPIC_BASE_ENABLE };
enum { ICR_LOW_MASK = 0xccfff };
#define BASE_ADDRESS 0x000ffffffffff000ULL /* narrower CPUs: the ISA checks before it asks us */

static bool write_base(struct lapic *a, uint64_t v)
{
    if (v & ~(BASE_ADDRESS | BASE_FLAGS))
        return false;
    bool on = v & LAPIC_BASE_ENABLE, x2 = v & LAPIC_BASE_X2;
    if (x2 && !on)
        return false;
    if (lapic_x2(a) && on && !x2)
        return false; /* from x2APIC only to disabled */
    if (!lapic_hw_enabled(a) && x2)
        return false; /* to x2APIC only from xAPIC */
    bool was_on = lapic_hw_enabled(a);
    a->base = v;
    if ((v & BASE_ADDRESS) != LAPIC_DEFAULT_BASE)
        guest_err(&a->errors, "lapic %u: register page moved to %#llx", a->index, (unsigned long long)(v & BASE_ADDRESS));
    if (was_on && !on)
        lapic_reset_registers(a);
    else if (x2)
        a->icr &= 0xffffffff;
    lapic_request(a);
    return true;
}

static bool x2_readable(unsigned reg)
{
    switch (reg) {
    case LAPIC_ID:
    case LAPIC_VERSION:
    case LAPIC_TPR:
    case LAPIC_PPR:
    case LAPIC_LDR:
    case LAPIC_SVR:
    case LAPIC_ESR:
    case LAPIC_ICR:
    case LAPIC_INITIAL_COUNT:
    case LAPIC_CURRENT_COUNT:
    case LAPIC_DIVIDE: return true;
    default: return (reg >= LAPIC_ISR && reg < LAPIC_ESR) || (reg >= LAPIC_LVT_TIMER_REG && reg <= LAPIC_LVT_ERROR_REG);
    }
}

/* Bits a WRMSR may set, 0 for registers that take nothing but 0. */
static bool x2_write_mask(unsigned reg, uint64_t *ret_mask)
{
    switch (reg) {
    case LAPIC_TPR: *ret_mask = 0xff; return true;
    case LAPIC_EOI:
    case LAPIC_ESR: *ret_mask = 0; return true;
    case LAPIC_SVR: *ret_mask = 0x1ff; return true;
    case LAPIC_ICR: *ret_mask = 0xffffffff00000000 | ICR_LOW_MASK; return true;
    case LAPIC_LVT_TIMER_REG: *ret_mask = 0x710ff; return true; /* bit 12, delivery status, is read-only, not reserved */
    case LAPIC_LVT_TIMER_REG + 0x10 * LVT_THERMAL:
    case LAPIC_LVT_TIMER_REG + 0x10 * LVT_PERF: *ret_mask = 0x117ff; return true;
    case LAPIC_LVT_TIMER_REG + 0x10 * LVT_LINT0:
    case LAPIC_LVT_TIMER_REG + 0x10 * LVT_LINT1: *ret_mask = 0x1f7ff; return true;
    case LAPIC_LVT_ERROR_REG: *ret_mask = 0x110ff; return true;
    case LAPIC_INITIAL_COUNT: *ret_mask = 0xffffffff; return true;
    case LAPIC_DIVIDE: *ret_mask = 0xb; return true;
    case LAPIC_SELF_IPI: *ret_mask = 0xff; return true;
    default: return false;
    }
}

static void self_ipi(struct lapic *a, uint8_t vector)
{
    struct lapic_message msg = { .vector = vector, .delivery = LAPIC_FIXED };
    if (vector < 16)
        lapic_error(a, LAPIC_ESR_SEND_VECTOR);
    else
        lapic_accept_message(a, &msg);
}

static bool x2_read(struct lapic *a, unsigned reg, uint64_t *ret)
{
    if (!lapic_x2(a) || !x2_readable(reg))
        return false;
    *ret = reg == LAPIC_ICR ? a->icr : lapic_read(a, reg);
    return true;
}

static bool x2_write(struct lapic *a, unsigned reg, uint64_t v)
{
    uint64_t mask;
    if (!lapic_x2(a) || !x2_write_mask(reg, &mask) || (v & ~mask))
        return false;
    if (reg == LAPIC_SELF_IPI) {
        self_ipi(a, (uint8_t)v);
    } else if (reg == LAPIC_ICR) {
        a->icr = v;
        lapic_send_ipi(a);
    } else {
        lapic_write(a, reg, (uint32_t)v);
    }
    return true;
}

static bool msr_read(void *intc, uint32_t msr, uint64_t *ret_value)
{
    struct lapic *a = intc;
    switch (msr) {
    case LAPIC_MSR_BASE: *ret_value = a->base; return true;
    case LAPIC_MSR_TSC_ADJUST: *ret_value = a->tsc_adjust; return true;
    case LAPIC_MSR_TSC_DEADLINE: *ret_value = a->tsc_deadline; return true;
    default:
        if (msr < LAPIC_MSR_X2 || msr > LAPIC_MSR_X2 + 0xff)
            return false;
        return x2_read(a, (msr - LAPIC_MSR_X2) << 4, ret_value);
    }
}

static bool msr_write(void *intc, uint32_t msr, uint64_t value)
{
    struct lapic *a = intc;
    switch (msr) {
    case LAPIC_MSR_BASE: return write_base(a, value);
    case LAPIC_MSR_TSC_ADJUST: lapic_set_tsc_adjust(a, value); return true;
    case LAPIC_MSR_TSC_DEADLINE: lapic_timer_set_deadline(a, value); return true;
    default:
        if (msr < LAPIC_MSR_X2 || msr > LAPIC_MSR_X2 + 0xff)
            return false;
        return x2_write(a, (msr - LAPIC_MSR_X2) << 4, value);
    }
}

static uint8_t tpr_get(void *intc)
{
    return ((struct lapic *)intc)->tpr >> 4;
}

static void tpr_set(void *intc, uint8_t cr8)
{
    struct lapic *a = intc;
    a->tpr = (uint8_t)(cr8 << 4);
    lapic_request(a);
}

const struct vcpu_intc_ops lapic_intc_ops = {
    .poll = lapic_poll,
    .accept = lapic_accept,
    .tpr_get = tpr_get,
    .tpr_set = tpr_set,
    .msr_read = msr_read,
    .msr_write = msr_write,
    .settle = lapic_pv_settle,
    .send_ipis = lapic_pv_send_ipis,
};
