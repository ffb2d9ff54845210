/* SPDX-License-Identifier: MIT */
/* TIME-WAIT and FIN-WAIT-2 without a sock: what ends them, what begins them anew, how often they answer, how many
 * there may be, and tcp_tw_reuse_delay. What opens a new incarnation is in open_close_test.c. */

#include "../lib/tcpscript.h"

TestSuite(time_wait, .init = script_init, .fini = script_fini);

#define TS_SYN "mss 1460,sackOK,TS val 1000 ecr 0"

/* The program has closed and the peer acknowledged it: a time-wait sock in FIN-WAIT-2. */
static void fin_wait_2(const char *syn_opt)
{
    sys_close(script_accepted(syn_opt, 65535));
    tx(.flags = "FA", .seq = 1, .ack = 1);
    rx(.ack = 2);
    cr_assert_eq(atomic_load(&script_net->orphan_count), 0);
}

static void time_wait(const char *syn_opt)
{
    fin_wait_2(syn_opt);
    rx(.flags = "FA", .seq = 1, .ack = 2);
    tx(.seq = 2, .ack = 2);
    advance_ms(1000);
}

/* ---- FIN-WAIT-2 ---------------------------------------------------------------------------------------------- */

Test(time_wait, fin_wait_2_old_ack_is_answered_twice_a_second_at_most)
{
    fin_wait_2("mss 1460");
    rx(.seq = -50);
    tx(.seq = 2, .ack = 1);
    advance_ms(400);
    rx(.seq = -50);
    tx_nothing();
    cr_assert_eq(mib(LINUX_MIB_TCPACKSKIPPEDFINWAIT2), 1);
    advance_ms(101);
    rx(.seq = -50);
    tx(.seq = 2, .ack = 1);
}

Test(time_wait, fin_wait_2_bare_ack_is_dropped)
{
    fin_wait_2("mss 1460");
    rx(.seq = 1, .ack = 2);
    tx_nothing();
}

Test(time_wait, fin_wait_2_data_is_reset_and_ends_it)
{
    fin_wait_2("mss 1460");
    rx(.seq = 1, .ack = 2, .len = 10);
    tx(.flags = "R", .seq = 2);
    rx(.flags = "FA", .seq = 1, .ack = 2);
    tx(.flags = "R", .seq = 2);
}

Test(time_wait, fin_wait_2_fin_with_data_is_reset)
{
    fin_wait_2("mss 1460");
    rx(.flags = "FPA", .seq = 1, .ack = 2, .len = 10);
    tx(.flags = "R", .seq = 2);
}

Test(time_wait, fin_wait_2_syn_in_the_window_is_reset)
{
    fin_wait_2("mss 1460");
    rx(.flags = "S", .seq = 500);
    tx(.flags = "RA", .seq = 1000, .ack = 501); /* 0 on the wire: our ISN is 1000 below it */
}

Test(time_wait, fin_wait_2_reset_ends_it)
{
    fin_wait_2("mss 1460");
    rx(.flags = "R", .seq = 1);
    rx(.flags = "FA", .seq = 1, .ack = 2);
    tx(.flags = "R", .seq = 2);
}

Test(time_wait, fin_wait_2_fin_begins_the_whole_time_wait)
{
    script_net->ipv4.sysctl_tcp_fin_timeout = 10;
    fin_wait_2("mss 1460");
    advance_ms(9000);
    rx(.flags = "FA", .seq = 1, .ack = 2);
    tx(.seq = 2, .ack = 2);
    advance_ms(59900);
    cr_assert_eq(mib(LINUX_MIB_TIMEWAITED), 0);
    advance_ms(200);
    cr_assert_eq(mib(LINUX_MIB_TIMEWAITED), 1);
}

/* ---- TIME-WAIT -------------------------------------------------------------------------------------------------- */

Test(time_wait, old_ack_is_answered_twice_a_second_at_most)
{
    time_wait("mss 1460");
    rx(.seq = -50, .ack = 2);
    tx(.seq = 2, .ack = 2);
    advance_ms(400);
    rx(.seq = -50, .ack = 2);
    tx_nothing();
    cr_assert_eq(mib(LINUX_MIB_TCPACKSKIPPEDTIMEWAIT), 1);
    advance_ms(101);
    rx(.seq = -50, .ack = 2);
    tx(.seq = 2, .ack = 2);
}

Test(time_wait, bare_ack_begins_it_anew_silently)
{
    time_wait("mss 1460");
    advance_ms(50000);
    rx(.seq = 2, .ack = 2);
    tx_nothing();
    advance_ms(59900);
    cr_assert_eq(mib(LINUX_MIB_TIMEWAITED), 0);
    advance_ms(200);
    cr_assert_eq(mib(LINUX_MIB_TIMEWAITED), 1);
}

/* It may be a good SYN of the next incarnation with a small sequence number. */
Test(time_wait, old_syn_does_not_begin_it_anew)
{
    time_wait("mss 1460");
    advance_ms(50000);
    rx(.flags = "S", .seq = 1, .opt = "mss 1460");
    tx(.seq = 2, .ack = 2);
    advance_ms(9100);
    cr_assert_eq(mib(LINUX_MIB_TIMEWAITED), 1);
}

Test(time_wait, reset_beside_the_expected_number_is_ignored)
{
    time_wait("mss 1460");
    rx(.flags = "R", .seq = 1);
    rx(.flags = "R", .seq = 3);
    tx_nothing();
    rx(.flags = "FA", .seq = 1, .ack = 2);
    tx(.seq = 2, .ack = 2);
}

Test(time_wait, old_timestamp_is_counted_and_answered)
{
    time_wait(TS_SYN);
    rx(.seq = 2, .ack = 2, .opt = "nop,nop,TS val 10 ecr 0");
    tx(.seq = 2, .ack = 2);
    cr_assert_eq(mib(LINUX_MIB_PAWS_TW_REJECTED), 1);
    cr_assert_eq(mib(LINUX_MIB_PAWSESTABREJECTED), 0);
}

Test(time_wait, beyond_max_tw_buckets_the_connection_just_ends)
{
    struct socket *l;

    script_net->ipv4.sysctl_tcp_max_tw_buckets = 1;
    time_wait("mss 1460");
    cr_assert_eq(mib(LINUX_MIB_TCPTIMEWAITOVERFLOW), 0);
    script_flow(777, 80);
    l = sys_listen(80, 1);
    rx(.flags = "S", .opt = "mss 1460");
    tx(.flags = "SA", .ack = 1);
    rx();
    sys_close(sys_accept_ok(l));
    tx(.flags = "FA", .seq = 1, .ack = 1);
    rx(.flags = "FA", .seq = 1, .ack = 2);
    tx_ignore();
    cr_assert_eq(mib(LINUX_MIB_TCPTIMEWAITOVERFLOW), 1);
    rx(.flags = "FA", .seq = 1, .ack = 2);
    tx(.flags = "R", .seq = 2);
}

/* ---- tcp_tw_reuse_delay ------------------------------------------------------------------------------------------- */

static struct socket *from_script_port(void)
{
    struct socket *s = sys_socket();

    cr_assert_eq(sys_setsockopt(s, SOL_SOCKET, SO_REUSEADDR, 1), 0);
    cr_assert_eq(sys_bind(s, SCRIPT_LOCAL, SCRIPT_PORT), 0);
    return s;
}

/* FIN-WAIT-2 for fw2_ms, then TIME-WAIT; what connect() from the same port says ms later. */
static int reuse(int delay, u64 fw2_ms, u64 ms)
{
    struct socket *s = from_script_port();

    script_net->ipv4.sysctl_tcp_tw_reuse = 1;
    script_net->ipv4.sysctl_tcp_tw_reuse_delay = delay;
    cr_assert_eq(sys_connect(s, SCRIPT_PEER_PORT), -EINPROGRESS);
    tx(.flags = "S");
    rx(.flags = "SA", .opt = "mss 1460,sackOK,TS val 1000 ecr 1");
    tx(.seq = 1, .ack = 1);
    sys_close(s);
    tx(.flags = "FA", .seq = 1, .ack = 1);
    rx(.ack = 2);
    advance_ms(fw2_ms);
    cr_assert_eq(sys_connect(from_script_port(), SCRIPT_PEER_PORT), -EADDRNOTAVAIL, "FIN-WAIT-2 is never taken over");
    rx(.flags = "FA", .seq = 1, .ack = 2);
    tx(.seq = 2, .ack = 2);
    advance_ms(ms);
    return sys_connect(from_script_port(), SCRIPT_PEER_PORT);
}

static void reset_syn(void)
{
    tx(.flags = "S");
    rx(.flags = "RA", .seq = 0);
}

Test(time_wait, reuse_delay_is_in_milliseconds)
{
    cr_assert_eq(reuse(100, 0, 99), -EADDRNOTAVAIL);
    advance_ms(2);
    cr_assert_eq(sys_connect(from_script_port(), SCRIPT_PEER_PORT), -EINPROGRESS);
    reset_syn();
}

Test(time_wait, reuse_delay_counts_from_the_fin_that_ended_fin_wait_2)
{
    cr_assert_eq(reuse(5000, 4000, 4900), -EADDRNOTAVAIL);
    advance_ms(102);
    cr_assert_eq(sys_connect(from_script_port(), SCRIPT_PEER_PORT), -EINPROGRESS);
    reset_syn();
}

Test(time_wait, reuse_of_fin_wait_2_is_refused_even_without_a_delay)
{
    cr_assert_eq(reuse(0, 50, 1), -EINPROGRESS);
    reset_syn();
}

Test(time_wait, reuse_goes_on_beyond_the_old_sequence_numbers)
{
    struct socket *s = from_script_port(), *again;
    u32 old;

    script_net->ipv4.sysctl_tcp_tw_reuse = 1;
    cr_assert_eq(sys_connect(s, SCRIPT_PEER_PORT), -EINPROGRESS);
    tx(.flags = "S");
    rx(.flags = "SA", .opt = "mss 1460,sackOK,TS val 1000 ecr 1");
    tx(.seq = 1, .ack = 1);
    old = tcp_sk(s->sk)->snd_nxt + 1; /* behind our FIN */
    sys_close(s);
    tx(.flags = "FA", .seq = 1, .ack = 1);
    rx(.flags = "FA", .seq = 1, .ack = 2);
    tx(.seq = 2, .ack = 2);
    advance_ms(1100);
    again = from_script_port();
    cr_assert_eq(sys_connect(again, SCRIPT_PEER_PORT), -EINPROGRESS);
    cr_assert_eq(tcp_sk(again->sk)->snd_una - old, 65537);
    reset_syn();
}

/* Its ISN must be beyond the old incarnation's: no room for a cookie. */
Test(time_wait, newer_syn_gets_no_cookie)
{
    time_wait("mss 1460");
    sys_listen(80, 1);
    script_net->ipv4.sysctl_tcp_syncookies = 2;
    rx(.flags = "S", .seq = 10000, .opt = "mss 1460");
    tx(.flags = "SA", .ack = 10001);
    cr_assert_eq(mib(LINUX_MIB_SYNCOOKIESSENT), 0);
    rx(.flags = "R", .seq = 10001);
}
