/* SPDX-License-Identifier: MIT */
/*
 * The differences between two states, by the names of their parts: see fields.h.
 */
#include "classify/fields.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* A walk over differences. */
struct walk {
    const uint8_t *a, *b;
    const uint8_t *alike[2]; /* NULL: nothing is left out */
    unsigned how;
    difference_fn fn;
    void *opaque;
};

/* Up to 16 bytes, as a number. */
static void number_text(const uint8_t *p, unsigned size, char *text, size_t cap)
{
    unsigned n = size > 16 ? 16 : size;
    size_t at = (size_t)snprintf(text, cap, "0x");
    while (n > 1 && !p[n - 1])
        n--;
    for (bool first = true; n-- > 0; first = false)
        at += (size_t)snprintf(text + at, cap - at, first ? "%x" : "%02x", p[n]);
}

static void area_name(const struct field_area *a, unsigned off, char *text, size_t cap)
{
    if (a->size == 8)
        (void)snprintf(text, cap, "%s", a->name);
    else
        (void)snprintf(text, cap, a->resource ? "%s0x%" PRIx64 : "%s 0x%" PRIx64, a->name, a->address + off);
}

static void field_name(const struct field *f, unsigned n, char *text, size_t cap)
{
    if (f->count == 1)
        (void)snprintf(text, cap, "%s", f->name);
    else
        (void)snprintf(text, cap, "%s%u", f->name, n);
}

/* The bytes at `at` are the same in both of the states whose differences are left out. */
static bool alike_at(const struct walk *w, size_t at, size_t size)
{
    return !w->alike[0] || memcmp(w->alike[0] + at, w->alike[1] + at, size) == 0;
}

static uint64_t bits_at(const uint8_t *state, const struct field *f)
{
    uint64_t v = 0;
    memcpy(&v, state + f->at, f->size);
    return v;
}

/* Element n of the field differs, in what is not left out. */
static bool differs(const struct walk *w, const struct field *f, unsigned n, struct difference *d)
{
    size_t at = f->at + (size_t)n * f->size;
    if (f->kind == FIELD_MIXED) {
        uint64_t bits = bits_at(w->a, f) ^ bits_at(w->b, f);
        bits &= w->alike[0] ? ~(bits_at(w->alike[0], f) ^ bits_at(w->alike[1], f)) : ~0ULL;
        d->resource = bits & f->resources;
        d->note = bits & f->notes;
        return bits;
    }
    d->resource = f->kind == FIELD_RESOURCE;
    return memcmp(w->a + at, w->b + at, f->size) != 0 && alike_at(w, at, f->size);
}

static void set_values(const struct walk *w, size_t at, unsigned size, struct difference *d)
{
    number_text(w->a + at, size, d->value[0], sizeof(d->value[0]));
    number_text(w->b + at, size, d->value[1], sizeof(d->value[1]));
}

static bool walk_field(const struct walk *w, const struct field *f)
{
    if ((f->kind == FIELD_PROGRAM && w->how & FIELDS_RESOURCES)
        || memcmp(w->a + f->at, w->b + f->at, (size_t)f->size * f->count) == 0)
        return false;
    for (unsigned n = 0; n < f->count; n++) {
        struct difference d = { .resource = false };
        if (!differs(w, f, n, &d))
            continue;
        if (w->how & FIELDS_TEXTS) {
            field_name(f, n, d.name, sizeof(d.name));
            set_values(w, f->at + (size_t)n * f->size, f->size, &d);
        }
        if (w->fn(w->opaque, &d))
            return true;
    }
    return false;
}

static bool walk_area(const struct walk *w, const struct field_area *r)
{
    if ((!r->resource && w->how & FIELDS_RESOURCES) || memcmp(w->a + r->at, w->b + r->at, r->size) == 0)
        return false;
    for (unsigned off = 0; off < r->size; off += 8) {
        struct difference d = { .resource = r->resource };
        if (memcmp(w->a + r->at + off, w->b + r->at + off, 8) == 0 || !alike_at(w, r->at + off, 8))
            continue;
        if (w->how & FIELDS_TEXTS) {
            area_name(r, off, d.name, sizeof(d.name));
            set_values(w, r->at + off, 8, &d);
        }
        if (w->fn(w->opaque, &d))
            return true;
    }
    return false;
}

bool fields_compare(const struct fields *fields, const void *a, const void *b, const void *const alike[2], unsigned how,
                    difference_fn fn, void *opaque)
{
    struct walk w = { .a = a, .b = b, .how = how, .fn = fn, .opaque = opaque };
    if (alike) {
        w.alike[0] = alike[0];
        w.alike[1] = alike[1];
    }
    for (const struct field *f = fields->field; f->name; f++)
        if (walk_field(&w, f))
            return true;
    for (unsigned k = 0; k < fields->nr_areas; k++)
        if (walk_area(&w, &fields->area[k]))
            return true;
    return false;
}

void fields_value(const struct fields *fields, const void *state, const char *name, char *text, size_t cap)
{
    char own[32];
    const uint8_t *s = state;
    text[0] = 0;
    for (const struct field *f = fields->field; f->name; f++)
        for (unsigned n = 0; n < f->count; n++) {
            field_name(f, n, own, sizeof(own));
            if (strcmp(own, name) == 0)
                number_text(s + f->at + (size_t)n * f->size, f->size, text, cap);
        }
    for (unsigned k = 0; k < fields->nr_areas; k++) {
        const struct field_area *a = &fields->area[k];
        for (unsigned off = 0; off < a->size; off += 8) {
            area_name(a, off, own, sizeof(own));
            if (strcmp(own, name) == 0)
                number_text(s + a->at + off, 8, text, cap);
        }
    }
}
