/* SPDX-License-Identifier: MIT */
/* Explicit congestion notification (RFC 3168): how it is agreed on, what is marked ECT and what is not, the
 * receiver's echo and the sender's answer to it. TOS 2 is ECT(0), 3 is CE. */

#include "../lib/tcpscript.h"

TestSuite(ecn, .init = script_init, .fini = script_fini);

#define ECT0 2
#define CE 3

/* A client's connection that has (or, with other flags in its SYN, has not) agreed on ECN, and a round trip of 50 ms. */
static struct socket *accepted(const char *syn_flags, const char *synack_flags)
{
    struct socket *l = sys_listen(80, 10), *s;

    rx(.flags = syn_flags, .opt = "mss 1000,sackOK");
    tx(.flags = synack_flags, .ack = 1, .tos = 0);
    advance_ms(50);
    rx();
    s = sys_accept_ok(l);
    sys_close(l);
    return s;
}

static bool agreed(struct socket *s) { return sys_tcp_info(s).tcpi_options & TCPI_OPT_ECN; }

/* ---- negotiation ------------------------------------------------------------------------------------- */

Test(ecn, active_open_asks_with_ece_and_cwr_and_agrees_on_ece)
{
    struct socket *s = sys_socket_bound();

    script_net->ipv4.sysctl_tcp_ecn = 1;
    cr_assert_eq(sys_connect(s, SCRIPT_PEER_PORT), -EINPROGRESS);
    tx(.flags = "SEW", .tos = 0);
    rx(.flags = "SAE", .opt = "mss 1000");
    tx(.ack = 1, .tos = 0);
    cr_assert(agreed(s));
    sys_write(s, 500);
    tx(.len = 500, .tos = ECT0);
    rx();
}

Test(ecn, active_open_does_not_ask_by_default)
{
    struct socket *s = script_connected("mss 1000", 65535); /* its SYN has no flag but S */

    cr_assert(!agreed(s));
}

Test(ecn, active_open_does_not_ask_when_switched_off)
{
    script_net->ipv4.sysctl_tcp_ecn = 0;
    struct socket *s = script_connected("mss 1000", 65535);

    cr_assert(!agreed(s));
    sys_write(s, 500);
    tx(.len = 500, .tos = 0);
    rx();
}

Test(ecn, synack_without_ece_is_a_refusal)
{
    struct socket *s = sys_socket_bound();

    script_net->ipv4.sysctl_tcp_ecn = 1;
    cr_assert_eq(sys_connect(s, SCRIPT_PEER_PORT), -EINPROGRESS);
    tx(.flags = "SEW");
    rx(.flags = "SA", .opt = "mss 1000");
    tx(.ack = 1);
    cr_assert(!agreed(s));
    sys_write(s, 500);
    tx(.len = 500, .tos = 0);
    rx();
}

Test(ecn, synack_that_mirrors_both_flags_is_a_refusal)
{
    struct socket *s = sys_socket_bound();

    script_net->ipv4.sysctl_tcp_ecn = 1;
    cr_assert_eq(sys_connect(s, SCRIPT_PEER_PORT), -EINPROGRESS);
    tx(.flags = "SEW");
    rx(.flags = "SAEW", .opt = "mss 1000");
    tx(.ack = 1);
    cr_assert(!agreed(s));
}

Test(ecn, lost_ecn_setup_syn_goes_again_without)
{
    struct socket *s = sys_socket_bound();

    script_net->ipv4.sysctl_tcp_ecn = 1;
    cr_assert_eq(sys_connect(s, SCRIPT_PEER_PORT), -EINPROGRESS);
    tx(.flags = "SEW");
    tx_at(1000, .flags = "S", .seq = 0);
    tx_at(1000, .flags = "S", .seq = 0);
    rx(.flags = "SA", .opt = "mss 1000");
    tx(.ack = 1);
    cr_assert(!agreed(s));
}

Test(ecn, lost_ecn_setup_syn_asks_again_without_the_fallback)
{
    struct socket *s = sys_socket_bound();

    script_net->ipv4.sysctl_tcp_ecn = 1;
    script_net->ipv4.sysctl_tcp_ecn_fallback = 0;
    cr_assert_eq(sys_connect(s, SCRIPT_PEER_PORT), -EINPROGRESS);
    tx(.flags = "SEW");
    tx_at(1000, .flags = "SEW", .seq = 0);
    rx(.flags = "SAE", .opt = "mss 1000");
    tx(.ack = 1);
    cr_assert(agreed(s));
}

Test(ecn, late_answer_to_the_ecn_setup_syn_agrees_though_it_went_again_without)
{
    struct socket *s = sys_socket_bound();

    script_net->ipv4.sysctl_tcp_ecn = 1;
    cr_assert_eq(sys_connect(s, SCRIPT_PEER_PORT), -EINPROGRESS);
    tx(.flags = "SEW");
    tx_at(1000, .flags = "S", .seq = 0);
    rx(.flags = "SAE", .opt = "mss 1000");
    tx(.ack = 1);
    cr_assert(agreed(s));
}

Test(ecn, modes_of_accurate_ecn_ask_and_agree_as_without_it)
{
    static const bool asks[] = {[3] = true, [4] = true, [5] = false};

    for (u16 mode = 3; mode <= 5; mode++) {
        struct socket *s = sys_socket_bound();

        script_net->ipv4.sysctl_tcp_ecn = mode;
        cr_assert_eq(sys_connect(s, SCRIPT_PEER_PORT + mode), -EINPROGRESS);
        tx(.flags = asks[mode] ? "SEW" : "S");
        rx(.flags = "RA", .seq = 0, .ack = 1);
        sys_close(s);
        script_flow(SCRIPT_PEER_PORT + mode, 80);
        cr_assert(agreed(accepted("SEW", "SAE")), "mode %u", mode);
    }
}

Test(ecn, simultaneous_open_agrees_on_both_ecn_setup_syns)
{
    struct socket *s = sys_socket_bound();

    script_net->ipv4.sysctl_tcp_ecn = 1;
    cr_assert_eq(sys_connect(s, SCRIPT_PEER_PORT), -EINPROGRESS);
    tx(.flags = "SEW");
    rx(.flags = "SEW", .opt = "mss 1000");
    tx(.flags = "SAE", .seq = 0, .ack = 1);
    rx(.ack = 1);
    cr_assert_eq(sys_state(s), TCP_ESTABLISHED);
    cr_assert(agreed(s));
}

Test(ecn, simultaneous_open_with_a_plain_syn_is_a_refusal)
{
    struct socket *s = sys_socket_bound();

    script_net->ipv4.sysctl_tcp_ecn = 1;
    cr_assert_eq(sys_connect(s, SCRIPT_PEER_PORT), -EINPROGRESS);
    tx(.flags = "SEW");
    rx(.flags = "S", .opt = "mss 1000");
    tx(.flags = "SA", .seq = 0, .ack = 1);
    rx(.ack = 1);
    cr_assert(!agreed(s));
}

Test(ecn, passive_open_agrees_with_ece_alone_by_default)
{
    struct socket *s = accepted("SEW", "SAE");

    cr_assert(agreed(s));
    sys_write(s, 500);
    tx(.len = 500, .tos = ECT0);
    rx();
}

Test(ecn, passive_open_says_ece_again_in_a_retransmitted_synack)
{
    struct socket *l = sys_listen(80, 10);

    rx(.flags = "SEW", .opt = "mss 1000");
    tx(.flags = "SAE", .ack = 1);
    tx_at(1000, .flags = "SAE", .seq = 0, .ack = 1, .tos = 0);
    rx();
    cr_assert(agreed(sys_accept_ok(l)));
}

Test(ecn, passive_open_refuses_when_switched_off)
{
    script_net->ipv4.sysctl_tcp_ecn = 0;
    struct socket *s = accepted("SEW", "SA");

    cr_assert(!agreed(s));
    sys_write(s, 500);
    tx(.len = 500, .tos = 0);
    rx();
}

Test(ecn, passive_open_takes_one_flag_alone_for_no_request)
{
    struct socket *l = sys_listen(80, 10);

    rx(.flags = "SE", .opt = "mss 1000");
    tx(.flags = "SA", .ack = 1);
    rx();
    cr_assert(!agreed(sys_accept_ok(l)));
    rx(.flags = "SW", .sport = 700, .opt = "mss 1000");
    tx(.flags = "SA", .ack = 1);
    rx();
    cr_assert(!agreed(sys_accept_ok(l)));
}

Test(ecn, passive_open_refuses_a_syn_that_is_itself_marked)
{
    struct socket *l = sys_listen(80, 10);

    rx(.flags = "SEW", .tos = ECT0, .opt = "mss 1000"); /* RFC 3168 6.1.1: a host must not set ECT on SYN */
    tx(.flags = "SA", .ack = 1);
    rx();
    cr_assert(!agreed(sys_accept_ok(l)));
}

/* ---- receiver ---------------------------------------------------------------------------------------- */

Test(ecn, established_ce_is_echoed_until_cwr)
{
    struct socket *s = accepted("SEW", "SAE");

    rx(.len = 1000, .tos = CE);
    tx(.flags = "AE", .ack = 1001, .tos = 0);
    rx(.len = 1000, .tos = ECT0);
    tx(.flags = "AE", .ack = 2001);
    cr_assert_eq(sys_write(s, 100), 100);
    tx(.flags = "PAE", .len = 100, .tos = ECT0);
    rx(.flags = "PAW", .len = 1000, .tos = ECT0);
    tx(.flags = "A", .ack = 3001); /* at once: the sender waits for the end of ECE */
    cr_assert(sys_tcp_info(s).tcpi_options & TCPI_OPT_ECN_SEEN);
    cr_assert_eq(sys_read(s, 5000), 3000);
    tx_ignore();
}

Test(ecn, established_ce_with_cwr_begins_a_new_echo)
{
    accepted("SEW", "SAE");
    rx(.len = 1000, .tos = CE);
    tx(.flags = "AE", .ack = 1001);
    rx(.flags = "PAW", .len = 1000, .tos = CE);
    tx(.flags = "AE", .ack = 2001);
}

Test(ecn, established_ce_on_out_of_order_data_is_echoed)
{
    accepted("SEW", "SAE");
    rx(.seq = 1001, .len = 1000, .tos = CE);
    tx(.flags = "AE", .ack = 1, .opt = "nop,nop,sack 1 {1001:2001}");
    rx(.seq = 1, .len = 1000, .tos = ECT0);
    tx(.flags = "AE", .ack = 2001);
}

Test(ecn, established_ce_without_agreement_is_not_echoed)
{
    accepted("S", "SA");
    rx(.len = 1000, .tos = CE);
    advance_ms(100);
    tx(.flags = "A", .ack = 1001);
    rx(.len = 1000, .tos = CE);
    advance_ms(100);
    tx(.flags = "A", .ack = 2001);
}

/* ---- sender ------------------------------------------------------------------------------------------ */

Test(ecn, established_ece_reduces_the_window_and_cwr_goes_once)
{
    struct socket *s = accepted("SEW", "SAE");

    sys_write(s, 10000);
    cr_assert_eq(tx_ignore(), 10);
    advance_ms(50);
    rx(.flags = "AE", .ack = 1001);
    tx_nothing();
    cr_assert_eq(sys_tcp_info(s).tcpi_ca_state, TCP_CA_CWR);
    cr_assert_eq(sys_tcp_info(s).tcpi_snd_ssthresh, 7);
    cr_assert_eq(sys_tcp_info(s).tcpi_delivered_ce, 1);
    rx(.flags = "AE", .ack = 9001); /* the same window: no second reduction */
    cr_assert_eq(sys_tcp_info(s).tcpi_snd_ssthresh, 7);
    sys_write(s, 700);
    tx(.flags = "PAW", .len = 700, .tos = ECT0);
    rx(.ack = 10701);
    cr_assert_eq(sys_tcp_info(s).tcpi_ca_state, TCP_CA_Open);
    cr_assert_eq(sys_tcp_info(s).tcpi_snd_cwnd, 7);
    sys_write(s, 700);
    tx(.flags = "PA", .len = 700, .tos = ECT0);
    rx();
    cr_assert_eq(sys_tcp_info(s).tcpi_total_retrans, 0);
}

Test(ecn, established_ece_counts_what_it_acknowledges_once)
{
    struct socket *s = script_accepted("mss 1000", 65535); /* no SACK: the ACKs themselves count */

    tcp_sk(s->sk)->ecn_flags = TCP_ECN_OK;
    sys_write(s, 10000);
    cr_assert_eq(tx_ignore(), 10);
    rx(.flags = "AE", .ack = 4001);
    cr_assert_eq(sys_tcp_info(s).tcpi_delivered_ce, 4);
    cr_assert_eq(mib(LINUX_MIB_TCPDELIVEREDCE), 4);
    rx(.ack = 10001);
    cr_assert_eq(sys_tcp_info(s).tcpi_delivered_ce, 4);
}

Test(ecn, established_ece_in_the_next_window_reduces_again)
{
    struct socket *s = accepted("SEW", "SAE");

    sys_write(s, 10000);
    cr_assert_eq(tx_ignore(), 10);
    advance_ms(50);
    rx(.flags = "AE", .ack = 10001);
    cr_assert_eq(sys_tcp_info(s).tcpi_snd_ssthresh, 7);
    sys_write(s, 2000);
    tx(.flags = "AW", .len = 1000, .tos = ECT0);
    tx(.flags = "PA", .len = 1000, .tos = ECT0); /* cut from the same packet: CWR is of the first alone */
    rx(.ack = 12001);
    cr_assert_eq(sys_tcp_info(s).tcpi_ca_state, TCP_CA_Open);
    sys_write(s, 1000);
    tx(.flags = "PA", .len = 1000);
    rx(.flags = "AE", .ack = 13001);
    cr_assert_lt(sys_tcp_info(s).tcpi_snd_ssthresh, 7);
    sys_write(s, 1000);
    tx(.flags = "PAW", .len = 1000);
    rx();
}

Test(ecn, cwr_state_lasts_until_something_beyond_is_acknowledged)
{
    struct socket *s = accepted("SEW", "SAE");

    sys_write(s, 10000);
    cr_assert_eq(tx_ignore(), 10);
    advance_ms(50);
    rx(.flags = "AE", .ack = 1001);
    rx(.ack = 10001); /* all that was in flight, and not yet a segment with CWR */
    cr_assert_eq(sys_tcp_info(s).tcpi_ca_state, TCP_CA_CWR);
    sys_write(s, 1000);
    tx(.flags = "PAW", .len = 1000);
    rx(.ack = 11001);
    cr_assert_eq(sys_tcp_info(s).tcpi_ca_state, TCP_CA_Open);
}

/* BBR v1 has no answer to marks, as in Linux; the peer is answered all the same. */
Test(ecn, established_ece_does_not_slow_bbr_and_cwr_goes)
{
    struct socket *s = accepted("SEW", "SAE");

    cr_assert_eq(s->ops->setsockopt(s, IPPROTO_TCP, TCP_CONGESTION, "bbr", 3), 0);
    sys_write(s, 10000);
    advance_ms(50);
    cr_assert_eq(tx_ignore(), 10);
    rx(.flags = "AE", .ack = 10001);
    cr_assert_geq(sys_tcp_info(s).tcpi_snd_cwnd, 20);
    sys_write(s, 1000);
    advance_ms(50);
    tx(.flags = "PAW", .len = 1000, .tos = ECT0);
    rx();
}

/* A segment is lost, as RACK believes, and the first or second ACK (or none) is marked; the original was only late. */
static void late_original(const char *flags, const char *later_flags)
{
    struct socket *l = sys_listen(80, 10), *s;

    rx(.flags = "SEW", .opt = "mss 1012,sackOK,TS val 100 ecr 0");
    tx(.flags = "SAE");
    advance_ms(50);
    rx();
    s = sys_accept_ok(l);
    sys_write(s, 10000);
    cr_assert_eq(tx_ignore(), 10);
    advance_ms(50);
    rx(.flags = flags, .ack = 1, .opt = "nop,nop,TS val 200 ecr 51,nop,nop,sack 1 {1001:4001}");
    tx(.seq = 1, .len = 1000);
    cr_assert_eq(sys_tcp_info(s).tcpi_snd_ssthresh, 7);
    rx(.flags = later_flags, .ack = 1, .opt = "nop,nop,TS val 200 ecr 51,nop,nop,sack 1 {1001:5001}");
    rx(.ack = 10001, .opt = "nop,nop,TS val 201 ecr 51");
    cr_assert_eq(sys_tcp_info(s).tcpi_ca_state, TCP_CA_Open);
    if (strchr(flags, 'E') || strchr(later_flags, 'E')) /* the losses were none, but the mark was one */
        cr_assert_eq(sys_tcp_info(s).tcpi_snd_ssthresh, 7);
    else
        cr_assert_gt(sys_tcp_info(s).tcpi_snd_ssthresh, 1000000);
}

Test(ecn, recovery_that_began_with_ece_is_not_undone)
{
    late_original("AE", "A");
}

Test(ecn, recovery_that_meets_ece_is_not_undone)
{
    late_original("A", "AE");
}

Test(ecn, recovery_without_ece_is_undone)
{
    late_original("A", "A");
}

Test(ecn, established_ece_without_agreement_is_ignored)
{
    struct socket *s = accepted("S", "SA");

    sys_write(s, 10000);
    cr_assert_eq(tx_ignore(), 10);
    advance_ms(50);
    rx(.flags = "AE", .ack = 1001);
    cr_assert_eq(sys_tcp_info(s).tcpi_ca_state, TCP_CA_Open);
    cr_assert_geq(sys_tcp_info(s).tcpi_snd_cwnd, 10);
    rx(.ack = 10001);
    sys_write(s, 100);
    tx(.flags = "PA", .len = 100, .tos = 0);
    rx();
}

Test(ecn, recovery_retransmission_is_not_ect_and_new_data_says_cwr)
{
    struct socket *s = accepted("SEW", "SAE");

    sys_write(s, 10000);
    cr_assert_eq(tx_ignore(), 10);
    advance_ms(50);
    rx(.ack = 1, .opt = "nop,nop,sack 1 {1001:10001}");
    tx(.flags = "A", .seq = 1, .len = 1000, .tos = 0);
    sys_write(s, 500);
    tx(.flags = "PAW", .seq = 10001, .len = 500, .tos = ECT0);
    rx(.ack = 10501);
    sys_write(s, 500);
    tx(.flags = "PA", .seq = 10501, .len = 500, .tos = ECT0);
    rx();
}

Test(ecn, loss_retransmission_after_timeout_is_not_ect_and_without_cwr)
{
    struct socket *s = accepted("SEW", "SAE");

    script_net->ipv4.sysctl_tcp_early_retrans = 0; /* no probe before the time-out */
    sys_write(s, 700);
    tx(.flags = "PA", .len = 700, .tos = ECT0);
    tx_at(250, .flags = "PA", .seq = 1, .len = 700, .tos = 0);
    rx(.ack = 701);
    sys_write(s, 700);
    tx(.flags = "PAW", .len = 700, .tos = ECT0);
    rx();
}

Test(ecn, established_window_probe_and_window_update_are_not_ect)
{
    struct socket *s = accepted("SEW", "SAE");

    rx(.win = 0);
    sys_write(s, 700);
    tx_nothing();
    advance_ms(300);
    tx(.seq = 0, .tos = 0);
    rx(.win = 65535);
    tx(.seq = 1, .len = 700, .tos = ECT0);
    rx(.len = 100, .tos = ECT0);
    advance_ms(100);
    tx(.ack = 101, .tos = 0);
}

Test(ecn, established_tos_of_the_program_keeps_the_ecn_bits)
{
    struct socket *s = accepted("SEW", "SAE");

    cr_assert_eq(sys_setsockopt(s, IPPROTO_IP, IP_TOS, 0x10), 0);
    sys_write(s, 700);
    tx(.len = 700, .tos = 0x10 | ECT0);
    rx();
    rx(.len = 100, .tos = ECT0);
    advance_ms(100);
    tx(.ack = 101, .tos = 0x10);
}
