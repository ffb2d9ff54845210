/* SPDX-License-Identifier: MIT */
/* Segments that carry no user data: SYN, SYN-ACK, FIN, RST, ACK and window probes. */

#include "../core/checksum.h"
#include "tcp_fastopen.h"
#include "tcp_output.h"

void tcp_init_nondata_skb(struct sk_buff *skb, u32 seq, u8 flags)
{
    skb->ip_summed = CHECKSUM_PARTIAL;
    TCP_SKB_CB(skb)->tcp_flags = flags;
    TCP_SKB_CB(skb)->seq = seq;
    TCP_SKB_CB(skb)->end_seq = seq + ((flags & (TCPHDR_SYN | TCPHDR_FIN)) ? 1 : 0);
    tcp_skb_pcount_set(skb, 1);
}

/* An sk_buff for a header alone, not charged to the write queue. NULL without memory. */
static struct sk_buff *tcp_alloc_header_skb(struct sock *sk)
{
    struct sk_buff *skb = alloc_skb(sock_net(sk), MAX_TCP_HEADER);

    if (likely(skb != NULL))
        skb_reserve(skb, MAX_TCP_HEADER);
    return skb;
}

/* The sequence number for a segment without data: snd_nxt, unless the peer shrank its window behind it by more
 * than scaling rounds away. */
static u32 tcp_acceptable_seq(const struct sock *sk)
{
    const struct tcp_sock *tp = tcp_sk(sk);

    if (!before(tcp_wnd_end(tp), tp->snd_nxt) ||
        (tp->rx_opt.wscale_ok && tp->snd_nxt - tcp_wnd_end(tp) < 1u << tp->rx_opt.rcv_wscale))
        return tp->snd_nxt;
    return tcp_wnd_end(tp);
}

/* ---- SYN ---------------------------------------------------------------------------------------------------- */

/* Everything that a connection attempt starts from (RFC 9293 3.10.1 OPEN). */
static void tcp_connect_init(struct sock *sk)
{
    struct inet_connection_sock *icsk = inet_csk(sk);
    const struct dst_entry *dst = sk->sk_dst_cache;
    const struct netns_ipv4 *ipv4 = &sock_net(sk)->ipv4;
    struct tcp_sock *tp = tcp_sk(sk);
    u32 ts_len;
    u8 rcv_wscale;

    tp->tcp_header_len = sizeof(struct tcphdr) + (ipv4->sysctl_tcp_timestamps ? TCPOLEN_TSTAMP_ALIGNED : 0);
    if (tp->rx_opt.user_mss)
        tp->rx_opt.mss_clamp = tp->rx_opt.user_mss;
    tp->max_window = 0;
    tcp_mtup_init(sk);
    tcp_sync_mss(sk, dst_mtu(dst));

    tp->advmss = (u16)tcp_dst_advmss(dst);
    if (tp->rx_opt.user_mss)
        tp->advmss = min(tp->advmss, tp->rx_opt.user_mss);
    tcp_initialize_rcv_mss(sk);
    if ((sk->sk_userlocks & SOCK_RCVBUF_LOCK) &&
        (tp->window_clamp > (u32)tcp_full_space(sk) || tp->window_clamp == 0))
        tp->window_clamp = (u32)tcp_full_space(sk);
    ts_len = tp->rx_opt.ts_recent_stamp ? tp->tcp_header_len - (u32)sizeof(struct tcphdr) : 0;
    tcp_select_initial_window(sk, tcp_full_space(sk), tp->advmss - ts_len, &tp->rcv_wnd, &tp->window_clamp,
                              ipv4->sysctl_tcp_window_scaling, &rcv_wscale, dst->initrwnd);
    tp->rx_opt.rcv_wscale = rcv_wscale & 15;
    tp->rcv_ssthresh = tp->rcv_wnd;

    WRITE_ONCE(sk->sk_err, 0);
    sock_reset_flag(sk, SOCK_DONE);
    tp->snd_wnd = 0;
    tp->snd_wl1 = 0;
    tcp_write_queue_purge(sk);
    WRITE_ONCE(tp->snd_una, tp->write_seq);
    tp->snd_sml = tp->snd_up = tp->write_seq;
    WRITE_ONCE(tp->snd_nxt, tp->write_seq);
    tp->rcv_nxt = 0;
    tp->rcv_wup = 0;
    WRITE_ONCE(tp->copied_seq, 0);
    icsk->icsk_rto = TCP_TIMEOUT_INIT;
    icsk->icsk_retransmits = 0;
    tcp_clear_retrans(tp);
}

/* tcp_ecn: 1 asks. So do 3 and 4, which are about AccECN: what Linux falls back to when the peer has none.
 * 0, 2 and 5 do not; all but 0 agree when asked (tcp_ecn_create_request). */
static void tcp_ecn_send_syn(struct sock *sk, struct sk_buff *skb)
{
    struct tcp_sock *tp = tcp_sk(sk);
    const int mode = sock_net(sk)->ipv4.sysctl_tcp_ecn;

    tp->ecn_flags = 0;
    if (mode != 1 && mode != 3 && mode != 4 && !tcp_ca_needs_ecn(sk))
        return;
    TCP_SKB_CB(skb)->tcp_flags |= TCPHDR_ECE | TCPHDR_CWR;
    tp->ecn_flags = TCP_ECN_OK;
    if (tcp_ca_needs_ecn(sk))
        INET_ECN_xmit(sk);
}

/* Put a segment that eats a sequence number and has no data on the retransmission queue, charged. */
static void tcp_connect_queue_skb(struct sock *sk, struct sk_buff *skb)
{
    struct tcp_sock *tp = tcp_sk(sk);

    TCP_SKB_CB(skb)->end_seq += skb->len;
    sk_wmem_queued_add(sk, (int)skb->truesize);
    sk_mem_charge(sk, (int)skb->truesize);
    WRITE_ONCE(tp->write_seq, TCP_SKB_CB(skb)->end_seq);
    tp->packets_out += (u32)tcp_skb_pcount(skb);
    tcp_rbtree_insert(&tp->tcp_rtx_queue, skb);
}

/* The caller has bound and hashed sk and set write_seq to the ISN; a route is in sk_dst_cache. */
int tcp_connect(struct sock *sk)
{
    struct tcp_sock *tp = tcp_sk(sk);
    struct sk_buff *skb;
    int err;

    if (inet_csk(sk)->icsk_af_ops->rebuild_header(sk))
        return -EHOSTUNREACH;
    tcp_connect_init(sk);
    skb = __sk_stream_alloc_skb(sk, 0, true);
    if (unlikely(!skb))
        return -ENOBUFS;
    tcp_init_nondata_skb(skb, tp->write_seq, TCPHDR_SYN);
    tcp_mstamp_refresh(tp);
    tp->retrans_stamp = tcp_time_stamp_ts(tp);
    tcp_connect_queue_skb(sk, skb);
    tcp_ecn_send_syn(sk, skb);
    err = tp->fastopen_req ? tcp_send_syn_data(sk, skb) : tcp_transmit_skb(sk, skb, 1);
    if (err == -ECONNREFUSED)
        return err;
    /* After the transmit, so that it was counted as new (OutSegs). A SYN that failed locally is repeated. */
    WRITE_ONCE(tp->snd_nxt, tp->write_seq);
    tp->pushed_seq = tp->write_seq;
    if (unlikely(tcp_send_head(sk))) { /* data that could not go with the SYN */
        WRITE_ONCE(tp->snd_nxt, TCP_SKB_CB(tcp_send_head(sk))->seq);
        tp->pushed_seq = TCP_SKB_CB(tcp_send_head(sk))->seq;
    }
    NET_INC_STATS(sock_net(sk), TCP_MIB_ACTIVEOPENS);
    inet_csk_reset_xmit_timer(sk, ICSK_TIME_RETRANS, inet_csk(sk)->icsk_rto, tcp_rto_max(sk));
    return 0;
}

/* Simultaneous open: our SYN, still queued, goes again with an ACK (RFC 9293 figure 8). 0 or -errno. */
int tcp_send_synack(struct sock *sk)
{
    struct sk_buff *skb = tcp_rtx_queue_head(sk);
    struct tcp_sock *tp = tcp_sk(sk);

    if (!skb || !(TCP_SKB_CB(skb)->tcp_flags & TCPHDR_SYN))
        return -EFAULT;
    if (!(TCP_SKB_CB(skb)->tcp_flags & TCPHDR_ACK)) {
        if (skb_unclone(skb))
            return -ENOMEM;
        TCP_SKB_CB(skb)->tcp_flags |= TCPHDR_ACK;
        if ((TCP_SKB_CB(skb)->tcp_flags & TCPHDR_ECE) && (tp->ecn_flags & TCP_ECN_OK))
            TCP_SKB_CB(skb)->tcp_flags &= (u8)~TCPHDR_CWR; /* an ECN-setup SYN-ACK has ECE alone */
        else
            TCP_SKB_CB(skb)->tcp_flags &= (u8) ~(TCPHDR_ECE | TCPHDR_CWR);
    }
    return tcp_transmit_skb(sk, skb, 1);
}

/* Role: the SYN-ACK for a request, without IP header; checksum partial with the pseudo-header sum left to the
 * caller's send_check or done here. dst stays the caller's. NULL without memory. The caller owns the result. */
struct sk_buff *tcp_make_synack(const struct sock *sk, struct dst_entry *dst, struct request_sock *req,
                                const struct tcp_fastopen_cookie *foc)
{
    const struct tcp_sock *tp = tcp_sk(sk);
    struct net *net = sock_net(sk);
    struct tcp_out_options opts = {0};
    struct sk_buff *skb;
    struct tcphdr *th;
    u32 size, mss;

    skb = alloc_skb(net, MAX_TCP_HEADER);
    if (unlikely(!skb))
        return NULL;
    skb_reserve(skb, MAX_TCP_HEADER);
    mss = tcp_dst_advmss(dst);
    if (tp->rx_opt.user_mss)
        mss = min(mss, (u32)tp->rx_opt.user_mss);
    if (req->syncookie && req->tstamp_ok) /* the timestamp carries the options */
        skb->tstamp = cookie_init_timestamp(req, net_now(net)) * NSEC_PER_MSEC;
    else
        skb->tstamp = net_now(net);
    if (!req->snt_synack)
        req->snt_synack = net_now(net);
    skb->hash = req->txhash;
    skb->mark = req->ir_mark;

    size = (u32)sizeof(*th) + tcp_synack_options(sk, req, (u16)mss, skb, &opts, foc);
    th = skb_push(skb, size);
    skb_reset_transport_header(skb);
    memset(th, 0, sizeof(*th));
    th->syn = 1;
    th->ack = 1;
    th->ece = req->ecn_ok; /* RFC 3168 6.1.1 */
    th->source = htobe16(req->ir_num);
    th->dest = req->ir_rmt_port;
    th->seq = htobe32(req->snt_isn);
    th->ack_seq = htobe32(req->rcv_nxt);
    th->window = htobe16((u16)min(req->rsk_rcv_wnd, 65535u));
    th->doff = (size >> 2) & 15;
    tcp_options_write(th, NULL, &opts);
    th->check = (u16)~csum_tcpudp_magic(req->ir_loc_addr, req->ir_rmt_addr, skb->len, IPPROTO_TCP, 0);
    skb->csum_start = (u16)(skb_transport_header(skb) - skb->head);
    skb->csum_offset = offsetof(struct tcphdr, check);
    skb->ip_summed = CHECKSUM_PARTIAL;
    NET_INC_STATS(net, TCP_MIB_OUTSEGS);
    return skb;
}

/* Send the SYN-ACK again: its timer, or the peer's SYN came again. 0 or -errno. */
int tcp_rtx_synack(const struct sock *sk, struct request_sock *req)
{
    int err = tcp_v4_send_synack(sk, NULL, req, NULL);

    if (err)
        return err;
    if (unlikely(tcp_sk(sk)->fastopen_rsk == req)) /* else the listener's, which counts nothing */
        ((struct tcp_sock *)tcp_sk(sk))->total_retrans++;
    NET_INC_STATS(sock_net(sk), TCP_MIB_RETRANSSEGS);
    NET_INC_STATS(sock_net(sk), LINUX_MIB_TCPSYNRETRANS);
    return 0;
}

/* ---- FIN and RST ------------------------------------------------------------------------------------------- */

/* Role: close our direction behind everything that is queued. Never fails visibly: without memory the peer
 * learns it by the retransmission of what carries the flag, or by the time-out. */
void tcp_send_fin(struct sock *sk)
{
    struct sk_buff *tail = tcp_write_queue_tail(sk), *skb = tail;
    struct tcp_sock *tp = tcp_sk(sk);

    if (!skb && tcp_under_memory_pressure(sk))
        skb = tcp_rtx_queue_tail(sk); /* sent already: its retransmission will carry the FIN */
    if (skb) {
        TCP_SKB_CB(skb)->tcp_flags |= TCPHDR_FIN;
        TCP_SKB_CB(skb)->end_seq++;
        WRITE_ONCE(tp->write_seq, tp->write_seq + 1);
        if (!tail) { /* as if the FIN had left: retransmission does not move snd_nxt */
            WRITE_ONCE(tp->snd_nxt, tp->snd_nxt + 1);
            return;
        }
    } else {
        skb = tcp_alloc_header_skb(sk);
        if (unlikely(!skb))
            return;
        skb_track_clones(skb);
        sk_forced_mem_schedule(sk, (int)skb->truesize);
        tcp_init_nondata_skb(skb, tp->write_seq, TCPHDR_ACK | TCPHDR_FIN);
        WRITE_ONCE(tp->write_seq, TCP_SKB_CB(skb)->end_seq);
        __skb_queue_tail(&sk->sk_write_queue, skb);
        sk_wmem_queued_add(sk, (int)skb->truesize);
        sk_mem_charge(sk, (int)skb->truesize);
    }
    __tcp_push_pending_frames(sk, tcp_current_mss(sk), TCP_NAGLE_OFF);
    WALK_END();
}

/* ABORT (RFC 9293 3.10.5). The state change is the caller's. */
void tcp_send_active_reset(struct sock *sk)
{
    struct net *net = sock_net(sk);
    struct sk_buff *skb = tcp_alloc_header_skb(sk);

    NET_INC_STATS(net, TCP_MIB_OUTRSTS);
    if (!skb) {
        NET_INC_STATS(net, LINUX_MIB_TCPABORTFAILED);
        return;
    }
    tcp_init_nondata_skb(skb, tcp_acceptable_seq(sk), TCPHDR_ACK | TCPHDR_RST);
    tcp_mstamp_refresh(tcp_sk(sk));
    if (tcp_transmit_skb(sk, skb, 0))
        NET_INC_STATS(net, LINUX_MIB_TCPABORTFAILED);
}

/* ---- ACK ------------------------------------------------------------------------------------------------------ */

/* Role: put an ACK off, but not for longer than the traffic's own rhythm (RFC 9293 3.8.6.3, RFC 5681 4.2). */
void tcp_send_delayed_ack(struct sock *sk)
{
    struct inet_connection_sock *icsk = inet_csk(sk);
    const struct tcp_sock *tp = tcp_sk(sk);
    u64 now = tcp_clock_ns(sk), ato = icsk->icsk_ack.ato, timeout, max_ato;

    if (ato > TCP_DELACK_MIN) {
        max_ato = NSEC_PER_SEC / 2;
        if (inet_csk_in_pingpong_mode(sk) || (icsk->icsk_ack.pending & ICSK_ACK_PUSHED))
            max_ato = TCP_DELACK_MAX;
        if (tp->srtt_us)
            max_ato = min(max_ato, max((u64)(tp->srtt_us >> 3) * NSEC_PER_USEC, (u64)TCP_DELACK_MIN));
        ato = min(ato, max_ato);
    }
    ato = min(ato, tcp_delack_max(sk));
    timeout = now + ato;
    if (icsk->icsk_ack.pending & ICSK_ACK_TIMER) {
        if (icsk->icsk_ack.timeout <= now + (ato >> 2)) { /* about to fire anyway */
            tcp_send_ack(sk);
            return;
        }
        timeout = min(timeout, icsk->icsk_ack.timeout);
    }
    icsk->icsk_ack.pending |= ICSK_ACK_SCHED | ICSK_ACK_TIMER;
    icsk->icsk_ack.timeout = timeout;
    sk_reset_timer(sk, &icsk->icsk_delack_timer, timeout);
}

void __tcp_send_ack(struct sock *sk, u32 rcv_nxt)
{
    struct inet_connection_sock *icsk = inet_csk(sk);
    struct sk_buff *skb;

    if (sk->sk_state == TCP_CLOSE)
        return;
    skb = tcp_alloc_header_skb(sk);
    if (unlikely(!skb)) { /* try again later, backing off */
        u64 delay = TCP_DELACK_MAX << icsk->icsk_ack.retry;

        if (delay < tcp_rto_max(sk))
            icsk->icsk_ack.retry++;
        inet_csk_schedule_ack(sk);
        icsk->icsk_ack.ato = TCP_ATO_MIN;
        inet_csk_reset_xmit_timer(sk, ICSK_TIME_DACK, delay, tcp_rto_max(sk));
        return;
    }
    tcp_init_nondata_skb(skb, tcp_acceptable_seq(sk), TCPHDR_ACK);
    skb_set_tcp_pure_ack(skb);
    __tcp_transmit_skb(sk, skb, 0, rcv_nxt);
    WALK_END();
}

void tcp_send_ack(struct sock *sk)
{
    __tcp_send_ack(sk, tcp_sk(sk)->rcv_nxt);
    WALK_END();
}

/* ---- probes ----------------------------------------------------------------------------------------------------- */

/* A segment with an old sequence number: the peer must answer with an ACK that tells its window.
 * urgent: one that also tells the urgent pointer. 0, or not sent (<0: no memory; >0: congestion). */
static int tcp_xmit_probe_skb(struct sock *sk, int urgent, int mib)
{
    struct sk_buff *skb = tcp_alloc_header_skb(sk);

    if (!skb)
        return -1;
    tcp_init_nondata_skb(skb, tcp_sk(sk)->snd_una - !urgent, TCPHDR_ACK);
    NET_INC_STATS(sock_net(sk), mib);
    return tcp_transmit_skb(sk, skb, 0);
}

/* After a hand-over: ask for the peer's window. */
void tcp_send_window_probe(struct sock *sk)
{
    if (sk->sk_state != TCP_ESTABLISHED)
        return;
    tcp_sk(sk)->snd_wl1 = tcp_sk(sk)->rcv_nxt - 1;
    tcp_mstamp_refresh(tcp_sk(sk));
    tcp_xmit_probe_skb(sk, 0, LINUX_MIB_TCPWINPROBE);
}

/* Role: make the peer answer: by data where the window has room for a byte, else by a probe.
 * 0, >0 local congestion, <0 no memory or closed. */
int tcp_write_wakeup(struct sock *sk, int mib)
{
    struct tcp_sock *tp = tcp_sk(sk);
    struct sk_buff *skb = tcp_send_head(sk);
    u32 mss, seg_size;
    int err;

    if (sk->sk_state == TCP_CLOSE)
        return -1;
    if (!skb || !before(TCP_SKB_CB(skb)->seq, tcp_wnd_end(tp))) {
        if (between(tp->snd_up, tp->snd_una + 1, tp->snd_una + 0xffff))
            tcp_xmit_probe_skb(sk, 1, mib);
        return tcp_xmit_probe_skb(sk, 0, mib);
    }
    mss = tcp_current_mss(sk);
    seg_size = tcp_wnd_end(tp) - TCP_SKB_CB(skb)->seq;
    if (before(tp->pushed_seq, TCP_SKB_CB(skb)->end_seq))
        tp->pushed_seq = TCP_SKB_CB(skb)->end_seq;
    /* The window is not closed but too small for what silly window avoidance would send: send that much. */
    TCP_SKB_CB(skb)->tcp_flags |= TCPHDR_PSH;
    if (seg_size < TCP_SKB_CB(skb)->end_seq - TCP_SKB_CB(skb)->seq || skb->len > mss) {
        if (tcp_fragment(sk, TCP_FRAG_IN_WRITE_QUEUE, skb, min(seg_size, mss), mss))
            return -1;
        TCP_SKB_CB(skb)->tcp_flags |= TCPHDR_PSH; /* tcp_fragment left it to the rest */
    } else if (!tcp_skb_pcount(skb)) {
        tcp_set_skb_tso_segs(skb, mss);
    }
    err = tcp_transmit_skb(sk, skb, 1);
    if (!err)
        tcp_event_new_data_sent(sk, skb);
    return err;
}

/* The probe timer fired (RFC 9293 3.8.6.1): ask, and ask again later. */
void tcp_send_probe0(struct sock *sk)
{
    struct inet_connection_sock *icsk = inet_csk(sk);
    struct tcp_sock *tp = tcp_sk(sk);
    int err = tcp_write_wakeup(sk, LINUX_MIB_TCPWINPROBE);
    u64 timeout;

    if (tp->packets_out || tcp_write_queue_empty(sk)) { /* data went, or there is none any more */
        icsk->icsk_probes_out = 0;
        icsk->icsk_backoff = 0;
        icsk->icsk_probes_tstamp = 0;
        return;
    }
    icsk->icsk_probes_out++;
    if (err <= 0) {
        if (icsk->icsk_backoff < sock_net(sk)->ipv4.sysctl_tcp_retries2)
            icsk->icsk_backoff++;
        timeout = tcp_probe0_when(sk, tcp_rto_max(sk)); /* keeps TCP_USER_TIMEOUT */
    } else {
        timeout = TCP_RESOURCE_PROBE_INTERVAL; /* not sent at all: soon again, without backing off */
    }
    tcp_reset_xmit_timer(sk, ICSK_TIME_PROBE0, timeout, tcp_rto_max(sk));
}
