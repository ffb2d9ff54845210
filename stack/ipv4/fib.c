/* SPDX-License-Identifier: MIT */
/* The stack's own routing table: longest prefix first, then the smallest metric (own address mode and simulation).
 *
 * Readers see an immutable sorted array under RCU; a writer publishes a new one. Lookup: for each prefix length
 * that occurs, longest first, a binary search. Beside the table the devices' addresses count: each address is
 * local, its subnet on link. */

#include "route.h"
#include "../core/rcu.h"
#include <linux/if.h>

struct fib_route {
    __be32 dst, gateway;
    u8 prefixlen;
    int ifindex;
    u32 metric, mtu;
};

struct fib_array { /* sorted: prefixlen down, then dst, then metric, up (host order) */
    struct rcu_free rcu; /* first */
    u32 n;
    u32 start[34]; /* routes of length l: [start[l], start[l - 1]) with start[33] == 0; start[l] counts longer ones */
    struct fib_route r[];
};

struct fib_table {
    spinlock_t lock; /* writers; nothing nests in it */
    struct fib_array *array; /* RCU: published under lock, read anywhere */
};

static __be32 prefix_mask(int len) { return len ? htobe32(~0u << (32 - len)) : 0; }

static int route_cmp(const struct fib_route *a, const struct fib_route *b)
{
    if (a->prefixlen != b->prefixlen)
        return a->prefixlen > b->prefixlen ? -1 : 1;
    if (a->dst != b->dst)
        return be32toh(a->dst) < be32toh(b->dst) ? -1 : 1;
    if (a->metric != b->metric)
        return a->metric < b->metric ? -1 : 1;
    return 0;
}

static void array_free(struct rcu_free *f) { free(container_of(f, struct fib_array, rcu)); }

static void array_index(struct fib_array *a)
{
    u32 i = 0;

    for (int l = 32; l >= 0; l--) { /* start[l + 1]: the first route of length l */
        a->start[l + 1] = i;
        while (i < a->n && a->r[i].prefixlen == l)
            i++;
    }
    a->start[0] = i;
}

/* Publish; the old one goes after a grace period. Lock held. */
static void array_publish(struct net *net, struct fib_array *a)
{
    struct fib_array *old = net->fib->array;

    array_index(a);
    rcu_assign_pointer(net->fib->array, a);
    if (old)
        net_call_rcu(net, &old->rcu, array_free);
}

int fib_add_route(struct net *net, __be32 dst, int prefixlen, __be32 gateway, int ifindex, u32 metric, u32 mtu)
{
    struct fib_table *t = net->fib;
    struct fib_route r = {.dst = dst, .gateway = gateway, .ifindex = ifindex, .metric = metric, .mtu = mtu};
    struct fib_array *old, *a;
    u32 at = 0;

    if (prefixlen < 0 || prefixlen > 32 || (dst & ~prefix_mask(prefixlen)) || ifindex <= 0)
        return -EINVAL;
    r.prefixlen = (u8)prefixlen;
    spin_lock(&t->lock);
    old = t->array;
    while (at < old->n && route_cmp(&old->r[at], &r) < 0)
        at++;
    if (at < old->n && !route_cmp(&old->r[at], &r)) {
        spin_unlock(&t->lock);
        return -EEXIST;
    }
    a = calloc(1, sizeof(*a) + (old->n + 1) * sizeof(r));
    if (!a) {
        spin_unlock(&t->lock);
        return -ENOMEM;
    }
    a->n = old->n + 1;
    memcpy(a->r, old->r, at * sizeof(r));
    a->r[at] = r;
    memcpy(&a->r[at + 1], &old->r[at], (old->n - at) * sizeof(r));
    array_publish(net, a);
    spin_unlock(&t->lock);
    rt_cache_flush(net);
    return 0;
}

/* The first route with these values; -ESRCH when there is none, as Linux answers. */
int fib_del_route(struct net *net, __be32 dst, int prefixlen, __be32 gateway, int ifindex)
{
    struct fib_table *t = net->fib;
    struct fib_array *old, *a;
    u32 at;

    if (prefixlen < 0 || prefixlen > 32)
        return -EINVAL;
    spin_lock(&t->lock);
    old = t->array;
    for (at = 0; at < old->n; at++)
        if (old->r[at].prefixlen == prefixlen && old->r[at].dst == dst && old->r[at].gateway == gateway &&
            (!ifindex || old->r[at].ifindex == ifindex))
            break;
    if (at == old->n) {
        spin_unlock(&t->lock);
        return -ESRCH;
    }
    a = calloc(1, sizeof(*a) + (old->n - 1) * sizeof(old->r[0]));
    if (!a) {
        spin_unlock(&t->lock);
        return -ENOMEM;
    }
    a->n = old->n - 1;
    memcpy(a->r, old->r, at * sizeof(old->r[0]));
    memcpy(&a->r[at], &old->r[at + 1], (old->n - at - 1) * sizeof(old->r[0]));
    array_publish(net, a);
    spin_unlock(&t->lock);
    rt_cache_flush(net);
    return 0;
}

/* ---- lookup ---------------------------------------------------------------------------------------------------- */

static bool route_usable(struct net *net, const struct fib_route *r, const struct flowi4 *fl)
{
    const struct net_device *dev;

    if (fl->oif && fl->oif != r->ifindex)
        return false;
    dev = dev_get_by_index(net, r->ifindex);
    return dev && (dev->flags & IFF_UP);
}

/* The best usable route of this length for the flow, or NULL. */
static const struct fib_route *find_length(struct net *net, const struct fib_array *a, int l, const struct flowi4 *fl)
{
    u32 lo = a->start[l + 1], hi = a->start[l];
    const u32 end = hi, want = be32toh(fl->daddr & prefix_mask(l));

    while (lo < hi) {
        const u32 mid = lo + (hi - lo) / 2;
        if (be32toh(a->r[mid].dst) < want)
            lo = mid + 1;
        else
            hi = mid;
    }
    for (; lo < end && be32toh(a->r[lo].dst) == want; lo++)
        if (route_usable(net, &a->r[lo], fl))
            return &a->r[lo];
    return NULL;
}

/* Addresses of the devices: local, broadcast, or the longest subnet on link (-1: none). */
static int find_connected(struct net *net, const struct flowi4 *fl, struct fib_result *res)
{
    struct net_device *dev;
    int best = -1;

    cds_list_for_each_entry_rcu(dev, &net->dev_list, node) {
        struct in_ifaddr all[NET_DEV_ADDRS];
        u32 n;

        if (!(dev->flags & IFF_UP))
            continue;
        n = dev_addrs(dev, all);
        for (u32 i = 0; i < n; i++) {
            const struct in_ifaddr a = all[i];
            const int len = __builtin_popcount(a.mask);

            if (a.local == fl->daddr) {
                *res = (struct fib_result){.ifindex = dev->ifindex, .type = RTN_LOCAL_, .prefsrc = a.local};
                return 33;
            }
            if ((fl->oif && fl->oif != dev->ifindex) || (fl->daddr & a.mask) != (a.local & a.mask) || len <= best)
                continue;
            best = len;
            *res = (struct fib_result){.ifindex = dev->ifindex, .type = RTN_UNICAST_, .prefsrc = a.local};
            if (fl->daddr == a.broadcast && len < 31)
                res->type = RTN_BROADCAST_;
        }
    }
    return best;
}

int fib_lookup(struct net *net, const struct flowi4 *fl, struct fib_result *res)
{
    const struct fib_array *a;
    int connected, ret = -ENETUNREACH;

    rcu_read_lock();
    connected = find_connected(net, fl, res);
    a = rcu_dereference(net->fib->array);
    for (int l = 32; l > connected; l--) {
        const struct fib_route *r = a->start[l + 1] == a->start[l] ? NULL : find_length(net, a, l, fl);
        struct net_device *dev;

        if (!r || !(dev = dev_get_by_index(net, r->ifindex)))
            continue;
        *res = (struct fib_result){.ifindex = r->ifindex, .type = RTN_UNICAST_, .gateway = r->gateway, .mtu = r->mtu};
        res->prefsrc = inet_select_addr(dev, r->gateway ? r->gateway : fl->daddr);
        connected = 33;
        break;
    }
    if (connected >= 0)
        ret = 0;
    rcu_read_unlock();
    return ret;
}

int fib_init(struct net *net)
{
    struct fib_table *t = calloc(1, sizeof(*t));
    struct fib_array *a = calloc(1, sizeof(*a));

    if (!t || !a) {
        free(t);
        free(a);
        return -ENOMEM;
    }
    spin_lock_init(&t->lock);
    t->array = a;
    net->fib = t;
    return 0;
}

void fib_exit(struct net *net)
{
    if (!net->fib)
        return;
    free(net->fib->array);
    spin_lock_destroy(&net->fib->lock);
    free(net->fib);
    net->fib = NULL;
}
