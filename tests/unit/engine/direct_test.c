/* SPDX-License-Identifier: MIT */
/*
 * Engine `direct`: what traps is right, what does not is as wrong as the theorem says, and the process has nothing but memory.
 */
#include "engine/direct/direct.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <unistd.h>

#include "engine/direct/process.h"
#include "isa/x86/hypercall.h"
#include "support/bare_x86.h"

enum { PT = BARE_TABLES + 0x3000, IDT = 0x60000, GDT = 0x62000, HANDLER = 0x64000, TSS = 0x66000, ENTRY_STACK = 0x6f000 };
enum { PTE_A = 1 << 5, PTE_D = 1 << 6 };

static int setup(void **state)
{
    static struct bare b;
    struct engine_probe probe;
    direct_engine_ops.probe(&x86_isa_ops, &probe);
    if (!probe.usable) {
        print_message("skipped: %s\n", probe.why);
        return 0;
    }
    bare_init_engine(&b, &direct_engine_ops);
    bare_long(&b);
    *state = &b;
    return 0;
}

static int teardown(void **state)
{
    if (*state)
        bare_done(*state);
    return 0;
}

static void run(struct bare *b)
{
    b->c->activity = X86_RUNNING;
    assert_int_equal(direct_engine_ops.run(b->vcpu), VCPU_EXIT_SLEEP);
    assert_int_equal(b->c->activity, X86_HALTED);
}

#define CODE(b, ...)                                                                                                             \
    do {                                                                                                                         \
        const uint8_t code_[] = { __VA_ARGS__ };                                                                                 \
        bare_code(b, BARE_CODE, code_, sizeof(code_));                                                                           \
        (b)->c->rip = BARE_CODE;                                                                                                 \
    } while (0)

static uint64_t stat(struct bare *b, const char *name)
{
    static char text[16384];
    char key[64];
    (void)snprintf(key, sizeof(key), "\n%s ", name);
    text[0] = '\n';
    size_t len = direct_engine_ops.stats(b->vcpu, text + 1, sizeof(text) - 2);
    text[len + 1] = '\0';
    const char *at = strstr(text, key);
    return at ? strtoull(at + strlen(key), NULL, 10) : 0;
}

/* A GDT with flat segments of both rings and a TSS, and a gate for `vector` to HANDLER, which pops an error code into rbx if
 * there is one, takes CR2 into rcx, and halts. */
static void make_handler(struct bare *b, unsigned vector, bool error)
{
    const uint8_t with[] = { 0x5b, 0x0f, 0x20, 0xd1, 0xf4 }, without[] = { 0x0f, 0x20, 0xd1, 0xf4 };
    bare_code(b, HANDLER, error ? with : without, error ? sizeof(with) : sizeof(without));
    bare_poke64(b, GDT + 8, 0x00af9b000000ffffULL);
    bare_poke64(b, GDT + 16, 0x00cf93000000ffffULL);
    bare_poke64(b, TSS + 4, ENTRY_STACK);
    b->c->gdtr = (struct x86_table_reg){ .base = GDT, .limit = 0xff };
    b->c->idtr = (struct x86_table_reg){ .base = IDT, .limit = 0xfff };
    b->c->seg[SEG_TR] = (struct x86_seg){ .base = TSS, .limit = 0x67, .attr = SEG_P | 11, .sel = 0x18 };
    bare_poke64(b, IDT + vector * 16, (HANDLER & 0xffff) | 8 << 16 | 0x8eULL << 40 | (uint64_t)(HANDLER >> 16) << 48);
}

static void go_to_ring_3(struct bare *b)
{
    for (unsigned s = SEG_ES; s <= SEG_GS; s++)
        b->c->seg[s].attr |= SEG_DPL;
    b->c->seg[SEG_CS].sel = 0x4b;
    b->c->seg[SEG_SS].sel = 0x43;
    x86_state_changed(b->c);
    assert_int_equal(b->c->cpl, 3);
}

static void innocuous_code_does_not_trap(void **state)
{
    struct bare *b = *state;
    if (!b)
        skip();
    CODE(b, 0xb9, 0x40, 0x42, 0x0f, 0x00,          /* mov ecx, 1000000 */
         0x01, 0xc8,                               /* 1: add eax, ecx */
         0x89, 0x04, 0x25, 0x00, 0x00, 0x03, 0x00, /* mov [BARE_DATA], eax */
         0xe2, 0xf5,                               /* loop 1b */
         0xf4);
    run(b);
    assert_int_equal((uint32_t)b->c->gpr[RAX], (uint32_t)(1000000ULL * 1000001 / 2));
    assert_int_equal(bare_peek64(b, BARE_DATA) & 0xffffffff, (uint32_t)b->c->gpr[RAX]);
    assert_true(stat(b, "traps") <= 6); /* code and data are mapped, data again to be written, and HLT; a kick perhaps */
}

static void cli_traps_and_popf_does_not(void **state)
{
    struct bare *b = *state;
    if (!b)
        skip();
    b->c->rflags |= FLAG_IF;
    CODE(b, 0xfa, 0x9c, 0x58, 0xfb, 0x90, /* cli; pushf; pop rax; sti; nop */
         0x6a, 0x02, 0x9d, 0xf4);         /* push 2; popf; hlt */
    run(b);
    assert_true(b->c->gpr[RAX] & FLAG_IF); /* the host's */
    assert_true(b->c->rflags & FLAG_IF);   /* POPF of 2 has not changed it */
    assert_int_equal(stat(b, "trapped_CLI"), 1);
    assert_int_equal(stat(b, "trapped_POPF/POPFQ"), 0);
    CODE(b, 0xfa, 0xf4);
    run(b);
    assert_false(b->c->rflags & FLAG_IF);
}

static void cs_shows_the_hosts_ring(void **state)
{
    struct bare *b = *state;
    if (!b)
        skip();
    CODE(b, 0x8c, 0xc8, 0xf4); /* mov eax, cs */
    run(b);
    assert_int_equal(b->c->gpr[RAX] & 3, 3);
    assert_int_equal(b->c->cpl, 0);
}

static void accessed_and_dirty_are_set_by_what_happens_only(void **state)
{
    struct bare *b = *state;
    if (!b)
        skip();
    const gpa_t entry = PT + 8 * 0x40;
    CODE(b, 0x8b, 0x04, 0x25, 0x00, 0x00, 0x04, 0x00, 0xf4); /* mov eax, [40000h] */
    assert_int_equal(bare_peek64(b, entry) & (PTE_A | PTE_D), 0);
    run(b);
    assert_int_equal(bare_peek64(b, entry) & (PTE_A | PTE_D), PTE_A);
    CODE(b, 0x89, 0x04, 0x25, 0x00, 0x00, 0x04, 0x00, 0xf4); /* mov [40000h], eax */
    run(b);
    assert_int_equal(bare_peek64(b, entry) & (PTE_A | PTE_D), PTE_A | PTE_D);
}

static void page_faults_enter_the_guests_handler(void **state)
{
    struct bare *b = *state;
    if (!b)
        skip();
    make_handler(b, X86_PF, true);
    bare_poke64(b, PT + 8 * 0x40, 0);
    CODE(b, 0x89, 0x04, 0x25, 0x10, 0x00, 0x04, 0x00, 0xf4); /* mov [40010h], eax */
    run(b);
    assert_int_equal(b->c->gpr[RCX], 0x40010);
    assert_int_equal(b->c->gpr[RBX], PF_W);
    assert_int_equal(stat(b, "traps_guest_fault"), 1);
}

static void ring_3_has_only_its_own_pages(void **state)
{
    struct bare *b = *state;
    if (!b)
        skip();
    make_handler(b, X86_PF, true);
    bare_poke64(b, BARE_DATA, 1234);
    CODE(b, 0x48, 0x8b, 0x04, 0x25, 0x00, 0x00, 0x03, 0x00, 0xf4); /* mov rax, [BARE_DATA] */
    run(b);                                                        /* as the supervisor: now it is mapped there */
    assert_int_equal(b->c->gpr[RAX], 1234);
    bare_poke64(b, PT + 8 * (BARE_DATA >> 12), BARE_DATA | 3); /* for the supervisor only */
    x86_state_changed(b->c);
    b->c->rip = BARE_CODE;
    b->c->gpr[RAX] = 0;
    go_to_ring_3(b);
    run(b);
    assert_int_equal(b->c->gpr[RAX], 0);
    assert_int_equal(b->c->gpr[RCX], BARE_DATA);
    assert_int_equal(b->c->gpr[RBX], PF_U | PF_P);
}

static void invlpg_and_cr3_drop_what_was_mapped(void **state)
{
    struct bare *b = *state;
    if (!b)
        skip();
    bare_poke64(b, 0x40000, 1);
    bare_poke64(b, 0x41000, 2);
    bare_poke64(b, 0x42000, 3);
    CODE(b, 0x8b, 0x1c, 0x25, 0x00, 0x00, 0x04, 0x00,     /* mov ebx, [40000h] */
         0x66, 0xc7, 0x45, 0x01, 0x10, 0x04,              /* mov word [rbp + 1], 410h: the entry's address bits */
         0x0f, 0x01, 0x3c, 0x25, 0x00, 0x00, 0x04, 0x00,  /* invlpg [40000h] */
         0x8b, 0x0c, 0x25, 0x00, 0x00, 0x04, 0x00,        /* mov ecx, [40000h] */
         0x66, 0xc7, 0x45, 0x01, 0x20, 0x04,              /* ... 420h */
         0x0f, 0x20, 0xd8, 0x0f, 0x22, 0xd8,              /* mov rax, cr3; mov cr3, rax */
         0x8b, 0x14, 0x25, 0x00, 0x00, 0x04, 0x00, 0xf4); /* mov edx, [40000h] */
    b->c->gpr[RBP] = PT + 8 * 0x40;
    run(b);
    assert_int_equal(b->c->gpr[RBX], 1);
    assert_int_equal(b->c->gpr[RCX], 2);
    assert_int_equal(b->c->gpr[RDX], 3);
}

/* The immediate of an emulated instruction (IN) is changed by a native store. */
static void emulated_code_is_what_native_stores_left(void **state)
{
    struct bare *b = *state;
    if (!b)
        skip();
    CODE(b, 0xb9, 0x02, 0x00, 0x00, 0x00,                /* mov ecx, 2 */
         0xfa,                                           /* 1: cli, then sti */
         0xc6, 0x04, 0x25, 0x05, 0x00, 0x01, 0x00, 0xfb, /* mov byte [BARE_CODE + 5], 0fbh */
         0xff, 0xc9, 0x75, 0xf3, 0xf4);                  /* dec ecx; jnz 1b; hlt */
    run(b);
    assert_true(b->c->rflags & FLAG_IF);
    assert_int_equal(stat(b, "trapped_CLI"), 1);
    assert_int_equal(stat(b, "trapped_STI"), 1);
}

static void vector_registers_are_the_guests(void **state)
{
    struct bare *b = *state;
    if (!b)
        skip();
    const uint32_t one[4] = { 1, 2, 3, 4 };
    memcpy(b->c->fpu.zmm[3], one, 16);
    b->c->fpu.fcw = 0x37f;
    b->c->fpu.ftw = 0;
    CODE(b, 0x66, 0x0f, 0xfe, 0xdb, 0x66, 0x0f, 0x6f, 0xeb, /* paddd xmm3, xmm3; movdqa xmm5, xmm3 */
         0xd9, 0xe8, 0xf4);                                 /* fld1 */
    run(b);
    const uint32_t two[4] = { 2, 4, 6, 8 };
    assert_memory_equal(b->c->fpu.zmm[3], two, 16);
    assert_memory_equal(b->c->fpu.zmm[5], two, 16);
    const uint8_t real_one[10] = { 0, 0, 0, 0, 0, 0, 0, 0x80, 0xff, 0x3f };
    assert_memory_equal(b->c->fpu.st[0], real_one, 10);
}

static void what_hosts_do_not_map_is_emulated(void **state)
{
    struct bare *b = *state;
    if (!b)
        skip();
    bare_poke64(b, 0x500, 99);
    CODE(b, 0x8b, 0x04, 0x25, 0x00, 0x05, 0x00, 0x00, 0xf4); /* mov eax, [500h] */
    run(b);
    assert_int_equal(b->c->gpr[RAX], 99);
    assert_int_equal(stat(b, "traps_memory"), 1);
}

static void the_upper_half_is_refused_with_the_reason(void **state)
{
    struct bare *b = *state;
    if (!b)
        skip();
    bare_poke64(b, BARE_TABLES + 8 * 511, (BARE_TABLES + 0x1000) | 7);
    bare_poke64(b, BARE_TABLES + 0x1000 + 8 * 510, (BARE_TABLES + 0x2000) | 7);
    bare_poke64(b, BARE_TABLES + 0x2000 + 8 * 8, PT | 7);
    CODE(b, 0x48, 0xc7, 0xc0, 0x00, 0x00, 0x00, 0x81, 0xff, 0xe0); /* mov rax, -2032 MiB; jmp rax */
    b->vm.vcpu[b->vm.nr_vcpus++] = b->vcpu;
    assert_int_equal(direct_engine_ops.run(b->vcpu), VCPU_EXIT_REQUEST);
    assert_int_equal(b->vm.end, VM_END_ERROR);
    assert_non_null(strstr(b->vm.end_why, "upper half"));
    assert_non_null(strstr(b->vm.end_why, "ffffffff81000000"));
}

/* The host's exit(2) is the guest's #UD while SYSCALL is off. */
static void system_calls_are_not_the_hosts(void **state)
{
    struct bare *b = *state;
    if (!b)
        skip();
    make_handler(b, X86_UD, false);
    b->c->efer &= ~(uint64_t)EFER_SCE;
    CODE(b, 0xb8, SYS_exit_group, 0x00, 0x00, 0x00, 0x0f, 0x05);
    run(b);
    assert_int_equal(b->c->gpr[RAX], SYS_exit_group);
    assert_int_equal(stat(b, "traps_syscall"), 1);
    CODE(b, 0xf4);
    run(b); /* the process is still there */
    assert_int_equal(b->vm.end, VM_END_NONE);
}

/* Linux would take INT 80h for a system call of its own, too. */
static void int_80_enters_the_guests_handler(void **state)
{
    struct bare *b = *state;
    if (!b)
        skip();
    make_handler(b, 0x80, false);
    CODE(b, 0xb8, 0x01, 0x00, 0x00, 0x00, 0xcd, 0x80); /* mov eax, 1 (exit); int 80h */
    run(b);
    assert_int_equal(b->c->rip, HANDLER + 4);
    assert_int_equal(bare_peek64(b, b->c->gpr[RSP]), BARE_CODE + 7);
}

/* A guest that jumps to the SYSCALL there has one, and then finds that it has no such page. */
static void the_page_that_is_ours_is_not_in_the_guests_tables(void **state)
{
    struct bare *b = *state;
    if (!b)
        skip();
    make_handler(b, X86_PF, true);
    CODE(b, 0xb8, SYS_exit_group, 0x00, 0x00, 0x00, 0xff, 0xe3); /* mov eax, ...; jmp rbx */
    b->c->gpr[RBX] = PROCESS_TOP;
    run(b);
    assert_int_equal(b->c->gpr[RCX], PROCESS_TOP);
    assert_int_equal(stat(b, "traps_syscall"), 1);
}

/* Mappings of our children that are neither guest memory nor the page we need. */
static void the_process_holds_nothing_but_guest_memory(void **state)
{
    struct bare *b = *state;
    char path[64], line[512];
    int pid = 0, maps = 0;
    if (!b)
        skip();
    CODE(b, 0xf4);
    run(b);
    (void)snprintf(path, sizeof(path), "/proc/self/task/%d/children", (int)syscall(SYS_gettid));
    FILE *f = fopen(path, "re");
    if (!f || fscanf(f, "%d", &pid) != 1)
        skip();
    (void)fclose(f);
    (void)snprintf(path, sizeof(path), "/proc/%d/maps", pid);
    f = fopen(path, "re");
    assert_non_null(f);
    while (fgets(line, sizeof(line), f)) {
        bool known = strstr(line, "memfd:guest-memory") || (strtoull(line, NULL, 16) == PROCESS_TOP && strstr(line, "r-xs"))
                     || strstr(line, "[vsyscall]");
        if (!known)
            fail_msg("%s", line);
        maps++;
    }
    (void)fclose(f);
    assert_true(maps >= 2);
}

static struct vcpu *watched;

static void on_alarm(int sig)
{
    (void)sig;
    vcpu_request(watched, VCPU_REQ_STOP);
}

static void a_request_ends_an_endless_loop(void **state)
{
    struct bare *b = *state;
    if (!b)
        skip();
    CODE(b, 0xeb, 0xfe);
    watched = b->vcpu;
    (void)signal(SIGALRM, on_alarm);
    const struct itimerval soon = { .it_value = { .tv_usec = 20000 } };
    (void)setitimer(ITIMER_REAL, &soon, NULL);
    assert_int_equal(direct_engine_ops.run(b->vcpu), VCPU_EXIT_REQUEST);
    assert_int_equal(b->c->rip, BARE_CODE);
    (void)signal(SIGALRM, SIG_DFL);
}

static void a_hypercall_is_one_trap(void **state)
{
    struct bare *b = *state;
    if (!b)
        skip();
    CODE(b, 0xe7, X86_HC_PORT, 0xf4);
    b->c->gpr[RAX] = X86_HC_IDENTIFY;
    run(b);
    assert_int_equal(b->c->gpr[RAX] >> 32, X86_HC_MAGIC);
    assert_int_equal(stat(b, "hypercalls"), 1);
    assert_int_equal(stat(b, "traps_privileged"), 2); /* and HLT */
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(innocuous_code_does_not_trap),
        T(cli_traps_and_popf_does_not),
        T(cs_shows_the_hosts_ring),
        T(accessed_and_dirty_are_set_by_what_happens_only),
        T(page_faults_enter_the_guests_handler),
        T(ring_3_has_only_its_own_pages),
        T(invlpg_and_cr3_drop_what_was_mapped),
        T(emulated_code_is_what_native_stores_left),
        T(vector_registers_are_the_guests),
        T(what_hosts_do_not_map_is_emulated),
        T(the_upper_half_is_refused_with_the_reason),
        T(system_calls_are_not_the_hosts),
        T(int_80_enters_the_guests_handler),
        T(the_page_that_is_ours_is_not_in_the_guests_tables),
        T(the_process_holds_nothing_but_guest_memory),
        T(a_request_ends_an_endless_loop),
        T(a_hypercall_is_one_trap),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
