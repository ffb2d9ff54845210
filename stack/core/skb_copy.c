/* SPDX-License-Identifier: MIT */
/* sk_buff copies: the description alone, the linear part, or everything. */

#include "dst.h"
#include "skbuff.h"

void skb_copy_header(struct sk_buff *to, const struct sk_buff *from)
{
    to->dev = from->dev;
    to->tstamp = from->tstamp;
    to->hwtstamp_ns = from->hwtstamp_ns;
    memcpy(to->cb, from->cb, sizeof(to->cb));
    if (from->dst)
        to->dst = dst_hold(from->dst);
    to->mac_len = from->mac_len;
    to->protocol = from->protocol;
    to->pkt_type = from->pkt_type;
    to->ip_summed = from->ip_summed;
    to->csum = from->csum;
    to->ooo_okay = from->ooo_okay;
    to->csum_valid = from->csum_valid;
    to->redirected = from->redirected;
    to->dst_pending_confirm = from->dst_pending_confirm;
    to->retransmitted = from->retransmitted;
    to->priority = from->priority;
    to->mark = from->mark;
    to->hash = from->hash;
    to->queue_mapping = from->queue_mapping;
    to->shinfo->tx_flags = from->shinfo->tx_flags;
    to->shinfo->gso_size = from->shinfo->gso_size;
    to->shinfo->gso_segs = from->shinfo->gso_segs;
    to->shinfo->gso_type = from->shinfo->gso_type;
    to->shinfo->tskey = from->shinfo->tskey;
}

/* Offsets count from head, and the copy has its data at another distance from it. */
static void copy_offsets(struct sk_buff *to, const struct sk_buff *from)
{
    int d = (int)skb_headroom(to) - (int)skb_headroom(from);

    to->transport_header = from->transport_header == 0xffff ? 0xffff : (u16)(from->transport_header + d);
    to->network_header = from->network_header == 0xffff ? 0xffff : (u16)(from->network_header + d);
    to->mac_header = from->mac_header == 0xffff ? 0xffff : (u16)(from->mac_header + d);
    if (from->ip_summed == CHECKSUM_PARTIAL)
        to->csum_start = (u16)(from->csum_start + d);
}

/* Role: a new sk_buff with from's description, `headroom` bytes plus what lies before data in from, and
 * `room` bytes for data; the bytes before data (headers already passed) are copied. */
static struct sk_buff *copy_start(const struct sk_buff *from, u32 headroom, u32 room)
{
    u32 before = skb_headroom(from);
    struct sk_buff *n = alloc_skb(from->net, max(headroom, before) + room);

    if (!n)
        return NULL;
    skb_reserve(n, max(headroom, before));
    skb_copy_header(n, from);
    copy_offsets(n, from);
    memcpy(n->data - before, from->head, before);
    return n;
}

struct sk_buff *skb_copy(const struct sk_buff *skb)
{
    struct sk_buff *n = copy_start(skb, 0, skb->len);

    if (!n)
        return NULL;
    skb_copy_bits(skb, 0, skb_put(n, skb->len), skb->len);
    return n;
}

struct sk_buff *pskb_copy(struct sk_buff *skb, u32 headroom)
{
    struct skb_shared_info *si = skb->shinfo;
    u32 hlen = skb_headlen(skb);
    struct sk_buff *n;

    if (si->frag_list)
        return skb_copy(skb);
    n = copy_start(skb, headroom, hlen);
    if (!n)
        return NULL;
    memcpy(skb_put(n, hlen), skb->data, hlen);
    for (int i = 0; i < si->nr_frags; i++) {
        get_page(si->frags[i].page);
        n->shinfo->frags[i] = si->frags[i];
    }
    n->shinfo->nr_frags = si->nr_frags;
    n->data_len = skb->data_len;
    n->len += skb->data_len;
    n->truesize += skb->data_len;
    skb_inherit_inflight(n, skb);
    return n;
}
