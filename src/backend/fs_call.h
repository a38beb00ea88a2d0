/* SPDX-License-Identifier: MIT */
/*
 * One FUSE request while it is served: what the files of the fs back end share.
 *
 * fs_serve.c copies the request, checks its lengths against the table of operations, and calls one of the functions below with
 * the fixed part of its arguments complete. An operation returns 0, after fs_reply() if it answers more than that it worked, or a
 * negative errno for the guest.
 */
#ifndef DOPPEL_BACKEND_FS_CALL_H
#define DOPPEL_BACKEND_FS_CALL_H

#include <linux/fuse.h>

#include "backend/fs.h"
#include "backend/fs_table.h"

enum {
    FS_BODY_MAX = 12 << 10,  /* of what is copied: two names, or a name and a link's target, fit */
    FS_REPLY_MAX = 32 << 10, /* of answers that are not a file's contents */
    FS_PROC_NAME = 16,
};

struct fs {
    pthread_mutex_t *lock;   /* borrowed: the front end's; NULL: none */
    struct workers *workers; /* owned; NULL: none */
    bool read_only;
    bool privileged; /* we may give files away */
    uid_t uid;       /* ours: what the guest sees as 0 */
    gid_t gid;
    int proc_fds;  /* owned; /proc/self/fd */
    dev_t dev;     /* of the root */
    uint64_t root; /* the root's number: FUSE_ROOT_ID */
    struct fs_table nodes, handles;
    pthread_mutex_t folder_mutex; /* one reads a folder at a time: a handle's position is shared */
};

struct fs_call {
    struct fs *fs;
    const struct fs_request *req;
    struct fuse_in_header head;
    struct fs_node *node; /* what the header names; put back by the caller */
    size_t body_len, at;  /* copied, and read of it */
    size_t reply_len;
    bool answered_in_place; /* reply_len bytes were written into req->in already */
    bool silent;            /* there is no answer */
    uint8_t body[FS_BODY_MAX + 1] __attribute__((aligned(8)));
    uint8_t reply[FS_REPLY_MAX] __attribute__((aligned(8)));
};

/* ---- fs_serve.c: reading and answering ---- */

/* The next name: -EINVAL when it is no single name, -ENAMETOOLONG. */
MUST_CHECK int fs_name(struct fs_call *call, const char **ret_name);
/* The next text, a link's target. */
MUST_CHECK int fs_text(struct fs_call *call, const char **ret_text);
/* Appends to the answer; there is room for what the operation's row declares. */
void fs_reply(struct fs_call *call, const void *data, size_t len);
/* Bytes the answer may have behind its header. */
size_t fs_room(const struct fs_call *call);
/* The name of a descriptor in fs->proc_fds. */
const char *fs_proc_name(int fd, char name[FS_PROC_NAME]);

/* ---- fs_attr.c: attributes ---- */

void fs_fill_attr(const struct fs *fs, const struct stat *st, struct fuse_attr *ret_attr);
/* One more hold of the guest on the entry `name` of folder `dir`. */
MUST_CHECK int fs_fill_entry(struct fs *fs, int dir, const char *name, struct fuse_entry_out *ret_entry);
/* The same for an O_PATH descriptor, which is taken. */
MUST_CHECK int fs_fill_entry_of(struct fs *fs, int fd, struct fuse_entry_out *ret_entry);
/* What was just made, as fd: gets the mode the guest asked for, and where we may its owner. */
MUST_CHECK int fs_adopt(struct fs_call *call, int fd, mode_t mode);
/* Without the bits that would let a guest hand out our rights on the host. */
mode_t fs_safe_mode(mode_t type, mode_t mode);
int fs_op_getattr(struct fs_call *call);
int fs_op_setattr(struct fs_call *call);
int fs_op_readlink(struct fs_call *call);
int fs_op_statfs(struct fs_call *call);

/* ---- fs_entry.c: names in folders ---- */

int fs_op_lookup(struct fs_call *call);
int fs_op_forget(struct fs_call *call);
int fs_op_batch_forget(struct fs_call *call);
int fs_op_mknod(struct fs_call *call);
int fs_op_mkdir(struct fs_call *call);
int fs_op_unlink(struct fs_call *call);
int fs_op_rmdir(struct fs_call *call);
int fs_op_rename(struct fs_call *call);
int fs_op_rename2(struct fs_call *call);
int fs_op_link(struct fs_call *call);
int fs_op_symlink(struct fs_call *call);

/* ---- fs_file.c: open files ---- */

int fs_op_open(struct fs_call *call);
int fs_op_create(struct fs_call *call);
int fs_op_read(struct fs_call *call);
int fs_op_write(struct fs_call *call);
int fs_op_release(struct fs_call *call);
int fs_op_fsync(struct fs_call *call);
int fs_op_fallocate(struct fs_call *call);
int fs_op_lseek(struct fs_call *call);
int fs_op_copy_file_range(struct fs_call *call);
/* The file's contents or size may change through this descriptor. */
MUST_CHECK int fs_reopen(const struct fs_call *call, const struct fs_node *node, int flags);
/* The handle, to be put back; NULL: no such handle, or not of that type (S_IFREG, S_IFDIR). */
struct fs_node *fs_handle(struct fs_call *call, uint64_t fh, mode_t type);

/* ---- fs_dir.c: open folders ---- */

int fs_op_opendir(struct fs_call *call);
int fs_op_readdir(struct fs_call *call);
int fs_op_readdirplus(struct fs_call *call);

#endif
