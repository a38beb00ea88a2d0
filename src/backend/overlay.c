/* SPDX-License-Identifier: MIT */
/*
 * The overlay's file: header, map of clusters, and reads and writes that go by the map.
 */
#include "backend/overlay.h"

#include <errno.h>
#include <inttypes.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "backend/hostfile.h"
#include "base/checked.h"

enum { VERSION = 1, SAMPLES = 64, IOV_MAX_PIECES = 1024 };
#define MAGIC 0x59414c5245564f44ULL /* "DOVERLAY" */
#define FNV_BASIS 0xcbf29ce484222325ULL
#define FNV_PRIME 0x100000001b3ULL

struct overlay_header {
    uint64_t magic;
    uint32_t version, cluster;
    uint64_t size, base_print; /* of the base */
    uint64_t checksum;         /* of all before it */
};

/* FNV-1a. */
static uint64_t hash(uint64_t h, const void *data, size_t len)
{
    for (size_t i = 0; i < len; i++)
        h = (h ^ ((const uint8_t *)data)[i]) * FNV_PRIME;
    return h;
}

static int read_at(int fd, void *buf, size_t len, uint64_t offset)
{
    struct iovec iov = { .iov_base = buf, .iov_len = len };
    return hostfile_read(fd, &iov, 1, offset);
}

static int write_at(int fd, const void *buf, size_t len, uint64_t offset)
{
    struct iovec iov = { .iov_base = (void *)buf, .iov_len = len };
    return hostfile_write(fd, &iov, 1, offset);
}

static int read_file(void *opaque, struct iovec *iov, unsigned nr, uint64_t offset)
{
    return hostfile_read((int)(intptr_t)opaque, iov, nr, offset);
}

static void close_file(void *opaque)
{
    (void)close((int)(intptr_t)opaque); /* only read */
}

struct overlay_base overlay_base_file(int fd)
{
    return (struct overlay_base){ .read = read_file, .close = close_file, .opaque = (void *)(intptr_t)fd };
}

static int read_base(const struct overlay_base *base, void *buf, size_t len, uint64_t offset)
{
    struct iovec iov = { .iov_base = buf, .iov_len = len };
    return base->read(base->opaque, &iov, 1, offset);
}

/* Tells bases apart without reading all of them: samples spread over it. */
static int fingerprint(const struct overlay_base *base, uint64_t size, uint64_t *ret_print)
{
    uint8_t buf[OVERLAY_CLUSTER];
    uint64_t h = hash(FNV_BASIS, &size, sizeof(size));
    for (unsigned i = 0; i < SAMPLES; i++) {
        uint64_t at = size / SAMPLES * i & ~(uint64_t)(OVERLAY_CLUSTER - 1);
        size_t len = (size_t)MIN((uint64_t)OVERLAY_CLUSTER, size - at);
        int r = read_base(base, buf, len, at);
        if (r < 0)
            return r;
        h = hash(h, buf, len);
    }
    *ret_print = h;
    return 0;
}

/* ---- the map ---- */

static bool here(const struct overlay *o, uint64_t cluster)
{
    return o->map[cluster / 8] >> cluster % 8 & 1;
}

static void set_here(struct overlay *o, uint64_t first, uint64_t end)
{
    for (uint64_t c = first; c < end; c++) {
        if (here(o, c))
            continue;
        o->map[c / 8] |= (uint8_t)(1 << c % 8);
        o->dirty[c / 8 / OVERLAY_CLUSTER] = 1;
        o->any_dirty = true;
    }
}

static int write_map(struct overlay *o)
{
    for (uint64_t page = 0; page * OVERLAY_CLUSTER < o->map_bytes; page++) {
        if (!o->dirty[page])
            continue;
        int r = write_at(o->fd, o->map + page * OVERLAY_CLUSTER, OVERLAY_CLUSTER, (page + 1) * OVERLAY_CLUSTER);
        if (r < 0)
            return r;
    }
    return 0;
}

int overlay_flush(struct overlay *o)
{
    if (!o->keep)
        return 0;
    int r = hostfile_flush(o->fd); /* the contents first */
    if (r < 0 || !o->any_dirty)
        return r;
    r = write_map(o);
    if (r == 0)
        r = hostfile_flush(o->fd);
    if (r < 0)
        return r; /* all of it goes out again the next time */
    memset(o->dirty, 0, o->map_bytes / OVERLAY_CLUSTER);
    o->any_dirty = false;
    return 0;
}

/* ---- data ---- */

/* Cuts the first `len` bytes of an array off into ret_piece, which has room for IOV_MAX_PIECES; returns how many pieces. */
static unsigned cut(struct iovec **iov, unsigned *nr, uint64_t len, struct iovec *ret_piece)
{
    unsigned n = 0;
    while (len > 0 && *nr > 0 && n < IOV_MAX_PIECES) {
        size_t part = (size_t)MIN((uint64_t)(*iov)->iov_len, len);
        ret_piece[n++] = (struct iovec){ .iov_base = (*iov)->iov_base, .iov_len = part };
        len -= part;
        hostfile_advance(iov, nr, part);
    }
    return n;
}

/* End of the run of clusters from `offset` on that are all here, or all not. */
static uint64_t run_end(const struct overlay *o, uint64_t offset, uint64_t end)
{
    uint64_t c = offset / OVERLAY_CLUSTER;
    bool is_here = here(o, c);
    do
        c++;
    while (c * OVERLAY_CLUSTER < end && here(o, c) == is_here);
    return MIN(c * OVERLAY_CLUSTER, end);
}

int overlay_read(struct overlay *o, struct iovec *iov, unsigned nr, uint64_t offset, uint64_t len)
{
    struct iovec piece[IOV_MAX_PIECES];
    uint64_t end = offset + len;
    while (offset < end) {
        uint64_t to = run_end(o, offset, end);
        bool is_here = here(o, offset / OVERLAY_CLUSTER);
        unsigned n = cut(&iov, &nr, to - offset, piece);
        int r = is_here ? hostfile_read(o->fd, piece, n, o->data + offset) : o->base.read(o->base.opaque, piece, n, offset);
        if (r < 0)
            return r;
        offset = to;
    }
    return 0;
}

/* Copies a cluster from the base, before a part of it is written. */
static int copy_up(struct overlay *o, uint64_t cluster)
{
    uint8_t buf[OVERLAY_CLUSTER];
    uint64_t at = cluster * OVERLAY_CLUSTER;
    size_t len = (size_t)MIN((uint64_t)OVERLAY_CLUSTER, o->size - at);
    if (here(o, cluster))
        return 0;
    int r = read_base(&o->base, buf, len, at);
    return r < 0 ? r : write_at(o->fd, buf, len, o->data + at);
}

/* The clusters that the range covers in part get their contents from the base. */
static int copy_edges(struct overlay *o, uint64_t offset, uint64_t end)
{
    int r = 0;
    if (offset % OVERLAY_CLUSTER)
        r = copy_up(o, offset / OVERLAY_CLUSTER);
    if (r == 0 && end % OVERLAY_CLUSTER && end < o->size
        && (end / OVERLAY_CLUSTER != offset / OVERLAY_CLUSTER || offset % OVERLAY_CLUSTER == 0))
        r = copy_up(o, end / OVERLAY_CLUSTER);
    return r;
}

int overlay_write(struct overlay *o, struct iovec *iov, unsigned nr, uint64_t offset, uint64_t len)
{
    uint64_t end = offset + len;
    int r = copy_edges(o, offset, end);
    if (r == 0)
        r = hostfile_write(o->fd, iov, nr, o->data + offset);
    if (r == 0)
        set_here(o, offset / OVERLAY_CLUSTER, (end + OVERLAY_CLUSTER - 1) / OVERLAY_CLUSTER);
    return r;
}

int overlay_discard(struct overlay *o, uint64_t offset, uint64_t len)
{
    uint64_t first = (offset + OVERLAY_CLUSTER - 1) / OVERLAY_CLUSTER;
    uint64_t end = offset + len == o->size ? o->clusters : (offset + len) / OVERLAY_CLUSTER;
    if (first >= end)
        return 0;
    int r = hostfile_zero(o->fd, o->data + first * OVERLAY_CLUSTER, (end - first) * OVERLAY_CLUSTER, true);
    if (r == 0)
        set_here(o, first, end);
    return r;
}

int overlay_zero(struct overlay *o, uint64_t offset, uint64_t len)
{
    uint64_t end = offset + len;
    int r = copy_edges(o, offset, end);
    if (r == 0)
        r = hostfile_zero(o->fd, o->data + offset, len, true);
    if (r == 0)
        set_here(o, offset / OVERLAY_CLUSTER, (end + OVERLAY_CLUSTER - 1) / OVERLAY_CLUSTER);
    return r;
}

/* ---- opening ---- */

static struct overlay_header make_header(const struct overlay *o, uint64_t print)
{
    struct overlay_header h = {
        .magic = MAGIC, .version = VERSION, .cluster = OVERLAY_CLUSTER, .size = o->size, .base_print = print
    };
    h.checksum = hash(FNV_BASIS, &h, offsetof(struct overlay_header, checksum));
    return h;
}

/* The map is zeroes (a hole), then comes the header: a file that was cut off before it is none. */
static int create(struct overlay *o, uint64_t print, struct error *err)
{
    struct overlay_header h = make_header(o, print);
    int r = ftruncate(o->fd, (off_t)(o->data + o->clusters * OVERLAY_CLUSTER)) < 0 ? -errno : 0;
    if (r == 0)
        r = write_at(o->fd, &h, sizeof(h), 0);
    if (r == 0 && o->keep)
        r = hostfile_flush(o->fd);
    return r < 0 ? error_set(err, r, "cannot be made: %s", strerror(-r)) : 0;
}

static int check_header(const struct overlay *o, const struct overlay_header *h, uint64_t print, uint64_t file_size,
                        struct error *err)
{
    if (h->magic != MAGIC)
        return error_set(err, -EINVAL, "is no overlay");
    if (h->version != VERSION || h->cluster != OVERLAY_CLUSTER)
        return error_set(err, -EINVAL, "has version %u and clusters of %u bytes, where %d and %d are known", h->version,
                         h->cluster, VERSION, OVERLAY_CLUSTER);
    if (h->checksum != hash(FNV_BASIS, h, offsetof(struct overlay_header, checksum)))
        return error_set(err, -EINVAL, "its header is damaged");
    if (h->size != o->size)
        return error_set(err, -EINVAL, "is for a disk of %" PRIu64 " bytes, this one has %" PRIu64, h->size, o->size);
    if (h->base_print != print)
        return error_set(err, -EINVAL, "is for another disk, or the disk was changed since");
    if (file_size < o->data + o->clusters * OVERLAY_CLUSTER)
        return error_set(err, -EINVAL, "is cut off: %" PRIu64 " bytes", file_size);
    return 0;
}

static int load(struct overlay *o, uint64_t print, uint64_t file_size, struct error *err)
{
    struct overlay_header h;
    if (file_size < sizeof(h))
        return error_set(err, -EINVAL, "is no overlay");
    int r = read_at(o->fd, &h, sizeof(h), 0);
    if (r == 0)
        r = check_header(o, &h, print, file_size, err);
    else
        error_set(err, r, "cannot be read: %s", strerror(-r));
    if (r < 0)
        return r;
    r = read_at(o->fd, o->map, o->map_bytes, OVERLAY_CLUSTER);
    return r < 0 ? error_set(err, r, "its map cannot be read: %s", strerror(-r)) : 0;
}

static int fill(struct overlay *o, struct error *err)
{
    struct stat st;
    uint64_t print;
    int r = fingerprint(&o->base, o->size, &print);
    if (r < 0)
        return error_set(err, r, "the disk cannot be read: %s", strerror(-r));
    if (fstat(o->fd, &st) < 0)
        return error_set(err, -errno, "%s", strerror(errno));
    return st.st_size == 0 ? create(o, print, err) : load(o, print, (uint64_t)st.st_size, err);
}

int overlay_open(struct overlay *o, const struct overlay_base *base, uint64_t size, int fd, bool keep, struct error *err)
{
    *o = (struct overlay){ .fd = -1 };
    if (size > OVERLAY_SIZE_MAX)
        return error_set(err, -EFBIG, "the disk has %" PRIu64 " bytes, %llu are possible with an overlay", size,
                         OVERLAY_SIZE_MAX);
    struct overlay n = { .base = *base, .fd = fd, .size = size, .keep = keep };
    n.clusters = (size + OVERLAY_CLUSTER - 1) / OVERLAY_CLUSTER;
    n.map_bytes = ALIGN_UP((n.clusters + 7) / 8, (uint64_t)OVERLAY_CLUSTER);
    n.data = OVERLAY_CLUSTER + n.map_bytes;
    n.map = calloc(1, n.map_bytes);
    n.dirty = calloc(1, n.map_bytes / OVERLAY_CLUSTER);
    int r = n.map && n.dirty ? fill(&n, err) : error_set(err, -ENOMEM, "out of memory for the map of an overlay");
    if (r < 0) {
        free(n.map);
        free(n.dirty);
        return r;
    }
    *o = n;
    return 0;
}

void overlay_close(struct overlay *o)
{
    if (o->fd >= 0)
        (void)close(o->fd); /* flushed before, or not wanted */
    if (o->base.close)
        o->base.close(o->base.opaque);
    free(o->map);
    free(o->dirty);
    *o = (struct overlay){ .fd = -1 };
}
