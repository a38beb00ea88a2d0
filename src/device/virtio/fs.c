/* SPDX-License-Identifier: MIT */
/*
 * virtio-fs: chains to the back end, and back.
 */
#include "device/virtio/fs.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "backend/fs.h"
#include "base/checked.h"

enum { QUEUE_SIZE = 256, QUEUES = 2 }; /* hiprio, and one for requests: Linux 6.1 uses no more */

/* Spec: 5.11.4 */
struct config {
    char tag[VIRTIO_FS_TAG_SIZE];
    uint32_t num_request_queues;
};

struct fs_job {
    struct fs_job *next;   /* while spare: there are never more than chains can be out */
    struct virtio_fs *vfs; /* borrowed (it drains before it goes) */
    unsigned queue;
    struct fs_request io;
    struct virtio_chain chain;
};

static struct virtio_fs *to_fs(struct virtio_device *vdev)
{
    return (struct virtio_fs *)vdev;
}

/* A job to fill, not cleared; NULL: out of memory. */
static struct fs_job *take_job(struct virtio_fs *v)
{
    struct fs_job *job = v->spare;
    if (job)
        v->spare = job->next;
    else
        job = malloc(sizeof(*job));
    return job;
}

static void keep_job(struct virtio_fs *v, struct fs_job *job)
{
    job->next = v->spare;
    v->spare = job;
}

/* The back end's callback. */
static void on_done(struct fs_request *io)
{
    struct fs_job *job = (struct fs_job *)((char *)io - offsetof(struct fs_job, io));
    struct virtio_fs *v = job->vfs;
    virtio_chain_wrote(&job->chain, 0, job->chain.in_len); /* before the driver hears of it; also what an error left */
    virtio_push(&v->vdev, job->queue, &job->chain, (uint32_t)io->written);
    virtio_signal(&v->vdev, job->queue);
    keep_job(v, job);
}

static void fs_notify(struct virtio_device *vdev, unsigned n)
{
    static_assert((int)FS_IOV_MAX >= (int)VIRTIO_QUEUE_MAX, "a chain is a request");
    struct virtio_fs *v = to_fs(vdev);
    for (;;) {
        struct fs_job *job = take_job(v);
        if (!job) {
            virtio_broken(vdev, "the host is out of memory");
            return;
        }
        if (!virtio_pop(vdev, n, &job->chain)) {
            keep_job(v, job);
            return;
        }
        const struct virtio_chain *c = &job->chain;
        job->vfs = v;
        job->queue = n;
        job->io = (struct fs_request){
            .out = c->iov,
            .nr_out = c->nr_out,
            .out_len = c->out_len,
            .in = c->iov + c->nr_out,
            .nr_in = c->nr_in,
            .in_len = c->in_len,
            .done = on_done,
        };
        fs_submit(v->fs, &job->io);
    }
}

static void fs_quiesce(struct virtio_device *vdev)
{
    fs_drain(to_fs(vdev)->fs);
}

static void fs_forget(struct virtio_device *vdev)
{
    fs_reset(to_fs(vdev)->fs);
}

static void fs_config_read(struct virtio_device *vdev, unsigned offset, void *buf, unsigned len)
{
    struct config c = { .num_request_queues = QUEUES - 1 };
    memcpy(c.tag, to_fs(vdev)->tag, sizeof(c.tag));
    memcpy(buf, (const uint8_t *)&c + offset, len);
}

static const struct virtio_class fs_virtio_class = {
    .name = "virtio-fs",
    .id = VIRTIO_ID_FS,
    .pci_class = 0x018000, /* mass storage, other */
    .queue_size = QUEUE_SIZE,
    .config_size = sizeof(struct config),
    .config_read = fs_config_read,
    .notify = fs_notify,
    .quiesce = fs_quiesce,
    .reset = fs_forget,
};

static void fs_done(void *dev)
{
    struct virtio_fs *v = dev;
    virtio_done(&v->vdev);
    while (v->spare) {
        struct fs_job *job = v->spare;
        v->spare = job->next;
        free(job);
    }
}

static const struct state_field fs_fields[] = {
    STATE_STRUCT(struct virtio_fs, vdev, &virtio_device_state),
    STATE_END,
};
static const struct state_desc fs_state = { .name = "virtio_fs", .version = 1, .fields = fs_fields };

const struct device_class virtio_fs_class = {
    .name = "virtio-fs",
    .reset = virtio_reset,
    .done = fs_done,
    .state = &fs_state,
};

void virtio_fs_init(struct virtio_fs *vfs, struct fs *fs, const char *tag, struct gmem *gmem, struct vm_clock *clock)
{
    *vfs = (struct virtio_fs){ .fs = fs };
    memcpy(vfs->tag, tag, MIN(strlen(tag), sizeof(vfs->tag)));
    virtio_init(&vfs->vdev, &fs_virtio_class, 0, QUEUES, gmem, clock);
}
