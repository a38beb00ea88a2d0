/* SPDX-License-Identifier: MIT */
/*
 * Random and directed states for experiments: see states.h.
 */
#include "classify/x86/states.h"

#include <string.h>

#include "base/rng.h"
#include "isa/x86/seg.h"

enum { DATA_FIRST = WORLD_DATA + 0x100, STACK_MIDDLE = WORLD_STACK + 0x100, STEP = 64 };

/* ---- values ---- */

static uint64_t data_pointer(struct rng *r)
{
    return DATA_FIRST + (uint64_t)STEP * rng_below(r, 12); /* an XSAVE area fits behind */
}

static uint64_t code_pointer(struct rng *r)
{
    return WORLD_ENTRY + 16 * rng_below(r, 32);
}

/* What user mode may load, what supervisor mode may, system descriptors, anything. */
static uint64_t selector(struct rng *r)
{
    static const uint16_t user[] = { SEL_DATA3 | 3, SEL_CODE3 | 3 }, supervisor[] = { SEL_DATA0, SEL_CODE0 },
                          system[] = { SEL_LDT, SEL_TSS, SEL_LDT2, SEL_GATE | 3 },
                          others[] = { 0,
                                       3,
                                       SEL_CODE3_32 | 3,
                                       SEL_CODE0_32,
                                       SEL_CONFORMING,
                                       SEL_CONFORMING | 3,
                                       SEL_EXECUTE_ONLY | 3,
                                       SEL_READ_ONLY | 3,
                                       SEL_ABSENT | 3,
                                       SEL_TSS_BUSY,
                                       SEL_SMALL | 3,
                                       SEL_IN_LDT | 3,
                                       SEL_END };
    switch (rng_below(r, 4)) {
    case 0: return user[rng_below(r, 2)];
    case 1: return supervisor[rng_below(r, 2)];
    case 2: return system[rng_below(r, 4)];
    default: return others[rng_below(r, sizeof(others) / sizeof(others[0]))];
    }
}

static uint64_t msr_number(struct rng *r)
{
    static const uint32_t msrs[] = { 0x10,       0x1b,       0x3a,       0x3b,       0x48,       0x174,      0x175,
                                     0x176,      0x1a0,      0x277,      0x2ff,      0x808,      0xc0000080, 0xc0000081,
                                     0xc0000082, 0xc0000083, 0xc0000084, 0xc0000100, 0xc0000101, 0xc0000102, 0xc0000103 };
    return msrs[rng_below(r, sizeof(msrs) / sizeof(msrs[0]))];
}

/* Legal or nearly so for some control register, or for flags. */
static uint64_t control_value(struct rng *r)
{
    const uint64_t cr0 = CR0_PE | CR0_PG | CR0_ET | CR0_NE | CR0_WP | CR0_MP;
    const uint64_t cr4 = CR4_PAE | CR4_PGE | CR4_OSFXSR | CR4_OSXMMEXCPT | CR4_OSXSAVE | CR4_FSGSBASE | CR4_TSD;
    switch (rng_below(r, 6)) {
    case 0: return cr0 ^ (rng_percent(r, 50) ? CR0_TS : CR0_WP);
    case 1: return cr4 ^ (rng_percent(r, 50) ? CR4_DE : CR4_PGE);
    case 2: return 0x10000;
    case 3: return FLAG_ONE | (rng_next(r) & (FLAGS_ARITH | FLAG_IF | FLAG_DF | FLAG_IOPL | FLAG_AC | FLAG_ID));
    case 4: return 3 | (rng_percent(r, 50) ? XCR0_AVX : 0);
    default: return rng_below(r, 16);
    }
}

enum theme { THEME_MIXED, THEME_SELECTORS, THEME_CONTROL, THEME_SMALL, THEME_POINTERS, THEME_MSR, THEME_NR };

static uint64_t value_of(struct rng *r, unsigned of)
{
    switch (of) {
    case THEME_SELECTORS: return selector(r);
    case THEME_CONTROL: return control_value(r);
    case THEME_SMALL: return rng_below(r, 5);
    case THEME_POINTERS: return rng_percent(r, 80) ? data_pointer(r) : code_pointer(r);
    case THEME_MSR: return rng_percent(r, 50) ? msr_number(r) : rng_below(r, 4);
    default: return rng_percent(r, 25) ? rng_next(r) : value_of(r, 1 + rng_below(r, THEME_NR - 1));
    }
}

static unsigned theme(struct rng *r)
{
    static const uint8_t weight[THEME_NR] = { [THEME_MIXED] = 20, [THEME_SELECTORS] = 35, [THEME_CONTROL] = 15,
                                              [THEME_SMALL] = 10, [THEME_POINTERS] = 10,  [THEME_MSR] = 10 };
    unsigned n = rng_below(r, 100), t = 0;
    while (n >= weight[t])
        n -= weight[t++];
    return t;
}

static void make_registers(struct rng *r, struct x86_cpu *c)
{
    static const uint8_t small[] = { 0, 1, 1, 7, 0xd, 0xd, 0xff }; /* oftener what tells of control registers */
    unsigned all = theme(r);
    for (unsigned n = 0; n < 16; n++)
        c->gpr[n] = value_of(r, all);
    if (rng_percent(r, 25))
        c->gpr[RCX] = msr_number(r);
    else if (rng_percent(r, 30))
        c->gpr[RCX] = rng_below(r, 5);
    if (rng_percent(r, 50)) /* a leaf, a state component, a hypercall */
        c->gpr[RAX] = small[rng_below(r, sizeof(small))];
    if (rng_percent(r, 75)) {
        c->gpr[RSI] = data_pointer(r);
        c->gpr[RDI] = data_pointer(r);
    }
    c->gpr[RSP] = STACK_MIDDLE + 16 * rng_below(r, 8);
    c->gpr[RBP] = STACK_MIDDLE + 0x100 + 16 * rng_below(r, 8);
    c->rflags = FLAG_ONE | FLAG_IF | (rng_next(r) & FLAGS_ARITH) | (rng_percent(r, 20) ? FLAG_DF : 0);
    c->rflags |= rng_percent(r, 12) ? FLAG_AC : 0;
    c->cr0 |= rng_percent(r, 12) ? CR0_TS : 0;
    if (rng_percent(r, 50))
        for (unsigned n = 0; n < 16; n++)
            for (unsigned k = 0; k < 64; k += 8) {
                uint64_t v = rng_next(r);
                memcpy(c->fpu.zmm[n] + k, &v, 8);
            }
}

static bool may_be_selector(const struct x86_opnd *o)
{
    return o->size == 2;
}

/* ---- memory ---- */

static void put(uint8_t *at, uint64_t v, unsigned size)
{
    memcpy(at, &v, size);
}

static unsigned memory_operand(const struct x86_insn *i)
{
    unsigned n = 0;
    while (n < i->nr_opnds && i->op[n].kind != OPND_MEM)
        n++;
    return n;
}

/* An image of GDTR or IDTR, the header of an XSAVE area, selectors, far pointers, or anything. */
static void make_operand(struct rng *r, const struct x86_insn *i, uint8_t *at, unsigned room)
{
    unsigned kind = rng_below(r, 8), size = rng_percent(r, 80) && i->opsize >= 2 ? i->opsize : 2U << rng_below(r, 3);
    unsigned operand = memory_operand(i);
    if (operand < i->nr_opnds && may_be_selector(&i->op[operand]) && rng_percent(r, 50))
        kind = 1;
    for (unsigned n = 0; n + 8 <= room && kind < 4; n += 8)
        put(at + n, kind == 0 ? rng_next(r) : kind == 1 ? selector(r) : kind == 2 ? data_pointer(r) : control_value(r), 8);
    if (kind == 4) {
        put(at, code_pointer(r), size);
        put(at + size, selector(r), 2);
    } else if (kind == 5) { /* XSTATE_BV and XCOMP_BV of an XSAVE area in compact form */
        uint64_t components = rng_below(r, 8);
        put(at + 512, components & rng_below(r, 8), 8);
        put(at + 520, 1ULL << 63 | components, 8);
    } else if (kind == 6) {
        put(at, rng_below(r, 0x10000), 2);
        put(at + 2, 0x7000000 + 0x1000 * rng_below(r, 16), 8);
    }
}

/* What far returns and IRET take, in any operand size, or values. */
static void make_stack(struct rng *r, const struct x86_insn *i, uint8_t *at, enum x86_mode mode)
{
    unsigned size = rng_percent(r, 80) && i->opsize >= 2 ? i->opsize : 2U << rng_below(r, 3);
    uint64_t flags = FLAG_ONE | (rng_next(r) & (FLAGS_ARITH | FLAG_IF | FLAG_DF | FLAG_IOPL | FLAG_AC | FLAG_ID));
    unsigned code3 = mode == X86_MODE_64 ? SEL_CODE3 | 3 : SEL_CODE3_32 | 3;
    uint64_t frame[5] = { code_pointer(r), rng_percent(r, 60) ? code3 : selector(r), flags, STACK_MIDDLE + 0x200,
                          rng_percent(r, 70) ? SEL_DATA3 | 3 : selector(r) };
    unsigned kind = rng_below(r, 4);
    if (kind == 3) { /* a far return has no flags in its frame */
        frame[2] = frame[3];
        frame[3] = frame[4];
    }
    for (unsigned n = 0; n < 5; n++)
        put(at + n * size, kind == 0 ? value_of(r, rng_below(r, THEME_NR)) : kind == 1 && n == 0 ? flags : frame[n], size);
    if (kind == 1 && rng_percent(r, 50))
        put(at, selector(r), size);
}

/* ---- operands ---- */

/* Whichever registers it names: some hold by themselves but one sort of value. RSP stays, the stack is behind it. */
static void fit_registers(struct rng *r, const struct x86_insn *i, struct x86_cpu *c)
{
    for (unsigned n = 0; n < i->nr_opnds; n++)
        if (i->op[n].kind == OPND_REG && i->op[n].reg != RSP && rng_percent(r, 60))
            c->gpr[i->op[n].reg & 15] = value_of(r,
                                                 may_be_selector(&i->op[n]) && rng_percent(r, 50) ? THEME_SELECTORS : theme(r));
}

/* Makes the address of the memory operand the program's. Returns it. */
static uint64_t fit_address(struct rng *r, const struct x86_insn *i, struct x86_cpu *c, uint8_t *bytes)
{
    uint64_t at = data_pointer(r);
    bool vector = x86_rows[i->row].flags & ROW_VSIB, indexed = !vector && i->index < 16 && i->index != i->base;
    if (vector) {
        unsigned size = i->bytes[i->layout.opcode] & 1 ? 8 : 4;
        for (unsigned n = 0; n < 64; n += size)
            put(c->fpu.zmm[i->index] + n, rng_below(r, 64), size);
    } else if (indexed) {
        c->gpr[i->index] = (uint64_t)STEP * rng_below(r, 4);
    }
    if (i->base < 16)
        c->gpr[i->base] = at;
    else if (i->layout.disp)
        put(bytes + i->layout.disp, at, i->layout.disp_size);
    return at + (indexed ? c->gpr[i->index] * i->scale : 0);
}

static void fit_immediate(struct rng *r, const struct x86_insn *i, uint8_t *bytes)
{
    static const uint8_t small[] = { 0, 1, 2, 3, 4, 6, 0x10, 0x21, 0x80 };
    unsigned size = i->layout.imm_size;
    if (!i->layout.imm)
        return;
    uint8_t *at = bytes + i->layout.imm;
    if (size == 1 && rng_percent(r, 60))
        *at = small[rng_below(r, sizeof(small))];
    else if (i->nr_opnds == 2 && i->op[1].kind == OPND_IMM2 && size > 3) { /* a far pointer */
        put(at, code_pointer(r), size - 2);
        put(at + size - 2, selector(r), 2);
    } else {
        put(at, rng_percent(r, 50) ? rng_below(r, 64) : rng_next(r), size > 8 ? 8 : size);
    }
}

/* ---- variations; of side 1, with whatever r gives ---- */

static uint64_t flip(struct rng *r, uint64_t value, uint64_t among)
{
    uint64_t bit;
    do
        bit = 1ULL << rng_below(r, 64);
    while (!(bit & among));
    return value ^ bit;
}

static void vary_xcr0(struct rng *r, struct x86_cpu *c)
{
    const uint64_t avx512 = XCR0_OPMASK | XCR0_ZMM_HI256 | XCR0_HI16_ZMM;
    c->xcr0 &= ~(c->xcr0 & avx512 && rng_percent(r, 50) ? avx512 : avx512 | XCR0_AVX);
}

static void vary_control(struct rng *r, struct x86_cpu *c)
{
    const uint64_t cr0 = CR0_MP | CR0_EM | CR0_TS | CR0_NE | CR0_AM | CR0_CD;
    const uint64_t cr4 = CR4_DE | CR4_PSE | CR4_MCE | CR4_PGE | CR4_PCE | CR4_OSFXSR | CR4_OSXMMEXCPT | CR4_OSXSAVE | CR4_FSGSBASE
                         | CR4_PCIDE;
    switch (rng_below(r, 6)) {
    case 0: c->cr0 = flip(r, c->cr0, cr0); break;
    case 1: c->cr4 = flip(r, c->cr4, cr4); break;
    case 2: c->efer = flip(r, c->efer, EFER_SCE | EFER_NXE); break;
    case 3: vary_xcr0(r, c); break;
    default: /* several, but none that makes all of the FPU trap */
        c->cr0 ^= rng_next(r) & (CR0_MP | CR0_NE | CR0_AM | CR0_CD);
        c->cr4 ^= rng_next(r) & (cr4 & ~(uint64_t)CR4_OSFXSR);
        if (rng_percent(r, 50))
            vary_xcr0(r, c);
    }
}

static void vary_registers(struct rng *r, struct x86_cpu *c)
{
    uint64_t *const canonical[] = { &c->lstar, &c->cstar, &c->kernel_gs_base, &c->sysenter_esp, &c->sysenter_eip };
    for (unsigned n = 0; n < sizeof(canonical) / sizeof(canonical[0]); n++)
        *canonical[n] += (uint64_t)16 * (1 + rng_below(r, 8));
    c->star ^= 0x0008000000000000;
    c->fmask ^= FLAG_DF;
    c->tsc_aux = 1 + rng_below(r, 1000);
    c->tsc_adjust = rng_next(r) >> 8;
    c->cr2 = rng_next(r);
    c->pat ^= 1;
    c->misc_enable ^= 1;
    c->spec_ctrl ^= 1;
    c->mcg_status ^= 1;
    c->xss = 0;
    for (unsigned n = 0; n < 4; n++)
        c->dr[n] = WORLD_DATA + 8 * rng_below(r, 64);
    c->dr6 ^= 1;
}

static void vary_devices(struct rng *r, struct x86_world_devices *d)
{
    d->value ^= 1 + rng_below(r, 255);
    d->tpr ^= 1 + rng_below(r, 7);
    d->msr ^= 0x100;
}

/* The descriptors named by what is loaded stay: only what is read from the tables anew can tell. */
static void vary_descriptors(struct rng *r, struct x86_world_tables *t)
{
    for (unsigned sel = 8; sel < SEL_END; sel += 8) {
        uint64_t d;
        memcpy(&d, t->gdt + sel, 8);
        unsigned what = rng_below(r, 4);
        bool system = !(d >> 44 & 1), upper = sel == SEL_LDT + 8 || sel == SEL_TSS + 8 || sel == SEL_TSS_BUSY + 8
                                              || sel == SEL_GATE + 8 || sel == SEL_LDT2 + 8;
        if (upper || sel == SEL_CODE0)
            continue;
        if (what == 0)
            d ^= 3ULL << 45; /* DPL */
        else if (what == 1)
            d ^= 0x10; /* limit */
        else if (what == 2 && !system)
            d ^= 1ULL << 41; /* writable, readable */
        else if (what == 3)
            d ^= 1ULL << 52; /* for the system's use */
        put(t->gdt + sel, d, 8);
    }
}

static void vary_tables(struct rng *r, struct x86_world_state *s)
{
    static const uint8_t data[] = { SEG_ES, SEG_DS, SEG_FS, SEG_GS };
    struct x86_cpu *c = &s->cpu;
    switch (rng_below(r, 5)) {
    case 0:
    case 1: vary_descriptors(r, &s->tables); break; /* of many, the one that is named must be changed */
    case 2:
        c->gdtr.limit = (uint16_t)(rng_percent(r, 50) ? SEL_END + 7 : SEL_SMALL - 1);
        c->idtr.limit = 0xdff;
        break;
    case 3:
        c->seg[SEG_LDTR].sel = SEL_LDT2;
        c->seg[SEG_TR].sel = SEL_TSS;
        break;
    default: /* another selector for the same segment */
        for (unsigned n = 0; n < sizeof(data); n++)
            c->seg[data[n]].sel = (uint16_t)(SEL_IN_LDT | 3);
    }
}

static void vary(struct rng *r, enum vary_kind kind, unsigned cpl, struct x86_world_state *s)
{
    switch (kind) {
    case VARY_MODE:
    case VARY_PLACE: break; /* they began otherwise */
    case VARY_INTERRUPT:
        s->cpu.rflags ^= FLAG_IF;
        if (cpl == 0)
            s->cpu.rflags ^= (uint64_t)rng_below(r, 4) << 12;
        break;
    case VARY_CONTROL: vary_control(r, &s->cpu); break;
    case VARY_REGISTERS: vary_registers(r, &s->cpu); break;
    case VARY_DEVICES: vary_devices(r, &s->devices); break;
    case VARY_TABLES: vary_tables(r, s); break;
    }
}

#define HERE_THERE                                                                                                               \
    {                                                                                                                            \
        "here", "there"                                                                                                          \
    }
const struct experiment_kind x86_states_kinds[VARY_NR] = {
    [VARY_MODE] = { "the mode: CPL 0, CPL 3", { "supervisor", "user" }, false, 4 },
    [VARY_INTERRUPT] = { "the interrupt flag (and IOPL)", HERE_THERE, false, 1 },
    [VARY_CONTROL] = { "a control register", HERE_THERE, false, 9 },
    [VARY_REGISTERS] = { "model-specific and debug registers", HERE_THERE, false, 1 },
    [VARY_DEVICES] = { "the state of devices", HERE_THERE, false, 1 },
    [VARY_PLACE] = { "where program and tables are in memory", HERE_THERE, true, 2 },
    [VARY_TABLES] = { "descriptor tables and selectors", HERE_THERE, true, 7 },
};

/* ---- a pair ---- */

/* The part that both states share. */
static void make_program(struct rng *r, const struct x86_insn *i, const uint8_t *bytes, enum x86_mode mode,
                         struct x86_world_state *s)
{
    uint8_t code[X86_INSN_MAX + 9] = { 0 };
    memcpy(code, bytes, X86_INSN_MAX);
    make_registers(r, &s->cpu);
    fit_registers(r, i, &s->cpu);
    fit_immediate(r, i, code);
    uint64_t at = memory_operand(i) < i->nr_opnds ? fit_address(r, i, &s->cpu, code) : data_pointer(r);
    make_operand(r, i, s->program.data + (at - WORLD_DATA), 128);
    make_stack(r, i, s->program.data + (s->cpu.gpr[RSP] - WORLD_DATA), mode);
    memcpy(s->program.code, code, X86_INSN_MAX);
}

static void share_program(const struct x86_world_state *from, struct x86_world_state *to)
{
    memcpy(to->cpu.gpr, from->cpu.gpr, sizeof(to->cpu.gpr));
    to->cpu.rflags = from->cpu.rflags;
    to->cpu.fpu = from->cpu.fpu;
    to->cpu.cr0 = from->cpu.cr0;
    to->program = from->program;
}

bool x86_states_make(struct x86_world *const world[2], const struct encodings_row *encodings, const struct experiment_id *id,
                     bool umip, struct x86_world_state *const state[2], unsigned *ret_world, struct x86_insn *ret_insn)
{
    enum vary_kind kind = id->kind;
    enum x86_mode mode = encodings->mode;
    struct rng r = rng_of(id->seed, id->subject, id->kind, id->number);
    const struct encoding *e = &encodings->e[id->number % encodings->nr];
    unsigned cpl[2] = { 0, 3 };
    uint8_t bytes[X86_INSN_MAX] = { 0 };

    memcpy(bytes, e->bytes, e->len);
    if (kind != VARY_MODE)
        cpl[0] = cpl[1] = id->number / encodings->nr % 2 ? 0 : 3;
    *ret_world = kind == VARY_PLACE;
    if (x86_decode(bytes, X86_INSN_MAX, mode, ret_insn) < 0)
        return false;
    for (unsigned k = 0; k < 2; k++)
        x86_world_begin(world[k ? *ret_world : 0], mode, cpl[k], umip, state[k]);
    make_program(&r, ret_insn, bytes, mode, state[0]);
    share_program(state[0], state[1]);
    vary(&r, kind, cpl[1], state[1]);
    return x86_decode(state[0]->program.code, X86_INSN_MAX, mode, ret_insn) > 0 && ret_insn->row == id->subject;
}
