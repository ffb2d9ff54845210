/* SPDX-License-Identifier: MIT */
/* Neighbours: RFC 4861's reachability states as Linux uses them for ARP (net/core/neighbour.c, arp(7)).
 *
 * INCOMPLETE asks by broadcast; REACHABLE turns STALE when nobody confirms it in time; the first packet by
 * way of a STALE one makes it DELAY, and if the transport does not confirm it within delay_first_probe_time,
 * PROBE asks by unicast; no answer: FAILED, and whoever waits is told. */

#include "neighbour.h"
#include "rcu.h"
#include "trace.h"
#include <linux/ip.h>
#include <net/if.h>

struct neigh_table {
    struct cds_lfht *ht; /* RCU; node.key: (device, primary_key) */
    struct net *net;
    _Atomic u32 entries;
    _Atomic u64 last_flush;     /* of neigh_forced_gc() */
    struct timer_list gc_timer; /* neigh_periodic_work(); only while there are gc_thresh1 entries */
};

void (*neigh_solicit)(struct neighbour *n, const u8 *dst_ha, __be32 saddr);
void (*neigh_error_report)(struct neighbour *n, struct sk_buff *skb);

static void neigh_timer_handler(struct timer_list *t);
static void neigh_periodic_work(struct timer_list *timer);
static int neigh_resolve_output(struct neighbour *n, struct sk_buff *skb);
static int neigh_connected_output(struct neighbour *n, struct sk_buff *skb);

static u64 neigh_now(const struct neighbour *n) { return net_now(n->net); }
static u64 retrans_time(const struct neighbour *n)
{
    return (u64)max(n->net->ipv4.sysctl_neigh_retrans_time, 10) * NSEC_PER_MSEC;
}
static u64 delay_probe_time(const struct neighbour *n)
{
    return (u64)n->net->ipv4.sysctl_neigh_delay_first_probe_time * NSEC_PER_SEC;
}

/* ---- life ------------------------------------------------------------------------------------------------ */

static void neigh_free_rcu(struct rcu_free *f)
{
    struct neighbour *n = container_of(f, struct neighbour, rcu);

    del_timer_sync(&n->timer);
    spin_lock_destroy(&n->lock);
    dev_put(n->dev);
    free(n);
}

void neigh_release(struct neighbour *n)
{
    if (n && atomic_fetch_sub_explicit(&n->refcnt, 1, memory_order_acq_rel) == 1)
        net_call_rcu(n->net, &n->rcu, neigh_free_rcu);
}

static void neigh_hold(struct neighbour *n)
{
    atomic_fetch_add_explicit(&n->refcnt, 1, memory_order_relaxed);
}

/* A pending timer holds a reference. n->lock held. */
static void neigh_add_timer(struct neighbour *n, u64 when)
{
    neigh_hold(n);
    if (mod_timer(&n->timer, when))
        atomic_fetch_sub_explicit(&n->refcnt, 1, memory_order_relaxed); /* it held one already */
}

/* n->lock held. The caller has a reference or is in a read section, so this is never the last one. */
static void neigh_del_timer(struct neighbour *n)
{
    if ((n->nud_state & NUD_IN_TIMER) && del_timer(&n->timer))
        neigh_release(n);
}

struct neigh_table *neigh_table_alloc(struct net *net)
{
    struct neigh_table *t = calloc(1, sizeof(*t));

    if (!t)
        return NULL;
    t->net = net;
    t->ht = cds_lfht_new(256, 256, 256, 0, NULL);
    if (!t->ht) {
        free(t);
        return NULL;
    }
    timer_setup(&t->gc_timer, net, neigh_periodic_work);
    return t;
}

/* Out of the table, stopped, its queue gone. RCU read section. */
static void neigh_unlink(struct neigh_table *t, struct neighbour *n)
{
    struct sk_buff_head q;

    if (cds_lfht_del(t->ht, &n->node))
        return; /* someone else did */
    atomic_fetch_sub_explicit(&t->entries, 1, memory_order_relaxed);
    __skb_queue_head_init(&q);
    spin_lock(&n->lock);
    n->dead = 1;
    neigh_del_timer(n);
    while (!skb_queue_empty(&n->arp_queue))
        __skb_queue_tail(&q, __skb_dequeue(&n->arp_queue));
    n->arp_queue_len_bytes = 0;
    atomic_store(&n->nud_state, NUD_NONE);
    spin_unlock(&n->lock);
    __skb_queue_purge(&q, SKB_DROP_REASON_NEIGH_DEAD);
    neigh_release(n); /* the table's */
}

static void neigh_flush(struct neigh_table *t, struct net_device *dev)
{
    struct cds_lfht_iter iter;
    struct cds_lfht_node *node;

    if (!t)
        return;
    rcu_read_lock();
    cds_lfht_for_each(t->ht, &iter, node) {
        struct neighbour *n = caa_container_of(node, struct neighbour, node);

        if (!dev || n->dev == dev)
            neigh_unlink(t, n);
    }
    rcu_read_unlock();
}

void neigh_flush_dev(struct net_device *dev)
{
    neigh_flush(dev->net->arp_tbl, dev);
}

void neigh_table_free(struct neigh_table *t)
{
    if (!t)
        return;
    del_timer_sync(&t->gc_timer);
    neigh_flush(t, NULL);
    cds_lfht_destroy(t->ht, NULL);
    free(t);
}

/* ---- lookup ------------------------------------------------------------------------------------------------ */

struct neigh_key {
    struct net_device *dev;
    __be32 key;
};

static unsigned long neigh_hash(const struct net_device *dev, __be32 key)
{
    u64 h = ((u64)key << 32 | key) ^ (uintptr_t)dev;

    h *= 0x9e3779b97f4a7c15ull;
    return h >> 16;
}

static int neigh_match(struct cds_lfht_node *node, const void *key)
{
    const struct neighbour *n = caa_container_of(node, struct neighbour, node);
    const struct neigh_key *k = key;

    lfht_node_seen(node);
    return n->dev == k->dev && n->primary_key == k->key;
}

struct neighbour *__ipv4_neigh_lookup_noref(struct net_device *dev, __be32 key)
{
    struct neigh_key k = {dev, key};
    struct cds_lfht_iter iter;
    struct cds_lfht_node *node;

    cds_lfht_lookup(dev->net->arp_tbl->ht, neigh_hash(dev, key), neigh_match, &k, &iter);
    node = cds_lfht_iter_get_node(&iter);
    return node ? caa_container_of(node, struct neighbour, node) : NULL;
}

/* ---- garbage: thresholds and ages as Linux has them (arp(7)); no timer runs below gc_thresh1 ------------------- */

/* Nobody holds it but the table, and it is not about to learn something. */
static bool neigh_is_idle(const struct neighbour *n)
{
    return !(n->nud_state & (NUD_PERMANENT | NUD_IN_TIMER)) && atomic_load(&((struct neighbour *)n)->refcnt) == 1;
}

/* Role: make room, down to gc_thresh2 at most: what failed, needs no question, or has learnt nothing for 5 s. RCU read
 * section. Returns how many went. Linux takes the oldest first; here they come as the table has them. */
static int neigh_forced_gc(struct neigh_table *t)
{
    const int max_clean = (int)atomic_load(&t->entries) - t->net->ipv4.sysctl_neigh_gc_thresh2;
    const u64 now = net_now(t->net);
    struct cds_lfht_iter iter;
    struct cds_lfht_node *node;
    int shrunk = 0;

    atomic_store(&t->last_flush, now);
    cds_lfht_for_each(t->ht, &iter, node) {
        struct neighbour *n = caa_container_of(node, struct neighbour, node);

        if (!neigh_is_idle(n) ||
            (!(n->nud_state & (NUD_FAILED | NUD_NOARP)) && now <= READ_ONCE(n->updated) + 5 * NSEC_PER_SEC))
            continue;
        neigh_unlink(t, n);
        if (++shrunk >= max_clean)
            break;
    }
    return shrunk;
}

/* Room for one more? RCU read section. */
static bool neigh_room(struct neigh_table *t)
{
    const struct netns_ipv4 *s = &t->net->ipv4;
    const u32 entries = atomic_load(&t->entries);

    if (entries < (u32)s->sysctl_neigh_gc_thresh2 && entries < (u32)s->sysctl_neigh_gc_thresh3)
        return true;
    if (entries < (u32)s->sysctl_neigh_gc_thresh3 && net_now(t->net) <= atomic_load(&t->last_flush) + 5 * NSEC_PER_SEC)
        return true;
    return neigh_forced_gc(t) || entries < (u32)s->sysctl_neigh_gc_thresh3;
}

static u64 gc_interval(const struct net *net)
{
    return (u64)max(net->ipv4.sysctl_neigh_base_reachable_time / 2, 1000) * NSEC_PER_MSEC;
}

/* Forget what failed, and what nobody has used for gc_stale_time. */
static void neigh_periodic_work(struct timer_list *timer)
{
    struct neigh_table *t = container_of(timer, struct neigh_table, gc_timer);
    const u64 now = net_now(t->net), stale = (u64)t->net->ipv4.sysctl_neigh_gc_stale_time * NSEC_PER_SEC;
    struct cds_lfht_iter iter;
    struct cds_lfht_node *node;

    rcu_read_lock();
    cds_lfht_for_each(t->ht, &iter, node) {
        struct neighbour *n = caa_container_of(node, struct neighbour, node);
        const u64 used = max(READ_ONCE(n->used), READ_ONCE(n->confirmed));

        if (neigh_is_idle(n) && ((n->nud_state & NUD_FAILED) || now >= used + stale))
            neigh_unlink(t, n);
    }
    rcu_read_unlock();
    if (atomic_load(&t->entries) >= (u32)t->net->ipv4.sysctl_neigh_gc_thresh1)
        mod_timer(timer, now + gc_interval(t->net));
}

/* ---- making ---------------------------------------------------------------------------------------------------- */

static bool is_broadcast(const struct net_device *dev, __be32 key)
{
    struct in_ifaddr a[NET_DEV_ADDRS];
    u32 na;

    if (key == 0xffffffff)
        return true;
    na = dev_addrs(dev, a);
    for (u32 i = 0; i < na; i++)
        if (a[i].broadcast && a[i].broadcast == key)
            return true;
    return false;
}

/* Addresses that need no question (arp_constructor): multicast is mapped (RFC 1112 6.4). */
static void neigh_construct(struct neighbour *n)
{
    struct net_device *dev = n->dev;
    u32 addr = be32toh(n->primary_key);

    n->nud_state = NUD_NONE;
    if (dev->flags & (IFF_NOARP | IFF_LOOPBACK)) {
        memcpy(n->ha, dev->dev_addr, ETH_ALEN);
    } else if (is_broadcast(dev, n->primary_key)) {
        memcpy(n->ha, dev->broadcast, ETH_ALEN);
    } else if ((addr & 0xf0000000) == 0xe0000000) {
        n->ha[0] = 0x01;
        n->ha[1] = 0x00;
        n->ha[2] = 0x5e;
        n->ha[3] = (addr >> 16) & 0x7f;
        n->ha[4] = (u8)(addr >> 8);
        n->ha[5] = (u8)addr;
    } else {
        return;
    }
    n->nud_state = NUD_NOARP;
    n->output = neigh_connected_output;
}

struct neighbour *__neigh_create(struct net *net, __be32 key, struct net_device *dev)
{
    struct neigh_table *t = net->arp_tbl;
    struct neighbour *n = __ipv4_neigh_lookup_noref(dev, key);
    struct neigh_key k = {dev, key};
    struct cds_lfht_node *node;
    u64 base;

    if (n)
        return n;
    if (!neigh_room(t))
        return NULL;
    n = calloc(1, sizeof(*n));
    if (!n)
        return NULL;
    n->net = net;
    n->dev = dev;
    n->primary_key = key;
    atomic_init(&n->refcnt, 1);
    spin_lock_init(&n->lock);
    __skb_queue_head_init(&n->arp_queue);
    timer_setup(&n->timer, net, neigh_timer_handler);
    base = (u64)net->ipv4.sysctl_neigh_base_reachable_time * NSEC_PER_MSEC;
    n->reachable_time = base / 2 + net->ops->random(net) % (base + 1);
    n->used = n->updated = net_now(net);
    n->output = neigh_resolve_output;
    neigh_construct(n);
    /* Long ago: an entry is not reachable because it was just made. */
    WRITE_ONCE(n->confirmed, net_now(net) > 2 * n->reachable_time ? net_now(net) - 2 * n->reachable_time : 0);
    dev_hold(dev);
    node = cds_lfht_add_unique(t->ht, neigh_hash(dev, key), neigh_match, &k, &n->node);
    if (node != &n->node) { /* another thread was faster */
        dev_put(dev);
        spin_lock_destroy(&n->lock);
        free(n);
        return caa_container_of(node, struct neighbour, node);
    }
    if (atomic_fetch_add_explicit(&t->entries, 1, memory_order_relaxed) + 1 >= (u32)net->ipv4.sysctl_neigh_gc_thresh1 &&
        !timer_pending(&t->gc_timer))
        mod_timer(&t->gc_timer, net_now(net) + gc_interval(net));
    return n;
}

void neigh_for_each(struct net *net, void (*fn)(struct neighbour *n, void *arg), void *arg)
{
    struct cds_lfht_iter iter;
    struct cds_lfht_node *node;

    cds_lfht_for_each(net->arp_tbl->ht, &iter, node)
        fn(caa_container_of(node, struct neighbour, node), arg);
}

/* ---- the cached link-layer header: 14 bytes at the end of 16, copied as two words --------------------------- */

#define HH_LEN 16u

/* n->lock held. The odd seq is seen before any new word (A, with B in hh_read), every new word before the
 * even seq (C, with D). */
static void hh_write(struct neighbour *n)
{
    struct hh_cache *hh = &n->hh;
    u64 words[2] = {0, 0};
    struct ethhdr *eth = (struct ethhdr *)((u8 *)words + HH_LEN - ETH_HLEN);
    u32 seq = atomic_load_explicit(&hh->seq, memory_order_relaxed);

    memcpy(eth->h_dest, n->ha, ETH_ALEN);
    memcpy(eth->h_source, n->dev->dev_addr, ETH_ALEN);
    eth->h_proto = htobe16(ETH_P_IP);
    atomic_store_explicit(&hh->seq, seq + 1, memory_order_relaxed);
    atomic_store_explicit(&hh->data[0], words[0], memory_order_release); /* A */
    atomic_store_explicit(&hh->data[1], words[1], memory_order_release); /* A */
    atomic_store_explicit(&hh->seq, seq + 2, memory_order_release);      /* C */
    WRITE_ONCE(hh->len, ETH_HLEN);
}

static void hh_read(struct hh_cache *hh, u64 words[2])
{
    u32 seq;

    do {
        while ((seq = atomic_load_explicit(&hh->seq, memory_order_acquire)) & 1) /* D */
            ;
        words[0] = atomic_load_explicit(&hh->data[0], memory_order_acquire); /* B */
        words[1] = atomic_load_explicit(&hh->data[1], memory_order_acquire); /* B */
    } while (seq != atomic_load_explicit(&hh->seq, memory_order_relaxed));
}

/* Role: the header in front of the packet, from the cache. False: no headroom and no memory. */
static bool hh_push(struct neighbour *n, struct sk_buff *skb)
{
    u64 words[2];

    if (unlikely(skb_headroom(skb) < HH_LEN) && skb_cow_head(skb, HH_LEN))
        return false;
    hh_read(&n->hh, words);
    memcpy(skb->data - HH_LEN, words, HH_LEN);
    skb_push(skb, ETH_HLEN);
    return true;
}

static inline int neigh_hh_output(struct neighbour *n, struct sk_buff *skb)
{
    if (unlikely(!hh_push(n, skb))) {
        kfree_skb_reason(skb, SKB_DROP_REASON_NOMEM);
        return -ENOMEM;
    }
    if (unlikely(skb->protocol != htobe16(ETH_P_IP)))
        memcpy(skb->data + 2 * ETH_ALEN, &skb->protocol, 2);
    skb->dev = n->dev;
    return WALK(dev_queue_xmit(skb));
}

static void hh_init(struct neighbour *n)
{
    spin_lock(&n->lock);
    if (!n->hh.len)
        hh_write(n);
    spin_unlock(&n->lock);
}

/* ---- state changes ------------------------------------------------------------------------------------------------ */

/* n->lock held. */
static void neigh_set_state(struct neighbour *n, u8 state)
{
    atomic_store_explicit(&n->nud_state, state, memory_order_release);
    WRITE_ONCE(n->output, state & NUD_CONNECTED ? neigh_connected_output : neigh_resolve_output);
}

/* Role: tell whoever waits for a neighbour that failed. No lock held. Takes the queue over. */
static void neigh_report_failed(struct neighbour *n, struct sk_buff_head *q)
{
    struct sk_buff *skb;

    while ((skb = __skb_dequeue(q)) != NULL) {
        if (neigh_error_report)
            neigh_error_report(n, skb);
        else
            kfree_skb_reason(skb, SKB_DROP_REASON_NEIGH_FAILED);
    }
}

/* n->lock held. */
static void take_queue(struct neighbour *n, struct sk_buff_head *q)
{
    struct sk_buff *skb;

    __skb_queue_head_init(q);
    while ((skb = __skb_dequeue(&n->arp_queue)) != NULL)
        __skb_queue_tail(q, skb);
    n->arp_queue_len_bytes = 0;
}

/* Ask: by unicast while an address is known and unicast questions are left. n->lock not held. */
static void neigh_probe(struct neighbour *n)
{
    const struct sk_buff *skb;
    u8 ha[ETH_ALEN];
    __be32 saddr = 0;
    bool unicast;

    spin_lock(&n->lock);
    skb = skb_peek_tail(&n->arp_queue);
    if (skb && skb->protocol == htobe16(ETH_P_IP))
        saddr = ((const struct iphdr *)skb_network_header(skb))->saddr;
    unicast = n->nud_state & NUD_VALID && n->probes < (u32)n->net->ipv4.sysctl_neigh_ucast_solicit;
    memcpy(ha, n->ha, ETH_ALEN);
    n->probes++;
    spin_unlock(&n->lock);
    if (neigh_solicit)
        neigh_solicit(n, unicast ? ha : NULL, saddr);
}

static u32 max_probes(const struct neighbour *n)
{
    const struct netns_ipv4 *s = &n->net->ipv4;

    return (u32)(s->sysctl_neigh_ucast_solicit + s->sysctl_neigh_app_solicit +
                 (n->nud_state & NUD_PROBE ? s->sysctl_neigh_mcast_resolicit : s->sysctl_neigh_mcast_solicit));
}

/* The state that follows by time alone, and when to look again (0: never). n->lock held. */
static u64 neigh_age(struct neighbour *n, u64 now)
{
    switch (atomic_load(&n->nud_state)) {
    case NUD_REACHABLE:
        if (now <= READ_ONCE(n->confirmed) + n->reachable_time)
            return READ_ONCE(n->confirmed) + n->reachable_time;
        WRITE_ONCE(n->updated, now);
        if (now <= READ_ONCE(n->used) + delay_probe_time(n)) {
            neigh_set_state(n, NUD_DELAY);
            return now + delay_probe_time(n);
        }
        neigh_set_state(n, NUD_STALE);
        return 0;
    case NUD_DELAY:
        WRITE_ONCE(n->updated, now);
        if (now <= READ_ONCE(n->confirmed) + delay_probe_time(n)) {
            neigh_set_state(n, NUD_REACHABLE);
            return READ_ONCE(n->confirmed) + n->reachable_time;
        }
        n->probes = 0;
        neigh_set_state(n, NUD_PROBE);
        return now + retrans_time(n);
    default: /* PROBE, INCOMPLETE */
        return now + retrans_time(n);
    }
}

static void neigh_timer_handler(struct timer_list *t)
{
    struct neighbour *n = container_of(t, struct neighbour, timer);
    u64 now = neigh_now(n), next;
    struct sk_buff_head failed;
    bool ask = false;

    __skb_queue_head_init(&failed);
    rcu_read_lock();
    spin_lock(&n->lock);
    if (n->dead || !(n->nud_state & NUD_IN_TIMER))
        goto out;
    next = neigh_age(n, now);
    if ((n->nud_state & (NUD_INCOMPLETE | NUD_PROBE)) && n->probes >= max_probes(n)) {
        WRITE_ONCE(n->updated, now);
        neigh_set_state(n, NUD_FAILED);
        take_queue(n, &failed);
        goto out;
    }
    if (n->nud_state & NUD_IN_TIMER)
        neigh_add_timer(n, max(next, now + 10 * NSEC_PER_MSEC));
    ask = n->nud_state & (NUD_INCOMPLETE | NUD_PROBE);
out:
    spin_unlock(&n->lock);
    if (ask)
        neigh_probe(n);
    neigh_report_failed(n, &failed);
    rcu_read_unlock();
    neigh_release(n); /* the timer's */
}

void neigh_confirm(struct neighbour *n)
{
    u64 now = neigh_now(n);

    if (READ_ONCE(n->confirmed) != now)
        WRITE_ONCE(n->confirmed, now);
}

/* ---- output ----------------------------------------------------------------------------------------------------------- */

/* Role: keep a packet until the address is known; the oldest make room. n->lock held. Dropped ones go to
 * `drop`: they are freed without the lock. */
static void neigh_enqueue(struct neighbour *n, struct sk_buff *skb, struct sk_buff_head *drop)
{
    u32 limit = (u32)n->net->ipv4.sysctl_neigh_unres_qlen_bytes;

    while (n->arp_queue_len_bytes + skb->truesize > limit) {
        struct sk_buff *old = __skb_dequeue(&n->arp_queue);

        if (!old)
            break;
        n->arp_queue_len_bytes -= old->truesize;
        __skb_queue_tail(drop, old);
    }
    __skb_queue_tail(&n->arp_queue, skb);
    n->arp_queue_len_bytes += skb->truesize;
}

/* Role: a packet wants to go (neigh_event_send): state moves on. True: it may go now; else it was queued
 * or dropped, and *rc says which. */
static bool neigh_event_send(struct neighbour *n, struct sk_buff *skb, int *rc)
{
    struct sk_buff_head drop;
    bool ask = false, go = false;
    u64 now = neigh_now(n);

    if (READ_ONCE(n->used) != now)
        WRITE_ONCE(n->used, now);
    if (n->nud_state & (NUD_CONNECTED | NUD_DELAY | NUD_PROBE))
        return true;
    __skb_queue_head_init(&drop);
    *rc = NET_XMIT_SUCCESS;
    spin_lock(&n->lock);
    if (n->nud_state & (NUD_CONNECTED | NUD_DELAY | NUD_PROBE)) {
        go = true;
    } else if (n->dead) {
        __skb_queue_tail(&drop, skb);
        *rc = -ENETUNREACH;
    } else if (n->nud_state & NUD_STALE) {
        WRITE_ONCE(n->updated, now);
        neigh_set_state(n, NUD_DELAY);
        neigh_add_timer(n, now + delay_probe_time(n));
        go = true;
    } else {
        if (!(n->nud_state & NUD_INCOMPLETE)) { /* NONE or FAILED: ask at once, by broadcast */
            n->probes = (u32)n->net->ipv4.sysctl_neigh_ucast_solicit;
            WRITE_ONCE(n->updated, now);
            neigh_set_state(n, NUD_INCOMPLETE);
            neigh_add_timer(n, now + retrans_time(n));
            ask = true;
        }
        trace_xmit(TRACE_NEIGH, skb);
        neigh_enqueue(n, skb, &drop);
    }
    spin_unlock(&n->lock);
    __skb_queue_purge(&drop, *rc ? SKB_DROP_REASON_NEIGH_DEAD : SKB_DROP_REASON_NEIGH_QUEUEFULL);
    if (ask)
        neigh_probe(n);
    return go;
}

static int neigh_connected_output(struct neighbour *n, struct sk_buff *skb)
{
    if (unlikely(!READ_ONCE(n->hh.len)))
        hh_init(n);
    return WALK(neigh_hh_output(n, skb));
}

static int neigh_resolve_output(struct neighbour *n, struct sk_buff *skb)
{
    int rc;

    if (!neigh_event_send(n, skb, &rc))
        return rc;
    return WALK(neigh_connected_output(n, skb));
}

int neigh_output(struct neighbour *n, struct sk_buff *skb, bool skip_cache)
{
    if (skb->dst_pending_confirm) {
        skb->dst_pending_confirm = 0;
        neigh_confirm(n);
    }
    if (likely((n->nud_state & NUD_CONNECTED) && READ_ONCE(n->hh.len) && !skip_cache))
        return WALK(neigh_hh_output(n, skb));
    return WALK(READ_ONCE(n->output)(n, skb));
}

/* ---- news ----------------------------------------------------------------------------------------------------------------- */

/* Role: the address part of neigh_update. n->lock held. -errno: refuse; 1: nothing to do; 0: *new adjusted. */
static int update_check(struct neighbour *n, const u8 *lladdr, u8 *new_state, bool override)
{
    u8 old = n->nud_state;
    bool admin = *new_state & (NUD_PERMANENT | NUD_NOARP);

    if (n->dead)
        return -ENOENT;
    if (!admin && (old & (NUD_NOARP | NUD_PERMANENT)))
        return -EPERM;
    if (!(*new_state & NUD_VALID))
        return 0;
    if (!lladdr)
        return old & NUD_VALID ? 0 : -EINVAL;
    if (!(old & NUD_VALID))
        return 0;
    if (memcmp(lladdr, n->ha, ETH_ALEN))
        return override || admin ? 0 : 1; /* another answer, and the first is to hold for a while */
    if (*new_state == NUD_STALE)
        *new_state = old; /* the same address again says nothing of reachability */
    return 0;
}

/* Role: send what waited, by the way that is open now. No lock held. Takes the queue over. */
static void neigh_send_queue(struct neighbour *n, struct sk_buff_head *q)
{
    struct sk_buff *skb;

    while ((skb = __skb_dequeue(q)) != NULL)
        READ_ONCE(n->output)(n, skb);
}

int neigh_update(struct neighbour *n, const u8 *lladdr, u8 new_state, bool override)
{
    struct sk_buff_head failed, ready;
    u64 now = neigh_now(n);
    u8 old;
    int err;

    __skb_queue_head_init(&failed);
    __skb_queue_head_init(&ready);
    rcu_read_lock();
    spin_lock(&n->lock);
    old = n->nud_state;
    err = update_check(n, lladdr, &new_state, override);
    if (err)
        goto out;
    if (!(new_state & NUD_VALID)) {
        neigh_del_timer(n);
        neigh_set_state(n, new_state);
        if ((old & (NUD_INCOMPLETE | NUD_PROBE)) && (new_state & NUD_FAILED))
            take_queue(n, &failed);
        goto out;
    }
    if (new_state & NUD_CONNECTED)
        WRITE_ONCE(n->confirmed, now);
    /* What changes nothing must not move the locktime window, or a talkative neighbour could never be replaced. */
    if (new_state != old || (lladdr && memcmp(lladdr, n->ha, ETH_ALEN)))
        WRITE_ONCE(n->updated, now);
    if (new_state != old) {
        neigh_del_timer(n);
        n->probes = new_state & NUD_PROBE ? 0 : n->probes;
        if (new_state & NUD_IN_TIMER)
            neigh_add_timer(n, new_state & NUD_REACHABLE ? now + n->reachable_time : now);
    }
    if (lladdr && memcmp(lladdr, n->ha, ETH_ALEN)) {
        memcpy(n->ha, lladdr, ETH_ALEN);
        if (n->hh.len)
            hh_write(n);
        if (!(new_state & NUD_CONNECTED))
            WRITE_ONCE(n->confirmed, now > 2 * n->reachable_time ? now - 2 * n->reachable_time : 0);
    }
    neigh_set_state(n, new_state);
    if (!(old & NUD_VALID))
        take_queue(n, &ready);
out:
    spin_unlock(&n->lock);
    neigh_report_failed(n, &failed);
    neigh_send_queue(n, &ready);
    rcu_read_unlock();
    return err < 0 ? err : 0;
}
