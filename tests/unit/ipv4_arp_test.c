/* SPDX-License-Identifier: MIT */
/* What ARP believes of whom, and the address of our own: probed, announced, defended (RFC 826, RFC 5227). */

#include "../../stack/core/neighbour.h"
#include "../../stack/core/rcu.h"
#include "../../stack/ipv4/inet_sock.h"
#include "../lib/ipnet.h"
#include <criterion/criterion.h>
#include <linux/if_arp.h>

static struct ipnet *n;
static void setup(void) { n = ipnet_new(); }
static void teardown(void) { ipnet_free(n); }
TestSuite(arp, .init = setup, .fini = teardown);

static const u8 mac1[6] = {2, 1, 1, 1, 1, 1}, mac2[6] = {2, 2, 2, 2, 2, 2}, none[6], all[6] = {255, 255, 255, 255, 255, 255};
#define ME IPNET_MYIP
#define PEER IPNET_PEERIP

static void rx(u16 op, const u8 *to, const u8 *sha, u32 sip, const u8 *tha, u32 tip)
{
    struct {
        struct ethhdr eth;
        struct arp_packet arp;
        u8 pad[18];
    } __attribute__((packed)) f = {.eth.h_proto = htobe16(ETH_P_ARP),
                                   .arp = {.ar_hrd = htobe16(ARPHRD_ETHER), .ar_pro = htobe16(ETH_P_IP), .ar_hln = 6, .ar_pln = 4,
                                           .ar_op = htobe16(op)}};
    __be32 s = htobe32(sip), t = htobe32(tip);

    memcpy(f.eth.h_dest, to, 6);
    memcpy(f.eth.h_source, sha, 6);
    memcpy(f.arp.ar_sha, sha, 6);
    memcpy(f.arp.ar_sip, &s, 4);
    memcpy(f.arp.ar_tha, tha, 6);
    memcpy(f.arp.ar_tip, &t, 4);
    ipnet_rx(n, &f, sizeof(f));
}
static void reply(const u8 *sha) { rx(ARPOP_REPLY, ipnet_mymac, sha, PEER, ipnet_mymac, ME); }

static struct neighbour *entry(u32 ip)
{
    struct neighbour *e;

    rcu_read_lock();
    e = __ipv4_neigh_lookup_noref(&n->dev, htobe32(ip));
    rcu_read_unlock();
    return e;
}
static void known(const u8 *mac)
{
    rcu_read_lock();
    neigh_update(__neigh_create(n->net, htobe32(PEER), &n->dev), mac, NUD_REACHABLE, true);
    rcu_read_unlock();
    ipnet_advance(n, 2 * NSEC_PER_SEC);
}
#define expect_mac(mac, state)                                                                                        \
    do {                                                                                                               \
        cr_assert_arr_eq(entry(PEER)->ha, mac, 6);                                                                     \
        cr_assert_eq(entry(PEER)->nud_state, state, "state %#x", entry(PEER)->nud_state);                              \
    } while (0)

/* The i-th packet sent was an ARP request by broadcast with these addresses. */
static void expect_request(u32 i, u32 sip, u32 tip)
{
    const struct arp_packet *a = (const struct arp_packet *)(n->sent[i].data + ETH_HLEN);
    __be32 s, t;

    cr_assert_gt(n->nsent, i, "only %u were sent", n->nsent);
    memcpy(&s, a->ar_sip, 4);
    memcpy(&t, a->ar_tip, 4);
    cr_assert_arr_eq(n->sent[i].data, all, 6);
    cr_assert_eq(a->ar_op, htobe16(ARPOP_REQUEST));
    cr_assert_arr_eq(a->ar_sha, ipnet_mymac, 6);
    cr_assert_arr_eq(a->ar_tha, none, 6);
    cr_assert(be32toh(s) == sip && be32toh(t) == tip, "from %#x about %#x", be32toh(s), be32toh(t));
}

/* ---- what is believed ---------------------------------------------------------------------------------------------- */

Test(arp, two_answers_within_locktime_the_first_holds)
{
    known(mac1);
    reply(mac2);
    expect_mac(mac2, NUD_REACHABLE); /* long after the last: as Linux, taken over */
    ipnet_advance(n, 500 * NSEC_PER_MSEC);
    reply(mac1);
    expect_mac(mac2, NUD_REACHABLE);
    ipnet_advance(n, 600 * NSEC_PER_MSEC);
    reply(mac1);
    expect_mac(mac1, NUD_REACHABLE);
}

Test(arp, a_talkative_neighbour_does_not_keep_its_successor_out)
{
    known(mac1);
    for (int i = 0; i < 5; i++) { /* the same again says nothing new, and must not begin locktime anew */
        reply(mac1);
        ipnet_advance(n, 300 * NSEC_PER_MSEC);
    }
    reply(mac2);
    expect_mac(mac2, NUD_REACHABLE);
}

Test(arp, gratuitous_updates_at_once_what_is_known_and_makes_nothing)
{
    rx(ARPOP_REQUEST, all, mac1, PEER, none, PEER);
    rx(ARPOP_REPLY, all, mac1, PEER, mac1, PEER);
    cr_assert_null(entry(PEER));
    known(mac1);
    reply(mac1);
    rx(ARPOP_REQUEST, all, mac2, PEER, none, PEER); /* a failover: within locktime too */
    expect_mac(mac2, NUD_STALE);
    rx(ARPOP_REPLY, all, mac1, PEER, mac1, PEER);
    expect_mac(mac1, NUD_STALE);
    rx(ARPOP_REPLY, all, mac2, PEER, ipnet_mymac, PEER); /* says it once only: no gratuitous ARP, and too soon */
    expect_mac(mac1, NUD_STALE);
}

Test(arp, policy_of_gratuitous_arp_is_the_hosts)
{
    known(mac1);
    n->net->ipv4.sysctl_drop_gratuitous_arp = 1;
    rx(ARPOP_REQUEST, all, mac2, PEER, none, PEER);
    expect_mac(mac1, NUD_REACHABLE);
    cr_assert_eq(n->last_drop, SKB_DROP_REASON_ARP_BAD);
    n->net->ipv4.sysctl_drop_gratuitous_arp = 0;
    n->net->ipv4.sysctl_arp_accept = 1;
    rx(ARPOP_REQUEST, all, mac2, PEER + 1, none, PEER + 1);
    cr_assert_not_null(entry(PEER + 1));
    cr_assert_eq(entry(PEER + 1)->nud_state, NUD_STALE);
    rx(ARPOP_REPLY, ipnet_mymac, mac2, PEER + 2, ipnet_mymac, ME);
    cr_assert_not_null(entry(PEER + 2));
}

Test(arp, requests_and_broadcast_replies_do_not_prove_reachability)
{
    known(mac1);
    rx(ARPOP_REPLY, all, mac2, PEER, ipnet_mymac, ME);
    expect_mac(mac2, NUD_STALE);
    ipnet_advance(n, 2 * NSEC_PER_SEC);
    rx(ARPOP_REQUEST, all, mac1, PEER, none, ME);
    expect_mac(mac1, NUD_STALE);
    cr_assert_eq(n->nsent, 1);
    rx(ARPOP_REPLY, ipnet_mymac, mac1, PEER, ipnet_mymac, ME);
    expect_mac(mac1, NUD_REACHABLE);
}

Test(arp, nonsense_of_the_sender_is_dropped)
{
    static const struct {
        u16 op;
        u8 sha[6];
        u32 sip, tip;
        const char *what;
    } table[] = {
        {ARPOP_REPLY, {3, 0, 0, 0, 0, 1}, PEER, ME, "a multicast MAC"},
        {ARPOP_REPLY, {255, 255, 255, 255, 255, 255}, PEER, ME, "the broadcast MAC"},
        {ARPOP_REPLY, {0}, PEER, ME, "no MAC"},
        {ARPOP_REPLY, {2, 6, 6, 6, 6, 6}, ME, ME, "our address"},
        {ARPOP_REQUEST, {2, 6, 6, 6, 6, 6}, ME, PEER, "our address, asking"},
        {ARPOP_REPLY, {2, 6, 6, 6, 6, 6}, 0xe0000001, ME, "a multicast address"},
        {ARPOP_REPLY, {2, 6, 6, 6, 6, 6}, 0xffffffff, ME, "the broadcast address"},
        {ARPOP_REPLY, {2, 6, 6, 6, 6, 6}, 0x7f000001, ME, "loopback"},
        {ARPOP_REPLY, {2, 6, 6, 6, 6, 6}, 0x00000001, ME, "network 0"},
        {ARPOP_REPLY, {2, 6, 6, 6, 6, 6}, PEER, 0xe0000001, "to a multicast address"},
        {ARPOP_REPLY, {2, 6, 6, 6, 6, 6}, PEER, 0x7f000001, "to loopback"},
    };

    known(mac1);
    for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
        rx(table[i].op, ipnet_mymac, table[i].sha, table[i].sip, ipnet_mymac, table[i].tip);
        cr_assert_eq(n->last_drop, SKB_DROP_REASON_ARP_BAD, "%s", table[i].what);
        expect_mac(mac1, NUD_REACHABLE);
        cr_assert_null(entry(ME));
    }
    rx(ARPOP_REPLY, ipnet_mymac, ipnet_mymac, PEER, ipnet_mymac, ME);
    cr_assert_eq(n->last_drop, SKB_DROP_REASON_ARP_BAD, "our own MAC");
}

Test(arp, who_asks_for_somebody_else_makes_no_entry)
{
    rx(ARPOP_REQUEST, all, mac1, PEER, none, ME + 7);
    cr_assert_null(entry(PEER));
    cr_assert_eq(n->nsent, 0);
    reply(mac1); /* that nobody asked for */
    cr_assert_null(entry(PEER));
}

Test(arp, the_question_comes_from_the_address_that_the_packet_comes_from)
{
    struct flowi4 fl = {.daddr = htobe32(PEER), .saddr = htobe32(ME + 8)};
    struct sk_buff *skb = alloc_skb(n->net, MAX_HEADER_ROOM + 100);
    struct rtable *rt;
    int err;

    dev_add_addr(&n->dev, htobe32(ME + 8), 24);
    rt = ip_route_output_flow(n->net, &fl, &err);
    skb_reserve(skb, MAX_HEADER_ROOM);
    memset(skb_put(skb, 100), 0, 100);
    ip_send_unicast(skb, n->net, rt, fl.saddr, fl.daddr, 254, 0, 0, true);
    dst_release(&rt->dst);
    expect_request(0, ME + 8, PEER);
}

/* ---- an address of our own ------------------------------------------------------------------------------------------- */

Test(arp, probe_has_no_sender_and_nobody_is_told_meanwhile)
{
    arp_probe(&n->dev, htobe32(ME));
    cr_assert_eq(n->nsent, 1);
    expect_request(0, 0, ME);
    rx(ARPOP_REQUEST, all, mac1, PEER, none, ME);
    cr_assert_eq(n->nsent, 1, "it is not ours to answer for yet");
    cr_assert_not(arp_probe_conflict(n->net), "who only asks does not claim it");
    arp_announce(&n->dev, htobe32(ME));
    expect_request(1, ME, ME);
    rx(ARPOP_REQUEST, all, mac1, PEER, none, ME);
    cr_assert_eq(n->nsent, 3);
}

Test(arp, probe_answered_is_a_conflict)
{
    arp_probe(&n->dev, htobe32(ME));
    rx(ARPOP_REPLY, ipnet_mymac, mac1, ME, ipnet_mymac, 0);
    cr_assert(arp_probe_conflict(n->net));
    cr_assert_eq(n->nsent, 1, "not ours: nothing to defend");
    arp_probe(&n->dev, htobe32(ME));
    cr_assert(arp_probe_conflict(n->net), "a further probe forgets nothing");
    arp_probe(&n->dev, htobe32(ME + 8));
    cr_assert_not(arp_probe_conflict(n->net), "another address does");
}

Test(arp, probe_met_by_an_announcement_or_by_another_probe_is_a_conflict)
{
    arp_probe(&n->dev, htobe32(ME));
    rx(ARPOP_REQUEST, all, mac1, ME, none, ME);
    cr_assert(arp_probe_conflict(n->net));
    arp_announce(&n->dev, htobe32(ME));
    arp_probe(&n->dev, htobe32(ME));
    cr_assert_not(arp_probe_conflict(n->net));
    rx(ARPOP_REQUEST, all, mac1, 0, none, ME);
    cr_assert(arp_probe_conflict(n->net));
}

Test(arp, announced_twice_two_seconds_apart)
{
    arp_announce(&n->dev, htobe32(ME));
    cr_assert_eq(n->nsent, 1);
    expect_request(0, ME, ME);
    ipnet_advance(n, 1999 * NSEC_PER_MSEC);
    cr_assert_eq(n->nsent, 1);
    ipnet_advance(n, 2 * NSEC_PER_MSEC);
    expect_request(1, ME, ME);
    ipnet_advance(n, 100 * NSEC_PER_SEC);
    cr_assert_eq(n->nsent, 2);
}

Test(arp, announced_no_more_once_the_address_is_gone)
{
    arp_announce(&n->dev, htobe32(ME));
    dev_del_addr(&n->dev, htobe32(ME));
    ipnet_advance(n, 10 * NSEC_PER_SEC);
    cr_assert_eq(n->nsent, 1);
}

Test(arp, defended_once_in_ten_seconds_whatever_else_was_warned_of)
{
    ip_warn_ratelimit(n->net); /* some other warning */
    rx(ARPOP_REPLY, all, mac1, ME, none, ME);
    cr_assert_eq(n->nsent, 1);
    expect_request(0, ME, ME);
    ipnet_advance(n, 9 * NSEC_PER_SEC);
    rx(ARPOP_REPLY, all, mac1, ME, none, ME);
    cr_assert_eq(n->nsent, 1);
    ipnet_advance(n, 2 * NSEC_PER_SEC);
    rx(ARPOP_REPLY, all, mac1, ME, none, ME);
    cr_assert_eq(n->nsent, 2);
    n->dev.own_address = false; /* shared: the kernel defends it */
    ipnet_advance(n, 20 * NSEC_PER_SEC);
    rx(ARPOP_REPLY, all, mac1, ME, none, ME);
    cr_assert_eq(n->nsent, 2);
}
