/* SPDX-License-Identifier: MIT */
/*
 * Fuzzer of the monitor's SBI: any call with any arguments, of a machine with several harts, answers as the specification has it
 * and changes no register but a0 and a1.
 *
 * The other harts do not run: a thread does of them what SBI calls wait for. Meant for an ASan and UBSan build.
 */
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>

#include "backend/chardev.h"
#include "base/checked.h"
#include "machine/sbi.h"
#include "support/bare_riscv.h"
#include "fuzz.h"

enum { HARTS = 3, LIFE = 20000, A0 = 10, A6 = 16, A7 = 17 };

static const uint32_t extensions[] = { 0x10, 0x54494d45, 0x735049, 0x52464e43, 0x48534d, 0x53525354, 0x4442434e, 0x504d55 };
static struct bare_riscv m;
static struct sbi sbi;
static struct chardev *console;
static pthread_t others;
static _Atomic bool stop;

static void finding(const char *what)
{
    printf("FINDING: %s (eid %#lx, fid %#lx, a0 %ld)\n", what, (unsigned long)m.c->x[A7], (unsigned long)m.c->x[A6],
           (long)m.c->x[A0]);
    (void)fflush(stdout);
    abort();
}

/* Takes what the other harts are asked to forget. */
static void *be_others(void *unused)
{
    (void)unused;
    while (!atomic_load(&stop)) {
        for (unsigned i = 1; i < HARTS; i++)
            (void)vcpu_take(m.vm.vcpu[i], VCPU_REQ_FLUSH);
        (void)sched_yield();
    }
    return NULL;
}

static void begin(void)
{
    struct error err = { 0 };
    if (bare_riscv_init(&m, NULL, &err) < 0 || chardev_buffer_new(64, &console, &err) < 0)
        abort();
    m.vm.vcpu[0] = m.vcpu;
    for (unsigned i = 1; i < HARTS; i++)
        if (vcpu_new(&m.vm, i, &riscv_isa_ops, &interp_engine_ops, NULL, &m.vm.vcpu[i], &err) < 0)
            abort();
    m.vm.nr_vcpus = HARTS;
    sbi = (struct sbi){ .vm = &m.vm, .console = console };
    riscv_enter_supervisor(m.c, RV_RAM, 0);
    atomic_store(&stop, false);
    if (pthread_create(&others, NULL, be_others, NULL) != 0)
        abort();
}

static void end(void)
{
    atomic_store(&stop, true);
    (void)pthread_join(others, NULL);
    for (unsigned i = 1; i < HARTS; i++)
        vcpu_free(m.vm.vcpu[i]);
    m.vm.nr_vcpus = 0;
    bare_riscv_done(&m);
    chardev_free(console);
}

static uint64_t argument(struct fuzz *f)
{
    static const uint64_t values[] = { RV_RAM, RV_RAM + RV_RAM_SIZE, ~0ULL, 1ULL << 63, 1ULL << 32, 0x80000000, 4096, 64 };
    switch (fuzz_below(f, 5)) {
    case 0: return values[fuzz_below(f, ARRAY_SIZE(values))] + fuzz_below(f, 16) - 8;
    case 1: return fuzz_u64(f);
    case 2: return RV_RAM + fuzz_below(f, RV_RAM_SIZE);
    case 3: return 1ULL << fuzz_below(f, 64);
    default: return fuzz_below(f, 8);
    }
}

static bool known_extension(uint64_t eid)
{
    for (unsigned i = 0; i < ARRAY_SIZE(extensions); i++)
        if (extensions[i] == eid)
            return true;
    return false;
}

static void check(const uint64_t *before, uint64_t next)
{
    const struct riscv_cpu *c = m.c;
    const int64_t error = (int64_t)c->x[A0];
    const bool again = c->next_pc != next;
    for (unsigned i = 0; i < 32; i++)
        if (c->x[i] != before[i] && ((i != A0 && i != A0 + 1) || again))
            finding("a register has changed");
    if (again)
        return;
    if (error != 0 && error != -1 && error != -2 && error != -3 && error != -5 && error != -6)
        finding("no such error");
    if (!known_extension(before[A7]) && error != -2)
        finding("an extension that there is not answers");
    if (before[A7] == extensions[6] && before[A6] < 2 && error == 0 && c->x[A0 + 1] > before[A0])
        finding("the console moved more than was asked for");
}

/* From outside: what was called for is taken back, so that the next call finds a machine that runs. */
static void tidy(struct fuzz *f)
{
    char bytes[80];
    (void)vcpu_take(m.vcpu, ~0U);
    m.c->activity = RISCV_RUNNING;
    atomic_store(&m.c->hart_state, RISCV_HART_STARTED);
    for (unsigned i = 1; i < HARTS && fuzz_below(f, 16) == 0; i++)
        atomic_store(&((struct riscv_cpu *)m.vm.vcpu[i]->cpu)->hart_state, (uint8_t)fuzz_below(f, 2));
    if (fuzz_below(f, 4) == 0)
        (void)chardev_buffer_take(console, bytes, fuzz_below(f, sizeof(bytes)));
    if (fuzz_below(f, 4) == 0)
        (void)chardev_buffer_feed(console, "what is typed", fuzz_below(f, 13));
    if (fuzz_below(f, 4) == 0)
        vm_clock_advance(&m.vm.clock, (ns_t)fuzz_below(f, 1 << 20));
}

static void one_call(struct fuzz *f)
{
    struct riscv_cpu *c = m.c;
    uint64_t before[32];
    for (unsigned i = 0; i < 6; i++)
        c->x[A0 + i] = argument(f);
    c->x[A6] = fuzz_below(f, 8) ? fuzz_below(f, 8) : fuzz_u64(f);
    c->x[A7] = fuzz_below(f, 16) ? extensions[fuzz_below(f, ARRAY_SIZE(extensions))] : argument(f);
    if (fuzz_below(f, 4) == 0)
        c->x[A0 + 2] = 0; /* the upper half of an address */
    memcpy(before, c->x, sizeof(before));
    c->pc = RV_RAM;
    c->next_pc = RV_RAM + 4;
    if (fuzz_below(f, 8) == 0)
        vcpu_request(m.vcpu, VCPU_REQ_STOP);
    sbi_call(&sbi, c);
    check(before, RV_RAM + 4);
    tidy(f);
}

int main(int argc, char **argv)
{
    struct fuzz f;
    uint64_t calls = 0;
    fuzz_start(&f, argc, argv, 10);
    begin();
    while (fuzz_more(&f)) {
        if (++calls % LIFE == 0) {
            end();
            begin();
        }
        one_call(&f);
    }
    end();
    return 0;
}
