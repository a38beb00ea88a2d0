/* SPDX-License-Identifier: MIT */
/*
 * The compiled DSDT (dsdt.asl) as bytes, built into doppel.
 */
#ifndef DOPPEL_MACHINE_DSDT_H
#define DOPPEL_MACHINE_DSDT_H

/* A whole table with header and checksum. */
extern const unsigned char dsdt_aml[];
extern const unsigned long dsdt_aml_len;

#endif
