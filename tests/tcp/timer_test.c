/* SPDX-License-Identifier: MIT */
/* Keepalive, user time-out, and that an idle connection has no timer. */

#include "../lib/tcpscript.h"

TestSuite(timer, .init = script_init, .fini = script_fini);

static struct socket *keepalive(void)
{
    struct socket *s = script_accepted("mss 1460", 65535);

    cr_assert_eq(sys_setsockopt(s, IPPROTO_TCP, TCP_KEEPIDLE, 10), 0);
    cr_assert_eq(sys_setsockopt(s, IPPROTO_TCP, TCP_KEEPINTVL, 5), 0);
    cr_assert_eq(sys_setsockopt(s, IPPROTO_TCP, TCP_KEEPCNT, 3), 0);
    cr_assert_eq(sys_setsockopt(s, SOL_SOCKET, SO_KEEPALIVE, 1), 0);
    return s;
}

Test(timer, keepalive_probes_an_idle_connection)
{
    struct socket *s = keepalive();

    tx_at(10000, .seq = 0, .ack = 1);
    rx();
    tx_at(10000, .seq = 0, .ack = 1);
    rx();
    cr_assert_eq(sys_state(s), TCP_ESTABLISHED);
}

Test(timer, keepalive_unanswered_ends_the_connection)
{
    struct socket *s = keepalive();

    tx_at(10000, .seq = 0, .ack = 1);
    tx_at(5000, .seq = 0, .ack = 1);
    tx_at(5000, .seq = 0, .ack = 1);
    tx_at(5000, .flags = "RA", .seq = 1);
    cr_assert_eq(sys_error(s), ETIMEDOUT);
    cr_assert_eq(sys_state(s), TCP_CLOSE);
}

Test(timer, keepalive_waits_while_data_flows)
{
    struct socket *s = keepalive();

    for (int i = 0; i < 4; i++) {
        advance_ms(6000);
        rx(.len = 10);
        advance_ms(50);
        tx_ignore();
    }
    cr_assert_eq(sys_read(s, 100), 40);
    tx_at(10000 - 50, .seq = 0);
}

Test(timer, user_timeout_ends_unacknowledged_data)
{
    struct socket *s = script_accepted("mss 1460", 65535);
    u64 begin = script_now();

    cr_assert_eq(sys_setsockopt(s, IPPROTO_TCP, TCP_USER_TIMEOUT, 1000), 0);
    sys_write(s, 100);
    tx(.len = 100);
    while (sys_state(s) == TCP_ESTABLISHED && script_now() - begin < 10 * NSEC_PER_SEC) {
        advance_ms(50);
        tx_ignore();
    }
    cr_assert_geq(script_now() - begin, 900 * NSEC_PER_MSEC);
    cr_assert_leq(script_now() - begin, 1500 * NSEC_PER_MSEC);
    cr_assert_eq(sys_error(s), ETIMEDOUT);
}

/* The peer answers each probe: TCP_USER_TIMEOUT counts all the same (tcp(7)). */
Test(timer, user_timeout_ends_a_closed_window_that_stays_closed)
{
    struct socket *s = script_accepted("mss 1460", 65535);
    u64 begin;

    cr_assert_eq(sys_setsockopt(s, IPPROTO_TCP, TCP_USER_TIMEOUT, 3000), 0);
    sys_write(s, 100);
    tx(.len = 100);
    rx(.ack = 101, .win = 0);
    sys_write(s, 100);
    begin = script_now();
    while (sys_state(s) == TCP_ESTABLISHED && script_now() - begin < 20 * NSEC_PER_SEC) {
        advance_ms(10);
        if (tx_ignore())
            rx(.ack = 101, .win = 0);
    }
    cr_assert_geq(script_now() - begin, 3000 * NSEC_PER_MSEC);
    cr_assert_leq(script_now() - begin, 3500 * NSEC_PER_MSEC);
    cr_assert_eq(sys_error(s), ETIMEDOUT);
}

/* The peer closed its window over data in flight and answers without taking it. */
Test(timer, user_timeout_ends_data_in_flight_behind_a_closed_window)
{
    struct socket *s = script_accepted("mss 1460", 65535);
    u64 begin;

    cr_assert_eq(sys_setsockopt(s, IPPROTO_TCP, TCP_USER_TIMEOUT, 3000), 0);
    sys_write(s, 2920);
    tx_ignore();
    rx(.ack = 1461, .win = 0);
    begin = script_now();
    while (sys_state(s) == TCP_ESTABLISHED && script_now() - begin < 20 * NSEC_PER_SEC) {
        advance_ms(10);
        if (tx_ignore())
            rx(.ack = 1461, .win = 0);
    }
    cr_assert_geq(script_now() - begin, 2900 * NSEC_PER_MSEC);
    cr_assert_leq(script_now() - begin, 4000 * NSEC_PER_MSEC);
    cr_assert_eq(sys_error(s), ETIMEDOUT);
}

Test(timer, user_timeout_takes_the_place_of_keepcnt)
{
    struct socket *s = keepalive();

    cr_assert_eq(sys_setsockopt(s, IPPROTO_TCP, TCP_USER_TIMEOUT, 23000), 0);
    tx_at(10000, .seq = 0, .ack = 1);
    tx_at(5000, .seq = 0, .ack = 1);
    tx_at(5000, .seq = 0, .ack = 1);
    tx_at(5000, .flags = "RA", .seq = 1); /* 25 s: the first look after 23 */
    cr_assert_eq(sys_error(s), ETIMEDOUT);
}

Test(timer, user_timeout_below_keepidle_still_sends_one_probe)
{
    struct socket *s = keepalive();

    cr_assert_eq(sys_setsockopt(s, IPPROTO_TCP, TCP_USER_TIMEOUT, 1000), 0);
    tx_at(10000, .seq = 0, .ack = 1);
    tx_at(5000, .flags = "RA", .seq = 1);
    cr_assert_eq(sys_error(s), ETIMEDOUT);
}

Test(timer, keepalive_answer_to_the_last_probe_begins_anew)
{
    struct socket *s = keepalive();

    for (int i = 0; i < 2; i++) {
        tx_at(i ? 5000 : 10000, .seq = 0, .ack = 1);
        tx_at(5000, .seq = 0, .ack = 1);
        tx_at(5000, .seq = 0, .ack = 1);
        cr_assert_eq(sys_tcp_info(s).tcpi_probes, 3);
        rx();
        cr_assert_eq(sys_tcp_info(s).tcpi_probes, 0);
        advance_ms(5000);
        tx_nothing(); /* the timer of the interval finds an answer 5 s old */
    }
}

Test(timer, keepalive_idle_set_later_counts_from_the_last_segment)
{
    struct socket *s = keepalive();

    advance_ms(4000);
    cr_assert_eq(sys_setsockopt(s, IPPROTO_TCP, TCP_KEEPIDLE, 6), 0);
    tx_at(2000, .seq = 0, .ack = 1);
    rx();
    cr_assert_eq(sys_setsockopt(s, SOL_SOCKET, SO_KEEPALIVE, 0), 0);
    advance_ms(60000);
    tx_nothing();
}

Test(timer, idle_connection_has_no_timer)
{
    struct socket *s = script_accepted("mss 1460", 65535);

    sys_write(s, 100);
    tx(.len = 100);
    rx(.len = 100);
    advance_ms(1000);
    tx_ignore();
    cr_assert_eq(sys_read(s, 100), 100);
    advance_ms(1000);
    tx_nothing();
    cr_assert_eq(net_timers_pending(script_net), 0);
}
