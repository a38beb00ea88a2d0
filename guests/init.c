/* SPDX-License-Identifier: MIT */
/*
 * The first process of guests started by `doppel run`: sets the system up, runs a command or a shell, powers off.
 *
 * With a command (/lib/doppel/command: arguments, each ending in NUL) its stdin, stdout, stderr and exit status travel in
 * frames over /dev/ttyS1; docs/run-command.md describes them and src/machine/stdio_channel.c is the other end. One process,
 * one poll loop: output is copied with blocking writes to the tty, input waits in a buffer of as many bytes as the host
 * was given credit for, so neither side can block the other. Without a command: /bin/sh on the console.
 *
 * Static, without a C library; only raw system calls, those that every architecture of Linux has. How it is entered:
 * start_x86_64.c, start_riscv64.c.
 */
#include "init.h"
#include "net.h"
#include "sys.h"

#include <asm/ioctls.h>
#include <asm/termbits.h>
#include <linux/errno.h>
#include <linux/fcntl.h>
#include <linux/mount.h>
#include <linux/poll.h>
#include <linux/reboot.h>
#include <linux/signal.h>
#include <linux/signalfd.h>
#include <linux/time.h>
#include <linux/wait.h>

#define CONSOLE_DEFAULT "/dev/console"
#define SECOND_CONSOLE "/dev/hvc0" /* of a machine with a virtio console */
#define PATH_VALUE "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

enum {
    COMMAND_MAX = 128 << 10, /* INITRAMFS_COMMAND_MAX */
    ARGS_MAX = 16 << 10,
    ENV_MAX = 64,
    CREDIT = 8192,     /* bytes of stdin the host may send before it gets more credit; far below the tty's 64 KiB */
    CHUNK = 4096,      /* bytes of output in one frame */
    DRAIN_CHUNKS = 64, /* more than a pipe holds */
    HEADER = 3,
    PROTOCOL_VERSION = 1,
    SHARES_MAX = 64 << 10, /* bytes of /lib/doppel/shares */
    PATH_LEN = 4096,
    STATUS_NOT_FOUND = 127,
    STATUS_NOT_EXECUTABLE = 126,
    TERM_MS = 2000, /* for programs to end before a power-off */
    TERM_ASKER_MS = 60,
    TERM_STEP_MS = 20,
};

struct mount_entry {
    const char *source;
    const char *target;
    const char *type;
    unsigned long flags;
    const char *options;
};

static const struct mount_entry mounts[] = {
    { "proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, 0 },
    { "sysfs", "/sys", "sysfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, 0 },
    { "devtmpfs", "/dev", "devtmpfs", MS_NOSUID, "mode=0755" },
    { "devpts", "/dev/pts", "devpts", MS_NOSUID | MS_NOEXEC, "mode=0620,ptmxmode=0666" },
    { "tmpfs", "/dev/shm", "tmpfs", MS_NOSUID | MS_NODEV, "mode=1777" },
    { "tmpfs", "/run", "tmpfs", MS_NOSUID | MS_NODEV, "mode=0755" },
    { "tmpfs", "/tmp", "tmpfs", MS_NOSUID | MS_NODEV, "mode=1777" },
};

/* The state of the command channel. */
struct channel {
    int tty;
    int signals; /* signalfd */
    int in;      /* write end of the command's stdin, -1 when closed */
    int out;     /* read end of its stdout, -1 when closed */
    int err;     /* read end of its stderr, -1 when closed */
    long pid;
    int status; /* as wait4() gives it; valid when exited */
    int exited;
    int eof;  /* the host ended stdin */
    int gone; /* the tty was hung up: nothing can come any more */
    /* frames from the host */
    unsigned char header[HEADER];
    unsigned header_len;
    unsigned left;
    /* stdin on its way to the command */
    unsigned char buf[CREDIT];
    unsigned buf_len;
    unsigned owed; /* bytes the host may get credit for */
};

static char command_text[COMMAND_MAX + 1];
static const char *command_args[ARGS_MAX + 1];
static const char *environment[ENV_MAX + 8];
static struct channel channel;
static long shells[2]; /* on the console and on the second one; 0 or less: none */

/* ---- messages and small helpers ---- */

static void say(const char *a, const char *b, const char *c)
{
    sys(__NR_write, 2, a, str_len(a));
    sys(__NR_write, 2, b, str_len(b));
    sys(__NR_write, 2, c, str_len(c));
}

/* Decimal digits of v; the text lives in buf. */
static const char *digits(unsigned long v, char buf[24])
{
    char *p = buf + 23;
    *p = '\0';
    do
        *--p = '0' + v % 10;
    while (v /= 10);
    return p;
}

void complain(const char *what, const char *object, long result)
{
    char buf[24];
    say("init: ", what, " ");
    say(object, ": error ", digits(-result, buf));
    say("\n", "", "");
}

static void power_off(int how)
{
    sys(__NR_sync);
    sys(__NR_reboot, LINUX_REBOOT_MAGIC1, LINUX_REBOOT_MAGIC2, how, 0);
    for (;;)
        sys(__NR_ppoll, 0, 0, 0, 0, 0);
}

long read_file(const char *path, char *buf, size_t size)
{
    size_t len = 0;
    long fd = sys(__NR_openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC, 0);
    if (fd < 0)
        return fd;
    long n;
    do {
        n = sys(__NR_read, fd, buf + len, size - 1 - len);
        len += n > 0 ? n : 0;
    } while (n > 0 && len < size - 1);
    sys(__NR_close, fd);
    if (n > 0)
        return -E2BIG;
    buf[len] = '\0';
    return n < 0 ? n : (long)len;
}

/* ---- setting the system up ---- */

static void mount_all(void)
{
    for (unsigned i = 0; i < sizeof(mounts) / sizeof(mounts[0]); i++) {
        const struct mount_entry *m = &mounts[i];
        sys(__NR_mkdirat, AT_FDCWD, m->target, 0755); /* most exist */
        long r = sys(__NR_mount, m->source, m->target, m->type, m->flags, m->options);
        if (r < 0)
            complain("cannot mount", m->target, r);
    }
    sys(__NR_symlinkat, "/proc/self/fd", AT_FDCWD, "/dev/fd");
    sys(__NR_symlinkat, "/proc/self/fd/0", AT_FDCWD, "/dev/stdin");
    sys(__NR_symlinkat, "/proc/self/fd/1", AT_FDCWD, "/dev/stdout");
    sys(__NR_symlinkat, "/proc/self/fd/2", AT_FDCWD, "/dev/stderr");
}

/* The interface of a machine with a network card: /lib/doppel/network says how. */
static void set_up_network(void)
{
    char text[128];
    const char *what;
    if (read_file("/lib/doppel/network", text, sizeof(text)) <= 0)
        return;
    long r = net_interface_up(text, &what);
    if (r < 0)
        complain("cannot set up", what, r);
}

/* The environment of the guest's programs: our PATH and HOME, the rest as the kernel gave it (its command line sets it). */
static void make_environment(const char *const *from)
{
    unsigned n = 0;
    environment[n++] = "PATH=" PATH_VALUE;
    environment[n++] = "HOME=/root";
    environment[n++] = "USER=root";
    environment[n++] = "SHELL=/bin/sh";
    for (; *from && n < ENV_MAX; from++) {
        if (!str_starts(*from, "PATH=") && !str_starts(*from, "HOME="))
            environment[n++] = *from;
    }
    environment[n] = 0;
}

/* ---- shares ---- */

/* Makes the folder and those above it; cuts the path for a while. */
static void make_folders(char *path)
{
    for (char *p = path + 1; *p; p++) {
        if (*p != '/')
            continue;
        *p = '\0';
        sys(__NR_mkdirat, AT_FDCWD, path, 0755); /* most exist; what matters is whether the mount succeeds */
        *p = '/';
    }
    sys(__NR_mkdirat, AT_FDCWD, path, 0755);
}

/* Mounts what /lib/doppel/shares lists (tag, place, "ro" or "", each ending in NUL); true when all went well. */
static int mount_shares(void)
{
    static char list[SHARES_MAX];
    long n = read_file("/lib/doppel/shares", list, sizeof(list));
    if (n < 0 && n != -ENOENT)
        complain("cannot read", "/lib/doppel/shares", n);
    int all = n >= 0 || n == -ENOENT;
    for (long at = 0; at < n;) {
        char *tag = list + at;
        char *path = tag + str_len(tag) + 1;
        char *option = path + str_len(path) + 1;
        at = option + str_len(option) + 1 - list;
        make_folders(path);
        long r = sys(__NR_mount, tag, path, "virtiofs", MS_NOSUID | MS_NODEV | (option[0] ? MS_RDONLY : 0), 0);
        if (r < 0)
            complain("cannot mount", path, r);
        all &= r >= 0;
    }
    return all;
}

/* The command's folder, if /lib/doppel/cwd names one. */
static int enter_folder(void)
{
    static char path[PATH_LEN];
    if (read_file("/lib/doppel/cwd", path, sizeof(path)) <= 0)
        return 1;
    long r = sys(__NR_chdir, path);
    if (r < 0)
        complain("cannot enter", path, r);
    return r >= 0;
}

/* ---- running programs ---- */

/* Executes args, searching PATH as a shell does; returns only to report: the exit status for the failure. */
static int exec_search(const char *const *args)
{
    static char path[4096 + 256];
    const size_t name_len = str_len(args[0]);
    long r = -ENOENT;
    long seen = -ENOENT; /* the most telling failure */
    int has_slash = 0;
    for (const char *p = args[0]; *p; p++)
        has_slash |= *p == '/';
    if (has_slash) {
        seen = sys(__NR_execve, args[0], args, environment);
    } else if (name_len && name_len < 4096) {
        for (const char *dir = PATH_VALUE; *dir;) {
            size_t len = 0;
            while (dir[len] && dir[len] != ':')
                len++;
            memcpy(path, dir, len);
            path[len] = '/';
            memcpy(path + len + 1, args[0], name_len + 1);
            r = sys(__NR_execve, path, args, environment);
            if (r != -ENOENT && r != -ENOTDIR)
                seen = r;
            dir += len + (dir[len] == ':');
        }
    }
    char buf[24];
    say("doppel: cannot run '", args[0], "' in the guest: ");
    if (seen == -ENOENT)
        say("not found", "\n", "");
    else
        say("error ", digits(-seen, buf), "\n");
    return seen == -ENOENT ? STATUS_NOT_FOUND : STATUS_NOT_EXECUTABLE;
}

static void unblock_signals(void)
{
    unsigned long none = 0;
    sys(__NR_rt_sigprocmask, SIG_SETMASK, &none, 0, sizeof(none));
}

/* Blocks every signal; the ones init acts upon come out of the returned signalfd. */
static int open_signals(void)
{
    unsigned long all = ~0UL;
    unsigned long mine = 1UL << (SIGCHLD - 1) | 1UL << (SIGUSR1 - 1) | 1UL << (SIGUSR2 - 1) | 1UL << (SIGTERM - 1)
                         | 1UL << (SIGINT - 1);
    sys(__NR_rt_sigprocmask, SIG_SETMASK, &all, 0, sizeof(all));
    return sys(__NR_signalfd4, -1, &mine, sizeof(mine), O_CLOEXEC | O_NONBLOCK);
}

/* Lets all programs end, for a while, then ends them. */
static void end_programs(void)
{
    const struct timespec step = { .tv_nsec = TERM_STEP_MS * 1000000L };
    int status;
    for (int ms = 0; ms < TERM_ASKER_MS; ms += TERM_STEP_MS) /* who asked may end in peace: the kernel forces it otherwise */
        sys(__NR_nanosleep, &step, 0);
    sys(__NR_kill, -1, SIGTERM); /* all but us */
    for (unsigned i = 0; i < sizeof(shells) / sizeof(shells[0]); i++)
        if (shells[i] > 0)
            sys(__NR_kill, shells[i], SIGHUP); /* on a terminal they ignore the other one */
    for (int ms = 0; ms < TERM_MS && sys(__NR_wait4, -1, &status, WNOHANG, 0) != -ECHILD; ms += TERM_STEP_MS)
        sys(__NR_nanosleep, &step, 0);
    sys(__NR_kill, -1, SIGKILL);
}

/* busybox' halt, poweroff and reboot signal init; the kernel runs poweroff when the machine is asked to stop. */
static void act_on_signals(int fd)
{
    struct signalfd_siginfo info;
    while (sys(__NR_read, fd, &info, sizeof(info)) == sizeof(info)) {
        const int off = info.ssi_signo == SIGUSR1 || info.ssi_signo == SIGUSR2;
        if (!off && info.ssi_signo != SIGTERM && info.ssi_signo != SIGINT)
            continue;
        end_programs();
        power_off(off ? LINUX_REBOOT_CMD_POWER_OFF : LINUX_REBOOT_CMD_RESTART);
    }
}

/* Collects dead children; true when `pid` was among them. */
static int reap(long pid, int *ret_status)
{
    int found = 0;
    for (;;) {
        int status = 0;
        long r = sys(__NR_wait4, -1, &status, WNOHANG, 0);
        if (r <= 0)
            return found;
        if (r == pid) {
            *ret_status = status;
            found = 1;
        }
    }
}

/* ---- the shell ---- */

/* The device behind /dev/console, which unlike /dev/console itself can be a controlling terminal. */
static const char *console_path(void)
{
    static char name[256] = "/dev/";
    long n = read_file("/sys/class/tty/console/active", name + 5, sizeof(name) - 5);
    if (n <= 1)
        return CONSOLE_DEFAULT;
    char *last = name + 5; /* several consoles: the last one is /dev/console */
    for (char *p = name + 5; *p; p++) {
        if (*p == '\n')
            *p = '\0';
        else if (*p == ' ')
            last = p + 1;
    }
    if (last != name + 5)
        memmove(name + 5, last, str_len(last) + 1);
    return name;
}

static void exec_shell(const char *console)
{
    static const char *const args[] = { "sh", 0 };
    sys(__NR_setsid);
    long fd = sys(__NR_openat, AT_FDCWD, console, O_RDWR, 0);
    if (fd < 0)
        fd = sys(__NR_openat, AT_FDCWD, CONSOLE_DEFAULT, O_RDWR, 0);
    if (fd >= 0) {
        for (int i = 0; i < 3; i++)
            sys(__NR_dup3, fd, i, 0);
        if (fd > 2)
            sys(__NR_close, fd);
    }
    sys(__NR_ioctl, 0, TIOCSCTTY, 0); /* without it there is no job control, but still a shell */
    unblock_signals();
    sys(__NR_exit_group, exec_search(args));
}

static int str_equal(const char *a, const char *b)
{
    return str_starts(a, b) && str_starts(b, a);
}

static long start_shell(const char *console, int delay_s)
{
    const struct timespec delay = { .tv_sec = delay_s };
    long pid = sys(__NR_clone, SIGCHLD, 0, 0, 0, 0);
    if (pid == 0) {
        sys(__NR_nanosleep, &delay, 0);
        exec_shell(console);
    }
    if (pid < 0)
        complain("cannot start", "the shell", pid);
    return pid;
}

/* Collects dead children; true when the first shell was among them. Who sits at the second console gets another one. */
static int reap_shells(void)
{
    int ended = 0, status;
    for (long r; (r = sys(__NR_wait4, -1, &status, WNOHANG, 0)) > 0;) {
        ended |= r == shells[0];
        if (r == shells[1])
            shells[1] = start_shell(SECOND_CONSOLE, 1);
    }
    return ended;
}

/* On the console, whose end is the machine's, and on the second one, if there is one. */
static void run_shell(int signals)
{
    const char *console = console_path();
    const int two = !str_equal(console, SECOND_CONSOLE) && sys(__NR_faccessat, AT_FDCWD, SECOND_CONSOLE, 0) == 0;
    shells[0] = start_shell(console, 0);
    if (two)
        shells[1] = start_shell(SECOND_CONSOLE, 0);
    while (shells[0] > 0 && !reap_shells()) {
        struct pollfd p = { .fd = signals, .events = POLLIN };
        sys(__NR_ppoll, &p, 1, 0, 0, 0);
        act_on_signals(signals);
    }
}

/* ---- the command channel ---- */

static void write_all(int fd, const unsigned char *p, size_t n)
{
    while (n) {
        long w = sys(__NR_write, fd, p, n);
        if (w == -EINTR || w == -EAGAIN)
            continue;
        if (w <= 0)
            return; /* the tty is gone: nobody to tell */
        p += w;
        n -= w;
    }
}

static void send_frame(int tty, unsigned char type, const void *data, size_t n)
{
    static unsigned char frame[HEADER + CHUNK];
    frame[0] = type;
    frame[1] = n & 0xff;
    frame[2] = n >> 8;
    memcpy(frame + HEADER, data, n);
    write_all(tty, frame, HEADER + n);
}

static void send_credit(struct channel *ch)
{
    unsigned char data[2] = { ch->owed & 0xff, ch->owed >> 8 };
    send_frame(ch->tty, 'C', data, sizeof(data));
    ch->owed = 0;
}

/* The tty as a transparent byte pipe. */
static long open_tty(void)
{
    struct termios t = { .c_cflag = B115200 | CS8 | CREAD | CLOCAL };
    long tty = sys(__NR_openat, AT_FDCWD, "/dev/ttyS1", O_RDWR | O_NOCTTY | O_CLOEXEC, 0);
    if (tty < 0)
        return tty;
    t.c_cc[VMIN] = 1;
    long r = sys(__NR_ioctl, tty, TCSETS, &t);
    return r < 0 ? r : tty;
}

static void close_end(int *fd)
{
    if (*fd >= 0)
        sys(__NR_close, *fd);
    *fd = -1;
}

static void start_command(struct channel *ch)
{
    int in[2];
    int out[2];
    int err[2];
    if (sys(__NR_pipe2, in, O_CLOEXEC) < 0 || sys(__NR_pipe2, out, O_CLOEXEC) < 0 || sys(__NR_pipe2, err, O_CLOEXEC) < 0)
        power_off(LINUX_REBOOT_CMD_POWER_OFF);
    ch->pid = sys(__NR_clone, SIGCHLD, 0, 0, 0, 0);
    if (ch->pid == 0) {
        sys(__NR_dup3, in[0], 0, 0);
        sys(__NR_dup3, out[1], 1, 0);
        sys(__NR_dup3, err[1], 2, 0);
        sys(__NR_setsid);
        unblock_signals();
        sys(__NR_exit_group, exec_search(command_args));
    }
    if (ch->pid < 0) {
        ch->exited = 1;
        ch->status = STATUS_NOT_EXECUTABLE << 8;
    }
    sys(__NR_close, in[0]);
    sys(__NR_close, out[1]);
    sys(__NR_close, err[1]);
    ch->in = in[1];
    ch->out = out[0];
    ch->err = err[0];
    sys(__NR_fcntl, ch->in, F_SETFL, O_NONBLOCK | O_WRONLY);
    sys(__NR_fcntl, ch->out, F_SETFL, O_NONBLOCK | O_RDONLY);
    sys(__NR_fcntl, ch->err, F_SETFL, O_NONBLOCK | O_RDONLY);
}

/* Moves buffered stdin on to the command. */
static void feed_command(struct channel *ch)
{
    long n = 0;
    if (ch->in >= 0 && ch->buf_len)
        n = sys(__NR_write, ch->in, ch->buf, ch->buf_len);
    if (n < 0 && n != -EAGAIN && n != -EINTR) { /* it closed its stdin: whatever comes is thrown away */
        close_end(&ch->in);
        ch->buf_len = 0;
    }
    if (n > 0) {
        ch->buf_len -= n;
        memmove(ch->buf, ch->buf + n, ch->buf_len);
        ch->owed += n;
    }
    if (ch->buf_len == 0 && ch->eof)
        close_end(&ch->in);
    if (ch->in >= 0 && !ch->eof && ch->owed >= CREDIT / 2)
        send_credit(ch);
}

static void take_from_host(struct channel *ch, const unsigned char *p, unsigned n)
{
    while (n) {
        unsigned take = 1;
        if (ch->header_len < HEADER) {
            ch->header[ch->header_len++] = *p;
            ch->left = ch->header[1] | ch->header[2] << 8;
        } else {
            take = n < ch->left ? n : ch->left;
            unsigned room = sizeof(ch->buf) - ch->buf_len;
            unsigned keep = ch->header[0] == 'I' && ch->in >= 0 ? (take < room ? take : room) : 0;
            memcpy(ch->buf + ch->buf_len, p, keep);
            ch->buf_len += keep;
            ch->left -= take;
        }
        p += take;
        n -= take;
        if (ch->header_len == HEADER && ch->left == 0) {
            ch->eof |= ch->header[0] == 'F';
            ch->header_len = 0;
        }
    }
}

static void read_tty(struct channel *ch)
{
    static unsigned char data[CHUNK];
    long n = sys(__NR_read, ch->tty, data, sizeof(data));
    if (n > 0)
        take_from_host(ch, data, n);
    else if (n != -EAGAIN && n != -EINTR)
        ch->gone = ch->eof = 1;
}

/* Copies what is there of one output stream, one chunk; true when there was some. */
static int copy_output(struct channel *ch, int *fd, unsigned char type)
{
    static unsigned char data[CHUNK];
    if (*fd < 0)
        return 0;
    long n = sys(__NR_read, *fd, data, sizeof(data));
    if (n > 0)
        send_frame(ch->tty, type, data, n);
    else if (n != -EAGAIN && n != -EINTR)
        close_end(fd);
    return n > 0;
}

static void serve_once(struct channel *ch)
{
    struct pollfd p[] = {
        { .fd = ch->signals, .events = POLLIN },
        { .fd = ch->gone ? -1 : ch->tty, .events = POLLIN },
        { .fd = ch->out, .events = POLLIN },
        { .fd = ch->err, .events = POLLIN },
        { .fd = ch->in, .events = ch->buf_len ? POLLOUT : 0 }, /* events 0: still tells that nobody reads (POLLERR) */
    };
    sys(__NR_ppoll, p, sizeof(p) / sizeof(p[0]), 0, 0, 0);
    if (p[1].revents)
        read_tty(ch);
    if (p[2].revents)
        copy_output(ch, &ch->out, 'O');
    if (p[3].revents)
        copy_output(ch, &ch->err, 'E');
    if (p[4].revents & POLLERR) {
        close_end(&ch->in);
        ch->buf_len = 0;
    }
    feed_command(ch);
    if (p[0].revents) {
        act_on_signals(ch->signals);
        ch->exited |= reap(ch->pid, &ch->status);
    }
}

static void run_command(int signals)
{
    struct channel *ch = &channel;
    unsigned char byte = PROTOCOL_VERSION;
    long tty = open_tty();
    if (tty < 0) {
        complain("cannot open", "/dev/ttyS1", tty);
        return;
    }
    if (!mount_shares() || !enter_folder()) /* behind the tty: a share may cover /dev */
        return;
    *ch = (struct channel){ .tty = tty, .signals = signals, .owed = CREDIT };
    send_frame(tty, 'R', &byte, 1);
    start_command(ch);
    send_credit(ch);
    while (!ch->exited)
        serve_once(ch);
    /* What was written before the end is in the pipes now. Processes in the background may hold them open or go on
     * writing, so neither wait for EOF nor read for ever. */
    for (int i = 0; i < DRAIN_CHUNKS && copy_output(ch, &ch->out, 'O'); i++) {
    }
    for (int i = 0; i < DRAIN_CHUNKS && copy_output(ch, &ch->err, 'E'); i++) {
    }
    byte = (ch->status & 0x7f) ? 128 + (ch->status & 0x7f) : (ch->status >> 8) & 0xff;
    send_frame(tty, 'X', &byte, 1);
    sys(__NR_ioctl, tty, TCSBRK, 1); /* waits until everything is sent */
}

/* Cuts the command file into command_args; true when there is a command. */
static int read_command(void)
{
    long n = read_file("/lib/doppel/command", command_text, sizeof(command_text));
    unsigned nr = 0;
    for (long at = 0; at < n && nr < ARGS_MAX; at += str_len(command_text + at) + 1)
        command_args[nr++] = command_text + at;
    command_args[nr] = 0;
    if (n == -E2BIG)
        complain("cannot read", "the command", n);
    return nr > 0 || n == -E2BIG;
}

void start(const long *stack)
{
    const char *const *args = (const char *const *)(stack + 1);
    mount_all();
    sys(__NR_sethostname, "doppel", 6);
    net_loopback_up();
    modules_load();
    set_up_network();
    make_environment(args + stack[0] + 1);
    int signals = open_signals();
    if (!read_command())
        run_shell(signals);
    else if (command_args[0])
        run_command(signals);
    power_off(LINUX_REBOOT_CMD_POWER_OFF);
    __builtin_unreachable();
}
