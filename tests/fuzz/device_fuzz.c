/* SPDX-License-Identifier: MIT */
/*
 * Fuzzer of all chips of the boards: whatever a guest writes, however time passes, and whatever a snapshot says.
 *
 * A rig is every chip of the pc board wired as there, and virt's beside them, on a test clock. Random actions drive one; now and
 * then it is saved, loaded into a second rig and saved again, which must give the same bytes, and damaged states are loaded into
 * a third, which must refuse them or live with them. A rig that hangs is ended by alarm(2). Meant for an ASan and UBSan build;
 * with -DFUZZ_LIBFUZZER and clang's -fsanitize=fuzzer the actions come from the input.
 */
#include "fuzz.h"

#include <assert.h>
#include <string.h>
#include <unistd.h>

#include "backend/chardev.h"
#include "base/checked.h"
#include "device/acpipm.h"
#include "device/clint.h"
#include "device/debugexit.h"
#include "device/goldfish_rtc.h"
#include "device/i8042.h"
#include "device/i8254.h"
#include "device/i8259.h"
#include "device/ioapic.h"
#include "device/lapic.h"
#include "device/mc146818.h"
#include "device/pcihost.h"
#include "device/plic.h"
#include "device/port61.h"
#include "device/sifive_test.h"
#include "device/uart16550.h"

enum { CPUS = 3, ROUND = 256, HANG_S = 20, RANGES_MAX = 28, PARTS_MAX = 21, CONTEXTS = 2 * CPUS };
#define ECAM 0xb0000000ULL
#define IOAPIC 0xfec00000ULL
#define CLINT 0x2000000ULL
#define PLIC 0xc000000ULL
#define SIFIVE_TEST 0x100000ULL
#define GOLDFISH 0x101000ULL
#define LATEST (1LL << 61)
enum { GOLDFISH_IRQ = 11 };

/* Where the actions come from. */
struct dice {
    struct fuzz *fuzz; /* NULL: data */
    const uint8_t *data;
    size_t len;
};

struct rig {
    struct vm_clock clock;
    struct bus mmio, pio;
    struct chardev *host;
    struct i8259 pic[2];
    struct i8254 pit;
    struct port61 port61;
    struct mc146818 rtc;
    struct i8042 kbc;
    struct uart16550 uart;
    struct debugexit debugexit;
    struct acpipm pm;
    struct pcihost pci;
    struct pci_func func;
    struct ioapic ioapic;
    struct lapic_bus lapics;
    struct lapic lapic[CPUS];
    struct goldfish_rtc goldfish;
    struct vcpu cpu[CPUS];
    struct plic plic;
    struct clint clint;
    struct sifive_test test;
    bool line[CONTEXTS + 2 * CPUS]; /* of plic, then of clint */
    bool alarm;                     /* the line of goldfish, which goes to the plic as on board virt */
    unsigned ends;                  /* that sifive_test told of */
};

/* One saved part of a rig. */
struct part {
    const struct state_desc *desc;
    size_t offset;
    void (*reset)(void *dev);
};

static const struct port {
    uint16_t base, size;
} ports[] = { { 0x20, 2 }, { 0xa0, 2 },  { 0x4d0, 2 }, { 0x40, 4 },   { 0x60, 2 },  { 0x64, 1 },
              { 0x70, 2 }, { 0x3f8, 8 }, { 0xf4, 4 },  { 0x600, 16 }, { 0xcf8, 8 }, { 0xc000, 0x40 } };

static uint64_t roll(struct dice *d)
{
    if (d->fuzz)
        return fuzz_u64(d->fuzz);
    uint64_t v = 0;
    size_t n = MIN(d->len, sizeof(v));
    memcpy(&v, d->data, n);
    d->data += n;
    d->len -= n;
    return v;
}

static uint64_t below(struct dice *d, uint64_t n)
{
    return (roll(d) >> 8) % n;
}

/* A register value: any, small, or a few bits. */
static uint64_t value(struct dice *d)
{
    uint64_t r = roll(d);
    switch (r >> 60) {
    case 0: return 0;
    case 1: return ~0ULL;
    case 2:
    case 3: return r & 0xff;
    case 4:
    case 5: return 1ULL << (r & 63);
    default: return r;
    }
}

static void finding(const char *what)
{
    printf("FINDING: %s\n", what);
    (void)fflush(stdout);
    abort();
}

static uint64_t func_read(void *dev, uint64_t offset, unsigned size)
{
    (void)dev;
    (void)size;
    return offset;
}

static void func_write(void *dev, uint64_t offset, uint64_t v, unsigned size)
{
    (void)offset;
    (void)size;
    pci_func_set_intx(dev, v & 1);
}

static const struct io_ops func_ops = { .read = func_read, .write = func_write, .min_size = 1, .max_size = 4 };

static void isa_irq(void *opaque, unsigned irq, bool level)
{
    struct rig *r = opaque;
    i8259_set_irq(&r->pic[irq / 8], irq % 8, level);
    ioapic_set_irq(&r->ioapic, irq == 0 ? 2 : irq, level);
}

/* An irq_fn; pin: which of r->line. */
static void riscv_line(void *opaque, unsigned pin, bool level)
{
    ((struct rig *)opaque)->line[pin] = level;
}

/* An irq_fn. */
static void goldfish_line(void *opaque, unsigned pin, bool level)
{
    struct rig *r = opaque;
    r->alarm = level;
    plic_set_irq(&r->plic, pin, level);
}

static void on_test(void *opaque, enum sifive_test_end end, unsigned status)
{
    struct rig *r = opaque;
    if ((end != SIFIVE_TEST_PASS && end != SIFIVE_TEST_FAIL && end != SIFIVE_TEST_RESET) || status > UINT16_MAX)
        finding("sifive_test ends in a way that there is not");
    r->ends++;
}

static void map(struct bus *bus, uint64_t base, uint64_t size, const struct io_ops *ops, void *dev)
{
    if (bus_map(bus, base, size, ops, dev, "chip", NULL) < 0)
        abort();
}

static void map_chips(struct rig *r)
{
    map(&r->pio, 0x20, I8259_IO_SIZE, &i8259_io_ops, &r->pic[0]);
    map(&r->pio, 0xa0, I8259_IO_SIZE, &i8259_io_ops, &r->pic[1]);
    map(&r->pio, 0x4d0, 1, &i8259_elcr_io_ops, &r->pic[0]);
    map(&r->pio, 0x4d1, 1, &i8259_elcr_io_ops, &r->pic[1]);
    map(&r->pio, 0x40, I8254_IO_SIZE, &i8254_io_ops, &r->pit);
    map(&r->pio, 0x60, 1, &i8042_data_io_ops, &r->kbc);
    map(&r->pio, 0x61, 1, &port61_io_ops, &r->port61);
    map(&r->pio, 0x64, 1, &i8042_command_io_ops, &r->kbc);
    map(&r->pio, 0x70, MC146818_IO_SIZE, &mc146818_io_ops, &r->rtc);
    map(&r->pio, 0x3f8, UART16550_IO_SIZE, &uart16550_io_ops, &r->uart);
    map(&r->pio, 0xf4, DEBUGEXIT_IO_SIZE, &debugexit_io_ops, &r->debugexit);
    map(&r->pio, 0x600, ACPIPM_IO_SIZE, &acpipm_io_ops, &r->pm);
    map(&r->pio, 0xcf8, PCIHOST_IO_SIZE, &pcihost_io_ops, &r->pci);
    map(&r->mmio, ECAM, PCIHOST_ECAM_SIZE, &pcihost_ecam_ops, &r->pci);
    map(&r->mmio, GOLDFISH, GOLDFISH_RTC_IO_SIZE, &goldfish_rtc_io_ops, &r->goldfish);
    map(&r->mmio, IOAPIC, IOAPIC_IO_SIZE, &ioapic_io_ops, &r->ioapic);
    map(&r->mmio, CLINT, CLINT_IO_SIZE, &clint_io_ops, &r->clint);
    map(&r->mmio, PLIC, PLIC_IO_SIZE, &plic_io_ops, &r->plic);
    map(&r->mmio, SIFIVE_TEST, SIFIVE_TEST_IO_SIZE, &sifive_test_io_ops, &r->test);
}

static const struct part *parts(unsigned *ret_nr)
{
#define PART(member, class)                                                                                                      \
    {                                                                                                                            \
        (class).state, offsetof(struct rig, member), (class).reset                                                               \
    }
    static struct part p[PARTS_MAX];
    const struct part all[] = {
        PART(lapic[0], lapic_class), PART(lapic[1], lapic_class),   PART(lapic[2], lapic_class),
        PART(ioapic, ioapic_class),  PART(pic[0], i8259_class),     PART(pic[1], i8259_class),
        PART(pit, i8254_class),      PART(port61, port61_class),    PART(rtc, mc146818_class),
        PART(kbc, i8042_class),      PART(uart, uart16550_class),   PART(debugexit, debugexit_class),
        PART(pm, acpipm_class),      PART(pci, pcihost_class),      PART(plic, plic_class),
        PART(clint, clint_class),    PART(test, sifive_test_class), PART(goldfish, goldfish_rtc_class),
    };
    memcpy(p, all, sizeof(all));
    p[ARRAY_SIZE(all)] = (struct part){ &lapic_bus_state, offsetof(struct rig, lapics), NULL };
    p[ARRAY_SIZE(all) + 1] = (struct part){ &pci_func_state, offsetof(struct rig, func), NULL };
    static_assert(ARRAY_SIZE(all) + 2 <= PARTS_MAX, "all have a place");
    *ret_nr = ARRAY_SIZE(all) + 2;
    return p;
#undef PART
}

static void riscv_init(struct rig *r)
{
#define LINE(n) (&(const struct irq_line){ .fn = riscv_line, .opaque = r, .pin = (n) })
    plic_init(&r->plic);
    for (unsigned i = 0; i < CONTEXTS; i++)
        plic_add_context(&r->plic, LINE(i));
    clint_init(&r->clint, &r->clock);
    for (unsigned i = 0; i < CPUS; i++)
        clint_add_hart(&r->clint, LINE(CONTEXTS + 2 * i), LINE(CONTEXTS + 2 * i + 1));
    sifive_test_init(&r->test, on_test, r);
#undef LINE
}

static void rig_init(struct rig *r)
{
    memset(r, 0, sizeof(*r));
    vm_clock_init(&r->clock, NULL, NULL);
    vm_clock_set_manual(&r->clock);
    r->clock.wall_base = 1767225600LL * NS_PER_S;
    bus_init(&r->mmio);
    bus_init(&r->pio);
    if (chardev_buffer_new(32, &r->host, NULL) < 0)
        abort();
#define IRQ(n) (&(const struct irq_line){ .fn = isa_irq, .opaque = r, .pin = (n) })
    lapic_bus_init(&r->lapics);
    ioapic_init(&r->ioapic, &r->lapics);
    i8259_init(&r->pic[0], &r->pic[1], &(const struct irq_line){ .fn = lapic_bus_set_lint0, .opaque = &r->lapics });
    i8259_init(&r->pic[1], NULL, &(const struct irq_line){ .fn = i8259_set_irq, .opaque = &r->pic[0], .pin = 2 });
    r->lapics.extint = i8259_inta;
    r->lapics.pic = &r->pic[0];
    i8254_init(&r->pit, &r->clock, IRQ(0));
    port61_init(&r->port61, &r->clock, &r->pit);
    mc146818_init(&r->rtc, &r->clock, IRQ(8));
    i8042_init(&r->kbc, IRQ(1), NULL, NULL);
    uart16550_init(&r->uart, &r->clock, r->host, IRQ(4));
    debugexit_init(&r->debugexit, NULL, NULL);
    goldfish_rtc_init(&r->goldfish, &r->clock, &(const struct irq_line){ .fn = goldfish_line, .opaque = r, .pin = GOLDFISH_IRQ });
    acpipm_init(&r->pm, &r->clock, false, IRQ(9), NULL);
    pcihost_init(&r->pci, &r->mmio, &r->pio, NULL);
    pci_func_init(&r->func, 0x1af4, 0x1042, 0x010000, 1);
    r->func.intx = *IRQ(11);
#undef IRQ
    pci_func_set_bar(&r->func, 0, PCI_BAR_IO, 0x40, &func_ops, &r->func, "io");
    pci_func_set_bar(&r->func, 1, PCI_BAR_MEM32, 0x1000, &func_ops, &r->func, "mem");
    pci_func_set_bar(&r->func, 2, PCI_BAR_MEM64, 0x4000, &func_ops, &r->func, "mem64");
    if (pci_bus_add(&r->pci.bus, &r->func, PCI_DEVFN(1, 0), NULL) < 0)
        abort();
    for (unsigned i = 0; i < CPUS; i++) {
        r->cpu[i].id = i;
        lapic_init(&r->lapic[i], &r->lapics, i, &r->cpu[i], &r->clock);
    }
    riscv_init(r);
    map_chips(r);
    unsigned nr;
    const struct part *p = parts(&nr);
    for (unsigned i = 0; i < nr; i++)
        if (p[i].reset)
            p[i].reset((uint8_t *)r + p[i].offset);
}

static void rig_done(struct rig *r)
{
    uart16550_class.done(&r->uart);
    clint_class.done(&r->clint);
    chardev_free(r->host);
    bus_done(&r->mmio);
    bus_done(&r->pio);
}

static void access_port(struct rig *r, struct dice *d)
{
    const struct port *p = &ports[below(d, ARRAY_SIZE(ports))];
    uint64_t at = p->base + below(d, p->size);
    unsigned size = 1U << (below(d, 8) < 6 ? 0 : below(d, 3));
    if (below(d, 3))
        bus_write(&r->pio, at, value(d), size);
    else
        (void)bus_read(&r->pio, at, size);
}

/* Index and data registers in one go, which single accesses seldom hit. */
static void access_indexed(struct rig *r, struct dice *d)
{
    uint64_t v = value(d);
    switch (below(d, 6)) {
    case 0:
        bus_write(&r->pio, 0x70, below(d, 0x34), 1);
        bus_write(&r->pio, 0x71, v, 1);
        break;
    case 1:
        bus_write(&r->mmio, IOAPIC, below(d, 0x42), 4);
        bus_write(&r->mmio, IOAPIC + 0x10, v & ~(below(d, 4) ? 0x10000ULL : 0), 4);
        break;
    case 2:
        bus_write(&r->pio, 0xcf8, 0x80000000 | below(d, 2) << 11 | (below(d, 64) << 2), 4);
        bus_write(&r->pio, 0xcfc + below(d, 4), v, 1U << below(d, 3));
        break;
    case 3: bus_write(&r->mmio, IOAPIC + 0x40, roll(d), 4); break;
    case 5:
        bus_write(&r->mmio, GOLDFISH + 4 * below(d, 9), v, 4);
        (void)bus_read(&r->mmio, GOLDFISH + 4 * below(d, 9), 4);
        break;
    case 4: bus_write(&r->mmio, ECAM + (below(d, 2) << 15) + below(d, 0x110), v, 1U << below(d, 4)); break;
    }
}

static void access_lapic(struct rig *r, struct dice *d)
{
    struct lapic *a = &r->lapic[below(d, CPUS)];
    static const uint32_t others[] = { LAPIC_MSR_BASE, LAPIC_MSR_TSC_ADJUST, LAPIC_MSR_TSC_DEADLINE };
    uint64_t v = value(d), ignored;
    uint32_t msr = below(d, 4) ? LAPIC_MSR_X2 + (uint32_t)below(d, 0x41) : others[below(d, ARRAY_SIZE(others))];
    switch (below(d, 7)) {
    case 0: (void)lapic_read(a, (unsigned)below(d, LAPIC_IO_SIZE)); break;
    case 1: lapic_write(a, LAPIC_SVR, LAPIC_SVR_ENABLE | (uint32_t)(v & 0xff)); break;
    case 2: lapic_write(a, (unsigned)below(d, 0x41) << 4, (uint32_t)v); break;
    case 3: (void)lapic_intc_ops.msr_write(a, msr, v); break;
    case 4: (void)lapic_intc_ops.msr_read(a, msr, &ignored); break;
    case 5: lapic_bus_deliver(&r->lapics, 0xfee00000 | (v & 0xfffff), (uint32_t)roll(d)); break;
    case 6:
        (void)lapic_intc_ops.msr_write(a, LAPIC_MSR_BASE, LAPIC_DEFAULT_BASE | LAPIC_BASE_ENABLE | (v & LAPIC_BASE_X2));
        break;
    }
}

static void take_interrupt(struct rig *r, struct dice *d)
{
    unsigned i = (unsigned)below(d, CPUS);
    struct lapic *a = &r->lapic[i];
    int seen = lapic_intc_ops.poll(a), again = lapic_intc_ops.poll(a);
    if (seen < -1 || seen > 255 || seen != again)
        finding("poll is not a vector, or has side effects");
    int got = lapic_intc_ops.accept(a);
    if (got != seen)
        finding("accept gives another vector than poll");
    (void)vcpu_take(&r->cpu[i], ~0U);
    lapic_intc_ops.tpr_set(a, (uint8_t)below(d, 16));
    if (lapic_intc_ops.tpr_get(a) != r->lapic[i].tpr >> 4)
        finding("CR8 is not the task priority");
    if (below(d, 4))
        lapic_write(a, LAPIC_EOI, 0);
}

/* What the plic asks of its contexts, taken and given back; its registers and the others', near what they have. */
static void access_riscv(struct rig *r, struct dice *d)
{
    const uint64_t v = value(d), context = below(d, CONTEXTS + 1), claim = PLIC + 0x200004 + context * 0x1000;
    const unsigned size = 1U << below(d, 4);
    switch (below(d, 10)) {
    case 0: bus_write(&r->mmio, PLIC + below(d, PLIC_SOURCES + 2) * 4, v, 4); break;
    case 1: bus_write(&r->mmio, PLIC + 0x2000 + context * 0x80 + below(d, PLIC_WORDS + 1) * 4, v, 4); break;
    case 2: bus_write(&r->mmio, claim - 4, v & (below(d, 2) ? PLIC_PRIORITY_MAX : UINT32_MAX), 4); break;
    case 3: {
        uint64_t source = bus_read(&r->mmio, claim, 4);
        if (source >= PLIC_SOURCES && context < CONTEXTS)
            finding("a source is claimed that there is not");
        if (below(d, 3))
            bus_write(&r->mmio, claim, below(d, 4) ? source : v, 4);
        break;
    }
    case 4: {
        unsigned source = 1 + (unsigned)below(d, PLIC_SOURCES - 1);
        if (source != GOLDFISH_IRQ)
            plic_set_irq(&r->plic, source, v & 1);
        break;
    }
    case 5: bus_write(&r->mmio, PLIC + below(d, PLIC_IO_SIZE), v, size); break;
    case 6: (void)bus_read(&r->mmio, (below(d, 2) ? PLIC : CLINT) + below(d, CLINT_IO_SIZE), size); break;
    case 7: bus_write(&r->mmio, CLINT + below(d, CPUS + 1) * 4, v, 4); break;
    case 8: bus_write(&r->mmio, CLINT + (below(d, 4) ? 0x4000 + below(d, CPUS + 1) * 8 : 0xbff8), v, below(d, 2) ? 8 : 4); break;
    case 9: bus_write(&r->mmio, SIFIVE_TEST + below(d, 8), below(d, 2) ? v : (v & 0xffff0000) | 0x5555, size); break;
    }
    for (unsigned i = 0; i < CPUS; i++)
        if (r->line[CONTEXTS + 2 * i] != (r->clint.msip[i] & 1))
            finding("a software interrupt's line is not its bit");
    if (r->alarm != (r->goldfish.pending && r->goldfish.enabled))
        finding("the clock's line is not its bits");
}

static void pass_time(struct rig *r, struct dice *d)
{
    uint64_t v = roll(d);
    if (below(d, 8)) {
        vm_clock_advance(&r->clock, (ns_t)(v % (1ULL << below(d, 26))));
        return;
    }
    ns_t late = (ns_t)(v % (1ULL << below(d, 56))); /* the host did not run us for that long */
    if (r->clock.frozen + late < LATEST) {
        r->clock.frozen += late;
        r->clock.tsc_frozen += (uint64_t)late;
    }
}

static void outside_world(struct rig *r, struct dice *d)
{
    static const uint8_t free_irqs[] = { 3, 5, 6, 7, 10, 12, 13, 14, 15 }; /* no chip drives them */
    uint8_t bytes[40] = { 0 };
    switch (below(d, 6)) {
    case 0: (void)chardev_buffer_feed(r->host, bytes, below(d, sizeof(bytes))); break;
    case 1: (void)chardev_buffer_take(r->host, bytes, below(d, sizeof(bytes))); break;
    case 2: acpipm_power_button(&r->pm); break;
    case 3: lapic_bus_set_lint1(&r->lapics, 0, below(d, 2)); break;
    case 4: isa_irq(r, free_irqs[below(d, sizeof(free_irqs))], below(d, 2)); break;
    case 5: i8254_set_gate(&r->pit, (unsigned)below(d, 3), below(d, 2)); break;
    }
}

static void reset_one(struct rig *r, struct dice *d)
{
    unsigned nr;
    const struct part *p = parts(&nr);
    unsigned i = (unsigned)below(d, nr);
    if (p[i].reset)
        p[i].reset((uint8_t *)r + p[i].offset);
    if (p[i].desc == plic_class.state) /* it forgets the levels of its sources, so they begin anew, too */
        goldfish_rtc_class.reset(&r->goldfish);
}

static void act(struct rig *r, struct dice *d)
{
    switch (below(d, 19)) {
    case 16:
    case 17:
    case 18: access_riscv(r, d); break;
    case 0:
    case 1:
    case 2:
    case 3:
    case 4:
    case 5: access_port(r, d); break;
    case 6:
    case 7:
    case 8: access_indexed(r, d); break;
    case 9:
    case 10: access_lapic(r, d); break;
    case 11: take_interrupt(r, d); break;
    case 12:
    case 13: pass_time(r, d); break;
    case 14: outside_world(r, d); break;
    case 15:
        if (below(d, 64) == 0)
            reset_one(r, d);
        break;
    }
    if (r->pio.nr_ranges > RANGES_MAX || r->mmio.nr_ranges > RANGES_MAX)
        finding("bus ranges leak");
}

static void save(struct rig *r, unsigned part, struct state_buf *buf)
{
    unsigned nr;
    const struct part *p = &parts(&nr)[part];
    if (state_save(p->desc, (uint8_t *)r + p->offset, buf) < 0)
        abort();
}

static int load(struct rig *r, unsigned part, struct state_buf *buf, struct error *err)
{
    unsigned nr;
    const struct part *p = &parts(&nr)[part];
    buf->pos = 0;
    return state_load(p->desc, (uint8_t *)r + p->offset, buf, err);
}

static void same_clock(struct rig *to, const struct rig *from)
{
    to->clock.frozen = from->clock.frozen;
    to->clock.tsc_frozen = from->clock.tsc_frozen;
}

/* save(load(save(r))) = save(r), all chips. */
static void check_round_trip(struct rig *r)
{
    static struct rig copy;
    struct state_buf first[PARTS_MAX] = { 0 };
    unsigned nr;
    const struct part *p = parts(&nr);
    rig_init(&copy);
    same_clock(&copy, r);
    for (unsigned pass = 0; pass < 2; pass++) /* saving brings flags up to date, which may move other chips' lines */
        for (unsigned i = 0; i < nr; i++) {
            state_buf_done(&first[i]);
            save(r, i, &first[i]);
        }
    for (unsigned i = 0; i < nr; i++) {
        struct error err = { 0 };
        if (load(&copy, i, &first[i], &err) < 0)
            finding(err.msg);
    }
    for (unsigned i = 0; i < nr; i++) {
        struct state_buf second = { 0 };
        save(&copy, i, &second);
        if (second.len != first[i].len || memcmp(second.data, first[i].data, second.len) != 0) {
            const char *field = state_diff(p[i].desc, (uint8_t *)r + p[i].offset, (uint8_t *)&copy + p[i].offset);
            printf("part %s, field %s\n", p[i].desc->name, field ? field : "?");
            finding("load and save change the state");
        }
        state_buf_done(&second);
        state_buf_done(&first[i]);
    }
    rig_done(&copy);
}

/* Damaged states are refused or survived. */
static void check_hostile_state(struct rig *r, struct dice *d)
{
    static struct rig victim;
    unsigned nr;
    (void)parts(&nr);
    rig_init(&victim);
    same_clock(&victim, r);
    for (unsigned i = 0; i < nr; i++) {
        struct state_buf buf = { 0 };
        save(r, i, &buf);
        for (uint64_t n = below(d, 4); n > 0; n--)
            buf.data[below(d, buf.len)] = (uint8_t)value(d);
        if (below(d, 16) == 0)
            buf.len = below(d, buf.len + 1);
        if (load(&victim, i, &buf, NULL) < 0) { /* as a failed restore does: from the start */
            unsigned nr_parts;
            const struct part *p = &parts(&nr_parts)[i];
            if (p->reset)
                p->reset((uint8_t *)&victim + p->offset);
        }
        state_buf_done(&buf);
    }
    for (unsigned i = 0; i < 64; i++)
        act(&victim, d);
    rig_done(&victim);
}

/* One life of a rig. */
static void run(struct dice *d)
{
    static struct rig r;
    rig_init(&r);
    for (unsigned i = 0; i < ROUND && (d->fuzz || d->len > 0); i++)
        act(&r, d);
    check_round_trip(&r);
    check_hostile_state(&r, d);
    rig_done(&r);
}

#ifdef FUZZ_LIBFUZZER
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct dice d = { .data = data, .len = size };
    run(&d);
    return 0;
}
#else
int main(int argc, char **argv)
{
    struct fuzz f;
    struct dice d = { .fuzz = &f };
    fuzz_start(&f, argc, argv, 10);
    while (fuzz_more(&f)) {
        (void)alarm(HANG_S);
        run(&d);
    }
    return 0;
}
#endif
