/* SPDX-License-Identifier: MIT */
/*
 * Fuzzer of what processes say to the virtual sockets: clients of the socket (the line that names a port), a subverted machine to
 * its broker, and a broker that answers anything to the machine.
 *
 * Ports are compared with those that a second reader of the line finds; no descriptor may be lost, whatever comes. Meant for an
 * ASan and UBSan build.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "backend/vsock_broker.h"
#include "backend/vsockdev.h"
#include "base/checked.h"
#include "base/loop.h"
#include "base/unixsock.h"
#include "fuzz.h"

enum { TEXT = 64, HEARD = 32 /* bytes in which the line has to end */, PORT = 7 };

static char folder[] = "/tmp/vsock_fuzz.XXXXXX", path[64], path_of_port[80];
static struct loop *loop;
static struct vsockdev *dev;
static int idle_fd, listener, broker = -1;
static struct {
    unsigned times;
    uint32_t port;
} incoming;

static void finding(const char *what)
{
    printf("FINDING: %s\n", what);
    (void)fflush(stdout);
    abort();
}

static bool on_incoming(void *opaque, unsigned stream, uint32_t port)
{
    (void)opaque;
    (void)stream;
    incoming.times++;
    incoming.port = port;
    return false;
}

static void on_ready(void *opaque, unsigned stream, unsigned events)
{
    (void)opaque;
    (void)stream;
    (void)events;
    finding("a stream without a port is ready");
}

static const struct vsockdev_front front = { .incoming = on_incoming, .ready = on_ready };

static void on_idle(void *opaque, uint32_t events)
{
    uint64_t count;
    (void)opaque;
    (void)events;
    if (read(idle_fd, &count, sizeof(count)) > 0)
        loop_quit(loop);
}

/* Lets the device see what there is. */
static void pump(void)
{
    const uint64_t one = 1;
    for (unsigned i = 0; i < 2; i++) {
        if (write(idle_fd, &one, sizeof(one)) < 0)
            abort();
        loop_run(loop);
    }
}

static unsigned open_files(void)
{
    unsigned n = 0;
    DIR *d = opendir("/proc/self/fd");
    while (d && readdir(d))
        n++;
    if (d)
        (void)closedir(d);
    return n;
}

/* ---- clients ---- */

static size_t make_line(struct fuzz *f, char text[TEXT])
{
    static const char *const words[] = { "CONNECT ", "CONNECT", "connect ", "CONNECT 0", "", "OK " };
    static const char *const numbers[] = { "7",  "4294967295", "4294967296", "18446744073709551623", "0000000000000001", "-1",
                                           "+1", " 1",         "1 " };
    int n = snprintf(text, TEXT, "%s", words[fuzz_below(f, 8) < 5 ? 0 : fuzz_below(f, ARRAY_SIZE(words))]);
    if (fuzz_below(f, 2))
        n += snprintf(text + n, TEXT - (size_t)n, "%s", numbers[fuzz_below(f, ARRAY_SIZE(numbers))]);
    else
        n += snprintf(text + n, TEXT - (size_t)n, "%lu", (unsigned long)(fuzz_u64(f) >> fuzz_below(f, 64)));
    if (fuzz_below(f, 8))
        text[n++] = '\n';
    while (fuzz_below(f, 4) == 0 && n < TEXT)
        text[n++] = (char)fuzz_u64(f);
    for (uint64_t k = fuzz_below(f, 6) == 0 ? fuzz_below(f, 3) : 0; k > 0; k--)
        text[fuzz_below(f, (uint64_t)n)] = (char)fuzz_u64(f);
    return (size_t)n;
}

/* As the contract has it: "CONNECT ", digits, a newline, all in what is heard of the line; the number one of 32 bits. */
static bool names_port(const char *text, size_t len, uint32_t *ret_port)
{
    char line[HEARD + 1] = "", digits[HEARD + 1] = "";
    const char *end = memchr(text, '\n', MIN(len, (size_t)HEARD));
    if (!end)
        return false;
    memcpy(line, text, (size_t)(end - text));
    if (strlen(line) != (size_t)(end - text) || sscanf(line, "CONNECT %[0-9]", digits) != 1)
        return false;
    if (strncmp(line, "CONNECT ", 8) != 0 || strcmp(line + 8, digits) != 0)
        return false;
    errno = 0;
    unsigned long port = strtoul(digits, NULL, 10);
    *ret_port = (uint32_t)port;
    return errno == 0 && port <= UINT32_MAX;
}

static void one_client(struct fuzz *f)
{
    char text[TEXT];
    uint32_t port = 0;
    int fd;
    size_t len = make_line(f, text), sent = 0;
    incoming.times = 0;
    if (unixsock_connect(path, &fd, NULL) < 0)
        abort();
    while (sent < len) {
        size_t part = fuzz_below(f, 3) ? len - sent : 1 + fuzz_below(f, len - sent);
        ssize_t n = send(fd, text + sent, part, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n <= 0)
            break; /* it has heard enough */
        sent += (size_t)n;
        if (fuzz_below(f, 2))
            pump();
    }
    if (fuzz_below(f, 4) == 0)
        (void)shutdown(fd, SHUT_WR);
    pump();
    bool want = names_port(text, sent, &port);
    if (incoming.times != want || (want && incoming.port != port)) {
        printf("'%.*s': %u times, port %u\n", (int)sent, text, incoming.times, incoming.port);
        finding("a line was read as another port, or none, or one where there is none");
    }
    (void)close(fd);
    pump();
}

/* ---- the broker, asked by a subverted machine ---- */

static void ask_broker(struct fuzz *f)
{
    uint8_t nonsense[64];
    if (broker < 0 && vsock_broker_new(path, &broker, NULL) < 0)
        abort();
    for (uint64_t k = fuzz_below(f, 8); k > 0; k--) {
        size_t len = 1 + fuzz_below(f, sizeof(nonsense));
        if (len == sizeof(uint32_t))
            len++; /* that would be a question */
        for (size_t i = 0; i < len; i++)
            nonsense[i] = (uint8_t)fuzz_u64(f);
        if (send(broker, nonsense, len, MSG_NOSIGNAL) != (ssize_t)len)
            finding("the broker is gone");
    }
    uint32_t port = fuzz_below(f, 2) ? PORT : (uint32_t)fuzz_u64(f);
    int r = vsock_broker_connect(broker, port);
    if (port == PORT ? r < 0 && r != -EAGAIN : r != -ENOENT) {
        printf("port %u: %d\n", port, r);
        finding("the broker answers something else");
    }
    if (r >= 0)
        (void)close(r);
    int taken = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    if ((taken >= 0) != (r >= 0))
        finding("the broker connects what it does not say, or says what it does not");
    if (taken >= 0)
        (void)close(taken);
    if (fuzz_below(f, 64) == 0 && send(broker, "", 0, MSG_NOSIGNAL) == 0) { /* that ends it, and nothing else */
        if (vsock_broker_connect(broker, PORT) != -ECONNREFUSED)
            finding("a broker that has ended answers");
        (void)close(broker);
        broker = -1;
    }
}

/* ---- a broker that answers anything ---- */

static void answer_anything(struct fuzz *f)
{
    int pair[2], fds[4] = { 0, 0, 0, 0 };
    int32_t answer[3] = { (int32_t)(fuzz_below(f, 2) ? 0 : fuzz_u64(f)), (int32_t)fuzz_u64(f), 0 };
    _Alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof(fds))];
    struct iovec iov = { .iov_base = answer, .iov_len = fuzz_below(f, 4) ? sizeof(answer[0]) : fuzz_below(f, sizeof(answer)) };
    struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };
    const unsigned nr = (unsigned)fuzz_below(f, 5);
    if (nr > 0) {
        msg.msg_control = control;
        msg.msg_controllen = CMSG_SPACE(nr * sizeof(int));
        struct cmsghdr *c = CMSG_FIRSTHDR(&msg);
        *c = (struct cmsghdr){ .cmsg_len = CMSG_LEN(nr * sizeof(int)), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS };
        memcpy(CMSG_DATA(c), fds, nr * sizeof(int));
    }
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0 || sendmsg(pair[1], &msg, MSG_NOSIGNAL) < 0)
        abort();
    int r = vsock_broker_connect(pair[0], PORT);
    if (r >= 0 && (answer[0] != 0 || nr == 0 || fcntl(r, F_GETFD) < 0 || !(fcntl(r, F_GETFD) & FD_CLOEXEC)))
        finding("a connection that is none");
    if (r >= 0)
        (void)close(r);
    (void)close(pair[0]);
    (void)close(pair[1]);
}

static void set_up(void)
{
    if (!mkdtemp(folder) || loop_new(&loop, NULL) < 0)
        abort();
    (void)snprintf(path, sizeof(path), "%s/v", folder);
    (void)snprintf(path_of_port, sizeof(path_of_port), "%s_%d", path, PORT);
    idle_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (idle_fd < 0 || loop_add_fd(loop, idle_fd, EPOLLIN, on_idle, NULL, NULL) < 0
        || vsockdev_unix_new(loop, path, &dev, NULL) < 0 || unixsock_listen(path_of_port, &listener, NULL) < 0)
        abort();
    vsockdev_attach(dev, NULL, &front, NULL);
}

static void tear_down(void)
{
    if (broker >= 0)
        (void)close(broker);
    vsockdev_free(dev);
    loop_free(loop);
    (void)close(idle_fd);
    (void)close(listener);
    (void)unlink(path_of_port);
    (void)rmdir(folder);
}

int main(int argc, char **argv)
{
    struct fuzz f;
    fuzz_start(&f, argc, argv, 10);
    set_up();
    while (fuzz_more(&f)) {
        const unsigned before = open_files() - (broker >= 0);
        const uint64_t what = fuzz_below(&f, 3);
        switch (what) {
        case 0: one_client(&f); break;
        case 1: ask_broker(&f); break;
        case 2: answer_anything(&f); break;
        }
        if (open_files() - (broker >= 0) != before)
            finding(what == 0 ? "clients lose a descriptor" : what == 1 ? "a question loses one" : "an answer loses one");
    }
    tear_down();
    return 0;
}
