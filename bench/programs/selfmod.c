/* SPDX-License-Identifier: MIT */
/*
 * A loop that rewrites an instruction of its own before every iteration.
 */
#include "../bench.h"

#include <sys/mman.h>

static uint8_t *code;

static void set_up(void)
{
    /* top: mov [rip + imm of add], esi; add rax, imm32; inc esi; dec edi; jnz top; ret */
    static const uint8_t bytes[] = {
        0x48, 0x31, 0xc0,                   /* xor rax, rax */
        0x89, 0x35, 0x02, 0x00, 0x00, 0x00, /* top: mov [rip + 2], esi */
        0x48, 0x05, 0,    0,    0,    0,    /* add rax, imm32 */
        0xff, 0xc6, 0xff, 0xcf,             /* inc esi; dec edi */
        0x75, 0xee,                         /* jnz top */
        0xc3,
    };
    code = mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (code == MAP_FAILED)
        fail("mmap");
    memcpy(code, bytes, sizeof(bytes));
}

static uint64_t unit(unsigned n)
{
    uint64_t (*f)(uint32_t, uint32_t) = (uint64_t(*)(uint32_t, uint32_t))(uintptr_t)code;
    return f(4000, n);
}
