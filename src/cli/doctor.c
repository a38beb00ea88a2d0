/* SPDX-License-Identifier: MIT */
/*
 * doppel doctor: which engines work here, what the host offers, and which guests are there; as text or JSON.
 */
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include <jansson.h>

#include "cli/guest_files.h"
#include "cli/host_facts.h"
#include "cli/verbs.h"
#include "machine/registry.h"

enum { WHY_MAX = 400 };

static const char *const state_word[] = { [FACT_YES] = "yes", [FACT_NO] = "no", [FACT_INFO] = "" };

/* Calls fn for each engine of each architecture with its probe. */
static void each_engine(void (*fn)(void *opaque, const char *arch, const char *engine, const struct engine_probe *probe),
                        void *opaque)
{
    for (const struct registry_arch *a = registry_archs(); a->name; a++)
        for (const struct engine_ops *const *e = a->engines; *e; e++) {
            struct engine_probe probe = { .usable = false };
            (*e)->probe(a->isa, &probe);
            fn(opaque, a->name, (*e)->name, &probe);
        }
}

static void print_engine(void *unused, const char *arch, const char *engine, const struct engine_probe *p)
{
    (void)unused;
    (void)printf("  %-8s %-8s %-4s", arch, engine, !p->usable ? "no" : p->avoid ? "poor" : "yes");
    if (p->mips > 0 && !p->avoid)
        (void)printf(" %.*f million instructions a second", p->mips < 10 ? 1 : 0, p->mips);
    (void)printf("%s%s\n", p->why[0] ? p->mips > 0 && !p->avoid ? ", " : " " : "", p->why);
}

static const char *auto_engine(const struct registry_arch *arch, char *why, size_t cap)
{
    const struct engine_ops *engine;
    struct error err = { 0 };
    if (registry_pick_engine(arch, "auto", &engine, why, cap, &err) == 0)
        return engine->name;
    (void)snprintf(why, cap, "%s", err.msg);
    return "none";
}

static void print_text(void)
{
    struct host_fact facts[HOST_FACTS_MAX];
    (void)printf("engines\n");
    each_engine(print_engine, NULL);
    for (const struct registry_arch *a = registry_archs(); a->name; a++) {
        char why[WHY_MAX];
        const char *name = auto_engine(a, why, sizeof(why));
        (void)printf("  %-8s auto     %s: %s\n", a->name, name, why);
    }
    (void)printf("host\n");
    unsigned n = host_facts(facts);
    for (unsigned i = 0; i < n; i++)
        (void)printf("  %-18s %-4s %s\n", facts[i].name, state_word[facts[i].state], facts[i].text);
    (void)printf("guests\n");
    for (const struct registry_arch *a = registry_archs(); a->name; a++) {
        char dir[GUEST_PATH_MAX];
        bool there = guest_files_find(a->name, dir, NULL) == 0;
        (void)printf("  %-18s %-4s %s\n", a->name, there ? "yes" : "no", there ? dir : "fetch one with: make guests");
    }
}

static void add_engine(void *list, const char *arch, const char *engine, const struct engine_probe *p)
{
    (void)json_array_append_new(list, json_pack("{s:s, s:s, s:b, s:b, s:f, s:s}", "arch", arch, "engine", engine, "usable",
                                                p->usable, "avoid", p->avoid, "mips", p->mips, "why", p->why));
}

static int print_json(void)
{
    struct host_fact facts[HOST_FACTS_MAX];
    json_t *root = json_object(), *engines = json_array(), *host = json_object(), *guests = json_object();
    json_t *chosen = json_object();
    each_engine(add_engine, engines);
    unsigned n = host_facts(facts);
    for (unsigned i = 0; i < n; i++) {
        json_t *fact = json_pack("{s:s}", "text", facts[i].text);
        if (facts[i].state != FACT_INFO)
            (void)json_object_set_new(fact, "ok", json_boolean(facts[i].state == FACT_YES));
        (void)json_object_set_new(host, facts[i].name, fact);
    }
    for (const struct registry_arch *a = registry_archs(); a->name; a++) {
        char dir[GUEST_PATH_MAX], why[WHY_MAX];
        (void)json_object_set_new(chosen, a->name, json_string(auto_engine(a, why, sizeof(why))));
        (void)json_object_set_new(guests, a->name, guest_files_find(a->name, dir, NULL) == 0 ? json_string(dir) : json_null());
    }
    (void)json_object_set_new(root, "version", json_string(DOPPEL_VERSION)); /* out of memory shows in the dump */
    (void)json_object_set_new(root, "engines", engines);
    (void)json_object_set_new(root, "auto", chosen);
    (void)json_object_set_new(root, "host", host);
    (void)json_object_set_new(root, "guests", guests);
    int r = json_dumpf(root, stdout, JSON_INDENT(2) | JSON_SORT_KEYS);
    (void)printf("\n");
    json_decref(root);
    return r;
}

int verb_doctor(int argc, char **argv)
{
    struct error err;
    bool json = false;
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--json") == 0) {
            json = true;
        } else if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0) {
            (void)printf("usage: doppel doctor [--json]\n\nShows which engines work on this host, how fast they are, what the "
                         "host offers, and which guests are there.\n");
            return EXIT_OK;
        } else {
            (void)error_set(&err, -EINVAL, "unknown option '%s'", argv[i]);
            return cli_usage(&err, "doctor");
        }
    }
    if (!json) {
        print_text();
        return EXIT_OK;
    }
    if (print_json() < 0) {
        (void)error_set(&err, -EIO, "cannot write JSON");
        return cli_fail(&err);
    }
    return EXIT_OK;
}
