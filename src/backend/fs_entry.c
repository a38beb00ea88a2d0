/* SPDX-License-Identifier: MIT */
/*
 * Names in shared folders: looking them up, making, removing and moving them, and what the guest forgets.
 *
 * Each call of the host here takes a folder's descriptor and one name that fs_name() found to be a single one, and follows no
 * link.
 */
#include "backend/fs_call.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"

/* Answers with the entry. */
static int reply_entry(struct fs_call *c, const char *name)
{
    struct fuse_entry_out out;
    int r = fs_fill_entry(c->fs, c->node->fd, name, &out);
    if (r == 0)
        fs_reply(c, &out, sizeof(out));
    return r;
}

/* The same for what was just made, which gets its mode and owner. */
static int reply_new(struct fs_call *c, const char *name, mode_t mode)
{
    struct fuse_entry_out out;
    int fd = openat(c->node->fd, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    int r = fs_adopt(c, fd, mode);
    if (r < 0) {
        (void)close(fd);
        return r;
    }
    r = fs_fill_entry_of(c->fs, fd, &out);
    if (r == 0)
        fs_reply(c, &out, sizeof(out));
    return r;
}

int fs_op_lookup(struct fs_call *c)
{
    const char *name = NULL;
    int r = fs_name(c, &name);
    return r < 0 ? r : reply_entry(c, name);
}

/* ---- forgetting ---- */

static void forget(struct fs *fs, uint64_t id, uint64_t n)
{
    if (id != fs->root)
        (void)fs_table_forget(&fs->nodes, id, n); /* a number that is none: nothing to forget, and nobody to tell */
}

int fs_op_forget(struct fs_call *c)
{
    struct fuse_forget_in in;
    memcpy(&in, c->body, sizeof(in));
    forget(c->fs, c->head.nodeid, in.nlookup);
    c->silent = true;
    return 0;
}

int fs_op_batch_forget(struct fs_call *c)
{
    struct fuse_batch_forget_in in;
    struct fuse_forget_one one;
    memcpy(&in, c->body, sizeof(in));
    c->silent = true;
    for (size_t at = sizeof(in); in.count > 0 && c->body_len - at >= sizeof(one); in.count--, at += sizeof(one)) {
        memcpy(&one, c->body + at, sizeof(one));
        forget(c->fs, one.nodeid, one.nlookup);
    }
    return 0;
}

/* ---- making ---- */

/* The fixed part of a request, and the name behind it. */
static int fixed_and_name(struct fs_call *c, void *ret_in, size_t len, const char **ret_name)
{
    memcpy(ret_in, c->body, len);
    c->at = len;
    return fs_name(c, ret_name);
}

/* Regular files are made without a moment in which something else could be opened. */
static int make_file(struct fs_call *c, const char *name, mode_t mode)
{
    AUTO_CLOSE int fd = openat(c->node->fd, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, mode & 0777);
    return fd < 0 ? -errno : 0;
}

int fs_op_mknod(struct fs_call *c)
{
    struct fuse_mknod_in in;
    const char *name = NULL;
    int r = fixed_and_name(c, &in, sizeof(in), &name);
    if (r < 0)
        return r;
    switch (in.mode & S_IFMT) {
    case 0:
    case S_IFREG: r = make_file(c, name, in.mode); break;
    case S_IFIFO:
    case S_IFSOCK: r = mknodat(c->node->fd, name, (in.mode & S_IFMT) | (in.mode & 0777), 0) < 0 ? -errno : 0; break;
    default: r = -EPERM; break; /* a device node would be one of the host */
    }
    return r < 0 ? r : reply_new(c, name, in.mode);
}

int fs_op_mkdir(struct fs_call *c)
{
    struct fuse_mkdir_in in;
    const char *name = NULL;
    int r = fixed_and_name(c, &in, sizeof(in), &name);
    if (r < 0)
        return r;
    if (mkdirat(c->node->fd, name, in.mode & 0777) < 0)
        return -errno;
    return reply_new(c, name, in.mode);
}

int fs_op_symlink(struct fs_call *c)
{
    const char *name = NULL, *target = NULL;
    int r = fs_name(c, &name);
    if (r == 0)
        r = fs_text(c, &target);
    if (r < 0)
        return r;
    if (symlinkat(target, c->node->fd, name) < 0)
        return -errno;
    return reply_new(c, name, 0777);
}

int fs_op_link(struct fs_call *c)
{
    struct fuse_link_in in;
    const char *name = NULL;
    char from[FS_PROC_NAME];
    int r = fixed_and_name(c, &in, sizeof(in), &name);
    if (r < 0)
        return r;
    struct fs_node *old = fs_table_get(&c->fs->nodes, in.oldnodeid);
    if (!old)
        return -ESTALE;
    if (linkat(c->fs->proc_fds, fs_proc_name(old->fd, from), c->node->fd, name, AT_SYMLINK_FOLLOW) < 0)
        r = -errno;
    fs_table_put(&c->fs->nodes, old);
    return r < 0 ? r : reply_entry(c, name);
}

/* ---- removing and moving ---- */

static int remove_entry(struct fs_call *c, int flags)
{
    const char *name = NULL;
    int r = fs_name(c, &name);
    if (r < 0)
        return r;
    return unlinkat(c->node->fd, name, flags) < 0 ? -errno : 0;
}

int fs_op_unlink(struct fs_call *c)
{
    return remove_entry(c, 0);
}

int fs_op_rmdir(struct fs_call *c)
{
    return remove_entry(c, AT_REMOVEDIR);
}

static int rename_to(struct fs_call *c, uint64_t new_folder, unsigned flags)
{
    const char *from = NULL, *to = NULL;
    int r = fs_name(c, &from);
    if (r == 0)
        r = fs_name(c, &to);
    if (r < 0)
        return r;
    if (flags & ~(unsigned)(RENAME_NOREPLACE | RENAME_EXCHANGE)) /* a whiteout is a device node */
        return -EINVAL;
    struct fs_node *folder = fs_table_get(&c->fs->nodes, new_folder);
    if (!folder)
        return -ESTALE;
    if (renameat2(c->node->fd, from, folder->fd, to, flags) < 0)
        r = -errno;
    fs_table_put(&c->fs->nodes, folder);
    return r;
}

int fs_op_rename(struct fs_call *c)
{
    struct fuse_rename_in in;
    memcpy(&in, c->body, sizeof(in));
    c->at = sizeof(in);
    return rename_to(c, in.newdir, 0);
}

int fs_op_rename2(struct fs_call *c)
{
    struct fuse_rename2_in in;
    memcpy(&in, c->body, sizeof(in));
    c->at = sizeof(in);
    return rename_to(c, in.newdir, in.flags);
}
