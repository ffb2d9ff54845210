/* SPDX-License-Identifier: MIT */
/* Opening and ending in the orders that are rare (RFC 9293 3.5, 3.6): SYNs and FINs that cross, segments that come
 * too early, directions that end one after the other, and a new incarnation of what is in TIME-WAIT (RFC 6191). */

#include "../lib/tcpscript.h"

TestSuite(open_close, .init = script_init, .fini = script_fini);

#define TS_SYN "mss 1460,sackOK,TS val 1000 ecr 0"
#define TS_SYNACK "mss 1460,sackOK,TS val 1000 ecr 1"

/* ---- simultaneous open ---------------------------------------------------------------------------------------- */

/* Our SYN and the peer's crossed: SYN-RECEIVED with a full sock. */
static struct socket *crossed_syns(void)
{
    struct socket *s = sys_socket_bound();

    cr_assert_eq(sys_connect(s, SCRIPT_PEER_PORT), -EINPROGRESS);
    tx(.flags = "S");
    rx(.flags = "S", .opt = "mss 1460");
    tx(.flags = "SA", .seq = 0, .ack = 1);
    cr_assert_eq(sys_state(s), TCP_SYN_RECV);
    return s;
}

Test(open_close, crossed_syns_repeat_the_synack_until_it_is_acknowledged)
{
    struct socket *s = crossed_syns();

    tx_at(1000, .flags = "SA", .seq = 0, .ack = 1);
    tx_at(2000, .flags = "SA", .seq = 0, .ack = 1);
    rx(.seq = 1, .ack = 1);
    cr_assert_eq(sys_state(s), TCP_ESTABLISHED);
    advance_ms(10000);
    tx_nothing();
}

Test(open_close, crossed_syns_after_a_lost_one)
{
    struct socket *s = sys_socket_bound();

    cr_assert_eq(sys_connect(s, SCRIPT_PEER_PORT), -EINPROGRESS);
    tx(.flags = "S");
    tx_at(1000, .flags = "S", .seq = 0);
    rx(.flags = "S", .opt = "mss 1460");
    tx(.flags = "SA", .seq = 0, .ack = 1);
    rx(.seq = 1, .ack = 1);
    cr_assert_eq(sys_state(s), TCP_ESTABLISHED);
    cr_assert_eq(sys_error(s), 0);
}

Test(open_close, crossed_syns_with_timestamps_offer_the_whole_mss)
{
    struct socket *s = sys_socket_bound();

    cr_assert_eq(sys_connect(s, SCRIPT_PEER_PORT), -EINPROGRESS);
    tx(.flags = "S", .opt = "mss 1460,*");
    rx(.flags = "S", .opt = "mss 1460,sackOK,TS val 1000 ecr 0,nop,wscale 7");
    tx(.flags = "SA", .seq = 0, .ack = 1, .opt = "mss 1460,sackOK,TS val 1 ecr 1000,nop,wscale *");
    rx(.seq = 1, .ack = 1, .opt = "nop,nop,TS val 1001 ecr 1");
    cr_assert_eq(sys_tcp_info(s).tcpi_advmss, 1448);
    cr_assert_eq(sys_tcp_info(s).tcpi_snd_mss, 1448);
}

Test(open_close, crossed_syns_and_crossed_synacks_need_no_third_segment)
{
    struct socket *s = crossed_syns();

    rx(.flags = "SA", .seq = 0, .ack = 1, .opt = "mss 1460");
    tx_ignore();
    cr_assert_eq(sys_state(s), TCP_ESTABLISHED);
    cr_assert_eq(sys_write(s, 100), 100);
    tx(.seq = 1, .len = 100, .ack = 1);
    rx(.ack = 101);
}

Test(open_close, crossed_syns_repeated_syn_is_answered_and_changes_nothing)
{
    struct socket *s = crossed_syns();

    advance_ms(600);
    rx(.flags = "S", .seq = 0, .opt = "mss 1460");
    cr_assert_eq(tx_ignore(), 1);
    cr_assert_eq(sys_state(s), TCP_SYN_RECV);
    rx(.seq = 1, .ack = 1);
    cr_assert_eq(sys_state(s), TCP_ESTABLISHED);
}

Test(open_close, crossed_syns_data_on_the_ack_is_delivered)
{
    struct socket *s = crossed_syns();

    rx(.seq = 1, .ack = 1, .len = 100);
    tx(.ack = 101);
    cr_assert_eq(sys_state(s), TCP_ESTABLISHED);
    cr_assert_eq(sys_read(s, 1000), 100);
}

Test(open_close, crossed_syns_fin_on_the_ack_opens_and_half_closes)
{
    struct socket *s = crossed_syns();

    rx(.flags = "FA", .seq = 1, .ack = 1);
    advance_ms(50);
    tx(.ack = 2);
    cr_assert_eq(sys_state(s), TCP_CLOSE_WAIT);
    cr_assert_eq(sys_read(s, 10), 0);
    cr_assert_eq(sys_write(s, 10), 10);
    tx(.seq = 1, .len = 10);
    rx(.ack = 11);
}

Test(open_close, crossed_syns_reset_is_an_error)
{
    struct socket *s = crossed_syns();

    rx(.flags = "R", .seq = 1);
    tx_nothing();
    cr_assert_eq(sys_state(s), TCP_CLOSE);
    cr_assert_eq(sys_error(s), ECONNRESET);
    cr_assert_eq(mib(TCP_MIB_ATTEMPTFAILS), 1);
}

Test(open_close, crossed_syns_ack_of_what_was_never_sent_is_reset)
{
    crossed_syns();
    rx(.seq = 1, .ack = 1000);
    tx(.flags = "R", .seq = 1000);
}

Test(open_close, crossed_syns_segment_beyond_the_window_gets_an_ack)
{
    struct socket *s = crossed_syns();

    rx(.seq = 200000, .ack = 1, .len = 10);
    tx(.ack = 1);
    cr_assert_eq(sys_state(s), TCP_SYN_RECV);
    rx(.seq = 1, .ack = 1);
    cr_assert_eq(sys_state(s), TCP_ESTABLISHED);
}

/* ---- SYN-RECEIVED of a listener --------------------------------------------------------------------------------- */

static struct socket *half_open(void)
{
    struct socket *l = sys_listen(80, 10);

    rx(.flags = "S", .opt = "mss 1460");
    tx(.flags = "SA", .ack = 1);
    return l;
}

Test(open_close, listen_syn_with_data_acknowledges_only_the_syn)
{
    struct socket *l = sys_listen(80, 10), *s;

    rx(.flags = "S", .len = 100, .opt = "mss 1460");
    tx(.flags = "SA", .ack = 1);
    rx(.seq = 1, .ack = 1, .len = 100); /* the peer sends it again */
    s = sys_accept_ok(l);
    tx(.ack = 101);
    cr_assert_eq(sys_read(s, 1000), 100);
    cr_assert_eq(sys_read(s, 1000), -EAGAIN);
}

Test(open_close, syn_recv_fin_on_the_ack_is_end_of_file)
{
    struct socket *l = half_open(), *s;

    rx(.flags = "FA", .seq = 1, .ack = 1);
    s = sys_accept_ok(l);
    advance_ms(50);
    tx(.ack = 2);
    cr_assert_eq(sys_state(s), TCP_CLOSE_WAIT);
    cr_assert_eq(sys_read(s, 10), 0);
}

Test(open_close, syn_recv_fin_without_ack_is_dropped)
{
    struct socket *l = half_open(), *s;

    rx(.flags = "F", .seq = 1);
    tx_nothing();
    cr_assert_eq(sys_accept(l, &s), -EAGAIN);
    rx(.seq = 1, .ack = 1);
    cr_assert_eq(sys_state(sys_accept_ok(l)), TCP_ESTABLISHED);
}

Test(open_close, syn_recv_syn_in_the_window_ends_it)
{
    struct socket *l = half_open(), *s;

    rx(.flags = "S", .seq = 100, .opt = "mss 1460");
    tx(.flags = "RA", .seq = 1000, .ack = 101); /* the real 0: our ISN is 1000 below it */
    cr_assert_eq(mib(LINUX_MIB_EMBRYONICRSTS), 1);
    cr_assert_eq(sys_accept(l, &s), -EAGAIN);
}

Test(open_close, syn_recv_reset_outside_the_window_is_ignored)
{
    struct socket *l = half_open();

    rx(.flags = "R", .seq = 200000);
    tx_nothing();
    cr_assert_eq(mib(LINUX_MIB_EMBRYONICRSTS), 0);
    rx(.seq = 1, .ack = 1);
    sys_accept_ok(l);
}

Test(open_close, syn_recv_data_beyond_the_window_gets_an_ack)
{
    struct socket *l = half_open(), *s;

    rx(.seq = 200000, .ack = 1, .len = 10);
    tx(.seq = 1, .ack = 1);
    cr_assert_eq(sys_accept(l, &s), -EAGAIN);
    rx(.seq = 1, .ack = 1);
    sys_accept_ok(l);
}

/* ---- ends that cross -------------------------------------------------------------------------------------------- */

Test(open_close, fin_wait_1_fin_that_acknowledges_ours_is_time_wait_at_once)
{
    struct socket *s = script_accepted("mss 1460", 65535);

    sys_close(s);
    tx(.flags = "FA", .seq = 1, .ack = 1);
    rx(.flags = "FA", .seq = 1, .ack = 2);
    tx(.seq = 2, .ack = 2);
    advance_ms(59000);
    tx_nothing();
    cr_assert_eq(mib(LINUX_MIB_TIMEWAITED), 0);
    advance_ms(2000);
    cr_assert_eq(mib(LINUX_MIB_TIMEWAITED), 1);
}

Test(open_close, closing_repeated_fin_is_acknowledged_again)
{
    struct socket *s = script_accepted("mss 1460", 65535);

    cr_assert_eq(sys_shutdown(s, SHUT_WR), 0);
    tx(.flags = "FA", .seq = 1, .ack = 1);
    rx(.flags = "FA", .seq = 1, .ack = 1);
    tx(.seq = 2, .ack = 2);
    advance_ms(100);
    rx(.flags = "FA", .seq = 1, .ack = 1);
    tx(.seq = 2, .ack = 2);
    cr_assert_eq(sys_state(s), TCP_CLOSING);
    rx(.seq = 2, .ack = 2);
    cr_assert_eq(sys_state(s), TCP_CLOSE, "TIME-WAIT goes on without the sock");
    tx_nothing();
}

Test(open_close, closing_lost_fin_is_sent_again_until_acknowledged)
{
    struct socket *s = script_accepted("mss 1460", 65535);

    sys_close(s);
    tx(.flags = "FA", .seq = 1, .ack = 1);
    rx(.flags = "FA", .seq = 1, .ack = 1);
    tx(.seq = 2, .ack = 2);
    tx_at(200, .flags = "FA", .seq = 1, .ack = 2);
    tx_at(400, .flags = "FA", .seq = 1, .ack = 2);
    rx(.seq = 2, .ack = 2);
    advance_ms(5000);
    tx_nothing();
    rx(.flags = "FA", .seq = 1, .ack = 2);
    tx(.seq = 2, .ack = 2);
}

Test(open_close, closing_with_data_of_ours_unacknowledged)
{
    struct socket *s = script_accepted("mss 1460", 65535);

    sys_write(s, 100);
    tx(.seq = 1, .len = 100);
    cr_assert_eq(sys_shutdown(s, SHUT_WR), 0);
    tx(.flags = "FA", .seq = 101, .ack = 1);
    rx(.flags = "FA", .seq = 1, .ack = 1);
    tx(.seq = 102, .ack = 2);
    rx(.seq = 2, .ack = 101); /* the data, not the FIN */
    cr_assert_eq(sys_state(s), TCP_CLOSING);
    rx(.seq = 2, .ack = 102);
    cr_assert_eq(sys_state(s), TCP_CLOSE);
}

Test(open_close, last_ack_lost_fin_is_sent_again)
{
    struct socket *s = script_accepted("mss 1460", 65535);

    rx(.flags = "FA");
    advance_ms(50);
    tx(.ack = 2);
    sys_close(s);
    tx(.flags = "FA", .seq = 1, .ack = 2);
    tx_at(200, .flags = "FA", .seq = 1, .ack = 2);
    rx(.seq = 2, .ack = 2);
    advance_ms(5000);
    tx_nothing();
    cr_assert_eq(mib(LINUX_MIB_TIMEWAITED), 0);
}

/* ---- half-closed -------------------------------------------------------------------------------------------------- */

Test(open_close, half_closed_by_us_delivers_all_ways)
{
    struct socket *s = script_accepted("mss 1000", 65535);

    sys_write(s, 1500);
    tx(.seq = 1, .len = 1000);
    tx(.seq = 1001, .len = 500);
    cr_assert_eq(sys_shutdown(s, SHUT_WR), 0);
    tx(.flags = "FA", .seq = 1501);
    for (u32 i = 0; i < 5; i++) { /* the peer goes on, and does not acknowledge the FIN yet */
        rx(.seq = 1 + i * 1000, .ack = 1, .len = 1000);
        advance_ms(5);
        tx_ignore();
        cr_assert_eq(sys_read(s, 5000), 1000);
        tx_ignore();
    }
    cr_assert_eq(sys_state(s), TCP_FIN_WAIT1);
    rx(.seq = 5001, .ack = 1501);
    cr_assert_eq(sys_state(s), TCP_FIN_WAIT1);
    rx(.seq = 5001, .ack = 1502);
    cr_assert_eq(sys_state(s), TCP_FIN_WAIT2);
    rx(.seq = 5001, .ack = 1502, .len = 300);
    advance_ms(50);
    tx(.seq = 1502, .ack = 5301);
    cr_assert_eq(sys_read(s, 5000), 300);
    rx(.flags = "FPA", .seq = 5301, .ack = 1502, .len = 200);
    tx(.seq = 1502, .ack = 5502);
    cr_assert_eq(sys_read(s, 5000), 200);
    cr_assert_eq(sys_read(s, 5000), 0);
}

Test(open_close, half_closed_by_the_peer_data_of_ours_is_retransmitted)
{
    struct socket *s = script_accepted("mss 1000", 65535);

    rx(.flags = "FA");
    advance_ms(50);
    tx(.ack = 2);
    sys_write(s, 2000);
    tx(.seq = 1, .len = 1000);
    tx(.seq = 1001, .len = 1000);
    advance_ms(250);
    cr_assert_geq(tx_ignore(), 1);
    cr_assert_eq(sys_state(s), TCP_CLOSE_WAIT);
    rx(.seq = 2, .ack = 2001);
    sys_close(s);
    tx(.flags = "FA", .seq = 2001, .ack = 2);
    rx(.seq = 2, .ack = 2002);
    tx_nothing();
}

Test(open_close, close_wait_data_behind_the_fin_is_not_delivered)
{
    struct socket *s = script_accepted("mss 1460", 65535);

    rx(.flags = "FA");
    advance_ms(50);
    tx(.ack = 2);
    rx(.seq = 2, .len = 100);
    tx_ignore();
    cr_assert_eq(sys_state(s), TCP_CLOSE_WAIT);
    cr_assert_eq(sys_read(s, 100), 0);
    cr_assert_eq(sys_tcp_info(s).tcpi_bytes_received, 1, "the FIN alone counts, as in Linux");
}

Test(open_close, fin_wait_2_fin_beyond_a_hole_waits_for_the_data)
{
    struct socket *s = script_accepted("mss 1460", 65535);

    cr_assert_eq(sys_shutdown(s, SHUT_WR), 0);
    tx(.flags = "FA", .seq = 1, .ack = 1);
    rx(.ack = 2);
    rx(.flags = "FPA", .seq = 101, .ack = 2, .len = 50);
    tx(.seq = 2, .ack = 1);
    cr_assert_eq(sys_state(s), TCP_FIN_WAIT2);
    cr_assert_eq(sys_read(s, 1000), -EAGAIN);
    rx(.seq = 1, .ack = 2, .len = 100);
    tx(.seq = 2, .ack = 152);
    cr_assert_eq(sys_read(s, 1000), 150);
    cr_assert_eq(sys_read(s, 1000), 0);
}

Test(open_close, fin_with_partly_old_data_is_taken)
{
    struct socket *s = script_accepted("mss 1460", 65535);

    rx(.seq = 1, .len = 100);
    tx(.ack = 101);
    rx(.flags = "FPA", .seq = 51, .len = 100);
    advance_ms(50);
    tx(.ack = 152);
    cr_assert_eq(sys_read(s, 1000), 150);
    cr_assert_eq(sys_read(s, 1000), 0);
    cr_assert_eq(sys_state(s), TCP_CLOSE_WAIT);
}

/* ---- a new incarnation ----------------------------------------------------------------------------------------------- */

static u32 old_snd_nxt; /* behind our FIN */

/* In TIME-WAIT on port 80, with a listener; the peer's FIN was 2001, its last timestamp 1050 (they count
 * ms). The listener. */
static struct socket *time_wait(const char *syn_opt)
{
    struct socket *l = sys_listen(80, 10), *s;

    rx(.flags = "S", .opt = syn_opt);
    tx(.flags = "SA", .ack = 1);
    rx();
    s = sys_accept_ok(l);
    rx(.seq = 1, .len = 2000);
    advance_ms(50);
    tx_ignore();
    cr_assert_eq(sys_read(s, 3000), 2000);
    tx_ignore();
    old_snd_nxt = tcp_sk(s->sk)->snd_nxt + 1;
    sys_close(s);
    tx(.flags = "FA", .seq = 1, .ack = 2001);
    rx(.seq = 2001, .ack = 2);
    rx(.flags = "FA", .seq = 2001, .ack = 2);
    tx(.seq = 2, .ack = 2002);
    advance_ms(2000);
    return l;
}

Test(open_close, time_wait_newer_timestamp_reopens_with_an_old_sequence_number)
{
    time_wait(TS_SYN);
    rx(.flags = "S", .seq = 500, .opt = "mss 1460,sackOK,TS val 5000 ecr 0");
    tx(.flags = "SA", .ack = 501);
    rx(.flags = "R", .seq = 501);
}

Test(open_close, time_wait_newer_sequence_number_with_an_older_timestamp_is_refused)
{
    time_wait(TS_SYN);
    rx(.flags = "S", .seq = 100000, .opt = "mss 1460,sackOK,TS val 10 ecr 0");
    tx(.flags = "A", .seq = 2, .ack = 2002);
    cr_assert_eq(mib(LINUX_MIB_PAWS_TW_REJECTED), 1);
}

Test(open_close, time_wait_equal_timestamp_needs_a_newer_sequence_number)
{
    time_wait(TS_SYN);
    rx(.flags = "S", .seq = 500, .opt = "mss 1460,sackOK,TS val 1050 ecr 0");
    tx(.flags = "A", .seq = 2, .ack = 2002);
    rx(.flags = "S", .seq = 2003, .opt = "mss 1460,sackOK,TS val 1050 ecr 0");
    tx(.flags = "SA", .ack = 2004);
    rx(.flags = "R", .seq = 2004);
}

Test(open_close, time_wait_sequence_number_decides_without_timestamps)
{
    time_wait("mss 1460");
    rx(.flags = "S", .seq = 2002, .opt = "mss 1460"); /* just what was expected: not newer */
    tx(.flags = "A", .seq = 2, .ack = 2002);
    rx(.flags = "S", .seq = 2003, .opt = "mss 1460");
    tx(.flags = "SA", .ack = 2004);
    rx(.flags = "R", .seq = 2004);
}

Test(open_close, time_wait_isn_of_the_new_incarnation_is_beyond_the_old)
{
    struct socket *l = time_wait("mss 1460"), *s;

    rx(.flags = "S", .seq = 50000, .opt = "mss 1460");
    tx(.flags = "SA", .ack = 50001);
    rx(.seq = 50001);
    s = sys_accept_ok(l);
    cr_assert_eq(tcp_sk(s->sk)->snd_una - 1 - old_snd_nxt, 65537);
}

Test(open_close, time_wait_reset_is_ignored_with_rfc1337)
{
    script_net->ipv4.sysctl_tcp_rfc1337 = 1;
    time_wait("mss 1460");
    rx(.flags = "R", .seq = 2002);
    tx_nothing();
    rx(.flags = "FA", .seq = 2001, .ack = 2);
    tx(.seq = 2, .ack = 2002);
}

Test(open_close, time_wait_data_is_answered_by_the_ack)
{
    time_wait("mss 1460");
    rx(.seq = 2002, .ack = 2, .len = 100);
    tx(.seq = 2, .ack = 2002);
}

static struct socket *reusable_socket(void)
{
    struct socket *s = sys_socket();

    cr_assert_eq(sys_setsockopt(s, SOL_SOCKET, SO_REUSEADDR, 1), 0);
    cr_assert_eq(sys_bind(s, SCRIPT_LOCAL, SCRIPT_PORT), 0);
    return s;
}

/* In TIME-WAIT on SCRIPT_PORT, which connect() had taken. */
static void time_wait_of_connect(const char *synack_opt)
{
    struct socket *s = reusable_socket();

    cr_assert_eq(sys_connect(s, SCRIPT_PEER_PORT), -EINPROGRESS);
    tx(.flags = "S");
    rx(.flags = "SA", .opt = synack_opt);
    tx(.seq = 1, .ack = 1);
    sys_close(s);
    tx(.flags = "FA", .seq = 1, .ack = 1);
    rx(.flags = "FA", .seq = 1, .ack = 2);
    tx(.seq = 2, .ack = 2);
}

/* What connect() from the port that is in TIME-WAIT says after ms milliseconds. */
static int connect_again(int tw_reuse, u64 ms)
{
    script_net->ipv4.sysctl_tcp_tw_reuse = tw_reuse;
    advance_ms(ms);
    return sys_connect(reusable_socket(), SCRIPT_PEER_PORT);
}

Test(open_close, tw_reuse_connects_again_after_a_second)
{
    time_wait_of_connect(TS_SYNACK);
    cr_assert_eq(connect_again(1, 2100), -EINPROGRESS);
    tx(.flags = "S");
    rx(.flags = "RA", .seq = 0);
    cr_assert_eq(mib(TCP_MIB_ATTEMPTFAILS), 1);
}

Test(open_close, tw_reuse_not_within_the_second)
{
    time_wait_of_connect(TS_SYNACK);
    cr_assert_eq(connect_again(1, 0), -EADDRNOTAVAIL);
}

Test(open_close, tw_reuse_not_without_timestamps)
{
    time_wait_of_connect("mss 1460");
    cr_assert_eq(connect_again(1, 2100), -EADDRNOTAVAIL);
}

Test(open_close, tw_reuse_switched_off_waits_for_the_end)
{
    time_wait_of_connect(TS_SYNACK);
    cr_assert_eq(connect_again(0, 2100), -EADDRNOTAVAIL);
    cr_assert_eq(connect_again(0, 60000), -EINPROGRESS);
    tx(.flags = "S");
    rx(.flags = "RA", .seq = 0, .ack = 1);
}
