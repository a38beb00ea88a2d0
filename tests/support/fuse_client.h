/* SPDX-License-Identifier: MIT */
/*
 * The guest's side of FUSE, for tests of the fs back end: builds a request, cuts it into odd pieces, and looks at the answer.
 */
#ifndef DOPPEL_TESTS_FUSE_CLIENT_H
#define DOPPEL_TESTS_FUSE_CLIENT_H

#include <linux/fuse.h>
#include <stdlib.h>
#include <string.h>

#include "backend/fs.h"

enum { FUSE_CLIENT_ROOM = 64 << 10 };

struct fuse_client {
    struct fs *fs;
    uint32_t uid, gid;
    uint64_t unique;
    uint8_t out[FUSE_CLIENT_ROOM], in[FUSE_CLIENT_ROOM];
    size_t room;    /* for the answer, header included; 0: FUSE_CLIENT_ROOM */
    size_t written; /* of the last answer */
};

/* What stands behind the answer's header. */
static inline void *fuse_answer(struct fuse_client *c)
{
    return c->in + sizeof(struct fuse_out_header);
}

/* Bytes of it. */
static inline size_t fuse_answer_len(const struct fuse_client *c)
{
    return c->written - sizeof(struct fuse_out_header);
}

/* Serves what is in c->out as it is. */
static inline void fuse_serve(struct fuse_client *c, size_t out_len)
{
    size_t room = c->room ? c->room : FUSE_CLIENT_ROOM;
    size_t cut = out_len > 50 ? 43 : 7, in_cut = 9;
    cut = cut < out_len ? cut : out_len;
    in_cut = in_cut < room ? in_cut : room;
    const struct iovec out[2] = { { c->out, cut }, { c->out + cut, out_len - cut } };
    const struct iovec in[2] = { { c->in, in_cut }, { c->in + in_cut, room - in_cut } };
    struct fs_request req = {
        .out = out,
        .nr_out = out[1].iov_len ? 2 : 1,
        .out_len = out_len,
        .in = in,
        .nr_in = in[1].iov_len ? 2 : 1,
        .in_len = room,
    };
    fs_serve(c->fs, &req);
    c->written = req.written;
    if (req.written > room)
        abort();
}

/* One request: header, fixed part, tail. The answer's error; 1: there was none. */
static inline int fuse_ask(struct fuse_client *c, uint32_t opcode, uint64_t node, const void *fixed, size_t fixed_len,
                           const void *tail, size_t tail_len)
{
    struct fuse_in_header head = {
        .len = (uint32_t)(sizeof(head) + fixed_len + tail_len),
        .opcode = opcode,
        .unique = ++c->unique,
        .nodeid = node,
        .uid = c->uid,
        .gid = c->gid,
    };
    struct fuse_out_header answer;
    memcpy(c->out, &head, sizeof(head));
    if (fixed_len)
        memcpy(c->out + sizeof(head), fixed, fixed_len);
    if (tail_len)
        memcpy(c->out + sizeof(head) + fixed_len, tail, tail_len);
    fuse_serve(c, head.len);
    if (c->written == 0)
        return 1;
    memcpy(&answer, c->in, sizeof(answer));
    if (answer.len != c->written || answer.unique != head.unique || answer.error > 0
        || (answer.error && answer.len != sizeof(answer)))
        abort();
    return answer.error;
}

/* A request whose tail is a name. */
static inline int fuse_ask_name(struct fuse_client *c, uint32_t opcode, uint64_t node, const void *fixed, size_t fixed_len,
                                const char *name)
{
    return fuse_ask(c, opcode, node, fixed, fixed_len, name, strlen(name) + 1);
}

static inline int fuse_lookup(struct fuse_client *c, uint64_t node, const char *name, struct fuse_entry_out *ret_entry)
{
    int r = fuse_ask_name(c, FUSE_LOOKUP, node, NULL, 0, name);
    memset(ret_entry, 0, sizeof(*ret_entry));
    if (r == 0)
        memcpy(ret_entry, fuse_answer(c), sizeof(*ret_entry));
    return r;
}

static inline int fuse_open(struct fuse_client *c, uint32_t opcode, uint64_t node, uint32_t flags, uint64_t *ret_fh)
{
    const struct fuse_open_in in = { .flags = flags };
    int r = fuse_ask(c, opcode, node, &in, sizeof(in), NULL, 0);
    *ret_fh = r == 0 ? ((struct fuse_open_out *)fuse_answer(c))->fh : 0;
    return r;
}

static inline int fuse_create(struct fuse_client *c, uint64_t node, const char *name, uint32_t flags, uint32_t mode,
                              struct fuse_entry_out *ret_entry, uint64_t *ret_fh)
{
    const struct fuse_create_in in = { .flags = flags, .mode = mode };
    int r = fuse_ask_name(c, FUSE_CREATE, node, &in, sizeof(in), name);
    *ret_fh = 0;
    memset(ret_entry, 0, sizeof(*ret_entry));
    if (r == 0) {
        memcpy(ret_entry, fuse_answer(c), sizeof(*ret_entry));
        *ret_fh = ((struct fuse_open_out *)((char *)fuse_answer(c) + sizeof(*ret_entry)))->fh;
    }
    return r;
}

/* Bytes written, or an error. */
static inline int fuse_write(struct fuse_client *c, uint64_t fh, uint64_t offset, const void *data, uint32_t len)
{
    const struct fuse_write_in in = { .fh = fh, .offset = offset, .size = len };
    int r = fuse_ask(c, FUSE_WRITE, 0, &in, sizeof(in), data, len);
    return r < 0 ? r : (int)((struct fuse_write_out *)fuse_answer(c))->size;
}

/* Bytes read, in the answer, or an error. */
static inline int fuse_read(struct fuse_client *c, uint32_t opcode, uint64_t node, uint64_t fh, uint64_t offset, uint32_t len)
{
    const struct fuse_read_in in = { .fh = fh, .offset = offset, .size = len };
    int r = fuse_ask(c, opcode, node, &in, sizeof(in), NULL, 0);
    return r < 0 ? r : (int)fuse_answer_len(c);
}

static inline int fuse_release(struct fuse_client *c, uint64_t fh)
{
    const struct fuse_release_in in = { .fh = fh };
    return fuse_ask(c, FUSE_RELEASE, 0, &in, sizeof(in), NULL, 0);
}

static inline void fuse_forget(struct fuse_client *c, uint64_t node, uint64_t n)
{
    const struct fuse_forget_in in = { .nlookup = n };
    if (fuse_ask(c, FUSE_FORGET, node, &in, sizeof(in), NULL, 0) != 1)
        abort();
}

#endif
