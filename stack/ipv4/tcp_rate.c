/* SPDX-License-Identifier: MIT */
/* Delivery rate of the connection (draft-cheng-iccrg-delivery-rate-estimation): for each ACK, how many
 * packets were delivered over how long. BBR's model and TCP_INFO's tcpi_delivery_rate come from it.
 *
 * Each packet carries the connection's state at the time it was sent; when it is delivered, the difference
 * to the state then is one sample. The send interval and the ACK interval are both measured and the longer
 * counts: a burst of ACKs must not look like bandwidth. */

#include "tcp.h"

/* The cb has room for the low 32 bits of a us stamp. 0 means "already taken into account". */
static u32 stamp_low(u64 us)
{
    u32 low = (u32)us;
    return low ? low : 1;
}

/* The stamp that stamp_low() made, given that it lies less than 71 minutes before now. */
static u64 stamp_restore(u64 now_us, u32 low) { return now_us - (u32)((u32)now_us - low); }

/* Never negative: two stamps taken in one poll may be equal, and a clone's may be a departure time ahead. */
static u32 stamp_delta_us(u64 later, u64 earlier) { return later > earlier ? (u32)(later - earlier) : 0; }

/* Role: note the state at transmission in the packet. skb: about to be sent (again), its tstamp set. */
void tcp_rate_skb_sent(struct sock *sk, struct sk_buff *skb)
{
    struct tcp_sock *tp = tcp_sk(sk);
    struct tcp_skb_cb *scb = TCP_SKB_CB(skb);

    /* Nothing in flight: both intervals start here, or the idle time would count as transmission time. */
    if (!tp->packets_out) {
        tp->first_tx_mstamp = tcp_skb_timestamp_us(skb);
        tp->delivered_mstamp = tp->first_tx_mstamp;
    }
    scb->tx.first_tx_us = stamp_low(tp->first_tx_mstamp);
    scb->tx.delivered_us = stamp_low(tp->delivered_mstamp);
    scb->tx.delivered = tp->delivered;
    scb->tx.delivered_ce = tp->delivered_ce;
    scb->tx.is_app_limited = tp->app_limited ? 1 : 0;
}

/* Role: skb was just (s)acked; keep in rs the sample of the most recently sent packet of this ACK. */
void tcp_rate_skb_delivered(struct sock *sk, struct sk_buff *skb, struct rate_sample *rs)
{
    struct tcp_sock *tp = tcp_sk(sk);
    struct tcp_skb_cb *scb = TCP_SKB_CB(skb);
    u64 sent_us;

    if (!scb->tx.delivered_us) /* it was SACKed before */
        return;
    sent_us = tcp_skb_timestamp_us(skb);
    if (!rs->prior_delivered || tcp_rack_sent_after(sent_us, tp->first_tx_mstamp, scb->end_seq, rs->last_end_seq)) {
        u64 first_tx = stamp_restore(tp->tcp_mstamp, scb->tx.first_tx_us);

        rs->prior_delivered = scb->tx.delivered;
        rs->prior_delivered_ce = scb->tx.delivered_ce;
        rs->prior_mstamp_us = stamp_restore(tp->tcp_mstamp, scb->tx.delivered_us);
        rs->is_app_limited = scb->tx.is_app_limited;
        rs->is_retrans = (scb->sacked & TCPCB_RETRANS) != 0;
        rs->last_end_seq = scb->end_seq;
        tp->first_tx_mstamp = sent_us; /* the next sample's send interval begins where this one ends */
        rs->interval_us = stamp_delta_us(sent_us, first_tx);
    }
    /* A SACKed packet stays on the queue until the cumulative ACK: it must not be sampled twice. */
    if (scb->sacked & TCPCB_SACKED_ACKED)
        scb->tx.delivered_us = 0;
}

/* Role: finish the ACK's sample. delivered, lost: packets newly so by this ACK. rs->delivered and
 * rs->interval_us are -1 when there is no valid sample. */
void tcp_rate_gen(struct sock *sk, u32 delivered, u32 lost, bool is_sack_reneg, struct rate_sample *rs)
{
    struct tcp_sock *tp = tcp_sk(sk);
    u32 snd_us, ack_us;

    if (tp->app_limited && after(tp->delivered, tp->app_limited))
        tp->app_limited = 0; /* the bubble in the pipe has left it */
    if (delivered)
        tp->delivered_mstamp = tp->tcp_mstamp;
    rs->acked_sacked = delivered;
    rs->losses = (int)lost;

    /* Reneging takes back what was counted as delivered. */
    if (!rs->prior_mstamp_us || is_sack_reneg) {
        rs->delivered = -1;
        rs->interval_us = -1;
        return;
    }
    rs->delivered = (s32)(tp->delivered - rs->prior_delivered);
    rs->delivered_ce = (s32)((tp->delivered_ce - rs->prior_delivered_ce) & 0xfffff); /* 20 bits in the cb */

    snd_us = (u32)rs->interval_us;
    ack_us = stamp_delta_us(tp->tcp_mstamp, rs->prior_mstamp_us);
    rs->snd_interval_us = snd_us;
    rs->rcv_interval_us = ack_us;
    rs->interval_us = max(snd_us, ack_us);

    /* Shorter than the least RTT ever seen: a spurious retransmission's ACK was for the original. */
    if (rs->interval_us < (long)tcp_min_rtt(tp)) {
        rs->interval_us = -1;
        return;
    }
    /* For TCP_INFO: the newest sample, but an application-limited one only when it is faster. */
    if (!rs->is_app_limited || (u64)rs->delivered * tp->rate_interval_us >= (u64)tp->rate_delivered * (u64)rs->interval_us) {
        tp->rate_delivered = (u32)rs->delivered;
        tp->rate_interval_us = (u32)rs->interval_us;
        tp->rate_app_limited = rs->is_app_limited;
    }
}

/* Role: mark the connection application-limited when nothing but the program holds it back: less than one
 * segment to send, nothing with the qdisc or the device, room in cwnd, and all losses retransmitted. */
void tcp_rate_check_app_limited(struct sock *sk)
{
    struct tcp_sock *tp = tcp_sk(sk);
    u32 in_flight = tcp_packets_in_flight(tp);
    s32 below = atomic_load_explicit(&sk->sk_wmem_alloc, memory_order_relaxed) - 1;

    if (tp->write_seq - tp->snd_nxt < tp->mss_cache && below < (s32)TCP_SKB_MIN_TRUESIZE / 2 &&
        in_flight < tcp_snd_cwnd(tp) && tp->lost_out <= tp->retrans_out) {
        tp->app_limited = tp->delivered + in_flight;
        if (!tp->app_limited)
            tp->app_limited = 1;
    }
}
