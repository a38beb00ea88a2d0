/* SPDX-License-Identifier: MIT */
/*
 * The virtio devices of board `pc`: which there are, and how they hang on PCI.
 */
#include "machine/pc_virtio.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>

#include "backend/blockdev.h"
#include "backend/chardev.h"
#include "backend/fs.h"
#include "backend/netdev.h"
#include "base/checked.h"
#include "device/ioapic.h"
#include "device/lapic.h"
#include "machine/pc.h"

enum { OWN_FILES = 128 }; /* descriptors that are not for shares */

/* An irq_fn; pin: the slot. */
static void intx(void *opaque, unsigned slot, bool level)
{
    struct pc_virtio *pv = opaque;
    unsigned line = slot % PC_INTX;
    uint32_t bit = 1U << slot;
    pv->intx[line] = level ? pv->intx[line] | bit : pv->intx[line] & ~bit;
    ioapic_set_irq(pv->ioapic, PC_GSI_PCI + line, pv->intx[line] != 0);
}

static void msi(void *opaque, uint64_t address, uint32_t data)
{
    struct pc_virtio *pv = opaque;
    lapic_bus_deliver(pv->lapics, address, data);
}

static void add_chip(struct pc_virtio *pv, const struct device_class *class, void *dev)
{
    assert(pv->nr_chips < PC_VIRTIO_CHIPS);
    pv->chip[pv->nr_chips++] = (struct board_chip){ .class = class, .dev = dev };
}

/* Puts a device, whose struct begins with the virtio_device, into the next slot. */
static int plug(struct pc_virtio *pv, const struct device_class *class, struct virtio_device *vdev, struct error *err)
{
    add_chip(pv, class, vdev); /* before its transport: see device/virtio/pci.h */
    if (pv->nr_slots >= PC_SLOTS)
        return error_set(err, -ENOSPC, "more than %d PCI devices", PC_SLOTS);
    struct virtio_pci *p = &pv->slot[pv->nr_slots++];
    const struct msi_sink sink = { .fn = msi, .opaque = pv };
    virtio_pci_init(p, vdev, &sink);
    p->func.intx = (struct irq_line){ .fn = intx, .opaque = pv, .pin = pv->nr_slots };
    add_chip(pv, &virtio_pci_class, p);
    return pci_bus_add(pv->bus, &p->func, (uint8_t)PCI_DEVFN(pv->nr_slots, 0), err);
}

static int add_disk(struct pc_virtio *pv, unsigned i, const struct disk_config *config, struct error *err)
{
    char id[VIRTIO_BLK_ID_SIZE + 1];
    const struct blockdev_config file = {
        .path = config->path,
        .format = config->format,
        .read_only = config->read_only,
        .overlay = config->overlay,
        .overlay_path = config->overlay_path,
    };
    int r = blockdev_open(&file, pv->vm->loop, &pv->disk[i], err);
    if (r < 0)
        return r;
    (void)snprintf(id, sizeof(id), "disk%u", i);
    blockdev_attach(pv->disk[i], &pv->vm->lock);
    unsigned queues = MIN(pv->vm->nr_vcpus, (unsigned)VIRTIO_BLK_QUEUES_MAX);
    virtio_blk_init(&pv->blk[i], pv->disk[i], id, queues, &pv->vm->gmem, &pv->vm->clock);
    return plug(pv, &virtio_blk_class, &pv->blk[i].vdev, err);
}

static int add_net(struct pc_virtio *pv, const struct netdev_config *config, struct error *err)
{
    uint8_t mac[NETDEV_MAC_LEN];
    int r = netdev_open(config, pv->vm->loop, &pv->network, err);
    if (r < 0)
        return r;
    netdev_config_mac(config, mac);
    virtio_net_init(&pv->net, pv->network, mac, &pv->vm->gmem, &pv->vm->clock);
    netdev_attach(pv->network, &pv->vm->lock, virtio_net_frames, &pv->net);
    return plug(pv, &virtio_net_class, &pv->net.vdev, err);
}

/* How many descriptors one of `shares` may hold. */
static unsigned files_of_share(unsigned shares)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) < 0 || limit.rlim_cur < OWN_FILES)
        return FS_FILES_MIN;
    return (unsigned)(MIN(limit.rlim_cur - OWN_FILES, (rlim_t)FS_FILES_MAX) / shares);
}

static int add_share(struct pc_virtio *pv, unsigned i, const struct vm_config *config, struct error *err)
{
    const struct share_config *share = &config->share[i];
    const struct fs_config folder = {
        .path = share->path,
        .read_only = share->read_only,
        .max_files = files_of_share(config->nr_shares),
    };
    int r = fs_open(&folder, pv->vm->loop, &pv->share[i], err);
    if (r < 0)
        return r;
    fs_attach(pv->share[i], &pv->vm->lock);
    virtio_fs_init(&pv->fs[i], pv->share[i], share->tag, &pv->vm->gmem, &pv->vm->clock);
    return plug(pv, &virtio_fs_class, &pv->fs[i].vdev, err);
}

static int add_console(struct pc_virtio *pv, struct chardev *chardev, struct error *err)
{
    virtio_console_init(&pv->console, chardev, &pv->vm->gmem, &pv->vm->clock);
    chardev_attach(chardev, &pv->vm->lock, virtio_console_ready, &pv->console);
    pv->has_console = true;
    return plug(pv, &virtio_console_class, &pv->console.vdev, err);
}

static int add_balloon(struct pc_virtio *pv, uint64_t keep, struct error *err)
{
    virtio_balloon_init(&pv->balloon, &pv->vm->gmem, &pv->vm->clock);
    pv->has_balloon = true;
    (void)pc_virtio_set_balloon(pv, keep ? keep : pv->vm->gmem.size); /* there is one */
    return plug(pv, &virtio_balloon_class, &pv->balloon.vdev, err);
}

static int add_vsock(struct pc_virtio *pv, const struct vsock_config *config, struct error *err)
{
    int r = vsockdev_unix_new(pv->vm->loop, config->path, &pv->sockets, err);
    if (r < 0)
        return r;
    virtio_vsock_init(&pv->vsock, pv->sockets, config->cid, &pv->vm->gmem, &pv->vm->clock, &pv->vm->lock);
    return plug(pv, &virtio_vsock_class, &pv->vsock.vdev, err);
}

int pc_virtio_init(struct pc_virtio *pv, const struct vm_config *config, const struct machine_ports *ports, struct vm *vm,
                   struct pci_bus *bus, struct ioapic *ioapic, struct lapic_bus *lapics, struct error *err)
{
    *pv = (struct pc_virtio){ .vm = vm, .bus = bus, .ioapic = ioapic, .lapics = lapics };
    virtio_rng_init(&pv->rng, &vm->gmem, &vm->clock);
    int r = plug(pv, &virtio_rng_class, &pv->rng.vdev, err);
    for (unsigned i = 0; i < config->nr_disks && r == 0; i++)
        r = add_disk(pv, i, &config->disk[i], err);
    if (r == 0 && config->net.kind != NETDEV_NONE)
        r = add_net(pv, &config->net, err);
    for (unsigned i = 0; i < config->nr_shares && r == 0; i++)
        r = add_share(pv, i, config, err);
    if (r == 0 && ports->virtio_console)
        r = add_console(pv, ports->virtio_console, err);
    if (r == 0 && config->balloon)
        r = add_balloon(pv, config->balloon_keep, err);
    if (r == 0 && config->vsock.path)
        r = add_vsock(pv, &config->vsock, err);
    return r;
}

void pc_virtio_done(struct pc_virtio *pv)
{
    for (unsigned i = 0; i < VM_DISKS_MAX; i++)
        blockdev_free(pv->disk[i]);
    netdev_free(pv->network);
    for (unsigned i = 0; i < VM_SHARES_MAX; i++)
        fs_free(pv->share[i]);
    vsockdev_free(pv->sockets);
}

void pc_virtio_assign(struct pc_virtio *pv)
{
    static_assert(PC_RAM_HOLE + (uint64_t)PC_SLOTS * VIRTIO_PCI_BAR_SIZE <= PC_ECAM, "the BARs fit into the window");
    for (unsigned i = 0; i < pv->nr_slots; i++) {
        uint8_t devfn = PCI_DEVFN(i + 1, 0);
        pci_config_write(pv->bus, devfn, PCI_BAR0, (uint32_t)(PC_RAM_HOLE + (uint64_t)i * VIRTIO_PCI_BAR_SIZE), 4);
        pci_config_write(pv->bus, devfn, PCI_COMMAND, PCI_COMMAND_MEMORY, 2);
    }
}

bool pc_virtio_console_size(struct pc_virtio *pv, unsigned cols, unsigned rows)
{
    if (pv->has_console)
        virtio_console_resize(&pv->console, (uint16_t)MIN(cols, (unsigned)UINT16_MAX), (uint16_t)MIN(rows, (unsigned)UINT16_MAX));
    return pv->has_console;
}

bool pc_virtio_set_balloon(struct pc_virtio *pv, uint64_t keep)
{
    const uint64_t give = pv->vm->gmem.size - MIN(keep, pv->vm->gmem.size);
    if (pv->has_balloon)
        virtio_balloon_set_pages(&pv->balloon, (uint32_t)MIN(give >> VIRTIO_BALLOON_PAGE_SHIFT, (uint64_t)UINT32_MAX));
    return pv->has_balloon;
}

bool pc_virtio_get_balloon(struct pc_virtio *pv, struct machine_balloon *ret_balloon)
{
    struct virtio_balloon *b = &pv->balloon;
    if (!pv->has_balloon)
        return false;
    static_assert((int)MACHINE_BALLOON_STATS == (int)VIRTIO_BALLOON_STATS, "each figure has its place");
    *ret_balloon = (struct machine_balloon){
        .target = pv->vm->gmem.size - ((uint64_t)b->num_pages << VIRTIO_BALLOON_PAGE_SHIFT),
        .actual = pv->vm->gmem.size - MIN((uint64_t)b->actual << VIRTIO_BALLOON_PAGE_SHIFT, pv->vm->gmem.size),
        .driver = virtio_live(&b->vdev),
        .released = b->released,
        .known = b->known,
        .age = b->stats_at ? vm_clock_now(&pv->vm->clock) - (ns_t)b->stats_at : -1,
    };
    memcpy(ret_balloon->stat, b->stat, sizeof(b->stat));
    virtio_balloon_ask(b);
    return true;
}
