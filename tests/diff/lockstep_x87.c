/* SPDX-License-Identifier: MIT */
/*
 * Stretches of x87 and MMX code for lockstep_test's generator: arithmetic on a stack that is mostly valid, control words that
 * mask all or not, flags read and written, SSE in between, memory operands that may fault, and stores of the whole state.
 *
 * A register (RSI) points to data for the whole stretch; its few first bytes are at times made numbers.
 */
#include "lockstep_emit.h"

enum { DISP_MAX = 120 };

/* Opcode and ModRM for [rsi + disp8]. */
static void put_at_rsi(struct ls_gen *g, uint8_t opcode, unsigned reg)
{
    PUT(g, opcode, (uint8_t)(0x46 | reg << 3), (uint8_t)below(g, DISP_MAX));
}

/* Constants, doubles and integers, so that there is something to compute with. */
static void push_number(struct ls_gen *g)
{
    static const uint8_t loads[][2] = {
        { 0xd9, 0 }, { 0xdd, 0 }, { 0xdb, 5 }, { 0xdb, 0 }, { 0xdf, 0 }, { 0xdf, 5 }, { 0xdf, 4 }
    };
    unsigned k = below(g, 12);
    if (k < 7)
        put_at_rsi(g, loads[k][0], loads[k][1]);
    else
        PUT(g, 0xd9, (uint8_t)(0xe8 + below(g, 7))); /* fld1 to fldz */
}

static void pop_number(struct ls_gen *g)
{
    static const uint8_t stores[][2] = { { 0xd9, 3 }, { 0xdd, 3 }, { 0xdb, 7 }, { 0xdb, 3 }, { 0xdf, 3 }, { 0xdf, 7 },
                                         { 0xdf, 6 }, { 0xdd, 1 }, { 0xdb, 1 }, { 0xdf, 1 }, { 0xd9, 2 }, { 0xdd, 2 } };
    unsigned k = below(g, 12);
    put_at_rsi(g, stores[k][0], stores[k][1]);
}

static void arithmetic(struct ls_gen *g)
{
    static const uint8_t of_memory[] = { 0xd8, 0xdc, 0xda, 0xde }, of_stack[] = { 0xd8, 0xdc, 0xde };
    static const uint8_t unary[] = { 0xe0, 0xe1, 0xe4, 0xe5, 0xf0, 0xf1, 0xf2, 0xf3, 0xf4, 0xf5, 0xf6,
                                     0xf7, 0xf8, 0xf9, 0xfa, 0xfb, 0xfc, 0xfd, 0xfe, 0xff, 0xd0 };
    switch (below(g, 4)) {
    case 0: put_at_rsi(g, of_memory[below(g, 4)], below(g, 8)); break;
    case 1:
    case 2: PUT(g, of_stack[below(g, 3)], (uint8_t)(0xc0 | below(g, 64))); break;
    default: PUT(g, 0xd9, unary[below(g, sizeof(unary))]);
    }
}

/* FCMOVcc reads flags, FCOMI and kin write them. */
static void with_flags(struct ls_gen *g)
{
    switch (below(g, 4)) {
    case 0: PUT(g, percent(g, 50) ? 0xda : 0xdb, (uint8_t)(0xc0 | below(g, 32))); break;                          /* fcmovcc */
    case 1: PUT(g, percent(g, 50) ? 0xdb : 0xdf, (uint8_t)((percent(g, 50) ? 0xe8 : 0xf0) | below(g, 8))); break; /* fcomi */
    case 2: PUT(g, 0x83, 0xf8, (uint8_t)below(g, 256)); break; /* cmp eax, imm8 */
    default:
        PUT(g, 0xdf, 0xe0); /* fnstsw ax */
        PUT(g, 0x9e);       /* sahf */
    }
}

/* Control words that mask all: any precision and rounding; some programs unmask. */
static void load_control(struct ls_gen *g)
{
    unsigned v = 0x3f | below(g, 4) << 8 | below(g, 4) << 10 | (percent(g, 20) ? rng_next(&g->r) & 0xf0c0 : 0);
    if (g->p->x87_unmasked && percent(g, 40))
        v &= ~below(g, 64);
    uint8_t disp = (uint8_t)below(g, DISP_MAX);
    PUT(g, 0x66, 0xc7, 0x46, disp, (uint8_t)v, (uint8_t)(v >> 8)); /* mov word [rsi + disp], v */
    PUT(g, 0xd9, 0x6e, disp);                                      /* fldcw */
}

static void control(struct ls_gen *g)
{
    switch (below(g, 12)) {
    case 0:
    case 1: load_control(g); break;
    case 2:
    case 3: put_at_rsi(g, 0xd9, 7); break; /* fnstcw */
    case 4: put_at_rsi(g, 0xdd, 7); break; /* fnstsw */
    case 5: PUT(g, 0x9b); break;           /* fwait */
    case 6: PUT(g, 0xdb, 0xe2); break;     /* fnclex */
    case 7: PUT(g, 0xdb, 0xe3); break;     /* fninit */
    case 8: put_at_rsi(g, 0xd9, 6); break; /* fnstenv */
    case 9: PUT(g, 0x0f, 0x77); break;     /* emms */
    case 10: PUT(g, 0xdb, (uint8_t)(0xe0 + below(g, 5))); break;
    default: /* fnsave and back, or an environment and back */
        if (percent(g, 50)) {
            PUT(g, 0xdd, 0x36);
            PUT(g, 0xdd, 0x26);
        } else {
            PUT(g, 0xd9, 0x36);
            PUT(g, 0xd9, 0x26);
        }
    }
}

static void mmx(struct ls_gen *g)
{
    static const uint8_t opcode[] = { 0x60, 0x63, 0x67, 0x6b, 0x6f, 0x6f, 0x7f, 0x7f, 0x74, 0xd1, 0xd5, 0xdb, 0xdf,
                                      0xeb, 0xef, 0xe7, 0xf5, 0xf6, 0xfb, 0xfd, 0xd4, 0x6e, 0x7e, 0xe0, 0xe5, 0xf2 };
    uint8_t op = opcode[below(g, sizeof(opcode))], rex = (uint8_t)(0x40 | below(g, 16));
    if (percent(g, 35) || op == 0xe7)
        PUT(g, 0x0f, op, (uint8_t)(0x46 | below(g, 8) << 3), (uint8_t)below(g, DISP_MAX));
    else if (op == 0x7e) /* not into rsi or rsp */
        PUT(g, rex, 0x0f, op, (uint8_t)(0xc0 | below(g, 8) << 3 | below(g, 4)));
    else
        PUT(g, rex, 0x0f, op, (uint8_t)(0xc0 | below(g, 64)));
}

/* Between MMX and SSE registers, or SSE alone. */
static void with_sse(struct ls_gen *g)
{
    uint8_t modrm = (uint8_t)(0xc0 | below(g, 64));
    switch (below(g, 7)) {
    case 0: PUT(g, 0xf3, 0x0f, 0xd6, modrm); break;                                               /* movq2dq */
    case 1: PUT(g, 0xf2, 0x0f, 0xd6, modrm); break;                                               /* movdq2q */
    case 2: PUT(g, 0x0f, percent(g, 50) ? 0x2a : 0x2d, modrm); break;                             /* cvtpi2ps, cvtps2pi */
    case 3: PUT(g, 0x66, 0x0f, percent(g, 50) ? 0x2a : 0x2c, modrm); break;                       /* cvtpi2pd, cvttpd2pi */
    case 4: PUT(g, 0xf2, 0x0f, 0x58, modrm); break;                                               /* addsd */
    case 5: PUT(g, 0x0f, percent(g, 50) ? 0x10 : 0x11, 0x46, (uint8_t)below(g, DISP_MAX)); break; /* movups */
    default: PUT(g, 0xf2, 0x0f, percent(g, 50) ? 0x10 : 0x11, 0x46, (uint8_t)below(g, DISP_MAX)); /* movsd */
    }
}

/* A host fault where flags are dead. */
static void no_address(struct ls_gen *g)
{
    ls_mov(g, RSI, 1ULL << 63 | below(g, 2048));
    push_number(g);
    PUT(g, 0xd9, (uint8_t)(0xe8 + below(g, 7)));
    pop_number(g);
    PUT(g, 0x83, 0xf8, (uint8_t)below(g, 256)); /* cmp eax, imm8 */
    if (percent(g, 50))
        ls_mov(g, RSI, ls_aliased(g, ls_data(g, 64)));
}

static void integer(struct ls_gen *g)
{
    switch (below(g, 5)) {
    case 0: PUT(g, 0x48, percent(g, 50) ? 0x8b : 0x89, 0x46, (uint8_t)below(g, DISP_MAX)); break; /* mov rax, [rsi + disp] */
    case 1: PUT(g, 0x48, 0x83, 0xc6, (uint8_t)(8 * below(g, 4))); break;                          /* add rsi, imm8 */
    case 2: PUT(g, (uint8_t)(0x70 | below(g, 16)), 0); break;                                     /* ends the block */
    case 3:
        if (percent(g, 40))
            PUT(g, 0xcd, LS_INT_LOG);
        else
            no_address(g);
        break;
    default: ls_insn(g);
    }
}

/* Where the state shows in memory. */
static void show(struct ls_gen *g)
{
    if (percent(g, 30))
        return;
    ls_mov(g, RSI, LS_V_WINDOW + ((uint64_t)(LS_W_DATA + below(g, 6)) << 12) + 64 * below(g, 50));
    switch (below(g, 3)) {
    case 0: PUT(g, 0xd9, 0x36); break;       /* fnstenv */
    case 1: PUT(g, 0xdd, 0x36); break;       /* fnsave */
    default: PUT(g, 0x48, 0x0f, 0xae, 0x06); /* fxsave64 */
    }
}

static void numbers(struct ls_gen *g)
{
    static const uint32_t high[] = { 0x3ff00000, 0x40091eb8, 0xc0590000, 0x7ff00000, 0x00000001, 0x7ff80000, 0x41dfffff };
    for (unsigned n = below(g, 4); n > 0; n--) {
        uint8_t disp = (uint8_t)(8 * below(g, DISP_MAX / 8));
        PUT32(g, high[below(g, 7)], 0xc7, 0x46, (uint8_t)(disp + 4)); /* mov dword [rsi + disp + 4], imm32 */
    }
}

void ls_x87(struct ls_gen *g)
{
    ls_mov(g, RSI, ls_aliased(g, ls_data(g, 64)));
    if (percent(g, 60))
        numbers(g);
    if (percent(g, 50))
        PUT(g, 0xdb, 0xe3); /* fninit */
    else if (percent(g, 50))
        load_control(g);
    bool is_mmx = percent(g, 25);
    for (unsigned n = 3 + below(g, 14); n > 0; n--) {
        unsigned what = below(g, 100);
        if (what < 30)
            (is_mmx ? mmx : push_number)(g);
        else if (what < 45)
            (is_mmx ? mmx : pop_number)(g);
        else if (what < 65)
            (is_mmx ? mmx : arithmetic)(g);
        else if (what < 73)
            with_flags(g);
        else if (what < 80)
            control(g);
        else if (what < 90)
            with_sse(g);
        else
            integer(g);
    }
    if (is_mmx && percent(g, 60))
        PUT(g, 0x0f, 0x77); /* emms */
    show(g);
}
