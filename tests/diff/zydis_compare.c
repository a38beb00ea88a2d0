/* SPDX-License-Identifier: MIT */
/*
 * One instruction decoded by doppel and by Zydis, and what differs.
 *
 * Compared in this order, the first difference is reported: validity, length, mnemonic, encoding, address size, operand size,
 * prefixes, operands (kind, register, size, access; memory base, index, scale, displacement, segment; immediates), vector
 * length, mask, zeroing, broadcast, rounding, the layout of the bytes, and last the row's arithmetic flags.
 * Spec: Zydis 4.0 API.
 */
#include "zydis_compare.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "isa/x86/insn_steps.h"
#include "isa/x86/step.h"

/* Bytes where Zydis 4.0 and real processors differ. `applies` sees the case and what was found to differ. */
struct exception {
    ZydisMnemonic mnemonic;              /* as Zydis names it; ZYDIS_MNEMONIC_INVALID: any */
    const char *why;                     /* start of the difference */
    bool (*applies)(const struct zc *z); /* NULL: always */
    const char *reason;
};

/* mod 00, SIB base 101 is "no base" whatever REX.B says. */
static bool base_with_67(const struct zc *z)
{
    unsigned sib = z->zi.raw.sib.base;
    return z->mode == X86_MODE_64 && z->insn.addrsize == 4 && z->zi.raw.modrm.mod == 0 && sib == 5;
}

static bool w1_outside_64(const struct zc *z)
{
    return z->mode != X86_MODE_64 && z->len > 0 && z->insn.enc == X86_ENC_EVEX && z->insn.rex_w && z->insn.evex_b;
}

static const struct exception exceptions[] = {
    { ZYDIS_MNEMONIC_INVALID, "base 255, not r13d", base_with_67,
      "with 67 in 64-bit mode Zydis takes SIB base 101, mod 00, REX.B for r13d; it is no base (tried on Zen 4; SDM 2A 2.2.1.2)" },
    { ZYDIS_MNEMONIC_INVALID, "Zydis says invalid, we VCVTSI2SD", w1_outside_64,
      "outside 64-bit mode EVEX.W is ignored here; Zydis refuses W1 with rounding, though not W0 (tried on Zen 4: both run)" },
    { ZYDIS_MNEMONIC_INVALID, "Zydis says invalid, we VCVTUSI2SD", w1_outside_64, "as the line above" },
    { ZYDIS_MNEMONIC_MOVSXD, "operand 1: memory of 2 bytes", NULL, "MOVSXD with 66 reads r/m16 (SDM 2B), Zydis has r/m32" },
    { ZYDIS_MNEMONIC_VDBPSADBW, "masked_mem 0", NULL,
      "its words come from other elements, so it cannot suppress faults; SDM 2C: E4NF" },
    { ZYDIS_MNEMONIC_VPTEST, "flags", NULL, "the other flags are cleared (SDM 2B PTEST); Zydis lists ZF and CF only" },
    { ZYDIS_MNEMONIC_VTESTPS, "flags", NULL, "as the line above" },
    { ZYDIS_MNEMONIC_VTESTPD, "flags", NULL, "as the line above" },
    { ZYDIS_MNEMONIC_PAUSE, "name XCHG, not", NULL, "F3 90 with REX.B exchanges rAX and r8 (tried on Zen 4); Zydis says PAUSE" },
    { ZYDIS_MNEMONIC_VMCALL, "flags", NULL, "a hypercall, as a guest sees it, changes no flag" },
    { ZYDIS_MNEMONIC_INVALID, NULL, NULL, NULL },
};

const char *zc_exception_reason(unsigned n)
{
    return n < sizeof exceptions / sizeof *exceptions ? exceptions[n].reason : NULL;
}

/* Extensions no doppel CPU model offers. */
static const ZydisISAExt absent[] = { ZYDIS_ISA_EXT_AMD3DNOW,  ZYDIS_ISA_EXT_AMD_INVLPGB, ZYDIS_ISA_EXT_AMX_BF16,
                                      ZYDIS_ISA_EXT_AMX_INT8,  ZYDIS_ISA_EXT_AMX_TILE,    ZYDIS_ISA_EXT_AVX_VNNI,
                                      ZYDIS_ISA_EXT_CET,       ZYDIS_ISA_EXT_CLDEMOTE,    ZYDIS_ISA_EXT_CLZERO,
                                      ZYDIS_ISA_EXT_ENQCMD,    ZYDIS_ISA_EXT_FMA4,        ZYDIS_ISA_EXT_GFNI,
                                      ZYDIS_ISA_EXT_HRESET,    ZYDIS_ISA_EXT_KEYLOCKER,   ZYDIS_ISA_EXT_KEYLOCKER_WIDE,
                                      ZYDIS_ISA_EXT_KNC,       ZYDIS_ISA_EXT_KNCE,        ZYDIS_ISA_EXT_KNCV,
                                      ZYDIS_ISA_EXT_MCOMMIT,   ZYDIS_ISA_EXT_MONITORX,    ZYDIS_ISA_EXT_MOVDIR,
                                      ZYDIS_ISA_EXT_MPX,       ZYDIS_ISA_EXT_PADLOCK,     ZYDIS_ISA_EXT_PCONFIG,
                                      ZYDIS_ISA_EXT_PKU,       ZYDIS_ISA_EXT_PREFETCHWT1, ZYDIS_ISA_EXT_PT,
                                      ZYDIS_ISA_EXT_RDPRU,     ZYDIS_ISA_EXT_RTM,         ZYDIS_ISA_EXT_SGX,
                                      ZYDIS_ISA_EXT_SGX_ENCLV, ZYDIS_ISA_EXT_SMX,         ZYDIS_ISA_EXT_SNP,
                                      ZYDIS_ISA_EXT_SSE4A,     ZYDIS_ISA_EXT_SVM,         ZYDIS_ISA_EXT_TBM,
                                      ZYDIS_ISA_EXT_TDX,       ZYDIS_ISA_EXT_TSX_LDTRK,   ZYDIS_ISA_EXT_UINTR,
                                      ZYDIS_ISA_EXT_VAES,      ZYDIS_ISA_EXT_VMFUNC,      ZYDIS_ISA_EXT_VPCLMULQDQ,
                                      ZYDIS_ISA_EXT_VTX,       ZYDIS_ISA_EXT_WAITPKG,     ZYDIS_ISA_EXT_XOP };

static bool ext_offered(ZydisISAExt ext)
{
    for (unsigned n = 0; n < sizeof absent / sizeof *absent; n++)
        if (absent[n] == ext)
            return false;
    return true;
}

/* AVX-512 extensions beyond F, BW, DQ, VL, CD share one "extension" in Zydis: told apart by ISA set. */
static bool offered(const ZydisDecodedInstruction *zi)
{
    ZydisISASet s = zi->meta.isa_set;
    if (s >= ZYDIS_ISA_SET_AVX512ER_512 && s <= ZYDIS_ISA_SET_AVX512ER_SCALAR)
        return false;
    if (s >= ZYDIS_ISA_SET_AVX512PF_512 && s <= ZYDIS_ISA_SET_AVX512_VPOPCNTDQ_512)
        return false;
    return s != ZYDIS_ISA_SET_AVX_GFNI && s != ZYDIS_ISA_SET_LWP && ext_offered(zi->meta.isa_ext);
}

void zc_init(struct zc *z)
{
    memset(z, 0, sizeof *z);
    (void)ZydisDecoderInit(&z->decoder[X86_MODE_16], ZYDIS_MACHINE_MODE_LEGACY_16, ZYDIS_STACK_WIDTH_16);
    (void)ZydisDecoderInit(&z->decoder[X86_MODE_32], ZYDIS_MACHINE_MODE_LEGACY_32, ZYDIS_STACK_WIDTH_32);
    (void)ZydisDecoderInit(&z->decoder[X86_MODE_64], ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64);
    for (unsigned m = 0; m < 3; m++) { /* these overlay hint NOPs, which is what they are without the feature */
        (void)ZydisDecoderEnableMode(&z->decoder[m], ZYDIS_DECODER_MODE_MPX, ZYAN_FALSE);
        (void)ZydisDecoderEnableMode(&z->decoder[m], ZYDIS_DECODER_MODE_CET, ZYAN_FALSE);
        (void)ZydisDecoderEnableMode(&z->decoder[m], ZYDIS_DECODER_MODE_CLDEMOTE, ZYAN_FALSE);
    }
}

__attribute__((format(printf, 2, 3))) static bool differ(struct zc *z, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(z->why, sizeof z->why, fmt, ap);
    va_end(ap);
    return false;
}

static struct x86_opnd register_opnd(enum x86_opnd_kind kind, unsigned number, unsigned size)
{
    return (struct x86_opnd){ .kind = kind, .reg = (uint8_t)number, .size = (uint8_t)size };
}

/* A register as (kind, number, size). */
static struct x86_opnd reg_of(ZydisRegister r)
{
    unsigned id = (unsigned)ZydisRegisterGetId(r) & 0xff;
    switch (ZydisRegisterGetClass(r)) {
    case ZYDIS_REGCLASS_GPR8:
        if (r >= ZYDIS_REGISTER_AH && r <= ZYDIS_REGISTER_BH)
            return register_opnd(OPND_REGH, r - ZYDIS_REGISTER_AH, 1);
        if (r >= ZYDIS_REGISTER_SPL && r <= ZYDIS_REGISTER_DIL)
            return register_opnd(OPND_REG, RSP + (r - ZYDIS_REGISTER_SPL), 1);
        if (r >= ZYDIS_REGISTER_R8B)
            return register_opnd(OPND_REG, R8 + (r - ZYDIS_REGISTER_R8B), 1);
        return register_opnd(OPND_REG, r - ZYDIS_REGISTER_AL, 1);
    case ZYDIS_REGCLASS_GPR16: return register_opnd(OPND_REG, id, 2);
    case ZYDIS_REGCLASS_GPR32: return register_opnd(OPND_REG, id, 4);
    case ZYDIS_REGCLASS_GPR64: return register_opnd(OPND_REG, id, 8);
    case ZYDIS_REGCLASS_X87: return register_opnd(OPND_ST, id, 10);
    case ZYDIS_REGCLASS_MMX: return register_opnd(OPND_MMX, id, 8);
    case ZYDIS_REGCLASS_XMM: return register_opnd(OPND_VEC, id, 16);
    case ZYDIS_REGCLASS_YMM: return register_opnd(OPND_VEC, id, 32);
    case ZYDIS_REGCLASS_ZMM: return register_opnd(OPND_VEC, id, 64);
    case ZYDIS_REGCLASS_MASK: return register_opnd(OPND_K, id, 8);
    case ZYDIS_REGCLASS_SEGMENT: return register_opnd(OPND_SEG, id, 2);
    case ZYDIS_REGCLASS_CONTROL: return register_opnd(OPND_CR, id, 0);
    case ZYDIS_REGCLASS_DEBUG: return register_opnd(OPND_DR, id, 0);
    default: return register_opnd(OPND_NONE, id, 0);
    }
}

static bool same_reg(const struct x86_opnd *o, ZydisRegister r)
{
    struct x86_opnd want = reg_of(r);
    if (o->kind != want.kind || o->reg != want.reg)
        return false;
    if (o->kind == OPND_REG || o->kind == OPND_REGH)
        return o->size == want.size;
    if (o->kind == OPND_VEC) /* ours counts the bytes used, a register has at least 16 */
        return (o->size <= 16 ? 16 : o->size) == want.size;
    return true;
}

/* Number of the base or index register, X86_RIP_REG or X86_NO_REG. */
static unsigned address_reg(ZydisRegister r)
{
    if (r == ZYDIS_REGISTER_NONE)
        return X86_NO_REG;
    if (r == ZYDIS_REGISTER_RIP || r == ZYDIS_REGISTER_EIP)
        return X86_RIP_REG;
    return (unsigned)ZydisRegisterGetId(r);
}

/* Bytes the memory operand has, where ours says. */
static bool same_mem_size(const struct zc *z, const struct x86_opnd *o, const ZydisDecodedOperand *zo)
{
    if (o->size == 0) /* depends on more than the instruction (XSAVE), or no access (LEA) */
        return zo->mem.type == ZYDIS_MEMOP_TYPE_AGEN || zo->mem.type == ZYDIS_MEMOP_TYPE_MIB || zo->size == 0
               || zo->size >= 512 * 8;
    if (o->access == 0 && zo->actions == 0)
        return true;
    if (o->size == 1 && zo->size == 64 * 8 && z->insn.enc == X86_ENC_LEGACY) /* a cache line, by any address in it */
        return true;
    if (!(x86_rows[z->insn.row].flags & ROW_HOST) && o->size * 8U == zo->element_size) /* any number of elements */
        return true;
    return o->size * 8U == zo->size;
}

static bool same_mem(struct zc *z, unsigned n, const ZydisDecodedOperand *zo)
{
    const struct x86_insn *i = &z->insn;
    const ZydisDecodedOperandMem *m = &zo->mem;
    if (i->base != address_reg(m->base))
        return differ(z, "base %u, not %s", i->base, ZydisRegisterGetString(m->base));
    if (i->index != address_reg(m->index))
        return differ(z, "index %u, not %s", i->index, ZydisRegisterGetString(m->index));
    if (m->index != ZYDIS_REGISTER_NONE && m->type != ZYDIS_MEMOP_TYPE_MIB && i->scale != m->scale)
        return differ(z, "scale %u, not %u", i->scale, m->scale);
    int64_t disp = m->disp.has_displacement ? m->disp.value : 0;
    if (((uint64_t)(i->disp ^ disp) & size_mask(i->addrsize)) != 0)
        return differ(z, "disp %#llx, not %#llx", (long long)i->disp, (long long)disp);
    if (m->type != ZYDIS_MEMOP_TYPE_AGEN && i->seg != (unsigned)ZydisRegisterGetId(m->segment))
        return differ(z, "segment %u, not %s", i->seg, ZydisRegisterGetString(m->segment));
    if (!same_mem_size(z, &i->op[n], zo))
        return differ(z, "operand %u: memory of %u bytes, not %u bits", n, i->op[n].size, zo->size);
    return true;
}

static bool same_imm(struct zc *z, unsigned n, const ZydisDecodedOperand *zo)
{
    const struct x86_insn *i = &z->insn;
    uint64_t have = i->op[n].kind == OPND_IMM2 ? i->imm2 : i->imm;
    unsigned size = i->op[n].size > i->opsize ? i->op[n].size : i->opsize;
    uint64_t mask = i->op[n].kind == OPND_IMM ? size_mask(size ? size : 8) : ~0ULL;
    if (i->op[n].kind == OPND_REL && z->zi.operand_width == 16)
        mask = 0xffff;
    if ((i->op[n].kind == OPND_REL) != (bool)zo->imm.is_relative)
        return differ(z, "operand %u: relative or not", n);
    if ((have ^ zo->imm.value.u) & mask)
        return differ(z, "operand %u: immediate %#llx, not %#llx", n, (long long)have, (long long)zo->imm.value.u);
    return true;
}

/* Access: what is certain and what is conditional counts alike. A register that is written in part may also count as read. */
static bool same_access(struct zc *z, unsigned n, const ZydisDecodedOperand *zo)
{
    unsigned want = 0, have = z->insn.op[n].access;
    if (zo->actions & ZYDIS_OPERAND_ACTION_MASK_READ)
        want |= OPND_R;
    if (zo->actions & ZYDIS_OPERAND_ACTION_MASK_WRITE)
        want |= OPND_W;
    if (n == 0 && z->insn.aaa) /* merging reads the destination; every masked row knows */
        want = (want & ~OPND_R) | (have & OPND_R);
    if (zo->type == ZYDIS_OPERAND_TYPE_IMMEDIATE || have == want)
        return true;
    if (zo->type == ZYDIS_OPERAND_TYPE_REGISTER && want & OPND_W && have == (want | OPND_R))
        return true;
    if (have == 0) /* no access: hints, address generation; or an instruction that only raises #UD */
        return true;
    return differ(z, "operand %u: access %u, not %u", n, have, want);
}

static bool same_opnd(struct zc *z, unsigned n, const ZydisDecodedOperand *zo)
{
    const struct x86_opnd *o = &z->insn.op[n];
    switch (zo->type) {
    case ZYDIS_OPERAND_TYPE_REGISTER:
        if (!same_reg(o, zo->reg.value))
            return differ(z, "operand %u: kind %u reg %u size %u, not %s", n, o->kind, o->reg, o->size,
                          ZydisRegisterGetString(zo->reg.value));
        break;
    case ZYDIS_OPERAND_TYPE_MEMORY:
        if (o->kind != OPND_MEM)
            return differ(z, "operand %u: kind %u, not memory", n, o->kind);
        if (!same_mem(z, n, zo))
            return false;
        break;
    case ZYDIS_OPERAND_TYPE_IMMEDIATE:
        if (o->kind != OPND_IMM && o->kind != OPND_IMM2 && o->kind != OPND_REL)
            return differ(z, "operand %u: kind %u, not immediate", n, o->kind);
        if (!same_imm(z, n, zo))
            return false;
        break;
    default: return differ(z, "operand %u: Zydis type %u", n, zo->type);
    }
    return same_access(z, n, zo);
}

/* Far pointer: two operands of ours, offset and selector in either order. */
static bool same_pointer(struct zc *z, const ZydisDecodedOperand *zo)
{
    if (z->insn.imm != zo->ptr.offset || z->insn.imm2 != zo->ptr.segment)
        return differ(z, "far pointer %x:%llx", z->insn.imm2, (long long)z->insn.imm);
    return true;
}

/* No operand is accessed: NOPs, hints. */
static bool is_hint(const struct x86_insn *i)
{
    for (unsigned n = 0; n < i->nr_opnds; n++)
        if (i->op[n].access != 0)
            return false;
    return i->step == step_nop;
}

/* ST(0) is listed by us where Zydis hides it. */
static bool is_st0(const struct x86_opnd *o)
{
    return o->kind == OPND_ST && o->reg == 0;
}

/* Operands that are fixed ("implicit") need not be listed by us; those that are encoded must be. */
static bool same_operands(struct zc *z)
{
    unsigned n = 0;
    if (is_hint(&z->insn))
        return true;
    for (unsigned k = 0; k < z->zi.operand_count_visible; k++) {
        const ZydisDecodedOperand *zo = &z->zo[k];
        if (zo->encoding == ZYDIS_OPERAND_ENCODING_MASK)
            continue;
        if (zo->type == ZYDIS_OPERAND_TYPE_POINTER) {
            if (!same_pointer(z, zo))
                return false;
            n += 2;
            continue;
        }
        bool same = n < z->insn.nr_opnds && same_opnd(z, n, zo);
        if (!same && n < z->insn.nr_opnds && is_st0(&z->insn.op[n]))
            same = ++n < z->insn.nr_opnds && same_opnd(z, n, zo);
        if (same)
            n++;
        else if (zo->visibility != ZYDIS_OPERAND_VISIBILITY_IMPLICIT)
            return n < z->insn.nr_opnds ? false : differ(z, "%u operands, not %u", n, z->zi.operand_count_visible);
    }
    n += n < z->insn.nr_opnds && is_st0(&z->insn.op[n]);
    return n == z->insn.nr_opnds || differ(z, "%u operands, not %u", z->insn.nr_opnds, n);
}

static bool has_broadcast(const ZydisDecodedInstruction *zi)
{
    return zi->avx.broadcast.mode != ZYDIS_BROADCAST_MODE_INVALID && !zi->avx.broadcast.is_static;
}

static bool same_evex(struct zc *z)
{
    const struct x86_insn *i = &z->insn;
    const ZydisDecodedInstructionAvx *a = &z->zi.avx;
    unsigned aaa = a->mask.reg == ZYDIS_REGISTER_NONE ? 0 : (unsigned)(a->mask.reg - ZYDIS_REGISTER_K0);
    if (i->aaa != aaa)
        return differ(z, "mask %u, not %u", i->aaa, aaa);
    if (i->zeroing != z->zi.raw.evex.z)
        return differ(z, "zeroing %u, not %u", i->zeroing, z->zi.raw.evex.z);
    if (i->bcst != has_broadcast(&z->zi))
        return differ(z, "broadcast %u", i->bcst);
    if (a->rounding.mode != ZYDIS_ROUNDING_MODE_INVALID && (!i->evex_b || i->rc != a->rounding.mode - ZYDIS_ROUNDING_MODE_RN))
        return differ(z, "rounding %u, not %u", i->rc, a->rounding.mode);
    if (i->evex_b != z->zi.raw.evex.b)
        return differ(z, "EVEX.b %u", i->evex_b);
    return true;
}

/* elem counts the memory operand: what broadcasts and what the mask suppresses. */
static bool same_element(struct zc *z)
{
    if (!z->insn.bcst && !(x86_rows[z->insn.row].flags & ROW_MASKED_MEM && z->insn.aaa))
        return true;
    for (unsigned k = 0; k < z->zi.operand_count_visible; k++)
        if (z->zo[k].type == ZYDIS_OPERAND_TYPE_MEMORY && z->zo[k].element_size != z->insn.elem * 8U)
            return differ(z, "element of %u bytes, not %u bits", z->insn.elem, z->zo[k].element_size);
    return true;
}

/* Memory under a mask suppresses faults in the exception classes without "NF". */
static bool same_suppression(struct zc *z)
{
    bool masked = x86_rows[z->insn.row].flags & ROW_MASKED_MEM, has_mem = false, stores = false;
    for (unsigned n = 0; n < z->insn.nr_opnds; n++) {
        has_mem |= z->insn.op[n].kind == OPND_MEM;
        stores |= z->insn.op[n].kind == OPND_MEM && z->insn.op[n].access & OPND_W;
    }
    bool maskable = false;
    for (unsigned k = 0; k < z->zi.operand_count_visible; k++)
        maskable |= z->zo[k].encoding == ZYDIS_OPERAND_ENCODING_MASK;
    if (!has_mem || !maskable || stores)
        return true;
    ZydisExceptionClass c = z->zi.meta.exception_class;
    bool nf = c == ZYDIS_EXCEPTION_CLASS_E1NF || c == ZYDIS_EXCEPTION_CLASS_E2NF || c == ZYDIS_EXCEPTION_CLASS_E3NF
              || c == ZYDIS_EXCEPTION_CLASS_E4NF || c == ZYDIS_EXCEPTION_CLASS_E5NF || c == ZYDIS_EXCEPTION_CLASS_E6NF
              || c == ZYDIS_EXCEPTION_CLASS_E9NF || c == ZYDIS_EXCEPTION_CLASS_E10NF || c == ZYDIS_EXCEPTION_CLASS_E11NF;
    return masked != nf || differ(z, "masked_mem %u, but exception class %u", masked, c);
}

static bool same_vector(struct zc *z)
{
    const struct x86_insn *i = &z->insn;
    bool lig_or_gpr = z->zi.avx.vector_length == 0 || x86_rows[i->row].flags & ROW_XCR_GPR;
    if (!lig_or_gpr && i->vl * 8U != z->zi.avx.vector_length && i->vl != 16)
        return differ(z, "vl %u, not %u bits", i->vl, z->zi.avx.vector_length);
    if (i->enc == X86_ENC_EVEX)
        return same_evex(z) && same_element(z) && same_suppression(z);
    return true;
}

/* Offsets of the parts; Zydis reports 0 for what is absent. */
static bool same_layout(struct zc *z)
{
    const struct x86_layout *l = &z->insn.layout;
    const ZydisDecodedInstructionRaw *r = &z->zi.raw;
    bool modrm = z->zi.attributes & ZYDIS_ATTRIB_HAS_MODRM, sib = z->zi.attributes & ZYDIS_ATTRIB_HAS_SIB;
    if (l->modrm != (modrm ? r->modrm.offset : 0))
        return differ(z, "layout: modrm at %u, not %u", l->modrm, r->modrm.offset);
    if (l->sib != (sib ? r->sib.offset : 0))
        return differ(z, "layout: sib at %u, not %u", l->sib, r->sib.offset);
    if (l->disp != r->disp.offset || l->disp_size * 8 != r->disp.size)
        return differ(z, "layout: disp %u+%u, not %u+%u bits", l->disp, l->disp_size, r->disp.offset, r->disp.size);
    unsigned imm_bits = r->imm[0].size + r->imm[1].size;
    if (l->imm != r->imm[0].offset || l->imm_size * 8U != imm_bits)
        return differ(z, "layout: imm %u+%u, not %u+%u bits", l->imm, l->imm_size, r->imm[0].offset, imm_bits);
    if (z->bytes[l->opcode] != z->zi.opcode)
        return differ(z, "layout: opcode at %u is %02x, not %02x", l->opcode, z->bytes[l->opcode], z->zi.opcode);
    if (modrm && z->insn.modrm != z->bytes[l->modrm])
        return differ(z, "modrm byte");
    unsigned pre = z->zi.encoding == ZYDIS_INSTRUCTION_ENCODING_VEX    ? r->vex.offset
                   : z->zi.encoding == ZYDIS_INSTRUCTION_ENCODING_EVEX ? r->evex.offset
                   : z->zi.attributes & ZYDIS_ATTRIB_HAS_REX           ? r->rex.offset
                                                                       : 0;
    return l->rex == pre || differ(z, "layout: rex at %u, not %u", l->rex, pre);
}

/* Names that are ours on purpose: Zydis has one name for near and far, and none for hints. */
static bool is_alias(const char *ours, ZydisMnemonic theirs)
{
    static const struct {
        const char *ours;
        ZydisMnemonic theirs;
    } alias[] = {
        { "RETF", ZYDIS_MNEMONIC_RET },
        { "ENDBR32", ZYDIS_MNEMONIC_NOP },
        { "ENDBR64", ZYDIS_MNEMONIC_NOP },
    };
    for (unsigned n = 0; n < sizeof alias / sizeof *alias; n++)
        if (alias[n].theirs == theirs && strcmp(alias[n].ours, ours) == 0)
            return true;
    return false;
}

/* Our name, with the alternative for the operand size picked out of "CBW/CWDE/CDQE". */
static bool same_name(struct zc *z)
{
    const char *ours = x86_rows[z->insn.row].name, *theirs = ZydisMnemonicGetString(z->zi.mnemonic);
    if (is_alias(ours, z->zi.mnemonic))
        return true;
    unsigned size = strncmp(ours, "JCXZ/", 5) == 0 ? z->insn.addrsize : z->insn.opsize, skip = size == 2 ? 0 : size == 4 ? 1 : 2;
    for (const char *p; skip > 0 && (p = strchr(ours, '/')); skip--)
        ours = p + 1;
    while (*ours && *ours != '/' && *ours == toupper((unsigned char)*theirs))
        ours++, theirs++;
    return ((*ours == '\0' || *ours == '/') && *theirs == '\0')
           || differ(z, "name %s, not %s", x86_rows[z->insn.row].name, ZydisMnemonicGetString(z->zi.mnemonic));
}

static bool same_prefixes(struct zc *z)
{
    const struct x86_insn *i = &z->insn;
    uint64_t a = z->zi.attributes;
    if (i->lock != !!(a & ZYDIS_ATTRIB_HAS_LOCK))
        return differ(z, "lock %u", i->lock);
    enum x86_rep rep = a & (ZYDIS_ATTRIB_HAS_REP | ZYDIS_ATTRIB_HAS_REPE) ? X86_REP_REP
                       : a & ZYDIS_ATTRIB_HAS_REPNE                       ? X86_REP_REPNE
                                                                          : X86_REP_NONE;
    if (rep != X86_REP_NONE && i->rep != rep)
        return differ(z, "rep %02x, not %02x", i->rep, rep);
    if (rep == X86_REP_NONE && x86_rows[i->row].flags & ROW_REP && i->rep != rep)
        return differ(z, "rep %02x, not none", i->rep);
    return true;
}

/* Operand size matters where a general register or the stack takes its width from it; elsewhere names and operands show it. */
static bool same_opsize(struct zc *z)
{
    const struct x86_insn *i = &z->insn;
    unsigned flags = x86_rows[i->row].flags;
    bool matters = flags & ROW_NEARBR;
    for (unsigned n = 0; n < i->nr_opnds; n++)
        matters |= i->op[n].kind == OPND_REG && i->op[n].access != 0;
    for (unsigned n = 0; n < i->nr_opnds; n++)
        matters &= i->op[n].kind != OPND_REG || i->op[n].size != i->opsize;
    if (i->enc != X86_ENC_LEGACY || i->opsize == 1 || !matters || flags & (ROW_HOST | ROW_X87 | ROW_SSE | ROW_MMX))
        return true;
    return i->opsize * 8U == z->zi.operand_width || differ(z, "operand size %u, not %u bits", i->opsize, z->zi.operand_width);
}

/* The CPUID features a row must ask for, by Zydis's ISA set. Sets left out say nothing exact (BASE, X87, PENTIUMMMX). */
static bool same_features(struct zc *z)
{
    enum { F = X86_FEAT_AVX512F, VL = X86_FEAT_AVX512VL, BW = X86_FEAT_AVX512BW, DQ = X86_FEAT_AVX512DQ, CD = X86_FEAT_AVX512CD };
    static const uint8_t want[ZYDIS_ISA_SET_MAX_VALUE + 1][2] = {
        [ZYDIS_ISA_SET_AVX] = { X86_FEAT_AVX },
        [ZYDIS_ISA_SET_AVX2] = { X86_FEAT_AVX2 },
        [ZYDIS_ISA_SET_AVX2GATHER] = { X86_FEAT_AVX2 },
        [ZYDIS_ISA_SET_AVXAES] = { X86_FEAT_AVX, X86_FEAT_AES },
        [ZYDIS_ISA_SET_FMA] = { X86_FEAT_AVX, X86_FEAT_FMA },
        [ZYDIS_ISA_SET_F16C] = { X86_FEAT_AVX, X86_FEAT_F16C },
        [ZYDIS_ISA_SET_BMI1] = { X86_FEAT_BMI1 },
        [ZYDIS_ISA_SET_BMI2] = { X86_FEAT_BMI2 },
        [ZYDIS_ISA_SET_AVX512F_128] = { F, VL },
        [ZYDIS_ISA_SET_AVX512F_256] = { F, VL },
        [ZYDIS_ISA_SET_AVX512F_512] = { F },
        [ZYDIS_ISA_SET_AVX512F_128N] = { F },
        [ZYDIS_ISA_SET_AVX512F_KOP] = { F },
        [ZYDIS_ISA_SET_AVX512F_SCALAR] = { F },
        [ZYDIS_ISA_SET_AVX512BW_128] = { BW, VL },
        [ZYDIS_ISA_SET_AVX512BW_256] = { BW, VL },
        [ZYDIS_ISA_SET_AVX512BW_512] = { BW },
        [ZYDIS_ISA_SET_AVX512BW_128N] = { BW },
        [ZYDIS_ISA_SET_AVX512BW_KOP] = { BW },
        [ZYDIS_ISA_SET_AVX512DQ_128] = { DQ, VL },
        [ZYDIS_ISA_SET_AVX512DQ_256] = { DQ, VL },
        [ZYDIS_ISA_SET_AVX512DQ_512] = { DQ },
        [ZYDIS_ISA_SET_AVX512DQ_128N] = { DQ },
        [ZYDIS_ISA_SET_AVX512DQ_KOP] = { DQ },
        [ZYDIS_ISA_SET_AVX512DQ_SCALAR] = { DQ },
        [ZYDIS_ISA_SET_AVX512CD_128] = { CD, VL },
        [ZYDIS_ISA_SET_AVX512CD_256] = { CD, VL },
        [ZYDIS_ISA_SET_AVX512CD_512] = { CD },
        [ZYDIS_ISA_SET_SSE] = { X86_FEAT_SSE },
        [ZYDIS_ISA_SET_SSE2] = { X86_FEAT_SSE2 },
        [ZYDIS_ISA_SET_SSE3] = { X86_FEAT_SSE3 },
        [ZYDIS_ISA_SET_SSSE3] = { X86_FEAT_SSSE3 },
        [ZYDIS_ISA_SET_SSE4] = { X86_FEAT_SSE4_1 },
        [ZYDIS_ISA_SET_SSE42] = { X86_FEAT_SSE4_2 },
        [ZYDIS_ISA_SET_AES] = { X86_FEAT_AES },
        [ZYDIS_ISA_SET_SHA] = { X86_FEAT_SHA },
        [ZYDIS_ISA_SET_MOVBE] = { X86_FEAT_MOVBE },
        [ZYDIS_ISA_SET_POPCNT] = { X86_FEAT_POPCNT },
        [ZYDIS_ISA_SET_ADOX_ADCX] = { X86_FEAT_ADX },
        [ZYDIS_ISA_SET_LZCNT] = { X86_FEAT_LZCNT },
    };
    const uint8_t *w = want[z->zi.meta.isa_set], *have = x86_rows[z->insn.row].feat;
    bool asks_all = true;
    for (unsigned n = 0; n < 2; n++)
        asks_all &= w[n] == X86_FEAT_NONE || have[0] == w[n] || have[1] == w[n];
    return asks_all
           || differ(z, "features %u %u, not %u %u (%s)", have[0], have[1], w[0], w[1], ZydisISASetGetString(z->zi.meta.isa_set));
}

static bool same_flags(struct zc *z)
{
    const struct x86_row *row = &x86_rows[z->insn.row];
    const ZydisAccessedFlags *f = z->zi.cpu_flags;
    if (!f)
        return true;
    unsigned written = (f->modified | f->set_0 | f->set_1) & FLAGS_ARITH, undef = f->undefined & FLAGS_ARITH;
    if ((row->flags_written | row->flags_undef) != (written | undef))
        return differ(z, "flags written %#x undefined %#x, not %#x %#x", row->flags_written, row->flags_undef, written, undef);
    if ((f->tested & FLAGS_ARITH) & ~row->flags_read)
        return differ(z, "flags read %#x, not %#x", row->flags_read, (unsigned)f->tested & FLAGS_ARITH);
    return true;
}

static bool same_insn(struct zc *z)
{
    static const uint8_t encoding[] = { [ZYDIS_INSTRUCTION_ENCODING_LEGACY] = X86_ENC_LEGACY,
                                        [ZYDIS_INSTRUCTION_ENCODING_VEX] = X86_ENC_VEX,
                                        [ZYDIS_INSTRUCTION_ENCODING_EVEX] = X86_ENC_EVEX };
    const struct x86_insn *i = &z->insn;
    if (z->len != z->zi.length || i->len != z->len || memcmp(i->bytes, z->bytes, (size_t)z->len) != 0)
        return differ(z, "length %d, not %u", z->len, z->zi.length);
    if (!same_name(z))
        return false;
    if (i->enc != encoding[z->zi.encoding])
        return differ(z, "encoding %u", i->enc);
    if (i->addrsize * 8U != z->zi.address_width)
        return differ(z, "address size %u, not %u bits", i->addrsize, z->zi.address_width);
    return same_prefixes(z) && same_operands(z) && same_opsize(z) && same_vector(z) && same_layout(z) && same_features(z)
           && same_flags(z);
}

static bool excepted(struct zc *z)
{
    for (unsigned n = 0; exceptions[n].reason; n++) {
        const struct exception *e = &exceptions[n];
        if (e->mnemonic != ZYDIS_MNEMONIC_INVALID && (!z->z_valid || e->mnemonic != z->zi.mnemonic))
            continue;
        if (strncmp(z->why, e->why, strlen(e->why)) != 0)
            continue;
        if (e->applies && !e->applies(z))
            continue;
        z->exception = n;
        return true;
    }
    return false;
}

enum zc_verdict zc_compare(struct zc *z, const uint8_t *bytes, enum x86_mode mode)
{
    ZydisDecoderContext ctx;
    z->bytes = bytes;
    z->mode = mode;
    z->len = x86_decode(bytes, ZC_BYTES, mode, &z->insn);
    z->z_valid = ZYAN_SUCCESS(ZydisDecoderDecodeInstruction(&z->decoder[mode], &ctx, bytes, ZC_BYTES, &z->zi));
    if (z->len < 0 && !z->z_valid)
        return ZC_BOTH_INVALID;
    if (z->len < 0) {
        if (!offered(&z->zi))
            return ZC_NOT_OFFERED;
        (void)differ(z, "we say %s, Zydis %s", z->len == X86_DECODE_LONG ? "too long" : "invalid",
                     ZydisMnemonicGetString(z->zi.mnemonic));
        return excepted(z) ? ZC_EXCEPTION : ZC_MISMATCH;
    }
    if (!z->z_valid) {
        (void)differ(z, "Zydis says invalid, we %s", x86_rows[z->insn.row].name);
        return excepted(z) ? ZC_EXCEPTION : ZC_MISMATCH;
    }
    if (!ZYAN_SUCCESS(ZydisDecoderDecodeOperands(&z->decoder[mode], &ctx, &z->zi, z->zo, z->zi.operand_count)))
        return ZC_MISMATCH;
    if (same_insn(z))
        return ZC_EQUAL;
    if (z->insn.step == step_ud && z->len == z->zi.length) /* known by name only: the rest has no meaning */
        return ZC_EQUAL;
    return excepted(z) ? ZC_EXCEPTION : ZC_MISMATCH;
}

void zc_print_case(const struct zc *z)
{
    static const char *const mode[] = { "16", "32", "64" };
    printf("    mode %s:", mode[z->mode]);
    for (unsigned n = 0; n < ZC_BYTES; n++)
        printf(" %02x", z->bytes[n]);
    printf("\n      ours: %d %s; Zydis: %d %s (%s): %s\n", z->len, z->len > 0 ? x86_rows[z->insn.row].name : "-",
           z->z_valid ? z->zi.length : -1, z->z_valid ? ZydisMnemonicGetString(z->zi.mnemonic) : "-",
           z->z_valid ? ZydisISASetGetString(z->zi.meta.isa_set) : "-", z->why);
}
