/* SPDX-License-Identifier: MIT */
/*
 * One-instruction trampolines: see host_tramp.h.
 *
 * Two look-ups: `quick` by the raw bytes (most instructions run again and again), then `slots` by normal form. When the
 * code memory or the slots are full, everything is dropped at once; nobody else runs this thread's code. Unmasked SIMD
 * exceptions come back as SIGFPE: the handler (hostexec.c) asks host_code_fault_exit() where to go on, which is a stub in
 * front of the trampolines that puts the host's MXCSR back. The x87 control word is the ABI's default outside trampolines.
 * Spec: SDM 1 10.2.3 (MXCSR), 10.5.1 (FXSAVE); System V x86-64 psABI 3.2
 */
#include "isa/x86/host_tramp.h"

#include <pthread.h>
#include <stdlib.h>

#include "emit/asm.h"
#include "isa/x86/host_form.h"
#include "isa/x86/hostexec.h"

enum {
    CODE_SIZE = 1 << 20, /* bytes of trampolines a thread */
    NR_SLOTS = 8192,
    MAX_TRAMPS = 6000, /* so that a search ends soon */
    NR_QUICK = 4096,
    TRAMP_ALIGN = 16,
    HOST_MXCSR_AT = -64, /* from rsp: in the red zone, below what pushfq writes */
    MXCSR_DEFAULT = 0x1f80,
};

struct raw_key {
    uint64_t lo, hi; /* the bytes; length and mode on top */
};

struct quick {
    struct raw_key key;
    const struct host_tramp *tramp; /* borrowed: a slot's; NULL when free */
};

struct slot {
    struct host_form form; /* len 0: free */
    struct host_tramp tramp;
};

struct host_code {
    uint8_t bounce[64] __attribute__((aligned(64)));
    struct host_fx fx;
    struct codebuf code;
    const uint8_t *exit_simd, *exit_illegal;
    bool avx, avx512;
    unsigned nr_tramps;
    struct quick quick[NR_QUICK];
    struct slot slots[NR_SLOTS];
};

/* Signals belong to threads, so what a signal handler must find does too. */
static _Thread_local struct host_code *thread_code;  /* owned: freed by the key's destructor */
static _Thread_local struct host_code *running_code; /* thread_code while one of its trampolines runs */
static pthread_once_t process_once = PTHREAD_ONCE_INIT;
static bool process_ready; /* written under process_once */
static pthread_key_t key;

/* ---- generation ---- */

/* What one trampoline does around its instruction. */
struct plan {
    uint32_t vec_load, vec_store; /* bit n: zmm n */
    uint8_t k_load, k_store;
    uint8_t vec_size; /* bytes moved */
    bool gpr_load, gpr_store, flags_load, flags_store;
    struct host_implicit implicit;
};

static const struct host_gpr cpu_reg = { 7 };
static const struct host_gpr fx_reg = { 2 };

static struct host_mem cpu_mem(size_t offset)
{
    return host_mem(cpu_reg, (int32_t)offset);
}

static struct host_mem gpr_mem(unsigned n)
{
    return cpu_mem(offsetof(struct x86_cpu, gpr) + 8 * n);
}

static struct host_mem vec_mem(unsigned n)
{
    return cpu_mem(offsetof(struct x86_cpu, fpu.zmm) + 64 * n);
}

static struct host_mem mask_mem(unsigned n)
{
    return cpu_mem(offsetof(struct x86_cpu, fpu.k) + 8 * n);
}

static struct host_mem mxcsr_mem(void)
{
    return cpu_mem(offsetof(struct x86_cpu, fpu.mxcsr));
}

static struct host_mem host_mxcsr_mem(void)
{
    return host_mem(HOST_RSP, HOST_MXCSR_AT);
}

/* Rows that read MXCSR (DAZ, rounding) although they raise nothing. */
static bool reads_mxcsr_quietly(const struct x86_row *row)
{
    static const char *const names[] = { "VRCP14", "VRSQRT14", "VFPCLASS" };
    for (unsigned n = 0; n < sizeof(names) / sizeof(names[0]); n++)
        if (strncmp(row->name, names[n], strlen(names[n])) == 0)
            return true;
    return false;
}

static void plan_operand(const struct x86_opnd *o, unsigned n, struct plan *p, struct host_tramp *t)
{
    switch ((enum x86_opnd_kind)o->kind) {
    case OPND_MEM: t->mem_op = (uint8_t)n; break;
    case OPND_VEC:
        p->vec_load |= 1U << o->reg; /* a destination too: merging and legacy SSE keep parts of it */
        p->vec_store |= o->access & OPND_W ? 1U << o->reg : 0;
        break;
    case OPND_K:
        p->k_load |= (uint8_t)(1 << o->reg);
        p->k_store |= o->access & OPND_W ? (uint8_t)(1 << o->reg) : 0;
        break;
    case OPND_REG:
        p->gpr_load = true;
        p->gpr_store |= o->access & OPND_W;
        break;
    case OPND_MMX: t->fx = true; break;
    case OPND_ST: t->fx = true; break;
    case OPND_NONE:
    case OPND_REGH:
    case OPND_IMM:
    case OPND_IMM2:
    case OPND_REL:
    case OPND_SEG:
    case OPND_CR:
    case OPND_DR: break;
    }
}

static struct plan make_plan(const struct host_code *h, const struct x86_insn *i, const struct host_form *f, struct host_tramp *t)
{
    const struct x86_row *row = &x86_rows[i->row];
    struct plan p = { .implicit = host_form_implicit(f, i) };

    t->fx = row->flags & (ROW_X87 | ROW_MMX);
    t->fp = (row->flags & ROW_FPEXC) || reads_mxcsr_quietly(row);
    t->mem_op = HOST_NO_MEM;
    for (unsigned n = 0; n < i->nr_opnds; n++)
        plan_operand(&i->op[n], n, &p, t);
    if (i->enc == X86_ENC_EVEX && i->aaa)
        p.k_load |= (uint8_t)(1 << i->aaa);
    p.vec_load |= p.implicit.xmm0_read || p.implicit.xmm0_written;
    p.vec_store |= p.implicit.xmm0_written;
    p.vec_size = i->enc == X86_ENC_LEGACY ? 16 : h->avx512 ? 64 : 32;
    p.flags_store = row->flags_written | row->flags_undef;
    /* FCOMI and FCMOV leave or read some */
    p.flags_load = row->flags_read || (p.flags_store && (row->flags_written != FLAGS_ARITH || (row->flags & ROW_X87)));
    t->align = row->flags & ROW_ALIGN;
    t->plain = !t->align && !((row->flags & ROW_MASKED_MEM) && i->aaa);
    return p;
}

/* Only registers the host has; a guest cannot get here with others, since then the row is not offered. */
static bool plan_fits_host(const struct host_code *h, const struct x86_insn *i, const struct plan *p)
{
    if (i->enc == X86_ENC_EVEX || p->k_load || p->k_store)
        return h->avx512;
    return i->enc == X86_ENC_LEGACY || h->avx;
}

static void emit_loads(struct codebuf *cb, const struct plan *p, const struct host_form *f)
{
    for (uint8_t n = 0; n < 32; n++)
        if (p->vec_load >> n & 1)
            asm_vec_load(cb, p->vec_size, (struct host_vec){ n }, vec_mem(n));
    for (uint8_t n = 0; n < 8; n++)
        if (p->k_load >> n & 1)
            asm_mask_load(cb, (struct host_mask){ n }, mask_mem(n));
    if (p->flags_load) {
        asm_load(cb, 4, HOST_RAX, cpu_mem(offsetof(struct x86_cpu, rflags)));
        asm_alu_imm(cb, HOST_AND, 4, HOST_RAX, FLAGS_ARITH);
        asm_push(cb, HOST_RAX);
        asm_popfq(cb);
    }
    if (p->gpr_load)
        asm_load(cb, 8, HOST_RAX, gpr_mem(f->gpr));
    if (p->implicit.rax_rdx_read) {
        asm_load(cb, 8, HOST_RAX, gpr_mem(RAX));
        asm_load(cb, 8, HOST_RDX, gpr_mem(RDX));
    }
}

static void emit_stores(struct codebuf *cb, const struct plan *p, const struct host_form *f)
{
    if (p->gpr_store)
        asm_store(cb, 8, gpr_mem(f->gpr), HOST_RAX);
    if (p->implicit.rcx_written)
        asm_store(cb, 8, gpr_mem(RCX), HOST_RCX);
    if (p->flags_store) {
        asm_pushfq(cb);
        asm_pop(cb, HOST_RAX);
        asm_alu_imm(cb, HOST_AND, 4, HOST_RAX, FLAGS_ARITH);
        asm_alu_mem_imm(cb, HOST_AND, 4, cpu_mem(offsetof(struct x86_cpu, rflags)), ~FLAGS_ARITH);
        asm_alu_mem(cb, HOST_OR, 4, cpu_mem(offsetof(struct x86_cpu, rflags)), HOST_RAX);
    }
    for (uint8_t n = 0; n < 32; n++)
        if (p->vec_store >> n & 1)
            asm_vec_store(cb, p->vec_size, vec_mem(n), (struct host_vec){ n });
    for (uint8_t n = 0; n < 8; n++)
        if (p->k_store >> n & 1)
            asm_mask_store(cb, mask_mem(n), (struct host_mask){ n });
}

static void emit_tramp(struct codebuf *cb, const struct plan *p, const struct host_form *f, const struct x86_insn *i,
                       const struct host_tramp *t)
{
    if (t->fp || t->fx)
        asm_stmxcsr(cb, host_mxcsr_mem());
    if (t->fx)
        asm_fxrstor64(cb, host_mem(fx_reg, 0));
    if (t->fp)
        asm_ldmxcsr(cb, mxcsr_mem());
    emit_loads(cb, p, f);
    codebuf_put(cb, f->bytes, f->len);
    emit_stores(cb, p, f);
    if (t->fp)
        asm_stmxcsr(cb, mxcsr_mem());
    if (t->fx) {
        asm_fxsave64(cb, host_mem(fx_reg, 0));
        asm_fninit(cb);
    }
    if (t->fp || t->fx)
        asm_ldmxcsr(cb, host_mxcsr_mem());
    if (i->enc != X86_ENC_LEGACY)
        asm_vzeroupper(cb);
    asm_mov_imm(cb, HOST_RAX, HOST_DONE);
    asm_ret(cb);
}

/* ---- VZEROUPPER and VZEROALL, which name no register: written out, with a trampoline's signature ---- */

static unsigned zero_from(struct x86_cpu *c, unsigned first_byte)
{
    unsigned regs = c->mode == X86_MODE_64 ? 16 : 8;
    for (unsigned n = 0; n < regs; n++)
        memset(c->fpu.zmm[n] + first_byte, 0, 64 - first_byte);
    return HOST_DONE;
}

static unsigned run_vzeroupper(struct x86_cpu *c, void *operand, struct host_fx *fx)
{
    (void)operand, (void)fx;
    return zero_from(c, 16);
}

static unsigned run_vzeroall(struct x86_cpu *c, void *operand, struct host_fx *fx)
{
    (void)operand, (void)fx;
    return zero_from(c, 0);
}

static bool is_vzero(const struct host_form *f, const struct x86_insn *i)
{
    return i->enc == X86_ENC_VEX && f->map == HOST_MAP_0F && f->opcode == 0x77;
}

/* ---- the thread's set ---- */

static void code_reset(struct host_code *h)
{
    codebuf_reset(&h->code);
    memset(h->quick, 0, sizeof(h->quick));
    memset(h->slots, 0, sizeof(h->slots));
    h->nr_tramps = 0;
    h->exit_simd = codebuf_here(&h->code);
    asm_stmxcsr(&h->code, mxcsr_mem());
    asm_ldmxcsr(&h->code, host_mxcsr_mem());
    asm_mov_imm(&h->code, HOST_RAX, HOST_SIMD_FAULT);
    asm_ret(&h->code);
    h->exit_illegal = codebuf_here(&h->code);
    asm_mov_imm(&h->code, HOST_RAX, HOST_ILLEGAL);
    asm_ret(&h->code);
}

static void code_free(void *p)
{
    struct host_code *h = p;
    if (!h)
        return;
    codebuf_done(&h->code);
    free(h);
}

static void init_process(void)
{
    process_ready = pthread_key_create(&key, code_free) == 0 && (hostexec_is_ready() || hostexec_init(NULL) == 0);
}

static struct host_code *code_new(void)
{
    struct host_code *h;

    pthread_once(&process_once, init_process);
    h = process_ready ? aligned_alloc(64, sizeof(*h)) : NULL;
    if (!h)
        return NULL;
    memset(h, 0, sizeof(*h));
    if (codebuf_init(&h->code, CODE_SIZE, NULL, NULL) < 0) {
        free(h);
        return NULL;
    }
    h->avx = __builtin_cpu_supports("avx");
    h->avx512 = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq")
                && __builtin_cpu_supports("avx512vl");
    code_reset(h);
    (void)pthread_setspecific(key, h); /* if it fails the set outlives the thread, which is all */
    return h;
}

struct host_code *host_code_get(void)
{
    if (__builtin_expect(!thread_code, 0))
        thread_code = code_new();
    return thread_code;
}

void *host_code_bounce(struct host_code *h)
{
    return h->bounce;
}

struct host_fx *host_code_fx(struct host_code *h)
{
    return &h->fx;
}

/* ---- look-up ---- */

static struct raw_key raw_key_of(const struct x86_insn *i, enum x86_mode mode)
{
    struct raw_key k;
    unsigned bits = i->len * 8;
    memcpy(&k.lo, i->bytes, 8);
    k.hi = 0;
    if (bits > 64) {
        memcpy(&k.hi, i->bytes + 8, X86_INSN_MAX - 8);
        k.hi &= ~0ULL >> (128 - bits);
    } else {
        k.lo &= ~0ULL >> (64 - bits);
    }
    k.hi |= (uint64_t)(i->len | mode << 4) << 56;
    return k;
}

static unsigned hash2(uint64_t lo, uint64_t hi)
{
    return (unsigned)((lo * 0x9e3779b97f4a7c15ULL ^ hi * 0xc2b2ae3d27d4eb4fULL) >> 40);
}

static struct slot *find_slot(struct host_code *h, const struct host_form *f)
{
    uint64_t w[2] = { 0 };
    memcpy(w, f->bytes, HOST_FORM_MAX);
    for (unsigned n = hash2(w[0], w[1] + f->gpr);; n++) {
        struct slot *s = &h->slots[n % NR_SLOTS];
        if (s->form.len == 0)
            return s;
        if (s->form.len == f->len && s->form.gpr == f->gpr && memcmp(s->form.bytes, f->bytes, HOST_FORM_MAX) == 0)
            return s;
    }
}

/* Generates into a free slot; false when the code memory is full. */
static bool fill_slot(struct host_code *h, struct slot *s, const struct host_form *f, const struct x86_insn *i)
{
    struct host_tramp t = { 0 };
    struct plan p = make_plan(h, i, f, &t);

    codebuf_align(&h->code, TRAMP_ALIGN);
    size_t start = h->code.pos;
    t.fn = (host_tramp_fn)(uintptr_t)codebuf_here(&h->code);
    if (is_vzero(f, i)) {
        t.fn = i->vl == 32 ? run_vzeroall : run_vzeroupper;
    } else if (plan_fits_host(h, i, &p)) {
        emit_tramp(&h->code, &p, f, i, &t);
    } else {
        t.fn = (host_tramp_fn)(uintptr_t)h->exit_illegal;
        t.mem_op = HOST_NO_MEM;
    }
    if (h->code.failed) {
        codebuf_rollback(&h->code, start);
        return false;
    }
    s->form = *f;
    s->tramp = t;
    h->nr_tramps++;
    return true;
}

static const struct host_tramp *get_slow(struct host_code *h, const struct x86_insn *i, enum x86_mode mode)
{
    struct host_form f;
    if (!host_form_make(i, mode, &f))
        return NULL;
    struct slot *s = find_slot(h, &f);
    if (s->form.len)
        return &s->tramp;
    if (h->nr_tramps < MAX_TRAMPS && fill_slot(h, s, &f, i))
        return &s->tramp;
    code_reset(h);
    s = find_slot(h, &f);
    return fill_slot(h, s, &f, i) ? &s->tramp : NULL;
}

const struct host_tramp *host_tramp_get(struct host_code *h, const struct x86_insn *i, enum x86_mode mode)
{
    struct raw_key k = raw_key_of(i, mode);
    struct quick *q = &h->quick[hash2(k.lo, k.hi) % NR_QUICK];
    if (__builtin_expect(q->tramp && q->key.lo == k.lo && q->key.hi == k.hi, 1))
        return q->tramp;
    const struct host_tramp *t = get_slow(h, i, mode);
    *q = (struct quick){ k, t };
    return t;
}

/* ---- running ---- */

enum host_result host_tramp_run(struct host_code *h, const struct host_tramp *t, struct x86_cpu *c, void *operand,
                                struct host_fx *fx)
{
    running_code = h;
    __asm__ volatile("" ::: "memory"); /* the signal handler on this thread looks at it */
    unsigned result = t->fn(c, operand, fx);
    __asm__ volatile("" ::: "memory");
    running_code = NULL;
    if (__builtin_expect(result != HOST_DONE, 0)) {
        uint32_t mxcsr = MXCSR_DEFAULT;
        if (t->fx)
            __asm__ volatile("fninit"); /* leaves the registers empty, as the ABI wants */
        if (result == HOST_ILLEGAL)
            __asm__ volatile("ldmxcsr %0" : : "m"(mxcsr));
    }
    return result;
}

uintptr_t host_code_fault_exit(uintptr_t pc, enum host_result why)
{
    struct host_code *h = running_code;
    if (!h || !codebuf_contains(&h->code, pc))
        return 0;
    return (uintptr_t)(why == HOST_SIMD_FAULT ? h->exit_simd : h->exit_illegal);
}
