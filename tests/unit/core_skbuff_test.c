/* SPDX-License-Identifier: MIT */
/* sk_buff: clones and their counter, geometry, splitting, joining, segmentation. */

#include "../../stack/core/checksum.h"
#include "../../stack/core/iov_iter.h"
#include "../lib/simnet.h"
#include "../lib/tcpframe.h"
#include <criterion/criterion.h>

static struct sim *sim;
static struct net *net;

static void setup(void)
{
    sim = sim_create(1);
    net = sim_net(sim);
}
static void teardown(void)
{
    sim_assert_home(net);
    sim_destroy(sim);
}
TestSuite(core_skbuff, .init = setup, .fini = teardown);

/* An sk_buff with `lin` linear bytes and `paged` bytes in frags of `frag`: byte i is (u8)i. */
static struct sk_buff *make(u32 lin, u32 paged, u32 frag)
{
    struct sk_buff *skb = alloc_skb(net, 64 + lin);
    u32 pos = 0;

    skb_reserve(skb, 64);
    for (u8 *p = skb_put(skb, lin); pos < lin;)
        *p++ = (u8)pos++;
    while (pos < lin + paged) {
        struct page *page = net->tx_pool->alloc(net->tx_pool);
        u32 n = min(frag, lin + paged - pos);

        for (u32 i = 0; i < n; i++)
            page->addr[100 + i] = (u8)(pos + i);
        skb_add_rx_frag(skb, page, 100, n, n);
        pos += n;
    }
    return skb;
}

static void check(const struct sk_buff *skb, u32 from, u32 len)
{
    u8 buf[8192];

    cr_assert_eq(skb->len, len);
    cr_assert_eq(skb_copy_bits(skb, 0, buf, len), 0);
    for (u32 i = 0; i < len; i++)
        cr_assert_eq(buf[i], (u8)(from + i), "byte %u", i);
    cr_assert_eq(skb_copy_bits(skb, 1, buf, len), -EFAULT);
}

Test(core_skbuff, clone_shares_data_and_counts)
{
    struct sk_buff *skb = make(10, 300, 100), *c;

    skb->cb[0] = 7;
    c = skb_clone(skb);
    cr_assert_eq(atomic_load(&net->skb_count), 2);
    cr_assert(skb_cloned(skb) && skb_cloned(c) && c->head == skb->head && c->cb[0] == 7);
    consume_skb(skb);
    cr_assert(!skb_cloned(c));
    check(c, 0, 310);
    consume_skb(c);
    cr_assert_eq(atomic_load(&net->skb_count), 0);
}

Test(core_skbuff, inflight_counts_clones_whoever_dies_first)
{
    struct sk_buff *skb = make(10, 0, 1), *a, *b;

    cr_assert_eq(skb_track_clones(skb), 0);
    cr_assert(!skb_fclone_busy(skb));
    a = skb_clone(skb);
    cr_assert(!skb_header_cloned(a), "the only clone may write the headers");
    b = skb_clone(a);
    cr_assert(skb_header_cloned(a));
    cr_assert(skb_fclone_busy(skb));
    consume_skb(a);
    cr_assert(skb_fclone_busy(skb));
    consume_skb(b);
    cr_assert(!skb_fclone_busy(skb));
    a = skb_clone(skb);
    b = skb_clone(skb);
    consume_skb(skb); /* acknowledged before it left the ring */
    consume_skb(b);
    consume_skb(a);
}

Test(core_skbuff, segments_of_a_tracked_clone_keep_it_busy)
{
    struct tcp_frame f = {.seq = 5, .len = 3000, .gso_size = 1000, .partial = true};
    struct sk_buff *skb = tcp_frame_build(net, net->tx_pool, &f), *c, *segs, *next;

    skb_track_clones(skb);
    c = skb_clone(skb);
    segs = skb_gso_segment(c);
    consume_skb(c);
    cr_assert(skb_fclone_busy(skb));
    for (; segs; segs = next) {
        next = segs->next;
        segs->next = NULL;
        consume_skb(segs);
    }
    cr_assert(!skb_fclone_busy(skb));
    consume_skb(skb);
}

Test(core_skbuff, unclone_leaves_the_clone_alone)
{
    struct sk_buff *skb = make(10, 200, 100), *c = skb_clone(skb);

    cr_assert_eq(skb_unclone(skb), 0);
    cr_assert(!skb_cloned(skb) && !skb_cloned(c));
    skb->data[0] = 99;
    cr_assert_eq(pskb_trim(skb, 50), 0);
    check(c, 0, 210);
    consume_skb(c);
    cr_assert_eq(skb->data[0], 99);
    consume_skb(skb);
}

Test(core_skbuff, trim_both_ends_everywhere)
{
    for (u32 cut = 0; cut <= 330; cut += 11) {
        struct sk_buff *skb = make(30, 300, 70), *c = skb_clone(skb);

        cr_assert_eq(pskb_trim(skb, 330 - cut), 0);
        check(skb, 0, 330 - cut);
        check(c, 0, 330);
        consume_skb(skb);
        cr_assert_eq(pskb_trim_head(c, cut), 0);
        check(c, cut, 330 - cut);
        consume_skb(c);
    }
}

Test(core_skbuff, split_at_every_place)
{
    for (u32 at = 1; at < 330; at += 7) {
        struct sk_buff *skb = make(30, 300, 70), *rest = alloc_skb(net, 64);

        cr_assert_eq(skb_split(skb, rest, at), 0);
        check(skb, 0, at);
        check(rest, at, 330 - at);
        consume_skb(skb);
        check(rest, at, 330 - at);
        consume_skb(rest);
    }
}

Test(core_skbuff, pull_makes_linear)
{
    struct sk_buff *skb = make(10, 300, 70), *c = skb_clone(skb);

    cr_assert(!pskb_may_pull(skb, 311));
    cr_assert(pskb_may_pull(skb, 100));
    cr_assert_geq(skb_headlen(skb), 100);
    check(skb, 0, 310);
    check(c, 0, 310);
    cr_assert_eq(skb_linearize(skb), 0);
    cr_assert(!skb_is_nonlinear(skb));
    check(skb, 0, 310);
    cr_assert_not_null(pskb_pull(c, 200));
    check(c, 200, 110);
    consume_skb(skb);
    consume_skb(c);
}

Test(core_skbuff, fragments_behind_are_part_of_the_data)
{
    struct sk_buff *skb = make(16, 0, 1), *f = make(40, 30, 10), *c;
    u8 buf[70];

    skb->shinfo->frag_list = f;
    skb->len += 70;
    skb->data_len += 70;
    cr_assert_eq(skb_copy_bits(skb, 16, buf, 70), 0);
    cr_assert_eq(buf[69], 69);
    c = skb_clone(skb);
    cr_assert(pskb_may_pull(skb, 50));
    cr_assert_eq(skb->data[49], 33);
    cr_assert_eq(pskb_trim(c, 80), 0);
    cr_assert_eq(skb->len, 86);
    consume_skb(skb);
    cr_assert_eq(c->len, 80);
    consume_skb(c);
}

Test(core_skbuff, copies)
{
    struct sk_buff *skb = make(20, 200, 100), *a = skb_copy(skb), *b = pskb_copy(skb, 128);

    skb->data[0] = 1;
    consume_skb(skb);
    check(a, 0, 220);
    check(b, 0, 220);
    cr_assert(!skb_is_nonlinear(a) && skb_headlen(b) == 20 && skb_headroom(b) >= 128);
    cr_assert_eq(skb_cow_head(b, 500), 0);
    cr_assert_geq(skb_headroom(b), 500);
    check(b, 0, 220);
    consume_skb(a);
    consume_skb(b);
}

Test(core_skbuff, coalesce_takes_pages_or_fills_the_tail)
{
    struct sk_buff *to = make(100, 0, 1), *from = make(0, 200, 100);
    bool stolen;
    int delta;

    for (u32 i = 0; i < 100; i++)
        to->data[i] = (u8)i;
    for (u32 i = 0; i < 200; i++) /* the second's bytes go on where the first's end */
        from->shinfo->frags[i / 100].page->addr[100 + i % 100] = (u8)(100 + i);
    cr_assert(skb_try_coalesce(to, from, &stolen, &delta));
    cr_assert_eq(from->len, 200, "the receive path measures the segment after it was joined");
    kfree_skb_partial(from, stolen);
    check(to, 0, 300);
    from = make(3, 0, 1); /* heap head, no tailroom behind frags */
    cr_assert(!skb_try_coalesce(to, from, &stolen, &delta));
    consume_skb(from);
    consume_skb(to);
    to = make(10, 0, 1);
    from = make(5, 0, 1);
    memcpy(from->data, (u8[]){10, 11, 12, 13, 14}, 5);
    cr_assert(skb_try_coalesce(to, from, &stolen, &delta));
    cr_assert_eq(delta, 0);
    kfree_skb_partial(from, stolen);
    check(to, 0, 15);
    consume_skb(to);
}

Test(core_skbuff, checksum_over_runs_of_odd_length)
{
    for (u32 frag = 1; frag < 40; frag += 3) {
        struct sk_buff *skb = make(13, 37, frag);
        u8 flat[50];

        skb_copy_bits(skb, 0, flat, 50);
        for (u32 off = 0; off < 50; off++)
            cr_assert_eq(be16toh(csum_fold(skb_checksum(skb, off, 50 - off, 0))), naive_csum(flat + off, 50 - off, 0));
        consume_skb(skb);
    }
}

Test(core_skbuff, to_the_programs_buffers_and_back)
{
    struct sk_buff *skb = make(30, 300, 70);
    u8 a[100], b[0 + 1], c[300];
    struct iovec iov[] = {{a, sizeof(a)}, {b, 0}, {c, sizeof(c)}};
    struct iov_iter it;

    iov_iter_init(&it, iov, 3, 400);
    cr_assert_eq(skb_copy_datagram_iter(skb, 10, &it, 320), 0);
    cr_assert_eq(it.count, 80);
    for (u32 i = 0; i < 320; i++)
        cr_assert_eq(i < 100 ? a[i] : c[i - 100], (u8)(i + 10));
    iov_iter_revert(&it, 270);
    cr_assert_eq(it.count, 350);
    cr_assert_eq(copy_from_iter(b, 1, &it), 1);
    cr_assert_eq(b[0], (u8)60);
    consume_skb(skb);
}

Test(core_skbuff, gso_segments_are_right_on_the_wire)
{
    for (u32 linear = 0; linear <= 2500; linear += 500) {
        struct tcp_frame f = {.seq = 0xfffff000, .len = 4444, .gso_size = 1448, .flags = 0x99 /* CWR ACK PSH FIN */,
                              .id = 65534, .linear = linear, .frag = 777, .partial = true};
        struct sk_buff *skb = tcp_frame_build(net, net->tx_pool, &f), *seg, *next;
        u32 at = 0, i = 0;

        cr_assert_eq(skb->shinfo->gso_segs, 4);
        for (seg = skb_gso_segment(skb); seg; seg = next, i++) {
            const struct iphdr *ip = (const struct iphdr *)skb_network_header(seg);
            const struct tcphdr *th = (const struct tcphdr *)skb_transport_header(seg);
            u32 len = min(1448u, 4444 - at);
            u8 data[1448];

            next = seg->next;
            seg->next = NULL;
            cr_assert_eq(seg->len, 66 + len);
            cr_assert_eq(be16toh(ip->id), (u16)(65534 + i));
            cr_assert_eq(be32toh(th->seq), 0xfffff000 + at);
            cr_assert_eq(th->fin, i == 3);
            cr_assert_eq(th->psh, i == 3);
            cr_assert_eq(th->cwr, i == 0);
            cr_assert_eq(skb_copy_bits(seg, 66, data, len), 0);
            for (u32 k = 0; k < len; k++)
                cr_assert_eq(data[k], (u8)(0xfffff000 + at + k));
            cr_assert_eq(skb_checksum_help(seg), 0);
            cr_assert(frame_csum_ok(seg), "segment %u", i);
            at += len;
            consume_skb(seg);
        }
        cr_assert_eq(at, 4444);
        consume_skb(skb);
    }
}

Test(core_skbuff, drops_are_counted_by_reason)
{
    kfree_skb_reason(make(1, 0, 1), SKB_DROP_REASON_TCP_CSUM);
    kfree_skb_reason(NULL, SKB_DROP_REASON_TCP_CSUM);
    cr_assert_eq(atomic_load(&net->drops[SKB_DROP_REASON_TCP_CSUM]), 1);
    cr_assert_str_eq(drop_reason_name(SKB_DROP_REASON_TCP_CSUM), "TCP_CSUM");
}
