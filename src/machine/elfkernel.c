/* SPDX-License-Identifier: MIT */
/*
 * Implementation of the ELF kernel reader.
 */
#include "machine/elfkernel.h"

#include "base/checked.h"

#include <elf.h>
#include <errno.h>
#include <inttypes.h>
#include <string.h>

enum {
    PHDRS_MAX = 256,
    NOTES_MAX = 1024, /* notes looked at in one segment */
    NOTE_PHYS32_ENTRY = 18,
};

/* One program header, either class. */
struct phdr {
    uint32_t type;
    uint64_t offset;
    uint64_t vaddr;
    uint64_t paddr;
    uint64_t filesz;
    uint64_t memsz;
};

struct machine_name {
    uint16_t machine;
    const char *name;
};

static const struct machine_name machine_names[] = {
    { EM_X86_64, "x86-64" },
    { EM_386, "32-bit x86" },
    { EM_AARCH64, "AArch64" },
    { EM_ARM, "32-bit ARM" },
    { EM_RISCV, "RISC-V" },
    { EM_PPC64, "64-bit PowerPC" },
    { EM_PPC, "32-bit PowerPC" },
    { EM_S390, "IBM Z (s390)" },
    { EM_MIPS, "MIPS" },
    { EM_SPARCV9, "64-bit SPARC" },
    { EM_SPARC, "32-bit SPARC" },
    { EM_IA_64, "Itanium" },
    { EM_LOONGARCH, "LoongArch" },
    { EM_68K, "Motorola 68000" },
    { EM_ALPHA, "Alpha" },
    { 0x9026, "Alpha" },
    { EM_PARISC, "PA-RISC" },
    { EM_SH, "SuperH" },
    { EM_BPF, "BPF" },
};

static int wrong_machine(uint16_t machine, const char *ours, struct error *err)
{
    for (size_t i = 0; i < ARRAY_SIZE(machine_names); i++) {
        if (machine_names[i].machine == machine)
            return error_set(err, -ENOEXEC, "an ELF file for %s, this machine is %s", machine_names[i].name, ours);
    }
    return error_set(err, -ENOEXEC, "an ELF file for another machine (e_machine %u), this one is %s", machine, ours);
}

/* The first bytes common to both classes: identification, type, machine. */
static int check_ident(const uint8_t *data, size_t len, const char *ours, struct error *err)
{
    if (len < sizeof(Elf32_Ehdr))
        return error_set(err, -ENOEXEC, "truncated: an ELF header cut off after %zu bytes", len);
    if (data[EI_DATA] == ELFDATA2MSB && data[18] == 0 && data[19] == EM_RISCV)
        return error_set(err, -ENOEXEC, "an ELF file for big-endian RISC-V, this machine is %s", ours);
    if (data[EI_DATA] == ELFDATA2MSB)
        return wrong_machine(data[18] << 8 | data[19], ours, err);
    if (data[EI_DATA] != ELFDATA2LSB || (data[EI_CLASS] != ELFCLASS32 && data[EI_CLASS] != ELFCLASS64))
        return error_set(err, -ENOEXEC, "broken ELF header: class %u, data encoding %u", data[EI_CLASS], data[EI_DATA]);
    if (data[EI_CLASS] == ELFCLASS64 && len < sizeof(Elf64_Ehdr))
        return error_set(err, -ENOEXEC, "truncated: an ELF header cut off after %zu bytes", len);
    return 0;
}

static int check_x86(const uint8_t *data, struct error *err)
{
    uint16_t machine = data[18] | data[19] << 8;
    if (machine != EM_X86_64 && machine != EM_386)
        return wrong_machine(machine, "x86-64", err);
    if (machine == EM_X86_64 && data[EI_CLASS] == ELFCLASS32)
        return error_set(err, -ENOEXEC, "an x32 ELF file: 32-bit, no 64-bit entry");
    if (machine == EM_386 && data[EI_CLASS] == ELFCLASS64)
        return error_set(err, -ENOEXEC, "broken ELF header: 64-bit class for the 386");
    return 0;
}

static int check_riscv(const uint8_t *data, struct error *err)
{
    uint16_t machine = data[18] | data[19] << 8;
    if (machine != EM_RISCV)
        return wrong_machine(machine, "riscv64", err);
    if (data[EI_CLASS] != ELFCLASS64)
        return error_set(err, -ENOEXEC, "an ELF file for 32-bit RISC-V, this machine is riscv64");
    return 0;
}

/* Both headers in the 64-bit form. */
static Elf64_Ehdr read_ehdr(const uint8_t *data)
{
    Elf64_Ehdr h;
    if (data[EI_CLASS] == ELFCLASS64) {
        memcpy(&h, data, sizeof(h));
        return h;
    }
    Elf32_Ehdr h32;
    memcpy(&h32, data, sizeof(h32));
    return (Elf64_Ehdr){
        .e_type = h32.e_type,
        .e_entry = h32.e_entry,
        .e_phoff = h32.e_phoff,
        .e_phentsize = h32.e_phentsize,
        .e_phnum = h32.e_phnum,
    };
}

static struct phdr read_phdr(const uint8_t *p, bool is_64)
{
    if (is_64) {
        Elf64_Phdr h;
        memcpy(&h, p, sizeof(h));
        return (struct phdr){ h.p_type, h.p_offset, h.p_vaddr, h.p_paddr, h.p_filesz, h.p_memsz };
    }
    Elf32_Phdr h;
    memcpy(&h, p, sizeof(h));
    return (struct phdr){ h.p_type, h.p_offset, h.p_vaddr, h.p_paddr, h.p_filesz, h.p_memsz };
}

static int check_ehdr(const Elf64_Ehdr *h, size_t len, bool is_64, struct error *err)
{
    if (h->e_type == ET_REL)
        return error_set(err, -ENOEXEC, "an ELF object file or module, not a kernel");
    if (h->e_type != ET_EXEC && h->e_type != ET_DYN)
        return error_set(err, -ENOEXEC, "an ELF file that is not executable (type %u)", h->e_type);
    size_t want = is_64 ? sizeof(Elf64_Phdr) : sizeof(Elf32_Phdr);
    if (h->e_phnum == 0 || h->e_phnum > PHDRS_MAX || h->e_phentsize != want)
        return error_set(err, -ENOEXEC, "broken ELF header: %u program headers of %u bytes", h->e_phnum, h->e_phentsize);
    if (h->e_phoff > len || len - h->e_phoff < h->e_phnum * want)
        return error_set(err, -ENOEXEC, "truncated: the ELF program headers are at byte %" PRIu64 ", the file has %zu",
                         (uint64_t)h->e_phoff, len);
    return 0;
}

static int add_segment(struct elfkernel *elf, const struct phdr *ph, struct error *err)
{
    uint64_t end;
    if (ph->memsz == 0)
        return 0;
    if (ph->filesz > ph->memsz || ckd_add(&end, ph->paddr, ph->memsz))
        return error_set(err, -ENOEXEC, "broken ELF segment: %#" PRIx64 " bytes in the file, %#" PRIx64 " in memory at %#" PRIx64,
                         ph->filesz, ph->memsz, ph->paddr);
    if (elf->nr_segments == ELFKERNEL_SEGMENTS_MAX)
        return error_set(err, -ENOEXEC, "an ELF file with more than %d loadable segments", ELFKERNEL_SEGMENTS_MAX);
    if (elf->nr_segments == 0 || ph->paddr < elf->extent.start)
        elf->extent.start = ph->paddr;
    elf->extent.end = MAX(elf->extent.end, end);
    elf->segment[elf->nr_segments++] = (struct elfkernel_segment){
        .offset = ph->offset,
        .file_size = ph->filesz,
        .vaddr = ph->vaddr,
        .paddr = ph->paddr,
        .mem_size = ph->memsz,
    };
    return 0;
}

/* Looks for the PVH entry among the notes of a PT_NOTE segment that lies inside the file; broken notes end the search. */
static void scan_notes(struct elfkernel *elf, uint64_t at, uint64_t size)
{
    const uint64_t end = at + size;
    for (unsigned i = 0; i < NOTES_MAX && end - at >= sizeof(Elf64_Nhdr); i++) {
        Elf64_Nhdr n; /* the same in both classes */
        memcpy(&n, elf->data + at, sizeof(n));
        at += sizeof(n);
        uint64_t name_room = ALIGN_UP((uint64_t)n.n_namesz, 4);
        uint64_t desc_room = ALIGN_UP((uint64_t)n.n_descsz, 4);
        if (name_room > end - at || n.n_descsz > end - at - name_room)
            return;
        const uint8_t *desc = elf->data + at + name_room;
        if (n.n_type == NOTE_PHYS32_ENTRY && n.n_namesz == 4 && memcmp(elf->data + at, "Xen", 4) == 0
            && (n.n_descsz == 4 || n.n_descsz == 8)) {
            elf->has_pvh = true;
            elf->pvh_entry = 0;
            memcpy(&elf->pvh_entry, desc, n.n_descsz);
            return;
        }
        at += name_room + MIN(desc_room, end - at - name_room);
    }
}

static int read_segment(struct elfkernel *elf, const struct phdr *ph, unsigned index, struct error *err)
{
    if (ph->type == PT_INTERP || ph->type == PT_TLS)
        elf->is_user_program = true;
    if (ph->type != PT_LOAD && ph->type != PT_NOTE)
        return 0;
    if (ph->offset > elf->len || ph->filesz > elf->len - ph->offset)
        return error_set(err, -ENOEXEC, "truncated: ELF segment %u needs %#" PRIx64 " bytes at %#" PRIx64 ", the file has %#zx",
                         index, ph->filesz, ph->offset, elf->len);
    if (ph->type == PT_LOAD)
        return add_segment(elf, ph, err);
    if (!elf->has_pvh)
        scan_notes(elf, ph->offset, ph->filesz);
    return 0;
}

bool elfkernel_detect(const void *data, size_t len)
{
    return len >= SELFMAG && memcmp(data, ELFMAG, SELFMAG) == 0;
}

/* The file whose identification is good. */
static int parse(const void *data, size_t len, struct elfkernel *ret_elf, struct error *err)
{
    int r;
    const Elf64_Ehdr h = read_ehdr(data);
    struct elfkernel elf = {
        .data = data,
        .len = len,
        .is_64 = ((const uint8_t *)data)[EI_CLASS] == ELFCLASS64,
        .is_executable = h.e_type == ET_EXEC,
        .entry = h.e_entry,
    };
    r = check_ehdr(&h, len, elf.is_64, err);
    for (unsigned i = 0; r >= 0 && i < h.e_phnum; i++) {
        struct phdr ph = read_phdr(elf.data + h.e_phoff + (uint64_t)i * h.e_phentsize, elf.is_64);
        r = read_segment(&elf, &ph, i, err);
    }
    if (r < 0)
        return r;
    if (elf.nr_segments == 0)
        return error_set(err, -ENOEXEC, "an ELF file without loadable segments");
    *ret_elf = elf;
    return 0;
}

int elfkernel_parse(const void *data, size_t len, struct elfkernel *ret_elf, struct error *err)
{
    int r = check_ident(data, len, "x86-64", err);
    if (r == 0)
        r = check_x86(data, err);
    return r < 0 ? r : parse(data, len, ret_elf, err);
}

int elfkernel_parse_riscv(const void *data, size_t len, struct elfkernel *ret_elf, struct error *err)
{
    int r = check_ident(data, len, "riscv64", err);
    if (r == 0)
        r = check_riscv(data, err);
    return r < 0 ? r : parse(data, len, ret_elf, err);
}

int elfkernel_entry(const struct elfkernel *elf, gpa_t *ret_entry, struct error *err)
{
    for (unsigned i = 0; i < elf->nr_segments; i++) {
        const struct elfkernel_segment *s = &elf->segment[i];
        if (elf->entry - s->paddr < s->mem_size) {
            *ret_entry = elf->entry;
            return 0;
        }
    }
    for (unsigned i = 0; i < elf->nr_segments; i++) {
        const struct elfkernel_segment *s = &elf->segment[i];
        if (elf->entry - s->vaddr < s->mem_size) {
            *ret_entry = elf->entry - s->vaddr + s->paddr;
            return 0;
        }
    }
    return error_set(err, -ENOEXEC, "the ELF entry %#" PRIx64 " is in none of its segments", elf->entry);
}

int elfkernel_check_range(const struct mem_range *map, unsigned nr_map, gpa_t base, uint64_t size, struct error *err)
{
    if (x86_boot_check_ram(map, nr_map, base, size) < 0)
        return error_set(err, -ENOMEM,
                         "it needs RAM at %#" PRIx64 "-%#" PRIx64 ", RAM below 4 GiB ends at %#" PRIx64
                         " (give the machine more memory)",
                         base, base + size - 1, x86_boot_low_ram_end(map, nr_map));
    if (base < X86_BOOT_END && base + size > X86_BOOT_BASE)
        return error_set(err, -ENOMEM, "it wants to be loaded at %#" PRIx64 ", where the boot tables are (%#x-%#x)", base,
                         X86_BOOT_BASE, X86_BOOT_END - 1);
    return 0;
}

int elfkernel_load(struct gmem *gm, const struct elfkernel *elf, const struct mem_range *map, unsigned nr_map, struct error *err)
{
    for (unsigned i = 0; i < elf->nr_segments; i++) {
        int r = elfkernel_check_range(map, nr_map, elf->segment[i].paddr, elf->segment[i].mem_size, err);
        if (r < 0)
            return r;
    }
    for (unsigned i = 0; i < elf->nr_segments; i++) {
        const struct elfkernel_segment *s = &elf->segment[i];
        uint8_t *p = gmem_pin(gm, s->paddr, s->mem_size); /* before the CPU runs: there are no code marks to note */
        if (!p)
            return error_set(err, -ENOMEM, "no RAM for the segment at %#" PRIx64, s->paddr);
        gmem_make(p, s->file_size);
        memcpy(p, elf->data + s->offset, s->file_size);
        memset(p + s->file_size, 0, s->mem_size - s->file_size);
    }
    return 0;
}
