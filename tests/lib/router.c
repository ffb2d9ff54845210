/* SPDX-License-Identifier: MIT */
#include "router.h"
#include "../../stack/core/checksum.h"
#include <linux/icmp.h>
#include <netinet/in.h>
#include <linux/ip.h>
#include <stdlib.h>

struct router *router_create(struct sim *sim)
{
    struct router *r = calloc(1, sizeof(*r));

    if (!r)
        abort();
    r->net = sim_net(sim);
    return r;
}

void router_destroy(struct router *r) { free(r); }

void frag_needed(u8 *out, const void *frame, u32 mtu)
{
    const struct iphdr *bad = (const struct iphdr *)((const u8 *)frame + ETH_HLEN);
    struct iphdr *ip = (struct iphdr *)(out + ETH_HLEN);
    struct icmphdr *ic = (struct icmphdr *)(out + ETH_HLEN + sizeof(*ip));

    memset(out, 0, FRAG_NEEDED_LEN);
    memcpy(out, (const u8 *)frame + ETH_ALEN, ETH_ALEN);
    memcpy(out + ETH_ALEN, frame, ETH_ALEN);
    out[12] = ETH_P_IP >> 8;
    *ip = (struct iphdr){.version = 4, .ihl = 5, .tot_len = htobe16(FRAG_NEEDED_LEN - ETH_HLEN), .ttl = 60, .protocol = IPPROTO_ICMP,
                         .saddr = bad->daddr, .daddr = bad->saddr};
    ip->check = ip_fast_csum(ip, 5);
    ic->type = ICMP_DEST_UNREACH;
    ic->code = ICMP_FRAG_NEEDED;
    ic->un.frag.mtu = htobe16((u16)mtu);
    memcpy(ic + 1, bad, sizeof(*bad));
    memcpy((u8 *)(ic + 1) + sizeof(*bad), (const u8 *)bad + bad->ihl * 4, 8);
    ic->checksum = ip_compute_csum(ic, sizeof(*ic) + sizeof(*bad) + 8);
}

static struct net_device *port_dev(const struct router_port *p) { return memlink_dev(p->link, p->end); }

/* Where to; NULL: nowhere. */
static struct router_port *way_out(struct router *r, u32 daddr)
{
    for (int i = 0; i < r->routes; i++)
        if ((daddr & r->route[i].mask) == r->route[i].subnet)
            return &r->port[r->route[i].port];
    return NULL;
}

static bool drop(struct router *r, struct sk_buff *skb)
{
    r->dropped++;
    kfree_skb_reason(skb, SKB_DROP_REASON_FAULT_INJECTED);
    return true;
}

/* Too long for the next link. What may not be fragmented comes back as an error; what may is dropped, as TCP sends
 * nothing of the kind. */
static bool too_long(struct router_port *in, struct sk_buff *skb, const struct iphdr *ip, u32 mtu)
{
    struct router *r = in->router;
    u8 f[FRAG_NEEDED_LEN];

    if (!r->silent && ip->protocol == IPPROTO_TCP && (ip->frag_off & htobe16(0x4000))) {
        frag_needed(f, skb->data, mtu);
        memlink_inject(in->link, !in->end, f, sizeof(f), net_now(r->net) + memlink_delay_ns(in->link));
        r->told++;
    }
    return drop(r, skb);
}

/* memlink_set_forward(): false for what is not IPv4 or for an address of the router's own. */
static bool forward(void *arg, struct sk_buff *skb)
{
    struct router_port *in = arg, *out;
    struct router *r = in->router;
    struct net_device *dev;
    struct ethhdr *eth;
    struct iphdr *ip;
    u32 check;

    eth = (struct ethhdr *)skb->data;
    if (skb->len < ETH_HLEN || eth->h_proto != htobe16(ETH_P_IP) || memcmp(eth->h_dest, port_dev(in)->dev_addr, ETH_ALEN))
        return false;
    if (!pskb_may_pull(skb, ETH_HLEN + sizeof(*ip)))
        return drop(r, skb);
    ip = (struct iphdr *)(skb->data + ETH_HLEN);
    if (ip->version != 4 || ip->ihl < 5 || !pskb_may_pull(skb, ETH_HLEN + ip->ihl * 4u + 8))
        return drop(r, skb);
    eth = (struct ethhdr *)skb->data;
    ip = (struct iphdr *)(skb->data + ETH_HLEN);
    if (ip_fast_csum(ip, ip->ihl) || be16toh(ip->tot_len) + ETH_HLEN > skb->len)
        return drop(r, skb);
    if (ip_dev_find(r->net, ip->daddr))
        return false;
    out = way_out(r, be32toh(ip->daddr));
    if (!out || ip->ttl <= 1)
        return drop(r, skb);
    dev = port_dev(out);
    if (skb->len > dev->mtu + ETH_HLEN)
        return too_long(in, skb, ip, dev->mtu);
    ip->ttl--;
    check = be16toh(ip->check) + 0x100u; /* RFC 1141 */
    ip->check = htobe16((u16)(check + (check >= 0xffff)));
    memcpy(eth->h_dest, memlink_dev(out->link, !out->end)->dev_addr, ETH_ALEN);
    memcpy(eth->h_source, dev->dev_addr, ETH_ALEN);
    skb_reset_mac_header(skb);
    skb->protocol = eth->h_proto;
    skb->network_header = (u16)(skb_headroom(skb) + ETH_HLEN);
    skb->dev = dev;
    r->forwarded++;
    dev_queue_xmit(skb);
    return true;
}

int router_add_port(struct router *r, struct memlink *l, int end)
{
    struct router_port *p = &r->port[r->ports];

    if (r->ports == ROUTER_PORTS)
        abort();
    *p = (struct router_port){r, l, end};
    memlink_set_forward(l, end, forward, p);
    return r->ports++;
}

void router_add_route(struct router *r, __be32 subnet, int prefixlen, int port)
{
    u32 mask = prefixlen ? ~0u << (32 - prefixlen) : 0;

    if (r->routes == ROUTER_ROUTES)
        abort();
    r->route[r->routes].mask = mask;
    r->route[r->routes].subnet = be32toh(subnet) & mask;
    r->route[r->routes++].port = port;
}
