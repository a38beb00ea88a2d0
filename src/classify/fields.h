/* SPDX-License-Identifier: MIT */
/*
 * Parts of a machine's state by name: which are the program's and which are resources that a monitor must keep; and the walk
 * over the differences between two states.
 *
 * The tables are each ISA's (classify/x86/parts.c, classify/riscv/parts.c); a state is memory of one layout, known here by
 * offsets only. No state is kept; thread-safe.
 */
#ifndef DOPPEL_CLASSIFY_FIELDS_H
#define DOPPEL_CLASSIFY_FIELDS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum field_kind {
    FIELD_PROGRAM,
    FIELD_RESOURCE,
    FIELD_MIXED /* up to 8 bytes with bits of both, each compared by itself */
};

struct field {
    const char *name;
    uint32_t at;   /* in a state, bytes */
    uint16_t size; /* of an element, bytes */
    uint8_t count; /* elements of an array, next to each other */
    uint8_t kind;  /* enum field_kind */
    /* FIELD_MIXED: bits that are resources, and bits by which the hardware only notes for the supervisor what the program used;
     * the others are the program's. */
    uint64_t resources, notes;
};

/* Memory and devices, compared in pieces of 8 bytes. `address` is where the piece is for people. */
struct field_area {
    const char *name;
    uint64_t address;
    uint32_t at, size;
    bool resource;
};

struct fields {
    const struct field *field; /* ends with name NULL */
    const struct field_area *area;
    unsigned nr_areas;
};

/* A difference between two states: of a register, or of bytes of memory. */
struct difference {
    char name[32];
    char value[2][40];
    bool resource, note;
};

/* Called for each; stops and returns true when it returns true. */
typedef bool (*difference_fn)(void *opaque, const struct difference *d);

enum {
    FIELDS_TEXTS = 1,     /* make names and values (they take time) */
    FIELDS_RESOURCES = 2, /* leave out what is the program's */
};
/* Walks the differences between a and b. `alike`: NULL, or two states: what differs between those is left out. */
bool fields_compare(const struct fields *f, const void *a, const void *b, const void *const alike[2], unsigned how,
                    difference_fn fn, void *opaque);
/* Text of one part of a state, by the name a difference has; empty when there is no such part. */
void fields_value(const struct fields *f, const void *state, const char *name, char *text, size_t cap);

#endif
