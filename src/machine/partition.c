/* SPDX-License-Identifier: MIT */
/*
 * Implementation of the search for partitions.
 */
#include "machine/partition.h"

#include <stdbool.h>
#include <string.h>

#include "base/checked.h"
#include "machine/disk_reader.h"

enum { SECTOR = 512, MBR_TABLE = 446, MBR_ENTRY = 16, MBR_ENTRIES = 4, MBR_MAGIC = 510 };
enum { MBR_LINUX = 0x83, MBR_EXTENDED = 0x05, MBR_EXTENDED_LBA = 0x0f, MBR_EXTENDED_LINUX = 0x85, MBR_GPT = 0xee };
enum { GPT_ENTRIES_MAX = 256, GPT_ENTRY_MIN = 128, GPT_ENTRY_MAX = 4096, GUID_SIZE = 16 };

/* Linux file system data; root of x86-64 (Discoverable Partitions Specification). On disk, the first three fields are
 * little-endian. */
static const uint8_t linux_types[][GUID_SIZE] = {
    { 0xaf, 0x3d, 0xc6, 0x0f, 0x83, 0x84, 0x72, 0x47, 0x8e, 0x79, 0x3d, 0x69, 0xd8, 0x47, 0x7d, 0xe4 },
    { 0xe3, 0xbc, 0x68, 0x4f, 0xcd, 0xe8, 0xb1, 0x4d, 0x96, 0xe7, 0xfb, 0xca, 0xf9, 0x84, 0xb7, 0x09 },
};

struct found {
    struct disk_reader *disk;
    struct partition *list;
    unsigned nr;
};

static uint32_t le32(const uint8_t *p)
{
    return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static uint64_t le64(const uint8_t *p)
{
    return le32(p) | (uint64_t)le32(p + 4) << 32;
}

/* Takes a partition that lies in the disk; start and size in sectors. */
static void add(struct found *f, unsigned number, uint64_t start, uint64_t sectors)
{
    const uint64_t total = disk_reader_size(f->disk) / SECTOR;
    if (f->nr < PARTITIONS_MAX && start > 0 && sectors > 0 && start < total && sectors <= total - start)
        f->list[f->nr++] = (struct partition){ .number = number, .start = start * SECTOR, .size = sectors * SECTOR };
}

static bool has_magic(const uint8_t sector[SECTOR])
{
    return sector[MBR_MAGIC] == 0x55 && sector[MBR_MAGIC + 1] == 0xaa;
}

static bool is_extended(uint8_t type)
{
    return type == MBR_EXTENDED || type == MBR_EXTENDED_LBA || type == MBR_EXTENDED_LINUX;
}

/* The chain of logical partitions: each link names a partition, by its distance from the link, and the next link, by its distance
 * from the first. */
static int find_logical(struct found *f, uint64_t first, struct error *err)
{
    uint64_t at = first;
    for (unsigned number = MBR_ENTRIES + 1; number < MBR_ENTRIES + 1 + PARTITIONS_MAX; number++) {
        uint8_t link[SECTOR];
        if (at >= disk_reader_size(f->disk) / SECTOR)
            return 0;
        int r = disk_reader_read(f->disk, at * SECTOR, link, sizeof(link), err);
        if (r < 0 || !has_magic(link))
            return r;
        const uint8_t *e = link + MBR_TABLE, *next = e + MBR_ENTRY;
        if (e[4] == MBR_LINUX)
            add(f, number, at + le32(e + 8), le32(e + 12));
        if (!is_extended(next[4]) || le32(next + 8) == 0)
            return 0;
        at = first + le32(next + 8);
    }
    return 0;
}

static int find_mbr(struct found *f, const uint8_t mbr[SECTOR], struct error *err)
{
    uint64_t extended = 0;
    for (unsigned i = 0; i < MBR_ENTRIES; i++) {
        const uint8_t *e = mbr + MBR_TABLE + i * MBR_ENTRY;
        if (e[4] == MBR_LINUX)
            add(f, i + 1, le32(e + 8), le32(e + 12));
        else if (is_extended(e[4]) && !extended)
            extended = le32(e + 8);
    }
    return extended ? find_logical(f, extended, err) : 0;
}

static bool is_linux_type(const uint8_t type[GUID_SIZE])
{
    for (unsigned i = 0; i < ARRAY_SIZE(linux_types); i++)
        if (memcmp(type, linux_types[i], GUID_SIZE) == 0)
            return true;
    return false;
}

static int find_gpt(struct found *f, struct error *err)
{
    uint8_t header[SECTOR], e[GPT_ENTRY_MIN];
    if (disk_reader_size(f->disk) < 2 * SECTOR)
        return 0;
    int r = disk_reader_read(f->disk, SECTOR, header, sizeof(header), err);
    const uint64_t table = le64(header + 72);
    const uint32_t nr = MIN(le32(header + 80), (uint32_t)GPT_ENTRIES_MAX), size = le32(header + 84);
    if (r < 0 || memcmp(header, "EFI PART", 8) != 0 || size < GPT_ENTRY_MIN || size > GPT_ENTRY_MAX
        || table >= disk_reader_size(f->disk) / SECTOR)
        return r;
    for (uint32_t i = 0; i < nr; i++) {
        const uint64_t at = table * SECTOR + (uint64_t)i * size;
        if (at + sizeof(e) > disk_reader_size(f->disk))
            return 0;
        r = disk_reader_read(f->disk, at, e, sizeof(e), err);
        if (r < 0)
            return r;
        const uint64_t first = le64(e + 32), last = le64(e + 40);
        if (is_linux_type(e) && last >= first && last - first < UINT64_MAX)
            add(f, i + 1, first, last - first + 1);
    }
    return 0;
}

int partition_find(struct disk_reader *disk, struct partition ret_partitions[PARTITIONS_MAX], struct error *err)
{
    struct found f = { .disk = disk, .list = ret_partitions };
    uint8_t mbr[SECTOR];
    if (disk_reader_size(disk) < SECTOR)
        return 0;
    int r = disk_reader_read(disk, 0, mbr, sizeof(mbr), err);
    if (r < 0 || !has_magic(mbr))
        return r;
    bool gpt = false;
    for (unsigned i = 0; i < MBR_ENTRIES; i++)
        gpt |= mbr[MBR_TABLE + i * MBR_ENTRY + 4] == MBR_GPT;
    r = gpt ? find_gpt(&f, err) : find_mbr(&f, mbr, err);
    return r < 0 ? r : (int)f.nr;
}
