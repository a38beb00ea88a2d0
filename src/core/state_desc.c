/* SPDX-License-Identifier: MIT */
/*
 * Writing, reading and comparing state by its declaration.
 *
 * Format, all little-endian: an object is u32 hash of its name, u32 version, u32 number of fields, then the fields; a
 * field is u32 hash of its name, u8 kind, u32 count, then its elements; an element of kind struct is an object. Hashes
 * are 32-bit FNV-1a.
 */
#include "core/state_desc.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { DEPTH_MAX = 8 }; /* of structs in structs: ours, so only a bug exceeds it */

static uint32_t hash_name(const char *name)
{
    uint32_t h = 2166136261u;
    for (; *name; name++)
        h = (h ^ (uint8_t)*name) * 16777619u;
    return h;
}

static uint32_t field_count(const struct state_desc *desc)
{
    uint32_t n = 0;
    while (desc->fields[n].name)
        n++;
    return n;
}

/* Bytes of an integer kind. */
static unsigned kind_size(enum state_kind kind)
{
    switch (kind) {
    case STATE_U8:
    case STATE_BOOL:
    case STATE_BYTES: return 1;
    case STATE_U16: return 2;
    case STATE_U32: return 4;
    case STATE_U64: return 8;
    case STATE_STRUCT: return 0;
    }
    return 0;
}

void state_buf_done(struct state_buf *buf)
{
    if (!buf)
        return;
    free(buf->data);
    *buf = (struct state_buf){ 0 };
}

static int put(struct state_buf *buf, const void *data, size_t len)
{
    if (buf->cap - buf->len < len) {
        size_t cap = buf->cap ? buf->cap : 1024;
        while (cap - buf->len < len)
            cap *= 2;
        uint8_t *grown = realloc(buf->data, cap);
        if (!grown)
            return -ENOMEM;
        buf->data = grown;
        buf->cap = cap;
    }
    memcpy(buf->data + buf->len, data, len);
    buf->len += len;
    return 0;
}

/* The host is little-endian x86-64, so integers are stored as they are. */
static int put_u32(struct state_buf *buf, uint32_t v)
{
    return put(buf, &v, sizeof(v));
}

static int get(struct state_buf *buf, void *data, size_t len)
{
    if (buf->len - buf->pos < len)
        return -EINVAL;
    memcpy(data, buf->data + buf->pos, len);
    buf->pos += len;
    return 0;
}

static int save_field(const struct state_field *f, uint8_t *member, struct state_buf *buf)
{
    uint8_t kind = (uint8_t)f->kind;
    int r = put_u32(buf, hash_name(f->name));
    if (r == 0)
        r = put(buf, &kind, 1);
    if (r == 0)
        r = put_u32(buf, f->count);
    if (f->kind != STATE_STRUCT) {
        assert(f->size == kind_size(f->kind));
        return r == 0 ? put(buf, member, (size_t)f->size * f->count) : r;
    }
    for (uint32_t i = 0; i < f->count && r == 0; i++)
        r = state_save(f->sub, member + (size_t)i * f->size, buf);
    return r;
}

int state_save(const struct state_desc *desc, void *object, struct state_buf *buf)
{
    if (desc->pre_save)
        desc->pre_save(object);
    int r = put_u32(buf, hash_name(desc->name));
    if (r == 0)
        r = put_u32(buf, desc->version);
    if (r == 0)
        r = put_u32(buf, field_count(desc));
    for (const struct state_field *f = desc->fields; f->name && r == 0; f++)
        r = save_field(f, (uint8_t *)object + f->offset, buf);
    return r;
}

static int load_object(const struct state_desc *desc, uint8_t *object, struct state_buf *buf, unsigned depth, struct error *err);

static int load_bools(const struct state_field *f, uint8_t *member, struct state_buf *buf, struct error *err)
{
    for (uint32_t i = 0; i < f->count; i++) {
        uint8_t v;
        if (get(buf, &v, 1) < 0)
            return error_set(err, -EINVAL, "field %s: cut short", f->name);
        if (v > 1)
            return error_set(err, -EINVAL, "field %s: %u is neither true nor false", f->name, v);
        member[i] = v;
    }
    return 0;
}

static int load_field(const struct state_field *f, uint8_t *member, struct state_buf *buf, unsigned depth, struct error *err)
{
    uint32_t hash, count;
    uint8_t kind;
    if (get(buf, &hash, 4) < 0 || get(buf, &kind, 1) < 0 || get(buf, &count, 4) < 0)
        return error_set(err, -EINVAL, "field %s: cut short", f->name);
    if (hash != hash_name(f->name) || kind != f->kind || count != f->count)
        return error_set(err, -EINVAL, "field %s: another field, kind or count was saved here", f->name);
    if (f->kind == STATE_BOOL)
        return load_bools(f, member, buf, err);
    if (f->kind != STATE_STRUCT) {
        if (get(buf, member, (size_t)f->size * f->count) < 0)
            return error_set(err, -EINVAL, "field %s: cut short", f->name);
        return 0;
    }
    for (uint32_t i = 0; i < f->count; i++) {
        int r = load_object(f->sub, member + (size_t)i * f->size, buf, depth + 1, err);
        if (r < 0)
            return error_prefix(err, "field %s", f->name);
    }
    return 0;
}

static int load_object(const struct state_desc *desc, uint8_t *object, struct state_buf *buf, unsigned depth, struct error *err)
{
    assert(depth < DEPTH_MAX);
    uint32_t hash, version, count;
    if (get(buf, &hash, 4) < 0 || get(buf, &version, 4) < 0 || get(buf, &count, 4) < 0)
        return error_set(err, -EINVAL, "state of %s: cut short", desc->name);
    if (hash != hash_name(desc->name))
        return error_set(err, -EINVAL, "state of %s: something else was saved here", desc->name);
    if (version != desc->version)
        return error_set(err, -EINVAL, "state of %s: version %u, this program reads %u", desc->name, version, desc->version);
    if (count != field_count(desc))
        return error_set(err, -EINVAL, "state of %s: %u fields, not %u", desc->name, count, field_count(desc));
    for (const struct state_field *f = desc->fields; f->name; f++)
        if (load_field(f, object + f->offset, buf, depth, err) < 0)
            return err ? error_prefix(err, "state of %s", desc->name) : -EINVAL;
    return desc->post_load ? desc->post_load(object, err) : 0;
}

int state_load(const struct state_desc *desc, void *object, struct state_buf *buf, struct error *err)
{
    return load_object(desc, object, buf, 0, err);
}

static const char *diff_field(const struct state_field *f, const uint8_t *a, const uint8_t *b)
{
    if (f->kind != STATE_STRUCT)
        return memcmp(a, b, (size_t)f->size * f->count) == 0 ? NULL : f->name;
    for (uint32_t i = 0; i < f->count; i++) {
        const char *name = state_diff(f->sub, a + (size_t)i * f->size, b + (size_t)i * f->size);
        if (name)
            return name;
    }
    return NULL;
}

const char *state_diff(const struct state_desc *desc, const void *a, const void *b)
{
    for (const struct state_field *f = desc->fields; f->name; f++) {
        const char *name = diff_field(f, (const uint8_t *)a + f->offset, (const uint8_t *)b + f->offset);
        if (name)
            return name;
    }
    return NULL;
}
