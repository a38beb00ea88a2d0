/* SPDX-License-Identifier: MIT */
/*
 * A Linux program that writes numbered records with checksums, and says of each that it is safe when the kernel has said so.
 *
 * usage: disk_writer FOLDER START. Runs until it is killed, with its machine: tests/e2e/disk_kill.py then holds what it said
 * against what is on the disk. Numbers begin at START, above all that was used before. Three writers, each with a folder of its
 * own: log.START   records one behind the other, fsync() after each slots       two places for each slot, written by turns (the
 * older one is overwritten), by fdatasync(), O_DSYNC or O_DIRECT file.K      a record that is replaced: new file, fsync(),
 * rename(), fsync() of the folder After that a line, "@WRITER KIND PLACE NUMBER", in one write(). A fourth process only makes
 * noise: writes, holes and truncations that nobody waits for.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum { WRITERS = 3, SLOTS = 16, FILES = 4, ALIGNMENT = 4096, PLACE = 64 << 10, LOG_MAX = 2 << 20, NOISE = 4 << 20 };
#define MAGIC 0x44524352U /* "RCRD" */

/* In front of each record's contents. The checksum is the CRC-32 of all behind it. */
struct header {
    uint32_t magic, crc;
    uint64_t number;
    uint32_t len, writer;
};

static _Alignas(ALIGNMENT) uint8_t record[PLACE];
static uint32_t crc_table[256];
static uint64_t random_state;
static unsigned me;
static char root[256];

static void give_up(const char *what)
{
    char line[128];
    int n = snprintf(line, sizeof(line), "@%u broken %s: %s\n", me, what, strerror(errno));
    (void)!write(1, line, (size_t)n);
    _exit(1);
}

static int check(int result, const char *what)
{
    if (result < 0)
        give_up(what);
    return result;
}

/* xorshift64 */
static uint64_t draw(void)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return random_state;
}

/* As zlib has it. */
static uint32_t crc32(const uint8_t *p, size_t len)
{
    uint32_t c = ~0U;
    for (size_t i = 0; i < len; i++)
        c = crc_table[(c ^ p[i]) & 0xff] ^ c >> 8;
    return ~c;
}

static void make_crc_table(void)
{
    for (uint32_t i = 0; i < 256; i++) {
        uint32_t c = i;
        for (int k = 0; k < 8; k++)
            c = c & 1 ? c >> 1 ^ 0xedb88320U : c >> 1;
        crc_table[i] = c;
    }
}

/* Returns the record's length. */
static size_t make_record(uint64_t number)
{
    size_t len = draw() % 4 ? draw() % 3000 : draw() % (PLACE - sizeof(struct header));
    uint8_t *data = record + sizeof(struct header);
    for (size_t i = 0; i < len; i += sizeof(uint64_t)) {
        uint64_t r = draw();
        memcpy(data + i, &r, len - i < sizeof(r) ? len - i : sizeof(r));
    }
    struct header h = { .magic = MAGIC, .number = number, .len = (uint32_t)len, .writer = me };
    memcpy(record, &h, sizeof(h));
    h.crc = crc32(record + offsetof(struct header, number), sizeof(h) - offsetof(struct header, number) + len);
    memcpy(record, &h, sizeof(h));
    return sizeof(h) + len;
}

static void write_all(int fd, size_t len, off_t offset)
{
    for (size_t done = 0; done < len;) {
        ssize_t n = offset < 0 ? write(fd, record + done, len - done)
                               : pwrite(fd, record + done, len - done, offset + (off_t)done);
        if (n <= 0)
            give_up("write");
        done += (size_t)n;
    }
}

static void say(char kind, uint64_t place, uint64_t number)
{
    char line[80];
    int n = snprintf(line, sizeof(line), "@%u %c %" PRIu64 " %" PRIu64 "\n", me, kind, place, number);
    if (write(1, line, (size_t)n) != n)
        _exit(1);
}

static void sync_folder(const char *path)
{
    int fd = check(open(path, O_RDONLY | O_DIRECTORY), path);
    check(fsync(fd), "fsync of a folder");
    close(fd);
}

static int make_file(const char *name, int flags)
{
    return check(open(name, O_RDWR | O_CREAT | flags, 0644), name);
}

/* ---- the three ways ---- */

static int append(int fd, uint64_t start, uint64_t number)
{
    struct stat st;
    check(fstat(fd, &st), "fstat");
    if (st.st_size > LOG_MAX)
        return 0;
    write_all(fd, make_record(number), -1);
    check(fsync(fd), "fsync");
    say('a', start, number);
    return 1;
}

/* The number of the record at a place, 0 where there is none. A damaged one is overwritten before a good one. */
static uint64_t number_at(int fd, off_t offset)
{
    struct header h;
    ssize_t n = pread(fd, record, PLACE, offset);
    if (n < (ssize_t)sizeof(h))
        return 0;
    memcpy(&h, record, sizeof(h));
    if (h.magic != MAGIC || h.len > (size_t)n - sizeof(h)
        || h.crc != crc32(record + offsetof(struct header, number), sizeof(h) - offsetof(struct header, number) + h.len))
        return 0;
    return h.number;
}

static void write_slot(const int fds[3], uint64_t number)
{
    uint64_t slot = draw() % SLOTS;
    int way = (int)(draw() % 3);
    off_t first = (off_t)slot * 2 * PLACE,
          at = number_at(fds[0], first) <= number_at(fds[0], first + PLACE) ? first : first + PLACE;
    size_t len = make_record(number);
    if (way == 2)
        len = (len + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
    write_all(fds[way], len, at);
    if (way != 1)
        check(fdatasync(fds[way]), "fdatasync");
    say('s', slot, number);
}

static void replace(uint64_t number)
{
    char name[32];
    uint64_t k = draw() % FILES;
    (void)snprintf(name, sizeof(name), "file.%" PRIu64, k);
    int fd = make_file("new", O_TRUNC);
    write_all(fd, make_record(number), -1);
    check(fsync(fd), "fsync");
    close(fd);
    check(rename("new", name), "rename");
    sync_folder(".");
    say('f', k, number);
}

static void enter(const char *what, unsigned n)
{
    char path[300];
    (void)snprintf(path, sizeof(path), "%s/%s%u", root, what, n);
    if (mkdir(path, 0755) < 0 && errno != EEXIST)
        give_up("mkdir");
    check(chdir(path), "chdir");
    sync_folder(root);
}

static void run_writer(uint64_t start)
{
    char name[40];
    enter("writer", me);
    (void)snprintf(name, sizeof(name), "log.%" PRIu64, start);
    int log = make_file(name, O_APPEND);
    int slots[3] = { make_file("slots", 0), make_file("slots", O_DSYNC), make_file("slots", O_DIRECT) };
    sync_folder(".");
    for (uint64_t number = start + 1;; number++) {
        uint64_t way = draw() % 5;
        if (way < 2 && append(log, start, number))
            continue;
        if (way < 4)
            write_slot(slots, number);
        else
            replace(number);
    }
}

static void make_noise(void)
{
    enter("noise", 0);
    int fd = make_file("noise", 0);
    for (unsigned i = 1;; i++) {
        off_t at = (off_t)(draw() % NOISE);
        size_t len = draw() % PLACE;
        int r = 0;
        if (i % 400 == 0)
            r = ftruncate(fd, at);
        else if (i % 16 == 0)
            r = fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, at, (off_t)len + 1);
        else
            write_all(fd, len, at);
        check(r, "noise");
        usleep(2000);
    }
}

int main(int argc, char **argv)
{
    if (argc != 3 || strlen(argv[1]) >= sizeof(root)) {
        (void)fprintf(stderr, "usage: disk_writer FOLDER START\n");
        return 2;
    }
    (void)snprintf(root, sizeof(root), "%s", argv[1]);
    uint64_t start = strtoull(argv[2], NULL, 10);
    make_crc_table();
    for (me = 0; me <= WRITERS; me++) {
        random_state = (start + 1) * 0x9e3779b97f4a7c15ULL + me;
        if (check(fork(), "fork") > 0)
            continue;
        check(prctl(PR_SET_PDEATHSIG, SIGKILL), "prctl");
        if (me < WRITERS)
            run_writer(start);
        else
            make_noise();
    }
    int status; /* one that ends is broken, and has said so */
    (void)wait(&status);
    return 1;
}
