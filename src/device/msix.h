/* SPDX-License-Identifier: MIT */
/*
 * MSI-X: the capability, the table of messages and the pending bits of a PCI function.
 *
 * A vector that is masked, alone or with its function, is remembered in its pending bit and sent when the mask goes. The
 * device puts table and pending bits into one of its memory BARs and passes accesses on. MSIX_VECTORS_MAX vectors at most,
 * so that the pending bits are one word.
 * Spec: PCI Local Bus 3.0, 6.8.2.
 */
#ifndef DOPPEL_DEVICE_MSIX_H
#define DOPPEL_DEVICE_MSIX_H

#include "device/pci.h"

enum { MSIX_VECTORS_MAX = 32, MSIX_ENTRY_SIZE = 16, MSIX_PBA_SIZE = 8 };

struct msix {
    struct pci_func *func; /* borrowed (the device embeds both) */
    uint8_t cap;           /* offset of the capability */
    unsigned nr;           /* vectors */
    struct msi_sink sink;
    /* state, besides the enable and mask bits in func->config */
    uint32_t table[MSIX_VECTORS_MAX * MSIX_ENTRY_SIZE / 4];
    uint32_t pending; /* a bit a vector */
};

extern const struct state_desc msix_state;

/* Adds the capability: nr vectors, table and pending bits at these offsets (multiples of 8) of BAR `bar`. The sink is copied. */
void msix_init(struct msix *msix, struct pci_func *func, unsigned nr, unsigned bar, uint32_t table, uint32_t pba,
               const struct msi_sink *sink);
/* All masked, disabled, nothing pending. */
void msix_reset(struct msix *msix);
/* The guest uses MSI-X instead of INTx. */
bool msix_enabled(const struct msix *msix);
/* Sends vector n, or keeps it pending; nothing when MSI-X is off or there is no such vector. */
void msix_fire(struct msix *msix, unsigned n);
/* Accesses to the table and the pending bits; offset from their start, size 1, 2 or 4; only aligned doublewords count. */
uint32_t msix_table_read(const struct msix *msix, uint64_t offset, unsigned size);
void msix_table_write(struct msix *msix, uint64_t offset, uint32_t value, unsigned size);
uint32_t msix_pba_read(const struct msix *msix, uint64_t offset, unsigned size);
/* For the device's `written` hook. */
void msix_config_written(struct msix *msix, unsigned offset, unsigned size);

#endif
