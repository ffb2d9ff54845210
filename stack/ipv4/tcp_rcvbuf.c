// SPDX-License-Identifier: MIT
/* How large the receive window and buffer are: the peer's segment size, the receiver's round-trip time, window
 * growth with truesize in mind, dynamic right-sizing. */

#include "tcp_input.h"
#include "tcp_output.h"

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

void tcp_grow_window(struct sock *sk, const struct sk_buff *skb)
{
    struct tcp_sock *tp = tcp_sk(sk);
    s64 room = (s64)min_t(s64, tp->window_clamp, tcp_space(sk)) - tp->rcv_ssthresh;
    unsigned int truesize = skb->truesize;
    u32 incr;

    if (room <= 0)
        return;
    if (tcp_under_memory_pressure(sk)) {
        tcp_adjust_rcv_ssthresh(sk);
        return;
    }
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

void tcp_clamp_window(struct sock *sk)
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
