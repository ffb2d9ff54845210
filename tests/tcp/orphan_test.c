/* SPDX-License-Identifier: MIT */
/* Connections that the program has closed: how long they stay, what they answer, and how many there may be
 * (tcp(7): tcp_fin_timeout, TCP_LINGER2, tcp_orphan_retries, tcp_max_orphans; socket(7): SO_LINGER). */

#include "../lib/tcpscript.h"
#include <linux/icmp.h>

TestSuite(orphan, .init = script_init, .fini = script_fini);

static void close_to_fin_wait_2(struct socket *s)
{
    sys_close(s);
    tx(.flags = "FA", .seq = 1, .ack = 1);
    rx(.seq = 1, .ack = 2);
}

/* ---- FIN_WAIT2 ---------------------------------------------------------------------------------------------------- */

Test(orphan, fin_timeout_of_the_system_ends_fin_wait_2)
{
    script_net->ipv4.sysctl_tcp_fin_timeout = 10;
    close_to_fin_wait_2(script_accepted("mss 1460", 65535));
    advance_ms(9000);
    rx(.seq = 1, .ack = 2);
    tx_nothing(); /* still known: a duplicate is no reason to answer */
    advance_ms(1500);
    tx_nothing();
    rx(.flags = "FA", .seq = 1, .ack = 2);
    tx(.flags = "R", .seq = 2);
}

Test(orphan, fin_wait_2_fin_in_time_is_acknowledged)
{
    script_net->ipv4.sysctl_tcp_fin_timeout = 10;
    close_to_fin_wait_2(script_accepted("mss 1460", 65535));
    advance_ms(9000);
    rx(.flags = "FA", .seq = 1, .ack = 2);
    tx(.seq = 2, .ack = 2);
    advance_ms(50000); /* TIME-WAIT lasts its own time */
    rx(.flags = "FA", .seq = 1, .ack = 2);
    tx(.seq = 2, .ack = 2);
}

Test(orphan, linger2_shortens_fin_wait_2)
{
    struct socket *s = script_accepted("mss 1460", 65535);

    cr_assert_eq(sys_setsockopt(s, IPPROTO_TCP, TCP_LINGER2, 3), 0);
    cr_assert_eq(sys_getsockopt_int(s, IPPROTO_TCP, TCP_LINGER2), 3);
    close_to_fin_wait_2(s);
    advance_ms(2500);
    rx(.seq = 1, .ack = 2);
    tx_nothing();
    advance_ms(1000);
    rx(.flags = "FA", .seq = 1, .ack = 2);
    tx(.flags = "R", .seq = 2);
}

Test(orphan, linger2_beyond_a_minute_keeps_the_sock_first)
{
    struct socket *s = script_accepted("mss 1460", 65535);

    cr_assert_eq(sys_setsockopt(s, IPPROTO_TCP, TCP_LINGER2, 100), 0);
    close_to_fin_wait_2(s);
    cr_assert_eq(atomic_load(&script_net->orphan_count), 1);
    advance_ms(41000); /* what is beyond the minute, and then, as Linux does, as long again without it */
    cr_assert_eq(atomic_load(&script_net->orphan_count), 0);
    advance_ms(30000);
    tx_nothing();
    rx(.flags = "FA", .seq = 1, .ack = 2);
    tx(.seq = 2, .ack = 2);
}

Test(orphan, negative_linger2_has_no_fin_wait_2)
{
    struct socket *s = script_accepted("mss 1460", 65535);

    cr_assert_eq(sys_setsockopt(s, IPPROTO_TCP, TCP_LINGER2, -1), 0);
    close_to_fin_wait_2(s);
    tx_ignore();
    rx(.flags = "FA", .seq = 1, .ack = 2);
    tx(.flags = "R", .seq = 2);
    cr_assert_eq(mib(LINUX_MIB_TCPABORTONDATA), 1);
}

Test(orphan, negative_linger2_close_in_fin_wait_2_resets)
{
    struct socket *s = script_accepted("mss 1460", 65535);

    cr_assert_eq(sys_setsockopt(s, IPPROTO_TCP, TCP_LINGER2, -1), 0);
    cr_assert_eq(sys_shutdown(s, SHUT_WR), 0);
    tx(.flags = "FA", .seq = 1, .ack = 1);
    rx(.seq = 1, .ack = 2);
    cr_assert_eq(sys_state(s), TCP_FIN_WAIT2);
    sys_close(s);
    tx(.flags = "RA", .seq = 2, .ack = 1);
    cr_assert_eq(mib(LINUX_MIB_TCPABORTONLINGER), 1);
}

Test(orphan, fin_wait_2_with_a_program_has_no_time_out)
{
    struct socket *s = script_accepted("mss 1460", 65535);

    script_net->ipv4.sysctl_tcp_fin_timeout = 10;
    cr_assert_eq(sys_shutdown(s, SHUT_WR), 0);
    tx(.flags = "FA", .seq = 1, .ack = 1);
    rx(.seq = 1, .ack = 2);
    advance_ms(300000);
    cr_assert_eq(sys_state(s), TCP_FIN_WAIT2);
    rx(.seq = 1, .ack = 2, .len = 100);
    tx_ignore();
    cr_assert_eq(sys_read(s, 1000), 100);
}

/* ---- retries -------------------------------------------------------------------------------------------------------- */

Test(orphan, retries_end_the_fin)
{
    struct socket *s = script_accepted("mss 1460", 65535);

    script_net->ipv4.sysctl_tcp_orphan_retries = 2;
    sys_close(s);
    tx(.flags = "FA", .seq = 1, .ack = 1);
    tx_at(200, .flags = "FA", .seq = 1);
    tx_at(400, .flags = "FA", .seq = 1);
    tx_at(800, .flags = "FA", .seq = 1); /* 1.2 s after the first: two doublings are 1.4 s */
    advance_ms(2000);
    tx_nothing();
    cr_assert_eq(mib(LINUX_MIB_TCPABORTONTIMEOUT), 1);
    rx(.seq = 1, .ack = 2);
    tx(.flags = "R", .seq = 2);
}

Test(orphan, retries_by_default_last_as_long_as_eight)
{
    struct socket *s = script_accepted("mss 1460", 65535);

    sys_write(s, 100);
    tx(.seq = 1, .len = 100);
    sys_close(s);
    tx(.flags = "FA", .seq = 101);
    advance_ms(100000);
    cr_assert_gt(tx_ignore(), 7);
    cr_assert_eq(mib(LINUX_MIB_TCPABORTONTIMEOUT), 0);
    advance_ms(150000);
    tx_ignore();
    cr_assert_eq(mib(LINUX_MIB_TCPABORTONTIMEOUT), 1, "retries2 would have gone on for a quarter of an hour");
    advance_ms(600000);
    tx_nothing();
}

Test(orphan, retries_end_the_probes_of_a_closed_window)
{
    struct socket *s = script_accepted("mss 1460", 2000);

    script_net->ipv4.sysctl_tcp_orphan_retries = 3;
    sys_write(s, 3000);
    tx(.seq = 1, .len = 1000);
    tx(.seq = 1001, .len = 1000);
    rx(.ack = 2001, .win = 0);
    sys_close(s);
    tx_nothing();
    for (int i = 0; i < 60; i++) { /* probes are not answered */
        advance_ms(1000);
        cr_assert_leq(tx_ignore(), 3);
    }
    cr_assert_eq(mib(LINUX_MIB_TCPABORTONTIMEOUT), 1);
    cr_assert_eq(mib(LINUX_MIB_TCPWINPROBE), 3);
}

/* ---- too many --------------------------------------------------------------------------------------------------------- */

Test(orphan, one_too_many_is_reset_by_close)
{
    struct socket *s = script_accepted("mss 1460", 65535);

    script_net->ipv4.sysctl_tcp_max_orphans = 0;
    sys_close(s);
    tx(.flags = "FA", .seq = 1, .ack = 1);
    tx(.flags = "RA", .seq = 2, .ack = 1);
    cr_assert_eq(mib(LINUX_MIB_TCPABORTONMEMORY), 1);
    cr_assert_eq(atomic_load(&script_net->orphan_count), 0);
    rx(.seq = 1, .ack = 2);
    tx(.flags = "R", .seq = 2);
}

Test(orphan, one_too_many_is_reset_by_its_timer)
{
    struct socket *s = script_accepted("mss 1460", 65535);

    sys_close(s);
    tx(.flags = "FA", .seq = 1, .ack = 1);
    cr_assert_eq(atomic_load(&script_net->orphan_count), 1);
    script_net->ipv4.sysctl_tcp_max_orphans = 0;
    tx_at(200, .flags = "RA", .seq = 2, .ack = 1);
    cr_assert_eq(mib(LINUX_MIB_TCPABORTONMEMORY), 1);
    cr_assert_eq(atomic_load(&script_net->orphan_count), 0);
}

Test(orphan, count_falls_when_the_end_comes)
{
    struct socket *s = script_accepted("mss 1460", 65535);

    rx(.flags = "FA");
    advance_ms(50);
    tx(.ack = 2);
    sys_close(s);
    tx(.flags = "FA", .seq = 1, .ack = 2);
    cr_assert_eq(atomic_load(&script_net->orphan_count), 1);
    rx(.seq = 2, .ack = 2);
    cr_assert_eq(atomic_load(&script_net->orphan_count), 0);
}

/* An orphan behind a window that stays closed; its probes are answered. */
static void orphan_behind_closed_window(void)
{
    struct socket *s = script_accepted("mss 1460", 2000);

    script_net->ipv4.sysctl_tcp_orphan_retries = 20;
    sys_write(s, 3000);
    tx(.seq = 1, .len = 1000);
    tx(.seq = 1001, .len = 1000);
    rx(.ack = 2001, .win = 0);
    sys_close(s);
}

static void probed_for(u32 seconds)
{
    while (seconds--) {
        advance_ms(1000);
        if (tx_ignore() && !mib(LINUX_MIB_TCPABORTONMEMORY))
            rx(.seq = 1, .ack = 2001, .win = 0);
    }
}

Test(orphan, one_that_could_send_nothing_for_long_counts_twice)
{
    script_net->ipv4.sysctl_tcp_max_orphans = 1;
    orphan_behind_closed_window();
    probed_for(230);
    cr_assert_eq(mib(LINUX_MIB_TCPABORTONMEMORY), 0, "two of the longest RTOs are 240 s");
    probed_for(200);
    cr_assert_eq(mib(LINUX_MIB_TCPABORTONMEMORY), 1);
    cr_assert_eq(mib(TCP_MIB_OUTRSTS), 1);
}

Test(orphan, one_that_is_unreachable_counts_twice)
{
    struct socket *s = script_accepted("mss 1460", 65535);

    script_net->ipv4.sysctl_tcp_max_orphans = 1;
    sys_close(s);
    tx(.flags = "FA", .seq = 1, .ack = 1);
    tx_at(200, .flags = "FA", .seq = 1, .ack = 1);
    rx_icmp(ICMP_DEST_UNREACH, ICMP_HOST_UNREACH, 0, 1);
    advance_ms(1000);
    tx(.flags = "RA", .seq = 2, .ack = 1);
    cr_assert_eq(mib(LINUX_MIB_TCPABORTONMEMORY), 1);
}

Test(orphan, one_that_is_given_up_and_unreachable_counts_four_times_and_needs_no_reset)
{
    struct socket *s = script_accepted("mss 1460", 65535);

    script_net->ipv4.sysctl_tcp_orphan_retries = 20;
    script_net->ipv4.sysctl_tcp_max_orphans = 3;
    sys_close(s);
    advance_ms(700000); /* the time-out has been the longest for some time */
    cr_assert_gt(tx_ignore(), 10);
    rx_icmp(ICMP_DEST_UNREACH, ICMP_HOST_UNREACH, 0, 1);
    tx_ignore();
    advance_ms(130000);
    tx_nothing();
    cr_assert_eq(mib(LINUX_MIB_TCPABORTONMEMORY), 1);
}

/* ---- SO_LINGER ---------------------------------------------------------------------------------------------------------- */

Test(orphan, linger_time_runs_out_and_the_rest_goes_on_behind)
{
    struct socket *s = script_accepted("mss 1460", 65535);
    u64 begin;

    sys_write(s, 100);
    tx(.seq = 1, .len = 100);
    cr_assert_eq(sys_linger(s, 1, 2), 0);
    begin = script_now();
    sys_close(s);
    cr_assert_geq(script_now() - begin, 2 * NSEC_PER_SEC);
    cr_assert_lt(script_now() - begin, 2100 * NSEC_PER_MSEC);
    cr_assert_geq(tx_ignore(), 2); /* FIN, and the data again */
    rx(.seq = 1, .ack = 102);
    rx(.flags = "FA", .seq = 1, .ack = 102);
    tx(.seq = 102, .ack = 2);
}

Test(orphan, linger_ends_when_the_fin_is_acknowledged)
{
    struct socket *s = script_accepted("mss 1460", 65535);
    u64 begin;

    cr_assert_eq(sys_linger(s, 1, 30), 0);
    rx_in(300, .seq = 1, .ack = 2); /* FIN_WAIT2 is enough */
    begin = script_now();
    sys_close(s);
    cr_assert_geq(script_now() - begin, 300 * NSEC_PER_MSEC);
    cr_assert_lt(script_now() - begin, 400 * NSEC_PER_MSEC);
    tx_ignore();
    rx(.flags = "FA", .seq = 1, .ack = 2);
    tx(.seq = 2, .ack = 2);
}

/* ---- data that nobody will read ------------------------------------------------------------------------------------------ */

Test(orphan, data_in_fin_wait_1_resets)
{
    struct socket *s = script_accepted("mss 1460", 65535);

    sys_close(s);
    tx(.flags = "FA", .seq = 1, .ack = 1);
    rx(.seq = 1, .ack = 1, .len = 100);
    tx(.flags = "R", .seq = 1);
    cr_assert_eq(mib(LINUX_MIB_TCPABORTONDATA), 1);
    advance_ms(10000);
    tx_nothing(); /* nor is the FIN sent again */
}

Test(orphan, data_in_fin_wait_2_resets)
{
    close_to_fin_wait_2(script_accepted("mss 1460", 65535));
    rx(.seq = 1, .ack = 2, .len = 100);
    tx(.flags = "R", .seq = 2);
    rx(.flags = "FA", .seq = 101, .ack = 2);
    tx(.flags = "R", .seq = 2);
}

Test(orphan, data_with_the_fin_in_fin_wait_2_resets)
{
    close_to_fin_wait_2(script_accepted("mss 1460", 65535));
    rx(.flags = "FPA", .seq = 1, .ack = 2, .len = 100);
    tx(.flags = "R", .seq = 2);
}

Test(orphan, data_of_before_the_close_again_is_only_acknowledged)
{
    struct socket *s = script_accepted("mss 1460", 65535);

    rx(.seq = 1, .len = 100);
    tx(.ack = 101);
    cr_assert_eq(sys_read(s, 1000), 100);
    sys_close(s);
    tx(.flags = "FA", .seq = 1, .ack = 101);
    rx(.seq = 1, .ack = 1, .len = 100);
    tx(.seq = 2, .ack = 101);
    rx(.seq = 101, .ack = 2);
    rx(.flags = "FA", .seq = 101, .ack = 2);
    tx(.seq = 2, .ack = 102);
}
