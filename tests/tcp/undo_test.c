/* SPDX-License-Identifier: MIT */
/* A reduction that was needless is taken back: Eifel by timestamps (RFC 3522, 4015), D-SACK (RFC 2883, 3708), F-RTO
 * (RFC 5682); and what looks alike but was a loss is not. The initial window is 10, CUBIC reduces it to 7. */

#include "../lib/tcpscript.h"

TestSuite(undo, .init = script_init, .fini = script_fini);

#define SACK_OPT "mss 1000,sackOK"
#define TS_OPT "mss 1012,sackOK,TS val 100 ecr 0" /* 1000 bytes a segment; the handshake ends at TS val 51 */

/* A round trip of 50 ms, hence an RTO of 250 ms; no loss probe in between. */
static struct socket *accepted(const char *opt)
{
    struct socket *l = sys_listen(80, 10), *s;

    rx(.flags = "S", .opt = opt);
    tx(.flags = "SA", .ack = 1);
    advance_ms(50);
    rx();
    s = sys_accept_ok(l);
    sys_close(l);
    script_net->ipv4.sysctl_tcp_early_retrans = 0;
    return s;
}

/* Ten segments in flight, the first taken for lost by SACKs of three others and retransmitted. */
static struct socket *in_recovery(const char *opt, const char *sack)
{
    struct socket *s = accepted(opt);

    sys_write(s, 10000);
    cr_assert_eq(tx_ignore(), 10);
    advance_ms(50);
    rx(.ack = 1, .opt = sack);
    tx(.seq = 1, .len = 1000);
    cr_assert_eq(sys_tcp_info(s).tcpi_ca_state, TCP_CA_Recovery);
    cr_assert_eq(sys_tcp_info(s).tcpi_snd_ssthresh, 7);
    tx_nothing();
    return s;
}

/* The window is what it was before the reduction: ten, or more by growth since, and slow start goes on. */
static void restored(struct socket *s)
{
    struct tcp_info info = sys_tcp_info(s);

    cr_assert_eq(info.tcpi_ca_state, TCP_CA_Open);
    cr_assert_geq(info.tcpi_snd_cwnd, 10, "the window is %u", info.tcpi_snd_cwnd);
    cr_assert_gt(info.tcpi_snd_ssthresh, 1000000, "ssthresh is %u", info.tcpi_snd_ssthresh);
}

/* (one more: what the last ACK delivered may count for congestion avoidance) */
static void stays_reduced(struct socket *s)
{
    struct tcp_info info = sys_tcp_info(s);

    cr_assert_leq(info.tcpi_snd_cwnd, 8, "the window is %u", info.tcpi_snd_cwnd);
    cr_assert_eq(info.tcpi_snd_ssthresh, 7);
}

/* ---- Eifel ------------------------------------------------------------------------------------------- */

Test(undo, recovery_ack_of_all_for_the_original_restores)
{
    struct socket *s = in_recovery(TS_OPT, "nop,nop,TS val 200 ecr 51,nop,nop,sack 1 {1001:4001}");

    rx(.ack = 10001, .opt = "nop,nop,TS val 201 ecr 51");
    restored(s);
    cr_assert_eq(mib(LINUX_MIB_TCPFULLUNDO), 1);
}

Test(undo, recovery_ack_of_all_for_the_retransmission_does_not)
{
    struct socket *s = in_recovery(TS_OPT, "nop,nop,TS val 200 ecr 51,nop,nop,sack 1 {1001:4001}");

    advance_ms(50);
    rx(.ack = 10001, .opt = "nop,nop,TS val 250 ecr 101");
    stays_reduced(s);
    cr_assert_eq(sys_tcp_info(s).tcpi_ca_state, TCP_CA_Open);
    cr_assert_eq(mib(LINUX_MIB_TCPFULLUNDO), 0);
}

Test(undo, recovery_partial_ack_for_the_original_restores_and_resends_nothing_more)
{
    struct socket *s = in_recovery(TS_OPT, "nop,nop,TS val 200 ecr 51,nop,nop,sack 1 {1001:4001}");

    rx(.ack = 4001, .opt = "nop,nop,TS val 201 ecr 51");
    tx_nothing();
    restored(s);
    cr_assert_eq(mib(LINUX_MIB_TCPPARTIALUNDO), 1);
    rx(.ack = 10001);
    cr_assert_eq(sys_tcp_info(s).tcpi_total_retrans, 1);
}

Test(undo, loss_ack_for_the_original_restores_and_resends_nothing_more)
{
    struct socket *s = accepted(TS_OPT);

    sys_write(s, 10000);
    cr_assert_eq(tx_ignore(), 10);
    tx_at(250, .seq = 1, .len = 1000);
    cr_assert_eq(sys_tcp_info(s).tcpi_ca_state, TCP_CA_Loss);
    cr_assert_eq(sys_tcp_info(s).tcpi_snd_cwnd, 1);
    cr_assert_eq(sys_tcp_info(s).tcpi_lost, 10);
    rx(.ack = 1001, .opt = "nop,nop,TS val 400 ecr 51");
    tx_nothing();
    restored(s);
    cr_assert_eq(sys_tcp_info(s).tcpi_lost, 0);
    cr_assert_eq(mib(LINUX_MIB_TCPLOSSUNDO), 1);
    rx(.ack = 10001);
}

Test(undo, loss_ack_for_the_retransmission_goes_on_resending)
{
    struct socket *s = accepted(TS_OPT);

    sys_write(s, 10000);
    cr_assert_eq(tx_ignore(), 10);
    tx_at(250, .seq = 1, .len = 1000);
    advance_ms(50);
    rx(.ack = 1001, .opt = "nop,nop,TS val 450 ecr 301");
    tx(.seq = 1001, .len = 1000);
    tx(.seq = 2001, .len = 1000);
    tx_nothing();
    cr_assert_eq(sys_tcp_info(s).tcpi_ca_state, TCP_CA_Loss);
    cr_assert_eq(mib(LINUX_MIB_TCPLOSSUNDO), 0);
    rx(.ack = 10001, .opt = "nop,nop,TS val 451 ecr 301");
    cr_assert_eq(sys_tcp_info(s).tcpi_snd_ssthresh, 7);
}

/* ---- D-SACK ------------------------------------------------------------------------------------------ */

Test(undo, open_dsack_after_recovery_restores)
{
    struct socket *s = in_recovery(SACK_OPT, "nop,nop,sack 1 {1001:4001}");

    rx(.ack = 10001);
    stays_reduced(s);
    advance_ms(50);
    rx(.ack = 10001, .opt = "nop,nop,sack 1 {1:1001}");
    restored(s);
    cr_assert_eq(mib(LINUX_MIB_TCPDSACKUNDO), 1);
}

Test(undo, open_dsack_of_one_of_two_retransmissions_does_not_restore_but_of_both_does)
{
    struct socket *s = accepted(SACK_OPT);

    sys_write(s, 10000);
    cr_assert_eq(tx_ignore(), 10);
    advance_ms(50);
    rx(.ack = 1, .opt = "nop,nop,sack 1 {2001:10001}"); /* two are missing */
    tx(.seq = 1, .len = 1000);
    tx(.seq = 1001, .len = 1000);
    rx(.ack = 10001);
    advance_ms(50);
    rx(.ack = 10001, .opt = "nop,nop,sack 1 {1:1001}");
    stays_reduced(s);
    cr_assert_eq(mib(LINUX_MIB_TCPDSACKUNDO), 0);
    rx(.ack = 10001, .opt = "nop,nop,sack 1 {1001:2001}");
    restored(s);
    cr_assert_eq(mib(LINUX_MIB_TCPDSACKUNDO), 1);
}

Test(undo, recovery_dsack_of_the_retransmission_restores_at_once)
{
    struct socket *s = in_recovery(SACK_OPT, "nop,nop,sack 1 {1001:4001}");

    rx(.ack = 4001); /* the original was late: partial, six are still in flight */
    cr_assert_eq(sys_tcp_info(s).tcpi_ca_state, TCP_CA_Recovery);
    rx(.ack = 4001, .opt = "nop,nop,sack 1 {1:1001}"); /* the retransmission arrived too */
    tx_nothing();
    restored(s);
    cr_assert_eq(mib(LINUX_MIB_TCPDSACKUNDO), 1);
    rx(.ack = 10001);
}

Test(undo, recovery_without_sack_is_not_undone_by_the_ack_that_leaves_it)
{
    struct socket *s = accepted("mss 1000");

    sys_write(s, 10000);
    cr_assert_eq(tx_ignore(), 10);
    advance_ms(50);
    for (int i = 0; i < 3; i++)
        rx(.ack = 1);
    tx(.seq = 1, .len = 1000);
    advance_ms(50);
    rx(.ack = 10001); /* all there was: it stays in recovery until more is acknowledged (RFC 6582 4.1) */
    cr_assert_eq(sys_tcp_info(s).tcpi_ca_state, TCP_CA_Recovery);
    sys_write(s, 1000);
    tx(.seq = 10001, .len = 1000);
    rx(.ack = 11001);
    cr_assert_eq(sys_tcp_info(s).tcpi_ca_state, TCP_CA_Open);
    stays_reduced(s);
    cr_assert_eq(mib(LINUX_MIB_TCPFULLUNDO), 0);
}

Test(undo, recovery_dsack_with_the_ack_that_first_covers_it_restores)
{
    struct socket *s = in_recovery(SACK_OPT, "nop,nop,sack 1 {1001:10001}");

    rx(.ack = 10001, .opt = "nop,nop,sack 1 {1:1001}");
    restored(s);
    cr_assert_eq(mib(LINUX_MIB_TCPFULLUNDO), 1);
}

/* ---- F-RTO ------------------------------------------------------------------------------------------- */

/* Ten in flight, more to send, a time-out, and an ACK that may be for either transmission of the first. */
static struct socket *after_timeout(void)
{
    struct socket *s = accepted(SACK_OPT);

    sys_write(s, 20000);
    cr_assert_eq(tx_ignore(), 10);
    tx_at(250, .seq = 1, .len = 1000);
    advance_ms(2);
    rx(.ack = 1001);
    return s;
}

Test(undo, loss_frto_tries_new_data_and_an_ack_of_originals_restores)
{
    struct socket *s = after_timeout();

    tx(.seq = 10001, .len = 1000); /* step 2b: new data, not what was counted lost */
    tx(.seq = 11001, .len = 1000);
    tx_nothing();
    cr_assert_eq(sys_tcp_info(s).tcpi_ca_state, TCP_CA_Loss);
    rx(.ack = 2001); /* step 3b: never retransmitted, yet there */
    tx_ignore();
    restored(s);
    cr_assert_eq(mib(LINUX_MIB_TCPSPURIOUSRTOS), 1);
    cr_assert_eq(sys_tcp_info(s).tcpi_total_retrans, 1);
    rx();
    tx_ignore();
    rx();
    tx_ignore();
}

Test(undo, loss_frto_goes_on_after_a_dsack_alone)
{
    struct socket *s = accepted(SACK_OPT);

    sys_write(s, 20000);
    cr_assert_eq(tx_ignore(), 10);
    tx_at(250, .seq = 1, .len = 1000);
    tx_at(500, .seq = 1, .len = 1000);
    advance_ms(2);
    rx(.ack = 1001);
    cr_assert_eq(tx_ignore(), 2);
    rx(.ack = 1001, .opt = "nop,nop,sack 1 {1:1001}"); /* no duplicate ACK of the new data: step 3a does not apply */
    rx(.ack = 2001);
    tx_ignore();
    restored(s);
    cr_assert_eq(mib(LINUX_MIB_TCPSPURIOUSRTOS), 1);
    rx();
    tx_ignore();
    rx();
    tx_ignore();
}

Test(undo, loss_frto_sack_of_originals_restores)
{
    struct socket *s = after_timeout();

    cr_assert_eq(tx_ignore(), 2);
    rx(.ack = 1001, .opt = "nop,nop,sack 1 {2001:3001}");
    tx_ignore();
    cr_assert_eq(mib(LINUX_MIB_TCPSPURIOUSRTOS), 1);
    cr_assert_geq(sys_tcp_info(s).tcpi_snd_cwnd, 10);
    rx();
    tx_ignore();
    rx();
    tx_ignore();
}

Test(undo, loss_frto_sack_of_the_new_data_alone_was_a_real_timeout)
{
    struct socket *s = after_timeout();

    cr_assert_eq(tx_ignore(), 2);
    advance_ms(50);
    rx(.ack = 1001, .opt = "nop,nop,sack 1 {10001:11001}");
    tx(.seq = 1001, .len = 1000); /* step 3a: go on resending */
    tx_ignore();
    cr_assert_eq(sys_tcp_info(s).tcpi_ca_state, TCP_CA_Loss);
    cr_assert_eq(sys_tcp_info(s).tcpi_snd_ssthresh, 7);
    rx(.ack = 1001, .opt = "nop,nop,sack 2 {3001:4001}{10001:11001}"); /* an original all the same: too late to tell */
    tx_ignore();
    cr_assert_eq(mib(LINUX_MIB_TCPSPURIOUSRTOS), 0);
    rx();
    tx_ignore();
    rx();
    tx_ignore();
}

Test(undo, loss_frto_is_not_tried_after_a_recovery)
{
    struct socket *s = accepted(SACK_OPT);

    sys_write(s, 20000);
    cr_assert_eq(tx_ignore(), 10);
    advance_ms(50);
    rx(.ack = 1, .opt = "nop,nop,sack 1 {1001:4001}");
    tx(.seq = 1, .len = 1000);
    advance_ms(240);
    tx_ignore();
    advance_ms(20);
    tx(.seq = 1, .len = 1000); /* the time-out: the retransmission was lost too */
    cr_assert_eq(sys_tcp_info(s).tcpi_ca_state, TCP_CA_Loss);
    advance_ms(2);
    rx(.ack = 4001);
    tx(.seq = 4001, .len = 1000); /* not new data */
    tx_ignore();
    rx();
    tx_ignore();
    rx();
    tx_ignore();
}

Test(undo, loss_frto_with_nothing_new_to_send_resends)
{
    struct socket *s = accepted(SACK_OPT);

    sys_write(s, 10000);
    cr_assert_eq(tx_ignore(), 10);
    tx_at(250, .seq = 1, .len = 1000);
    advance_ms(50);
    rx(.ack = 1001);
    tx(.seq = 1001, .len = 1000);
    tx(.seq = 2001, .len = 1000);
    rx(.ack = 10001);
    cr_assert_eq(mib(LINUX_MIB_TCPSPURIOUSRTOS), 0);
    cr_assert_eq(sys_tcp_info(s).tcpi_snd_ssthresh, 7);
}

Test(undo, loss_frto_switched_off_resends)
{
    script_net->ipv4.sysctl_tcp_frto = 0;
    after_timeout();
    tx(.seq = 1001, .len = 1000);
    tx(.seq = 2001, .len = 1000);
    tx_nothing();
    rx(.ack = 10001);
    tx_ignore();
    rx();
    tx_ignore();
}

/* ---- SYN and SYN-ACK (RFC 6298 5.7: one segment to begin with after a loss of them) ------------------ */

static struct socket *syn_sent_twice_more(void)
{
    struct socket *s = sys_socket_bound();

    cr_assert_eq(sys_connect(s, SCRIPT_PEER_PORT), -EINPROGRESS);
    tx(.flags = "S", .opt = "*TS val 1 ecr 0*");
    tx_at(1000, .flags = "S", .seq = 0);
    tx_at(1000, .flags = "S", .seq = 0);
    return s;
}

Test(undo, syn_sent_synack_for_the_last_syn_begins_with_one_segment)
{
    struct socket *s = syn_sent_twice_more();

    advance_ms(50);
    rx(.flags = "SA", .opt = "mss 1000,sackOK,TS val 100 ecr 2001,nop,wscale 7");
    tx(.ack = 1);
    cr_assert_eq(sys_tcp_info(s).tcpi_snd_cwnd, 1);
}

Test(undo, syn_recv_ack_for_the_last_synack_begins_with_one_segment)
{
    struct socket *l = sys_listen(80, 10), *s;

    rx(.flags = "S", .opt = "mss 1000,sackOK,TS val 100 ecr 0");
    tx(.flags = "SA", .opt = "*TS val 1 ecr 100*");
    tx_at(1000, .flags = "SA", .seq = 0);
    tx_at(2000, .flags = "SA", .seq = 0);
    advance_ms(50);
    rx(.opt = "nop,nop,TS val 3101 ecr 3001");
    s = sys_accept_ok(l);
    cr_assert_eq(sys_tcp_info(s).tcpi_snd_cwnd, 1);
}

Test(undo, syn_sent_synack_for_the_first_syn_keeps_the_initial_window)
{
    struct socket *s = syn_sent_twice_more();

    rx(.flags = "SA", .opt = "mss 1000,sackOK,TS val 100 ecr 1,nop,wscale 7");
    tx(.ack = 1);
    cr_assert_eq(sys_tcp_info(s).tcpi_snd_cwnd, 10);
}

Test(undo, syn_recv_ack_for_the_first_synack_keeps_the_initial_window)
{
    struct socket *l = sys_listen(80, 10), *s;

    rx(.flags = "S", .opt = "mss 1000,sackOK,TS val 100 ecr 0");
    tx(.flags = "SA", .opt = "*TS val 1 ecr 100*");
    tx_at(1000, .flags = "SA", .seq = 0);
    tx_at(2000, .flags = "SA", .seq = 0);
    rx(.opt = "nop,nop,TS val 101 ecr 1");
    s = sys_accept_ok(l);
    cr_assert_eq(sys_tcp_info(s).tcpi_snd_cwnd, 10);
}
