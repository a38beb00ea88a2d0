/* SPDX-License-Identifier: MIT */
/*
 * Guest RAM: the mapping, its slots, checked copies, and the marks of pages that hold code.
 *
 * A page's code mark goes 0 -> number << 3 | CODE_MARKED -> | CODE_FENCED -> | CODE_PUBLISHED: fenced when the barrier has run,
 * published when since then no storer can be inside with what it remembered before. The number (of marks, ever) tells which
 * storers that are, and keeps one who waited from publishing a later mark of the same page.
 */
#include "core/gmem.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <immintrin.h>
#include <linux/membarrier.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/checked.h"

enum { CODE_MARKED = 1, CODE_FENCED = 2, CODE_PUBLISHED = 4, CODE_NUMBER_SHIFT = 3 };
enum { MAKE_MIN = 64 << 10 }; /* bytes */
enum { PAGES_AT_ONCE = 512 };
enum { HUGE_PAGE = 2 << 20 }; /* bytes: the host's large pages */
enum { SPINS = 200 };         /* looks at a storer: if it runs now it leaves within a microsecond or so */

static long membarrier(int cmd)
{
    return syscall(SYS_membarrier, cmd, 0, 0);
}

void gmem_begin(void)
{
    (void)membarrier(MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED); /* gmem_init() asks again, and is told whether it is there */
}

static int fail(struct gmem *gm, struct error *err, const char *what, int code)
{
    uint64_t mib = gm->size >> 20;
    gmem_done(gm);
    return error_set(err, code, "guest memory of %llu MiB: %s: %s", (unsigned long long)mib, what, strerror(-code));
}

/* Anonymous memory of `size` bytes that begins at a large page; NULL with errno. */
static uint8_t *map_aligned(uint64_t size)
{
    uint64_t more;
    if (ckd_add(&more, size, HUGE_PAGE)) {
        errno = ENOMEM;
        return NULL;
    }
    uint8_t *mapped = mmap(NULL, more, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (mapped == MAP_FAILED)
        return NULL;
    uint8_t *host = (uint8_t *)ALIGN_UP((uintptr_t)mapped, (uintptr_t)HUGE_PAGE);
    uint64_t before = (uint64_t)(host - mapped), behind = HUGE_PAGE - before;
    if (before)
        (void)munmap(mapped, before); /* ours, like what is behind: cannot fail */
    if (behind)
        (void)munmap(host + size, behind);
    return host;
}

int gmem_init(struct gmem *gm, uint64_t size, struct error *err)
{
    *gm = (struct gmem){ .fd = -1, .pagemap = -1 };
    if (size == 0 || size % GPAGE_SIZE != 0 || size > INT64_MAX)
        return error_set(err, -EINVAL, "guest memory of %llu bytes: not a number of pages", (unsigned long long)size);
    gm->size = size;
    (void)pthread_mutex_init(&gm->mark_lock, NULL); /* default attributes: cannot fail on Linux */
    uint8_t *host = map_aligned(size);
    if (!host)
        return fail(gm, err, "mmap", -errno);
    gm->host = host;
    (void)madvise(host, size, MADV_HUGEPAGE); /* a fault for 2 MiB instead of 512, where the host has such pages */
    (void)madvise(host, size, MADV_DONTDUMP); /* a core file is for our state */
    gm->code = calloc(size >> GPAGE_SHIFT, sizeof(*gm->code));
    gm->code_gen = calloc(size >> GPAGE_SHIFT, sizeof(*gm->code_gen));
    if (!gm->code || !gm->code_gen)
        return fail(gm, err, "page marks", -ENOMEM);
    gm->pagemap = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
    gm->need_fence = membarrier(MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED) < 0;
    return 0;
}

void gmem_done(struct gmem *gm)
{
    if (!gm)
        return;
    if (gm->host)
        (void)munmap(gm->host, gm->size); /* our own mapping: cannot fail */
    if (gm->host && gm->fd >= 0)
        (void)close(gm->fd);
    if (gm->host && gm->pagemap >= 0)
        (void)close(gm->pagemap);
    free((void *)gm->code);
    free((void *)gm->code_gen);
    *gm = (struct gmem){ .fd = -1, .pagemap = -1 };
}

/* Whether each of the pages from `from` on (PAGES_AT_ONCE) was ever made: all others read as zeroes. */
static void find_made(const struct gmem *gm, uint64_t from, bool *ret_made)
{
    enum { PRESENT_SHIFT = 62 }; /* bits 62 and 63: swapped, present. Spec: proc(5), pagemap */
    uint64_t entry[PAGES_AT_ONCE];
    uint64_t at = ((uint64_t)(uintptr_t)gm->host >> GPAGE_SHIFT) + from;
    ssize_t n = gm->pagemap < 0 ? -1 : pread(gm->pagemap, entry, sizeof(entry), (off_t)(at * sizeof(entry[0])));
    for (unsigned k = 0; k < PAGES_AT_ONCE; k++)
        ret_made[k] = (size_t)k * sizeof(entry[0]) >= (n < 0 ? 0 : (size_t)n) || entry[k] >> PRESENT_SHIFT;
}

/* Writes what is not zero; holes read as zeroes. */
static int copy_to(const struct gmem *gm, int fd)
{
    static const uint8_t zero[GPAGE_SIZE];
    bool made[PAGES_AT_ONCE] = { 0 };
    for (uint64_t page = 0; page < gm->size >> GPAGE_SHIFT; page++) {
        const uint8_t *from = gm->host + (page << GPAGE_SHIFT);
        if (page % PAGES_AT_ONCE == 0)
            find_made(gm, page, made);
        if (!made[page % PAGES_AT_ONCE] || memcmp(from, zero, GPAGE_SIZE) == 0)
            continue;
        ssize_t n = pwrite(fd, from, GPAGE_SIZE, (off_t)(page << GPAGE_SHIFT));
        if (n != (ssize_t)GPAGE_SIZE)
            return n < 0 ? -errno : -ENOSPC;
    }
    return 0;
}

int gmem_share(struct gmem *gm, struct error *err)
{
    if (gm->fd >= 0)
        return 0;
    int fd = memfd_create("guest-memory", MFD_CLOEXEC), r = fd < 0 ? -errno : 0;
    if (r == 0 && ftruncate(fd, (off_t)gm->size) < 0)
        r = -errno;
    if (r == 0)
        r = copy_to(gm, fd);
    if (r == 0 && mmap(gm->host, gm->size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd, 0) == MAP_FAILED)
        r = -errno;
    if (r < 0) {
        if (fd >= 0)
            (void)close(fd);
        return error_set(err, r, "guest memory of %llu MiB: sharing it: %s", (unsigned long long)(gm->size >> 20), strerror(-r));
    }
    (void)madvise(gm->host, gm->size, MADV_DONTDUMP);
    gm->fd = fd;
    return 0;
}

/* The advice that makes pages go and read as zeroes. */
static int discard_advice(const struct gmem *gm)
{
    return gm->fd >= 0 ? MADV_REMOVE : MADV_DONTNEED;
}

int gmem_add_slot(struct gmem *gm, gpa_t base, uint64_t size, uint64_t offset, struct error *err)
{
    uint64_t end, offset_end;
    if (size == 0 || ((base | size | offset) & ~GPAGE_MASK) || ckd_add(&end, base, size - 1) || ckd_add(&offset_end, offset, size)
        || offset_end > gm->size)
        return error_set(err, -EINVAL, "memory slot at %#llx of %#llx bytes: misaligned or outside the guest's memory",
                         (unsigned long long)base, (unsigned long long)size);
    for (unsigned i = 0; i < gm->nr_slots; i++) {
        const struct gmem_slot *s = &gm->slot[i];
        if (base <= s->base + (s->size - 1) && s->base <= end)
            return error_set(err, -EINVAL, "memory slot at %#llx overlaps the one at %#llx", (unsigned long long)base,
                             (unsigned long long)s->base);
    }
    if (gm->nr_slots == GMEM_SLOTS)
        return error_set(err, -EINVAL, "more than %d memory slots", GMEM_SLOTS);
    gm->slot[gm->nr_slots++] = (struct gmem_slot){ .base = base, .size = size, .offset = offset };
    return 0;
}

/* The host address of gpa and the bytes left in its slot, or NULL and 0. */
static uint8_t *find(const struct gmem *gm, gpa_t gpa, uint64_t *ret_left)
{
    *ret_left = 0;
    for (unsigned i = 0; i < gm->nr_slots; i++) {
        const struct gmem_slot *s = &gm->slot[i];
        if (gpa - s->base < s->size) {
            *ret_left = s->size - (gpa - s->base);
            return gm->host + s->offset + (gpa - s->base);
        }
    }
    return NULL;
}

void *gmem_pin(const struct gmem *gm, gpa_t gpa, uint64_t len)
{
    uint64_t left;
    uint8_t *host = find(gm, gpa, &left);
    return host && len <= left ? host : NULL;
}

/* True when every byte is RAM; slots may touch each other. */
static bool all_ram(const struct gmem *gm, gpa_t gpa, uint64_t len)
{
    uint64_t left;
    while (len > 0) {
        if (!find(gm, gpa, &left))
            return false;
        uint64_t n = MIN(len, left);
        len -= n;
        if (ckd_add(&gpa, gpa, n) && len > 0)
            return false;
    }
    return true;
}

int gmem_read(const struct gmem *gm, gpa_t gpa, void *buf, uint64_t len)
{
    if (!all_ram(gm, gpa, len))
        return -EFAULT;
    for (uint8_t *to = buf; len > 0;) {
        uint64_t left;
        const uint8_t *host = find(gm, gpa, &left);
        uint64_t n = MIN(len, left);
        memcpy(to, host, n);
        to += n;
        gpa += n;
        len -= n;
    }
    return 0;
}

static void note_range(struct gmem *gm, const uint8_t *host, uint64_t len)
{
    const uint8_t *end = host + len;
    while (host < end) {
        gmem_note_write(gm, host);
        host += GPAGE_SIZE - ((uint64_t)(host - gm->host) & ~GPAGE_MASK);
    }
}

void gmem_make(uint8_t *host, uint64_t len)
{
    uintptr_t begin = ALIGN_DOWN((uintptr_t)host, (uintptr_t)GPAGE_SIZE),
              end = ALIGN_UP((uintptr_t)host + len, (uintptr_t)GPAGE_SIZE);
    if (len >= MAKE_MIN) /* a host that cannot (before Linux 5.14), or will not, makes them when they are written */
        (void)madvise((void *)begin, end - begin, MADV_POPULATE_WRITE);
}

int gmem_write(struct gmem *gm, gpa_t gpa, const void *buf, uint64_t len)
{
    if (!all_ram(gm, gpa, len))
        return -EFAULT;
    for (const uint8_t *from = buf; len > 0;) {
        uint64_t left;
        uint8_t *host = find(gm, gpa, &left);
        uint64_t n = MIN(len, left);
        gmem_make(host, n);
        memcpy(host, from, n);
        note_range(gm, host, n);
        from += n;
        gpa += n;
        len -= n;
    }
    return 0;
}

uint64_t gmem_discard(struct gmem *gm, void *host, uint64_t len)
{
    uint8_t *begin = (uint8_t *)ALIGN_UP((uintptr_t)host, (uintptr_t)GPAGE_SIZE),
            *end = (uint8_t *)ALIGN_DOWN((uintptr_t)host + len, (uintptr_t)GPAGE_SIZE);
    if (begin >= end || madvise(begin, (size_t)(end - begin), discard_advice(gm)) < 0)
        return 0;
    note_range(gm, begin, (uint64_t)(end - begin)); /* behind it, as behind any store: code that was there is gone */
    return (uint64_t)(end - begin);
}

void gmem_reset(struct gmem *gm)
{
    /* What is given back reads as zeroes; should the host not take it, write them. */
    if (madvise(gm->host, gm->size, discard_advice(gm)) < 0)
        memset(gm->host, 0, gm->size);
    for (uint64_t page = 0; page < gm->size >> GPAGE_SHIFT; page++)
        if (atomic_load_explicit(&gm->code[page], memory_order_relaxed)) {
            atomic_store_explicit(&gm->code[page], 0, memory_order_relaxed); /* every vCPU stands: no partner */
            atomic_fetch_add_explicit(&gm->code_gen[page], 1, memory_order_relaxed);
        }
}

/* Sets the mark unless it is set. Returns whether it was not, and the page's word. */
static bool set_mark(struct gmem *gm, uint64_t page, uint32_t *ret_word)
{
    (void)pthread_mutex_lock(&gm->mark_lock);
    uint32_t word = atomic_load_explicit(&gm->code[page], memory_order_acquire);
    bool fresh = !word;
    if (fresh) {
        uint64_t number = atomic_load_explicit(&gm->nr_marks, memory_order_relaxed) + 1;
        word = (uint32_t)number << CODE_NUMBER_SHIFT | CODE_MARKED;
        /* in this order: a storer that has seen the number finds the page and the mark */
        atomic_store_explicit(&gm->code[page], word, memory_order_seq_cst);
        atomic_store_explicit(&gm->marked[number % GMEM_RECENT], number << 32 | page, memory_order_release);
        atomic_store_explicit(&gm->nr_marks, number, memory_order_release);
    }
    (void)pthread_mutex_unlock(&gm->mark_lock);
    *ret_word = word;
    return fresh;
}

/* Adds a bit to a mark. False: it is no longer the same one. */
static bool promote(struct gmem *gm, uint64_t page, uint32_t *word, uint32_t bit)
{
    if (!atomic_compare_exchange_strong_explicit(&gm->code[page], word, *word | bit, memory_order_acq_rel, memory_order_relaxed))
        return false;
    *word |= bit;
    return true;
}

/* Whether it may be storing by what it remembered before that mark. Numbers of marks are compared as far as a word has them. */
static bool may_store(struct gmem_storer *s, uint32_t word)
{
    uint32_t number = word & ~((1U << CODE_NUMBER_SHIFT) - 1);
    if (!atomic_load_explicit(&s->inside, memory_order_acquire))
        return false;
    uint32_t seen = (uint32_t)atomic_load_explicit(&s->seen, memory_order_acquire) << CODE_NUMBER_SHIFT;
    return (int32_t)(seen - number) < 0;
}

static bool any_may_store(const struct gmem *gm, uint32_t word)
{
    for (unsigned k = 0; k < gm->nr_storers; k++)
        if (may_store(gm->storer[k], word))
            return true;
    return false;
}

static void call(struct gmem_storer *s)
{
    if (!(atomic_load_explicit(s->attention, memory_order_relaxed) & s->attention_bit))
        atomic_fetch_or_explicit(s->attention, s->attention_bit, memory_order_seq_cst);
}

/* A mark was set: puts a barrier into every running thread, and calls the storers that are inside. False: it is gone. */
static bool fence(struct gmem *gm, uint64_t page, uint32_t *word)
{
    if (gm->need_fence)
        atomic_thread_fence(memory_order_seq_cst); /* pairs with the fence in gmem_note_write and gmem_storer_enter */
    else
        (void)membarrier(MEMBARRIER_CMD_PRIVATE_EXPEDITED); /* cannot fail once registered */
    if (!promote(gm, page, word, CODE_FENCED))
        return false;
    for (unsigned k = 0; k < gm->nr_storers; k++)
        if (may_store(gm->storer[k], *word))
            call(gm->storer[k]);
    for (unsigned spins = 0; spins < SPINS && any_may_store(gm, *word); spins++)
        _mm_pause();
    return true;
}

bool gmem_mark_code(struct gmem *gm, uint64_t page, uint32_t *ret_gen)
{
    uint32_t word, gen;
    assert(page < gm->size >> GPAGE_SHIFT);
    do {
        /* acquire: pairs with promote(), so that whoever sees a bit is behind what it stands for */
        word = atomic_load_explicit(&gm->code[page], memory_order_acquire);
        if (!word && set_mark(gm, page, &word) && !fence(gm, page, &word))
            return false;
        if (!(word & CODE_PUBLISHED)
            && (!(word & CODE_FENCED) || any_may_store(gm, word) || !promote(gm, page, &word, CODE_PUBLISHED)))
            return false;
        gen = gmem_code_gen(gm, page);
        /* a writer takes the mark off before it bumps the generation: if we read the new one, the mark must be set anew */
    } while (!(atomic_load_explicit(&gm->code[page], memory_order_relaxed) & CODE_PUBLISHED));
    *ret_gen = gen;
    return true;
}

void gmem_wrote_code(struct gmem *gm, uint64_t page)
{
    /* in this order: who sees the new generation sees the mark gone (gmem_mark_code looks again) */
    atomic_store_explicit(&gm->code[page], 0, memory_order_relaxed);
    atomic_fetch_add_explicit(&gm->code_gen[page], 1, memory_order_acq_rel);
    uint64_t number = atomic_fetch_add_explicit(&gm->nr_writes, 1, memory_order_release) + 1;
    atomic_store_explicit(&gm->written[number % GMEM_RECENT], number << 32 | page, memory_order_release);
    for (unsigned k = 0; k < gm->nr_storers; k++)
        call(gm->storer[k]); /* also who is outside: it may be about to enter */
}

void gmem_storer_catch_up(const struct gmem *gm, struct gmem_storer *s, gmem_forget_fn forget, void *opaque)
{
    enum { FEW = 4 };
    const uint64_t marks = atomic_load_explicit(&gm->nr_marks, memory_order_acquire);
    const uint64_t seen = atomic_load_explicit(&s->seen, memory_order_relaxed); /* our own: nobody else stores it */
    uint64_t page[FEW];
    unsigned n = 0;
    while (n < FEW && seen + n < marks && gmem_recent(gm->marked, seen + n + 1, &page[n]))
        n++;
    if (seen + n != marks)
        forget(opaque, NULL);
    else
        while (n-- > 0)
            forget(opaque, gm->host + (page[n] << GPAGE_SHIFT));
    atomic_store_explicit(&s->seen, marks, memory_order_release); /* pairs with the load in gmem_mark_code */
}

void gmem_add_storer(struct gmem *gm, struct gmem_storer *s)
{
    assert(gm->nr_storers < GMEM_STORERS);
    gm->storer[gm->nr_storers++] = s;
}

void gmem_remove_storer(struct gmem *gm, struct gmem_storer *s)
{
    for (unsigned k = 0; k < gm->nr_storers; k++)
        if (gm->storer[k] == s) {
            gm->storer[k] = gm->storer[--gm->nr_storers];
            return;
        }
}
