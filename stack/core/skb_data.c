/* SPDX-License-Identifier: MIT */
/* sk_buff: geometry and data. A packet is a row of runs: the linear part, the frags, and (after IP
 * reassembly only) the further sk_buffs of frag_list. */

#include "checksum.h"
#include "iov_iter.h"
#include "skbuff.h"

void *skb_put(struct sk_buff *skb, u32 n)
{
    u8 *p = skb_tail_pointer(skb);

    BUG_ON(skb_is_nonlinear(skb) || skb->tail + n > skb->end);
    skb->tail += n;
    skb->len += n;
    return p;
}

void *skb_push(struct sk_buff *skb, u32 n)
{
    BUG_ON(n > skb_headroom(skb));
    skb->data -= n;
    skb->len += n;
    return skb->data;
}

void *skb_pull(struct sk_buff *skb, u32 n)
{
    if (unlikely(n > skb_headlen(skb)))
        return NULL;
    skb->len -= n;
    return skb->data += n;
}

/* ---- walking the runs -------------------------------------------------------------------------------------- */

/* fn is called for each run of [off, off + len); it answers 0 or -errno, which ends the walk. */
typedef int (*run_fn)(const u8 *p, u32 n, void *ctx);

static int skb_walk(const struct sk_buff *skb, u32 off, u32 len, run_fn fn, void *ctx)
{
    const struct skb_shared_info *si = skb->shinfo;
    u32 start = skb_headlen(skb), n;
    const struct sk_buff *f;
    int err;

    if (off > skb->len || len > skb->len - off)
        return -EFAULT;
    if (off < start && len) {
        n = min(len, start - off);
        err = fn(skb->data + off, n, ctx);
        if (err)
            return err;
        off += n;
        len -= n;
    }
    for (int i = 0; len && i < si->nr_frags; start += si->frags[i++].size) {
        if (off >= start + si->frags[i].size)
            continue;
        n = min(len, start + si->frags[i].size - off);
        err = fn((const u8 *)skb_frag_address(&si->frags[i]) + (off - start), n, ctx);
        if (err)
            return err;
        off += n;
        len -= n;
    }
    for (f = si->frag_list; len && f; start += f->len, f = f->next) {
        if (off >= start + f->len)
            continue;
        n = min(len, start + f->len - off);
        err = skb_walk(f, off - start, n, fn, ctx);
        if (err)
            return err;
        off += n;
        len -= n;
    }
    return len ? -EFAULT : 0;
}

static int run_copy(const u8 *p, u32 n, void *ctx)
{
    u8 **to = ctx;

    memcpy(*to, p, n);
    *to += n;
    return 0;
}

int skb_copy_bits(const struct sk_buff *skb, u32 off, void *to, u32 len)
{
    u8 *p = to;

    if (likely(off <= skb_headlen(skb) && len <= skb_headlen(skb) - off)) {
        memcpy(to, skb->data + off, len);
        return 0;
    }
    return skb_walk(skb, off, len, run_copy, &p);
}

static int run_copy_iter(const u8 *p, u32 n, void *ctx)
{
    return copy_to_iter(p, n, ctx) == n ? 0 : -EFAULT;
}

int skb_copy_datagram_iter(const struct sk_buff *skb, u32 off, struct iov_iter *to, u32 len)
{
    return skb_walk(skb, off, len, run_copy_iter, to);
}

struct csum_run {
    wsum sum;
    size_t pos;
};

static int run_csum(const u8 *p, u32 n, void *ctx)
{
    struct csum_run *c = ctx;

    c->sum = csum_block_add(c->sum, csum_partial(p, n, 0), c->pos);
    c->pos += n;
    return 0;
}

u32 skb_checksum(const struct sk_buff *skb, u32 off, u32 len, u32 csum)
{
    struct csum_run c = {.sum = csum, .pos = 0};

    if (likely(off <= skb_headlen(skb) && len <= skb_headlen(skb) - off))
        return csum_partial(skb->data + off, len, csum);
    BUG_ON(skb_walk(skb, off, len, run_csum, &c) != 0);
    return c.sum;
}

const void *skb_header_pointer(const struct sk_buff *skb, u32 off, u32 len, void *buffer)
{
    if (likely(off <= skb_headlen(skb) && len <= skb_headlen(skb) - off))
        return skb->data + off;
    return skb_copy_bits(skb, off, buffer, len) ? NULL : buffer;
}

/* The header is the caller's alone afterwards, or was left to this clone (__skb_header_release). */
int skb_checksum_help(struct sk_buff *skb)
{
    u32 off, field;
    u16 sum;
    int err;

    if (skb->ip_summed != CHECKSUM_PARTIAL)
        return 0;
    off = skb->csum_start - skb_headroom(skb);
    field = off + skb->csum_offset;
    if (!pskb_may_pull(skb, field + 2))
        return -EINVAL;
    err = skb_cow_head(skb, 0);
    if (err)
        return err;
    sum = csum_fold(skb_checksum(skb, off, skb->len - off, 0));
    memcpy(skb->data + field, &sum, 2);
    skb->ip_summed = CHECKSUM_NONE;
    return 0;
}

/* ---- frags ----------------------------------------------------------------------------------------------------- */

void skb_add_rx_frag(struct sk_buff *skb, struct page *page, u32 off, u32 size, u32 truesize)
{
    struct skb_shared_info *si = skb->shinfo;

    BUG_ON(si->nr_frags == MAX_SKB_FRAGS);
    si->frags[si->nr_frags++] = (struct skb_frag){.page = page, .off = off, .size = size};
    skb->len += size;
    skb->data_len += size;
    skb->truesize += truesize;
}

void skb_fill_page_desc(struct sk_buff *skb, int i, struct page *page, u32 off, u32 size)
{
    struct skb_shared_info *si = skb->shinfo;

    BUG_ON(i >= MAX_SKB_FRAGS);
    si->frags[i] = (struct skb_frag){.page = page, .off = off, .size = size};
    si->nr_frags = (u8)(i + 1);
}

bool skb_can_coalesce(const struct sk_buff *skb, int nr_frags, const struct page *page, u32 off)
{
    const struct skb_frag *f;

    if (!nr_frags)
        return false;
    f = &skb->shinfo->frags[nr_frags - 1];
    return f->page == page && f->off + f->size == off;
}

/* Take n bytes off the front of the frags and fragments; skb->len and data_len are the caller's. */
static void skb_eat_paged(struct sk_buff *skb, u32 n)
{
    struct skb_shared_info *si = skb->shinfo;
    int i, k = 0;

    for (i = 0; i < si->nr_frags; i++) {
        struct skb_frag *f = &si->frags[i];
        u32 eat = min(n, f->size);

        n -= eat;
        if (eat == f->size) {
            put_page(f->page);
            continue;
        }
        f->off += eat;
        f->size -= eat;
        si->frags[k++] = *f;
    }
    si->nr_frags = (u8)k;
    while (n && si->frag_list) {
        struct sk_buff *f = si->frag_list;

        if (f->len > n) {
            BUG_ON(!pskb_pull(f, n));
            return;
        }
        n -= f->len;
        si->frag_list = f->next;
        f->next = NULL;
        consume_skb(f);
    }
}

/* Role: move `delta` paged bytes to the end of the linear part. False without memory. Clones get no harm:
 * the head and frags are made private first. */
static bool __pskb_pull_tail(struct sk_buff *skb, u32 delta)
{
    u32 room = skb->end - skb->tail;

    if ((room < delta || skb_cloned(skb)) && pskb_expand_head(skb, 0, room < delta ? delta - room + 128 : 0))
        return false;
    if (!skb->data_len) /* flattened on the way */
        return true;
    if (skb_copy_bits(skb, skb_headlen(skb), skb_tail_pointer(skb), delta))
        return false;
    skb_eat_paged(skb, delta);
    skb->tail += delta;
    skb->data_len -= delta;
    return true;
}

bool pskb_may_pull(struct sk_buff *skb, u32 n)
{
    if (likely(n <= skb_headlen(skb)))
        return true;
    if (unlikely(n > skb->len))
        return false;
    return __pskb_pull_tail(skb, n - skb_headlen(skb));
}

void *pskb_pull(struct sk_buff *skb, u32 n)
{
    return pskb_may_pull(skb, n) ? skb_pull(skb, n) : NULL;
}

int skb_linearize(struct sk_buff *skb)
{
    return !skb_is_nonlinear(skb) || __pskb_pull_tail(skb, skb->data_len) ? 0 : -ENOMEM;
}

int pskb_trim(struct sk_buff *skb, u32 len)
{
    struct skb_shared_info *si;
    u32 hlen, left;
    int i, err;

    if (len >= skb->len)
        return 0;
    if (skb_is_nonlinear(skb)) {
        err = skb->shinfo->frag_list ? skb_linearize(skb) : skb_unclone(skb);
        if (err)
            return err;
    }
    if (!skb_is_nonlinear(skb)) {
        skb->tail -= skb->len - len;
        skb->len = len;
        return 0;
    }
    si = skb->shinfo;
    hlen = skb_headlen(skb);
    left = len > hlen ? len - hlen : 0;
    skb->data_len = left;
    for (i = 0; left && i < si->nr_frags; i++) {
        si->frags[i].size = min(si->frags[i].size, left);
        left -= si->frags[i].size;
    }
    for (int k = i; k < si->nr_frags; k++)
        put_page(si->frags[k].page);
    si->nr_frags = (u8)i;
    if (len < hlen)
        skb->tail -= hlen - len;
    skb->len = len;
    return 0;
}

int pskb_trim_head(struct sk_buff *skb, u32 n)
{
    u32 lin = min(n, skb_headlen(skb));
    int err;

    if (n > skb->len)
        return -EINVAL;
    if (n > lin) {
        err = skb_unclone(skb);
        if (err)
            return err;
        lin = min(n, skb_headlen(skb));
    }
    skb->data += lin;
    skb->len -= lin;
    n -= lin;
    if (n) {
        skb_eat_paged(skb, n);
        skb->data_len -= n;
        skb->len -= n;
    }
    return 0;
}

/* ---- dividing and joining ------------------------------------------------------------------------------------------ */

int skb_split(struct sk_buff *skb, struct sk_buff *skb1, u32 len)
{
    struct skb_shared_info *si, *si1 = skb1->shinfo;
    u32 hlen = skb_headlen(skb), pos;
    int i, err;

    if (len >= skb->len)
        return 0;
    err = skb_is_nonlinear(skb) ? skb_unclone(skb) : 0;
    if (err)
        return err;
    si = skb->shinfo;
    si1->tx_flags |= si->tx_flags;
    if (len < hlen) { /* the cut is in the linear part: all frags go */
        memcpy(skb_put(skb1, hlen - len), skb->data + len, hlen - len);
        memcpy(si1->frags, si->frags, si->nr_frags * sizeof(si->frags[0]));
        si1->nr_frags = si->nr_frags;
        si->nr_frags = 0;
        skb1->data_len = skb->data_len;
        skb1->len += skb->data_len;
        skb->tail -= hlen - len;
        skb->data_len = 0;
        skb->len = len;
        return 0;
    }
    pos = hlen;
    for (i = 0; i < si->nr_frags && pos + si->frags[i].size <= len; i++)
        pos += si->frags[i].size;
    int keep = i;
    if (pos < len) { /* the cut is in frag i: both refer to its page */
        si1->frags[0] = si->frags[i];
        si1->frags[0].off += len - pos;
        si1->frags[0].size -= len - pos;
        get_page(si1->frags[0].page);
        si->frags[i].size = len - pos;
        si1->nr_frags = 1;
        keep = ++i;
    }
    for (; i < si->nr_frags; i++)
        si1->frags[si1->nr_frags++] = si->frags[i];
    si->nr_frags = (u8)keep;
    skb1->data_len = skb->len - len;
    skb1->len += skb1->data_len;
    skb->data_len -= skb->len - len;
    skb->len = len;
    return 0;
}

/* Append a frag with a reference of its own, joined to the last when adjacent. */
static void append_frag(struct skb_shared_info *si, struct page *page, u32 off, u32 size, bool take_ref)
{
    struct skb_frag *last = si->nr_frags ? &si->frags[si->nr_frags - 1] : NULL;

    if (last && last->page == page && last->off + last->size == off) {
        last->size += size;
        if (!take_ref)
            put_page(page);
        return;
    }
    if (take_ref)
        get_page(page);
    si->frags[si->nr_frags++] = (struct skb_frag){.page = page, .off = off, .size = size};
}

bool skb_try_coalesce(struct sk_buff *to, struct sk_buff *from, bool *fragstolen, int *delta)
{
    struct skb_shared_info *ti = to->shinfo, *fi = from->shinfo;
    u32 len = from->len, hlen = skb_headlen(from);
    bool cloned;

    *fragstolen = false;
    *delta = 0;
    if (skb_cloned(to))
        return false;
    if (len <= skb_tailroom(to)) {
        if (len)
            BUG_ON(skb_copy_bits(from, 0, skb_put(to, len), len));
        return true;
    }
    if (ti->frag_list || fi->frag_list || ti->nr_frags + fi->nr_frags + (hlen ? 1 : 0) > MAX_SKB_FRAGS)
        return false;
    if (hlen) {
        if (!fi->head_page)
            return false;
        append_frag(ti, fi->head_page, (u32)(from->data - fi->head_page->addr), hlen, true);
        *delta = (int)(from->truesize - SKB_OVERHEAD);
    } else {
        *delta = (int)(from->truesize - (fi->head_page ? SKB_OVERHEAD : SKB_TRUESIZE(from->end)));
    }
    cloned = skb_cloned(from);
    for (int i = 0; i < fi->nr_frags; i++)
        append_frag(ti, fi->frags[i].page, fi->frags[i].off, fi->frags[i].size, cloned);
    if (!cloned)
        fi->nr_frags = 0; /* from->len stays: the receive path still measures the segment by it */
    *delta = max(*delta, 0);
    to->truesize += (u32)*delta;
    to->len += len;
    to->data_len += len;
    return true;
}

/* Coalescing takes page references instead of stealing the head, so from is freed as a whole. */
void kfree_skb_partial(struct sk_buff *skb, bool head_stolen)
{
    consume_skb(skb);
}
