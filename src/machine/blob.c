/* SPDX-License-Identifier: MIT */
/*
 * Implementation of the growing byte buffer.
 */
#include "machine/blob.h"

#include "base/checked.h"
#include "base/cleanup.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

enum { BLOB_START = 4096, BLOB_READ = 1 << 20, BLOB_LARGE = 4 << 20, PAGE = 4096 };

void blob_done(struct blob *b)
{
    if (!b)
        return;
    free(b->data);
    *b = (struct blob){ 0 };
}

int blob_reserve(struct blob *b, size_t more, size_t max, struct error *err)
{
    size_t need;
    if (ckd_add(&need, b->len, more) || need > max)
        return error_set(err, -E2BIG, "more than %zu bytes", max);
    if (need <= b->capacity)
        return 0;
    size_t capacity = MAX(MIN(b->capacity * 2, max), MAX(need, (size_t)BLOB_START));
    uint8_t *data = realloc(b->data, capacity);
    if (!data)
        return error_set(err, -ENOMEM, "no memory for %zu bytes", capacity);
    b->data = data;
    b->capacity = capacity;
    if (capacity >= BLOB_LARGE) { /* large pages, where the host has them on offer, cost a fraction of the page faults */
        uintptr_t begin = ALIGN_UP((uintptr_t)data, (uintptr_t)PAGE),
                  end = ALIGN_DOWN((uintptr_t)data + capacity, (uintptr_t)PAGE);
        (void)madvise((void *)begin, end - begin, MADV_HUGEPAGE);
    }
    return 0;
}

int blob_append(struct blob *b, const void *data, size_t len, size_t max, struct error *err)
{
    int r = blob_reserve(b, len, max, err);
    if (r < 0)
        return r;
    if (len)
        memcpy(b->data + b->len, data, len);
    b->len += len;
    return 0;
}

/* Reads up to one byte more than max, so that a file that is too large is noticed. */
static int read_all(int fd, const char *path, size_t first, size_t max, struct blob *b, struct error *err)
{
    size_t step = first;
    for (;;) {
        step = MIN(step, max + 1 - b->len);
        if (step == 0)
            return error_set(err, -E2BIG, "'%s' is larger than %zu bytes", path, max);
        int r = blob_reserve(b, step, max + 1, err);
        if (r < 0)
            return error_prefix(err, "'%s'", path);
        ssize_t n = read(fd, b->data + b->len, step);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return error_set(err, -errno, "cannot read '%s': %s", path, strerror(errno));
        if (n == 0)
            return b->len ? 0 : error_set(err, -ENODATA, "'%s' is empty", path);
        b->len += n;
        step = b->capacity > b->len ? b->capacity - b->len : BLOB_READ; /* of a file: the byte that shows whether it grew */
    }
}

int blob_read_file(const char *path, size_t max, struct blob *ret_blob, struct error *err)
{
    AUTO_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    if (fd < 0)
        return error_set(err, -errno, "cannot open '%s': %s", path, strerror(errno));
    struct stat st;
    if (fstat(fd, &st) < 0)
        return error_set(err, -errno, "cannot stat '%s': %s", path, strerror(errno));
    if (S_ISDIR(st.st_mode))
        return error_set(err, -EISDIR, "'%s' is a directory", path);
    if (S_ISREG(st.st_mode) && (uint64_t)st.st_size > max)
        return error_set(err, -E2BIG, "'%s' has %jd bytes, more than the limit of %zu", path, (intmax_t)st.st_size, max);
    size_t first = S_ISREG(st.st_mode) ? (size_t)st.st_size + 1 : BLOB_READ;
    struct blob b = { 0 };
    int r = read_all(fd, path, first, max, &b, err);
    if (r < 0) {
        blob_done(&b);
        return r;
    }
    *ret_blob = b;
    return 0;
}
