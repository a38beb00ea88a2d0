/* SPDX-License-Identifier: MIT */
/*
 * The guest's init program (guests/init.c) as bytes, built into doppel.
 */
#ifndef DOPPEL_MACHINE_GUEST_INIT_H
#define DOPPEL_MACHINE_GUEST_INIT_H

/* A static x86-64 ELF executable. */
extern const unsigned char guest_init[];
extern const unsigned long guest_init_len;
/* The same for riscv64; length 0: there was no compiler for it when doppel was built. */
extern const unsigned char guest_init_riscv[];
extern const unsigned long guest_init_riscv_len;

#endif
