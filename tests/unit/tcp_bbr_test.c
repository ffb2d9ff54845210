/* SPDX-License-Identifier: MIT */
/* BBR alone: rate samples of a path that the test makes up go in, gains, windows and pacing rates come out. A path of
 * 100 packets in 50 ms, one ACK for each round trip. Gains as TCP_CC_INFO tells them, in 1/256. */

#include "../../stack/ipv4/tcp.h"
#include <criterion/criterion.h>
#include <linux/inet_diag.h>

#define RTT_MS 50
#define BDP 100u
#define GAIN_STARTUP 739u /* 2/ln 2 */
#define GAIN_DRAIN 88u
#define UP 320u
#define DOWN 192u
#define CRUISE 256u

static struct net net;
static struct tcp_sock *tp;
static struct sock *sk;
static u32 seed;

static u64 clock_ns(struct net *n) { return n->now; }
static u64 random_bits(struct net *n) { return (u64)(seed = seed * 1664525u + 1013904223u); }
static const struct net_ops ops = {.clock_ns = clock_ns, .random = random_bits};

static void pass(u64 ms)
{
    net.now += ms * NSEC_PER_MSEC;
    tcp_mstamp_refresh(tp);
}

static void set_up(void)
{
    memset(&net, 0, sizeof(net));
    netns_ipv4_defaults(&net.ipv4);
    strcpy(net.ipv4.sysctl_tcp_congestion_control, "bbr");
    net.ops = &ops;
    net.now = 1000 * NSEC_PER_SEC;
    seed = 1;
    tp = calloc(1, sizeof(*tp));
    sk = (struct sock *)tp;
    sk->sk_net = &net;
    sk->sk_pacing_shift = 10;
    sk->sk_max_pacing_rate = ~0ul;
    tp->snd_cwnd = 10;
    tp->snd_cwnd_clamp = ~0u;
    tp->mss_cache = 1000;
    for (int i = 0; i < 3; i++)
        tp->rtt_min.s[i].v = ~0u;
    pass(0);
    tcp_assign_congestion_control(sk);
    tcp_init_congestion_control(sk);
}
static void tear_down(void) { free(tp); }
TestSuite(bbr, .init = set_up, .fini = tear_down);

static struct tcp_bbr_info info(void)
{
    union tcp_cc_info cc;
    int attr = 0;

    cr_assert_eq(tcp_bbr.get_info(sk, ~0u, &attr, &cc), sizeof(cc.bbr));
    cr_assert_eq(attr, INET_DIAG_BBRINFO);
    return cc.bbr;
}
static u32 gain(void) { return info().bbr_pacing_gain; }
static u64 bandwidth(void) { return (u64)info().bbr_bw_hi << 32 | info().bbr_bw_lo; } /* bytes/s */

/* ms pass, and an ACK of n packets that were sent at their beginning comes, with `left` still in flight. */
static void ack_full(u64 ms, u32 n, u32 left, u32 losses, bool app_limited)
{
    struct rate_sample rs = {.prior_delivered = tp->delivered, .delivered = (s32)n, .interval_us = (long)ms * 1000,
                             .rtt_us = (long)ms * 1000, .acked_sacked = n, .losses = (s32)losses,
                             .prior_in_flight = left + n, .is_app_limited = app_limited};

    pass(ms);
    tp->delivered += n;
    tp->lost += losses;
    tp->delivered_mstamp = tp->tcp_mstamp;
    tp->packets_out = left;
    tp->srtt_us = (u32)ms * 8000;
    tcp_bbr.cong_control(sk, 0, 0, &rs);
}
static void ack(u64 ms, u32 n, u32 left) { ack_full(ms, n, left, 0, false); }

/* Full speed until the pipe was found full, and the queue drained: PROBE_BW. */
static void cruising(void)
{
    for (int i = 0; i < 4; i++)
        ack(RTT_MS, BDP, BDP);
    cr_assert_eq(info().bbr_cwnd_gain, 512);
}

/* A round trip with an ACK for each ten packets. */
static void smooth_round(void)
{
    for (int i = 0; i < 10; i++) {
        struct rate_sample rs = {.prior_delivered = tp->delivered + 10 - BDP, .delivered = (s32)BDP,
                                 .interval_us = RTT_MS * 1000, .rtt_us = RTT_MS * 1000, .acked_sacked = 10,
                                 .prior_in_flight = BDP};

        pass(RTT_MS / 10);
        tp->delivered += 10;
        tp->delivered_mstamp = tp->tcp_mstamp;
        tcp_bbr.cong_control(sk, 0, 0, &rs);
    }
}

Test(bbr, startup_doubles_until_three_rounds_bring_no_quarter_more)
{
    cr_assert_eq(gain(), GAIN_STARTUP);
    cr_assert_eq(info().bbr_cwnd_gain, GAIN_STARTUP);
    for (u32 n = 10; n < BDP; n *= 2) {
        u32 cwnd = tp->snd_cwnd;

        ack(RTT_MS, n, 2 * n);
        cr_assert_eq(tp->snd_cwnd, cwnd + n);
        cr_assert_eq(gain(), GAIN_STARTUP);
    }
    ack(RTT_MS, BDP, 3 * BDP);
    ack(RTT_MS, BDP, 3 * BDP);
    ack(RTT_MS, BDP + 20, 3 * BDP); /* a fifth is not a quarter */
    cr_assert_eq(gain(), GAIN_STARTUP);
    ack(RTT_MS, BDP, 3 * BDP);
    cr_assert_eq(gain(), GAIN_DRAIN);
    cr_assert_eq(info().bbr_cwnd_gain, GAIN_STARTUP);
}

Test(bbr, startup_does_not_end_while_the_program_is_the_limit)
{
    for (int i = 0; i < 10; i++)
        ack_full(RTT_MS, 20, 5, 0, true);
    cr_assert_eq(gain(), GAIN_STARTUP);
}

Test(bbr, drain_lasts_until_no_more_than_the_product_is_in_flight)
{
    for (int i = 0; i < 4; i++)
        ack(RTT_MS, BDP, 3 * BDP);
    cr_assert_eq(gain(), GAIN_DRAIN);
    ack(RTT_MS, BDP, 2 * BDP);
    cr_assert_eq(gain(), GAIN_DRAIN);
    ack(RTT_MS, BDP, BDP);
    cr_assert_eq(info().bbr_cwnd_gain, 512);
    cr_assert_neq(gain(), GAIN_DRAIN);
}

Test(bbr, probe_bw_cycle_has_one_phase_up_one_down_and_six_level)
{
    u32 up = 0, down = 0, level = 0;

    cruising();
    for (int i = 0; i < 16; i++) {
        ack(RTT_MS + 1, BDP, BDP * 2);
        up += gain() == UP;
        down += gain() == DOWN;
        level += gain() == CRUISE;
    }
    cr_assert(up == 2 && down == 2 && level == 12, "%u up, %u down, %u level", up, down, level);
}

Test(bbr, probe_bw_up_lasts_until_the_extra_is_in_flight_and_down_ends_early)
{
    cruising();
    for (int i = 0; gain() != UP; i++) {
        ack(RTT_MS + 1, BDP, BDP);
        cr_assert_lt(i, 10);
    }
    for (int i = 0; i < 3; i++) {
        ack(RTT_MS + 1, 50, 40); /* what was in flight: 90 of 125 */
        cr_assert_eq(gain(), UP);
    }
    ack_full(RTT_MS + 1, 50, 40, 1, false); /* a loss ends it, too */
    cr_assert_eq(gain(), DOWN);
    ack(10, 10, 20); /* well below the product */
    cr_assert_eq(gain(), CRUISE);
}

Test(bbr, probe_bw_begins_in_any_phase_but_the_one_down)
{
    u32 seen[3] = {0};

    for (u32 s = 0; s < 200; s++) {
        tear_down();
        set_up();
        seed = s * 77777u;
        cruising();
        seen[0] += gain() == UP;
        seen[1] += gain() == DOWN;
        seen[2] += gain() == CRUISE;
    }
    cr_assert_eq(seen[1], 0);
    cr_assert(seen[0] > 10 && seen[0] < 60, "%u of 200 begin by probing", seen[0]);
}

Test(bbr, bandwidth_is_the_maximum_of_ten_rounds)
{
    cruising();
    ack(RTT_MS, 2 * BDP, BDP);
    cr_assert_eq(bandwidth() / 10000, 399); /* 200 packets of 1000 bytes in 50 ms, rounded down */
    for (int i = 0; i < 10; i++)
        ack(RTT_MS, BDP, BDP);
    cr_assert_eq(bandwidth() / 10000, 399);
    ack(RTT_MS, BDP, BDP);
    cr_assert_eq(bandwidth() / 10000, 199);
}

Test(bbr, samples_of_an_idle_program_raise_the_bandwidth_and_never_push_it_out)
{
    cruising();
    for (int i = 0; i < 30; i++)
        ack_full(RTT_MS, 10, 10, 0, true);
    cr_assert_eq(bandwidth() / 10000, 199);
    ack_full(RTT_MS, 2 * BDP, BDP, 0, true);
    cr_assert_eq(bandwidth() / 10000, 399);
}

Test(bbr, paces_at_the_gain_times_the_bandwidth_less_a_hundredth)
{
    cruising();
    for (int i = 0; i < 10; i++) {
        u64 want = bandwidth() * 99 / 100 * gain() / 256;

        cr_assert(sk->sk_pacing_rate > want - want / 100 && sk->sk_pacing_rate < want + want / 100);
        ack(RTT_MS + 1, BDP, BDP * 2);
    }
    sk->sk_max_pacing_rate = 5000; /* SO_MAX_PACING_RATE */
    ack(RTT_MS, BDP, BDP);
    cr_assert_eq(sk->sk_pacing_rate, 5000);
}

Test(bbr, first_rate_is_the_initial_window_in_a_round_trip_times_the_gain)
{
    u64 want = 10ull * 1000 * 1000 * GAIN_STARTUP / 256 * 99 / 100; /* no RTT yet: 1 ms */

    cr_assert(sk->sk_pacing_rate > want - want / 100 && sk->sk_pacing_rate < want + want / 100);
    cr_assert_eq(sk->sk_pacing_status, SK_PACING_NEEDED);
}

Test(bbr, window_is_twice_the_product_and_room_for_large_packets)
{
    cruising();
    pass(200); /* the lumps so far are paid for */
    for (int i = 0; i < 20; i++)
        smooth_round();
    cr_assert(tp->snd_cwnd >= 2 * BDP + 6 && tp->snd_cwnd <= 2 * BDP + 30, "%u", tp->snd_cwnd);
}

Test(bbr, probe_rtt_after_ten_seconds_is_four_packets_for_200_ms_and_a_round)
{
    cruising();
    for (int i = 0; i < 10; i++)
        ack(RTT_MS, BDP, BDP);
    for (int i = 0; i < 200 && info().bbr_cwnd_gain != 256; i++)
        ack(RTT_MS + 2, BDP, BDP); /* never as short as the minimum again */
    cr_assert_eq(info().bbr_cwnd_gain, 256);
    cr_assert_eq(gain(), CRUISE);
    cr_assert_eq(tp->snd_cwnd, 4);
    ack(RTT_MS + 2, BDP, 4); /* drained: the 200 ms begin */
    for (int i = 0; i < 3; i++) {
        ack(RTT_MS + 5, 4, 4);
        cr_assert_eq(tp->snd_cwnd, 4, "%u after %d rounds", tp->snd_cwnd, i);
    }
    ack(RTT_MS + 5, 4, 4);
    cr_assert_geq(tp->snd_cwnd, 2 * BDP);
    cr_assert_eq(info().bbr_cwnd_gain, 512);
    cr_assert_eq(info().bbr_min_rtt, (RTT_MS + 2) * 1000);
}

Test(bbr, shorter_round_trip_puts_probe_rtt_off)
{
    cruising();
    for (int i = 0; i < 300; i++) {
        ack(i % 100 ? RTT_MS + 2 : (u64)(RTT_MS - 1 - i / 100), BDP, BDP);
        cr_assert_neq(info().bbr_cwnd_gain, 256);
    }
}

Test(bbr, recovery_conserves_packets_for_a_round_and_its_end_restores_the_window)
{
    u32 before;

    cruising();
    for (int i = 0; i < 10; i++)
        ack(RTT_MS, BDP, BDP);
    before = tp->snd_cwnd;
    tcp_bbr.ssthresh(sk); /* what entering does first */
    inet_csk(sk)->icsk_ca_state = TCP_CA_Recovery;
    pass(10);
    struct rate_sample rs = {.prior_delivered = tp->delivered - 10, .delivered = 1, .interval_us = 1000, .rtt_us = -1,
                             .acked_sacked = 1, .losses = 5};
    tp->delivered++;
    tp->packets_out = 60;
    tcp_bbr.cong_control(sk, 0, 0, &rs);
    cr_assert_eq(tp->snd_cwnd, 61);
    ack(RTT_MS, 20, 60); /* the next round: growth, as far as the model says */
    cr_assert_eq(tp->snd_cwnd, 81);
    inet_csk(sk)->icsk_ca_state = TCP_CA_Open;
    ack(RTT_MS, 20, 60);
    cr_assert_geq(tp->snd_cwnd, before);
}

Test(bbr, policer_shows_as_steady_loss_at_a_steady_rate)
{
    cruising();
    ack(RTT_MS, 2 * BDP, BDP); /* a full bucket lets a burst through */
    for (int i = 0; i < 11; i++)
        ack_full(RTT_MS, 50, BDP, 25, false);
    cr_assert_eq(bandwidth() / 10000, 99); /* 50 packets in 50 ms, not the maximum of ten rounds */
    for (int i = 0; i < 10; i++) {
        ack(RTT_MS + 1, 50, BDP);
        cr_assert_eq(gain(), CRUISE); /* no probing */
    }
    for (int i = 0; i < 48; i++)
        ack(RTT_MS + 1, 50, BDP);
    ack(RTT_MS, BDP, BDP);
    cr_assert_eq(bandwidth() / 10000, 199); /* after 48 rounds it tries again */
}

Test(bbr, little_loss_is_no_policer)
{
    cruising();
    for (int i = 0; i < 30; i++)
        ack_full(RTT_MS, BDP, BDP, 10, false);
    ack(RTT_MS, 2 * BDP, BDP);
    cr_assert_eq(bandwidth() / 10000, 399);
}

Test(bbr, acks_in_lumps_get_more_window)
{
    u32 before;

    cruising();
    pass(200); /* the lumps so far are paid for */
    for (int i = 0; i < 20; i++)
        smooth_round();
    before = tp->snd_cwnd;
    pass(20);
    for (int i = 0; i < 4; i++)
        ack(RTT_MS, BDP, BDP);
    cr_assert_gt(tp->snd_cwnd, before + BDP / 2);
}

Test(bbr, after_idle_it_paces_at_the_bandwidth)
{
    cruising();
    for (int i = 0; gain() != UP; i++) {
        ack(RTT_MS + 1, BDP, BDP * 2);
        cr_assert_lt(i, 10);
    }
    tp->app_limited = tp->delivered;
    pass(3000);
    tcp_bbr.cwnd_event(sk, CA_EVENT_TX_START);
    cr_assert_leq(sk->sk_pacing_rate, bandwidth());
    pass(12000); /* no PROBE_RTT for idle time */
    ack(RTT_MS + 1, 10, 10);
    cr_assert_neq(info().bbr_cwnd_gain, 256);
}

Test(bbr, undo_keeps_the_window_and_looks_for_bandwidth_anew)
{
    for (int i = 0; i < 3; i++)
        ack(RTT_MS, BDP, 3 * BDP);
    cr_assert_eq(tcp_bbr.undo_cwnd(sk), tp->snd_cwnd);
    for (int i = 0; i < 3; i++) {
        ack(RTT_MS, BDP, 3 * BDP);
        cr_assert_eq(gain(), GAIN_STARTUP); /* the three rounds begin again */
    }
    ack(RTT_MS, BDP, 3 * BDP);
    cr_assert_eq(gain(), GAIN_DRAIN);
}

Test(bbr, startup_low_first_sample_does_not_slow_it)
{
    ack(RTT_MS, 1, 9);
    cr_assert_gt(sk->sk_pacing_rate, 10 * 1000 * 20 * 2.8); /* the initial window in a round trip, times the gain */
}

Test(bbr, timeout_that_was_undone_restores_the_window)
{
    u32 before;

    cruising();
    for (int i = 0; i < 10; i++)
        ack(RTT_MS, BDP, BDP);
    before = tp->snd_cwnd;
    tcp_bbr.ssthresh(sk);
    tcp_bbr.set_state(sk, TCP_CA_Loss);
    tp->snd_cwnd = 1;
    ack(RTT_MS, 1, 1); /* in Open again */
    cr_assert_geq(tp->snd_cwnd, before);
}

Test(bbr, probe_rtt_lasts_a_round_trip_when_that_is_longer)
{
    cruising();
    for (int i = 0; i < 250 && info().bbr_cwnd_gain != 256; i++)
        ack(RTT_MS + 2, BDP, BDP);
    ack(RTT_MS + 2, BDP, 4);
    struct rate_sample rs = {.prior_delivered = tp->delivered - 4, .delivered = 4, .interval_us = 1000, .rtt_us = -1,
                             .acked_sacked = 1};
    pass(250);
    tcp_bbr.cong_control(sk, 0, 0, &rs); /* sent before the pipe was empty */
    cr_assert_eq(tp->snd_cwnd, 4);
    ack(1, 4, 4);
    cr_assert_gt(tp->snd_cwnd, 4);
}
