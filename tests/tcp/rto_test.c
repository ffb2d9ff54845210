/* SPDX-License-Identifier: MIT */
/* The retransmission time-out (RFC 6298): what it is computed from, its bounds, Karn; and SACKs that the peer takes back
 * (RFC 2018 8). No loss probes. */

#include "../lib/tcpscript.h"

TestSuite(rto, .init = script_init, .fini = script_fini);
TestSuite(isn, .init = script_init, .fini = script_fini);

#define SACK_OPT "mss 1000,sackOK"
#define TCP_RTO_MAX_MS_ 44 /* Linux 6.15 */
#define TCP_RTO_MIN_US_ 45

static struct socket *accepted(const char *opt, u64 rtt)
{
    struct socket *l = sys_listen(80, 10), *s;

    script_net->ipv4.sysctl_tcp_early_retrans = 0;
    rx(.flags = "S", .opt = opt);
    tx(.flags = "SA", .ack = 1);
    advance_ms(rtt);
    rx();
    s = sys_accept_ok(l);
    sys_close(l);
    return s;
}

/* One segment there and its ACK back after rtt. */
static u32 round_trip(struct socket *s, u64 rtt)
{
    sys_write(s, 1000);
    tx(.len = 1000);
    advance_ms(rtt);
    rx();
    return sys_tcp_info(s).tcpi_rto / 1000;
}

Test(rto, first_sample_gives_rtt_and_a_variance_of_half_but_200_ms_at_least)
{
    struct socket *s = accepted(SACK_OPT, 50);

    cr_assert_eq(sys_tcp_info(s).tcpi_rto, 250000);
    cr_assert_eq(sys_tcp_info(s).tcpi_rtt, 50000);
    sys_close(s);
    tx(.flags = "FA");
    rx(.flags = "R");
    script_flow(SCRIPT_PEER_PORT + 1, 80);
    s = accepted(SACK_OPT, 200); /* a variance of 100, times 4 */
    cr_assert_eq(sys_tcp_info(s).tcpi_rto, 600000);
}

Test(rto, growing_round_trip_raises_it_at_once_and_a_steady_one_lets_it_down_each_round)
{
    struct socket *s = accepted(SACK_OPT, 200);
    u32 rto = 600, before;

    for (int i = 0; i < 12; i++) {
        before = rto;
        rto = round_trip(s, 200);
        cr_assert_leq(rto, before);
    }
    cr_assert(rto >= 400 && rto < 420, "%u ms", rto); /* 200 and the least variance of 200 */
    rto = round_trip(s, 380);
    cr_assert_gt(rto, 420);
}

Test(rto, falling_round_trip_does_not_raise_it)
{
    struct socket *s = accepted(SACK_OPT, 900);
    u32 rto = 0, before;

    for (int i = 0; i < 20; i++)
        rto = round_trip(s, 900);
    cr_assert_lt(rto, 1300);
    for (int i = 0; i < 10; i++) {
        before = rto;
        rto = round_trip(s, 20);
        cr_assert_leq(rto, before, "%u ms after %u", rto, before);
    }
}

Test(rto, ends_at_120_seconds)
{
    struct socket *s = accepted(SACK_OPT, 50);

    script_net->ipv4.sysctl_tcp_retries2 = 30;
    sys_write(s, 1000);
    tx(.len = 1000);
    for (u64 ms = 250; ms < 120000; ms *= 2)
        tx_at(ms, .seq = 1, .len = 1000);
    tx_at(120000, .seq = 1, .len = 1000);
    tx_at(120000, .seq = 1, .len = 1000);
    cr_assert_eq(sys_tcp_info(s).tcpi_rto, 120000000);
    rx();
}

Test(rto, sample_does_not_raise_it_beyond_the_sockets_limit)
{
    struct socket *s = accepted(SACK_OPT, 900);

    cr_assert_eq(sys_tcp_info(s).tcpi_rto, 2700000);
    cr_assert_eq(sys_setsockopt(s, IPPROTO_TCP, TCP_RTO_MAX_MS_, 1000), 0);
    cr_assert_eq(round_trip(s, 900), 1000);
}

Test(rto, backing_off_ends_at_the_limit_of_the_system)
{
    struct socket *s;

    script_net->ipv4.sysctl_tcp_rto_max_ms = 1000;
    s = accepted(SACK_OPT, 50);
    sys_write(s, 1000);
    tx(.len = 1000);
    for (u64 ms = 250; ms < 1000; ms *= 2)
        tx_at(ms, .seq = 1, .len = 1000);
    tx_at(1000, .seq = 1, .len = 1000);
    tx_at(1000, .seq = 1, .len = 1000);
    rx();
}

Test(rto, least_variance_is_that_of_the_system_then_of_the_socket)
{
    struct socket *s;

    script_net->ipv4.sysctl_tcp_rto_min_us = 100000;
    s = accepted(SACK_OPT, 10);
    cr_assert_eq(sys_tcp_info(s).tcpi_rto, 110000);
    cr_assert_eq(sys_setsockopt(s, IPPROTO_TCP, TCP_RTO_MIN_US_, 40000), 0);
    for (int i = 0; i < 20; i++)
        round_trip(s, 10);
    cr_assert_eq(round_trip(s, 10) / 10, 5); /* 10 and the least variance of 40, which it nears */
}

Test(rto, ack_of_a_retransmission_and_an_original_together_gives_no_sample)
{
    struct socket *s = accepted("mss 1000", 50);

    sys_write(s, 2000);
    cr_assert_eq(tx_ignore(), 2);
    tx_at(250, .seq = 1, .len = 1000);
    advance_ms(50);
    rx(.ack = 2001); /* the second waited for the first: 300 ms are no round trip */
    cr_assert_eq(sys_tcp_info(s).tcpi_rtt, 50000);
}

Test(rto, backing_off_ends_with_a_sample_and_not_with_an_ack_that_gives_none)
{
    struct socket *s = accepted(SACK_OPT, 50);

    sys_write(s, 2000);
    cr_assert_eq(tx_ignore(), 2);
    tx_at(250, .seq = 1, .len = 1000);
    tx_at(500, .seq = 1, .len = 1000);
    cr_assert_eq(sys_tcp_info(s).tcpi_backoff, 2);
    advance_ms(20);
    rx(.ack = 1001);
    cr_assert_eq(sys_tcp_info(s).tcpi_rto, 1000000);
    tx_ignore();
    rx(.ack = 2001); /* resent, too */
    cr_assert_eq(sys_tcp_info(s).tcpi_backoff, 2);
    cr_assert_eq(sys_tcp_info(s).tcpi_rtt, 50000);
    sys_write(s, 1000);
    tx(.len = 1000);
    advance_ms(50);
    rx();
    cr_assert_eq(sys_tcp_info(s).tcpi_backoff, 0);
    cr_assert_leq(sys_tcp_info(s).tcpi_rto, 260000);
}

Test(rto, ack_restarts_it_for_what_is_left)
{
    struct socket *s = accepted(SACK_OPT, 50);

    sys_write(s, 2000);
    cr_assert_eq(tx_ignore(), 2);
    advance_ms(200);
    rx(.ack = 1001);
    tx_at(sys_tcp_info(s).tcpi_rto / 1000, .seq = 1001, .len = 1000); /* RFC 6298 5.3: from now */
    rx();
    advance_ms(10000);
    tx_nothing(); /* 5.2: nothing is left, no timer */
}

/* ---- reneging ----------------------------------------------------------------------------------------------------- */

Test(rto, loss_sacks_that_were_taken_back_are_forgotten_and_all_is_resent)
{
    struct socket *s = accepted(SACK_OPT, 50);

    sys_write(s, 5000);
    cr_assert_eq(tx_ignore(), 5);
    advance_ms(50);
    rx(.ack = 1, .opt = "nop,nop,sack 1 {1001:5001}");
    tx(.seq = 1, .len = 1000);
    advance_ms(50);
    rx(.ack = 1001); /* and not 5001: the peer has dropped what it had SACKed */
    cr_assert_eq(sys_tcp_info(s).tcpi_sacked, 4);
    tx_at(25, .seq = 1001, .len = 1000); /* half a round trip is waited for */
    cr_assert_eq(mib(LINUX_MIB_TCPSACKRENEGING), 1);
    cr_assert_eq(sys_tcp_info(s).tcpi_sacked, 0);
    cr_assert_eq(sys_tcp_info(s).tcpi_lost, 4);
    for (s64 at = 2001; at <= 5001; at += 1000) {
        advance_ms(50);
        rx(.ack = at);
        tx_ignore();
    }
    cr_assert_eq(sys_tcp_info(s).tcpi_unacked, 0);
    cr_assert_eq(sys_tcp_info(s).tcpi_total_retrans, 5);
}

Test(rto, loss_reneging_gives_no_rate_sample)
{
    struct socket *s = accepted(SACK_OPT, 50);
    u64 rate;

    sys_write(s, 5000);
    cr_assert_eq(tx_ignore(), 5);
    advance_ms(50);
    rx(.ack = 1, .opt = "nop,nop,sack 1 {1001:5001}");
    tx(.seq = 1, .len = 1000);
    advance_ms(50);
    rx(.ack = 1001);
    tx_at(25, .seq = 1001, .len = 1000);
    rate = sys_tcp_info(s).tcpi_delivery_rate;
    rx(.ack = 5001); /* delivered before: counted once */
    cr_assert_eq(sys_tcp_info(s).tcpi_delivery_rate, rate);
}

/* ---- initial sequence numbers (RFC 6528) --------------------------------------------------------------------------- */

Test(isn, differs_by_connection_and_goes_on_with_the_clock)
{
    const __be32 us = htobe32(SCRIPT_LOCAL), peer = htobe32(SCRIPT_PEER);
    u32 a = secure_tcp_seq(script_net, us, peer, htobe16(1000), htobe16(80)), b, c;

    b = secure_tcp_seq(script_net, us, peer, htobe16(1000), htobe16(81));
    c = secure_tcp_seq(script_net, us, htobe32(SCRIPT_PEER + 1), htobe16(1000), htobe16(80));
    cr_assert(a != b && b != c && a != c);
    cr_assert_gt(a - b > b - a ? b - a : a - b, 65536, "neighbouring ports get neighbouring numbers");
    cr_assert_eq(secure_tcp_seq(script_net, us, peer, htobe16(1000), htobe16(80)), a);
    advance_ms(64);
    cr_assert_eq(secure_tcp_seq(script_net, us, peer, htobe16(1000), htobe16(80)) - a, 1000000); /* one each 64 ns */
}

Test(isn, stamps_of_two_peers_have_offsets_of_their_own)
{
    const __be32 us = htobe32(SCRIPT_LOCAL);
    u32 a = secure_tcp_ts_off(script_net, us, htobe32(SCRIPT_PEER)), b = secure_tcp_ts_off(script_net, us, htobe32(SCRIPT_PEER + 1));

    cr_assert_neq(a, b);
    script_net->ipv4.sysctl_tcp_timestamps = 2; /* stamps without offset */
    cr_assert_eq(secure_tcp_ts_off(script_net, us, htobe32(SCRIPT_PEER)), 0);
}
