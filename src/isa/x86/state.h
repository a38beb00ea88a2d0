/* SPDX-License-Identifier: MIT */
/*
 * The architectural state of one x86-64 CPU, and the few values derived from it that every file here needs.
 *
 * Everything above the line "derived" is the CPU: it is described field by field in state.c, and any engine can save
 * and load it. What stands below is recomputed by x86_state_changed() and friends.
 * Spec: Intel SDM 253665-081, volumes 1 and 3A; AMD APM 24593 3.41 where they differ and AMD is kinder.
 */
#ifndef DOPPEL_ISA_X86_STATE_H
#define DOPPEL_ISA_X86_STATE_H

#include <setjmp.h>

#include "core/state_desc.h"
#include "core/types.h"

struct vcpu;
struct x86_profile;
struct x86_tlb;

enum { RAX, RCX, RDX, RBX, RSP, RBP, RSI, RDI, R8, R9, R10, R11, R12, R13, R14, R15 };
/* Encoding order of segment registers (SDM 2B table B-8), then the two system ones. */
enum x86_seg_reg { SEG_ES, SEG_CS, SEG_SS, SEG_DS, SEG_FS, SEG_GS, SEG_LDTR, SEG_TR, SEG_LAST = SEG_TR };
enum { SEG_NR = SEG_LAST + 1 };

/* RFLAGS. Spec: SDM 1 3.4.3 */
enum {
    FLAG_CF = 1 << 0,
    FLAG_ONE = 1 << 1,
    FLAG_PF = 1 << 2,
    FLAG_AF = 1 << 4,
    FLAG_ZF = 1 << 6,
    FLAG_SF = 1 << 7,
    FLAG_TF = 1 << 8,
    FLAG_IF = 1 << 9,
    FLAG_DF = 1 << 10,
    FLAG_OF = 1 << 11,
    FLAG_IOPL = 3 << 12,
    FLAG_NT = 1 << 14,
    FLAG_RF = 1 << 16,
    FLAG_VM = 1 << 17,
    FLAG_AC = 1 << 18,
    FLAG_VIF = 1 << 19,
    FLAG_VIP = 1 << 20,
    FLAG_ID = 1 << 21,
    FLAGS_ARITH = FLAG_CF | FLAG_PF | FLAG_AF | FLAG_ZF | FLAG_SF | FLAG_OF,
};

enum {
    CR0_PE = 1 << 0,
    CR0_MP = 1 << 1,
    CR0_EM = 1 << 2,
    CR0_TS = 1 << 3,
    CR0_ET = 1 << 4,
    CR0_NE = 1 << 5,
    CR0_WP = 1 << 16,
    CR0_AM = 1 << 18,
    CR0_NW = 1 << 29,
    CR0_CD = 1 << 30,
};
#define CR0_PG (1U << 31)
enum {
    CR4_VME = 1 << 0,
    CR4_PVI = 1 << 1,
    CR4_TSD = 1 << 2,
    CR4_DE = 1 << 3,
    CR4_PSE = 1 << 4,
    CR4_PAE = 1 << 5,
    CR4_MCE = 1 << 6,
    CR4_PGE = 1 << 7,
    CR4_PCE = 1 << 8,
    CR4_OSFXSR = 1 << 9,
    CR4_OSXMMEXCPT = 1 << 10,
    CR4_UMIP = 1 << 11,
    CR4_FSGSBASE = 1 << 16,
    CR4_PCIDE = 1 << 17,
    CR4_OSXSAVE = 1 << 18,
    CR4_SMEP = 1 << 20,
    CR4_SMAP = 1 << 21,
};
enum { EFER_SCE = 1 << 0, EFER_LME = 1 << 8, EFER_LMA = 1 << 10, EFER_NXE = 1 << 11 };
enum { XCR0_X87 = 1, XCR0_SSE = 2, XCR0_AVX = 4, XCR0_OPMASK = 32, XCR0_ZMM_HI256 = 64, XCR0_HI16_ZMM = 128 };

/* Bits of x86_seg.attr: bytes 5 and 6 of the descriptor, with the limit's bits taken out. Spec: SDM 3A 3.4.5 */
enum {
    SEG_TYPE = 0xf,
    SEG_TYPE_A = 1,  /* accessed */
    SEG_TYPE_RW = 2, /* code: readable, data: writable */
    SEG_TYPE_EC = 4, /* code: conforming, data: expand-down */
    SEG_TYPE_CODE = 8,
    SEG_S = 1 << 4, /* code or data, not system */
    SEG_DPL_SHIFT = 5,
    SEG_DPL = 3 << 5,
    SEG_P = 1 << 7,
    SEG_AVL = 1 << 12,
    SEG_L = 1 << 13,
    SEG_DB = 1 << 14,
    SEG_G = 1 << 15,
    SEG_UNUSABLE = 1 << 16, /* a null selector was loaded (not in the descriptor) */
};

/* A segment register with its hidden part. */
struct x86_seg {
    uint64_t base;
    uint32_t limit; /* in bytes, inclusive (G applied) */
    uint32_t attr;
    uint16_t sel;
};

struct x86_table_reg { /* GDTR, IDTR */
    uint64_t base;
    uint16_t limit;
};

/* x87, MMX and SIMD registers, laid out for fxrstor of the x87 part. Spec: SDM 1 10.5.1, table 10-2 */
struct x86_fpu {
    uint16_t fcw, fsw;
    uint8_t ftw; /* abridged: bit n set = physical register n is not empty */
    uint16_t fop;
    uint64_t fip, fdp;
    uint8_t st[8][16]; /* ST(0)..ST(7) in stack order, 10 bytes used; mm0..mm7 in the low 8 of physical registers */
    uint32_t mxcsr;
    uint8_t zmm[32][64] __attribute__((aligned(64)));
    uint64_t k[8];
};

enum x86_activity { X86_RUNNING, X86_HALTED, X86_WAIT_SIPI, X86_SHUTDOWN };

/* Instruction width the decoder works with. */
enum x86_mode { X86_MODE_16, X86_MODE_32, X86_MODE_64 };

struct x86_cpu {
    uint64_t gpr[16];
    uint64_t rip;      /* of the instruction being executed */
    uint64_t next_rip; /* set by the run loop to rip + length before a step; step functions that jump write it */
    uint64_t rflags;   /* complete and exact at every instruction boundary; bit 1 is always set */
    struct x86_seg seg[SEG_NR];
    struct x86_table_reg gdtr, idtr;
    uint64_t cr0, cr2, cr3, cr4;
    uint64_t efer;
    uint64_t xcr0, xss;
    uint64_t dr[4], dr6, dr7;
    struct x86_fpu fpu;

    /* MSRs that have no better home. Spec: SDM 4 chapter 2 */
    uint64_t star, lstar, cstar, fmask, kernel_gs_base, tsc_aux;
    uint64_t sysenter_cs, sysenter_esp, sysenter_eip;
    uint64_t pat, misc_enable, tsc_adjust, spec_ctrl, debugctl, feature_control;
    uint64_t mtrr_def_type, mtrr_fixed[11], mtrr_var[16];
    uint64_t mc_status[4]; /* machine-check banks' IA32_MCi_STATUS; the others of a bank read 0 */
    uint64_t mcg_status;
    /* KVM paravirtual MSRs. Spec: Linux Documentation/virt/kvm/x86/msr.rst */
    uint64_t kvm_wall_clock, kvm_system_time, kvm_steal_time, kvm_pv_eoi, kvm_poll_control;
    uint64_t hc_shared; /* page shared with a guest that makes hypercalls: physical address | 1, 0: none (hypercall.h) */
    uint32_t kvm_clock_version;
    uint64_t pdpte[4]; /* PAE paging: loaded with CR3 */

    uint8_t activity;   /* enum x86_activity */
    uint8_t int_shadow; /* 1: interrupts are held off until after the next instruction (STI); 2: MOV SS/POP SS (traps too) */
    bool nmi_blocked;   /* between NMI delivery and IRET */
    bool nmi_pending;
    bool unhalted;        /* HLT ends, the next one when there is none (KVM_HC_KICK_CPU) */
    uint64_t pending_dbg; /* DR6 bits of a trap-class debug exception that waits for the instruction boundary */

    /* ---- derived ---- */
    uint8_t cpl;
    uint8_t mode;        /* enum x86_mode: width of the code segment */
    bool long_mode;      /* EFER.LMA */
    bool flat;           /* not 64-bit, but DS, ES, SS, CS are present with base 0 and limit 4 GiB: a segment check cannot fail */
    uint8_t stack_size;  /* of the stack pointer: 2, 4 or 8 bytes */
    uint8_t bank;        /* enum x86_tlb_bank for explicit data accesses */
    bool align_check;    /* CR0.AM, EFLAGS.AC and CPL 3: misaligned data accesses raise #AC */
    bool slow;           /* TF, RF, an enabled breakpoint, a pending #DB, or a shadow: the run loop steps singly */
    bool step_trap;      /* the instruction in progress began with TF set (x86_check_breakpoint_fetch); INT n clears it */
    bool code_written;   /* the run loop must leave its block: memory or mappings of code, or what boundaries look at, may have
                            changed */
    uint64_t ip_mask;    /* 0xffff, 0xffffffff or ~0 */
    uint64_t asid;       /* low 12 bits of a TLB tag, from CR3 and PCID */
    struct x86_tlb *tlb; /* owned */
    struct vcpu *vcpu;   /* borrowed: owns us; NULL in bare tests */
    struct gmem *gmem;   /* borrowed: the vm's */
    const struct x86_profile *profile; /* borrowed: the CPU model, static or the machine's */
    uint64_t insns;                    /* instructions retired */

    /* A raised exception: x86_raise() fills this and jumps to the run loop. */
    struct x86_trap {
        uint8_t vector;
        bool has_error;
        uint32_t error;
        uint64_t cr2; /* #PF only */
        uint64_t dr6; /* #DB only: bits to merge */
    } trap;
    jmp_buf *trap_env; /* where x86_raise() goes; set by whoever steps */
};

extern const struct state_desc x86_state_desc;

/* Power-on reset: real mode at f000:fff0. The boot CPU runs, others (id != 0) wait for SIPI. Spec: SDM 3A 10.1 */
void x86_cpu_reset(struct x86_cpu *c);
/* INIT#: as reset, but keeps memory type, FPU, TSC and MSR values the manual keeps. Spec: SDM 3A table 10-1 */
void x86_cpu_init_signal(struct x86_cpu *c);
/* Recomputes everything derived, drops the TLB. After a load, a reset, or a change from outside. */
void x86_state_changed(struct x86_cpu *c);
/* Recomputes cpl, mode, long_mode, flat, stack_size, bank, slow, ip_mask; to be called after CS, SS, CR0, CR4, EFER, RFLAGS
 * (AC, TF, VM) or DR7 changed. */
void x86_mode_update(struct x86_cpu *c);
/* The cheap part: bank and slow only; after RFLAGS, DR7 or int_shadow changed. */
void x86_flags_update(struct x86_cpu *c);

#endif
