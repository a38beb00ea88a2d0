/* SPDX-License-Identifier: MIT */
/*
 * What interrupt entry, far transfers and task switches share: frames on a stack that is not loaded yet, stacks from the
 * TSS, branch-target checks, and the task switch.
 *
 * `ext` is bit 0 of the error codes raised: 1 while delivering an event external to the program, else 0.
 * Spec: SDM 3A 5.8 (transfers), 6.12 to 6.14 (entry), 7 (tasks)
 */
#ifndef DOPPEL_ISA_X86_FAR_H
#define DOPPEL_ISA_X86_FAR_H

#include "isa/x86/seg.h"
#include "isa/x86/trap.h"

/* Most values one transfer pushes: 31 call gate parameters, SS, SP, CS, IP. */
enum { X86_FRAME_MAX = 36 };

/* Values to be pushed on a stack, perhaps one that SS does not name yet. Filled, then written at once, so that nothing
 * is pushed unless all fits. */
struct x86_frame {
    struct x86_seg ss;
    uint64_t sp;   /* before the pushes */
    uint8_t width; /* of the stack pointer: 2, 4, 8 */
    uint8_t bank;  /* enum x86_tlb_bank */
    uint8_t size;  /* bytes of each value */
    uint8_t n;
    uint32_t ss_error; /* code of the #SS raised when it does not fit */
    uint64_t value[X86_FRAME_MAX];
};

/* A frame on the stack in use, or on another one. */
void x86_frame_init_current(const struct x86_cpu *c, struct x86_frame *f, unsigned size, uint32_t ss_error);
void x86_frame_init(struct x86_frame *f, const struct x86_seg *ss, uint64_t sp, unsigned width, unsigned size, uint32_t ss_error);
void x86_frame_push(struct x86_frame *f, uint64_t value);
/* Writes the frame; raises #SS(ss_error) or #PF before anything is written. Returns the new stack pointer. */
uint64_t x86_frame_write(struct x86_cpu *c, const struct x86_frame *f);
/* #SS(ss_error) when the frame does not lie inside the stack segment; for checks before x86_frame_write. */
void x86_frame_check(struct x86_cpu *c, const struct x86_frame *f);

/* Value at `off` bytes above the stack pointer in use. */
uint64_t x86_stack_peek(struct x86_cpu *c, uint64_t off, unsigned size);
/* Sets the stack pointer as wide as the stack segment now loaded. */
void x86_stack_set(struct x86_cpu *c, uint64_t sp);

/* A stack for ring `dpl`, as the current 16- or 32-bit TSS names it, checked. */
struct x86_new_stack {
    struct x86_desc desc;
    uint16_t sel;
    uint64_t sp;
};
void x86_tss_stack(struct x86_cpu *c, unsigned dpl, unsigned ext, struct x86_new_stack *ret_stack);
/* The 64-bit TSS's stack pointer at byte offset `off`. Raises #TS when outside the TSS, #SS(ext) when not canonical. */
uint64_t x86_tss_rsp(struct x86_cpu *c, unsigned off, unsigned ext);

/* #GP(error) unless `ip` can be executed in code segment `cs`: canonical in 64-bit ones, else within the limit. */
void x86_check_target(struct x86_cpu *c, const struct x86_seg *cs, uint64_t ip, uint32_t error);
/* Long mode: #GP(selector) for a code segment with both L and D set. */
void x86_check_code_width(struct x86_cpu *c, const struct x86_desc *d, unsigned ext);
/* Contents of CS for a code descriptor when running at `cpl`. */
struct x86_seg x86_code_seg(const struct x86_desc *d, unsigned cpl);

enum x86_task_switch { X86_TASK_JMP, X86_TASK_CALL, X86_TASK_IRET };

/*
 * Switches to the task of the TSS selector `sel` with all checks of the kind. ret_ip, ret_flags: saved in the old task. On
 * return the new task is loaded in full and c->rip = c->next_rip is its instruction pointer. A fault before the
 * switch leaves the old task as it was; one after it (#TS, #NP, #SS, #GP of the new selectors) is raised in the
 * new task, with c->rip inside it.
 * Spec: SDM 3A 7.3
 */
void x86_task_switch(struct x86_cpu *c, uint16_t sel, enum x86_task_switch kind, uint64_t ret_ip, uint64_t ret_flags,
                     unsigned ext);
/* IRET with NT: back to the task the current TSS links to. */
void x86_task_return(struct x86_cpu *c, uint64_t ret_ip);
/* Pushes an error code in the task just switched to. */
void x86_task_push_error(struct x86_cpu *c, uint32_t error);

/* What RETF and IRET took from the stack, then what x86_return_check made of it. */
struct x86_return {
    uint64_t ip;
    uint16_t cs_sel;
    unsigned size;     /* bytes of each value on the stack */
    uint64_t off;      /* from the stack pointer to the SP and SS of an outer ring */
    uint64_t extra;    /* RETF n: bytes released on the outer stack (those on the inner one are in off) */
    bool always_stack; /* SP and SS are there at the same level too (IRET in 64-bit mode) */
    /* results */
    struct x86_desc cs_desc, ss_desc;
    struct x86_seg cs, ss;
    bool load_ss;
    unsigned cpl;
    uint64_t sp;
};
/* Protected mode: all checks of a return to the same or an outer level; raises, changes nothing but accessed bits. */
void x86_return_check(struct x86_cpu *c, struct x86_return *r);
/* Loads CS, SS, SP and next_rip; c->rflags may have been changed already. */
void x86_return_commit(struct x86_cpu *c, const struct x86_return *r);

/* INT n, INT3, INTO, INT1 as the instruction at c->rip: enters the handler with next_rip as the return address. */
void x86_enter_soft(struct x86_cpu *c, unsigned vector, enum x86_event event);

#endif
