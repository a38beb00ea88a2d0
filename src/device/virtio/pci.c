/* SPDX-License-Identifier: MIT */
/*
 * virtio over PCI: capabilities, common registers, notifications and interrupts.
 *
 * Registers are taken at their own widths only, as the specification tells drivers to access them (4.1.3.1).
 */
#include "device/virtio/pci.h"

#include <assert.h>
#include <string.h>

#include "base/checked.h"

enum { VENDOR = 0x1af4, DEVICE_BASE = 0x1040, REVISION = 1, SUBSYSTEM = 0x1100 };
enum { BAR = 0, PAGE = 0x1000 };
/* Places in the BAR. */
enum { AT_COMMON = 0, AT_ISR = 0x800, AT_CONFIG = 0x1000, AT_NOTIFY = 0x2000, AT_MSIX = 0x3000, AT_PBA = 0x3800 };
enum { COMMON_SIZE = 0x40, ISR_SIZE = 1, NOTIFY_MULTIPLIER = 4 };
/* Spec: 4.1.4 */
enum cap_type { CAP_COMMON = 1, CAP_NOTIFY = 2, CAP_ISR = 3, CAP_DEVICE = 4, CAP_PCI = 5 };
enum { CAP_LEN = 2, CAP_TYPE = 3, CAP_BAR = 4, CAP_OFFSET = 8, CAP_LENGTH = 12, CAP_END = 16 };
enum { ISR_QUEUE = 1, ISR_CONFIG = 2 };
enum { NO_VECTOR = 0xffff };

/* Common registers. Spec: 4.1.4.3 */
enum common {
    OFFERED_SELECT = 0x00,
    OFFERED = 0x04,
    ACCEPTED_SELECT = 0x08,
    ACCEPTED = 0x0c,
    CONFIG_VECTOR = 0x10,
    NUM_QUEUES = 0x12,
    STATUS = 0x14,
    GENERATION = 0x15,
    QUEUE_SELECT = 0x16,
    QUEUE_SIZE = 0x18,
    QUEUE_VECTOR = 0x1a,
    QUEUE_ENABLE = 0x1c,
    QUEUE_NOTIFY_OFF = 0x1e,
    QUEUE_DESC = 0x20,
    QUEUE_AVAIL = 0x28,
    QUEUE_USED = 0x30,
    QUEUE_NOTIFY_DATA = 0x38,
    QUEUE_RESET = 0x3a,
};

/* Width of the register that begins at the offset, 0 for none. */
static unsigned width(uint64_t offset)
{
    if (offset < CONFIG_VECTOR || (offset >= QUEUE_DESC && offset < QUEUE_NOTIFY_DATA))
        return offset % 4 == 0 ? 4 : 0;
    if (offset == STATUS || offset == GENERATION)
        return 1;
    return offset % 2 == 0 && offset <= QUEUE_RESET ? 2 : 0;
}

static struct virtio_queue *selected(struct virtio_pci *p)
{
    return virtio_get_queue(p->vdev, p->queue);
}

/* Which half of which area of the selected queue lies at the offset. */
static enum virtio_area area_at(uint64_t offset)
{
    return offset < QUEUE_AVAIL ? VIRTIO_AREA_DESC : offset < QUEUE_USED ? VIRTIO_AREA_AVAIL : VIRTIO_AREA_USED;
}

static uint32_t read_area(const struct virtio_queue *q, uint64_t offset)
{
    const uint64_t gpa[] = { q->desc_gpa, q->avail_gpa, q->used_gpa };
    return (uint32_t)(gpa[area_at(offset)] >> (offset & 4 ? 32 : 0));
}

/* Registers of the selected queue; all 0 when there is none, which says so. */
static uint32_t read_queue(struct virtio_pci *p, uint64_t offset)
{
    const struct virtio_queue *q = selected(p);
    if (!q)
        return 0;
    switch (offset) {
    case QUEUE_SIZE: return q->size;
    case QUEUE_VECTOR: return p->queue_vector[p->queue];
    case QUEUE_ENABLE: return q->ready;
    case QUEUE_NOTIFY_OFF:
    case QUEUE_NOTIFY_DATA: return p->queue;
    case QUEUE_RESET: return 0;
    default: return read_area(q, offset);
    }
}

static uint32_t read_common(struct virtio_pci *p, uint64_t offset)
{
    switch (offset) {
    case OFFERED_SELECT: return p->offered_word;
    case OFFERED: return virtio_offered(p->vdev, p->offered_word);
    case ACCEPTED_SELECT: return p->accepted_word;
    case ACCEPTED: return virtio_accepted(p->vdev, p->accepted_word);
    case CONFIG_VECTOR: return p->config_vector;
    case NUM_QUEUES: return p->vdev->nr_queues;
    case STATUS: return p->vdev->status;
    case GENERATION: return p->vdev->config_generation;
    case QUEUE_SELECT: return p->queue;
    default: return read_queue(p, offset);
    }
}

/* A vector that does not exist becomes none, which the driver reads back. Spec: 4.1.5.1.2.1 */
static uint16_t vector(const struct virtio_pci *p, uint32_t value)
{
    return value < p->msix.nr ? (uint16_t)value : NO_VECTOR;
}

/* The transport's part of a reset. */
static void forget(struct virtio_pci *p)
{
    p->offered_word = p->accepted_word = 0;
    p->queue = 0;
    p->config_vector = NO_VECTOR;
    for (unsigned n = 0; n < VIRTIO_QUEUES_MAX; n++)
        p->queue_vector[n] = NO_VECTOR;
    p->isr = 0;
    pci_func_set_intx(&p->func, false);
}

static void write_queue(struct virtio_pci *p, uint64_t offset, uint32_t value)
{
    if (!selected(p)) {
        guest_err(&p->vdev->errors, "%s: write to queue %u, which does not exist", p->vdev->class->name, p->queue);
        return;
    }
    switch (offset) {
    case QUEUE_SIZE: virtio_set_queue_size(p->vdev, p->queue, value); break;
    case QUEUE_VECTOR: p->queue_vector[p->queue] = vector(p, value); break;
    case QUEUE_ENABLE:
        if (value == 1)
            virtio_enable_queue(p->vdev, p->queue);
        else
            guest_err(&p->vdev->errors, "%s: queue_enable = %u", p->vdev->class->name, value);
        break;
    case QUEUE_NOTIFY_OFF:
    case QUEUE_NOTIFY_DATA:
    case QUEUE_RESET: guest_err(&p->vdev->errors, "%s: write to a read-only register", p->vdev->class->name); break;
    default: virtio_set_queue_area(p->vdev, p->queue, area_at(offset), offset & 4 ? 32 : 0, value); break;
    }
}

static void write_status(struct virtio_pci *p, uint8_t status)
{
    virtio_set_status(p->vdev, status);
    if (status == 0)
        forget(p);
}

static void write_common(struct virtio_pci *p, uint64_t offset, uint32_t value)
{
    switch (offset) {
    case OFFERED_SELECT: p->offered_word = value; break;
    case ACCEPTED_SELECT: p->accepted_word = value; break;
    case ACCEPTED: virtio_accept(p->vdev, p->accepted_word, value); break;
    case CONFIG_VECTOR: p->config_vector = vector(p, value); break;
    case STATUS: write_status(p, (uint8_t)value); break;
    case QUEUE_SELECT: p->queue = (uint16_t)value; break;
    case OFFERED:
    case NUM_QUEUES:
    case GENERATION: guest_err(&p->vdev->errors, "%s: write to a read-only register", p->vdev->class->name); break;
    default: write_queue(p, offset, value); break;
    }
}

static uint8_t take_isr(struct virtio_pci *p)
{
    uint8_t isr = p->isr;
    p->isr = 0;
    pci_func_set_intx(&p->func, false);
    return isr;
}

static uint32_t read_first_page(struct virtio_pci *p, uint64_t offset, unsigned size)
{
    if (offset == AT_ISR && size == ISR_SIZE)
        return take_isr(p);
    if (offset < COMMON_SIZE && width(offset) == size)
        return read_common(p, offset);
    guest_err(&p->vdev->errors, "%s: %u-byte read at %#x", p->vdev->class->name, size, (unsigned)offset);
    return 0;
}

static uint64_t bar_read(void *dev, uint64_t offset, unsigned size)
{
    struct virtio_pci *p = dev;
    switch (offset / PAGE * PAGE) {
    case AT_COMMON: return read_first_page(p, offset, size);
    case AT_CONFIG: return virtio_config_read(p->vdev, offset - AT_CONFIG, size);
    case AT_MSIX:
        return offset < AT_PBA ? msix_table_read(&p->msix, offset - AT_MSIX, size)
                               : msix_pba_read(&p->msix, offset - AT_PBA, size);
    default: return 0; /* AT_NOTIFY */
    }
}

static void bar_write(void *dev, uint64_t offset, uint64_t value, unsigned size)
{
    struct virtio_pci *p = dev;
    switch (offset / PAGE * PAGE) {
    case AT_COMMON:
        if (offset < COMMON_SIZE && width(offset) == size)
            write_common(p, offset, (uint32_t)value);
        else
            guest_err(&p->vdev->errors, "%s: %u-byte write at %#x", p->vdev->class->name, size, (unsigned)offset);
        break;
    case AT_CONFIG: virtio_config_write(p->vdev, offset - AT_CONFIG, value, size); break;
    case AT_NOTIFY: virtio_notify(p->vdev, (uint32_t)(offset - AT_NOTIFY) / NOTIFY_MULTIPLIER); break;
    default:
        if (offset < AT_PBA)
            msix_table_write(&p->msix, offset - AT_MSIX, (uint32_t)value, size);
        break;
    }
}

static const struct io_ops bar_ops = { .read = bar_read, .write = bar_write, .min_size = 1, .max_size = 4 };

/* ---- access through configuration space. Spec: 4.1.4.9 ---- */

static uint32_t get32(const uint8_t *from)
{
    uint32_t v;
    memcpy(&v, from, sizeof(v));
    return v;
}

static void put32(uint8_t *to, uint32_t v)
{
    memcpy(to, &v, sizeof(v));
}

/* What the access capability points to; false when that is nothing. */
static bool access_window(const struct virtio_pci *p, uint32_t *ret_offset, uint32_t *ret_size)
{
    const uint8_t *cap = p->func.config + p->access_cap;
    uint32_t at = get32(cap + CAP_OFFSET), size = get32(cap + CAP_LENGTH);
    *ret_offset = at;
    *ret_size = size;
    return cap[CAP_BAR] == BAR && (size == 1 || size == 2 || size == 4) && at % size == 0 && at < VIRTIO_PCI_BAR_SIZE;
}

static bool touches_access_data(const struct virtio_pci *p, unsigned offset, unsigned size)
{
    unsigned data = p->access_cap + CAP_END;
    return offset < data + 4 && data < offset + size;
}

static struct virtio_pci *of_func(struct pci_func *func)
{
    return (struct virtio_pci *)((char *)func - offsetof(struct virtio_pci, func));
}

static void config_reading(struct pci_func *func, unsigned offset, unsigned size)
{
    struct virtio_pci *p = of_func(func);
    uint32_t at, bytes;
    if (touches_access_data(p, offset, size) && access_window(p, &at, &bytes))
        put32(func->config + p->access_cap + CAP_END, (uint32_t)bar_read(p, at, bytes));
}

static void config_written(struct pci_func *func, unsigned offset, unsigned size)
{
    struct virtio_pci *p = of_func(func);
    uint32_t at, bytes;
    msix_config_written(&p->msix, offset, size);
    if (touches_access_data(p, offset, size) && access_window(p, &at, &bytes))
        bar_write(p, at, get32(func->config + p->access_cap + CAP_END) & (UINT32_MAX >> (32 - 8 * bytes)), bytes);
}

/* ---- interrupts ---- */

static void interrupt(struct virtio_pci *p, uint16_t vec, uint8_t isr)
{
    if (msix_enabled(&p->msix)) {
        msix_fire(&p->msix, vec); /* NO_VECTOR is none */
        return;
    }
    p->isr |= isr;
    pci_func_set_intx(&p->func, true);
}

static void queue_irq(void *transport, unsigned n)
{
    struct virtio_pci *p = transport;
    interrupt(p, p->queue_vector[n], ISR_QUEUE);
}

static void config_irq(void *transport)
{
    struct virtio_pci *p = transport;
    interrupt(p, p->config_vector, ISR_CONFIG);
}

static const struct virtio_transport_ops transport_ops = { .queue_irq = queue_irq, .config_irq = config_irq };

/* ---- life ---- */

static uint8_t add_cap(struct virtio_pci *p, enum cap_type type, uint32_t offset, uint32_t length, uint8_t more)
{
    uint8_t at = pci_func_add_capability(&p->func, PCI_CAP_VENDOR, CAP_END + more);
    uint8_t *cap = p->func.config + at;
    cap[CAP_LEN] = CAP_END + more;
    cap[CAP_TYPE] = (uint8_t)type;
    cap[CAP_BAR] = BAR;
    put32(cap + CAP_OFFSET, offset);
    put32(cap + CAP_LENGTH, length);
    return at;
}

static void add_caps(struct virtio_pci *p, const struct msi_sink *sink)
{
    uint32_t config_size = p->vdev->class->config_size;
    (void)add_cap(p, CAP_COMMON, AT_COMMON, COMMON_SIZE, 0);
    (void)add_cap(p, CAP_ISR, AT_ISR, ISR_SIZE, 0);
    if (config_size)
        (void)add_cap(p, CAP_DEVICE, AT_CONFIG, config_size, 0);
    uint8_t notify = add_cap(p, CAP_NOTIFY, AT_NOTIFY, p->vdev->nr_queues * NOTIFY_MULTIPLIER, 4);
    put32(p->func.config + notify + CAP_END, NOTIFY_MULTIPLIER);
    p->access_cap = add_cap(p, CAP_PCI, 0, 0, 4);
    p->func.wmask[p->access_cap + CAP_BAR] = 0xff;
    memset(p->func.wmask + p->access_cap + CAP_OFFSET, 0xff, CAP_END + 4 - CAP_OFFSET);
    msix_init(&p->msix, &p->func, p->vdev->nr_queues + 1, BAR, AT_MSIX, AT_PBA, sink);
}

void virtio_pci_init(struct virtio_pci *pci, struct virtio_device *vdev, const struct msi_sink *sink)
{
    static_assert(VIRTIO_QUEUES_MAX + 1 <= MSIX_VECTORS_MAX, "a vector for each queue and one for the configuration");
    const struct virtio_class *class = vdev->class;
    assert(class->config_size <= PAGE);
    *pci = (struct virtio_pci){ .vdev = vdev };
    pci_func_init(&pci->func, VENDOR, (uint16_t)(DEVICE_BASE + class->id), class->pci_class, REVISION);
    pci->func.config[PCI_SUBSYSTEM_VENDOR] = VENDOR & 0xff;
    pci->func.config[PCI_SUBSYSTEM_VENDOR + 1] = VENDOR >> 8;
    pci->func.config[PCI_SUBSYSTEM + 1] = SUBSYSTEM >> 8;
    pci->func.config[PCI_INTERRUPT_PIN] = 1; /* INTA# */
    pci->func.reading = config_reading;
    pci->func.written = config_written;
    pci_func_set_bar(&pci->func, BAR, PCI_BAR_MEM32, VIRTIO_PCI_BAR_SIZE, &bar_ops, pci, class->name);
    add_caps(pci, sink);
    virtio_connect(vdev, &transport_ops, pci);
    forget(pci);
}

static void virtio_pci_reset(void *dev)
{
    struct virtio_pci *p = dev;
    pci_func_reset(&p->func);
    msix_reset(&p->msix);
    memset(p->func.config + p->access_cap + CAP_OFFSET, 0, CAP_END + 4 - CAP_OFFSET);
    p->func.config[p->access_cap + CAP_BAR] = BAR;
    forget(p);
}

static int virtio_pci_post_load(void *object, struct error *err)
{
    struct virtio_pci *p = object;
    (void)err;
    p->config_vector = vector(p, p->config_vector);
    for (unsigned n = 0; n < VIRTIO_QUEUES_MAX; n++)
        p->queue_vector[n] = vector(p, p->queue_vector[n]);
    p->isr &= ISR_QUEUE | ISR_CONFIG;
    pci_func_set_intx(&p->func, p->isr);
    return 0;
}

static const struct state_field virtio_pci_fields[] = {
    STATE_STRUCT(struct virtio_pci, func, &pci_func_state),
    STATE_STRUCT(struct virtio_pci, msix, &msix_state),
    STATE_U32(struct virtio_pci, offered_word),
    STATE_U32(struct virtio_pci, accepted_word),
    STATE_U16(struct virtio_pci, queue),
    STATE_U16(struct virtio_pci, config_vector),
    STATE_ARRAY(struct virtio_pci, queue_vector, STATE_U16),
    STATE_U8(struct virtio_pci, isr),
    STATE_END,
};
static const struct state_desc virtio_pci_state = {
    .name = "virtio_pci",
    .version = 1,
    .fields = virtio_pci_fields,
    .post_load = virtio_pci_post_load,
};

const struct device_class virtio_pci_class = { .name = "virtio-pci", .reset = virtio_pci_reset, .state = &virtio_pci_state };
