/* SPDX-License-Identifier: MIT */
/*
 * What JIT compilers do: writes small functions, calls each a few thousand times, writes others over them.
 */
#include "../bench.h"

#include <sys/mman.h>

enum { FUNCTIONS = 64, BYTES = 64 };
static uint8_t *code;

static void set_up(void)
{
    code = mmap(NULL, FUNCTIONS * BYTES, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (code == MAP_FAILED)
        fail("mmap");
}

/* x -> x op a op b ..., eight operations with constants */
static void write_function(uint8_t *p, uint64_t seed)
{
    static const uint8_t op[] = { 0x05, 0x2d, 0x35 }; /* add, sub, xor rax, imm32 */
    *p++ = 0x48, *p++ = 0x89, *p++ = 0xf8;            /* mov rax, rdi */
    for (unsigned k = 0; k < 8; k++) {
        uint32_t imm = (uint32_t)(seed * (k + 3)) & 0x7fffffff;
        *p++ = 0x48, *p++ = op[(seed >> k) % 3];
        memcpy(p, &imm, 4);
        p += 4;
    }
    *p = 0xc3;
}

static uint64_t unit(unsigned n)
{
    uint64_t x = n;
    for (unsigned k = 0; k < FUNCTIONS; k++) {
        uint8_t *at = code + k * BYTES;
        write_function(at, random_next());
        uint64_t (*f)(uint64_t) = (uint64_t(*)(uint64_t))(uintptr_t)at;
        for (unsigned round = 0; round < 3000; round++)
            x = f(x);
    }
    return x;
}
