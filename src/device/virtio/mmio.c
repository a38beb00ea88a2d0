/* SPDX-License-Identifier: MIT */
/*
 * virtio over MMIO: registers of 32 bits, and the configuration space behind them.
 */
#include "device/virtio/mmio.h"

#include "base/checked.h"

enum { MAGIC_VALUE = 0x74726976, VERSION_VALUE = 2, VENDOR_VALUE = 0x1af4 };
enum { ISR_QUEUE = 1, ISR_CONFIG = 2 };

/* Spec: table 4.1 */
enum reg {
    MAGIC = 0x000,
    VERSION = 0x004,
    DEVICE = 0x008,
    VENDOR = 0x00c,
    OFFERED = 0x010,
    OFFERED_SELECT = 0x014,
    ACCEPTED = 0x020,
    ACCEPTED_SELECT = 0x024,
    QUEUE_SELECT = 0x030,
    QUEUE_SIZE_MAX = 0x034,
    QUEUE_SIZE = 0x038,
    QUEUE_READY = 0x044,
    QUEUE_NOTIFY = 0x050,
    ISR = 0x060,
    ISR_ACK = 0x064,
    STATUS = 0x070,
    QUEUE_DESC = 0x080,
    QUEUE_AVAIL = 0x090,
    QUEUE_USED = 0x0a0,
    QUEUE_END = 0x0b0,
    SHM_LENGTH_LOW = 0x0b0,
    SHM_BASE_HIGH = 0x0bc,
    GENERATION = 0x0fc,
    CONFIG = 0x100,
};

static void update_irq(struct virtio_mmio *m)
{
    irq_set(&m->irq, m->isr != 0);
}

static void forget(struct virtio_mmio *m)
{
    m->offered_word = m->accepted_word = 0;
    m->queue = 0;
    m->isr = 0;
    update_irq(m);
}

static uint32_t read_queue(struct virtio_mmio *m, uint64_t offset)
{
    const struct virtio_queue *q = virtio_get_queue(m->vdev, m->queue);
    if (!q)
        return 0;
    return offset == QUEUE_SIZE_MAX ? q->size_max : q->ready;
}

static uint32_t read_reg(struct virtio_mmio *m, uint64_t offset)
{
    switch (offset) {
    case OFFERED: return virtio_offered(m->vdev, m->offered_word);
    case QUEUE_SIZE_MAX:
    case QUEUE_READY: return read_queue(m, offset);
    case ISR: return m->isr;
    case STATUS: return m->vdev->status;
    case GENERATION: return m->vdev->config_generation;
    default: break;
    }
    if (offset >= SHM_LENGTH_LOW && offset <= SHM_BASE_HIGH)
        return UINT32_MAX; /* no shared memory regions. Spec: 4.2.2.1 */
    guest_err(&m->errors, "virtio-mmio: read of register %#x", (unsigned)offset);
    return 0;
}

static uint64_t mmio_read(void *dev, uint64_t offset, unsigned size)
{
    struct virtio_mmio *m = dev;
    if (offset >= CONFIG)
        return m->vdev ? virtio_config_read(m->vdev, offset - CONFIG, size) : 0;
    if (size != 4 || offset % 4) {
        guest_err(&m->errors, "virtio-mmio: %u-byte read at %#x", size, (unsigned)offset);
        return 0;
    }
    switch (offset) {
    case MAGIC: return MAGIC_VALUE;
    case VERSION: return VERSION_VALUE;
    case DEVICE: return m->vdev ? m->vdev->class->id : 0;
    case VENDOR: return VENDOR_VALUE;
    default: return m->vdev ? read_reg(m, offset) : 0;
    }
}

static void write_area(struct virtio_mmio *m, uint64_t offset, uint32_t value)
{
    enum virtio_area which = offset < QUEUE_AVAIL ? VIRTIO_AREA_DESC : offset < QUEUE_USED ? VIRTIO_AREA_AVAIL : VIRTIO_AREA_USED;
    if (offset & 8)
        guest_err(&m->errors, "virtio-mmio: write at %#x", (unsigned)offset);
    else
        virtio_set_queue_area(m->vdev, m->queue, which, offset & 4 ? 32 : 0, value);
}

static void write_status(struct virtio_mmio *m, uint8_t status)
{
    virtio_set_status(m->vdev, status);
    if (status == 0)
        forget(m);
}

static void write_reg(struct virtio_mmio *m, uint64_t offset, uint32_t value)
{
    switch (offset) {
    case OFFERED_SELECT: m->offered_word = value; return;
    case ACCEPTED: virtio_accept(m->vdev, m->accepted_word, value); return;
    case ACCEPTED_SELECT: m->accepted_word = value; return;
    case QUEUE_SELECT: m->queue = value; return;
    case QUEUE_SIZE: virtio_set_queue_size(m->vdev, m->queue, value); return;
    case QUEUE_NOTIFY: virtio_notify(m->vdev, value); return;
    case STATUS: write_status(m, (uint8_t)value); return;
    case QUEUE_READY:
        if (value == 1)
            virtio_enable_queue(m->vdev, m->queue);
        else
            guest_err(&m->errors, "virtio-mmio: QueueReady = %u", value);
        return;
    case ISR_ACK:
        m->isr &= ~value;
        update_irq(m);
        return;
    default: break;
    }
    if (offset >= QUEUE_DESC && offset < QUEUE_END)
        write_area(m, offset, value);
    else
        guest_err(&m->errors, "virtio-mmio: write to register %#x", (unsigned)offset);
}

static void mmio_write(void *dev, uint64_t offset, uint64_t value, unsigned size)
{
    struct virtio_mmio *m = dev;
    if (m->vdev && offset >= CONFIG)
        virtio_config_write(m->vdev, offset - CONFIG, value, size);
    else if (m->vdev && size == 4 && offset % 4 == 0)
        write_reg(m, offset, (uint32_t)value);
    else
        guest_err(&m->errors, "virtio-mmio: %u-byte write at %#x", size, (unsigned)offset);
}

static void queue_irq(void *transport, unsigned n)
{
    struct virtio_mmio *m = transport;
    (void)n;
    m->isr |= ISR_QUEUE;
    update_irq(m);
}

static void config_irq(void *transport)
{
    struct virtio_mmio *m = transport;
    m->isr |= ISR_CONFIG;
    update_irq(m);
}

static const struct virtio_transport_ops transport_ops = { .queue_irq = queue_irq, .config_irq = config_irq };

static void virtio_mmio_reset(void *dev)
{
    forget(dev);
}

static int virtio_mmio_post_load(void *object, struct error *err)
{
    struct virtio_mmio *m = object;
    (void)err;
    m->isr &= ISR_QUEUE | ISR_CONFIG;
    update_irq(m);
    return 0;
}

static const struct state_field virtio_mmio_fields[] = {
    STATE_U32(struct virtio_mmio, offered_word),
    STATE_U32(struct virtio_mmio, accepted_word),
    STATE_U32(struct virtio_mmio, queue),
    STATE_U32(struct virtio_mmio, isr),
    STATE_END,
};
static const struct state_desc virtio_mmio_state = {
    .name = "virtio_mmio",
    .version = 1,
    .fields = virtio_mmio_fields,
    .post_load = virtio_mmio_post_load,
};

const struct io_ops virtio_mmio_io_ops = { .read = mmio_read, .write = mmio_write, .min_size = 1, .max_size = 4 };
const struct device_class virtio_mmio_class = { .name = "virtio-mmio", .reset = virtio_mmio_reset, .state = &virtio_mmio_state };

void virtio_mmio_init(struct virtio_mmio *mmio, struct virtio_device *vdev, const struct irq_line *irq)
{
    *mmio = (struct virtio_mmio){ .vdev = vdev };
    if (irq)
        mmio->irq = *irq;
    if (vdev)
        virtio_connect(vdev, &transport_ops, mmio);
}
