/* SPDX-License-Identifier: MIT */
/*
 * A checking interpreter beside a running machine: see bt_shadow.h.
 */
#include "bt_shadow.h"

#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "core/vm.h"
#include "isa/x86/blocks.h"
#include "isa/x86/disasm.h"
#include "isa/x86/mmu.h"
#include "isa/x86/step.h"
#include "isa/x86/trap.h"
#include "support/dead_flags.h"
#include "support/shared_ram.h"

enum { DIRTY_MAX = 64, PTE_AD = 0x60 };

struct shadow {
    struct x86_cpu *cpu;       /* owned */
    struct x86_blocks *blocks; /* owned; only its decoder is used */
    struct vm vm;              /* no devices: what is read from there is seen in mmio.misses */
    struct vcpu vcpu;          /* of that vm */
    struct gmem *real;         /* borrowed: the machine's */
    jmp_buf env;
    bool raised;
    unsigned dead;      /* of a fault: arithmetic flags that do not matter */
    unsigned undefined; /* arithmetic flags that the last instruction to touch them left so */
    gva_t from;
    uint64_t misses;
    volatile sig_atomic_t nr_dirty; /* may pass DIRTY_MAX: then all is dropped */
    uint64_t dirty[DIRTY_MAX];      /* page numbers */
};

static struct shadow *active;
static struct sigaction before;

static void on_write(int sig, siginfo_t *info, void *context)
{
    struct shadow *s = active;
    uint64_t off = s ? (uint64_t)((uint8_t *)info->si_addr - s->vm.gmem.host) : 0;
    (void)context;
    if (!s || off >= s->vm.gmem.size) {
        (void)sigaction(sig, &before, NULL); /* not ours: it comes again */
        return;
    }
    if (s->nr_dirty < DIRTY_MAX)
        s->dirty[s->nr_dirty] = off >> GPAGE_SHIFT;
    s->nr_dirty++;
    (void)mprotect(s->vm.gmem.host + (off & GPAGE_MASK), GPAGE_SIZE, PROT_READ | PROT_WRITE);
}

static int map_view(struct shadow *s)
{
    struct gmem *g = &s->vm.gmem;
    *g = *s->real;
    int fd = shared_ram(s->real);
    g->host = mmap(NULL, g->size, PROT_READ, MAP_PRIVATE | MAP_NORESERVE, fd, 0);
    (void)close(fd);                                            /* the mappings keep the memory */
    g->code = calloc(g->size >> GPAGE_SHIFT, sizeof(*g->code)); /* nobody decodes from the view: never set */
    g->code_gen = calloc(g->size >> GPAGE_SHIFT, sizeof(*g->code_gen));
    return g->host != MAP_FAILED && g->code && g->code_gen ? 0 : -1;
}

struct shadow *shadow_new(struct vcpu *vcpu)
{
    struct sigaction sa = { .sa_sigaction = on_write, .sa_flags = SA_SIGINFO };
    struct shadow *s = calloc(1, sizeof(*s));
    if (!s || vm_init(&s->vm, NULL, NULL) < 0)
        return NULL;
    s->real = &vcpu->vm->gmem;
    s->cpu = aligned_alloc(64, (sizeof(*s->cpu) + 63) / 64 * 64);
    s->blocks = x86_blocks_new(1 << 20, 2);
    if (map_view(s) < 0 || !s->cpu || !s->blocks)
        return NULL;
    memset(s->cpu, 0, sizeof(*s->cpu));
    s->cpu->tlb = x86_tlb_new();
    s->vcpu.vm = &s->vm;
    s->vcpu.isa = vcpu->isa;
    s->vcpu.cpu = s->cpu;
    active = s;
    if (!s->cpu->tlb || sigaction(SIGSEGV, &sa, &before) < 0)
        return NULL;
    return s;
}

void shadow_free(struct shadow *s)
{
    if (!s)
        return;
    (void)sigaction(SIGSEGV, &before, NULL);
    active = NULL;
    (void)munmap(s->vm.gmem.host, s->vm.gmem.size);
    free((void *)s->vm.gmem.code);
    free((void *)s->vm.gmem.code_gen);
    memset(&s->vm.gmem, 0, sizeof(s->vm.gmem));
    vm_done(&s->vm);
    x86_tlb_free(s->cpu->tlb);
    x86_blocks_free(s->blocks);
    free(s->cpu);
    free(s);
}

/* Its effect is not all in CPU and memory, or not the same twice. */
static bool reaches_outside(const struct x86_insn *i)
{
    static const char *const names[] = { "IN",     "INSB", "INSW",  "OUT", "OUTS", "RDTSC", "RDPMC", "RDRAND",
                                         "RDSEED", "HLT",  "MWAIT", "VM",  "MOV",  "CLTS",  "LMSW",  "XSETBV" };
    static const char *const allowed[] = {
        "IRET", "SYSCALL", "SYSRET", "SWAPGS", "CLI", "STI", "POPF", "STAC", "CLAC", "INVLPG"
    };
    const struct x86_row *row = &x86_rows[i->row];
    if (!(row->flags & (ROW_SYS | ROW_PRIV))) {
        for (unsigned n = 0; n < 9; n++)
            if (n == 0 || n == 3 ? strcmp(row->name, names[n]) == 0 : strncmp(row->name, names[n], strlen(names[n])) == 0)
                return true;
        return false;
    }
    for (unsigned n = 0; n < sizeof(allowed) / sizeof(allowed[0]); n++)
        if (strncmp(row->name, allowed[n], strlen(allowed[n])) == 0)
            return false;
    return true;
}

/* Steps to the end of the block. False: something in it cannot be checked. */
static bool run_block(struct shadow *s)
{
    struct x86_cpu *c = s->cpu;
    const gva_t page = c->rip & GPAGE_MASK;
    for (unsigned n = 0; n < BLOCK_MAX_INSNS && (c->rip & GPAGE_MASK) == page; n++) {
        gva_t at = c->rip;
        const struct x86_insn *i = x86_blocks_fetch_one(s->blocks, c);
        if (reaches_outside(i))
            return false;
        uint8_t shadow = c->int_shadow;
        c->next_rip = c->rip + i->len;
        i->step(c, i);
        c->rip = c->next_rip;
        if (shadow && c->int_shadow == shadow) {
            c->int_shadow = 0;
            x86_flags_update(c);
        }
        s->undefined = (s->undefined & ~(unsigned)x86_rows[i->row].flags_written) | x86_rows[i->row].flags_undef;
        if (x86_row_ends_block(&x86_rows[i->row]) || c->rip != at + i->len || (c->slow && c->int_shadow != 1) || c->pending_dbg)
            return n > 0 || c->rip != at; /* a jump to itself tells nothing */
    }
    return (c->rip & GPAGE_MASK) != page; /* not by count: bt may go on in the middle, and further */
}

/* bt goes on with an instruction across the page's end behind a block. It is stepped when it stands there; bt may take another
 * turn to get behind it. False: it cannot be checked. */
static bool step_across(struct shadow *s)
{
    struct x86_cpu *c = s->cpu;
    const struct x86_insn *i = x86_blocks_fetch_one(s->blocks, c);
    if ((c->rip & ~GPAGE_MASK) + i->len <= GPAGE_SIZE || c->slow || c->mode != X86_MODE_64)
        return true;
    if (reaches_outside(i))
        return false;
    s->undefined = (s->undefined & ~(unsigned)x86_rows[i->row].flags_written) | x86_rows[i->row].flags_undef;
    c->next_rip = c->rip + i->len;
    i->step(c, i);
    c->rip = c->next_rip;
    return true;
}

bool shadow_run(struct shadow *s, const struct x86_cpu *c)
{
    struct x86_cpu *mine = s->cpu;
    struct x86_tlb *tlb = mine->tlb;
    volatile bool ok = true;
    *mine = *c;
    mine->tlb = tlb;
    mine->vcpu = &s->vcpu;
    mine->gmem = &s->vm.gmem;
    mine->trap_env = &s->env;
    x86_tlb_flush_all(mine);
    s->from = c->rip;
    s->undefined = 0;
    s->raised = false;
    s->dead = 0;
    s->misses = s->vm.mmio.misses;
    if (!_setjmp(s->env)) {
        ok = run_block(s) && step_across(s);
    } else {
        s->raised = true;
        s->dead = dead_flags_at(mine, mine->rip);
        mine->trap_env = &s->env;
        x86_deliver_trap(mine);
    }
    return ok && s->vm.mmio.misses == s->misses && s->nr_dirty <= DIRTY_MAX && mine->activity == X86_RUNNING;
}

/* Words that differ otherwise than a page-table entry's accessed and dirty bits, or the flags in the frame of a fault. */
static bool words_differ(const struct shadow *s, uint64_t x, uint64_t y, gpa_t at, gpa_t flags_at)
{
    if (at == flags_at && !((x ^ y) & ~(uint64_t)(s->dead | s->undefined)))
        return false;
    return x != y && !((x & y & 1) && ((x ^ y) & ~(uint64_t)PTE_AD) == 0);
}

static bool memory_differs(const struct shadow *s, gpa_t flags_at)
{
    for (int n = 0; n < s->nr_dirty; n++) {
        uint64_t off = s->dirty[n] << GPAGE_SHIFT;
        for (unsigned k = 0; k < GPAGE_SIZE; k += 8) {
            uint64_t x, y;
            memcpy(&x, s->real->host + off + k, 8);
            memcpy(&y, s->vm.gmem.host + off + k, 8);
            if (words_differ(s, x, y, off + k, flags_at))
                return true;
        }
    }
    return false;
}

/* Offset in memory of the pushed flags, when a fault has just been delivered; else none. */
static gpa_t pushed_flags(const struct shadow *s)
{
    gpa_t gpa;
    static const uint32_t with_error = 1u << X86_DF | 1u << X86_TS | 1u << X86_NP | 1u << X86_SS | 1u << X86_GP | 1u << X86_PF
                                       | 1u << X86_AC;
    gva_t at = s->cpu->gpr[RSP] + 16 + (with_error >> s->cpu->trap.vector & 1 ? 8 : 0);
    const uint8_t *p = s->raised && x86_translate_quiet(s->cpu, at, &gpa) ? gmem_pin(&s->vm.gmem, gpa, 8) : NULL;
    return p ? (gpa_t)(p - s->vm.gmem.host) : UINT64_MAX;
}

const char *shadow_compare(struct shadow *s, struct x86_cpu *c)
{
    uint64_t flags = c->rflags, open = s->dead | s->undefined;
    if (c->rip != s->cpu->rip)
        return "rip";
    open |= dead_flags_at(c, c->rip);
    c->rflags = (flags & ~open) | (s->cpu->rflags & open);
    const char *differ = state_diff(&x86_state_desc, c, s->cpu);
    c->rflags = flags;
    if (differ)
        return differ;
    return memory_differs(s, pushed_flags(s)) ? "memory" : NULL;
}

void shadow_print(const struct shadow *s, const struct x86_cpu *c)
{
    struct x86_insn i;
    char text[X86_DISASM_MAX];
    gva_t rip = s->from;
    for (unsigned k = 0; k < BLOCK_MAX_INSNS && decode_at(c, rip, &i); k++, rip += i.len) {
        x86_disasm(&i, rip, text, sizeof(text));
        printf("    %lx  %s\n", rip, text);
        if (x86_row_ends_block(&x86_rows[i.row]))
            break;
    }
    printf("    rip %lx ref %lx, rflags %lx ref %lx%s\n", c->rip, s->cpu->rip, c->rflags, s->cpu->rflags,
           s->raised ? ", a fault" : "");
    for (unsigned n = 0; n < 16; n++)
        if (c->gpr[n] != s->cpu->gpr[n])
            printf("    register %u: %lx ref %lx\n", n, c->gpr[n], s->cpu->gpr[n]);
    for (int n = 0; n < s->nr_dirty && n < DIRTY_MAX; n++)
        for (uint64_t at = s->dirty[n] << GPAGE_SHIFT, end = at + GPAGE_SIZE; at < end; at += 8)
            if (memcmp(s->real->host + at, s->vm.gmem.host + at, 8) != 0) {
                uint64_t x, y;
                memcpy(&x, s->real->host + at, 8);
                memcpy(&y, s->vm.gmem.host + at, 8);
                printf("    memory at %lx of RAM: %lx ref %lx\n", at, x, y);
            }
    (void)fflush(stdout);
}

void shadow_drop(struct shadow *s)
{
    struct gmem *g = &s->vm.gmem;
    if (s->nr_dirty > DIRTY_MAX) {
        (void)madvise(g->host, g->size, MADV_DONTNEED);
        (void)mprotect(g->host, g->size, PROT_READ);
    } else {
        for (int n = 0; n < s->nr_dirty; n++) {
            uint8_t *p = g->host + (s->dirty[n] << GPAGE_SHIFT);
            (void)madvise(p, GPAGE_SIZE, MADV_DONTNEED); /* the machine's page again */
            (void)mprotect(p, GPAGE_SIZE, PROT_READ);
        }
    }
    s->nr_dirty = 0;
}
