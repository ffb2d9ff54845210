/* SPDX-License-Identifier: MIT */
/* The heap page pool: what a UMEM is to a process with a device, for those without one. */

#include "page.h"

struct heap_pool {
    struct page_pool pool; /* first */
    u64 limit;
};

/* The page and its memory in one block: one malloc a slot. */
static struct page *heap_page_alloc(struct page_pool *pool)
{
    struct heap_pool *hp = (struct heap_pool *)pool;
    u32 size = pool->headroom + pool->slot_size;
    struct page *page;

    if (atomic_fetch_add_explicit(&pool->outstanding, 1, memory_order_relaxed) >= (s64)hp->limit && hp->limit)
        goto full;
    page = malloc(sizeof(*page) + size);
    if (!page)
        goto full;
    atomic_init(&page->refcount, 1);
    page->size = size;
    page->addr = (u8 *)(page + 1);
    page->pool = pool;
    page->private_ = 0;
    return page;

full:
    atomic_fetch_sub_explicit(&pool->outstanding, 1, memory_order_relaxed);
    return NULL;
}

static void heap_page_free(struct page_pool *pool, struct page *page)
{
    atomic_fetch_sub_explicit(&pool->outstanding, 1, memory_order_relaxed);
    free(page);
}

struct page_pool *page_pool_heap_create(u32 slot_size, u32 headroom, u64 limit)
{
    struct heap_pool *hp = calloc(1, sizeof(*hp));

    if (!hp)
        return NULL;
    hp->pool.alloc = heap_page_alloc;
    hp->pool.free = heap_page_free;
    hp->pool.slot_size = slot_size;
    hp->pool.headroom = headroom;
    hp->limit = limit;
    return &hp->pool;
}

void page_pool_heap_destroy(struct page_pool *pool)
{
    free(pool);
}
