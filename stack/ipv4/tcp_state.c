// SPDX-License-Identifier: MIT
/* Segments in, by state (RFC 9293 3.10.7): every state but ESTABLISHED, which is tcp_input.c's, and TIME-WAIT. */

#include "tcp_fastopen.h"
#include "tcp_input.h"

/* ---- SYN-SENT -------------------------------------------------------------------------------------------------------------- */

/* The handshake is complete from our side. */
static void tcp_finish_connect(struct sock *sk)
{
    struct inet_connection_sock *icsk = inet_csk(sk);
    struct tcp_sock *tp = tcp_sk(sk);

    tcp_set_state(sk, TCP_ESTABLISHED);
    icsk->icsk_ack.lrcvtime = tcp_clock_ns(sk);
    tcp_init_transfer(sk, true);
    /* Prevent spurious tcp_cwnd_restart() on first data packet. */
    tp->lsndtime = tcp_clock_ns(sk);
    if (sock_flag(sk, SOCK_KEEPOPEN))
        inet_csk_reset_keepalive_timer(sk, tcp_keepalive_time_when(tp));
    if (!tp->rx_opt.snd_wscale)
        __tcp_fast_path_on(tp, tp->snd_wnd);
    else
        tp->pred_flags = 0;
}

/* Windows and options that SYN and SYN-ACK share. */
static void tcp_synsent_take_options(struct sock *sk, const struct sk_buff *skb)
{
    const struct tcphdr *th = tcp_hdr(skb);
    struct tcp_sock *tp = tcp_sk(sk);

    WRITE_ONCE(tp->rcv_nxt, TCP_SKB_CB(skb)->seq + 1);
    tp->rcv_wup = TCP_SKB_CB(skb)->seq + 1;
    tp->rcv_mwnd_seq = tp->rcv_wup + tp->rcv_wnd;
    /* RFC 7323: the window in SYN and SYN-ACK segments is never scaled. */
    tp->snd_wnd = be16toh(th->window);
    if (!tp->rx_opt.wscale_ok) {
        tp->rx_opt.snd_wscale = tp->rx_opt.rcv_wscale = 0;
        WRITE_ONCE(tp->window_clamp, min(tp->window_clamp, 65535u));
    }
    if (tp->rx_opt.saw_tstamp) {
        tp->rx_opt.tstamp_ok = 1;
        tp->tcp_header_len = sizeof(struct tcphdr) + TCPOLEN_TSTAMP_ALIGNED;
        tp->rx_opt.ts_recent = tp->rx_opt.rcv_tsval;
        tp->rx_opt.ts_recent_stamp = tcp_clock_ns(sk) / NSEC_PER_SEC;
    } else {
        tp->tcp_header_len = sizeof(struct tcphdr);
    }
    tcp_sync_mss(sk, inet_csk(sk)->icsk_pmtu_cookie);
}

/* An acceptable SYN-ACK for our SYN. */
static void tcp_rcv_synsent_synack(struct sock *sk, struct sk_buff *skb)
{
    struct tcp_fastopen_cookie foc = {.len = -1};
    bool fastopen_fail = false;
    struct inet_connection_sock *icsk = inet_csk(sk);
    const struct tcphdr *th = tcp_hdr(skb);
    struct tcp_sock *tp = tcp_sk(sk);

    tcp_ecn_rcv_synack(tp, th);
    tp->snd_wl1 = TCP_SKB_CB(skb)->seq;
    tcp_try_undo_spurious_syn(sk);
    tcp_ack(sk, skb, FLAG_SLOWPATH);
    tcp_synsent_take_options(sk, skb);
    if (tp->rx_opt.tstamp_ok) /* what crossed SYNs do in tcp_rcv_synrecv_acked(): their SYN-ACK is still to go */
        tp->advmss -= TCPOLEN_TSTAMP_ALIGNED;
    tcp_initialize_rcv_mss(sk);
    tcp_mtup_init(sk);
    /* Remember, tcp_poll() does not lock socket: change state from SYN-SENT only after copied_seq is set. */
    WRITE_ONCE(tp->copied_seq, tp->rcv_nxt);
    tcp_finish_connect(sk);
    if (tp->syn_fastopen || tp->syn_data) {
        tcp_parse_fastopen_option(skb, &foc);
        fastopen_fail = tcp_rcv_fastopen_synack(sk, skb, &foc);
    }
    if (!sock_flag(sk, SOCK_DEAD))
        sk->sk_state_change(sk);
    if (fastopen_fail) /* the SYN's data went again, with the ACK */
        return;
    if (sk->sk_write_pending || icsk->icsk_accept_queue.rskq_defer_accept || inet_csk_in_pingpong_mode(sk)) {
        /* Save one ACK: data will be ready soon, the ACK goes with it (or after 200 ms). */
        inet_csk_schedule_ack(sk);
        tcp_enter_quickack_mode(sk, TCP_MAX_QUICKACKS);
        inet_csk_reset_xmit_timer(sk, ICSK_TIME_DACK, TCP_DELACK_MAX, tcp_rto_max(sk));
        return;
    }
    tcp_send_ack(sk);
}

/* Role: SYN-SENT (RFC 9293 3.10.7.3). 0: skb was consumed; >0: reason, the caller
 * resets and frees. */
static int tcp_rcv_synsent_state_process(struct sock *sk, struct sk_buff *skb, const struct tcphdr *th)
{
    struct tcp_sock *tp = tcp_sk(sk);
    int saved_clamp = tp->rx_opt.mss_clamp;

    tcp_parse_options(sock_net(sk), skb, &tp->rx_opt, 0);
    if (tp->rx_opt.saw_tstamp && tp->rx_opt.rcv_tsecr)
        tp->rx_opt.rcv_tsecr -= tp->tsoffset;
    if (th->ack) {
        /* "If SEG.ACK =< ISS or SEG.ACK > SND.NXT: reset, unless RST" */
        if (!after(TCP_SKB_CB(skb)->ack_seq, tp->snd_una) || after(TCP_SKB_CB(skb)->ack_seq, tp->snd_nxt)) {
            /* An old SYN-ACK after a retransmitted SYN: try again soon. */
            if (!inet_csk(sk)->icsk_retransmits)
                inet_csk_reset_xmit_timer(sk, ICSK_TIME_RETRANS, TCP_TIMEOUT_MIN, tcp_rto_max(sk));
            tcp_clear_options(&tp->rx_opt);
            tp->rx_opt.mss_clamp = (u16)saved_clamp;
            return SKB_DROP_REASON_TCP_INVALID_ACK_SEQUENCE;
        }
        if (tp->rx_opt.saw_tstamp && tp->rx_opt.rcv_tsecr &&
            !between(tp->rx_opt.rcv_tsecr, tp->retrans_stamp, tcp_time_stamp_ts(tp))) {
            NET_INC_STATS(sock_net(sk), LINUX_MIB_PAWSACTIVEREJECTED);
            tcp_clear_options(&tp->rx_opt);
            tp->rx_opt.mss_clamp = (u16)saved_clamp;
            return SKB_DROP_REASON_TCP_RFC7323_PAWS;
        }
        if (th->rst) { /* our SYN was refused */
            tcp_reset(sk, skb);
            kfree_skb_reason(skb, SKB_DROP_REASON_TCP_RESET);
            return 0;
        }
        if (!th->syn)
            goto discard_and_undo;
        tcp_rcv_synsent_synack(sk, skb);
        consume_skb(skb);
        return 0;
    }
    if (th->rst) /* a reset without ACK proves nothing */
        goto discard_and_undo;
    if (tp->rx_opt.ts_recent_stamp && tp->rx_opt.saw_tstamp &&
        tcp_paws_reject(&tp->rx_opt, 0, tcp_clock_ns(sk) / NSEC_PER_SEC))
        goto discard_and_undo;
    if (th->syn) { /* simultaneous open: our SYN becomes a SYN-ACK */
        tcp_set_state(sk, TCP_SYN_RECV);
        tp->snd_wl1 = TCP_SKB_CB(skb)->seq;
        tcp_synsent_take_options(sk, skb);
        WRITE_ONCE(tp->copied_seq, tp->rcv_nxt);
        tp->max_window = tp->snd_wnd;
        if (!(th->ece && th->cwr))
            tp->ecn_flags &= (u8)~TCP_ECN_OK;
        tcp_initialize_rcv_mss(sk);
        tcp_mtup_init(sk);
        tcp_send_synack(sk);
        consume_skb(skb);
        return 0;
    }
discard_and_undo:
    tcp_clear_options(&tp->rx_opt);
    tp->rx_opt.mss_clamp = (u16)saved_clamp;
    tcp_drop_reason(sk, skb, SKB_DROP_REASON_TCP_FLAGS);
    return 0;
}

/* ---- the other states ----------------------------------------------------------------------------------------------------- */

/* SYN-RECEIVED: the handshake's last ACK came. */
static void tcp_rcv_synrecv_acked(struct sock *sk, struct sk_buff *skb)
{
    struct tcp_sock *tp = tcp_sk(sk);

    tp->delivered++; /* the SYN-ACK, which tcp_ack() does not see */
    if (tp->fastopen_rsk) {
        if (!tp->srtt_us && !tp->fastopen_rsk->num_timeout)
            tcp_ack_update_rtt_synack(sk, tp->fastopen_rsk->snt_synack / NSEC_PER_USEC);
        tcp_rcv_synrecv_state_fastopen(sk);
    } else {
        if (!tp->srtt_us)
            tcp_ack_update_rtt_synack(sk, 0);
        tcp_try_undo_spurious_syn(sk);
        tp->retrans_stamp = 0;
        tcp_init_transfer(sk, false);
        WRITE_ONCE(tp->copied_seq, tp->rcv_nxt);
    }
    tcp_set_state(sk, TCP_ESTABLISHED);
    sk->sk_state_change(sk);
    WRITE_ONCE(tp->snd_una, TCP_SKB_CB(skb)->ack_seq);
    tp->snd_wnd = (u32)be16toh(tcp_hdr(skb)->window) << tp->rx_opt.snd_wscale;
    tp->snd_wl1 = TCP_SKB_CB(skb)->seq;
    tp->max_window = max(tp->max_window, tp->snd_wnd);
    if (tp->rx_opt.tstamp_ok)
        tp->advmss -= TCPOLEN_TSTAMP_ALIGNED;
    tp->lsndtime = tcp_clock_ns(sk);
    tcp_initialize_rcv_mss(sk);
    tcp_fast_path_on(tp);
    if (sk->sk_shutdown & SEND_SHUTDOWN)
        tcp_shutdown(sk, SEND_SHUTDOWN);
}

/* FIN_WAIT1 and our FIN is acknowledged. True: the connection went away, skb is the caller's to free. */
static int tcp_rcv_finwait1_acked(struct sock *sk, struct sk_buff *skb, const struct tcphdr *th)
{
    struct tcp_sock *tp = tcp_sk(sk);
    u64 tmo;

    tcp_set_state(sk, TCP_FIN_WAIT2);
    WRITE_ONCE(sk->sk_shutdown, sk->sk_shutdown | SEND_SHUTDOWN);
    sk_dst_confirm(sk);
    if (!sock_flag(sk, SOCK_DEAD)) { /* wake up lingering close() */
        sk->sk_state_change(sk);
        return 0;
    }
    if (tp->linger2 == UINT64_MAX) {
        tcp_done(sk);
        NET_INC_STATS(sock_net(sk), LINUX_MIB_TCPABORTONDATA);
        return SKB_DROP_REASON_TCP_CLOSE;
    }
    if (TCP_SKB_CB(skb)->end_seq != TCP_SKB_CB(skb)->seq &&
        after(TCP_SKB_CB(skb)->end_seq - th->fin, tp->rcv_nxt)) {
        if (tp->syn_fastopen && th->fin) /* a FIN beyond a hole: somebody on the way swallowed the data */
            tcp_fastopen_active_disable(sk);
        tcp_done(sk); /* data after close: nobody will read it */
        NET_INC_STATS(sock_net(sk), LINUX_MIB_TCPABORTONDATA);
        return SKB_DROP_REASON_TCP_CLOSE;
    }
    tmo = tcp_fin_time(sk);
    if (tmo > TCP_TIMEWAIT_LEN) {
        inet_csk_reset_keepalive_timer(sk, tmo - TCP_TIMEWAIT_LEN);
    } else if (th->fin || sock_owned_by_user(sk)) {
        /* The FIN in this segment is processed below by the sock itself. */
        inet_csk_reset_keepalive_timer(sk, tmo);
    } else {
        tcp_time_wait(sk, TCP_FIN_WAIT2, tmo);
        return SKB_CONSUMED;
    }
    return 0;
}

/* What the ACK means to the state. 0: go on; the connection went away: SKB_CONSUMED when the caller only frees
 * skb, a drop reason when it answers by a reset. */
static int tcp_rcv_state_acked(struct sock *sk, struct sk_buff *skb, const struct tcphdr *th)
{
    struct tcp_sock *tp = tcp_sk(sk);

    switch ((u8)sk->sk_state) {
    case TCP_SYN_RECV:
        tcp_rcv_synrecv_acked(sk, skb);
        break;
    case TCP_FIN_WAIT1:
        if (tp->fastopen_rsk)
            tcp_rcv_synrecv_state_fastopen(sk);
        if (tp->snd_una == tp->write_seq)
            return tcp_rcv_finwait1_acked(sk, skb, th);
        break;
    case TCP_CLOSING:
        if (tp->snd_una == tp->write_seq) {
            tcp_time_wait(sk, TCP_TIME_WAIT, 0);
            return SKB_CONSUMED;
        }
        break;
    case TCP_LAST_ACK:
        if (tp->snd_una == tp->write_seq) {
            tcp_update_metrics(sk);
            tcp_done(sk);
            return SKB_CONSUMED;
        }
        break;
    }
    return 0;
}

/* The segment's text by state. >0: reason to reset. Consumes skb when 0. */
static int tcp_rcv_state_text(struct sock *sk, struct sk_buff *skb)
{
    struct tcp_sock *tp = tcp_sk(sk);

    switch ((u8)sk->sk_state) {
    case TCP_CLOSE_WAIT:
    case TCP_CLOSING:
    case TCP_LAST_ACK:
        if (!before(TCP_SKB_CB(skb)->seq, tp->rcv_nxt))
            break;
        __attribute__((fallthrough)); /* old data: answer it */
    case TCP_FIN_WAIT1:
    case TCP_FIN_WAIT2:
        /* RFC 1122 4.2.2.13: data after the program closed for reading is answered by a reset. */
        if ((sk->sk_shutdown & RCV_SHUTDOWN) && TCP_SKB_CB(skb)->end_seq != TCP_SKB_CB(skb)->seq &&
            after(TCP_SKB_CB(skb)->end_seq - tcp_hdr(skb)->fin, tp->rcv_nxt)) {
            NET_INC_STATS(sock_net(sk), LINUX_MIB_TCPABORTONDATA);
            tcp_reset(sk, skb);
            return SKB_DROP_REASON_TCP_CLOSE;
        }
        __attribute__((fallthrough));
    case TCP_ESTABLISHED:
        tcp_data_queue(sk, skb);
        skb = NULL;
        break;
    }
    if (sk->sk_state != TCP_CLOSE) { /* tcp_data could move socket to TIME-WAIT */
        tcp_data_snd_check(sk);
        tcp_ack_snd_check(sk);
    }
    if (skb)
        tcp_drop_reason(sk, skb, SKB_DROP_REASON_TCP_CLOSE);
    return 0;
}

/* Role: every state but ESTABLISHED and TIME-WAIT (RFC 9293 3.10.7). Returns 0: skb was consumed; else a drop
 * reason: skb is still the caller's, who answers by a reset and frees it. */
int tcp_rcv_state_process(struct sock *sk, struct sk_buff *skb)
{
    const struct tcphdr *th = tcp_hdr(skb);
    struct tcp_sock *tp = tcp_sk(sk);
    int reason;

    switch ((u8)sk->sk_state) {
    case TCP_CLOSE:
        kfree_skb_reason(skb, SKB_DROP_REASON_TCP_CLOSE);
        return 0;
    case TCP_LISTEN:
        if (th->ack)
            return SKB_DROP_REASON_TCP_FLAGS;
        if (th->rst || !th->syn || th->fin) {
            tcp_drop_reason(sk, skb, SKB_DROP_REASON_TCP_FLAGS);
            return 0;
        }
        inet_csk(sk)->icsk_af_ops->conn_request(sk, skb);
        consume_skb(skb);
        return 0;
    case TCP_SYN_SENT:
        tp->rx_opt.saw_tstamp = 0;
        tcp_mstamp_refresh(tp);
        reason = tcp_rcv_synsent_state_process(sk, skb, th);
        if (reason)
            return reason;
        /* Data may have been written while connecting. */
        if (sk->sk_state == TCP_ESTABLISHED)
            tcp_data_snd_check(sk);
        return 0;
    }
    tcp_mstamp_refresh(tp);
    tp->rx_opt.saw_tstamp = 0;
    if (tp->fastopen_rsk) { /* the handshake's rules (RFC 7413 4.2.2), before the connection's */
        bool lost_race;

        if (!tcp_check_req(sk, skb, tp->fastopen_rsk, true, &lost_race)) {
            tcp_drop_reason(sk, skb, SKB_DROP_REASON_TCP_FASTOPEN);
            return 0;
        }
    }
    if (!th->ack && !th->rst && !th->syn) {
        tcp_drop_reason(sk, skb, SKB_DROP_REASON_TCP_FLAGS);
        return 0;
    }
    if (!tcp_validate_incoming(sk, skb, th, 0))
        return 0;
    /* Step 5: the ACK field. */
    reason = tcp_ack(sk, skb, FLAG_SLOWPATH | FLAG_UPDATE_TS_RECENT | FLAG_NO_CHALLENGE_ACK);
    if (reason <= 0) {
        if (sk->sk_state == TCP_SYN_RECV)
            return reason ? -reason : SKB_DROP_REASON_TCP_INVALID_ACK_SEQUENCE; /* reset, RFC 9293 3.10.7.4 */
        if (reason < 0) {
            tcp_send_challenge_ack(sk);
            tcp_drop_reason(sk, skb, (enum skb_drop_reason)-reason);
            return 0;
        }
    }
    reason = tcp_rcv_state_acked(sk, skb, th);
    if (reason == SKB_CONSUMED) {
        consume_skb(skb);
        return 0;
    }
    if (reason)
        return reason;
    tcp_ecn_accept_cwr(sk, skb);
    tcp_urg(sk, skb, th);
    return tcp_rcv_state_text(sk, skb);
}
