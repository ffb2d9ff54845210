// SPDX-License-Identifier: MIT
/* TCP over IPv4: who gets a segment, checksums, connect(), resets, secrets. ICMP errors: tcp_ipv4_err.c. */

#include "../core/checksum.h"
#include "../core/rcu.h"
#include "tcp_fastopen.h"
#include "tcp_metrics.h"
#include "tcp_output.h"

/* ---- secrets (RFC 6528) --------------------------------------------------------------------------------- */

struct tcp_net { /* net->tcp_priv */
    siphash_key_t isn_key, ts_key, cookie_key;
    struct tcp_fastopen_context fastopen;
    struct tcp_metrics_table *metrics;
};

int tcp_net_init(struct net *net)
{
    struct tcp_net *t = calloc(1, sizeof(*t));

    if (!t)
        return -ENOMEM;
    net->tsq_drain = tcp_tsq_drain;
    for (int i = 0; i < 2; i++) {
        t->isn_key.key[i] = net->ops->random(net);
        t->ts_key.key[i] = net->ops->random(net);
        t->cookie_key.key[i] = net->ops->random(net);
    }
    tcp_fastopen_init_key(&t->fastopen, net);
    t->metrics = tcp_metrics_alloc();
    if (!t->metrics) {
        free(t);
        return -ENOMEM;
    }
    net->tcp_priv = t;
    return 0;
}

void tcp_net_exit(struct net *net)
{
    struct tcp_net *t = net->tcp_priv;

    if (t)
        tcp_metrics_free(t->metrics);
    free(t);
    net->tcp_priv = NULL;
}

struct tcp_fastopen_context *tcp_net_fastopen(struct net *net) { return &((struct tcp_net *)net->tcp_priv)->fastopen; }
struct tcp_metrics_table *tcp_net_metrics(struct net *net) { return ((struct tcp_net *)net->tcp_priv)->metrics; }
siphash_key_t *tcp_cookie_key(struct net *net) { return &((struct tcp_net *)net->tcp_priv)->cookie_key; }

/* ISN = M + F(4-tuple, secret); M ticks every 64 ns, as Linux's (RFC 6528 3). */
u32 secure_tcp_seq(struct net *net, __be32 saddr, __be32 daddr, __be16 sport, __be16 dport)
{
    struct tcp_net *t = net->tcp_priv;
    u64 w[2] = {(u64)saddr << 32 | daddr, (u64)sport << 16 | dport};

    return (u32)siphash_words(w, 2, &t->isn_key) + (u32)(net_now(net) >> 6);
}

/* Per-pair offset of the timestamp clock, so that it tells neither uptime nor other connections. */
u32 secure_tcp_ts_off(struct net *net, __be32 saddr, __be32 daddr)
{
    struct tcp_net *t = net->tcp_priv;
    u64 w[1] = {(u64)saddr << 32 | daddr};

    if (net->ipv4.sysctl_tcp_timestamps != 1)
        return 0;
    return (u32)siphash_words(w, 1, &t->ts_key);
}

/* ---- checksum ----------------------------------------------------------------------------------------------- */

/* Leave the pseudo-header sum in the field; the device (or dev.c) completes it. */
void tcp_v4_send_check(struct sock *sk, struct sk_buff *skb)
{
    const struct inet_sock *inet = inet_sk(sk);
    struct tcphdr *th = tcp_hdr(skb);

    th->check = (u16)~csum_tcpudp_magic(inet->inet_saddr, inet->inet_daddr, skb->len, IPPROTO_TCP, 0);
    skb->csum_start = (u16)(skb_transport_header(skb) - skb->head);
    skb->csum_offset = offsetof(struct tcphdr, check);
    skb->ip_summed = CHECKSUM_PARTIAL;
}

/* Equal as one's complement numbers: 0 and 0xffff are the same. */
static bool csum_equal(u16 a, u16 b) { return a == b || (!a && b == 0xffff) || (a == 0xffff && !b); }

/* Verify a received segment once (RFC 9293 3.1). On a device without a wire the field may hold only the
 * pseudo-header sum: the sending kernel left the rest to hardware that does not exist. */
static bool tcp_v4_checksum_ok(struct sk_buff *skb, const struct net_device *dev)
{
    const struct iphdr *iph = ip_hdr(skb);
    wsum pseudo;

    if (skb->ip_summed == CHECKSUM_UNNECESSARY || skb->ip_summed == CHECKSUM_PARTIAL)
        return true;
    pseudo = csum_tcpudp_nofold(iph->saddr, iph->daddr, skb->len, IPPROTO_TCP, 0);
    if ((dev->features & NETIF_F_NOWIRE) && csum_equal(tcp_hdr(skb)->check, (u16)~csum_fold(pseudo)))
        goto good;
    if (csum_fold(skb_checksum(skb, 0, skb->len, pseudo)))
        return false;
good:
    skb->ip_summed = CHECKSUM_UNNECESSARY;
    return true;
}

/* ---- answers without a full socket ------------------------------------------------------------------------------ */

struct tcp_v4_reply { /* a segment to send back to where skb came from */
    u32 seq, ack, win;
    u8 flags, tos;
    bool has_ts;
    u32 tsval, tsecr;
};

static void tcp_v4_send_reply(struct net *net, const struct sk_buff *skb, const struct tcp_v4_reply *r)
{
    const struct iphdr *iph = ip_hdr(skb);
    const struct tcphdr *th = tcp_hdr(skb);
    struct flowi4 fl = {.daddr = iph->saddr, .saddr = iph->daddr, .dport = th->source, .sport = th->dest,
                        .proto = IPPROTO_TCP, .tos = r->tos & 0x1c};
    u32 len = sizeof(struct tcphdr) + (r->has_ts ? TCPOLEN_TSTAMP_ALIGNED : 0);
    struct sk_buff *nskb;
    struct tcphdr *nth;
    struct rtable *rt;
    int err;

    rt = ip_route_output_flow(net, &fl, &err);
    if (!rt)
        return;
    nskb = alloc_skb(net, MAX_TCP_HEADER + len);
    if (!nskb)
        goto out;
    skb_reserve(nskb, MAX_TCP_HEADER);
    nth = skb_put(nskb, len);
    skb_reset_transport_header(nskb);
    memset(nth, 0, sizeof(*nth));
    nth->source = th->dest;
    nth->dest = th->source;
    nth->seq = htobe32(r->seq);
    nth->ack_seq = htobe32(r->ack);
    nth->doff = (u8)(len >> 2);
    ((u8 *)nth)[13] = r->flags;
    nth->window = htobe16((u16)min(r->win, 65535u));
    if (r->has_ts) {
        __be32 opt[3] = {htobe32(TCPOPT_NOP_ << 24 | TCPOPT_NOP_ << 16 | TCPOPT_TIMESTAMP_ << 8 | 10),
                         htobe32(r->tsval), htobe32(r->tsecr)};
        memcpy(nth + 1, opt, sizeof(opt));
    }
    nth->check = (u16)~csum_tcpudp_magic(iph->daddr, iph->saddr, len, IPPROTO_TCP, 0);
    nskb->csum_start = (u16)(skb_transport_header(nskb) - nskb->head);
    nskb->csum_offset = offsetof(struct tcphdr, check);
    nskb->ip_summed = CHECKSUM_PARTIAL;
    NET_INC_STATS(net, TCP_MIB_OUTSEGS);
    ip_build_and_send_pkt(nskb, net, NULL, rt, iph->daddr, iph->saddr, NULL, r->tos, 0);
out:
    dst_release(&rt->dst);
}

/* Role: answer skb by a reset (RFC 9293 3.10.7.1, 3.5.2). sk: the socket it hit, or NULL. skb is not taken over. */
void tcp_v4_send_reset(const struct sock *sk, struct sk_buff *skb)
{
    const struct tcphdr *th = tcp_hdr(skb);
    struct net *net = skb->net;
    struct tcp_v4_reply r = {.flags = TCPHDR_RST, .tos = ip_hdr(skb)->tos & ~INET_ECN_MASK};

    if (th->rst) /* never answer a reset */
        return;
    if (!sk && skb->pkt_type != PACKET_HOST)
        return;
    if (th->ack) {
        r.seq = be32toh(th->ack_seq);
    } else {
        r.flags |= TCPHDR_ACK;
        r.ack = be32toh(th->seq) + th->syn + th->fin + skb->len - (th->doff << 2);
    }
    NET_INC_STATS(net, TCP_MIB_OUTRSTS);
    tcp_v4_send_reply(net, skb, &r);
}

static void tcp_v4_timewait_ack(struct inet_timewait_sock *tw, struct sk_buff *skb)
{
    struct net *net = tw->__tw_common.skc_net;
    struct tcp_v4_reply r = {
        .seq = tw->tw_snd_nxt,
        .ack = tw->tw_rcv_nxt,
        .win = tw->tw_rcv_wnd >> tw->tw_rcv_wscale,
        .flags = TCPHDR_ACK,
        .tos = tw->tw_tos,
        .has_ts = tw->tw_tstamp_ok,
        .tsval = (u32)(net_now(net) / NSEC_PER_MSEC) + tw->tw_ts_offset,
        .tsecr = tw->tw_ts_recent,
    };

    tcp_v4_send_reply(net, skb, &r);
    inet_twsk_put(tw);
}

void tcp_v4_reqsk_send_ack(const struct sock *sk, struct sk_buff *skb, struct request_sock *req)
{
    struct net *net = sock_net(sk);
    struct tcp_v4_reply r = {
        .seq = req->snt_isn + 1,
        .ack = req->rcv_nxt,
        .win = req->rsk_rcv_wnd >> req->rcv_wscale,
        .flags = TCPHDR_ACK,
        .has_ts = req->tstamp_ok,
        .tsval = (u32)(net_now(net) / NSEC_PER_MSEC) + req->ts_off,
        .tsecr = req->ts_recent,
    };

    tcp_v4_send_reply(net, skb, &r);
}

/* ---- receive ------------------------------------------------------------------------------------------------------ */

/* Fill the cb from the wire: from here on host order only. */
static void tcp_v4_fill_cb(struct sk_buff *skb, const struct iphdr *iph, const struct tcphdr *th)
{
    struct tcp_skb_cb *cb = TCP_SKB_CB(skb);

    cb->seq = be32toh(th->seq);
    cb->end_seq = cb->seq + th->syn + th->fin + skb->len - th->doff * 4u;
    cb->ack_seq = be32toh(th->ack_seq);
    cb->tcp_flags = tcp_flag_byte(th);
    cb->tcp_tw_isn = 0;
    cb->ip_dsfield = iph->tos;
    cb->sacked = 0;
    cb->eor = 0;
    cb->has_rxtstamp = skb->tstamp != 0;
}

/* Role: a segment whose socket lock the caller has (slock, or a thread running the backlog). Takes skb over. */
int tcp_v4_do_rcv(struct sock *sk, struct sk_buff *skb)
{
    enum skb_drop_reason reason = SKB_DROP_REASON_NOT_SPECIFIED;
    int st = atomic_load_explicit(&sk->sk_state, memory_order_acquire);

    if (st == TCP_ESTABLISHED) {
        /* A route that changed under us must not be used from the receive path. */
        if (sk->sk_dst_cache && !dst_check(sk->sk_dst_cache))
            sk_dst_reset(sk);
        tcp_rcv_established(sk, skb);
        return 0;
    }
    if (st == TCP_LISTEN) {
        struct sock *nsk = cookie_v4_check(sk, skb);

        if (!nsk)
            goto discard;
        if (nsk != sk) {
            int ret = tcp_child_process(sk, nsk, skb);
            if (ret) {
                reason = (enum skb_drop_reason)ret;
                goto reset;
            }
            return 0;
        }
    }
    {
        int ret = tcp_rcv_state_process(sk, skb);
        if (!ret)
            return 0;
        reason = (enum skb_drop_reason)ret;
    }
reset:
    tcp_v4_send_reset(sk, skb);
discard:
    kfree_skb_reason(skb, reason);
    return 0;
}

/* slock held and a thread owns the socket. True: no room, the caller drops it. */
bool tcp_add_backlog(struct sock *sk, struct sk_buff *skb)
{
    u64 limit = (u64)READ_ONCE(sk->sk_rcvbuf) * 2 + (READ_ONCE(sk->sk_sndbuf) >> 1) + 64 * 1024;

    skb_dst_drop(skb);
    if (unlikely(sk_add_backlog(sk, skb, (u32)min(limit, (u64)INT32_MAX)))) {
        NET_INC_STATS(sock_net(sk), LINUX_MIB_TCPBACKLOGDROP);
        return true;
    }
    return false;
}

/* The one check at the door: lengths, flags' header, checksum. 0 or the reason to drop it. */
static enum skb_drop_reason tcp_v4_check_header(struct sk_buff *skb)
{
    const struct tcphdr *th;

    if (!pskb_may_pull(skb, sizeof(struct tcphdr)))
        return SKB_DROP_REASON_PKT_TOO_SMALL;
    th = (const struct tcphdr *)skb->data;
    if (th->doff < sizeof(struct tcphdr) / 4)
        return SKB_DROP_REASON_TCP_BADOPT;
    if (!pskb_may_pull(skb, th->doff * 4u))
        return SKB_DROP_REASON_TCP_BADOPT;
    skb_reset_transport_header(skb);
    if (!tcp_v4_checksum_ok(skb, skb->dev)) {
        NET_INC_STATS(skb->net, TCP_MIB_CSUMERRORS);
        return SKB_DROP_REASON_TCP_CSUM;
    }
    /* Odd flags (SYN with FIN, none at all) are the states' to judge, as in Linux: a listener drops a SYN with FIN, a
     * connection attempt takes it and waits for the FIN to come again. */
    return SKB_DROP_REASON_NOT_SPECIFIED; /* fine */
}

static void tcp_v4_drop(struct sk_buff *skb, enum skb_drop_reason reason) { kfree_skb_reason(skb, reason); }

/* A segment for a time-wait sock (a reference is held). Returns the listener when it is a SYN that opens a
 * new incarnation; else NULL and skb is gone. */
static struct sock *tcp_v4_rcv_timewait(struct inet_timewait_sock *tw, struct sk_buff *skb)
{
    const struct iphdr *iph = ip_hdr(skb);
    const struct tcphdr *th = tcp_hdr(skb);
    u32 isn = 0;

    switch (tcp_timewait_state_process(tw, skb, th, &isn)) {
    case TCP_TW_SYN: {
        struct sock *lsk = __inet_lookup_listener(tw->__tw_common.skc_net, iph->saddr, th->source, iph->daddr,
                                                  be16toh(th->dest), skb->dev->ifindex);
        if (lsk && sock_hold_safe(&lsk->__sk_common)) {
            inet_twsk_deschedule_put(tw);
            TCP_SKB_CB(skb)->tcp_tw_isn = isn;
            return lsk;
        }
    }
        __attribute__((fallthrough)); /* no listener: as an old segment */
    case TCP_TW_ACK:
        tcp_v4_timewait_ack(tw, skb);
        break;
    case TCP_TW_RST:
        tcp_v4_send_reset(NULL, skb);
        inet_twsk_deschedule_put(tw);
        break;
    case TCP_TW_SUCCESS:
        break;
    }
    tcp_v4_drop(skb, SKB_DROP_REASON_TCP_TIMEWAIT);
    return NULL;
}

/* A segment for a request sock (a reference is held and dropped here). skb is gone. */
static void tcp_v4_rcv_request(struct request_sock *req, struct sk_buff *skb)
{
    struct sock *sk = req->rsk_listener, *nsk;
    bool lost_race = false;

    if (atomic_load(&sk->sk_state) != TCP_LISTEN) { /* the listener was closed meanwhile */
        inet_csk_reqsk_queue_drop(sk, req);
        tcp_v4_send_reset(NULL, skb);
        tcp_v4_drop(skb, SKB_DROP_REASON_NO_SOCKET);
        goto out;
    }
    nsk = tcp_check_req(sk, skb, req, false, &lost_race);
    if (!nsk) {
        tcp_v4_drop(skb, SKB_DROP_REASON_NOT_SPECIFIED);
    } else if (nsk == sk) { /* not acceptable: as a listener answers it (RFC 9293 3.10.7.2) */
        tcp_v4_send_reset(sk, skb);
        tcp_v4_drop(skb, SKB_DROP_REASON_TCP_INVALID_ACK_SEQUENCE);
    } else {
        int ret = tcp_child_process(sk, nsk, skb);

        if (ret) {
            tcp_v4_send_reset(NULL, skb);
            tcp_v4_drop(skb, (enum skb_drop_reason)ret);
        }
    }
out:
    reqsk_put(req);
}

/* The socket for this segment, with a reference. One that ends just now is looked up again: its child or
 * time-wait sock is taking its place. NULL: nobody. */
static struct sock *tcp_v4_find_hold(struct net *net, const struct sk_buff *skb)
{
    const struct iphdr *iph = ip_hdr(skb);
    const struct tcphdr *th = tcp_hdr(skb);
    bool refcounted;

    for (int tries = 0; tries < 8; tries++) {
        struct sock *sk = __inet_lookup(net, iph->saddr, th->source, iph->daddr, be16toh(th->dest),
                                        skb->dev->ifindex, &refcounted);
        if (!sk || sock_hold_safe(&sk->__sk_common))
            return sk;
    }
    return NULL;
}

/* Counted before the owner is known: TCP_INFO reads them with the lock but without slock. slock held. */
static void tcp_segs_in(struct tcp_sock *tp, const struct sk_buff *skb)
{
    u16 segs = max_t(u16, 1, skb_shinfo(skb)->gso_segs);

    WRITE_ONCE(tp->segs_in, tp->segs_in + segs);
    if (skb->len > tcp_hdrlen(skb))
        WRITE_ONCE(tp->data_segs_in, tp->data_segs_in + segs);
}

/* Role: IPPROTO_TCP handler: finds the socket and processes the segment, or queues it on the backlog when
 * a thread is using the socket. RCU read section. Takes skb over. */
int tcp_v4_rcv(struct sk_buff *skb)
{
    struct net *net = skb->net;
    const struct iphdr *iph;
    const struct tcphdr *th;
    enum skb_drop_reason reason;
    struct sock *sk;

    if (skb->pkt_type != PACKET_HOST) {
        tcp_v4_drop(skb, SKB_DROP_REASON_OTHERHOST);
        return 0;
    }
    NET_ADD_STATS(net, TCP_MIB_INSEGS, max_t(u32, 1, skb_shinfo(skb)->gso_segs));
    reason = tcp_v4_check_header(skb);
    if (reason != SKB_DROP_REASON_NOT_SPECIFIED) {
        NET_INC_STATS(net, TCP_MIB_INERRS);
        tcp_v4_drop(skb, reason);
        return 0;
    }
    th = tcp_hdr(skb);
    iph = ip_hdr(skb);
    tcp_v4_fill_cb(skb, iph, th);

    sk = tcp_v4_find_hold(net, skb);
    if (!sk)
        goto no_socket;
    switch (atomic_load_explicit(&sk->sk_state, memory_order_acquire)) {
    case TCP_TIME_WAIT:
        sk = tcp_v4_rcv_timewait((struct inet_timewait_sock *)sk, skb);
        if (!sk)
            return 0;
        break;
    case TCP_NEW_SYN_RECV:
        tcp_v4_rcv_request((struct request_sock *)sk, skb);
        return 0;
    }
    if (unlikely(iph->ttl < READ_ONCE(inet_sk(sk)->min_ttl))) { /* IP_MINTTL (RFC 5082) */
        NET_INC_STATS(net, LINUX_MIB_TCPMINTTLDROP);
        tcp_v4_drop(skb, SKB_DROP_REASON_TCP_MINTTL);
        goto put;
    }
    if (atomic_load(&sk->sk_state) == TCP_LISTEN) { /* listeners need no lock: the queues have their own */
        tcp_v4_do_rcv(sk, skb);
        goto put;
    }
    bh_lock_sock(sk);
    tcp_segs_in(tcp_sk(sk), skb);
    if (!sock_owned_by_user(sk)) {
        tcp_v4_do_rcv(sk, skb);
    } else if (tcp_add_backlog(sk, skb)) {
        atomic_fetch_add(&sk->sk_drops, 1);
        kfree_skb_reason(skb, SKB_DROP_REASON_SOCKET_BACKLOG);
    }
    bh_unlock_sock(sk);
put:
    sock_put(sk);
    return 0;

no_socket:
    /* On a shared address the kernel answers for what is not ours: a segment without a socket was redirected
     * just before its flow left the steering map (hand-over, close), and a reset would kill the kernel's. */
    if (!net->steer_ops || skb->dev->own_address)
        tcp_v4_send_reset(NULL, skb);
    tcp_v4_drop(skb, SKB_DROP_REASON_NO_SOCKET);
    return 0;
}

/* ---- connect ---------------------------------------------------------------------------------------------------------- */

/* The IPv4 destination in an AF_INET or v4-mapped AF_INET6 address. 0 or -errno. */
static int tcp_v4_dest(const struct sock *sk, const struct sockaddr *addr, socklen_t len, struct sockaddr_in *out)
{
    if (sk->sk_family == AF_INET6 && addr->sa_family == AF_INET6) {
        const struct sockaddr_in6 *a6 = (const struct sockaddr_in6 *)addr;

        if (len < offsetof(struct sockaddr_in6, sin6_scope_id))
            return -EINVAL;
        if (!IN6_IS_ADDR_V4MAPPED(&a6->sin6_addr))
            return -ENETUNREACH;
        out->sin_port = a6->sin6_port;
        memcpy(&out->sin_addr, &a6->sin6_addr.s6_addr[12], 4);
        return 0;
    }
    if (len < sizeof(struct sockaddr_in))
        return -EINVAL;
    if (addr->sa_family != AF_INET)
        return -EAFNOSUPPORT;
    *out = *(const struct sockaddr_in *)addr;
    return 0;
}

/* Role: may connect() take over the 4-tuple of this time-wait sock (RFC 6191)? Its timestamps must tell new
 * segments from old ones, and the clock have moved on. 1: yes, sk goes on from its sequence number. */
int tcp_twsk_unique(struct sock *sk, struct inet_timewait_sock *tw)
{
    struct net *net = sock_net(sk);
    struct tcp_sock *tp = tcp_sk(sk);

    if (!tw->tw_ts_recent_stamp || net->ipv4.sysctl_tcp_tw_reuse != 1 || tw->tw_substate != TCP_TIME_WAIT ||
        net_now(net) / NSEC_PER_MSEC <= tw->tw_entry_stamp / NSEC_PER_MSEC + (u64)net->ipv4.sysctl_tcp_tw_reuse_delay)
        return 0;
    WRITE_ONCE(tp->write_seq, tw->tw_snd_nxt + 65535 + 2);
    if (!tp->write_seq)
        WRITE_ONCE(tp->write_seq, 1);
    tp->rx_opt.ts_recent = tw->tw_ts_recent;
    tp->rx_opt.ts_recent_stamp = tw->tw_ts_recent_stamp;
    return 1;
}

/* Start a connection: route, source address and port, ISN, SYN. Socket lock held. 0 or -errno. */
int tcp_v4_connect(struct sock *sk, const struct sockaddr *addr, socklen_t len)
{
    struct inet_sock *inet = inet_sk(sk);
    struct tcp_sock *tp = tcp_sk(sk);
    struct net *net = sock_net(sk);
    const struct ip_options *opt = inet->inet_opt;
    struct sockaddr_in usin = {0};
    struct flowi4 fl = {0};
    struct rtable *rt;
    int err = tcp_v4_dest(sk, addr, len, &usin);

    if (err)
        return err;
    fl = (struct flowi4){.daddr = opt && opt->srr ? opt->faddr : usin.sin_addr.s_addr, .saddr = inet->inet_saddr, .dport = usin.sin_port,
                         .sport = inet->inet_sport, .oif = sk->sk_bound_dev_if, .mark = (u32)sk->sk_mark,
                         .tos = inet->tos & 0x1c, .proto = IPPROTO_TCP};
    rt = ip_route_output_flow(net, &fl, &err);
    if (!rt) {
        if (err == -ENETUNREACH)
            NET_INC_STATS(net, IPSTATS_MIB_OUTNOROUTES);
        return err;
    }
    if (rt->rt_type == RTN_MULTICAST_ || rt->rt_type == RTN_BROADCAST_) {
        dst_release(&rt->dst);
        return -ENETUNREACH;
    }
    if (!inet->inet_saddr) {
        inet->inet_saddr = fl.saddr;
        inet->inet_rcv_saddr = fl.saddr;
    }
    if (tp->rx_opt.ts_recent_stamp && inet->inet_daddr != usin.sin_addr.s_addr) { /* reused: state of another peer */
        tp->rx_opt.ts_recent = 0;
        tp->rx_opt.ts_recent_stamp = 0;
        WRITE_ONCE(tp->write_seq, 0);
    }
    inet->inet_dport = usin.sin_port;
    inet->inet_daddr = usin.sin_addr.s_addr;
    inet_csk(sk)->icsk_ext_hdr_len = opt ? opt->optlen : 0;
    tp->rx_opt.mss_clamp = TCP_MSS_DEFAULT_;

    tcp_set_state(sk, TCP_SYN_SENT);
    err = inet_hash_connect(sk);
    if (err)
        goto failure;
    sk->sk_txhash = net_random_u32(net) | 1;
    sk_setup_caps(sk, &rt->dst); /* takes the reference */
    rt = NULL;
    if (!tp->write_seq)
        WRITE_ONCE(tp->write_seq,
                   secure_tcp_seq(net, inet->inet_saddr, inet->inet_daddr, inet->inet_sport, inet->inet_dport));
    tp->tsoffset = secure_tcp_ts_off(net, inet->inet_saddr, inet->inet_daddr);
    atomic_store(&inet->inet_id, net_random_u32(net) & 0xffff);
    if (tcp_fastopen_defer_connect(sk, &err))
        return 0;
    if (!err)
        err = tcp_connect(sk);
    if (err)
        goto failure;
    return 0;

failure:
    tcp_set_state(sk, TCP_CLOSE); /* unhashes */
    if (!inet->saddr_fixed)
        inet->inet_saddr = inet->inet_rcv_saddr = 0;
    if (rt)
        dst_release(&rt->dst);
    sk->sk_route_caps = 0;
    inet->inet_dport = 0;
    return err;
}

/* ---- the protocol ------------------------------------------------------------------------------------------------------- */

static void inet_addr2sockaddr(struct sock *sk, struct sockaddr *sa)
{
    *(struct sockaddr_in *)sa = (struct sockaddr_in){
        .sin_family = AF_INET, .sin_port = inet_sk(sk)->inet_dport, .sin_addr.s_addr = inet_sk(sk)->inet_daddr};
}

#define IPV4_AF_OPS(addrlen)                                                                       \
    {                                                                                              \
        .queue_xmit = ip_queue_xmit, .send_check = tcp_v4_send_check,                              \
        .rebuild_header = inet_sk_rebuild_header, .conn_request = tcp_v4_conn_request,             \
        .syn_recv_sock = tcp_v4_syn_recv_sock, .net_header_len = sizeof(struct iphdr),             \
        .sockaddr_len = addrlen, .setsockopt = ip_setsockopt, .getsockopt = ip_getsockopt,         \
        .addr2sockaddr = inet_addr2sockaddr, .mtu_reduced = tcp_v4_mtu_reduced,                    \
    }
const struct inet_connection_sock_af_ops ipv4_specific = IPV4_AF_OPS(sizeof(struct sockaddr_in));
const struct inet_connection_sock_af_ops ipv6_mapped = IPV4_AF_OPS(sizeof(struct sockaddr_in6));

static int tcp_v4_init_sock(struct sock *sk)
{
    int err = tcp_init_sock(sk);

    inet_csk(sk)->icsk_af_ops = sk->sk_family == AF_INET6 ? &ipv6_mapped : &ipv4_specific;
    return err;
}

static void tcp_v4_destroy_sock(struct sock *sk)
{
    struct tcp_sock *tp = tcp_sk(sk);

    inet_csk_clear_xmit_timers(sk);
    sk_stop_timer(sk, &tp->pacing_timer);
    sk_stop_timer(sk, &tp->compressed_ack_timer);
    tcp_cleanup_congestion_control(sk);
    tcp_write_queue_purge(sk);
    tcp_fastopen_active_disable_ofo_check(sk);
    tcp_ofo_purge(sk, SKB_DROP_REASON_SOCKET_CLOSED);
    if (inet_csk(sk)->icsk_inet.sk.__sk_common.skc_bind_bucket)
        inet_put_port(sk);
    free(tp->saved_syn);
    tp->saved_syn = NULL;
    tcp_free_fastopen_req(tp);
    tcp_fastopen_destroy_cipher(sk);
    if (tp->fastopen_rsk) /* a child that its listener left behind */
        reqsk_fastopen_remove(sk, tp->fastopen_rsk, false);
}

struct proto tcp_prot = {
    .name = "TCP",
    .close = tcp_close,
    .connect = tcp_v4_connect,
    .disconnect = tcp_disconnect,
    .accept = inet_csk_accept,
    .ioctl = tcp_ioctl,
    .init = tcp_v4_init_sock,
    .destroy = tcp_v4_destroy_sock,
    .shutdown = tcp_shutdown,
    .stream_memory_free = tcp_stream_memory_free,
    .tskey = tcp_tskey,
    .keepalive = tcp_set_keepalive,
    .setsockopt = tcp_setsockopt,
    .getsockopt = tcp_getsockopt,
    .sendmsg = tcp_sendmsg,
    .splice_eof = tcp_splice_eof,
    .recvmsg = tcp_recvmsg,
    .backlog_rcv = tcp_v4_do_rcv,
    .release_cb = tcp_release_cb,
    .hash = inet_hash,
    .unhash = inet_unhash,
    .get_port = inet_csk_get_port,
    .obj_size = sizeof(struct tcp_sock),
};

static const struct net_protocol tcp_protocol = {.handler = tcp_v4_rcv, .err_handler = tcp_v4_err};

/* Idempotent; called by inet_init(). */
void tcp_v4_init(void)
{
    static struct inet_protosw tcp_protosw = {
        .type = SOCK_STREAM, .protocol = IPPROTO_TCP, .prot = &tcp_prot, .ops = &inet_stream_ops};
    static bool done;

    if (done)
        return;
    done = true;
    inet_register_protosw(&tcp_protosw);
    inet_add_protocol(&tcp_protocol, IPPROTO_TCP);
}
