/* SPDX-License-Identifier: MIT */
/* tcp_write_xmit: what goes now, how large, and what waits. (Sizes below TCP, before the device cuts:
 * tests/unit/tcp_xmit_test.c.) */

#include "../lib/tcpscript.h"
#include <linux/icmp.h>

TestSuite(write_xmit, .init = script_init, .fini = script_fini);

/* A connection whose peer once offered 65535 bytes (packets may be large) and now win. */
static struct socket *with_window(int win)
{
    struct socket *s = script_accepted("mss 1460", 65535);

    cr_assert_eq(sys_write(s, 1), 1);
    tx(.len = 1);
    rx(.ack = 2, .win = win); /* nothing but a newer segment may make it smaller */
    return s;
}

/* ---- tcp_snd_wnd_test, tcp_mss_split_point, tso_fragment ----------------------------------------------------------- */

Test(write_xmit, window_cuts_a_packet_in_its_middle)
{
    struct socket *s = with_window(3500);

    cr_assert_eq(sys_write(s, 8000), 8000);
    tx(.len = 1460);
    tx(.len = 1460);
    tx(.len = 580); /* nothing small is in flight: the window is used up */
    tx_nothing();
    rx(.win = 10000);
    tx(.len = 1460);
    tx(.len = 1460);
    tx(.len = 1460);
    tx(.seq = 7882, .len = 120);
    rx();
}

Test(write_xmit, window_cut_leaves_the_small_rest_behind_while_another_small_one_is_out)
{
    struct socket *s = with_window(3500);

    cr_assert_eq(sys_write(s, 100), 100);
    tx(.len = 100);
    cr_assert_eq(sys_write(s, 8000), 8000);
    tx(.len = 1460);
    tx(.len = 1460); /* 480 more would be allowed, but for Nagle */
    tx_nothing();
    rx(.win = 65535);
    tx(.len = 1460);
    tx(.len = 1460);
    tx(.len = 1460);
    tx(.len = 700);
    rx();
}

Test(write_xmit, first_segment_beyond_the_window_waits_whole)
{
    struct socket *s = with_window(2000);

    cr_assert_eq(sys_setsockopt(s, IPPROTO_TCP, TCP_NODELAY, 1), 0);
    cr_assert_eq(sys_write(s, 1460), 1460);
    tx(.len = 1460);
    cr_assert_eq(sys_write(s, 541), 541); /* 540 are left */
    tx_nothing();
    rx(.win = 2000);
    tx(.len = 541);
    rx();
}

Test(write_xmit, cut_keeps_psh_and_fin_for_the_end)
{
    struct socket *s = with_window(3500);

    cr_assert_eq(sys_write(s, 4000), 4000);
    tx(.flags = "A", .len = 1460);
    tx(.flags = "A", .len = 1460);
    tx(.flags = "PA", .len = 580); /* the end of a packet for the device */
    sys_close(s);
    tx_nothing();
    rx(.win = 3500);
    tx(.flags = "FPA", .len = 500);
    rx(.flags = "FA");
    tx();
}

Test(write_xmit, cut_of_a_packet_with_fin_leaves_it_at_the_end)
{
    struct socket *s = with_window(1460);

    cr_assert_eq(sys_write(s, 1460), 1460);
    tx(.len = 1460);
    cr_assert_eq(sys_write(s, 2000), 2000);
    cr_assert_eq(sys_shutdown(s, SHUT_WR), 0);
    tx_nothing();
    rx(.win = 1460);
    tx(.flags = "A", .len = 1460);
    rx(.win = 1460);
    tx(.flags = "FPA", .len = 540);
    rx(.flags = "FA");
    tx();
}

/* ---- tcp_init_tso_segs ------------------------------------------------------------------------------------------------ */

Test(write_xmit, mss_that_fell_cuts_anew_what_was_queued_for_the_old)
{
    struct socket *s = with_window(1460);

    cr_assert_eq(sys_write(s, 4380), 4380);
    tx(.len = 1460);
    tx_nothing();
    rx_icmp(ICMP_DEST_UNREACH, ICMP_FRAG_NEEDED, 1000, 2);
    tx(.seq = 2, .len = 960);
    tx(.seq = 962, .len = 500);
    rx(.ack = 1462, .win = 65535);
    tx(.seq = 1462, .len = 960);
    tx(.seq = 2422, .len = 960);
    tx(.seq = 3382, .len = 960);
    tx(.seq = 4342, .len = 40);
    rx(.ack = 4382);
}

/* ---- Nagle's exceptions ------------------------------------------------------------------------------------------------- */

Test(write_xmit, nagle_urgent_byte_goes_at_once)
{
    struct socket *s = script_accepted("mss 1460", 65535);

    cr_assert_eq(sys_write(s, 10), 10);
    tx(.len = 10);
    cr_assert_eq(sys_write(s, 10), 10);
    tx_nothing();
    cr_assert_eq(sys_send(s, 1, MSG_OOB), 1);
    tx(.flags = "PAU", .len = 11, .urg = 11);
    rx();
}

Test(write_xmit, nagle_last_bytes_go_with_the_fin)
{
    struct socket *s = script_accepted("mss 1460", 65535);

    cr_assert_eq(sys_write(s, 10), 10);
    tx(.len = 10);
    cr_assert_eq(sys_write(s, 10), 10);
    tx_nothing();
    cr_assert_eq(sys_shutdown(s, SHUT_WR), 0);
    tx(.flags = "FPA", .len = 10);
    rx(.flags = "FA");
    tx();
}

Test(write_xmit, nagle_fin_pulls_the_cork_also_when_it_could_not_go_at_once)
{
    struct socket *s = with_window(1460);

    cr_assert_eq(sys_setsockopt(s, IPPROTO_TCP, TCP_CORK, 1), 0);
    cr_assert_eq(sys_write(s, 1460), 1460);
    tx(.len = 1460);
    cr_assert_eq(sys_write(s, 10), 10);
    cr_assert_eq(sys_shutdown(s, SHUT_WR), 0);
    tx_nothing();
    rx(.win = 1460);
    tx(.flags = "FPA", .len = 10);
    rx(.flags = "FA");
    tx();
}

/* ---- urgent pointer (RFC 9293 3.8.5, RFC 6093) ----------------------------------------------------------------------------- */

Test(write_xmit, urgent_pointer_counts_from_each_segment)
{
    struct socket *s = script_accepted("mss 1460", 65535);

    cr_assert_eq(sys_setsockopt(s, IPPROTO_TCP, TCP_CORK, 1), 0);
    cr_assert_eq(sys_write(s, 1000), 1000);
    cr_assert_eq(sys_send(s, 4000, MSG_OOB), 4000);
    tx(.flags = "AU", .len = 1460, .urg = 5000);
    tx(.flags = "AU", .len = 1460, .urg = 3540);
    tx(.flags = "AU", .len = 1460, .urg = 2080);
    tx(.flags = "PAU", .len = 620, .urg = 620);
    cr_assert_eq(sys_setsockopt(s, IPPROTO_TCP, TCP_CORK, 0), 0);
    cr_assert_eq(sys_setsockopt(s, IPPROTO_TCP, TCP_NODELAY, 1), 0);
    cr_assert_eq(sys_write(s, 5), 5);
    tx(.flags = "PA", .len = 5); /* behind it: no urgency */
    rx();
}

Test(write_xmit, urgent_pointer_counts_from_each_segment_of_a_large_packet_too)
{
    struct socket *s = with_window(1460);

    cr_assert_eq(sys_write(s, 1460), 1460);
    tx(.len = 1460);
    cr_assert_eq(sys_write(s, 4380), 4380); /* one packet, in the queue */
    cr_assert_eq(sys_send(s, 1, MSG_OOB), 1);
    tx_nothing();
    rx(.win = 65535);
    tx(.flags = "AU", .len = 1460, .urg = 4381);
    tx(.flags = "AU", .len = 1460, .urg = 2921);
    tx(.flags = "*", .len = 1460, .urg = 1461);
    tx(.flags = "PAU", .len = 1, .urg = 1);
    rx();
}

Test(write_xmit, urgent_byte_farther_than_16_bits_reach_is_announced)
{
    struct socket *s;

    script_net->ipv4.sysctl_tcp_wmem[1] = 1 << 20;
    s = script_accepted("mss 1460,wscale 7", 65535);
    rx(.win = 4000);
    cr_assert_eq(sys_write(s, 14600), 14600);
    cr_assert_eq(tx_ignore(), 10); /* the congestion window is full */
    cr_assert_eq(sys_write(s, 80000), 80000);
    cr_assert_eq(sys_send(s, 1, MSG_OOB), 1);
    tx_nothing();
    advance_ms(2); /* TSO would wait for a larger piece */
    rx(.ack = 1461);
    tx(.flags = "AU", .len = 1460, .urg = 65535); /* as far as the pointer reaches, behind all that was sent */
    sys_linger(s, 1, 0);
    sys_close(s);
    tx_ignore();
}

/* ---- TSO deferral ------------------------------------------------------------------------------------------------------------ */

/* srtt 4 ms, cwnd 14, and the last of 4 acknowledged segments has just let 7 more go, half the window; one waits. */
static struct socket *streaming(void)
{
    struct socket *l, *s;

    script_net->ipv4.sysctl_tcp_wmem[1] = 1 << 20;
    l = sys_listen(80, 5);
    script_net->ipv4.sysctl_tcp_early_retrans = 0;
    rx(.flags = "S", .opt = "mss 1460,wscale 7");
    tx(.flags = "SA");
    advance_ms(4);
    rx(.win = 4000);
    s = sys_accept_ok(l);
    cr_assert_eq(sys_write(s, 100 * 1460), 100 * 1460);
    cr_assert_eq(tx_ignore(), 10);
    advance_ms(4);
    rx(.ack = 1 + 4 * 1460);
    cr_assert_eq(tx_ignore(), 7);
    return s;
}

Test(write_xmit, tso_deferral_waits_for_a_third_of_the_window)
{
    streaming();
    rx(.ack = 1 + 5 * 1460); /* room for 3, a third of 15 is 5 */
    tx_nothing();
    rx(.ack = 1 + 6 * 1460); /* room for 5, a third of 16 is a bit more */
    tx_nothing();
    rx(.ack = 1 + 7 * 1460); /* room for 7 of 17 */
    cr_assert_eq(tx_ignore(), 7);
    rx();
    tx_ignore();
}

Test(write_xmit, tso_deferral_not_when_switched_off)
{
    struct socket *s = streaming();

    script_net->ipv4.sysctl_tcp_tso_win_divisor = 1000;
    rx(.ack = 1 + 5 * 1460);
    cr_assert_eq(tx_ignore(), 3);
    sys_linger(s, 1, 0);
    sys_close(s);
    tx_ignore();
}

Test(write_xmit, tso_deferral_not_a_millisecond_after_the_last_departure)
{
    streaming();
    advance_us(1500);
    rx(.ack = 1 + 5 * 1460);
    cr_assert_eq(tx_ignore(), 3);
    rx();
    tx_ignore();
}

Test(write_xmit, tso_deferral_not_when_the_next_ack_is_far)
{
    streaming();
    rx(.ack = 1 + 10 * 1460); /* what is in flight now left just now: half a round trip has not passed */
    tx_ignore();
    rx(.ack = 1 + 11 * 1460);
    cr_assert_eq(tx_ignore(), 2);
    rx();
    tx_ignore();
}

Test(write_xmit, tso_deferral_not_in_recovery_and_not_for_the_last_bytes)
{
    struct socket *s = script_accepted("mss 1460", 65535);

    cr_assert_eq(sys_write(s, 12 * 1460 + 10), 12 * 1460 + 10);
    cr_assert_eq(tx_ignore(), 10);
    advance_ms(20);
    rx(.ack = 1 + 1460); /* room for 2 of the 2 and a bit that are left */
    cr_assert_eq(tx_ignore(), 2);
    rx();
    tx_ignore();
    rx();
}

/* ---- tcp_event_new_data_sent --------------------------------------------------------------------------------------------------- */

Test(write_xmit, new_data_is_counted_and_starts_the_timer_once)
{
    struct socket *s = script_accepted("mss 1460", 65535);
    u64 before = mib(LINUX_MIB_TCPORIGDATASENT);

    cr_assert_eq(sys_write(s, 3000), 3000);
    tx(.len = 1460);
    tx(.len = 1460);
    tx(.len = 80);
    cr_assert_eq(mib(LINUX_MIB_TCPORIGDATASENT), before + 3);
    cr_assert_eq(sys_tcp_info(s).tcpi_unacked, 3);
    advance_ms(150);
    cr_assert_eq(sys_write(s, 1460), 1460); /* does not put the time-out off */
    tx(.len = 1460);
    tx_at(50, .seq = 1, .len = 1460);
    cr_assert_eq(mib(LINUX_MIB_TCPORIGDATASENT), before + 4);
    rx();
}

Test(write_xmit, original_stays_for_the_retransmission_until_it_is_acknowledged)
{
    struct socket *s = script_accepted("mss 1460", 65535);
    int left = (int)atomic_load(&s->sk->sk_wmem_alloc);

    cr_assert_eq(sys_write(s, 1000), 1000);
    tx(.len = 1000);
    cr_assert_eq(atomic_load(&s->sk->sk_wmem_alloc), left); /* the clone is gone with the device */
    cr_assert_gt(s->sk->sk_wmem_queued, 1000);              /* and the original still there */
    tx_at(200, .seq = 1, .len = 1000);                      /* with every byte (tx() looks) */
    tx_at(400, .seq = 1, .len = 1000);
    rx(.ack = 1001);
    cr_assert_eq(s->sk->sk_wmem_queued, 0);
    cr_assert_eq(atomic_load(&s->sk->sk_wmem_alloc), left);
}
