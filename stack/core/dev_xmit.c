/* SPDX-License-Identifier: MIT */
/* Transmit: from IP and ARP through the queueing discipline to the driver. */

#include "errqueue.h"
#include "rcu.h"
#include "sch_generic.h"
#include <net/if.h>

/* A device's queue is stopped when its own or that of a device below is. */
static bool xmit_stopped(struct net_device *dev)
{
    for (; dev; dev = dev->lower)
        if (netif_queue_stopped(dev))
            return true;
    return false;
}

/* ---- what the device cannot do itself ------------------------------------------------------------------ */

/* The last segment stands for the whole: the owner is told when it leaves, and uncharged what it was charged. */
static void segs_take_owner(struct sk_buff *segs, struct sk_buff *skb)
{
    struct sk_buff *last = segs;

    if (!skb->destructor)
        return;
    while (last->next)
        last = last->next;
    last->sk = skb->sk;
    last->destructor = skb->destructor;
    last->truesize = skb->truesize;
    skb->sk = NULL;
    skb->destructor = NULL;
}

static struct sk_buff *validate_one(struct sk_buff *skb, struct net_device *dev)
{
    if (skb_is_nonlinear(skb) && (!(dev->features & NETIF_F_SG) || skb->shinfo->frag_list) && skb_linearize(skb))
        goto drop;
    if (skb->ip_summed == CHECKSUM_PARTIAL && !(dev->features & NETIF_F_HW_CSUM) && skb_checksum_help(skb))
        goto drop;
    return skb;

drop:
    atomic_fetch_add_explicit(&dev->stats.tx_dropped, 1, memory_order_relaxed);
    kfree_skb_reason(skb, SKB_DROP_REASON_NOMEM);
    return NULL;
}

static bool needs_software_gso(const struct sk_buff *skb, const struct net_device *dev)
{
    return skb_is_gso(skb) && (!(dev->features & NETIF_F_TSO) || skb->len > dev->gso_max_size ||
                               skb->shinfo->gso_segs > dev->gso_max_segs);
}

/* Role: make the packet what the device takes; a list when it had to be segmented. Takes it over. */
static struct sk_buff *validate_xmit_skb(struct sk_buff *skb, struct net_device *dev)
{
    struct sk_buff *segs, *next, *list = NULL, **tail = &list;

    if (!needs_software_gso(skb, dev))
        return validate_one(skb, dev);
    skb_tx_timestamp(skb); /* its segments have no mark: the driver is next */
    segs = skb_gso_segment(skb);
    if (!segs) {
        atomic_fetch_add_explicit(&dev->stats.tx_dropped, 1, memory_order_relaxed);
        kfree_skb_reason(skb, SKB_DROP_REASON_NOMEM);
        return NULL;
    }
    segs_take_owner(segs, skb);
    consume_skb(skb);
    for (; segs; segs = next) {
        next = segs->next;
        segs->next = NULL;
        NET_INC_STATS(dev->net, SLUICE_MIB_GSO_SW_SEGS);
        segs = validate_one(segs, dev);
        if (segs) {
            *tail = segs;
            tail = &segs->next;
        }
    }
    return list;
}

static struct sk_buff *validate_xmit_skb_list(struct sk_buff *skb, struct net_device *dev)
{
    struct sk_buff *next, *list = NULL, **tail = &list;

    for (; skb; skb = next) {
        next = skb->next;
        skb->next = NULL;
        *tail = validate_xmit_skb(skb, dev);
        while (*tail)
            tail = &(*tail)->next;
    }
    return list;
}

/* ---- to the driver ------------------------------------------------------------------------------------------- */

struct sk_buff *dev_hard_start_xmit(struct sk_buff *first, struct net_device *dev, int *ret)
{
    struct sk_buff *skb = first, *next;
    netdev_tx_t rc = NETDEV_TX_OK;

    while (skb) {
        next = skb->next;
        skb->next = NULL;
        skb_tx_timestamp(skb);
        rc = dev->ops->ndo_start_xmit(skb, dev);
        if (rc != NETDEV_TX_OK) {
            skb->next = next;
            break;
        }
        skb = next;
        if (skb && xmit_stopped(dev)) {
            rc = NETDEV_TX_BUSY;
            break;
        }
    }
    *ret = rc;
    return skb;
}

/* One doorbell now, or one at the end of the batch. tx_lock held. */
static void xmit_flush(struct net_device *dev)
{
    if (!dev->ops->ndo_xmit_flush)
        return;
    if (atomic_load_explicit(&dev->tx_defer, memory_order_seq_cst)) {
        dev->tx_pending = true;
        return;
    }
    dev->tx_pending = false;
    dev->ops->ndo_xmit_flush(dev);
}

void dev_tx_batch_begin(struct net_device *dev)
{
    atomic_fetch_add_explicit(&dev->tx_defer, 1, memory_order_seq_cst);
}

/* A sender that saw tx_defer above 0 set tx_pending before it let tx_lock go; whoever brings it to 0 takes
 * the lock afterwards and so sees it. */
void dev_tx_batch_end(struct net_device *dev)
{
    if (atomic_fetch_sub_explicit(&dev->tx_defer, 1, memory_order_seq_cst) != 1 || !dev->ops->ndo_xmit_flush)
        return;
    spin_lock(&dev->tx_lock);
    if (dev->tx_pending)
        xmit_flush(dev);
    spin_unlock(&dev->tx_lock);
}

netdev_tx_t dev_lower_xmit(struct sk_buff *skb, struct net_device *lower)
{
    netdev_tx_t rc = NETDEV_TX_BUSY;
    struct net_device *upper = skb->dev;

    spin_lock(&lower->tx_lock);
    if (!netif_queue_stopped(lower)) {
        skb->dev = lower;
        rc = lower->ops->ndo_start_xmit(skb, lower);
        if (rc != NETDEV_TX_OK)
            skb->dev = upper;
    }
    spin_unlock(&lower->tx_lock);
    return rc;
}

void dev_lower_flush(struct net_device *upper)
{
    struct net_device *lower = upper->lower;

    spin_lock(&lower->tx_lock);
    if (lower->ops->ndo_xmit_flush)
        lower->ops->ndo_xmit_flush(lower);
    spin_unlock(&lower->tx_lock);
}

bool sch_direct_xmit(struct sk_buff *skb, struct Qdisc *q, struct net_device *dev, bool validated)
{
    struct sk_buff *first;
    int ret = NETDEV_TX_BUSY;

    if (!validated)
        skb = validate_xmit_skb_list(skb, dev);
    if (!skb)
        return true;
    first = skb;
    spin_lock(&dev->tx_lock);
    if (!xmit_stopped(dev))
        skb = dev_hard_start_xmit(skb, dev, &ret);
    if (skb != first)
        xmit_flush(dev);
    spin_unlock(&dev->tx_lock);
    if (skb) {
        qdisc_requeue(skb, q);
        return false;
    }
    return true;
}

/* No discipline: straight to the driver, and what it refuses is lost. */
static int noqueue_xmit(struct sk_buff *skb, struct net_device *dev)
{
    struct sk_buff *next;
    int ret = NETDEV_TX_BUSY;

    skb = validate_xmit_skb_list(skb, dev);
    if (!skb)
        return NET_XMIT_DROP;
    spin_lock(&dev->tx_lock);
    if (!xmit_stopped(dev))
        skb = dev_hard_start_xmit(skb, dev, &ret);
    xmit_flush(dev);
    spin_unlock(&dev->tx_lock);
    for (; skb; skb = next) {
        next = skb->next;
        skb->next = NULL;
        kfree_skb_reason(skb, SKB_DROP_REASON_FULL_RING);
    }
    return ret == NETDEV_TX_OK ? NET_XMIT_SUCCESS : NET_XMIT_DROP;
}

int dev_queue_xmit(struct sk_buff *skb)
{
    struct net_device *dev = skb->dev;
    struct Qdisc *q;
    int rc;

    skb_reset_mac_header(skb);
    skb->next = NULL;
    skb_tstamp_sched(skb);
    rcu_read_lock();
    q = rcu_dereference(dev->qdisc);
    if (unlikely(!(READ_ONCE(dev->flags) & IFF_UP))) {
        kfree_skb_reason(skb, SKB_DROP_REASON_DEV_READY);
        rc = -ENETDOWN;
    } else if (likely(q != NULL)) {
        rc = qdisc_xmit(skb, q);
    } else {
        rc = noqueue_xmit(skb, dev);
    }
    rcu_read_unlock();
    return rc;
}
