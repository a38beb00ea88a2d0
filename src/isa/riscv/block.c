/* SPDX-License-Identifier: MIT */
/*
 * Decoded blocks of RISC-V code: see block.h.
 *
 * They are put one behind the other into an arena, each with a copy of its bytes behind it; when that is full, all are forgotten.
 */
#include "isa/riscv/block.h"

#include <string.h>

#include "base/checked.h"
#include "base/pages.h"
#include "core/types.h"

enum { SETS = 1 << 14, ARENA = (4 << 20) - (int)sizeof(void *) * SETS - 64, INSNS_MAX = 32 };

struct riscv_blocks {
    struct riscv_block *set[SETS]; /* by hash of the host address; parts of the arena */
    struct riscv_block *last;      /* that was asked for; NULL: none */
    size_t used;
    uint64_t decoded;
    uint8_t arena[ARENA] __attribute__((aligned(16)));
};

struct riscv_blocks *riscv_blocks_new(void)
{
    return pages_new(sizeof(struct riscv_blocks));
}

void riscv_blocks_free(struct riscv_blocks *b)
{
    pages_free(b, sizeof(*b));
}

void riscv_blocks_drop(struct riscv_blocks *b)
{
    if (b->used)
        memset((void *)b->set, 0, sizeof(b->set));
    b->used = 0;
    b->last = NULL;
}

uint64_t riscv_blocks_decoded(const struct riscv_blocks *b)
{
    return b->decoded;
}

static uint8_t *copy_of(struct riscv_block *k)
{
    return (uint8_t *)&k->insn[k->nr];
}

/* As memcmp() == 0, for a few bytes, an even number of them. */
static inline bool equal(const uint8_t *a, const uint8_t *b, unsigned len)
{
    uint64_t x, y;
    uint32_t x4, y4;
    for (; len >= sizeof(x); a += sizeof(x), b += sizeof(x), len -= (unsigned)sizeof(x)) {
        memcpy(&x, a, sizeof(x));
        memcpy(&y, b, sizeof(y));
        if (x != y)
            return false;
    }
    if (len & 4) {
        memcpy(&x4, a, 4);
        memcpy(&y4, b, 4);
        if (x4 != y4)
            return false;
    }
    return !(len & 2) || (a[len - 2] == b[len - 2] && a[len - 1] == b[len - 1]);
}

/* Decodes what begins at host, where there is `room` in the page. */
static void decode(struct riscv_block *k, const uint8_t *host, unsigned room, const struct riscv_profile *profile)
{
    *k = (struct riscv_block){ .host = host };
    while (k->nr < INSNS_MAX && room >= 2) {
        uint16_t low, high = 0;
        memcpy(&low, host + k->len, 2);
        unsigned len = riscv_insn_len(low);
        if (len > room)
            break;
        if (len == 4)
            memcpy(&high, host + k->len + 2, 2);
        struct riscv_insn *i = &k->insn[k->nr++];
        riscv_decode((uint32_t)high << 16 | low, profile, i);
        k->len = (uint16_t)(k->len + len);
        room -= len;
        if (i->row == RISCV_ROW_NONE || (riscv_rows[i->row].flags & ROW_END)) {
            k->branch = riscv_is_branch(i);
            break;
        }
    }
}

static struct riscv_block *make(struct riscv_blocks *b, struct riscv_block **set, const uint8_t *host, unsigned room,
                                const struct riscv_profile *profile)
{
    enum { BLOCK_MAX = sizeof(struct riscv_block) + INSNS_MAX * (sizeof(struct riscv_insn) + 4) };
    if (b->used + BLOCK_MAX > ARENA)
        riscv_blocks_drop(b);
    struct riscv_block *k = (struct riscv_block *)(b->arena + b->used);
    decode(k, host, room, profile);
    if (!k->nr)
        return NULL;
    /* The bytes may have changed since they were decoded: what is kept is compared with what the instructions were. */
    uint8_t *copy = copy_of(k);
    for (unsigned n = 0; n < k->nr; copy += k->insn[n].len, n++)
        memcpy(copy, &k->insn[n].bits, k->insn[n].len);
    b->used = ALIGN_UP((size_t)(copy - b->arena), (size_t)16);
    b->decoded += k->nr;
    return *set = k;
}

const struct riscv_block *riscv_blocks_get(struct riscv_blocks *b, const uint8_t *host, const struct riscv_profile *profile)
{
    uintptr_t h = (uintptr_t)host;
    struct riscv_block *last = b->last, **next = last ? &last->next[host != last->host + last->len] : NULL;
    struct riscv_block *k = next ? *next : NULL;
    if (!k || k->host != host) {
        k = b->set[(h >> 1 ^ h >> 15) & (SETS - 1)];
        if (k && k->host == host && next)
            *next = k;
    }
    if (__builtin_expect(!k || k->host != host || !equal(host, copy_of(k), k->len), 0)) {
        k = make(b, &b->set[(h >> 1 ^ h >> 15) & (SETS - 1)], host, GPAGE_SIZE - (unsigned)(h & ~GPAGE_MASK), profile);
        if (k && b->last)
            b->last->next[host != b->last->host + b->last->len] = k;
    }
    __builtin_prefetch(k ? k->next[0] : NULL);
    __builtin_prefetch(k ? k->next[1] : NULL);
    return b->last = k;
}
