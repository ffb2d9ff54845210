/* SPDX-License-Identifier: MIT */
/* Routes: a cache of dst entries by flow, filled by the host kernel (route_ops) or the own table (fib.c), and
 * the path MTUs learned by ICMP (RFC 1191).
 *
 * The cache is read under RCU and holds one reference on each entry. An entry of another rt_genid is void and is
 * replaced when it is met. Ports are not part of the key: one round trip to the host per peer, not per
 * connection. */

#include "route.h"
#include "ip.h"
#include "../core/log.h"
#include "../core/rcu.h"
#include <linux/if.h>

#define RT_CACHE_BUCKETS 1024
#define RT_CACHE_MAX 8192
#define RT_TOS_MASK 0x1c /* IPTOS_RT_MASK: the bits that routing rules may look at */
#define PMTU_EXPIRES (600 * NSEC_PER_SEC)
#define PMTU_SLOTS 256
#define PMTU_WAYS 4
#define IP_IDENTS 1024

struct pmtu_exception {
    __be32 daddr;
    u32 mtu;
    bool locked;
    u64 expires; /* 0: free */
};

struct rt_cache {
    struct cds_lfht *ht;
    u64 secret;
    _Atomic u32 count;
    spinlock_t lock; /* writers of ht; pmtu. Nests: deferred freeing */
    struct pmtu_exception pmtu[PMTU_SLOTS][PMTU_WAYS];
    struct rtable *local; /* input: one dst for all that is delivered here */
    _Atomic u32 idents[IP_IDENTS];
};

static u64 mix(u64 x, u64 secret)
{
    const unsigned __int128 p = (unsigned __int128)(x ^ secret) * 0x9e3779b97f4a7c15ull;
    return (u64)p ^ (u64)(p >> 64);
}

/* ---- addresses ---------------------------------------------------------------------------------------------------- */

__be32 inet_select_addr(const struct net_device *dev, __be32 dst)
{
    struct in_ifaddr a[NET_DEV_ADDRS];
    const u32 n = dev_addrs(dev, a);

    for (u32 i = 0; i < n; i++)
        if ((a[i].local & a[i].mask) == (dst & a[i].mask))
            return a[i].local;
    return n ? a[0].local : 0;
}

static bool is_broadcast(struct net *net, __be32 addr)
{
    struct net_device *dev;
    bool ret = false;

    rcu_read_lock();
    cds_list_for_each_entry_rcu(dev, &net->dev_list, node) {
        struct in_ifaddr a[NET_DEV_ADDRS];
        const u32 n = dev_addrs(dev, a);

        for (u32 i = 0; i < n; i++)
            if (a[i].broadcast == addr && addr && __builtin_popcount(a[i].mask) < 31)
                ret = true;
    }
    rcu_read_unlock();
    return ret;
}

static bool is_local(struct net *net, __be32 addr)
{
    bool ret;

    rcu_read_lock();
    ret = ip_dev_find(net, addr) != NULL;
    rcu_read_unlock();
    return ret;
}

int inet_addr_type(struct net *net, __be32 addr)
{
    if (ipv4_is_zeronet(addr) || ipv4_is_lbcast(addr))
        return RTN_BROADCAST_;
    if (ipv4_is_multicast(addr))
        return RTN_MULTICAST_;
    if (is_local(net, addr))
        return RTN_LOCAL_;
    return is_broadcast(net, addr) ? RTN_BROADCAST_ : RTN_UNICAST_;
}

u16 ip_idents_reserve(struct net *net, __be32 saddr, __be32 daddr, u8 proto, u32 segs)
{
    struct rt_cache *c = net->rt_cache;
    const u64 h = mix(((u64)daddr << 32 | saddr) + proto, c->secret);

    /* A random step hides from one destination how much others get. */
    return (u16)atomic_fetch_add_explicit(&c->idents[(h >> 32) % IP_IDENTS], segs + net_random_below(net, 4),
                                          memory_order_relaxed);
}

/* ---- learned path MTUs ---------------------------------------------------------------------------------------------- */

/* The exception for daddr, or the slot for a new one (the oldest of its set). Lock held. */
static struct pmtu_exception *pmtu_slot(struct rt_cache *c, __be32 daddr)
{
    struct pmtu_exception *set = c->pmtu[mix(daddr, c->secret) % PMTU_SLOTS], *oldest = set;

    for (int i = 0; i < PMTU_WAYS; i++) {
        if (set[i].expires && set[i].daddr == daddr)
            return &set[i];
        if (set[i].expires < oldest->expires)
            oldest = &set[i];
    }
    return oldest;
}

static void pmtu_apply(struct rtable *rt, const struct pmtu_exception *e)
{
    WRITE_ONCE(rt->dst.pmtu, e->mtu);
    WRITE_ONCE(rt->dst.pmtu_expires, e->expires);
    WRITE_ONCE(rt->rt_mtu_locked, e->locked);
}

void ip_rt_update_pmtu(struct net *net, struct dst_entry *dst, __be32 daddr, u32 mtu)
{
    struct rt_cache *c = net->rt_cache;
    const u32 min_pmtu = (u32)net->ipv4.sysctl_min_pmtu;
    struct pmtu_exception *e;
    struct cds_lfht_iter iter;
    struct rtable *rt;
    bool locked = false;

    if (dst && ((struct rtable *)dst)->rt_mtu_locked)
        return;
    if (dst && dst_mtu(dst) <= mtu)
        return; /* an error can only lower it */
    if (mtu < min_pmtu) { /* smaller than is believed: send without DF instead */
        locked = true;
        mtu = dst ? min(dst_mtu(dst), min_pmtu) : min_pmtu;
    }
    spin_lock(&c->lock);
    e = pmtu_slot(c, daddr);
    *e = (struct pmtu_exception){.daddr = daddr, .mtu = mtu, .locked = locked, .expires = net_now(net) + PMTU_EXPIRES};
    if (dst)
        pmtu_apply((struct rtable *)dst, e);
    rcu_read_lock();
    cds_lfht_for_each_entry(c->ht, &iter, rt, node)
        if (rt->key.daddr == daddr && dst_mtu(&rt->dst) > mtu)
            pmtu_apply(rt, e);
    rcu_read_unlock();
    spin_unlock(&c->lock);
}

/* ---- output ------------------------------------------------------------------------------------------------------------- */

static struct flowi4 rt_key(const struct flowi4 *fl)
{
    return (struct flowi4){.daddr = fl->daddr, .saddr = fl->saddr, .oif = fl->oif, .mark = fl->mark, .tos = fl->tos & RT_TOS_MASK};
}

static unsigned long rt_hash(const struct rt_cache *c, const struct flowi4 *k)
{
    return (unsigned long)mix(mix((u64)k->daddr << 32 | k->saddr, c->secret) ^ ((u64)k->mark << 32 | (u32)k->oif << 8 | k->tos), c->secret);
}

static int rt_match(struct cds_lfht_node *node, const void *key)
{
    const struct flowi4 *a = &container_of(node, struct rtable, node)->key, *b = key;

    lfht_node_seen(node);
    return a->daddr == b->daddr && a->saddr == b->saddr && a->oif == b->oif && a->mark == b->mark && a->tos == b->tos;
}

static struct rtable *rt_cache_find(struct net *net, const struct flowi4 *key)
{
    struct rt_cache *c = net->rt_cache;
    struct cds_lfht_iter iter;
    struct cds_lfht_node *n;
    struct rtable *rt = NULL;

    rcu_read_lock();
    cds_lfht_lookup(c->ht, rt_hash(c, key), rt_match, key, &iter);
    n = cds_lfht_iter_get_node(&iter);
    if (n) {
        rt = container_of(n, struct rtable, node);
        if (!dst_check(&rt->dst) || !dst_hold_safe(&rt->dst))
            rt = NULL;
    }
    rcu_read_unlock();
    return rt;
}

/* Take void entries out, or all when that is not enough. Users keep theirs. Lock held. */
static void rt_cache_shrink(struct rt_cache *c)
{
    struct cds_lfht_iter iter;
    struct rtable *rt;

    rcu_read_lock();
    for (int all = 0; all < 2 && atomic_load(&c->count) >= RT_CACHE_MAX; all++) {
        cds_lfht_for_each_entry(c->ht, &iter, rt, node) {
            if ((all || !dst_check(&rt->dst)) && !cds_lfht_del(c->ht, &rt->node)) {
                atomic_fetch_sub(&c->count, 1);
                dst_release(&rt->dst);
            }
        }
    }
    rcu_read_unlock();
}

/* Into the cache with a reference of its own, in the place of a void one. */
static void rt_cache_insert(struct net *net, struct rtable *rt)
{
    struct rt_cache *c = net->rt_cache;
    struct cds_lfht_node *old;

    spin_lock(&c->lock);
    if (atomic_load(&c->count) >= RT_CACHE_MAX)
        rt_cache_shrink(c);
    dst_hold(&rt->dst);
    rcu_read_lock();
    old = cds_lfht_add_replace(c->ht, rt_hash(c, &rt->key), rt_match, &rt->key, &rt->node);
    rcu_read_unlock();
    if (old)
        dst_release(&container_of(old, struct rtable, node)->dst);
    else
        atomic_fetch_add(&c->count, 1);
    spin_unlock(&c->lock);
}

static void rt_fill_metrics(struct net *net, struct rtable *rt, const struct fib_result *res)
{
    struct rt_cache *c = net->rt_cache;
    const struct pmtu_exception *e;

    rt->dst.mtu = res->mtu;
    rt->dst.advmss = res->advmss;
    rt->dst.initcwnd = res->initcwnd;
    rt->dst.initrwnd = res->initrwnd;
    rt->dst.hoplimit = res->hoplimit;
    rt->dst.rto_min_ns = (u32)min((u64)res->rto_min_ms * NSEC_PER_MSEC, (u64)UINT32_MAX);
    rt->dst.rtt_ns = (u32)min((u64)res->rtt_ms * NSEC_PER_MSEC, (u64)UINT32_MAX);
    spin_lock(&c->lock);
    e = pmtu_slot(c, rt->key.daddr);
    if (e->expires > net_now(net) && e->daddr == rt->key.daddr && (!res->mtu || e->mtu < res->mtu))
        pmtu_apply(rt, e);
    spin_unlock(&c->lock);
}

/* A new route from an answer; NULL and *err = -ENETUNREACH, -ENOMEM. */
static struct rtable *rt_make(struct net *net, const struct flowi4 *key, const struct fib_result *res, u32 genid, int *err)
{
    struct net_device *dev;
    struct rtable *rt;

    *err = -ENETUNREACH;
    /* Own addresses: no loopback device is here; the shim gives such connections to the kernel. */
    if (res->type == RTN_LOCAL_)
        return NULL;
    rcu_read_lock();
    dev = dev_get_by_index(net, res->ifindex);
    if (dev)
        dev_hold(dev);
    rcu_read_unlock();
    if (!dev)
        return NULL;
    rt = calloc(1, sizeof(*rt));
    if (!rt) {
        dev_put(dev);
        *err = -ENOMEM;
        return NULL;
    }
    rt->key = *key;
    rt->dst.net = net;
    rt->dst.dev = dev;
    atomic_store(&rt->dst.refcnt, 1);
    rt->dst.genid = genid;
    rt->dst.output = ip_output;
    rt->rt_type = res->type ? res->type : RTN_UNICAST_;
    rt->rt_gateway = res->gateway ? res->gateway : key->daddr;
    rt->rt_src = key->saddr ? key->saddr : res->prefsrc ? res->prefsrc : inet_select_addr(dev, rt->rt_gateway);
    rt->rt_iif = 0;
    if (ipv4_is_multicast(key->daddr))
        rt->rt_type = RTN_MULTICAST_;
    else if (ipv4_is_lbcast(key->daddr))
        rt->rt_type = RTN_BROADCAST_;
    rt_fill_metrics(net, rt, res);
    return rt;
}

struct rtable *ip_route_output_flow(struct net *net, struct flowi4 *fl, int *err)
{
    const struct flowi4 key = rt_key(fl);
    struct fib_result res = {0};
    struct rtable *rt;
    u32 genid;

    *err = -EINVAL;
    if (fl->saddr && (ipv4_is_multicast(fl->saddr) || ipv4_is_lbcast(fl->saddr) || ipv4_is_zeronet(fl->saddr)))
        return NULL;
    rt = rt_cache_find(net, &key);
    if (!rt) {
        /* Read before the question: an answer that became void meanwhile must not look fresh. */
        genid = atomic_load_explicit(&net->rt_genid, memory_order_acquire);
        *err = net->route_ops && net->route_ops->lookup ? net->route_ops->lookup(net, fl, &res) : fib_lookup(net, fl, &res);
        if (*err)
            return NULL;
        rt = rt_make(net, &key, &res, genid, err);
        if (!rt)
            return NULL;
        if (!rt->rt_src) {
            dst_release(&rt->dst);
            *err = -EADDRNOTAVAIL;
            return NULL;
        }
        rt_cache_insert(net, rt);
    }
    if (!fl->saddr)
        fl->saddr = rt->rt_src;
    *err = 0;
    return rt;
}

void rt_cache_flush(struct net *net) { atomic_fetch_add_explicit(&net->rt_genid, 1, memory_order_acq_rel); }

/* ---- input --------------------------------------------------------------------------------------------------------------- */

/* What our devices' addresses say about a packet's, in one pass. RCU read section. */
struct rt_input_facts {
    bool saddr_ours; /* one of our addresses or subnet broadcasts: we did not send it */
    bool daddr_local, daddr_broadcast;
};

static struct rt_input_facts rt_input_facts(struct net *net, __be32 daddr, __be32 saddr)
{
    struct rt_input_facts f = {0};
    struct net_device *dev;

    cds_list_for_each_entry_rcu(dev, &net->dev_list, node) {
        struct in_ifaddr all[NET_DEV_ADDRS];
        const u32 n = dev_addrs(dev, all);

        for (u32 i = 0; i < n; i++) {
            const struct in_ifaddr *a = &all[i];

            f.daddr_local |= a->local == daddr;
            f.saddr_ours |= a->local == saddr;
            if (a->broadcast && __builtin_popcount(a->mask) < 31) {
                f.daddr_broadcast |= a->broadcast == daddr;
                f.saddr_ours |= a->broadcast == saddr;
            }
        }
    }
    return f;
}

int ip_route_input(struct sk_buff *skb, __be32 daddr, __be32 saddr, u8 tos, struct net_device *dev,
                   enum skb_drop_reason *reason)
{
    struct net *net = dev->net;
    struct rt_input_facts f;

    /* RFC 1122 3.2.1.3: addresses that cannot be on a wire. */
    *reason = SKB_DROP_REASON_IP_RPFILTER;
    if (ipv4_is_multicast(saddr) || ipv4_is_lbcast(saddr) || ipv4_is_loopback(saddr) ||
        (ipv4_is_zeronet(saddr) && !ipv4_is_lbcast(daddr)))
        return -EINVAL;
    *reason = SKB_DROP_REASON_IP_INADDRERRORS;
    if (ipv4_is_zeronet(daddr) || ipv4_is_loopback(daddr))
        return -EINVAL;
    f = rt_input_facts(net, daddr, saddr);
    *reason = SKB_DROP_REASON_IP_RPFILTER;
    if (unlikely(f.saddr_ours))
        return -EINVAL;
    /* Weak host model: any of our addresses, on any device (RFC 1122 3.3.4.2). */
    *reason = SKB_DROP_REASON_OTHERHOST;
    if (unlikely(!f.daddr_local && !f.daddr_broadcast && !ipv4_is_lbcast(daddr)))
        return -EHOSTUNREACH;
    *reason = SKB_DROP_REASON_NOT_SPECIFIED;
    skb_dst_drop(skb);
    skb_dst_set(skb, dst_hold(&net->rt_cache->local->dst));
    return 0;
}

/* The local dst never sends. */
static int rt_bug_output(struct net *net, struct sock *sk, struct sk_buff *skb)
{
    kfree_skb_reason(skb, SKB_DROP_REASON_IP_OUTNOROUTES);
    return -EHOSTUNREACH;
}

/* ---- per net --------------------------------------------------------------------------------------------------------------- */

int ip_rt_init(struct net *net)
{
    struct rt_cache *c = calloc(1, sizeof(*c));
    int err = -ENOMEM;

    if (!c)
        return err;
    c->local = calloc(1, sizeof(*c->local));
    c->ht = cds_lfht_new_flavor(RT_CACHE_BUCKETS, RT_CACHE_BUCKETS, 0, 0, &urcu_bp_flavor, NULL);
    if (!c->local || !c->ht)
        goto fail;
    err = fib_init(net);
    if (err)
        goto fail;
    spin_lock_init(&c->lock);
    c->secret = net->ops->random(net);
    for (int i = 0; i < IP_IDENTS; i++)
        c->idents[i] = net_random_u32(net);
    c->local->rt_type = RTN_LOCAL_;
    c->local->dst.net = net;
    atomic_store(&c->local->dst.refcnt, 1);
    c->local->dst.input = ip_local_deliver;
    c->local->dst.output = rt_bug_output;
    net->rt_cache = c;
    return 0;
fail:
    if (c->ht)
        cds_lfht_destroy(c->ht, NULL);
    free(c->local);
    free(c);
    return err;
}

void ip_rt_exit(struct net *net)
{
    struct rt_cache *c = net->rt_cache;
    struct cds_lfht_iter iter;
    struct rtable *rt;

    if (!c)
        return;
    rcu_read_lock();
    cds_lfht_for_each_entry(c->ht, &iter, rt, node)
        if (!cds_lfht_del(c->ht, &rt->node))
            dst_release(&rt->dst);
    rcu_read_unlock();
    dst_release(&c->local->dst);
    while (net_rcu_barrier(net))
        ;
    cds_lfht_destroy(c->ht, NULL);
    fib_exit(net);
    spin_lock_destroy(&c->lock);
    free(c);
    net->rt_cache = NULL;
}
