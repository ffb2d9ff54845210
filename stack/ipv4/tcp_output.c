/* SPDX-License-Identifier: MIT */
/* Segments out: what may be sent now (tcp_write_xmit) and the header that it gets (__tcp_transmit_skb).
 *
 * sk_write_queue, a list, holds what was never sent; tcp_rtx_queue, a tree, what was sent and is not acknowledged.
 * A queued sk_buff never leaves: a clone of it does. Everything under the socket lock. */

#include "tcp_output.h"

/* ---- congestion window, as the sender uses it --------------------------------------------------------------- */

u32 tcp_init_cwnd(const struct tcp_sock *tp, const struct dst_entry *dst)
{
    u32 cwnd = dst && dst->initcwnd ? dst->initcwnd : TCP_INIT_CWND;

    return min(cwnd, tp->snd_cwnd_clamp);
}

/* RFC 2861: an idle connection has lost its ACK clock; halve for each RTO that passed. */
void tcp_cwnd_restart(struct sock *sk, u64 delta_ns)
{
    struct tcp_sock *tp = tcp_sk(sk);
    u32 restart_cwnd = tcp_init_cwnd(tp, sk->sk_dst_cache);
    u32 cwnd = tcp_snd_cwnd(tp);
    s64 delta = (s64)delta_ns;

    tcp_ca_event(sk, CA_EVENT_CWND_RESTART);
    tp->snd_ssthresh = tcp_current_ssthresh(sk);
    restart_cwnd = min(restart_cwnd, cwnd);
    while ((delta -= (s64)inet_csk(sk)->icsk_rto) > 0 && cwnd > restart_cwnd)
        cwnd >>= 1;
    tcp_snd_cwnd_set(tp, max(cwnd, restart_cwnd));
    tp->snd_cwnd_stamp = tcp_clock_ns(sk);
    tp->snd_cwnd_used = 0;
}

/* RFC 2861: the program does not use the window; it decays towards what was used. */
static void tcp_cwnd_application_limited(struct sock *sk)
{
    struct tcp_sock *tp = tcp_sk(sk);

    if (inet_csk(sk)->icsk_ca_state == TCP_CA_Open && sk->sk_socket &&
        !(READ_ONCE(sk->sk_socket->flags) & SOCK_NOSPACE)) {
        u32 win_used = max(tp->snd_cwnd_used, tcp_init_cwnd(tp, sk->sk_dst_cache));

        if (win_used < tcp_snd_cwnd(tp)) {
            tp->snd_ssthresh = tcp_current_ssthresh(sk);
            tcp_snd_cwnd_set(tp, (tcp_snd_cwnd(tp) + win_used) >> 1);
        }
        tp->snd_cwnd_used = 0;
    }
    tp->snd_cwnd_stamp = tcp_clock_ns(sk);
}

static void tcp_cwnd_validate(struct sock *sk, bool is_cwnd_limited)
{
    struct tcp_sock *tp = tcp_sk(sk);

    /* The strongest signal of this window: limited at all, else the most that was out. */
    if (!before(tp->snd_una, tp->cwnd_usage_seq) || is_cwnd_limited ||
        (!tp->is_cwnd_limited && tp->packets_out > tp->max_packets_out)) {
        tp->is_cwnd_limited = is_cwnd_limited;
        tp->max_packets_out = tp->packets_out;
        tp->cwnd_usage_seq = tp->snd_nxt;
    }
    if (tcp_is_cwnd_limited(sk)) {
        tp->snd_cwnd_used = 0;
        tp->snd_cwnd_stamp = tcp_clock_ns(sk);
        return;
    }
    tp->snd_cwnd_used = max(tp->snd_cwnd_used, tp->packets_out);
    if (sock_net(sk)->ipv4.sysctl_tcp_slow_start_after_idle &&
        tcp_clock_ns(sk) - tp->snd_cwnd_stamp >= inet_csk(sk)->icsk_rto &&
        !inet_csk(sk)->icsk_ca_ops->cong_control)
        tcp_cwnd_application_limited(sk);
    /* Everything sent, cwnd open, and the program waits for room: the send buffer is the limit. */
    if (tcp_write_queue_empty(sk) && sk->sk_socket && (READ_ONCE(sk->sk_socket->flags) & SOCK_NOSPACE) &&
        tcp_in_states(sk, TCPF_ESTABLISHED | TCPF_CLOSE_WAIT))
        tcp_chrono_start(sk, TCP_CHRONO_SNDBUF_LIMITED);
}

/* ---- transmit ---------------------------------------------------------------------------------------------------- */

/* Our data left: the congestion control's clock starts, and an answer in time means interactive traffic. */
static void tcp_event_data_sent(struct tcp_sock *tp, struct sock *sk)
{
    struct inet_connection_sock *icsk = inet_csk(sk);
    u64 now = tp->tcp_clock_cache;

    if (tcp_packets_in_flight(tp) == 0)
        tcp_ca_event(sk, CA_EVENT_TX_START);
    tp->lsndtime = now;
    if (now - icsk->icsk_ack.lrcvtime < icsk->icsk_ack.ato)
        inet_csk_inc_pingpong_cnt(sk);
}

/* An ACK left with this segment. */
static void tcp_event_ack_sent(struct sock *sk, u32 rcv_nxt)
{
    struct tcp_sock *tp = tcp_sk(sk);

    if (unlikely(tp->compressed_ack)) {
        NET_ADD_STATS(sock_net(sk), LINUX_MIB_TCPACKCOMPRESSED, tp->compressed_ack);
        tp->compressed_ack = 0;
        sk_stop_timer(sk, &tp->compressed_ack_timer);
    }
    if (unlikely(rcv_nxt != tp->rcv_nxt))
        return;
    tcp_dec_quickack_mode(sk);
    inet_csk_clear_xmit_timer(sk, ICSK_TIME_DACK);
}

/* RFC 3168 6.1: ECT on new data, CWR once after a reduction, ECE while the peer has not answered with CWR. */
static void tcp_ecn_send(struct sock *sk, struct sk_buff *skb, struct tcphdr *th, u32 tcp_header_len)
{
    struct tcp_sock *tp = tcp_sk(sk);

    if (!(tp->ecn_flags & TCP_ECN_OK))
        return;
    if (skb->len != tcp_header_len && !before(TCP_SKB_CB(skb)->seq, tp->snd_nxt)) {
        INET_ECN_xmit(sk);
        if (tp->ecn_flags & TCP_ECN_QUEUE_CWR) {
            tp->ecn_flags &= (u8)~TCP_ECN_QUEUE_CWR;
            th->cwr = 1;
            skb_shinfo(skb)->gso_type |= SKB_GSO_TCP_ECN;
        }
    } else if (!tcp_ca_needs_ecn(sk)) {
        INET_ECN_dontxmit(sk); /* pure ACKs and retransmissions are not ECT */
    }
    if (tp->ecn_flags & TCP_ECN_DEMAND_CWR)
        th->ece = 1;
}

/* Urgent pointer (RFC 9293 3.8.5): as far as 16 bits reach. */
static void tcp_urg_write(const struct tcp_sock *tp, const struct tcp_skb_cb *tcb, struct tcphdr *th)
{
    if (before(tp->snd_up, tcb->seq + 0x10000)) {
        th->urg_ptr = htobe16((u16)(tp->snd_up - tcb->seq));
        th->urg = 1;
    } else if (after(tcb->seq + 0xffff, tp->snd_nxt)) {
        th->urg_ptr = htobe16(0xffff);
        th->urg = 1;
    }
}

/* Push and fill the header; skb is the packet that leaves. */
static void tcp_build_header(struct sock *sk, struct sk_buff *skb, u32 rcv_nxt, u32 header_size,
                             const struct tcp_out_options *opts)
{
    const struct inet_sock *inet = inet_sk(sk);
    const struct tcp_skb_cb *tcb = TCP_SKB_CB(skb);
    struct tcp_sock *tp = tcp_sk(sk);
    struct tcphdr *th;

    th = skb_push(skb, header_size);
    skb_reset_transport_header(skb);
    th->source = inet->inet_sport;
    th->dest = inet->inet_dport;
    th->seq = htobe32(tcb->seq);
    th->ack_seq = htobe32(rcv_nxt);
    ((__be16 *)th)[6] = htobe16((u16)((header_size >> 2) << 12 | tcb->tcp_flags));
    th->check = 0;
    th->urg_ptr = 0;
    if (unlikely(tcp_urg_mode(tp) && before(tcb->seq, tp->snd_up))) /* also below snd_una: window probe */
        tcp_urg_write(tp, tcb, th);
    skb_shinfo(skb)->gso_type = SKB_GSO_TCPV4;
    if (likely(!(tcb->tcp_flags & TCPHDR_SYN))) {
        th->window = htobe16(tcp_select_window(sk));
        tcp_ecn_send(sk, skb, th, header_size);
    } else {
        th->window = htobe16((u16)min(tp->rcv_wnd, 65535u)); /* never scaled on a SYN (RFC 7323 2.2) */
    }
    tcp_options_write(th, tp, opts);
    inet_csk(sk)->icsk_af_ops->send_check(sk, skb);
}

/* Count it. skb has its TCP header. */
static void tcp_account_sent(struct sock *sk, struct sk_buff *skb, u32 header_size, u32 rcv_nxt)
{
    const struct tcp_skb_cb *tcb = TCP_SKB_CB(skb);
    struct tcp_sock *tp = tcp_sk(sk);
    u32 pcount = (u32)tcp_skb_pcount(skb);

    if (likely(tcb->tcp_flags & TCPHDR_ACK))
        tcp_event_ack_sent(sk, rcv_nxt);
    if (skb->len != header_size) {
        tcp_event_data_sent(tp, sk);
        tp->data_segs_out += pcount;
        tp->bytes_sent += skb->len - header_size;
    }
    if (after(tcb->end_seq, tp->snd_nxt) || tcb->seq == tcb->end_seq)
        NET_ADD_STATS(sock_net(sk), TCP_MIB_OUTSEGS, pcount); /* retransmissions are counted apart */
    else
        skb->retransmitted = 1; /* a clone, so this transmission only */
    tp->segs_out += pcount;
}

int __tcp_transmit_skb(struct sock *sk, struct sk_buff *skb, int clone_it, u32 rcv_nxt)
{
    struct tcp_sock *tp = tcp_sk(sk);
    struct tcp_out_options opts = {0};
    struct sk_buff *oskb = NULL;
    u64 prior_wstamp = tp->tcp_wstamp_ns;
    u32 header_size;
    int err;

    BUG_ON(!tcp_skb_pcount(skb));
    tp->tcp_wstamp_ns = max(tp->tcp_wstamp_ns, tp->tcp_clock_cache);
    skb->tstamp = tp->tcp_wstamp_ns;
    if (clone_it) {
        struct cds_list_head anchor = tcp_skb_tsorted_save(skb);

        oskb = skb;
        /* A clone that is still below would have its headers overwritten: then a copy of the linear part. */
        skb = unlikely(skb_cloned(oskb)) ? pskb_copy(oskb, MAX_TCP_HEADER) : skb_clone(oskb);
        tcp_skb_tsorted_restore(oskb, anchor);
        if (unlikely(!skb)) {
            err = -ENOBUFS;
            goto sent;
        }
        skb->dev = NULL; /* nor is the rbnode */
    }

    if (unlikely(TCP_SKB_CB(skb)->tcp_flags & TCPHDR_SYN)) {
        header_size = tcp_syn_options(sk, skb, &opts);
    } else {
        header_size = tcp_established_options(sk, skb, &opts);
        if (tcp_skb_pcount(skb) > 1) /* so that the receiver's GRO delivers it at once */
            TCP_SKB_CB(skb)->tcp_flags |= TCPHDR_PSH;
    }
    header_size += sizeof(struct tcphdr);

    skb->ooo_okay = tcp_rtx_queue_empty(sk);
    skb_orphan(skb);
    skb->sk = sk;
    skb->destructor = skb_is_tcp_pure_ack(skb) ? __sock_wfree : tcp_wfree;
    atomic_fetch_add(&sk->sk_wmem_alloc, (s32)skb->truesize);
    skb->dst_pending_confirm = READ_ONCE(sk->sk_dst_pending_confirm);
    skb->hash = sk->sk_txhash;

    tcp_build_header(sk, skb, rcv_nxt, header_size, &opts);
    tcp_account_sent(sk, skb, header_size, rcv_nxt);
    skb_shinfo(skb)->gso_segs = (u16)tcp_skb_pcount(skb);
    skb_shinfo(skb)->gso_size = (u16)tcp_skb_mss(skb);
    memset(&TCP_SKB_CB(skb)->h4, 0, sizeof(struct inet_skb_parm)); /* from here on it is IP's */
    skb->tstamp += (u64)tp->tcp_tx_delay * NSEC_PER_USEC;

    err = inet_csk(sk)->icsk_af_ops->queue_xmit(sk, skb); /* takes skb over */
    if (unlikely(err > 0)) {                              /* NET_XMIT_*: the local queue is congested */
        tcp_enter_cwr(sk);
        if (err == NET_XMIT_DROP)
            tcp_tsq_dropped(tp);
        err = err == NET_XMIT_CN ? 0 : err;
    }
sent:
    /* tstamp is new, even if it did not get far. What was never sent before is on its way now, or not in flight. */
    if (oskb && (!err || tcp_skb_tsorted(oskb)))
        tcp_tsorted_move_tail(tp, oskb);
    if (!err && oskb) {
        tcp_update_skb_after_send(sk, oskb, prior_wstamp);
        tcp_rate_skb_sent(sk, oskb);
    }
    return err;
}

int tcp_transmit_skb(struct sock *sk, struct sk_buff *skb, int clone_it)
{
    return WALK(__tcp_transmit_skb(sk, skb, clone_it, tcp_sk(sk)->rcv_nxt));
}

/* Role: skb, the send head, was sent for the first time: it moves to the retransmission queue. */
void tcp_event_new_data_sent(struct sock *sk, struct sk_buff *skb)
{
    struct tcp_sock *tp = tcp_sk(sk);
    u32 prior_packets = tp->packets_out;

    WRITE_ONCE(tp->snd_nxt, TCP_SKB_CB(skb)->end_seq);
    __skb_unlink(skb, &sk->sk_write_queue);
    tcp_rbtree_insert(&tp->tcp_rtx_queue, skb);
    if (!tp->highest_sack)
        tp->highest_sack = skb;
    tp->packets_out += (u32)tcp_skb_pcount(skb);
    if (!prior_packets || inet_csk(sk)->icsk_pending == ICSK_TIME_LOSS_PROBE)
        tcp_rearm_rto(sk);
    NET_ADD_STATS(sock_net(sk), LINUX_MIB_TCPORIGDATASENT, (u32)tcp_skb_pcount(skb));
    tcp_check_space(sk); /* what is notsent shrank */
}

/* ---- what may be sent ------------------------------------------------------------------------------------------------ */

/* Packets that the congestion window has room for, 0: none. At most half of it in one piece, so that two
 * large ones are under way. */
static u32 tcp_cwnd_test(const struct tcp_sock *tp)
{
    u32 in_flight = tcp_packets_in_flight(tp), cwnd = tcp_snd_cwnd(tp);

    if (in_flight >= cwnd)
        return 0;
    return min(max(cwnd >> 1, 1u), cwnd - in_flight);
}

/* Does at least its first segment end within the offered window? */
bool tcp_snd_wnd_test(const struct tcp_sock *tp, const struct sk_buff *skb, unsigned int cur_mss)
{
    u32 end_seq = skb->len > cur_mss ? TCP_SKB_CB(skb)->seq + cur_mss : TCP_SKB_CB(skb)->end_seq;

    return !after(end_seq, tcp_wnd_end(tp));
}

/* A small packet was sent (Minshall): the next small one waits for its acknowledgement. */
static void tcp_minshall_update(struct tcp_sock *tp, unsigned int mss_now, const struct sk_buff *skb)
{
    if (skb->len < (u32)tcp_skb_pcount(skb) * mss_now)
        tp->snd_sml = TCP_SKB_CB(skb)->end_seq;
}

static bool tcp_minshall_check(const struct tcp_sock *tp)
{
    return after(tp->snd_sml, tp->snd_una) && !after(tp->snd_sml, tp->snd_nxt);
}

/* Must a partial segment wait (RFC 9293 3.7.4, draft-minshall-nagle)? */
static bool tcp_nagle_check(bool partial, const struct tcp_sock *tp, int nonagle)
{
    return partial && ((nonagle & TCP_NAGLE_CORK) || (!nonagle && tp->packets_out && tcp_minshall_check(tp)));
}

/* May it go, as far as Nagle is concerned? */
static bool tcp_nagle_test(const struct tcp_sock *tp, const struct sk_buff *skb, unsigned int cur_mss,
                           int nonagle)
{
    if (nonagle & TCP_NAGLE_PUSH)
        return true;
    if (tcp_urg_mode(tp) || (TCP_SKB_CB(skb)->tcp_flags & TCPHDR_FIN))
        return true;
    return !tcp_nagle_check(skb->len < cur_mss, tp, nonagle);
}

int tcp_tso_autosize(const struct sock *sk, unsigned int mss_now, int min_tso_segs)
{
    u64 bytes = sk->sk_pacing_rate >> READ_ONCE(sk->sk_pacing_shift); /* about a millisecond's worth */
    u32 r = tcp_min_rtt(tcp_sk(sk)) >> sock_net(sk)->ipv4.sysctl_tcp_tso_rtt_log;

    if (r < 32) /* near peers get larger bursts: less work, and buffers are shallow on the long paths */
        bytes += sk->sk_gso_max_size >> r;
    bytes = min(bytes, (u64)sk->sk_gso_max_size);
    return (int)max((u32)bytes / mss_now, (u32)min_tso_segs);
}

/* Segments in one sk_buff, at most. */
u32 tcp_tso_segs(struct sock *sk, unsigned int mss_now)
{
    const struct tcp_congestion_ops *ca_ops = inet_csk(sk)->icsk_ca_ops;
    u32 min_tso =
        ca_ops->min_tso_segs ? ca_ops->min_tso_segs(sk) : (u32)sock_net(sk)->ipv4.sysctl_tcp_min_tso_segs;

    return min((u32)tcp_tso_autosize(sk, mss_now, (int)min_tso), max((u32)sk->sk_gso_max_segs, 1u));
}

/* Bytes of skb to send in one piece: whole segments within the window and the quota. */
static unsigned int tcp_mss_split_point(const struct sock *sk, const struct sk_buff *skb,
                                        unsigned int mss_now, unsigned int max_segs, int nonagle)
{
    const struct tcp_sock *tp = tcp_sk(sk);
    u32 window = tcp_wnd_end(tp) - TCP_SKB_CB(skb)->seq;
    u32 max_len = mss_now * max_segs, needed, partial;

    if (likely(max_len <= window && skb != tcp_write_queue_tail(sk)))
        return max_len;
    needed = min(skb->len, window);
    if (max_len <= needed)
        return max_len;
    partial = needed % mss_now;
    if (tcp_nagle_check(partial != 0, tp, nonagle)) /* the small rest stays behind */
        return needed - partial;
    return needed;
}

/* Nearly everything could go, but a larger piece will be possible after the next ACK: wait? */
static bool tcp_tso_should_defer(struct sock *sk, const struct sk_buff *skb, bool *is_cwnd_limited,
                                 bool *is_rwnd_limited, u32 max_segs)
{
    struct tcp_sock *tp = tcp_sk(sk);
    u32 send_win, cong_win, limit, divisor = (u32)sock_net(sk)->ipv4.sysctl_tcp_tso_win_divisor;
    const struct sk_buff *head;

    if (inet_csk(sk)->icsk_ca_state >= TCP_CA_Recovery)
        return false;
    /* Only while writes follow each other closely, or the burst would come late. */
    if ((s64)(tp->tcp_clock_cache - tp->tcp_wstamp_ns - NSEC_PER_MSEC) > 0)
        return false;
    send_win = tcp_wnd_end(tp) - TCP_SKB_CB(skb)->seq;
    cong_win = (tcp_snd_cwnd(tp) - tcp_packets_in_flight(tp)) * tp->mss_cache;
    limit = min(send_win, cong_win);
    if (limit >= max_segs * tp->mss_cache)
        return false;
    if (skb != tcp_write_queue_tail(sk) && limit >= skb->len)
        return false;
    if (divisor) {
        if (limit >= min(tp->snd_wnd, tcp_snd_cwnd(tp) * tp->mss_cache) / divisor)
            return false;
    } else if (limit > 3 * tp->mss_cache) {
        return false;
    }
    head = tcp_rtx_queue_head(sk);
    if (!head)
        return false;
    /* The next ACK is far away (less than half a round trip has passed): do not wait for it. */
    if ((s64)(tp->tcp_clock_cache - head->tstamp) < (s64)(NSEC_PER_USEC * (tp->srtt_us >> 4)))
        return false;
    if (cong_win < send_win) {
        if (cong_win <= skb->len) {
            *is_cwnd_limited = true;
            return true;
        }
    } else if (send_win <= skb->len) {
        *is_rwnd_limited = true;
        return true;
    }
    return !(TCP_SKB_CB(skb)->tcp_flags & TCPHDR_FIN) && !TCP_SKB_CB(skb)->eor;
}

/* ---- the engine ----------------------------------------------------------------------------------------------------------- */

enum xmit_verdict { XMIT_OK, XMIT_STOP };
struct xmit_state {
    u32 mss_now, max_segs /* 0: not known yet */, cwnd_quota;
    int nonagle, push_one;
    bool is_cwnd_limited, is_rwnd_limited;
};

/* Segments of skb for this MSS; worked out anew when the MSS has changed since. */
static int tcp_init_tso_segs(struct sk_buff *skb, unsigned int mss_now)
{
    int tso_segs = tcp_skb_pcount(skb);

    if (!tso_segs || (tso_segs > 1 && tcp_skb_mss(skb) != (int)mss_now) || (tso_segs == 1 && skb->len > mss_now))
        return tcp_set_skb_tso_segs(skb, mss_now);
    return tso_segs;
}

/* May skb, the send head, go now? It is cut to what may. */
static enum xmit_verdict tcp_xmit_prepare(struct sock *sk, struct sk_buff *skb, struct xmit_state *x)
{
    struct tcp_sock *tp = tcp_sk(sk);
    unsigned int limit = x->mss_now;
    int tso_segs;

    if (tcp_pacing_check(sk))
        return XMIT_STOP;
    x->cwnd_quota = tcp_cwnd_test(tp);
    if (!x->cwnd_quota) {
        if (x->push_one != 2)
            return XMIT_STOP;
        x->cwnd_quota = 1; /* a loss probe may exceed the window by one (RFC 8985 7.3) */
    }
    tso_segs = tcp_init_tso_segs(skb, x->mss_now);
    if (unlikely(!tcp_snd_wnd_test(tp, skb, x->mss_now))) {
        x->is_rwnd_limited = true;
        return XMIT_STOP;
    }
    if (tso_segs == 1) {
        if (unlikely(
                !tcp_nagle_test(tp, skb, x->mss_now, tcp_skb_is_last(sk, skb) ? x->nonagle : TCP_NAGLE_PUSH)))
            return XMIT_STOP;
    } else {
        if (!x->max_segs) /* worked out when it is needed: small writes that must wait do not */
            x->max_segs = tcp_tso_segs(sk, x->mss_now);
        if (!x->push_one &&
            tcp_tso_should_defer(sk, skb, &x->is_cwnd_limited, &x->is_rwnd_limited, x->max_segs))
            return XMIT_STOP;
        if (!tcp_urg_mode(tp))
            limit = tcp_mss_split_point(sk, skb, x->mss_now, min(x->cwnd_quota, x->max_segs), x->nonagle);
    }
    if (skb->len > limit && unlikely(tso_fragment(sk, skb, limit, x->mss_now)))
        return XMIT_STOP;
    if (tcp_small_queue_check(sk, skb, 0))
        return XMIT_STOP;
    /* An empty one: a thread sleeps in sk_stream_wait_memory before its first byte. */
    if (TCP_SKB_CB(skb)->end_seq == TCP_SKB_CB(skb)->seq)
        return XMIT_STOP;
    return XMIT_OK;
}

/* push_one: 1 at most one sk_buff, 2 a loss probe too. */
bool tcp_write_xmit(struct sock *sk, u32 mss_now, int nonagle, int push_one)
{
    struct tcp_sock *tp = tcp_sk(sk);
    struct xmit_state x = {.mss_now = mss_now, .nonagle = nonagle, .push_one = push_one};
    u32 sent_pkts = 0;
    struct sk_buff *skb;
    int probed;

    tcp_mstamp_refresh(tp);
    if (!push_one) {
        probed = tcp_mtu_probe(sk);
        if (!probed)
            return false;
        if (probed > 0)
            sent_pkts = 1;
    }
    while ((skb = tcp_send_head(sk)) != NULL) {
        if (tcp_xmit_prepare(sk, skb, &x) == XMIT_STOP)
            break;
        if (unlikely(tcp_transmit_skb(sk, skb, 1)))
            break;
        tcp_event_new_data_sent(sk, skb);
        tcp_minshall_update(tp, mss_now, skb);
        sent_pkts += (u32)tcp_skb_pcount(skb);
        if (push_one)
            break;
    }

    if (x.is_rwnd_limited)
        tcp_chrono_start(sk, TCP_CHRONO_RWND_LIMITED);
    else
        tcp_chrono_stop(sk, TCP_CHRONO_RWND_LIMITED);
    x.is_cwnd_limited |= tcp_packets_in_flight(tp) >= tcp_snd_cwnd(tp);
    if (likely(sent_pkts || x.is_cwnd_limited))
        tcp_cwnd_validate(sk, x.is_cwnd_limited);
    if (likely(sent_pkts)) {
        if (tcp_in_cwnd_reduction(sk))
            tp->prr_out += sent_pkts;
        if (push_one != 2) /* one loss probe for each tail */
            tcp_schedule_loss_probe(sk, false);
        return false;
    }
    return !tp->packets_out && !tcp_write_queue_empty(sk);
}

/* Nothing could go and nothing is in flight: no ACK will come by itself, so the window must be asked for. */
static void tcp_check_probe_timer(struct sock *sk)
{
    if (!tcp_sk(sk)->packets_out && !inet_csk(sk)->icsk_pending)
        tcp_reset_xmit_timer(sk, ICSK_TIME_PROBE0, tcp_probe0_base(sk), tcp_rto_max(sk));
}

void __tcp_push_pending_frames(struct sock *sk, u32 cur_mss, int nonagle)
{
    if (unlikely(sk->sk_state == TCP_CLOSE)) /* retransmission timer or reset ended it */
        return;
    if (tcp_write_xmit(sk, cur_mss, nonagle, 0))
        tcp_check_probe_timer(sk);
}

/* Send the head, which is more than one segment, at once: the program is writing a lot. */
void tcp_push_one(struct sock *sk, u32 mss_now)
{
    struct sk_buff *skb = tcp_send_head(sk);

    BUG_ON(!skb || skb->len < mss_now);
    tcp_write_xmit(sk, mss_now, TCP_NAGLE_PUSH, 1);
}
