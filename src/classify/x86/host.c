/* SPDX-License-Identifier: MIT */
/*
 * The user-mode side of the experiments on the real CPU: see host.h.
 *
 * The child enters the state by returning from a signal (of a UD2) whose context it has filled in, and leaves it by another: the
 * code page is full of INT3, so what completes traps there; what faults gets its own signal; a system call gets SIGSYS. The
 * handler runs on a stack of its own and first takes back FS base and AC, which the instruction may have changed and C code lives
 * with.
 */
#include "classify/x86/host.h"

#include <asm/prctl.h>
#include <errno.h>
#include <inttypes.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <setjmp.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <ucontext.h>
#include <unistd.h>

#include "classify/x86/lab.h"
#include "classify/x86/states.h"
#include "isa/x86/disasm.h"
#include "isa/x86/trap.h"

enum { CODE_PAGE = 4096, SECONDS = 2, VECTOR_NONE = 0xff, XMM = 16 };

/* One case; in memory that parent and child share. */
struct host_case {
    uint64_t gpr[16], rip, rflags;
    uint8_t xmm[XMM][16];
    struct x86_world_program program;
    uint8_t vector; /* out: of the trap, VECTOR_NONE: completed */
    bool done;      /* out */
};

/* What the reference machine made of it. */
struct reference {
    struct experiment_outcome outcome;
    struct x86_world_state state;
};

struct shared {
    struct host_case item[HOST_CASES];
};

/* The child's; it has one thread and ends soon. */
static struct {
    struct host_case *now;
    uint64_t fs_base;
    bool inside; /* the instruction under test is next, or was */
    sigjmp_buf back;
} child;

/* REG_* of the general registers, in the order of their numbers. */
static const uint8_t greg[16] = { REG_RAX, REG_RCX, REG_RDX, REG_RBX, REG_RSP, REG_RBP, REG_RSI, REG_RDI,
                                  REG_R8,  REG_R9,  REG_R10, REG_R11, REG_R12, REG_R13, REG_R14, REG_R15 };

/* ---- in the child ---- */

static void enter(ucontext_t *u)
{
    const struct host_case *c = child.now;
    child.inside = true;
    for (unsigned n = 0; n < 16; n++)
        u->uc_mcontext.gregs[greg[n]] = (greg_t)c->gpr[n];
    u->uc_mcontext.gregs[REG_RIP] = (greg_t)c->rip;
    u->uc_mcontext.gregs[REG_EFL] = (greg_t)c->rflags;
    memcpy(u->uc_mcontext.fpregs->_xmm, c->xmm, sizeof(c->xmm));
    u->uc_mcontext.fpregs->mxcsr = 0x1f80;
}

/* Before anything that needs thread-local storage or reads misaligned memory. */
static inline void take_back(void)
{
    long r;
    __asm__ volatile("lea -128(%%rsp), %%rsp\n\tpushfq\n\tandl $~0x44000, (%%rsp)\n\tpopfq\n\tlea 128(%%rsp), %%rsp" ::
                         : "memory", "cc");
    __asm__ volatile("syscall"
                     : "=a"(r)
                     : "a"((long)SYS_arch_prctl), "D"((long)ARCH_SET_FS), "S"(child.fs_base)
                     : "rcx", "r11", "memory");
}

static void on_signal(int sig, siginfo_t *info, void *opaque)
{
    take_back();
    ucontext_t *u = opaque;
    struct host_case *c = child.now;
    const greg_t *g = u->uc_mcontext.gregs;
    (void)info;
    if (!child.inside) {
        enter(u);
        return;
    }
    child.inside = false;
    for (unsigned n = 0; n < 16; n++)
        c->gpr[n] = (uint64_t)g[greg[n]];
    c->rflags = (uint64_t)g[REG_EFL];
    memcpy(c->xmm, u->uc_mcontext.fpregs->_xmm, sizeof(c->xmm));
    memcpy(c->program.data, (const void *)WORLD_DATA, WORLD_DATA_SIZE); /* NOLINT: a fixed address is the point */
    /* a fault elsewhere is where it has gone on to; INT3 is what lies behind, or the instruction itself; only INT1 gives #DB */
    bool trapped = sig != SIGSYS && sig != SIGTRAP && (uint64_t)g[REG_RIP] == WORLD_RIP;
    c->vector = trapped ? (uint8_t)g[REG_TRAPNO] : VECTOR_NONE;
    c->rip = (uint64_t)g[REG_RIP] - (sig == SIGTRAP);
    c->done = true;
    siglongjmp(child.back, 1);
}

static void set_handlers(void)
{
    static const int ends[] = { SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGSYS };
    static uint8_t stack[1 << 17];
    stack_t ss = { .ss_sp = stack, .ss_size = sizeof(stack) };
    struct sigaction sa = { .sa_sigaction = on_signal, .sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER };
    int bad = sigaltstack(&ss, NULL);
    for (unsigned n = 0; n < sizeof(ends) / sizeof(ends[0]); n++)
        bad |= sigaction(ends[n], &sa, NULL);
    if (bad)
        _exit(1);
}

/* Of all system calls only those that the child itself makes from now on; others, and all 32-bit ones, are SIGSYS. */
static void close_kernel(void)
{
#define ALLOW(nr) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, nr, 0, 1), BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)
    struct sock_filter filter[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, arch)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, AUDIT_ARCH_X86_64, 1, 0),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_TRAP),
        /* and none from the code page, whatever its number */
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, instruction_pointer)),
        BPF_STMT(BPF_ALU | BPF_AND | BPF_K, ~(uint32_t)(CODE_PAGE - 1)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, WORLD_CODE, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_TRAP),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        ALLOW(SYS_rt_sigreturn),
        ALLOW(SYS_arch_prctl),
        ALLOW(SYS_exit_group),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_TRAP),
    };
#undef ALLOW
    const struct sock_fprog program = { .len = sizeof(filter) / sizeof(filter[0]), .filter = filter };
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) != 0)
        _exit(1);
}

static void *map_at(uint64_t at, int prot)
{
    void *p = mmap((void *)at, 4096, prot, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
    if (p == MAP_FAILED)
        _exit(1);
    return p;
}

static _Noreturn void run_child(struct shared *s, unsigned nr)
{
    const struct itimerval limit = { .it_value = { .tv_sec = SECONDS } };
    uint8_t *code = map_at(WORLD_CODE, PROT_READ | PROT_WRITE | PROT_EXEC), *data = map_at(WORLD_DATA, PROT_READ | PROT_WRITE);
    (void)setitimer(ITIMER_REAL, &limit, NULL); /* SIGALRM ends us; with valid arguments it cannot fail */
    set_handlers();
    if (syscall(SYS_arch_prctl, ARCH_GET_FS, &child.fs_base) != 0)
        _exit(1);
    close_kernel();
    for (volatile unsigned n = 0; n < nr; n++) {
        child.now = &s->item[n];
        memset(code, 0xcc, CODE_PAGE);
        memcpy(code + (WORLD_RIP - WORLD_CODE), child.now->program.code, WORLD_CODE_SIZE);
        memcpy(data, child.now->program.data, WORLD_DATA_SIZE);
        if (sigsetjmp(child.back, 0) == 0)
            __asm__ volatile("ud2" ::: "memory"); /* comes back by siglongjmp */
    }
    _exit(0);
}

/* ---- in the parent ---- */

/* A jump into its own bytes: what it executes then is not INT3. */
static bool goes_into_itself(const struct reference *o)
{
    return !o->outcome.trapped && o->state.cpu.rip - WORLD_RIP < X86_INSN_MAX
           && o->state.program.code[o->state.cpu.rip - WORLD_RIP] != 0xcc;
}

/* len: of the instruction; INT3 follows. */
static void fill_case(struct host_case *c, const struct x86_world_state *s, unsigned len)
{
    memset(c, 0, sizeof(*c));
    memcpy(c->gpr, s->cpu.gpr, sizeof(c->gpr));
    c->rip = WORLD_RIP;
    c->rflags = s->cpu.rflags;
    for (unsigned n = 0; n < XMM; n++)
        memcpy(c->xmm[n], s->cpu.fpu.zmm[n], 16);
    c->program = s->program;
    memset(c->program.code + len, 0xcc, sizeof(c->program.code) - len);
}

static int run_cases(struct shared *s, unsigned nr, struct error *err)
{
    int status;
    pid_t pid = fork();
    if (pid < 0)
        return error_set(err, -errno, "cannot fork: %s", strerror(errno));
    if (pid == 0)
        run_child(s, nr);
    while (waitpid(pid, &status, 0) < 0)
        if (errno != EINTR)
            return error_set(err, -errno, "cannot wait for a child: %s", strerror(errno));
    return 0;
}

static bool same_result(const struct host_case *c, const struct reference *o, const struct x86_row *row)
{
    uint64_t flags = row->flags_undef ? 0 : FLAGS_ARITH | FLAG_DF;
    const struct x86_cpu *cpu = &o->state.cpu;
    if (memcmp(c->gpr, cpu->gpr, sizeof(c->gpr)) != 0 || c->rip != cpu->rip || ((c->rflags ^ cpu->rflags) & flags)
        || memcmp(c->program.data, o->state.program.data, WORLD_DATA_SIZE) != 0)
        return false;
    for (unsigned n = 0; n < XMM; n++)
        if (memcmp(c->xmm[n], cpu->fpu.zmm[n], 16) != 0)
            return false;
    return true;
}

/* The first part of the result that differs, first 8 bytes of memory at a time. */
static void describe_difference(const struct host_case *c, const struct reference *o, char *text, size_t cap)
{
    const struct x86_cpu *cpu = &o->state.cpu;
    const uint8_t *here = c->program.data, *there = o->state.program.data;
    struct x86_insn i;
    char words[64] = "?";
    if (x86_decode(c->program.code, X86_INSN_MAX, X86_MODE_64, &i) > 0)
        x86_disasm(&i, WORLD_RIP, words, sizeof(words));
    for (unsigned n = 0; n < 16; n++)
        if (c->gpr[n] != cpu->gpr[n]) {
            (void)snprintf(text, cap, "%s: register %u is %#" PRIx64 " here, %#" PRIx64 " there", words, n, c->gpr[n],
                           cpu->gpr[n]);
            return;
        }
    for (unsigned n = 0; n + 8 <= WORLD_DATA_SIZE; n += 8) {
        uint64_t x, y;
        memcpy(&x, here + n, 8);
        memcpy(&y, there + n, 8);
        if (x != y) {
            (void)snprintf(text, cap, "%s: memory %#x is %#" PRIx64 " here, %#" PRIx64 " there; rcx %#" PRIx64, words,
                           WORLD_DATA + n, x, y, c->gpr[RCX]);
            return;
        }
    }
    (void)snprintf(text, cap, "%s: rip %#" PRIx64 ", flags %#" PRIx64 " here; rip %#" PRIx64 ", flags %#" PRIx64 " there", words,
                   c->rip, c->rflags, cpu->rip, cpu->rflags);
}

static void note_difference(const struct host_case *c, const struct reference *o, struct host_row *r)
{
    if (r->result_differs++ == 0)
        describe_difference(c, o, r->example, sizeof(r->example));
}

static void compare(const struct host_case *c, const struct reference *o, const struct x86_row *row, struct host_row *r)
{
    r->cases++;
    if (!c->done) {
        r->lost++;
        return;
    }
    bool completed = c->vector == VECTOR_NONE;
    r->host_completed += completed;
    r->reference_completed += !o->outcome.trapped;
    if (completed == o->outcome.trapped)
        r->trap_differs++;
    else if (completed && !(row->flags & (ROW_AVX | ROW_AVX512 | ROW_X87 | ROW_MMX)) && !same_result(c, o, row))
        note_difference(c, o, r); /* of the registers that contexts of signals hold in one place on all CPUs */
}

/* Makes cases of a row, and what the reference machine makes of them. Returns how many. */
static unsigned make_cases(struct experiment *e, unsigned row, struct x86_world_state state[2], struct reference *out,
                           struct shared *s)
{
    struct x86_world *const worlds[2] = { x86_lab_world(e, 0), x86_lab_world(e, 1) };
    struct x86_world_state *const pair[2] = { &state[0], &state[1] };
    const struct encodings_row *enc = &x86_lab_encodings(e)[row];
    struct experiment_id id = { .seed = 1, .subject = (uint16_t)row, .kind = VARY_MODE };
    struct x86_insn i;
    unsigned world, nr = 0;
    if (!enc->nr || enc->mode != X86_MODE_64)
        return 0;
    for (; nr < HOST_CASES && id.number < 4 * HOST_CASES; id.number++) {
        if (!x86_states_make(worlds, enc, &id, false, pair, &world, &i))
            continue;
        if (x86_rows[row].flags & ROW_NEARBR && i.bytes[0] == 0x66)
            continue;                              /* AMD's jump in 16 bits then, Intel's do not */
        state[1].cpu.cr0 &= ~(uint64_t)CR0_TS;     /* a host's user does not see it set */
        state[1].cpu.rflags &= ~(uint64_t)FLAG_AC; /* the host's CR0.AM is set, too */
        fill_case(&s->item[nr], &state[1], i.len);
        state[1].program = s->item[nr].program;
        x86_world_run(worlds[0], &state[1], &out[nr].outcome, &out[nr].state);
        nr += !goes_into_itself(&out[nr]);
    }
    return nr;
}

static int try_row(struct experiment *e, unsigned row, struct x86_world_state state[2], struct reference *out,
                   struct host_row *ret_row, struct error *err)
{
    struct host_row h = { 0 };
    struct shared *s = mmap(NULL, sizeof(*s), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (s == MAP_FAILED)
        return error_set(err, -errno, "cannot map memory for a child: %s", strerror(errno));
    unsigned nr = make_cases(e, row, state, out, s);
    int r = nr ? run_cases(s, nr, err) : 0;
    for (unsigned n = 0; n < nr && r >= 0; n++)
        compare(&s->item[n], &out[n], &x86_rows[row], &h);
    (void)munmap(s, sizeof(*s)); /* our own mapping */
    if (r >= 0)
        *ret_row = h;
    return r;
}

int host_try(struct experiment *e, unsigned row, struct host_row *ret_row, struct error *err)
{
    struct x86_world_state *state = aligned_alloc(64, 2 * sizeof(*state));
    struct reference *out = aligned_alloc(64, HOST_CASES * sizeof(*out));
    int r = state && out ? try_row(e, row, state, out, ret_row, err) : error_set(err, -ENOMEM, "out of memory for states");
    free(state);
    free(out);
    return r;
}
