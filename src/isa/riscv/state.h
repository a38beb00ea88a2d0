/* SPDX-License-Identifier: MIT */
/*
 * The architectural state of one RISC-V hart, and the few values derived from it that every file here needs.
 *
 * Everything above the line "derived" is the hart: it is described field by field in state.c, and any engine can save and load
 * it. What stands below is recomputed by riscv_state_changed() and riscv_mode_update().
 *
 * Interrupts reach a hart from other threads in two words: `wires` are levels that controllers hold (ACLINT, PLIC), `soft` are
 * the bits of mip that software writes; both are atomic, and who sets one also requests VCPU_REQ_IRQ.
 * Spec: RISC-V Instruction Set Manual 20240411, volumes I and II
 */
#ifndef DOPPEL_ISA_RISCV_STATE_H
#define DOPPEL_ISA_RISCV_STATE_H

#include <setjmp.h>
#include <stdatomic.h>

#include "core/state_desc.h"
#include "core/types.h"
#include "core/vm_clock.h"

struct vcpu;
struct riscv_profile;
struct riscv_tlb;
struct riscv_cpu;

enum riscv_priv { RISCV_U, RISCV_S, RISCV_M = 3 };

/* mstatus and its view sstatus. Spec: volume II 3.1.6 */
#define MSTATUS_SIE (1ULL << 1)
#define MSTATUS_MIE (1ULL << 3)
#define MSTATUS_SPIE (1ULL << 5)
#define MSTATUS_MPIE (1ULL << 7)
#define MSTATUS_SPP (1ULL << 8)
#define MSTATUS_VS (3ULL << 9)
#define MSTATUS_MPP (3ULL << 11)
#define MSTATUS_FS (3ULL << 13)
#define MSTATUS_MPRV (1ULL << 17)
#define MSTATUS_SUM (1ULL << 18)
#define MSTATUS_MXR (1ULL << 19)
#define MSTATUS_TVM (1ULL << 20)
#define MSTATUS_TW (1ULL << 21)
#define MSTATUS_TSR (1ULL << 22)
#define MSTATUS_UXL (3ULL << 32)
#define MSTATUS_SXL (3ULL << 34)
#define MSTATUS_GVA (1ULL << 38)
#define MSTATUS_MPV (1ULL << 39)
#define MSTATUS_SD (1ULL << 63)
#define MSTATUS_XL64 (2ULL << 32 | 2ULL << 34)
enum { MSTATUS_MPP_SHIFT = 11 };

/* Numbers of interrupts: bits of mip, mie, mideleg. Spec: volume II 3.1.9 */
enum { IRQ_SSI = 1, IRQ_VSSI, IRQ_MSI, IRQ_STI = 5, IRQ_VSTI, IRQ_MTI, IRQ_SEI = 9, IRQ_VSEI, IRQ_MEI };
enum {
    MIP_SSIP = 1 << IRQ_SSI,
    MIP_MSIP = 1 << IRQ_MSI,
    MIP_STIP = 1 << IRQ_STI,
    MIP_MTIP = 1 << IRQ_MTI,
    MIP_SEIP = 1 << IRQ_SEI,
    MIP_MEIP = 1 << IRQ_MEI,
    MIP_VSSIP = 1 << IRQ_VSSI,
    MIP_VSTIP = 1 << IRQ_VSTI,
    MIP_VSEIP = 1 << IRQ_VSEI,
    MIP_S = MIP_SSIP | MIP_STIP | MIP_SEIP,
    MIP_M = MIP_MSIP | MIP_MTIP | MIP_MEIP,
    MIP_VS = MIP_VSSIP | MIP_VSTIP | MIP_VSEIP,
};

/* menvcfg and senvcfg. Spec: volume II 3.1.18, CMO 1.0, Sstc, Svadu */
#define ENVCFG_FIOM (1ULL << 0)
#define ENVCFG_CBIE (3ULL << 4)
#define ENVCFG_CBCFE (1ULL << 6)
#define ENVCFG_CBZE (1ULL << 7)
#define ENVCFG_ADUE (1ULL << 61)
#define ENVCFG_PBMTE (1ULL << 62)
#define ENVCFG_STCE (1ULL << 63)
enum { ENVCFG_CBIE_SHIFT = 4 };

enum { FFLAG_NX = 1, FFLAG_UF = 2, FFLAG_OF = 4, FFLAG_DZ = 8, FFLAG_NV = 16 };
enum riscv_rm { RM_RNE, RM_RTZ, RM_RDN, RM_RUP, RM_RMM, RM_DYN = 7 };

enum riscv_activity {
    RISCV_RUNNING,
    RISCV_WAITING, /* WFI: until an interrupt that is enabled in mie is pending */
    RISCV_STOPPED, /* SBI HSM: until another hart starts it */
};

enum {
    RISCV_PMPS = 16,
    RISCV_TIMEBASE = 10000000 /* Hz of the time CSR */,
    RISCV_VLENB_MAX = 64 /* bytes of a vector register */
};

/* A counter that counts retired instructions, and can be set and held. */
struct riscv_counter {
    uint64_t base; /* running: its value is insns - base */
    uint64_t held; /* its value while mcountinhibit holds it */
};

/* What an LR reserved. */
struct riscv_reservation {
    bool valid;
    uint8_t size; /* 4, 8 */
    gpa_t gpa;
    uint64_t value; /* what was there; an SC stores only if it still is */
};

/* The hypervisor extension's: what it adds, and what a virtual machine has in place of the supervisor's. See hyp.h. */
struct riscv_hyp {
    bool virt; /* V: the mode is VS or VU */
    uint64_t hstatus, hedeleg, hideleg, hcounteren, henvcfg, htimedelta, htval, htinst, hgatp, mtval2, mtinst;
    uint64_t vsstatus, vstvec, vsscratch, vsepc, vscause, vstval, vsatp, vstimecmp;
};

/* Answers environment calls from S-mode in place of firmware: a0..a7 are the arguments, a0 and a1 take the answer. The
 * vCPU's thread, without locks. */
struct riscv_sbi {
    void (*call)(void *opaque, struct riscv_cpu *c);
    void *opaque; /* borrowed (the board's) */
};

/* What a board gives riscv_isa_ops.cpu_new(); copied, the profile is borrowed and outlives the CPU. */
struct riscv_config {
    const struct riscv_profile *profile; /* NULL: the default */
    struct riscv_sbi sbi;                /* call NULL: S-mode's calls trap to M-mode */
};

struct riscv_cpu {
    uint64_t x[32]; /* x[0] is 0 at every instruction boundary */
    uint64_t pc;
    uint64_t next_pc; /* set by the run loop to pc + length before a step; step functions that jump write it */
    uint64_t f[32];   /* narrower values are NaN-boxed */
    uint8_t fflags, frm;
    uint8_t priv;     /* enum riscv_priv */
    uint8_t activity; /* enum riscv_activity; changed by its own thread only */
    uint64_t mstatus, medeleg, mideleg, mie;
    uint64_t mtvec, mscratch, mepc, mcause, mtval, mcounteren, mcountinhibit, menvcfg;
    uint64_t stvec, sscratch, sepc, scause, stval, scounteren, senvcfg, satp, stimecmp;
    uint8_t pmpcfg[RISCV_PMPS];
    uint64_t pmpaddr[RISCV_PMPS];
    struct riscv_counter cycle, instret;
    struct riscv_reservation reservation;
    _Atomic uint32_t wires; /* MIP_*: lines that controllers hold, and MIP_STIP by stimecmp */
    _Atomic uint32_t soft;  /* MIP_S, MIP_VS (hvip): as software wrote them */
    /* SBI HSM: where a stopped hart starts; written with the machine's lock held before VCPU_REQ_SIPI is requested */
    uint64_t start_pc, start_opaque;
    uint64_t insns; /* instructions retired */
    /* vectors: vtype as the CSR reads; vl <= VLMAX; register n at v[n * vlenb], elements as in little-endian memory */
    uint64_t vtype;
    uint16_t vl, vstart;
    uint8_t vxsat, vxrm;
    uint8_t v[32 * RISCV_VLENB_MAX] __attribute__((aligned(64)));

    struct riscv_hyp hyp;
    uint64_t shared_page; /* physical address of a struct riscv_shared, with RISCV_SHARED_ON; 0: none. docs/hypercalls.md */

    /* ---- derived ---- */
    uint8_t bank, fetch_bank;            /* enum riscv_bank: of data accesses and of fetches */
    bool pmp_open;                       /* PMP refuses nothing to S- and U-mode */
    bool fenced;                         /* FENCE.I, or a remote one, since an engine last looked at its code (engine bt) */
    uint16_t vlenb;                      /* bytes of a vector register: 16, 32, 64 */
    bool leave;                          /* the run loop must look around: mode, mappings, code or interrupts may have changed */
    struct riscv_tlb *tlb;               /* owned */
    struct riscv_tlb *other_tlb;         /* owned; NULL without H: hyp.h */
    gpa_t guest_gpa;                     /* where the last guest-page fault was met */
    uint64_t guest_tinst;                /* and what tinst says of it */
    struct vcpu *vcpu;                   /* borrowed: owns us; NULL in bare tests */
    struct gmem *gmem;                   /* borrowed: the vm's */
    const struct riscv_profile *profile; /* borrowed */
    struct riscv_sbi sbi;
    struct vm_timer stimer;     /* fires at stimecmp */
    struct vm_timer vstimer;    /* fires at vstimecmp */
    bool stimer_stale;          /* the run loop calls riscv_stimer_update() */
    _Atomic bool flushing;      /* VCPU_REQ_FLUSH is being served: see riscv_flush_hart() */
    _Atomic uint8_t hart_state; /* SBI HSM: what others see of `activity`: enum riscv_hart_state */

    /* A raised exception: riscv_raise() fills this and jumps to the run loop. */
    struct riscv_trap {
        uint64_t cause, tval;
    } trap;
    jmp_buf *trap_env; /* where riscv_raise() goes; set by whoever steps */
};

/* What a paravirtualized guest shares with the monitor: the page's first bytes. docs/hypercalls.md */
enum { RISCV_SHARED_ON = 1 };
struct riscv_shared {
    uint8_t irq_enabled; /* guest writes: 0 holds interrupts of S-mode off while it is in S-mode, whatever sstatus.SIE is */
    uint8_t irq_pending; /* monitor sets: one was held off; the guest clears it */
};

/* As SBI HSM numbers them. Spec: SBI 2.0, table 9.1 */
enum riscv_hart_state { RISCV_HART_STARTED, RISCV_HART_STOPPED, RISCV_HART_START_PENDING };

extern const struct state_desc riscv_state_desc;

/* Power-on reset: M-mode, pc 0x1000; the board then does what firmware would. Hart 0 runs, the others are stopped if the monitor
 * is their firmware. Spec: volume II 3.4 */
void riscv_cpu_reset(struct riscv_cpu *c);
/* What the monitor as firmware leaves behind: S-mode at pc with paging off, a0 = hart id, a1 = opaque, all that can be delegated
 * delegated, timers and counters open to S-mode. Spec: SBI 2.0, 9.1 */
void riscv_enter_supervisor(struct riscv_cpu *c, uint64_t pc, uint64_t opaque);
/* Recomputes everything derived, drops the TLB. After a load, a reset, or a change from outside. */
void riscv_state_changed(struct riscv_cpu *c);
/* Recomputes the banks; after priv, mstatus or satp changed. */
void riscv_mode_update(struct riscv_cpu *c);

/* ---- interrupts, time ---- */
/* A wire to a hart (irq_fn; opaque: struct riscv_cpu, pin: IRQ_*). Any thread. */
void riscv_set_wire(void *opaque, unsigned pin, bool level);
/* mip as it reads. */
uint64_t riscv_mip(const struct riscv_cpu *c);
/* Sets or clears bits of `soft` (MIP_S) and has the hart look. Any thread. */
void riscv_set_soft(struct riscv_cpu *c, uint32_t bits, bool level);
/* The time CSR: ticks of RISCV_TIMEBASE since the machine started. */
uint64_t riscv_time(const struct riscv_cpu *c);
/* stimecmp, menvcfg.STCE or time changed: STIP and the timer follow. Takes the machine's lock. */
void riscv_stimer_update(struct riscv_cpu *c);

static inline uint64_t riscv_counter_get(const struct riscv_cpu *c, const struct riscv_counter *n, bool held)
{
    return held ? n->held : c->insns - n->base;
}

#endif
