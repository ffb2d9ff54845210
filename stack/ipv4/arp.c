/* SPDX-License-Identifier: MIT */
/* ARP for IPv4 over Ethernet (RFC 826, RFC 5227). On a shared address the kernel answers requests and gives us
 * copies of the replies; on an address of our own the stack does both. Nobody can make an entry appear, or
 * take over our own address, by shouting. */

#include "inet_sock.h"
#include "../core/log.h"
#include "../core/neighbour.h"
#include "../core/rcu.h"
#include "../core/spinlock.h"
#include <linux/icmp.h> /* linux/if.h */
#include <linux/if_arp.h>

/* RFC 5227 1.1 */
#define ANNOUNCE_NUM 2
#define ANNOUNCE_INTERVAL (2 * NSEC_PER_SEC)
#define DEFEND_INTERVAL (10 * NSEC_PER_SEC)

/* Address conflict detection (RFC 5227) for the one address that is the stack's own. A program cannot wait the 4 to 7
 * seconds that the RFC gives the probing, so its length is the caller's: arp_probe() to arp_announce(). */
struct arp_acd {
    spinlock_t lock; /* protects the rest; only the timer base nests in it */
    int ifindex;
    __be32 addr;
    bool probing, conflict;
    int announcements; /* still to be sent */
    u64 defended;      /* when last, 0: never */
    struct timer_list timer;
    struct net *net;
};

/* Build and send one packet; NULL for eth_dst: broadcast. */
static void arp_send(struct net_device *dev, u16 op, const u8 *eth_dst, __be32 sip, const u8 *tha, __be32 tip)
{
    struct sk_buff *skb = alloc_skb(dev->net, MAX_HEADER_ROOM);
    struct arp_packet *arp;
    struct ethhdr *eth;

    if (!skb)
        return;
    skb_reserve(skb, 64);
    arp = skb_put(skb, sizeof(*arp));
    skb_reset_network_header(skb);
    arp->ar_hrd = htobe16(ARPHRD_ETHER);
    arp->ar_pro = htobe16(ETH_P_IP);
    arp->ar_hln = ETH_ALEN;
    arp->ar_pln = 4;
    arp->ar_op = htobe16(op);
    memcpy(arp->ar_sha, dev->dev_addr, ETH_ALEN);
    memcpy(arp->ar_sip, &sip, 4);
    if (tha)
        memcpy(arp->ar_tha, tha, ETH_ALEN);
    else
        memset(arp->ar_tha, 0, ETH_ALEN);
    memcpy(arp->ar_tip, &tip, 4);
    eth = skb_push(skb, ETH_HLEN);
    skb_reset_mac_header(skb);
    skb->mac_len = ETH_HLEN;
    memcpy(eth->h_dest, eth_dst ? eth_dst : dev->broadcast, ETH_ALEN);
    memcpy(eth->h_source, dev->dev_addr, ETH_ALEN);
    eth->h_proto = htobe16(ETH_P_ARP);
    skb->protocol = htobe16(ETH_P_ARP);
    skb->dev = dev;
    dev_queue_xmit(skb);
}

/* neigh_solicit: ask who has n's address; dst_ha: ask the one we believe to have it. As Linux (arp_announce 0) the
 * question comes from the address that the waiting packet comes from. */
static void arp_solicit(struct neighbour *n, const u8 *dst_ha, __be32 saddr)
{
    if (!saddr || inet_addr_type(n->net, saddr) != RTN_LOCAL_)
        saddr = inet_select_addr(n->dev, n->primary_key);
    if (saddr)
        arp_send(n->dev, ARPOP_REQUEST, dst_ha, saddr, NULL, n->primary_key);
}

/* ---- an address of our own: probe, announce, defend -------------------------------------------------------------- */

void arp_probe(struct net_device *dev, __be32 addr)
{
    struct arp_acd *acd = dev->net->acd;

    spin_lock(&acd->lock);
    if (!acd->probing || acd->addr != addr)
        acd->conflict = false;
    acd->probing = true;
    acd->addr = addr;
    acd->ifindex = dev->ifindex;
    spin_unlock(&acd->lock);
    arp_send(dev, ARPOP_REQUEST, NULL, 0, NULL, addr);
}

bool arp_probe_conflict(struct net *net)
{
    bool conflict;

    spin_lock(&net->acd->lock);
    conflict = net->acd->conflict;
    spin_unlock(&net->acd->lock);
    return conflict;
}

/* Is this packet the answer to our probe, or a probe of somebody who wants the same address (RFC 5227 2.1.1)? While we
 * probe, the address is not ours to answer for. */
static bool acd_probing(struct net_device *dev, const struct arp_packet *arp, __be32 sip, __be32 tip)
{
    struct arp_acd *acd = dev->net->acd;
    bool probing;

    spin_lock(&acd->lock);
    probing = acd->probing && acd->ifindex == dev->ifindex &&
              (sip == acd->addr || (tip == acd->addr && arp->ar_op == htobe16(ARPOP_REQUEST)));
    acd->conflict |= probing && (sip == acd->addr || !sip);
    spin_unlock(&acd->lock);
    return probing;
}

static void acd_timer(struct timer_list *t)
{
    struct arp_acd *acd = container_of(t, struct arp_acd, timer);
    struct net_device *dev;
    __be32 addr;
    int ifindex;

    spin_lock(&acd->lock);
    addr = acd->addr;
    ifindex = acd->ifindex;
    if (--acd->announcements > 0)
        mod_timer(&acd->timer, net_now(acd->net) + ANNOUNCE_INTERVAL);
    spin_unlock(&acd->lock);
    rcu_read_lock();
    dev = dev_get_by_index(acd->net, ifindex);
    if (dev && dev_has_addr(dev, addr))
        arp_send(dev, ARPOP_REQUEST, NULL, addr, NULL, addr);
    rcu_read_unlock();
}

void arp_announce(struct net_device *dev, __be32 addr)
{
    struct arp_acd *acd = dev->net->acd;

    spin_lock(&acd->lock);
    acd->probing = false;
    acd->addr = addr;
    acd->ifindex = dev->ifindex;
    acd->announcements = ANNOUNCE_NUM - 1;
    mod_timer(&acd->timer, net_now(dev->net) + ANNOUNCE_INTERVAL);
    spin_unlock(&acd->lock);
    arp_send(dev, ARPOP_REQUEST, NULL, addr, NULL, addr);
}

/* Once in DEFEND_INTERVAL, and for ever (RFC 5227 2.4 c): two defenders must not shout at each other. */
static void acd_defend(struct net_device *dev, __be32 addr)
{
    struct arp_acd *acd = dev->net->acd;
    const u64 now = net_now(dev->net);
    bool defend;

    spin_lock(&acd->lock);
    defend = !acd->defended || now >= acd->defended + DEFEND_INTERVAL;
    if (defend)
        acd->defended = now;
    spin_unlock(&acd->lock);
    if (defend)
        arp_send(dev, ARPOP_REQUEST, NULL, addr, NULL, addr);
}

int arp_net_init(struct net *net)
{
    struct arp_acd *acd = calloc(1, sizeof(*acd));

    if (!acd)
        return -ENOMEM;
    acd->net = net;
    spin_lock_init(&acd->lock);
    timer_setup(&acd->timer, net, acd_timer);
    net->acd = acd;
    return 0;
}

void arp_net_exit(struct net *net)
{
    if (!net->acd)
        return;
    del_timer_sync(&net->acd->timer);
    spin_lock_destroy(&net->acd->lock);
    free(net->acd);
    net->acd = NULL;
}

/* ---- receiving --------------------------------------------------------------------------------------------------- */

static bool ether_usable(const u8 *ha)
{
    static const u8 zero[ETH_ALEN];

    return !(ha[0] & 1) && memcmp(ha, zero, ETH_ALEN);
}

/* The one check at the door. NOT_SPECIFIED: fine. */
static enum skb_drop_reason arp_check(struct sk_buff *skb, const struct net_device *dev)
{
    const struct arp_packet *arp;
    __be32 sip, tip;

    if (!pskb_may_pull(skb, sizeof(*arp)))
        return SKB_DROP_REASON_PKT_TOO_SMALL;
    arp = (const struct arp_packet *)skb->data;
    if (arp->ar_hrd != htobe16(ARPHRD_ETHER) || arp->ar_pro != htobe16(ETH_P_IP) || arp->ar_hln != ETH_ALEN ||
        arp->ar_pln != 4)
        return SKB_DROP_REASON_ARP_BAD;
    if (arp->ar_op != htobe16(ARPOP_REQUEST) && arp->ar_op != htobe16(ARPOP_REPLY))
        return SKB_DROP_REASON_ARP_BAD;
    if (!ether_usable(arp->ar_sha) || !memcmp(arp->ar_sha, dev->dev_addr, ETH_ALEN)) /* nobody's, or our own echo */
        return SKB_DROP_REASON_ARP_BAD;
    memcpy(&sip, arp->ar_sip, 4);
    memcpy(&tip, arp->ar_tip, 4);
    if (ipv4_is_multicast(tip) || ipv4_is_loopback(tip) || ipv4_is_multicast(sip) || ipv4_is_loopback(sip) ||
        ipv4_is_lbcast(sip) || (ipv4_is_zeronet(sip) && sip))
        return SKB_DROP_REASON_ARP_BAD;
    return SKB_DROP_REASON_NOT_SPECIFIED;
}

/* Somebody else claims our address: never believed; on an address of our own it is defended. */
static void arp_conflict(struct net_device *dev, const struct arp_packet *arp, __be32 sip)
{
    const u8 *a = arp->ar_sip, *h = arp->ar_sha;
    struct net *net = dev->net;

    if (dev->own_address)
        acd_defend(dev, sip);
    if (ip_warn_ratelimit(net))
        net_warn(net, "%02x:%02x:%02x:%02x:%02x:%02x claims our address %u.%u.%u.%u on %s by ARP; the claim is ignored, "
                      "but its owner must be given another address.",
                 h[0], h[1], h[2], h[3], h[4], h[5], a[0], a[1], a[2], a[3], dev->name);
}

/* A sender that tells of itself unasked (RFC 5227 1.2). A reply must say so twice, as in Linux. */
static bool arp_is_garp(const struct arp_packet *arp, __be32 sip, __be32 tip)
{
    return sip == tip && (arp->ar_op != htobe16(ARPOP_REPLY) || !memcmp(arp->ar_tha, arp->ar_sha, ETH_ALEN));
}

/* News about an address that is in the table already. Only a request to us makes an entry, or with arp_accept what
 * nobody asked for. As Linux, an entry believes every answer, asked for or not, but not two different ones within
 * locktime: of those the first holds. */
static void arp_learn(struct net_device *dev, const struct sk_buff *skb, const struct arp_packet *arp, __be32 sip, __be32 tip,
                      bool create)
{
    const bool reply = arp->ar_op == htobe16(ARPOP_REPLY), gratuitous = arp_is_garp(arp, sip, tip);
    const u64 locktime = (u64)dev->net->ipv4.sysctl_neigh_locktime * 10 * NSEC_PER_MSEC;
    struct neighbour *n = __ipv4_neigh_lookup_noref(dev, sip);
    bool override;
    u8 state;

    create |= dev->net->ipv4.sysctl_arp_accept && (gratuitous || (reply && !ipv4_is_zeronet(sip)));
    if (!n && create && inet_select_addr(dev, sip))
        n = __neigh_create(dev->net, sip, dev);
    if (!n)
        return;
    override = gratuitous || net_now(dev->net) > READ_ONCE(n->updated) + locktime;
    /* Requests and broadcast replies say where it is, not that it hears us. */
    state = reply && skb->pkt_type == PACKET_HOST ? NUD_REACHABLE : NUD_STALE;
    neigh_update(n, arp->ar_sha, state, override);
}

/* Role: packet_type function. Takes skb over; RCU read section. */
int arp_rcv(struct sk_buff *skb, struct net_device *dev)
{
    enum skb_drop_reason reason = SKB_DROP_REASON_OTHERHOST;
    const struct arp_packet *arp;
    __be32 sip, tip;
    bool for_us;

    if ((dev->flags & IFF_NOARP) || skb->pkt_type == PACKET_OTHERHOST)
        goto drop;
    reason = arp_check(skb, dev);
    if (reason)
        goto drop;
    arp = (const struct arp_packet *)skb->data;
    memcpy(&sip, arp->ar_sip, 4);
    memcpy(&tip, arp->ar_tip, 4);
    for_us = dev_has_addr(dev, tip);
    reason = SKB_DROP_REASON_ARP_BAD;
    if (acd_probing(dev, arp, sip, tip) || (sip == tip && dev->net->ipv4.sysctl_drop_gratuitous_arp))
        goto drop;
    if (sip && ip_dev_find(dev->net, sip)) {
        arp_conflict(dev, arp, sip);
        goto drop;
    }
    if (arp->ar_op == htobe16(ARPOP_REQUEST) && for_us && dev->own_address)
        arp_send(dev, ARPOP_REPLY, arp->ar_sha, tip, arp->ar_sha, sip); /* also to a probe, whose sip is 0 */
    if (sip)
        arp_learn(dev, skb, arp, sip, tip, arp->ar_op == htobe16(ARPOP_REQUEST) && for_us && dev->own_address);
    consume_skb(skb);
    return 0;
drop:
    kfree_skb_reason(skb, reason);
    return 0;
}

void arp_init(void)
{
    static struct packet_type arp_packet_type = {.func = arp_rcv};

    arp_packet_type.type = htobe16(ETH_P_ARP);
    neigh_solicit = arp_solicit;
    dev_add_pack(&arp_packet_type);
}
