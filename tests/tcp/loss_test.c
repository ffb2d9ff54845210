/* SPDX-License-Identifier: MIT */
/* Retransmission: time-outs (RFC 6298), fast retransmit with SACK (RFC 8985) and without (RFC 6582), tail loss
 * probes, D-SACK, and the persist timer. */

#include "../lib/tcpscript.h"

TestSuite(loss, .init = script_init, .fini = script_fini);

/* A connection with a round trip of `rtt` ms in its handshake. */
static struct socket *accepted_rtt(const char *opt, u64 rtt, int win)
{
    struct socket *l = sys_listen(80, 10), *s;

    rx(.flags = "S", .opt = opt, .win = win);
    tx(.flags = "SA", .ack = 1);
    advance_ms(rtt);
    rx();
    s = sys_accept_ok(l);
    sys_close(l);
    return s;
}

Test(loss, rto_retransmits_with_backoff)
{
    struct socket *s = script_accepted("mss 1000", 65535);

    cr_assert_eq(sys_write(s, 1000), 1000);
    tx(.len = 1000);
    tx_at(200, .seq = 1, .len = 1000);
    tx_at(400, .seq = 1, .len = 1000);
    tx_at(800, .seq = 1, .len = 1000);
    tx_at(1600, .seq = 1, .len = 1000);
    cr_assert_eq(sys_tcp_info(s).tcpi_retransmits, 4);
    cr_assert_eq(sys_tcp_info(s).tcpi_snd_cwnd, 1);
    rx();
    cr_assert_eq(sys_tcp_info(s).tcpi_retransmits, 0);
    cr_assert_eq(mib(LINUX_MIB_TCPTIMEOUTS), 4);
    cr_assert_eq(mib(TCP_MIB_RETRANSSEGS), 4);
}

Test(loss, rto_without_timestamps_takes_no_rtt_from_a_retransmitted_segment)
{
    struct socket *s = script_accepted("mss 1000", 65535);
    u32 rtt = sys_tcp_info(s).tcpi_rtt;

    sys_write(s, 1000);
    tx(.len = 1000);
    tx_at(200, .seq = 1, .len = 1000);
    advance_ms(150);
    rx(); /* Karn: for which of the two? */
    cr_assert_eq(sys_tcp_info(s).tcpi_rtt, rtt);
}

Test(loss, rto_resends_only_the_head_then_slow_starts)
{
    struct socket *s = script_accepted("mss 1000", 65535);

    sys_write(s, 4000);
    cr_assert_eq(tx_ignore(), 4);
    tx_at(200, .seq = 1, .len = 1000);
    tx_nothing();
    advance_ms(100);
    rx(.ack = 1001);
    tx(.seq = 1001, .len = 1000);
    tx(.seq = 2001, .len = 1000);
    rx(.ack = 4001);
    tx_nothing();
}

Test(loss, rto_gives_up_after_tcp_retries2)
{
    struct socket *s = script_accepted("mss 1000", 65535);

    script_net->ipv4.sysctl_tcp_retries2 = 5;
    sys_write(s, 100);
    tx(.len = 100);
    advance_ms(60000);
    cr_assert_geq(tx_ignore(), 4);
    cr_assert_eq(sys_error(s), ETIMEDOUT);
    cr_assert_eq(sys_state(s), TCP_CLOSE);
    cr_assert_eq(mib(LINUX_MIB_TCPABORTONTIMEOUT), 1);
}

Test(loss, three_sacks_above_a_hole_retransmit_it)
{
    struct socket *s = accepted_rtt("mss 1000,sackOK", 50, 65535);

    sys_write(s, 5000);
    cr_assert_eq(tx_ignore(), 5);
    advance_ms(50);
    rx(.ack = 1, .opt = "nop,nop,sack 1 {1001:2001}");
    tx_nothing();
    rx(.ack = 1, .opt = "nop,nop,sack 1 {1001:3001}");
    tx_nothing();
    rx(.ack = 1, .opt = "nop,nop,sack 1 {1001:4001}");
    tx(.seq = 1, .len = 1000);
    tx_nothing();
    cr_assert_eq(sys_tcp_info(s).tcpi_ca_state, TCP_CA_Recovery);
    rx(.ack = 5001);
    tx_nothing();
    cr_assert_eq(sys_tcp_info(s).tcpi_total_retrans, 1);
    cr_assert_eq(mib(LINUX_MIB_TCPSACKRECOVERY), 1);
    cr_assert_eq(mib(LINUX_MIB_TCPTIMEOUTS), 0);
}

Test(loss, rack_retransmits_after_the_reordering_window)
{
    struct socket *s = accepted_rtt("mss 1000,sackOK", 80, 65535);

    sys_write(s, 3000);
    cr_assert_eq(tx_ignore(), 3);
    advance_ms(80);
    rx(.ack = 1, .opt = "nop,nop,sack 1 {1001:2001}");
    tx_nothing();
    tx_at(22, .seq = 1, .len = 1000); /* a quarter of min_rtt, and 2 ms */
    rx();
    cr_assert_eq(mib(LINUX_MIB_TCPTIMEOUTS), 0);
}

Test(loss, sack_retransmits_only_the_holes)
{
    struct socket *s = accepted_rtt("mss 1000,sackOK", 50, 65535);

    sys_write(s, 8000);
    cr_assert_eq(tx_ignore(), 8);
    advance_ms(50);
    rx(.ack = 1, .opt = "nop,nop,sack 2 {1001:3001}{4001:6001}");
    tx_ignore();
    rx(.ack = 1, .opt = "nop,nop,sack 2 {1001:3001}{4001:8001}");
    advance_ms(5);
    rx(.ack = 3001, .opt = "nop,nop,sack 1 {4001:8001}");
    tx_ignore();
    rx(.ack = 8001);
    cr_assert_eq(sys_tcp_info(s).tcpi_total_retrans, 2);
}

Test(loss, sack_beyond_what_was_sent_is_ignored)
{
    struct socket *s = accepted_rtt("mss 1000,sackOK", 50, 65535);

    sys_write(s, 2000);
    cr_assert_eq(tx_ignore(), 2);
    rx(.ack = 1, .opt = "nop,nop,sack 1 {50001:60001}");
    rx(.ack = 1, .opt = "nop,nop,sack 1 {1501:1001}");
    cr_assert_eq(sys_tcp_info(s).tcpi_sacked, 0);
    rx();
    tx_nothing();
}

Test(loss, three_duplicate_acks_without_sack_retransmit_the_head)
{
    struct socket *s = accepted_rtt("mss 1000", 50, 65535);

    sys_write(s, 5000);
    cr_assert_eq(tx_ignore(), 5);
    advance_ms(50);
    rx(.ack = 1);
    rx(.ack = 1);
    tx_nothing();
    rx(.ack = 1);
    tx(.seq = 1, .len = 1000);
    tx_nothing();
    cr_assert_eq(mib(LINUX_MIB_TCPRENORECOVERY), 1);
    rx(.ack = 3001); /* partial: the next hole goes at once (RFC 6582) */
    tx(.seq = 3001, .len = 1000);
    rx(.ack = 5001);
    tx_nothing();
}

Test(loss, window_update_is_no_duplicate_ack)
{
    struct socket *s = accepted_rtt("mss 1000", 50, 60000);

    sys_write(s, 5000);
    cr_assert_eq(tx_ignore(), 5);
    for (int i = 1; i <= 5; i++)
        rx(.ack = 1, .win = 60000 + i);
    tx_nothing();
    rx();
}

Test(loss, limited_transmit_sends_new_data_on_the_first_sacks)
{
    struct socket *s = accepted_rtt("mss 1000,sackOK", 50, 65535);

    sys_write(s, 20000);
    cr_assert_eq(tx_ignore(), 10);
    advance_ms(50);
    rx(.ack = 1, .opt = "nop,nop,sack 1 {1001:2001}");
    tx(.seq = 10001, .len = 1000);
    tx_nothing();
    advance_ms(2); /* within a ms TSO would be deferred */
    rx(.ack = 1, .opt = "nop,nop,sack 1 {1001:3001}");
    tx(.seq = 11001, .len = 1000);
    rx(.ack = 12001);
    tx_ignore();
    rx();
    tx_ignore();
}

Test(loss, cwnd_is_reduced_once_per_recovery)
{
    struct socket *s;
    struct tcp_info info;

    s = accepted_rtt("mss 1000,sackOK", 50, 65535);
    sys_setsockopt(s, IPPROTO_TCP, TCP_NODELAY, 1);
    sys_write(s, 10000);
    cr_assert_eq(tx_ignore(), 10);
    advance_ms(50);
    rx(.ack = 1, .opt = "nop,nop,sack 1 {1001:4001}");
    tx(.seq = 1, .len = 1000);
    rx(.ack = 1, .opt = "nop,nop,sack 1 {1001:10001}");
    tx_nothing();
    advance_ms(50);
    rx(.ack = 10001);
    info = sys_tcp_info(s);
    cr_assert_eq(info.tcpi_snd_ssthresh, 7); /* CUBIC: 0.7 of 10 */
    cr_assert_eq(info.tcpi_ca_state, TCP_CA_Open);
    cr_assert_leq(info.tcpi_snd_cwnd, 7);
}

Test(loss, dsack_of_all_retransmissions_undoes_the_reduction)
{
    struct socket *s = accepted_rtt("mss 1000,sackOK", 50, 65535);

    sys_write(s, 10000);
    cr_assert_eq(tx_ignore(), 10);
    advance_ms(50);
    rx(.ack = 1, .opt = "nop,nop,sack 1 {1001:4001}");
    tx(.seq = 1, .len = 1000);
    rx(.ack = 4001); /* the original was only late */
    tx_ignore();
    rx(.ack = 4001, .opt = "nop,nop,sack 1 {1:1001}");
    tx_ignore();
    rx(.ack = 10001);
    cr_assert_eq(sys_tcp_info(s).tcpi_snd_cwnd >= 10, true);
    cr_assert_eq(mib(LINUX_MIB_TCPDSACKRECV), 1);
}

Test(loss, late_ack_with_old_timestamp_undoes_the_timeout)
{
    struct socket *s = accepted_rtt("mss 1000,sackOK,TS val 100 ecr 0", 50, 65535);
    struct tcp_info info;

    sys_setsockopt(s, IPPROTO_TCP, TCP_NODELAY, 1);
    sys_write(s, 500);
    tx(.len = 500, .opt = "nop,nop,TS val 51 ecr *");
    advance_ms(1000); /* probe and time-out */
    cr_assert_geq(tx_ignore(), 1);
    rx(.ack = 501, .opt = "nop,nop,TS val 2000 ecr 51"); /* Eifel: for the first transmission */
    info = sys_tcp_info(s);
    cr_assert_eq(info.tcpi_snd_cwnd, 10);
    cr_assert_eq(info.tcpi_ca_state, TCP_CA_Open);
}

/* ---- tail loss probe ------------------------------------------------------------------------------------------- */

Test(loss, tail_loss_probe_resends_the_last_segment_after_two_rtt)
{
    struct socket *s = accepted_rtt("mss 1000,sackOK", 100, 65535);

    sys_write(s, 2000);
    cr_assert_eq(tx_ignore(), 2);
    tx_at(202, .seq = 1001, .len = 1000);
    cr_assert_eq(mib(LINUX_MIB_TCPLOSSPROBES), 1);
    advance_ms(100);
    rx(.ack = 1, .opt = "nop,nop,sack 1 {1001:2001}");
    advance_ms(60);
    tx(.seq = 1, .len = 1000);
    rx();
    cr_assert_eq(mib(LINUX_MIB_TCPTIMEOUTS), 0);
}

Test(loss, tail_loss_probe_of_one_segment_waits_for_a_delayed_ack)
{
    struct socket *s = accepted_rtt("mss 1000,sackOK", 20, 65535);

    sys_write(s, 700);
    tx(.len = 700);
    advance_ms(210);
    tx_nothing();
    advance_ms(60);
    tx(.seq = 1, .len = 700);
    rx();
    cr_assert_eq(mib(LINUX_MIB_TCPLOSSPROBES), 1);
}

Test(loss, tail_loss_probe_prefers_new_data)
{
    struct socket *s = accepted_rtt("mss 1000,sackOK", 100, 65535);

    sys_write(s, 12000);
    cr_assert_eq(tx_ignore(), 10);
    tx_at(202, .seq = 10001, .len = 1000);
    rx(.ack = 11001);
    tx_ignore();
    rx();
}

/* ---- persist -------------------------------------------------------------------------------------------------------- */

Test(loss, zero_window_is_probed_with_backoff)
{
    struct socket *s = script_accepted("mss 1000", 2000);

    sys_write(s, 4000);
    tx(.len = 1000);
    tx(.len = 1000);
    rx(.win = 0);
    tx_nothing();
    tx_at(200, .seq = 2000);
    rx(.win = 0);
    tx_at(400, .seq = 2000);
    rx(.win = 0);
    tx_at(800, .seq = 2000);
    rx(.win = 5000);
    tx(.seq = 2001, .len = 1000);
    tx(.seq = 3001, .len = 1000);
    rx();
    cr_assert_eq(mib(LINUX_MIB_TCPWINPROBE), 3);
}

Test(loss, zero_window_probes_go_on_while_they_are_answered)
{
    struct socket *s = script_accepted("mss 1000", 2000);

    sys_write(s, 3000);
    cr_assert_eq(tx_ignore(), 2);
    rx(.win = 0);
    for (int i = 0; i < 20; i++) {
        for (int k = 0; k < 130; k++) {
            advance_ms(1000);
            if (tx_ignore())
                break;
        }
        rx(.ack = 2001, .win = 0);
    }
    cr_assert_eq(sys_state(s), TCP_ESTABLISHED);
    rx(.ack = 2001, .win = 2000);
    tx(.seq = 2001, .len = 1000);
    rx();
}

Test(loss, small_window_is_not_filled_before_the_probe)
{
    struct socket *s = script_accepted("mss 1000", 2000);

    sys_write(s, 3000);
    tx(.len = 1000);
    tx(.len = 1000);
    rx(.win = 300);
    tx_nothing();
    advance_ms(250);
    tx(.seq = 2001, .len = 300);
    rx(.win = 5000);
    tx_ignore();
    rx();
}
