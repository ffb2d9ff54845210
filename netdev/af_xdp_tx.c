/* SPDX-License-Identifier: MIT */
/* Transmit: from an sk_buff to descriptors.
 *
 * A segment whose payload starts where a UMEM slot's payload starts goes without a copy: its headers are
 * written into the slot's header room and one descriptor covers both. Everything else is copied into a slot
 * of the driver's own. Either way the sk_buff stays here until its last descriptor has completed: that keeps
 * its pages, its socket's accounting (TSQ) and the original's `inflight` mark as long as the kernel reads. */

#include "af_xdp_priv.h"
#include "../stack/core/checksum.h"
#include "../stack/core/trace.h"
#include <linux/tcp.h>
#include <sys/socket.h>

#define ETH_MIN_FRAME 60u   /* without FCS: what a wire wants at least */
#define TX_STALL_NS 200000u /* how long a poller stays awake for a completion */
#define XSK_MAX_BUFS 16u    /* descriptors of one frame; the kernel's limit is MAX_SKB_FRAGS + 1 = 18 */

/* One packet's way into the ring. */
struct tx_run {
    struct af_xdp_dev *adev;
    struct xsk_queue *q;
    struct umem *u;
    struct sk_buff *skb;
    bool hold;           /* payload: the sk_buff waits for completion */
    u32 idx, n;          /* first ring entry; entries written */
    u32 payload;         /* where the payload begins in the packet */
    u32 frag, frag_pos;  /* cursor: the frag, and where it starts in the payload */
    bool csum;           /* to be completed: from csum_start on, into csum_at (both from the frame's start) */
    u32 csum_start, csum_at;
};

/* ---- slots ----------------------------------------------------------------------------------------- */

static int tx_take_slot(struct tx_run *r, u32 *slot)
{
    struct xsk_queue *q = r->q;

    if (!q->nmagazine)
        q->nmagazine = umem_tx_get(r->u, q->magazine, XSK_MAGAZINE);
    if (!q->nmagazine)
        return -ENOBUFS;
    *slot = q->magazine[--q->nmagazine];
    BUG_ON(!umem_slot_claim(r->u, *slot, q->tag)); /* a free slot is in no ring */
    return 0;
}

static void tx_desc(struct tx_run *r, u32 slot, u32 off, u32 len, bool more, bool copy)
{
    struct xdp_desc *d = xsk_ring_prod__tx_desc(&r->q->tx, r->idx + r->n);

    d->addr = umem_slot_addr(r->u, slot) + off;
    d->len = len;
    d->options = more ? XDP_PKT_CONTD : 0;
    r->u->slots[slot].skb = r->hold ? r->skb : NULL;
    r->u->slots[slot].copy = copy;
    r->n++;
}

/* Nothing of the run has been submitted: take it all back. */
static void tx_undo(struct tx_run *r)
{
    while (r->n) {
        u32 slot = umem_addr_slot(r->u, xsk_ring_prod__tx_desc(&r->q->tx, r->idx + --r->n)->addr);
        struct tx_slot *s = &r->u->slots[slot];
        bool copy = s->copy;

        s->skb = NULL;
        s->copy = 0;
        atomic_store_explicit(&s->in_ring, 0, memory_order_release);
        if (copy)
            umem_tx_put(r->u, &slot, 1);
    }
}

/* The slot at whose payload start exactly this payload lies, or nslots. Offsets must not go back. */
static u32 tx_payload_slot(struct tx_run *r, u32 off, u32 len)
{
    const struct skb_shared_info *si = skb_shinfo(r->skb);
    const struct skb_frag *f;

    while (r->frag < si->nr_frags && r->frag_pos + si->frags[r->frag].size <= off)
        r->frag_pos += si->frags[r->frag++].size;
    if (r->frag >= si->nr_frags || off < r->frag_pos)
        return r->u->nslots;
    f = &si->frags[r->frag];
    if (!umem_is_slot(r->u, f->page) || f->off + (off - r->frag_pos) != UMEM_HEADROOM ||
        off - r->frag_pos + len > f->size)
        return r->u->nslots;
    return umem_page_slot(r->u, f->page);
}

/* ---- one frame ------------------------------------------------------------------------------------- */

static void tx_write_csum(const struct tx_run *r, u8 *frame, wsum sum)
{
    u16 folded = csum_fold(sum);

    memcpy(frame + r->csum_at, &folded, sizeof(folded));
}

/* Headers in front of payload that lies in its slot already. False: not possible, or not now. */
static bool tx_frame_in_place(struct tx_run *r, const u8 *hdr, u32 hlen, u32 off, u32 len)
{
    u32 slot;
    u8 *frame;

    if (!len || hlen > UMEM_HEADROOM || (hlen + len < ETH_MIN_FRAME && !(r->adev->dev.features & NETIF_F_NOWIRE)))
        return false;
    slot = tx_payload_slot(r, off, len);
    if (slot >= r->u->nslots || !umem_slot_claim(r->u, slot, r->q->tag))
        return false;
    frame = umem_slot_mem(r->u, slot) + UMEM_HEADROOM - hlen;
    memcpy(frame, hdr, hlen);
    if (r->csum) /* headers and payload are one run of bytes */
        tx_write_csum(r, frame, csum_partial(frame + r->csum_start, hlen + len - r->csum_start, 0));
    tx_desc(r, slot, UMEM_HEADROOM - hlen, hlen + len, false, false);
    return true;
}

/* Copied, into as many slots as it takes. 0, -ENOBUFS: no slot, -EMSGSIZE: the device takes no such frame. */
static int tx_frame_copy(struct tx_run *r, const u8 *hdr, u32 hlen, u32 off, u32 len)
{
    u32 total = hlen + len, done = 0, slot, first = 0, n, at;
    wsum sum = 0;

    if (total > UMEM_SLOT && (!r->adev->sg || total > XSK_MAX_BUFS * UMEM_SLOT))
        return -EMSGSIZE;
    do {
        u8 *p;
        u32 put = 0;

        if (tx_take_slot(r, &slot))
            return -ENOBUFS;
        n = min(total - done, UMEM_SLOT);
        p = umem_slot_mem(r->u, slot);
        if (!done) {
            first = slot;
            memcpy(p, hdr, hlen); /* hlen <= MAX_HEADER_ROOM < UMEM_SLOT */
            put = hlen;
        }
        if (n > put && skb_copy_bits(r->skb, r->payload + off + done + put - hlen, p + put, n - put))
            memset(p + put, 0, n - put); /* not reached: the lengths are the packet's own */
        if (r->csum) {
            at = done ? 0 : r->csum_start;
            sum = csum_block_add(sum, csum_partial(p + at, n - at, 0), done ? done - r->csum_start : 0);
        }
        if (total < ETH_MIN_FRAME && !(r->adev->dev.features & NETIF_F_NOWIRE)) {
            memset(p + total, 0, ETH_MIN_FRAME - total); /* never old bytes (CVE-2003-0001) */
            tx_desc(r, slot, 0, ETH_MIN_FRAME, false, true);
        } else {
            tx_desc(r, slot, 0, n, done + n < total, true);
        }
        done += n;
    } while (done < total);
    if (r->csum)
        tx_write_csum(r, umem_slot_mem(r->u, first), sum);
    if (len)
        NET_INC_STATS(r->adev->dev.net, SLUICE_MIB_TX_COPIES);
    return 0;
}

/* ---- one packet ------------------------------------------------------------------------------------ */

static int tx_build_plain(struct tx_run *r)
{
    struct sk_buff *skb = r->skb;
    u32 hlen = min(skb_headlen(skb), (u32)UMEM_HEADROOM);

    r->payload = hlen;
    r->frag_pos = skb_headlen(skb) - hlen;
    if (skb->ip_summed == CHECKSUM_PARTIAL) {
        r->csum = true;
        r->csum_start = skb->csum_start - skb_headroom(skb);
        r->csum_at = r->csum_start + skb->csum_offset;
        if (r->csum_at + 2 > hlen)
            return -EINVAL;
    }
    if (tx_frame_in_place(r, skb->data, hlen, 0, skb->len - hlen))
        return 0;
    return tx_frame_copy(r, skb->data, hlen, 0, skb->len - hlen);
}

/* Software segmentation: headers of each segment into its slot's header room, no payload moves. */
static int tx_build_segments(struct tx_run *r, u32 segs)
{
    struct sk_buff *skb = r->skb;
    u8 hdr[MAX_HEADER_ROOM];
    u32 i, hlen, off, len;
    int err;

    r->csum = true;
    r->csum_start = skb->transport_header - skb_headroom(skb);
    r->csum_at = r->csum_start + offsetof(struct tcphdr, check);
    for (i = 0; i < segs; i++) {
        hlen = skb_gso_write_header(skb, i, hdr, &off, &len);
        if (!i) {
            r->payload = hlen;
            r->frag_pos = skb_headlen(skb) > hlen ? skb_headlen(skb) - hlen : 0;
        }
        if (tx_frame_in_place(r, hdr, hlen, off, len))
            continue;
        err = tx_frame_copy(r, hdr, hlen, off, len);
        if (err)
            return err;
    }
    NET_ADD_STATS(r->adev->dev.net, SLUICE_MIB_GSO_SW_SEGS, segs);
    return 0;
}

static void tx_submit(struct tx_run *r, u32 reserved)
{
    struct xsk_queue *q = r->q;

    q->tx.cached_prod -= reserved - r->n;
    if (r->hold)
        XSK_SKB_CB(r->skb)->descs = r->n; /* completions are only possible from here on */
    /* Header-only frames: nobody waits for them. Before the submission: afterwards a held one may be gone. */
    atomic_fetch_add_explicit(&q->outstanding, r->n, memory_order_relaxed);
    q->kick_pending += r->n;
    xsk_ring_prod__submit(&q->tx, r->n);
}

/* One doorbell. Copy mode: the kernel sends from within the call, some frames at a time (32 before 6.17). */
static void tx_kick(struct af_xdp_dev *adev, struct xsk_queue *q)
{
    u32 left = q->ring_size / 8 + 8, idle = 0, seen, now;

    q->kick_pending = 0;
    seen = __atomic_load_n(q->tx.consumer, __ATOMIC_ACQUIRE);
    while (xsk_ring_prod__needs_wakeup(&q->tx) && left--) {
        int r = (int)sendto(q->fd, NULL, 0, MSG_DONTWAIT, NULL, 0);

        NET_INC_STATS(adev->dev.net, SLUICE_MIB_TX_KICKS);
        if (adev->zerocopy || !xsk_tx_unsent(q))
            break;
        if (r < 0 && errno != EAGAIN && errno != EBUSY && errno != ENOBUFS)
            break; /* ENETDOWN: the ring waits for the link */
        now = __atomic_load_n(q->tx.consumer, __ATOMIC_ACQUIRE);
        if (now == seen && ++idle > 2)
            break;
        seen = now;
        xsk_queue_reap(q, 0); /* a full completion ring holds it up too */
    }
    atomic_store_explicit(&adev->tx_progress, net_now(adev->dev.net), memory_order_relaxed);
}

/* Room for `need` descriptors? Completions first, then a doorbell. */
static bool tx_make_room(struct af_xdp_dev *adev, struct xsk_queue *q, u32 need)
{
    if (xsk_tx_room(q) >= need + q->ring_size / 4)
        return true;
    xsk_queue_reap(q, 0);
    if (xsk_tx_room(q) >= need)
        return true;
    tx_kick(adev, q);
    xsk_queue_reap(q, 0);
    return xsk_tx_room(q) >= need;
}

static netdev_tx_t tx_busy(struct af_xdp_dev *adev, u32 need, bool lane)
{
    struct xsk_queue *q = &adev->queues[0];
    struct net_device *d;

    NET_INC_STATS(adev->dev.net, SLUICE_MIB_TX_RING_FULL);
    atomic_store(&adev->tx_need, need);
    if (lane)
        atomic_store(&adev->lane_busy, true);
    for (d = &adev->dev; d; d = d->upper) /* the qdisc is the top device's */
        netif_stop_queue(d);
    if (q->kick_pending)
        tx_kick(adev, q);
    return NETDEV_TX_BUSY; /* af_xdp_tx_poll() wakes it; so it does when room came about meanwhile */
}

static netdev_tx_t tx_drop(struct af_xdp_dev *adev, struct sk_buff *skb, enum skb_drop_reason reason)
{
    atomic_fetch_add_explicit(&adev->dev.stats.tx_dropped, 1, memory_order_relaxed);
    kfree_skb_reason(skb, reason);
    return NETDEV_TX_OK;
}

static void tx_count(struct af_xdp_dev *adev, u32 packets, u32 bytes)
{
    atomic_fetch_add_explicit(&adev->dev.stats.tx_packets, packets, memory_order_relaxed);
    atomic_fetch_add_explicit(&adev->dev.stats.tx_bytes, bytes, memory_order_relaxed);
}

/* Into the ring. `segs`: 0 for a plain packet. */
static netdev_tx_t tx_ring(struct af_xdp_dev *adev, struct sk_buff *skb, u32 segs)
{
    struct tx_run r = {.adev = adev, .q = &adev->queues[0], .u = &adev->st->umem, .skb = skb};
    u32 size = segs ? skb_shinfo(skb)->gso_size + MAX_HEADER_ROOM : skb->len;
    u32 need = max(segs, 1u) * DIV_ROUND_UP(size, UMEM_SLOT), bytes = skb->len;
    int err;

    if (need > r.q->ring_size)
        return tx_drop(adev, skb, SKB_DROP_REASON_FULL_RING); /* more than gso_max_segs allows */
    if (!tx_make_room(adev, r.q, need))
        return tx_busy(adev, need, false);
    if (xsk_ring_prod__reserve(&r.q->tx, need, &r.idx) != need)
        return tx_busy(adev, need, false);
    r.hold = segs || skb_is_nonlinear(skb) || skb->inflight;
    err = segs ? tx_build_segments(&r, segs) : tx_build_plain(&r);
    if (err) {
        tx_undo(&r);
        r.q->tx.cached_prod -= need;
        if (err == -ENOBUFS)
            return tx_busy(adev, need, false);
        if (err == -EMSGSIZE && r.q->kick_pending)
            tx_kick(adev, r.q);
        if (err == -EMSGSIZE && lane_xmit(&adev->lane, skb) == 0) {
            trace_xmit(TRACE_LANE, skb);
            tx_count(adev, max(segs, 1u), bytes);
            consume_skb(skb);
            return NETDEV_TX_OK;
        }
        return tx_drop(adev, skb, err == -EMSGSIZE ? SKB_DROP_REASON_FRAG_TOO_BIG : SKB_DROP_REASON_NOT_SPECIFIED);
    }
    trace_xmit(TRACE_RING, skb);
    tx_submit(&r, need);
    tx_count(adev, max(segs, 1u), bytes);
    if (!r.hold)
        consume_skb(skb);
    return NETDEV_TX_OK;
}

/* A GSO packet by the lane. 0: done; -EAGAIN: later; else: segment it. */
static int tx_lane(struct af_xdp_dev *adev, struct sk_buff *skb, u32 segs)
{
    struct net *net = adev->dev.net;
    struct xsk_queue *q = &adev->queues[0];
    u32 bytes = skb->len;
    int err;

    /* What this flow sent before is in the ring: it must leave first. */
    if (q->kick_pending || xsk_tx_unsent(q)) {
        tx_kick(adev, q);
        if (xsk_tx_unsent(q))
            return -EBUSY; /* behind it in the ring, then */
    }
    err = lane_xmit(&adev->lane, skb);
    if (!err) {
        trace_xmit(TRACE_LANE, skb);
        adev->lane.refused_for = 0;
        NET_INC_STATS(net, SLUICE_MIB_GSO_LANE_PKTS);
        NET_ADD_STATS(net, SLUICE_MIB_GSO_LANE_SEGS, segs);
        tx_count(adev, segs, bytes);
        consume_skb(skb); /* the kernel has its copy */
        return 0;
    }
    if (err == -EAGAIN)
        return err;
    NET_INC_STATS(net, SLUICE_MIB_GSO_LANE_REFUSED);
    lane_refused(&adev->lane, net_now(net));
    net_dbg(net, "%s: the kernel refused a GSO frame of %u bytes (%s): segmenting in software for a while",
            adev->dev.name, bytes, strerror(-err));
    return err;
}

netdev_tx_t af_xdp_start_xmit(struct sk_buff *skb, struct net_device *dev)
{
    struct af_xdp_dev *adev = af_xdp_dev(dev);
    u32 segs;

    if (atomic_load_explicit(&adev->dead, memory_order_relaxed))
        return tx_drop(adev, skb, SKB_DROP_REASON_DEV_READY);
    if (skb->len < ETH_HLEN || skb_headlen(skb) < ETH_HLEN)
        return tx_drop(adev, skb, SKB_DROP_REASON_DEV_HDR);
    if (!skb_is_gso(skb))
        return WALK(tx_ring(adev, skb, 0));
    segs = skb_shinfo(skb)->gso_segs;
    if (!segs)
        return tx_drop(adev, skb, SKB_DROP_REASON_DEV_HDR);
    if (segs >= adev->st->cfg.lane_min_segs && lane_ready(&adev->lane, net_now(dev->net))) {
        int err = tx_lane(adev, skb, segs);

        if (!err)
            return NETDEV_TX_OK;
        if (err == -EAGAIN)
            return tx_busy(adev, 1, true);
    }
    return WALK(tx_ring(adev, skb, segs));
}

void af_xdp_xmit_flush(struct net_device *dev)
{
    struct af_xdp_dev *adev = af_xdp_dev(dev);
    struct xsk_queue *q = &adev->queues[0];

    if (!q->kick_pending || atomic_load_explicit(&adev->dead, memory_order_relaxed))
        return;
    tx_kick(adev, q);
    xsk_queue_reap(q, 0);
}

void af_xdp_tx_poll(struct af_xdp_dev *adev)
{
    struct xsk_queue *q = &adev->queues[0];
    struct net_device *dev = &adev->dev;
    u64 now = net_now(dev->net);

    if (xsk_queue_reap(q, 0))
        atomic_store_explicit(&adev->tx_progress, now, memory_order_relaxed);
    /* A doorbell that sent nothing (link down, no memory): again, but not all the time. */
    if (xsk_tx_unsent(q) && xsk_ring_prod__needs_wakeup(&q->tx) &&
        now > atomic_load_explicit(&adev->tx_progress, memory_order_relaxed) + NSEC_PER_MSEC &&
        spin_trylock(&dev->tx_lock)) {
        tx_kick(adev, q);
        spin_unlock(&dev->tx_lock);
    }
    if (!netif_queue_stopped(dev))
        return;
    if (xsk_tx_room(q) < atomic_load(&adev->tx_need) ||
        (READ_ONCE(adev->st->umem.tx_nfree) < atomic_load(&adev->tx_need) && atomic_load(&q->outstanding)))
        return;
    atomic_store(&adev->lane_busy, false);
    for (; dev; dev = dev->upper)
        netif_wake_queue(dev);
}

bool af_xdp_tx_stalled(struct af_xdp_dev *adev)
{
    struct xsk_queue *q = &adev->queues[0];

    if (!atomic_load(&q->outstanding) && !atomic_load(&adev->lane_busy))
        return false;
    return net_now(adev->dev.net) < atomic_load(&adev->tx_progress) + TX_STALL_NS;
}
