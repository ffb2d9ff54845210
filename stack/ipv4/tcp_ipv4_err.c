// SPDX-License-Identifier: MIT
/* ICMP errors about a TCP segment of ours (RFC 1122 4.2.3.9, RFC 5927): path MTU, unreachable, time exceeded. */

#include "tcp_fastopen.h"
#include "tcp_output.h"
#include <linux/icmp.h>

void tcp_v4_mtu_reduced(struct sock *sk)
{
    struct dst_entry *dst;
    u32 mtu;

    if (TCPF(sk->sk_state) & (TCPF_LISTEN | TCPF_CLOSE))
        return;
    mtu = READ_ONCE(tcp_sk(sk)->mtu_info);
    dst = __sk_dst_check(sk);
    if (!dst && !inet_csk(sk)->icsk_af_ops->rebuild_header(sk)) /* it became void just now */
        dst = __sk_dst_check(sk);
    if (!dst)
        return;
    ip_rt_update_pmtu(sock_net(sk), dst, inet_sk(sk)->inet_daddr, mtu);
    if (mtu < dst_mtu(dst) && ip_dont_fragment(sk, dst)) /* this may not go well */
        WRITE_ONCE(sk->sk_err_soft, EMSGSIZE);
    mtu = dst_mtu(dst);
    if (inet_sk(sk)->pmtudisc != IP_PMTUDISC_DONT && ip_sk_accept_pmtu(sk) && inet_csk(sk)->icsk_pmtu_cookie > mtu) {
        tcp_sync_mss(sk, mtu);
        tcp_mstamp_refresh(tcp_sk(sk));
        tcp_simple_retransmit(sk); /* what is in flight was too large: send it again, smaller */
    }
}

/* Tell a socket whose slock is held of an ICMP error: a connection attempt fails with err. */
static void tcp_v4_err_report(struct sock *sk, const struct sk_buff *skb, int err, u32 info)
{
    switch ((u8)sk->sk_state) {
    case TCP_SYN_SENT:
    case TCP_SYN_RECV:
        if (tcp_sk(sk)->fastopen_rsk && !tcp_sk(sk)->fastopen_rsk->sk)
            break; /* the program has it: as one that is connected */
        tcp_icmp_error(sk, skb, err, info);
        if (!sock_owned_by_user(sk)) {
            WRITE_ONCE(sk->sk_err, err);
            sk->sk_error_report(sk);
            tcp_done(sk);
        } else {
            WRITE_ONCE(sk->sk_err_soft, err);
        }
        return;
    }
    /* Established: no ICMP error is fatal (RFC 5927 5.2); the program sees it only if it asked to. */
    if (!sock_owned_by_user(sk) && inet_sk(sk)->recverr) {
        WRITE_ONCE(sk->sk_err, err);
        sk->sk_error_report(sk);
    } else {
        WRITE_ONCE(sk->sk_err_soft, err);
    }
}

static int tcp_v4_err_locked(struct sock *sk, struct sk_buff *skb, u32 info, u32 seq)
{
    const int type = icmp_hdr(skb)->type, code = icmp_hdr(skb)->code;
    struct tcp_sock *tp = tcp_sk(sk);
    u32 snd_una = tp->fastopen_rsk ? tp->fastopen_rsk->snt_isn : tp->snd_una;
    int err;

    if (sk->sk_state == TCP_CLOSE)
        return 0;
    /* RFC 5927 4.1: the quoted segment must be one in flight. */
    if (sk->sk_state != TCP_LISTEN && !between(seq, snd_una, tp->snd_nxt)) {
        NET_INC_STATS(sock_net(sk), LINUX_MIB_OUTOFWINDOWICMPS);
        return 0;
    }
    switch (type) {
    case ICMP_PARAMETERPROB:
        err = EPROTO;
        break;
    case ICMP_DEST_UNREACH:
        if (code > NR_ICMP_UNREACH)
            return 0;
        if (code == ICMP_FRAG_NEEDED) {
            if (sk->sk_state == TCP_LISTEN)
                return 0;
            WRITE_ONCE(tp->mtu_info, info);
            if (!sock_owned_by_user(sk))
                tcp_v4_mtu_reduced(sk);
            else if (!test_and_set_tsq(tp, TCP_MTU_REDUCED_DEFERRED))
                sock_hold(sk);
            return 0;
        }
        err = icmp_err_convert[code].errno_;
        if (!tp->fastopen_rsk && (code == ICMP_NET_UNREACH || code == ICMP_HOST_UNREACH))
            tcp_ld_RTO_revert(sk, seq);
        break;
    case ICMP_TIME_EXCEEDED:
        err = EHOSTUNREACH;
        break;
    default:
        return 0;
    }
    tcp_v4_err_report(sk, skb, err, info);
    return 0;
}

/* Role: inet err_handler. skb->data at the inner IP header (ours, outgoing); not taken over. RCU section. */
int tcp_v4_err(struct sk_buff *skb, u32 info)
{
    const struct iphdr *iph = (const struct iphdr *)skb->data;
    struct { __be16 source, dest; __be32 seq; } t;
    struct sock_common *skc;
    struct sock *sk;
    u32 seq;

    if (skb_copy_bits(skb, iph->ihl * 4u, &t, sizeof(t)))
        return -EINVAL;
    seq = be32toh(t.seq);
    skc = __inet_lookup_established(skb->net, iph->daddr, t.dest, iph->saddr, be16toh(t.source), skb->dev->ifindex);
    if (!skc || !sock_hold_safe(skc)) {
        NET_INC_STATS(skb->net, ICMP_MIB_INERRORS);
        return -ENOENT;
    }
    if (atomic_load(&skc->skc_state) == TCP_TIME_WAIT) {
        inet_twsk_put((struct inet_timewait_sock *)skc);
        return 0;
    }
    if (atomic_load(&skc->skc_state) == TCP_NEW_SYN_RECV) {
        struct request_sock *req = (struct request_sock *)skc;

        if (seq != req->snt_isn)
            NET_INC_STATS(skb->net, LINUX_MIB_OUTOFWINDOWICMPS);
        else if (icmp_hdr(skb)->type == ICMP_DEST_UNREACH && icmp_hdr(skb)->code <= NR_ICMP_UNREACH &&
                 icmp_hdr(skb)->code != ICMP_FRAG_NEEDED && icmp_err_convert[icmp_hdr(skb)->code].fatal)
            inet_csk_reqsk_queue_drop(req->rsk_listener, req);
        reqsk_put(req);
        return 0;
    }
    sk = (struct sock *)skc;
    if (unlikely(iph->ttl < READ_ONCE(inet_sk(sk)->min_ttl))) { /* RFC 5082: it came from farther than it may */
        NET_INC_STATS(skb->net, LINUX_MIB_TCPMINTTLDROP);
        sock_put(sk);
        return 0;
    }
    bh_lock_sock(sk);
    if (sock_owned_by_user(sk) && !(icmp_hdr(skb)->type == ICMP_DEST_UNREACH && icmp_hdr(skb)->code == ICMP_FRAG_NEEDED))
        NET_INC_STATS(skb->net, LINUX_MIB_LOCKDROPPEDICMPS);
    tcp_v4_err_locked(sk, skb, info, seq);
    bh_unlock_sock(sk);
    sock_put(sk);
    return 0;
}
