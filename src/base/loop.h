/* SPDX-License-Identifier: MIT */
/*
 * The epoll loop of the I/O thread: file descriptors, one timer queue hook, and posted wake-ups.
 *
 * One thread runs loop_run(). loop_wake() and loop_quit() may be called from any thread and from signal handlers;
 * the others only before loop_run() or on the loop's own thread.
 */
#ifndef DOPPEL_BASE_LOOP_H
#define DOPPEL_BASE_LOOP_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"

struct loop;

/* events are EPOLLIN etc. Runs on the loop's thread. */
typedef void (*loop_fd_fn)(void *opaque, uint32_t events);
/* Runs due timers; returns host ns (CLOCK_MONOTONIC) of the next one, or INT64_MAX for none. Called before each wait. */
typedef int64_t (*loop_timer_fn)(void *opaque);

MUST_CHECK int loop_new(struct loop **ret_loop, struct error *err);
void loop_free(struct loop *loop);
/* fd stays the caller's; remove it before closing it. A regular file (always ready for epoll: -EPERM) is served by
 * calling fn again on each turn until it is removed. */
MUST_CHECK int loop_add_fd(struct loop *loop, int fd, uint32_t events, loop_fd_fn fn, void *opaque, struct error *err);
void loop_remove_fd(struct loop *loop, int fd);
void loop_set_timer(struct loop *loop, loop_timer_fn fn, void *opaque);
/* Makes the loop call the timer hook again soon (a nearer deadline was armed). */
void loop_wake(struct loop *loop);
/* Makes loop_run() return. */
void loop_quit(struct loop *loop);
void loop_run(struct loop *loop);

#endif
