/* SPDX-License-Identifier: MIT */
/*
 * Starting qemu-nbd, and its end.
 */
#include "backend/nbd_server.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/log.h"

#define PROGRAM "qemu-nbd"

enum { PATH_CAP = 4096, LOG_CAP = 64 << 10, ARGS = 8, EXEC_FAILED = 127 };
enum { END_MS = 10000, LINGER_MS = 2000 }; /* how long it has to end; and to notice that we are gone */
enum { SOCKET_AT = 3, ABOVE = 10 };        /* where sd_listen_fds(3) has the socket; descriptors behind those that it moves */

extern char **environ;

/* Everything that the child needs, made before it: between fork and exec it may call next to nothing. */
struct launch {
    char program[PATH_CAP];
    char *image, *format; /* owned: arguments */
    char *argv[ARGS];     /* borrowed (constants, and the above) */
    char **env;           /* owned; its strings are borrowed */
    char pid_text[32];    /* of the environment: the child fills in its own number */
    int listener, log;    /* borrowed (the caller closes them) */
    int us;               /* likewise: a pidfd of this process */
};

static int find_program(char path[PATH_CAP], struct error *err)
{
    const char *at = getenv("PATH");
    while (at && *at) {
        struct stat st;
        int len = (int)strcspn(at, ":");
        int n = snprintf(path, PATH_CAP, "%.*s/" PROGRAM, len, at);
        if (at[0] == '/' && n < PATH_CAP && access(path, X_OK) == 0 && stat(path, &st) == 0 && S_ISREG(st.st_mode))
            return 0;
        at += len + (at[len] == ':');
    }
    return error_set(err, -ENOENT, "there is no " PROGRAM " here to read it with (Debian's package qemu-utils)");
}

/* Our environment, with the words of sd_listen_fds(3). */
static int make_environment(struct launch *l)
{
    size_t nr = 0, kept = 0;
    while (environ[nr])
        nr++;
    l->env = calloc(nr + 3, sizeof(*l->env));
    if (!l->env)
        return -ENOMEM;
    for (size_t i = 0; i < nr; i++)
        if (strncmp(environ[i], "LISTEN_", 7) != 0)
            l->env[kept++] = environ[i];
    l->env[kept++] = l->pid_text;
    l->env[kept] = (char *)"LISTEN_FDS=1";
    return 0;
}

static int make_launch(struct launch *l, const char *path, const char *format, bool read_only, struct error *err)
{
    int r = find_program(l->program, err);
    if (r < 0)
        return r;
    /* what begins with a '/' or '.' is neither an option nor one of qemu's protocols */
    if (asprintf(&l->image, "%s%s", path[0] == '/' ? "" : "./", path) < 0)
        l->image = NULL;
    if (asprintf(&l->format, "--format=%s", format) < 0)
        l->format = NULL;
    if (!l->image || !l->format || make_environment(l) < 0)
        return error_set(err, -ENOMEM, "out of memory for the start of " PROGRAM);
    unsigned n = 0;
    l->argv[n++] = (char *)PROGRAM;
    l->argv[n++] = l->format;
    l->argv[n++] = (char *)"--cache=writeback"; /* what the guest has flushed is on stable storage */
    l->argv[n++] = (char *)"--discard=unmap";
    if (read_only)
        l->argv[n++] = (char *)"--read-only";
    l->argv[n++] = l->image;
    return 0;
}

static void launch_done(struct launch *l)
{
    free(l->image);
    free(l->format);
    free(l->env);
}

/* ---- the socket ---- */

static int make_folder(char path[sizeof(((struct sockaddr_un *)NULL)->sun_path)], size_t room)
{
    const char *parents[] = { getenv("XDG_RUNTIME_DIR"), getenv("TMPDIR"), "/tmp" };
    errno = ENAMETOOLONG;
    for (unsigned i = 0; i < sizeof(parents) / sizeof(parents[0]); i++) {
        if (!parents[i] || parents[i][0] != '/')
            continue;
        if ((size_t)snprintf(path, room, "%s/doppel-nbd-XXXXXX", parents[i]) < room - 2 && mkdtemp(path))
            return 0;
    }
    return -errno;
}

/* A socket that listens, and one that is connected to it: by a name that lives for as long as that takes, where only we see it.
 */
static int make_sockets(int *ret_listener, int *ret_socket, struct error *err)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    AUTO_CLOSE int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    AUTO_CLOSE int ours = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (listener < 0 || ours < 0)
        return error_set(err, -errno, "socket: %s", strerror(errno));
    int r = make_folder(address.sun_path, sizeof(address.sun_path));
    if (r < 0)
        return error_set(err, r, "no folder for a socket: %s (set TMPDIR)", strerror(-r));
    size_t folder = strlen(address.sun_path);
    memcpy(address.sun_path + folder, "/s", sizeof("/s")); /* it fits: see make_folder() */
    const struct sockaddr *a = (const struct sockaddr *)&address;
    if (bind(listener, a, sizeof(address)) < 0 || listen(listener, 1) < 0 || connect(ours, a, sizeof(address)) < 0)
        r = error_set(err, -errno, "socket in '%.*s': %s", (int)folder, address.sun_path, strerror(errno));
    (void)unlink(address.sun_path); /* not there if bind() failed */
    address.sun_path[folder] = '\0';
    (void)rmdir(address.sun_path); /* an empty folder that stays does no harm */
    if (r < 0)
        return r;
    *ret_listener = take_fd(&listener);
    *ret_socket = take_fd(&ours);
    return 0;
}

/* ---- the server and its keeper ---- */

/* snprintf() is not for a child of a process with threads. */
static void write_pid(char *text, pid_t pid)
{
    char digits[16];
    unsigned n = 0;
    for (; pid > 0; pid /= 10)
        digits[n++] = (char)('0' + pid % 10);
    while (n > 0)
        *text++ = digits[--n];
    *text = '\0';
}

static void place_descriptors(const struct launch *l)
{
    int listener = fcntl(l->listener, F_DUPFD, ABOVE), log = fcntl(l->log, F_DUPFD, ABOVE), null = open("/dev/null", O_RDWR);
    if (listener < 0 || log < 0 || null < 0 || dup2(null, STDIN_FILENO) < 0 || dup2(log, STDOUT_FILENO) < 0
        || dup2(log, STDERR_FILENO) < 0 || dup2(listener, SOCKET_AT) < 0)
        _exit(EXEC_FAILED);
    (void)close_range(SOCKET_AT + 1, ~0U, 0);
}

static _Noreturn void be_server(struct launch *l, pid_t keeper)
{
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
    if (getppid() != keeper)
        _exit(EXEC_FAILED); /* that was too late */
    place_descriptors(l);
    write_pid(l->pid_text + strlen("LISTEN_PID="), getpid());
    (void)execve(l->program, l->argv, l->env);
    _exit(EXEC_FAILED);
}

/* Waits until one of these has ended. False: the time is over. */
static bool await(int pid_fd, int other, int ms)
{
    struct pollfd fds[] = { { .fd = pid_fd, .events = POLLIN }, { .fd = other, .events = POLLIN } };
    int r;
    while ((r = poll(fds, 2, ms)) < 0 && errno == EINTR) {
    }
    return r > 0;
}

/* Ends with the server, and sees to its end once we are gone. It is not in the terminal's foreground: the keys there are not
 * meant for it. */
static _Noreturn void be_keeper(struct launch *l)
{
    sigset_t none;
    (void)sigemptyset(&none);
    (void)prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    (void)prctl(PR_SET_NAME, "doppel-nbd", 0, 0, 0);
    (void)setsid(); /* cannot fail: we lead no group */
    (void)sigprocmask(SIG_SETMASK, &none, NULL);
    pid_t keeper = getpid(), server = fork();
    if (server == 0)
        be_server(l, keeper);
    int us = fcntl(l->us, F_DUPFD, ABOVE), pid_fd = server < 0 ? -1 : (int)syscall(SYS_pidfd_open, server, 0);
    if (us < 0 || pid_fd < 0 || dup2(us, 0) < 0 || dup2(pid_fd, 1) < 0)
        _exit(EXEC_FAILED);
    (void)close_range(2, ~0U, 0); /* no disk stays locked and no pipe open because of us */
    (void)await(1, 0, -1);
    if (!await(1, -1, LINGER_MS)) {
        (void)kill(server, SIGTERM); /* at which it finishes what it has begun */
        (void)await(1, -1, END_MS);
    }
    _exit(0); /* at which the kernel kills it, should it still be there */
}

/* ---- exports ---- */

/* A file in memory that takes LOG_CAP bytes, whatever is written to it: nobody has to read along. */
static int make_log(void)
{
    AUTO_CLOSE int fd = memfd_create(PROGRAM, MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (fd < 0 || ftruncate(fd, LOG_CAP) < 0 || fcntl(fd, F_ADD_SEALS, F_SEAL_GROW) < 0)
        return -errno;
    return take_fd(&fd);
}

int nbd_server_start(struct nbd_server *s, const char *path, const char *format, bool read_only, int *ret_socket,
                     struct error *err)
{
    struct launch l = { .pid_text = "LISTEN_PID=" };
    AUTO_CLOSE int listener = -1;
    AUTO_CLOSE int ours = -1;
    AUTO_CLOSE int log = make_log();
    AUTO_CLOSE int us = (int)syscall(SYS_pidfd_open, getpid(), 0);
    int r = log < 0 ? error_set(err, log, "memory for " PROGRAM "'s messages: %s", strerror(-log)) : 0;
    if (us < 0)
        r = error_set(err, -errno, "pidfd: %s", strerror(errno));
    if (r == 0)
        r = make_launch(&l, path, format, read_only, err);
    if (r == 0)
        r = make_sockets(&listener, &ours, err);
    if (r == 0) {
        l.listener = listener;
        l.log = log;
        l.us = us;
        s->pid = fork();
        if (s->pid == 0)
            be_keeper(&l);
        if (s->pid < 0)
            r = error_set(err, -errno, "cannot start " PROGRAM ": %s", strerror(errno));
    }
    launch_done(&l);
    if (r < 0) {
        *s = NBD_SERVER_NONE;
        return r;
    }
    s->pid_fd = (int)syscall(SYS_pidfd_open, s->pid, 0); /* -1, if the host has none: then its end is not waited for */
    s->log_fd = take_fd(&log);
    *ret_socket = take_fd(&ours);
    return 0;
}

static const char *skip(const char *text, const char *prefix)
{
    size_t len = strlen(prefix);
    return strncmp(text, prefix, len) == 0 ? text + len : text;
}

bool nbd_server_words(const struct nbd_server *s, const char *path, char *buf, size_t size)
{
    char text[1024], opening[PATH_CAP];
    ssize_t n = s->log_fd < 0 ? -1 : pread(s->log_fd, text, sizeof(text) - 1, 0);
    if (n <= 0)
        return false;
    text[n] = '\0';
    (void)snprintf(opening, sizeof(opening), "Failed to blk_new_open '%s%s': ", path[0] == '/' ? "" : "./", path);
    const char *line = skip(skip(text, PROGRAM ": "), opening);
    size_t len = strcspn(line, "\n");
    if (len == 0)
        return false;
    (void)snprintf(buf, size, "%.*s", (int)len, line);
    return true;
}

void nbd_server_wait(const struct nbd_server *s)
{
    if (s->pid_fd >= 0 && !await(s->pid_fd, -1, END_MS))
        log_warn(PROGRAM " (of process %d) has not ended after %d s", (int)s->pid, END_MS / 1000);
}

void nbd_server_kill(const struct nbd_server *s)
{
    if (s->pid > 0)
        (void)kill(s->pid, SIGKILL); /* our child, for whom nobody has waited; and with it the kernel kills the server */
}

void nbd_server_done(struct nbd_server *s)
{
    nbd_server_wait(s);
    if (s->pid > 0)
        (void)waitpid(s->pid, NULL, WNOHANG); /* in the sandbox it is not ours to wait for; init does, soon */
    if (s->pid_fd >= 0)
        (void)close(s->pid_fd);
    if (s->log_fd >= 0)
        (void)close(s->log_fd);
    *s = NBD_SERVER_NONE;
}
