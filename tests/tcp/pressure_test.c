/* SPDX-License-Identifier: MIT */
/* When memory is short (tcp(7): tcp_mem): windows fall, queues are pruned, and nothing that was acknowledged is lost. */

#include "../lib/tcpscript.h"

TestSuite(pressure, .init = script_init, .fini = script_fini);

#define SCALED "mss 1460,sackOK,nop,wscale 7"
#define FOUR_SEGMENTS (4u * 1460)

/* tcp_mem in pages; the first mark does not matter here. */
static void tcp_mem(int pressure, int limit)
{
    script_net->ipv4.sysctl_tcp_mem[0] = min(pressure, script_net->ipv4.sysctl_tcp_mem[0]);
    script_net->ipv4.sysctl_tcp_mem[1] = pressure;
    script_net->ipv4.sysctl_tcp_mem[2] = limit;
}

static u32 ssthresh(struct socket *s) { return sys_tcp_info(s).tcpi_rcv_ssthresh; }
static u64 allocated(void) { return (u64)atomic_load(&script_net->tcp_memory_allocated); }

static void take(struct socket *s, u32 len)
{
    rx(.len = len);
    advance_ms(50);
    tx_ignore();
    cr_assert_eq(sys_read(s, len), len);
    tx_ignore();
}

Test(pressure, data_lets_the_window_fall_to_four_segments_and_grow_again_afterwards)
{
    struct socket *s = script_accepted(SCALED, 65535);
    u32 before = ssthresh(s);

    cr_assert_gt(before, 40000);
    tcp_mem(0, 100000);
    take(s, 1400);
    cr_assert_leq(ssthresh(s), FOUR_SEGMENTS);
    for (int i = 0; i < 60; i++) /* the window that was offered is not taken back, but it does not move on */
        take(s, 1400);
    rx(.len = 1400);
    tx_at(40, .ack = 1 + 62 * 1400, .win = (FOUR_SEGMENTS + 127) / 128);
    cr_assert_eq(sys_read(s, 1400), 1400);
    tcp_mem(100000, 100000);
    for (int i = 0; i < 10; i++)
        take(s, 1400);
    cr_assert_gt(ssthresh(s), 2 * FOUR_SEGMENTS);
}

Test(pressure, segment_without_memory_is_dropped_and_lets_the_window_fall)
{
    struct socket *s = script_accepted(SCALED, 65535);

    rx(.len = 100); /* too small to move rcv_ssthresh by itself */
    tx_ignore();
    tcp_mem(0, 0);
    for (u32 i = 1; !mib(LINUX_MIB_TCPRCVQDROP); i++) {
        cr_assert_gt(ssthresh(s), FOUR_SEGMENTS);
        cr_assert_lt(i, 100);
        rx(.len = 100);
        tx_ignore();
    }
    cr_assert_geq(mib(LINUX_MIB_PRUNECALLED), 1);
    cr_assert_eq(ssthresh(s), FOUR_SEGMENTS);
    tcp_mem(100000, 100000);
}

Test(pressure, half_full_buffer_lets_the_window_fall)
{
    struct socket *s = script_accepted("mss 1460", 65535);

    cr_assert_eq(sys_setsockopt(s, SOL_SOCKET, SO_RCVBUF, 20000), 0);
    while (ssthresh(s) > FOUR_SEGMENTS && 4 * atomic_load(&s->sk->sk_rmem_alloc) < 3 * s->sk->sk_rcvbuf) {
        rx(.len = 100);
        tx_ignore();
    }
    cr_assert_gt(ssthresh(s), FOUR_SEGMENTS);
    cr_assert_eq(mib(LINUX_MIB_PRUNECALLED), 0);
    tcp_mem(0, 100000);
    rx(.len = 100);
    advance_ms(50);
    tx_ignore();
    cr_assert_eq(ssthresh(s), FOUR_SEGMENTS);
}

Test(pressure, empty_queue_takes_one_segment_beyond_all_limits_and_closes_the_window)
{
    struct socket *s = script_accepted("mss 1460", 65535);

    tcp_mem(0, 0);
    rx(.len = 1000);
    tx(.ack = 1001, .win = 0);
    cr_assert_eq(mib(LINUX_MIB_PRUNECALLED), 0, "there is nothing to prune");
    cr_assert_geq(s->sk->sk_forward_alloc, 0, "what was taken is charged");
    cr_assert_geq(allocated(), (u64)atomic_load(&s->sk->sk_rmem_alloc));
    rx(.len = 1000);
    tx(.ack = 1001);
    cr_assert_eq(sys_read(s, 3000), 1000, "the next one was not taken");
    tx_ignore();
    tcp_mem(100000, 100000);
}

/* n segments out of order, each alone behind its hole. */
static void scattered(u32 n)
{
    for (u32 i = 0; i < n; i++) {
        rx(.seq = 4001 + 2000 * i, .len = 1000);
        tx_ignore();
    }
    cr_assert_eq(mib(LINUX_MIB_TCPOFOQUEUE), n);
}

Test(pressure, near_segment_without_memory_drops_all_that_is_further)
{
    struct socket *s = script_accepted("mss 1460,sackOK", 65535);

    scattered(20);
    tcp_mem(0, 0);
    for (u32 seq = 1101; seq < 4000 && !mib(LINUX_MIB_OFOPRUNED); seq += 100) { /* what is charged already is used up */
        tx_ignore();
        rx(.seq = seq, .len = 50);
    }
    tx(.ack = 1, .opt = "nop,nop,sack 1 *"); /* its own: those told before were promises that no longer hold */
    cr_assert_eq(drops(SKB_DROP_REASON_TCP_OFO_QUEUE_PRUNE), 20);
    tcp_mem(100000, 100000);
    rx(.seq = 1, .len = 1000);
    tx(.ack = 1001);
    cr_assert_eq(sys_read(s, 3000), 1000);
}

Test(pressure, pruning_goes_on_while_memory_is_short_and_no_longer)
{
    struct socket *s = script_accepted("mss 1460,sackOK", 65535);
    u64 one, dropped;

    cr_assert_eq(sys_setsockopt(s, SOL_SOCKET, SO_RCVBUF, 60000), 0);
    scattered(25);
    one = (u64)atomic_load(&s->sk->sk_rmem_alloc) / 25;
    tcp_mem((int)((allocated() - 9 * one) / 4096), (int)(allocated() / 4096));
    for (u32 seq = 2001; seq < 4000 && !mib(LINUX_MIB_OFOPRUNED); seq += 100) { /* use up what is charged already */
        rx(.seq = seq, .len = 50);
        tx_ignore();
    }
    cr_assert_eq(mib(LINUX_MIB_OFOPRUNED), 1);
    dropped = drops(SKB_DROP_REASON_TCP_OFO_QUEUE_PRUNE);
    cr_assert_geq(dropped, 9, "an eighth of the buffer would be %u", (u32)(s->sk->sk_rcvbuf / 8 / one));
    cr_assert_lt(dropped, 20);
    tcp_mem(100000, 100000);
}

Test(pressure, far_segment_without_memory_drops_nothing_else)
{
    struct socket *s = script_accepted("mss 1460,sackOK", 65535);

    scattered(10);
    tcp_mem(0, 0);
    for (u32 seq = 30001; !mib(LINUX_MIB_TCPOFODROP); seq += 2000) {
        cr_assert_lt(seq, 50000);
        rx(.seq = seq, .len = 1000);
        tx_ignore();
    }
    cr_assert_eq(mib(LINUX_MIB_OFOPRUNED), 0);
    cr_assert_geq(atomic_load(&s->sk->sk_rmem_alloc), 10 * 1000);
    tcp_mem(100000, 100000);
}
