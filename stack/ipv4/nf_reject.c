/* SPDX-License-Identifier: MIT */
/* What a rule's `reject` tells the sender: a reset, or an ICMP destination unreachable.
 *
 * At input the sender is the peer. At output it is a socket of ours, and whoever sends for it may hold its lock: so the
 * beginning of the packet is kept, and a timer that is due at once gives the answer to the protocol, where Linux's
 * comes back through lo. It meets no rule on its way. */

#include "tcp.h"
#include "../core/rcu.h"
#include "../core/spinlock.h"
#include <linux/icmp.h>

#define NF_REJECTED_MAX 128 /* kept for their senders to be told; of what is more nobody hears */

static bool is_first_tcp(const struct iphdr *iph)
{
    return iph->protocol == IPPROTO_TCP && !(iph->frag_off & htobe16(IP_OFFSET));
}

static u8 unreach_code(u8 with)
{
    static const u8 codes[NF_REJECT_MAX] = {
        [NF_REJECT_AUTO] = ICMP_PORT_UNREACH, [NF_REJECT_PORT] = ICMP_PORT_UNREACH, [NF_REJECT_HOST] = ICMP_HOST_UNREACH,
        [NF_REJECT_NET] = ICMP_NET_UNREACH,   [NF_REJECT_ADMIN] = ICMP_PKT_FILTERED,
    };
    return codes[with];
}

/* ---- input --------------------------------------------------------------------------------------------------- */

static void nf_reject_in(struct sk_buff *skb, u8 with)
{
    const u32 thoff = (u32)(skb_transport_header(skb) - skb->data);

    if (with > NF_REJECT_RESET || !is_first_tcp(ip_hdr(skb))) {
        if (with != NF_REJECT_RESET)
            __icmp_send(skb, ICMP_DEST_UNREACH, unreach_code(with), 0);
        return;
    }
    if (!pskb_may_pull(skb, thoff + (u32)sizeof(struct tcphdr)) || tcp_hdr(skb)->doff < 5)
        return;
    skb_pull(skb, thoff);
    tcp_v4_send_reset(NULL, skb);
}

/* ---- output -------------------------------------------------------------------------------------------------- */

/* Keep the beginning of skb: IP header and as much of TCP's as an answer needs. */
static void nf_reject_out(struct sk_buff *skb, u8 with)
{
    const u32 n = min(skb->len, ip_hdr(skb)->ihl * 4u + (u32)sizeof(struct tcphdr));
    struct nf_table *t = skb->net->nf;
    struct sk_buff *note;

    if (!skb->dst || READ_ONCE(t->rejected.qlen) >= NF_REJECTED_MAX)
        return;
    note = alloc_skb(skb->net, n);
    if (!note)
        return;
    if (skb_copy_bits(skb, 0, skb_put(note, n), n)) {
        kfree_skb_reason(note, SKB_DROP_REASON_PKT_TOO_SMALL);
        return;
    }
    skb_reset_network_header(note);
    skb_set_transport_header(note, (int)(ip_hdr(note)->ihl * 4u));
    skb_dst_set(note, dst_hold(skb->dst)); /* keeps the device too */
    note->mark = with;
    spin_lock(&t->lock);
    __skb_queue_tail(&t->rejected, note);
    spin_unlock(&t->lock);
    mod_timer(&t->reject_timer, net_now(skb->net));
}

/* The reset that a closed port would send (RFC 9293 3.10.7.1) to what note is the beginning of. Of its payload only the
 * sender knows the length, so a segment without ACK is taken for a SYN. */
static void local_reset(const struct sk_buff *note)
{
    const struct tcphdr *th = tcp_hdr(note);
    const struct net_protocol *tcp = inet_find_protocol(IPPROTO_TCP);
    const u32 len = (u32)(sizeof(struct iphdr) + sizeof(struct tcphdr));
    struct sk_buff *skb = alloc_skb(note->net, len);
    struct tcphdr *rst;
    struct iphdr *iph;

    if (!skb)
        return;
    iph = memset(skb_put(skb, len), 0, len);
    *iph = (struct iphdr){.version = 4, .ihl = 5, .tot_len = htobe16((u16)len), .ttl = 64, .protocol = IPPROTO_TCP,
                          .saddr = ip_hdr(note)->daddr, .daddr = ip_hdr(note)->saddr};
    rst = (struct tcphdr *)(iph + 1);
    rst->source = th->dest;
    rst->dest = th->source;
    rst->doff = sizeof(*rst) / 4;
    rst->rst = 1;
    rst->ack = !th->ack;
    rst->seq = th->ack ? th->ack_seq : 0;
    rst->ack_seq = th->ack ? 0 : htobe32(be32toh(th->seq) + 1);
    skb_reset_network_header(skb);
    skb_pull(skb, sizeof(*iph));
    skb_reset_transport_header(skb);
    skb->dev = note->dst->dev;
    skb->protocol = htobe16(ETH_P_IP);
    skb->pkt_type = PACKET_HOST;
    skb->ip_summed = CHECKSUM_UNNECESSARY;
    tcp->handler(skb);
}

static void nf_reject_timer(struct timer_list *timer)
{
    struct nf_table *t = container_of(timer, struct nf_table, reject_timer);
    struct sk_buff_head todo;
    struct sk_buff *note;

    __skb_queue_head_init(&todo);
    spin_lock(&t->lock);
    while ((note = __skb_dequeue(&t->rejected)) != NULL)
        __skb_queue_tail(&todo, note);
    spin_unlock(&t->lock);
    rcu_read_lock();
    while ((note = __skb_dequeue(&todo)) != NULL) {
        const bool tcp = is_first_tcp(ip_hdr(note)) && note->len >= ip_hdr(note)->ihl * 4u + sizeof(struct tcphdr);

        if (note->mark <= NF_REJECT_RESET && tcp)
            local_reset(note);
        else if (note->mark != NF_REJECT_RESET)
            icmp_local_unreach(note, note->dst->dev, unreach_code((u8)note->mark));
        consume_skb(note);
    }
    rcu_read_unlock();
}

/* ---- both ---------------------------------------------------------------------------------------------------- */

void nf_reject(struct sk_buff *skb, enum nf_inet_hooks_ hook, u8 with)
{
    if (hook == NF_LOCAL_IN)
        nf_reject_in(skb, with);
    else
        nf_reject_out(skb, with);
}

void nf_reject_init(struct net *net)
{
    __skb_queue_head_init(&net->nf->rejected);
    timer_setup(&net->nf->reject_timer, net, nf_reject_timer);
}

void nf_reject_exit(struct net *net)
{
    del_timer_sync(&net->nf->reject_timer);
    __skb_queue_purge(&net->nf->rejected, SKB_DROP_REASON_NETFILTER_DROP);
}
