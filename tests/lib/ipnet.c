/* SPDX-License-Identifier: MIT */
#include "ipnet.h"
#include "../../stack/core/checksum.h"
#include "../../stack/core/neighbour.h"
#include "../../stack/core/rcu.h"
#include <linux/if.h>

const u8 ipnet_mymac[6] = {2, 0, 0, 0, 0, 1}, ipnet_peermac[6] = {2, 0, 0, 0, 0, 2};
struct ipnet *ipnet_current;

/* ---- the net's outside ----------------------------------------------------------------------------------------- */

static struct ipnet *of(struct net *net) { return net->priv; }

static u64 fx_clock(struct net *net) { return of(net)->now; }

static u64 fx_random(struct net *net)
{
    u64 z = (of(net)->seed += 0x9e3779b97f4a7c15ull);
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
    z = (z ^ z >> 27) * 0x94d049bb133111ebull;
    return z ^ z >> 31;
}

static struct waiter *fx_waiter(struct net *net)
{
    static struct waiter w;
    w.net = net;
    return &w;
}

/* Nobody else runs: time goes to the deadline. */
static int fx_wait(struct net *net, struct waiter *w, u64 deadline)
{
    if (deadline == UINT64_MAX)
        return -EINTR;
    ipnet_advance(of(net), deadline > of(net)->now ? deadline - of(net)->now : 0);
    return 0;
}

static void fx_wake(struct net *net, struct waiter *w) {}
static void fx_timer_armed(struct net *net, u64 expires) {}
static void fx_log(struct net *net, int level, const char *text) { snprintf(of(net)->last_log, sizeof(of(net)->last_log), "%s", text); }

static const struct net_ops fx_ops = {.clock_ns = fx_clock, .random = fx_random, .current_waiter = fx_waiter, .wait = fx_wait,
                                      .wake = fx_wake, .timer_armed = fx_timer_armed, .log = fx_log};

static int fx_add_flow(struct net *net, const struct flow_key *k) { of(net)->flows++; of(net)->flow_adds++; return 0; }
static void fx_del_flow(struct net *net, const struct flow_key *k) { of(net)->flows--; }
static int fx_add_listener(struct net *net, __be32 a, __be16 p, bool parked) { of(net)->listeners++; return 0; }
static void fx_del_listener(struct net *net, __be32 a, __be16 p) { of(net)->listeners--; }
static void fx_park_listener(struct net *net, __be32 a, __be16 p, bool parked) { of(net)->parked += parked ? 1 : -1; }
static const struct net_steer_ops fx_steer = {fx_add_flow, fx_del_flow, fx_add_listener, fx_del_listener, fx_park_listener};

/* ---- the device -------------------------------------------------------------------------------------------------- */

static netdev_tx_t fx_xmit(struct sk_buff *skb, struct net_device *dev)
{
    struct ipnet *n = dev->priv;

    if (n->nsent < IPNET_FRAMES) {
        n->sent[n->nsent].len = min(skb->len, 2048u);
        skb_copy_bits(skb, 0, n->sent[n->nsent].data, n->sent[n->nsent].len);
        n->nsent++;
    }
    consume_skb(skb);
    return NETDEV_TX_OK;
}

static int fx_open(struct net_device *dev) { return 0; }
static void fx_stop(struct net_device *dev) {}
static int fx_poll(struct net_device *dev, int budget) { return 0; }
static const struct net_device_ops fx_dev_ops = {.ndo_open = fx_open, .ndo_stop = fx_stop, .ndo_start_xmit = fx_xmit, .ndo_poll = fx_poll};

static void note_drop(struct sk_buff *skb, enum skb_drop_reason reason)
{
    if (ipnet_current)
        ipnet_current->last_drop = (int)reason;
}

struct ipnet *ipnet_new(void)
{
    struct ipnet *n = calloc(1, sizeof(*n));

    inet_init();
    n->now = 1000 * NSEC_PER_SEC;
    n->seed = 42;
    n->last_drop = -1;
    n->net = net_alloc(&fx_ops, n);
    BUG_ON(!n->net);
    n->net->steer_ops = &fx_steer;
    n->net->tx_pool = page_pool_heap_create(1920, 128, 0);
    net_tick(n->net);
    ipnet_current = n;
    skb_drop_hook = note_drop;
    strcpy(n->dev.name, "fx0");
    n->dev.ifindex = 7;
    n->dev.mtu = 1500;
    n->dev.flags = IFF_UP | IFF_RUNNING | IFF_BROADCAST;
    n->dev.features = NETIF_F_SG;
    n->dev.ops = &fx_dev_ops;
    n->dev.priv = n;
    n->dev.own_address = true;
    memcpy(n->dev.dev_addr, ipnet_mymac, 6);
    BUG_ON(register_netdev(n->net, &n->dev));
    BUG_ON(dev_add_addr(&n->dev, htobe32(IPNET_MYIP), 24));
    return n;
}

void ipnet_free(struct ipnet *n)
{
    struct net *net = n->net;

    unregister_netdev(&n->dev);
    while (net_rcu_barrier(net))
        ;
    inet_net_exit(net); /* idempotent: what follows must find nothing left */
    while (net_rcu_barrier(net))
        ;
    if (atomic_load(&net->skb_count) || atomic_load(&net->sock_count) || n->flows || n->listeners) {
        fprintf(stderr, "not everything came home: %ld sk_buffs, %ld socks, %d flows, %d listeners\n",
                (long)atomic_load(&net->skb_count), (long)atomic_load(&net->sock_count), n->flows, n->listeners);
        abort();
    }
    ipnet_current = NULL;
    struct page_pool *pool = net->tx_pool;
    net_free(net);
    BUG_ON(atomic_load(&pool->outstanding));
    page_pool_heap_destroy(pool);
    free(n);
}

void ipnet_advance(struct ipnet *n, u64 ns)
{
    const u64 end = n->now + ns;

    for (;;) {
        u64 next = net_next_timer(n->net);

        n->now = next < end ? max(next, n->now) : end;
        net_tick(n->net);
        while (net_poll(n->net, 64))
            ;
        net_rcu_barrier(n->net);
        if (n->now == end && net_next_timer(n->net) > end)
            return;
    }
}

void ipnet_rx(struct ipnet *n, const void *frame, u32 len)
{
    struct sk_buff *skb = alloc_skb(n->net, len + 2);

    skb_reserve(skb, 2);
    memcpy(skb_put(skb, len), frame, len);
    skb->dev = &n->dev;
    n->last_drop = -1;
    net_tick(n->net);
    rcu_read_lock();
    netif_receive_skb(skb);
    napi_complete(&n->dev);
    rcu_read_unlock();
    while (net_poll(n->net, 64))
        ;
    net_rcu_barrier(n->net);
}

void ipnet_iphdr(struct iphdr *iph, u32 saddr, u32 daddr, u8 proto, u32 len, u16 id, u16 frag)
{
    memset(iph, 0, sizeof(*iph));
    iph->version = 4;
    iph->ihl = 5;
    iph->ttl = 64;
    iph->protocol = proto;
    iph->saddr = htobe32(saddr);
    iph->daddr = htobe32(daddr);
    iph->tot_len = htobe16((u16)len);
    iph->id = htobe16(id);
    iph->frag_off = htobe16(frag);
    iph->check = ip_fast_csum(iph, 5);
}

void ipnet_rx_ip(struct ipnet *n, const void *packet, u32 len)
{
    u8 frame[4096];
    struct ethhdr *eth = (struct ethhdr *)frame;

    memcpy(eth->h_dest, ipnet_mymac, 6);
    memcpy(eth->h_source, ipnet_peermac, 6);
    eth->h_proto = htobe16(ETH_P_IP);
    memcpy(frame + ETH_HLEN, packet, len);
    ipnet_rx(n, frame, ETH_HLEN + len);
}

void ipnet_resolve(struct ipnet *n, u32 addr)
{
    struct neighbour *e;

    rcu_read_lock();
    e = __neigh_create(n->net, htobe32(addr), &n->dev);
    neigh_update(e, ipnet_peermac, NUD_PERMANENT, true);
    rcu_read_unlock();
}

struct sock *ipnet_sock(struct ipnet *n, struct socket **sock)
{
    BUG_ON(sock_create(n->net, AF_INET, SOCK_STREAM, 0, sock));
    return (*sock)->sk;
}
