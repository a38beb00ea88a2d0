/* SPDX-License-Identifier: MIT */
/*
 * Engine `bt` over a boot of Linux: checked against `interp` block by block at random places, and exchanged with it while it
 * runs.
 *
 * The machine is an ordinary one, made for `bt`; then its vCPU gets an engine of ours that drives both. The guest runs a command
 * whose output is known to be the same each time. Skipped (77) unless DOPPEL_TEST_KERNEL names the kernel that `make guests`
 * fetched. BT_BOOT_SEED chooses the random places, BT_BOOT_PERIOD twice how many turns of `bt` lie between two bursts of checks,
 * on average.
 */
#include <fcntl.h>
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
#include "bt_shadow.h"
#include "core/vm.h"
#include "engine/bt/bt.h"
#include "engine/bt/bt_x86.h"
#include "host_gen.h"
#include "isa/x86/hostexec.h"
#include "isa/x86/run.h"
#include "machine/blob.h"
#include "machine/command_port.h"
#include "machine/console.h"
#include "machine/initramfs.h"
#include "machine/machine.h"

enum {
    OUTPUT_MAX = 1 << 16,
    MISMATCHES_MAX = 3,
    MATCH_TURNS = 8,
    BURST_MAX = 20,
    TIME_MAX_S = 400,
    EARLY_CHECKS = 50000,
    EXIT_SKIPPED = 77, /* meson's */
    PATH_CAP = 4096
};

/* What the engine of ours does. */
enum driving { DRIVE_PLAIN, DRIVE_SWITCHING, DRIVE_CHECKING };

/* What the vCPU's engine_cpu is. */
struct driver {
    enum driving how;
    struct bt_x86 *bt;                /* owned */
    struct x86_run *interp;           /* owned */
    struct shadow *shadow;            /* owned; DRIVE_CHECKING */
    const struct vcpu_intc_ops *intc; /* borrowed: the real one */
    struct vcpu_intc_ops counting;    /* that, and counts */
    uint64_t accepts;
    unsigned period;
    struct rng r;
    struct x86_cpu met; /* where the CPU first was at the shadow's rip in another state */
    uint64_t checked, skipped, interrupted, mismatches, switches;
};

static struct driver *driver_of(struct vcpu *vcpu)
{
    return vcpu->engine_cpu;
}

/* ---- the engine ---- */

static struct driver *accepting; /* the interrupt controller does not know the vCPU */

static int count_accept(void *intc)
{
    accepting->accepts++;
    return accepting->intc->accept(intc);
}

static bool wants_out(struct vcpu *vcpu)
{
    return vcpu_requests(vcpu) & (VCPU_REQ_STOP | VCPU_REQ_END);
}

static enum vcpu_exit run_switching(struct vcpu *vcpu, struct driver *d)
{
    for (;;) {
        enum vcpu_exit exit = bt_x86_run_turns(d->bt, vcpu->cpu, 1 + rng_below(&d->r, 400), rng_percent(&d->r, 20));
        if (exit != VCPU_EXIT_REQUEST || wants_out(vcpu))
            return exit;
        exit = x86_run_blocks(d->interp, vcpu->cpu, 1 + rng_below(&d->r, rng_percent(&d->r, 50) ? 10 : 1000));
        if (exit != VCPU_EXIT_REQUEST || wants_out(vcpu))
            return exit;
        d->switches += 2;
    }
}

static void mismatch(struct vcpu *vcpu, struct driver *d, const char *differ)
{
    printf("%s differs after the block at\n", differ);
    shadow_print(d->shadow, &d->met);
    if (++d->mismatches == MISMATCHES_MAX)
        vm_request_end(vcpu->vm, VM_END_ERROR, 0, "too many mismatches");
}

/* One block, by the interpreter on the side and then by bt. */
static enum vcpu_exit check_block(struct vcpu *vcpu, struct driver *d)
{
    struct x86_cpu *c = vcpu->cpu;
    enum vcpu_exit exit = VCPU_EXIT_REQUEST;
    const char *differ = "nothing", *met = NULL;
    uint64_t accepts = d->accepts;
    bool interruptible = (c->rflags & FLAG_IF) && !c->int_shadow;
    if (c->slow || c->align_check || c->mode != X86_MODE_64 || c->activity != X86_RUNNING
        || (vcpu_requests(vcpu) & (interruptible ? ~0u : ~(uint32_t)VCPU_REQ_IRQ))) {
        d->skipped++;
        return exit;
    }
    if (!shadow_run(d->shadow, c)) {
        d->skipped++;
        shadow_drop(d->shadow);
        return exit;
    }
    for (unsigned k = 0; k < MATCH_TURNS && differ && exit == VCPU_EXIT_REQUEST && !wants_out(vcpu) && d->accepts == accepts;
         k++) {
        exit = bt_x86_run_turns(d->bt, c, 1, true);
        differ = shadow_compare(d->shadow, c);
        if (differ && !met && (strcmp(differ, "rip") != 0 || k == 0)) {
            d->met = *c;
            met = strcmp(differ, "rip") != 0 ? differ : NULL;
        }
    }
    d->checked++;
    if (d->accepts != accepts || wants_out(vcpu) || exit != VCPU_EXIT_REQUEST)
        d->interrupted++;
    else if (differ)
        mismatch(vcpu, d, met ? met : differ);
    shadow_drop(d->shadow);
    return exit;
}

static enum vcpu_exit run_checking(struct vcpu *vcpu, struct driver *d)
{
    if (!d->checked) /* the interpreter on the side runs one block */
        bt_x86_set_traces(d->bt, false);
    for (;;) {
        /* early on never chained: a mismatch would hang before it is seen */
        bool single = d->checked < EARLY_CHECKS || rng_percent(&d->r, 30);
        enum vcpu_exit exit = bt_x86_run_turns(d->bt, vcpu->cpu, 1 + rng_below(&d->r, d->period), single);
        for (unsigned n = rng_below(&d->r, BURST_MAX); n > 0 && exit == VCPU_EXIT_REQUEST && !wants_out(vcpu); n--)
            exit = check_block(vcpu, d);
        if (exit != VCPU_EXIT_REQUEST || wants_out(vcpu))
            return exit;
    }
}

static enum vcpu_exit drive(struct vcpu *vcpu)
{
    struct driver *d = driver_of(vcpu);
    switch (d->how) {
    case DRIVE_PLAIN: break;
    case DRIVE_SWITCHING: return run_switching(vcpu, d);
    case DRIVE_CHECKING: return run_checking(vcpu, d);
    }
    return bt_x86_run(d->bt, vcpu->cpu);
}

static void drive_done(struct vcpu *vcpu)
{
    struct driver *d = driver_of(vcpu);
    bt_x86_free(d->bt);
    x86_run_free(d->interp);
    shadow_free(d->shadow);
    free(d);
    vcpu->engine_cpu = NULL;
}

static void drive_state_changed(struct vcpu *vcpu)
{
    struct driver *d = driver_of(vcpu);
    x86_state_changed(vcpu->cpu);
    bt_x86_drop(d->bt);
    x86_run_drop(d->interp);
}

static const struct engine_ops drive_ops = {
    .name = "driver",
    .vcpu_done = drive_done,
    .run = drive,
    .state_changed = drive_state_changed,
};

static uint64_t from_env(const char *name, uint64_t otherwise)
{
    const char *v = getenv(name);
    return v ? strtoull(v, NULL, 0) : otherwise;
}

/* Takes the vCPU over from bt. */
static struct driver *take_over(struct vcpu *vcpu, enum driving how)
{
    struct driver *d = aligned_alloc(64, (sizeof(*d) + 63) / 64 * 64);
    assert_non_null(d);
    memset(d, 0, sizeof(*d));
    d->how = how;
    d->bt = vcpu->engine_cpu;
    d->interp = x86_run_new(64 << 20, 16);
    assert_non_null(d->interp);
    d->period = (unsigned)from_env("BT_BOOT_PERIOD", 60);
    d->r.state = from_env("BT_BOOT_SEED", (uint64_t)time(NULL));
    if (how == DRIVE_CHECKING) {
        d->shadow = shadow_new(vcpu);
        assert_non_null(d->shadow);
    }
    d->intc = vcpu->intc;
    d->counting = *vcpu->intc;
    d->counting.accept = count_accept;
    accepting = d;
    vcpu->intc = &d->counting;
    vcpu->engine = &drive_ops;
    vcpu->engine_cpu = d;
    return d;
}

/* ---- a guest that runs a command ---- */

struct guest {
    struct machine *machine;
    struct loop *loop;
    struct chardev *console, *port;
    struct blob initramfs;
    char output[OUTPUT_MAX];
    size_t len;
    int pipe_out[2], pipe_in[2];
};

static void on_command(void *opaque, enum command_event event, int value)
{
    struct guest *g = opaque;
    if (event == COMMAND_EXITED)
        vm_request_end(machine_vm(g->machine), VM_END_EXIT, value, "the command ended");
    else if (event != COMMAND_READY)
        vm_request_end(machine_vm(g->machine), VM_END_ERROR, 0, "the command's channel broke");
}

static const char *const command[] = {
    "sh",
    "-c",
    "seq 1 3000 | md5sum; sha256sum /bin/busybox | cut -c1-64; gzip -c /bin/busybox | sha1sum; echo 'scale=60; 4*a(1)' | bc -l;"
    "awk 'BEGIN { for (i = 1; i < 20000; i++) s += sin(i) / i; printf \"%.12f\\n\", s }';"
    "for i in 1 2 3 4 5 6 7 8; do (sleep 0.05; echo $i) | cat; done; sort -r /proc/filesystems | head -3; kill -SEGV $$",
    NULL,
};

static void guest_new(struct guest *g, const char *kernel)
{
    struct error err = { 0 };
    char dir[PATH_CAP];
    (void)snprintf(dir, sizeof(dir), "%s", kernel);
    *strrchr(dir, '/') = 0;
    const struct initramfs_args args = { .arch = "x86-64", .guest_dir = dir, .with_modules = true, .command = command };
    struct vm_config config = {
        .arch = "x86-64",
        .engine = "bt",
        .cpus = 1,
        .memory = 256 << 20,
        .kernel = kernel,
        .cmdline = "console=ttyS0 panic=-1 quiet cryptomgr.notests rcupdate.rcu_expedited=1",
    };
    memset(g, 0, sizeof(*g));
    assert_int_equal(pipe2(g->pipe_out, O_NONBLOCK), 0);
    assert_int_equal(pipe(g->pipe_in), 0);
    (void)close(g->pipe_in[1]); /* the command reads nothing */
    if (initramfs_build(&args, &g->initramfs, &err) < 0 || loop_new(&g->loop, &err) < 0
        || console_new(NULL, &g->console, &err) < 0
        || command_port_new(g->loop, g->pipe_in[0], g->pipe_out[1], g->pipe_out[1], on_command, g, &g->port, &err) < 0)
        fail_msg("%s", err.msg);
    config.initramfs = g->initramfs.data;
    config.initramfs_len = g->initramfs.len;
    const struct machine_ports ports = { .loop = g->loop, .serial = { g->console, g->port } };
    if (machine_new(&config, &ports, &g->machine, &err) < 0)
        fail_msg("%s", err.msg);
}

static void guest_free(struct guest *g)
{
    machine_free(g->machine);
    chardev_free(g->console);
    chardev_free(g->port);
    loop_free(g->loop);
    blob_done(&g->initramfs);
    (void)close(g->pipe_out[0]);
    (void)close(g->pipe_out[1]);
    (void)close(g->pipe_in[0]);
}

/* Runs it to its end and keeps the command's output (which fits into a pipe). */
static void guest_run(struct guest *g)
{
    struct error err = { 0 };
    if (machine_run(g->machine, &err) < 0)
        fail_msg("%s", err.msg);
    if (command_port_unsent(g->port, true) > 0)
        loop_run(g->loop);
    for (ssize_t n; (n = read(g->pipe_out[0], g->output + g->len, sizeof(g->output) - 1 - g->len)) > 0;)
        g->len += (size_t)n;
    const struct vm *vm = machine_vm(g->machine);
    if (vm->end != VM_END_EXIT)
        fail_msg("the guest ended otherwise: %s; output: %s", vm->end_why, g->output);
    assert_int_equal(vm->end_status, 128 + 11); /* as the last part of the command wants it */
}

/* NULL: there is none. */
static const char *kernel_path(void)
{
    const char *kernel = getenv("DOPPEL_TEST_KERNEL");
    return kernel && access(kernel, R_OK) == 0 ? kernel : NULL;
}

static double now(void)
{
    struct timespec ts;
    (void)clock_gettime(CLOCK_MONOTONIC, &ts); /* cannot fail */
    return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

/* Runs the guest; the driver's counters, as they were at the end, in *ret_counts. */
static void run_guest(struct guest *g, enum driving how, struct driver *ret_counts)
{
    struct error err = { 0 };
    double begin = now();
    guest_new(g, kernel_path());
    assert_int_equal(hostexec_init(&err), 0); /* behind cmocka's own handlers */
    struct driver *d = take_over(machine_vm(g->machine)->vcpu[0], how);
    printf("BT_BOOT_SEED=%lu\n", d->r.state);
    guest_run(g);
    *ret_counts = *d;
    guest_free(g);
    printf("took %.1f s: %lu switches, %lu checks, %lu skipped, %lu interrupted, %lu mismatches\n", now() - begin, d->switches,
           ret_counts->checked, ret_counts->skipped, ret_counts->interrupted, ret_counts->mismatches);
}

/* What the command says under bt alone. */
static struct guest plain;

static void compare_with_plain(const struct guest *g)
{
    struct driver counts;
    if (!plain.len)
        run_guest(&plain, DRIVE_PLAIN, &counts);
    assert_true(plain.len > 200);
    assert_string_equal(g->output, plain.output);
}

static void switching_engines_during_a_boot_changes_no_output(void **state)
{
    static struct guest g;
    struct driver counts;
    (void)state;
    run_guest(&g, DRIVE_SWITCHING, &counts);
    assert_true(counts.switches > 1000);
    compare_with_plain(&g);
}

static void sampled_blocks_of_a_boot_agree_with_interp(void **state)
{
    static struct guest g;
    struct driver counts;
    (void)state;
    run_guest(&g, DRIVE_CHECKING, &counts);
    assert_int_equal(counts.mismatches, 0);
    assert_true(counts.checked > 1000);
    compare_with_plain(&g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(switching_engines_during_a_boot_changes_no_output),
        cmocka_unit_test(sampled_blocks_of_a_boot_agree_with_interp),
    };
    if (!kernel_path()) {
        printf("skipped: DOPPEL_TEST_KERNEL names no kernel that can be read (make guests)\n");
        return EXIT_SKIPPED;
    }
    (void)alarm(TIME_MAX_S); /* a guest that hangs is a failure */
    if (getenv("BT_BOOT_LAW"))
        cmocka_set_test_filter(getenv("BT_BOOT_LAW"));
    return cmocka_run_group_tests(tests, NULL, NULL);
}
