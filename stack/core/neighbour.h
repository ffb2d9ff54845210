/* SPDX-License-Identifier: MIT */
#ifndef SLUICE_CORE_NEIGHBOUR_H
#define SLUICE_CORE_NEIGHBOUR_H
/* Neighbours: next hop -> link-layer address, with RFC 4861's unreachability states as Linux uses them
 * for ARP. Lookup under RCU; each entry's own lock protects state, address and queue. */

#include "netdevice.h"
#include "rcu.h"
#include <linux/neighbour.h> /* NUD_* */

#define NUD_IN_TIMER (NUD_INCOMPLETE | NUD_REACHABLE | NUD_DELAY | NUD_PROBE)
#define NUD_VALID (NUD_PERMANENT | NUD_NOARP | NUD_REACHABLE | NUD_PROBE | NUD_STALE | NUD_DELAY)
#define NUD_CONNECTED (NUD_PERMANENT | NUD_NOARP | NUD_REACHABLE)

/* The link-layer header, ready to copy. seq: odd while it is written (seqlock). */
struct hh_cache {
    _Atomic u32 seq;
    u16 len; /* 0: not cached */
    _Atomic u64 data[2];
};

struct neighbour {
    struct rcu_free rcu; /* first */
    struct cds_lfht_node node;
    struct net *net;
    struct net_device *dev;
    __be32 primary_key;
    _Atomic u32 refcnt;
    spinlock_t lock; /* nud_state, ha, arp_queue, probes. Only the timer base nests in it; never transmit under it */
    _Atomic u8 nud_state;
    u8 dead;
    u8 ha[ETH_ALEN];
    u32 probes;
    u64 confirmed, used, updated; /* ns */
    u64 reachable_time;           /* ns; base_reachable_time times 0.5 .. 1.5 (RFC 4861 6.3.2) */
    struct timer_list timer;
    struct sk_buff_head arp_queue;
    u32 arp_queue_len_bytes;
    struct hh_cache hh;
    int (*output)(struct neighbour *n, struct sk_buff *skb); /* neigh_resolve_output or _connected_ */
};

struct neigh_table *neigh_table_alloc(struct net *net);
void neigh_table_free(struct neigh_table *t);
/* Registered by arp.c: send a solicitation (dst_ha NULL: broadcast) for n. saddr: the source of the packet that waits, or
 * 0. No lock held. */
extern void (*neigh_solicit)(struct neighbour *n, const u8 *dst_ha, __be32 saddr);
/* Registered by ip: tell the sender of a packet that its neighbour failed (EHOSTUNREACH). Takes skb over. */
extern void (*neigh_error_report)(struct neighbour *n, struct sk_buff *skb);

/* RCU read section; no reference taken. NULL when none. */
struct neighbour *__ipv4_neigh_lookup_noref(struct net_device *dev, __be32 key);
/* Find or make; RCU read section, no reference taken. NULL: table full (gc_thresh3) or no memory. */
struct neighbour *__neigh_create(struct net *net, __be32 key, struct net_device *dev);
/* Role: send by way of the neighbour: cached header, or queue and resolve. skb->data at the IP header.
 * Takes the skb over. Returns NET_XMIT_* or -errno (-ENOMEM, -EHOSTUNREACH). RCU read section. */
int neigh_output(struct neighbour *n, struct sk_buff *skb, bool skip_cache);
/* Role: news of a neighbour (ARP reply, kernel's table). lladdr NULL: state only.
 * override: may replace a different known address. */
int neigh_update(struct neighbour *n, const u8 *lladdr, u8 new_state, bool override);
/* Reachability proven by the transport (dst_confirm). */
void neigh_confirm(struct neighbour *n);
void neigh_flush_dev(struct net_device *dev);
void neigh_release(struct neighbour *n);
/* Call fn for each entry (RCU read section). */
void neigh_for_each(struct net *net, void (*fn)(struct neighbour *n, void *arg), void *arg);

#endif
