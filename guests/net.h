/* SPDX-License-Identifier: MIT */
/*
 * Network interfaces of a guest, for init.
 */
#ifndef DOPPEL_GUESTS_NET_H
#define DOPPEL_GUESTS_NET_H

/* The loopback interface up. */
void net_loopback_up(void);
/* Sets an interface up as text says: "NAME", or "NAME ADDRESS NETMASK GATEWAY" (IPv4). Changes text. 0, or -errno: then *ret_what
 * is what failed. */
long net_interface_up(char *text, const char **ret_what);

#endif
