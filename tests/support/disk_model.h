/* SPDX-License-Identifier: MIT */
/*
 * One request at a time on a blockdev, and random ones beside a plain array that has to agree.
 */
#ifndef DOPPEL_TESTS_DISK_MODEL_H
#define DOPPEL_TESTS_DISK_MODEL_H

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "backend/blockdev.h"
#include "base/checked.h"

enum { MODEL_SIZE = 300 * 1024 + 512 };

static unsigned model_ended; /* requests */
static int model_result;     /* of the last one */

static inline void model_done(struct blockdev_request *req, int result)
{
    (void)req;
    model_ended++;
    model_result = result;
}

/* A file whose bytes tell where they are. */
static inline void model_make_file(const char *path, size_t size)
{
    int fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600);
    assert_true(fd >= 0);
    for (size_t i = 0; i < size; i += 4) {
        uint32_t v = (uint32_t)(i * 2654435761U);
        assert_int_equal(pwrite(fd, &v, MIN(4, size - i), (off_t)i), MIN(4, size - i));
    }
    close(fd);
}

static inline void model_read_file(const char *path, uint8_t *buf, size_t size)
{
    int fd = open(path, O_RDONLY);
    assert_int_equal(read(fd, buf, size), size);
    close(fd);
}

/* Submits a request and waits; returns its result. */
static inline int model_finish(struct blockdev *dev, struct blockdev_request *req)
{
    unsigned before = model_ended;
    req->done = model_done;
    blockdev_submit(dev, req);
    blockdev_kick(dev);
    blockdev_drain(dev);
    assert_int_equal(model_ended, before + 1);
    return model_result;
}

/* In two pieces. */
static inline int model_transfer(struct blockdev *dev, enum blockdev_op op, uint64_t offset, void *buf, size_t len)
{
    size_t first = len / 3;
    struct iovec iov[2] = { { buf, first }, { (uint8_t *)buf + first, len - first } };
    struct blockdev_request req = { .op = op, .offset = offset, .len = len, .iov = iov, .nr_iov = 2 };
    return model_finish(dev, &req);
}

static inline int model_range(struct blockdev *dev, enum blockdev_op op, uint64_t offset, uint64_t len, bool unmap)
{
    struct blockdev_request req = { .op = op, .offset = offset, .len = len, .unmap = unmap };
    return model_finish(dev, &req);
}

static inline uint64_t model_random(void)
{
    static uint64_t s = 88172645463325252ULL;
    s ^= s << 13;
    s ^= s >> 7;
    return s ^= s << 17;
}

/* Random writes, zeroes and reads give what a plain array, of the disk's MODEL_SIZE bytes, gives. */
static inline void model_check(struct blockdev *dev, uint8_t *model, unsigned rounds)
{
    static uint8_t buf[MODEL_SIZE];
    for (unsigned i = 0; i < rounds; i++) {
        uint64_t offset = model_random() % (MODEL_SIZE / 512) * 512;
        uint64_t wish = (model_random() % 40 + 1) * 512, len = MIN(MODEL_SIZE - offset, wish);
        switch (model_random() % 4) {
        case 0:
            memset(buf, (int)(model_random() & 0xff), len);
            buf[0] = (uint8_t)i;
            memcpy(model + offset, buf, len);
            assert_int_equal(model_transfer(dev, BLOCKDEV_WRITE, offset, buf, len), 0);
            break;
        case 1:
            memset(model + offset, 0, len);
            assert_int_equal(model_range(dev, BLOCKDEV_ZERO, offset, len, i & 1), 0);
            break;
        case 2:
            assert_int_equal(model_transfer(dev, BLOCKDEV_READ, offset, buf, len), 0);
            assert_memory_equal(buf, model + offset, len);
            break;
        case 3: assert_int_equal(model_range(dev, BLOCKDEV_FLUSH, 0, 0, false), 0); break;
        }
    }
    assert_int_equal(model_transfer(dev, BLOCKDEV_READ, 0, buf, MODEL_SIZE), 0);
    assert_memory_equal(buf, model, MODEL_SIZE);
}

#endif
