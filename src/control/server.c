/* SPDX-License-Identifier: MIT */
/*
 * The control socket of a running machine.
 *
 * The loop's thread does everything but one thing: console output comes from vCPU threads, with the machine's lock held, into the
 * clients' rings, which that lock guards; an eventfd then brings the loop to send it. Descriptors are watched level-triggered,
 * for what can be acted on: input while there is room for the answer, output while some waits.
 */
#include "control/server.h"

#include <assert.h>
#include <ctype.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "backend/byte_ring.h"
#include "base/loop.h"
#include "control/controller.h"
#include "machine/console.h"

enum { OUT_CAP = 64 << 10, READ_MAX = 1024, PROMPT_MAX = 256 };
static_assert((int)READ_MAX <= (int)CONSOLE_FEED && (int)READ_MAX < (int)ACTION_LINE_MAX, "what is read in one go can be kept");

struct client {
    struct server *server; /* borrowed (it is in there) */
    int fd;                /* owned; -1: free */
    uint32_t watched;      /* events; 0: none */
    bool console;          /* what comes is for the console */
    bool eof;              /* it sends no more */
    bool doomed;           /* to be disconnected when all is sent */
    size_t in_len;
    char in[ACTION_LINE_MAX]; /* a line that is not complete, or console input that waits for room */
    struct byte_ring out;     /* owned; guarded by the machine's lock */
};

struct server {
    struct server_args args;
    int listen_fd, kick_fd; /* owned */
    bool listening, kicked;
    struct console_tap tap;
    struct client client[SERVER_CLIENTS_MAX];
};

static void lock(struct server *s)
{
    (void)pthread_mutex_lock(s->args.lock); /* a plain mutex never fails */
}

static void unlock(struct server *s)
{
    (void)pthread_mutex_unlock(s->args.lock);
}

static void disconnect(struct client *c)
{
    if (c->fd < 0)
        return;
    if (c->watched)
        loop_remove_fd(c->server->args.loop, c->fd);
    lock(c->server);
    (void)close(c->fd);
    c->fd = -1;
    c->console = false;
    byte_ring_done(&c->out);
    unlock(c->server);
}

/* ---- output ---- */

/* Queues a line; a client that lets answers pile up is none. */
static void send_line(struct client *c, const char *line, int len)
{
    lock(c->server);
    bool fits = len > 0 && byte_ring_room(&c->out) >= (size_t)len;
    if (fits)
        (void)byte_ring_put(&c->out, (const uint8_t *)line, (size_t)len);
    unlock(c->server);
    c->doomed |= !fits;
}

static void send_reply(struct client *c, const struct reply *reply)
{
    char line[ACTION_LINE_MAX];
    send_line(c, line, reply_encode(reply, line, sizeof(line)));
}

/* Sends what waits; false when the client is gone. */
static bool flush(struct client *c)
{
    const uint8_t *data;
    size_t len;
    bool good = true;
    lock(c->server);
    while (good && (len = byte_ring_front(&c->out, &data)) > 0) {
        ssize_t n = send(c->fd, data, len, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
            break;
        good = n > 0;
        if (good)
            byte_ring_drop(&c->out, (size_t)n);
    }
    unlock(c->server);
    return good;
}

/* ---- input ---- */

/* The line that the cursor is in, so that who attaches sees the prompt. Only plain text: no questions to the terminal. */
static void send_prompt(struct client *c)
{
    uint8_t text[PROMPT_MAX];
    size_t len = console_copy(c->server->args.console, text, sizeof(text)), from = len;
    while (from > 0 && isprint(text[from - 1]))
        from--;
    (void)byte_ring_put(&c->out, text + from, len - from);
}

static void take_line(struct client *c, const char *line, size_t len)
{
    struct action action = { .id = ACTION_INFO };
    struct reply reply;
    struct error err = { 0 };
    int r = action_decode(line, len, &action, &err);
    if (r < 0)
        action.id = ACTION_INFO;
    controller_perform(c->server->args.controller, &action, &reply);
    if (r < 0) {
        reply.ok = false;
        (void)snprintf(reply.text, sizeof(reply.text), "bad request: %.200s", err.msg);
        c->doomed = true;
    }
    send_reply(c, &reply);
    if (reply.ok && action.id == ACTION_CONSOLE && !c->doomed) {
        lock(c->server);
        send_prompt(c);
        c->console = true;
        unlock(c->server);
    }
}

/* Uses up what it can of the input. */
static void take_input(struct client *c)
{
    size_t at = 0;
    while (!c->doomed && !c->console && at < c->in_len) {
        const char *end = memchr(c->in + at, '\n', c->in_len - at);
        if (!end)
            break;
        take_line(c, c->in + at, (size_t)(end - (c->in + at)));
        at = (size_t)(end - c->in) + 1;
    }
    if (c->console && at < c->in_len) {
        lock(c->server);
        at += console_feed(c->server->args.console, (const uint8_t *)c->in + at, c->in_len - at);
        unlock(c->server);
    }
    if (c->doomed)
        at = c->in_len;
    memmove(c->in, c->in + at, c->in_len - at);
    c->in_len -= at;
    if (!c->console && c->in_len == sizeof(c->in))
        take_line(c, c->in, c->in_len); /* too long: says so and dooms it */
}

/* False when the client is gone. */
static bool receive(struct client *c)
{
    size_t room = sizeof(c->in) - c->in_len;
    ssize_t n = recv(c->fd, c->in + c->in_len, MIN(room, (size_t)READ_MAX), MSG_DONTWAIT);
    if (n < 0)
        return errno == EINTR || errno == EAGAIN || errno == EWOULDBLOCK;
    c->eof = n == 0;
    c->in_len += (size_t)n;
    take_input(c);
    return true;
}

/* ---- the loop ---- */

static void on_client(void *opaque, uint32_t events);

/* Watches for what can be acted on, or ends the connection. */
static void settle(struct client *c)
{
    struct server *s = c->server;
    lock(s);
    bool waits = c->out.len > 0, crowded = c->out.len > OUT_CAP / 2;
    unlock(s);
    bool may_read = !c->eof && !c->doomed && (c->console ? c->in_len == 0 : !crowded);
    uint32_t want = (waits ? EPOLLOUT : 0U) | (may_read ? EPOLLIN : 0U);
    if ((c->doomed || c->eof) && !waits) {
        disconnect(c);
        return;
    }
    if (want == c->watched)
        return;
    if (c->watched)
        loop_remove_fd(s->args.loop, c->fd);
    c->watched = want;
    if (want && loop_add_fd(s->args.loop, c->fd, want, on_client, c, NULL) < 0) {
        c->watched = 0;
        disconnect(c);
    }
}

static void on_client(void *opaque, uint32_t events)
{
    struct client *c = opaque;
    bool good = !(events & (EPOLLERR | EPOLLHUP)) || (events & EPOLLIN);
    if (good && (events & EPOLLIN))
        good = receive(c);
    if (good)
        good = flush(c);
    if (good)
        settle(c);
    else
        disconnect(c);
}

static void on_kick(void *opaque, uint32_t events)
{
    struct server *s = opaque;
    uint64_t count;
    (void)events;
    if (read(s->kick_fd, &count, sizeof(count)) < 0)
        assert(errno == EAGAIN || errno == EINTR);
    lock(s);
    s->kicked = false;
    unlock(s);
    for (unsigned i = 0; i < SERVER_CLIENTS_MAX; i++) {
        struct client *c = &s->client[i];
        if (c->fd < 0 || !c->console)
            continue;
        take_input(c);
        if (flush(c))
            settle(c);
        else
            disconnect(c);
    }
}

/* Machine's lock held. */
static void kick(struct server *s)
{
    uint64_t one = 1;
    if (s->kicked)
        return;
    s->kicked = true;
    if (write(s->kick_fd, &one, sizeof(one)) < 0)
        assert(errno == EAGAIN); /* the counter is full: the loop comes anyway */
}

static void on_output(void *opaque, const uint8_t *data, size_t len)
{
    struct server *s = opaque;
    for (unsigned i = 0; i < SERVER_CLIENTS_MAX; i++)
        if (s->client[i].console && byte_ring_put(&s->client[i].out, data, len) > 0)
            kick(s);
}

static void on_room(void *opaque)
{
    struct server *s = opaque;
    for (unsigned i = 0; i < SERVER_CLIENTS_MAX; i++)
        if (s->client[i].console) {
            kick(s);
            return;
        }
}

static struct client *free_client(struct server *s)
{
    for (unsigned i = 0; i < SERVER_CLIENTS_MAX; i++)
        if (s->client[i].fd < 0)
            return &s->client[i];
    return NULL;
}

static void on_connect(void *opaque, uint32_t events)
{
    struct server *s = opaque;
    (void)events;
    int fd = accept4(s->listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (fd < 0)
        return; /* gone again, or no descriptors left: it waits */
    struct client *c = free_client(s);
    struct byte_ring out;
    if (!c || byte_ring_init(&out, OUT_CAP) < 0) {
        (void)close(fd);
        return;
    }
    lock(s);
    *c = (struct client){ .server = s, .fd = fd, .out = out };
    unlock(s);
    settle(c);
}

/* ---- life ---- */

int server_new(const struct server_args *args, int listen_fd, struct server **ret_server, struct error *err)
{
    struct server *s = calloc(1, sizeof(*s));
    if (!s)
        return error_set(err, -ENOMEM, "out of memory for the control socket");
    s->args = *args;
    s->listen_fd = listen_fd;
    for (unsigned i = 0; i < SERVER_CLIENTS_MAX; i++)
        s->client[i].fd = -1;
    s->tap = (struct console_tap){ .output = on_output, .room = on_room, .opaque = s };
    s->kick_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    int r = s->kick_fd < 0 ? error_set(err, -errno, "eventfd: %s", strerror(errno)) : 0;
    if (r == 0)
        r = loop_add_fd(args->loop, s->kick_fd, EPOLLIN, on_kick, s, err);
    if (r == 0 && (r = loop_add_fd(args->loop, listen_fd, EPOLLIN, on_connect, s, err)) < 0)
        loop_remove_fd(args->loop, s->kick_fd);
    if (r < 0) {
        if (s->kick_fd >= 0)
            (void)close(s->kick_fd);
        free(s);
        return r;
    }
    console_set_tap(args->console, &s->tap);
    *ret_server = s;
    return 0;
}

void server_free(struct server *s)
{
    if (!s)
        return;
    console_set_tap(s->args.console, NULL);
    loop_remove_fd(s->args.loop, s->listen_fd);
    loop_remove_fd(s->args.loop, s->kick_fd);
    (void)close(s->listen_fd);
    (void)close(s->kick_fd);
    for (unsigned i = 0; i < SERVER_CLIENTS_MAX; i++) {
        if (s->client[i].fd >= 0)
            (void)flush(&s->client[i]); /* the guest's last words; gone or not, that was it */
        disconnect(&s->client[i]);
    }
    free(s);
}
