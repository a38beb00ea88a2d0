/* SPDX-License-Identifier: MIT */
/*
 * The epoll loop of the I/O thread: file descriptors, one timer queue hook, and posted wake-ups.
 *
 * An eventfd carries wake-ups and the order to quit, so that both are safe in a signal handler; a timerfd carries the
 * deadline, so that it is exact to the nanosecond and not rounded to epoll's milliseconds. A source removed by a
 * callback stays in the list, marked dead, until the turn that may still name it is over.
 */
#include "base/loop.h"

#include <assert.h>
#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "base/checked.h"
#include "base/clock.h"

enum { EVENTS_A_TURN = 32 };

struct source {
    int fd; /* borrowed; -1 when removed */
    uint32_t events;
    bool always; /* a regular file: epoll does not take it, it is always ready */
    loop_fd_fn fn;
    void *opaque;        /* borrowed (the caller removes the fd first) */
    struct source *next; /* owned */
};

struct loop {
    int epoll_fd, wake_fd, timer_fd; /* owned */
    struct source *sources;          /* owned */
    loop_timer_fn timer_fn;
    void *timer_opaque; /* borrowed */
    int64_t armed;      /* host ns the timerfd is set to, INT64_MAX when off */
    _Atomic bool quit;  /* set by loop_quit before it writes wake_fd, read by loop_run after it drained it */
};

static int watch(struct loop *loop, int fd, struct source *s, uint32_t events)
{
    struct epoll_event ev = { .events = events, .data.ptr = s };
    return epoll_ctl(loop->epoll_fd, EPOLL_CTL_ADD, fd, &ev) < 0 ? -errno : 0;
}

int loop_new(struct loop **ret_loop, struct error *err)
{
    struct loop *loop = calloc(1, sizeof(*loop));
    if (!loop)
        return error_set(err, -ENOMEM, "out of memory for an event loop");
    loop->armed = INT64_MAX;
    loop->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    loop->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    loop->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
    int code = -errno;
    if (loop->epoll_fd < 0 || loop->wake_fd < 0 || loop->timer_fd < 0)
        goto fail;
    /* The addresses of the members tell our own two descriptors from sources. */
    code = watch(loop, loop->wake_fd, (struct source *)(void *)&loop->wake_fd, EPOLLIN);
    if (code == 0)
        code = watch(loop, loop->timer_fd, (struct source *)(void *)&loop->timer_fd, EPOLLIN);
    if (code < 0)
        goto fail;
    *ret_loop = loop;
    return 0;
fail:
    loop_free(loop);
    return error_set(err, code, "event loop: %s", strerror(-code));
}

void loop_free(struct loop *loop)
{
    if (!loop)
        return;
    while (loop->sources) {
        struct source *s = loop->sources;
        loop->sources = s->next;
        free(s);
    }
    int fds[] = { loop->epoll_fd, loop->wake_fd, loop->timer_fd };
    for (unsigned i = 0; i < ARRAY_SIZE(fds); i++)
        if (fds[i] >= 0)
            (void)close(fds[i]); /* kernel objects without data */
    free(loop);
}

int loop_add_fd(struct loop *loop, int fd, uint32_t events, loop_fd_fn fn, void *opaque, struct error *err)
{
    struct source *s = calloc(1, sizeof(*s));
    if (!s)
        return error_set(err, -ENOMEM, "out of memory for an event source");
    *s = (struct source){ .fd = fd, .events = events, .fn = fn, .opaque = opaque, .next = loop->sources };
    int code = watch(loop, fd, s, events);
    if (code == -EPERM) {
        s->always = true;
        code = 0;
    }
    if (code < 0) {
        free(s);
        return error_set(err, code, "cannot watch descriptor %d: %s", fd, strerror(-code));
    }
    loop->sources = s;
    return 0;
}

void loop_remove_fd(struct loop *loop, int fd)
{
    for (struct source *s = loop->sources; s; s = s->next) {
        if (s->fd != fd)
            continue;
        if (!s->always)
            (void)epoll_ctl(loop->epoll_fd, EPOLL_CTL_DEL, fd, NULL); /* it was added; nothing to do if it is gone */
        s->fd = -1;
        return;
    }
}

void loop_set_timer(struct loop *loop, loop_timer_fn fn, void *opaque)
{
    loop->timer_fn = fn;
    loop->timer_opaque = opaque;
}

void loop_wake(struct loop *loop)
{
    int saved = errno; /* we may be in a signal handler */
    uint64_t one = 1;
    if (write(loop->wake_fd, &one, sizeof(one)) < 0)
        assert(errno == EAGAIN); /* the counter is full: the loop wakes anyway */
    errno = saved;
}

void loop_quit(struct loop *loop)
{
    atomic_store_explicit(&loop->quit, true, memory_order_release); /* pairs with the load in loop_run */
    loop_wake(loop);
}

/* Sets the timerfd to the hook's next deadline, if that changed. */
static void set_deadline(struct loop *loop, int64_t at)
{
    if (at == loop->armed)
        return;
    struct itimerspec spec = { 0 };
    if (at != INT64_MAX) {
        int64_t ns = MAX(at, 1); /* 0 would switch the timer off */
        spec.it_value.tv_sec = ns / NS_PER_S;
        spec.it_value.tv_nsec = ns % NS_PER_S;
    }
    int r = timerfd_settime(loop->timer_fd, TFD_TIMER_ABSTIME, &spec, NULL);
    assert(r == 0); /* our own descriptor and a valid time */
    (void)r;
    loop->armed = at;
}

static void drain(int fd)
{
    uint64_t count;
    if (read(fd, &count, sizeof(count)) < 0)
        assert(errno == EAGAIN || errno == EINTR);
}

static bool serve_files(struct loop *loop)
{
    bool any = false;
    for (struct source *s = loop->sources; s; s = s->next)
        if (s->always && s->fd >= 0) {
            any = true;
            s->fn(s->opaque, s->events & (EPOLLIN | EPOLLOUT));
        }
    return any;
}

static void free_removed(struct loop *loop)
{
    struct source **at = &loop->sources;
    while (*at) {
        struct source *s = *at;
        if (s->fd >= 0) {
            at = &s->next;
            continue;
        }
        *at = s->next;
        free(s);
    }
}

static void serve(struct loop *loop, const struct epoll_event *ev)
{
    if (ev->data.ptr == &loop->wake_fd) {
        drain(loop->wake_fd);
    } else if (ev->data.ptr == &loop->timer_fd) {
        drain(loop->timer_fd);
        loop->armed = INT64_MAX;
    } else {
        struct source *s = ev->data.ptr;
        if (s->fd >= 0)
            s->fn(s->opaque, ev->events);
    }
}

void loop_run(struct loop *loop)
{
    while (!atomic_load_explicit(&loop->quit, memory_order_acquire)) { /* pairs with the store in loop_quit */
        set_deadline(loop, loop->timer_fn ? loop->timer_fn(loop->timer_opaque) : INT64_MAX);
        struct epoll_event ev[EVENTS_A_TURN];
        bool files = serve_files(loop);
        int n = epoll_wait(loop->epoll_fd, ev, EVENTS_A_TURN, files ? 0 : -1);
        assert(n >= 0 || errno == EINTR);
        for (int i = 0; i < n; i++)
            serve(loop, &ev[i]);
        free_removed(loop);
    }
    atomic_store_explicit(&loop->quit, false, memory_order_relaxed); /* it may be run again */
}
