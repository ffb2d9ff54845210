/* SPDX-License-Identifier: MIT */
/* Generic receive offload, TCP over IPv4. Merged is only what means the same afterwards: the next bytes of the
 * flow, with equal acknowledgement, options (timestamps too), TOS, TTL and flags, and a verified checksum;
 * PSH, FIN, a shorter segment or 64 KiB end a packet (Linux: inet_gro_receive, tcp_gro_receive). */

#include "gro.h"
#include "checksum.h"
#include <linux/ip.h>
#include <linux/tcp.h>
#include <netinet/in.h>

#define GRO_FLOWS 8
enum { F_FIN = 1, F_SYN = 2, F_RST = 4, F_PSH = 8, F_ACK = 16, F_URG = 32, F_CWR = 128 };

struct gro_flow {
    struct sk_buff *skb; /* NULL: free */
    pthread_t owner;     /* the polling thread: a device's queues may be polled by several */
    u32 next_seq;
    u16 mss, segs;
    u16 id_last;
    bool id_fixed;       /* all identifications equal (RFC 6864 atomic datagrams) */
};

struct gro_state {
    spinlock_t lock; /* the flows; nothing nests in it, nothing is delivered under it */
    struct gro_flow flow[GRO_FLOWS];
    u32 held;
};

/* A received segment, lengths checked. */
struct gro_seg {
    struct iphdr *iph;
    struct tcphdr *th;
    u32 hlen;    /* IP and TCP header */
    u32 len;     /* payload */
    u8 flags;
    bool usable; /* may be merged or held */
};

struct gro_list {
    struct sk_buff *head, **tail;
};

int gro_init(struct net_device *dev)
{
    struct gro_state *g = calloc(1, sizeof(*g));

    if (!g)
        return -ENOMEM;
    spin_lock_init(&g->lock);
    dev->gro = g;
    return 0;
}

void gro_exit(struct net_device *dev)
{
    struct gro_state *g = dev->gro;

    if (!g)
        return;
    dev->gro = NULL;
    for (int i = 0; i < GRO_FLOWS; i++)
        kfree_skb_reason(g->flow[i].skb, SKB_DROP_REASON_DEV_READY);
    spin_lock_destroy(&g->lock);
    free(g);
}

static void list_add(struct gro_list *l, struct sk_buff *skb)
{
    skb->next = NULL;
    *l->tail = skb;
    l->tail = &skb->next;
}

static u8 tcp_flags(const struct tcphdr *th)
{
    return ((const u8 *)th)[13];
}

/* Sets UNNECESSARY when the checksum holds. A partial one (the pseudo-header sum alone) holds on a device
 * without a wire; it is looked at first there, because it spares a pass over a large packet. */
static bool gro_checksum_ok(struct sk_buff *skb, const struct gro_seg *s)
{
    u32 thoff = s->iph->ihl * 4u, l4len = s->hlen - thoff + s->len;
    wsum pseudo;

    if (skb->ip_summed == CHECKSUM_UNNECESSARY)
        return true;
    pseudo = csum_tcpudp_nofold(s->iph->saddr, s->iph->daddr, l4len, IPPROTO_TCP, 0);
    if (!(skb->dev->features & NETIF_F_NOWIRE) ||
        (skb->ip_summed != CHECKSUM_PARTIAL && s->th->check != (u16)~csum_fold(pseudo)))
        if (csum_fold(skb_checksum(skb, thoff, l4len, pseudo)) != 0)
            return false;
    skb->ip_summed = CHECKSUM_UNNECESSARY;
    skb->csum_valid = 1;
    return true;
}

/* False: not TCP over plain IPv4, pass it on. */
static bool gro_parse(struct sk_buff *skb, struct gro_seg *s)
{
    struct iphdr *iph;
    u32 tot;

    if (skb->protocol != htobe16(ETH_P_IP) || !pskb_may_pull(skb, sizeof(*iph) + sizeof(struct tcphdr)))
        return false;
    iph = (struct iphdr *)skb->data;
    tot = be16toh(iph->tot_len);
    if (iph->version != 4 || iph->ihl != 5 || iph->protocol != IPPROTO_TCP || tot > skb->len ||
        (be16toh(iph->frag_off) & 0x3fff))
        return false;
    s->th = (struct tcphdr *)(iph + 1);
    s->hlen = sizeof(*iph) + s->th->doff * 4u;
    if (s->th->doff < 5 || s->hlen > tot || !pskb_may_pull(skb, s->hlen))
        return false;
    s->iph = (struct iphdr *)skb->data;
    s->th = (struct tcphdr *)(s->iph + 1);
    s->len = tot - s->hlen;
    s->flags = tcp_flags(s->th);
    /* A packet above the MTU is a super-frame already, of segments whose size is not known. */
    s->usable = s->len && tot == skb->len && tot <= READ_ONCE(skb->dev->mtu) && !skb_is_gso(skb) &&
                !(s->flags & (F_SYN | F_RST | F_URG)) && (s->flags & F_ACK) && !skb_cloned(skb) &&
                !skb->shinfo->frag_list && (skb_headlen(skb) == s->hlen || skb->shinfo->head_page) &&
                ip_fast_csum(s->iph, 5) == 0 && gro_checksum_ok(skb, s);
    return true;
}

static struct gro_flow *gro_find(struct gro_state *g, const struct gro_seg *s)
{
    pthread_t self = pthread_self();

    for (int i = 0; i < GRO_FLOWS; i++) {
        struct sk_buff *p = g->flow[i].skb;
        const struct iphdr *ip;
        const struct tcphdr *th;

        if (!p || !pthread_equal(g->flow[i].owner, self))
            continue;
        ip = (const struct iphdr *)p->data;
        th = (const struct tcphdr *)(ip + 1);
        if (ip->saddr == s->iph->saddr && ip->daddr == s->iph->daddr && th->source == s->th->source &&
            th->dest == s->th->dest)
            return &g->flow[i];
    }
    return NULL;
}

/* Is the segment the flow's next, and equal in all that a merge would hide? */
static bool gro_can_merge(const struct gro_flow *f, const struct gro_seg *s, const struct sk_buff *skb)
{
    const struct iphdr *ip = (const struct iphdr *)f->skb->data;
    const struct tcphdr *th = (const struct tcphdr *)(ip + 1);
    u16 id = be16toh(s->iph->id);
    bool id_ok;

    if (f->segs == 1) /* the second decides how the identifications go */
        id_ok = id == (u16)(f->id_last + 1) || (id == f->id_last && (ip->frag_off & htobe16(0x4000)));
    else
        id_ok = id == (u16)(f->id_last + (f->id_fixed ? 0 : 1));
    return id_ok && s->usable && be32toh(s->th->seq) == f->next_seq && s->th->ack_seq == th->ack_seq &&
           s->th->window == th->window && s->len <= f->mss && ip->tos == s->iph->tos && ip->ttl == s->iph->ttl &&
           ip->frag_off == s->iph->frag_off && th->doff == s->th->doff && !(s->flags & F_CWR) &&
           !((s->flags ^ tcp_flags(th)) & ~(F_CWR | F_FIN | F_PSH)) &&
           !memcmp(th + 1, s->th + 1, th->doff * 4u - sizeof(*th)) && f->skb->len + s->len <= 65535 &&
           f->skb->shinfo->nr_frags + skb->shinfo->nr_frags + 1 <= MAX_SKB_FRAGS;
}

/* The segment's payload becomes frags of the held packet; its sk_buff ends. */
static void gro_merge(struct gro_flow *f, const struct gro_seg *s, struct sk_buff *skb)
{
    struct sk_buff *p = f->skb;
    struct skb_shared_info *si = skb->shinfo;
    struct tcphdr *th = (struct tcphdr *)(p->data + sizeof(struct iphdr));
    u32 lin = skb_headlen(skb) - s->hlen;

    f->id_last = be16toh(s->iph->id);
    if (f->segs == 1)
        f->id_fixed = s->iph->id == ((struct iphdr *)p->data)->id;
    f->segs++;
    f->next_seq += s->len;
    ((u8 *)th)[13] |= s->flags & (F_FIN | F_PSH);
    p->truesize += skb->truesize > SKB_OVERHEAD ? skb->truesize - SKB_OVERHEAD : 0;
    p->tstamp = skb->tstamp;
    if (lin) {
        get_page(si->head_page);
        skb_add_rx_frag(p, si->head_page, (u32)(skb->data + s->hlen - si->head_page->addr), lin, 0);
    }
    for (int i = 0; i < si->nr_frags; i++)
        skb_add_rx_frag(p, si->frags[i].page, si->frags[i].off, si->frags[i].size, 0);
    si->nr_frags = 0; /* their references have moved */
    skb->len -= skb->data_len;
    skb->data_len = 0;
    consume_skb(skb);
}

/* Make the held packet whole and give it out. */
static void gro_complete(struct gro_state *g, struct gro_flow *f, struct gro_list *out)
{
    struct sk_buff *p = f->skb;
    struct iphdr *ip = (struct iphdr *)p->data;

    if (f->segs > 1) {
        ip->tot_len = htobe16((u16)p->len);
        ip->check = 0;
        ip->check = ip_fast_csum(ip, 5);
        p->shinfo->gso_size = f->mss;
        p->shinfo->gso_segs = f->segs;
        p->shinfo->gso_type = SKB_GSO_TCPV4;
        NET_ADD_STATS(p->net, SLUICE_MIB_GRO_MERGED, f->segs - 1);
    }
    f->skb = NULL;
    g->held--;
    list_add(out, p);
}

static void gro_hold(struct gro_state *g, const struct gro_seg *s, struct sk_buff *skb, struct gro_list *out)
{
    struct gro_flow *f = NULL;
    int i;

    for (i = 0; i < GRO_FLOWS && !f; i++)
        if (!g->flow[i].skb)
            f = &g->flow[i];
    for (i = 0; i < GRO_FLOWS && !f; i++)
        if (pthread_equal(g->flow[i].owner, pthread_self())) {
            f = &g->flow[i];
            gro_complete(g, f, out);
        }
    if (!f) { /* all belong to other threads' queues */
        list_add(out, skb);
        return;
    }
    *f = (struct gro_flow){
        .skb = skb,
        .owner = pthread_self(),
        .next_seq = be32toh(s->th->seq) + s->len,
        .mss = (u16)s->len,
        .segs = 1,
        .id_last = be16toh(s->iph->id),
    };
    g->held++;
}

struct sk_buff *dev_gro_receive(struct net_device *dev, struct sk_buff *skb)
{
    struct gro_list out = {NULL, &out.head};
    struct gro_state *g = dev->gro;
    struct gro_flow *f;
    struct gro_seg s;

    skb->next = NULL;
    if (!g || !gro_parse(skb, &s))
        return skb;
    spin_lock(&g->lock);
    f = gro_find(g, &s);
    if (f && gro_can_merge(f, &s, skb)) {
        gro_merge(f, &s, skb);
        /* s points into the freed segment; what is needed of it is a copy. */
        if ((s.flags & (F_FIN | F_PSH)) || s.len < f->mss || f->skb->len + f->mss > 65535)
            gro_complete(g, f, &out);
    } else {
        if (f)
            gro_complete(g, f, &out);
        if (s.usable && !(s.flags & (F_FIN | F_PSH | F_CWR)))
            gro_hold(g, &s, skb, &out);
        else
            list_add(&out, skb);
    }
    spin_unlock(&g->lock);
    return out.head;
}

struct sk_buff *gro_flush_own(struct net_device *dev)
{
    struct gro_list out = {NULL, &out.head};
    struct gro_state *g = dev->gro;

    if (!g || !READ_ONCE(g->held))
        return NULL;
    spin_lock(&g->lock);
    for (int i = 0; i < GRO_FLOWS; i++)
        if (g->flow[i].skb && pthread_equal(g->flow[i].owner, pthread_self()))
            gro_complete(g, &g->flow[i], &out);
    spin_unlock(&g->lock);
    return out.head;
}
