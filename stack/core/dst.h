/* SPDX-License-Identifier: MIT */
#ifndef SLUICE_CORE_DST_H
#define SLUICE_CORE_DST_H
/* dst_entry: where a packet goes next. A route (struct rtable in stack/ipv4/route.h) embeds it first.
 * Reference-counted; freed after an RCU grace period, so that a reader may find one under RCU. */

#include "net.h"
#include "types.h"

struct neighbour;
struct sk_buff;
struct sock;

struct dst_entry {
    struct rcu_free rcu; /* first */
    struct net *net;
    struct net_device *dev; /* a reference; lives as long as the dst */
    _Atomic u32 refcnt;
    u32 genid;              /* void when != net->rt_genid */
    _Atomic u32 obsolete;   /* void by decree (redirect, failed neighbour) */
    u32 mtu;                /* the route's own metric, bytes; 0: the device's */
    u32 pmtu;               /* learned (RFC 1191), until pmtu_expires; 0: nothing */
    u32 advmss;             /* RTAX_ADVMSS, 0: from the MTU */
    u32 initcwnd, initrwnd, rtt_ns, rto_min_ns, hoplimit; /* route metrics, 0: none */
    u64 pmtu_expires;       /* ns; 0: no pmtu */
    int (*output)(struct net *net, struct sock *sk, struct sk_buff *skb);
    int (*input)(struct sk_buff *skb);
    /* After the last reference and a grace period: let go of dev (dev_put) and free the memory.
     * NULL: dst.c does both, with free(). */
    void (*destroy)(struct dst_entry *dst);
};

static inline struct dst_entry *dst_hold(struct dst_entry *d)
{
    atomic_fetch_add_explicit(&d->refcnt, 1, memory_order_relaxed);
    return d;
}
/* Take a reference unless the last one has gone already (lookup under RCU). */
bool dst_hold_safe(struct dst_entry *d);
/* Drop a reference; the last one frees it after a grace period. NULL is allowed. */
void dst_release(struct dst_entry *d);
/* Does it still hold? Void after a change of routes, by decree, and when what was learned of the path's MTU is old:
 * without DF for its sake is over then, too. */
static inline bool dst_check(const struct dst_entry *d)
{
    const u64 expires = READ_ONCE(d->pmtu_expires);

    return d->genid == atomic_load_explicit(&d->net->rt_genid, memory_order_acquire) &&
           !atomic_load_explicit(&((struct dst_entry *)d)->obsolete, memory_order_acquire) &&
           (!expires || net_now(d->net) < expires);
}
/* The MTU that holds now (a learned one expires). */
u32 dst_mtu(const struct dst_entry *d);
static inline int dst_output(struct net *net, struct sock *sk, struct sk_buff *skb);

#include "skbuff.h"
#include "trace.h"
static inline int dst_output(struct net *net, struct sock *sk, struct sk_buff *skb)
{
    return WALK(skb->dst->output(net, sk, skb));
}
static inline int dst_input(struct sk_buff *skb) { return skb->dst->input(skb); }
static inline void skb_dst_set(struct sk_buff *skb, struct dst_entry *d) { skb->dst = d; }
static inline void skb_dst_drop(struct sk_buff *skb)
{
    if (skb->dst) {
        dst_release(skb->dst);
        skb->dst = NULL;
    }
}

#endif
