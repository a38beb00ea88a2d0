/* SPDX-License-Identifier: MIT */
/*
 * Checks the RISC-V floating point against the vectors of Berkeley TestFloat's testfloat_gen: operands, result and flags in hex,
 * one case a line of stdin.
 *
 * usage: testfloat_gen -tininessafter MODE FUNCTION | riscv_testfloat [--bt] FUNCTION MODE
 *   --bt      executes the instruction, translated by engine bt, with MODE in frm; without it the arithmetic alone is called
 *   FUNCTION  f16, f32 or f64, and _add _sub _mul _div _mulAdd _sqrt _eq _le _lt _eq_signaling _le_quiet _lt_quiet _roundToInt
 *             _to_i32 _to_ui32 _to_i64 _to_ui64 _to_f16 _to_f32 _to_f64; or i32_to_f16 and its like
 *   MODE      -rnear_even -rminMag -rmin -rmax -rnear_maxMag
 * Prints how many cases there were; exit status 1 when one differs, or there was none. SoftFloat is to be built with
 * SPECIALIZE_TYPE RISCV, so that NaNs are canonical, and testfloat_gen is to be given -exact for conversions to integers. Its
 * flags are fflags. Not part of `make test`: the generator comes from elsewhere (docs/riscv.md).
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/bt/bt.h"
#include "engine/bt/bt_riscv.h"
#include "isa/riscv/fp.h"
#include "support/bare_riscv.h"

enum { FIELDS_MAX = 5, SHOWN = 10 };

enum kind { ARITH, RELATION, ROUND, TO_INT, TO_FLOAT };

struct function {
    const char *name; /* behind the format and '_' */
    enum kind kind;
    int what; /* enum fp_op, fp_relation, fp_int or fp_format */
    unsigned operands;
    bool quiet; /* of a relation */
};

static const struct function functions[] = {
    { "add", ARITH, FP_ADD, 2, false },     { "sub", ARITH, FP_SUB, 2, false },
    { "mul", ARITH, FP_MUL, 2, false },     { "div", ARITH, FP_DIV, 2, false },
    { "mulAdd", ARITH, FP_MADD, 3, false }, { "sqrt", ARITH, FP_SQRT, 1, false },
    { "eq", RELATION, FP_EQ, 2, true },     { "eq_signaling", RELATION, FP_EQ, 2, false },
    { "lt", RELATION, FP_LT, 2, false },    { "lt_quiet", RELATION, FP_LT, 2, true },
    { "le", RELATION, FP_LE, 2, false },    { "le_quiet", RELATION, FP_LE, 2, true },
    { "roundToInt", ROUND, 0, 1, false },   { "to_i32", TO_INT, FP_W, 1, false },
    { "to_ui32", TO_INT, FP_WU, 1, false }, { "to_i64", TO_INT, FP_L, 1, false },
    { "to_ui64", TO_INT, FP_LU, 1, false }, { "to_f16", TO_FLOAT, FP_H, 1, false },
    { "to_f32", TO_FLOAT, FP_S, 1, false }, { "to_f64", TO_FLOAT, FP_D, 1, false },
};

static const char *const format_names[] = { [FP_H] = "f16", [FP_S] = "f32", [FP_D] = "f64" };
static const char *const int_names[] = { [FP_W] = "i32", [FP_WU] = "ui32", [FP_L] = "i64", [FP_LU] = "ui64" };
static const char *const mode_names[] = {
    [RM_RNE] = "-rnear_even", [RM_RTZ] = "-rminMag", [RM_RDN] = "-rmin", [RM_RUP] = "-rmax", [RM_RMM] = "-rnear_maxMag"
};

struct task {
    const struct function *function;
    int format, from_int; /* enum fp_format of the operands, or -1 and enum fp_int */
    enum riscv_rm rm;
};

/* The index of the name that `text` is up to `len` bytes; -1: none. */
static int find(const char *const *names, int nr, const char *text, size_t len)
{
    for (int k = 0; k < nr; k++)
        if (strlen(names[k]) == len && strncmp(text, names[k], len) == 0)
            return k;
    return -1;
}

static int parse(int argc, char **argv, struct task *t)
{
    const char *rest = argc == 3 ? strchr(argv[1], '_') : NULL;
    if (!rest)
        return -1;
    size_t len = (size_t)(rest - argv[1]);
    int rm = find(mode_names, 5, argv[2], strlen(argv[2]));
    t->format = find(format_names, 3, argv[1], len);
    t->from_int = find(int_names, 4, argv[1], len);
    t->rm = (enum riscv_rm)rm;
    t->function = NULL;
    for (unsigned k = 0; k < sizeof(functions) / sizeof(functions[0]); k++)
        if (strcmp(functions[k].name, rest + 1) == 0)
            t->function = &functions[k];
    bool good = t->function && rm >= 0 && (t->format >= 0 || (t->from_int >= 0 && t->function->kind == TO_FLOAT));
    return good ? 0 : -1;
}

static uint64_t compute(const struct task *t, const uint64_t *v, uint8_t *flags)
{
    const struct function *f = t->function;
    enum fp_format format = (enum fp_format)t->format;
    if (t->from_int >= 0)
        return fp_from_int((enum fp_int)t->from_int, (enum fp_format)f->what, v[0], t->rm, flags);
    switch (f->kind) {
    case ARITH: return fp_arith(format, (enum fp_op)f->what, v[0], v[1], v[2], t->rm, flags);
    case RELATION: return fp_compare(format, (enum fp_relation)f->what, v[0], v[1], f->quiet, flags);
    case ROUND: return fp_round(format, v[0], t->rm, true, flags);
    case TO_INT: return fp_to_int(format, (enum fp_int)f->what, v[0], t->rm, flags);
    case TO_FLOAT: return fp_convert(format, (enum fp_format)f->what, v[0], t->rm, flags);
    }
    return 0;
}

/* ---- by engine bt ---- */

enum { FA0 = 10, FA1, FA2, FA3, A0 = 10 };

/* The instruction for a function: fa0, fa1, fa2 to fa3 or a0, rounding as frm says. 0: there is none. */
static uint32_t encode(const struct task *t)
{
    static const uint8_t fmt[] = { [FP_H] = 2, [FP_S] = 0, [FP_D] = 1 };
    static const uint8_t arith[] = { [FP_ADD] = 0, [FP_SUB] = 1, [FP_MUL] = 2, [FP_DIV] = 3, [FP_SQRT] = 0x0b };
    static const uint8_t ints[] = { [FP_W] = 0, [FP_WU] = 1, [FP_L] = 2, [FP_LU] = 3 };
    static const uint8_t relation[] = { [FP_EQ] = 2, [FP_LT] = 1, [FP_LE] = 0 };
    const struct function *f = t->function;
    uint32_t funct = 0, rs1 = FA0, rs2 = FA1, rm = RM_DYN, rd = FA3, of = t->format < 0 ? 0 : fmt[t->format];
    if (t->from_int >= 0) {
        funct = 0x1a, of = fmt[f->what], rs2 = ints[t->from_int], rs1 = A0;
    } else if (f->kind == ARITH && f->what == FP_MADD) {
        return FA2 << 27 | of << 25 | FA1 << 20 | FA0 << 15 | rm << 12 | FA3 << 7 | 0x43;
    } else if (f->kind == ARITH) {
        funct = arith[f->what], rs2 = f->operands == 1 ? 0 : FA1;
    } else if (f->kind == RELATION) {
        if (f->quiet != (f->what == FP_EQ) && f->what == FP_EQ)
            return 0;
        funct = 0x14, rm = relation[f->what] + (f->quiet && f->what != FP_EQ ? 4U : 0U), rd = A0;
    } else if (f->kind == ROUND) {
        funct = 0x08, rs2 = 5; /* froundnx */
    } else if (f->kind == TO_INT) {
        funct = 0x18, rs2 = ints[f->what], rd = A0;
    } else {
        funct = 0x08, rs2 = of, of = fmt[f->what];
    }
    return funct << 27 | of << 25 | rs2 << 20 | rs1 << 15 | rm << 12 | rd << 7 | 0x53;
}

static struct bare_riscv machine;

static int make_machine(const struct task *t)
{
    struct error err = { 0 };
    uint32_t insn = encode(t);
    if (!insn || bare_riscv_init_with(&machine, &bt_engine_ops, NULL, &err) < 0)
        return -1;
    bt_riscv_set_eager(machine.vcpu->engine_cpu);
    rv_poke(&machine, RV_RAM, insn, 4);
    rv_poke(&machine, RV_RAM + 4, 0x6f, 4); /* j . */
    machine.c->mstatus |= MSTATUS_FS;
    machine.c->frm = (uint8_t)t->rm;
    riscv_state_changed(machine.c);
    return 0;
}

static uint64_t boxed(int format, uint64_t v)
{
    return format == FP_S ? v | 0xffffffff00000000 : format == FP_H ? v | 0xffffffffffff0000 : v;
}

static uint64_t execute(const struct task *t, const uint64_t *v, uint8_t *flags)
{
    struct riscv_cpu *c = machine.c;
    enum kind kind = t->function->kind;
    int result = kind == TO_FLOAT ? t->function->what : t->format;
    for (unsigned k = 0; k < 3; k++)
        c->f[FA0 + k] = boxed(t->format, v[k]);
    c->x[A0] = t->from_int == FP_W ? (uint64_t)(int32_t)v[0] : v[0];
    c->fflags = 0;
    c->pc = RV_RAM;
    for (unsigned k = 0; k < 10 && c->pc == RV_RAM; k++)
        (void)bt_riscv_run(machine.vcpu->engine_cpu, c, 1);
    *flags = c->fflags;
    if (c->pc != RV_RAM + 4)
        return ~v[t->function->operands]; /* a trap: wrong, whatever was expected */
    if (kind == RELATION || kind == TO_INT)
        return c->x[A0];
    if (boxed(result, c->f[FA3]) != c->f[FA3])
        return ~v[t->function->operands]; /* not boxed */
    return result == FP_S ? (uint32_t)c->f[FA3] : result == FP_H ? (uint16_t)c->f[FA3] : c->f[FA3];
}

/* One case; false: ours is another. */
static bool check(const struct task *t, bool bt, const char *line, uint64_t *ret_got, uint8_t *ret_flags)
{
    uint64_t v[FIELDS_MAX] = { 0 }, operand[3] = { 0 };
    char *at = (char *)line;
    unsigned nr = t->function->operands;
    for (unsigned k = 0; k < nr + 2; k++)
        v[k] = strtoull(at, &at, 16);
    memcpy(operand, v, nr * sizeof(v[0]));
    *ret_flags = 0;
    *ret_got = bt ? execute(t, v, ret_flags) : compute(t, operand, ret_flags);
    if (t->function->kind == TO_INT && t->function->what <= FP_WU)
        *ret_got = (uint32_t)*ret_got; /* sign-extended in a register, not in a vector */
    return *ret_got == v[nr] && *ret_flags == v[nr + 1];
}

int main(int argc, char **argv)
{
    struct task t;
    char line[256];
    unsigned long cases = 0, wrong = 0;
    bool bt = argc > 1 && strcmp(argv[1], "--bt") == 0;
    argc -= bt;
    argv += bt;
    if (parse(argc, argv, &t) < 0 || (bt && make_machine(&t) < 0)) {
        (void)fprintf(stderr, "usage: riscv_testfloat [--bt] FUNCTION MODE\n");
        return 2;
    }
    while (fgets(line, sizeof(line), stdin)) {
        uint64_t got;
        uint8_t flags;
        cases++;
        if (!check(&t, bt, line, &got, &flags) && ++wrong <= SHOWN)
            (void)printf("%s %s: %" PRIx64 " %02x for %s", argv[1], argv[2], got, flags, line);
    }
    (void)printf("%s %s: %lu cases, %lu wrong\n", argv[1], argv[2], cases, wrong);
    if (bt)
        bare_riscv_done(&machine);
    return wrong || !cases;
}
