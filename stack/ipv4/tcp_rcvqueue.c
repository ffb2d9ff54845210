// SPDX-License-Identifier: MIT
/* The receiver: in-order and out-of-order queues, SACK and D-SACK generation (RFC 2018, 2883), receive
 * window and buffer tuning, and when to acknowledge (RFC 1122 4.2.3.2, RFC 5681 4.2). */

#include "tcp_input.h"

void tcp_drop_reason(struct sock *sk, struct sk_buff *skb, enum skb_drop_reason reason)
{
    atomic_fetch_add_explicit(&sk->sk_drops, 1, memory_order_relaxed);
    kfree_skb_reason(skb, reason);
}

/* ---- when to acknowledge --------------------------------------------------------------------------------- */

static void tcp_incr_quickack(struct sock *sk, unsigned int max_quickacks)
{
    struct inet_connection_sock *icsk = inet_csk(sk);
    unsigned int quickacks = icsk->icsk_ack.rcv_mss ? tcp_sk(sk)->rcv_wnd / (2 * icsk->icsk_ack.rcv_mss) : 0;

    quickacks = clamp(quickacks, 2u, max_quickacks);
    if (quickacks > icsk->icsk_ack.quick)
        icsk->icsk_ack.quick = (u8)quickacks;
}

void tcp_enter_quickack_mode(struct sock *sk, unsigned int max_quickacks)
{
    tcp_incr_quickack(sk, max_quickacks);
    inet_csk_exit_pingpong_mode(sk);
    inet_csk(sk)->icsk_ack.ato = TCP_ATO_MIN;
}

void tcp_dec_quickack_mode(struct sock *sk)
{
    struct inet_connection_sock *icsk = inet_csk(sk);

    if (!icsk->icsk_ack.quick)
        return;
    icsk->icsk_ack.quick--;
    if (!icsk->icsk_ack.quick)
        icsk->icsk_ack.ato = TCP_ATO_MIN; /* leaving quick-ACK mode deflates ATO */
}

bool tcp_in_quickack_mode(struct sock *sk)
{
    const struct inet_connection_sock *icsk = inet_csk(sk);

    return icsk->icsk_ack.quick && !inet_csk_in_pingpong_mode(sk);
}

/* The peer's segment size, for the decision "two full segments". */
static void tcp_measure_rcv_mss(struct sock *sk, const struct sk_buff *skb)
{
    struct inet_connection_sock *icsk = inet_csk(sk);
    const unsigned int lss = icsk->icsk_ack.last_seg_size;
    struct tcp_sock *tp = tcp_sk(sk);
    unsigned int len;

    icsk->icsk_ack.last_seg_size = 0;
    len = skb_shinfo(skb)->gso_size ? skb_shinfo(skb)->gso_size : skb->len;
    if (len >= icsk->icsk_ack.rcv_mss) {
        /* What part of a received buffer is payload decides how much window a buffer is worth. */
        if (len != icsk->icsk_ack.rcv_mss || tp->scaling_ratio < 16) {
            u64 val = ((u64)skb->len << 8) / max(skb->truesize, 1u);
            u8 old_ratio = tp->scaling_ratio;

            tp->scaling_ratio = (u8)clamp(val, (u64)1, (u64)255);
            if (old_ratio != tp->scaling_ratio && !(sk->sk_userlocks & SOCK_RCVBUF_LOCK))
                WRITE_ONCE(tp->window_clamp, (u32)tcp_win_from_space(sk, sk->sk_rcvbuf));
        }
        icsk->icsk_ack.rcv_mss = (u16)min(len, (unsigned int)tp->advmss);
        if (TCP_SKB_CB(skb)->tcp_flags & TCPHDR_PSH)
            icsk->icsk_ack.pending |= ICSK_ACK_PUSHED;
        return;
    }
    /* Small segments: believe them only when two of the same size follow each other. */
    len += (unsigned int)(skb->data - skb_transport_header(skb));
    if (len >= TCP_MSS_DEFAULT_ + sizeof(struct tcphdr) ||
        (len >= TCP_MIN_MSS + sizeof(struct tcphdr) &&
         !(TCP_SKB_CB(skb)->tcp_flags & (TCPHDR_FIN | TCPHDR_URG | TCPHDR_SYN | TCPHDR_PSH)))) {
        len -= tp->tcp_header_len;
        icsk->icsk_ack.last_seg_size = (u16)len;
        if (len == lss) {
            icsk->icsk_ack.rcv_mss = (u16)len;
            return;
        }
    }
    if (icsk->icsk_ack.pending & ICSK_ACK_PUSHED)
        icsk->icsk_ack.pending |= ICSK_ACK_PUSHED2;
    icsk->icsk_ack.pending |= ICSK_ACK_PUSHED;
}

static void tcp_rcv_rtt_update(struct tcp_sock *tp, u32 sample, int win_dep)
{
    u32 new_sample = tp->rcv_rtt_est.rtt_us;
    long m = sample;

    if (new_sample != 0) {
        /* Without timestamps the sample is one window long: take the minimum (win_dep). */
        if (!win_dep) {
            m -= (new_sample >> 3);
            new_sample += (u32)m;
        } else {
            m <<= 3;
            if (m < (long)new_sample)
                new_sample = (u32)m;
        }
    } else {
        new_sample = (u32)m << 3;
    }
    tp->rcv_rtt_est.rtt_us = new_sample;
}

static void tcp_rcv_rtt_measure(struct tcp_sock *tp)
{
    if (tp->rcv_rtt_est.time_us == 0)
        goto new_measure;
    if (before(tp->rcv_nxt, tp->rcv_rtt_est.seq))
        return;
    tcp_rcv_rtt_update(tp, max_t(u32, 1, (u32)(tp->tcp_mstamp - tp->rcv_rtt_est.time_us)), 1);
new_measure:
    tp->rcv_rtt_est.seq = tp->rcv_nxt + tp->rcv_wnd;
    tp->rcv_rtt_est.time_us = tp->tcp_mstamp;
}

void tcp_rcv_rtt_measure_ts(struct sock *sk, const struct sk_buff *skb)
{
    struct tcp_sock *tp = tcp_sk(sk);
    u32 delta;

    if (tp->rx_opt.rcv_tsecr == tp->rcv_rtt_last_tsecr)
        return;
    tp->rcv_rtt_last_tsecr = tp->rx_opt.rcv_tsecr;
    if (TCP_SKB_CB(skb)->end_seq - TCP_SKB_CB(skb)->seq < inet_csk(sk)->icsk_ack.rcv_mss || !tp->rx_opt.rcv_tsecr)
        return;
    delta = tcp_time_stamp_ts(tp) - tp->rx_opt.rcv_tsecr;
    if (delta < 1000 * 1000)
        tcp_rcv_rtt_update(tp, max_t(u32, delta, 1) * 1000, 0);
}

/* Truesize per payload allows how fast rcv_ssthresh may grow. */
static u32 __tcp_grow_window(const struct sock *sk, const struct sk_buff *skb, unsigned int skbtruesize)
{
    const struct tcp_sock *tp = tcp_sk(sk);
    int truesize = tcp_win_from_space(sk, (int)skbtruesize) >> 1;
    int window = tcp_win_from_space(sk, sock_net(sk)->ipv4.sysctl_tcp_rmem[2]) >> 1;

    while (tp->rcv_ssthresh <= (u32)window) {
        if (truesize <= (int)skb->len)
            return 2u * inet_csk(sk)->icsk_ack.rcv_mss;
        truesize >>= 1;
        window >>= 1;
    }
    return 0;
}

static void tcp_grow_window(struct sock *sk, const struct sk_buff *skb)
{
    struct tcp_sock *tp = tcp_sk(sk);
    s64 room = (s64)min_t(s64, tp->window_clamp, tcp_space(sk)) - tp->rcv_ssthresh;
    unsigned int truesize = skb->truesize;
    u32 incr;

    if (room <= 0)
        return;
    /* Linear memory that is mostly headroom should not count against the sender's growth. */
    if (tcp_win_from_space(sk, (int)truesize) <= (int)skb->len)
        incr = 2u * tp->advmss;
    else
        incr = __tcp_grow_window(sk, skb, truesize);
    if (incr) {
        incr = max_t(u32, incr, 2 * skb->len);
        tp->rcv_ssthresh += (u32)min_t(s64, room, incr);
        inet_csk(sk)->icsk_ack.quick |= 1;
    }
}

/* New data: measure, predict when the program answers (ATO), note ECN, grow the window. */
void tcp_event_data_recv(struct sock *sk, struct sk_buff *skb)
{
    struct tcp_sock *tp = tcp_sk(sk);
    struct inet_connection_sock *icsk = inet_csk(sk);
    u64 now = tcp_clock_ns(sk);

    inet_csk_schedule_ack(sk);
    tcp_measure_rcv_mss(sk, skb);
    tcp_rcv_rtt_measure(tp);
    if (!icsk->icsk_ack.ato) {
        /* The first data packet received: quick ACKs until the sender has found its rhythm. */
        tcp_incr_quickack(sk, TCP_MAX_QUICKACKS);
        icsk->icsk_ack.ato = TCP_ATO_MIN;
    } else {
        u64 m = now - icsk->icsk_ack.lrcvtime;

        if (m <= TCP_ATO_MIN / 2) {
            icsk->icsk_ack.ato = (icsk->icsk_ack.ato >> 1) + TCP_ATO_MIN / 2;
        } else if (m < icsk->icsk_ack.ato) {
            icsk->icsk_ack.ato = (icsk->icsk_ack.ato >> 1) + m;
            if (icsk->icsk_ack.ato > icsk->icsk_rto)
                icsk->icsk_ack.ato = icsk->icsk_rto;
        } else if (m > icsk->icsk_rto) {
            tcp_incr_quickack(sk, TCP_MAX_QUICKACKS); /* too long gap: sender went idle */
        }
    }
    icsk->icsk_ack.lrcvtime = now;
    tcp_ecn_check_ce(sk, skb);
    if (skb->len >= 128)
        tcp_grow_window(sk, skb);
}

/* More than one full frame received, and the window moves or the program has read; or quick-ACK mode; or
 * out-of-order data: at once. Else delayed. */
void __tcp_ack_snd_check(struct sock *sk, int ofo_possible)
{
    struct tcp_sock *tp = tcp_sk(sk);
    struct inet_connection_sock *icsk = inet_csk(sk);
    u64 delay;

    if (((tp->rcv_nxt - tp->rcv_wup) > icsk->icsk_ack.rcv_mss &&
         (tp->rcv_nxt - tp->copied_seq < (u32)sk->sk_rcvlowat || __tcp_select_window(sk) >= tp->rcv_wnd)) ||
        tcp_in_quickack_mode(sk) || (icsk->icsk_ack.pending & ICSK_ACK_NOW)) {
        tcp_send_ack(sk);
        return;
    }
    if (!ofo_possible || skb_queue_empty(&tp->out_of_order_queue)) {
        tcp_send_delayed_ack(sk);
        return;
    }
    /* Compress the ACKs of a burst of out-of-order data, but let the sender see the first three. */
    if (!tcp_is_sack(tp) || tp->compressed_ack >= sock_net(sk)->ipv4.sysctl_tcp_comp_sack_nr) {
        tcp_send_ack(sk);
        return;
    }
    if (tp->compressed_ack_rcv_nxt != tp->rcv_nxt) {
        tp->compressed_ack_rcv_nxt = tp->rcv_nxt;
        tp->dup_ack_counter = 0;
    }
    if (tp->dup_ack_counter < TCP_FASTRETRANS_THRESH) {
        tp->dup_ack_counter++;
        tcp_send_ack(sk);
        return;
    }
    tp->compressed_ack++;
    if (timer_pending(&tp->compressed_ack_timer))
        return;
    delay = tp->rcv_rtt_est.rtt_us;
    if (tp->srtt_us && tp->srtt_us < delay)
        delay = tp->srtt_us;
    /* rtt is in us << 3: 5 % of it, at most the sysctl. */
    delay = min_t(u64, sock_net(sk)->ipv4.sysctl_tcp_comp_sack_delay_ns, delay * (NSEC_PER_USEC >> 3) / 20);
    sk_reset_timer(sk, &tp->compressed_ack_timer, tcp_clock_ns(sk) + delay);
}

void tcp_ack_snd_check(struct sock *sk)
{
    if (inet_csk_ack_scheduled(sk))
        __tcp_ack_snd_check(sk, 1);
}

/* ---- ECN, receiver (RFC 3168 6.1.3) ------------------------------------------------------------------------ */

void tcp_ecn_accept_cwr(struct sock *sk, const struct sk_buff *skb)
{
    if (tcp_hdr(skb)->cwr) {
        tcp_sk(sk)->ecn_flags &= (u8)~TCP_ECN_DEMAND_CWR;
        /* Acknowledge at once: the sender waits to see ECE gone. */
        if (TCP_SKB_CB(skb)->seq != TCP_SKB_CB(skb)->end_seq)
            inet_csk(sk)->icsk_ack.pending |= ICSK_ACK_NOW;
    }
}

void tcp_ecn_check_ce(struct sock *sk, const struct sk_buff *skb)
{
    struct tcp_sock *tp = tcp_sk(sk);

    if (!(tp->ecn_flags & TCP_ECN_OK))
        return;
    switch (TCP_SKB_CB(skb)->ip_dsfield & INET_ECN_MASK) {
    case INET_ECN_NOT_ECT:
        /* Seen ECT before, now not: maybe a retransmission; be quick in case it is a loss. */
        if (tp->ecn_flags & TCP_ECN_SEEN)
            tcp_enter_quickack_mode(sk, 2);
        break;
    case INET_ECN_CE:
        tcp_ca_event(sk, CA_EVENT_ECN_IS_CE);
        if (!(tp->ecn_flags & TCP_ECN_DEMAND_CWR)) {
            tcp_enter_quickack_mode(sk, 2);
            tp->ecn_flags |= TCP_ECN_DEMAND_CWR;
        }
        tp->ecn_flags |= TCP_ECN_SEEN;
        break;
    default:
        tcp_ca_event(sk, CA_EVENT_ECN_NO_CE);
        tp->ecn_flags |= TCP_ECN_SEEN;
        break;
    }
}

/* ---- SACK blocks to send ------------------------------------------------------------------------------------ */

static bool tcp_sack_extend(struct tcp_sack_block *sp, u32 seq, u32 end_seq)
{
    if (after(seq, sp->end_seq) || after(sp->start_seq, end_seq))
        return false;
    if (before(seq, sp->start_seq))
        sp->start_seq = seq;
    if (after(end_seq, sp->end_seq))
        sp->end_seq = end_seq;
    return true;
}

static void tcp_dsack_set(struct sock *sk, u32 seq, u32 end_seq)
{
    struct tcp_sock *tp = tcp_sk(sk);

    if (!tcp_is_sack(tp) || !sock_net(sk)->ipv4.sysctl_tcp_dsack)
        return;
    NET_INC_STATS(sock_net(sk), before(seq, tp->rcv_nxt) ? LINUX_MIB_TCPDSACKOLDSENT : LINUX_MIB_TCPDSACKOFOSENT);
    tp->rx_opt.dsack = 1;
    tp->duplicate_sack[0].start_seq = seq;
    tp->duplicate_sack[0].end_seq = end_seq;
}

static void tcp_dsack_extend(struct sock *sk, u32 seq, u32 end_seq)
{
    struct tcp_sock *tp = tcp_sk(sk);

    if (!tp->rx_opt.dsack)
        tcp_dsack_set(sk, seq, end_seq);
    else
        tcp_sack_extend(tp->duplicate_sack, seq, end_seq);
}

/* An out-of-window or duplicate segment is answered at once, with a D-SACK when it was received before. */
void tcp_send_dupack(struct sock *sk, const struct sk_buff *skb)
{
    struct tcp_sock *tp = tcp_sk(sk);
    u32 end_seq = TCP_SKB_CB(skb)->end_seq;

    if (end_seq != TCP_SKB_CB(skb)->seq && before(TCP_SKB_CB(skb)->seq, tp->rcv_nxt)) {
        NET_INC_STATS(sock_net(sk), LINUX_MIB_DELAYEDACKLOST);
        tcp_enter_quickack_mode(sk, TCP_MAX_QUICKACKS);
        if (tcp_is_sack(tp) && sock_net(sk)->ipv4.sysctl_tcp_dsack) {
            if (after(end_seq, tp->rcv_nxt))
                end_seq = tp->rcv_nxt;
            tcp_dsack_set(sk, TCP_SKB_CB(skb)->seq, end_seq);
        }
    }
    tcp_send_ack(sk);
}

/* selective_acks[0] has just grown: swallow those that it now touches. */
static void tcp_sack_maybe_coalesce(struct tcp_sock *tp)
{
    struct tcp_sack_block *sp = &tp->selective_acks[0];
    int i = 1;

    while (i < tp->rx_opt.num_sacks) {
        if (tcp_sack_extend(sp, tp->selective_acks[i].start_seq, tp->selective_acks[i].end_seq)) {
            tp->rx_opt.num_sacks--;
            memmove(&tp->selective_acks[i], &tp->selective_acks[i + 1],
                    (size_t)(tp->rx_opt.num_sacks - i) * sizeof(*sp));
            continue;
        }
        i++;
    }
}

/* The most recently received block goes first (RFC 2018 4). */
static void tcp_sack_new_ofo_skb(struct sock *sk, u32 seq, u32 end_seq)
{
    struct tcp_sock *tp = tcp_sk(sk);
    struct tcp_sack_block *sp = &tp->selective_acks[0];
    int cur_sacks = tp->rx_opt.num_sacks, this_sack;

    for (this_sack = 0; this_sack < cur_sacks; this_sack++) {
        if (tcp_sack_extend(&sp[this_sack], seq, end_seq)) {
            struct tcp_sack_block moved = sp[this_sack];

            memmove(&sp[1], &sp[0], (size_t)this_sack * sizeof(*sp));
            sp[0] = moved;
            if (cur_sacks > 1)
                tcp_sack_maybe_coalesce(tp);
            return;
        }
    }
    if (this_sack >= TCP_NUM_SACKS) {
        if (tp->compressed_ack) /* the block about to be forgotten was never told */
            tcp_send_ack(sk);
        this_sack--;
        tp->rx_opt.num_sacks--;
    }
    memmove(&sp[1], &sp[0], (size_t)this_sack * sizeof(*sp));
    sp[0].start_seq = seq;
    sp[0].end_seq = end_seq;
    tp->rx_opt.num_sacks++;
}

/* rcv_nxt moved: forget blocks below it. */
static void tcp_sack_remove(struct tcp_sock *tp)
{
    struct tcp_sack_block *sp = &tp->selective_acks[0];
    int num_sacks = tp->rx_opt.num_sacks, this_sack = 0;

    if (skb_queue_empty(&tp->out_of_order_queue)) {
        tp->rx_opt.num_sacks = 0;
        return;
    }
    while (this_sack < num_sacks) {
        if (!before(tp->rcv_nxt, sp[this_sack].start_seq)) {
            memmove(&sp[this_sack], &sp[this_sack + 1], (size_t)(num_sacks - this_sack - 1) * sizeof(*sp));
            num_sacks--;
            continue;
        }
        this_sack++;
    }
    tp->rx_opt.num_sacks = (u8)num_sacks;
}

/* ---- queues ------------------------------------------------------------------------------------------------------ */

/* Append from to `to` without a copy when they are adjacent. True: from's data moved (free the shell). */
static bool tcp_try_coalesce(struct sock *sk, struct sk_buff *to, struct sk_buff *from, bool *fragstolen)
{
    int delta;

    *fragstolen = false;
    if (TCP_SKB_CB(from)->seq != TCP_SKB_CB(to)->end_seq)
        return false;
    if (!skb_try_coalesce(to, from, fragstolen, &delta))
        return false;
    atomic_fetch_add_explicit(&sk->sk_rmem_alloc, delta, memory_order_relaxed);
    sk_mem_charge(sk, delta);
    NET_INC_STATS(sock_net(sk), LINUX_MIB_TCPRCVCOALESCE);
    TCP_SKB_CB(to)->end_seq = TCP_SKB_CB(from)->end_seq;
    TCP_SKB_CB(to)->ack_seq = TCP_SKB_CB(from)->ack_seq;
    TCP_SKB_CB(to)->tcp_flags |= TCP_SKB_CB(from)->tcp_flags;
    if (TCP_SKB_CB(from)->has_rxtstamp) {
        TCP_SKB_CB(to)->has_rxtstamp = true;
        to->tstamp = from->tstamp;
    }
    return true;
}

static void tcp_rcv_nxt_update(struct tcp_sock *tp, u32 seq)
{
    u32 delta = seq - tp->rcv_nxt;

    tp->bytes_received += delta;
    WRITE_ONCE(tp->rcv_nxt, seq);
}

/* Append to the receive queue; nonzero: merged into the tail, the caller frees the shell. */
int tcp_queue_rcv(struct sock *sk, struct sk_buff *skb, bool *fragstolen)
{
    struct sk_buff *tail = skb_peek_tail(&sk->sk_receive_queue);
    int eaten = tail && tcp_try_coalesce(sk, tail, skb, fragstolen) ? 1 : 0;

    tcp_rcv_nxt_update(tcp_sk(sk), TCP_SKB_CB(skb)->end_seq);
    if (!eaten) {
        __skb_queue_tail(&sk->sk_receive_queue, skb);
        skb_set_owner_r(skb, sk);
    }
    return eaten;
}

/* Out-of-order data that has become in-order moves to the receive queue. */
static void tcp_ofo_queue(struct sock *sk)
{
    struct tcp_sock *tp = tcp_sk(sk);
    u32 dsack_high = tp->rcv_nxt;
    struct sk_buff *skb, *tail;
    bool fin, fragstolen, eaten;

    while ((skb = skb_peek(&tp->out_of_order_queue))) {
        if (after(TCP_SKB_CB(skb)->seq, tp->rcv_nxt))
            break;
        if (before(TCP_SKB_CB(skb)->seq, dsack_high)) {
            u32 dsack = dsack_high;

            if (before(TCP_SKB_CB(skb)->end_seq, dsack_high))
                dsack = TCP_SKB_CB(skb)->end_seq;
            tcp_dsack_extend(sk, TCP_SKB_CB(skb)->seq, dsack);
        }
        __skb_unlink(skb, &tp->out_of_order_queue);
        if (!after(TCP_SKB_CB(skb)->end_seq, tp->rcv_nxt)) {
            tcp_drop_reason(sk, skb, SKB_DROP_REASON_TCP_OFOMERGE);
            continue;
        }
        tail = skb_peek_tail(&sk->sk_receive_queue);
        eaten = tail && tcp_try_coalesce(sk, tail, skb, &fragstolen);
        tcp_rcv_nxt_update(tp, TCP_SKB_CB(skb)->end_seq);
        fin = TCP_SKB_CB(skb)->tcp_flags & TCPHDR_FIN;
        if (!eaten)
            __skb_queue_tail(&sk->sk_receive_queue, skb);
        else
            consume_skb(skb);
        if (unlikely(fin)) {
            tcp_fin(sk);
            break; /* tcp_fin() purges the out-of-order queue */
        }
    }
}

void tcp_ofo_purge(struct sock *sk) { __skb_queue_purge(&tcp_sk(sk)->out_of_order_queue, SKB_DROP_REASON_SOCKET_CLOSED); }

/* Drop the newest out-of-order data, most distant first, until there is room (RFC 2018 8 allows reneging).
 * True: something was freed. */
bool tcp_prune_ofo_queue(struct sock *sk, const struct sk_buff *in_skb)
{
    struct tcp_sock *tp = tcp_sk(sk);
    struct sk_buff *skb;
    bool pruned = false;
    int goal = sk->sk_rcvbuf >> 3;

    while ((skb = skb_peek_tail(&tp->out_of_order_queue))) {
        /* If the new data is beyond the last one, it is the one to drop. */
        if (in_skb && after(TCP_SKB_CB(in_skb)->seq, TCP_SKB_CB(skb)->seq))
            break;
        pruned = true;
        __skb_unlink(skb, &tp->out_of_order_queue);
        goal -= (int)skb->truesize;
        tcp_drop_reason(sk, skb, SKB_DROP_REASON_TCP_OFO_QUEUE_PRUNE);
        if (goal <= 0 || skb_queue_empty(&tp->out_of_order_queue)) {
            sk_mem_reclaim(sk);
            if (sk->sk_rmem_alloc <= sk->sk_rcvbuf && sk->sk_forward_alloc >= 0)
                break;
            goal = sk->sk_rcvbuf >> 3;
        }
    }
    if (pruned) {
        NET_INC_STATS(sock_net(sk), LINUX_MIB_OFOPRUNED);
        if (tp->rx_opt.sack_ok) /* our SACKs were promises that no longer hold */
            tp->rx_opt.num_sacks = 0;
    }
    return pruned;
}

/* Copy small segments that hold big buffers together, from head on, so that truesize shrinks. */
static void tcp_collapse_queue(struct sock *sk, struct sk_buff_head *list)
{
    struct sk_buff *skb, *next, *nskb = NULL;

    for (skb = skb_peek(list); skb; skb = next) {
        u32 seq = TCP_SKB_CB(skb)->seq, len = skb->len;

        next = skb_peek_next(skb, list);
        /* Leave what is dense enough, control flags and gaps alone. */
        if (skb->truesize < 2 * len + 512 || (TCP_SKB_CB(skb)->tcp_flags & (TCPHDR_SYN | TCPHDR_FIN))) {
            nskb = NULL;
            continue;
        }
        if (!nskb || skb_tailroom(nskb) < len || TCP_SKB_CB(nskb)->end_seq != seq) {
            if (skb->truesize < 2 * 4096 && /* alone between holes: nothing to gain */
                (!next || TCP_SKB_CB(next)->seq != TCP_SKB_CB(skb)->end_seq)) {
                nskb = NULL;
                continue;
            }
            nskb = alloc_skb(sock_net(sk), max_t(u32, 4096, len));
            if (!nskb)
                return;
            memcpy(nskb->cb, skb->cb, sizeof(skb->cb));
            nskb->tstamp = skb->tstamp;
            TCP_SKB_CB(nskb)->end_seq = seq;
            TCP_SKB_CB(nskb)->tcp_flags &= (u8)~(TCPHDR_FIN | TCPHDR_SYN);
            skb_reset_transport_header(nskb);
            __skb_queue_before(list, skb, nskb);
            skb_set_owner_r(nskb, sk);
        }
        BUG_ON(skb_copy_bits(skb, 0, skb_put(nskb, len), len));
        TCP_SKB_CB(nskb)->end_seq += len;
        TCP_SKB_CB(nskb)->tcp_flags |= TCP_SKB_CB(skb)->tcp_flags;
        __skb_unlink(skb, list);
        consume_skb(skb);
        NET_INC_STATS(sock_net(sk), LINUX_MIB_TCPRCVCOLLAPSED);
    }
}

static void tcp_clamp_window(struct sock *sk)
{
    struct tcp_sock *tp = tcp_sk(sk);
    struct net *net = sock_net(sk);
    int rmem2 = net->ipv4.sysctl_tcp_rmem[2];

    inet_csk(sk)->icsk_ack.quick = 0;
    if (sk->sk_rcvbuf < rmem2 && !(sk->sk_userlocks & SOCK_RCVBUF_LOCK) &&
        tcp_memory_is_plenty(net))
        WRITE_ONCE(sk->sk_rcvbuf, min(atomic_load(&sk->sk_rmem_alloc), rmem2));
    if (atomic_load(&sk->sk_rmem_alloc) > sk->sk_rcvbuf)
        tp->rcv_ssthresh = min(tp->window_clamp, 2u * tp->advmss);
}

/* Make room within the receive buffer. 0: there is, -1: drop the segment. */
static int tcp_prune_queue(struct sock *sk, const struct sk_buff *in_skb)
{
    struct tcp_sock *tp = tcp_sk(sk);

    NET_INC_STATS(sock_net(sk), LINUX_MIB_PRUNECALLED);
    if (atomic_load(&sk->sk_rmem_alloc) >= sk->sk_rcvbuf)
        tcp_clamp_window(sk);
    if (atomic_load(&sk->sk_rmem_alloc) <= sk->sk_rcvbuf)
        return 0;
    tcp_collapse_queue(sk, &tp->out_of_order_queue);
    if (!skb_queue_empty(&sk->sk_receive_queue))
        tcp_collapse_queue(sk, &sk->sk_receive_queue);
    if (atomic_load(&sk->sk_rmem_alloc) <= sk->sk_rcvbuf)
        return 0;
    tcp_prune_ofo_queue(sk, in_skb);
    if (atomic_load(&sk->sk_rmem_alloc) <= sk->sk_rcvbuf)
        return 0;
    NET_INC_STATS(sock_net(sk), LINUX_MIB_RCVPRUNED);
    tp->pred_flags = 0; /* massive buffer overcommit: slow path until it is over */
    return -1;
}

/* A connection may always queue one skb, whatever the limits say: else a full buffer could never drain. */
static int tcp_try_rmem_schedule(struct sock *sk, struct sk_buff *skb, unsigned int size)
{
    if (atomic_load(&sk->sk_rmem_alloc) <= sk->sk_rcvbuf && sk_rmem_schedule(sk, skb, (int)size))
        return 0;
    if (tcp_prune_queue(sk, skb) < 0)
        return -1;
    while (!sk_rmem_schedule(sk, skb, (int)size)) {
        if (!tcp_prune_ofo_queue(sk, skb))
            return -1;
    }
    return 0;
}

/* Where the new segment goes: before the first skb that starts after it; *prev is the one before it. */
static void tcp_ofo_find(struct tcp_sock *tp, u32 seq, struct sk_buff **prev)
{
    struct sk_buff *skb = skb_peek_tail(&tp->out_of_order_queue);

    while (skb && before(seq, TCP_SKB_CB(skb)->seq)) /* the common case is the tail */
        skb = skb_peek_prev(skb, &tp->out_of_order_queue);
    *prev = skb;
}

/* Remove queued skbs that [.., end_seq) covers; D-SACK a partial overlap. */
static void tcp_ofo_trim_covered(struct sock *sk, struct sk_buff *skb, u32 end_seq)
{
    struct tcp_sock *tp = tcp_sk(sk);
    struct sk_buff *next;

    while ((next = skb_peek_next(skb, &tp->out_of_order_queue))) {
        if (!after(end_seq, TCP_SKB_CB(next)->seq))
            break;
        if (before(end_seq, TCP_SKB_CB(next)->end_seq)) {
            tcp_dsack_extend(sk, TCP_SKB_CB(next)->seq, end_seq);
            break;
        }
        __skb_unlink(next, &tp->out_of_order_queue);
        tcp_dsack_extend(sk, TCP_SKB_CB(next)->seq, TCP_SKB_CB(next)->end_seq);
        NET_INC_STATS(sock_net(sk), LINUX_MIB_TCPOFOMERGE);
        tcp_drop_reason(sk, next, SKB_DROP_REASON_TCP_OFOMERGE);
    }
}

static void tcp_data_queue_ofo(struct sock *sk, struct sk_buff *skb)
{
    struct tcp_sock *tp = tcp_sk(sk);
    u32 seq = TCP_SKB_CB(skb)->seq, end_seq = TCP_SKB_CB(skb)->end_seq;
    struct sk_buff *prev;
    bool fragstolen;

    tcp_ecn_check_ce(sk, skb);
    if (unlikely(tcp_try_rmem_schedule(sk, skb, skb->truesize))) {
        NET_INC_STATS(sock_net(sk), LINUX_MIB_TCPOFODROP);
        sk->sk_data_ready(sk);
        tcp_drop_reason(sk, skb, SKB_DROP_REASON_PROTO_MEM);
        return;
    }
    tp->pred_flags = 0;
    inet_csk_schedule_ack(sk);
    tp->rcv_ooopack += max_t(u16, 1, skb_shinfo(skb)->gso_segs);
    NET_INC_STATS(sock_net(sk), LINUX_MIB_TCPOFOQUEUE);

    tcp_ofo_find(tp, seq, &prev);
    if (prev && before(seq, TCP_SKB_CB(prev)->end_seq)) {
        if (!after(end_seq, TCP_SKB_CB(prev)->end_seq)) { /* all of it is there already */
            NET_INC_STATS(sock_net(sk), LINUX_MIB_TCPOFOMERGE);
            tcp_dsack_set(sk, seq, end_seq);
            tcp_drop_reason(sk, skb, SKB_DROP_REASON_TCP_OFOMERGE);
            goto add_sack;
        }
        if (after(seq, TCP_SKB_CB(prev)->seq)) {
            tcp_dsack_set(sk, seq, TCP_SKB_CB(prev)->end_seq); /* partial overlap */
        } else { /* starts alike but longer: the old one is covered */
            NET_INC_STATS(sock_net(sk), LINUX_MIB_TCPOFOMERGE);
            tcp_dsack_extend(sk, TCP_SKB_CB(prev)->seq, TCP_SKB_CB(prev)->end_seq);
            struct sk_buff *covered = prev;
            prev = skb_peek_prev(prev, &tp->out_of_order_queue);
            __skb_unlink(covered, &tp->out_of_order_queue);
            tcp_drop_reason(sk, covered, SKB_DROP_REASON_TCP_OFOMERGE);
        }
    } else if (prev && tcp_try_coalesce(sk, prev, skb, &fragstolen)) {
        if (!tcp_is_sack(tp) || skb->len >= 128)
            tcp_grow_window(sk, prev);
        consume_skb(skb);
        skb = NULL;
        tcp_ofo_trim_covered(sk, prev, end_seq);
        goto add_sack;
    }
    if (prev)
        __skb_queue_after(&tp->out_of_order_queue, prev, skb);
    else
        __skb_queue_head(&tp->out_of_order_queue, skb);
    skb_set_owner_r(skb, sk);
    tcp_ofo_trim_covered(sk, skb, end_seq);
    if (tcp_is_sack(tp))
        tcp_grow_window(sk, skb);
add_sack:
    if (tcp_is_sack(tp))
        tcp_sack_new_ofo_skb(sk, seq, end_seq);
}

/* In-order data: queue it, then whatever it made in-order. */
static void tcp_queue_and_out(struct sock *sk, struct sk_buff *skb)
{
    struct tcp_sock *tp = tcp_sk(sk);
    bool fragstolen = false, fin = TCP_SKB_CB(skb)->tcp_flags & TCPHDR_FIN;
    int eaten;

    if (tcp_try_rmem_schedule(sk, skb, skb->truesize)) {
        inet_csk(sk)->icsk_ack.pending |= ICSK_ACK_NOMEM | ICSK_ACK_NOW;
        inet_csk_schedule_ack(sk);
        sk->sk_data_ready(sk);
        if (skb_queue_len(&sk->sk_receive_queue) && skb->len) {
            NET_INC_STATS(sock_net(sk), LINUX_MIB_TCPRCVQDROP);
            tcp_drop_reason(sk, skb, SKB_DROP_REASON_PROTO_MEM);
            return;
        }
        /* The queue is empty: one segment over the limit is allowed. */
    }
    eaten = tcp_queue_rcv(sk, skb, &fragstolen);
    if (skb->len || eaten)
        tcp_event_data_recv(sk, skb);
    if (fin)
        tcp_fin(sk);
    if (!skb_queue_empty(&tp->out_of_order_queue)) {
        tcp_ofo_queue(sk);
        /* RFC 5681 4.2: acknowledge at once when a gap is filled. */
        if (skb_queue_empty(&tp->out_of_order_queue))
            inet_csk(sk)->icsk_ack.pending |= ICSK_ACK_NOW;
    }
    if (tp->rx_opt.num_sacks)
        tcp_sack_remove(tp);
    tcp_fast_path_check(sk);
    if (eaten)
        consume_skb(skb);
    if (!sock_flag(sk, SOCK_DEAD))
        tcp_data_ready(sk);
}

/* Role: the text of a segment that passed tcp_validate_incoming (RFC 9293 3.10.7.4, seventh). */
void tcp_data_queue(struct sock *sk, struct sk_buff *skb)
{
    struct tcp_sock *tp = tcp_sk(sk);
    enum skb_drop_reason reason;

    if (TCP_SKB_CB(skb)->seq == TCP_SKB_CB(skb)->end_seq) {
        consume_skb(skb);
        return;
    }
    skb_dst_drop(skb);
    pskb_pull(skb, tcp_hdr(skb)->doff * 4u);
    tp->rx_opt.dsack = 0;

    if (TCP_SKB_CB(skb)->seq == tp->rcv_nxt) {
        if (tcp_receive_window(tp) == 0) {
            /* A lone FIN needs no buffer (tcp_queue_and_out copes). */
            if (skb->len || !(TCP_SKB_CB(skb)->tcp_flags & TCPHDR_FIN)) {
                reason = SKB_DROP_REASON_TCP_ZEROWINDOW;
                NET_INC_STATS(sock_net(sk), LINUX_MIB_TCPZEROWINDOWDROP);
                goto out_of_window;
            }
        }
        tcp_queue_and_out(sk, skb);
        return;
    }
    if (!after(TCP_SKB_CB(skb)->end_seq, tp->rcv_nxt)) {
        /* A retransmit: 2nd most common case; force an immediate ack. */
        NET_INC_STATS(sock_net(sk), LINUX_MIB_DELAYEDACKLOST);
        reason = SKB_DROP_REASON_TCP_OLD_DATA;
        tcp_dsack_set(sk, TCP_SKB_CB(skb)->seq, TCP_SKB_CB(skb)->end_seq);
        goto out_of_window;
    }
    if (!before(TCP_SKB_CB(skb)->seq, tp->rcv_nxt + tcp_receive_window(tp))) {
        reason = SKB_DROP_REASON_TCP_OVERWINDOW;
        goto out_of_window;
    }
    if (before(TCP_SKB_CB(skb)->seq, tp->rcv_nxt)) {
        tcp_dsack_set(sk, TCP_SKB_CB(skb)->seq, tp->rcv_nxt); /* partial packet: seq < rcv_nxt < end_seq */
        if (!tcp_receive_window(tp)) {
            reason = SKB_DROP_REASON_TCP_ZEROWINDOW;
            NET_INC_STATS(sock_net(sk), LINUX_MIB_TCPZEROWINDOWDROP);
            goto out_of_window;
        }
        tcp_queue_and_out(sk, skb);
        return;
    }
    tcp_data_queue_ofo(sk, skb);
    return;

out_of_window:
    tcp_enter_quickack_mode(sk, TCP_MAX_QUICKACKS);
    inet_csk_schedule_ack(sk);
    tcp_drop_reason(sk, skb, reason);
}

/* ---- receive buffer tuning ------------------------------------------------------------------------------------------ */

/* First guess of the peer's segment size. */
void tcp_initialize_rcv_mss(struct sock *sk)
{
    const struct tcp_sock *tp = tcp_sk(sk);
    unsigned int hint = min_t(unsigned int, tp->advmss, tp->mss_cache);

    hint = min(hint, tp->rcv_wnd / 2);
    hint = min(hint, TCP_MSS_DEFAULT_);
    hint = max(hint, TCP_MIN_MSS);
    inet_csk(sk)->icsk_ack.rcv_mss = (u16)hint;
}

/* Dynamic right-sizing: a buffer of twice what the program read in one RTT lets the sender's window grow.
 * Called when the program has copied data. */
void tcp_rcv_space_adjust(struct sock *sk)
{
    struct tcp_sock *tp = tcp_sk(sk);
    u64 rcvwin, grow;
    u32 copied;
    u64 time;

    tcp_mstamp_refresh(tp);
    time = tp->tcp_mstamp - tp->rcvq_space.time_us;
    if (time < (tp->rcv_rtt_est.rtt_us >> 3) || tp->rcv_rtt_est.rtt_us == 0)
        return;
    copied = tp->copied_seq - tp->rcvq_space.seq;
    if (copied <= tp->rcvq_space.space)
        goto new_measure;
    if (sock_net(sk)->ipv4.sysctl_tcp_moderate_rcvbuf && !(sk->sk_userlocks & SOCK_RCVBUF_LOCK)) {
        rcvwin = ((u64)copied << 1) + 16u * tp->advmss;
        grow = rcvwin * (copied - tp->rcvq_space.space); /* faster than double when it accelerates */
        grow /= max(tp->rcvq_space.space, 1u);
        rcvwin += grow << 1;
        int rcvbuf = (int)min_t(u64, (u64)tcp_space_from_win(sk, (int)min_t(u64, rcvwin, INT32_MAX / 2)),
                                (u64)sock_net(sk)->ipv4.sysctl_tcp_rmem[2]);
        if (rcvbuf > sk->sk_rcvbuf) {
            WRITE_ONCE(sk->sk_rcvbuf, rcvbuf);
            WRITE_ONCE(tp->window_clamp, (u32)tcp_win_from_space(sk, rcvbuf));
        }
    }
    tp->rcvq_space.space = copied;
new_measure:
    tp->rcvq_space.seq = tp->copied_seq;
    tp->rcvq_space.time_us = tp->tcp_mstamp;
}

/* The connection is open: initial windows and buffers. */
void tcp_init_buffer_space(struct sock *sk)
{
    int tcp_app_win = sock_net(sk)->ipv4.sysctl_tcp_app_win, maxwin;
    struct tcp_sock *tp = tcp_sk(sk);

    if (!(sk->sk_userlocks & SOCK_SNDBUF_LOCK))
        tcp_sndbuf_expand(sk);
    tcp_mstamp_refresh(tp);
    tp->rcvq_space.time_us = tp->tcp_mstamp;
    tp->rcvq_space.seq = tp->copied_seq;
    maxwin = tcp_full_space(sk);
    if (tp->window_clamp >= (u32)maxwin) {
        WRITE_ONCE(tp->window_clamp, (u32)maxwin);
        if (tcp_app_win && maxwin > 4 * tp->advmss)
            WRITE_ONCE(tp->window_clamp, (u32)max(maxwin - (maxwin >> tcp_app_win), 4 * tp->advmss));
    }
    if (tcp_app_win && tp->window_clamp > 2u * tp->advmss && tp->window_clamp + tp->advmss > (u32)maxwin)
        WRITE_ONCE(tp->window_clamp, max(2u * tp->advmss, (u32)maxwin - tp->advmss));
    tp->rcv_ssthresh = min(tp->rcv_ssthresh, tp->window_clamp);
    tp->snd_cwnd_stamp = tcp_clock_ns(sk);
    tp->rcvq_space.space = min(min(tp->rcv_ssthresh, tp->rcv_wnd), (u32)(TCP_INIT_CWND * tp->advmss));
}
