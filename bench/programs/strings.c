/* SPDX-License-Identifier: MIT */
/*
 * Splits a text in words, copies, compares and searches them, with loops of its own and the C library's functions.
 */
#include "../bench.h"

enum { TEXT = 24000 };
static char text[TEXT + 1], copy[TEXT + 1];

static void set_up(void)
{
    for (unsigned k = 0; k < TEXT; k++) {
        unsigned r = random_next() % 32;
        text[k] = r < 26 ? (char)('a' + r) : r == 31 ? '\n' : ' ';
    }
}

static unsigned upper_words(char *to, const char *from)
{
    unsigned words = 0;
    char last = ' ';
    for (; *from; from++) {
        if (last == ' ' && *from != ' ')
            words++;
        *to++ = last == ' ' && *from >= 'a' ? (char)(*from - 32) : *from;
        last = *from;
    }
    *to = 0;
    return words;
}

static uint64_t unit(unsigned n)
{
    uint64_t sum = 0;
    for (unsigned k = 0; k < 8; k++)
        sum += upper_words(copy, text + k);
    char needle[] = "abc";
    for (unsigned k = 0; k < 32; k++) {
        needle[2] = (char)('a' + (n + k) % 26);
        for (const char *at = text; (at = strstr(at, needle)); at++)
            sum += (unsigned)(at - text);
    }
    for (const char *at = text; (at = strchr(at, '\n')); at++)
        sum += strlen(at) + (unsigned)strncmp(at, copy + (at - text), 8);
    return sum;
}
