/* SPDX-License-Identifier: MIT */
/*
 * Connecting to NBD servers, and blocking reads.
 */
#include "backend/nbd_link.h"

#include <errno.h>
#include <inttypes.h>
#include <libnbd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backend/blockdev.h"
#include "backend/nbd_lib.h"
#include "base/checked.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/iovec.h"
#include "base/log.h"

enum { BLOCK_MAX = 64 << 10, TRANSFER_MAX = 256 << 10, GOODBYE_MS = 10000, WORDS = 160, NS_PER_MS = 1000000 };

/* What libnbd said last, without the name of its function. */
static const char *nbd_words(void)
{
    const char *text = nbd_get_error();
    if (!text)
        return "no reason was given";
    const char *colon = strncmp(text, "nbd_", 4) == 0 ? strstr(text, ": ") : NULL;
    return colon ? colon + 2 : text;
}

static bool is_over(const struct nbd_link *link)
{
    return nbd_aio_is_dead(link->h) == 1 || nbd_aio_is_closed(link->h) == 1;
}

/* Goes on with the connection until `until` says so. -ETIMEDOUT; -EIO: libnbd says more. */
static int go_on(struct nbd_link *link, int (*until)(struct nbd_handle *h), unsigned ms)
{
    const ns_t end = clock_host_ns() + (ns_t)ms * NS_PER_MS;
    while (until(link->h) != 1) {
        ns_t left = (end - clock_host_ns()) / NS_PER_MS;
        if (is_over(link))
            return -EIO;
        if (left <= 0)
            return -ETIMEDOUT;
        if (nbd_poll(link->h, (int)left) < 0)
            return -EIO;
    }
    return 0;
}

/* ---- opening ---- */

/* Our server says it better than the protocol does. */
static int server_error(struct nbd_link *link, int r, struct error *err)
{
    char words[WORDS];
    (void)snprintf(words, sizeof(words), "%s", nbd_words());
    nbd_close(link->h);
    link->h = NULL;
    bool ours = link->server.pid > 0;
    if (r == -ETIMEDOUT)
        nbd_server_kill(&link->server);
    if (ours)
        nbd_server_wait(&link->server); /* so that it has said all */
    if (ours && nbd_server_words(&link->server, link->path, words, sizeof(words)))
        return error_set(err, -EINVAL, "qemu-nbd: %s", words);
    if (r == -ETIMEDOUT)
        return error_set(err, r, "the NBD server does not answer (waited %d s)", NBD_HANDSHAKE_MS / 1000);
    return error_set(err, r, "%s: %s", ours ? "qemu-nbd hung up" : "no NBD server", words);
}

static int connect_link(struct nbd_link *link, const struct blockdev_config *config, const char *format, struct error *err)
{
    AUTO_CLOSE int sock = -1;
    int r = format ? nbd_server_start(&link->server, config->path, format, config->read_only || config->overlay, &sock, err) : 0;
    if (r < 0)
        return r;
    link->h = nbd_create();
    if (!link->h)
        return error_set(err, -ENOMEM, "libnbd: %s", nbd_words());
    r = format ? nbd_aio_connect_socket(link->h, sock) : nbd_aio_connect_uri(link->h, config->path);
    if (r < 0)
        return server_error(link, nbd_get_errno() ? -nbd_get_errno() : -EIO, err);
    if (format)
        (void)take_fd(&sock);
    r = go_on(link, nbd_aio_is_ready, NBD_HANDSHAKE_MS);
    return r < 0 ? server_error(link, r, err) : 0;
}

static unsigned block_size(struct nbd_link *link)
{
    int64_t size = nbd_get_block_size(link->h, LIBNBD_SIZE_PREFERRED);
    if (size < BLOCKDEV_SECTOR || (size & (size - 1)) != 0)
        return BLOCKDEV_SECTOR;
    return (unsigned)MIN(size, (int64_t)BLOCK_MAX);
}

static int check_blocks(struct nbd_link *link, struct error *err)
{
    int64_t least = nbd_get_block_size(link->h, LIBNBD_SIZE_MINIMUM), most = nbd_get_block_size(link->h, LIBNBD_SIZE_MAXIMUM);
    if (least > BLOCKDEV_SECTOR)
        return error_set(err, -EINVAL, "the NBD server wants blocks of %" PRId64 " bytes, a disk's have %d", least,
                         BLOCKDEV_SECTOR);
    if (most > 0 && most < BLOCKDEV_SECTOR)
        return error_set(err, -EINVAL, "the NBD server takes %" PRId64 " bytes at most", most);
    link->block_size = block_size(link);
    link->transfer_max = TRANSFER_MAX;
    if (most > 0 && most < TRANSFER_MAX)
        link->transfer_max = (unsigned)ALIGN_DOWN(most, BLOCKDEV_SECTOR);
    return 0;
}

static int learn(struct nbd_link *link, bool read_only, struct error *err)
{
    int64_t size = nbd_get_size(link->h);
    if (size < 0)
        return error_set(err, -EINVAL, "the NBD server says a size that no disk has");
    if (size == 0)
        return error_set(err, -EINVAL, "is empty");
    if (size % BLOCKDEV_SECTOR)
        return error_set(err, -EINVAL, "its size of %" PRId64 " bytes is not a multiple of %d", size, BLOCKDEV_SECTOR);
    if (!read_only && nbd_is_read_only(link->h) != 0)
        return error_set(err, -EROFS, "the NBD server lets nobody write (use ,ro or ,overlay?)");
    link->size = (uint64_t)size;
    link->flush = nbd_can_flush(link->h) == 1;
    link->trim = nbd_can_trim(link->h) == 1;
    link->zero = nbd_can_zero(link->h) == 1;
    link->force = !link->flush && nbd_can_fua(link->h) == 1;
    return check_blocks(link, err);
}

int nbd_link_open(const struct blockdev_config *config, const char *format, struct nbd_link **ret_link, struct error *err)
{
    struct nbd_link *link = calloc(1, sizeof(*link));
    if (!link)
        return error_set(err, -ENOMEM, "out of memory for a disk");
    link->server = NBD_SERVER_NONE;
    link->silence_ms = NBD_SILENCE_MS;
    link->path = strdup(config->path);
    int r = link->path ? nbd_lib_load(err) : error_set(err, -ENOMEM, "out of memory for a disk");
    if (r == 0)
        r = connect_link(link, config, format, err);
    if (r == 0)
        r = learn(link, config->read_only || config->overlay, err);
    if (r < 0) {
        nbd_link_close(link);
        return r;
    }
    *ret_link = link;
    return 0;
}

/* ---- afterwards ---- */

void nbd_link_give_up(struct nbd_link *link, const char *why)
{
    char words[WORDS];
    if (!link->h)
        return;
    (void)snprintf(words, sizeof(words), "%s", why ? why : nbd_aio_is_closed(link->h) == 1 ? "it hung up" : nbd_words());
    nbd_close(link->h);
    link->h = NULL;
    log_warn("disk '%s': its server is gone (%s): the guest gets I/O errors", link->path, words);
}

void nbd_link_close(struct nbd_link *link)
{
    if (!link)
        return;
    if (link->h && nbd_aio_is_ready(link->h) == 1 && nbd_aio_disconnect(link->h, 0) == 0)
        (void)go_on(link, nbd_aio_is_closed, GOODBYE_MS); /* what the guest wanted on disk it has flushed */
    nbd_close(link->h);
    nbd_server_done(&link->server);
    free(link->path);
    free(link);
}

static int read_piece(struct nbd_link *link, void *to, size_t len, uint64_t offset)
{
    const ns_t end = clock_host_ns() + (ns_t)link->silence_ms * NS_PER_MS;
    int64_t cookie = nbd_aio_pread(link->h, to, len, offset, NBD_NULL_COMPLETION, 0);
    if (cookie < 0)
        return nbd_get_errno() ? -nbd_get_errno() : -EIO;
    for (;;) {
        int r = nbd_aio_command_completed(link->h, (uint64_t)cookie);
        if (r > 0 || (r < 0 && !is_over(link)))
            return r > 0 ? 0 : nbd_get_errno() ? -nbd_get_errno() : -EIO;
        ns_t left = (end - clock_host_ns()) / NS_PER_MS;
        if (r == 0 && left > 0 && nbd_poll(link->h, (int)left) >= 0)
            continue;
        nbd_link_give_up(link, left > 0 ? NULL : "it does not answer"); /* for `to` must not be written to later */
        return -EIO;
    }
}

static int read_flat(struct nbd_link *link, uint8_t *to, size_t len, uint64_t offset)
{
    int r = 0;
    for (size_t done = 0, n; done < len && r == 0; done += n) {
        n = MIN(len - done, (size_t)link->transfer_max);
        r = link->h ? read_piece(link, to + done, n, offset + done) : -EIO;
    }
    return r;
}

/* By way of a buffer of transfer_max bytes: pieces need not be of whole blocks, what goes over the wire does. */
static int read_scattered(struct nbd_link *link, const struct iovec *iov, unsigned nr, uint64_t offset, uint8_t *buffer)
{
    const size_t len = iovec_len(iov, nr);
    int r = 0;
    for (size_t done = 0, n; done < len && r == 0; done += n) {
        n = MIN(len - done, (size_t)link->transfer_max);
        r = read_flat(link, buffer, n, offset + done);
        if (r == 0)
            iovec_scatter(iov, nr, done, buffer, n);
    }
    return r;
}

int nbd_link_read(struct nbd_link *link, const struct iovec *iov, unsigned nr, uint64_t offset)
{
    if (nr == 1)
        return read_flat(link, iov->iov_base, iov->iov_len, offset);
    uint8_t *buffer = malloc(link->transfer_max);
    if (!buffer)
        return -ENOMEM;
    int r = read_scattered(link, iov, nr, offset, buffer);
    free(buffer);
    return r;
}
