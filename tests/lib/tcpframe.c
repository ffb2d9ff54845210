/* SPDX-License-Identifier: MIT */
#include "tcpframe.h"
#include "../../stack/core/checksum.h"
#include <netinet/in.h>

#define HDR (ETH_HLEN + 20 + 32)

u16 naive_csum(const u8 *p, size_t len, u32 start)
{
    u64 sum = start;

    for (size_t i = 0; i + 1 < len; i += 2)
        sum += (u32)p[i] << 8 | p[i + 1];
    if (len & 1)
        sum += (u32)p[len - 1] << 8;
    while (sum >> 16)
        sum = (sum & 0xffff) + (sum >> 16);
    return (u16)~sum;
}

static u32 pseudo(const struct iphdr *ip, u32 l4len)
{
    u32 s = be32toh(ip->saddr), d = be32toh(ip->daddr);

    return (s >> 16) + (s & 0xffff) + (d >> 16) + (d & 0xffff) + IPPROTO_TCP + l4len;
}

bool frame_csum_ok(const struct sk_buff *skb)
{
    u8 *buf = malloc(skb->len);
    const struct iphdr *ip = (const struct iphdr *)(buf + ETH_HLEN);
    u32 l4len = skb->len - ETH_HLEN - 20;
    bool ok;

    if (skb_copy_bits(skb, 0, buf, skb->len))
        abort();
    ok = naive_csum(buf + ETH_HLEN, 20, 0) == 0 && be16toh(ip->tot_len) == skb->len - ETH_HLEN &&
         naive_csum(buf + ETH_HLEN + 20, l4len, pseudo(ip, l4len)) == 0;
    free(buf);
    return ok;
}

static struct sk_buff *empty(struct net *net, struct page_pool *pool, const struct tcp_frame *f)
{
    struct sk_buff *skb;

    if (f->page_head) {
        skb = build_skb_page(net, pool->alloc(pool), 0);
        skb_reserve(skb, 64);
    } else {
        skb = alloc_skb(net, 64 + HDR + f->linear);
        skb_reserve(skb, 64);
    }
    return skb;
}

static void fill(u8 *p, u32 seq, u32 n)
{
    while (n--)
        *p++ = (u8)seq++;
}

struct sk_buff *tcp_frame_build(struct net *net, struct page_pool *pool, const struct tcp_frame *f)
{
    struct sk_buff *skb = empty(net, pool, f);
    u32 linear = min(f->linear, f->len), off = linear, l4len = 32 + f->len;
    u8 *p = skb_put(skb, HDR);
    struct iphdr *ip = (struct iphdr *)(p + ETH_HLEN);
    struct tcphdr *th = (struct tcphdr *)(p + ETH_HLEN + 20);
    u8 *opt = (u8 *)(th + 1);
    __be32 ts = htobe32(f->tsval);

    memset(p, 0, HDR);
    memcpy(p, f->dmac, ETH_ALEN);
    p[6] = 2;
    p[12] = 0x08;
    ip->version = 4;
    ip->ihl = 5;
    ip->tos = f->tos;
    ip->tot_len = htobe16((u16)(20 + l4len));
    ip->id = htobe16(f->id);
    ip->frag_off = f->df_off ? 0 : htobe16(0x4000);
    ip->ttl = f->ttl ? f->ttl : 64;
    ip->protocol = IPPROTO_TCP;
    ip->saddr = htobe32(0x0a000001);
    ip->daddr = htobe32(0x0a000002);
    ip->check = htobe16(naive_csum((u8 *)ip, 20, 0));
    th->source = htobe16(f->sport ? f->sport : 1000);
    th->dest = htobe16(2000);
    th->seq = htobe32(f->seq);
    th->ack_seq = htobe32(f->ack);
    th->doff = 8;
    ((u8 *)th)[13] = f->flags ? f->flags : 0x10;
    th->window = htobe16(f->window ? f->window : 1000);
    memcpy(opt, (u8[]){1, 1, 8, 10}, 4);
    memcpy(opt + 4, &ts, 4);

    if (linear)
        fill(skb_put(skb, linear), f->seq, linear);
    while (off < f->len) {
        u32 n = min(f->frag ? f->frag : 1000u, f->len - off);
        struct page *page = pool->alloc(pool);

        fill(page->addr + pool->headroom, f->seq + off, n);
        skb_add_rx_frag(skb, page, pool->headroom, n, n);
        off += n;
    }
    skb_reset_mac_header(skb);
    skb->network_header = (u16)(skb->mac_header + ETH_HLEN);
    skb->transport_header = (u16)(skb->network_header + 20);
    skb->protocol = htobe16(ETH_P_IP);
    th->check = htobe16((u16)~naive_csum(NULL, 0, pseudo(ip, l4len)));
    skb->ip_summed = CHECKSUM_PARTIAL;
    skb->csum_start = skb->transport_header;
    skb->csum_offset = offsetof(struct tcphdr, check);
    if (!f->partial && skb_checksum_help(skb))
        abort();
    if (f->gso_size) {
        skb->shinfo->gso_size = f->gso_size;
        skb->shinfo->gso_segs = (u16)DIV_ROUND_UP(f->len, f->gso_size);
        skb->shinfo->gso_type = SKB_GSO_TCPV4;
    }
    return skb;
}
