/* SPDX-License-Identifier: MIT */
/* RACK loss detection (RFC 8985), the duplicate-ACK rule for peers without SACK (RFC 6582), and the windowed
 * minimum of the RTT that RACK's reordering window and the delivery rate need. */

#include "tcp.h"

enum { /* bits of net.ipv4.tcp_recovery */
    TCP_RACK_LOSS_DETECTION = 1,
    TCP_RACK_STATIC_REO_WND = 2,
    TCP_RACK_NO_DUPTHRESH = 4,
};
#define TCP_RACK_RECOVERY_THRESH 16 /* recoveries that a widened window outlives (RFC 8985 6.2 step 4) */
#define TCP_RACK_MAX_STEPS 0xff

static s64 elapsed_us(u64 later, u64 earlier) { return later > earlier ? (s64)(later - earlier) : 0; }

/* The reordering window in us (RFC 8985 6.2 step 4): none while no reordering was ever seen and either recovery
 * is on or DupThresh packets are SACKed; else a quarter of min_rtt for each step, at most srtt. */
static u32 tcp_rack_reo_wnd(const struct sock *sk)
{
    const struct tcp_sock *tp = tcp_sk(sk);

    if (!tp->reord_seen) {
        if (inet_csk(sk)->icsk_ca_state >= TCP_CA_Recovery)
            return 0;
        if (tp->sacked_out >= tp->reordering && !(sk->sk_net->ipv4.sysctl_tcp_recovery & TCP_RACK_NO_DUPTHRESH))
            return 0;
    }
    return (u32)min((u64)(tcp_min_rtt(tp) >> 2) * tp->rack.reo_wnd_steps, (u64)(tp->srtt_us >> 3));
}

/* How much longer (us) skb may be reordered rather than lost; <= 0: it is lost. */
s32 tcp_rack_skb_timeout(struct tcp_sock *tp, struct sk_buff *skb, u32 reo_wnd)
{
    return (s32)((s64)tp->rack.rtt_us + reo_wnd - elapsed_us(tp->tcp_mstamp, tcp_skb_timestamp_us(skb)));
}

/* RFC 8985 6.2 step 5: whatever was sent before the most recently delivered packet, by more than the
 * reordering window, is lost. *reo_timeout: us until the last of the others is, 0: none waits. The walk is over
 * tsorted_sent_queue and ends at the first packet that was sent later than the delivered one. */
static void tcp_rack_detect_loss(struct sock *sk, u32 *reo_timeout)
{
    struct tcp_sock *tp = tcp_sk(sk);
    struct sk_buff *skb, *next;
    u32 reo_wnd = tcp_rack_reo_wnd(sk);

    *reo_timeout = 0;
    cds_list_for_each_entry_safe(skb, next, &tp->tsorted_sent_queue, tcp_tsorted_anchor) {
        const u8 sacked = TCP_SKB_CB(skb)->sacked;
        s32 remaining;

        if ((sacked & TCPCB_LOST) && !(sacked & TCPCB_SACKED_RETRANS))
            continue; /* known; a loss probe sent it */
        if (tcp_skb_timestamp_us(skb) > tp->rack.mstamp_us)
            break;
        if (!tcp_rack_sent_after(tp->rack.mstamp_us, tcp_skb_timestamp_us(skb), tp->rack.end_seq,
                                 TCP_SKB_CB(skb)->end_seq))
            continue; /* at the same time as the delivered one: a lower one may follow (Linux ends here) */
        remaining = tcp_rack_skb_timeout(tp, skb, reo_wnd);
        if (remaining <= 0)
            tcp_mark_skb_lost(sk, skb); /* which takes it off the list */
        else
            *reo_timeout = max(*reo_timeout, (u32)remaining);
    }
}

/* Role: mark losses on an ACK that moved RACK forward. Returns true when the reordering timer was armed for
 * packets that may yet be lost (the caller must then not re-arm the RTO over it). */
bool tcp_rack_mark_lost(struct sock *sk)
{
    struct tcp_sock *tp = tcp_sk(sk);
    u32 timeout_us;

    if (!tp->rack.advanced)
        return false;
    tp->rack.advanced = 0;
    tcp_rack_detect_loss(sk, &timeout_us);
    if (timeout_us)
        inet_csk_reset_xmit_timer(sk, ICSK_TIME_REO_TIMEOUT, timeout_us * NSEC_PER_USEC + TCP_TIMEOUT_MIN,
                                  inet_csk(sk)->icsk_rto);
    return timeout_us != 0;
}

/* Role: a packet was delivered; remember the latest sent of them (RFC 8985 6.2 steps 1 and 2). An ACK of a
 * retransmission sooner than min_rtt was for the original and tells nothing. */
void tcp_rack_advance(struct tcp_sock *tp, u8 sacked, u32 end_seq, u64 xmit_time_us)
{
    u32 rtt_us = (u32)elapsed_us(tp->tcp_mstamp, xmit_time_us);

    if (rtt_us < tcp_min_rtt(tp) && (sacked & TCPCB_RETRANS))
        return;
    tp->rack.advanced = 1;
    tp->rack.rtt_us = rtt_us;
    if (tcp_rack_sent_after(xmit_time_us, tp->rack.mstamp_us, end_seq, tp->rack.end_seq)) {
        tp->rack.mstamp_us = xmit_time_us;
        tp->rack.end_seq = end_seq;
    }
}

/* Role: the reordering timer fired: what is still missing is lost (RFC 8985 6.3). Socket lock held. */
void tcp_rack_reo_timeout(struct sock *sk)
{
    struct inet_connection_sock *icsk = inet_csk(sk);
    struct tcp_sock *tp = tcp_sk(sk);
    u32 prior_inflight = tcp_packets_in_flight(tp), prior_lost = tp->lost, timeout_us;

    tcp_rack_detect_loss(sk, &timeout_us);
    if (prior_inflight != tcp_packets_in_flight(tp)) {
        if (icsk->icsk_ca_state != TCP_CA_Recovery) {
            tcp_enter_recovery(sk, false);
            if (!icsk->icsk_ca_ops->cong_control)
                tcp_cwnd_reduction(sk, 1, (int)(tp->lost - prior_lost), 0);
        }
        tcp_xmit_retransmit_queue(sk);
    }
    if (icsk->icsk_pending != ICSK_TIME_RETRANS)
        tcp_rearm_rto(sk);
}

/* Role: widen the reordering window by a step in a round trip that brought a D-SACK (a retransmission was
 * needless), back to one step after TCP_RACK_RECOVERY_THRESH recoveries without (RFC 8985 6.2 step 4). */
void tcp_rack_update_reo_wnd(struct sock *sk, struct rate_sample *rs)
{
    struct tcp_sock *tp = tcp_sk(sk);

    if ((sk->sk_net->ipv4.sysctl_tcp_recovery & TCP_RACK_STATIC_REO_WND) || !rs->prior_delivered)
        return;
    /* Once a round trip: not again for packets that were sent before the last widening. */
    if (before(rs->prior_delivered, tp->rack.last_delivered))
        tp->rack.dsack_seen = 0;
    if (tp->rack.dsack_seen) {
        if (tp->rack.reo_wnd_steps < TCP_RACK_MAX_STEPS)
            tp->rack.reo_wnd_steps++;
        tp->rack.dsack_seen = 0;
        tp->rack.last_delivered = tp->delivered;
        tp->rack.reo_wnd_persist = TCP_RACK_RECOVERY_THRESH;
    } else if (!tp->rack.reo_wnd_persist) {
        tp->rack.reo_wnd_steps = 1;
    }
}

/* Role: without SACK, mark the head lost after `reordering` duplicate ACKs, and on each partial ACK in
 * recovery (RFC 6582 3.2). Only the first segment of the head: nothing is known of the others. */
void tcp_newreno_mark_lost(struct sock *sk, bool snd_una_advanced)
{
    const u8 state = inet_csk(sk)->icsk_ca_state;
    struct tcp_sock *tp = tcp_sk(sk);
    struct sk_buff *skb;
    u32 mss;

    if (!(state < TCP_CA_Recovery && tp->sacked_out >= tp->reordering) &&
        !(state == TCP_CA_Recovery && snd_una_advanced))
        return;
    skb = tcp_rtx_queue_head(sk);
    if (!skb || (TCP_SKB_CB(skb)->sacked & TCPCB_LOST))
        return;
    mss = (u32)tcp_skb_mss(skb);
    if (tcp_skb_pcount(skb) > 1 && skb->len > mss)
        tcp_fragment(sk, TCP_FRAG_IN_RTX_QUEUE, skb, mss, mss); /* no memory: the whole head is resent */
    tcp_mark_skb_lost(sk, skb);
}

/* Role: the minimum of the RTT over the last win_ms, with three samples as state: the best, and the best of
 * what came after a quarter and after half of the window, which take over when the best grows too old. */
void tcp_min_rtt_update(struct tcp_sock *tp, u32 rtt_us, u64 now_ms, u64 win_ms)
{
    __auto_type s = tp->rtt_min.s;
    u64 age;

    if (rtt_us <= s[0].v || now_ms - s[2].t_ms > win_ms) { /* a new best, or nothing in the window */
        for (int i = 0; i < 3; i++) {
            s[i].t_ms = now_ms;
            s[i].v = rtt_us;
        }
        return;
    }
    for (int i = 1; i < 3; i++)
        if (rtt_us <= s[i].v) {
            for (int j = i; j < 3; j++) {
                s[j].t_ms = now_ms;
                s[j].v = rtt_us;
            }
            break;
        }
    age = now_ms - s[0].t_ms;
    if (age > win_ms) {
        /* The best has left the window; the second may have too. */
        for (int i = 0; i < 2 && now_ms - s[0].t_ms > win_ms; i++) {
            s[0] = s[1];
            s[1] = s[2];
            s[2].t_ms = now_ms;
            s[2].v = rtt_us;
        }
    } else if (s[1].t_ms == s[0].t_ms && age > win_ms / 4) {
        s[1].t_ms = s[2].t_ms = now_ms;
        s[1].v = s[2].v = rtt_us;
    } else if (s[2].t_ms == s[1].t_ms && age > win_ms / 2) {
        s[2].t_ms = now_ms;
        s[2].v = rtt_us;
    }
}
