/* SPDX-License-Identifier: MIT */
/* The core under several threads at once, as in a live program: senders against pollers, timers against those
 * who stop and free them, sk_buffs freed in other threads than they were made in. */

#include "../../stack/core/rcu.h"
#include "../../stack/core/sch_generic.h"
#include "../lib/tinytest.h"
#include <pthread.h>

static _Atomic u64 clock_now = 1;
static u64 test_clock(struct net *net) { return atomic_fetch_add(&clock_now, 1000); }
static u64 test_random(struct net *net) { return atomic_load(&clock_now) * 0x9e3779b97f4a7c15ull; }
static const struct net_ops ops = {.clock_ns = test_clock, .random = test_random};

static struct net *net;
static _Atomic bool stop;

static void setup(void) { net = net_alloc(&ops, NULL); }
static void teardown(void)
{
    while (net_rcu_barrier(net))
        ;
    cr_assert_eq(atomic_load(&net->skb_count), 0);
    cr_assert_eq(net_timers_pending(net), 0);
    net_free(net);
}
TestSuite(core_threads, .init = setup, .fini = teardown);

/* ---- senders and pollers ---------------------------------------------------------------------------------- */

#define SENDERS 3
#define PACKETS 3000

static struct net_device dev;
static u32 last_of[SENDERS], got, room, flushed_at, disorder; /* under tx_lock */

static netdev_tx_t tx(struct sk_buff *skb, struct net_device *d)
{
    u32 from = skb->mark >> 24, n = skb->mark & 0xffffff;

    if (!room--) {
        room = 0;
        netif_stop_queue(d);
        return NETDEV_TX_BUSY;
    }
    disorder += n != last_of[from] + 1;
    last_of[from] = n;
    got++;
    consume_skb(skb);
    return NETDEV_TX_OK;
}
static void flush(struct net_device *d) { flushed_at = got; }
static int wake(struct net_device *d, int budget)
{
    if (!netif_queue_stopped(d))
        return 0;
    spin_lock(&d->tx_lock);
    room = 7;
    spin_unlock(&d->tx_lock);
    netif_wake_queue(d);
    return 1;
}
static const struct net_device_ops dev_ops = {.ndo_start_xmit = tx, .ndo_xmit_flush = flush, .ndo_poll = wake};

static void *sender(void *arg)
{
    u32 id = (u32)(uintptr_t)arg;

    for (u32 i = 1; i <= PACKETS;) {
        struct sk_buff *skb;

        if (READ_ONCE(dev.qdisc->qlen) > 500) /* below the limit of a band: nothing is dropped */
            continue;
        skb = alloc_skb(net, 200);
        skb_put(skb, 100);
        skb->dev = &dev;
        skb->mark = id << 24 | i++;
        cr_assert_eq(dev_queue_xmit(skb), NET_XMIT_SUCCESS);
    }
    return NULL;
}
static void *poller(void *arg)
{
    while (!atomic_load(&stop))
        net_poll(net, 64);
    return NULL;
}

Test(core_threads, nothing_is_lost_or_stuck_between_senders_and_pollers)
{
    pthread_t s[SENDERS], p[2];

    dev.ops = &dev_ops;
    cr_assert_eq(register_netdev(net, &dev), 0);
    for (int i = 0; i < 2; i++)
        pthread_create(&p[i], NULL, poller, NULL);
    for (int i = 0; i < SENDERS; i++)
        pthread_create(&s[i], NULL, sender, (void *)(uintptr_t)i);
    for (int i = 0; i < SENDERS; i++)
        pthread_join(s[i], NULL);
    while (READ_ONCE(dev.qdisc->qlen))
        sched_yield();
    atomic_store(&stop, true);
    for (int i = 0; i < 2; i++)
        pthread_join(p[i], NULL);
    cr_assert_eq(got, SENDERS * PACKETS);
    cr_assert_eq(disorder, 0, "a thread's packets stay in order");
    cr_assert_eq(flushed_at, got, "the last packet got its doorbell");
    unregister_netdev(&dev);
}

/* ---- timers ---------------------------------------------------------------------------------------------------- */

struct obj {
    struct timer_list t;
    _Atomic u32 magic, runs;
};

static void obj_fn(struct timer_list *t)
{
    struct obj *o = container_of(t, struct obj, t);

    cr_assert_eq(atomic_load(&o->magic), 0x600d);
    if (atomic_fetch_add(&o->runs, 1) % 3)
        mod_timer(t, net_now(net) + 2000);
}
static void *churn(void *arg)
{
    for (int i = 0; i < 3000; i++) {
        struct obj *o = calloc(1, sizeof(*o));

        atomic_store(&o->magic, 0x600d);
        timer_setup(&o->t, net, obj_fn);
        for (u64 k = 0; k < 4; k++)
            mod_timer(&o->t, net_now(net) + (k * 7919 + (u64)i) % 5000);
        del_timer(&o->t);
        mod_timer(&o->t, net_now(net) + 1);
        del_timer_sync(&o->t);
        atomic_store(&o->magic, 0xbad);
        free(o);
    }
    return NULL;
}
static void *runner(void *arg)
{
    while (!atomic_load(&stop)) {
        net_tick(net);
        net_run_timers(net);
        net_next_timer(net);
    }
    return NULL;
}

Test(core_threads, timers_may_be_freed_after_del_timer_sync)
{
    pthread_t c[3], r[2];

    for (int i = 0; i < 2; i++)
        pthread_create(&r[i], NULL, runner, NULL);
    for (int i = 0; i < 3; i++)
        pthread_create(&c[i], NULL, churn, NULL);
    for (int i = 0; i < 3; i++)
        pthread_join(c[i], NULL);
    atomic_store(&stop, true);
    for (int i = 0; i < 2; i++)
        pthread_join(r[i], NULL);
}

/* ---- clones ------------------------------------------------------------------------------------------------------ */

static struct sk_buff *ring[256];

/* Frees the "completed" clones while the other thread frees the originals. */
static void *completer(void *arg)
{
    for (u32 i = 0; i < 20000; i++) {
        struct sk_buff *c;

        while (!(c = __atomic_exchange_n(&ring[i % 256], NULL, __ATOMIC_ACQ_REL)))
            sched_yield();
        consume_skb(c);
    }
    return NULL;
}

Test(core_threads, originals_and_clones_end_in_any_order)
{
    pthread_t t;

    pthread_create(&t, NULL, completer, NULL);
    for (u32 i = 0; i < 20000; i++) {
        struct sk_buff *skb = alloc_skb(net, 192), *c, *none;

        skb_track_clones(skb);
        c = skb_clone(skb);
        for (none = NULL; !__atomic_compare_exchange_n(&ring[i % 256], &none, c, false, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED);
             none = NULL)
            sched_yield();
        if (i % 2)
            while (skb_fclone_busy(skb))
                sched_yield();
        consume_skb(skb);
    }
    pthread_join(t, NULL);
}
