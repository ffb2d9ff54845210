/* SPDX-License-Identifier: MIT */
#ifndef SLUICE_CORE_PAGE_H
#define SLUICE_CORE_PAGE_H
/* struct page: a reference-counted block of packet memory. It is a UMEM slot when a device with a
 * UMEM serves the process (the payload is then copied only once, straight into what the device
 * reads), a UMEM frame on receive, and heap memory in tests and when there is no UMEM.
 *
 * A page from a transmit pool has `headroom` bytes before the place where payload starts, so that the
 * driver can write a segment's headers directly in front of its payload. */

#include "types.h"

struct page;

struct page_pool {
    /* Returns a page with one reference and room for at least one transmit slot's payload, or NULL
     * when the pool is exhausted. Any thread. */
    struct page *(*alloc)(struct page_pool *pool);
    /* Takes back a page whose last reference has gone. Any thread, any context. */
    void (*free)(struct page_pool *pool, struct page *page);
    u32 slot_size;  /* bytes after the headroom of each page */
    u32 headroom;   /* bytes before payload */
    _Atomic s64 outstanding; /* pages that are not home: tests assert 0 */
    void *priv;
};

struct page {
    _Atomic u32 refcount;
    u32 size;     /* usable bytes from addr on, headroom included */
    u8 *addr;     /* first byte (of the headroom, for a transmit slot) */
    struct page_pool *pool;
    u64 private_; /* the pool's own: UMEM address of addr */
};

static inline void get_page(struct page *p)
{
    atomic_fetch_add_explicit(&p->refcount, 1, memory_order_relaxed);
}
static inline u32 page_count(const struct page *p)
{
    return atomic_load_explicit(&p->refcount, memory_order_acquire);
}
/* Drops a reference; the last one gives the page to its pool. */
static inline void put_page(struct page *p)
{
    if (atomic_fetch_sub_explicit(&p->refcount, 1, memory_order_acq_rel) == 1)
        p->pool->free(p->pool, p);
}

/* A pool of heap pages: for simulation, tests and processes without a device.
 * limit: pages that may be outstanding at once, 0 for no limit. Free with page_pool_destroy(). */
struct page_pool *page_pool_heap_create(u32 slot_size, u32 headroom, u64 limit);
void page_pool_heap_destroy(struct page_pool *pool);

#endif
