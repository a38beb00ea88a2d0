/* SPDX-License-Identifier: MIT */
/*
 * Unix stream sockets with a name in the file system.
 *
 * A name is made and a dead one is removed under a lock on the folder (flock), so that of two processes that find the same dead
 * socket none removes the other's new one. The lock is only for us: a folder that cannot be opened goes without.
 */
#include "base/unixsock.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/cleanup.h"

enum { BACKLOG = 16 };

static int make_address(const char *path, struct sockaddr_un *ret_address, struct error *err)
{
    *ret_address = (struct sockaddr_un){ .sun_family = AF_UNIX };
    size_t len = strlen(path);
    if (len == 0 || len >= sizeof(ret_address->sun_path))
        return error_set(err, -ENAMETOOLONG, "socket '%s': a name has 1 to %zu characters", path,
                         sizeof(ret_address->sun_path) - 1);
    memcpy(ret_address->sun_path, path, len);
    return 0;
}

/* A socket, and the address for path. */
static int prepare(const char *path, struct sockaddr_un *ret_address, int *ret_fd, struct error *err)
{
    int r = make_address(path, ret_address, err);
    if (r < 0)
        return r;
    *ret_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    return *ret_fd < 0 ? error_set(err, -errno, "cannot make a Unix socket: %s", strerror(errno)) : 0;
}

/* The lock on path's folder, until the descriptor is closed; -1: none. */
static int lock_folder(const char *path)
{
    char folder[PATH_MAX];
    const char *slash = strrchr(path, '/');
    int len = slash ? (int)(slash - path) : 1;
    int n = snprintf(folder, sizeof(folder), "%.*s", len ? len : 1, slash ? path : ".");
    int fd = n > 0 && n < (int)sizeof(folder) ? open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
    if (fd >= 0)
        (void)flock(fd, LOCK_EX); /* without it there is only the race */
    return fd;
}

/* Whether there is a socket that refuses. */
static bool is_stale(const char *path)
{
    struct sockaddr_un address;
    struct stat st;
    AUTO_CLOSE int fd = -1;
    if (lstat(path, &st) < 0 || !S_ISSOCK(st.st_mode) || prepare(path, &address, &fd, NULL) < 0)
        return false;
    (void)fcntl(fd, F_SETFL, O_NONBLOCK); /* cannot fail; a full backlog is no refusal */
    return connect(fd, (const struct sockaddr *)&address, sizeof(address)) < 0 && errno == ECONNREFUSED;
}

bool unixsock_remove_stale(const char *path)
{
    AUTO_CLOSE int folder = lock_folder(path);
    (void)folder; /* held until we return */
    return is_stale(path) && unlink(path) == 0;
}

static int in_use(const char *path, struct error *err)
{
    struct stat st;
    if (lstat(path, &st) == 0 && !S_ISSOCK(st.st_mode))
        return error_set(err, -EEXIST, "socket '%s': there is a file of that name", path);
    return error_set(err, -EADDRINUSE, "socket '%s': somebody listens there already", path);
}

int unixsock_listen(const char *path, int *ret_fd, struct error *err)
{
    struct sockaddr_un address;
    AUTO_CLOSE int fd = -1;
    int r = prepare(path, &address, &fd, err);
    if (r < 0)
        return r;
    (void)fchmod(fd, 0600); /* bind(2) gives the file this mode */
    (void)fcntl(fd, F_SETFL, O_NONBLOCK);
    AUTO_CLOSE int folder = lock_folder(path);
    (void)folder; /* held until we return */
    r = bind(fd, (const struct sockaddr *)&address, sizeof(address));
    if (r < 0 && errno == EADDRINUSE) {
        if (!is_stale(path))
            return in_use(path, err);
        (void)unlink(path); /* if it stays, bind says so */
        r = bind(fd, (const struct sockaddr *)&address, sizeof(address));
    }
    if (r < 0 || listen(fd, BACKLOG) < 0)
        return error_set(err, -errno, "socket '%s': %s", path, strerror(errno));
    *ret_fd = take_fd(&fd);
    return 0;
}

int unixsock_connect(const char *path, int *ret_fd, struct error *err)
{
    struct sockaddr_un address;
    AUTO_CLOSE int fd = -1;
    int r = prepare(path, &address, &fd, err);
    if (r < 0)
        return r;
    if (connect(fd, (const struct sockaddr *)&address, sizeof(address)) < 0)
        return error_set(err, -errno, "socket '%s': %s", path, strerror(errno));
    *ret_fd = take_fd(&fd);
    return 0;
}
