/* SPDX-License-Identifier: MIT */
/*
 * Laws of shares: every operation on a folder of its own, requests that lie, and a host that swaps things meanwhile.
 *
 * Beside the share lies a folder `outside` with a secret: no request may read or change it.
 */
#include "backend/fs.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/checked.h"
#include "support/fuse_client.h"

enum { ROOT = FUSE_ROOT_ID, FILES = 64, RACES = 3000 };
#define SECRET "the secret"

static char base[64], share[80], outside[80];
static struct fuse_client cl;

static void open_share(bool read_only)
{
    const struct fs_config config = { .path = share, .read_only = read_only, .max_files = FILES };
    struct error err = { 0 };
    fs_free(cl.fs);
    memset(&cl, 0, sizeof(cl));
    if (fs_open(&config, NULL, &cl.fs, &err) < 0)
        fail_msg("%s", err.msg);
}

static char *at(const char *folder, const char *name)
{
    static char path[4][256];
    static unsigned turn;
    char *p = path[turn++ % 4];
    snprintf(p, sizeof(path[0]), "%s/%s", folder, name);
    return p;
}

static void put_file(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0644);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    close(fd);
}

static void check_file(const char *path, const char *text)
{
    char buf[256] = "";
    int fd = open(path, O_RDONLY);
    assert_true(fd >= 0);
    assert_int_equal(read(fd, buf, sizeof(buf) - 1), strlen(text));
    assert_string_equal(buf, text);
    close(fd);
}

static int setup(void **state)
{
    (void)state;
    strcpy(base, "/tmp/doppel-test-XXXXXX");
    if (!mkdtemp(base))
        return -1;
    strcpy(share, at(base, "share"));
    strcpy(outside, at(base, "outside"));
    mkdir(share, 0755);
    mkdir(outside, 0755);
    put_file(at(outside, "secret"), SECRET);
    open_share(false);
    return 0;
}

static int teardown(void **state)
{
    char command[256];
    (void)state;
    struct stat st;
    check_file(at(outside, "secret"), SECRET);
    assert_int_equal(stat(outside, &st), 0);
    assert_int_equal(st.st_nlink, 2);
    fs_free(cl.fs);
    cl.fs = NULL;
    snprintf(command, sizeof(command), "[ $(ls %s | wc -l) = 1 ] && rm -rf %s", outside, base);
    return system(command);
}

static uint64_t make_file(const char *name, const char *text)
{
    struct fuse_entry_out e;
    put_file(at(share, name), text);
    assert_int_equal(fuse_lookup(&cl, ROOT, name, &e), 0);
    return e.nodeid;
}

/* ---- operations ---- */

static void init_agrees_on_what_both_can(void **state)
{
    (void)state;
    struct fuse_init_in in = { .major = 7, .minor = 37, .max_readahead = 4096, .flags = ~0U };
    assert_int_equal(fuse_ask(&cl, FUSE_INIT, 0, &in, 16, NULL, 0), 0);
    const struct fuse_init_out *out = fuse_answer(&cl);
    assert_int_equal(out->major, 7);
    assert_int_equal(out->minor, 31);
    assert_true(out->flags & FUSE_MAX_PAGES);
    assert_false(out->flags & (FUSE_POSIX_LOCKS | FUSE_WRITEBACK_CACHE | FUSE_EXPORT_SUPPORT));
    in.major = 8;
    assert_int_equal(fuse_ask(&cl, FUSE_INIT, 0, &in, sizeof(in), NULL, 0), 0);
    in = (struct fuse_init_in){ .major = 7, .minor = 8 };
    assert_int_equal(fuse_ask(&cl, FUSE_INIT, 0, &in, sizeof(in), NULL, 0), -EPROTO);
}

static void files_are_made_written_and_read(void **state)
{
    (void)state;
    struct fuse_entry_out e;
    uint64_t fh;
    assert_int_equal(fuse_create(&cl, ROOT, "f", O_RDWR, 0100666, &e, &fh), 0);
    assert_int_equal(e.attr.mode, 0100666); /* the guest's umask, not ours */
    assert_int_equal(e.attr.uid, 0);
    assert_int_equal(fuse_write(&cl, fh, 3, "hello", 5), 5);
    assert_int_equal(fuse_read(&cl, FUSE_READ, e.nodeid, fh, 2, 100), 6);
    assert_memory_equal(fuse_answer(&cl), "\0hello", 6);
    assert_int_equal(fuse_read(&cl, FUSE_READ, e.nodeid, fh, 100, 100), 0);
    const struct fuse_fsync_in sync = { .fh = fh };
    assert_int_equal(fuse_ask(&cl, FUSE_FSYNC, e.nodeid, &sync, sizeof(sync), NULL, 0), 0);
    const struct fuse_write_in append = { .fh = fh, .offset = 0, .size = 1, .flags = O_APPEND };
    assert_int_equal(fuse_ask(&cl, FUSE_WRITE, 0, &append, sizeof(append), "!", 1), 0);
    assert_int_equal(fuse_release(&cl, fh), 0);
    assert_int_equal(fuse_release(&cl, fh), -EBADF);
    uint64_t node = e.nodeid;
    assert_int_equal(fuse_create(&cl, ROOT, "f", O_RDWR | O_EXCL, 0100666, &e, &fh), -EEXIST);
    assert_int_equal(fuse_write(&cl, fh, 0, "x", 1), -EBADF);
    assert_int_equal(fuse_open(&cl, FUSE_OPEN, node, O_RDONLY, &fh), 0);
    assert_int_equal(fuse_read(&cl, FUSE_READ, node, fh, 3, 100), 6);
    assert_memory_equal(fuse_answer(&cl), "hello!", 6);
    assert_int_equal(fuse_write(&cl, fh, 0, "x", 1), -EBADF); /* it was opened for reading */
    assert_int_equal(fuse_open(&cl, FUSE_OPEN, node, O_WRONLY | O_TRUNC, &fh), 0);
    check_file(at(share, "f"), "");
}

static void space_is_allocated_found_and_copied(void **state)
{
    (void)state;
    struct fuse_entry_out e;
    uint64_t fh, to;
    assert_int_equal(fuse_create(&cl, ROOT, "f", O_RDWR, 0100600, &e, &fh), 0);
    assert_int_equal(fuse_create(&cl, ROOT, "g", O_RDWR, 0100600, &e, &to), 0);
    const struct fuse_fallocate_in room = { .fh = fh, .length = 8192 };
    int r = fuse_ask(&cl, FUSE_FALLOCATE, 0, &room, sizeof(room), NULL, 0);
    assert_true(r == 0 || r == -EOPNOTSUPP);
    assert_int_equal(fuse_write(&cl, fh, 5000, "data", 4), 4);
    const struct fuse_lseek_in seek = { .fh = fh, .offset = 5000, .whence = SEEK_HOLE };
    assert_int_equal(fuse_ask(&cl, FUSE_LSEEK, 0, &seek, sizeof(seek), NULL, 0), 0);
    assert_true(((struct fuse_lseek_out *)fuse_answer(&cl))->offset >= 5004);
    const struct fuse_copy_file_range_in copy = { .fh_in = fh, .off_in = 5000, .fh_out = to, .len = 4 };
    assert_int_equal(fuse_ask(&cl, FUSE_COPY_FILE_RANGE, 0, &copy, sizeof(copy), NULL, 0), 0);
    check_file(at(share, "g"), "data");
}

static void attributes_change_but_for_dangerous_bits(void **state)
{
    (void)state;
    struct stat st;
    uint64_t node = make_file("f", "hello");
    const struct fuse_setattr_in in = {
        .valid = FATTR_MODE | FATTR_SIZE | FATTR_MTIME | FATTR_UID, .mode = 0106755, .size = 2, .mtime = 1000, .mtimensec = 5
    };
    assert_int_equal(fuse_ask(&cl, FUSE_SETATTR, node, &in, sizeof(in), NULL, 0), 0);
    const struct fuse_attr_out *out = fuse_answer(&cl);
    assert_int_equal(out->attr.size, 2);
    assert_int_equal(out->attr.mode, 0100755);
    assert_int_equal(stat(at(share, "f"), &st), 0);
    assert_int_equal(st.st_mode, 0100755);
    assert_int_equal(st.st_mtim.tv_sec, 1000);
    assert_int_equal(st.st_mtim.tv_nsec, 5);
    const struct fuse_getattr_in get = { 0 };
    assert_int_equal(fuse_ask(&cl, FUSE_GETATTR, node, &get, sizeof(get), NULL, 0), 0);
    assert_int_equal(fuse_ask(&cl, FUSE_STATFS, ROOT, NULL, 0, NULL, 0), 0);
    const struct fuse_setattr_in give = { .valid = FATTR_UID, .uid = 4711 };
    assert_int_equal(fuse_ask(&cl, FUSE_SETATTR, node, &give, sizeof(give), NULL, 0), geteuid() ? -EPERM : 0);
}

/* Counts the entries of an answer; *ret_last is where to go on. */
static unsigned count_entries(bool plus, uint64_t *ret_last)
{
    size_t head = plus ? FUSE_NAME_OFFSET_DIRENTPLUS : FUSE_NAME_OFFSET;
    unsigned nr = 0;
    for (size_t pos = 0; pos + head <= fuse_answer_len(&cl); nr++) {
        struct fuse_dirent d;
        memcpy(&d, (char *)fuse_answer(&cl) + pos + head - FUSE_NAME_OFFSET, FUSE_NAME_OFFSET);
        *ret_last = d.off;
        pos += FUSE_DIRENT_ALIGN(head + d.namelen);
        assert_true(pos <= fuse_answer_len(&cl));
    }
    return nr;
}

static void folders_are_made_read_in_parts_and_removed(void **state)
{
    (void)state;
    const struct fuse_mkdir_in in = { .mode = 0777 };
    uint64_t fh;
    for (unsigned i = 0; i < 20; i++) {
        char name[8];
        snprintf(name, sizeof(name), "d%u", i);
        assert_int_equal(fuse_ask_name(&cl, FUSE_MKDIR, ROOT, &in, sizeof(in), name), 0);
        assert_int_equal(((struct fuse_entry_out *)fuse_answer(&cl))->attr.mode, 040777);
    }
    assert_int_equal(fuse_open(&cl, FUSE_OPENDIR, ROOT, 0, &fh), 0);
    for (unsigned plus = 0; plus < 2; plus++) {
        unsigned nr = 0;
        uint64_t off = 0;
        while (fuse_read(&cl, plus ? FUSE_READDIRPLUS : FUSE_READDIR, ROOT, fh, off, 500) > 0) {
            assert_true(fuse_answer_len(&cl) <= 500);
            nr += count_entries(plus, &off);
        }
        assert_int_equal(nr, 22);
    }
    assert_int_equal(fuse_read(&cl, FUSE_READ, ROOT, fh, 0, 100), -EBADF); /* it is no file */
    const struct fuse_fsync_in sync = { .fh = fh };
    assert_int_equal(fuse_ask(&cl, FUSE_FSYNCDIR, ROOT, &sync, sizeof(sync), NULL, 0), 0);
    assert_int_equal(fuse_ask_name(&cl, FUSE_UNLINK, ROOT, NULL, 0, "d1"), -EISDIR);
    assert_int_equal(fuse_ask_name(&cl, FUSE_RMDIR, ROOT, NULL, 0, "d1"), 0);
    assert_int_equal(fuse_ask_name(&cl, FUSE_RMDIR, ROOT, NULL, 0, "d1"), -ENOENT);
}

static void names_move_and_files_have_several(void **state)
{
    (void)state;
    struct fuse_entry_out e;
    uint64_t a = make_file("a", "A"), b = make_file("b", "B");
    const struct fuse_rename_in rename = { .newdir = ROOT };
    assert_int_equal(fuse_ask(&cl, FUSE_RENAME, ROOT, &rename, sizeof(rename), "a\0c", 4), 0);
    assert_int_equal(fuse_lookup(&cl, ROOT, "a", &e), -ENOENT);
    assert_int_equal(fuse_lookup(&cl, ROOT, "c", &e), 0);
    assert_int_equal(e.nodeid, a);
    struct fuse_rename2_in rename2 = { .newdir = ROOT, .flags = 1 /* NOREPLACE */ };
    assert_int_equal(fuse_ask(&cl, FUSE_RENAME2, ROOT, &rename2, sizeof(rename2), "b\0c", 4), -EEXIST);
    rename2.flags = 2; /* EXCHANGE */
    assert_int_equal(fuse_ask(&cl, FUSE_RENAME2, ROOT, &rename2, sizeof(rename2), "b\0c", 4), 0);
    rename2.flags = 4; /* WHITEOUT */
    assert_int_equal(fuse_ask(&cl, FUSE_RENAME2, ROOT, &rename2, sizeof(rename2), "b\0c", 4), -EINVAL);
    check_file(at(share, "c"), "B");
    const struct fuse_link_in link = { .oldnodeid = b };
    assert_int_equal(fuse_ask_name(&cl, FUSE_LINK, ROOT, &link, sizeof(link), "l"), 0);
    memcpy(&e, fuse_answer(&cl), sizeof(e));
    assert_int_equal(e.nodeid, b);
    assert_int_equal(e.attr.nlink, 2);
    assert_int_equal(fuse_ask_name(&cl, FUSE_UNLINK, ROOT, NULL, 0, "l"), 0);
}

static void links_are_the_guests_to_follow(void **state)
{
    (void)state;
    struct fuse_entry_out e;
    uint64_t fh;
    char words[128];
    int len = snprintf(words, sizeof(words), "l%c%s", 0, outside);
    assert_int_equal(fuse_ask(&cl, FUSE_SYMLINK, ROOT, NULL, 0, words, (size_t)len + 1), 0);
    assert_int_equal(fuse_lookup(&cl, ROOT, "l", &e), 0);
    assert_true(S_ISLNK(e.attr.mode));
    assert_int_equal(fuse_ask(&cl, FUSE_READLINK, e.nodeid, NULL, 0, NULL, 0), 0);
    assert_int_equal(fuse_answer_len(&cl), strlen(outside));
    assert_memory_equal(fuse_answer(&cl), outside, strlen(outside));
    assert_int_equal(fuse_open(&cl, FUSE_OPEN, e.nodeid, O_RDONLY, &fh), -ELOOP);
    assert_int_equal(fuse_open(&cl, FUSE_OPENDIR, e.nodeid, 0, &fh), -ENOTDIR);
    struct fuse_entry_out other;
    assert_int_equal(fuse_lookup(&cl, e.nodeid, "secret", &other), -ENOTDIR);
    assert_int_equal(fuse_create(&cl, e.nodeid, "new", O_RDWR, 0100600, &other, &fh), -ENOTDIR);
    assert_int_equal(fuse_create(&cl, ROOT, "l", O_RDWR, 0100600, &other, &fh), -ELOOP);
    const struct fuse_setattr_in size = { .valid = FATTR_SIZE };
    assert_int_equal(fuse_ask(&cl, FUSE_SETATTR, e.nodeid, &size, sizeof(size), NULL, 0), -ELOOP);
    const struct fuse_setattr_in times = { .valid = FATTR_MTIME, .mtime = 5 };
    assert_int_equal(fuse_ask(&cl, FUSE_SETATTR, e.nodeid, &times, sizeof(times), NULL, 0), 0);
    const struct fuse_link_in link = { .oldnodeid = e.nodeid };
    assert_int_equal(fuse_ask_name(&cl, FUSE_LINK, ROOT, &link, sizeof(link), "l2"), 0);
    assert_true(S_ISLNK(((struct fuse_entry_out *)fuse_answer(&cl))->attr.mode));
}

static void special_files_are_not_the_hosts(void **state)
{
    (void)state;
    struct fuse_entry_out e;
    uint64_t fh;
    struct fuse_mknod_in in = { .mode = S_IFCHR | 0600, .rdev = 0x103 };
    assert_int_equal(fuse_ask_name(&cl, FUSE_MKNOD, ROOT, &in, sizeof(in), "c"), -EPERM);
    in.mode = S_IFBLK | 0600;
    assert_int_equal(fuse_ask_name(&cl, FUSE_MKNOD, ROOT, &in, sizeof(in), "c"), -EPERM);
    in.mode = S_IFREG | 0622;
    assert_int_equal(fuse_ask_name(&cl, FUSE_MKNOD, ROOT, &in, sizeof(in), "r"), 0);
    assert_int_equal(((struct fuse_entry_out *)fuse_answer(&cl))->attr.mode, 0100622);
    in.mode = S_IFIFO | 0600;
    assert_int_equal(fuse_ask_name(&cl, FUSE_MKNOD, ROOT, &in, sizeof(in), "p"), 0);
    memcpy(&e, fuse_answer(&cl), sizeof(e));
    assert_int_equal(fuse_open(&cl, FUSE_OPEN, e.nodeid, O_RDWR, &fh), -ENXIO);
    assert_int_equal(fuse_create(&cl, ROOT, "p", O_RDWR, 0100600, &e, &fh), -ENXIO);
    if (mknod(at(share, "null"), S_IFCHR | 0666, 0x103) == 0) { /* needs privileges */
        assert_int_equal(fuse_lookup(&cl, ROOT, "null", &e), 0);
        assert_int_equal(fuse_open(&cl, FUSE_OPEN, e.nodeid, O_RDWR, &fh), -ENXIO);
    }
}

static void a_read_only_share_is_not_changed(void **state)
{
    (void)state;
    struct fuse_entry_out e;
    uint64_t fh;
    put_file(at(share, "f"), "text");
    open_share(true);
    assert_int_equal(fuse_lookup(&cl, ROOT, "f", &e), 0);
    assert_int_equal(fuse_open(&cl, FUSE_OPEN, e.nodeid, O_RDWR, &fh), -EROFS);
    assert_int_equal(fuse_open(&cl, FUSE_OPEN, e.nodeid, O_TRUNC, &fh), -EROFS);
    assert_int_equal(fuse_open(&cl, FUSE_OPEN, e.nodeid, O_RDONLY, &fh), 0);
    static const uint8_t zeroes[200];
    static const uint32_t changing[] = { FUSE_SETATTR,   FUSE_SYMLINK, FUSE_MKNOD,          FUSE_MKDIR,  FUSE_UNLINK,
                                         FUSE_RMDIR,     FUSE_RENAME,  FUSE_LINK,           FUSE_CREATE, FUSE_RENAME2,
                                         FUSE_FALLOCATE, FUSE_WRITE,   FUSE_COPY_FILE_RANGE };
    for (unsigned i = 0; i < ARRAY_SIZE(changing); i++)
        assert_int_equal(fuse_ask(&cl, changing[i], ROOT, zeroes, sizeof(zeroes), NULL, 0), -EROFS);
    check_file(at(share, "f"), "text");
}

/* ---- hostile guests ---- */

static void names_are_single_ones(void **state)
{
    (void)state;
    struct fuse_entry_out e;
    static const char *const bad[] = { "", ".", "..", "a/b", "/", "../outside", "/doppel-none", "a/", "./a" };
    const struct fuse_mkdir_in dir = { .mode = 0755 };
    const struct fuse_rename_in rename = { .newdir = ROOT };
    char words[64];
    make_file("a", "A");
    for (unsigned i = 0; i < ARRAY_SIZE(bad); i++) {
        assert_int_equal(fuse_lookup(&cl, ROOT, bad[i], &e), -EINVAL);
        assert_int_equal(fuse_ask_name(&cl, FUSE_MKDIR, ROOT, &dir, sizeof(dir), bad[i]), -EINVAL);
        assert_int_equal(fuse_ask_name(&cl, FUSE_RMDIR, ROOT, NULL, 0, bad[i]), -EINVAL);
        size_t len = (size_t)snprintf(words, sizeof(words), "a%c%s", 0, bad[i]) + 1;
        assert_int_equal(fuse_ask(&cl, FUSE_RENAME, ROOT, &rename, sizeof(rename), words, len), -EINVAL);
    }
    assert_int_equal(fuse_ask(&cl, FUSE_LOOKUP, ROOT, NULL, 0, "a", 1), -EINVAL); /* without its end */
    assert_int_equal(fuse_ask(&cl, FUSE_RENAME, ROOT, &rename, sizeof(rename), "a\0b", 3), -EINVAL);
    assert_int_equal(fuse_ask(&cl, FUSE_RENAME, ROOT, &rename, sizeof(rename), "a", 2), -EINVAL);
    static char longest[9000];
    memset(longest, 'x', sizeof(longest) - 1);
    assert_int_equal(fuse_lookup(&cl, ROOT, longest, &e), -ENAMETOOLONG);
    longest[256] = '\0';
    assert_int_equal(fuse_lookup(&cl, ROOT, longest, &e), -ENAMETOOLONG);
    longest[255] = '\0';
    assert_int_equal(fuse_lookup(&cl, ROOT, longest, &e), -ENOENT);
}

static void requests_of_any_length_are_survived(void **state)
{
    (void)state;
    make_file("a", "A");
    for (uint32_t op = 0; op < 60; op++)
        for (size_t len = 0; len < 200; len += 1 + len % 3)
            for (unsigned lie = 0; lie < 4; lie++) {
                static const int32_t lies[] = { 0, 1, -1, 0x7fffffff };
                struct fuse_in_header head = { .len = (uint32_t)len + (uint32_t)lies[lie], .opcode = op, .nodeid = ROOT };
                memset(cl.out, 0, 256);
                memcpy(cl.out, &head, sizeof(head));
                cl.room = 1 + (op * 7 + len) % 200;
                fuse_serve(&cl, len ? len : 1);
                struct fuse_out_header answer = { 0 };
                memcpy(&answer, cl.in, sizeof(answer));
                if (cl.written && lie > 0)
                    assert_true(answer.error < 0);
            }
    cl.room = 0;
}

static void reads_and_writes_keep_to_their_memory(void **state)
{
    (void)state;
    uint64_t node = make_file("a", "AAAA"), fh;
    assert_int_equal(fuse_open(&cl, FUSE_OPEN, node, O_RDWR, &fh), 0);
    struct fuse_write_in w = { .fh = fh, .size = 100 };
    assert_int_equal(fuse_ask(&cl, FUSE_WRITE, node, &w, sizeof(w), "BB", 2), -EINVAL);
    w.size = 1;
    assert_int_equal(fuse_ask(&cl, FUSE_WRITE, node, &w, sizeof(w), "BB", 2), -EINVAL);
    w = (struct fuse_write_in){ .fh = fh, .size = 2, .offset = ~0ULL };
    assert_int_equal(fuse_ask(&cl, FUSE_WRITE, node, &w, sizeof(w), "BB", 2), -EINVAL);
    cl.room = 50;
    assert_int_equal(fuse_read(&cl, FUSE_READ, node, fh, 0, 35), -EINVAL);
    assert_int_equal(fuse_read(&cl, FUSE_READ, node, fh, 0, ~0U), -EINVAL);
    assert_int_equal(fuse_read(&cl, FUSE_READ, node, fh, 1ULL << 63, 4), -EINVAL);
    assert_int_equal(fuse_read(&cl, FUSE_READ, node, fh, 0, 34), 4);
    cl.room = 0;
}

static void numbers_end_and_do_not_come_back(void **state)
{
    (void)state;
    struct fuse_entry_out e;
    uint64_t fh, old = make_file("a", "A");
    assert_int_equal(fuse_lookup(&cl, ROOT, "a", &e), 0);
    assert_int_equal(e.nodeid, old);
    fuse_forget(&cl, old, 1);
    assert_int_equal(fuse_open(&cl, FUSE_OPEN, old, O_RDONLY, &fh), 0);
    fuse_forget(&cl, old, 1000);
    assert_int_equal(fuse_open(&cl, FUSE_OPEN, old, O_RDONLY, &fh), -ESTALE);
    fuse_forget(&cl, old, 1);
    assert_int_equal(fuse_lookup(&cl, ROOT, "a", &e), 0);
    assert_true(e.nodeid != old);
    const struct fuse_batch_forget_in batch = { .count = 0xffffffff };
    const struct fuse_forget_one one[2] = { { e.nodeid, 1 }, { ROOT, 99 } };
    assert_int_equal(fuse_ask(&cl, FUSE_BATCH_FORGET, 0, &batch, sizeof(batch), one, sizeof(one)), 1);
    assert_int_equal(fuse_lookup(&cl, e.nodeid, "x", &e), -ESTALE);
    assert_int_equal(fuse_lookup(&cl, ROOT, "a", &e), 0); /* the root stays */
    for (unsigned i = 0; i < 64; i++)
        assert_int_equal(fuse_lookup(&cl, 1ULL << i ^ 0x5500000000ULL, "a", &e), -ESTALE);
    fs_reset(cl.fs);
    assert_int_equal(fs_files(cl.fs), 1);
}

static void what_a_guest_makes_us_hold_is_bounded(void **state)
{
    (void)state;
    struct fuse_entry_out e;
    uint64_t fh, node = make_file("a", "A"), first = 0;
    unsigned handles = 0;
    int r;
    while ((r = fuse_open(&cl, FUSE_OPEN, node, O_RDONLY, &fh)) == 0)
        first = handles++ ? first : fh;
    assert_int_equal(r, -EMFILE);
    assert_int_equal(handles, FILES / 4);
    assert_int_equal(fuse_create(&cl, ROOT, "b", O_RDWR, 0100600, &e, &fh), -EMFILE);
    assert_int_equal(fuse_release(&cl, first), 0);
    assert_int_equal(fuse_open(&cl, FUSE_OPEN, node, O_RDONLY, &fh), 0);
    for (unsigned i = 0; i < FILES; i++) {
        char name[8];
        snprintf(name, sizeof(name), "n%u", i);
        put_file(at(share, name), "");
        r = fuse_lookup(&cl, ROOT, name, &e);
        assert_int_equal(r, i < FILES * 3 / 4 - 2 ? 0 : -ENFILE);
    }
    assert_int_equal(fs_files(cl.fs), FILES);
    assert_int_equal(fuse_lookup(&cl, ROOT, "a", &e), 0); /* what is known needs no more */
    fs_reset(cl.fs);
    assert_int_equal(fuse_open(&cl, FUSE_OPENDIR, ROOT, 0, &fh), 0);
    assert_true(fuse_read(&cl, FUSE_READDIRPLUS, ROOT, fh, 0, 32000) > 0); /* gives up on attributes, not on names */
    assert_true(fs_files(cl.fs) <= FILES / 2 + 1);
}

/* ---- races ---- */

static _Atomic bool stop;

/* The host: `x` is in turn a folder, a link outside, a hard link to the file `mine`, and nothing. */
static void *swapper(void *opaque)
{
    (void)opaque;
    char x[96], y[96];
    strcpy(x, at(share, "x"));
    strcpy(y, at(share, "y"));
    char mine[96];
    strcpy(mine, at(share, "mine"));
    while (!atomic_load(&stop)) {
        (void)(mkdir(y, 0755) + rename(y, x));
        (void)(symlink(outside, y) + rename(x, at(base, "aside")) + rename(y, x) + rmdir(at(base, "aside")));
        char aside[96];
        strcpy(aside, at(base, "aside/secret"));
        (void)(unlink(aside) + rmdir(at(base, "aside")));
        (void)(link(mine, y) + rename(y, x));
        (void)(symlink(at(outside, "secret"), y) + rename(y, x) + unlink(x));
    }
    return NULL;
}

/* What a guest does with x, whatever it is now. */
static void attack(unsigned turn)
{
    struct fuse_entry_out e, f;
    uint64_t fh;
    const struct fuse_mkdir_in dir = { .mode = 0700 };
    const struct fuse_setattr_in set = { .valid = FATTR_MODE | FATTR_SIZE, .mode = 0 };
    if (turn % 4 == 0 && fuse_create(&cl, ROOT, "x", O_RDWR | (turn % 8 ? O_TRUNC : 0), 0100600, &e, &fh) == 0) {
        (void)fuse_read(&cl, FUSE_READ, e.nodeid, fh, 0, 100);
        assert_int_not_equal(memcmp(fuse_answer(&cl), SECRET, 10), 0);
        (void)fuse_write(&cl, fh, 0, "broken", 6);
        (void)fuse_release(&cl, fh);
    }
    if (fuse_lookup(&cl, ROOT, "x", &e) < 0)
        return;
    (void)fuse_ask(&cl, FUSE_SETATTR, e.nodeid, &set, sizeof(set), NULL, 0);
    if (fuse_lookup(&cl, e.nodeid, "secret", &f) == 0) {
        assert_int_not_equal(f.attr.size, strlen(SECRET));
        fuse_forget(&cl, f.nodeid, 1);
    }
    if (fuse_open(&cl, FUSE_OPEN, e.nodeid, O_RDWR, &fh) == 0) {
        (void)fuse_write(&cl, fh, 0, "broken", 6);
        (void)fuse_release(&cl, fh);
    }
    if (turn % 8 == 1)
        (void)fuse_ask_name(&cl, FUSE_MKDIR, e.nodeid, &dir, sizeof(dir), "secret");
    (void)fuse_ask_name(&cl, FUSE_UNLINK, e.nodeid, NULL, 0, "secret");
    (void)fuse_ask_name(&cl, FUSE_RMDIR, e.nodeid, NULL, 0, "secret");
    fs_reset(cl.fs);
}

static void a_host_that_swaps_things_lets_nothing_out(void **state)
{
    (void)state;
    pthread_t thread;
    struct stat before, after;
    put_file(at(share, "mine"), "mine");
    assert_int_equal(stat(at(outside, "secret"), &before), 0);
    atomic_store(&stop, false);
    assert_int_equal(pthread_create(&thread, NULL, swapper, NULL), 0);
    for (unsigned i = 0; i < RACES; i++)
        attack(i);
    atomic_store(&stop, true);
    pthread_join(thread, NULL);
    assert_int_equal(stat(at(outside, "secret"), &after), 0);
    assert_int_equal(after.st_mode, before.st_mode);
    assert_int_equal(after.st_ctim.tv_nsec, before.st_ctim.tv_nsec);
}

static void what_is_no_folder_is_refused(void **state)
{
    (void)state;
    struct error err = { 0 };
    struct fs *fs;
    struct fs_config config = { .path = at(base, "none"), .max_files = FILES };
    assert_int_equal(fs_open(&config, NULL, &fs, &err), -ENOENT);
    assert_non_null(strstr(err.msg, "No such file"));
    config.path = at(outside, "secret");
    assert_int_equal(fs_open(&config, NULL, &fs, &err), -ENOTDIR);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(init_agrees_on_what_both_can),
        T(files_are_made_written_and_read),
        T(space_is_allocated_found_and_copied),
        T(attributes_change_but_for_dangerous_bits),
        T(folders_are_made_read_in_parts_and_removed),
        T(names_move_and_files_have_several),
        T(links_are_the_guests_to_follow),
        T(special_files_are_not_the_hosts),
        T(a_read_only_share_is_not_changed),
        T(names_are_single_ones),
        T(requests_of_any_length_are_survived),
        T(reads_and_writes_keep_to_their_memory),
        T(numbers_end_and_do_not_come_back),
        T(what_a_guest_makes_us_hold_is_bounded),
        T(a_host_that_swaps_things_lets_nothing_out),
        T(what_is_no_folder_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
