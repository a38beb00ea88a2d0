/* SPDX-License-Identifier: MIT */
/*
 * Runs a command in a Linux guest as `doppel run --engine bt` does, and makes things hard for the engine meanwhile.
 *
 * usage: soak_guest KERNEL INITRD SEED CPUS HARDNESS COMMAND. Nothing of what it does may show in the command's output or status,
 * which are ours. What it does, at random times chosen by SEED, as often as HARDNESS (0 to 10) says:
 *   - each CPU goes over from `bt` to `interp` and back after some blocks;
 *   - it drops its translations, its TLB, or all that was derived from state;
 *   - other threads request that of it, and inject interrupts that Linux takes to be spurious (IPIs, the timer);
 *   - every second time there is so little memory for code that some of it is evicted all the time;
 *   - the machine is stopped and goes on; sometimes its state is saved and loaded in between.
 * HARDNESS 0: `bt` is left alone. Until the command starts, nothing is injected. SOAK_DISK in the environment names a disk for
 * the guest. A line of counts goes to stderr. Status 125: our own trouble, 124: it took longer than SOAK_LIMIT seconds (300),
 * which also prints where the CPUs are.
 */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "backend/chardev.h"
#include "base/loop.h"
#include "core/isa.h"
#include "core/vcpu.h"
#include "device/lapic.h"
#include "engine/bt/bt.h"
#include "engine/bt/bt_x86.h"
#include "isa/x86/isa.h"
#include "isa/x86/mmu.h"
#include "isa/x86/run.h"
#include "isa/x86/state.h"
#include "machine/blob.h"
#include "machine/command_port.h"
#include "machine/console.h"
#include "machine/initramfs.h"
#include "machine/machine.h"

enum { TROUBLE = 125, TOO_LONG = 124, LIMIT_S = 300, PATH_CAP = 4096, HARDEST = 10 };

/* Random numbers (splitmix64), one a thread. */
struct dice {
    uint64_t state;
};

static uint64_t roll(struct dice *d, uint64_t n)
{
    uint64_t x = d->state += 0x9e3779b97f4a7c15;
    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9;
    x = (x ^ x >> 27) * 0x94d049bb133111eb;
    return (x ^ x >> 31) % n;
}

/* What a vCPU's engine_cpu is. */
struct driver {
    struct bt_x86 *bt;      /* owned */
    struct x86_run *interp; /* owned */
    struct dice dice;
    bool single; /* blocks of bt are run one by one at times */
    uint64_t switches, drops, flushes;
};

static struct {
    struct machine *machine;
    struct loop *loop;
    unsigned hardness;
    bool from_the_start; /* switch engines during the boot, too */
    atomic_bool ready;   /* the command was started */
    atomic_bool over;
    atomic_ulong requests, interrupts, pauses, reloads;
} soak;

/* ---- the engine ---- */

static bool wants_out(struct vcpu *vcpu)
{
    return vcpu_requests(vcpu) & (VCPU_REQ_STOP | VCPU_REQ_END);
}

/* What may be lost at any time. */
static void lose_something(struct vcpu *vcpu, struct driver *d)
{
    if (roll(&d->dice, 60) >= soak.hardness)
        return;
    switch (roll(&d->dice, 60)) {
    case 0: bt_x86_drop(d->bt); break;
    case 1: x86_run_drop(d->interp); break;
    case 2:
        x86_state_changed(vcpu->cpu);
        bt_x86_drop(d->bt);
        break;
    default:
        x86_tlb_flush_all(vcpu->cpu);
        d->flushes++;
        return;
    }
    d->drops++;
}

static enum vcpu_exit drive(struct vcpu *vcpu)
{
    struct driver *d = vcpu->engine_cpu;
    for (;;) {
        if (!soak.hardness || (!soak.from_the_start && !atomic_load(&soak.ready)))
            return bt_x86_run(d->bt, vcpu->cpu);
        bool single = d->single && roll(&d->dice, 10) == 0;
        uint64_t turns = 1 + roll(&d->dice, roll(&d->dice, 4) ? 500 : 20);
        enum vcpu_exit exit = bt_x86_run_turns(d->bt, vcpu->cpu, turns, single);
        if (exit != VCPU_EXIT_REQUEST || wants_out(vcpu))
            return exit;
        lose_something(vcpu, d);
        if (roll(&d->dice, HARDEST) >= soak.hardness)
            continue;
        exit = x86_run_blocks(d->interp, vcpu->cpu, 1 + roll(&d->dice, roll(&d->dice, 4) ? 100 : 3000));
        d->switches += 2;
        if (exit != VCPU_EXIT_REQUEST || wants_out(vcpu))
            return exit;
    }
}

static void drive_done(struct vcpu *vcpu)
{
    struct driver *d = vcpu->engine_cpu;
    bt_x86_free(d->bt);
    x86_run_free(d->interp);
    free(d);
    vcpu->engine_cpu = NULL;
}

static void drive_state_changed(struct vcpu *vcpu)
{
    struct driver *d = vcpu->engine_cpu;
    x86_state_changed(vcpu->cpu);
    bt_x86_drop(d->bt);
    x86_run_drop(d->interp);
}

static const struct engine_ops drive_ops = {
    .name = "soak",
    .vcpu_done = drive_done,
    .run = drive,
    .state_changed = drive_state_changed,
};

static void take_over(struct vcpu *vcpu, uint64_t seed)
{
    struct driver *d = calloc(1, sizeof(*d));
    struct x86_run *interp = x86_run_new(vm_code_cache(vcpu->vm), 16);
    if (!d || !interp)
        _exit(TROUBLE);
    d->bt = vcpu->engine_cpu;
    d->interp = interp;
    d->dice.state = seed + 1000 * vcpu->id;
    d->single = roll(&d->dice, 4) == 0;
    vcpu->engine = &drive_ops;
    vcpu->engine_cpu = d;
}

/* ---- from outside ---- */

static void nap(struct dice *d, unsigned most_us)
{
    const struct timespec t = { .tv_nsec = (long)(1 + roll(d, most_us)) * 1000 };
    (void)nanosleep(&t, NULL); /* a signal may cut it short */
}

/* Linux's: IRQ work, two kinds of function calls, reschedule, the local timer. All come unasked on real machines, too. */
static void inject(struct vcpu *vcpu, struct dice *d)
{
    static const uint8_t vectors[] = { 0xf6, 0xfb, 0xfc, 0xfd, 0xec };
    struct lapic *apic = vcpu->intc_dev;
    vm_lock(vcpu->vm);
    lapic_bus_deliver(apic->bus, 0xfee00000 | (uint64_t)lapic_id(apic) << 12, vectors[roll(d, sizeof(vectors))]);
    vm_unlock(vcpu->vm);
    atomic_fetch_add(&soak.interrupts, 1);
}

static void *pester(void *seed)
{
    struct vm *vm = machine_vm(soak.machine);
    struct dice d = { (uint64_t)(uintptr_t)seed };
    while (!atomic_load(&soak.over)) {
        nap(&d, 20000 / soak.hardness);
        if (!atomic_load(&soak.ready))
            continue;
        struct vcpu *vcpu = vm->vcpu[roll(&d, vm->nr_vcpus)];
        if (roll(&d, 20) == 0) {
            vcpu_request(vcpu, VCPU_REQ_FLUSH);
            atomic_fetch_add(&soak.requests, 1);
        } else {
            inject(vcpu, &d);
        }
    }
    return NULL;
}

/* Every CPU stands. */
static void save_and_load(void)
{
    struct error err = { 0 };
    struct state_buf buf = { 0 };
    int r = machine_save(soak.machine, &buf);
    if (r == 0)
        r = machine_load(soak.machine, &buf, &err);
    if (r < 0) {
        (void)fprintf(stderr, "soak: saving and loading: %s\n", err.msg);
        _exit(TROUBLE);
    }
    state_buf_done(&buf);
    atomic_fetch_add(&soak.reloads, 1);
}

static bool ended(struct vm *vm)
{
    (void)pthread_mutex_lock(&vm->end_lock);
    bool end = vm->end != VM_END_NONE;
    (void)pthread_mutex_unlock(&vm->end_lock);
    return end;
}

/* The control thread's part: pauses, until the machine has ended. */
static void stop_and_go(uint64_t seed)
{
    struct vm *vm = machine_vm(soak.machine);
    struct dice d = { seed };
    while (!ended(vm)) {
        nap(&d, 400000 / soak.hardness);
        if (!atomic_load(&soak.ready) || ended(vm))
            continue;
        vm_pause(vm);
        if (roll(&d, 40) == 0)
            save_and_load();
        vm_resume(vm);
        atomic_fetch_add(&soak.pauses, 1);
    }
}

static void on_alarm(int sig)
{
    (void)sig;
    struct vm *vm = machine_vm(soak.machine);
    for (unsigned i = 0; i < vm->nr_vcpus; i++) {
        char where[160];
        vm->vcpu[i]->isa->describe(vm->vcpu[i], where, sizeof(where));
        (void)fprintf(stderr, "soak: too long: CPU %u, requests %x: %s\n", i, vcpu_requests(vm->vcpu[i]), where);
    }
    if (getenv("SOAK_WAIT"))
        (void)pause(); /* for a debugger */
    _exit(TOO_LONG);
}

/* ---- the machine ---- */

static void on_command(void *opaque, enum command_event event, int value)
{
    (void)opaque;
    if (event == COMMAND_READY)
        atomic_store(&soak.ready, true);
    else if (event == COMMAND_EXITED)
        vm_request_end(machine_vm(soak.machine), VM_END_EXIT, value, "the command ended");
    else
        vm_request_end(machine_vm(soak.machine), VM_END_ERROR, 0, "the command's channel broke");
}

static int make(char **argv, uint64_t seed, struct chardev **ret_port, struct chardev **ret_console, struct error *err)
{
    static char dir[PATH_CAP];
    static struct blob initramfs;
    const char *const command[] = { "sh", "-c", argv[6], NULL };
    (void)snprintf(dir, sizeof(dir), "%s", argv[1]);
    char *slash = strrchr(dir, '/');
    if (!slash)
        return error_set(err, -EINVAL, "%s: no folder", argv[1]);
    *slash = '\0';
    const struct initramfs_args args = { .arch = "x86-64", .guest_dir = dir, .with_modules = true, .command = command };
    int r = initramfs_build(&args, &initramfs, err);
    if (r >= 0)
        r = loop_new(&soak.loop, err);
    if (r >= 0)
        r = console_new(NULL, ret_console, err);
    if (r >= 0)
        r = command_port_new(soak.loop, STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO, on_command, NULL, ret_port, err);
    if (r < 0)
        return r;
    const struct machine_ports ports = { .loop = soak.loop, .serial = { *ret_console, *ret_port } };
    const struct vm_config config = {
        .arch = "x86-64",
        .engine = "bt",
        .cpus = (unsigned)atoi(argv[4]),
        .memory = 384 << 20,
        .code_cache = seed % 2 ? VM_CODE_CACHE_MIN << (1 + seed % 8 / 2) : 0,
        .kernel = argv[1],
        .initrd = argv[2],
        .initramfs = initramfs.data,
        .initramfs_len = initramfs.len,
        .cmdline = "console=ttyS0 panic=-1 quiet cryptomgr.notests rcupdate.rcu_expedited=1",
        .disk = { { .path = getenv("SOAK_DISK") } },
        .nr_disks = getenv("SOAK_DISK") != NULL,
    };
    return machine_new(&config, &ports, &soak.machine, err);
}

static void print_counts(const struct vm *vm)
{
    uint64_t switches = 0, drops = 0, flushes = 0;
    for (unsigned i = 0; i < vm->nr_vcpus; i++) {
        const struct driver *d = vm->vcpu[i]->engine_cpu;
        switches += d->switches;
        drops += d->drops;
        flushes += d->flushes;
    }
    (void)fprintf(stderr, "soak: switches %lu drops %lu flushes %lu requests %lu interrupts %lu pauses %lu reloads %lu\n",
                  switches, drops, flushes, atomic_load(&soak.requests), atomic_load(&soak.interrupts), atomic_load(&soak.pauses),
                  atomic_load(&soak.reloads));
}

static int run(uint64_t seed, struct error *err)
{
    pthread_t pesterer;
    struct vm *vm = machine_vm(soak.machine);
    int r = machine_start(soak.machine, err);
    if (r >= 0 && soak.hardness) {
        r = vm_thread_start(&pesterer, pester, (void *)(uintptr_t)(seed + 1), err);
        if (r >= 0) {
            stop_and_go(seed + 2);
            atomic_store(&soak.over, true);
            (void)pthread_join(pesterer, NULL); /* ours and joinable */
        }
    }
    if (r >= 0)
        r = machine_finish(soak.machine, err);
    if (r < 0)
        return r;
    print_counts(vm);
    if (vm->end == VM_END_EXIT)
        return vm->end_status;
    (void)fprintf(stderr, "soak: the guest ended otherwise: %s\n", vm->end_why);
    return TROUBLE;
}

static void print_console(struct chardev *console)
{
    static char text[CONSOLE_KEEP];
    size_t len = console_copy(console, text, sizeof(text));
    (void)fprintf(stderr, "soak: the console said:\n%.*s\n", (int)len, text);
}

int main(int argc, char **argv)
{
    struct error err = { 0 };
    struct chardev *port = NULL, *console = NULL;
    const char *limit = getenv("SOAK_LIMIT");
    if (argc != 7) {
        (void)fprintf(stderr, "usage: soak_guest KERNEL INITRD SEED CPUS HARDNESS COMMAND\n");
        return TROUBLE;
    }
    uint64_t seed = strtoull(argv[3], NULL, 10);
    soak.hardness = (unsigned)atoi(argv[5]);
    soak.from_the_start = seed % 4 == 0;
    int r = make(argv, seed, &port, &console, &err);
    if (r >= 0) {
        struct vm *vm = machine_vm(soak.machine);
        for (unsigned i = 0; i < vm->nr_vcpus; i++)
            take_over(vm->vcpu[i], seed);
        (void)signal(SIGALRM, on_alarm);
        (void)alarm(limit ? (unsigned)atoi(limit) : LIMIT_S);
        r = run(seed, &err);
    }
    if (r < 0) {
        (void)fprintf(stderr, "soak: %s\n", err.msg);
        return TROUBLE;
    }
    if (command_port_unsent(port, true) > 0)
        loop_run(soak.loop);
    if (r != 0)
        print_console(console);
    machine_free(soak.machine);
    chardev_free(console);
    chardev_free(port);
    loop_free(soak.loop);
    return r;
}
