/* SPDX-License-Identifier: MIT */
/*
 * Finds the Linux partitions of a disk with an MBR or GPT.
 *
 * Primary partitions and, of an MBR, logical ones. Numbers are those of Linux: 1 to 4 are primary, logical ones begin with 5. A
 * table that is damaged yields what is intact. Spec: UEFI 2.10, 5.
 */
#ifndef DOPPEL_MACHINE_PARTITION_H
#define DOPPEL_MACHINE_PARTITION_H

#include <stdint.h>

#include "base/error.h"

struct disk_reader;

enum { PARTITIONS_MAX = 32 };

struct partition {
    unsigned number;
    uint64_t start, size; /* bytes; inside the disk */
};

/* Linux partitions in the order of the table; returns how many (0: no table, or none in it), or the disk's error. */
MUST_CHECK int partition_find(struct disk_reader *disk, struct partition ret_partitions[PARTITIONS_MAX], struct error *err);

#endif
