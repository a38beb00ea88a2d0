/* SPDX-License-Identifier: MIT */
/*
 * A network of our own for the guest, by libslirp: DHCP, a name server, and every connection made anew from this process.
 *
 * slirp is a TCP/IP stack that ends the guest's connections here and opens sockets of the host for them, so it needs no
 * privileges. It is not thread-safe: the front end's lock guards it. The guest's frames enter it on the vCPU's thread, which then
 * brings the epoll set up to date; its sockets are looked at on the loop's. The loop watches one descriptor, that epoll set, in
 * which are slirp's sockets, a timer for slirp's own deadlines, and an eventfd for what has to be done by the loop.
 *
 * The network's MTU is large: each connection ends here, so what the guest would cut into small segments would only be put
 * together again. It is a quarter of a TCP window, which for slirp is 64 KiB at most: with less than half of the window free
 * slirp waits for the guest to say that there is more (RFC 1122, 4.2.3.4), which a guest says when it has doubled; with segments
 * near half of a window both wait, until a timer of five seconds. slirp has no notion of offloads; checksums that the guest
 * leaves out are filled in here, which is what lets Linux send from scattered memory.
 *
 * Frames for the guest wait in a ring of NETDEV_QUEUE_BYTES. From half of it on sockets are not read any more, so senders wait;
 * what slirp says regardless (answers to the guest's own frames) gets lost when it is full, and TCP repeats it.
 *
 * Spec: RFC 1071 (checksums), RFC 4861 (router advertisements, by slirp).
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
    FRAME_CAP = NETDEV_USER_MTU + NETDEV_ETH_HEADER + NETDEV_VLAN_TAG,
    RECORD_ALIGN = 4,
    STALL_AT = NETDEV_QUEUE_BYTES / 2,
    GO_ON_AT = NETDEV_QUEUE_BYTES / 4,
    EVENTS_A_TURN = 64,
    NO_EVENTS = 0,
    MESSAGES_MAX = 8,
    FORWARD_TEXT = 64,
    BACKLOG = 128,
};
static const ns_t NS_PER_MS = 1000000;
#define RESOLV_CONF "/etc/resolv.conf" /* libslirp reads it */

/* In the ring, in front of a frame. */
struct record {
    uint32_t len; /* SKIP: nothing more before the ring's end */
    uint8_t data[];
};
#define SKIP UINT32_MAX

/* One of slirp's own, for router advertisements. */
struct own_timer {
    SlirpTimerCb fn;
    void *opaque;           /* slirp's */
    int64_t at;             /* ms, INT64_MAX: off */
    struct own_timer *next; /* owned */
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
    ns_t armed;                      /* host ns the timer was set to, INT64_MAX: off */
    struct own_timer *timers;        /* owned */
    struct watch *watch;             /* owned; by descriptor */
    unsigned nr_watch;
    int *listed; /* owned; descriptors whose `have` or `want` is not 0; room for nr_watch */
    unsigned nr_listed;
    struct log_limit guest_messages;
    bool nameless;        /* there is no name server, which the user was not told yet */
    uint32_t first, used; /* bytes of the ring: where the oldest record is, how many are taken */
    uint8_t out[FRAME_CAP];
    _Alignas(struct record) uint8_t ring[NETDEV_QUEUE_BYTES];
};

static struct netdev_slirp *to_slirp(struct netdev *dev)
{
    return (struct netdev_slirp *)dev;
}

static struct in_addr address(const char *text)
{
    return (struct in_addr){ .s_addr = inet_addr(text) };
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

static struct record *record_at(struct netdev_slirp *s, uint32_t at)
{
    return (struct record *)(void *)(s->ring + at);
}

/* Bytes of the ring that a frame takes; records are aligned, so what is left at the end has room for a length. */
static uint32_t record_size(size_t len)
{
    return ((uint32_t)(sizeof(struct record) + len) + RECORD_ALIGN - 1) / RECORD_ALIGN * RECORD_ALIGN;
}

static ssize_t on_frame(const void *buf, size_t len, void *opaque)
{
    struct netdev_slirp *s = opaque;
    uint32_t size = record_size(len), at = (s->first + s->used) % sizeof(s->ring);
    uint32_t skip = at + size > sizeof(s->ring) ? (uint32_t)sizeof(s->ring) - at : 0;
    if (len > FRAME_CAP || s->used + skip + size > sizeof(s->ring))
        return (ssize_t)len; /* lost */
    if (skip) {
        record_at(s, at)->len = SKIP;
        s->used += skip;
        at = 0;
    }
    record_at(s, at)->len = (uint32_t)len;
    memcpy(record_at(s, at)->data, buf, len);
    s->used += size;
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

static void *on_timer_new(SlirpTimerCb fn, void *fn_opaque, void *opaque)
{
    struct netdev_slirp *s = opaque;
    struct own_timer *t = calloc(1, sizeof(*t));
    if (!t)
        return NULL; /* no router is announced: on_timer_mod() */
    *t = (struct own_timer){ .fn = fn, .opaque = fn_opaque, .at = INT64_MAX, .next = s->timers };
    s->timers = t;
    return t;
}

static void on_timer_free(void *timer, void *opaque)
{
    struct netdev_slirp *s = opaque;
    for (struct own_timer **at = &s->timers; *at; at = &(*at)->next)
        if (*at == timer) {
            *at = (*at)->next;
            free(timer);
            return;
        }
}

static void on_timer_mod(void *timer, int64_t expire_ms, void *opaque)
{
    (void)opaque;
    if (timer)
        ((struct own_timer *)timer)->at = expire_ms; /* sync_set() arms ours, before anybody sleeps */
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

/* Sees to it that the loop comes in `ms` or before: a timer that comes too early does no harm, and setting it costs a system
 * call. */
static void arm(struct netdev_slirp *s, uint32_t ms)
{
    const ns_t now = clock_host_ns();
    ns_t at = ms == UINT32_MAX ? INT64_MAX : now + MAX(ms, 1) * NS_PER_MS;
    for (const struct own_timer *t = s->timers; t; t = t->next)
        if (t->at != INT64_MAX)
            at = MIN(at, MAX(t->at * NS_PER_MS, now + NS_PER_MS));
    if (at >= s->armed && s->armed > now)
        return;
    const struct itimerspec spec = { .it_value = { .tv_sec = at / NS_PER_S, .tv_nsec = at % NS_PER_S } };
    if (at != INT64_MAX)
        (void)timerfd_settime(s->timer_fd, TFD_TIMER_ABSTIME, &spec, NULL); /* ours, and a valid time */
    s->armed = at;
}

static void run_timers(struct netdev_slirp *s)
{
    const int64_t now = clock_host_ns() / NS_PER_MS;
    for (struct own_timer *t = s->timers; t; t = t->next)
        if (t->at <= now) {
            t->at = INT64_MAX;
            t->fn(t->opaque); /* sets it anew, and frees none */
        }
}

/* Asks slirp what it waits for. */
static void sync_set(struct netdev_slirp *s)
{
    uint32_t ms = UINT32_MAX;
    unsigned kept = 0;
    s->stalled = s->used >= (s->stalled ? (uint32_t)GO_ON_AT : (uint32_t)STALL_AT);
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
            s->armed = fd == s->timer_fd ? INT64_MAX : s->armed;
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
    run_timers(s);
    if (s->used > 0)
        netdev_notify(&s->head);
    sync_set(s);
    netdev_unlock(&s->head);
}

/* ---- the front end's operations ---- */

/* Fills in the checksum that the header leaves out; it lies inside the frame. */
static void fill_checksum(uint8_t *frame, size_t len, const struct netdev_header *h)
{
    uint64_t sum = 0;
    size_t at = h->csum_start;
    for (uint32_t word; at + sizeof(word) <= len; at += sizeof(word)) {
        memcpy(&word, frame + at, sizeof(word));
        sum += word;
    }
    uint32_t rest = 0;
    memcpy(&rest, frame + at, len - at);
    sum += rest;
    while (sum >> 16)
        sum = (sum & 0xffff) + (sum >> 16);
    uint16_t result = (uint16_t)~sum;
    if (result == 0)
        result = 0xffff; /* the same, and for UDP the one that does not mean "none" */
    memcpy(frame + h->csum_start + h->csum_offset, &result, sizeof(result));
}

/* Tells once that there is no name server, when the guest asks it: a guest that never does is not wrong. */
static void look_for_question(struct netdev_slirp *s, size_t len)
{
    enum { TYPE = 12, PROTOCOL = 23, DESTINATION = 30, PORT = 36, HEADERS = 42 };
    static const uint8_t ipv4[2] = { 8, 0 }, port[2] = { 0, 53 };
    const struct in_addr server = address(NETDEV_USER_DNS);
    if (len < HEADERS || memcmp(s->out + TYPE, ipv4, sizeof(ipv4)) != 0 || s->out[PROTOCOL] != IPPROTO_UDP
        || memcmp(s->out + DESTINATION, &server, sizeof(server)) != 0 || memcmp(s->out + PORT, port, sizeof(port)) != 0)
        return;
    log_warn("network: the guest asks for a name, and this host has no " RESOLV_CONF " that says whom to ask: it gets no answer");
    s->nameless = false;
}

static void slirp_send(struct netdev *dev, const struct netdev_header *h, const struct iovec *iov, unsigned nr_iov, size_t len)
{
    struct netdev_slirp *s = to_slirp(dev);
    size_t at = 0;
    if (len > sizeof(s->out))
        return;
    for (unsigned i = 0; i < nr_iov; at += iov[i++].iov_len)
        memcpy(s->out + at, iov[i].iov_base, iov[i].iov_len); /* once: the guest may go on writing */
    if (h->flags & NETDEV_NEEDS_CSUM)
        fill_checksum(s->out, len, h);
    if (s->nameless)
        look_for_question(s, len);
    slirp_input(s->slirp, s->out, (int)at);
}

static void slirp_kick(struct netdev *dev)
{
    sync_set(to_slirp(dev)); /* here and now: the loop need not be woken for it */
}

static bool slirp_next(struct netdev *dev, struct netdev_frame *ret_frame)
{
    struct netdev_slirp *s = to_slirp(dev);
    if (s->used > 0 && record_at(s, s->first)->len == SKIP) {
        s->used -= (uint32_t)sizeof(s->ring) - s->first;
        s->first = 0;
    }
    if (s->used == 0)
        return false;
    const struct record *r = record_at(s, s->first);
    *ret_frame = (struct netdev_frame){ .data = r->data, .len = r->len };
    return true;
}

static void slirp_taken(struct netdev *dev)
{
    struct netdev_slirp *s = to_slirp(dev);
    uint32_t size = record_size(record_at(s, s->first)->len);
    s->first = (s->first + size) % sizeof(s->ring);
    s->used -= size;
    if (s->used == 0)
        s->first = 0; /* memory that is in the cache */
    if (s->stalled && s->used < GO_ON_AT)
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
    while (s->timers) /* slirp's own clean-up forgets one */
        on_timer_free(s->timers, s);
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

static struct in6_addr address6(const char *text)
{
    struct in6_addr a = { 0 };
    (void)inet_pton(AF_INET6, text, &a); /* a constant of ours */
    return a;
}

static Slirp *make_slirp(struct netdev_slirp *s, const struct netdev_config *c)
{
    const SlirpConfig config = {
        .version = 1,
        .restricted = c->restricted,
        .in_enabled = true,
        .vnetwork = address(NETDEV_USER_NETWORK),
        .vnetmask = address(NETDEV_USER_NETMASK),
        .vhost = address(NETDEV_USER_GATEWAY),
        .vdhcp_start = address(NETDEV_USER_GUEST),
        .vnameserver = address(NETDEV_USER_DNS),
        .in6_enabled = c->ipv6 && !c->restricted,
        .vprefix_addr6 = address6(NETDEV_USER_PREFIX6),
        .vprefix_len = NETDEV_USER_PREFIX6_LEN,
        .vhost6 = address6(NETDEV_USER_GATEWAY6),
        .vnameserver6 = address6(NETDEV_USER_DNS6),
        .vhostname = "doppel",
        .if_mtu = c->mtu,
        .if_mru = c->mtu,
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
    s->head = (struct netdev){ .ops = &slirp_ops, .offload = NETDEV_CSUM, .valid = true, .mtu = config->mtu };
    s->loop = loop;
    s->epoll_fd = s->timer_fd = s->kick_fd = -1;
    s->armed = INT64_MAX;
    s->nameless = access(RESOLV_CONF, R_OK) < 0;
    int r = make_fds(s, err);
    if (r == 0) {
        s->slirp = make_slirp(s, config);
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
