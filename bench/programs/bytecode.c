/* SPDX-License-Identifier: MIT */
/*
 * An interpreter of a small register machine, the way script languages work: a switch in a loop.
 */
#include "../bench.h"

enum { OP_ADD, OP_SUB, OP_MUL, OP_XOR, OP_SHIFT, OP_LOAD, OP_STORE, OP_LOOP, OP_CONST, OP_MOVE };
struct op {
    uint8_t code, a, b, c;
};

static const struct op program[] = {
    { OP_CONST, 0, 200, 0 }, { OP_CONST, 1, 3, 0 }, { OP_CONST, 2, 7, 0 }, { OP_ADD, 3, 3, 1 },  { OP_MUL, 4, 3, 2 },
    { OP_XOR, 5, 5, 4 },     { OP_STORE, 5, 3, 0 }, { OP_SHIFT, 6, 5, 1 }, { OP_LOAD, 7, 6, 0 }, { OP_SUB, 5, 5, 7 },
    { OP_MOVE, 8, 5, 0 },    { OP_ADD, 2, 2, 8 },   { OP_LOOP, 0, 3, 0 },
};
static uint64_t reg[16], memory[256];

static void run(void)
{
    unsigned pc = 0;
    while (pc < sizeof(program) / sizeof(program[0])) {
        struct op o = program[pc++];
        switch (o.code) {
        case OP_ADD: reg[o.a] = reg[o.b] + reg[o.c]; break;
        case OP_SUB: reg[o.a] = reg[o.b] - reg[o.c]; break;
        case OP_MUL: reg[o.a] = reg[o.b] * reg[o.c]; break;
        case OP_XOR: reg[o.a] = reg[o.b] ^ reg[o.c]; break;
        case OP_SHIFT: reg[o.a] = reg[o.b] >> reg[o.c]; break;
        case OP_LOAD: reg[o.a] = memory[reg[o.b] & 255]; break;
        case OP_STORE: memory[reg[o.b] & 255] = reg[o.a]; break;
        case OP_CONST: reg[o.a] = o.b; break;
        case OP_MOVE: reg[o.a] = reg[o.b]; break;
        case OP_LOOP:
            if (--reg[o.a])
                pc = o.b;
            break;
        }
    }
}

static void set_up(void)
{
}

static uint64_t unit(unsigned n)
{
    reg[5] = n;
    for (unsigned k = 0; k < 250; k++)
        run();
    return reg[5];
}
