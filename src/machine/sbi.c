/* SPDX-License-Identifier: MIT */
/*
 * The monitor's SBI. See sbi.h.
 *
 * A call that cannot be finished now, because the machine is about to be paused, is left to be made again: the pc stays.
 */
#include "machine/sbi.h"

#include "backend/chardev.h"
#include "base/checked.h"
#include "core/vcpu.h"
#include "isa/riscv/hyp.h"
#include "isa/riscv/run.h"
#include "isa/riscv/state.h"
#include "machine/sbi_own.h"

/* Spec: chapter 3.1 */
enum sbi_error {
    SBI_SUCCESS = 0,
    SBI_FAILED = -1,
    SBI_NOT_SUPPORTED = -2,
    SBI_INVALID_PARAM = -3,
    SBI_INVALID_ADDRESS = -5,
    SBI_ALREADY_AVAILABLE = -6,
};

struct answer {
    int64_t error;
    uint64_t value;
    bool again; /* the call is made again */
};

enum {
    EID_BASE = 0x10,
    EID_TIME = 0x54494d45,
    EID_IPI = 0x735049,
    EID_RFENCE = 0x52464e43,
    EID_HSM = 0x48534d,
    EID_SRST = 0x53525354,
    EID_DBCN = 0x4442434e,
    EID_PMU = 0x504d55,
};
enum { SPEC_VERSION = 2 << 24, CONSOLE_BYTES_MAX = 4096, A0 = 10 };

static uint64_t arg(const struct riscv_cpu *c, unsigned n)
{
    return c->x[A0 + n];
}

static struct answer fail(enum sbi_error error)
{
    return (struct answer){ .error = error };
}

static struct answer value(uint64_t v)
{
    return (struct answer){ .value = v };
}

static struct riscv_cpu *hart(const struct sbi *s, uint64_t id)
{
    return id < s->vm->nr_vcpus ? s->vm->vcpu[id]->cpu : NULL;
}

/* The harts of a mask and its base as bits by id; false: one does not exist. Spec: chapter 3.1 */
static bool hart_mask(const struct sbi *s, uint64_t mask, uint64_t base, uint64_t *ret_harts)
{
    uint64_t all = s->vm->nr_vcpus >= 64 ? ~0ULL : (1ULL << s->vm->nr_vcpus) - 1;
    if (base == UINT64_MAX) {
        *ret_harts = all;
        return true;
    }
    if (base >= 64 || (mask << base) >> base != mask || (mask << base & ~all))
        return false;
    *ret_harts = mask << base;
    return true;
}

/* ---- base. Spec: chapter 4 ---- */

static bool is_extension(uint64_t eid)
{
    static const uint32_t known[] = {
        EID_BASE, EID_TIME, EID_IPI, EID_RFENCE, EID_HSM, EID_SRST, EID_DBCN, EID_PMU, SBI_OWN_EID
    };
    for (unsigned k = 0; k < ARRAY_SIZE(known); k++)
        if (known[k] == eid)
            return true;
    return false;
}

static struct answer base(struct sbi *s, struct riscv_cpu *c, uint64_t fid)
{
    (void)s;
    switch (fid) {
    case 0: return value(SPEC_VERSION);
    case 1: return value(SBI_IMPLEMENTATION);
    case 2: return value(1);
    case 3: return value(is_extension(arg(c, 0)));
    case 4: /* mvendorid, marchid, mimpid */
    case 5:
    case 6: return value(0);
    }
    return fail(SBI_NOT_SUPPORTED);
}

/* ---- timer, interrupts, fences. Spec: chapters 6, 7, 8 ---- */

static struct answer timer(struct sbi *s, struct riscv_cpu *c, uint64_t fid)
{
    (void)s;
    if (fid != 0)
        return fail(SBI_NOT_SUPPORTED);
    c->stimecmp = arg(c, 0);
    riscv_stimer_update(c);
    return value(0);
}

static struct answer ipi(struct sbi *s, struct riscv_cpu *c, uint64_t fid)
{
    uint64_t harts;
    if (fid != 0)
        return fail(SBI_NOT_SUPPORTED);
    if (!hart_mask(s, arg(c, 0), arg(c, 1), &harts))
        return fail(SBI_INVALID_PARAM);
    for (; harts; harts &= harts - 1)
        riscv_set_soft(hart(s, (uint64_t)__builtin_ctzll(harts)), MIP_SSIP, true);
    return value(0);
}

/* FENCE.I, SFENCE.VMA, HFENCE.GVMA and HFENCE.VVMA, and these with ASID or VMID; addresses are not looked at, all is forgotten.
 */
static struct answer rfence(struct sbi *s, struct riscv_cpu *c, uint64_t fid)
{
    enum { SFENCES = 2, HFENCES = 6 };
    uint64_t harts;
    if (fid > (riscv_hyp_is_on(c) ? HFENCES : SFENCES))
        return fail(SBI_NOT_SUPPORTED);
    if (!hart_mask(s, arg(c, 0), arg(c, 1), &harts))
        return fail(SBI_INVALID_PARAM);
    for (; harts; harts &= harts - 1) {
        if (!riscv_flush_hart(c, hart(s, (uint64_t)__builtin_ctzll(harts)), fid == 0))
            return (struct answer){ .again = true };
    }
    return value(0);
}

/* ---- harts. Spec: chapter 9 ---- */

static struct answer hart_start(struct sbi *s, const struct riscv_cpu *c)
{
    struct riscv_cpu *t = hart(s, arg(c, 0));
    uint8_t expected = RISCV_HART_STOPPED;
    if (!t)
        return fail(SBI_INVALID_PARAM);
    if (!gmem_pin(&s->vm->gmem, arg(c, 1) & ~1ULL, 2)) /* where no instruction can be fetched from */
        return fail(SBI_INVALID_ADDRESS);
    vm_lock(s->vm);
    bool ours = atomic_compare_exchange_strong(&t->hart_state, &expected, RISCV_HART_START_PENDING);
    if (ours) {
        t->start_pc = arg(c, 1) & ~1ULL;
        t->start_opaque = arg(c, 2);
    }
    vm_unlock(s->vm);
    if (!ours)
        return fail(SBI_ALREADY_AVAILABLE);
    vcpu_request(t->vcpu, VCPU_REQ_SIPI);
    return value(0);
}

static struct answer hart_stop(struct riscv_cpu *c)
{
    c->activity = RISCV_STOPPED;
    atomic_store_explicit(&c->hart_state, RISCV_HART_STOPPED, memory_order_release); /* partner: hart_start */
    return value(0);
}

/* A retentive suspension is a WFI; the others have nothing to gain here. */
static struct answer hart_suspend(struct riscv_cpu *c)
{
    if ((uint32_t)arg(c, 0) == 0x80000000U)
        return fail(SBI_NOT_SUPPORTED);
    if ((uint32_t)arg(c, 0) != 0)
        return fail(SBI_INVALID_PARAM);
    if (!(riscv_mip(c) & c->mie))
        c->activity = RISCV_WAITING;
    return value(0);
}

static struct answer hsm(struct sbi *s, struct riscv_cpu *c, uint64_t fid)
{
    switch (fid) {
    case 0: return hart_start(s, c);
    case 1: return hart_stop(c);
    case 2: {
        const struct riscv_cpu *t = hart(s, arg(c, 0));
        return t ? value(atomic_load_explicit(&t->hart_state, memory_order_acquire)) : fail(SBI_INVALID_PARAM);
    }
    case 3: return hart_suspend(c);
    }
    return fail(SBI_NOT_SUPPORTED);
}

/* ---- reset. Spec: chapter 10 ---- */

static struct answer reset(struct sbi *s, struct riscv_cpu *c, uint64_t fid)
{
    if (fid != 0)
        return fail(SBI_NOT_SUPPORTED);
    if (arg(c, 1) > 1)
        return fail(SBI_INVALID_PARAM);
    switch (arg(c, 0)) {
    case 0: vm_request_end(s->vm, VM_END_POWEROFF, 0, "the guest powered the machine off"); return value(0);
    case 1:
    case 2: vm_request_end(s->vm, VM_END_RESET, 0, "the guest reset the machine"); return value(0);
    }
    return fail(SBI_INVALID_PARAM);
}

/* ---- debug console. Spec: chapter 12 ---- */

/* Whether all of the caller's bytes lie in memory, also those behind what one call moves. */
static bool is_memory(const struct sbi *s, const struct riscv_cpu *c)
{
    return arg(c, 2) == 0 && (arg(c, 0) == 0 || gmem_pin(&s->vm->gmem, arg(c, 1), arg(c, 0)));
}

static struct answer console_write(struct sbi *s, const struct riscv_cpu *c)
{
    uint8_t bytes[CONSOLE_BYTES_MAX];
    uint64_t len = MIN(arg(c, 0), (uint64_t)CONSOLE_BYTES_MAX);
    if (!is_memory(s, c))
        return fail(SBI_INVALID_PARAM);
    if (gmem_read(&s->vm->gmem, arg(c, 1), bytes, len) < 0)
        return fail(SBI_FAILED); /* not so: it is memory */
    vm_lock(s->vm);
    uint64_t taken = chardev_write(s->console, bytes, len);
    vm_unlock(s->vm);
    return value(taken); /* perhaps less: the caller writes the rest */
}

static struct answer console_read(struct sbi *s, const struct riscv_cpu *c)
{
    uint8_t bytes[CONSOLE_BYTES_MAX];
    uint64_t len = MIN(arg(c, 0), (uint64_t)CONSOLE_BYTES_MAX);
    if (!is_memory(s, c))
        return fail(SBI_INVALID_PARAM);
    vm_lock(s->vm);
    uint64_t got = chardev_read(s->console, bytes, len);
    vm_unlock(s->vm);
    return gmem_write(&s->vm->gmem, arg(c, 1), bytes, got) < 0 ? fail(SBI_FAILED) : value(got);
}

static struct answer console_byte(struct sbi *s, const struct riscv_cpu *c)
{
    uint8_t byte = (uint8_t)arg(c, 0);
    vm_lock(s->vm);
    bool taken = chardev_write(s->console, &byte, 1) == 1;
    vm_unlock(s->vm);
    if (!taken)
        return (struct answer){ .again = true }; /* it blocks until there is room */
    return value(0);
}

static struct answer console(struct sbi *s, struct riscv_cpu *c, uint64_t fid)
{
    switch (fid) {
    case 0: return console_write(s, c);
    case 1: return console_read(s, c);
    case 2: return console_byte(s, c);
    }
    return fail(SBI_NOT_SUPPORTED);
}

/* ---- performance counters: there are none. Spec: chapter 11 ---- */

static struct answer pmu(struct sbi *s, struct riscv_cpu *c, uint64_t fid)
{
    (void)s;
    (void)c;
    switch (fid) {
    case 0: return value(0);
    case 1: /* of a counter: which? */
    case 3:
    case 4:
    case 5:
    case 6: return fail(SBI_INVALID_PARAM);
    }
    return fail(SBI_NOT_SUPPORTED);
}

void sbi_call(void *opaque, struct riscv_cpu *c)
{
    struct sbi *s = opaque;
    uint64_t eid = arg(c, 7), fid = arg(c, 6);
    struct answer a = fail(SBI_NOT_SUPPORTED);
    switch (eid) {
    case EID_BASE: a = base(s, c, fid); break;
    case EID_TIME: a = timer(s, c, fid); break;
    case EID_IPI: a = ipi(s, c, fid); break;
    case EID_RFENCE: a = rfence(s, c, fid); break;
    case EID_HSM: a = hsm(s, c, fid); break;
    case EID_SRST: a = reset(s, c, fid); break;
    case EID_DBCN: a = console(s, c, fid); break;
    case EID_PMU: a = pmu(s, c, fid); break;
    case SBI_OWN_EID: {
        const struct sbi_own_answer own = sbi_own_call(s, c, fid);
        a = (struct answer){ .error = own.error, .value = own.value };
        break;
    }
    default: break;
    }
    if (a.again) {
        c->next_pc = c->pc;
        return;
    }
    c->x[A0] = (uint64_t)a.error;
    c->x[A0 + 1] = a.value;
}
