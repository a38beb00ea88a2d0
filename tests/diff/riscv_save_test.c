/* SPDX-License-Identifier: MIT */
/*
 * A riscv64 Linux that is saved at some moment and goes on in another machine, again and again, does what it does in one.
 *
 * Its init counts, sorts and reads a disk, and says what came out in lines that begin with '@', the last of them @end. All
 * engines in turn, which take the state from each other. Skipped (77) unless DOPPEL_TEST_RISCV_KERNEL names a kernel beside its
 * busybox, as scripts/get-guest puts it, with drivers for serial ports, virtio-mmio, PCI and virtio-blk built in: no modules are
 * loaded here.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "backend/chardev.h"
#include "base/loop.h"
#include "machine/console.h"
#include "machine/cpio.h"
#include "machine/machine.h"
#include "machine/registry.h"

enum { OUT_MAX = 1 << 20, PATH_CAP = 512, DISK = 256 << 10, HOPS = 6, ENGINES_MAX = 4, TRIES = 3000 };

static const char init_script[] = "#!/bin/sh\n"
                                  "mount -t devtmpfs dev /dev\n"
                                  "mount -t proc proc /proc\n"
                                  "for n in 1 2 3 4 5 6 7 8 9 10 11 12; do\n"
                                  "    ( i=0; while [ $i -lt 300 ]; do i=$((i+1)); done; echo $i >/tmp/$n ) &\n"
                                  "    i=0; while [ $i -lt 300 ]; do i=$((i+1)); done\n"
                                  "    wait\n"
                                  "    echo @$n $i $(cat /tmp/$n) $(dd if=/dev/vda bs=4k skip=$n count=16 2>/dev/null | md5sum)\n"
                                  "done\n"
                                  "echo @end\n"
                                  "poweroff -f\n";

static const char *kernel; /* its path */
static char disk[] = "/tmp/doppel-riscv-save-XXXXXX";
static struct blob initramfs;
static char out[OUT_MAX + 1];
static size_t out_len;
static enum vm_bus bus;

struct box {
    struct vm_config config;
    struct loop *loop;
    struct chardev *below, *console;
    struct machine *machine;
};

static void make_initramfs(void)
{
    static const char *const dirs[] = { "bin", "dev", "proc", "tmp" };
    char path[PATH_CAP];
    struct blob busybox;
    struct cpio c;
    struct error err = { 0 };
    (void)snprintf(path, sizeof(path), "%.*s/busybox", (int)(strrchr(kernel, '/') - kernel), kernel);
    cpio_init(&c, 64 << 20);
    int r = blob_read_file(path, 32 << 20, &busybox, &err);
    for (unsigned i = 0; r == 0 && i < sizeof(dirs) / sizeof(dirs[0]); i++)
        r = cpio_add_dir(&c, dirs[i], 0755, &err);
    if (r == 0)
        r = cpio_add_file(&c, "bin/busybox", 0755, busybox.data, busybox.len, &err);
    static const char *const applets[] = { "sh", "mount", "cat", "dd", "md5sum", "poweroff" };
    for (unsigned i = 0; r == 0 && i < sizeof(applets) / sizeof(applets[0]); i++) {
        (void)snprintf(path, sizeof(path), "bin/%s", applets[i]);
        r = cpio_add_symlink(&c, path, "busybox", &err);
    }
    if (r == 0)
        r = cpio_add_char_device(&c, "dev/console", 0600, 5, 1, &err);
    if (r == 0)
        r = cpio_add_file(&c, "init", 0755, init_script, sizeof(init_script) - 1, &err);
    if (r == 0)
        r = cpio_finish(&c, &initramfs, &err);
    if (r < 0)
        fail_msg("%s", err.msg);
    blob_done(&busybox);
}

static void open_box(struct box *b, const char *engine)
{
    struct error err = { 0 };
    *b = (struct box){ .config = {
                           .arch = "riscv64",
                           .engine = engine,
                           .cpus = 2,
                           .memory = 96 << 20,
                           .kernel = kernel,
                           .initramfs = initramfs.data,
                           .initramfs_len = initramfs.len,
                           .cmdline = "console=ttyS0 panic=-1 quiet",
                           .disk = { { .path = disk, .read_only = true } },
                           .nr_disks = 1,
                           .bus = bus,
                       } };
    if (loop_new(&b->loop, &err) < 0 || chardev_buffer_new(OUT_MAX, &b->below, &err) < 0
        || console_new(b->below, &b->console, &err) < 0)
        fail_msg("%s", err.msg);
    const struct machine_ports ports = { .loop = b->loop, .serial = { b->console } };
    if (machine_new(&b->config, &ports, &b->machine, &err) < 0)
        fail_msg("%s", err.msg);
}

static void take_output(struct box *b)
{
    vm_lock(machine_vm(b->machine));
    out_len += chardev_buffer_take(b->below, out + out_len, OUT_MAX - out_len);
    vm_unlock(machine_vm(b->machine));
    out[out_len] = '\0';
}

static void close_box(struct box *b)
{
    struct error err;
    machine_quit(b->machine, VM_END_QUIT, "");
    if (machine_finish(b->machine, &err) < 0)
        fail_msg("%s", err.msg);
    machine_free(b->machine);
    chardev_free(b->console);
    loop_free(b->loop);
}

static void start(struct box *b)
{
    struct error err = { 0 };
    if (machine_start(b->machine, &err) < 0)
        fail_msg("%s", err.msg);
}

/* Waits until the output has `lines` that begin with '@', or the end of the machine; false: neither comes. */
static bool wait_for_lines(struct box *b, unsigned lines)
{
    const struct timespec step = { .tv_nsec = 20 * 1000000 };
    for (unsigned i = 0; i < TRIES; i++) {
        unsigned seen = 0;
        take_output(b);
        for (const char *at = out; (at = strstr(at, "\n@")) != NULL; at++)
            seen++;
        if (seen >= lines || machine_is_ending(b->machine))
            return true;
        (void)nanosleep(&step, NULL);
    }
    return false;
}

/* The lines that begin with '@', of all that came out. */
static void keep_lines(char *to, size_t cap)
{
    size_t len = 0;
    for (const char *line = out; line; line = strchr(line, '\n'), line = line ? line + 1 : NULL)
        if (line[0] == '@')
            len += (size_t)snprintf(to + len, len < cap ? cap - len : 0, "%.*s\n", (int)strcspn(line, "\r\n"), line);
    assert_true(len < cap);
}

static unsigned engines(const char *names[ENGINES_MAX])
{
    const struct registry_arch *arch;
    unsigned nr = 0;
    assert_int_equal(registry_find_arch("riscv64", &arch, NULL), 0);
    for (const struct engine_ops *const *e = arch->engines; *e && nr < ENGINES_MAX; e++) {
        struct engine_probe probe = { .usable = false };
        (*e)->probe(arch->isa, &probe);
        if (probe.usable)
            names[nr++] = (*e)->name;
    }
    return nr;
}

static void goes_on(void)
{
    static char want[8192], got[8192];
    const char *engine[ENGINES_MAX];
    const unsigned nr = engines(engine);
    struct box b;
    make_initramfs();
    out_len = 0;
    open_box(&b, engine[0]);
    start(&b);
    assert_true(wait_for_lines(&b, 100)); /* to its end */
    take_output(&b);
    close_box(&b);
    keep_lines(want, sizeof(want));
    assert_non_null(strstr(want, "\n@end\n"));

    out_len = 0;
    open_box(&b, engine[0]);
    start(&b);
    for (unsigned hop = 0; hop < HOPS; hop++) {
        struct state_buf buf = { 0 };
        struct error err = { 0 };
        const struct timespec more = { .tv_nsec = (hop * 7 % 5) * 9000000L }; /* somewhere between two lines */
        assert_true(wait_for_lines(&b, 2 * hop));                             /* the first as soon as it starts */
        (void)nanosleep(&more, NULL);
        machine_pause(b.machine);
        take_output(&b);
        if (machine_is_ending(b.machine))
            fail_msg("the guest ended before hop %u: %s", hop, out);
        assert_int_equal(machine_save(b.machine, &buf), 0);
        close_box(&b);
        open_box(&b, engine[(hop + 1) % nr]);
        if (machine_load(b.machine, &buf, &err) < 0)
            fail_msg("hop %u: %s", hop, err.msg);
        state_buf_done(&buf);
        start(&b);
    }
    assert_true(wait_for_lines(&b, 100));
    take_output(&b);
    close_box(&b);
    keep_lines(got, sizeof(got));
    assert_string_equal(got, want);
    blob_done(&initramfs);
}

static void a_saved_linux_goes_on_in_another_machine(void **state)
{
    (void)state;
    bus = VM_BUS_MMIO;
    goes_on();
}

static void so_it_does_on_pci(void **state)
{
    (void)state;
    bus = VM_BUS_PCI;
    goes_on();
}

static void make_disk(void)
{
    static uint8_t bytes[DISK];
    for (unsigned i = 0; i < DISK; i++)
        bytes[i] = (uint8_t)(i * 2654435761U >> 13);
    int fd = mkstemp(disk);
    if (fd < 0 || write(fd, bytes, DISK) != DISK || close(fd) < 0)
        exit(1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_saved_linux_goes_on_in_another_machine),
        cmocka_unit_test(so_it_does_on_pci),
    };
    kernel = getenv("DOPPEL_TEST_RISCV_KERNEL");
    if (!kernel || !strchr(kernel, '/') || access(kernel, R_OK) < 0) {
        printf("skipped: DOPPEL_TEST_RISCV_KERNEL names no kernel that can be read\n");
        return 77;
    }
    make_disk();
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    (void)unlink(disk);
    return failed;
}
