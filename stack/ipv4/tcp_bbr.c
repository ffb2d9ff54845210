/* SPDX-License-Identifier: MIT */
/* BBR congestion control, version 1 (Cardwell et al., "BBR: Congestion-Based Congestion Control", ACM Queue
 * 14(5), 2016; draft-cardwell-iccrg-bbr-congestion-control-00), with Linux's constants.
 *
 * Two estimates make the model: the bottleneck bandwidth (maximum delivery rate over ten round trips) and the
 * propagation delay (minimum RTT over ten seconds). Pacing sends at the bandwidth times a gain, cwnd bounds
 * what is in flight to a multiple of their product. Bandwidths are packets per us << BW_SCALE, gains << 8. */

#include "tcp.h"
#include <linux/inet_diag.h>

#define BW_SCALE 24
#define BW_UNIT (1ull << BW_SCALE)
#define BBR_SCALE 8
#define BBR_UNIT (1u << BBR_SCALE)
#define CYCLE_LEN 8
#define BBR_CYCLE_RAND 7
#define BBR_BW_RTTS (CYCLE_LEN + 2)
#define BBR_MIN_RTT_WIN_MS 10000u
#define BBR_PROBE_RTT_MS 200u
#define BBR_MIN_TSO_RATE 1200000u         /* bit/s: below it, one segment at a time */
#define BBR_PACING_MARGIN_PERCENT 1       /* pace a little under the bandwidth: queues drain */
#define BBR_HIGH_GAIN (BBR_UNIT * 2885 / 1000 + 1) /* 2/ln 2: doubles each round trip */
#define BBR_DRAIN_GAIN (BBR_UNIT * 1000 / 2885)
#define BBR_CWND_GAIN (BBR_UNIT * 2)
#define BBR_CWND_MIN_TARGET 4u
#define BBR_FULL_BW_THRESH (BBR_UNIT * 5 / 4)
#define BBR_FULL_BW_CNT 3
/* long-term (policer) detection */
#define BBR_LT_INTVL_MIN_RTTS 4u
#define BBR_LT_LOSS_THRESH 50u            /* of 256 */
#define BBR_LT_BW_RATIO (BBR_UNIT / 8)
#define BBR_LT_BW_DIFF (4000u / 8)        /* bytes/s */
#define BBR_LT_BW_MAX_RTTS 48u
/* ACK aggregation */
#define BBR_EXTRA_ACKED_WIN_RTTS 5
#define BBR_EXTRA_ACKED_MAX_US 100000u
#define BBR_ACK_EPOCH_RESET (1u << 20)

enum bbr_mode { BBR_STARTUP, BBR_DRAIN, BBR_PROBE_BW, BBR_PROBE_RTT };

static const u16 bbr_pacing_gain[CYCLE_LEN] = {
    BBR_UNIT * 5 / 4, /* probe for more */
    BBR_UNIT * 3 / 4, /* drain what that queued, or yield to others */
    BBR_UNIT, BBR_UNIT, BBR_UNIT, BBR_UNIT, BBR_UNIT, BBR_UNIT,
};

struct bbr {
    u32 min_rtt_us, min_rtt_stamp;  /* ms */
    u32 probe_rtt_done_stamp;       /* ms; 0: not yet draining */
    struct { u32 t, v; } bw[3];     /* windowed maximum; t in round trips */
    u32 rtt_cnt;                    /* round trips */
    u32 next_rtt_delivered;         /* tp->delivered that ends this round trip */
    u64 cycle_mstamp;               /* us, start of this gain phase */
    u32 mode : 2, prev_ca_state : 3, packet_conservation : 1, round_start : 1, idle_restart : 1,
        probe_rtt_round_done : 1, lt_is_sampling : 1, lt_rtt_cnt : 7, lt_use_bw : 1, full_bw_reached : 1,
        full_bw_cnt : 2, cycle_idx : 3, has_seen_rtt : 1;
    u32 lt_bw, lt_last_delivered, lt_last_stamp, lt_last_lost;
    u32 pacing_gain : 10, cwnd_gain : 10, extra_acked_win_rtts : 5, extra_acked_win_idx : 1;
    u32 prior_cwnd;                 /* before recovery or PROBE_RTT */
    u32 full_bw;                    /* bandwidth when the pipe last seemed not yet full */
    u32 ack_epoch_acked;            /* packets acked in this sampling epoch */
    u16 extra_acked[2];             /* most acked beyond expectation */
    u64 ack_epoch_mstamp;           /* us */
};
_Static_assert(sizeof(struct bbr) <= ICSK_CA_PRIV_SIZE, "BBR's state must fit icsk_ca_priv");

static struct bbr *bbr_ca(const struct sock *sk) { return inet_csk_ca(sk); }
static u32 delta_us(u64 later, u64 earlier) { return later > earlier ? (u32)(later - earlier) : 0; }

/* ---- the model's estimates --------------------------------------------------------------------------- */

/* As tcp_min_rtt_update(), but a maximum and in round trips. */
static void bbr_bw_running_max(struct bbr *bbr, u32 now, u32 v)
{
    __auto_type s = bbr->bw;
    u32 age;

    if (v >= s[0].v || now - s[2].t > BBR_BW_RTTS) {
        for (int i = 0; i < 3; i++) {
            s[i].t = now;
            s[i].v = v;
        }
        return;
    }
    for (int i = 1; i < 3; i++)
        if (v >= s[i].v) {
            for (int j = i; j < 3; j++) {
                s[j].t = now;
                s[j].v = v;
            }
            break;
        }
    age = now - s[0].t;
    if (age > BBR_BW_RTTS) {
        for (int i = 0; i < 2 && now - s[0].t > BBR_BW_RTTS; i++) {
            s[0] = s[1];
            s[1] = s[2];
            s[2].t = now;
            s[2].v = v;
        }
    } else if (s[1].t == s[0].t && age > BBR_BW_RTTS / 4) {
        s[1].t = s[2].t = now;
        s[1].v = s[2].v = v;
    } else if (s[2].t == s[1].t && age > BBR_BW_RTTS / 2) {
        s[2].t = now;
        s[2].v = v;
    }
}

static u32 bbr_max_bw(const struct sock *sk) { return bbr_ca(sk)->bw[0].v; }
static u32 bbr_bw(const struct sock *sk) { return bbr_ca(sk)->lt_use_bw ? bbr_ca(sk)->lt_bw : bbr_max_bw(sk); }
static u32 bbr_extra_acked(const struct sock *sk) { return max(bbr_ca(sk)->extra_acked[0], bbr_ca(sk)->extra_acked[1]); }

/* ---- pacing -------------------------------------------------------------------------------------------- */

static u64 bbr_rate_bytes_per_sec(const struct sock *sk, u64 rate, u32 gain)
{
    rate *= tcp_sk(sk)->mss_cache;
    rate *= gain;
    rate >>= BBR_SCALE;
    rate *= USEC_PER_SEC / 100 * (100 - BBR_PACING_MARGIN_PERCENT);
    return rate >> BW_SCALE;
}

static u64 bbr_bw_to_pacing_rate(const struct sock *sk, u32 bw, u32 gain)
{
    return min(bbr_rate_bytes_per_sec(sk, bw, gain), READ_ONCE(sk->sk_max_pacing_rate));
}

/* Before the first delivery sample: the initial window in one RTT. */
static void bbr_init_pacing_rate_from_rtt(struct sock *sk)
{
    const struct tcp_sock *tp = tcp_sk(sk);
    u32 rtt_us = 1000;

    if (tp->srtt_us) {
        rtt_us = max(tp->srtt_us >> 3, 1u);
        bbr_ca(sk)->has_seen_rtt = 1;
    }
    WRITE_ONCE(sk->sk_pacing_rate, bbr_bw_to_pacing_rate(sk, (u32)(tcp_snd_cwnd(tp) * BW_UNIT / rtt_us), BBR_HIGH_GAIN));
}

static void bbr_set_pacing_rate(struct sock *sk, u32 bw, u32 gain)
{
    struct bbr *bbr = bbr_ca(sk);
    u64 rate = bbr_bw_to_pacing_rate(sk, bw, gain);

    if (!bbr->has_seen_rtt && tcp_sk(sk)->srtt_us)
        bbr_init_pacing_rate_from_rtt(sk);
    /* In startup a low first sample may not slow us down. */
    if (bbr->full_bw_reached || rate > READ_ONCE(sk->sk_pacing_rate))
        WRITE_ONCE(sk->sk_pacing_rate, rate);
}

static u32 bbr_min_tso_segs(struct sock *sk) { return READ_ONCE(sk->sk_pacing_rate) < BBR_MIN_TSO_RATE / 8 ? 1 : 2; }

static u32 bbr_tso_segs_goal(struct sock *sk)
{
    u64 bytes = min(READ_ONCE(sk->sk_pacing_rate) >> READ_ONCE(sk->sk_pacing_shift), (u64)GSO_MAX_SIZE - 1 - MAX_TCP_HEADER);
    u32 segs = max((u32)(bytes / tcp_sk(sk)->mss_cache), bbr_min_tso_segs(sk));

    return min(segs, 0x7fu);
}

/* ---- cwnd ------------------------------------------------------------------------------------------------ */

/* The window to come back to after recovery or PROBE_RTT. */
static void bbr_save_cwnd(struct sock *sk)
{
    struct bbr *bbr = bbr_ca(sk);
    u32 cwnd = tcp_snd_cwnd(tcp_sk(sk));

    if (bbr->prev_ca_state < TCP_CA_Recovery && bbr->mode != BBR_PROBE_RTT)
        bbr->prior_cwnd = cwnd;
    else /* in loss already: the larger of the two */
        bbr->prior_cwnd = max(bbr->prior_cwnd, cwnd);
}

static u32 bbr_bdp(const struct sock *sk, u32 bw, u32 gain)
{
    const struct bbr *bbr = bbr_ca(sk);

    if (bbr->min_rtt_us == ~0u) /* no RTT yet (the SYN was retransmitted) */
        return TCP_INIT_CWND;
    return (u32)(((((u64)bw * bbr->min_rtt_us * gain) >> BBR_SCALE) + BW_UNIT - 1) / BW_UNIT);
}

/* Room for large packets at both ends and the middle, and an even number for delayed ACKs. */
static u32 bbr_quantization_budget(struct sock *sk, u32 cwnd)
{
    const struct bbr *bbr = bbr_ca(sk);

    cwnd += 3 * bbr_tso_segs_goal(sk);
    cwnd = (cwnd + 1) & ~1u;
    if (bbr->mode == BBR_PROBE_BW && bbr->cycle_idx == 0) /* or a gain of 5/4 has no effect on a small BDP */
        cwnd += 2;
    return cwnd;
}

static u32 bbr_inflight(struct sock *sk, u32 bw, u32 gain) { return bbr_quantization_budget(sk, bbr_bdp(sk, bw, gain)); }

/* What will be in the network when the next packet may leave: some of it is delivered until then. */
static u32 bbr_packets_in_net_at_edt(struct sock *sk, u32 inflight_now)
{
    const struct tcp_sock *tp = tcp_sk(sk);
    u64 now_ns = tp->tcp_clock_cache, edt_ns = max(tp->tcp_wstamp_ns, now_ns);
    u32 delivered = (u32)(((u64)bbr_bw(sk) * ((edt_ns - now_ns) / NSEC_PER_USEC)) >> BW_SCALE);
    u32 at_edt = inflight_now;

    if (bbr_ca(sk)->pacing_gain > BBR_UNIT)
        at_edt += bbr_tso_segs_goal(sk);
    return delivered >= at_edt ? 0 : at_edt - delivered;
}

/* Room for ACKs that come in lumps. */
static u32 bbr_ack_aggregation_cwnd(struct sock *sk)
{
    if (!bbr_ca(sk)->full_bw_reached)
        return 0;
    return min(bbr_extra_acked(sk), (u32)(((u64)bbr_bw(sk) * BBR_EXTRA_ACKED_MAX_US) >> BW_SCALE));
}

/* Recovery's first round conserves packets, its end restores. True: *new_cwnd is the window. */
static bool bbr_set_cwnd_to_recover_or_restore(struct sock *sk, const struct rate_sample *rs, u32 acked, u32 *new_cwnd)
{
    struct tcp_sock *tp = tcp_sk(sk);
    struct bbr *bbr = bbr_ca(sk);
    u8 prev_state = bbr->prev_ca_state, state = inet_csk(sk)->icsk_ca_state;
    u32 cwnd = tcp_snd_cwnd(tp);

    if (rs->losses > 0)
        cwnd = (u32)max((s32)cwnd - rs->losses, 1);
    if (state == TCP_CA_Recovery && prev_state != TCP_CA_Recovery) {
        bbr->packet_conservation = 1;
        bbr->next_rtt_delivered = tp->delivered; /* a round starts now */
        cwnd = tcp_packets_in_flight(tp) + acked;
    } else if (prev_state >= TCP_CA_Recovery && state < TCP_CA_Recovery) {
        cwnd = max(cwnd, bbr->prior_cwnd);
        bbr->packet_conservation = 0;
    }
    bbr->prev_ca_state = state;
    *new_cwnd = cwnd;
    if (bbr->packet_conservation) {
        *new_cwnd = max(cwnd, tcp_packets_in_flight(tp) + acked);
        return true;
    }
    return false;
}

static void bbr_set_cwnd(struct sock *sk, const struct rate_sample *rs, u32 acked, u32 bw, u32 gain)
{
    struct tcp_sock *tp = tcp_sk(sk);
    struct bbr *bbr = bbr_ca(sk);
    u32 cwnd = tcp_snd_cwnd(tp);

    if (acked && !bbr_set_cwnd_to_recover_or_restore(sk, rs, acked, &cwnd)) {
        u32 target = bbr_quantization_budget(sk, bbr_bdp(sk, bw, gain) + bbr_ack_aggregation_cwnd(sk));

        if (bbr->full_bw_reached) /* the model is good: no more than it says */
            cwnd = min(cwnd + acked, target);
        else if (cwnd < target || tp->delivered < TCP_INIT_CWND)
            cwnd += acked;
        cwnd = max(cwnd, BBR_CWND_MIN_TARGET);
    }
    tcp_snd_cwnd_set(tp, min(cwnd, tp->snd_cwnd_clamp));
    if (bbr->mode == BBR_PROBE_RTT)
        tcp_snd_cwnd_set(tp, min(tcp_snd_cwnd(tp), BBR_CWND_MIN_TARGET));
}

/* ---- the gain cycle ----------------------------------------------------------------------------------------- */

static void bbr_advance_cycle_phase(struct sock *sk)
{
    struct bbr *bbr = bbr_ca(sk);

    bbr->cycle_idx = (bbr->cycle_idx + 1) % CYCLE_LEN;
    bbr->cycle_mstamp = tcp_sk(sk)->delivered_mstamp;
}

static bool bbr_is_next_cycle_phase(struct sock *sk, const struct rate_sample *rs)
{
    const struct bbr *bbr = bbr_ca(sk);
    bool full_length = delta_us(tcp_sk(sk)->delivered_mstamp, bbr->cycle_mstamp) > bbr->min_rtt_us;
    u32 inflight;

    if (bbr->pacing_gain == BBR_UNIT)
        return full_length;
    inflight = bbr_packets_in_net_at_edt(sk, rs->prior_in_flight);
    if (bbr->pacing_gain > BBR_UNIT) /* probe until the extra is in flight, or until it hurts */
        return full_length && (rs->losses || inflight >= bbr_inflight(sk, bbr_max_bw(sk), bbr->pacing_gain));
    return full_length || inflight <= bbr_inflight(sk, bbr_max_bw(sk), BBR_UNIT);
}

/* Begin the cycle in a random phase other than the draining one, so that flows do not probe in step. */
static void bbr_reset_probe_bw_mode(struct sock *sk)
{
    struct bbr *bbr = bbr_ca(sk);

    bbr->mode = BBR_PROBE_BW;
    bbr->cycle_idx = CYCLE_LEN - 1 - net_random_below(sk->sk_net, BBR_CYCLE_RAND);
    bbr_advance_cycle_phase(sk);
}

static void bbr_reset_mode(struct sock *sk)
{
    if (bbr_ca(sk)->full_bw_reached)
        bbr_reset_probe_bw_mode(sk);
    else
        bbr_ca(sk)->mode = BBR_STARTUP;
}

/* ---- long-term bandwidth: a token-bucket policer shows as steady loss at a steady rate --------------------------- */

static void bbr_reset_lt_bw_sampling_interval(struct sock *sk)
{
    const struct tcp_sock *tp = tcp_sk(sk);
    struct bbr *bbr = bbr_ca(sk);

    bbr->lt_last_stamp = (u32)(tp->delivered_mstamp / 1000);
    bbr->lt_last_delivered = tp->delivered;
    bbr->lt_last_lost = tp->lost;
    bbr->lt_rtt_cnt = 0;
}

static void bbr_reset_lt_bw_sampling(struct sock *sk)
{
    struct bbr *bbr = bbr_ca(sk);

    bbr->lt_bw = 0;
    bbr->lt_use_bw = 0;
    bbr->lt_is_sampling = 0;
    bbr_reset_lt_bw_sampling_interval(sk);
}

/* Two intervals in a row with about the same rate: it is a policer's. */
static void bbr_lt_bw_interval_done(struct sock *sk, u32 bw)
{
    struct bbr *bbr = bbr_ca(sk);

    if (bbr->lt_bw) {
        u32 diff = bw > bbr->lt_bw ? bw - bbr->lt_bw : bbr->lt_bw - bw;

        if ((u64)diff * BBR_UNIT <= (u64)BBR_LT_BW_RATIO * bbr->lt_bw ||
            bbr_rate_bytes_per_sec(sk, diff, BBR_UNIT) <= BBR_LT_BW_DIFF) {
            bbr->lt_bw = (u32)(((u64)bw + bbr->lt_bw) >> 1);
            bbr->lt_use_bw = 1;
            bbr->pacing_gain = BBR_UNIT;
            bbr->lt_rtt_cnt = 0;
            return;
        }
    }
    bbr->lt_bw = bw;
    bbr_reset_lt_bw_sampling_interval(sk);
}

static void bbr_lt_bw_sampling(struct sock *sk, const struct rate_sample *rs)
{
    const struct tcp_sock *tp = tcp_sk(sk);
    struct bbr *bbr = bbr_ca(sk);
    u32 lost, delivered, t_ms;

    if (bbr->lt_use_bw) { /* try without it now and then */
        if (bbr->mode == BBR_PROBE_BW && bbr->round_start && ++bbr->lt_rtt_cnt >= BBR_LT_BW_MAX_RTTS) {
            bbr_reset_lt_bw_sampling(sk);
            bbr_reset_probe_bw_mode(sk);
        }
        return;
    }
    if (!bbr->lt_is_sampling) { /* an interval begins with a loss: the bucket is empty */
        if (!rs->losses)
            return;
        bbr_reset_lt_bw_sampling_interval(sk);
        bbr->lt_is_sampling = 1;
    }
    if (rs->is_app_limited) {
        bbr_reset_lt_bw_sampling(sk);
        return;
    }
    if (bbr->round_start)
        bbr->lt_rtt_cnt++;
    if (bbr->lt_rtt_cnt < BBR_LT_INTVL_MIN_RTTS)
        return;
    if (bbr->lt_rtt_cnt > 4 * BBR_LT_INTVL_MIN_RTTS) {
        bbr_reset_lt_bw_sampling(sk);
        return;
    }
    if (!rs->losses) /* and ends with one */
        return;
    lost = tp->lost - bbr->lt_last_lost;
    delivered = tp->delivered - bbr->lt_last_delivered;
    if (!delivered || (u64)lost << BBR_SCALE < (u64)BBR_LT_LOSS_THRESH * delivered)
        return;
    t_ms = (u32)(tp->delivered_mstamp / 1000) - bbr->lt_last_stamp;
    if ((s32)t_ms < 1)
        return;
    if (t_ms >= ~0u / 1000) {
        bbr_reset_lt_bw_sampling(sk);
        return;
    }
    bbr_lt_bw_interval_done(sk, (u32)((u64)delivered * BW_UNIT / (t_ms * 1000ull)));
}

/* ---- the model, ACK by ACK ---------------------------------------------------------------------------------------- */

static void bbr_update_bw(struct sock *sk, const struct rate_sample *rs)
{
    struct bbr *bbr = bbr_ca(sk);
    u64 bw;

    bbr->round_start = 0;
    if (rs->delivered < 0 || rs->interval_us <= 0)
        return;
    if (!before(rs->prior_delivered, bbr->next_rtt_delivered)) {
        bbr->next_rtt_delivered = tcp_sk(sk)->delivered;
        bbr->rtt_cnt++;
        bbr->round_start = 1;
        bbr->packet_conservation = 0;
    }
    bbr_lt_bw_sampling(sk, rs);
    bw = (u64)rs->delivered * BW_UNIT / (u64)rs->interval_us;
    if (!rs->is_app_limited || bw >= bbr_max_bw(sk))
        bbr_bw_running_max(bbr, bbr->rtt_cnt, (u32)min(bw, (u64)UINT32_MAX));
}

/* How much more is acknowledged at once than the bandwidth explains. */
static void bbr_update_ack_aggregation(struct sock *sk, const struct rate_sample *rs)
{
    struct tcp_sock *tp = tcp_sk(sk);
    struct bbr *bbr = bbr_ca(sk);
    u32 expected, extra;

    if (!rs->acked_sacked || rs->delivered < 0 || rs->interval_us <= 0)
        return;
    if (bbr->round_start) {
        bbr->extra_acked_win_rtts = min(0x1fu, bbr->extra_acked_win_rtts + 1u);
        if (bbr->extra_acked_win_rtts >= BBR_EXTRA_ACKED_WIN_RTTS) {
            bbr->extra_acked_win_rtts = 0;
            bbr->extra_acked_win_idx = !bbr->extra_acked_win_idx;
            bbr->extra_acked[bbr->extra_acked_win_idx] = 0;
        }
    }
    expected = (u32)(((u64)bbr_bw(sk) * delta_us(tp->delivered_mstamp, bbr->ack_epoch_mstamp)) >> BW_SCALE);
    if (bbr->ack_epoch_acked <= expected || bbr->ack_epoch_acked + rs->acked_sacked >= BBR_ACK_EPOCH_RESET) {
        bbr->ack_epoch_acked = 0; /* no aggregation: a new epoch */
        bbr->ack_epoch_mstamp = tp->delivered_mstamp;
        expected = 0;
    }
    bbr->ack_epoch_acked = min(0xfffffu, bbr->ack_epoch_acked + rs->acked_sacked);
    extra = min(bbr->ack_epoch_acked - expected, tcp_snd_cwnd(tp));
    if (extra > bbr->extra_acked[bbr->extra_acked_win_idx])
        bbr->extra_acked[bbr->extra_acked_win_idx] = (u16)min(extra, 0xffffu);
}

/* Three round trips without a quarter more bandwidth: the pipe is full. */
static void bbr_check_full_bw_reached(struct sock *sk, const struct rate_sample *rs)
{
    struct bbr *bbr = bbr_ca(sk);

    if (bbr->full_bw_reached || !bbr->round_start || rs->is_app_limited)
        return;
    if (bbr_max_bw(sk) >= (u32)(((u64)bbr->full_bw * BBR_FULL_BW_THRESH) >> BBR_SCALE)) {
        bbr->full_bw = bbr_max_bw(sk);
        bbr->full_bw_cnt = 0;
        return;
    }
    bbr->full_bw_cnt++;
    bbr->full_bw_reached = bbr->full_bw_cnt >= BBR_FULL_BW_CNT;
}

static void bbr_check_drain(struct sock *sk)
{
    struct bbr *bbr = bbr_ca(sk);

    if (bbr->mode == BBR_STARTUP && bbr->full_bw_reached) {
        bbr->mode = BBR_DRAIN;
        tcp_sk(sk)->snd_ssthresh = bbr_inflight(sk, bbr_max_bw(sk), BBR_UNIT);
    }
    if (bbr->mode == BBR_DRAIN &&
        bbr_packets_in_net_at_edt(sk, tcp_packets_in_flight(tcp_sk(sk))) <= bbr_inflight(sk, bbr_max_bw(sk), BBR_UNIT))
        bbr_reset_probe_bw_mode(sk);
}

static void bbr_check_probe_rtt_done(struct sock *sk)
{
    struct tcp_sock *tp = tcp_sk(sk);
    struct bbr *bbr = bbr_ca(sk);
    u32 now = tcp_ms_now(sk);

    if (!bbr->probe_rtt_done_stamp || !after(now, bbr->probe_rtt_done_stamp))
        return;
    bbr->min_rtt_stamp = now;
    tcp_snd_cwnd_set(tp, max(tcp_snd_cwnd(tp), bbr->prior_cwnd));
    bbr_reset_mode(sk);
}

/* Ten seconds without a new minimum: empty the pipe for 200 ms and a round trip, to see the path's own delay. */
static void bbr_update_min_rtt(struct sock *sk, const struct rate_sample *rs)
{
    struct tcp_sock *tp = tcp_sk(sk);
    struct bbr *bbr = bbr_ca(sk);
    u32 now = tcp_ms_now(sk);
    bool expired = after(now, bbr->min_rtt_stamp + BBR_MIN_RTT_WIN_MS);

    if (rs->rtt_us >= 0 && (rs->rtt_us < (long)bbr->min_rtt_us || (expired && !rs->is_ack_delayed))) {
        bbr->min_rtt_us = (u32)rs->rtt_us;
        bbr->min_rtt_stamp = now;
    }
    if (expired && !bbr->idle_restart && bbr->mode != BBR_PROBE_RTT) {
        bbr_save_cwnd(sk);
        bbr->mode = BBR_PROBE_RTT;
        bbr->probe_rtt_done_stamp = 0;
    }
    if (bbr->mode == BBR_PROBE_RTT) {
        u32 in_flight = tcp_packets_in_flight(tp);

        tp->app_limited = tp->delivered + in_flight ? tp->delivered + in_flight : 1; /* low rates now are ours */
        if (!bbr->probe_rtt_done_stamp && in_flight <= BBR_CWND_MIN_TARGET) {
            bbr->probe_rtt_done_stamp = now + BBR_PROBE_RTT_MS ? now + BBR_PROBE_RTT_MS : 1;
            bbr->probe_rtt_round_done = 0;
            bbr->next_rtt_delivered = tp->delivered;
        } else if (bbr->probe_rtt_done_stamp) {
            if (bbr->round_start)
                bbr->probe_rtt_round_done = 1;
            if (bbr->probe_rtt_round_done)
                bbr_check_probe_rtt_done(sk);
        }
    }
    if (rs->delivered > 0)
        bbr->idle_restart = 0;
}

static void bbr_update_gains(struct sock *sk)
{
    struct bbr *bbr = bbr_ca(sk);

    switch (bbr->mode) {
    case BBR_STARTUP:
        bbr->pacing_gain = BBR_HIGH_GAIN;
        bbr->cwnd_gain = BBR_HIGH_GAIN;
        break;
    case BBR_DRAIN:
        bbr->pacing_gain = BBR_DRAIN_GAIN;
        bbr->cwnd_gain = BBR_HIGH_GAIN;
        break;
    case BBR_PROBE_BW:
        bbr->pacing_gain = bbr->lt_use_bw ? BBR_UNIT : bbr_pacing_gain[bbr->cycle_idx];
        bbr->cwnd_gain = BBR_CWND_GAIN;
        break;
    case BBR_PROBE_RTT:
        bbr->pacing_gain = BBR_UNIT;
        bbr->cwnd_gain = BBR_UNIT;
        break;
    }
}

static void bbr_main(struct sock *sk, u32 ack, int flag, const struct rate_sample *rs)
{
    struct bbr *bbr = bbr_ca(sk);
    u32 bw;

    bbr_update_bw(sk, rs);
    bbr_update_ack_aggregation(sk, rs);
    if (bbr->mode == BBR_PROBE_BW && bbr_is_next_cycle_phase(sk, rs))
        bbr_advance_cycle_phase(sk);
    bbr_check_full_bw_reached(sk, rs);
    bbr_check_drain(sk);
    bbr_update_min_rtt(sk, rs);
    bbr_update_gains(sk);

    bw = bbr_bw(sk);
    bbr_set_pacing_rate(sk, bw, bbr->pacing_gain);
    bbr_set_cwnd(sk, rs, rs->acked_sacked, bw, bbr->cwnd_gain);
}

/* ---- call-backs ------------------------------------------------------------------------------------------------------ */

static void bbr_init(struct sock *sk)
{
    struct tcp_sock *tp = tcp_sk(sk);
    struct bbr *bbr = bbr_ca(sk);

    memset(bbr, 0, sizeof(*bbr));
    tp->snd_ssthresh = TCP_INFINITE_SSTHRESH;
    bbr->next_rtt_delivered = tp->delivered;
    bbr->prev_ca_state = TCP_CA_Open;
    bbr->min_rtt_us = tcp_min_rtt(tp);
    bbr->min_rtt_stamp = tcp_ms_now(sk);
    bbr_init_pacing_rate_from_rtt(sk);
    bbr_reset_lt_bw_sampling(sk);
    bbr->mode = BBR_STARTUP;
    bbr->pacing_gain = BBR_HIGH_GAIN;
    bbr->cwnd_gain = BBR_HIGH_GAIN;
    bbr->ack_epoch_mstamp = tp->tcp_mstamp;
    /* Without fq at the device the socket paces itself. */
    if (sk->sk_pacing_status == SK_PACING_NONE)
        sk->sk_pacing_status = SK_PACING_NEEDED;
}

static void bbr_cwnd_event(struct sock *sk, enum tcp_ca_event event)
{
    struct tcp_sock *tp = tcp_sk(sk);
    struct bbr *bbr = bbr_ca(sk);

    if (event != CA_EVENT_TX_START || !tp->app_limited)
        return;
    bbr->idle_restart = 1;
    bbr->ack_epoch_mstamp = tp->tcp_mstamp;
    bbr->ack_epoch_acked = 0;
    if (bbr->mode == BBR_PROBE_BW) /* after idle, at the bandwidth and not above: no queue from nothing */
        bbr_set_pacing_rate(sk, bbr_bw(sk), BBR_UNIT);
    else if (bbr->mode == BBR_PROBE_RTT)
        bbr_check_probe_rtt_done(sk);
}

static u32 bbr_sndbuf_expand(struct sock *sk) { return 3; } /* recovery needs more than the usual 2 windows */

static u32 bbr_undo_cwnd(struct sock *sk)
{
    struct bbr *bbr = bbr_ca(sk);

    bbr->full_bw = 0; /* the loss was none: the pipe may not be full */
    bbr->full_bw_cnt = 0;
    bbr_reset_lt_bw_sampling(sk);
    return tcp_snd_cwnd(tcp_sk(sk));
}

static u32 bbr_ssthresh(struct sock *sk)
{
    bbr_save_cwnd(sk);
    return tcp_sk(sk)->snd_ssthresh;
}

static void bbr_set_state(struct sock *sk, u8 new_state)
{
    struct bbr *bbr = bbr_ca(sk);

    if (new_state == TCP_CA_Loss) {
        struct rate_sample rs = { .losses = 1 };

        bbr->prev_ca_state = TCP_CA_Loss;
        bbr->full_bw = 0;
        bbr->round_start = 1; /* an RTO ends a round */
        bbr_lt_bw_sampling(sk, &rs);
    }
}

/* TCP_CC_INFO: fills union tcp_cc_info, returns its length, 0 when not asked for. */
static size_t bbr_get_info(struct sock *sk, u32 ext, int *attr, void *info)
{
    const struct bbr *bbr = bbr_ca(sk);
    union tcp_cc_info *cc = info;
    u64 bw;

    if (!(ext & (1u << (INET_DIAG_BBRINFO - 1))) && !(ext & (1u << (INET_DIAG_VEGASINFO - 1))))
        return 0;
    bw = (u64)bbr_bw(sk) * tcp_sk(sk)->mss_cache * USEC_PER_SEC >> BW_SCALE;
    memset(&cc->bbr, 0, sizeof(cc->bbr));
    cc->bbr.bbr_bw_lo = (u32)bw;
    cc->bbr.bbr_bw_hi = (u32)(bw >> 32);
    cc->bbr.bbr_min_rtt = bbr->min_rtt_us;
    cc->bbr.bbr_pacing_gain = bbr->pacing_gain;
    cc->bbr.bbr_cwnd_gain = bbr->cwnd_gain;
    *attr = INET_DIAG_BBRINFO;
    return sizeof(cc->bbr);
}

const struct tcp_congestion_ops tcp_bbr = {
    .name = "bbr",
    .init = bbr_init,
    .cong_control = bbr_main,
    .sndbuf_expand = bbr_sndbuf_expand,
    .undo_cwnd = bbr_undo_cwnd,
    .cwnd_event = bbr_cwnd_event,
    .ssthresh = bbr_ssthresh,
    .min_tso_segs = bbr_min_tso_segs,
    .get_info = bbr_get_info,
    .set_state = bbr_set_state,
};
