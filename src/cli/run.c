/* SPDX-License-Identifier: MIT */
/*
 * doppel run: makes a machine from the options, connects it to the terminal or a command's stdio, runs it, and turns how it
 * ended into words and an exit status.
 *
 * The main thread is the control thread. Signals and the time limit belong to the watcher.
 */
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "backend/chardev.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/loop.h"
#include "cli/guest_files.h"
#include "cli/host_facts.h"
#include "cli/run_control.h"
#include "cli/run_options.h"
#include "cli/run_serial.h"
#include "cli/terminal.h"
#include "cli/verbs.h"
#include "cli/watcher.h"
#include "control/sandbox.h"
#include "machine/blob.h"
#include "machine/command_port.h"
#include "machine/console.h"
#include "machine/initramfs.h"
#include "machine/machine.h"

/* quiet, no crypto self-tests and expedited RCU save seconds on an interpreter; panic=-1 makes a panic a reset, which ends the
 * machine. */
#define CMDLINE_DEFAULT "console=ttyS0 panic=-1 quiet cryptomgr.notests rcupdate.rcu_expedited=1"

struct run {
    struct run_options options;
    char guest_dir[GUEST_PATH_MAX];
    char kernel[GUEST_PATH_MAX + 16];
    char *cmdline;                          /* owned */
    struct blob initramfs;                  /* owned */
    struct loop *loop;                      /* owned */
    struct chardev *console, *command_port; /* owned */
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

/* Finds kernel and initramfs for what the user did not name. */
static int choose_guest(struct run *run, struct error *err)
{
    struct vm_config *vm = &run->options.vm;
    bool known_guest = true, with_modules = true;
    int r = 0;
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
    const struct initramfs_args args = {
        .guest_dir = run->guest_dir,
        .with_modules = with_modules,
        .command = (const char *const *)run->options.command,
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

static int make_cmdline(struct run *run, struct error *err)
{
    const char *append = run->options.append;
    if (asprintf(&run->cmdline, "%s%s%s", CMDLINE_DEFAULT, append ? " " : "", append ? append : "") < 0) {
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

static int open_ports(struct run *run, struct machine_ports *ports, struct error *err)
{
    struct chardev *below = NULL;
    int r = loop_new(&run->loop, err);
    if (r == 0 && run->options.command)
        r = command_port_new(run->loop, STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO, on_command, run, &run->command_port, err);
    if (r == 0)
        r = run_serial_open(run->loop, run->options.serial, &below, &run->serial_fd, err);
    if (r < 0)
        return r;
    if (run_serial_is_stdio(run->options.serial) && isatty(STDIN_FILENO)) {
        run->control.monitor = (struct monitor){ .submit = run_control_submit, .opaque = &run->control };
        run->keys = (struct escape_keys){ .quit = on_quit_key, .opaque = run, .monitor = &run->control.monitor };
        chardev_fd_set_filter(below, escape_keys_filter, &run->keys);
    }
    r = console_new(below, &run->console, err);
    if (r < 0) {
        chardev_free(below);
        return r;
    }
    *ports = (struct machine_ports){ .loop = run->loop, .serial = { run->console, run->command_port } };
    return 0;
}

static int set_up(struct run *run, struct error *err)
{
    struct machine_ports ports;
    int r = check_memory(run, err);
    if (r == 0)
        r = run_control_listen(&run->control, run->options.name, err);
    if (r == 0)
        r = choose_guest(run, err);
    if (r == 0)
        r = make_cmdline(run, err);
    if (r == 0)
        r = open_ports(run, &ports, err);
    if (r == 0)
        r = machine_new(&run->options.vm, &ports, &run->machine, err);
    return r < 0 ? r : run_control_serve(&run->control, &ports, run->machine, &run->options.vm, err);
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
    chardev_free(run->command_port);
    loop_free(run->loop);
    blob_done(&run->initramfs);
    free(run->cmdline);
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
    if (run_serial_is_stdio(run->options.serial))
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
    struct run run = { .control = RUN_CONTROL_NONE, .serial_fd = -1 };
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
    if (watcher_start(run.options.timeout, &err) < 0) {
        run_options_done(&run.options);
        return cli_fail(&err);
    }
    int status = run_machine(&run);
    tear_down(&run);
    watcher_stop();
    return status;
}
