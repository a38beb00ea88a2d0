/* SPDX-License-Identifier: MIT */
/*
 * A network of our own for the guest, by libslirp: DHCP, a name server, and every connection made anew from this process.
 *
 * slirp is a TCP/IP stack that ends the guest's connections here and opens sockets of the host for them, so it needs no
 * privileges. It is not thread-safe: the front end's lock guards it. The guest's frames enter it on the vCPU's thread; its
 * sockets are looked at on the loop's. The loop watches one descriptor, an epoll set in which are slirp's sockets, a timer for
 * slirp's own deadlines, and an eventfd: what a frame of the guest changed about sockets is looked up by the loop, which the
 * eventfd wakes.
 *
 * Frames for the guest wait in a queue of NETDEV_QUEUE_BYTES. From half of it on sockets are not read any more, so senders wait;
 * what slirp says regardless (answers to the guest's own frames) gets lost when it is full, and TCP repeats it.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <glib.h>
#include <slirp/libslirp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "backend/netdev.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/loop.h"

enum {
    FRAME_CAP = NETDEV_MTU + NETDEV_ETH_HEADER + NETDEV_VLAN_TAG,
    FRAMES = NETDEV_QUEUE_BYTES / FRAME_CAP,
    STALL_AT = FRAMES / 2,
    GO_ON_AT = FRAMES / 4,
    EVENTS_A_TURN = 64,
    NO_EVENTS = 0,
    MESSAGES_MAX = 8,
    FORWARD_TEXT = 64,
    BACKLOG = 128,
};
static const ns_t NS_PER_MS = 1000000;

struct queued {
    uint16_t len;
    uint8_t data[FRAME_CAP];
};

/* What the epoll set knows of a descriptor. */
struct watch {
    uint32_t have;   /* epoll events it is registered for, 0: not in the set */
    uint32_t want;   /* what slirp asked for last */
    uint32_t events; /* what happened, until slirp was told */
};

struct netdev_slirp {
    struct netdev head;
    struct loop *loop;               /* borrowed (outlives back ends) */
    Slirp *slirp;                    /* owned */
    int epoll_fd, timer_fd, kick_fd; /* owned */
    bool kicked;                     /* kick_fd was written and not yet read */
    bool stalled;                    /* sockets are not looked at */
    uint32_t armed;                  /* ms the timer was set to, UINT32_MAX: off */
    struct watch *watch;             /* owned; by descriptor */
    unsigned nr_watch;
    int *listed; /* owned; descriptors whose `have` or `want` is not 0; room for nr_watch */
    unsigned nr_listed;
    struct log_limit guest_messages;
    unsigned first, queued; /* a ring */
    struct queued frame[FRAMES];
    uint8_t out[FRAME_CAP];
};

static struct netdev_slirp *to_slirp(struct netdev *dev)
{
    return (struct netdev_slirp *)dev;
}

static void kick(struct netdev_slirp *s)
{
    const uint64_t one = 1;
    if (!s->kicked && write(s->kick_fd, &one, sizeof(one)) == sizeof(one))
        s->kicked = true;
}

static void drain(int fd)
{
    uint64_t count;
    if (read(fd, &count, sizeof(count)) < 0)
        return; /* EAGAIN: nothing to drain */
}

/* ---- what slirp asks for ---- */

static ssize_t on_frame(const void *buf, size_t len, void *opaque)
{
    struct netdev_slirp *s = opaque;
    if (s->queued == FRAMES || len > FRAME_CAP)
        return (ssize_t)len; /* lost */
    struct queued *q = &s->frame[(s->first + s->queued++) % FRAMES];
    q->len = (uint16_t)len;
    memcpy(q->data, buf, len);
    return (ssize_t)len;
}

static void on_guest_error(const char *msg, void *opaque)
{
    struct netdev_slirp *s = opaque;
    if (log_limit_pass(&s->guest_messages, MESSAGES_MAX))
        log_debug("network: %s", msg);
}

static int64_t on_clock(void *opaque)
{
    (void)opaque;
    return clock_host_ns();
}

/* Timers announce IPv6 routers only, and there is no IPv6. */
static void *on_timer_new(SlirpTimerCb fn, void *fn_opaque, void *opaque)
{
    (void)fn;
    (void)fn_opaque;
    return opaque;
}

static void on_timer_free(void *timer, void *opaque)
{
    (void)timer;
    (void)opaque;
}

static void on_timer_mod(void *timer, int64_t expire_ms, void *opaque)
{
    (void)timer;
    (void)expire_ms;
    (void)opaque;
}

static void on_opened(int fd, void *opaque)
{
    (void)fd; /* it will ask for it */
    (void)opaque;
}

/* Before the descriptor is closed. */
static void on_closing(int fd, void *opaque)
{
    struct netdev_slirp *s = opaque;
    if (fd < 0 || (unsigned)fd >= s->nr_watch)
        return;
    if (s->watch[fd].have)
        (void)epoll_ctl(s->epoll_fd, EPOLL_CTL_DEL, fd, NULL); /* it is in there */
    s->watch[fd] = (struct watch){ 0 };
}

static void on_notify(void *opaque)
{
    kick(opaque);
}

static const SlirpCb callbacks = {
    .send_packet = on_frame,
    .guest_error = on_guest_error,
    .clock_get_ns = on_clock,
    .timer_new = on_timer_new,
    .timer_free = on_timer_free,
    .timer_mod = on_timer_mod,
    .register_poll_fd = on_opened,
    .unregister_poll_fd = on_closing,
    .notify = on_notify,
};

/* ---- the epoll set ---- */

/* Makes room for descriptor fd. */
static bool make_room(struct netdev_slirp *s, unsigned fd)
{
    enum { STEP = 64 };
    if (fd < s->nr_watch)
        return true;
    unsigned nr = (fd / STEP + 1) * STEP;
    struct watch *watch = realloc(s->watch, nr * sizeof(*watch));
    if (watch)
        s->watch = watch;
    int *listed = watch ? realloc(s->listed, nr * sizeof(*listed)) : NULL;
    if (!listed)
        return false;
    s->listed = listed;
    memset(s->watch + s->nr_watch, 0, (nr - s->nr_watch) * sizeof(*watch));
    s->nr_watch = nr;
    return true;
}

/* A SlirpAddPollCb; a descriptor is its own index. */
static int add_poll(int fd, int events, void *opaque)
{
    struct netdev_slirp *s = opaque;
    if (fd < 0 || !make_room(s, (unsigned)fd))
        return -1; /* looked at when there is memory again */
    uint32_t want = (events & SLIRP_POLL_IN ? (uint32_t)EPOLLIN : 0) | (events & SLIRP_POLL_OUT ? (uint32_t)EPOLLOUT : 0)
                    | (events & SLIRP_POLL_PRI ? (uint32_t)EPOLLPRI : 0);
    struct watch *w = &s->watch[fd];
    if (s->stalled || want == NO_EVENTS)
        return fd;
    if (!w->have && !w->want)
        s->listed[s->nr_listed++] = fd;
    w->want |= want;
    return fd;
}

/* A SlirpGetREventsCb. */
static int get_events(int fd, void *opaque)
{
    const struct netdev_slirp *s = opaque;
    if (fd < 0 || (unsigned)fd >= s->nr_watch)
        return 0;
    uint32_t e = s->watch[fd].events;
    int result = (e & EPOLLIN ? SLIRP_POLL_IN : 0) | (e & EPOLLOUT ? SLIRP_POLL_OUT : 0) | (e & EPOLLPRI ? SLIRP_POLL_PRI : 0);
    if (e & (EPOLLERR | EPOLLHUP)) /* reading finds out; epoll tells of these without being asked, so somebody has to */
        result |= SLIRP_POLL_IN | (e & EPOLLERR ? SLIRP_POLL_ERR : 0) | (e & EPOLLHUP ? SLIRP_POLL_HUP : 0);
    return result;
}

/* Takes over what slirp wants of one descriptor; false: it is not in the set any more. */
static bool update(struct netdev_slirp *s, int fd)
{
    struct watch *w = &s->watch[fd];
    struct epoll_event ev = { .events = w->want, .data.fd = fd };
    int r = 0;
    if (w->want && w->want != w->have)
        r = epoll_ctl(s->epoll_fd, w->have ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, fd, &ev);
    if ((!w->want || r < 0) && w->have)
        (void)epoll_ctl(s->epoll_fd, EPOLL_CTL_DEL, fd, NULL); /* it is in there */
    w->have = r < 0 ? 0 : w->want;                             /* no memory: the next turn tries again */
    w->want = w->have;
    return w->have != 0;
}

static void arm(struct netdev_slirp *s, uint32_t ms)
{
    if (ms == UINT32_MAX && s->armed == UINT32_MAX)
        return;
    const ns_t ns = ms == UINT32_MAX ? 0 : MAX(ms * NS_PER_MS, 1);
    const struct itimerspec spec = { .it_value = { .tv_sec = ns / NS_PER_S, .tv_nsec = ns % NS_PER_S } };
    (void)timerfd_settime(s->timer_fd, 0, &spec, NULL); /* ours, and a valid time */
    s->armed = ms;
}

/* Asks slirp what it waits for. */
static void sync_set(struct netdev_slirp *s)
{
    uint32_t ms = UINT32_MAX;
    unsigned kept = 0;
    s->stalled = s->queued >= (s->stalled ? GO_ON_AT : STALL_AT);
    for (unsigned i = 0; i < s->nr_listed; i++)
        if (s->watch[s->listed[i]].have) { /* not closed meanwhile */
            s->watch[s->listed[i]].want = 0;
            s->listed[kept++] = s->listed[i];
        }
    s->nr_listed = kept;
    slirp_pollfds_fill(s->slirp, &ms, add_poll, s);
    kept = 0;
    for (unsigned i = 0; i < s->nr_listed; i++)
        if (update(s, s->listed[i]))
            s->listed[kept++] = s->listed[i];
    s->nr_listed = kept;
    arm(s, ms);
}

/* Collects what happened; on the loop's thread. */
static unsigned collect(struct netdev_slirp *s, int *ret_fd)
{
    struct epoll_event ev[EVENTS_A_TURN];
    int n = epoll_wait(s->epoll_fd, ev, EVENTS_A_TURN, 0);
    unsigned nr = 0;
    for (int i = 0; i < n; i++) {
        int fd = ev[i].data.fd;
        if (fd == s->kick_fd || fd == s->timer_fd) {
            drain(fd);
            s->kicked = s->kicked && fd != s->kick_fd;
        } else {
            s->watch[fd].events = ev[i].events;
            ret_fd[nr++] = fd;
        }
    }
    return nr;
}

static void on_events(void *opaque, uint32_t events)
{
    struct netdev_slirp *s = opaque;
    int fd[EVENTS_A_TURN];
    (void)events;
    netdev_lock(&s->head);
    unsigned nr = collect(s, fd);
    slirp_pollfds_poll(s->slirp, 0, get_events, s);
    for (unsigned i = 0; i < nr; i++)
        s->watch[fd[i]].events = 0;
    if (s->queued > 0)
        netdev_notify(&s->head);
    sync_set(s);
    netdev_unlock(&s->head);
}

/* ---- the front end's operations ---- */

static void slirp_send(struct netdev *dev, const struct netdev_header *h, const struct iovec *iov, unsigned nr_iov, size_t len)
{
    struct netdev_slirp *s = to_slirp(dev);
    size_t at = 0;
    (void)h; /* nothing was offered */
    if (len > sizeof(s->out))
        return;
    for (unsigned i = 0; i < nr_iov; at += iov[i++].iov_len)
        memcpy(s->out + at, iov[i].iov_base, iov[i].iov_len); /* once: the guest may go on writing */
    slirp_input(s->slirp, s->out, (int)at);
}

static void slirp_kick(struct netdev *dev)
{
    kick(to_slirp(dev));
}

static bool slirp_next(struct netdev *dev, struct netdev_frame *ret_frame)
{
    struct netdev_slirp *s = to_slirp(dev);
    const struct queued *q = &s->frame[s->first];
    if (s->queued == 0)
        return false;
    *ret_frame = (struct netdev_frame){ .data = q->data, .len = q->len };
    return true;
}

static void slirp_taken(struct netdev *dev)
{
    struct netdev_slirp *s = to_slirp(dev);
    s->first = (s->first + 1) % FRAMES;
    s->queued--;
    if (s->stalled && s->queued < GO_ON_AT)
        kick(s);
}

static void close_fd(int fd)
{
    if (fd >= 0)
        (void)close(fd); /* a kernel object without data */
}

static void slirp_free(struct netdev *dev)
{
    struct netdev_slirp *s = to_slirp(dev);
    if (s->slirp)
        slirp_cleanup(s->slirp);
    if (s->epoll_fd >= 0)
        loop_remove_fd(s->loop, s->epoll_fd);
    close_fd(s->epoll_fd);
    close_fd(s->timer_fd);
    close_fd(s->kick_fd);
    free(s->watch);
    free(s->listed);
    free(s);
}

static const struct netdev_ops slirp_ops = {
    .send = slirp_send,
    .kick = slirp_kick,
    .next = slirp_next,
    .taken = slirp_taken,
    .free = slirp_free,
};

/* ---- set-up ---- */

/* A GLogFunc: what slirp would write to our stderr. */
static void on_log(const char *domain, GLogLevelFlags level, const char *message, void *opaque)
{
    (void)domain;
    (void)level;
    (void)opaque;
    log_debug("slirp: %s", message);
}

static struct in_addr address(const char *text)
{
    return (struct in_addr){ .s_addr = inet_addr(text) };
}

static Slirp *make_slirp(struct netdev_slirp *s, bool restricted)
{
    const SlirpConfig config = {
        .version = 1,
        .restricted = restricted,
        .in_enabled = true,
        .vnetwork = address(NETDEV_USER_NETWORK),
        .vnetmask = address(NETDEV_USER_NETMASK),
        .vhost = address(NETDEV_USER_GATEWAY),
        .vdhcp_start = address(NETDEV_USER_GUEST),
        .vnameserver = address(NETDEV_USER_DNS),
        .vhostname = "doppel",
        .if_mtu = NETDEV_MTU,
        .if_mru = NETDEV_MTU,
    };
    (void)g_log_set_handler("Slirp", (GLogLevelFlags)(G_LOG_LEVEL_MASK | G_LOG_FLAG_RECURSION), on_log, NULL);
    return slirp_new(&config, &callbacks, s);
}

static const char *advice(int code)
{
    switch (code) {
    case EADDRINUSE: return "another program uses it: choose another host port";
    case EACCES: return "ports below 1024 are for root: choose another host port";
    case EADDRNOTAVAIL: return "it must be an address of this host";
    default: return "choose another host port";
    }
}

/* Whether the port can be had; slirp itself would share a UDP port with anybody. 0 or an errno. */
static int try_port(const struct netdev_forward *f)
{
    const struct sockaddr_in at = { .sin_family = AF_INET, .sin_addr = f->host, .sin_port = htons(f->host_port) };
    const int one = 1;
    AUTO_CLOSE int fd = socket(AF_INET, (f->udp ? SOCK_DGRAM : SOCK_STREAM) | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return errno;
    if (!f->udp && setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) < 0) /* old connections do not matter */
        return errno;
    return bind(fd, (const struct sockaddr *)&at, sizeof(at)) < 0 ? errno : 0;
}

static int add_forward(struct netdev_slirp *s, const struct netdev_forward *f, struct error *err)
{
    char text[FORWARD_TEXT];
    int code = try_port(f);
    errno = EADDRINUSE;
    if (code == 0 && slirp_add_hostfwd(s->slirp, f->udp, f->host, f->host_port, address(NETDEV_USER_GUEST), f->guest_port) < 0)
        code = errno ? errno : EADDRINUSE;
    if (code == 0)
        return 0;
    netdev_forward_text(f, text, sizeof(text));
    return error_set(err, -code, "hostfwd %s: host port %u: %s (%s)", text, f->host_port, strerror(code), advice(code));
}

/* slirp lets one connection wait for it to accept, others are refused or made to wait for seconds. */
static void lengthen_backlogs(struct netdev_slirp *s)
{
    sync_set(s); /* no socket but those of forwards is there yet */
    for (unsigned i = 0; i < s->nr_listed; i++)
        if (listen(s->listed[i], BACKLOG) < 0)
            continue; /* one for UDP */
}

static int make_fds(struct netdev_slirp *s, struct error *err)
{
    s->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    s->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
    s->kick_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    const int fd[] = { s->timer_fd, s->kick_fd };
    int code = s->epoll_fd < 0 || s->timer_fd < 0 || s->kick_fd < 0 ? errno : 0;
    for (unsigned i = 0; i < G_N_ELEMENTS(fd) && code == 0; i++) {
        struct epoll_event ev = { .events = EPOLLIN, .data.fd = fd[i] };
        if (epoll_ctl(s->epoll_fd, EPOLL_CTL_ADD, fd[i], &ev) < 0)
            code = errno;
    }
    if (code)
        return error_set(err, -code, "cannot watch sockets: %s", strerror(code));
    return loop_add_fd(s->loop, s->epoll_fd, EPOLLIN, on_events, s, err);
}

int netdev_slirp_new(struct loop *loop, const struct netdev_config *config, struct netdev **ret_dev, struct error *err)
{
    struct netdev_slirp *s = calloc(1, sizeof(*s));
    if (!s)
        return error_set(err, -ENOMEM, "out of memory");
    s->head = (struct netdev){ .ops = &slirp_ops, .valid = true, .mtu = NETDEV_MTU };
    s->loop = loop;
    s->epoll_fd = s->timer_fd = s->kick_fd = -1;
    s->armed = UINT32_MAX;
    int r = make_fds(s, err);
    if (r == 0) {
        s->slirp = make_slirp(s, config->restricted);
        if (!s->slirp)
            r = error_set(err, -EINVAL, "libslirp %s does not take our settings", slirp_version_string());
    }
    for (unsigned i = 0; i < config->nr_forwards && r == 0; i++)
        r = add_forward(s, &config->forward[i], err);
    if (r < 0) {
        slirp_free(&s->head);
        return r;
    }
    lengthen_backlogs(s);
    *ret_dev = &s->head;
    return 0;
}
