/* SPDX-License-Identifier: MIT */
/*
 * How users describe a network, in words.
 */
#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backend/netdev.h"
#include "base/checked.h"

enum { FIELD_MAX = 128, PORT_MAX = 65535 };

/* A number that ends at `end`: 1..65535, else 0. */
static uint16_t parse_port(const char *text, const char *end)
{
    unsigned long n = 0;
    if (text == end)
        return 0;
    for (; text < end && isdigit((unsigned char)*text) && n <= PORT_MAX; text++)
        n = n * 10 + (unsigned long)(*text - '0');
    return text == end && n <= PORT_MAX ? (uint16_t)n : 0;
}

/* "tcp|udp:[ADDR:]HOSTPORT:GUESTPORT" */
static int parse_forward(struct netdev_config *c, const char *text, struct error *err)
{
    static const char form[] = "tcp|udp:[ADDRESS:]HOSTPORT:GUESTPORT, ports 1 to 65535";
    struct netdev_forward f = { .host.s_addr = htonl(INADDR_LOOPBACK) };
    const char *last = strrchr(text, ':'), *at = text + 4;
    f.udp = strncmp(text, "udp:", 4) == 0;
    if ((!f.udp && strncmp(text, "tcp:", 4) != 0) || last < at)
        return error_set(err, -EINVAL, "hostfwd '%s' is not %s", text, form);
    const char *colon = memchr(at, ':', (size_t)(last - at));
    if (colon) {
        char address[INET_ADDRSTRLEN];
        (void)snprintf(address, sizeof(address), "%.*s", (int)MIN(colon - at, (ptrdiff_t)sizeof(address)), at);
        if (inet_pton(AF_INET, address, &f.host) != 1)
            return error_set(err, -EINVAL, "hostfwd '%s': '%.*s' is not an IPv4 address of this host", text, (int)(colon - at),
                             at);
        at = colon + 1;
    }
    f.host_port = parse_port(at, last);
    f.guest_port = parse_port(last + 1, text + strlen(text));
    if (!f.host_port || !f.guest_port)
        return error_set(err, -EINVAL, "hostfwd '%s' is not %s", text, form);
    if (c->nr_forwards == NETDEV_FORWARDS_MAX)
        return error_set(err, -EINVAL, "more than %d times hostfwd", NETDEV_FORWARDS_MAX);
    c->forward[c->nr_forwards++] = f;
    return 0;
}

void netdev_forward_text(const struct netdev_forward *f, char *text, size_t cap)
{
    char address[INET_ADDRSTRLEN] = "";
    (void)inet_ntop(AF_INET, &f->host, address, sizeof(address)); /* the buffer is large enough */
    (void)snprintf(text, cap, "%s:%s:%u:%u", f->udp ? "udp" : "tcp", address, f->host_port, f->guest_port);
}

static int parse_mac(struct netdev_config *c, const char *text, struct error *err)
{
    const char *at = text;
    for (unsigned i = 0; i < NETDEV_MAC_LEN; i++) {
        if (!isxdigit((unsigned char)at[0]) || !isxdigit((unsigned char)at[1]) || at[2] != (i == NETDEV_MAC_LEN - 1 ? '\0' : ':'))
            return error_set(err, -EINVAL, "mac '%s' is not six bytes in hex (02:00:00:12:34:56)", text);
        c->mac[i] = (uint8_t)strtoul(at, NULL, 16);
        at += 3;
    }
    static const uint8_t none[NETDEV_MAC_LEN];
    if ((c->mac[0] & 1) || memcmp(c->mac, none, sizeof(none)) == 0)
        return error_set(err, -EINVAL, "mac '%s' is not the address of one card (the first byte must be even, not all may be 0)",
                         text);
    c->has_mac = true;
    return 0;
}

/* The first field. */
static int parse_kind(struct netdev_config *c, const char *text, struct error *err)
{
    if (strcmp(text, "none") == 0)
        c->kind = NETDEV_NONE;
    else if (strcmp(text, "user") == 0)
        c->kind = NETDEV_USER;
    else if (strncmp(text, "tap=", 4) == 0)
        c->kind = NETDEV_TAP;
    else
        return error_set(err, -EINVAL, "unknown network '%s' (user, tap=INTERFACE, none)", text);
    if (c->kind != NETDEV_TAP)
        return 0;
    const char *name = text + 4;
    if (name[0] == '\0' || strlen(name) >= sizeof(c->tap) || strchr(name, '/') || strchr(name, '%'))
        return error_set(err, -EINVAL, "'%s' is not the name of an interface (1 to %zu characters)", name, sizeof(c->tap) - 1);
    memcpy(c->tap, name, strlen(name) + 1);
    return 0;
}

static int parse_mtu(struct netdev_config *c, const char *text, struct error *err)
{
    c->mtu = parse_port(text, text + strlen(text)); /* the numbers are of one size */
    if (c->mtu < NETDEV_USER_MTU_MIN || c->mtu > NETDEV_USER_MTU)
        return error_set(err, -EINVAL, "mtu '%s' is not a number from %d to %d", text, NETDEV_USER_MTU_MIN, NETDEV_USER_MTU);
    return 0;
}

static int parse_field(struct netdev_config *c, const char *text, struct error *err)
{
    static const char *const known[] = { "no options", "hostfwd=tcp:HOSTPORT:GUESTPORT, restrict, ipv6=on|off, mtu=N, mac=MAC",
                                         "mac=MAC" };
    if (c->kind != NETDEV_NONE && strncmp(text, "mac=", 4) == 0)
        return parse_mac(c, text + 4, err);
    if (c->kind == NETDEV_USER && strncmp(text, "hostfwd=", 8) == 0)
        return parse_forward(c, text + 8, err);
    if (c->kind == NETDEV_USER && strcmp(text, "restrict") == 0) {
        c->restricted = true;
        return 0;
    }
    if (c->kind == NETDEV_USER && (strcmp(text, "ipv6=on") == 0 || strcmp(text, "ipv6=off") == 0)) {
        c->ipv6 = strcmp(text, "ipv6=on") == 0;
        return 0;
    }
    if (c->kind == NETDEV_USER && strncmp(text, "mtu=", 4) == 0)
        return parse_mtu(c, text + 4, err);
    return error_set(err, -EINVAL, "unknown '%s' (this network has %s)", text, known[c->kind]);
}

int netdev_config_parse(const char *text, struct netdev_config *ret_config, struct error *err)
{
    struct netdev_config c = { .ipv6 = true, .mtu = NETDEV_USER_MTU };
    int r = 0;
    for (unsigned i = 0; r == 0; i++) {
        char field[FIELD_MAX];
        size_t len = strcspn(text, ",");
        if (len >= sizeof(field))
            return error_set(err, -EINVAL, "'%.20s...' is too long", text);
        memcpy(field, text, len);
        field[len] = '\0';
        r = i == 0 ? parse_kind(&c, field, err) : parse_field(&c, field, err);
        if (text[len] == '\0')
            break;
        text += len + 1;
    }
    if (r == 0)
        *ret_config = c;
    return r;
}

void netdev_config_mac(const struct netdev_config *c, uint8_t ret_mac[NETDEV_MAC_LEN])
{
    uint32_t hash = 2166136261U; /* FNV-1a over the interface's name: several machines can share a bridge */
    for (const char *p = c->tap; *p; p++)
        hash = (hash ^ (uint8_t)*p) * 16777619U;
    const uint8_t mac[NETDEV_MAC_LEN] = { 0x02,         0xd0, (uint8_t)(hash >> 24), (uint8_t)(hash >> 16), (uint8_t)(hash >> 8),
                                          (uint8_t)hash };
    memcpy(ret_mac, c->has_mac ? c->mac : mac, NETDEV_MAC_LEN);
}
