/* SPDX-License-Identifier: MIT */
/*
 * Fuzzer of x86 hypercalls: whatever a guest has in its registers and in the memory that they name, a call answers within its
 * contract, and one that fails has changed nothing.
 *
 * Calls are made by the function, and now and then by the instruction. Meant for an ASan and UBSan build.
 */
#include "isa/x86/hypercall.h"

#include "support/bare_x86.h"

#include "base/checked.h"
#include "fuzz.h"

enum { LIFE = 20000 };

static size_t console_room;

/* Takes what the case has room for. */
static size_t take(void *opaque, const uint8_t *data, size_t len)
{
    volatile uint8_t sum = 0;
    (void)opaque;
    for (size_t i = 0; i < len; i++)
        sum = (uint8_t)(sum + data[i]);
    return len < console_room ? len : console_room;
}

static void finding(const char *what, uint64_t nr, int64_t result)
{
    printf("FINDING: call %#lx gives %ld: %s\n", (unsigned long)nr, (long)result, what);
    (void)fflush(stdout);
    abort();
}

/* An address: in RAM, about its ends, or anywhere. */
static uint64_t address(struct fuzz *f)
{
    static const uint64_t ends[] = { 0, BARE_RAM, ~0ULL, 1ULL << 32, 1ULL << 52, 1ULL << 63, X86_HC_NO_PAGE - 0xfff };
    switch (fuzz_below(f, 4)) {
    case 0: return ends[fuzz_below(f, ARRAY_SIZE(ends))] + fuzz_below(f, 64) - 32;
    case 1: return fuzz_u64(f);
    case 2: return fuzz_below(f, BARE_RAM / GPAGE_SIZE) * GPAGE_SIZE;
    default: return fuzz_below(f, BARE_RAM);
    }
}

static uint64_t count(struct fuzz *f, uint64_t max)
{
    switch (fuzz_below(f, 8)) {
    case 0: return fuzz_u64(f);
    case 1: return max + fuzz_below(f, 3) - 1;
    case 2: return 0;
    default: return fuzz_below(f, max);
    }
}

/* Lets the registers name an array of page-table entries, mostly good ones. */
static void make_ptes(struct fuzz *f, struct bare *b)
{
    struct x86_hc_pte pte[X86_HC_PTES_MAX];
    uint64_t n = fuzz_below(f, 8);
    bool bad = fuzz_below(f, 2) == 0;
    for (uint64_t k = 0; k < n; k++) {
        pte[k] = (struct x86_hc_pte){ .entry = BARE_DATA + fuzz_below(f, 0x1000) * 8, .value = fuzz_u64(f), .va = address(f) };
        if (bad && fuzz_below(f, 4) == 0)
            pte[k].entry = address(f);
    }
    b->c->gpr[RDI] = BARE_RAM - n * sizeof(pte[0]) - 8 * fuzz_below(f, 2);
    b->c->gpr[RSI] = n;
    (void)!gmem_write(&b->vm.gmem, b->c->gpr[RDI], pte, n * sizeof(pte[0]));
}

/* What the array's entries are; of those that there are not: 0. */
static uint64_t sum_of_entries(struct bare *b, uint64_t at, uint64_t n)
{
    uint64_t sum = 0;
    for (uint64_t k = 0; k < n && n <= X86_HC_PTES_MAX; k++) {
        struct x86_hc_pte pte;
        uint64_t value = 0;
        if (gmem_read(&b->vm.gmem, at + k * sizeof(pte), &pte, sizeof(pte)) == 0)
            (void)!gmem_read(&b->vm.gmem, pte.entry, &value, sizeof(value));
        sum = sum * 31 + value;
    }
    return sum;
}

static void check(struct bare *b, uint64_t nr, uint64_t rsi, int64_t result, unsigned cpl, uint64_t before, uint64_t after)
{
    static const int64_t errors[] = { X86_HC_EPERM, X86_HC_E2BIG, X86_HC_EFAULT, X86_HC_EINVAL, X86_HC_ENOSYS };
    bool known = result >= 0;
    for (unsigned i = 0; i < ARRAY_SIZE(errors); i++)
        known = known || result == -errors[i];
    if (!known)
        finding("no such answer", nr, result);
    if (nr >= X86_HC_NR ? result != -X86_HC_ENOSYS : cpl && nr != X86_HC_MODE && result != -X86_HC_EPERM)
        finding("it is refused otherwise", nr, result);
    if (nr == X86_HC_CONSOLE_WRITE && result > 0 && (uint64_t)result > MIN(rsi, (uint64_t)X86_HC_CONSOLE_MAX))
        finding("more was taken than was there", nr, result);
    if (nr == X86_HC_MMU_UPDATE && result >= 0 && (uint64_t)result != rsi)
        finding("not all entries", nr, result);
    if (result < 0 && before != after)
        finding("it failed, and changed something", nr, result);
    if (nr == X86_HC_MODE && result != (int64_t)cpl)
        finding("another level", nr, result);
    if (b->c->hc_shared && !gmem_pin(b->c->gmem, b->c->hc_shared & GPAGE_MASK, GPAGE_SIZE))
        finding("the shared page is no memory", nr, result);
}

static void one_call(struct fuzz *f, struct bare *b)
{
    struct x86_cpu *c = b->c;
    static const unsigned levels[] = { 0, 0, 0, 3, 1 };
    uint64_t nr = fuzz_below(f, 16) ? fuzz_below(f, X86_HC_NR + 1) : fuzz_u64(f);
    console_room = fuzz_below(f, 2) ? fuzz_below(f, 100) : SIZE_MAX;
    c->cpl = (uint8_t)levels[fuzz_below(f, ARRAY_SIZE(levels))];
    c->gpr[RDI] = address(f);
    c->gpr[RSI] = count(f, nr == X86_HC_MMU_UPDATE ? X86_HC_PTES_MAX : X86_HC_CONSOLE_MAX);
    if (nr == X86_HC_MMU_UPDATE && fuzz_below(f, 4))
        make_ptes(f, b);
    if (nr == X86_HC_YIELD && fuzz_below(f, 2))
        c->gpr[RDI] &= 3;
    c->gpr[RDX] = fuzz_below(f, 4) ? fuzz_below(f, 3) : fuzz_u64(f);
    c->gpr[RAX] = nr;
    const uint64_t rdi = c->gpr[RDI], rsi = c->gpr[RSI], shared = c->hc_shared;
    const unsigned cpl = c->cpl;
    const uint64_t before = sum_of_entries(b, rdi, rsi);
    x86_hypercall(c);
    const int64_t result = (int64_t)c->gpr[RAX];
    const uint64_t after = nr == X86_HC_MMU_UPDATE ? sum_of_entries(b, rdi, rsi) : before;
    check(b, nr, rsi, result, cpl, before, after);
    if (result < 0 && c->hc_shared != shared)
        finding("it failed, and there is another shared page", nr, result);
    if (c->gpr[RDI] != rdi || c->gpr[RSI] != rsi)
        finding("its arguments have changed", nr, result);
    if (fuzz_below(f, 4) == 0)
        vcpu_request(b->vcpu, VCPU_REQ_IRQ);
    c->rflags ^= fuzz_below(f, 4) ? 0 : FLAG_IF;
    (void)x86_interruptible(c);
    (void)vcpu_take(b->vcpu, ~0U);
}

/* As programs do it. The pages that the code needs may be any by now, so that it may fault, too: it ends all the same. */
static void by_instruction(struct fuzz *f, struct bare *b)
{
    static const uint8_t code[] = { 0xe7, X86_HC_PORT, 0xf4 }; /* out X86_HC_PORT, eax; hlt */
    bare_long(b);
    bare_code(b, BARE_CODE, code, sizeof(code));
    b->c->cpl = 0;
    b->c->activity = X86_RUNNING;
    b->c->gpr[RAX] = fuzz_below(f, X86_HC_NR);
    if (b->c->gpr[RAX] == X86_HC_MMU_UPDATE || b->c->gpr[RAX] == X86_HC_YIELD)
        b->c->gpr[RAX] = X86_HC_CLOCK; /* what its code stands on stays */
    b->c->gpr[RDI] = address(f);
    b->c->gpr[RSI] = count(f, X86_HC_CONSOLE_MAX);
    bare_run(b);
}

int main(int argc, char **argv)
{
    struct fuzz f;
    static struct bare b;
    uint64_t calls = 0;
    fuzz_start(&f, argc, argv, 10);
    while (fuzz_more(&f)) {
        if (calls++ % LIFE == 0) {
            if (calls > 1)
                bare_done(&b);
            bare_init(&b);
            bare_long(&b);
            b.vm.console_write = take;
        }
        if (fuzz_below(&f, 50) == 0)
            by_instruction(&f, &b);
        else
            one_call(&f, &b);
    }
    bare_done(&b);
    return 0;
}
