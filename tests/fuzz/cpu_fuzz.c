/* SPDX-License-Identifier: MIT */
/*
 * Fuzzes the CPU as a hostile guest would: random code in random states and modes, run for a while under `interp`.
 *
 * Whatever happens inside is the guest's business; the monitor must not crash, hang, or leave a state that breaks its own
 * rules (checked after each case). Also the decoder's: what it accepts is 1 to 15 bytes and no longer than it was given.
 */
#include "support/bare_x86.h"

#include <signal.h>
#include <sys/time.h>

#include "isa/x86/decode.h"
#include "isa/x86/disasm.h"
#include "fuzz.h"

#define CHECK(cond)                                                                                                              \
    do {                                                                                                                         \
        if (!(cond)) {                                                                                                           \
            printf("case %lu: " #cond " does not hold\n", (unsigned long)f->cases);                                              \
            abort();                                                                                                             \
        }                                                                                                                        \
    } while (0)

/* Bytes that are likely to be instructions: prefixes and maps, then noise. */
static void random_code(struct fuzz *f, uint8_t *code, unsigned len)
{
    static const uint8_t likely[] = { 0x66, 0x67, 0xf2, 0xf3, 0xf0, 0x0f, 0x0f, 0x0f, 0x48, 0x41, 0x4c, 0xc5,
                                      0xc4, 0x62, 0x2e, 0x64, 0x8e, 0xcf, 0xcd, 0xff, 0xd9, 0xdd, 0xf7, 0xc7 };
    for (unsigned k = 0; k < len; k++)
        code[k] = fuzz_below(f, 4) ? (uint8_t)fuzz_u64(f) : likely[fuzz_below(f, sizeof(likely))];
}

static void fuzz_decode(struct fuzz *f)
{
    uint8_t code[16];
    char text[128];
    struct x86_insn i;
    random_code(f, code, sizeof(code));
    unsigned given = 1 + (unsigned)fuzz_below(f, 15);
    uint8_t *exact = malloc(given); /* so that ASan sees a read beyond */
    memcpy(exact, code, given);
    int len = x86_decode(exact, given, (enum x86_mode)fuzz_below(f, 3), &i);
    free(exact);
    CHECK(len >= X86_DECODE_LONG && len <= (int)given && len != 0);
    if (len > 0) {
        CHECK(i.len == len && i.row > 0 && i.row < x86_nr_rows && i.nr_opnds <= X86_OPNDS && i.step);
        (void)x86_disasm(&i, 0x1000, text, sizeof(text));
    }
}

/* A number that tends to be an address in RAM, a boundary, or a small one. */
static uint64_t random_value(struct fuzz *f)
{
    switch (fuzz_below(f, 5)) {
    case 0: return fuzz_below(f, BARE_RAM);
    case 1: return BARE_DATA + fuzz_below(f, 4096);
    case 2: return (1ULL << fuzz_below(f, 64)) - fuzz_below(f, 3);
    case 3: return fuzz_below(f, 256);
    default: return fuzz_u64(f);
    }
}

static void random_mode(struct fuzz *f, struct bare *b)
{
    struct x86_cpu *c = b->c;
    bare_long(b);
    switch (fuzz_below(f, 5)) {
    case 0: /* 16-bit real */
        c->cr0 = CR0_ET;
        c->cr4 = c->efer = 0;
        for (unsigned s = 0; s <= SEG_GS; s++)
            c->seg[s] = (struct x86_seg){ .sel = 0x1000, .base = 0x10000, .limit = 0xffff, .attr = 0x93 };
        c->rip = 0;
        break;
    case 1: /* 32-bit flat */
        c->cr0 = CR0_PE | CR0_ET | CR0_NE;
        c->efer = 0;
        bare_segment(c, SEG_CS, 8, SEG_P | SEG_S | SEG_TYPE_CODE | SEG_TYPE_RW | SEG_TYPE_A | SEG_DB | SEG_G);
        break;
    case 2: /* user, 64-bit */
        c->seg[SEG_CS].attr |= SEG_DPL;
        c->seg[SEG_SS].attr |= SEG_DPL;
        break;
    default: break;
    }
    if (!fuzz_below(f, 3))
        c->cr4 |= CR4_OSXSAVE;
    if (!fuzz_below(f, 8))
        c->rflags |= FLAG_TF;
    if (!fuzz_below(f, 4))
        c->rflags |= FLAG_IF;
}

static void fuzz_run(struct fuzz *f, struct bare *b)
{
    struct x86_cpu *c = b->c;
    uint8_t code[64];
    x86_cpu_reset(c);
    random_mode(f, b);
    random_code(f, code, sizeof(code));
    bare_code(b, BARE_CODE, code, sizeof(code));
    for (unsigned r = 0; r < 16; r++)
        if (r != RSP || !fuzz_below(f, 8))
            c->gpr[r] = random_value(f);
    c->gdtr = (struct x86_table_reg){ .base = fuzz_below(f, 2) ? BARE_DATA : random_value(f), .limit = (uint16_t)fuzz_u64(f) };
    c->idtr = (struct x86_table_reg){ .base = fuzz_below(f, 2) ? BARE_DATA : random_value(f), .limit = (uint16_t)fuzz_u64(f) };
    for (unsigned k = 0; k < 64; k++)
        bare_poke64(b, BARE_DATA + 8 * fuzz_below(f, 512), fuzz_u64(f));
    c->activity = X86_RUNNING;
    x86_state_changed(c);
    atomic_store(&b->vcpu->requests, 0);
    b->vm.end = VM_END_NONE;
    (void)x86_run_blocks(b->vcpu->engine_cpu, c, 1 + fuzz_below(f, 64)); /* any exit is fine */
    CHECK(c->rflags & FLAG_ONE);
    CHECK(c->cpl <= 3 && c->mode <= X86_MODE_64);
    CHECK(c->activity <= X86_SHUTDOWN);
    CHECK(!(c->efer & EFER_LMA) || (c->cr0 & CR0_PG));
    CHECK(c->mode != X86_MODE_64 || (c->efer & EFER_LMA));
}

/* A guest may loop for ever; a request must always get the CPU back. The alarm comes 50 times a second. */
static struct vcpu *alarmed;

static void on_alarm(int sig)
{
    (void)sig;
    atomic_fetch_or(&alarmed->requests, VCPU_REQ_STOP);
}

int main(int argc, char **argv)
{
    static struct fuzz fuzz, *f = &fuzz;
    static struct bare b;
    fuzz_start(f, argc, argv, 60);
    bare_init(&b);
    alarmed = b.vcpu;
    const struct itimerval every = { { 0, 20000 }, { 0, 20000 } };
    (void)signal(SIGALRM, on_alarm);
    (void)setitimer(ITIMER_REAL, &every, NULL);
    while (fuzz_more(f)) {
        for (unsigned k = 0; k < 50; k++)
            fuzz_decode(f);
        fuzz_run(f, &b);
    }
    (void)setitimer(ITIMER_REAL, &(const struct itimerval){ 0 }, NULL);
    bare_done(&b);
    return 0;
}
