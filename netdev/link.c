/* SPDX-License-Identifier: MIT */
/* The memory link: two devices and a wire. A frame leaves its queue when the wire is free, arrives delay_ns
 * later, and is lost, doubled, held back or damaged by the dice of its direction; with the same seed and the
 * same sends everything happens again in the same order. Single-threaded, so without locks.
 *
 * A GSO packet crosses a clean wire as it is (a peer's super-frame). Where dice, a path MTU or a router's queue
 * are there, they are thrown for each segment, as a network would. */

#include "link.h"
#include <net/if.h>

#define PPM 1000000u
#define BURST_MAX NSEC_PER_SEC /* no burst lasts longer: a sender that backs off would meet the same one for hours */

struct frame { /* on the wire, to be delivered */
    u64 due, seq; /* order: by time, then as sent */
    struct sk_buff *skb; /* of the receiving net */
};

struct tx_frame { /* in the sender's queue: the driver's descriptor, completed when it has left */
    struct tx_frame *next;
    struct sk_buff *skb; /* NULL: waits in a router, the driver is done with it */
    u64 depart;
};

struct link_end {
    struct memlink *link;
    int end;
    struct net_device *dev;
    u64 rng;
    u64 busy_until; /* the wire is taken until then */
    bool bad_state; /* Gilbert-Elliott */
    u64 bad_since;
    bool black_hole;
    bool (*forward)(void *arg, struct sk_buff *skb); /* a router: asked before the stack */
    void *forward_arg;
    struct tx_frame *tx_head, **tx_tail;
    u32 tx_len;
    struct frame *heap; /* frames that come to this end; 1-based */
    u32 n, cap;
};

struct memlink {
    struct link_config cfg;
    struct link_end ends[2];
    bool up;
    u64 seq;
    struct link_stats stats;
    void (*tap)(void *arg, int end, const struct sk_buff *skb, u64 now);
    void *tap_arg;
};

/* splitmix64 */
static u64 dice(struct link_end *e)
{
    u64 z = e->rng += 0x9e3779b97f4a7c15ull;

    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
    return z ^ (z >> 31);
}

static bool chance(struct link_end *e, u32 ppm)
{
    return ppm && (u32)(((dice(e) >> 32) * PPM) >> 32) < ppm;
}

/* ---- frames in flight ------------------------------------------------------------------------------------ */

static bool frame_before(const struct frame *a, const struct frame *b)
{
    return a->due != b->due ? a->due < b->due : a->seq < b->seq;
}

static bool heap_push(struct link_end *e, struct frame f)
{
    u32 i;

    if (e->n + 1 >= e->cap) {
        u32 cap = e->cap ? 2 * e->cap : 256;
        struct frame *h = realloc(e->heap, cap * sizeof(*h));

        if (!h)
            return false;
        e->heap = h;
        e->cap = cap;
    }
    for (i = ++e->n; i > 1 && frame_before(&f, &e->heap[i / 2]); i /= 2)
        e->heap[i] = e->heap[i / 2];
    e->heap[i] = f;
    return true;
}

static struct frame heap_pop(struct link_end *e)
{
    struct frame top = e->heap[1], last = e->heap[e->n--];
    u32 i = 1, c;

    for (; (c = 2 * i) <= e->n; i = c) {
        if (c < e->n && frame_before(&e->heap[c + 1], &e->heap[c]))
            c++;
        if (!frame_before(&e->heap[c], &last))
            break;
        e->heap[i] = e->heap[c];
    }
    e->heap[i] = last;
    return top;
}

/* Role: the frame as the other end receives it: linear part copied, pages shared. A partial checksum stays
 * partial on a link without a wire; else the device vouches for it. */
static struct sk_buff *make_rx(struct link_end *to, const struct sk_buff *skb)
{
    struct net_device *dev = to->dev;
    u32 hlen = skb_headlen(skb);
    struct sk_buff *rx = alloc_skb(dev->net, 64 + hlen);
    const struct skb_shared_info *si = skb->shinfo;

    if (!rx)
        return NULL;
    skb_reserve(rx, 64);
    memcpy(skb_put(rx, hlen), skb->data, hlen);
    for (int i = 0; i < si->nr_frags; i++) {
        get_page(si->frags[i].page);
        skb_add_rx_frag(rx, si->frags[i].page, si->frags[i].off, si->frags[i].size, si->frags[i].size);
    }
    rx->shinfo->gso_size = si->gso_size;
    rx->shinfo->gso_segs = si->gso_segs;
    rx->shinfo->gso_type = si->gso_type;
    rx->dev = dev;
    if (skb->ip_summed == CHECKSUM_PARTIAL) {
        rx->ip_summed = dev->features & NETIF_F_NOWIRE ? CHECKSUM_PARTIAL : CHECKSUM_UNNECESSARY;
        rx->csum_start = (u16)(skb->csum_start - skb_headroom(skb) + skb_headroom(rx));
        rx->csum_offset = skb->csum_offset;
    }
    return rx;
}

/* One bit of the frame, anywhere. The checksum is completed first, so that it can tell. */
static void corrupt(struct link_end *from, struct sk_buff *rx)
{
    u32 bit;

    if (rx->ip_summed == CHECKSUM_UNNECESSARY)
        rx->ip_summed = CHECKSUM_PARTIAL;
    if (skb_linearize(rx) || skb_checksum_help(rx))
        return;
    rx->ip_summed = CHECKSUM_NONE;
    bit = (u32)(dice(from) % ((u64)rx->len * 8));
    rx->data[bit / 8] ^= (u8)(1u << (bit % 8));
}

/* RFC 3168 5: an ECN-capable packet that waits too long gets CE. The IP checksum follows (RFC 1624). */
static bool mark_ce(struct sk_buff *rx)
{
    u8 *ip = rx->data + ETH_HLEN;
    u32 check;

    if (skb_headlen(rx) < ETH_HLEN + 20 || rx->data[12] != 8 || rx->data[13] || !(ip[1] & 3) || (ip[1] & 3) == 3)
        return false;
    check = (u32)(ip[10] << 8 | ip[11]) + (u32)(ip[1] & 3);
    ip[1] |= 3;
    check = check + 0xffff - 3; /* ~(~check + ~old + new) */
    check = (check & 0xffff) + (check >> 16);
    ip[10] = (u8)(check >> 8);
    ip[11] = (u8)check;
    return true;
}

/* Is it lost on the way, and by what? NULL: it arrives. */
static u64 *lost_by(struct link_end *from, const struct sk_buff *skb)
{
    struct memlink *l = from->link;

    if (!l->up)
        return &l->stats.while_down;
    if (from->black_hole)
        return &l->stats.black_holed;
    if (from->bad_state)
        return &l->stats.burst_lost;
    if (chance(from, l->cfg.loss_ppm))
        return &l->stats.lost;
    if (l->cfg.path_mtu && skb->len > l->cfg.path_mtu + ETH_HLEN)
        return &l->stats.too_long;
    return NULL;
}

static void put_on_wire(struct link_end *from, const struct sk_buff *skb, u64 now, u64 depart)
{
    struct memlink *l = from->link;
    const struct link_config *c = &l->cfg;
    struct link_end *to = &l->ends[!from->end];
    u64 due = depart + c->delay_ns, *lost;
    struct sk_buff *rx;

    if (from->bad_state ? chance(from, c->burst_exit_ppm) || depart > from->bad_since + BURST_MAX : chance(from, c->burst_enter_ppm)) {
        from->bad_state = !from->bad_state;
        from->bad_since = depart;
    }
    l->stats.sent++;
    lost = lost_by(from, skb);
    if (lost) {
        ++*lost;
        atomic_fetch_add(&from->dev->net->drops[SKB_DROP_REASON_FAULT_INJECTED], 1);
        return;
    }
    for (int copies = 1 + chance(from, c->dup_ppm), n = copies; n; n--) {
        u64 late = chance(from, c->reorder_ppm) ? (c->reorder_delay_ns ? c->reorder_delay_ns : NSEC_PER_MSEC) : 0;

        rx = make_rx(to, skb);
        if (!rx)
            return;
        l->stats.duplicated += n > 1;
        l->stats.reordered += late != 0;
        if (c->ce_threshold_ns && depart - now > c->ce_threshold_ns && mark_ce(rx))
            l->stats.ce_marked++;
        if (chance(from, c->corrupt_ppm)) {
            l->stats.corrupted++;
            corrupt(from, rx);
        }
        if (!heap_push(to, (struct frame){due + late, l->seq++, rx}))
            kfree_skb_reason(rx, SKB_DROP_REASON_NOMEM);
    }
}

/* ---- the sender's queue ------------------------------------------------------------------------------------- */

static void tx_complete(struct link_end *e, u64 now)
{
    struct tx_frame *t;

    while ((t = e->tx_head) != NULL && t->depart <= now) {
        e->tx_head = t->next;
        if (!e->tx_head)
            e->tx_tail = &e->tx_head;
        e->tx_len--;
        if (t->skb)
            consume_skb(t->skb);
        free(t);
    }
}

/* Bytes on the wire: preamble and gap are not counted, the headers of each GSO segment are. */
static u64 wire_bytes(const struct sk_buff *skb)
{
    u32 hlen;

    if (!skb_is_gso(skb) || skb->shinfo->gso_segs < 2)
        return skb->len;
    hlen = (u32)skb_transport_offset(skb) + (u32)(skb_transport_header(skb)[12] >> 4) * 4;
    return skb->len + (skb->shinfo->gso_segs - 1ull) * hlen;
}

/* Are there dice that must fall for each segment? */
static bool per_segment(const struct link_config *c)
{
    return c->loss_ppm | c->dup_ppm | c->reorder_ppm | c->corrupt_ppm | c->burst_enter_ppm | c->path_mtu | c->far_queue | (c->ce_threshold_ns != 0);
}

/* It stays in the queue until depart; skb NULL: the place in a router's queue, without the packet. False without
 * memory. */
static bool queue_until(struct link_end *e, struct sk_buff *skb, u64 depart)
{
    struct tx_frame *t = malloc(sizeof(*t));

    if (!t)
        return false;
    *t = (struct tx_frame){NULL, skb, depart};
    *e->tx_tail = t;
    e->tx_tail = &t->next;
    e->tx_len++;
    return true;
}

static u32 queue_limit(const struct link_config *c) { return c->queue_packets ? c->queue_packets : 1000; }

/* Role: one packet onto the wire, or into the router's queue before it. Returns when it has left. skb stays the
 * caller's. */
static u64 send_one(struct link_end *e, const struct sk_buff *skb, u64 now)
{
    const struct link_config *c = &e->link->cfg;
    u64 depart = now;

    if (c->far_queue && e->tx_len >= queue_limit(c)) {
        e->link->stats.queue_dropped++;
        atomic_fetch_add(&e->dev->net->drops[SKB_DROP_REASON_FAULT_INJECTED], 1);
        return now;
    }
    if (c->rate_bps) {
        depart = max(now, e->busy_until) + wire_bytes(skb) * 8 * NSEC_PER_SEC / c->rate_bps;
        e->busy_until = depart;
    }
    put_on_wire(e, skb, now, depart);
    if (c->far_queue && depart > now)
        queue_until(e, NULL, depart);
    return depart;
}

static u64 send_segments(struct link_end *e, struct sk_buff *list, u64 now)
{
    u64 depart = now;

    for (struct sk_buff *next; list; list = next) {
        next = list->next;
        list->next = NULL;
        depart = send_one(e, list, now);
        consume_skb(list);
    }
    return depart;
}

static netdev_tx_t memlink_xmit(struct sk_buff *skb, struct net_device *dev)
{
    struct link_end *e = dev->priv;
    struct memlink *l = e->link;
    u64 now = net_now(dev->net), depart;
    struct sk_buff *list = NULL;

    tx_complete(e, now);
    if (!l->cfg.far_queue && e->tx_len >= queue_limit(&l->cfg)) {
        l->stats.queue_dropped++;
        atomic_fetch_add(&dev->stats.tx_dropped, 1);
        kfree_skb_reason(skb, SKB_DROP_REASON_FULL_RING);
        return NETDEV_TX_OK;
    }
    atomic_fetch_add_explicit(&dev->stats.tx_packets, max(skb->shinfo->gso_segs, (u16)1), memory_order_relaxed);
    atomic_fetch_add_explicit(&dev->stats.tx_bytes, wire_bytes(skb), memory_order_relaxed);
    if (l->tap)
        l->tap(l->tap_arg, e->end, skb, now);
    if (skb_is_gso(skb) && per_segment(&l->cfg))
        list = skb_gso_segment(skb);
    depart = list ? send_segments(e, list, now) : send_one(e, skb, now);
    if (depart <= now || l->cfg.far_queue || !queue_until(e, skb, depart))
        consume_skb(skb); /* it has left already */
    return NETDEV_TX_OK;
}

/* ---- delivery --------------------------------------------------------------------------------------------------- */

/* To the router at this end. What the sender's device was to complete is completed: the next link's is another. */
static bool forwarded(struct link_end *e, struct sk_buff *skb)
{
    if (skb->ip_summed == CHECKSUM_UNNECESSARY)
        skb->ip_summed = CHECKSUM_PARTIAL;
    if (skb_checksum_help(skb)) {
        kfree_skb_reason(skb, SKB_DROP_REASON_NOMEM);
        return true;
    }
    return e->forward(e->forward_arg, skb);
}

static int deliver_due(struct link_end *e, u64 now, int budget)
{
    int n = 0;

    tx_complete(e, now);
    while (n < budget && e->n && e->heap[1].due <= now) {
        struct sk_buff *skb = heap_pop(e).skb;

        atomic_fetch_add_explicit(&e->dev->stats.rx_packets, 1, memory_order_relaxed);
        atomic_fetch_add_explicit(&e->dev->stats.rx_bytes, skb->len, memory_order_relaxed);
        if (!e->forward || !forwarded(e, skb))
            netif_receive_skb(skb);
        n++;
    }
    napi_complete(e->dev);
    return n;
}

static int memlink_ndo_poll(struct net_device *dev, int budget)
{
    struct link_end *e = dev->priv;

    return deliver_due(e, net_now(dev->net), budget);
}

int memlink_poll(struct memlink *l, int end)
{
    struct link_end *e = &l->ends[end];

    return deliver_due(e, net_now(e->dev->net), INT32_MAX);
}

u64 memlink_next(struct memlink *l)
{
    u64 next = UINT64_MAX;

    for (int i = 0; i < 2; i++) {
        if (l->ends[i].n)
            next = min(next, l->ends[i].heap[1].due);
        if (l->ends[i].tx_head && l->ends[i].tx_head->skb)
            next = min(next, l->ends[i].tx_head->depart);
    }
    return next;
}

/* ---- life ----------------------------------------------------------------------------------------------------------- */

static const struct net_device_ops memlink_ops = {
    .ndo_start_xmit = memlink_xmit,
    .ndo_poll = memlink_ndo_poll,
};

static void memlink_dev_free(struct net_device *dev)
{
    free(dev);
}

/* MAC addresses count up over all links of the process, so that no two ends share one. */
static int add_end(struct memlink *l, int end, struct net *net, const char *name, u32 id)
{
    struct link_end *e = &l->ends[end];
    struct net_device *dev = calloc(1, sizeof(*dev));
    int err;

    if (!dev)
        return -ENOMEM;
    e->link = l;
    e->end = end;
    e->dev = dev;
    e->tx_tail = &e->tx_head;
    e->rng = l->cfg.seed + (u64)end * 0x5851f42d4c957f2dull;
    snprintf(dev->name, sizeof(dev->name), "%s", name);
    dev->mtu = l->cfg.mtu ? l->cfg.mtu : ETH_DATA_LEN;
    dev->features = l->cfg.features;
    dev->ops = &memlink_ops;
    dev->priv = e;
    dev->destructor = memlink_dev_free;
    dev->own_address = true; /* there is no host behind it to answer ARP and ping */
    memcpy(dev->dev_addr, (u8[]){2, 0, (u8)(id >> 16), (u8)(id >> 8), (u8)id, (u8)(end + 1)}, ETH_ALEN);
    err = register_netdev(net, dev);
    if (err) {
        free(dev);
        e->dev = NULL;
    }
    return err;
}

struct memlink *memlink_create(struct net *a, struct net *b, const char *name, const struct link_config *cfg)
{
    static _Atomic u32 links;
    struct memlink *l = calloc(1, sizeof(*l));
    u32 id;

    if (!l)
        return NULL;
    if (cfg)
        l->cfg = *cfg;
    l->up = true;
    id = atomic_fetch_add(&links, 1);
    if (add_end(l, 0, a, name, id) || add_end(l, 1, b, name, id)) {
        memlink_destroy(l);
        return NULL;
    }
    return l;
}

struct net_device *memlink_dev(struct memlink *l, int end)
{
    return l->ends[end].dev;
}

void memlink_config(struct memlink *l, const struct link_config *cfg)
{
    u64 seed = l->cfg.seed;
    u32 mtu = l->cfg.mtu, features = l->cfg.features;

    l->cfg = *cfg;
    l->cfg.seed = seed;
    if (cfg->mtu && cfg->mtu != mtu) {
        dev_set_mtu(l->ends[0].dev, cfg->mtu);
        dev_set_mtu(l->ends[1].dev, cfg->mtu);
    } else {
        l->cfg.mtu = mtu;
    }
    l->cfg.features = features; /* fixed when it was made */
}

static void lose_in_flight(struct link_end *e)
{
    while (e->n)
        kfree_skb_reason(heap_pop(e).skb, SKB_DROP_REASON_FAULT_INJECTED);
}

void memlink_set_up(struct memlink *l, bool up)
{
    l->up = up;
    if (up)
        return;
    lose_in_flight(&l->ends[0]);
    lose_in_flight(&l->ends[1]);
}

void memlink_black_hole(struct memlink *l, int end, bool on)
{
    l->ends[end].black_hole = on;
}

void memlink_inject(struct memlink *l, int end, const void *frame, u32 len, u64 at)
{
    struct link_end *to = &l->ends[end];
    struct sk_buff *rx = alloc_skb(to->dev->net, 64 + len);

    if (!rx)
        return;
    skb_reserve(rx, 64);
    memcpy(skb_put(rx, len), frame, len);
    rx->dev = to->dev;
    if (!heap_push(to, (struct frame){at, l->seq++, rx}))
        kfree_skb_reason(rx, SKB_DROP_REASON_NOMEM);
}

u64 memlink_backlog_ns(struct memlink *l, int end)
{
    u64 now = net_now(l->ends[end].dev->net);

    return l->ends[end].busy_until > now ? l->ends[end].busy_until - now : 0;
}

u64 memlink_delay_ns(const struct memlink *l) { return l->cfg.delay_ns; }

struct link_stats memlink_stats(const struct memlink *l) { return l->stats; }

void memlink_set_forward(struct memlink *l, int end, bool (*forward)(void *arg, struct sk_buff *skb), void *arg)
{
    l->ends[end].forward = forward;
    l->ends[end].forward_arg = arg;
}

void memlink_set_tap(struct memlink *l, void (*tap)(void *arg, int end, const struct sk_buff *skb, u64 now), void *arg)
{
    l->tap = tap;
    l->tap_arg = arg;
}

void memlink_destroy(struct memlink *l)
{
    for (int i = 0; i < 2; i++) {
        struct link_end *e = &l->ends[i];

        if (e->dev)
            unregister_netdev(e->dev);
    }
    for (int i = 0; i < 2; i++) {
        struct link_end *e = &l->ends[i];

        if (!e->dev)
            continue;
        lose_in_flight(e);
        tx_complete(e, UINT64_MAX);
        free(e->heap);
    }
    free(l);
}
