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

/* With the time of the previous segment RACK would take it for one sent that early, and for lost at once. */
Test(pmtu, fragmentation_needed_sends_again_with_the_time_of_now)
{
    struct socket *s = script_accepted("mss 1460,sackOK,TS val 100 ecr 0", 65535);

    cr_assert_eq(sys_write(s, 1448), 1448);
    tx(.len = 1448, .opt = "nop,nop,TS val 1 ecr 100");
    advance_ms(5);
    rx_icmp(ICMP_DEST_UNREACH, ICMP_FRAG_NEEDED, 1000, 1);
    tx(.seq = 1, .len = 948, .opt = "nop,nop,TS val 6 ecr 100");
    tx(.seq = 949, .len = 500);
    rx(.ack = 1449, .opt = "nop,nop,TS val 110 ecr 6");
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

/* ---- as a 6.18 kernel answers the same errors ---------------------------------------------------------------------- */

/* 1460 bytes are in flight, and an error says mtu. */
static struct socket *in_flight(int pmtudisc, u32 mtu)
{
    struct socket *s = script_accepted("mss 1460", 65535);

    cr_assert_eq(sys_setsockopt(s, SOL_IP, IP_MTU_DISCOVER, pmtudisc), 0);
    cr_assert_eq(sys_write(s, 1460), 1460);
    tx(.len = 1460);
    rx_icmp(ICMP_DEST_UNREACH, ICMP_FRAG_NEEDED, mtu, 1);
    return s;
}

Test(pmtu, router_without_an_mtu_gets_min_pmtu_without_df)
{
    struct socket *s = in_flight(IP_PMTUDISC_WANT, 0);

    tx(.seq = 1, .len = 512, .df = 0);
    tx(.seq = 513, .len = 512, .df = 0);
    tx(.seq = 1025, .len = 436, .df = 0);
    cr_assert_eq(sys_tcp_info(s).tcpi_pmtu, 552);
    cr_assert_eq(sys_getsockopt_int(s, SOL_IP, IP_MTU), 552);
    cr_assert_eq(sys_error(s), 0);
    rx(.ack = 1461);
}

Test(pmtu, do_keeps_df_below_min_pmtu_and_says_emsgsize)
{
    struct socket *s = in_flight(IP_PMTUDISC_DO, 400);

    tx(.seq = 1, .len = 512, .df = 1);
    tx(.seq = 513, .len = 512, .df = 1);
    tx(.seq = 1025, .len = 436, .df = 1);
    cr_assert_eq(sys_error(s), EMSGSIZE);
    rx(.ack = 1461);
}

static void resends_smaller_only_after_the_time_out(int pmtudisc)
{
    struct socket *s;

    script_net->ipv4.sysctl_tcp_early_retrans = 0;
    s = in_flight(pmtudisc, 1000);
    tx_nothing();
    cr_assert_eq(sys_getsockopt_int(s, SOL_IP, IP_MTU), 1000);
    tx_at(200, .seq = 1, .len = 960, .df = 0);
    rx(.ack = 961);
    tx(.seq = 961, .len = 500);
    rx(.ack = 1461);
}
Test(pmtu, interface_resends_smaller_only_after_the_time_out) { resends_smaller_only_after_the_time_out(IP_PMTUDISC_INTERFACE); }
Test(pmtu, omit_resends_smaller_only_after_the_time_out) { resends_smaller_only_after_the_time_out(IP_PMTUDISC_OMIT); }

Test(pmtu, system_that_ignores_errors_keeps_the_size)
{
    script_net->ipv4.sysctl_ip_no_pmtu_disc = 2;
    in_flight(IP_PMTUDISC_WANT, 1000);
    tx_nothing();
    rx(.ack = 1461);
}

Test(pmtu, error_from_farther_than_ip_minttl_is_ignored)
{
    struct socket *s = script_accepted("mss 1460", 65535);

    cr_assert_eq(sys_setsockopt(s, SOL_IP, IP_MINTTL, 64), 0);
    cr_assert_eq(sys_write(s, 1460), 1460);
    tx(.len = 1460);
    rx(.ack = 1); /* 64 is enough */
    cr_assert_eq(sys_setsockopt(s, SOL_IP, IP_MINTTL, 255), 0);
    rx_icmp(ICMP_DEST_UNREACH, ICMP_FRAG_NEEDED, 1000, 1);
    tx_nothing();
    cr_assert_eq(mib(LINUX_MIB_TCPMINTTLDROP), 1);
    rx(.ack = 1461); /* the script's TTL is 64 */
    cr_assert_eq(mib(LINUX_MIB_TCPMINTTLDROP), 2);
    cr_assert_eq(drops(SKB_DROP_REASON_TCP_MINTTL), 1);
    cr_assert_eq(sys_setsockopt(s, SOL_IP, IP_MINTTL, 0), 0);
    rx(.ack = 1461);
}

Test(pmtu, learned_mtu_is_forgotten_after_ten_minutes_and_the_routes_own_counts_again)
{
    struct socket *s;

    cr_assert_eq(fib_add_route(script_net, htobe32(SCRIPT_PEER), 32, 0, script_dev->ifindex, 0, 1400), 0);
    s = script_accepted("mss 1460", 65535);
    cr_assert_eq(sys_write(s, 1360), 1360);
    tx(.len = 1360);
    rx_icmp(ICMP_DEST_UNREACH, ICMP_FRAG_NEEDED, 1000, 1);
    tx(.seq = 1, .len = 960);
    tx(.seq = 961, .len = 400);
    rx(.ack = 1361);
    advance_ms(601000);
    cr_assert_eq(sys_getsockopt_int(s, SOL_IP, IP_MTU), 1400);
    cr_assert_eq(sys_write(s, 1400), 1400);
    tx(.len = 1360, .df = 1);
    tx(.len = 40);
    rx();
}

/* RFC 6069: a router that says "unreachable" about the retransmission tells that it was no congestion. */
Test(pmtu, unreachable_during_back_off_takes_one_doubling_back)
{
    struct socket *s = script_accepted("mss 1460", 65535);

    script_net->ipv4.sysctl_tcp_early_retrans = 0;
    cr_assert_eq(sys_write(s, 100), 100);
    tx(.len = 100);
    tx_at(200, .seq = 1, .len = 100);
    tx_at(400, .seq = 1, .len = 100);
    tx_at(800, .seq = 1, .len = 100);
    rx_icmp(ICMP_DEST_UNREACH, ICMP_HOST_UNREACH, 0, 1);
    tx_at(800, .seq = 1, .len = 100); /* not 1600 */
    rx_icmp(ICMP_DEST_UNREACH, ICMP_HOST_UNREACH, 0, 50); /* about another one */
    tx_at(1600, .seq = 1, .len = 100);
    rx_icmp(ICMP_DEST_UNREACH, ICMP_PORT_UNREACH, 0, 1); /* another code */
    tx_at(3200, .seq = 1, .len = 100);
    rx(.ack = 101);
    cr_assert_eq(sys_state(s), TCP_ESTABLISHED);
}

Test(pmtu, error_while_a_thread_uses_the_socket_counts_when_it_lets_go)
{
    struct socket *s = script_accepted("mss 1460", 65535);

    cr_assert_eq(sys_write(s, 1460), 1460);
    tx(.len = 1460);
    lock_sock(s->sk);
    rx_icmp(ICMP_DEST_UNREACH, ICMP_FRAG_NEEDED, 1000, 1);
    tx_nothing();
    cr_assert_eq(tcp_sk(s->sk)->mss_cache, 1460);
    release_sock(s->sk);
    tx(.seq = 1, .len = 960);
    tx(.seq = 961, .len = 500);
    rx(.ack = 1461);
}

Test(pmtu, error_about_a_route_that_became_void_counts_for_the_new_one)
{
    struct socket *s = script_accepted("mss 1460", 65535);

    cr_assert_eq(sys_write(s, 1460), 1460);
    tx(.len = 1460);
    rt_cache_flush(script_net);
    rx_icmp(ICMP_DEST_UNREACH, ICMP_FRAG_NEEDED, 1000, 1);
    tx(.seq = 1, .len = 960);
    tx(.seq = 961, .len = 500);
    rx(.ack = 1461);
}
