/* SPDX-License-Identifier: MIT */
/*
 * Every operation on a running machine, once, as a typed action: its name, when it is legal, and its form as a line of JSON.
 *
 * The command line's verbs, the console's monitor and the control socket all make a struct action and get a struct reply; nothing
 * else knows JSON. Both directions are read as hostile: bounded length, known members of known types only. A new action is a
 * row in the table of action.c and a case in controller.c. docs/control.md describes the lines.
 */
#ifndef DOPPEL_CONTROL_ACTION_H
#define DOPPEL_CONTROL_ACTION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "control/rundir.h"
#include "machine/machine.h"

enum action_id {
    ACTION_INFO,
    ACTION_PAUSE,
    ACTION_RESUME,
    ACTION_STOP,
    ACTION_CONSOLE, /* after the reply the connection is the console, both ways */
    ACTION_BALLOON, /* sets what the guest keeps of its memory, if it is told; the reply has what is known of it */
    ACTION_LAST = ACTION_BALLOON
};
enum { ACTION_NR = ACTION_LAST + 1 };

enum machine_state {
    MACHINE_RUNNING,
    MACHINE_PAUSED,
    MACHINE_STOPPING, /* the guest was asked to power off */
    MACHINE_ENDING,   /* its end has begun */
    MACHINE_STATE_LAST = MACHINE_ENDING
};
enum { MACHINE_STATE_NR = MACHINE_STATE_LAST + 1 };

enum { ACTION_LINE_MAX = 4096, ACTION_GRACE_DEFAULT = 10, ACTION_GRACE_MAX = 3600 };

struct action {
    enum action_id id;
    bool force;    /* stop: ask nobody */
    int grace_s;   /* stop: seconds for the guest to power off */
    uint64_t keep; /* balloon: bytes of its memory that the guest is to keep; 0: as it is */
};

struct machine_info {
    char name[MACHINE_NAME_MAX + 1];
    int pid;
    enum machine_state state;
    char arch[16], engine[16];
    unsigned cpus;
    uint64_t memory; /* bytes */
    double uptime_s; /* since it was made */
};

struct reply {
    bool ok;
    char text[256]; /* not ok: why, with what to do; ok: what there is to say, may be empty */
    struct machine_info info;
    bool has_balloon; /* to an action of that name */
    struct machine_balloon balloon;
};

const char *action_name(enum action_id id);
/* What it does, in a few words. */
const char *action_summary(enum action_id id);
/* -ENOENT. */
MUST_CHECK int action_find(const char *name, enum action_id *ret_id);
/* What the balloon's figure is called in lines and by the command line. */
const char *balloon_figure_name(enum machine_balloon_stat stat);
const char *machine_state_name(enum machine_state state);
/* Whether the action makes sense in that state. -EINVAL with the reason. */
MUST_CHECK int action_check(enum action_id id, enum machine_state state, struct error *err);

/* Lines end with '\n', which encode writes and decode does not want. encode returns the length, at most ACTION_LINE_MAX, or
 * -ENOMEM; decode -EPROTO. */
MUST_CHECK int action_encode(const struct action *action, char *line, size_t cap);
MUST_CHECK int action_decode(const char *line, size_t len, struct action *ret_action, struct error *err);
MUST_CHECK int reply_encode(const struct reply *reply, char *line, size_t cap);
MUST_CHECK int reply_decode(const char *line, size_t len, struct reply *ret_reply, struct error *err);

#endif
