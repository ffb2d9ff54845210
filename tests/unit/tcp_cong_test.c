/* SPDX-License-Identifier: MIT */
/* Congestion control and the estimators alone, on a socket that is connected to nothing. */

#include "../../stack/ipv4/tcp.h"
#include <criterion/criterion.h>

static struct net net;
static struct tcp_sock *tp;
static struct sock *sk;

static void set_up(void)
{
    memset(&net, 0, sizeof(net));
    net.now = 1000 * NSEC_PER_SEC;
    snprintf(net.ipv4.sysctl_tcp_congestion_control, sizeof(net.ipv4.sysctl_tcp_congestion_control), "cubic");
    tp = calloc(1, sizeof(*tp));
    sk = (struct sock *)tp;
    sk->sk_net = &net;
    sk->sk_state = TCP_ESTABLISHED;
    tp->snd_cwnd = 10;
    tp->snd_cwnd_clamp = ~0u;
    tp->snd_ssthresh = TCP_INFINITE_SSTHRESH;
    tp->mss_cache = 1000;
    tp->is_cwnd_limited = 1;
    for (int i = 0; i < 3; i++)
        tp->rtt_min.s[i].v = ~0u;
    tcp_assign_congestion_control(sk);
}
static void tear_down(void) { free(tp); }

TestSuite(cong, .init = set_up, .fini = tear_down);

static void pass(u64 ms)
{
    net.now += ms * NSEC_PER_MSEC;
    tcp_mstamp_refresh(tp);
}

Test(cong, unknown_default_falls_back_to_reno)
{
    strcpy(net.ipv4.sysctl_tcp_congestion_control, "nosuch");
    tcp_assign_congestion_control(sk);
    cr_assert_str_eq(inet_csk(sk)->icsk_ca_ops->name, "reno");
    cr_assert_null(tcp_ca_find("nosuch"));
    cr_assert_eq(tcp_set_congestion_control(sk, "nosuch"), -ENOENT);
    cr_assert_eq(tcp_set_congestion_control(sk, "bbr"), 0);
    cr_assert_str_eq(inet_csk(sk)->icsk_ca_ops->name, "bbr");
}

Test(cong, slow_start_stops_at_ssthresh_and_returns_the_rest)
{
    tp->snd_ssthresh = 15;
    cr_assert_eq(tcp_slow_start(tp, 3), 0);
    cr_assert_eq(tp->snd_cwnd, 13);
    cr_assert_eq(tcp_slow_start(tp, 10), 8);
    cr_assert_eq(tp->snd_cwnd, 15);
}

Test(cong, slow_start_respects_the_clamp)
{
    tp->snd_cwnd_clamp = 12;
    tcp_slow_start(tp, 10);
    cr_assert_eq(tp->snd_cwnd, 12);
}

Test(cong, additive_increase_is_one_in_w)
{
    for (int i = 0; i < 9; i++)
        tcp_cong_avoid_ai(tp, 10, 1);
    cr_assert_eq(tp->snd_cwnd, 10);
    tcp_cong_avoid_ai(tp, 10, 1);
    cr_assert_eq(tp->snd_cwnd, 11);
    tcp_cong_avoid_ai(tp, 10, 35);
    cr_assert_eq(tp->snd_cwnd, 14);
    cr_assert_eq(tp->snd_cwnd_cnt, 5);
}

Test(cong, reno_halves_but_not_below_two)
{
    tp->snd_cwnd = 21;
    cr_assert_eq(tcp_reno_ssthresh(sk), 10);
    tp->snd_cwnd = 1;
    cr_assert_eq(tcp_reno_ssthresh(sk), 2);
    tp->prior_cwnd = 30;
    cr_assert_eq(tcp_reno_undo_cwnd(sk), 30);
}

Test(cong, window_that_is_not_used_does_not_grow)
{
    tp->is_cwnd_limited = 0;
    tp->snd_ssthresh = 5;
    for (int i = 0; i < 100; i++)
        tcp_reno_cong_avoid(sk, 0, 10);
    cr_assert_eq(tp->snd_cwnd, 10);
}

/* RFC 9438: after a loss at W the window is 0.7 W, and W again after K = cbrt(0.3 W / 0.4) seconds. */
Test(cong, cubic_follows_the_curve)
{
    const struct tcp_congestion_ops *ca = &tcp_cubic;
    const u32 rtt_ms = 100;
    u32 at_k = 0;

    pass(1);
    tcp_init_congestion_control(sk);
    tp->snd_cwnd = 1000;
    tp->snd_ssthresh = ca->ssthresh(sk);
    cr_assert_eq(tp->snd_ssthresh, 700);
    tp->snd_cwnd = 700;
    for (u32 t = 0; t < 20000; t += rtt_ms) { /* K is 9.09 s */
        struct ack_sample s = { .pkts_acked = 2, .rtt_us = (s32)rtt_ms * 1000 };

        for (u32 i = 0, n = tp->snd_cwnd / 2; i < n; i++) {
            ca->pkts_acked(sk, &s);
            ca->cong_avoid(sk, 0, 2);
        }
        pass(rtt_ms);
        if (t >= 9000 && !at_k)
            at_k = tp->snd_cwnd;
    }
    cr_assert(at_k >= 980 && at_k <= 1010, "at K the window is %u", at_k);
    /* 10.9 s behind K: 0.4 * 10.9^3 = 518 above */
    cr_assert(tp->snd_cwnd >= 1400 && tp->snd_cwnd <= 1580, "at 20 s the window is %u", tp->snd_cwnd);
}

Test(cong, cubic_is_no_slower_than_reno_on_short_paths)
{
    const struct tcp_congestion_ops *ca = &tcp_cubic;

    pass(1);
    tcp_init_congestion_control(sk);
    tp->snd_cwnd = 20;
    tp->snd_ssthresh = ca->ssthresh(sk);
    tp->snd_cwnd = 14;
    for (int round = 0; round < 60; round++) { /* 60 ms: the cubic alone is flat */
        for (u32 i = 0, n = tp->snd_cwnd; i < n; i++)
            ca->cong_avoid(sk, 0, 1);
        pass(1);
    }
    /* alpha = 3 (1 - 0.7) / (1 + 0.7) = 0.53 a round trip */
    cr_assert(tp->snd_cwnd >= 14 + 20 && tp->snd_cwnd <= 14 + 40, "the window is %u", tp->snd_cwnd);
}

Test(cong, cubic_fast_convergence_remembers_less)
{
    pass(1);
    tcp_init_congestion_control(sk);
    tp->snd_cwnd = 100;
    tcp_cubic.ssthresh(sk);
    tp->snd_cwnd = 80; /* lost earlier than last time */
    cr_assert_eq(tcp_cubic.ssthresh(sk), 56);
    cr_assert_eq(((u32 *)inet_csk_ca(sk))[1], 80 * (1024 + 717) / 2048); /* last_max_cwnd */
}

/* Grow for ms of acknowledgements, one round trip of 100 ms after the other, in congestion avoidance. */
static void grow(u32 ms)
{
    struct ack_sample s = {.pkts_acked = 1, .rtt_us = 100000};

    for (; ms; ms -= 100) {
        for (u32 i = 0, n = tp->snd_cwnd; i < n; i++) {
            tcp_cubic.pkts_acked(sk, &s);
            tcp_cubic.cong_avoid(sk, 0, 1);
        }
        pass(100);
    }
}

Test(cong, cubic_does_not_count_the_time_that_the_program_was_idle)
{
    u32 after_idle;

    pass(1);
    tcp_init_congestion_control(sk);
    tp->snd_cwnd = 1000;
    tp->snd_ssthresh = tcp_cubic.ssthresh(sk);
    tp->snd_cwnd = 700;
    grow(2000);
    tp->lsndtime = net.now;
    pass(20000); /* the curve would be far beyond K */
    tcp_cubic.cwnd_event(sk, CA_EVENT_TX_START);
    after_idle = tp->snd_cwnd;
    grow(300);
    cr_assert_lt(tp->snd_cwnd, after_idle + 50, "%u after %u", tp->snd_cwnd, after_idle);
}

Test(cong, cubic_round_trips_right_after_a_reduction_are_not_taken)
{
    struct ack_sample s = {.pkts_acked = 1, .rtt_us = 100000};
    const u32 *delay_min = (const u32 *)inet_csk_ca(sk) + 6;

    pass(1);
    tcp_init_congestion_control(sk);
    tcp_cubic.pkts_acked(sk, &s);
    cr_assert_eq(*delay_min, 100000);
    tp->snd_ssthresh = 5; /* an epoch begins */
    tcp_cubic.cong_avoid(sk, 0, 1);
    pass(900);
    s.rtt_us = 50000;
    tcp_cubic.pkts_acked(sk, &s);
    cr_assert_eq(*delay_min, 100000);
    pass(200);
    tcp_cubic.pkts_acked(sk, &s);
    cr_assert_eq(*delay_min, 50000);
}

Test(cong, cubic_forgets_the_curve_after_a_timeout)
{
    pass(1);
    tcp_init_congestion_control(sk);
    tp->snd_cwnd = 100;
    tcp_cubic.ssthresh(sk);
    cr_assert_eq(((u32 *)inet_csk_ca(sk))[1], 100); /* last_max_cwnd */
    tcp_cubic.set_state(sk, TCP_CA_Loss);
    cr_assert_eq(((u32 *)inet_csk_ca(sk))[1], 0);
}

Test(cong, cubic_before_any_loss_grows_by_a_twentieth_a_round_at_least)
{
    pass(1);
    tcp_init_congestion_control(sk);
    tp->snd_cwnd = 1000;
    tp->snd_ssthresh = 1000; /* HyStart's end: no loss was seen */
    grow(100);
    cr_assert_geq(tp->snd_cwnd, 1045);
}

Test(cong, hystart_of_linux_takes_a_train_of_acks_for_a_full_pipe)
{
    struct ack_sample s = {.pkts_acked = 1, .rtt_us = 50000};
    int ms = 0;

    net.ipv4.sysctl_tcp_hystart = 1;
    pass(1);
    tcp_init_congestion_control(sk);
    tp->snd_cwnd = 20;
    for (; tp->snd_ssthresh == TCP_INFINITE_SSTHRESH && ms < 50; ms++) {
        pass(1);
        tcp_cubic.pkts_acked(sk, &s);
    }
    cr_assert_eq(ms, 26, "%d ms", ms); /* longer than half the round trip: the sender does not pace */
    cr_assert_eq(tp->snd_ssthresh, 20);
    cr_assert_eq(net.mib[LINUX_MIB_TCPHYSTARTTRAINDETECT], 1);
}

/* ---- minimum of the RTT ------------------------------------------------------------------------------------------ */

Test(cong, min_rtt_is_the_least_of_the_window)
{
    u64 t = 1000;

    tcp_min_rtt_update(tp, 500, t, 10000);
    cr_assert_eq(tcp_min_rtt(tp), 500);
    tcp_min_rtt_update(tp, 300, t += 10, 10000);
    tcp_min_rtt_update(tp, 900, t += 10, 10000);
    cr_assert_eq(tcp_min_rtt(tp), 300);
}

Test(cong, min_rtt_forgets_the_old)
{
    u64 t = 1000;

    tcp_min_rtt_update(tp, 300, t, 10000);
    for (int i = 0; i < 200; i++)
        tcp_min_rtt_update(tp, 400 + (u32)(i % 7), t += 100, 10000);
    cr_assert_eq(tcp_min_rtt(tp), 400);
    tcp_min_rtt_update(tp, 700, t += 20000, 10000); /* after silence */
    cr_assert_eq(tcp_min_rtt(tp), 700);
}

/* Against the exact minimum: never below it, and above it by no more than what the three samples can miss. */
Test(cong, min_rtt_is_close_to_the_exact_minimum)
{
    enum { N = 2000, WIN = 100 };
    static u32 v[N];
    u32 x = 12345;

    for (int i = 0; i < N; i++) {
        u32 exact = ~0u, loose = ~0u;

        x = x * 1664525 + 1013904223;
        v[i] = 1000 + (x >> 16) % 1000;
        tcp_min_rtt_update(tp, v[i], (u64)i + 1, WIN);
        for (int k = max(0, i - WIN); k <= i; k++)
            exact = min(exact, v[k]);
        for (int k = max(0, i - WIN / 4); k <= i; k++)
            loose = min(loose, v[k]);
        cr_assert_geq(tcp_min_rtt(tp), exact);
        cr_assert_leq(tcp_min_rtt(tp), loose);
    }
}

/* ---- RACK ----------------------------------------------------------------------------------------------------------- */

Test(cong, rack_remembers_the_latest_sent)
{
    pass(100);
    tcp_rack_advance(tp, 0, 1000, tp->tcp_mstamp - 50000);
    cr_assert_eq(tp->rack.rtt_us, 50000);
    cr_assert_eq(tp->rack.end_seq, 1000);
    tcp_rack_advance(tp, 0, 500, tp->tcp_mstamp - 60000); /* sent earlier */
    cr_assert_eq(tp->rack.end_seq, 1000);
    tcp_rack_advance(tp, 0, 1500, tp->tcp_mstamp - 50000); /* at the same time, further on */
    cr_assert_eq(tp->rack.end_seq, 1500);
}

Test(cong, rack_ignores_an_ack_that_is_too_soon_for_a_retransmission)
{
    pass(100);
    tcp_min_rtt_update(tp, 20000, 1, 10000);
    tcp_rack_advance(tp, TCPCB_SACKED_RETRANS, 1000, tp->tcp_mstamp - 1000);
    cr_assert_eq(tp->rack.advanced, 0);
}

Test(cong, rack_window_widens_once_a_round_and_narrows_later)
{
    struct rate_sample rs = { .prior_delivered = 10 };

    tp->delivered = 20;
    tp->rack.reo_wnd_steps = 1;
    tp->rack.dsack_seen = 1;
    tcp_rack_update_reo_wnd(sk, &rs);
    cr_assert_eq(tp->rack.reo_wnd_steps, 2);
    tp->rack.dsack_seen = 1; /* the same round */
    tcp_rack_update_reo_wnd(sk, &rs);
    cr_assert_eq(tp->rack.reo_wnd_steps, 2);
    tp->rack.reo_wnd_persist = 0;
    rs.prior_delivered = 30;
    tcp_rack_update_reo_wnd(sk, &rs);
    cr_assert_eq(tp->rack.reo_wnd_steps, 1);
}

/* ---- delivery rate ---------------------------------------------------------------------------------------------------- */

Test(cong, rate_of_ten_packets_in_50_ms)
{
    struct sk_buff skb[10];
    struct rate_sample rs = { 0 };

    memset(skb, 0, sizeof(skb));
    pass(1);
    for (u32 i = 0; i < 10; i++) {
        skb[i].tstamp = net.now;
        TCP_SKB_CB(&skb[i])->end_seq = (i + 1) * 1000;
        tcp_rate_skb_sent(sk, &skb[i]);
        tp->packets_out++;
    }
    pass(50);
    for (int i = 0; i < 10; i++) {
        tcp_rate_skb_delivered(sk, &skb[i], &rs);
        tp->delivered++;
    }
    tcp_min_rtt_update(tp, 50000, 1, 10000);
    rs.prior_delivered = rs.prior_delivered ? rs.prior_delivered : 0;
    tcp_rate_gen(sk, 10, 0, false, &rs);
    cr_assert_eq(rs.delivered, 10);
    cr_assert_eq(rs.interval_us, 50000);
    cr_assert_eq(tp->rate_delivered, 10);
}

Test(cong, rate_is_invalid_without_a_delivered_packet_or_after_reneging)
{
    struct rate_sample rs = { 0 };

    tcp_rate_gen(sk, 0, 1, false, &rs);
    cr_assert_eq(rs.delivered, -1);
    cr_assert_eq(rs.interval_us, -1);
    cr_assert_eq(rs.losses, 1);
    rs = (struct rate_sample){ .prior_mstamp_us = 5 };
    tcp_rate_gen(sk, 1, 0, true, &rs);
    cr_assert_eq(rs.delivered, -1);
}
