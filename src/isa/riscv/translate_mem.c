/* SPDX-License-Identifier: MIT */
/*
 * Translation of memory accesses: checks, groups of accesses off one register, integer loads and stores.
 *
 * A check takes the address, less where the page or the block begins; what is left must be an offset at which the whole access
 * lies in it. The access itself adds to the guest's address what leads to the host's: with a block it waits for no check. A
 * group is checked at its first access, for all of its extent.
 */
#include <string.h>

#include "base/checked.h"
#include "isa/riscv/insn_steps.h"
#include "isa/riscv/translate_emit.h"

enum { GROUP_EXTENT_MAX = 512, GROUP_IN_WINDOW_MAX = 3072, OP_SUB_R_RM = 0x2b, OP_ADD_R_RM = 0x03 };
enum { DISP = 4 /* bytes of a displacement, which ends an instruction */ };
static const uint8_t GROUP_REG[RVX_GROUPS] = { H_RDX, H_R15 };

/* ---- what comes ---- */

struct shape {
    riscv_step_fn step;
    uint8_t size;
    bool store;
};

unsigned rvx_access_size(riscv_step_fn step, bool *ret_store)
{
    static const struct shape shapes[] = {
        { rv_lb, 1, false },  { rv_lh, 2, false },  { rv_lw, 4, false },  { rv_ld, 8, false }, { rv_lbu, 1, false },
        { rv_lhu, 2, false }, { rv_lwu, 4, false }, { rv_sb, 1, true },   { rv_sh, 2, true },  { rv_sw, 4, true },
        { rv_sd, 8, true },   { rv_fld, 8, false }, { rv_flw, 4, false }, { rv_fsd, 8, true }, { rv_fsw, 4, true },
    };
    for (unsigned k = 0; k < ARRAY_SIZE(shapes); k++)
        if (shapes[k].step == step) {
            *ret_store = shapes[k].store;
            return shapes[k].size;
        }
    return 0;
}

static bool writes_float(const struct riscv_insn *i)
{
    return i->step == rv_fld || i->step == rv_flw;
}

void rvx_chain_accesses(struct rvx *x)
{
    uint8_t next[32];
    int32_t gap[32] = { 0 };
    memset(next, RVX_NONE, sizeof(next));
    for (unsigned k = x->nr; k-- > 0;) {
        struct rvx_insn *n = &x->insn[k];
        const struct riscv_insn *i = &n->i;
        /* rd of those is a part of an offset, or an f register */
        bool writes = !n->kind->store && !n->kind->branch && !writes_float(i);
        if (!n->kind->size && !n->kind->known)
            memset(next, RVX_NONE, sizeof(next)); /* a call-out */
        if (i->step == rv_addi && i->rd == i->rs1)
            gap[i->rd] += i->imm;
        else if (writes)
            next[i->rd] = RVX_NONE;
        n->next = next[i->rs1];
        n->gap = gap[i->rs1];
        if (n->kind->size) {
            next[i->rs1] = (uint8_t)k;
            gap[i->rs1] = 0;
        }
    }
}

/* The extent of the accesses off the current instruction's base, from that one on, relative to its value now; returns how many
 * there are. A window does not care whether they load or store. */
static unsigned extent(const struct rvx *x, bool window, enum riscv_access access, int32_t *lo, int32_t *hi)
{
    unsigned count = 0;
    const int32_t max = window ? GROUP_IN_WINDOW_MAX : GROUP_EXTENT_MAX;
    int32_t delta = 0;
    for (unsigned k = x->k; k != RVX_NONE; delta += x->insn[k].gap, k = x->insn[k].next) {
        const struct rvx_kind *kind = x->insn[k].kind;
        if (!kind->size || (access == RISCV_READ && kind->store && !window))
            continue;
        int32_t from = delta + x->insn[k].i.imm, to = from + (int32_t)kind->size;
        if ((to > *hi ? to : *hi) - (from < *lo ? from : *lo) <= max) {
            *lo = from < *lo ? from : *lo;
            *hi = to > *hi ? to : *hi;
            count++;
        }
    }
    return count;
}

/* ---- checks ---- */

/* rax = the TLB's entry for the address in rcx. */
static void find_entry(struct rvx *x)
{
    enum { ENTRY_SHIFT = 6, OP_RORX = ASM_0F3A | ASM_F2 | 0xf0 };
    asm_vex_reg(x->cb, 0, OP_RORX, H_RAX, 0, H_RCX);
    codebuf_put1(x->cb, GPAGE_SHIFT - ENTRY_SHIFT);
    asm_alu_imm(x->cb, HOST_AND, 4, HOST_RAX, (RISCV_TLB_ENTRIES - 1) << ENTRY_SHIFT);
    asm_insn_mem(x->cb, 8, OP_ADD_R_RM, H_RAX, at_rbp(FRAME(shared.tlb) + 8 * (int32_t)x->bank));
}

/* What is known of an access, to be told where it is elsewhere than was expected. */
static struct rvx_tail *miss(struct rvx *x, size_t again, unsigned reg, unsigned block, uint32_t bytes, enum riscv_access access)
{
    struct rvx_tail *t = rvx_tail(x, RVX_MISS, asm_jcc(x->cb, CC_A, NULL));
    if (t) {
        t->again = again;
        t->miss = (struct riscv_miss){
            .block = (uint8_t)block, .bytes = bytes, .access = (uint8_t)access, .pc = x->insn[x->k].pc
        };
        t->miss.insns = rvx_uncounted(x, false);
        t->miss.group = x->anew || (!x->plain && reg != H_RAX);
    }
    return t;
}

static bool is_known(const struct rvx *x, unsigned base)
{
    return x->known >> base & 1;
}

/* rcx = base + lo */
static void get_address(struct rvx *x, unsigned base, int32_t lo)
{
    if (is_known(x, base) && x_host(base) == IN_MEMORY)
        asm_mov_imm(x->cb, HOST_RCX, x->known_value[base] + (uint64_t)(int64_t)lo);
    else
        rvx_lea(x, 8, H_RCX, rvx_use(x, base, H_RCX), lo);
}

/* Goes on if [base + lo, base + hi) is all in one page that the TLB knows. reg is then what leads from the guest's address to the
 * host's. */
static void look(struct rvx *x, unsigned reg, unsigned base, int32_t lo, int32_t hi, enum riscv_access access)
{
    struct host_mem at = host_mem(HOST_RAX, rvx_site_of_entry(access));
    size_t again = x->cb->pos;
    get_address(x, base, lo);
    find_entry(x);
    asm_insn_mem(x->cb, 8, OP_SUB_R_RM, H_RCX, at);
    asm_alu_imm(x->cb, HOST_CMP, 8, HOST_RCX, (int32_t)GPAGE_SIZE - (hi - lo));
    (void)miss(x, again, reg, RISCV_LOOK, (uint32_t)(hi - lo), access);
    at.disp += (int32_t)offsetof(struct riscv_site, to_host);
    asm_load(x->cb, 8, hg(reg), at);
}

/* The same if it is all in the block that is expected there: block 0 begins at 0, and nobody may access what lies just beyond its
 * ends. */
static void check_low(struct rvx *x, unsigned reg, unsigned base, int32_t lo, int32_t hi, enum riscv_access access)
{
    const int32_t limit = (int32_t)(RISCV_BLOCK_SIZE - RISCV_BLOCK_SLACK);
    size_t again = x->cb->pos;
    if (!base || (is_known(x, base) && x->known_value[base] <= (uint64_t)limit))
        return;
    if (x_host(base) == IN_MEMORY)
        asm_alu_mem_imm(x->cb, HOST_CMP, 8, x_mem(base), limit);
    else
        asm_alu_imm(x->cb, HOST_CMP, 8, hg(x_host(base)), limit);
    struct rvx_tail *t = miss(x, again, reg, 0, (uint32_t)(hi - lo), access);
    if (t) {
        t->reg = (uint8_t)base;
        t->miss.lo = lo;
    }
}

/* The block that an access off `base` is expected in. */
static unsigned expect(const struct rvx *x, unsigned base, int32_t imm)
{
    gva_t guess = (is_known(x, base) ? x->known_value[base] : x->guess[base]) + (uint64_t)(int64_t)imm;
    return x->windows ? riscv_code_expect(x->code, x->insn[x->k].pc, guess) : RISCV_LOOK;
}

static void check(struct rvx *x, unsigned reg, unsigned block, unsigned base, int32_t lo, int32_t hi, enum riscv_access access)
{
    struct rvx_tail *t = NULL;
    if (block == RISCV_LOOK) {
        look(x, reg, base, lo, hi, access);
        return;
    }
    if (block == 0) {
        check_low(x, reg, base, lo, hi, access);
    } else {
        size_t again = x->cb->pos;
        get_address(x, base, lo);
        asm_insn_mem(x->cb, 8, OP_SUB_R_RM, H_RCX, at_rbp(rvx_block_at(block)));
        size_t at = x->cb->pos - DISP;
        asm_alu_imm(x->cb, HOST_CMP, 8, HOST_RCX, (int32_t)(RISCV_BLOCK_SIZE - 1 - (uint64_t)(hi - lo)));
        t = miss(x, again, reg, block, (uint32_t)(hi - lo), access);
        if (t)
            t->miss.at[RISCV_AT_BASE] = (uint32_t)at;
    }
    asm_load(x->cb, 8, hg(reg), at_rbp(rvx_block_at(block) + (int32_t)offsetof(struct riscv_block, to_host)));
    if (t)
        t->miss.at[RISCV_AT_TO_HOST] = (uint32_t)(x->cb->pos - DISP);
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
    unsigned block = g ? (unsigned)RISCV_LOOK : expect(x, base, imm);
    bool window = block != RISCV_LOOK;
    if (!g && !x->plain && extent(x, window, access, &lo, &hi) > 1) {
        unsigned n = place_for(x, base);
        g = &x->group[n];
        g->on = false;
        check(x, GROUP_REG[n], block, base, lo, hi, access);
        add_base(x, GROUP_REG[n], base);
        *g = (struct rvx_group){
            .on = true, .base = (uint8_t)base, .writes = window || access == RISCV_WRITE, .lo = lo, .hi = hi
        };
    }
    if (g) {
        g->last = x->k;
        reg = GROUP_REG[g - x->group];
    } else {
        check(x, H_RAX, block, base, imm, imm + (int32_t)size, access); /* an atomic access is none that extent() counts */
        add_base(x, H_RAX, base);
    }
    return host == IN_MEMORY ? host_mem(hg(reg), (g ? g->delta : 0) + imm) : host_mem_indexed(hg(host), hg(reg), 1, imm);
}

struct host_mem rvx_access_ram(struct rvx *x, unsigned base, int32_t imm, unsigned size, enum riscv_access access)
{
    if (!x->windows)
        return rvx_access(x, base, imm, size, access);
    look(x, H_RAX, base, imm, imm + (int32_t)size, access);
    add_base(x, H_RAX, base);
    return base && x_host(base) == IN_MEMORY ? host_mem(HOST_RAX, imm)
                                             : host_mem_indexed(hg(base ? x_host(base) : H_RAX), HOST_RAX, 1, imm);
}

bool rvx_access_window(struct rvx *x, unsigned base, unsigned size, enum riscv_access access, struct host_mem *ret)
{
    unsigned block = expect(x, base, 0), host = base ? x_host(base) : (unsigned)IN_MEMORY;
    if (block == RISCV_LOOK)
        return false;
    x->anew = true;
    check(x, H_RAX, block, base, 0, (int32_t)size, access);
    x->anew = false;
    add_base(x, H_RAX, base);
    *ret = host == IN_MEMORY ? host_mem(HOST_RAX, 0) : host_mem_indexed(hg(host), HOST_RAX, 1, 0);
    return true;
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
