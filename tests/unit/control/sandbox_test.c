/* SPDX-License-Identifier: MIT */
/*
 * Laws of the sandbox: each runs in a child with the threads of the real program, since what is given up is gone for good.
 */
#include "control/sandbox.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "backend/vsock_broker.h"
#include "base/unixsock.h"

static char folder[] = "/tmp/doppel-sandbox-XXXXXX", other[] = "/tmp/doppel-other-XXXXXX";
static struct sandbox_needs needs;
static sem_t go, done;
static int (*early_law)(void);
static int early_result;
static struct sandbox_host host; /* asked before */
static int disk_fd = -1;
static int broker_fd = -1;
static struct sockaddr_un listen_address;

enum { PORT = 7 };

/* Laws return 0, or the line that does not hold. */
#define HOLDS(x)                                                                                                                 \
    do {                                                                                                                         \
        if (!(x))                                                                                                                \
            return __LINE__;                                                                                                     \
    } while (0)
#define DENIED(x) HOLDS((errno = 0, (x) < 0) && (errno == EPERM || errno == EACCES))

static int files_sockets_and_programs_are_out_of_reach(void)
{
    char *const args[] = { (char *)"true", NULL };
    DENIED(open("/etc/passwd", O_RDONLY));
    DENIED(open("/tmp/doppel-sandbox-new", O_CREAT | O_WRONLY, 0600));
    DENIED(openat(AT_FDCWD, "/dev/null", O_RDWR));
    DENIED(syscall(SYS_openat2, AT_FDCWD, "/etc/passwd", NULL, 0));
    DENIED(socket(AF_UNIX, SOCK_STREAM, 0));
    DENIED(socket(AF_INET, SOCK_STREAM, 0));
    DENIED(execv("/bin/true", args));
    DENIED(syscall(SYS_execveat, AT_FDCWD, "/bin/true", args, NULL, 0));
    DENIED(syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0)); /* fork */
    DENIED(syscall(SYS_vfork));
    DENIED(ptrace(PTRACE_TRACEME, 0, 0, 0));
    DENIED(syscall(SYS_process_vm_readv, getppid(), NULL, 0, NULL, 0, 0));
    DENIED(kill(getppid(), 0));
    DENIED(syscall(SYS_tgkill, getppid(), getppid(), 0));
    DENIED(unlink("/tmp/doppel-sandbox-none"));
    DENIED(rename("/tmp/a", "/tmp/b"));
    DENIED(mkdir("/tmp/doppel-sandbox-dir", 0700));
    DENIED(chdir("/"));
    DENIED(syscall(SYS_io_uring_setup, 8, NULL));
    DENIED(syscall(SYS_userfaultfd, 0));
    DENIED(syscall(SYS_perf_event_open, NULL, 0, 0, -1, 0));
    return 0;
}

static void *nothing(void *arg)
{
    return arg;
}

static int what_engines_and_io_need_still_works(void)
{
    pthread_t thread;
    struct stat st;
    void *back = NULL;
    uint64_t one = 1;
    void *code = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    HOLDS(code != MAP_FAILED && mprotect(code, 4096, PROT_READ | PROT_EXEC) == 0 && munmap(code, 4096) == 0);
    HOLDS(pthread_create(&thread, NULL, nothing, code) == 0 && pthread_join(thread, &back) == 0 && back == code);
    int fd = eventfd(0, EFD_CLOEXEC);
    HOLDS(fd >= 0 && write(fd, &one, 8) == 8 && read(fd, &one, 8) == 8 && close(fd) == 0);
    HOLDS(disk_fd > 2 && fstat(disk_fd, &st) == 0 && pwrite(disk_fd, "x", 1, 0) == 1 && fallocate(disk_fd, 0, 0, 4096) == 0
          && fdatasync(disk_fd) == 0);
    HOLDS(memfd_create("x", MFD_CLOEXEC) >= 0);
    HOLDS(signal(SIGUSR1, SIG_IGN) != SIG_ERR && raise(SIGUSR1) == 0);
    char *text = malloc(1 << 20);
    HOLDS(text);
    free(text);
    return 0;
}

static int sockets_on_demand(void)
{
    HOLDS(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0) >= 0);
    DENIED(socket(AF_UNIX, SOCK_STREAM, 0));
    DENIED(socket(AF_NETLINK, SOCK_RAW, 0));
    DENIED(socketpair(AF_UNIX, SOCK_DGRAM, 0, (int[2]){ 0 }));
    if (host.landlock) /* else reading is possible, for the sake of /etc/resolv.conf */
        DENIED(open("/etc/passwd", O_RDONLY));
    DENIED(open("/etc/passwd", O_RDWR));
    DENIED(open("/tmp/doppel-sandbox-new", O_CREAT | O_RDONLY, 0600));
    return 0;
}

/* What --vsock leaves: a number for the broker, who connects to one name. */
static int ports_by_the_broker(void)
{
    int fd = vsock_broker_connect(broker_fd, PORT);
    HOLDS(fd >= 0 && write(fd, "x", 1) == 1 && (fcntl(fd, F_GETFD) & FD_CLOEXEC) && (fcntl(fd, F_GETFL) & O_NONBLOCK));
    (void)close(fd);
    HOLDS(vsock_broker_connect(broker_fd, PORT + 1) == -ENOENT);
    HOLDS(send(broker_fd, "../../x", 7, MSG_NOSIGNAL) == 7); /* its first bytes are a number, at most */
    DENIED(socket(AF_UNIX, SOCK_STREAM, 0));
    DENIED(socketpair(AF_UNIX, SOCK_DGRAM, 0, (int[2]){ 0 }));
    DENIED(connect(broker_fd, (const struct sockaddr *)&listen_address, sizeof(listen_address)));
    return 0;
}

static int files_below_a_folder_on_demand(void)
{
    char path[64];
    (void)snprintf(path, sizeof(path), "%s/new", folder);
    int fd = open(path, O_CREAT | O_RDWR | O_CLOEXEC, 0600);
    HOLDS(fd >= 0 && unlinkat(AT_FDCWD, path, 0) == 0);
    if (host.landlock)
        DENIED(open("/etc/passwd", O_RDONLY));
    DENIED(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    return 0;
}

static int only_the_clean_folder_can_be_cleaned(void)
{
    char path[64];
    (void)snprintf(path, sizeof(path), "%s/old", folder);
    DENIED(open(path, O_RDONLY));
    if (host.landlock)
        HOLDS(unlink(path) == 0);
    else
        DENIED(unlink(path));
    DENIED(unlink(other));
    return 0;
}

static int processes_on_demand(void)
{
    char *const args[] = { (char *)"true", NULL };
    int pidfd = -1, status = 0;
    long pid = syscall(SYS_clone, CLONE_PIDFD | SIGCHLD, 0, &pidfd, 0, 0);
    if (pid == 0) { /* it can do as little as we */
        bool confined = execv("/bin/true", args) < 0 && errno == EPERM && syscall(SYS_openat, AT_FDCWD, "/dev/null", O_RDONLY) < 0
                        && syscall(SYS_ptrace, PTRACE_TRACEME, 0, 0, 0) == 0;
        _exit(confined ? 7 : 1);
    }
    HOLDS(pid > 0);
    HOLDS(wait4((pid_t)pid, &status, 0, NULL) == pid && WIFEXITED(status) && WEXITSTATUS(status) == 7);
    DENIED(ptrace(PTRACE_SEIZE, getppid(), 0, 0));
    DENIED(ptrace(PTRACE_ATTACH, getppid(), 0, 0));
    DENIED(syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0));
    DENIED(syscall(SYS_clone, CLONE_PIDFD | CLONE_NEWUSER | SIGCHLD, 0, &pidfd, 0, 0));
    DENIED(execv("/bin/true", args));
    DENIED(kill(getppid(), 0));
    return 0;
}

static int requests_of_one_descriptor_on_demand(void)
{
    HOLDS(ioctl(disk_fd, BLKGETSIZE64, NULL) < 0 && errno != EPERM); /* it is no block device, but that is the kernel's word */
    DENIED(ioctl(disk_fd, BLKROSET, NULL));
    DENIED(ioctl(broker_fd >= 0 ? broker_fd : 0, BLKGETSIZE64, NULL));
    return 0;
}

static int load_a_module(void)
{
    (void)syscall(SYS_init_module, NULL, 0, "");
    return __LINE__; /* not reached */
}

/* A thread that was there before. */
static void *early_thread(void *unused)
{
    (void)unused;
    (void)sem_wait(&go);
    early_result = early_law();
    (void)sem_post(&done);
    return NULL;
}

/* The law in the calling thread, and in one that was started before, and in one started after. */
static int child(int (*law)(void), bool in_threads)
{
    pthread_t early, late;
    bool landlock;
    struct error err;
    early_law = law;
    if (pthread_create(&early, NULL, early_thread, NULL) != 0)
        return 1;
    if (sandbox_apply(&needs, &landlock, &err) < 0)
        return 2;
    int r = law();
    if (r || !in_threads)
        return r;
    (void)sem_post(&go);
    (void)sem_wait(&done);
    if (early_result)
        return early_result;
    if (pthread_create(&late, NULL, early_thread, NULL) != 0)
        return 3;
    (void)sem_post(&go);
    (void)sem_wait(&done);
    return early_result;
}

/* What became of the law in a child: 0 or its line, or minus the signal. */
static int in_child(int (*law)(void), bool in_threads)
{
    int status = 0, result = 0, out[2];
    sandbox_probe(&host);
    if (!host.seccomp) {
        print_message("no seccomp filters here\n");
        skip();
    }
    (void)sem_init(&go, 0, 0);
    (void)sem_init(&done, 0, 0);
    assert_int_equal(pipe2(out, O_CLOEXEC), 0);
    pid_t pid = fork();
    if (pid == 0) {
        result = child(law, in_threads);
        (void)!write(out[1], &result, sizeof(result));
        _exit(0);
    }
    (void)close(out[1]);
    ssize_t n = read(out[0], &result, sizeof(result));
    (void)close(out[0]);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    if (WIFSIGNALED(status))
        return -WTERMSIG(status);
    return n == sizeof(result) ? result : -1;
}

static void a_sandboxed_process_reaches_nothing_new(void **state)
{
    (void)state;
    needs = (struct sandbox_needs){ 0 };
    assert_int_equal(in_child(files_sockets_and_programs_are_out_of_reach, true), 0);
}

static void it_still_runs_a_machine(void **state)
{
    (void)state;
    char path[64];
    (void)snprintf(path, sizeof(path), "%s/disk", folder);
    disk_fd = open(path, O_CREAT | O_RDWR | O_CLOEXEC, 0600);
    needs = (struct sandbox_needs){ 0 };
    assert_int_equal(in_child(what_engines_and_io_need_still_works, true), 0);
    (void)close(disk_fd);
    (void)unlink(path);
}

static void a_broker_connects_to_ports_and_to_nothing_else(void **state)
{
    (void)state;
    char path[64], name[80];
    int listen_fd;
    (void)snprintf(path, sizeof(path), "%s/v", folder);
    (void)snprintf(name, sizeof(name), "%s_%d", path, PORT);
    assert_int_equal(unixsock_listen(name, &listen_fd, NULL), 0);
    listen_address = (struct sockaddr_un){ .sun_family = AF_UNIX };
    strcpy(listen_address.sun_path, name);
    assert_int_equal(vsock_broker_new(path, &broker_fd, NULL), 0);
    needs = (struct sandbox_needs){ 0 };
    assert_int_equal(in_child(ports_by_the_broker, false), 0);
    int fd = accept(listen_fd, NULL, NULL);
    char byte = 0;
    assert_true(fd >= 0 && read(fd, &byte, 1) == 1 && byte == 'x');
    (void)close(fd);
    (void)close(broker_fd);
    (void)close(listen_fd);
    (void)unlink(name);
}

static void needs_are_granted_and_no_more(void **state)
{
    (void)state;
    needs = (struct sandbox_needs){ .sockets = true };
    assert_int_equal(in_child(sockets_on_demand, false), 0); /* early threads may read: Landlock is not theirs */
    needs = (struct sandbox_needs){ .files = true, .folder = { folder }, .nr_folders = 1 };
    assert_int_equal(in_child(files_below_a_folder_on_demand, false), 0);
    needs = (struct sandbox_needs){ .processes = true };
    assert_int_equal(in_child(processes_on_demand, false), 0);
    char path[64];
    (void)snprintf(path, sizeof(path), "%s/old", folder);
    int fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
    (void)close(fd);
    (void)close(mkstemp(other));
    static const unsigned long requests[] = { BLKSSZGET, BLKGETSIZE64 };
    needs = (struct sandbox_needs){ .device = { { disk_fd, requests, 2 } }, .nr_devices = 1 };
    assert_int_equal(in_child(requests_of_one_descriptor_on_demand, false), 0);
    needs = (struct sandbox_needs){ .clean_dir = folder };
    assert_int_equal(in_child(only_the_clean_folder_can_be_cleaned, false), 0);
    (void)unlink(path);
    assert_int_equal(unlink(other), 0);
}

static void the_absurd_kills(void **state)
{
    (void)state;
    needs = (struct sandbox_needs){ 0 };
    assert_int_equal(in_child(load_a_module, false), -SIGSYS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_sandboxed_process_reaches_nothing_new),
        cmocka_unit_test(it_still_runs_a_machine),
        cmocka_unit_test(a_broker_connects_to_ports_and_to_nothing_else),
        cmocka_unit_test(needs_are_granted_and_no_more),
        cmocka_unit_test(the_absurd_kills),
    };
    if (!mkdtemp(folder))
        return 1;
    int r = cmocka_run_group_tests(tests, NULL, NULL);
    (void)rmdir(folder);
    return r;
}
