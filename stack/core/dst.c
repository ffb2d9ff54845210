/* SPDX-License-Identifier: MIT */
#include "dst.h"
#include "netdevice.h"
#include "rcu.h"

bool dst_hold_safe(struct dst_entry *d)
{
    u32 old = atomic_load_explicit(&d->refcnt, memory_order_relaxed);

    while (old)
        if (atomic_compare_exchange_weak_explicit(&d->refcnt, &old, old + 1, memory_order_acquire,
                                                  memory_order_relaxed))
            return true;
    return false;
}

static void dst_free_rcu(struct rcu_free *f)
{
    struct dst_entry *d = container_of(f, struct dst_entry, rcu);

    if (d->destroy) {
        d->destroy(d);
        return;
    }
    if (d->dev)
        dev_put(d->dev);
    free(d);
}

void dst_release(struct dst_entry *d)
{
    if (d && atomic_fetch_sub_explicit(&d->refcnt, 1, memory_order_acq_rel) == 1)
        net_call_rcu(d->net, &d->rcu, dst_free_rcu);
}

u32 dst_mtu(const struct dst_entry *d)
{
    u32 mtu = d->dev ? READ_ONCE(d->dev->mtu) : 65535; /* a metric may not promise more than the device carries */
    u64 expires = READ_ONCE(d->pmtu_expires);

    if (d->mtu)
        mtu = min(mtu, d->mtu);
    if (unlikely(expires) && net_now(d->net) < expires)
        mtu = min(mtu, READ_ONCE(d->pmtu));
    return mtu;
}
