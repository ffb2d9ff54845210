/* SPDX-License-Identifier: MIT */
/* Opening a connection (RFC 9293 3.5), from both sides. */

#include "../lib/tcpscript.h"

TestSuite(handshake, .init = script_init, .fini = script_fini);

#define SYN_ALL "mss 1460,sackOK,TS val 100 ecr 0,nop,wscale 7"

/* ---- passive --------------------------------------------------------------------------------------------- */

Test(handshake, listen_syn_without_options_gets_mss_only)
{
    struct socket *l = sys_listen(80, 10), *s;

    rx(.flags = "S");
    tx(.flags = "SA", .ack = 1, .win = 64240, .opt = "mss 1460");
    cr_assert_eq(sys_accept(l, NULL), -EAGAIN);
    rx();
    s = sys_accept_ok(l);
    cr_assert_eq(sys_state(s), TCP_ESTABLISHED);
    cr_assert_eq(mib(TCP_MIB_PASSIVEOPENS), 1);
}

Test(handshake, listen_syn_with_all_options_gets_them_in_linux_order)
{
    struct socket *l = sys_listen(80, 10), *s;
    struct tcp_info info;

    rx(.flags = "S", .opt = SYN_ALL);
    tx(.flags = "SA", .ack = 1, .win = 65160, .opt = "mss 1460,sackOK,TS val 1 ecr 100,nop,wscale *");
    rx();
    s = sys_accept_ok(l);
    info = sys_tcp_info(s);
    cr_assert_eq(info.tcpi_options & (TCPI_OPT_TIMESTAMPS | TCPI_OPT_SACK | TCPI_OPT_WSCALE),
                 TCPI_OPT_TIMESTAMPS | TCPI_OPT_SACK | TCPI_OPT_WSCALE);
    cr_assert_eq(info.tcpi_snd_wscale, 7);
    cr_assert_eq(info.tcpi_snd_mss, 1448);
}

Test(handshake, listen_syn_with_sack_only_pads_with_two_nops)
{
    sys_listen(80, 10);
    rx(.flags = "S", .opt = "mss 1000,sackOK");
    tx(.flags = "SA", .ack = 1, .opt = "mss 1460,nop,nop,sackOK");
    rx(.flags = "R");
}

Test(handshake, listen_syn_with_wscale_only)
{
    sys_listen(80, 10);
    rx(.flags = "S", .opt = "mss 1000,nop,wscale 2");
    tx(.flags = "SA", .ack = 1, .opt = "mss 1460,nop,wscale *");
    rx(.flags = "R");
}

Test(handshake, listen_window_scale_above_14_counts_as_14)
{
    struct socket *l = sys_listen(80, 10);

    rx(.flags = "S", .opt = "mss 1460,nop,wscale 15");
    tx(.flags = "SA", .ack = 1);
    rx(.win = 1);
    cr_assert_eq(sys_tcp_info(sys_accept_ok(l)).tcpi_snd_wscale, 14);
}

Test(handshake, listen_data_on_the_handshake_ack_is_delivered)
{
    struct socket *l = sys_listen(80, 10), *s;

    rx(.flags = "S", .opt = "mss 1460");
    tx(.flags = "SA", .ack = 1);
    rx(.len = 500);
    tx(.ack = 501);
    s = sys_accept_ok(l);
    cr_assert_eq(sys_read(s, 1000), 500);
}

Test(handshake, syn_recv_repeated_syn_gets_the_same_synack)
{
    sys_listen(80, 10);
    rx(.flags = "S", .opt = "mss 1460");
    tx(.flags = "SA", .ack = 1);
    advance_ms(300);
    rx(.flags = "S", .opt = "mss 1460");
    tx(.flags = "SA", .seq = 0, .ack = 1);
    rx(.flags = "R");
}

Test(handshake, syn_recv_synack_is_retransmitted_with_backoff)
{
    sys_listen(80, 10);
    rx(.flags = "S", .opt = "mss 1460");
    tx(.flags = "SA", .ack = 1);
    tx_at(1000, .flags = "SA", .seq = 0, .ack = 1);
    tx_at(2000, .flags = "SA", .seq = 0, .ack = 1);
    tx_at(4000, .flags = "SA", .seq = 0, .ack = 1);
    tx_at(8000, .flags = "SA", .seq = 0, .ack = 1);
    tx_at(16000, .flags = "SA", .seq = 0, .ack = 1);
    advance_ms(300000);
    tx_nothing(); /* tcp_synack_retries */
}

Test(handshake, syn_recv_reset_in_window_frees_the_request)
{
    struct socket *l = sys_listen(80, 10);

    rx(.flags = "S", .opt = "mss 1460");
    tx(.flags = "SA", .ack = 1);
    rx(.flags = "R");
    advance_ms(70000);
    tx_nothing();
    cr_assert_eq(sys_accept(l, NULL), -EAGAIN);
}

Test(handshake, syn_recv_ack_of_something_else_is_reset)
{
    sys_listen(80, 10);
    rx(.flags = "S", .opt = "mss 1460");
    tx(.flags = "SA", .ack = 1);
    rx(.ack = 5000);
    tx(.flags = "R", .seq = 5000);
    rx(.flags = "R");
}

Test(handshake, listen_ack_without_connection_is_reset)
{
    sys_listen(80, 10);
    rx(.seq = 1, .ack = 77);
    tx(.flags = "R", .seq = 77);
}

Test(handshake, closed_port_syn_is_reset)
{
    rx(.flags = "S", .lport = 81);
    tx(.flags = "RA", .seq = 0, .ack = 1);
}

Test(handshake, closed_port_reset_is_not_answered)
{
    rx(.flags = "R", .lport = 81);
    rx(.flags = "RA", .lport = 81);
    tx_nothing();
}

Test(handshake, listen_syn_with_fin_is_dropped)
{
    sys_listen(80, 10);
    rx(.flags = "SF");
    tx_nothing();
    cr_assert_gt(drops(SKB_DROP_REASON_TCP_FLAGS), 0);
}

Test(handshake, synack_mss_follows_tcp_maxseg)
{
    struct socket *l = sys_listen(80, 10);

    cr_assert_eq(sys_setsockopt(l, IPPROTO_TCP, TCP_MAXSEG, 1000), 0);
    rx(.flags = "S", .opt = "mss 1460");
    tx(.flags = "SA", .ack = 1, .opt = "mss 1000");
    rx(.flags = "R");
}

/* ---- active ------------------------------------------------------------------------------------------------- */

Test(handshake, connect_sends_syn_as_linux_does)
{
    struct socket *s = sys_socket_bound();

    cr_assert_eq(sys_connect(s, SCRIPT_PEER_PORT), -EINPROGRESS);
    tx(.flags = "S", .seq = 0, .win = 64240, .opt = "mss 1460,sackOK,TS val 1 ecr 0,nop,wscale *");
    cr_assert_eq(sys_connect(s, SCRIPT_PEER_PORT), -EALREADY);
    cr_assert_eq(sys_poll(s) & (EPOLLOUT | EPOLLIN | EPOLLHUP), 0);
    rx(.flags = "SA", .opt = SYN_ALL);
    tx(.ack = 1, .opt = "nop,nop,TS val * ecr 100");
    cr_assert_eq(sys_poll(s) & (EPOLLOUT | EPOLLIN), EPOLLOUT);
    cr_assert_eq(sys_connect(s, SCRIPT_PEER_PORT), 0);
    cr_assert_eq(sys_connect(s, SCRIPT_PEER_PORT), -EISCONN);
    cr_assert_eq(mib(TCP_MIB_ACTIVEOPENS), 1);
    cr_assert_eq(mib(TCP_MIB_CURRESTAB), 1);
}

Test(handshake, connect_blocking_returns_when_answered)
{
    struct socket *s = sys_socket_bound();

    rx_in(30, .flags = "SA", .opt = "mss 1460");
    cr_assert_eq(sys_connect_wait(s, SCRIPT_PEER_PORT), 0);
    tx(.flags = "S");
    tx(.ack = 1);
    cr_assert_eq(sys_state(s), TCP_ESTABLISHED);
}

Test(handshake, syn_sent_ephemeral_port_is_in_range)
{
    struct socket *s = sys_socket();

    cr_assert_eq(sys_connect(s, SCRIPT_PEER_PORT), -EINPROGRESS);
    cr_assert_geq(s->sk->sk_num, 32768);
    cr_assert_leq(s->sk->sk_num, 60999);
    script_flow(SCRIPT_PEER_PORT, s->sk->sk_num);
    tx(.flags = "S");
}

Test(handshake, syn_sent_syn_is_retransmitted_and_times_out)
{
    struct socket *s = sys_socket_bound();

    cr_assert_eq(sys_connect(s, SCRIPT_PEER_PORT), -EINPROGRESS);
    tx(.flags = "S");
    for (int i = 0; i < 5; i++) /* tcp_syn_linear_timeouts, and then one more second */
        tx_at(1000, .flags = "S");
    tx_at(2000, .flags = "S");
    tx_at(4000, .flags = "S");
    tx_at(8000, .flags = "S");
    tx_at(16000, .flags = "S");
    tx_at(32000, .flags = "S");
    advance_ms(63000);
    cr_assert_eq(sys_state(s), TCP_SYN_SENT);
    advance_ms(3000);
    tx_nothing();
    cr_assert(sys_poll(s) & EPOLLERR);
    cr_assert_eq(sys_error(s), ETIMEDOUT);
    cr_assert_eq(sys_state(s), TCP_CLOSE);
}

Test(handshake, syn_sent_without_linear_timeouts_doubles_from_the_first)
{
    struct socket *s = sys_socket_bound();

    script_net->ipv4.sysctl_tcp_syn_linear_timeouts = 0;
    cr_assert_eq(sys_connect(s, SCRIPT_PEER_PORT), -EINPROGRESS);
    tx(.flags = "S");
    for (u64 ms = 1000; ms <= 32000; ms *= 2)
        tx_at(ms, .flags = "S");
    advance_ms(63000);
    cr_assert_eq(sys_state(s), TCP_SYN_SENT);
    advance_ms(3000);
    cr_assert_eq(sys_error(s), ETIMEDOUT);
}

Test(handshake, syn_sent_timeout_with_blocking_connect)
{
    struct socket *s = sys_socket_bound();

    cr_assert_eq(sys_setsockopt(s, IPPROTO_TCP, TCP_SYNCNT, 2), 0);
    cr_assert_eq(sys_connect_wait(s, SCRIPT_PEER_PORT), -ETIMEDOUT);
    cr_assert_eq(tx_ignore(), 6); /* within the 7 s that two retries would take if they doubled */
}

Test(handshake, syn_sent_reset_is_connection_refused)
{
    struct socket *s = sys_socket_bound();

    cr_assert_eq(sys_connect(s, SCRIPT_PEER_PORT), -EINPROGRESS);
    tx(.flags = "S");
    rx(.flags = "RA", .seq = 0, .ack = 1);
    cr_assert_eq(sys_error(s), ECONNREFUSED);
    cr_assert_eq(sys_state(s), TCP_CLOSE);
    cr_assert_eq(mib(TCP_MIB_ATTEMPTFAILS), 1);
}

Test(handshake, syn_sent_reset_without_acceptable_ack_is_ignored)
{
    struct socket *s = sys_socket_bound();

    cr_assert_eq(sys_connect(s, SCRIPT_PEER_PORT), -EINPROGRESS);
    tx(.flags = "S");
    rx(.flags = "R", .seq = 0);
    rx(.flags = "RA", .seq = 0, .ack = 0);
    tx_ignore();
    cr_assert_eq(sys_state(s), TCP_SYN_SENT);
}

Test(handshake, syn_sent_synack_with_wrong_ack_is_reset)
{
    struct socket *s = sys_socket_bound();

    cr_assert_eq(sys_connect(s, SCRIPT_PEER_PORT), -EINPROGRESS);
    tx(.flags = "S");
    rx(.flags = "SA", .ack = 2, .opt = "mss 1460");
    tx(.flags = "R", .seq = 2);
    cr_assert_eq(sys_state(s), TCP_SYN_SENT);
}

Test(handshake, syn_sent_syn_is_a_simultaneous_open)
{
    struct socket *s = sys_socket_bound();

    cr_assert_eq(sys_connect(s, SCRIPT_PEER_PORT), -EINPROGRESS);
    tx(.flags = "S");
    rx(.flags = "S", .opt = "mss 1460");
    tx(.flags = "SA", .seq = 0, .ack = 1);
    rx(.flags = "A", .seq = 1, .ack = 1);
    cr_assert_eq(sys_state(s), TCP_ESTABLISHED);
    cr_assert_eq(sys_write(s, 100), 100);
    tx(.len = 100, .ack = 1);
}

Test(handshake, syn_recv_synack_completes_a_simultaneous_open)
{
    struct socket *s = sys_socket_bound();

    cr_assert_eq(sys_connect(s, SCRIPT_PEER_PORT), -EINPROGRESS);
    tx(.flags = "S");
    rx(.flags = "S", .opt = "mss 1460");
    tx(.flags = "SA", .seq = 0, .ack = 1);
    rx(.flags = "SA", .seq = 0, .ack = 1, .opt = "mss 1460");
    tx_ignore(); /* Linux answers the SYN with an ACK */
    rx();
    cr_assert_eq(sys_state(s), TCP_ESTABLISHED);
}

Test(handshake, established_synack_again_is_acked)
{
    script_connected("mss 1460", 65535);
    advance_ms(600);
    rx(.flags = "SA", .seq = 0, .ack = 1, .opt = "mss 1460");
    tx(.ack = 1);
}

Test(handshake, syn_sent_close_sends_nothing)
{
    struct socket *s = sys_socket_bound();

    cr_assert_eq(sys_connect(s, SCRIPT_PEER_PORT), -EINPROGRESS);
    tx(.flags = "S");
    sys_close(s);
    tx_nothing();
    rx(.flags = "SA", .opt = "mss 1460");
    tx(.flags = "R", .seq = 1);
}

Test(handshake, connect_without_timestamps_when_switched_off)
{
    struct socket *s = sys_socket_bound();

    script_net->ipv4.sysctl_tcp_timestamps = 0;
    cr_assert_eq(sys_connect(s, SCRIPT_PEER_PORT), -EINPROGRESS);
    tx(.flags = "S", .opt = "mss 1460,nop,nop,sackOK,nop,wscale *");
    rx(.flags = "RA", .seq = 0, .ack = 1);
}
