/* SPDX-License-Identifier: MIT */
/* Segments in disorder: the out-of-order queue, SACK and D-SACK blocks (RFC 2018, 2883), PAWS (RFC 7323). */

#include "../lib/tcpscript.h"

TestSuite(receive, .init = script_init, .fini = script_fini);

Test(receive, hole_gets_an_immediate_ack_with_sack)
{
    struct socket *s = script_accepted("mss 1460,sackOK", 65535);

    rx(.len = 1000);
    tx(.ack = 1001);
    rx(.seq = 2001, .len = 1000);
    tx(.ack = 1001, .opt = "nop,nop,sack 1 {2001:3001}");
    cr_assert_eq(sys_read(s, 5000), 1000);
    tx_ignore();
    rx(.seq = 1001, .len = 1000); /* fills it */
    tx(.ack = 3001, .opt = "");
    cr_assert_eq(sys_read(s, 5000), 2000);
    tx_ignore();
    cr_assert_eq(mib(LINUX_MIB_TCPOFOQUEUE), 1);
}

Test(receive, sack_blocks_are_newest_first_and_merge)
{
    script_accepted("mss 1460,sackOK", 65535);
    rx(.seq = 1001, .len = 1000);
    tx(.ack = 1, .opt = "nop,nop,sack 1 {1001:2001}");
    rx(.seq = 5001, .len = 1000);
    tx(.ack = 1, .opt = "nop,nop,sack 2 {5001:6001}{1001:2001}");
    rx(.seq = 3001, .len = 1000);
    tx(.ack = 1, .opt = "nop,nop,sack 3 {3001:4001}{5001:6001}{1001:2001}");
    rx(.seq = 4001, .len = 1000);
    tx(.ack = 1, .opt = "nop,nop,sack 2 {3001:6001}{1001:2001}");
    rx(.seq = 2001, .len = 1000);
    advance_ms(10);
    tx(.ack = 1, .opt = "nop,nop,sack 1 {1001:6001}");
    rx(.seq = 1, .len = 1000);
    tx(.ack = 6001, .opt = "");
}

Test(receive, sack_has_room_for_three_blocks_beside_a_timestamp)
{
    script_accepted("mss 1460,sackOK,TS val 100 ecr 0", 65535);
    rx(.seq = 1001, .len = 100);
    tx(.ack = 1, .opt = "nop,nop,TS val * ecr *,nop,nop,sack 1 {1001:1101}");
    rx(.seq = 2001, .len = 100);
    tx(.ack = 1);
    rx(.seq = 3001, .len = 100);
    tx(.ack = 1);
    rx(.seq = 4001, .len = 100);
    advance_ms(10);
    tx(.ack = 1, .opt = "nop,nop,TS val * ecr *,nop,nop,sack 3 {4001:4101}{3001:3101}{2001:2101}");
}

Test(receive, hole_without_sack_gets_a_plain_duplicate_ack)
{
    script_accepted("mss 1460", 65535);
    rx(.seq = 1001, .len = 100);
    tx(.ack = 1, .opt = "");
    rx(.seq = 1101, .len = 100);
    tx(.ack = 1, .opt = "");
}

Test(receive, overlapping_segments_are_delivered_once)
{
    struct socket *s = script_accepted("mss 1460,sackOK", 65535);

    rx(.seq = 501, .len = 1000);
    tx_ignore();
    rx(.seq = 1001, .len = 1000);
    tx_ignore();
    rx(.seq = 1, .len = 800);
    tx(.ack = 2001);
    cr_assert_eq(sys_read(s, 5000), 2000); /* checked against the pattern */
    tx_ignore();
    cr_assert_eq(sys_read(s, 100), -EAGAIN);
}

Test(receive, duplicate_segment_is_reported_by_dsack)
{
    struct socket *s = script_accepted("mss 1460,sackOK", 65535);

    rx(.len = 1000);
    tx(.ack = 1001);
    rx(.seq = 1, .len = 1000);
    tx(.ack = 1001, .opt = "nop,nop,sack 1 {1:1001}");
    cr_assert_eq(sys_read(s, 5000), 1000);
    cr_assert_eq(mib(LINUX_MIB_TCPDSACKOLDSENT), 1);
}

Test(receive, duplicate_of_queued_data_is_reported_by_dsack)
{
    script_accepted("mss 1460,sackOK", 65535);
    rx(.seq = 1001, .len = 1000);
    tx(.ack = 1, .opt = "nop,nop,sack 1 {1001:2001}");
    rx(.seq = 1001, .len = 1000);
    tx(.ack = 1, .opt = "nop,nop,sack 2 {1001:2001}{1001:2001}");
    cr_assert_eq(mib(LINUX_MIB_TCPDSACKOFOSENT), 1);
}

Test(receive, partly_old_segment_delivers_its_new_part)
{
    struct socket *s = script_accepted("mss 1460", 65535);

    rx(.len = 1000);
    tx(.ack = 1001);
    rx(.seq = 501, .len = 1000);
    tx(.ack = 1501);
    cr_assert_eq(sys_read(s, 5000), 1500);
}

Test(receive, data_beyond_the_window_is_dropped_and_acked)
{
    script_accepted("mss 1460", 65535);
    rx(.seq = 70001, .len = 100);
    tx(.ack = 1);
    cr_assert_gt(drops(SKB_DROP_REASON_TCP_INVALID_SEQUENCE), 0);
}

Test(receive, fin_beyond_a_hole_waits)
{
    struct socket *s = script_accepted("mss 1460,sackOK", 65535);

    rx(.flags = "FA", .seq = 101);
    tx_ignore();
    cr_assert_eq(sys_state(s), TCP_ESTABLISHED);
    rx(.seq = 1, .len = 100);
    advance_ms(50);
    tx(.ack = 102);
    cr_assert_eq(sys_state(s), TCP_CLOSE_WAIT);
    cr_assert_eq(sys_read(s, 200), 100);
    cr_assert_eq(sys_read(s, 200), 0);
}

/* ---- timestamps ------------------------------------------------------------------------------------------------ */

Test(receive, timestamp_of_the_last_in_order_segment_is_echoed)
{
    script_accepted("mss 1460,sackOK,TS val 100 ecr 0", 65535);
    rx(.len = 100, .opt = "nop,nop,TS val 200 ecr 1");
    tx(.ack = 101, .opt = "nop,nop,TS val * ecr 200");
    rx(.seq = 201, .len = 100, .opt = "nop,nop,TS val 300 ecr 1"); /* not in order: not taken */
    tx(.ack = 101, .opt = "nop,nop,TS val * ecr 200,*");
}

Test(receive, paws_drops_an_older_timestamp_and_acks)
{
    struct socket *s = script_accepted("mss 1460,sackOK,TS val 100 ecr 0", 65535);

    rx(.len = 100, .opt = "nop,nop,TS val 500 ecr 1");
    tx(.ack = 101);
    rx(.len = 100, .seq = 101, .opt = "nop,nop,TS val 400 ecr 1");
    tx(.ack = 101);
    cr_assert_eq(sys_read(s, 1000), 100);
    cr_assert_eq(mib(LINUX_MIB_PAWSESTABREJECTED), 1);
    cr_assert_eq(drops(SKB_DROP_REASON_TCP_RFC7323_PAWS), 1);
}

Test(receive, paws_lets_a_reset_pass)
{
    struct socket *s = script_accepted("mss 1460,sackOK,TS val 100 ecr 0", 65535);

    rx(.len = 100, .opt = "nop,nop,TS val 500 ecr 1");
    tx(.ack = 101);
    rx(.flags = "R", .opt = "nop,nop,TS val 400 ecr 1");
    cr_assert_eq(sys_state(s), TCP_CLOSE);
}

Test(receive, paws_lets_a_duplicate_ack_pass_that_was_overtaken)
{
    struct socket *s = script_accepted("mss 1460,sackOK,TS val 100 ecr 0", 65535);

    rx(.len = 100, .opt = "nop,nop,TS val 500 ecr 1");
    tx(.ack = 101);
    rx(.opt = "nop,nop,TS val 500 ecr 1");
    rx(.opt = "nop,nop,TS val 400 ecr 1"); /* within a retransmission time-out */
    tx_nothing();
    cr_assert_eq(mib(LINUX_MIB_PAWSESTABREJECTED), 0);
    rx(.len = 10, .opt = "nop,nop,TS val 450 ecr 1"); /* it did not set ts_recent back */
    tx(.ack = 101);
    advance_ms(600); /* tcp_invalid_ratelimit */
    rx(.seq = 101, .opt = "nop,nop,TS val 1 ecr 1"); /* ts_recent less 499 */
    tx(.ack = 101);
    cr_assert_eq(mib(LINUX_MIB_PAWSESTABREJECTED), 2);
    cr_assert_eq(sys_read(s, 1000), 100);
}

Test(receive, paws_drops_an_overtaken_ack_that_would_change_the_window)
{
    struct socket *s = script_accepted("mss 1460,sackOK,TS val 100 ecr 0", 20000);

    rx(.len = 100, .opt = "nop,nop,TS val 500 ecr 1");
    tx(.ack = 101);
    rx(.opt = "nop,nop,TS val 500 ecr 1"); /* the window is of this sequence number */
    rx(.win = 30000, .opt = "nop,nop,TS val 400 ecr 1");
    tx(.ack = 101);
    cr_assert_eq(mib(LINUX_MIB_PAWSESTABREJECTED), 1);
    cr_assert_eq(tcp_sk(s->sk)->snd_wnd, 20000);
    cr_assert_eq(sys_read(s, 1000), 100);
}

Test(receive, paws_forgets_a_timestamp_after_24_days)
{
    struct socket *s = script_accepted("mss 1460,sackOK,TS val 100 ecr 0", 65535);

    rx(.len = 100, .opt = "nop,nop,TS val 500 ecr 1");
    tx(.ack = 101);
    for (int i = 0; i < 25; i++)
        advance_ms(24ull * 3600 * 1000);
    rx(.len = 100, .opt = "nop,nop,TS val 400 ecr 1");
    advance_ms(100);
    tx_ignore();
    cr_assert_eq(sys_read(s, 1000), 200);
}

/* ---- events ---------------------------------------------------------------------------------------------------------- */

Test(receive, rcvlowat_holds_back_readiness)
{
    struct socket *s = script_accepted("mss 1460", 65535);

    cr_assert_eq(sys_setsockopt(s, SOL_SOCKET, SO_RCVLOWAT, 1000), 0);
    rx(.len = 600);
    tx_ignore();
    cr_assert_eq(sys_poll(s) & EPOLLIN, 0);
    rx(.len = 600);
    tx_ignore();
    cr_assert(sys_poll(s) & EPOLLIN);
    cr_assert_eq(sys_read(s, 2000), 1200);
    tx_ignore();
}

Test(receive, fin_makes_a_socket_readable_below_rcvlowat)
{
    struct socket *s = script_accepted("mss 1460", 65535);

    cr_assert_eq(sys_setsockopt(s, SOL_SOCKET, SO_RCVLOWAT, 1000), 0);
    rx(.flags = "FA");
    advance_ms(50);
    tx_ignore();
    cr_assert(sys_poll(s) & EPOLLIN);
    cr_assert(sys_poll(s) & EPOLLRDHUP);
    cr_assert_eq(sys_read(s, 10), 0);
}

Test(receive, full_send_buffer_blocks_and_an_ack_wakes)
{
    struct socket *s = script_accepted("mss 1460", 65535);
    ssize_t n, total = 0;

    cr_assert_eq(sys_setsockopt(s, SOL_SOCKET, SO_SNDBUF, 20000), 0);
    while ((n = sys_write(s, 5000)) > 0)
        total += n;
    cr_assert_eq(n, -EAGAIN);
    cr_assert_gt(total, 10000);
    cr_assert_eq(sys_poll(s) & EPOLLOUT, 0);
    for (int i = 0; i < 20 && !(sys_poll(s) & EPOLLOUT); i++) {
        tx_ignore();
        advance_ms(10);
        tx_ignore();
        rx();
    }
    tx_ignore();
    cr_assert(sys_poll(s) & EPOLLOUT);
    cr_assert_gt(sys_write(s, 1000), 0);
    tx_ignore();
}

Test(receive, blocking_write_waits_for_room)
{
    struct socket *s = script_accepted("mss 1460,nop,wscale 7", 65535);

    cr_assert_eq(sys_setsockopt(s, SOL_SOCKET, SO_SNDBUF, 10000), 0);
    for (int i = 1; i <= 40; i++)
        rx_in((u64)i * 20, .ack = 1 + 1460 * i);
    cr_assert_eq(sys_write_wait(s, 58400), 58400);
    advance_ms(1000);
    cr_assert_eq(sys_tcp_info(s).tcpi_unacked, 0);
    tx_ignore();
}
