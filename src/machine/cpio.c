/* SPDX-License-Identifier: MIT */
/*
 * Implementation of the newc writer.
 */
#include "machine/cpio.h"

#include "base/checked.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

enum {
    HEADER_LEN = 110,
    FIELD_ALIGN = 4,
    ARCHIVE_ALIGN = 512,
    FIRST_INO = 1,
};

struct entry {
    unsigned mode; /* with the type bits */
    unsigned nlink;
    unsigned rmajor;
    unsigned rminor;
    const void *data;
    size_t len;
};

static int pad(struct cpio *c, size_t align, struct error *err)
{
    static const uint8_t zeroes[ARCHIVE_ALIGN];
    return blob_append(&c->out, zeroes, ALIGN_UP(c->out.len, align) - c->out.len, c->max, err);
}

static int add(struct cpio *c, const char *name, const struct entry *e, struct error *err)
{
    char header[HEADER_LEN + 1];
    const size_t name_size = strlen(name) + 1;
    if (e->len > UINT32_MAX)
        return error_set(err, -E2BIG, "initramfs: '%s' has %zu bytes, cpio takes 4 GiB at most", name, e->len);
    snprintf(header, sizeof(header), "070701%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X", c->next_ino, e->mode, 0U, 0U,
             e->nlink, 0U, (unsigned)e->len, 0U, 0U, e->rmajor, e->rminor, (unsigned)name_size, 0U);
    int r = blob_append(&c->out, header, HEADER_LEN, c->max, err);
    if (r >= 0)
        r = blob_append(&c->out, name, name_size, c->max, err);
    if (r >= 0)
        r = pad(c, FIELD_ALIGN, err);
    if (r >= 0)
        r = blob_append(&c->out, e->data, e->len, c->max, err);
    if (r >= 0)
        r = pad(c, FIELD_ALIGN, err);
    if (r < 0)
        return error_prefix(err, "initramfs: '%s'", name);
    c->next_ino++;
    return 0;
}

static int add_named(struct cpio *c, const char *name, const struct entry *e, struct error *err)
{
    const size_t len = strlen(name);
    if (len == 0 || len > CPIO_NAME_MAX || name[0] == '/' || name[len - 1] == '/')
        return error_set(err, -EINVAL, "initramfs: bad file name '%s'", name);
    return add(c, name, e, err);
}

void cpio_init(struct cpio *c, size_t max)
{
    *c = (struct cpio){ .max = max, .next_ino = FIRST_INO };
}

void cpio_done(struct cpio *c)
{
    if (c)
        blob_done(&c->out);
}

int cpio_add_file(struct cpio *c, const char *name, unsigned mode, const void *data, size_t len, struct error *err)
{
    const struct entry e = { .mode = S_IFREG | (mode & 07777), .nlink = 1, .data = data, .len = len };
    return add_named(c, name, &e, err);
}

int cpio_add_dir(struct cpio *c, const char *name, unsigned mode, struct error *err)
{
    const struct entry e = { .mode = S_IFDIR | (mode & 07777), .nlink = 2 };
    return add_named(c, name, &e, err);
}

int cpio_add_symlink(struct cpio *c, const char *name, const char *target, struct error *err)
{
    const struct entry e = { .mode = S_IFLNK | 0777, .nlink = 1, .data = target, .len = strlen(target) };
    if (e.len == 0 || e.len > CPIO_NAME_MAX)
        return error_set(err, -EINVAL, "initramfs: bad target of symbolic link '%s'", name);
    return add_named(c, name, &e, err);
}

int cpio_add_char_device(struct cpio *c, const char *name, unsigned mode, unsigned major, unsigned minor, struct error *err)
{
    const struct entry e = { .mode = S_IFCHR | (mode & 07777), .nlink = 1, .rmajor = major, .rminor = minor };
    return add_named(c, name, &e, err);
}

int cpio_finish(struct cpio *c, struct blob *ret_archive, struct error *err)
{
    const struct entry trailer = { .nlink = 1 };
    c->next_ino = 0;
    int r = add(c, "TRAILER!!!", &trailer, err);
    if (r >= 0)
        r = pad(c, ARCHIVE_ALIGN, err);
    if (r < 0)
        return r;
    *ret_archive = c->out;
    *c = (struct cpio){ 0 };
    return 0;
}
