/* SPDX-License-Identifier: MIT */
/*
 * Guest RAM: the memfd mapping, its slots, checked copies, and the marks of pages that hold code.
 *
 * A page's code mark goes 0 -> number << 2 | CODE_MARKED -> the same with CODE_PUBLISHED: only after the barrier has run, and
 * the storers have dropped what they remember, may another CPU take the mark for granted, or it could go on while the first one
 * has not got so far yet. The number (of marks, ever) keeps one who waited from publishing a later mark of the same page.
 */
#include "core/gmem.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <immintrin.h>
#include <linux/membarrier.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/checked.h"

enum { CODE_MARKED = 1, CODE_PUBLISHED = 2 };
enum { SPINS = 500 }; /* looks at a storer that has not left yet before the host CPU is given away */

static long membarrier(int cmd)
{
    return syscall(SYS_membarrier, cmd, 0, 0);
}

static int fail(struct gmem *gm, struct error *err, const char *what, int code)
{
    uint64_t mib = gm->size >> 20;
    gmem_done(gm);
    return error_set(err, code, "guest memory of %llu MiB: %s: %s", (unsigned long long)mib, what, strerror(-code));
}

int gmem_init(struct gmem *gm, uint64_t size, struct error *err)
{
    *gm = (struct gmem){ .fd = -1 };
    if (size == 0 || size % GPAGE_SIZE != 0 || size > INT64_MAX)
        return error_set(err, -EINVAL, "guest memory of %llu bytes: not a number of pages", (unsigned long long)size);
    gm->size = size;
    (void)pthread_mutex_init(&gm->mark_lock, NULL); /* default attributes: cannot fail on Linux */
    gm->fd = memfd_create("doppel-ram", MFD_CLOEXEC);
    if (gm->fd < 0)
        return fail(gm, err, "memfd_create", -errno);
    if (ftruncate(gm->fd, (off_t)size) < 0)
        return fail(gm, err, "ftruncate", -errno);
    void *host = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, gm->fd, 0);
    if (host == MAP_FAILED)
        return fail(gm, err, "mmap", -errno);
    gm->host = host;
    (void)madvise(host, size, MADV_HUGEPAGE); /* faster where shmem allows it */
    (void)madvise(host, size, MADV_DONTDUMP); /* a core file is for our state */
    gm->code = calloc(size >> GPAGE_SHIFT, sizeof(*gm->code));
    gm->code_gen = calloc(size >> GPAGE_SHIFT, sizeof(*gm->code_gen));
    if (!gm->code || !gm->code_gen)
        return fail(gm, err, "page marks", -ENOMEM);
    gm->need_fence = membarrier(MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED) < 0;
    return 0;
}

void gmem_done(struct gmem *gm)
{
    if (!gm)
        return;
    if (gm->host)
        (void)munmap(gm->host, gm->size); /* our own mapping: cannot fail */
    if (gm->fd > 0 || (gm->fd == 0 && gm->size))
        (void)close(gm->fd); /* memory: nothing to lose */
    free((void *)gm->code);
    free((void *)gm->code_gen);
    *gm = (struct gmem){ .fd = -1 };
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

int gmem_write(struct gmem *gm, gpa_t gpa, const void *buf, uint64_t len)
{
    if (!all_ram(gm, gpa, len))
        return -EFAULT;
    for (const uint8_t *from = buf; len > 0;) {
        uint64_t left;
        uint8_t *host = find(gm, gpa, &left);
        uint64_t n = MIN(len, left);
        memcpy(host, from, n);
        note_range(gm, host, n);
        from += n;
        gpa += n;
        len -= n;
    }
    return 0;
}

void gmem_reset(struct gmem *gm)
{
    /* A hole reads as zeroes and gives the memory back; without hole punching, write them. */
    if (fallocate(gm->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, (off_t)gm->size) < 0)
        memset(gm->host, 0, gm->size);
    for (uint64_t page = 0; page < gm->size >> GPAGE_SHIFT; page++)
        if (atomic_load_explicit(&gm->code[page], memory_order_relaxed)) {
            atomic_store_explicit(&gm->code[page], 0, memory_order_relaxed); /* every vCPU stands: no partner */
            atomic_fetch_add_explicit(&gm->code_gen[page], 1, memory_order_relaxed);
        }
}

/* Sets the mark, or finds it set by somebody who has not published it yet. Returns its word. */
static uint32_t set_mark(struct gmem *gm, uint64_t page)
{
    (void)pthread_mutex_lock(&gm->mark_lock);
    uint32_t word = atomic_load_explicit(&gm->code[page], memory_order_relaxed);
    if (!word) {
        uint64_t number = atomic_load_explicit(&gm->nr_marks, memory_order_relaxed) + 1;
        word = (uint32_t)number << 2 | CODE_MARKED;
        /* in this order: a storer that has seen the number finds the page and the mark */
        atomic_store_explicit(&gm->code[page], word, memory_order_seq_cst);
        atomic_store_explicit(&gm->marked[number % GMEM_RECENT], number << 32 | page, memory_order_release);
        atomic_store_explicit(&gm->nr_marks, number, memory_order_release);
    }
    (void)pthread_mutex_unlock(&gm->mark_lock);
    return word;
}

static bool may_store(struct gmem_storer *s, uint64_t marks)
{
    return atomic_load_explicit(&s->inside, memory_order_acquire) && atomic_load_explicit(&s->seen, memory_order_acquire) < marks;
}

static void call(struct gmem_storer *s)
{
    if (!(atomic_load_explicit(s->attention, memory_order_relaxed) & s->attention_bit))
        atomic_fetch_or_explicit(s->attention, s->attention_bit, memory_order_seq_cst);
}

/* Until nobody stores by what it remembered before the marks so far. */
static void wait_for_storers(struct gmem *gm)
{
    uint64_t marks = atomic_load_explicit(&gm->nr_marks, memory_order_relaxed);
    for (unsigned k = 0; k < gm->nr_storers; k++)
        if (may_store(gm->storer[k], marks))
            call(gm->storer[k]);
    for (unsigned k = 0; k < gm->nr_storers; k++)
        for (unsigned spins = 0; may_store(gm->storer[k], marks); spins++)
            if (spins < SPINS)
                _mm_pause();
            else
                (void)sched_yield(); /* cannot fail */
}

/* Publishes the mark with a barrier in every running thread, and the consent of every storer. */
static void publish_code(struct gmem *gm, uint64_t page)
{
    uint32_t word = set_mark(gm, page);
    if (word & CODE_PUBLISHED)
        return;
    if (gm->need_fence)
        atomic_thread_fence(memory_order_seq_cst); /* pairs with the fence in gmem_note_write and gmem_storer_enter */
    else
        (void)membarrier(MEMBARRIER_CMD_PRIVATE_EXPEDITED); /* cannot fail once registered */
    wait_for_storers(gm);
    /* if a writer has taken it off meanwhile the caller sees that */
    (void)atomic_compare_exchange_strong_explicit(&gm->code[page], &word, word | CODE_PUBLISHED, memory_order_release,
                                                  memory_order_relaxed);
}

uint32_t gmem_mark_code(struct gmem *gm, uint64_t page)
{
    uint32_t gen;
    assert(page < gm->size >> GPAGE_SHIFT);
    do {
        /* acquire: pairs with the release above, so that whoever sees PUBLISHED is behind that barrier */
        if (!(atomic_load_explicit(&gm->code[page], memory_order_acquire) & CODE_PUBLISHED))
            publish_code(gm, page);
        gen = gmem_code_gen(gm, page);
        /* a writer takes the mark off before it bumps the generation: if we read the new one, the mark must be set anew */
    } while (!(atomic_load_explicit(&gm->code[page], memory_order_relaxed) & CODE_PUBLISHED));
    return gen;
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
