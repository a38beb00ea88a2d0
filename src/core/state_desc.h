/* SPDX-License-Identifier: MIT */
/*
 * Declared, versioned, field-by-field state of CPUs and chips: the one form that snapshots, migration and a switch of
 * engine share.
 *
 * A state_desc lists the members of a struct that make up its architectural state. state_save() writes each declared
 * field with its name's hash, kind and count in little-endian order; state_load() takes them back and refuses anything
 * that does not fit the declaration. Host time, descriptors and pointers are not state: post_load derives them.
 */
#ifndef DOPPEL_CORE_STATE_DESC_H
#define DOPPEL_CORE_STATE_DESC_H

#include "core/types.h"

enum state_kind { STATE_U8, STATE_U16, STATE_U32, STATE_U64, STATE_BOOL, STATE_BYTES, STATE_STRUCT };

struct state_field {
    const char *name;
    uint32_t offset; /* of the member, bytes */
    uint32_t size;   /* of one element, bytes; checked against the kind at compile time by the macros */
    uint32_t count;  /* elements; 1 for a scalar. STATE_BYTES: the number of bytes */
    enum state_kind kind;
    const struct state_desc *sub; /* STATE_STRUCT only */
};

struct state_desc {
    const char *name;
    uint32_t version;                 /* starts at 1; a change of the fields bumps it and adds an upgrade */
    const struct state_field *fields; /* ends with a NULL name */
    /* Optional; called on the object before saving, all vCPUs stopped. Cannot fail. */
    void (*pre_save)(void *object);
    /* Optional; called after all fields are loaded. Validates values that index or size anything (-EINVAL) and derives
     * what is not state. */
    int (*post_load)(void *object, struct error *err);
};

/* Size of the kind's C type; a wrong member type makes the array size negative. */
#define STATE_CHECK(cond) (0 * sizeof(char[(cond) ? 1 : -1]))
#define STATE_SCALAR(type, member, k, ctype)                                                                                     \
    {                                                                                                                            \
        .name = #member, .offset = offsetof(type, member),                                                                       \
        .size = sizeof(ctype) + STATE_CHECK(sizeof(((type *)0)->member) == sizeof(ctype)), .count = 1, .kind = (k)               \
    }
#define STATE_U8(type, member) STATE_SCALAR(type, member, STATE_U8, uint8_t)
#define STATE_U16(type, member) STATE_SCALAR(type, member, STATE_U16, uint16_t)
#define STATE_U32(type, member) STATE_SCALAR(type, member, STATE_U32, uint32_t)
#define STATE_U64(type, member) STATE_SCALAR(type, member, STATE_U64, uint64_t)
#define STATE_BOOL(type, member) STATE_SCALAR(type, member, STATE_BOOL, bool)
/* An array member of integers of the given kind, e.g. STATE_ARRAY(struct x, reg, STATE_U64). */
#define STATE_ARRAY(type, member, k)                                                                                             \
    {                                                                                                                            \
        .name = #member, .offset = offsetof(type, member), .size = sizeof(((type *)0)->member[0]),                               \
        .count = sizeof(((type *)0)->member) / sizeof(((type *)0)->member[0]), .kind = (k)                                       \
    }
/* Any plain byte buffer (also two-dimensional byte arrays). */
#define STATE_BYTES(type, member)                                                                                                \
    {                                                                                                                            \
        .name = #member, .offset = offsetof(type, member), .size = 1, .count = sizeof(((type *)0)->member), .kind = STATE_BYTES  \
    }
/* A struct member, or an array of structs, with its own description. */
#define STATE_STRUCT(type, member, desc)                                                                                         \
    {                                                                                                                            \
        .name = #member, .offset = offsetof(type, member), .size = sizeof(((type *)0)->member), .count = 1,                      \
        .kind = STATE_STRUCT, .sub = (desc)                                                                                      \
    }
#define STATE_STRUCTS(type, member, desc)                                                                                        \
    {                                                                                                                            \
        .name = #member, .offset = offsetof(type, member), .size = sizeof(((type *)0)->member[0]),                               \
        .count = sizeof(((type *)0)->member) / sizeof(((type *)0)->member[0]), .kind = STATE_STRUCT, .sub = (desc)               \
    }
#define STATE_END                                                                                                                \
    {                                                                                                                            \
        .name = NULL                                                                                                             \
    }

/* A growing byte buffer that state is written to. */
struct state_buf {
    uint8_t *data; /* owned */
    size_t len, cap;
    size_t pos; /* reading position */
};
void state_buf_done(struct state_buf *buf);

/* Appends the object's state. -ENOMEM. */
MUST_CHECK int state_save(const struct state_desc *desc, void *object, struct state_buf *buf);
/* Reads the object's state from buf->pos on. On failure (-EINVAL: cut short, other name, version, field or count) the
 * object's declared fields are unspecified, but no memory outside them was written. */
MUST_CHECK int state_load(const struct state_desc *desc, void *object, struct state_buf *buf, struct error *err);
/* Compares two objects field by field; returns NULL when equal, else the name of the first field that differs. */
const char *state_diff(const struct state_desc *desc, const void *a, const void *b);

#endif
