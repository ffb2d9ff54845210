/* SPDX-License-Identifier: MIT */
/* UMEM: memory, free lists, and the two page pools over them. */

#include "umem.h"
#include <sys/mman.h>

#define HUGE_PAGE (2u << 20)

u8 umem_tag_get(struct umem *u)
{
    u32 tag;

    spin_lock(&u->rx_lock);
    for (tag = RX_KERNEL; tag < ARRAY_SIZE(u->tags) && u->tags[tag]; tag++)
        ;
    if (tag < ARRAY_SIZE(u->tags))
        u->tags[tag] = 1;
    spin_unlock(&u->rx_lock);
    return tag < ARRAY_SIZE(u->tags) ? (u8)tag : 0;
}

void umem_tag_put(struct umem *u, u8 tag)
{
    u32 i, n;

    for (i = 0; i < u->nrx; i++)
        if (atomic_load(&u->rx_state[i]) == tag)
            umem_rx_put(u, &i, 1);
    for (i = 0; i < u->nslots; i++) {
        struct sk_buff *skb;
        u32 copy;

        if (atomic_load(&u->slots[i].in_ring) != tag)
            continue;
        n = 0;
        skb = umem_slot_complete(u, i, &copy, &n);
        if (n)
            umem_tx_put(u, &copy, 1);
        consume_skb(skb);
    }
    spin_lock(&u->rx_lock);
    u->tags[tag] = 0;
    spin_unlock(&u->rx_lock);
}

struct sk_buff *umem_slot_complete(struct umem *u, u32 slot, u32 *copies, u32 *ncopies)
{
    struct tx_slot *s = &u->slots[slot];
    struct sk_buff *skb = s->skb;

    s->skb = NULL;
    if (s->copy) {
        s->copy = 0;
        copies[(*ncopies)++] = slot;
    }
    /* A: pairs with B in umem_slot_claim(): who sees 0 may write the slot again. */
    atomic_store_explicit(&s->in_ring, 0, memory_order_release);
    return skb && --XSK_SKB_CB(skb)->descs == 0 ? skb : NULL;
}

u32 umem_rx_get(struct umem *u, u8 tag, u32 *chunk, u32 n)
{
    u32 i;

    spin_lock(&u->rx_lock);
    n = min(n, u->rx_nfree);
    u->rx_nfree -= n;
    memcpy(chunk, u->rx_free + u->rx_nfree, n * sizeof(*chunk));
    spin_unlock(&u->rx_lock);
    for (i = 0; i < n; i++)
        atomic_store_explicit(&u->rx_state[chunk[i]], tag, memory_order_relaxed);
    atomic_fetch_add_explicit(&u->rx_pool.outstanding, n, memory_order_relaxed);
    return n;
}

void umem_rx_put(struct umem *u, const u32 *chunk, u32 n)
{
    u32 i;

    for (i = 0; i < n; i++) {
        u8 was = atomic_exchange_explicit(&u->rx_state[chunk[i]], RX_FREE, memory_order_relaxed);
        BUG_ON(was == RX_FREE);
    }
    spin_lock(&u->rx_lock);
    memcpy(u->rx_free + u->rx_nfree, chunk, n * sizeof(*chunk));
    u->rx_nfree += n;
    spin_unlock(&u->rx_lock);
    atomic_fetch_sub_explicit(&u->rx_pool.outstanding, n, memory_order_relaxed);
}

static void umem_rx_page_free(struct page_pool *pool, struct page *page)
{
    struct umem *u = pool->priv;
    u32 chunk = (u32)(page - u->rx_pages);

    umem_rx_put(u, &chunk, 1);
}

static struct page *umem_rx_page_alloc(struct page_pool *pool) { return NULL; }

u32 umem_tx_get(struct umem *u, u32 *slot, u32 n)
{
    spin_lock(&u->tx_lock);
    n = min(n, u->tx_nfree);
    u->tx_nfree -= n;
    memcpy(slot, u->tx_free + u->tx_nfree, n * sizeof(*slot));
    spin_unlock(&u->tx_lock);
    atomic_fetch_add_explicit(&u->tx_pool.outstanding, n, memory_order_relaxed);
    return n;
}

void umem_tx_put(struct umem *u, const u32 *slot, u32 n)
{
    spin_lock(&u->tx_lock);
    BUG_ON(u->tx_nfree + n > u->nslots);
    memcpy(u->tx_free + u->tx_nfree, slot, n * sizeof(*slot));
    WRITE_ONCE(u->tx_nfree, u->tx_nfree + n);
    spin_unlock(&u->tx_lock);
    atomic_fetch_sub_explicit(&u->tx_pool.outstanding, n, memory_order_relaxed);
}

static struct page *umem_tx_page_alloc(struct page_pool *pool)
{
    struct umem *u = pool->priv;
    struct page *page = NULL;

    spin_lock(&u->tx_lock);
    if (u->tx_nfree > u->tx_reserve)
        page = &u->tx_pages[u->tx_free[--u->tx_nfree]];
    spin_unlock(&u->tx_lock);
    if (!page)
        return NULL;
    atomic_fetch_add_explicit(&pool->outstanding, 1, memory_order_relaxed);
    atomic_store_explicit(&page->refcount, 1, memory_order_relaxed);
    return page;
}

/* The last reference has gone, the driver's included (it holds the sk_buff until the completion), so the
 * slot is in no ring. */
static void umem_tx_page_free(struct page_pool *pool, struct page *page)
{
    struct umem *u = pool->priv;
    u32 slot = (u32)(page - u->tx_pages);

    BUG_ON(atomic_load_explicit(&u->slots[slot].in_ring, memory_order_acquire));
    umem_tx_put(u, &slot, 1);
}

static void umem_init_pages(struct umem *u)
{
    u32 i;

    u->rx_pool = (struct page_pool){.alloc = umem_rx_page_alloc, .free = umem_rx_page_free,
                                    .slot_size = UMEM_CHUNK, .priv = u};
    u->tx_pool = (struct page_pool){.alloc = umem_tx_page_alloc, .free = umem_tx_page_free,
                                    .slot_size = UMEM_SLOT - UMEM_HEADROOM, .headroom = UMEM_HEADROOM,
                                    .priv = u};
    for (i = 0; i < u->nrx; i++) {
        u64 addr = (u64)i << UMEM_CHUNK_SHIFT;
        u->rx_pages[i] = (struct page){.size = UMEM_CHUNK, .addr = u->area + addr, .pool = &u->rx_pool,
                                       .private_ = addr};
        u->rx_free[u->rx_nfree++] = u->nrx - 1 - i; /* lowest first off the stack */
    }
    for (i = 0; i < u->nslots; i++) {
        u64 addr = umem_slot_addr(u, i);
        u->tx_pages[i] = (struct page){.size = UMEM_SLOT, .addr = u->area + addr, .pool = &u->tx_pool,
                                       .private_ = addr};
        u->tx_free[u->tx_nfree++] = u->nslots - 1 - i;
    }
}

static int umem_map(struct umem *u)
{
    u->len = (size_t)u->nframes * UMEM_CHUNK;
    u->map_len = u->len + HUGE_PAGE;
    u->map = mmap(NULL, u->map_len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (u->map == MAP_FAILED) {
        u->map = NULL;
        return -errno;
    }
    u->area = (u8 *)ALIGN((uintptr_t)u->map, (uintptr_t)HUGE_PAGE);
    /* Fewer faults when the kernel pins it; it is only advice. */
    madvise(u->area, u->len, MADV_HUGEPAGE);
    /* A fork child must neither share what the kernel writes here nor pay for copying pinned pages. */
    madvise(u->map, u->map_len, MADV_DONTFORK);
    return 0;
}

int umem_create(struct umem *u, u32 nframes)
{
    int err;

    memset(u, 0, sizeof(*u));
    u->nframes = max(nframes, 64u) & ~1u;
    u->nrx = u->nframes / 2;
    u->nslots = (u->nframes - u->nrx) * 2;
    u->tx_base = (u64)u->nrx << UMEM_CHUNK_SHIFT;
    u->rx_low = u->nrx / 16;
    u->tx_reserve = min(u->nslots / 4, 2048u);
    spin_lock_init(&u->rx_lock);
    spin_lock_init(&u->tx_lock);
    err = umem_map(u);
    if (err)
        return err;
    u->rx_pages = calloc(u->nrx, sizeof(*u->rx_pages));
    u->tx_pages = calloc(u->nslots, sizeof(*u->tx_pages));
    u->slots = calloc(u->nslots, sizeof(*u->slots));
    u->rx_state = calloc(u->nrx, sizeof(*u->rx_state));
    u->rx_free = calloc(u->nrx, sizeof(*u->rx_free));
    u->tx_free = calloc(u->nslots, sizeof(*u->tx_free));
    u->heap_pool = page_pool_heap_create(UMEM_CHUNK, 0, 0);
    if (!u->rx_pages || !u->tx_pages || !u->slots || !u->rx_state || !u->rx_free || !u->tx_free || !u->heap_pool) {
        umem_destroy(u);
        return -ENOMEM;
    }
    umem_init_pages(u);
    return 0;
}

bool umem_all_home(const struct umem *u)
{
    return u->rx_pool.outstanding == 0 && u->tx_pool.outstanding == 0 &&
           (!u->heap_pool || u->heap_pool->outstanding == 0);
}

bool umem_destroy(struct umem *u)
{
    if (!umem_all_home(u))
        return false;
    if (u->heap_pool)
        page_pool_heap_destroy(u->heap_pool);
    free(u->rx_pages);
    free(u->tx_pages);
    free(u->slots);
    free((void *)u->rx_state);
    free(u->rx_free);
    free(u->tx_free);
    if (u->map)
        munmap(u->map, u->map_len);
    spin_lock_destroy(&u->rx_lock);
    spin_lock_destroy(&u->tx_lock);
    memset(u, 0, sizeof(*u));
    return true;
}
