/* SPDX-License-Identifier: MIT */
/* The core under several threads at once, as in a live program: senders against pollers, timers against those
 * who stop and free them, sk_buffs freed in other threads than they were made in. */

#include "../../stack/core/neighbour.h"
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
        skb->hash = id + 1;
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

static void all_of_it_leaves_in_order(void)
{
    pthread_t s[SENDERS], p[2];

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
    cr_assert_eq(atomic_load(&dev.qdisc->stats.packets), SENDERS * PACKETS);
    cr_assert_eq(atomic_load(&dev.qdisc->stats.backlog), 0);
    cr_assert_eq(atomic_load(&dev.qdisc->stats.drops), 0);
    unregister_netdev(&dev);
}

Test(core_threads, nothing_is_lost_or_stuck_between_senders_and_pollers)
{
    dev.ops = &dev_ops;
    cr_assert_eq(register_netdev(net, &dev), 0);
    all_of_it_leaves_in_order();
}

/* The clock goes on by a microsecond at each look: both throttle, and their watchdogs race with the senders. */
Test(core_threads, fq_throttled_loses_and_sticks_nothing)
{
    dev.ops = &dev_ops;
    cr_assert_eq(register_netdev(net, &dev), 0);
    cr_assert_eq(dev_graft_qdisc(&dev, &fq_ops), 0);
    cr_assert_eq(fq_change(dev.qdisc, &(struct fq_opt){.maxrate = 50000000, .flow_limit = 1000}), 0);
    all_of_it_leaves_in_order();
}

Test(core_threads, tbf_throttled_loses_and_sticks_nothing)
{
    dev.ops = &dev_ops;
    cr_assert_eq(register_netdev(net, &dev), 0);
    cr_assert_eq(dev_graft_qdisc(&dev, &tbf_ops), 0);
    cr_assert_eq(tbf_change(dev.qdisc, 50000000, 1000, 0), 0);
    all_of_it_leaves_in_order();
}

/* ---- the neighbour's cached header ------------------------------------------------------------------------------ */

/* Both addresses of a header are of the same byte: one with two was read while it was written. */
static _Atomic u32 torn, headers;

static netdev_tx_t look_at_header(struct sk_buff *skb, struct net_device *d)
{
    u32 wrong = 0;

    for (int i = 1; i < 2 * ETH_ALEN; i++)
        wrong += skb->data[i] != skb->data[0];
    atomic_fetch_add(&torn, wrong != 0);
    atomic_fetch_add(&headers, 1);
    consume_skb(skb);
    return NETDEV_TX_OK;
}
static const struct net_device_ops header_ops = {.ndo_start_xmit = look_at_header};

static void send_by(struct neighbour *n)
{
    struct sk_buff *skb = alloc_skb(net, 200);

    skb_reserve(skb, 64);
    skb_put(skb, 100);
    skb->protocol = htobe16(ETH_P_IP);
    skb_reset_network_header(skb);
    rcu_read_lock();
    cr_assert_geq(neigh_output(n, skb, false), 0);
    rcu_read_unlock();
}
static void *header_reader(void *arg)
{
    while (!atomic_load(&stop))
        send_by(arg);
    return NULL;
}

Test(core_threads, a_cached_header_is_read_whole)
{
    struct neighbour *n;
    pthread_t r[2];

    dev.ops = &header_ops;
    memset(dev.dev_addr, 2, ETH_ALEN);
    cr_assert_eq(register_netdev(net, &dev), 0);
    rcu_read_lock();
    n = __neigh_create(net, htobe32(0x0a000002), &dev);
    rcu_read_unlock();
    cr_assert_eq(neigh_update(n, dev.dev_addr, NUD_PERMANENT, true), 0);
    send_by(n); /* the header is cached: from now on only hh_write() in this thread reads dev_addr */
    for (int i = 0; i < 2; i++)
        pthread_create(&r[i], NULL, header_reader, n);
    for (u32 i = 0; i < 100000 || atomic_load(&headers) < 20000; i++) {
        u8 ha[ETH_ALEN];

        memset(ha, (u8)(i * 4 + 2), ETH_ALEN);
        memcpy(dev.dev_addr, ha, ETH_ALEN);
        neigh_update(n, ha, NUD_PERMANENT, true);
    }
    atomic_store(&stop, true);
    for (int i = 0; i < 2; i++)
        pthread_join(r[i], NULL);
    cr_assert_eq(atomic_load(&torn), 0, "of %u headers", atomic_load(&headers));
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
