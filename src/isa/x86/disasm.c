/* SPDX-License-Identifier: MIT */
/*
 * Text of decoded instructions for logs and traces, in Intel syntax.
 *
 * Everything comes from the row's name and the resolved operands; a struct text grows by append(), which never overruns.
 * Spec: none; the syntax is that of the SDM 2A 3.1.
 */
#include "isa/x86/disasm.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

struct text {
    char *buf;
    unsigned cap, len;
};

__attribute__((format(printf, 2, 3))) static void append(struct text *t, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(t->buf + t->len, t->cap - t->len, fmt, ap);
    va_end(ap);
    if (n > 0)
        t->len = t->len + n < t->cap ? t->len + n : t->cap - 1;
}

static void general_register(struct text *t, unsigned reg, unsigned size)
{
    static const char *const old[8] = { "ax", "cx", "dx", "bx", "sp", "bp", "si", "di" };
    static const char *const byte[8] = { "al", "cl", "dl", "bl", "spl", "bpl", "sil", "dil" };
    if (reg >= 8)
        append(t, "r%u%s", reg, size == 8 ? "" : size == 4 ? "d" : size == 2 ? "w" : "b");
    else if (size == 1)
        append(t, "%s", byte[reg]);
    else
        append(t, "%s%s", size == 8 ? "r" : size == 4 ? "e" : "", old[reg]);
}

static void segment_register(struct text *t, unsigned reg)
{
    static const char *const names[SEG_NR] = { "es", "cs", "ss", "ds", "fs", "gs", "ldtr", "tr" };
    append(t, "%s", reg < SEG_NR ? names[reg] : "?");
}

static void vector_register(struct text *t, unsigned reg, unsigned size)
{
    append(t, "%cmm%u", size > 32 ? 'z' : size > 16 ? 'y' : 'x', reg);
}

/* A displacement after a register shows its sign; alone it is an address. */
static void displacement(struct text *t, const struct x86_insn *i, bool alone)
{
    uint64_t mask = ~0ULL >> (64 - 8 * i->addrsize);
    if (alone)
        append(t, "0x%" PRIx64, (uint64_t)i->disp & mask);
    else if (i->disp < 0)
        append(t, "-0x%" PRIx64, -(uint64_t)i->disp);
    else if (i->disp)
        append(t, "+0x%" PRIx64, (uint64_t)i->disp);
}

static void memory(struct text *t, const struct x86_insn *i, gva_t rip)
{
    append(t, "[");
    if (i->seg != SEG_DS && i->seg != SEG_SS) {
        segment_register(t, i->seg);
        append(t, ":");
    }
    if (i->base == X86_RIP_REG) {
        append(t, "0x%" PRIx64 "]", (uint64_t)(rip + i->len + (uint64_t)i->disp));
        return;
    }
    if (i->base != X86_NO_REG)
        general_register(t, i->base, i->addrsize);
    if (i->index != X86_NO_REG) {
        append(t, "%s", i->base != X86_NO_REG ? "+" : "");
        if (x86_rows[i->row].flags & ROW_VSIB)
            append(t, "vmm%u", i->index);
        else
            general_register(t, i->index, i->addrsize);
        if (i->scale > 1)
            append(t, "*%u", i->scale);
    }
    displacement(t, i, i->base == X86_NO_REG && i->index == X86_NO_REG);
    append(t, "]");
}

static void memory_operand(struct text *t, const struct x86_insn *i, unsigned size, gva_t rip)
{
    static const struct {
        uint8_t size;
        char name[8];
    } names[] = { { 1, "byte" },   { 2, "word" },     { 4, "dword" },    { 6, "fword" },   { 8, "qword" },
                  { 10, "tbyte" }, { 16, "xmmword" }, { 32, "ymmword" }, { 64, "zmmword" } };
    for (unsigned n = 0; n < sizeof(names) / sizeof(names[0]); n++) {
        if (names[n].size == size)
            append(t, "%s ptr ", names[n].name);
    }
    memory(t, i, rip);
    if (i->bcst)
        append(t, "{1to%u}", i->vl / i->elem);
}

static void operand(struct text *t, const struct x86_insn *i, const struct x86_opnd *o, gva_t rip)
{
    static const char high[4][3] = { "ah", "ch", "dh", "bh" };
    unsigned width = o->size && o->size < 8 ? o->size : 8;
    switch ((enum x86_opnd_kind)o->kind) {
    case OPND_NONE: break;
    case OPND_REG: general_register(t, o->reg, o->size); break;
    case OPND_REGH: append(t, "%s", high[o->reg & 3]); break;
    case OPND_MEM: memory_operand(t, i, o->size, rip); break;
    case OPND_IMM: append(t, "0x%" PRIx64, i->imm & UINT64_MAX >> (64 - 8 * (i->opsize > width ? i->opsize : width))); break;
    case OPND_IMM2: append(t, "0x%x", i->imm2); break;
    case OPND_REL: append(t, "0x%" PRIx64, (uint64_t)(rip + i->len + i->imm) & UINT64_MAX >> (64 - 8 * (i->opsize & 15))); break;
    case OPND_SEG: segment_register(t, o->reg); break;
    case OPND_CR: append(t, "cr%u", o->reg); break;
    case OPND_DR: append(t, "dr%u", o->reg); break;
    case OPND_ST: append(t, "st(%u)", o->reg); break;
    case OPND_MMX: append(t, "mm%u", o->reg); break;
    case OPND_VEC: vector_register(t, o->reg, o->size); break;
    case OPND_K: append(t, "k%u", o->reg); break;
    }
}

/* "CBW/CWDE/CDQE" is one name for each operand size (JCXZ's kin: address size). */
static void mnemonic(struct text *t, const struct x86_insn *i)
{
    const char *name = x86_rows[i->row].name;
    unsigned size = name[0] == 'J' ? i->addrsize : i->opsize;
    for (; size > 2 && strchr(name, '/'); size /= 2)
        name = strchr(name, '/') + 1;
    for (; *name && *name != '/'; name++)
        append(t, "%c", tolower((unsigned char)*name));
}

static void rounding(struct text *t, const struct x86_insn *i)
{
    static const char *const modes[4] = { "rn", "rd", "ru", "rz" };
    if (i->evex_b && !i->bcst)
        append(t, ", {%s-sae}", modes[i->rc & 3]);
}

void x86_disasm(const struct x86_insn *i, gva_t rip, char *buf, unsigned cap)
{
    struct text t = { buf, cap, 0 };
    if (!cap)
        return;
    buf[0] = '\0';
    if (i->lock)
        append(&t, "lock ");
    if (i->rep && (x86_rows[i->row].flags & ROW_REP))
        append(&t, i->rep == X86_REP_REP ? "rep " : "repne ");
    mnemonic(&t, i);
    for (unsigned n = 0; n < i->nr_opnds; n++) {
        append(&t, n ? ", " : " ");
        operand(&t, i, &i->op[n], rip);
        if (n == 0 && i->aaa)
            append(&t, "{k%u}%s", i->aaa, i->zeroing ? "{z}" : "");
    }
    rounding(&t, i);
}
