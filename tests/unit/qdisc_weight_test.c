/* SPDX-License-Identifier: MIT */
/* The disciplines in virtual time: who sends how much before another may (weight_p), what a busy driver gets later and
 * in which order, rates and bursts to the nanosecond; and TCP over fq (SO_MAX_PACING_RATE, BBR). */

#include "../../stack/core/sch_generic.h"
#include "../../stack/core/sock.h"
#include "../lib/simnet.h"
#include "../lib/tcpframe.h"
#include "../lib/tcpscript.h"

/* Two drivers that note what they get and when, have room for so many, and share one net. */
static struct driver {
    struct net_device dev;
    u32 room, busy, n;
    u32 seq[512];
    u64 at[512];
} drv[2];

static struct sim *sim;
static struct net *net;

static netdev_tx_t drv_xmit(struct sk_buff *skb, struct net_device *dev)
{
    struct driver *d = container_of(dev, struct driver, dev);

    if (!d->room) {
        d->busy++;
        return NETDEV_TX_BUSY; /* and does not stop the queue: the core tries again by itself */
    }
    d->room--;
    d->seq[d->n % 512] = be32toh(((const struct tcphdr *)skb_transport_header(skb))->seq);
    d->at[d->n++ % 512] = net_now(dev->net);
    skb_orphan(skb);
    consume_skb(skb);
    return NETDEV_TX_OK;
}
static void drv_flush(struct net_device *dev) {}
static const struct net_device_ops drv_ops = {.ndo_start_xmit = drv_xmit, .ndo_xmit_flush = drv_flush};

static void setup(void)
{
    sim = sim_create(1);
    net = sim_net(sim);
    memset(drv, 0, sizeof(drv));
    for (int i = 0; i < 2; i++) {
        drv[i].room = 1000;
        drv[i].dev.ops = &drv_ops;
        cr_assert_eq(register_netdev(net, &drv[i].dev), 0);
    }
    net_tick(net);
}
static void teardown(void)
{
    unregister_netdev(&drv[1].dev);
    unregister_netdev(&drv[0].dev);
    sim_assert_home(net);
    sim_destroy(sim);
}
TestSuite(qdisc_weight, .init = setup, .fini = teardown);

#define FRAME 166u /* bytes of packet() on the wire */

static struct sk_buff *packet(int d, u32 n)
{
    struct tcp_frame f = {.seq = n, .len = 100, .linear = 100};
    struct sk_buff *skb = tcp_frame_build(net, net->tx_pool, &f);

    skb->dev = &drv[d].dev;
    return skb;
}
static int xmit(int d, u32 n) { return dev_queue_xmit(packet(d, n)); }
static void expect_in_order(int d, u32 n)
{
    cr_assert_eq(drv[d].n, n);
    for (u32 i = 0; i < n; i++)
        cr_assert_eq(drv[d].seq[i], i);
}

/* Queue n packets behind a closed driver, then open it. */
static void backlog(int d, u32 n)
{
    netif_stop_queue(&drv[d].dev);
    for (u32 i = 0; i < n; i++)
        cr_assert_eq(xmit(d, i), NET_XMIT_SUCCESS);
    cr_assert_eq(drv[d].n, 0);
    netif_wake_queue(&drv[d].dev);
}

Test(qdisc_weight, quota_is_dev_weight_and_the_others_run_between)
{
    net->ipv4.sysctl_dev_weight = 8;
    backlog(0, 30);
    backlog(1, 20);
    for (u32 run = 1; run <= 3; run++) {
        cr_assert_eq(net_tx_action(net), 2);
        cr_assert_eq(drv[0].n, 8 * run);
        cr_assert_eq(drv[1].n, min(20u, 8 * run));
    }
    cr_assert_eq(net_tx_action(net), 1, "the second is empty and was not scheduled again");
    cr_assert_eq(net_tx_action(net), 0);
    expect_in_order(0, 30);
    expect_in_order(1, 20);
}

Test(qdisc_weight, what_the_quota_leaves_wakes_the_poller)
{
    net->ipv4.sysctl_dev_weight = 8;
    backlog(0, 9);
    net_tx_action(net);
    cr_assert_eq(drv[0].n, 8);
    cr_assert_eq(net_next_timer(net), net_now(net));
    net_poll(net, 64);
    cr_assert_eq(drv[0].n, 9);
    cr_assert_eq(net_next_timer(net), UINT64_MAX);
}

Test(qdisc_weight, busy_requeues_one_and_counts_each_time)
{
    struct Qdisc *q = drv[0].dev.qdisc;

    drv[0].room = 0;
    for (u32 i = 0; i < 5; i++)
        cr_assert_eq(xmit(0, i), NET_XMIT_SUCCESS);
    cr_assert_eq(q->qlen, 5);
    cr_assert_eq(atomic_load(&q->stats.backlog), 5 * FRAME);
    cr_assert_geq(atomic_load(&q->stats.requeues), 1);
    cr_assert_eq(atomic_load(&q->stats.requeues), drv[0].busy);
    drv[0].room = 2;
    net_poll(net, 64);
    cr_assert_eq(drv[0].n, 2);
    cr_assert_eq(q->qlen, 3);
    cr_assert_eq(atomic_load(&q->stats.requeues), drv[0].busy);
    drv[0].room = 100;
    net_poll(net, 64);
    expect_in_order(0, 5);
    cr_assert_eq(q->qlen, 0);
    cr_assert_eq(atomic_load(&q->stats.backlog), 0);
    cr_assert_eq(atomic_load(&q->stats.packets), 5, "a requeued one counts once");
}

/* ---- tbf ------------------------------------------------------------------------------------------------------------ */

static u64 tbf(u64 rate, u32 burst, u32 limit)
{
    cr_assert_eq(dev_graft_qdisc(&drv[0].dev, &tbf_ops), 0);
    cr_assert_eq(tbf_change(drv[0].dev.qdisc, rate, burst, limit), 0);
    return net_now(net);
}

Test(qdisc_weight, tbf_sends_each_when_its_tokens_are_there)
{
    u64 t0 = tbf(166000, 3 * FRAME, 0); /* a packet a ms, three at once */

    for (u32 i = 0; i < 20; i++)
        xmit(0, i);
    sim_run_idle(sim, NSEC_PER_SEC);
    expect_in_order(0, 20);
    for (u32 i = 0; i < 20; i++) {
        u64 want = i < 3 ? 0 : (i - 2) * NSEC_PER_MSEC, at = drv[0].at[i] - t0;

        cr_assert(at >= want && at <= want + 1000, "packet %u after %lu ns", i, (unsigned long)at);
    }
}

Test(qdisc_weight, tbf_idle_time_saves_no_more_than_the_burst)
{
    tbf(166000, 3 * FRAME, 0);
    for (u32 i = 0; i < 3; i++)
        xmit(0, i);
    cr_assert_eq(drv[0].n, 3);
    sim_run_for(sim, 2 * NSEC_PER_MSEC); /* two are saved */
    for (u32 i = 3; i < 8; i++)
        xmit(0, i);
    cr_assert_eq(drv[0].n, 5);
    sim_run_for(sim, NSEC_PER_SEC); /* far more than the bucket holds */
    cr_assert_eq(drv[0].n, 8);
    for (u32 i = 8; i < 18; i++)
        xmit(0, i);
    cr_assert_eq(drv[0].n, 11);
    sim_run_idle(sim, NSEC_PER_SEC);
    expect_in_order(0, 18);
}

Test(qdisc_weight, tbf_limit_is_in_bytes)
{
    tbf(166000, FRAME, 4 * FRAME);
    for (u32 i = 0; i < 5; i++)
        cr_assert_eq(xmit(0, i), NET_XMIT_SUCCESS);
    cr_assert_eq(xmit(0, 5), NET_XMIT_DROP);
    cr_assert_eq(atomic_load(&drv[0].dev.qdisc->stats.drops), 1);
    cr_assert_eq(atomic_load(&net->drops[SKB_DROP_REASON_QDISC_DROP]), 1);
    sim_run_idle(sim, NSEC_PER_SEC);
    expect_in_order(0, 5);
}

/* ---- fq ------------------------------------------------------------------------------------------------------------- */

Test(qdisc_weight, fq_limits_every_flow_by_its_own_rate)
{
    u64 t0;

    dev_graft_qdisc(&drv[0].dev, &fq_ops);
    cr_assert_eq(fq_change(drv[0].dev.qdisc, 166000, 0), 0);
    t0 = net_now(net);
    for (u32 i = 0; i < 20; i++) {
        struct sk_buff *skb = packet(0, i);

        skb->hash = 1 + i % 2; /* two flows, a packet a ms each */
        dev_queue_xmit(skb);
    }
    sim_run_idle(sim, NSEC_PER_SEC);
    expect_in_order(0, 20);
    for (u32 i = 0; i < 20; i++) {
        u64 at = drv[0].at[i] - t0, want = i / 2 * NSEC_PER_MSEC;

        cr_assert(at >= want && at <= want + 10000, "packet %u after %lu ns", i, (unsigned long)at);
    }
}

Test(qdisc_weight, fq_one_flow_may_not_fill_the_queue)
{
    dev_graft_qdisc(&drv[0].dev, &fq_ops);
    cr_assert_eq(fq_change(drv[0].dev.qdisc, ~(u64)0, 10), 0);
    netif_stop_queue(&drv[0].dev);
    for (u32 i = 0; i < 12; i++) {
        struct sk_buff *skb = packet(0, i);

        skb->hash = 1;
        cr_assert_eq(dev_queue_xmit(skb), i < 10 ? NET_XMIT_SUCCESS : NET_XMIT_DROP);
    }
    xmit(0, 10); /* hash 0: another flow */
    netif_wake_queue(&drv[0].dev);
    net_poll(net, 64);
    cr_assert_eq(drv[0].n, 11);
    cr_assert_eq(atomic_load(&net->drops[SKB_DROP_REASON_QDISC_DROP]), 2);
}

Test(qdisc_weight, fq_a_busy_flow_leaves_room_for_a_new_one)
{
    u32 place = 0;

    dev_graft_qdisc(&drv[0].dev, &fq_ops);
    netif_stop_queue(&drv[0].dev);
    for (u32 i = 0; i < 100; i++) {
        struct sk_buff *skb = packet(0, i);

        skb->hash = 1;
        dev_queue_xmit(skb);
    }
    xmit(0, 1000);
    netif_wake_queue(&drv[0].dev);
    while (net_tx_action(net))
        ;
    cr_assert_eq(drv[0].n, 101);
    while (place < 101 && drv[0].seq[place] != 1000)
        place++;
    cr_assert_lt(place, 95, "it must not wait for all of the other's");
}

/* ---- TCP over fq -------------------------------------------------------------------------------------------------------- */

TestSuite(tcp_over_fq, .init = script_init, .fini = script_fini);

static struct socket *over_fq(const char *ca)
{
    struct socket *l, *s;

    cr_assert_eq(dev_graft_qdisc(script_dev, &fq_ops), 0);
    l = sys_listen(80, 10);
    rx(.flags = "S", .opt = "mss 1000,sackOK,nop,wscale 10", .win = 65535);
    tx(.flags = "SA", .ack = 1);
    advance_ms(40);
    rx();
    s = sys_accept_ok(l);
    sys_close(l);
    cr_assert_eq(s->ops->setsockopt(s, IPPROTO_TCP, TCP_CONGESTION, ca, (socklen_t)strlen(ca)), 0);
    script_net->ipv4.sysctl_wmem_max = 8 << 20;
    cr_assert_eq(sys_setsockopt(s, SOL_SOCKET, SO_SNDBUF, 4 << 20), 0);
    return s;
}

Test(tcp_over_fq, max_pacing_rate_spaces_the_segments)
{
    struct socket *s = over_fq("reno");
    int ms, sent = 0;

    cr_assert_eq(sys_setsockopt(s, SOL_SOCKET, SO_MAX_PACING_RATE, 105400), 0);
    cr_assert_eq(sys_write(s, 10000), 10000);
    cr_assert_eq(tx_ignore(), 10); /* the initial window is not paced, as in Linux */
    advance_ms(40);
    tx_ignore();
    rx();
    advance_ms(100);
    cr_assert_eq(sys_write(s, 8000), 8000);
    for (ms = 0; sent < 8 && ms < 200; ms++) {
        int n = tx_ignore();

        cr_assert_leq(n, 2); /* a pair is the smallest that TCP hands down (tcp_min_tso_segs) */
        sent += n;
        /* 10 ms a segment; what comes first is free, and half of a lateness is given back. */
        cr_assert_leq(sent, 2 + (ms + 5) / 10 + 1, "%d segments in %d ms", sent, ms);
        advance_ms(1);
    }
    cr_assert_eq(sent, 8);
    cr_assert(ms >= 45 && ms <= 90, "8 segments of 10 ms took %d ms", ms);
    cr_assert_eq(s->sk->sk_pacing_status, SK_PACING_FQ);
    advance_ms(100);
    tx_ignore();
    rx();
    tx_ignore();
}

Test(tcp_over_fq, bbr_sends_no_faster_than_its_pacing_rate)
{
    struct socket *s = over_fq("bbr");
    int total = 0;
    u64 fastest = 0;

    sys_write(s, 1000000);
    for (int round = 0; round < 40; round++) {
        int in_round = 0;

        for (int ms = 0; ms < 40; ms++) {
            int n;

            advance_ms(1);
            n = tx_ignore();
            fastest = max(fastest, (u64)sys_tcp_info(s).tcpi_pacing_rate);
            in_round += n;
            /* A millisecond's worth, and what one packet may hold (sk_pacing_shift). */
            if (round) /* the initial window goes at once */
                cr_assert_leq((u64)n * 1000, fastest / 1000 * 2 + 2 * 1000, "round %d, ms %d: %d segments at %lu bytes/s",
                              round, ms, n, (unsigned long)fastest);
        }
        total += in_round;
        rx(); /* what it lets go counts to the next millisecond */
    }
    cr_assert_gt(total, 500);
    cr_assert_eq(s->sk->sk_pacing_status, SK_PACING_FQ, "fq holds the packets, not TCP's own timer");
    tx_ignore();
    for (int i = 0; i < 100 && sys_tcp_info(s).tcpi_unacked; i++) {
        advance_ms(40);
        tx_ignore();
        rx();
        tx_ignore();
    }
}
