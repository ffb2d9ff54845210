/* SPDX-License-Identifier: MIT */
/* pfifo_fast (tc-pfifo_fast(8)): three bands by priority, the first that is not empty goes first. */

#include "../core/sch_generic.h"

#define PFIFO_FAST_BANDS 3
#define TXQUEUELEN 1000 /* packets a band holds */
#define TC_PRIO_MAX 15

static const u8 prio2band[TC_PRIO_MAX + 1] = {1, 2, 2, 2, 1, 2, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1};

struct pfifo_fast_priv {
    struct sk_buff_head band[PFIFO_FAST_BANDS];
};

static int pfifo_fast_init(struct Qdisc *q)
{
    struct pfifo_fast_priv *p = malloc(sizeof(*p));

    if (!p)
        return -ENOMEM;
    for (int i = 0; i < PFIFO_FAST_BANDS; i++)
        __skb_queue_head_init(&p->band[i]);
    q->priv = p;
    q->limit = TXQUEUELEN;
    q->can_bypass = true;
    return 0;
}

int pfifo_fast_change(struct Qdisc *q, u32 limit)
{
    if (q->ops != &pfifo_fast_ops || !limit)
        return -EINVAL;
    spin_lock(&q->lock);
    q->limit = limit;
    spin_unlock(&q->lock);
    return 0;
}

static int pfifo_fast_enqueue(struct sk_buff *skb, struct Qdisc *q)
{
    struct pfifo_fast_priv *p = q->priv;
    struct sk_buff_head *band = &p->band[prio2band[skb->priority & TC_PRIO_MAX]];

    if (band->qlen >= q->limit) {
        kfree_skb_reason(skb, SKB_DROP_REASON_QDISC_DROP);
        return NET_XMIT_DROP;
    }
    __skb_queue_tail(band, skb);
    return NET_XMIT_SUCCESS;
}

static struct sk_buff *pfifo_fast_dequeue(struct Qdisc *q)
{
    struct pfifo_fast_priv *p = q->priv;
    struct sk_buff *skb = NULL;

    for (int i = 0; i < PFIFO_FAST_BANDS && !skb; i++)
        skb = __skb_dequeue(&p->band[i]);
    return skb;
}

static void pfifo_fast_reset(struct Qdisc *q)
{
    struct pfifo_fast_priv *p = q->priv;

    for (int i = 0; i < PFIFO_FAST_BANDS; i++)
        __skb_queue_purge(&p->band[i], SKB_DROP_REASON_QDISC_DROP);
    q->qlen = 0;
    atomic_store(&q->stats.backlog, 0);
}

static void pfifo_fast_destroy(struct Qdisc *q)
{
    free(q->priv);
}

const struct Qdisc_ops pfifo_fast_ops = {
    .id = "pfifo_fast",
    .enqueue = pfifo_fast_enqueue,
    .dequeue = pfifo_fast_dequeue,
    .init = pfifo_fast_init,
    .reset = pfifo_fast_reset,
    .destroy = pfifo_fast_destroy,
};
