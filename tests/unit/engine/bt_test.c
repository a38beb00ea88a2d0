/* SPDX-License-Identifier: MIT */
/*
 * Engine `bt`'s run loop: endless guest code in every shape of loop stops when asked to, and goes on where it stopped; its
 * counters; and code that is taken out of use and evicted.
 *
 * That translated code computes what it should is diff/lockstep's business.
 */
#include "support/bare_x86.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#include "engine/bt/bt.h"
#include "engine/bt/bt_x86.h"

enum { STOP_AFTER_US = 2000, IDLE_STOPS_MAX = 1000, HANG_S = 10, OTHER_PAGE = BARE_CODE + 0x3000 };

static struct vcpu *watched;
static volatile sig_atomic_t alarms;

static void on_alarm(int sig)
{
    static const char text[] = "translated code does not stop when asked to\n";
    (void)sig;
    atomic_fetch_or(&watched->requests, VCPU_REQ_STOP);
    if (++alarms < HANG_S * 1000000 / STOP_AFTER_US)
        return;
    (void)!write(STDERR_FILENO, text, sizeof(text) - 1); /* there is no way back from there */
    _exit(1);
}

static int setup(void **state)
{
    static struct bare b;
    struct engine_probe probe;
    bt_engine_ops.probe(&x86_isa_ops, &probe);
    if (!probe.usable)
        return 0;
    bare_init_engine(&b, &bt_engine_ops);
    bare_long(&b);
    watched = b.vcpu;
    (void)signal(SIGALRM, on_alarm);
    *state = &b;
    return 0;
}

static int teardown(void **state)
{
    if (*state)
        bare_done(*state);
    return 0;
}

static uint64_t own_cpu_us(void)
{
    struct timespec ts;
    (void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts); /* cannot fail */
    return (uint64_t)ts.tv_sec * 1000000 + (uint64_t)ts.tv_nsec / 1000;
}

/* Runs until an alarm asked for a stop. */
static void run_and_stop(struct bare *b)
{
    const struct itimerval on = { .it_value = { 0, STOP_AFTER_US }, .it_interval = { 0, STOP_AFTER_US } }, off = { 0 };
    alarms = 0;
    (void)setitimer(ITIMER_REAL, &on, NULL); /* fails only for bad arguments */
    enum vcpu_exit exit = bt_engine_ops.run(b->vcpu);
    (void)setitimer(ITIMER_REAL, &off, NULL);
    assert_int_equal(exit, VCPU_EXIT_REQUEST);
    assert_int_not_equal(vcpu_take(b->vcpu, VCPU_REQ_STOP), 0);
}

/* The same, until it got further than `before` rounds. On a busy host the alarm may come before the guest had the CPU, but once
 * it had twice the CPU time that lies between alarms there must be progress. False: there was none. */
static bool run_and_stop_further(struct bare *b, uint64_t before)
{
    uint64_t begin = own_cpu_us();
    for (unsigned n = 0; n < IDLE_STOPS_MAX; n++) {
        run_and_stop(b);
        if (b->c->gpr[RBX] > before)
            return true;
        if (own_cpu_us() - begin > 2 * STOP_AFTER_US)
            return false;
    }
    return false;
}

static const struct shape {
    const char *name;
    uint8_t code[48];  /* at BARE_CODE; counts its rounds in rbx */
    uint8_t other[16]; /* at OTHER_PAGE */
} SHAPES[] = {
    { "a block that jumps to itself", { 0x48, 0xff, 0xc3, 0xeb, 0xfb }, { 0 } },
    { "the same with flags live", { 0x48, 0xff, 0xc3, 0x71, 0xfb, 0xeb, 0xf9 }, { 0 } },
    { "forward, then back", { 0x48, 0xff, 0xc3, 0xeb, 0x01, 0x90, 0x90, 0xeb, 0xf7 }, { 0 } },
    { "loop", { 0xb1, 0x7f, 0x48, 0xff, 0xc3, 0xe2, 0xfb, 0xeb, 0xf7 }, { 0 } },
    { "to another page and back", { 0x48, 0xff, 0xc3, 0xe9, 0xf8, 0x2f, 0, 0 }, { 0xe9, 0xfb, 0xcf, 0xff, 0xff } },
    { "call and return in a page", { 0x48, 0xff, 0xc3, 0xe8, 0x02, 0, 0, 0, 0xeb, 0xf6, 0xc3 }, { 0 } },
    { "call and return between pages", { 0x48, 0xff, 0xc3, 0xe8, 0xf8, 0x2f, 0, 0, 0xeb, 0xf6 }, { 0xc3 } },
    /* lea rax, [rip - 7]; inc rbx; jmp rax */
    { "by a register", { 0x48, 0x8d, 0x05, 0xf9, 0xff, 0xff, 0xff, 0x48, 0xff, 0xc3, 0xff, 0xe0 }, { 0 } },
    /* lea rax, [rip + other]; inc rbx; jmp rax; there: lea rax, [rip - back]; jmp rax */
    { "by a register to another page and back",
      { 0x48, 0x8d, 0x05, 0xf9, 0x2f, 0, 0, 0x48, 0xff, 0xc3, 0xff, 0xe0 },
      { 0x48, 0x8d, 0x05, 0xf9, 0xcf, 0xff, 0xff, 0xff, 0xe0 } },
    /* inc rbx; lea rax, [rip - 10]; push rax; ret */
    { "by returns that nobody called", { 0x48, 0xff, 0xc3, 0x48, 0x8d, 0x05, 0xf6, 0xff, 0xff, 0xff, 0x50, 0xc3 }, { 0 } },
    /* inc rbx; mov [30000h], rbx; push rbx; mov rax, [31000h]; pop rax; xgetbv, which is called out */
    { "with memory and a call-out",
      { 0x48, 0xff, 0xc3, 0x48, 0x89, 0x1c, 0x25, 0,    0,    3,    0,    0x53, 0x48,
        0x8b, 0x04, 0x25, 0,    0x10, 3,    0,    0x58, 0x0f, 0x01, 0xd0, 0xeb, 0xe6 },
      { 0 } },
};

static void every_endless_loop_stops_when_asked_to_and_goes_on(void **state)
{
    struct bare *b = *state;
    if (!b) {
        print_message("skipped: engine bt does not work here\n");
        skip();
    }
    for (unsigned k = 0; k < sizeof(SHAPES) / sizeof(SHAPES[0]); k++)
        for (unsigned held = 0; held < 2; held++) {
            uint64_t before = 0;
            bare_code(b, BARE_CODE, SHAPES[k].code, sizeof(SHAPES[k].code));
            bare_code(b, OTHER_PAGE, SHAPES[k].other, sizeof(SHAPES[k].other));
            b->c->rip = BARE_CODE;
            b->c->gpr[RSP] = BARE_STACK;
            b->c->gpr[RBX] = b->c->gpr[RCX] = 0;
            b->c->cr4 |= CR4_OSXSAVE;
            x86_state_changed(b->c);
            if (held) /* an interrupt that cannot be taken waits meanwhile */
                vcpu_request(b->vcpu, VCPU_REQ_IRQ);
            for (unsigned n = 0; n < 3; n++) {
                if (!run_and_stop_further(b, before) || b->c->activity != X86_RUNNING)
                    fail_msg("%s: %lu rounds, before %lu, at %lx", SHAPES[k].name, b->c->gpr[RBX], before, b->c->rip);
                before = b->c->gpr[RBX];
            }
            assert_int_equal(vcpu_take(b->vcpu, VCPU_REQ_IRQ), held ? VCPU_REQ_IRQ : 0); /* it is still there */
        }
}

static uint64_t stat(struct bare *b, const char *name)
{
    static char text[16384];
    char line[64];
    text[b->vcpu->engine->stats(b->vcpu, text, sizeof(text) - 1)] = '\0';
    (void)snprintf(line, sizeof(line), "\n%s ", name);
    const char *at = strstr(text, line);
    if (!at && strncmp(text, line + 1, strlen(line) - 1) != 0)
        fail_msg("no %s in the counters", name);
    return strtoull((at ? at : text - 1) + strlen(line), NULL, 10);
}

/* 20000 rounds of 13 to 15 instructions with two branches, a call and six accesses to memory. */
static const uint8_t COUNTED[] = {
    0xb9, 0x20, 0x4e, 0,    0,             /* mov ecx, 20000 */
    0x69, 0xc0, 0x6d, 0x4e, 0xc6, 0x41,    /* 1: imul eax, eax, 1103515245 */
    0x05, 0x39, 0x30, 0,    0,             /* add eax, 12345 */
    0xa9, 0,    0,    0,    0x10,          /* test eax, 1 << 28 */
    0x74, 0x06,                            /* jz 2f */
    0x48, 0xff, 0xc3,                      /* inc rbx */
    0x48, 0xff, 0xc2,                      /* inc rdx */
    0x01, 0x04, 0x25, 0,    0,    3,    0, /* 2: add [30000h], eax */
    0x8b, 0x34, 0x25, 8,    0,    3,    0, /* mov esi, [30008h] */
    0xe8, 0x05, 0,    0,    0,             /* call 3f */
    0xff, 0xc9,                            /* dec ecx */
    0x75, 0xd1,                            /* jnz 1b */
    0xf4,                                  /* hlt */
    0x57, 0x5f, 0xc3,                      /* 3: push rdi; pop rdi; ret */
};
enum { ROUNDS = 20000, ACCESSES = 6 };

static void run_counted(struct bare *b, const struct engine_ops *engine)
{
    bare_init_engine(b, engine);
    b->vm.stats = true;
    bare_renew(b);
    bare_long(b);
    bare_code(b, BARE_CODE, COUNTED, sizeof(COUNTED));
    assert_int_equal(engine->run(b->vcpu), VCPU_EXIT_SLEEP);
    assert_int_equal(b->c->activity, X86_HALTED);
}

static void counts_are_those_of_the_interpreter(void **state)
{
    static struct bare ref, b;
    if (!*state)
        skip();
    run_counted(&ref, &interp_engine_ops);
    run_counted(&b, &bt_engine_ops);
    assert_int_equal(b.c->gpr[RBX], ref.c->gpr[RBX]);
    assert_in_range(b.c->gpr[RBX], ROUNDS / 4, ROUNDS / 4 * 3); /* both ways of the branch were common */
    assert_in_range(b.c->insns, 1, ref.c->insns / 10);          /* few were interpreted */
    /* what bailed out is counted twice */
    assert_in_range(stat(&b, "instructions"), ref.c->insns, ref.c->insns + 64);
    assert_int_equal(stat(&b, "bt_stretches_not_counted"), 0);
    uint64_t reads = stat(&b, "bt_checks_read_site") + stat(&b, "bt_checks_read_table") + stat(&b, "bt_checks_read_quiet");
    uint64_t writes = stat(&b, "bt_checks_write_site") + stat(&b, "bt_checks_write_table") + stat(&b, "bt_checks_write_quiet");
    uint64_t grouped = stat(&b, "bt_grouped_reads") + stat(&b, "bt_grouped_writes");
    assert_in_range(reads + writes + grouped, ACCESSES * ROUNDS / 10 * 9, 2 * ACCESSES * ROUNDS); /* and one a group */
    assert_in_range(stat(&b, "bt_tlb_hits_read"), reads - 100, reads);
    assert_in_range(stat(&b, "bt_tlb_hits_write"), writes - 100, writes);
    bare_done(&ref);
    bare_done(&b);
}

/* ---- code that goes and comes ---- */

/* S: add al, 95h; jbe T; F: inc rdx; hlt; T: inc rbx; hlt. What is linked at S's jump lies within its first bytes of host code.
 */
enum { S = BARE_CODE, F = BARE_CODE + 4, T = BARE_CODE + 0x40, TAKEN = 0x80, NOT_TAKEN = 0 };
static const uint8_t LINKED[] = { 0x04, 0x95, 0x76, 0x3c, 0x48, 0xff, 0xc2, 0xf4 };
static const uint8_t TARGET[] = { 0x48, 0xff, 0xc3, 0xf4 }, ELSEWHERE[] = { 0xf4 };
static const uint8_t FILLER[] = {
    0x48, 0xff, 0xc6, 0x48, 0xff, 0xc7, 0x48, 0xff, 0xc6, 0x48, 0xff, 0xc7, 0x48, 0xff, 0xc6, 0xf4
};

static void run_from(struct bare *b, gva_t rip, uint8_t al, unsigned times)
{
    for (unsigned n = 0; n < times; n++) {
        b->c->rip = rip;
        b->c->gpr[RAX] = al;
        b->c->activity = X86_RUNNING;
        assert_int_equal(bt_engine_ops.run(b->vcpu), VCPU_EXIT_SLEEP);
        assert_int_equal(b->c->activity, X86_HALTED);
    }
}

/* F's code is older than S's, which is linked to it, and taken out of use while F's is evicted; then it is taken into use again.
 */
static void a_link_is_undone_while_the_block_it_is_in_is_out_of_use(void **state)
{
    struct bare *b = *state;
    if (!b)
        skip();
    bare_code(b, OTHER_PAGE, ELSEWHERE, sizeof(ELSEWHERE));
    bare_code(b, OTHER_PAGE + 0x80, FILLER, sizeof(FILLER));
    for (unsigned evictions = 0; evictions < 20; evictions++) {
        bt_engine_ops.state_changed(b->vcpu);
        bare_code(b, S, LINKED, sizeof(LINKED));
        bare_code(b, T, TARGET, sizeof(TARGET));
        b->c->gpr[RBX] = b->c->gpr[RDX] = 0;
        run_from(b, F, 0, 10);
        bt_x86_evict(b->vcpu->engine_cpu);
        run_from(b, S, TAKEN, 10); /* a trace to T; F is at its side exit */
        run_from(b, S, NOT_TAKEN, 10);
        bare_code(b, S, LINKED, sizeof(LINKED)); /* the same again, but who knows */
        run_from(b, OTHER_PAGE, 0, 1);
        for (unsigned n = 0; n < evictions; n++)
            bt_x86_evict(b->vcpu->engine_cpu);
        run_from(b, OTHER_PAGE + 0x80, 0, 10); /* lies where F's was */
        run_from(b, S, TAKEN, 10);
        run_from(b, S, NOT_TAKEN, 10);
        assert_int_equal(b->c->gpr[RBX], 20);
        assert_int_equal(b->c->gpr[RDX], 30);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(counts_are_those_of_the_interpreter, setup, teardown),
        cmocka_unit_test_setup_teardown(a_link_is_undone_while_the_block_it_is_in_is_out_of_use, setup, teardown),
        cmocka_unit_test_setup_teardown(every_endless_loop_stops_when_asked_to_and_goes_on, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
