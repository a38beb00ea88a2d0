/* SPDX-License-Identifier: MIT */
/*
 * Laws of networks on the host: what users may say, and slirp's network as a guest on it sees it.
 */
#include "backend/netdev.h"

#include <arpa/inet.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/checked.h"
#include "base/loop.h"

/* ---- options ---- */

static void a_network_is_described_in_words(void **state)
{
    struct netdev_config c;
    char text[64];
    (void)state;
    assert_int_equal(netdev_config_parse("none", &c, NULL), 0);
    assert_int_equal(c.kind, NETDEV_NONE);
    assert_int_equal(netdev_config_parse("user", &c, NULL), 0);
    assert_int_equal(c.kind, NETDEV_USER);
    assert_int_equal(c.nr_forwards, 0);
    assert_false(c.restricted);
    assert_true(c.ipv6);
    assert_int_equal(c.mtu, 16384);
    assert_int_equal(netdev_config_parse("user,ipv6=off,mtu=1280", &c, NULL), 0);
    assert_false(c.ipv6);
    assert_int_equal(c.mtu, 1280);
    assert_int_equal(netdev_config_parse("tap=vm0", &c, NULL), 0);
    assert_int_equal(c.kind, NETDEV_TAP);
    assert_string_equal(c.tap, "vm0");
    assert_int_equal(netdev_config_parse("user,hostfwd=tcp:8080:80,restrict,hostfwd=udp:0.0.0.0:53:5353", &c, NULL), 0);
    assert_true(c.restricted);
    assert_int_equal(c.nr_forwards, 2);
    netdev_forward_text(&c.forward[0], text, sizeof(text));
    assert_string_equal(text, "tcp:127.0.0.1:8080:80");
    netdev_forward_text(&c.forward[1], text, sizeof(text));
    assert_string_equal(text, "udp:0.0.0.0:53:5353");
}

static void nonsense_is_refused_and_named(void **state)
{
    static const char *const bad[][2] = {
        { "", "''" },
        { "users", "'users'" },
        { "user,", "''" },
        { "user,nope", "'nope'" },
        { "user,tap=x", "'tap=x'" },
        { "none,restrict", "'restrict'" },
        { "tap=", "''" },
        { "tap=a/b", "'a/b'" },
        { "tap=sixteen-letters-", "'sixteen-letters-'" },
        { "tap=x,hostfwd=tcp:1:1", "'hostfwd=tcp:1:1'" },
        { "user,hostfwd=", "''" },
        { "user,hostfwd=tcp:", "'tcp:'" },
        { "user,hostfwd=tcp:80", "'tcp:80'" },
        { "user,hostfwd=tcp:0:80", "'tcp:0:80'" },
        { "user,hostfwd=tcp:80:65536", "'tcp:80:65536'" },
        { "user,hostfwd=tcp:80:-1", "'tcp:80:-1'" },
        { "user,hostfwd=tcp:80:", "'tcp:80:'" },
        { "user,hostfwd=sctp:80:80", "'sctp:80:80'" },
        { "user,hostfwd=tcp:99999999999999999999:80", "tcp|udp" },
        { "user,hostfwd=tcp:localhost:80:80", "'localhost'" },
        { "user,hostfwd=tcp:1.2.3.4.5.6.7.8.9.10:80:80", "IPv4" },
        { "user,hostfwd=tcp:127.0.0.1:1:2:3", "tcp|udp" },
        { "user,ipv6=yes", "'ipv6=yes'" },
        { "user,mtu=1279", "'1279'" },
        { "user,mtu=16385", "'16385'" },
        { "user,mtu=", "''" },
        { "tap=x,mtu=1500", "'mtu=1500'" },
        { "user,mac=", "''" },
        { "user,mac=02:00:00:00:00", "'02:00:00:00:00'" },
        { "user,mac=02:00:00:00:00:0g", "0g" },
        { "user,mac=02:00:00:00:00:00:00", "six" },
        { "user,mac=03:00:00:00:00:00", "even" },
        { "user,mac=00:00:00:00:00:00", "all may be 0" },
    };
    (void)state;
    for (unsigned i = 0; i < ARRAY_SIZE(bad); i++) {
        struct netdev_config c = { .kind = NETDEV_TAP };
        struct error err = { 0 };
        assert_int_equal(netdev_config_parse(bad[i][0], &c, &err), -EINVAL);
        if (!strstr(err.msg, bad[i][1]))
            fail_msg("%s: '%s' does not name %s", bad[i][0], err.msg, bad[i][1]);
        assert_int_equal(c.kind, NETDEV_TAP);
    }
    char text[5000] = "user";
    for (unsigned i = 0; i <= NETDEV_FORWARDS_MAX; i++)
        strcat(text, ",hostfwd=tcp:80:80");
    struct netdev_config c;
    struct error err;
    assert_int_equal(netdev_config_parse(text, &c, &err), -EINVAL);
    assert_non_null(strstr(err.msg, "more than 64"));
}

static void the_cards_address_is_local_and_the_same_each_time(void **state)
{
    struct netdev_config user, a, b, own;
    uint8_t mac[4][NETDEV_MAC_LEN];
    (void)state;
    assert_int_equal(netdev_config_parse("user", &user, NULL), 0);
    assert_int_equal(netdev_config_parse("tap=a", &a, NULL), 0);
    assert_int_equal(netdev_config_parse("tap=b", &b, NULL), 0);
    assert_int_equal(netdev_config_parse("user,mac=52:54:00:aB:cd:0f", &own, NULL), 0);
    netdev_config_mac(&user, mac[0]);
    netdev_config_mac(&a, mac[1]);
    netdev_config_mac(&b, mac[2]);
    for (unsigned i = 0; i < 3; i++)
        assert_int_equal(mac[i][0] & 3, 2);
    assert_memory_not_equal(mac[1], mac[2], NETDEV_MAC_LEN);
    netdev_config_mac(&user, mac[3]);
    assert_memory_equal(mac[0], mac[3], NETDEV_MAC_LEN);
    netdev_config_mac(&own, mac[3]);
    static const uint8_t want[] = { 0x52, 0x54, 0x00, 0xab, 0xcd, 0x0f };
    assert_memory_equal(mac[3], want, sizeof(want));
}

/* ---- slirp ---- */

static struct loop *loop;
static struct netdev *dev;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static void on_frames(void *opaque)
{
    (void)opaque;
    loop_quit(loop);
}

static void open_user(const char *text)
{
    struct netdev_config c;
    struct error err = { 0 };
    assert_int_equal(netdev_config_parse(text, &c, NULL), 0);
    if (netdev_open(&c, loop, &dev, &err) < 0)
        fail_msg("%s", err.msg);
    netdev_attach(dev, &lock, on_frames, NULL);
}

static int setup(void **state)
{
    (void)state;
    dev = NULL;
    return loop_new(&loop, NULL);
}

static int teardown(void **state)
{
    (void)state;
    netdev_free(dev);
    loop_free(loop);
    return 0;
}

static const uint8_t arp[42] = {
    0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2, 0, 0, 0, 0,  1, 8, 6, /* from us to all: ARP */
    0,    1,    8,    0,    6,    4,    0, 1, 2, 0, 0,  0, 0, 1,
    10,   0,    2,    15,   0,    0,    0, 0, 0, 0, 10, 0, 2, 2, /* who has 10.0.2.2? */
};

static void send_bytes(const void *data, size_t len)
{
    uint8_t copy[2000];
    memcpy(copy, data, len);
    struct iovec iov[2] = { { copy, len / 3 }, { copy + len / 3, len - len / 3 } };
    pthread_mutex_lock(&lock);
    netdev_send(dev, &(struct netdev_header){ 0 }, iov, 2, len);
    netdev_kick(dev);
    pthread_mutex_unlock(&lock);
}

static void the_gateway_answers_and_the_loop_says_so(void **state)
{
    (void)state;
    struct netdev_frame f;
    open_user("user");
    assert_false(netdev_next(dev, &f));
    send_bytes(arp, sizeof(arp));
    loop_run(loop);
    assert_true(netdev_next(dev, &f));
    assert_true(f.len >= sizeof(arp));
    static const uint8_t answer[] = { 8, 6, 0, 1, 8, 0, 6, 4, 0, 2 };
    assert_memory_equal(f.data + 12, answer, sizeof(answer));
    assert_true(netdev_next(dev, &f)); /* the same */
    netdev_taken(dev);
    assert_false(netdev_next(dev, &f));
}

static void what_nobody_takes_is_bounded(void **state)
{
    (void)state;
    struct netdev_frame f;
    unsigned nr = 0;
    open_user("user");
    for (unsigned i = 0; i < 20000; i++)
        send_bytes(arp, sizeof(arp));
    for (; netdev_next(dev, &f); nr++)
        netdev_taken(dev);
    assert_true(nr > 1000 && nr * sizeof(arp) <= NETDEV_QUEUE_BYTES);
    send_bytes(arp, sizeof(arp));
    assert_true(netdev_next(dev, &f));
}

static void noise_is_survived(void **state)
{
    (void)state;
    struct netdev_frame f;
    uint8_t frame[1518];
    srand(1);
    open_user("user,restrict");
    for (unsigned i = 0; i < 3000; i++) {
        size_t len = 14 + (size_t)rand() % (sizeof(frame) - 13);
        for (size_t k = 0; k < len; k++)
            frame[k] = (uint8_t)rand();
        if (i % 2)
            memcpy(frame + 12, "\x08\x00\x45", 3);
        send_bytes(frame, len);
        while (netdev_next(dev, &f))
            netdev_taken(dev);
    }
    send_bytes(arp, sizeof(arp));
    assert_true(netdev_next(dev, &f));
}

/* Waits for a frame whose bytes from `at` on are these. */
static void wait_for(struct netdev_frame *ret_frame, size_t at, const char *bytes)
{
    for (;;) {
        while (netdev_next(dev, ret_frame)) {
            if (ret_frame->len >= at + strlen(bytes) && memcmp(ret_frame->data + at, bytes, strlen(bytes)) == 0)
                return;
            netdev_taken(dev);
        }
        loop_run(loop);
    }
}

static int udp_socket(struct sockaddr_in *ret_at)
{
    socklen_t len = sizeof(*ret_at);
    int fd = socket(AF_INET, SOCK_DGRAM, 0);
    *ret_at = (struct sockaddr_in){ .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    assert_int_equal(bind(fd, (struct sockaddr *)ret_at, len), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)ret_at, &len), 0);
    return fd;
}

static uint16_t ip_sum(const uint8_t *header)
{
    uint32_t sum = 0;
    for (unsigned i = 0; i < 20; i += 2)
        sum += (uint32_t)(header[i] << 8 | header[i + 1]);
    sum = (sum & 0xffff) + (sum >> 16);
    return (uint16_t) ~(sum + (sum >> 16));
}

enum { PING_HEAD = 14 + 20 + 8 };

/* The payload's byte k of ping number seq, of which the length depends, too. */
static uint8_t ping_byte(unsigned seq, unsigned k)
{
    return (uint8_t)(seq * 31 + k * 7);
}

static unsigned ping_len(unsigned seq)
{
    return seq * 7919 % (NETDEV_USER_MTU - 28 + 1);
}

/* Pings the gateway; the checksum is left to the network. */
static void send_ping(unsigned seq)
{
    static uint8_t f[PING_HEAD + NETDEV_USER_MTU];
    const unsigned len = ping_len(seq), ip = 20 + 8 + len;
    const uint8_t head[PING_HEAD] = {
        2, 0, 0,  0, 0, 2,  2,  0, 0, 0, 0, 1, 8, 0, 0x45, 0, (uint8_t)(ip >> 8),  (uint8_t)ip, 0, 1, 0, 0, 64, 1,
        0, 0, 10, 0, 2, 15, 10, 0, 2, 2, 8, 0, 0, 0, 0,    1, (uint8_t)(seq >> 8), (uint8_t)seq
    };
    memcpy(f, head, sizeof(head));
    const uint16_t sum = ip_sum(f + 14);
    f[24] = (uint8_t)(sum >> 8);
    f[25] = (uint8_t)sum;
    for (unsigned k = 0; k < len; k++)
        f[PING_HEAD + k] = ping_byte(seq, k);
    const struct netdev_header h = { .flags = NETDEV_NEEDS_CSUM, .csum_start = 34, .csum_offset = 2 };
    const struct iovec iov = { f, PING_HEAD + len };
    netdev_send(dev, &h, &iov, 1, iov.iov_len);
}

/* Takes an answer: its number, or -1. */
static int take_ping(void)
{
    struct netdev_frame f;
    if (!netdev_next(dev, &f))
        return -1;
    if (f.data[12] == 8 && f.data[13] == 6) { /* ARP: slirp asks who we are */
        netdev_taken(dev);
        return take_ping();
    }
    assert_true(f.len >= PING_HEAD);
    const unsigned seq = (unsigned)(f.data[40] << 8 | f.data[41]);
    assert_int_equal(f.data[34], 0); /* an answer */
    assert_int_equal(f.len, PING_HEAD + ping_len(seq));
    for (unsigned k = 0; k < ping_len(seq); k++)
        assert_int_equal(f.data[PING_HEAD + k], ping_byte(seq, k));
    netdev_taken(dev);
    return (int)seq;
}

/* Also: checksums that are left out are filled in, for slirp answers only what is right. */
static void frames_of_any_size_come_in_order_and_whole(void **state)
{
    (void)state;
    unsigned sent = 0, want = 0;
    open_user("user");
    send_bytes(arp, sizeof(arp)); /* it knows us now */
    srand(2);
    for (unsigned turn = 0; turn < 400; turn++) {
        for (unsigned n = (unsigned)rand() % 8; n > 0; n--)
            send_ping(sent++);
        for (unsigned n = sent - want > 20 ? 100 : (unsigned)rand() % 3; n > 0 && want < sent; n--)
            assert_int_equal(take_ping(), want++);
    }
    for (; want < sent; want++)
        assert_int_equal(take_ping(), want);
    assert_int_equal(take_ping(), -1);
}

/* Asks for a router; the checksum is left to the network, but for the pseudo-header's part. */
static void solicit_router(void)
{
    uint8_t f[14 + 40 + 8] = { 0x33, 0x33, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 0x86, 0xdd, 0x60, 0, 0, 0, 0, 8, 58, 255 };
    f[22] = 0xfe; /* fe80::1 */
    f[23] = 0x80;
    f[37] = 1;
    f[38] = 0xff; /* ff02::2 */
    f[39] = 2;
    f[53] = 2;
    f[54] = 133;
    const uint32_t sum = 0xfe80 + 1 + 0xff02 + 2 + 8 + 58;
    f[56] = (uint8_t)((sum + (sum >> 16)) >> 8);
    f[57] = (uint8_t)(sum + (sum >> 16));
    const struct netdev_header h = { .flags = NETDEV_NEEDS_CSUM, .csum_start = 54, .csum_offset = 2 };
    const struct iovec iov = { f, sizeof(f) };
    netdev_send(dev, &h, &iov, 1, sizeof(f));
}

static void ipv6_has_a_router_unless_switched_off(void **state)
{
    static const char *const nets[] = { "user", "user,ipv6=off", "user,restrict" };
    (void)state;
    for (unsigned i = 0; i < ARRAY_SIZE(nets); i++) {
        struct netdev_frame f;
        open_user(nets[i]);
        solicit_router();
        assert_int_equal(netdev_next(dev, &f), i == 0);
        if (i == 0)
            assert_memory_equal(f.data + 12, "\x86\xdd\x60", 3);
        if (i == 0)
            assert_int_equal(f.data[54], 134); /* router advertisement */
        netdev_free(dev);
        dev = NULL;
    }
}

static void datagrams_go_through_a_port_both_ways(void **state)
{
    (void)state;
    enum { IP = 14, UDP = 34, PAYLOAD = 42 };
    struct sockaddr_in port, client;
    struct netdev_frame f;
    uint8_t answer[PAYLOAD + 5];
    char text[64];
    close(udp_socket(&port));
    int fd = udp_socket(&client);
    snprintf(text, sizeof(text), "user,hostfwd=udp:127.0.0.1:%u:5353", ntohs(port.sin_port));
    open_user(text);
    send_bytes(arp, sizeof(arp)); /* so that it knows us */
    assert_int_equal(sendto(fd, "hello", 5, 0, (struct sockaddr *)&port, sizeof(port)), 5);
    wait_for(&f, PAYLOAD, "hello");
    assert_int_equal(f.data[UDP + 2] << 8 | f.data[UDP + 3], 5353);
    memcpy(answer, f.data, sizeof(answer)); /* the same back: addresses and ports change sides */
    memcpy(answer, f.data + 6, 6);
    memcpy(answer + 6, f.data, 6);
    memcpy(answer + IP + 12, f.data + IP + 16, 4);
    memcpy(answer + IP + 16, f.data + IP + 12, 4);
    memcpy(answer + UDP, f.data + UDP + 2, 2);
    memcpy(answer + UDP + 2, f.data + UDP, 2);
    memset(answer + UDP + 6, 0, 2);
    memset(answer + IP + 10, 0, 2);
    uint16_t sum = ip_sum(answer + IP);
    answer[IP + 10] = (uint8_t)(sum >> 8);
    answer[IP + 11] = (uint8_t)sum;
    memcpy(answer + PAYLOAD, "HELLO", 5);
    netdev_taken(dev);
    send_bytes(answer, sizeof(answer));
    memset(text, 0, sizeof(text));
    assert_int_equal(recv(fd, text, sizeof(text), 0), 5);
    assert_string_equal(text, "HELLO");
    close(fd);
}

static void a_port_that_is_taken_is_refused(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 2; i++) {
        struct sockaddr_in at = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
        socklen_t len = sizeof(at);
        struct netdev_config c;
        struct error err = { 0 };
        char text[64];
        int fd = socket(AF_INET, i ? SOCK_DGRAM : SOCK_STREAM, 0);
        assert_int_equal(bind(fd, (struct sockaddr *)&at, len), 0);
        assert_int_equal(i ? 0 : listen(fd, 1), 0);
        assert_int_equal(getsockname(fd, (struct sockaddr *)&at, &len), 0);
        snprintf(text, sizeof(text), "user,hostfwd=%s:%u:80", i ? "udp" : "tcp", ntohs(at.sin_port));
        assert_int_equal(netdev_config_parse(text, &c, NULL), 0);
        assert_int_equal(netdev_open(&c, loop, &dev, &err), -EADDRINUSE);
        assert_non_null(strstr(err.msg, "another program uses it"));
        close(fd);
        open_user(text);
        netdev_free(dev);
        dev = NULL;
    }
}

static void an_interface_that_is_not_there_is_refused(void **state)
{
    (void)state;
    struct netdev_config c;
    struct error err = { 0 };
    assert_int_equal(netdev_config_parse("tap=doppel-nope", &c, NULL), 0);
    assert_int_equal(netdev_open(&c, loop, &dev, &err), -ENODEV);
    assert_non_null(strstr(err.msg, "'doppel-nope'"));
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_network_is_described_in_words),
        cmocka_unit_test(nonsense_is_refused_and_named),
        cmocka_unit_test(the_cards_address_is_local_and_the_same_each_time),
        T(the_gateway_answers_and_the_loop_says_so),
        T(what_nobody_takes_is_bounded),
        T(noise_is_survived),
        T(frames_of_any_size_come_in_order_and_whole),
        T(ipv6_has_a_router_unless_switched_off),
        T(datagrams_go_through_a_port_both_ways),
        T(a_port_that_is_taken_is_refused),
        T(an_interface_that_is_not_there_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
