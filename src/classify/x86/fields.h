/* SPDX-License-Identifier: MIT */
/*
 * Which parts of an x86 CPU's state are the program's, and which are resources that a monitor must keep: the one thing that is
 * said by hand (docs/theory.md says why each).
 */
#ifndef DOPPEL_CLASSIFY_X86_FIELDS_H
#define DOPPEL_CLASSIFY_X86_FIELDS_H

#include <stddef.h>

#include "classify/x86/world.h"

enum field_kind { FIELD_PROGRAM, FIELD_RESOURCE, FIELD_FLAGS /* RFLAGS: some of both */ };

struct field {
    const char *name;
    uint16_t at, size; /* in struct x86_cpu, bytes */
    uint8_t count;     /* elements of an array, next to each other */
    uint8_t kind;      /* enum field_kind */
};

/* Ends with name NULL. */
const struct field *fields(void);
/* RFLAGS bits that are resources; the others are the program's. */
#define FIELDS_FLAGS ((uint64_t)(FLAG_IF | FLAG_IOPL | FLAG_VM | FLAG_AC | FLAG_VIF | FLAG_VIP))

/* A difference between two states: of a register, or of bytes of memory. */
struct difference {
    char name[32];
    char value[2][40];
    bool resource;
};

/* Called for each; stops and returns true when it returns true. */
typedef bool (*difference_fn)(void *opaque, const struct difference *d);

enum {
    FIELDS_TEXTS = 1,     /* make names and values (they take time) */
    FIELDS_RESOURCES = 2, /* leave out what is the program's */
};
/* Walks the differences between a and b. `alike`: NULL, or two states: what differs between those is left out. */
bool fields_compare(const struct world_state *a, const struct world_state *b, const struct world_state *const alike[2],
                    unsigned how, difference_fn fn, void *opaque);
/* Text of one part of a state, by the name a difference has; empty when there is no such part. */
void fields_value(const struct world_state *s, const char *name, char *text, size_t cap);

#endif
