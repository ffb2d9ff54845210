/* SPDX-License-Identifier: MIT */
/* CUBIC (RFC 9438) with HyStart or HyStart++ (RFC 9406, tcp_hystart.c), with Linux's constants and units.
 *
 * W(t) = C (t - K)^3 + W_max: the window as a function of the time since the last reduction, flat around the
 * window where the loss was. Windows are in packets, times within the cubic in 1/1024 s, fractions in 1/1024. */

#include "tcp.h"
#include "tcp_hystart.h"

#define BETA 717u               /* multiplicative decrease, 0.7 */
#define BETA_ONE 1024u
#define C_SCALED 410u           /* C = 0.4, in 1/1024 */
#define CUBIC_SHIFT 40          /* C's 10 bits and the time's 10, three times */
#define CUBIC_DELTA_MAX (1u << 24) /* far above any window: after hours the cubic would overflow */
#define EPOCH_MIN_GAP_MS 31     /* at least this long between two evaluations at an unchanged window */
#define HYSTART_LOW_WINDOW 16u
#define HYSTART_MIN_SAMPLES 8
#define HYSTART_ACK_DELTA_US 2000 /* ACKs closer than this form a train */
#define HYSTART_DELAY_MIN_US 4000u
#define HYSTART_DELAY_MAX_US 16000u

struct bictcp {
    u32 cnt;             /* acknowledged packets for one packet more */
    u32 last_max_cwnd;   /* W_max */
    u32 last_cwnd;       /* at the last evaluation */
    u32 last_time;       /* of the last evaluation, ms */
    u32 bic_origin_point;/* the plateau */
    u32 bic_K;           /* time to the plateau, 1/1024 s */
    u32 delay_min;       /* least RTT, us */
    u32 epoch_start;     /* ms; 0: no epoch yet */
    u32 ack_cnt;         /* since the epoch's start */
    u32 tcp_cwnd;        /* W_est: the window of a Reno flow in our place */
    u8 sample_cnt;       /* RTT samples of this round */
    u8 found;            /* HyStart has ended slow start */
    u32 round_start;     /* us */
    u32 end_seq;         /* the round ends when this is acknowledged */
    u32 last_ack;        /* us, last ACK of the train */
    u32 curr_rtt;        /* least RTT of this round, us */
    struct hystartpp pp; /* in place of the four before, with HyStart++ */
};
_Static_assert(sizeof(struct bictcp) <= ICSK_CA_PRIV_SIZE, "CUBIC's state must fit icsk_ca_priv");

static u32 cubic_now_us(const struct sock *sk) { return (u32)tcp_sk(sk)->tcp_mstamp; }

/* 0 means "no epoch" in epoch_start. */
static u32 cubic_now_ms(const struct sock *sk)
{
    u32 now = tcp_ms_now(sk);
    return now ? now : 1;
}

/* The integer cube root, bit by bit: at most 22 steps, once an epoch. */
static u32 cubic_root(u64 a)
{
    u64 root = 0;

    for (int bit = 21; bit >= 0; bit--) {
        u64 r = root | (1ull << bit);
        if ((unsigned __int128)r * r * r <= a)
            root = r;
    }
    return (u32)root;
}

static void bictcp_reset(struct bictcp *ca) { memset(ca, 0, offsetof(struct bictcp, round_start)); }

static void bictcp_hystart_reset(struct sock *sk)
{
    struct bictcp *ca = inet_csk_ca(sk);

    ca->round_start = ca->last_ack = cubic_now_us(sk);
    ca->end_seq = tcp_sk(sk)->snd_nxt;
    ca->curr_rtt = ~0u;
    ca->sample_cnt = 0;
}

static void cubic_hystart_begin(struct sock *sk)
{
    bictcp_hystart_reset(sk);
    hystartpp_reset(&((struct bictcp *)inet_csk_ca(sk))->pp, tcp_sk(sk)->snd_nxt);
}

static void cubictcp_init(struct sock *sk)
{
    bictcp_reset(inet_csk_ca(sk));
    cubic_hystart_begin(sk);
}

/* After an idle time the epoch moves along: the curve is one of time spent sending (RFC 9438 5.8). */
static void cubictcp_cwnd_event(struct sock *sk, enum tcp_ca_event event)
{
    struct bictcp *ca = inet_csk_ca(sk);
    u32 now, idle;

    if (event != CA_EVENT_TX_START)
        return;
    now = cubic_now_ms(sk);
    idle = now - (u32)(tcp_sk(sk)->lsndtime / NSEC_PER_MSEC);
    if (ca->epoch_start && (s32)idle > 0) {
        ca->epoch_start += idle;
        if (after(ca->epoch_start, now))
            ca->epoch_start = now;
        if (!ca->epoch_start)
            ca->epoch_start = 1;
    }
}

/* W_cubic one RTT from now. */
static u32 cubic_target(const struct bictcp *ca, u32 now_ms)
{
    u64 t = ((u64)(now_ms - ca->epoch_start) + ca->delay_min / 1000) * 1024 / 1000;
    u64 offs = t < ca->bic_K ? ca->bic_K - t : t - ca->bic_K;
    u32 delta = (u32)min((unsigned __int128)CUBIC_DELTA_MAX,
                         ((unsigned __int128)C_SCALED * offs * offs * offs) >> CUBIC_SHIFT);

    if (t >= ca->bic_K)
        return ca->bic_origin_point + delta;
    return ca->bic_origin_point > delta ? ca->bic_origin_point - delta : 0;
}

/* RFC 9438 4.3, the Reno-friendly region: never slower than a Reno flow with this decrease would be. */
static void cubic_reno_friendly(struct bictcp *ca, u32 cwnd)
{
    const u32 scale = 8 * (BETA_ONE + BETA) / 3 / (BETA_ONE - BETA); /* 8 / alpha */
    u32 per_packet = (cwnd * scale) >> 3;

    while (ca->ack_cnt > per_packet) {
        ca->ack_cnt -= per_packet;
        ca->tcp_cwnd++;
    }
    if (ca->tcp_cwnd > cwnd)
        ca->cnt = min(ca->cnt, cwnd / (ca->tcp_cwnd - cwnd));
}

/* Evaluate the curve into ca->cnt. */
static void bictcp_update(struct bictcp *ca, u32 cwnd, u32 acked, u32 now)
{
    ca->ack_cnt += acked;
    if (ca->last_cwnd == cwnd && (s32)(now - ca->last_time) <= EPOCH_MIN_GAP_MS)
        return;
    if (!ca->epoch_start || now != ca->last_time) { /* once a ms is enough for the cubic */
        u32 target;

        ca->last_cwnd = cwnd;
        ca->last_time = now;
        if (!ca->epoch_start) {
            ca->epoch_start = now;
            ca->ack_cnt = acked;
            ca->tcp_cwnd = cwnd;
            if (ca->last_max_cwnd <= cwnd) {
                ca->bic_K = 0;
                ca->bic_origin_point = cwnd;
            } else {
                ca->bic_K = cubic_root(((1ull << CUBIC_SHIFT) / C_SCALED) * (ca->last_max_cwnd - cwnd));
                ca->bic_origin_point = ca->last_max_cwnd;
            }
        }
        target = cubic_target(ca, now);
        ca->cnt = target > cwnd ? cwnd / (target - cwnd) : 100 * cwnd;
        if (!ca->last_max_cwnd && ca->cnt > 20) /* no loss yet: at least 5 % a round trip */
            ca->cnt = 20;
    }
    cubic_reno_friendly(ca, cwnd);
    ca->cnt = max(ca->cnt, 2u); /* at most 1.5 times in a round trip */
}

static void cubictcp_cong_avoid(struct sock *sk, u32 ack, u32 acked)
{
    struct tcp_sock *tp = tcp_sk(sk);
    struct bictcp *ca = inet_csk_ca(sk);

    if (!tcp_is_cwnd_limited(sk))
        return;
    if (tcp_in_slow_start(tp)) {
        /* Only the first slow start is HyStart++'s (RFC 9406 4.2). */
        if (sk->sk_net->ipv4.sysctl_tcp_hystart == TCP_HYSTART_PP && !ca->found && tcp_in_initial_slowstart(tp))
            acked = hystartpp_growth(&ca->pp, acked);
        acked = tcp_slow_start(tp, acked);
        if (!acked)
            return;
    }
    bictcp_update(ca, tcp_snd_cwnd(tp), acked, cubic_now_ms(sk));
    tcp_cong_avoid_ai(tp, ca->cnt, acked);
}

/* RFC 9438 4.6 and 4.7 (fast convergence: a flow that lost earlier than last time leaves room to newcomers). */
static u32 cubictcp_recalc_ssthresh(struct sock *sk)
{
    struct bictcp *ca = inet_csk_ca(sk);
    u32 cwnd = tcp_snd_cwnd(tcp_sk(sk));

    ca->epoch_start = 0;
    ca->last_max_cwnd = cwnd < ca->last_max_cwnd ? (u32)((u64)cwnd * (BETA_ONE + BETA) / (2 * BETA_ONE)) : cwnd;
    return max((u32)((u64)cwnd * BETA / BETA_ONE), 2u);
}

static void cubictcp_state(struct sock *sk, u8 new_state)
{
    if (new_state == TCP_CA_Loss) {
        bictcp_reset(inet_csk_ca(sk));
        cubic_hystart_begin(sk);
    }
}

/* ---- HyStart: leave slow start before the queue overflows ------------------------------------------------- */

/* Time that our own pacing of a few large packets adds to a train of ACKs. */
static u32 hystart_ack_delay(const struct sock *sk)
{
    u64 rate = READ_ONCE(sk->sk_pacing_rate);

    if (!rate)
        return 0;
    return (u32)min((u64)1000, (u64)sk->sk_gso_max_size * 4 * USEC_PER_SEC / rate);
}

static void hystart_end(struct sock *sk, struct bictcp *ca, enum linux_mib mib)
{
    struct tcp_sock *tp = tcp_sk(sk);

    ca->found = 1;
    NET_INC_STATS(sk->sk_net, mib);
    tp->snd_ssthresh = tcp_snd_cwnd(tp);
}

static void hystart_update(struct sock *sk, u32 delay)
{
    struct tcp_sock *tp = tcp_sk(sk);
    struct bictcp *ca = inet_csk_ca(sk);
    u32 now = cubic_now_us(sk);

    if (after(tp->snd_una, ca->end_seq))
        bictcp_hystart_reset(sk);

    /* A train of close ACKs as long as the path's delay: the pipe is full. */
    if ((s32)(now - ca->last_ack) <= HYSTART_ACK_DELTA_US) {
        u32 threshold = ca->delay_min + hystart_ack_delay(sk);

        ca->last_ack = now;
        if (sk->sk_pacing_status == SK_PACING_NONE)
            threshold >>= 1; /* unpaced, the train starts at half the round trip */
        if ((s32)(now - ca->round_start) > (s32)threshold) {
            hystart_end(sk, ca, LINUX_MIB_TCPHYSTARTTRAINDETECT);
            return;
        }
    }
    /* The first RTTs of a round have grown by an eighth: a queue is building up. */
    ca->curr_rtt = min(ca->curr_rtt, delay);
    if (ca->sample_cnt < HYSTART_MIN_SAMPLES)
        ca->sample_cnt++;
    else if (ca->curr_rtt > ca->delay_min + clamp(ca->delay_min >> 3, HYSTART_DELAY_MIN_US, HYSTART_DELAY_MAX_US))
        hystart_end(sk, ca, LINUX_MIB_TCPHYSTARTDELAYDETECT);
}

static void cubictcp_acked(struct sock *sk, const struct ack_sample *sample)
{
    const struct tcp_sock *tp = tcp_sk(sk);
    struct bictcp *ca = inet_csk_ca(sk);
    u32 delay;

    if (sample->rtt_us < 0)
        return;
    /* Right after a recovery the RTT has its retransmissions in it. */
    if (ca->epoch_start && (s32)(cubic_now_ms(sk) - ca->epoch_start) < 1000)
        return;
    delay = sample->rtt_us ? (u32)sample->rtt_us : 1;
    if (!ca->delay_min || ca->delay_min > delay)
        ca->delay_min = delay;
    if (ca->found || !tcp_in_slow_start(tp))
        return;
    if (sk->sk_net->ipv4.sysctl_tcp_hystart == TCP_HYSTART_PP) {
        if (tcp_in_initial_slowstart(tp) && hystartpp_acked(&ca->pp, tp->snd_una, tp->snd_nxt, delay))
            hystart_end(sk, ca, LINUX_MIB_TCPHYSTARTDELAYDETECT);
    } else if (sk->sk_net->ipv4.sysctl_tcp_hystart && tcp_snd_cwnd(tp) >= HYSTART_LOW_WINDOW) {
        hystart_update(sk, delay);
    }
}

const struct tcp_congestion_ops tcp_cubic = {
    .name = "cubic",
    .init = cubictcp_init,
    .ssthresh = cubictcp_recalc_ssthresh,
    .cong_avoid = cubictcp_cong_avoid,
    .set_state = cubictcp_state,
    .undo_cwnd = tcp_reno_undo_cwnd,
    .cwnd_event = cubictcp_cwnd_event,
    .pkts_acked = cubictcp_acked,
};
