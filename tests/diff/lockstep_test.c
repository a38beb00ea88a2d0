/* SPDX-License-Identifier: MIT */
/*
 * Engine `bt` against `interp` on generated programs, in lockstep.
 *
 * Two machines with the same memory and state run the same program (lockstep_gen.h). Law 1: after every single block of `bt` some
 * number of `interp`'s single steps leads to the same state and memory. Law 2: translated blocks that lead into each other reach
 * each pause of the program (a HLT) as `interp` does. Law 3: so they do when they are stopped and go on all the time, and they
 * stop when told to. Law 4: so does a CPU whose engine changes every few blocks.
 *
 * A difference is printed with the program's seed, the code and both states. LOCKSTEP_SEED, LOCKSTEP_COUNT (programs a law) and
 * LOCKSTEP_SECONDS (in all; 30) choose; LOCKSTEP_SEED=N LOCKSTEP_COUNT=1 repeats program N. LOCKSTEP_LAW: one test, by name;
 * LOCKSTEP_TRACE=DIR: what was translated (as --trace-code).
 *
 * Not compared: arithmetic flags where they are dead (docs/decisions/0006) or undefined (generated code defines them next).
 */
#include "lockstep_machine.h"

#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#include "base/checked.h"
#include "engine/bt/bt.h"
#include "engine/bt/bt_x86.h"
#include "support/dead_flags.h"

enum {
    REF_BLOCKS_MAX = 100000,
    TURNS_MAX = 60000,
    STEPS_MAX = 120000, /* a repeated instruction may take one an element */
    PAUSES_MAX = 2000,
    PAUSE_S = 20,
    STEPPING_S = 60,
    STOPS_US = 100,
    HANG_S = 10
};

struct lockstep {
    struct ls_gen *gen;     /* owned */
    struct ls_machine a, b; /* under test; the reference */
    struct ls_program p;
    struct rng r; /* of what the harness decides */
    bool tiny;    /* the code cache is as small as can be, and code is often evicted */
    int verbose;  /* 1: name each program; 2: and turn; 3: list its code */
    uint64_t programs, finished, abandoned, disturbances, turns, pauses, faults, irqs, forgiven, stops;
    double slowest; /* seconds */
    uint64_t slowest_seed;
};

static struct bt_x86 *bt_of(struct ls_machine *m)
{
    return m->b.vcpu->engine_cpu;
}

static struct x86_run *interp_of(struct ls_machine *m)
{
    return m->b.vcpu->engine_cpu;
}

static void report(struct lockstep *t, const char *what, gva_t from)
{
    printf("program %lu (%s%s%s), %s differs; the code before:\n", t->p.seed,
           t->p.kernel_only ? "kernel"
           : t->p.user      ? "user"
                            : "both",
           t->p.irqs ? ", interrupts" : "", t->p.avx512 ? ", AVX-512" : "", what);
    ls_print_code(&t->b, from, 50);
    ls_print_difference(&t->a, &t->b);
    (void)fflush(stdout);
}

static void load(struct lockstep *t, uint64_t seed)
{
    ls_gen_program(t->gen, seed, &t->p);
    ls_machine_load(&t->a, &t->p);
    ls_machine_load(&t->b, &t->p);
    t->r.state = seed ^ 0xfeed;
    t->programs++;
    if (t->verbose > 2)
        for (unsigned at = 0; at < t->p.size; at = t->p.resume[at])
            ls_print_code(&t->b, ls_code_va(at), 1);
}

static void wake(struct lockstep *t)
{
    ls_cpu(&t->a)->activity = ls_cpu(&t->b)->activity = X86_RUNNING;
    t->pauses++;
}

static void count_program(struct lockstep *t, bool done)
{
    uint32_t faults;
    memcpy(&faults, ls_ram(&t->b) + LS_P_LOG + LS_LOG_FAULTS, 4);
    t->faults += faults;
    t->finished += done;
    t->abandoned += !done;
}

/* ---- law 1 ---- */

/* Flags before the instruction at rip are undefined. */
static bool open_at(const struct lockstep *t, gva_t rip)
{
    uint64_t off = rip - ls_code_va(0);
    return off < LS_CODE_BYTES && t->p.flags_open[off];
}

/* The reference takes one step, or what is between two. False: it cannot (asleep, shut down). */
static bool step_ref(struct ls_machine *b)
{
    struct x86_cpu *c = ls_cpu(b);
    enum vcpu_exit exit;
    gva_t rip = c->rip;
    if (x86_run_boundary(interp_of(b), c, &exit))
        return false;
    if (c->rip == rip)
        x86_run_step(interp_of(b), c);
    return true;
}

/* Offset in memory of the frame, when a fault's handler has just been entered, and the address of the faulting instruction. */
static bool fault_frame(struct lockstep *t, gpa_t *ret_frame, gva_t *ret_rip)
{
    const struct x86_cpu *c = ls_cpu(&t->b);
    uint64_t vector = (c->rip - LS_V_KERNEL) / 16;
    if (vector >= 32 || !x86_translate_quiet(c, c->gpr[RSP], ret_frame))
        return false;
    if (vector == X86_DF || (vector >= X86_TS && vector <= X86_PF) || vector == X86_AC)
        *ret_frame += 8;
    memcpy(ret_rip, ls_ram(&t->b) + *ret_frame, 8);
    return true;
}

/* Where bt's arithmetic flags differ and are dead they become the reference's, also in the frame of a fault whose handler has
 * just been entered. True when nothing else differed. */
static bool forgive(struct lockstep *t)
{
    struct x86_cpu *x = ls_cpu(&t->a), *y = ls_cpu(&t->b);
    unsigned dead = dead_flags_at(y, y->rip), dead_before = 0;
    uint16_t in_frame[2];
    gva_t rip;
    gpa_t frame = 0;
    if (ls_differ(&t->a, &t->b, LS_STATE, true))
        return false;
    if (fault_frame(t, &frame, &rip)) {
        dead_before = dead_flags_at(y, rip);
        memcpy(&in_frame[0], ls_ram(&t->a) + frame + 16, 2); /* the arithmetic flags are in the low two bytes */
        memcpy(&in_frame[1], ls_ram(&t->b) + frame + 16, 2);
        if (!((in_frame[0] ^ in_frame[1]) & ~dead_before))
            memcpy(ls_ram(&t->a) + frame + 16, &in_frame[1], 2);
    }
    if ((x->rflags ^ y->rflags) & ~(uint64_t)(dead | dead_before))
        return false;
    x->rflags = y->rflags;
    bool equal = !ls_differ(&t->a, &t->b, LS_HOT, false);
    t->forgiven += equal;
    return equal;
}

/* Steps the reference until it is where bt is; what differs, NULL: nothing. */
static const char *catch_up(struct lockstep *t)
{
    static struct x86_cpu seen; /* the reference when it first came to bt's rip */
    bool met = false;
    const char *first = "rip";
    for (unsigned n = 0; n < STEPS_MAX; n++) {
        gva_t rip = ls_cpu(&t->a)->rip;
        if (ls_cpu(&t->b)->rip == rip) {
            const char *differ = ls_differ(&t->a, &t->b, LS_HOT, open_at(t, rip));
            if (!differ || forgive(t))
                return NULL;
            if (!met || strcmp(first, "gpr") == 0) {
                seen = *ls_cpu(&t->b);
                first = differ;
            }
            met = true;
        }
        if (!step_ref(&t->b))
            break;
    }
    if (met)
        *ls_cpu(&t->b) = seen; /* for the report */
    return first;
}

/* What may happen at any time and must not show: everything derived is lost, or part of it. */
static void disturb(struct lockstep *t, bool same_place)
{
    struct ls_machine *a = &t->a;
    unsigned what = rng_below(&t->r, 2000);
    if (what > 5)
        return;
    if (what == 5) {
        bt_x86_evict(bt_of(a));
    } else if (what == 0 || !same_place) { /* who flushes sees page tables anew, so both must do it at the same place */
        bt_x86_drop(bt_of(a));
    } else {
        if (what == 1)
            vcpu_request(a->b.vcpu, VCPU_REQ_FLUSH);
        else
            x86_tlb_flush_all(ls_cpu(a));
        x86_tlb_flush_all(ls_cpu(&t->b));
    }
    t->disturbances++;
}

/* False on a difference. */
static bool run_stepping(struct lockstep *t, uint64_t seed)
{
    load(t, seed);
    for (unsigned turn = 0; turn < TURNS_MAX; turn++) {
        struct x86_cpu *c = ls_cpu(&t->a);
        gva_t from = c->rip;
        if (t->p.irqs && rng_percent(&t->r, 3) && !open_at(t, from)) {
            ls_raise_irq(&t->a);
            ls_raise_irq(&t->b);
            t->irqs++;
        }
        disturb(t, true);
        (void)bt_x86_run_turns(bt_of(&t->a), c, 1, true); /* why it came back shows in the state */
        if (t->verbose > 1)
            printf("turn %u: %lx to %lx\n", turn, from, c->rip);
        const char *differ = catch_up(t);
        if (!differ && (turn % 256 == 0 || ls_finished(&t->b)))
            differ = ls_differ(&t->a, &t->b, LS_ALL, open_at(t, c->rip));
        if (differ) {
            printf("law 1, turn %u, from %lx: ", turn, from);
            report(t, differ, from);
            return false;
        }
        t->turns++;
        if (c->activity == X86_HALTED)
            wake(t);
        if (ls_finished(&t->b) || c->activity != X86_RUNNING) {
            count_program(t, ls_finished(&t->b));
            return true;
        }
    }
    count_program(t, false);
    return true;
}

/* ---- laws 2 to 4 ---- */

static struct vcpu *watched;
static volatile sig_atomic_t alarms, alarms_max; /* since somebody obeyed */
static uint64_t watched_seed;

/* The guest is asked to stop. An engine that does not is broken, and there is no way back from it: the process ends; so it does
 * when a law that asks for nothing takes for ever. */
static void on_alarm(int sig)
{
    (void)sig;
    if (watched)
        atomic_fetch_or(&watched->requests, VCPU_REQ_STOP);
    if (++alarms < alarms_max)
        return;
    char text[96];
    int n = snprintf(text, sizeof(text), "program %lu: the engine hangs%s\n", watched_seed,
                     watched ? ", asked to stop or not" : "");
    (void)!write(STDOUT_FILENO, text, (size_t)n); /* we are about to end */
    _exit(1);
}

/* Alarms every us microseconds, the first in half that; 0: none any more. v: whom they ask to stop, NULL: nobody. */
static void watch(struct vcpu *v, unsigned us)
{
    const struct itimerval t = { .it_value = { us / 2 / 1000000, us / 2 % 1000000 },
                                 .it_interval = { us / 1000000, us % 1000000 } };
    const struct itimerval none = { .it_value = { 0, 0 } };
    alarms = 0;
    alarms_max = us ? MAX(2, HANG_S * 1000000 / (sig_atomic_t)us) : INT_MAX; /* the last one may still be on its way */
    watched = v;
    (void)setitimer(ITIMER_REAL, us ? &t : &none, NULL); /* fails only for bad arguments */
}

/* Runs to the next pause. */
static enum vcpu_exit run_chained(struct lockstep *t)
{
    return t->a.b.vcpu->engine->run(t->a.b.vcpu);
}

static enum vcpu_exit run_switching(struct lockstep *t)
{
    struct x86_cpu *c = ls_cpu(&t->a);
    for (;;) {
        disturb(t, false);
        enum vcpu_exit exit = bt_x86_run_turns(bt_of(&t->a), c, 1 + rng_below(&t->r, 40), rng_percent(&t->r, 50));
        if (exit != VCPU_EXIT_REQUEST || c->activity != X86_RUNNING || (vcpu_requests(t->a.b.vcpu) & VCPU_REQ_STOP))
            return exit;
        exit = x86_run_blocks(t->a.other, c, 1 + rng_below(&t->r, rng_percent(&t->r, 50) ? 4 : 40));
        if (exit != VCPU_EXIT_REQUEST || c->activity != X86_RUNNING || (vcpu_requests(t->a.b.vcpu) & VCPU_REQ_STOP))
            return exit;
    }
}

/* As chained, but somebody wants it to stop all the time. */
static enum vcpu_exit run_stopping(struct lockstep *t)
{
    struct vcpu *v = t->a.b.vcpu;
    enum vcpu_exit exit;
    watch(v, STOPS_US);
    do {
        exit = v->engine->run(v);
        alarms = 0;
        t->stops += vcpu_take(v, VCPU_REQ_STOP) != 0;
    } while (exit == VCPU_EXIT_REQUEST && ls_cpu(&t->a)->activity == X86_RUNNING);
    return exit;
}

/* What the reference did not finish is stopped, too. */
static void run_unfinished(struct lockstep *t)
{
    struct vcpu *v = t->a.b.vcpu;
    watch(v, STOPS_US);
    for (unsigned n = 0; n < 20; n++) {
        (void)v->engine->run(v); /* the next one goes on wherever this one stopped */
        alarms = 0;
        t->stops += vcpu_take(v, VCPU_REQ_STOP) != 0;
    }
    watch(NULL, 0);
}

static bool run_to_pauses(struct lockstep *t, uint64_t seed, enum vcpu_exit (*run)(struct lockstep *))
{
    load(t, seed);
    for (unsigned n = 0; n < PAUSES_MAX; n++) {
        struct x86_cpu *c = ls_cpu(&t->b);
        if (x86_run_blocks(interp_of(&t->b), c, REF_BLOCKS_MAX) == VCPU_EXIT_REQUEST && c->activity == X86_RUNNING) {
            if (run == run_stopping)
                run_unfinished(t);
            break; /* it hangs: nothing to compare at */
        }
        watch(t->a.b.vcpu, PAUSE_S * 1000000);
        (void)run(t);
        watch(NULL, 0);
        const char *differ = ls_differ(&t->a, &t->b, ls_finished(&t->b) ? LS_ALL : LS_HOT, false);
        if (differ) {
            printf("at pause %lu: ", t->pauses);
            report(t, differ, c->rip);
            return false;
        }
        if (c->activity != X86_HALTED || ls_finished(&t->b)) {
            count_program(t, ls_finished(&t->b));
            return true;
        }
        wake(t);
    }
    count_program(t, false);
    return true;
}

static bool run_free(struct lockstep *t, uint64_t seed)
{
    return run_to_pauses(t, seed, run_chained);
}

static bool run_stopped(struct lockstep *t, uint64_t seed)
{
    return run_to_pauses(t, seed, run_stopping);
}

static bool run_switched(struct lockstep *t, uint64_t seed)
{
    return run_to_pauses(t, seed, run_switching);
}

/* ---- driving ---- */

static double now(void)
{
    struct timespec ts;
    (void)clock_gettime(CLOCK_MONOTONIC, &ts); /* cannot fail */
    return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static uint64_t from_env(const char *name, uint64_t otherwise)
{
    const char *v = getenv(name);
    return v ? strtoull(v, NULL, 0) : otherwise;
}

static uint64_t stat_of(struct ls_machine *m, const char *name)
{
    static char text[16384];
    size_t n = bt_x86_stats(bt_of(m), ls_cpu(m), text, sizeof(text) - 1);
    text[n < sizeof(text) ? n : sizeof(text) - 1] = 0;
    const char *at = strstr(text, name);
    return at ? strtoull(at + strlen(name), NULL, 10) : 0;
}

static bool run_timed(struct lockstep *t, uint64_t seed, bool (*run)(struct lockstep *, uint64_t))
{
    double begin = now();
    watched_seed = seed;
    if (run == run_stepping)
        watch(NULL, STEPPING_S * 1000000);
    bool equal = run(t, seed), slower = now() - begin > t->slowest;
    watch(NULL, 0);
    t->slowest = slower ? now() - begin : t->slowest;
    t->slowest_seed = slower ? seed : t->slowest_seed;
    return equal;
}

static void check_law(const char *law, bool (*run)(struct lockstep *, uint64_t), double share, bool tiny)
{
    struct lockstep *t = aligned_alloc(64, (sizeof(*t) + 63) / 64 * 64);
    uint64_t seed = from_env("LOCKSTEP_SEED", (uint64_t)time(NULL) * 1000), count = from_env("LOCKSTEP_COUNT", UINT64_MAX);
    uint64_t failed = 0, failures_max = from_env("LOCKSTEP_FAILURES", 1);
    assert_non_null(t);
    memset(t, 0, sizeof(*t));
    t->verbose = (int)from_env("LOCKSTEP_VERBOSE", 0);
    t->gen = ls_gen_new();
    assert_non_null(t->gen);
    t->tiny = tiny;
    ls_machine_init(&t->a, &bt_engine_ops, tiny ? VM_CODE_CACHE_MIN : 0);
    ls_machine_init(&t->b, &interp_engine_ops, 0);
    t->a.other = x86_run_new(64 << 20, 16);
    assert_non_null(t->a.other);
    (void)signal(SIGALRM, on_alarm);
    const double end = now() + share * (double)from_env("LOCKSTEP_SECONDS", 30);
    printf("%s: LOCKSTEP_SEED=%lu\n", law, seed);
    for (uint64_t n = 0; n < count && failed < failures_max && (!n || now() < end || count != UINT64_MAX); n++) {
        if (t->verbose)
            printf("program %lu\n", seed + n);
        failed += !run_timed(t, seed + n, run);
    }
    printf("%s: %lu programs, %lu to their end, %lu turns, %lu pauses, %lu faults, %lu interrupts, %lu disturbances, "
           "%lu times dead flags, %lu stops; slowest: %lu, %.2f s\n",
           law, t->programs, t->finished, t->turns, t->pauses, t->faults, t->irqs, t->disturbances, t->forgiven, t->stops,
           t->slowest_seed, t->slowest);
    printf("  translated %lu blocks of %lu instructions, %lu native; %lu entries, %lu cold blocks, %lu links, %lu kills, %lu "
           "revivals, %lu evictions of %lu\n",
           stat_of(&t->a, "bt_blocks_translated "), stat_of(&t->a, "bt_insns_translated "), stat_of(&t->a, "bt_insns_native "),
           stat_of(&t->a, "bt_entries "), stat_of(&t->a, "bt_cold_blocks "), stat_of(&t->a, "bt_links "),
           stat_of(&t->a, "bt_kills "), stat_of(&t->a, "bt_revivals "), stat_of(&t->a, "bt_evictions "),
           stat_of(&t->a, "bt_evicted "));
    assert_int_equal(failed, 0);
    assert_true(!tiny || stat_of(&t->a, "bt_evictions ") > 0 || t->programs < 100); /* few programs fit */
    if (t->programs >= 100) {                                                       /* else there is not much in the programs */
        assert_true(t->finished * 2 > t->programs);
        /* an entry runs a trace, of more than two blocks on average: most instructions run translated */
        assert_true(stat_of(&t->a, "bt_entries ") * (tiny ? 4 : 2) > stat_of(&t->a, "bt_cold_blocks "));
    }
    ls_gen_free(t->gen);
    ls_machine_done(&t->a);
    ls_machine_done(&t->b);
    free(t);
}

static void each_block_ends_in_a_state_that_interp_reaches(void **state)
{
    (void)state;
    check_law("blocks", run_stepping, 0.5, false);
}

static void chained_blocks_reach_the_same_pauses(void **state)
{
    (void)state;
    check_law("chains", run_free, 0.2, false);
}

static void an_engine_stops_when_asked_to_and_goes_on_as_if_nothing_was(void **state)
{
    (void)state;
    check_law("stops", run_stopped, 0.1, false);
}

static void switching_engines_changes_nothing(void **state)
{
    (void)state;
    check_law("switches", run_switched, 0.1, false);
}

static void eviction_changes_nothing(void **state)
{
    (void)state;
    check_law("evicted blocks", run_stepping, 0.1, true);
    check_law("evicted chains", run_free, 0.05, true);
    check_law("evictions and switches", run_switched, 0.05, true);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_block_ends_in_a_state_that_interp_reaches),
        cmocka_unit_test(chained_blocks_reach_the_same_pauses),
        cmocka_unit_test(an_engine_stops_when_asked_to_and_goes_on_as_if_nothing_was),
        cmocka_unit_test(switching_engines_changes_nothing),
        cmocka_unit_test(eviction_changes_nothing),
    };
    if (getenv("LOCKSTEP_LAW"))
        cmocka_set_test_filter(getenv("LOCKSTEP_LAW"));
    return cmocka_run_group_tests(tests, NULL, NULL);
}
