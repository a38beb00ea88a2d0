/* SPDX-License-Identifier: MIT */
/*
 * A share's life: opening the folder, the threads that serve its requests, and the end.
 */
#include "backend/fs.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "backend/fs_call.h"
#include "base/checked.h"
#include "base/cleanup.h"

enum { THREADS = 4 };

static void run(void *opaque, struct work *work)
{
    fs_serve(opaque, (struct fs_request *)((char *)work - offsetof(struct fs_request, work)));
}

static void done(void *opaque, struct work *work)
{
    struct fs_request *req = (struct fs_request *)((char *)work - offsetof(struct fs_request, work));
    (void)opaque;
    req->done(req);
}

static const struct workers_ops work_ops = { .run = run, .done = done };

/* Opens the folder as node FUSE_ROOT_ID. */
static int open_root(struct fs *fs, const char *path, struct error *err)
{
    struct stat st;
    struct fs_node *root;
    AUTO_CLOSE int fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return error_set(err, -errno, "%s", strerror(errno));
    if (faccessat(fd, ".", R_OK | X_OK, AT_EACCESS) < 0 || fstat(fd, &st) < 0)
        return error_set(err, -errno, "%s", strerror(errno));
    if (fs_table_add(&fs->nodes, take_fd(&fd), &st, &root) < 0)
        return error_set(err, -ENOMEM, "out of memory");
    fs->dev = st.st_dev;
    fs->root = root->id;
    fs_table_put(&fs->nodes, root);
    return 0;
}

static int set_up(struct fs *fs, const struct fs_config *config, struct loop *loop, struct error *err)
{
    static_assert(FUSE_ROOT_ID == 1, "the first number of a table");
    unsigned max = MIN(MAX(config->max_files, (unsigned)FS_FILES_MIN), (unsigned)FS_FILES_MAX);
    if (fs_table_init(&fs->handles, false, max / 4) < 0 || fs_table_init(&fs->nodes, true, max - max / 4) < 0)
        return error_set(err, -ENOMEM, "out of memory");
    fs->proc_fds = open("/proc/self/fd", O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (fs->proc_fds < 0)
        return error_set(err, -ENOSYS, "/proc/self/fd: %s (a share needs /proc on the host)", strerror(errno));
    int r = open_root(fs, config->path, err);
    return r < 0 || !loop ? r : workers_new(loop, THREADS, &work_ops, fs, &fs->lock, &fs->workers, err);
}

int fs_open(const struct fs_config *config, struct loop *loop, struct fs **ret_fs, struct error *err)
{
    struct fs *fs = calloc(1, sizeof(*fs));
    if (!fs)
        return error_set(err, -ENOMEM, "out of memory for a share");
    fs->proc_fds = -1;
    fs->read_only = config->read_only;
    fs->uid = geteuid();
    fs->gid = getegid();
    fs->privileged = fs->uid == 0;
    (void)pthread_mutex_init(&fs->folder_mutex, NULL); /* without attributes it cannot fail */
    int r = set_up(fs, config, loop, err);
    if (r < 0) {
        fs_free(fs);
        return error_prefix(err, "share '%s'", config->path);
    }
    *ret_fs = fs;
    return 0;
}

void fs_attach(struct fs *fs, pthread_mutex_t *lock)
{
    fs->lock = lock;
}

void fs_submit(struct fs *fs, struct fs_request *req)
{
    workers_add(fs->workers, &req->work);
}

void fs_drain(struct fs *fs)
{
    workers_drain(fs->workers);
}

void fs_reset(struct fs *fs)
{
    fs_table_forget_all(&fs->handles, 0);
    fs_table_forget_all(&fs->nodes, fs->root);
}

void fs_free(struct fs *fs)
{
    if (!fs)
        return;
    if (fs->workers)
        workers_drain(fs->workers);
    workers_free(fs->workers);
    fs_table_done(&fs->handles);
    fs_table_done(&fs->nodes);
    if (fs->proc_fds >= 0)
        (void)close(fs->proc_fds);
    (void)pthread_mutex_destroy(&fs->folder_mutex);
    free(fs);
}

unsigned fs_files(struct fs *fs)
{
    return fs_table_count(&fs->handles) + fs_table_count(&fs->nodes);
}
