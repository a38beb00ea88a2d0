/* SPDX-License-Identifier: MIT */
/*
 * Laws of disks that a server has: with tests/support/nbd_server.py, called qemu-nbd on a PATH of ours, as the server that
 * blockdev_open() starts, well and badly behaved.
 */
#include "backend/nbd_link.h"

#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "backend/blockdev.h"
#include "support/disk_folder.h"

static char program[128], log_path[128], search[8192], *usual_path;

static int setup(void **state)
{
    if (disk_folder_setup(state) < 0)
        return -1;
    snprintf(program, sizeof(program), "%s/qemu-nbd", folder);
    snprintf(log_path, sizeof(log_path), "%s/log", folder);
    snprintf(search, sizeof(search), "%s:%s", folder, usual_path);
    setenv("PATH", search, 1);
    unsetenv("NBD_FAULT");
    unsetenv("NBD_LOG");
    FILE *f = fopen(program, "w");
    if (!f || fprintf(f, "#!/bin/sh\nexec \"%s\" \"%s\" \"$@\"\n", PYTHON, NBD_SERVER) < 0 || fclose(f) != 0)
        return -1;
    return chmod(program, 0755);
}

static int teardown(void **state)
{
    unlink(log_path);
    unlink(program);
    int r = disk_folder_teardown(state);
    assert_int_equal(waitpid(-1, NULL, WNOHANG), -1); /* no child is left, not even a dead one */
    return r;
}

static struct blockdev *open_served(const char *fault, bool overlay, const char *over)
{
    struct blockdev *dev = NULL;
    struct error err = { 0 };
    const struct blockdev_config config = { .path = disk_path, .format = "x", .overlay = overlay, .overlay_path = over };
    setenv("NBD_FAULT", fault, 1);
    if (blockdev_open(&config, loop, &dev, &err) < 0)
        fail_msg("%s", err.msg);
    assert_int_equal(dev->size, MODEL_SIZE);
    assert_false(dev->read_only);
    return dev;
}

static void served_disks_behave_like_memory(void **state)
{
    (void)state;
    static uint8_t model[MODEL_SIZE], file[MODEL_SIZE];
    static const char *const servers[] = { "", "reverse", "noflush,notrim,nozero", "block=512" };
    for (unsigned i = 0; i < ARRAY_SIZE(servers); i++) {
        model_read_file(disk_path, model, MODEL_SIZE);
        struct blockdev *dev = open_served(servers[i], false, NULL);
        model_check(dev, model, 200);
        assert_int_equal(model_range(dev, BLOCKDEV_DISCARD, 4096, 8192, false), 0);
        blockdev_free(dev);
        model_read_file(disk_path, file, MODEL_SIZE);
        assert_memory_equal(file, model, MODEL_SIZE);
    }
}

/* In pieces of all sizes, among them such that none of the parts that go out lies in one. */
static void scattered_memory_is_read_and_written_whole(void **state)
{
    (void)state;
    static uint8_t memory[MODEL_SIZE], back[MODEL_SIZE];
    static struct iovec iov[MODEL_SIZE / 100];
    struct blockdev *dev = open_served("reverse", false, NULL);
    for (unsigned pass = 0; pass < 2; pass++) {
        unsigned nr = 0;
        for (size_t at = 0; at < MODEL_SIZE; nr++) {
            size_t len = MIN(100 + model_random() % 5000, MODEL_SIZE - at);
            iov[nr] = (struct iovec){ (pass ? back : memory) + at, len };
            at += len;
        }
        for (size_t i = 0; i < MODEL_SIZE && !pass; i++)
            memory[i] = (uint8_t)(model_random() >> 11);
        struct blockdev_request req = {
            .op = pass ? BLOCKDEV_READ : BLOCKDEV_WRITE, .len = MODEL_SIZE, .iov = iov, .nr_iov = nr
        };
        assert_int_equal(model_finish(dev, &req), 0);
    }
    assert_memory_equal(memory, back, MODEL_SIZE);
    blockdev_free(dev);
}

enum { MANY = 600 };
static struct blockdev_request many[MANY];
static struct iovec many_iov[MANY];
static uint8_t many_data[MANY][512];

static void submit_many(struct blockdev *dev, enum blockdev_op op, blockdev_fn done)
{
    for (unsigned i = 0; i < MANY; i++) {
        many_iov[i] = (struct iovec){ many_data[i], 512 };
        many[i] = (struct blockdev_request){
            .op = op, .offset = i * 512, .len = 512, .iov = &many_iov[i], .nr_iov = 1, .done = done
        };
        blockdev_submit(dev, &many[i]);
    }
    blockdev_kick(dev);
}

static void many_requests_at_once_all_end(void **state)
{
    (void)state;
    static uint8_t back[MANY * 512];
    struct blockdev *dev = open_served("reverse", false, NULL);
    for (unsigned i = 0; i < MANY; i++)
        memset(many_data[i], (int)i, 512);
    submit_many(dev, BLOCKDEV_WRITE, model_done);
    blockdev_drain(dev);
    assert_int_equal(model_ended, MANY);
    assert_int_equal(model_transfer(dev, BLOCKDEV_READ, 0, back, sizeof(back)), 0);
    assert_memory_equal(back, many_data, sizeof(back));
    blockdev_free(dev);
}

static void quit_at_the_last(struct blockdev_request *req, int result)
{
    model_done(req, result);
    if (model_ended == MANY)
        loop_quit(loop);
}

static void ends_come_from_the_loop(void **state)
{
    (void)state;
    struct blockdev *dev = open_served("", false, NULL);
    submit_many(dev, BLOCKDEV_READ, quit_at_the_last);
    assert_true(model_ended < MANY);
    loop_run(loop);
    assert_int_equal(model_ended, MANY);
    assert_int_equal(model_result, 0);
    blockdev_free(dev);
}

static void expect_log(const char *want)
{
    char text[1024] = "";
    FILE *f = fopen(log_path, "r");
    assert_non_null(f);
    text[fread(text, 1, sizeof(text) - 1, f)] = '\0';
    fclose(f);
    assert_string_equal(text, want);
    assert_int_equal(truncate(log_path, 0), 0);
}

static void each_request_becomes_the_command_it_means(void **state)
{
    (void)state;
    uint8_t buf[1024] = { 0 };
    setenv("NBD_LOG", log_path, 1);
    struct blockdev *dev = open_served("", false, NULL);
    assert_int_equal(model_transfer(dev, BLOCKDEV_WRITE, 512, buf, 1024), 0);
    assert_int_equal(model_range(dev, BLOCKDEV_FLUSH, 0, 0, false), 0);
    assert_int_equal(model_range(dev, BLOCKDEV_DISCARD, 4096, 8192, false), 0);
    assert_int_equal(model_range(dev, BLOCKDEV_ZERO, 4096, 8192, false), 0);
    assert_int_equal(model_range(dev, BLOCKDEV_ZERO, 4096, 512, true), 0);
    expect_log("write 512 1024 0\nflush 0 0 0\ntrim 4096 8192 0\nzero 4096 8192 2\nzero 4096 512 0\n"); /* 2: no hole */
    blockdev_free(dev);
    dev = open_served("noflush,nozero", false, NULL); /* nothing to flush with: each write goes through, 1 */
    assert_int_equal(model_transfer(dev, BLOCKDEV_WRITE, 512, buf, 1024), 0);
    assert_int_equal(model_range(dev, BLOCKDEV_FLUSH, 0, 0, false), 0);
    assert_int_equal(model_range(dev, BLOCKDEV_ZERO, 0, 65536 + 512, true), 0);
    expect_log("write 512 1024 1\nwrite 0 65536 1\nwrite 65536 512 1\n");
    blockdev_free(dev);
}

static void a_servers_errors_are_the_requests(void **state)
{
    (void)state;
    uint8_t buf[1024];
    struct blockdev *dev = open_served("fail=3", false, NULL);
    for (unsigned i = 1; i < 10; i++)
        assert_int_equal(model_transfer(dev, BLOCKDEV_READ, 0, buf, sizeof(buf)), i % 3 ? 0 : -EIO);
    blockdev_free(dev);
}

/* Dead, confused, gone: what was under way fails, and so does the rest, at once. */
static void without_its_server_a_disk_fails_and_does_not_hang(void **state)
{
    (void)state;
    static const char *const faults[] = { "die=1", "die=70", "cookie=9" };
    uint8_t buf[1024];
    for (unsigned i = 0; i < ARRAY_SIZE(faults); i++) {
        struct blockdev *dev = open_served(faults[i], false, NULL);
        model_ended = 0;
        submit_many(dev, BLOCKDEV_READ, quit_at_the_last);
        loop_run(loop);
        assert_int_equal(model_ended, MANY);
        assert_int_equal(model_result, -EIO);
        assert_int_equal(model_transfer(dev, BLOCKDEV_WRITE, 0, buf, sizeof(buf)), -EIO);
        assert_int_equal(model_range(dev, BLOCKDEV_FLUSH, 0, 0, false), -EIO);
        assert_int_equal(model_range(dev, BLOCKDEV_DISCARD, 0, 4096, false), -EIO);
        blockdev_free(dev);
    }
}

static void a_server_that_falls_silent_is_given_up(void **state)
{
    (void)state;
    struct nbd_link *link = NULL;
    struct blockdev *dev = NULL;
    const struct blockdev_config config = { .path = disk_path };
    uint8_t buf[1024];
    struct iovec iov = { buf, sizeof(buf) };
    setenv("NBD_FAULT", "mute=3", 1);
    assert_int_equal(nbd_link_open(&config, "x", &link, NULL), 0);
    link->silence_ms = 100;
    assert_int_equal(nbd_link_read(link, &iov, 1, 0), 0);
    assert_int_equal(blockdev_nbd_new(loop, link, &dev, NULL), 0);
    assert_int_equal(model_transfer(dev, BLOCKDEV_READ, 0, buf, sizeof(buf)), 0);
    assert_int_equal(model_transfer(dev, BLOCKDEV_READ, 0, buf, sizeof(buf)), -EIO);
    assert_int_equal(nbd_link_read(link, &iov, 1, 0), -EIO);
    blockdev_free(dev);
}

static void an_overlay_leaves_a_servers_disk_alone(void **state)
{
    (void)state;
    static uint8_t before[MODEL_SIZE], model[MODEL_SIZE], after[MODEL_SIZE];
    model_read_file(disk_path, before, MODEL_SIZE);
    memcpy(model, before, MODEL_SIZE);
    for (unsigned i = 0; i < 3; i++) {
        struct blockdev *dev = open_served(i == 2 ? "block=512" : "", true, overlay_path);
        model_check(dev, model, 100);
        blockdev_free(dev);
    }
    model_read_file(disk_path, after, MODEL_SIZE);
    assert_memory_equal(before, after, MODEL_SIZE);
    struct blockdev *dev = open_served("die=70", true, NULL); /* the 65th is the first after the samples */
    for (unsigned i = 0; i < 5; i++)
        assert_int_equal(model_range(dev, BLOCKDEV_FLUSH, 0, 0, false), 0);
    while (model_transfer(dev, BLOCKDEV_READ, 0, after, MODEL_SIZE) == 0) {
    }
    assert_int_equal(model_result, -EIO);
    assert_int_equal(model_transfer(dev, BLOCKDEV_WRITE, 4096, after, 4096), 0); /* that does not need it */
    assert_int_equal(model_transfer(dev, BLOCKDEV_READ, 4096, after, 4096), 0);
    blockdev_free(dev);
}

static void refused(const struct blockdev_config *config, const char *fault, int code, const char *why)
{
    struct blockdev *dev = NULL;
    struct error err = { 0 };
    setenv("NBD_FAULT", fault, 1);
    assert_int_equal(blockdev_open(config, loop, &dev, &err), code);
    assert_null(dev);
    if (!strstr(err.msg, why))
        fail_msg("'%s' does not say '%s'", err.msg, why);
}

static void bad_servers_are_refused_in_words(void **state)
{
    (void)state;
    const struct blockdev_config config = { .path = disk_path, .format = "x" },
                                 reader = { .path = disk_path, .format = "x", .overlay = true };
    static const struct {
        const char *fault;
        int code;
        const char *why;
    } bad[] = {
        { "words", -EINVAL, "': qemu-nbd: It is broken" },
        { "early", -EIO, "qemu-nbd hung up" },
        { "option", -EIO, "qemu-nbd hung up" },
        { "garbage", -EIO, "handshake" },
        { "unknown", -EIO, "export" },
        { "size=0", -EINVAL, "is empty" },
        { "size=1000", -EINVAL, "1000 bytes is not a multiple of 512" },
        { "size=18446744073709551104", -EINVAL, "size" },
        { "block=4096", -EINVAL, "wants blocks of 4096 bytes" },
    };
    for (unsigned i = 0; i < ARRAY_SIZE(bad); i++) {
        refused(&config, bad[i].fault, bad[i].code, bad[i].why);
        refused(&reader, bad[i].fault, bad[i].code, bad[i].why);
    }
    refused(&config, "ro", -EROFS, "use ,ro or ,overlay?");
    setenv("PATH", "/nonexistent:", 1);
    refused(&config, "", -ENOENT, "no qemu-nbd here");
}

static void a_disk_that_is_smaller_than_said_gives_errors_behind_its_end(void **state)
{
    (void)state;
    static uint8_t buf[8192];
    struct blockdev *dev = NULL;
    setenv("NBD_FAULT", "size=1048576", 1);
    assert_int_equal(blockdev_open(&(const struct blockdev_config){ .path = disk_path, .format = "x" }, loop, &dev, NULL), 0);
    assert_int_equal(dev->size, 1048576);
    assert_int_equal(model_transfer(dev, BLOCKDEV_READ, MODEL_SIZE - 512, buf, 512), 0);
    assert_int_equal(model_transfer(dev, BLOCKDEV_READ, MODEL_SIZE - 512, buf, 1024), -EIO);
    assert_int_equal(model_transfer(dev, BLOCKDEV_WRITE, 1048576 - 512, buf, 512), -EIO);
    blockdev_free(dev);
}

int main(void)
{
    usual_path = getenv("PATH") ? strdup(getenv("PATH")) : strdup("/usr/bin:/bin");
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(served_disks_behave_like_memory),
        T(scattered_memory_is_read_and_written_whole),
        T(many_requests_at_once_all_end),
        T(ends_come_from_the_loop),
        T(each_request_becomes_the_command_it_means),
        T(a_servers_errors_are_the_requests),
        T(without_its_server_a_disk_fails_and_does_not_hang),
        T(a_server_that_falls_silent_is_given_up),
        T(an_overlay_leaves_a_servers_disk_alone),
        T(bad_servers_are_refused_in_words),
        T(a_disk_that_is_smaller_than_said_gives_errors_behind_its_end),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    free(usual_path);
    return failed;
}
