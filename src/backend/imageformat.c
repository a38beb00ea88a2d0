/* SPDX-License-Identifier: MIT */
/*
 * Looking at the beginnings of files.
 */
#include "backend/imageformat.h"

#include <assert.h>
#include <endian.h>
#include <errno.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "backend/blockdev.h"
#include "backend/hostfile.h"
#include "base/checked.h"

#define QCOW2_MAGIC 0x514649fbU /* "QFI", 0xfb */
#define QCOW2 "qcow2"

enum { QCOW2_VERSION_MIN = 2, QCOW2_WITH_FEATURES = 3, QCOW2_EXTERNAL_DATA = 1 << 2 };

/* Big-endian. */
struct qcow2_header {
    uint32_t magic, version;
    uint64_t backing_offset;
    uint32_t backing_len, cluster_bits;
    uint64_t size;
    uint32_t crypt_method, l1_size;
    uint64_t l1_offset, refcount_offset;
    uint32_t refcount_clusters, nr_snapshots;
    uint64_t snapshots_offset;
    uint64_t incompatible_features; /* from version 3 on */
};
static_assert(offsetof(struct qcow2_header, incompatible_features) == 72, "as the specification has it");

bool imageformat_is_uri(const char *path)
{
    static const char *const schemes[] = { "nbd://", "nbds://", "nbd+unix://", "nbds+unix://", "nbd+vsock://", "nbds+vsock://" };
    for (unsigned i = 0; i < ARRAY_SIZE(schemes); i++)
        if (strncmp(path, schemes[i], strlen(schemes[i])) == 0)
            return true;
    return false;
}

static bool is_qcow2(const struct qcow2_header *h, size_t len)
{
    return len >= offsetof(struct qcow2_header, backing_offset) && be32toh(h->magic) == QCOW2_MAGIC
           && be32toh(h->version) >= QCOW2_VERSION_MIN;
}

/* What we do not see in a short file, the server will complain about. */
static bool names_another_file(const struct qcow2_header *h)
{
    return h->backing_offset != 0
           || (be32toh(h->version) >= QCOW2_WITH_FEATURES && be64toh(h->incompatible_features) & QCOW2_EXTERNAL_DATA);
}

int imageformat_find(const struct blockdev_config *config, enum imageformat *ret_format, const char **ret_name, struct error *err)
{
    struct qcow2_header h = { 0 };
    *ret_name = config->format;
    *ret_format = IMAGEFORMAT_URI;
    if (imageformat_is_uri(config->path))
        return config->format
                   ? error_set(err, -EINVAL, "a server's disk has no format of ours (leave format=%s away?)", config->format)
                   : 0;
    *ret_format = IMAGEFORMAT_PLAIN;
    if (config->format && strcmp(config->format, "raw") == 0)
        return 0;
    int len = hostfile_peek(config->path, config->read_only || config->overlay, &h, sizeof(h), err);
    if (len < 0)
        return len;
    if (!config->format && !is_qcow2(&h, (size_t)len))
        return 0;
    if (!config->format && names_another_file(&h))
        return error_set(err, -EINVAL,
                         "is a qcow2 image over another file, which a guest that had it as a raw disk could have made "
                         "up (format=qcow2 if you know it, format=raw if it is none)");
    *ret_format = IMAGEFORMAT_SERVED;
    *ret_name = config->format ? config->format : QCOW2;
    return 0;
}
