/* SPDX-License-Identifier: MIT */
/*
 * Split virtqueues: the only code that reads descriptors which a guest wrote.
 *
 * A chain is copied out of guest memory field by field, each field read once, validated, and handed on as iovecs of host
 * addresses: the device-readable part ("out") first, then the device-writable part ("in"). What is wrong with a chain is an
 * answer (-EINVAL and a reason), never a crash; walks are bounded by the queue's size, lengths by bytes_max, and
 * chains that are out at once by the queue's size. Devices do not call this directly, but virtio_pop() and its like in
 * device/virtio/virtio.h, which mark the device broken.
 *
 * All functions: the machine's lock is held.
 * Spec: virtio 1.2, 2.7.
 */
#ifndef DOPPEL_DEVICE_VIRTIO_QUEUE_H
#define DOPPEL_DEVICE_VIRTIO_QUEUE_H

#include <sys/uio.h>

#include "core/gmem.h"
#include "core/state_desc.h"

/* Descriptors a queue can have, and so iovecs a chain can have. */
enum { VIRTIO_QUEUE_MAX = 256 };
/* Bytes a chain can have, where the queue sets no other limit. */
#define VIRTIO_CHAIN_BYTES_MAX (64U << 20)

struct vring_desc;
struct vring_avail;
struct vring_used;

/* A request of the driver, from virtio_queue_pop() to virtio_queue_push(). 4 KiB: fine on the stack; a device that answers
 * later embeds it into its own request. */
struct virtio_chain {
    struct gmem *gmem; /* borrowed (the machine's) */
    uint16_t head;     /* names it in the used ring */
    uint16_t nr_out, nr_in;
    uint32_t out_len, in_len;           /* bytes */
    struct iovec iov[VIRTIO_QUEUE_MAX]; /* nr_out to read, then nr_in to write; none is empty */
};

struct virtio_queue {
    struct gmem *gmem;  /* borrowed (the machine's) */
    bool event_idx;     /* VIRTIO_F_EVENT_IDX was negotiated */
    bool indirect;      /* VIRTIO_F_INDIRECT_DESC was negotiated */
    const char *why;    /* what pop found wrong; static text */
    uint16_t in_flight; /* chains popped and not pushed */
    uint32_t bytes_max; /* bytes a chain can have; 0: VIRTIO_CHAIN_BYTES_MAX */
    uint16_t size_max;  /* a power of two up to VIRTIO_QUEUE_MAX; 0: the device does not have this queue */
    /* host addresses of the three areas while started, else NULL */
    struct vring_desc *desc;
    struct vring_avail *avail;
    struct vring_used *used;
    /* state */
    uint16_t size; /* descriptors: a power of two up to size_max */
    bool ready;    /* the driver enabled it */
    uint64_t desc_gpa, avail_gpa, used_gpa;
    uint16_t last_avail; /* next entry of the available ring, modulo 2^16 */
    uint16_t used_idx;   /* next entry of the used ring */
    uint16_t signalled;  /* used_idx when the driver was last told */
    bool told;           /* signalled is valid */
};

extern const struct state_desc virtio_queue_state;

/* Power-on: size_max descriptors, not started, no addresses. The limits stay. */
void virtio_queue_reset(struct virtio_queue *q);
/* Finds the rings in guest memory. -EINVAL (q->why says why) when misaligned, outside of memory, or of a bad size. */
MUST_CHECK int virtio_queue_start(struct virtio_queue *q);
/* 1: *ret_chain is the next chain. 0: there is none; the driver will notify when it adds one. -EINVAL: q->why says what is
 * wrong; the queue must not be used until it is reset. *ret_chain is undefined unless 1. */
MUST_CHECK int virtio_queue_pop(struct virtio_queue *q, struct virtio_chain *ret_chain);
/* Puts the chain popped last back, to be popped again. */
void virtio_queue_unpop(struct virtio_queue *q);
/* Gives the chain back to the driver, with `written` bytes at the beginning of its in-part filled. Nothing happens when the queue
 * was reset meanwhile. */
void virtio_queue_push(struct virtio_queue *q, const struct virtio_chain *chain, uint32_t written);
/* Whether the driver wants an interrupt for what was pushed since the last call. */
bool virtio_queue_should_signal(struct virtio_queue *q);

/* Copies from the out part, from `offset` on; returns the bytes there were, at most len. The driver may change guest memory at
 * any time: read once, then validate. */
size_t virtio_chain_read(const struct virtio_chain *chain, size_t offset, void *buf, size_t len);
/* Copies to the in part; returns the bytes there was room for. */
size_t virtio_chain_write(const struct virtio_chain *chain, size_t offset, const void *buf, size_t len);
/* To be called after somebody else (the host's kernel) stored to these bytes of the in part, for the sake of translated code. */
void virtio_chain_wrote(const struct virtio_chain *chain, size_t offset, size_t len);
/* The pieces of the out or in part in [offset, offset + len) as iovecs; ret_iov has room for nr_out or nr_in. Returns how many.
 */
unsigned virtio_chain_out_slice(const struct virtio_chain *chain, size_t offset, size_t len, struct iovec *ret_iov);
unsigned virtio_chain_in_slice(const struct virtio_chain *chain, size_t offset, size_t len, struct iovec *ret_iov);

#endif
