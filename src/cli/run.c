/* SPDX-License-Identifier: MIT */
/*
 * doppel run: makes a machine from the options, connects it to the terminal or a command's stdio, runs it, and turns how it
 * ended into words and an exit status.
 *
 * The main thread is the control thread. Signals and the time limit belong to the watcher.
 */
#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "backend/blockdev.h"
#include "backend/chardev.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/loop.h"
#include "cli/guest_files.h"
#include "cli/host_facts.h"
#include "cli/run_console.h"
#include "cli/run_control.h"
#include "cli/run_options.h"
#include "cli/run_serial.h"
#include "cli/terminal.h"
#include "cli/verbs.h"
#include "cli/watcher.h"
#include "control/sandbox.h"
#include "core/gmem.h"
#include "core/vm.h"
#include "engine/kvm/kvm.h"
#include "machine/blob.h"
#include "machine/command_port.h"
#include "machine/console.h"
#include "machine/diskboot.h"
#include "machine/initramfs.h"
#include "machine/machine.h"

/* quiet, no crypto self-tests and expedited RCU save seconds on an interpreter; panic=-1 makes a panic a reset, which ends the
 * machine. */
#define CMDLINE_DEFAULT "console=ttyS0 panic=-1 quiet cryptomgr.notests rcupdate.rcu_expedited=1"

/* The guest's interface: slirp's network is known, of another one we know nothing. */
#define INTERFACE "eth0"
#define USER_INTERFACE INTERFACE " " NETDEV_USER_GUEST " " NETDEV_USER_NETMASK " " NETDEV_USER_GATEWAY

struct run {
    struct run_options options;
    char guest_dir[GUEST_PATH_MAX];
    char kernel[GUEST_PATH_MAX + 16];
    char *cmdline;                   /* owned */
    char *share_path[VM_SHARES_MAX]; /* owned; absolute, without links */
    struct initramfs_share mount[VM_SHARES_MAX];
    char cwd[PATH_MAX];                     /* ours, when it lies in a share; else empty */
    struct diskboot diskboot;               /* owned; the kernel is from there if there is one */
    struct blob initramfs;                  /* owned */
    struct loop *loop;                      /* owned */
    struct chardev *console, *command_port; /* owned */
    struct run_console hvc;                 /* owned */
    int serial_fd;                          /* owned: the console's file, -1: none */
    struct escape_keys keys;
    struct machine *machine;    /* owned */
    struct run_control control; /* owned */
    /* what happened; written with the machine's lock held */
    bool quit_early;    /* Ctrl-A x before there was a machine */
    bool command_ready; /* the guest came so far as to start the command */
    bool command_exited;
};

/* ---- preparation ---- */

/* A share is a descriptor for each file that the guest knows: as many as we may have. */
static void raise_file_limit(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) < 0 || limit.rlim_cur == limit.rlim_max)
        return;
    limit.rlim_cur = limit.rlim_max;
    (void)setrlimit(RLIMIT_NOFILE, &limit); /* if not: fewer files at a time */
}

static bool lies_in(const char *path, const char *folder)
{
    size_t len = strlen(folder);
    return strcmp(folder, "/") == 0 || (strncmp(path, folder, len) == 0 && (path[len] == '/' || path[len] == '\0'));
}

static int by_length(const void *a, const void *b)
{
    size_t x = strlen(((const struct initramfs_share *)a)->path), y = strlen(((const struct initramfs_share *)b)->path);
    return x < y ? -1 : x > y;
}

/* Where the shares go in the guest of a command: to the same places. */
static int place_shares(struct run *run, struct error *err)
{
    const struct vm_config *vm = &run->options.vm;
    if (vm->nr_shares == 0)
        return 0;
    raise_file_limit();
    char cwd[PATH_MAX];
    if (!getcwd(cwd, sizeof(cwd)))
        cwd[0] = '\0';
    for (unsigned i = 0; i < vm->nr_shares; i++) {
        const struct share_config *s = &vm->share[i];
        char *path = run->share_path[i] = realpath(s->path, NULL);
        if (!path)
            return error_set(err, -errno, "share '%s': %s", s->path, strerror(errno));
        run->mount[i] = (struct initramfs_share){ .tag = s->tag, .path = path, .read_only = s->read_only };
        if (run->options.command && strcmp(path, "/") == 0)
            return error_set(err, -EINVAL, "share '%s': a command cannot have all of the host at / (share folders of it)",
                             s->path);
        if (cwd[0] && lies_in(cwd, path))
            memcpy(run->cwd, cwd, sizeof(cwd));
    }
    qsort(run->mount, vm->nr_shares, sizeof(run->mount[0]), by_length);
    return 0;
}

/* Takes kernel and initrd from the first disk; 1 when it has some. A disk without a system on it is one for data. */
static int choose_disk(struct run *run, struct error *err)
{
    struct vm_config *vm = &run->options.vm;
    const struct disk_config *disk = &vm->disk[0];
    const struct blockdev_config config = {
        .path = disk->path,
        .format = disk->format,
        .read_only = !disk->overlay,
        .overlay = disk->overlay,
        .overlay_path = disk->overlay_path,
    };
    struct blockdev *dev = NULL;
    int r = blockdev_open(&config, run->loop, &dev, err);
    if (r < 0)
        return r;
    r = diskboot_load(dev, &run->diskboot, err);
    blockdev_free(dev);
    if (r == -ENOENT) {
        log_info("disk '%s': no Linux to boot: %s", disk->path, err->msg);
        return 0;
    }
    if (r < 0)
        return error_prefix(err, "disk '%s': cannot take a kernel from it (give --kernel FILE?)", disk->path);
    vm->kernel = run->diskboot.kernel_name;
    vm->kernel_image = run->diskboot.kernel.data;
    vm->kernel_image_len = run->diskboot.kernel.len;
    if (!vm->initrd) {
        vm->initramfs = run->diskboot.initrd.data;
        vm->initramfs_len = run->diskboot.initrd.len;
    }
    return 1;
}

/* Finds kernel and initramfs for what the user did not name. */
static int choose_guest(struct run *run, struct error *err)
{
    struct vm_config *vm = &run->options.vm;
    bool known_guest = true, with_modules = true;
    int r = 0;
    if (vm->firmware && !vm->kernel && !run->options.command)
        return 0; /* it finds what to boot itself */
    if (!vm->kernel && vm->nr_disks && !run->options.command && (r = choose_disk(run, err)) != 0)
        return r < 0 ? r : 0;
    if (!vm->kernel) {
        r = guest_files_find(vm->arch, run->guest_dir, err);
        (void)snprintf(run->kernel, sizeof(run->kernel), "%s/vmlinuz", run->guest_dir);
        vm->kernel = run->kernel;
    } else if (!guest_files_of_kernel(vm->kernel, run->guest_dir)) {
        known_guest = with_modules = false;
        if (run->options.command)
            r = guest_files_find(vm->arch, run->guest_dir, err);
    }
    if (r < 0 || (!run->options.command && (vm->initrd || !known_guest)))
        return r;
    const enum netdev_kind net = vm->net.kind;
    const struct initramfs_args args = {
        .arch = vm->arch,
        .guest_dir = run->guest_dir,
        .with_modules = with_modules,
        .network = net == NETDEV_NONE   ? NULL
                   : net == NETDEV_USER ? USER_INTERFACE
                                        : INTERFACE,
        .nameserver = net == NETDEV_USER ? NETDEV_USER_DNS : NULL,
        .command = (const char *const *)run->options.command,
        .share = run->mount,
        .nr_shares = vm->nr_shares,
        .cwd = run->cwd[0] ? run->cwd : NULL,
    };
    r = initramfs_build(&args, &run->initramfs, err);
    vm->initramfs = run->initramfs.data;
    vm->initramfs_len = run->initramfs.len;
    return r;
}

static int check_memory(const struct run *run, struct error *err)
{
    const char *why;
    uint64_t limit = host_memory_limit(&why);
    if (run->options.vm.memory <= limit)
        return 0;
    return error_set(err, -EINVAL, "--memory: %" PRIu64 " MiB are more than the %" PRIu64 " MiB of %s",
                     run->options.vm.memory >> 20, limit >> 20, why);
}

/* Whether the user's command line has root=. */
static bool has_root(const char *append)
{
    for (const char *at = append; at && (at = strstr(at, "root=")) != NULL; at++)
        if (at == append || at[-1] == ' ')
            return true;
    return false;
}

static int make_cmdline(struct run *run, struct error *err)
{
    const char *append = run->options.append;
    char root[32] = "";
    if (run->diskboot.kernel.len && !has_root(append))
        (void)snprintf(root, sizeof(root), run->diskboot.partition ? " root=/dev/vda%u" : " root=/dev/vda",
                       run->diskboot.partition);
    if (asprintf(&run->cmdline, "%s%s%s%s%s", CMDLINE_DEFAULT, run->hvc.terminal ? " console=hvc0" : "", root, append ? " " : "",
                 append ? append : "")
        < 0) {
        run->cmdline = NULL;
        return error_set(err, -ENOMEM, "out of memory for the kernel's command line");
    }
    run->options.vm.cmdline = run->cmdline;
    return 0;
}

/* ---- what the guest and the user do meanwhile ---- */

static void on_command(void *opaque, enum command_event event, int value)
{
    struct run *run = opaque;
    switch (event) {
    case COMMAND_READY: run->command_ready = true; break;
    case COMMAND_EXITED:
        run->command_exited = true;
        vm_request_end(machine_vm(run->machine), VM_END_EXIT, value, "the command ended");
        break;
    case COMMAND_CLOSED: /* what a shell says of a program that SIGPIPE killed */
        run->command_exited = true;
        vm_request_end(machine_vm(run->machine), VM_END_EXIT, EXIT_SIGNAL_BASE + SIGPIPE, "nobody reads the output");
        break;
    case COMMAND_BROKEN:
        vm_request_end(machine_vm(run->machine), VM_END_ERROR, 0, "the guest sent nonsense on the command's channel");
        break;
    }
}

static void on_quit_key(void *opaque)
{
    struct run *run = opaque;
    if (run->machine)
        machine_quit(run->machine, VM_END_QUIT, "");
    else
        run->quit_early = true;
}

/* ---- life ---- */

/* Our keys in front of the console that has the terminal. */
static void take_keys(struct run *run, struct chardev *dev)
{
    if (!isatty(STDIN_FILENO))
        return;
    run->control.monitor = (struct monitor){ .submit = run_control_submit, .opaque = &run->control };
    run->keys = (struct escape_keys){ .quit = on_quit_key, .opaque = run, .monitor = &run->control.monitor };
    chardev_fd_set_filter(dev, escape_keys_filter, &run->keys);
}

static int open_ports(struct run *run, struct machine_ports *ports, struct error *err)
{
    struct chardev *below = NULL;
    int r = 0;
    if (run->options.command)
        r = command_port_new(run->loop, STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO, on_command, run, &run->command_port, err);
    if (r == 0)
        r = run_console_open(&run->hvc, run->loop, run->options.console, err);
    if (r == 0)
        r = run_serial_open(run->loop, "--serial", run->options.serial, &below, &run->serial_fd, err);
    if (r < 0)
        return r;
    if (run->hvc.terminal || run_serial_is_stdio(run->options.serial))
        take_keys(run, run->hvc.terminal ? run->hvc.dev : below);
    r = console_new(below, &run->console, err);
    if (r < 0) {
        chardev_free(below);
        return r;
    }
    *ports = (struct machine_ports){ .loop = run->loop,
                                     .serial = { run->console, run->command_port },
                                     .virtio_console = run->hvc.dev };
    return 0;
}

static int set_up(struct run *run, struct error *err)
{
    struct machine_ports ports;
    int r = check_memory(run, err);
    if (r == 0)
        r = run_control_listen(&run->control, run->options.name, err);
    if (r == 0)
        r = place_shares(run, err);
    if (r == 0)
        r = loop_new(&run->loop, err);
    if (r == 0)
        r = choose_guest(run, err);
    if (r == 0)
        r = open_ports(run, &ports, err);
    if (r == 0)
        r = make_cmdline(run, err);
    if (r == 0)
        r = machine_new(&run->options.vm, &ports, &run->machine, err);
    if (r == 0)
        r = run_console_follow(&run->hvc, run->machine, err);
    return r < 0 ? r : run_control_serve(&run->control, &ports, run->machine, &run->options.vm, err);
}

/* The descriptors of engine kvm: each vCPU's, and the machine's once. */
static void need_kvm(const struct run *run, struct sandbox_needs *needs)
{
    const struct vm *vm = machine_vm(run->machine);
    static_assert((int)SANDBOX_DEVICES_MAX > (int)VM_MAX_VCPUS, "there is room for all");
    for (unsigned i = 0; i < vm->nr_vcpus; i++) {
        struct kvm_descriptor fd[KVM_DESCRIPTORS];
        unsigned nr = kvm_descriptors(vm->vcpu[i], fd) ? i == 0 ? KVM_DESCRIPTORS : 1 : 0;
        for (unsigned k = 0; k < nr; k++)
            needs->device[needs->nr_devices++] = (struct sandbox_device){ fd[k].fd, fd[k].ioctl, fd[k].nr_ioctls };
    }
}

/* Everything is open: from here on nothing else can be. The watcher stands still, so that its thread is started with less, too.
 */
static int enter_sandbox(struct run *run, struct error *err)
{
    char folder[RUNDIR_PATH_MAX];
    bool landlock = false;
    struct sandbox_needs needs = { .clean_dir = run->control.path[0] && rundir_open(folder, NULL) == 0 ? folder : NULL };
    if (run->options.sandbox == SANDBOX_OFF)
        return 0;
    const struct vm_config *vm = &run->options.vm;
    static_assert((int)VM_SHARES_MAX <= (int)SANDBOX_FOLDERS_MAX, "each share is a folder");
    needs.sockets = vm->net.kind == NETDEV_USER;
    needs.files = vm->nr_shares > 0;
    const char *why;
    needs.processes = strcmp(machine_engine(run->machine, &why), "direct") == 0;
    need_kvm(run, &needs);
    for (unsigned i = 0; i < vm->nr_shares; i++)
        needs.folder[needs.nr_folders++] = run->share_path[i];
    watcher_stop();
    int r = sandbox_apply(&needs, &landlock, err);
    if (r < 0 && run->options.sandbox == SANDBOX_AUTO) {
        log_info("no sandbox: %s", err->msg);
        r = 0;
    } else if (r < 0) {
        (void)error_prefix(err, "--sandbox on");
    } else {
        log_info("sandbox: seccomp, no_new_privs%s", landlock ? ", Landlock" : "");
    }
    struct error again = { 0 };
    int w = watcher_go_on(r < 0 ? &again : err);
    return r < 0 ? r : w;
}

/* The machine has ended, the reader of the command's output may not have read it all: only a signal cuts that short. */
static void send_rest(struct run *run)
{
    if (run->command_port && command_port_unsent(run->command_port, true) > 0)
        loop_run(run->loop);
}

static void tear_down(struct run *run)
{
    watcher_set_machine(NULL);
    run_control_done(&run->control);
    machine_free(run->machine);
    chardev_free(run->console);
    if (run->serial_fd >= 0)
        (void)close(run->serial_fd); /* what it did not take went unseen anyway */
    run_console_done(&run->hvc);
    chardev_free(run->command_port);
    loop_free(run->loop);
    blob_done(&run->initramfs);
    diskboot_done(&run->diskboot);
    free(run->cmdline);
    for (unsigned i = 0; i < VM_SHARES_MAX; i++)
        free(run->share_path[i]);
    run_options_done(&run->options);
}

/* ---- the end ---- */

/* Shows the kernel's last words: plain text only, whatever the guest wrote. */
static void print_console(const struct run *run)
{
    AUTO_FREE char *text = malloc(CONSOLE_KEEP);
    size_t len = text ? console_copy(run->console, text, CONSOLE_KEEP) : 0;
    size_t kept = 0;
    for (size_t i = 0; i < len; i++)
        if ((unsigned char)text[i] >= 0x20 || text[i] == '\n' || text[i] == '\t')
            text[kept++] = text[i];
    if (kept == 0)
        (void)fprintf(stderr, "doppel: the guest's console said nothing\n");
    else
        (void)fprintf(stderr, "doppel: the guest's console said:\n%.*s%s", (int)kept, text, text[kept - 1] == '\n' ? "" : "\n");
}

static int complain(const char *why, int status)
{
    (void)fprintf(stderr, "doppel: %s\n", why);
    return status;
}

/* A guest that should have run a command went away without reporting its status. */
static int without_status(const struct run *run, const char *why)
{
    print_console(run);
    (void)fprintf(stderr, "doppel: %s before the command %s\n", why, run->command_ready ? "ended" : "started");
    return EXIT_FAILED;
}

/* Says how it ended, where that needs words; returns the exit status. */
static int conclude(const struct run *run)
{
    const struct vm *vm = machine_vm(run->machine);
    const bool command = run->options.command;
    switch (vm->end) {
    case VM_END_EXIT: return vm->end_status;
    case VM_END_POWEROFF: return command && !run->command_exited ? without_status(run, vm->end_why) : EXIT_OK;
    case VM_END_RESET: return command && !run->command_exited ? without_status(run, vm->end_why) : EXIT_OK;
    case VM_END_SHUTDOWN:
    case VM_END_PANIC:
        if (command)
            print_console(run);
        return complain(vm->end_why, EXIT_FAILED);
    case VM_END_TIMEOUT:
        if (command && !run->command_ready)
            print_console(run);
        return complain(vm->end_why, EXIT_TIMED_OUT);
    case VM_END_QUIT:
        if (watcher_signal())
            return complain(vm->end_why, EXIT_SIGNAL_BASE + watcher_signal());
        return command ? complain(vm->end_why, EXIT_FAILED) : EXIT_OK;
    case VM_END_ERROR:
    case VM_END_NONE:
        if (command)
            print_console(run);
        break;
    }
    return complain(vm->end_why[0] ? vm->end_why : "the machine ended for no reason", EXIT_FAILED);
}

static void print_stats(const struct run *run, ns_t took)
{
    enum { CAP = 128 << 10 };
    AUTO_FREE char *text = malloc(CAP);
    const char *why;
    const char *engine = machine_engine(run->machine, &why);
    if (!text)
        return;
    size_t len = machine_stats(run->machine, text, CAP);
    uint64_t insns = 0;
    for (const char *at = text; (at = strstr(at, "\ninstructions ")) != NULL; at++)
        insns += strtoull(at + strlen("\ninstructions "), NULL, 10);
    double seconds = (double)took / (double)NS_PER_S;
    (void)fprintf(stderr, "engine %s\nseconds %.3f\nmips %.1f\n%.*s", engine, seconds,
                  seconds > 0 ? (double)insns / 1e6 / seconds : 0.0, (int)len, text);
}

static int run_machine(struct run *run)
{
    struct error err = { 0 };
    int r = set_up(run, &err);
    if (r < 0)
        return cli_fail(&err);
    r = enter_sandbox(run, &err);
    if (r < 0)
        return cli_fail(&err);
    const char *why;
    const char *engine = machine_engine(run->machine, &why);
    log_info("engine %s%s%s", engine, why[0] ? ": " : "", why);
    watcher_set_machine(run->machine);
    if (run->hvc.terminal || run_serial_is_stdio(run->options.serial))
        terminal_raw();
    if (run->quit_early)
        machine_quit(run->machine, VM_END_QUIT, "");
    ns_t begin = clock_host_ns();
    r = machine_run(run->machine, &err);
    ns_t took = clock_host_ns() - begin;
    watcher_set_machine(NULL);
    send_rest(run);
    terminal_restore();
    int status = r < 0 ? cli_fail(&err) : conclude(run);
    if (run->options.vm.stats)
        print_stats(run, took);
    return status;
}

int verb_run(int argc, char **argv)
{
    struct run run = { .control = RUN_CONTROL_NONE, .hvc = RUN_CONSOLE_NONE, .serial_fd = -1 };
    struct error err;
    if (run_options_parse(argc, argv, &run.options, &err) < 0)
        return cli_usage(&err, "run");
    if (run.options.help) {
        run_options_help();
        return EXIT_OK;
    }
    if (vm_config_check(&run.options.vm, &err) < 0) {
        run_options_done(&run.options);
        return cli_usage(&err, "run");
    }
    gmem_begin();
    if (watcher_start(run.options.timeout, &err) < 0) {
        run_options_done(&run.options);
        return cli_fail(&err);
    }
    int status = run_machine(&run);
    tear_down(&run);
    watcher_stop();
    return status;
}
