/* SPDX-License-Identifier: MIT */
/* The listener's queues: accept queue, SYN queue, SYN cookies, deferred accept. */

#include "../lib/tcpscript.h"

TestSuite(listener, .init = script_init, .fini = script_fini);

static void open_from(u16 port)
{
    rx(.flags = "S", .opt = "mss 1460", .sport = port);
    tx(.flags = "SA", .ack = 1);
    rx();
}

Test(listener, connections_are_accepted_in_order)
{
    struct socket *l = sys_listen(80, 10);

    for (u16 port = 1001; port <= 1005; port++)
        open_from(port);
    cr_assert(sys_poll(l) & EPOLLIN);
    for (u16 port = 1001; port <= 1005; port++)
        cr_assert_eq(be16toh(sys_accept_ok(l)->sk->sk_dport), port);
    cr_assert_eq(sys_poll(l) & EPOLLIN, 0);
    cr_assert_eq(sys_accept(l, NULL), -EAGAIN);
}

Test(listener, full_accept_queue_drops_syns)
{
    struct socket *l = sys_listen(80, 1);

    open_from(1001);
    open_from(1002); /* Linux: backlog + 1 */
    rx(.flags = "S", .opt = "mss 1460", .sport = 1003);
    tx_nothing();
    cr_assert_eq(mib(LINUX_MIB_LISTENOVERFLOWS), 1);
    cr_assert_eq(mib(LINUX_MIB_LISTENDROPS), 1);
    sys_accept_ok(l);
    rx(.flags = "S", .opt = "mss 1460", .sport = 1003);
    tx(.flags = "SA", .ack = 1);
    rx();
    sys_accept_ok(l);
    cr_assert_eq(be16toh(sys_accept_ok(l)->sk->sk_dport), 1003);
}

Test(listener, handshake_ack_with_a_full_accept_queue_is_dropped_and_later_accepted)
{
    struct socket *l = sys_listen(80, 0);

    rx(.flags = "S", .opt = "mss 1460", .sport = 1001);
    tx(.flags = "SA", .ack = 1);
    rx(.flags = "S", .opt = "mss 1460", .sport = 1002);
    tx_ignore();
    rx(.sport = 1001);
    tx_nothing();
    rx(.sport = 1002, .ack = 1, .seq = 1);
    tx_ignore();
    sys_accept_ok(l);
    advance_ms(1500); /* the SYN-ACK again; the client acknowledges again */
    tx_ignore();
    rx(.sport = 1002, .ack = 1, .seq = 1);
    tx_ignore();
}

Test(listener, closing_resets_what_was_not_accepted)
{
    struct socket *l = sys_listen(80, 10);

    open_from(1001);
    sys_close(l);
    tx(.flags = "RA", .seq = 1, .ack = 1);
}

Test(listener, closing_forgets_half_open_connections)
{
    struct socket *l = sys_listen(80, 10);

    rx(.flags = "S", .opt = "mss 1460");
    tx(.flags = "SA");
    sys_close(l);
    tx_nothing();
    rx();
    tx(.flags = "R", .seq = 1);
}

Test(listener, data_before_accept_is_kept)
{
    struct socket *l = sys_listen(80, 10), *s;

    open_from(1001);
    rx(.len = 700);
    tx(.ack = 701);
    s = sys_accept_ok(l);
    cr_assert_eq(sys_read(s, 1000), 700);
}

Test(listener, reset_before_accept_is_seen_after_it)
{
    struct socket *l = sys_listen(80, 10), *s;

    open_from(1001);
    rx(.flags = "R");
    s = sys_accept_ok(l);
    cr_assert_eq(sys_read(s, 10), -ECONNRESET);
}

Test(listener, syn_cookie_makes_a_connection_without_state)
{
    struct socket *l = sys_listen(80, 10), *s;
    s64 socks = atomic_load(&script_net->sock_count);

    script_net->ipv4.sysctl_tcp_syncookies = 2;
    rx(.flags = "S", .opt = "mss 1460");
    tx(.flags = "SA", .ack = 1, .opt = "mss 1460");
    cr_assert_eq(atomic_load(&script_net->sock_count), socks);
    cr_assert_eq(mib(LINUX_MIB_SYNCOOKIESSENT), 1);
    rx();
    s = sys_accept_ok(l);
    cr_assert_eq(mib(LINUX_MIB_SYNCOOKIESRECV), 1);
    cr_assert_eq(sys_write(s, 2000), 2000);
    tx(.len = 1460);
    tx(.len = 540);
    rx();
}

Test(listener, syn_cookie_keeps_options_in_the_timestamp)
{
    struct socket *l = sys_listen(80, 10), *s;

    script_net->ipv4.sysctl_tcp_syncookies = 2;
    rx(.flags = "S", .opt = "mss 1460,sackOK,TS val 100 ecr 0,nop,wscale 7");
    tx(.flags = "SA", .ack = 1, .opt = "mss 1460,sackOK,TS val 1 ecr 100,nop,wscale *");
    rx();
    s = sys_accept_ok(l);
    cr_assert_eq(sys_tcp_info(s).tcpi_snd_wscale, 7);
    cr_assert(sys_tcp_info(s).tcpi_options & TCPI_OPT_SACK);
}

/* The request made of a cookie was never counted on the SYN queue, and accept() holds its only reference: the first
 * version freed it while it was queued (seen with ASan under a server of backlog 5) and counted it out twice. */
Test(listener, grace_period_before_accept_keeps_a_cookie_connection)
{
    struct socket *l = sys_listen(80, 10);

    script_net->ipv4.sysctl_tcp_syncookies = 2;
    for (u16 port = 1001; port <= 1003; port++)
        open_from(port);
    while (net_rcu_barrier(script_net))
        ;
    cr_assert_eq(inet_csk(l->sk)->icsk_accept_queue.qlen, 0);
    for (u16 port = 1001; port <= 1003; port++)
        cr_assert_eq(be16toh(sys_accept_ok(l)->sk->sk_dport), port);
}

Test(listener, wrong_syn_cookie_is_reset)
{
    sys_listen(80, 10);
    script_net->ipv4.sysctl_tcp_syncookies = 2;
    rx(.flags = "S", .opt = "mss 1460");
    tx(.flags = "SA", .ack = 1);
    rx(.ack = 77);
    tx(.flags = "R", .seq = 77);
    cr_assert_eq(mib(LINUX_MIB_SYNCOOKIESFAILED), 1);
}

/* Linux takes it for a cookie of a smaller MSS and never misses the byte: seen as a wrong byte by the simulator. */
Test(listener, syn_cookie_is_not_answered_by_the_second_segment_when_the_first_was_lost)
{
    sys_listen(80, 10);
    script_net->ipv4.sysctl_tcp_syncookies = 2;
    rx(.flags = "S", .opt = "mss 1460");
    tx(.flags = "SA", .ack = 1);
    rx(.seq = 2, .len = 10); /* one byte is missing before it */
    tx(.flags = "R", .seq = 1);
    cr_assert_eq(mib(LINUX_MIB_SYNCOOKIESFAILED), 1);
}

Test(listener, old_syn_cookie_is_refused)
{
    sys_listen(80, 10);
    script_net->ipv4.sysctl_tcp_syncookies = 2;
    rx(.flags = "S", .opt = "mss 1460");
    tx(.flags = "SA", .ack = 1);
    advance_ms(10 * 60 * 1000);
    rx();
    tx(.flags = "R", .seq = 1);
}

/* One forged cookie in 2^24 is right: they are believed only while we may have sent some. */
Test(listener, ack_without_a_recent_cookie_is_not_taken_for_one)
{
    sys_listen(80, 10);
    rx(.ack = 77);
    tx(.flags = "R", .seq = 77);
    cr_assert_eq(mib(LINUX_MIB_SYNCOOKIESFAILED), 0);
    script_net->ipv4.sysctl_tcp_syncookies = 2;
    rx(.flags = "S", .opt = "mss 1460", .sport = 2000);
    tx(.flags = "SA", .ack = 1, .sport = 2000);
    rx(.ack = 77, .sport = 2001, .seq = 1);
    tx(.flags = "R", .sport = 2001, .seq = 77);
    cr_assert_eq(mib(LINUX_MIB_SYNCOOKIESFAILED), 1);
    advance_ms(121000);
    rx(.ack = 77, .sport = 2002, .seq = 1);
    tx(.flags = "R", .sport = 2002, .seq = 77);
    cr_assert_eq(mib(LINUX_MIB_SYNCOOKIESFAILED), 1);
}

Test(listener, full_syn_queue_without_cookies_drops)
{
    sys_listen(80, 2);
    script_net->ipv4.sysctl_tcp_syncookies = 0;
    for (u16 port = 1; port <= 3; port++) { /* Linux: backlog + 1 */
        rx(.flags = "S", .opt = "mss 1460", .sport = port);
        tx(.flags = "SA", .ack = 1, .sport = port);
    }
    rx(.flags = "S", .opt = "mss 1460", .sport = 4);
    tx_nothing();
    cr_assert_eq(mib(LINUX_MIB_TCPREQQFULLDROP), 1);
    cr_assert_eq(mib(LINUX_MIB_LISTENDROPS), 1);
}

Test(listener, last_quarter_of_the_backlog_without_cookies_is_for_known_peers)
{
    struct socket *s = script_accepted("mss 1460", 65535);

    script_net->ipv4.sysctl_tcp_syncookies = 0;
    script_net->ipv4.sysctl_tcp_max_syn_backlog = 4;
    sys_listen(80, 100);
    for (u16 port = 1; port <= 4; port++) {
        rx(.flags = "S", .opt = "mss 1460", .sport = port);
        tx(.flags = "SA", .ack = 1, .sport = port);
    }
    rx(.flags = "S", .opt = "mss 1460", .sport = 5);
    tx_nothing();
    cr_assert_eq(mib(LINUX_MIB_LISTENDROPS), 1);
    script_flow(SCRIPT_PEER_PORT, 80);
    sys_write(s, 100); /* a round trip, which the end of the connection keeps */
    tx(.len = 100);
    rx(.ack = 101);
    sys_close(s);
    tx(.flags = "FA");
    rx(.flags = "FA", .ack = 102);
    tx_ignore();
    rx(.flags = "S", .opt = "mss 1460", .sport = 5);
    tx(.flags = "SA", .ack = 1, .sport = 5);
}

Test(listener, full_accept_queue_resets_with_abort_on_overflow)
{
    sys_listen(80, 2);
    script_net->ipv4.sysctl_tcp_abort_on_overflow = 1;
    open_from(1001);
    open_from(1002);
    for (u16 port = 1003; port <= 1004; port++) {
        rx(.flags = "S", .opt = "mss 1460", .sport = port);
        tx(.flags = "SA", .ack = 1, .sport = port);
    }
    rx(.sport = 1003, .seq = 1, .ack = 1);
    tx_nothing();
    rx(.sport = 1004, .seq = 1, .ack = 1); /* the fourth of two and one */
    tx(.flags = "R", .seq = 1, .sport = 1004);
    cr_assert_eq(mib(LINUX_MIB_LISTENOVERFLOWS), 1);
    cr_assert_eq(mib(LINUX_MIB_LISTENDROPS), 1);
    cr_assert_eq(mib(LINUX_MIB_EMBRYONICRSTS), 1);
}

Test(listener, deferred_accept_gives_the_bare_ack_a_connection_after_its_time)
{
    struct socket *l = sys_listen(80, 10);

    cr_assert_eq(sys_setsockopt(l, IPPROTO_TCP, TCP_DEFER_ACCEPT, 3), 0);
    cr_assert_eq(sys_getsockopt_int(l, IPPROTO_TCP, TCP_DEFER_ACCEPT), 3);
    rx(.flags = "S", .opt = "mss 1460");
    tx(.flags = "SA", .ack = 1);
    rx();
    cr_assert_eq(mib(LINUX_MIB_TCPDEFERACCEPTDROP), 1);
    advance_ms(1500);
    tx_nothing(); /* it was answered: silent but for the last time */
    advance_ms(1600);
    tx(.flags = "SA", .seq = 0, .ack = 1);
    rx();
    sys_accept_ok(l);
}

Test(listener, full_syn_queue_falls_back_to_cookies)
{
    struct socket *l = sys_listen(80, 4);

    for (u16 port = 1; port <= 12; port++) {
        rx(.flags = "S", .opt = "mss 1460", .sport = port);
        cr_assert_eq(tx_ignore(), 1);
    }
    cr_assert_eq(mib(LINUX_MIB_TCPREQQFULLDOCOOKIES), 7);
    cr_assert_eq(mib(LINUX_MIB_SYNCOOKIESSENT), 7);
    rx(.sport = 12); /* a cookie; the ones before have their places */
    cr_assert_eq(be16toh(sys_accept_ok(l)->sk->sk_dport), 12);
    cr_assert_eq(inet_csk(l->sk)->icsk_accept_queue.qlen, 5);
}

Test(listener, deferred_accept_waits_for_data)
{
    struct socket *l = sys_listen(80, 10);

    cr_assert_eq(sys_setsockopt(l, IPPROTO_TCP, TCP_DEFER_ACCEPT, 3), 0);
    rx(.flags = "S", .opt = "mss 1460");
    tx(.flags = "SA", .ack = 1);
    rx();
    tx_nothing();
    cr_assert_eq(sys_accept(l, NULL), -EAGAIN);
    rx(.len = 100);
    tx_ignore();
    cr_assert_eq(sys_read(sys_accept_ok(l), 1000), 100);
}

Test(listener, backlog_0_holds_one_half_open_and_one_to_be_accepted)
{
    sys_listen(80, 0);
    script_net->ipv4.sysctl_tcp_syncookies = 0;
    rx(.flags = "S", .opt = "mss 1460", .sport = 1);
    tx(.flags = "SA", .ack = 1, .sport = 1);
    rx(.flags = "S", .opt = "mss 1460", .sport = 2);
    tx_nothing();
    cr_assert_eq(mib(LINUX_MIB_TCPREQQFULLDROP), 1);
    rx(.sport = 1, .seq = 1, .ack = 1);
    rx(.flags = "S", .opt = "mss 1460", .sport = 2);
    tx_nothing();
    cr_assert_eq(mib(LINUX_MIB_LISTENOVERFLOWS), 1);
    cr_assert_eq(mib(LINUX_MIB_LISTENDROPS), 2);
}

/* An attacker who saw no SYN-ACK cannot complete the handshake with a guess at the sequence number alone. */
Test(listener, syn_recv_ack_that_echoes_no_timestamp_of_ours_gets_an_ack)
{
    struct socket *l = sys_listen(80, 10);

    rx(.flags = "S", .opt = "mss 1460,sackOK,TS val 100 ecr 0");
    tx(.flags = "SA", .ack = 1, .opt = "mss 1460,sackOK,TS val 1 ecr 100");
    rx(.opt = "nop,nop,TS val 101 ecr 2");
    tx(.seq = 1, .ack = 1);
    cr_assert_eq(mib(LINUX_MIB_TSECRREJECTED), 1);
    cr_assert_eq(sys_accept(l, NULL), -EAGAIN);
    advance_ms(1100); /* the SYN-ACK again: whatever lies between the first stamp and the last will do */
    tx(.flags = "SA", .seq = 0, .ack = 1);
    rx(.opt = "nop,nop,TS val 101 ecr 1");
    sys_accept_ok(l);
    cr_assert_eq(mib(LINUX_MIB_TSECRREJECTED), 1);
}

Test(listener, syn_cookie_keeps_ecn_in_the_timestamp)
{
    struct socket *l = sys_listen(80, 10);

    script_net->ipv4.sysctl_tcp_syncookies = 2;
    rx(.flags = "SEW", .opt = "mss 1460,nop,nop,TS val 100 ecr 0");
    tx(.flags = "SAE", .ack = 1, .opt = "mss 1460,nop,nop,TS val 1 ecr 100");
    rx();
    cr_assert(sys_tcp_info(sys_accept_ok(l)).tcpi_options & TCPI_OPT_ECN);
    rx(.flags = "SEW", .opt = "mss 1460", .sport = 2); /* no place for it */
    tx(.flags = "SA", .ack = 1, .opt = "mss 1460", .sport = 2);
    rx(.sport = 2);
    cr_assert_eq(sys_tcp_info(sys_accept_ok(l)).tcpi_options & TCPI_OPT_ECN, 0);
}

Test(listener, syn_cookie_without_scale_and_sack_says_so)
{
    struct socket *l = sys_listen(80, 10);
    struct tcp_info i;

    script_net->ipv4.sysctl_tcp_syncookies = 2;
    rx(.flags = "S", .opt = "mss 1460,nop,nop,TS val 100 ecr 0");
    tx(.flags = "SA", .ack = 1);
    rx();
    i = sys_tcp_info(sys_accept_ok(l));
    cr_assert_eq(i.tcpi_options, TCPI_OPT_TIMESTAMPS);
}

Test(listener, syn_cookie_of_an_option_switched_off_since_is_dropped)
{
    struct socket *l = sys_listen(80, 10);

    script_net->ipv4.sysctl_tcp_syncookies = 2;
    rx(.flags = "S", .opt = "mss 1460,sackOK,TS val 100 ecr 0");
    tx(.flags = "SA", .ack = 1);
    script_net->ipv4.sysctl_tcp_sack = 0;
    rx();
    tx_nothing();
    cr_assert_eq(sys_accept(l, NULL), -EAGAIN);
}

Test(listener, syn_cookie_with_a_scale_switched_off_since_is_dropped)
{
    struct socket *l = sys_listen(80, 10);

    script_net->ipv4.sysctl_tcp_syncookies = 2;
    rx(.flags = "S", .opt = "mss 1460,nop,nop,TS val 100 ecr 0,nop,wscale 7");
    tx(.flags = "SA", .ack = 1);
    script_net->ipv4.sysctl_tcp_window_scaling = 0;
    rx();
    tx_nothing();
    cr_assert_eq(sys_accept(l, NULL), -EAGAIN);
}

Test(listener, syn_recv_repeated_syn_is_answered_twice_a_second_at_most)
{
    sys_listen(80, 10);
    rx(.flags = "S", .opt = "mss 1460");
    tx(.flags = "SA", .ack = 1);
    rx(.flags = "S", .seq = 0, .opt = "mss 1460");
    tx(.flags = "SA", .seq = 0, .ack = 1);
    advance_ms(400);
    rx(.flags = "S", .seq = 0, .opt = "mss 1460");
    tx_nothing();
    cr_assert_eq(mib(LINUX_MIB_TCPACKSKIPPEDSYNRECV), 1);
    rx(.flags = "R", .seq = 1);
}

Test(listener, syn_recv_data_beyond_the_window_is_answered_twice_a_second_at_most)
{
    sys_listen(80, 10);
    rx(.flags = "S", .opt = "mss 1460");
    tx(.flags = "SA", .ack = 1);
    rx(.seq = 1000000, .ack = 1);
    tx(.seq = 1, .ack = 1);
    rx(.seq = 1000000, .ack = 1);
    tx_nothing();
    cr_assert_eq(mib(LINUX_MIB_TCPACKSKIPPEDSYNRECV), 1);
    rx(.flags = "R", .seq = 1);
}

Test(listener, syn_recv_repeated_syn_with_an_older_timestamp_gets_an_ack)
{
    sys_listen(80, 10);
    rx(.flags = "S", .opt = "mss 1460,sackOK,TS val 100 ecr 0");
    tx(.flags = "SA", .ack = 1);
    rx(.flags = "S", .seq = 0, .opt = "mss 1460,sackOK,TS val 50 ecr 0");
    tx(.seq = 1, .ack = 1);
    cr_assert_eq(mib(LINUX_MIB_PAWSESTABREJECTED), 1);
    rx(.flags = "R", .seq = 1);
}

/* Karn: nobody knows which of the two was acknowledged. */
Test(listener, syn_recv_repeated_synack_gives_no_round_trip)
{
    struct socket *l = sys_listen(80, 10);

    rx(.flags = "S", .opt = "mss 1460");
    tx(.flags = "SA", .ack = 1);
    tx_at(1000, .flags = "SA", .seq = 0, .ack = 1);
    advance_ms(100);
    rx();
    cr_assert_eq(tcp_sk(sys_accept_ok(l)->sk)->srtt_us, 0);
}

Test(listener, syn_cookie_carries_the_largest_mss_of_its_table_that_fits)
{
    static const u16 mss[][2] = {{100, 536}, {536, 536}, {1299, 536}, {1300, 1300}, {1440, 1440}, {1459, 1440}, {9000, 1460}};
    struct socket *l = sys_listen(80, 10);
    char opt[16];

    script_net->ipv4.sysctl_tcp_syncookies = 2;
    for (u16 i = 0; i < ARRAY_SIZE(mss); i++) {
        snprintf(opt, sizeof(opt), "mss %u", mss[i][0]);
        rx(.flags = "S", .opt = opt, .sport = (u16)(i + 1));
        tx(.flags = "SA", .ack = 1, .sport = (u16)(i + 1));
        rx(.sport = (u16)(i + 1));
        cr_assert_eq(tcp_sk(sys_accept_ok(l)->sk)->rx_opt.mss_clamp, mss[i][1]);
    }
}

Test(listener, cookies_switched_off_make_no_connection_of_those_out)
{
    sys_listen(80, 10);
    script_net->ipv4.sysctl_tcp_syncookies = 2;
    rx(.flags = "S", .opt = "mss 1460");
    tx(.flags = "SA", .ack = 1);
    script_net->ipv4.sysctl_tcp_syncookies = 0;
    rx();
    tx(.flags = "R", .seq = 1);
    cr_assert_eq(mib(LINUX_MIB_SYNCOOKIESRECV) + mib(LINUX_MIB_SYNCOOKIESFAILED), 0);
}

Test(listener, half_full_syn_queue_of_old_requests_retries_less)
{
    sys_listen(80, 10);
    for (u16 port = 1; port <= 6; port++) {
        rx(.flags = "S", .opt = "mss 1460", .sport = port);
        tx(.flags = "SA", .ack = 1, .sport = port);
    }
    advance_ms(200000);
    /* 5 retries each, but 2 while none of more than half a backlog is young */
    cr_assert_leq(tx_ignore(), 6 * 5 - 3);
    cr_assert_geq(mib(LINUX_MIB_TCPSYNRETRANS), 6 * 2);
}

Test(listener, deferred_accept_repeats_the_synack_until_any_ack)
{
    struct socket *l = sys_listen(80, 10);

    cr_assert_eq(sys_setsockopt(l, IPPROTO_TCP, TCP_DEFER_ACCEPT, 10), 0);
    cr_assert_eq(sys_getsockopt_int(l, IPPROTO_TCP, TCP_DEFER_ACCEPT), 15);
    rx(.flags = "S", .opt = "mss 1460");
    tx(.flags = "SA", .ack = 1);
    tx_at(1000, .flags = "SA", .seq = 0, .ack = 1);
    tx_at(2000, .flags = "SA", .seq = 0, .ack = 1);
    rx();
    tx_nothing();
    advance_ms(3900); /* silent from now to the last time, 7 s after the SYN */
    tx_nothing();
    advance_ms(8200); /* 4 retransmissions are the 15 s: the last one asks for an ACK that counts */
    tx(.flags = "SA", .seq = 0, .ack = 1);
    rx();
    sys_accept_ok(l);
}

Test(listener, port_in_use_is_eaddrinuse)
{
    struct socket *s = sys_socket();

    sys_listen(80, 1);
    cr_assert_eq(sys_bind(s, 0, 80), -EADDRINUSE);
    cr_assert_eq(sys_bind(s, SCRIPT_PEER, 81), -EADDRNOTAVAIL);
    cr_assert_eq(sys_bind(s, SCRIPT_LOCAL, 81), 0);
    cr_assert_eq(sys_bind(s, SCRIPT_LOCAL, 82), -EINVAL);
}
