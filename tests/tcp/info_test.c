/* SPDX-License-Identifier: MIT */
/* TCP_INFO: for each field a situation that sets it (tcp(7), struct tcp_info). As Linux, tcpi_fackets and
 * tcpi_last_ack_sent stay zero. */

#include "../../stack/ipv4/tcp_fastopen.h"
#include "../lib/tcpscript.h"

#define ALL_OPT "mss 1460,sackOK,TS val 100 ecr 0,nop,wscale 7"
#define HAS_TFO_CHILD 128 /* TCPI_OPT_TFO_CHILD */

TestSuite(tcpinfo, .init = script_init, .fini = script_fini);

static struct tcp_info_tail tail_of(struct socket *s)
{
    struct tcp_info_full i;
    socklen_t len = sizeof(i);

    cr_assert_eq(s->ops->getsockopt(s, IPPROTO_TCP, TCP_INFO, &i, &len), 0);
    cr_assert_eq(len, sizeof(i));
    return i.tail;
}

Test(tcpinfo, length_is_that_of_linux_and_a_short_buffer_gets_the_beginning)
{
    struct socket *s = script_accepted("mss 1460", 65535);
    struct tcp_info_full i;
    u8 two[4] = {9, 9, 9, 9};
    socklen_t len = 1000;

    cr_assert_eq(s->ops->getsockopt(s, IPPROTO_TCP, TCP_INFO, &i, &len), 0);
    cr_assert_eq(len, 280, "Linux 6.18's");
    len = 2;
    cr_assert_eq(s->ops->getsockopt(s, IPPROTO_TCP, TCP_INFO, two, &len), 0);
    cr_assert_eq(two[0], TCP_ESTABLISHED);
    cr_assert_eq(two[1], TCP_CA_Open);
    cr_assert_eq(two[2], 9, "no more than was asked for");
}

Test(tcpinfo, new_connection_has_options_scales_sizes_and_windows)
{
    struct socket *s = script_accepted(ALL_OPT, 30000);
    struct tcp_info i = sys_tcp_info(s);

    cr_assert_eq(i.tcpi_state, TCP_ESTABLISHED);
    cr_assert_eq(i.tcpi_options, TCPI_OPT_TIMESTAMPS | TCPI_OPT_SACK | TCPI_OPT_WSCALE);
    cr_assert_eq(i.tcpi_snd_wscale, 7);
    cr_assert_eq(i.tcpi_rcv_wscale, 7); /* 6 MiB of tcp_rmem */
    cr_assert_eq(i.tcpi_snd_mss, 1448);
    cr_assert_eq(i.tcpi_advmss, 1448);
    cr_assert_eq(i.tcpi_rcv_mss, 536); /* a guess until data comes */
    cr_assert_eq(i.tcpi_pmtu, 1500);
    cr_assert_eq(i.tcpi_snd_wnd, 30000u << 7);
    cr_assert_eq(i.tcpi_snd_cwnd, 10);
    cr_assert_eq(i.tcpi_snd_ssthresh, TCP_INFINITE_SSTHRESH);
    cr_assert_eq(i.tcpi_reordering, 3);
    cr_assert_eq(i.tcpi_rcv_ssthresh, 64076); /* what the SYN-ACK offered: 65535 in whole segments of 1448 */
    cr_assert_eq(i.tcpi_rcv_space, 14600);
    cr_assert_eq(i.tcpi_segs_in, 2); /* SYN and ACK */
    cr_assert_eq(i.tcpi_data_segs_in, 0);
    cr_assert_eq(i.tcpi_fackets, 0);
    cr_assert_eq(i.tcpi_max_pacing_rate, ~0ull);
    cr_assert_gt(tail_of(s).tcpi_rcv_wnd, 60000);
    cr_assert_leq(tail_of(s).tcpi_rcv_wnd, 65535);
}

Test(tcpinfo, round_trip_gives_rtt_rttvar_min_rtt_and_rto)
{
    struct socket *s = script_accepted("mss 1460", 65535);
    struct tcp_info i;

    sys_write(s, 1000);
    tx(.len = 1000);
    advance_ms(80);
    rx();
    i = sys_tcp_info(s);
    cr_assert_geq(i.tcpi_rtt, 9000, "the handshake took no time: an eighth of 80 ms");
    cr_assert_leq(i.tcpi_rtt, 11000);
    cr_assert_gt(i.tcpi_rttvar, 10000);
    cr_assert_leq(i.tcpi_min_rtt, 100);
    cr_assert_geq(i.tcpi_rto, 200000);
    cr_assert_lt(i.tcpi_rto, 1000000);
}

Test(tcpinfo, sent_and_acknowledged_data_is_counted_in_bytes_and_segments)
{
    struct socket *s = script_accepted("mss 1460", 65535);
    struct tcp_info i;

    sys_write(s, 3000);
    tx(.len = 1460);
    tx(.len = 1460);
    tx(.len = 80);
    advance_ms(20);
    i = sys_tcp_info(s);
    cr_assert_eq(i.tcpi_unacked, 3);
    cr_assert_eq(i.tcpi_bytes_sent, 3000);
    cr_assert_eq(i.tcpi_bytes_acked, 0);
    cr_assert_eq(i.tcpi_data_segs_out, 3);
    cr_assert_eq(i.tcpi_last_data_sent, 20);
    cr_assert_eq(i.tcpi_delivered, 1); /* the handshake's */
    cr_assert_geq(i.tcpi_busy_time, 20000);
    rx(.ack = 2921);
    i = sys_tcp_info(s);
    cr_assert_eq(i.tcpi_unacked, 1);
    cr_assert_eq(i.tcpi_bytes_acked, 2920);
    cr_assert_eq(i.tcpi_delivered, 3);
    cr_assert_eq(i.tcpi_last_ack_recv, 0);
    cr_assert_gt(i.tcpi_pacing_rate, 0);
    cr_assert_lt(i.tcpi_pacing_rate, ~0ull);
    cr_assert_gt(i.tcpi_delivery_rate, 100000);
    cr_assert_eq(i.tcpi_delivery_rate_app_limited, 1);
    cr_assert_eq(i.tcpi_segs_out, 3); /* the SYN-ACK was the listener's */
    rx(.ack = 3001);
    advance_ms(30);
    cr_assert_eq(sys_tcp_info(s).tcpi_last_ack_recv, 30);
    cr_assert_eq(sys_tcp_info(s).tcpi_busy_time, i.tcpi_busy_time);
}

Test(tcpinfo, received_data_is_counted_and_dated)
{
    struct socket *s = script_accepted("mss 1460", 65535);
    struct tcp_info i;

    for (u32 n = 0; n < 4; n++) {
        rx(.len = 1460);
        tx_ignore();
    }
    advance_ms(40);
    i = sys_tcp_info(s);
    cr_assert_eq(i.tcpi_bytes_received, 4 * 1460);
    cr_assert_eq(i.tcpi_data_segs_in, 4);
    cr_assert_eq(i.tcpi_segs_in, 6);
    cr_assert_eq(i.tcpi_rcv_mss, 1460);
    cr_assert_eq(i.tcpi_last_data_recv, 40);
    cr_assert_gt(i.tcpi_ato, 0);
    cr_assert_leq(i.tcpi_ato, 200000);
    tx_ignore();
}

Test(tcpinfo, receiver_round_trip_comes_from_echoed_timestamps)
{
    struct socket *s = script_accepted(ALL_OPT, 30000);

    for (u32 n = 0; n < 4; n++) {
        sys_write(s, 100);
        tx_ignore();
        advance_ms(25);
        rx(.len = 1400);
        tx_ignore();
    }
    cr_assert_geq(sys_tcp_info(s).tcpi_rcv_rtt, 20000);
    cr_assert_leq(sys_tcp_info(s).tcpi_rcv_rtt, 60000);
    advance_ms(300);
    tx_ignore();
    rx();
}

Test(tcpinfo, timeout_counts_retransmits_backoff_lost_and_rto_events)
{
    struct socket *s = script_accepted("mss 1460,sackOK", 65535);
    struct tcp_info_tail t;
    struct tcp_info i;
    u32 rto = sys_tcp_info(s).tcpi_rto;

    script_net->ipv4.sysctl_tcp_early_retrans = 0; /* no loss probe */
    sys_write(s, 2920);
    tx(.len = 1460);
    tx(.len = 1460);
    tx_at(200, .seq = 1, .len = 1460);
    i = sys_tcp_info(s);
    cr_assert_eq(i.tcpi_ca_state, TCP_CA_Loss);
    cr_assert_eq(i.tcpi_retransmits, 1);
    cr_assert_eq(i.tcpi_backoff, 1);
    cr_assert_eq(i.tcpi_retrans, 1);
    cr_assert_eq(i.tcpi_lost, 2);
    cr_assert_eq(i.tcpi_total_retrans, 1);
    cr_assert_eq(i.tcpi_bytes_retrans, 1460);
    cr_assert_eq(i.tcpi_bytes_sent, 2920 + 1460);
    cr_assert_eq(i.tcpi_snd_ssthresh, 7); /* CUBIC's */
    cr_assert_eq(i.tcpi_rto, 2 * rto);
    advance_ms(410);
    tx_ignore();
    t = tail_of(s);
    cr_assert_eq(t.tcpi_total_rto, 2);
    cr_assert_eq(t.tcpi_total_rto_recoveries, 1);
    cr_assert_eq(t.tcpi_rehash, 2);
    cr_assert_geq(t.tcpi_total_rto_time, 390, "while it lasts");
    rx(.ack = 2921);
    i = sys_tcp_info(s);
    cr_assert_eq(i.tcpi_retransmits, 0);
    cr_assert_eq(i.tcpi_lost, 0);
    cr_assert_eq(i.tcpi_ca_state, TCP_CA_Open);
    t = tail_of(s);
    cr_assert_eq(t.tcpi_total_rto, 2);
    advance_ms(1000);
    cr_assert_eq(tail_of(s).tcpi_total_rto_time, t.tcpi_total_rto_time, "it is over");
    cr_assert_eq(mib(LINUX_MIB_TCPTIMEOUTREHASH), 2);
}

Test(tcpinfo, lost_synack_counts_as_an_rto_of_the_child)
{
    struct socket *l = sys_listen(80, 10), *s;

    rx(.flags = "S", .opt = "mss 1460");
    tx(.flags = "SA", .ack = 1);
    tx_at(1000, .flags = "SA", .seq = 0, .ack = 1);
    advance_ms(100);
    rx();
    s = sys_accept_ok(l);
    cr_assert_eq(tail_of(s).tcpi_total_rto, 1);
    cr_assert_eq(tail_of(s).tcpi_total_rto_recoveries, 1);
    cr_assert_eq(tail_of(s).tcpi_total_rto_time, 1100);
    cr_assert_eq(sys_tcp_info(s).tcpi_total_retrans, 1);
}

Test(tcpinfo, sack_and_reordering_are_counted)
{
    struct socket *l = sys_listen(80, 10), *s;
    struct tcp_info i;

    rx(.flags = "S", .opt = "mss 1460,sackOK");
    tx(.flags = "SA", .ack = 1);
    advance_ms(50); /* a round trip, and with it a reordering window */
    rx();
    s = sys_accept_ok(l);
    sys_write(s, 10 * 1460);
    tx_ignore();
    advance_ms(50);
    rx(.ack = 1, .opt = "nop,nop,sack 1 {2921:4381}");
    tx_ignore();
    i = sys_tcp_info(s);
    cr_assert_eq(i.tcpi_sacked, 1);
    cr_assert_eq(i.tcpi_ca_state, TCP_CA_Disorder);
    rx(.ack = 1, .opt = "nop,nop,sack 1 {1461:4381}"); /* an older one, later */
    tx_ignore();
    i = sys_tcp_info(s);
    cr_assert_geq(i.tcpi_reord_seen, 1);
    cr_assert_eq(i.tcpi_sacked, 2);
    rx(.ack = 14601);
    tx_ignore();
    rx(.ack = 14601);
}

Test(tcpinfo, dsack_is_counted)
{
    struct socket *s = script_accepted("mss 1460,sackOK", 65535);

    sys_write(s, 1460);
    tx(.len = 1460);
    tx_at(200, .seq = 1, .len = 1460);
    rx(.ack = 1461);
    rx(.ack = 1461, .opt = "nop,nop,sack 1 {1:1461}");
    cr_assert_eq(sys_tcp_info(s).tcpi_dsack_dups, 1);
}

Test(tcpinfo, hole_counts_out_of_order_packets)
{
    struct socket *s = script_accepted("mss 1460,sackOK", 65535);

    rx(.seq = 1001, .len = 500);
    tx_ignore();
    rx(.seq = 2001, .len = 500);
    tx_ignore();
    cr_assert_eq(sys_tcp_info(s).tcpi_rcv_ooopack, 2);
}

Test(tcpinfo, closed_window_is_receiver_limited_and_probed)
{
    struct socket *s = script_accepted("mss 1460", 65535);
    struct tcp_info i;

    sys_write(s, 1000);
    tx(.len = 1000);
    rx(.ack = 1001, .win = 0);
    sys_write(s, 5000);
    advance_ms(500);
    cr_assert_geq(tx_ignore(), 1);
    i = sys_tcp_info(s);
    cr_assert_eq(i.tcpi_snd_wnd, 0);
    cr_assert_eq(i.tcpi_notsent_bytes, 5000);
    cr_assert_geq(i.tcpi_probes, 1);
    cr_assert_geq(i.tcpi_backoff, 1);
    rx(.ack = 1001, .win = 3000);
    tx_ignore();
    advance_ms(20);
    rx(.ack = 4001, .win = 3000);
    tx_ignore();
    cr_assert_geq(sys_tcp_info(s).tcpi_rwnd_limited, 20000);
    rx(.ack = 6001);
    tx_ignore();
}

Test(tcpinfo, full_send_buffer_is_sndbuf_limited)
{
    struct socket *s = script_accepted(ALL_OPT, 65535);

    cr_assert_eq(sys_setsockopt(s, SOL_SOCKET, SO_SNDBUF, 2304), 0);
    cr_assert_eq(sys_setsockopt(s, IPPROTO_TCP, TCP_CORK, 1), 0);
    cr_assert_eq(sys_send(s, 5000, MSG_EOR | MSG_DONTWAIT), 5000);
    cr_assert_eq(tx_ignore(), 3);
    cr_assert_eq(sys_write(s, 1000), -EAGAIN);
    cr_assert_eq(sys_setsockopt(s, IPPROTO_TCP, TCP_CORK, 0), 0);
    tx(.len = 656); /* all is sent, window and cwnd have room, and the program waits for the buffer */
    advance_ms(30);
    tx_ignore();
    rx();
    cr_assert_geq(sys_tcp_info(s).tcpi_sndbuf_limited, 20000, "%llu cwnd %u", (unsigned long long)sys_tcp_info(s).tcpi_sndbuf_limited, sys_tcp_info(s).tcpi_snd_cwnd);
    rx();
    tx_ignore();
}

Test(tcpinfo, ecn_and_marks_are_told)
{
    struct socket *s;

    script_net->ipv4.sysctl_tcp_ecn = 1;
    s = sys_socket_bound();
    sys_connect(s, SCRIPT_PEER_PORT);
    tx(.flags = "SEW");
    rx(.flags = "SAE", .opt = "mss 1460");
    tx(.ack = 1);
    cr_assert_eq(sys_tcp_info(s).tcpi_options, TCPI_OPT_ECN);
    cr_assert_eq(sys_tcp_info(s).tcpi_delivered_ce, 0, "the SYN-ACK's ECE is an agreement, no mark");
    rx(.len = 100, .tos = 2);
    tx_ignore();
    cr_assert_eq(sys_tcp_info(s).tcpi_options, TCPI_OPT_ECN | TCPI_OPT_ECN_SEEN);
    sys_write(s, 100);
    tx(.len = 100);
    rx(.flags = "AE", .ack = 101);
    cr_assert_eq(sys_tcp_info(s).tcpi_delivered_ce, 1, "%u", sys_tcp_info(s).tcpi_delivered_ce);
    advance_ms(300);
    tx_ignore();
}

Test(tcpinfo, fast_open_child_and_client_failure_are_told)
{
    struct socket *l, *s;

    script_net->ipv4.sysctl_tcp_fastopen = 0x203; /* no cookie asked for */
    l = sys_listen(80, 10);
    cr_assert_eq(sys_setsockopt(l, IPPROTO_TCP, TCP_FASTOPEN, 5), 0);
    rx(.flags = "S", .opt = "mss 1460", .len = 100);
    tx(.flags = "SA", .ack = 101);
    s = sys_accept_ok(l);
    cr_assert_eq(sys_tcp_info(s).tcpi_state, TCP_SYN_RECV);
    cr_assert_eq(sys_tcp_info(s).tcpi_options, TCPI_OPT_SYN_DATA | HAS_TFO_CHILD);
    rx();
    s = sys_socket();
    sys_bind(s, 0, 41000);
    script_flow(500, 41000);
    cr_assert_eq(sys_sendto(s, 500, 100, 0x20000000 | MSG_DONTWAIT), -EINPROGRESS);
    tx(.flags = "S");
    cr_assert_eq(sys_tcp_info(s).tcpi_fastopen_client_fail, TFO_COOKIE_UNAVAILABLE);
    rx(.flags = "RA", .seq = 0, .ack = 1);
}

Test(tcpinfo, listener_tells_its_queue)
{
    struct socket *l = sys_listen(80, 7);
    struct tcp_info i;

    for (u16 port = 1001; port <= 1003; port++) {
        rx(.flags = "S", .opt = "mss 1460", .sport = port);
        tx(.flags = "SA", .ack = 1);
        rx();
    }
    i = sys_tcp_info(l);
    cr_assert_eq(i.tcpi_state, TCP_LISTEN);
    cr_assert_eq(i.tcpi_unacked, 3);
    cr_assert_eq(i.tcpi_sacked, 7);
    cr_assert_eq(i.tcpi_rto, 0);
    cr_assert_eq(tail_of(l).tcpi_rcv_wnd, 0);
}
