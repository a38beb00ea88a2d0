/* SPDX-License-Identifier: MIT */
/*
 * A folder of the host as a guest uses it: FUSE requests in, answers out.
 *
 * The front end (virtio-fs) submits requests with its lock (the machine's) held; they run on a few threads, may block there, and
 * end on a thread of ours with the lock taken, or inside fs_drain(), in any order. Contents of files move straight between the
 * host's kernel and the request's memory; everything else is copied once, then validated.
 *
 * Containment. The guest names files by numbers that we gave out, each with an O_PATH descriptor behind it, and by single names
 * below them: no '/', no "." and no "..". No symbolic link is ever followed, magic ones of our own /proc/self/fd apart, and
 * nothing but regular files and folders is opened, after its type was seen on the descriptor that stays. So whatever happens in
 * the folder meanwhile, a request acts on what the number stands for, or on an entry of that folder.
 * A folder that somebody on the host moves out of the share stays reachable as long as the guest has it open.
 *
 * Spec: linux/fuse.h, protocol 7.31; Documentation/filesystems/fuse.rst.
 */
#ifndef DOPPEL_BACKEND_FS_H
#define DOPPEL_BACKEND_FS_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "backend/workers.h"
#include "base/error.h"

struct fs;
struct fs_request;
struct loop;

/* Pieces that either part of a request can have. */
enum { FS_IOV_MAX = 256 };
/* Descriptors that a share needs at least, and has at most. */
enum { FS_FILES_MIN = 64, FS_FILES_MAX = 1 << 20 };

struct fs_config {
    const char *path; /* a folder; borrowed for the time of the call */
    bool read_only;
    unsigned max_files; /* descriptors the guest can make us hold, FS_FILES_MIN or more: 3/4 for what it knows, 1/4 for what it
                           has open */
};

/* Front end's lock held; the request is the front end's again. Must not block. */
typedef void (*fs_fn)(struct fs_request *req);

struct fs_request {
    /* the front end's; pieces and memory stay until the end */
    const struct iovec *out, *in; /* the request; room for the answer. Neither has an empty piece. */
    unsigned nr_out, nr_in;       /* up to FS_IOV_MAX */
    size_t out_len, in_len;       /* sums */
    fs_fn done;
    /* the answer */
    size_t written; /* bytes of `in`, from its beginning; 0: this request has no answer */
    /* the back end's */
    struct work work;
};

/* -ENOENT, -ENOTDIR and the like; -ENOSYS when /proc is not there; -ENOMEM. loop NULL: fs_serve() only. */
MUST_CHECK int fs_open(const struct fs_config *config, struct loop *loop, struct fs **ret_fs, struct error *err);
/* `lock` is taken around the ends of requests. Before the loop runs. */
void fs_attach(struct fs *fs, pthread_mutex_t *lock);
/* Begins a request. */
void fs_submit(struct fs *fs, struct fs_request *req);
/* Waits for all requests and ends them. */
void fs_drain(struct fs *fs);
/* Forgets all that the guest knows and has open. Nothing is under way. */
void fs_reset(struct fs *fs);
/* No loop runs. NULL is fine. */
void fs_free(struct fs *fs);

/* Answers a request now; may block. Any threads at once. */
void fs_serve(struct fs *fs, struct fs_request *req);

/* How many descriptors the share holds for the guest now; for tests. */
unsigned fs_files(struct fs *fs);

#endif
