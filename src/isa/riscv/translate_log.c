/* SPDX-License-Identifier: MIT */
/*
 * Listing of the RISC-V translator's work: guest instructions as our decoder understood them, host code as Zydis does.
 *
 * Instructions that were translated together have their host code below the last of them.
 */
#include "isa/riscv/translate_log.h"

#include <inttypes.h>
#include <stdio.h>

#include "base/checked.h"
#include "isa/riscv/disasm.h"

enum { TEXT_MAX = 96 };

static const char *const BANK_NAME[RISCV_BANK_NR] = {
    [RISCV_BANK_U] = "user",    [RISCV_BANK_S] = "supervisor", [RISCV_BANK_S_SUM] = "supervisor-sum",
    [RISCV_BANK_M] = "machine", [RISCV_BANK_BARE] = "unpaged",
};

int riscv_code_log_new(struct riscv_code *code, const char *dir, unsigned cpu, struct error *err)
{
    const struct {
        const char *name;
        const uint8_t *begin;
    } stubs[] = {
        { "entry", code->cb.rx },
        { "exit", code->stub_exit[0] },
        { "call-out", code->stub_callout[0] },
        { "miss of all", code->stub_slow[0] },
        { "exit with floating point", code->stub_exit[1] },
        { "call-out with floating point", code->stub_callout[1] },
        { "miss of all with floating point", code->stub_slow[1] },
        { "far jump", code->stub_jump[0] },
    };
    int r = codelog_new(dir, cpu, false, &code->log, err);
    for (unsigned k = 0; r == 0 && k < ARRAY_SIZE(stubs); k++)
        codelog_stub(code->log, &code->cb, stubs[k].name, stubs[k].begin,
                     k + 1 < ARRAY_SIZE(stubs) ? stubs[k + 1].begin : code->cb.rx + code->base);
    return r;
}

static void list_body(const struct rvx *x, const struct riscv_native *n)
{
    struct codelog *log = x->code->log;
    const size_t end = (size_t)(n->end - x->cb->rx);
    codelog_range(log, x->cb, x->checked, x->entry);
    for (unsigned k = 0; k < x->nr; k++) {
        char text[TEXT_MAX];
        (void)riscv_disasm(&x->insn[k].i, text, sizeof(text)); /* cut: it is for people */
        (void)fprintf(codelog_listing(log), "    0x%" PRIx64 "  %s\n", x->insn[k].pc, text);
        const bool together = k + 1 < x->nr && x->at[k + 1] == x->at[k];
        if (!together)
            codelog_range(log, x->cb, x->entry + x->at[k], k + 1 < x->nr ? x->entry + x->at[k + 1] : end);
    }
}

void riscv_code_log(const struct rvx *x, const struct riscv_native *n, size_t cold)
{
    struct codelog *log = x->code->log;
    const struct codebuf *cb = x->cb;
    const size_t cold_end = x->code->cold;
    char name[TEXT_MAX];
    const uint64_t ram = n->page[0]->page << GPAGE_SHIFT | (n->pc & ~GPAGE_MASK);
    (void)snprintf(name, sizeof(name), "guest %s%s%s 0x%" PRIx64 " ram 0x%" PRIx64, BANK_NAME[x->bank],
                   x->fp ? " with floating point" : "", x->plain ? " without groups" : "", n->pc, ram);
    codelog_map(log, n->checked, n->end, name);
    codelog_map(log, cb->rx + cold, cb->rx + cold_end, name);
    (void)fprintf(codelog_listing(log), "\n#%" PRIu64 " %s: %u instructions, %zu bytes of host code and %zu out of line\n",
                  x->code->translated, name, x->nr, (size_t)(n->end - n->checked), cold_end - cold);
    list_body(x, n);
    (void)fprintf(codelog_listing(log), "    out of line\n");
    codelog_range(log, cb, cold, cold_end);
}
