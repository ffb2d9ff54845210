/* SPDX-License-Identifier: MIT */
#ifndef SLUICE_IPV4_ROUTE_H
#define SLUICE_IPV4_ROUTE_H
/* Routes: a cached dst per flow, filled by the host kernel (net->route_ops) or by the longest-prefix
 * table. */

#include "../core/dst.h"
#include "../core/netdevice.h"
#include <urcu/rculfhash.h>

struct flowi4 {
    __be32 daddr, saddr; /* saddr 0: choose */
    __be16 dport, sport;
    int oif; /* 0: any */
    u32 mark;
    u8 tos, proto;
};

enum { RTN_UNICAST_ = 1, RTN_LOCAL_ = 2, RTN_BROADCAST_ = 3, RTN_MULTICAST_ = 5 }; /* RTN_* of rtnetlink */

struct fib_result {
    int ifindex;
    int type;         /* RTN_* */
    __be32 gateway;   /* 0: on link */
    __be32 prefsrc;
    u32 mtu, advmss, initcwnd, initrwnd, hoplimit, rto_min_ms, rtt_ms; /* 0: none */
};

struct rtable {
    struct dst_entry dst; /* first */
    struct cds_lfht_node node;
    struct flowi4 key;
    __be32 rt_gateway; /* next hop; equals the destination when on link */
    __be32 rt_src;     /* source address for it */
    int rt_type;
    int rt_iif;
    bool rt_mtu_locked; /* the learned MTU was below min_pmtu: send without DF */
};
static inline bool rt_uses_gateway(const struct rtable *rt) { return rt->rt_gateway != rt->key.daddr; }

/* Role: the route for a flow. Returns a reference, or NULL with *err = -ENETUNREACH, -EHOSTUNREACH,
 * -EACCES, -EINVAL, -ENOMEM. fl->saddr is filled in when it was 0. Outside read sections or inside;
 * may make a netlink round trip when the cache misses and route_ops is set. */
struct rtable *ip_route_output_flow(struct net *net, struct flowi4 *fl, int *err);
/* Role: where a received packet goes: local delivery or nowhere (no forwarding). Sets skb->dst for
 * delivery; 0 or -errno with a reason in *reason. RCU read section. */
int ip_route_input(struct sk_buff *skb, __be32 daddr, __be32 saddr, u8 tos, struct net_device *dev,
                   enum skb_drop_reason *reason);
/* All cached routes are void from now on (rt_genid). Any thread. */
void rt_cache_flush(struct net *net);
/* A smaller path MTU was learned for this destination (RFC 1191); expires after 10 minutes. */
void ip_rt_update_pmtu(struct net *net, struct dst_entry *dst, __be32 daddr, u32 mtu);
/* The source address to use on dev towards dst: one in the same subnet, else the first. 0: none */
__be32 inet_select_addr(const struct net_device *dev, __be32 dst);
/* RTN_* of an address as seen from here: local, broadcast, multicast, else unicast. */
int inet_addr_type(struct net *net, __be32 addr);
/* Idents for packets that may be fragmented: `segs` successive ones, host order (RFC 6864). */
u16 ip_idents_reserve(struct net *net, __be32 saddr, __be32 daddr, u8 proto, u32 segs);
static inline bool ipv4_is_multicast(__be32 a) { return (a & htobe32(0xf0000000)) == htobe32(0xe0000000); }
static inline bool ipv4_is_lbcast(__be32 a) { return a == 0xffffffff; }
static inline bool ipv4_is_zeronet(__be32 a) { return (a & htobe32(0xff000000)) == 0; }
static inline bool ipv4_is_loopback(__be32 a) { return (a & htobe32(0xff000000)) == htobe32(0x7f000000); }

/* The own table (own address mode, simulation). prefixlen 0..32; gateway 0: on link. 0, -EEXIST, -EINVAL */
int fib_add_route(struct net *net, __be32 dst, int prefixlen, __be32 gateway, int ifindex, u32 metric, u32 mtu);
int fib_del_route(struct net *net, __be32 dst, int prefixlen, __be32 gateway, int ifindex);
/* 0 or -ENETUNREACH. Besides the table it knows the devices' own subnets and addresses. */
int fib_lookup(struct net *net, const struct flowi4 *fl, struct fib_result *res);

int fib_init(struct net *net);
void fib_exit(struct net *net);
int ip_rt_init(struct net *net);
void ip_rt_exit(struct net *net);

#endif
