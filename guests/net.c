/* SPDX-License-Identifier: MIT */
/*
 * Network interfaces of a guest: addresses, a route and the flag "up", by ioctl.
 */
#include "net.h"

#include "sys.h"

#include <linux/errno.h>

/* <linux/if.h> and <linux/route.h> do not go together with the other headers without a C library. */
#define AF_INET 2
#define SOCK_DGRAM 2
#define SIOCADDRT 0x890b
#define SIOCSIFFLAGS 0x8914
#define SIOCSIFADDR 0x8916
#define SIOCSIFNETMASK 0x891c
#define IFF_UP 1
enum { RTF_UP = 1, RTF_GATEWAY = 2, NAME_SIZE = 16, WORDS_MAX = 4 };

struct address {
    uint16_t family, port;
    uint32_t ip; /* in the network's order */
    char rest[8];
};

/* struct ifreq */
struct request {
    char name[NAME_SIZE];
    union {
        short flags;
        struct address address;
        char rest[24];
    };
};

/* struct rtentry */
struct route {
    unsigned long pad1;
    struct address to, gateway, mask;
    unsigned short flags;
    short pad2;
    unsigned long pad3;
    void *pad4;
    short metric;
    char *device;
    unsigned long mtu, window;
    unsigned short irtt;
};

static struct address parse_address(const char *text)
{
    struct address a = { .family = AF_INET };
    uint32_t byte = 0;
    unsigned shift = 0;
    for (; *text && shift < 32; text++) {
        if (*text == '.') {
            a.ip |= byte << shift;
            shift += 8;
            byte = 0;
        } else {
            byte = (byte * 10 + (uint32_t)(*text - '0')) & 0xff;
        }
    }
    a.ip |= shift < 32 ? byte << shift : 0;
    return a;
}

static struct request request_for(const char *name)
{
    struct request req = { 0 };
    size_t len = str_len(name);
    memcpy(req.name, name, len < NAME_SIZE - 1 ? len : NAME_SIZE - 1);
    return req;
}

static long set_address(long fd, long what, const char *name, const char *text)
{
    struct request req = request_for(name);
    req.address = parse_address(text);
    return sys(__NR_ioctl, fd, what, &req);
}

static long set_up(long fd, const char *name)
{
    struct request req = request_for(name);
    req.flags = IFF_UP;
    return sys(__NR_ioctl, fd, SIOCSIFFLAGS, &req);
}

static long add_gateway(long fd, const char *text)
{
    struct route route = {
        .to = { .family = AF_INET },
        .mask = { .family = AF_INET },
        .gateway = parse_address(text),
        .flags = RTF_UP | RTF_GATEWAY,
    };
    return sys(__NR_ioctl, fd, SIOCADDRT, &route);
}

/* Cuts text into words; returns how many. */
static unsigned cut(char *text, const char *word[WORDS_MAX])
{
    unsigned nr = 0;
    while (*text && nr < WORDS_MAX) {
        word[nr++] = text;
        while (*text && *text != ' ' && *text != '\n')
            text++;
        while (*text == ' ' || *text == '\n')
            *text++ = '\0';
    }
    return nr;
}

void net_loopback_up(void)
{
    long fd = sys(__NR_socket, AF_INET, SOCK_DGRAM, 0);
    if (fd < 0)
        return; /* a kernel without a network */
    set_up(fd, "lo");
    sys(__NR_close, fd);
}

long net_interface_up(char *text, const char **ret_what)
{
    const char *word[WORDS_MAX];
    unsigned nr = cut(text, word);
    long fd = sys(__NR_socket, AF_INET, SOCK_DGRAM, 0);
    long r = fd < 0 ? fd : nr == 0 ? -EINVAL : 0;
    *ret_what = nr > 0 ? word[0] : "network";
    if (r == 0 && nr == WORDS_MAX)
        r = set_address(fd, SIOCSIFADDR, word[0], word[1]);
    if (r == 0 && nr == WORDS_MAX)
        r = set_address(fd, SIOCSIFNETMASK, word[0], word[2]);
    if (r == 0)
        r = set_up(fd, word[0]);
    if (r == 0 && nr == WORDS_MAX) {
        *ret_what = word[3];
        r = add_gateway(fd, word[3]);
    }
    if (fd >= 0)
        sys(__NR_close, fd);
    return r;
}
