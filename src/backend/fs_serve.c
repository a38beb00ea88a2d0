/* SPDX-License-Identifier: MIT */
/*
 * One FUSE request: copied, checked against the table of operations, carried out, answered.
 *
 * FLUSH is not implemented on purpose: what was written is in the host's page cache when the write ends, so a close has nothing
 * to wait for, and Linux saves a request for each. Extended attributes, locks of the host and SYNCFS (all of the host's file
 * system) are not there either; -ENOSYS makes Linux never ask again.
 */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "backend/fs_call.h"
#include "base/checked.h"
#include "base/iovec.h"

enum {
    MINOR_MIN = 27,  /* answers have had the layout we use since 7.23; 4.20 is 7.28 */
    MINOR = 31,      /* what we know */
    PAGES_MAX = 256, /* of 4 KiB, in one read or write */
    WRITE_MAX = PAGES_MAX << 12,
    BACKGROUND = 64,  /* requests the guest may have under way that nobody waits for */
    INIT_IN_MIN = 16, /* struct fuse_init_in before 7.36 */
};

#define FLAGS_WANTED                                                                                                             \
    (FUSE_ASYNC_READ | FUSE_ATOMIC_O_TRUNC | FUSE_BIG_WRITES | FUSE_AUTO_INVAL_DATA | FUSE_DO_READDIRPLUS                        \
     | FUSE_READDIRPLUS_AUTO | FUSE_ASYNC_DIO | FUSE_PARALLEL_DIROPS | FUSE_MAX_PAGES)

static void copy_out(const struct fs_request *req, size_t offset, void *buf, size_t len)
{
    struct iovec piece[FS_IOV_MAX];
    unsigned nr = iovec_slice(req->out, req->nr_out, offset, len, piece);
    uint8_t *to = buf;
    for (unsigned i = 0; i < nr; i++) {
        memcpy(to, piece[i].iov_base, piece[i].iov_len);
        to += piece[i].iov_len;
    }
}

static void copy_in(const struct fs_request *req, size_t offset, const void *buf, size_t len)
{
    struct iovec piece[FS_IOV_MAX];
    unsigned nr = iovec_slice(req->in, req->nr_in, offset, len, piece);
    const uint8_t *from = buf;
    for (unsigned i = 0; i < nr; i++) {
        memcpy(piece[i].iov_base, from, piece[i].iov_len);
        from += piece[i].iov_len;
    }
}

/* ---- for operations ---- */

int fs_text(struct fs_call *c, const char **ret_text)
{
    const char *text = (const char *)c->body + c->at;
    size_t len = strnlen(text, c->body_len - c->at);
    if (len == c->body_len - c->at)
        return -EINVAL; /* no end */
    if (len >= PATH_MAX)
        return -ENAMETOOLONG;
    c->at += len + 1;
    *ret_text = text;
    return 0;
}

int fs_name(struct fs_call *c, const char **ret_name)
{
    const char *name;
    int r = fs_text(c, &name);
    if (r < 0)
        return r;
    if (name[0] == '\0' || strchr(name, '/') || strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
        return -EINVAL;
    if (strlen(name) > NAME_MAX)
        return -ENAMETOOLONG;
    *ret_name = name;
    return 0;
}

void fs_reply(struct fs_call *c, const void *data, size_t len)
{
    memcpy(c->reply + c->reply_len, data, len);
    c->reply_len += len;
}

size_t fs_room(const struct fs_call *c)
{
    return c->req->in_len - sizeof(struct fuse_out_header);
}

const char *fs_proc_name(int fd, char name[FS_PROC_NAME])
{
    (void)snprintf(name, FS_PROC_NAME, "%d", fd);
    return name;
}

/* ---- the connection ---- */

static int op_init(struct fs_call *c)
{
    struct fuse_init_in in = { 0 };
    memcpy(&in, c->body, INIT_IN_MIN);
    if (in.major < FUSE_KERNEL_VERSION || (in.major == FUSE_KERNEL_VERSION && in.minor < MINOR_MIN))
        return -EPROTO;
    struct fuse_init_out out = { .major = FUSE_KERNEL_VERSION, .minor = MINOR };
    if (in.major == FUSE_KERNEL_VERSION) { /* else it asks again with our version */
        out.max_readahead = in.max_readahead;
        out.flags = in.flags & FLAGS_WANTED;
        out.max_background = BACKGROUND;
        out.congestion_threshold = BACKGROUND * 3 / 4;
        out.max_write = WRITE_MAX;
        out.max_pages = PAGES_MAX;
        out.time_gran = 1;
    }
    fs_reset(c->fs);
    fs_reply(c, &out, sizeof(out));
    return 0;
}

static int op_destroy(struct fs_call *c)
{
    fs_reset(c->fs);
    return 0;
}

/* ---- the table ---- */

enum {
    NODE = 1 << 0,    /* the header names a node */
    CHANGES = 1 << 1, /* nothing for a read-only share */
    SILENT = 1 << 2,  /* never has an answer */
    DATA = 1 << 3,    /* what follows the fixed part is not copied */
};

static const struct fs_op {
    int (*fn)(struct fs_call *call); /* NULL: not implemented */
    size_t in, out;                  /* bytes of the fixed part; room its answer needs, both without header */
    unsigned flags;
} ops[] = {
    [FUSE_LOOKUP] = { fs_op_lookup, 0, sizeof(struct fuse_entry_out), NODE },
    [FUSE_FORGET] = { fs_op_forget, sizeof(struct fuse_forget_in), 0, SILENT },
    [FUSE_BATCH_FORGET] = { fs_op_batch_forget, sizeof(struct fuse_batch_forget_in), 0, SILENT },
    [FUSE_GETATTR] = { fs_op_getattr, sizeof(struct fuse_getattr_in), sizeof(struct fuse_attr_out), NODE },
    [FUSE_SETATTR] = { fs_op_setattr, sizeof(struct fuse_setattr_in), sizeof(struct fuse_attr_out), NODE | CHANGES },
    [FUSE_READLINK] = { fs_op_readlink, 0, 0, NODE },
    [FUSE_SYMLINK] = { fs_op_symlink, 0, sizeof(struct fuse_entry_out), NODE | CHANGES },
    [FUSE_MKNOD] = { fs_op_mknod, sizeof(struct fuse_mknod_in), sizeof(struct fuse_entry_out), NODE | CHANGES },
    [FUSE_MKDIR] = { fs_op_mkdir, sizeof(struct fuse_mkdir_in), sizeof(struct fuse_entry_out), NODE | CHANGES },
    [FUSE_UNLINK] = { fs_op_unlink, 0, 0, NODE | CHANGES },
    [FUSE_RMDIR] = { fs_op_rmdir, 0, 0, NODE | CHANGES },
    [FUSE_RENAME] = { fs_op_rename, sizeof(struct fuse_rename_in), 0, NODE | CHANGES },
    [FUSE_RENAME2] = { fs_op_rename2, sizeof(struct fuse_rename2_in), 0, NODE | CHANGES },
    [FUSE_LINK] = { fs_op_link, sizeof(struct fuse_link_in), sizeof(struct fuse_entry_out), NODE | CHANGES },
    [FUSE_OPEN] = { fs_op_open, sizeof(struct fuse_open_in), sizeof(struct fuse_open_out), NODE },
    [FUSE_READ] = { fs_op_read, sizeof(struct fuse_read_in), 0, 0 },
    [FUSE_WRITE] = { fs_op_write, sizeof(struct fuse_write_in), sizeof(struct fuse_write_out), CHANGES | DATA },
    [FUSE_STATFS] = { fs_op_statfs, 0, sizeof(struct fuse_statfs_out), NODE },
    [FUSE_RELEASE] = { fs_op_release, sizeof(struct fuse_release_in), 0, 0 },
    [FUSE_FSYNC] = { fs_op_fsync, sizeof(struct fuse_fsync_in), 0, 0 },
    [FUSE_INIT] = { op_init, INIT_IN_MIN, sizeof(struct fuse_init_out), 0 },
    [FUSE_OPENDIR] = { fs_op_opendir, sizeof(struct fuse_open_in), sizeof(struct fuse_open_out), NODE },
    [FUSE_READDIR] = { fs_op_readdir, sizeof(struct fuse_read_in), 0, NODE },
    [FUSE_READDIRPLUS] = { fs_op_readdirplus, sizeof(struct fuse_read_in), 0, NODE },
    [FUSE_RELEASEDIR] = { fs_op_release, sizeof(struct fuse_release_in), 0, 0 },
    [FUSE_FSYNCDIR] = { fs_op_fsync, sizeof(struct fuse_fsync_in), 0, 0 },
    [FUSE_CREATE] = { fs_op_create, sizeof(struct fuse_create_in), sizeof(struct fuse_entry_out) + sizeof(struct fuse_open_out),
                      NODE | CHANGES },
    [FUSE_DESTROY] = { op_destroy, 0, 0, 0 },
    [FUSE_FALLOCATE] = { fs_op_fallocate, sizeof(struct fuse_fallocate_in), 0, CHANGES },
    [FUSE_LSEEK] = { fs_op_lseek, sizeof(struct fuse_lseek_in), sizeof(struct fuse_lseek_out), 0 },
    [FUSE_COPY_FILE_RANGE] = { fs_op_copy_file_range, sizeof(struct fuse_copy_file_range_in), sizeof(struct fuse_write_out),
                               CHANGES },
};

/* Copies the request but for a file's contents. */
static int take_body(struct fs_call *c, const struct fs_op *op)
{
    if (c->head.len != c->req->out_len)
        return -EINVAL;
    size_t len = c->head.len - sizeof(c->head);
    if (len < op->in)
        return -EINVAL;
    if (op->flags & DATA)
        len = op->in;
    if (len > FS_BODY_MAX)
        return -E2BIG;
    copy_out(c->req, sizeof(c->head), c->body, len);
    c->body[len] = '\0';
    c->body_len = len;
    return 0;
}

static int perform(struct fs_call *c)
{
    const struct fs_op *op = c->head.opcode < ARRAY_SIZE(ops) ? &ops[c->head.opcode] : NULL;
    if (!op || !op->fn)
        return -ENOSYS;
    c->silent = op->flags & SILENT;
    if (!c->silent && c->req->in_len < sizeof(struct fuse_out_header) + op->out)
        return -EINVAL; /* before anything is done that nobody would hear of */
    int r = take_body(c, op);
    if (r < 0)
        return r;
    if ((op->flags & CHANGES) && c->fs->read_only)
        return -EROFS;
    if ((op->flags & NODE) && !(c->node = fs_table_get(&c->fs->nodes, c->head.nodeid)))
        return -ESTALE;
    r = op->fn(c);
    fs_table_put(&c->fs->nodes, c->node);
    return r;
}

void fs_serve(struct fs *fs, struct fs_request *req)
{
    struct fs_call c; /* not cleared: most of it is buffers */
    c.fs = fs;
    c.head = (struct fuse_in_header){ 0 };
    c.req = req;
    c.node = NULL;
    c.body_len = c.at = c.reply_len = 0;
    c.answered_in_place = c.silent = false;
    req->written = 0;
    if (req->out_len < sizeof(c.head))
        return;
    copy_out(req, 0, &c.head, sizeof(c.head));
    int r = perform(&c);
    struct fuse_out_header head = { .len = sizeof(head), .error = r, .unique = c.head.unique };
    if (c.silent || req->in_len < sizeof(head))
        return;
    if (r == 0) {
        head.len += (uint32_t)c.reply_len;
        if (!c.answered_in_place)
            copy_in(req, sizeof(head), c.reply, c.reply_len);
    }
    copy_in(req, 0, &head, sizeof(head));
    req->written = head.len;
}
