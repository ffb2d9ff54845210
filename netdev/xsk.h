/* SPDX-License-Identifier: MIT */
#ifndef SLUICE_NETDEV_XSK_H
#define SLUICE_NETDEV_XSK_H
/* One queue: an AF_XDP socket and its four rings.
 *
 * The ring operations are libxdp's (xdp/xsk.h, inline); setting the socket up is not: libxdp keeps the
 * descriptor that socket() gave it, the lowest free one, which belongs to the program (highfd.h), and its
 * umem object ties memory to one bind mode, while we register the same memory once for each device. */

#include "umem.h"
#include <xdp/xsk.h>

/* Not in the headers of Linux 6.1. */
#ifndef XDP_USE_SG
#define XDP_USE_SG (1 << 4)
#endif
#ifndef XDP_PKT_CONTD
#define XDP_PKT_CONTD (1 << 0)
#endif
#ifndef XDP_MAX_TX_SKB_BUDGET
#define XDP_MAX_TX_SKB_BUDGET 9
#endif
#ifndef SOL_XDP
#define SOL_XDP 283
#endif
#ifndef AF_XDP
#define AF_XDP 44
#endif

#define XSK_MAGAZINE 32

struct af_xdp_dev;

struct xsk_queue {
    struct af_xdp_dev *adev;
    struct umem *umem;
    int fd; /* -1: not open */
    u32 id; /* queue number of the device */
    u32 ring_size;
    u8 tag; /* umem's mark for what this queue's kernel side has */

    spinlock_t rx_lock; /* taken by try-lock: one poller. Protects what follows; delivery runs under it */
    struct xsk_ring_cons rx;
    struct xsk_ring_prod fill;
    u32 fill_target;       /* chunks that the kernel should have */
    u32 in_kernel;         /* chunks in the FILL and RX rings */
    struct sk_buff *rx_skb; /* a multi-buffer frame whose end has not come */
    bool rx_skip;          /* the rest of this frame is to be dropped */

    /* under the device's tx_lock */
    struct xsk_ring_prod tx;
    u32 magazine[XSK_MAGAZINE], nmagazine; /* slots at hand for copies */
    u32 kick_pending;                      /* descriptors since the last doorbell */

    spinlock_t cq_lock; /* protects cq, and skb/copy of the slots it reaps; nests in the device's tx_lock */
    struct xsk_ring_cons cq;
    _Atomic u32 outstanding; /* descriptors between submission and completion; at most ring_size */

    void *map[4]; /* ring memory */
    size_t map_len[4];
};

/* Role: socket, memory registration (or sharing with shared_fd >= 0), rings, FILL ring, in the order that
 * every driver likes: the FILL ring is full before bind. 0 or -errno with nothing left open. */
int xsk_queue_open(struct xsk_queue *q, struct umem *u, u32 id, u32 ring_size, u32 fill_target, int shared_fd);
/* Role: bind to the device's queue. flags: XDP_* of bind, 0 with shared_fd. Repeats EBUSY for up to busy_ms:
 * a queue that was closed a moment ago is released asynchronously. 0 or -errno (the queue stays open, but
 * not every kernel lets it try another mode: close it). */
int xsk_queue_bind(struct xsk_queue *q, int ifindex, u16 flags, int shared_fd, u32 busy_ms);
/* Close; every chunk and slot that the kernel had is home afterwards, sk_buffs in the ring are consumed. */
void xsk_queue_close(struct xsk_queue *q);
/* In a fork child: let go of descriptor and mappings only. */
void xsk_queue_forget(struct xsk_queue *q);
bool xsk_queue_zerocopy(const struct xsk_queue *q);
/* Top up the FILL ring. rx_lock held (or the queue is not yet in use). */
void xsk_queue_fill(struct xsk_queue *q);
/* Take what the kernel has sent: at most `budget` descriptors, 0: all. Releases slots and sk_buffs.
 * Returns how many. Any thread. */
u32 xsk_queue_reap(struct xsk_queue *q, u32 budget);

/* Descriptors that may be submitted now. tx_lock held. */
static inline u32 xsk_tx_room(const struct xsk_queue *q)
{
    return q->ring_size - atomic_load_explicit(&((struct xsk_queue *)q)->outstanding, memory_order_acquire);
}
/* The kernel has not taken all that was submitted. */
static inline bool xsk_tx_unsent(const struct xsk_queue *q)
{
    return q->tx.producer && __atomic_load_n(q->tx.consumer, __ATOMIC_ACQUIRE) != READ_ONCE(*q->tx.producer);
}
static inline bool xsk_rx_ready(const struct xsk_queue *q)
{
    return q->rx.producer && __atomic_load_n(q->rx.producer, __ATOMIC_ACQUIRE) != READ_ONCE(*q->rx.consumer);
}

#endif
