/* SPDX-License-Identifier: MIT */
#ifndef SLUICE_CORE_SKBUFF_H
#define SLUICE_CORE_SKBUFF_H
/* sk_buff: one packet (or one large packet that the device will segment) on its way through the layers.
 *
 * As in Linux: a linear part [head .. data .. tail .. end) and, in the shared info, frags that refer to
 * pages. A clone shares both and has its own offsets and cb. Different from Linux: the shared info is
 * allocated apart from the linear part, because a received UMEM frame *is* the linear part; and an
 * sk_buff belongs to one net. */

#include "net.h"
#include "page.h"
#include "rbtree.h"
#include "types.h"

struct sock;
struct net_device;
struct dst_entry;

#define MAX_SKB_FRAGS 48
#define MAX_HEADER_ROOM 192 /* MAX_TCP_HEADER: Ethernet 14 + IP 60 + TCP 60, aligned to 64 */
#define GSO_MAX_SIZE 65536u
/* What a packet with `size` bytes of linear room is charged: Linux's overhead, so that a given SO_SNDBUF or
 * SO_RCVBUF admits as many bytes here as there. */
#define SKB_OVERHEAD 576u
#define SKB_TRUESIZE(size) ((u32)(size) + SKB_OVERHEAD)

struct skb_frag {
    struct page *page;
    u32 off; /* from page->addr */
    u32 size;
};

enum { /* gso_type */
    SKB_GSO_TCPV4 = 1 << 0,
    SKB_GSO_TCP_ECN = 1 << 2,
};

struct skb_shared_info {
    /* Low half: sk_buffs that share head and frags. High half: how many of these use the payload only
     * and leave the headers to the others (skb->nohdr, __skb_header_release). */
    _Atomic u32 dataref;
    u8 nr_frags;
    u8 tx_flags;
    u16 gso_size; /* payload bytes per segment, 0: not GSO */
    u16 gso_segs;
    u16 gso_type;
    u32 tskey;
    u8 *head;                /* heap memory of the linear part, or NULL */
    struct page *head_page;  /* the linear part is this page's memory, or NULL */
    struct sk_buff *frag_list; /* further fragments: IP reassembly only */
    struct skb_frag frags[MAX_SKB_FRAGS];
};

enum { /* ip_summed */
    CHECKSUM_NONE = 0,        /* RX: not verified; TX: complete in the packet */
    CHECKSUM_UNNECESSARY = 1, /* RX: verified, or vouched for by the device */
    CHECKSUM_COMPLETE = 2,    /* RX: skb->csum is the sum over the packet from the network header */
    CHECKSUM_PARTIAL = 3,     /* field holds the pseudo-header sum; csum_start/csum_offset say where.
                                 RX: only accepted from a device without a wire */
};

enum { PACKET_HOST = 0, PACKET_BROADCAST, PACKET_MULTICAST, PACKET_OTHERHOST, PACKET_OUTGOING };

struct sk_buff {
    union {
        struct {
            struct sk_buff *next, *prev; /* first: shared with sk_buff_head */
            struct net_device *dev;
        };
        struct rb_node rbnode; /* in a tree (TCP: sent, or received too early); dev is lost */
    };
    struct sock *sk;           /* owner, when destructor is set or on a socket queue */
    struct net *net;
    u64 tstamp;       /* RX: arrival; TX: earliest departure time or time sent, ns */
    u64 hwtstamp_ns;
    char cb[64] __attribute__((aligned(8))); /* the layer's own that holds the skb */
    union {
        struct {
            struct dst_entry *dst; /* a reference */
            void (*destructor)(struct sk_buff *skb);
        };
        struct cds_list_head tcp_tsorted_anchor; /* sent by TCP: tsorted_sent_queue; {NULL, NULL}: not on it */
    };

    u32 len;      /* linear and paged */
    u32 data_len; /* paged only */
    u16 mac_len;
    __be16 protocol; /* ETH_P_* */
    u8 pkt_type;
    u8 ip_summed;
    u8 cloned : 1;         /* the shared info may have other users */
    u8 nohdr : 1;
    u8 ooo_okay : 1;
    u8 csum_valid : 1;
    u8 decrypted : 1;
    u8 redirected : 1;
    u8 slow_gro : 1;
    u8 dst_pending_confirm : 1;
    u8 retransmitted : 1; /* TCP sent these bytes before (set on the clone that goes down; for --trace) */
    u32 priority;
    u32 mark;
    u32 hash;
    union {
        u32 csum;
        struct {
            u16 csum_start; /* from head */
            u16 csum_offset;
        };
    };
    u16 queue_mapping;
    u16 transport_header, network_header, mac_header; /* offsets from head; 0xffff: not set */
    u32 tail, end;                                    /* offsets from head */
    u8 *head, *data;
    u32 truesize; /* memory charged to a socket for it */
    _Atomic u32 users;
    struct skb_shared_info *shinfo;
    /* Clones not yet completed, see skb_still_in_host_queue(). Points to the original's inflight_cnt, in
     * the original and in every sk_buff that was made from it and shares its pages. The original's
     * memory stays until the last of them has gone, so either may end first. */
    _Atomic u32 *inflight;
    _Atomic u32 inflight_cnt; /* SKB_INFLIGHT_ORIG while the original lives, +1 for each clone */
};

/* What sk_buff and sk_buff_head begin with: list operations write through it, as either may be there. */
struct sk_buff_list {
    struct sk_buff *next, *prev;
} __attribute__((may_alias));
struct sk_buff_head { /* first two members as in sk_buff */
    struct sk_buff *next, *prev;
    u32 qlen;
    spinlock_t lock; /* only the skb_* variants without __ take it */
};

/* ---- allocation and lifetime ---------------------------------------------------------------------- */

/* Role: a new sk_buff with `size` bytes of linear room on the heap, none used. NULL without memory.
 * The caller owns the one reference. */
struct sk_buff *alloc_skb(struct net *net, u32 size);
/* Role: an sk_buff whose linear part is the page's memory (takes over the caller's page reference).
 * data = tail = start of the page + headroom. On NULL the page reference stays with the caller. */
struct sk_buff *build_skb_page(struct net *net, struct page *page, u32 headroom);
/* Drop a reference; the last one runs the destructor, releases dst, frags and head. kfree_skb_reason
 * counts a drop; consume_skb is the normal end. NULL is allowed. */
void kfree_skb_reason(struct sk_buff *skb, enum skb_drop_reason reason);
void consume_skb(struct sk_buff *skb);
static inline struct sk_buff *skb_get(struct sk_buff *skb)
{
    atomic_fetch_add_explicit(&skb->users, 1, memory_order_relaxed);
    return skb;
}
/* A clone shares head and frags, copies cb, has no owner socket and no destructor, and is counted in
 * the original's `inflight` when skb_track_clones(original) was called. NULL without memory. */
struct sk_buff *skb_clone(struct sk_buff *skb);
/* The retransmission queue's sk_buff leaves its headers to its clones: one clone at a time may then write
 * them in place (skb_header_cloned answers false for it). skb_track_clones() does this too. */
void __skb_header_release(struct sk_buff *skb);
/* A private shared info and head when clones share them. 0 or -ENOMEM. */
int skb_unclone(struct sk_buff *skb);
/* A new private head with nhead more bytes in front and ntail more behind; offsets are kept right, pointers
 * into the old head are void. 0 or -ENOMEM (unchanged). */
int pskb_expand_head(struct sk_buff *skb, u32 nhead, u32 ntail);
/* An sk_buff that shares from's pages is with the device as long as it lives: count it with from's original. */
void skb_inherit_inflight(struct sk_buff *to, const struct sk_buff *from);
/* Copy the fields that describe the packet (not its data, owner or list place); takes a dst reference. */
void skb_copy_header(struct sk_buff *to, const struct sk_buff *from);
/* A private copy: linear part and paged data, all linear / pskb_copy: linear copied, frags shared. */
struct sk_buff *skb_copy(const struct sk_buff *skb);
struct sk_buff *pskb_copy(struct sk_buff *skb, u32 headroom);
/* Ask that clones of it are counted (retransmission queue), and leave the headers to them. 0. */
int skb_track_clones(struct sk_buff *skb);
/* A clone of this original is still with the qdisc or the device (skb_fclone_busy). */
bool skb_fclone_busy(const struct sk_buff *skb);
/* Detach from the owner socket: run the destructor now. */
void skb_orphan(struct sk_buff *skb);

/* ---- geometry --------------------------------------------------------------------------------------- */

static inline struct skb_shared_info *skb_shinfo(const struct sk_buff *skb) { return skb->shinfo; }
static inline u32 skb_headlen(const struct sk_buff *skb) { return skb->len - skb->data_len; }
static inline bool skb_is_nonlinear(const struct sk_buff *skb) { return skb->data_len != 0; }
static inline u8 *skb_tail_pointer(const struct sk_buff *skb) { return skb->head + skb->tail; }
static inline u32 skb_headroom(const struct sk_buff *skb) { return (u32)(skb->data - skb->head); }
static inline u32 skb_tailroom(const struct sk_buff *skb)
{
    return skb_is_nonlinear(skb) ? 0 : skb->end - skb->tail;
}
static inline void skb_reserve(struct sk_buff *skb, u32 n)
{
    skb->data += n;
    skb->tail += n;
}
/* Append n bytes to the linear part (there must be tailroom); returns their start. */
void *skb_put(struct sk_buff *skb, u32 n);
/* Grow at the front (there must be headroom); returns the new data. */
void *skb_push(struct sk_buff *skb, u32 n);
/* Shrink at the front; NULL when fewer than n bytes are there. */
void *skb_pull(struct sk_buff *skb, u32 n);
/* Make the first n bytes linear. False: the packet is shorter, or no memory. */
bool pskb_may_pull(struct sk_buff *skb, u32 n);
/* As skb_pull, past the linear part too. */
void *pskb_pull(struct sk_buff *skb, u32 n);
/* Cut to len bytes, frags included. 0 or -ENOMEM. No-op when shorter. */
int pskb_trim(struct sk_buff *skb, u32 len);
/* Drop n bytes at the front of a data sk_buff, frags included (__pskb_trim_head). */
int pskb_trim_head(struct sk_buff *skb, u32 n);
/* A private, writable linear header with at least `headroom` before data. 0 or -ENOMEM. */
int skb_cow_head(struct sk_buff *skb, u32 headroom);
/* Everything linear. 0 or -ENOMEM. */
int skb_linearize(struct sk_buff *skb);
/* Move what lies beyond len bytes to the (empty) sk_buff skb1: frags by reference, linear bytes copied (skb1
 * has the tailroom for them). truesize is the caller's to share out. 0 or -ENOMEM (only when clones share
 * skb's frags; nothing moved). */
int skb_split(struct sk_buff *skb, struct sk_buff *skb1, u32 len);
/* Append from's data to `to` when that needs no copy, or no more than to's tailroom; true when done (*delta:
 * truesize gained; from is then the caller's to end with kfree_skb_partial, until then its len tells what it was). */
bool skb_try_coalesce(struct sk_buff *to, struct sk_buff *from, bool *fragstolen, int *delta);

/* End an sk_buff that skb_try_coalesce emptied. */
void kfree_skb_partial(struct sk_buff *skb, bool head_stolen);

#define SKB_DATAREF_MASK 0xffffu
#define SKB_DATAREF_NOHDR (1u << 16)
/* May another sk_buff read the headers that this one would write? */
static inline bool skb_header_cloned(const struct sk_buff *skb)
{
    u32 d = atomic_load_explicit(&skb->shinfo->dataref, memory_order_acquire);
    return (d & SKB_DATAREF_MASK) - (skb->nohdr ? 0 : d >> 16) != 1;
}
/* Does another sk_buff share the data? */
static inline bool skb_cloned(const struct sk_buff *skb)
{
    return (atomic_load_explicit(&skb->shinfo->dataref, memory_order_acquire) & SKB_DATAREF_MASK) != 1;
}
static inline bool skb_shared(const struct sk_buff *skb)
{
    return atomic_load_explicit(&((struct sk_buff *)skb)->users, memory_order_acquire) != 1;
}

/* ---- header offsets ------------------------------------------------------------------------------------ */

static inline void skb_reset_mac_header(struct sk_buff *s) { s->mac_header = (u16)(s->data - s->head); }
static inline void skb_reset_network_header(struct sk_buff *s) { s->network_header = (u16)(s->data - s->head); }
static inline void skb_reset_transport_header(struct sk_buff *s) { s->transport_header = (u16)(s->data - s->head); }
static inline void skb_set_transport_header(struct sk_buff *s, int off)
{
    s->transport_header = (u16)(s->data - s->head + off);
}
static inline u8 *skb_mac_header(const struct sk_buff *s) { return s->head + s->mac_header; }
static inline u8 *skb_network_header(const struct sk_buff *s) { return s->head + s->network_header; }
static inline u8 *skb_transport_header(const struct sk_buff *s) { return s->head + s->transport_header; }
static inline int skb_network_offset(const struct sk_buff *s) { return (int)(skb_network_header(s) - s->data); }
static inline int skb_transport_offset(const struct sk_buff *s) { return (int)(skb_transport_header(s) - s->data); }

/* ---- frags and data ------------------------------------------------------------------------------------- */

static inline void *skb_frag_address(const struct skb_frag *f) { return f->page->addr + f->off; }
/* Add a frag (takes over the caller's page reference), growing len, data_len and truesize. */
void skb_add_rx_frag(struct sk_buff *skb, struct page *page, u32 off, u32 size, u32 truesize);
/* Set frag i without accounting (transmit side: the caller accounts). */
void skb_fill_page_desc(struct sk_buff *skb, int i, struct page *page, u32 off, u32 size);
/* The data from `off` is the frag's end on this page at this offset: can be merged. */
bool skb_can_coalesce(const struct sk_buff *skb, int nr_frags, const struct page *page, u32 off);
/* Copy len bytes from offset off. 0 or -EFAULT when beyond the end. */
int skb_copy_bits(const struct sk_buff *skb, u32 off, void *to, u32 len);
struct iov_iter;
/* As skb_copy_bits, to the program's buffers. 0 or -EFAULT. */
int skb_copy_datagram_iter(const struct sk_buff *skb, u32 off, struct iov_iter *to, u32 len);
/* A pointer to len bytes at off: directly when linear, else copied into buffer; NULL beyond the end. */
const void *skb_header_pointer(const struct sk_buff *skb, u32 off, u32 len, void *buffer);
/* The checksum of len bytes at off. */
u32 skb_checksum(const struct sk_buff *skb, u32 off, u32 len, u32 csum);
/* Complete a CHECKSUM_PARTIAL packet in software. 0 or -ENOMEM (header must be made writable). */
int skb_checksum_help(struct sk_buff *skb);

static inline bool skb_is_gso(const struct sk_buff *skb) { return skb->shinfo->gso_size != 0; }
/* Role: cut a GSO packet into a list of packets of gso_size payload (headers adjusted, checksums left
 * partial). Returns the list linked by ->next, NULL without memory; skb stays the caller's. */
struct sk_buff *skb_gso_segment(struct sk_buff *skb);
/* Role: write the Ethernet+IPv4+TCP header of segment i of a GSO (or plain) packet to hdr: total
 * length, ident, seq, FIN/PSH only on the last, CWR only on the first, IP checksum complete, TCP
 * checksum field = pseudo-header sum. skb->data is at the MAC header. hdr has MAX_HEADER_ROOM bytes.
 * Returns the header's length; *off and *len: the segment's payload within the packet's payload. */
u32 skb_gso_write_header(const struct sk_buff *skb, u32 i, u8 *hdr, u32 *off, u32 *len);

/* ---- queues ------------------------------------------------------------------------------------------------ */

static inline void __skb_queue_head_init(struct sk_buff_head *l)
{
    l->next = l->prev = (struct sk_buff *)l;
    l->qlen = 0;
}
static inline void skb_queue_head_init(struct sk_buff_head *l)
{
    spin_lock_init(&l->lock);
    __skb_queue_head_init(l);
}
static inline bool skb_queue_empty(const struct sk_buff_head *l)
{
    return READ_ONCE(l->next) == (const struct sk_buff *)l;
}
static inline u32 skb_queue_len(const struct sk_buff_head *l) { return READ_ONCE(l->qlen); }
static inline struct sk_buff *skb_peek(const struct sk_buff_head *l)
{
    return l->next == (const struct sk_buff *)l ? NULL : l->next;
}
static inline struct sk_buff *skb_peek_tail(const struct sk_buff_head *l)
{
    return l->prev == (const struct sk_buff *)l ? NULL : l->prev;
}
static inline struct sk_buff *skb_peek_next(const struct sk_buff *s, const struct sk_buff_head *l)
{
    return s->next == (const struct sk_buff *)l ? NULL : s->next;
}
static inline struct sk_buff *skb_peek_prev(const struct sk_buff *s, const struct sk_buff_head *l)
{
    return s->prev == (const struct sk_buff *)l ? NULL : s->prev;
}
static inline void __skb_insert(struct sk_buff *n, struct sk_buff *prev, struct sk_buff *next,
                                struct sk_buff_head *l)
{
    n->next = next;
    n->prev = prev;
    ((struct sk_buff_list *)next)->prev = n;
    WRITE_ONCE(((struct sk_buff_list *)prev)->next, n);
    WRITE_ONCE(l->qlen, l->qlen + 1);
}
static inline void __skb_queue_tail(struct sk_buff_head *l, struct sk_buff *n)
{
    __skb_insert(n, l->prev, (struct sk_buff *)l, l);
}
static inline void __skb_queue_head(struct sk_buff_head *l, struct sk_buff *n)
{
    __skb_insert(n, (struct sk_buff *)l, l->next, l);
}
static inline void __skb_queue_after(struct sk_buff_head *l, struct sk_buff *prev, struct sk_buff *n)
{
    __skb_insert(n, prev, prev->next, l);
}
static inline void __skb_queue_before(struct sk_buff_head *l, struct sk_buff *next, struct sk_buff *n)
{
    __skb_insert(n, next->prev, next, l);
}
static inline void __skb_unlink(struct sk_buff *s, struct sk_buff_head *l)
{
    struct sk_buff *next = s->next, *prev = s->prev;
    WRITE_ONCE(l->qlen, l->qlen - 1);
    s->next = s->prev = NULL;
    ((struct sk_buff_list *)next)->prev = prev;
    WRITE_ONCE(((struct sk_buff_list *)prev)->next, next);
}
static inline struct sk_buff *__skb_dequeue(struct sk_buff_head *l)
{
    struct sk_buff *s = skb_peek(l);
    if (s)
        __skb_unlink(s, l);
    return s;
}
/* Told of every drop before the sk_buff is freed (trace, tests); NULL by default. */
extern void (*skb_drop_hook)(struct sk_buff *skb, enum skb_drop_reason reason);
/* Free everything on the list, counted as `reason`. */
void __skb_queue_purge(struct sk_buff_head *l, enum skb_drop_reason reason);

#define skb_queue_walk(l, s) for (s = (l)->next; s != (struct sk_buff *)(l); s = s->next)
#define skb_queue_walk_safe(l, s, t)                                                               \
    for (s = (l)->next, t = s->next; s != (struct sk_buff *)(l); s = t, t = s->next)

/* ---- trees, by sequence number; the key is the user's (tcp_rbtree_insert) ---------------------------------------- */

#define rb_to_skb(rb) rb_entry_safe(rb, struct sk_buff, rbnode)
#define skb_rb_first(root) rb_to_skb(rb_first(root))
#define skb_rb_last(root) rb_to_skb(rb_last(root))
#define skb_rb_next(skb) rb_to_skb(rb_next(&(skb)->rbnode))
#define skb_rb_prev(skb) rb_to_skb(rb_prev(&(skb)->rbnode))
#define skb_rbtree_walk(skb, root) for (skb = skb_rb_first(root); skb; skb = skb_rb_next(skb))
#define skb_rbtree_walk_from(skb) for (; skb; skb = skb_rb_next(skb))
/* Out of the tree; it may go on a list then. */
static inline void skb_rb_unlink(struct sk_buff *skb, struct rb_root *root)
{
    rb_erase(&skb->rbnode, root);
    skb->next = skb->prev = NULL;
    skb->dev = NULL;
}
/* Free everything in the tree, counted as `reason`. */
void skb_rbtree_purge(struct rb_root *root, enum skb_drop_reason reason);

#endif
