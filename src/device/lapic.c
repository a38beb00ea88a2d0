/* SPDX-License-Identifier: MIT */
/*
 * Local APIC: registers, priorities, acceptance and what the CPU sees.
 */
#include "device/lapic.h"

#include <errno.h>

#include "base/checked.h"

enum { VERSION = 0x14 | (LVT_NR - 1) << 16 }; /* integrated APIC; no EOI-broadcast suppression */
enum { VECTORS_MIN = 16 };
enum { SVR_MASK = 0x1ff, LDR_MASK_SHIFT = 24, LVT_DELIVERY_SHIFT = 8 };
#define LDR_MASK 0xff000000U
#define DFR_ONES 0x0fffffffU

/* Writable bits of each LVT entry. Spec: figure 11-8 */
static const uint32_t lvt_mask[LVT_NR] = {
    [LVT_TIMER] = 0x700ff, [LVT_THERMAL] = 0x107ff, [LVT_PERF] = 0x107ff,
    [LVT_LINT0] = 0x1a7ff, [LVT_LINT1] = 0x1a7ff,   [LVT_ERROR] = 0x100ff,
};

bool lapic_hw_enabled(const struct lapic *apic)
{
    return apic->base & LAPIC_BASE_ENABLE;
}

bool lapic_x2(const struct lapic *apic)
{
    return apic->base & LAPIC_BASE_X2;
}

uint32_t lapic_id(const struct lapic *apic)
{
    return apic->index;
}

static bool sw_enabled(const struct lapic *a)
{
    return a->svr & LAPIC_SVR_ENABLE;
}

static void bit_set(uint32_t *v, unsigned n)
{
    v[n / 32] |= 1U << n % 32;
}

static void bit_clear(uint32_t *v, unsigned n)
{
    v[n / 32] &= ~(1U << n % 32);
}

static bool bit_test(const uint32_t *v, unsigned n)
{
    return v[n / 32] >> n % 32 & 1;
}

int lapic_highest(const uint32_t *v)
{
    for (int i = 7; i >= 0; i--)
        if (v[i])
            return 32 * i + 31 - __builtin_clz(v[i]);
    return -1;
}

unsigned lapic_in_service(const struct lapic *apic)
{
    unsigned n = 0;
    for (unsigned i = 0; i < ARRAY_SIZE(apic->isr); i++)
        n += (unsigned)__builtin_popcount(apic->isr[i]);
    return n;
}

uint8_t lapic_ppr(const struct lapic *apic)
{
    int isr = lapic_ended(apic) ? -1 : lapic_highest(apic->isr);
    if (isr < 0 || apic->tpr >> 4 >= isr >> 4)
        return apic->tpr;
    return (uint8_t)(isr & 0xf0);
}

/* Vector of the IRR above the processor priority, or -1. */
static int deliverable(const struct lapic *a)
{
    int v = lapic_hw_enabled(a) ? lapic_highest(a->irr) : -1;
    return v >= 0 && v >> 4 > lapic_ppr(a) >> 4 ? v : -1;
}

/* Whether an 8259 interrupt is for this CPU now: INTR of a disabled APIC, virtual wire, or a message. */
static bool extint(const struct lapic *a)
{
    if (!a->bus->extint)
        return false;
    if (!lapic_hw_enabled(a))
        return a->lint[0];
    uint32_t lvt = a->lvt[LVT_LINT0];
    bool wired = !(lvt & LVT_MASKED) && (lvt >> LVT_DELIVERY_SHIFT & 7) == LAPIC_EXTINT;
    return a->extint || (wired && a->lint[0]);
}

void lapic_request(struct lapic *apic)
{
    /* An end of interrupt that was offered may come unseen at any time, so that the vCPU has to look. */
    bool waiting = apic->eoi_offered && lapic_hw_enabled(apic) && lapic_highest(apic->irr) >= 0;
    if (apic->vcpu && (extint(apic) || deliverable(apic) >= 0 || waiting))
        vcpu_request(apic->vcpu, VCPU_REQ_IRQ);
}

void lapic_error(struct lapic *apic, uint32_t esr_bits)
{
    bool fresh = esr_bits & ~apic->esr_pending;
    apic->esr_pending |= esr_bits;
    if (fresh)
        lapic_local(apic, LVT_ERROR);
}

static void accept_fixed(struct lapic *a, uint8_t vector, bool level)
{
    if (!sw_enabled(a))
        return;
    if (vector < VECTORS_MIN) {
        /* an illegal vector in the error LVT itself must not report itself for ever */
        a->esr_pending |= LAPIC_ESR_RECEIVE_VECTOR;
        return;
    }
    bit_set(a->irr, vector);
    if (level)
        bit_set(a->tmr, vector);
    else
        bit_clear(a->tmr, vector);
    lapic_request(a);
}

static void request_cpu(struct lapic *a, uint32_t what)
{
    if (a->vcpu)
        vcpu_request(a->vcpu, what);
}

void lapic_accept_message(struct lapic *apic, const struct lapic_message *msg)
{
    if (!lapic_hw_enabled(apic))
        return;
    switch ((enum lapic_delivery)(msg->delivery & 7)) {
    case LAPIC_FIXED:
    case LAPIC_LOWEST:
        if (msg->vector < VECTORS_MIN)
            lapic_error(apic, LAPIC_ESR_RECEIVE_VECTOR);
        else
            accept_fixed(apic, msg->vector, msg->level);
        break;
    case LAPIC_NMI: request_cpu(apic, VCPU_REQ_NMI); break;
    case LAPIC_INIT:
        lapic_reset_registers(apic);
        if (apic->vcpu)
            (void)vcpu_take(apic->vcpu, VCPU_REQ_SIPI); /* a start-up from before the INIT is void */
        request_cpu(apic, VCPU_REQ_INIT);
        break;
    case LAPIC_SIPI:
        if (apic->vcpu) /* ordered by the request that follows */
            atomic_store_explicit(&apic->vcpu->sipi_vector, msg->vector, memory_order_relaxed);
        request_cpu(apic, VCPU_REQ_SIPI);
        break;
    case LAPIC_EXTINT:
        apic->extint = true;
        lapic_request(apic);
        break;
    case LAPIC_SMI:
    case LAPIC_RESERVED: guest_err(&apic->errors, "lapic %u: SMI or reserved delivery mode", apic->index); break;
    }
}

void lapic_local(struct lapic *apic, enum lapic_lvt which)
{
    uint32_t lvt = apic->lvt[which];
    if ((lvt & LVT_MASKED) || !lapic_hw_enabled(apic))
        return;
    unsigned delivery = lvt >> LVT_DELIVERY_SHIFT & 7; /* always fixed for timer and error: bits not writable */
    if (delivery == LAPIC_NMI) {
        request_cpu(apic, VCPU_REQ_NMI);
    } else if (delivery == LAPIC_FIXED) {
        bool level = which == LVT_LINT0 && (lvt & LVT_LEVEL);
        if (level)
            apic->lvt[which] |= LVT_REMOTE_IRR;
        accept_fixed(apic, (uint8_t)lvt, level);
    } else {
        guest_err(&apic->errors, "lapic %u: delivery mode %u in LVT %u", apic->index, delivery, which);
    }
}

/* A pin went up, or is up while its entry changed. */
static void lint_raised(struct lapic *a, unsigned n, bool rise)
{
    if (!lapic_hw_enabled(a)) {
        if (n == 1 && rise)
            request_cpu(a, VCPU_REQ_NMI); /* the pin is NMI then, and LINT0 is INTR */
        lapic_request(a);
        return;
    }
    uint32_t lvt = a->lvt[LVT_LINT0 + n];
    unsigned delivery = lvt >> LVT_DELIVERY_SHIFT & 7;
    bool level = n == 0 && delivery == LAPIC_FIXED && (lvt & LVT_LEVEL);
    if (delivery == LAPIC_EXTINT)
        lapic_request(a);
    else if (level ? !(lvt & LVT_REMOTE_IRR) : rise)
        lapic_local(a, (enum lapic_lvt)(LVT_LINT0 + n));
}

void lapic_set_lint(struct lapic *apic, unsigned n, bool level)
{
    bool rise = level && !apic->lint[n];
    apic->lint[n] = level;
    if (level)
        lint_raised(apic, n, rise);
}

void lapic_end_of_interrupt(struct lapic *apic)
{
    struct lapic *a = apic;
    int v = lapic_highest(a->isr);
    if (v < 0)
        return;
    bit_clear(a->isr, (unsigned)v);
    uint32_t *lint0 = &a->lvt[LVT_LINT0];
    if (bit_test(a->tmr, (unsigned)v)) {
        lapic_bus_eoi(a->bus, (uint8_t)v);
        if ((*lint0 & LVT_REMOTE_IRR) && (*lint0 & 0xff) == (unsigned)v) {
            *lint0 &= ~(uint32_t)LVT_REMOTE_IRR;
            if (a->lint[0])
                lint_raised(a, 0, false);
        }
    }
    lapic_request(a);
}

static void write_lvt(struct lapic *a, enum lapic_lvt which, uint32_t v)
{
    uint32_t old = a->lvt[which];
    v &= lvt_mask[which];
    if (!sw_enabled(a))
        v |= LVT_MASKED;
    if (v & LVT_LEVEL)
        v |= old & LVT_REMOTE_IRR;
    a->lvt[which] = v;
    if (which == LVT_TIMER)
        lapic_timer_mode_changed(a, old);
    if (which == LVT_LINT0 && a->lint[0])
        lint_raised(a, 0, false);
}

static void write_svr(struct lapic *a, uint32_t v)
{
    a->svr = v & SVR_MASK;
    if (sw_enabled(a))
        return;
    for (unsigned i = 0; i < LVT_NR; i++)
        a->lvt[i] |= LVT_MASKED;
}

static uint32_t read_ldr(const struct lapic *a)
{
    return lapic_x2(a) ? (a->index >> 4) << 16 | 1U << (a->index & 15) : a->ldr;
}

/* True when the register exists; the value goes to *ret. */
static bool read_reg(struct lapic *a, unsigned reg, uint32_t *ret)
{
    if (reg >= LAPIC_ISR && reg < LAPIC_ESR) {
        const uint32_t *v = reg < LAPIC_TMR ? a->isr : reg < LAPIC_IRR ? a->tmr : a->irr;
        *ret = v == a->isr && lapic_ended(a) ? 0 : v[reg >> 4 & 7];
        return true;
    }
    if (reg >= LAPIC_LVT_TIMER_REG && reg <= LAPIC_LVT_ERROR_REG) {
        *ret = a->lvt[(reg - LAPIC_LVT_TIMER_REG) >> 4];
        return true;
    }
    switch (reg) {
    case LAPIC_ID: *ret = lapic_x2(a) ? a->index : a->index << 24; return true;
    case LAPIC_VERSION: *ret = VERSION; return true;
    case LAPIC_TPR: *ret = a->tpr; return true;
    case LAPIC_APR:
    case LAPIC_RRD:
    case LAPIC_EOI: *ret = 0; return true;
    case LAPIC_PPR: *ret = lapic_ppr(a); return true;
    case LAPIC_LDR: *ret = read_ldr(a); return true;
    case LAPIC_DFR: *ret = a->dfr; return true;
    case LAPIC_SVR: *ret = a->svr; return true;
    case LAPIC_ESR: *ret = a->esr; return true;
    case LAPIC_ICR: *ret = (uint32_t)a->icr; return true;
    case LAPIC_ICR2: *ret = (uint32_t)(a->icr >> 32); return true;
    case LAPIC_INITIAL_COUNT: *ret = a->initial_count; return true;
    case LAPIC_CURRENT_COUNT: *ret = lapic_timer_current(a); return true;
    case LAPIC_DIVIDE: *ret = a->divide; return true;
    default: return false;
    }
}

uint32_t lapic_read(struct lapic *apic, unsigned offset)
{
    uint32_t v = 0;
    if ((offset & 15) == 0 && !read_reg(apic, offset, &v)) {
        guest_err(&apic->errors, "lapic %u: read of register %#x", apic->index, offset);
        lapic_error(apic, LAPIC_ESR_REGISTER);
    }
    return v;
}

/* True when the register exists. */
static bool write_reg(struct lapic *a, unsigned reg, uint32_t v)
{
    uint32_t ignored;
    if (reg >= LAPIC_LVT_TIMER_REG && reg <= LAPIC_LVT_ERROR_REG) {
        write_lvt(a, (enum lapic_lvt)((reg - LAPIC_LVT_TIMER_REG) >> 4), v);
        return true;
    }
    switch (reg) {
    case LAPIC_TPR:
        a->tpr = (uint8_t)v;
        lapic_request(a);
        return true;
    case LAPIC_EOI:
        lapic_withdraw_eoi(a); /* ended by its word or by this: there is only one */
        lapic_end_of_interrupt(a);
        return true;
    case LAPIC_LDR: a->ldr = v & LDR_MASK; return true;
    case LAPIC_DFR: a->dfr = v | DFR_ONES; return true;
    case LAPIC_SVR: write_svr(a, v); return true;
    case LAPIC_ESR:
        a->esr = a->esr_pending;
        a->esr_pending = 0;
        return true;
    case LAPIC_ICR:
        a->icr = (a->icr & 0xffffffff00000000) | v;
        lapic_send_ipi(a);
        return true;
    case LAPIC_ICR2: a->icr = (a->icr & 0xffffffff) | (uint64_t)v << 32; return true;
    case LAPIC_INITIAL_COUNT: lapic_timer_set_count(a, v); return true;
    case LAPIC_DIVIDE: lapic_timer_set_divide(a, v); return true;
    default: return read_reg(a, reg, &ignored); /* read-only ones ignore the write */
    }
}

void lapic_write(struct lapic *apic, unsigned offset, uint32_t value)
{
    if ((offset & 15) == 0 && !write_reg(apic, offset, value)) {
        guest_err(&apic->errors, "lapic %u: write to register %#x", apic->index, offset);
        lapic_error(apic, LAPIC_ESR_REGISTER);
    }
}

/* The APIC whose page the running CPU sees at the default address, or NULL. */
static struct lapic *accessed(struct lapic_bus *bus)
{
    struct vcpu *vcpu = vcpu_current();
    if (!vcpu || vcpu->id >= LAPIC_MAX)
        return NULL;
    struct lapic *a = bus->lapic[vcpu->id];
    bool here = a && lapic_hw_enabled(a) && !lapic_x2(a) && (a->base & GPAGE_MASK) == LAPIC_DEFAULT_BASE;
    return here ? a : NULL;
}

static uint64_t io_read(void *dev, uint64_t offset, unsigned size)
{
    struct lapic *a = accessed(dev);
    (void)size; /* 4: see the ops */
    return a ? lapic_read(a, (unsigned)offset) : UINT32_MAX;
}

static void io_write(void *dev, uint64_t offset, uint64_t value, unsigned size)
{
    struct lapic *a = accessed(dev);
    (void)size;
    if (a)
        lapic_write(a, (unsigned)offset, (uint32_t)value);
}

const struct io_ops lapic_io_ops = { .read = io_read, .write = io_write, .min_size = 4, .max_size = 4 };

int lapic_poll(void *intc)
{
    struct lapic *a = intc;
    return extint(a) ? a->bus->extint(a->bus->pic, false) : deliverable(a);
}

int lapic_accept(void *intc)
{
    struct lapic *a = intc;
    lapic_settle(a);
    if (lapic_highest(a->irr) >= 0)
        lapic_withdraw_eoi(a); /* its end must be noticed: something waits for it */
    if (extint(a)) {
        a->extint = false;
        return a->bus->extint(a->bus->pic, true);
    }
    int v = deliverable(a);
    if (v < 0)
        return -1;
    bit_clear(a->irr, (unsigned)v);
    bit_set(a->isr, (unsigned)v);
    lapic_offer_eoi(a, (unsigned)v);
    return v;
}

void lapic_reset_registers(struct lapic *apic)
{
    apic->ldr = 0;
    apic->dfr = UINT32_MAX;
    apic->svr = 0xff;
    apic->tpr = 0;
    for (unsigned i = 0; i < ARRAY_SIZE(apic->isr); i++)
        apic->isr[i] = apic->tmr[i] = apic->irr[i] = 0;
    apic->esr = apic->esr_pending = 0;
    apic->icr = 0;
    for (unsigned i = 0; i < LVT_NR; i++)
        apic->lvt[i] = LVT_MASKED;
    if (apic->index == 0) /* what firmware leaves behind: the 8259 through LINT0 (MP spec 1.4, 3.6.2.2) */
        apic->lvt[LVT_LINT0] = LAPIC_EXTINT << LVT_DELIVERY_SHIFT;
    apic->divide = apic->initial_count = 0;
    apic->timer_deadline = VM_TIME_NEVER;
    apic->tsc_deadline = 0;
    apic->extint = apic->eoi_offered = false;
    lapic_timer_rearm(apic);
}

static void lapic_reset(void *dev)
{
    struct lapic *a = dev;
    a->base = LAPIC_DEFAULT_BASE | LAPIC_BASE_ENABLE | (a->index == 0 ? LAPIC_BASE_BSP : 0);
    a->tsc_adjust = 0;
    lapic_reset_registers(a);
}

static void lapic_done(void *dev)
{
    vm_timer_disarm(&((struct lapic *)dev)->timer);
}

static int lapic_post_load(void *object, struct error *err)
{
    struct lapic *a = object;
    if (lapic_x2(a) && !lapic_hw_enabled(a))
        return error_set(err, -EINVAL, "lapic %u: x2APIC mode in a disabled APIC", a->index);
    if (a->timer_deadline > VM_TIME_NEVER)
        return error_set(err, -EINVAL, "lapic %u: timer deadline beyond the end of time", a->index);
    for (unsigned i = 0; i < LVT_NR; i++)
        a->lvt[i] &= lvt_mask[i] | LVT_MASKED | LVT_REMOTE_IRR;
    a->divide &= 0xb;
    a->irr[0] &= 0xffff0000;
    a->isr[0] &= 0xffff0000;
    if (a->eoi_offered && lapic_in_service(a) != 1)
        return error_set(err, -EINVAL, "lapic %u: an end of interrupt was offered for %u of them", a->index, lapic_in_service(a));
    lapic_timer_rearm(a);
    lapic_request(a);
    return 0;
}

static const struct state_field lapic_fields[] = {
    STATE_U64(struct lapic, base),
    STATE_U32(struct lapic, ldr),
    STATE_U32(struct lapic, dfr),
    STATE_U32(struct lapic, svr),
    STATE_U8(struct lapic, tpr),
    STATE_ARRAY(struct lapic, isr, STATE_U32),
    STATE_ARRAY(struct lapic, tmr, STATE_U32),
    STATE_ARRAY(struct lapic, irr, STATE_U32),
    STATE_U32(struct lapic, esr),
    STATE_U32(struct lapic, esr_pending),
    STATE_U64(struct lapic, icr),
    STATE_ARRAY(struct lapic, lvt, STATE_U32),
    STATE_U32(struct lapic, divide),
    STATE_U32(struct lapic, initial_count),
    STATE_U64(struct lapic, timer_deadline),
    STATE_U64(struct lapic, tsc_deadline),
    STATE_U64(struct lapic, tsc_adjust),
    STATE_ARRAY(struct lapic, lint, STATE_BOOL),
    STATE_BOOL(struct lapic, extint),
    STATE_BOOL(struct lapic, eoi_offered),
    STATE_END,
};
static const struct state_desc lapic_state = {
    .name = "lapic",
    .version = 2,
    .fields = lapic_fields,
    .post_load = lapic_post_load,
};

const struct device_class lapic_class = {
    .name = "lapic",
    .reset = lapic_reset,
    .done = lapic_done,
    .state = &lapic_state,
};

void lapic_init(struct lapic *apic, struct lapic_bus *bus, unsigned index, struct vcpu *vcpu, struct vm_clock *clock)
{
    *apic = (struct lapic){ .bus = bus, .vcpu = vcpu, .clock = clock, .index = index };
    lapic_timer_init(apic);
    apic->timer_deadline = VM_TIME_NEVER;
    bus->lapic[index] = apic;
    bus->nr = MAX(bus->nr, index + 1);
}
