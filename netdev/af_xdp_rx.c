/* SPDX-License-Identifier: MIT */
/* Receive: from descriptors to sk_buffs, without a copy while chunks last.
 *
 * A frame of several buffers (a kernel peer's TSO super-frame on veth, 16 to 18 of them) becomes one sk_buff
 * whose head is the first buffer and whose frags are the others. */

#include "af_xdp_priv.h"
#include <sys/socket.h>

#define RX_BATCH 64u

/* Chunks that need no sk_buff any more go back together. */
struct rx_recycle {
    u32 chunk[RX_BATCH], n;
};

static void rx_flush_recycle(struct xsk_queue *q, struct rx_recycle *rc)
{
    if (rc->n)
        umem_rx_put(q->umem, rc->chunk, rc->n);
    rc->n = 0;
}

static void rx_give_back(struct xsk_queue *q, struct rx_recycle *rc, u32 chunk)
{
    if (rc->n == RX_BATCH)
        rx_flush_recycle(q, rc);
    rc->chunk[rc->n++] = chunk;
}

static void rx_abandon(struct xsk_queue *q, enum skb_drop_reason reason)
{
    atomic_fetch_add_explicit(&q->adev->dev.stats.rx_dropped, 1, memory_order_relaxed);
    if (q->rx_skb)
        kfree_skb_reason(q->rx_skb, reason);
    q->rx_skb = NULL;
    q->rx_skip = true; /* until the frame's last buffer */
}

/* The chunk now belongs to an sk_buff: a page with one reference. */
static struct page *rx_page(struct umem *u, u32 chunk)
{
    struct page *page = &u->rx_pages[chunk];

    atomic_store_explicit(&u->rx_state[chunk], RX_STACK, memory_order_relaxed);
    atomic_store_explicit(&page->refcount, 1, memory_order_relaxed);
    return page;
}

/* First buffer of a frame. */
static struct sk_buff *rx_first(struct xsk_queue *q, u32 chunk, u32 off, u32 len, bool copy, struct rx_recycle *rc)
{
    struct net_device *dev = &q->adev->dev;
    u8 *data = q->umem->area + ((u64)chunk << UMEM_CHUNK_SHIFT) + off;
    struct sk_buff *skb;

    if (copy) {
        skb = alloc_skb(dev->net, 64 + len); /* 64: headers may be pushed again */
        if (skb) {
            skb_reserve(skb, 64);
            memcpy(skb_put(skb, len), data, len);
        }
        rx_give_back(q, rc, chunk);
    } else {
        struct page *page = rx_page(q->umem, chunk);

        skb = build_skb_page(dev->net, page, off);
        if (skb)
            skb_put(skb, len);
        else
            put_page(page);
    }
    if (!skb)
        return NULL;
    skb->dev = dev;
    skb->ip_summed = CHECKSUM_NONE; /* on a device without a wire TCP recognises a partial sum itself */
    skb->tstamp = net_now(dev->net);
    skb->queue_mapping = (u16)q->id;
    return skb;
}

/* A further buffer. False: the frame is lost. */
static bool rx_more(struct xsk_queue *q, u32 chunk, u32 off, u32 len, bool copy, struct rx_recycle *rc)
{
    struct page *page;

    if (skb_shinfo(q->rx_skb)->nr_frags >= MAX_SKB_FRAGS) {
        rx_give_back(q, rc, chunk);
        return false;
    }
    if (copy) {
        page = q->umem->heap_pool->alloc(q->umem->heap_pool);
        if (page)
            memcpy(page->addr, q->umem->area + ((u64)chunk << UMEM_CHUNK_SHIFT) + off, len);
        rx_give_back(q, rc, chunk);
        if (!page)
            return false;
        off = 0;
    } else {
        page = rx_page(q->umem, chunk);
    }
    skb_add_rx_frag(q->rx_skb, page, off, len, UMEM_CHUNK);
    return true;
}

/* One descriptor; takes the chunk over. True: a frame is complete in q->rx_skb. */
static bool rx_desc(struct xsk_queue *q, const struct xdp_desc *d, struct rx_recycle *rc)
{
    struct umem *u = q->umem;
    u32 chunk = (u32)min(d->addr >> UMEM_CHUNK_SHIFT, (__u64)u->nrx), off = d->addr & (UMEM_CHUNK - 1);
    bool more = d->options & XDP_PKT_CONTD, copy, ok;

    if (chunk >= u->nrx || off + d->len > UMEM_CHUNK ||
        atomic_load_explicit(&u->rx_state[chunk], memory_order_relaxed) != q->tag) {
        atomic_fetch_add_explicit(&q->adev->dev.stats.rx_errors, 1, memory_order_relaxed);
        return false; /* not a chunk that we gave; never seen */
    }
    q->in_kernel--;
    if (q->rx_skip) {
        rx_give_back(q, rc, chunk);
        q->rx_skip = more;
        return false;
    }
    copy = READ_ONCE(u->rx_nfree) + rc->n < u->rx_low;
    if (copy)
        NET_INC_STATS(q->adev->dev.net, SLUICE_MIB_RX_COPYOUT);
    if (!q->rx_skb) {
        ok = (q->rx_skb = rx_first(q, chunk, off, d->len, copy, rc)) != NULL;
        if (more)
            NET_INC_STATS(q->adev->dev.net, SLUICE_MIB_RX_MULTIBUF);
    } else {
        ok = rx_more(q, chunk, off, d->len, copy, rc);
    }
    if (!ok) {
        rx_abandon(q, SKB_DROP_REASON_NOMEM);
        q->rx_skip = more;
        return false;
    }
    return !more;
}

/* rx_lock held. Returns frames delivered. */
static int rx_queue(struct xsk_queue *q, int budget)
{
    struct net_device *dev = &q->adev->dev;
    struct rx_recycle rc = {.n = 0};
    int frames = 0;
    u64 bytes = 0;

    while (frames < budget) {
        u32 idx = 0, i, n = xsk_ring_cons__peek(&q->rx, min(RX_BATCH, (u32)(budget - frames)), &idx);

        if (!n)
            break;
        for (i = 0; i < n; i++) {
            const struct xdp_desc d = *xsk_ring_cons__rx_desc(&q->rx, idx + i);

            if (i + 1 < n)
                __builtin_prefetch(q->umem->area + xsk_ring_cons__rx_desc(&q->rx, idx + i + 1)->addr);
            if (rx_desc(q, &d, &rc)) {
                struct sk_buff *skb = q->rx_skb;

                q->rx_skb = NULL;
                bytes += skb->len;
                frames++;
                netif_receive_skb(skb);
            }
        }
        xsk_ring_cons__release(&q->rx, n);
        rx_flush_recycle(q, &rc);
        if (q->fill_target - q->in_kernel >= min(RX_BATCH, q->fill_target / 4))
            xsk_queue_fill(q);
    }
    if (frames) {
        atomic_fetch_add_explicit(&dev->stats.rx_packets, (u64)frames, memory_order_relaxed);
        atomic_fetch_add_explicit(&dev->stats.rx_bytes, bytes, memory_order_relaxed);
    }
    return frames;
}

int af_xdp_poll(struct net_device *dev, int budget)
{
    struct af_xdp_dev *adev = af_xdp_dev(dev);
    struct net_device *top;
    int done = 0;
    bool batch = false;
    u32 i;

    if (atomic_load_explicit(&adev->dead, memory_order_acquire))
        return 0;
    for (top = dev; top->upper; top = top->upper)
        ;
    af_xdp_tx_poll(adev);
    if (steer_arps_ready(&adev->st->steer))
        done += steer_poll_arps(adev->st);
    for (i = 0; i < adev->nqueues && done < budget; i++) {
        struct xsk_queue *q = &adev->queues[i];

        if (!xsk_rx_ready(q)) {
            /* Zero-copy: the driver ran out of chunks and waits for a doorbell of the FILL ring. */
            if (q->fill.flags && xsk_ring_prod__needs_wakeup(&q->fill) && q->fd >= 0)
                recvfrom(q->fd, NULL, 0, MSG_DONTWAIT, NULL, NULL);
            continue;
        }
        if (!spin_trylock(&q->rx_lock))
            continue; /* another thread polls it */
        if (!batch)
            dev_tx_batch_begin(top);
        batch = true;
        done += rx_queue(q, budget - done);
        spin_unlock(&q->rx_lock);
    }
    if (batch) {
        napi_complete(top);
        dev_tx_batch_end(top);
    }
    return done;
}

int af_xdp_poll_fds(struct net_device *dev, int *fds, int max)
{
    struct af_xdp_dev *adev = af_xdp_dev(dev);
    int n = 0;
    u32 i;

    if (atomic_load(&adev->dead))
        return 0;
    for (i = 0; i < adev->nqueues && n < max; i++)
        if (adev->queues[i].fd >= 0)
            fds[n++] = adev->queues[i].fd;
    if (n < max && adev->st->steer.arps >= 0)
        fds[n++] = adev->st->steer.arps; /* readable while replies wait */
    return n;
}

bool af_xdp_prepare_sleep(struct net_device *dev)
{
    struct af_xdp_dev *adev = af_xdp_dev(dev);
    u32 i;

    if (atomic_load(&adev->dead))
        return true;
    for (i = 0; i < adev->nqueues; i++)
        if (xsk_rx_ready(&adev->queues[i]))
            return false;
    if (steer_arps_ready(&adev->st->steer))
        return false;
    /* poll(2) on the socket rings the FILL ring's doorbell itself; nothing tells of completions. */
    af_xdp_tx_poll(adev);
    return !af_xdp_tx_stalled(adev);
}
