/* SPDX-License-Identifier: MIT */
/*
 * Random programs for lockstep_test: see lockstep_gen.h. Items are sequences of instructions with a purpose; an item may hold
 * other items.
 */
#include "lockstep_emit.h"

#include <stdlib.h>
#include <string.h>

enum { DATA_IN_CODE = 2048 }; /* so many bytes of the first code page are data */

static void item(struct ls_gen *g);

/* ---- stack and branches ---- */

static void push_pop(struct ls_gen *g)
{
    unsigned n = 1 + below(g, 6);
    ls_set_stack(g);
    for (unsigned k = 0; k < n; k++) {
        unsigned reg = ls_any_reg(g), b = reg >> 3, low = reg & 7;
        switch (below(g, 9)) {
        case 0: PUT(g, 0x6a, (uint8_t)below(g, 256)); break;
        case 1: PUT32(g, rng_next(&g->r), 0x68); break;
        case 2: PUT(g, (uint8_t)(0x40 | b), (uint8_t)(0x50 | low)); break;
        case 3: PUT(g, (uint8_t)(0x40 | b), (uint8_t)(0x58 | low)); break;
        case 4: PUT(g, 0x66, (uint8_t)(0x40 | b), (uint8_t)((percent(g, 50) ? 0x50 : 0x58) | low)); break;
        case 5: PUT(g, 0xff, 0x74, 0x24, (uint8_t)(8 * below(g, 8))); break; /* push [rsp + disp] */
        case 6: PUT(g, 0x8f, 0x44, 0x24, (uint8_t)(8 * below(g, 8))); break; /* pop [rsp + disp] */
        case 7:
            PUT(g, 0x48, percent(g, 50) ? 0x8b : 0x01, (uint8_t)(0x44 | below(g, 8) << 3), 0x24, (uint8_t)(8 * below(g, 8)));
            break;
        default: PUT(g, 0x9c); break; /* pushf */
        }
    }
}

static void set_flags(struct ls_gen *g)
{
    unsigned flags = below(g, 4096) & 0x8d5;
    ls_set_stack(g);
    flags |= percent(g, 20) ? 0x400 : 0;
    flags |= percent(g, g->p->am ? 50 : 15) ? 1 << 18 : 0;
    flags |= g->p->irqs && percent(g, 80) ? 0x200 : 0;
    flags |= g->p->steps && percent(g, 30) ? 0x100 : 0;
    PUT32(g, flags, 0x68);
    PUT(g, 0x9d);
}

static void call(struct ls_gen *g)
{
    if (!g->nr_functions || g->in_function)
        return;
    unsigned to = g->function[below(g, g->nr_functions)], reg = ls_any_reg(g), b = reg >> 3;
    ls_set_stack(g);
    if (reg == RSP)
        reg = RAX, b = 0;
    switch (below(g, 5)) {
    case 0:
    case 1:
        PUT32(g, 0, 0xe8);
        ls_patch_rel(g, g->pos, to);
        break;
    case 2: /* by a register */
        ls_mov(g, reg, ls_code_va(to));
        PUT(g, (uint8_t)(0x40 | b), 0xff, (uint8_t)(0xd0 | (reg & 7)));
        break;
    case 3: { /* by memory: mov [m], reg; call [m] */
        uint64_t m = ls_data(g, 8);
        ls_mov(g, reg, ls_code_va(to));
        PUT32(g, m, (uint8_t)(0x48 | b << 2), 0x89, (uint8_t)(4 | (reg & 7) << 3), 0x25);
        PUT32(g, m, 0xff, 0x14, 0x25);
        break;
    }
    default:               /* a pushed return address, and a jump there: what a return stack mispredicts */
        PUT32(g, 0, 0x68); /* push imm32 */
        {
            unsigned at = g->pos;
            PUT32(g, 0, 0xe9);
            ls_patch_rel(g, g->pos, to);
            uint32_t back = (uint32_t)ls_code_va(g->pos);
            memcpy(g->p->code + at - 4, &back, 4);
        }
    }
}

/* jcc over some items, or jrcxz over an instruction. */
static void branch_over(struct ls_gen *g)
{
    if (percent(g, 15)) {
        PUT(g, 0xe3, 2);
        PUT(g, 0x04, (uint8_t)below(g, 256));
        return;
    }
    if (percent(g, 25)) {
        PUT(g, (uint8_t)(0x70 | below(g, 16)), 5);
        PUT32(g, rng_next(&g->r), (uint8_t)(0x05 | below(g, 8) << 3));
        return;
    }
    PUT32(g, 0, 0x0f, (uint8_t)(0x80 | below(g, 16)));
    unsigned end = g->pos;
    for (unsigned n = below(g, 3) + 1; n > 0; n--)
        item(g);
    ls_patch_rel(g, end, g->pos);
}

/* A short loop, counted in memory or by LOOP. */
static void inner_loop(struct ls_gen *g)
{
    /* an inner one's is another */
    uint32_t counter = LS_V_WINDOW + (LS_W_COUNTERS << 12) + 8 + 4 * (16 * g->depth + below(g, 16));
    if (percent(g, 20)) {
        ls_mov(g, RCX, 1 + below(g, 20));
        PUT(g, 0x04, (uint8_t)below(g, 256));
        PUT(g, 0xe2, (uint8_t)-4);
        return;
    }
    PUT32(g, 1 + below(g, 6), 0xc7, 0x04, 0x25, (uint8_t)counter, (uint8_t)(counter >> 8), (uint8_t)(counter >> 16),
          (uint8_t)(counter >> 24));
    unsigned begin = g->pos;
    for (unsigned n = below(g, 4) + 1; n > 0; n--)
        item(g);
    PUT32(g, counter, 0xff, 0x0c, 0x25); /* dec dword [counter] */
    PUT32(g, 0, 0x0f, 0x85);
    ls_patch_rel(g, g->pos, begin);
}

/* Not canonical: #GP at the branch. */
static void wild_branch(struct ls_gen *g)
{
    unsigned reg = ls_any_reg(g), b = reg >> 3;
    if (reg == RSP)
        reg = RDX, b = 0;
    ls_mov(g, reg, percent(g, 50) ? 0x8000000000000000 | rng_next(&g->r) >> 20 : 0x0000800000000000);
    if (percent(g, 50))
        ls_set_stack(g);
    switch (below(g, 3)) {
    case 0: PUT(g, (uint8_t)(0x40 | b), 0xff, (uint8_t)(0xe0 | (reg & 7))); break;
    case 1: PUT(g, (uint8_t)(0x40 | b), 0xff, (uint8_t)(0xd0 | (reg & 7))); break;
    default: PUT(g, (uint8_t)(0x40 | b), (uint8_t)(0x50 | (reg & 7))); PUT(g, 0xc3);
    }
}

/* ---- code that changes ---- */

static uint32_t code_address(struct ls_gen *g, unsigned off)
{
    return (uint32_t)(percent(g, 60) ? ls_code_va(off) : ls_alias_va(off));
}

/* An instruction that changing it makes another of: op eax, imm32 by its opcode, or mov reg, imm32 by its immediate. None of them
 * reads flags: see docs/decisions/0006. */
static struct ls_target put_target(struct ls_gen *g)
{
    static const uint8_t opcode[] = { 0x05, 0x0d, 0x25, 0x2d, 0x35, 0x3d };
    struct ls_target t = { .at = g->pos };
    uint8_t a = opcode[below(g, 6)];
    if (percent(g, 50)) {
        t.change = a ^ opcode[below(g, 6)];
        PUT32(g, rng_next(&g->r), a);
    } else {
        t.at++;
        t.change = (uint8_t)(1 + below(g, 255));
        PUT32(g, rng_next(&g->r), (uint8_t)(0xb8 | below(g, 4)));
    }
    return t;
}

/* xor byte [target], change */
static void change(struct ls_gen *g, struct ls_target t)
{
    uint32_t at = code_address(g, t.at);
    PUT(g, 0x80, 0x34, 0x25, (uint8_t)at, (uint8_t)(at >> 8), (uint8_t)(at >> 16), (uint8_t)(at >> 24), t.change);
}

/* A store before or behind what it changes, close to it. */
static void changing_code(struct ls_gen *g)
{
    bool before = percent(g, 50);
    struct ls_target t = before ? (struct ls_target){ 0, 0 } : put_target(g);
    unsigned begin = ls_seldom(g);
    change(g, t);
    uint8_t *store_end = g->p->code + g->pos;
    ls_seldom_end(g, begin);
    if (!before)
        return;
    for (unsigned n = below(g, 3); n > 0; n--)
        item(g);
    t = put_target(g);
    uint32_t at = code_address(g, t.at);
    memcpy(store_end - 5, &at, 4);
    store_end[-1] = t.change;
}

/* A string instruction changes the operand of an instruction before or behind it. */
static void string_change(struct ls_gen *g)
{
    uint32_t at = code_address(g, g->pos + 1), counter = LS_V_WINDOW + (LS_W_COUNTERS << 12);
    bool before = percent(g, 40);
    if (percent(g, 60)) /* there is enough code that never gets hot */
        return;
    if (before)
        PUT32(g, rng_next(&g->r), (uint8_t)(0xb8 | below(g, 4)));
    unsigned begin = ls_seldom(g);
    ls_mov(g, RSI, percent(g, 50) ? counter : ls_data(g, 4));
    ls_mov(g, RCX, 1 + below(g, 4));
    PUT32(g, counter, 0x8a, 0x04, 0x25); /* mov al, [counter] */
    if (percent(g, 60))                  /* the same for some rounds, for which the code stays linked */
        PUT(g, 0xc0, 0xe8, (uint8_t)(3 + below(g, 3)), 0x84, 0xc0); /* shr al, imm8; test al, al */
    PUT(g, 0xfc);
    PUT32(g, at, 0xbf); /* mov edi, at */
    uint8_t *address = g->p->code + g->pos - 4;
    if (percent(g, 70))
        PUT(g, 0xf3, percent(g, 50) ? 0xa4 : 0xaa);
    else
        PUT(g, percent(g, 50) ? 0xa4 : 0xaa);
    ls_seldom_end(g, begin);
    if (before)
        return;
    at = code_address(g, g->pos + 1);
    memcpy(address, &at, 4);
    PUT32(g, rng_next(&g->r), (uint8_t)(0xb8 | below(g, 4)));
}

/* Some stores into a function, and a call of it. */
static void changing_function(struct ls_gen *g)
{
    if (!g->nr_functions || g->in_function)
        return;
    unsigned k = below(g, g->nr_functions), begin = ls_seldom(g);
    for (unsigned n = 1 + below(g, 3); n > 0; n--)
        change(g, g->target[k]);
    ls_seldom_end(g, begin);
    ls_set_stack(g);
    PUT32(g, 0, 0xe8);
    ls_patch_rel(g, g->pos, g->function[k]);
}

/* Stores that change nothing. */
static void same_code(struct ls_gen *g)
{
    uint32_t at = code_address(g, below(g, g->pos + 64));
    switch (below(g, 3)) {
    case 0:
        PUT32(g, at, 0x8a, 0x04, 0x25);
        PUT32(g, at, 0x88, 0x04, 0x25);
        break;
    case 1: PUT(g, 0xf0, 0x80, 0x0c, 0x25, (uint8_t)at, (uint8_t)(at >> 8), (uint8_t)(at >> 16), (uint8_t)(at >> 24), 0); break;
    default:
        PUT(g, 0xfc);
        ls_mov(g, RSI, at);
        ls_mov(g, RDI, at);
        ls_mov(g, RCX, below(g, 40));
        PUT(g, 0xf3, 0xa4);
    }
}

/* ---- system ---- */

static void flush_tlb(struct ls_gen *g, unsigned index)
{
    static const uint64_t bases[] = { LS_V_WINDOW, LS_V_WINDOW_HIGH, LS_V_WINDOW_SUPER };
    switch (below(g, 3)) {
    case 0:
        for (unsigned k = 0; k < 3; k++) {
            ls_mov(g, RAX, bases[k] + ((uint64_t)index << 12) + below(g, 4096));
            PUT(g, 0x0f, 0x01, 0x38); /* invlpg [rax] */
        }
        break;
    case 1:
        PUT(g, 0x0f, 0x20, 0xd8); /* mov rax, cr3 */
        PUT(g, 0x0f, 0x22, 0xd8);
        break;
    default:
        for (unsigned k = 0; k < 2; k++) {
            PUT(g, 0x0f, 0x20, 0xe0);   /* mov rax, cr4 */
            PUT32(g, 0x80, 0x48, 0x35); /* xor rax, PGE */
            PUT(g, 0x0f, 0x22, 0xe0);
        }
    }
}

/* Loads and stores in a page of the window, by any of its addresses. */
static void access_page(struct ls_gen *g, unsigned index)
{
    for (unsigned n = 1 + below(g, 3); n > 0; n--) {
        ls_mov(g, RSI, ls_aliased(g, LS_V_WINDOW + ((uint64_t)index << 12) + below(g, 4088)));
        PUT(g, 0x48, percent(g, 50) ? 0x8b : 0x01, (uint8_t)(0x06 | below(g, 4) << 3)); /* mov reg, [rsi]; add [rsi], reg */
    }
}

/* A page-table entry changes: absent, read-only, another frame. */
static void change_mapping(struct ls_gen *g)
{
    static const uint16_t changes[] = { 1, 2, 4, 0x1000, 0x1002, 3, 0x1000, 2 };
    unsigned index = LS_W_DATA + 12 + below(g, 4);
    access_page(g, index);
    unsigned begin = ls_seldom(g);
    ls_mov(g, RAX, LS_V_TABLE + 8 * index);
    PUT32(g, changes[below(g, 8)], 0x48, 0x81, 0x30); /* xor qword [rax], imm32 */
    ls_spoil_spaces(g);
    flush_tlb(g, index);
    ls_seldom_end(g, begin);
    access_page(g, index);
}

/* An interrupt return to the next instruction, at any level. */
static void iret(struct ls_gen *g)
{
    bool user = percent(g, 60) && !g->p->kernel_only;
    unsigned flags = (below(g, 4096) & 0x8d5) | (g->p->irqs && percent(g, 80) ? 0x200 : 0);
    ls_set_stack(g);
    PUT(g, 0x6a, user ? LS_USER_SS : LS_SS);
    PUT32(g, ls_data(g, 8) & ~7ULL, 0x68);
    PUT32(g, flags, 0x68);
    PUT(g, 0x6a, user ? LS_USER_CS : LS_CS);
    PUT32(g, ls_code_va(g->pos + 5 + 2), 0x68);
    PUT(g, 0x48, 0xcf);
}

static void change_level(struct ls_gen *g)
{
    switch (g->p->kernel_only ? 0 : below(g, 4)) {
    case 0:
    case 1: iret(g); break;
    case 2: PUT(g, 0x0f, 0x05); break; /* syscall */
    default:
        ls_mov(g, R11, below(g, 4096) & 0x8d5);
        PUT32(g, 3, 0x48, 0x8d, 0x0d); /* lea rcx, [rip + 3] */
        PUT(g, 0x48, 0x0f, 0x07);      /* sysretq */
    }
}

/* To 32-bit code and back. */
static void compatibility(struct ls_gen *g)
{
    bool user = g->p->user && !g->p->kernel_only;
    ls_set_stack(g);
    PUT(g, 0x6a, user ? LS_USER_CS32 : LS_CS32);
    PUT32(g, ls_code_va(g->pos + 5 + 2), 0x68);
    PUT(g, 0x48, 0xcb); /* retfq */
    PUT32(g, rng_next(&g->r), 0x05);
    PUT(g, (uint8_t)(0xb0 | below(g, 8)), (uint8_t)below(g, 256));
    uint32_t back = (uint32_t)ls_code_va(g->pos + 7);
    PUT(g, 0xea, (uint8_t)back, (uint8_t)(back >> 8), (uint8_t)(back >> 16), (uint8_t)(back >> 24), user ? LS_USER_CS : LS_CS, 0);
}

static void segments(struct ls_gen *g)
{
    switch (below(g, 5)) {
    case 0:
        ls_mov(g, RAX, g->p->fs_base + 8 * below(g, 8));
        PUT(g, 0xf3, 0x48, 0x0f, 0xae, 0xd0); /* wrfsbase rax */
        break;
    case 1:
        ls_mov(g, RAX, g->p->gs_base + 8 * below(g, 8));
        PUT(g, 0xf3, 0x48, 0x0f, 0xae, 0xd8); /* wrgsbase rax */
        break;
    case 2: PUT(g, 0xf3, 0x48, 0x0f, 0xae, percent(g, 50) ? 0xc1 : 0xcb); break; /* rdfsbase rcx, rdgsbase rbx */
    case 3: PUT(g, 0x0f, 0x01, 0xf8); break;                                     /* swapgs */
    default:
        ls_mov(g, RAX, percent(g, 50) ? LS_USER_SS : LS_SS);
        PUT(g, 0x8e, (uint8_t)(0xc0 | (percent(g, 50) ? 3 : 0) << 3)); /* mov ds or es, eax */
    }
}

static void control(struct ls_gen *g)
{
    switch (below(g, 6)) {
    case 0: PUT(g, 0x0f, 0x01, percent(g, 50) ? 0xca : 0xcb); break; /* clac, stac */
    case 1: PUT(g, percent(g, 50) ? 0xfa : 0xfb); break;             /* cli, sti */
    case 2: PUT(g, percent(g, 80) ? 0xfc : 0xfd); break;             /* cld, std */
    case 3:
        ls_mov(g, RAX, below(g, 2) | below(g, 2) << 31);
        ls_mov(g, RCX, 0);
        PUT(g, 0x0f, 0xa2);
        break;
    case 4:
        ls_mov(g, RCX, 0);
        PUT(g, 0x0f, 0x01, 0xd0); /* xgetbv */
        break;
    default: {
        if (percent(g, 60))
            return;
        unsigned begin = ls_seldom(g);
        PUT(g, 0x0f, 0x20, 0xc0);       /* mov rax, cr0 */
        PUT(g, 0x48, 0x83, 0xf0, 0x08); /* xor rax, TS */
        PUT(g, 0x0f, 0x22, 0xc0);
        ls_seldom_end(g, begin);
    }
    }
}

static void floating_state(struct ls_gen *g)
{
    static const uint32_t values[] = { 0x1f80, 0x9fc0, 0x5f80, 0x3f80, 0x7f80, 0x1fbf, 0x1f00, 0x1000 };
    uint64_t at = ls_data(g, 64) & ~63ULL;
    ls_mov(g, RDI, at);
    switch (below(g, 5)) {
    case 0:
    case 1:
        PUT32(g, values[below(g, g->p->exceptions_unmasked ? 8 : 6)], 0xc7, 0x07); /* mov dword [rdi], v */
        PUT(g, 0x0f, 0xae, 0x17);                                                  /* ldmxcsr [rdi] */
        break;
    case 2: PUT(g, 0x0f, 0xae, 0x1f); break; /* stmxcsr */
    case 3:
        PUT(g, 0x48, 0x0f, 0xae, 0x07); /* fxsave64 */
        item(g);
        ls_mov(g, RDI, at);
        PUT(g, 0x48, 0x0f, 0xae, 0x0f); /* fxrstor64 */
        break;
    default:
        ls_mov(g, RAX, 7);
        ls_mov(g, RDX, 0);
        PUT(g, 0x48, 0x0f, 0xae, 0x27); /* xsave64 */
        item(g);
        ls_mov(g, RAX, 7);
        ls_mov(g, RDX, 0);
        ls_mov(g, RDI, at);
        PUT(g, 0x48, 0x0f, 0xae, 0x2f); /* xrstor64 */
    }
}

static void trap(struct ls_gen *g)
{
    switch (below(g, 6)) {
    case 0: PUT(g, 0x0f, 0x0b); break; /* ud2 */
    case 1: PUT(g, 0xcc); break;
    case 2:
    case 3: PUT(g, 0xcd, LS_INT_LOG); break;
    case 4: PUT(g, 0xcd, LS_INT_PAUSE); break;
    default:
        PUT(g, 0x31, 0xc9);
        PUT(g, 0xf7, 0xf1); /* div ecx */
        ls_define_flags(g);
    }
}

/* A plain load or store at [reg + disp]. */
static void plain_access(struct ls_gen *g, unsigned reg)
{
    static const uint8_t opcode[] = { 0x8b, 0x89, 0x03, 0x01, 0x3b, 0x85, 0x88, 0x8a, 0x33, 0x29 };
    static const uint8_t vector[] = { 0x10, 0x11, 0x6f, 0x7f };
    int disp = percent(g, 70) ? 8 * ((int)below(g, 24) - 8) : (int)below(g, 300) - 150;
    unsigned n = 0, other = below(g, 16);
    uint8_t b[16];
    if (percent(g, 20))
        b[n++] = percent(g, 50) ? 0x66 : 0xf3;
    bool is_vector = n || percent(g, 15);
    b[n++] = (uint8_t)(0x40 | (percent(g, 70) && !is_vector) << 3 | (other >> 3) << 2 | reg >> 3);
    if (is_vector)
        b[n++] = 0x0f;
    b[n++] = is_vector ? vector[below(g, 4)] : opcode[below(g, sizeof(opcode))];
    if (!is_vector && (other == reg || other == RSP)) /* keep the base, most often */
        other ^= percent(g, 90) ? 1 : 0;
    b[n++] = (uint8_t)(0x80 | (other & 7) << 3 | (reg & 7));
    if ((reg & 7) == RSP)
        b[n++] = 0x24;
    ls_put32(g, b, n, (uint32_t)disp);
}

/* The register changes on the way: by a known amount, or not. */
static void move_base(struct ls_gen *g, unsigned reg)
{
    unsigned b = reg >> 3, low = reg & 7, imm = below(g, 256);
    bool plus = percent(g, 50);
    unsigned how = below(g, reg == RSP ? 4 : 12);
    if (reg < 3 && percent(g, 40)) /* rAX, rCX, rDX: what writes them unnamed */
        how = reg == RCX ? 10 : 9;
    switch (how) {
    case 0:
    case 1: PUT(g, (uint8_t)(0x48 | b), 0x83, (uint8_t)((plus ? 0xc0 : 0xe8) | low), (uint8_t)imm); break;
    case 2: PUT(g, (uint8_t)(0x48 | b), 0xff, (uint8_t)((plus ? 0xc0 : 0xc8) | low)); break; /* inc, dec */
    case 3: PUT(g, (uint8_t)(0x48 | b), 0x83, (uint8_t)(0xe0 | low), 0xf0); break;           /* and reg, -16 */
    case 4:
    case 5: PUT(g, (uint8_t)(0x48 | b | b << 2), 0x8d, (uint8_t)(0x44 | low << 3), (uint8_t)(0x20 | low), (uint8_t)imm); break;
    case 6: PUT(g, (uint8_t)(0x40 | b), 0x83, (uint8_t)((plus ? 0xc0 : 0xe8) | low), (uint8_t)imm); break; /* 32 bits */
    case 7: PUT(g, (uint8_t)(0x40 | b), (uint8_t)(0xb0 | low), (uint8_t)imm); break;                       /* the low byte */
    case 8:
        if (reg < 4)
            PUT(g, (uint8_t)(0xb4 | reg), (uint8_t)imm); /* AH, CH, DH, BH */
        break;
    case 9: { /* without naming it */
        static const uint8_t implicit[][6] = { { 2, 0x48, 0x99 },       { 2, 0x48, 0x98 },       { 1, 0x9f },
                                               { 3, 0x48, 0xf7, 0xe3 }, { 3, 0x0f, 0xb1, 0xd9 }, { 4, 0x48, 0x0f, 0xb1, 0xfa } };
        unsigned k = below(g, 6);
        ls_put(g, implicit[k] + 1, implicit[k][0]);
        if (k == 3)
            ls_define_flags(g);
        break;
    }
    case 10: PUT(g, 0x66, 0x0f, 0x3a, 0x63, (uint8_t)(0xc0 | below(g, 64)), (uint8_t)below(g, 128)); break; /* pcmpistri */
    default: PUT(g, (uint8_t)(0x48 | b), 0x0f, 0xc1, (uint8_t)(0xc0 | below(g, 8) << 3 | low)); break;      /* xadd */
    }
}

/* Some instructions off one register. */
static void cluster(struct ls_gen *g)
{
    unsigned reg = percent(g, 20) ? RSP : percent(g, 40) ? below(g, 3) : ls_any_reg(g);
    bool plain = percent(g, 70);
    if (reg == RSP && g->in_function)
        reg = RBX;
    uint64_t va = percent(g, 12) ? ls_alias_va(DATA_IN_CODE / 2 + below(g, 64)) : ls_data(g, 64);
    ls_mov(g, reg, percent(g, 40) ? va - LS_V_WINDOW + LS_V_WINDOW_HIGH : ls_aliased(g, va));
    g->cluster = (int)reg;
    for (unsigned n = 2 + below(g, 8); n > 0; n--) {
        if (percent(g, 25))
            move_base(g, reg);
        else if (reg == RSP && percent(g, 50))
            PUT(g, (uint8_t)(0x50 | below(g, 16)));
        else if (plain && percent(g, 80))
            plain_access(g, reg);
        else
            ls_insn(g);
    }
    g->cluster = -1;
}

/* Moves by turns to and from two pages off one register, where flags are dead. */
static void two_pages(struct ls_gen *g)
{
    unsigned reg = percent(g, 50) ? RSP : ls_any_reg(g), n = 3 + below(g, 8);
    uint64_t va = LS_V_WINDOW + (LS_W_DATA << 12) + 0x400 + 8 * below(g, 0x100);
    ls_mov(g, reg, ls_aliased(g, va + 4096 * below(g, 4)));
    for (; n > 0; n--) {
        unsigned other = below(g, 16);
        if (other == reg || other == RSP)
            other ^= 1;
        uint8_t b[5] = { (uint8_t)(0x48 | other >> 3 << 2 | reg >> 3), percent(g, 60) ? 0x8b : 0x89,
                         (uint8_t)(0x80 | (other & 7) << 3 | (reg & 7)), 0x24 };
        ls_put32(g, b, (reg & 7) == RSP ? 4 : 3, 8 * below(g, 24) + (percent(g, 50) ? 4096 : 0));
    }
    PUT(g, 0x83, 0xc0, (uint8_t)below(g, 256)); /* add eax, imm8 */
}

static void item(struct ls_gen *g)
{
    static void (*const special[])(struct ls_gen *) = {
        push_pop,       push_pop,
        call,           call,
        call,           branch_over,
        branch_over,    branch_over,
        branch_over,    inner_loop,
        set_flags,      wild_branch,
        changing_code,  changing_function,
        same_code,      change_mapping,
        changing_code,  changing_function,
        change_mapping, change_mapping,
        change_level,   change_level,
        compatibility,  segments,
        control,        floating_state,
        trap,           cluster,
        cluster,        cluster,
        cluster,        cluster,
        ls_x87,         ls_x87,
        ls_x87,         ls_sys,
        ls_sys,         ls_sys,
        ls_string,      ls_string,
        string_change,  two_pages,
        ls_space,       ls_space,
        ls_space,       ls_space,
        ls_space,       ls_space,
        ls_space,       ls_space,
    };
    unsigned n = below(g, percent(g, 40) ? sizeof(special) / sizeof(special[0]) : 200);
    if (g->depth > 3 || !ls_room(g, 1024))
        return;
    g->depth++;
    if (n < sizeof(special) / sizeof(special[0])
        && !(g->in_function && special[n] != branch_over && special[n] != cluster && special[n] != ls_x87))
        special[n](g);
    else
        ls_insn(g);
    g->depth--;
}

/* ---- whole programs ---- */

static void functions(struct ls_gen *g)
{
    g->in_function = true;
    for (unsigned k = 0; k < LS_FUNCTIONS; k++) {
        if (percent(g, 30)) /* to another page, at times */
            g->pos = (g->pos + 4095) / 4096 * 4096 + below(g, 200);
        if (g->pos > 2 * 4096)
            break;
        unsigned begin = g->pos;
        for (unsigned n = below(g, 3); n > 0; n--)
            item(g);
        g->target[g->nr_functions] = put_target(g);
        for (unsigned n = below(g, 3); n > 0; n--)
            item(g);
        if (percent(g, 70)) {
            PUT(g, 0xc3);
        } else {
            PUT(g, 0xc2, (uint8_t)(8 * below(g, 3)), 0);
        }
        g->function[g->nr_functions++] = begin;
    }
    g->in_function = false;
}

static void choose_machine(struct ls_gen *g)
{
    struct ls_program *p = g->p;
    p->user = percent(g, 40);
    p->kernel_only = percent(g, 15);
    p->user &= !p->kernel_only;
    p->code_writable = percent(g, 70);
    p->no_avx = percent(g, 10);
    p->avx512 = percent(g, 10) && g->nr_rows[3];
    p->small_model = percent(g, 20) && !p->avx512;
    p->exceptions_unmasked = percent(g, 15);
    p->x87_unmasked = percent(g, 15);
    p->am = percent(g, 30);
    p->irqs = percent(g, 40);
    p->steps = percent(g, 10);
    p->pcids = percent(g, 70);
    p->large_global = percent(g, 50);
    p->fs_base = LS_V_WINDOW + ((LS_W_DATA + 1) << 12) + 8 * below(g, 64);
    p->gs_base = percent(g, 50) ? LS_V_WINDOW_HIGH - 0x1000 : 16 * (uint64_t)below(g, 256);
}

/* What no instruction begins at leads to the next one. */
static void fill_resume(struct ls_program *p)
{
    for (unsigned k = LS_CODE_BYTES; k-- > 0;)
        if (!p->resume[k])
            p->resume[k] = (uint16_t)(k + 1 < LS_CODE_BYTES ? k + 1 : p->loop_end);
}

void ls_gen_program(struct ls_gen *g, uint64_t seed, struct ls_program *p)
{
    memset(p, 0, sizeof(*p));
    memset(p->code, 0x90, sizeof(p->code));
    p->seed = seed;
    g->r.state = seed * 0x9e3779b97f4a7c15ULL;
    g->p = p;
    g->pos = DATA_IN_CODE + below(g, 64);
    g->depth = 0;
    g->nr_functions = 0;
    g->cluster = -1;
    choose_machine(g);
    functions(g);
    unsigned page_end = (g->pos + 4095) / 4096 * 4096;
    if (percent(g, 50)) /* close to a page's end */
        g->pos = page_end - below(g, page_end - g->pos > 400 ? 400 : page_end - g->pos + 1);
    else
        g->pos = page_end + below(g, 2000);
    p->entry = g->pos;
    p->rounds = 20 + below(g, 60);
    for (unsigned n = 3 + below(g, 50); n > 0; n--)
        item(g);
    p->loop_end = g->pos;
    PUT(g, 0xcd, LS_INT_PAUSE);
    PUT32(g, LS_V_WINDOW + (LS_W_COUNTERS << 12), 0xff, 0x0c, 0x25); /* dec dword [counters] */
    PUT32(g, 0, 0x0f, 0x85);
    ls_patch_rel(g, g->pos, p->entry);
    PUT(g, 0xcd, LS_INT_END);
    p->size = g->pos;
    fill_resume(p);
}

struct ls_gen *ls_gen_new(void)
{
    struct ls_gen *g = calloc(1, sizeof(*g));
    if (g && x86_profile_make("max", &g->profile, NULL) >= 0) {
        g->gen = gen_new(&g->profile);
        if (g->gen && ls_insn_init(g))
            return g;
    }
    ls_gen_free(g);
    return NULL;
}

void ls_gen_free(struct ls_gen *g)
{
    if (!g)
        return;
    for (unsigned k = 0; k < 4; k++)
        free(g->rows[k]);
    gen_free(g->gen);
    free(g);
}
