/* SPDX-License-Identifier: MIT */
/*
 * CRC-32 by bytes: a table lookup that depends on the one before.
 */
#include "../bench.h"

static uint32_t table[256];
static uint8_t data[1 << 16];

static void set_up(void)
{
    for (uint32_t k = 0; k < 256; k++) {
        uint32_t c = k;
        for (unsigned b = 0; b < 8; b++)
            c = c & 1 ? c >> 1 ^ 0xedb88320 : c >> 1;
        table[k] = c;
    }
    for (unsigned k = 0; k < sizeof(data); k++)
        data[k] = (uint8_t)random_next();
}

static uint64_t unit(unsigned n)
{
    uint32_t crc = ~n;
    for (unsigned round = 0; round < 6; round++)
        for (unsigned k = 0; k < sizeof(data); k++)
            crc = crc >> 8 ^ table[(crc ^ data[k]) & 0xff];
    return crc;
}
