/* SPDX-License-Identifier: MIT */
#ifndef SLUICE_NETDEV_RTNL_H
#define SLUICE_NETDEV_RTNL_H
/* Mirror of the host's links, addresses and routes over rtnetlink (libmnl). */

#include "../stack/core/netdevice.h"
#include "../stack/ipv4/route.h" /* flowi4, fib_result: plain data */

/* Open the request and the notification socket. Idempotent. 0 or -errno. */
int rtnl_init(struct net *net);
void rtnl_exit(struct net *net);
/* Notification fd: readable means call rtnl_poll(). -1 when not open. */
int rtnl_fd(struct net *net);
/* Take the notifications: addresses, MTU, link state of our devices; routes void (rt_genid). */
void rtnl_poll(struct net *net);
/* The host kernel's answer for this flow (RTM_GETROUTE); net->route_ops. */
extern const struct net_route_ops rtnl_route_ops;
/* Facts of a link: name, kind ("veth", "" for hardware), MAC, MTU, flags, addresses. 0 or -ENODEV */
struct rtnl_link {
    int ifindex;
    char name[16], kind[16];
    u8 addr[ETH_ALEN];
    u32 mtu, flags; /* IFF_* */
    u16 arp_type;
    u32 num_rx_queues, num_tx_queues;
    u32 naddr;
    struct { __be32 local; u8 prefixlen; __be32 broadcast; } ip[NET_DEV_ADDRS];
};
int rtnl_get_link(struct net *net, int ifindex, struct rtnl_link *link);
/* Call fn for every link that is up, not loopback and has an IPv4 address. */
int rtnl_for_each_link(struct net *net, void (*fn)(const struct rtnl_link *l, void *arg), void *arg);
/* Call fn for every IPv4 address of the host, loopback's too. */
int rtnl_for_each_addr(struct net *net, void (*fn)(int ifindex, __be32 local, void *arg), void *arg);
/* Set by the driver: told of every IPv4 address that the host gains or loses. NULL: nobody cares. */
extern void (*rtnl_addr_hook)(struct net *net, __be32 local, bool add);
void rtnl_for_each_fd(struct net *net, void (*fn)(int fd, void *arg), void *arg);
void rtnl_forget(struct net *net);

#endif
