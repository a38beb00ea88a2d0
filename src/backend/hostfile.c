/* SPDX-License-Identifier: MIT */
/*
 * Opening, locking and blocking I/O of disks on the host.
 */
#include "backend/hostfile.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "backend/blockdev.h"
#include "base/checked.h"
#include "base/cleanup.h"

enum { PATH_CAP = 4096, ZEROES = 64 << 10, BLOCK_MAX = 64 << 10 };

static const uint8_t zeroes[ZEROES];

static int open_error(int code, bool read_only, struct error *err)
{
    if (code == -EROFS || (!read_only && (code == -EACCES || code == -EPERM || code == -ETXTBSY)))
        return error_set(err, code, "cannot be opened for writing: %s (use ,ro or ,overlay?)", strerror(-code));
    if (code == -EISDIR)
        return error_set(err, code, "is a directory");
    return error_set(err, code, "%s", strerror(-code));
}

static int lock_file(int fd, bool read_only, struct error *err)
{
    struct flock lock = { .l_type = read_only ? F_RDLCK : F_WRLCK, .l_whence = SEEK_SET };
    if (fcntl(fd, F_OFD_SETLK, &lock) == 0)
        return 0;
    if (errno == EAGAIN || errno == EACCES)
        return error_set(err, -EBUSY, "another machine or program uses it%s", read_only ? "" : " (use ,ro or ,overlay?)");
    return 0; /* a file system without locks */
}

static int block_device_info(int fd, struct hostfile_info *ret, struct error *err)
{
    int sector = BLOCKDEV_SECTOR;
    if (ioctl(fd, BLKGETSIZE64, &ret->size) < 0)
        return error_set(err, -errno, "its size is not to be had: %s", strerror(errno));
    if (ioctl(fd, BLKSSZGET, &sector) == 0 && sector >= BLOCKDEV_SECTOR && sector <= BLOCK_MAX)
        ret->block_size = (unsigned)sector;
    return 0;
}

static int disk_info(int fd, struct hostfile_info *ret, struct error *err)
{
    struct stat st;
    int r = 0;
    if (fstat(fd, &st) < 0)
        return error_set(err, -errno, "%s", strerror(errno));
    *ret = (struct hostfile_info){ .block_size = BLOCKDEV_SECTOR };
    if (S_ISDIR(st.st_mode))
        return error_set(err, -EISDIR, "is a directory");
    if (S_ISBLK(st.st_mode))
        r = block_device_info(fd, ret, err);
    else if (S_ISREG(st.st_mode))
        ret->size = (uint64_t)st.st_size;
    else
        r = error_set(err, -EINVAL, "is neither a file nor a block device");
    if (r < 0)
        return r;
    if (st.st_blksize >= BLOCKDEV_SECTOR && st.st_blksize <= BLOCK_MAX && (st.st_blksize & (st.st_blksize - 1)) == 0)
        ret->block_size = MAX(ret->block_size, (unsigned)st.st_blksize);
    if (ret->size == 0)
        return error_set(err, -EINVAL, "is empty (truncate -s 1G makes a disk of it)");
    if (ret->size % BLOCKDEV_SECTOR)
        return error_set(err, -EINVAL, "its size of %" PRIu64 " bytes is not a multiple of %d", ret->size, BLOCKDEV_SECTOR);
    return 0;
}

int hostfile_open(const char *path, bool read_only, int *ret_fd, struct hostfile_info *ret_info, struct error *err)
{
    /* O_NONBLOCK: a FIFO without a writer must not keep us */
    AUTO_CLOSE int fd = open(path, (read_only ? O_RDONLY : O_RDWR) | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return open_error(-errno, read_only, err);
    struct hostfile_info info;
    int r = disk_info(fd, &info, err);
    if (r == 0)
        r = lock_file(fd, read_only, err);
    if (r < 0)
        return r;
    /* I/O shall wait: with O_NONBLOCK io_uring may give up instead (-EAGAIN), as kernel and file system have it */
    (void)fcntl(fd, F_SETFL, 0);
    *ret_info = info;
    *ret_fd = take_fd(&fd);
    return 0;
}

int hostfile_peek(const char *path, bool read_only, void *buf, size_t len, struct error *err)
{
    AUTO_CLOSE int fd = open(path, (read_only ? O_RDONLY : O_RDWR) | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return open_error(-errno, read_only, err);
    ssize_t n = pread(fd, buf, len, 0);
    return n > 0 ? (int)n : 0; /* hostfile_open() says why not, and so would a server */
}

int hostfile_create(const char *path, int *ret_fd, struct error *err)
{
    struct stat st;
    AUTO_CLOSE int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NONBLOCK, 0666);
    if (fd < 0)
        return error_set(err, -errno, "overlay '%s': %s", path, strerror(errno));
    if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
        return error_set(err, -EINVAL, "overlay '%s': is no file", path);
    int r = lock_file(fd, false, err);
    if (r < 0)
        return error_set(err, r, "overlay '%s': another machine or program uses it", path);
    *ret_fd = take_fd(&fd);
    return 0;
}

/* Some file systems have no files without names: make one, and take the name away. */
static int open_nameless(const char *folder)
{
    char path[PATH_CAP];
    int fd = open(folder, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    if (fd >= 0 || (size_t)snprintf(path, sizeof(path), "%s/doppel-XXXXXX", folder) >= sizeof(path))
        return fd;
    fd = mkostemp(path, O_CLOEXEC);
    if (fd >= 0)
        (void)unlink(path); /* if that fails, an empty-looking file stays behind: no reason to stop */
    return fd;
}

int hostfile_temporary(int *ret_fd, struct error *err)
{
    const char *folder = getenv("TMPDIR");
    int fd = -1;
    if (folder && folder[0])
        fd = open_nameless(folder);
    else
        folder = "/var/tmp";
    if (fd < 0)
        fd = open_nameless("/var/tmp");
    if (fd < 0)
        fd = open_nameless("/tmp");
    if (fd < 0)
        return error_set(err, -errno, "no temporary file in '%s': %s (set TMPDIR)", folder, strerror(errno));
    *ret_fd = fd;
    return 0;
}

void hostfile_advance(struct iovec **iov, unsigned *nr, size_t n)
{
    while (*nr > 0 && n >= (*iov)->iov_len) {
        n -= (*iov)->iov_len;
        (*iov)++;
        (*nr)--;
    }
    if (*nr > 0) {
        (*iov)->iov_base = (uint8_t *)(*iov)->iov_base + n;
        (*iov)->iov_len -= n;
    }
}

typedef ssize_t (*rw_fn)(int fd, const struct iovec *iov, int nr, off_t offset);

static int transfer(rw_fn rw, int fd, struct iovec *iov, unsigned nr, uint64_t offset)
{
    hostfile_advance(&iov, &nr, 0); /* past empty pieces */
    while (nr > 0) {
        ssize_t n = rw(fd, iov, (int)nr, (off_t)offset);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return n < 0 ? -errno : -EIO;
        offset += (uint64_t)n;
        hostfile_advance(&iov, &nr, (size_t)n);
    }
    return 0;
}

int hostfile_read(int fd, struct iovec *iov, unsigned nr, uint64_t offset)
{
    return transfer(preadv, fd, iov, nr, offset);
}

int hostfile_write(int fd, struct iovec *iov, unsigned nr, uint64_t offset)
{
    return transfer(pwritev, fd, iov, nr, offset);
}

int hostfile_flush(int fd)
{
    return fdatasync(fd) < 0 ? -errno : 0;
}

bool hostfile_unsupported(int result)
{
    return result == -EOPNOTSUPP || result == -ENOSYS || result == -ENODEV || result == -ENOTTY;
}

static int allocate(int fd, int mode, uint64_t offset, uint64_t len)
{
    for (;;) {
        if (fallocate(fd, mode, (off_t)offset, (off_t)len) == 0)
            return 0;
        if (errno != EINTR)
            return -errno;
    }
}

int hostfile_discard(int fd, uint64_t offset, uint64_t len)
{
    int r = allocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, offset, len);
    return hostfile_unsupported(r) ? 0 : r;
}

static int write_zeroes(int fd, uint64_t offset, uint64_t len)
{
    while (len > 0) {
        size_t n = MIN(len, (uint64_t)ZEROES);
        struct iovec iov = { .iov_base = (void *)zeroes, .iov_len = n };
        int r = hostfile_write(fd, &iov, 1, offset);
        if (r < 0)
            return r;
        offset += n;
        len -= n;
    }
    return 0;
}

int hostfile_zero(int fd, uint64_t offset, uint64_t len, bool unmap)
{
    int r = allocate(fd, (unmap ? FALLOC_FL_PUNCH_HOLE : FALLOC_FL_ZERO_RANGE) | FALLOC_FL_KEEP_SIZE, offset, len);
    return hostfile_unsupported(r) ? write_zeroes(fd, offset, len) : r;
}
