/* SPDX-License-Identifier: MIT */
/* ICMP (RFC 792, RFC 1122 3.2.2, RFC 1812 4.3): errors to the protocols, errors from us, echo on addresses of our
 * own. On a shared address the host's kernel answers and reports; here only the errors about our flows
 * arrive. */

#include "inet_sock.h"
#include "../core/checksum.h"
#include "../core/neighbour.h"
#include "../core/rcu.h"
#include <linux/icmp.h>

#define ICMP_MAX_LEN 576 /* an error's datagram at most (RFC 1812 4.3.2.3) */
#define ICMP_LIMIT_SLOTS 256
#define ICMP_BURST 6           /* errors to one host in a row (XRLIM_BURST_FACTOR) */
#define ICMP_MSGS_PER_SEC 1000 /* errors in all */
#define ICMP_MSGS_BURST 50

const struct icmp_err icmp_err_convert[] = {
    [ICMP_NET_UNREACH] = {ENETUNREACH, false},    [ICMP_HOST_UNREACH] = {EHOSTUNREACH, false},
    [ICMP_PROT_UNREACH] = {ENOPROTOOPT, true},    [ICMP_PORT_UNREACH] = {ECONNREFUSED, true},
    [ICMP_FRAG_NEEDED] = {EMSGSIZE, false},       [ICMP_SR_FAILED] = {EOPNOTSUPP, false},
    [ICMP_NET_UNKNOWN] = {ENETUNREACH, true},     [ICMP_HOST_UNKNOWN] = {EHOSTDOWN, true},
    [ICMP_HOST_ISOLATED] = {ENONET, true},        [ICMP_NET_ANO] = {ENETUNREACH, true},
    [ICMP_HOST_ANO] = {EHOSTUNREACH, true},       [ICMP_NET_UNR_TOS] = {ENETUNREACH, false},
    [ICMP_HOST_UNR_TOS] = {EHOSTUNREACH, false},  [ICMP_PKT_FILTERED] = {EHOSTUNREACH, true},
    [ICMP_PREC_VIOLATION] = {EHOSTUNREACH, true}, [ICMP_PREC_CUTOFF] = {EHOSTUNREACH, true},
};

/* ---- rate limit (RFC 1812 4.3.2.8) -------------------------------------------------------------------------------- */

struct token_bucket {
    __be32 daddr;
    u64 tokens, stamp; /* ns worth of tokens; last refill */
};

struct socket_global { /* net->icmp_sk */
    spinlock_t lock;   /* all here; nothing nests in it */
    u64 secret;
    struct token_bucket all;
    u64 last_warning;
    struct token_bucket host[ICMP_LIMIT_SLOTS]; /* a collision shares the bucket's history: only stricter */
};

int icmp_net_init(struct net *net)
{
    struct socket_global *g = calloc(1, sizeof(*g));

    if (!g)
        return -ENOMEM;
    spin_lock_init(&g->lock);
    g->secret = net->ops->random(net) | 1;
    net->icmp_sk = g;
    return 0;
}

void icmp_net_exit(struct net *net)
{
    if (!net->icmp_sk)
        return;
    spin_lock_destroy(&net->icmp_sk->lock);
    free(net->icmp_sk);
    net->icmp_sk = NULL;
}

/* One token costs `cost` ns of waiting, `burst` of them can gather. */
static bool token_take(struct token_bucket *b, u64 now, u64 cost, u32 burst)
{
    const u64 max_tokens = cost * burst;

    if (!b->stamp)
        b->tokens = max_tokens;
    else
        b->tokens = min(b->tokens + (now - b->stamp), max_tokens);
    b->stamp = now;
    if (b->tokens < cost)
        return false;
    b->tokens -= cost;
    return true;
}

static bool icmp_allow(struct net *net, __be32 daddr)
{
    struct socket_global *g = net->icmp_sk;
    const u64 cost = (u64)net->ipv4.sysctl_icmp_ratelimit * NSEC_PER_MSEC;
    struct token_bucket *b;
    u64 now = net_now(net);
    bool ok;

    spin_lock(&g->lock);
    ok = token_take(&g->all, now, NSEC_PER_SEC / ICMP_MSGS_PER_SEC, ICMP_MSGS_BURST);
    if (ok && cost) {
        b = &g->host[((u64)daddr * g->secret >> 40) % ICMP_LIMIT_SLOTS];
        b->daddr = daddr;
        ok = token_take(b, now, cost, ICMP_BURST);
    }
    spin_unlock(&g->lock);
    if (!ok)
        NET_INC_STATS(net, ICMP_MIB_RATELIMIT);
    return ok;
}

bool ip_warn_ratelimit(struct net *net)
{
    struct socket_global *g = net->icmp_sk;
    const u64 now = net_now(net);
    bool ok;

    spin_lock(&g->lock);
    ok = !g->last_warning || now - g->last_warning >= 10 * NSEC_PER_SEC;
    if (ok)
        g->last_warning = now;
    spin_unlock(&g->lock);
    return ok;
}

/* ---- sending ------------------------------------------------------------------------------------------------------- */

/* Send an ICMP message whose header and data skb holds (skb->data at the header). Takes skb over. */
static void icmp_push(struct net *net, struct sk_buff *skb, __be32 saddr, __be32 daddr, u8 tos)
{
    struct icmphdr *icmph = (struct icmphdr *)skb->data;
    struct flowi4 fl = {.daddr = daddr, .saddr = saddr, .tos = tos & 0x1c, .proto = IPPROTO_ICMP};
    struct rtable *rt;
    int err;

    icmph->checksum = 0;
    icmph->checksum = csum_fold(skb_checksum(skb, 0, skb->len, 0));
    rt = ip_route_output_flow(net, &fl, &err);
    if (!rt) {
        NET_INC_STATS(net, ICMP_MIB_OUTERRORS);
        kfree_skb_reason(skb, SKB_DROP_REASON_IP_OUTNOROUTES);
        return;
    }
    NET_INC_STATS(net, ICMP_MIB_OUTMSGS);
    ip_send_unicast(skb, net, rt, saddr, daddr, IPPROTO_ICMP, tos, 0, false);
    dst_release(&rt->dst);
}

/* Room for headers and n bytes of message. */
static struct sk_buff *icmp_alloc(struct net *net, u32 n)
{
    struct sk_buff *skb = alloc_skb(net, MAX_HEADER_ROOM + n);

    if (skb) {
        skb_reserve(skb, MAX_HEADER_ROOM);
        memset(skb_put(skb, n), 0, n);
    }
    return skb;
}

/* RFC 1122 3.2.2: no error about these. skb_in's network header is set. */
static bool icmp_error_allowed(const struct sk_buff *skb_in)
{
    const struct iphdr *iph = ip_hdr(skb_in);
    struct net *net = skb_in->net;
    u8 type_buf;
    const u8 *type;

    if (skb_in->pkt_type != PACKET_HOST || inet_addr_type(net, iph->daddr) != RTN_LOCAL_)
        return false;
    if (inet_addr_type(net, iph->saddr) != RTN_UNICAST_ || ipv4_is_loopback(iph->saddr))
        return false;
    if (iph->frag_off & htobe16(IP_OFFSET))
        return false;
    if (iph->protocol != IPPROTO_ICMP)
        return true;
    type = skb_header_pointer(skb_in, (u32)skb_network_offset(skb_in) + iph->ihl * 4u, 1, &type_buf);
    return type && (*type == ICMP_ECHO || *type == ICMP_ECHOREPLY || *type == ICMP_TIMESTAMP || *type == ICMP_TIMESTAMPREPLY);
}

/* A received packet; what we send ourselves is told by errno. */
void __icmp_send(struct sk_buff *skb_in, int type, int code, __be32 info)
{
    const struct iphdr *iph;
    struct icmphdr *icmph;
    struct sk_buff *skb;
    struct net *net = skb_in->net;
    u32 room, from;

    if (!skb_in->dev || skb_in->network_header == 0xffff)
        return;
    iph = ip_hdr(skb_in);
    if (!icmp_error_allowed(skb_in) || !icmp_allow(net, iph->saddr))
        return;
    /* As much of the datagram as fits in 576 bytes. */
    from = (u32)skb_network_offset(skb_in);
    room = min(be16toh(iph->tot_len) + 0u, ICMP_MAX_LEN - (u32)(sizeof(struct iphdr) + sizeof(*icmph)));
    if ((int)from < 0) { /* data is behind the IP header: count from there */
        const u32 back = (u32)-(int)from;

        skb = icmp_alloc(net, (u32)sizeof(*icmph) + room);
        if (!skb)
            return;
        memcpy(skb->data + sizeof(*icmph), skb_network_header(skb_in), min(back, room));
        if (room > back && skb_copy_bits(skb_in, 0, skb->data + sizeof(*icmph) + back, min(room - back, skb_in->len)))
            goto drop;
    } else {
        room = min(room, skb_in->len - from);
        skb = icmp_alloc(net, (u32)sizeof(*icmph) + room);
        if (!skb)
            return;
        if (skb_copy_bits(skb_in, from, skb->data + sizeof(*icmph), room))
            goto drop;
    }
    icmph = (struct icmphdr *)skb->data;
    icmph->type = (u8)type;
    icmph->code = (u8)code;
    icmph->un.gateway = info;
    icmp_push(net, skb, iph->daddr, iph->saddr, (u8)((iph->tos & 0x1e) | 0xc0)); /* precedence 6, RFC 1812 4.3.2.5 */
    return;
drop:
    kfree_skb_reason(skb, SKB_DROP_REASON_NOMEM);
}

void icmp_send(struct sk_buff *skb_in, int type, int code, __be32 info)
{
    if (skb_in->dev && skb_in->dev->own_address)
        __icmp_send(skb_in, type, code, info);
}

/* ---- receiving --------------------------------------------------------------------------------------------------------- */

/* Answer ping (RFC 1122 3.2.2.6): source is the address that was asked. */
static void icmp_echo(struct net *net, struct sk_buff *skb)
{
    const struct iphdr *iph = ip_hdr(skb);
    struct sk_buff *reply;

    if (!skb->dev->own_address || net->ipv4.sysctl_icmp_echo_ignore_all || skb->pkt_type != PACKET_HOST ||
        inet_addr_type(net, iph->daddr) != RTN_LOCAL_)
        return;
    reply = icmp_alloc(net, skb->len);
    if (!reply)
        return;
    if (skb_copy_bits(skb, 0, reply->data, skb->len)) {
        kfree_skb_reason(reply, SKB_DROP_REASON_ICMP_BAD);
        return;
    }
    ((struct icmphdr *)reply->data)->type = ICMP_ECHOREPLY;
    icmp_push(net, reply, iph->daddr, iph->saddr, iph->tos & ~INET_ECN_MASK);
}

/* The info for err_handler, or -1: nobody needs to know. */
static s64 icmp_unreach_info(struct net *net, const struct icmphdr *icmph)
{
    switch (icmph->type) {
    case ICMP_PARAMETERPROB:
        return be32toh(icmph->un.gateway) >> 24;
    case ICMP_DEST_UNREACH:
        if (icmph->code > NR_ICMP_UNREACH)
            return -1;
        if (icmph->code == ICMP_FRAG_NEEDED) {
            /* A router that tells no MTU (RFC 1191 5): 0, which becomes min_pmtu without DF; as Linux, no guessing by
             * the plateaus of 7.1. */
            switch (net->ipv4.sysctl_ip_no_pmtu_disc) {
            case 0:
            case 3: /* only for protocols that check the quoted header: TCP does */
                return be16toh(icmph->un.frag.mtu);
            case 2:
                return -1;
            default:
                return 0;
            }
        }
        return 0;
    default:
        return 0;
    }
}

/* Errors: the inner header must be of a packet that we sent. */
static enum skb_drop_reason icmp_unreach(struct net *net, struct sk_buff *skb)
{
    const struct icmphdr *icmph = icmp_hdr(skb);
    const struct net_protocol *p;
    const struct iphdr *inner;
    s64 info;

    pskb_pull(skb, sizeof(*icmph));
    if (!pskb_may_pull(skb, sizeof(*inner)))
        return SKB_DROP_REASON_ICMP_BAD;
    inner = (const struct iphdr *)skb->data;
    if (inner->version != 4 || inner->ihl < 5 || (inner->frag_off & htobe16(IP_OFFSET)) ||
        !pskb_may_pull(skb, inner->ihl * 4u + 8))
        return SKB_DROP_REASON_ICMP_BAD;
    icmph = icmp_hdr(skb);
    inner = (const struct iphdr *)skb->data;
    if (inet_addr_type(net, inner->saddr) != RTN_LOCAL_ || inner->saddr != ip_hdr(skb)->daddr)
        return SKB_DROP_REASON_ICMP_BAD;
    info = icmp_unreach_info(net, icmph);
    p = inet_find_protocol(inner->protocol);
    if (info < 0 || !p || !p->err_handler)
        return SKB_DROP_REASON_ICMP_BAD;
    p->err_handler(skb, (u32)info);
    return SKB_DROP_REASON_NOT_SPECIFIED;
}

static int icmp_rcv(struct sk_buff *skb)
{
    enum skb_drop_reason reason = SKB_DROP_REASON_NOT_SPECIFIED;
    struct net *net = skb->net;

    NET_INC_STATS(net, ICMP_MIB_INMSGS);
    if (!pskb_may_pull(skb, sizeof(struct icmphdr))) {
        reason = SKB_DROP_REASON_PKT_TOO_SMALL;
        goto drop;
    }
    skb_reset_transport_header(skb);
    if (skb->ip_summed != CHECKSUM_UNNECESSARY && csum_fold(skb_checksum(skb, 0, skb->len, 0))) {
        NET_INC_STATS(net, ICMP_MIB_INCSUMERRORS);
        reason = SKB_DROP_REASON_ICMP_CSUM;
        goto drop;
    }
    switch (icmp_hdr(skb)->type) {
    case ICMP_ECHO:
        icmp_echo(net, skb);
        break;
    case ICMP_DEST_UNREACH:
    case ICMP_TIME_EXCEEDED:
    case ICMP_PARAMETERPROB:
    case ICMP_SOURCE_QUENCH: /* checked and then without effect (RFC 6633) */
        if (icmp_hdr(skb)->type != ICMP_SOURCE_QUENCH)
            reason = icmp_unreach(net, skb);
        break;
    default: /* replies, redirects (the host's routes are the kernel's), timestamps: nothing to do */
        if (icmp_hdr(skb)->type > NR_ICMP_TYPES)
            reason = SKB_DROP_REASON_ICMP_BAD;
        break;
    }
    if (reason)
        goto drop;
    consume_skb(skb);
    return 0;
drop:
    NET_INC_STATS(net, ICMP_MIB_INERRORS);
    kfree_skb_reason(skb, reason);
    return 0;
}

void icmp_local_unreach(const struct sk_buff *skb, struct net_device *dev, u8 code)
{
    const struct iphdr *iph = ip_hdr(skb);
    const struct net_protocol *p = inet_find_protocol(iph->protocol);
    const u32 from = (u32)skb_network_offset(skb);
    struct sk_buff *err;

    if (!p || !p->err_handler)
        return;
    err = icmp_alloc(skb->net, (u32)sizeof(struct icmphdr) + iph->ihl * 4u + 20);
    if (!err)
        return;
    skb_reset_transport_header(err);
    icmp_hdr(err)->type = ICMP_DEST_UNREACH;
    icmp_hdr(err)->code = code;
    err->dev = dev;
    skb_pull(err, sizeof(struct icmphdr));
    if (!skb_copy_bits(skb, from, err->data, min(err->len, skb->len - from))) {
        rcu_read_lock();
        p->err_handler(err, 0);
        rcu_read_unlock();
    }
    consume_skb(err);
}

/* Role: neigh_error_report: the next hop of our own packet does not answer. Its socket gets what a router's "host
 * unreachable" would tell it, and the route is asked for anew. Called without locks. Takes skb over. */
static void icmp_neigh_error(struct neighbour *n, struct sk_buff *skb)
{
    if (skb->dst)
        atomic_store(&skb->dst->obsolete, 1);
    if (skb->protocol == htobe16(ETH_P_IP) && skb->network_header != 0xffff)
        icmp_local_unreach(skb, n->dev, ICMP_HOST_UNREACH);
    kfree_skb_reason(skb, SKB_DROP_REASON_NEIGH_FAILED);
}

void icmp_init(void)
{
    static const struct net_protocol icmp_protocol = {.handler = icmp_rcv};

    inet_add_protocol(&icmp_protocol, IPPROTO_ICMP);
    neigh_error_report = icmp_neigh_error;
}
