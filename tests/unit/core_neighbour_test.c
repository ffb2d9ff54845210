/* SPDX-License-Identifier: MIT */
/* Neighbour states, by the clock. */

#include "../../stack/core/neighbour.h"
#include "../../stack/core/rcu.h"
#include "../lib/simnet.h"
#include "../lib/tcpframe.h"
#include <criterion/criterion.h>

#define KEY htobe32(0x0a000002)
static const u8 mac1[ETH_ALEN] = {2, 1, 1, 1, 1, 1}, mac2[ETH_ALEN] = {2, 2, 2, 2, 2, 2};

static struct sim *sim;
static struct net *net;
static struct net_device dev;
static struct sk_buff_head sent;
static u32 asked_broadcast, asked_unicast, failed;
static u64 asked_at[16];

static netdev_tx_t keep(struct sk_buff *skb, struct net_device *d)
{
    __skb_queue_tail(&sent, skb);
    return NETDEV_TX_OK;
}
static const struct net_device_ops ops = {.ndo_start_xmit = keep};

static void ask(struct neighbour *n, const u8 *ha, __be32 saddr)
{
    asked_at[(asked_broadcast + asked_unicast) % 16] = net_now(n->net);
    if (ha)
        asked_unicast++;
    else
        asked_broadcast++;
}
static void report(struct neighbour *n, struct sk_buff *skb)
{
    failed++;
    kfree_skb_reason(skb, SKB_DROP_REASON_NEIGH_FAILED);
}

static void setup(void)
{
    sim = sim_create(3);
    net = sim_net(sim);
    __skb_queue_head_init(&sent);
    dev.ops = &ops;
    dev.features = NETIF_F_SG | NETIF_F_HW_CSUM;
    memcpy(dev.dev_addr, (u8[]){2, 9, 9, 9, 9, 9}, ETH_ALEN);
    register_netdev(net, &dev);
    dev_add_addr(&dev, htobe32(0x0a000001), 24);
    neigh_solicit = ask;
    neigh_error_report = report;
}
static void teardown(void)
{
    __skb_queue_purge(&sent, SKB_CONSUMED);
    unregister_netdev(&dev);
    sim_assert_home(net);
    sim_destroy(sim);
}
TestSuite(core_neighbour, .init = setup, .fini = teardown);

static struct neighbour *get(__be32 key)
{
    struct neighbour *n;

    rcu_read_lock();
    n = __neigh_create(net, key, &dev);
    cr_assert_eq(n, __ipv4_neigh_lookup_noref(&dev, key));
    rcu_read_unlock();
    return n;
}
static int send(struct neighbour *n, u32 seq)
{
    struct tcp_frame f = {.seq = seq, .len = 10, .linear = 10};
    struct sk_buff *skb = tcp_frame_build(net, net->tx_pool, &f);
    int rc;

    skb_pull(skb, ETH_HLEN);
    rcu_read_lock();
    rc = neigh_output(n, skb, false);
    rcu_read_unlock();
    return rc;
}
static void expect_header(struct sk_buff *skb, const u8 *mac)
{
    const struct ethhdr *eth = (const struct ethhdr *)skb->data;

    cr_assert(!memcmp(eth->h_dest, mac, 6) && !memcmp(eth->h_source, dev.dev_addr, 6) && eth->h_proto == htobe16(ETH_P_IP));
    cr_assert_eq(skb->len, 76);
}

Test(core_neighbour, queued_until_answered_then_in_order)
{
    struct neighbour *n = get(KEY);
    struct sk_buff *s;
    u32 i = 0;

    for (; i < 5; i++)
        cr_assert_eq(send(n, i), NET_XMIT_SUCCESS);
    cr_assert_eq(n->nud_state, NUD_INCOMPLETE);
    cr_assert_eq(asked_broadcast, 1);
    cr_assert_eq(sent.qlen, 0);
    sim_run_for(sim, 100 * NSEC_PER_MSEC);
    cr_assert_eq(neigh_update(n, mac1, NUD_REACHABLE, true), 0);
    cr_assert_eq(sent.qlen, 5);
    cr_assert_eq(n->arp_queue_len_bytes, 0);
    cr_assert_eq(send(n, 5), NET_XMIT_SUCCESS);
    i = 0;
    skb_queue_walk(&sent, s) {
        expect_header(s, mac1);
        cr_assert_eq(be32toh(((struct tcphdr *)(s->data + 34))->seq), i++);
    }
    cr_assert_eq(i, 6);
}

Test(core_neighbour, no_answer_fails_after_three_questions)
{
    struct neighbour *n = get(KEY);
    u64 t0 = net_now(net);

    send(n, 0);
    send(n, 1);
    sim_run_idle(sim, 10 * NSEC_PER_SEC);
    cr_assert_eq(asked_broadcast, 3);
    cr_assert_eq(asked_at[1] - t0, NSEC_PER_SEC);
    cr_assert_eq(asked_at[2] - t0, 2 * NSEC_PER_SEC);
    cr_assert_eq(n->nud_state, NUD_FAILED);
    cr_assert_eq(failed, 2);
    send(n, 2); /* asks again */
    cr_assert_eq(n->nud_state, NUD_INCOMPLETE);
    cr_assert_eq(asked_broadcast, 4);
}

Test(core_neighbour, stale_delay_probe_and_confirmation)
{
    struct neighbour *n = get(KEY);

    neigh_update(n, mac1, NUD_REACHABLE, true);
    sim_run_idle(sim, 100 * NSEC_PER_SEC);
    cr_assert_eq(n->nud_state, NUD_STALE);
    send(n, 0);
    cr_assert_eq(n->nud_state, NUD_DELAY);
    cr_assert_eq(sent.qlen, 1, "a stale address is used meanwhile");
    sim_run_for(sim, 3 * NSEC_PER_SEC);
    neigh_confirm(n); /* the transport made progress */
    sim_run_for(sim, 3 * NSEC_PER_SEC);
    cr_assert_eq(n->nud_state, NUD_REACHABLE);
    cr_assert_eq(asked_unicast, 0);
    sim_run_idle(sim, 100 * NSEC_PER_SEC);
    send(n, 1);
    sim_run_for(sim, 5 * NSEC_PER_SEC + NSEC_PER_MSEC);
    cr_assert_eq(n->nud_state, NUD_PROBE);
    cr_assert_eq(asked_unicast, 1);
    neigh_update(n, mac1, NUD_REACHABLE, true);
    cr_assert_eq(n->nud_state, NUD_REACHABLE);
    sim_run_idle(sim, 100 * NSEC_PER_SEC);
    send(n, 2);
    sim_run_idle(sim, 100 * NSEC_PER_SEC);
    cr_assert_eq(asked_unicast, 1 + 3);
    cr_assert_eq(n->nud_state, NUD_FAILED);
}

Test(core_neighbour, a_new_address_reaches_the_cached_header)
{
    struct neighbour *n = get(KEY);

    neigh_update(n, mac1, NUD_REACHABLE, true);
    send(n, 0);
    cr_assert_eq(n->hh.len, ETH_HLEN);
    neigh_update(n, mac2, NUD_REACHABLE, false); /* may not override */
    send(n, 1);
    expect_header(skb_peek_tail(&sent), mac1);
    neigh_update(n, mac2, NUD_REACHABLE, true);
    send(n, 2);
    expect_header(skb_peek_tail(&sent), mac2);
}

Test(core_neighbour, the_queue_has_a_limit_in_bytes_and_the_oldest_go)
{
    struct neighbour *n = get(KEY);
    u32 one, want;

    send(n, 0);
    one = n->arp_queue_len_bytes;
    net->ipv4.sysctl_neigh_unres_qlen_bytes = (int)(one * 3);
    for (u32 i = 1; i < 10; i++)
        send(n, i);
    cr_assert_eq(n->arp_queue_len_bytes, one * 3);
    cr_assert_eq(atomic_load(&net->drops[SKB_DROP_REASON_NEIGH_QUEUEFULL]), 7);
    neigh_update(n, mac1, NUD_REACHABLE, true);
    want = 7;
    cr_assert_eq(be32toh(((struct tcphdr *)(skb_peek(&sent)->data + 34))->seq), want);
}

Test(core_neighbour, broadcast_and_multicast_need_no_question)
{
    struct neighbour *b = get(htobe32(0x0a0000ff)), *m = get(htobe32(0xe0808182));
    const u8 mmac[] = {1, 0, 0x5e, 0, 0x81, 0x82}, ff[] = {255, 255, 255, 255, 255, 255};

    send(b, 0);
    expect_header(skb_peek_tail(&sent), ff);
    send(m, 1);
    expect_header(skb_peek_tail(&sent), mmac);
    cr_assert_eq(asked_broadcast, 0);
    cr_assert_eq(neigh_update(b, mac1, NUD_REACHABLE, true), -EPERM);
}

Test(core_neighbour, the_table_is_bounded_and_makes_room)
{
    struct neighbour *n = NULL;

    net->ipv4.sysctl_neigh_gc_thresh3 = 100;
    rcu_read_lock();
    for (u32 i = 1; i <= 100; i++) {
        n = __neigh_create(net, htobe32(0x0a000100 + i), &dev);
        cr_assert_not_null(n);
        neigh_update(n, mac1, NUD_REACHABLE, true);
    }
    cr_assert_null(__neigh_create(net, htobe32(0x0a000300), &dev));
    neigh_update(n, NULL, NUD_STALE, true);
    rcu_read_unlock();
    sim_run_idle(sim, 100 * NSEC_PER_SEC); /* all turn stale */
    rcu_read_lock();
    cr_assert_not_null(__neigh_create(net, htobe32(0x0a000300), &dev));
    rcu_read_unlock();
}

Test(core_neighbour, probes_are_unicast_then_broadcast_if_so_set)
{
    struct neighbour *n = get(KEY);

    net->ipv4.sysctl_neigh_mcast_resolicit = 2;
    neigh_update(n, mac1, NUD_STALE, true);
    send(n, 0);
    sim_run_for(sim, 5 * NSEC_PER_SEC + 2500 * NSEC_PER_MSEC);
    cr_assert_eq(n->nud_state, NUD_PROBE);
    cr_assert_eq(asked_unicast, 3);
    cr_assert_eq(asked_broadcast, 0);
    sim_run_for(sim, 2 * NSEC_PER_SEC);
    cr_assert_eq(n->nud_state, NUD_PROBE);
    cr_assert_eq(asked_broadcast, 2);
    sim_run_for(sim, NSEC_PER_SEC);
    cr_assert_eq(n->nud_state, NUD_FAILED);
}

Test(core_neighbour, permanent_is_asked_for_never_and_changed_by_the_admin_only)
{
    struct neighbour *n = get(KEY);

    neigh_update(n, mac1, NUD_PERMANENT, true);
    cr_assert_eq(neigh_update(n, mac2, NUD_REACHABLE, true), -EPERM);
    sim_run_idle(sim, 1000 * NSEC_PER_SEC);
    send(n, 0);
    expect_header(skb_peek_tail(&sent), mac1);
    cr_assert_eq(n->nud_state, NUD_PERMANENT);
    cr_assert_eq(asked_broadcast + asked_unicast, 0);
    cr_assert_eq(neigh_update(n, mac2, NUD_PERMANENT, true), 0);
    send(n, 1);
    expect_header(skb_peek_tail(&sent), mac2);
}

Test(core_neighbour, news_that_change_nothing_do_not_count_as_an_update)
{
    struct neighbour *n = get(KEY);
    u64 t;

    neigh_update(n, mac1, NUD_REACHABLE, true);
    t = n->updated;
    sim_run_for(sim, 3 * NSEC_PER_SEC);
    neigh_update(n, mac1, NUD_REACHABLE, true);
    neigh_update(n, mac1, NUD_STALE, true); /* the same address: says nothing of reachability */
    cr_assert_eq(n->nud_state, NUD_REACHABLE);
    cr_assert_eq(n->updated, t);
    cr_assert_gt(n->confirmed, t);
    neigh_update(n, mac2, NUD_STALE, true);
    cr_assert_eq(n->nud_state, NUD_STALE);
    cr_assert_gt(n->updated, t);
}

/* n entries with addresses from 10.0.`third`.1 on. */
static void fill(u32 third, u32 n, u8 state)
{
    rcu_read_lock();
    for (u32 i = 1; i <= n; i++) {
        struct neighbour *e = __neigh_create(net, htobe32(0x0a000000 | third << 8 | i), &dev);

        cr_assert_not_null(e, "number %u", i);
        neigh_update(e, mac1, state, true);
    }
    rcu_read_unlock();
}
static u32 count;
static void count_one(struct neighbour *n, void *arg) { count++; }
static u32 entries(void)
{
    count = 0;
    rcu_read_lock();
    neigh_for_each(net, count_one, NULL);
    rcu_read_unlock();
    return count;
}

Test(core_neighbour, below_gc_thresh1_nothing_is_forgotten_and_no_timer_runs)
{
    net->ipv4.sysctl_neigh_gc_thresh1 = 20;
    fill(1, 19, NUD_STALE);
    cr_assert_eq(net_timers_pending(net), 0);
    sim_run_for(sim, 1000 * NSEC_PER_SEC);
    cr_assert_eq(entries(), 19);
}

Test(core_neighbour, from_gc_thresh1_on_what_is_unused_for_gc_stale_time_is_forgotten)
{
    net->ipv4.sysctl_neigh_gc_thresh1 = 20;
    net->ipv4.sysctl_neigh_gc_stale_time = 60;
    fill(1, 30, NUD_STALE);
    fill(2, 2, NUD_PERMANENT);
    sim_run_for(sim, 50 * NSEC_PER_SEC);
    cr_assert_eq(entries(), 32);
    send(get(htobe32(0x0a000101)), 0); /* used; fails, since nobody answers, and goes at the next look */
    sim_run_for(sim, 25 * NSEC_PER_SEC);
    cr_assert_eq(entries(), 2, "%u are left; both are permanent", entries());
    cr_assert_eq(net_timers_pending(net), 0, "below gc_thresh1 again");
}

Test(core_neighbour, over_gc_thresh2_room_is_made_at_most_every_5_s)
{
    net->ipv4.sysctl_neigh_gc_thresh2 = 10;
    net->ipv4.sysctl_neigh_gc_thresh3 = 100;
    sim_run_for(sim, 10 * NSEC_PER_SEC);
    fill(1, 20, NUD_STALE);
    cr_assert_eq(entries(), 20, "all are fresh");
    sim_run_for(sim, 6 * NSEC_PER_SEC);
    fill(2, 1, NUD_STALE);
    cr_assert_eq(entries(), 11, "down to gc_thresh2, and the new one: %u", entries());
    sim_run_for(sim, 4 * NSEC_PER_SEC);
    fill(3, 1, NUD_STALE);
    cr_assert_eq(entries(), 12, "not again so soon");
    sim_run_for(sim, 2 * NSEC_PER_SEC);
    fill(4, 1, NUD_STALE);
    cr_assert_eq(entries(), 11);
}

Test(core_neighbour, over_gc_thresh3_fresh_entries_are_not_thrown_out_for_new_ones)
{
    net->ipv4.sysctl_neigh_gc_thresh3 = 20;
    fill(1, 20, NUD_STALE);
    rcu_read_lock();
    cr_assert_null(__neigh_create(net, htobe32(0x0a000201), &dev));
    rcu_read_unlock();
    sim_run_for(sim, 6 * NSEC_PER_SEC);
    fill(2, 1, NUD_STALE);
}
