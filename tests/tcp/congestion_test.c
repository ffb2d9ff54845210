/* SPDX-License-Identifier: MIT */
/* Congestion control as seen from outside: how the window grows and shrinks (RFC 5681, RFC 9438). */

#include "../lib/tcpscript.h"

TestSuite(congestion, .init = script_init, .fini = script_fini);

static struct socket *with_ca(const char *name, u64 rtt)
{
    struct socket *l = sys_listen(80, 10), *s;

    rx(.flags = "S", .opt = "mss 1000,sackOK,TS val 100 ecr 0,nop,wscale 10", .win = 65535);
    tx(.flags = "SA", .ack = 1);
    advance_ms(rtt);
    rx();
    s = sys_accept_ok(l);
    sys_close(l);
    cr_assert_eq(s->ops->setsockopt(s, IPPROTO_TCP, TCP_CONGESTION, name, (socklen_t)strlen(name)), 0);
    script_net->ipv4.sysctl_wmem_max = 8 << 20;
    cr_assert_eq(sys_setsockopt(s, SOL_SOCKET, SO_SNDBUF, 4 << 20), 0);
    return s;
}

/* Acknowledge, one ACK for each segment, all that is in flight, after a round trip. Returns segments sent in answer. */
static int ack_round(struct socket *s, u64 rtt, s64 *acked, int in_flight)
{
    int sent = 0;

    advance_ms(rtt);
    sent += tx_ignore();
    for (int i = 0; i < in_flight; i++) {
        *acked += 988;
        rx(.ack = 1 + *acked);
        sent += tx_ignore();
    }
    return sent;
}

Test(congestion, initial_window_is_ten_segments)
{
    struct socket *s = with_ca("cubic", 50);

    cr_assert_gt(sys_write(s, 100000), 50000);
    cr_assert_eq(tx_ignore(), 10);
    advance_ms(1);
    tx_nothing();
    rx();
    tx_ignore();
}

Test(congestion, slow_start_doubles_per_round_trip)
{
    struct socket *s = with_ca("reno", 50);
    s64 acked = 0;
    int n;

    cr_assert_gt(sys_write(s, 400000), 300000);
    n = tx_ignore();
    cr_assert_eq(n, 10);
    n = ack_round(s, 50, &acked, n);
    cr_assert_eq(n, 20);
    n = ack_round(s, 50, &acked, n);
    cr_assert_eq(n, 40);
    cr_assert_eq(sys_tcp_info(s).tcpi_snd_cwnd, 40);
    rx();
    tx_ignore();
}

Test(congestion, slow_start_counts_packets_not_acks)
{
    struct socket *s = with_ca("reno", 50);

    sys_write(s, 400000);
    cr_assert_eq(tx_ignore(), 10);
    advance_ms(50);
    rx(); /* one ACK for ten segments */
    advance_ms(1);
    cr_assert_eq(sys_tcp_info(s).tcpi_snd_cwnd, 20);
    tx_ignore();
}

Test(congestion, window_does_not_grow_when_the_program_does_not_fill_it)
{
    struct socket *s = with_ca("reno", 50);

    for (int i = 0; i < 20; i++) {
        sys_write(s, 500);
        tx(.len = 500);
        advance_ms(50);
        rx();
    }
    cr_assert_leq(sys_tcp_info(s).tcpi_snd_cwnd, 10);
}

Test(congestion, congestion_avoidance_adds_one_per_round_trip)
{
    struct socket *s = with_ca("reno", 50);
    s64 acked = 0;
    int n;

    sys_write(s, 900000);
    n = tx_ignore();
    advance_ms(50);
    rx(.ack = 1, .opt = "nop,nop,TS val 200 ecr 51,nop,nop,sack 1 {989:9881}"); /* the first was lost */
    n = tx_ignore();
    advance_ms(50);
    rx(); /* recovery ends */
    acked = 0;
    n = tx_ignore();
    cr_assert_eq(sys_tcp_info(s).tcpi_snd_ssthresh, 5);
    for (int round = 0; round < 12; round++) {
        advance_ms(50);
        rx();
        n = tx_ignore();
    }
    (void)acked;
    cr_assert_geq(sys_tcp_info(s).tcpi_snd_cwnd, 5 + 9);
    cr_assert_leq(sys_tcp_info(s).tcpi_snd_cwnd, 5 + 13);
    cr_assert_leq(n, 18);
}

Test(congestion, timeout_leaves_one_segment_and_half_as_threshold)
{
    struct socket *s = with_ca("reno", 50);

    sys_write(s, 100000);
    cr_assert_eq(tx_ignore(), 10);
    advance_ms(700); /* a probe, then the time-out */
    tx_ignore();
    cr_assert_eq(sys_tcp_info(s).tcpi_ca_state, TCP_CA_Loss);
    cr_assert_eq(sys_tcp_info(s).tcpi_snd_cwnd, 1);
    cr_assert_eq(sys_tcp_info(s).tcpi_snd_ssthresh, 5);
    rx();
    tx_ignore();
}

Test(congestion, cubic_reduces_to_seven_tenths)
{
    struct socket *s = with_ca("cubic", 50);

    sys_write(s, 100000);
    cr_assert_eq(tx_ignore(), 10);
    advance_ms(50);
    rx(.ack = 1, .opt = "nop,nop,TS val 200 ecr 51,nop,nop,sack 1 {989:9881}");
    tx_ignore();
    advance_ms(50);
    rx();
    tx_ignore();
    cr_assert_eq(sys_tcp_info(s).tcpi_snd_ssthresh, 7);
}

Test(congestion, cubic_grows_as_reno_would_on_a_small_path)
{
    struct socket *s = with_ca("cubic", 50);
    s64 acked = 0;
    int n;
    u32 cwnd;

    sys_write(s, 2000000);
    n = tx_ignore();
    n = ack_round(s, 50, &acked, n);
    n = ack_round(s, 50, &acked, n);
    advance_ms(50);
    rx(.ack = 1 + acked, .opt = "nop,nop,TS val 300 ecr 151,nop,nop,sack 1 {30629:69161}"); /* one lost of 40 */
    tx_ignore();
    advance_ms(50);
    rx();
    tx_ignore();
    cwnd = sys_tcp_info(s).tcpi_snd_cwnd;
    cr_assert_leq(cwnd, 29); /* 0.7 of 40, and one step of the curve */
    for (int round = 0; round < 80; round++) { /* RFC 9438 4.3: 3 (1 - 0.7) / (1 + 0.7) = 0.53 a round */
        sys_write(s, 200000);
        advance_ms(50);
        rx();
        tx_ignore();
    }
    cwnd = sys_tcp_info(s).tcpi_snd_cwnd;
    cr_assert(cwnd >= 60 && cwnd <= 80, "the window is %u", cwnd);
}

Test(congestion, idle_connection_starts_again_from_the_initial_window)
{
    struct socket *s = with_ca("reno", 50);
    s64 acked = 0;
    int n;

    sys_write(s, 69160); /* 10, 20, 40 segments */
    n = tx_ignore();
    n = ack_round(s, 50, &acked, n);
    n = ack_round(s, 50, &acked, n);
    advance_ms(50);
    rx();
    tx_ignore();
    cr_assert_geq(sys_tcp_info(s).tcpi_snd_cwnd, 40);
    advance_ms(10000);
    sys_write(s, 60000);
    cr_assert_eq(tx_ignore(), 10);
    rx();
    tx_ignore();
}

Test(congestion, bbr_paces_and_delivers)
{
    struct socket *s = with_ca("bbr", 40);
    u64 begin = script_now();
    int n = 0;

    sys_write(s, 500000);
    for (int round = 0; round < 100; round++) {
        advance_ms(40);
        n += tx_ignore();
        rx();
        n += tx_ignore();
    }
    cr_assert_eq(sys_tcp_info(s).tcpi_unacked, 0);
    cr_assert_geq(n, 500);
    cr_assert_lt(script_now() - begin, 5 * NSEC_PER_SEC);
    cr_assert_geq(sys_tcp_info(s).tcpi_delivery_rate, 100000);
}

Test(congestion, unknown_algorithm_is_enoent)
{
    struct socket *s = sys_socket();
    char name[16] = "";
    socklen_t len = sizeof(name);

    cr_assert_eq(s->ops->setsockopt(s, IPPROTO_TCP, TCP_CONGESTION, "nosuch", 6), -ENOENT);
    cr_assert_eq(s->ops->setsockopt(s, IPPROTO_TCP, TCP_CONGESTION, "bbr", 3), 0);
    cr_assert_eq(s->ops->getsockopt(s, IPPROTO_TCP, TCP_CONGESTION, name, &len), 0);
    cr_assert_str_eq(name, "bbr");
}

static bool no_capability(struct net *net, int cap) { return false; }
static bool every_capability(struct net *net, int cap) { return true; }

Test(congestion, algorithm_that_the_host_restricts_is_eperm)
{
    static struct net_ops ops;
    struct socket *s = sys_socket();
    char name[16] = "";
    socklen_t len = sizeof(name);

    ops = *script_net->ops;
    script_net->ops = &ops;
    ops.capable = no_capability;
    strcpy(script_net->ipv4.sysctl_tcp_restricted_congestion_control, "xreno bbr cubic2 ");
    cr_assert_eq(s->ops->setsockopt(s, IPPROTO_TCP, TCP_CONGESTION, "bbr", 3), -EPERM);
    cr_assert_eq(s->ops->getsockopt(s, IPPROTO_TCP, TCP_CONGESTION, name, &len), 0);
    cr_assert_str_eq(name, "cubic");
    cr_assert_eq(s->ops->setsockopt(s, IPPROTO_TCP, TCP_CONGESTION, "nosuch", 6), -ENOENT);
    cr_assert_eq(s->ops->setsockopt(s, IPPROTO_TCP, TCP_CONGESTION, "reno", 4), 0);
    ops.capable = every_capability;
    cr_assert_eq(s->ops->setsockopt(s, IPPROTO_TCP, TCP_CONGESTION, "bbr", 3), 0);
    ops.capable = NULL; /* what it has it may choose again */
    cr_assert_eq(s->ops->setsockopt(s, IPPROTO_TCP, TCP_CONGESTION, "bbr", 3), 0);
    cr_assert_eq(s->ops->setsockopt(s, IPPROTO_TCP, TCP_CONGESTION, "", 0), -EINVAL);
}

Test(congestion, listeners_choice_is_its_childrens)
{
    struct socket *l = sys_listen(80, 10), *s;
    char name[16] = "";
    socklen_t len = sizeof(name);

    cr_assert_eq(l->ops->setsockopt(l, IPPROTO_TCP, TCP_CONGESTION, "reno", 4), 0);
    rx(.flags = "S", .opt = "mss 1000");
    tx(.flags = "SA");
    rx();
    s = sys_accept_ok(l);
    cr_assert_eq(s->ops->getsockopt(s, IPPROTO_TCP, TCP_CONGESTION, name, &len), 0);
    cr_assert_str_eq(name, "reno");
}

/* ---- the window that is not used (RFC 2861, 7661) ------------------------------------------------------------ */

/* A window of 40 from four round trips of 50 ms; nothing in flight. */
static struct socket *window_of_40(const char *ca, s64 *acked)
{
    struct socket *s = with_ca(ca, 50);
    int n;

    sys_write(s, 988 * 70);
    n = tx_ignore();
    for (int i = 0; n; i++)
        n = ack_round(s, 50, acked, n);
    cr_assert_eq(*acked, 988 * 70);
    return s;
}

Test(congestion, idle_window_halves_with_each_timeout_that_passed)
{
    s64 acked = 0;
    struct socket *s = window_of_40("reno", &acked);
    u32 cwnd = sys_tcp_info(s).tcpi_snd_cwnd;

    cr_assert_geq(cwnd, 40);
    advance_ms(400); /* one RTO of 250, not two */
    sys_write(s, 988);
    tx(.len = 988);
    cr_assert_eq(sys_tcp_info(s).tcpi_snd_cwnd, cwnd / 2);
    cr_assert_eq(sys_tcp_info(s).tcpi_snd_ssthresh, 2147483647); /* slow start was not over */
    rx();
}

Test(congestion, idle_window_is_remembered_by_three_quarters_as_threshold)
{
    s64 acked = 0;
    struct socket *s = window_of_40("reno", &acked);

    tcp_sk(s->sk)->snd_ssthresh = 20;
    tcp_snd_cwnd_set(tcp_sk(s->sk), 40);
    advance_ms(400);
    sys_write(s, 988);
    tx(.len = 988);
    cr_assert_eq(sys_tcp_info(s).tcpi_snd_cwnd, 20);
    cr_assert_eq(sys_tcp_info(s).tcpi_snd_ssthresh, 30);
    rx();
}

Test(congestion, idle_window_below_the_initial_one_stays)
{
    s64 acked = 0;
    struct socket *s = window_of_40("reno", &acked);

    tcp_sk(s->sk)->snd_ssthresh = 5; /* after losses */
    tcp_snd_cwnd_set(tcp_sk(s->sk), 6);
    advance_ms(10000);
    sys_write(s, 988);
    tx(.len = 988);
    cr_assert_eq(sys_tcp_info(s).tcpi_snd_cwnd, 6);
    cr_assert_eq(sys_tcp_info(s).tcpi_snd_ssthresh, 5);
    rx();
}

Test(congestion, idle_window_stays_when_switched_off)
{
    s64 acked = 0;
    struct socket *s = window_of_40("reno", &acked);
    u32 cwnd = sys_tcp_info(s).tcpi_snd_cwnd;

    script_net->ipv4.sysctl_tcp_slow_start_after_idle = 0;
    advance_ms(10000);
    sys_write(s, 988);
    tx(.len = 988);
    cr_assert_eq(sys_tcp_info(s).tcpi_snd_cwnd, cwnd);
    rx();
}

/* Two single segments, the second ms after the last ACK; never idle for as long as the RTO of 250 ms. */
static void two_segments(struct socket *s, u64 ms)
{
    advance_ms(ms - 60);
    sys_write(s, 988);
    tx(.len = 988);
    advance_ms(60);
    sys_write(s, 988);
    tx(.len = 988);
}

Test(congestion, unused_window_is_cut_halfway_to_what_is_used_after_a_timeout)
{
    s64 acked = 0;
    struct socket *s = window_of_40("reno", &acked);

    tcp_sk(s->sk)->snd_ssthresh = 20;
    tcp_snd_cwnd_set(tcp_sk(s->sk), 40);
    two_segments(s, 240);
    cr_assert_eq(sys_tcp_info(s).tcpi_snd_cwnd, 40);
    rx();
    two_segments(s, 260);
    cr_assert_eq(sys_tcp_info(s).tcpi_snd_cwnd, (40 + 10) / 2); /* not below the initial window */
    cr_assert_eq(sys_tcp_info(s).tcpi_snd_ssthresh, 30);        /* three quarters of what it was */
    rx();
}

Test(congestion, unused_window_of_bbr_is_left_to_it)
{
    struct socket *s = with_ca("bbr", 50);

    tcp_snd_cwnd_set(tcp_sk(s->sk), 40);
    two_segments(s, 260);
    cr_assert_eq(sys_tcp_info(s).tcpi_snd_cwnd, 40);
    rx();
}

/* ---- the end of slow start: HyStart++ (RFC 9406), HyStart --------------------------------------------- */

/* Two round trips of 50 ms, 10 and 20 segments, then one of 80 with 40: a queue is building up. */
static struct socket *delay_grows(s64 *acked, int *n)
{
    struct socket *s = with_ca("cubic", 50);

    cr_assert_gt(sys_write(s, 2000000), 1000000);
    *n = tx_ignore();
    for (int i = 0; i < 2; i++)
        *n = ack_round(s, 50, acked, *n);
    cr_assert_eq(*n, 40);
    *n = ack_round(s, 80, acked, *n);
    return s;
}

Test(congestion, hystartpp_goes_on_at_a_quarter_when_the_delay_grows)
{
    s64 acked = 0;
    int n;
    struct socket *s = delay_grows(&acked, &n);
    u32 cwnd = sys_tcp_info(s).tcpi_snd_cwnd;

    cr_assert(cwnd >= 55 && cwnd <= 57, "the window is %u", cwnd); /* 8 samples, then a quarter of 32 */
    cr_assert_gt(sys_tcp_info(s).tcpi_snd_ssthresh, 1000000);
    n = ack_round(s, 80, &acked, n);
    cr_assert_eq(sys_tcp_info(s).tcpi_snd_cwnd, cwnd + (cwnd + 3) / 4);
}

Test(congestion, hystartpp_ends_slow_start_when_the_delay_stays)
{
    s64 acked = 0;
    int n;
    struct socket *s = delay_grows(&acked, &n);

    for (int round = 0; round < 4; round++)
        n = ack_round(s, 80, &acked, n);
    cr_assert_gt(sys_tcp_info(s).tcpi_snd_ssthresh, 1000000);
    n = ack_round(s, 80, &acked, n);
    cr_assert_lt(sys_tcp_info(s).tcpi_snd_ssthresh, 300);
    cr_assert_eq(mib(LINUX_MIB_TCPHYSTARTDELAYDETECT), 1);
}

Test(congestion, hystartpp_doubles_again_when_the_delay_was_a_false_alarm)
{
    s64 acked = 0;
    int n;
    struct socket *s = delay_grows(&acked, &n);
    u32 cwnd;

    n = ack_round(s, 50, &acked, n);
    cwnd = sys_tcp_info(s).tcpi_snd_cwnd;
    n = ack_round(s, 50, &acked, n);
    cr_assert_eq(sys_tcp_info(s).tcpi_snd_cwnd, 2 * cwnd);
    cr_assert_gt(sys_tcp_info(s).tcpi_snd_ssthresh, 1000000);
}

Test(congestion, hystartpp_is_of_the_first_slow_start_alone)
{
    struct socket *s = with_ca("cubic", 50);
    s64 acked = 0;
    int n;

    tcp_sk(s->sk)->snd_ssthresh = 1000; /* known from a loss */
    tcp_snd_cwnd_set(tcp_sk(s->sk), 2);
    cr_assert_gt(sys_write(s, 2000000), 1200000);
    n = tx_ignore();
    for (int i = 0; i < 3; i++)
        n = ack_round(s, 50, &acked, n);
    for (int i = 0; i < 6; i++)
        n = ack_round(s, 80, &acked, n);
    cr_assert_geq(sys_tcp_info(s).tcpi_snd_cwnd, 1000);
    cr_assert_eq(sys_tcp_info(s).tcpi_snd_ssthresh, 1000);
    cr_assert_eq(mib(LINUX_MIB_TCPHYSTARTDELAYDETECT), 0);
}

Test(congestion, hystart_of_linux_ends_slow_start_when_the_delay_grows)
{
    s64 acked = 0;
    int n;

    script_net->ipv4.sysctl_tcp_hystart = 1;
    struct socket *s = delay_grows(&acked, &n);
    cr_assert_lt(sys_tcp_info(s).tcpi_snd_ssthresh, 80); /* its rounds began when the window was 16 */
    cr_assert_eq(sys_tcp_info(s).tcpi_snd_cwnd, sys_tcp_info(s).tcpi_snd_ssthresh);
    cr_assert_eq(mib(LINUX_MIB_TCPHYSTARTDELAYDETECT), 1);
}

Test(congestion, hystart_switched_off_doubles_whatever_the_delay)
{
    s64 acked = 0;
    int n;

    script_net->ipv4.sysctl_tcp_hystart = 0;
    struct socket *s = delay_grows(&acked, &n);
    cr_assert_eq(sys_tcp_info(s).tcpi_snd_cwnd, 80);
    cr_assert_gt(sys_tcp_info(s).tcpi_snd_ssthresh, 1000000);
}
