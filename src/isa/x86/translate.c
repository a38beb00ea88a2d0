/* SPDX-License-Identifier: MIT */
/*
 * Translation of one block: which instructions are copied, which become short sequences, which are called out.
 */
#include "isa/x86/translate.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "core/vcpu.h"
#include "core/vm.h"
#include "isa/x86/insn_steps.h"
#include "isa/x86/translate_emit.h"
#include "isa/x86/translate_log.h"
#include "isa/x86/translate_light.h"

/* Innocuous integer instructions: the host's does what the guest's does, on the renamed registers. */
static const x86_step_fn COPIED[] = {
    step_mov,      step_movzx,    step_movsx, step_movsxd, step_cmovcc, step_setcc,   step_xchg,   step_bswap, step_movbe,
    step_add,      step_or,       step_adc,   step_sbb,    step_and,    step_sub,     step_xor,    step_cmp,   step_test,
    step_inc,      step_dec,      step_neg,   step_not,    step_xadd,   step_cmpxchg, step_adcx,   step_adox,  step_cbw,
    step_cwd,      step_clc,      step_stc,   step_cmc,    step_lahf,   step_sahf,    step_bsf,    step_bsr,   step_tzcnt,
    step_lzcnt,    step_popcnt,   step_crc32, step_andn,   step_bextr,  step_blsi,    step_blsmsk, step_blsr,  step_bzhi,
    step_mulx,     step_pdep,     step_pext,  step_rorx,   step_sarx,   step_shlx,    step_shrx,   step_mul,   step_imul_1op,
    step_imul_2op, step_imul_3op, step_fence,
};
static const x86_step_fn COUNTED[] = {
    /* count: an immediate, or CL */
    step_rol, step_ror, step_rcl, step_rcr, step_shl, step_shr, step_sar, step_shld, step_shrd,
};
static const x86_step_fn BIT_TESTS[] = { step_bt, step_bts, step_btr, step_btc };

static bool among(x86_step_fn f, const x86_step_fn *list, size_t n)
{
    for (size_t k = 0; k < n; k++)
        if (list[k] == f)
            return true;
    return false;
}
#define AMONG(f, list) among(f, list, sizeof(list) / sizeof((list)[0]))

enum xl_kind xl_kind(const struct x86_insn *i)
{
    x86_step_fn f = i->step;
    if (xl_is_x87(i))
        return XL_X87;
    if (AMONG(f, COPIED) || f == step_lea || f == step_nop || f == step_div || f == step_idiv)
        return XL_INTEGER;
    if (AMONG(f, COUNTED) || (AMONG(f, BIT_TESTS) && (i->op[0].kind != OPND_MEM || i->op[1].kind == OPND_IMM)))
        return XL_INTEGER;
    if (f != step_ud && (x86_rows[i->row].flags & ROW_HOST) && (x86_rows[i->row].flags & (ROW_SSE | ROW_AVX)))
        return XL_VECTOR;
    return XL_OTHER;
}

enum x86_access xl_mem_access(const struct x86_insn *i)
{
    for (unsigned n = 0; n < i->nr_opnds; n++)
        if (i->op[n].kind == OPND_MEM)
            return i->op[n].access & OPND_W ? X86_WRITE : X86_READ;
    return X86_READ;
}

static bool lea(struct xl *x, const struct x86_insn *i)
{
    unsigned guest = i->op[0].reg, h = xr_host(guest);
    if (i->op[0].size < 4)
        return false;
    unsigned size = i->op[0].size < i->addrsize ? i->op[0].size : i->addrsize;
    if (!xl_address(x, i, size, h == XR_MEM ? H_R11 : h))
        return false;
    if (h == XR_MEM)
        xl_store(x, xr_frame(guest), H_R11);
    x->rcx_next = x->rcx_group;
    return true;
}

void xl_put_insn_off(struct xl *x, int32_t off)
{
    XL_BYTES(x, 0x48, 0xc7, 0x44, 0x24, FRAME(insn_off)); /* mov qword [rsp + insn_off], off */
    codebuf_put4(x->cb, (uint32_t)off);
}

static bool integer(struct xl *x, const struct x86_insn *i)
{
    x86_step_fn f = i->step;
    if (f == step_div || f == step_idiv) /* a divide error is a host fault, at which translated code bails */
        return xl_copy(x, i, X86_READ);
    if (f == step_nop) {
        x->rcx_next = x->rcx_group;
        return true;
    }
    if (f == step_lea)
        return lea(x, i);
    if (AMONG(f, COPIED))
        return xl_copy(x, i, xl_mem_access(i));
    if (AMONG(f, COUNTED)) {
        const struct x86_opnd *count = &i->op[i->nr_opnds - 1];
        return count->kind == OPND_IMM ? xl_copy(x, i, xl_mem_access(i)) : xl_copy_cl(x, i, xl_mem_access(i));
    }
    if (AMONG(f, BIT_TESTS) && (i->op[0].kind != OPND_MEM || i->op[1].kind == OPND_IMM))
        return xl_copy(x, i, xl_mem_access(i));
    return false;
}

bool xl_vector_enabled(struct xl *x, uint32_t flags)
{
    const struct x86_cpu *c = x->c;
    xl_assume(x, X86_CONFIG_CR0(CR0_EM | CR0_TS) | X86_CONFIG_CR4(CR4_OSFXSR));
    if (flags & ROW_AVX)
        xl_assume(x, X86_CONFIG_CR4(CR4_OSXSAVE) | X86_CONFIG_XCR0(XCR0_SSE | XCR0_AVX));
    if ((c->cr0 & (CR0_EM | CR0_TS)) || !(c->cr4 & CR4_OSFXSR))
        return false;
    return !(flags & ROW_AVX) || ((c->cr4 & CR4_OSXSAVE) && (c->xcr0 & (XCR0_SSE | XCR0_AVX)) == (XCR0_SSE | XCR0_AVX));
}

/* PCMPxSTRI write ECX without naming it. (That they and PCMPxSTRM read EAX and EDX needs no care: these are in place.) */
static bool writes_ecx(const struct x86_row *row)
{
    const char *at = strstr(row->name, "STRI");
    return at && strstr(row->name, "PCMP");
}

void xl_vector_here(struct xl *x)
{
    if (x->fpu_here)
        return;
    xl_x87_settle(x);
    xl_load(x, H_RCX, FRAME(fpu_away));
    XL_BYTES(x, 0xe3, 9 + 5); /* jrcxz: they are here */
    xl_put_insn_off(x, xl_insn_off(x));
    xl_call(x, x->code->stub_fpu_load);
    x->fpu_here = true;
}

static bool vector(struct xl *x, const struct x86_insn *i)
{
    const struct x86_row *row = &x86_rows[i->row];
    if (!(row->flags & ROW_HOST) || (row->flags & (ROW_X87 | ROW_MMX | ROW_AVX512 | ROW_VSIB))
        || !(row->flags & (ROW_SSE | ROW_AVX)))
        return false;
    for (unsigned n = 0; n < i->nr_opnds; n++)
        if (i->op[n].kind == OPND_MMX || i->op[n].kind == OPND_K)
            return false;
    if (i->step == step_ud || !xl_vector_enabled(x, row->flags)) /* step_ud: the CPU model lacks it */
        return false;
    xl_vector_here(x);
    if (!xl_copy(x, i, xl_mem_access(i)))
        return false;
    if (writes_ecx(row)) {
        asm_mov(x->cb, 8, HOST_R10, HOST_RCX);
        x->rcx_next = -1;
    }
    return true;
}

/* Puts data beside code for rare cases, which it ends. */
static void add_data(struct xl *x, const void *data, size_t len)
{
    size_t at = (x->code->cold + 7) & ~(size_t)7, end = x->code->region[x->code->now].cold_end;
    if (x->cb->failed || at > end || end - at < len) {
        x->cb->failed = true;
        return;
    }
    memcpy(x->cb->rw + at, data, len);
    x->code->cold = at + len;
}

/* Calls the step function; what ends a block always exits behind it. */
void xl_call_out(struct xl *x, const struct x86_insn *i)
{
    if (i == &x->more[x->k]) { /* not the block's, which lives as long as the translation */
        add_data(x, i, sizeof(*i));
        i = (const void *)(x->cb->rx + x->code->cold - sizeof(*i));
    }
    xl_x87_settle(x);
    xl_put_insn_off(x, xl_insn_off(x));
    asm_mov_imm(x->cb, HOST_R11, (uint64_t)(uintptr_t)i);
    xl_call(x, x86_is_light(i) ? x->code->stub_light : x->code->stub_callout);
    x->fpu_here = x->x87_here = false; /* light ones may end in a call-out */
    xl_forget_checks(x);
}

/* Where there are other CPUs, one PAUSE in 256 lets another thread run: that may be who is waited for. */
static void pause_host(struct xl *x, const struct x86_insn *i)
{
    XL_BYTES(x, 0xf3, 0x90);
    if (!x->c->vcpu->vm || x->c->vcpu->vm->nr_vcpus < 2)
        return;
    xl_load(x, H_RCX, FRAME(pauses));
    xl_lea(x, 8, H_RCX, H_RCX, H_RSP, 1, -1);
    xl_store(x, FRAME(pauses), H_RCX);
    XL_BYTES(x, 0x0f, 0xb6, 0xc9); /* movzx ecx, cl */
    XL_BYTES(x, 0xe3, 5);          /* jrcxz over the jump */
    size_t from = xl_jmp(x, NULL);
    xl_call_out(x, i);
    xl_patch(x, from, x->cb->pos);
}

static void put_link(struct xl *x, const struct tail *t, enum x86_frame_exit kind)
{
    asm_mov_imm(x->cb, HOST_R11, (uint64_t)(uintptr_t)(x->cb->rx + t->from));
    xl_store(x, FRAME(link), H_R11);
    asm_mov_imm(x->cb, HOST_R11, x->b->page);
    xl_store(x, FRAME(link_page), H_R11);
    XL_BYTES(x, 0x48, 0xc7, 0x44, 0x24, FRAME(exit));
    codebuf_put4(x->cb, kind);
}

/* The instruction at off lies across the page's end. If that is no longer so one day, what lies there is called out just the
 * same. */
static bool is_across_pages(const struct xl *x, int32_t off)
{
    struct x86_insn i;
    unsigned left = GPAGE_SIZE - (unsigned)off;
    return left < X86_INSN_MAX && x86_decode(x->page + off, left, X86_MODE_64, &i) == X86_DECODE_SHORT;
}

static void call_out_across(struct xl *x, int32_t off)
{
    xl_put_insn_off(x, off);
    asm_mov_imm(x->cb, HOST_R11, 0);
    xl_call(x, x->code->stub_callout); /* does not come back here */
}

static void put_exit(struct xl *x, const struct tail *t)
{
    xl_load(x, H_R11, FRAME(page_va));
    xl_lea(x, 8, H_R11, H_R11, H_RSP, 1, t->off);
    xl_store(x, FRAME(rip), H_R11);
    if (t->link)
        put_link(x, t, t->back ? FRAME_EXIT_LINK_BACK : FRAME_EXIT_LINK);
    (void)xl_jmp(x, x->code->stub_exit);
}

static void put_miss_place(struct xl *x, const struct tail *t)
{
    asm_mov_imm(x->cb, HOST_RCX, (uint64_t)(uintptr_t)x->b);
    xl_store(x, FRAME(miss_block), H_RCX);
    XL_BYTES(x, 0x48, 0xc7, 0x84, 0x24); /* mov qword [rsp + miss_size], size */
    codebuf_put4(x->cb, (uint32_t)FRAME(miss_size));
    codebuf_put4(x->cb, t->size);
    if (t->fip != NO_FIP)
        xl_x87_put_fip(x, t->fip);
    xl_put_insn_off(x, t->off);
}

/* Plain code's first instruction accesses two pages. */
static void put_call_out_first(struct xl *x, const struct tail *t)
{
    xl_put_insn_off(x, t->off);
    asm_mov_imm(x->cb, HOST_R11, (uint64_t)(uintptr_t)x->insn[0]);
    xl_call(x, x->code->stub_callout);
    if (x->second) /* else it does not come back */
        (void)xl_jmp(x, x->cb->rx + x->second);
}

/* What is checked, at the address in r11, lies across two pages: to plain code from the instruction on. */
static void put_straddle(struct xl *x, const struct tail *t)
{
    size_t within;
    if (t->size < 2 || (t->off & FRAME_IN_SHADOW))
        return;
    if (x->note[t->k].flags_dead) {
        xl_lea(x, 4, H_RCX, H_R11, H_RSP, 1, (int32_t)t->size - 1);
        XL_BYTES(x, 0x44, 0x31, 0xd9);                     /* xor ecx, r11d */
        XL_BYTES(x, 0xf6, 0xc5, GPAGE_SIZE >> 8, 0x74, 0); /* test ch, the bit of the page; jz */
        within = x->cb->pos;
    } else {
        xl_pext(x, H_RCX, H_R11, FRAME(off_mask));
        xl_lea(x, 8, H_RCX, H_RCX, H_RSP, 1, (int32_t)t->size - 1);
        xl_pext(x, H_RCX, H_RCX, FRAME(page_mask));
        within = xl_jrcxz(x);
    }
    if (x->habits->plain && t->k == 0) {
        put_call_out_first(x, t);
        xl_here(x, within);
        return;
    }
    if (t->fip != NO_FIP)
        xl_x87_put_fip(x, t->fip);
    size_t from = xl_jmp(x, NULL);
    xl_patch(x, from, x->cb->pos); /* to what is next, so far */
    asm_mov_imm(x->cb, HOST_RCX, (uint64_t)t->off);
    asm_mov_imm(x->cb, HOST_R11, x->b->page);
    xl_call(x, x->code->stub_plain);
    assert(x->cb->failed || x->cb->pos - from == XL_PLAIN_LINK);
    xl_here(x, within);
}

static void put_tail(struct xl *x, struct tail *t)
{
    t->begin = x->cb->pos;
    xl_patch(x, t->from, x->cb->pos);
    switch (t->kind) {
    case TAIL_MISS:
        if (t->sub) { /* sub r11, [rsp + rcx * 8 + tags]: the address again */
            XL_BYTES(x, 0x4c, 0x2b, 0x9c, 0xcc);
            codebuf_put4(x->cb, (uint32_t)t->sub);
        }
        put_straddle(x, t);
        put_miss_place(x, t);
        codebuf_put1(x->cb, 0xb9); /* mov ecx, what */
        codebuf_put4(x->cb, t->what);
        xl_call(x, x->code->stub_miss);
        (void)xl_jmp(x, x->cb->rx + t->again);
        break;
    case TAIL_SITE:
        if (t->addr != H_R11 || t->plus)
            xl_lea(x, 8, H_R11, t->addr, H_RSP, 1, t->plus);
        put_straddle(x, t);
        put_miss_place(x, t);
        codebuf_put1(x->cb, 0xb9); /* mov ecx, site */
        codebuf_put4(x->cb, (uint32_t)t->site);
        xl_call(x, x->code->stub_site[t->bank][t->what & 0xff][xl_site_kind(t->what)]);
        if (t->addr == H_R11 && t->plus)
            xl_lea(x, 8, H_R11, H_R11, H_RSP, 1, -t->plus);
        (void)xl_jmp(x, x->cb->rx + t->again);
        break;
    case TAIL_BAIL:
        if (t->fip != NO_FIP)
            xl_x87_put_fip(x, t->fip);
        xl_put_insn_off(x, t->off);
        (void)xl_jmp(x, x->code->stub_bail);
        break;
    case TAIL_EXIT:
        if (t->link && is_across_pages(x, t->off))
            call_out_across(x, t->off);
        else
            put_exit(x, t);
        break;
    case TAIL_CROSS:
        xl_put_branch(x, t->branch);
        xl_leave_unless_canonical(x);
        xl_store(x, FRAME(rip), H_R11);
        put_link(x, t, FRAME_EXIT_LINK_CROSS);
        (void)xl_jmp(x, x->code->stub_exit);
        break;
    }
}

/* Looks at the vCPU's requests: compares them with 0 where flags are dead, else rcx is what they are. */
static void put_requests(struct xl *x)
{
    const _Atomic uint32_t *requests = &x->c->vcpu->requests;
    bool dead = x->note[0].flags_dead;
    if (!x->code->check_all && codebuf_reaches(x->cb, requests)) {
        const uint8_t *end = codebuf_here(x->cb) + (dead ? 7 : 6);
        XL_BYTES(x, dead ? 0x83 : 0x8b, dead ? 0x3d : 0x0d); /* cmp dword [rip + requests], 0; mov ecx, [rip + requests] */
        codebuf_put4(x->cb, (uint32_t)((const uint8_t *)requests - end));
        if (dead)
            codebuf_put1(x->cb, 0);
        return;
    }
    xl_load(x, H_RCX, FRAME(requests));
    if (dead)
        XL_BYTES(x, 0x83, 0x39, 0); /* cmp dword [rcx], 0 */
    else
        XL_BYTES(x, 0x8b, 0x09); /* mov ecx, [rcx] */
}

/* How a block leaves for its own address. From there execution would get back to plain code at once. */
static unsigned leave_kind(const struct xl *x)
{
    return x->habits->plain ? TAIL_BAIL : TAIL_EXIT;
}

/* Leaves for the block's own address when there are requests. island: a jump that leaves, near before here; 0: there is none. */
static void put_request_check(struct xl *x, size_t island, int32_t off)
{
    size_t from;
    put_requests(x);
    if (island) {
        xl_lea(x, 4, H_RCX, H_RCX, H_RSP, 1, 1);
        xl_loop(x, island);
        return;
    }
    if (x->note[0].flags_dead) {
        XL_BYTES(x, 0x0f, 0x85); /* jne */
        codebuf_put4(x->cb, 0);
        from = x->cb->pos - 4;
    } else {
        XL_BYTES(x, 0xe3, 5);
        from = xl_jmp(x, NULL);
    }
    xl_tail(x, (struct tail){ .kind = leave_kind(x), .from = from, .off = off });
}

static void put_entries(struct xl *x, int32_t off, struct x86_native *n)
{
    static_assert(FRAME(rip) <= 127 && FRAME(requests) <= 127, "short displacements are assumed");
    size_t island = 0;
    if (x->code->loops && !x->note[0].flags_dead) {
        island = x->cb->pos;
        xl_tail(x, (struct tail){ .kind = leave_kind(x), .from = xl_jmp(x, NULL), .off = off });
    }
    n->jump_entry = xl_jump_entry(x);
    n->far_entry = codebuf_here(x->cb);
    xl_lea(x, 8, H_R11, H_R11, H_RSP, 1, -off);
    xl_store(x, FRAME(page_va), H_R11);
    n->near_entry = codebuf_here(x->cb);
    put_request_check(x, island, off);
    n->inner_entry = codebuf_here(x->cb);
    x->inner = x->cb->pos;
}

/* Before a jump that may be linked: its rel32 must not be among the bytes that x86_code_kill() replaces. For a link is made and
 * undone while the block is out of use, too, and a kill keeps no more than the bytes that were there. */
static void keep_links_clear(struct xl *x)
{
    static const uint8_t nops[KILLED_BYTES][KILLED_BYTES] = {
        { 0x90 }, { 0x66, 0x90 }, { 0x0f, 0x1f, 0x00 }, { 0x0f, 0x1f, 0x40, 0 }, { 0x0f, 0x1f, 0x44, 0, 0 }
    };
    size_t emitted = x->cb->pos - x->inner;
    if (emitted < KILLED_BYTES)
        xl_bytes(x, nops[KILLED_BYTES - emitted - 1], KILLED_BYTES - emitted);
}

static bool early_check_due(const struct xl *x)
{
    for (unsigned n = 0; n < x->nr_groups; n++)
        if (x->group[n].early && x->group[n].first == x->k && !x->group[n].checked && x->group[n].count)
            return true;
    return false;
}

static void begin_second(struct xl *x)
{
    x->second = x->cb->pos;
    x->rcx_next = -1;
    x->fpu_here = x->x87_here = false;
    xl_forget_checks(x);
}

static void put_body(struct xl *x)
{
    bool ends = false;
    for (unsigned k = 0; k < x->nr && !ends; k++) {
        const struct x86_insn *i = x->insn[k];
        x->k = k;
        x->off = x->at[k];
        if (!xl_keeps_rsp_ahead(x, i) || early_check_due(x))
            xl_settle_rsp(x);
        x->starts[k] = (struct x86_start){ (uint16_t)(x->cb->pos - x->inner), x->at[k], (int16_t)x->fip, x->shadow };
        if (k == 1 && x->habits->plain)
            begin_second(x);
        x->rcx_group = k ? x->rcx_next : -1;
        x->rcx_next = -1;
        if (x->code->counts && (k == 0 || x->way[k - 1] != XL_LEAVES)) {
            x86_count_stretch(x);
            x->rcx_group = -1;
        }
        xl_early_checks(x);
        if (xl_kind(i) == XL_OTHER)
            xl_x87_settle(x);
        if (x86_rows[i->row].flags & ROW_BRANCH)
            keep_links_clear(x);
        bool shadow = x->shadow;
        if (!xl_flow(x, i, &ends)) {
            ends = false;
            if (xl_x87(x, i) || integer(x, i) || vector(x, i) || xl_sys(x, i) || xl_bits(x, i) || xl_string(x, i)) {
                x->code->native_insns++;
            } else if (i->step == step_pause) {
                pause_host(x, i);
            } else {
                xl_call_out(x, i);
            }
        } else {
            x->code->native_insns++;
        }
        if (shadow)
            x->shadow = false;
    }
    if (ends)
        return;
    xl_settle_rsp(x);
    xl_x87_settle(x);
    if (x->nr == 1 && x->habits->plain)
        begin_second(x);
    keep_links_clear(x);
    xl_goto(x, x->off + x->insn[x->nr - 1]->len, false);
}

/* What is out of line, and the table of instructions. */
static void put_cold(struct xl *x, struct x86_native *n)
{
    size_t behind = x->cb->pos, end = x->cb->end;
    x->cb->pos = x->code->cold;
    x->cb->end = x->code->region[x->code->now].cold_end;
    n->exit = codebuf_here(x->cb); /* the first tail is that of the request check */
    for (unsigned k = 0; k < x->nr_tails; k++)
        put_tail(x, &x->tail[k]);
    n->cross_entry = n->jump_entry; /* no link leads there */
    if (x->c->gmem->size >> GPAGE_SHIFT <= CROSS_PAGES_MAX)
        n->cross_entry = xl_cross_entry(x, x->at[0], n->far_entry);
    codebuf_align(x->cb, sizeof(x->look[0].hash));
    n->starts = (const void *)codebuf_here(x->cb);
    n->nr = (uint8_t)x->nr;
    codebuf_put(x->cb, x->starts, x->nr * sizeof(x->starts[0]));
    static_assert(sizeof(x->starts[0]) % sizeof(x->look[0].hash) == 0, "what lies behind is aligned");
    n->look = (const void *)codebuf_here(x->cb);
    n->nr_looks = (uint8_t)x->nr_looks;
    codebuf_put(x->cb, x->look, x->nr_looks * sizeof(x->look[0]));
    x->code->cold = x->cb->pos;
    x->cb->pos = behind;
    x->cb->end = end;
}

bool x86_translate(struct x86_code *code, struct x86_cpu *c, const struct x86_block *b, const struct x86_habits *habits,
                   struct x86_native *ret_native)
{
    struct xl *x = code->work;
    size_t begin = code->cb.pos, cold = code->cold;
    struct x86_native n = { .dead = false };
    x->code = code;
    x->cb = &code->cb;
    x->c = c;
    x->b = b;
    x->bank = c->bank;
    x->fpu_here = x->x87_here = x->shadow = false;
    x->rsp_ahead = 0;
    x->fip = NO_FIP;
    x->nr_tails = 0;
    x->k = 0;
    x->page = c->gmem->host + (b->page << GPAGE_SHIFT);
    x->habits = habits;
    x->nr_looks = 0;
    x->second = 0;
    xl_trace(x);
    x->off = x->at[0];
    xl_look(x);
    put_entries(x, x->off, &n);
    if (code->counts)
        x86_count_block(x);
    put_body(x);
    if (code->counts)
        x86_count_end(x);
    n.end = codebuf_here(x->cb);
    put_cold(x, &n);
    if (code->cb.failed) {
        codebuf_rollback(&code->cb, begin);
        code->cold = cold;
        return false;
    }
    if (code->log)
        x86_code_log_block(x, &n);
    codebuf_goes(x->cb, begin, x->cb->pos);
    codebuf_goes(x->cb, cold, code->cold);
    code->blocks++;
    code->insns += x->nr;
    *ret_native = n;
    return true;
}

const struct x86_start *x86_code_start_at(const struct x86_native *n, uint64_t pc)
{
    uint64_t at = pc - (uintptr_t)n->inner_entry;
    if (pc < (uintptr_t)n->inner_entry || pc >= (uintptr_t)n->end)
        return NULL;
    unsigned k = n->nr - 1;
    while (k > 0 && n->starts[k].code > at)
        k--;
    return &n->starts[k];
}

static uint8_t *writable(struct x86_code *code, const uint8_t *rx)
{
    assert(codebuf_contains(&code->cb, (uintptr_t)rx));
    return code->cb.rw + (rx - code->cb.rx);
}

/* Overwrites an entry with a jump. */
static void entry_jump(struct x86_code *code, const uint8_t *entry, const uint8_t *to)
{
    uint8_t jump[KILLED_BYTES] = { 0xe9 };
    int32_t rel = (int32_t)(to - (entry + KILLED_BYTES));
    memcpy(jump + 1, &rel, 4);
    memcpy(writable(code, entry), jump, sizeof(jump));
}

void x86_code_kill(struct x86_code *code, struct x86_native *n)
{
    if (n->dead)
        return;
    memcpy(n->killed[0], writable(code, n->near_entry), sizeof(n->killed[0]));
    memcpy(n->killed[1], writable(code, n->inner_entry), sizeof(n->killed[1]));
    entry_jump(code, n->near_entry, n->exit);
    entry_jump(code, n->inner_entry, n->exit);
    n->dead = true;
}

void x86_code_redirect(struct x86_code *code, struct x86_native *old, const struct x86_native *n)
{
    entry_jump(code, old->near_entry, n->near_entry);
    entry_jump(code, old->inner_entry, n->inner_entry);
    old->dead = true;
}

bool x86_code_revive(struct x86_code *code, struct x86_native *n, const uint8_t *page)
{
    for (unsigned k = 0; k < n->nr_looks; k++)
        if (xl_look_hash(XL_LOOK_INIT, page + n->look[k].off, n->look[k].len) != n->look[k].hash)
            return false;
    if (!n->dead)
        return true;
    memcpy(writable(code, n->near_entry), n->killed[0], sizeof(n->killed[0]));
    memcpy(writable(code, n->inner_entry), n->killed[1], sizeof(n->killed[1]));
    n->dead = false;
    return true;
}
