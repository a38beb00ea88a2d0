/* SPDX-License-Identifier: MIT */
/*
 * The workers' threads and their queues of jobs.
 *
 * A thread that has run work ends it itself, under the front end's lock: the loop need not be woken for it. Where there is no
 * such lock (tests without threads of their own), and where no thread could be started, the loop ends it, called by an eventfd. A
 * thread without work looks for some for a while before it sleeps, one at a time.
 *
 * Whoever brings work calls one thread at most, and none when one looks or was called and has not come yet; that one calls the
 * next when it leaves work behind. So bringing much at once (a vCPU does, with the guest waiting) costs one call.
 *
 * All threads may have run something and wait for the front end's lock, which workers_drain() is called with: so that does what
 * is left itself, in order, after what the threads have begun.
 *
 * `mutex` guards the queues and is a leaf: nothing else is locked while it is held.
 */
#include "backend/workers.h"

#include <assert.h>
#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/loop.h"
#include "base/spin.h"

enum { THREADS_MAX = 8 };

struct list {
    struct work *first, **end;
};

struct workers {
    struct loop *loop; /* borrowed (outlives us: freed last) */
    const struct workers_ops *ops;
    void *opaque;                 /* borrowed (our owner) */
    pthread_mutex_t *const *lock; /* borrowed (our owner's) */
    int event_fd;                 /* owned */
    bool watched;
    pthread_t thread[THREADS_MAX];
    unsigned nr_threads, wanted; /* started with the first work, by who brings it: they inherit its Landlock */
    pthread_mutex_t mutex;
    pthread_cond_t more; /* work came, or it is the end */
    pthread_cond_t idle; /* a piece of work has run */
    /* guarded by mutex */
    struct list todo, ran;
    _Atomic unsigned nr_todo; /* a thread that looks reads it without mutex, relaxed: it looks again with it */
    unsigned running;
    unsigned asleep;
    bool looking;  /* a thread does, and needs no call */
    bool called;   /* a thread that was asleep, and it has not come yet */
    bool draining; /* work is done by workers_drain() */
    bool stop;
    struct spin spin; /* from when a thread was out of work to when new work came */
};

static void list_init(struct list *list)
{
    list->first = NULL;
    list->end = &list->first;
}

static void append(struct list *list, struct work *work)
{
    work->next = NULL;
    *list->end = work;
    list->end = &work->next;
}

static struct work *take(struct list *list)
{
    struct work *work = list->first;
    if (work && !(list->first = work->next))
        list->end = &list->first;
    return work;
}

static void lock(struct workers *w)
{
    (void)pthread_mutex_lock(&w->mutex); /* a plain mutex never fails */
}

static void unlock(struct workers *w)
{
    (void)pthread_mutex_unlock(&w->mutex);
}

static void wake_loop(struct workers *w)
{
    uint64_t one = 1;
    if (write(w->event_fd, &one, sizeof(one)) < 0)
        assert(errno == EAGAIN); /* the counter is full: it is awake */
}

/* Ends what has run. Front end's lock held. */
static void end_all(struct workers *w)
{
    for (;;) {
        lock(w);
        struct work *work = take(&w->ran);
        unlock(w);
        if (!work)
            return;
        w->ops->done(w->opaque, work);
    }
}

/* What has run is in the list: sees to its end. */
static void bring_to_end(struct workers *w)
{
    pthread_mutex_t *front = *w->lock;
    if (!front) {
        wake_loop(w);
        return;
    }
    (void)pthread_mutex_lock(front); /* workers_drain() may hold it, and ends all itself */
    end_all(w);
    (void)pthread_mutex_unlock(front);
}

/* Work is there that nobody is on his way to: whether to signal `more`, without mutex. mutex held. */
static bool must_call(struct workers *w)
{
    bool call = w->todo.first && !w->looking && !w->called && w->asleep > 0;
    w->called = w->called || call;
    return call;
}

static void call(struct workers *w)
{
    (void)pthread_cond_signal(&w->more);
}

/* Waits for work, or the end. mutex held, and let go of meanwhile. */
static void wait_for_work(struct workers *w)
{
    spin_begin(&w->spin);
    if (!w->looking) {
        struct spin spin = w->spin;
        w->looking = true;
        unlock(w);
        while (atomic_load_explicit(&w->nr_todo, memory_order_relaxed) == 0 && spin_again(&spin)) {
        }
        lock(w);
        w->looking = false;
    }
    w->asleep++;
    while ((!w->todo.first || w->draining) && !w->stop) {
        (void)pthread_cond_wait(&w->more, &w->mutex);
        w->called = false;
    }
    w->asleep--;
}

/* The next work, counted as running; NULL: none. mutex held. */
static struct work *take_todo(struct workers *w)
{
    struct work *work = take(&w->todo);
    if (work) {
        atomic_fetch_sub_explicit(&w->nr_todo, 1, memory_order_relaxed);
        w->running++;
    }
    return work;
}

static void run_work(struct workers *w, struct work *work)
{
    w->ops->run(w->opaque, work);
    lock(w);
    append(&w->ran, work);
    if (--w->running == 0)
        (void)pthread_cond_broadcast(&w->idle);
    unlock(w);
}

static void *thread_body(void *opaque)
{
    struct workers *w = opaque;
    lock(w);
    for (;;) {
        struct work *work = w->draining ? NULL : take_todo(w);
        if (!work && w->stop)
            break;
        if (!work) {
            wait_for_work(w);
            continue;
        }
        bool more = must_call(w);
        unlock(w);
        if (more)
            call(w);
        run_work(w, work);
        bring_to_end(w);
        lock(w);
    }
    unlock(w);
    return NULL;
}

static void on_event(void *opaque, uint32_t events)
{
    struct workers *w = opaque;
    pthread_mutex_t *front = *w->lock;
    uint64_t count;
    (void)events;
    if (read(w->event_fd, &count, sizeof(count)) < 0)
        assert(errno == EAGAIN || errno == EINTR);
    if (front)
        (void)pthread_mutex_lock(front);
    end_all(w);
    if (front)
        (void)pthread_mutex_unlock(front);
}

/* Signals are the control thread's. */
static int start_thread(struct workers *w)
{
    sigset_t all, old;
    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &old);
    int r = -pthread_create(&w->thread[w->nr_threads], NULL, thread_body, w);
    (void)pthread_sigmask(SIG_SETMASK, &old, NULL);
    w->nr_threads += r == 0;
    return r;
}

/* Without a single thread it is done here and now. */
static void run_here(struct workers *w, struct work *work)
{
    w->ops->run(w->opaque, work);
    lock(w);
    append(&w->ran, work);
    unlock(w);
    wake_loop(w);
}

void workers_add(struct workers *w, struct work *work)
{
    while (w->nr_threads < w->wanted && start_thread(w) == 0) {
    }
    w->wanted = w->nr_threads;
    if (w->nr_threads == 0) {
        run_here(w, work);
        return;
    }
    lock(w);
    if (!w->todo.first)
        spin_end(&w->spin);
    append(&w->todo, work);
    atomic_fetch_add_explicit(&w->nr_todo, 1, memory_order_relaxed);
    bool asleep = must_call(w);
    unlock(w);
    if (asleep)
        call(w);
}

void workers_drain(struct workers *w)
{
    lock(w);
    w->draining = true;
    while (w->running)
        (void)pthread_cond_wait(&w->idle, &w->mutex);
    for (struct work *work; (work = take_todo(w)) || w->ran.first;) { /* what ends may begin something new */
        unlock(w);
        if (work)
            run_work(w, work);
        end_all(w);
        lock(w);
    }
    w->draining = false;
    unlock(w);
}

int workers_new(struct loop *loop, unsigned threads, const struct workers_ops *ops, void *opaque, pthread_mutex_t *const *front,
                struct workers **ret_workers, struct error *err)
{
    assert(threads > 0 && threads <= THREADS_MAX);
    struct workers *w = calloc(1, sizeof(*w));
    if (!w)
        return error_set(err, -ENOMEM, "out of memory for I/O threads");
    w->loop = loop;
    w->ops = ops;
    w->opaque = opaque;
    w->lock = front;
    list_init(&w->todo);
    list_init(&w->ran);
    (void)pthread_mutex_init(&w->mutex, NULL); /* without attributes these cannot fail */
    (void)pthread_cond_init(&w->more, NULL);
    (void)pthread_cond_init(&w->idle, NULL);
    spin_init(&w->spin);
    w->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    int r = w->event_fd < 0 ? error_set(err, -errno, "eventfd: %s", strerror(errno)) : 0;
    if (r == 0)
        r = loop_add_fd(loop, w->event_fd, EPOLLIN, on_event, w, err);
    w->watched = r == 0;
    w->wanted = threads;
    if (r < 0) {
        workers_free(w);
        return r;
    }
    *ret_workers = w;
    return 0;
}

void workers_free(struct workers *w)
{
    if (!w)
        return;
    lock(w);
    w->stop = true;
    (void)pthread_cond_broadcast(&w->more);
    unlock(w);
    for (unsigned i = 0; i < w->nr_threads; i++)
        (void)pthread_join(w->thread[i], NULL); /* ours and joinable: cannot fail */
    if (w->watched)
        loop_remove_fd(w->loop, w->event_fd);
    if (w->event_fd >= 0)
        (void)close(w->event_fd);
    (void)pthread_cond_destroy(&w->idle);
    (void)pthread_cond_destroy(&w->more);
    (void)pthread_mutex_destroy(&w->mutex);
    free(w);
}
