/* SPDX-License-Identifier: MIT */
/*
 * A tiny guest that shows whether an engine runs riscv64 on this host, and how fast it is.
 *
 * Its memory is 64 KiB: code, a word of data, and a page table that maps the GiB it lies in one to one. It ends by WFI with no
 * interrupt enabled.
 */
#include "isa/riscv/probe.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/checked.h"
#include "base/clock.h"
#include "core/vcpu.h"
#include "core/vm.h"
#include "isa/riscv/isa.h"
#include "isa/riscv/mmu.h"
#include "isa/riscv/state.h"

#define RAM 0x80000000UL
enum { RAM_SIZE = 64 << 10, CODE = 0x1100, DATA = 0x2508, TABLE = 0x4000, INSNS_A_ROUND = 11 };
enum { T0 = 5, A0 = 10, A1, A2, A3, FA0 = 10, FA1, FA2, FLAG_INEXACT = 1 };
enum { PTE_RWX = 0xcf /* valid, of S-mode, accessed and dirty */, GIB_SHIFT = 30, PTE_PPN_SHIFT = 2 };
#define SATP_SV39 (8ULL << 60)
#define ADDEND 0x123456789UL

static const uint32_t GUEST[] = {
    0x00d50533, /* 1: add a0, a0, a3 */
    0x00a5c5b3, /* xor a1, a1, a0 */
    0x00b63023, /* sd a1, 0(a2) */
    0x00150513, /* addi a0, a0, 1 */
    0x00063703, /* ld a4, 0(a2) */
    0x00e50533, /* add a0, a0, a4 */
    0x62b57543, /* fmadd.d fa0, fa0, fa1, fa2 */
    0x010000ef, /* jal ra, 2f */
    0xfff28293, /* addi t0, t0, -1 */
    0xfc029ee3, /* bnez t0, 1b */
    0x10500073, /* wfi */
    0x00008067, /* 2: ret */
};

struct result {
    uint64_t a0;
    double fa0;
};

static double bits_to_double(uint64_t bits)
{
    double v;
    memcpy(&v, &bits, sizeof(v));
    return v;
}

static uint64_t double_to_bits(double v)
{
    uint64_t bits;
    memcpy(&bits, &v, sizeof(bits));
    return bits;
}

static struct result expected(unsigned rounds)
{
    struct result want = { 0, 0.1 };
    uint64_t a1 = 0;
    for (unsigned n = 0; n < rounds; n++) {
        want.a0 += ADDEND;
        a1 ^= want.a0;
        want.a0 += 1 + a1;
        want.fa0 = fma(want.fa0, 0.75, 1.5);
    }
    return want;
}

static int make_memory(struct gmem *gmem, struct error *err)
{
    const uint64_t entry = RAM >> PTE_PPN_SHIFT | PTE_RWX;
    int r = gmem_init(gmem, RAM_SIZE, err);
    if (r >= 0)
        r = gmem_add_slot(gmem, RAM, RAM_SIZE, 0, err);
    if (r >= 0)
        r = gmem_write(gmem, RAM + CODE, GUEST, sizeof(GUEST));
    return r < 0 ? r : gmem_write(gmem, RAM + TABLE + (RAM >> GIB_SHIFT) * sizeof(entry), &entry, sizeof(entry));
}

static void enter(struct riscv_cpu *c, unsigned rounds)
{
    riscv_enter_supervisor(c, RAM + CODE, 0);
    c->satp = SATP_SV39 | (RAM + TABLE) >> GPAGE_SHIFT;
    c->mstatus |= MSTATUS_FS;
    c->x[T0] = rounds;
    c->x[A0] = c->x[A1] = 0;
    c->x[A2] = RAM + DATA;
    c->x[A3] = ADDEND;
    c->f[FA0] = double_to_bits(0.1);
    c->f[FA1] = double_to_bits(0.75);
    c->f[FA2] = double_to_bits(1.5);
}

static int run(struct vm *vm, const struct engine_ops *engine, unsigned rounds, double *ret_mips, struct error *err)
{
    struct vcpu *vcpu = NULL;
    int r = make_memory(&vm->gmem, err);
    if (r >= 0)
        r = vcpu_new(vm, 0, &riscv_isa_ops, engine, NULL, &vcpu, err);
    if (r < 0)
        return r;
    struct riscv_cpu *c = vcpu->cpu;
    const struct result want = expected(rounds);
    enter(c, rounds);
    engine->state_changed(vcpu);
    ns_t begin = clock_host_ns();
    enum vcpu_exit exit = engine->run(vcpu);
    ns_t took = clock_host_ns() - begin;
    *ret_mips = took > 0 ? (double)rounds * INSNS_A_ROUND * 1000.0 / (double)took : 0;
    bool halted = exit == VCPU_EXIT_SLEEP && c->activity == RISCV_WAITING;
    bool right = c->x[A0] == want.a0 && bits_to_double(c->f[FA0]) == want.fa0 && c->fflags == FLAG_INEXACT;
    vcpu_free(vcpu);
    if (!halted)
        return error_set(err, -EIO, "the tiny guest did not halt");
    return right ? 0 : error_set(err, -EIO, "the tiny guest computed nonsense");
}

void riscv_probe_engine(const struct engine_ops *engine, const char *works, unsigned rounds, struct engine_probe *ret_probe)
{
    struct error err = { 0 };
    struct vm vm;
    memset(ret_probe, 0, sizeof(*ret_probe));
    if (vm_init(&vm, NULL, &err) < 0) {
        (void)snprintf(ret_probe->why, sizeof(ret_probe->why), "%.150s", err.msg);
        return;
    }
    ret_probe->usable = run(&vm, engine, rounds, &ret_probe->mips, &err) >= 0;
    (void)snprintf(ret_probe->why, sizeof(ret_probe->why), "%.150s", ret_probe->usable ? works : err.msg);
    vm_done(&vm);
}
