/* SPDX-License-Identifier: MIT */
/* What TCP hands to the device: how large the packets are (tcp_tso_segs, tcp_cwnd_test), how many may be below it
 * (small queues), who owns them (tcp_wfree, sk_wmem_alloc). Seen by a tap on a link between two hosts. */

#include "../../stack/ipv4/tcp.h"
#include "../lib/simnet.h"
#include <arpa/inet.h>
#include <criterion/criterion.h>

static struct sim *sim;
static struct net *a, *b;
static struct memlink *wire;
static struct socket *listener, *client, *server;
static u8 data[1 << 20];

/* Data packets that the client's host put on the wire. */
static struct { u32 segs, priority, mark, hash; u64 when; } seen[4096];
static u32 nseen, nsegs, most_segs;
static s32 most_wmem;

static void look(void *arg, int end, const struct sk_buff *skb, u64 now)
{
    const struct skb_shared_info *si = skb_shinfo(skb);
    u32 segs = si->gso_size ? si->gso_segs : 1;

    if (end != 0 || skb->len < 200 || nseen == 4096)
        return;
    seen[nseen].segs = segs;
    seen[nseen].priority = skb->priority;
    seen[nseen].mark = skb->mark;
    seen[nseen].hash = skb->hash;
    seen[nseen++].when = now;
    nsegs += segs;
    most_segs = max(most_segs, segs);
    most_wmem = max(most_wmem, atomic_load(&client->sk->sk_wmem_alloc));
}

static void forget(void) { nseen = nsegs = most_segs = 0, most_wmem = 0; }

static void host(int end, const char *addr)
{
    struct net_device *dev = memlink_dev(wire, end);

    dev->own_address = true;
    dev_add_addr(dev, inet_addr(addr), 24);
    fib_add_route(dev->net, inet_addr("10.0.0.0"), 24, 0, dev->ifindex, 0, 0);
}

static void join(struct link_config cfg)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(80), .sin_addr.s_addr = inet_addr("10.0.0.2")};

    cfg.features = NETIF_F_SG | NETIF_F_HW_CSUM | NETIF_F_TSO;
    wire = sim_link(sim, a, b, &cfg);
    host(0, "10.0.0.1");
    host(1, "10.0.0.2");
    cr_assert_eq(sock_create(b, AF_INET, SOCK_STREAM, 0, &listener), 0);
    cr_assert_eq(listener->ops->bind(listener, (struct sockaddr *)&to, sizeof(to)), 0);
    cr_assert_eq(listener->ops->listen(listener, 5), 0);
    cr_assert_eq(sock_create(a, AF_INET, SOCK_STREAM, 0, &client), 0);
    cr_assert_eq(client->ops->connect(client, (struct sockaddr *)&to, sizeof(to), 0), 0);
    server = sock_alloc(b);
    cr_assert_eq(listener->ops->accept(listener, server, 0), 0);
    memlink_set_tap(wire, look, NULL);
    forget();
}

static void set_up(void)
{
    inet_init();
    sim = sim_create(3);
    a = sim_net(sim);
    b = sim_net(sim);
    a->ipv4.sysctl_tcp_wmem[1] = 4 << 20;
    b->ipv4.sysctl_tcp_rmem[1] = 4 << 20;
}

static void tear_down(void)
{
    sock_release(client);
    sock_release(server);
    sock_release(listener);
    sim_run_idle(sim, 600 * NSEC_PER_SEC);
    sim_assert_home(a);
    sim_assert_home(b);
    sim_destroy(sim);
}

TestSuite(tcp_xmit, .init = set_up, .fini = tear_down);

static ssize_t send_bytes(size_t len)
{
    struct iovec iov = {data, len};
    struct sk_msghdr msg = {.msg_flags = MSG_DONTWAIT};

    iov_iter_init(&msg.msg_iter, &iov, 1, len);
    net_tick(a);
    return sock_sendmsg(client, &msg);
}

/* Let n bytes arrive; what is received is thrown away. */
static void pass(size_t n)
{
    size_t sent = 0, got = 0;

    while (got < n) {
        struct iovec iov = {data, sizeof(data)};
        struct sk_msghdr msg = {0};
        ssize_t r = sent < n ? send_bytes(min(n - sent, sizeof(data))) : 0;

        sent += r > 0 ? (size_t)r : 0;
        iov_iter_init(&msg.msg_iter, &iov, 1, sizeof(data));
        net_tick(b);
        r = sock_recvmsg(server, &msg, MSG_DONTWAIT);
        got += r > 0 ? (size_t)r : 0;
        if (r <= 0)
            cr_assert(sim_step(sim), "stuck at %zu of %zu", got, n);
    }
}

/* ---- how large ------------------------------------------------------------------------------------------------------- */

Test(tcp_xmit, initial_window_leaves_in_two_halves)
{
    join((struct link_config){.delay_ns = 50 * NSEC_PER_USEC}); /* near: tcp_tso_segs is no limit */
    send_bytes(100000);
    cr_assert_eq(nseen, 2); /* so that an ACK comes while the other half is still under way */
    cr_assert_eq(seen[0].segs, 5);
    cr_assert_eq(seen[1].segs, 5);
}

Test(tcp_xmit, packets_are_no_longer_than_the_device_takes)
{
    struct link_config cfg = {.delay_ns = NSEC_PER_MSEC};

    join(cfg);
    client->sk->sk_gso_max_segs = 3;
    pass(1 << 20);
    cr_assert_eq(most_segs, 3);
}

static u32 paced(u64 delay_ns)
{
    u32 rate = 5000000; /* bytes/s: 5 KB in a millisecond, 3 segments */

    join((struct link_config){.delay_ns = delay_ns});
    cr_assert_eq(sock_setsockopt(client, SOL_SOCKET, SO_MAX_PACING_RATE, &rate, sizeof(rate)), 0);
    pass(200000);
    forget();
    pass(1 << 20);
    return most_segs;
}
Test(tcp_xmit, paced_far_peer_gets_a_millisecond_at_once) { cr_assert_eq(paced(20 * NSEC_PER_MSEC), 3); }
Test(tcp_xmit, paced_near_peer_gets_more_at_once) { cr_assert_gt(paced(50 * NSEC_PER_USEC), 6); }

/* ---- small queues, ownership --------------------------------------------------------------------------------------------- */

static void slow_device(void)
{
    a->ipv4.sysctl_tcp_limit_output_bytes = 3000;
    join((struct link_config){.delay_ns = 100 * NSEC_PER_MSEC, .rate_bps = 10000000});
    client->sk->sk_gso_max_segs = 2;
}

Test(tcp_xmit, small_queue_holds_two_packets_back_and_completions_let_the_rest_go)
{
    slow_device();
    send_bytes(10 * 1448);
    cr_assert_eq(nsegs, 4); /* the limit is reached with the first; a second one, because the first may end unseen */
    cr_assert_gt(atomic_load(&client->sk->sk_wmem_alloc), 4 * 1448);
    sim_run_for(sim, 50 * NSEC_PER_MSEC); /* no ACK can have come */
    cr_assert_eq(nsegs, 10);
    cr_assert_eq(tcp_sk(client->sk)->packets_out, 10);
    for (u32 i = 2; i < nseen; i++) /* one goes when one has left */
        cr_assert_geq(seen[i].when - seen[i - 1].when, i < 3 ? 0 : 2 * NSEC_PER_MSEC);
    sim_run_for(sim, NSEC_PER_SEC);
}

Test(tcp_xmit, small_queue_bounds_what_is_below_while_much_is_sent)
{
    slow_device();
    pass(1 << 20);
    cr_assert_lt(most_wmem, 4 * 2 * 2048);
    sim_run_for(sim, NSEC_PER_SEC);
    cr_assert_eq(atomic_load(&client->sk->sk_wmem_alloc), 1); /* all came home by tcp_wfree */
}

Test(tcp_xmit, retransmission_leaves_the_copy_under_way_alone)
{
    join((struct link_config){.delay_ns = 400 * NSEC_PER_MSEC, .rate_bps = 1000000000});
    sim_run_for(sim, 5 * NSEC_PER_SEC);
    a->ipv4.sysctl_tcp_early_retrans = 0;
    inet_csk(client->sk)->icsk_rto = 100 * NSEC_PER_MSEC; /* sooner than an ACK can come */
    send_bytes(1000);
    sim_run_for(sim, 300 * NSEC_PER_MSEC);
    cr_assert_geq(nseen, 2);
    sim_run_for(sim, 200 * NSEC_PER_MSEC);
    /* The first copy arrived with its own time stamp: the echo tells when it left. */
    cr_assert_eq(tcp_sk(server->sk)->rx_opt.ts_recent - tcp_sk(client->sk)->tsoffset, (u32)(seen[0].when / NSEC_PER_MSEC));
    sim_run_for(sim, 5 * NSEC_PER_SEC);
}

Test(tcp_xmit, packet_has_the_sockets_priority_mark_and_hash)
{
    int prio = 5;

    join((struct link_config){.delay_ns = NSEC_PER_MSEC});
    cr_assert_eq(sock_setsockopt(client, SOL_SOCKET, SO_PRIORITY, &prio, sizeof(prio)), 0);
    client->sk->sk_mark = 77; /* SO_MARK is the twin's to allow */
    send_bytes(1000);
    cr_assert_eq(nseen, 1);
    cr_assert_eq(seen[0].priority, 5);
    cr_assert_eq(seen[0].mark, 77);
    cr_assert_eq(seen[0].hash, client->sk->sk_txhash);
    cr_assert_neq(seen[0].hash, 0);
}
