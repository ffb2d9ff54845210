/* SPDX-License-Identifier: MIT */
/* Window scaling and timestamps (RFC 7323): what is agreed on with the SYNs, the scale's edges, which stamp is echoed, PAWS
 * at its edges, round trips from echoes (Karn). */

#include "../lib/tcpscript.h"

TestSuite(rfc7323, .init = script_init, .fini = script_fini);

/* The rest of what was written, however it is cut. */
static void take_all(struct socket *s)
{
    while (sys_tcp_info(s).tcpi_unacked) {
        rx(.win = 65535);
        tx_ignore();
    }
}

#define TS_SYN "mss 1012,sackOK,TS val 100 ecr 0"

/* ---- window scale (2) ------------------------------------------------------------------------------------------ */

Test(rfc7323, syn_sent_without_a_scale_in_the_answer_nobody_scales)
{
    struct socket *s = script_connected("mss 1000", 1000); /* our SYN offered a scale */

    cr_assert_eq(sys_write(s, 5000), 5000);
    tx(.len = 500, .win = 64240); /* our window unscaled; and the peer's 1000 bytes, by halves */
    tx(.len = 500);
    tx_nothing();
    rx(.ack = 1001, .win = 2000);
    cr_assert_eq(tx_ignore(), 4); /* four times 500 */
    take_all(s);
    cr_assert(!(sys_tcp_info(s).tcpi_options & TCPI_OPT_WSCALE));
    cr_assert_leq(tcp_sk(s->sk)->window_clamp, 65535);
}

Test(rfc7323, syn_sent_scale_of_0_is_a_scale)
{
    struct socket *s = script_connected("mss 1000,nop,wscale 0", 1000);
    struct tcp_info info = sys_tcp_info(s);

    cr_assert(info.tcpi_options & TCPI_OPT_WSCALE);
    cr_assert_eq(info.tcpi_snd_wscale, 0);
    cr_assert_gt(info.tcpi_rcv_wscale, 0); /* so we may scale ours */
    sys_write(s, 3000);
    tx(.len = 500);
    tx(.len = 500);
    tx_nothing();
    take_all(s);
}

Test(rfc7323, syn_window_is_not_scaled)
{
    struct socket *l = sys_listen(80, 10), *s;

    rx(.flags = "S", .opt = "mss 1000,nop,wscale 7", .win = 1000); /* 1000 bytes, not 128,000 */
    tx(.flags = "SA", .opt = "mss 1460,nop,wscale 7", .win = 64240);
    rx(.win = 2); /* 256 bytes */
    s = sys_accept_ok(l);
    sys_write(s, 1000);
    tx(.len = 256);
    tx_nothing();
    rx(.win = 100);
    tx_ignore();
    take_all(s);
}

Test(rfc7323, listen_no_scale_in_the_syn_none_in_the_answer)
{
    sys_listen(80, 10);
    rx(.flags = "S", .opt = "mss 1000");
    tx(.flags = "SA", .opt = "mss 1460");
    rx(.flags = "R", .seq = 1);
}

Test(rfc7323, switched_off_scale_is_neither_offered_nor_taken)
{
    script_net->ipv4.sysctl_tcp_window_scaling = 0;
    struct socket *s = sys_socket_bound();

    cr_assert_eq(sys_connect(s, SCRIPT_PEER_PORT), -EINPROGRESS);
    tx(.flags = "S", .opt = "mss 1460,sackOK,TS val 1 ecr 0");
    rx(.flags = "SA", .opt = "mss 1000,nop,wscale 7", .win = 1000);
    tx(.ack = 1);
    sys_write(s, 3000);
    tx(.len = 500);
    tx(.len = 500);
    tx_nothing();
    take_all(s);
}

Test(rfc7323, switched_off_scale_in_a_syn_is_not_answered)
{
    script_net->ipv4.sysctl_tcp_window_scaling = 0;
    sys_listen(80, 10);
    rx(.flags = "S", .opt = "mss 1000,nop,wscale 7");
    tx(.flags = "SA", .opt = "mss 1460");
    rx(.flags = "R", .seq = 1);
}

Test(rfc7323, switched_off_sack_in_a_syn_is_not_answered)
{
    script_net->ipv4.sysctl_tcp_sack = 0;
    sys_listen(80, 10);
    rx(.flags = "S", .opt = "mss 1000,nop,nop,sackOK");
    tx(.flags = "SA", .opt = "mss 1460");
    rx(.flags = "R", .seq = 1);
}

Test(rfc7323, established_scale_option_outside_a_syn_changes_nothing)
{
    struct socket *s = script_accepted("mss 1000,nop,wscale 2", 50);

    rx(.win = 100, .opt = "nop,wscale 7");
    cr_assert_eq(tcp_sk(s->sk)->snd_wnd, 400);
    cr_assert_eq(sys_tcp_info(s).tcpi_snd_wscale, 2);
}

Test(rfc7323, listen_scale_of_14_gives_a_gigabyte)
{
    struct socket *s = script_accepted("mss 1000,nop,wscale 14", 65535);

    rx();
    cr_assert_eq(tcp_sk(s->sk)->snd_wnd, 65535u << 14);
    cr_assert_eq(sys_tcp_info(s).tcpi_snd_wscale, 14);
}

Test(rfc7323, our_scale_follows_the_largest_buffer)
{
    script_net->ipv4.sysctl_tcp_rmem[2] = 64 << 20;
    struct socket *s = sys_socket_bound();

    cr_assert_eq(sys_connect(s, SCRIPT_PEER_PORT), -EINPROGRESS);
    tx(.flags = "S", .opt = "mss 1460,sackOK,TS val 1 ecr 0,nop,wscale 11"); /* 65535 << 10 < 64 MiB <= 65535 << 11 */
    rx(.flags = "RA", .seq = 0, .ack = 1);
}

/* ---- timestamps: agreed with the SYNs (3.2) -------------------------------------------------------------------- */

Test(rfc7323, syn_sent_answer_without_stamp_means_none)
{
    struct socket *s = script_connected("mss 1000", 65535);

    sys_write(s, 100);
    tx(.len = 100, .opt = "");
    rx(.ack = 101, .opt = "nop,nop,TS val 500 ecr 1"); /* a stamp that was not agreed on is not looked at */
    rx(.len = 100, .opt = "nop,nop,TS val 400 ecr 1");
    tx(.ack = 101, .opt = "");
    cr_assert_eq(sys_read(s, 1000), 100);
    cr_assert_eq(mib(LINUX_MIB_PAWSESTABREJECTED), 0);
}

Test(rfc7323, listen_syn_without_stamp_gets_none)
{
    struct socket *s = script_accepted("mss 1000", 65535);

    sys_write(s, 100);
    tx(.len = 100, .opt = "");
    rx();
}

Test(rfc7323, switched_off_stamp_in_a_syn_is_not_answered)
{
    script_net->ipv4.sysctl_tcp_timestamps = 0;
    sys_listen(80, 10);
    rx(.flags = "S", .opt = "mss 1000,sackOK,TS val 100 ecr 0");
    tx(.flags = "SA", .opt = "mss 1460,nop,nop,sackOK");
    rx(.flags = "R", .seq = 1);
}

Test(rfc7323, established_segment_without_its_stamp_is_taken_as_in_linux)
{
    struct socket *s = script_accepted(TS_SYN, 65535);

    rx(.len = 100, .opt = ""); /* 3.2 says that it should be dropped */
    tx(.ack = 101, .opt = "nop,nop,TS val * ecr 100");
    cr_assert_eq(sys_read(s, 1000), 100);
}

Test(rfc7323, syn_sent_echo_of_what_was_never_sent_is_reset)
{
    struct socket *s = sys_socket_bound();

    cr_assert_eq(sys_connect(s, SCRIPT_PEER_PORT), -EINPROGRESS);
    tx(.flags = "S", .opt = "*TS val 1 ecr 0*");
    rx(.flags = "SA", .ack = 1, .opt = "mss 1000,sackOK,TS val 100 ecr 5000");
    tx(.flags = "R", .seq = 1);
    cr_assert_eq(mib(LINUX_MIB_PAWSACTIVEREJECTED), 1);
    cr_assert_eq(sys_state(s), TCP_SYN_SENT);
}

Test(rfc7323, reset_and_fin_carry_a_stamp)
{
    struct socket *s = script_accepted(TS_SYN, 65535);

    cr_assert_eq(sys_shutdown(s, SHUT_WR), 0);
    tx(.flags = "FA", .opt = "nop,nop,TS val * ecr 100");
    sys_linger(s, 1, 0);
    sys_close(s);
    tx(.flags = "RA", .opt = "nop,nop,TS val * ecr 100");
}

/* ---- which stamp is echoed (4.3) --------------------------------------------------------------------------------- */

Test(rfc7323, delayed_ack_echoes_the_earliest_unacknowledged_segment)
{
    struct socket *s = script_accepted(TS_SYN, 65535);

    cr_assert_eq(sys_setsockopt(s, IPPROTO_TCP, TCP_QUICKACK, 0), 0);
    rx(.len = 100, .opt = "nop,nop,TS val 200 ecr 1");
    advance_ms(5);
    rx(.len = 100, .opt = "nop,nop,TS val 205 ecr 1"); /* begins behind Last.ACK.sent: not taken */
    tx_nothing();
    advance_ms(50);
    tx(.ack = 201, .opt = "nop,nop,TS val * ecr 200");
    rx(.len = 100, .opt = "nop,nop,TS val 300 ecr 1");
    advance_ms(50);
    tx(.ack = 301, .opt = "nop,nop,TS val * ecr 300");
}

Test(rfc7323, segment_that_fills_the_hole_gives_its_stamp)
{
    struct socket *s = script_accepted(TS_SYN, 65535);

    rx(.seq = 101, .len = 100, .opt = "nop,nop,TS val 200 ecr 1");
    tx(.ack = 1, .opt = "nop,nop,TS val * ecr 100,*");
    rx(.seq = 1, .len = 100, .opt = "nop,nop,TS val 300 ecr 1");
    tx(.ack = 201, .opt = "nop,nop,TS val * ecr 300");
    cr_assert_eq(sys_read(s, 1000), 200);
}

Test(rfc7323, old_duplicate_does_not_set_the_echo_back)
{
    script_accepted(TS_SYN, 65535);
    rx(.len = 100, .opt = "nop,nop,TS val 300 ecr 1");
    tx(.ack = 101, .opt = "nop,nop,TS val * ecr 300");
    rx(.seq = 1, .len = 100, .opt = "nop,nop,TS val 200 ecr 1");
    tx(.ack = 101, .opt = "nop,nop,TS val * ecr 300*");
}

Test(rfc7323, stamps_go_on_over_the_wrap)
{
    struct socket *s = script_accepted("mss 1012,sackOK,TS val 4294967200 ecr 0", 65535);

    rx(.len = 100, .opt = "nop,nop,TS val 4294967290 ecr 1");
    tx(.ack = 101, .opt = "nop,nop,TS val * ecr 4294967290");
    rx(.len = 100, .opt = "nop,nop,TS val 5 ecr 1");
    tx(.ack = 201, .opt = "nop,nop,TS val * ecr 5");
    rx(.len = 100, .opt = "nop,nop,TS val 4294967295 ecr 1");
    tx(.ack = 201, .opt = "nop,nop,TS val * ecr 5");
    cr_assert_eq(mib(LINUX_MIB_PAWSESTABREJECTED), 1);
    cr_assert_eq(sys_read(s, 1000), 200);
}

Test(rfc7323, equal_stamp_passes_paws_and_one_less_does_too_as_in_linux)
{
    struct socket *s = script_accepted(TS_SYN, 65535);

    rx(.len = 100, .opt = "nop,nop,TS val 300 ecr 1");
    tx(.ack = 101);
    rx(.len = 100, .opt = "nop,nop,TS val 300 ecr 1");
    tx(.ack = 201);
    rx(.len = 100, .opt = "nop,nop,TS val 299 ecr 1"); /* TCP_PAWS_WINDOW: two segments of one tick may change places */
    tx(.ack = 301);
    rx(.len = 100, .opt = "nop,nop,TS val 297 ecr 1");
    tx(.ack = 301);
    cr_assert_eq(mib(LINUX_MIB_PAWSESTABREJECTED), 1);
    cr_assert_eq(sys_read(s, 1000), 300);
}

Test(rfc7323, paws_rejects_a_syn_by_a_challenge_ack)
{
    script_accepted(TS_SYN, 65535);
    rx(.len = 100, .opt = "nop,nop,TS val 300 ecr 1");
    tx(.ack = 101);
    rx(.flags = "S", .seq = 101, .opt = "mss 1000,sackOK,TS val 200 ecr 0");
    tx(.flags = "A", .ack = 101);
    cr_assert_eq(mib(LINUX_MIB_TCPSYNCHALLENGE), 1);
}

Test(rfc7323, paws_answers_pure_acks_twice_a_second_at_most)
{
    struct socket *s = script_accepted(TS_SYN, 65535);

    rx(.len = 100, .opt = "nop,nop,TS val 30000 ecr 1");
    tx(.ack = 101);
    rx(.opt = "nop,nop,TS val 2000 ecr 1");
    tx(.ack = 101);
    rx(.opt = "nop,nop,TS val 2000 ecr 1");
    tx_nothing();
    cr_assert_eq(mib(LINUX_MIB_TCPACKSKIPPEDPAWS), 1);
    rx(.len = 10, .opt = "nop,nop,TS val 2000 ecr 1"); /* data is always answered */
    tx(.ack = 101);
    cr_assert_eq(sys_read(s, 1000), 100);
}

/* ---- round trips from echoes (4.1; RFC 6298 3, Karn) ------------------------------------------------------------- */

Test(rfc7323, retransmitted_segment_gives_a_round_trip_by_its_echo)
{
    struct socket *l = sys_listen(80, 10), *s;
    u32 rto;

    rx(.flags = "S", .opt = TS_SYN);
    tx(.flags = "SA");
    advance_ms(50);
    rx();
    s = sys_accept_ok(l);
    script_net->ipv4.sysctl_tcp_early_retrans = 0;
    sys_write(s, 1000);
    tx(.len = 1000);
    tx_at(250, .seq = 1, .len = 1000);
    tx_at(500, .seq = 1, .len = 1000); /* TS val 801 */
    rto = sys_tcp_info(s).tcpi_rto;
    cr_assert_eq(rto, 1000000);
    advance_ms(50);
    rx(.ack = 1001, .opt = "nop,nop,TS val 900 ecr 801");
    cr_assert_leq(sys_tcp_info(s).tcpi_rto, 260000); /* 50 ms again, and no backing off */
    cr_assert_eq(sys_tcp_info(s).tcpi_backoff, 0);
}

Test(rfc7323, retransmitted_segment_without_stamps_leaves_the_time_out_backed_off)
{
    struct socket *l = sys_listen(80, 10), *s;

    rx(.flags = "S", .opt = "mss 1000");
    tx(.flags = "SA");
    advance_ms(50);
    rx();
    s = sys_accept_ok(l);
    sys_write(s, 1000);
    tx(.len = 1000);
    tx_at(250, .seq = 1, .len = 1000);
    tx_at(500, .seq = 1, .len = 1000);
    advance_ms(50);
    rx(.ack = 1001); /* of which of the three? */
    cr_assert_eq(sys_tcp_info(s).tcpi_rto, 1000000);
    cr_assert_eq(sys_tcp_info(s).tcpi_rtt, 50000);
    sys_write(s, 1000);
    tx(.len = 1000);
    advance_ms(50);
    rx(.ack = 2001);
    cr_assert_leq(sys_tcp_info(s).tcpi_rto, 260000);
}
