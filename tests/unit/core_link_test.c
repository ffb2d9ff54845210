/* SPDX-License-Identifier: MIT */
/* The memory link and the fault device: rate, delay, dice, and that all of it happens again. */

#include "../../netdev/fault.h"
#include "../../stack/core/rcu.h"
#include "../lib/simnet.h"
#include "../lib/tcpframe.h"
#include <criterion/criterion.h>

static struct sim *sim;
static struct net *a, *b;
static u64 digest, first_at, last_at;
static u32 received, bad, last_seq, disordered;

static int take(struct sk_buff *skb, struct net_device *d)
{
    const struct tcphdr *th = (const struct tcphdr *)(skb->data + 20);
    u64 now = net_now(d->net);
    u32 seq;

    skb_push(skb, ETH_HLEN);
    bad += skb->ip_summed == CHECKSUM_NONE && !frame_csum_ok(skb);
    seq = be32toh(th->seq);
    disordered += received && seq < last_seq;
    last_seq = seq;
    if (!received++)
        first_at = now;
    last_at = now;
    digest = (digest ^ now ^ ((u64)seq << 32)) * 0x100000001b3ull;
    consume_skb(skb);
    return 0;
}
static struct packet_type pt = {.func = take};

static void setup(void)
{
    sim = sim_create(1);
    a = sim_net(sim);
    b = sim_net(sim);
    pt.type = htobe16(ETH_P_IP);
    dev_add_pack(&pt);
    digest = received = bad = last_seq = disordered = 0;
}
static void teardown(void)
{
    sim_run_idle(sim, 1000 * NSEC_PER_SEC);
    sim_assert_home(a);
    sim_assert_home(b);
    sim_destroy(sim);
}
TestSuite(core_link, .init = setup, .fini = teardown);

static void send(struct net *from, struct net_device *dev, struct net_device *to, u32 seq, u32 len, u16 gso)
{
    struct tcp_frame f = {.seq = seq, .len = len, .gso_size = gso, .partial = gso != 0};
    struct sk_buff *skb;

    memcpy(f.dmac, to->dev_addr, ETH_ALEN);
    skb = tcp_frame_build(from, from->tx_pool, &f);
    skb->dev = dev;
    dev_queue_xmit(skb);
}

Test(core_link, rate_and_delay)
{
    struct memlink *l = sim_link(sim, a, b, &(struct link_config){.rate_bps = 8000000, .delay_ns = 10 * NSEC_PER_MSEC});
    u64 t0 = sim->now;

    for (u32 i = 0; i < 10; i++) /* 1000 bytes on the wire each: 1 ms */
        send(a, memlink_dev(l, 0), memlink_dev(l, 1), i, 934, 0);
    cr_assert_eq(atomic_load(&a->skb_count), 10, "the sender's are completed when they have left");
    cr_assert_eq(memlink_next(l), t0 + NSEC_PER_MSEC);
    sim_run_until(sim, t0 + 5 * NSEC_PER_MSEC);
    cr_assert_eq(atomic_load(&a->skb_count), 5);
    sim_run_idle(sim, NSEC_PER_SEC);
    cr_assert_eq(received, 10);
    cr_assert_eq(first_at - t0, 11 * NSEC_PER_MSEC);
    cr_assert_eq(last_at - t0, 20 * NSEC_PER_MSEC);
}

Test(core_link, queue_is_finite)
{
    struct memlink *l = sim_link(sim, a, b, &(struct link_config){.rate_bps = 8000000, .queue_packets = 5});

    for (u32 i = 0; i < 20; i++)
        send(a, memlink_dev(l, 0), memlink_dev(l, 1), i, 934, 0);
    sim_run_idle(sim, NSEC_PER_SEC);
    cr_assert_eq(received, 5);
    cr_assert_eq(atomic_load(&a->drops[SKB_DROP_REASON_FULL_RING]), 15);
}

Test(core_link, large_packets_pass_whole_or_as_segments)
{
    struct memlink *plain = sim_link(sim, a, b, NULL);
    struct memlink *tso = sim_link(sim, a, b, &(struct link_config){.features = NETIF_F_SG | NETIF_F_HW_CSUM | NETIF_F_TSO});

    send(a, memlink_dev(plain, 0), memlink_dev(plain, 1), 0, 14480, 1448);
    sim_run_idle(sim, NSEC_PER_SEC);
    cr_assert_eq(received, 10);
    send(a, memlink_dev(tso, 0), memlink_dev(tso, 1), 0, 14480, 1448);
    sim_run_idle(sim, NSEC_PER_SEC);
    cr_assert_eq(received, 11);
    cr_assert_eq(bad, 0);
}

static const struct link_config rough = {.delay_ns = NSEC_PER_MSEC, .loss_ppm = 100000, .dup_ppm = 50000,
                                         .reorder_ppm = 100000, .corrupt_ppm = 100000, .seed = 42,
                                         .reorder_delay_ns = 500 * NSEC_PER_USEC};

static u64 run_rough(const struct link_config *cfg)
{
    struct memlink *l = sim_link(sim, a, b, cfg);
    u64 d;

    digest = received = bad = disordered = 0;
    sim_run_until(sim, (sim->now / NSEC_PER_SEC + 1) * NSEC_PER_SEC);
    u64 t0 = sim->now;
    for (u32 i = 0; i < 2000; i++) {
        send(a, memlink_dev(l, 0), memlink_dev(l, 1), i, 100, 0);
        sim_run_for(sim, 50 * NSEC_PER_USEC);
    }
    sim_run_idle(sim, NSEC_PER_SEC);
    d = digest;
    (void)t0;
    return d;
}

Test(core_link, dice_fall_as_often_as_asked)
{
    run_rough(&rough);
    /* 1800 arrive, 5 % twice; of the damaged 10 % a few fail the Ethernet or IP checks before us */
    cr_assert(received > 1700 && received < 1980, "%u", received);
    cr_assert(bad > 100 && bad < 250, "%u", bad);
    cr_assert(disordered > 80, "%u", disordered);
    cr_assert_gt(atomic_load(&a->drops[SKB_DROP_REASON_FAULT_INJECTED]), 150);
}

/* The clock differs between the runs, so times are left out: the order of arrival is the same. */
Test(core_link, same_seed_same_world)
{
    u64 d[3];

    for (int i = 0; i < 3; i++) {
        struct link_config c = rough;
        struct sim *s = sim;

        c.seed = i == 2 ? 43 : 42;
        sim = sim_create(7);
        struct net *sa = a, *sb = b;
        a = sim_net(sim);
        b = sim_net(sim);
        d[i] = run_rough(&c);
        sim_destroy(sim);
        sim = s;
        a = sa;
        b = sb;
    }
    cr_assert_eq(d[0], d[1]);
    cr_assert_neq(d[0], d[2]);
}

Test(core_link, bursts_of_loss)
{
    struct link_config c = {.burst_enter_ppm = 20000, .burst_exit_ppm = 200000, .seed = 5};

    run_rough(&c);
    cr_assert(received > 1600 && received < 1950, "%u: about one in eleven is lost", received);
}

/* RFC 3168: what would wait longer than the threshold is marked if it is ECN-capable, and its checksum stays right. */
Test(core_link, ecn_capable_packets_that_wait_are_marked)
{
    struct memlink *l = sim_link(sim, a, b, &(struct link_config){.rate_bps = 8000000, .ce_threshold_ns = 4500 * NSEC_PER_USEC});

    for (u8 tos = 0; tos < 4; tos++) {
        struct link_stats before = memlink_stats(l);

        for (u32 i = 0; i < 10; i++) {
            struct tcp_frame f = {.seq = i, .len = 934, .tos = tos};
            struct sk_buff *skb;

            memcpy(f.dmac, memlink_dev(l, 1)->dev_addr, ETH_ALEN);
            skb = tcp_frame_build(a, a->tx_pool, &f);
            skb->dev = memlink_dev(l, 0);
            dev_queue_xmit(skb);
        }
        sim_run_idle(sim, NSEC_PER_SEC);
        cr_assert_eq(memlink_stats(l).ce_marked - before.ce_marked, tos == 1 || tos == 2 ? 6 : 0);
    }
    cr_assert_eq(received, 40);
    cr_assert_eq(bad, 0);
}

Test(core_link, down_loses_everything)
{
    struct memlink *l = sim_link(sim, a, b, &(struct link_config){.delay_ns = NSEC_PER_SEC});

    send(a, memlink_dev(l, 0), memlink_dev(l, 1), 0, 10, 0);
    memlink_set_up(l, false);
    send(a, memlink_dev(l, 0), memlink_dev(l, 1), 0, 10, 0);
    memlink_set_up(l, true);
    send(a, memlink_dev(l, 0), memlink_dev(l, 1), 0, 10, 0);
    sim_run_idle(sim, 10 * NSEC_PER_SEC);
    cr_assert_eq(received, 1);
}

Test(core_link, fault_device_on_both_directions)
{
    struct memlink *l = sim_link(sim, a, b, &(struct link_config){.features = NETIF_F_SG | NETIF_F_HW_CSUM | NETIF_F_TSO});
    struct fault_config cfg = {.loss_ppm = 100000, .dup_ppm = 50000, .reorder_ppm = 100000, .corrupt_ppm = 50000, .tx = true, .seed = 3};
    struct net_device *fa = fault_wrap(memlink_dev(l, 0), &cfg), *fb;

    cfg.tx = false;
    cfg.rx = true;
    fb = fault_wrap(memlink_dev(l, 1), &cfg);
    cr_assert(fa && fb);
    rcu_read_lock();
    cr_assert_eq(dev_get_by_index(a, fa->ifindex), fa);
    rcu_read_unlock();
    for (u32 i = 0; i < 200; i++) {
        send(a, fa, fb, i * 10000, 10000, 1000); /* lost by segment, not by packet */
        sim_run_for(sim, 100 * NSEC_PER_USEC);
    }
    sim_run_idle(sim, NSEC_PER_SEC);
    cr_assert(received > 1500 && received < 1900, "%u", received); /* 2000 * .9 * .9 * 1.1 */
    cr_assert(bad > 100, "%u", bad);
    cr_assert(disordered > 50, "%u", disordered);
    fault_unwrap(fa);
    rcu_read_lock();
    cr_assert_eq(dev_get_by_index(a, memlink_dev(l, 0)->ifindex), memlink_dev(l, 0));
    rcu_read_unlock();
    received = bad = 0;
    cr_assert(fb);
}
