/* SPDX-License-Identifier: MIT */
/*
 * Engine `bt`'s run loop: endless guest code in every shape of loop stops when asked to, and goes on where it stopped.
 *
 * That translated code computes what it should is diff/lockstep's business.
 */
#include "support/bare_x86.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <sys/time.h>
#include <unistd.h>

#include "engine/bt/bt.h"

enum { STOP_AFTER_US = 2000, HANG_S = 10, OTHER_PAGE = BARE_CODE + 0x3000 };

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
    bt_engine_ops.probe(&probe);
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
                run_and_stop(b);
                if (b->c->gpr[RBX] <= before || b->c->activity != X86_RUNNING)
                    fail_msg("%s: %lu rounds, before %lu, at %lx", SHAPES[k].name, b->c->gpr[RBX], before, b->c->rip);
                before = b->c->gpr[RBX];
            }
            assert_int_equal(vcpu_take(b->vcpu, VCPU_REQ_IRQ), held ? VCPU_REQ_IRQ : 0); /* it is still there */
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(every_endless_loop_stops_when_asked_to_and_goes_on, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
