/* SPDX-License-Identifier: MIT */
/*
 * Laws of workers: what is brought at once runs at once, on as many threads as there are, also when they were asleep, and all
 * ends.
 */
#include "backend/workers.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include <cmocka.h>

#include "base/checked.h"
#include "base/loop.h"

enum { THREADS = 4, WAIT_S = 10, ROUNDS = 50 };

static struct loop *loop;
static pthread_mutex_t front = PTHREAD_MUTEX_INITIALIZER, mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_mutex_t *const front_at = &front;
static pthread_cond_t arrived = PTHREAD_COND_INITIALIZER, end = PTHREAD_COND_INITIALIZER;
static unsigned wanted, running; /* under mutex */
static unsigned ended;           /* under front */

/* Returns when as many run at a time as wanted, or after a long while. */
static void run(void *opaque, struct work *work)
{
    struct timespec late;
    (void)opaque;
    (void)work;
    (void)clock_gettime(CLOCK_REALTIME, &late);
    late.tv_sec += WAIT_S;
    (void)pthread_mutex_lock(&mutex);
    running++;
    (void)pthread_cond_broadcast(&arrived);
    while (running < wanted && pthread_cond_timedwait(&arrived, &mutex, &late) == 0) {
    }
    (void)pthread_mutex_unlock(&mutex);
}

static void done(void *opaque, struct work *work)
{
    (void)opaque;
    (void)work;
    ended++;
    (void)pthread_cond_signal(&end);
}

static const struct workers_ops ops = { .run = run, .done = done };

static int setup(void **state)
{
    struct workers *workers = NULL;
    ended = running = 0;
    if (loop_new(&loop, NULL) < 0 || workers_new(loop, THREADS, &ops, NULL, &front_at, &workers, NULL) < 0)
        return -1;
    *state = workers;
    return 0;
}

static int teardown(void **state)
{
    workers_free(*state);
    loop_free(loop);
    return 0;
}

static void bring(struct workers *workers, struct work *work, unsigned nr)
{
    wanted = nr;
    running = 0;
    (void)pthread_mutex_lock(&front);
    ended = 0;
    for (unsigned i = 0; i < nr; i++)
        workers_add(workers, &work[i]);
    (void)pthread_mutex_unlock(&front);
}

/* Not by workers_drain(): whoever has run something waits for the front end's lock, which that holds. */
static void wait_for_ends(unsigned nr)
{
    (void)pthread_mutex_lock(&front);
    while (ended < nr)
        (void)pthread_cond_wait(&end, &front);
    (void)pthread_mutex_unlock(&front);
}

/* Each job waits for the others: one that nobody is called for holds all up. */
static void what_is_brought_at_once_runs_at_once(void **state)
{
    struct work work[THREADS];
    for (unsigned round = 0; round < ROUNDS; round++) {
        unsigned nr = 1 + round % THREADS;
        bring(*state, work, nr);
        wait_for_ends(nr);
        assert_int_equal(running, nr);
    }
}

/* As above, but with threads that have gone to sleep. */
static void sleepers_call_one_another(void **state)
{
    const struct timespec long_enough = { .tv_nsec = 20000000 }; /* 100 times what they look for work; nothing tells of sleep */
    struct work work[THREADS];
    for (unsigned round = 0; round < 3; round++) {
        (void)nanosleep(&long_enough, NULL);
        bring(*state, work, THREADS);
        wait_for_ends(THREADS);
        assert_int_equal(running, THREADS);
    }
}

static void all_ends_once(void **state)
{
    struct work work[10 * THREADS];
    bring(*state, work, ARRAY_SIZE(work));
    (void)pthread_mutex_lock(&mutex);
    wanted = 0;
    (void)pthread_cond_broadcast(&arrived);
    (void)pthread_mutex_unlock(&mutex);
    (void)pthread_mutex_lock(&front);
    workers_drain(*state);
    (void)pthread_mutex_unlock(&front);
    assert_int_equal(ended, ARRAY_SIZE(work));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(what_is_brought_at_once_runs_at_once, setup, teardown),
        cmocka_unit_test_setup_teardown(sleepers_call_one_another, setup, teardown),
        cmocka_unit_test_setup_teardown(all_ends_once, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
