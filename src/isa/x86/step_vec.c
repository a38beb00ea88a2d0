/* SPDX-License-Identifier: MIT */
/*
 * Vector instructions whose memory accesses depend on vector or mask contents: gathers, scatters, masked moves,
 * compress and expand.
 *
 * Gathers and scatters go element by element from the lowest, clearing the element's mask as it is done, so that after
 * a fault the instruction can go on where it stopped. The others check every access before they change anything.
 * Spec: SDM 2C, the instruction's page; SDM 2A 2.3.12, table 2-27 (exception class 12)
 */
#include <string.h>

#include "isa/x86/fpu.h"
#include "isa/x86/insn_steps.h"
#include "isa/x86/step.h"

enum { VEC_BYTES = 64 };

static uint8_t *vec(struct x86_cpu *c, unsigned reg)
{
    return c->fpu.zmm[reg];
}

static uint64_t elem_read(const uint8_t *v, unsigned n, unsigned size)
{
    uint64_t x = 0;
    memcpy(&x, v + n * size, size);
    return x;
}

static void elem_write(uint8_t *v, unsigned n, uint64_t x, unsigned size)
{
    memcpy(v + n * size, &x, size);
}

static bool elem_sign(const uint8_t *v, unsigned n, unsigned size)
{
    return v[n * size + size - 1] >> 7;
}

/* Zeroes a register from byte `from` on, as VEX and EVEX writes do. */
static void zero_above(struct x86_cpu *c, unsigned reg, unsigned from)
{
    memset(vec(c, reg) + from, 0, VEC_BYTES - from);
}

static uint8_t opcode_of(const struct x86_insn *i)
{
    return i->bytes[i->layout.opcode];
}

/* ---- gathers and scatters ---- */

struct vsib {
    unsigned count; /* elements */
    unsigned data;  /* bytes of one in memory */
    unsigned index; /* bytes of one index */
};

static struct vsib vsib_of(const struct x86_insn *i, unsigned mem_op)
{
    struct vsib v = { .data = i->op[mem_op].size, .index = opcode_of(i) & 1 ? 8 : 4 };
    v.count = i->vl / (v.data > v.index ? v.data : v.index);
    return v;
}

static uint64_t vsib_ea(struct x86_cpu *c, const struct x86_insn *i, const struct vsib *v, unsigned n)
{
    uint64_t ea = (uint64_t)i->disp;
    int64_t index = sign_extend(elem_read(vec(c, i->index), n, v->index), v->index);

    if (i->base < 16)
        ea += c->gpr[i->base];
    ea += (uint64_t)index * i->scale;
    return i->addrsize == 8 ? ea : ea & size_mask(i->addrsize);
}

static void gather_vex(struct x86_cpu *c, const struct x86_insn *i)
{
    struct vsib v = vsib_of(i, 1);
    unsigned dst = i->op[0].reg, msk = i->op[2].reg;

    if (dst == msk || dst == i->index || msk == i->index)
        x86_raise(c, X86_UD);
    for (unsigned n = 0; n < v.count; n++)
        elem_write(vec(c, msk), n, elem_sign(vec(c, msk), n, v.data) ? ~0ULL : 0, v.data);
    for (unsigned n = 0; n < v.count; n++) {
        if (!elem_sign(vec(c, msk), n, v.data))
            continue;
        uint64_t x = x86_mem_read(c, i->seg, vsib_ea(c, i, &v, n), v.data);
        elem_write(vec(c, dst), n, x, v.data);
        elem_write(vec(c, msk), n, 0, v.data);
    }
    zero_above(c, dst, v.count * v.data);
    zero_above(c, msk, 0);
}

static void gather_evex(struct x86_cpu *c, const struct x86_insn *i)
{
    struct vsib v = vsib_of(i, 1);
    unsigned dst = i->op[0].reg;
    uint64_t *k = &c->fpu.k[i->aaa];

    if (dst == i->index)
        x86_raise(c, X86_UD);
    for (unsigned n = 0; n < v.count; n++) {
        if (!(*k >> n & 1))
            continue;
        elem_write(vec(c, dst), n, x86_mem_read(c, i->seg, vsib_ea(c, i, &v, n), v.data), v.data);
        *k &= ~(1ULL << n);
    }
    *k = 0;
    zero_above(c, dst, v.count * v.data);
}

void step_vgather(struct x86_cpu *c, const struct x86_insn *i)
{
    if (i->enc == X86_ENC_EVEX)
        gather_evex(c, i);
    else
        gather_vex(c, i);
}

void step_vscatter(struct x86_cpu *c, const struct x86_insn *i)
{
    struct vsib v = vsib_of(i, 0);
    unsigned src = i->op[1].reg;
    uint64_t *k = &c->fpu.k[i->aaa];

    for (unsigned n = 0; n < v.count; n++) {
        if (!(*k >> n & 1))
            continue;
        x86_mem_write(c, i->seg, vsib_ea(c, i, &v, n), elem_read(vec(c, src), n, v.data), v.data);
        *k &= ~(1ULL << n);
    }
    *k = 0;
}

/* ---- masked moves ---- */

/* Writes the bytes of src whose bit in `bytes` is set to seg:ea + their number; all are checked before the first. */
static void write_selected(struct x86_cpu *c, enum x86_seg_reg seg, uint64_t ea, const uint8_t *src, uint64_t bytes,
                           uint64_t ea_mask)
{
    for (int pass = 0; pass < 2; pass++) {
        for (unsigned at = 0; at < VEC_BYTES; at++) {
            if (!(bytes >> at & 1))
                continue;
            uint64_t to = (ea + at) & ea_mask;
            if (pass == 0)
                x86_lin_probe_write(c, x86_seg_lin(c, seg, to, 1, X86_WRITE), 1, c->bank);
            else
                x86_mem_write(c, seg, to, src[at], 1);
        }
    }
}

/* VMASKMOVPS/PD and VPMASKMOVD/Q: the sign of each mask element selects. */
void step_vmaskmov(struct x86_cpu *c, const struct x86_insn *i)
{
    bool store = i->op[0].kind == OPND_MEM;
    bool is_int = opcode_of(i) >= 0x8c;
    unsigned size = (is_int ? i->rex_w : opcode_of(i) & 1) ? 8 : 4;
    const uint8_t *msk = vec(c, i->op[1].reg);
    uint64_t ea = insn_ea(c, i), mask = size_mask(i->addrsize), bytes = 0;
    uint8_t result[VEC_BYTES] = { 0 };

    for (unsigned n = 0; n < i->vl / size; n++) {
        if (!elem_sign(msk, n, size))
            continue;
        bytes |= ((1ULL << size) - 1) << (n * size);
        if (!store)
            elem_write(result, n, x86_mem_read(c, i->seg, (ea + n * size) & mask, size), size);
    }
    if (store)
        write_selected(c, i->seg, ea, vec(c, i->op[2].reg), bytes, mask);
    else
        memcpy(vec(c, i->op[0].reg), result, VEC_BYTES);
}

static uint64_t sign_bytes(const uint8_t *msk, unsigned count)
{
    uint64_t bytes = 0;
    for (unsigned n = 0; n < count; n++)
        bytes |= (uint64_t)(msk[n] >> 7) << n;
    return bytes;
}

static void store_to_rdi(struct x86_cpu *c, const struct x86_insn *i, const uint8_t *src, uint64_t bytes)
{
    uint64_t mask = size_mask(i->addrsize);
    write_selected(c, i->seg, c->gpr[RDI] & mask, src, bytes, mask);
}

/* MASKMOVDQU and VMASKMOVDQU. */
void step_maskmov(struct x86_cpu *c, const struct x86_insn *i)
{
    store_to_rdi(c, i, vec(c, i->op[0].reg), sign_bytes(vec(c, i->op[1].reg), 16));
}

void step_maskmovdqu(struct x86_cpu *c, const struct x86_insn *i)
{
    step_maskmov(c, i);
}

void step_maskmovq(struct x86_cpu *c, const struct x86_insn *i)
{
    unsigned top = fpu_top(&c->fpu); /* mm n is physical register n */
    const uint8_t *src = c->fpu.st[(i->op[0].reg - top) & 7], *msk = c->fpu.st[(i->op[1].reg - top) & 7];

    store_to_rdi(c, i, src, sign_bytes(msk, 8));
    fpu_enter_mmx(&c->fpu);
}

/* ---- compress and expand ---- */

static uint64_t elem_mask(const struct x86_cpu *c, const struct x86_insn *i, unsigned count)
{
    uint64_t all = ~0ULL >> (64 - count);
    return i->aaa ? c->fpu.k[i->aaa] & all : all;
}

/* The memory form of VCOMPRESSPS and kin: active elements, packed. */
void step_vcompress(struct x86_cpu *c, const struct x86_insn *i)
{
    unsigned count = i->vl / i->elem, to = 0;
    uint64_t k = elem_mask(c, i, count);
    const uint8_t *src = vec(c, i->op[1].reg);
    uint8_t packed[VEC_BYTES];

    for (unsigned n = 0; n < count; n++)
        if (k >> n & 1)
            elem_write(packed, to++, elem_read(src, n, i->elem), i->elem);
    if (to)
        x86_mem_write_bytes(c, i->seg, insn_ea(c, i), packed, to * i->elem);
}

/* The memory form of VEXPANDPS and kin: consecutive elements go to the active places. */
void step_vexpand(struct x86_cpu *c, const struct x86_insn *i)
{
    unsigned count = i->vl / i->elem, from = 0;
    uint64_t k = elem_mask(c, i, count);
    unsigned need = (unsigned)__builtin_popcountll(k);
    uint8_t *dst = vec(c, i->op[0].reg);
    uint8_t packed[VEC_BYTES];

    if (need)
        x86_mem_read_bytes(c, i->seg, insn_ea(c, i), packed, need * i->elem);
    for (unsigned n = 0; n < count; n++) {
        if (k >> n & 1)
            elem_write(dst, n, elem_read(packed, from++, i->elem), i->elem);
        else if (i->zeroing)
            elem_write(dst, n, 0, i->elem);
    }
    zero_above(c, i->op[0].reg, i->vl);
}
