// SPDX-License-Identifier: MIT
/* Loss recovery: the states Open, Disorder, CWR, Recovery and Loss (RFC 5681, 6675, 6582, 8985), window
 * reduction by PRR (RFC 6937), F-RTO (RFC 5682), and undo when the loss was none (RFC 3522, DSACK). */

#include "tcp_input.h"

static bool tcp_any_retrans_done(const struct sock *sk)
{
    const struct tcp_sock *tp = tcp_sk(sk);
    const struct sk_buff *skb;

    if (tp->retrans_out)
        return true;
    skb = tcp_rtx_queue_head(sk);
    return skb && (TCP_SKB_CB(skb)->sacked & TCPCB_EVER_RETRANS);
}

/* ---- marking ------------------------------------------------------------------------------------------------- */

static void tcp_verify_retransmit_hint(struct tcp_sock *tp, struct sk_buff *skb)
{
    if (!tp->retransmit_skb_hint ||
        before(TCP_SKB_CB(skb)->seq, TCP_SKB_CB(tp->retransmit_skb_hint)->seq))
        tp->retransmit_skb_hint = skb;
}

/* The packet is lost: count it so, once; a lost retransmission is counted anew. */
void tcp_mark_skb_lost(struct sock *sk, struct sk_buff *skb)
{
    struct tcp_sock *tp = tcp_sk(sk);
    u8 sacked = TCP_SKB_CB(skb)->sacked;

    if (sacked & TCPCB_SACKED_ACKED)
        return;
    tcp_verify_retransmit_hint(tp, skb);
    if (sacked & TCPCB_LOST) {
        if (sacked & TCPCB_SACKED_RETRANS) {
            TCP_SKB_CB(skb)->sacked &= (u8)~TCPCB_SACKED_RETRANS;
            tp->retrans_out -= (u32)tcp_skb_pcount(skb);
            NET_ADD_STATS(sock_net(sk), LINUX_MIB_TCPLOSTRETRANSMIT, tcp_skb_pcount(skb));
            tp->lost += (u32)tcp_skb_pcount(skb);
        }
    } else {
        tp->lost_out += (u32)tcp_skb_pcount(skb);
        TCP_SKB_CB(skb)->sacked |= TCPCB_LOST;
        tp->lost += (u32)tcp_skb_pcount(skb);
    }
    if (!(TCP_SKB_CB(skb)->sacked & TCPCB_SACKED_RETRANS))
        tcp_tsorted_del(skb); /* until it is sent again */
}

/* The path MTU shrank: everything larger is lost; no congestion (RFC 1191 6.5). */
void tcp_non_congestion_loss_retransmit(struct sock *sk)
{
    struct tcp_sock *tp = tcp_sk(sk);

    if (inet_csk(sk)->icsk_ca_state != TCP_CA_Loss) {
        tp->high_seq = tp->snd_nxt;
        tp->snd_ssthresh = tcp_current_ssthresh(sk);
        tp->prior_ssthresh = 0;
        tp->undo_marker = 0;
        tcp_set_ca_state(sk, TCP_CA_Loss);
    }
    tcp_xmit_retransmit_queue(sk);
}

void tcp_simple_retransmit(struct sock *sk)
{
    struct tcp_sock *tp = tcp_sk(sk);
    int mss = (int)tcp_current_mss(sk);
    struct sk_buff *skb;

    skb_rbtree_walk(skb, &tp->tcp_rtx_queue)
        if (tcp_skb_mss(skb) > mss || (tcp_skb_pcount(skb) == 1 && (int)skb->len > mss))
            tcp_mark_skb_lost(sk, skb);
    if (!tp->lost_out)
        return;
    if (tcp_is_reno(tp)) {
        u32 holes = min(max(tp->lost_out, 1u), tp->packets_out);
        if (tp->sacked_out + holes > tp->packets_out)
            tp->sacked_out = tp->packets_out - holes;
    }
    /* cwnd is not reduced: the losses say nothing about congestion. */
    tcp_non_congestion_loss_retransmit(sk);
}

/* ---- entering the states --------------------------------------------------------------------------------------- */

void tcp_clear_retrans(struct tcp_sock *tp)
{
    tp->retrans_out = 0;
    tp->lost_out = 0;
    tp->undo_marker = 0;
    tp->undo_retrans = -1;
    tp->sacked_out = 0;
}

void tcp_init_undo(struct tcp_sock *tp)
{
    tp->undo_marker = tp->snd_una;
    /* Retransmission still in flight may cause D-SACKs later. */
    tp->undo_retrans = tp->retrans_out ? (s32)tp->retrans_out : -1;
}

static bool tcp_is_rack(const struct sock *sk) { return sock_net(sk)->ipv4.sysctl_tcp_recovery & 1; }

/* After a time-out all that is not SACKed is lost (RFC 6675 5.1), RACK keeps what was sent lately. */
static void tcp_timeout_mark_lost(struct sock *sk)
{
    struct tcp_sock *tp = tcp_sk(sk);
    struct sk_buff *skb, *head = tcp_rtx_queue_head(sk);
    bool is_reneg = head && (TCP_SKB_CB(head)->sacked & TCPCB_SACKED_ACKED);

    if (is_reneg) {
        NET_INC_STATS(sock_net(sk), LINUX_MIB_TCPSACKRENEGING);
        tp->sacked_out = 0;
        memset(tp->recv_sack_cache, 0, sizeof(tp->recv_sack_cache));
        tp->is_sack_reneg = 1;
    } else if (tcp_is_reno(tp)) {
        tcp_reset_reno_sack(tp);
    }
    skb_rbtree_walk(skb, &tp->tcp_rtx_queue) {
        if (is_reneg)
            TCP_SKB_CB(skb)->sacked &= (u8)~TCPCB_SACKED_ACKED;
        else if (tcp_is_rack(sk) && skb != head && tcp_rack_skb_timeout(tp, skb, 0) > 0)
            continue; /* recently sent: its own time is not over */
        tcp_mark_skb_lost(sk, skb);
    }
}

/* RTO (RFC 5681 3.1 (4), RFC 5682). */
void tcp_enter_loss(struct sock *sk)
{
    const struct inet_connection_sock *icsk = inet_csk(sk);
    struct tcp_sock *tp = tcp_sk(sk);
    bool new_recovery = icsk->icsk_ca_state < TCP_CA_Recovery;

    tcp_timeout_mark_lost(sk);
    /* Reduce ssthresh if it has not yet been made inside this window. */
    if (icsk->icsk_ca_state <= TCP_CA_Disorder || !after(tp->high_seq, tp->snd_una) ||
        (icsk->icsk_ca_state == TCP_CA_Loss && !icsk->icsk_retransmits)) {
        tp->prior_ssthresh = tcp_current_ssthresh(sk);
        tp->prior_cwnd = tcp_snd_cwnd(tp);
        tp->snd_ssthresh = icsk->icsk_ca_ops->ssthresh(sk);
        tcp_ca_event(sk, CA_EVENT_LOSS);
        tcp_init_undo(tp);
    }
    tcp_snd_cwnd_set(tp, tcp_packets_in_flight(tp) + 1);
    tp->snd_cwnd_cnt = 0;
    tp->snd_cwnd_stamp = tcp_clock_ns(sk);
    /* A time-out with SACKs of reordered data: the degree was too high. */
    if (icsk->icsk_ca_state <= TCP_CA_Disorder && tp->sacked_out >= (u32)sock_net(sk)->ipv4.sysctl_tcp_reordering)
        tp->reordering = min(tp->reordering, (u32)sock_net(sk)->ipv4.sysctl_tcp_reordering);
    tcp_set_ca_state(sk, TCP_CA_Loss);
    tp->high_seq = tp->snd_nxt;
    tp->tlp_high_seq = 0;
    if (tp->ecn_flags & TCP_ECN_OK)
        tp->ecn_flags |= TCP_ECN_QUEUE_CWR;
    /* F-RTO: only on the first time-out of a recovery, and not when probing the path MTU. */
    tp->frto = sock_net(sk)->ipv4.sysctl_tcp_frto && (new_recovery || icsk->icsk_retransmits) &&
               !icsk->icsk_mtup.probe_size;
}

static void tcp_init_cwnd_reduction(struct sock *sk)
{
    struct tcp_sock *tp = tcp_sk(sk);

    tp->high_seq = tp->snd_nxt;
    tp->tlp_high_seq = 0;
    tp->snd_cwnd_cnt = 0;
    tp->prior_cwnd = tcp_snd_cwnd(tp);
    tp->prr_delivered = 0;
    tp->prr_out = 0;
    tp->snd_ssthresh = inet_csk(sk)->icsk_ca_ops->ssthresh(sk);
    if (tp->ecn_flags & TCP_ECN_OK)
        tp->ecn_flags |= TCP_ECN_QUEUE_CWR;
}

/* Proportional rate reduction (RFC 6937, with slow-start reduction bound). */
void tcp_cwnd_reduction(struct sock *sk, int newly_acked_sacked, int newly_lost, int flag)
{
    struct tcp_sock *tp = tcp_sk(sk);
    int sndcnt = 0, delta = (int)tp->snd_ssthresh - (int)tcp_packets_in_flight(tp);

    if (newly_acked_sacked <= 0 || !tp->prior_cwnd)
        return;
    tp->prr_delivered += (u32)newly_acked_sacked;
    if (delta < 0) {
        u64 dividend = (u64)tp->snd_ssthresh * tp->prr_delivered + tp->prior_cwnd - 1;

        sndcnt = (int)(dividend / tp->prior_cwnd) - (int)tp->prr_out;
    } else {
        sndcnt = max_t(int, (int)tp->prr_delivered - (int)tp->prr_out, newly_acked_sacked);
        if ((flag & FLAG_SND_UNA_ADVANCED) && !newly_lost)
            sndcnt++;
        sndcnt = min(delta, sndcnt);
    }
    /* Force a fast retransmit upon entering fast recovery. */
    sndcnt = max(sndcnt, tp->prr_out ? 0 : 1);
    tcp_snd_cwnd_set(tp, max_t(u32, 1, (u32)((int)tcp_packets_in_flight(tp) + sndcnt)));
}

static void tcp_end_cwnd_reduction(struct sock *sk)
{
    struct tcp_sock *tp = tcp_sk(sk);

    if (inet_csk(sk)->icsk_ca_ops->cong_control)
        return;
    /* Reset cwnd to ssthresh in CWR or Recovery (unless it is undone). */
    if (tp->snd_ssthresh < TCP_INFINITE_SSTHRESH &&
        (inet_csk(sk)->icsk_ca_state == TCP_CA_CWR || tp->undo_marker)) {
        tcp_snd_cwnd_set(tp, tp->snd_ssthresh);
        tp->snd_cwnd_stamp = tcp_clock_ns(sk);
    }
    tcp_ca_event(sk, CA_EVENT_COMPLETE_CWR);
}

void tcp_enter_cwr(struct sock *sk)
{
    struct tcp_sock *tp = tcp_sk(sk);

    tp->prior_ssthresh = 0;
    if (inet_csk(sk)->icsk_ca_state < TCP_CA_CWR) {
        tp->undo_marker = 0;
        tcp_init_cwnd_reduction(sk);
        tcp_set_ca_state(sk, TCP_CA_CWR);
    }
}

void tcp_enter_recovery(struct sock *sk, bool ece_ack)
{
    struct tcp_sock *tp = tcp_sk(sk);

    NET_INC_STATS(sock_net(sk), tcp_is_reno(tp) ? LINUX_MIB_TCPRENORECOVERY : LINUX_MIB_TCPSACKRECOVERY);
    tp->prior_ssthresh = 0;
    tcp_init_undo(tp);
    if (!tcp_in_cwnd_reduction(sk)) {
        if (!ece_ack)
            tp->prior_ssthresh = tcp_current_ssthresh(sk);
        tcp_init_cwnd_reduction(sk);
    }
    tcp_set_ca_state(sk, TCP_CA_Recovery);
}

static void tcp_try_keep_open(struct sock *sk)
{
    struct tcp_sock *tp = tcp_sk(sk);
    u8 state = TCP_CA_Open;

    if (tcp_left_out(tp) || tcp_any_retrans_done(sk))
        state = TCP_CA_Disorder;
    if (inet_csk(sk)->icsk_ca_state != state) {
        tcp_set_ca_state(sk, state);
        tp->high_seq = tp->snd_nxt;
    }
}

static void tcp_try_to_open(struct sock *sk, int flag)
{
    if (!tcp_any_retrans_done(sk))
        tcp_sk(sk)->retrans_stamp = 0;
    if (flag & FLAG_ECE)
        tcp_enter_cwr(sk);
    if (inet_csk(sk)->icsk_ca_state != TCP_CA_CWR)
        tcp_try_keep_open(sk);
}

/* ---- undo ----------------------------------------------------------------------------------------------------------- */

/* The echoed timestamp is older than our first retransmission: the original arrived (RFC 3522). */
bool tcp_tsopt_ecr_before(const struct tcp_sock *tp, u32 when)
{
    return tp->rx_opt.saw_tstamp && tp->rx_opt.rcv_tsecr && before(tp->rx_opt.rcv_tsecr, when);
}

static bool tcp_packet_delayed(const struct tcp_sock *tp)
{
    const struct sock *sk = (const struct sock *)tp;

    if (tp->retrans_stamp)
        return tcp_tsopt_ecr_before(tp, tp->retrans_stamp);
    /* Without a stamp nothing was retransmitted, but for two who clear it though something was: a recovery without
     * SACK that waits above high_seq (tcp_is_non_sack_preventing_reopen), and the ACK of our SYN. */
    return (tcp_is_sack(tp) || before(tp->snd_una, tp->high_seq)) && sk->sk_state != TCP_SYN_SENT;
}

static bool tcp_may_undo(const struct tcp_sock *tp)
{
    return tp->undo_marker && (!tp->undo_retrans || tcp_packet_delayed(tp));
}

static bool tcp_tsorted_before(const struct sk_buff *skb, const struct cds_list_head *at)
{
    const struct sk_buff *other = cds_list_entry(at, struct sk_buff, tcp_tsorted_anchor);

    return tcp_rack_sent_after(tcp_skb_timestamp_us(other), tcp_skb_timestamp_us(skb), TCP_SKB_CB(other)->end_seq,
                               TCP_SKB_CB(skb)->end_seq);
}

/* skb, which was thought lost, may be in flight after all: back among the others, by time. near: one on the list
 * whose place is probably close, NULL: the front. (Linux leaves it out: RACK does not see it any more there.) */
static void tcp_tsorted_insert(struct tcp_sock *tp, struct sk_buff *skb, struct sk_buff *near)
{
    struct cds_list_head *head = &tp->tsorted_sent_queue, *at = near ? &near->tcp_tsorted_anchor : head;

    while (at != head && tcp_tsorted_before(skb, at)) /* it is to follow `at` */
        at = at->prev;
    while (at->next != head && !tcp_tsorted_before(skb, at->next))
        at = at->next;
    cds_list_add(&skb->tcp_tsorted_anchor, at);
}

static void tcp_undo_cwnd_reduction(struct sock *sk, bool unmark_loss)
{
    struct tcp_sock *tp = tcp_sk(sk);

    if (unmark_loss) {
        struct sk_buff *skb, *near[2] = {NULL, NULL}; /* of those sent once, and of those sent again */

        skb_rbtree_walk(skb, &tp->tcp_rtx_queue) {
            u8 sacked = TCP_SKB_CB(skb)->sacked, again = (sacked & TCPCB_RETRANS) != 0;

            TCP_SKB_CB(skb)->sacked &= (u8)~TCPCB_LOST;
            if (!(sacked & TCPCB_SACKED_ACKED) && !tcp_skb_tsorted(skb)) {
                tcp_tsorted_insert(tp, skb, near[again]);
                near[again] = skb;
            }
        }
        tp->lost_out = 0;
        tp->retransmit_skb_hint = NULL;
    }
    if (tp->prior_ssthresh) {
        tcp_snd_cwnd_set(tp, inet_csk(sk)->icsk_ca_ops->undo_cwnd(sk));
        if (tp->prior_ssthresh > tp->snd_ssthresh) {
            tp->snd_ssthresh = tp->prior_ssthresh;
            if (tp->ecn_flags & TCP_ECN_OK)
                tp->ecn_flags &= (u8)~TCP_ECN_QUEUE_CWR;
        }
    }
    tp->snd_cwnd_stamp = tcp_clock_ns(sk);
    tp->undo_marker = 0;
    tp->rack.advanced = 1; /* force RACK to re-examine losses */
}

/* Recovery's end for a sender without SACK: hold it until high_seq is passed (RFC 6582 4.1). */
static bool tcp_is_non_sack_preventing_reopen(struct sock *sk)
{
    struct tcp_sock *tp = tcp_sk(sk);

    if (tp->snd_una == tp->high_seq && tcp_is_reno(tp)) {
        if (!tcp_any_retrans_done(sk))
            tp->retrans_stamp = 0;
        return true;
    }
    return false;
}

/* All was delivered without the retransmissions: undo. True: stay in the state (no SACK). */
bool tcp_try_undo_recovery(struct sock *sk)
{
    struct tcp_sock *tp = tcp_sk(sk);

    if (tcp_may_undo(tp)) {
        int mib = inet_csk(sk)->icsk_ca_state == TCP_CA_Loss ? LINUX_MIB_TCPLOSSUNDO : LINUX_MIB_TCPFULLUNDO;

        tcp_undo_cwnd_reduction(sk, false);
        NET_INC_STATS(sock_net(sk), mib);
    } else if (tp->rack.reo_wnd_persist) {
        tp->rack.reo_wnd_persist--; /* a recovery that was none of RACK's haste */
    }
    if (tcp_is_non_sack_preventing_reopen(sk))
        return true;
    tcp_set_ca_state(sk, TCP_CA_Open);
    tp->is_sack_reneg = 0;
    return false;
}

static bool tcp_try_undo_dsack(struct sock *sk)
{
    struct tcp_sock *tp = tcp_sk(sk);

    if (tp->undo_marker && !tp->undo_retrans) {
        tp->rack.reo_wnd_persist = min(16, tp->rack.reo_wnd_persist + 1);
        tcp_undo_cwnd_reduction(sk, false);
        NET_INC_STATS(sock_net(sk), LINUX_MIB_TCPDSACKUNDO);
        return true;
    }
    return false;
}

static bool tcp_try_undo_loss(struct sock *sk, bool frto_undo)
{
    struct tcp_sock *tp = tcp_sk(sk);

    if (!frto_undo && !tcp_may_undo(tp))
        return false;
    tcp_undo_cwnd_reduction(sk, true);
    NET_INC_STATS(sock_net(sk), LINUX_MIB_TCPLOSSUNDO);
    if (frto_undo)
        NET_INC_STATS(sock_net(sk), LINUX_MIB_TCPSPURIOUSRTOS);
    inet_csk(sk)->icsk_retransmits = 0;
    if (tcp_is_non_sack_preventing_reopen(sk))
        return true;
    if (frto_undo || tcp_is_sack(tp)) {
        tcp_set_ca_state(sk, TCP_CA_Open);
        tp->is_sack_reneg = 0;
    }
    return true;
}

static bool tcp_try_undo_partial(struct sock *sk, u32 prior_snd_una)
{
    struct tcp_sock *tp = tcp_sk(sk);

    if (!tp->undo_marker || !tcp_packet_delayed(tp))
        return false;
    tcp_check_sack_reordering(sk, prior_snd_una, 1);
    /* Not lost after all, but more may be outstanding: wait for it. */
    if (tp->retrans_out)
        return true;
    if (!tcp_any_retrans_done(sk))
        tp->retrans_stamp = 0;
    tcp_undo_cwnd_reduction(sk, true);
    NET_INC_STATS(sock_net(sk), LINUX_MIB_TCPPARTIALUNDO);
    tcp_try_keep_open(sk);
    return false;
}

/* The first SYN or SYN-ACK (retrans_stamp is its time) was answered, late: sending it again was needless. */
void tcp_try_undo_spurious_syn(struct sock *sk)
{
    struct tcp_sock *tp = tcp_sk(sk);
    u32 syn_stamp = tp->retrans_stamp;

    if (tp->undo_marker && syn_stamp && tp->rx_opt.saw_tstamp && tp->rx_opt.rcv_tsecr == syn_stamp)
        tp->undo_marker = 0;
}

/* ---- the state machine ------------------------------------------------------------------------------------------------ */

/* Lost packets by RACK, or by duplicate ACKs without SACK. */
static void tcp_identify_packet_loss(struct sock *sk, int *ack_flag)
{
    struct tcp_sock *tp = tcp_sk(sk);

    if (tcp_rtx_queue_empty(sk))
        return;
    if (tcp_is_reno(tp)) {
        tcp_newreno_mark_lost(sk, *ack_flag & FLAG_SND_UNA_ADVANCED);
    } else if (tcp_is_rack(sk)) {
        u32 prior_retrans = tp->retrans_out;

        if (tcp_rack_mark_lost(sk))
            *ack_flag &= ~FLAG_SET_XMIT_TIMER;
        if (prior_retrans > tp->retrans_out)
            *ack_flag |= FLAG_LOST_RETRANS;
    }
}

/* Dubious ACK in Open/Disorder/CWR: enough evidence to start recovery? */
static bool tcp_time_to_recover(const struct sock *sk) { return tcp_sk(sk)->lost_out != 0; }

/* In Loss: F-RTO (RFC 5682) decides whether the time-out was spurious; else go-back-N with SACK. */
static void tcp_process_loss(struct sock *sk, int flag, int num_dupack, int *rexmit)
{
    struct tcp_sock *tp = tcp_sk(sk);
    bool recovered = !before(tp->snd_una, tp->high_seq);

    if ((flag & FLAG_SND_UNA_ADVANCED) && tcp_try_undo_loss(sk, false))
        return;
    if (tp->frto) {
        /* Step 3.b: a timeout is spurious if not all data are lost: new data was (s)acked that was never
         * retransmitted. */
        if ((flag & FLAG_ORIG_SACK_ACKED) && tcp_try_undo_loss(sk, true))
            return;
        if (after(tp->snd_nxt, tp->high_seq)) {
            if ((flag & FLAG_DATA_SACKED) || num_dupack)
                tp->frto = 0; /* step 3.a: loss was real */
        } else if ((flag & FLAG_SND_UNA_ADVANCED) && !recovered) {
            tp->high_seq = tp->snd_nxt;
            /* Step 2.b: try to send new data; if there is none, retransmit. */
            if (tcp_send_head(sk) && after(tcp_wnd_end(tp), tp->snd_nxt)) {
                *rexmit = REXMIT_NEW;
                return;
            }
            tp->frto = 0;
        }
    }
    if (recovered) {
        tcp_try_undo_recovery(sk);
        return;
    }
    if (tcp_is_reno(tp)) {
        if (after(tp->snd_nxt, tp->high_seq) && num_dupack)
            tcp_add_reno_sack(sk, num_dupack);
        else if (flag & FLAG_SND_UNA_ADVANCED)
            tcp_reset_reno_sack(tp);
    }
    *rexmit = REXMIT_LOST;
}

/* In Recovery. Returns true when the state machine is done with this ACK. */
static bool tcp_process_recovery(struct sock *sk, u32 prior_snd_una, int num_dupack, int *ack_flag)
{
    struct tcp_sock *tp = tcp_sk(sk);
    int flag = *ack_flag;

    if (!(flag & FLAG_SND_UNA_ADVANCED)) {
        if (tcp_is_reno(tp))
            tcp_add_reno_sack(sk, num_dupack);
    } else if (tcp_try_undo_partial(sk, prior_snd_una)) {
        return true;
    }
    if (tcp_try_undo_dsack(sk))
        tcp_try_to_open(sk, flag);
    tcp_identify_packet_loss(sk, ack_flag);
    if (inet_csk(sk)->icsk_ca_state != TCP_CA_Recovery) {
        if (!tcp_time_to_recover(sk))
            return true;
        tcp_enter_recovery(sk, flag & FLAG_ECE); /* undo reverted Recovery, and more is lost */
    }
    return false;
}

/* Ends a recovery that the ACK has completed. True: leave at once. */
static bool tcp_recovery_completed(struct sock *sk)
{
    struct tcp_sock *tp = tcp_sk(sk);

    switch (inet_csk(sk)->icsk_ca_state) {
    case TCP_CA_CWR:
        /* CWR ends with the first ACK beyond high_seq, as the ECE of the peer may go on. */
        if (tp->snd_una != tp->high_seq) {
            tcp_end_cwnd_reduction(sk);
            tcp_set_ca_state(sk, TCP_CA_Open);
        }
        break;
    case TCP_CA_Recovery:
        if (tcp_is_reno(tp))
            tcp_reset_reno_sack(tp);
        if (tcp_try_undo_recovery(sk))
            return true;
        tcp_end_cwnd_reduction(sk);
        break;
    }
    return false;
}

/* In Open, Disorder or CWR. True: recovery was entered. */
static bool tcp_process_dubious(struct sock *sk, int num_dupack, int *ack_flag)
{
    struct inet_connection_sock *icsk = inet_csk(sk);
    struct tcp_sock *tp = tcp_sk(sk);
    int flag = *ack_flag;

    if (tcp_is_reno(tp)) {
        if (flag & FLAG_SND_UNA_ADVANCED)
            tcp_reset_reno_sack(tp);
        tcp_add_reno_sack(sk, num_dupack);
    }
    if (icsk->icsk_ca_state <= TCP_CA_Disorder)
        tcp_try_undo_dsack(sk);
    tcp_identify_packet_loss(sk, ack_flag);
    if (!tcp_time_to_recover(sk)) {
        tcp_try_to_open(sk, flag);
        return false;
    }
    /* MTU probe failure: not congestion. */
    if (icsk->icsk_ca_state < TCP_CA_CWR && icsk->icsk_mtup.probe_size && tp->snd_una == tp->mtu_probe.probe_seq_start) {
        tcp_mtup_probe_failed(sk);
        tcp_snd_cwnd_set(tp, tcp_snd_cwnd(tp) + 1);
        tcp_simple_retransmit(sk);
        return false;
    }
    tcp_enter_recovery(sk, flag & FLAG_ECE);
    return true;
}

/* Role: process an ACK that changed the scoreboard, duplicated, or carried ECE. */
void tcp_fastretrans_alert(struct sock *sk, const u32 prior_snd_una, int num_dupack, int *ack_flag, int *rexmit)
{
    struct inet_connection_sock *icsk = inet_csk(sk);
    struct tcp_sock *tp = tcp_sk(sk);
    int flag = *ack_flag;
    bool ece_ack = flag & FLAG_ECE;

    if (!tp->packets_out && tp->sacked_out)
        tp->sacked_out = 0;
    /* Now state machine starts. A. ECE, no undo. */
    if (ece_ack)
        tp->prior_ssthresh = 0;
    /* B. SACK reneging. */
    if (tcp_check_sack_reneging(sk, ack_flag))
        return;
    /* C. Consistency of the counters. */
    BUG_ON(tcp_left_out(tp) > tp->packets_out);
    /* D. Did we get past high_seq? */
    if (icsk->icsk_ca_state == TCP_CA_Open) {
        BUG_ON(tp->retrans_out != 0);
        tp->retrans_stamp = 0;
    } else if (!before(tp->snd_una, tp->high_seq)) {
        if (tcp_recovery_completed(sk))
            return;
    }
    /* E. The states. */
    switch (icsk->icsk_ca_state) {
    case TCP_CA_Recovery:
        if (tcp_process_recovery(sk, prior_snd_una, num_dupack, ack_flag))
            return;
        break;
    case TCP_CA_Loss:
        tcp_process_loss(sk, flag, num_dupack, rexmit);
        if (icsk->icsk_ca_state != TCP_CA_Loss)
            tcp_update_rto_time(tcp_sk(sk));
        tcp_identify_packet_loss(sk, ack_flag);
        if (!(icsk->icsk_ca_state == TCP_CA_Open || (*ack_flag & FLAG_LOST_RETRANS)))
            return;
        /* The time-out was undone, or a retransmission was lost too: look at it afresh. */
        __attribute__((fallthrough));
    default:
        if (!tcp_process_dubious(sk, num_dupack, ack_flag))
            return;
    }
    *rexmit = REXMIT_LOST;
}

/* The peer forgot what it SACKed: ACKs everything anew after half an RTT. True: a timer was armed. */
bool tcp_check_sack_reneging(struct sock *sk, int *ack_flag)
{
    if ((*ack_flag & FLAG_SACK_RENEGING) && (*ack_flag & FLAG_SND_UNA_ADVANCED)) {
        struct tcp_sock *tp = tcp_sk(sk);
        u64 delay = max((u64)(tp->srtt_us >> 4) * NSEC_PER_USEC, 10 * NSEC_PER_MSEC);

        inet_csk_reset_xmit_timer(sk, ICSK_TIME_RETRANS, delay, tcp_rto_max(sk));
        *ack_flag &= ~FLAG_SET_XMIT_TIMER;
        return true;
    }
    return false;
}

/* Tail loss probe (RFC 8985 7.4): was the probe needed? */
void tcp_process_tlp_ack(struct sock *sk, u32 ack, int flag)
{
    struct tcp_sock *tp = tcp_sk(sk);

    if (before(ack, tp->tlp_high_seq))
        return;
    if (!tp->tlp_retrans) {
        tp->tlp_high_seq = 0; /* the probe was new data */
    } else if (flag & FLAG_DSACK_TLP) {
        tp->tlp_high_seq = 0; /* the original arrived too */
    } else if (after(ack, tp->tlp_high_seq)) {
        /* The probe repaired a loss: cut cwnd once. */
        tcp_init_cwnd_reduction(sk);
        tcp_set_ca_state(sk, TCP_CA_CWR);
        tcp_end_cwnd_reduction(sk);
        tcp_try_keep_open(sk);
        NET_INC_STATS(sock_net(sk), LINUX_MIB_TCPLOSSPROBERECOVERY);
    } else if (!(flag & (FLAG_SND_UNA_ADVANCED | FLAG_NOT_DUP | FLAG_DATA_SACKED))) {
        tp->tlp_high_seq = 0; /* pure duplicate ACK: the original had arrived */
    }
}

static bool tcp_may_raise_cwnd(const struct sock *sk, int flag)
{
    /* With much reordering, delivery counts even in Disorder; else only in-order progress does. */
    if (tcp_sk(sk)->reordering > (u32)sock_net(sk)->ipv4.sysctl_tcp_reordering)
        return flag & FLAG_FORWARD_PROGRESS;
    return flag & FLAG_DATA_ACKED;
}

/* The window after this ACK: the module's own control, PRR in recovery, else growth. */
void tcp_cong_control(struct sock *sk, u32 ack, u32 acked_sacked, int flag, const struct rate_sample *rs)
{
    const struct inet_connection_sock *icsk = inet_csk(sk);

    if (icsk->icsk_ca_ops->cong_control) {
        icsk->icsk_ca_ops->cong_control(sk, ack, flag, rs);
        return;
    }
    if (tcp_in_cwnd_reduction(sk)) {
        tcp_cwnd_reduction(sk, (int)acked_sacked, rs->losses, flag);
    } else if (tcp_may_raise_cwnd(sk, flag)) {
        icsk->icsk_ca_ops->cong_avoid(sk, ack, acked_sacked);
        tcp_sk(sk)->snd_cwnd_stamp = tcp_clock_ns(sk);
    }
    tcp_update_pacing_rate(sk);
}

void tcp_xmit_recovery(struct sock *sk, int rexmit)
{
    struct tcp_sock *tp = tcp_sk(sk);

    if (rexmit == REXMIT_NONE || sk->sk_state == TCP_SYN_SENT)
        return;
    if (rexmit == REXMIT_NEW) {
        __tcp_push_pending_frames(sk, tcp_current_mss(sk), TCP_NAGLE_OFF);
        if (after(tp->snd_nxt, tp->high_seq))
            return;
        tp->frto = 0;
    }
    tcp_xmit_retransmit_queue(sk);
}
