/* SPDX-License-Identifier: MIT */
/* Longest prefix, metrics, the route cache and its voiding, learned path MTUs. */
#include "../lib/ipnet.h"
#include "../../stack/core/rcu.h"
#include <criterion/criterion.h>

#define IP(a, b, c, d) htobe32((u32)(a) << 24 | (b) << 16 | (c) << 8 | (d))

static __be32 gw(struct net *net, __be32 daddr)
{
    struct flowi4 fl = {.daddr = daddr};
    struct fib_result res;

    return fib_lookup(net, &fl, &res) ? 0xffffffff : res.gateway;
}

Test(ipv4_fib, longest_prefix_then_metric)
{
    struct ipnet *n = ipnet_new();
    struct net *net = n->net;

    cr_assert_eq(gw(net, IP(8, 8, 8, 8)), 0xffffffff, "no route, no answer");
    cr_assert_eq(fib_add_route(net, 0, 0, IP(10, 0, 0, 254), 7, 100, 0), 0);
    cr_assert_eq(fib_add_route(net, 0, 0, IP(10, 0, 0, 253), 7, 50, 0), 0);
    cr_assert_eq(fib_add_route(net, IP(192, 168, 0, 0), 16, IP(10, 0, 0, 2), 7, 0, 0), 0);
    cr_assert_eq(fib_add_route(net, IP(192, 168, 5, 0), 24, IP(10, 0, 0, 3), 7, 0, 0), 0);
    cr_assert_eq(fib_add_route(net, IP(192, 168, 5, 7), 32, IP(10, 0, 0, 4), 7, 0, 0), 0);
    cr_assert_eq(fib_add_route(net, IP(192, 168, 5, 0), 24, IP(10, 0, 0, 9), 7, 0, 0), -EEXIST);
    cr_assert_eq(fib_add_route(net, IP(192, 168, 5, 1), 24, 0, 7, 1, 0), -EINVAL, "host bits below the prefix");
    cr_assert_eq(fib_add_route(net, 0, 33, 0, 7, 0, 0), -EINVAL);

    cr_expect_eq(gw(net, IP(8, 8, 8, 8)), IP(10, 0, 0, 253), "the smaller metric");
    cr_expect_eq(gw(net, IP(192, 168, 9, 1)), IP(10, 0, 0, 2));
    cr_expect_eq(gw(net, IP(192, 168, 5, 8)), IP(10, 0, 0, 3));
    cr_expect_eq(gw(net, IP(192, 168, 5, 7)), IP(10, 0, 0, 4));
    cr_expect_eq(gw(net, IP(10, 0, 0, 77)), 0, "the device's subnet is on link");

    cr_assert_eq(fib_del_route(net, IP(192, 168, 5, 0), 24, IP(10, 0, 0, 3), 7), 0);
    cr_assert_eq(fib_del_route(net, IP(192, 168, 5, 0), 24, IP(10, 0, 0, 3), 7), -ESRCH);
    cr_expect_eq(gw(net, IP(192, 168, 5, 8)), IP(10, 0, 0, 2));
    cr_expect_eq(gw(net, IP(192, 168, 5, 7)), IP(10, 0, 0, 4));
    ipnet_free(n);
}

/* Against the obvious linear search, on many random routes. */
Test(ipv4_fib, agrees_with_a_linear_search)
{
    struct ipnet *n = ipnet_new();
    struct net *net = n->net;
    struct { u32 dst; int len; u32 gw; } r[300];
    int nr = 0;

    for (int i = 0; i < 300; i++) {
        int len = (int)net_random_below(net, 25) + 8;
        u32 dst = (0xc0000000 | net_random_below(net, 1u << 14) << 12) & (~0u << (32 - len));
        if (!fib_add_route(net, htobe32(dst), len, htobe32(0x0a000000u + 2 + (u32)nr % 250), 7, (u32)i, 0)) {
            r[nr].dst = dst, r[nr].len = len, r[nr].gw = 0x0a000000u + 2 + (u32)nr % 250;
            nr++;
        }
    }
    for (int i = 0; i < 3000; i++) {
        u32 a = 0xc0000000 | net_random_below(net, 1u << 26);
        int best = -1;
        for (int k = 0; k < nr; k++)
            if ((a & (~0u << (32 - r[k].len))) == r[k].dst && (best < 0 || r[k].len > r[best].len))
                best = k; /* added in the order of the metric */
        cr_assert_eq(gw(net, htobe32(a)), best < 0 ? 0xffffffff : htobe32(r[best].gw));
    }
    ipnet_free(n);
}

Test(ipv4_route, cache_is_shared_until_it_is_void)
{
    struct ipnet *n = ipnet_new();
    struct flowi4 fl = {.daddr = IP(10, 0, 0, 9), .dport = 1}, fl2 = {.daddr = IP(10, 0, 0, 9), .dport = 2};
    struct rtable *a, *b, *c;
    int err;

    a = ip_route_output_flow(n->net, &fl, &err);
    cr_assert_not_null(a);
    cr_expect_eq(fl.saddr, htobe32(IPNET_MYIP), "source chosen");
    b = ip_route_output_flow(n->net, &fl2, &err);
    cr_expect_eq(a, b, "ports are not in the key");
    rt_cache_flush(n->net);
    cr_expect(!dst_check(&a->dst));
    fl2.saddr = 0;
    c = ip_route_output_flow(n->net, &fl2, &err);
    cr_expect_neq(a, c);
    cr_expect(dst_check(&c->dst));
    dst_release(&a->dst);
    dst_release(&b->dst);
    dst_release(&c->dst);

    fl = (struct flowi4){.daddr = IP(172, 16, 0, 1)};
    cr_expect_null(ip_route_output_flow(n->net, &fl, &err));
    cr_expect_eq(err, -ENETUNREACH);
    fl = (struct flowi4){.daddr = IP(10, 0, 0, 9), .saddr = IP(224, 0, 0, 1)};
    cr_expect_null(ip_route_output_flow(n->net, &fl, &err));
    cr_expect_eq(err, -EINVAL);
    ipnet_free(n);
}

Test(ipv4_route, many_peers_do_not_grow_it_without_end)
{
    struct ipnet *n = ipnet_new();
    int err;

    fib_add_route(n->net, 0, 0, IP(10, 0, 0, 254), 7, 0, 0);
    for (u32 i = 0; i < 20000; i++) {
        struct flowi4 fl = {.daddr = htobe32(0x14000000u + i)};
        struct rtable *rt = ip_route_output_flow(n->net, &fl, &err);
        cr_assert_not_null(rt);
        dst_release(&rt->dst);
    }
    ipnet_free(n);
}

Test(ipv4_route, path_mtu_is_learned_and_expires)
{
    struct ipnet *n = ipnet_new();
    struct flowi4 fl = {.daddr = IP(10, 0, 0, 9)};
    struct rtable *rt, *rt2;
    int err;

    rt = ip_route_output_flow(n->net, &fl, &err);
    ip_rt_update_pmtu(n->net, &rt->dst, fl.daddr, 1400);
    cr_expect_eq(dst_mtu(&rt->dst), 1400);
    ip_rt_update_pmtu(n->net, &rt->dst, fl.daddr, 1450);
    cr_expect_eq(dst_mtu(&rt->dst), 1400, "an error can only lower it");
    rt_cache_flush(n->net); /* the exception outlives the cache entry */
    fl.saddr = 0;
    rt2 = ip_route_output_flow(n->net, &fl, &err);
    cr_expect_neq(rt, rt2);
    cr_expect_eq(dst_mtu(&rt2->dst), 1400);
    ip_rt_update_pmtu(n->net, &rt2->dst, fl.daddr, 100);
    cr_expect_eq(dst_mtu(&rt2->dst), 552, "not below min_pmtu");
    cr_expect(rt2->rt_mtu_locked, "sent without DF then");
    ipnet_advance(n, 601 * NSEC_PER_SEC);
    dst_release(&rt->dst);
    rt = ip_route_output_flow(n->net, &fl, &err);
    cr_expect_eq(dst_mtu(&rt->dst), 1500);
    dst_release(&rt->dst);
    dst_release(&rt2->dst);
    ipnet_free(n);
}
