/* SPDX-License-Identifier: MIT */
/*
 * Checks the RISC-V floating point against the vectors of Berkeley TestFloat's testfloat_gen: operands, result and flags in hex,
 * one case a line of stdin.
 *
 * usage: testfloat_gen -tininessafter MODE FUNCTION | riscv_testfloat FUNCTION MODE
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

#include "isa/riscv/fp.h"

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

/* One case; false: ours is another. */
static bool check(const struct task *t, const char *line, uint64_t *ret_got, uint8_t *ret_flags)
{
    uint64_t v[FIELDS_MAX] = { 0 }, operand[3] = { 0 };
    char *at = (char *)line;
    unsigned nr = t->function->operands;
    for (unsigned k = 0; k < nr + 2; k++)
        v[k] = strtoull(at, &at, 16);
    memcpy(operand, v, nr * sizeof(v[0]));
    *ret_flags = 0;
    *ret_got = compute(t, operand, ret_flags);
    if (t->function->kind == TO_INT && t->function->what <= FP_WU)
        *ret_got = (uint32_t)*ret_got; /* sign-extended in a register, not in a vector */
    return *ret_got == v[nr] && *ret_flags == v[nr + 1];
}

int main(int argc, char **argv)
{
    struct task t;
    char line[256];
    unsigned long cases = 0, wrong = 0;
    if (parse(argc, argv, &t) < 0) {
        (void)fprintf(stderr, "usage: riscv_testfloat FUNCTION MODE\n");
        return 2;
    }
    while (fgets(line, sizeof(line), stdin)) {
        uint64_t got;
        uint8_t flags;
        cases++;
        if (!check(&t, line, &got, &flags) && ++wrong <= SHOWN)
            (void)printf("%s %s: %" PRIx64 " %02x for %s", argv[1], argv[2], got, flags, line);
    }
    (void)printf("%s %s: %lu cases, %lu wrong\n", argv[1], argv[2], cases, wrong);
    return wrong || !cases;
}
