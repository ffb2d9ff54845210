/* SPDX-License-Identifier: MIT */
/* IPv4 input: one check at the door (RFC 791, RFC 1122 3.2.1), then to the transport protocol. There is no
 * forwarding: what is not for us is dropped. */

#include "inet_sock.h"
#include "../core/checksum.h"
#include "../core/rcu.h"
#include "../core/trace.h"
#include <linux/icmp.h>

/* Header checks; skb->data at the header. NOT_SPECIFIED: fine, and skb ends where the datagram does. */
static enum skb_drop_reason ip_check_header(struct net *net, struct sk_buff *skb)
{
    const struct iphdr *iph;
    u32 hlen, len;

    if (!pskb_may_pull(skb, sizeof(*iph)))
        return SKB_DROP_REASON_PKT_TOO_SMALL;
    iph = (const struct iphdr *)skb->data;
    if (iph->version != 4 || iph->ihl < 5)
        return SKB_DROP_REASON_IP_INHDR;
    hlen = iph->ihl * 4u;
    if (!pskb_may_pull(skb, hlen))
        return SKB_DROP_REASON_PKT_TOO_SMALL;
    iph = (const struct iphdr *)skb->data;
    if (ip_fast_csum(iph, iph->ihl)) {
        NET_INC_STATS(net, LINUX_MIB_CSUMERRORS);
        return SKB_DROP_REASON_IP_CSUM;
    }
    len = be16toh(iph->tot_len);
    if (len < hlen)
        return SKB_DROP_REASON_IP_INHDR;
    if (skb->len < len)
        return SKB_DROP_REASON_PKT_TOO_SMALL;
    if (skb->len > len) { /* Ethernet padding; a sum over it is of no use */
        if (pskb_trim(skb, len))
            return SKB_DROP_REASON_NOMEM;
        if (skb->ip_summed == CHECKSUM_COMPLETE)
            skb->ip_summed = CHECKSUM_NONE;
    }
    return SKB_DROP_REASON_NOT_SPECIFIED;
}

/* Options must parse; source routes are not accepted, as with Linux's accept_source_route=0. */
static enum skb_drop_reason ip_rcv_options(struct sk_buff *skb)
{
    const struct iphdr *iph = ip_hdr(skb);
    struct ip_options opt;

    if (ip_options_compile(&opt, (const u8 *)(iph + 1), iph->ihl * 4 - (int)sizeof(*iph))) {
        icmp_send(skb, ICMP_PARAMETERPROB, 0, htobe32((u32)sizeof(*iph) << 24));
        return SKB_DROP_REASON_IP_OPTIONS;
    }
    if (opt.srr)
        return SKB_DROP_REASON_IP_OPTIONS;
    IPCB(skb)->optlen = opt.optlen;
    return SKB_DROP_REASON_NOT_SPECIFIED;
}

static int ip_drop(struct net *net, struct sk_buff *skb, enum skb_drop_reason reason)
{
    switch (reason) {
    case SKB_DROP_REASON_NOMEM:
        NET_INC_STATS(net, IPSTATS_MIB_INDISCARDS);
        break;
    case SKB_DROP_REASON_IP_INADDRERRORS:
    case SKB_DROP_REASON_IP_RPFILTER:
    case SKB_DROP_REASON_OTHERHOST:
        NET_INC_STATS(net, IPSTATS_MIB_INADDRERRORS);
        break;
    default:
        NET_INC_STATS(net, IPSTATS_MIB_INHDRERRORS);
    }
    kfree_skb_reason(skb, reason);
    return -EINVAL;
}

int ip_rcv(struct sk_buff *skb, struct net_device *dev)
{
    struct net *net = dev->net;
    enum skb_drop_reason reason;
    const struct iphdr *iph;

    if (skb->pkt_type == PACKET_OTHERHOST) {
        kfree_skb_reason(skb, SKB_DROP_REASON_OTHERHOST);
        return -EINVAL;
    }
    NET_INC_STATS(net, IPSTATS_MIB_INPKTS);
    NET_ADD_STATS(net, LINUX_MIB_INOCTETS, skb->len);
    if (skb_shared(skb)) { /* a tap looks at it too: offsets and cb must be ours */
        struct sk_buff *own = skb_clone(skb);

        consume_skb(skb);
        if (!own) {
            NET_INC_STATS(net, IPSTATS_MIB_INDISCARDS);
            return -ENOMEM;
        }
        skb = own;
    }
    reason = ip_check_header(net, skb);
    if (unlikely(reason))
        return ip_drop(net, skb, reason);
    skb_reset_network_header(skb);
    iph = ip_hdr(skb);
    skb_set_transport_header(skb, iph->ihl * 4);
    memset(IPCB(skb), 0, sizeof(struct inet_skb_parm));
    IPCB(skb)->iif = dev->ifindex;
    skb_orphan(skb);

    if (unlikely(iph->ihl > 5)) {
        reason = ip_rcv_options(skb);
        if (reason)
            return ip_drop(net, skb, reason);
    }
    if (unlikely(ip_route_input(skb, iph->daddr, iph->saddr, iph->tos, dev, &reason)))
        return ip_drop(net, skb, reason);
    /* RFC 1122 3.3.6: a link-layer broadcast to a unicast address is a stray. */
    if (unlikely(skb->pkt_type == PACKET_BROADCAST || skb->pkt_type == PACKET_MULTICAST) &&
        inet_addr_type(net, iph->daddr) == RTN_LOCAL_)
        return ip_drop(net, skb, SKB_DROP_REASON_IP_INADDRERRORS);
    return dst_input(skb);
}

static int ip_local_deliver_finish(struct net *net, struct sock *sk, struct sk_buff *skb)
{
    const struct iphdr *iph = ip_hdr(skb);
    const struct net_protocol *p = inet_find_protocol(iph->protocol);

    if (unlikely(!p)) {
        NET_INC_STATS(net, IPSTATS_MIB_INUNKNOWNPROTOS);
        icmp_send(skb, ICMP_DEST_UNREACH, ICMP_PROT_UNREACH, 0);
        kfree_skb_reason(skb, SKB_DROP_REASON_IP_NOPROTO);
        return 0;
    }
    skb_pull(skb, (u32)(skb_transport_header(skb) - skb->data)); /* the header is linear */
    NET_INC_STATS(net, IPSTATS_MIB_INDELIVERS);
    return p->handler(skb);
}

int ip_local_deliver(struct sk_buff *skb)
{
    struct net *net = skb->dev->net;

    if (unlikely(ip_hdr(skb)->frag_off & htobe16(IP_MF | IP_OFFSET))) {
        skb = ip_defrag(net, skb);
        if (!skb)
            return 0;
    }
    return WALK(nf_hook(NF_LOCAL_IN, net, NULL, skb, ip_local_deliver_finish));
}
