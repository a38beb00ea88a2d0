/* SPDX-License-Identifier: MIT */
/*
 * Writes what our decoder makes of instruction words: one line "text" for each line "hex word" of stdin; "-" where the row's
 * extension is one of Zicond, Zfa, Zabha, Zacas, Zawrs, Zicbom, Zicbop, Zicboz, Svinval, Zvbb, Zvkb, which the other side may not
 * know.
 */
#include <inttypes.h>
#include <stdio.h>

#include "isa/riscv/disasm.h"

static bool is_new(enum riscv_ext e)
{
    return e == RISCV_EXT_ZICOND || e == RISCV_EXT_ZFA || e == RISCV_EXT_ZABHA || e == RISCV_EXT_ZACAS || e == RISCV_EXT_ZAWRS
           || e == RISCV_EXT_ZICBOM || e == RISCV_EXT_ZICBOP || e == RISCV_EXT_ZICBOZ || e == RISCV_EXT_SVINVAL
           || e == RISCV_EXT_ZVBB || e == RISCV_EXT_ZVKB;
}

int main(void)
{
    uint32_t word;
    while (scanf("%" SCNx32, &word) == 1) {
        struct riscv_insn i;
        char text[128];
        riscv_decode(word, NULL, &i);
        (void)riscv_disasm(&i, text, sizeof(text));
        bool unknown = i.row != RISCV_ROW_NONE && is_new((enum riscv_ext)riscv_rows[i.row].ext[0]);
        (void)printf("%s\n", unknown ? "-" : text);
    }
    return 0;
}
