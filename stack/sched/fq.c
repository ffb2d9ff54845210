/* SPDX-License-Identifier: MIT */
/* fq (tc-fq(8)): one queue per flow, served in turn by deficit round robin, new flows first; a flow whose
 * next packet may not leave yet (its earliest departure time, or the socket's pacing rate) sleeps until it
 * may, and a watchdog wakes the discipline for the first of them. */

#include "../core/sch_generic.h"
#include "../core/sock.h"

#define FQ_BUCKETS 1024
#define FQ_LIMIT 10000     /* packets in all */
#define FQ_FLOW_LIMIT 100  /* packets of one flow */
#define FQ_REFILL (40 * NSEC_PER_MSEC) /* a flow idle this long starts with fresh credit */
#define FQ_HORIZON (10 * NSEC_PER_SEC) /* what departs later is dropped (horizon_drop, Linux's default) */
#define TC_PRIO_CONTROL 7
/* Minisocks (TIME_WAIT, NEW_SYN_RECV) have no pacing status; a listener's SYN-ACKs are not paced. */
#define FQ_NOT_FULL (1u << TCP_TIME_WAIT | 1u << TCP_NEW_SYN_RECV | 1u << TCP_LISTEN)

struct fq_flow {
    struct cds_list_head node;  /* in new_flows, old_flows or throttled */
    struct fq_flow *hash_next;
    const void *key;            /* the sock, or the hash as a pointer */
    struct sk_buff_head queue;
    s32 credit;
    u64 time_next_packet;
    u64 age;                    /* when it fell empty */
    enum { FLOW_DETACHED, FLOW_ACTIVE, FLOW_THROTTLED } state;
};

struct fq_priv {
    struct fq_flow *bucket[FQ_BUCKETS];
    struct cds_list_head new_flows, old_flows;
    struct cds_list_head throttled; /* by time_next_packet */
    struct fq_flow internal;        /* priority control traffic: never throttled */
    u32 quantum, initial_quantum, flow_limit, flows;
    u64 flow_max_rate;              /* bytes/s, ~0: none */
};

static void flow_init(struct fq_flow *f, const void *key, s32 credit)
{
    memset(f, 0, sizeof(*f));
    CDS_INIT_LIST_HEAD(&f->node);
    __skb_queue_head_init(&f->queue);
    f->key = key;
    f->credit = credit;
}

static int fq_init(struct Qdisc *q)
{
    struct fq_priv *p = calloc(1, sizeof(*p));
    u32 frame = READ_ONCE(q->dev->mtu) + q->dev->hard_header_len;

    if (!p)
        return -ENOMEM;
    CDS_INIT_LIST_HEAD(&p->new_flows);
    CDS_INIT_LIST_HEAD(&p->old_flows);
    CDS_INIT_LIST_HEAD(&p->throttled);
    flow_init(&p->internal, NULL, 0);
    p->quantum = 2 * frame;
    p->initial_quantum = 10 * frame;
    p->flow_limit = FQ_FLOW_LIMIT;
    p->flow_max_rate = ~(u64)0;
    q->limit = FQ_LIMIT;
    q->priv = p;
    return 0;
}

int fq_change(struct Qdisc *q, const struct fq_opt *opt)
{
    struct fq_priv *p = q->priv;

    if (q->ops != &fq_ops)
        return -EINVAL;
    spin_lock(&q->lock);
    p->flow_max_rate = opt->maxrate ? opt->maxrate : p->flow_max_rate;
    p->flow_limit = opt->flow_limit ? opt->flow_limit : p->flow_limit;
    p->quantum = opt->quantum ? opt->quantum : p->quantum;
    p->initial_quantum = opt->initial_quantum ? opt->initial_quantum : p->initial_quantum;
    q->limit = opt->limit ? opt->limit : q->limit;
    spin_unlock(&q->lock);
    return 0;
}

static struct fq_flow **bucket_of(struct fq_priv *p, const void *key)
{
    return &p->bucket[((u64)(uintptr_t)key * 0x9e3779b97f4a7c15ull) >> 54];
}

/* Forget the flows of a chain that have been empty long enough for a fresh one to be the same. */
static void flow_gc(struct fq_priv *p, struct fq_flow **chain, u64 now)
{
    struct fq_flow *f;

    while ((f = *chain) != NULL) {
        if (f->state == FLOW_DETACHED && now >= f->age + FQ_REFILL && now >= f->time_next_packet) {
            *chain = f->hash_next;
            free(f);
            p->flows--;
        } else {
            chain = &f->hash_next;
        }
    }
}

static struct fq_flow *fq_classify(struct sk_buff *skb, struct fq_priv *p, u64 now)
{
    const void *key = skb->sk ? (const void *)skb->sk : (const void *)(uintptr_t)((u64)skb->hash << 1 | 1);
    struct fq_flow **chain, *f;

    if ((skb->priority & 15) == TC_PRIO_CONTROL)
        return &p->internal;
    chain = bucket_of(p, key);
    for (f = *chain; f; f = f->hash_next)
        if (f->key == key)
            return f;
    flow_gc(p, chain, now);
    f = malloc(sizeof(*f));
    if (!f)
        return &p->internal;
    /* From now on this discipline holds the socket's packets until their time: TCP need not pace itself. */
    if (skb->sk && !(1u << skb->sk->sk_state & FQ_NOT_FULL))
        WRITE_ONCE(skb->sk->sk_pacing_status, SK_PACING_FQ);
    flow_init(f, key, (s32)p->initial_quantum);
    f->hash_next = *chain;
    *chain = f;
    p->flows++;
    return f;
}

static int fq_enqueue(struct sk_buff *skb, struct Qdisc *q)
{
    struct fq_priv *p = q->priv;
    u64 now = net_now(q->dev->net);
    struct fq_flow *f;

    if (q->qlen >= q->limit || skb->tstamp > now + FQ_HORIZON)
        goto drop;
    f = fq_classify(skb, p, now);
    if (f != &p->internal) {
        if (f->queue.qlen >= p->flow_limit)
            goto drop;
        if (f->state == FLOW_DETACHED) {
            if (now >= f->age + FQ_REFILL)
                f->credit = max(f->credit, (s32)p->quantum);
            cds_list_add_tail(&f->node, &p->new_flows);
            f->state = FLOW_ACTIVE;
        }
    }
    __skb_queue_tail(&f->queue, skb);
    return NET_XMIT_SUCCESS;

drop:
    kfree_skb_reason(skb, SKB_DROP_REASON_QDISC_DROP);
    return NET_XMIT_DROP;
}

static void flow_throttle(struct fq_priv *p, struct fq_flow *f)
{
    struct cds_list_head *pos;

    cds_list_del(&f->node);
    f->state = FLOW_THROTTLED;
    /* Mostly the latest comes last. */
    for (pos = p->throttled.prev; pos != &p->throttled; pos = pos->prev)
        if (caa_container_of(pos, struct fq_flow, node)->time_next_packet <= f->time_next_packet)
            break;
    cds_list_add(&f->node, pos);
}

static void unthrottle(struct fq_priv *p, u64 now)
{
    struct fq_flow *f;

    while (!cds_list_empty(&p->throttled)) {
        f = cds_list_first_entry(&p->throttled, struct fq_flow, node);
        if (f->time_next_packet > now)
            return;
        cds_list_del(&f->node);
        cds_list_add_tail(&f->node, &p->old_flows);
        f->state = FLOW_ACTIVE;
    }
}

/* What sending skb now costs the flow: the time its bytes take at the allowed rate. With a departure time of
 * its own (TCP paces itself by them) only the discipline's rate counts. */
static void flow_charge(struct fq_priv *p, struct fq_flow *f, const struct sk_buff *skb, u64 now)
{
    u64 rate = p->flow_max_rate, cost;

    if (!skb->tstamp && skb->sk)
        rate = min(rate, READ_ONCE(skb->sk->sk_pacing_rate));
    if (rate == ~(u64)0 || !rate)
        return;
    cost = min((u64)qdisc_pkt_len(skb) * NSEC_PER_SEC / rate, NSEC_PER_SEC);
    if (f->time_next_packet) /* the watchdog came late: give the delay back, up to half of it */
        cost -= min(cost / 2, now - min(now, f->time_next_packet));
    f->time_next_packet = now + cost;
}

static struct fq_flow *next_flow(struct fq_priv *p, struct cds_list_head **head)
{
    *head = !cds_list_empty(&p->new_flows) ? &p->new_flows : &p->old_flows;
    return cds_list_empty(*head) ? NULL : cds_list_first_entry(*head, struct fq_flow, node);
}

static struct sk_buff *fq_dequeue(struct Qdisc *q)
{
    struct fq_priv *p = q->priv;
    u64 now = net_now(q->dev->net), when;
    struct sk_buff *skb = __skb_dequeue(&p->internal.queue);
    struct cds_list_head *head;
    struct fq_flow *f;

    if (skb)
        return skb;
    unthrottle(p, now);
    while ((f = next_flow(p, &head)) != NULL) {
        if (f->credit <= 0) {
            f->credit += (s32)p->quantum;
            cds_list_del(&f->node);
            cds_list_add_tail(&f->node, &p->old_flows);
            continue;
        }
        skb = skb_peek(&f->queue);
        if (!skb) {
            cds_list_del(&f->node);
            /* A new flow stands once behind the old ones, so that it cannot be new over and over. */
            if (head == &p->new_flows && !cds_list_empty(&p->old_flows)) {
                cds_list_add_tail(&f->node, &p->old_flows);
            } else {
                CDS_INIT_LIST_HEAD(&f->node);
                f->state = FLOW_DETACHED;
                f->age = now;
            }
            continue;
        }
        when = max(skb->tstamp, f->time_next_packet);
        if (when > now) {
            f->time_next_packet = when;
            flow_throttle(p, f);
            continue;
        }
        __skb_unlink(skb, &f->queue);
        f->credit -= (s32)qdisc_pkt_len(skb);
        flow_charge(p, f, skb, now);
        return skb;
    }
    if (!cds_list_empty(&p->throttled))
        qdisc_watchdog_schedule(q, cds_list_first_entry(&p->throttled, struct fq_flow, node)->time_next_packet);
    return NULL;
}

static void fq_reset(struct Qdisc *q)
{
    struct fq_priv *p = q->priv;
    struct fq_flow *f;

    __skb_queue_purge(&p->internal.queue, SKB_DROP_REASON_QDISC_DROP);
    for (int i = 0; i < FQ_BUCKETS; i++) {
        while ((f = p->bucket[i]) != NULL) {
            p->bucket[i] = f->hash_next;
            __skb_queue_purge(&f->queue, SKB_DROP_REASON_QDISC_DROP);
            free(f);
        }
    }
    CDS_INIT_LIST_HEAD(&p->new_flows);
    CDS_INIT_LIST_HEAD(&p->old_flows);
    CDS_INIT_LIST_HEAD(&p->throttled);
    p->flows = 0;
    q->qlen = 0;
    atomic_store(&q->stats.backlog, 0);
}

static void fq_destroy(struct Qdisc *q)
{
    free(q->priv);
}

const struct Qdisc_ops fq_ops = {
    .id = "fq",
    .enqueue = fq_enqueue,
    .dequeue = fq_dequeue,
    .init = fq_init,
    .reset = fq_reset,
    .destroy = fq_destroy,
};
