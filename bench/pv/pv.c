/* SPDX-License-Identifier: MIT */
/*
 * Work for two CPUs that a paravirtualized kernel does differently: wake-ups, IPIs, TLB shootdowns, contended locks.
 *
 * usage: pv CASE N prints the case's seconds; pv run COMMAND ... those of a command. A case whose CPUs should agree checks that
 * they did.
 */
#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static void fail(const char *what)
{
    perror(what);
    exit(1);
}

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void pin(int cpu)
{
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(cpu, &set);
    if (sched_setaffinity(0, sizeof(set), &set) < 0)
        fail("two CPUs are needed");
}

static void wait_for(_Atomic uint32_t *word, uint32_t value)
{
    uint32_t v;
    while ((v = atomic_load(word)) != value)
        syscall(SYS_futex, word, FUTEX_WAIT, v, NULL, NULL, 0);
}

static void tell(_Atomic uint32_t *word, uint32_t value)
{
    atomic_store(word, value);
    syscall(SYS_futex, word, FUTEX_WAKE, 2, NULL, NULL, 0);
}

/* ---- cases: n units of work ---- */

static void pipe_case(unsigned n)
{
    int to[2], back[2];
    uint8_t byte = 0;
    if (pipe(to) < 0 || pipe(back) < 0)
        fail("pipe");
    pin(0);
    if (fork() == 0) {
        pin(1);
        close(to[1]);
        while (read(to[0], &byte, 1) == 1) {
            byte++;
            if (write(back[1], &byte, 1) != 1)
                break;
        }
        _exit(0);
    }
    for (unsigned k = 0; k < n; k++)
        if (write(to[1], &byte, 1) != 1 || read(back[0], &byte, 1) != 1)
            fail("pipe");
    if (byte != (uint8_t)n)
        fail("a byte was lost");
}

static _Atomic uint32_t turn;
static unsigned rounds;

static void *futex_peer(void *unused)
{
    pin(1);
    for (unsigned k = 0; k < rounds; k++) {
        wait_for(&turn, 2 * k + 1);
        tell(&turn, 2 * k + 2);
    }
    return unused;
}

static void futex_case(unsigned n)
{
    pthread_t t;
    rounds = n;
    pin(0);
    if (pthread_create(&t, NULL, futex_peer, NULL))
        fail("thread");
    for (unsigned k = 0; k < n; k++) {
        tell(&turn, 2 * k + 1);
        wait_for(&turn, 2 * k + 2);
    }
    pthread_join(t, NULL);
}

static _Atomic bool stop;

static void *busy_peer(void *unused)
{
    volatile unsigned sum = 0;
    pin(1);
    while (!atomic_load_explicit(&stop, memory_order_relaxed))
        sum++;
    return unused;
}

static void *idle_peer(void *unused)
{
    pin(1);
    while (!atomic_load(&stop))
        usleep(200);
    return unused;
}

/* Each unit maps, touches and unmaps 8 pages while another thread of the process is on the other CPU. */
static void unmap(unsigned n, void *(*peer)(void *))
{
    enum { PAGES = 8, SIZE = 4096 };
    pthread_t t;
    pin(0);
    if (pthread_create(&t, NULL, peer, NULL))
        fail("thread");
    for (unsigned k = 0; k < n; k++) {
        uint8_t *p = mmap(NULL, PAGES * SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (p == MAP_FAILED)
            fail("mmap");
        for (unsigned i = 0; i < PAGES; i++)
            p[i * SIZE] = 1;
        munmap(p, PAGES * SIZE);
    }
    atomic_store(&stop, true);
    pthread_join(t, NULL);
}

static void unmap_case(unsigned n)
{
    unmap(n, busy_peer);
}

static void unmap_idle_case(unsigned n)
{
    unmap(n, idle_peer);
}

static void make_files(unsigned n, int who)
{
    char name[64];
    pin(who);
    for (unsigned k = 0; k < n; k++) {
        snprintf(name, sizeof(name), "/tmp/pv-%d-%u", who, k % 16);
        FILE *f = fopen(name, "w");
        if (!f)
            fail(name);
        fclose(f);
        if (unlink(name) < 0)
            fail(name);
    }
}

/* Two processes make and remove files in one folder. */
static void files_case(unsigned n)
{
    if (fork() == 0) {
        make_files(n, 1);
        _exit(0);
    }
    make_files(n, 0);
    wait(NULL);
}

static void fork_some(unsigned n)
{
    for (unsigned k = 0; k < n; k++) {
        if (fork() == 0)
            _exit(0);
        wait(NULL);
    }
}

static void forks_case(unsigned n)
{
    pid_t other = fork();
    if (other == 0) {
        fork_some(n);
        _exit(0);
    }
    fork_some(n);
    waitpid(other, NULL, 0);
}

static _Atomic uint32_t round_nr, done;

static void *worker(void *unused)
{
    for (unsigned k = 1; k <= rounds; k++) {
        wait_for(&round_nr, k);
        volatile unsigned sum = 0;
        for (unsigned i = 0; i < 8000000; i++)
            sum++;
        if (atomic_fetch_add(&done, 1) + 1 == 2 * k)
            syscall(SYS_futex, &done, FUTEX_WAKE, 1, NULL, NULL, 0);
    }
    return unused;
}

/* Each unit wakes two threads at once that compute for some milliseconds: they should be on different CPUs. */
static void spread_case(unsigned n)
{
    pthread_t t[2];
    rounds = n;
    for (unsigned i = 0; i < 2; i++)
        if (pthread_create(&t[i], NULL, worker, NULL))
            fail("thread");
    for (unsigned k = 1; k <= n; k++) {
        atomic_store(&round_nr, k);
        syscall(SYS_futex, &round_nr, FUTEX_WAKE, 2, NULL, NULL, 0);
        wait_for(&done, 2 * k);
    }
    for (unsigned i = 0; i < 2; i++)
        pthread_join(t[i], NULL);
}

static void compute(void)
{
    volatile unsigned sum = 0;
    for (unsigned i = 0; i < 200000; i++)
        sum++;
}

/* One process makes blocks, another one uses them: both take as long as the block, so two CPUs are twice as fast as one. */
static void pipeline_case(unsigned n)
{
    static char block[4096];
    int fd[2];
    if (pipe(fd) < 0)
        fail("pipe");
    if (fork() == 0) {
        close(fd[0]);
        for (unsigned k = 0; k < n; k++) {
            compute();
            if (write(fd[1], block, sizeof(block)) != sizeof(block))
                _exit(1);
        }
        _exit(0);
    }
    close(fd[1]);
    unsigned long got = 0;
    for (ssize_t r; (r = read(fd[0], block, sizeof(block))) > 0;) {
        got += (unsigned long)r;
        compute();
    }
    if (got != (unsigned long)n * sizeof(block))
        fail("a block was lost");
    wait(NULL);
}

static const struct {
    const char *name;
    void (*fn)(unsigned n);
} cases[] = {
    { "pipe", pipe_case },   { "futex", futex_case }, { "unmap", unmap_case },   { "unmap-idle", unmap_idle_case },
    { "files", files_case }, { "forks", forks_case }, { "spread", spread_case }, { "pipeline", pipeline_case },
};

static double run_command(char **argv)
{
    double begin = now();
    int status = 0;
    pid_t pid = fork();
    if (pid == 0) {
        if (!freopen("/dev/null", "w", stdout))
            _exit(127);
        execvp(argv[0], argv);
        _exit(127);
    }
    if (pid < 0 || waitpid(pid, &status, 0) < 0 || status)
        fail(argv[0]);
    return now() - begin;
}

int main(int argc, char **argv)
{
    if (argc > 2 && strcmp(argv[1], "run") == 0) {
        printf("%.6f\n", run_command(argv + 2));
        return 0;
    }
    for (unsigned k = 0; argc == 3 && k < sizeof(cases) / sizeof(cases[0]); k++)
        if (strcmp(cases[k].name, argv[1]) == 0) {
            double begin = now();
            cases[k].fn((unsigned)atoi(argv[2]));
            printf("%.6f\n", now() - begin);
            return 0;
        }
    fprintf(stderr, "usage: pv CASE N | run COMMAND ...\n");
    return 2;
}
