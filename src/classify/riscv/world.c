/* SPDX-License-Identifier: MIT */
/*
 * The small machine that experiments on RISC-V are made on: see world.h.
 *
 * A run copies the state in, calls the instruction's step function, and copies the state out. Page table entries have A and D
 * set, so that these do not change by themselves. A reservation is kept with the program's address in place of the physical one:
 * what a program reserved does not depend on where it lies.
 */
#include "classify/riscv/world.h"

#include <setjmp.h>
#include <stddef.h>
#include <string.h>

#include "isa/riscv/csr.h"
#include "isa/riscv/isa.h"
#include "isa/riscv/mmu.h"
#include "isa/riscv/profile.h"
#include "isa/riscv/trap.h"

enum { RAM = 8 << 20, FRAME_BASE = 0x10000, FRAME_BASE_OTHER = 0x180000, REG_A0 = 10, REG_A1 = 11, REG_A7 = 17 };
enum { PTE_TABLE = 0x01, PTE_CODE = 0xdb, PTE_DATA = 0xd7 }; /* valid, user, accessed, dirty; read and execute or write */
enum { SV39 = 8, SV48 = 9, NS_A_TICK = 1000000000 / RISCV_TIMEBASE, ARCHITECTURAL = offsetof(struct riscv_cpu, bank) };
enum frame { FRAME_ROOT, FRAME_GIGA, FRAME_MEGA, FRAME_LOW, FRAME_CODE, FRAME_DATA };

static gpa_t frame_at(const struct riscv_world *w, enum frame f)
{
    return w->layout ? FRAME_BASE_OTHER - (gpa_t)f * 0x2000 : FRAME_BASE + (gpa_t)f * 0x1000;
}

/* Where a page of the program's is. */
static gpa_t page_at(const struct riscv_world *w, const struct riscv_cpu *c, enum frame f)
{
    gpa_t bare = f == FRAME_CODE ? WORLD_CODE : WORLD_DATA;
    return c->satp ? frame_at(w, f) : bare;
}

/* ---- firmware ---- */

static void answer(void *opaque, struct riscv_cpu *c)
{
    struct riscv_world_devices *d = opaque;
    d->calls++;
    d->last = c->x[REG_A7];
    c->x[REG_A0] = 0;
    c->x[REG_A1] = d->value;
}

/* ---- making ---- */

static void put_entry(struct riscv_world *w, enum frame table, unsigned index, gpa_t to, unsigned flags)
{
    uint64_t entry = to >> GPAGE_SHIFT << 10 | flags;
    memcpy(w->vm.gmem.host + frame_at(w, table) + 8 * (size_t)index, &entry, 8);
}

static void make_page_tables(struct riscv_world *w)
{
    enum frame top = w->layout ? FRAME_ROOT : FRAME_GIGA;
    put_entry(w, FRAME_ROOT, 0, frame_at(w, FRAME_GIGA), PTE_TABLE);
    put_entry(w, FRAME_GIGA, 0, frame_at(w, FRAME_MEGA), PTE_TABLE);
    put_entry(w, FRAME_MEGA, WORLD_CODE >> 21, frame_at(w, FRAME_LOW), PTE_TABLE);
    put_entry(w, FRAME_LOW, WORLD_CODE >> 12 & 511, frame_at(w, FRAME_CODE), PTE_CODE);
    put_entry(w, FRAME_LOW, WORLD_DATA >> 12 & 511, frame_at(w, FRAME_DATA), PTE_DATA);
    w->satp = (uint64_t)(w->layout ? SV48 : SV39) << 60 | frame_at(w, top) >> GPAGE_SHIFT;
}

/* What the firmware and then the monitor have set. */
static void make_fresh(struct riscv_world *w, bool open)
{
    struct riscv_cpu *c = w->vcpu.cpu;
    riscv_enter_supervisor(c, WORLD_PC, 0);
    c->mstatus |= (MSTATUS_FS & (MSTATUS_FS >> 1)) | (MSTATUS_VS & (MSTATUS_VS >> 1)); /* on, and not used yet */
    c->mstatus |= MSTATUS_SUM;
    c->stvec = WORLD_HANDLER;
    c->sepc = WORLD_PC;
    c->scounteren = open ? RISCV_COUNTEREN_BITS : 0;
    c->senvcfg = open ? ENVCFG_CBCFE | ENVCFG_CBZE | 1ULL << ENVCFG_CBIE_SHIFT : 0;
    memset(c->x, 0, sizeof(c->x));
    w->fresh = *c;
}

int riscv_world_init(struct riscv_world *w, unsigned layout, bool open, struct error *err)
{
    memset(w, 0, sizeof(*w));
    w->layout = layout;
    int r = vm_init(&w->vm, NULL, err);
    if (r < 0)
        return r;
    vm_clock_set_manual(&w->vm.clock);
    w->vcpu = (struct vcpu){ .vm = &w->vm, .isa = &riscv_isa_ops };
    w->vm.nr_vcpus = 1;
    const struct riscv_config config = { .profile = riscv_profile_max(), .sbi = { .call = answer, .opaque = &w->devices } };
    r = gmem_init(&w->vm.gmem, RAM, err);
    if (r >= 0)
        r = gmem_add_slot(&w->vm.gmem, 0, RAM, 0, err);
    if (r >= 0)
        r = riscv_isa_ops.cpu_new(&w->vcpu, &config, err);
    if (r < 0)
        return r;
    make_page_tables(w);
    make_fresh(w, open);
    return 0;
}

void riscv_world_done(struct riscv_world *w)
{
    if (w->vcpu.isa)
        riscv_isa_ops.cpu_free(&w->vcpu);
    if (w->vcpu.vm)
        vm_done(&w->vm);
    w->vcpu = (struct vcpu){ .vm = NULL };
}

void riscv_world_begin(const struct riscv_world *w, enum riscv_priv priv, enum riscv_world_paging paging,
                       struct riscv_world_state *s)
{
    memset(s, 0, sizeof(*s));
    s->cpu = w->fresh;
    s->cpu.priv = (uint8_t)priv;
    s->cpu.satp = paging == WORLD_PAGED ? w->satp : 0;
    s->devices = (struct riscv_world_devices){ .time = 1000, .value = 0x5a };
}

/* ---- running ---- */

/* Entries of the TLB are for one satp, one MXR. */
static void drop_stale(struct riscv_world *w, struct riscv_cpu *c)
{
    uint64_t mxr = c->mstatus & MSTATUS_MXR;
    if (c->satp != w->seen_satp || mxr != w->seen_mxr)
        riscv_tlb_flush_paged(c);
    w->seen_satp = c->satp;
    w->seen_mxr = mxr;
}

static void load(struct riscv_world *w, const struct riscv_world_state *s)
{
    struct riscv_cpu *c = w->vcpu.cpu;
    memcpy(c, &s->cpu, ARCHITECTURAL);
    gpa_t code = page_at(w, c, FRAME_CODE), data = page_at(w, c, FRAME_DATA);
    c->reservation.gpa = c->reservation.valid ? data + (c->reservation.gpa - WORLD_DATA) : 0;
    memcpy(w->vm.gmem.host + code + (WORLD_PC - WORLD_CODE), s->program.code, WORLD_CODE_SIZE);
    memcpy(w->vm.gmem.host + data, s->program.data, WORLD_DATA_SIZE);
    w->devices = s->devices;
    vm_clock_set(&w->vm.clock, (ns_t)(s->devices.time * NS_A_TICK), 0);
    drop_stale(w, c);
    riscv_mode_update(c);
}

/* `from`: the state it began in, whose paging says where the program lies. */
static void save(struct riscv_world *w, const struct riscv_world_state *from, struct riscv_world_state *s)
{
    const struct riscv_cpu *c = w->vcpu.cpu;
    gpa_t data = page_at(w, &from->cpu, FRAME_DATA);
    memcpy(&s->cpu, c, ARCHITECTURAL);
    if (c->reservation.valid)
        s->cpu.reservation.gpa = WORLD_DATA + (c->reservation.gpa - data);
    else
        s->cpu.reservation = (struct riscv_reservation){ .valid = false };
    memcpy(s->program.code, from->program.code, sizeof(s->program.code));
    memcpy(s->program.data, w->vm.gmem.host + data, WORLD_DATA_SIZE);
    s->devices = w->devices;
}

void riscv_world_run(struct riscv_world *w, const struct riscv_insn *i, const struct riscv_world_state *from,
                     struct experiment_outcome *o, struct riscv_world_state *ret_state)
{
    struct riscv_cpu *c = w->vcpu.cpu;
    jmp_buf env;

    load(w, from);
    uint64_t flushed = c->tlb->nr_flushes;
    o->trapped = true;
    c->trap_env = &env;
    if (_setjmp(env) == 0) {
        c->next_pc = c->pc + i->len;
        i->step(c, i);
        c->pc = c->next_pc;
        o->trapped = false;
    }
    o->has_error = false;
    o->cause = (uint32_t)c->trap.cause;
    o->flushes = c->tlb->nr_flushes - flushed;
    if (!o->trapped)
        save(w, from, ret_state);
}
