/* SPDX-License-Identifier: MIT */
/*
 * What `doppel run --serial` and --console connect COM1 and the virtio console to.
 */
#include "cli/run_serial.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "backend/chardev.h"
#include "base/cleanup.h"

#define UNIX "unix:"

bool run_serial_is_stdio(const char *what)
{
    return strcmp(what, "stdio") == 0;
}

static int open_file(struct loop *loop, const char *path, struct chardev **ret_dev, int *ret_fd, struct error *err)
{
    AUTO_CLOSE int fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_NONBLOCK | O_NOCTTY | O_CLOEXEC, 0666);
    if (fd < 0)
        return error_set(err, -errno, "'%s': %s", path, strerror(errno));
    int r = chardev_fd_new(loop, -1, fd, ret_dev, err);
    if (r == 0)
        *ret_fd = take_fd(&fd);
    return r;
}

static int open_pty(struct loop *loop, const char *option, struct chardev **ret_dev, struct error *err)
{
    char name[128];
    int r = chardev_pty_new(loop, name, sizeof(name), ret_dev, err);
    if (r == 0)
        (void)fprintf(stderr, "doppel: the %s console is %s\n", strcmp(option, "--serial") == 0 ? "serial" : "virtio", name);
    return r;
}

int run_serial_open(struct loop *loop, const char *option, const char *what, struct chardev **ret_dev, int *ret_fd,
                    struct error *err)
{
    int r = 0;
    *ret_fd = -1;
    if (strcmp(what, "none") == 0)
        *ret_dev = NULL;
    else if (run_serial_is_stdio(what))
        r = chardev_fd_new(loop, STDIN_FILENO, STDOUT_FILENO, ret_dev, err);
    else if (strcmp(what, "pty") == 0)
        r = open_pty(loop, option, ret_dev, err);
    else if (strncmp(what, UNIX, strlen(UNIX)) == 0)
        r = chardev_unix_new(loop, what + strlen(UNIX), ret_dev, err);
    else
        r = open_file(loop, what, ret_dev, ret_fd, err);
    return r < 0 ? error_prefix(err, "%s", option) : 0;
}
