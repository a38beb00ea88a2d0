/* SPDX-License-Identifier: MIT */
/*
 * Code memory and frames of the RISC-V translator: making them, what they remember and forget, links between translations.
 */
#include <cpuid.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/checked.h"
#include "base/pages.h"
#include "core/vcpu.h"
#include "core/vm.h"
#include "isa/riscv/insn_steps.h"
#include "isa/riscv/translate_emit.h"
#include "isa/riscv/translate_log.h"

enum {
    CODE_SHARE = 35,
    ARENA_SHARE = 25,
    LINK_SHARE = 5,
    KILL_BYTES = 5,
    RUNS_MANY = 20000,
    RUN_CYCLES = 3000,
    CODE_A_NATIVE = 128 /* bytes; mostly it is more */
};                      /* per cent; code is mapped, and resident, twice */

/* ---- making ---- */

/* Shows `len` bytes of shared memory at a second address. */
static bool show(void *from, void *at, size_t len)
{
    return mremap(from, 0, len, MREMAP_MAYMOVE | MREMAP_FIXED, at) == at;
}

static int make_frames(struct riscv_code *code, struct error *err)
{
    enum { PRIVATE = MAP_PRIVATE | MAP_ANONYMOUS };
    size_t shared_len = offsetof(struct riscv_frame, own) - offsetof(struct riscv_frame, shared);
    void *shared = mmap(NULL, shared_len, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    bool ok = shared != MAP_FAILED;
    for (unsigned k = 0; k < RISCV_SPACES && ok; k++) {
        struct riscv_frame *f = mmap(NULL, sizeof(*f), PROT_READ | PROT_WRITE, PRIVATE, -1, 0);
        ok = f != MAP_FAILED;
        if (ok) {
            code->frame[k] = f;
            ok = show(code->cpu, &f->cpu, offsetof(struct riscv_frame, shared)) && show(shared, &f->shared, shared_len);
        }
    }
    if (shared != MAP_FAILED)
        (void)munmap(shared, shared_len);
    return ok ? 0 : error_set(err, -ENOMEM, "no memory for the frames of engine bt");
}

static void fill_shared(struct riscv_code *code)
{
    struct riscv_frame *f = code->frame[0];
    const uint64_t sign = 1ULL << 63, sign32 = 1ULL << 31, ones = 0xffffffff00000000;
    f->shared.code = code;
    f->shared.places = code->places;
    for (unsigned mode = 0; mode < RISCV_MODE_NR; mode++)
        f->shared.mode_key[mode] = riscv_place_key(0, mode);
    f->shared.requests = &code->cpu->vcpu->requests;
    const struct gmem *gm = code->cpu->gmem;
    f->shared.to_gpa = gm->slot[0].base - gm->slot[0].offset - (uint64_t)gm->host;
    f->shared.sign64[0] = sign;
    f->shared.abs64[0] = ~sign;
    f->shared.sign32[0] = sign32;
    f->shared.abs32[0] = ~sign32;
    f->shared.box[0] = ones;
    rvx_vec_constants(&f->shared.vec);
    code->seen_shared = code->seen_all = UINT64_MAX; /* nothing is known yet */
    for (unsigned k = 0; k < RISCV_SPACES; k++)
        code->seen[k] = UINT64_MAX;
}

static bool host_can(void)
{
    enum { EXTENDED = 0x80000001, ECX_ABM = 1 << 5 }; /* LZCNT, which not every compiler's builtin knows */
    unsigned a, b, c, d;
    return __get_cpuid(EXTENDED, &a, &b, &c, &d) && (c & ECX_ABM) && __builtin_cpu_supports("avx2")
           && __builtin_cpu_supports("bmi") && __builtin_cpu_supports("bmi2") && __builtin_cpu_supports("fma")
           && __builtin_cpu_supports("popcnt");
}

static bool without_avx512; /* for tests */

void riscv_code_without_avx512(bool without)
{
    without_avx512 = without;
}

/* Of code->places, with the links behind them. */
static size_t places_bytes(const struct riscv_code *code)
{
    return RISCV_PLACES * sizeof(*code->places) + code->links_max * sizeof(*code->link);
}

int riscv_code_init(struct riscv_code *code, struct riscv_cpu *c, bool guest, size_t bytes, struct error *err)
{
    memset(code, 0, sizeof(*code));
    code->cpu = c;
    code->tlb = c->tlb->guest == guest ? c->tlb : c->other_tlb;
    code->runs_many = RUNS_MANY;
    if (!host_can())
        return error_set(err, -ENOTSUP, "the host CPU lacks AVX2, BMI2, FMA or LZCNT, which engine bt needs for riscv64");
    rvx_has_evex = !without_avx512 && __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq")
                   && __builtin_cpu_supports("avx512bw");
    rvx_f_regs = c->profile->has[RISCV_EXT_V] ? RVX_FIRST_COPY - 2 : 30;
    code->arena_size = bytes / 100 * ARENA_SHARE;
    code->links_max = (uint32_t)(bytes / 100 * LINK_SHARE / sizeof(*code->link));
    code->natives_max = (uint32_t)(bytes / 100 * CODE_SHARE / CODE_A_NATIVE);
    code->native = malloc(code->natives_max * sizeof(struct riscv_native *));
    code->arena = pages_new(code->arena_size);
    code->work = malloc(sizeof(*code->work));
    code->places = pages_new(places_bytes(code));
    code->callouts_of = calloc(riscv_nr_rows, sizeof(*code->callouts_of));
    if (!code->native || !code->places || !code->arena || !code->work || !code->callouts_of)
        return error_set(err, -ENOMEM, "no memory for engine bt");
    code->link = (struct riscv_link *)(code->places + RISCV_PLACES);
    const char *trace = guest ? NULL : c->vcpu->vm->trace_code;
    int r = riscv_code_catch_faults(err);
    if (r == 0)
        r = trace ? codebuf_init_named(&code->cb, bytes / 100 * CODE_SHARE, err)
                  : codebuf_init(&code->cb, bytes / 100 * CODE_SHARE, &c->vcpu->requests, err);
    if (r == 0)
        r = make_frames(code, err);
    if (r < 0)
        return r;
    fill_shared(code);
    if (!rvx_stubs(code))
        return error_set(err, -EINVAL, "the code cache has no room for engine bt");
    riscv_code_reset(code);
    return trace ? riscv_code_log_new(code, trace, c->vcpu->id, err) : 0;
}

void riscv_code_done(struct riscv_code *code)
{
    for (unsigned k = 0; k < RISCV_SPACES; k++)
        if (code->frame[k])
            (void)munmap(code->frame[k], sizeof(*code->frame[k]));
    codebuf_done(&code->cb);
    pages_free(code->arena, code->arena_size);
    pages_free(code->places, places_bytes(code));
    free((void *)code->native);
    free(code->work);
    free(code->callouts_of);
    codelog_free(code->log);
}

size_t riscv_code_to_cold(struct riscv_code *code)
{
    size_t hot = code->cb.pos;
    code->cb.pos = code->cold;
    code->cb.end = code->cb.size;
    return hot;
}

void riscv_code_to_hot(struct riscv_code *code, size_t hot)
{
    code->cold = code->cb.pos;
    code->cb.pos = hot;
    code->cb.end = code->cold_base;
}

void *riscv_code_alloc(struct riscv_code *code, size_t bytes)
{
    size_t at = ALIGN_UP(code->arena_pos, (size_t)16);
    if (at + bytes > code->arena_size)
        return NULL;
    code->arena_pos = at + bytes;
    return code->arena + at;
}

/* ---- what is remembered ---- */

static unsigned jump_hash(uint64_t pc)
{
    return (unsigned)((pc ^ pc >> RISCV_JUMP_SHIFT) / 2) & (RISCV_JUMPS - 1);
}

/* What no jump that looks at entry n asks for, not even one to an odd address: odd, and of another entry. */
static uint64_t no_pc(unsigned n)
{
    return n ? 1 : 3;
}

static void clear_jumps(struct riscv_jump jump[][RISCV_JUMPS], unsigned nr)
{
    for (unsigned m = 0; m < nr; m++)
        for (unsigned k = 0; k < RISCV_JUMPS; k++)
            jump[m][k].pc = no_pc(k);
}

static void *in_frame(struct riscv_frame *f, int32_t at)
{
    return (uint8_t *)f + RBP_BIAS + at;
}

static void clear_used_jumps(struct riscv_frame *f, struct riscv_used *used)
{
    for (uint32_t k = 0; k < used->nr; k++) {
        struct riscv_jump *j = in_frame(f, used->at[k]);
        j->pc = no_pc(jump_hash(j->pc));
    }
    used->nr = 0;
}

/* The first time, when nothing says what is in the frame. */
static void make_own(struct riscv_frame *f)
{
    (void)madvise(&f->own, offsetof(struct riscv_frame, own.used_jumps) - offsetof(struct riscv_frame, own),
                  MADV_POPULATE_WRITE); /* all at once; else one by one */
    clear_jumps(f->own.jump, 2);
    f->own.used_jumps.nr = 0;
}

static void forget_own(struct riscv_code *code, unsigned n)
{
    struct riscv_frame *f = code->frame[n];
    const struct riscv_space *s = &code->tlb->space[n];
    if (code->seen[n] == UINT64_MAX)
        make_own(f);
    clear_used_jumps(f, &f->own.used_jumps);
    memset(f->own.known.fetch, 0, sizeof(f->own.known.fetch));
    code->seen[n] = s->flushes;
    code->seen_fences[n] = s->fenced.nr;
}

static void forget_shared(struct riscv_code *code, unsigned which)
{
    struct riscv_frame *f = code->frame[0];
    uint64_t *seen = which ? &code->seen_all : &code->seen_shared;
    memset(f->shared.known[which].fetch, 0, sizeof(f->shared.known[which].fetch));
    if (which) {
        clear_jumps(&f->shared.jump[0], 4); /* M, BARE */
    } else if (*seen == UINT64_MAX) {
        clear_jumps(&f->shared.jump[2UL * RISCV_BANK_S], 4); /* S, S_SUM */
        f->shared.used_jumps.nr = 0;
    } else {
        clear_used_jumps(f, &f->shared.used_jumps);
    }
    *seen = which ? code->tlb->flushes_all : code->tlb->flushes;
    if (!which)
        code->seen_fences_shared = code->tlb->fenced.nr;
}

/* A page may be mapped elsewhere now. Jumps to it are not looked for one by one. */
static void forget_page_of_own(struct riscv_frame *f, gva_t va)
{
    uint32_t *fetch = &f->own.known.fetch[va >> GPAGE_SHIFT & (RISCV_FETCHES - 1)];
    if (*fetch)
        clear_used_jumps(f, &f->own.used_jumps);
    *fetch = 0;
}

static void forget_page_of_shared(struct riscv_code *code, gva_t va)
{
    struct riscv_frame *f = code->frame[0];
    uint32_t *fetch = &f->shared.known[0].fetch[va >> GPAGE_SHIFT & (RISCV_FETCHES - 1)];
    if (*fetch)
        clear_used_jumps(f, &f->shared.used_jumps);
    *fetch = 0;
}

/* Single pages were fenced. */
static void follow_fences(struct riscv_code *code, unsigned n)
{
    const struct riscv_fenced *own = &code->tlb->space[n].fenced, *shared = &code->tlb->fenced;
    if (own->nr - code->seen_fences[n] > RISCV_FENCES)
        forget_own(code, n);
    for (; code->seen_fences[n] != own->nr; code->seen_fences[n]++)
        forget_page_of_own(code->frame[n], own->page[code->seen_fences[n] % RISCV_FENCES]);
    if (shared->nr - code->seen_fences_shared > RISCV_FENCES)
        forget_shared(code, 0);
    for (; code->seen_fences_shared != shared->nr; code->seen_fences_shared++)
        forget_page_of_shared(code, shared->page[code->seen_fences_shared % RISCV_FENCES]);
}

void riscv_code_follow(struct riscv_code *code)
{
    const struct riscv_tlb *tlb = code->tlb;
    unsigned n = tlb->now;
    code->now = code->frame[n];
    if (code->seen[n] != tlb->space[n].flushes)
        forget_own(code, n);
    if (code->seen_shared != tlb->flushes)
        forget_shared(code, 0);
    if (code->seen_all != tlb->flushes_all)
        forget_shared(code, 1);
    if (code->seen_fences[n] != tlb->space[n].fenced.nr || code->seen_fences_shared != tlb->fenced.nr)
        follow_fences(code, n);
    (void)riscv_tlb_catch_up(code->tlb);
    memcpy((void *)code->now->shared.tlb, (const void *)tlb->bank, sizeof(code->now->shared.tlb));
}

void riscv_code_drop_stores(struct riscv_code *code, const uint8_t *page)
{
    riscv_tlb_drop_stores(code->tlb, page);
}

void riscv_code_reset(struct riscv_code *code)
{
    code->cb.pos = code->base;
    code->cold = code->cold_base;
    code->cb.end = code->cold_base;
    code->cb.failed = false;
    codebuf_goes(&code->cb, code->base, code->base);
    codebuf_goes(&code->cb, code->cold_base, code->cold_base);
    if (code->arena_pos) /* else nothing was translated yet */
        memset(code->places, 0, RISCV_PLACES * sizeof(*code->places));
    code->arena_pos = 0;
    code->nr_links = code->nr_runs = 0;
    code->crossed = NULL;
    if (code->log)
        codelog_reset(code->log);
    code->nr_natives = 0;
    code->seen_shared = code->seen_all = UINT64_MAX;
    for (unsigned k = 0; k < RISCV_SPACES; k++)
        code->seen[k] = UINT64_MAX;
    riscv_code_follow(code);
}

unsigned riscv_code_mode(const struct riscv_cpu *c)
{
    unsigned bank = c->bank == RISCV_BANK_S_SUM ? (unsigned)RISCV_BANK_S : c->bank;
    if (bank != c->fetch_bank)
        return RISCV_MODE_NONE;
    uint64_t status = c->hyp.virt ? c->mstatus & c->hyp.vsstatus : c->mstatus;
    bool fp = (status & MSTATUS_FS) == MSTATUS_FS && c->frm <= RM_RUP;
    return 2U * c->bank + fp;
}

/* ---- links ---- */

int32_t rvx_fetch_at(unsigned bank, gva_t va)
{
    int32_t known = bank == RISCV_BANK_U                               ? FRAME(own.known.fetch)
                    : bank == RISCV_BANK_S || bank == RISCV_BANK_S_SUM ? FRAME(shared.known[0].fetch)
                                                                       : FRAME(shared.known[1].fetch);
    return known + 4 * (int32_t)(va >> GPAGE_SHIFT & (RISCV_FETCHES - 1));
}

int32_t rvx_jump_at(unsigned mode)
{
    return mode / 2 == RISCV_BANK_U ? FRAME(own.jump) + (int32_t)(mode & 1) * (int32_t)sizeof(struct riscv_jump[RISCV_JUMPS])
                                    : FRAME(shared.jump) + (int32_t)mode * (int32_t)sizeof(struct riscv_jump[RISCV_JUMPS]);
}

void riscv_code_link(struct riscv_code *code, uint64_t link, const struct riscv_native *n)
{
    struct riscv_link *l = &code->link[link];
    const uint8_t *to = l->back ? n->checked : n->entry;
    bool near = n->page[0] == l->from->page[0] || (l->second && n->page[0] == l->from->page[1]);
    if (!near) { /* another page: is it still mapped? */
        enum { CHECK_MAX = 64 };
        if (code->cold + CHECK_MAX > code->cb.size)
            return;
        size_t hot = riscv_code_to_cold(code);
        const uint8_t *check = codebuf_here(&code->cb);
        asm_alu_mem_imm(&code->cb, HOST_CMP, 4, at_rbp(rvx_fetch_at((n->mode & 15U) / 2, n->pc)), (int32_t)n->page[0]->id);
        (void)asm_jcc(&code->cb, CC_NE, code->cb.rx + l->miss);
        (void)asm_jmp(&code->cb, to);
        riscv_code_to_hot(code, hot);
        to = check;
        code->nr_crossed++;
    }
    asm_patch(&code->cb, l->at, to);
}

static uint32_t *fetch_slot(const struct riscv_code *code, unsigned bank, gva_t va)
{
    return (uint32_t *)((uint8_t *)code->now + RBP_BIAS + rvx_fetch_at(bank, va));
}

void riscv_code_add_page(struct riscv_code *code, unsigned mode, const struct riscv_code_page *p)
{
    *fetch_slot(code, (mode & 15U) / 2, p->va) = p->id;
}

static void fill_jump(struct riscv_code *code, unsigned mode, struct riscv_jump *jump, struct riscv_jump v)
{
    struct riscv_frame *f = code->now;
    struct riscv_used *used = mode / 2 == RISCV_BANK_U   ? &f->own.used_jumps
                              : mode / 2 >= RISCV_BANK_S ? &f->shared.used_jumps
                                                         : NULL;
    if (used && (jump->pc & 1))
        used->at[used->nr++] = (int32_t)((uint8_t *)jump - ((uint8_t *)f + RBP_BIAS));
    *jump = v;
}

static struct riscv_jump *jump_of(struct riscv_frame *f, gva_t pc, unsigned mode)
{
    struct riscv_jump *jump = mode / 2 == RISCV_BANK_U ? f->own.jump[mode & 1] : f->shared.jump[mode];
    return &jump[jump_hash(pc)];
}

static struct riscv_place *place_of(const struct riscv_code *code, gva_t pc)
{
    return &code->places[(pc ^ pc >> RISCV_JUMP_SHIFT) / 2 & (RISCV_PLACES - 1)];
}

void riscv_code_add_jump(struct riscv_code *code, struct riscv_native *n)
{
    struct riscv_jump *jump = jump_of(code->now, n->pc, n->mode);
    struct riscv_place *place = place_of(code, n->pc);
    if (jump->pc != n->pc || jump->code != (uint64_t)n->checked)
        fill_jump(code, n->mode, jump, (struct riscv_jump){ .pc = n->pc, .code = (uint64_t)n->checked });
    if (place->native != n)
        *place = (struct riscv_place){
            .key = riscv_place_key(n->pc, n->mode), .code = (uint64_t)n->checked, .id = n->page[0]->id, .native = n
        };
}

struct riscv_native *riscv_code_native(const struct riscv_code *code, gva_t pc, unsigned mode)
{
    const struct riscv_place *place = place_of(code, pc);
    if (place->key != riscv_place_key(pc, mode) || place->id != *fetch_slot(code, mode / 2, pc) || place->native->dead)
        return NULL;
    return place->native;
}

const uint8_t *riscv_code_find(struct riscv_code *code, gva_t pc, unsigned mode)
{
    struct riscv_jump *jump = jump_of(code->now, pc, mode);
    if (jump->pc == pc)
        return (const uint8_t *)jump->code;
    const struct riscv_place *place = place_of(code, pc);
    if (place->key != riscv_place_key(pc, mode) || place->id != *fetch_slot(code, mode / 2, pc))
        return NULL;
    fill_jump(code, mode, jump, (struct riscv_jump){ .pc = pc, .code = place->code });
    return (const uint8_t *)place->code;
}

void riscv_code_go_plain(struct riscv_code *code, const struct riscv_native *n)
{
    struct riscv_miss *m = code->crossed;
    code->crossed = NULL;
    if (m && m->pc == n->pc && n->mode == (m->from->mode | RISCV_MODE_PLAIN)
        && (n->page[0] == m->from->page[0] || n->page[0] == m->from->page[1]))
        m->plain = n->checked; /* the way here may have been a loop's only one back */
}

static void put_kill(struct riscv_code *code, const uint8_t *at, const uint8_t *to)
{
    size_t pos = (size_t)(at - code->cb.rx);
    code->cb.rw[pos] = 0xe9;
    asm_patch(&code->cb, pos + 1, to);
}

void riscv_code_kill(struct riscv_code *code, struct riscv_native *n)
{
    if (n->dead)
        return;
    n->dead = true;
    put_kill(code, n->checked, n->gone);
    put_kill(code, n->entry, n->gone);
    code->kills++;
}

void riscv_code_learn(const struct riscv_code *code, const struct riscv_native *n, riscv_learn_fn learn, void *opaque)
{
    int64_t runs = code->runs_many; /* that got as far */
    gva_t last = 0;                 /* a branch that ends a translation has two links */
    for (uint32_t k = n->first_link; k < n->first_link + n->nr_links && n->run >= 0; k++) {
        const struct riscv_link *l = &code->link[k];
        if (l->branch && l->branch != last && runs > code->runs_many / 16)
            learn(opaque, l->branch, l->left > runs / 2 ? l->taken : !l->taken);
        runs -= l->left;
        last = l->branch;
    }
}

bool riscv_code_ran_often(struct riscv_code *code, struct riscv_native *n)
{
    uint64_t now = __builtin_ia32_rdtsc(), took = now - n->since;
    if (n->run < 0)
        return false;
    n->since = now;
    code->frame[0]->shared.runs[n->run] = code->runs_many;
    bool often = took <= (uint64_t)RUNS_MANY * RUN_CYCLES || code->eager;
    if (!often || !riscv_code_get_windows(code)) {
        for (uint32_t k = n->first_link; k < n->first_link + n->nr_links; k++)
            code->link[k].left = 0;
        return false;
    }
    rvx_pc_add(code->often, n->pc);
    code->promoted++;
    riscv_code_kill(code, n);
    return true;
}

void riscv_code_redirect(struct riscv_code *code, const struct riscv_native *dead, const struct riscv_native *n)
{
    put_kill(code, dead->checked, n->checked);
    put_kill(code, dead->entry, n->entry);
}
