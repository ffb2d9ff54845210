/* SPDX-License-Identifier: MIT */
/* The fault device: around any device, live or simulated, it loses, doubles, holds back and damages packets by
 * the dice of its seed. It takes single segments only, so that it loses packets and not super-packets. */

#include "fault.h"
#include "partial_csum.h"

#define PPM 1000000u
#define DEFAULT_REORDER_DELAY NSEC_PER_MSEC

struct held { /* a packet that waits to be overtaken */
    struct held *next;
    struct sk_buff *skb;
    u64 due;
    bool rx;
};

struct fault_priv {
    struct fault_config cfg;
    spinlock_t lock; /* rng and held: receive and transmit may run at once. Timer base nests in it */
    u64 rng;
    struct held *held; /* in order of due */
    struct timer_list timer;
};

enum verdict { PASS = 0, LOSE = 1, DUP = 2, REORDER = 4, CORRUPT = 8 };

static u64 dice(struct fault_priv *p)
{
    u64 z = p->rng += 0x9e3779b97f4a7c15ull;

    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
    return z ^ (z >> 31);
}

static bool chance(struct fault_priv *p, u32 ppm)
{
    return ppm && (u32)(((dice(p) >> 32) * PPM) >> 32) < ppm;
}

/* *bit: random, for CORRUPT. */
static u32 judge(struct fault_priv *p, u64 *bit)
{
    u32 v = PASS;

    spin_lock(&p->lock);
    if (chance(p, p->cfg.loss_ppm))
        v = LOSE;
    else
        v = (chance(p, p->cfg.dup_ppm) ? DUP : 0) | (chance(p, p->cfg.reorder_ppm) ? REORDER : 0) |
            (chance(p, p->cfg.corrupt_ppm) ? CORRUPT : 0);
    *bit = dice(p);
    spin_unlock(&p->lock);
    return v;
}

/* Role: a damaged copy; skb ends. The checksum is completed first, so that it can tell. NULL without memory. */
static struct sk_buff *damage(struct sk_buff *skb, u64 random)
{
    struct sk_buff *n = skb_copy(skb);
    u64 bit;

    consume_skb(skb);
    if (!n)
        return NULL;
    if (skb_checksum_help(n) || !n->len) {
        consume_skb(n);
        return NULL;
    }
    if (n->dev && (n->dev->features & NETIF_F_NOWIRE)) /* received: the sending kernel left it to hardware */
        frame_complete_csum(skb_mac_header(n), n->len + (u32)(n->data - skb_mac_header(n)), false);
    n->ip_summed = CHECKSUM_NONE;
    bit = random % ((u64)n->len * 8);
    n->data[bit / 8] ^= (u8)(1u << (bit % 8));
    return n;
}

/* Role: keep it until reorder_delay_ns from now. False without memory: the caller sends it at once. */
static bool hold(struct net_device *dev, struct sk_buff *skb, bool rx)
{
    struct fault_priv *p = dev->priv;
    struct held *h = malloc(sizeof(*h)), **at;

    if (!h)
        return false;
    *h = (struct held){NULL, skb, net_now(dev->net) + p->cfg.reorder_delay_ns, rx};
    spin_lock(&p->lock);
    for (at = &p->held; *at; at = &(*at)->next)
        ;
    *at = h;
    mod_timer(&p->timer, p->held->due);
    spin_unlock(&p->lock);
    return true;
}

/* ---- receive ---------------------------------------------------------------------------------------------- */

/* Again as from a driver, on the wrapping device: the Ethernet header is put back. */
static void receive_again(struct net_device *dev, struct sk_buff *skb)
{
    skb->dev = dev;
    skb_push(skb, (u32)(skb->data - skb_mac_header(skb)));
    netif_receive_skb(skb);
}

static struct sk_buff *fault_rx(struct sk_buff *skb)
{
    struct net_device *dev = skb->dev->upper;
    struct fault_priv *p = dev->priv;
    struct sk_buff *copy;
    u64 bit;
    u32 v;

    if (!p->cfg.rx)
        return skb;
    v = judge(p, &bit);
    if (v & LOSE) {
        kfree_skb_reason(skb, SKB_DROP_REASON_FAULT_INJECTED);
        return NULL;
    }
    if ((v & DUP) && (copy = skb_copy(skb)) != NULL)
        receive_again(dev, copy);
    if (v & CORRUPT) {
        skb = damage(skb, bit);
        if (!skb)
            return NULL;
    }
    if ((v & REORDER) && hold(dev, skb, true))
        return NULL;
    return skb;
}

/* ---- transmit ---------------------------------------------------------------------------------------------- */

/* The driver below is full: what the fault device made or held is lost then, as any packet may be. */
static void send_or_lose(struct net_device *dev, struct sk_buff *skb)
{
    if (dev_lower_xmit(skb, dev->lower) != NETDEV_TX_OK)
        kfree_skb_reason(skb, SKB_DROP_REASON_FULL_RING);
}

static netdev_tx_t fault_xmit(struct sk_buff *skb, struct net_device *dev)
{
    struct fault_priv *p = dev->priv;
    struct sk_buff *copy;
    u64 bit;
    u32 v;

    if (!p->cfg.tx)
        return dev_lower_xmit(skb, dev->lower);
    if (netif_queue_stopped(dev->lower))
        return NETDEV_TX_BUSY;
    v = judge(p, &bit);
    if (v & LOSE) {
        kfree_skb_reason(skb, SKB_DROP_REASON_FAULT_INJECTED);
        return NETDEV_TX_OK;
    }
    if ((v & DUP) && (copy = skb_copy(skb)) != NULL)
        send_or_lose(dev, copy);
    if (v & CORRUPT) {
        skb = damage(skb, bit);
        if (!skb)
            return NETDEV_TX_OK;
        send_or_lose(dev, skb);
        return NETDEV_TX_OK;
    }
    if ((v & REORDER) && hold(dev, skb, false))
        return NETDEV_TX_OK;
    return dev_lower_xmit(skb, dev->lower);
}

static void fault_timer(struct timer_list *t)
{
    struct fault_priv *p = container_of(t, struct fault_priv, timer);
    struct net *net = t->net;
    struct net_device *dev = NULL;
    struct held *h, *due = NULL, **tail = &due;

    spin_lock(&p->lock);
    while ((h = p->held) != NULL && h->due <= net_now(net)) {
        p->held = h->next;
        h->next = NULL;
        *tail = h;
        tail = &h->next;
    }
    if (p->held)
        mod_timer(&p->timer, p->held->due);
    spin_unlock(&p->lock);
    for (; due; due = h) {
        h = due->next;
        dev = due->rx ? due->skb->dev->upper : due->skb->dev;
        if (due->rx)
            receive_again(dev, due->skb);
        else
            send_or_lose(dev, due->skb);
        free(due);
    }
    if (dev) {
        napi_complete(dev);
        dev_lower_flush(dev);
    }
}

/* ---- life ------------------------------------------------------------------------------------------------------ */

static int fault_poll_fds(struct net_device *dev, int *fds, int max)
{
    return dev->lower->ops->ndo_poll_fds ? dev->lower->ops->ndo_poll_fds(dev->lower, fds, max) : 0;
}

static bool fault_prepare_sleep(struct net_device *dev)
{
    return !dev->lower->ops->ndo_prepare_sleep || dev->lower->ops->ndo_prepare_sleep(dev->lower);
}

/* Out of the way: nothing is received or sent through it any more. */
static void fault_stop(struct net_device *dev)
{
    struct fault_priv *p = dev->priv;
    struct held *h;

    del_timer_sync(&p->timer);
    while ((h = p->held) != NULL) {
        p->held = h->next;
        kfree_skb_reason(h->skb, SKB_DROP_REASON_FAULT_INJECTED);
        free(h);
    }
}

static void fault_free(struct net_device *dev)
{
    struct fault_priv *p = dev->priv;

    spin_lock_destroy(&p->lock);
    free(p);
    free(dev);
}

static const struct net_device_ops fault_ops = {
    .ndo_stop = fault_stop,
    .ndo_start_xmit = fault_xmit,
    .ndo_xmit_flush = dev_lower_flush,
    .ndo_poll = dev_lower_poll,
    .ndo_poll_fds = fault_poll_fds,
    .ndo_prepare_sleep = fault_prepare_sleep,
};

struct net_device *fault_wrap(struct net_device *lower, const struct fault_config *cfg)
{
    struct net_device *dev = calloc(1, sizeof(*dev));
    struct fault_priv *p = calloc(1, sizeof(*p));

    if (!dev || !p)
        goto out;
    p->cfg = *cfg;
    if (!p->cfg.reorder_delay_ns)
        p->cfg.reorder_delay_ns = DEFAULT_REORDER_DELAY;
    p->rng = cfg->seed;
    spin_lock_init(&p->lock);
    timer_setup(&p->timer, lower->net, fault_timer);
    dev->priv = p;
    dev->ops = &fault_ops;
    dev->destructor = fault_free;
    dev->features = lower->features & ~(u32)(cfg->tx ? NETIF_F_TSO : 0);
    if (dev_wrap(dev, lower, fault_rx))
        goto out_lock;
    return dev;

out_lock:
    spin_lock_destroy(&p->lock);
out:
    free(p);
    free(dev);
    return NULL;
}

void fault_unwrap(struct net_device *dev)
{
    dev_unwrap(dev);
}
