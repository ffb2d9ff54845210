/* SPDX-License-Identifier: MIT */
/* TCP Fast Open (RFC 7413): data with the SYN, from both sides. */

#include "../lib/tcpscript.h"
#include "../../stack/ipv4/tcp_fastopen.h"

#ifndef MSG_FASTOPEN
#define MSG_FASTOPEN 0x20000000
#endif

static void fastopen_init(void)
{
    script_init();
    script_net->ipv4.sysctl_tcp_fastopen = TFO_CLIENT_ENABLE | TFO_SERVER_ENABLE;
}
TestSuite(fastopen, .init = fastopen_init, .fini = script_fini);

#define COOKIE "0123456789abcdef"
#define SYNACK_COOKIE "mss 1460,tfo cookie " COOKIE ",nop,nop"

/* ---- client ---------------------------------------------------------------------------------------------- */

/* A first connection, in which the peer gives its cookie away. The socket is closed again. */
static void learn_cookie(void)
{
    struct socket *s = sys_socket_bound();

    cr_assert_eq(sys_sendto(s, SCRIPT_PEER_PORT, 100, MSG_FASTOPEN | MSG_DONTWAIT), -EINPROGRESS);
    tx(.flags = "S", .len = 0, .opt = "mss 1460,sackOK,TS val 1 ecr 0,nop,wscale *,tfo cookiereq,nop,nop");
    rx(.flags = "SA", .opt = SYNACK_COOKIE);
    tx(.ack = 1);
    sys_linger(s, 1, 0);
    sys_close(s);
    tx(.flags = "RA");
}

/* A socket whose sendto() carried 100 bytes in its SYN. */
static struct socket *syn_with_data(u16 peer_port)
{
    struct socket *s = sys_socket();

    cr_assert_eq(sys_bind(s, 0, 41000), 0);
    script_flow(peer_port, 41000);
    cr_assert_eq(sys_sendto(s, peer_port, 100, MSG_FASTOPEN | MSG_DONTWAIT), 100);
    tx(.flags = "S", .len = 100, .opt = "mss 1460,sackOK,TS val * ecr 0,nop,wscale *,tfo cookie " COOKIE ",nop,nop");
    return s;
}

Test(fastopen, client_without_cookie_asks_for_one_and_sends_no_data) { learn_cookie(); }

Test(fastopen, client_with_cookie_sends_data_in_the_syn)
{
    struct socket *s;

    learn_cookie();
    s = syn_with_data(500);
    rx(.flags = "SA", .ack = 101, .opt = "mss 1460");
    tx(.ack = 1, .seq = 101);
    cr_assert_eq(sys_state(s), TCP_ESTABLISHED);
    cr_assert_eq(mib(LINUX_MIB_TCPFASTOPENACTIVE), 1);
    cr_assert(sys_tcp_info(s).tcpi_options & TCPI_OPT_SYN_DATA);
    cr_assert_eq(sys_write(s, 50), 50);
    tx(.len = 50, .seq = 101);
    rx(.ack = 151);
}

Test(fastopen, client_answer_with_the_synack_is_read)
{
    struct socket *s;

    learn_cookie();
    s = syn_with_data(500);
    rx(.flags = "SA", .ack = 101, .opt = "mss 1460", .len = 200);
    tx(.ack = 201, .seq = 101);
    cr_assert_eq(sys_read(s, 1000), 200);
}

Test(fastopen, client_data_not_acknowledged_is_sent_again_with_the_ack)
{
    struct socket *s;

    learn_cookie();
    s = syn_with_data(500);
    rx(.flags = "SA", .ack = 1, .opt = "mss 1460");
    tx(.len = 100, .seq = 1, .ack = 1);
    cr_assert_eq(mib(LINUX_MIB_TCPFASTOPENACTIVEFAIL), 1);
    cr_assert_eq(sys_tcp_info(s).tcpi_fastopen_client_fail, TFO_DATA_NOT_ACKED);
    cr_assert_eq(sys_tcp_info(s).tcpi_snd_cwnd, 10);
    rx(.ack = 101);
}

Test(fastopen, client_lost_syn_goes_again_without_data_and_option)
{
    struct socket *s;

    learn_cookie();
    s = syn_with_data(500);
    tx_at(1000, .flags = "S", .seq = 0, .len = 0, .opt = "mss 1460,sackOK,TS val * ecr 0,nop,wscale *");
    rx(.flags = "SA", .ack = 1, .opt = "mss 1460");
    tx(.len = 100, .seq = 1, .ack = 1);
    cr_assert_eq(sys_tcp_info(s).tcpi_fastopen_client_fail, TFO_SYN_RETRANSMITTED);
    rx(.ack = 101);
}

Test(fastopen, client_reset_is_connection_refused)
{
    struct socket *s;

    learn_cookie();
    s = syn_with_data(500);
    rx(.flags = "RA", .seq = 0, .ack = 101);
    cr_assert_eq(sys_error(s), ECONNREFUSED);
}

Test(fastopen, client_more_than_a_segment_waits_for_the_handshake)
{
    struct socket *s;

    learn_cookie();
    s = sys_socket();
    cr_assert_eq(sys_bind(s, 0, 41000), 0);
    script_flow(500, 41000);
    /* MSS less the most that options may take */
    cr_assert_eq(sys_sendto(s, 500, 3000, MSG_FASTOPEN | MSG_DONTWAIT), 1420);
    tx(.flags = "S", .len = 1420);
    rx(.flags = "SA", .ack = 1421, .opt = "mss 1460");
    tx(.ack = 1, .seq = 1421);
    cr_assert_eq(sys_write(s, 1580), 1580);
    tx(.len = 1460, .seq = 1421);
    tx(.len = 120, .seq = 2881);
    rx();
}

Test(fastopen, client_cached_mss_limits_the_data)
{
    struct socket *s = sys_socket_bound();

    cr_assert_eq(sys_sendto(s, SCRIPT_PEER_PORT, 100, MSG_FASTOPEN | MSG_DONTWAIT), -EINPROGRESS);
    tx(.flags = "S");
    rx(.flags = "SA", .opt = "mss 500,tfo cookie " COOKIE ",nop,nop");
    tx(.ack = 1);
    s = sys_socket();
    cr_assert_eq(sys_bind(s, 0, 41000), 0);
    script_flow(500, 41000);
    cr_assert_eq(sys_sendto(s, 500, 3000, MSG_FASTOPEN | MSG_DONTWAIT), 460);
    tx(.flags = "S", .len = 460);
    rx(.flags = "RA", .seq = 0, .ack = 461);
}

Test(fastopen, client_connect_option_defers_the_syn_to_the_first_write)
{
    struct socket *s;

    learn_cookie();
    s = sys_socket();
    cr_assert_eq(sys_bind(s, 0, 41000), 0);
    cr_assert_eq(sys_setsockopt(s, IPPROTO_TCP, TCP_FASTOPEN_CONNECT, 1), 0);
    cr_assert_eq(sys_connect(s, 500), 0);
    tx_nothing();
    cr_assert_eq(sys_poll(s) & EPOLLOUT, EPOLLOUT);
    cr_assert_eq(sys_connect(s, 500), -EISCONN);
    cr_assert_eq(sys_write(s, 100), 100);
    tx(.flags = "S", .len = 100, .opt = "*tfo cookie " COOKIE ",nop,nop");
    rx(.flags = "SA", .ack = 101, .opt = "mss 1460");
    tx(.ack = 1, .seq = 101);
}

Test(fastopen, client_connect_option_without_cookie_asks_at_once)
{
    struct socket *s = sys_socket_bound();

    cr_assert_eq(sys_setsockopt(s, IPPROTO_TCP, TCP_FASTOPEN_CONNECT, 1), 0);
    cr_assert_eq(sys_connect(s, SCRIPT_PEER_PORT), -EINPROGRESS);
    tx(.flags = "S", .opt = "*tfo cookiereq,nop,nop");
    rx(.flags = "SA", .opt = "mss 1460");
    tx(.ack = 1);
}

Test(fastopen, client_deferred_connect_closed_before_a_write_sends_nothing)
{
    struct socket *s;

    learn_cookie();
    s = sys_socket();
    cr_assert_eq(sys_bind(s, 0, 41000), 0);
    cr_assert_eq(sys_setsockopt(s, IPPROTO_TCP, TCP_FASTOPEN_CONNECT, 1), 0);
    cr_assert_eq(sys_connect(s, 500), 0);
    sys_close(s);
    tx_nothing();
}

Test(fastopen, client_no_cookie_option_sends_data_to_anybody)
{
    struct socket *s = sys_socket_bound();

    cr_assert_eq(sys_setsockopt(s, IPPROTO_TCP, TCP_FASTOPEN_NO_COOKIE, 1), 0);
    cr_assert_eq(sys_sendto(s, SCRIPT_PEER_PORT, 100, MSG_FASTOPEN | MSG_DONTWAIT), 100);
    tx(.flags = "S", .len = 100, .opt = "mss 1460,sackOK,TS val 1 ecr 0,nop,wscale *");
    rx(.flags = "SA", .ack = 101, .opt = "mss 1460");
    tx(.ack = 1, .seq = 101);
}

Test(fastopen, client_blocking_sendto_connects_and_sends_all)
{
    struct socket *s = sys_socket_bound();

    rx_in(20, .flags = "SA", .opt = SYNACK_COOKIE);
    cr_assert_eq(sys_sendto(s, SCRIPT_PEER_PORT, 100, MSG_FASTOPEN), 100);
    tx(.flags = "S");
    tx(.len = 100, .seq = 1, .ack = 1); /* one segment saved: the data acknowledges the SYN-ACK */
    rx(.ack = 101);
}

Test(fastopen, client_switched_off_refuses)
{
    struct socket *s = sys_socket_bound();

    script_net->ipv4.sysctl_tcp_fastopen = TFO_SERVER_ENABLE;
    cr_assert_eq(sys_sendto(s, SCRIPT_PEER_PORT, 100, MSG_FASTOPEN | MSG_DONTWAIT), -EOPNOTSUPP);
    cr_assert_eq(sys_setsockopt(s, IPPROTO_TCP, TCP_FASTOPEN_CONNECT, 1), -EOPNOTSUPP);
}

Test(fastopen, client_unsolicited_cookie_is_ignored)
{
    script_connected(SYNACK_COOKIE, 65535);
    struct socket *s = sys_socket();

    cr_assert_eq(sys_bind(s, 0, 41000), 0);
    script_flow(500, 41000);
    cr_assert_eq(sys_sendto(s, 500, 100, MSG_FASTOPEN | MSG_DONTWAIT), -EINPROGRESS);
    tx(.flags = "S", .len = 0, .opt = "*tfo cookiereq,nop,nop");
    rx(.flags = "RA", .seq = 0, .ack = 1);
}

Test(fastopen, client_no_answer_to_the_option_tries_the_experimental_one)
{
    struct socket *s = sys_socket_bound();

    cr_assert_eq(sys_sendto(s, SCRIPT_PEER_PORT, 100, MSG_FASTOPEN | MSG_DONTWAIT), -EINPROGRESS);
    tx(.flags = "S", .opt = "*tfo cookiereq,nop,nop");
    rx(.flags = "SA", .opt = "mss 1460");
    tx(.ack = 1);
    s = sys_socket();
    cr_assert_eq(sys_bind(s, 0, 41000), 0);
    script_flow(500, 41000);
    cr_assert_eq(sys_sendto(s, 500, 100, MSG_FASTOPEN | MSG_DONTWAIT), -EINPROGRESS);
    tx(.flags = "S", .opt = "*wscale *,opt-254:4");
    rx(.flags = "RA", .seq = 0, .ack = 1);
}

/* ---- black holes ------------------------------------------------------------------------------------------- */

/* What a sendto() on a new socket answers; its SYN, unless it carried data, is reset. */
static ssize_t try_again(u16 peer_port, const char *opt)
{
    struct socket *s = sys_socket();
    ssize_t n;

    cr_assert_eq(sys_bind(s, 0, (u16)(42000 + peer_port)), 0);
    script_flow(peer_port, (u16)(42000 + peer_port));
    n = sys_sendto(s, peer_port, 100, MSG_FASTOPEN | MSG_DONTWAIT);
    tx(.flags = "S", .len = n > 0 ? 100 : 0, .opt = opt);
    rx(.flags = "RA", .seq = 0, .ack = n > 0 ? 101 : 1);
    return n;
}

#define PLAIN "mss 1460,sackOK,TS val * ecr 0,nop,wscale *"
#define WITH_COOKIE PLAIN ",tfo cookie " COOKIE ",nop,nop"

static void three_timeouts(u16 peer_port)
{
    struct socket *s = syn_with_data(peer_port);

    advance_ms(3100);
    tx_ignore();
    rx(.flags = "RA", .seq = 0, .ack = 101);
    cr_assert_eq(sys_error(s), ECONNREFUSED);
    sys_close(s);
}

Test(fastopen, client_third_timeout_stops_fast_open_for_a_while)
{
    script_net->ipv4.sysctl_tcp_fastopen_blackhole_timeout = 10;
    learn_cookie();
    three_timeouts(500);
    cr_assert_eq(mib(LINUX_MIB_TCPFASTOPENBLACKHOLE), 1);
    cr_assert_eq(try_again(1, PLAIN), -EINPROGRESS);
    advance_ms(8000);
    cr_assert_eq(try_again(2, PLAIN), -EINPROGRESS);
    advance_ms(2100);
    cr_assert_eq(try_again(3, WITH_COOKIE), 100);
    three_timeouts(501); /* again: twice as long */
    advance_ms(15000);
    cr_assert_eq(try_again(4, PLAIN), -EINPROGRESS);
    advance_ms(5100);
    cr_assert_eq(try_again(5, WITH_COOKIE), 100);
    cr_assert_eq(mib(LINUX_MIB_TCPFASTOPENBLACKHOLE), 2);
}

Test(fastopen, client_timeouts_change_nothing_by_default)
{
    learn_cookie();
    three_timeouts(500);
    cr_assert_eq(mib(LINUX_MIB_TCPFASTOPENBLACKHOLE), 0);
    cr_assert_eq(try_again(1, WITH_COOKIE), 100);
}

Test(fastopen, client_two_timeouts_are_no_black_hole)
{
    struct socket *s;

    script_net->ipv4.sysctl_tcp_fastopen_blackhole_timeout = 10;
    learn_cookie();
    s = syn_with_data(500);
    advance_ms(2100);
    cr_assert_eq(tx_ignore(), 2);
    rx(.flags = "RA", .seq = 0, .ack = 101);
    cr_assert_eq(sys_error(s), ECONNREFUSED);
    cr_assert_eq(try_again(1, WITH_COOKIE), 100);
}

Test(fastopen, client_fin_beyond_a_hole_and_no_data_is_a_black_hole)
{
    struct socket *s;

    script_net->ipv4.sysctl_tcp_fastopen_blackhole_timeout = 10;
    learn_cookie();
    s = syn_with_data(500);
    rx(.flags = "SA", .ack = 101, .opt = "mss 1460,sackOK");
    tx(.ack = 1, .seq = 101);
    rx(.flags = "FA", .seq = 501, .ack = 101);
    tx_ignore();
    rx(.flags = "RA", .seq = 1, .ack = 101);
    sys_close(s);
    cr_assert_eq(mib(LINUX_MIB_TCPFASTOPENBLACKHOLE), 1);
    cr_assert_eq(try_again(1, PLAIN), -EINPROGRESS);
}

/* The program has closed: the FIN arrives with the ACK of ours, and what lies before it never came. */
Test(fastopen, client_fin_beyond_a_hole_after_close_is_a_black_hole)
{
    struct socket *s;

    script_net->ipv4.sysctl_tcp_fastopen_blackhole_timeout = 10;
    learn_cookie();
    s = syn_with_data(500);
    rx(.flags = "SA", .ack = 101, .opt = "mss 1460,sackOK");
    tx(.ack = 1, .seq = 101);
    sys_close(s);
    tx(.flags = "FA", .seq = 101, .ack = 1);
    rx(.flags = "FA", .seq = 501, .ack = 102);
    tx(.flags = "R", .seq = 102);
    cr_assert_eq(mib(LINUX_MIB_TCPFASTOPENBLACKHOLE), 1);
    cr_assert_eq(try_again(1, PLAIN), -EINPROGRESS);
}

Test(fastopen, client_data_after_close_is_no_black_hole)
{
    struct socket *s;

    script_net->ipv4.sysctl_tcp_fastopen_blackhole_timeout = 10;
    learn_cookie();
    s = syn_with_data(500);
    rx(.flags = "SA", .ack = 101, .opt = "mss 1460,sackOK");
    tx(.ack = 1, .seq = 101);
    sys_close(s);
    tx(.flags = "FA", .seq = 101, .ack = 1);
    rx(.seq = 1, .ack = 102, .len = 10);
    tx(.flags = "R", .seq = 102);
    cr_assert_eq(mib(LINUX_MIB_TCPFASTOPENBLACKHOLE), 0);
    cr_assert_eq(try_again(1, WITH_COOKIE), 100);
}

/* 10 s, 20 s, ... 640 s, and no longer. */
Test(fastopen, client_black_hole_pause_doubles_up_to_64_times)
{
    struct netns_ipv4 *ipv4 = &script_net->ipv4;

    ipv4->sysctl_tcp_fastopen_blackhole_timeout = 10;
    for (u32 n = 1; n <= 8; n++) {
        const u64 pause = 10000u << min(n - 1, 6u);
        struct socket *s = sys_socket();

        tcp_fastopen_active_disable(s->sk);
        advance_ms(pause - 1);
        cr_assert(tcp_fastopen_active_should_disable(s->sk), "%u", n);
        advance_ms(1);
        cr_assert(!tcp_fastopen_active_should_disable(s->sk), "%u", n);
        sys_close(s);
    }
}

Test(fastopen, client_connection_with_data_after_the_pause_ends_the_suspicion)
{
    struct socket *s;

    script_net->ipv4.sysctl_tcp_fastopen_blackhole_timeout = 10;
    learn_cookie();
    three_timeouts(500);
    advance_ms(10100);
    s = syn_with_data(501);
    rx(.flags = "SA", .ack = 101, .opt = "mss 1460");
    tx(.ack = 1, .seq = 101);
    rx(.len = 100);
    tx_ignore();
    cr_assert_eq(script_net->ipv4.tfo_active_disable_times, 1);
    cr_assert_eq(sys_read(s, 1000), 100);
    rx(.flags = "RA", .seq = 101, .ack = 101);
    sys_close(s);
    cr_assert_eq(script_net->ipv4.tfo_active_disable_times, 0);
}

/* ---- server ------------------------------------------------------------------------------------------------ */

static const u8 key[16] = { 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16 };

static struct socket *fastopen_listen(int qlen)
{
    struct socket *l = sys_listen(80, 10);

    cr_assert_eq(l->ops->setsockopt(l, IPPROTO_TCP, TCP_FASTOPEN_KEY, key, sizeof(key)), 0);
    cr_assert_eq(sys_setsockopt(l, IPPROTO_TCP, TCP_FASTOPEN, qlen), 0);
    return l;
}

/* The option with the cookie of this key for the peer: SipHash of both addresses, as Linux makes it. */
static const char *our_cookie(const u8 *k)
{
    static char text[64];
    siphash_key_t sk;
    u64 w = (u64)htobe32(SCRIPT_LOCAL) << 32 | htobe32(SCRIPT_PEER), h;

    memcpy(&sk, k, 16);
    h = siphash_words(&w, 1, &sk);
    strcpy(text, "mss 1460,tfo cookie ");
    for (int i = 0; i < 8; i++)
        sprintf(text + strlen(text), "%02x", (unsigned)(h >> (8 * i) & 255));
    strcat(text, ",nop,nop");
    return text;
}

Test(fastopen, server_gives_a_cookie_when_asked)
{
    struct socket *l = fastopen_listen(5);

    rx(.flags = "S", .opt = "mss 1460,tfo cookiereq,nop,nop");
    tx(.flags = "SA", .ack = 1, .opt = our_cookie(key));
    cr_assert_eq(mib(LINUX_MIB_TCPFASTOPENCOOKIEREQD), 1);
    rx();
    sys_accept_ok(l);
}

Test(fastopen, server_accepts_and_reads_data_before_the_handshake_ends)
{
    struct socket *l = fastopen_listen(5), *s;

    rx(.flags = "S", .opt = our_cookie(key), .len = 300);
    tx(.flags = "SA", .ack = 301, .opt = "mss 1460");
    s = sys_accept_ok(l);
    cr_assert_eq(sys_state(s), TCP_SYN_RECV);
    cr_assert(sys_poll(s) & EPOLLIN);
    cr_assert_eq(sys_read(s, 1000), 300);
    rx(.ack = 1);
    cr_assert_eq(sys_state(s), TCP_ESTABLISHED);
    cr_assert_eq(mib(LINUX_MIB_TCPFASTOPENPASSIVE), 1);
    cr_assert_eq(l->sk ? inet_csk(l->sk)->icsk_accept_queue.fastopen_qlen : 1, 0);
}

Test(fastopen, server_answers_before_the_handshake_ends)
{
    struct socket *l = fastopen_listen(5), *s;

    rx(.flags = "S", .opt = our_cookie(key), .len = 300);
    tx(.flags = "SA", .ack = 301);
    s = sys_accept_ok(l);
    cr_assert_eq(sys_write(s, 500), 500);
    tx(.len = 500, .seq = 1, .ack = 301);
    rx(.ack = 501);
    cr_assert_eq(sys_state(s), TCP_ESTABLISHED);
    cr_assert_eq(sys_tcp_info(s).tcpi_unacked, 0);
}

Test(fastopen, server_retransmits_only_the_synack_until_acknowledged)
{
    struct socket *l = fastopen_listen(5), *s;

    rx(.flags = "S", .opt = our_cookie(key), .len = 300);
    tx(.flags = "SA", .ack = 301);
    s = sys_accept_ok(l);
    cr_assert_eq(sys_write(s, 500), 500);
    tx(.len = 500, .seq = 1);
    tx_at(1000, .flags = "SA", .seq = 0, .ack = 301);
    tx_at(2000, .flags = "SA", .seq = 0, .ack = 301);
    rx(.ack = 1);
    cr_assert_eq(sys_state(s), TCP_ESTABLISHED);
    tx(.len = 500, .seq = 1); /* the second time-out counted it lost */
    rx(.ack = 501);
}

Test(fastopen, server_gives_up_after_synack_retries)
{
    struct socket *l = fastopen_listen(5), *s;

    rx(.flags = "S", .opt = our_cookie(key), .len = 300);
    tx(.flags = "SA", .ack = 301);
    s = sys_accept_ok(l);
    cr_assert_eq(sys_read(s, 1000), 300);
    advance_ms(300000);
    cr_assert_eq(tx_ignore(), 6); /* tcp_synack_retries and one */
    cr_assert_eq(sys_error(s), ETIMEDOUT);
    cr_assert_eq(inet_csk(l->sk)->icsk_accept_queue.fastopen_qlen, 0);
}

Test(fastopen, server_wrong_cookie_gets_a_right_one_and_data_is_not_acknowledged)
{
    struct socket *l = fastopen_listen(5);

    rx(.flags = "S", .opt = "mss 1460,tfo cookie 1111111122222222,nop,nop", .len = 300);
    tx(.flags = "SA", .ack = 1, .opt = our_cookie(key));
    cr_assert_eq(mib(LINUX_MIB_TCPFASTOPENPASSIVEFAIL), 1);
    cr_assert_eq(sys_accept(l, NULL), -EAGAIN);
    rx(.seq = 1, .len = 300);
    tx(.ack = 301);
    cr_assert_eq(sys_read(sys_accept_ok(l), 1000), 300);
}

Test(fastopen, server_without_the_option_ignores_it)
{
    sys_listen(80, 10);
    rx(.flags = "S", .opt = "mss 1460,tfo cookiereq,nop,nop");
    tx(.flags = "SA", .ack = 1, .opt = "mss 1460");
    rx(.flags = "R");
}

Test(fastopen, server_switched_off_ignores_it)
{
    fastopen_listen(5);
    script_net->ipv4.sysctl_tcp_fastopen = TFO_CLIENT_ENABLE;
    rx(.flags = "S", .opt = our_cookie(key), .len = 100);
    tx(.flags = "SA", .ack = 1, .opt = "mss 1460");
    rx(.flags = "R", .seq = 1);
}

Test(fastopen, server_queue_full_falls_back_to_the_handshake)
{
    struct socket *l = fastopen_listen(1);

    rx(.flags = "S", .opt = our_cookie(key), .len = 100);
    tx(.flags = "SA", .ack = 101);
    rx(.flags = "S", .sport = 600, .opt = our_cookie(key), .len = 100);
    tx(.flags = "SA", .ack = 1, .opt = "mss 1460");
    cr_assert_eq(mib(LINUX_MIB_TCPFASTOPENLISTENOVERFLOW), 1);
    rx(.flags = "R", .seq = 1);
    script_flow(SCRIPT_PEER_PORT, 80);
    rx(.ack = 1);
    sys_accept_ok(l);
}

Test(fastopen, server_reset_of_an_accepted_child_holds_its_place_for_a_minute)
{
    struct socket *l = fastopen_listen(1), *s;

    rx(.flags = "S", .opt = our_cookie(key), .len = 100);
    tx(.flags = "SA", .ack = 101);
    s = sys_accept_ok(l);
    rx(.flags = "R", .seq = 101);
    cr_assert_eq(sys_error(s), ECONNRESET);
    rx(.flags = "S", .sport = 600, .opt = our_cookie(key), .len = 100);
    tx(.flags = "SA", .ack = 1);
    rx(.flags = "R", .seq = 1);
    advance_ms(61000);
    rx(.flags = "S", .sport = 601, .opt = our_cookie(key), .len = 100);
    tx(.flags = "SA", .ack = 101);
    rx(.ack = 1);
    sys_accept_ok(l);
}

Test(fastopen, server_repeated_syn_gets_the_synack_again)
{
    struct socket *l = fastopen_listen(5);

    rx(.flags = "S", .opt = our_cookie(key), .len = 100);
    tx(.flags = "SA", .ack = 101);
    advance_ms(600);
    rx(.flags = "S", .seq = 0, .opt = "mss 1460");
    tx(.flags = "SA", .seq = 0, .ack = 101);
    rx(.seq = 101, .ack = 1);
    cr_assert_eq(sys_read(sys_accept_ok(l), 1000), 100);
}

Test(fastopen, server_cookie_not_required_takes_data_from_anybody)
{
    struct socket *l = fastopen_listen(5);

    script_net->ipv4.sysctl_tcp_fastopen |= TFO_SERVER_COOKIE_NOT_REQD;
    rx(.flags = "S", .opt = "mss 1460", .len = 100);
    tx(.flags = "SA", .ack = 101, .opt = "mss 1460");
    rx(.ack = 1);
    cr_assert_eq(sys_read(sys_accept_ok(l), 1000), 100);
}

Test(fastopen, server_no_cookie_option_takes_data_from_anybody)
{
    struct socket *l = fastopen_listen(5);

    cr_assert_eq(sys_setsockopt(l, IPPROTO_TCP, TCP_FASTOPEN_NO_COOKIE, 1), 0);
    rx(.flags = "S", .opt = "mss 1460", .len = 100);
    tx(.flags = "SA", .ack = 101);
    rx(.ack = 1, .seq = 101);
    cr_assert_eq(sys_read(sys_accept_ok(l), 1000), 100);
}

Test(fastopen, server_sysctl_switches_every_listener_on)
{
    script_net->ipv4.sysctl_tcp_fastopen |= TFO_SERVER_WO_SOCKOPT1;
    struct socket *l = sys_listen(80, 7);

    cr_assert_eq(sys_getsockopt_int(l, IPPROTO_TCP, TCP_FASTOPEN), 7);
}

Test(fastopen, server_cookie_of_the_key_before_is_taken_and_renewed)
{
    static const u8 keys[32] = { 9, 9, 9, 9, 9, 9, 9, 9, 8, 8, 8, 8, 8, 8, 8, 8, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16 };
    struct socket *l = fastopen_listen(5);
    char old[64];
    u8 got[32];
    socklen_t len = sizeof(got);

    cr_assert_eq(l->ops->setsockopt(l, IPPROTO_TCP, TCP_FASTOPEN_KEY, keys, sizeof(keys)), 0);
    cr_assert_eq(l->ops->getsockopt(l, IPPROTO_TCP, TCP_FASTOPEN_KEY, got, &len), 0);
    cr_assert_eq(len, 32);
    cr_assert_arr_eq(got, keys, 32);
    strcpy(old, our_cookie(key));
    rx(.flags = "S", .opt = old, .len = 100);
    tx(.flags = "SA", .ack = 101, .opt = our_cookie(keys));
    cr_assert_eq(mib(LINUX_MIB_TCPFASTOPENPASSIVEALTKEY), 1);
    rx(.ack = 1);
    sys_accept_ok(l);
}

Test(fastopen, server_uses_the_hosts_key)
{
    static const u8 none[16];
    struct netns_ipv4 *ipv4 = &script_net->ipv4;
    struct socket *l;

    cr_assert_eq(tcp_fastopen_parse_key("00000000-00000000-00000000-00000000", ipv4->sysctl_tcp_fastopen_key), 0);
    cr_assert_eq(tcp_fastopen_parse_key("nonsense", ipv4->sysctl_tcp_fastopen_key), 0);
    ipv4->sysctl_tcp_fastopen_key_len =
        tcp_fastopen_parse_key("04030201-08070605-0c0b0a09-100f0e0d", ipv4->sysctl_tcp_fastopen_key);
    cr_assert_eq(ipv4->sysctl_tcp_fastopen_key_len, 16);
    cr_assert_eq(memcmp(ipv4->sysctl_tcp_fastopen_key, key, 16), 0, "words are little endian in the key's bytes");
    cr_assert_neq(memcmp(ipv4->sysctl_tcp_fastopen_key, none, 16), 0);
    tcp_fastopen_init_key(tcp_net_fastopen(script_net), script_net);
    l = sys_listen(80, 10);
    cr_assert_eq(sys_setsockopt(l, IPPROTO_TCP, TCP_FASTOPEN, 5), 0);
    rx(.flags = "S", .opt = "mss 1460,tfo cookiereq,nop,nop");
    tx(.flags = "SA", .opt = our_cookie(key));
}

Test(fastopen, server_listener_closed_before_accept_resets_the_child)
{
    struct socket *l = fastopen_listen(5);

    rx(.flags = "S", .opt = our_cookie(key), .len = 100);
    tx(.flags = "SA", .ack = 101);
    sys_close(l);
    tx(.flags = "RA", .seq = 1);
}

Test(fastopen, server_child_closed_before_the_handshake_ends_sends_its_fin)
{
    struct socket *l = fastopen_listen(5), *s;

    rx(.flags = "S", .opt = our_cookie(key), .len = 100);
    tx(.flags = "SA", .ack = 101);
    s = sys_accept_ok(l);
    cr_assert_eq(sys_read(s, 1000), 100);
    sys_close(s);
    tx(.flags = "FA", .seq = 1, .ack = 101);
    rx(.flags = "FA", .ack = 2);
    tx(.ack = 102);
}
