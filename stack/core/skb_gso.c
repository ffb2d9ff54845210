/* SPDX-License-Identifier: MIT */
/* Generic segmentation of large TCP/IPv4 packets (Linux: net/ipv4/tcp_offload.c, skb_segment). The headers
 * of one segment are made by skb_gso_write_header(), which drivers with slots in place use alone. */

#include "checksum.h"
#include "skbuff.h"
#include <linux/ip.h>
#include <linux/tcp.h>
#include <netinet/in.h>

/* Bytes from data to the end of the TCP header; 0 when the packet is not well-formed TCP over IPv4. */
static u32 gso_hdr_len(const struct sk_buff *skb)
{
    int thoff = skb_transport_offset(skb);
    const struct tcphdr *th = (const struct tcphdr *)skb_transport_header(skb);
    u32 hlen;

    if (thoff < (int)sizeof(struct iphdr) || thoff + sizeof(*th) > skb_headlen(skb))
        return 0;
    hlen = (u32)thoff + th->doff * 4u;
    return hlen <= skb_headlen(skb) && hlen <= MAX_HEADER_ROOM ? hlen : 0;
}

u32 skb_gso_write_header(const struct sk_buff *skb, u32 i, u8 *hdr, u32 *off, u32 *len)
{
    u32 hlen = gso_hdr_len(skb), payload, mss;
    u32 nhoff = (u32)skb_network_offset(skb), thoff = (u32)skb_transport_offset(skb);
    struct iphdr *iph = (struct iphdr *)(hdr + nhoff);
    struct tcphdr *th = (struct tcphdr *)(hdr + thoff);
    bool first = i == 0, last;

    BUG_ON(!hlen);
    payload = skb->len - hlen;
    mss = skb->shinfo->gso_size ? skb->shinfo->gso_size : payload;
    *off = i * mss;
    BUG_ON(*off > payload);
    *len = min(mss, payload - *off);
    last = *off + *len == payload;

    memcpy(hdr, skb->data, hlen);
    iph->tot_len = htobe16((u16)(hlen - nhoff + *len));
    iph->id = htobe16((u16)(be16toh(iph->id) + i));
    iph->check = 0;
    iph->check = ip_fast_csum(iph, iph->ihl);
    th->seq = htobe32(be32toh(th->seq) + *off);
    if (!last)
        th->fin = th->psh = 0;
    if (!first)
        th->cwr = 0;
    th->check = (u16)~csum_tcpudp_magic(iph->saddr, iph->daddr, hlen - thoff + *len, IPPROTO_TCP, 0);
    return hlen;
}

/* Role: let seg refer to len payload bytes at off of skb, frags by reference, linear bytes copied (seg has
 * the room). False when the frags do not fit. */
static bool gso_take_payload(struct sk_buff *seg, const struct sk_buff *skb, u32 off, u32 len)
{
    const struct skb_shared_info *si = skb->shinfo;
    struct skb_shared_info *gi = seg->shinfo;
    u32 start = skb_headlen(skb), n;

    if (off < start) {
        n = min(len, start - off);
        memcpy(skb_put(seg, n), skb->data + off, n);
        off += n;
        len -= n;
    }
    for (int i = 0; len && i < si->nr_frags; start += si->frags[i++].size) {
        if (off >= start + si->frags[i].size)
            continue;
        n = min(len, start + si->frags[i].size - off);
        get_page(si->frags[i].page);
        gi->frags[gi->nr_frags++] =
            (struct skb_frag){.page = si->frags[i].page, .off = si->frags[i].off + (off - start), .size = n};
        seg->len += n;
        seg->data_len += n;
        seg->truesize += n;
        off += n;
        len -= n;
    }
    return len == 0;
}

static struct sk_buff *gso_one_segment(const struct sk_buff *skb, u32 i, u32 hlen)
{
    u32 headroom = skb_headroom(skb), lin = skb_headlen(skb) - hlen, off, len;
    u32 nhoff = (u32)skb_network_offset(skb), thoff = (u32)skb_transport_offset(skb);
    struct sk_buff *seg;
    u8 hdr[MAX_HEADER_ROOM];

    skb_gso_write_header(skb, i, hdr, &off, &len);
    headroom = clamp(headroom, 32u, (u32)MAX_HEADER_ROOM);
    lin = off < lin ? min(lin - off, len) : 0;
    seg = alloc_skb(skb->net, headroom + hlen + lin);
    if (!seg)
        return NULL;
    skb_reserve(seg, headroom);
    memcpy(skb_put(seg, hlen), hdr, hlen);
    skb_copy_header(seg, skb);
    skb_reset_mac_header(seg);
    seg->network_header = (u16)(seg->mac_header + nhoff);
    seg->transport_header = (u16)(seg->mac_header + thoff);
    seg->shinfo->gso_size = seg->shinfo->gso_segs = seg->shinfo->gso_type = 0;
    seg->ip_summed = CHECKSUM_PARTIAL;
    seg->csum_start = seg->transport_header;
    seg->csum_offset = offsetof(struct tcphdr, check);
    if (!gso_take_payload(seg, skb, hlen + off, len)) {
        consume_skb(seg);
        return NULL;
    }
    skb_inherit_inflight(seg, skb);
    return seg;
}

struct sk_buff *skb_gso_segment(struct sk_buff *skb)
{
    struct sk_buff *list = NULL, **tail = &list, *seg;
    u32 hlen = gso_hdr_len(skb), mss = skb->shinfo->gso_size, n;

    if (!hlen || !mss)
        return NULL;
    n = max(DIV_ROUND_UP(skb->len - hlen, mss), 1u);
    for (u32 i = 0; i < n; i++) {
        seg = gso_one_segment(skb, i, hlen);
        if (!seg)
            goto fail;
        *tail = seg;
        tail = &seg->next;
    }
    return list;

fail:
    for (; list; list = seg) {
        seg = list->next;
        list->next = NULL;
        consume_skb(list);
    }
    return NULL;
}
