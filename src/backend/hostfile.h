/* SPDX-License-Identifier: MIT */
/*
 * Files and block devices of the host as disks: opening them with all checks, and blocking operations on whole ranges.
 *
 * An opened file is locked (OFD locks: for reading or for writing), so that two machines cannot damage one disk. Operations go on
 * until everything is done; none is used with a lock held that a vCPU may wait for.
 */
#ifndef DOPPEL_BACKEND_HOSTFILE_H
#define DOPPEL_BACKEND_HOSTFILE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

#include "base/error.h"

struct hostfile_info {
    uint64_t size; /* bytes */
    unsigned block_size;
};

/* A regular file or block device whose size is a multiple of 512 and not 0. Errors as for blockdev_open(). */
MUST_CHECK int hostfile_open(const char *path, bool read_only, int *ret_fd, struct hostfile_info *ret_info, struct error *err);
/* The first `len` bytes of what hostfile_open() would open, or as many as there are: returns how many; 0 for what is no disk. It
 * is not locked. Errors as there, of opening. */
MUST_CHECK int hostfile_peek(const char *path, bool read_only, void *buf, size_t len, struct error *err);
/* A regular file of any size for reading and writing, made when it is not there. */
MUST_CHECK int hostfile_create(const char *path, int *ret_fd, struct error *err);
/* A file without a name, in TMPDIR or /var/tmp. */
MUST_CHECK int hostfile_temporary(int *ret_fd, struct error *err);

/* All of the range, or a negative errno; what was done until then stays. The array is changed. A read behind the end is -EIO. */
MUST_CHECK int hostfile_read(int fd, struct iovec *iov, unsigned nr, uint64_t offset);
MUST_CHECK int hostfile_write(int fd, struct iovec *iov, unsigned nr, uint64_t offset);
MUST_CHECK int hostfile_flush(int fd);
/* Gives the range's place back to the host where that is possible; never fails for want of it. */
MUST_CHECK int hostfile_discard(int fd, uint64_t offset, uint64_t len);
/* The range reads as zeroes; unmap: the host may take its place. */
MUST_CHECK int hostfile_zero(int fd, uint64_t offset, uint64_t len, bool unmap);
/* Moves on by `n` bytes in an array of iovecs. */
void hostfile_advance(struct iovec **iov, unsigned *nr, size_t n);
/* The host has no such operation for this file. */
bool hostfile_unsupported(int result);

#endif
