/* SPDX-License-Identifier: MIT */
/*
 * Signals and the time limit, in a thread of their own.
 */
#include "cli/watcher.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/checked.h"
#include "base/clock.h"
#include "cli/terminal.h"
#include "cli/verbs.h"
#include "machine/machine.h"

enum { STOP_SIGNAL = SIGUSR1, GRACE_S = 2 };
static const int end_signals[] = { SIGINT, SIGTERM, SIGHUP, SIGQUIT };

static struct {
    pthread_t thread;
    sigset_t set;
    ns_t deadline; /* host ns, INT64_MAX: none */
    double timeout;
    pthread_mutex_t lock;    /* guards machine */
    struct machine *machine; /* borrowed (run.c takes it back before freeing it) */
    _Atomic int signal;
    _Atomic int resize_fd; /* borrowed (taken back before it is closed); -1: none */
} watcher = { .lock = PTHREAD_MUTEX_INITIALIZER, .resize_fd = -1 };

/* Waits for a signal; 0 when the deadline passed. */
static int wait_signal(ns_t deadline)
{
    for (;;) {
        ns_t left = deadline - clock_host_ns();
        if (deadline != INT64_MAX && left <= 0)
            return 0;
        struct timespec ts = { .tv_sec = left / NS_PER_S, .tv_nsec = left % NS_PER_S };
        int sig = deadline == INT64_MAX ? sigwaitinfo(&watcher.set, NULL) : sigtimedwait(&watcher.set, NULL, &ts);
        if (sig > 0)
            return sig;
    }
}

static bool ends_machine(int sig)
{
    for (unsigned i = 0; i < ARRAY_SIZE(end_signals); i++)
        if (sig == end_signals[i])
            return true;
    return sig == 0;
}

_Noreturn static void leave(int sig)
{
    terminal_restore();
    if (sig == 0)
        (void)fprintf(stderr, "doppel: time limit of %g s reached\n", watcher.timeout);
    _exit(sig ? EXIT_SIGNAL_BASE + sig : EXIT_TIMED_OUT);
}

/* The terminal may have another size: others look, who may wait for the machine. */
static void tell_resize(void)
{
    const uint64_t one = 1;
    int fd = atomic_load(&watcher.resize_fd);
    if (fd >= 0)
        (void)!write(fd, &one, sizeof(one)); /* full: they are about to look */
}

/* Job control: the shell gets a sane terminal while we stand still. */
static void suspend(void)
{
    terminal_restore();
    (void)raise(SIGSTOP);
    terminal_raw_again();
}

static void end_machine(int sig)
{
    char why[64];
    if (sig)
        (void)snprintf(why, sizeof(why), "ended by signal %d (%s)", sig, sigabbrev_np(sig));
    else
        (void)snprintf(why, sizeof(why), "time limit of %g s reached", watcher.timeout);
    (void)pthread_mutex_lock(&watcher.lock);
    if (!watcher.machine)
        leave(sig);
    atomic_store(&watcher.signal, sig);
    machine_quit(watcher.machine, sig ? VM_END_QUIT : VM_END_TIMEOUT, why);
    (void)pthread_mutex_unlock(&watcher.lock);
}

/* The machine was told. The next signal means it, and so does silence. */
static void insist(int first)
{
    ns_t deadline = clock_host_ns() + GRACE_S * NS_PER_S;
    for (;;) {
        int sig = wait_signal(deadline);
        if (sig == STOP_SIGNAL)
            return;
        if (ends_machine(sig))
            leave(first);
    }
}

static void *watch(void *unused)
{
    (void)unused;
    for (;;) {
        int sig = wait_signal(watcher.deadline);
        if (sig == STOP_SIGNAL)
            return NULL;
        if (sig == SIGTSTP)
            suspend();
        else if (sig == SIGCONT)
            terminal_raw_again();
        if (sig == SIGCONT || sig == SIGWINCH)
            tell_resize();
        if (ends_machine(sig)) {
            end_machine(sig);
            insist(sig);
            return NULL;
        }
    }
}

int watcher_start(double timeout, struct error *err)
{
    watcher.timeout = timeout;
    watcher.deadline = timeout > 0 ? clock_host_ns() + (ns_t)(timeout * (double)NS_PER_S) : INT64_MAX;
    (void)sigemptyset(&watcher.set); /* these fail only for bad signal numbers */
    for (unsigned i = 0; i < ARRAY_SIZE(end_signals); i++)
        (void)sigaddset(&watcher.set, end_signals[i]);
    (void)sigaddset(&watcher.set, SIGTSTP);
    (void)sigaddset(&watcher.set, SIGCONT);
    (void)sigaddset(&watcher.set, SIGWINCH);
    (void)sigaddset(&watcher.set, STOP_SIGNAL);
    (void)pthread_sigmask(SIG_BLOCK, &watcher.set, NULL);
    return vm_thread_start(&watcher.thread, watch, NULL, err);
}

void watcher_set_machine(struct machine *machine)
{
    (void)pthread_mutex_lock(&watcher.lock);
    watcher.machine = machine;
    (void)pthread_mutex_unlock(&watcher.lock);
}

void watcher_set_resize(int fd)
{
    atomic_store(&watcher.resize_fd, fd);
}

int watcher_signal(void)
{
    return atomic_load(&watcher.signal);
}

void watcher_stop(void)
{
    (void)pthread_kill(watcher.thread, STOP_SIGNAL); /* ours and not joined yet */
    (void)pthread_join(watcher.thread, NULL);
}

int watcher_go_on(struct error *err)
{
    return vm_thread_start(&watcher.thread, watch, NULL, err);
}
