/* SPDX-License-Identifier: MIT */
/* The whole stack under several threads, as in a live program: threads that share a socket, that accept from one listener,
 * that open and close connections, while others poll the devices and run the timers. Two nets, joined by a pair of
 * devices whose queues any thread may fill and one at a time empties. Real time; every wait is bounded. */

#include "../../stack/core/neighbour.h"
#include "../../stack/core/netdevice.h"
#include "../../stack/core/rcu.h"
#include "../../stack/ipv4/tcp.h"
#include "../lib/tinytest.h"
#include <fcntl.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <time.h>

#define CLIENT 0
#define SERVER 1
#define ADDR(end) htobe32(0x0a000001u + (u32)(end))

/* ---- the nets' outside ------------------------------------------------------------------------------------------------ */

static u64 real_clock(struct net *net)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (u64)t.tv_sec * NSEC_PER_SEC + (u64)t.tv_nsec;
}

static u64 op_random(struct net *net)
{
    static _Atomic u64 state = 1;
    u64 z = atomic_fetch_add(&state, 0x9e3779b97f4a7c15ull);

    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
    z = (z ^ z >> 27) * 0x94d049bb133111ebull;
    return z ^ z >> 31;
}

static struct waiter *op_waiter(struct net *net)
{
    static _Thread_local struct waiter w;

    w.net = net;
    return &w;
}

static pthread_mutex_t sleep_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t sleep_cond = PTHREAD_COND_INITIALIZER;

/* As a waiting thread of a program does: polls once itself, then sleeps a little (a poller is there too). */
static int op_wait(struct net *net, struct waiter *w, u64 deadline)
{
    while (!atomic_load(&w->woken) && net_tick(net) < deadline) {
        struct timespec t;

        if (net_poll(net, 16))
            continue;
        clock_gettime(CLOCK_REALTIME, &t);
        t.tv_nsec += NSEC_PER_MSEC;
        if (t.tv_nsec >= (long)NSEC_PER_SEC) {
            t.tv_nsec -= (long)NSEC_PER_SEC;
            t.tv_sec++;
        }
        pthread_mutex_lock(&sleep_lock);
        if (!atomic_load(&w->woken))
            pthread_cond_timedwait(&sleep_cond, &sleep_lock, &t);
        pthread_mutex_unlock(&sleep_lock);
    }
    return 0;
}

static void op_wake(struct net *net, struct waiter *w)
{
    pthread_mutex_lock(&sleep_lock);
    pthread_cond_broadcast(&sleep_cond);
    pthread_mutex_unlock(&sleep_lock);
}

static void op_timer_armed(struct net *net, u64 expires) {}
static void op_log(struct net *net, int level, const char *text) {}
static const struct net_ops ops = {.clock_ns = real_clock, .random = op_random, .current_waiter = op_waiter, .wait = op_wait,
                                   .wake = op_wake, .timer_armed = op_timer_armed, .log = op_log};

/* ---- the wire ------------------------------------------------------------------------------------------------------------ */

#define RING 256
struct pipe_end {
    struct net_device dev;
    pthread_mutex_t lock; /* ring */
    pthread_mutex_t poll; /* one poller at a time */
    struct { u32 len; u8 data[1600]; } ring[RING];
    u32 head, tail;
};
static struct pipe_end *ends[2];
static struct net *nets[2];
static struct page_pool *pools[2];
static _Atomic bool stop;
static pthread_t pollers[2];

static netdev_tx_t pipe_xmit(struct sk_buff *skb, struct net_device *dev)
{
    struct pipe_end *peer = ends[dev == &ends[0]->dev];
    bool full;

    pthread_mutex_lock(&peer->lock);
    full = peer->tail - peer->head == RING || skb->len > 1600;
    if (!full) {
        peer->ring[peer->tail % RING].len = skb->len;
        skb_copy_bits(skb, 0, peer->ring[peer->tail % RING].data, skb->len);
        peer->tail++;
    }
    pthread_mutex_unlock(&peer->lock);
    if (full) /* a lost frame: TCP's business */
        kfree_skb_reason(skb, SKB_DROP_REASON_QDISC_DROP);
    else
        consume_skb(skb);
    return NETDEV_TX_OK;
}

static int pipe_poll(struct net_device *dev, int budget)
{
    struct pipe_end *e = dev->priv;
    int n = 0;

    if (pthread_mutex_trylock(&e->poll))
        return 0;
    for (; n < budget; n++) {
        struct sk_buff *skb;

        pthread_mutex_lock(&e->lock);
        if (e->head == e->tail) {
            pthread_mutex_unlock(&e->lock);
            break;
        }
        skb = alloc_skb(dev->net, e->ring[e->head % RING].len);
        memcpy(skb_put(skb, e->ring[e->head % RING].len), e->ring[e->head % RING].data, e->ring[e->head % RING].len);
        e->head++;
        pthread_mutex_unlock(&e->lock);
        skb->dev = dev;
        netif_receive_skb(skb);
    }
    napi_complete(dev);
    pthread_mutex_unlock(&e->poll);
    return n;
}
static const struct net_device_ops pipe_ops = {.ndo_start_xmit = pipe_xmit, .ndo_poll = pipe_poll};

static void *poller(void *arg)
{
    struct net *net = arg;

    while (!atomic_load(&stop)) {
        net_tick(net);
        if (!net_poll(net, 64))
            sched_yield();
    }
    return NULL;
}

/* ---- fixture ----------------------------------------------------------------------------------------------------------------- */

static void make_end(int i)
{
    struct pipe_end *e = ends[i] = calloc(1, sizeof(*e));
    struct net *net = nets[i] = net_alloc(&ops, NULL);

    pthread_mutex_init(&e->lock, NULL);
    pthread_mutex_init(&e->poll, NULL);
    pools[i] = page_pool_heap_create(1460, 256, 0);
    net->tx_pool = pools[i];
    net->ipv4.sysctl_tcp_fin_timeout = 1;
    snprintf(e->dev.name, sizeof(e->dev.name), "pipe%d", i);
    e->dev.ifindex = 1 + i;
    e->dev.mtu = 1500;
    e->dev.flags = IFF_UP | IFF_RUNNING;
    e->dev.features = NETIF_F_SG | NETIF_F_GRO;
    e->dev.ops = &pipe_ops;
    e->dev.priv = e;
    e->dev.own_address = true;
    e->dev.dev_addr[0] = 2;
    e->dev.dev_addr[5] = (u8)(1 + i);
    cr_assert_eq(register_netdev(net, &e->dev), 0);
    cr_assert_eq(dev_add_addr(&e->dev, ADDR(i), 24), 0);
}

static void setup(void)
{
    inet_init();
    make_end(CLIENT);
    make_end(SERVER);
    for (int i = 0; i < 2; i++)
        pthread_create(&pollers[i], NULL, poller, nets[i]);
}

static void teardown(void)
{
    atomic_store(&stop, true);
    for (int i = 0; i < 2; i++)
        pthread_join(pollers[i], NULL);
    for (int i = 0; i < 2; i++) {
        unregister_netdev(&ends[i]->dev);
        while (net_rcu_barrier(nets[i]))
            ;
        inet_net_exit(nets[i]);
        while (net_rcu_barrier(nets[i]))
            ;
        cr_assert_eq(atomic_load(&nets[i]->skb_count), 0, "net %d: %lld sk_buffs did not come home", i, (long long)nets[i]->skb_count);
        cr_assert_eq(atomic_load(&nets[i]->sock_count), 0, "net %d: %lld socks did not come home", i, (long long)nets[i]->sock_count);
        net_free(nets[i]);
        cr_assert_eq(atomic_load(&pools[i]->outstanding), 0, "net %d: pages did not come home", i);
        page_pool_heap_destroy(pools[i]);
        free(ends[i]);
    }
}
TestSuite(stack_threads, .init = setup, .fini = teardown);

/* ---- the program's calls ---------------------------------------------------------------------------------------------------------- */

static struct socket *make_socket(int end)
{
    struct timeval limit = {.tv_sec = 20};
    struct socket *s;

    net_tick(nets[end]);
    cr_assert_eq(sock_create(nets[end], AF_INET, SOCK_STREAM, 0, &s), 0);
    s->ops->setsockopt(s, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
    s->ops->setsockopt(s, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
    return s;
}

static struct socket *serve(u16 port)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htobe16(port)};
    struct socket *s = make_socket(SERVER);
    int one = 1;

    s->ops->setsockopt(s, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
    cr_assert_eq(s->ops->bind(s, (struct sockaddr *)&a, sizeof(a)), 0);
    cr_assert_eq(s->ops->listen(s, 64), 0);
    return s;
}

static struct socket *dial(u16 port)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htobe16(port), .sin_addr.s_addr = ADDR(SERVER)};
    struct socket *s = make_socket(CLIENT);
    int err = s->ops->connect(s, (struct sockaddr *)&a, sizeof(a), 0);

    if (!err)
        return s;
    sock_release(s);
    return NULL;
}

static struct socket *answer(struct socket *l)
{
    struct socket *s = sock_alloc(nets[SERVER]);

    s->type = l->type;
    s->ops = l->ops;
    if (!l->ops->accept(l, s, 0))
        return s;
    sock_release(s);
    return NULL;
}

static ssize_t put(struct socket *s, const void *p, size_t len, int flags)
{
    struct iovec iov = {.iov_base = (void *)p, .iov_len = len};
    struct sk_msghdr msg = {.msg_flags = (unsigned)flags};

    net_tick(s->net);
    iov_iter_init(&msg.msg_iter, &iov, 1, len);
    return sock_sendmsg(s, &msg);
}

static ssize_t get(struct socket *s, void *p, size_t len, int flags)
{
    struct iovec iov = {.iov_base = p, .iov_len = len};
    struct sk_msghdr msg = {0};

    net_tick(s->net);
    iov_iter_init(&msg.msg_iter, &iov, 1, len);
    return sock_recvmsg(s, &msg, flags);
}

static void pair(struct socket **c, struct socket **s)
{
    struct socket *l = serve(80);

    *c = dial(80);
    cr_assert_not_null(*c);
    *s = answer(l);
    cr_assert_not_null(*s);
    sock_release(l);
}

/* ---- several threads, one socket ------------------------------------------------------------------------------------------------------ */

#define WRITERS 3
#define CHUNK 1000
#define CHUNKS 150
static struct socket *left, *right;
static _Atomic u64 received, sum_sent, sum_got;

static void *writer(void *arg)
{
    u8 buf[CHUNK];
    u64 sum = 0;

    for (int i = 0; i < CHUNKS; i++) {
        size_t done = 0;

        for (int k = 0; k < CHUNK; k++)
            sum += buf[k] = (u8)(i * 31 + k + (int)(uintptr_t)arg * 7);
        while (done < CHUNK) {
            ssize_t n = put(left, buf + done, CHUNK - done, i % 3 ? 0 : MSG_MORE);
            cr_assert_gt(n, 0);
            done += (size_t)n;
        }
    }
    atomic_fetch_add(&sum_sent, sum);
    return NULL;
}

static void *reader(void *arg)
{
    u8 buf[3000];
    ssize_t n;
    u64 sum = 0;

    while ((n = get(right, buf, sizeof(buf), 0)) > 0) {
        for (ssize_t k = 0; k < n; k++)
            sum += buf[k];
        atomic_fetch_add(&received, (u64)n);
    }
    cr_assert_eq(n, 0);
    atomic_fetch_add(&sum_got, sum);
    return NULL;
}

static _Atomic bool done_looking;

/* Looks at both sockets in every way that takes no part in the transfer. */
static void *looker(void *arg)
{
    while (!atomic_load(&done_looking)) {
        struct socket *both[] = {left, right};

        for (int i = 0; i < 2; i++) {
            struct sockaddr_in a;
            struct tcp_info info;
            socklen_t len = sizeof(info), alen = sizeof(a);
            int v = 1, inq;

            both[i]->ops->getsockopt(both[i], IPPROTO_TCP, TCP_INFO, &info, &len);
            both[i]->ops->getname(both[i], (struct sockaddr *)&a, &alen, i);
            both[i]->ops->poll(both[i], NULL);
            both[i]->ops->ioctl(both[i], i ? FIONREAD : SIOCOUTQ, &inq);
            both[i]->ops->setsockopt(both[i], IPPROTO_TCP, TCP_NODELAY, &v, sizeof(v));
            both[i]->ops->setsockopt(both[i], IPPROTO_TCP, TCP_QUICKACK, &v, sizeof(v));
            both[i]->ops->setsockopt(both[i], SOL_SOCKET, SO_KEEPALIVE, &v, sizeof(v));
        }
        sched_yield();
    }
    return NULL;
}

Test(stack_threads, several_threads_read_and_write_one_connection)
{
    pthread_t w[WRITERS], r[2], look;

    pair(&left, &right);
    for (int i = 0; i < 2; i++)
        pthread_create(&r[i], NULL, reader, NULL);
    pthread_create(&look, NULL, looker, NULL);
    for (int i = 0; i < WRITERS; i++)
        pthread_create(&w[i], NULL, writer, (void *)(uintptr_t)i);
    for (int i = 0; i < WRITERS; i++)
        pthread_join(w[i], NULL);
    cr_assert_eq(left->ops->shutdown(left, SHUT_WR), 0);
    for (int i = 0; i < 2; i++)
        pthread_join(r[i], NULL);
    atomic_store(&done_looking, true);
    pthread_join(look, NULL);
    cr_assert_eq(received, WRITERS * CHUNK * CHUNKS);
    cr_assert_eq(sum_sent, sum_got);
    sock_release(right);
    sock_release(left);
}

static void *talker(void *arg)
{
    struct socket *s = arg;
    static const u8 buf[5000];
    ssize_t n;

    do
        n = put(s, buf, sizeof(buf), MSG_NOSIGNAL);
    while (n > 0);
    cr_assert(n == -EPIPE || n == -ECONNRESET, "a writer ends with EPIPE or ECONNRESET");
    return NULL;
}

static void *listener_of(void *arg)
{
    u8 buf[2000];
    ssize_t n;

    while ((n = get(arg, buf, sizeof(buf), 0)) > 0)
        ;
    cr_assert(n == 0 || n == -ECONNRESET, "a reader ends with 0 or ECONNRESET");
    return NULL;
}

Test(stack_threads, shutdown_ends_the_readers_and_writers_of_both_sides)
{
    for (int round = 0; round < 6; round++) {
        pthread_t t[8];

        pair(&left, &right);
        for (int i = 0; i < 8; i++)
            pthread_create(&t[i], NULL, i & 1 ? talker : listener_of, i & 2 ? left : right);
        for (int i = 0; i < round * 20; i++)
            sched_yield();
        cr_assert_eq(left->ops->shutdown(left, SHUT_RDWR), 0);
        right->ops->shutdown(right, SHUT_RDWR);
        for (int i = 0; i < 8; i++)
            pthread_join(t[i], NULL);
        sock_release(left);
        sock_release(right);
    }
}

/* ---- many connections ------------------------------------------------------------------------------------------------------------------- */

#define DIALERS 3
#define ACCEPTORS 3
#define CALLS 25
static struct socket *service;
static _Atomic u32 answered, reset_by_us;

static void *acceptor(void *arg)
{
    struct socket *s;

    while (atomic_fetch_add(&answered, 1) < DIALERS * CALLS) {
        u8 buf[300];
        ssize_t n, all = 0;

        s = answer(service);
        cr_assert_not_null(s);
        while (all < 200 && (n = get(s, buf, sizeof(buf), 0)) > 0)
            all += n;
        if (all >= 200)
            put(s, buf, 100, MSG_NOSIGNAL);
        sock_release(s);
    }
    return NULL;
}

static void *dialer(void *arg)
{
    u8 buf[200] = {0};

    for (int i = 0; i < CALLS; i++) {
        struct linger l = {.l_onoff = 1};
        struct socket *s = dial(80);
        ssize_t n, all = 0;

        cr_assert_not_null(s);
        cr_assert_eq(put(s, buf, 100, 0), 100);
        cr_assert_eq(put(s, buf, 100, 0), 100);
        if (i % 5 == 4) { /* gone with a reset */
            s->ops->setsockopt(s, SOL_SOCKET, SO_LINGER, &l, sizeof(l));
            atomic_fetch_add(&reset_by_us, 1);
        } else {
            while ((n = get(s, buf, sizeof(buf), 0)) > 0)
                all += n;
            cr_assert_eq(all, 100);
        }
        sock_release(s);
    }
    return NULL;
}

Test(stack_threads, connections_come_and_go_at_several_acceptors)
{
    pthread_t a[ACCEPTORS], d[DIALERS];

    service = serve(80);
    for (int i = 0; i < ACCEPTORS; i++)
        pthread_create(&a[i], NULL, acceptor, NULL);
    for (int i = 0; i < DIALERS; i++)
        pthread_create(&d[i], NULL, dialer, NULL);
    for (int i = 0; i < DIALERS; i++)
        pthread_join(d[i], NULL);
    for (int i = 0; i < ACCEPTORS; i++)
        pthread_join(a[i], NULL);
    sock_release(service);
}

/* Listeners close with connections in every stage of their opening. */
static void *opener(void *arg)
{
    for (int i = 0; i < 40; i++) {
        struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htobe16(80), .sin_addr.s_addr = ADDR(SERVER)};
        struct socket *s = make_socket(CLIENT);

        s->ops->connect(s, (struct sockaddr *)&a, sizeof(a), O_NONBLOCK);
        for (int k = 0; k < i % 7; k++)
            sched_yield();
        put(s, "x", 1, MSG_DONTWAIT | MSG_NOSIGNAL);
        sock_release(s);
    }
    return NULL;
}

Test(stack_threads, listeners_close_while_others_connect)
{
    pthread_t o[3];

    for (int i = 0; i < 3; i++)
        pthread_create(&o[i], NULL, opener, NULL);
    for (int i = 0; i < 30; i++) {
        struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htobe16(80)};
        struct socket *l = make_socket(SERVER), *s = sock_alloc(nets[SERVER]);
        int one = 1;

        l->ops->setsockopt(l, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
        if (!l->ops->bind(l, (struct sockaddr *)&a, sizeof(a)) && !l->ops->listen(l, 2)) {
            for (int k = 0; k < 10; k++)
                sched_yield();
            s->type = l->type;
            s->ops = l->ops;
            l->ops->accept(l, s, O_NONBLOCK);
        }
        sock_release(s);
        sock_release(l);
    }
    for (int i = 0; i < 3; i++)
        pthread_join(o[i], NULL);
}

/* Routes, addresses and neighbours change under the traffic. */
static void *changer(void *arg)
{
    while (!atomic_load(&done_looking)) {
        for (int i = 0; i < 2; i++) {
            dev_add_addr(&ends[i]->dev, htobe32(0x0a000101u), 24);
            dev_set_mtu(&ends[i]->dev, 1400);
            neigh_flush_dev(&ends[i]->dev);
            dev_del_addr(&ends[i]->dev, htobe32(0x0a000101u));
            dev_set_mtu(&ends[i]->dev, 1500);
        }
        usleep(2000);
    }
    return NULL;
}

Test(stack_threads, routes_and_neighbours_change_under_traffic)
{
    pthread_t w, r, c;

    pair(&left, &right);
    pthread_create(&c, NULL, changer, NULL);
    pthread_create(&r, NULL, reader, NULL);
    pthread_create(&w, NULL, writer, NULL);
    pthread_join(w, NULL);
    cr_assert_eq(left->ops->shutdown(left, SHUT_WR), 0);
    pthread_join(r, NULL);
    atomic_store(&done_looking, true);
    pthread_join(c, NULL);
    cr_assert_eq(sum_sent, sum_got);
    sock_release(right);
    sock_release(left);
}
