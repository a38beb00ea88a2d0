/* SPDX-License-Identifier: MIT */
/*
 * Implementation of reads before there is a machine.
 */
#include "machine/disk_reader.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "backend/blockdev.h"
#include "base/checked.h"

/* Enough for the largest kernel and initrd with their metadata; an end for everything else. */
#define BYTES_MAX (3UL << 30)
#define CALLS_MAX (4UL << 20)

int disk_reader_init(struct disk_reader *r, struct blockdev *disk, struct error *err)
{
    *r = (struct disk_reader){ .disk = disk, .bytes_left = BYTES_MAX, .calls_left = CALLS_MAX };
    r->memory = malloc((size_t)DISK_READER_WINDOWS * DISK_READER_WINDOW);
    if (!r->memory)
        return error_set(err, -ENOMEM, "out of memory");
    for (unsigned i = 0; i < DISK_READER_WINDOWS; i++)
        r->window[i].data = r->memory + (size_t)i * DISK_READER_WINDOW;
    return 0;
}

void disk_reader_done(struct disk_reader *r)
{
    if (!r)
        return;
    free(r->memory);
    *r = (struct disk_reader){ 0 };
}

uint64_t disk_reader_size(const struct disk_reader *r)
{
    return r->disk->size;
}

struct one_read {
    struct blockdev_request req; /* first */
    bool ended;
    int result;
};

static void on_end(struct blockdev_request *req, int result)
{
    struct one_read *one = (struct one_read *)req;
    one->ended = true;
    one->result = result;
}

static int fill(struct disk_reader *r, struct disk_window *w, uint64_t at, struct error *err)
{
    struct iovec iov = { .iov_base = w->data, .iov_len = MIN((uint64_t)DISK_READER_WINDOW, r->disk->size - at) };
    struct one_read one = {
        .req = { .op = BLOCKDEV_READ, .offset = at, .len = iov.iov_len, .iov = &iov, .nr_iov = 1, .done = on_end },
    };
    const size_t len = iov.iov_len;
    if (len > r->bytes_left)
        return error_set(err, -E2BIG, "it goes in circles, or is too large");
    r->bytes_left -= len;
    w->used = 0;
    blockdev_submit(r->disk, &one.req);
    blockdev_kick(r->disk);
    blockdev_drain(r->disk);
    if (!one.ended || one.result < 0)
        return error_set(err, one.ended ? one.result : -EIO, "cannot read %zu bytes at %#" PRIx64 ": %s", len, at,
                         strerror(one.ended ? -one.result : EIO));
    w->at = at;
    w->len = len;
    return 0;
}

/* The window with this offset: a cached one, or in place of the one that was not used for longest. */
static int find_window(struct disk_reader *r, uint64_t offset, struct disk_window **ret_window, struct error *err)
{
    const uint64_t at = ALIGN_DOWN(offset, (uint64_t)DISK_READER_WINDOW);
    struct disk_window *oldest = &r->window[0];
    for (unsigned i = 0; i < DISK_READER_WINDOWS; i++) {
        struct disk_window *w = &r->window[i];
        if (w->used && w->at == at) {
            w->used = ++r->now;
            *ret_window = w;
            return 0;
        }
        if (w->used < oldest->used)
            oldest = w;
    }
    int code = fill(r, oldest, at, err);
    if (code < 0)
        return code;
    oldest->used = ++r->now;
    *ret_window = oldest;
    return 0;
}

int disk_reader_read(struct disk_reader *r, uint64_t offset, void *buf, size_t len, struct error *err)
{
    if (r->calls_left == 0)
        return error_set(err, -E2BIG, "it goes in circles, or is too large");
    r->calls_left--;
    if (offset > r->disk->size || len > r->disk->size - offset)
        return error_set(err, -ENXIO, "%zu bytes at %#" PRIx64 " are behind the end of the disk, at %#" PRIx64, len, offset,
                         r->disk->size);
    for (size_t done = 0; done < len;) {
        struct disk_window *w = NULL;
        int code = find_window(r, offset + done, &w, err);
        if (code < 0)
            return code;
        size_t skip = offset + done - w->at, n = MIN(w->len - skip, len - done);
        memcpy((uint8_t *)buf + done, w->data + skip, n);
        done += n;
    }
    return 0;
}
