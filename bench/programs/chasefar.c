/* SPDX-License-Identifier: MIT */
/*
 * Follows pointers through 64 MiB in random order: latency of memory, and a TLB miss nearly every time.
 */
#include "../bench.h"

enum { NODES = 1 << 20, STEPS = 10000 };
static struct node {
    struct node *next;
    uint64_t value[7];
} node[NODES];
static struct node *at = node;

/* One cycle through all nodes in random order. */
static void set_up(void)
{
    static uint32_t order[NODES];
    for (unsigned k = 0; k < NODES; k++) {
        unsigned j = (unsigned)(random_next() % (k + 1));
        order[k] = order[j];
        order[j] = k;
    }
    for (unsigned k = 0; k < NODES; k++) {
        node[order[k]].next = &node[order[(k + 1) % NODES]];
        node[order[k]].value[0] = order[k];
    }
}

static uint64_t unit(unsigned n)
{
    uint64_t sum = n;
    for (unsigned k = 0; k < STEPS; k++) {
        sum += at->value[0];
        at = at->next;
    }
    return sum;
}
