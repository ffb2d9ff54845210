/* SPDX-License-Identifier: MIT */
/* Buffers that follow the traffic (tcp(7): tcp_moderate_rcvbuf, tcp_rmem, tcp_wmem), what happens when they are full,
 * and silly windows (RFC 9293 3.8.6.2). */

#include "../lib/tcpscript.h"

TestSuite(autotune, .init = script_init, .fini = script_fini);

#define SCALED "mss 1460,sackOK,TS val 1000 ecr 0,nop,wscale 7"
#define SEG_LEN 1448u

static u32 window(struct socket *s)
{
    u32 w;

    lock_sock(s->sk);
    w = tcp_receive_window(tcp_sk(s->sk));
    release_sock(s->sk);
    return w;
}

static int rmem(struct socket *s) { return atomic_load(&s->sk->sk_rmem_alloc); }
static int rcvbuf(struct socket *s) { return sys_getsockopt_int(s, SOL_SOCKET, SO_RCVBUF); }
static int sndbuf(struct socket *s) { return sys_getsockopt_int(s, SOL_SOCKET, SO_SNDBUF); }

/* A round trip: up to n segments arrive, never quite filling the window, and the program reads them all. */
static void round_of(struct socket *s, u32 n)
{
    ssize_t want = 0;

    advance_ms(50);
    tx_ignore();
    for (u32 i = 0; i < n && window(s) >= 8 * SEG_LEN; i++) {
        rx(.len = SEG_LEN);
        tx_ignore();
        want += SEG_LEN;
    }
    cr_assert_eq(sys_read(s, 8 << 20), want);
    tx_ignore();
}

/* ---- the receive buffer ------------------------------------------------------------------------------------------ */

Test(autotune, receive_buffer_grows_with_what_is_read_per_round_trip)
{
    struct socket *s = script_accepted(SCALED, 65535);
    int before = rcvbuf(s);

    for (u32 i = 0; i < 12; i++)
        round_of(s, 20u << min(i, 5u));
    cr_assert_gt(rcvbuf(s), 3 * before);
    cr_assert_leq(rcvbuf(s), script_net->ipv4.sysctl_tcp_rmem[2]);
    cr_assert_gt(window(s), 2u * 65535);
}

Test(autotune, receive_buffer_stays_for_a_slow_stream)
{
    struct socket *s = script_accepted(SCALED, 65535);
    int before = rcvbuf(s);

    for (u32 i = 0; i < 100; i++) /* in all more than the buffer, but little in a round trip */
        round_of(s, 5);
    cr_assert_eq(rcvbuf(s), before);
}

Test(autotune, receive_buffer_ends_at_tcp_rmem)
{
    struct socket *s = script_accepted(SCALED, 65535);

    script_net->ipv4.sysctl_tcp_rmem[2] = 300000;
    for (u32 i = 0; i < 12; i++)
        round_of(s, 20u << min(i, 5u));
    cr_assert_eq(rcvbuf(s), 300000);
}

Test(autotune, receive_buffer_set_by_the_program_stays)
{
    struct socket *s = script_accepted(SCALED, 65535);

    cr_assert_eq(sys_setsockopt(s, SOL_SOCKET, SO_RCVBUF, 80000), 0);
    for (u32 i = 0; i < 12; i++)
        round_of(s, 20u << min(i, 5u));
    cr_assert_eq(rcvbuf(s), 160000);
    cr_assert_lt(window(s), 160000);
}

Test(autotune, receive_buffer_stays_without_moderation)
{
    struct socket *s = script_accepted(SCALED, 65535);
    int before = rcvbuf(s);

    script_net->ipv4.sysctl_tcp_moderate_rcvbuf = 0;
    for (u32 i = 0; i < 12; i++)
        round_of(s, 30);
    cr_assert_eq(rcvbuf(s), before);
    script_net->ipv4.sysctl_tcp_moderate_rcvbuf = 1;
    for (u32 i = 0; i < 4; i++)
        round_of(s, 32 + i); /* the same with it: more is read than before */
    cr_assert_gt(rcvbuf(s), before);
}

/* ---- the send buffer --------------------------------------------------------------------------------------------- */

/* The program keeps the buffer full for some round trips. */
static void write_rounds(struct socket *s, int rounds)
{
    while (rounds--) {
        while (sys_write(s, 20000) > 0)
            ;
        advance_ms(50);
        tx_ignore();
        rx();
        tx_ignore();
    }
}

Test(autotune, send_buffer_grows_with_the_congestion_window)
{
    struct socket *s = script_accepted(SCALED, 65535);
    u32 cwnd = sys_tcp_info(s).tcpi_snd_cwnd;
    int before = sndbuf(s);

    write_rounds(s, 12);
    cr_assert_gt(sys_tcp_info(s).tcpi_snd_cwnd, 4 * cwnd);
    cr_assert_gt(sndbuf(s), 2 * before);
    cr_assert_leq(sndbuf(s), script_net->ipv4.sysctl_tcp_wmem[2]);
    cr_assert_geq(sndbuf(s), min((int)(sys_tcp_info(s).tcpi_snd_cwnd * SEG_LEN), script_net->ipv4.sysctl_tcp_wmem[2]),
                  "room for a window at least");
    advance_ms(100);
    tx_ignore();
    rx();
    tx_ignore();
}

Test(autotune, send_buffer_set_by_the_program_stays)
{
    struct socket *s = script_accepted(SCALED, 65535);

    cr_assert_eq(sys_setsockopt(s, SOL_SOCKET, SO_SNDBUF, 30000), 0);
    write_rounds(s, 12);
    cr_assert_eq(sndbuf(s), 60000);
    advance_ms(100);
    tx_ignore();
    rx();
    tx_ignore();
}

/* ---- full ---------------------------------------------------------------------------------------------------------- */

Test(autotune, out_of_order_data_is_pruned_when_the_buffer_is_full)
{
    struct socket *s = script_accepted("mss 1460,sackOK", 65535);
    int n = 0;

    cr_assert_eq(sys_setsockopt(s, SOL_SOCKET, SO_RCVBUF, 10000), 0);
    for (u32 seq = 2001; seq < 60000 && !mib(LINUX_MIB_TCPOFODROP); seq += 2000, n++) {
        rx(.seq = seq, .len = 1000);
        tx_ignore();
    }
    cr_assert_gt(n, 3);
    cr_assert_eq(mib(LINUX_MIB_TCPOFODROP), 1, "the furthest is what is dropped");
    cr_assert_geq(mib(LINUX_MIB_PRUNECALLED), 1);
    cr_assert_eq(mib(LINUX_MIB_OFOPRUNED), 0);

    /* Nearer data takes the place of further data. */
    for (u32 seq = 1001; seq < 6000 && !mib(LINUX_MIB_OFOPRUNED); seq += 2000) {
        rx(.seq = seq, .len = 900);
        tx_ignore();
    }
    cr_assert_geq(mib(LINUX_MIB_OFOPRUNED), 1);
    cr_assert_geq(drops(SKB_DROP_REASON_TCP_OFO_QUEUE_PRUNE), 1);
    cr_assert_leq(rmem(s), rcvbuf(s) + 8192, "never more than one packet above the limit");

    /* The peer sends all of it again: nothing was lost for good. */
    for (u32 seq = 1; seq < 20000; seq += 1000) {
        rx(.seq = seq, .len = 1000);
        tx_ignore();
        sys_read(s, 60000);
        tx_ignore();
    }
    cr_assert_geq(sys_tcp_info(s).tcpi_bytes_received, 20000);
}

Test(autotune, small_segments_are_collapsed_before_anything_is_dropped)
{
    struct socket *s = script_accepted("mss 1460,sackOK", 65535);
    ssize_t n, total = 0;

    cr_assert_eq(sys_setsockopt(s, SOL_SOCKET, SO_RCVBUF, 10000), 0);
    for (int i = 0; i < 200; i++) {
        rx(.len = 10);
        tx_ignore();
    }
    cr_assert_gt(mib(LINUX_MIB_TCPRCVCOLLAPSED), 0);
    cr_assert_eq(mib(LINUX_MIB_RCVPRUNED), 0);
    cr_assert_eq(drops(SKB_DROP_REASON_PROTO_MEM), 0);
    while ((n = sys_read(s, 3000)) > 0)
        total += n;
    cr_assert_eq(total, 2000);
    advance_ms(300);
    tx_ignore();
}

Test(autotune, no_memory_at_all_closes_the_window_and_loses_nothing)
{
    struct socket *s = script_accepted("mss 1460,sackOK", 65535);
    ssize_t n, total = 0;
    u32 in = 0;

    for (int i = 0; i < 3; i++) {
        script_net->ipv4.sysctl_tcp_mem[i] = 1;
    }
    while (in < 40000 && !drops(SKB_DROP_REASON_PROTO_MEM)) {
        rx(.seq = 1 + in, .len = 1000);
        if (!drops(SKB_DROP_REASON_PROTO_MEM))
            in += 1000;
        else
            tx(.ack = 1 + in, .win = 0);
        tx_ignore();
    }
    cr_assert_lt(in, 40000);
    cr_assert_geq(mib(LINUX_MIB_TCPRCVQDROP), 1);
    for (int i = 0; i < 3; i++)
        script_net->ipv4.sysctl_tcp_mem[i] = 100000;
    while ((n = sys_read(s, 50000)) > 0)
        total += n;
    cr_assert_eq(total, in);
    tx_ignore();
    rx(.seq = 1 + in, .len = 1000);
    tx_ignore();
    cr_assert_eq(sys_read(s, 50000), 1000);
    advance_ms(300);
    tx_ignore();
}

/* ---- closed and silly windows ---------------------------------------------------------------------------------------- */

/* A connection with a small receive buffer whose program does not read, filled; *in: the bytes taken. */
static struct socket *filled(u32 *in)
{
    struct socket *l = sys_listen(80, 10), *s;
    u32 w;

    cr_assert_eq(sys_setsockopt(l, SOL_SOCKET, SO_RCVBUF, 10000), 0);
    rx(.flags = "S", .opt = "mss 1460");
    tx(.flags = "SA", .ack = 1);
    rx();
    s = sys_accept_ok(l);
    *in = 0;
    for (int i = 0; i < 200 && (w = window(s)); i++) {
        rx(.seq = 1 + *in, .len = min(w, 1000u));
        advance_ms(50);
        tx_ignore();
        *in = (u32)sys_tcp_info(s).tcpi_bytes_received;
    }
    cr_assert_eq(window(s), 0);
    return s;
}

Test(autotune, zero_window_takes_nothing_and_answers_probes)
{
    u32 in;
    struct socket *s = filled(&in);

    cr_assert_geq(mib(LINUX_MIB_TCPTOZEROWINDOWADV), 1);
    advance_ms(1000);
    rx(.seq = 1 + in, .len = 1); /* a probe with data */
    tx(.ack = 1 + in, .win = 0);
    rx(.seq = in); /* a probe without */
    tx(.ack = 1 + in, .win = 0);
    cr_assert_geq(mib(LINUX_MIB_TCPZEROWINDOWDROP) + drops(SKB_DROP_REASON_TCP_INVALID_SEQUENCE), 1);
    cr_assert_eq(sys_read(s, 1 << 20), in);
    tx(.ack = 1 + in);
    cr_assert_geq(mib(LINUX_MIB_TCPFROMZEROWINDOWADV), 1);
    cr_assert_geq(window(s), 1460);
}

Test(autotune, silly_window_is_not_offered)
{
    u32 in, left;
    struct socket *s = filled(&in);

    left = in;
    /* The program reads a little at a time: no update until there is room for a segment. */
    while (left && !window(s)) {
        u32 n = min(left, 100u);

        cr_assert_eq(sys_read(s, n), n);
        left -= n;
        if (!window(s))
            tx_nothing();
        else
            tx(.ack = 1 + in);
    }
    cr_assert_geq(window(s), 1000, "a whole segment of the peer's, or nothing");
    cr_assert_leq(left, in - 1000);
}

Test(autotune, sender_takes_half_the_largest_window_of_a_small_buffer)
{
    struct socket *s = script_accepted("mss 1460", 1000);

    sys_write(s, 3000);
    tx(.seq = 1, .len = 500);
    tx(.seq = 501, .len = 500);
    tx_nothing();
    rx(.ack = 501, .win = 600); /* 100 free: silly */
    tx_nothing();
    rx(.ack = 1001, .win = 1000);
    tx(.seq = 1001, .len = 500);
    tx(.seq = 1501, .len = 500);
    rx(.ack = 2001, .win = 1000);
    tx(.seq = 2001, .len = 500);
    tx(.seq = 2501, .len = 500);
    rx(.ack = 3001);
}

Test(autotune, sender_waits_for_a_whole_segment_of_window)
{
    struct socket *s = script_accepted("mss 1000", 65535);

    sys_write(s, 2500);
    tx(.seq = 1, .len = 1000);
    tx(.seq = 1001, .len = 1000);
    tx(.seq = 2001, .len = 500);
    rx(.ack = 2501, .win = 0);
    sys_write(s, 3000);
    tx_nothing();
    rx(.ack = 2501, .win = 999);
    tx_nothing();
    rx(.ack = 2501, .win = 1500);
    tx(.seq = 2501, .len = 1000);
    tx(.seq = 3501, .len = 500); /* nothing was in flight: Nagle does not hold the rest of the window */
    tx_nothing();
    rx(.ack = 3501, .win = 1400); /* 900 free */
    tx_nothing();
    rx(.ack = 4001, .win = 5000);
    tx(.seq = 4001, .len = 1000);
    tx(.seq = 5001, .len = 500);
    rx(.ack = 5501);
}

/* Copying each into a new 4 KiB buffer, and again at every further prune, made rmem larger, not smaller. */
Test(autotune, prune_does_not_copy_out_of_order_segments_that_stand_alone)
{
    struct socket *s = script_accepted("mss 1460,sackOK", 65535);

    cr_assert_eq(sys_setsockopt(s, SOL_SOCKET, SO_RCVBUF, 10000), 0);
    for (u32 seq = 2001; seq < 60000 && !mib(LINUX_MIB_TCPOFODROP); seq += 1000) {
        rx(.seq = seq, .len = 500);
        tx_ignore();
    }
    cr_assert_eq(mib(LINUX_MIB_TCPRCVCOLLAPSED), 0);
}

/* Prune with `lone` segments between holes and adjacent ones behind them; returns how many were collapsed. */
static u64 collapsed_behind(u32 lone)
{
    struct socket *s = script_accepted("mss 1460,sackOK", 65535);
    u32 seq = 2001;

    cr_assert_eq(sys_setsockopt(s, SOL_SOCKET, SO_RCVBUF, 30000), 0);
    while (rmem(s) < lone) {
        rx(.seq = seq, .len = 10);
        tx_ignore();
        seq += 20;
    }
    for (int i = 0; i < 200 && !mib(LINUX_MIB_PRUNECALLED); i++) {
        rx(.seq = seq, .len = 10);
        tx_ignore();
        seq += 10;
    }
    cr_assert_geq(mib(LINUX_MIB_PRUNECALLED), 1);
    return mib(LINUX_MIB_TCPRCVCOLLAPSED);
}

Test(autotune, prune_collapses_out_of_order_segments_behind_a_few_lone_ones)
{
    cr_assert_gt(collapsed_behind(5000), 0);
}

/* Else a peer that sends one byte behind each hole makes every segment of its walk the whole queue. */
Test(autotune, prune_gives_up_on_a_queue_of_lone_segments_after_an_eighth_of_the_buffer)
{
    cr_assert_eq(collapsed_behind(9000), 0);
}
