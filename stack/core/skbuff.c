/* SPDX-License-Identifier: MIT */
/* sk_buff: allocation, lifetime and clones. What changes the data is in skb_data.c, copies in skb_copy.c,
 * segmentation in skb_gso.c.
 *
 * Memory: an sk_buff is one block; shared info and heap head together are another, so that an ordinary
 * packet is two allocations. A thread keeps a few of both for its next packets: malloc's own thread cache
 * does not hold blocks of this size. */

#include "skbuff.h"
#include "dst.h"
#include "trace.h"
#include <pthread.h>

#define SKB_INFLIGHT_ORIG 0x80000000u /* in inflight_cnt: the original itself still lives */

#define SMALL_HEAD 256u /* heads up to this come from the thread's cache: headers, small payloads */
#define CACHE_SLOTS 64

void (*skb_drop_hook)(struct sk_buff *skb, enum skb_drop_reason reason);

/* ---- the thread's cache ----------------------------------------------------------------------------------- */

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SKB_NO_CACHE 1 /* every block its own, so that a use after free is seen */
#endif

struct skb_cache {
    u32 nskb, ndata;
    void *skb[CACHE_SLOTS];
    void *data[CACHE_SLOTS];
};

#ifndef SKB_NO_CACHE
static __thread struct skb_cache *cache __attribute__((tls_model("initial-exec")));
static pthread_once_t cache_once = PTHREAD_ONCE_INIT;
static pthread_key_t cache_key;

/* A thread ends: its blocks go back. Later frees of the same thread make a new cache, and run this again. */
static void cache_exit(void *arg)
{
    struct skb_cache *c = arg;

    cache = NULL;
    while (c->nskb)
        free(c->skb[--c->nskb]);
    while (c->ndata)
        free(c->data[--c->ndata]);
    free(c);
}

static void cache_key_init(void)
{
    pthread_key_create(&cache_key, cache_exit);
}

static __attribute__((noinline)) struct skb_cache *cache_make(void)
{
    struct skb_cache *c = malloc(sizeof(*c));

    if (!c)
        return NULL;
    c->nskb = c->ndata = 0;
    pthread_once(&cache_once, cache_key_init);
    if (pthread_setspecific(cache_key, c)) {
        free(c);
        return NULL;
    }
    return cache = c;
}

static inline struct skb_cache *cache_get(void)
{
    return likely(cache != NULL) ? cache : cache_make();
}
#endif

static struct sk_buff *skb_block_get(void)
{
#ifndef SKB_NO_CACHE
    struct skb_cache *c = cache_get();

    if (likely(c && c->nskb))
        return c->skb[--c->nskb];
#endif
    return malloc(sizeof(struct sk_buff));
}

static void skb_block_put(struct sk_buff *skb)
{
#ifndef SKB_NO_CACHE
    struct skb_cache *c = cache_get();

    if (likely(c && c->nskb < CACHE_SLOTS)) {
        c->skb[c->nskb++] = skb;
        return;
    }
#endif
    free(skb);
}

/* Shared info with `size` bytes of head behind it. The frags array is not cleared: nr_frags guards it. */
static struct skb_shared_info *shinfo_get(u32 size)
{
    struct skb_shared_info *si = NULL;

#ifndef SKB_NO_CACHE
    if (likely(size <= SMALL_HEAD)) {
        struct skb_cache *c = cache_get();

        if (likely(c && c->ndata))
            si = c->data[--c->ndata];
    }
#endif
    if (!si)
        si = malloc(sizeof(*si) + max(size, SMALL_HEAD));
    if (unlikely(!si))
        return NULL;
    memset(si, 0, offsetof(struct skb_shared_info, frags));
    atomic_init(&si->dataref, 1);
    si->head = (u8 *)(si + 1);
    return si;
}

/* big: the head is larger than SMALL_HEAD, the block is not for the cache. */
static void shinfo_put(struct skb_shared_info *si, bool big)
{
#ifndef SKB_NO_CACHE
    if (likely(!big)) {
        struct skb_cache *c = cache_get();

        if (likely(c && c->ndata < CACHE_SLOTS)) {
            c->data[c->ndata++] = si;
            return;
        }
    }
#endif
    free(si);
}

/* A length that the compiler does not know: else it makes `rep stos`/`rep movs` of the few hundred bytes of
 * an sk_buff, whose start-up alone takes longer than libc's vector loop. */
static inline size_t opaque(size_t n)
{
    __asm__("" : "+r"(n));
    return n;
}

/* ---- allocation ---------------------------------------------------------------------------------------------- */

static struct sk_buff *skb_init(struct net *net, struct skb_shared_info *si, u8 *head, u32 end)
{
    struct sk_buff *skb = skb_block_get();

    if (unlikely(!skb))
        return NULL;
    memset(skb, 0, opaque(sizeof(*skb)));
    skb->net = net;
    skb->shinfo = si;
    skb->head = skb->data = head;
    skb->end = end;
    skb->truesize = SKB_TRUESIZE(end);
    skb->transport_header = skb->network_header = skb->mac_header = 0xffff;
    atomic_init(&skb->users, 1);
    atomic_fetch_add_explicit(&net->skb_count, 1, memory_order_relaxed);
    return skb;
}

struct sk_buff *alloc_skb(struct net *net, u32 size)
{
    struct skb_shared_info *si;
    struct sk_buff *skb;

    size = ALIGN(size, 64u);
    si = shinfo_get(size);
    if (unlikely(!si))
        return NULL;
    skb = skb_init(net, si, si->head, size);
    if (unlikely(!skb))
        shinfo_put(si, size > SMALL_HEAD);
    return skb;
}

struct sk_buff *build_skb_page(struct net *net, struct page *page, u32 headroom)
{
    struct skb_shared_info *si = shinfo_get(0);
    struct sk_buff *skb;

    if (unlikely(!si))
        return NULL;
    skb = skb_init(net, si, page->addr, page->size);
    if (unlikely(!skb)) {
        shinfo_put(si, false);
        return NULL;
    }
    si->head = NULL;
    si->head_page = page;
    skb_reserve(skb, headroom);
    return skb;
}

/* ---- release ---------------------------------------------------------------------------------------------------- */

/* The last user of the data: frags, fragments and head go. */
static void shinfo_free(struct skb_shared_info *si, bool big)
{
    struct sk_buff *f = si->frag_list, *next;

    for (u32 i = 0; i < si->nr_frags; i++)
        put_page(si->frags[i].page);
    if (si->head_page)
        put_page(si->head_page);
    for (; f; f = next) {
        next = f->next;
        f->next = NULL;
        consume_skb(f);
    }
    shinfo_put(si, big);
}

static void skb_release_data(struct sk_buff *skb)
{
    struct skb_shared_info *si = skb->shinfo;
    u32 mine = skb->nohdr ? 1 + SKB_DATAREF_NOHDR : 1;
    bool big = si->head && skb->end > SMALL_HEAD;

    /* Alone: nobody else can take a reference, so no locked operation is needed. */
    if (atomic_load_explicit(&si->dataref, memory_order_acquire) == mine ||
        atomic_fetch_sub_explicit(&si->dataref, mine, memory_order_acq_rel) == mine)
        shinfo_free(si, big);
}

/* The block of an original stays while clones point to its counter. */
static void skb_release_block(struct sk_buff *skb)
{
    _Atomic u32 *cnt = skb->inflight;
    struct sk_buff *orig;

    if (!cnt) {
        skb_block_put(skb);
        return;
    }
    orig = container_of(cnt, struct sk_buff, inflight_cnt);
    if (orig == skb) {
        if (atomic_fetch_sub_explicit(cnt, SKB_INFLIGHT_ORIG, memory_order_acq_rel) == SKB_INFLIGHT_ORIG)
            skb_block_put(skb);
        return;
    }
    skb_block_put(skb);
    if (atomic_fetch_sub_explicit(cnt, 1, memory_order_acq_rel) == 1)
        skb_block_put(orig);
}

static void __kfree_skb(struct sk_buff *skb)
{
    skb_dst_drop(skb);
    if (skb->destructor)
        skb->destructor(skb);
    skb_release_data(skb);
    atomic_fetch_sub_explicit(&skb->net->skb_count, 1, memory_order_relaxed);
    skb_release_block(skb);
}

static bool skb_unref(struct sk_buff *skb)
{
    return atomic_load_explicit(&skb->users, memory_order_acquire) == 1 ||
           atomic_fetch_sub_explicit(&skb->users, 1, memory_order_acq_rel) == 1;
}

void kfree_skb_reason(struct sk_buff *skb, enum skb_drop_reason reason)
{
    if (!skb || !skb_unref(skb))
        return;
    if (reason != SKB_CONSUMED) {
        atomic_fetch_add_explicit(&skb->net->drops[reason], 1, memory_order_relaxed);
        if (unlikely(skb_drop_hook))
            skb_drop_hook(skb, reason);
    }
    __kfree_skb(skb);
}

void consume_skb(struct sk_buff *skb)
{
    if (skb && skb_unref(skb))
        __kfree_skb(skb);
    WALK_END();
}

void skb_orphan(struct sk_buff *skb)
{
    void (*destructor)(struct sk_buff *skb) = skb->destructor;

    if (destructor) {
        destructor(skb);
        skb->destructor = NULL;
    }
    skb->sk = NULL;
}

void __skb_queue_purge(struct sk_buff_head *l, enum skb_drop_reason reason)
{
    struct sk_buff *skb;

    while ((skb = __skb_dequeue(l)) != NULL)
        kfree_skb_reason(skb, reason);
}

void skb_rbtree_purge(struct rb_root *root, enum skb_drop_reason reason)
{
    struct sk_buff *skb;

    while ((skb = skb_rb_first(root)) != NULL) {
        skb_rb_unlink(skb, root);
        kfree_skb_reason(skb, reason);
    }
}

/* ---- clones ------------------------------------------------------------------------------------------------------- */

void skb_inherit_inflight(struct sk_buff *to, const struct sk_buff *from)
{
    to->inflight = from->inflight;
    if (to->inflight)
        atomic_fetch_add_explicit(to->inflight, 1, memory_order_relaxed);
}

/* Role: a bare sk_buff block with from's description and its own identity, its data still from's. */
static struct sk_buff *skb_dup_block(const struct sk_buff *from)
{
    struct sk_buff *n = skb_block_get();

    if (unlikely(!n))
        return NULL;
    memcpy(n, from, opaque(sizeof(*n)));
    n->next = n->prev = NULL;
    n->sk = NULL;
    n->destructor = NULL;
    n->nohdr = 0;
    atomic_init(&n->users, 1);
    atomic_init(&n->inflight_cnt, 0);
    if (n->dst)
        dst_hold(n->dst);
    skb_inherit_inflight(n, from);
    atomic_fetch_add_explicit(&n->net->skb_count, 1, memory_order_relaxed);
    return n;
}

void __skb_header_release(struct sk_buff *skb)
{
    if (skb->nohdr)
        return;
    skb->nohdr = 1;
    atomic_fetch_add_explicit(&skb->shinfo->dataref, SKB_DATAREF_NOHDR, memory_order_relaxed);
}

struct sk_buff *skb_clone(struct sk_buff *skb)
{
    struct sk_buff *n;

    if (skb->inflight == &skb->inflight_cnt)
        __skb_header_release(skb); /* it may have got a new head since skb_track_clones() */
    n = skb_dup_block(skb);
    if (unlikely(!n))
        return NULL;
    n->cloned = skb->cloned = 1;
    atomic_fetch_add_explicit(&skb->shinfo->dataref, 1, memory_order_relaxed);
    return n;
}

int skb_track_clones(struct sk_buff *skb)
{
    __skb_header_release(skb);
    if (!skb->inflight) {
        atomic_store_explicit(&skb->inflight_cnt, SKB_INFLIGHT_ORIG, memory_order_relaxed);
        skb->inflight = &skb->inflight_cnt;
    }
    return 0;
}

bool skb_fclone_busy(const struct sk_buff *skb)
{
    return skb->inflight &&
           (atomic_load_explicit(skb->inflight, memory_order_acquire) & ~SKB_INFLIGHT_ORIG) != 0;
}

/* ---- private copies of what clones share ------------------------------------------------------------------------------ */

/* Role: let skb have this (new, private) shared info with the linear part at `head`, nhead bytes further
 * in; the old one is let go of. */
static void skb_switch_data(struct sk_buff *skb, struct skb_shared_info *si, u32 end, u32 nhead)
{
    u32 off = skb_headroom(skb);

    skb_release_data(skb);
    skb->shinfo = si;
    skb->head = si->head;
    skb->data = si->head + off + nhead;
    skb->tail += nhead;
    skb->end = end;
    if (skb->transport_header != 0xffff)
        skb->transport_header += nhead;
    if (skb->network_header != 0xffff)
        skb->network_header += nhead;
    if (skb->mac_header != 0xffff)
        skb->mac_header += nhead;
    if (skb->ip_summed == CHECKSUM_PARTIAL)
        skb->csum_start += nhead;
    skb->cloned = 0;
    skb->nohdr = 0;
}

int pskb_expand_head(struct sk_buff *skb, u32 nhead, u32 ntail)
{
    struct skb_shared_info *old = skb->shinfo, *si;
    bool shared_list = old->frag_list && skb_cloned(skb);
    u32 size = ALIGN(skb->end + nhead + ntail, 64u);

    /* A page head is as large as its page; only what is used and asked for needs to move. */
    if (old->head_page)
        size = ALIGN(skb->tail + nhead + ntail, 64u);
    if (shared_list)
        size += ALIGN(skb->data_len, 64u);
    si = shinfo_get(size);
    if (!si)
        return -ENOMEM;
    memcpy(si->head + nhead, skb->head, skb->tail);
    si->tx_flags = old->tx_flags;
    si->gso_size = old->gso_size;
    si->gso_segs = old->gso_segs;
    si->gso_type = old->gso_type;
    si->tskey = old->tskey;
    if (shared_list) { /* a list of fragments cannot have two owners: flatten it */
        skb_copy_bits(skb, skb_headlen(skb), si->head + nhead + skb->tail, skb->data_len);
        skb->tail += skb->data_len;
        skb->data_len = 0;
    } else {
        si->frag_list = old->frag_list;
        old->frag_list = NULL;
        si->nr_frags = old->nr_frags;
        for (u32 i = 0; i < old->nr_frags; i++) {
            si->frags[i] = old->frags[i];
            get_page(si->frags[i].page);
        }
    }
    skb_switch_data(skb, si, size, nhead);
    return 0;
}

int skb_unclone(struct sk_buff *skb)
{
    return skb_cloned(skb) ? pskb_expand_head(skb, 0, 0) : 0;
}

int skb_cow_head(struct sk_buff *skb, u32 headroom)
{
    u32 have = skb_headroom(skb);

    if (likely(headroom <= have && !skb_header_cloned(skb)))
        return 0;
    return pskb_expand_head(skb, headroom > have ? ALIGN(headroom - have, 64u) : 0, 0);
}
