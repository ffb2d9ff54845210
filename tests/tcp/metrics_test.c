/* SPDX-License-Identifier: MIT */
/* What a connection leaves to the next one to the same peer (RFC 9040). */

#include "../lib/tcpscript.h"
#include "../../stack/ipv4/tcp_metrics.h"

TestSuite(metrics, .init = script_init, .fini = script_fini);

#define LOCAL htobe32(SCRIPT_LOCAL)
#define PEER htobe32(SCRIPT_PEER)

/* A connection of the peer's with this round trip, closed in order. */
static void short_connection(u16 port, u32 rtt_ms)
{
    struct socket *l = sys_listen(80, 10), *s;

    rx(.flags = "S", .sport = port, .opt = "mss 1000");
    tx(.flags = "SA");
    advance_ms(rtt_ms);
    rx();
    s = sys_accept_ok(l);
    sys_close(l);
    cr_assert_eq(sys_write(s, 100), 100);
    tx(.len = 100);
    advance_ms(rtt_ms);
    rx(.ack = 101);
    sys_close(s);
    tx(.flags = "FA");
    advance_ms(rtt_ms);
    rx(.flags = "FA", .ack = 102);
    tx(.ack = 2);
}

Test(metrics, nothing_is_known_at_first)
{
    struct tcp_metrics m;

    cr_assert_not(tcp_metrics_lookup(script_net, LOCAL, PEER, &m));
    cr_assert_eq(tcp_metrics_count(script_net), 0);
}

Test(metrics, close_keeps_rtt_and_window)
{
    struct tcp_metrics m;

    short_connection(1000, 150);
    cr_assert(tcp_metrics_lookup(script_net, LOCAL, PEER, &m));
    cr_assert_eq(m.rtt_us >> 3, 150000);
    cr_assert_gt(m.rttvar_us, 0);
    cr_assert_geq(m.cwnd, 10);
    cr_assert_eq(m.ssthresh, 0); /* tcp_no_ssthresh_metrics_save, as Linux */
}

Test(metrics, next_connection_begins_with_the_known_rtt_when_its_own_is_shorter)
{
    struct socket *s;

    short_connection(1000, 300);
    script_flow(SCRIPT_PEER_PORT, 80);
    s = script_accepted("mss 1000", 65535); /* no time between SYN-ACK and ACK */
    /* 300 ms and twice that, where the handshake alone would give tcp_rto_min */
    cr_assert_eq(sys_tcp_info(s).tcpi_rto, 900000);
}

Test(metrics, shorter_rtt_is_taken_slowly_and_longer_at_once)
{
    struct tcp_metrics m;

    short_connection(1000, 160);
    short_connection(1001, 80);
    tcp_metrics_lookup(script_net, LOCAL, PEER, &m);
    cr_assert_eq(m.rtt_us >> 3, 150000); /* an eighth of the way */
    short_connection(1002, 400);
    tcp_metrics_lookup(script_net, LOCAL, PEER, &m);
    cr_assert_eq(m.rtt_us >> 3, 400000);
}

Test(metrics, no_metrics_save_keeps_nothing)
{
    script_net->ipv4.sysctl_tcp_no_metrics_save = 1;
    short_connection(1000, 100);
    cr_assert_eq(tcp_metrics_count(script_net), 0);
}

Test(metrics, entries_are_void_after_an_hour)
{
    struct tcp_metrics m;

    short_connection(1000, 100);
    advance_ms(3700 * 1000);
    cr_assert_not(tcp_metrics_lookup(script_net, LOCAL, PEER, &m));
}

Test(metrics, number_of_entries_is_bounded)
{
    struct tcp_fastopen_cookie c = { .len = 8 };
    struct socket *s = script_accepted("mss 1000", 65535);
    __be32 real = s->sk->__sk_common.skc_daddr;

    for (u32 i = 1; i < 20000; i++) {
        s->sk->__sk_common.skc_daddr = htobe32(0x0b000000 + i * 7919);
        tcp_fastopen_cache_set(s->sk, 1460, &c, false, 0);
    }
    s->sk->__sk_common.skc_daddr = real;
    cr_assert_leq(tcp_metrics_count(script_net), 256 * 5);
    cr_assert_geq(tcp_metrics_count(script_net), 256 * 4);
}

Test(metrics, ssthresh_is_kept_when_asked_for)
{
    struct tcp_metrics m;
    struct socket *s;

    script_net->ipv4.sysctl_tcp_no_ssthresh_metrics_save = 0;
    s = script_accepted("mss 1000", 65535);
    tcp_sk(s->sk)->snd_ssthresh = 8; /* in congestion avoidance */
    sys_close(s);
    tx(.flags = "FA");
    rx(.flags = "FA", .ack = 2);
    tx(.ack = 2);
    cr_assert(tcp_metrics_lookup(script_net, LOCAL, PEER, &m));
    cr_assert_eq(m.ssthresh, 8);
    advance_ms(61000);
    s = script_accepted("mss 1000", 65535);
    cr_assert_eq(sys_tcp_info(s).tcpi_snd_ssthresh, 8);
}
