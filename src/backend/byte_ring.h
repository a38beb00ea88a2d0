/* SPDX-License-Identifier: MIT */
/*
 * A bounded queue of bytes.
 */
#ifndef DOPPEL_BACKEND_BYTE_RING_H
#define DOPPEL_BACKEND_BYTE_RING_H

#include <errno.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "base/error.h"

struct byte_ring {
    uint8_t *data; /* owned */
    size_t cap, head, len;
};

/* -ENOMEM. */
MUST_CHECK static inline int byte_ring_init(struct byte_ring *ring, size_t cap)
{
    *ring = (struct byte_ring){ .data = malloc(cap), .cap = cap };
    return ring->data ? 0 : -ENOMEM;
}

static inline void byte_ring_done(struct byte_ring *ring)
{
    free(ring->data);
    *ring = (struct byte_ring){ 0 };
}

static inline size_t byte_ring_room(const struct byte_ring *ring)
{
    return ring->cap - ring->len;
}

/* The longest run of bytes that lie in one piece, from the oldest. */
static inline size_t byte_ring_front(const struct byte_ring *ring, const uint8_t **ret_data)
{
    *ret_data = ring->data + ring->head;
    return MIN(ring->len, ring->cap - ring->head);
}

static inline void byte_ring_drop(struct byte_ring *ring, size_t n)
{
    ring->head = (ring->head + n) % ring->cap;
    ring->len -= n;
}

/* Appends what fits; returns how much that was. */
static inline size_t byte_ring_put(struct byte_ring *ring, const uint8_t *data, size_t len)
{
    size_t n = MIN(len, byte_ring_room(ring));
    size_t tail = (ring->head + ring->len) % ring->cap;
    size_t first = MIN(n, ring->cap - tail);
    memcpy(ring->data + tail, data, first);
    memcpy(ring->data, data + first, n - first);
    ring->len += n;
    return n;
}

/* Removes up to cap of the oldest bytes; returns how many. */
static inline size_t byte_ring_take(struct byte_ring *ring, uint8_t *data, size_t cap)
{
    size_t done = 0;
    while (done < cap && ring->len > 0) {
        const uint8_t *from;
        size_t n = MIN(byte_ring_front(ring, &from), cap - done);
        memcpy(data + done, from, n);
        byte_ring_drop(ring, n);
        done += n;
    }
    return done;
}

#endif
