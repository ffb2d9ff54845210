/* SPDX-License-Identifier: MIT */
/* Running the queueing disciplines: one thread at a time sends for a discipline (running); others leave their
 * packet and a mark (MISSED) that makes it look once more. */

#include "sch_generic.h"
#include "rcu.h"
#include "trace.h"

/* ---- life ---------------------------------------------------------------------------------------------------- */

static void qdisc_watchdog(struct timer_list *t)
{
    __netif_schedule(container_of(t, struct Qdisc, watchdog));
}

void qdisc_watchdog_schedule(struct Qdisc *q, u64 expires)
{
    atomic_fetch_add_explicit(&q->stats.overlimits, 1, memory_order_relaxed);
    mod_timer(&q->watchdog, expires);
}

struct Qdisc *qdisc_create(struct net_device *dev, const struct Qdisc_ops *ops)
{
    struct Qdisc *q = calloc(1, sizeof(*q));

    if (!q)
        return NULL;
    q->ops = ops;
    q->dev = dev;
    spin_lock_init(&q->lock);
    __skb_queue_head_init(&q->gso_skb);
    CDS_INIT_LIST_HEAD(&q->sched_node);
    timer_setup(&q->watchdog, dev->net, qdisc_watchdog);
    if (ops->init && ops->init(q)) {
        spin_lock_destroy(&q->lock);
        free(q);
        return NULL;
    }
    return q;
}

/* The device no longer refers to it, and a grace period has passed. */
void qdisc_destroy(struct Qdisc *q)
{
    struct net *net = q->dev->net;

    atomic_fetch_or_explicit(&q->state, __QDISC_STATE_DEACTIVATED, memory_order_seq_cst);
    del_timer_sync(&q->watchdog);
    spin_lock(&net->tx_sched_lock);
    if (!cds_list_empty(&q->sched_node)) {
        cds_list_del_init(&q->sched_node);
        atomic_fetch_sub(&net->tx_sched_len, 1);
    }
    spin_unlock(&net->tx_sched_lock);
    /* A net_tx_action that took it off the list just before may still run it. */
    synchronize_rcu();
    __skb_queue_purge(&q->gso_skb, SKB_DROP_REASON_QDISC_DROP);
    if (q->ops->reset)
        q->ops->reset(q);
    if (q->ops->destroy)
        q->ops->destroy(q);
    spin_lock_destroy(&q->lock);
    free(q);
}

int dev_graft_qdisc(struct net_device *dev, const struct Qdisc_ops *ops)
{
    struct Qdisc *q = qdisc_create(dev, ops), *old = dev->qdisc;

    if (!q)
        return -ENOMEM;
    rcu_assign_pointer(dev->qdisc, q);
    synchronize_rcu();
    if (old)
        qdisc_destroy(old);
    return 0;
}

/* ---- in and out; q->lock held ----------------------------------------------------------------------------------- */

u32 qdisc_pkt_len(const struct sk_buff *skb)
{
    u32 hlen;

    if (!skb_is_gso(skb) || skb->shinfo->gso_segs < 2)
        return skb->len;
    hlen = (u32)skb_transport_offset(skb) + (u32)(skb_transport_header(skb)[12] >> 4) * 4;
    return skb->len + (skb->shinfo->gso_segs - 1u) * hlen;
}

int qdisc_enqueue(struct sk_buff *skb, struct Qdisc *q)
{
    u32 len = qdisc_pkt_len(skb);
    int rc;

    trace_xmit(TRACE_QDISC, skb);
    rc = q->ops->enqueue(skb, q);

    if (rc == NET_XMIT_SUCCESS) {
        WRITE_ONCE(q->qlen, q->qlen + 1);
        atomic_fetch_add_explicit(&q->stats.backlog, len, memory_order_relaxed);
    } else {
        atomic_fetch_add_explicit(&q->stats.drops, 1, memory_order_relaxed);
        atomic_fetch_add_explicit(&q->dev->stats.tx_dropped, 1, memory_order_relaxed);
    }
    return rc;
}

static void count_out(struct Qdisc *q, const struct sk_buff *skb)
{
    WRITE_ONCE(q->qlen, q->qlen - 1);
    atomic_fetch_sub_explicit(&q->stats.backlog, qdisc_pkt_len(skb), memory_order_relaxed);
}

struct sk_buff *qdisc_dequeue(struct Qdisc *q)
{
    struct sk_buff *skb = q->ops->dequeue(q);

    if (skb)
        count_out(q, skb);
    return skb;
}

/* Role: packets that the driver refused go first next time, in their order. Takes the list over. */
void qdisc_requeue(struct sk_buff *skb, struct Qdisc *q)
{
    struct sk_buff *next, *prev = NULL;

    spin_lock(&q->lock);
    for (; skb; prev = skb, skb = next) {
        next = skb->next;
        if (prev)
            __skb_queue_after(&q->gso_skb, prev, skb);
        else
            __skb_queue_head(&q->gso_skb, skb);
        WRITE_ONCE(q->qlen, q->qlen + 1);
        atomic_fetch_add_explicit(&q->stats.backlog, qdisc_pkt_len(skb), memory_order_relaxed);
        atomic_fetch_add_explicit(&q->stats.requeues, 1, memory_order_relaxed);
    }
    spin_unlock(&q->lock);
    /* A stopped driver wakes the queue itself (netif_wake_queue). If that came between its refusal and
     * our requeue, nobody would run us again: look once more now that the packet can be found. */
    for (struct net_device *d = q->dev; d; d = d->lower)
        if (netif_queue_stopped(d))
            return;
    __netif_schedule(q);
}

/* The next packet, requeued ones first (*validated: they are segmented already). NULL: none, or stopped. */
static struct sk_buff *dequeue_skb(struct Qdisc *q, bool *validated)
{
    struct sk_buff *skb = NULL;

    *validated = true;
    for (struct net_device *d = q->dev; d; d = d->lower)
        if (netif_queue_stopped(d))
            return NULL;
    spin_lock(&q->lock);
    if (!skb_queue_empty(&q->gso_skb)) {
        skb = __skb_dequeue(&q->gso_skb);
        count_out(q, skb);
    } else if (q->qlen) {
        *validated = false;
        skb = qdisc_dequeue(q);
    }
    spin_unlock(&q->lock);
    return skb;
}

static void count_sent(struct Qdisc *q, const struct sk_buff *skb)
{
    atomic_fetch_add_explicit(&q->stats.packets, max(skb->shinfo->gso_segs, (u16)1), memory_order_relaxed);
    atomic_fetch_add_explicit(&q->stats.bytes, qdisc_pkt_len(skb), memory_order_relaxed);
}

/* ---- running ------------------------------------------------------------------------------------------------------- */

/* True: this thread sends. Else the one that does will look again: MISSED is set after our packet was
 * enqueued and read by it after it let `running` go; the second try covers its letting go in between. */
static bool qdisc_run_begin(struct Qdisc *q)
{
    if (atomic_exchange_explicit(&q->running, 1, memory_order_seq_cst)) {
        atomic_fetch_or_explicit(&q->state, __QDISC_STATE_MISSED, memory_order_seq_cst);
        if (atomic_exchange_explicit(&q->running, 1, memory_order_seq_cst))
            return false;
    }
    atomic_fetch_and_explicit(&q->state, ~(u32)__QDISC_STATE_MISSED, memory_order_seq_cst);
    return true;
}

/* True: a packet came meanwhile, run again. */
static bool qdisc_run_end(struct Qdisc *q)
{
    u32 state;

    atomic_store_explicit(&q->running, 0, memory_order_seq_cst);
    state = atomic_load_explicit(&q->state, memory_order_seq_cst);
    return (state & __QDISC_STATE_MISSED) && !(state & __QDISC_STATE_SCHED);
}

/* Role: send one packet. False: nothing left, or the driver wants no more. q->running held. */
static bool qdisc_restart(struct Qdisc *q)
{
    bool validated;
    struct sk_buff *skb = dequeue_skb(q, &validated);

    if (!skb)
        return false;
    if (!validated)
        count_sent(q, skb);
    return sch_direct_xmit(skb, q, q->dev, validated);
}

void __qdisc_run(struct Qdisc *q)
{
    struct net_device *dev = q->dev;
    int quota = dev->net->ipv4.sysctl_dev_weight;

    dev_tx_batch_begin(dev);
    while (qdisc_restart(q)) {
        if (--quota <= 0) {
            if (READ_ONCE(q->qlen))
                __netif_schedule(q);
            break;
        }
    }
    dev_tx_batch_end(dev);
}

static void qdisc_run(struct Qdisc *q)
{
    do {
        if (!qdisc_run_begin(q))
            return;
        __qdisc_run(q);
    } while (qdisc_run_end(q));
}

int qdisc_xmit(struct sk_buff *skb, struct Qdisc *q)
{
    int rc;

    /* Nothing waits and nobody sends: no need to go through the queue. */
    if (q->can_bypass && !READ_ONCE(q->qlen) && qdisc_run_begin(q)) {
        if (likely(!READ_ONCE(q->qlen))) {
            count_sent(q, skb);
            if (sch_direct_xmit(skb, q, q->dev, false) && READ_ONCE(q->qlen))
                __qdisc_run(q);
            if (qdisc_run_end(q))
                qdisc_run(q);
            return NET_XMIT_SUCCESS;
        }
        qdisc_run_end(q); /* we run again below */
    }
    spin_lock(&q->lock);
    rc = qdisc_enqueue(skb, q);
    spin_unlock(&q->lock);
    qdisc_run(q);
    return rc;
}

/* ---- NET_TX -------------------------------------------------------------------------------------------------------- */

void __netif_schedule(struct Qdisc *q)
{
    struct net *net = q->dev->net;
    u32 old;

    if (atomic_load_explicit(&q->state, memory_order_seq_cst) & __QDISC_STATE_DEACTIVATED)
        return;
    old = atomic_fetch_or_explicit(&q->state, __QDISC_STATE_SCHED, memory_order_seq_cst);
    if (old & __QDISC_STATE_SCHED)
        return;
    spin_lock(&net->tx_sched_lock);
    cds_list_add_tail(&q->sched_node, &net->tx_sched);
    atomic_fetch_add(&net->tx_sched_len, 1);
    spin_unlock(&net->tx_sched_lock);
    if (net->ops->timer_armed) /* a sleeping poller must look again */
        net->ops->timer_armed(net, net_now(net));
}

void netif_wake_queue(struct net_device *dev)
{
    struct Qdisc *q;

    rcu_read_lock();
    for (; dev; dev = rcu_dereference(dev->upper)) {
        atomic_store_explicit(&dev->queue_stopped, 0, memory_order_seq_cst);
        q = rcu_dereference(dev->qdisc);
        if (q && READ_ONCE(q->qlen))
            __netif_schedule(q);
    }
    rcu_read_unlock();
}

int net_tx_action(struct net *net)
{
    struct Qdisc *q;
    int n = 0, todo = (int)atomic_load_explicit(&net->tx_sched_len, memory_order_acquire);

    if (!todo)
        return 0;
    rcu_read_lock();
    spin_lock(&net->tx_sched_lock);
    /* Those that raise NET_TX again meanwhile wait for the next time. */
    while (n < todo && !cds_list_empty(&net->tx_sched)) {
        q = cds_list_first_entry(&net->tx_sched, struct Qdisc, sched_node);
        cds_list_del_init(&q->sched_node);
        atomic_fetch_sub(&net->tx_sched_len, 1);
        spin_unlock(&net->tx_sched_lock);
        atomic_fetch_and_explicit(&q->state, ~(u32)__QDISC_STATE_SCHED, memory_order_seq_cst);
        qdisc_run(q);
        n++;
        spin_lock(&net->tx_sched_lock);
    }
    spin_unlock(&net->tx_sched_lock);
    rcu_read_unlock();
    return n;
}
