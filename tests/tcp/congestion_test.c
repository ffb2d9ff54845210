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
