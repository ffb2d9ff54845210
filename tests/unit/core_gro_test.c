/* SPDX-License-Identifier: MIT */
/* GRO: what is merged, and above all what is not. */

#include "../../stack/core/netdevice.h"
#include "../lib/simnet.h"
#include "../lib/tcpframe.h"
#include <criterion/criterion.h>

static struct sim *sim;
static struct net *net;
static struct net_device dev;
static struct sk_buff_head got;

static int take(struct sk_buff *skb, struct net_device *d)
{
    __skb_queue_tail(&got, skb);
    return 0;
}
static netdev_tx_t nowhere(struct sk_buff *skb, struct net_device *d)
{
    consume_skb(skb);
    return NETDEV_TX_OK;
}
static struct packet_type pt = {.func = take};
static const struct net_device_ops ops = {.ndo_start_xmit = nowhere};

static void setup(void)
{
    sim = sim_create(1);
    net = sim_net(sim);
    __skb_queue_head_init(&got);
    pt.type = htobe16(ETH_P_IP);
    dev_add_pack(&pt);
    dev.ops = &ops;
    dev.features = NETIF_F_GRO;
    register_netdev(net, &dev);
}
static void teardown(void)
{
    __skb_queue_purge(&got, SKB_CONSUMED);
    unregister_netdev(&dev);
    sim_assert_home(net);
    sim_destroy(sim);
}
TestSuite(core_gro, .init = setup, .fini = teardown);

static struct tcp_frame f; /* the last one; the next() follows it */

static void rx(struct tcp_frame t)
{
    struct sk_buff *skb = tcp_frame_build(net, net->tx_pool, &t);

    skb->dev = &dev;
    netif_receive_skb(skb);
    f = t;
}
static struct tcp_frame next(void)
{
    struct tcp_frame t = f;

    t.seq += t.len;
    t.id++;
    return t;
}
static const struct tcp_frame first = {.seq = 0xfffffff0, .len = 1000, .page_head = true, .linear = 1000, .id = 65535, .tsval = 9};

static void expect(u32 packets)
{
    napi_complete(&dev);
    cr_assert_eq(got.qlen, packets, "%u packets", got.qlen);
}

Test(core_gro, a_run_becomes_one_and_reads_the_same)
{
    struct sk_buff *skb;
    u8 data[5500];

    rx(first);
    for (int i = 0; i < 4; i++)
        rx(next());
    cr_assert_eq(got.qlen, 0, "held until the poll ends");
    f.len = 500;
    f.seq += 500; /* so that next() is right: the last was 1000 long */
    rx(next());
    cr_assert_eq(got.qlen, 1, "a short segment ends it");
    expect(1);
    skb = skb_peek(&got);
    cr_assert_eq(skb->len, 52 + 5500);
    cr_assert_eq(be16toh(((struct iphdr *)skb->data)->tot_len), skb->len);
    cr_assert_eq(naive_csum(skb->data, 20, 0), 0);
    cr_assert_eq(skb->shinfo->gso_size, 1000);
    cr_assert_eq(skb->shinfo->gso_segs, 6);
    cr_assert_eq(skb->ip_summed, CHECKSUM_UNNECESSARY);
    cr_assert_eq(skb_copy_bits(skb, 52, data, 5500), 0);
    for (u32 i = 0; i < 5500; i++)
        cr_assert_eq(data[i], (u8)(0xfffffff0 + i));
    cr_assert_eq(net_mib(net, SLUICE_MIB_GRO_MERGED), 5);
}

Test(core_gro, push_ends_a_packet_and_is_kept)
{
    struct tcp_frame t;

    rx(first);
    t = next();
    t.flags = 0x18;
    rx(t);
    cr_assert_eq(got.qlen, 1);
    cr_assert(((struct tcphdr *)(skb_peek(&got)->data + 20))->psh);
}

#define NOT_MERGED(name, change)                                                                   \
    Test(core_gro, not_merged_##name)                                                              \
    {                                                                                              \
        struct tcp_frame t;                                                                        \
        rx(first);                                                                                 \
        t = next();                                                                                \
        change;                                                                                    \
        rx(t);                                                                                     \
        expect(2);                                                                                 \
        cr_assert_eq(be32toh(((struct tcphdr *)(skb_peek(&got)->data + 20))->seq), first.seq);     \
    }
NOT_MERGED(with_a_gap, t.seq++)
NOT_MERGED(when_late, t.seq -= 2000)
NOT_MERGED(with_another_ack, t.ack = 1)
NOT_MERGED(with_another_timestamp, t.tsval++)
NOT_MERGED(with_ece, t.flags = 0x50)
NOT_MERGED(with_cwr, t.flags = 0x90)
NOT_MERGED(with_ce_mark, t.tos = 3)
NOT_MERGED(with_another_ttl, t.ttl = 63)
NOT_MERGED(with_another_window, t.window = 7)
NOT_MERGED(when_larger, t.len = 1001; t.linear = 1001)
NOT_MERGED(when_empty, t.len = 0)
NOT_MERGED(with_syn, t.flags = 0x12)
NOT_MERGED(with_rst, t.flags = 0x14)
NOT_MERGED(with_urg, t.flags = 0x30)
NOT_MERGED(with_df_changed, t.df_off = true)
NOT_MERGED(with_a_jump_of_identification, t.id += 5)
NOT_MERGED(of_another_flow, t.sport = 1001)

Test(core_gro, flows_side_by_side)
{
    struct tcp_frame a = first, b = first;

    b.sport = 77;
    for (int i = 0; i < 3; i++) {
        rx(a);
        a = next();
        rx(b);
        b = next();
    }
    expect(2);
    cr_assert_eq(skb_peek(&got)->len, 52 + 3000);
    cr_assert_eq(skb_peek_tail(&got)->len, 52 + 3000);
}

Test(core_gro, a_bad_checksum_is_left_for_tcp_to_count)
{
    struct tcp_frame t;
    struct sk_buff *skb;

    rx(first);
    t = next();
    skb = tcp_frame_build(net, net->tx_pool, &t);
    skb->data[80] ^= 1;
    skb->dev = &dev;
    netif_receive_skb(skb);
    expect(2);
    cr_assert_eq(skb_peek_tail(&got)->ip_summed, CHECKSUM_NONE);
    cr_assert_eq(skb_peek(&got)->shinfo->gso_size, 0);
}

Test(core_gro, a_partial_checksum_counts_only_without_a_wire)
{
    struct tcp_frame t = first;

    t.partial = true;
    rx(t);
    rx(({ struct tcp_frame n = next(); n; }));
    expect(2);
    cr_assert_eq(skb_peek(&got)->ip_summed, CHECKSUM_NONE);
    __skb_queue_purge(&got, SKB_CONSUMED);
    dev.features |= NETIF_F_NOWIRE;
    rx(t);
    rx(({ struct tcp_frame n = next(); n; }));
    expect(1);
    cr_assert_eq(skb_peek(&got)->ip_summed, CHECKSUM_UNNECESSARY);
}

Test(core_gro, never_beyond_64_kib)
{
    rx(first);
    for (int i = 0; i < 99; i++)
        rx(next());
    napi_complete(&dev);
    for (struct sk_buff *s = got.next; s != (struct sk_buff *)&got; s = s->next)
        cr_assert_leq(s->len, 65535);
    cr_assert_leq(got.qlen, 3);
}

Test(core_gro, frames_that_are_not_ours_or_not_whole)
{
    struct sk_buff *skb = alloc_skb(net, 64);
    struct tcp_frame t = first;

    skb_put(skb, 13);
    skb->dev = &dev;
    netif_receive_skb(skb);
    cr_assert_eq(atomic_load(&net->drops[SKB_DROP_REASON_PKT_TOO_SMALL]), 1);
    t.dmac[0] = 4;
    rx(t);
    cr_assert_eq(atomic_load(&net->drops[SKB_DROP_REASON_OTHERHOST]), 1);
    skb = alloc_skb(net, 64);
    memset(skb_put(skb, 60), 0, 60);
    skb->dev = &dev;
    netif_receive_skb(skb);
    cr_assert_eq(atomic_load(&net->drops[SKB_DROP_REASON_UNHANDLED_PROTO]), 1);
    expect(0);
}
