/* SPDX-License-Identifier: MIT */
/* Token bucket (tc-tbf(8)): tokens are nanoseconds of sending time; a packet goes when its own time is there.
 * Before tbf_change() it is a plain fifo without a rate. */

#include "../core/sch_generic.h"

#define TBF_LIMIT (1u << 20) /* bytes waiting, default */

struct tbf_priv {
    struct sk_buff_head queue;
    u64 rate;     /* bytes/s, 0: none */
    u64 buffer;   /* ns: the burst at that rate */
    u64 tokens;   /* ns */
    u64 t_c;      /* when tokens was right */
    u32 max_size; /* the largest packet that can ever go */
    u32 bytes;    /* waiting */
};

static u64 sending_time(const struct tbf_priv *p, u32 len)
{
    return (u64)len * NSEC_PER_SEC / p->rate;
}

static int tbf_init(struct Qdisc *q)
{
    struct tbf_priv *p = calloc(1, sizeof(*p));

    if (!p)
        return -ENOMEM;
    __skb_queue_head_init(&p->queue);
    p->max_size = UINT32_MAX;
    q->limit = TBF_LIMIT;
    q->priv = p;
    return 0;
}

int tbf_change(struct Qdisc *q, u64 rate, u32 burst, u32 limit)
{
    struct tbf_priv *p = q->priv;

    if (q->ops != &tbf_ops || !rate || !burst)
        return -EINVAL;
    spin_lock(&q->lock);
    p->rate = rate;
    p->buffer = p->tokens = sending_time(p, burst);
    p->max_size = burst;
    p->t_c = net_now(q->dev->net);
    q->limit = limit ? limit : max(burst, TBF_LIMIT);
    spin_unlock(&q->lock);
    return 0;
}

static int tbf_queue(struct sk_buff *skb, struct Qdisc *q)
{
    struct tbf_priv *p = q->priv;
    u32 len = qdisc_pkt_len(skb);

    if (len > p->max_size || p->bytes + len > q->limit) {
        kfree_skb_reason(skb, SKB_DROP_REASON_QDISC_DROP);
        return NET_XMIT_DROP;
    }
    p->bytes += len;
    __skb_queue_tail(&p->queue, skb);
    return NET_XMIT_SUCCESS;
}

/* Larger than the bucket, but its segments are not: queue them. The core counts one packet for the call. */
static int tbf_segment(struct sk_buff *skb, struct Qdisc *q)
{
    struct sk_buff *segs = skb_gso_segment(skb), *next;
    u32 queued = 0, bytes = 0, whole = qdisc_pkt_len(skb);

    if (!segs) {
        kfree_skb_reason(skb, SKB_DROP_REASON_NOMEM);
        return NET_XMIT_DROP;
    }
    for (; segs; segs = next) {
        u32 len = qdisc_pkt_len(segs);

        next = segs->next;
        segs->next = NULL;
        if (tbf_queue(segs, q) == NET_XMIT_SUCCESS) {
            queued++;
            bytes += len;
        }
    }
    if (!queued) {
        kfree_skb_reason(skb, SKB_DROP_REASON_QDISC_DROP);
        return NET_XMIT_DROP;
    }
    WRITE_ONCE(q->qlen, q->qlen + queued - 1);
    atomic_fetch_add(&q->stats.backlog, (u64)bytes - whole);
    consume_skb(skb);
    return NET_XMIT_SUCCESS;
}

static int tbf_enqueue(struct sk_buff *skb, struct Qdisc *q)
{
    struct tbf_priv *p = q->priv;

    if (skb_is_gso(skb) && qdisc_pkt_len(skb) > p->max_size)
        return tbf_segment(skb, q);
    return tbf_queue(skb, q);
}

static struct sk_buff *tbf_dequeue(struct Qdisc *q)
{
    struct tbf_priv *p = q->priv;
    struct sk_buff *skb = skb_peek(&p->queue);
    u64 now, need;

    if (!skb)
        return NULL;
    if (p->rate) {
        now = net_now(q->dev->net);
        p->tokens = min(p->tokens + (now - p->t_c), p->buffer);
        p->t_c = now;
        need = sending_time(p, qdisc_pkt_len(skb));
        if (need > p->tokens) {
            qdisc_watchdog_schedule(q, now + need - p->tokens);
            return NULL;
        }
        p->tokens -= need;
    }
    __skb_unlink(skb, &p->queue);
    p->bytes -= qdisc_pkt_len(skb);
    return skb;
}

static void tbf_reset(struct Qdisc *q)
{
    struct tbf_priv *p = q->priv;

    __skb_queue_purge(&p->queue, SKB_DROP_REASON_QDISC_DROP);
    p->bytes = 0;
    q->qlen = 0;
    atomic_store(&q->stats.backlog, 0);
}

static void tbf_destroy(struct Qdisc *q)
{
    free(q->priv);
}

const struct Qdisc_ops tbf_ops = {
    .id = "tbf",
    .enqueue = tbf_enqueue,
    .dequeue = tbf_dequeue,
    .init = tbf_init,
    .reset = tbf_reset,
    .destroy = tbf_destroy,
};
