/* SPDX-License-Identifier: MIT */
/*
 * Numbers that the guest has for files of the host: nodes it knows and handles it has open, with a descriptor each.
 *
 * A number is a slot and how often the slot was used before, so an old number is refused and never means another file. A node
 * lives as long as the guest holds it (`lookups`) or a request uses it (`refs` counts both). Nodes are also found by the file
 * they stand for, so a file has one node whatever names it has; its descriptor keeps the host from giving its inode number to
 * another file. All functions lock the table, which is a leaf lock.
 */
#ifndef DOPPEL_BACKEND_FS_TABLE_H
#define DOPPEL_BACKEND_FS_TABLE_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>

#include "base/error.h"

struct fs_node {
    uint64_t id;
    mode_t type; /* S_IFMT of what fd is */
    int fd;      /* owned; O_PATH for nodes, open for handles */
    dev_t dev;
    ino_t ino;
    /* guarded by the table's lock */
    uint64_t lookups, refs;
    struct fs_node *next; /* in its bucket */
};

struct fs_table {
    pthread_mutex_t mutex;
    bool by_file; /* one node a file; else each addition is new */
    unsigned max, nr, slots;
    struct fs_node **slot; /* owned, and what they point to */
    uint32_t *used_before; /* owned; for each slot */
    unsigned *spare;       /* owned; a stack of free slots */
    unsigned nr_spare;
    struct fs_node **bucket; /* owned; nr_buckets, a power of two */
    unsigned nr_buckets;
};

/* max: nodes at a time. -ENOMEM. */
MUST_CHECK int fs_table_init(struct fs_table *table, bool by_file, unsigned max);
/* Closes everything. Takes zeroed ones. */
void fs_table_done(struct fs_table *table);
/* The node of the number, to be put back; NULL: there is none. */
struct fs_node *fs_table_get(struct fs_table *table, uint64_t id);
void fs_table_put(struct fs_table *table, struct fs_node *node);
/* Gives the guest one more hold on the file behind fd, which is taken, on failure too. The node is to be put back. -ENFILE: there
 * are `max`. -ENOMEM. */
MUST_CHECK int fs_table_add(struct fs_table *table, int fd, const struct stat *st, struct fs_node **ret_node);
/* The same for a file that may have a node already: NULL when it has none. */
struct fs_node *fs_table_add_known(struct fs_table *table, const struct stat *st);
/* Takes `n` holds of the guest back, at most those it has. False: no such number. */
bool fs_table_forget(struct fs_table *table, uint64_t id, uint64_t n);
/* Takes all holds back but those on `keep`. */
void fs_table_forget_all(struct fs_table *table, uint64_t keep);
unsigned fs_table_count(struct fs_table *table);

#endif
