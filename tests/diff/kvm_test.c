/* SPDX-License-Identifier: MIT */
/*
 * Engine `kvm` against `interp` on lockstep_test's programs, those of ring 0.
 *
 * Two machines with the same memory and state run the same program. Law 1: under kvm it reaches each pause (a HLT) in the same
 * state and with the same memory. Law 2: so it does when it is stopped all the time, and when
 * the engine changes at every pause.
 *
 * The model is the one that KVM shows, on both machines. LOCKSTEP_SEED and LOCKSTEP_COUNT (programs a law) choose,
 * LOCKSTEP_SECONDS is for both laws together (10). Skipped where /dev/kvm is not usable.
 */
#include "lockstep_machine.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/time.h>
#include <unistd.h>

#include "base/checked.h"
#include "base/clock.h"
#include "engine/kvm/kvm.h"
#include "isa/x86/sysreg.h"

enum { REF_BLOCKS_MAX = 20000, PAUSES_MAX = 60, STOP_US = 100, HANG_S = 30, SEED = 600, COUNT = 60 };

struct pair {
    struct ls_machine a, b; /* under kvm; the reference */
    struct ls_program p;
    const struct x86_profile *model;
    uint64_t programs, finished, pauses, stops, switches;
};

static struct vcpu *watched;
static volatile sig_atomic_t alarms;

/* KVM_RUN comes back for the signal, and finds the request. */
static void on_alarm(int sig)
{
    (void)sig;
    atomic_fetch_or(&watched->requests, VCPU_REQ_STOP);
    if (++alarms > HANG_S * 1000000 / STOP_US)
        _exit(1);
}

static void watch(struct vcpu *v, unsigned us)
{
    const struct itimerval t = { .it_value = { 0, us }, .it_interval = { 0, us } };
    watched = v;
    alarms = 0;
    (void)setitimer(ITIMER_REAL, &t, NULL); /* fails only for bad arguments */
}

static struct x86_run *interp_of(struct ls_machine *m)
{
    return m->b.vcpu->engine_cpu;
}

/* Images of the FPU show what is the CPU's, not the architecture's: which bits of MXCSR it has, and where the x87 pointers go. */
static void leave_out_images(struct ls_program *p)
{
    static const char *const names[] = { "FXSAVE", "FNSAVE", "FNSTENV", "FSTENV", "FSAVE", "XSAVE", "STMXCSR" };
    for (unsigned at = 0; at < p->size && p->resume[at] > at; at = p->resume[at]) {
        struct x86_insn i;
        int len = x86_decode(p->code + at, MIN(15U, LS_CODE_BYTES - at), X86_MODE_64, &i);
        for (unsigned k = 0; len > 0 && k < ARRAY_SIZE(names); k++)
            if (strstr(x86_rows[i.row].name, names[k])) {
                memset(p->code + at, 0x90, (size_t)len);
                break;
            }
    }
}

/* Both machines get what KVM can have of the program's. */
static void load(struct pair *t)
{
    struct ls_machine *const both[] = { &t->a, &t->b };
    for (unsigned k = 0; k < 2; k++) {
        struct x86_cpu *c;
        ls_machine_load(both[k], &t->p);
        c = ls_cpu(both[k]);
        c->profile = t->model;
        c->cr4 &= x86_cr4_bits(c);
        c->seg[SEG_LDTR] = (struct x86_seg){
            .attr = SEG_UNUSABLE
        }; /* the one of reset, without a selector, is none to some KVMs */
        c->xcr0 = x86_has(c, X86_FEAT_XSAVE) ? c->xcr0 & t->model->xcr0 : XCR0_X87;
        for (unsigned n = 0; n < 16 && !(t->model->xcr0 & XCR0_AVX); n++) /* what KVM has not it does not keep */
            memset(c->fpu.zmm[n] + 16, 0, 48);
        both[k]->b.vcpu->engine->state_changed(both[k]->b.vcpu);
    }
    t->programs++;
}

/* AMD's XSAVE keeps them only while an exception is pending. */
static void forget_x87_pointers(struct ls_machine *a, const struct ls_machine *b)
{
    struct x86_fpu *f = &ls_cpu(a)->fpu;
    f->fip = f->fip ? f->fip : ls_cpu(b)->fpu.fip;
    f->fdp = f->fdp ? f->fdp : ls_cpu(b)->fpu.fdp;
    f->fop = f->fop ? f->fop : ls_cpu(b)->fpu.fop;
}

/* To the next pause: at once; or with stops, and every other time under the other engine. That is not done in between, for who
 * changes the engine loses the TLB, and there are programs that know what is in it. */
static void run(struct pair *t, bool stopping)
{
    struct vcpu *v = t->a.b.vcpu;
    struct x86_cpu *c = ls_cpu(&t->a);
    if (!stopping) {
        (void)v->engine->run(v); /* why shows in the state */
        return;
    }
    if (t->pauses % 2) {
        x86_run_drop(t->a.other); /* memory was written behind its back */
        x86_state_changed(c);
        (void)x86_run_blocks(t->a.other, c, REF_BLOCKS_MAX);
        v->engine->state_changed(v);
        t->switches++;
        return;
    }
    watch(v, STOP_US);
    while (v->engine->run(v) == VCPU_EXIT_REQUEST && c->activity == X86_RUNNING) {
        t->stops += vcpu_take(v, VCPU_REQ_STOP) != 0;
        alarms = 0;
    }
    watch(v, 0);
    (void)vcpu_take(v, VCPU_REQ_STOP);
}

/* The instruction at the first entry of the faults' log that differs: mostly the one to blame. */
static void print_first_fault(const struct pair *t)
{
    for (unsigned at = LS_P_LOG + LS_LOG_RING; at < LS_P_LOG + LS_LOG_RING + 64 * 32; at += 32) {
        uint64_t x[2], y[2];
        memcpy(x, ls_ram(&t->a) + at, sizeof(x));
        memcpy(y, ls_ram(&t->b) + at, sizeof(y));
        if (x[0] == y[0] && x[1] == y[1])
            continue;
        printf("    first fault that differs: kvm vector %lu at\n", x[1]);
        ls_print_code(&t->b, x[0], 1);
        printf("    ref vector %lu at\n", y[1]);
        ls_print_code(&t->b, y[0], 1);
        return;
    }
}

/* False on a difference. */
static bool compare(struct pair *t, bool stopping)
{
    for (unsigned n = 0; n < PAUSES_MAX; n++) {
        struct x86_cpu *c = ls_cpu(&t->b);
        if (x86_run_blocks(interp_of(&t->b), c, REF_BLOCKS_MAX) == VCPU_EXIT_REQUEST && c->activity == X86_RUNNING)
            return true; /* it takes too long */
        run(t, stopping);
        t->pauses++;
        forget_x87_pointers(&t->a, &t->b);
        const char *differ = ls_differ(&t->a, &t->b, ls_finished(&t->b) ? LS_ALL : LS_HOT, false);
        if (differ) {
            printf("program %lu, pause %u: %s differs (\"bt\" is kvm here); the code before:\n", t->p.seed, n, differ);
            ls_print_code(&t->b, c->rip, 20);
            print_first_fault(t);
            ls_print_difference(&t->a, &t->b);
            return false;
        }
        if (c->activity != X86_HALTED || ls_finished(&t->b)) {
            t->finished += ls_finished(&t->b);
            return true;
        }
        ls_cpu(&t->a)->activity = c->activity = X86_RUNNING;
    }
    return true;
}

static uint64_t from_env(const char *name, uint64_t otherwise)
{
    const char *v = getenv(name);
    return v ? strtoull(v, NULL, 0) : otherwise;
}

static void check_law(const char *law, bool stopping)
{
    struct engine_probe probe;
    kvm_engine_ops.probe(&x86_isa_ops, &probe);
    if (!probe.usable) {
        print_message("skipped: %s\n", probe.why);
        skip();
    }
    struct pair *t = aligned_alloc(64, (sizeof(*t) + 63) / 64 * 64);
    struct ls_gen *gen = ls_gen_new();
    uint64_t seed = from_env("LOCKSTEP_SEED", SEED), count = from_env("LOCKSTEP_COUNT", COUNT);
    bool equal = true;
    assert_non_null(t);
    assert_non_null(gen);
    memset(t, 0, sizeof(*t));
    ls_machine_init(&t->a, &kvm_engine_ops, 0);
    ls_machine_init(&t->b, &interp_engine_ops, 0);
    t->a.other = x86_run_new(64 << 20, 16);
    assert_non_null(t->a.other);
    (void)signal(SIGALRM, on_alarm);
    t->model = ls_cpu(&t->a)->profile; /* of which KVM has all */
    const ns_t end = clock_host_ns() + (ns_t)from_env("LOCKSTEP_SECONDS", 10) * NS_PER_S / 2;
    printf("%s: LOCKSTEP_SEED=%lu\n", law, seed);
    for (uint64_t n = 0; n < count && equal && (!t->programs || clock_host_ns() < end); n++) {
        ls_gen_program(gen, seed + n, &t->p);
        if (!t->p.kernel_only || t->p.irqs || t->p.avx512)
            continue;
        leave_out_images(&t->p);
        load(t);
        equal = compare(t, stopping);
    }
    printf("%s: %lu programs, %lu to their end, %lu pauses, %lu stops, %lu switches\n", law, t->programs, t->finished, t->pauses,
           t->stops, t->switches);
    char stats[4096] = "";
    (void)kvm_engine_ops.stats(t->a.b.vcpu, stats, sizeof(stats));
    printf("%s", stats);
    assert_true(equal);
    ls_gen_free(gen);
    ls_machine_done(&t->a);
    ls_machine_done(&t->b);
    free(t);
}

static void programs_reach_the_same_pauses(void **state)
{
    (void)state;
    check_law("pauses", false);
}

static void switching_engines_changes_nothing(void **state)
{
    (void)state;
    check_law("switches", true);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(programs_reach_the_same_pauses),
        cmocka_unit_test(switching_engines_changes_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
