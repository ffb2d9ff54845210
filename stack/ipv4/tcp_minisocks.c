// SPDX-License-Identifier: MIT
/* Connections that have no full sock: TIME-WAIT (RFC 9293 3.6.1, RFC 6191, RFC 1337) and SYN-RECEIVED. */

#include "tcp_fastopen.h"
#include "tcp_input.h"

/* ---- TIME-WAIT --------------------------------------------------------------------------------------- */

static bool tcp_in_window(u32 seq, u32 end_seq, u32 s_win, u32 e_win)
{
    if (seq == s_win)
        return true;
    if (after(end_seq, s_win) && before(seq, e_win))
        return true;
    return seq == e_win && seq == end_seq;
}

static enum tcp_tw_status tcp_timewait_check_oow_rate_limit(struct inet_timewait_sock *tw, const struct sk_buff *skb,
                                                            int mib)
{
    if (!tcp_oow_rate_limited(tw->__tw_common.skc_net, skb, mib, &tw->tw_last_oow_ack_time))
        return TCP_TW_ACK; /* the caller answers and puts tw */
    inet_twsk_put(tw);
    return TCP_TW_SUCCESS;
}

/* FIN_WAIT2 without a sock: waits for the peer's FIN only; nobody can read data any more. */
static enum tcp_tw_status tcp_tw_fin_wait2(struct inet_timewait_sock *tw, struct sk_buff *skb,
                                           const struct tcphdr *th, const struct tcp_options_received *opt,
                                           bool paws_reject)
{
    const struct tcp_skb_cb *cb = TCP_SKB_CB(skb);

    if (paws_reject || !tcp_in_window(cb->seq, cb->end_seq, tw->tw_rcv_nxt, tw->tw_rcv_nxt + tw->tw_rcv_wnd))
        return tcp_timewait_check_oow_rate_limit(tw, skb, LINUX_MIB_TCPACKSKIPPEDFINWAIT2);
    if (th->rst)
        goto kill;
    if (th->syn && !before(cb->seq, tw->tw_rcv_nxt))
        return TCP_TW_RST;
    if (!th->ack || !after(cb->end_seq, tw->tw_rcv_nxt) || cb->end_seq == cb->seq) {
        inet_twsk_put(tw); /* a duplicate or a plain ACK */
        return TCP_TW_SUCCESS;
    }
    /* New data after the program closed: reset, RFC 1122 4.2.2.13. */
    if (!th->fin || cb->end_seq != tw->tw_rcv_nxt + 1)
        return TCP_TW_RST;

    tw->tw_substate = TCP_TIME_WAIT;
    tw->tw_rcv_nxt = cb->end_seq;
    if (opt->saw_tstamp) {
        tw->tw_entry_stamp = net_now(tw->__tw_common.skc_net);
        tw->tw_ts_recent_stamp = tw->tw_entry_stamp / NSEC_PER_SEC;
        tw->tw_ts_recent = opt->rcv_tsval;
    }
    inet_twsk_schedule(tw, TCP_TIMEWAIT_LEN);
    return TCP_TW_ACK;
kill:
    inet_twsk_deschedule_put(tw);
    return TCP_TW_SUCCESS;
}

/* Role: a segment for a time-wait sock. TCP_TW_SUCCESS: done, tw was put; ACK/RST/SYN: the caller answers
 * (SYN: gives the segment to the listener, with *tw_isn as the new ISN) and puts tw. RFC 9293 3.10.7.4,
 * RFC 6191, RFC 7323 5. */
enum tcp_tw_status tcp_timewait_state_process(struct inet_timewait_sock *tw, struct sk_buff *skb,
                                              const struct tcphdr *th, u32 *tw_isn)
{
    const struct tcp_skb_cb *cb = TCP_SKB_CB(skb);
    struct net *net = tw->__tw_common.skc_net;
    struct tcp_options_received opt = {0};
    bool paws_reject = false;
    u64 now_s = net_now(net) / NSEC_PER_SEC;

    if (th->doff > sizeof(*th) >> 2 && tw->tw_ts_recent_stamp) {
        tcp_parse_options(net, skb, &opt, 0);
        if (opt.saw_tstamp) {
            if (opt.rcv_tsecr)
                opt.rcv_tsecr -= tw->tw_ts_offset;
            opt.ts_recent = tw->tw_ts_recent;
            opt.ts_recent_stamp = tw->tw_ts_recent_stamp;
            paws_reject = tcp_paws_reject(&opt, th->rst, now_s);
        }
    }
    if (tw->tw_substate == TCP_FIN_WAIT2)
        return tcp_tw_fin_wait2(tw, skb, th, &opt, paws_reject);

    /* In-window, no data: an old ACK or the peer's FIN again. */
    if (!paws_reject && cb->seq == tw->tw_rcv_nxt && (cb->seq == cb->end_seq || th->rst)) {
        if (th->rst) {
            if (!net->ipv4.sysctl_tcp_rfc1337) { /* TIME-WAIT assassination allowed */
                inet_twsk_deschedule_put(tw);
                return TCP_TW_SUCCESS;
            }
        } else {
            inet_twsk_schedule(tw, TCP_TIMEWAIT_LEN);
        }
        if (opt.saw_tstamp) {
            tw->tw_ts_recent = opt.rcv_tsval;
            tw->tw_ts_recent_stamp = now_s;
        }
        inet_twsk_put(tw);
        return TCP_TW_SUCCESS;
    }
    /* A SYN that is provably new may open a new incarnation (RFC 6191, RFC 1122 4.2.2.13). */
    if (th->syn && !th->rst && !th->ack && !paws_reject &&
        (after(cb->seq, tw->tw_rcv_nxt) || (opt.saw_tstamp && (s32)(tw->tw_ts_recent - opt.rcv_tsval) < 0))) {
        u32 isn = tw->tw_snd_nxt + 65535 + 2;

        if (isn == 0)
            isn++;
        *tw_isn = isn;
        return TCP_TW_SYN;
    }
    if (paws_reject)
        NET_INC_STATS(net, LINUX_MIB_PAWS_TW_REJECTED);
    if (!th->rst) {
        /* Restart the 2MSL timer only for a retransmitted FIN or an acceptable segment. */
        if (paws_reject || th->ack)
            inet_twsk_schedule(tw, TCP_TIMEWAIT_LEN);
        return tcp_timewait_check_oow_rate_limit(tw, skb, LINUX_MIB_TCPACKSKIPPEDTIMEWAIT);
    }
    inet_twsk_put(tw);
    return TCP_TW_SUCCESS;
}

/* Role: replace sk by a time-wait sock of `state` (FIN_WAIT2 or TIME_WAIT) for timeo_ns and end sk.
 * slock held. */
void tcp_time_wait(struct sock *sk, int state, u64 timeo_ns)
{
    const struct inet_connection_sock *icsk = inet_csk(sk);
    struct tcp_sock *tp = tcp_sk(sk);
    struct inet_timewait_sock *tw = inet_twsk_alloc(sk, state);

    if (tw) {
        const u64 rto = (icsk->icsk_rto << 2) - (icsk->icsk_rto >> 1);

        tw->tw_rcv_wscale = tp->rx_opt.rcv_wscale;
        tw->tw_rcv_nxt = tp->rcv_nxt;
        tw->tw_snd_nxt = tp->snd_nxt;
        tw->tw_rcv_wnd = tcp_receive_window(tp);
        tw->tw_ts_recent = tp->rx_opt.ts_recent;
        tw->tw_ts_recent_stamp = tp->rx_opt.ts_recent_stamp;
        tw->tw_ts_offset = tp->tsoffset;
        tw->tw_tstamp_ok = tp->rx_opt.tstamp_ok;
        tw->tw_entry_stamp = net_now(sock_net(sk));
        tw->tw_last_oow_ack_time = 0;
        timeo_ns = max(timeo_ns, rto);
        if (state == TCP_TIME_WAIT)
            timeo_ns = TCP_TIMEWAIT_LEN;
        inet_twsk_hashdance(tw, sk);
        inet_twsk_schedule(tw, timeo_ns);
        inet_twsk_put(tw);
    } else {
        NET_INC_STATS(sock_net(sk), LINUX_MIB_TCPTIMEWAITOVERFLOW);
    }
    tcp_update_metrics(sk);
    tcp_done(sk);
}

/* ---- SYN-RECEIVED -------------------------------------------------------------------------------------- */

void tcp_openreq_init_rwin(struct request_sock *req, const struct sock *sk, const struct dst_entry *dst)
{
    const struct tcp_sock *tp = tcp_sk(sk);
    int full_space = tcp_full_space(sk);
    u32 window_clamp = READ_ONCE(tp->window_clamp), rcv_wnd = 0;
    u32 mss = dst->advmss ? dst->advmss : dst_mtu(dst) - 40;
    u8 rcv_wscale = 0;

    if (tp->rx_opt.user_mss && tp->rx_opt.user_mss < mss)
        mss = tp->rx_opt.user_mss;
    req->rsk_window_clamp = window_clamp;
    /* The program limits its receive buffer: do not offer more. */
    if ((sk->sk_userlocks & SOCK_RCVBUF_LOCK) && (req->rsk_window_clamp > full_space || !req->rsk_window_clamp))
        req->rsk_window_clamp = full_space;
    tcp_select_initial_window(sk, full_space, mss - (req->tstamp_ok ? TCPOLEN_TSTAMP_ALIGNED : 0), &rcv_wnd,
                              &req->rsk_window_clamp, req->wscale_ok, &rcv_wscale, dst->initrwnd);
    req->rsk_rcv_wnd = rcv_wnd;
    req->rcv_wscale = rcv_wscale;
}

static void tcp_ecn_openreq_child(struct tcp_sock *tp, const struct request_sock *req)
{
    tp->ecn_flags = req->ecn_ok ? TCP_ECN_OK : 0;
}

/* Role: the sock of a completed handshake: settings of the listener, state of the request.
 * Returned with slock held and two references (sk_clone_lock). NULL without memory. */
struct sock *tcp_create_openreq_child(const struct sock *sk, struct request_sock *req, struct sk_buff *skb)
{
    struct sock *newsk = inet_csk_clone_lock(sk, req);
    const u32 seq = req->rcv_isn + 1;
    struct inet_connection_sock *newicsk;
    struct tcp_sock *newtp;
    u64 now;

    if (!newsk)
        return NULL;
    newicsk = inet_csk(newsk);
    newtp = tcp_sk(newsk);
    now = tcp_clock_ns(newsk);

    newtp->pred_flags = 0;
    newtp->rcv_wup = newtp->copied_seq = newtp->rcv_nxt = seq;
    newtp->segs_in = 1;
    newtp->segs_out = newtp->data_segs_in = newtp->data_segs_out = 0;
    newtp->bytes_received = newtp->bytes_acked = newtp->bytes_sent = newtp->bytes_retrans = 0;
    newtp->snd_sml = newtp->snd_una = newtp->snd_nxt = newtp->snd_up = req->snt_isn + 1;
    newtp->tcp_rtx_queue = newtp->out_of_order_queue = RB_ROOT;
    CDS_INIT_LIST_HEAD(&newtp->tsorted_sent_queue);
    newtp->ooo_last_skb = NULL;
    CDS_INIT_LIST_HEAD(&newtp->tsq_node);
    newtp->tsq_flags = 0;
    tcp_mstamp_refresh(newtp);

    newtp->srtt_us = 0;
    newtp->mdev_us = TCP_TIMEOUT_INIT / 1000;
    memset(&newtp->rtt_min, 0, sizeof(newtp->rtt_min));
    newtp->rtt_min.s[0].v = newtp->rtt_min.s[1].v = newtp->rtt_min.s[2].v = ~0u;
    newicsk->icsk_rto = TCP_TIMEOUT_INIT;
    newicsk->icsk_ack.lrcvtime = now;
    newtp->lsndtime = now;
    newtp->total_retrans = req->num_retrans;
    newtp->snd_ssthresh = TCP_INFINITE_SSTHRESH;
    newtp->snd_cwnd = TCP_INIT_CWND;
    newtp->snd_cwnd_cnt = 0;
    newtp->packets_out = newtp->retrans_out = newtp->sacked_out = newtp->lost_out = 0;
    newtp->highest_sack = newtp->retransmit_skb_hint = NULL;
    newtp->high_seq = newtp->undo_marker = newtp->retrans_stamp = newtp->tlp_high_seq = 0;
    newtp->undo_retrans = 0;
    newtp->reordering = (u32)sock_net(sk)->ipv4.sysctl_tcp_reordering;
    newtp->app_limited = ~0u;
    memset(&newtp->rack, 0, sizeof(newtp->rack));
    newtp->rack.reo_wnd_steps = 1;
    newtp->delivered = newtp->delivered_ce = newtp->lost = 0;
    newtp->write_seq = newtp->pushed_seq = req->snt_isn + 1;
    newtp->urg_data = 0;
    newtp->rcvq_space.seq = newtp->rcv_rtt_est.seq = 0;

    if (sock_flag(newsk, SOCK_KEEPOPEN))
        inet_csk_reset_keepalive_timer(newsk, tcp_keepalive_time_when(newtp));

    newtp->rx_opt.num_sacks = 0;
    newtp->rx_opt.dsack = 0;
    newtp->rx_opt.saw_tstamp = 0;
    newtp->rx_opt.tstamp_ok = req->tstamp_ok;
    newtp->rx_opt.sack_ok = req->sack_ok;
    newtp->window_clamp = req->rsk_window_clamp;
    newtp->rcv_ssthresh = req->rsk_rcv_wnd;
    newtp->rcv_wnd = req->rsk_rcv_wnd;
    newtp->rcv_mwnd_seq = newtp->rcv_wup + req->rsk_rcv_wnd;
    newtp->rx_opt.wscale_ok = req->wscale_ok;
    if (newtp->rx_opt.wscale_ok) {
        newtp->rx_opt.snd_wscale = req->snd_wscale;
        newtp->rx_opt.rcv_wscale = req->rcv_wscale;
    } else {
        newtp->rx_opt.snd_wscale = newtp->rx_opt.rcv_wscale = 0;
        newtp->window_clamp = min(newtp->window_clamp, 65535u);
    }
    newtp->snd_wnd = (u32)be16toh(tcp_hdr(skb)->window) << newtp->rx_opt.snd_wscale;
    newtp->max_window = newtp->snd_wnd;
    if (newtp->rx_opt.tstamp_ok) {
        newtp->rx_opt.ts_recent = req->ts_recent;
        newtp->rx_opt.ts_recent_stamp = now / NSEC_PER_SEC;
        newtp->tcp_header_len = sizeof(struct tcphdr) + TCPOLEN_TSTAMP_ALIGNED;
    } else {
        newtp->rx_opt.ts_recent_stamp = 0;
        newtp->tcp_header_len = sizeof(struct tcphdr);
    }
    if (req->num_timeout) { /* the first SYN-ACK was lost: the initial window may be too large (RFC 6298 5.7) */
        newtp->undo_marker = req->snt_isn;
        newtp->retrans_stamp = (u32)(req->snt_synack / NSEC_PER_MSEC);
        newtp->total_rto = req->num_timeout;
        newtp->total_rto_recoveries = 1;
        newtp->total_rto_time = (u32)(now / NSEC_PER_MSEC) - newtp->retrans_stamp;
    }
    newtp->tsoffset = req->ts_off;
    if (skb->len >= TCP_MSS_DEFAULT_ + newtp->tcp_header_len)
        newicsk->icsk_ack.last_seg_size = (u16)(skb->len - newtp->tcp_header_len);
    newtp->rx_opt.mss_clamp = req->mss;
    tcp_ecn_openreq_child(newtp, req);
    newtp->fastopen_req = NULL;
    newtp->fastopen_rsk = NULL;
    NET_INC_STATS(sock_net(sk), TCP_MIB_PASSIVEOPENS);
    return newsk;
}

/* Answer a retransmitted SYN by our SYN-ACK, at most as often as the timer would. */
static void tcp_req_retransmitted_syn(struct sock *sk, struct sk_buff *skb, struct request_sock *req, bool fastopen)
{
    if (!tcp_oow_rate_limited(sock_net(sk), skb, LINUX_MIB_TCPACKSKIPPEDSYNRECV, &req->last_oow_ack_time) &&
        !req->rsk_ops->rtx_syn_ack(sk, req) && !fastopen) /* the child's own timer goes on */
        mod_timer(&req->rsk_timer, net_now(sock_net(sk)) + min(req->timeout_ns << req->num_timeout, tcp_rto_max(sk)));
}

/* Role: a segment for a connection in SYN-RECEIVED (RFC 9293 3.10.7.4). Returns the new child (slock held)
 * when the handshake is complete; the listener sk when the segment is for it as a fresh SYN; NULL:
 * answered or to be dropped (skb stays the caller's). Inside an RCU read section. */
struct sock *tcp_check_req(struct sock *sk, struct sk_buff *skb, struct request_sock *req, bool fastopen,
                           bool *lost_race)
{
    const struct tcphdr *th = tcp_hdr(skb);
    const struct tcp_skb_cb *cb = TCP_SKB_CB(skb);
    struct tcp_options_received opt = {0};
    u8 flg = tcp_flag_byte(th) & (TCPHDR_RST | TCPHDR_SYN | TCPHDR_ACK);
    struct net *net = sock_net(sk);
    bool paws_reject = false, tsecr_reject = false, own_req = false;
    struct sock *child;

    if (th->doff > sizeof(*th) >> 2) {
        tcp_parse_options(net, skb, &opt, 0);
        if (opt.saw_tstamp) {
            opt.ts_recent = req->ts_recent;
            if (opt.rcv_tsecr) {
                /* Whoever saw no SYN-ACK of ours knows no timestamp of ours. */
                if (req->tstamp_ok && !fastopen)
                    tsecr_reject = !between(opt.rcv_tsecr, req->snt_tsval_first, READ_ONCE(req->snt_tsval_last));
                opt.rcv_tsecr -= req->ts_off;
            }
            /* The true stamp is unknown; assume the SYN came when our first SYN-ACK went. */
            opt.ts_recent_stamp = net_now(net) / NSEC_PER_SEC;
            paws_reject = tcp_paws_reject(&opt, th->rst, net_now(net) / NSEC_PER_SEC);
        }
    }
    if (cb->seq == req->rcv_isn && flg == TCPHDR_SYN && !paws_reject) {
        tcp_req_retransmitted_syn(sk, skb, req, fastopen);
        return NULL;
    }
    /* The ACK must acknowledge our SYN-ACK exactly (no data was sent). */
    if ((flg & TCPHDR_ACK) && !fastopen && cb->ack_seq != req->snt_isn + 1)
        return sk; /* the caller resets, as for a listener */
    if (paws_reject || tsecr_reject ||
        !tcp_in_window(cb->seq, cb->end_seq, req->rcv_nxt, req->rcv_nxt + req->rsk_rcv_wnd)) {
        if (!(flg & TCPHDR_RST) &&
            !tcp_oow_rate_limited(net, skb, LINUX_MIB_TCPACKSKIPPEDSYNRECV, &req->last_oow_ack_time))
            req->rsk_ops->send_ack(sk, skb, req);
        if (paws_reject)
            NET_INC_STATS(net, LINUX_MIB_PAWSESTABREJECTED);
        else if (tsecr_reject)
            NET_INC_STATS(net, LINUX_MIB_TSECRREJECTED);
        return NULL;
    }
    if (opt.saw_tstamp && !after(cb->seq, req->rcv_nxt))
        req->ts_recent = opt.rcv_tsval;
    if (cb->seq == req->rcv_isn) /* what is beyond the SYN is in the window */
        flg &= (u8)~TCPHDR_SYN;
    if (flg & TCPHDR_RST)
        goto embryonic_reset;
    if (flg & TCPHDR_SYN) { /* in the window: RFC 5961 would challenge; Linux resets an embryonic one */
        NET_INC_STATS(net, TCP_MIB_ATTEMPTFAILS);
        goto embryonic_reset;
    }
    if (!(flg & TCPHDR_ACK))
        return NULL;
    if (fastopen) /* sk is the child already */
        return sk;
    /* TCP_DEFER_ACCEPT: a bare ACK does not complete it while there is time. */
    if (req->num_timeout < READ_ONCE(inet_csk(sk)->icsk_accept_queue.rskq_defer_accept) &&
        cb->end_seq == req->rcv_isn + 1) {
        req->acked = 1;
        NET_INC_STATS(net, LINUX_MIB_TCPDEFERACCEPTDROP);
        return NULL;
    }
    child = inet_csk(sk)->icsk_af_ops->syn_recv_sock(sk, skb, req, NULL, &own_req);
    if (!child)
        goto listen_overflow;
    if (!req->num_retrans && req->snt_synack) { /* Karn: only of a SYN-ACK that was sent once */
        tcp_mstamp_refresh(tcp_sk(child));
        tcp_ack_update_rtt_synack(child, req->snt_synack / NSEC_PER_USEC);
    }
    return inet_csk_complete_hashdance(sk, child, req, own_req);

listen_overflow:
    if (!net->ipv4.sysctl_tcp_abort_on_overflow) {
        req->acked = 1;
        return NULL;
    }
embryonic_reset:
    if (!(flg & TCPHDR_RST)) {
        req->rsk_ops->send_reset(sk, skb); /* the peer must know */
    } else if (fastopen) {
        reqsk_fastopen_remove(sk, req, true);
        tcp_reset(sk, skb);
    }
    if (fastopen)
        return NULL;
    NET_INC_STATS(net, LINUX_MIB_EMBRYONICRSTS);
    inet_csk_reqsk_queue_drop(sk, req);
    return NULL;
}

/* Role: the segment that made the child is its first. child's slock is held on entry and released here.
 * Consumes the reference that the caller got with the child. Takes skb over. */
int tcp_child_process(struct sock *parent, struct sock *child, struct sk_buff *skb)
{
    int ret = 0;

    tcp_sk(child)->segs_in += max_t(u16, 1, skb_shinfo(skb)->gso_segs);
    if (!sock_owned_by_user(child)) {
        ret = tcp_rcv_state_process(child, skb);
        /* Wake accept() only now that the state says ESTABLISHED. */
        if (atomic_load(&child->sk_state) != TCP_SYN_RECV)
            parent->sk_data_ready(parent);
    } else if (sk_add_backlog(child, skb, INT32_MAX)) {
        kfree_skb_reason(skb, SKB_DROP_REASON_SOCKET_BACKLOG);
    }
    bh_unlock_sock(child);
    sock_put(child);
    return ret;
}
