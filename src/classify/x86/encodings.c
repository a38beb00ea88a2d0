/* SPDX-License-Identifier: MIT */
/*
 * Byte strings of every row of the instruction table: see encodings.h.
 */
#include "classify/x86/encodings.h"

#include <stdlib.h>
#include <string.h>

#include "base/rng.h"

enum { REG_FORM = 0xc0, RM_RBX = 3, RM_SIB = 4, SIB_RBX_RCX = 0x0b };

struct finder {
    struct encodings_row *rows;
    enum x86_mode mode;
    struct rng rng;
};

/* opcode_at: where the opcode's last byte must turn out to be, or it was a prefix. */
static void keep(struct finder *f, const struct encoding *e, unsigned opcode_at, bool has_modrm)
{
    uint8_t bytes[X86_INSN_MAX + sizeof(e->bytes)] = { 0 };
    struct x86_insn i;

    memcpy(bytes, e->bytes, e->len);
    if (x86_decode(bytes, X86_INSN_MAX, f->mode, &i) < 0 || has_modrm != (i.layout.modrm != 0) || i.layout.opcode != opcode_at)
        return;
    struct encodings_row *row = &f->rows[i.row];
    if (row->nr && row->mode != f->mode)
        return;
    row->mode = f->mode;
    row->seen++;
    unsigned at = row->nr < ENCODINGS_PER_ROW ? row->nr++ : rng_below(&f->rng, row->seen);
    if (at < ENCODINGS_PER_ROW)
        row->e[at] = *e;
}

static void keep_modrm(struct finder *f, const struct encoding *without, uint8_t modrm)
{
    struct encoding e = *without;
    e.bytes[e.len++] = modrm;
    if (modrm < REG_FORM && (modrm & 7) == RM_SIB)
        e.bytes[e.len++] = SIB_RBX_RCX;
    keep(f, &e, without->len - 1U, true);
}

/* all: every register form; else one a value of ModRM.reg. */
static void keep_modrms(struct finder *f, const struct encoding *e, bool all)
{
    for (unsigned reg = 0; reg < 8; reg++) {
        for (unsigned rm = all ? 0 : 2; rm < (all ? 8 : 3); rm++)
            keep_modrm(f, e, (uint8_t)(REG_FORM | reg << 3 | rm));
        keep_modrm(f, e, (uint8_t)(reg << 3 | RM_RBX));
        keep_modrm(f, e, (uint8_t)(reg << 3 | RM_SIB));
    }
}

static void find_legacy(struct finder *f)
{
    static const uint8_t prefixes[] = { 0, 0x66, 0xf3, 0xf2 };
    static const uint8_t maps[][2] = { { 0, 0 }, { 0x0f, 0 }, { 0x0f, 0x38 }, { 0x0f, 0x3a } };
    bool has_rex = f->mode == X86_MODE_64;
    for (unsigned n = 0; n < 4 * 4 * 256 * 2; n++) {
        struct encoding e = { .len = 0 };
        uint8_t prefix = prefixes[n & 3], opcode = (uint8_t)(n >> 4), wide = n >> 12 & 1;
        const uint8_t *map = maps[n >> 2 & 3];
        if (wide && !has_rex)
            break;
        if (prefix)
            e.bytes[e.len++] = prefix;
        if (wide)
            e.bytes[e.len++] = 0x48;
        for (unsigned k = 0; k < 2 && map[k]; k++)
            e.bytes[e.len++] = map[k];
        e.bytes[e.len++] = opcode;
        keep(f, &e, e.len - 1U, false);
        keep_modrms(f, &e, true);
    }
}

static void find_vex(struct finder *f)
{
    for (unsigned n = 0; n < 4 * 4 * 2 * 2 * 256; n++) {
        unsigned pp = n & 3, map = n >> 2 & 3, w = n >> 4 & 1, l = n >> 5 & 1;
        struct encoding e = { .len = 4 };
        e.bytes[0] = 0xc4;
        e.bytes[1] = (uint8_t)(0xe0 | map);
        e.bytes[2] = (uint8_t)(w << 7 | 0x78 | l << 2 | pp);
        e.bytes[3] = (uint8_t)(n >> 6);
        keep(f, &e, e.len - 1U, false);
        keep_modrms(f, &e, false);
    }
}

static void find_evex(struct finder *f)
{
    for (unsigned n = 0; n < 4 * 4 * 2 * 4 * 2 * 2 * 256; n++) {
        unsigned pp = n & 3, map = n >> 2 & 3, w = n >> 4 & 1, ll = n >> 5 & 3, b = n >> 7 & 1, k = n >> 8 & 1;
        struct encoding e = { .len = 5 };
        if (!map)
            continue;
        e.bytes[0] = 0x62;
        e.bytes[1] = (uint8_t)(0xf0 | map);
        e.bytes[2] = (uint8_t)(w << 7 | 0x7c | pp);
        e.bytes[3] = (uint8_t)(ll << 5 | b << 4 | 8 | k);
        e.bytes[4] = (uint8_t)(n >> 9);
        keep_modrms(f, &e, false);
    }
}

struct encodings_row *encodings_new(void)
{
    struct finder f = { .rng = { 1 } };
    static const enum x86_mode modes[] = { X86_MODE_64, X86_MODE_32 };
    f.rows = calloc(x86_nr_rows, sizeof(*f.rows));
    if (!f.rows)
        return NULL;
    for (unsigned m = 0; m < 2; m++) {
        f.mode = modes[m];
        find_legacy(&f);
        find_vex(&f);
        find_evex(&f);
    }
    return f.rows;
}
