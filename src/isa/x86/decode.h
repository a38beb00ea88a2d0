/* SPDX-License-Identifier: MIT */
/*
 * Decoded x86 instructions, and the decoder that makes them from the instruction table.
 *
 * insn*.tab (text) -> scripts/gen-insn -> insn_rows.c (rows, names, step functions) and the decode tables. Bytes go
 * through: legacy prefixes, REX / VEX / EVEX, opcode map, ModRM, SIB, displacement, immediates; the result names the row
 * and carries every operand resolved, plus the layout of its bytes for translators that keep and patch them.
 * Thread-safe: no state.
 * Spec: SDM 2A chapter 2, 2D appendix A and B.
 */
#ifndef DOPPEL_ISA_X86_DECODE_H
#define DOPPEL_ISA_X86_DECODE_H

#include "isa/x86/state.h"

enum { X86_INSN_MAX = 15 };

enum x86_opnd_kind {
    OPND_NONE,
    OPND_REG,  /* general register `reg`, low `size` bytes */
    OPND_REGH, /* AH, CH, DH, BH: reg is 0..3, bits 15:8 */
    OPND_MEM,  /* insn's memory operand */
    OPND_IMM,  /* the value is insn.imm (sign- or zero-extended as the instruction uses it) */
    OPND_IMM2, /* the second immediate: ENTER, far pointer selector; value in insn.imm2 */
    OPND_REL,  /* branch displacement in insn.imm, relative to the next instruction */
    OPND_SEG,  /* segment register */
    OPND_CR,
    OPND_DR,
    OPND_ST, /* x87 ST(reg) */
    OPND_MMX,
    OPND_VEC, /* xmm/ymm/zmm reg, `size` bytes of it */
    OPND_K,   /* opmask register */
};

enum { OPND_R = 1, OPND_W = 2 }; /* access bits */

/* Where the operand's register number stands in the bytes. */
enum x86_slot { SLOT_FIXED, SLOT_REG, SLOT_RM, SLOT_VVVV, SLOT_OPCODE, SLOT_IMM };

struct x86_opnd {
    uint8_t kind; /* enum x86_opnd_kind */
    uint8_t slot; /* enum x86_slot */
    uint8_t reg;
    uint8_t size;   /* bytes; for OPND_MEM the bytes accessed (0: depends on more, e.g. XSAVE, or no access: LEA) */
    uint8_t access; /* OPND_R | OPND_W */
};

enum { X86_OPNDS = 4 };
enum { X86_NO_REG = 0xff, X86_RIP_REG = 0xfe };
enum x86_rep { X86_REP_NONE, X86_REP_REPNE = 0xf2, X86_REP_REP = 0xf3 };

/* Where parts stand in the instruction's bytes; 0 means absent (nothing but prefixes can stand at 0, and the opcode). */
struct x86_layout {
    uint8_t opcode; /* of the last opcode byte */
    uint8_t rex;    /* of the REX byte, or the first byte of VEX/EVEX */
    uint8_t modrm, sib, disp, imm;
    uint8_t disp_size, imm_size;
};

struct x86_insn;
typedef void (*x86_step_fn)(struct x86_cpu *c, const struct x86_insn *i);

enum x86_encoding { X86_ENC_LEGACY, X86_ENC_VEX, X86_ENC_EVEX };

struct x86_insn {
    x86_step_fn step; /* the row's definition */
    uint16_t row;     /* index into x86_rows */
    uint8_t len;      /* bytes */
    uint8_t opsize;   /* effective operand size, bytes: 2, 4, 8 (1 for byte forms); vector rows: as REX.W and 66 say */
    uint8_t addrsize; /* 2, 4, 8 */
    uint8_t seg;      /* enum x86_seg_reg of the memory operand (override or default applied) */
    uint8_t rep;      /* enum x86_rep: last of F2/F3 seen, unless it is a mandatory prefix */
    bool lock;
    uint8_t nr_opnds;
    struct x86_opnd op[X86_OPNDS]; /* Intel order: destination first; implicit ones are not listed */
    /* memory operand: base + index * scale + disp */
    uint8_t base;  /* general register, X86_RIP_REG, or X86_NO_REG */
    uint8_t index; /* general register, vector register with VSIB (row flag), or X86_NO_REG */
    uint8_t scale; /* 1, 2, 4, 8 */
    int64_t disp;  /* sign-extended; EVEX disp8 already scaled; moffs in full */
    uint64_t imm;
    uint16_t imm2;
    /* VEX and EVEX */
    uint8_t enc;  /* enum x86_encoding */
    uint8_t vl;   /* vector length in bytes: 16, 32, 64; 0 for others */
    uint8_t vvvv; /* register number, already inverted and extended by V' */
    uint8_t aaa;  /* opmask register, 0 = no masking */
    bool zeroing, evex_b, rex_w;
    uint8_t rc;    /* evex_b on a register form: rounding control (L'L) */
    uint8_t elem;  /* EVEX: element size in bytes for masking and broadcast, 0 if none */
    bool bcst;     /* EVEX memory operand is one element, broadcast */
    uint8_t modrm; /* the byte, valid if layout.modrm */
    struct x86_layout layout;
    uint8_t bytes[X86_INSN_MAX];
};

/* Row flags, from the attributes in the tables. */
enum {
    ROW_PRIV = 1 << 0,    /* CPL 0 only: #GP(0) otherwise (checked by its step function) */
    ROW_BRANCH = 1 << 1,  /* may change rip other than by its length: ends a block */
    ROW_SYS = 1 << 2,     /* may change mode, mappings or interrupt state: ends a block */
    ROW_LOCK = 1 << 3,    /* LOCK allowed (memory destination) */
    ROW_REP = 1 << 4,     /* string instruction that takes REP */
    ROW_HOST = 1 << 5,    /* innocuous vector/FP instruction: the host CPU executes it on guest state (hostexec) */
    ROW_VSIB = 1 << 6,    /* the index is a vector register */
    ROW_X87 = 1 << 7,     /* x87: CR0.EM/TS give #NM, pending exceptions #MF (unless ROW_NOWAIT) */
    ROW_MMX = 1 << 8,     /* MMX: #UD on EM, #NM on TS, #MF pending; sets the x87 tag to full */
    ROW_SSE = 1 << 9,     /* SSE: #UD on EM or !OSFXSR, #NM on TS */
    ROW_AVX = 1 << 10,    /* VEX: #UD unless OSXSAVE and XCR0 has SSE+AVX, #NM on TS */
    ROW_AVX512 = 1 << 11, /* EVEX and opmask: XCR0 opmask+ZMM too */
    ROW_NOWAIT = 1 << 12,
    ROW_FPEXC = 1 << 13,      /* can raise #XM */
    ROW_ALIGN = 1 << 14,      /* #GP when the memory operand is not aligned to its size (legacy SSE; VMOVAPS kin) */
    ROW_MASKED_MEM = 1 << 15, /* EVEX memory operand under mask: masked-off elements do not fault */
    ROW_NO64 = 1 << 16,
    ROW_ONLY64 = 1 << 17,
    ROW_NEARBR = 1 << 18,  /* near branch/push/pop: 64-bit operand size by default in 64-bit mode */
    ROW_XCR_GPR = 1 << 19, /* VEX-coded on general registers (BMI): no vector state needed, real mode #UD */
    ROW_INNER = 1 << 20,   /* with ROW_SYS: a block need not end there. Where it must be left, the step function says so */
};

/* One row of the instruction table. */
struct x86_row {
    const char *name;                                /* upper-case mnemonic */
    uint32_t flags;                                  /* ROW_* */
    uint8_t feat[2];                                 /* enum x86_feature; 0: baseline */
    uint16_t flags_read, flags_written, flags_undef; /* arithmetic FLAG_* (low 12 bits) */
};

extern const struct x86_row x86_rows[];
extern const unsigned x86_nr_rows;
/* The row's instructions end a block (string instructions with REP do, too). */
static inline bool x86_row_ends_block(const struct x86_row *row)
{
    return (row->flags & ROW_BRANCH) || (row->flags & (ROW_SYS | ROW_INNER)) == ROW_SYS;
}

/* The step function of a row. */
x86_step_fn x86_row_step(unsigned row);

#define X(name, leaf, sub, reg, bit) X86_FEAT_##name,
enum x86_feature {
    X86_FEAT_NONE,
#include "isa/x86/features.def"
    X86_FEAT_END
};
#undef X

/* Results of x86_decode() below 0. */
enum {
    X86_DECODE_SHORT = -1,   /* needs more bytes than given (fetch the next page, then again) */
    X86_DECODE_INVALID = -2, /* #UD */
    X86_DECODE_LONG = -3,    /* more than 15 bytes: #GP(0) */
};

/* Decodes the instruction at bytes[0..len) for the code width `mode`. Returns its length (1..15) or X86_DECODE_*; *ret is written
 * in full on success only. Says nothing about CPU features, privilege or mode-dependent #UD (step functions do). */
int x86_decode(const uint8_t *bytes, unsigned len, enum x86_mode mode, struct x86_insn *ret);

#endif
