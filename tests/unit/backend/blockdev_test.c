/* SPDX-License-Identifier: MIT */
/*
 * Laws of disks on the host: every back end against a model in memory, overlays across closes and crashes, and what is refused.
 */
#include "backend/blockdev.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "backend/hostfile.h"
#include "backend/overlay.h"
#include "base/checked.h"
#include "support/disk_folder.h"

static struct blockdev *open_disk(bool read_only, bool overlay, const char *over)
{
    struct blockdev *dev = NULL;
    struct error err = { 0 };
    const struct blockdev_config config = { .path = disk_path, .read_only = read_only, .overlay = overlay, .overlay_path = over };
    if (blockdev_open(&config, loop, &dev, &err) < 0)
        fail_msg("%s", err.msg);
    assert_int_equal(dev->size, MODEL_SIZE);
    return dev;
}

static void files_behave_like_memory(void **state)
{
    (void)state;
    static uint8_t model[MODEL_SIZE], back[MODEL_SIZE];
    int (*const makers[])(struct loop *, int, struct blockdev **, struct error *) = { blockdev_file_new, blockdev_uring_new };
    for (unsigned i = 0; i < ARRAY_SIZE(makers); i++) {
        struct blockdev *dev = NULL;
        model_read_file(disk_path, model, MODEL_SIZE);
        int fd = open(disk_path, O_RDWR);
        if (makers[i](loop, fd, &dev, NULL) < 0) {
            printf("io_uring does not work here: not tested\n");
            close(fd);
            continue;
        }
        model_check(dev, model, 400);
        assert_int_equal(model_range(dev, BLOCKDEV_DISCARD, 4096, 8192, false), 0);
        assert_int_equal(model_transfer(dev, BLOCKDEV_READ, 0, back, 4096), 0);
        assert_memory_equal(back, model, 4096);
        blockdev_free(dev);
    }
}

static void many_requests_at_once_all_end(void **state)
{
    (void)state;
    enum { MANY = 600 };
    static struct blockdev_request req[MANY];
    static struct iovec iov[MANY];
    static uint8_t data[MANY][512];
    struct blockdev *dev = open_disk(false, false, NULL);
    for (unsigned i = 0; i < MANY; i++) {
        memset(data[i], (int)i, 512);
        iov[i] = (struct iovec){ data[i], 512 };
        req[i] = (struct blockdev_request){
            .op = BLOCKDEV_WRITE, .offset = i * 512, .len = 512, .iov = &iov[i], .nr_iov = 1, .done = model_done
        };
        blockdev_submit(dev, &req[i]);
    }
    blockdev_kick(dev);
    blockdev_drain(dev);
    assert_int_equal(model_ended, MANY);
    static uint8_t back[MANY * 512];
    assert_int_equal(model_transfer(dev, BLOCKDEV_READ, 0, back, sizeof(back)), 0);
    assert_memory_equal(back, data, sizeof(back));
    blockdev_free(dev);
}

static void quit(struct blockdev_request *req, int result)
{
    model_done(req, result);
    loop_quit(loop);
}

static void ends_come_from_the_loop(void **state)
{
    (void)state;
    for (unsigned overlay = 0; overlay < 2; overlay++) {
        uint8_t buf[512];
        struct iovec iov = { buf, sizeof(buf) };
        struct blockdev *dev = open_disk(overlay, overlay, NULL);
        struct blockdev_request req = { .op = BLOCKDEV_READ, .len = 512, .iov = &iov, .nr_iov = 1, .done = quit };
        model_ended = 0;
        blockdev_submit(dev, &req);
        blockdev_kick(dev);
        loop_run(loop);
        assert_int_equal(model_ended, 1);
        assert_int_equal(model_result, 0);
        blockdev_free(dev);
    }
}

static void a_file_that_shrinks_gives_errors(void **state)
{
    (void)state;
    static uint8_t buf[8192];
    struct blockdev *dev = open_disk(false, false, NULL);
    assert_int_equal(truncate(disk_path, 4096), 0);
    assert_int_equal(model_transfer(dev, BLOCKDEV_READ, 0, buf, sizeof(buf)), -EIO);
    blockdev_free(dev);
}

static void an_overlay_leaves_the_base_alone_and_is_forgotten(void **state)
{
    (void)state;
    static uint8_t before[MODEL_SIZE], model[MODEL_SIZE], after[MODEL_SIZE];
    model_read_file(disk_path, before, MODEL_SIZE);
    memcpy(model, before, MODEL_SIZE);
    struct blockdev *dev = open_disk(false, true, NULL);
    model_check(dev, model, 500);
    blockdev_free(dev);
    model_read_file(disk_path, after, MODEL_SIZE);
    assert_memory_equal(before, after, MODEL_SIZE);
    dev = open_disk(false, true, NULL);
    assert_int_equal(model_transfer(dev, BLOCKDEV_READ, 0, after, MODEL_SIZE), 0);
    assert_memory_equal(before, after, MODEL_SIZE);
    blockdev_free(dev);
}

static void an_overlay_file_keeps_what_was_written(void **state)
{
    (void)state;
    static uint8_t model[MODEL_SIZE];
    model_read_file(disk_path, model, MODEL_SIZE);
    for (unsigned i = 0; i < 5; i++) {
        struct blockdev *dev = open_disk(false, true, overlay_path);
        model_check(dev, model, 60);
        blockdev_free(dev);
    }
}

static void discarded_clusters_never_show_the_base_again(void **state)
{
    (void)state;
    static uint8_t buf[MODEL_SIZE], zero[8192];
    struct blockdev *dev = open_disk(false, true, overlay_path);
    assert_int_equal(model_range(dev, BLOCKDEV_DISCARD, 512, 4096 * 3, false), 0); /* clusters 1 and 2 as a whole */
    blockdev_free(dev);
    dev = open_disk(false, true, overlay_path);
    assert_int_equal(model_transfer(dev, BLOCKDEV_READ, 4096, buf, 8192), 0);
    assert_memory_equal(buf, zero, 8192);
    blockdev_free(dev);
}

/* What a crash leaves: the file as it was at a flush. */
static void what_was_flushed_survives_a_crash(void **state)
{
    (void)state;
    struct overlay o, again;
    uint8_t a[512], b[512], back[512], base[512];
    memset(a, 'a', sizeof(a));
    memset(b, 'b', sizeof(b));
    int fd = open(overlay_path, O_RDWR | O_CREAT, 0600), base_fd = open(disk_path, O_RDONLY);
    struct overlay_base base_file = overlay_base_file(base_fd);
    assert_int_equal(overlay_open(&o, &base_file, MODEL_SIZE, fd, true, NULL), 0);
    assert_int_equal(overlay_write(&o, &(struct iovec){ a, 512 }, 1, 1024, 512), 0);
    assert_int_equal(overlay_flush(&o), 0);
    assert_int_equal(overlay_write(&o, &(struct iovec){ b, 512 }, 1, 100 * 1024, 512), 0);
    overlay_close(&o); /* without a flush */
    fd = open(overlay_path, O_RDWR);
    base_fd = open(disk_path, O_RDONLY);
    assert_int_equal(pread(base_fd, base, 512, 100 * 1024), 512);
    base_file = overlay_base_file(base_fd);
    assert_int_equal(overlay_open(&again, &base_file, MODEL_SIZE, fd, true, NULL), 0);
    assert_int_equal(overlay_read(&again, &(struct iovec){ back, 512 }, 1, 1024, 512), 0);
    assert_memory_equal(back, a, 512);
    assert_int_equal(overlay_read(&again, &(struct iovec){ back, 512 }, 1, 100 * 1024, 512), 0);
    assert_memory_equal(back, base, 512);
    overlay_close(&again);
}

static void refused(const struct blockdev_config *config, int code, const char *why)
{
    struct blockdev *dev = NULL;
    struct error err = { 0 };
    assert_int_equal(blockdev_open(config, loop, &dev, &err), code);
    assert_null(dev);
    if (!strstr(err.msg, why))
        fail_msg("'%s' does not say '%s'", err.msg, why);
}

static void refused_disk(int code, const char *why)
{
    refused(&(const struct blockdev_config){ .path = disk_path }, code, why);
}

static void bad_disks_are_refused_in_words(void **state)
{
    (void)state;
    refused(&(const struct blockdev_config){ .path = "/nonexistent/disk" }, -ENOENT, "disk '/nonexistent/disk': No such file");
    refused(&(const struct blockdev_config){ .path = folder }, -EISDIR, "is a directory");
    refused(&(const struct blockdev_config){ .path = folder, .read_only = true }, -EISDIR, "is a directory");
    refused(&(const struct blockdev_config){ .path = "/dev/null" }, -EINVAL, "neither a file nor a block device");
    refused(&(const struct blockdev_config){ .path = "/proc/self/exe" }, access("/proc/self/exe", W_OK) == 0 ? -ETXTBSY : -EACCES,
            "cannot be opened for writing"); /* it runs */
    assert_int_equal(truncate(disk_path, 1000), 0);
    refused_disk(-EINVAL, "1000 bytes is not a multiple of 512");
    assert_int_equal(truncate(disk_path, 0), 0);
    refused_disk(-EINVAL, "is empty");
}

static void disks_are_open_for_io_that_waits(void **state)
{
    (void)state;
    struct hostfile_info info;
    int fd;
    assert_int_equal(hostfile_open(disk_path, false, &fd, &info, NULL), 0);
    assert_int_equal(fcntl(fd, F_GETFL) & (O_NONBLOCK | O_ACCMODE), O_RDWR);
    close(fd);
}

static void a_disk_in_use_is_refused(void **state)
{
    (void)state;
    struct blockdev *writer = open_disk(false, false, NULL);
    refused_disk(-EBUSY, "uses it");
    refused(&(const struct blockdev_config){ .path = disk_path, .read_only = true }, -EBUSY, "uses it");
    blockdev_free(writer);
    struct blockdev *reader = open_disk(true, false, NULL), *other = open_disk(false, true, NULL);
    refused_disk(-EBUSY, "uses it");
    blockdev_free(reader);
    blockdev_free(other);
}

static void overlay_refused(const char *why)
{
    refused(&(const struct blockdev_config){ .path = disk_path, .overlay = true, .overlay_path = overlay_path }, -EINVAL, why);
}

static void damage(off_t at)
{
    int fd = open(overlay_path, O_RDWR);
    uint8_t byte;
    assert_int_equal(pread(fd, &byte, 1, at), 1);
    byte ^= 0x40;
    assert_int_equal(pwrite(fd, &byte, 1, at), 1);
    close(fd);
}

static void bad_overlays_are_refused_in_words(void **state)
{
    (void)state;
    struct stat st;
    blockdev_free(open_disk(false, true, overlay_path));
    blockdev_free(open_disk(false, true, overlay_path));
    static const struct {
        off_t at;
        const char *why;
    } bad[] = { { 0, "no overlay" }, { 8, "has version" }, { 17, "damaged" }, { 24, "damaged" }, { 33, "damaged" } };
    for (unsigned i = 0; i < ARRAY_SIZE(bad); i++) {
        damage(bad[i].at);
        overlay_refused(bad[i].why);
        damage(bad[i].at);
    }
    assert_int_equal(stat(overlay_path, &st), 0);
    assert_int_equal(truncate(overlay_path, st.st_size - 1), 0);
    overlay_refused("cut off");
    assert_int_equal(truncate(overlay_path, 10), 0);
    overlay_refused("no overlay");
    assert_int_equal(truncate(overlay_path, 0), 0);
    blockdev_free(open_disk(false, true, overlay_path));
    int fd = open(disk_path, O_RDWR);
    assert_int_equal(pwrite(fd, "changed", 7, 0), 7);
    close(fd);
    overlay_refused("for another disk");
    assert_int_equal(truncate(disk_path, MODEL_SIZE - 512), 0);
    overlay_refused("for a disk of");
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, disk_folder_setup, disk_folder_teardown)
    const struct CMUnitTest tests[] = {
        T(files_behave_like_memory),
        T(many_requests_at_once_all_end),
        T(ends_come_from_the_loop),
        T(a_file_that_shrinks_gives_errors),
        T(an_overlay_leaves_the_base_alone_and_is_forgotten),
        T(an_overlay_file_keeps_what_was_written),
        T(discarded_clusters_never_show_the_base_again),
        T(what_was_flushed_survives_a_crash),
        T(bad_disks_are_refused_in_words),
        T(disks_are_open_for_io_that_waits),
        T(a_disk_in_use_is_refused),
        T(bad_overlays_are_refused_in_words),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
