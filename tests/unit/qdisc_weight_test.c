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
    cr_assert_eq(fq_change(drv[0].dev.qdisc, &(struct fq_opt){.maxrate = 166000}), 0);
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
    cr_assert_eq(fq_change(drv[0].dev.qdisc, &(struct fq_opt){.flow_limit = 10}), 0);
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

Test(qdisc_weight, fq_drops_what_departs_beyond_its_horizon)
{
    struct sk_buff *skb;

    dev_graft_qdisc(&drv[0].dev, &fq_ops);
    skb = packet(0, 0);
    skb->tstamp = net_now(net) + 11 * NSEC_PER_SEC;
    cr_assert_eq(dev_queue_xmit(skb), NET_XMIT_DROP);
    skb = packet(0, 1);
    skb->tstamp = net_now(net) + 9 * NSEC_PER_SEC;
    cr_assert_eq(dev_queue_xmit(skb), NET_XMIT_SUCCESS);
    sim_run_for(sim, 8 * NSEC_PER_SEC);
    cr_assert_eq(drv[0].n, 0);
    sim_run_for(sim, 2 * NSEC_PER_SEC);
    cr_assert_eq(drv[0].n, 1);
    cr_assert_eq(drv[0].seq[0], 1);
    cr_assert_geq(atomic_load(&drv[0].dev.qdisc->stats.overlimits), 1);
}

Test(qdisc_weight, fq_control_traffic_is_never_held_up)
{
    struct sk_buff *skb;

    dev_graft_qdisc(&drv[0].dev, &fq_ops);
    fq_change(drv[0].dev.qdisc, &(struct fq_opt){.maxrate = 166000});
    for (u32 i = 0; i < 3; i++)
        xmit(0, i);
    skb = packet(0, 100);
    skb->priority = 7; /* TC_PRIO_CONTROL */
    dev_queue_xmit(skb);
    cr_assert_eq(drv[0].n, 2);
    cr_assert_eq(drv[0].seq[1], 100);
    sim_run_idle(sim, NSEC_PER_SEC);
    cr_assert_eq(drv[0].n, 4);
}

Test(qdisc_weight, parameters_change_while_packets_wait)
{
    struct Qdisc *q;
    u32 n = 0;

    netif_stop_queue(&drv[0].dev);
    cr_assert_eq(pfifo_fast_change(drv[0].dev.qdisc, 5), 0);
    while (xmit(0, n) == NET_XMIT_SUCCESS)
        n++;
    cr_assert_eq(n, 6, "one was requeued past the band");
    cr_assert_eq(pfifo_fast_change(drv[0].dev.qdisc, 8), 0);
    for (; n < 9; n++)
        cr_assert_eq(xmit(0, n), NET_XMIT_SUCCESS);
    cr_assert_eq(xmit(0, n), NET_XMIT_DROP);
    netif_wake_queue(&drv[0].dev);
    net_poll(net, 64);
    expect_in_order(0, 9);
    cr_assert_eq(fq_change(drv[0].dev.qdisc, &(struct fq_opt){.limit = 1}), -EINVAL, "it is pfifo_fast");
    cr_assert_eq(tbf_change(drv[0].dev.qdisc, 1, 1, 1), -EINVAL);
    dev_graft_qdisc(&drv[0].dev, &fq_ops);
    q = drv[0].dev.qdisc;
    cr_assert_eq(pfifo_fast_change(q, 5), -EINVAL);
    cr_assert_eq(fq_change(q, &(struct fq_opt){.limit = 4}), 0);
    netif_stop_queue(&drv[0].dev);
    for (n = 0; n < 4; n++)
        cr_assert_eq(xmit(0, n), NET_XMIT_SUCCESS);
    cr_assert_eq(xmit(0, n), NET_XMIT_DROP);
    cr_assert_eq(atomic_load(&q->stats.drops), 1);
    netif_wake_queue(&drv[0].dev);
    net_poll(net, 64);
}

Test(qdisc_weight, fq_quantum_says_how_much_a_flow_sends_in_its_turn)
{
    dev_graft_qdisc(&drv[0].dev, &fq_ops);
    fq_change(drv[0].dev.qdisc, &(struct fq_opt){.quantum = 2 * FRAME, .initial_quantum = 2 * FRAME});
    netif_stop_queue(&drv[0].dev);
    for (u32 i = 0; i < 12; i++) {
        struct sk_buff *skb = packet(0, i);

        skb->hash = 1 + i / 6;
        dev_queue_xmit(skb);
    }
    netif_wake_queue(&drv[0].dev);
    net_poll(net, 64);
    for (u32 i = 0; i < 12; i++) /* two of the first flow, two of the second, ... */
        cr_assert_eq(drv[0].seq[i], i / 4 * 2 + i % 2 + (i / 2 % 2 ? 6 : 0), "place %u: packet %u", i, drv[0].seq[i]);
}

/* ---- TCP above a queue --------------------------------------------------------------------------------------------------- */

TestSuite(tcp_over_qdisc, .init = script_init, .fini = script_fini);

/* A round trip that the pacing rate, and so the small queue, follows from. */
static struct socket *accepted_after_40_ms(const char *opt, int win)
{
    struct socket *l = sys_listen(80, 10), *s;

    rx(.flags = "S", .opt = opt, .win = win);
    tx(.flags = "SA", .ack = 1);
    advance_ms(40);
    rx();
    s = sys_accept_ok(l);
    sys_close(l);
    return s;
}

Test(tcp_over_qdisc, tos_chooses_the_band)
{
    struct socket *s = script_accepted("mss 1460", 65535);

    sys_setsockopt(s, IPPROTO_TCP, TCP_NODELAY, 1);
    script_net->ipv4.sysctl_tcp_autocorking = 0;
    netif_stop_queue(script_dev);
    sys_write(s, 100); /* past the empty discipline, refused by the driver, requeued: goes first */
    sys_setsockopt(s, IPPROTO_IP, IP_TOS, 0x08); /* throughput: band 2 */
    sys_write(s, 200);
    sys_setsockopt(s, IPPROTO_IP, IP_TOS, 0);
    sys_write(s, 300);
    sys_setsockopt(s, IPPROTO_IP, IP_TOS, 0x10); /* low delay: band 0 */
    sys_write(s, 400);
    netif_wake_queue(script_dev);
    advance_us(1);
    tx(.flags = "PA", .seq = 1, .len = 100, .tos = 0);
    tx(.flags = "PA", .seq = 601, .len = 400, .tos = 0x10);
    tx(.flags = "PA", .seq = 301, .len = 300, .tos = 0);
    tx(.flags = "PA", .seq = 101, .len = 200, .tos = 0x08);
    rx(.ack = 1001);
}

Test(tcp_over_qdisc, a_stopped_device_stops_the_socket_and_then_the_writer)
{
    struct socket *s = accepted_after_40_ms("mss 1000", 65535);
    struct Qdisc *q = script_dev->qdisc;
    ssize_t n, total = 0;

    sys_write(s, 1000);
    tx_ignore();
    advance_ms(40);
    rx(); /* a pacing rate, from which the limit of the small queue follows */
    netif_stop_queue(script_dev);
    sys_setsockopt(s, SOL_SOCKET, SO_SNDBUF, 20000);
    while ((n = sys_write(s, 5000)) > 0)
        total += n;
    cr_assert_eq(n, -EAGAIN, "the writer waits for memory");
    cr_assert_eq(sys_poll(s) & EPOLLOUT, 0);
    cr_assert_gt(total, 5000);
    cr_assert_geq(sys_tcp_info(s).tcpi_snd_cwnd, 10);
    cr_assert_leq(sys_tcp_info(s).tcpi_unacked, 6, "TSQ: two pairs below TCP, and the one that made it too many");
    cr_assert_eq(atomic_load(&q->stats.drops), 0);
    netif_wake_queue(script_dev);
    advance_us(1);
    cr_assert_eq(tx_ignore(), (int)sys_tcp_info(s).tcpi_snd_cwnd, "as they leave, the socket goes on");
    cr_assert_eq(q->qlen, 0);
    advance_ms(1);
    rx();
    tx_ignore();
    rx();
    tx_ignore();
    for (int i = 0; i < 4; i++) {
        advance_ms(1);
        rx();
        tx_ignore();
    }
    cr_assert_neq(sys_poll(s) & EPOLLOUT, 0, "and the writer");
}

Test(tcp_over_qdisc, a_full_queue_is_congestion_and_loses_nothing)
{
    struct socket *s = script_accepted("mss 1000", 65535);
    u32 cwnd = sys_tcp_info(s).tcpi_snd_cwnd;

    pfifo_fast_change(script_dev->qdisc, 1);
    netif_stop_queue(script_dev);
    sys_setsockopt(s, IPPROTO_TCP, TCP_NODELAY, 1);
    script_net->ipv4.sysctl_tcp_autocorking = 0;
    for (int i = 0; i < 6; i++)
        sys_write(s, 1000); /* one is requeued, one waits in the band, the third finds it full */
    cr_assert_eq(atomic_load(&script_dev->qdisc->stats.drops), 4, "and each write tries it again");
    cr_assert_eq(sys_tcp_info(s).tcpi_ca_state, TCP_CA_CWR);
    cr_assert_lt(sys_tcp_info(s).tcpi_snd_ssthresh, cwnd);
    cr_assert_eq(sys_tcp_info(s).tcpi_unacked, 2, "what the queue refused was not sent");
    netif_wake_queue(script_dev);
    advance_us(1);
    tx(.seq = 1, .len = 1000);
    tx(.seq = 1001, .len = 1000);
    advance_ms(10);
    rx(.ack = 2001);
    tx(.seq = 2001, .len = 1000);
    tx_ignore();
    advance_ms(10);
    rx();
    tx_ignore();
    for (int i = 0; i < 5; i++) {
        advance_ms(10);
        rx();
        tx_ignore();
    }
    cr_assert_eq(sys_tcp_info(s).tcpi_total_retrans, 0);
    cr_assert_eq(sys_tcp_info(s).tcpi_unacked, 0);
}

/* ---- TCP over fq -------------------------------------------------------------------------------------------------------- */

TestSuite(tcp_over_fq, .init = script_init, .fini = script_fini);

static struct socket *over_fq(const char *ca)
{
    struct socket *s;

    cr_assert_eq(dev_graft_qdisc(script_dev, &fq_ops), 0);
    s = accepted_after_40_ms("mss 1000,sackOK,nop,wscale 10", 65535);
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
