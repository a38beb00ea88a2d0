/* SPDX-License-Identifier: MIT */
/*
 * Translation of decoded x86-64 blocks to host code: same ISA, copied and patched.
 *
 * Only 64-bit mode is translated. An innocuous instruction keeps its opcode; its general registers are renamed to the host
 * registers that hold them, and a memory operand is reached through an inline software TLB. Guest flags live in the
 * host's flags, guest vector and x87 registers in the host's; nothing emitted here but the guest's own instructions touches
 * flags (addresses are made with LEA, PEXT, JRCXZ), so they are exact at every instruction. What is not copied is
 * called out to its step function.
 *
 * Host registers in translated code: rsp points to a struct x86_frame (never at guest data); rcx and r11 are scratch; guest RCX
 * is in r10, RSP in r15, R10 in r13, R11 in r14; R13, R14 and R15, which compilers take last, are in the frame; every other guest
 * register is in the host's of the same name.
 *
 * A block has five entries. The cross one expects in r11 the linear address that was jumped to from another page; it checks that
 * the block's page is there. The jump one expects that address, too, and its index in the jump cache in rcx; it checks that the
 * entry there is of that address. Both run into the far one, which sets frame.page_va; that runs into the near one, for backward
 * jumps within the guest page, which leaves when the vCPU has requests; that runs into the inner one, for forward jumps within
 * the page. (Any cycle of jumps has a backward or a far one.) They are valid only under the page's generation: to invalidate,
 * x86_code_kill() overwrites the near and the inner entry with jumps to the block's exit.
 */
#ifndef DOPPEL_ISA_X86_TRANSLATE_H
#define DOPPEL_ISA_X86_TRANSLATE_H

#include <stdatomic.h>

#include "emit/codebuf.h"
#include "isa/x86/blocks.h"
#include "isa/x86/mmu.h"
#include "isa/x86/xsave_layout.h"

enum { FRAME_TLB = 1 << 16, FRAME_SITES = 1024, FRAME_SITE_GROUP = 8, FRAME_JUMPS = 32768, FRAME_FETCHES = 4096 };
enum { FRAME_STACK = 64 << 10, FRAME_NR = 8 };

/* What one place in the code last accessed: most go on in the page they were in. Places share sites when there are many. */
struct x86_site {
    uint64_t neg;     /* minus the linear page, or SITE_NONE */
    uint64_t to_host; /* host address - linear address */
};
/* The only address it matches, 1 << 63, is not canonical, and plus any to_host it is not either: the access is a host fault, at
 * which translated code bails. */
#define SITE_NONE (1ULL << 63)

/* Some of the entries of an inline TLB. */
struct x86_frame_set {
    uint64_t any[FRAME_TLB / 64 / 64]; /* by word of `bit`: it may have one */
    uint64_t bit[FRAME_TLB / 64];      /* by index */
};

/* Inline TLB of one bank: structure of arrays, so that an index scaled by 8 reaches all. Mapped on its own: see x86_frames. */
struct __attribute__((aligned(4096))) x86_frame_bank {
    uint64_t neg_tag[2][FRAME_TLB];       /* by X86_READ, X86_WRITE: minus the linear page */
    uint64_t to_host[FRAME_TLB];          /* host address - linear address */
    uint64_t host_page[FRAME_TLB];        /* host address of the page */
    struct x86_site site[2][FRAME_SITES]; /* by X86_READ, X86_WRITE */
    /* the jump cache */
    uint64_t jump_neg[FRAME_JUMPS];  /* minus the linear address of a block that was jumped to from another page */
    uint64_t jump_code[FRAME_JUMPS]; /* its jump entry, which looks whether it is the one that is meant; or no_jump */
    uint64_t no_jump;                /* code->stub_jump of the bank */
    /* pages of code */
    uint64_t fetch_neg[FRAME_FETCHES]; /* minus the linear page */
    uint64_t fetch_key[FRAME_FETCHES]; /* page index in guest memory - linear page */
    /* what the flushes go by (translate_frame.c) */
    struct x86_frame_set used, local, writes;              /* there may be an entry; its page is not global; it is for writing */
    uint8_t site_used[2 * FRAME_SITES / FRAME_SITE_GROUP]; /* some of these sites may have a page */
    uint64_t fetch_used[FRAME_FETCHES / 64];               /* by index: there is a page; others have no jumps */
    bool local_pages, local_jumps;                         /* pages were entered, or jumped to, that are not global */
    bool jumps_unset;                                      /* jump_code is all zeros, or another stub */
};

/* What exits say. */
enum x86_frame_exit {
    FRAME_EXIT_NEXT,       /* go on at rip */
    FRAME_EXIT_LINK,       /* the same; the jump at `link` may be pointed at the block there */
    FRAME_EXIT_LINK_BACK,  /* the same, for a backward jump */
    FRAME_EXIT_LINK_CROSS, /* the same, for a jump to another page */
    FRAME_EXIT_LINK_PLAIN, /* the same, for plain code: an access, or a group that is checked, lies across two pages */
    FRAME_EXIT_BAIL,       /* the instruction at rip needs the interpreter */
    FRAME_EXIT_FAULT,      /* the same for the one whose host code is at fault_pc */
    FRAME_EXIT_BRANCH,     /* the same for the branch that frame.branch tells of, which led to no address */
    FRAME_EXITS
};

/* Why an access went to the interpreter. */
enum x86_frame_bail {
    FRAME_BAIL_CROSSING,
    FRAME_BAIL_GROUP,
    FRAME_BAIL_NO_RAM,
    FRAME_BAIL_CODE,
    FRAME_BAIL_WANDERS,
    FRAME_BAIL_EARLY
};

/* What translated code works on. The hot part is within reach of a disp8 from rsp. */
struct x86_frame {
    uint64_t r13, r14, r15;
    const _Atomic uint32_t *requests; /* borrowed: the vCPU's */
    uint64_t page_va;                 /* linear address of the page being executed */
    uint64_t page_mask, jump_mask;
    uint64_t fpu_away; /* 0: guest vector registers are in the host's; 1: in the CPU state; 2: there, and must stay */
    uint64_t fs_base, gs_base;
    uint64_t tmp;
    uint64_t insn_off; /* of the instruction that misses or calls out, from page_va */
    uint64_t link;     /* host address of the rel32 to patch */
    uint64_t exit;     /* enum x86_frame_exit */
    uint64_t rip;
    uint32_t branch; /* the branch in progress: XL_BRANCH_OFF and so on */
    /* cold */
    uint64_t flags; /* arithmetic and DF */
    /* The other flags, while translated code runs (x86_frame_flags_load(), _store()): IF and AC, which it changes, and the rest
     * but bit 1. */
    uint64_t flag_if, flag_ac, flags_rest;
    uint64_t flag_df;    /* what the host's is, which is not easily asked */
    uint64_t string[2];  /* to_host of a string instruction's operands */
    uint64_t if_before;  /* flag_if before the STI that ran last */
    uint64_t irq_held;   /* FLAG_IF: the engine has put an interrupt aside until flag_if is set; else 0 */
    uint64_t flags_mask; /* FLAGS_ARITH | FLAG_DF */
    uint64_t host_rsp;
    uint64_t group[12];     /* to_host of the groups of accesses of the running block that are not at a site */
    uint64_t wanderer;      /* the block with a place that changes pages too often for a site, 0: none; it is at insn_off */
    uint64_t miss_block;    /* the block of the check that missed */
    uint64_t miss_size;     /* bytes that it checks */
    uint64_t miss_site;     /* frame offset of its site */
    uint64_t sites_left;    /* misses of sites until somebody looks how often they happen */
    uint64_t sites_since;   /* TSC when that was set */
    uint64_t fault_pc;      /* where host code faulted */
    uint64_t link_page;     /* of the block that `link` is in */
    uint64_t site_mask;     /* takes the number of a site's group out of its offset */
    uint64_t align_mask[3]; /* 15, 31, 63: for operands that must be aligned */
    uint64_t upper_mask;    /* bits 63:48 */
    uint64_t bit_mask[2];   /* 31, 63 */
    uint64_t off_mask, fetch_mask, place_mask;
    uint64_t places[X86_BANK_NR]; /* borrowed: addresses of code->places[] */
    uint64_t overwritten;         /* what an indirect call in progress pushed its return address over */
    uint8_t *vec;                 /* borrowed: c->fpu.zmm */
    uint32_t *mxcsr;              /* borrowed: c->fpu.mxcsr */
    uint32_t host_mxcsr;
    uint64_t x87_away;       /* as fpu_away, for the x87 state: guest instructions may run on the host's */
    uint64_t x87_fip;        /* while it is here: the guest's FIP (FOP and FDP do not change) */
    uint64_t x87_saved;      /* x87_area holds what has to go to the CPU state */
    uint64_t fcw_masks;      /* FCW_MASKS */
    struct x86_cpu *cpu;     /* borrowed */
    void *owner;             /* borrowed: the engine's, for its callbacks */
    struct x86_clock *clock; /* borrowed; NULL: none */
    uint64_t misses, callouts, lights;
    uint64_t misses_of[2];                                         /* by access */
    uint64_t stub_goto[X86_BANK_NR];                               /* to the block of the bank at linear address r11 */
    struct x86_blocks *blocks;                                     /* borrowed: the engine's, for instructions across pages */
    uint64_t pauses;                                               /* counts down */
    uint64_t bails[6];                                             /* by enum x86_frame_bail */
    uint64_t *callouts_of;                                         /* owned; by row */
    uint8_t x87_area[XSAVE_EXTENDED] __attribute__((aligned(64))); /* of XSAVE, component x87 only */
    struct x86_frame_bank bank[X86_BANK_NR];
};

/* Set in insn_off when an STI stands before the instruction: if that changed IF, interrupts are held off. */
enum { FRAME_IN_SHADOW = 1 << 30 };

static inline void x86_frame_flags_load(struct x86_frame *f, const struct x86_cpu *c)
{
    const uint64_t host = FLAGS_ARITH | FLAG_DF, own = FLAG_IF | FLAG_AC | FLAG_ONE;
    f->flags = (c->rflags & host) | FLAG_ONE;
    f->flag_if = c->rflags & FLAG_IF;
    f->flag_ac = c->rflags & FLAG_AC;
    f->flags_rest = c->rflags & ~(host | own);
    f->flag_df = c->rflags & FLAG_DF;
}

static inline void x86_frame_flags_store(const struct x86_frame *f, struct x86_cpu *c)
{
    c->rflags = (f->flags & (FLAGS_ARITH | FLAG_DF)) | f->flag_if | f->flag_ac | f->flags_rest | FLAG_ONE;
}

/* Where the host code for a place in guest memory is: behind the jump caches, and nothing but translations changes it. */
struct x86_place {
    uint64_t neg_key; /* minus what place_key() says */
    uint64_t code;    /* the jump entry */
};
enum { CODE_PLACES = 1 << 16 };
/* Jumps to other pages are linked when the guest's pages have lower indices than this (64 GiB): see x86_native.cross_entry. */
enum { CROSS_PAGES_MAX = FRAME_FETCHES << 12 };

/*
 * The frames of one CPU, one an address space. They differ in the banks of what user pages are accessed through and jumped to
 * (USER, KERNEL_AC); the rest, with the stack below it, is the same memory, mapped into each: so a switch of address space is a
 * choice of frame, and what is known of the kernel's pages and code stays known.
 */
struct x86_frames {
    struct x86_space {
        struct x86_frame *frame; /* owned */
        uint64_t asid;           /* 0: of none */
        unsigned pcid;
        bool ready;        /* its own banks are initialised; others take no memory yet */
        uint64_t chosen;   /* when it last was */
        bool marks_missed; /* pages were marked as code since */
    } space[FRAME_NR];
    struct x86_space *now;
    uint64_t drops, flushes; /* what was last seen of the TLB's */
    uint64_t choices, renewals, write_drops;
};

struct xl;
struct codelog;
struct x86_clock;
struct x86_counts;
enum { XL_SITE_KINDS = 9 };

enum { X86_CODE_REGIONS = 16, X86_CODE_BYTES_MIN = 200 << 10 };

/* A part of code memory, reused as a whole. Positions in the buffer. */
struct x86_code_region {
    size_t hot, hot_end, cold, cold_end;
    size_t hot_used, cold_used; /* of a full one; the current one's are cb.pos and `cold` */
    struct x86_code_link {      /* a jump in this region that was pointed at a block */
        uint32_t at;            /* its rel32 */
        uint32_t tail;          /* where it led before */
    } * link;                   /* owned */
    unsigned nr_links, links_cap;
};

/* Translated code of one CPU and the stubs it shares. */
struct x86_code {
    struct codebuf cb;
    struct x86_frames frames;
    struct x86_frame *frame; /* borrowed: of frames.now */
    size_t cold;             /* where the next code for rare cases goes: apart, so that the rest lies close together (cb.pos) */
    struct x86_code_region region[X86_CODE_REGIONS];
    unsigned nr_regions, now;
    bool retired; /* x86_code_retire() was called since the last region was begun */
    void (*enter)(struct x86_frame *frame, const void *code);
    const uint8_t *stub_exit, *stub_plain, *stub_bail, *stub_fault, *stub_miss, *stub_site[X86_BANK_NR][2][XL_SITE_KINDS],
        *stub_callout, *stub_light, *stub_fpu_load, *stub_x87_load, *stub_jump[X86_BANK_NR], *stub_cross[X86_BANK_NR];
    struct x86_place (*places)[CODE_PLACES]; /* owned; by bank */
    struct xl *work;                         /* owned; the block in progress */
    bool traces;                             /* translations go on behind the end of a block */
    bool loops;                              /* the host's LOOP is a branch like others and its BEXTR takes one cycle: AMD's */
    struct codelog *log;                     /* owned; NULL unless the vm's trace_code is set */
    struct x86_counts *counts;               /* owned; NULL unless that or `stats` is set */
    struct x86_clock *clock;                 /* owned; NULL unless the vm's `stats` is set */
    bool check_all;                          /* every entry looks for requests, so that blocks can be run one by one */
    uint64_t assumed;                        /* bits of x86_config() that translations made since the last reset depend on */
    unsigned next_site[X86_BANK_NR][2];
    uint64_t blocks, nr_traces, insns, native_insns; /* translated so far; of the instructions, how many were not call-outs */
};

/* Makes code memory of `size` bytes (X86_CODE_BYTES_MIN or more), frame and stubs for c. -ENOMEM, or what codebuf_init() says;
 * -ENOTSUP when the host lacks BMI2, AVX or SSE4.2. */
MUST_CHECK int x86_code_init(struct x86_code *code, struct x86_cpu *c, size_t size, struct error *err);
void x86_code_done(struct x86_code *code);
/* To be called on the thread that will run it, before it does: a divide error in translated code then bails. */
void x86_code_attach(const struct x86_code *code);
/* The bits of control registers that translations may depend on, each in its place. */
#define X86_CONFIG_CR0(bits) ((uint64_t)(bits))
#define X86_CONFIG_CR4(bits) ((uint64_t)(bits) << 8)
#define X86_CONFIG_XCR0(bits) ((uint64_t)(bits) << 32)
static inline uint64_t x86_config(const struct x86_cpu *c)
{
    const uint64_t cr4 = CR4_OSFXSR | CR4_OSXSAVE | CR4_SMAP | CR4_TSD | CR4_FSGSBASE;
    return X86_CONFIG_CR0(c->cr0 & (CR0_EM | CR0_TS)) | X86_CONFIG_CR4(c->cr4 & cr4) | X86_CONFIG_XCR0(c->xcr0);
}
/* Forgets all translations; the caller forgets its pointers to them. */
void x86_code_reset(struct x86_code *code);
/* Goes on where the oldest translations are, if there are any (true): nothing leads to them any more. The caller has retired all
 * of their blocks, and perhaps others. */
bool x86_code_next_region(struct x86_code *code);
/* Whether x86_translate() finds room. */
bool x86_code_has_room(const struct x86_code *code);
/* Bytes of code there are. */
size_t x86_code_bytes(const struct x86_code *code);

enum { X86_LOOKS = 16, NO_FIP = -1 };

enum { KILLED_BYTES = 5 }; /* a jump */

/* A block's host code. */
struct x86_native {
    const uint8_t *cross_entry, *jump_entry, *far_entry, *near_entry, *inner_entry;
    const uint8_t *exit;             /* where killed entries lead */
    uint8_t killed[2][KILLED_BYTES]; /* what x86_code_kill() overwrote at the near and the inner entry */
    bool dead;                       /* killed or redirected */
    const uint8_t *end;              /* of its code, but for rare cases */
    /* code behind the block that was looked at: which flags it reads; like the block's bytes, it must be unchanged for a revival
     */
    const struct x86_look { /* nr_looks of them; borrowed from code memory, as starts */
        uint16_t off, len;  /* in the page */
        uint32_t hash;
    } * look;
    const struct x86_start { /* of each of nr instructions' host code */
        uint16_t code;       /* from inner_entry */
        uint16_t off;        /* the guest's, in the page */
        int16_t fip;         /* of the last x87 instruction before it, if frame.x87_fip does not know it; else NO_FIP */
        bool shadow;         /* it stands behind an STI: x86_code_enter_shadow() */
    } * starts;
    uint8_t nr, nr_looks;
};

/* What was learnt about a block. */
struct x86_habits {
    /* The code is plain: no groups of accesses, no trace; it bails where others leave for their own address, and calls its first
     * instruction out if that accesses two pages. Only checks that lie across two pages lead there, from the instruction that
     * they are made at. */
    bool plain;
    uint16_t wanderer[2]; /* offsets in the page of instructions whose checks use the table, not a site (frame.wanderer) */
    uint8_t nr_wanderers; /* more than there is room for: all do */
};

/* Translates b for the CPU's current bank and configuration, which takes room (x86_code_has_room()). False: it got too long. */
bool x86_translate(struct x86_code *code, struct x86_cpu *c, const struct x86_block *b, const struct x86_habits *habits,
                   struct x86_native *ret_native);
/* The instruction whose host code pc is in, NULL: not in this one. */
const struct x86_start *x86_code_start_at(const struct x86_native *n, uint64_t pc);
/* Takes a block out of use, and back into it when its bytes turned out to be unchanged. False: what it assumed about the code
 * behind it is no longer so; translate it anew. */
void x86_code_kill(struct x86_code *code, struct x86_native *n);
MUST_CHECK bool x86_code_revive(struct x86_code *code, struct x86_native *n, const uint8_t *page);
/* Takes it out of use for ever: its block goes. The next x86_code_next_region() undoes links to it. */
void x86_code_retire(struct x86_code *code, struct x86_native *n);
/* Whoever jumps to `old` gets to `n` from now on: the same code, translated anew. */
void x86_code_redirect(struct x86_code *code, struct x86_native *old, const struct x86_native *n);
/* Points the exit at frame.link to a block, by the kind of exit. */
void x86_code_link(struct x86_code *code, uint64_t link, enum x86_frame_exit kind, const struct x86_native *n);
/* Lets jumps from other pages find the block at an offset in a page of guest memory. */
void x86_code_add_place(struct x86_code *code, unsigned bank, uint64_t page, unsigned off, const struct x86_native *n);

/* Runs translated code from near_entry, with c's registers; back when it exits: c is then complete and frame->exit says why.
 * Raises through c->trap_env if a called-out step function does (c is complete then, too). */
void x86_code_run(struct x86_code *code, struct x86_cpu *c, const struct x86_native *n);
/* The same for this one block, whose exits lead nowhere else: for engines' tests. */
void x86_code_run_block(struct x86_code *code, struct x86_cpu *c, const struct x86_native *n);
/* The instruction at c->rip is the one behind an STI and was not done: interrupts are held off if that STI changed IF. */
void x86_code_enter_shadow(const struct x86_code *code, struct x86_cpu *c);

/* ---- translate_frame.c: what frames cache, and the switch between them ---- */

MUST_CHECK int x86_frames_init(struct x86_frames *frames, struct x86_cpu *c, struct error *err);
void x86_frames_done(struct x86_frames *frames);
/* Before code is run: chooses the frame of c's address space, and drops what flushes have reached since the last call. */
struct x86_frame *x86_frames_follow(struct x86_frames *frames, const struct x86_cpu *c);
/* Drops all rights to write, or those to one page of guest memory (its host address): pages were marked as code. */
void x86_frames_drop_writes(struct x86_frames *frames);
void x86_frames_drop_writes_of(struct x86_frames *frames, const uint8_t *page);
/* Drops all translations and jumps, or only all jumps. */
void x86_frames_drop(struct x86_frames *frames);
void x86_frames_drop_jumps(struct x86_frames *frames);
/* What a jump that is not cached is to lead to, in all frames: code->stub_jump. Once, before anything runs. */
void x86_frames_set_no_jump(struct x86_frames *frames, const uint8_t *const stub[X86_BANK_NR]);
/* Enters a page into the bank's inline TLB. Others in the same place give way. */
void x86_frame_add_page(struct x86_frame *f, unsigned bank, gva_t lin, const uint8_t *host, enum x86_access access, bool global);
/* Lets jumps from other pages find the block at lin, which is in that page of guest memory. */
void x86_frame_add_jump(struct x86_frame *f, unsigned bank, gva_t lin, uint64_t page, const struct x86_native *n, bool global);

#endif
