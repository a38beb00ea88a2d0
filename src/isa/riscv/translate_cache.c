/* SPDX-License-Identifier: MIT */
/*
 * Code memory and frames of the RISC-V translator: making them, what they remember and forget, links between translations.
 */
#include <cpuid.h>
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <ucontext.h>

#include "base/checked.h"
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
    RUN_CYCLES = 1000
}; /* per cent; code is mapped, and resident, twice */

/* ---- host faults: what hits a site that knows nothing ---- */

static _Thread_local struct riscv_code *running;
static struct sigaction former_segv;

static void on_segv(int sig, siginfo_t *info, void *context)
{
    ucontext_t *uc = context;
    greg_t *rip = &uc->uc_mcontext.gregs[REG_RIP];
    struct riscv_code *code = running;
    if (code && codebuf_contains(&code->cb, (uintptr_t)*rip)) {
        uc->uc_mcontext.gregs[REG_RAX] = *rip;
        *rip = (greg_t)code->stub_fault[code->running_fp];
        return;
    }
    if (former_segv.sa_flags & SA_SIGINFO)
        former_segv.sa_sigaction(sig, info, context);
    else
        (void)sigaction(SIGSEGV, &former_segv, NULL); /* it comes again */
}

static int catch_faults(struct error *err)
{
    struct sigaction sa = { .sa_sigaction = on_segv, .sa_flags = SA_SIGINFO | SA_RESTART }, was;
    if (sigaction(SIGSEGV, NULL, &was) < 0)
        return error_set(err, -errno, "cannot ask for signal handlers: %s", strerror(errno));
    if (was.sa_sigaction == on_segv)
        return 0;
    former_segv = was;
    if (sigaction(SIGSEGV, &sa, NULL) < 0)
        return error_set(err, -errno, "cannot set a signal handler: %s", strerror(errno));
    return 0;
}

void riscv_code_attach(struct riscv_code *code)
{
    running = code;
}

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

int riscv_code_init(struct riscv_code *code, struct riscv_cpu *c, size_t bytes, struct error *err)
{
    memset(code, 0, sizeof(*code));
    code->cpu = c;
    code->runs_many = RUNS_MANY;
    if (!host_can())
        return error_set(err, -ENOTSUP, "the host CPU lacks AVX2, BMI2, FMA or LZCNT, which engine bt needs for riscv64");
    rvx_has_evex = !without_avx512 && __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq")
                   && __builtin_cpu_supports("avx512bw");
    rvx_f_regs = c->profile->has[RISCV_EXT_V] ? RVX_FIRST_COPY - 2 : 30;
    code->arena_size = bytes / 100 * ARENA_SHARE;
    code->links_max = (uint32_t)(bytes / 100 * LINK_SHARE / sizeof(*code->link));
    code->arena = malloc(code->arena_size);
    code->link = malloc(code->links_max * sizeof(*code->link));
    code->work = malloc(sizeof(*code->work));
    code->places = calloc(RISCV_PLACES, sizeof(*code->places));
    code->callouts_of = calloc(riscv_nr_rows, sizeof(*code->callouts_of));
    if (!code->places || !code->arena || !code->link || !code->work || !code->callouts_of)
        return error_set(err, -ENOMEM, "no memory for engine bt");
    const char *trace = c->vcpu->vm->trace_code;
    int r = catch_faults(err);
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
    free(code->arena);
    free(code->link);
    free(code->places);
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

static void clear_known(struct riscv_known *known, const uint8_t *nowhere, const uint32_t next_site[2])
{
    for (unsigned w = 0; w < 2; w++)
        for (unsigned k = 0; k < RISCV_SITES && k < next_site[w]; k++)
            known->site[w][k] = riscv_site(RISCV_SITE_NONE, nowhere);
    memset(known->fetch, 0, sizeof(known->fetch));
}

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

void riscv_code_fill_site(struct riscv_code *code, int32_t at, struct riscv_site v)
{
    struct riscv_frame *f = code->now;
    struct riscv_site *s = in_frame(f, at);
    if (s->page == RISCV_SITE_NONE && at >= FRAME(own))
        f->own.used_sites.at[f->own.used_sites.nr++] = at;
    *s = v;
}

static void clear_used_jumps(struct riscv_frame *f, struct riscv_used *used)
{
    for (uint32_t k = 0; k < used->nr; k++) {
        struct riscv_jump *j = in_frame(f, used->at[k]);
        j->pc = no_pc(jump_hash(j->pc));
    }
    used->nr = 0;
}

/* Sites of U-mode's that know the page, or have that host page (stores; NULL: any), forget it; both NULL: all do. */
static void drop_sites(struct riscv_code *code, struct riscv_frame *f, const gva_t *va, const uint8_t *const *host)
{
    struct riscv_used *used = &f->own.used_sites;
    uint32_t left = 0;
    for (uint32_t k = 0; k < used->nr; k++) {
        struct riscv_site *s = in_frame(f, used->at[k]);
        bool store = used->at[k] >= FRAME(own.known.site[1]), all = !va && !host;
        if (all || (va && s->page == *va) || (host && store && (!host[0] || riscv_site_host(s) == host[0])))
            *s = riscv_site(RISCV_SITE_NONE, code->cpu->tlb->nowhere);
        else
            used->at[left++] = used->at[k];
    }
    used->nr = left;
}

/* The first time, when nothing says what is in the frame. */
static void make_own(struct riscv_code *code, struct riscv_frame *f)
{
    static const uint32_t all[2] = { RISCV_SITES, RISCV_SITES };
    clear_known(&f->own.known, code->cpu->tlb->nowhere, all);
    clear_jumps(f->own.jump, 2);
    f->own.used_jumps.nr = f->own.used_sites.nr = 0;
}

static void forget_own(struct riscv_code *code, unsigned n)
{
    struct riscv_frame *f = code->frame[n];
    const struct riscv_space *s = &code->cpu->tlb->space[n];
    if (code->seen[n] == UINT64_MAX)
        make_own(code, f);
    drop_sites(code, f, NULL, NULL);
    clear_used_jumps(f, &f->own.used_jumps);
    memset(f->own.known.fetch, 0, sizeof(f->own.known.fetch));
    code->seen[n] = s->flushes;
    code->seen_fences[n] = s->fenced.nr;
}

static void forget_shared(struct riscv_code *code, unsigned which)
{
    static const uint32_t all[2] = { RISCV_SITES, RISCV_SITES };
    struct riscv_frame *f = code->frame[0];
    uint64_t *seen = which ? &code->seen_all : &code->seen_shared;
    clear_known(&f->shared.known[which], code->cpu->tlb->nowhere, *seen == UINT64_MAX ? all : code->next_site[which]);
    if (which) {
        clear_jumps(&f->shared.jump[0], 4); /* M, BARE */
    } else if (*seen == UINT64_MAX) {
        clear_jumps(&f->shared.jump[2UL * RISCV_BANK_S], 4); /* S, S_SUM */
        f->shared.used_jumps.nr = 0;
    } else {
        clear_used_jumps(f, &f->shared.used_jumps);
    }
    *seen = which ? code->cpu->tlb->flushes_all : code->cpu->tlb->flushes;
    if (!which)
        code->seen_fences_shared = code->cpu->tlb->fenced.nr;
}

/* A page may be mapped elsewhere now. Jumps to it are not looked for one by one. */
static void forget_page_of_own(struct riscv_code *code, struct riscv_frame *f, gva_t va)
{
    uint32_t *fetch = &f->own.known.fetch[va >> GPAGE_SHIFT & (RISCV_FETCHES - 1)];
    drop_sites(code, f, &va, NULL);
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
    const struct riscv_fenced *own = &code->cpu->tlb->space[n].fenced, *shared = &code->cpu->tlb->fenced;
    if (own->nr - code->seen_fences[n] > RISCV_FENCES)
        forget_own(code, n);
    for (; code->seen_fences[n] != own->nr; code->seen_fences[n]++)
        forget_page_of_own(code, code->frame[n], own->page[code->seen_fences[n] % RISCV_FENCES]);
    if (shared->nr - code->seen_fences_shared > RISCV_FENCES
        || (shared->nr != code->seen_fences_shared && code->next_site[0][0] + code->next_site[0][1]))
        forget_shared(code, 0);
    for (; code->seen_fences_shared != shared->nr; code->seen_fences_shared++)
        forget_page_of_shared(code, shared->page[code->seen_fences_shared % RISCV_FENCES]);
}

static void drop_stores_at(struct riscv_code *code, struct riscv_known *known, uint32_t nr, const uint8_t *page)
{
    struct riscv_site *s = known->site[1];
    for (unsigned k = 0; k < nr && k < RISCV_SITES; k++)
        if (!page || riscv_site_host(&s[k]) == page)
            s[k] = riscv_site(RISCV_SITE_NONE, code->cpu->tlb->nowhere);
}

static void drop_stores_of_own(struct riscv_code *code, const uint8_t *page)
{
    drop_sites(code, code->now, NULL, &page);
}

void riscv_code_follow(struct riscv_code *code)
{
    const struct riscv_tlb *tlb = code->cpu->tlb;
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
    if (riscv_tlb_catch_up(code->cpu))
        drop_stores_of_own(code, NULL);
    memcpy((void *)code->now->shared.tlb, (const void *)tlb->bank, sizeof(code->now->shared.tlb));
}

void riscv_code_drop_stores(struct riscv_code *code, const uint8_t *page)
{
    riscv_tlb_drop_stores(code->cpu, page);
    for (unsigned k = 0; k < 2; k++)
        drop_stores_at(code, &code->frame[0]->shared.known[k], code->next_site[k][1], page);
    drop_stores_of_own(code, page);
}

void riscv_code_reset(struct riscv_code *code)
{
    code->cb.pos = code->base;
    code->cold = code->cold_base;
    code->cb.end = code->cold_base;
    code->cb.failed = false;
    code->arena_pos = 0;
    code->nr_links = code->nr_runs = 0;
    code->crossed = NULL;
    if (code->log)
        codelog_reset(code->log);
    memset(code->next_site, 0, sizeof(code->next_site));
    memset(code->places, 0, RISCV_PLACES * sizeof(*code->places));
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
    bool fp = (c->mstatus & MSTATUS_FS) == MSTATUS_FS && c->frm <= RM_RUP;
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

void riscv_code_add_jump(struct riscv_code *code, const struct riscv_native *n)
{
    uint64_t hash = (n->pc ^ n->pc >> RISCV_JUMP_SHIFT) / 2;
    fill_jump(code, n->mode, jump_of(code->now, n->pc, n->mode),
              (struct riscv_jump){ .pc = n->pc, .code = (uint64_t)n->checked });
    code->places[hash & (RISCV_PLACES - 1)] = (struct riscv_place){ .key = riscv_place_key(n->pc, n->mode),
                                                                    .code = (uint64_t)n->checked,
                                                                    .id = n->page[0]->id };
}

const uint8_t *riscv_code_find(struct riscv_code *code, gva_t pc, unsigned mode)
{
    uint64_t hash = (pc ^ pc >> RISCV_JUMP_SHIFT) / 2;
    struct riscv_jump *jump = jump_of(code->now, pc, mode);
    if (jump->pc == pc)
        return (const uint8_t *)jump->code;
    const struct riscv_place *place = &code->places[hash & (RISCV_PLACES - 1)];
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
        m->plain = n->entry;
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

bool riscv_code_ran_often(struct riscv_code *code, struct riscv_native *n)
{
    uint64_t now = __builtin_ia32_rdtsc(), took = now - n->since;
    if (n->run < 0)
        return false;
    n->since = now;
    code->frame[0]->shared.runs[n->run] = code->runs_many;
    if (took > (uint64_t)RUNS_MANY * RUN_CYCLES && !code->eager)
        return false;
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

const struct riscv_start *riscv_code_start_at(const struct riscv_native *n, uint64_t pc, gva_t *ret_pc)
{
    if (pc < (uint64_t)n->checked || pc >= (uint64_t)n->end)
        return NULL;
    unsigned k = 0;
    while (k + 1 < n->nr && (uint64_t)n->entry + n->start[k + 1].code <= pc)
        k++;
    *ret_pc = n->page[n->start[k].second]->va + n->start[k].off;
    return &n->start[k];
}
