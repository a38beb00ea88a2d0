/* SPDX-License-Identifier: MIT */
/*
 * The ACPI tables of board `pc`: fixed structures filled in, checksummed and linked.
 */
#include "machine/acpi.h"

#include <assert.h>
#include <errno.h>
#include <stdbool.h>
#include <string.h>

#include "base/checked.h"
#include "device/acpipm.h"
#include "device/pcihost.h"
#include "machine/dsdt.h"
#include "machine/pc.h"

enum { TABLES_MAX = 8, FACS_ALIGN = 64, TABLE_ALIGN = 16 };
enum { SPACE_IO = 1 };

/* Spec: ACPI 6.5, 5.2.3.2 */
struct gas {
    uint8_t space, bits, bit_offset, access; /* access: 1 byte, 2 word, 3 dword */
    uint64_t address;
} __attribute__((packed));

/* Spec: 5.2.5.3 */
struct rsdp {
    char signature[8];
    uint8_t checksum; /* of the first 20 bytes */
    char oem[6];
    uint8_t revision;
    uint32_t rsdt;
    uint32_t length;
    uint64_t xsdt;
    uint8_t checksum_all;
    uint8_t reserved[3];
} __attribute__((packed));

/* Spec: 5.2.6 */
struct header {
    char signature[4];
    uint32_t length;
    uint8_t revision, checksum;
    char oem[6], oem_table[8];
    uint32_t oem_revision;
    char creator[4];
    uint32_t creator_revision;
} __attribute__((packed));

/* Spec: 5.2.10 */
struct facs {
    char signature[4];
    uint32_t length, hardware_signature, waking_vector, global_lock, flags;
    uint64_t x_waking_vector;
    uint8_t version, reserved[31];
} __attribute__((packed));

/* Spec: 5.2.9 */
struct fadt {
    struct header h;
    uint32_t facs, dsdt;
    uint8_t reserved0, pm_profile;
    uint16_t sci;
    uint32_t smi_cmd;
    uint8_t acpi_enable, acpi_disable, s4bios, pstate;
    uint32_t pm1a_evt, pm1b_evt, pm1a_cnt, pm1b_cnt, pm2_cnt, pm_tmr, gpe0, gpe1;
    uint8_t pm1_evt_len, pm1_cnt_len, pm2_cnt_len, pm_tmr_len, gpe0_len, gpe1_len, gpe1_base, cst;
    uint16_t c2_latency, c3_latency, flush_size, flush_stride;
    uint8_t duty_offset, duty_width, day_alarm, month_alarm, century;
    uint16_t boot_arch;
    uint8_t reserved1;
    uint32_t flags;
    struct gas reset;
    uint8_t reset_value;
    uint16_t arm_boot;
    uint8_t minor;
    uint64_t x_facs, x_dsdt;
    struct gas x_pm1a_evt, x_pm1b_evt, x_pm1a_cnt, x_pm1b_cnt, x_pm2_cnt, x_pm_tmr, x_gpe0, x_gpe1, sleep_control, sleep_status;
    uint64_t hypervisor;
} __attribute__((packed));
static_assert(sizeof(struct fadt) == 276, "FADT revision 6 has 276 bytes");

/* Spec: 5.2.9.3, table 5.10 */
enum {
    FADT_WBINVD = 1 << 0,
    FADT_PROC_C1 = 1 << 2,
    FADT_SLP_BUTTON = 1 << 5, /* none in the fixed registers */
    FADT_FIX_RTC = 1 << 6,    /* no RTC wake status there */
    FADT_TMR_VAL_EXT = 1 << 8,
    FADT_RESET_REG = 1 << 10,
    FADT_HEADLESS = 1 << 12,
};
enum { BOOT_LEGACY_DEVICES = 1 << 0, BOOT_NO_VGA = 1 << 2, BOOT_NO_ASPM = 1 << 4 };

/* MADT entries. Spec: 5.2.12 */
struct madt {
    struct header h;
    uint32_t lapic_address, flags;
} __attribute__((packed));
struct madt_lapic {
    uint8_t type, length, uid, apic_id;
    uint32_t flags;
} __attribute__((packed));
struct madt_ioapic {
    uint8_t type, length, id, reserved;
    uint32_t address, gsi_base;
} __attribute__((packed));
struct madt_override {
    uint8_t type, length, bus, irq;
    uint32_t gsi;
    uint16_t flags;
} __attribute__((packed));
struct madt_nmi {
    uint8_t type, length, uid;
    uint16_t flags;
    uint8_t lint;
} __attribute__((packed));
enum { MADT_LAPIC = 0, MADT_IOAPIC = 1, MADT_OVERRIDE = 2, MADT_LAPIC_NMI = 4 };
enum { MADT_PCAT_COMPAT = 1, MADT_ENABLED = 1, MADT_UID_ALL = 0xff };
enum { INTI_CONFORMS = 0, INTI_HIGH_LEVEL = 0xd }; /* active high, level triggered */

struct mcfg {
    struct header h;
    uint64_t reserved;
    uint64_t base;
    uint16_t segment;
    uint8_t first_bus, last_bus;
    uint32_t reserved1;
} __attribute__((packed));

/* The area under construction. */
struct area {
    uint8_t *buf;
    size_t cap, len;
    bool full; /* something did not fit: all later writes are dropped */
    uint32_t base;
};

static uint8_t checksum(const void *data, size_t len)
{
    uint8_t sum = 0;
    for (size_t i = 0; i < len; i++)
        sum = (uint8_t)(sum + ((const uint8_t *)data)[i]);
    return (uint8_t)-sum;
}

/* Appends and returns the guest address; 0 when full. */
static uint32_t put(struct area *a, const void *data, size_t len)
{
    if (a->full || a->cap - a->len < len) {
        a->full = true;
        return 0;
    }
    memcpy(a->buf + a->len, data, len);
    uint32_t at = a->base + (uint32_t)a->len;
    a->len += len;
    return at;
}

static void align(struct area *a, size_t to)
{
    size_t len = ALIGN_UP(a->len, to);
    if (len > a->cap)
        a->full = true;
    else
        a->len = len;
}

static struct header header(const char *signature, uint8_t revision, size_t length)
{
    struct header h = { .length = (uint32_t)length, .revision = revision, .oem_revision = 1, .creator_revision = 1 };
    memcpy(h.signature, signature, 4);
    memcpy(h.oem, "DOPPEL", 6);
    memcpy(h.oem_table, "DOPPELPC", 8);
    memcpy(h.creator, "DPPL", 4);
    return h;
}

/* Appends a table that begins with a struct header, checksummed. */
static uint32_t put_table(struct area *a, void *table, size_t len)
{
    struct header *h = table;
    h->checksum = 0;
    h->checksum = checksum(table, len);
    align(a, TABLE_ALIGN);
    return put(a, table, len);
}

static uint32_t put_facs(struct area *a)
{
    struct facs facs = { .signature = "FACS", .length = sizeof(facs), .version = 2 };
    align(a, FACS_ALIGN);
    return put(a, &facs, sizeof(facs));
}

static struct gas io_register(uint16_t port, unsigned bytes, uint8_t access)
{
    return (struct gas){ .space = SPACE_IO, .bits = (uint8_t)(8 * bytes), .access = access, .address = port };
}

static uint32_t put_fadt(struct area *a, uint32_t facs, uint32_t dsdt)
{
    struct fadt f = {
        .h = header("FACP", 6, sizeof(f)),
        .facs = facs,
        .dsdt = dsdt,
        .sci = PC_IRQ_SCI,
        .pm1a_evt = PC_PM_BASE + ACPIPM_EVT,
        .pm1a_cnt = PC_PM_BASE + ACPIPM_CNT,
        .pm_tmr = PC_PM_BASE + ACPIPM_TMR,
        .pm1_evt_len = 4,
        .pm1_cnt_len = 2,
        .pm_tmr_len = 4,
        .gpe0 = PC_PM_BASE + ACPIPM_GPE,
        .gpe0_len = ACPIPM_GPE_LEN,
        .c2_latency = 0xffff, /* above 100 and 1000: no C2, no C3 */
        .c3_latency = 0xffff,
        .century = 0x32,
        .boot_arch = BOOT_LEGACY_DEVICES | BOOT_NO_VGA | BOOT_NO_ASPM,
        .flags = FADT_WBINVD | FADT_PROC_C1 | FADT_SLP_BUTTON | FADT_FIX_RTC | FADT_TMR_VAL_EXT | FADT_RESET_REG | FADT_HEADLESS,
        .reset = io_register(PC_CF8 + PCIHOST_RESET_PORT, 1, 1),
        .reset_value = PCIHOST_RESET_VALUE,
        .minor = 5,
        .x_facs = 0, /* the 32-bit field counts; both set would be two FACS to some guests */
        .x_dsdt = dsdt,
        .x_pm1a_evt = io_register(PC_PM_BASE + ACPIPM_EVT, 4, 2),
        .x_pm1a_cnt = io_register(PC_PM_BASE + ACPIPM_CNT, 2, 2),
        .x_pm_tmr = io_register(PC_PM_BASE + ACPIPM_TMR, 4, 3),
        .x_gpe0 = io_register(PC_PM_BASE + ACPIPM_GPE, ACPIPM_GPE_LEN, 1),
    };
    return put_table(a, &f, sizeof(f));
}

/* A table put together from pieces. */
struct pieces {
    uint8_t bytes[1024];
    size_t len;
};

static void add(struct pieces *p, const void *piece, size_t len)
{
    assert(p->len + len <= sizeof(p->bytes)); /* the largest MADT: 64 CPUs */
    memcpy(p->bytes + p->len, piece, len);
    p->len += len;
}

static uint32_t put_madt(struct area *a, unsigned cpus)
{
    struct pieces p = { .len = 0 };
    struct madt madt = { .lapic_address = PC_LAPIC, .flags = MADT_PCAT_COMPAT };
    add(&p, &madt, sizeof(madt));
    for (unsigned i = 0; i < cpus; i++) {
        struct madt_lapic lapic = { MADT_LAPIC, sizeof(lapic), (uint8_t)i, (uint8_t)i, MADT_ENABLED };
        add(&p, &lapic, sizeof(lapic));
    }
    struct madt_ioapic ioapic = { MADT_IOAPIC, sizeof(ioapic), 0, 0, PC_IOAPIC, 0 };
    add(&p, &ioapic, sizeof(ioapic));
    struct madt_override pit = { MADT_OVERRIDE, sizeof(pit), 0, PC_IRQ_PIT, PC_GSI_PIT, INTI_CONFORMS };
    add(&p, &pit, sizeof(pit));
    struct madt_override sci = { MADT_OVERRIDE, sizeof(sci), 0, PC_IRQ_SCI, PC_IRQ_SCI, INTI_HIGH_LEVEL };
    add(&p, &sci, sizeof(sci));
    struct madt_nmi nmi = { MADT_LAPIC_NMI, sizeof(nmi), MADT_UID_ALL, INTI_CONFORMS, 1 };
    add(&p, &nmi, sizeof(nmi));
    struct header h = header("APIC", 5, p.len);
    memcpy(p.bytes, &h, sizeof(h));
    return put_table(a, p.bytes, p.len);
}

static uint32_t put_mcfg(struct area *a)
{
    struct mcfg mcfg = { .h = header("MCFG", 1, sizeof(mcfg)), .base = PC_ECAM };
    return put_table(a, &mcfg, sizeof(mcfg));
}

/* tables: guest addresses, 32 bits each. */
static void fill_xsdt(struct area *a, size_t at, const uint32_t *tables, unsigned nr)
{
    struct header h = header("XSDT", 1, sizeof(h) + nr * sizeof(uint64_t));
    memcpy(a->buf + at, &h, sizeof(h));
    for (unsigned i = 0; i < nr; i++) {
        uint64_t wide = tables[i];
        memcpy(a->buf + at + sizeof(h) + i * sizeof(wide), &wide, sizeof(wide));
    }
    a->buf[at + offsetof(struct header, checksum)] = checksum(a->buf + at, h.length);
}

int acpi_build(const struct acpi_args *args, uint8_t *buf, size_t cap, struct error *err)
{
    assert(args->base % FACS_ALIGN == 0);
    struct area a = { .buf = buf, .cap = cap, .base = args->base };
    memset(buf, 0, cap);
    struct rsdp rsdp = { .oem = { 'D', 'O', 'P', 'P', 'E', 'L' }, .revision = 2, .length = sizeof(rsdp) };
    memcpy(rsdp.signature, "RSD PTR ", sizeof(rsdp.signature));
    (void)put(&a, &rsdp, sizeof(rsdp)); /* filled in below */
    align(&a, TABLE_ALIGN);
    const size_t xsdt = a.len;
    static const uint8_t room[sizeof(struct header) + TABLES_MAX * sizeof(uint64_t)];
    (void)put(&a, room, sizeof(room));

    uint32_t facs = put_facs(&a);
    align(&a, TABLE_ALIGN);
    uint32_t dsdt = put(&a, dsdt_aml, dsdt_aml_len); /* iasl has made its header and checksum */
    uint32_t tables[] = { put_fadt(&a, facs, dsdt), put_madt(&a, args->cpus), put_mcfg(&a) };
    static_assert(ARRAY_SIZE(tables) <= TABLES_MAX, "the XSDT has room");
    if (a.full)
        return error_set(err, -ENOSPC, "ACPI tables do not fit into %zu bytes", cap);
    fill_xsdt(&a, xsdt, tables, ARRAY_SIZE(tables));
    rsdp.xsdt = args->base + xsdt;
    rsdp.checksum = checksum(&rsdp, 20);
    rsdp.checksum_all = checksum(&rsdp, sizeof(rsdp));
    memcpy(buf, &rsdp, sizeof(rsdp));
    return 0;
}
