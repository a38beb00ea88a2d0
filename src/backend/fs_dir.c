/* SPDX-License-Identifier: MIT */
/*
 * Open folders of a share: reading them, with or without their entries' attributes.
 *
 * A handle's position is the guest's: each request seeks to the offset it names and reads on from there. The host's kernel gives
 * the offsets, and validates what comes back.
 */
#include "backend/fs_call.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/checked.h"

enum { ENTRIES_MAX = 8 << 10, TYPE_SHIFT = 12 };

/* What getdents64(2) fills in. */
struct host_entry {
    uint64_t ino;
    int64_t off;
    unsigned short len;
    unsigned char type;
    char name[];
};

int fs_op_opendir(struct fs_call *c)
{
    const struct stat st = { .st_mode = S_IFDIR };
    struct fuse_open_out out = { 0 };
    struct fs_node *h;
    int fd = openat(c->node->fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    int r = fs_table_add(&c->fs->handles, fd, &st, &h);
    if (r < 0)
        return r == -ENFILE ? -EMFILE : r;
    out.fh = h->id;
    fs_table_put(&c->fs->handles, h);
    fs_reply(c, &out, sizeof(out));
    return 0;
}

static bool is_dots(const char *name)
{
    return name[0] == '.' && (name[1] == '\0' || (name[1] == '.' && name[2] == '\0'));
}

/* More attributes than half of what the guest may know would leave too little for what it uses. */
static bool may_give_attributes(struct fs_call *c)
{
    return fs_table_count(&c->fs->nodes) < c->fs->nodes.max / 2;
}

/* One entry into the answer; false: it does not fit any more. */
static bool put_entry(struct fs_call *c, const struct host_entry *e, size_t max, bool plus)
{
    struct fuse_direntplus d = { .dirent = {
                                     .ino = e->ino,
                                     .off = (uint64_t)e->off,
                                     .namelen = (uint32_t)strlen(e->name),
                                     .type = e->type,
                                 } };
    static const char padding[FUSE_DIRENT_ALIGN(1)];
    size_t head = plus ? FUSE_NAME_OFFSET_DIRENTPLUS : FUSE_NAME_OFFSET;
    size_t len = FUSE_DIRENT_ALIGN(head + d.dirent.namelen);
    if (len > max - c->reply_len)
        return false;
    if (e->name[0] == '.' && e->name[1] == '.' && e->name[2] == '\0' && c->head.nodeid == c->fs->root)
        d.dirent.ino = c->node->ino; /* what is above the share is not the guest's business */
    if (plus && !is_dots(e->name) && may_give_attributes(c) && fs_fill_entry(c->fs, c->node->fd, e->name, &d.entry_out) < 0)
        d.entry_out = (struct fuse_entry_out){ 0 }; /* the guest will look it up, and hear why not */
    if (d.entry_out.nodeid)
        d.dirent.ino = d.entry_out.attr.ino;
    fs_reply(c, plus ? (const void *)&d : (const void *)&d.dirent, head);
    fs_reply(c, e->name, d.dirent.namelen);
    fs_reply(c, padding, len - head - d.dirent.namelen);
    return true;
}

/* Reads the host's folder on until the answer is full or the folder at its end. */
static int fill(struct fs_call *c, int fd, size_t max, bool plus)
{
    char buf[ENTRIES_MAX] __attribute__((aligned(8)));
    for (;;) {
        size_t want = MIN(sizeof(buf), max - c->reply_len + sizeof(struct host_entry));
        long n = syscall(SYS_getdents64, fd, buf, want);
        if (n < 0 && c->reply_len > 0)
            return 0; /* the next request hears of it; EINVAL: no room for the next name */
        if (n <= 0)
            return n < 0 ? -errno : 0;
        for (long at = 0; at < n;) {
            const struct host_entry *e = (const struct host_entry *)(const void *)(buf + at);
            if (!put_entry(c, e, max, plus))
                return 0;
            at += e->len;
        }
    }
}

static int read_folder(struct fs_call *c, bool plus)
{
    struct fuse_read_in in;
    memcpy(&in, c->body, sizeof(in));
    size_t max = MIN(MIN(in.size, sizeof(c->reply)), fs_room(c));
    if (in.offset > INT64_MAX)
        return -EINVAL;
    struct fs_node *h = fs_handle(c, in.fh, S_IFDIR);
    if (!h)
        return -EBADF;
    /* two requests at once on one handle would take each other's entries */
    (void)pthread_mutex_lock(&c->fs->folder_mutex);
    int r = lseek(h->fd, (off_t)in.offset, SEEK_SET) < 0 ? -errno : fill(c, h->fd, max, plus);
    (void)pthread_mutex_unlock(&c->fs->folder_mutex);
    fs_table_put(&c->fs->handles, h);
    return r;
}

int fs_op_readdir(struct fs_call *c)
{
    return read_folder(c, false);
}

int fs_op_readdirplus(struct fs_call *c)
{
    return read_folder(c, true);
}
