/* SPDX-License-Identifier: MIT */
/*
 * What firmware and boot loader leave behind on board `pc`: the memory map and CPU 0 at the kernel's entry.
 */
#ifndef DOPPEL_MACHINE_PC_BOOT_H
#define DOPPEL_MACHINE_PC_BOOT_H

#include "core/gmem.h"
#include "machine/x86_boot.h"

struct x86_cpu;

enum { PC_MAP_MAX = 16 };

/* Gives RAM of gm->size bytes its slots. -EINVAL as gmem_add_slot(). */
MUST_CHECK int pc_map_ram(struct gmem *gm, struct error *err);
/* Fills the guest's memory map for that much RAM; returns the number of ranges (at most PC_MAP_MAX). */
unsigned pc_memory_map(uint64_t ram_size, struct mem_range ret_map[PC_MAP_MAX]);
/* Puts a CPU in its reset state into the state the boot protocol wants. */
void pc_apply_boot(struct x86_cpu *cpu, const struct x86_boot *boot);

#endif
