/* SPDX-License-Identifier: MIT */
/* IPv4 output: header, filter hooks, fragmentation, next hop (WALK.md steps 17 to 20). */

#include "inet_sock.h"
#include "../core/checksum.h"
#include "../core/neighbour.h"
#include "../core/rcu.h"
#include "../core/trace.h"
#include <linux/icmp.h>
#include <linux/if_ether.h>

static struct rtable *skb_rtable(const struct sk_buff *skb) { return (struct rtable *)skb->dst; }

static u8 ip_ttl(const struct net *net, const struct sock *sk, const struct dst_entry *dst)
{
    if (sk && inet_sk(sk)->uc_ttl >= 0)
        return (u8)inet_sk(sk)->uc_ttl;
    return (u8)(dst->hoplimit ? dst->hoplimit : (u32)net->ipv4.sysctl_ip_default_ttl);
}

/* ---- header ------------------------------------------------------------------------------------------------------ */

/* Put the header (and room for optlen bytes of options) in front; id and options are the caller's.
 * NULL without memory for the headroom. */
static struct iphdr *ip_push_header(struct sk_buff *skb, u32 optlen, u8 proto, u8 tos, u8 ttl, bool df, __be32 saddr,
                                    __be32 daddr)
{
    struct iphdr *iph;

    skb_reset_transport_header(skb);
    if (skb_headroom(skb) < sizeof(*iph) + optlen + ETH_HLEN &&
        skb_cow_head(skb, (u32)sizeof(*iph) + optlen + ETH_HLEN))
        return NULL;
    iph = skb_push(skb, (u32)sizeof(*iph) + optlen);
    skb_reset_network_header(skb);
    iph->version = 4;
    iph->ihl = (5 + optlen / 4) & 0xf;
    iph->tos = tos;
    iph->id = 0;
    iph->frag_off = df ? htobe16(IP_DF) : 0;
    iph->ttl = ttl;
    iph->protocol = proto;
    iph->saddr = saddr;
    iph->daddr = daddr;
    return iph;
}

/* A connection numbers its own packets, also those with DF (header compression and GRO expect it to count); others
 * draw from the destination's counter (RFC 6864: unique while it may be fragmented). */
static void ip_select_ident(struct net *net, struct sock *sk, struct iphdr *iph, u32 segs)
{
    if (sk && inet_sk(sk)->inet_daddr)
        iph->id = htobe16((u16)atomic_fetch_add_explicit(&inet_sk(sk)->inet_id, segs, memory_order_relaxed));
    else if (!(iph->frag_off & htobe16(IP_DF)))
        iph->id = htobe16(ip_idents_reserve(net, iph->saddr, iph->daddr, iph->protocol, segs));
}

/* The route for a socket's next packet: skb's own, the socket's cached one, or a new one (then cached).
 * No reference is taken: the socket lock keeps the cache. NULL: no route. */
static struct rtable *ip_queue_route(struct sock *sk, const struct sk_buff *skb)
{
    const struct inet_sock *inet = inet_sk(sk);
    struct rtable *rt = skb_rtable(skb);
    struct flowi4 fl;
    int err;

    if (rt)
        return rt;
    rt = (struct rtable *)__sk_dst_check(sk);
    if (likely(rt))
        return rt;
    fl = (struct flowi4){.daddr = inet->inet_opt && inet->inet_opt->srr ? inet->inet_opt->faddr : inet->inet_daddr,
                         .saddr = inet->inet_saddr,
                         .dport = inet->inet_dport,
                         .sport = inet->inet_sport,
                         .oif = sk->sk_bound_dev_if,
                         .mark = (u32)sk->sk_mark,
                         .tos = inet->tos,
                         .proto = (u8)sk->sk_protocol};
    rt = ip_route_output_flow(sock_net(sk), &fl, &err);
    if (rt)
        sk_setup_caps(sk, &rt->dst);
    return rt;
}

int ip_queue_xmit(struct sock *sk, struct sk_buff *skb)
{
    const struct inet_sock *inet = inet_sk(sk);
    const struct ip_options *opt = inet->inet_opt;
    struct net *net = sock_net(sk);
    struct rtable *rt = ip_queue_route(sk, skb);
    enum skb_drop_reason reason = SKB_DROP_REASON_IP_OUTNOROUTES;
    int ret = -EHOSTUNREACH;
    struct iphdr *iph;

    if (!rt || (opt && opt->is_strictroute && rt_uses_gateway(rt))) {
        NET_INC_STATS(net, IPSTATS_MIB_OUTNOROUTES);
        goto drop;
    }
    if (!skb->dst)
        skb_dst_set(skb, dst_hold(&rt->dst));
    iph = ip_push_header(skb, opt ? opt->optlen : 0, (u8)sk->sk_protocol, inet->tos, ip_ttl(net, sk, &rt->dst),
                         ip_dont_fragment(sk, &rt->dst), inet->inet_saddr, opt && opt->srr ? opt->faddr : inet->inet_daddr);
    if (!iph) {
        reason = SKB_DROP_REASON_NOMEM;
        ret = -ENOBUFS;
        goto drop;
    }
    if (opt && opt->optlen)
        ip_options_build(skb, opt, inet->inet_daddr);
    ip_select_ident(net, sk, iph, max_t(u32, skb_shinfo(skb)->gso_segs, 1));
    skb->priority = (u32)sk->sk_priority;
    skb->mark = (u32)sk->sk_mark;
    return WALK(ip_local_out(net, sk, skb));
drop:
    kfree_skb_reason(skb, reason);
    return ret;
}

int ip_build_and_send_pkt(struct sk_buff *skb, struct net *net, struct sock *sk, struct rtable *rt, __be32 saddr,
                          __be32 daddr, const struct ip_options *opt, u8 tos, u8 ttl)
{
    const u32 optlen = opt ? opt->optlen : 0;
    /* What every network carries (RFC 791: 68 bytes) needs no ident; a SYN-ACK with IP options may. */
    const bool df = !sk || skb->len + sizeof(struct iphdr) + optlen <= IPV4_MIN_MTU || ip_dont_fragment(sk, &rt->dst);
    struct iphdr *iph;

    iph = ip_push_header(skb, optlen, sk ? (u8)sk->sk_protocol : IPPROTO_TCP, tos, ttl ? ttl : ip_ttl(net, sk, &rt->dst),
                         df, saddr, opt && opt->srr ? opt->faddr : daddr);
    if (!iph) {
        kfree_skb_reason(skb, SKB_DROP_REASON_NOMEM);
        return -ENOBUFS;
    }
    if (!df)
        iph->id = htobe16(ip_idents_reserve(net, saddr, daddr, iph->protocol, 1));
    if (optlen)
        ip_options_build(skb, opt, daddr);
    if (sk) {
        skb->priority = (u32)sk->sk_priority;
        if (!skb->mark)
            skb->mark = (u32)sk->sk_mark;
    }
    if (!skb->dst)
        skb_dst_set(skb, dst_hold(&rt->dst));
    return WALK(ip_local_out(net, sk, skb));
}

int ip_send_unicast(struct sk_buff *skb, struct net *net, struct rtable *rt, __be32 saddr, __be32 daddr, u8 proto,
                    u8 tos, u8 ttl, bool df)
{
    struct iphdr *iph = ip_push_header(skb, 0, proto, tos, ttl ? ttl : ip_ttl(net, NULL, &rt->dst), df, saddr, daddr);

    if (!iph) {
        kfree_skb_reason(skb, SKB_DROP_REASON_NOMEM);
        return -ENOBUFS;
    }
    ip_select_ident(net, NULL, iph, 1);
    if (!skb->dst)
        skb_dst_set(skb, dst_hold(&rt->dst));
    return ip_local_out(net, NULL, skb);
}

/* ---- out ----------------------------------------------------------------------------------------------------------- */

/* Role: a packet with a complete header but for length and checksum. Takes skb over. */
inline int ip_local_out(struct net *net, struct sock *sk, struct sk_buff *skb)
{
    struct iphdr *iph = ip_hdr(skb);

    iph->tot_len = htobe16((u16)skb->len);
    iph->check = 0;
    iph->check = ip_fast_csum(iph, iph->ihl);
    skb->protocol = htobe16(ETH_P_IP);
    return WALK(nf_hook(NF_LOCAL_OUT, net, sk, skb, dst_output));
}

/* The last IP step: to the neighbour of the next hop. */
static int ip_finish_output2(struct net *net, struct sock *sk, struct sk_buff *skb)
{
    struct rtable *rt = skb_rtable(skb);
    struct net_device *dev = rt->dst.dev;
    struct neighbour *n;
    int ret;

    if (unlikely(skb_headroom(skb) < dev->hard_header_len || skb_header_cloned(skb)) &&
        skb_cow_head(skb, dev->hard_header_len)) {
        kfree_skb_reason(skb, SKB_DROP_REASON_NOMEM);
        return -ENOMEM;
    }
    if (unlikely(rt->rt_type == RTN_BROADCAST_)) {
        struct ethhdr *eth = skb_push(skb, ETH_HLEN);

        skb_reset_mac_header(skb);
        memcpy(eth->h_dest, dev->broadcast, ETH_ALEN);
        memcpy(eth->h_source, dev->dev_addr, ETH_ALEN);
        eth->h_proto = htobe16(ETH_P_IP);
        return dev_queue_xmit(skb);
    }
    rcu_read_lock();
    n = __ipv4_neigh_lookup_noref(dev, rt->rt_gateway);
    if (unlikely(!n))
        n = __neigh_create(net, rt->rt_gateway, dev);
    if (likely(n)) {
        if (skb->dst_pending_confirm && sk) /* neigh_output() confirms; one answer, one confirmation */
            WRITE_ONCE(sk->sk_dst_pending_confirm, false);
        ret = neigh_output(n, skb, false);
        rcu_read_unlock();
        return ret;
    }
    rcu_read_unlock();
    kfree_skb_reason(skb, SKB_DROP_REASON_NEIGH_CREATEFAIL);
    return -ENOBUFS;
}

static int ip_fragment_or_refuse(struct net *net, struct sock *sk, struct sk_buff *skb, u32 mtu)
{
    if (ip_hdr(skb)->frag_off & htobe16(IP_DF)) {
        NET_INC_STATS(net, IPSTATS_MIB_FRAGFAILS);
        icmp_send(skb, ICMP_DEST_UNREACH, ICMP_FRAG_NEEDED, htobe32(mtu));
        kfree_skb_reason(skb, SKB_DROP_REASON_FRAG_TOO_BIG);
        return -EMSGSIZE;
    }
    return ip_do_fragment(net, sk, skb, ip_finish_output2);
}

/* Length on the wire of the largest segment, IP header included. */
static u32 skb_gso_network_seglen(const struct sk_buff *skb)
{
    const u32 thlen = (u32)(skb_transport_header(skb)[12] >> 4) * 4; /* TCP's data offset */

    return (u32)(skb_transport_header(skb) - skb_network_header(skb)) + thlen + skb_shinfo(skb)->gso_size;
}

/* The path shrank between TCP's cut and now: segment here, then each segment is a packet like others. */
static int ip_finish_output_gso_slow(struct net *net, struct sock *sk, struct sk_buff *skb, u32 mtu)
{
    struct sk_buff *segs, *next;
    int ret = 0;

    skb_push(skb, ETH_HLEN); /* skb_gso_segment() works on frames */
    skb_reset_mac_header(skb);
    memset(skb->data, 0, ETH_HLEN);
    skb->mac_len = ETH_HLEN;
    segs = skb_gso_segment(skb);
    if (!segs) {
        kfree_skb_reason(skb, SKB_DROP_REASON_NOMEM);
        return -ENOMEM;
    }
    consume_skb(skb);
    for (; segs; segs = next) {
        int err;

        next = segs->next;
        segs->next = NULL;
        skb_pull(segs, ETH_HLEN);
        skb_reset_network_header(segs);
        err = segs->len > mtu ? ip_fragment_or_refuse(net, sk, segs, mtu) : ip_finish_output2(net, sk, segs);
        if (err && !ret)
            ret = err;
    }
    return ret;
}

static u32 ip_skb_dst_mtu(const struct sock *sk, const struct sk_buff *skb)
{
    return !sk || ip_sk_use_pmtu(sk) ? dst_mtu(skb->dst) : READ_ONCE(skb->dst->dev->mtu);
}

static inline int ip_finish_output(struct net *net, struct sock *sk, struct sk_buff *skb)
{
    const u32 mtu = ip_skb_dst_mtu(sk, skb);

    if (skb_is_gso(skb)) {
        if (likely(skb_gso_network_seglen(skb) <= mtu))
            return WALK(ip_finish_output2(net, sk, skb));
        if (skb_headroom(skb) < ETH_HLEN && skb_cow_head(skb, ETH_HLEN)) {
            kfree_skb_reason(skb, SKB_DROP_REASON_NOMEM);
            return -ENOMEM;
        }
        return ip_finish_output_gso_slow(net, sk, skb, mtu);
    }
    if (unlikely(skb->len > mtu))
        return ip_fragment_or_refuse(net, sk, skb, mtu);
    return WALK(ip_finish_output2(net, sk, skb));
}

int ip_output(struct net *net, struct sock *sk, struct sk_buff *skb)
{
    NET_INC_STATS(net, IPSTATS_MIB_OUTPKTS);
    NET_ADD_STATS(net, LINUX_MIB_OUTOCTETS, skb->len);
    skb->dev = skb->dst->dev;
    skb->protocol = htobe16(ETH_P_IP);
    return WALK(nf_hook(NF_POST_ROUTING, net, sk, skb, ip_finish_output));
}

/* ---- fragmentation ----------------------------------------------------------------------------------------------------- */

/* One fragment: header of the whole, payload [off, off + len). NULL without memory. */
static struct sk_buff *ip_make_fragment(struct sk_buff *skb, u32 hlen, u32 off, u32 len, bool more)
{
    struct sk_buff *f = alloc_skb(skb->net, MAX_HEADER_ROOM + hlen + len);
    const struct iphdr *whole = ip_hdr(skb);
    u16 frag = be16toh(whole->frag_off);
    struct iphdr *iph;

    if (!f)
        return NULL;
    skb_reserve(f, MAX_HEADER_ROOM);
    iph = skb_put(f, hlen + len);
    skb_reset_network_header(f);
    skb_set_transport_header(f, (int)hlen);
    memcpy(iph, whole, hlen);
    if (skb_copy_bits(skb, hlen + off, (u8 *)iph + hlen, len)) {
        kfree_skb_reason(f, SKB_DROP_REASON_PKT_TOO_SMALL);
        return NULL;
    }
    if (off)
        ip_options_fragment((u8 *)(iph + 1), (int)(hlen - sizeof(*iph)));
    /* skb may be a fragment itself: its offset and MF go on counting. */
    frag = (u16)((frag & ~IP_OFFSET) | ((frag & IP_OFFSET) + (off >> 3)));
    if (more)
        frag |= IP_MF;
    iph->frag_off = htobe16(frag);
    iph->tot_len = htobe16((u16)(hlen + len));
    iph->check = 0;
    iph->check = ip_fast_csum(iph, iph->ihl);
    f->dev = skb->dev;
    f->protocol = skb->protocol;
    f->pkt_type = skb->pkt_type;
    f->priority = skb->priority;
    f->mark = skb->mark;
    f->tstamp = skb->tstamp;
    if (skb->dst)
        skb_dst_set(f, dst_hold(skb->dst));
    return f;
}

int ip_do_fragment(struct net *net, struct sock *sk, struct sk_buff *skb,
                   int (*output)(struct net *, struct sock *, struct sk_buff *))
{
    const u32 hlen = ip_hdr(skb)->ihl * 4u, total = skb->len - hlen;
    u32 mtu = dst_mtu(skb->dst), room, off, len;
    int err = 0;

    if (skb->ip_summed == CHECKSUM_PARTIAL && skb_checksum_help(skb)) {
        kfree_skb_reason(skb, SKB_DROP_REASON_NOMEM);
        return -ENOMEM;
    }
    if (mtu < hlen + 8)
        mtu = hlen + 8; /* RFC 791: every network carries 68 */
    room = (mtu - hlen) & ~7u;
    for (off = 0; off < total; off += len) {
        struct sk_buff *f;

        len = min(room, total - off);
        f = ip_make_fragment(skb, hlen, off, len, off + len < total);
        if (!f) {
            err = -ENOMEM;
            break;
        }
        err = output(net, sk, f);
        if (err)
            break;
        NET_INC_STATS(net, IPSTATS_MIB_FRAGCREATES);
    }
    if (err) {
        NET_INC_STATS(net, IPSTATS_MIB_FRAGFAILS);
        kfree_skb_reason(skb, SKB_DROP_REASON_NOMEM);
        return err;
    }
    NET_INC_STATS(net, IPSTATS_MIB_FRAGOKS);
    consume_skb(skb);
    return 0;
}
