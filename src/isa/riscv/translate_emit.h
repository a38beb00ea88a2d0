/* SPDX-License-Identifier: MIT */
/*
 * What the parts of the RISC-V translator share: where guest registers live, the work in progress, and short emitters.
 *
 * Host registers: rbp the frame, rax and rcx scratch, rdx and r15 for groups of accesses, rsp the host's stack; the
 * rest hold guest registers. Of the vector registers 0 and 1 are scratch, 26 to 31 hold copies (struct rvx_copy).
 */
#ifndef DOPPEL_ISA_RISCV_TRANSLATE_EMIT_H
#define DOPPEL_ISA_RISCV_TRANSLATE_EMIT_H

#include <stddef.h>

#include "emit/asm.h"
#include "isa/riscv/translate.h"

enum { H_RAX, H_RCX, H_RDX, H_RBX, H_RSP, H_RBP, H_RSI, H_RDI, H_R8, H_R9, H_R10, H_R11, H_R12, H_R13, H_R14, H_R15 };
enum { IN_MEMORY = 0xff, RVX_GROUPS = 2, RVX_EXITS_MAX = 12 * RISCV_TRACE_MAX };

/* rbp points into the middle of x[], so that all of it is reached with one byte. */
#define RBP_BIAS ((int32_t)offsetof(struct riscv_frame, cpu) + (int32_t)offsetof(struct riscv_cpu, x) + 128)
#define FRAME(member) ((int32_t)offsetof(struct riscv_frame, member) - RBP_BIAS)

/* Host registers of guest registers, the same in all translations. */
static inline unsigned x_host(unsigned guest)
{
    enum { NO = IN_MEMORY };
    static const uint8_t host[32] = { NO,    NO, H_RBX, NO, NO, NO, NO, NO, H_R8, H_R9, H_RSI, H_RDI, H_R10, H_R11, H_R12, H_R13,
                                      H_R14, NO, NO,    NO, NO, NO, NO, NO, NO,   NO,   NO,    NO,    NO,    NO,    NO,    NO };
    return host[guest];
}

/* The host has 32 vector registers, and opmasks for elements of all sizes (AVX-512VL, DQ and BW). Set when a translator is made.
 */
extern bool rvx_has_evex;

/* Vector registers of f[], on hosts with 32 of them: all but the last two, or, for harts with vectors, f0 to f23; on hosts with
 * 16, ft0 to ft5 and fa0 to fa7. */
extern unsigned rvx_f_regs;
static inline unsigned f_host(unsigned guest)
{
    if (rvx_has_evex)
        return guest < rvx_f_regs ? 2 + guest : (unsigned)IN_MEMORY;
    return guest < 6 ? 2 + guest : guest >= 10 && guest < 18 ? guest - 2 : (unsigned)IN_MEMORY;
}

/* Accesses off one guest register that were checked together. A host register holds what leads from the guest's addresses to the
 * host's; or, where the base lives in memory, the host address of what it was when the group began. */
struct rvx_group {
    bool on;
    uint8_t base;   /* guest register */
    bool writes;    /* checked for writing */
    int32_t delta;  /* the base's value now minus its value when the group began */
    int32_t lo, hi; /* what was checked, relative to the base's value then */
    unsigned last;  /* instruction that used it last */
};

/* Where the rest of the host's vector registers has copies of parts of the guest's. */
enum { RVX_COPIES = 6, RVX_FIRST_COPY = 26 };
struct rvx_copy {
    uint16_t at; /* bytes from the beginning of v0 */
    uint8_t len; /* bytes; 0: none */
};

/* What is known of the vector unit along a trace. */
struct rvx_vec {
    struct rvx_copy copy[RVX_COPIES];
    uint8_t next_copy;
    bool on;      /* mstatus.VS is Dirty */
    bool typed;   /* vtype is known */
    bool exact;   /* and so are its policies */
    bool lost;    /* vtype may be another than when the trace began */
    bool counted; /* vl is known, and vstart 0 */
    bool at_0;    /* vstart is 0 */
    uint8_t vtype;
    uint16_t vl;
};

/* What the code out of line is told: of a chunk that is to be done again; of an access that a site missed. */
struct rvx_vec_again {
    uint8_t sew, chunk;
    uint8_t access; /* enum riscv_access */
    uint16_t bytes;
    int32_t site;
    size_t check; /* position */
};

/* Out-of-line code, emitted behind a translation. */
struct rvx_tail {
    enum { RVX_MISS, RVX_LINK, RVX_PC, RVX_STEP, RVX_OFTEN, RVX_NAN, RVX_TURN, RVX_VEC } kind;
    size_t from;              /* the rel32 that leads here */
    size_t again;             /* RVX_MISS: position of the check; RVX_NAN: where to go on */
    uint8_t reg;              /* RVX_NAN: vector register */
    bool single;              /* RVX_NAN: of binary32 */
    bool back, second, taken; /* RVX_LINK: see struct riscv_link */
    gva_t branch;
    struct riscv_miss miss;
    gva_t pc;       /* the others: where to go on */
    uint32_t insns; /* done since they were last counted */
    unsigned k;     /* RVX_TURN: the jump by register that goes elsewhere than was foreseen; RVX_VEC: the instruction */
    struct {
        const struct rvx_vec_how *how; /* its code for any vl; NULL: it is called out */
        unsigned arg;
        unsigned counted;
        struct rvx_vec known;                                 /* of all kinds: what was known there */
        struct rvx_vec after;                                 /* and where it goes on */
        void (*fix)(struct rvx *x, const struct rvx_tail *t); /* or this is what is to be put there, and is told this: */
        struct host_mem mem;
        struct asm_form form;
        struct rvx_vec_again all;
    } vec; /* RVX_VEC */
};

/* An instruction of the trace. */
struct rvx_insn {
    struct riscv_insn i;
    gva_t pc;
    uint8_t page; /* of pages[] its first byte is in */
    bool enters;  /* it is the first in pages[1]: that page is looked at; or its second half is there */
    gva_t target; /* of a jump by register behind which the trace goes on: where */
    enum rvx_way { RVX_ENDS, RVX_FALLS, RVX_JUMPS } way; /* how the trace goes on behind it */
    const struct rvx_kind *kind;
    uint8_t next; /* the next plain load or store off the value that rs1 has here, RVX_NONE: there is none */
    int32_t gap;  /* what is added to that in between */
};
enum { RVX_NONE = 0xff };

/* What is known of an instruction by its row. */
struct rvx_kind {
    const struct rvx_rule *rule; /* NULL: it is called out */
    bool branch;                 /* conditional */
    bool end;                    /* it never goes on with the next instruction */
    bool known;                  /* it is most likely not called out */
    uint8_t size;                /* bytes of a plain load or store; 0: it is none */
    bool store;
};

/* Work in progress on one translation. */
struct rvx {
    struct riscv_code *code;
    struct codebuf *cb;
    unsigned mode, bank;
    bool fp, plain; /* plain: no groups (RISCV_MODE_PLAIN) */
    struct rvx_vec vec;
    unsigned nr;
    struct rvx_insn insn[RISCV_TRACE_MAX];
    uint16_t at[RISCV_TRACE_MAX];    /* host code of each, from `entry` */
    uint8_t counts[RISCV_TRACE_MAX]; /* instructions done before each that c->insns does not know of */
    struct riscv_code_page *page[RISCV_TRACE_PAGES];
    unsigned nr_pages;
    bool went_back;        /* a jump up to the current instruction was a backward one */
    unsigned round;        /* instruction that the present round of a loop began with */
    uint64_t met[4];       /* bits, by hash: pcs in the trace */
    size_t entry, checked; /* positions */
    unsigned k;            /* the current instruction */
    unsigned counted;      /* instructions that c->insns knows of */
    struct rvx_group group[RVX_GROUPS];
    uint64_t known_value[32]; /* of registers whose value is known */
    uint32_t known;           /* bits */
    uint64_t guess[32];       /* what they may hold: as when the trace was found, plus what is added on the way */
    uint32_t boxed;           /* f registers known to hold NaN-boxed binary32 */
    unsigned skip;            /* instructions behind the current one that were translated with it */
    bool failed;              /* there was no room */
    bool second;              /* page[1] was looked at */
    bool windows;             /* accesses go through windows */
    bool anew;                /* what is translated now is the interpreter's where it faults */
    int32_t run;              /* see struct riscv_native */
    unsigned nr_misses;
    struct riscv_miss *miss[RVX_EXITS_MAX];
    unsigned nr_tails;
    struct rvx_tail tail[RVX_EXITS_MAX];
};

static inline struct host_gpr hg(unsigned n)
{
    return (struct host_gpr){ (uint8_t)n };
}

static inline struct host_mem at_rbp(int32_t disp)
{
    return host_mem(HOST_RBP, disp);
}

static inline struct host_mem x_mem(unsigned guest)
{
    return at_rbp(FRAME(cpu.x) + 8 * (int32_t)guest);
}

static inline struct host_mem f_mem(unsigned guest)
{
    return at_rbp(FRAME(cpu.f) + 8 * (int32_t)guest);
}

/* Sets of pcs, by a hash: code->often, code->unfit. */
static inline unsigned rvx_pc_hash(gva_t pc)
{
    return (unsigned)((pc >> 1 ^ pc >> 17) & (RISCV_HASHED_PCS - 1));
}

static inline bool rvx_pc_is_in(const uint8_t *set, gva_t pc)
{
    return set[rvx_pc_hash(pc) / 8] >> rvx_pc_hash(pc) % 8 & 1;
}

static inline void rvx_pc_add(uint8_t *set, gva_t pc)
{
    set[rvx_pc_hash(pc) / 8] |= (uint8_t)(1U << rvx_pc_hash(pc) % 8);
}

/* Where an entry of the TLB has its site for an access. */
static inline int32_t rvx_site_of_entry(enum riscv_access access)
{
    return (int32_t)offsetof(struct riscv_tlb_entry, site) + (access == RISCV_WRITE) * (int32_t)sizeof(struct riscv_site);
}

/* Where the frame has a block. */
static inline int32_t rvx_block_at(unsigned block)
{
    return FRAME(own.block) + (int32_t)(block * sizeof(struct riscv_block));
}

/* ---- translate_emit.c ---- */
/* The host register with a guest register's value: its own, or `scratch`, which is loaded. x0 is 0. */
unsigned rvx_use(struct rvx *x, unsigned guest, unsigned scratch);
/* Its value in that host register. */
void rvx_get(struct rvx *x, unsigned host, unsigned guest);
/* The host register to compute rd in: its own, or rax; rvx_set() puts it where it belongs and forgets what was known. x0: rax. */
unsigned rvx_dst(const struct rvx *x, unsigned guest);
void rvx_set(struct rvx *x, unsigned guest, unsigned host);
/* rd = constant, which is remembered. */
void rvx_set_imm(struct rvx *x, unsigned guest, uint64_t v);
/* Forgets what was known of a register that is about to change / all that a call of C code may change. */
void rvx_changes(struct rvx *x, unsigned guest);
void rvx_forget(struct rvx *x);
/* op dst, guest's value (64 or 32 bits). */
void rvx_alu_guest(struct rvx *x, enum host_alu op, unsigned size, unsigned dst, unsigned guest);
/* lea dst, [base + disp]; lea dst, [base + index * scale + disp] */
void rvx_lea(struct rvx *x, unsigned size, unsigned dst, unsigned base, int32_t disp);
void rvx_lea_sib(struct rvx *x, unsigned size, unsigned dst, unsigned base, unsigned index, unsigned scale);
/* An instruction on vector registers, in the shortest form that the host has. w: of an integer's size, else ignored. */
void rvx_vec_reg(struct codebuf *cb, unsigned w, unsigned opcode, unsigned reg, unsigned v, unsigned rm);
void rvx_vec_mem(struct codebuf *cb, unsigned w, unsigned opcode, unsigned reg, unsigned v, struct host_mem m);
/* A tail to be led to from `from`; NULL and failed when there are too many. */
struct rvx_tail *rvx_tail(struct rvx *x, int kind, size_t from);
/* Adds the instructions done up to, and with, the current one to the hart's count: before a way out that is always taken. */
void rvx_count(struct rvx *x, bool with_this);
uint32_t rvx_uncounted(const struct rvx *x, bool with_this);

/* ---- the instructions ---- */
/* How an instruction is translated, by its step function. emit returns false (and has emitted nothing) where it is called out. */
struct rvx_rule {
    riscv_step_fn step;
    bool (*emit)(struct rvx *x, const struct riscv_insn *i, unsigned arg);
    unsigned arg;
};
extern const struct rvx_rule rvx_int_rules[], rvx_bit_rules[], rvx_mem_rules[], rvx_fp_rules[], rvx_sys_rules[],
    rvx_atomic_rules[], rvx_vec_rules[], rvx_vec_mem_rules[], rvx_vec_int_rules[], rvx_vec_width_rules[], rvx_vec_fp_rules[],
    rvx_vec_fp_width_rules[], rvx_vec_perm_rules[];
extern const unsigned rvx_nr_int_rules, rvx_nr_bit_rules, rvx_nr_mem_rules, rvx_nr_fp_rules, rvx_nr_sys_rules,
    rvx_nr_atomic_rules, rvx_nr_vec_rules, rvx_nr_vec_mem_rules, rvx_nr_vec_int_rules, rvx_nr_vec_width_rules,
    rvx_nr_vec_fp_rules, rvx_nr_vec_fp_width_rules, rvx_nr_vec_perm_rules;
/* Flags of a comparison for a branch: jumps to *ret_cc when it is taken. */
bool rvx_compare(struct rvx *x, const struct riscv_insn *i, enum host_cc *ret_cc);
/* Where [base + imm, + size) is in the host, after a check that it may be accessed so; may be relative to rax. rcx is free. */
struct host_mem rvx_access(struct rvx *x, unsigned base, int32_t imm, unsigned size, enum riscv_access access);
/* The same, in a window, of an access that has to be done anew where it faults. False: it is not to go through one. */
bool rvx_access_window(struct rvx *x, unsigned base, unsigned size, enum riscv_access access, struct host_mem *ret);
/* The same in the mapping of guest RAM, never in a window. */
struct host_mem rvx_access_ram(struct rvx *x, unsigned base, int32_t imm, unsigned size, enum riscv_access access);

/* ---- translate_mem.c ---- */
/* Size in bytes of a plain load's or store's access, 0: it is none. */
unsigned rvx_access_size(riscv_step_fn step, bool *ret_store);
/* The trace is complete: finds the accesses off one value. */
void rvx_chain_accesses(struct rvx *x);

/* The frame offset of a site for the next check. */
int32_t rvx_new_site(struct rvx *x, enum riscv_access access);

/* ---- translate.c ---- */
/* The code behind a RVX_TURN. */
void rvx_turn(struct rvx *x, const struct rvx_tail *t);

/* ---- translate.c ---- */
/* What a call of the step function is told; NULL and failed: no room. */
struct riscv_callout *rvx_new_callout(struct rvx *x, const struct riscv_insn *i);
/* Calls the step function. */
void rvx_callout(struct rvx *x, const struct riscv_insn *i);
/* Goes to the address in rax, in that mode, by the jump cache. */
void rvx_jump_to_rax(struct rvx *x, unsigned mode);

/* ---- translate_sys.c ---- */
/* ECALL from U-mode, SRET to U-mode; what is rare about them is the interpreter's. False: it is to be called out. */
bool rvx_switch(struct rvx *x, const struct riscv_insn *i);

/* ---- translate_vec.c ---- */
void rvx_vec_constants(struct riscv_vec_constants *ret);
/* CSRRS and CSRRC that read vl, vtype or vlenb and write nothing; false: another one. */
bool rvx_vec_read_csr(struct rvx *x, const struct riscv_insn *i);
/* After any instruction: forgets what it may have changed. */
void rvx_vec_after(struct rvx *x, const struct riscv_insn *i);
/* Makes the copies anew, which a call of C code spoils. */
void rvx_vec_copy_again(struct rvx *x, const struct rvx_vec *known);
/* For tests: what any C code may do to them. */
void rvx_vec_spoil_copies(void);
/* The code behind a RVX_VEC. */
void rvx_vec_tail(struct rvx *x, unsigned tail);

/* ---- translate_cache.c ---- */
/* Frame offset of the entry of known.fetch for va. */
int32_t rvx_fetch_at(unsigned bank, gva_t va);
/* Of the first entry of a mode's jump cache. */
int32_t rvx_jump_at(unsigned mode);

/* The block that the access at pc is likely to be in, or RISCV_LOOK; va is where it might be. */
unsigned riscv_code_expect(struct riscv_code *code, gva_t pc, gva_t va);
/* The access of m was at va, not in the block that was expected, though it may be done: true if it is now; false: the translation
 * is dead, and the next will know better. */
bool riscv_code_expect_better(struct riscv_code *code, struct riscv_miss *m, gva_t va);

/* ---- translate_stub.c ---- */
/* Makes what all translations share; false: no room. */
bool rvx_stubs(struct riscv_code *code);
void rvx_tails(struct rvx *x);

#endif
