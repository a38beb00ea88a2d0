/* SPDX-License-Identifier: MIT */
/*
 * The frames of translated code: their memory, what they cache, and which is used.
 *
 * The first pages of all frames (and the stack below) are one memory, and so is the KERNEL bank, which has supervisor pages only;
 * few of those are not global, and they are dropped at each switch. The banks USER and KERNEL_AC belong to an address space. The
 * one longest unused is given to a new address space, and one that can be met no more before that.
 *
 * INVLPG reaches the frames through the TLB's ring of flushes. Jumps are cached only to pages in the table of pages of code.
 */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "core/vcpu.h"
#include "isa/x86/step.h"
#include "isa/x86/tlb.h"
#include "isa/x86/translate.h"

static const size_t HEAD_BYTES = offsetof(struct x86_frame, bank), BANK_BYTES = sizeof(struct x86_frame_bank);
static_assert(offsetof(struct x86_frame, bank) % GPAGE_SIZE == 0, "banks are mapped one by one");
static_assert(sizeof(struct x86_frame_bank) % GPAGE_SIZE == 0, "banks are mapped one by one");

/* Banks that each address space has of its own. */
static const uint8_t OWN[] = { X86_BANK_USER, X86_BANK_KERNEL_AC };
enum { OWN_NR = sizeof(OWN), SITE_GROUPS = FRAME_SITES / FRAME_SITE_GROUP };

/* ---- one bank ---- */

/* An entry that is not there must never match, not even for an address no honest guest uses: it holds what belongs to
 * another index. Most is 0, so that memory nobody has used yet will do. */
static uint64_t no_tag(unsigned k)
{
    return k ? 0 : -(1ULL << GPAGE_SHIFT);
}

static void set_add(struct x86_frame_set *s, unsigned k)
{
    s->bit[k / 64] |= 1ULL << k % 64;
    s->any[k / 64 / 64] |= 1ULL << k / 64 % 64;
}

static void set_remove(struct x86_frame_set *s, unsigned k)
{
    s->bit[k / 64] &= ~(1ULL << k % 64);
}

/* Calls fn for each. */
static void set_each(const struct x86_frame_set *s, struct x86_frame_bank *b, void (*fn)(struct x86_frame_bank *b, unsigned k))
{
    for (unsigned a = 0; a < FRAME_TLB / 64 / 64; a++)
        for (uint64_t words = s->any[a]; words; words &= words - 1) {
            unsigned w = a * 64 + (unsigned)__builtin_ctzll(words);
            for (uint64_t bits = s->bit[w]; bits; bits &= bits - 1)
                fn(b, w * 64 + (unsigned)__builtin_ctzll(bits));
        }
}

static void set_clear(struct x86_frame_set *s)
{
    for (unsigned a = 0; a < FRAME_TLB / 64 / 64; a++)
        for (; s->any[a]; s->any[a] &= s->any[a] - 1)
            s->bit[a * 64 + (unsigned)__builtin_ctzll(s->any[a])] = 0;
}

static bool lies_in(uint64_t neg, gva_t lin, unsigned shift)
{
    return -neg >> shift == lin >> shift;
}

/* The sites of an access, all or those of a page. Which of them have pages is known by groups. */
static void drop_sites(struct x86_frame_bank *b, enum x86_access access)
{
    for (unsigned g = 0; g < SITE_GROUPS; g++) {
        if (!b->site_used[access * SITE_GROUPS + g])
            continue;
        b->site_used[access * SITE_GROUPS + g] = 0;
        for (unsigned k = 0; k < FRAME_SITE_GROUP; k++)
            b->site[access][g * FRAME_SITE_GROUP + k].neg = SITE_NONE;
    }
}

static void drop_sites_of(struct x86_frame_bank *b, gva_t lin, unsigned shift)
{
    struct x86_site *s = b->site[0];
    for (unsigned g = 0; g < 2 * SITE_GROUPS; g++, s += FRAME_SITE_GROUP)
        for (unsigned k = 0; b->site_used[g] && k < FRAME_SITE_GROUP; k++)
            if (lies_in(s[k].neg, lin, shift))
                s[k].neg = SITE_NONE;
}

/* Which jump goes where: by the bits that tell places in the code apart. As goto_r11() in translate_flow.c does it. */
enum { JUMP_SHIFT = 3, JUMPS_OF_PAGE = GPAGE_SIZE >> JUMP_SHIFT };
static unsigned jump_index(gva_t lin)
{
    return lin >> JUMP_SHIFT & (FRAME_JUMPS - 1);
}

static void drop_fetch(struct x86_frame_bank *b, unsigned p)
{
    b->fetch_neg[p] = -((uint64_t)(p ^ 1) << GPAGE_SHIFT); /* another index' */
    b->fetch_key[p] = 1ULL << 62;                          /* no address leads from there to any page */
    b->fetch_used[p / 64] &= ~(1ULL << p % 64);
}

static void unset_jumps(struct x86_frame_bank *b, unsigned first, unsigned nr)
{
    for (unsigned k = first; k < first + nr; k++)
        b->jump_code[k] = b->no_jump;
}

static void drop_jumps(struct x86_frame_bank *b)
{
    if (b->jumps_unset)
        unset_jumps(b, 0, FRAME_JUMPS);
    for (unsigned w = 0; w < FRAME_FETCHES / 64; w++)
        while (b->fetch_used[w]) {
            unsigned p = w * 64 + (unsigned)__builtin_ctzll(b->fetch_used[w]);
            unset_jumps(b, jump_index(-b->fetch_neg[p]), JUMPS_OF_PAGE);
            drop_fetch(b, p);
        }
    b->jumps_unset = b->local_jumps = false;
}

/* The page of code at index p, with the jumps to it. */
static void drop_code_page(struct x86_frame_bank *b, unsigned p)
{
    gva_t lin = -b->fetch_neg[p];
    unsigned first = jump_index(lin);
    for (unsigned k = first; k < first + JUMPS_OF_PAGE; k++)
        if (lies_in(b->jump_neg[k], lin, GPAGE_SHIFT))
            b->jump_code[k] = b->no_jump;
    drop_fetch(b, p);
}

static void drop_entry(struct x86_frame_bank *b, unsigned k)
{
    b->neg_tag[X86_READ][k] = b->neg_tag[X86_WRITE][k] = no_tag(k);
}

static void drop_write(struct x86_frame_bank *b, unsigned k)
{
    b->neg_tag[X86_WRITE][k] = no_tag(k);
}

static void drop_writes(struct x86_frame_bank *b)
{
    set_each(&b->writes, b, drop_write);
    set_clear(&b->writes);
    drop_sites(b, X86_WRITE);
}

/* The rights to write to one page of host memory. */
static void drop_writes_of(struct x86_frame_bank *b, uint64_t host_page)
{
    for (unsigned a = 0; a < FRAME_TLB / 64 / 64; a++)
        for (uint64_t words = b->writes.any[a]; words; words &= words - 1) {
            unsigned w = a * 64 + (unsigned)__builtin_ctzll(words);
            for (uint64_t bits = b->writes.bit[w]; bits; bits &= bits - 1) {
                unsigned k = w * 64 + (unsigned)__builtin_ctzll(bits);
                if (b->host_page[k] == host_page)
                    drop_write(b, k);
            }
        }
    struct x86_site *s = b->site[X86_WRITE];
    for (unsigned g = 0; g < SITE_GROUPS; g++, s += FRAME_SITE_GROUP)
        for (unsigned k = 0; b->site_used[X86_WRITE * SITE_GROUPS + g] && k < FRAME_SITE_GROUP; k++)
            if (s[k].to_host - s[k].neg == host_page)
                s[k].neg = SITE_NONE;
}

/* The entries in set, which becomes empty. */
static void drop_set(struct x86_frame_bank *b, struct x86_frame_set *set)
{
    set_each(set, b, drop_entry);
    set_clear(set);
}

static void drop_all(struct x86_frame_bank *b)
{
    drop_set(b, &b->used);
    set_clear(&b->writes);
    drop_sites(b, X86_READ);
    drop_sites(b, X86_WRITE);
    set_clear(&b->local);
    b->local_pages = false;
    drop_jumps(b);
}

/* What is not global. */
static void drop_local(struct x86_frame_bank *b)
{
    if (b->local_pages) {
        drop_set(b, &b->local);
        drop_sites(b, X86_READ);
        drop_sites(b, X86_WRITE);
        b->local_pages = false;
    }
    if (b->local_jumps)
        drop_jumps(b);
}

/* From memory that is all zeros. */
static void init_bank(struct x86_frame_bank *b)
{
    drop_entry(b, 0);
    for (unsigned k = 0; k < FRAME_SITES; k++)
        b->site[X86_READ][k].neg = b->site[X86_WRITE][k].neg = SITE_NONE;
    for (unsigned p = 0; p < FRAME_FETCHES; p++)
        drop_fetch(b, p);
    b->jumps_unset = true;
    drop_jumps(b);
}

static void drop_code(struct x86_frame_bank *b, gva_t lin, unsigned shift)
{
    unsigned from = (lin >> GPAGE_SHIFT) & (FRAME_FETCHES - 1), to = from + 1;
    if (shift > GPAGE_SHIFT)
        from = 0, to = FRAME_FETCHES;
    for (unsigned p = from; p < to; p++)
        if ((b->fetch_used[p / 64] >> p % 64 & 1) && lies_in(b->fetch_neg[p], lin, shift))
            drop_code_page(b, p);
}

/* What lies in the page at lin, of at most that size. */
static void drop_page(struct x86_frame_bank *b, gva_t lin, unsigned shift)
{
    uint64_t nr = 1ULL << (shift - GPAGE_SHIFT), first = lin >> shift << shift >> GPAGE_SHIFT;
    for (uint64_t n = first; n < first + nr && n < first + FRAME_TLB; n++) {
        unsigned k = n & (FRAME_TLB - 1);
        if (lies_in(b->neg_tag[X86_READ][k], lin, shift) || lies_in(b->neg_tag[X86_WRITE][k], lin, shift))
            drop_entry(b, k);
    }
    drop_sites_of(b, lin, shift);
    drop_code(b, lin, shift);
}

void x86_frame_add_page(struct x86_frame *f, unsigned bank, gva_t lin, const uint8_t *host, enum x86_access access, bool global)
{
    struct x86_frame_bank *b = &f->bank[bank];
    unsigned k = (lin >> GPAGE_SHIFT) & (FRAME_TLB - 1);
    uint64_t neg = -(lin & GPAGE_MASK), to_host = (uint64_t)(uintptr_t)host - lin;
    bool same = b->neg_tag[!access][k] == neg && b->to_host[k] == to_host;
    if (!same)
        b->neg_tag[!access][k] = no_tag(k);
    b->neg_tag[access][k] = neg;
    b->to_host[k] = to_host;
    b->host_page[k] = (uint64_t)(uintptr_t)host & GPAGE_MASK;
    b->local_pages |= !global;
    set_add(&b->used, k);
    if (access == X86_WRITE)
        set_add(&b->writes, k);
    if (!global)
        set_add(&b->local, k);
    else if (!same) /* once local it stays so while a tag of then is there */
        set_remove(&b->local, k);
}

void x86_frame_add_jump(struct x86_frame *f, unsigned bank, gva_t lin, uint64_t page, const struct x86_native *n, bool global)
{
    struct x86_frame_bank *b = &f->bank[bank];
    unsigned k = jump_index(lin), p = (lin >> GPAGE_SHIFT) & (FRAME_FETCHES - 1);
    if ((b->fetch_used[p / 64] >> p % 64 & 1) && b->fetch_neg[p] != -(lin & GPAGE_MASK))
        drop_code_page(b, p); /* or nobody would know of its jumps */
    b->jump_neg[k] = -lin;
    b->jump_code[k] = (uintptr_t)n->jump_entry;
    b->fetch_neg[p] = -(lin & GPAGE_MASK);
    b->fetch_key[p] = page - (lin & GPAGE_MASK);
    b->fetch_used[p / 64] |= 1ULL << p % 64;
    b->local_jumps |= !global;
}

/* ---- all frames ---- */

static void drop_own(struct x86_space *s)
{
    for (unsigned n = 0; n < OWN_NR; n++)
        if (s->ready)
            drop_all(&s->frame->bank[OWN[n]]);
        else
            init_bank(&s->frame->bank[OWN[n]]);
    s->ready = true;
    s->asid = 0;
    s->marks_missed = false;
}

static struct x86_frame_bank *shared_bank(struct x86_frames *fs)
{
    return &fs->now->frame->bank[X86_BANK_KERNEL];
}

void x86_frames_drop(struct x86_frames *fs)
{
    for (struct x86_space *s = fs->space; s < fs->space + FRAME_NR; s++)
        s->asid = 0; /* dropped when chosen */
    drop_own(fs->now);
    drop_all(shared_bank(fs));
}

void x86_frames_drop_jumps(struct x86_frames *fs)
{
    for (struct x86_space *s = fs->space; s < fs->space + FRAME_NR; s++)
        for (unsigned n = 0; s->asid && n < OWN_NR; n++)
            drop_jumps(&s->frame->bank[OWN[n]]);
    for (unsigned n = 0; n < OWN_NR; n++) /* also when it is nobody's */
        drop_jumps(&fs->now->frame->bank[OWN[n]]);
    drop_jumps(shared_bank(fs));
}

void x86_frames_set_no_jump(struct x86_frames *fs, const uint8_t *const stub[X86_BANK_NR])
{
    for (struct x86_space *s = fs->space; s < fs->space + FRAME_NR; s++)
        for (unsigned b = 0; b < X86_BANK_NR; b++) {
            s->frame->bank[b].no_jump = (uintptr_t)stub[b];
            if (s->ready || b == X86_BANK_KERNEL)
                s->frame->bank[b].jumps_unset = true;
        }
    x86_frames_drop_jumps(fs);
}

static void drop_flushed(struct x86_frames *fs, const struct x86_tlb_flushed *page)
{
    for (struct x86_space *s = fs->space; s < fs->space + FRAME_NR; s++)
        for (unsigned n = 0; n < OWN_NR && s->asid && (!page->asid || page->asid == s->asid); n++)
            drop_page(&s->frame->bank[OWN[n]], page->lin, page->shift);
    drop_page(shared_bank(fs), page->lin, page->shift);
}

/* Which frame is to be another address space's: one whose own is gone, else the one longest unused. */
static struct x86_space *least_useful(struct x86_frames *fs, const struct x86_tlb *t)
{
    struct x86_space *oldest = fs->space;
    for (struct x86_space *s = fs->space; s < fs->space + FRAME_NR; s++) {
        if (!s->asid || !tlb_asid_lives(t, s->pcid, s->asid))
            return s;
        if (s->chosen < oldest->chosen)
            oldest = s;
    }
    return oldest;
}

static void choose(struct x86_frames *fs, const struct x86_cpu *c)
{
    struct x86_space *s = fs->space;
    while (s < fs->space + FRAME_NR && s->asid != c->asid)
        s++;
    if (s == fs->space + FRAME_NR) {
        s = least_useful(fs, c->tlb);
        drop_own(s);
        s->asid = c->asid;
        s->pcid = c->cr4 & CR4_PCIDE ? c->cr3 & 0xfff : 0;
        fs->renewals++;
    }
    if (s->marks_missed)
        for (unsigned n = 0; n < OWN_NR; n++)
            drop_writes(&s->frame->bank[OWN[n]]);
    s->marks_missed = false;
    s->chosen = ++fs->choices;
    fs->now = s;
    drop_local(shared_bank(fs));
}

struct x86_frame *x86_frames_follow(struct x86_frames *fs, const struct x86_cpu *c)
{
    const struct x86_tlb *t = c->tlb;
    if (fs->drops != t->drops || t->page_flushes - fs->flushes > TLB_FLUSHED) {
        fs->drops = t->drops;
        fs->flushes = t->page_flushes;
        x86_frames_drop(fs);
    }
    for (; fs->flushes != t->page_flushes; fs->flushes++)
        drop_flushed(fs, &t->flushed[fs->flushes % TLB_FLUSHED]);
    if (fs->now->asid != c->asid)
        choose(fs, c);
    return fs->now->frame;
}

static void miss_marks(struct x86_frames *fs)
{
    for (struct x86_space *s = fs->space; s < fs->space + FRAME_NR; s++)
        s->marks_missed |= s != fs->now; /* dropped when chosen */
}

void x86_frames_drop_writes_of(struct x86_frames *fs, const uint8_t *page)
{
    miss_marks(fs);
    fs->write_drops++;
    for (unsigned b = 0; b < X86_BANK_NR; b++)
        drop_writes_of(&fs->now->frame->bank[b], (uintptr_t)page);
}

void x86_frames_drop_writes(struct x86_frames *fs)
{
    miss_marks(fs);
    fs->write_drops++;
    for (unsigned b = 0; b < X86_BANK_NR; b++)
        drop_writes(&fs->now->frame->bank[b]);
}

/* ---- life ---- */

/* Address space for a frame, with what is the same in all mapped into it. */
static int map_frame(struct x86_space *s, int shared)
{
    const size_t before = FRAME_STACK + HEAD_BYTES, kernel = before + X86_BANK_KERNEL * BANK_BYTES;
    const int prot = PROT_READ | PROT_WRITE;
    uint8_t *mem = mmap(NULL, FRAME_STACK + sizeof(struct x86_frame), prot, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (mem == MAP_FAILED)
        return -errno;
    s->frame = (struct x86_frame *)(mem + FRAME_STACK);
    if (mmap(mem, before, prot, MAP_SHARED | MAP_FIXED, shared, 0) == MAP_FAILED
        || mmap(mem + kernel, BANK_BYTES, prot, MAP_SHARED | MAP_FIXED, shared, (off_t)before) == MAP_FAILED)
        return -errno;
    return 0;
}

static int init_head(struct x86_frame *f, struct x86_cpu *c)
{
    f->callouts_of = calloc(x86_nr_rows, sizeof(*f->callouts_of));
    f->cpu = c;
    f->requests = &c->vcpu->requests;
    f->vec = (uint8_t *)c->fpu.zmm;
    f->mxcsr = &c->fpu.mxcsr;
    f->page_mask = GPAGE_MASK;
    f->jump_mask = (FRAME_JUMPS - 1) << JUMP_SHIFT;
    f->fetch_mask = (uint64_t)(FRAME_FETCHES - 1) << GPAGE_SHIFT;
    f->off_mask = GPAGE_SIZE - 1;
    f->site_mask = -(uint64_t)(FRAME_SITE_GROUP * sizeof(struct x86_site));
    f->align_mask[0] = 15;
    f->align_mask[1] = 31;
    f->align_mask[2] = 63;
    f->upper_mask = 0xffffULL << 48;
    return f->callouts_of ? 0 : -ENOMEM;
}

int x86_frames_init(struct x86_frames *fs, struct x86_cpu *c, struct error *err)
{
    AUTO_CLOSE int fd = memfd_create("doppel-frame", MFD_CLOEXEC);
    int r = fd < 0 || ftruncate(fd, (off_t)(FRAME_STACK + HEAD_BYTES + BANK_BYTES)) < 0 ? -errno : 0;
    memset(fs, 0, sizeof(*fs));
    for (unsigned n = 0; n < FRAME_NR && r >= 0; n++)
        r = map_frame(&fs->space[n], fd);
    fs->now = fs->space;
    if (r >= 0)
        r = init_head(fs->now->frame, c);
    if (r < 0) {
        x86_frames_done(fs);
        return error_set(err, r, "no memory for the translator's frames: %s", strerror(-r));
    }
    init_bank(shared_bank(fs));
    x86_frames_drop(fs);
    return 0;
}

void x86_frames_done(struct x86_frames *fs)
{
    if (fs->now && fs->now->frame)
        free(fs->now->frame->callouts_of);
    for (struct x86_space *s = fs->space; s < fs->space + FRAME_NR; s++)
        if (s->frame)
            (void)munmap((uint8_t *)s->frame - FRAME_STACK, FRAME_STACK + sizeof(struct x86_frame)); /* our own mapping */
    memset(fs, 0, sizeof(*fs));
}
