/* SPDX-License-Identifier: MIT */
/*
 * Stretches of what the translator does on flags, system registers, strings and bit strings, for lockstep_test's generator.
 *
 * At CPL 3 most of the former fault, which is a test, too. Interrupts come at any time in programs that have them: they find IF
 * clear as often as set, and must be taken right behind the shadow of an STI.
 */
#include "lockstep_emit.h"

/* push; change one bit of the image; pop */
static void change_flags(struct ls_gen *g)
{
    static const uint32_t bits[] = { 0x200, 0x200, 0x200, 0x400, 1 << 18, 1 << 21, 0x1, 0x800, 0x80, 0x4000 };
    ls_set_stack(g);
    PUT(g, 0x9c);
    if (percent(g, 80)) /* or, and, xor dword [rsp], imm */
        switch (below(g, 3)) {
        case 0: PUT32(g, bits[below(g, 10)], 0x81, 0x0c, 0x24); break;
        case 1: PUT32(g, ~bits[below(g, 10)], 0x81, 0x24, 0x24); break;
        default: PUT32(g, bits[below(g, 10)], 0x81, 0x34, 0x24);
        }
    if (percent(g, 10))
        PUT(g, 0x66, 0x9d);
    else
        PUT(g, 0x9d);
}

/* A move from or to memory, any of the data pages. */
static void access_data(struct ls_gen *g)
{
    unsigned reg = ls_any_reg(g);
    if ((reg & 7) == RSP) /* it would need a SIB byte */
        reg = R13;
    ls_mov(g, reg, ls_aliased(g, ls_data(g, 8)));
    PUT(g, (uint8_t)(0x48 | reg >> 3), percent(g, 50) ? 0x8b : 0x89, (uint8_t)(0x40 | below(g, 4) << 3 | (reg & 7)), 0);
}

static void read_register(struct ls_gen *g)
{
    static const uint8_t cr[] = { 0, 2, 3, 4 };
    unsigned reg = below(g, 16), b = reg >> 3, low = reg & 7;
    if (reg == RSP)
        reg = RBX, low = RBX;
    switch (below(g, 4)) {
    case 0: PUT(g, (uint8_t)(0x40 | b), 0x0f, 0x20, (uint8_t)(0xc0 | cr[below(g, 4)] << 3 | low)); break;
    case 1: /* mov reg, selector */
        if (percent(g, 40))
            PUT(g, 0x66, (uint8_t)(0x40 | b), 0x8c, (uint8_t)(0xc0 | below(g, 8) << 3 | low));
        else
            PUT(g, (uint8_t)(0x40 | b | below(g, 2) << 3), 0x8c, (uint8_t)(0xc0 | below(g, 6) << 3 | low));
        break;
    case 2: /* mov [mem], selector */
        ls_mov(g, RBX, ls_aliased(g, ls_data(g, 2)));
        PUT(g, 0x8c, (uint8_t)(3 | below(g, 6) << 3));
        break;
    default: /* rdfsbase, rdgsbase, and back */
        PUT(g, 0xf3, (uint8_t)(0x48 | b), 0x0f, 0xae, (uint8_t)((percent(g, 50) ? 0xc0 : 0xc8) | low));
        PUT(g, 0xf3, (uint8_t)(0x48 | b), 0x0f, 0xae, (uint8_t)((percent(g, 50) ? 0xd0 : 0xd8) | low));
        ls_mov(g, RAX, g->p->fs_base);
        PUT(g, 0xf3, 0x48, 0x0f, 0xae, 0xd0);
    }
}

void ls_sys(struct ls_gen *g)
{
    for (unsigned n = 1 + below(g, 7); n > 0; n--) {
        switch (below(g, 12)) {
        case 0: PUT(g, 0xfa); break;
        case 1:
        case 2:
            PUT(g, 0xfb);
            if (percent(g, 60))
                access_data(g); /* in the shadow, at times, or behind the move that is */
            else if (percent(g, 30))
                PUT(g, 0xfa);
            break;
        case 3:
            if (percent(g, 30)) {
                ls_mov(g, RCX, below(g, 2));
                PUT(g, 0xfb);
                PUT(g, 0xf7, 0xf1); /* div ecx in the shadow: a host fault, at times */
                ls_define_flags(g);
                break;
            }
            ls_mov(g, RBX, ls_aliased(g, ls_data(g, 8)));
            PUT(g, 0xfb);
            PUT(g, 0x48, percent(g, 50) ? 0x8b : 0x01, 0x03); /* in the shadow */
            break;
        case 4:
        case 5: change_flags(g); break;
        case 6: PUT(g, 0x0f, 0x01, 0xca); break;
        case 7: PUT(g, 0x0f, 0x01, 0xcb); break;
        case 8: PUT(g, 0x0f, 0x01, 0xf8); break; /* swapgs */
        case 9: read_register(g); break;
        default: access_data(g);
        }
    }
    if (g->p->irqs && percent(g, 50))
        PUT(g, 0xfb);
}

/* A bit string: its bit number reaches some way around the address. */
static void bit_string(struct ls_gen *g)
{
    static const uint8_t opcode[] = { 0xa3, 0xab, 0xb3, 0xbb };
    unsigned index = below(g, 16), op = below(g, 4), w = below(g, 2);
    if (index == RSP || index == RBX)
        index = R14;
    ls_mov(g, RBX, ls_aliased(g, ls_data(g, 8)));
    ls_mov(g, index, (uint64_t)((int64_t)below(g, 4000) - 2000) & (percent(g, 50) ? ~0ULL : 0xffffffff));
    uint8_t rex = (uint8_t)(0x40 | w << 3 | (index >> 3) << 2), modrm = (uint8_t)(3 | (index & 7) << 3);
    if (op && percent(g, 50))
        PUT(g, 0xf0, rex, 0x0f, opcode[op], modrm);
    else if (percent(g, 10))
        PUT(g, 0x66, rex, 0x0f, opcode[op], modrm);
    else
        PUT(g, rex, 0x0f, opcode[op], modrm);
    ls_define_flags(g);
}

static void exchange(struct ls_gen *g)
{
    uint64_t at = ls_data(g, 16);
    ls_mov(g, RSI, ls_aliased(g, percent(g, 90) ? at & ~15ULL : at));
    if (percent(g, 50)) { /* what is there: equal */
        PUT(g, 0x48, 0x8b, 0x06);
        PUT(g, 0x48, 0x8b, 0x56, 0x08);
    }
    uint8_t rex = percent(g, 60) ? 0x48 : 0x40;
    if (percent(g, 70))
        PUT(g, 0xf0, rex, 0x0f, 0xc7, 0x0e);
    else
        PUT(g, rex, 0x0f, 0xc7, 0x0e);
}

/* MOVS, STOS, LODS, SCAS, CMPS: short and long ones, across pages into what faults, overlapping, onto code. */
static void string(struct ls_gen *g)
{
    static const uint8_t opcode[] = { 0xa4, 0xa4, 0xa4, 0xaa, 0xaa, 0xaa, 0xac, 0xae, 0xa6 };
    uint64_t to = ls_data(g, 64), from = ls_data(g, 64);
    unsigned op = opcode[below(g, sizeof(opcode))] | below(g, 2), size = below(g, 3);
    bool compares = op == 0xa6 || op == 0xa7 || op == 0xae || op == 0xaf;
    if (percent(g, 30))
        from = to + below(g, 64) - 32;
    bool onto_code = percent(g,
                             8); /* onto data beside code: where one that was begun again overwrote itself it would matter when */
    if (onto_code)
        to = ls_alias_va(below(g, 1500));
    ls_mov(g, RDI, ls_aliased(g, to));
    ls_mov(g, RSI, ls_aliased(g, from));
    ls_mov(g, RCX,
           onto_code || percent(g, 70) ? below(g, 40)
           : percent(g, 80)            ? below(g, 5000)
                                       : (uint64_t)below(g, 3) << 32 | below(g, 9));
    if (percent(g, 10))
        PUT(g, 0xfd);
    uint8_t b[8];
    unsigned n = 0;
    if (percent(g, 80))
        b[n++] = percent(g, 80) ? 0xf3 : 0xf2;
    if (percent(g, 7))
        b[n++] = 0x67;
    if (percent(g, 5))
        b[n++] = percent(g, 50) ? 0x64 : 0x65;
    if (size == 1)
        b[n++] = 0x66;
    else if (size == 2)
        b[n++] = 0x48;
    b[n++] = (uint8_t)op;
    ls_put(g, b, n);
    if (compares) /* none is done with count 0: then flags stay; either way they are defined */
        PUT(g, 0x0f, 0x92, 0xc0);
    PUT(g, 0xfc);
}

void ls_string(struct ls_gen *g)
{
    for (unsigned n = 1 + below(g, 3); n > 0; n--) {
        switch (below(g, 5)) {
        case 0: bit_string(g); break;
        case 1: exchange(g); break;
        default: string(g);
        }
    }
}
