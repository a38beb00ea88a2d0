/* SPDX-License-Identifier: MIT */
/*
 * The translator of RISC-V code to the host's, and what runs what it makes.
 *
 * Translations are traces: they begin at a pc, follow the ways that execution mostly took, and have exits where it may take
 * another. They are made for one virtual address (pc is a constant in them), one mode (enum riscv_mode) and the guest pages their
 * code lay in. V = 1 (hyp.h) has a struct riscv_code of its own, so that no translation is ever one of the other V. Ten guest
 * registers live in host registers always and the rest in the hart's state, so that any translation can go on where another ends;
 * in modes with floating point, 14 of its registers live in the host's vector registers.
 *
 * Translated code reaches everything relative to rbp, which points into a `struct riscv_frame`. There is one for each address
 * space the TLB knows (mmu.h); all show the same hart and the same `shared` part, and each has an `own` part: what was learnt of
 * the space.
 *
 * Memory accesses look into the TLB, or, in U-mode's translations that run all the time, go through windows (shadow.h), once
 * it is checked that the address is in the block that was expected there. Accesses off one register are checked together. What
 * cannot be done so goes back to the interpreter (RISCV_EXIT_STEP, RISCV_EXIT_FAULT). Owned and used by the vCPU's thread.
 */
#ifndef DOPPEL_ISA_RISCV_TRANSLATE_H
#define DOPPEL_ISA_RISCV_TRANSLATE_H

#include <stdatomic.h>

#include "emit/codebuf.h"
#include "isa/riscv/decode.h"
#include "isa/riscv/shadow.h"

/* What translations depend on of a hart's state: who accesses memory, twice: without and with floating point (mstatus.FS is
 * Dirty, frm is what the host can do). */
enum { RISCV_MODE_FP = 1, RISCV_MODE_NR = 2 * RISCV_BANK_NR, RISCV_MODE_PLAIN = 16, RISCV_MODE_NONE = 0xff };

enum {
    RISCV_JUMPS = 4096,
    RISCV_JUMP_SHIFT = 11,
    RISCV_PLACES = 1 << 15,
    RISCV_FETCHES = 1024,
    RISCV_TRACE_MAX = 96,
    RISCV_TRACE_PAGES = 2,
    RISCV_RUNS = 1 << 16,
    RISCV_HASHED_PCS = 1 << 16,
    RISCV_VL_MAX = 8 * RISCV_VLENB_MAX
};

/* An entry of the jump caches. */
struct riscv_jump {
    uint64_t pc; /* odd: none; and then one that belongs elsewhere */
    uint64_t code;
};

/* Where the translation of a place is: behind the jump caches. It counts where the code page is mapped now. */
struct riscv_place {
    uint64_t key; /* pc, with its mode in the upper bits: riscv_place_key() */
    uint64_t code;
    uint32_t id; /* of the code page */
    uint32_t unused;
    struct riscv_native *native; /* borrowed from the arena: of key and id */
};

/* Upper bits of a pc say nothing that the others do not. */
static inline uint64_t riscv_place_key(gva_t pc, unsigned mode)
{
    return pc ^ ((uint64_t)mode + 1) << 58;
}

/* Entries of jump caches that were filled since all were cleared: offsets from rbp. */
struct riscv_used {
    uint32_t nr;
    int32_t at[4 * RISCV_JUMPS];
};

/* What is known of the code that one set of page tables shows: of U-mode's and SUM's (own), of the rest (shared). */
struct riscv_known {
    uint32_t fetch[RISCV_FETCHES]; /* by virtual page: id of the struct riscv_code_page that is there; 0: not known */
};

enum riscv_exit {
    RISCV_EXIT_NEXT,  /* go on at pc */
    RISCV_EXIT_LINK,  /* go on at pc; frame.link may lead there from now on */
    RISCV_EXIT_STEP,  /* the instruction at pc is for the interpreter */
    RISCV_EXIT_PLAIN, /* the code at pc must go on without groups (RISCV_MODE_PLAIN): one lies across two pages */
    RISCV_EXIT_FAULT, /* host code at fault_pc faulted: the instruction there is for the interpreter */
    RISCV_EXIT_OFTEN, /* the translation at pc has run as often as it was to: riscv_code_ran_often() */
    RISCV_EXITS,
};

/* What code for vector instructions finds in its frame. */
struct riscv_vec_constants {
    uint64_t inactive[2 * RISCV_VL_MAX + 1]; /* [RISCV_VL_MAX + n]: which of 64 elements are not among the first n: bits */
    uint8_t number[RISCV_VL_MAX];            /* 0, 1, 2, ... */
    uint64_t nan32[4], nan64[4];             /* canonical NaNs */
    uint64_t sign32, sign64, ones;           /* patterns of 64 bits */
    uint64_t mxcsr;                          /* MXCSR without flags, rounding to nearest */
    uint64_t count[4];                       /* by SEW: bits of a shift's count that matter, in each element */
    uint64_t scratch[4];                     /* for one instruction */
};

struct codelog;
struct riscv_code;
struct rvx;

/* What code reads all the time lies at other offsets in its page than the hart has in its own: the host takes a load for one of
 * what was just stored at the same offset of another page, and waits for it. */
enum { RISCV_APART = 0xd80, RISCV_APART_BLOCKS = 0xf00 };
_Static_assert(sizeof(struct riscv_cpu) <= RISCV_APART, "what is read all the time lies apart from the hart");

struct riscv_frame {
    struct {
        struct riscv_cpu cpu; /* another view of the hart */
    } __attribute__((aligned(4096)));
    struct {
        uint8_t apart[RISCV_APART];
        uint64_t exit; /* enum riscv_exit */
        uint64_t link; /* RISCV_EXIT_LINK: index in code->link */
        uint64_t fault_pc;
        uint64_t host_rsp;
        _Atomic uint32_t *requests;                 /* borrowed: the vCPU's */
        struct riscv_tlb_entry *tlb[RISCV_BANK_NR]; /* borrowed: tlb->bank[] */
        struct riscv_place *places;                 /* borrowed: code->places */
        uint64_t mode_key[RISCV_MODE_NR];           /* riscv_place_key(0, mode) */
        uint32_t mxcsr, host_mxcsr;
        uint64_t sign64[2], abs64[2]; /* constants for vector instructions, aligned */
        uint64_t sign32[2], abs32[2], box[2];
        struct riscv_code *code; /* borrowed */
        uint64_t misses, callouts, ecalls, vector_callouts;
        int32_t runs[RISCV_RUNS]; /* how often each translation without windows may still run until somebody looks */
        uint64_t resume;          /* where translated code goes on after C code has changed mode, pc or address space */
        uint64_t rbp;             /* and with which frame */
        uint64_t to_gpa;          /* added to a host address of RAM: its physical address; where gmem has one slot */
        struct riscv_vec_constants vec;
        struct riscv_known known[2]; /* bank S; banks M and BARE */
        struct riscv_jump jump[RISCV_MODE_NR][RISCV_JUMPS];
        struct riscv_used used_jumps; /* of banks S and S_SUM */
    } __attribute__((aligned(4096))) shared;
    struct {
        uint8_t apart[RISCV_APART_BLOCKS];
        struct riscv_block block[RISCV_BLOCKS]; /* what the windows show */
        struct riscv_known known;
        struct riscv_jump jump[2][RISCV_JUMPS]; /* U-mode's */
        struct riscv_used used_jumps;
    } __attribute__((aligned(4096))) own;
};

/* A guest page as code is found in it: by physical page and virtual address. */
struct riscv_code_page {
    uint64_t page; /* index in guest memory */
    gva_t va;
    uint32_t id;
    uint32_t gen;                   /* of the page when its translations were last known to be true */
    struct riscv_native *first;     /* of those with an instruction in this page */
    struct riscv_code_page *in_set; /* next by hash */
};

/* An instruction of a translation. */
struct riscv_start {
    uint32_t bits;
    uint16_t code;       /* where its host code begins, from native->entry */
    uint16_t off : 15;   /* the guest's, in the page */
    uint16_t second : 1; /* in page[1] */
    uint8_t uncounted;   /* instructions done before it that the hart's count does not know of */
};

/* How often something happens. */
struct riscv_rate {
    uint32_t count;
    uint64_t since; /* TSC when counting began; 0: it never did */
};

/* One translation. */
struct riscv_native {
    gva_t pc;
    uint8_t mode, nr_pages, nr;
    bool dead;      /* its entries lead back to the loop */
    uint8_t faults; /* of accesses through windows that no window is fit for */
    int32_t run;    /* of runs[]; -1: it has none */
    uint64_t since; /* TSC when that was set */
    uint32_t first_link, nr_links;
    struct riscv_rate guest_faults; /* accesses through windows that the guest's tables refused */
    struct riscv_rate shown;        /* and that had a page shown */
    uint64_t clears;                /* of windows, ever, when that last happened */
    uint8_t emptied;                /* how often this had changed since shown.since */
    struct riscv_code_page *page[RISCV_TRACE_PAGES];
    struct riscv_native *in_page[RISCV_TRACE_PAGES], *in_set; /* next of the same page, by hash */
    const uint8_t *checked, *entry, *end;                     /* entries: with a look at the requests, and without; of its code */
    const uint8_t *gone;                                      /* where dead entries lead */
    struct riscv_start start[];                               /* nr */
};

/* Where translated code leaves for the loop. */
struct riscv_link {
    uint32_t at;   /* the rel32 that can be pointed to the next translation */
    uint32_t miss; /* where it leads else; positions */
    gva_t pc;
    struct riscv_native *from;
    gva_t branch;  /* the conditional branch that leads here, 0: none */
    uint32_t left; /* how often, where the translation counts its runs */
    bool taken;    /* when the branch is */
    bool back;     /* backwards, or behind a jump backwards: requests are looked at there, so that no loop goes without */
    bool second;   /* from->page[1] was looked at before */
};

/* What an access that is not where the check expected it must know. */
enum { RISCV_LOOK = 15 /* in place of a block: the TLB was asked */ };
enum { RISCV_AT_BASE, RISCV_AT_TO_HOST, RISCV_AT_BASE_AGAIN, RISCV_AT_NR };
struct riscv_miss {
    uint32_t bytes; /* that the check covers */
    int32_t lo;     /* block 0: the access, from the address in rcx */
    uint32_t insns; /* done since they were last counted */
    uint8_t block;  /* that was expected, or RISCV_LOOK */
    uint8_t access; /* enum riscv_access */
    bool group;     /* of several accesses */
    gva_t pc;
    uint32_t at[RISCV_AT_NR]; /* positions of the displacements in the code that say which block it is; 0: it can be no other */
    struct riscv_native *from;
    const uint8_t *plain; /* where the code at pc goes on without groups, once that is known */
};

/* A call of a step function. */
struct riscv_callout {
    struct riscv_insn insn;
    gva_t pc;
    uint32_t insns; /* done since they were last counted */
    uint8_t mode;   /* of the translation, without RISCV_MODE_PLAIN */
    bool vector;    /* it is a vector instruction */
    bool stores;    /* and stores to where rs1 says: translated code may, too, from then on */
};

/* Host code of one hart. */
struct riscv_code {
    struct codebuf cb;
    struct riscv_cpu *cpu;                                  /* borrowed */
    struct riscv_tlb *tlb;                                  /* borrowed: the hart's for V = 0, or for V = 1 */
    struct riscv_frame *frame[RISCV_SPACES], *now;          /* owned mappings; the one in use */
    uint64_t seen[RISCV_SPACES], seen_shared, seen_all;     /* of the TLB's flushes */
    uint64_t seen_fences[RISCV_SPACES], seen_fences_shared; /* and fences of single pages */
    struct riscv_place *places;                             /* owned; RISCV_PLACES of them, by hash of pc */
    uint8_t *arena;                                         /* owned: natives, pages, misses, callouts */
    size_t arena_size, arena_pos;
    struct riscv_link *link; /* behind the places */
    uint32_t nr_links, links_max;
    size_t base,
        cold_base; /* where translations begin: behind the stubs; their code for rare cases, apart, so that the rest lies close */
    size_t cold;   /* where the next of that goes; the rest at cb.pos */
    struct rvx *work;             /* owned: the translation in progress */
    struct riscv_native **native; /* owned; those in the order of their code */
    uint32_t nr_natives, natives_max;
    unsigned next_block;                 /* that was replaced last */
    uint8_t expect[RISCV_HASHED_PCS];    /* by hash of pc: the block that the access there is in + 1; see riscv_code_expect() */
    uint8_t often[RISCV_HASHED_PCS / 8]; /* bits, by hash of pc: what begins there runs all the time, and gets windows */
    uint8_t unfit[RISCV_HASHED_PCS / 8]; /* the same: but it does what windows cannot, and does not get them */
    uint32_t nr_runs;                    /* of runs[] that were given away */
    int32_t runs_many;                   /* what they begin with */
    bool windows_asked, windows_refused;
    bool eager; /* those that have run so often get windows, however long that took */
    void (*enter)(void *rbp, const void *code);
    void (*enter_fp)(void *rbp, const void *code);
    const uint8_t *stub_exit[2], *stub_link[2], *stub_pc[2], *stub_step[2], *stub_callout[2], *stub_fault[2], *stub_plain[2],
        *stub_often[2];                      /* by fp */
    const uint8_t *stub_jump[RISCV_MODE_NR]; /* to the address in rax, which the jump cache does not have */
    const uint8_t *stub_slow[2];             /* by fp: to an access that is elsewhere */
    bool fault_unfit;                        /* the last fault of the host was of what no window can do */
    bool running_fp;                         /* what runs is of a mode with floating point */
    struct riscv_miss *crossed;              /* borrowed: RISCV_EXIT_PLAIN was its */
    uint64_t translated, insns, called_out, nr_crossed, kills, strays, promoted, unfits, resumed, traps;
    uint64_t *callouts_of; /* owned: calls of step functions, by row */
    struct codelog *log;   /* owned; NULL unless the vm's trace_code is set */
};

/* Makes code memory of `bytes` in all, frames and stubs for c, whose V is 1 for `guest`. -ENOMEM, what codebuf_init() says,
 * -ENOTSUP when the host lacks BMI2, AVX or FMA. */
MUST_CHECK int riscv_code_init(struct riscv_code *code, struct riscv_cpu *c, bool guest, size_t bytes, struct error *err);
/* Those made from now on do without AVX-512. For tests. */
void riscv_code_without_avx512(bool without);
void riscv_code_done(struct riscv_code *code);
/* Forgets all translations; the caller forgets its pointers to them. */
void riscv_code_reset(struct riscv_code *code);
bool riscv_code_has_room(const struct riscv_code *code);
/* Goes on emitting where code for rare cases goes, and back to where that returned. */
size_t riscv_code_to_cold(struct riscv_code *code);
void riscv_code_to_hot(struct riscv_code *code, size_t hot);
/* Memory from the arena that lives until the next reset, NULL: full. */
void *riscv_code_alloc(struct riscv_code *code, size_t bytes);
/* The mode of a hart now, RISCV_MODE_NONE: the interpreter must go on (MPRV). */
unsigned riscv_code_mode(const struct riscv_cpu *c);
/* Before code is run: chooses the frame, drops what flushes have reached. */
void riscv_code_follow(struct riscv_code *code);
/* Nothing stores to a page (its host address, NULL: any) without a look at its mark. */
void riscv_code_drop_stores(struct riscv_code *code, const uint8_t *page);
/* What stands where in the guest's code is looked up by whoever translates. */
struct riscv_finder {
    /* The code page at va, which is now mapped there and marked; NULL: not to be had. */
    struct riscv_code_page *(*page)(void *opaque, gva_t va);
    /* Whether the branch at pc was mostly taken. */
    bool (*taken)(void *opaque, gva_t pc);
    /* Whether it seems that nothing ever went by a jump or branch to pc. */
    bool (*unseen)(void *opaque, gva_t pc);
    void *opaque;
};
/* Translates what begins at pc. NULL: there is no room, or the first instruction cannot be had. */
struct riscv_native *riscv_translate(struct riscv_code *code, gva_t pc, unsigned mode, const struct riscv_finder *finder);
/* Lets the exit `link` lead to n. */
void riscv_code_link(struct riscv_code *code, uint64_t link, const struct riscv_native *n);
/* Code of other pages may go to p, which is mapped. */
void riscv_code_add_page(struct riscv_code *code, unsigned mode, const struct riscv_code_page *p);
/* Lets jumps find n, whose first page is mapped. */
void riscv_code_add_jump(struct riscv_code *code, struct riscv_native *n);
/* The translation of pc in that mode, if it was found lately and lies where pc is mapped now; NULL: not. */
struct riscv_native *riscv_code_native(const struct riscv_code *code, gva_t pc, unsigned mode);
/* Where the translation of pc in that mode is entered, if that can be told without the loop; NULL: not. */
const uint8_t *riscv_code_find(struct riscv_code *code, gva_t pc, unsigned mode);
/* The access that led to n, which is of RISCV_MODE_PLAIN, goes there by itself from now on. */
void riscv_code_go_plain(struct riscv_code *code, const struct riscv_native *n);
/* Says which ways the branches of n took, as far as it counted. */
typedef void (*riscv_learn_fn)(void *opaque, gva_t branch, bool taken);
void riscv_code_learn(const struct riscv_code *code, const struct riscv_native *n, riscv_learn_fn learn, void *opaque);
/* After RISCV_EXIT_OFTEN, n being the translation at pc. True: it ran that often within a short time; it is dead, and is to be
 * made anew. */
bool riscv_code_ran_often(struct riscv_code *code, struct riscv_native *n);
/* Nothing gets into n any more. */
void riscv_code_kill(struct riscv_code *code, struct riscv_native *n);
/* Whoever is led to `dead` gets to n from now on: the same code, translated anew. */
void riscv_code_redirect(struct riscv_code *code, const struct riscv_native *dead, const struct riscv_native *n);
/* Catches the host's SIGSEGV, for code on threads that called riscv_code_attach(). -errno. */
MUST_CHECK int riscv_code_catch_faults(struct error *err);
/* Whether there are windows, which are made as soon as the guest's memory is shared; that is asked for, too. */
bool riscv_code_get_windows(struct riscv_code *code);
/* To be called on the thread that runs translated code, before it does: host faults there come back as RISCV_EXIT_FAULT. */
void riscv_code_attach(struct riscv_code *code);
/* Runs n; back when it exits: the hart is then complete, and now->shared.exit says why. */
void riscv_code_run(struct riscv_code *code, const struct riscv_native *n);
/* The translation whose host code pc is in, NULL: none; and the instruction of it. */
struct riscv_native *riscv_code_native_at(const struct riscv_code *code, uint64_t pc);
const struct riscv_start *riscv_code_start_at(const struct riscv_native *n, uint64_t pc, gva_t *ret_pc);
/* After RISCV_EXIT_FAULT in n: it does without windows if it does what they cannot all the time, or faults all the time. */
void riscv_code_faulted(struct riscv_code *code, struct riscv_native *n);

#endif
