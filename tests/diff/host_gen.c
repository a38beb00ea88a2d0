/* SPDX-License-Identifier: MIT */
/*
 * Random instructions for host_test: see host_gen.h.
 */
#include "host_gen.h"

#include <stdlib.h>
#include <string.h>

#include "isa/x86/insn_steps.h"

enum { PER_ROW = 24, PAD = 15 };

/* Bytes up to ModRM; the parts a case may change are found by their offset. */
struct template
{
    uint8_t bytes[8];
    uint8_t len;  /* with ModRM if has_modrm */
    uint8_t head; /* offset of REX, VEX or EVEX */
    uint8_t enc;
    bool has_modrm;
};

struct row_templates {
    uint16_t row;
    uint32_t seen;
    uint8_t nr;
    struct template t[PER_ROW];
};

struct gen {
    const struct x86_profile *profile; /* borrowed: the caller's */
    struct row_templates *rows;        /* owned; indexed by row while enumerating, then packed */
    unsigned nr;
    struct rng rng;
};

/* Not the same on both sides, or not allowed to a user: the name starts with one of these. */
static const char *const untestable[] = {
    "CPUID",  "RDTSC",  "RDPMC",   "RDRAND", "RDSEED",   "RDPID",    "XGETBV",   "XSETBV",   "XSAVE",
    "XRSTOR", "FXSAVE", "FXRSTOR", "SLDT",   "SMSW",     "SGDT",     "SIDT",     "LAR",      "LSL",
    "VERR",   "VERW",   "ARPL",    "POPF",   "RDFSBASE", "RDGSBASE", "WRFSBASE", "WRGSBASE", "MONITOR",
    "MWAIT",  "VMCALL", "VMMCALL", "CLWB",   "SYSCALL",  "XBEGIN",   "XABORT",   "XEND",     "XTEST",
};

static bool name_testable(const char *name)
{
    static const char *const whole[] = { "STR", "IN",  "OUT", "INSB", "INSW/INSD/INSD", "OUTSB", "OUTSW/OUTSD/OUTSD",
                                         "STI", "CLI", "HLT" };
    for (unsigned n = 0; n < sizeof(untestable) / sizeof(untestable[0]); n++)
        if (strncmp(name, untestable[n], strlen(untestable[n])) == 0)
            return false;
    for (unsigned n = 0; n < sizeof(whole) / sizeof(whole[0]); n++)
        if (strcmp(name, whole[n]) == 0)
            return false;
    return true;
}

bool gen_testable(const struct gen *g, const struct x86_insn *i)
{
    const struct x86_row *row = &x86_rows[i->row];
    if ((row->flags & (ROW_PRIV | ROW_BRANCH | ROW_SYS)) || i->step == step_ud || !name_testable(row->name))
        return false;
    if (!g->profile->has[row->feat[0]] || !g->profile->has[row->feat[1]])
        return false;
    if (memcmp(i->bytes + i->layout.opcode - (i->layout.opcode > 0), "\x0f\x0d", 2) == 0 && i->modrm >= 0xc0)
        return false; /* the register form of PREFETCHW: a NOP to Intel, #UD to AMD */
    for (unsigned n = 0; n < i->nr_opnds; n++)
        if (i->op[n].kind == OPND_SEG || i->op[n].kind == OPND_CR || i->op[n].kind == OPND_DR)
            return false;
    return i->seg != SEG_FS && i->seg != SEG_GS; /* the test itself lives with those */
}

/* ---- enumeration ---- */

static void keep(struct gen *g, const struct template *t)
{
    uint8_t bytes[PAD + 8] = { 0 };
    struct x86_insn i;

    memcpy(bytes, t->bytes, t->len);
    if (x86_decode(bytes, PAD, X86_MODE_64, &i) < 0 || !gen_testable(g, &i))
        return;
    if (t->has_modrm && !i.layout.modrm)
        return; /* the byte was an operand: met without ModRM too */
    struct row_templates *rt = &g->rows[i.row];
    rt->row = i.row;
    rt->seen++;
    unsigned at = rt->nr < PER_ROW ? rt->nr++ : rng_below(&g->rng, rt->seen);
    if (at < PER_ROW)
        rt->t[at] = *t;
}

/* All ModRM bytes that can matter: every register form of rm 0 and 1..7, [rax] and a SIB form. */
static void keep_modrms(struct gen *g, struct template *t)
{
    keep(g, t);
    t->has_modrm = true;
    t->len++;
    for (unsigned reg = 0; reg < 8; reg++) {
        for (unsigned rm = 0; rm < 8; rm++) {
            t->bytes[t->len - 1] = (uint8_t)(0xc0 | reg << 3 | rm);
            keep(g, t);
        }
        t->bytes[t->len - 1] = (uint8_t)(reg << 3 | 4);
        keep(g, t);
    }
}

static void enumerate_legacy(struct gen *g)
{
    static const uint8_t prefixes[] = { 0, 0x66, 0xf3, 0xf2 };
    static const uint8_t maps[][2] = { { 0, 0 }, { 0x0f, 0 }, { 0x0f, 0x38 }, { 0x0f, 0x3a } };
    for (unsigned n = 0; n < 4 * 2 * 4 * 256; n++) {
        struct template t = { .enc = X86_ENC_LEGACY };
        uint8_t prefix = prefixes[n & 3], w = n >> 2 & 1, opcode = (uint8_t)(n >> 5);
        const uint8_t *map = maps[n >> 3 & 3];
        if (prefix)
            t.bytes[t.len++] = prefix;
        t.head = t.len;
        t.bytes[t.len++] = (uint8_t)(0x40 | w << 3);
        if (map[0])
            t.bytes[t.len++] = map[0];
        if (map[1])
            t.bytes[t.len++] = map[1];
        t.bytes[t.len++] = opcode;
        keep_modrms(g, &t);
    }
}

static void enumerate_vex(struct gen *g)
{
    for (unsigned n = 0; n < 4 * 4 * 2 * 2 * 256; n++) {
        unsigned pp = n & 3, map = n >> 2 & 3, w = n >> 4 & 1, l = n >> 5 & 1;
        struct template t = { .enc = X86_ENC_VEX, .len = 4 };
        t.bytes[0] = 0xc4;
        t.bytes[1] = (uint8_t)(0xe0 | map);
        t.bytes[2] = (uint8_t)(w << 7 | 0x78 | l << 2 | pp);
        t.bytes[3] = (uint8_t)(n >> 6);
        if (map)
            keep_modrms(g, &t);
    }
}

static void enumerate_evex(struct gen *g)
{
    for (unsigned n = 0; n < 4 * 4 * 2 * 4 * 2 * 2 * 256; n++) {
        unsigned pp = n & 3, map = n >> 2 & 3, w = n >> 4 & 1, ll = n >> 5 & 3, b = n >> 7 & 1, k = n >> 8 & 1;
        struct template t = { .enc = X86_ENC_EVEX, .len = 5 };
        t.bytes[0] = 0x62;
        t.bytes[1] = (uint8_t)(0xf0 | map);
        t.bytes[2] = (uint8_t)(w << 7 | 0x7c | pp);
        t.bytes[3] = (uint8_t)(ll << 5 | b << 4 | 8 | k);
        t.bytes[4] = (uint8_t)(n >> 9);
        if (map)
            keep_modrms(g, &t);
    }
}

struct gen *gen_new(const struct x86_profile *profile)
{
    struct gen *g = calloc(1, sizeof(*g));
    if (!g)
        return NULL;
    g->profile = profile;
    g->rng.state = 1;
    g->rows = calloc(x86_nr_rows, sizeof(*g->rows));
    if (!g->rows) {
        free(g);
        return NULL;
    }
    enumerate_legacy(g);
    enumerate_vex(g);
    if (profile->has[X86_FEAT_AVX512F])
        enumerate_evex(g);
    for (unsigned n = 0; n < x86_nr_rows; n++)
        if (g->rows[n].nr)
            g->rows[g->nr++] = g->rows[n];
    return g;
}

void gen_free(struct gen *g)
{
    if (!g)
        return;
    free(g->rows);
    free(g);
}

unsigned gen_rows(const struct gen *g)
{
    return g->nr;
}

unsigned gen_row(const struct gen *g, unsigned n)
{
    return g->rows[n].row;
}

/* ---- cases ---- */

static uint8_t mix(struct rng *r, uint8_t v, uint8_t bits)
{
    return (uint8_t)((v & ~bits) | (rng_next(r) & bits));
}

static void vary_head(struct rng *r, struct template *t)
{
    uint8_t *h = t->bytes + t->head;
    if (t->enc == X86_ENC_LEGACY) {
        h[0] = mix(r, h[0], 7);
        return;
    }
    h[1] = mix(r, h[1], t->enc == X86_ENC_VEX ? 0xe0 : 0xf0);
    if (rng_percent(r, 80))
        h[2] = mix(r, h[2], 0x78);
    if (t->enc != X86_ENC_EVEX)
        return;
    h[3] = mix(r, h[3], 8);
    if (rng_percent(r, 60))
        h[3] = mix(r, h[3], 0x87);
    if (rng_percent(r, 20))
        h[3] = mix(r, h[3], 0x70);
}

static void vary_modrm(struct rng *r, struct template *t)
{
    uint8_t *m = t->bytes + t->len - 1;
    *m = mix(r, *m, 7);
    if (rng_percent(r, 60))
        *m = mix(r, *m, 0x38);
    if (*m < 0xc0)
        *m = (uint8_t)((*m & 0x3f) | rng_below(r, 3) << 6);
}

/* VEX with three bytes that can be said in two. */
static void shorten_vex(struct template *t)
{
    uint8_t *h = t->bytes + t->head;
    if (t->enc != X86_ENC_VEX || (h[1] & 0x7f) != 0x61 || (h[2] & 0x80))
        return;
    h[0] = 0xc5;
    h[1] = (uint8_t)((h[1] & 0x80) | (h[2] & 0x7f));
    memmove(h + 2, h + 3, t->len - t->head - 3);
    t->len--;
}

static bool assemble(struct rng *r, const struct template *t, struct x86_insn *ret)
{
    static const uint8_t segments[] = { 0x26, 0x2e, 0x36, 0x3e };
    uint8_t bytes[40];
    unsigned at = 0;
    if (rng_percent(r, 8))
        bytes[at++] = segments[rng_below(r, 4)];
    if (rng_percent(r, 8))
        bytes[at++] = 0x67;
    if (t->enc == X86_ENC_LEGACY && rng_percent(r, 8))
        bytes[at++] = rng_percent(r, 50) ? 0xf0 : 0xf3;
    memcpy(bytes + at, t->bytes, t->len);
    at += t->len;
    uint64_t tail = rng_next(r), tail2 = rng_next(r);
    memcpy(bytes + at, &tail, 8);
    memcpy(bytes + at + 8, &tail2, 8);
    return x86_decode(bytes, X86_INSN_MAX, X86_MODE_64, ret) > 0;
}

bool gen_make(const struct gen *g, struct rng *r, unsigned n, struct x86_insn *ret_insn)
{
    const struct row_templates *rt = &g->rows[n];
    for (unsigned attempt = 0; attempt < 8; attempt++) {
        struct template t = rt->t[rng_below(r, rt->nr)];
        if (attempt < 6)
            vary_head(r, &t);
        if (t.has_modrm)
            vary_modrm(r, &t);
        if (rng_percent(r, 50))
            shorten_vex(&t);
        if (assemble(r, &t, ret_insn) && gen_testable(g, ret_insn))
            return true;
    }
    return false;
}
