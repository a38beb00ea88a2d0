/* SPDX-License-Identifier: MIT */
/*
 * The small machine that experiments are made on: a reference CPU, a program's memory, a supervisor's tables, some devices.
 *
 * Two worlds of different layout hold the same program at the same linear addresses, but in other physical pages, with the page
 * tables and the supervisor's tables elsewhere: they are what "location" means (docs/theory.md). A state is complete: to run
 * from it twice gives the same outcome, as far as the instruction has one.
 *
 * A world or a state is aligned to 64 bytes (vector registers).
 * One thread. Not for a guest: nothing here is hostile.
 */
#ifndef DOPPEL_CLASSIFY_X86_WORLD_H
#define DOPPEL_CLASSIFY_X86_WORLD_H

#include "classify/experiment.h"
#include "core/vcpu.h"
#include "core/vm.h"
#include "isa/x86/decode.h"
#include "isa/x86/profile.h"

/* Linear addresses of the program, in every world. The pages around them are not mapped. */
enum {
    WORLD_CODE = 0x400000,
    WORLD_RIP = WORLD_CODE + 0x100,
    WORLD_ENTRY = WORLD_CODE + 0x800, /* handlers: vector n at WORLD_ENTRY + n */
    WORLD_DATA = 0x500000,
    WORLD_STACK = WORLD_DATA + 0xc00, /* to the page's end */
    WORLD_CODE_SIZE = 16,             /* from WORLD_RIP on; its page cannot be written, and is int3 else */
    WORLD_DATA_SIZE = 0x1000,
};

/* Selectors of the GDT (and the LDT's) that every world begins with; those that a program can load are where Linux has them, so
 * that the host's CPU can be asked about the same states. */
enum {
    SEL_CODE0_32 = 0x08,
    SEL_CODE0 = 0x10,
    SEL_DATA0 = 0x18,
    SEL_CODE3_32 = 0x20,
    SEL_DATA3 = 0x28,
    SEL_CODE3 = 0x30,
    SEL_TSS_BUSY = 0x40,
    SEL_LDT = 0x50,
    SEL_CONFORMING = 0x60,
    SEL_EXECUTE_ONLY = 0x68,
    SEL_READ_ONLY = 0x70,
    SEL_ABSENT = 0x78,
    SEL_TSS = 0x80,
    SEL_GATE = 0x90,
    SEL_SMALL = 0xa0,
    SEL_LDT2 = 0xa8,
    SEL_END = 0xb8,
    SEL_IN_LDT = 0x0c,
};

struct x86_world_program {
    uint8_t code[WORLD_CODE_SIZE], data[WORLD_DATA_SIZE];
};

/* The supervisor's memory: resource state. */
struct x86_world_tables {
    uint8_t gdt[256], ldt[64], tss[128], kernel_stack[512], idt[0x90 * 16];
};

/* Devices: 64 Ki ports that give a value and take one, a task priority, an MSR of the interrupt controller. Resource state. */
struct x86_world_devices {
    uint64_t value, accesses, last, tpr, msr;
};

struct x86_world_state {
    struct x86_cpu cpu; /* its declared fields; the rest is the world's own */
    struct x86_world_program program;
    struct x86_world_tables tables;
    struct x86_world_devices devices;
};

struct x86_world {
    struct vm vm;
    struct vcpu vcpu;
    struct x86_world_devices devices;
    struct x86_profile profile;
    struct x86_cpu fresh; /* as reset leaves it */
    struct x86_world_tables first_tables;
    unsigned layout;  /* 0 or 1 */
    gva_t tables_at;  /* linear */
    gpa_t root;       /* of the page tables */
    uint64_t flushed; /* of the TLB, so far */
};

/* -ENOMEM and what the CPU model needs. Half-made worlds may be given to x86_world_done(). */
MUST_CHECK int x86_world_init(struct x86_world *w, unsigned layout, struct error *err);
void x86_world_done(struct x86_world *w);

/* How a state begins: 64-bit or 32-bit (compatibility mode) code, CPL 0 or 3, registers and program memory 0, and the setting of
 * a monitor that lets as much trap as it can: IOPL 0, no I/O permissions, CR4.TSD; UMIP where asked for. */
void x86_world_begin(const struct x86_world *w, enum x86_mode mode, unsigned cpl, bool umip, struct x86_world_state *ret_state);
/* Executes the instruction whose bytes stand at WORLD_RIP; ret_state is written when it did not trap. */
void x86_world_run(struct x86_world *w, const struct x86_world_state *from, struct experiment_outcome *ret_outcome,
                   struct x86_world_state *ret_state);
/* Decodes it as a CPU of that state does. */
void x86_world_decode(struct x86_world *w, const struct x86_world_state *s, struct x86_insn *ret_insn);

#endif
