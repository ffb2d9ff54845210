// SPDX-License-Identifier: MIT
/* When to acknowledge (RFC 1122 4.2.3.2, RFC 5681 4.2): at once, delayed, or compressed; quick-ACK mode; what ECN
 * asks of the receiver. */

#include "tcp_input.h"

void tcp_incr_quickack(struct sock *sk, unsigned int max_quickacks)
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
    if (!ofo_possible || RB_EMPTY_ROOT(&tp->out_of_order_queue)) {
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
