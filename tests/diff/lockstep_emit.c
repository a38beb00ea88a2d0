/* SPDX-License-Identifier: MIT */
/*
 * Emitters of single instructions for lockstep_test's generator: see lockstep_emit.h.
 */
#include "lockstep_emit.h"

#include <string.h>

void ls_put(struct ls_gen *g, const void *bytes, unsigned len)
{
    struct ls_program *p = g->p;
    if (g->pos + len > LS_CODE_BYTES)
        return; /* ls_room() keeps this from happening but in the longest items */
    memcpy(p->code + g->pos, bytes, len);
    for (unsigned k = 0; k < len; k++)
        p->resume[g->pos + k] = (uint16_t)(g->pos + len);
    g->pos += len;
}

void ls_put32(struct ls_gen *g, const void *bytes, unsigned len, uint32_t v)
{
    uint8_t all[16];
    memcpy(all, bytes, len);
    memcpy(all + len, &v, 4);
    ls_put(g, all, len + 4);
}

void ls_patch_rel(struct ls_gen *g, unsigned end, unsigned to)
{
    uint32_t rel = to - end;
    memcpy(g->p->code + end - 4, &rel, 4);
}

bool ls_room(const struct ls_gen *g, unsigned bytes)
{
    return g->pos + bytes < LS_CODE_BYTES;
}

unsigned ls_any_reg(struct ls_gen *g)
{
    static const uint8_t special[] = { RCX, R10, R11, R13, R14, R15, RSP };
    unsigned reg = percent(g, 45) ? special[below(g, sizeof(special))] : below(g, 16);
    return reg == RSP && (g->in_function || percent(g, 50)) ? R10 : reg;
}

void ls_mov(struct ls_gen *g, unsigned reg, uint64_t v)
{
    uint8_t b = reg >> 3, low = reg & 7;
    unsigned how = below(g, 4);
    int64_t to_rip = (int64_t)(v - ls_code_va(g->pos + 7));
    if (how == 0 && to_rip == (int32_t)to_rip) { /* lea reg, [rip + disp] */
        PUT32(g, to_rip, (uint8_t)(0x48 | b << 2), 0x8d, (uint8_t)(low << 3 | 5));
    } else if (how <= 2 && v <= UINT32_MAX) {
        PUT32(g, v, (uint8_t)(0x40 | b), (uint8_t)(0xb8 | low));
    } else if ((int64_t)v == (int32_t)v) {
        PUT32(g, v, (uint8_t)(0x48 | b), 0xc7, (uint8_t)(0xc0 | low));
    } else {
        uint8_t all[10] = { (uint8_t)(0x48 | b), (uint8_t)(0xb8 | low) };
        memcpy(all + 2, &v, 8);
        ls_put(g, all, sizeof(all));
    }
}

uint64_t ls_data(struct ls_gen *g, unsigned size)
{
    /* 0..5 plain, 6 read-only, 7 absent, 8 supervisor, 9 device, 10 and 11 aliases (11 read-only), 12.. changing */
    static const uint8_t odd[] = { 6, 6, 7, 8, 8, 9, 9, 10, 10, 11, 12, 12, 13, 14, 15, 5 };
    unsigned page = percent(g, 78) ? below(g, 6) : odd[below(g, sizeof(odd))], off;
    if (!size || size > 64)
        size = 64;
    if (percent(g, 60))
        off = below(g, 4096 / 32) * 32;
    else if (percent(g, 70))
        off = below(g, 4096);
    else
        off = 4096 - 1 - below(g, 2 * size);
    return LS_V_WINDOW + ((uint64_t)(LS_W_DATA + page) << 12) + off;
}

uint64_t ls_aliased(struct ls_gen *g, uint64_t va)
{
    if (percent(g, 80))
        return va;
    return va - LS_V_WINDOW + (percent(g, 60) ? LS_V_WINDOW_HIGH : LS_V_WINDOW_SUPER);
}

void ls_set_stack(struct ls_gen *g)
{
    unsigned off = percent(g, 85) ? 0x200 + 8 * below(g, 0x1a0) : below(g, 4096);
    ls_mov(g, RSP, ls_aliased(g, LS_V_WINDOW + ((uint64_t)(LS_W_DATA + below(g, 6)) << 12) + off));
}

void ls_define_flags(struct ls_gen *g)
{
    unsigned reg = below(g, 16), b = reg >> 3;
    uint8_t low = reg & 7, rex = (uint8_t)(0x40 | b | below(g, 2) << 3);
    bool writes = percent(g, 40) && reg != RSP;
    g->p->flags_open[g->pos] = true;
    switch (below(g, 4)) {
    case 0: PUT(g, rex, 0x83, (uint8_t)((writes ? 0xc0 : 0xf8) | low), (uint8_t)below(g, 256)); break; /* add, cmp */
    case 1: PUT(g, (uint8_t)(rex & 0xf7), 0x80, (uint8_t)((writes ? 0xe8 : 0xf8) | low), (uint8_t)below(g, 256)); break;
    case 2: PUT(g, rex, writes ? 0x01 : 0x39, (uint8_t)(0xc0 | below(g, 8) << 3 | low)); break;
    default: PUT(g, 0x3c, (uint8_t)below(g, 256)); break; /* cmp al, imm8 */
    }
}

unsigned ls_seldom(struct ls_gen *g)
{
    static const uint8_t bits[] = { 0, 1, 7, 15, 15, 31 };
    uint32_t counter = LS_V_WINDOW + (LS_W_COUNTERS << 12);
    PUT(g, 0xf6, 0x04, 0x25, (uint8_t)counter, (uint8_t)(counter >> 8), (uint8_t)(counter >> 16), (uint8_t)(counter >> 24),
        bits[below(g, sizeof(bits))]);
    PUT32(g, 0, 0x0f, 0x85);
    return g->pos;
}

void ls_seldom_end(struct ls_gen *g, unsigned begin)
{
    ls_patch_rel(g, begin, g->pos);
}
