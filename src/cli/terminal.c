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
#include <stdlib.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

enum { CTRL_A = 1 };

static struct termios saved, raw_mode;
static atomic_bool raw; /* saved and raw_mode are valid */

static const char help_text[] = "\r\n"
                                "doppel: Ctrl-A x       quit\r\n"
                                "        Ctrl-A h       this help\r\n"
                                "        Ctrl-A Ctrl-A  send Ctrl-A\r\n";

void terminal_restore(void)
{
    if (atomic_load(&raw))
        (void)tcsetattr(STDIN_FILENO, TCSANOW, &saved); /* the terminal may be gone */
}

void terminal_raw_again(void)
{
    if (atomic_load(&raw))
        (void)tcsetattr(STDIN_FILENO, TCSANOW, &raw_mode);
}

/* We are crashing: leave the terminal usable, then crash as we would have. */
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

size_t escape_keys_filter(void *escape_keys, uint8_t *data, size_t len)
{
    struct escape_keys *k = escape_keys;
    size_t kept = 0;
    for (size_t i = 0; i < len; i++) {
        uint8_t c = data[i];
        if (!k->pending) {
            k->pending = c == CTRL_A;
            if (!k->pending)
                data[kept++] = c;
            continue;
        }
        k->pending = false;
        if (c == 'x' || c == 'X')
            k->quit(k->opaque);
        else if (c == 'h' || c == 'H' || c == '?')
            (void)!write(STDERR_FILENO, help_text, sizeof(help_text) - 1);
        else if (c == CTRL_A)
            data[kept++] = c;
        /* anything else: not ours, not the guest's */
    }
    return kept;
}
