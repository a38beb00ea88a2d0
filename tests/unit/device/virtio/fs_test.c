/* SPDX-License-Identifier: MIT */
/*
 * Laws of virtio-fs: FUSE requests in chains, on an empty folder.
 */
#include "device/virtio/fs.h"

#include <errno.h>
#include <linux/fuse.h>
#include <stdio.h>
#include <unistd.h>

#include "backend/fs.h"
#include "base/loop.h"
#include "support/chip.h"
#include "support/virtio_driver.h"

enum { REQUEST = 0x40000, ANSWER = 0x50000, ROOM = 4096 };

static char folder[64];
static struct loop *loop;
static struct fs *fs;
static struct gmem gm;
static struct vm_clock vclock;
static struct virtio_fs vfs;
static struct driver drv[2];
static unsigned irqs;

static void on_queue(void *transport, unsigned n)
{
    (void)transport;
    (void)n;
    irqs++;
}

static void on_config(void *transport)
{
    (void)transport;
}

static const struct virtio_transport_ops transport = { .queue_irq = on_queue, .config_irq = on_config };

static void go_live(void)
{
    drv_negotiate(&vfs.vdev, 0);
    for (unsigned n = 0; n < 2; n++) {
        drv_init(&drv[n], &gm, 0x10000 + n * 0x10000, 64);
        drv_put16(&drv[n], drv[n].avail + 2, 0);
        drv_put16(&drv[n], drv[n].used + 2, 0);
        drv_set_up_queue(&drv[n], &vfs.vdev, n);
    }
    drv_ok(&vfs.vdev);
}

static int setup(void **state)
{
    (void)state;
    strcpy(folder, "/tmp/doppel-test-XXXXXX");
    const struct fs_config config = { .path = folder, .max_files = FS_FILES_MIN };
    if (!mkdtemp(folder) || loop_new(&loop, NULL) < 0 || fs_open(&config, loop, &fs, NULL) < 0)
        return -1;
    irqs = 0;
    test_clock(&vclock);
    drv_memory(&gm);
    virtio_fs_init(&vfs, fs, "tag", &gm, &vclock);
    virtio_connect(&vfs.vdev, &transport, &vfs);
    go_live();
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    virtio_fs_class.done(&vfs);
    fs_free(fs);
    loop_free(loop);
    gmem_done(&gm);
    return rmdir(folder);
}

/* Offers a request on queue n, its answer's room in two pieces. */
static void offer(unsigned n, uint32_t opcode, uint64_t node, const void *body, uint32_t len, uint32_t room)
{
    const struct fuse_in_header head = { .len = (uint32_t)sizeof(head) + len, .opcode = opcode, .unique = 7, .nodeid = node };
    drv_write(&drv[n], REQUEST, &head, sizeof(head));
    drv_write(&drv[n], REQUEST + sizeof(head), body, len);
    drv_desc(&drv[n], 0, REQUEST, head.len, room ? DRV_NEXT : 0, 1);
    drv_desc(&drv[n], 1, ANSWER, room / 2, DRV_NEXT | DRV_WRITE, 2);
    drv_desc(&drv[n], 2, ANSWER + room / 2, room - room / 2, DRV_WRITE, 0);
    drv_offer(&drv[n], 0);
    virtio_notify(&vfs.vdev, n);
}

/* The error of a request that has ended, and its used length. */
static int take(unsigned n, uint32_t *ret_len)
{
    struct fuse_out_header answer = { 0 };
    uint32_t head;
    assert_true(drv_take(&drv[n], &head, ret_len));
    drv_read(&drv[n], ANSWER, &answer, sizeof(answer));
    if (*ret_len)
        assert_int_equal(answer.len, *ret_len);
    return answer.error;
}

static void the_configuration_has_tag_and_queues(void **state)
{
    (void)state;
    assert_int_equal(virtio_config_read(&vfs.vdev, 0, 4), 0x00676174); /* "tag" */
    assert_int_equal(virtio_config_read(&vfs.vdev, 32, 4), 0);
    assert_int_equal(virtio_config_read(&vfs.vdev, 36, 4), 1);
}

static void requests_end_on_their_queue_with_an_interrupt(void **state)
{
    (void)state;
    const struct fuse_init_in init = { .major = 7, .minor = 37 };
    const struct fuse_getattr_in get = { 0 };
    uint32_t len;
    offer(1, FUSE_INIT, 0, &init, sizeof(init), ROOM);
    fs_drain(fs);
    assert_int_equal(take(1, &len), 0);
    assert_int_equal(len, sizeof(struct fuse_out_header) + sizeof(struct fuse_init_out));
    assert_int_equal(irqs, 1);
    offer(1, FUSE_GETATTR, FUSE_ROOT_ID, &get, sizeof(get), ROOM);
    fs_drain(fs);
    assert_int_equal(take(1, &len), 0);
    offer(1, 999, FUSE_ROOT_ID, &get, sizeof(get), ROOM);
    fs_drain(fs);
    assert_int_equal(take(1, &len), -ENOSYS);
}

static void a_request_without_answer_comes_back_empty(void **state)
{
    (void)state;
    const struct fuse_forget_in forget = { .nlookup = 1 };
    uint32_t len = 1;
    offer(0, FUSE_FORGET, 5, &forget, sizeof(forget), 0);
    fs_drain(fs);
    (void)take(0, &len);
    assert_int_equal(len, 0);
    offer(1, FUSE_GETATTR, FUSE_ROOT_ID, &forget, sizeof(forget), 15); /* no room for a header */
    fs_drain(fs);
    (void)take(1, &len);
    assert_int_equal(len, 0);
    assert_true(virtio_live(&vfs.vdev));
}

static void a_reset_forgets_what_is_open_and_tells_nobody(void **state)
{
    (void)state;
    const struct fuse_open_in in = { 0 };
    uint32_t len;
    offer(1, FUSE_OPENDIR, FUSE_ROOT_ID, &in, sizeof(in), ROOM);
    fs_drain(fs);
    assert_int_equal(take(1, &len), 0);
    assert_int_equal(fs_files(fs), 2);
    offer(1, FUSE_OPENDIR, FUSE_ROOT_ID, &in, sizeof(in), ROOM);
    virtio_set_status(&vfs.vdev, 0);
    assert_int_equal(fs_files(fs), 1);
    assert_int_equal(irqs, 1);
    go_live();
    offer(1, FUSE_OPENDIR, FUSE_ROOT_ID, &in, sizeof(in), ROOM);
    fs_drain(fs);
    assert_int_equal(take(1, &len), 0);
}

static void saving_ends_requests_and_state_survives(void **state)
{
    (void)state;
    static struct virtio_fs other;
    const struct fuse_getattr_in get = { 0 };
    uint32_t len;
    offer(1, FUSE_GETATTR, FUSE_ROOT_ID, &get, sizeof(get), ROOM);
    virtio_fs_init(&other, fs, "tag", &gm, &vclock);
    check_round_trip(virtio_fs_class.state, &vfs, &other);
    assert_int_equal(take(1, &len), 0);
    virtio_fs_class.done(&other);
}

static void what_an_answer_wrote_is_noted_for_translated_code(void **state)
{
    (void)state;
    const struct fuse_getattr_in get = { 0 };
    uint32_t gen;
    assert_true(gmem_mark_code(&gm, ANSWER >> 12, &gen));
    offer(1, FUSE_GETATTR, FUSE_ROOT_ID, &get, sizeof(get), 256);
    fs_drain(fs);
    assert_true(gmem_code_gen(&gm, ANSWER >> 12) > gen);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(the_configuration_has_tag_and_queues),      T(requests_end_on_their_queue_with_an_interrupt),
        T(a_request_without_answer_comes_back_empty), T(a_reset_forgets_what_is_open_and_tells_nobody),
        T(saving_ends_requests_and_state_survives),   T(what_an_answer_wrote_is_noted_for_translated_code),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
