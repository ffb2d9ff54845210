/* SPDX-License-Identifier: MIT */
/* TCP_INFO (tcp(7)): what ss(8) and programs see of a connection, every field that Linux 6.18 fills. Zero: tcpi_fackets and
 * tcpi_last_ack_sent, as in Linux; what AccECN counts, which is not there. */

#include "tcp_fastopen.h"
#include "tcp_output.h"

static void tcp_get_info_chrono(const struct sock *sk, struct tcp_info *info)
{
    const struct tcp_sock *tp = tcp_sk(sk);
    u64 stats[__TCP_CHRONO_MAX] = {0}, total = 0;

    for (int i = TCP_CHRONO_BUSY; i < __TCP_CHRONO_MAX; i++) {
        stats[i] = tp->chrono_stat[i - 1];
        if (i == tp->chrono_type)
            stats[i] += tcp_ms_now(sk) - tp->chrono_start;
        stats[i] *= 1000;
        total += stats[i];
    }
    info->tcpi_busy_time = total;
    info->tcpi_rwnd_limited = stats[TCP_CHRONO_RWND_LIMITED];
    info->tcpi_sndbuf_limited = stats[TCP_CHRONO_SNDBUF_LIMITED];
}

static u8 tcp_info_options(const struct tcp_sock *tp)
{
    u8 o = 0;

    if (tp->rx_opt.tstamp_ok)
        o |= TCPI_OPT_TIMESTAMPS;
    if (tcp_is_sack(tp))
        o |= TCPI_OPT_SACK;
    if (tp->rx_opt.wscale_ok)
        o |= TCPI_OPT_WSCALE;
    if (tp->ecn_flags & TCP_ECN_OK)
        o |= TCPI_OPT_ECN;
    if (tp->ecn_flags & TCP_ECN_SEEN)
        o |= TCPI_OPT_ECN_SEEN;
    if (tp->syn_data_acked)
        o |= TCPI_OPT_SYN_DATA;
    if (tp->syn_fastopen_child)
        o |= 128; /* TCPI_OPT_TFO_CHILD, Linux 6.15 */
    return o;
}

/* Bytes per second of the last rate sample. */
static u64 tcp_compute_delivery_rate(const struct tcp_sock *tp)
{
    if (!tp->rate_delivered || !tp->rate_interval_us)
        return 0;
    return (u64)tp->rate_delivered * tp->mss_cache * USEC_PER_SEC / tp->rate_interval_us;
}

static void tcp_get_info_send(const struct sock *sk, struct tcp_info *info)
{
    const struct inet_connection_sock *icsk = inet_csk(sk);
    const struct tcp_sock *tp = tcp_sk(sk);

    info->tcpi_ca_state = icsk->icsk_ca_state;
    info->tcpi_retransmits = icsk->icsk_retransmits;
    info->tcpi_probes = icsk->icsk_probes_out;
    info->tcpi_backoff = icsk->icsk_backoff;
    info->tcpi_rto = (u32)(icsk->icsk_rto / NSEC_PER_USEC);
    info->tcpi_snd_mss = tp->mss_cache;
    info->tcpi_unacked = tp->packets_out;
    info->tcpi_sacked = tp->sacked_out;
    info->tcpi_lost = tp->lost_out;
    info->tcpi_retrans = tp->retrans_out;
    info->tcpi_pmtu = icsk->icsk_pmtu_cookie;
    info->tcpi_rtt = tp->srtt_us >> 3;
    info->tcpi_rttvar = tp->mdev_us >> 2;
    info->tcpi_snd_ssthresh = tp->snd_ssthresh;
    info->tcpi_reordering = tp->reordering;
    info->tcpi_total_retrans = tp->total_retrans;
    info->tcpi_bytes_acked = tp->bytes_acked;
    info->tcpi_segs_out = tp->segs_out;
    info->tcpi_data_segs_out = tp->data_segs_out;
    info->tcpi_notsent_bytes = (u32)max((s32)(READ_ONCE(tp->write_seq) - READ_ONCE(tp->snd_nxt)), 0);
    info->tcpi_min_rtt = tcp_min_rtt(tp);
    info->tcpi_delivery_rate_app_limited = tp->rate_app_limited;
    info->tcpi_delivery_rate = tcp_compute_delivery_rate(tp);
    info->tcpi_delivered = tp->delivered;
    info->tcpi_delivered_ce = tp->delivered_ce;
    info->tcpi_bytes_sent = tp->bytes_sent;
    info->tcpi_bytes_retrans = tp->bytes_retrans;
    info->tcpi_dsack_dups = tp->dsack_dups;
    info->tcpi_reord_seen = tp->reord_seen;
    info->tcpi_snd_wnd = tp->snd_wnd;
    info->tcpi_fastopen_client_fail = tp->fastopen_client_fail;
    tcp_get_info_chrono(sk, info);
}

/* Fill *info (zeroed here). Reads without the socket lock give a picture that may be torn, never a crash. */
void tcp_get_info(struct sock *sk, struct tcp_info *info)
{
    const struct inet_connection_sock *icsk = inet_csk(sk);
    const struct tcp_sock *tp = tcp_sk(sk);
    u64 now = tcp_clock_ns(sk);

    memset(info, 0, sizeof(*info));
    info->tcpi_state = sk->sk_state;
    info->tcpi_pacing_rate = sk->sk_pacing_rate;
    info->tcpi_max_pacing_rate = sk->sk_max_pacing_rate;
    info->tcpi_reordering = tp->reordering;
    info->tcpi_snd_cwnd = tcp_snd_cwnd(tp);
    if (sk->sk_state == TCP_LISTEN) { /* these two have another meaning on a listener */
        info->tcpi_unacked = READ_ONCE(sk->sk_ack_backlog);
        info->tcpi_sacked = READ_ONCE(sk->sk_max_ack_backlog);
        return;
    }
    tcp_get_info_send(sk, info);
    info->tcpi_options = tcp_info_options(tp);
    info->tcpi_snd_wscale = tp->rx_opt.wscale_ok ? tp->rx_opt.snd_wscale : 0;
    info->tcpi_rcv_wscale = tp->rx_opt.wscale_ok ? tp->rx_opt.rcv_wscale : 0;
    info->tcpi_ato = (u32)(min(icsk->icsk_ack.ato, tcp_delack_max(sk)) / NSEC_PER_USEC);
    info->tcpi_rcv_mss = icsk->icsk_ack.rcv_mss;
    info->tcpi_last_data_sent = (u32)((now - tp->lsndtime) / NSEC_PER_MSEC);
    info->tcpi_last_data_recv = (u32)((now - icsk->icsk_ack.lrcvtime) / NSEC_PER_MSEC);
    info->tcpi_last_ack_recv = (u32)((now - tp->rcv_tstamp) / NSEC_PER_MSEC);
    info->tcpi_rcv_ssthresh = tp->rcv_ssthresh;
    info->tcpi_advmss = tp->advmss;
    info->tcpi_rcv_rtt = tp->rcv_rtt_est.rtt_us >> 3;
    info->tcpi_rcv_space = tp->rcvq_space.space;
    info->tcpi_bytes_received = tp->bytes_received;
    info->tcpi_segs_in = READ_ONCE(tp->segs_in);
    info->tcpi_data_segs_in = READ_ONCE(tp->data_segs_in);
    info->tcpi_rcv_ooopack = tp->rcv_ooopack;
}

void tcp_get_info_tail(const struct sock *sk, struct tcp_info_tail *t)
{
    const struct tcp_sock *tp = tcp_sk(sk);

    memset(t, 0, sizeof(*t));
    if (sk->sk_state == TCP_LISTEN)
        return;
    t->tcpi_rcv_wnd = tp->rcv_wnd;
    t->tcpi_rehash = tp->timeout_rehash;
    t->tcpi_total_rto = tp->total_rto;
    t->tcpi_total_rto_recoveries = tp->total_rto_recoveries;
    t->tcpi_total_rto_time = tp->total_rto_time;
    if (tp->rto_stamp)
        t->tcpi_total_rto_time += tcp_ms_now(sk) - tp->rto_stamp;
}
