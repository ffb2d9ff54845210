// SPDX-License-Identifier: MIT
/* The ACK clock: what an acknowledgement frees, measures (RTT: RFC 6298, RFC 7323), opens (send window,
 * RFC 9293 3.10.7.4) and triggers. */

#include "tcp_input.h"
#include "tcp_output.h"

/* ---- round-trip time -------------------------------------------------------------------------------------- */

static u32 tcp_rto_min_us(struct sock *sk)
{
    const struct dst_entry *dst = sk->sk_dst_cache;
    u64 min_ns = inet_csk(sk)->icsk_rto_min ? inet_csk(sk)->icsk_rto_min : TCP_RTO_MIN;

    if (dst && dst->rto_min_ns)
        min_ns = dst->rto_min_ns;
    return (u32)(min_ns / NSEC_PER_USEC);
}

/* RFC 6298 2, with Linux's handling of a falling RTT (mdev grows slowly then). */
void tcp_rtt_estimator(struct sock *sk, long mrtt_us)
{
    struct tcp_sock *tp = tcp_sk(sk);
    long m = mrtt_us;
    u32 srtt = tp->srtt_us;

    if (srtt != 0) {
        m -= (srtt >> 3); /* m is now the error in the rtt estimate */
        srtt += (u32)m;   /* rtt = 7/8 rtt + 1/8 new */
        if (m < 0) {
            m = -m;
            m -= (tp->mdev_us >> 2);
            if (m > 0) /* the RTT falls: do not let that inflate RTO */
                m >>= 3;
        } else {
            m -= (tp->mdev_us >> 2);
        }
        tp->mdev_us += (u32)m; /* mdev = 3/4 mdev + 1/4 new */
        if (tp->mdev_us > tp->mdev_max_us) {
            tp->mdev_max_us = tp->mdev_us;
            if (tp->mdev_max_us > tp->rttvar_us)
                tp->rttvar_us = tp->mdev_max_us;
        }
        if (after(tp->snd_una, tp->rtt_seq)) {
            if (tp->mdev_max_us < tp->rttvar_us)
                tp->rttvar_us -= (tp->rttvar_us - tp->mdev_max_us) >> 2;
            tp->rtt_seq = tp->snd_nxt;
            tp->mdev_max_us = tcp_rto_min_us(sk);
        }
    } else { /* no previous measure */
        srtt = (u32)m << 3;
        tp->mdev_us = (u32)m << 1;
        tp->rttvar_us = max(tp->mdev_us, tcp_rto_min_us(sk));
        tp->mdev_max_us = tp->rttvar_us;
        tp->rtt_seq = tp->snd_nxt;
    }
    tp->srtt_us = max(1u, srtt);
}

void tcp_set_rto(struct sock *sk)
{
    struct tcp_sock *tp = tcp_sk(sk);
    u64 rto = ((u64)(tp->srtt_us >> 3) + tp->rttvar_us) * NSEC_PER_USEC;

    inet_csk(sk)->icsk_rto = min(rto, inet_csk(sk)->icsk_rto_max);
}

/* Pacing: a multiple of cwnd * mss / srtt (only used where pacing is on). */
void tcp_update_pacing_rate(struct sock *sk)
{
    const struct tcp_sock *tp = tcp_sk(sk);
    u64 rate = (u64)tp->mss_cache * ((USEC_PER_SEC / 100) << 3);

    if (tcp_snd_cwnd(tp) < tp->snd_ssthresh / 2)
        rate *= (u64)sock_net(sk)->ipv4.sysctl_tcp_pacing_ss_ratio;
    else
        rate *= (u64)sock_net(sk)->ipv4.sysctl_tcp_pacing_ca_ratio;
    rate *= max(tcp_snd_cwnd(tp), tp->packets_out);
    if (tp->srtt_us)
        rate /= tp->srtt_us;
    WRITE_ONCE(sk->sk_pacing_rate, min(rate, sk->sk_max_pacing_rate));
}

/* The RTT samples of one ACK. True: the estimator was fed. */
static bool tcp_ack_update_rtt(struct sock *sk, int flag, long seq_rtt_us, long sack_rtt_us, long ca_rtt_us,
                               struct rate_sample *rs)
{
    const struct tcp_sock *tp = tcp_sk(sk);

    /* Prefer RTT measured from ACKs of data never retransmitted, next from SACKs, last from timestamps
     * (Karn: a retransmitted segment's ACK is ambiguous without them). */
    if (seq_rtt_us < 0)
        seq_rtt_us = sack_rtt_us;
    if (seq_rtt_us < 0 && tp->rx_opt.saw_tstamp && tp->rx_opt.rcv_tsecr && (flag & FLAG_ACKED)) {
        u32 delta = tcp_time_stamp_ts(tp) - tp->rx_opt.rcv_tsecr;

        if (delta < INT32_MAX / 1000)
            seq_rtt_us = ca_rtt_us = (long)max_t(u32, delta, 1) * 1000;
    }
    rs->rtt_us = ca_rtt_us;
    if (seq_rtt_us < 0)
        return false;
    /* A delayed ACK at the peer must not spoil the minimum for long. */
    if ((flag & FLAG_ACK_MAYBE_DELAYED) && ca_rtt_us > tcp_min_rtt(tp))
        ; /* not a candidate */
    else if (ca_rtt_us >= 0)
        tcp_min_rtt_update(tcp_sk(sk), (u32)max_t(long, ca_rtt_us, 1), tp->tcp_mstamp / 1000, 300 * 1000);
    tcp_rtt_estimator(sk, seq_rtt_us);
    tcp_set_rto(sk);
    inet_csk(sk)->icsk_backoff = 0; /* RFC 6298 5.7, Karn */
    return true;
}

/* The handshake's RTT; synack_us: when the SYN-ACK was first sent, 0 when it was retransmitted. */
void tcp_ack_update_rtt_synack(struct sock *sk, u64 synack_us)
{
    struct rate_sample rs = {0};
    long rtt_us = -1;

    if (synack_us)
        rtt_us = (long)max_t(s64, (s64)(tcp_sk(sk)->tcp_mstamp - synack_us), 1);
    tcp_ack_update_rtt(sk, FLAG_SYN_ACKED, rtt_us, -1, rtt_us, &rs);
}

/* ---- timers ------------------------------------------------------------------------------------------------------ */

/* Restart the RTO for what is outstanding (RFC 6298 5.2, 5.3). */
void tcp_rearm_rto(struct sock *sk)
{
    const struct inet_connection_sock *icsk = inet_csk(sk);
    struct tcp_sock *tp = tcp_sk(sk);
    u64 rto = icsk->icsk_rto;

    if (tp->fastopen_rsk) /* the timer is the SYN-ACK's */
        return;
    if (!tp->packets_out) {
        inet_csk_clear_xmit_timer(sk, ICSK_TIME_RETRANS);
        return;
    }
    /* When a reordering or loss-probe time was armed, the RTO counts from the first packet's send time. */
    if (icsk->icsk_pending == ICSK_TIME_REO_TIMEOUT || icsk->icsk_pending == ICSK_TIME_LOSS_PROBE) {
        const struct sk_buff *skb = tcp_rtx_queue_head(sk);
        s64 delta = skb ? (s64)(tcp_skb_timestamp_us(skb) * NSEC_PER_USEC + rto) - (s64)(tp->tcp_mstamp * NSEC_PER_USEC)
                        : 1;
        rto = (u64)max_t(s64, delta, NSEC_PER_MSEC);
    }
    tcp_reset_xmit_timer(sk, ICSK_TIME_RETRANS, rto, icsk->icsk_rto_max);
}

static void tcp_set_xmit_timer(struct sock *sk)
{
    if (!tcp_schedule_loss_probe(sk, true))
        tcp_rearm_rto(sk);
}

/* ---- retransmit queue ---------------------------------------------------------------------------------------------- */

/* Part of a TSO packet was acknowledged: trim it; returns the segments freed. */
static u32 tcp_tso_acked(struct sock *sk, struct sk_buff *skb)
{
    struct tcp_sock *tp = tcp_sk(sk);
    u32 packets_acked = (u32)tcp_skb_pcount(skb);

    if (tcp_trim_head(sk, skb, tp->snd_una - TCP_SKB_CB(skb)->seq))
        return 0;
    packets_acked -= (u32)tcp_skb_pcount(skb);
    return packets_acked;
}

struct tcp_clean_state { /* one ACK's passage over the retransmit queue */
    u64 first_ackt, last_ackt; /* us */
    u32 pkts_acked;
    u32 reord;
    int flag;
    bool fully_acked;
};

/* One fully or partly acknowledged skb. False: stop (partly). */
static bool tcp_clean_one(struct sock *sk, struct sk_buff *skb, struct tcp_clean_state *c, struct tcp_sacktag_state *sack)
{
    struct tcp_skb_cb *scb = TCP_SKB_CB(skb);
    struct tcp_sock *tp = tcp_sk(sk);
    const u8 sacked = scb->sacked;
    const u32 start_seq = scb->seq;
    u32 acked_pcount;
    u64 ackt;

    if (after(scb->end_seq, tp->snd_una)) {
        if (tcp_skb_pcount(skb) == 1 || !after(tp->snd_una, scb->seq))
            return false;
        acked_pcount = tcp_tso_acked(sk, skb);
        if (!acked_pcount)
            return false;
        c->fully_acked = false;
    } else {
        acked_pcount = (u32)tcp_skb_pcount(skb);
    }
    if (sacked & TCPCB_RETRANS) {
        if (sacked & TCPCB_SACKED_RETRANS)
            tp->retrans_out -= acked_pcount;
        c->flag |= FLAG_RETRANS_DATA_ACKED;
    } else if (!(sacked & TCPCB_SACKED_ACKED)) {
        ackt = tcp_skb_timestamp_us(skb);
        if (!c->first_ackt)
            c->first_ackt = ackt;
        c->last_ackt = ackt;
        if (before(start_seq, c->reord))
            c->reord = start_seq;
        if (!after(scb->end_seq, tp->high_seq))
            c->flag |= FLAG_ORIG_SACK_ACKED;
    }
    if (sacked & TCPCB_SACKED_ACKED) {
        tp->sacked_out -= acked_pcount;
    } else if (tcp_is_sack(tp)) {
        tp->delivered += acked_pcount;
        /* The echo is older than this transmission: it acknowledges the one before (RFC 8985 6.2 step 2). */
        if (!((sacked & TCPCB_RETRANS) && tcp_tsopt_ecr_before(tp, (u32)(tcp_skb_timestamp_us(skb) / 1000))))
            tcp_rack_advance(tp, sacked, scb->end_seq, tcp_skb_timestamp_us(skb));
    }
    if (sacked & TCPCB_LOST)
        tp->lost_out -= acked_pcount;
    tp->packets_out -= acked_pcount;
    c->pkts_acked += acked_pcount;
    tcp_rate_skb_delivered(sk, skb, sack->rate);
    /* Initial outgoing SYN's get put onto the write queue just like anything else. */
    if (!(scb->tcp_flags & TCPHDR_SYN)) {
        c->flag |= FLAG_DATA_ACKED;
    } else {
        c->flag |= FLAG_SYN_ACKED;
        tp->retrans_stamp = 0;
    }
    return c->fully_acked;
}

/* RTT, RACK, reordering and congestion control from what was freed. */
static void tcp_clean_finish(struct sock *sk, struct tcp_clean_state *c, struct tcp_sacktag_state *sack, u32 prior_sacked,
                             u32 prior_fack, u32 prior_snd_una)
{
    const struct inet_connection_sock *icsk = inet_csk(sk);
    long seq_rtt_us = -1, sack_rtt_us = -1, ca_rtt_us = -1;
    struct tcp_sock *tp = tcp_sk(sk);
    bool rtt_update;

    if (c->first_ackt && !(c->flag & FLAG_RETRANS_DATA_ACKED)) {
        seq_rtt_us = (long)(tp->tcp_mstamp - c->first_ackt);
        ca_rtt_us = (long)(tp->tcp_mstamp - c->last_ackt);
        if (c->pkts_acked == 1 && c->fully_acked && !prior_sacked && (tp->snd_una - prior_snd_una) < tp->mss_cache &&
            sack->rate->prior_delivered + 1 == tp->delivered && !(c->flag & FLAG_SYN_ACKED))
            c->flag |= FLAG_ACK_MAYBE_DELAYED; /* a lone small segment: the peer may have delayed its ACK */
    }
    if (sack->first_sackt) {
        sack_rtt_us = (long)(tp->tcp_mstamp - sack->first_sackt);
        ca_rtt_us = (long)(tp->tcp_mstamp - sack->last_sackt);
    }
    rtt_update = tcp_ack_update_rtt(sk, c->flag, seq_rtt_us, sack_rtt_us, ca_rtt_us, sack->rate);

    if (c->flag & FLAG_ACKED) {
        c->flag |= FLAG_SET_XMIT_TIMER; /* set TLP or RTO */
        if (icsk->icsk_mtup.probe_size && !after(tp->mtu_probe.probe_seq_end, tp->snd_una))
            tcp_mtup_probe_success(sk);
        if (tcp_is_reno(tp)) {
            tcp_remove_reno_sacks(sk, (int)c->pkts_acked);
            /* If any of the cumulatively ACKed segments was retransmitted, non-SACK case cannot confirm
             * that the data was an original. */
            if (c->flag & FLAG_RETRANS_DATA_ACKED)
                c->flag &= ~FLAG_ORIG_SACK_ACKED;
        } else if (before(c->reord, prior_fack)) {
            tcp_check_sack_reordering(sk, c->reord, 0);
        }
        tp->sacked_out = min(tp->sacked_out, tp->packets_out);
    } else if (tcp_rtx_queue_head(sk) && rtt_update && sack_rtt_us >= 0 &&
               (u64)sack_rtt_us > tp->tcp_mstamp - tcp_skb_timestamp_us(tcp_rtx_queue_head(sk))) {
        c->flag |= FLAG_SET_XMIT_TIMER; /* a SACK refreshed the RTT of something newer than the head */
    }
    if (icsk->icsk_ca_ops->pkts_acked) {
        struct ack_sample sample = {.pkts_acked = c->pkts_acked, .rtt_us = (s32)sack->rate->rtt_us,
                                    .in_flight = tp->packets_out};

        icsk->icsk_ca_ops->pkts_acked(sk, &sample);
    }
}

/* Role: free what snd_una has passed. Returns the flags found. */
static int tcp_clean_rtx_queue(struct sock *sk, u32 prior_fack, u32 prior_snd_una, struct tcp_sacktag_state *sack)
{
    struct tcp_sock *tp = tcp_sk(sk);
    struct tcp_clean_state c = {.fully_acked = true, .reord = tp->snd_nxt};
    u32 prior_sacked = tp->sacked_out;
    struct sk_buff *skb, *next;

    for (skb = tcp_rtx_queue_head(sk); skb; skb = next) {
        bool go_on;

        tcp_ack_tstamp(sk, skb, prior_snd_una);
        go_on = tcp_clean_one(sk, skb, &c, sack);

        if (!go_on)
            break;
        next = skb_rb_next(skb);
        if (tp->retransmit_skb_hint == skb)
            tp->retransmit_skb_hint = NULL;
        tcp_rtx_queue_unlink_and_free(skb, sk);
    }
    if (!skb)
        tcp_chrono_stop(sk, TCP_CHRONO_BUSY);
    if (between(tp->snd_up, prior_snd_una, tp->snd_una))
        tp->snd_up = tp->snd_una;
    if (skb && (TCP_SKB_CB(skb)->sacked & TCPCB_SACKED_ACKED))
        c.flag |= FLAG_SACK_RENEGING;
    tcp_clean_finish(sk, &c, sack, prior_sacked, prior_fack, prior_snd_una);
    BUG_ON((s32)tp->sacked_out < 0 || (s32)tp->lost_out < 0 || (s32)tp->retrans_out < 0 || (s32)tp->packets_out < 0);
    return c.flag;
}

/* Two queued packets became one: a transmit timestamp asked for the second holds for both. */
void tcp_skb_collapse_tstamp(struct sk_buff *skb, const struct sk_buff *next)
{
    if (!TCP_SKB_CB(next)->txstamp_ack && !skb_shinfo(next)->tx_flags)
        return;
    skb_shinfo(skb)->tx_flags |= skb_shinfo(next)->tx_flags;
    skb_shinfo(skb)->tskey = skb_shinfo(next)->tskey;
    TCP_SKB_CB(skb)->txstamp_ack |= TCP_SKB_CB(next)->txstamp_ack;
}

/* ---- window ----------------------------------------------------------------------------------------------------------- */

/* Zero window: start or stop the persist timer. */
void tcp_ack_probe(struct sock *sk)
{
    struct inet_connection_sock *icsk = inet_csk(sk);
    const struct tcp_sock *tp = tcp_sk(sk);
    struct sk_buff *head = tcp_send_head(sk);

    if (!head)
        return;
    if (!after(TCP_SKB_CB(head)->end_seq, tcp_wnd_end(tp))) {
        icsk->icsk_backoff = 0;
        icsk->icsk_probes_tstamp = 0;
        inet_csk_clear_xmit_timer(sk, ICSK_TIME_PROBE0);
    } else {
        u64 when = tcp_probe0_when(sk, icsk->icsk_rto_max);

        tcp_reset_xmit_timer(sk, ICSK_TIME_PROBE0, when, icsk->icsk_rto_max);
    }
}

bool tcp_may_update_window(const struct tcp_sock *tp, u32 ack, u32 ack_seq, u32 nwin)
{
    return after(ack, tp->snd_una) || after(ack_seq, tp->snd_wl1) ||
           (ack_seq == tp->snd_wl1 && (nwin > tp->snd_wnd || !nwin));
}

static void tcp_snd_una_update(struct tcp_sock *tp, u32 ack)
{
    tp->bytes_acked += ack - tp->snd_una;
    WRITE_ONCE(tp->snd_una, ack); /* SIOCOUTQ reads it without the lock */
}

static int tcp_ack_update_window(struct sock *sk, const struct sk_buff *skb, u32 ack, u32 ack_seq)
{
    struct tcp_sock *tp = tcp_sk(sk);
    u32 nwin = be16toh(tcp_hdr(skb)->window);
    int flag = 0;

    if (likely(!tcp_hdr(skb)->syn))
        nwin <<= tp->rx_opt.snd_wscale;
    if (tcp_may_update_window(tp, ack, ack_seq, nwin)) {
        flag |= FLAG_WIN_UPDATE;
        tp->snd_wl1 = ack_seq;
        if (tp->snd_wnd != nwin) {
            tp->snd_wnd = nwin;
            /* Note, it is the only place, where fast path is recovered for sending TCP. */
            tp->pred_flags = 0;
            tcp_fast_path_check(sk);
            if (nwin > tp->max_window) {
                tp->max_window = nwin;
                tcp_sync_mss(sk, inet_csk(sk)->icsk_pmtu_cookie);
            }
        }
    }
    tcp_snd_una_update(tp, ack);
    return flag;
}

/* ---- rate-limited answers (RFC 5961 7) --------------------------------------------------------------------------------- */

static bool __tcp_oow_rate_limited(struct net *net, int mib, u32 *last_oow_ack_time)
{
    u32 now_ms = (u32)(net_now(net) / NSEC_PER_MSEC);

    if (*last_oow_ack_time) {
        s32 elapsed = (s32)(now_ms - *last_oow_ack_time);

        if (0 <= elapsed && elapsed < net->ipv4.sysctl_tcp_invalid_ratelimit) {
            NET_INC_STATS(net, mib);
            return true;
        }
    }
    *last_oow_ack_time = now_ms ? now_ms : 1;
    return false;
}

/* Pure ACK loops between two confused peers are cut; data segments are always answered. */
bool tcp_oow_rate_limited(struct net *net, const struct sk_buff *skb, int mib, u32 *last_oow_ack_time)
{
    if (TCP_SKB_CB(skb)->seq != TCP_SKB_CB(skb)->end_seq && !tcp_hdr(skb)->syn)
        return false;
    return __tcp_oow_rate_limited(net, mib, last_oow_ack_time);
}

/* tcp_challenge_ack_limit a second for all sockets together, without one by default. The number is drawn anew each
 * second around the limit: a fixed one tells an attacker whether others are answered (CVE-2016-5696). */
static bool tcp_challenge_limited(struct net *net)
{
    u32 limit = (u32)net->ipv4.sysctl_tcp_challenge_ack_limit, now = (u32)(net_now(net) / NSEC_PER_SEC), left;

    if (limit == INT32_MAX)
        return false;
    if (atomic_exchange(&net->challenge_stamp, now) != now)
        atomic_store(&net->challenge_count, (limit + 1) / 2 + net_random_below(net, limit));
    left = atomic_load(&net->challenge_count);
    while (left && !atomic_compare_exchange_weak(&net->challenge_count, &left, left - 1))
        ;
    return !left;
}

void tcp_send_challenge_ack(struct sock *sk)
{
    struct tcp_sock *tp = tcp_sk(sk);

    if (__tcp_oow_rate_limited(sock_net(sk), LINUX_MIB_TCPACKSKIPPEDCHALLENGE, &tp->last_oow_ack_time) ||
        tcp_challenge_limited(sock_net(sk)))
        return;
    NET_INC_STATS(sock_net(sk), LINUX_MIB_TCPCHALLENGEACK);
    tcp_send_ack(sk);
}

/* ---- timestamps (RFC 7323 4.3) --------------------------------------------------------------------------------------------- */

void tcp_replace_ts_recent(struct tcp_sock *tp, u32 seq)
{
    if (!tp->rx_opt.saw_tstamp || after(seq, tp->rcv_wup))
        return;
    if ((s32)(tp->rx_opt.ts_recent - tp->rx_opt.rcv_tsval) <= TCP_PAWS_WINDOW ||
        tp->tcp_mstamp / USEC_PER_SEC >= tp->rx_opt.ts_recent_stamp + TCP_PAWS_24DAYS) {
        tp->rx_opt.ts_recent = tp->rx_opt.rcv_tsval;
        tp->rx_opt.ts_recent_stamp = tp->tcp_mstamp / USEC_PER_SEC;
    }
}

/* ---- ECN, sender (RFC 3168 6.1.2) -------------------------------------------------------------------------------------------- */

void tcp_ecn_rcv_synack(struct tcp_sock *tp, const struct tcphdr *th)
{
    if ((tp->ecn_flags & TCP_ECN_OK) && (!th->ece || th->cwr))
        tp->ecn_flags &= (u8)~TCP_ECN_OK;
}

static bool tcp_ecn_rcv_ecn_echo(const struct tcp_sock *tp, const struct tcphdr *th)
{
    return th->ece && !th->syn && (tp->ecn_flags & TCP_ECN_OK);
}

/* ---- tcp_ack --------------------------------------------------------------------------------------------------------------------- */

/* After what this ACK delivered: RACK's window, undo and loss, timers, rate, congestion window, output. */
static void tcp_ack_finish(struct sock *sk, u32 ack, u32 prior_snd_una, u32 delivered, u32 lost, int flag,
                           struct tcp_sacktag_state *sack_state, int gso_segs, int *rexmit, bool is_sack_reneg)
{
    struct rate_sample *rs = sack_state->rate;
    struct tcp_sock *tp = tcp_sk(sk);
    int num_dupack = 0;
    u32 newly_delivered;

    tcp_rack_update_reo_wnd(sk, rs);
    if (tp->tlp_high_seq)
        tcp_process_tlp_ack(sk, ack, flag);
    if (!(flag & FLAG_NOT_DUP) || (flag & FLAG_CA_ALERT) || inet_csk(sk)->icsk_ca_state != TCP_CA_Open) {
        /* ACKs that wait in the backlog may have been merged into one. */
        if (!(flag & (FLAG_SND_UNA_ADVANCED | FLAG_NOT_DUP | FLAG_DSACKING_ACK)))
            num_dupack = max_t(int, 1, gso_segs);
        tcp_fastretrans_alert(sk, prior_snd_una, num_dupack, &flag, rexmit);
    }
    if (flag & FLAG_SET_XMIT_TIMER)
        tcp_set_xmit_timer(sk);
    if ((flag & FLAG_FORWARD_PROGRESS) || !(flag & FLAG_NOT_DUP))
        sk_dst_confirm(sk);
    newly_delivered = tp->delivered - delivered;
    NET_ADD_STATS(sock_net(sk), LINUX_MIB_TCPDELIVERED, newly_delivered);
    if (flag & FLAG_ECE) {
        tp->delivered_ce += newly_delivered;
        NET_ADD_STATS(sock_net(sk), LINUX_MIB_TCPDELIVEREDCE, newly_delivered);
    }
    lost = tp->lost - lost;
    rs->is_ack_delayed = flag & FLAG_ACK_MAYBE_DELAYED;
    tcp_rate_gen(sk, newly_delivered, lost, is_sack_reneg, rs);
    tcp_cong_control(sk, ack, newly_delivered, flag, rs);
    tcp_xmit_recovery(sk, *rexmit);
}

/* Role: the ACK field of an acceptable segment (RFC 9293 3.10.7.4, fifth). 1: fine, 0: old,
 * < 0: -(skb_drop_reason), a challenge ACK was sent if due. */
int tcp_ack(struct sock *sk, const struct sk_buff *skb, int flag)
{
    struct inet_connection_sock *icsk = inet_csk(sk);
    struct tcp_sock *tp = tcp_sk(sk);
    struct rate_sample rs = {.prior_delivered = 0};
    struct tcp_sacktag_state sack_state = {.rate = &rs};
    const u32 prior_snd_una = tp->snd_una, ack_seq = TCP_SKB_CB(skb)->seq, ack = TCP_SKB_CB(skb)->ack_seq;
    const bool is_sack_reneg = tp->is_sack_reneg;
    const u32 delivered = tp->delivered, lost = tp->lost;
    int rexmit = REXMIT_NONE;
    const int prior_packets = (int)tp->packets_out;
    u32 prior_fack;

    if (before(ack, prior_snd_una)) {
        u32 max_window = (u32)min_t(u64, tp->max_window, tp->bytes_acked);

        /* RFC 5961 5.2: too old an ACK is a blind injection. */
        if (before(ack, prior_snd_una - max_window)) {
            if (!(flag & FLAG_NO_CHALLENGE_ACK))
                tcp_send_challenge_ack(sk);
            return -SKB_DROP_REASON_TCP_INVALID_ACK_SEQUENCE;
        }
        goto old_ack;
    }
    /* It acknowledges what was never sent. As Linux no answer in ESTABLISHED (RFC 9293 3.10.7.4, RFC 5961 5.2: an ACK);
     * in other states the caller sends one. */
    if (after(ack, tp->snd_nxt))
        return -SKB_DROP_REASON_TCP_INVALID_ACK_SEQUENCE;
    if (after(ack, prior_snd_una)) {
        flag |= FLAG_SND_UNA_ADVANCED;
        icsk->icsk_retransmits = 0;
        if (tp->tcp_clean_acked)
            tp->tcp_clean_acked(sk, ack);
    }
    prior_fack = tcp_is_sack(tp) ? tcp_highest_sack_seq_of(tp) : tp->snd_una;
    rs.prior_in_flight = tcp_packets_in_flight(tp);
    if (flag & FLAG_UPDATE_TS_RECENT)
        tcp_replace_ts_recent(tp, TCP_SKB_CB(skb)->seq);

    if ((flag & (FLAG_SLOWPATH | FLAG_SND_UNA_ADVANCED)) == FLAG_SND_UNA_ADVANCED) {
        /* Window is constant, pure forward advance: no need to look at the window. */
        tp->snd_wl1 = ack_seq;
        tcp_snd_una_update(tp, ack);
        flag |= FLAG_WIN_UPDATE;
        NET_INC_STATS(sock_net(sk), LINUX_MIB_TCPHPACKS);
    } else {
        if (ack_seq != TCP_SKB_CB(skb)->end_seq)
            flag |= FLAG_DATA;
        else
            NET_INC_STATS(sock_net(sk), LINUX_MIB_TCPPUREACKS);
        flag |= tcp_ack_update_window(sk, skb, ack, ack_seq);
        if (tcp_hdr(skb)->doff > 5 && tp->rx_opt.sack_ok)
            flag |= tcp_sacktag_write_queue(sk, skb, prior_snd_una, &sack_state);
        if (tcp_ecn_rcv_ecn_echo(tp, tcp_hdr(skb)))
            flag |= FLAG_ECE;
        if (sack_state.sack_delivered)
            tp->delivered += sack_state.sack_delivered;
    }
    WRITE_ONCE(sk->sk_err_soft, 0); /* the path works again */
    icsk->icsk_probes_out = 0;
    tp->rcv_tstamp = tcp_clock_ns(sk);
    if (!prior_packets)
        goto no_queue;

    flag |= tcp_clean_rtx_queue(sk, prior_fack, prior_snd_una, &sack_state);
    tcp_ack_finish(sk, ack, prior_snd_una, delivered, lost, flag, &sack_state, skb_shinfo(skb)->gso_segs, &rexmit,
                   is_sack_reneg);
    return 1;

no_queue:
    /* Nothing was in flight: D-SACKs may still undo, and a zero window may have opened. */
    if (flag & FLAG_DSACKING_ACK) {
        tcp_fastretrans_alert(sk, prior_snd_una, 0, &flag, &rexmit);
    }
    tcp_ack_probe(sk);
    if (tp->tlp_high_seq)
        tcp_process_tlp_ack(sk, ack, flag);
    return 1;

old_ack:
    /* A D-SACK or SACKs in an old ACK are news all the same. */
    if (TCP_SKB_CB(skb)->sacked || (tcp_hdr(skb)->doff > 5 && tp->rx_opt.sack_ok)) {
        flag |= tcp_sacktag_write_queue(sk, skb, prior_snd_una, &sack_state);
        if (sack_state.sack_delivered)
            tp->delivered += sack_state.sack_delivered;
        if (flag & (FLAG_DATA_SACKED | FLAG_DSACKING_ACK)) {
            tcp_fastretrans_alert(sk, prior_snd_una, 0, &flag, &rexmit);
            tcp_xmit_recovery(sk, rexmit);
        }
    }
    return 0;
}
