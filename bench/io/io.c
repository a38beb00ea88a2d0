/* SPDX-License-Identifier: MIT */
/*
 * Moves data and times it: disks, TCP. The same program runs in every guest, and on the host as the other end of a connection.
 *
 * usage:
 *     io fill FILE MB                       write the pattern to a file (host)
 *     io read FILE MB KB direct|cached      sequential, KB a call
 *     io write FILE MB KB direct|cached     sequential, to the end of fdatasync
 *     io random-read FILE MB N DEPTH        N blocks of 4 KiB at random places, DEPTH under way at once (Linux AIO, O_DIRECT)
 *     io random-write FILE MB N DEPTH       the same, ends with fdatasync
 *     io serve                              the other end of the three below; prints its port
 *     io send ADDRESS PORT MB               until the other end has said that it has all
 *     io receive ADDRESS PORT MB
 *     io ask ADDRESS PORT N                 one byte there, one byte back, N times
 * The last line of output is "CHECKSUM FIGURE": a number that depends on the data that came (the same everywhere), and MB (10^6)
 * or operations a second. Disk data is a pattern of its place, of which one word in 4 KiB is checked, so that checking costs
 * nothing.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/aio_abi.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { BLOCK = 4096, DEPTH_MAX = 256, CHUNK = 128 << 10, BACKLOG = 8 };
static const uint64_t MB = 1000000, MIB = 1 << 20;

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void fail(const char *what)
{
    fprintf(stderr, "io: %s: %s\n", what, errno ? strerror(errno) : "the data is wrong");
    exit(1);
}

static void report(uint64_t checksum, double amount, double seconds)
{
    printf("%016llx %.3f\n", (unsigned long long)checksum, amount / seconds);
}

/* The first word of the block of the disk. */
static uint64_t pattern(uint64_t block)
{
    block = (block + 1) * 0x9e3779b97f4a7c15ULL;
    return block ^ block >> 29;
}

static void make(uint8_t *buf, uint64_t offset, size_t len)
{
    for (size_t at = 0; at < len; at += BLOCK) {
        uint64_t word = pattern((offset + at) / BLOCK);
        memcpy(buf + at, &word, sizeof(word));
    }
}

static uint64_t check(const uint8_t *buf, uint64_t offset, size_t len)
{
    uint64_t sum = 0, word;
    for (size_t at = 0; at < len; at += BLOCK) {
        memcpy(&word, buf + at, sizeof(word));
        errno = 0;
        if (word != pattern((offset + at) / BLOCK))
            fail("check");
        sum += word;
    }
    return sum;
}

static uint8_t *buffer(size_t len)
{
    uint8_t *buf = aligned_alloc(BLOCK, len);
    if (!buf)
        fail("memory");
    memset(buf, 0x5a, len);
    return buf;
}

static int open_disk(const char *path, int flags)
{
    int fd = open(path, flags, 0644);
    if (fd < 0)
        fail(path);
    return fd;
}

static void sequential(const char *path, uint64_t total, size_t step, int write_it, int flags)
{
    uint8_t *buf = buffer(step);
    int fd = open_disk(path, flags | (write_it ? O_WRONLY : O_RDONLY));
    uint64_t sum = 0;
    double begin = now();
    for (uint64_t at = 0; at < total; at += step) {
        if (write_it)
            make(buf, at, step);
        ssize_t n = write_it ? pwrite(fd, buf, step, (off_t)at) : pread(fd, buf, step, (off_t)at);
        if (n != (ssize_t)step)
            fail(path);
        if (!write_it)
            sum += check(buf, at, step);
    }
    if (write_it && fdatasync(fd) < 0)
        fail(path);
    report(sum, (double)(total / MIB * MIB) / (double)MB, now() - begin);
}

static long submit(aio_context_t ctx, struct iocb **list, long nr)
{
    return syscall(SYS_io_submit, ctx, nr, list);
}

static uint64_t next_place(uint64_t *seed, uint64_t blocks)
{
    *seed = *seed * 6364136223846793005ULL + 1442695040888963407ULL;
    return (*seed >> 33) % blocks;
}

/* Keeps `depth` requests under way until n have ended. */
static void random_blocks(const char *path, uint64_t total, unsigned n, unsigned depth, int write_it)
{
    static struct iocb cb[DEPTH_MAX];
    struct io_event event[DEPTH_MAX];
    struct iocb *list[DEPTH_MAX];
    aio_context_t ctx = 0;
    uint64_t seed = 42, sum = 0;
    uint8_t *buf = buffer((size_t)depth * BLOCK);
    int fd = open_disk(path, O_RDWR | O_DIRECT);
    if (depth > DEPTH_MAX || syscall(SYS_io_setup, depth, &ctx) < 0)
        fail("io_setup");
    unsigned begun = 0, ended = 0, ready = depth;
    for (unsigned i = 0; i < depth; i++) {
        cb[i] = (struct iocb){ .aio_lio_opcode = write_it ? IOCB_CMD_PWRITE : IOCB_CMD_PREAD,
                               .aio_fildes = (uint32_t)fd,
                               .aio_buf = (uintptr_t)(buf + (size_t)i * BLOCK),
                               .aio_nbytes = BLOCK,
                               .aio_data = i };
        list[i] = &cb[i];
    }
    double begin = now();
    while (ended < n) {
        unsigned more = ready < n - begun ? ready : n - begun;
        for (unsigned i = 0; i < more; i++) {
            list[i]->aio_offset = (int64_t)(next_place(&seed, total / BLOCK) * BLOCK);
            if (write_it)
                make((uint8_t *)(uintptr_t)list[i]->aio_buf, (uint64_t)list[i]->aio_offset, BLOCK);
        }
        if (more && submit(ctx, list, more) != (long)more)
            fail("io_submit");
        begun += more;
        long got = syscall(SYS_io_getevents, ctx, 1, depth, event, NULL);
        if (got <= 0)
            fail("io_getevents");
        for (long i = 0; i < got; i++) {
            struct iocb *one = &cb[event[i].data];
            if (event[i].res != BLOCK)
                fail(path);
            if (!write_it)
                sum += check((const uint8_t *)(uintptr_t)one->aio_buf, (uint64_t)one->aio_offset, BLOCK);
            list[i] = one;
        }
        ready = (unsigned)got;
        ended += ready;
    }
    if (write_it && fdatasync(fd) < 0)
        fail(path);
    report(sum, n, now() - begin);
}

/* ---- TCP ---- */

/* What the guest asks for: `count` is bytes, or questions. */
struct request {
    uint64_t what, count;
};
enum { SINK, SOURCE, ECHO };

static void put(int fd, const void *data, size_t len)
{
    for (const char *at = data; len > 0;) {
        ssize_t n = send(fd, at, len, MSG_NOSIGNAL);
        if (n <= 0)
            fail("send");
        at += n;
        len -= (size_t)n;
    }
}

static void get(int fd, void *data, size_t len)
{
    for (char *at = data; len > 0;) {
        ssize_t n = recv(fd, at, len, 0);
        if (n <= 0)
            fail("receive");
        at += n;
        len -= (size_t)n;
    }
}

/* A stream has the pattern of a disk: it shows what was lost or came twice. */
static void give(int fd, uint64_t total)
{
    uint8_t *buf = buffer(CHUNK);
    for (uint64_t at = 0; at < total; at += CHUNK) {
        size_t len = total - at < CHUNK ? (size_t)(total - at) : CHUNK;
        make(buf, at, len);
        put(fd, buf, len);
    }
    free(buf);
}

static uint64_t take(int fd, uint64_t total)
{
    uint8_t *buf = buffer(CHUNK);
    uint64_t sum = 0;
    for (uint64_t at = 0; at < total; at += CHUNK) {
        size_t len = total - at < CHUNK ? (size_t)(total - at) : CHUNK;
        get(fd, buf, len);
        sum += check(buf, at, len / BLOCK * BLOCK);
    }
    free(buf);
    return sum;
}

static void answer(int fd)
{
    struct request r;
    char byte;
    uint64_t sum = 0;
    get(fd, &r, sizeof(r));
    if (r.what == SINK) {
        sum = take(fd, r.count);
        put(fd, &sum, sizeof(sum));
    } else if (r.what == SOURCE) {
        give(fd, r.count);
    } else {
        for (uint64_t i = 0; i < r.count; i++) {
            get(fd, &byte, 1);
            put(fd, &byte, 1);
        }
    }
}

static void serve(void)
{
    struct sockaddr_in at = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t len = sizeof(at);
    const int one = 1;
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    if (fd < 0 || bind(fd, (struct sockaddr *)&at, sizeof(at)) < 0 || listen(fd, BACKLOG) < 0
        || getsockname(fd, (struct sockaddr *)&at, &len) < 0)
        fail("listen");
    printf("%u\n", ntohs(at.sin_port));
    fflush(stdout);
    signal(SIGCHLD, SIG_IGN);
    for (;;) {
        int peer = accept(fd, NULL, NULL);
        if (peer < 0)
            continue;
        (void)setsockopt(peer, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
        if (fork() == 0) {
            answer(peer);
            exit(0);
        }
        close(peer);
    }
}

static int reach(const char *address, const char *port)
{
    struct sockaddr_in to = { .sin_family = AF_INET,
                              .sin_port = htons((uint16_t)atoi(port)),
                              .sin_addr.s_addr = inet_addr(address) };
    const int one = 1;
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    if (fd < 0 || connect(fd, (struct sockaddr *)&to, sizeof(to)) < 0)
        fail("connect");
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    return fd;
}

static void talk(int fd, unsigned what, uint64_t count)
{
    const struct request r = { what, what == ECHO ? count : count * MIB };
    uint64_t sum = 0;
    double begin = now();
    put(fd, &r, sizeof(r));
    if (what == SINK) {
        give(fd, r.count);
        get(fd, &sum, sizeof(sum));
    } else if (what == SOURCE) {
        sum = take(fd, r.count);
    } else {
        for (uint64_t i = 0; i < count; i++) {
            uint8_t byte = (uint8_t)i, back;
            put(fd, &byte, 1);
            get(fd, &back, 1);
            errno = 0;
            if (back != byte)
                fail("answer");
            sum += back;
        }
    }
    report(sum, what == ECHO ? (double)count : (double)r.count / (double)MB, now() - begin);
}

int main(int argc, char **argv)
{
    const char *verb = argc > 1 ? argv[1] : "";
    const uint64_t number = argc > 3 ? strtoull(argv[3], NULL, 10) : 0;
    int is_write = strstr(verb, "write") != NULL;
    if (strcmp(verb, "fill") == 0 && argc == 4)
        sequential(argv[2], number * MIB, MIB, 1, O_CREAT);
    else if ((strcmp(verb, "read") == 0 || strcmp(verb, "write") == 0) && argc == 6)
        sequential(argv[2], number * MIB, (size_t)atoi(argv[4]) << 10, is_write, strcmp(argv[5], "direct") == 0 ? O_DIRECT : 0);
    else if (strncmp(verb, "random-", 7) == 0 && argc == 6)
        random_blocks(argv[2], number * MIB, (unsigned)atoi(argv[4]), (unsigned)atoi(argv[5]), is_write);
    else if (strcmp(verb, "serve") == 0)
        serve();
    else if (strcmp(verb, "send") == 0 && argc == 5)
        talk(reach(argv[2], argv[3]), SINK, strtoull(argv[4], NULL, 10));
    else if (strcmp(verb, "receive") == 0 && argc == 5)
        talk(reach(argv[2], argv[3]), SOURCE, strtoull(argv[4], NULL, 10));
    else if (strcmp(verb, "ask") == 0 && argc == 5)
        talk(reach(argv[2], argv[3]), ECHO, strtoull(argv[4], NULL, 10));
    else
        fail("usage: see bench/io/io.c");
    return 0;
}
