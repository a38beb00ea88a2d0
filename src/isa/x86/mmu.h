/* SPDX-License-Identifier: MIT */
/*
 * Memory as a guest x86 CPU sees it: segmentation, paging, the software TLB, and accesses that fault exactly.
 *
 * All accessors raise (#PF, #GP, #SS, #AC) through x86_raise*() and then do not return. Values are zero-extended.
 * An access that crosses a page checks both pages before it changes either.
 * Spec: SDM 3A chapters 3 to 5.
 */
#ifndef DOPPEL_ISA_X86_MMU_H
#define DOPPEL_ISA_X86_MMU_H

#include "core/gmem.h"
#include "isa/x86/state.h"

/* Who accesses, for the rights in the page tables. */
enum x86_tlb_bank {
    X86_BANK_USER,      /* CPL 3 */
    X86_BANK_KERNEL,    /* supervisor: SMAP enforced; also implicit accesses (descriptor tables, TSS) at any CPL */
    X86_BANK_KERNEL_AC, /* explicit supervisor accesses with EFLAGS.AC = 1 or CR4.SMAP = 0 */
    X86_BANK_LAST = X86_BANK_KERNEL_AC,
};
enum { X86_BANK_NR = X86_BANK_LAST + 1 };

enum x86_access { X86_READ, X86_WRITE, X86_FETCH };

/* ---- linear addresses; size 1, 2, 4 or 8 bytes ---- */
/* bank: c->bank for what the program does, X86_BANK_KERNEL for what the CPU does by itself. */
uint64_t x86_lin_read(struct x86_cpu *c, gva_t lin, unsigned size, enum x86_tlb_bank bank);
void x86_lin_write(struct x86_cpu *c, gva_t lin, uint64_t value, unsigned size, enum x86_tlb_bank bank);
/* Any length up to 4096 bytes; all checked before anything is copied. MMIO pages are read and written piecewise. */
void x86_lin_read_bytes(struct x86_cpu *c, gva_t lin, void *buf, unsigned len, enum x86_tlb_bank bank);
void x86_lin_write_bytes(struct x86_cpu *c, gva_t lin, const void *buf, unsigned len, enum x86_tlb_bank bank);
/* Checks that [lin, lin+len) (up to 4096 bytes) can be written, raising if not; changes nothing but A/D bits. */
void x86_lin_probe_write(struct x86_cpu *c, gva_t lin, unsigned len, enum x86_tlb_bank bank);

/* Host address for an atomic read-modify-write of size bytes (1..16), or NULL when it is MMIO or crosses a page. Raises as a
 * write does. Call gmem_note_write() after storing. */
void *x86_lin_rmw(struct x86_cpu *c, gva_t lin, unsigned size, enum x86_tlb_bank bank);
/* For what x86_lin_rmw() has no address: stores value if the size (1, 2, 4 or 8) bytes are still old; false, storing nothing,
 * when they are not. With the machine's lock as bus lock it is atomic among its like; device registers are just written. Raises
 * as a write does. */
bool x86_lin_swap(struct x86_cpu *c, gva_t lin, uint64_t old, uint64_t value, unsigned size, enum x86_tlb_bank bank);

/* ---- segmented addresses ---- */
/* Linear address of seg:off for an access of `size` bytes, after limit, type and canonical checks. In 64-bit mode only FS and
 * GS have a base; off is taken as is (the caller cut it to the address size). */
gva_t x86_seg_lin(struct x86_cpu *c, enum x86_seg_reg seg, uint64_t off, unsigned size, enum x86_access access);
uint64_t x86_mem_read(struct x86_cpu *c, enum x86_seg_reg seg, uint64_t off, unsigned size);
void x86_mem_write(struct x86_cpu *c, enum x86_seg_reg seg, uint64_t off, uint64_t value, unsigned size);
void x86_mem_read_bytes(struct x86_cpu *c, enum x86_seg_reg seg, uint64_t off, void *buf, unsigned len);
void x86_mem_write_bytes(struct x86_cpu *c, enum x86_seg_reg seg, uint64_t off, const void *buf, unsigned len);

/* ---- instruction fetch ---- */
/* Host address of the code byte at linear `lin` for execution at c->cpl, with ret_left = bytes left in its page; raises #PF. NULL
 * when the code is not in RAM. */
const uint8_t *x86_fetch_page(struct x86_cpu *c, gva_t lin, unsigned *ret_left);

/* ---- the software TLB ---- */
/* NULL when out of memory. */
struct x86_tlb *x86_tlb_new(void);
void x86_tlb_free(struct x86_tlb *tlb);

/* ---- paging ---- */
struct x86_walk {
    gpa_t gpa;
    uint64_t page_size;              /* 4 KiB, 2 MiB, 4 MiB, 1 GiB */
    bool writable, user, nx, global; /* rights combined over all levels */
    bool dirty;                      /* D is set in the leaf */
};
/* Translates; sets A (and D for a write) as the CPU does. Returns 0, or the #PF error code with bit 31 set (so that it is
 * never 0) without raising. `user` is the privilege of the access, ac: SMAP is suspended. */
uint32_t x86_walk(struct x86_cpu *c, gva_t lin, enum x86_access access, enum x86_tlb_bank bank, struct x86_walk *ret_walk);
/* Debugger's and introspection's walk: sets nothing, checks no rights. False when not mapped. */
bool x86_translate_quiet(const struct x86_cpu *c, gva_t lin, gpa_t *ret_gpa);
/* Loads the PAE PDPTEs for a CR3 value; false when a reserved bit is set (#GP). */
bool x86_load_pdptes(struct x86_cpu *c, uint64_t cr3);

void x86_tlb_flush_all(struct x86_cpu *c);             /* also global entries: CR0/CR4/EFER changes */
void x86_tlb_flush_page(struct x86_cpu *c, gva_t lin); /* INVLPG */
/* A new CR3 is in force: picks the address space for its PCID, dropping its old translations unless keep. */
void x86_tlb_switch(struct x86_cpu *c, bool keep);
/* INVPCID of one address in one PCID, of one PCID, or (pcid < 0) of all PCIDs. */
void x86_tlb_flush_pcid(struct x86_cpu *c, int pcid);

#endif
