/* SPDX-License-Identifier: MIT */
/*
 * Attributes of shared files: what the guest sees of them, and changing them.
 *
 * Our own user and group are the guest's 0, so that its root owns what it makes; other ids are shown as they are. Without
 * privileges everything new belongs to us; with them, to the user of the guest who made it. Set-user-ID and set-group-ID bits of
 * files are left out: on the host they would lend our rights.
 */
#include "backend/fs_call.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/cleanup.h"

enum { VALID_S = 1, BLOCK_SIZE = 4096, INO_DEV_SHIFT = 48 };

/* Inode numbers of file systems that are mounted below the share are moved, so that two files rarely have one. */
static uint64_t shown_ino(const struct fs *fs, const struct stat *st)
{
    uint64_t dev = st->st_dev == fs->dev ? 0 : (uint64_t)st->st_dev * 0x9e3779b1U | 1;
    return (uint64_t)st->st_ino ^ dev << INO_DEV_SHIFT;
}

void fs_fill_attr(const struct fs *fs, const struct stat *st, struct fuse_attr *ret_attr)
{
    *ret_attr = (struct fuse_attr){
        .ino = shown_ino(fs, st),
        .size = (uint64_t)st->st_size,
        .blocks = (uint64_t)st->st_blocks,
        .atime = (uint64_t)st->st_atim.tv_sec,
        .mtime = (uint64_t)st->st_mtim.tv_sec,
        .ctime = (uint64_t)st->st_ctim.tv_sec,
        .atimensec = (uint32_t)st->st_atim.tv_nsec,
        .mtimensec = (uint32_t)st->st_mtim.tv_nsec,
        .ctimensec = (uint32_t)st->st_ctim.tv_nsec,
        .mode = st->st_mode,
        .nlink = (uint32_t)st->st_nlink,
        .uid = st->st_uid == fs->uid ? 0 : st->st_uid,
        .gid = st->st_gid == fs->gid ? 0 : st->st_gid,
        .rdev = (uint32_t)st->st_rdev,
        .blksize = BLOCK_SIZE,
    };
}

mode_t fs_safe_mode(mode_t type, mode_t mode)
{
    return mode & (S_ISDIR(type) ? 07777 : 01777);
}

static void fill_entry(struct fs *fs, struct fs_node *node, const struct stat *st, struct fuse_entry_out *ret_entry)
{
    *ret_entry = (struct fuse_entry_out){ .nodeid = node->id, .entry_valid = VALID_S, .attr_valid = VALID_S };
    fs_fill_attr(fs, st, &ret_entry->attr);
    fs_table_put(&fs->nodes, node);
}

int fs_fill_entry_of(struct fs *fs, int fd, struct fuse_entry_out *ret_entry)
{
    struct stat st;
    struct fs_node *node;
    if (fstatat(fd, "", &st, AT_EMPTY_PATH) < 0) {
        int r = -errno;
        (void)close(fd);
        return r;
    }
    int r = fs_table_add(&fs->nodes, fd, &st, &node);
    if (r < 0)
        return r;
    fill_entry(fs, node, &st, ret_entry);
    return 0;
}

int fs_fill_entry(struct fs *fs, int dir, const char *name, struct fuse_entry_out *ret_entry)
{
    struct stat st;
    if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT) < 0)
        return -errno;
    struct fs_node *node = fs_table_add_known(&fs->nodes, &st);
    if (node) { /* its descriptor keeps the file, so this is it, and there is nothing to open */
        fill_entry(fs, node, &st, ret_entry);
        return 0;
    }
    int fd = openat(dir, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
    return fd < 0 ? -errno : fs_fill_entry_of(fs, fd, ret_entry);
}

static int set_mode(const struct fs *fs, int fd, mode_t mode)
{
    char name[FS_PROC_NAME];
    return fchmodat(fs->proc_fds, fs_proc_name(fd, name), mode, 0) < 0 ? -errno : 0;
}

int fs_adopt(struct fs_call *call, int fd, mode_t mode)
{
    const struct fs *fs = call->fs;
    struct stat st;
    if (fstatat(fd, "", &st, AT_EMPTY_PATH) < 0)
        return -errno;
    if (st.st_uid != fs->uid || (!S_ISDIR(st.st_mode) && st.st_nlink > 1))
        return 0;                                                  /* somebody else was quicker: this is not what we made */
    gid_t gid = st.st_gid == fs->gid ? call->head.gid : (gid_t)-1; /* else the folder's group was inherited */
    if (fs->privileged && (call->head.uid || call->head.gid)
        && fchownat(fd, "", call->head.uid, gid, AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW) < 0)
        return -errno;
    if (S_ISLNK(st.st_mode))
        return 0;
    mode_t want = fs_safe_mode(st.st_mode, mode) | (S_ISDIR(st.st_mode) ? st.st_mode & S_ISGID : 0);
    return want == (st.st_mode & 07777) ? 0 : set_mode(fs, fd, want);
}

static int reply_attr(struct fs_call *c, int fd)
{
    struct stat st;
    if (fstatat(fd, "", &st, AT_EMPTY_PATH) < 0)
        return -errno;
    struct fuse_attr_out out = { .attr_valid = VALID_S };
    fs_fill_attr(c->fs, &st, &out.attr);
    fs_reply(c, &out, sizeof(out));
    return 0;
}

int fs_op_getattr(struct fs_call *c)
{
    return reply_attr(c, c->node->fd);
}

/* ---- changes ---- */

static int set_owner(const struct fs_call *c, const struct fuse_setattr_in *in)
{
    uid_t uid = (uid_t)-1;
    gid_t gid = (gid_t)-1;
    if (in->valid & FATTR_UID)
        uid = in->uid ? in->uid : c->fs->uid;
    if (in->valid & FATTR_GID)
        gid = in->gid ? in->gid : c->fs->gid;
    return fchownat(c->node->fd, "", uid, gid, AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW) < 0 ? -errno : 0;
}

static int set_size(struct fs_call *c, const struct fuse_setattr_in *in)
{
    if (in->size > INT64_MAX)
        return -EFBIG;
    if (in->valid & FATTR_FH) {
        struct fs_node *h = fs_handle(c, in->fh, S_IFREG);
        if (!h)
            return -EBADF;
        int r = ftruncate(h->fd, (off_t)in->size) < 0 ? -errno : 0;
        fs_table_put(&c->fs->handles, h);
        return r;
    }
    AUTO_CLOSE int fd = fs_reopen(c, c->node, O_WRONLY);
    if (fd < 0)
        return fd;
    return ftruncate(fd, (off_t)in->size) < 0 ? -errno : 0;
}

static struct timespec time_of(uint32_t valid, uint32_t set, uint32_t now, uint64_t s, uint32_t ns)
{
    if (!(valid & set))
        return (struct timespec){ .tv_nsec = UTIME_OMIT };
    if (valid & now)
        return (struct timespec){ .tv_nsec = UTIME_NOW };
    return (struct timespec){ .tv_sec = (time_t)s, .tv_nsec = ns < 1000000000 ? ns : 0 };
}

static int set_times(const struct fs_call *c, const struct fuse_setattr_in *in)
{
    const struct timespec t[2] = {
        time_of(in->valid, FATTR_ATIME, FATTR_ATIME_NOW, in->atime, in->atimensec),
        time_of(in->valid, FATTR_MTIME, FATTR_MTIME_NOW, in->mtime, in->mtimensec),
    };
    char name[FS_PROC_NAME];
    if (c->node->type == S_IFLNK) /* "/proc/self/fd/N" leads to the link itself, but not every kernel takes an empty path */
        return utimensat(c->node->fd, "", t, AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW) < 0 ? -errno : 0;
    return utimensat(c->fs->proc_fds, fs_proc_name(c->node->fd, name), t, 0) < 0 ? -errno : 0;
}

int fs_op_setattr(struct fs_call *c)
{
    struct fuse_setattr_in in;
    memcpy(&in, c->body, sizeof(in));
    int r = 0;
    if (in.valid & FATTR_MODE)
        r = c->node->type == S_IFLNK ? -EOPNOTSUPP : set_mode(c->fs, c->node->fd, fs_safe_mode(c->node->type, in.mode));
    if (r == 0 && (in.valid & (FATTR_UID | FATTR_GID)))
        r = set_owner(c, &in);
    if (r == 0 && (in.valid & FATTR_SIZE))
        r = set_size(c, &in);
    if (r == 0 && (in.valid & (FATTR_ATIME | FATTR_MTIME)))
        r = set_times(c, &in);
    return r < 0 ? r : reply_attr(c, c->node->fd);
}

/* ---- links and the file system ---- */

int fs_op_readlink(struct fs_call *c)
{
    char target[PATH_MAX];
    ssize_t n = c->node->type == S_IFLNK ? readlinkat(c->node->fd, "", target, sizeof(target)) : -1;
    if (n < 0)
        return c->node->type == S_IFLNK ? -errno : -EINVAL;
    if ((size_t)n > fs_room(c))
        return -ENAMETOOLONG;
    fs_reply(c, target, (size_t)n);
    return 0;
}

int fs_op_statfs(struct fs_call *c)
{
    struct statvfs v;
    if (fstatvfs(c->node->fd, &v) < 0)
        return -errno;
    const struct fuse_statfs_out out = { .st = {
                                             .blocks = v.f_blocks,
                                             .bfree = v.f_bfree,
                                             .bavail = v.f_bavail,
                                             .files = v.f_files,
                                             .ffree = v.f_ffree,
                                             .bsize = (uint32_t)v.f_bsize,
                                             .namelen = (uint32_t)v.f_namemax,
                                             .frsize = (uint32_t)v.f_frsize,
                                         } };
    fs_reply(c, &out, sizeof(out));
    return 0;
}
