/* SPDX-License-Identifier: MIT */
/*
 * Board `pc`: the memory map as one table, and the register state at the kernel's entry.
 *
 * Host mapping: RAM below the hole lies at its guest address, the rest follows at the hole's address; what would be
 * behind the video hole is never seen.
 */
#include "machine/pc_boot.h"

#include <assert.h>

#include "base/checked.h"
#include "device/ioapic.h"
#include "device/lapic.h"
#include "device/pcihost.h"
#include "isa/x86/state.h"
#include "machine/pc.h"

/* The guest physical address space; every other file takes it from here or from the constants in pc.h. */
struct region {
    gpa_t base, end; /* end exclusive; RAM is cut to what there is */
    bool is_ram;     /* has a memory slot */
    enum mem_type type;
};

static const struct region regions[] = {
    { 0, PC_LOW_RAM_END, true, MEM_TYPE_RAM },
    { PC_ROMS, PC_TABLES_END, true, MEM_TYPE_RESERVED },
    { PC_TABLES_END, PC_RAM_HOLE, true, MEM_TYPE_RAM },
    { PC_ECAM, PC_ECAM + PCIHOST_ECAM_SIZE, false, MEM_TYPE_RESERVED },
    { PC_IOAPIC, PC_IOAPIC + IOAPIC_IO_SIZE, false, MEM_TYPE_RESERVED },
    { PC_LAPIC, PC_LAPIC + LAPIC_IO_SIZE, false, MEM_TYPE_RESERVED },
    { PC_RAM_HIGH, UINT64_MAX, true, MEM_TYPE_RAM },
};

/* Bytes of the region that exist with this much RAM. */
static uint64_t region_size(const struct region *r, uint64_t ram_size)
{
    if (!r->is_ram)
        return r->end - r->base;
    uint64_t end = r->base < PC_RAM_HIGH    ? MIN(r->end, ram_size)
                   : ram_size > PC_RAM_HOLE ? ram_size - PC_RAM_HOLE + PC_RAM_HIGH
                                            : 0;
    return end > r->base ? end - r->base : 0;
}

int pc_map_ram(struct gmem *gm, struct error *err)
{
    for (unsigned i = 0; i < ARRAY_SIZE(regions); i++) {
        const struct region *r = &regions[i];
        uint64_t size = region_size(r, gm->size);
        if (!r->is_ram || size == 0)
            continue;
        uint64_t offset = r->base < PC_RAM_HIGH ? r->base : r->base - PC_RAM_HIGH + PC_RAM_HOLE;
        int code = gmem_add_slot(gm, r->base, size, offset, err);
        if (code < 0)
            return code;
    }
    return 0;
}

unsigned pc_memory_map(uint64_t ram_size, struct mem_range ret_map[PC_MAP_MAX])
{
    static_assert(ARRAY_SIZE(regions) <= PC_MAP_MAX, "the map has room for every region");
    unsigned n = 0;
    for (unsigned i = 0; i < ARRAY_SIZE(regions); i++) {
        uint64_t size = region_size(&regions[i], ram_size);
        if (size > 0)
            ret_map[n++] = (struct mem_range){ .base = regions[i].base, .size = size, .type = regions[i].type };
    }
    return n;
}

static struct x86_seg flat_segment(uint16_t sel, uint32_t attr)
{
    return (struct x86_seg){ .base = 0, .limit = UINT32_MAX, .attr = attr | SEG_S | SEG_P | SEG_G | SEG_TYPE_A, .sel = sel };
}

/* Both 32- and 64-bit kernels start with flat segments. */
static void set_flat(struct x86_cpu *cpu, bool long_mode)
{
    struct x86_seg data = flat_segment(X86_BOOT_DS, SEG_TYPE_RW | SEG_DB);
    static const enum x86_seg_reg data_regs[] = { SEG_ES, SEG_SS, SEG_DS, SEG_FS, SEG_GS };
    for (unsigned i = 0; i < ARRAY_SIZE(data_regs); i++)
        cpu->seg[data_regs[i]] = data;
    cpu->seg[SEG_CS] = flat_segment(X86_BOOT_CS, SEG_TYPE_CODE | SEG_TYPE_RW | (long_mode ? SEG_L : SEG_DB));
    if (!long_mode)
        cpu->seg[SEG_TR] = (struct x86_seg){ .limit = 0x67, .attr = 0xb | SEG_P, .sel = X86_BOOT_TSS };
}

void pc_apply_boot(struct x86_cpu *cpu, const struct x86_boot *boot)
{
    cpu->rip = boot->entry;
    cpu->rflags = FLAG_ONE;
    cpu->gpr[RAX] = boot->rax;
    cpu->gpr[RBX] = boot->rbx;
    cpu->gpr[RSI] = boot->rsi;
    cpu->gpr[RSP] = boot->rsp;
    cpu->gpr[RDX] = 0;
    cpu->gdtr = (struct x86_table_reg){ .base = boot->gdt_base, .limit = boot->gdt_limit };
    switch (boot->mode) {
    case X86_BOOT_REAL16:
        cpu->rip = boot->entry & 0xf;
        cpu->seg[SEG_CS].base = boot->entry & ~0xfULL;
        cpu->seg[SEG_CS].sel = (uint16_t)(boot->entry >> 4);
        break;
    case X86_BOOT_FLAT32:
        set_flat(cpu, false);
        cpu->cr0 = CR0_PE | CR0_ET | CR0_NE;
        break;
    case X86_BOOT_LONG64:
        set_flat(cpu, true);
        cpu->cr0 = CR0_PE | CR0_ET | CR0_NE | CR0_WP | CR0_PG;
        cpu->cr4 = CR4_PAE;
        cpu->cr3 = boot->cr3;
        cpu->efer = EFER_LME | EFER_LMA;
        break;
    }
    x86_state_changed(cpu);
}
