/* SPDX-License-Identifier: MIT */
/*
 * Decoded RISC-V instructions, and the decoder that makes them from the instruction table.
 *
 * insn.tab, insn_v.tab (text) -> scripts/gen-insn-riscv -> insn_rows.c (rows, names, step functions, buckets). A compressed
 * instruction decodes to the operands of the one it stands for, so that both have one step function. Thread-safe: no state. Spec:
 * volume I, chapters 2.2, 2.3, 27
 */
#ifndef DOPPEL_ISA_RISCV_DECODE_H
#define DOPPEL_ISA_RISCV_DECODE_H

#include "isa/riscv/profile.h"
#include "isa/riscv/state.h"

/* Which fields an encoding has, and how it is written. "uimm" are zero-extended. */
enum riscv_format {
    RISCV_FMT_R,     /* rd, rs1, rs2 */
    RISCV_FMT_R1,    /* rd, rs1 */
    RISCV_FMT_I,     /* rd, rs1, imm */
    RISCV_FMT_LD,    /* rd, imm(rs1) */
    RISCV_FMT_ST,    /* rs2, imm(rs1) */
    RISCV_FMT_B,     /* rs1, rs2, imm (of pc) */
    RISCV_FMT_U,     /* rd, imm (the register's bits 31:12) */
    RISCV_FMT_J,     /* rd, imm (of pc) */
    RISCV_FMT_SH6,   /* rd, rs1, shamt of 6 bits */
    RISCV_FMT_SH5,   /* rd, rs1, shamt of 5 bits */
    RISCV_FMT_CSR,   /* rd, csr (imm), rs1 */
    RISCV_FMT_CSRI,  /* rd, csr (imm), uimm (in the place, and the member, of rs1) */
    RISCV_FMT_FENCE, /* pred, succ (imm 7:4, 3:0) */
    RISCV_FMT_N,     /* no operands */
    RISCV_FMT_SF,    /* rs1, rs2 */
    RISCV_FMT_LR,    /* rd, (rs1) */
    RISCV_FMT_AMO,   /* rd, rs2, (rs1) */
    RISCV_FMT_HLV,   /* rd, (rs1) */
    RISCV_FMT_HSV,   /* rs2, (rs1) */
    RISCV_FMT_CBO,   /* (rs1) */
    RISCV_FMT_PREF,  /* imm(rs1) */
    RISCV_FMT_FLD,   /* frd, imm(rs1) */
    RISCV_FMT_FST,   /* frs2, imm(rs1) */
    RISCV_FMT_F1,    /* frd, frs1, rm */
    RISCV_FMT_F3,    /* frd, frs1, frs2, rm */
    RISCV_FMT_F3N,   /* frd, frs1, frs2 */
    RISCV_FMT_F4,    /* frd, frs1, frs2, frs3, rm */
    RISCV_FMT_FCMP,  /* rd, frs1, frs2 */
    RISCV_FMT_FMVX,  /* rd, frs1 */
    RISCV_FMT_XMVF,  /* frd, rs1 */
    RISCV_FMT_F2X,   /* rd, frs1, rm */
    RISCV_FMT_X2F,   /* frd, rs1, rm */
    RISCV_FMT_FLI,   /* frd, constant (rs1) */
    /* vectors: vd is rd, vs1 and vs2 are rs1 and rs2; where bit 25 is 0, masked by v0 */
    RISCV_FMT_VSETI,  /* rd, rs1, vtype (imm) */
    RISCV_FMT_VSETII, /* rd, uimm (in the place, and the member, of rs1), vtype (imm) */
    RISCV_FMT_VL,     /* vd, (rs1); vd is what is stored, in stores */
    RISCV_FMT_VLN,    /* the same, never masked */
    RISCV_FMT_VLS,    /* vd, (rs1), rs2 */
    RISCV_FMT_VLX,    /* vd, (rs1), vs2 */
    RISCV_FMT_VV,     /* vd, vs2, vs1 */
    RISCV_FMT_VX,     /* vd, vs2, rs1 */
    RISCV_FMT_VI,     /* vd, vs2, imm */
    RISCV_FMT_VU,     /* vd, vs2, uimm */
    RISCV_FMT_VU6,    /* vd, vs2, uimm of 6 bits: bit 26 is its upper one */
    RISCV_FMT_VF,     /* vd, vs2, frs1 */
    RISCV_FMT_VVA,    /* vd, vs1, vs2; vd is a source, too */
    RISCV_FMT_VXA,    /* vd, rs1, vs2 */
    RISCV_FMT_VFA,    /* vd, frs1, vs2 */
    RISCV_FMT_VVM,    /* vd, vs2, vs1, v0 */
    RISCV_FMT_VXM,    /* vd, vs2, rs1, v0 */
    RISCV_FMT_VIM,    /* vd, vs2, imm, v0 */
    RISCV_FMT_VFM,    /* vd, vs2, frs1, v0 */
    RISCV_FMT_VMVV,   /* vd, vs1 */
    RISCV_FMT_VMVX,   /* vd, rs1 */
    RISCV_FMT_VMVI,   /* vd, imm */
    RISCV_FMT_VMVF,   /* vd, frs1 */
    RISCV_FMT_V2,     /* vd, vs2 */
    RISCV_FMT_X2,     /* rd, vs2 */
    RISCV_FMT_F2V,    /* frd, vs2 */
    RISCV_FMT_VD,     /* vd */
    /* 16 bits; register fields of three bits are x8..x15 */
    RISCV_FMT_CIW,    /* rd', sp, uimm */
    RISCV_FMT_CLW,    /* rd', uimm(rs1') by 4 */
    RISCV_FMT_CLD,    /* rd', uimm(rs1') by 8 */
    RISCV_FMT_CSW,    /* rs2', uimm(rs1') by 4 */
    RISCV_FMT_CSD,    /* rs2', uimm(rs1') by 8 */
    RISCV_FMT_CFLD,   /* frd', uimm(rs1') by 8 */
    RISCV_FMT_CFSD,   /* frs2', uimm(rs1') by 8 */
    RISCV_FMT_CNOP,   /* imm */
    RISCV_FMT_CI,     /* rd, imm; rs1 is rd */
    RISCV_FMT_CLI,    /* rd, imm; rs1 is x0 */
    RISCV_FMT_CLUI,   /* rd, imm */
    RISCV_FMT_CI16,   /* sp, imm by 16 */
    RISCV_FMT_CBSH,   /* rd', shamt */
    RISCV_FMT_CBI,    /* rd', imm */
    RISCV_FMT_CA,     /* rd', rs2' */
    RISCV_FMT_CJ,     /* imm (of pc); rd is x0 */
    RISCV_FMT_CB,     /* rs1', imm (of pc); rs2 is x0 */
    RISCV_FMT_CISH,   /* rd, shamt */
    RISCV_FMT_CLWSP,  /* rd, uimm(sp) by 4 */
    RISCV_FMT_CLDSP,  /* rd, uimm(sp) by 8 */
    RISCV_FMT_CFLDSP, /* frd, uimm(sp) by 8 */
    RISCV_FMT_CSWSP,  /* rs2, uimm(sp) by 4 */
    RISCV_FMT_CSDSP,  /* rs2, uimm(sp) by 8 */
    RISCV_FMT_CFSDSP, /* frs2, uimm(sp) by 8 */
    RISCV_FMT_CR,     /* rd, rs2; rs1 is rd */
    RISCV_FMT_CRMV,   /* rd, rs2; rs1 is x0 */
    RISCV_FMT_CR1,    /* rs1; rd is x0 or (c.jalr) x1 */
};

enum { ROW_END = 1, ROW_NZ = 2, ROW_RD0 = 4, ROW_EVEN = 8 };

struct riscv_insn;
typedef void (*riscv_step_fn)(struct riscv_cpu *c, const struct riscv_insn *i);

struct riscv_insn {
    riscv_step_fn step; /* the row's definition, or rv_illegal() */
    uint32_t bits;      /* as fetched; the upper half is 0 for 16-bit ones */
    int32_t imm;
    uint16_t row; /* index into riscv_rows; RISCV_ROW_NONE with rv_illegal() */
    uint8_t len;  /* bytes: 2, 4 */
    uint8_t rd, rs1, rs2, rs3;
    uint8_t rm; /* enum riscv_rm, as encoded: 5 and 6 are reserved */
};
enum { RISCV_ROW_NONE = 0xffff };

struct riscv_row {
    riscv_step_fn step;
    const char *name;
    uint32_t mask, match;
    uint8_t format; /* enum riscv_format */
    uint8_t flags;  /* ROW_* */
    uint8_t ext[2]; /* enum riscv_ext: either offers it */
};
extern const struct riscv_row riscv_rows[];
extern const unsigned riscv_nr_rows;
/* Candidates by bucket, and where each bucket begins in that list: made from the table. */
extern const uint16_t riscv_order32[], riscv_bucket32[], riscv_order16[], riscv_bucket16[];

/* Bytes of the instruction that begins with these 16 bits: 2 or 4. (Longer ones do not exist yet: they decode as illegal.) */
static inline unsigned riscv_insn_len(uint16_t first)
{
    return (first & 3) == 3 ? 4 : 2;
}

/* Whether it is a conditional branch. */
static inline bool riscv_is_branch(const struct riscv_insn *i)
{
    return i->row != RISCV_ROW_NONE && (riscv_rows[i->row].format == RISCV_FMT_B || riscv_rows[i->row].format == RISCV_FMT_CB);
}

/* Decodes one instruction; what is reserved, or not offered by the profile (NULL: all is), gets rv_illegal() as its step. For
 * 16-bit ones the upper half of bits is ignored. */
void riscv_decode(uint32_t bits, const struct riscv_profile *profile, struct riscv_insn *ret);

/* Raises an illegal-instruction exception: what reserved encodings do. */
void rv_illegal(struct riscv_cpu *c, const struct riscv_insn *i);

#endif
