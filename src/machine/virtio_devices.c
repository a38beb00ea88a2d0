/* SPDX-License-Identifier: MIT */
/*
 * The virtio devices of a machine: which there are, and what of the host they lead to.
 */
#include "machine/virtio_devices.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>

#include "backend/blockdev.h"
#include "backend/chardev.h"
#include "backend/fs.h"
#include "backend/netdev.h"
#include "base/checked.h"

enum { OWN_FILES = 128 }; /* descriptors that are not for shares */

static int plug(struct virtio_devices *s, const struct device_class *class, struct virtio_device *vdev, struct error *err)
{
    return s->plug(s->opaque, class, vdev, err);
}

static int add_disk(struct virtio_devices *s, unsigned i, const struct disk_config *config, struct error *err)
{
    char id[VIRTIO_BLK_ID_SIZE + 1];
    const struct blockdev_config file = {
        .path = config->path,
        .format = config->format,
        .read_only = config->read_only,
        .overlay = config->overlay,
        .overlay_path = config->overlay_path,
    };
    int r = blockdev_open(&file, s->vm->loop, &s->disk[i], err);
    if (r < 0)
        return r;
    (void)snprintf(id, sizeof(id), "disk%u", i);
    blockdev_attach(s->disk[i], &s->vm->lock);
    unsigned queues = MIN(s->vm->nr_vcpus, (unsigned)VIRTIO_BLK_QUEUES_MAX);
    virtio_blk_init(&s->blk[i], s->disk[i], id, queues, &s->vm->gmem, &s->vm->clock);
    return plug(s, &virtio_blk_class, &s->blk[i].vdev, err);
}

static int add_net(struct virtio_devices *s, const struct netdev_config *config, struct error *err)
{
    uint8_t mac[NETDEV_MAC_LEN];
    int r = netdev_open(config, s->vm->loop, &s->network, err);
    if (r < 0)
        return r;
    netdev_config_mac(config, mac);
    virtio_net_init(&s->net, s->network, mac, &s->vm->gmem, &s->vm->clock);
    netdev_attach(s->network, &s->vm->lock, virtio_net_frames, &s->net);
    return plug(s, &virtio_net_class, &s->net.vdev, err);
}

/* How many descriptors one of `shares` may hold. */
static unsigned files_of_share(unsigned shares)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) < 0 || limit.rlim_cur < OWN_FILES)
        return FS_FILES_MIN;
    return (unsigned)(MIN(limit.rlim_cur - OWN_FILES, (rlim_t)FS_FILES_MAX) / shares);
}

static int add_share(struct virtio_devices *s, unsigned i, const struct vm_config *config, struct error *err)
{
    const struct share_config *share = &config->share[i];
    const struct fs_config folder = {
        .path = share->path,
        .read_only = share->read_only,
        .max_files = files_of_share(config->nr_shares),
    };
    int r = fs_open(&folder, s->vm->loop, &s->share[i], err);
    if (r < 0)
        return r;
    fs_attach(s->share[i], &s->vm->lock);
    virtio_fs_init(&s->fs[i], s->share[i], share->tag, &s->vm->gmem, &s->vm->clock);
    return plug(s, &virtio_fs_class, &s->fs[i].vdev, err);
}

static int add_console(struct virtio_devices *s, struct chardev *chardev, struct error *err)
{
    virtio_console_init(&s->console, chardev, &s->vm->gmem, &s->vm->clock);
    chardev_attach(chardev, &s->vm->lock, virtio_console_ready, &s->console);
    s->has_console = true;
    return plug(s, &virtio_console_class, &s->console.vdev, err);
}

static int add_balloon(struct virtio_devices *s, uint64_t keep, struct error *err)
{
    virtio_balloon_init(&s->balloon, &s->vm->gmem, &s->vm->clock);
    s->has_balloon = true;
    (void)virtio_devices_set_balloon(s, keep ? keep : s->vm->gmem.size); /* there is one */
    return plug(s, &virtio_balloon_class, &s->balloon.vdev, err);
}

static int add_vsock(struct virtio_devices *s, const struct vsock_config *config, struct error *err)
{
    int r = vsockdev_unix_new(s->vm->loop, config->path, &s->sockets, err);
    if (r < 0)
        return r;
    virtio_vsock_init(&s->vsock, s->sockets, config->cid, &s->vm->gmem, &s->vm->clock, &s->vm->lock);
    return plug(s, &virtio_vsock_class, &s->vsock.vdev, err);
}

int virtio_devices_init(struct virtio_devices *s, const struct vm_config *config, const struct machine_ports *ports,
                        struct vm *vm, virtio_plug_fn plug_fn, void *opaque, struct error *err)
{
    *s = (struct virtio_devices){ .vm = vm, .plug = plug_fn, .opaque = opaque };
    virtio_rng_init(&s->rng, &vm->gmem, &vm->clock);
    int r = plug(s, &virtio_rng_class, &s->rng.vdev, err);
    for (unsigned i = 0; i < config->nr_disks && r == 0; i++)
        r = add_disk(s, i, &config->disk[i], err);
    if (r == 0 && config->net.kind != NETDEV_NONE)
        r = add_net(s, &config->net, err);
    for (unsigned i = 0; i < config->nr_shares && r == 0; i++)
        r = add_share(s, i, config, err);
    if (r == 0 && ports->virtio_console)
        r = add_console(s, ports->virtio_console, err);
    if (r == 0 && config->balloon)
        r = add_balloon(s, config->balloon_keep, err);
    if (r == 0 && config->vsock.path)
        r = add_vsock(s, &config->vsock, err);
    return r;
}

void virtio_devices_done(struct virtio_devices *s)
{
    for (unsigned i = 0; i < VM_DISKS_MAX; i++)
        blockdev_free(s->disk[i]);
    netdev_free(s->network);
    for (unsigned i = 0; i < VM_SHARES_MAX; i++)
        fs_free(s->share[i]);
    vsockdev_free(s->sockets);
}

bool virtio_devices_console_size(struct virtio_devices *s, unsigned cols, unsigned rows)
{
    if (s->has_console)
        virtio_console_resize(&s->console, (uint16_t)MIN(cols, (unsigned)UINT16_MAX), (uint16_t)MIN(rows, (unsigned)UINT16_MAX));
    return s->has_console;
}

bool virtio_devices_set_balloon(struct virtio_devices *s, uint64_t keep)
{
    const uint64_t give = s->vm->gmem.size - MIN(keep, s->vm->gmem.size);
    if (s->has_balloon)
        virtio_balloon_set_pages(&s->balloon, (uint32_t)MIN(give >> VIRTIO_BALLOON_PAGE_SHIFT, (uint64_t)UINT32_MAX));
    return s->has_balloon;
}

bool virtio_devices_get_balloon(struct virtio_devices *s, struct machine_balloon *ret_balloon)
{
    struct virtio_balloon *b = &s->balloon;
    if (!s->has_balloon)
        return false;
    static_assert((int)MACHINE_BALLOON_STATS == (int)VIRTIO_BALLOON_STATS, "each figure has its place");
    *ret_balloon = (struct machine_balloon){
        .target = s->vm->gmem.size - ((uint64_t)b->num_pages << VIRTIO_BALLOON_PAGE_SHIFT),
        .actual = s->vm->gmem.size - MIN((uint64_t)b->actual << VIRTIO_BALLOON_PAGE_SHIFT, s->vm->gmem.size),
        .driver = virtio_live(&b->vdev),
        .released = b->released,
        .known = b->known,
        .age = b->stats_at ? vm_clock_now(&s->vm->clock) - (ns_t)b->stats_at : -1,
    };
    memcpy(ret_balloon->stat, b->stat, sizeof(b->stat));
    virtio_balloon_ask(b);
    return true;
}
