/* SPDX-License-Identifier: MIT */
/*
 * A second CPU over a private copy-on-write view of a running machine's memory, which interprets a block before `bt` runs it.
 *
 * The view is a private mapping of the machine's memory, put into a memfd: it shows the machine's memory until it is written;
 * pages written are found by write protection and given back after each check. Blocks with instructions that reach outside
 * (devices, time, MSRs) are not checked. One at a time in a process: it owns SIGSEGV.
 */
#ifndef DOPPEL_TESTS_BT_SHADOW_H
#define DOPPEL_TESTS_BT_SHADOW_H

#include "core/vcpu.h"
#include "isa/x86/state.h"

struct shadow;

/* NULL when something is missing. The vCPU is that of the machine to check. */
struct shadow *shadow_new(struct vcpu *vcpu);
void shadow_free(struct shadow *s);
/* Interprets the block at the CPU's rip, up to its end. False: not one that can be checked. Follow with shadow_compare() when the
 * machine's CPU has got there, then with shadow_drop() in any case. */
bool shadow_run(struct shadow *s, const struct x86_cpu *c);
/* NULL when CPU and memory are as the shadow left them; else what differs. Dead arithmetic flags and accessed and dirty bits are
 * not looked at. */
const char *shadow_compare(struct shadow *s, struct x86_cpu *c);
void shadow_print(const struct shadow *s, const struct x86_cpu *c);
void shadow_drop(struct shadow *s);

#endif
