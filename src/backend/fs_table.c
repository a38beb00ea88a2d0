/* SPDX-License-Identifier: MIT */
/*
 * The table of fs_table.h: slots that grow, a stack of free ones, and a hash by file.
 */
#include "backend/fs_table.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/checked.h"

enum { SLOTS_FIRST = 64, SLOT_BITS = 32 };

static void lock(struct fs_table *t)
{
    (void)pthread_mutex_lock(&t->mutex); /* a plain mutex never fails */
}

static void unlock(struct fs_table *t)
{
    (void)pthread_mutex_unlock(&t->mutex);
}

static unsigned hash(const struct fs_table *t, dev_t dev, ino_t ino)
{
    uint64_t h = ((uint64_t)ino ^ (uint64_t)dev << 40) * 0x9e3779b97f4a7c15ULL;
    return (unsigned)(h >> 32) & (t->nr_buckets - 1);
}

static struct fs_node **bucket_of(struct fs_table *t, dev_t dev, ino_t ino)
{
    return &t->bucket[hash(t, dev, ino)];
}

/* Twice as many slots, and buckets for them. */
static int grow(struct fs_table *t)
{
    unsigned slots = t->slots ? 2 * t->slots : SLOTS_FIRST;
    struct fs_node **slot = realloc(t->slot, slots * sizeof(struct fs_node *));
    if (slot)
        t->slot = slot;
    uint32_t *used_before = realloc(t->used_before, slots * sizeof(uint32_t));
    if (used_before)
        t->used_before = used_before;
    unsigned *spare = realloc(t->spare, slots * sizeof(unsigned));
    if (spare)
        t->spare = spare;
    struct fs_node **bucket = calloc(slots, sizeof(struct fs_node *));
    if (!slot || !used_before || !spare || !bucket) {
        free(bucket);
        return -ENOMEM;
    }
    for (unsigned i = slots; i > t->slots; i--) {
        t->slot[i - 1] = NULL;
        t->used_before[i - 1] = 0;
        t->spare[t->nr_spare++] = i - 1; /* the lowest is taken first */
    }
    t->slots = slots;
    free(t->bucket);
    t->bucket = bucket;
    t->nr_buckets = slots;
    for (unsigned i = 0; i < slots; i++) {
        struct fs_node *node = t->slot[i];
        if (node) {
            struct fs_node **b = bucket_of(t, node->dev, node->ino);
            node->next = *b;
            *b = node;
        }
    }
    return 0;
}

static struct fs_node *find_id(struct fs_table *t, uint64_t id)
{
    uint64_t slot = (uint32_t)id;
    if (slot == 0 || slot > t->slots)
        return NULL;
    struct fs_node *node = t->slot[slot - 1];
    return node && node->id == id && node->lookups > 0 ? node : NULL;
}

static struct fs_node *find_file(struct fs_table *t, const struct stat *st)
{
    struct fs_node *node = t->by_file ? *bucket_of(t, st->st_dev, st->st_ino) : NULL;
    while (node && (node->dev != st->st_dev || node->ino != st->st_ino || node->type != (st->st_mode & S_IFMT)))
        node = node->next;
    return node;
}

/* Drops n references; the last one ends the node. Returns the descriptor to close, without the lock: that can take long. */
static int drop(struct fs_table *t, struct fs_node *node, uint64_t n)
{
    node->refs -= n;
    if (node->refs > 0)
        return -1;
    struct fs_node **at = bucket_of(t, node->dev, node->ino);
    while (*at != node)
        at = &(*at)->next;
    *at = node->next;
    unsigned slot = (unsigned)(uint32_t)node->id - 1;
    t->slot[slot] = NULL;
    t->used_before[slot]++;
    t->spare[t->nr_spare++] = slot;
    t->nr--;
    int fd = node->fd;
    free(node);
    return fd;
}

static void close_fd(int fd)
{
    if (fd >= 0)
        (void)close(fd); /* what it wrote has been written, or fsync told */
}

struct fs_node *fs_table_get(struct fs_table *t, uint64_t id)
{
    lock(t);
    struct fs_node *node = find_id(t, id);
    if (node)
        node->refs++;
    unlock(t);
    return node;
}

void fs_table_put(struct fs_table *t, struct fs_node *node)
{
    if (!node)
        return;
    lock(t);
    int fd = drop(t, node, 1);
    unlock(t);
    close_fd(fd);
}

static int add_locked(struct fs_table *t, int fd, const struct stat *st, struct fs_node **ret_node)
{
    if (t->nr >= t->max)
        return -ENFILE;
    if (t->nr_spare == 0 && grow(t) < 0)
        return -ENOMEM;
    struct fs_node *node = calloc(1, sizeof(*node));
    if (!node)
        return -ENOMEM;
    unsigned slot = t->spare[--t->nr_spare];
    node->id = (uint64_t)t->used_before[slot] << SLOT_BITS | (slot + 1);
    node->type = st->st_mode & S_IFMT;
    node->fd = fd;
    node->dev = st->st_dev;
    node->ino = st->st_ino;
    struct fs_node **b = bucket_of(t, node->dev, node->ino);
    node->next = *b;
    *b = node;
    t->slot[slot] = node;
    t->nr++;
    *ret_node = node;
    return 0;
}

struct fs_node *fs_table_add_known(struct fs_table *t, const struct stat *st)
{
    lock(t);
    struct fs_node *node = find_file(t, st);
    if (node) {
        node->lookups++;
        node->refs += 2;
    }
    unlock(t);
    return node;
}

int fs_table_add(struct fs_table *t, int fd, const struct stat *st, struct fs_node **ret_node)
{
    lock(t);
    struct fs_node *node = t->nr_buckets ? find_file(t, st) : NULL;
    bool known = node != NULL;
    int r = known ? 0 : add_locked(t, fd, st, &node);
    if (r == 0) {
        node->lookups++;
        node->refs += 2;
        *ret_node = node;
    }
    unlock(t);
    if (known || r < 0)
        close_fd(fd);
    return r;
}

bool fs_table_forget(struct fs_table *t, uint64_t id, uint64_t n)
{
    int fd = -1;
    lock(t);
    struct fs_node *node = find_id(t, id);
    if (node) {
        n = MIN(n, node->lookups);
        node->lookups -= n;
        fd = drop(t, node, n);
    }
    unlock(t);
    close_fd(fd);
    return node != NULL;
}

void fs_table_forget_all(struct fs_table *t, uint64_t keep)
{
    lock(t);
    for (unsigned i = 0; i < t->slots; i++) {
        struct fs_node *node = t->slot[i];
        if (!node || node->lookups == 0 || node->id == keep)
            continue;
        uint64_t n = node->lookups;
        node->lookups = 0;
        close_fd(drop(t, node, n));
    }
    unlock(t);
}

unsigned fs_table_count(struct fs_table *t)
{
    lock(t);
    unsigned nr = t->nr;
    unlock(t);
    return nr;
}

int fs_table_init(struct fs_table *t, bool by_file, unsigned max)
{
    *t = (struct fs_table){ .by_file = by_file, .max = max };
    (void)pthread_mutex_init(&t->mutex, NULL); /* without attributes it cannot fail */
    return grow(t);
}

void fs_table_done(struct fs_table *t)
{
    for (unsigned i = 0; i < t->slots; i++) {
        if (!t->slot[i])
            continue;
        close_fd(t->slot[i]->fd);
        free(t->slot[i]);
    }
    free(t->slot);
    free(t->used_before);
    free(t->spare);
    free(t->bucket);
    *t = (struct fs_table){ 0 };
}
