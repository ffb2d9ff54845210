/* SPDX-License-Identifier: MIT */
/* What ip_queue_xmit makes of a connection's segments: DF, ident, TTL, TOS, options, and the socket's cached route. */

#include "../lib/tcpscript.h"
#include <fcntl.h>

TestSuite(ip_header, .init = script_init, .fini = script_fini);

static int lookups, lookup_error;
static u32 lookup_mtu;
static __be32 lookup_daddr, lookup_gateway;
static int counted_lookup(struct net *net, const struct flowi4 *fl, struct fib_result *res)
{
    lookups++;
    lookup_daddr = fl->daddr;
    if (lookup_error)
        return lookup_error;
    *res = (struct fib_result){.ifindex = 2, .type = RTN_UNICAST_, .mtu = lookup_mtu, .gateway = lookup_gateway};
    return 0;
}
static const struct net_route_ops counted_routes = {.lookup = counted_lookup};

/* ---- DF and ident (compared with a 6.18 kernel's packets) --------------------------------------------------------- */

static const bool df_of[] = {[IP_PMTUDISC_DONT] = false,  [IP_PMTUDISC_WANT] = true,       [IP_PMTUDISC_DO] = true,
                             [IP_PMTUDISC_PROBE] = false, [IP_PMTUDISC_INTERFACE] = false, [IP_PMTUDISC_OMIT] = false};

Test(ip_header, syn_sent_and_established_df_follows_ip_mtu_discover)
{
    for (int d = IP_PMTUDISC_DONT; d <= IP_PMTUDISC_OMIT; d++) {
        struct socket *s = sys_socket();

        cr_assert_eq(sys_bind(s, 0, (u16)(5000 + d)), 0);
        cr_assert_eq(sys_setsockopt(s, SOL_IP, IP_MTU_DISCOVER, d), 0);
        cr_assert_eq(sys_connect(s, 600), -EINPROGRESS);
        tx(.flags = "S", .df = df_of[d]);
        rx(.flags = "SA", .opt = "mss 1460", .win = 65535);
        tx(.df = df_of[d]);
        cr_assert_eq(sys_write(s, 100), 100);
        tx(.len = 100, .df = df_of[d]);
        rx();
    }
}

Test(ip_header, syn_recv_synack_has_df_and_no_ident_whatever_the_listener_says)
{
    for (int d = IP_PMTUDISC_DONT; d <= IP_PMTUDISC_OMIT; d++) {
        struct socket *l = sys_listen((u16)(100 + d), 5), *s;

        cr_assert_eq(sys_setsockopt(l, SOL_IP, IP_MTU_DISCOVER, d), 0);
        rx(.flags = "S", .opt = "mss 1460", .lport = (u16)(100 + d));
        tx(.flags = "SA", .df = 1, .ip_id = 0);
        rx();
        s = sys_accept_ok(l);
        cr_assert_eq(sys_write(s, 10), 10);
        tx(.len = 10, .df = df_of[d]); /* the child has the listener's */
        rx();
    }
}

Test(ip_header, established_ident_counts_every_segment_also_those_of_one_gso_packet)
{
    struct socket *s = script_accepted("mss 1460", 65535);
    u32 id = atomic_load(&inet_sk(s->sk)->inet_id) & 0xffff;

    cr_assert_eq(sys_write(s, 4000), 4000);
    tx(.len = 1460, .ip_id = id);
    tx(.len = 1460, .ip_id = (id + 1) & 0xffff);
    tx(.len = 1080, .ip_id = (id + 2) & 0xffff);
    rx(.len = 1460);
    tx(.ip_id = (id + 3) & 0xffff);
}

Test(ip_header, established_ident_is_private_to_the_connection)
{
    struct socket *l = sys_listen(80, 10), *a, *b;
    u32 id;

    rx(.flags = "S", .opt = "mss 1460", .sport = 700);
    tx(.flags = "SA");
    rx();
    a = sys_accept_ok(l);
    rx(.flags = "S", .opt = "mss 1460", .sport = 701);
    tx(.flags = "SA");
    rx();
    b = sys_accept_ok(l);
    id = atomic_load(&inet_sk(a->sk)->inet_id) & 0xffff;
    cr_assert_neq(id, atomic_load(&inet_sk(b->sk)->inet_id) & 0xffff);
    for (int i = 0; i < 5; i++) {
        cr_assert_eq(sys_write(b, 1), 1);
        tx(.len = 1, .sport = 701);
        rx(.sport = 701);
    }
    cr_assert_eq(sys_write(a, 1), 1);
    tx(.len = 1, .sport = 700, .ip_id = id);
    rx(.sport = 700);
}

/* ---- TTL, TOS ------------------------------------------------------------------------------------------------------- */

Test(ip_header, established_ttl_is_the_systems_then_the_programs)
{
    struct socket *s;

    script_net->ipv4.sysctl_ip_default_ttl = 61;
    s = script_accepted("mss 1460", 65535);
    cr_assert_eq(sys_getsockopt_int(s, SOL_IP, IP_TTL), 61);
    cr_assert_eq(sys_write(s, 1), 1);
    tx(.len = 1, .ttl = 61);
    rx();
    cr_assert_eq(sys_setsockopt(s, SOL_IP, IP_TTL, 7), 0);
    cr_assert_eq(sys_write(s, 1), 1);
    tx(.len = 1, .ttl = 7);
    rx();
    cr_assert_eq(sys_setsockopt(s, SOL_IP, IP_TTL, 0), -EINVAL);
    cr_assert_eq(sys_setsockopt(s, SOL_IP, IP_TTL, 256), -EINVAL);
    cr_assert_eq(sys_setsockopt(s, SOL_IP, IP_TTL, -1), 0);
    cr_assert_eq(sys_write(s, 1), 1);
    tx(.len = 1, .ttl = 61);
    rx();
}

Test(ip_header, listen_tos_is_on_the_synack_and_on_what_the_child_sends)
{
    struct socket *l = sys_listen(80, 5), *s;

    cr_assert_eq(sys_setsockopt(l, SOL_IP, IP_TOS, 0x10 | INET_ECN_CE), 0);
    cr_assert_eq(sys_getsockopt_int(l, SOL_IP, IP_TOS), 0x10); /* the ECN bits are TCP's */
    cr_assert_eq(sys_getsockopt_int(l, SOL_SOCKET, SO_PRIORITY), 6);
    rx(.flags = "S", .opt = "mss 1460");
    tx(.flags = "SA", .tos = 0x10);
    rx();
    s = sys_accept_ok(l);
    cr_assert_eq(sys_write(s, 1), 1);
    tx(.len = 1, .tos = 0x10);
    rx();
    cr_assert_eq(sys_setsockopt(s, SOL_IP, IP_TOS, 0xb8), 0);
    cr_assert_eq(sys_write(s, 1), 1);
    tx(.len = 1, .tos = 0xb8);
    rx();
}

Test(ip_header, closed_reset_has_the_tos_of_what_it_answers_but_not_its_ecn)
{
    rx(.flags = "S", .lport = 9, .tos = 0x10 | INET_ECN_ECT_0);
    tx(.flags = "RA", .seq = 0 - 0, .tos = 0x10, .df = 1, .ip_id = 0);
}

/* ---- IP options ------------------------------------------------------------------------------------------------------ */

Test(ip_header, established_ip_options_are_sent_and_make_segments_smaller)
{
    struct socket *s = script_accepted("mss 1460", 65535);
    const u8 ra[] = {148, 4, 0, 0}, bad[] = {148, 9, 0, 0};
    u8 back[40];
    socklen_t len = sizeof(back);

    cr_assert_eq(s->ops->setsockopt(s, SOL_IP, IP_OPTIONS, ra, sizeof(ra)), 0);
    cr_assert_eq(s->ops->setsockopt(s, SOL_IP, IP_OPTIONS, bad, sizeof(bad)), -EINVAL);
    cr_assert_eq(sys_write(s, 2000), 2000);
    tx(.len = 1456, .ip_opt = "94040000");
    tx(.len = 544, .ip_opt = "94040000");
    rx();
    cr_assert_eq(s->ops->getsockopt(s, SOL_IP, IP_OPTIONS, back, &len), 0);
    cr_assert_eq(len, 4);
    cr_assert_eq(memcmp(back, ra, 4), 0);
    cr_assert_eq(s->ops->setsockopt(s, SOL_IP, IP_OPTIONS, NULL, 0), 0);
    cr_assert_eq(sys_write(s, 1460), 1460);
    tx(.len = 1460, .ip_opt = "");
    rx();
}

Test(ip_header, syn_sent_loose_source_route_is_routed_to_its_first_hop)
{
    const u8 lsrr[] = {131, 7, 4, 10, 0, 0, 77};
    struct sockaddr_in far = {.sin_family = AF_INET, .sin_addr.s_addr = htobe32(0x0a000009), .sin_port = htobe16(600)};
    struct socket *s = sys_socket_bound();

    script_net->route_ops = &counted_routes;
    lookup_error = 0;
    lookup_mtu = 1500;
    cr_assert_eq(s->ops->setsockopt(s, SOL_IP, IP_OPTIONS, lsrr, sizeof(lsrr)), 0);
    cr_assert_eq(s->ops->connect(s, (struct sockaddr *)&far, sizeof(far), O_NONBLOCK), -EINPROGRESS);
    cr_assert_eq(be32toh(lookup_daddr), 0x0a00004d);
    cr_assert_eq(be32toh(inet_sk(s->sk)->inet_daddr), 0x0a000009); /* still whom we talk to */
}

Test(ip_header, syn_sent_strict_source_route_through_a_gateway_is_unreachable)
{
    const u8 ssrr[] = {137, 7, 4, 10, 0, 0, 77};
    struct socket *s = sys_socket_bound();

    script_net->route_ops = &counted_routes;
    lookup_error = 0;
    lookup_mtu = 1500;
    lookup_gateway = htobe32(SCRIPT_PEER);
    cr_assert_eq(s->ops->setsockopt(s, SOL_IP, IP_OPTIONS, ssrr, sizeof(ssrr)), 0);
    sys_connect(s, 600);
    tx_nothing(); /* the first hop must be a neighbour (RFC 791 3.1) */
    cr_assert_eq(mib(IPSTATS_MIB_OUTNOROUTES), 1);
    lookup_gateway = 0;
}

/* ---- the cached route -------------------------------------------------------------------------------------------------- */

Test(ip_header, established_route_is_asked_for_once_and_again_when_it_became_void)
{
    struct socket *s;

    script_net->route_ops = &counted_routes;
    lookups = lookup_error = 0;
    lookup_mtu = 1500;
    s = script_connected("mss 1460", 65535);
    cr_assert_eq(lookups, 1);
    for (int i = 0; i < 5; i++) {
        cr_assert_eq(sys_write(s, 10), 10);
        tx(.len = 10);
        rx();
    }
    cr_assert_eq(lookups, 1);
    lookup_mtu = 1000;
    rt_cache_flush(script_net);
    cr_assert_eq(sys_write(s, 10), 10);
    tx(.len = 10);
    rx();
    cr_assert_eq(lookups, 2);
    cr_assert_eq(sys_getsockopt_int(s, SOL_IP, IP_MTU), 1000);
    cr_assert_eq(sys_write(s, 1000), 1000); /* and the segments fit the new route */
    tx(.len = 960);
    tx(.len = 40);
    rx();
    cr_assert_eq(lookups, 2);
}

Test(ip_header, established_without_a_route_data_waits_and_goes_when_there_is_one)
{
    struct socket *s;
    u64 before;

    script_net->route_ops = &counted_routes;
    lookup_error = 0;
    lookup_mtu = 1500;
    s = script_connected("mss 1460", 65535);
    before = mib(IPSTATS_MIB_OUTNOROUTES);
    lookup_error = -ENETUNREACH;
    rt_cache_flush(script_net);
    cr_assert_eq(sys_write(s, 10), 10);
    tx_nothing();
    cr_assert_eq(mib(IPSTATS_MIB_OUTNOROUTES), before + 1);
    cr_assert_eq(drops(SKB_DROP_REASON_IP_OUTNOROUTES), 1);
    lookup_error = 0;
    advance_ms(3000);
    tx(.len = 10);
    tx_ignore();
    rx(.ack = 11);
}

Test(ip_header, established_packet_cut_for_a_larger_mtu_is_refused_and_goes_again_smaller)
{
    struct socket *s;

    script_net->route_ops = &counted_routes;
    lookup_error = 0;
    lookup_mtu = 1500;
    s = script_connected("mss 1460", 65535);
    lookup_mtu = 1000;
    rt_cache_flush(script_net); /* TCP notices when IP looks the route up */
    cr_assert_eq(sys_write(s, 1460 * 2), 1460 * 2);
    cr_assert_gt(drops(SKB_DROP_REASON_FRAG_TOO_BIG), 0);
    advance_ms(1000);
    tx(.seq = 1, .len = 960, .df = 1);
    tx_ignore();
    rx();
    tx(.seq = 961, .len = 960);
    rx();
    tx(.seq = 1921, .len = 960);
    tx(.seq = 2881, .len = 40);
    rx();
}

Test(ip_header, established_ip_tos_changes_the_route)
{
    struct socket *s;

    script_net->route_ops = &counted_routes;
    lookups = lookup_error = 0;
    lookup_mtu = 1500;
    s = script_connected("mss 1460", 65535);
    cr_assert_eq(sys_setsockopt(s, SOL_IP, IP_TOS, 0x10), 0);
    cr_assert_eq(sys_write(s, 10), 10);
    tx(.len = 10, .tos = 0x10);
    rx();
    cr_assert_eq(lookups, 2);
}

Test(ip_header, established_acknowledged_data_confirms_the_neighbour_once)
{
    struct socket *s = script_accepted("mss 1460", 65535);

    cr_assert_eq(sys_write(s, 10), 10);
    tx(.len = 10);
    rx(.ack = 11);
    cr_assert(s->sk->sk_dst_pending_confirm);
    cr_assert_eq(sys_write(s, 10), 10);
    tx(.len = 10);
    cr_assert(!s->sk->sk_dst_pending_confirm); /* what is sent without an answer is no sign of life */
    rx(.ack = 21);
}

/* ---- the program's view ---------------------------------------------------------------------------------------------------- */

Test(ip_header, ip_mtu_is_enotconn_before_connect_and_the_paths_after)
{
    struct socket *s = sys_socket_bound();
    int mtu;
    socklen_t len = sizeof(mtu);

    cr_assert_eq(s->ops->getsockopt(s, SOL_IP, IP_MTU, &mtu, &len), -ENOTCONN);
    cr_assert_eq(sys_connect(s, 600), -EINPROGRESS);
    tx(.flags = "S");
    cr_assert_eq(sys_getsockopt_int(s, SOL_IP, IP_MTU), 1500);
    cr_assert_eq(sys_getsockopt_int(s, SOL_IP, IP_MTU_DISCOVER), IP_PMTUDISC_WANT);
    cr_assert_eq(sys_setsockopt(s, SOL_IP, IP_MTU_DISCOVER, 6), -EINVAL);
    cr_assert_eq(sys_setsockopt(s, SOL_IP, IP_MTU_DISCOVER, -1), -EINVAL);
}

Test(ip_header, no_pmtu_discovery_by_the_system_makes_sockets_without_df)
{
    struct socket *s;

    script_net->ipv4.sysctl_ip_no_pmtu_disc = 1;
    s = script_accepted("mss 1460", 65535);
    cr_assert_eq(sys_getsockopt_int(s, SOL_IP, IP_MTU_DISCOVER), IP_PMTUDISC_DONT);
    cr_assert_eq(sys_write(s, 1), 1);
    tx(.len = 1, .df = 0);
    rx();
}
