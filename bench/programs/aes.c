/* SPDX-License-Identifier: MIT */
/*
 * AES-128 in plain C with one table: byte extraction and table lookups. Spec: FIPS 197
 */
#include "../bench.h"

static uint8_t sbox[256];
static uint32_t table[256], key[44];

static uint8_t times2(uint8_t x)
{
    return (uint8_t)(x << 1 ^ (x & 0x80 ? 0x1b : 0));
}

static uint32_t rol(uint32_t x, unsigned n)
{
    return n ? x << n | x >> (32 - n) : x;
}

static void set_up(void)
{
    uint8_t p = 1, q = 1;
    do { /* p runs through all values but 0, q is its inverse */
        p = (uint8_t)(p ^ times2(p));
        q = (uint8_t)(q ^ q << 1);
        q = (uint8_t)(q ^ q << 2);
        q = (uint8_t)(q ^ q << 4);
        q = (uint8_t)(q ^ (q & 0x80 ? 9 : 0));
        sbox[p] = (uint8_t)(q ^ (q << 1 | q >> 7) ^ (q << 2 | q >> 6) ^ (q << 3 | q >> 5) ^ (q << 4 | q >> 4) ^ 0x63);
    } while (p != 1);
    sbox[0] = 0x63;
    for (unsigned k = 0; k < 256; k++) {
        uint8_t s = sbox[k], d = times2(s);
        table[k] = d | (uint32_t)s << 8 | (uint32_t)s << 16 | (uint32_t)(s ^ d) << 24;
    }
    for (unsigned k = 0; k < 44; k++)
        key[k] = (uint32_t)random_next();
}

static uint32_t column(const uint32_t *s, unsigned c)
{
    return table[s[c] & 0xff] ^ rol(table[s[(c + 1) & 3] >> 8 & 0xff], 8) ^ rol(table[s[(c + 2) & 3] >> 16 & 0xff], 16)
           ^ rol(table[s[(c + 3) & 3] >> 24], 24);
}

static void encrypt(uint32_t *s)
{
    uint32_t t[4];
    for (unsigned c = 0; c < 4; c++)
        s[c] ^= key[c];
    for (unsigned round = 1; round < 10; round++) {
        for (unsigned c = 0; c < 4; c++)
            t[c] = column(s, c) ^ key[4 * round + c];
        memcpy(s, t, sizeof(t));
    }
    for (unsigned c = 0; c < 4; c++)
        t[c] = (sbox[s[c] & 0xff] | (uint32_t)sbox[s[(c + 1) & 3] >> 8 & 0xff] << 8
                | (uint32_t)sbox[s[(c + 2) & 3] >> 16 & 0xff] << 16 | (uint32_t)sbox[s[(c + 3) & 3] >> 24] << 24)
               ^ key[40 + c];
    memcpy(s, t, sizeof(t));
}

static uint64_t unit(unsigned n)
{
    uint32_t s[4] = { n, 1, 2, 3 };
    for (unsigned k = 0; k < 6000; k++)
        encrypt(s);
    return s[0] | (uint64_t)s[3] << 32;
}
