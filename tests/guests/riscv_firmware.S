/* SPDX-License-Identifier: MIT */
/*
 * Firmware for a riscv64 machine of two harts: checks what it was started with, waits for the second hart, and enters what a2 says as
 * firmware does. A check that fails ends the machine with its number as the status.
 */
.macro expect number, a, b
    li      t6, (\number << 16) | 0x3333
    bne     \a, \b, fail
.endm

.globl _start
_start:
    la      s0, counter
    li      t0, 1
    amoadd.w.aqrl zero, t0, (s0)
    csrr    s1, mhartid             /* an illegal instruction but in M-mode */
    expect  1, a0, s1
    lwu     t0, 0(a1)               /* a device tree */
    li      t1, 0xedfe0dd0
    expect  2, t0, t1
    ld      t0, 0(a2)               /* "OSBI" */
    li      t1, 0x4942534f
    expect  3, t0, t1
    ld      t0, 8(a2)               /* version, next, mode, options, hart */
    li      t1, 2
    expect  4, t0, t1
    ld      s2, 16(a2)
    li      t1, 0x80200000
    expect  5, s2, t1
    ld      t0, 24(a2)
    li      t1, 1
    expect  6, t0, t1
    ld      t0, 40(a2)
    expect  7, t0, zero
    la      t0, _start
    li      t1, 0x80000000
    expect  8, t0, t1
0:  bnez    s1, 0b
    li      t1, 2
1:  lw      t0, 0(s0)
    bne     t0, t1, 1b
    csrw    mepc, s2
    li      t0, 0x1800
    csrc    mstatus, t0
    li      t0, 0x800               /* MPP = S */
    csrs    mstatus, t0
    li      t0, -1
    csrw    pmpaddr0, t0
    li      t0, 0x1f
    csrw    pmpcfg0, t0
    la      t0, trap
    csrw    mtvec, t0
    mret

/* An environment call of S-mode is the kernel's sign that it runs; the monitor must not answer it. */
.balign 4
trap:
    csrr    t0, mcause
    li      t1, 9
    expect  9, t0, t1
    li      t6, (77 << 16) | 0x3333
fail:
    li      t0, 0x100000
    sw      t6, 0(t0)
    j       .

.balign 4
counter:
    .word   0
