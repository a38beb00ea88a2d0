/* SPDX-License-Identifier: MIT */
/*
 * A bare x86 CPU with a little RAM, descriptor tables and stacks, for tests of the protection machinery.
 *
 * One address map serves all modes; paging (long mode only) maps the low 2 MiB one to one, for users too.
 */
#ifndef DOPPEL_TESTS_PROTECTION_H
#define DOPPEL_TESTS_PROTECTION_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "isa/x86/far.h"
#include "isa/x86/insn_steps.h"
#include "isa/x86/step.h"

/* ---- address map ---- */
enum {
    AT_GDT = 0x1000, AT_IDT = 0x2000, AT_TSS = 0x3000, AT_TSS2 = 0x3800, AT_LDT = 0x4000,
    AT_CODE = 0x5000,    /* where the program stands */
    AT_HANDLER = 0x6000, /* where gates point */
    AT_STACK0 = 0x8000, AT_STACK3 = 0x9000, AT_IST1 = 0xa000, AT_STACK_OTHER = 0xb000, AT_DATA = 0xc000,
    AT_PML4 = 0x10000, AT_PDPT = 0x11000, AT_PD = 0x12000, AT_PT = 0x13000,
    RAM_BYTES = 0x200000,
};
#define UNMAPPED 0x300000UL /* in long mode */

/* ---- selectors ---- */
enum {
    CODE0 = 0x08, DATA0 = 0x10, CODE3 = 0x18 | 3, DATA3 = 0x20 | 3, CODE0_64 = 0x28, CODE3_64 = 0x30 | 3,
    CONFORMING = 0x38, TSS = 0x40 /* 16 bytes */, CODE0_16 = 0x50, DATA0_16 = 0x58, SPARE = 0x60 /* 16 bytes */,
    TSS2 = 0x70, SPARE2 = 0x78, LDT = 0x80 /* 16 bytes */, NOT_PRESENT = 0x90, CODE_BOTH_L_D = 0x98, GDT_LIMIT = 0xbf,
};

struct machine {
    struct x86_cpu c;
    struct gmem gm;
};

static inline void put(struct machine *m, gpa_t at, uint64_t v, unsigned size)
{
    memcpy(m->gm.host + at, &v, size);
}

static inline uint64_t get(struct machine *m, gpa_t at, unsigned size)
{
    uint64_t v = 0;
    memcpy(&v, m->gm.host + at, size);
    return v;
}

/* access: type byte; flags: G, D/B, L, AVL as the upper nibble of byte 6 */
static inline uint64_t descriptor(uint32_t base, uint32_t limit, unsigned access, unsigned flags)
{
    return (limit & 0xffff) | (uint64_t)(base & 0xffffff) << 16 | (uint64_t)access << 40 | (uint64_t)(limit >> 16 & 15) << 48 |
           (uint64_t)flags << 52 | (uint64_t)(base >> 24) << 56;
}

static inline void gdt_set(struct machine *m, uint16_t sel, uint64_t d)
{
    put(m, AT_GDT + (sel & 0xfff8), d, 8);
}

static inline uint64_t gdt_get(struct machine *m, uint16_t sel)
{
    return get(m, AT_GDT + (sel & 0xfff8), 8);
}

/* A 16- or 32-bit gate; access e.g. 0x8e: present, DPL 0, 32-bit interrupt gate. */
static inline uint64_t gate(uint16_t sel, uint32_t off, unsigned access, unsigned count)
{
    return (off & 0xffff) | (uint64_t)sel << 16 | (uint64_t)count << 32 | (uint64_t)access << 40 | (uint64_t)(off >> 16) << 48;
}

static inline void idt_set(struct machine *m, unsigned vector, uint16_t sel, uint32_t off, unsigned access)
{
    put(m, AT_IDT + vector * 8, gate(sel, off, access, 0), 8);
}

static inline void idt_set64(struct machine *m, unsigned vector, uint16_t sel, uint64_t off, unsigned access, unsigned ist)
{
    put(m, AT_IDT + vector * 16, gate(sel, (uint32_t)off, access, ist), 8);
    put(m, AT_IDT + vector * 16 + 8, off >> 32, 8);
}

static inline void load_seg_raw(struct machine *m, enum x86_seg_reg reg, uint16_t sel)
{
    struct x86_desc d = { .lo = gdt_get(m, sel), .sel = sel };
    m->c.seg[reg] = x86_desc_to_seg(&d, sel);
}

static inline void machine_tables(struct machine *m)
{
    gdt_set(m, CODE0, descriptor(0, 0xfffff, 0x9b, 0xc));
    gdt_set(m, DATA0, descriptor(0, 0xfffff, 0x93, 0xc));
    gdt_set(m, CODE3, descriptor(0, 0xfffff, 0xfb, 0xc));
    gdt_set(m, DATA3, descriptor(0, 0xfffff, 0xf3, 0xc));
    gdt_set(m, CODE0_64, descriptor(0, 0xfffff, 0x9b, 0xa));
    gdt_set(m, CODE3_64, descriptor(0, 0xfffff, 0xfb, 0xa));
    gdt_set(m, CONFORMING, descriptor(0, 0xfffff, 0x9f, 0xc));
    gdt_set(m, CODE0_16, descriptor(0, 0xffff, 0x9b, 0));
    gdt_set(m, DATA0_16, descriptor(0, 0xffff, 0x93, 0));
    gdt_set(m, NOT_PRESENT, descriptor(0, 0xfffff, 0x13, 0xc));
    gdt_set(m, CODE_BOTH_L_D, descriptor(0, 0xfffff, 0x9b, 0xe));
    m->c.gdtr = (struct x86_table_reg){ .base = AT_GDT, .limit = GDT_LIMIT };
    m->c.idtr = (struct x86_table_reg){ .base = AT_IDT, .limit = 0xfff };
}

static inline struct machine *machine_new(void)
{
    struct machine *m = calloc(1, sizeof(*m));
    assert_non_null(m);
    assert_int_equal(gmem_init(&m->gm, RAM_BYTES, NULL), 0);
    assert_int_equal(gmem_add_slot(&m->gm, 0, RAM_BYTES, 0, NULL), 0);
    m->c.gmem = &m->gm;
    m->c.tlb = x86_tlb_new();
    assert_non_null(m->c.tlb);
    m->c.rflags = FLAG_ONE;
    m->c.dr6 = 0xffff0ff0;
    m->c.dr7 = 0x400;
    m->c.rip = AT_CODE;
    machine_tables(m);
    return m;
}

static inline void machine_free(struct machine *m)
{
    x86_tlb_free(m->c.tlb);
    gmem_done(&m->gm);
    free(m);
}

static inline struct machine *machine_real(void)
{
    struct machine *m = machine_new();
    for (unsigned n = 0; n < 6; n++)
        m->c.seg[n] = (struct x86_seg){ .limit = 0xffff, .attr = SEG_P | SEG_S | SEG_TYPE_RW | SEG_TYPE_A };
    m->c.seg[SEG_LDTR] = m->c.seg[SEG_TR] = (struct x86_seg){ .attr = SEG_UNUSABLE };
    m->c.gpr[RSP] = AT_STACK0;
    m->c.idtr = (struct x86_table_reg){ .base = 0, .limit = 0x3ff };
    x86_mode_update(&m->c);
    return m;
}

static inline void set_ring(struct machine *m, unsigned cpl, uint16_t code, uint16_t data)
{
    load_seg_raw(m, SEG_CS, code);
    for (unsigned n = 0; n < 6; n++)
        if (n != SEG_CS)
            load_seg_raw(m, n, data);
    m->c.gpr[RSP] = cpl == 0 ? AT_STACK0 : AT_STACK3;
    x86_mode_update(&m->c);
    assert_int_equal(m->c.cpl, cpl);
}

/* 32-bit protected mode without paging, flat segments; TR holds a 32-bit TSS whose ring 0 stack is AT_STACK0. */
static inline struct machine *machine_protected(unsigned cpl)
{
    struct machine *m = machine_new();
    m->c.cr0 = CR0_PE;
    gdt_set(m, TSS, descriptor(AT_TSS, 0x67, 0x8b, 0));
    put(m, AT_TSS + 4, AT_STACK0, 4);
    put(m, AT_TSS + 8, DATA0, 2);
    load_seg_raw(m, SEG_TR, TSS);
    m->c.seg[SEG_LDTR] = (struct x86_seg){ .attr = SEG_UNUSABLE };
    set_ring(m, cpl, cpl ? CODE3 : CODE0, cpl ? DATA3 : DATA0);
    return m;
}

/* Long mode; RSP0 = AT_STACK0, IST1 = AT_IST1. wide: a 64-bit code segment. */
static inline struct machine *machine_long(unsigned cpl, bool wide)
{
    struct machine *m = machine_new();
    put(m, AT_PML4, AT_PDPT | 7, 8);
    put(m, AT_PDPT, AT_PD | 7, 8);
    put(m, AT_PD, AT_PT | 7, 8);
    for (unsigned n = 0; n < 512; n++)
        put(m, AT_PT + 8 * n, (uint64_t)n << 12 | 7, 8);
    m->c.cr0 = CR0_PE | CR0_PG | CR0_WP;
    m->c.cr4 = CR4_PAE;
    m->c.cr3 = AT_PML4;
    m->c.efer = EFER_LME | EFER_LMA | EFER_SCE;
    gdt_set(m, TSS, descriptor(AT_TSS, 0x67, 0x8b, 0));
    put(m, AT_TSS + 4, AT_STACK0, 8);
    put(m, AT_TSS + 36, AT_IST1, 8);
    load_seg_raw(m, SEG_TR, TSS);
    m->c.seg[SEG_LDTR] = (struct x86_seg){ .attr = SEG_UNUSABLE };
    if (cpl)
        set_ring(m, 3, wide ? CODE3_64 : CODE3, DATA3);
    else
        set_ring(m, 0, wide ? CODE0_64 : CODE0, DATA0);
    return m;
}

/* Executes one step function as the run loop does; false when it raised (c.trap says what, rip stays). */
static inline bool step(struct machine *m, x86_step_fn fn, const struct x86_insn *i)
{
    struct x86_cpu *c = &m->c;
    jmp_buf env;
    c->trap_env = &env;
    if (setjmp(env))
        return false;
    c->next_rip = c->rip + i->len;
    fn(c, i);
    c->rip = c->next_rip & c->ip_mask;
    return true;
}

static inline void expect_trap(struct machine *m, unsigned vector, uint32_t error)
{
    assert_int_equal(m->c.trap.vector, vector);
    assert_true(m->c.trap.has_error);
    assert_int_equal(m->c.trap.error, error);
}

/* Delivers an exception as the run loop does after one was raised. */
static inline void fault(struct machine *m, unsigned vector, bool has_error, uint32_t error)
{
    m->c.trap = (struct x86_trap){ .vector = (uint8_t)vector, .has_error = has_error, .error = error };
    x86_deliver_trap(&m->c);
}

/* x86_enter() of a hardware interrupt, exposing what the entry itself raises. */
static inline bool enter(struct machine *m, unsigned vector, enum x86_event event)
{
    jmp_buf env;
    m->c.trap_env = &env;
    if (setjmp(env))
        return false;
    x86_enter(&m->c, vector, event, false, 0);
    return true;
}

#endif
