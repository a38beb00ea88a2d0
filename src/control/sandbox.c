/* SPDX-License-Identifier: MIT */
/*
 * The sandbox: lists of system calls, the filter made of them, and Landlock.
 */
#include "control/sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <linux/landlock.h>
#include <linux/prctl.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <seccomp.h>
#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/checked.h"
#include "base/cleanup.h"

/* ---- lists ---- */

/* What every machine needs while it runs, and to end. */
static const int base_calls[] = {
    /* memory: the translators' code, malloc, stacks */
    SCMP_SYS(mmap),
    SCMP_SYS(munmap),
    SCMP_SYS(mprotect),
    SCMP_SYS(mremap),
    SCMP_SYS(madvise),
    SCMP_SYS(brk),
    SCMP_SYS(membarrier),
    SCMP_SYS(memfd_create),
    SCMP_SYS(mincore),
    SCMP_SYS(msync),
    /* threads */
    SCMP_SYS(futex),
    SCMP_SYS(set_robust_list),
    SCMP_SYS(get_robust_list),
    SCMP_SYS(rseq),
    SCMP_SYS(set_tid_address),
    SCMP_SYS(gettid),
    SCMP_SYS(getpid),
    SCMP_SYS(sched_yield),
    SCMP_SYS(sched_getaffinity),
    SCMP_SYS(getcpu),
    SCMP_SYS(exit),
    SCMP_SYS(exit_group),
    SCMP_SYS(arch_prctl),
    /* signals */
    SCMP_SYS(rt_sigaction),
    SCMP_SYS(rt_sigprocmask),
    SCMP_SYS(rt_sigreturn),
    SCMP_SYS(rt_sigtimedwait),
    SCMP_SYS(rt_sigpending),
    SCMP_SYS(sigaltstack),
    SCMP_SYS(restart_syscall),
    SCMP_SYS(pause),
    /* time, randomness, facts about ourselves */
    SCMP_SYS(clock_gettime),
    SCMP_SYS(clock_getres),
    SCMP_SYS(clock_nanosleep),
    SCMP_SYS(nanosleep),
    SCMP_SYS(gettimeofday),
    SCMP_SYS(time),
    SCMP_SYS(getrandom),
    SCMP_SYS(getrusage),
    SCMP_SYS(times),
    SCMP_SYS(getrlimit),
    SCMP_SYS(sysinfo),
    SCMP_SYS(uname),
    SCMP_SYS(getuid),
    SCMP_SYS(geteuid),
    SCMP_SYS(getgid),
    SCMP_SYS(getegid),
    /* descriptors that are open */
    SCMP_SYS(read),
    SCMP_SYS(write),
    SCMP_SYS(readv),
    SCMP_SYS(writev),
    SCMP_SYS(pread64),
    SCMP_SYS(pwrite64),
    SCMP_SYS(preadv),
    SCMP_SYS(pwritev),
    SCMP_SYS(preadv2),
    SCMP_SYS(pwritev2),
    SCMP_SYS(lseek),
    SCMP_SYS(fstat),
    SCMP_SYS(fsync),
    SCMP_SYS(fdatasync),
    SCMP_SYS(fallocate),
    SCMP_SYS(ftruncate),
    SCMP_SYS(fcntl),
    SCMP_SYS(close),
    SCMP_SYS(dup),
    /* waiting for them */
    SCMP_SYS(epoll_create1),
    SCMP_SYS(epoll_ctl),
    SCMP_SYS(epoll_wait),
    SCMP_SYS(epoll_pwait),
    SCMP_SYS(poll),
    SCMP_SYS(ppoll),
    SCMP_SYS(eventfd2),
    SCMP_SYS(timerfd_create),
    SCMP_SYS(timerfd_settime),
    SCMP_SYS(timerfd_gettime),
    SCMP_SYS(io_uring_enter),
    /* clients of the sockets that listen */
    SCMP_SYS(accept4),
    SCMP_SYS(recvfrom),
    SCMP_SYS(recvmsg),
    SCMP_SYS(sendto),
    SCMP_SYS(sendmsg),
    SCMP_SYS(shutdown),
    SCMP_SYS(getsockopt),
    SCMP_SYS(setsockopt),
};

/* Additions by need. */
static const int socket_calls[] = {
    SCMP_SYS(connect),     SCMP_SYS(bind),        SCMP_SYS(listen),   SCMP_SYS(accept),
    SCMP_SYS(getsockname), SCMP_SYS(getpeername), SCMP_SYS(sendmmsg), SCMP_SYS(recvmmsg),
};
static const int file_calls[] = {
    SCMP_SYS(openat),          SCMP_SYS(openat2),   SCMP_SYS(newfstatat), SCMP_SYS(statx),      SCMP_SYS(getdents64),
    SCMP_SYS(readlinkat),      SCMP_SYS(faccessat), SCMP_SYS(faccessat2), SCMP_SYS(mkdirat),    SCMP_SYS(mknodat),
    SCMP_SYS(unlinkat),        SCMP_SYS(renameat2), SCMP_SYS(renameat),   SCMP_SYS(linkat),     SCMP_SYS(symlinkat),
    SCMP_SYS(fchmod),          SCMP_SYS(fchmodat),  SCMP_SYS(fchown),     SCMP_SYS(fchownat),   SCMP_SYS(utimensat),
    SCMP_SYS(fstatfs),         SCMP_SYS(fgetxattr), SCMP_SYS(fsetxattr),  SCMP_SYS(flistxattr), SCMP_SYS(fremovexattr),
    SCMP_SYS(copy_file_range), SCMP_SYS(flock),     SCMP_SYS(fchdir),     SCMP_SYS(umask),      SCMP_SYS(syncfs),
    SCMP_SYS(setfsuid),        SCMP_SYS(setfsgid),
};
/* What a child of ours does before it is nothing but guest memory is among them; it can do as little as we. */
static const int process_calls[] = {
    SCMP_SYS(wait4),
    SCMP_SYS(pidfd_send_signal),
    SCMP_SYS(close_range),
};
/* Of ptrace(2): nothing that attaches, so that it is about children that asked for it. */
static const int trace_requests[] = {
    PTRACE_TRACEME, PTRACE_SETOPTIONS, PTRACE_CONT,      PTRACE_SYSEMU,     PTRACE_GETREGS,
    PTRACE_SETREGS, PTRACE_GETREGSET,  PTRACE_SETREGSET, PTRACE_GETSIGINFO,
};
static const int clean_calls[] = { SCMP_SYS(unlink) };

/* Nobody asks for these by mistake. */
static const int absurd_calls[] = {
    SCMP_SYS(init_module), SCMP_SYS(finit_module), SCMP_SYS(delete_module), SCMP_SYS(kexec_load),   SCMP_SYS(kexec_file_load),
    SCMP_SYS(reboot),      SCMP_SYS(swapon),       SCMP_SYS(swapoff),       SCMP_SYS(mount),        SCMP_SYS(umount2),
    SCMP_SYS(pivot_root),  SCMP_SYS(chroot),       SCMP_SYS(setns),         SCMP_SYS(unshare),      SCMP_SYS(bpf),
    SCMP_SYS(iopl),        SCMP_SYS(ioperm),       SCMP_SYS(sethostname),   SCMP_SYS(settimeofday), SCMP_SYS(clock_settime),
    SCMP_SYS(acct),
};

/* Of terminals (their mode) and block devices. */
static const unsigned long ioctls[] = { TCGETS, TCSETS, TCSETSW, TCSETSF, TIOCGWINSZ, FIONREAD, FIONBIO, BLKDISCARD, BLKZEROOUT };

/* Of sockets, where some are needed. */
static const unsigned families[] = { AF_INET, AF_INET6 };

/* ---- the filter ---- */

static int add_list(scmp_filter_ctx ctx, uint32_t action, const int *calls, size_t nr)
{
    int r = 0;
    for (size_t i = 0; i < nr && r == 0; i++)
        r = seccomp_rule_add(ctx, action, calls[i], 0);
    return r;
}
#define ADD(ctx, action, list) add_list(ctx, action, list, ARRAY_SIZE(list))

/* Processes of which we are the tracer: engine direct. */
static int add_processes(scmp_filter_ctx ctx)
{
    int r = ADD(ctx, SCMP_ACT_ALLOW, process_calls);
    for (unsigned i = 0; i < ARRAY_SIZE(trace_requests) && r == 0; i++)
        r = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(ptrace), 1, SCMP_A0(SCMP_CMP_EQ, (scmp_datum_t)trace_requests[i]));
    if (r == 0)
        r = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(clone), 1, SCMP_A0(SCMP_CMP_EQ, CLONE_PIDFD | SIGCHLD));
    return r;
}

/* Requests that one descriptor takes. */
static int add_device(scmp_filter_ctx ctx, const struct sandbox_device *d)
{
    int r = 0;
    for (unsigned i = 0; i < d->nr_ioctls && r == 0; i++)
        r = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(ioctl), 2,
                             SCMP_A0(SCMP_CMP_MASKED_EQ, UINT32_MAX, (scmp_datum_t)d->fd),
                             SCMP_A1(SCMP_CMP_MASKED_EQ, UINT32_MAX, d->ioctl[i]));
    return r;
}

/* Calls of which only some arguments are good. */
static int add_conditional(scmp_filter_ctx ctx, const struct sandbox_needs *needs)
{
    int r = 0;
    for (unsigned i = 0; i < ARRAY_SIZE(ioctls) && r == 0; i++)
        r = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(ioctl), 1, SCMP_A1(SCMP_CMP_MASKED_EQ, UINT32_MAX, ioctls[i]));
    for (unsigned i = 0; i < needs->nr_devices && r == 0; i++)
        r = add_device(ctx, &needs->device[i]);
    if (r == 0) /* new threads, not new processes; clone3, which cannot be looked into, does not exist: libc takes clone then */
        r = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(clone), 1,
                             SCMP_A0(SCMP_CMP_MASKED_EQ, CLONE_THREAD | CLONE_VM, CLONE_THREAD | CLONE_VM));
    if (r == 0)
        r = seccomp_rule_add(ctx, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(clone3), 0);
    if (r == 0) /* signals to ourselves: raise(3), pthread_kill(3) */
        r = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(tgkill), 1, SCMP_A0(SCMP_CMP_EQ, (scmp_datum_t)getpid()));
    if (r == 0) /* getrlimit(3) of us */
        r = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(prlimit64), 2, SCMP_A0(SCMP_CMP_EQ, 0), SCMP_A2(SCMP_CMP_EQ, 0));
    if (r == 0 && needs->sockets && !needs->files) /* the name servers' addresses, in /etc/resolv.conf, are read when asked for */
        r = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(openat), 1,
                             SCMP_A2(SCMP_CMP_MASKED_EQ, O_ACCMODE | O_CREAT | O_TRUNC, O_RDONLY));
    for (unsigned i = 0; i < ARRAY_SIZE(families) && r == 0 && needs->sockets;
         i++) /* no Unix sockets: they lead to all the user runs */
        r = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(socket), 1, SCMP_A0(SCMP_CMP_EQ, families[i]));
    if (r == 0 && !needs->files) /* fstat(3) */
        r = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(newfstatat), 1,
                             SCMP_A3(SCMP_CMP_MASKED_EQ, AT_EMPTY_PATH, AT_EMPTY_PATH));
    return r;
}

static int apply_seccomp(const struct sandbox_needs *needs, bool clean, struct error *err)
{
    scmp_filter_ctx ctx = seccomp_init(SCMP_ACT_ERRNO(EPERM));
    if (!ctx)
        return error_set(err, -ENOMEM, "out of memory for a seccomp filter");
    int r = seccomp_attr_set(ctx, SCMP_FLTATR_CTL_TSYNC, 1);
    (void)seccomp_attr_set(ctx, SCMP_FLTATR_CTL_OPTIMIZE, 2); /* a tree; old libraries make a list, which only takes longer */
    if (r == 0)
        r = ADD(ctx, SCMP_ACT_ALLOW, base_calls);
    if (r == 0 && needs->sockets)
        r = ADD(ctx, SCMP_ACT_ALLOW, socket_calls);
    if (r == 0 && needs->files)
        r = ADD(ctx, SCMP_ACT_ALLOW, file_calls);
    if (r == 0 && needs->processes)
        r = add_processes(ctx);
    if (r == 0 && clean)
        r = ADD(ctx, SCMP_ACT_ALLOW, clean_calls);
    if (r == 0)
        r = ADD(ctx, SCMP_ACT_KILL_PROCESS, absurd_calls);
    if (r == 0)
        r = add_conditional(ctx, needs);
    if (r == 0)
        r = seccomp_load(ctx);
    seccomp_release(ctx);
    return r < 0 ? error_set(err, r, "cannot set the seccomp filter: %s", strerror(-r)) : 0;
}

/* ---- Landlock ---- */

/* Younger than the headers we are built with. Spec: landlock(7) */
struct ruleset_attr {
    uint64_t handled_access_fs, handled_access_net, scoped;
};
enum { FS_ABI1 = (1 << 13) - 1, FS_REFER = 1 << 13, FS_TRUNCATE = 1 << 14, FS_IOCTL_DEV = 1 << 15 };
enum { NET_TCP = 3, SCOPE_ABSTRACT_AND_SIGNAL = 3 };

static int landlock_abi(void)
{
    long abi = syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
    return abi > 0 ? (int)abi : 0;
}

static uint64_t all_file_rights(int abi)
{
    return (uint64_t)FS_ABI1 | (abi >= 2 ? FS_REFER : 0U) | (abi >= 3 ? FS_TRUNCATE : 0U) | (abi >= 5 ? FS_IOCTL_DEV : 0U);
}

/* A folder with all below it, or a file. */
static int allow_below(int ruleset, const char *folder, uint64_t rights, struct error *err)
{
    AUTO_CLOSE int fd = open(folder, O_PATH | O_CLOEXEC);
    const struct landlock_path_beneath_attr attr = { .allowed_access = rights, .parent_fd = fd };
    if (fd < 0 || syscall(SYS_landlock_add_rule, ruleset, LANDLOCK_RULE_PATH_BENEATH, &attr, 0) < 0)
        return error_set(err, -errno, "Landlock: %s: %s", folder, strerror(errno));
    return 0;
}

static int apply_landlock(const struct sandbox_needs *needs, int abi, struct error *err)
{
    const uint64_t all = all_file_rights(abi);
    const struct ruleset_attr attr = {
        .handled_access_fs = all,
        .handled_access_net = needs->sockets ? 0 : NET_TCP,
        .scoped = SCOPE_ABSTRACT_AND_SIGNAL,
    };
    const size_t size = abi >= 6 ? sizeof(attr) : abi >= 4 ? 2 * sizeof(uint64_t) : sizeof(uint64_t);
    AUTO_CLOSE int ruleset = (int)syscall(SYS_landlock_create_ruleset, &attr, size, 0);
    if (ruleset < 0)
        return error_set(err, -errno, "Landlock: %s", strerror(errno));
    int r = needs->clean_dir ? allow_below(ruleset, needs->clean_dir, LANDLOCK_ACCESS_FS_REMOVE_FILE, err) : 0;
    if (needs->sockets) /* should it not be there, there is nothing to read */
        (void)allow_below(ruleset, "/etc/resolv.conf", LANDLOCK_ACCESS_FS_READ_FILE, NULL);
    for (unsigned i = 0; needs->files && i < needs->nr_folders && r == 0; i++)
        r = allow_below(ruleset, needs->folder[i], all & ~(uint64_t)LANDLOCK_ACCESS_FS_EXECUTE, err);
    if (r == 0 && syscall(SYS_landlock_restrict_self, ruleset, 0) < 0)
        r = error_set(err, -errno, "Landlock: %s", strerror(errno));
    return r;
}

/* ---- exports ---- */

void sandbox_probe(struct sandbox_host *ret_host)
{
    uint32_t action = SECCOMP_RET_ERRNO;
    *ret_host = (struct sandbox_host){
        .seccomp = syscall(SYS_seccomp, SECCOMP_GET_ACTION_AVAIL, 0, &action) == 0,
        .no_new_privs = prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) >= 0,
        .landlock = landlock_abi(),
    };
}

int sandbox_apply(const struct sandbox_needs *needs, bool *ret_landlock, struct error *err)
{
    struct sandbox_host host;
    sandbox_probe(&host);
    if (!host.seccomp)
        return error_set(err, -ENOTSUP, "this host has no seccomp filters");
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
        return error_set(err, -errno, "no_new_privs: %s", strerror(errno));
    int r = host.landlock ? apply_landlock(needs, host.landlock, err) : 0;
    if (r == 0)
        r = apply_seccomp(needs, host.landlock && needs->clean_dir, err);
    if (r == 0)
        *ret_landlock = host.landlock;
    return r;
}
