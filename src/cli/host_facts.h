/* SPDX-License-Identifier: MIT */
/*
 * What this host offers, measured where it can be.
 */
#ifndef DOPPEL_CLI_HOST_FACTS_H
#define DOPPEL_CLI_HOST_FACTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum fact_state { FACT_YES, FACT_NO, FACT_INFO };

struct host_fact {
    const char *name; /* static */
    enum fact_state state;
    char text[160];
};

enum { HOST_FACTS_MAX = 24 };

/* Fills facts; returns how many. Takes about 50 ms. */
unsigned host_facts(struct host_fact facts[HOST_FACTS_MAX]);
/* The most guest memory that makes sense here, in bytes, and why it is that: the host's RAM, a cgroup or a resource limit. */
uint64_t host_memory_limit(const char **ret_why);

#endif
