/* SPDX-License-Identifier: MIT */
/*
 * Which parts of a RISC-V hart's state are the program's: see parts.h.
 */
#include "classify/riscv/parts.h"

#include <stddef.h>

#include "base/checked.h"

#define NAMED(field_name, member, what)                                                                                          \
    {                                                                                                                            \
        .name = field_name, .at = offsetof(struct riscv_world_state, cpu.member),                                                \
        .size = sizeof(((struct riscv_cpu *)0)->member), .count = 1, .kind = what                                                \
    }
#define ONE(member, what) NAMED(#member, member, what)
#define MANY(member, what)                                                                                                       \
    {                                                                                                                            \
        .name = #member, .at = offsetof(struct riscv_world_state, cpu.member),                                                   \
        .size = sizeof(((struct riscv_cpu *)0)->member[0]), .count = ARRAY_SIZE(((struct riscv_cpu *)0)->member), .kind = what   \
    }

/* An eighth of the vector registers, by dwords. */
#define VECTORS(n)                                                                                                               \
    {                                                                                                                            \
        .name = "v" #n, .at = offsetof(struct riscv_world_state, cpu.v) + (n) * sizeof(((struct riscv_cpu *)0)->v) / 8,          \
        .size = 8, .count = sizeof(((struct riscv_cpu *)0)->v) / 64, .kind = FIELD_PROGRAM                                       \
    }

static const struct field table[] = {
    MANY(x, FIELD_PROGRAM),
    ONE(pc, FIELD_PROGRAM),
    MANY(f, FIELD_PROGRAM),
    ONE(fflags, FIELD_PROGRAM),
    ONE(frm, FIELD_PROGRAM),
    ONE(vtype, FIELD_PROGRAM),
    ONE(vl, FIELD_PROGRAM),
    ONE(vstart, FIELD_PROGRAM),
    ONE(vxsat, FIELD_PROGRAM),
    ONE(vxrm, FIELD_PROGRAM),
    VECTORS(0),
    VECTORS(1),
    VECTORS(2),
    VECTORS(3),
    VECTORS(4),
    VECTORS(5),
    VECTORS(6),
    VECTORS(7),
    ONE(reservation.valid, FIELD_PROGRAM),
    ONE(reservation.size, FIELD_PROGRAM),
    ONE(reservation.gpa, FIELD_PROGRAM), /* the program's address: world.c */
    ONE(reservation.value, FIELD_PROGRAM),
    ONE(priv, FIELD_RESOURCE),
    ONE(activity, FIELD_RESOURCE),
    { .name = "mstatus",
      .at = offsetof(struct riscv_world_state, cpu.mstatus),
      .size = 8,
      .count = 1,
      .kind = FIELD_MIXED,
      .resources = ~(MSTATUS_FS | MSTATUS_VS),
      .notes = MSTATUS_FS | MSTATUS_VS },
    ONE(medeleg, FIELD_RESOURCE),
    ONE(mideleg, FIELD_RESOURCE),
    ONE(mie, FIELD_RESOURCE),
    ONE(mtvec, FIELD_RESOURCE),
    ONE(mscratch, FIELD_RESOURCE),
    ONE(mepc, FIELD_RESOURCE),
    ONE(mcause, FIELD_RESOURCE),
    ONE(mtval, FIELD_RESOURCE),
    ONE(mcounteren, FIELD_RESOURCE),
    ONE(mcountinhibit, FIELD_RESOURCE),
    ONE(menvcfg, FIELD_RESOURCE),
    ONE(stvec, FIELD_RESOURCE),
    ONE(sscratch, FIELD_RESOURCE),
    ONE(sepc, FIELD_RESOURCE),
    ONE(scause, FIELD_RESOURCE),
    ONE(stval, FIELD_RESOURCE),
    ONE(scounteren, FIELD_RESOURCE),
    ONE(senvcfg, FIELD_RESOURCE),
    ONE(satp, FIELD_RESOURCE),
    ONE(stimecmp, FIELD_RESOURCE),
    MANY(pmpcfg, FIELD_RESOURCE),
    MANY(pmpaddr, FIELD_RESOURCE),
    ONE(cycle.base, FIELD_RESOURCE),
    ONE(cycle.held, FIELD_RESOURCE),
    ONE(instret.base, FIELD_RESOURCE),
    ONE(instret.held, FIELD_RESOURCE),
    NAMED("interrupt-wires", wires, FIELD_RESOURCE),
    NAMED("interrupts-by-software", soft, FIELD_RESOURCE),
    ONE(start_pc, FIELD_RESOURCE),
    ONE(start_opaque, FIELD_RESOURCE),
    ONE(shared_page, FIELD_RESOURCE),
    ONE(hyp.virt, FIELD_RESOURCE),
    ONE(hyp.hstatus, FIELD_RESOURCE),
    ONE(hyp.hedeleg, FIELD_RESOURCE),
    ONE(hyp.hideleg, FIELD_RESOURCE),
    ONE(hyp.hcounteren, FIELD_RESOURCE),
    ONE(hyp.henvcfg, FIELD_RESOURCE),
    ONE(hyp.htimedelta, FIELD_RESOURCE),
    ONE(hyp.htval, FIELD_RESOURCE),
    ONE(hyp.htinst, FIELD_RESOURCE),
    ONE(hyp.hgatp, FIELD_RESOURCE),
    ONE(hyp.mtval2, FIELD_RESOURCE),
    ONE(hyp.mtinst, FIELD_RESOURCE),
    { .name = "hyp.vsstatus",
      .at = offsetof(struct riscv_world_state, cpu.hyp.vsstatus),
      .size = 8,
      .count = 1,
      .kind = FIELD_MIXED,
      .resources = ~(MSTATUS_FS | MSTATUS_VS),
      .notes = MSTATUS_FS | MSTATUS_VS },
    ONE(hyp.vstvec, FIELD_RESOURCE),
    ONE(hyp.vsscratch, FIELD_RESOURCE),
    ONE(hyp.vsepc, FIELD_RESOURCE),
    ONE(hyp.vscause, FIELD_RESOURCE),
    ONE(hyp.vstval, FIELD_RESOURCE),
    ONE(hyp.vsatp, FIELD_RESOURCE),
    ONE(hyp.vstimecmp, FIELD_RESOURCE),
    NAMED("retired-instructions", insns, FIELD_RESOURCE),
    { .name = NULL },
};

static const struct field_area areas[] = {
    { "memory", WORLD_DATA, offsetof(struct riscv_world_state, program.data), WORLD_DATA_SIZE, false },
    { "time", 0, offsetof(struct riscv_world_state, devices.time), 8, true },
    { "firmware.calls", 0, offsetof(struct riscv_world_state, devices.calls), 8, true },
    { "firmware.last", 0, offsetof(struct riscv_world_state, devices.last), 8, true },
    { "firmware.answer", 0, offsetof(struct riscv_world_state, devices.value), 8, true },
};

const struct fields riscv_parts = { table, areas, ARRAY_SIZE(areas) };
