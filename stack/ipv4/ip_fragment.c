/* SPDX-License-Identifier: MIT */
/* Reassembly (RFC 791 3.2, RFC 815, RFC 1122 3.3.2). An overlap ends the whole datagram, as in Linux since 2018
 * (RFC 5722's rule for IPv6): no honest sender makes one. Limits: ipfrag_high_thresh bytes in all and, unlike Linux,
 * a quarter of that for one sender; ipfrag_time seconds a datagram; ipfrag_max_dist fragments of its sender between two
 * of a datagram (RFC 4963: idents come round); 65535 bytes. */

#include "inet_sock.h"
#include "../core/checksum.h"
#include "../core/rcu.h"
#include <linux/icmp.h>

#define IPQ_BUCKETS 64
#define IPQ_PEERS 256
#define IPQ_PEER_SHARE 4 /* of ipfrag_high_thresh, for one sender */
#define IPQ_MAX_FRAGS 1024 /* a 64 KiB datagram in pieces of 64 bytes; more is an attack on the list walk */

struct ipfrag_cb { /* in skb->cb behind IP's part */
    struct inet_skb_parm h;
    u32 offset, end; /* of the payload within the datagram */
};
#define FRAG_CB(skb) ((struct ipfrag_cb *)(skb)->cb)

struct ipq_peer { /* senders whose addresses collide share one: only stricter */
    u32 rid;      /* fragments so far */
    long mem;
};

struct ipq {
    struct cds_list_head node;
    struct ipq_table *t;
    __be32 saddr, daddr;
    __be16 id;
    u8 proto;
    bool last_in, dead;
    u32 refs;  /* table, timer. Under the table's lock */
    struct ipq_peer *peer;
    u32 rid;   /* peer's, when the last fragment of this one came */
    u32 len;   /* the datagram's payload, as far as known */
    u32 meat;  /* bytes that are here */
    u32 nfrags;
    u32 max_size; /* largest fragment */
    u8 ecn;    /* bit per ECN field seen (RFC 3168 5.3) */
    struct timer_list timer;
    struct sk_buff *head; /* by offset, linked by ->next */
};

struct ipq_table {
    struct net *net;
    spinlock_t lock; /* everything here. Nests: timer base. Nothing is sent or delivered under it */
    u64 secret;
    long mem;
    struct ipq_peer peer[IPQ_PEERS];
    struct cds_list_head bucket[IPQ_BUCKETS];
};

int ipfrag_init(struct net *net)
{
    struct ipq_table *t = calloc(1, sizeof(*t));

    if (!t)
        return -ENOMEM;
    t->net = net;
    spin_lock_init(&t->lock);
    t->secret = net->ops->random(net) | 1;
    for (int i = 0; i < IPQ_BUCKETS; i++)
        CDS_INIT_LIST_HEAD(&t->bucket[i]);
    net->ipq = t;
    return 0;
}

long ipfrag_mem(struct net *net)
{
    long m;

    spin_lock(&net->ipq->lock);
    m = net->ipq->mem;
    spin_unlock(&net->ipq->lock);
    return m;
}

static void ipq_charge(struct ipq *q, long bytes)
{
    q->t->mem += bytes;
    q->peer->mem += bytes;
}

static void ipq_unref(struct ipq *q)
{
    if (--q->refs == 0) {
        del_timer_now(&q->timer); /* stopped already: out of the heap */
        free(q);
    }
}

/* Take its fragments, which are the caller's to free outside the lock. Lock held. */
static struct sk_buff *ipq_empty(struct ipq *q)
{
    struct sk_buff *list = q->head;

    q->head = NULL;
    for (struct sk_buff *s = list; s; s = s->next)
        ipq_charge(q, -(long)s->truesize);
    q->last_in = false;
    q->len = q->meat = q->nfrags = q->max_size = 0;
    q->ecn = 0;
    return list;
}

/* Out of the table; returns its fragments as above. Lock held. */
static struct sk_buff *ipq_kill(struct ipq *q)
{
    struct sk_buff *list;

    if (q->dead)
        return NULL;
    list = ipq_empty(q);
    q->dead = true;
    cds_list_del(&q->node);
    ipq_charge(q, -(long)sizeof(*q));
    if (del_timer(&q->timer))
        ipq_unref(q); /* the timer's; else its handler is on the way and drops it */
    return list;
}

static void free_list(struct sk_buff *list, enum skb_drop_reason reason)
{
    while (list) {
        struct sk_buff *next = list->next;

        list->next = NULL;
        kfree_skb_reason(list, reason);
        list = next;
    }
}

/* Tell the sender when the first fragment is here (RFC 792); without it there is nothing to quote. */
static void ipq_expire(struct timer_list *timer)
{
    struct ipq *q = container_of(timer, struct ipq, timer);
    struct ipq_table *t = q->t;
    struct sk_buff *list;
    bool dead;

    spin_lock(&t->lock);
    dead = q->dead;
    list = ipq_kill(q);
    if (!dead)
        ipq_unref(q); /* the table's */
    if (--q->refs == 0) /* the timer's own; its memory is out of the heap while it runs */
        free(q);
    spin_unlock(&t->lock);
    if (dead)
        return;
    NET_INC_STATS(t->net, IPSTATS_MIB_REASMTIMEOUT);
    NET_INC_STATS(t->net, IPSTATS_MIB_REASMFAILS);
    /* The device may have gone while the fragment waited. */
    rcu_read_lock();
    if (list && FRAG_CB(list)->offset == 0 && dev_get_by_index(t->net, IPCB(list)->iif) == list->dev)
        icmp_send(list, ICMP_TIME_EXCEEDED, ICMP_EXC_FRAGTIME, 0);
    rcu_read_unlock();
    free_list(list, SKB_DROP_REASON_FRAG_REASM_TIMEOUT);
}

void ipfrag_exit(struct net *net)
{
    struct ipq_table *t = net->ipq;

    if (!t)
        return;
    for (int i = 0; i < IPQ_BUCKETS; i++) {
        while (!cds_list_empty(&t->bucket[i])) {
            struct ipq *q = container_of(t->bucket[i].next, struct ipq, node);
            struct sk_buff *list;

            spin_lock(&t->lock);
            list = ipq_kill(q);
            ipq_unref(q);
            spin_unlock(&t->lock);
            free_list(list, SKB_DROP_REASON_FRAG_REASM_TIMEOUT);
        }
    }
    net->ipq = NULL;
    spin_lock_destroy(&t->lock);
    free(t);
}

/* The queue of this datagram, made when there is none. NULL: over a limit or no memory. Lock held. */
static struct ipq *ipq_find(struct ipq_table *t, const struct iphdr *iph, enum skb_drop_reason *reason)
{
    struct ipq_peer *peer = &t->peer[((u64)iph->saddr * (t->secret | 1) >> 32) % IPQ_PEERS];
    const long limit = t->net->ipv4.sysctl_ipfrag_high_thresh;
    u64 h = (((u64)iph->saddr << 32 | iph->daddr) ^ ((u64)iph->id << 8 | iph->protocol)) * (t->secret | 1);
    struct cds_list_head *b = &t->bucket[(h >> 40) % IPQ_BUCKETS];
    struct ipq *q;

    /* Also for a datagram that has begun, or many begun ones could grow without end. */
    *reason = SKB_DROP_REASON_FRAG_REASM_LIMIT;
    if (t->mem > limit)
        return NULL;
    *reason = SKB_DROP_REASON_FRAG_REASM_PEER_LIMIT;
    if (peer->mem > limit / IPQ_PEER_SHARE)
        return NULL;
    cds_list_for_each_entry(q, b, node)
        if (q->id == iph->id && q->saddr == iph->saddr && q->daddr == iph->daddr && q->proto == iph->protocol)
            return q;
    *reason = SKB_DROP_REASON_NOMEM;
    q = calloc(1, sizeof(*q));
    if (!q)
        return NULL;
    q->t = t;
    q->saddr = iph->saddr;
    q->daddr = iph->daddr;
    q->id = iph->id;
    q->proto = iph->protocol;
    q->peer = peer;
    q->refs = 2;
    ipq_charge(q, sizeof(*q));
    timer_setup(&q->timer, t->net, ipq_expire);
    mod_timer(&q->timer, net_now(t->net) + (u64)t->net->ipv4.sysctl_ipfrag_time * NSEC_PER_SEC);
    cds_list_add(&q->node, b);
    return q;
}

/* What became of a fragment. */
enum frag_fate { FRAG_KEPT, FRAG_COMPLETE, FRAG_DUPLICATE, FRAG_EMPTY /* this one goes */,
                 FRAG_CONTRADICTS, FRAG_OVERLAPS /* all go */ };

/* So many fragments of its sender came since the last one of this datagram that the ident may have come round: what is
 * here belongs to another datagram. Begin anew. Returns what is to be freed. Lock held. */
static struct sk_buff *ipq_too_far(struct ipq *q)
{
    const u32 max_dist = (u32)q->t->net->ipv4.sysctl_ipfrag_max_dist, last = q->rid;

    q->rid = ++q->peer->rid;
    if (!max_dist || !q->head || q->rid - last <= max_dist)
        return NULL;
    if (!del_timer(&q->timer)) /* its time is over just now: the handler ends it */
        return NULL;
    mod_timer(&q->timer, net_now(q->t->net) + (u64)q->t->net->ipv4.sysctl_ipfrag_time * NSEC_PER_SEC);
    return ipq_empty(q);
}

/* Insert by offset. Contained in what is here: a duplicate. Any other overlap ends all. Lock held. */
static enum frag_fate ipq_insert(struct ipq *q, struct sk_buff *skb)
{
    const u32 off = FRAG_CB(skb)->offset, end = FRAG_CB(skb)->end;
    struct sk_buff **at = &q->head, *prev = NULL, *run = NULL;

    while (*at && FRAG_CB(*at)->offset <= off) {
        if (!run || FRAG_CB(*at)->offset != FRAG_CB(prev)->end)
            run = *at; /* the first of a gapless run */
        prev = *at;
        at = &prev->next;
    }
    if (prev && FRAG_CB(prev)->end > off) {
        u32 run_end = FRAG_CB(prev)->end;
        for (struct sk_buff *s = *at; s && FRAG_CB(s)->offset == run_end; s = s->next)
            run_end = FRAG_CB(s)->end;
        return end <= run_end ? FRAG_DUPLICATE : FRAG_OVERLAPS;
    }
    if (*at && FRAG_CB(*at)->offset < end)
        return FRAG_OVERLAPS;
    skb->next = *at;
    *at = skb;
    q->meat += end - off;
    q->nfrags++;
    ipq_charge(q, skb->truesize);
    return FRAG_KEPT;
}

/* Checks of one fragment against its datagram, then insert. Lock held. */
static enum frag_fate ipq_queue(struct ipq *q, struct sk_buff *skb)
{
    const struct iphdr *iph = ip_hdr(skb);
    const u32 hlen = iph->ihl * 4u, size = be16toh(iph->tot_len);
    const u32 off = (be16toh(iph->frag_off) & IP_OFFSET) * 8u;
    const bool more = iph->frag_off & htobe16(IP_MF);
    u32 end = off + size - hlen;
    enum frag_fate fate;

    if (!more) {
        if (end < q->len || (q->last_in && end != q->len))
            return FRAG_CONTRADICTS; /* two ends */
    } else {
        if (end & 7) { /* not a multiple of 8: what is over cannot be used */
            end &= ~7u;
            if (pskb_trim(skb, hlen + end - off))
                return FRAG_EMPTY;
        }
        if (end > q->len && q->last_in)
            return FRAG_CONTRADICTS; /* beyond the end */
    }
    if (end <= off)
        return FRAG_EMPTY;
    if (end + sizeof(struct iphdr) > 65535 || q->nfrags >= IPQ_MAX_FRAGS)
        return FRAG_CONTRADICTS; /* with IP's limits */
    FRAG_CB(skb)->offset = off;
    FRAG_CB(skb)->end = end;
    fate = ipq_insert(q, skb);
    if (fate != FRAG_KEPT)
        return fate;
    if (!more)
        q->last_in = true;
    q->len = max(q->len, end);
    q->max_size = max(q->max_size, size);
    q->ecn |= (u8)(1 << (iph->tos & INET_ECN_MASK));
    return q->last_in && q->meat == q->len ? FRAG_COMPLETE : FRAG_KEPT;
}

/* RFC 3168 5.3: one CE marks the whole; CE beside not-ECT is a lie. -1: drop. */
static int frag_ecn(u8 seen, u8 first)
{
    if (!(seen & 1 << INET_ECN_CE))
        return first;
    return seen & 1 << INET_ECN_NOT_ECT ? -1 : INET_ECN_CE;
}

/* One sk_buff of the complete list, which stays the caller's. NULL: *reason says why. */
static struct sk_buff *ipq_reasm(struct net_device *dev, struct sk_buff *list, u32 len, u8 ecn_seen, u32 max_size,
                                 enum skb_drop_reason *reason)
{
    const struct iphdr *first = ip_hdr(list);
    const u32 hlen = first->ihl * 4u;
    const int ecn = frag_ecn(ecn_seen, first->tos & INET_ECN_MASK);
    struct sk_buff *skb;
    struct iphdr *iph;

    *reason = SKB_DROP_REASON_FRAG_BAD;
    if (ecn < 0 || hlen + len > 65535)
        return NULL;
    *reason = SKB_DROP_REASON_NOMEM;
    skb = alloc_skb(dev->net, MAX_HEADER_ROOM + hlen + len);
    if (!skb)
        return NULL;
    skb_reserve(skb, MAX_HEADER_ROOM);
    skb_reset_network_header(skb);
    skb_set_transport_header(skb, (int)hlen);
    iph = skb_put(skb, hlen + len);
    memcpy(iph, first, hlen);
    for (struct sk_buff *s = list; s; s = s->next)
        skb_copy_bits(s, (u32)skb_network_offset(s) + ip_hdr(s)->ihl * 4u, (u8 *)iph + hlen + FRAG_CB(s)->offset,
                      FRAG_CB(s)->end - FRAG_CB(s)->offset);
    iph->tot_len = htobe16((u16)(hlen + len));
    iph->frag_off = 0;
    iph->tos = (u8)((iph->tos & ~INET_ECN_MASK) | ecn);
    iph->check = 0;
    iph->check = ip_fast_csum(iph, iph->ihl);
    skb->dev = dev;
    skb->protocol = list->protocol;
    skb->pkt_type = list->pkt_type;
    skb->tstamp = list->tstamp;
    skb->dst = list->dst;
    list->dst = NULL;
    *IPCB(skb) = *IPCB(list);
    IPCB(skb)->frag_max_size = (u16)max_size;
    return skb;
}

struct sk_buff *ip_defrag(struct net *net, struct sk_buff *skb)
{
    static const enum skb_drop_reason why[] = {[FRAG_DUPLICATE] = SKB_DROP_REASON_DUP_FRAG,
                                               [FRAG_EMPTY] = SKB_DROP_REASON_FRAG_BAD,
                                               [FRAG_CONTRADICTS] = SKB_DROP_REASON_FRAG_BAD,
                                               [FRAG_OVERLAPS] = SKB_DROP_REASON_FRAG_OVERLAP};
    struct ipq_table *t = net->ipq;
    struct sk_buff *list = NULL, *old, *whole;
    struct net_device *dev = skb->dev; /* that of the fragment which completes it is surely alive */
    enum skb_drop_reason reason;
    u32 len = 0, max_size = 0;
    enum frag_fate fate;
    struct ipq *q;
    u8 ecn = 0;

    NET_INC_STATS(net, IPSTATS_MIB_REASMREQDS);
    spin_lock(&t->lock);
    q = ipq_find(t, ip_hdr(skb), &reason);
    if (!q) {
        spin_unlock(&t->lock);
        NET_INC_STATS(net, IPSTATS_MIB_REASMFAILS);
        kfree_skb_reason(skb, reason);
        return NULL;
    }
    old = ipq_too_far(q);
    fate = ipq_queue(q, skb);
    if (fate == FRAG_COMPLETE || fate >= FRAG_CONTRADICTS) {
        len = q->len;
        ecn = q->ecn;
        max_size = q->max_size;
        list = ipq_kill(q);
        ipq_unref(q);
    }
    spin_unlock(&t->lock);

    if (old)
        NET_INC_STATS(net, IPSTATS_MIB_REASMFAILS);
    free_list(old, SKB_DROP_REASON_FRAG_TOO_FAR);
    if (fate == FRAG_KEPT)
        return NULL;
    if (fate != FRAG_COMPLETE) {
        if (fate == FRAG_OVERLAPS)
            NET_INC_STATS(net, IPSTATS_MIB_REASM_OVERLAPS);
        if (fate != FRAG_DUPLICATE)
            NET_INC_STATS(net, IPSTATS_MIB_REASMFAILS);
        kfree_skb_reason(skb, why[fate]);
        free_list(list, why[fate]);
        return NULL;
    }
    whole = ipq_reasm(dev, list, len, ecn, max_size, &reason);
    if (!whole) {
        NET_INC_STATS(net, IPSTATS_MIB_REASMFAILS);
        free_list(list, reason);
        return NULL;
    }
    NET_INC_STATS(net, IPSTATS_MIB_REASMOKS);
    while (list) { /* their bytes live on: not a drop */
        struct sk_buff *next = list->next;

        list->next = NULL;
        consume_skb(list);
        list = next;
    }
    return whole;
}
