/* SPDX-License-Identifier: MIT */
/* Network devices: the list of a net, addresses, wrapping, receive and the poll. Transmit: dev_xmit.c. */

#include "gro.h"
#include "neighbour.h"
#include "rcu.h"
#include "sch_generic.h"
#include <net/if.h>

/* ---- the list -------------------------------------------------------------------------------------------- */

static void net_routes_void(struct net *net)
{
    atomic_fetch_add_explicit(&net->rt_genid, 1, memory_order_release);
    atomic_fetch_add_explicit(&net->dev_gen, 1, memory_order_release);
}

static void dev_free_rcu(struct rcu_free *f)
{
    struct net_device *dev = container_of(f, struct net_device, rcu);

    dev->destructor(dev);
}

void dev_put(struct net_device *dev)
{
    if (atomic_fetch_sub_explicit(&dev->refcnt, 1, memory_order_acq_rel) == 1 && dev->destructor)
        net_call_rcu(dev->net, &dev->rcu, dev_free_rcu);
}

/* dev_lock held. */
static int next_ifindex(struct net *net)
{
    struct net_device *d;
    int last = 0;

    cds_list_for_each_entry(d, &net->dev_list, node)
        last = max(last, d->ifindex);
    return last + 1;
}

static void dev_defaults(struct net *net, struct net_device *dev)
{
    dev->net = net;
    if (!dev->gso_max_size)
        dev->gso_max_size = GSO_MAX_SIZE;
    if (!dev->gso_max_segs)
        dev->gso_max_segs = 65535;
    if (!dev->hard_header_len)
        dev->hard_header_len = ETH_HLEN;
    if (!dev->num_queues)
        dev->num_queues = 1;
    if (!dev->mtu)
        dev->mtu = ETH_DATA_LEN;
    if (!memcmp(dev->broadcast, "\0\0\0\0\0", ETH_ALEN))
        memset(dev->broadcast, 0xff, ETH_ALEN);
    spin_lock_init(&dev->tx_lock);
    atomic_store(&dev->refcnt, 1);
}

int register_netdev(struct net *net, struct net_device *dev)
{
    struct Qdisc *q;
    int err;

    dev_defaults(net, dev);
    err = gro_init(dev);
    if (err)
        return err;
    err = -ENOMEM;
    q = qdisc_create(dev, &pfifo_fast_ops);
    if (!q)
        goto out_gro;
    dev->qdisc = q;
    if (dev->ops->ndo_open) {
        err = dev->ops->ndo_open(dev);
        if (err)
            goto out_qdisc;
    }
    dev->flags |= IFF_UP | IFF_RUNNING;
    spin_lock(&net->dev_lock);
    if (!dev->ifindex)
        dev->ifindex = next_ifindex(net);
    if (!dev->name[0])
        snprintf(dev->name, sizeof(dev->name), "dev%d", dev->ifindex);
    cds_list_add_tail_rcu(&dev->node, &net->dev_list);
    spin_unlock(&net->dev_lock);
    net_routes_void(net);
    return 0;

out_qdisc:
    dev->qdisc = NULL;
    qdisc_destroy(q);
out_gro:
    gro_exit(dev);
    return err;
}

/* Out of service: after the grace period no thread sends through it or polls it. */
static void dev_deactivate(struct net_device *dev)
{
    struct Qdisc *q = dev->qdisc;

    WRITE_ONCE(dev->flags, dev->flags & ~(u32)(IFF_UP | IFF_RUNNING));
    rcu_assign_pointer(dev->qdisc, NULL);
    net_routes_void(dev->net);
    neigh_flush_dev(dev);
    synchronize_rcu();
    if (q)
        qdisc_destroy(q);
    gro_exit(dev);
}

void unregister_netdev(struct net_device *dev)
{
    struct net_device *top;

    while (dev->upper) {
        for (top = dev->upper; top->upper;)
            top = top->upper;
        dev_unwrap(top);
    }
    spin_lock(&dev->net->dev_lock);
    cds_list_del_rcu(&dev->node);
    spin_unlock(&dev->net->dev_lock);
    dev_deactivate(dev);
    if (dev->ops->ndo_stop)
        dev->ops->ndo_stop(dev);
    dev_put(dev);
}

struct net_device *dev_get_by_index(struct net *net, int ifindex)
{
    struct net_device *d;

    cds_list_for_each_entry_rcu(d, &net->dev_list, node)
        if (d->ifindex == ifindex)
            return d;
    return NULL;
}

struct net_device *dev_get_by_name(struct net *net, const char *name)
{
    struct net_device *d;

    cds_list_for_each_entry_rcu(d, &net->dev_list, node)
        if (!strcmp(d->name, name))
            return d;
    return NULL;
}

/* ---- addresses -------------------------------------------------------------------------------------------------- */

u32 dev_addrs(const struct net_device *dev, struct in_ifaddr *out)
{
    struct net_device *d = (struct net_device *)dev;
    u32 seq, n;

    do {
        seq = atomic_load_explicit(&d->addr_seq, memory_order_acquire);
        n = min(atomic_load_explicit(&d->naddr, memory_order_relaxed), (u32)NET_DEV_ADDRS);
        for (u32 i = 0; i < n; i++)
            out[i] = (struct in_ifaddr){READ_ONCE(d->addr[i].local), READ_ONCE(d->addr[i].mask), READ_ONCE(d->addr[i].broadcast)};
        atomic_thread_fence(memory_order_acquire); /* E: pairs with F; the entries first, then the count again */
    } while (unlikely(seq & 1 || atomic_load_explicit(&d->addr_seq, memory_order_relaxed) != seq));
    return n;
}

/* Entry i and the number of entries change together. dev_lock held. */
static void addr_set(struct net_device *dev, u32 i, struct in_ifaddr a, u32 n)
{
    u32 seq = atomic_load_explicit(&dev->addr_seq, memory_order_relaxed);

    atomic_store_explicit(&dev->addr_seq, seq + 1, memory_order_relaxed);
    atomic_thread_fence(memory_order_release); /* F: odd before the first entry changes */
    WRITE_ONCE(dev->addr[i].local, a.local);
    WRITE_ONCE(dev->addr[i].mask, a.mask);
    WRITE_ONCE(dev->addr[i].broadcast, a.broadcast);
    atomic_store_explicit(&dev->naddr, n, memory_order_relaxed);
    atomic_store_explicit(&dev->addr_seq, seq + 2, memory_order_release);
}

bool dev_has_addr(const struct net_device *dev, __be32 addr)
{
    struct in_ifaddr a[NET_DEV_ADDRS];
    u32 n = dev_addrs(dev, a);

    for (u32 i = 0; i < n; i++)
        if (a[i].local == addr)
            return true;
    return false;
}

struct net_device *ip_dev_find(struct net *net, __be32 addr)
{
    struct net_device *d;

    cds_list_for_each_entry_rcu(d, &net->dev_list, node)
        if (dev_has_addr(d, addr))
            return d;
    return NULL;
}

int dev_add_addr(struct net_device *dev, __be32 local, int prefixlen)
{
    __be32 mask;
    u32 n;
    int err = 0;

    if (prefixlen < 0 || prefixlen > 32 || !local)
        return -EINVAL;
    mask = prefixlen ? htobe32(~0u << (32 - prefixlen)) : 0;
    spin_lock(&dev->net->dev_lock);
    n = atomic_load_explicit(&dev->naddr, memory_order_relaxed);
    if (dev_has_addr(dev, local)) {
        err = -EEXIST;
    } else if (n == NET_DEV_ADDRS) {
        err = -ENOBUFS;
    } else {
        /* RFC 3021: no broadcast on /31 */
        addr_set(dev, n, (struct in_ifaddr){local, mask, prefixlen < 31 ? local | ~mask : 0}, n + 1);
    }
    spin_unlock(&dev->net->dev_lock);
    if (!err)
        net_routes_void(dev->net);
    return err;
}

void dev_del_addr(struct net_device *dev, __be32 local)
{
    u32 n;

    spin_lock(&dev->net->dev_lock);
    n = atomic_load_explicit(&dev->naddr, memory_order_relaxed);
    for (u32 i = 0; i < n; i++) {
        if (dev->addr[i].local != local)
            continue;
        addr_set(dev, i, dev->addr[n - 1], n - 1);
        break;
    }
    spin_unlock(&dev->net->dev_lock);
    net_routes_void(dev->net);
}

int dev_set_mtu(struct net_device *dev, u32 mtu)
{
    if (mtu < 68 || mtu > 65535)
        return -EINVAL;
    for (struct net_device *d = dev; d; d = d->lower)
        WRITE_ONCE(d->mtu, mtu);
    net_routes_void(dev->net);
    return 0;
}

/* ---- wrapping ------------------------------------------------------------------------------------------------------ */

static void copy_addrs(struct net_device *to, const struct net_device *from)
{
    memcpy(to->addr, from->addr, sizeof(to->addr));
    atomic_store_explicit(&to->naddr, atomic_load(&((struct net_device *)from)->naddr), memory_order_release);
}

int dev_wrap(struct net_device *upper, struct net_device *lower, struct sk_buff *(*handler)(struct sk_buff *))
{
    struct net *net = lower->net;
    struct Qdisc *q;

    memcpy(upper->name, lower->name, sizeof(upper->name));
    memcpy(upper->dev_addr, lower->dev_addr, ETH_ALEN);
    memcpy(upper->broadcast, lower->broadcast, ETH_ALEN);
    upper->ifindex = lower->ifindex;
    upper->mtu = lower->mtu;
    upper->flags = lower->flags;
    upper->gso_max_size = lower->gso_max_size;
    upper->gso_max_segs = lower->gso_max_segs;
    upper->hard_header_len = lower->hard_header_len;
    upper->num_queues = lower->num_queues;
    upper->own_address = lower->own_address;
    dev_defaults(net, upper);
    if (gro_init(upper))
        return -ENOMEM;
    q = qdisc_create(upper, &pfifo_fast_ops);
    if (!q) {
        gro_exit(upper);
        return -ENOMEM;
    }
    upper->qdisc = q;
    upper->lower = lower;
    spin_lock(&net->dev_lock);
    copy_addrs(upper, lower);
    cds_list_replace_rcu(&lower->node, &upper->node);
    CDS_INIT_LIST_HEAD(&lower->node);
    lower->rx_handler = handler;
    rcu_assign_pointer(lower->upper, upper);
    spin_unlock(&net->dev_lock);
    net_routes_void(net);
    neigh_flush_dev(lower); /* entries and routes refer to the device that is in the list */
    return 0;
}

void dev_unwrap(struct net_device *upper)
{
    struct net_device *lower = upper->lower;
    struct net *net = upper->net;

    BUG_ON(upper->upper);
    spin_lock(&net->dev_lock);
    copy_addrs(lower, upper);
    cds_list_replace_rcu(&upper->node, &lower->node);
    rcu_assign_pointer(lower->upper, NULL);
    spin_unlock(&net->dev_lock);
    dev_deactivate(upper);
    lower->rx_handler = NULL;
    if (upper->ops->ndo_stop)
        upper->ops->ndo_stop(upper);
    dev_put(upper);
}

int dev_lower_poll(struct net_device *upper, int budget)
{
    return upper->lower->ops->ndo_poll ? upper->lower->ops->ndo_poll(upper->lower, budget) : 0;
}

/* ---- receive ---------------------------------------------------------------------------------------------------------- */

static CDS_LIST_HEAD(ptype_list); /* RCU; written under ptype_lock */
static pthread_mutex_t ptype_lock = PTHREAD_MUTEX_INITIALIZER;

void dev_add_pack(struct packet_type *pt)
{
    struct packet_type *p;

    pthread_mutex_lock(&ptype_lock);
    cds_list_for_each_entry(p, &ptype_list, node)
        if (p == pt)
            goto out;
    cds_list_add_tail_rcu(&pt->node, &ptype_list);
out:
    pthread_mutex_unlock(&ptype_lock);
}

/* Role: Ethernet header checked and pulled, protocol and pkt_type set. False: too short. */
static bool eth_type_trans(struct sk_buff *skb, const struct net_device *dev)
{
    const struct ethhdr *eth;

    if (!pskb_may_pull(skb, ETH_HLEN))
        return false;
    skb_reset_mac_header(skb);
    skb->mac_len = ETH_HLEN;
    eth = (const struct ethhdr *)skb->data;
    skb_pull(skb, ETH_HLEN);
    /* Below 0x600 the field is an IEEE 802.3 length, and nobody here speaks 802.2. */
    skb->protocol = be16toh(eth->h_proto) >= ETH_P_802_3_MIN ? eth->h_proto : htobe16(ETH_P_802_2);
    if (eth->h_dest[0] & 1)
        skb->pkt_type = memcmp(eth->h_dest, dev->broadcast, ETH_ALEN) ? PACKET_MULTICAST : PACKET_BROADCAST;
    else
        skb->pkt_type = memcmp(eth->h_dest, dev->dev_addr, ETH_ALEN) ? PACKET_OTHERHOST : PACKET_HOST;
    return true;
}

static void deliver_skb(struct sk_buff *skb)
{
    struct packet_type *pt;

    cds_list_for_each_entry_rcu(pt, &ptype_list, node) {
        if (pt->type == skb->protocol) {
            pt->func(skb, skb->dev);
            return;
        }
    }
    kfree_skb_reason(skb, SKB_DROP_REASON_UNHANDLED_PROTO);
}

static void deliver_list(struct sk_buff *skb)
{
    struct sk_buff *next;

    for (; skb; skb = next) {
        next = skb->next;
        skb->next = NULL;
        deliver_skb(skb);
    }
}

/* Up through the wrapping devices. NULL: one of them took it. */
static struct sk_buff *climb(struct sk_buff *skb)
{
    struct net_device *upper;

    while ((upper = rcu_dereference(skb->dev->upper)) != NULL) {
        skb = skb->dev->rx_handler(skb);
        if (!skb)
            return NULL;
        skb->dev = upper;
    }
    return skb;
}

static void __netif_receive_skb(struct sk_buff *skb)
{
    struct net_device *dev = skb->dev;

    if (!eth_type_trans(skb, dev)) {
        kfree_skb_reason(skb, SKB_DROP_REASON_PKT_TOO_SMALL);
        return;
    }
    /* Only where there is no wire to corrupt it is a sender's unfinished checksum good. */
    if (skb->ip_summed == CHECKSUM_PARTIAL && !(dev->features & NETIF_F_NOWIRE))
        skb->ip_summed = CHECKSUM_NONE;
    if (!skb->tstamp)
        skb->tstamp = net_now(dev->net);
    skb = climb(skb);
    if (!skb)
        return;
    dev = skb->dev;
    if (skb->pkt_type == PACKET_OTHERHOST) {
        kfree_skb_reason(skb, SKB_DROP_REASON_OTHERHOST);
        return;
    }
    skb_reset_network_header(skb);
    if (dev->features & NETIF_F_GRO)
        deliver_list(dev_gro_receive(dev, skb));
    else
        deliver_skb(skb);
}

void netif_receive_skb(struct sk_buff *skb)
{
    rcu_read_lock();
    if (likely(READ_ONCE(skb->dev->flags) & IFF_UP))
        __netif_receive_skb(skb);
    else
        kfree_skb_reason(skb, SKB_DROP_REASON_DEV_READY);
    rcu_read_unlock();
}

void napi_complete(struct net_device *dev)
{
    struct net_device *upper;

    rcu_read_lock();
    while ((upper = rcu_dereference(dev->upper)) != NULL)
        dev = upper;
    if (dev->features & NETIF_F_GRO)
        deliver_list(gro_flush_own(dev));
    rcu_read_unlock();
}

int net_poll(struct net *net, int budget)
{
    struct net_device *dev;
    int n = 0;

    net_tick(net);
    rcu_read_lock();
    cds_list_for_each_entry_rcu(dev, &net->dev_list, node) {
        if (!dev->ops->ndo_poll)
            continue;
        dev_tx_batch_begin(dev);
        n += dev->ops->ndo_poll(dev, budget);
        napi_complete(dev); /* for a driver that ended early */
        dev_tx_batch_end(dev);
    }
    rcu_read_unlock();
    n += net_run_timers(net);
    n += net_tx_action(net);
    net_tsq_service(net);
    net_rcu_reclaim(net);
    return n;
}
