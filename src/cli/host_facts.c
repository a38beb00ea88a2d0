/* SPDX-License-Identifier: MIT */
/*
 * What this host offers: each fact is tried out by one small function.
 */
#include "cli/host_facts.h"

#include <cpuid.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/kvm.h>
#include <linux/membarrier.h>
#include <linux/userfaultfd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "base/checked.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "control/sandbox.h"

#define SET(fact, st, ...)                                                                                                       \
    do {                                                                                                                         \
        (fact)->state = (st);                                                                                                    \
        (void)snprintf((fact)->text, sizeof((fact)->text), __VA_ARGS__);                                                         \
    } while (0)

static void fact_kernel(struct host_fact *f)
{
    struct utsname u;
    (void)uname(&u); /* fails only for a bad pointer */
    SET(f, FACT_INFO, "%.40s %.80s", u.sysname, u.release);
}

static void fact_cpu(struct host_fact *f)
{
    unsigned r[12];
    char name[49] = "unknown";
    if (__get_cpuid_max(0x80000000, NULL) >= 0x80000004) {
        for (unsigned i = 0; i < 3; i++)
            __cpuid(0x80000002 + i, r[4 * i], r[4 * i + 1], r[4 * i + 2], r[4 * i + 3]);
        memcpy(name, r, 48);
    }
    SET(f, FACT_INFO, "%s, %ld online", name + strspn(name, " "), sysconf(_SC_NPROCESSORS_ONLN));
}

/* The levels of the x86-64 psABI, and what is used beyond them. */
static void fact_level(struct host_fact *f)
{
    int level = 1;
    if (__builtin_cpu_supports("sse4.2") && __builtin_cpu_supports("popcnt") && __builtin_cpu_supports("ssse3"))
        level = 2;
    if (level == 2 && __builtin_cpu_supports("avx2") && __builtin_cpu_supports("bmi2") && __builtin_cpu_supports("fma"))
        level = 3;
    if (level == 3 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw")
        && __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512cd"))
        level = 4;
    SET(f, level >= 2 ? FACT_YES : FACT_NO, "x86-64-v%d", level);
}

static void fact_tsc(struct host_fact *f)
{
    unsigned a = 0, b = 0, c = 0, d = 0;
    bool invariant = __get_cpuid(0x80000007, &a, &b, &c, &d) && (d & (1 << 8));
    SET(f, invariant ? FACT_YES : FACT_NO, "%s, %.1f MHz measured", invariant ? "invariant" : "not invariant",
        (double)clock_host_tsc_hz() / 1e6);
}

static void fact_hypervisor(struct host_fact *f)
{
    unsigned a, b, c, d;
    char name[13] = "";
    __cpuid(1, a, b, c, d);
    if (!(c & (1U << 31))) {
        SET(f, FACT_INFO, "none seen");
        return;
    }
    __cpuid(0x40000000, a, b, c, d);
    memcpy(name, &b, 4);
    memcpy(name + 4, &c, 4);
    memcpy(name + 8, &d, 4);
    SET(f, FACT_INFO, "this host is itself a guest (%s)", name);
}

static void fact_kvm(struct host_fact *f)
{
    AUTO_CLOSE int fd = open("/dev/kvm", O_RDWR | O_CLOEXEC);
    if (fd < 0) {
        SET(f, FACT_NO, "/dev/kvm: %s", strerror(errno));
        return;
    }
    int version = ioctl(fd, KVM_GET_API_VERSION, 0);
    AUTO_CLOSE int vm = version == KVM_API_VERSION ? ioctl(fd, KVM_CREATE_VM, 0) : -1;
    if (vm < 0)
        SET(f, FACT_NO, "/dev/kvm opens, but makes no machine: %s", strerror(errno));
    else
        SET(f, FACT_YES, "/dev/kvm makes machines (how fast, and how well: see engine kvm above)");
}

static void fact_membarrier(struct host_fact *f)
{
    long r = syscall(SYS_membarrier, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED, 0, 0);
    if (r == 0)
        SET(f, FACT_YES, "private expedited");
    else
        SET(f, FACT_NO, "%s (guest writes to memory carry a fence)", strerror(errno));
}

static void fact_memfd(struct host_fact *f)
{
    AUTO_CLOSE int fd = memfd_create("doppel-doctor", MFD_CLOEXEC);
    if (fd < 0)
        SET(f, FACT_NO, "%s (needed)", strerror(errno));
    else
        SET(f, FACT_YES, "works");
}

static void fact_userfaultfd(struct host_fact *f)
{
    AUTO_CLOSE int fd = (int)syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK | UFFD_USER_MODE_ONLY);
    if (fd < 0)
        SET(f, FACT_NO, "%s", strerror(errno));
    else
        SET(f, FACT_YES, "user mode faults");
}

/* ---- what a sandbox is made of ---- */

static void fact_seccomp(struct host_fact *f)
{
    struct sandbox_host host;
    sandbox_probe(&host);
    if (!host.seccomp)
        SET(f, FACT_NO, "no filters: --sandbox on is not possible");
    else if (prctl(PR_GET_SECCOMP, 0, 0, 0, 0) > 0)
        SET(f, FACT_YES, "filters; this process has one already");
    else
        SET(f, FACT_YES, "filters");
}

static void fact_no_new_privs(struct host_fact *f)
{
    int now = prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0);
    if (now < 0)
        SET(f, FACT_NO, "%s", strerror(errno));
    else
        SET(f, FACT_YES, "%s", now ? "holds for this process already" : "can be set");
}

static void fact_landlock(struct host_fact *f)
{
    struct sandbox_host host;
    sandbox_probe(&host);
    if (host.landlock)
        SET(f, FACT_YES, "version %d", host.landlock);
    else
        SET(f, FACT_NO, "not in this kernel, or off (a sandbox goes without)");
}

/* Executable memory that is written through another mapping: what a translator needs. */
static void fact_jit(struct host_fact *f)
{
    const size_t len = 4096;
    AUTO_CLOSE int fd = memfd_create("doppel-jit", MFD_CLOEXEC);
    if (fd < 0 || ftruncate(fd, (off_t)len) < 0) {
        SET(f, FACT_NO, "no memfd: %s", strerror(errno));
        return;
    }
    void *x = mmap(NULL, len, PROT_READ | PROT_EXEC, MAP_SHARED, fd, 0);
    if (x == MAP_FAILED) {
        SET(f, FACT_NO, "mmap executable: %s (translating engines and host-executed instructions need it)", strerror(errno));
        return;
    }
    (void)munmap(x, len);
    SET(f, FACT_YES, "executable mappings allowed");
}

static void fact_memory(struct host_fact *f)
{
    const char *why;
    uint64_t limit = host_memory_limit(&why);
    SET(f, FACT_INFO, "up to %" PRIu64 " MiB for a guest (%s)", limit >> 20, why);
}

static void fact_limits(struct host_fact *f)
{
    struct rlimit files, procs;
    (void)getrlimit(RLIMIT_NOFILE, &files); /* these fail only for bad arguments */
    (void)getrlimit(RLIMIT_NPROC, &procs);
    char n[24] = "unlimited";
    if (procs.rlim_cur != RLIM_INFINITY)
        (void)snprintf(n, sizeof(n), "%llu", (unsigned long long)procs.rlim_cur);
    SET(f, FACT_INFO, "%llu open files, %s processes and threads", (unsigned long long)files.rlim_cur, n);
}

static const struct {
    const char *name;
    void (*fn)(struct host_fact *fact);
} table[] = {
    { "kernel", fact_kernel },
    { "cpu", fact_cpu },
    { "cpu level", fact_level },
    { "hypervisor", fact_hypervisor },
    { "tsc", fact_tsc },
    { "kvm", fact_kvm },
    { "memory", fact_memory },
    { "memfd", fact_memfd },
    { "membarrier", fact_membarrier },
    { "executable memory", fact_jit },
    { "userfaultfd", fact_userfaultfd },
    { "seccomp", fact_seccomp },
    { "no_new_privs", fact_no_new_privs },
    { "landlock", fact_landlock },
    { "limits", fact_limits },
};

unsigned host_facts(struct host_fact facts[HOST_FACTS_MAX])
{
    for (unsigned i = 0; i < ARRAY_SIZE(table); i++) {
        facts[i] = (struct host_fact){ .name = table[i].name };
        table[i].fn(&facts[i]);
    }
    return ARRAY_SIZE(table);
}

/* memory.max of our own cgroup (version 2), UINT64_MAX without one. */
static uint64_t cgroup_limit(void)
{
    static const char *const files[] = { "/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes" };
    for (unsigned i = 0; i < ARRAY_SIZE(files); i++) {
        FILE *f = fopen(files[i], "re");
        if (!f)
            continue;
        unsigned long long v;
        int n = fscanf(f, "%llu", &v);
        (void)fclose(f); /* read only */
        return n == 1 ? v : UINT64_MAX;
    }
    return UINT64_MAX;
}

uint64_t host_memory_limit(const char **ret_why)
{
    uint64_t limit = (uint64_t)sysconf(_SC_PHYS_PAGES) * (uint64_t)sysconf(_SC_PAGESIZE);
    *ret_why = "the host's memory";
    uint64_t cgroup = cgroup_limit();
    if (cgroup < limit) {
        limit = cgroup;
        *ret_why = "the cgroup's memory limit";
    }
    struct rlimit as;
    if (getrlimit(RLIMIT_AS, &as) == 0 && as.rlim_cur != RLIM_INFINITY && as.rlim_cur < limit) {
        limit = as.rlim_cur;
        *ret_why = "the resource limit on address space, ulimit -v";
    }
    return limit;
}
