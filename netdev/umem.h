/* SPDX-License-Identifier: MIT */
#ifndef SLUICE_NETDEV_UMEM_H
#define SLUICE_NETDEV_UMEM_H
/* The process's UMEM: one block of memory that every queue's kernel side reads and writes.
 *
 *   chunk 0 .. nrx-1          4 KiB each, for receive: in a FILL or RX ring, in an sk_buff, or free
 *   chunk nrx .. nframes-1    for transmit, two slots of 2 KiB to a chunk:
 *                             [192 bytes for headers | payload, 64-byte aligned, 1856 bytes]
 *
 * The partition is fixed: neither direction can starve the other. 4 KiB chunks are right on every driver
 * (igb cuts frames when they are smaller). */

#include "../stack/core/netdevice.h"

#define UMEM_CHUNK_SHIFT 12
#define UMEM_CHUNK (1u << UMEM_CHUNK_SHIFT)
#define UMEM_SLOT_SHIFT 11
#define UMEM_SLOT (1u << UMEM_SLOT_SHIFT)
#define UMEM_HEADROOM MAX_HEADER_ROOM

/* Whose a receive chunk is; a value from RX_KERNEL up is the tag of the queue whose kernel side has it. */
enum { RX_FREE = 0, RX_STACK, RX_KERNEL };

/* A transmit slot's way through the ring. */
struct tx_slot {
    struct sk_buff *skb;  /* one of its descriptors is this slot; NULL: none to release */
    _Atomic u8 in_ring;   /* tag of the queue in whose ring it is (0: none): the kernel may read it, so its
                             header room and payload are not to be written */
    u8 copy;              /* the driver's own slot, given back on completion */
};

struct umem {
    u8 *area;
    size_t len;
    void *map; /* what mmap gave: area is aligned in it */
    size_t map_len;
    u32 nframes, nrx, nslots;
    u64 tx_base; /* UMEM address of slot 0 */

    struct page *rx_pages; /* by chunk */
    struct page *tx_pages; /* by slot */
    struct tx_slot *slots; /* by slot */
    _Atomic u8 *rx_state;  /* by chunk: RX_* */

    spinlock_t rx_lock; /* protects rx_free, rx_nfree; innermost */
    u32 *rx_free, rx_nfree;
    u32 rx_low; /* fewer free than that: received data is copied out */

    spinlock_t tx_lock; /* protects tx_free, tx_nfree; innermost */
    u32 *tx_free, tx_nfree;
    u8 tags[256];   /* tags given out, by value; under rx_lock */
    u32 tx_reserve; /* the last ones are the driver's: an ACK must go out when sockets hold all others */

    struct page_pool rx_pool;    /* only its free is used: the chunk goes home */
    struct page_pool tx_pool;    /* net->tx_pool */
    struct page_pool *heap_pool; /* where received data goes when chunks run low */
};

/* Role: reserve the memory and the tables. 0 or -errno. Memory is touched when the first socket registers
 * it, not before. Never inherited by a fork child. */
int umem_create(struct umem *u, u32 nframes);
/* False and nothing freed when pages are still out. */
bool umem_destroy(struct umem *u);
bool umem_all_home(const struct umem *u);

/* A queue's mark for what its kernel side has; 0: none is left. */
u8 umem_tag_get(struct umem *u);
/* Role: the kernel side of that queue is closed: everything it had comes home, sk_buffs are consumed. */
void umem_tag_put(struct umem *u, u8 tag);
/* Take up to n free receive chunks for the kernel side of queue `tag`; returns how many. */
u32 umem_rx_get(struct umem *u, u8 tag, u32 *chunk, u32 n);
/* Give receive chunks back, from whatever state. */
void umem_rx_put(struct umem *u, const u32 *chunk, u32 n);
/* Take up to n slots for the driver's own use (may dig into the reserve); returns how many. */
u32 umem_tx_get(struct umem *u, u32 *slot, u32 n);
void umem_tx_put(struct umem *u, const u32 *slot, u32 n);

/* Role: one descriptor of this slot is no longer with the kernel. copies (room for one more): the slot when
 * it is the driver's own. Returns the sk_buff whose last descriptor it was: the caller consumes it. The
 * queue's cq_lock is held (or the queue is closed). */
struct sk_buff *umem_slot_complete(struct umem *u, u32 slot, u32 *copies, u32 *ncopies);

/* The driver's own in skb->cb while the sk_buff is with a ring. */
struct xsk_skb_cb {
    u32 descs; /* not yet completed; under cq_lock */
};
#define XSK_SKB_CB(skb) ((struct xsk_skb_cb *)(skb)->cb)

/* Take the slot for writing and the ring. False: the kernel still reads it. */
static inline bool umem_slot_claim(struct umem *u, u32 slot, u8 tag)
{
    u8 none = 0;
    /* B: pairs with A in umem_slot_complete(). */
    return atomic_compare_exchange_strong_explicit(&u->slots[slot].in_ring, &none, tag, memory_order_acquire,
                                                   memory_order_relaxed);
}
static inline u64 umem_slot_addr(const struct umem *u, u32 slot)
{
    return u->tx_base + ((u64)slot << UMEM_SLOT_SHIFT);
}
static inline u8 *umem_slot_mem(const struct umem *u, u32 slot) { return u->area + umem_slot_addr(u, slot); }
/* The slot that a ring address lies in; nslots or more: none. */
static inline u32 umem_addr_slot(const struct umem *u, u64 addr)
{
    return addr < u->tx_base ? u->nslots : (u32)min((addr - u->tx_base) >> UMEM_SLOT_SHIFT, (u64)u->nslots);
}
static inline bool umem_is_slot(const struct umem *u, const struct page *p) { return p->pool == &u->tx_pool; }
static inline u32 umem_page_slot(const struct umem *u, const struct page *p) { return (u32)(p - u->tx_pages); }

#endif
