/* SPDX-License-Identifier: MIT */
/* dev_queue_xmit and the disciplines: quota, requeue, batching, what a device cannot do, bands, rates. */

#include "../../stack/core/sch_generic.h"
#include "../../stack/core/sock.h"
#include "../lib/simnet.h"
#include "../lib/tcpframe.h"
#include <criterion/criterion.h>

/* A driver that keeps what it gets, has `room` for so many, and counts doorbells. */
static struct {
    struct net_device dev;
    struct sk_buff_head sent;
    u32 room, flushes;
    bool stop_when_full;
    u64 times[256];
} drv;

static struct sim *sim;
static struct net *net;

static netdev_tx_t drv_xmit(struct sk_buff *skb, struct net_device *dev)
{
    if (!drv.room) {
        if (drv.stop_when_full)
            netif_stop_queue(dev);
        return NETDEV_TX_BUSY;
    }
    drv.room--;
    skb_orphan(skb);
    drv.times[drv.sent.qlen % 256] = net_now(dev->net);
    __skb_queue_tail(&drv.sent, skb);
    return NETDEV_TX_OK;
}
static void drv_flush(struct net_device *dev) { drv.flushes++; }
static const struct net_device_ops drv_ops = {.ndo_start_xmit = drv_xmit, .ndo_xmit_flush = drv_flush};

static void setup(void)
{
    sim = sim_create(1);
    net = sim_net(sim);
    memset(&drv, 0, sizeof(drv));
    __skb_queue_head_init(&drv.sent);
    drv.room = 1000;
    drv.stop_when_full = true;
    drv.dev.ops = &drv_ops;
    cr_assert_eq(register_netdev(net, &drv.dev), 0);
}
static void teardown(void)
{
    __skb_queue_purge(&drv.sent, SKB_CONSUMED);
    unregister_netdev(&drv.dev);
    sim_assert_home(net);
    sim_destroy(sim);
}
TestSuite(core_qdisc, .init = setup, .fini = teardown);

static struct sk_buff *packet(u32 n, u32 prio)
{
    struct tcp_frame f = {.seq = n, .len = 100, .linear = 100};
    struct sk_buff *skb = tcp_frame_build(net, net->tx_pool, &f);

    skb->dev = &drv.dev;
    skb->priority = prio;
    return skb;
}
static int xmit(u32 n) { return dev_queue_xmit(packet(n, 0)); }
static u32 seq_of(const struct sk_buff *skb)
{
    return be32toh(((const struct tcphdr *)skb_transport_header(skb))->seq);
}
static void expect_in_order(u32 from)
{
    struct sk_buff *skb;

    skb_queue_walk(&drv.sent, skb)
        cr_assert_eq(seq_of(skb), from++);
}

Test(core_qdisc, idle_goes_straight_with_one_doorbell)
{
    cr_assert_eq(xmit(0), NET_XMIT_SUCCESS);
    cr_assert_eq(drv.sent.qlen, 1);
    cr_assert_eq(drv.flushes, 1);
}

Test(core_qdisc, batch_has_one_doorbell)
{
    dev_tx_batch_begin(&drv.dev);
    dev_tx_batch_begin(&drv.dev);
    for (u32 i = 0; i < 10; i++)
        xmit(i);
    dev_tx_batch_end(&drv.dev);
    cr_assert_eq(drv.flushes, 0);
    dev_tx_batch_end(&drv.dev);
    cr_assert_eq(drv.flushes, 1);
    dev_tx_batch_begin(&drv.dev);
    dev_tx_batch_end(&drv.dev);
    cr_assert_eq(drv.flushes, 1, "nothing sent, no doorbell");
}

Test(core_qdisc, a_full_driver_gets_everything_later_in_order)
{
    drv.room = 3;
    for (u32 i = 0; i < 20; i++)
        cr_assert_eq(xmit(i), NET_XMIT_SUCCESS);
    cr_assert_eq(drv.sent.qlen, 3);
    cr_assert_eq(drv.dev.qdisc->qlen, 17);
    cr_assert_eq(atomic_load(&drv.dev.qdisc->stats.requeues), 1);
    cr_assert_eq(net_next_timer(net), UINT64_MAX, "a stopped queue waits for the driver, not for NET_TX");
    drv.room = 5;
    netif_wake_queue(&drv.dev);
    cr_assert_eq(net_next_timer(net), net_now(net));
    net_poll(net, 64);
    cr_assert_eq(drv.sent.qlen, 8);
    drv.room = 100;
    netif_wake_queue(&drv.dev);
    net_poll(net, 64);
    cr_assert_eq(drv.sent.qlen, 20);
    cr_assert_eq(drv.dev.qdisc->qlen, 0);
    cr_assert_eq(atomic_load(&drv.dev.qdisc->stats.backlog), 0);
    expect_in_order(0);
}

Test(core_qdisc, quota_leaves_the_rest_to_net_tx)
{
    drv.room = 0;
    for (u32 i = 0; i < 200; i++)
        xmit(i);
    drv.room = 1000;
    netif_wake_queue(&drv.dev);
    cr_assert_eq(net_tx_action(net), 1);
    cr_assert_eq(drv.sent.qlen, 64, "dev_weight packets a run");
    cr_assert_eq(drv.flushes, 1, "one doorbell a run");
    while (net_tx_action(net))
        ;
    cr_assert_eq(drv.sent.qlen, 200);
    expect_in_order(0);
}

Test(core_qdisc, busy_without_stopping_is_tried_again)
{
    drv.room = 1;
    drv.stop_when_full = false;
    xmit(0);
    xmit(1);
    xmit(2);
    cr_assert_eq(drv.sent.qlen, 1);
    drv.room = 10;
    net_poll(net, 64);
    net_poll(net, 64);
    cr_assert_eq(drv.sent.qlen, 3);
    expect_in_order(0);
}

Test(core_qdisc, software_gso_survives_a_driver_that_fills_up)
{
    struct tcp_frame f = {.seq = 0, .len = 10000, .gso_size = 1000, .partial = true};
    struct sk_buff *skb = tcp_frame_build(net, net->tx_pool, &f), *s;
    u32 seq = 0;

    skb->dev = &drv.dev;
    drv.room = 4;
    cr_assert_eq(dev_queue_xmit(skb), NET_XMIT_SUCCESS);
    xmit(10000);
    cr_assert_eq(drv.sent.qlen, 4);
    cr_assert_eq(drv.dev.qdisc->qlen, 7);
    drv.room = 2;
    netif_wake_queue(&drv.dev);
    net_poll(net, 64);
    drv.room = 100;
    netif_wake_queue(&drv.dev);
    net_poll(net, 64);
    cr_assert_eq(drv.sent.qlen, 11);
    skb_queue_walk(&drv.sent, s) {
        cr_assert_eq(seq_of(s), seq);
        cr_assert(!skb_is_nonlinear(s), "the device takes no frags");
        cr_assert(frame_csum_ok(s), "nor partial checksums");
        seq += 1000;
    }
    cr_assert_eq(net_mib(net, SLUICE_MIB_GSO_SW_SEGS), 10);
}

Test(core_qdisc, a_capable_device_gets_it_whole)
{
    struct tcp_frame f = {.len = 10000, .gso_size = 1000, .partial = true};
    struct sk_buff *skb = tcp_frame_build(net, net->tx_pool, &f);

    drv.dev.features = NETIF_F_SG | NETIF_F_HW_CSUM | NETIF_F_TSO;
    skb->dev = &drv.dev;
    dev_queue_xmit(skb);
    cr_assert_eq(drv.sent.qlen, 1);
    cr_assert_eq(skb_peek(&drv.sent)->ip_summed, CHECKSUM_PARTIAL);
    cr_assert_eq(skb_peek(&drv.sent)->shinfo->gso_segs, 10);
}

Test(core_qdisc, bands_by_priority_and_a_limit)
{
    u32 want[] = {0, 9, 2, 3, 1};
    struct sk_buff *s;
    int i = 0;

    drv.room = 1;
    xmit(0);
    netif_stop_queue(&drv.dev);
    dev_queue_xmit(packet(9, 2)); /* past the empty queue, and requeued: goes first */
    dev_queue_xmit(packet(1, 2)); /* bulk: band 2 */
    dev_queue_xmit(packet(2, 6)); /* interactive: band 0 */
    dev_queue_xmit(packet(3, 0)); /* best effort: band 1 */
    drv.room = 2000;
    netif_wake_queue(&drv.dev);
    net_poll(net, 64);
    skb_queue_walk(&drv.sent, s)
        cr_assert_eq(seq_of(s), want[i++]);
    netif_stop_queue(&drv.dev);
    for (u32 n = 0; n < 1001; n++)
        cr_assert_eq(xmit(n), NET_XMIT_SUCCESS);
    cr_assert_eq(xmit(1001), NET_XMIT_DROP); /* one was requeued past the band */
    cr_assert_eq(atomic_load(&net->drops[SKB_DROP_REASON_QDISC_DROP]), 1);
}

Test(core_qdisc, a_device_that_is_down_drops)
{
    drv.dev.flags = 0;
    cr_assert_eq(xmit(0), -ENETDOWN);
    cr_assert_eq(atomic_load(&net->drops[SKB_DROP_REASON_DEV_READY]), 1);
    drv.dev.flags = 1;
}

Test(core_qdisc, tbf_keeps_its_rate)
{
    u64 t0 = sim->now, took;

    cr_assert_eq(dev_graft_qdisc(&drv.dev, &tbf_ops), 0);
    cr_assert_eq(tbf_change(drv.dev.qdisc, 1000000, 1660, 0), 0); /* 1 MB/s, ten packets of 166 bytes at once */
    for (u32 i = 0; i < 110; i++)
        cr_assert_eq(xmit(i), NET_XMIT_SUCCESS);
    cr_assert_eq(drv.sent.qlen, 10);
    sim_run_idle(sim, NSEC_PER_SEC);
    cr_assert_eq(drv.sent.qlen, 110);
    took = drv.times[109] - t0;
    cr_assert(took >= 16600 * 1000ull && took < 16800 * 1000ull, "100 packets of 166 bytes at 1 MB/s took %lu ns",
              (unsigned long)took);
    expect_in_order(0);
}

Test(core_qdisc, tbf_segments_what_exceeds_the_burst)
{
    struct tcp_frame f = {.len = 5000, .gso_size = 1000, .partial = true};
    struct sk_buff *skb = tcp_frame_build(net, net->tx_pool, &f);

    dev_graft_qdisc(&drv.dev, &tbf_ops);
    tbf_change(drv.dev.qdisc, 1000000, 2000, 0);
    skb->dev = &drv.dev;
    cr_assert_eq(dev_queue_xmit(skb), NET_XMIT_SUCCESS);
    sim_run_idle(sim, NSEC_PER_SEC);
    cr_assert_eq(drv.sent.qlen, 5);
    cr_assert_eq(drv.dev.qdisc->qlen, 0);
    cr_assert_eq(atomic_load(&drv.dev.qdisc->stats.backlog), 0);
}

Test(core_qdisc, fq_holds_packets_until_their_departure_time)
{
    u64 t0;

    dev_graft_qdisc(&drv.dev, &fq_ops);
    t0 = net_tick(net);
    for (u32 i = 0; i < 10; i++) {
        struct sk_buff *skb = packet(i, 0);

        skb->hash = 1;
        skb->tstamp = t0 + i * NSEC_PER_MSEC;
        dev_queue_xmit(skb);
    }
    cr_assert_eq(drv.sent.qlen, 1);
    sim_run_idle(sim, NSEC_PER_SEC);
    cr_assert_eq(drv.sent.qlen, 10);
    for (u32 i = 0; i < 10; i++)
        cr_assert_eq(drv.times[i], t0 + i * NSEC_PER_MSEC);
    expect_in_order(0);
}

Test(core_qdisc, fq_paces_a_socket_and_lets_others_pass)
{
    struct sock sk = {.sk_pacing_rate = 166000}; /* 1000 packets of 166 bytes a second */
    u32 other = 0;
    struct sk_buff *s;

    dev_graft_qdisc(&drv.dev, &fq_ops);
    net_tick(net);
    for (u32 i = 0; i < 50; i++) {
        struct sk_buff *skb = packet(i, 0);

        skb->sk = &sk;
        dev_queue_xmit(skb);
    }
    cr_assert_eq(drv.sent.qlen, 1);
    dev_queue_xmit(packet(9999, 0));
    cr_assert_eq(drv.sent.qlen, 2, "another flow is not held up");
    sim_run_for(sim, 49 * NSEC_PER_MSEC);
    cr_assert_eq(drv.sent.qlen, 51);
    skb_queue_walk(&drv.sent, s)
        other += seq_of(s) == 9999;
    cr_assert_eq(other, 1);
}
