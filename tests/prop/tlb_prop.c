/* SPDX-License-Identifier: MIT */
/*
 * Law: what the TLB answers is what a page walk says, as long as the guest invalidates what it changes.
 *
 * Random page tables over a small window are changed at random, each change followed by INVLPG, a CR3 write or a full flush;
 * every access is then compared with a fresh walk: allowed or not, error code, and the byte that is read.
 *
 * usage: tlb_prop [CASES [SEED]]
 */
#include "support/bare_x86.h"

#include <stdio.h>
#include <stdlib.h>

enum { PT = BARE_TABLES + 0x3000, PAGES = 64, FRAMES = 200, P = 1, W = 2, U = 4, G = 0x100 };
#define NX (1ULL << 63)

static uint64_t rng;

static uint64_t below(uint64_t n)
{
    rng ^= rng << 13;
    rng ^= rng >> 7;
    rng ^= rng << 17;
    return rng % n;
}

static uint64_t random_entry(void)
{
    uint64_t e = below(FRAMES) << 12;
    e |= below(8) ? P : 0;
    e |= below(3) ? W : 0;
    e |= below(2) ? U : 0;
    e |= below(4) ? 0 : G;
    return e | (below(4) ? 0 : NX);
}

static void change(struct bare *b)
{
    uint64_t page = below(PAGES);
    bare_poke64(b, PT + 8 * page, random_entry());
    switch (below(8)) {
    case 0: x86_tlb_flush_all(b->c); break;
    case 1: /* a CR3 write without PCIDs; global pages need INVLPG all the same */
        x86_tlb_flush_page(b->c, page << 12);
        x86_tlb_switch(b->c, false);
        break;
    default: x86_tlb_flush_page(b->c, (page << 12) + below(4096)); break;
    }
}

/* True when TLB and walk agree on one byte. */
static bool agree(struct bare *b, gva_t lin, enum x86_access access, enum x86_tlb_bank bank)
{
    struct x86_walk w;
    uint32_t fault = x86_walk(b->c, lin, access, bank, &w);
    volatile uint64_t got = 0;
    uint8_t want = 0;
    bool raised;
    if (access == X86_WRITE)
        raised = RAISES(b->c, x86_lin_write(b->c, lin, lin & 0xff, 1, bank));
    else
        raised = RAISES(b->c, got = x86_lin_read(b->c, lin, 1, bank));
    if (raised)
        return fault && b->c->trap.vector == X86_PF && b->c->trap.error == (fault & 0x7fffffff) && b->c->trap.cr2 == lin;
    if (fault || gmem_read(&b->vm.gmem, w.gpa, &want, 1))
        return false;
    return access == X86_WRITE ? want == (lin & 0xff) : got == want;
}

int main(int argc, char **argv)
{
    static struct bare b;
    uint64_t cases = argc > 1 ? strtoull(argv[1], NULL, 0) : 2000000;
    rng = argc > 2 ? strtoull(argv[2], NULL, 0) : 0x9e3779b97f4a7c15;
    printf("seed %#lx\n", (unsigned long)rng);
    bare_init(&b);
    bare_long(&b);
    for (uint64_t page = 0; page < FRAMES; page++)
        for (uint64_t k = 0; k < 4096; k += 8)
            bare_poke64(&b, page << 12 | k, page * 0x0101010101010101 ^ k);
    for (uint64_t n = 0; n < cases; n++) {
        if (!below(4))
            change(&b);
        gva_t lin = below(PAGES) << 12 | below(4096);
        enum x86_access access = below(3) ? X86_READ : X86_WRITE;
        enum x86_tlb_bank bank = (enum x86_tlb_bank)below(X86_BANK_NR);
        if (!agree(&b, lin, access, bank)) {
            printf("case %lu: %s of %#lx in bank %d disagrees with the walk\n", (unsigned long)n,
                   access == X86_READ ? "read" : "write", (unsigned long)lin, (int)bank);
            return 1;
        }
    }
    printf("%lu cases agree\n", (unsigned long)cases);
    bare_done(&b);
    return 0;
}
