/* SPDX-License-Identifier: MIT */
/*
 * A hash table with open addressing: inserts, finds and deletes of random keys.
 */
#include "../bench.h"

enum { SLOTS = 1 << 16, KEYS = 1 << 15 };
static struct {
    uint64_t key, value;
} slot[SLOTS];

static unsigned find(uint64_t key)
{
    unsigned k = (unsigned)(key * 0x9e3779b97f4a7c15 >> 48);
    while (slot[k].key && slot[k].key != key)
        k = (k + 1) % SLOTS;
    return k;
}

static void set_up(void)
{
}

static uint64_t unit(unsigned n)
{
    uint64_t sum = 0;
    for (unsigned k = 0; k < 300000; k++) {
        uint64_t r = random_next(), key = 1 + r % KEYS;
        unsigned at = find(key);
        if (slot[at].key) {
            sum += slot[at].value;
            slot[at].value = r;
        } else {
            slot[at].key = key;
            slot[at].value = r ^ n;
        }
    }
    return sum;
}
