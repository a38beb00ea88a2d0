/* SPDX-License-Identifier: MIT */
/*
 * The monitor on the console's terminal.
 */
#include "cli/monitor.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "cli/run_options.h"
#include "cli/terminal.h"

enum { CTRL_C = 3, CTRL_D = 4, BACKSPACE = 8, CTRL_U = 21, DELETE = 127 };

static void prompt(const struct monitor *m)
{
    if (m->active)
        terminal_say("(doppel) ");
}

void monitor_toggle(struct monitor *m)
{
    m->active = !m->active;
    m->len = 0;
    terminal_say(m->active ? "\r\ndoppel: monitor; help tells more, back (or Ctrl-A c) returns to the guest\r\n" : "\r\n");
    prompt(m);
}

static void erase(struct monitor *m, size_t keep)
{
    while (m->len > keep) {
        m->len--;
        terminal_say("\b \b");
    }
}

static void enter(struct monitor *m)
{
    m->line[m->len] = '\0';
    m->len = 0;
    terminal_say("\r\n");
    if (strcmp(m->line, "back") == 0)
        m->active = false;
    else if (m->line[0])
        m->submit(m->opaque, m->line);
    else
        prompt(m);
}

void monitor_key(struct monitor *m, uint8_t key)
{
    if (key == '\r' || key == '\n') {
        enter(m);
    } else if (key == BACKSPACE || key == DELETE) {
        erase(m, m->len ? m->len - 1 : 0);
    } else if (key == CTRL_U || key == CTRL_C) {
        erase(m, 0);
    } else if (key == CTRL_D && m->len == 0) {
        monitor_toggle(m);
    } else if (key >= 0x20 && key < 0x7f && m->len + 1 < MONITOR_LINE) {
        const char echo[2] = { (char)key, '\0' };
        m->line[m->len++] = (char)key;
        terminal_say(echo);
    }
}

static void help(void)
{
    char text[128];
    for (unsigned i = 0; i < ACTION_NR; i++)
        if (i != ACTION_CONSOLE) { /* here it is */
            (void)snprintf(text, sizeof(text), "  %-14s %s\r\n",
                           i == ACTION_STOP      ? "stop [force]"
                           : i == ACTION_BALLOON ? "balloon [SIZE]"
                                                 : action_name((enum action_id)i),
                           action_summary((enum action_id)i));
            terminal_say(text);
        }
    terminal_say("  back           return to the guest\r\n");
}

static void show_balloon(const struct machine_balloon *b)
{
    char text[160];
    int n = snprintf(text, sizeof(text),
                     "the guest keeps %" PRIu64 " of %" PRIu64 " MiB asked for, gave back %" PRIu64 " MiB so far",
                     b->actual >> 20, b->target >> 20, b->released >> 20);
    if (n > 0 && (b->known >> MACHINE_BALLOON_AVAILABLE & 1))
        (void)snprintf(text + n, sizeof(text) - (size_t)n, ", %" PRIu64 " MiB available",
                       b->stat[MACHINE_BALLOON_AVAILABLE] >> 20);
    terminal_say(text);
    terminal_say(b->driver ? "\r\n" : " (it has no driver for its balloon)\r\n");
}

static void show(const struct action *a, const struct reply *r)
{
    const struct machine_info *i = &r->info;
    char text[512];
    if (!r->ok || r->text[0])
        (void)snprintf(text, sizeof(text), "%s\r\n", r->text);
    else if (r->has_balloon) {
        show_balloon(&r->balloon);
        return;
    } else if (a->id == ACTION_INFO)
        (void)snprintf(text, sizeof(text), "%s: pid %d, %s, %s, engine %s, %u CPU%s, %" PRIu64 " MiB, up %.1f s\r\n", i->name,
                       i->pid, machine_state_name(i->state), i->arch, i->engine, i->cpus, i->cpus == 1 ? "" : "s",
                       i->memory >> 20, i->uptime_s);
    else
        (void)snprintf(text, sizeof(text), "%s\r\n", machine_state_name(i->state));
    terminal_say(text);
}

/* The action of a line; false: it is none. */
static bool parse_line(const char *line, struct action *a)
{
    static const char balloon[] = "balloon ";
    struct error err;
    *a = (struct action){ .force = strcmp(line, "stop force") == 0, .grace_s = ACTION_GRACE_DEFAULT };
    if (strncmp(line, balloon, sizeof(balloon) - 1) == 0) {
        a->id = ACTION_BALLOON;
        return parse_size(line + sizeof(balloon) - 1, &a->keep, &err) == 0 && a->keep;
    }
    return action_find(a->force ? "stop" : line, &a->id) == 0 && a->id != ACTION_CONSOLE;
}

void monitor_execute(struct monitor *m, const char *line, monitor_perform_fn perform, void *opaque)
{
    struct action action;
    struct reply reply;
    struct error err;
    if (strcmp(line, "help") == 0 || strcmp(line, "?") == 0) {
        help();
    } else if (!parse_line(line, &action)) {
        terminal_say("unknown; help shows what there is\r\n");
    } else if (perform(opaque, &action, &reply, &err) < 0) {
        terminal_say(err.msg);
        terminal_say("\r\n");
    } else {
        show(&action, &reply);
    }
    prompt(m);
}
