/* SPDX-License-Identifier: MIT */
/*
 * The table of actions, and their lines.
 */
#include "control/action.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <jansson.h>

#include "base/checked.h"

#define IN(state) (1U << (state))
#define ALIVE (IN(MACHINE_RUNNING) | IN(MACHINE_PAUSED) | IN(MACHINE_STOPPING))

static const struct {
    const char *name, *summary;
    unsigned legal; /* bits of enum machine_state */
} table[] = {
    [ACTION_INFO] = { "info", "what the machine is and does", ALIVE | IN(MACHINE_ENDING) },
    [ACTION_PAUSE] = { "pause", "stop its CPUs and its time", IN(MACHINE_RUNNING) | IN(MACHINE_STOPPING) },
    [ACTION_RESUME] = { "resume", "let them go on", IN(MACHINE_PAUSED) },
    [ACTION_STOP] = { "stop", "ask the guest to power off, then end it", ALIVE },
    [ACTION_BALLOON] = { "balloon", "see, or set, what its guest keeps of its memory", ALIVE },
    [ACTION_CONSOLE] = { "console", "see its console and type on it", ALIVE },
};
static_assert(ARRAY_SIZE(table) == ACTION_NR, "each action has its row");

/* The balloon's figures, by enum machine_balloon_stat. */
static const char *const figures[MACHINE_BALLOON_STATS] = {
    "swap_in", "swap_out", "major_faults", "minor_faults", "free", "total", "available", "caches", "htlb_alloc", "htlb_fail",
};

static const char *const states[MACHINE_STATE_NR] = {
    [MACHINE_RUNNING] = "running",
    [MACHINE_PAUSED] = "paused",
    [MACHINE_STOPPING] = "stopping",
    [MACHINE_ENDING] = "ending",
};

const char *action_name(enum action_id id)
{
    return table[id].name;
}

const char *action_summary(enum action_id id)
{
    return table[id].summary;
}

const char *balloon_figure_name(enum machine_balloon_stat stat)
{
    return figures[stat];
}

int action_find(const char *name, enum action_id *ret_id)
{
    for (unsigned i = 0; i < ACTION_NR; i++)
        if (strcmp(table[i].name, name) == 0) {
            *ret_id = (enum action_id)i;
            return 0;
        }
    return -ENOENT;
}

const char *machine_state_name(enum machine_state state)
{
    return states[state];
}

int action_check(enum action_id id, enum machine_state state, struct error *err)
{
    if (table[id].legal & IN(state))
        return 0;
    return error_set(err, -EINVAL, "%s: the machine is %s%s", table[id].name, states[state],
                     id == ACTION_RESUME && state != MACHINE_ENDING ? ", not paused" : "");
}

/* ---- writing ---- */

/* Takes root; the line with its end. */
static int dump(json_t *root, char *line, size_t cap)
{
    size_t n = root ? json_dumpb(root, line, cap, JSON_COMPACT | JSON_ENSURE_ASCII) : 0;
    json_decref(root);
    if (n == 0 || n >= cap)
        return -ENOMEM;
    line[n] = '\n';
    return (int)n + 1;
}

int action_encode(const struct action *a, char *line, size_t cap)
{
    if (a->id == ACTION_STOP)
        return dump(json_pack("{s:s, s:b, s:i}", "action", table[a->id].name, "force", a->force, "grace", a->grace_s), line, cap);
    if (a->id == ACTION_BALLOON && a->keep)
        return dump(json_pack("{s:s, s:I}", "action", table[a->id].name, "keep", (json_int_t)a->keep), line, cap);
    return dump(json_pack("{s:s}", "action", table[a->id].name), line, cap);
}

/* What JSON's integers do not hold, a guest made up. */
static json_int_t clip(uint64_t v)
{
    return (json_int_t)MIN(v, (uint64_t)INT64_MAX);
}

static json_t *pack_balloon(const struct machine_balloon *b)
{
    json_t *stats = json_object();
    for (unsigned i = 0; stats && i < MACHINE_BALLOON_STATS; i++)
        if (b->known >> i & 1)
            (void)json_object_set_new(stats, figures[i], json_integer(clip(b->stat[i]))); /* out of memory: it lacks one */
    return json_pack("{s:I, s:I, s:b, s:I, s:I, s:o}", "target", clip(b->target), "actual", clip(b->actual), "driver", b->driver,
                     "released", clip(b->released), "age", (json_int_t)b->age, "stats", stats);
}

int reply_encode(const struct reply *r, char *line, size_t cap)
{
    const struct machine_info *i = &r->info;
    json_t *info = json_pack("{s:s, s:i, s:s, s:s, s:s, s:i, s:I, s:f}", "name", i->name, "pid", i->pid, "state",
                             states[i->state], "arch", i->arch, "engine", i->engine, "cpus", (int)i->cpus, "memory",
                             (json_int_t)i->memory, "uptime", i->uptime_s);
    json_t *balloon = r->has_balloon ? pack_balloon(&r->balloon) : NULL;
    return dump(json_pack("{s:b, s:s, s:o, s:o*}", "ok", r->ok, "text", r->text, "machine", info, "balloon", balloon), line, cap);
}

/* ---- reading ---- */

static int broken(struct error *err, const char *what)
{
    return error_set(err, -EPROTO, "%s", what);
}

static json_t *parse(const char *line, size_t len, struct error *err)
{
    json_error_t je;
    json_t *root = len < ACTION_LINE_MAX ? json_loadb(line, len, JSON_REJECT_DUPLICATES, &je) : NULL;
    if (root && json_is_object(root))
        return root;
    json_decref(root);
    (void)broken(err, len < ACTION_LINE_MAX ? "the line is not an object of JSON" : "the line is too long");
    return NULL;
}

static int take_member(struct action *a, const char *key, const json_t *value, struct error *err)
{
    if (strcmp(key, "action") == 0)
        return json_is_string(value) && action_find(json_string_value(value), &a->id) == 0 ? 0 : broken(err, "unknown action");
    if (a->id == ACTION_STOP && strcmp(key, "force") == 0) {
        a->force = json_is_true(value);
        return json_is_boolean(value) ? 0 : broken(err, "'force' is true or false");
    }
    if (a->id == ACTION_STOP && strcmp(key, "grace") == 0) {
        json_int_t s = json_integer_value(value);
        a->grace_s = (int)MIN(MAX(s, (json_int_t)0), (json_int_t)ACTION_GRACE_MAX);
        return json_is_integer(value) && s == a->grace_s ? 0 : broken(err, "'grace' is a number of seconds from 0 to 3600");
    }
    if (a->id == ACTION_BALLOON && strcmp(key, "keep") == 0) {
        json_int_t keep = json_integer_value(value);
        a->keep = keep > 0 ? (uint64_t)keep : 0;
        return keep > 0 ? 0 : broken(err, "'keep' is a number of bytes");
    }
    return broken(err, "a member that the action does not have");
}

int action_decode(const char *line, size_t len, struct action *ret_action, struct error *err)
{
    struct action a = { .grace_s = ACTION_GRACE_DEFAULT };
    const char *key;
    json_t *value, *root = parse(line, len, err);
    if (!root)
        return -EPROTO;
    json_t *name = json_object_get(root, "action");
    int r = name ? take_member(&a, "action", name, err) : broken(err, "no action");
    json_object_foreach(root, key, value)
    {
        if (r == 0)
            r = take_member(&a, key, value, err);
    }
    json_decref(root);
    if (r == 0)
        *ret_action = a;
    return r;
}

/* Printable text from a string that may be anything. */
static bool take_text(const json_t *object, const char *key, char *text, size_t cap)
{
    const char *s = json_string_value(json_object_get(object, key));
    size_t n = 0;
    for (; s && s[n] && n + 1 < cap; n++)
        text[n] = (unsigned char)s[n] >= 0x20 && s[n] != 0x7f ? s[n] : '?';
    text[n] = '\0';
    return s;
}

static bool take_info(const json_t *o, struct machine_info *i)
{
    char state[16] = "";
    bool good = take_text(o, "name", i->name, sizeof(i->name)) && take_text(o, "state", state, sizeof(state))
                && take_text(o, "arch", i->arch, sizeof(i->arch)) && take_text(o, "engine", i->engine, sizeof(i->engine));
    json_int_t pid = json_integer_value(json_object_get(o, "pid")), cpus = json_integer_value(json_object_get(o, "cpus"));
    json_int_t memory = json_integer_value(json_object_get(o, "memory"));
    i->uptime_s = json_number_value(json_object_get(o, "uptime"));
    good = good && pid > 0 && pid <= INT32_MAX && cpus > 0 && cpus <= UINT16_MAX && memory >= 0 && i->uptime_s >= 0
           && i->uptime_s < 1e12;
    i->pid = (int)pid;
    i->cpus = (unsigned)cpus;
    i->memory = (uint64_t)memory;
    for (unsigned s = 0; good && s < MACHINE_STATE_NR; s++)
        if (strcmp(states[s], state) == 0) {
            i->state = (enum machine_state)s;
            return true;
        }
    return false;
}

static bool take_number(const json_t *object, const char *key, json_int_t min, json_int_t *ret)
{
    const json_t *value = json_object_get(object, key);
    *ret = json_integer_value(value);
    return json_is_integer(value) && *ret >= min;
}

static bool take_balloon(const json_t *o, struct machine_balloon *b)
{
    json_int_t target, actual, released, age, v;
    const json_t *stats = json_object_get(o, "stats"), *driver = json_object_get(o, "driver");
    if (!take_number(o, "target", 0, &target) || !take_number(o, "actual", 0, &actual) || !take_number(o, "age", -1, &age)
        || !take_number(o, "released", 0, &released) || !json_is_boolean(driver) || !json_is_object(stats))
        return false;
    *b = (struct machine_balloon){
        .target = (uint64_t)target,
        .actual = (uint64_t)actual,
        .driver = json_is_true(driver),
        .released = (uint64_t)released,
        .age = age,
    };
    for (unsigned i = 0; i < MACHINE_BALLOON_STATS; i++)
        if (take_number(stats, figures[i], 0, &v)) {
            b->stat[i] = (uint64_t)v;
            b->known |= 1U << i;
        }
    return true;
}

int reply_decode(const char *line, size_t len, struct reply *ret_reply, struct error *err)
{
    struct reply r = { 0 };
    json_t *root = parse(line, len, err);
    if (!root)
        return -EPROTO;
    json_t *ok = json_object_get(root, "ok");
    r.ok = json_is_true(ok);
    bool good = json_is_boolean(ok) && take_text(root, "text", r.text, sizeof(r.text))
                && take_info(json_object_get(root, "machine"), &r.info);
    const json_t *balloon = json_object_get(root, "balloon");
    r.has_balloon = balloon;
    good = good && (!balloon || take_balloon(balloon, &r.balloon));
    json_decref(root);
    if (!good)
        return broken(err, "the reply lacks something");
    *ret_reply = r;
    return 0;
}
