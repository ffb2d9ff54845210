/* SPDX-License-Identifier: MIT */
/* How much leaves during recovery: limited transmit (RFC 3042) before it, proportional rate reduction and its
 * slow-start bound (RFC 6937) in it, ssthresh at its end. Reno halves: 10 in flight, ssthresh 5. */

#include "../lib/tcpscript.h"

TestSuite(prr, .init = script_init, .fini = script_fini);

/* Ten segments in flight, a round trip of 50 ms old, and more to send. */
static struct socket *ten_in_flight(const char *opt, const char *ca, int win)
{
    struct socket *l = sys_listen(80, 10), *s;

    rx(.flags = "S", .opt = opt, .win = win);
    tx(.flags = "SA", .ack = 1);
    advance_ms(50);
    rx();
    s = sys_accept_ok(l);
    sys_close(l);
    cr_assert_eq(s->ops->setsockopt(s, IPPROTO_TCP, TCP_CONGESTION, ca, (socklen_t)strlen(ca)), 0);
    sys_write(s, 40000);
    cr_assert_eq(tx_ignore(), 10);
    advance_ms(50);
    return s;
}

static u32 cwnd(struct socket *s) { return sys_tcp_info(s).tcpi_snd_cwnd; }

/* What is still queued goes out and is acknowledged. */
static void drain(struct socket *s)
{
    for (int i = 0; i < 40 && sys_tcp_info(s).tcpi_unacked; i++) {
        advance_ms(50);
        tx_ignore();
        rx();
        tx_ignore();
    }
    cr_assert_eq(sys_tcp_info(s).tcpi_unacked, 0);
}

/* ---- limited transmit -------------------------------------------------------------------------------- */

Test(prr, open_first_two_duplicate_acks_let_one_new_segment_out_each)
{
    struct socket *s = ten_in_flight("mss 1000", "reno", 65535);

    rx(.ack = 1);
    tx(.seq = 10001, .len = 1000);
    tx_nothing();
    advance_ms(2); /* within a ms of the last segment TSO would be deferred */
    rx(.ack = 1);
    tx(.seq = 11001, .len = 1000);
    tx_nothing();
    cr_assert_eq(cwnd(s), 10); /* it does not grow by that */
    cr_assert_eq(sys_tcp_info(s).tcpi_ca_state, TCP_CA_Disorder);
    advance_ms(2);
    rx(.ack = 1);
    tx(.seq = 1, .len = 1000);
    tx_ignore();
    cr_assert_eq(sys_tcp_info(s).tcpi_ca_state, TCP_CA_Recovery);
    drain(s);
}

Test(prr, disorder_limited_transmit_keeps_within_the_peers_window)
{
    struct socket *s = ten_in_flight("mss 1000,sackOK", "reno", 11000);

    rx(.ack = 1, .opt = "nop,nop,sack 1 {1001:2001}");
    tx(.seq = 10001, .len = 1000);
    advance_ms(2);
    rx(.ack = 1, .opt = "nop,nop,sack 1 {1001:3001}");
    tx_nothing(); /* 11 segments are the window */
    rx(.win = 65535);
    tx_ignore();
    drain(s);
}

/* ---- proportional rate reduction --------------------------------------------------------------------- */

Test(prr, recovery_half_of_the_acks_let_a_segment_out_when_the_window_is_halved)
{
    /* Three are delivered on entry. While more than ssthresh are in flight: sent so far = ceil(delivered * 5 / 10);
     * the fourth of these SACKs leaves exactly ssthresh in flight, from then on as many leave as keep it so. */
    static const int out[] = { 0, 1, 0, 0, 1, 1 };
    struct socket *s = ten_in_flight("mss 1000,sackOK", "reno", 65535);
    char sack[64];
    s64 next = 10001;

    rx(.ack = 1, .opt = "nop,nop,sack 1 {1001:4001}");
    tx(.seq = 1, .len = 1000);
    tx(.seq = next, .len = 1000);
    tx_nothing();
    cr_assert_eq(sys_tcp_info(s).tcpi_snd_ssthresh, 5);
    next += 1000;
    for (int i = 0; i < 6; i++) {
        snprintf(sack, sizeof(sack), "nop,nop,sack 1 {1001:%d}", 5001 + 1000 * i);
        rx(.ack = 1, .opt = sack);
        for (int k = 0; k < out[i]; k++, next += 1000)
            tx(.seq = next, .len = 1000);
        tx_nothing();
    }
    cr_assert_eq(cwnd(s), 5); /* arrived at ssthresh, one round trip after */
    advance_ms(50);
    rx(.ack = 10001);
    tx(.seq = next, .len = 1000); /* four were in flight */
    tx_nothing();
    cr_assert_eq(sys_tcp_info(s).tcpi_ca_state, TCP_CA_Open);
    cr_assert_eq(cwnd(s), 5);
    drain(s);
}

Test(prr, recovery_cubic_lets_seven_of_ten_out)
{
    struct socket *s = ten_in_flight("mss 1000,sackOK", "cubic", 65535);
    char sack[64];
    int n;

    rx(.ack = 1, .opt = "nop,nop,sack 1 {1001:4001}");
    tx(.seq = 1, .len = 1000);
    n = 1 + tx_ignore();
    for (int end = 5001; end <= 10001; end += 1000) {
        snprintf(sack, sizeof(sack), "nop,nop,sack 1 {1001:%d}", end);
        rx(.ack = 1, .opt = sack);
        n += tx_ignore();
    }
    cr_assert_eq(n, 7, "%d segments left in the round trip of recovery", n);
    cr_assert_eq(sys_tcp_info(s).tcpi_snd_ssthresh, 7);
    drain(s);
}

Test(prr, recovery_entry_always_resends_the_first)
{
    struct socket *s = ten_in_flight("mss 1000,sackOK", "cubic", 10000); /* the peer's window lets nothing new out */

    rx(.ack = 1, .opt = "nop,nop,sack 1 {1001:3001}");
    tx_nothing();
    advance_ms(20); /* RACK's time-out: seven are in flight then, which is ssthresh, and leaves room for none */
    tx(.seq = 1, .len = 1000);
    tx_nothing();
    cr_assert_eq(sys_tcp_info(s).tcpi_ca_state, TCP_CA_Recovery);
    cr_assert_eq(sys_tcp_info(s).tcpi_snd_ssthresh, 7);
    rx(.win = 65535);
    tx_ignore();
    drain(s);
}

/* ---- slow-start reduction bound ---------------------------------------------------------------------- */

Test(prr, recovery_below_ssthresh_sends_what_was_delivered_and_no_burst)
{
    struct socket *s = ten_in_flight("mss 1000,sackOK", "reno", 65535);

    rx(.ack = 1, .opt = "nop,nop,sack 1 {7001:10001}"); /* seven lost: nothing is in flight, ssthresh 5 */
    cr_assert_eq(sys_tcp_info(s).tcpi_lost, 7);
    tx(.seq = 1, .len = 1000);
    tx(.seq = 1001, .len = 1000);
    tx(.seq = 2001, .len = 1000);
    tx_nothing(); /* three were delivered, so three, not five */
    advance_ms(50);
    rx(.ack = 1001, .opt = "nop,nop,sack 1 {7001:10001}");
    tx(.seq = 3001, .len = 1000); /* in good order: one delivered, one more as in slow start */
    tx(.seq = 4001, .len = 1000);
    tx_nothing();
    rx(.ack = 2001, .opt = "nop,nop,sack 1 {7001:10001}");
    tx(.seq = 5001, .len = 1000);
    tx(.seq = 6001, .len = 1000);
    tx_nothing();
    cr_assert_eq(cwnd(s), 5);
    rx(.ack = 3001, .opt = "nop,nop,sack 1 {7001:10001}");
    tx(.seq = 10001, .len = 1000); /* at ssthresh: one for one */
    tx_nothing();
    advance_ms(50);
    rx(.ack = 10001);
    tx_ignore();
    cr_assert_eq(sys_tcp_info(s).tcpi_ca_state, TCP_CA_Open);
    cr_assert_eq(cwnd(s), 5);
    cr_assert_eq(sys_tcp_info(s).tcpi_total_retrans, 7);
    drain(s);
}

Test(prr, recovery_that_finds_more_lost_does_not_add_the_slow_start_segment)
{
    struct socket *s = ten_in_flight("mss 1000,sackOK", "reno", 65535);

    rx(.ack = 1, .opt = "nop,nop,sack 1 {7001:10001}");
    tx(.seq = 1, .len = 1000);
    tx(.seq = 1001, .len = 1000);
    tx(.seq = 2001, .len = 1000);
    advance_ms(50);
    /* The second retransmission arrived, the first, sent before it, did not: lost again. */
    rx(.ack = 1, .opt = "nop,nop,sack 2 {1001:2001}{7001:10001}");
    tx(.seq = 1, .len = 1000); /* one delivered, one sent */
    tx_nothing();
    cr_assert_eq(mib(LINUX_MIB_TCPLOSTRETRANSMIT), 1);
    drain(s);
}

/* ---- the end ----------------------------------------------------------------------------------------- */

Test(prr, recovery_ends_at_ssthresh_though_little_is_in_flight)
{
    struct socket *s = ten_in_flight("mss 1000,sackOK", "reno", 10000); /* the peer's window lets nothing new out */

    rx(.ack = 1, .opt = "nop,nop,sack 1 {1001:10001}");
    tx(.seq = 1, .len = 1000);
    tx_nothing();
    advance_ms(50);
    rx(.ack = 10001);
    cr_assert_eq(tx_ignore(), 5); /* ssthresh, not the old window */
    cr_assert_eq(cwnd(s), 5);
    drain(s);
}

Test(prr, recovery_ends_at_ssthresh_though_the_reduction_was_not_complete)
{
    struct socket *s = ten_in_flight("mss 1000,sackOK", "reno", 65535);

    rx(.ack = 1, .opt = "nop,nop,sack 1 {1001:4001}");
    cr_assert_eq(tx_ignore(), 2);
    cr_assert_eq(cwnd(s), 8); /* on the way from 10 to 5 */
    rx(.ack = 10001);
    cr_assert_leq(tx_ignore(), 5);
    cr_assert_leq(cwnd(s), 6); /* one by congestion avoidance, for the seven just delivered */
    cr_assert_eq(sys_tcp_info(s).tcpi_ca_state, TCP_CA_Open);
    drain(s);
}
