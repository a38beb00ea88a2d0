/* SPDX-License-Identifier: MIT */
/*
 * The virtio devices of board `pc`: which there are, and how they hang on PCI.
 */
#include "machine/pc_virtio.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <sys/resource.h>

#include "backend/blockdev.h"
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

int pc_virtio_init(struct pc_virtio *pv, const struct vm_config *config, struct vm *vm, struct pci_bus *bus,
                   struct ioapic *ioapic, struct lapic_bus *lapics, struct error *err)
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
    return r;
}

void pc_virtio_done(struct pc_virtio *pv)
{
    for (unsigned i = 0; i < VM_DISKS_MAX; i++)
        blockdev_free(pv->disk[i]);
    netdev_free(pv->network);
    for (unsigned i = 0; i < VM_SHARES_MAX; i++)
        fs_free(pv->share[i]);
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
