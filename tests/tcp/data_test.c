/* SPDX-License-Identifier: MIT */
/* Data in order: segmentation, PSH, delayed and quick ACKs, Nagle, cork, windows on the wire. */

#include "../lib/tcpscript.h"

TestSuite(data, .init = script_init, .fini = script_fini);

Test(data, established_write_is_sent_and_acknowledged)
{
    struct socket *s = script_accepted("mss 1460", 65535);

    cr_assert_eq(sys_write(s, 1000), 1000);
    tx(.flags = "PA", .seq = 1, .ack = 1, .len = 1000);
    rx(.ack = 1001);
    tx_nothing();
    cr_assert_eq(sys_tcp_info(s).tcpi_unacked, 0);
}

Test(data, established_large_write_is_cut_at_mss_with_push_on_the_last)
{
    struct socket *s = script_accepted("mss 1460", 65535);

    cr_assert_eq(sys_write(s, 4000), 4000);
    tx(.flags = "A", .len = 1460);
    tx(.flags = "A", .len = 1460);
    tx(.flags = "PA", .len = 1080);
    rx();
}

Test(data, established_timestamps_shrink_the_segment)
{
    struct socket *s = script_accepted("mss 1460,sackOK,TS val 100 ecr 0,nop,wscale 7", 65535);

    cr_assert_eq(sys_write(s, 2000), 2000);
    tx(.len = 1448, .opt = "nop,nop,TS val * ecr *");
    tx(.len = 552);
    rx();
}

Test(data, established_peer_mss_is_respected)
{
    struct socket *s = script_accepted("mss 500", 65535);

    cr_assert_eq(sys_write(s, 1200), 1200);
    tx(.len = 500);
    tx(.len = 500);
    tx(.len = 200);
    rx();
}

Test(data, established_no_mss_option_means_536)
{
    struct socket *s = script_accepted("", 65535);

    cr_assert_eq(sys_write(s, 1000), 1000);
    tx(.len = 536);
    tx(.len = 464);
    rx();
}

Test(data, established_data_is_read_in_order)
{
    struct socket *s = script_accepted("mss 1460", 65535);

    cr_assert_eq(sys_read(s, 100), -EAGAIN);
    cr_assert_eq(sys_poll(s) & EPOLLIN, 0);
    rx(.len = 1000);
    tx(.ack = 1001); /* quick ACK: the connection is new */
    cr_assert(sys_poll(s) & EPOLLIN);
    cr_assert_eq(sys_inq(s), 1000);
    cr_assert_eq(sys_read(s, 300), 300);
    cr_assert_eq(sys_recv(s, 300, MSG_PEEK), 300);
    cr_assert_eq(sys_read(s, 5000), 700);
    cr_assert_eq(sys_read(s, 100), -EAGAIN);
    tx_ignore();
}

Test(data, established_blocking_read_waits_for_data)
{
    struct socket *s = script_accepted("mss 1460", 65535);

    rx_in(50, .len = 10);
    cr_assert_eq(sys_read_wait(s, 100), 10);
    tx(.ack = 11);
}

Test(data, established_blocking_read_with_a_time_limit_gives_up)
{
    struct socket *s = script_accepted("mss 1460", 65535);
    struct timeval limit = { .tv_usec = 300000 };
    u64 begin = script_now();

    cr_assert_eq(sock_setsockopt(s, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit)), 0);
    cr_assert_eq(sys_read_wait(s, 10), -EAGAIN);
    cr_assert_geq(script_now() - begin, 300 * NSEC_PER_MSEC);
    cr_assert_lt(script_now() - begin, 310 * NSEC_PER_MSEC);
}

/* ---- delayed ACK ----------------------------------------------------------------------------------------- */

/* Request and response: the stack is in pingpong mode, so that ACKs wait for data to ride on. */
static struct socket *pingpong(void)
{
    struct socket *s = script_accepted("mss 1460", 65535);

    rx(.len = 100);
    tx(.ack = 101);
    cr_assert_eq(sys_read(s, 100), 100);
    cr_assert_eq(sys_write(s, 100), 100);
    tx(.len = 100, .ack = 101);
    rx();
    return s;
}

Test(data, pingpong_ack_is_delayed_40_ms)
{
    pingpong();
    rx(.len = 100);
    tx_nothing();
    tx_at(40, .ack = 201);
    cr_assert_eq(mib(LINUX_MIB_DELAYEDACKS), 1);
}

/* Else a peer whose least RTO is the same would send again before it comes. */
Test(data, pingpong_ack_is_delayed_for_less_than_the_least_rto)
{
    script_net->ipv4.sysctl_tcp_rto_min_us = 20000;
    pingpong();
    rx(.len = 100);
    tx_nothing();
    tx_at(19, .ack = 201);
}

Test(data, pingpong_ack_is_delayed_for_tcp_delack_max_us)
{
    cr_assert_eq(sys_setsockopt(pingpong(), IPPROTO_TCP, 46, 10000), 0);
    rx(.len = 100);
    tx_nothing();
    tx_at(10, .ack = 201);
}

Test(data, pingpong_ends_when_no_answer_came_in_the_delay)
{
    pingpong();
    rx(.len = 100);
    tx_at(40, .ack = 201);
    rx(.len = 100);
    tx(.ack = 301);
}

Test(data, pingpong_ack_rides_on_data)
{
    struct socket *s = pingpong();

    rx(.len = 100);
    cr_assert_eq(sys_read(s, 100), 100);
    tx_nothing();
    advance_ms(10);
    cr_assert_eq(sys_write(s, 50), 50);
    tx(.len = 50, .ack = 201);
    advance_ms(100);
    tx_nothing();
    rx();
}

Test(data, pingpong_second_full_segment_is_acked_at_once)
{
    pingpong();
    rx(.len = 1460);
    tx_nothing();
    rx(.len = 1460);
    tx(.ack = 3021);
}

Test(data, quickack_option_acks_at_once)
{
    struct socket *s = pingpong();

    rx(.len = 100);
    cr_assert_eq(sys_read(s, 100), 100);
    tx_nothing();
    cr_assert_eq(sys_setsockopt(s, IPPROTO_TCP, TCP_QUICKACK, 1), 0);
    tx(.ack = 201);
    rx(.len = 100);
    tx(.ack = 301);
}

Test(data, new_connection_acks_at_once_16_times)
{
    struct socket *s = script_accepted("mss 1460", 65535);

    for (int i = 1; i <= 16; i++) {
        rx(.len = 100);
        tx(.ack = 1 + i * 100);
        cr_assert_eq(sys_read(s, 100), 100);
    }
    rx(.len = 100);
    tx_at(40, .ack = 1701);
}

/* ---- Nagle, cork -------------------------------------------------------------------------------------------- */

Test(data, nagle_holds_the_second_small_write_until_the_ack)
{
    struct socket *s = script_accepted("mss 1460", 65535);

    cr_assert_eq(sys_write(s, 100), 100);
    tx(.len = 100);
    cr_assert_eq(sys_write(s, 100), 100);
    cr_assert_eq(sys_write(s, 50), 50);
    tx_nothing();
    rx(.ack = 101);
    tx(.flags = "PA", .seq = 101, .len = 150);
    rx();
}

Test(data, nagle_sends_a_full_segment_at_once)
{
    struct socket *s = script_accepted("mss 1000", 65535);

    cr_assert_eq(sys_write(s, 100), 100);
    tx(.len = 100);
    cr_assert_eq(sys_write(s, 1300), 1300);
    tx(.len = 1000);
    tx_nothing();
    rx(.ack = 101);
    tx_ignore();
    rx(.ack = 1101);
    tx_ignore();
    rx(.ack = 1401);
}

Test(data, minshall_full_segments_in_flight_do_not_hold_a_small_one)
{
    struct socket *s = script_accepted("mss 1000", 65535);

    cr_assert_eq(sys_write(s, 1000), 1000);
    tx(.len = 1000);
    cr_assert_eq(sys_write(s, 10), 10);
    tx(.len = 10);
    cr_assert_eq(sys_write(s, 10), 10);
    tx_nothing();
    rx();
    tx(.len = 10);
    rx();
}

Test(data, nodelay_sends_every_small_write)
{
    struct socket *s = script_accepted("mss 1460", 65535);

    cr_assert_eq(sys_setsockopt(s, IPPROTO_TCP, TCP_NODELAY, 1), 0);
    for (int i = 0; i < 3; i++) {
        cr_assert_eq(sys_write(s, 10), 10);
        tx(.flags = "PA", .len = 10);
    }
    rx();
}

Test(data, nodelay_set_later_pushes_what_nagle_held)
{
    struct socket *s = script_accepted("mss 1460", 65535);

    sys_write(s, 10);
    tx(.len = 10);
    sys_write(s, 10);
    tx_nothing();
    cr_assert_eq(sys_setsockopt(s, IPPROTO_TCP, TCP_NODELAY, 1), 0);
    tx(.len = 10);
    rx();
}

Test(data, cork_holds_until_full_or_pulled)
{
    struct socket *s = script_accepted("mss 1000", 65535);

    cr_assert_eq(sys_setsockopt(s, IPPROTO_TCP, TCP_CORK, 1), 0);
    sys_write(s, 400);
    sys_write(s, 400);
    tx_nothing();
    sys_write(s, 400);
    tx(.len = 1000);
    tx_nothing();
    cr_assert_eq(sys_setsockopt(s, IPPROTO_TCP, TCP_CORK, 0), 0);
    tx(.len = 200);
    rx();
}

Test(data, cork_is_pulled_after_200_ms)
{
    struct socket *s = script_accepted("mss 1000", 65535);

    cr_assert_eq(sys_setsockopt(s, IPPROTO_TCP, TCP_CORK, 1), 0);
    sys_write(s, 400);
    tx_at(200, .len = 400);
    rx();
}

Test(data, msg_more_waits_for_the_rest)
{
    struct socket *s = script_accepted("mss 1000", 65535);

    cr_assert_eq(sys_send(s, 300, MSG_MORE), 300);
    tx_nothing();
    cr_assert_eq(sys_send(s, 300, 0), 300);
    tx(.flags = "PA", .len = 600);
    rx();
}

Test(data, msg_eor_keeps_records_apart)
{
    struct socket *s = script_accepted("mss 1000", 65535);

    sys_write(s, 10);
    tx(.len = 10);
    sys_send(s, 20, MSG_EOR);
    tx_nothing(); /* Nagle */
    sys_write(s, 30); /* not joined: what was the tail is now complete, and goes */
    tx(.len = 20);
    tx_nothing();
    rx();
    tx(.len = 30);
    rx();
}

/* ---- windows --------------------------------------------------------------------------------------------------- */

Test(data, window_limits_what_is_sent)
{
    struct socket *s = script_accepted("mss 1000", 2500);

    cr_assert_eq(sys_write(s, 5000), 5000);
    tx(.len = 1000);
    tx(.len = 1000);
    tx_nothing(); /* SWS avoidance: 500 are left of the window */
    rx(.ack = 1001, .win = 2500);
    tx_ignore();
    rx(.win = 10000);
    tx_ignore();
    rx();
}

Test(data, window_scale_applies_to_the_peers_window)
{
    struct socket *s = script_accepted("mss 1000,nop,wscale 3", 500); /* the ACK's window: 4000 bytes */

    cr_assert_eq(sys_write(s, 9000), 9000);
    for (int i = 0; i < 4; i++)
        tx(.len = 1000);
    tx_nothing();
    rx(.win = 1000);
    cr_assert_eq(tx_ignore(), 5);
    rx();
}

Test(data, window_scale_applies_to_our_window_after_the_syn)
{
    struct socket *s = sys_socket_bound();

    cr_assert_eq(sys_connect(s, SCRIPT_PEER_PORT), -EINPROGRESS);
    tx(.flags = "S", .win = 64240);
    rx(.flags = "SA", .opt = "mss 1460,nop,wscale 7");
    tx(.ack = 1, .win = (64240 + (1 << sys_tcp_info(s).tcpi_rcv_wscale) - 1) >> sys_tcp_info(s).tcpi_rcv_wscale);
}

Test(data, our_window_closes_when_the_program_does_not_read_and_opens_when_it_does)
{
    struct socket *l = sys_listen(80, 10), *s;
    u32 place = 1;
    int n;

    cr_assert_eq(sys_setsockopt(l, SOL_SOCKET, SO_RCVBUF, 4096), 0);
    rx(.flags = "S", .opt = "mss 1000");
    tx(.flags = "SA");
    rx();
    s = sys_accept_ok(l);
    for (n = 0; n < 40; n++) {
        u32 wnd;

        lock_sock(s->sk);
        wnd = tcp_receive_window(tcp_sk(s->sk));
        release_sock(s->sk);
        if (!wnd)
            break;
        rx(.len = min(wnd, 1000u));
        place += min(wnd, 1000u);
        advance_ms(50);
        tx_ignore();
    }
    cr_assert_lt(n, 40, "the window never closed");
    rx(.seq = place, .len = 1); /* a probe of the zero window */
    tx(.ack = place, .win = 0);
    cr_assert_eq(sys_read(s, place), place - 1);
    tx(.ack = place); /* the window is open again: told at once */
    advance_ms(600);
    rx(.seq = place, .len = 1);
    tx_ignore();
    cr_assert_eq(sys_read(s, 10), 1);
    tx_ignore();
}

Test(data, our_window_never_shrinks)
{
    struct socket *s = script_accepted("mss 1460", 65535);
    u32 edge = 1 + 64240;

    for (int i = 0; i < 30; i++) {
        rx(.len = 1000);
        advance_ms(50);
        tx_ignore();
        lock_sock(s->sk);
        u32 right = tcp_sk(s->sk)->rcv_nxt + tcp_receive_window(tcp_sk(s->sk)) - (tcp_sk(s->sk)->rcv_nxt - (1 + (u32)(i + 1) * 1000));
        release_sock(s->sk);
        cr_assert_geq(right, edge, "the right edge went back from %u to %u", edge, right);
        edge = right;
    }
    cr_assert_eq(sys_read(s, 40000), 30000);
    tx_ignore();
}
