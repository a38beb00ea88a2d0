/* SPDX-License-Identifier: MIT */
/*
 * Segment descriptors: finding them in the GDT and LDT, and what their bits say.
 *
 * All reads and writes of descriptor tables are implicit supervisor accesses (X86_BANK_KERNEL) and may raise #PF.
 * Spec: SDM 3A 3.4.5, 3.5, 5.8; 3A 4.6.1 for the implicit accesses
 */
#ifndef DOPPEL_ISA_X86_SEG_H
#define DOPPEL_ISA_X86_SEG_H

#include "isa/x86/mmu.h"
#include "isa/x86/state.h"
#include "isa/x86/sysreg.h"

/* SEG_TYPE values of system descriptors (SEG_S clear). Spec: SDM 3A table 3-2 */
enum x86_sys_type {
    SYS_TSS16 = 1,
    SYS_LDT = 2,
    SYS_TSS16_BUSY = 3,
    SYS_CALL16 = 4,
    SYS_TASK_GATE = 5,
    SYS_INT16 = 6,
    SYS_TRAP16 = 7,
    SYS_TSS = 9, /* 32-bit; 64-bit in long mode */
    SYS_TSS_BUSY = 11,
    SYS_CALL = 12,
    SYS_INT = 14,
    SYS_TRAP = 15,
};

/* A descriptor as it stood in its table when it was read. */
struct x86_desc {
    uint64_t lo;
    uint64_t hi; /* second half of a 16-byte descriptor (long mode system ones), else 0 */
    gva_t lin;   /* where it stands */
    uint16_t sel;
};

static inline uint32_t desc_attr(const struct x86_desc *d)
{
    return (uint32_t)(d->lo >> 40) & 0xf0ff;
}

/* SEG_S and SEG_TYPE: below 16 it is an enum x86_sys_type. */
static inline unsigned desc_type(const struct x86_desc *d)
{
    return (unsigned)(d->lo >> 40) & (SEG_S | SEG_TYPE);
}

static inline unsigned desc_dpl(const struct x86_desc *d)
{
    return (unsigned)(d->lo >> 45) & 3;
}

static inline bool desc_present(const struct x86_desc *d)
{
    return d->lo >> 47 & 1;
}

static inline bool desc_is_code(const struct x86_desc *d)
{
    return (desc_type(d) & (SEG_S | SEG_TYPE_CODE)) == (SEG_S | SEG_TYPE_CODE);
}

static inline bool desc_is_conforming(const struct x86_desc *d)
{
    return desc_is_code(d) && (desc_type(d) & SEG_TYPE_EC);
}

static inline bool desc_is_writable_data(const struct x86_desc *d)
{
    return (desc_type(d) & (SEG_S | SEG_TYPE_CODE | SEG_TYPE_RW)) == (SEG_S | SEG_TYPE_RW);
}

/* Data, or code that can be read. */
static inline bool desc_is_readable(const struct x86_desc *d)
{
    return (desc_type(d) & SEG_S) && (desc_type(d) & (SEG_TYPE_CODE | SEG_TYPE_RW)) != SEG_TYPE_CODE;
}

static inline bool sel_is_null(uint16_t sel)
{
    return (sel & ~3) == 0;
}

/* Error code that names a selector; ext is 0 or 1. */
static inline uint32_t sel_error(uint16_t sel, unsigned ext)
{
    return (sel & 0xfffc) | ext;
}

static inline bool x86_in_vm86(const struct x86_cpu *c)
{
    return (c->rflags & FLAG_VM) && (c->cr0 & CR0_PE);
}

/* Real mode or virtual-8086: selectors are paragraph numbers. */
static inline bool x86_real_style(const struct x86_cpu *c)
{
    return !(c->cr0 & CR0_PE) || (c->rflags & FLAG_VM);
}

static inline unsigned x86_iopl(const struct x86_cpu *c)
{
    return (unsigned)(c->rflags >> 12) & 3;
}

/* Reads the 8 bytes a non-null selector names; false when they lie outside its table. */
bool x86_desc_read(struct x86_cpu *c, uint16_t sel, struct x86_desc *ret_desc);
/* Reads the second 8 bytes (long mode system descriptors); false when outside the table. */
bool x86_desc_read_upper(struct x86_cpu *c, struct x86_desc *d);
/* Sets, or clears, bits of the type byte with one locked access; no access when nothing would change. */
void x86_desc_set_bits(struct x86_cpu *c, struct x86_desc *d, uint8_t bits);
void x86_desc_clear_bits(struct x86_cpu *c, struct x86_desc *d, uint8_t bits);
/* Sets the accessed bit of a code or data descriptor. */
void x86_desc_set_accessed(struct x86_cpu *c, struct x86_desc *d);

/* Segment register contents for a descriptor; for 16-byte ones the base has 64 bits. */
struct x86_seg x86_desc_to_seg(const struct x86_desc *d, uint16_t sel);
/* Segment register contents after a null selector was loaded. The DPL is kept in attr, since SS's is the CPL. */
struct x86_seg x86_seg_null(uint16_t sel, unsigned dpl);
/* The fixed flat segments that SYSCALL, SYSENTER and their returns load; attr as in x86_seg. */
struct x86_seg x86_seg_flat(uint16_t sel, uint32_t attr);

/* Whether [off, off+len) lies inside the limits of a data segment, outside 64-bit mode. */
bool x86_seg_fits(const struct x86_seg *s, uint64_t off, unsigned len);

/* After a return to an outer ring: drops what the new CPL may not use from ES, DS, FS, GS. Spec: SDM 2A IRET */
void x86_seg_drop_inner(struct x86_cpu *c);

#endif
