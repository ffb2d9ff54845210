/* SPDX-License-Identifier: MIT */
/* Path MTU: fragmentation-needed with RFC 5927's check, and black holes (tcp_mtu_probing, RFC 4821). */

#include "../lib/tcpscript.h"
#include <linux/icmp.h>

TestSuite(pmtu, .init = script_init, .fini = script_fini);

Test(pmtu, fragmentation_needed_sends_again_in_smaller_segments)
{
    struct socket *s = script_accepted("mss 1460", 65535);

    cr_assert_eq(sys_write(s, 1460), 1460);
    tx(.len = 1460);
    rx_icmp(ICMP_DEST_UNREACH, ICMP_FRAG_NEEDED, 1000, 1);
    tx(.seq = 1, .len = 960);
    tx(.seq = 961, .len = 500);
    rx(.ack = 1461);
    cr_assert_eq(sys_tcp_info(s).tcpi_pmtu, 1000);
    cr_assert_eq(sys_tcp_info(s).tcpi_snd_cwnd >= 10, 1); /* no congestion */
    cr_assert_eq(sys_write(s, 960), 960);
    tx(.len = 960);
    rx();
}

Test(pmtu, fragmentation_needed_about_an_unknown_sequence_is_ignored)
{
    struct socket *s = script_accepted("mss 1460", 65535);

    cr_assert_eq(sys_write(s, 1460), 1460);
    tx(.len = 1460);
    rx_icmp(ICMP_DEST_UNREACH, ICMP_FRAG_NEEDED, 1000, 100000);
    tx_nothing();
    cr_assert_eq(mib(LINUX_MIB_OUTOFWINDOWICMPS), 1);
    cr_assert_eq(sys_tcp_info(s).tcpi_pmtu, 1500);
    rx(.ack = 1461);
}

Test(pmtu, fragmentation_needed_below_the_least_mtu_is_bounded)
{
    struct socket *s = script_accepted("mss 1460", 65535);

    cr_assert_eq(sys_write(s, 1460), 1460);
    tx(.len = 1460);
    rx_icmp(ICMP_DEST_UNREACH, ICMP_FRAG_NEEDED, 68, 1);
    tx_ignore();
    cr_assert_geq(sys_tcp_info(s).tcpi_pmtu, (u32)script_net->ipv4.sysctl_min_pmtu);
    sys_linger(s, 1, 0);
    sys_close(s);
    tx_ignore();
}

Test(pmtu, larger_mtu_than_ours_is_ignored)
{
    struct socket *s = script_accepted("mss 1460", 65535);

    cr_assert_eq(sys_write(s, 1460), 1460);
    tx(.len = 1460);
    rx_icmp(ICMP_DEST_UNREACH, ICMP_FRAG_NEEDED, 9000, 1);
    tx_nothing();
    cr_assert_eq(sys_tcp_info(s).tcpi_pmtu, 1500);
    rx(.ack = 1461);
}

Test(pmtu, next_connection_knows_the_path_mtu)
{
    struct socket *s = script_accepted("mss 1460", 65535);

    cr_assert_eq(sys_write(s, 1460), 1460);
    tx(.len = 1460);
    rx_icmp(ICMP_DEST_UNREACH, ICMP_FRAG_NEEDED, 1000, 1);
    tx_ignore();
    rx(.ack = 1461);
    tx_ignore();
    struct socket *l = sys_listen(81, 10);
    rx(.flags = "S", .sport = 700, .lport = 81, .opt = "mss 1460");
    tx(.flags = "SA");
    rx();
    cr_assert_eq(sys_tcp_info(sys_accept_ok(l)).tcpi_snd_mss, 960);
}

Test(pmtu, black_hole_is_left_by_probing_downwards)
{
    struct socket *s;
    u32 least = 1460;

    script_net->ipv4.sysctl_tcp_mtu_probing = 1;
    s = script_accepted("mss 1460", 65535);
    cr_assert_eq(sys_write(s, 1460), 1460);
    tx(.len = 1460);
    for (int i = 0; i < 60 && least == 1460; i++) {
        advance_ms(1000);
        tx_ignore();
        least = min(least, sys_tcp_info(s).tcpi_snd_mss);
    }
    /* tcp_base_mss, after the time of tcp_retries1 retransmissions */
    cr_assert_lt(least, 1460);
    cr_assert_leq(least, (u32)script_net->ipv4.sysctl_tcp_base_mss);
    rx(.ack = 1 + least);
    cr_assert_gt(tx_ignore(), 0); /* the rest, in pieces that get through */
    rx(.ack = 1461);
}

Test(pmtu, black_hole_without_probing_keeps_the_size)
{
    struct socket *s = script_accepted("mss 1460", 65535);

    script_net->ipv4.sysctl_tcp_mtu_probing = 0;
    cr_assert_eq(sys_write(s, 1460), 1460);
    tx(.len = 1460);
    advance_ms(30000);
    tx_ignore();
    cr_assert_eq(sys_tcp_info(s).tcpi_snd_mss, 1460);
    rx(.ack = 1461);
}

Test(pmtu, dont_discover_sends_without_df_and_ignores_the_icmp)
{
    struct socket *s = script_accepted("mss 1460", 65535);

    cr_assert_eq(sys_setsockopt(s, SOL_IP, IP_MTU_DISCOVER, IP_PMTUDISC_DONT), 0);
    cr_assert_eq(sys_write(s, 1460), 1460);
    tx(.len = 1460);
    rx_icmp(ICMP_DEST_UNREACH, ICMP_FRAG_NEEDED, 1000, 1);
    cr_assert_eq(sys_tcp_info(s).tcpi_snd_mss, 1460);
    tx_nothing();
    rx(.ack = 1461);
}
