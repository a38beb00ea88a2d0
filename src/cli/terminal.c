/* SPDX-License-Identifier: MIT */
/*
 * The user's terminal: saved and restored mode, and the escape keys.
 *
 * The saved mode is global because signal handlers and atexit need it; `raw` is set after `saved` is complete.
 */
#include "cli/terminal.h"

#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#include "cli/monitor.h"

enum { CTRL_A = 1 };

static struct termios saved, raw_mode;
static atomic_bool raw; /* saved and raw_mode are valid */

void terminal_restore(void)
{
    sigset_t stop, old; /* in the background, setting the terminal's mode would stop us */
    if (!atomic_load(&raw))
        return;
    (void)sigemptyset(&stop); /* these fail only for bad numbers */
    (void)sigaddset(&stop, SIGTTOU);
    (void)pthread_sigmask(SIG_BLOCK, &stop, &old);
    (void)tcsetattr(STDIN_FILENO, TCSANOW, &saved); /* the terminal may be gone */
    (void)pthread_sigmask(SIG_SETMASK, &old, NULL);
}

void terminal_raw_again(void)
{
    if (atomic_load(&raw))
        (void)tcsetattr(STDIN_FILENO, TCSANOW, &raw_mode);
}

bool terminal_size(unsigned *ret_cols, unsigned *ret_rows)
{
    struct winsize size;
    if (ioctl(STDIN_FILENO, TIOCGWINSZ, &size) < 0 || size.ws_col == 0 || size.ws_row == 0)
        return false;
    *ret_cols = size.ws_col;
    *ret_rows = size.ws_row;
    return true;
}

void terminal_say(const char *text)
{
    (void)!write(isatty(STDOUT_FILENO) ? STDOUT_FILENO : STDERR_FILENO, text, strlen(text)); /* nobody else to tell */
}

/* We are crashing, or are killed: leave the terminal usable, then end as we would have. */
static void on_crash(int sig)
{
    terminal_restore();
    (void)signal(sig, SIG_DFL);
    (void)raise(sig);
}

void terminal_raw(void)
{
    static const int crashes[] = { SIGABRT, SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGSYS };
    if (!isatty(STDIN_FILENO) || !isatty(STDOUT_FILENO) || tcgetattr(STDIN_FILENO, &saved) < 0)
        return;
    raw_mode = saved;
    cfmakeraw(&raw_mode);
    atomic_store(&raw, true);
    (void)atexit(terminal_restore); /* fails only without memory; the explicit restore remains */
    struct sigaction sa = { .sa_handler = on_crash };
    for (unsigned i = 0; i < sizeof(crashes) / sizeof(crashes[0]); i++) {
        struct sigaction old; /* an engine that lives from faults keeps its handler */
        if (sigaction(crashes[i], NULL, &old) == 0 && !(old.sa_flags & SA_SIGINFO) && old.sa_handler == SIG_DFL)
            (void)sigaction(crashes[i], &sa, NULL); /* a valid signal */
    }
    terminal_raw_again();
}

void terminal_restore_on_signals(void)
{
    static const int ends[] = { SIGINT, SIGTERM, SIGHUP, SIGQUIT };
    const struct sigaction sa = { .sa_handler = on_crash };
    for (unsigned i = 0; i < sizeof(ends) / sizeof(ends[0]); i++) {
        struct sigaction old; /* what is ignored (nohup) stays so */
        if (sigaction(ends[i], NULL, &old) == 0 && old.sa_handler == SIG_DFL)
            (void)sigaction(ends[i], &sa, NULL); /* a valid signal */
    }
}

static void help(const struct escape_keys *k)
{
    char text[256];
    (void)snprintf(text, sizeof(text),
                   "\r\ndoppel: Ctrl-A x       %s\r\n%s        Ctrl-A h       this help\r\n"
                   "        Ctrl-A Ctrl-A  send Ctrl-A\r\n",
                   k->quit_does ? k->quit_does : "quit", k->monitor ? "        Ctrl-A c       monitor, and back\r\n" : "");
    terminal_say(text);
}

/* The key behind Ctrl-A; true when it is for the guest. */
static bool escape_key(struct escape_keys *k, uint8_t c)
{
    if (c == 'x' || c == 'X')
        k->quit(k->opaque);
    else if (c == 'h' || c == 'H' || c == '?')
        help(k);
    else if ((c == 'c' || c == 'C') && k->monitor)
        monitor_toggle(k->monitor);
    return c == CTRL_A; /* anything else: not ours, not the guest's */
}

size_t escape_keys_filter(void *escape_keys, uint8_t *data, size_t len)
{
    struct escape_keys *k = escape_keys;
    size_t kept = 0;
    for (size_t i = 0; i < len; i++) {
        uint8_t c = data[i];
        if (!k->pending) {
            k->pending = c == CTRL_A;
            if (k->pending)
                continue;
        } else {
            k->pending = false;
            if (!escape_key(k, c))
                continue;
        }
        if (k->monitor && k->monitor->active)
            monitor_key(k->monitor, c);
        else
            data[kept++] = c;
    }
    return kept;
}
