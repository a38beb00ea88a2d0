/* SPDX-License-Identifier: MIT */
/*
 * Guest RAM: one private anonymous mapping, in large pages where the host has them, seen by the guest as up to GMEM_SLOTS ranges
 * of physical addresses.
 *
 * Every access checks range and overflow. Each guest page has one `code` mark and one generation: whoever has decoded
 * or translated instructions from a page marks it (gmem_mark_code), and every writer, vCPU or device, calls
 * gmem_note_write() after writing to a page whose code mark is set, which bumps the generation so that stale
 * translations are noticed. The pairing of the mark with racing writers is described at gmem_mark_code(). A writer that does
 * not look at marks, because it remembers that a page had none, is a `struct gmem_storer`.
 */
#ifndef DOPPEL_CORE_GMEM_H
#define DOPPEL_CORE_GMEM_H

#include <pthread.h>
#include <stdatomic.h>

#include "core/types.h"

enum { GMEM_SLOTS = 4, GMEM_STORERS = 64, GMEM_RECENT = 64 };

struct gmem_slot {
    gpa_t base;      /* page aligned */
    uint64_t size;   /* bytes, page aligned */
    uint64_t offset; /* of base inside the host mapping */
};

/*
 * A thread that stores to guest memory without looking at marks: it remembers pages that had none. It does so only between
 * gmem_storer_enter() and gmem_storer_leave(), and it leaves soon after a bit of `attention` was set. A mark is not in force
 * until every storer has been outside, or has dropped what it remembered.
 */
struct gmem_storer {
    _Atomic bool inside;
    _Atomic uint64_t seen;       /* gm->nr_marks when it last dropped what it remembered */
    _Atomic uint32_t *attention; /* borrowed: a word it looks at while inside */
    uint32_t attention_bit;      /* set in it when pages were marked, or marked pages written */
};

struct gmem {
    uint8_t *host; /* owned mapping of all RAM, 2 MiB aligned */
    uint64_t size; /* bytes */
    unsigned nr_slots;
    struct gmem_slot slot[GMEM_SLOTS];
    _Atomic uint32_t *code;     /* owned; one a page of the host mapping: not 0 once instructions were taken from it */
    _Atomic uint32_t *code_gen; /* owned; one a page: counts noted writes to a page with code */
    _Atomic uint64_t nr_marks;  /* pages newly marked, ever */
    _Atomic uint64_t nr_writes; /* noted writes to pages with code, ever */
    /* the last of each, by number: number << 32 | page index; a place may lag behind its counter */
    _Atomic uint64_t marked[GMEM_RECENT], written[GMEM_RECENT];
    pthread_mutex_t mark_lock; /* who marks: guards the order of nr_marks, code and marked */
    unsigned nr_storers;
    struct gmem_storer *storer[GMEM_STORERS]; /* borrowed (they are taken out before they go) */
    int fd;                                   /* owned; the memfd behind the mapping once gmem_share() was called, else -1 */
    int pagemap;                              /* owned; /proc/self/pagemap, -1: not to be had */
    bool need_fence; /* no membarrier(2) here: writers fence before they look at the code mark (see gmem_mark_code) */
};

/* To be called while the process has one thread: gmem_init() then need not wait until the host's kernel has told all CPUs that we
 * use membarrier(2), which takes ten milliseconds or two. */
void gmem_begin(void);
/* Maps `size` bytes (a multiple of the page size) of zeroed RAM without a slot. -ENOMEM, -EINVAL. */
MUST_CHECK int gmem_init(struct gmem *gm, uint64_t size, struct error *err);
void gmem_done(struct gmem *gm);
/* Puts the memory, with what is in it, into a memfd at the same addresses, so that it can be mapped elsewhere, too, also by other
 * processes (gm->fd, page offsets as in the host mapping); does nothing the second time. It is no longer in large pages then.
 * While nobody accesses it: before other threads run, or when all stand (vm_request_share()). -errno, and all is as it was. */
MUST_CHECK int gmem_share(struct gmem *gm, struct error *err);
/* Shows [offset, offset+size) of the mapping to the guest at `base`. -EINVAL on overlap, misalignment or overflow. */
MUST_CHECK int gmem_add_slot(struct gmem *gm, gpa_t base, uint64_t size, uint64_t offset, struct error *err);

/* Host address of [gpa, gpa+len) if all of it is RAM of one slot, else NULL. Valid until gmem_done(). Writers through
 * it must call gmem_note_write(). */
void *gmem_pin(const struct gmem *gm, gpa_t gpa, uint64_t len);
/* Copies; -EFAULT (nothing copied) unless the whole range is RAM. gmem_write notes code pages. */
MUST_CHECK int gmem_read(const struct gmem *gm, gpa_t gpa, void *buf, uint64_t len);
MUST_CHECK int gmem_write(struct gmem *gm, gpa_t gpa, const void *buf, uint64_t len);
/* Says that these bytes of RAM are about to be written: when they are many, the host makes their pages now, all at once, which
 * takes a fraction of the time of a fault each. */
void gmem_make(uint8_t *host, uint64_t len);
/* Gives the whole pages in [host, host+len), which lie in gm->host, to the host: what is resident falls, their contents are lost
 * (they read as zeroes, or as they were should the host not take them), their addresses stay. Notes code pages. Returns the bytes
 * given. */
uint64_t gmem_discard(struct gmem *gm, void *host, uint64_t len);
/* Zeroes all RAM and forgets all code marks. Only with every vCPU stopped. */
void gmem_reset(struct gmem *gm);

/* Index of the page behind a host address inside gm->host. */
static inline uint64_t gmem_page_index(const struct gmem *gm, const void *host)
{
    return (uint64_t)((const uint8_t *)host - gm->host) >> GPAGE_SHIFT;
}

/* The rest of gmem_note_write() for a page that is marked. */
void gmem_wrote_code(struct gmem *gm, uint64_t page);

/* To be called after storing to `host`: when its page has code, takes the mark off, bumps the generation and returns true. */
static inline bool gmem_note_write(struct gmem *gm, const void *host)
{
    uint64_t page = gmem_page_index(gm, host);
    if (__builtin_expect(gm->need_fence, 0))
        atomic_thread_fence(memory_order_seq_cst);
    /* pairs with the store and membarrier in gmem_mark_code */
    if (__builtin_expect(!atomic_load_explicit(&gm->code[page], memory_order_relaxed), 1))
        return false;
    gmem_wrote_code(gm, page);
    return true;
}

/*
 * Marks the page as holding code; to be called before its bytes are read for decoding. Once it has returned true, a writer on
 * another thread either sees the mark (and bumps the generation after its store) or its store is visible to the
 * caller: the mark is published by membarrier(2), which puts a full fence into every running thread, so writers need
 * none of their own. The page's generation is to be compared before each use of what was decoded: a noted write
 * takes the mark off and bumps the generation, so a mismatch means: mark again, then look at the bytes again.
 * (After reading the generation the mark is checked once more and set again if a racing writer took it off.)
 *
 * False: a storer is still inside that may write without a look at the mark. What is decoded may be executed now, but not be
 * kept; try again soon. The caller's own storer must be outside, or this never ends.
 */
MUST_CHECK bool gmem_mark_code(struct gmem *gm, uint64_t page, uint32_t *ret_gen);

/* Storers come and go while no vCPU runs. */
void gmem_add_storer(struct gmem *gm, struct gmem_storer *s);
void gmem_remove_storer(struct gmem *gm, struct gmem_storer *s);

/* Before storing by what is remembered. False (and still outside): pages were marked since `seen`; the caller forgets them, or
 * all, stores the value of nr_marks it looked at first in `seen`, and tries again. */
static inline bool gmem_storer_enter(const struct gmem *gm, struct gmem_storer *s)
{
    atomic_store_explicit(&s->inside, true, memory_order_relaxed);
    /* pairs with the membarrier in gmem_mark_code: who marks sees us inside, or we see that something was marked */
    if (__builtin_expect(gm->need_fence, 0))
        atomic_thread_fence(memory_order_seq_cst);
    else
        atomic_signal_fence(memory_order_seq_cst);
    if (__builtin_expect(
            atomic_load_explicit(&gm->nr_marks, memory_order_acquire) == atomic_load_explicit(&s->seen, memory_order_relaxed), 1))
        return true;
    atomic_store_explicit(&s->inside, false, memory_order_release);
    return false;
}

static inline void gmem_storer_leave(struct gmem_storer *s)
{
    atomic_store_explicit(&s->inside, false,
                          memory_order_release); /* pairs with the load in gmem_mark_code: our stores are out */
}

/* Forgets that a page (its host address; NULL: any) had no mark: what is remembered may store to it no more. */
typedef void (*gmem_forget_fn)(void *opaque, const uint8_t *page);

/* For one that may not enter: has what was marked since `seen` forgotten, page by page where those are few and still known. */
void gmem_storer_catch_up(const struct gmem *gm, struct gmem_storer *s, gmem_forget_fn forget, void *opaque);

/* Enters, when what was marked is forgotten: no page has got its first code since its rights were looked at. */
static inline void gmem_storer_begin(const struct gmem *gm, struct gmem_storer *s, gmem_forget_fn forget, void *opaque)
{
    while (!gmem_storer_enter(gm, s))
        gmem_storer_catch_up(gm, s, forget, opaque);
}

/* The page of the number-th entry of gm->marked or gm->written; false: it was overwritten, or is not there yet. */
static inline bool gmem_recent(const _Atomic uint64_t *ring, uint64_t number, uint64_t *ret_page)
{
    uint64_t v = atomic_load_explicit(&ring[number % GMEM_RECENT], memory_order_acquire);
    *ret_page = (uint32_t)v;
    return v >> 32 == (uint32_t)number;
}

static inline uint32_t gmem_code_gen(const struct gmem *gm, uint64_t page)
{
    return atomic_load_explicit(&gm->code_gen[page], memory_order_acquire);
}

#endif
