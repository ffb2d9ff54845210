/* SPDX-License-Identifier: MIT */
/* RACK-TLP (RFC 8985): losses told from reordering by time, lost retransmissions, the reordering window's growth, and
 * the tail loss probe with what follows from its answer. A round trip is 80 ms, a quarter of it 20. */

#include "../lib/tcpscript.h"

TestSuite(rack, .init = script_init, .fini = script_fini);

#define RTT 80

static struct socket *accepted(const char *opt)
{
    struct socket *l = sys_listen(80, 10), *s;

    rx(.flags = "S", .opt = opt);
    tx(.flags = "SA", .ack = 1);
    advance_ms(RTT);
    rx();
    s = sys_accept_ok(l);
    sys_close(l);
    return s;
}

/* n segments of 1000 bytes in flight for one round trip, nothing else to send. */
static struct socket *in_flight(int n)
{
    struct socket *s = accepted("mss 1000,sackOK");

    sys_write(s, (size_t)n * 1000);
    cr_assert_eq(tx_ignore(), n);
    advance_ms(RTT);
    return s;
}

/* The first of three segments is overtaken by the second: the stack sees reordering. */
static struct socket *reordering_seen(void)
{
    struct socket *s = in_flight(3);

    rx(.ack = 1, .opt = "nop,nop,sack 1 {1001:2001}");
    advance_ms(5);
    rx(.ack = 3001);
    tx_nothing();
    cr_assert_eq(sys_tcp_info(s).tcpi_reord_seen, 1);
    return s;
}

/* ---- reordering and loss ----------------------------------------------------------------------------- */

Test(rack, disorder_reordering_within_the_window_is_no_loss)
{
    struct socket *s = in_flight(4);

    rx(.ack = 1, .opt = "nop,nop,sack 1 {1001:2001}");
    tx_nothing();
    cr_assert_eq(sys_tcp_info(s).tcpi_ca_state, TCP_CA_Disorder);
    advance_ms(18);
    rx(.ack = 2001);
    advance_ms(10);
    tx_nothing();
    cr_assert_eq(sys_tcp_info(s).tcpi_ca_state, TCP_CA_Open);
    cr_assert_eq(sys_tcp_info(s).tcpi_reord_seen, 1);
    cr_assert_eq(mib(LINUX_MIB_TCPSACKREORDER), 1);
    rx(.ack = 4001);
    cr_assert_eq(sys_tcp_info(s).tcpi_total_retrans, 0);
    cr_assert_geq(sys_tcp_info(s).tcpi_snd_cwnd, 10);
}

Test(rack, disorder_what_outlasts_the_window_is_lost)
{
    struct socket *s = in_flight(4);

    rx(.ack = 1, .opt = "nop,nop,sack 1 {1001:2001}");
    tx_at(22, .seq = 1, .len = 1000); /* a quarter of the minimum RTT, and the timer's 2 ms */
    tx_nothing();                     /* the other two were sent after what was delivered */
    cr_assert_eq(sys_tcp_info(s).tcpi_ca_state, TCP_CA_Recovery);
    cr_assert_eq(sys_tcp_info(s).tcpi_lost, 1);
    rx();
    cr_assert_eq(mib(LINUX_MIB_TCPTIMEOUTS), 0);
}

Test(rack, open_three_sacks_wait_for_the_window_once_reordering_was_seen)
{
    struct socket *s = reordering_seen();

    sys_write(s, 10000);
    cr_assert_eq(tx_ignore(), 10); /* 3001 to 13001 */
    advance_ms(RTT);
    rx(.ack = 3001, .opt = "nop,nop,sack 1 {4001:9001}"); /* five: DupThresh is no proof any more */
    tx_nothing();
    cr_assert_neq(sys_tcp_info(s).tcpi_ca_state, TCP_CA_Recovery);
    tx_at(22, .seq = 3001, .len = 1000);
    cr_assert_eq(sys_tcp_info(s).tcpi_ca_state, TCP_CA_Recovery);
    rx();
}

Test(rack, open_three_sacks_tell_a_loss_at_once_while_none_was_seen)
{
    struct socket *s = in_flight(10);

    rx(.ack = 1, .opt = "nop,nop,sack 1 {1001:3001}");
    tx_nothing();
    rx(.ack = 1, .opt = "nop,nop,sack 1 {1001:4001}");
    tx(.seq = 1, .len = 1000);
    tx_nothing();
    rx();
    cr_assert_eq(sys_tcp_info(s).tcpi_total_retrans, 1);
}

Test(rack, recovery_a_later_hole_is_lost_as_soon_as_a_later_segment_arrives)
{
    struct socket *s = in_flight(10);

    rx(.ack = 1, .opt = "nop,nop,sack 1 {1001:4001}");
    tx(.seq = 1, .len = 1000);
    rx(.ack = 1, .opt = "nop,nop,sack 2 {5001:6001}{1001:4001}"); /* in recovery one is enough */
    tx(.seq = 4001, .len = 1000);
    tx_nothing();
    rx(.ack = 10001);
    cr_assert_eq(sys_tcp_info(s).tcpi_total_retrans, 2);
}

Test(rack, recovery_one_sack_is_enough_however_few_there_are)
{
    struct socket *s = in_flight(10);

    rx(.ack = 1, .opt = "nop,nop,sack 1 {1001:4001}");
    tx(.seq = 1, .len = 1000);
    rx(.ack = 4001, .opt = "nop,nop,sack 1 {5001:6001}");
    tx(.seq = 4001, .len = 1000); /* no reordering window */
    rx(.ack = 10001);
    cr_assert_eq(sys_tcp_info(s).tcpi_reord_seen, 0);
}

Test(rack, open_three_sacks_prove_nothing_when_switched_off)
{
    in_flight(10);
    script_net->ipv4.sysctl_tcp_recovery = 1 | 4;
    rx(.ack = 1, .opt = "nop,nop,sack 1 {1001:4001}");
    tx_nothing();
    tx_at(22, .seq = 1, .len = 1000);
    rx();
}

Test(rack, disorder_window_is_a_round_trip_at_most)
{
    struct socket *s = reordering_seen();

    tcp_sk(s->sk)->rack.reo_wnd_steps = 8;
    tcp_sk(s->sk)->rack.reo_wnd_persist = 16;
    sys_write(s, 2000);
    cr_assert_eq(tx_ignore(), 2);
    advance_ms(RTT);
    rx(.ack = 3001, .opt = "nop,nop,sack 1 {4001:5001}");
    tx_at(sys_tcp_info(s).tcpi_rtt / 1000 + 2, .seq = 3001, .len = 1000);
    rx();
}

Test(rack, disorder_sacked_data_opens_the_window_once_reordering_is_known)
{
    struct socket *s = accepted("mss 1000,sackOK");

    sys_write(s, 9000);
    cr_assert_eq(tx_ignore(), 9);
    sys_write(s, 1000);
    cr_assert_eq(tx_ignore(), 1);
    advance_ms(RTT);
    rx(.ack = 1, .opt = "nop,nop,sack 1 {1001:3001}");
    cr_assert_eq(sys_tcp_info(s).tcpi_snd_cwnd, 10);
    tcp_sk(s->sk)->reordering = 10;
    rx(.ack = 1, .opt = "nop,nop,sack 1 {1001:5001}");
    cr_assert_eq(sys_tcp_info(s).tcpi_snd_cwnd, 12);
    rx();
}

/* ---- lost retransmissions ---------------------------------------------------------------------------- */

Test(rack, recovery_lost_retransmission_is_found_by_a_segment_sent_after_it)
{
    struct socket *s = in_flight(10);

    rx(.ack = 1, .opt = "nop,nop,sack 1 {1001:9001}");
    tx(.seq = 1, .len = 1000);
    advance_ms(10);
    sys_write(s, 1000);
    tx(.seq = 10001, .len = 1000);
    rx(.ack = 1, .opt = "nop,nop,sack 1 {1001:10001}"); /* sent before the retransmission: tells nothing of it */
    tx_nothing();
    advance_ms(RTT);
    rx(.ack = 1, .opt = "nop,nop,sack 1 {1001:11001}"); /* sent 10 ms after it */
    tx(.seq = 1, .len = 1000);
    tx_nothing();
    cr_assert_eq(mib(LINUX_MIB_TCPLOSTRETRANSMIT), 1);
    cr_assert_eq(mib(LINUX_MIB_TCPTIMEOUTS), 0);
    rx();
    cr_assert_eq(sys_tcp_info(s).tcpi_total_retrans, 2);
}

/* ---- the reordering window --------------------------------------------------------------------------- */

/* The first of four segments is retransmitted in vain: it was only late, and the peer says so by D-SACK. */
static void needless_retransmission(struct socket *s)
{
    sys_write(s, 4000);
    cr_assert_eq(tx_ignore(), 4); /* 3001 to 7001 */
    advance_ms(RTT);
    rx(.ack = 3001, .opt = "nop,nop,sack 1 {4001:5001}");
    tx_at(22, .seq = 3001, .len = 1000);
    advance_ms(5);
    rx(.ack = 7001);
    advance_ms(RTT);
    rx(.ack = 7001, .opt = "nop,nop,sack 1 {3001:4001}");
    cr_assert_eq(mib(LINUX_MIB_TCPDSACKRECV), 1);
}

Test(rack, disorder_window_is_doubled_by_a_dsack)
{
    struct socket *s = reordering_seen();

    needless_retransmission(s);
    sys_write(s, 4000);
    cr_assert_eq(tx_ignore(), 4);
    advance_ms(RTT);
    rx(.ack = 7001, .opt = "nop,nop,sack 1 {8001:9001}");
    tx_at(42, .seq = 7001, .len = 1000); /* two quarters */
    rx();
}

Test(rack, disorder_window_stays_when_it_is_static)
{
    struct socket *s = reordering_seen();

    script_net->ipv4.sysctl_tcp_recovery = 1 | 2;
    needless_retransmission(s);
    sys_write(s, 4000);
    cr_assert_eq(tx_ignore(), 4);
    advance_ms(RTT);
    rx(.ack = 7001, .opt = "nop,nop,sack 1 {8001:9001}");
    tx_at(22, .seq = 7001, .len = 1000);
    rx();
}

Test(rack, disorder_window_is_one_quarter_again_after_sixteen_recoveries)
{
    struct socket *s = reordering_seen();
    s64 at = 7001;

    needless_retransmission(s);
    for (int i = 0; i < 16; i++, at += 2000) { /* two in flight: the window falls to that */
        char sack[64];

        sys_write(s, 2000);
        cr_assert_eq(tx_ignore(), 2);
        advance_ms(RTT);
        snprintf(sack, sizeof(sack), "nop,nop,sack 1 {%lld:%lld}", (long long)at + 1000, (long long)at + 2000);
        rx(.ack = at, .opt = sack);
        tx_at(42, .seq = at, .len = 1000);
        advance_ms(RTT);
        rx(.ack = at + 2000);
    }
    sys_write(s, 2000);
    cr_assert_eq(tx_ignore(), 2);
    advance_ms(RTT);
    rx(.ack = at, .opt = "nop,nop,sack 1 {40001:41001}");
    tx_at(22, .seq = at, .len = 1000);
    rx();
}

Test(rack, recovery_late_original_says_nothing_of_what_was_sent_before_its_retransmission)
{
    struct socket *s = accepted("mss 1012,sackOK,TS val 100 ecr 0");

    sys_write(s, 10000);
    cr_assert_eq(tx_ignore(), 10);
    advance_ms(RTT);
    rx(.ack = 1, .opt = "nop,nop,TS val 200 ecr 81,nop,nop,sack 1 {1001:4001}");
    tx(.seq = 1, .len = 1000);
    advance_ms(RTT + 5);
    rx(.ack = 4001, .opt = "nop,nop,TS val 285 ecr 81"); /* the echo is the original's (RFC 8985 6.2 step 2) */
    tx_nothing();
    cr_assert_eq(sys_tcp_info(s).tcpi_lost, 0);
    rx(.ack = 10001, .opt = "nop,nop,TS val 285 ecr 81");
}

/* ---- tail loss probe --------------------------------------------------------------------------------- */

/* Two in flight, the probe resends the last after two round trips and 2 ms; a third is sent behind it. */
static struct socket *probed(void)
{
    struct socket *s = accepted("mss 1000,sackOK");

    sys_write(s, 2000);
    cr_assert_eq(tx_ignore(), 2);
    tx_at(2 * RTT + 2, .seq = 1001, .len = 1000);
    cr_assert_eq(mib(LINUX_MIB_TCPLOSSPROBES), 1);
    cr_assert_eq(sys_tcp_info(s).tcpi_snd_cwnd, 10); /* a probe is no sign of congestion yet */
    sys_write(s, 1000);
    tx(.seq = 2001, .len = 1000);
    advance_ms(RTT);
    return s;
}

Test(rack, open_probe_that_repaired_a_loss_cuts_the_window)
{
    struct socket *s = probed();

    rx(.ack = 3001); /* no D-SACK: the original of the last was lost */
    cr_assert_eq(sys_tcp_info(s).tcpi_snd_ssthresh, 7);
    cr_assert_leq(sys_tcp_info(s).tcpi_snd_cwnd, 8);
    cr_assert_eq(sys_tcp_info(s).tcpi_ca_state, TCP_CA_Open);
    cr_assert_eq(mib(LINUX_MIB_TCPLOSSPROBERECOVERY), 1);
}

Test(rack, open_probe_reported_as_duplicate_cuts_nothing)
{
    struct socket *s = probed();

    /* The plain ACK before was lost: beyond the probe, as after a repair, but for the D-SACK. */
    rx(.ack = 3001, .opt = "nop,nop,sack 1 {1001:2001}");
    cr_assert_gt(sys_tcp_info(s).tcpi_snd_ssthresh, 1000000);
    cr_assert_geq(sys_tcp_info(s).tcpi_snd_cwnd, 10);
    cr_assert_eq(mib(LINUX_MIB_TCPLOSSPROBERECOVERY), 0);
}

Test(rack, open_probe_answered_by_a_plain_duplicate_ack_cuts_nothing)
{
    struct socket *s = probed();

    rx(.ack = 2001);
    rx(.ack = 2001); /* the original had arrived: the probe made this one */
    rx(.ack = 3001);
    cr_assert_gt(sys_tcp_info(s).tcpi_snd_ssthresh, 1000000);
    cr_assert_eq(mib(LINUX_MIB_TCPLOSSPROBERECOVERY), 0);
}

Test(rack, open_probe_with_new_data_cuts_nothing)
{
    struct socket *s = accepted("mss 1000,sackOK");

    sys_write(s, 12000);
    cr_assert_eq(tx_ignore(), 10);
    tx_at(2 * RTT + 2, .seq = 10001, .len = 1000);
    tx_nothing(); /* one, though two wait */
    cr_assert_eq(mib(LINUX_MIB_TCPLOSSPROBES), 1);
    advance_ms(RTT / 2);
    rx(.ack = 11001);
    tx(.seq = 11001, .len = 1000);
    rx(.ack = 12001);
    cr_assert_eq(sys_tcp_info(s).tcpi_total_retrans, 0);
    cr_assert_gt(sys_tcp_info(s).tcpi_snd_ssthresh, 1000000);
    cr_assert_eq(mib(LINUX_MIB_TCPLOSSPROBERECOVERY), 0);
}

Test(rack, open_probe_finds_the_tail_lost_and_all_of_it_is_resent_without_a_timeout)
{
    struct socket *s = accepted("mss 1000,sackOK");

    sys_write(s, 6000);
    cr_assert_eq(tx_ignore(), 6);
    advance_ms(RTT);
    rx(.ack = 2001); /* four are missing */
    advance_ms(2 * RTT + 10);
    tx(.seq = 5001, .len = 1000);
    advance_ms(RTT);
    rx(.ack = 2001, .opt = "nop,nop,sack 1 {5001:6001}"); /* the probe: sent long after the others */
    tx(.seq = 2001, .len = 1000);
    tx_nothing(); /* PRR: one was delivered */
    cr_assert_eq(sys_tcp_info(s).tcpi_ca_state, TCP_CA_Recovery);
    advance_ms(RTT);
    rx(.ack = 3001, .opt = "nop,nop,sack 1 {5001:6001}");
    tx(.seq = 3001, .len = 1000);
    tx(.seq = 4001, .len = 1000);
    advance_ms(RTT);
    rx(.ack = 6001);
    cr_assert_eq(sys_tcp_info(s).tcpi_total_retrans, 4);
    cr_assert_eq(mib(LINUX_MIB_TCPTIMEOUTS), 0);
}

Test(rack, open_unanswered_probe_is_followed_by_the_timeout)
{
    struct socket *s = accepted("mss 1000,sackOK");

    sys_write(s, 2000);
    cr_assert_eq(tx_ignore(), 2);
    tx_at(2 * RTT + 2, .seq = 1001, .len = 1000);
    tx_at(280, .seq = 1, .len = 1000); /* one probe only; the RTO counts from it */
    cr_assert_eq(mib(LINUX_MIB_TCPLOSSPROBES), 1);
    cr_assert_eq(mib(LINUX_MIB_TCPTIMEOUTS), 1);
    cr_assert_eq(sys_tcp_info(s).tcpi_ca_state, TCP_CA_Loss);
    rx(.ack = 2001);
}

Test(rack, open_no_second_probe_while_the_first_is_unanswered)
{
    struct socket *s = probed();

    /* New data armed the probe timer anew, no later than the RTO of the head: it makes way for that. */
    tx_at(39, .seq = 1, .len = 1000);
    cr_assert_eq(mib(LINUX_MIB_TCPLOSSPROBES), 1);
    cr_assert_eq(mib(LINUX_MIB_TCPTIMEOUTS), 1);
    rx(.ack = 3001);
    cr_assert_eq(sys_tcp_info(s).tcpi_unacked, 0);
}

Test(rack, open_without_sack_no_probe_is_sent)
{
    struct socket *s = accepted("mss 1000");

    sys_write(s, 2000);
    cr_assert_eq(tx_ignore(), 2);
    tx_at(280, .seq = 1, .len = 1000); /* the RTO */
    cr_assert_eq(mib(LINUX_MIB_TCPLOSSPROBES), 0);
    rx(.ack = 2001);
}

Test(rack, disorder_window_does_not_grow_by_a_dsack_while_no_reordering_was_seen)
{
    struct socket *s = accepted("mss 1000,sackOK");

    sys_write(s, 4000);
    cr_assert_eq(tx_ignore(), 4);
    advance_ms(RTT);
    rx(.ack = 1, .opt = "nop,nop,sack 1 {1001:2001}");
    tx_at(22, .seq = 1, .len = 1000);
    advance_ms(5);
    rx(.ack = 4001);
    advance_ms(RTT);
    rx(.ack = 4001, .opt = "nop,nop,sack 1 {1:1001}");
    sys_write(s, 4000);
    cr_assert_eq(tx_ignore(), 4);
    advance_ms(RTT);
    rx(.ack = 4001, .opt = "nop,nop,sack 1 {5001:6001}");
    tx_at(22, .seq = 4001, .len = 1000);
    rx();
}

Test(rack, open_dsack_of_what_was_never_resent_is_dubious_and_ignored)
{
    struct socket *s = accepted("mss 1000,sackOK");

    sys_write(s, 4000);
    cr_assert_eq(tx_ignore(), 4);
    advance_ms(RTT);
    rx(.ack = 2001);
    rx(.ack = 2001, .opt = "nop,nop,sack 1 {1:1001}");
    cr_assert_eq(mib(LINUX_MIB_TCPDSACKRECVSEGS), 0);
    rx(.ack = 4001);
}

Test(rack, open_dsack_counts_the_needless_retransmission_as_delivered)
{
    struct socket *s = accepted("mss 1000,sackOK");
    u32 before;

    sys_write(s, 2000);
    cr_assert_eq(tx_ignore(), 2);
    tx_at(2 * RTT + 2, .seq = 1001, .len = 1000); /* the probe */
    sys_write(s, 1000);
    tx(.seq = 2001, .len = 1000);
    rx(.ack = 2001);
    before = sys_tcp_info(s).tcpi_delivered;
    rx(.ack = 2001, .opt = "nop,nop,sack 1 {1001:2001}");
    cr_assert_eq(sys_tcp_info(s).tcpi_delivered, before + 1);
    rx(.ack = 3001);
}
