/* SPDX-License-Identifier: MIT */
/*
 * Register states and operands of host_test's cases: see host_state.h.
 */
#include "host_state.h"

#include <stdio.h>
#include <string.h>

#include "isa/x86/fpu.h"
#include "isa/x86/step.h"

/* ---- random values ---- */

static uint64_t random_int(struct rng *r)
{
    static const uint64_t corners[] = { 0,
                                        1,
                                        2,
                                        ~0ULL,
                                        0x7f,
                                        0x80,
                                        0xff,
                                        0x7fff,
                                        0x8000,
                                        0xffff,
                                        0x7fffffff,
                                        0x80000000,
                                        0xffffffff,
                                        0x7fffffffffffffff,
                                        0x8000000000000000,
                                        0x0101010101010101 };
    switch (rng_below(r, 4)) {
    case 0: return corners[rng_below(r, sizeof(corners) / sizeof(corners[0]))];
    case 1: return rng_next(r) >> rng_below(r, 64);
    case 2: return (uint64_t)((int64_t)rng_next(r) >> rng_below(r, 64));
    default: return rng_next(r);
    }
}

static uint32_t random_float(struct rng *r)
{
    static const uint32_t corners[] = { 0,          0x3f800000, 0x7f800000, 0x7fc00000, 0x7fa00001, 1,
                                        0x007fffff, 0x00800000, 0x7f7fffff, 0x4effffff, 0x4f000000, 0x5f000000,
                                        0x3f000000, 0x3fc00000, 0x40490fdb, 0x477fe000 };
    uint32_t v = (uint32_t)rng_next(r);
    if (rng_percent(r, 50))
        v = corners[rng_below(r, 16)] | (v & 0x80000000);
    else if (rng_percent(r, 60))
        v = (v & 0x807fffff) | (100 + rng_below(r, 60)) << 23;
    return v;
}

static uint64_t random_double(struct rng *r)
{
    static const uint64_t corners[] = { 0,
                                        0x3ff0000000000000,
                                        0x7ff0000000000000,
                                        0x7ff8000000000000,
                                        0x7ff4000000000001,
                                        1,
                                        0x000fffffffffffff,
                                        0x0010000000000000,
                                        0x7fefffffffffffff,
                                        0x41dfffffffc00000,
                                        0x41e0000000000000,
                                        0x43e0000000000000,
                                        0x3fe0000000000000,
                                        0x3ff8000000000000,
                                        0x36a0000000000000,
                                        0x47efffffe0000000 };
    uint64_t v = rng_next(r);
    if (rng_percent(r, 50))
        v = corners[rng_below(r, 16)] | (v & 1ULL << 63);
    else if (rng_percent(r, 60))
        v = (v & 0x800fffffffffffff) | (uint64_t)(990 + rng_below(r, 80)) << 52;
    return v;
}

/* len bytes of one kind of thing. */
static void random_bytes(struct rng *r, uint8_t *p, unsigned len)
{
    unsigned kind = rng_below(r, 6);
    for (unsigned n = 0; n + 8 <= len; n += 8) {
        uint64_t v;
        switch (kind) {
        case 0: v = rng_next(r); break;
        case 1: v = random_int(r); break;
        case 2: v = random_double(r); break;
        case 3: v = (uint32_t)random_int(r) | random_int(r) << 32; break;
        case 4: v = rng_percent(r, 50) ? 0 : rng_next(r) & 0x8080808080808080ULL; break;
        default: v = random_float(r) | (uint64_t)random_float(r) << 32; break;
        }
        memcpy(p + n, &v, 8);
    }
}

static void random_st(struct rng *r, uint8_t *st)
{
    static const uint16_t exponents[] = { 0, 1, 0x3fff, 0x7fff, 0x7ffe, 0x403e, 0x401e, 0x3ffe, 0x3f81, 0x3c01 };
    static const uint64_t significands[] = { 0,     1ULL << 63, 3ULL << 62,         1,
                                             ~0ULL, ~0ULL >> 1, 0xa000000000000000, 0xc90fdaa22168c235 };
    uint64_t m = rng_percent(r, 50) ? significands[rng_below(r, 8)] : rng_next(r) | 1ULL << 63;
    uint16_t e = rng_percent(r, 50) ? exponents[rng_below(r, 10)] : (uint16_t)(0x3fff - 70 + rng_below(r, 140));
    e |= (uint16_t)(rng_below(r, 2) << 15);
    memcpy(st, &m, 8);
    memcpy(st + 8, &e, 2);
}

static void random_x87(struct rng *r, struct x86_fpu *f)
{
    f->fcw = 0x37f;
    if (rng_percent(r, 40))
        f->fcw = (uint16_t)(0x7f | rng_below(r, 16) << 8);
    if (rng_percent(r, 10))
        f->fcw = (uint16_t)(f->fcw & ~rng_below(r, 0x40));
    f->fsw = (uint16_t)(rng_next(r) & 0x4700) | (uint16_t)(rng_below(r, 8) << 11);
    if (rng_percent(r, 30))
        f->fsw |= (uint16_t)rng_below(r, 0x80);
    if (fpu_pending(f) && rng_percent(r, 80))
        f->fsw &= (uint16_t)~0x3f;
    fpu_update_es(f);
    f->ftw = rng_percent(r, 60) ? 0xff : (uint8_t)rng_next(r);
    for (unsigned n = 0; n < 8; n++)
        random_st(r, f->st[n]);
}

void state_random(struct rng *r, struct native_state *s)
{
    memset(s, 0, sizeof(*s));
    for (unsigned n = 0; n < 16; n++)
        s->gpr[n] = random_int(r);
    s->rflags = FLAG_ONE | FLAG_IF | (rng_next(r) & FLAGS_ARITH) | (rng_percent(r, 30) ? FLAG_DF : 0);
    random_x87(r, &s->fpu);
    s->fpu.mxcsr = MXCSR_INIT;
    if (rng_percent(r, 40))
        s->fpu.mxcsr = 0x1f80 | (rng_next(r) & 0xe07f);
    if (rng_percent(r, 15))
        s->fpu.mxcsr &= ~(rng_next(r) & 0x1f80);
    for (unsigned n = 0; n < 32; n++)
        random_bytes(r, s->fpu.zmm[n], 64);
    for (unsigned n = 0; n < 8; n++)
        s->fpu.k[n] = rng_percent(r, 30) ? rng_next(r) & rng_next(r) & rng_next(r) : random_int(r);
}

void memory_random(struct rng *r, uint8_t *hot)
{
    for (unsigned n = 0; n < HOT_SIZE; n += 128)
        if (rng_percent(r, 25))
            random_bytes(r, hot + n, 128);
}

/* ---- operands ---- */

static bool named(const struct x86_insn *i, const char *prefix)
{
    return strncmp(x86_rows[i->row].name, prefix, strlen(prefix)) == 0;
}

static uint64_t hot_address(struct rng *r)
{
    uint64_t at = HOT_VA + rng_below(r, HOT_SIZE - 256);
    return rng_percent(r, 70) ? at & ~63ULL : at;
}

/* Where the memory operand shall be. */
static uint64_t target(struct rng *r, const struct x86_insn *i)
{
    if (rng_percent(r, 4))
        return HOT_VA + HOT_SIZE - rng_below(r, 80);
    if (i->addrsize == 8 && i->base < 16 && rng_percent(r, 1) && !named(i, "CMPXCHG16B"))
        return 0x8000000000000000ULL + rng_below(r, 64);
    return hot_address(r);
}

/* Puts a displacement into the bytes and decodes again. */
static bool set_disp(const struct gen *g, struct x86_insn *i, int64_t disp)
{
    struct x86_insn again;
    uint8_t bytes[X86_INSN_MAX];
    memcpy(bytes, i->bytes, sizeof(bytes));
    memcpy(bytes + i->layout.disp, &disp, i->layout.disp_size);
    if (x86_decode(bytes, i->len, X86_MODE_64, &again) != i->len || again.row != i->row || !gen_testable(g, &again))
        return false;
    *i = again;
    return true;
}

static void fit_vsib(struct rng *r, const struct x86_insn *i, struct native_state *s)
{
    unsigned size = i->bytes[i->layout.opcode] & 1 ? 8 : 4;
    for (unsigned n = 0; n < 64 / size; n++) {
        int64_t index = (int)rng_below(r, 2048) - 1024;
        index = index * (rng_percent(r, 97) ? 1 : 3) / i->scale;
        memcpy(s->fpu.zmm[i->index] + n * size, &index, size);
    }
    s->gpr[i->base] = HOT_VA + HOT_SIZE - 2200 + rng_below(r, 1024) - (uint64_t)i->disp;
}

/* base + index * scale + disp = at */
static bool fit_address(struct rng *r, const struct gen *g, struct x86_insn *i, struct native_state *s, uint64_t at)
{
    if (x86_rows[i->row].flags & ROW_VSIB) {
        if (i->base >= 16)
            return false;
        fit_vsib(r, i, s);
        return true;
    }
    if (i->base == X86_RIP_REG)
        return set_disp(g, i, (int64_t)(at - NATIVE_RIP - i->len));
    if (i->base == X86_NO_REG && i->index == X86_NO_REG)
        return set_disp(g, i, (int64_t)at);
    uint64_t junk = i->addrsize == 4 && rng_percent(r, 50) ? rng_next(r) << 32 : 0;
    if (i->base == X86_NO_REG) {
        s->gpr[i->index] = (at - (uint64_t)i->disp) / i->scale;
    } else if (i->base == i->index) {
        s->gpr[i->base] = (at - (uint64_t)i->disp) / (i->scale + 1U);
    } else {
        uint64_t index = i->index < 16 ? (uint64_t)((int)rng_below(r, 2000) - 1000) : 0;
        if (i->index < 16)
            s->gpr[i->index] = index;
        s->gpr[i->base] = (at - (uint64_t)i->disp - index * i->scale) + junk;
    }
    return true;
}

static bool memory_operand(const struct x86_insn *i, unsigned *ret_n)
{
    for (unsigned n = 0; n < i->nr_opnds; n++) {
        if (i->op[n].kind == OPND_MEM) {
            *ret_n = n;
            return true;
        }
    }
    return false;
}

/* Implicit pointers and counts. */
static void fit_implicit(struct rng *r, const struct x86_insn *i, struct native_state *s)
{
    s->gpr[RSP] = hot_address(r) + 128;
    if (named(i, "LEAVE"))
        s->gpr[RBP] = hot_address(r) + 128;
    if (named(i, "ENTER")) { /* with overlapping frames the order of copies shows, and differs */
        s->gpr[RSP] = HOT_VA + 2048 + rng_below(r, 1024);
        s->gpr[RBP] = HOT_VA + 4096 + rng_below(r, 2048);
    }
    if (named(i, "XLAT"))
        s->gpr[RBX] = hot_address(r) - (s->gpr[RAX] & 0xff);
    if (named(i, "MASKMOV") || named(i, "VMASKMOVDQU") || (x86_rows[i->row].flags & ROW_REP)) {
        /* whether MASKMOV* faults for bytes it does not write is up to the CPU: not at the edge */
        s->gpr[RDI] = rng_percent(r, 95) || !(x86_rows[i->row].flags & ROW_REP) ? hot_address(r) + 64
                                                                                : HOT_VA + HOT_SIZE - rng_below(r, 40);
        s->gpr[RSI] = rng_percent(r, 95) ? hot_address(r) + 64 : HOT_VA + HOT_SIZE - rng_below(r, 40);
    }
    if (x86_rows[i->row].flags & ROW_REP) {
        s->gpr[RCX] = rng_below(r, 12);
        s->gpr[RAX] = rng_percent(r, 50) ? s->gpr[RAX] : 0;
    }
}

/* Makes the compare of CMPXCHG succeed half the time. */
static void fit_compare(struct rng *r, const struct x86_insn *i, struct native_state *s, const uint8_t *hot, uint64_t at)
{
    if (!named(i, "CMPXCHG") || rng_percent(r, 50))
        return;
    if (i->op[0].kind == OPND_REG) {
        s->gpr[RAX] = s->gpr[i->op[0].reg];
        return;
    }
    unsigned half = named(i, "CMPXCHG16B") ? 8 : named(i, "CMPXCHG8B") ? 4 : 8;
    if (at < HOT_VA || at > HOT_VA + HOT_SIZE - 16 || i->base == RAX || i->base == RDX || i->index == RAX || i->index == RDX)
        return;
    memcpy(&s->gpr[RAX], hot + (at - HOT_VA), half);
    if (!named(i, "CMPXCHG") || half != 8 || named(i, "CMPXCHG16B"))
        memcpy(&s->gpr[RDX], hot + (at - HOT_VA) + half, half);
}

static uint64_t address_of(const struct x86_insn *i, const struct native_state *s)
{
    uint64_t ea = (uint64_t)i->disp;
    ea += i->base < 16 ? s->gpr[i->base] : i->base == X86_RIP_REG ? NATIVE_RIP + i->len : 0;
    ea += i->index < 16 ? s->gpr[i->index] * i->scale : 0;
    return i->addrsize == 4 ? (uint32_t)ea : ea;
}

bool state_fit(struct rng *r, const struct gen *g, struct x86_insn *i, struct native_state *s, uint8_t *hot)
{
    unsigned n;
    fit_implicit(r, i, s);
    if (!memory_operand(i, &n) || !(i->op[n].size || named(i, "LEA")))
        return !memory_operand(i, &n);
    if (named(i, "LEA") && !named(i, "LEAVE"))
        return true;
    bool bit_offset = named(i, "BT") && i->op[1].kind == OPND_REG;
    if (bit_offset) /* within 128 bytes either way */
        s->gpr[i->op[1].reg] = (uint64_t)((int)rng_below(r, 2048) - 1024);
    uint64_t at = target(r, i), want = at;
    if (bit_offset)
        want = at = HOT_VA + 2048 + rng_below(r, 4096);
    if (!fit_address(r, g, i, s, at))
        return false;
    if (x86_rows[i->row].flags & ROW_VSIB)
        return true;
    at = address_of(i, s);
    fit_compare(r, i, s, hot, at);
    if (bit_offset && (i->base == i->op[1].reg || i->index == i->op[1].reg))
        return false;
    if (named(i, "SHA") && (at & 15))
        return false; /* aligned, says Intel; AMD does not care */
    if (named(i, "MOVSXD") && at > HOT_VA + HOT_SIZE - 4)
        return false; /* with 66 Intel reads 16 bits, AMD 32 */
    /* all else would touch memory of the test itself */
    return address_of(i, s) == at && at >= HOT_VA && (at - want <= 16 || want - at <= 16);
}

/* ---- what is defined ---- */

static unsigned last_value(const struct x86_insn *i, const struct native_state *s)
{
    if (i->nr_opnds == 0)
        return 0;
    const struct x86_opnd *o = &i->op[i->nr_opnds - 1];
    return o->kind == OPND_REG ? (uint8_t)s->gpr[o->reg] : (uint8_t)i->imm;
}

/* Flags that a shift or rotate leaves undefined for this count. Spec: SDM 2B RCL, SAL, SHLD */
static uint64_t shift_undefined(const struct x86_insn *i, unsigned count)
{
    unsigned bits = 8 * i->op[0].size;
    if (count == 0)
        return 0;
    if (named(i, "RO") || named(i, "RC"))
        return count == 1 ? 0 : FLAG_OF;
    uint64_t undefined = FLAG_AF;
    if (count != 1)
        undefined |= FLAG_OF;
    if (count >= bits && !named(i, "SAR"))
        undefined |= FLAG_CF;
    return undefined;
}

uint64_t flags_defined(const struct x86_insn *i, const struct native_state *before)
{
    static const char *const shifts[] = { "ROL", "ROR", "RCL", "RCR", "SHL", "SHR", "SAR" };
    uint64_t all = FLAGS_ARITH | FLAG_DF, undefined = x86_rows[i->row].flags_undef;
    const char *name = x86_rows[i->row].name;
    unsigned count = last_value(i, before) & (i->op[0].size == 8 ? 63 : 31);

    for (unsigned n = 0; n < 7; n++)
        if (strcmp(name, shifts[n]) == 0)
            undefined = shift_undefined(i, count);
    if (strcmp(name, "SHLD") == 0 || strcmp(name, "SHRD") == 0)
        undefined = count > 8 * i->op[0].size ? FLAGS_ARITH : shift_undefined(i, count);
    return all & ~undefined;
}

void state_forgive(const struct x86_insn *i, const struct native_state *before, struct native_state *ours,
                   struct native_state *theirs, uint8_t *ours_mem, uint8_t *theirs_mem)
{
    /* AMD keeps the last instruction's place only while an exception is pending */
    if (!fpu_pending(&theirs->fpu) || theirs->trap != NATIVE_NO_TRAP || !(x86_rows[i->row].flags & ROW_HOST)
        || !(x86_rows[i->row].flags & ROW_X87)) {
        theirs->fpu.fop = ours->fpu.fop;
        theirs->fpu.fip = ours->fpu.fip;
        theirs->fpu.fdp = ours->fpu.fdp;
    } else {
        unsigned n;
        if (!memory_operand(i, &n))
            theirs->fpu.fdp = ours->fpu.fdp;
    }
    /* so what FNSTENV and FNSAVE store of it is history */
    if (named(i, "FNSTENV") || named(i, "FNSAVE")) {
        uint64_t at = address_of(i, before) - HOT_VA;
        unsigned field = i->opsize == 2 ? 2 : 4;
        if (at + 7 * field <= HOT_SIZE)
            memcpy(theirs_mem + at + 3 * field, ours_mem + at + 3 * field, 4 * field);
    }
    /* AMD's MASKMOVQ has switched to MMX when it faults */
    if (named(i, "MASKMOVQ") && theirs->trap == X86_PF)
        theirs->fpu = ours->fpu;
    /* CVTPI2PS from memory uses no MMX register; to AMD it then is no MMX instruction, and pending x87 exceptions stay */
    if (named(i, "CVTPI2PS") && ours->trap == X86_MF && i->op[1].kind == OPND_MEM)
        *theirs = *ours;
    /* a bit for misaligned SSE operands that we do not offer */
    if (theirs->fpu.mxcsr & ~(uint32_t)MXCSR_VALID && ours->trap == X86_GP)
        *theirs = *ours;
    /* when a gather faults, its destination's upper part may already be zero */
    if ((x86_rows[i->row].flags & ROW_VSIB) && theirs->trap == X86_PF && i->op[0].kind == OPND_VEC) {
        unsigned index = i->bytes[i->layout.opcode] & 1 ? 8 : 4, data = i->op[1].size;
        unsigned used = i->vl / (index > data ? index : data) * data, reg = i->op[0].reg;
        memcpy(theirs->fpu.zmm[reg] + used, ours->fpu.zmm[reg] + used, 64 - used);
    }
    /* shifting by more than the width gives an undefined result */
    if ((named(i, "SHLD") || named(i, "SHRD")) && i->op[0].size == 2 && (last_value(i, before) & 31) > 16) {
        memcpy(theirs->gpr, ours->gpr, sizeof(ours->gpr));
        memcpy(theirs_mem, ours_mem, HOT_SIZE);
    }
}

/* ---- comparing ---- */

bool state_equal(const struct native_state *a, const struct native_state *b, uint64_t flags)
{
    return memcmp(a->gpr, b->gpr, sizeof(a->gpr)) == 0 && ((a->rflags ^ b->rflags) & flags) == 0 && a->trap == b->trap
           && a->next_rip == b->next_rip && a->fpu.fcw == b->fpu.fcw && a->fpu.fsw == b->fpu.fsw && a->fpu.ftw == b->fpu.ftw
           && a->fpu.fop == b->fpu.fop && a->fpu.fip == b->fpu.fip && a->fpu.fdp == b->fpu.fdp
           && memcmp(a->fpu.st, b->fpu.st, sizeof(a->fpu.st)) == 0 && a->fpu.mxcsr == b->fpu.mxcsr
           && memcmp(a->fpu.zmm, b->fpu.zmm, sizeof(a->fpu.zmm)) == 0 && memcmp(a->fpu.k, b->fpu.k, sizeof(a->fpu.k)) == 0;
}

static void report_value(const char *name, unsigned n, uint64_t before, uint64_t ours, uint64_t theirs)
{
    if (ours != theirs)
        printf("    %s%u: before %#lx, step %#lx, host %#lx\n", name, n, before, ours, theirs);
}

static void report_bytes(const char *name, unsigned n, const uint8_t *before, const uint8_t *ours, const uint8_t *theirs,
                         unsigned len)
{
    const uint8_t *v[3] = { before, ours, theirs };
    static const char *const who[3] = { "before", "step  ", "host  " };
    if (memcmp(ours, theirs, len) == 0)
        return;
    for (unsigned k = 0; k < 3; k++) {
        printf("    %s%u %s", name, n, who[k]);
        for (unsigned m = len; m-- > 0;)
            printf(m % 8 ? "%02x" : "%02x ", v[k][m]);
        printf("\n");
    }
}

void state_report(const struct native_state *before, const struct native_state *ours, const struct native_state *theirs,
                  uint64_t flags)
{
    const struct x86_fpu *b = &before->fpu, *o = &ours->fpu, *t = &theirs->fpu;
    for (unsigned n = 0; n < 16; n++)
        report_value("r", n, before->gpr[n], ours->gpr[n], theirs->gpr[n]);
    report_value("flags ", 0, before->rflags & flags, ours->rflags & flags, theirs->rflags & flags);
    report_value("trap ", 0, NATIVE_NO_TRAP, ours->trap, theirs->trap);
    report_value("rip ", 0, NATIVE_RIP, ours->next_rip, theirs->next_rip);
    report_value("fcw ", 0, b->fcw, o->fcw, t->fcw);
    report_value("fsw ", 0, b->fsw, o->fsw, t->fsw);
    report_value("ftw ", 0, b->ftw, o->ftw, t->ftw);
    report_value("fop ", 0, b->fop, o->fop, t->fop);
    report_value("fip ", 0, b->fip, o->fip, t->fip);
    report_value("fdp ", 0, b->fdp, o->fdp, t->fdp);
    report_value("mxcsr ", 0, b->mxcsr, o->mxcsr, t->mxcsr);
    for (unsigned n = 0; n < 8; n++) {
        report_value("k", n, b->k[n], o->k[n], t->k[n]);
        report_bytes("st", n, b->st[n], o->st[n], t->st[n], 10);
    }
    for (unsigned n = 0; n < 32; n++)
        report_bytes("zmm", n, b->zmm[n], o->zmm[n], t->zmm[n], 64);
}
