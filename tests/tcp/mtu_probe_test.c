/* SPDX-License-Identifier: MIT */
/* Packetisation-layer path MTU discovery (RFC 4821; tcp_mtu_probing 1 and 2): size of the probe, what its
 * acknowledgement and its loss change, when the search ends and begins again, black holes. */

#include "../lib/tcpscript.h"

TestSuite(mtu_probe, .init = script_init, .fini = script_fini);

static u32 cwnd(struct socket *s) { return sys_tcp_info(s).tcpi_snd_cwnd; }

static s64 sent; /* bytes written so far */

/* Write n bytes and let all be acknowledged, in as many rounds as it takes. */
static void all_through(struct socket *s, size_t n)
{
    sent += sys_write(s, n);
    for (int i = 0; i < 200; i++) {
        advance_ms(10);
        if (!tx_ignore())
            break;
        rx(); /* of all that was seen */
    }
    cr_assert_eq(tcp_sk(s->sk)->snd_una, tcp_sk(s->sk)->write_seq);
}

/* MSS 512 (MTU 552) is known to pass, 1500 may. cwnd is above the 11 that a probe needs. */
static struct socket *searching(void)
{
    struct socket *s;

    script_net->ipv4.sysctl_tcp_mtu_probing = 2;
    script_net->ipv4.sysctl_tcp_base_mss = 512;
    script_net->ipv4.sysctl_tcp_early_retrans = 0; /* no tail loss probes between */
    sent = 0;
    s = script_accepted("mss 1460,sackOK", 65535);
    cr_assert_eq(sys_tcp_info(s).tcpi_snd_mss, 512);
    script_net->ipv4.sysctl_tcp_probe_threshold = 2000; /* not yet */
    all_through(s, 20 * 512);
    script_net->ipv4.sysctl_tcp_probe_threshold = 8;
    cr_assert_eq(sys_tcp_info(s).tcpi_snd_mss, 512);
    cr_assert_gt(cwnd(s), 11);
    return s;
}

/* The middle of 552 and 1500 is 1026: 986 bytes. Leaves the probe sent, and `more` segments behind it. */
static void probe_goes(struct socket *s, u32 probe, u32 mss, int more)
{
    s64 n = probe + more * (s64)mss;

    cr_assert_eq(sys_write(s, (size_t)n), n);
    tx(.seq = sent + 1, .len = probe);
    for (int i = 0; i < more; i++)
        tx(.seq = sent + 1 + probe + i * mss, .len = mss);
    tx_nothing();
    sent += n;
}

Test(mtu_probe, established_probe_is_the_middle_of_the_range_and_costs_one_of_the_window)
{
    struct socket *s = searching();
    u32 before = cwnd(s);

    probe_goes(s, 986, 512, 4);
    cr_assert_eq(cwnd(s), before - 1);
    rx();
    tx_ignore();
}

Test(mtu_probe, established_acknowledged_probe_raises_the_mss_and_keeps_the_window_in_bytes)
{
    struct socket *s = searching();
    u32 before;

    probe_goes(s, 986, 512, 4);
    before = cwnd(s);
    rx(.ack = sent - 4 * 512 + 1);
    cr_assert_eq(mib(LINUX_MIB_TCPMTUPSUCCESS), 1);
    cr_assert_eq(sys_tcp_info(s).tcpi_snd_mss, 986);
    cr_assert(cwnd(s) >= before * 552 / 1026 && cwnd(s) <= (before + 2) * 552 / 1026, "%u became %u", before, cwnd(s));
    rx();
    all_through(s, 20 * 986);
}

Test(mtu_probe, recovery_lost_probe_alone_is_resent_in_pieces_and_is_no_congestion)
{
    struct socket *s = searching();
    u32 before = cwnd(s), thresh = sys_tcp_info(s).tcpi_snd_ssthresh;
    s64 at = sent + 1;

    probe_goes(s, 986, 512, 4);
    for (int i = 1; i <= 4; i++) {
        static char sack[64];

        snprintf(sack, sizeof(sack), "nop,nop,sack 1 {%lld:%lld}", (long long)at + 986, (long long)at + 986 + i * 512);
        rx(.ack = at, .opt = sack);
        if (mib(LINUX_MIB_TCPMTUPFAIL))
            break;
    }
    cr_assert_eq(mib(LINUX_MIB_TCPMTUPFAIL), 1);
    tx(.seq = at, .len = 512);
    tx(.seq = at + 512, .len = 474);
    cr_assert_eq(cwnd(s), before);
    cr_assert_eq(sys_tcp_info(s).tcpi_snd_ssthresh, thresh);
    cr_assert_eq(sys_tcp_info(s).tcpi_snd_mss, 512);
    rx();
    tx_ignore();
    cr_assert_eq(inet_csk(s->sk)->icsk_mtup.search_high, 1025);
    probe_goes(s, 788 - 40, 512, 4); /* the middle of 552 and 1025 */
    rx();
    tx_ignore();
}

Test(mtu_probe, loss_time_out_of_the_probe_decides_nothing)
{
    struct socket *s = searching();

    probe_goes(s, 986, 512, 4);
    advance_ms(400);
    tx_ignore();
    cr_assert_eq(inet_csk(s->sk)->icsk_mtup.probe_size, 0);
    cr_assert_eq(inet_csk(s->sk)->icsk_mtup.search_high, 1500);
    cr_assert_eq(inet_csk(s->sk)->icsk_mtup.search_low, 552);
    cr_assert_eq(mib(LINUX_MIB_TCPMTUPFAIL) + mib(LINUX_MIB_TCPMTUPSUCCESS), 0);
    rx();
    all_through(s, 512);
}

Test(mtu_probe, established_too_little_to_send_is_no_probe)
{
    struct socket *s = searching();

    /* 986 and four segments behind it are needed; one byte is missing */
    cr_assert_eq(sys_write(s, 986 + 4 * 512 - 1), 986 + 4 * 512 - 1);
    tx(.len = 512);
    tx_ignore();
    rx();
    tx_ignore();
}

Test(mtu_probe, established_window_of_ten_is_too_small_for_a_probe)
{
    struct socket *s;

    script_net->ipv4.sysctl_tcp_mtu_probing = 2;
    script_net->ipv4.sysctl_tcp_base_mss = 512;
    s = script_accepted("mss 1460,sackOK", 65535);
    cr_assert_eq(sys_write(s, 20 * 512), 20 * 512);
    tx(.len = 512);
    cr_assert_eq(tx_ignore(), 9);
    rx();
    tx_ignore();
    rx();
}

Test(mtu_probe, established_records_are_not_merged_into_a_probe)
{
    struct socket *s = searching();

    cr_assert_eq(sys_setsockopt(s, IPPROTO_TCP, TCP_CORK, 1), 0);
    cr_assert_eq(sys_send(s, 500, MSG_EOR), 500);
    tx_nothing();
    cr_assert_eq(sys_write(s, 4000), 4000);
    tx(.len = 500);
    tx(.len = 512);
    tx_ignore();
    cr_assert_eq(sys_setsockopt(s, IPPROTO_TCP, TCP_CORK, 0), 0);
    tx_ignore();
    rx();
    tx_ignore();
}

Test(mtu_probe, established_probe_waits_for_the_peers_window)
{
    struct socket *s = searching();

    rx(.len = 1, .win = 3300);
    tx_ignore();
    cr_assert_eq(sys_write(s, 512), 512);
    tx(.len = 512);
    rx(.len = 1, .ack = sent + 1, .win = 3300);
    tx_ignore();
    cr_assert_eq(sys_write(s, 4000), 4000); /* 3034 are needed, 2788 are left */
    tx_nothing();
    rx(.win = 3300);
    tx(.len = 986);
    tx_ignore();
    rx(.win = 65535);
    tx_ignore();
    rx();
}

Test(mtu_probe, established_probe_waits_for_room_for_two_in_the_window)
{
    struct socket *s = searching();
    u32 n = cwnd(s) - 1;

    script_net->ipv4.sysctl_tcp_probe_threshold = 2000;
    cr_assert_eq(sys_write(s, n * 512), n * 512);
    cr_assert_eq(tx_ignore(), (int)n);
    script_net->ipv4.sysctl_tcp_probe_threshold = 8;
    cr_assert_eq(sys_write(s, 5000), 5000);
    tx_nothing();
    rx(.ack = sent + 1 + 512);
    tx(.len = 986);
    tx_ignore();
    rx();
    tx_ignore();
    rx();
}

Test(mtu_probe, established_search_ends_within_the_threshold)
{
    struct socket *s = searching();
    u64 probes;

    for (int i = 0; i < 30; i++)
        all_through(s, 60 * 1460);
    cr_assert_gt(sys_tcp_info(s).tcpi_snd_mss, 1460 - 8);
    probes = mib(LINUX_MIB_TCPMTUPSUCCESS);
    cr_assert_geq(probes, 6); /* 948 halved until less than 8 */
    cr_assert_leq(probes, 8);
    for (int i = 0; i < 10; i++)
        all_through(s, 60 * 1460);
    cr_assert_eq(mib(LINUX_MIB_TCPMTUPSUCCESS), probes);
}

Test(mtu_probe, established_search_begins_again_after_the_interval)
{
    struct socket *s = searching();
    u64 probes;

    script_net->ipv4.sysctl_tcp_probe_threshold = 2000; /* no search now */
    all_through(s, 60 * 512);
    cr_assert_eq(mib(LINUX_MIB_TCPMTUPSUCCESS), 0);
    inet_csk(s->sk)->icsk_mtup.search_high = 800; /* as after failures */
    script_net->ipv4.sysctl_tcp_probe_interval = 100;
    advance_ms(99000);
    all_through(s, 60 * 512);
    cr_assert_eq(inet_csk(s->sk)->icsk_mtup.search_high, 800);
    advance_ms(2000);
    all_through(s, 60 * 512);
    cr_assert_eq(inet_csk(s->sk)->icsk_mtup.search_high, 1500);
    script_net->ipv4.sysctl_tcp_probe_threshold = 8;
    probes = mib(LINUX_MIB_TCPMTUPSUCCESS);
    for (int i = 0; i < 5; i++)
        all_through(s, 60 * 512);
    cr_assert_gt(mib(LINUX_MIB_TCPMTUPSUCCESS), probes);
}

/* ---- black holes -------------------------------------------------------------------------------------------------- */

/* The MSS that a connection whose segments all vanish comes to within n seconds. */
static u32 in_a_black_hole(int probing, int base_mss, int floor, int seconds)
{
    struct socket *s;
    u32 mss;

    script_net->ipv4.sysctl_tcp_mtu_probing = probing;
    script_net->ipv4.sysctl_tcp_base_mss = base_mss;
    script_net->ipv4.sysctl_tcp_mtu_probe_floor = floor;
    s = script_accepted("mss 1460", 65535);
    cr_assert_eq(sys_write(s, 1460), 1460);
    advance_ms(seconds * 1000);
    cr_assert_gt(tx_ignore(), 1);
    mss = sys_tcp_info(s).tcpi_snd_mss;
    sys_linger(s, 1, 0);
    sys_close(s);
    tx_ignore();
    return mss;
}

Test(mtu_probe, black_hole_before_tcp_retries1_changes_nothing) { cr_assert_eq(in_a_black_hole(1, 1000, 48, 5), 1460); }
Test(mtu_probe, black_hole_after_tcp_retries1_the_base_mss_is_tried) { cr_assert_eq(in_a_black_hole(1, 1000, 48, 7), 1000); }
Test(mtu_probe, black_hole_that_goes_on_halves_it_at_each_time_out) { cr_assert_eq(in_a_black_hole(1, 1000, 48, 13), 500); }
Test(mtu_probe, black_hole_ends_at_the_floor) { cr_assert_eq(in_a_black_hole(1, 1000, 300, 100), 300); }
Test(mtu_probe, black_hole_with_probing_from_the_start_halves_at_once) { cr_assert_eq(in_a_black_hole(2, 1000, 48, 7), 500); }
