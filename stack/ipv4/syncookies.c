// SPDX-License-Identifier: MIT
/* SYN cookies (RFC 4987 3.6): the SYN-ACK's ISN carries the connection, keyed and for two minutes; its
 * timestamp carries the options. Nothing is kept until the ACK comes back. */

#include "../core/rcu.h"
#include "tcp.h"

#define COOKIEBITS 24
#define COOKIEMASK (((u32)1 << COOKIEBITS) - 1)
#define MAX_SYNCOOKIE_AGE 2
#define SYNCOOKIE_PERIOD (60 * NSEC_PER_SEC)

/* The MSS values that a cookie can express, common ones. Their index is in the top bits of the part that carries it, not
 * in the lowest as with Linux: there, when the ACK and 1 to 3 bytes were lost, what follows them answers the cookie
 * too, for another MSS, and the bytes are never missed. */
static const u16 msstab[] = {536, 1300, 1440, 1460};
#define MSS_SHIFT (COOKIEBITS - 2)

/* Bits of the timestamp: wscale (15: none), SACK, ECN. */
#define TS_OPT_WSCALE_MASK 0xf
#define TS_OPT_SACK (1u << 4)
#define TS_OPT_ECN (1u << 5)
#define TSBITS 6
#define TSMASK ((1u << TSBITS) - 1)

static u32 cookie_hash(struct net *net, __be32 saddr, __be32 daddr, __be16 sport, __be16 dport, u32 count, int c)
{
    u64 w[3] = {(u64)saddr << 32 | daddr, (u64)sport << 16 | dport, (u64)count << 1 | (unsigned)c};

    return (u32)siphash_words(w, 3, tcp_cookie_key(net));
}

static u32 tcp_cookie_time(struct net *net) { return (u32)(net_now(net) / SYNCOOKIE_PERIOD); }

/* Cookies are believed only for as long as one that we sent can be valid: else an attacker could guess at any time, and
 * every stray ACK would cost hashes. The races of several threads write nearly the same time. */
static void tcp_synq_overflow(struct sock *sk)
{
    WRITE_ONCE(inet_csk(sk)->icsk_accept_queue.synq_overflow_stamp, net_now(sock_net(sk)));
}

static bool tcp_synq_no_recent_overflow(const struct sock *sk)
{
    u64 stamp = READ_ONCE(inet_csk(sk)->icsk_accept_queue.synq_overflow_stamp);

    return !stamp || net_now(sock_net(sk)) > stamp + MAX_SYNCOOKIE_AGE * SYNCOOKIE_PERIOD;
}

u32 cookie_v4_init_sequence(struct sock *sk, const struct sk_buff *skb, u16 *mssp)
{
    struct net *net = sock_net(sk);
    const struct iphdr *iph = ip_hdr(skb);
    const struct tcphdr *th = tcp_hdr(skb);
    u32 count = tcp_cookie_time(net), data;
    int m = ARRAY_SIZE(msstab) - 1;

    tcp_synq_overflow(sk);
    while (m && *mssp < msstab[m])
        m--;
    *mssp = msstab[m];
    data = (u32)m << MSS_SHIFT;
    return cookie_hash(net, iph->saddr, iph->daddr, th->source, th->dest, 0, 0) + be32toh(th->seq) +
           (count << COOKIEBITS) +
           ((cookie_hash(net, iph->saddr, iph->daddr, th->source, th->dest, count, 1) + data) & COOKIEMASK);
}

/* The MSS encoded in the cookie that this ACK returns; 0: not a valid cookie. */
static u16 cookie_v4_check_mss(struct net *net, const struct sk_buff *skb)
{
    const struct iphdr *iph = ip_hdr(skb);
    const struct tcphdr *th = tcp_hdr(skb);
    u32 cookie = be32toh(th->ack_seq) - 1, seq = be32toh(th->seq) - 1, count = tcp_cookie_time(net), diff;

    cookie -= cookie_hash(net, iph->saddr, iph->daddr, th->source, th->dest, 0, 0) + seq;
    diff = (count - (cookie >> COOKIEBITS)) & ((u32)-1 >> COOKIEBITS);
    if (diff >= MAX_SYNCOOKIE_AGE)
        return 0;
    cookie = (cookie - cookie_hash(net, iph->saddr, iph->daddr, th->source, th->dest, count - diff, 1)) & COOKIEMASK;
    return cookie & (((u32)1 << MSS_SHIFT) - 1) ? 0 : msstab[cookie >> MSS_SHIFT];
}

u32 cookie_init_timestamp(const struct request_sock *req, u64 now_ns)
{
    u32 now_ms = (u32)(now_ns / NSEC_PER_MSEC), opts = req->wscale_ok ? req->snd_wscale : TS_OPT_WSCALE_MASK, ts;

    if (req->sack_ok)
        opts |= TS_OPT_SACK;
    if (req->ecn_ok)
        opts |= TS_OPT_ECN;
    ts = (now_ms & ~TSMASK) | opts;
    if (ts > now_ms) /* never in the future: the next true stamp must not be smaller */
        ts -= 1u << TSBITS;
    return ts;
}

/* Options out of the echoed timestamp. False: it says what we would not have offered. */
static bool cookie_timestamp_decode(const struct net *net, struct tcp_options_received *opt)
{
    u32 options = opt->rcv_tsecr;

    if (!opt->saw_tstamp) {
        tcp_clear_options(opt);
        return true;
    }
    if (!net->ipv4.sysctl_tcp_timestamps)
        return false;
    opt->sack_ok = (options & TS_OPT_SACK) ? TCP_SACK_SEEN : 0;
    if (opt->sack_ok && !net->ipv4.sysctl_tcp_sack)
        return false;
    if ((options & TS_OPT_WSCALE_MASK) == TS_OPT_WSCALE_MASK)
        return true; /* no window scaling */
    opt->wscale_ok = 1;
    opt->snd_wscale = options & TS_OPT_WSCALE_MASK;
    return net->ipv4.sysctl_tcp_window_scaling != 0;
}

/* A request as it would have been kept, from the cookie and the ACK. */
static struct request_sock *cookie_make_request(struct sock *sk, struct sk_buff *skb, u16 mss,
                                                const struct tcp_options_received *opt, u32 ts_off)
{
    struct request_sock *req = inet_reqsk_alloc(&tcp_request_sock_ops, sk);
    const struct iphdr *iph = ip_hdr(skb);
    const struct tcphdr *th = tcp_hdr(skb);

    if (!req)
        return NULL;
    req->syncookie = 1;
    req->rcv_isn = TCP_SKB_CB(skb)->seq - 1;
    req->rcv_nxt = TCP_SKB_CB(skb)->seq;
    req->snt_isn = TCP_SKB_CB(skb)->ack_seq - 1;
    req->mss = mss;
    req->ir_num = be16toh(th->dest);
    req->ir_rmt_port = th->source;
    req->ir_loc_addr = iph->daddr;
    req->ir_rmt_addr = iph->saddr;
    req->ir_iif = sk->sk_bound_dev_if;
    req->__req_common.skc_family = sk->sk_family;
    req->snd_wscale = opt->snd_wscale;
    req->sack_ok = opt->sack_ok != 0;
    req->wscale_ok = opt->wscale_ok;
    req->tstamp_ok = opt->saw_tstamp;
    req->ts_recent = opt->saw_tstamp ? opt->rcv_tsval : 0;
    req->ts_off = ts_off;
    req->ecn_ok = opt->saw_tstamp && (opt->rcv_tsecr & TS_OPT_ECN) && sock_net(sk)->ipv4.sysctl_tcp_ecn;
    req->snt_synack = 0;
    req->txhash = net_random_u32(sock_net(sk)) | 1;
    return req;
}

struct sock *cookie_v4_check(struct sock *sk, struct sk_buff *skb)
{
    const struct tcphdr *th = tcp_hdr(skb);
    struct tcp_options_received opt = {0};
    struct net *net = sock_net(sk);
    struct sock *child = NULL;
    struct request_sock *req;
    bool own_req = false;
    struct flowi4 fl = {0};
    struct rtable *rt;
    u32 ts_off;
    u16 mss;

    if (th->syn || !th->ack || th->rst || !net->ipv4.sysctl_tcp_syncookies)
        return sk;
    if (tcp_synq_no_recent_overflow(sk))
        return sk;
    mss = cookie_v4_check_mss(net, skb);
    if (!mss) {
        NET_INC_STATS(net, LINUX_MIB_SYNCOOKIESFAILED);
        return sk; /* a stray ACK: the listener answers by a reset */
    }
    NET_INC_STATS(net, LINUX_MIB_SYNCOOKIESRECV);
    tcp_parse_options(net, skb, &opt, 0);
    ts_off = secure_tcp_ts_off(net, ip_hdr(skb)->daddr, ip_hdr(skb)->saddr);
    if (opt.saw_tstamp && opt.rcv_tsecr)
        opt.rcv_tsecr -= ts_off;
    if (!cookie_timestamp_decode(net, &opt))
        return NULL;
    req = cookie_make_request(sk, skb, mss, &opt, ts_off);
    if (!req)
        return NULL;
    rt = inet_csk_route_req(sk, &fl, req);
    if (!rt)
        goto out;
    tcp_openreq_init_rwin(req, sk, &rt->dst);
    dst_release(&rt->dst);
    child = inet_csk(sk)->icsk_af_ops->syn_recv_sock(sk, skb, req, NULL, &own_req);
    if (!child)
        goto out;
    /* The request was in no table and never counted: its reference goes straight to the accept queue. */
    if (own_req && inet_csk_reqsk_queue_add(sk, req, child))
        return child;
    if (!own_req) { /* the same ACK once more: the connection is there already */
        inet_csk_prepare_forced_close(child);
        tcp_done(child);
        goto out;
    }
    bh_unlock_sock(child); /* the listener has closed; the request went with its queue */
    sock_put(child);
    return NULL;
out:
    reqsk_put(req);
    return NULL;
}
