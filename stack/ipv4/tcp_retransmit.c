/* SPDX-License-Identifier: MIT */
/* Sending again: one sk_buff (RTO, fast retransmit), everything marked lost (RFC 6675), and the tail loss
 * probe (RFC 8985 7). Which ones are lost is decided in tcp_loss.c and tcp_recovery.c. */

#include "tcp_output.h"

/* ECN set-up did not get an answer: the retransmitted SYN asks without (RFC 3168 6.1.1.1). ecn_flags stay: the
 * answer may be to the first SYN. */
static void tcp_ecn_clear_syn(const struct sock *sk, struct sk_buff *skb)
{
    if (sock_net(sk)->ipv4.sysctl_tcp_ecn_fallback)
        TCP_SKB_CB(skb)->tcp_flags &= (u8) ~(TCPHDR_ECE | TCPHDR_CWR);
}

/* Drop what was acknowledged of skb. 0 or -errno. */
static int tcp_retrans_trim(struct sock *sk, struct sk_buff *skb)
{
    struct tcp_sock *tp = tcp_sk(sk);
    struct tcp_skb_cb *cb = TCP_SKB_CB(skb);

    if (before(cb->seq, tp->snd_una) && (cb->tcp_flags & TCPHDR_SYN)) { /* SYN with data: the SYN is done */
        cb->tcp_flags &= (u8)~TCPHDR_SYN;
        cb->seq++;
    }
    if (!before(cb->seq, tp->snd_una))
        return 0;
    if (unlikely(before(cb->end_seq, tp->snd_una)))
        return -EINVAL;
    return tcp_trim_head(sk, skb, tp->snd_una - cb->seq) ? -ENOMEM : 0;
}

/* Cut skb to `segs` segments within the window, or fill it up from its successors. 0 or -errno. */
static int tcp_retrans_fit(struct sock *sk, struct sk_buff *skb, int segs, int cur_mss)
{
    struct tcp_sock *tp = tcp_sk(sk);
    int avail_wnd = (int)(tcp_wnd_end(tp) - TCP_SKB_CB(skb)->seq), len, diff;

    /* The peer shrank its window behind this one. Only the first is sent then: it is the window probe. */
    if (avail_wnd <= 0) {
        if (TCP_SKB_CB(skb)->seq != tp->snd_una)
            return -EAGAIN;
        avail_wnd = cur_mss;
    }
    len = cur_mss * segs;
    if (len > avail_wnd) {
        len = avail_wnd - avail_wnd % cur_mss;
        if (!len)
            len = avail_wnd;
    }
    if ((int)skb->len > len)
        return tcp_fragment(sk, TCP_FRAG_IN_RTX_QUEUE, skb, (u32)len, (unsigned int)cur_mss) ? -ENOMEM : 0;
    if (skb_unclone(skb))
        return -ENOMEM;
    diff = tcp_skb_pcount(skb);
    tcp_set_skb_tso_segs(skb, (unsigned int)cur_mss);
    diff -= tcp_skb_pcount(skb);
    if (diff)
        tcp_adjust_pcount(sk, skb, diff);
    avail_wnd = min(avail_wnd, cur_mss);
    if ((int)skb->len < avail_wnd)
        tcp_retrans_try_collapse(sk, skb, avail_wnd);
    return 0;
}

/* Role: send skb, which is on the retransmission queue, again: at most segs segments of it. 0, >0 local
 * congestion, or -EBUSY (still with the device), -EAGAIN (beyond the window), -ENOMEM, -EHOSTUNREACH. */
int __tcp_retransmit_skb(struct sock *sk, struct sk_buff *skb, int segs)
{
    struct inet_connection_sock *icsk = inet_csk(sk);
    struct tcp_sock *tp = tcp_sk(sk);
    struct net *net = sock_net(sk);
    int err;

    if (icsk->icsk_mtup.probe_size)
        icsk->icsk_mtup.probe_size = 0; /* the probe tells nothing now */
    if (skb_still_in_host_queue(sk, skb))
        return -EBUSY;
    err = tcp_retrans_trim(sk, skb);
    if (err)
        return err;
    if (icsk->icsk_af_ops->rebuild_header(sk))
        return -EHOSTUNREACH;
    err = tcp_retrans_fit(sk, skb, segs, (int)tcp_current_mss(sk));
    if (err)
        return err;
    if ((TCP_SKB_CB(skb)->tcp_flags & TCPHDR_SYN_ECN) == TCPHDR_SYN_ECN)
        tcp_ecn_clear_syn(sk, skb);

    segs = tcp_skb_pcount(skb);
    NET_ADD_STATS(net, TCP_MIB_RETRANSSEGS, (u32)segs);
    if (TCP_SKB_CB(skb)->tcp_flags & TCPHDR_SYN)
        NET_INC_STATS(net, LINUX_MIB_TCPSYNRETRANS);
    tp->total_retrans += (u32)segs;
    tp->bytes_retrans += skb->len;
    err = tcp_transmit_skb(sk, skb, 1);
    /* Set also on failure: skb->tstamp was rewritten, it may give no RTT sample (Karn). */
    TCP_SKB_CB(skb)->sacked |= TCPCB_EVER_RETRANS;
    if (unlikely(err) && err != -EBUSY)
        NET_ADD_STATS(net, LINUX_MIB_TCPRETRANSFAIL, (u32)segs);
    return err;
}

int tcp_retransmit_skb(struct sock *sk, struct sk_buff *skb, int segs)
{
    struct tcp_sock *tp = tcp_sk(sk);
    int err = __tcp_retransmit_skb(sk, skb, segs);

    if (err == 0) {
        TCP_SKB_CB(skb)->sacked |= TCPCB_SACKED_RETRANS | TCPCB_EVER_RETRANS;
        tp->retrans_out += (u32)tcp_skb_pcount(skb);
    }
    if (!tp->retrans_stamp) /* of the first attempt: for undo and for time-outs */
        tp->retrans_stamp = (u32)(skb->tstamp / NSEC_PER_MSEC);
    if (tp->undo_retrans < 0)
        tp->undo_retrans = 0;
    tp->undo_retrans += tcp_skb_pcount(skb);
    return err;
}

/* Role: retransmit what is marked lost, as far as the congestion window allows. */
void tcp_xmit_retransmit_queue(struct sock *sk)
{
    const struct inet_connection_sock *icsk = inet_csk(sk);
    struct tcp_sock *tp = tcp_sk(sk);
    struct sk_buff *skb, *rtx_head, *hole = NULL;
    bool rearm_timer = false;
    u32 max_segs;

    if (!tp->packets_out)
        return;
    rtx_head = tcp_rtx_queue_head(sk);
    skb = tp->retransmit_skb_hint ? tp->retransmit_skb_hint : rtx_head;
    if (!skb)
        return;
    max_segs = tcp_tso_segs(sk, tcp_current_mss(sk));
    skb_rbtree_walk_from(skb)
    {
        int segs = (int)(tcp_snd_cwnd(tp) - tcp_packets_in_flight(tp));
        u8 sacked = TCP_SKB_CB(skb)->sacked;

        if (tcp_pacing_check(sk))
            break;
        if (!hole) /* the next call goes on here */
            tp->retransmit_skb_hint = skb;
        if (segs <= 0 || tp->retrans_out >= tp->lost_out)
            break;
        if (!(sacked & TCPCB_LOST)) {
            if (!hole && !(sacked & (TCPCB_SACKED_RETRANS | TCPCB_SACKED_ACKED)))
                hole = skb;
            continue;
        }
        if (sacked & (TCPCB_SACKED_ACKED | TCPCB_SACKED_RETRANS))
            continue;
        if (tcp_small_queue_check(sk, skb, 1))
            break;
        if (tcp_retransmit_skb(sk, skb, min(segs, (int)max_segs)))
            break;
        NET_ADD_STATS(sock_net(sk),
                      icsk->icsk_ca_state != TCP_CA_Loss ? LINUX_MIB_TCPFASTRETRANS
                                                         : LINUX_MIB_TCPSLOWSTARTRETRANS,
                      (u32)tcp_skb_pcount(skb));
        if (tcp_in_cwnd_reduction(sk))
            tp->prr_out += (u32)tcp_skb_pcount(skb);
        if (skb == rtx_head && icsk->icsk_pending != ICSK_TIME_REO_TIMEOUT)
            rearm_timer = true;
    }
    if (rearm_timer)
        tcp_reset_xmit_timer(sk, ICSK_TIME_RETRANS, icsk->icsk_rto, tcp_rto_max(sk));
}

/* ---- tail loss probe (RFC 8985 7) ----------------------------------------------------------------------- */

/* ns until the RTO of the oldest packet; 0 or less: due. */
static s64 tcp_rto_delta(const struct sock *sk)
{
    const struct sk_buff *skb = tcp_rtx_queue_head(sk);
    u64 start = skb ? skb->tstamp : tcp_sk(sk)->tcp_clock_cache;

    return (s64)(start + inet_csk(sk)->icsk_rto - tcp_sk(sk)->tcp_clock_cache);
}

/* Role: arm the probe instead of the RTO when that is sooner. True: armed.
 * advancing_rto: the RTO counts from now. */
bool tcp_schedule_loss_probe(struct sock *sk, bool advancing_rto)
{
    const struct inet_connection_sock *icsk = inet_csk(sk);
    const struct tcp_sock *tp = tcp_sk(sk);
    int early_retrans = sock_net(sk)->ipv4.sysctl_tcp_early_retrans;
    u64 timeout;
    s64 rto_delta;

    if (tp->fastopen_rsk)
        return false;
    if ((early_retrans != 3 && early_retrans != 4) || !tp->packets_out || !tcp_is_sack(tp) ||
        (icsk->icsk_ca_state != TCP_CA_Open && icsk->icsk_ca_state != TCP_CA_CWR))
        return false;
    /* Two round trips, and a delayed ACK's worth when one packet is out (RFC 8985 7.2). */
    if (tp->srtt_us)
        timeout = (u64)(tp->srtt_us >> 2) * NSEC_PER_USEC +
                  (tp->packets_out == 1 ? tcp_rto_min(sk) : TCP_TIMEOUT_MIN);
    else
        timeout = TCP_TIMEOUT_INIT;
    rto_delta = advancing_rto ? (s64)icsk->icsk_rto : tcp_rto_delta(sk);
    if (rto_delta > 0)
        timeout = min(timeout, (u64)rto_delta);
    tcp_reset_xmit_timer(sk, ICSK_TIME_LOSS_PROBE, timeout, tcp_rto_max(sk));
    return true;
}

/* Send the last segment again. 0 or not sent. */
static int tcp_probe_last_segment(struct sock *sk, unsigned int mss)
{
    struct sk_buff *skb = tcp_rtx_queue_tail(sk);
    int pcount;

    if (skb_still_in_host_queue(sk, skb))
        return -EBUSY;
    pcount = tcp_skb_pcount(skb);
    if (pcount > 1 && skb->len > (u32)(pcount - 1) * mss) {
        if (unlikely(tcp_fragment(sk, TCP_FRAG_IN_RTX_QUEUE, skb, (u32)(pcount - 1) * mss, mss)))
            return -ENOMEM;
        skb = skb_rb_next(skb);
    }
    return __tcp_retransmit_skb(sk, skb, 1);
}

/* The probe timer fired: send new data if there is any and it may go, else the last segment again. */
void tcp_send_loss_probe(struct sock *sk)
{
    struct inet_connection_sock *icsk = inet_csk(sk);
    struct tcp_sock *tp = tcp_sk(sk);
    unsigned int mss = tcp_current_mss(sk);
    struct sk_buff *skb = tcp_send_head(sk);
    u32 pcount = tp->packets_out;

    if (tp->tlp_high_seq) /* one probe at a time */
        goto rearm_timer;
    tp->tlp_retrans = 0;
    if (skb && tcp_snd_wnd_test(tp, skb, mss)) {
        tcp_write_xmit(sk, mss, TCP_NAGLE_OFF, 2);
        if (tp->packets_out <= pcount)
            goto rearm_timer;
    } else {
        if (unlikely(tcp_rtx_queue_empty(sk))) {
            icsk->icsk_pending = 0;
            return;
        }
        if (tcp_probe_last_segment(sk, mss))
            goto rearm_timer;
        tp->tlp_retrans = 1;
    }
    tp->tlp_high_seq = tp->snd_nxt;
    NET_INC_STATS(sock_net(sk), LINUX_MIB_TCPLOSSPROBES);
    icsk->icsk_pending = 0; /* so that the RTO counts from now */
rearm_timer:
    tcp_rearm_rto(sk);
}
