/* SPDX-License-Identifier: MIT */
/* Resets and SYNs in every state (RFC 9293 3.10.7.4, RFC 5961 3 and 4), and openings with data or FIN where SYNs cross. */

#include "../lib/tcpscript.h"

TestSuite(state, .init = script_init, .fini = script_fini);

/* ---- every synchronised state --------------------------------------------------------------------------------- */

/* A connection in this state whose program still holds it; what it sends on the way is asked for here. */
static struct socket *in_state(int state)
{
    struct socket *s = script_accepted("mss 1460", 65535);

    if (TCPF(state) & (TCPF_CLOSE_WAIT | TCPF_LAST_ACK)) {
        rx(.flags = "FA");
        advance_ms(50);
        tx(.flags = "A", .ack = 2);
    }
    if (TCPF(state) & (TCPF_FIN_WAIT1 | TCPF_FIN_WAIT2 | TCPF_CLOSING | TCPF_LAST_ACK)) {
        cr_assert_eq(sys_shutdown(s, SHUT_WR), 0);
        tx(.flags = "FA", .seq = 1);
    }
    if (state == TCP_FIN_WAIT2)
        rx(.ack = 2);
    if (state == TCP_CLOSING) {
        rx(.flags = "FA", .ack = 1);
        tx(.flags = "A", .ack = 2);
    }
    cr_assert_eq(sys_state(s), state);
    return s;
}

/* The next sequence number that the stack waits for. */
static s64 next_of(int state) { return TCPF(state) & (TCPF_CLOSE_WAIT | TCPF_LAST_ACK | TCPF_CLOSING) ? 2 : 1; }

static void exact_reset(int state, int error)
{
    struct socket *s = in_state(state);

    rx(.flags = "R", .seq = next_of(state));
    tx_nothing();
    cr_assert_eq(sys_state(s), TCP_CLOSE);
    cr_assert_eq(sys_error(s), error);
    advance_ms(10000);
    tx_nothing();
}

static void inexact_reset(int state)
{
    struct socket *s = in_state(state);

    rx(.flags = "R", .seq = next_of(state) + 100);
    tx(.flags = "A", .ack = next_of(state));
    cr_assert_eq(mib(LINUX_MIB_TCPCHALLENGEACK), 1);
    rx(.flags = "R", .seq = -10);
    rx(.flags = "R", .seq = 100000);
    tx_nothing();
    cr_assert_eq(sys_state(s), state);
}

static void syn(int state)
{
    struct socket *s = in_state(state);

    rx(.flags = "S", .seq = next_of(state) + 100, .opt = "mss 1460");
    tx(.flags = "A", .ack = next_of(state));
    cr_assert_eq(mib(LINUX_MIB_TCPSYNCHALLENGE), 1);
    advance_ms(500);
    tx_ignore();
    rx(.flags = "S", .seq = -5000, .opt = "mss 1460"); /* outside the window too (RFC 5961 4.2) */
    tx(.flags = "A", .ack = next_of(state));
    cr_assert_eq(sys_state(s), state);
}

static void ack_of_the_unsent(int state)
{
    struct socket *s = in_state(state);

    rx(.seq = next_of(state), .ack = 5000);
    tx(.flags = "A", .ack = next_of(state));
    cr_assert_eq(sys_state(s), state);
    cr_assert_eq(mib(LINUX_MIB_TCPCHALLENGEACK), 1);
}

Test(state, fin_wait_1_ack_of_what_was_never_sent_gets_an_ack) { ack_of_the_unsent(TCP_FIN_WAIT1); }
Test(state, close_wait_ack_of_what_was_never_sent_gets_an_ack) { ack_of_the_unsent(TCP_CLOSE_WAIT); }
Test(state, last_ack_ack_of_what_was_never_sent_gets_an_ack) { ack_of_the_unsent(TCP_LAST_ACK); }

#define EACH_STATE(name, st, error)                                                                                    \
    Test(state, name##_exact_reset_ends_it) { exact_reset(st, error); }                                                \
    Test(state, name##_other_reset_in_the_window_gets_a_challenge_ack) { inexact_reset(st); }                          \
    Test(state, name##_syn_gets_a_challenge_ack) { syn(st); }

EACH_STATE(established, TCP_ESTABLISHED, ECONNRESET)
EACH_STATE(fin_wait_1, TCP_FIN_WAIT1, ECONNRESET)
EACH_STATE(fin_wait_2, TCP_FIN_WAIT2, ECONNRESET)
EACH_STATE(close_wait, TCP_CLOSE_WAIT, EPIPE)
EACH_STATE(closing, TCP_CLOSING, ECONNRESET)
EACH_STATE(last_ack, TCP_LAST_ACK, ECONNRESET)

/* The peer's RST may carry the number of its FIN: it forgot the connection when our ACK of the FIN was lost. */
static void reset_one_short(int state)
{
    struct socket *s = in_state(state);

    rx(.flags = "R", .seq = 1);
    tx_nothing();
    cr_assert_eq(sys_state(s), TCP_CLOSE);
}

Test(state, close_wait_reset_at_the_fin_ends_it) { reset_one_short(TCP_CLOSE_WAIT); }
Test(state, close_wait_reset_at_the_fin_before_its_ack_went_ends_it)
{
    struct socket *s = script_accepted("mss 1460", 65535);

    cr_assert_eq(sys_setsockopt(s, IPPROTO_TCP, TCP_QUICKACK, 0), 0);
    rx(.len = 100);
    rx(.flags = "FA");
    tx_nothing(); /* its ACK is delayed */
    rx(.flags = "R", .seq = 101);
    tx_nothing();
    cr_assert_eq(sys_state(s), TCP_CLOSE);
}

Test(state, closing_reset_at_the_fin_ends_it) { reset_one_short(TCP_CLOSING); }
Test(state, last_ack_reset_at_the_fin_ends_it) { reset_one_short(TCP_LAST_ACK); }

Test(state, established_reset_behind_the_highest_sack_block_ends_it)
{
    struct socket *s = script_accepted("mss 1460,sackOK", 65535);

    rx(.seq = 101, .len = 100);
    tx(.ack = 1, .opt = "*sack 1 {101:201}");
    rx(.seq = 301, .len = 100);
    tx(.ack = 1, .opt = "*sack 2 {301:401}{101:201}");
    rx(.flags = "R", .seq = 201); /* a lower block's end is no proof */
    tx(.ack = 1);
    cr_assert_eq(sys_state(s), TCP_ESTABLISHED);
    rx(.flags = "R", .seq = 401);
    cr_assert_eq(sys_state(s), TCP_CLOSE);
    cr_assert_eq(sys_error(s), ECONNRESET);
}

Test(state, established_reset_with_a_wrong_ack_field_counts_all_the_same)
{
    struct socket *s = script_accepted("mss 1460", 65535);

    rx(.flags = "RA", .seq = 1, .ack = 5000); /* the sequence number decides */
    cr_assert_eq(sys_state(s), TCP_CLOSE);
}

Test(state, listen_reset_is_ignored)
{
    struct socket *l = sys_listen(80, 10);

    rx(.flags = "R", .seq = 0);
    rx(.flags = "RA", .seq = 0, .ack = 1);
    tx_nothing();
    rx(.flags = "S", .opt = "mss 1460");
    tx(.flags = "SA", .ack = 1);
    rx();
    cr_assert_eq(sys_state(sys_accept_ok(l)), TCP_ESTABLISHED);
}

Test(state, orphan_in_fin_wait_2_reset_ends_it)
{
    struct socket *s = script_accepted("mss 1460", 65535);
    s64 socks;

    sys_close(s);
    tx(.flags = "FA", .seq = 1);
    rx(.ack = 2);
    net_rcu_barrier(script_net);
    socks = atomic_load(&script_net->sock_count);
    rx(.flags = "R", .seq = 1);
    tx_nothing();
    net_rcu_barrier(script_net);
    cr_assert_eq(atomic_load(&script_net->sock_count), socks - 1);
}

Test(state, orphan_in_last_ack_reset_ends_it)
{
    struct socket *s = script_accepted("mss 1460", 65535);

    rx(.flags = "FA");
    advance_ms(50);
    tx(.flags = "A", .ack = 2);
    sys_close(s);
    tx(.flags = "FA", .seq = 1);
    rx(.flags = "R", .seq = 2);
    advance_ms(10000);
    tx_nothing(); /* no FIN again */
    cr_assert_eq(atomic_load(&script_net->orphan_count), 0);
}

/* ---- SYN-SENT: what comes with the peer's SYN ---------------------------------------------------------------------- */

static struct socket *syn_sent(void)
{
    struct socket *s = sys_socket_bound();

    cr_assert_eq(sys_connect(s, SCRIPT_PEER_PORT), -EINPROGRESS);
    tx(.flags = "S");
    return s;
}

Test(state, syn_sent_crossing_syn_with_data_acknowledges_the_syn_alone)
{
    struct socket *s = syn_sent();

    rx(.flags = "S", .len = 100, .opt = "mss 1460");
    tx(.flags = "SA", .seq = 0, .ack = 1); /* as Linux: the data is not kept */
    cr_assert_eq(sys_read(s, 1000), -EAGAIN);
    rx(.seq = 1, .len = 100, .ack = 1);
    tx(.ack = 101);
    cr_assert_eq(sys_state(s), TCP_ESTABLISHED);
    cr_assert_eq(sys_read(s, 1000), 100);
}

Test(state, syn_sent_crossing_syn_with_fin_opens_and_the_fin_must_come_again)
{
    struct socket *s = syn_sent();

    rx(.flags = "SF", .opt = "mss 1460");
    tx(.flags = "SA", .seq = 0, .ack = 1);
    cr_assert_eq(sys_state(s), TCP_SYN_RECV);
    rx(.flags = "FA", .seq = 1, .ack = 1);
    advance_ms(50);
    tx(.flags = "A", .ack = 2);
    cr_assert_eq(sys_state(s), TCP_CLOSE_WAIT);
}

Test(state, syn_sent_synack_with_fin_opens_and_the_fin_must_come_again)
{
    struct socket *s = syn_sent();

    rx(.flags = "SFA", .ack = 1, .opt = "mss 1460");
    tx(.flags = "A", .ack = 1);
    cr_assert_eq(sys_state(s), TCP_ESTABLISHED);
    rx(.flags = "FA", .seq = 1);
    advance_ms(50);
    tx(.flags = "A", .ack = 2);
    cr_assert_eq(sys_state(s), TCP_CLOSE_WAIT);
}

Test(state, syn_sent_synack_with_data_acknowledges_the_syn_alone)
{
    struct socket *s = syn_sent();

    rx(.flags = "SA", .ack = 1, .len = 100, .opt = "mss 1460");
    tx(.flags = "A", .ack = 1);
    rx(.seq = 1, .len = 100);
    tx(.ack = 101);
    cr_assert_eq(sys_read(s, 1000), 100);
}

Test(state, syn_sent_ack_or_fin_alone_is_dropped)
{
    struct socket *s = syn_sent();

    rx(.flags = "A", .seq = 1, .ack = 1);
    rx(.flags = "FA", .seq = 1, .ack = 1);
    rx(.flags = "F", .seq = 1);
    rx(.flags = "P", .seq = 1, .len = 10);
    tx_nothing();
    cr_assert_eq(sys_state(s), TCP_SYN_SENT);
}

/* ---- SYNs that cross, with data ---------------------------------------------------------------------------------- */

Test(state, crossed_syns_of_fast_open_data_goes_again_with_the_ack)
{
    struct socket *s = sys_socket_bound();

    script_net->ipv4.sysctl_tcp_fastopen = 1;
    cr_assert_eq(sys_setsockopt(s, IPPROTO_TCP, TCP_FASTOPEN_NO_COOKIE, 1), 0);
    cr_assert_eq(sys_sendto(s, SCRIPT_PEER_PORT, 100, MSG_FASTOPEN | MSG_DONTWAIT), 100);
    tx(.flags = "S", .len = 100);
    rx(.flags = "S", .opt = "mss 1460");
    tx(.flags = "SA", .seq = 0, .len = 0, .ack = 1);
    rx(.seq = 1, .ack = 1); /* the SYN alone */
    cr_assert_eq(sys_state(s), TCP_ESTABLISHED);
    tx_at(200, .seq = 1, .len = 100, .ack = 1); /* as Linux: by its time-out */
    rx(.ack = 101);
    advance_ms(5000);
    tx_nothing();
}

Test(state, crossed_syns_blocked_writer_sends_when_the_ack_comes)
{
    struct socket *s = syn_sent();

    rx(.flags = "S", .opt = "mss 1460");
    tx(.flags = "SA", .seq = 0, .ack = 1);
    rx_in(30, .seq = 1, .ack = 1);
    cr_assert_eq(sys_write_wait(s, 100), 100);
    tx(.seq = 1, .len = 100, .ack = 1);
    rx(.ack = 101);
}

Test(state, crossed_syns_close_sends_fin_and_waits)
{
    struct socket *s = syn_sent();

    rx(.flags = "S", .opt = "mss 1460");
    tx(.flags = "SA", .seq = 0, .ack = 1);
    sys_close(s); /* RFC 9293 3.10.4: SYN-RECEIVED goes to FIN-WAIT-1 */
    tx(.flags = "FA", .seq = 1, .ack = 1);
    rx(.flags = "FA", .seq = 1, .ack = 2);
    tx(.flags = "A", .ack = 2);
    advance_ms(10000);
    tx_nothing();
}

/* A socket bound to port P that connects to P of its own address meets itself: every segment comes back. (Such a
 * connection never leaves the host, so that the kernel has it; RFC 9293 3.5 asks that the states allow it.) */
Test(state, syn_sent_connection_to_itself_opens_echoes_and_closes)
{
    struct socket *s = syn_sent();

    rx(.flags = "S", .seq = 0, .opt = "mss 1460,sackOK,nop,wscale 7");
    tx(.flags = "SA", .seq = 0, .ack = 1);
    rx(.flags = "SA", .seq = 0, .ack = 1, .opt = "mss 1460,sackOK,nop,wscale 7");
    cr_assert_eq(sys_state(s), TCP_ESTABLISHED);
    tx_ignore();
    cr_assert_eq(sys_write(s, 100), 100);
    tx(.seq = 1, .len = 100, .ack = 1);
    rx(.seq = 1, .len = 100, .ack = 1);
    tx(.seq = 101, .ack = 101);
    rx(.seq = 101, .ack = 101);
    cr_assert_eq(sys_read(s, 1000), 100);
    cr_assert_eq(sys_shutdown(s, SHUT_WR), 0);
    tx(.flags = "FA", .seq = 101, .ack = 101);
    rx(.flags = "FA", .seq = 101, .ack = 101); /* a simultaneous close */
    tx(.flags = "A", .seq = 102, .ack = 102);
    rx(.flags = "A", .seq = 102, .ack = 102);
    cr_assert_eq(sys_read(s, 1000), 0);
    advance_ms(1000);
    tx_nothing();
}

/* ---- FINs that cross, with data --------------------------------------------------------------------------------- */

Test(state, fin_wait_1_crossing_fin_with_data_both_ways)
{
    struct socket *s = script_accepted("mss 1460", 65535);

    sys_write(s, 100);
    tx(.seq = 1, .len = 100);
    cr_assert_eq(sys_shutdown(s, SHUT_WR), 0);
    tx(.flags = "FA", .seq = 101);
    rx(.flags = "FA", .len = 200, .ack = 1); /* sent before ours arrived */
    tx(.flags = "A", .seq = 102, .ack = 202);
    cr_assert_eq(sys_state(s), TCP_CLOSING);
    cr_assert_eq(sys_read(s, 1000), 200);
    cr_assert_eq(sys_read(s, 1000), 0);
    rx(.ack = 101); /* the data, not yet the FIN */
    cr_assert_eq(sys_state(s), TCP_CLOSING);
    rx(.ack = 102);
    rx(.flags = "FA", .seq = 201, .ack = 102); /* TIME-WAIT */
    tx(.flags = "A", .seq = 102, .ack = 202);
}
