/* SPDX-License-Identifier: MIT */
/*
 * lockstep_test's machines: see lockstep_machine.h and lockstep_layout.h.
 */
#include "lockstep_machine.h"

#include <stdio.h>
#include <stdlib.h>

#include "isa/x86/disasm.h"
#include "isa/x86/hostexec.h"
#include "support/dead_flags.h"

extern const uint8_t lockstep_guest[], lockstep_guest_end[], lockstep_int_log[], lockstep_int_pause[], lockstep_int_end[],
    lockstep_irq[], lockstep_syscall[];

enum { PTE_P = 1, PTE_W = 2, PTE_U = 4, PTE_A = 0x20, PTE_D = 0x40, PTE_PS = 0x80, PTE_G = 0x100 };
#define PTE_NX (1ULL << 63)
#define V(p) (LS_V_KERNEL + (p)-LS_P_KERNEL)
#define V_HANDLER(symbol) (LS_V_KERNEL + (uint64_t)((symbol)-lockstep_guest))

/* ---- device and interrupt line ---- */

static uint64_t device_read(void *dev, uint64_t offset, unsigned size)
{
    struct ls_machine *m = dev;
    (void)size;
    return (++m->device_accesses * 0x9e3779b97f4a7c15ULL) ^ offset;
}

static void device_write(void *dev, uint64_t offset, uint64_t value, unsigned size)
{
    struct ls_machine *m = dev;
    m->device_sum = (m->device_sum ^ value ^ offset ^ size) * 0x9e3779b97f4a7c15ULL + ++m->device_accesses;
}

static const struct io_ops device_ops = { .read = device_read, .write = device_write, .min_size = 1, .max_size = 8 };

static int irq_poll(void *intc)
{
    return ((struct ls_machine *)intc)->irq ? LS_INT_IRQ : -1;
}

static int irq_accept(void *intc)
{
    struct ls_machine *m = intc;
    int vector = irq_poll(m);
    m->irq = false;
    return vector;
}

static uint8_t no_tpr(void *intc)
{
    (void)intc;
    return 0;
}

static void set_no_tpr(void *intc, uint8_t cr8)
{
    (void)intc;
    (void)cr8;
}

static bool no_msr_read(void *intc, uint32_t msr, uint64_t *ret_value)
{
    (void)intc;
    (void)msr;
    *ret_value = 0;
    return false;
}

static bool no_msr_write(void *intc, uint32_t msr, uint64_t value)
{
    (void)intc;
    (void)msr;
    (void)value;
    return false;
}

static const struct vcpu_intc_ops intc_ops = {
    .poll = irq_poll,
    .accept = irq_accept,
    .tpr_get = no_tpr,
    .tpr_set = set_no_tpr,
    .msr_read = no_msr_read,
    .msr_write = no_msr_write,
};

void ls_raise_irq(struct ls_machine *m)
{
    m->irq = true;
    vcpu_request(m->b.vcpu, VCPU_REQ_IRQ);
}

/* ---- life ---- */

void ls_machine_init(struct ls_machine *m, const struct engine_ops *engine, uint64_t code_cache)
{
    struct error err = { 0 };
    memset(m, 0, sizeof(*m));
    assert_int_equal(hostexec_init(&err), 0); /* each time: cmocka takes the signals for every test */
    bare_init_cache(&m->b, engine, code_cache);
    if (engine->translates && getenv("LOCKSTEP_TRACE")) {
        m->b.vm.trace_code = getenv("LOCKSTEP_TRACE");
        bare_renew(&m->b);
    }
    assert_int_equal(bus_map(&m->b.vm.mmio, LS_P_DEVICE, 4096, &device_ops, m, "test", &err), 0);
    assert_int_equal(x86_profile_make("x86-64-v3", &m->small, &err), 0);
    assert_int_equal(x86_profile_make("max", &m->max, &err), 0);
    m->small.has[X86_FEAT_AVX2] = m->small.has[X86_FEAT_BMI2] = m->small.has[X86_FEAT_SSE4_1] = false;
    m->b.vcpu->intc = &intc_ops;
    m->b.vcpu->intc_dev = m;
}

void ls_machine_done(struct ls_machine *m)
{
    x86_run_free(m->other);
    bare_done(&m->b);
}

/* ---- memory ---- */

static void poke(struct ls_machine *m, gpa_t at, uint64_t v)
{
    memcpy(ls_ram(m) + at, &v, 8);
}

static void map_window(struct ls_machine *m, const struct ls_program *p)
{
    /* neighbours are no neighbours in memory; what change_mapping() exchanges is 2 with 3, 4 with 5 */
    static const uint8_t frame[LS_DATA_KINDS] = { 3, 0, 5, 1, 4, 2, 6, 6, 7, 0, 0, 1, 2, 3, 4, 5 };
    const gpa_t table = LS_P_TABLES + 0x3000;
    const uint64_t u = p->kernel_only ? 0 : PTE_U;
    for (unsigned k = 0; k < LS_CODE_PAGES; k++) {
        gpa_t at = LS_P_CODE + (k << 12);
        poke(m, table + 8 * (LS_W_CODE + k), at | PTE_P | u | (p->code_writable ? PTE_W : 0));
        poke(m, table + 8 * (LS_W_CODE_ALIAS + k), at | PTE_P | u | PTE_W | PTE_NX);
    }
    poke(m, table + 8 * LS_W_COUNTERS, LS_P_COUNTERS | PTE_P | u | PTE_W | PTE_NX);
    for (unsigned k = 0; k < LS_DATA_KINDS; k++) {
        uint64_t e = (LS_P_DATA + (gpa_t)frame[k] * 4096) | PTE_P | PTE_W | PTE_U | PTE_NX;
        if (p->kernel_only && k % 2)
            e &= ~(uint64_t)PTE_U;
        switch (k) {
        case 6:
        case 11: e &= ~(uint64_t)PTE_W; break;
        case 7: e &= ~(uint64_t)PTE_P; break;
        case 8: e &= ~(uint64_t)PTE_U; break;
        case 9: e = LS_P_DEVICE | PTE_P | PTE_W | PTE_U | PTE_NX; break;
        default: break;
        }
        poke(m, table + 8 * (LS_W_DATA + k), e);
    }
}

/* What address space k has of its own. */
static void map_space(struct ls_machine *m, const struct ls_program *p, unsigned k)
{
    const gpa_t table = LS_P_SPACE_TABLES + k * 0x1000ULL;
    const uint64_t u = p->kernel_only ? 0 : PTE_U, data = PTE_P | PTE_W | PTE_NX | u;
    for (unsigned n = 0; n < 5; n++)
        poke(m, table + 8 * (LS_S_FUNCTIONS + n), (LS_P_FUNCTIONS + ((n + k) % 4 << 12)) | PTE_P | PTE_W | u);
    for (unsigned n = 0; n < 4; n++)
        poke(m, table + 8 * (LS_S_DATA + n), (LS_P_DATA + ((n + k) % 6 << 12)) | data);
    for (unsigned n = 0; n < 4; n++)
        poke(m, table + 8 * (LS_S_GLOBAL_DATA + n), (LS_P_DATA + (n << 12)) | data | PTE_G);
    for (unsigned n = 0; n < 2; n++)
        poke(m, table + 8 * (LS_S_GLOBAL_FUNCTIONS + n), (LS_P_FUNCTIONS + (n << 12)) | PTE_P | PTE_W | u | PTE_G);
    poke(m, table + 8 * (LS_S_GLOBAL_FUNCTIONS + 2), (LS_P_FUNCTIONS + (k << 12)) | PTE_P | PTE_W | u);
}

/* Space 0 has the tables that map_all() makes. The others' differ from its in one entry of the third level. */
static void map_spaces(struct ls_machine *m, const struct ls_program *p)
{
    const gpa_t t = LS_P_TABLES;
    const uint64_t rwu = PTE_P | PTE_W | PTE_U;
    const unsigned again = 1 + (LS_V_SPACE_AGAIN >> 21);
    poke(m, t + 0x2000 + 8, LS_P_SPACE_TABLES | rwu);
    poke(m, t + 0x2000 + 8 * again, LS_P_SPACE_TABLES | rwu);
    poke(m, t + 0x1000 + 8 * (LS_V_LARGE >> 30), LS_P_LARGE_TABLE | rwu);
    poke(m, LS_P_LARGE_TABLE, PTE_P | PTE_W | PTE_PS | PTE_NX | (p->kernel_only ? 0 : PTE_U) | (p->large_global ? PTE_G : 0));
    for (unsigned k = 1; k < LS_SPACES; k++) {
        gpa_t root = LS_P_ROOTS + (k - 1) * 0x3000ULL;
        memcpy(ls_ram(m) + root, ls_ram(m) + t, 3 * 4096);
        poke(m, root, (root + 0x1000) | rwu);
        poke(m, root + 0x1000 + 8, (root + 0x2000) | rwu);
        poke(m, root + 0x2000 + 8, (LS_P_SPACE_TABLES + k * 0x1000ULL) | rwu);
        poke(m, root + 0x2000 + 8 * again, (LS_P_SPACE_TABLES + k * 0x1000ULL) | rwu);
    }
    for (gpa_t n = 0; n < LS_SPACES; n++) {
        map_space(m, p, (unsigned)n);
        poke(m, t + 0x7000 + 8 * (((LS_V_SPACE_TABLES - LS_V_KERNEL) >> 12) + n),
             (LS_P_SPACE_TABLES + (n << 12)) | PTE_P | PTE_W);
    }
    poke(m, t + 0x7000 + 8 * ((LS_V_LARGE_TABLE - LS_V_KERNEL) >> 12), LS_P_LARGE_TABLE | PTE_P | PTE_W);
}

/* The functions. An instruction at each page's end goes on in the next one, which is another in each space. */
static void fill_functions(struct ls_machine *m)
{
    static const uint8_t begin[] = { 0x11, 0x22, 0x90, 0xc3 };
    static const uint8_t add[] = { 0x05, 1, 0, 0, 0x40, 0xc3 };                      /* add eax, imm32; ret */
    static const uint8_t on[] = { 0x05, 2, 0, 0, 0x40, 0xe9, 0xb6, 0x0f, 0, 0 };     /* add; jmp to the next page's add */
    static const uint8_t to_end[] = { 0x05, 3, 0, 0, 0x40, 0xe9, 0x36, 0x0f, 0, 0 }; /* add; jmp to the page's end */
    for (unsigned n = 0; n < 4; n++) {
        uint8_t *page = ls_ram(m) + LS_P_FUNCTIONS + n * 4096;
        memset(page, 0x90, 4096);
        memcpy(page, begin, sizeof(begin));
        memcpy(page + LS_F_ADD, add, sizeof(add));
        memcpy(page + LS_F_ON, on, sizeof(on));
        memcpy(page + LS_F_TO_END, to_end, sizeof(to_end));
        page[1] = page[LS_F_ADD + 2] = page[LS_F_ON + 2] = page[LS_F_TO_END + 2] = (uint8_t)(n + 1);
        page[n % 2 ? 4094 : 4093] = 0x05;                             /* add eax, what is behind it and in the next page */
        page[LS_F_TO_END + 6] = n == 0 ? 0x43 : n == 1 ? 0x44 : 0x36; /* to that, or to LS_F_END */
    }
}

static void map_all(struct ls_machine *m, const struct ls_program *p)
{
    const gpa_t t = LS_P_TABLES;
    const uint64_t rwu = PTE_P | PTE_W | PTE_U;
    poke(m, t, (t + 0x1000) | rwu); /* the low window: 1 GiB */
    poke(m, t + 0x1000 + 8, (t + 0x2000) | rwu);
    poke(m, t + 0x2000, (t + 0x3000) | rwu);
    poke(m, t + 8 * (LS_V_WINDOW_HIGH >> 39 & 511), (t + 0x4000) | rwu);
    poke(m, t + 8 * (LS_V_WINDOW_SUPER >> 39 & 511), (t + 0x4000) | rwu);
    poke(m, t + 0x4000, (t + 0x2000) | rwu);
    poke(m, t + 8 * 511, (t + 0x5000) | rwu);
    poke(m, t + 0x5000 + 8 * (LS_V_KERNEL >> 30 & 511), (t + 0x6000) | rwu);
    poke(m, t + 0x6000 + 8 * (LS_V_KERNEL >> 21 & 511), (t + 0x7000) | rwu);
    for (gpa_t k = 0; k < (LS_P_CODE - LS_P_KERNEL) >> 12; k++)
        poke(m, t + 0x7000 + 8 * k, (LS_P_KERNEL + (k << 12)) | PTE_P | PTE_W | (p->seed & 1 ? PTE_G : 0));
    poke(m, t + 0x7000 + 8 * ((LS_V_TABLE - LS_V_KERNEL) >> 12), (t + 0x3000) | PTE_P | PTE_W);
    poke(m, t + 0x1000 + 8 * (LS_V_DECOY >> 30 & 511), (t + 0x8000) | rwu);
    poke(m, t + 0x8000, (t + 0x9000) | rwu);
    for (unsigned k = 0; k < 6; k++)
        poke(m, t + 0x9000 + 8 * (LS_W_DATA + k), (LS_P_DATA + (gpa_t)k * 4096) | rwu | PTE_NX);
    map_window(m, p);
    map_spaces(m, p);
}

static void set_gate(struct ls_machine *m, unsigned vector, uint64_t to, unsigned ist, unsigned dpl)
{
    gpa_t at = LS_P_IDT + 16 * vector;
    poke(m, at, (to & 0xffff) | LS_CS << 16 | (uint64_t)ist << 32 | (0x8eULL | dpl << 5) << 40 | (to >> 16 & 0xffff) << 48);
    poke(m, at + 8, to >> 32);
}

static void set_tables(struct ls_machine *m, const struct ls_program *p)
{
    static const uint64_t gdt[] = {
        0, 0x00af9b000000ffff, 0x00cf93000000ffff, 0x00cffb000000ffff, 0x00cff3000000ffff, 0x00affb000000ffff, 0x00cf9b000000ffff
    };
    const gpa_t tss = LS_P_GDT + 0x800;
    uint64_t wild = ls_code_va(p->loop_end);
    memcpy(ls_ram(m) + LS_P_GDT, gdt, sizeof(gdt));
    poke(m, tss + 4, V(LS_P_IST2) + 0xff0); /* RSP0: not used */
    poke(m, tss + 36, V(LS_P_IST1) + 0xff0);
    poke(m, tss + 44, V(LS_P_IST2) + 0xff0);
    for (unsigned v = 0; v < 32; v++)
        set_gate(m, v, LS_V_KERNEL + 16 * v, 1, v == 3 ? 3 : 0);
    set_gate(m, LS_INT_LOG, V_HANDLER(lockstep_int_log), 2, 3);
    set_gate(m, LS_INT_PAUSE, V_HANDLER(lockstep_int_pause), 2, 3);
    set_gate(m, LS_INT_END, V_HANDLER(lockstep_int_end), 2, 3);
    set_gate(m, LS_INT_IRQ, V_HANDLER(lockstep_irq), 2, 0);
    memcpy(ls_ram(m) + LS_P_RESUME, p->resume, sizeof(p->resume));
    memcpy(ls_ram(m) + LS_P_LOG + LS_LOG_WILD, &wild, 8);
}

static uint64_t any_value(struct rng *r)
{
    static const uint64_t pointers[] = { LS_V_WINDOW, LS_V_WINDOW_HIGH, LS_V_WINDOW_SUPER };
    switch (rng_below(r, 6)) {
    case 0: return rng_next(r);
    case 1: return rng_below(r, 64);
    case 2: return (1ULL << rng_below(r, 64)) - rng_below(r, 2);
    case 3: return pointers[rng_below(r, 3)] + (LS_W_DATA << 12) + rng_below(r, 6 * 4096);
    case 4: return (0x3ff0ULL - 0x100 + rng_below(r, 0x200)) << 48 | rng_next(r) >> 16; /* a double */
    default: return 0x3f800000u + rng_below(r, 1 << 24) + ((uint64_t)(0x3f800000u + rng_below(r, 1 << 24)) << 32);
    }
}

static void fill_memory(struct ls_machine *m, const struct ls_program *p, struct rng *r)
{
    memset(ls_ram(m), 0, BARE_RAM); /* the large page leads everywhere */
    memcpy(ls_ram(m) + LS_P_KERNEL, lockstep_guest, (size_t)(lockstep_guest_end - lockstep_guest));
    memcpy(ls_ram(m) + LS_P_CODE, p->code, sizeof(p->code));
    memcpy(ls_ram(m) + LS_P_COUNTERS, &p->rounds, sizeof(p->rounds));
    for (gpa_t at = LS_P_DATA; at < LS_P_END; at += 8)
        poke(m, at, any_value(r));
    memset(ls_ram(m) + LS_P_OTHER_DATA, 0x5a, LS_P_FUNCTIONS - LS_P_DATA);
    fill_functions(m);
    map_all(m, p);
    set_tables(m, p);
    for (gpa_t at = 0; at < BARE_RAM; at += 4096)
        (void)gmem_note_write(&m->b.vm.gmem, ls_ram(m) + at);
}

/* ---- state ---- */

static void set_control(struct x86_cpu *c, const struct ls_program *p)
{
    c->cr0 = CR0_PE | CR0_PG | CR0_ET | CR0_NE | CR0_WP | CR0_MP | (p->am ? CR0_AM : 0);
    c->cr3 = LS_P_TABLES;
    c->cr4 = CR4_PAE | CR4_PGE | CR4_OSFXSR | CR4_OSXMMEXCPT | CR4_FSGSBASE | (p->no_avx ? 0 : CR4_OSXSAVE)
             | (p->kernel_only ? CR4_SMAP | CR4_SMEP : 0) | (p->pcids ? CR4_PCIDE : 0);
    c->efer = EFER_LME | EFER_LMA | EFER_NXE | EFER_SCE;
    c->xcr0 = p->no_avx ? XCR0_X87 | XCR0_SSE : p->avx512 ? 0xe7 : XCR0_X87 | XCR0_SSE | XCR0_AVX;
    c->star = (uint64_t)LS_USER_CS32 << 48 | (uint64_t)LS_CS << 32;
    c->lstar = V_HANDLER(lockstep_syscall);
    c->fmask = 0x47700;
    c->kernel_gs_base = p->gs_base + 0x40;
}

static void set_segments(struct x86_cpu *c, const struct ls_program *p)
{
    const uint32_t dpl = p->user ? SEG_DPL : 0;
    for (unsigned s = 0; s <= SEG_GS; s++)
        bare_segment(c, s, p->user ? LS_USER_SS : LS_SS, dpl | SEG_P | SEG_S | SEG_TYPE_RW | SEG_TYPE_A | SEG_DB | SEG_G);
    bare_segment(c, SEG_CS, p->user ? LS_USER_CS : LS_CS,
                 dpl | SEG_P | SEG_S | SEG_TYPE_CODE | SEG_TYPE_RW | SEG_TYPE_A | SEG_L | SEG_G);
    c->seg[SEG_FS].base = p->fs_base;
    c->seg[SEG_GS].base = p->gs_base;
    c->seg[SEG_TR] = (struct x86_seg){ .sel = LS_TSS, .base = V(LS_P_GDT + 0x800), .limit = 0x67, .attr = SEG_P | 11 };
    c->gdtr = (struct x86_table_reg){ .base = V(LS_P_GDT), .limit = 0x7f };
    c->idtr = (struct x86_table_reg){ .base = V(LS_P_IDT), .limit = 0xfff };
}

void ls_machine_load(struct ls_machine *m, const struct ls_program *p)
{
    struct x86_cpu *c = ls_cpu(m);
    struct rng r = { .state = p->seed ^ 0xdecade };
    x86_cpu_reset(c);
    fill_memory(m, p, &r);
    c->profile = p->avx512 ? &m->max : p->small_model ? &m->small : p->seed % 3 ? &m->max : x86_profile_default();
    set_control(c, p);
    set_segments(c, p);
    for (unsigned n = 0; n < 16; n++)
        c->gpr[n] = any_value(&r);
    c->gpr[RSP] = LS_V_WINDOW + (LS_W_DATA << 12) + 0x800;
    c->rflags = FLAG_ONE | (rng_next(&r) & (FLAGS_ARITH | FLAG_DF)) | (p->irqs ? FLAG_IF : 0);
    c->rip = ls_code_va(p->entry);
    c->fpu.fcw = (uint16_t)(p->x87_unmasked ? 0x37f & ~(rng_next(&r) & rng_next(&r) & 0x3f) : 0x37f);
    if (p->exceptions_unmasked)
        c->fpu.mxcsr = 0x1f80 & ~(uint32_t)(rng_next(&r) & 0x1f80);
    c->fpu.ftw = 0;
    for (unsigned n = 0; n < (p->avx512 ? 32u : 16u); n++)
        for (unsigned k = 0; k < (p->no_avx ? 16u : p->avx512 ? 64u : 32u); k += 8) {
            uint64_t v = any_value(&r);
            memcpy(c->fpu.zmm[n] + k, &v, 8);
        }
    m->device_accesses = m->device_sum = 0;
    m->irq = false;
    m->b.vm.mmio.misses = 0;
    m->b.vm.end = VM_END_NONE;
    atomic_store(&m->b.vcpu->requests, 0);
    m->b.vcpu->engine->state_changed(m->b.vcpu);
    if (m->other)
        x86_run_drop(m->other);
}

bool ls_finished(const struct ls_machine *m)
{
    return ls_ram(m)[LS_P_LOG + LS_LOG_DONE];
}

/* ---- comparing ---- */

/* Accessed bits that one has, and dirty bits that a has, go to the other one. Who finds a global page in its TLB, entered in
 * another address space, does not walk in this one: so there dirty bits that b has go to a, too. */
static void share_walk_bits(struct ls_machine *a, struct ls_machine *b)
{
    for (gpa_t at = LS_P_TABLES; at < LS_P_TABLES_END; at += 8) {
        uint64_t x, y;
        memcpy(&x, ls_ram(a) + at, 8);
        memcpy(&y, ls_ram(b) + at, 8);
        uint64_t more = (x & (PTE_A | PTE_D)) | (y & (y & PTE_G ? PTE_A | PTE_D : PTE_A));
        if (x == y || !(x & y & PTE_P))
            continue;
        poke(a, at, x | more);
        poke(b, at, y | more);
    }
}

const char *ls_differ(struct ls_machine *a, struct ls_machine *b, enum ls_scope scope, bool forgive_flags)
{
    struct x86_cpu *x = ls_cpu(a), *y = ls_cpu(b);
    uint64_t arith = forgive_flags ? FLAGS_ARITH : 0;
    if (x->rip != y->rip)
        return "rip";
    if (memcmp(x->gpr, y->gpr, sizeof(x->gpr)) != 0)
        return "gpr";
    if ((x->rflags ^ y->rflags) & ~arith)
        return "rflags";
    uint64_t saved = x->rflags;
    x->rflags = y->rflags;
    const char *field = state_diff(&x86_state_desc, x, y);
    x->rflags = saved;
    if (field)
        return field;
    if (a->device_accesses != b->device_accesses || a->device_sum != b->device_sum || a->b.vm.mmio.misses != b->b.vm.mmio.misses)
        return "device accesses";
    if (scope == LS_STATE)
        return NULL;
    if (memcmp(ls_ram(a) + LS_P_LOG, ls_ram(b) + LS_P_LOG, LS_P_CODE - LS_P_LOG) != 0)
        return "kernel memory";
    if (memcmp(ls_ram(a) + LS_P_DATA, ls_ram(b) + LS_P_DATA, LS_P_END - LS_P_DATA) != 0)
        return "data";
    if (scope == LS_HOT)
        return NULL;
    if (memcmp(ls_ram(a) + LS_P_TABLES, ls_ram(b) + LS_P_TABLES, LS_P_TABLES_END - LS_P_TABLES) != 0)
        share_walk_bits(a, b);
    return memcmp(ls_ram(a), ls_ram(b), BARE_RAM) == 0 ? NULL : "memory";
}

/* ---- reporting ---- */

static void print_bytes(const char *name, unsigned n, const uint8_t *x, const uint8_t *y, unsigned len)
{
    const uint8_t *v[2] = { x, y };
    if (memcmp(x, y, len) == 0)
        return;
    for (unsigned k = 0; k < 2; k++) {
        printf("    %s%-2u %s ", name, n, k ? "ref" : "bt ");
        for (unsigned i = len; i-- > 0;)
            printf(i % 8 ? "%02x" : "%02x ", v[k][i]);
        printf("\n");
    }
}

static void print_value(const char *name, uint64_t x, uint64_t y)
{
    if (x != y)
        printf("    %-6s bt %016lx ref %016lx\n", name, x, y);
}

void ls_print_difference(struct ls_machine *a, struct ls_machine *b)
{
    static const char *const names[] = { "rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi",
                                         "r8",  "r9",  "r10", "r11", "r12", "r13", "r14", "r15" };
    const struct x86_cpu *x = ls_cpu(a), *y = ls_cpu(b);
    unsigned shown = 0;
    print_value("rip", x->rip, y->rip);
    print_value("rflags", x->rflags, y->rflags);
    for (unsigned n = 0; n < 16; n++)
        print_value(names[n], x->gpr[n], y->gpr[n]);
    print_value("cr2", x->cr2, y->cr2);
    print_value("cpl", x->cpl, y->cpl);
    print_value("mxcsr", x->fpu.mxcsr, y->fpu.mxcsr);
    print_value("fcw", x->fpu.fcw, y->fpu.fcw);
    print_value("fsw", x->fpu.fsw, y->fpu.fsw);
    print_value("ftw", x->fpu.ftw, y->fpu.ftw);
    print_value("fop", x->fpu.fop, y->fpu.fop);
    print_value("fip", x->fpu.fip, y->fpu.fip);
    print_value("fdp", x->fpu.fdp, y->fpu.fdp);
    print_value("device", a->device_accesses, b->device_accesses);
    for (unsigned n = 0; n < 32; n++)
        print_bytes("vec", n, x->fpu.zmm[n], y->fpu.zmm[n], 64);
    for (unsigned n = 0; n < 8; n++)
        print_bytes("st", n, x->fpu.st[n], y->fpu.st[n], 10);
    const char *field = state_diff(&x86_state_desc, x, y);
    if (field)
        printf("    first field of the state that differs: %s\n", field);
    for (gpa_t at = 0; at < BARE_RAM && shown < 16; at += 8)
        if (memcmp(ls_ram(a) + at, ls_ram(b) + at, 8) != 0) {
            uint64_t p, q;
            memcpy(&p, ls_ram(a) + at, 8);
            memcpy(&q, ls_ram(b) + at, 8);
            printf("    memory %#lx: bt %016lx ref %016lx\n", at, p, q);
            shown++;
        }
}

void ls_print_code(const struct ls_machine *m, gva_t rip, unsigned count)
{
    struct x86_insn i;
    char text[X86_DISASM_MAX];
    for (; count > 0; count--, rip += i.len) {
        if (!decode_at(ls_cpu(m), rip, &i)) {
            printf("    %lx  (none)\n", rip);
            return;
        }
        x86_disasm(&i, rip, text, sizeof(text));
        printf("    %lx  ", rip);
        for (unsigned k = 0; k < i.len; k++)
            printf("%02x", i.bytes[k]);
        printf("%*s  %s\n", 2 * (15 - i.len), "", text);
        if (x86_row_ends_block(&x86_rows[i.row]))
            return;
    }
}
