/* SPDX-License-Identifier: MIT */
/* ARP and the link layer: frames of any bytes, ARP packets with a few addresses and wrong fields, packets of ours that wait
 * for an address, addresses and the MTU that come and go, steps of the clock. */

#include "fuzznet.h"
#include "../../stack/core/neighbour.h"
#include "../../stack/core/rcu.h"
#include <net/if_arp.h>

static u32 address(u8 sel)
{
    static const u32 addrs[] = {IPNET_MYIP, IPNET_PEERIP, 0x0a000003, 0x0a000004, 0, 0xffffffff, 0x0a0000ff, 0xe0000001};

    return addrs[sel & 7];
}

static void arp_packet(struct fuzznet *f, struct input *in)
{
    static const u8 bcast[6] = {255, 255, 255, 255, 255, 255}, other[6] = {2, 0, 0, 0, 0, 9};
    static const u8 *const macs[] = {ipnet_mymac, ipnet_peermac, bcast, other};
    u8 sel = in_u8(in), ips = in_u8(in), odd = in_u8(in), fr[ETH_HLEN + 46] = {0};
    struct ethhdr *eth = (struct ethhdr *)fr;
    struct arphdr *ah = (struct arphdr *)(fr + ETH_HLEN);
    u8 *p = (u8 *)(ah + 1);
    u32 len = ETH_HLEN + 28, sip = htobe32(address(ips)), tip = htobe32(address(ips >> 3));

    memcpy(eth->h_dest, macs[sel & 3], 6);
    memcpy(eth->h_source, macs[sel >> 2 & 3], 6);
    eth->h_proto = htobe16(ETH_P_ARP);
    ah->ar_hrd = htobe16(odd & 1 && odd & 0x80 ? 6 : ARPHRD_ETHER);
    ah->ar_pro = htobe16(odd & 2 && odd & 0x80 ? 0x86dd : ETH_P_IP);
    ah->ar_hln = odd & 4 && odd & 0x80 ? 8 : 6;
    ah->ar_pln = odd & 8 && odd & 0x80 ? 16 : 4;
    ah->ar_op = htobe16(odd & 0x10 ? in_u16(in) : ips & 0x40 ? ARPOP_REPLY : ARPOP_REQUEST);
    memcpy(p, macs[sel >> 4 & 3], 6);
    memcpy(p + 6, &sip, 4);
    memcpy(p + 10, macs[sel >> 6 & 3], 6);
    memcpy(p + 16, &tip, 4);
    if (odd & 0x20)
        len = in_u8(in) % sizeof(fr);
    fz_rx(f, fr, len);
}

/* A SYN from an unknown neighbour: the SYN-ACK must wait for its address. */
static void ask_from(struct fuzznet *f, u32 saddr, u8 port)
{
    u8 p[40] = {0};
    struct tcphdr *th = (struct tcphdr *)(p + 20);

    ipnet_iphdr((struct iphdr *)p, saddr, IPNET_MYIP, IPPROTO_TCP, 40, 1, 0);
    th->source = htobe16((u16)(20000 + port));
    th->dest = htobe16(port & 1 ? 80 : 9999);
    th->doff = 5;
    th->syn = 1;
    fz_rx_ip(f, p, 40, false);
}

int LLVMFuzzerTestOneInput(const u8 *data, size_t size)
{
    struct input in = {data, size};
    u8 cfg = in_u8(&in), raw[128];
    struct fuzznet *f = fz_new(cfg & 0x80);
    struct in_addr second = {htobe32(0x0a000005)};

    if (cfg & 1)
        f->n->dev.own_address = false;
    if (cfg & 2)
        f->net->ipv4.sysctl_neigh_gc_thresh3 = 3;
    if (cfg & 4)
        f->net->ipv4.sysctl_neigh_unres_qlen_bytes = 1000;
    for (int n = 0; in.left && n < 80; n++) {
        u8 op = in_u8(&in);

        switch (op & 7) {
        case 4:
            fz_step(f, in_u8(&in));
            break;
        case 5:
            ask_from(f, address(op >> 3 & 7), op >> 4);
            break;
        case 6:
            if (op & 8)
                dev_add_addr(&f->n->dev, second.s_addr, 24);
            else if (op & 0x10)
                dev_del_addr(&f->n->dev, second.s_addr);
            else if (op & 0x20)
                neigh_flush_dev(&f->n->dev);
            else
                dev_set_mtu(&f->n->dev, 68 + op * 7u);
            break;
        case 7:
            fz_rx(f, raw, in_bytes(&in, raw, in_u8(&in) % sizeof(raw)));
            break;
        default:
            arp_packet(f, &in);
        }
    }
    fz_free(f, cfg & 8);
    return 0;
}
