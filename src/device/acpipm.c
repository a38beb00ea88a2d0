/* SPDX-License-Identifier: MIT */
/*
 * ACPI fixed hardware: status and enable, sleep control, the PM timer.
 *
 * The timer is a function of guest time. TMR_STS is set when its top bit changed since the last look; a host timer is armed
 * only while that would raise the SCI.
 */
#include "device/acpipm.h"

#include <errno.h>

enum {
    STS_TMR = 1 << 0,
    STS_BM = 1 << 4,
    STS_GBL = 1 << 5,
    STS_PWRBTN = 1 << 8,
    STS_SLPBTN = 1 << 9,
    STS_RTC = 1 << 10,
    STS_WAK = 1 << 15
};
enum { STS_MASK = STS_TMR | STS_BM | STS_GBL | STS_PWRBTN | STS_SLPBTN | STS_RTC | STS_WAK };
enum { EN_MASK = STS_TMR | STS_GBL | STS_PWRBTN | STS_SLPBTN | STS_RTC };
enum { CNT_SCI_EN = 1 << 0, CNT_BM_RLD = 1 << 1, CNT_SLP_TYP = 7 << 10, CNT_SLP_TYP_SHIFT = 10, CNT_SLP_EN = 1 << 13 };
enum { CNT_MASK = CNT_BM_RLD | CNT_SLP_TYP };
enum { REG_STATUS = 0, REG_ENABLE = 2, REG_CONTROL = 4, REG_TIMER = 8, REG_GPE = 12 };
enum { GPE_SHUTDOWN = 1 << 0, GPE_MASK = GPE_SHUTDOWN };

static uint64_t ticks(const struct acpipm *pm)
{
    return (uint64_t)((unsigned __int128)vm_clock_now(pm->clock) * ACPIPM_HZ / NS_PER_S);
}

static unsigned top_bit(const struct acpipm *pm)
{
    return pm->timer32 ? 31 : 23;
}

static void refresh(struct acpipm *pm)
{
    uint64_t toggles = ticks(pm) >> top_bit(pm);
    if (toggles != pm->toggles)
        pm->status |= STS_TMR;
    pm->toggles = toggles;
}

static void update(struct acpipm *pm)
{
    refresh(pm);
    irq_set(&pm->sci, (pm->status & pm->enable & EN_MASK) || (pm->gpe_status & pm->gpe_enable));
    ns_t at = VM_TIME_NEVER;
    if ((pm->enable & STS_TMR) && !(pm->status & STS_TMR)) {
        unsigned __int128 tick = (unsigned __int128)(pm->toggles + 1) << top_bit(pm);
        unsigned __int128 ns = (tick * NS_PER_S + ACPIPM_HZ - 1) / ACPIPM_HZ;
        at = ns >= VM_TIME_NEVER ? VM_TIME_NEVER : (ns_t)ns;
    }
    vm_timer_arm(&pm->timer, at);
}

static void on_toggle(void *opaque, ns_t now)
{
    (void)now;
    update(opaque);
}

static void write_control(struct acpipm *pm, uint16_t v)
{
    pm->control = v & CNT_MASK;
    if (!(v & CNT_SLP_EN))
        return;
    unsigned type = (v & CNT_SLP_TYP) >> CNT_SLP_TYP_SHIFT;
    if (type == ACPIPM_S5) {
        irq_pulse(&pm->poweroff);
        return;
    }
    guest_err(&pm->errors, "acpipm: sleep type %u does not exist", type);
    pm->status |= STS_WAK; /* awake again at once, so that nobody waits for it */
}

static uint64_t pm_read(void *dev, uint64_t offset, unsigned size)
{
    struct acpipm *pm = dev;
    if (offset >= REG_TIMER && offset < REG_TIMER + 4) {
        uint32_t t = (uint32_t)ticks(pm) & (pm->timer32 ? 0xffffffff : 0xffffff);
        return t >> 8 * (offset - REG_TIMER);
    }
    if (size == 4)
        return pm_read(dev, offset, 2) | pm_read(dev, offset + 2, 2) << 16;
    refresh(pm);
    uint16_t v;
    switch (offset & ~1ULL) {
    case REG_STATUS: v = pm->status; break;
    case REG_ENABLE: v = pm->enable; break;
    case REG_CONTROL: v = pm->control | CNT_SCI_EN; break;
    case REG_GPE: v = (uint16_t)(pm->gpe_status | pm->gpe_enable << 8); break;
    default: v = 0; break;
    }
    return (offset & 1 ? v >> 8 : v) & (size == 1 ? 0xff : 0xffff);
}

/* One register of 16 bits; `mask` has the bits of the bytes that are written. */
static void write_reg(struct acpipm *pm, unsigned reg, uint16_t v, uint16_t mask)
{
    refresh(pm);
    switch (reg) {
    case REG_STATUS: pm->status &= (uint16_t)~v; break;
    case REG_ENABLE: pm->enable = ((pm->enable & (uint16_t)~mask) | v) & EN_MASK; break;
    case REG_CONTROL: write_control(pm, (pm->control & (uint16_t)~mask) | v); break;
    case REG_GPE:
        pm->gpe_status &= (uint8_t)~v;
        pm->gpe_enable = (uint8_t)((pm->gpe_enable & ~(mask >> 8)) | v >> 8) & GPE_MASK;
        break;
    default: guest_err(&pm->errors, "acpipm: write to register %#x", reg); break;
    }
    update(pm);
}

static void pm_write(void *dev, uint64_t offset, uint64_t value, unsigned size)
{
    struct acpipm *pm = dev;
    if (size == 4) {
        write_reg(pm, (unsigned)offset, (uint16_t)value, 0xffff);
        write_reg(pm, (unsigned)offset + 2, (uint16_t)(value >> 16), 0xffff);
    } else if (size == 2) {
        write_reg(pm, (unsigned)offset, (uint16_t)value, 0xffff);
    } else {
        unsigned shift = offset & 1 ? 8 : 0;
        write_reg(pm, (unsigned)offset & ~1U, (uint16_t)((value & 0xff) << shift), (uint16_t)(0xff << shift));
    }
}

bool acpipm_power_button(struct acpipm *pm)
{
    const bool heard = pm->enable & STS_PWRBTN;
    pm->status |= STS_PWRBTN;
    if (!heard)
        pm->gpe_status |= GPE_SHUTDOWN;
    update(pm);
    return heard || (pm->gpe_enable & GPE_SHUTDOWN);
}

static void pm_reset(void *dev)
{
    struct acpipm *pm = dev;
    pm->enable = pm->control = 0;
    pm->toggles = ticks(pm) >> top_bit(pm);
    pm->status = 0;
    pm->gpe_status = pm->gpe_enable = 0;
    update(pm);
}

static void pm_done(void *dev)
{
    vm_timer_disarm(&((struct acpipm *)dev)->timer);
}

static void pm_pre_save(void *object)
{
    update(object);
}

static int pm_post_load(void *object, struct error *err)
{
    struct acpipm *pm = object;
    (void)err;
    pm->status &= STS_MASK;
    pm->enable &= EN_MASK;
    pm->control &= CNT_MASK;
    pm->gpe_status &= GPE_MASK;
    pm->gpe_enable &= GPE_MASK;
    vm_timer_arm(&pm->timer, vm_clock_now(pm->clock)); /* looks at what happened since, once time goes on */
    return 0;
}

static const struct state_field pm_fields[] = {
    STATE_U16(struct acpipm, status),
    STATE_U16(struct acpipm, enable),
    STATE_U16(struct acpipm, control),
    STATE_U64(struct acpipm, toggles),
    STATE_U8(struct acpipm, gpe_status),
    STATE_U8(struct acpipm, gpe_enable),
    STATE_END,
};
static const struct state_desc pm_state = {
    .name = "acpipm",
    .version = 2,
    .fields = pm_fields,
    .pre_save = pm_pre_save,
    .post_load = pm_post_load,
};

const struct io_ops acpipm_io_ops = { .read = pm_read, .write = pm_write, .min_size = 1, .max_size = 4 };
const struct device_class acpipm_class = {
    .name = "acpipm",
    .reset = pm_reset,
    .done = pm_done,
    .state = &pm_state,
};

void acpipm_init(struct acpipm *pm, struct vm_clock *clock, bool timer32, const struct irq_line *sci,
                 const struct irq_line *poweroff)
{
    *pm = (struct acpipm){ .clock = clock, .timer32 = timer32 };
    if (sci)
        pm->sci = *sci;
    if (poweroff)
        pm->poweroff = *poweroff;
    vm_timer_init(&pm->timer, clock, on_toggle, pm);
}
