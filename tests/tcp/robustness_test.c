/* SPDX-License-Identifier: MIT */
/* Bad and hostile segments: RFC 5961 challenge ACKs, broken headers and options, ICMP errors. Each is dropped for
 * its own reason and harms nothing. */

#include "../lib/tcpscript.h"
#include <linux/icmp.h>

TestSuite(robustness, .init = script_init, .fini = script_fini);

/* The connection still works both ways. */
static void still_works(struct socket *s)
{
    ssize_t n;

    advance_ms(100);
    tx_ignore();
    rx(.len = 100);
    advance_ms(100);
    cr_assert_geq(tx_ignore(), 1, "data is not acknowledged any more");
    while ((n = sys_read(s, 10000)) > 0)
        ;
    cr_assert_eq(n, -EAGAIN);
    cr_assert_eq(sys_write(s, 100), 100);
    tx(.len = 100);
    rx();
}

/* ---- RFC 5961 ------------------------------------------------------------------------------------------------ */

Test(robustness, reset_inside_the_window_gets_a_challenge_ack)
{
    struct socket *s = script_accepted("mss 1460", 65535);

    rx(.flags = "R", .seq = 100);
    tx(.seq = 1, .ack = 1);
    cr_assert_eq(sys_state(s), TCP_ESTABLISHED);
    cr_assert_eq(mib(LINUX_MIB_TCPCHALLENGEACK), 1);
    still_works(s);
}

Test(robustness, reset_outside_the_window_is_dropped)
{
    struct socket *s = script_accepted("mss 1460", 65535);

    rx(.flags = "R", .seq = 100000);
    tx_nothing();
    rx(.flags = "R", .seq = -10);
    tx_nothing();
    still_works(s);
}

Test(robustness, syn_in_a_connection_gets_a_challenge_ack)
{
    struct socket *s = script_accepted("mss 1460", 65535);

    rx(.flags = "S", .seq = 50);
    tx(.seq = 1, .ack = 1);
    cr_assert_eq(mib(LINUX_MIB_TCPSYNCHALLENGE), 1);
    still_works(s);
}

Test(robustness, challenge_acks_are_rate_limited)
{
    struct socket *s = script_accepted("mss 1460", 65535);
    int n = 0;

    for (int i = 0; i < 20; i++) {
        rx(.flags = "R", .seq = 100 + i);
        n += tx_ignore();
    }
    cr_assert_eq(n, 1);
    cr_assert_eq(mib(LINUX_MIB_TCPACKSKIPPEDCHALLENGE), 19);
    advance_ms(500); /* tcp_invalid_ratelimit */
    rx(.flags = "R", .seq = 100);
    tx(.seq = 1, .ack = 1);
    still_works(s);
}

Test(robustness, challenge_acks_of_all_sockets_are_limited_each_second)
{
    struct socket *s = script_accepted("mss 1460", 65535);
    int n[3] = {0};

    script_net->ipv4.sysctl_tcp_invalid_ratelimit = 0; /* not by socket */
    script_net->ipv4.sysctl_tcp_challenge_ack_limit = 10;
    for (int second = 0; second < 3; second++, advance_ms(1000))
        for (int i = 0; i < 40; i++) {
            rx(.flags = "R", .seq = 100 + i);
            n[second] += tx_ignore();
        }
    for (int second = 0; second < 3; second++)
        cr_assert(n[second] >= 5 && n[second] < 15, "%d challenge ACKs", n[second]);
    cr_assert(n[0] != n[1] || n[1] != n[2], "the limit is the same each second");
    still_works(s);
}

Test(robustness, ack_far_too_old_gets_a_challenge_ack)
{
    struct socket *s = script_accepted("mss 1460", 65535);

    rx(.ack = -200000, .len = 10);
    tx(.seq = 1, .ack = 1);
    cr_assert_eq(sys_read(s, 100), -EAGAIN);
}

Test(robustness, ack_of_what_was_never_sent_is_dropped)
{
    struct socket *s = script_accepted("mss 1460", 65535);

    rx(.ack = 5000, .len = 10);
    tx_nothing(); /* as Linux; RFC 5961 5.2 asks for an ACK */
    cr_assert_eq(sys_read(s, 100), -EAGAIN);
    cr_assert_gt(drops(SKB_DROP_REASON_TCP_INVALID_ACK_SEQUENCE), 0);
}

/* ---- broken segments ------------------------------------------------------------------------------------------- */

Test(robustness, bad_tcp_checksum_is_dropped)
{
    struct socket *s = script_accepted("mss 1460", 65535);

    rx(.len = 100, .bad_csum = true);
    tx_nothing();
    cr_assert_eq(sys_read(s, 100), -EAGAIN);
    cr_assert_eq(drops(SKB_DROP_REASON_TCP_CSUM), 1);
    cr_assert_eq(mib(TCP_MIB_CSUMERRORS), 1);
    cr_assert_eq(mib(TCP_MIB_INERRS), 1);
    still_works(s);
}

Test(robustness, bad_ip_checksum_is_dropped)
{
    struct socket *s = script_accepted("mss 1460", 65535);

    rx(.len = 100, .bad_ip_csum = true);
    tx_nothing();
    cr_assert_eq(drops(SKB_DROP_REASON_IP_CSUM), 1);
    still_works(s);
}

Test(robustness, truncated_frames_are_dropped)
{
    struct socket *s = script_accepted("mss 1460", 65535);

    for (int cut = 1; cut < 40; cut++) /* down to the middle of the IP header */
        rx(.cut = cut);
    tx_nothing();
    cr_assert_geq(drops(SKB_DROP_REASON_PKT_TOO_SMALL) + drops(SKB_DROP_REASON_IP_INHDR), 39);
    still_works(s);
}

Test(robustness, header_length_below_five_words_is_dropped)
{
    struct socket *s = script_accepted("mss 1460", 65535);

    for (int doff = 0; doff < 5; doff++)
        rx(.len = 100, .doff = doff);
    tx_nothing();
    cr_assert_eq(drops(SKB_DROP_REASON_TCP_BADOPT) + drops(SKB_DROP_REASON_PKT_TOO_SMALL), 5);
    still_works(s);
}

Test(robustness, header_length_beyond_the_segment_is_dropped)
{
    struct socket *s = script_accepted("mss 1460", 65535);

    rx(.doff = 15);
    tx_nothing();
    cr_assert_eq(drops(SKB_DROP_REASON_TCP_BADOPT) + drops(SKB_DROP_REASON_PKT_TOO_SMALL), 1);
    still_works(s);
}

Test(robustness, no_flags_at_all_is_dropped)
{
    struct socket *s = script_accepted("mss 1460", 65535);

    rx(.flag_byte = 0, .len = 100);
    tx_nothing();
    cr_assert_eq(sys_read(s, 100), -EAGAIN);
    cr_assert_eq(drops(SKB_DROP_REASON_TCP_FLAGS), 1);
    still_works(s);
}

Test(robustness, every_flag_byte_is_survived)
{
    for (int flags = 0; flags < 256; flags++) {
        rx(.flag_byte = flags, .sport = 20000, .lport = 81, .ack = 1);
        tx_ignore();
    }
    struct socket *l = sys_listen(80, 10);
    for (int flags = 0; flags < 256; flags++) {
        rx(.flag_byte = flags, .sport = 20001, .lport = 80, .len = 5);
        tx_ignore();
    }
    sys_close(l);
    tx_ignore();
}

Test(robustness, every_flag_byte_is_survived_by_a_connection)
{
    for (int flags = 0; flags < 256; flags += 1) {
        struct socket *s;
        if (flags & (TCPHDR_RST | TCPHDR_FIN))
            continue;
        if (flags == 0)
            s = script_accepted("mss 1460,sackOK,TS val 100 ecr 0", 65535);
        rx(.flag_byte = flags, .len = 10, .urg = 5);
        advance_ms(600);
        tx_ignore();
        cr_assert_eq(sys_state(s), TCP_ESTABLISHED);
    }
}

Test(robustness, broken_options_harm_nothing)
{
    static const char *const bad[] = {
        "raw 00000000", "raw ff000000", "raw ff010101", "raw 02040000", "raw 0204", "raw 08", "raw 080a0000",
        "raw 05ff0000", "raw 05030000", "raw 0502", "raw 050a00000001", "raw 03030f01", "raw 0300", "raw 0301",
        "raw 01010101010101010101010101010101010101010101010101010101010101010101010101010108",
        "raw 22fe0000", "raw fe02", "raw 1302", "raw 020401", "raw 0b0c0d0e",
    };
    struct socket *s = script_accepted("mss 1460", 65535);
    u16 port = 30000;

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        rx(.len = 10, .opt = bad[i]);
        advance_ms(50);
        tx_ignore();
    }
    cr_assert_eq(sys_state(s), TCP_ESTABLISHED);
    cr_assert_eq(sys_read(s, 1000), 10 * (int)(sizeof(bad) / sizeof(bad[0])));
    tx_ignore();
    sys_listen(81, 1000);
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        rx(.flags = "S", .opt = bad[i], .sport = port++, .lport = 81);
        cr_assert_eq(tx_ignore(), 1);
        rx(.flags = "R");
    }
}

Test(robustness, syn_with_mss_0_still_makes_progress)
{
    struct socket *s = script_accepted("mss 0", 65535);

    cr_assert_eq(sys_write(s, 300), 300);
    for (int i = 0; i < 20 && sys_tcp_info(s).tcpi_bytes_acked < 300; i++) {
        tx_ignore();
        rx();
    }
    tx_ignore();
    cr_assert_eq(sys_tcp_info(s).tcpi_unacked, 0);
}

/* ---- ICMP ----------------------------------------------------------------------------------------------------------- */

Test(robustness, icmp_port_unreachable_refuses_a_connect)
{
    struct socket *s = sys_socket_bound();

    sys_connect(s, SCRIPT_PEER_PORT);
    tx(.flags = "S");
    rx_icmp(ICMP_DEST_UNREACH, ICMP_PORT_UNREACH, 0, 0);
    cr_assert_eq(sys_error(s), ECONNREFUSED);
    cr_assert_eq(sys_state(s), TCP_CLOSE);
}

Test(robustness, icmp_host_unreachable_fails_a_connect)
{
    struct socket *s = sys_socket_bound();

    sys_connect(s, SCRIPT_PEER_PORT);
    tx(.flags = "S");
    rx_icmp(ICMP_DEST_UNREACH, ICMP_HOST_UNREACH, 0, 0);
    cr_assert_eq(sys_error(s), EHOSTUNREACH);
}

Test(robustness, icmp_about_another_sequence_number_is_ignored)
{
    struct socket *s = sys_socket_bound();

    sys_connect(s, SCRIPT_PEER_PORT);
    tx(.flags = "S");
    rx_icmp(ICMP_DEST_UNREACH, ICMP_PORT_UNREACH, 0, 5000);
    cr_assert_eq(sys_state(s), TCP_SYN_SENT);
    cr_assert_eq(mib(LINUX_MIB_OUTOFWINDOWICMPS), 1);
}

Test(robustness, icmp_unreachable_is_soft_for_an_established_connection)
{
    struct socket *s = script_accepted("mss 1460", 65535);

    sys_write(s, 100);
    tx(.len = 100);
    rx_icmp(ICMP_DEST_UNREACH, ICMP_HOST_UNREACH, 0, 1);
    rx_icmp(ICMP_DEST_UNREACH, ICMP_PORT_UNREACH, 0, 1);
    cr_assert_eq(sys_state(s), TCP_ESTABLISHED);
    cr_assert_eq(sys_read(s, 10), -EAGAIN);
    cr_assert_eq(sys_error(s), ECONNREFUSED); /* SO_ERROR tells of the last soft error too */
    cr_assert_eq(sys_error(s), 0);
    tx_ignore();
    rx();
    still_works(s);
}

Test(robustness, icmp_unreachable_is_forgotten_with_the_next_ack)
{
    struct socket *s = script_accepted("mss 1460", 65535);

    sys_write(s, 100);
    tx(.len = 100);
    rx_icmp(ICMP_DEST_UNREACH, ICMP_HOST_UNREACH, 0, 1);
    rx(.ack = 101);
    cr_assert_eq(sys_error(s), 0);
}

Test(robustness, icmp_frag_needed_resends_in_smaller_segments)
{
    struct socket *s = script_accepted("mss 1460", 65535);

    sys_write(s, 2000);
    tx(.len = 1460);
    tx(.len = 540);
    rx_icmp(ICMP_DEST_UNREACH, ICMP_FRAG_NEEDED, 1000, 1);
    tx(.seq = 1, .len = 960);
    cr_assert_eq(sys_tcp_info(s).tcpi_snd_mss, 960);
    advance_ms(50);
    tx_ignore();
    rx(.ack = 2001);
    tx_ignore();
}

Test(robustness, icmp_frag_needed_for_another_sequence_number_is_ignored)
{
    struct socket *s = script_accepted("mss 1460", 65535);

    sys_write(s, 1000);
    tx(.len = 1000);
    rx_icmp(ICMP_DEST_UNREACH, ICMP_FRAG_NEEDED, 600, 90000);
    cr_assert_eq(sys_tcp_info(s).tcpi_snd_mss, 1460);
    rx();
}

Test(robustness, icmp_frag_needed_with_an_absurd_mtu_does_not_stop_us)
{
    struct socket *s = script_accepted("mss 1460", 65535);

    sys_write(s, 1000);
    tx(.len = 1000);
    rx_icmp(ICMP_DEST_UNREACH, ICMP_FRAG_NEEDED, 20, 1);
    tx_ignore();
    cr_assert_geq(sys_tcp_info(s).tcpi_snd_mss, 200); /* not below min_pmtu */
    rx();
    tx_ignore();
}
