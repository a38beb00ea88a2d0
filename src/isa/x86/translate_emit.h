/* SPDX-License-Identifier: MIT */
/*
 * What the translator's parts share: where guest registers live, and short emitters around rsp, rcx and r11.
 */
#ifndef DOPPEL_ISA_X86_TRANSLATE_EMIT_H
#define DOPPEL_ISA_X86_TRANSLATE_EMIT_H

#include <assert.h>

#include "emit/asm.h"
#include "isa/x86/translate.h"
#include "isa/x86/translate_count.h"

enum { XR_MEM = 0xff }; /* the guest register lives in the frame */
enum { H_RAX, H_RCX, H_RDX, H_RBX, H_RSP, H_RBP, H_RSI, H_RDI, H_R8, H_R9, H_R10, H_R11, H_R12, H_R13, H_R14, H_R15 };

#define FRAME(member) ((int32_t)offsetof(struct x86_frame, member))

/* What a group's address is made of besides guest registers. */
enum { XL_BASE_RIP = 16, XL_BASE_NONE, XL_BASES };

/* A run of accesses off one value, base + index * scale, whose whole extent is checked at the first of them. */
struct xl_group {
    uint8_t base, index; /* guest registers, or XL_BASE_RIP (page_va), XL_BASE_NONE */
    uint8_t scale;
    bool absolute; /* what is kept of the check is the extent's host address, not to_host */
    uint8_t first; /* instruction at which it is checked */
    bool early;    /* that instruction does not itself access so */
    bool first_writes;
    int32_t first_lo; /* where the first access is */
    bool write;
    bool checked;   /* the code emitted so far has made the check */
    int32_t lo, hi; /* extent relative to the base's value at the group's origin, exclusive end */
    unsigned count;
    int32_t delta; /* at `first`: the base's value minus that at the group's origin */
    int32_t host;  /* frame offset of its to_host or host address, when checked */
};

/* What the analysis found about one instruction. */
struct xl_note {
    bool flags_dead; /* arithmetic flags before it are overwritten before anybody reads them */
    int8_t group;    /* of its memory access off a base register, -1: none. A call's is its push */
    int32_t delta;   /* the base's value (plus the scaled index) here minus that at the group's origin */
    int32_t disp;    /* of the access; off RIP: from page_va */
    bool write;      /* it writes */
};

/* Of struct tail's `what`. */
enum {
    MISS_GROUP = 1 << 16,    /* of accesses off one register */
    MISS_SITE = 1 << 17,     /* the site has used up its misses */
    MISS_EARLY = 1 << 18,    /* it is a later instruction that accesses so: page tables may not be touched */
    MISS_ALIGNED = 16 << 20, /* times 1, 2, 4: the address must be aligned to 16, 32, 64 */
};

enum { XL_GROUPS = 12 };
enum { XL_INSNS = 96 }; /* in a trace */
static_assert((int)BLOCK_MAX_INSNS <= (int)XL_INSNS, "a trace begins with a whole block");

/* Where a trace goes on behind an instruction that ends a block. */
enum xl_way { XL_LEAVES, XL_FALLS, XL_JUMPS };

/* How a checked operand is addressed: [base + index + disp], host registers: r11 or a guest's own and rcx; or rcx and none
 * (H_RSP). */
struct xl_place {
    unsigned base, index;
    int32_t disp;
};

/* Work in progress on one block. */
struct xl {
    struct x86_code *code;
    struct codebuf *cb;
    struct x86_cpu *c;
    const struct x86_block *b;
    unsigned bank;
    unsigned site;                   /* for the next check: the number of a shared one, or SITE_ANY */
    int32_t off;                     /* of the current instruction from page_va */
    unsigned k;                      /* its index */
    const uint8_t *page;             /* borrowed: the block's, in host memory */
    struct x86_look look[X86_LOOKS]; /* see struct x86_native */
    unsigned nr_looks;
    const struct x86_habits *habits; /* borrowed */
    size_t inner;                    /* code position of the inner entry */
    size_t second;                   /* in plain code: where the first instruction's ends; nothing is assumed there */
    struct x86_start starts[XL_INSNS];
    /* the trace */
    unsigned nr;
    const struct x86_insn *insn[XL_INSNS]; /* borrowed: from the block, or `more` */
    uint16_t at[XL_INSNS];                 /* offsets in the page */
    uint8_t way[XL_INSNS];                 /* enum xl_way; of what does not end a block: XL_LEAVES */
    bool went_back;                        /* a jump it follows is a backward one */
    unsigned round;                        /* its instruction that begins the last round of a loop */
    bool falls_mostly;                     /* its last instruction is a jcc that lately was not taken */
    struct x86_insn more[XL_INSNS];
    unsigned nr_groups;
    struct xl_group group[XL_GROUPS];
    struct xl_note note[XL_INSNS];
    bool stack_is_one; /* one group at most uses the stack's site */
    int32_t rsp_ahead; /* guest RSP is r15 plus this: r15 is told of a run of pushes and pops at its end (xl_settle_rsp()) */
    int rcx_group;     /* the group whose to_host or host address is in rcx, -1: none is known to be */
    int rcx_next;      /* what that is to be behind the current instruction: what keeps rcx says so */
    bool fpu_here;     /* guest vector registers are known to be loaded */
    bool x87_here;     /* and the x87 state */
    int32_t fip;       /* offset from page_va of the last x87 instruction, if frame.x87_fip does not know it; else NO_FIP */
    bool shadow;       /* the current instruction stands behind an STI that is not called out */
    bool counting;     /* a stretch has begun, at instruction counted_from */
    unsigned counted_from;
    struct x86_use use; /* of it */
    unsigned nr_tails;
    struct tail { /* out-of-line code, emitted behind the block */
        enum { TAIL_MISS, TAIL_SITE, TAIL_BAIL, TAIL_EXIT, TAIL_CROSS } kind;
        size_t from;   /* position of the rel32 that leads here */
        size_t begin;  /* position of its code */
        size_t again;  /* TAIL_MISS, TAIL_SITE: where to go on */
        uint32_t what; /* TAIL_MISS, TAIL_SITE: enum x86_access | bank << 8 | MISS_GROUP */
        int32_t sub;   /* TAIL_MISS: frame offset of the tags whose entry (index in rcx) was added to r11; 0: none */
        uint32_t size; /* TAIL_MISS, TAIL_SITE: bytes checked */
        int32_t site;  /* TAIL_SITE: its frame offset */
        uint8_t addr;  /* TAIL_SITE: the address is that host register plus `plus` */
        int32_t plus;
        int32_t off; /* insn_off, or TAIL_EXIT: target */
        uint8_t bank;
        uint32_t branch; /* TAIL_CROSS: frame.branch */
        int32_t fip;     /* TAIL_MISS, TAIL_SITE, TAIL_BAIL: x->fip where they left; xl_tail() fills it in, and k */
        unsigned k;      /* the instruction's index */
        bool link;
        bool back; /* TAIL_EXIT: of a backward jump */
    } tail[XL_INSNS * 6];
};

/* The block depends on these bits of x86_config(): its code goes when they change. */
static inline void xl_assume(struct xl *x, uint64_t config)
{
    x->code->assumed |= config;
}

/* Host register of a guest register, XR_MEM if it is in the frame. */
static inline unsigned xr_host(unsigned guest)
{
    static const uint8_t host[16] = { H_RAX, H_R10, H_RDX, H_RBX, H_R15, H_RBP,  H_RSI,  H_RDI,
                                      H_R8,  H_R9,  H_R13, H_R14, H_R12, XR_MEM, XR_MEM, XR_MEM };
    return host[guest];
}

/* Frame offset of a guest register that lives there. */
static inline int32_t xr_frame(unsigned guest)
{
    return guest == R13 ? FRAME(r13) : guest == R14 ? FRAME(r14) : FRAME(r15);
}

static inline struct host_gpr hg(unsigned n)
{
    return (struct host_gpr){ (uint8_t)n };
}

/* mov dst, [rsp + disp] and back, 64 bits */
static inline void xl_load(struct xl *x, unsigned dst, int32_t disp)
{
    if (dst == H_RCX)
        x->rcx_group = -1;
    asm_load(x->cb, 8, hg(dst), host_mem(HOST_RSP, disp));
}

static inline void xl_store(struct xl *x, int32_t disp, unsigned src)
{
    asm_store(x->cb, 8, host_mem(HOST_RSP, disp), hg(src));
}

static inline void xl_bytes(struct xl *x, const void *bytes, size_t len)
{
    codebuf_put(x->cb, bytes, len);
}
#define XL_BYTES(x, ...) xl_bytes(x, (const uint8_t[]){ __VA_ARGS__ }, sizeof((const uint8_t[]){ __VA_ARGS__ }))

/* lea dst, [base + disp]; lea dst, [base + index * scale + disp]. index none: H_RSP. size 4 or 8. */
void xl_lea(struct xl *x, unsigned size, unsigned dst, unsigned base, unsigned index, unsigned scale, int32_t disp);
/* lea dst, [index * scale + disp] */
void xl_lea_index(struct xl *x, unsigned size, unsigned dst, unsigned index, unsigned scale, int32_t disp);
/* mov dst, [rsp + rcx * 8 + disp] */
void xl_load_rcx8(struct xl *x, unsigned dst, int32_t disp);
/* pext, pdep dst, src, [rsp + disp] */
void xl_pext(struct xl *x, unsigned dst, unsigned src, int32_t disp);
void xl_pdep(struct xl *x, unsigned dst, unsigned src, int32_t disp);
/* jmp/call rel32; returns the position of the rel32 when the target is NULL (to be patched), else 0. */
size_t xl_jmp(struct xl *x, const uint8_t *target);
void xl_call(struct xl *x, const uint8_t *target);
/* Points the rel32 at `from` to `to` (positions). */
void xl_patch(struct xl *x, size_t from, size_t to);

/* What becomes of an instruction that is no branch or stack operation: copied, or called out (a copy may still turn out to have
 * no form and be called out). */
enum xl_kind { XL_OTHER, XL_INTEGER, XL_VECTOR, XL_X87 };
enum xl_kind xl_kind(const struct x86_insn *i);
/* The host may not see to it that the instruction's operand is aligned as it must be: translated code does. */
bool xl_aligns(const struct x86_insn *i);
/* What the instruction does to its memory operand, if it has one. */
enum x86_access xl_mem_access(const struct x86_insn *i);
void xl_put_insn_off(struct xl *x, int32_t off);
/* Calls the step function, or its light form. */
void xl_call_out(struct xl *x, const struct x86_insn *i);
/* The row's checks pass under the CPU's configuration (x86_check_fpu). */
bool xl_vector_enabled(struct xl *x, uint32_t row_flags);
/* Makes sure that the vector registers are loaded, or bails. */
void xl_vector_here(struct xl *x);

/* What insn_off is to be for the current instruction. */
static inline int32_t xl_insn_off(const struct xl *x)
{
    return x->off | (x->shadow ? FRAME_IN_SHADOW : 0);
}

/* ---- translate_mem.c ---- */
/* Offset of the memory operand, cut to size (4 or 8), in dst; r11 and rcx are lost. False: a form that is called out. */
bool xl_address(struct xl *x, const struct x86_insn *i, unsigned size, unsigned dst);
/* Linear address of the memory operand in r11 (rcx is lost). False: a form that is called out. */
bool xl_ea(struct xl *x, const struct x86_insn *i);
/* Checks the instruction's memory operand for an access and says where it is then. Guest state must be that before the
 * instruction. False (nothing emitted): a form that is called out. */
bool xl_operand(struct xl *x, const struct x86_insn *i, unsigned size, enum x86_access access, bool aligned,
                struct xl_place *ret_place);
/* The same for the `size` bytes at linear address r11, not aligned. */
struct xl_place xl_checked(struct xl *x, unsigned size, enum x86_access access);
/* The same for the 8 bytes at guest register base + disp, an implicit stack access (note.group if grouped). */
struct xl_place xl_stack(struct xl *x, unsigned base, int32_t disp, enum x86_access access);
void xl_tail(struct xl *x, struct tail t);
/* Checks the byte at the address in a host register, where flags are dead. Behind it r11 is its offset in the page; rcx is lost.
 * Returns the frame offset of its to_host, `spare` or another. */
int32_t xl_page_of(struct xl *x, unsigned addr, enum x86_access access, int32_t spare);
/* Which of code->stub_site a miss of that kind goes to. */
unsigned xl_site_kind(uint32_t what);
/* Makes code->stub_site. */
void xl_site_stubs(struct xl *x);
/* Emits the checks of groups that are to be made before the current instruction. */
void xl_early_checks(struct xl *x);

/* ---- translate_cache.c ---- */
/* Longest a translated block can get in each of its two parts, bytes: so much must be free before one is begun. */
enum { XL_CODE_MAX = XL_INSNS * 400 };
/* Divides what is behind the stubs; then, and whenever all is to go: begins with the first region. */
void xl_make_regions(struct x86_code *code);
void xl_forget_code(struct x86_code *code);
/* The neg_key of entry k of the places that no look-up finds. */
uint64_t xl_no_place(unsigned k);

/* ---- translate_trace.c ---- */
/* Fills x->insn, at, way and nr, and begins x->look. */
void xl_trace(struct xl *x);

/* ---- translate_look.c ---- */
/* Hash of bytes that were looked at, going on from `hash`. */
enum { XL_LOOK_INIT = 0x11c9dc5 };
uint32_t xl_look_hash(uint32_t hash, const uint8_t *bytes, unsigned len);
/* Fills x->note and x->group for the trace, and adds to x->look what it saw beyond it. */
void xl_look(struct xl *x);
/* The checks made so far no longer hold: what was called out may have changed mappings. */
void xl_forget_checks(struct xl *x);

/* ---- translate_copy.c ---- */
/* Emits the instruction with renamed registers and its memory operand, if any, checked. False (nothing emitted): no such form. */
bool xl_copy(struct xl *x, const struct x86_insn *i, enum x86_access mem_access);
/* The same for instructions with an implicit CL count. */
bool xl_copy_cl(struct xl *x, const struct x86_insn *i, enum x86_access mem_access);

/* lea r11, [place] */
void xl_fold(struct xl *x, struct xl_place place);
/* ModRM, SIB and displacement of [place]; REX.B is the caller's. */
void xl_modrm_place(struct xl *x, unsigned reg, struct xl_place place);

/* ---- translate_x87.c ---- */
/* True for x87 and MMX instructions that xl_x87() can emit. */
bool xl_is_x87(const struct x86_insn *i);
/* Emits one. False: it is called out. */
bool xl_x87(struct xl *x, const struct x86_insn *i);
/* Makes frame.x87_fip true: before whatever may leave the block other than by a tail; rcx is lost. */
void xl_x87_settle(struct xl *x);
void xl_x87_put_fip(struct xl *x, int32_t fip);
/* The x87 state, if it is here, goes to frame.x87_area, and x86_x87_take() takes it from there; the frame is at rsp + disp;
 * flags, rax and rdx are lost. */
void xl_x87_save_if_here(struct xl *x, int32_t disp);
void x86_x87_take(struct x86_frame *f, struct x86_cpu *c);
/* What frame.x87_away is to be on entry. */
uint64_t x86_x87_away(const struct x86_cpu *c);
/* Makes code->stub_x87_load. */
void xl_x87_stub(struct xl *x);

/* ---- translate_sys.c ---- */
/* True when it emitted the instruction: one that a block need not end with, on flags or system registers. */
bool xl_sys(struct xl *x, const struct x86_insn *i);

/* ---- translate_string.c ---- */
/* Repeated MOVS and STOS that xl_string() may emit, where flags are dead. */
bool xl_is_string(const struct x86_insn *i);
/* True when it emitted the instruction. */
bool xl_string(struct xl *x, const struct x86_insn *i);

/* ---- translate_bits.c ---- */
/* The same for bit strings in memory and wide compare-exchange. */
bool xl_bits(struct xl *x, const struct x86_insn *i);

/* ---- translate_flow.c ---- */
/* The instruction may leave rsp_ahead as it is, or change it: nothing in it can fault or leave before r15 is told. */
bool xl_keeps_rsp_ahead(const struct xl *x, const struct x86_insn *i);
void xl_settle_rsp(struct xl *x);
/* mov [place], src; mov dst, [place] */
void xl_store_at(struct xl *x, struct xl_place p, unsigned src);
void xl_load_at(struct xl *x, struct xl_place p, unsigned dst);
/* mov [place], [rsp + from_frame] + plus; r11 is lost, or rcx if the place needs r11 */
void xl_store_rcx_at(struct xl *x, struct xl_place p, int32_t from_frame, int32_t plus);
/* rcx = 0 when r11 is canonical. */
void xl_canonical(struct xl *x);
/* True when it emitted the instruction: branches, calls, stack. *ret_ends: the block's code ends with it. */
bool xl_flow(struct xl *x, const struct x86_insn *i, bool *ret_ends);
/* Leaves for a target at off from page_va: a linkable jump (back: to here or before) inside the page, the jump cache outside. */
void xl_goto(struct xl *x, int32_t off, bool back);
/* Of frame.branch, for when the target turns out to be no address: what is to be undone before the branch is interpreted. */
enum {
    XL_BRANCH_OFF = GPAGE_SIZE - 1, /* its offset in the page */
    XL_BRANCH_CALLS = 1 << 12,      /* frame.overwritten goes back to where it pushed to */
    XL_BRANCH_MOVED = 13,           /* from this bit on: how far it moved rSP, plus XL_BRANCH_MOVED_0 */
    XL_BRANCH_MOVED_0 = 8,
};
/* How far behind the rel32 that may be linked to plain code the call of stub_plain returns to. */
enum { XL_PLAIN_LINK = 20 };
/* Says what the branch in progress is: mov dword [rsp + branch], word. */
void xl_put_branch(struct xl *x, uint32_t word);
/* Behind a jump's target in r11 that is no address: exits as FRAME_EXIT_BRANCH. */
void xl_leave_unless_canonical(struct xl *x);
/* A block's jump entry, which runs into the far one. */
const uint8_t *xl_jump_entry(struct xl *x);
/* Its cross entry, out of line, for the block at `off` in its page. */
const uint8_t *xl_cross_entry(struct xl *x, int32_t off, const uint8_t *far_entry);
/* Makes code->stub_jump and stub_cross for x->bank: where a jump goes that the jump cache did not answer, and a cross entry whose
 * page is elsewhere. */
void xl_jump_stubs(struct xl *x);
/* To `to`, up to 126 bytes before, unless rcx is 1; rcx is one less behind it. For code->loops. */
void xl_loop(struct xl *x, size_t to);
/* jrcxz to where xl_here() is called: up to 127 bytes on. */
size_t xl_jrcxz(struct xl *x);
void xl_here(struct xl *x, size_t from);
/* Makes frame.stub_goto for x->bank. */
void xl_goto_stub(struct xl *x);

#endif
