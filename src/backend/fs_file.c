/* SPDX-License-Identifier: MIT */
/*
 * Open files of a share: contents move between the host's kernel and the guest's memory without a copy of ours.
 *
 * Only regular files are opened, and through the node's descriptor, whose type cannot change any more. Files the host made
 * append-only for a guest's handle would misplace its page cache, so O_APPEND is a write's property (RWF_APPEND), not the
 * descriptor's.
 */
#include "backend/fs_call.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <unistd.h>

#include "base/checked.h"
#include "base/cleanup.h"
#include "base/iovec.h"

/* What of the guest's open flags is the host's business, too. */
#define FLAGS_KEPT (O_ACCMODE | O_TRUNC | O_SYNC | O_DSYNC)
#define COPY_MAX (16UL << 20) /* bytes a COPY_FILE_RANGE copies; the guest asks again */

static bool would_write(uint32_t flags)
{
    return (flags & O_ACCMODE) != O_RDONLY || (flags & O_TRUNC);
}

int fs_reopen(const struct fs_call *c, const struct fs_node *node, int flags)
{
    char name[FS_PROC_NAME];
    if (node->type == S_IFDIR)
        return -EISDIR;
    if (node->type != S_IFREG)
        return node->type == S_IFLNK ? -ELOOP : -ENXIO;
    int fd = openat(c->fs->proc_fds, fs_proc_name(node->fd, name), flags | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    return fd < 0 ? -errno : fd;
}

struct fs_node *fs_handle(struct fs_call *c, uint64_t fh, mode_t type)
{
    struct fs_node *h = fs_table_get(&c->fs->handles, fh);
    if (h && h->type == type)
        return h;
    fs_table_put(&c->fs->handles, h);
    return NULL;
}

/* A handle for the descriptor, which is taken. */
static int new_handle(struct fs_call *c, int fd, uint64_t *ret_fh)
{
    struct fs_node *h;
    const struct stat st = { .st_mode = S_IFREG };
    int r = fs_table_add(&c->fs->handles, fd, &st, &h);
    if (r < 0)
        return r == -ENFILE ? -EMFILE : r;
    *ret_fh = h->id;
    fs_table_put(&c->fs->handles, h);
    return 0;
}

int fs_op_open(struct fs_call *c)
{
    struct fuse_open_in in;
    struct fuse_open_out out = { 0 };
    memcpy(&in, c->body, sizeof(in));
    if (c->fs->read_only && would_write(in.flags))
        return -EROFS;
    int fd = fs_reopen(c, c->node, (int)(in.flags & FLAGS_KEPT));
    if (fd < 0)
        return fd;
    int r = new_handle(c, fd, &out.fh);
    if (r == 0)
        fs_reply(c, &out, sizeof(out));
    return r;
}

/* Makes a file, or opens one that is there if the guest may have that; *ret_fd reads and writes as asked for. */
static int make_or_open(struct fs_call *c, const struct fuse_create_in *in, const char *name, struct fuse_entry_out *ret_entry,
                        int *ret_fd)
{
    int flags = (int)(in->flags & FLAGS_KEPT);
    AUTO_CLOSE int fd = openat(c->node->fd, name, flags | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK,
                               in->mode & 0777);
    if (fd < 0 && (errno != EEXIST || (in->flags & O_EXCL)))
        return -errno;
    int r = fd < 0 ? 0 : fs_adopt(c, fd, in->mode);
    if (r == 0)
        r = fs_fill_entry(c->fs, c->node->fd, name, ret_entry);
    if (r < 0)
        return r;
    struct fs_node *node = fs_table_get(&c->fs->nodes, ret_entry->nodeid);
    if (!node)
        return -ESTALE; /* a guest that forgets what it does not know yet */
    struct stat st;
    bool same = fd >= 0 && fstat(fd, &st) == 0 && st.st_dev == node->dev && st.st_ino == node->ino;
    *ret_fd = same ? take_fd(&fd) : fs_reopen(c, node, flags);
    fs_table_put(&c->fs->nodes, node);
    if (*ret_fd >= 0)
        return 0;
    (void)fs_table_forget(&c->fs->nodes, ret_entry->nodeid, 1);
    return *ret_fd;
}

int fs_op_create(struct fs_call *c)
{
    struct fuse_create_in in;
    const char *name = NULL;
    struct fuse_entry_out entry = { 0 };
    struct fuse_open_out out = { 0 };
    int fd = -1;
    memcpy(&in, c->body, sizeof(in));
    c->at = sizeof(in);
    int r = fs_name(c, &name);
    if (r == 0)
        r = make_or_open(c, &in, name, &entry, &fd);
    if (r < 0)
        return r;
    r = new_handle(c, fd, &out.fh);
    if (r < 0) {
        (void)fs_table_forget(&c->fs->nodes, entry.nodeid, 1);
        return r;
    }
    fs_reply(c, &entry, sizeof(entry));
    fs_reply(c, &out, sizeof(out));
    return 0;
}

int fs_op_release(struct fs_call *c)
{
    struct fuse_release_in in;
    memcpy(&in, c->body, sizeof(in));
    return fs_table_forget(&c->fs->handles, in.fh, 1) ? 0 : -EBADF;
}

/* ---- contents ---- */

int fs_op_read(struct fs_call *c)
{
    struct fuse_read_in in;
    struct iovec iov[FS_IOV_MAX];
    memcpy(&in, c->body, sizeof(in));
    if (in.offset > INT64_MAX || in.size > fs_room(c))
        return -EINVAL;
    struct fs_node *h = fs_handle(c, in.fh, S_IFREG);
    if (!h)
        return -EBADF;
    unsigned nr = iovec_slice(c->req->in, c->req->nr_in, sizeof(struct fuse_out_header), in.size, iov);
    ssize_t n = preadv(h->fd, iov, (int)nr, (off_t)in.offset);
    int r = n < 0 ? -errno : 0;
    fs_table_put(&c->fs->handles, h);
    if (r == 0) {
        c->answered_in_place = true;
        c->reply_len = (size_t)n;
    }
    return r;
}

int fs_op_write(struct fs_call *c)
{
    struct fuse_write_in in;
    struct iovec iov[FS_IOV_MAX];
    memcpy(&in, c->body, sizeof(in));
    size_t before = sizeof(c->head) + sizeof(in);
    if (in.offset > INT64_MAX || in.size != c->req->out_len - before)
        return -EINVAL;
    struct fs_node *h = fs_handle(c, in.fh, S_IFREG);
    if (!h)
        return -EBADF;
    bool append = (in.flags & O_APPEND) && !(in.write_flags & FUSE_WRITE_CACHE);
    unsigned nr = iovec_slice(c->req->out, c->req->nr_out, before, in.size, iov);
    ssize_t n = pwritev2(h->fd, iov, (int)nr, (off_t)in.offset, append ? RWF_APPEND : 0);
    int r = n < 0 ? -errno : 0;
    fs_table_put(&c->fs->handles, h);
    if (r < 0)
        return r;
    const struct fuse_write_out out = { .size = (uint32_t)n };
    fs_reply(c, &out, sizeof(out));
    return 0;
}

int fs_op_fsync(struct fs_call *c)
{
    struct fuse_fsync_in in;
    memcpy(&in, c->body, sizeof(in));
    struct fs_node *h = fs_handle(c, in.fh, c->head.opcode == FUSE_FSYNCDIR ? S_IFDIR : S_IFREG);
    if (!h)
        return -EBADF;
    int r = ((in.fsync_flags & FUSE_FSYNC_FDATASYNC) ? fdatasync(h->fd) : fsync(h->fd)) < 0 ? -errno : 0;
    fs_table_put(&c->fs->handles, h);
    return r;
}

int fs_op_fallocate(struct fs_call *c)
{
    struct fuse_fallocate_in in;
    memcpy(&in, c->body, sizeof(in));
    if (in.offset > INT64_MAX || in.length > INT64_MAX)
        return -EINVAL;
    struct fs_node *h = fs_handle(c, in.fh, S_IFREG);
    if (!h)
        return -EBADF;
    int r = fallocate(h->fd, (int)in.mode, (off_t)in.offset, (off_t)in.length) < 0 ? -errno : 0;
    fs_table_put(&c->fs->handles, h);
    return r;
}

int fs_op_lseek(struct fs_call *c)
{
    struct fuse_lseek_in in;
    memcpy(&in, c->body, sizeof(in));
    if (in.offset > INT64_MAX || (in.whence != SEEK_DATA && in.whence != SEEK_HOLE))
        return -EINVAL; /* the others are the guest kernel's */
    struct fs_node *h = fs_handle(c, in.fh, S_IFREG);
    if (!h)
        return -EBADF;
    off_t at = lseek(h->fd, (off_t)in.offset, (int)in.whence); /* nobody else uses the descriptor's position */
    int r = at < 0 ? -errno : 0;
    fs_table_put(&c->fs->handles, h);
    if (r < 0)
        return r;
    const struct fuse_lseek_out out = { .offset = (uint64_t)at };
    fs_reply(c, &out, sizeof(out));
    return 0;
}

int fs_op_copy_file_range(struct fs_call *c)
{
    struct fuse_copy_file_range_in in;
    memcpy(&in, c->body, sizeof(in));
    if (in.off_in > INT64_MAX || in.off_out > INT64_MAX || in.flags)
        return -EINVAL;
    struct fs_node *from = fs_handle(c, in.fh_in, S_IFREG), *to = fs_handle(c, in.fh_out, S_IFREG);
    off_t at = (off_t)in.off_in, to_at = (off_t)in.off_out;
    int r = from && to ? 0 : -EBADF;
    ssize_t n = r < 0 ? 0 : copy_file_range(from->fd, &at, to->fd, &to_at, MIN(in.len, COPY_MAX), 0);
    if (n < 0)
        r = -errno;
    fs_table_put(&c->fs->handles, from);
    fs_table_put(&c->fs->handles, to);
    if (r < 0)
        return r;
    const struct fuse_write_out out = { .size = (uint32_t)n };
    fs_reply(c, &out, sizeof(out));
    return 0;
}
