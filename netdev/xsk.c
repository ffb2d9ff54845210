/* SPDX-License-Identifier: MIT */
/* Setting up one AF_XDP socket, and taking back what its completion ring returns. */

#include "xsk.h"
#include "highfd.h"
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { MAP_RX, MAP_TX, MAP_FILL, MAP_COMPLETION };

/* Registration pins the memory. Without CAP_IPC_LOCK that counts against RLIMIT_MEMLOCK, which root may
 * raise for the moment; the program keeps its own limit. */
static int xsk_register_umem(int fd, const struct umem *u)
{
    struct xdp_umem_reg reg = {.addr = (uintptr_t)u->area, .len = u->len, .chunk_size = UMEM_CHUNK};
    struct rlimit old, all = {RLIM_INFINITY, RLIM_INFINITY};
    int err;

    if (setsockopt(fd, SOL_XDP, XDP_UMEM_REG, &reg, sizeof(reg)) == 0)
        return 0;
    err = -errno;
    if ((err != -ENOBUFS && err != -EPERM) || getrlimit(RLIMIT_MEMLOCK, &old) ||
        setrlimit(RLIMIT_MEMLOCK, &all))
        return err;
    err = setsockopt(fd, SOL_XDP, XDP_UMEM_REG, &reg, sizeof(reg)) ? -errno : 0;
    setrlimit(RLIMIT_MEMLOCK, &old);
    return err;
}

static int xsk_ring_sizes(int fd, u32 size)
{
    static const int opts[] = {XDP_UMEM_FILL_RING, XDP_UMEM_COMPLETION_RING, XDP_RX_RING, XDP_TX_RING};
    size_t i;

    for (i = 0; i < ARRAY_SIZE(opts); i++)
        if (setsockopt(fd, SOL_XDP, opts[i], &size, sizeof(size)))
            return -errno;
    return 0;
}

static void *xsk_map_ring(struct xsk_queue *q, int i, const struct xdp_ring_offset *off, size_t entry, off_t at)
{
    size_t len = off->desc + (size_t)q->ring_size * entry;
    void *p = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, q->fd, at);

    if (p == MAP_FAILED)
        return NULL;
    madvise(p, len, MADV_DONTFORK); /* a child that wrote here would send our frames */
    q->map[i] = p;
    q->map_len[i] = len;
    return p;
}

static void xsk_ring_init(struct xsk_ring_prod *r, void *map, const struct xdp_ring_offset *off, u32 size, bool prod)
{
    memset(r, 0, sizeof(*r));
    r->mask = size - 1;
    r->size = size;
    r->producer = (__u32 *)((u8 *)map + off->producer);
    r->consumer = (__u32 *)((u8 *)map + off->consumer);
    r->flags = (__u32 *)((u8 *)map + off->flags);
    r->ring = (u8 *)map + off->desc;
    r->cached_prod = *r->producer;
    r->cached_cons = *r->consumer + (prod ? size : 0); /* as xsk_prod_nb_free() wants it */
}

static int xsk_map_rings(struct xsk_queue *q)
{
    struct xdp_mmap_offsets off;
    socklen_t len = sizeof(off);
    void *p;

    if (getsockopt(q->fd, SOL_XDP, XDP_MMAP_OFFSETS, &off, &len))
        return -errno;
    if (len < sizeof(off))
        return -EOPNOTSUPP; /* before Linux 5.4: no need_wakeup flags */
    p = xsk_map_ring(q, MAP_RX, &off.rx, sizeof(struct xdp_desc), XDP_PGOFF_RX_RING);
    if (!p)
        return -errno;
    xsk_ring_init((struct xsk_ring_prod *)&q->rx, p, &off.rx, q->ring_size, false);
    p = xsk_map_ring(q, MAP_TX, &off.tx, sizeof(struct xdp_desc), XDP_PGOFF_TX_RING);
    if (!p)
        return -errno;
    xsk_ring_init(&q->tx, p, &off.tx, q->ring_size, true);
    p = xsk_map_ring(q, MAP_FILL, &off.fr, sizeof(u64), (off_t)XDP_UMEM_PGOFF_FILL_RING);
    if (!p)
        return -errno;
    xsk_ring_init(&q->fill, p, &off.fr, q->ring_size, true);
    p = xsk_map_ring(q, MAP_COMPLETION, &off.cr, sizeof(u64), (off_t)XDP_UMEM_PGOFF_COMPLETION_RING);
    if (!p)
        return -errno;
    xsk_ring_init((struct xsk_ring_prod *)&q->cq, p, &off.cr, q->ring_size, false);
    return 0;
}

int xsk_queue_open(struct xsk_queue *q, struct umem *u, u32 id, u32 ring_size, u32 fill_target, int shared_fd)
{
    int err, budget = (int)ring_size, sndbuf = 16 << 20;

    q->umem = u;
    q->id = id;
    q->ring_size = ring_size;
    q->fill_target = min(fill_target, ring_size);
    q->fd = -1;
    q->tag = umem_tag_get(u);
    if (!q->tag)
        return -ENOSPC;
    spin_lock_init(&q->rx_lock);
    spin_lock_init(&q->cq_lock);
    q->fd = highfd_move(socket(AF_XDP, SOCK_RAW | SOCK_CLOEXEC, 0));
    if (q->fd < 0) {
        err = -errno;
        q->fd = -1;
        umem_tag_put(u, q->tag);
        return err;
    }
    err = shared_fd >= 0 ? 0 : xsk_register_umem(q->fd, u);
    if (!err)
        err = xsk_ring_sizes(q->fd, ring_size);
    if (!err)
        err = xsk_map_rings(q);
    if (err) {
        xsk_queue_close(q);
        return err;
    }
    /* Copy mode: frames per doorbell (Linux 6.17; else 32) and how much may be under way. */
    setsockopt(q->fd, SOL_XDP, XDP_MAX_TX_SKB_BUDGET, &budget, sizeof(budget));
    if (setsockopt(q->fd, SOL_SOCKET, SO_SNDBUFFORCE, &sndbuf, sizeof(sndbuf)))
        setsockopt(q->fd, SOL_SOCKET, SO_SNDBUF, &sndbuf, sizeof(sndbuf));
    xsk_queue_fill(q);
    return 0;
}

int xsk_queue_bind(struct xsk_queue *q, int ifindex, u16 flags, int shared_fd, u32 busy_ms)
{
    struct sockaddr_xdp sxdp = {.sxdp_family = AF_XDP, .sxdp_ifindex = (u32)ifindex, .sxdp_queue_id = q->id,
                                .sxdp_flags = flags};
    struct timespec nap = {.tv_nsec = 2000000};
    u32 tried;

    if (shared_fd >= 0) {
        sxdp.sxdp_flags = XDP_SHARED_UMEM;
        sxdp.sxdp_shared_umem_fd = (u32)shared_fd;
    }
    for (tried = 0;; tried += 2) {
        if (bind(q->fd, (struct sockaddr *)&sxdp, sizeof(sxdp)) == 0)
            return 0;
        if (errno != EBUSY || tried >= busy_ms)
            return -errno;
        nanosleep(&nap, NULL);
    }
}

bool xsk_queue_zerocopy(const struct xsk_queue *q)
{
    struct xdp_options o = {0};
    socklen_t len = sizeof(o);

    return getsockopt(q->fd, SOL_XDP, XDP_OPTIONS, &o, &len) == 0 && (o.flags & XDP_OPTIONS_ZEROCOPY);
}

void xsk_queue_fill(struct xsk_queue *q)
{
    u32 chunk[64], n, i, idx = 0;

    while (q->in_kernel < q->fill_target) {
        n = umem_rx_get(q->umem, q->tag, chunk, min((u32)ARRAY_SIZE(chunk), q->fill_target - q->in_kernel));
        if (!n)
            return;
        if (xsk_ring_prod__reserve(&q->fill, n, &idx) != n) {
            umem_rx_put(q->umem, chunk, n); /* chunks in RX leave room in FILL: not seen */
            return;
        }
        for (i = 0; i < n; i++)
            *xsk_ring_prod__fill_addr(&q->fill, idx + i) = (u64)chunk[i] << UMEM_CHUNK_SHIFT;
        xsk_ring_prod__submit(&q->fill, n);
        q->in_kernel += n;
    }
}

#define REAP_BATCH 64

u32 xsk_queue_reap(struct xsk_queue *q, u32 budget)
{
    struct umem *u = q->umem;
    u32 copies[REAP_BATCH], ncopies, n, i, idx = 0, total = 0;

    /* Sk_buffs are consumed outside the lock: their destructors are the stack's. */
    while (atomic_load_explicit(&q->outstanding, memory_order_relaxed)) {
        struct sk_buff *done = NULL;

        spin_lock(&q->cq_lock);
        ncopies = 0;
        n = xsk_ring_cons__peek(&q->cq, REAP_BATCH, &idx);
        for (i = 0; i < n; i++) {
            u32 slot = umem_addr_slot(u, *xsk_ring_cons__comp_addr(&q->cq, idx + i));
            struct sk_buff *skb;

            if (slot >= u->nslots || !atomic_load_explicit(&u->slots[slot].in_ring, memory_order_relaxed))
                continue; /* not an address that we gave; never seen */
            skb = umem_slot_complete(u, slot, copies, &ncopies);
            if (skb) {
                skb->next = done;
                done = skb;
            }
        }
        xsk_ring_cons__release(&q->cq, n);
        spin_unlock(&q->cq_lock);
        if (!n)
            break;
        atomic_fetch_sub_explicit(&q->outstanding, n, memory_order_release);
        if (ncopies)
            umem_tx_put(u, copies, ncopies);
        while (done) {
            struct sk_buff *next = done->next;

            done->next = NULL;
            consume_skb(done);
            done = next;
        }
        total += n;
        if (n < REAP_BATCH || (budget && total >= budget))
            break;
    }
    return total;
}

static void xsk_queue_unmap(struct xsk_queue *q)
{
    size_t i;

    for (i = 0; i < ARRAY_SIZE(q->map); i++)
        if (q->map[i])
            munmap(q->map[i], q->map_len[i]);
    memset(q->map, 0, sizeof(q->map));
    memset(&q->rx, 0, sizeof(q->rx));
    memset(&q->tx, 0, sizeof(q->tx));
    memset(&q->fill, 0, sizeof(q->fill));
    memset(&q->cq, 0, sizeof(q->cq));
}

void xsk_queue_close(struct xsk_queue *q)
{
    if (q->fd < 0)
        return;
    if (q->cq.producer)
        xsk_queue_reap(q, 0);
    xsk_queue_unmap(q); /* a mapping keeps the socket alive */
    close(q->fd);
    q->fd = -1;
    if (q->nmagazine)
        umem_tx_put(q->umem, q->magazine, q->nmagazine);
    q->nmagazine = 0;
    if (q->rx_skb)
        kfree_skb_reason(q->rx_skb, SKB_DROP_REASON_DEV_READY);
    q->rx_skb = NULL;
    umem_tag_put(q->umem, q->tag); /* what was submitted counts as sent */
    atomic_store(&q->outstanding, 0);
    q->in_kernel = 0;
    spin_lock_destroy(&q->rx_lock);
    spin_lock_destroy(&q->cq_lock);
}

void xsk_queue_forget(struct xsk_queue *q)
{
    if (q->fd >= 0)
        close(q->fd);
    q->fd = -1;
    /* The rings are not mapped here (MADV_DONTFORK), and what lies at their addresses now is not ours. */
    memset(q->map, 0, sizeof(q->map));
    q->rx.ring = q->fill.ring = q->tx.ring = q->cq.ring = NULL;
    q->rx.producer = q->tx.producer = NULL;
}
