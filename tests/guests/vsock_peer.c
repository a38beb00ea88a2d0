/* SPDX-License-Identifier: MIT */
/*
 * One end of a virtual socket inside a Linux guest, for the tests of virtio-vsock. Static, against the C library.
 *
 *   vsock_peer connect PORT   connects to the host's port: stdin goes there, then the end; what comes goes to stdout
 *   vsock_peer echo PORT N    listens on the guest's port, says "ready", and sends back what each of N connections sends
 *   vsock_peer refused PORT   says what connecting to the host's port fails with
 */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <linux/vm_sockets.h>

static void fail(const char *what)
{
    (void)fprintf(stderr, "vsock_peer: %s: %s\n", what, strerror(errno));
    exit(1);
}

static void write_all(int fd, const char *data, size_t len)
{
    while (len > 0) {
        ssize_t n = write(fd, data, len);
        if (n < 0)
            fail("write");
        data += n;
        len -= (size_t)n;
    }
}

/* Both directions at once, so that neither has to wait for the other. */
static void copy_both(int fd)
{
    static char bytes[64 << 10];
    struct pollfd p[] = { { .fd = STDIN_FILENO, .events = POLLIN }, { .fd = fd, .events = POLLIN } };
    for (;;) {
        if (poll(p, 2, -1) < 0)
            fail("poll");
        if (p[0].revents) {
            ssize_t n = read(STDIN_FILENO, bytes, sizeof(bytes));
            write_all(fd, bytes, n > 0 ? (size_t)n : 0);
            if (n <= 0) {
                (void)shutdown(fd, SHUT_WR);
                p[0].fd = -1;
            }
        }
        if (p[1].revents) {
            ssize_t n = read(fd, bytes, sizeof(bytes));
            if (n < 0)
                fail("read");
            if (n == 0)
                return;
            write_all(STDOUT_FILENO, bytes, (size_t)n);
        }
    }
}

static void echo(int listener)
{
    static char bytes[64 << 10];
    int fd = accept(listener, NULL, NULL);
    if (fd < 0)
        fail("accept");
    for (ssize_t n; (n = read(fd, bytes, sizeof(bytes))) > 0;)
        write_all(fd, bytes, (size_t)n);
    (void)close(fd);
}

int main(int argc, char **argv)
{
    const int port = argc > 2 ? atoi(argv[2]) : 0;
    struct sockaddr_vm address = { .svm_family = AF_VSOCK, .svm_cid = VMADDR_CID_HOST, .svm_port = (unsigned)port };
    int fd = socket(AF_VSOCK, SOCK_STREAM, 0);
    if (fd < 0)
        fail("socket");
    if (argc == 3 && strcmp(argv[1], "connect") == 0) {
        if (connect(fd, (const struct sockaddr *)&address, sizeof(address)) < 0)
            fail("connect");
        copy_both(fd);
    } else if (argc == 3 && strcmp(argv[1], "refused") == 0) {
        if (connect(fd, (const struct sockaddr *)&address, sizeof(address)) == 0)
            return 1;
        (void)puts(strerrorname_np(errno));
    } else if (argc == 4 && strcmp(argv[1], "echo") == 0) {
        address.svm_cid = VMADDR_CID_ANY;
        if (bind(fd, (const struct sockaddr *)&address, sizeof(address)) < 0 || listen(fd, 16) < 0)
            fail("listen");
        (void)puts("ready");
        (void)fflush(stdout);
        for (int i = 0; i < atoi(argv[3]); i++)
            echo(fd);
    } else {
        (void)fprintf(stderr, "usage: vsock_peer connect|refused PORT | echo PORT N\n");
        return 2;
    }
    return 0;
}
