/* SPDX-License-Identifier: MIT */
/* Ending a connection (RFC 9293 3.6), in order and by force; TIME-WAIT; orphans. */

#include "../lib/tcpscript.h"

TestSuite(closing, .init = script_init, .fini = script_fini);

Test(closing, close_first_passes_fin_wait_and_time_wait)
{
    struct socket *s = script_accepted("mss 1460", 65535);

    sys_close(s);
    tx(.flags = "FA", .seq = 1, .ack = 1);
    rx(.ack = 2);
    tx_nothing();
    rx(.flags = "FA");
    tx(.seq = 2, .ack = 2);
    cr_assert_eq(mib(TCP_MIB_CURRESTAB), 0);
}

Test(closing, peer_first_passes_close_wait_and_last_ack)
{
    struct socket *s = script_accepted("mss 1460", 65535);

    rx(.flags = "FA");
    advance_ms(40);
    tx(.ack = 2);
    cr_assert_eq(sys_state(s), TCP_CLOSE_WAIT);
    cr_assert_eq(sys_read(s, 10), 0);
    cr_assert_eq(sys_write(s, 10), 10); /* our direction is open */
    tx(.len = 10);
    rx();
    sys_close(s);
    tx(.flags = "FA", .ack = 2);
    rx();
    rx(.ack = 12);
    tx(.flags = "R", .seq = 12); /* gone: no TIME-WAIT on this side */
}

Test(closing, fin_with_data_is_one_event)
{
    struct socket *s = script_accepted("mss 1460", 65535);

    rx(.flags = "FPA", .len = 100);
    advance_ms(40);
    tx(.ack = 102);
    cr_assert_eq(sys_read(s, 1000), 100);
    cr_assert_eq(sys_read(s, 1000), 0);
}

Test(closing, close_sends_the_queue_and_then_fin)
{
    struct socket *s = script_accepted("mss 1000", 2000);

    sys_write(s, 4500);
    tx(.len = 1000);
    tx(.len = 1000);
    sys_close(s);
    tx_nothing();
    rx();
    tx(.len = 1000);
    tx(.len = 1000);
    rx();
    tx(.flags = "FPA", .len = 500);
    rx();
    rx(.flags = "FA");
    tx(.ack = 2);
}

Test(closing, both_close_at_once)
{
    struct socket *s = script_accepted("mss 1460", 65535);

    cr_assert_eq(sys_shutdown(s, SHUT_WR), 0);
    tx(.flags = "FA", .ack = 1);
    rx(.flags = "FA", .ack = 1); /* crossed */
    tx(.seq = 2, .ack = 2);
    cr_assert_eq(sys_state(s), TCP_CLOSING);
    rx(.ack = 2);
    tx_nothing();
    advance_ms(1000);
    rx(.flags = "FA", .seq = 1, .ack = 2);
    tx(.ack = 2); /* TIME-WAIT */
}

Test(closing, half_close_still_receives)
{
    struct socket *s = script_accepted("mss 1460", 65535);

    cr_assert_eq(sys_shutdown(s, SHUT_WR), 0);
    tx(.flags = "FA", .ack = 1);
    rx();
    cr_assert_eq(sys_state(s), TCP_FIN_WAIT2);
    cr_assert_eq(sys_write(s, 10), -EPIPE);
    rx(.len = 500);
    tx(.ack = 501);
    cr_assert_eq(sys_read(s, 1000), 500);
    rx(.flags = "FA");
    tx(.ack = 502);
    cr_assert_eq(sys_read(s, 10), 0);
}

Test(closing, shutdown_read_gives_end_of_file_and_ignores_data)
{
    struct socket *s = script_accepted("mss 1460", 65535);

    cr_assert_eq(sys_shutdown(s, SHUT_RD), 0);
    tx_nothing();
    cr_assert_eq(sys_read(s, 10), 0);
    cr_assert(sys_poll(s) & EPOLLIN);
}

Test(closing, shutdown_of_an_unconnected_socket_is_enotconn)
{
    struct socket *s = sys_socket();

    cr_assert_eq(sys_shutdown(s, SHUT_WR), -ENOTCONN);
    cr_assert_eq(sys_read(s, 1), -ENOTCONN);
    cr_assert_eq(sys_write(s, 1), -EPIPE);
}

Test(closing, fin_is_retransmitted)
{
    struct socket *s = script_accepted("mss 1460", 65535);

    sys_close(s);
    tx(.flags = "FA", .ack = 1);
    tx_at(200, .flags = "FA", .seq = 1, .ack = 1);
    tx_at(400, .flags = "FA", .seq = 1, .ack = 1);
    rx();
    rx(.flags = "FA");
    tx(.ack = 2);
}

Test(closing, close_with_unread_data_resets)
{
    struct socket *s = script_accepted("mss 1460", 65535);

    rx(.len = 100);
    tx(.ack = 101);
    sys_close(s);
    tx(.flags = "RA", .seq = 1, .ack = 101);
    cr_assert_eq(mib(LINUX_MIB_TCPABORTONCLOSE), 1);
    rx(.len = 100);
    tx(.flags = "R", .seq = 1);
}

Test(closing, close_with_linger_0_resets)
{
    struct socket *s = script_accepted("mss 1460", 65535);

    sys_write(s, 100);
    tx(.len = 100);
    cr_assert_eq(sys_linger(s, 1, 0), 0);
    sys_close(s);
    tx(.flags = "RA", .seq = 101, .ack = 1);
    cr_assert_eq(mib(LINUX_MIB_TCPABORTONDATA), 1);
}

Test(closing, close_with_linger_waits_for_the_ack)
{
    struct socket *s = script_accepted("mss 1460", 65535);
    u64 begin = script_now();

    sys_write(s, 100);
    tx(.len = 100);
    cr_assert_eq(sys_linger(s, 1, 5), 0);
    rx_in(70, .ack = 102);
    rx_in(80, .flags = "FA", .seq = 1, .ack = 102);
    sys_close(s);
    cr_assert_geq(script_now() - begin, 70 * NSEC_PER_MSEC);
    cr_assert_lt(script_now() - begin, 5 * NSEC_PER_SEC);
    tx_ignore();
    advance_ms(100);
    tx_ignore();
}

Test(closing, data_for_an_orphan_resets)
{
    struct socket *s = script_accepted("mss 1460", 65535);

    sys_close(s);
    tx(.flags = "FA", .ack = 1);
    rx(.ack = 2, .len = 100);
    tx(.flags = "R", .seq = 2);
    cr_assert_eq(mib(LINUX_MIB_TCPABORTONDATA), 1);
}

Test(closing, fin_wait_2_orphan_ends_after_fin_timeout)
{
    struct socket *s = script_accepted("mss 1460", 65535);

    sys_close(s);
    tx(.flags = "FA", .ack = 1);
    rx();
    advance_ms(61000);
    tx_nothing();
    rx(.flags = "FA");
    tx(.flags = "R", .seq = 2);
}

Test(closing, peers_reset_is_connection_reset)
{
    struct socket *s = script_accepted("mss 1460", 65535);

    rx(.flags = "R");
    cr_assert_eq(sys_state(s), TCP_CLOSE);
    cr_assert(sys_poll(s) & EPOLLERR);
    cr_assert(sys_poll(s) & EPOLLHUP);
    cr_assert_eq(sys_read(s, 10), -ECONNRESET);
    cr_assert_eq(sys_read(s, 10), 0);
    cr_assert_eq(sys_write(s, 10), -EPIPE);
    cr_assert_eq(mib(TCP_MIB_ESTABRESETS), 1);
}

Test(closing, reset_in_close_wait_is_a_broken_pipe)
{
    struct socket *s = script_accepted("mss 1460", 65535);

    rx(.flags = "FA");
    advance_ms(40);
    tx_ignore();
    rx(.flags = "R");
    cr_assert_eq(sys_error(s), EPIPE);
}

Test(closing, unread_data_is_readable_before_the_reset_is_reported)
{
    struct socket *s = script_accepted("mss 1460", 65535);

    rx(.len = 100);
    tx_ignore();
    rx(.flags = "R");
    cr_assert_eq(sys_read(s, 1000), 100);
    cr_assert_eq(sys_read(s, 1000), -ECONNRESET);
}

/* ---- TIME-WAIT ------------------------------------------------------------------------------------------------ */

static void time_wait(void)
{
    struct socket *l = sys_listen(80, 10), *s;

    rx(.flags = "S", .opt = "mss 1460");
    tx(.flags = "SA", .ack = 1);
    rx();
    s = sys_accept_ok(l);
    sys_close(s);
    tx(.flags = "FA", .ack = 1);
    rx();
    rx(.flags = "FA");
    tx(.seq = 2, .ack = 2);
    cr_assert_eq(mib(LINUX_MIB_TIMEWAITED), 0); /* counted when it ends */
}

Test(closing, time_wait_repeats_the_ack_of_a_repeated_fin)
{
    time_wait();
    advance_ms(5000);
    rx(.flags = "FA", .seq = 1);
    tx(.seq = 2, .ack = 2);
}

Test(closing, time_wait_lasts_60_seconds)
{
    time_wait();
    advance_ms(59000);
    rx(.flags = "FA", .seq = 1);
    tx(.seq = 2, .ack = 2);
    advance_ms(61000); /* the repeated FIN began it anew */
    cr_assert_eq(mib(LINUX_MIB_TIMEWAITED), 1);
    rx(.flags = "FA", .seq = 1);
    tx(.flags = "R", .seq = 2);
}

Test(closing, time_wait_accepts_a_newer_syn)
{
    time_wait();
    advance_ms(1000);
    rx(.flags = "S", .seq = 10000, .opt = "mss 1460");
    tx(.flags = "SA", .ack = 10001);
    rx(.flags = "R", .seq = 10001);
}

Test(closing, time_wait_answers_an_old_syn_with_an_ack)
{
    time_wait();
    advance_ms(1000);
    rx(.flags = "S", .seq = 1, .opt = "mss 1460");
    tx(.seq = 2, .ack = 2);
}

Test(closing, time_wait_is_ended_by_a_reset)
{
    time_wait();
    rx(.flags = "R", .seq = 2);
    advance_ms(100);
    rx(.flags = "FA", .seq = 1);
    tx(.flags = "R", .seq = 2);
}

Test(closing, time_wait_port_can_be_bound_with_reuseaddr)
{
    struct socket *s = script_accepted("mss 1460", 65535);

    sys_close(s);
    tx(.flags = "FA", .ack = 1);
    rx();
    rx(.flags = "FA");
    tx(.ack = 2);
    sys_listen(80, 1);
}
