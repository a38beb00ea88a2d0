/* SPDX-License-Identifier: MIT */
/*
 * The hypercalls: what each does, and that bad input gives its error code and changes nothing.
 */
#include "isa/x86/hypercall.h"

#include "isa/x86/sysreg.h"
#include "support/bare_x86.h"

static int irq_waiting; /* vector, -1: none */

static int fake_poll(void *intc)
{
    (void)intc;
    return irq_waiting;
}

static int fake_accept(void *intc)
{
    int v = irq_waiting;
    (void)intc;
    irq_waiting = -1;
    return v;
}

static const struct vcpu_intc_ops fake_intc = { .poll = fake_poll, .accept = fake_accept };

static char console[8];
static size_t console_len;

/* Takes what fits. */
static size_t take(void *opaque, const uint8_t *data, size_t len)
{
    (void)opaque;
    size_t n = len < sizeof(console) - console_len ? len : sizeof(console) - console_len;
    memcpy(console + console_len, data, n);
    console_len += n;
    return n;
}

static int setup(void **state)
{
    static struct bare b;
    bare_init(&b);
    bare_long(&b);
    b.vm.console_write = take;
    b.vcpu->intc = &fake_intc;
    console_len = 0;
    irq_waiting = -1;
    *state = &b;
    return 0;
}

static int teardown(void **state)
{
    bare_done(*state);
    return 0;
}

static const uint8_t call_code[] = { 0xe7, X86_HC_PORT, 0xf4 }; /* out X86_HC_PORT, eax; hlt */

/* By the instruction itself. */
static int64_t call(struct bare *b, uint64_t nr, uint64_t rdi, uint64_t rsi, uint64_t rdx)
{
    bare_code(b, BARE_CODE, call_code, sizeof(call_code));
    b->c->rip = BARE_CODE;
    b->c->activity = X86_RUNNING;
    b->c->gpr[RAX] = nr;
    b->c->gpr[RDI] = rdi;
    b->c->gpr[RSI] = rsi;
    b->c->gpr[RDX] = rdx;
    bare_run(b);
    return (int64_t)b->c->gpr[RAX];
}

static void identify_says_the_magic_and_cpuid_agrees(void **state)
{
    struct bare *b = *state;
    uint32_t r[4];
    assert_int_equal(call(b, X86_HC_IDENTIFY, 0, 0, 0), X86_HC_MAGIC << 32 | X86_HC_VERSION);
    x86_cpuid(b->c, X86_HC_CPUID_SIGNATURE, 0, r);
    assert_int_equal(r[0], X86_HC_CPUID_CALLS);
    assert_memory_equal(&r[1], X86_HC_SIGNATURE, 12);
    x86_cpuid(b->c, X86_HC_CPUID_CALLS, 0, r);
    assert_int_equal(r[0], X86_HC_VERSION);
    assert_int_equal(r[1], (1 << X86_HC_NR) - 1);
    assert_int_equal(r[2], X86_HC_PORT);
    x86_cpuid(b->c, 0x40000000, 0, r);
    assert_memory_equal(&r[1], "KVMKVMKVM\0\0\0", 12);
}

static void unknown_calls_and_wrong_levels_are_refused(void **state)
{
    struct bare *b = *state;
    assert_int_equal(call(b, X86_HC_NR, 0, 0, 0), -X86_HC_ENOSYS);
    assert_int_equal(call(b, ~0ULL, 0, 0, 0), -X86_HC_ENOSYS);
    assert_int_equal(call(b, 1ULL << 32, 0, 0, 0), -X86_HC_ENOSYS);
    assert_int_equal(call(b, X86_HC_MODE, 0, 0, 0), 0);
    b->c->cpl = 3; /* where IOPL let the program at the port */
    b->c->gpr[RAX] = X86_HC_CLOCK;
    x86_hypercall(b->c);
    assert_int_equal((int64_t)b->c->gpr[RAX], -X86_HC_EPERM);
    b->c->gpr[RAX] = X86_HC_MODE;
    x86_hypercall(b->c);
    assert_int_equal(b->c->gpr[RAX], 3);
}

static void only_a_four_byte_out_in_64_bit_mode_is_a_call(void **state)
{
    struct bare *b = *state;
    assert_true(x86_is_hypercall(b->c, X86_HC_PORT, 4));
    assert_false(x86_is_hypercall(b->c, X86_HC_PORT, 1));
    assert_false(x86_is_hypercall(b->c, X86_HC_PORT + 1, 4));
    b->c->mode = X86_MODE_32;
    assert_false(x86_is_hypercall(b->c, X86_HC_PORT, 4));
}

static void console_takes_what_fits_and_says_how_much(void **state)
{
    struct bare *b = *state;
    bare_code(b, BARE_DATA, "0123456789", 10);
    assert_int_equal(call(b, X86_HC_CONSOLE_WRITE, BARE_DATA, 5, 0), 5);
    assert_int_equal(call(b, X86_HC_CONSOLE_WRITE, BARE_DATA + 5, 5, 0), 3);
    assert_memory_equal(console, "01234567", 8);
    assert_int_equal(call(b, X86_HC_CONSOLE_WRITE, BARE_DATA, X86_HC_CONSOLE_MAX + 1, 0), -X86_HC_E2BIG);
    assert_int_equal(call(b, X86_HC_CONSOLE_WRITE, BARE_RAM - 4, 5, 0), -X86_HC_EFAULT);
    assert_int_equal(call(b, X86_HC_CONSOLE_WRITE, ~0ULL, 2, 0), -X86_HC_EFAULT);
    assert_int_equal(console_len, 8);
}

static void poke_pte(struct bare *b, unsigned k, uint64_t entry, uint64_t value, uint64_t va)
{
    const struct x86_hc_pte p = { entry, value, va };
    bare_code(b, BARE_DATA + k * sizeof(p), &p, sizeof(p));
}

static void updates_are_written_and_old_translations_dropped(void **state)
{
    struct bare *b = *state;
    const gpa_t entry = BARE_TABLES + 0x3000 + 8 * 0x50;
    bare_poke64(b, 0x50000, 1);
    bare_poke64(b, 0x51000, 2);
    assert_int_equal(x86_lin_read(b->c, 0x50000, 8, X86_BANK_KERNEL_AC), 1); /* now it is in the TLB */
    poke_pte(b, 0, entry, 0x51000 | 7, ~0ULL >> 1);
    assert_int_equal(call(b, X86_HC_MMU_UPDATE, BARE_DATA, 1, 0), 1);
    assert_int_equal(bare_peek64(b, entry), 0x51000 | 7);
    poke_pte(b, 0, entry, 0x51000 | 7, 0x50000);
    assert_int_equal(call(b, X86_HC_MMU_UPDATE, BARE_DATA, 1, 0), 1);
    assert_int_equal(x86_lin_read(b->c, 0x50000, 8, X86_BANK_KERNEL_AC), 2);
    poke_pte(b, 0, entry, 0x50000 | 7, ~0ULL >> 1);
    assert_int_equal(call(b, X86_HC_MMU_UPDATE, BARE_DATA, 1, X86_HC_MMU_FLUSH), 1);
    assert_int_equal(x86_lin_read(b->c, 0x50000, 8, X86_BANK_KERNEL_AC), 1);
    assert_int_equal(call(b, X86_HC_MMU_UPDATE, BARE_DATA, 0, 0), 0);
}

static void one_bad_update_and_none_is_made(void **state)
{
    struct bare *b = *state;
    const gpa_t entry = BARE_TABLES + 0x3000 + 8 * 0x50;
    const uint64_t before = bare_peek64(b, entry);
    static const uint64_t bad[] = { BARE_TABLES + 4, BARE_RAM, ~7ULL };
    for (unsigned k = 0; k < 3; k++) {
        poke_pte(b, 0, entry, 0, 0x50000);
        poke_pte(b, 1, bad[k], 0, 0);
        assert_int_equal(call(b, X86_HC_MMU_UPDATE, BARE_DATA, 2, 0), -X86_HC_EFAULT);
    }
    assert_int_equal(call(b, X86_HC_MMU_UPDATE, BARE_DATA, X86_HC_PTES_MAX + 1, 0), -X86_HC_E2BIG);
    assert_int_equal(call(b, X86_HC_MMU_UPDATE, BARE_DATA, ~0ULL, 0), -X86_HC_E2BIG);
    assert_int_equal(call(b, X86_HC_MMU_UPDATE, BARE_DATA, 1, 2), -X86_HC_EINVAL);
    assert_int_equal(call(b, X86_HC_MMU_UPDATE, BARE_RAM - 8, 1, 0), -X86_HC_EFAULT);
    assert_int_equal(bare_peek64(b, entry), before);
}

static void shared_page_must_be_a_page_of_ram(void **state)
{
    struct bare *b = *state;
    assert_int_equal(call(b, X86_HC_SHARED_PAGE, BARE_DATA + 8, 0, 0), -X86_HC_EINVAL);
    assert_int_equal(call(b, X86_HC_SHARED_PAGE, BARE_RAM, 0, 0), -X86_HC_EFAULT);
    assert_int_equal(b->c->hc_shared, 0);
    assert_int_equal(call(b, X86_HC_SHARED_PAGE, 0, 0, 0), 0);
    assert_true(b->c->hc_shared != 0);
    assert_int_equal(call(b, X86_HC_SHARED_PAGE, X86_HC_NO_PAGE, 0, 0), 0);
    assert_int_equal(b->c->hc_shared, 0);
}

static void the_shared_flag_holds_interrupts_off_and_says_so(void **state)
{
    struct bare *b = *state;
    struct x86_hc_shared s = { 0 };
    assert_int_equal(call(b, X86_HC_SHARED_PAGE, BARE_DATA, 0, 0), 0);
    bare_code(b, BARE_DATA, &s, sizeof(s));
    b->c->rflags |= FLAG_IF;
    assert_false(x86_interruptible(b->c));
    assert_int_equal(gmem_read(&b->vm.gmem, BARE_DATA, &s, sizeof(s)), 0);
    assert_int_equal(s.irq_pending, 0);
    irq_waiting = 0x40;
    vcpu_request(b->vcpu, VCPU_REQ_IRQ);
    assert_false(x86_interruptible(b->c));
    assert_int_equal(gmem_read(&b->vm.gmem, BARE_DATA, &s, sizeof(s)), 0);
    assert_int_equal(s.irq_pending, 1);
    s.irq_enabled = 1;
    bare_code(b, BARE_DATA, &s, sizeof(s));
    assert_true(x86_interruptible(b->c));
    b->c->rflags &= ~(uint64_t)FLAG_IF;
    assert_false(x86_interruptible(b->c));
}

/* A gate for vector 40h whose handler sets rbx to 5 and halts; a wait with the flag off enters it. */
static void yield_enables_and_waits(void **state)
{
    struct bare *b = *state;
    const uint8_t handler[] = { 0xbb, 5, 0, 0, 0, 0xf4 };
    const gpa_t idt = 0x60000, at = 0x61000, gdt = 0x62000;
    bare_code(b, at, handler, sizeof(handler));
    bare_poke64(b, gdt + 8, 0x00209b0000000000ULL);
    b->c->gdtr = (struct x86_table_reg){ .base = gdt, .limit = 0xff };
    b->c->idtr = (struct x86_table_reg){ .base = idt, .limit = 0xfff };
    bare_poke64(b, idt + 0x40 * 16, (at & 0xffff) | 8 << 16 | 0x8eULL << 40 | (at >> 16) << 48);
    assert_int_equal(call(b, X86_HC_SHARED_PAGE, BARE_DATA, 0, 0), 0);
    bare_poke64(b, BARE_DATA, 0);
    irq_waiting = 0x40;
    assert_int_equal(call(b, X86_HC_YIELD, 1, 0, 0), 0);
    assert_int_equal(b->c->gpr[RBX], 5);
    assert_int_equal(bare_peek64(b, BARE_DATA) & 0xff, 1);
    assert_int_equal(call(b, X86_HC_YIELD, 2, 0, 0), -X86_HC_EINVAL);
    assert_int_equal(call(b, X86_HC_YIELD, 0, 0, 0), 0);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(identify_says_the_magic_and_cpuid_agrees),
        T(unknown_calls_and_wrong_levels_are_refused),
        T(only_a_four_byte_out_in_64_bit_mode_is_a_call),
        T(console_takes_what_fits_and_says_how_much),
        T(updates_are_written_and_old_translations_dropped),
        T(one_bad_update_and_none_is_made),
        T(shared_page_must_be_a_page_of_ram),
        T(the_shared_flag_holds_interrupts_off_and_says_so),
        T(yield_enables_and_waits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
