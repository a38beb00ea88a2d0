/* SPDX-License-Identifier: MIT */
/*
 * Translation of memory accesses: checks at sites, groups of accesses off one register, integer loads and stores.
 *
 * A check takes the address, less the page the site saw last; what is left must be an offset at which the whole access lies in
 * the page. The access itself adds to the guest's address what the site says leads to the host's: it waits for no check. A group
 * is checked at its first access, for all of its extent.
 */
#include "base/checked.h"
#include "isa/riscv/insn_steps.h"
#include "isa/riscv/translate_emit.h"

enum { GROUP_EXTENT_MAX = 512, OP_SUB_R_RM = 0x2b, OP_ADD_R_RM = 0x03 };
static const uint8_t GROUP_REG[RVX_GROUPS] = { H_RDX, H_R15 };

/* ---- what comes ---- */

struct shape {
    riscv_step_fn step;
    uint8_t size;
    bool store;
};

/* Size in bytes of a plain load's or store's access, 0: it is none. */
static unsigned shape_of(const struct riscv_insn *i, bool *ret_store)
{
    static const struct shape shapes[] = {
        { rv_lb, 1, false },  { rv_lh, 2, false },  { rv_lw, 4, false },  { rv_ld, 8, false }, { rv_lbu, 1, false },
        { rv_lhu, 2, false }, { rv_lwu, 4, false }, { rv_sb, 1, true },   { rv_sh, 2, true },  { rv_sw, 4, true },
        { rv_sd, 8, true },   { rv_fld, 8, false }, { rv_flw, 4, false }, { rv_fsd, 8, true }, { rv_fsw, 4, true },
    };
    for (unsigned k = 0; k < ARRAY_SIZE(shapes); k++)
        if (shapes[k].step == i->step) {
            *ret_store = shapes[k].store;
            return shapes[k].size;
        }
    return 0;
}

static bool writes_float(const struct riscv_insn *i)
{
    return i->step == rv_fld || i->step == rv_flw;
}

/* The extent of the accesses off `base` from the current instruction on, relative to its value now; returns how many there are.
 */
static unsigned extent(const struct rvx *x, unsigned base, enum riscv_access access, int32_t *lo, int32_t *hi)
{
    unsigned count = 0;
    int32_t delta = 0;
    for (unsigned k = x->k; k < x->nr; k++) {
        const struct riscv_insn *i = &x->insn[k].i;
        bool store = false;
        unsigned size = shape_of(i, &store);
        if (k > x->k && !size && !rvx_is_translated(x, i))
            break; /* a call-out */
        if (size && i->rs1 == base && (access == RISCV_WRITE || !store)) {
            int32_t from = delta + i->imm, to = from + (int32_t)size;
            if ((to > *hi ? to : *hi) - (from < *lo ? from : *lo) <= GROUP_EXTENT_MAX) {
                *lo = from < *lo ? from : *lo;
                *hi = to > *hi ? to : *hi;
                count++;
            }
        }
        if (i->step == rv_addi && i->rd == base && i->rs1 == base)
            delta += i->imm;
        else if (i->rd == base && !writes_float(i))
            break;
    }
    return count;
}

/* ---- checks ---- */

/* The frame offset of a site for the next check. */
int32_t rvx_new_site(struct rvx *x, enum riscv_access access)
{
    unsigned which = x->bank == RISCV_BANK_U || x->bank == RISCV_BANK_S_SUM ? 2 : x->bank == RISCV_BANK_S ? 0 : 1;
    uint32_t *next = &x->code->next_site[which][access == RISCV_WRITE], n = *next;
    if (which != 0) /* two banks in one table: each uses its own sites again, for their rights differ */
        n += (n & 1) != (x->bank == RISCV_BANK_S_SUM || x->bank == RISCV_BANK_BARE);
    *next = n + 1;
    n %= RISCV_SITES;
    int32_t known = which == 2 ? FRAME(own.known) : which == 0 ? FRAME(shared.known[0]) : FRAME(shared.known[1]);
    return known + (int32_t)sizeof(struct riscv_site) * ((access == RISCV_WRITE) * RISCV_SITES + (int32_t)n);
}

/* rax = the TLB's entry for the address in rcx. */
static void find_entry(struct rvx *x)
{
    enum { ENTRY_SHIFT = 6, OP_RORX = ASM_0F3A | ASM_F2 | 0xf0 };
    asm_vex_reg(x->cb, 0, OP_RORX, H_RAX, 0, H_RCX);
    codebuf_put1(x->cb, GPAGE_SHIFT - ENTRY_SHIFT);
    asm_alu_imm(x->cb, HOST_AND, 4, HOST_RAX, (RISCV_TLB_ENTRIES - 1) << ENTRY_SHIFT);
    asm_insn_mem(x->cb, 8, OP_ADD_R_RM, H_RAX, at_rbp(FRAME(shared.tlb) + 8 * (int32_t)x->bank));
}

/* Goes on if [base + lo, base + hi) is all in the page that the site knows; or the TLB, where the access is known to change pages
 * often. reg is then what leads from the guest's address to the host's. */
static void check(struct rvx *x, unsigned reg, unsigned base, int32_t lo, int32_t hi, enum riscv_access access)
{
    bool wanders = !x->sites || rvx_pc_is_in(x->code->wanders, x->insn[x->k].pc);
    int32_t site = wanders ? 0 : rvx_new_site(x, access);
    struct host_mem at = wanders ? host_mem(HOST_RAX, rvx_site_of_entry(access)) : at_rbp(site);
    size_t again = x->cb->pos;
    if ((x->known >> base & 1) && x_host(base) == IN_MEMORY)
        asm_mov_imm(x->cb, HOST_RCX, x->known_value[base] + (uint64_t)(int64_t)lo);
    else
        rvx_lea(x, 8, H_RCX, rvx_use(x, base, H_RCX), lo);
    if (wanders)
        find_entry(x);
    asm_insn_mem(x->cb, 8, OP_SUB_R_RM, H_RCX, at);
    asm_alu_imm(x->cb, HOST_CMP, 8, HOST_RCX, (int32_t)GPAGE_SIZE - (hi - lo));
    struct rvx_tail *t = rvx_tail(x, RVX_MISS, asm_jcc(x->cb, CC_A, NULL));
    if (t) {
        t->again = again;
        t->miss = (struct riscv_miss){
            .site = site, .bytes = (uint32_t)(hi - lo), .access = (uint8_t)access, .pc = x->insn[x->k].pc
        };
        t->miss.insns = rvx_uncounted(x, false);
        t->miss.group = !x->plain && reg != H_RAX;
    }
    at.disp += (int32_t)offsetof(struct riscv_site, to_host);
    asm_load(x->cb, 8, hg(reg), at);
}

/* Makes of it a host address, where the guest's is in no register that could be the base. */
static void add_base(struct rvx *x, unsigned reg, unsigned base)
{
    if (base && x_host(base) == IN_MEMORY)
        asm_insn_mem(x->cb, 8, OP_ADD_R_RM, reg, x_mem(base));
}

/* A group that covers the access; NULL: none. */
static struct rvx_group *find_group(struct rvx *x, unsigned base, int32_t imm, unsigned size, bool write)
{
    for (unsigned n = 0; n < RVX_GROUPS; n++) {
        struct rvx_group *g = &x->group[n];
        int32_t at = g->delta + imm;
        if (g->on && g->base == base && at >= g->lo && at + (int32_t)size <= g->hi && (g->writes || !write))
            return g;
    }
    return NULL;
}

/* The group to make room in: one of the same register, an unused one, or the one unused for longest. */
static unsigned place_for(const struct rvx *x, unsigned base)
{
    unsigned best = 0;
    for (unsigned n = 0; n < RVX_GROUPS; n++) {
        const struct rvx_group *g = &x->group[n];
        if (g->on && g->base == base)
            return n;
        if (!g->on || (x->group[best].on && g->last < x->group[best].last))
            best = n;
    }
    return best;
}

struct host_mem rvx_access(struct rvx *x, unsigned base, int32_t imm, unsigned size, enum riscv_access access)
{
    int32_t lo = imm, hi = imm + (int32_t)size;
    struct rvx_group *g = find_group(x, base, imm, size, access == RISCV_WRITE);
    unsigned reg = H_RAX, host = base ? x_host(base) : (unsigned)IN_MEMORY;
    if (!g && !x->plain && extent(x, base, access, &lo, &hi) > 1) {
        unsigned n = place_for(x, base);
        g = &x->group[n];
        g->on = false;
        check(x, GROUP_REG[n], base, lo, hi, access);
        add_base(x, GROUP_REG[n], base);
        *g = (struct rvx_group){ .on = true, .base = (uint8_t)base, .writes = access == RISCV_WRITE, .lo = lo, .hi = hi };
    }
    if (g) {
        g->last = x->k;
        reg = GROUP_REG[g - x->group];
    } else {
        check(x, H_RAX, base, imm, imm + (int32_t)size, access); /* an atomic access is none that extent() counts */
        add_base(x, H_RAX, base);
    }
    return host == IN_MEMORY ? host_mem(hg(reg), (g ? g->delta : 0) + imm) : host_mem_indexed(hg(host), hg(reg), 1, imm);
}

/* ---- loads and stores ---- */

/* lb with andi by 255 behind it: char is signed for some compilers' authors, and mostly not meant so. */
static bool byte_is_cleared(struct rvx *x, unsigned rd)
{
    const struct rvx_insn *next = &x->insn[x->k + 1];
    if (x->k + 1 == x->nr || next->i.step != rv_andi || next->enters || next->i.imm != 0xff || next->i.rd != rd
        || next->i.rs1 != rd || !rd)
        return false;
    x->skip = 1;
    return true;
}

static bool load(struct rvx *x, const struct riscv_insn *i, unsigned arg)
{
    static const struct {
        uint8_t size, width;
        unsigned op;
    } how[] = { { 1, 8, ASM_0F | 0xbe }, { 2, 8, ASM_0F | 0xbf }, { 4, 8, 0x63 }, { 8, 8, 0x8b },
                { 1, 4, ASM_0F | 0xb6 }, { 2, 4, ASM_0F | 0xb7 }, { 4, 4, 0x8b } };
    unsigned d = rvx_dst(x, i->rd);
    struct host_mem m = rvx_access(x, i->rs1, i->imm, how[arg].size, RISCV_READ);
    if (arg == 0 && byte_is_cleared(x, i->rd))
        arg = 4;
    asm_insn_mem(x->cb, how[arg].width, how[arg].op, d, m);
    rvx_set(x, i->rd, d);
    return true;
}

static bool store(struct rvx *x, const struct riscv_insn *i, unsigned arg)
{
    struct host_mem m = rvx_access(x, i->rs1, i->imm, arg, RISCV_WRITE);
    unsigned v = rvx_use(x, i->rs2, H_RCX);
    switch (arg) {
    case 1: asm_insn_mem(x->cb, 1, 0x88, v, m); break;
    case 2: asm_insn_mem(x->cb, 2, ASM_66 | 0x89, v, m); break;
    default: asm_store(x->cb, arg, m, hg(v)); break;
    }
    return true;
}

const struct rvx_rule rvx_mem_rules[] = {
    { rv_lb, load, 0 },  { rv_lh, load, 1 },  { rv_lw, load, 2 },  { rv_ld, load, 3 },  { rv_lbu, load, 4 }, { rv_lhu, load, 5 },
    { rv_lwu, load, 6 }, { rv_sb, store, 1 }, { rv_sh, store, 2 }, { rv_sw, store, 4 }, { rv_sd, store, 8 },
};
const unsigned rvx_nr_mem_rules = ARRAY_SIZE(rvx_mem_rules);
