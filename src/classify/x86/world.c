/* SPDX-License-Identifier: MIT */
/*
 * The small machine that experiments are made on: see world.h.
 *
 * A run copies the state in, calls the instruction's step function, and copies the state out. Descriptors have their accessed
 * bit set, and page table entries A and D, so that these do not change by themselves.
 */
#include "classify/x86/world.h"

#include <setjmp.h>
#include <string.h>

#include "isa/x86/blocks.h"
#include "isa/x86/isa.h"
#include "isa/x86/seg.h"
#include "isa/x86/tlb.h"

enum { RAM = 2 << 20, FRAME_BASE = 0x10000, FRAME_BASE_OTHER = 0x180000, TABLES_AT = 0x8000000, TABLES_AT_OTHER = 0x9000000 };
enum { PTE_SUPERVISOR = 0x63, PTE_USER = 0x67, PTE_CODE = 0x65 }; /* present, writable, accessed, dirty */
enum frame {
    FRAME_PML4,
    FRAME_PDPT,
    FRAME_PD,
    FRAME_PT_LOW,
    FRAME_PT_TABLES,
    FRAME_CODE,
    FRAME_DATA,
    FRAME_GDT,
    FRAME_LDT,
    FRAME_TSS,
    FRAME_KERNEL_STACK,
    FRAME_IDT,
    FRAME_LAST = FRAME_IDT
};
enum { IDT_GATES = sizeof(((struct x86_world_tables *)0)->idt) / 16, TSS_LIMIT = 0x67, TSS_RSP0 = 4, TSS_IO_MAP = 102 };

static gpa_t frame_at(const struct x86_world *w, enum frame f)
{
    return w->layout ? FRAME_BASE_OTHER - (gpa_t)f * 0x2000 : FRAME_BASE + (gpa_t)f * 0x1000;
}

static uint8_t *frame_host(const struct x86_world *w, enum frame f)
{
    return w->vm.gmem.host + frame_at(w, f);
}

/* Linear address of a frame of the supervisor's. */
static gva_t table_at(const struct x86_world *w, enum frame f)
{
    return w->tables_at + (gva_t)(f - FRAME_GDT) * GPAGE_SIZE;
}

static void put64(uint8_t *at, uint64_t v)
{
    memcpy(at, &v, 8);
}

/* ---- devices ---- */

static uint64_t port_read(void *dev, uint64_t offset, unsigned size)
{
    struct x86_world_devices *d = dev;
    (void)size;
    d->accesses++;
    return d->value + offset;
}

static void port_write(void *dev, uint64_t offset, uint64_t value, unsigned size)
{
    struct x86_world_devices *d = dev;
    d->accesses++;
    d->last = offset << 40 | (uint64_t)size << 32 | (uint32_t)value;
}

static const struct io_ops port_ops = { .read = port_read, .write = port_write, .min_size = 1, .max_size = 4 };

static int intc_none(void *intc)
{
    (void)intc;
    return -1;
}

static uint8_t intc_tpr_get(void *intc)
{
    return (uint8_t)((struct x86_world_devices *)intc)->tpr;
}

static void intc_tpr_set(void *intc, uint8_t cr8)
{
    ((struct x86_world_devices *)intc)->tpr = cr8;
}

static bool intc_msr_read(void *intc, uint32_t msr, uint64_t *ret_value)
{
    (void)msr;
    *ret_value = ((struct x86_world_devices *)intc)->msr;
    return true;
}

static bool intc_msr_write(void *intc, uint32_t msr, uint64_t value)
{
    (void)msr;
    ((struct x86_world_devices *)intc)->msr = value;
    return true;
}

static const struct vcpu_intc_ops intc_ops = { intc_none, intc_none, intc_tpr_get, intc_tpr_set, intc_msr_read, intc_msr_write };

/* ---- the supervisor's tables ---- */

static void set_desc(struct x86_world_tables *t, unsigned sel, uint64_t base, uint32_t limit, unsigned access, unsigned flags)
{
    uint64_t lo = (limit & 0xffff) | (base & 0xffffff) << 16 | (uint64_t)access << 40 | (uint64_t)(limit >> 16 & 15) << 48
                  | (uint64_t)flags << 52 | (base >> 24 & 0xff) << 56;
    put64(t->gdt + (sel & ~7U), lo);
    if (!(access & 0x10)) /* a system descriptor: 16 bytes */
        put64(t->gdt + (sel & ~7U) + 8, base >> 32);
}

static uint64_t gate_lo(uint64_t at, unsigned sel, unsigned access)
{
    return (at & 0xffff) | (uint64_t)sel << 16 | (uint64_t)access << 40 | (at >> 16 & 0xffff) << 48;
}

static void make_gdt(const struct x86_world *w, struct x86_world_tables *t)
{
    enum { LONG = 0xa, WIDE = 0xc }; /* G and L; G and D */
    set_desc(t, SEL_CODE0, 0, 0xfffff, 0x9b, LONG);
    set_desc(t, SEL_DATA0, 0, 0xfffff, 0x93, WIDE);
    set_desc(t, SEL_CODE3, 0, 0xfffff, 0xfb, LONG);
    set_desc(t, SEL_DATA3, 0, 0xfffff, 0xf3, WIDE);
    set_desc(t, SEL_CODE3_32, 0, 0xfffff, 0xfb, WIDE);
    set_desc(t, SEL_CODE0_32, 0, 0xfffff, 0x9b, WIDE);
    set_desc(t, SEL_CONFORMING, 0, 0xfffff, 0x9f, LONG);
    set_desc(t, SEL_EXECUTE_ONLY, 0, 0xfffff, 0xf9, LONG);
    set_desc(t, SEL_READ_ONLY, 0, 0xfffff, 0xf1, WIDE);
    set_desc(t, SEL_ABSENT, 0, 0xfffff, 0x73, WIDE);
    set_desc(t, SEL_LDT, table_at(w, FRAME_LDT), sizeof(t->ldt) - 1, 0x82, 0);
    set_desc(t, SEL_TSS, table_at(w, FRAME_TSS), TSS_LIMIT, 0x89, 0);
    set_desc(t, SEL_TSS_BUSY, table_at(w, FRAME_TSS), TSS_LIMIT, 0x8b, 0);
    put64(t->gdt + SEL_GATE, gate_lo(WORLD_ENTRY, SEL_CODE0, 0xec));
    set_desc(t, SEL_SMALL, 0x1000, 0x7ff, 0xf3, 4);
    set_desc(t, SEL_LDT2, table_at(w, FRAME_LDT), 31, 0x82, 0);
    memcpy(t->ldt + (SEL_IN_LDT & ~7U), t->gdt + SEL_DATA3, 8);
}

/* Programs may use 3, 4 and 0x80, as under Linux. */
static void make_idt(struct x86_world_tables *t)
{
    for (unsigned n = 0; n < IDT_GATES; n++) {
        bool open = n == 3 || n == 4 || n == 0x80;
        unsigned type = n % 4 < 2 ? SYS_INT : SYS_TRAP;
        put64(t->idt + 16 * n, gate_lo(WORLD_ENTRY + n, SEL_CODE0, (open ? 0xe0 : 0x80) | type));
    }
}

static void make_tables(const struct x86_world *w, struct x86_world_tables *t)
{
    const uint16_t io_map = TSS_LIMIT + 1;
    memset(t, 0, sizeof(*t));
    make_gdt(w, t);
    make_idt(t);
    put64(t->tss + TSS_RSP0, table_at(w, FRAME_KERNEL_STACK) + sizeof(t->kernel_stack));
    memcpy(t->tss + TSS_IO_MAP, &io_map, 2);
}

/* ---- making ---- */

static void map(struct x86_world *w, enum frame table, gva_t lin, enum frame page, unsigned flags)
{
    put64(frame_host(w, table) + (lin >> 12 & 511) * 8, frame_at(w, page) | flags);
}

static void make_page_tables(struct x86_world *w)
{
    put64(frame_host(w, FRAME_PML4), frame_at(w, FRAME_PDPT) | PTE_USER);
    put64(frame_host(w, FRAME_PDPT), frame_at(w, FRAME_PD) | PTE_USER);
    put64(frame_host(w, FRAME_PD) + 8 * (WORLD_CODE >> 21), frame_at(w, FRAME_PT_LOW) | PTE_USER);
    put64(frame_host(w, FRAME_PD) + 8 * (w->tables_at >> 21), frame_at(w, FRAME_PT_TABLES) | PTE_USER);
    map(w, FRAME_PT_LOW, WORLD_CODE, FRAME_CODE, PTE_CODE);
    memset(frame_host(w, FRAME_CODE), 0xcc, GPAGE_SIZE);
    map(w, FRAME_PT_LOW, WORLD_DATA, FRAME_DATA, PTE_USER);
    for (enum frame f = FRAME_GDT; f <= FRAME_LAST; f++)
        map(w, FRAME_PT_TABLES, table_at(w, f), f, PTE_SUPERVISOR);
    w->root = frame_at(w, FRAME_PML4);
}

int x86_world_init(struct x86_world *w, unsigned layout, struct error *err)
{
    memset(w, 0, sizeof(*w));
    w->layout = layout;
    w->tables_at = layout ? TABLES_AT_OTHER : TABLES_AT;
    int r = vm_init(&w->vm, NULL, err);
    if (r < 0)
        return r;
    vm_clock_set_manual(&w->vm.clock);
    w->vcpu = (struct vcpu){ .vm = &w->vm, .isa = &x86_isa_ops, .intc = &intc_ops, .intc_dev = &w->devices };
    w->vm.nr_vcpus = 1;
    r = gmem_init(&w->vm.gmem, RAM, err);
    if (r >= 0)
        r = gmem_add_slot(&w->vm.gmem, 0, RAM, 0, err);
    if (r >= 0)
        r = bus_map(&w->vm.pio, 0, 0x10000, &port_ops, &w->devices, "ports", err);
    if (r >= 0)
        r = x86_profile_make("max", &w->profile, err);
    if (r >= 0)
        r = x86_isa_ops.cpu_new(&w->vcpu, &w->profile, err);
    if (r < 0)
        return r;
    w->fresh = *(const struct x86_cpu *)w->vcpu.cpu;
    make_tables(w, &w->first_tables);
    make_page_tables(w);
    return 0;
}

void x86_world_done(struct x86_world *w)
{
    if (w->vcpu.isa)
        x86_isa_ops.cpu_free(&w->vcpu);
    if (w->vcpu.vm)
        vm_done(&w->vm);
    w->vcpu = (struct vcpu){ .vm = NULL };
}

/* ---- how a state begins ---- */

static struct x86_seg segment(const struct x86_world_tables *t, unsigned sel)
{
    struct x86_desc d = { .sel = (uint16_t)sel };
    memcpy(&d.lo, t->gdt + (sel & ~7U), 8);
    if (!(desc_type(&d) & SEG_S))
        memcpy(&d.hi, t->gdt + (sel & ~7U) + 8, 8);
    return x86_desc_to_seg(&d, (uint16_t)sel);
}

static void set_segments(struct x86_cpu *c, const struct x86_world_tables *t, enum x86_mode mode, unsigned cpl)
{
    unsigned code0 = mode == X86_MODE_64 ? SEL_CODE0 : SEL_CODE0_32, code3 = mode == X86_MODE_64 ? SEL_CODE3 : SEL_CODE3_32;
    for (unsigned s = SEG_ES; s <= SEG_GS; s++)
        c->seg[s] = segment(t, SEL_DATA3 | 3);
    c->seg[SEG_CS] = segment(t, cpl ? code3 | 3 : code0);
    c->seg[SEG_SS] = segment(t, cpl ? SEL_DATA3 | 3 : SEL_DATA0);
    c->seg[SEG_LDTR] = segment(t, SEL_LDT);
    c->seg[SEG_TR] = segment(t, SEL_TSS_BUSY);
}

void x86_world_begin(const struct x86_world *w, enum x86_mode mode, unsigned cpl, bool umip, struct x86_world_state *s)
{
    struct x86_cpu *c = &s->cpu;
    memset(s, 0, sizeof(*s));
    s->tables = w->first_tables;
    *c = w->fresh;
    set_segments(c, &s->tables, mode, cpl);
    c->gdtr = (struct x86_table_reg){ .base = table_at(w, FRAME_GDT), .limit = SEL_END - 1 };
    c->idtr = (struct x86_table_reg){ .base = table_at(w, FRAME_IDT), .limit = sizeof(s->tables.idt) - 1 };
    c->cr0 = CR0_PE | CR0_PG | CR0_ET | CR0_NE | CR0_WP | CR0_MP;
    c->cr3 = w->root;
    c->cr4 = CR4_PAE | CR4_PGE | CR4_OSFXSR | CR4_OSXMMEXCPT | CR4_OSXSAVE | CR4_FSGSBASE | CR4_TSD | (umip ? CR4_UMIP : 0);
    c->efer = EFER_LME | EFER_LMA | EFER_NXE | EFER_SCE;
    c->xcr0 = w->profile.xcr0;
    c->star = (uint64_t)SEL_CODE3_32 << 48 | (uint64_t)SEL_CODE0 << 32;
    c->lstar = c->cstar = WORLD_ENTRY + 0x200;
    c->fmask = FLAG_IF;
    c->sysenter_cs = SEL_CODE0;
    c->sysenter_eip = WORLD_ENTRY + 0x300;
    c->sysenter_esp = table_at(w, FRAME_KERNEL_STACK) + sizeof(s->tables.kernel_stack);
    c->fpu.fcw = 0x37f;
    c->fpu.ftw = 0;
    c->rflags = FLAG_ONE | FLAG_IF;
    c->gpr[RDX] = 0;
    c->rip = WORLD_RIP;
    s->devices = (struct x86_world_devices){ .value = 0x5a, .tpr = 3, .msr = 0xfee00900 };
}

/* ---- running ---- */

static uint64_t flushes(const struct x86_tlb *t)
{
    return t->flushes + t->page_flushes + t->switches;
}

static void copy_memory(struct x86_world *w, struct x86_world_state *s, bool in)
{
    const struct {
        void *at;
        size_t size;
        enum frame frame;
    } parts[] = {
        { s->program.data, GPAGE_SIZE, FRAME_DATA },
        { s->tables.gdt, sizeof(s->tables.gdt), FRAME_GDT },
        { s->tables.ldt, sizeof(s->tables.ldt), FRAME_LDT },
        { s->tables.tss, sizeof(s->tables.tss), FRAME_TSS },
        { s->tables.kernel_stack, sizeof(s->tables.kernel_stack), FRAME_KERNEL_STACK },
        { s->tables.idt, sizeof(s->tables.idt), FRAME_IDT },
    };
    for (unsigned n = 0; n < sizeof(parts) / sizeof(parts[0]); n++) {
        uint8_t *host = frame_host(w, parts[n].frame);
        if (in)
            memcpy(host, parts[n].at, parts[n].size);
        else
            memcpy(parts[n].at, host, parts[n].size);
    }
}

/* The CPU takes the state on; what is derived, and the links to its surroundings, stay its own. */
static void load(struct x86_world *w, const struct x86_world_state *s)
{
    struct x86_cpu *c = w->vcpu.cpu;
    uint64_t asid = c->asid;
    *c = s->cpu;
    c->tlb = w->fresh.tlb;
    c->vcpu = w->fresh.vcpu;
    c->gmem = w->fresh.gmem;
    c->profile = w->fresh.profile;
    c->asid = asid;
    copy_memory(w, (struct x86_world_state *)s, true); /* only read from */
    memcpy(frame_host(w, FRAME_CODE) + (WORLD_RIP - WORLD_CODE), s->program.code, sizeof(s->program.code));
    w->devices = s->devices;
    if (flushes(c->tlb) != w->flushed) { /* the address space may be another one */
        x86_tlb_flush_all(c);
        w->flushed = flushes(c->tlb);
    }
    x86_mode_update(c);
}

void x86_world_decode(struct x86_world *w, const struct x86_world_state *s, struct x86_insn *ret_insn)
{
    load(w, s);
    (void)x86_blocks_decode(w->vcpu.cpu, s->program.code, X86_INSN_MAX, ret_insn); /* 15 are enough */
}

void x86_world_run(struct x86_world *w, const struct x86_world_state *from, struct experiment_outcome *o,
                   struct x86_world_state *ret_state)
{
    struct x86_cpu *c = w->vcpu.cpu;
    struct x86_insn i;
    jmp_buf env;

    x86_world_decode(w, from, &i);
    o->trapped = true;
    c->trap_env = &env;
    if (_setjmp(env) == 0) {
        c->next_rip = c->rip + i.len;
        i.step(c, &i);
        c->rip = c->next_rip & c->ip_mask;
        o->trapped = false;
    }
    o->cause = c->trap.vector;
    o->has_error = c->trap.has_error;
    o->error = c->trap.error;
    o->flushes = flushes(c->tlb) - w->flushed;
    if (o->trapped)
        return;
    ret_state->cpu = *c;
    memcpy(ret_state->program.code, from->program.code, sizeof(ret_state->program.code));
    ret_state->devices = w->devices;
    copy_memory(w, ret_state, false);
}
