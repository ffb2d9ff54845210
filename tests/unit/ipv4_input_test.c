/* SPDX-License-Identifier: MIT */
/* What arrives: bad headers with their drop reasons, reassembly, ICMP, ARP, filter hooks. */
#include "../lib/ipnet.h"
#include "../../stack/core/checksum.h"
#include "../../stack/core/neighbour.h"
#include "../../stack/core/rcu.h"
#include <criterion/criterion.h>
#include <linux/icmp.h>
#include <linux/if_arp.h>

#define PROTO 253 /* for experiments, RFC 3692 */
static u32 got, got_len;
static u8 got_data[70000], got_tos;

static int proto_rcv(struct sk_buff *skb)
{
    got++;
    got_len = skb->len;
    got_tos = ip_hdr(skb)->tos;
    skb_copy_bits(skb, 0, got_data, skb->len);
    consume_skb(skb);
    return 0;
}
static const struct net_protocol proto = {.handler = proto_rcv};

static struct ipnet *setup(void)
{
    struct ipnet *n = ipnet_new();

    inet_add_protocol(&proto, PROTO);
    got = got_len = 0;
    return n;
}

/* ---- the door ---------------------------------------------------------------------------------------------------- */

struct header_case {
    const char *what;
    int reason; /* -1: accepted */
    int field;  /* byte to change, -1 none */
    u8 value;
    u32 len;    /* bytes given, 0: all 40 */
    bool fix;   /* make the checksum right again */
};

Test(ipv4_rcv, header_table)
{
    static const struct header_case c[] = {
        {"good", -1, -1, 0, 0, false},
        {"padded", -1, -1, 0, 46, false},
        {"short", SKB_DROP_REASON_PKT_TOO_SMALL, -1, 0, 19, false},
        {"version 6", SKB_DROP_REASON_IP_INHDR, 0, 0x65, 0, true},
        {"ihl 4", SKB_DROP_REASON_IP_INHDR, 0, 0x44, 0, true},
        {"ihl beyond the end", SKB_DROP_REASON_PKT_TOO_SMALL, 0, 0x4f, 0, true},
        {"checksum", SKB_DROP_REASON_IP_CSUM, 10, 0x55, 0, false},
        {"total length below the header", SKB_DROP_REASON_IP_INHDR, 3, 19, 0, true},
        {"total length beyond the frame", SKB_DROP_REASON_PKT_TOO_SMALL, 3, 41, 0, true},
        {"truncated", SKB_DROP_REASON_PKT_TOO_SMALL, -1, 0, 39, false},
        {"source is multicast", SKB_DROP_REASON_IP_RPFILTER, 12, 224, 0, true},
        {"source is loopback", SKB_DROP_REASON_IP_RPFILTER, 12, 127, 0, true},
        {"source is 0.x", SKB_DROP_REASON_IP_RPFILTER, 12, 0, 0, true},
        {"source is ourselves", SKB_DROP_REASON_IP_RPFILTER, 15, 1, 0, true},
        {"source is our broadcast", SKB_DROP_REASON_IP_RPFILTER, 15, 255, 0, true},
        {"destination is loopback", SKB_DROP_REASON_IP_INADDRERRORS, 16, 127, 0, true},
        {"destination is somebody else", SKB_DROP_REASON_OTHERHOST, 19, 77, 0, true},
        {"destination is multicast", SKB_DROP_REASON_OTHERHOST, 16, 224, 0, true},
        {"unknown protocol", SKB_DROP_REASON_IP_NOPROTO, 9, 252, 0, true},
    };
    struct ipnet *n = setup();

    for (u32 i = 0; i < ARRAY_SIZE(c); i++) {
        u8 p[64] = {0};
        const u32 before = got;

        ipnet_iphdr((struct iphdr *)p, IPNET_PEERIP, IPNET_MYIP, PROTO, 40, 1, IP_DF);
        if (c[i].field >= 0)
            p[c[i].field] = c[i].value;
        if (c[i].fix) {
            u32 ihl = max(p[0] & 15u, 5u);
            p[10] = p[11] = 0;
            *(u16 *)(p + 10) = ip_fast_csum(p, ihl);
        }
        ipnet_rx_ip(n, p, c[i].len ? c[i].len : 40);
        cr_expect_eq(n->last_drop, c[i].reason, "%s: %s, expected %s", c[i].what,
                     n->last_drop < 0 ? "accepted" : drop_reason_name((enum skb_drop_reason)n->last_drop),
                     c[i].reason < 0 ? "accepted" : drop_reason_name((enum skb_drop_reason)c[i].reason));
        cr_expect_eq(got - before, c[i].reason < 0, "%s", c[i].what);
        if (c[i].reason < 0)
            cr_expect_eq(got_len, 20, "%s: padding is not data", c[i].what);
    }
    ipnet_free(n);
}

static void rx_options(struct ipnet *n, const u8 *opt, u32 len)
{
    u8 p[80] = {0};
    struct iphdr *iph = (struct iphdr *)p;

    ipnet_iphdr(iph, IPNET_PEERIP, IPNET_MYIP, PROTO, 20 + len + 8, 1, 0);
    memcpy(p + 20, opt, len);
    iph->ihl = (u8)((5 + len / 4) & 15);
    iph->check = 0;
    iph->check = ip_fast_csum(iph, iph->ihl);
    ipnet_rx_ip(n, p, 20 + len + 8);
}

Test(ipv4_rcv, options)
{
    static const struct { const char *what; u8 o[12]; bool ok; } c[] = {
        {"nops", {1, 1, 1, 1, 0}, true},
        {"unknown", {0x99, 6, 1, 2, 3, 4, 0}, true},
        {"length 0", {7, 0, 4, 0}, false},
        {"length beyond", {7, 60, 4, 0}, false},
        {"record route", {7, 11, 4}, true},
        {"record route, full", {7, 11, 12}, true},
        {"record route, half an address left", {7, 11, 10}, false},
        {"timestamp", {68, 12, 5, 0}, true},
        {"timestamp, bad flag", {68, 12, 5, 2}, false},
        {"timestamp, pointer 1", {68, 12, 1, 0}, false},
        {"loose source route", {131, 11, 4, 10, 0, 0, 9}, false},
        {"strict source route", {137, 11, 4, 10, 0, 0, 9}, false},
        {"router alert", {148, 4, 0, 0}, true},
    };
    struct ipnet *n = setup();

    for (u32 i = 0; i < ARRAY_SIZE(c); i++) {
        rx_options(n, c[i].o, 12);
        cr_expect_eq(n->last_drop, c[i].ok ? -1 : (int)SKB_DROP_REASON_IP_OPTIONS, "%s: %d", c[i].what, n->last_drop);
        if (c[i].ok)
            cr_expect_eq(got_len, 8);
    }
    ipnet_free(n);
}

Test(ipv4_options, set_and_told_again)
{
    const u8 lsrr[] = {131, 11, 4, 10, 0, 0, 9, 10, 0, 0, 8};
    struct ip_options *opt;
    u8 back[40];

    cr_assert_eq(ip_options_get(&opt, lsrr, sizeof(lsrr)), 0);
    cr_expect_eq(opt->faddr, htobe32(0x0a000009), "the first hop is the header's destination");
    cr_expect_eq(opt->optlen, 12);
    cr_expect_eq(ip_options_undo(opt, back), 12);
    cr_expect_arr_eq(back, lsrr, sizeof(lsrr));
    free(opt);
    cr_expect_eq(ip_options_get(&opt, (const u8 *)"\x83\x02\x04", 3), -EINVAL);
    cr_expect_eq(ip_options_get(&opt, NULL, 0), 0);
    cr_expect_null(opt);
}

/* ---- reassembly ---------------------------------------------------------------------------------------------------- */

static u8 pattern(u32 off) { return (u8)(off * 7 + (off >> 8)); }

static u32 frag_from = IPNET_PEERIP;
static void rx_frag_tos(struct ipnet *n, u16 id, u32 off, u32 len, bool more, u8 tos)
{
    u8 p[1600];
    struct iphdr *iph = (struct iphdr *)p;

    ipnet_iphdr(iph, frag_from, IPNET_MYIP, PROTO, 20 + len, id, (u16)(off / 8 | (more ? IP_MF : 0)));
    iph->tos = tos;
    iph->check = 0;
    iph->check = ip_fast_csum(iph, 5);
    for (u32 i = 0; i < len; i++)
        p[20 + i] = pattern(off + i);
    ipnet_rx_ip(n, p, 20 + len);
}
static void rx_frag(struct ipnet *n, u16 id, u32 off, u32 len, bool more) { rx_frag_tos(n, id, off, len, more, 0); }

static void expect_whole(u32 len)
{
    cr_assert_eq(got, 1);
    cr_assert_eq(got_len, len);
    for (u32 i = 0; i < len; i++)
        cr_assert_eq(got_data[i], pattern(i), "byte %u", i);
    got = 0;
}

Test(ipv4_frag, any_order)
{
    static const u8 order[6][3] = {{0, 1, 2}, {0, 2, 1}, {1, 0, 2}, {1, 2, 0}, {2, 0, 1}, {2, 1, 0}};
    struct ipnet *n = setup();

    for (u32 o = 0; o < 6; o++) {
        for (u32 i = 0; i < 3; i++) {
            const u32 k = order[o][i];
            cr_expect_eq(got, 0);
            rx_frag(n, (u16)(100 + o), k * 800, k == 2 ? 123 : 800, k != 2);
        }
        expect_whole(1723);
        cr_expect_eq(ipfrag_mem(n->net), 0);
    }
    ipnet_free(n);
}

Test(ipv4_frag, duplicates_are_harmless)
{
    struct ipnet *n = setup();

    rx_frag(n, 1, 0, 800, true);
    rx_frag(n, 1, 800, 800, true);
    rx_frag(n, 1, 0, 800, true);    /* the same again */
    cr_expect_eq(n->last_drop, SKB_DROP_REASON_DUP_FRAG);
    rx_frag(n, 1, 400, 800, true);  /* inside a gapless run */
    cr_expect_eq(n->last_drop, SKB_DROP_REASON_DUP_FRAG);
    rx_frag(n, 1, 1600, 100, false);
    expect_whole(1700);
    ipnet_free(n);
}

Test(ipv4_frag, an_overlap_ends_the_datagram)
{
    struct ipnet *n = setup();

    rx_frag(n, 1, 0, 800, true);
    rx_frag(n, 1, 1600, 100, false);
    rx_frag(n, 1, 792, 800, true); /* reaches into the first, teardrop */
    cr_expect_eq(n->last_drop, SKB_DROP_REASON_FRAG_OVERLAP);
    cr_expect_eq(ipfrag_mem(n->net), 0);
    rx_frag(n, 1, 800, 800, true);
    cr_expect_eq(got, 0);

    rx_frag(n, 2, 800, 800, true);
    rx_frag(n, 2, 0, 808, true); /* reaches into the second */
    cr_expect_eq(n->last_drop, SKB_DROP_REASON_FRAG_OVERLAP);
    rx_frag(n, 3, 800, 100, false);
    cr_expect_eq(net_mib(n->net, IPSTATS_MIB_REASM_OVERLAPS), 2);
    rx_frag(n, 3, 0, 1000, true); /* beyond the end that was told */
    cr_expect_eq(n->last_drop, SKB_DROP_REASON_FRAG_BAD);
    rx_frag(n, 4, 800, 100, false);
    rx_frag(n, 4, 800, 200, false); /* two ends */
    cr_expect_eq(n->last_drop, SKB_DROP_REASON_FRAG_BAD);
    cr_expect_eq(got, 0);
    ipnet_free(n);
}

Test(ipv4_frag, too_long_and_empty)
{
    struct ipnet *n = setup();

    rx_frag(n, 1, 65528, 100, false); /* ping of death */
    cr_expect_eq(n->last_drop, SKB_DROP_REASON_FRAG_BAD);
    rx_frag(n, 2, 8, 0, true);
    cr_expect_eq(n->last_drop, SKB_DROP_REASON_FRAG_BAD);
    rx_frag(n, 3, 0, 7, true); /* nothing left of it */
    cr_expect_eq(n->last_drop, SKB_DROP_REASON_FRAG_BAD);
    ipnet_advance(n, 31 * NSEC_PER_SEC);
    ipnet_free(n);
}

Test(ipv4_frag, largest_datagram)
{
    struct ipnet *n = setup();
    u32 off;

    for (off = 0; off + 1400 < 65515; off += 1400)
        rx_frag(n, 9, off, 1400, true);
    rx_frag(n, 9, off, 65515 - off, false);
    expect_whole(65515);
    ipnet_free(n);
}

Test(ipv4_frag, time_out_tells_the_sender_if_the_first_came)
{
    struct ipnet *n = setup();
    const struct icmphdr *icmph;

    ipnet_resolve(n, IPNET_PEERIP);
    rx_frag(n, 1, 800, 800, true); /* without the first: silence */
    ipnet_advance(n, 29 * NSEC_PER_SEC);
    cr_expect_neq(ipfrag_mem(n->net), 0);
    ipnet_advance(n, 2 * NSEC_PER_SEC);
    cr_expect_eq(n->last_drop, SKB_DROP_REASON_FRAG_REASM_TIMEOUT);
    cr_expect_eq(n->nsent, 0);
    rx_frag(n, 2, 0, 800, true);
    ipnet_advance(n, 31 * NSEC_PER_SEC);
    cr_assert_eq(n->nsent, 1);
    icmph = (const struct icmphdr *)(n->sent[0].data + 34);
    cr_expect_eq(icmph->type, ICMP_TIME_EXCEEDED);
    cr_expect_eq(icmph->code, ICMP_EXC_FRAGTIME);
    cr_expect_eq(n->sent[0].len, 14 + 576);
    cr_expect_eq(ipfrag_mem(n->net), 0);
    cr_expect_eq(net_mib(n->net, IPSTATS_MIB_REASMTIMEOUT), 2);
    ipnet_free(n);
}

Test(ipv4_frag, memory_is_limited_for_all_together)
{
    struct ipnet *n = setup();

    n->net->ipv4.sysctl_ipfrag_high_thresh = 100000;
    for (u16 i = 0; i < 200; i++) {
        frag_from = IPNET_PEERIP + i;
        rx_frag(n, i, 0, 1400, true);
    }
    cr_expect_eq(n->last_drop, SKB_DROP_REASON_FRAG_REASM_LIMIT);
    cr_expect_lt(ipfrag_mem(n->net), 110000);
    frag_from = IPNET_PEERIP;
    for (u32 i = 1; i < 40; i++) /* of one that is here already: no way round it */
        rx_frag(n, 0, 1400 * i, 1400, true);
    cr_expect_eq(n->last_drop, SKB_DROP_REASON_FRAG_REASM_LIMIT);
    cr_expect_lt(ipfrag_mem(n->net), 110000);
    cr_expect_geq(net_mib(n->net, IPSTATS_MIB_REASMFAILS), 39);
    ipnet_advance(n, 31 * NSEC_PER_SEC); /* what waited ran out of time */
    cr_expect_eq(ipfrag_mem(n->net), 0);
    rx_frag(n, 0, 0, 800, true);
    rx_frag(n, 0, 800, 800, false);
    expect_whole(1600);
    ipnet_free(n);
}

Test(ipv4_frag, memory_of_one_sender_leaves_room_for_the_others)
{
    struct ipnet *n = setup();

    n->net->ipv4.sysctl_ipfrag_high_thresh = 100000;
    n->net->ipv4.sysctl_ipfrag_max_dist = 0;
    for (u16 i = 0; i < 200; i++)
        rx_frag(n, i, 0, 1400, true);
    cr_expect_eq(n->last_drop, SKB_DROP_REASON_FRAG_REASM_PEER_LIMIT);
    cr_expect_lt(ipfrag_mem(n->net), 30000);
    frag_from = IPNET_PEERIP + 1;
    rx_frag(n, 0, 0, 800, true);
    rx_frag(n, 0, 800, 800, false);
    expect_whole(1600);
    frag_from = IPNET_PEERIP;
    ipnet_free(n); /* what waits is given back here */
}

Test(ipv4_frag, fragment_too_far_from_the_one_before_begins_anew)
{
    struct ipnet *n = setup();

    rx_frag(n, 7, 0, 800, true);
    for (u16 i = 0; i < 64; i++) /* with this one's rest: 65 */
        rx_frag(n, (u16)(100 + i), 0, 8, true);
    rx_frag(n, 7, 800, 100, false); /* another datagram with the same ident, for all we know */
    cr_expect_eq(n->last_drop, SKB_DROP_REASON_FRAG_TOO_FAR);
    cr_expect_eq(got, 0);
    rx_frag(n, 7, 0, 800, true);
    expect_whole(900);

    rx_frag(n, 8, 0, 800, true);
    for (u16 i = 0; i < 63; i++)
        rx_frag(n, (u16)(300 + i), 0, 8, true);
    rx_frag(n, 8, 800, 100, false); /* near enough */
    expect_whole(900);

    n->net->ipv4.sysctl_ipfrag_max_dist = 0; /* no limit */
    rx_frag(n, 9, 0, 800, true);
    for (u16 i = 0; i < 100; i++)
        rx_frag(n, (u16)(500 + i), 0, 8, true);
    rx_frag(n, 9, 800, 100, false);
    expect_whole(900);
    ipnet_advance(n, 31 * NSEC_PER_SEC);
    cr_expect_eq(ipfrag_mem(n->net), 0);
    ipnet_free(n);
}

Test(ipv4_frag, begun_anew_has_its_time_anew)
{
    struct ipnet *n = setup();

    rx_frag(n, 7, 0, 800, true);
    ipnet_advance(n, 20 * NSEC_PER_SEC);
    for (u16 i = 0; i < 65; i++)
        rx_frag(n, (u16)(100 + i), 0, 8, true);
    rx_frag(n, 7, 800, 100, false);
    ipnet_advance(n, 20 * NSEC_PER_SEC); /* 40 s after the first, 20 after the second */
    rx_frag(n, 7, 0, 800, true);
    expect_whole(900);
    ipnet_advance(n, 31 * NSEC_PER_SEC);
    ipnet_free(n);
}

Test(ipv4_frag, congestion_mark_survives)
{
    struct ipnet *n = setup();

    rx_frag_tos(n, 1, 0, 800, true, INET_ECN_ECT_0);
    rx_frag_tos(n, 1, 800, 100, false, INET_ECN_CE);
    expect_whole(900);
    cr_expect_eq(got_tos & 3, INET_ECN_CE);
    rx_frag_tos(n, 2, 0, 800, true, INET_ECN_NOT_ECT);
    rx_frag_tos(n, 2, 800, 100, false, INET_ECN_CE);
    cr_expect_eq(got, 0, "not-ECT and CE in one datagram");
    cr_expect_eq(n->last_drop, SKB_DROP_REASON_FRAG_BAD);
    ipnet_free(n);
}

/* ---- out, larger than the MTU, and back in --------------------------------------------------------------------------- */

Test(ipv4_frag, output_fragments_come_together_again)
{
    struct ipnet *n = setup();
    struct flowi4 fl = {.daddr = htobe32(IPNET_PEERIP)};
    struct sk_buff *skb = alloc_skb(n->net, MAX_HEADER_ROOM + 4000);
    struct rtable *rt;
    u8 *p;
    int err;

    ipnet_resolve(n, IPNET_PEERIP);
    rt = ip_route_output_flow(n->net, &fl, &err);
    skb_reserve(skb, MAX_HEADER_ROOM);
    p = skb_put(skb, 4000);
    for (u32 i = 0; i < 4000; i++)
        p[i] = pattern(i);
    cr_assert_eq(ip_send_unicast(skb, n->net, rt, fl.saddr, fl.daddr, PROTO, 0, 0, false), 0);
    dst_release(&rt->dst);
    cr_assert_eq(n->nsent, 3);
    cr_expect_eq(net_mib(n->net, IPSTATS_MIB_FRAGCREATES), 3);
    for (u32 i = 0; i < 3; i++) { /* as the peer's: addresses swapped */
        u8 *f = n->sent[2 - i].data + 14;
        struct iphdr *iph = (struct iphdr *)f;

        cr_expect_leq(n->sent[2 - i].len, 1514);
        cr_expect_eq(ip_fast_csum(iph, 5), 0);
        iph->saddr = htobe32(IPNET_PEERIP);
        iph->daddr = htobe32(IPNET_MYIP);
        iph->check = 0;
        iph->check = ip_fast_csum(iph, 5);
        ipnet_rx_ip(n, f, n->sent[2 - i].len - 14);
    }
    expect_whole(4000);
    ipnet_free(n);
}

Test(ipv4_frag, only_the_first_output_fragment_has_options_that_are_not_copied)
{
    struct ipnet *n = setup();
    struct flowi4 fl = {.daddr = htobe32(IPNET_PEERIP)};
    struct sk_buff *skb = alloc_skb(n->net, MAX_HEADER_ROOM + 40 + 2000);
    const u8 opts[] = {7, 7, 4, 0, 0, 0, 0, 148, 4, 0, 0, 0}; /* record route; router alert, to be copied */
    struct ip_options *opt;
    struct socket *sock;
    struct sock *sk = ipnet_sock(n, &sock);
    struct rtable *rt;
    int err;

    ipnet_resolve(n, IPNET_PEERIP);
    inet_sk(sk)->pmtudisc = IP_PMTUDISC_DONT;
    rt = ip_route_output_flow(n->net, &fl, &err);
    cr_assert_eq(ip_options_get(&opt, opts, sizeof(opts)), 0);
    skb_reserve(skb, MAX_HEADER_ROOM + 40);
    memset(skb_put(skb, 2000), 0, 2000);
    cr_assert_eq(ip_build_and_send_pkt(skb, n->net, sk, rt, fl.saddr, fl.daddr, opt, 0, 0), 0);
    cr_assert_eq(n->nsent, 2);
    cr_expect_arr_eq(n->sent[0].data + 34, opts, 12);
    cr_expect_arr_eq(n->sent[1].data + 34, ((u8[]){1, 1, 1, 1, 1, 1, 1, 148, 4, 0, 0, 0}), 12);
    free(opt);
    dst_release(&rt->dst);
    sock_release(sock);
    ipnet_free(n);
}

Test(ipv4_output, df_larger_than_the_mtu_is_refused)
{
    struct ipnet *n = setup();
    struct flowi4 fl = {.daddr = htobe32(IPNET_PEERIP)};
    struct sk_buff *skb = alloc_skb(n->net, MAX_HEADER_ROOM + 2000);
    struct rtable *rt;
    int err;

    ipnet_resolve(n, IPNET_PEERIP);
    rt = ip_route_output_flow(n->net, &fl, &err);
    skb_reserve(skb, MAX_HEADER_ROOM);
    memset(skb_put(skb, 2000), 0, 2000);
    cr_expect_eq(ip_send_unicast(skb, n->net, rt, fl.saddr, fl.daddr, PROTO, 0, 0, true), -EMSGSIZE);
    cr_expect_eq(n->last_drop, SKB_DROP_REASON_FRAG_TOO_BIG);
    cr_expect_eq(n->nsent, 0);
    dst_release(&rt->dst);
    ipnet_free(n);
}

/* ---- ICMP --------------------------------------------------------------------------------------------------------------- */

static void rx_icmp(struct ipnet *n, u8 *p, u32 len, bool good)
{
    struct icmphdr *h = (struct icmphdr *)(p + 20);

    ipnet_iphdr((struct iphdr *)p, IPNET_PEERIP, IPNET_MYIP, IPPROTO_ICMP, len, 1, 0);
    h->checksum = 0;
    h->checksum = (u16)(ip_compute_csum(h, len - 20) ^ (good ? 0 : 1));
    ipnet_rx_ip(n, p, len);
}

Test(ipv4_icmp, echo_on_an_own_address_only)
{
    struct ipnet *n = setup();
    u8 p[84] = {0};

    ipnet_resolve(n, IPNET_PEERIP);
    p[20] = ICMP_ECHO;
    p[60] = 0x77;
    rx_icmp(n, p, 84, true);
    cr_assert_eq(n->nsent, 1);
    cr_expect_eq(n->sent[0].len, 98);
    cr_expect_eq(n->sent[0].data[34], ICMP_ECHOREPLY);
    cr_expect_eq(n->sent[0].data[74], 0x77);
    cr_expect_eq(ip_compute_csum(n->sent[0].data + 34, 64), 0);
    p[20] = ICMP_ECHO;
    rx_icmp(n, p, 84, false);
    cr_expect_eq(n->last_drop, SKB_DROP_REASON_ICMP_CSUM);
    n->dev.own_address = false;
    p[20] = ICMP_ECHO;
    rx_icmp(n, p, 84, true);
    cr_expect_eq(n->nsent, 1, "a shared address: the kernel answers");
    ipnet_free(n);
}

static u32 err_info, err_count;
static int proto_err(struct sk_buff *skb, u32 info)
{
    err_count++;
    err_info = info;
    cr_expect_eq(((struct iphdr *)skb->data)->protocol, 254);
    return 0;
}
static const struct net_protocol err_proto = {.handler = proto_rcv, .err_handler = proto_err};

Test(ipv4_icmp, errors_reach_the_protocol_if_the_inner_header_is_ours)
{
    struct ipnet *n = setup();
    u8 p[56] = {0};
    struct iphdr *inner = (struct iphdr *)(p + 28);

    inet_add_protocol(&err_proto, 254);
    p[20] = ICMP_DEST_UNREACH;
    p[21] = ICMP_FRAG_NEEDED;
    p[26] = 1400 >> 8, p[27] = 1400 & 255;
    ipnet_iphdr(inner, IPNET_MYIP, IPNET_PEERIP, 254, 1500, 1, IP_DF);
    rx_icmp(n, p, 56, true);
    cr_expect_eq(err_count, 1);
    cr_expect_eq(err_info, 1400);
    p[26] = p[27] = 0; /* an old router tells no MTU */
    rx_icmp(n, p, 56, true);
    cr_expect_eq(err_info, 0, "a router that tells no MTU: as Linux, no guess");
    ipnet_iphdr(inner, IPNET_PEERIP + 7, IPNET_PEERIP, 254, 1500, 1, IP_DF);
    rx_icmp(n, p, 56, true);
    cr_expect_eq(n->last_drop, SKB_DROP_REASON_ICMP_BAD, "not sent by us");
    ipnet_iphdr(inner, IPNET_MYIP, IPNET_PEERIP, 254, 1500, 1, IP_DF);
    rx_icmp(n, p, 50, true);
    cr_expect_eq(n->last_drop, SKB_DROP_REASON_ICMP_BAD, "inner header cut off");
    cr_expect_eq(err_count, 2);
    ipnet_free(n);
}

Test(ipv4_icmp, errors_are_limited)
{
    struct ipnet *n = setup();
    u8 p[40] = {0};

    ipnet_resolve(n, IPNET_PEERIP);
    ipnet_iphdr((struct iphdr *)p, IPNET_PEERIP, IPNET_MYIP, 252, 40, 1, 0);
    for (int i = 0; i < 50; i++)
        ipnet_rx_ip(n, p, 40);
    cr_expect_eq(n->nsent, 6, "a burst, then one a second: %u", n->nsent);
    cr_expect_eq(n->sent[0].data[34], ICMP_DEST_UNREACH);
    cr_expect_eq(n->sent[0].data[35], ICMP_PROT_UNREACH);
    ipnet_advance(n, NSEC_PER_SEC);
    for (int i = 0; i < 5; i++)
        ipnet_rx_ip(n, p, 40);
    cr_expect_eq(n->nsent, 7);
    ((struct iphdr *)p)->daddr = 0xffffffff; /* never about a broadcast */
    ((struct iphdr *)p)->check = 0;
    ((struct iphdr *)p)->check = ip_fast_csum(p, 5);
    ipnet_advance(n, 10 * NSEC_PER_SEC);
    ipnet_rx_ip(n, p, 40);
    cr_expect_eq(n->nsent, 7);
    ipnet_free(n);
}

/* ---- ARP --------------------------------------------------------------------------------------------------------------------- */

static void rx_arp(struct ipnet *n, u16 op, const u8 *sha, u32 sip, u32 tip, bool broadcast)
{
    u8 f[60] = {0};
    struct ethhdr *eth = (struct ethhdr *)f;
    struct arp_packet *a = (struct arp_packet *)(f + 14);
    __be32 s = htobe32(sip), t = htobe32(tip);

    memset(eth->h_dest, 0xff, 6);
    if (!broadcast)
        memcpy(eth->h_dest, ipnet_mymac, 6);
    memcpy(eth->h_source, sha, 6);
    eth->h_proto = htobe16(ETH_P_ARP);
    a->ar_hrd = htobe16(1);
    a->ar_pro = htobe16(ETH_P_IP);
    a->ar_hln = 6;
    a->ar_pln = 4;
    a->ar_op = htobe16(op);
    memcpy(a->ar_sha, sha, 6);
    memcpy(a->ar_sip, &s, 4);
    memcpy(a->ar_tip, &t, 4);
    ipnet_rx(n, f, 60);
}

static int nud(struct ipnet *n, u32 ip)
{
    struct neighbour *e;
    int s;

    rcu_read_lock();
    e = __ipv4_neigh_lookup_noref(&n->dev, htobe32(ip));
    s = e ? e->nud_state : -1;
    rcu_read_unlock();
    return s;
}

Test(ipv4_arp, answers_for_its_own_address)
{
    struct ipnet *n = setup();
    const struct arp_packet *a = (const struct arp_packet *)(n->sent[0].data + 14);

    rx_arp(n, ARPOP_REQUEST, ipnet_peermac, IPNET_PEERIP, IPNET_MYIP, true);
    cr_assert_eq(n->nsent, 1);
    cr_expect_eq(a->ar_op, htobe16(ARPOP_REPLY));
    cr_expect_arr_eq(a->ar_sha, ipnet_mymac, 6);
    cr_expect_arr_eq(a->ar_tha, ipnet_peermac, 6);
    cr_expect_eq(nud(n, IPNET_PEERIP), NUD_STALE, "who asks us is worth knowing");
    rx_arp(n, ARPOP_REQUEST, ipnet_peermac, IPNET_PEERIP, IPNET_MYIP + 8, true);
    cr_expect_eq(n->nsent, 1, "not our address");
    rx_arp(n, ARPOP_REQUEST, ipnet_peermac, 0, IPNET_MYIP, true);
    cr_expect_eq(n->nsent, 2, "a probe is answered: the address is taken");
    n->dev.own_address = false;
    rx_arp(n, ARPOP_REQUEST, ipnet_peermac, IPNET_PEERIP, IPNET_MYIP, true);
    cr_expect_eq(n->nsent, 2, "shared: the kernel answers");
    ipnet_free(n);
}

Test(ipv4_arp, nobody_can_push_entries_or_take_our_address)
{
    const u8 evil[6] = {2, 6, 6, 6, 6, 6}, multi[6] = {3, 0, 0, 0, 0, 1}, zero[6] = {0};
    struct ipnet *n = setup();

    rx_arp(n, ARPOP_REPLY, evil, IPNET_PEERIP, IPNET_MYIP, false);
    cr_expect_eq(nud(n, IPNET_PEERIP), -1, "an answer that nobody asked for");
    rx_arp(n, ARPOP_REPLY, evil, IPNET_MYIP, IPNET_MYIP, true);
    cr_expect_eq(n->last_drop, SKB_DROP_REASON_ARP_BAD);
    cr_expect_eq(nud(n, IPNET_MYIP), -1);
    cr_expect_eq(n->nsent, 1, "the address is defended once (RFC 5227)");
    cr_expect(strstr(n->last_log, "10.0.0.1") != NULL);
    rx_arp(n, ARPOP_REPLY, evil, IPNET_MYIP, IPNET_MYIP, true);
    cr_expect_eq(n->nsent, 1, "not more often than once in ten seconds");
    rx_arp(n, ARPOP_REQUEST, multi, IPNET_PEERIP, IPNET_MYIP, true);
    cr_expect_eq(n->last_drop, SKB_DROP_REASON_ARP_BAD);
    rx_arp(n, ARPOP_REQUEST, zero, IPNET_PEERIP, IPNET_MYIP, true);
    cr_expect_eq(n->last_drop, SKB_DROP_REASON_ARP_BAD);
    rx_arp(n, 9, ipnet_peermac, IPNET_PEERIP, IPNET_MYIP, true);
    cr_expect_eq(n->last_drop, SKB_DROP_REASON_ARP_BAD);
    rx_arp(n, ARPOP_REQUEST, ipnet_peermac, 0xe0000001, IPNET_MYIP, true);
    cr_expect_eq(n->last_drop, SKB_DROP_REASON_ARP_BAD);
    ipnet_free(n);
}

static void send_one(struct ipnet *n)
{
    struct flowi4 fl = {.daddr = htobe32(IPNET_PEERIP)};
    struct sk_buff *skb = alloc_skb(n->net, MAX_HEADER_ROOM + 100);
    int err;
    struct rtable *rt = ip_route_output_flow(n->net, &fl, &err);

    skb_reserve(skb, MAX_HEADER_ROOM);
    memset(skb_put(skb, 100), 0, 100);
    ip_send_unicast(skb, n->net, rt, fl.saddr, fl.daddr, 254, 0, 0, true);
    dst_release(&rt->dst);
}

Test(ipv4_arp, resolves_then_sends_what_waited)
{
    struct ipnet *n = setup();
    const struct arp_packet *a = (const struct arp_packet *)(n->sent[0].data + 14);

    send_one(n);
    cr_assert_eq(n->nsent, 1);
    cr_expect_eq(a->ar_op, htobe16(ARPOP_REQUEST));
    cr_expect_eq(n->sent[0].data[0], 0xff);
    rx_arp(n, ARPOP_REPLY, ipnet_peermac, IPNET_PEERIP, IPNET_MYIP, false);
    cr_assert_eq(n->nsent, 2);
    cr_expect_arr_eq(n->sent[1].data, ipnet_peermac, 6);
    cr_expect_eq(n->sent[1].len, 134);
    cr_expect_eq(nud(n, IPNET_PEERIP), NUD_REACHABLE);
    ipnet_free(n);
}

Test(ipv4_arp, silence_is_host_unreachable)
{
    struct ipnet *n = setup();

    inet_add_protocol(&err_proto, 254);
    err_count = 0;
    send_one(n);
    ipnet_advance(n, 10 * NSEC_PER_SEC);
    cr_expect_eq(err_count, 1, "the protocol hears of it");
    cr_expect_eq(n->last_drop, SKB_DROP_REASON_NEIGH_FAILED);
    ipnet_free(n);
}

/* ---- filter -------------------------------------------------------------------------------------------------------------------- */

Test(ipv4_nf, first_match_wins)
{
    struct ipnet *n = setup();
    u8 p[40] = {0};

    ipnet_iphdr((struct iphdr *)p, IPNET_PEERIP, IPNET_MYIP, PROTO, 40, 1, 0);
    cr_assert_eq(nf_add_rule(n->net, &(struct nf_rule){.hook = NF_LOCAL_IN, .saddr = htobe32(IPNET_PEERIP), .proto = PROTO, .verdict = NF_VERDICT_ACCEPT}), 0);
    cr_assert_eq(nf_add_rule(n->net, &(struct nf_rule){.hook = NF_LOCAL_IN, .verdict = NF_VERDICT_DROP}), 0);
    ipnet_rx_ip(n, p, 40);
    cr_expect_eq(got, 1);
    ipnet_iphdr((struct iphdr *)p, IPNET_PEERIP + 1, IPNET_MYIP, PROTO, 40, 1, 0);
    ipnet_rx_ip(n, p, 40);
    cr_expect_eq(got, 1);
    cr_expect_eq(n->last_drop, SKB_DROP_REASON_NETFILTER_DROP);
    nf_flush(n->net);
    ipnet_rx_ip(n, p, 40);
    cr_expect_eq(got, 2);
    ipnet_free(n);
}

Test(ipv4_nf, ports_and_masks)
{
    struct ipnet *n = setup();
    u8 p[40] = {0};

    inet_add_protocol(&proto, IPPROTO_UDP);
    nf_add_rule(n->net, &(struct nf_rule){.hook = NF_LOCAL_IN, .proto = IPPROTO_UDP, .dport = 53, .saddr = htobe32(0x0a000000), .smask = htobe32(0xff000000), .verdict = NF_VERDICT_REJECT});
    ipnet_resolve(n, IPNET_PEERIP);
    ipnet_iphdr((struct iphdr *)p, IPNET_PEERIP, IPNET_MYIP, IPPROTO_UDP, 40, 1, 0);
    p[23] = 53;
    ipnet_rx_ip(n, p, 40);
    cr_expect_eq(got, 0);
    cr_assert_eq(n->nsent, 1, "rejected: the sender is told");
    cr_expect_eq(n->sent[0].data[35], ICMP_PORT_UNREACH);
    p[23] = 54;
    ipnet_rx_ip(n, p, 40);
    cr_expect_eq(got, 1);
    ipnet_free(n);
}

Test(ipv4_nf, output_says_eperm)
{
    struct ipnet *n = setup();
    struct flowi4 fl = {.daddr = htobe32(IPNET_PEERIP)};
    struct rtable *rt;
    int err;

    rt = ip_route_output_flow(n->net, &fl, &err);
    for (int h = NF_LOCAL_OUT; h <= NF_POST_ROUTING; h++) {
        struct sk_buff *skb = alloc_skb(n->net, MAX_HEADER_ROOM + 20);
        skb_reserve(skb, MAX_HEADER_ROOM);
        memset(skb_put(skb, 20), 0, 20);
        nf_add_rule(n->net, &(struct nf_rule){.hook = (enum nf_inet_hooks_)h, .daddr = htobe32(IPNET_PEERIP), .verdict = NF_VERDICT_DROP});
        cr_expect_eq(ip_send_unicast(skb, n->net, rt, fl.saddr, fl.daddr, PROTO, 0, 0, true), -EPERM);
        nf_flush(n->net);
    }
    dst_release(&rt->dst);
    ipnet_free(n);
}
