/* SPDX-License-Identifier: MIT */
/*
 * The traced process: its birth, the calls that the tracer makes in it, and its stops.
 *
 * It is a copy of ours that unmaps all it has but a page with SYSCALL; INT3 and closes all but two files, the guest's memory
 * and that page's. From then on only the tracer's injected mmap and munmap are system calls: the guest runs under
 * PTRACE_SYSEMU, where SYSCALL stops and does nothing. Signals never reach it; each is a stop that tells what happened.
 *
 * Spec: ptrace(2), rseq(2)
 */
#include "engine/direct/process.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/rseq.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"

enum { KICK_SIGNAL = SIGUSR1, NT_XSTATE = 0x202, HOST_CS = 0x33, HOST_SS = 0x2b, UNREGISTER = 1, SET_CPUID = 0x1012 };
#define STUB PROCESS_TOP
#define HOST_END (PROCESS_TOP + GPAGE_SIZE)

static const uint8_t stub_code[] = { 0x0f, 0x05, 0xcc }; /* syscall; int3 */

/* ---- the child's side: no libc state, for other threads' locks were copied as they were ---- */

static void close_all_but(int a, int b)
{
    unsigned lo = (unsigned)(a < b ? a : b), hi = (unsigned)(a < b ? b : a);
    if (lo > 0)
        (void)syscall(SYS_close_range, 0, lo - 1, 0); /* what stays open harms nobody: nothing here makes calls */
    if (hi > lo + 1)
        (void)syscall(SYS_close_range, lo + 1, hi - 1, 0);
    (void)syscall(SYS_close_range, hi + 1, ~0U, 0);
}

/* A second lock: whatever went wrong in the tracer, only mappings can be changed. Fails, needlessly, in the sandbox. */
static void restrict_calls(void)
{
    struct sock_filter filter[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_mmap, 1, 0),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_munmap, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
    };
    struct sock_fprog prog = { sizeof(filter) / sizeof(filter[0]), filter };
    (void)syscall(SYS_prctl, PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    (void)syscall(SYS_prctl, PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &prog, 0, 0);
}

/* Stops with the stub's address in rax, 0: it could not. */
static _Noreturn void child(int memory_fd, int stub_fd)
{
    sigset_t none;
    (void)sigemptyset(&none);
    (void)syscall(SYS_rt_sigprocmask, SIG_SETMASK, &none, NULL, 8);
    if (__rseq_size) /* else the kernel looks for an area that is gone, and kills us */
        (void)syscall(SYS_rseq, (char *)__builtin_thread_pointer() + __rseq_offset, 32, UNREGISTER, RSEQ_SIG);
    close_all_but(memory_fd, stub_fd);
    long at = syscall(SYS_mmap, NULL, GPAGE_SIZE, PROT_READ | PROT_EXEC, MAP_SHARED, stub_fd, 0);
    if (syscall(SYS_ptrace, PTRACE_TRACEME, 0, 0, 0) < 0)
        at = -1;
    (void)syscall(SYS_arch_prctl, SET_CPUID, 0); /* where the CPU can, CPUID is a privileged instruction from now on */
    restrict_calls();
    for (;;)
        __asm__ volatile("int3" : : "a"(at < 0 ? 0 : at));
}

/* ---- the tracer's side ---- */

static int wait_stop(struct process *p, int *ret_signal)
{
    int status;
    pid_t r;
    do
        r = waitpid(p->pid, &status, __WALL);
    while (r < 0 && errno == EINTR);
    if (r < 0)
        return -errno;
    if (!WIFSTOPPED(status)) {
        p->pid = 0; /* reaped */
        return -ESRCH;
    }
    *ret_signal = WSTOPSIG(status);
    return 0;
}

/* Makes a system call in the process from the stub at `stub`. The registers it has afterwards are of no use. */
static int64_t inject(struct process *p, gva_t stub, long nr, uint64_t a, uint64_t b, uint64_t c, uint64_t d, uint64_t e,
                      uint64_t f)
{
    struct user_regs_struct r = { .rip = stub, .rax = (uint64_t)nr, .rdi = a, .rsi = b, .rdx = c, .r10 = d, .r8 = e, .r9 = f };
    int sig = 0;
    r.cs = HOST_CS;
    r.ss = HOST_SS;
    r.eflags = FLAG_ONE | FLAG_IF;
    r.orig_rax = ~0ULL;
    if (p->pid == 0 || ptrace(PTRACE_SETREGS, p->pid, 0, &r) < 0)
        return -ESRCH;
    do { /* a kick may come first */
        if (ptrace(PTRACE_CONT, p->pid, 0, 0) < 0 || wait_stop(p, &sig) < 0)
            return -ESRCH;
    } while (sig == KICK_SIGNAL);
    if (sig != SIGTRAP || ptrace(PTRACE_GETREGS, p->pid, 0, &r) < 0)
        return -EIO;
    return (int64_t)r.rax;
}

int process_map(struct process *p, gva_t va, uint64_t len, int prot, int memory_fd, uint64_t offset)
{
    int64_t r = inject(p, STUB, SYS_mmap, va, len, (uint64_t)prot, MAP_SHARED | MAP_FIXED, (uint64_t)memory_fd, offset);
    return r < 0 ? (int)r : 0;
}

int process_unmap(struct process *p, gva_t va, uint64_t len)
{
    return (int)inject(p, STUB, SYS_munmap, va, len, 0, 0, 0, 0);
}

/* Unmaps all that the process has from us, and puts the stub at its place. */
static int clear(struct process *p, gva_t first_stub, int stub_fd)
{
    const gva_t after = first_stub + GPAGE_SIZE;
    int64_t r = inject(p, first_stub, SYS_munmap, 0, first_stub, 0, 0, 0, 0);
    if (r == 0)
        r = inject(p, first_stub, SYS_munmap, after, HOST_END - after, 0, 0, 0, 0);
    if (r == 0)
        r = inject(p, first_stub, SYS_mmap, STUB, GPAGE_SIZE, PROT_READ | PROT_EXEC, MAP_SHARED | MAP_FIXED, (uint64_t)stub_fd,
                   0);
    if (r == (int64_t)STUB)
        r = process_unmap(p, first_stub, GPAGE_SIZE);
    return r < 0 ? (int)r : 0;
}

static int make_stub(void)
{
    int fd = memfd_create("stub", MFD_CLOEXEC);
    if (fd >= 0 && (ftruncate(fd, GPAGE_SIZE) < 0 || pwrite(fd, stub_code, sizeof(stub_code), 0) != sizeof(stub_code))) {
        (void)close(fd);
        return -EIO;
    }
    return fd < 0 ? -errno : fd;
}

static int get_xstate(struct process *p)
{
    struct iovec io = { p->xstate, PROCESS_XSTATE_MAX };
    if (ptrace(PTRACE_GETREGSET, p->pid, NT_XSTATE, &io) < 0)
        return -errno;
    p->xstate_len = io.iov_len;
    return 0;
}

/* The child stands at its INT3. */
static int adopt(struct process *p, int stub_fd)
{
    struct user_regs_struct r;
    int sig = 0, e = wait_stop(p, &sig);
    if (e == 0 && sig != SIGTRAP)
        e = -EIO;
    if (e == 0 && ptrace(PTRACE_SETOPTIONS, p->pid, 0, PTRACE_O_EXITKILL | PTRACE_O_TRACESYSGOOD) < 0)
        e = -errno;
    if (e == 0 && ptrace(PTRACE_GETREGS, p->pid, 0, &r) < 0)
        e = -errno;
    if (e == 0 && r.rax == 0)
        e = -EACCES;
    if (e == 0)
        e = clear(p, r.rax, stub_fd);
    return e < 0 ? e : get_xstate(p);
}

int process_start(struct process *p, int memory_fd, struct error *err)
{
    int pidfd = -1;
    if (p->pid)
        return 0;
    AUTO_CLOSE int stub_fd = make_stub();
    if (!p->xstate)
        p->xstate = malloc(PROCESS_XSTATE_MAX);
    if (stub_fd < 0 || !p->xstate)
        return error_set(err, stub_fd < 0 ? stub_fd : -ENOMEM, "no memory for a guest's process");
    if (p->started)
        (void)close(p->kick); /* the last one's */
    p->started = false;
    long pid = syscall(SYS_clone, CLONE_PIDFD | SIGCHLD, 0, &pidfd, 0, 0);
    if (pid < 0)
        return error_set(err, -errno, "cannot make a process for the guest: %s", strerror(errno));
    if (pid == 0)
        child(memory_fd, stub_fd);
    p->pid = (pid_t)pid;
    atomic_store_explicit(&p->kick, pidfd, memory_order_seq_cst);
    p->started = true;
    xstate_layout_init(&p->layout);
    int r = adopt(p, stub_fd);
    if (r < 0) {
        process_stop(p);
        return error_set(err, r, "cannot trace the guest's process: %s (ptrace(2) must be allowed)", strerror(-r));
    }
    return 0;
}

void process_stop(struct process *p)
{
    if (!p->pid)
        return;
    (void)syscall(SYS_pidfd_send_signal, p->kick, SIGKILL, NULL, 0);
    while (waitpid(p->pid, NULL, __WALL) < 0 && errno == EINTR)
        ;
    p->pid = 0;
}

void process_done(struct process *p)
{
    process_stop(p);
    if (p->started)
        (void)close(p->kick);
    free(p->xstate);
    p->started = false;
    p->xstate = NULL;
}

void process_kick(struct process *p)
{
    (void)syscall(SYS_pidfd_send_signal, atomic_load_explicit(&p->kick, memory_order_seq_cst), KICK_SIGNAL, NULL, 0);
}

static enum process_stop fault_of(struct process *p, gva_t *ret_addr, bool *ret_mapped)
{
    siginfo_t info;
    if (ptrace(PTRACE_GETSIGINFO, p->pid, 0, &info) < 0)
        return PROCESS_DIED;
    if (info.si_code != SEGV_MAPERR && info.si_code != SEGV_ACCERR)
        return PROCESS_GP;
    *ret_addr = (gva_t)info.si_addr;
    *ret_mapped = info.si_code == SEGV_ACCERR;
    return PROCESS_PAGE;
}

static enum process_stop trap_of(struct process *p)
{
    siginfo_t info;
    if (ptrace(PTRACE_GETSIGINFO, p->pid, 0, &info) < 0)
        return PROCESS_DIED;
    return info.si_code == TRAP_TRACE || info.si_code == TRAP_HWBKPT ? PROCESS_STEP : PROCESS_INT3;
}

static enum process_stop stop_of(struct process *p, int sig, gva_t *ret_addr, bool *ret_mapped)
{
    switch (sig) {
    case SIGTRAP | 0x80: return PROCESS_SYSCALL;
    case SIGSEGV: return fault_of(p, ret_addr, ret_mapped);
    case SIGBUS: return PROCESS_ALIGN;
    case SIGILL: return PROCESS_UD;
    case SIGFPE: return PROCESS_FPE;
    case SIGTRAP: return trap_of(p);
    default: return PROCESS_KICKED;
    }
}

enum process_stop process_run(struct process *p, struct user_regs_struct *regs, gva_t *ret_addr, bool *ret_mapped)
{
    int sig = 0;
    regs->cs = HOST_CS;
    regs->ss = HOST_SS;
    regs->ds = regs->es = regs->fs = regs->gs = 0;
    regs->orig_rax = ~0ULL; /* no system call to restart */
    if (ptrace(PTRACE_SETREGS, p->pid, 0, regs) < 0 || ptrace(PTRACE_SYSEMU, p->pid, 0, 0) < 0 || wait_stop(p, &sig) < 0
        || ptrace(PTRACE_GETREGS, p->pid, 0, regs) < 0)
        return PROCESS_DIED;
    return stop_of(p, sig, ret_addr, ret_mapped);
}

int process_get_fpu(struct process *p, struct x86_fpu *ret_fpu)
{
    int r = get_xstate(p);
    if (r == 0)
        xstate_get(&p->layout, p->xstate, p->xstate_len, ret_fpu);
    return r;
}

int process_set_fpu(struct process *p, const struct x86_fpu *fpu)
{
    struct iovec io = { p->xstate, p->xstate_len };
    xstate_put(&p->layout, p->xstate, p->xstate_len, fpu);
    return ptrace(PTRACE_SETREGSET, p->pid, NT_XSTATE, &io) < 0 ? -errno : 0;
}
