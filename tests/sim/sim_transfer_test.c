/* SPDX-License-Identifier: MIT */
/* Two hosts, one bad link, transfers both ways at once; everything from one seed. What must hold on every run:
 * the bytes read are the bytes written, in order and each once; the transfer makes progress; after it every
 * sk_buff, page, sock and timer came home.
 *
 * SIM_SEED=n runs that one scenario (and says what it is; SIM_TRACE=1: with every segment), SIM_COUNT=n as many per
 * test from SIM_FIRST on. */

#include "../../stack/core/rcu.h"
#include "../../stack/core/socket.h"
#include "../../stack/ipv4/tcp.h"
#include "../lib/simnet.h"
#include <criterion/criterion.h>
#include <fcntl.h>

#define SCENARIOS 50                     /* per test; eight tests */
#define STALL_LIMIT (600 * NSEC_PER_SEC) /* no byte moved for so long: no progress */
#define A_ADDR 0x0a000001u
#define B_ADDR 0x0a000002u

struct scenario {
    u64 seed, rng;
    struct link_config link;
    const char *ca[2];
    int timestamps, sack, wscale, sndbuf, rcvbuf, nodelay;
    u64 bytes[2]; /* sent by each end */
};

struct endpoint {
    struct sim *sim;
    struct socket *s;
    u64 to_send, sent, received, expected;
    bool fin_sent, eof;
    u32 seed; /* of what it sends */
};

static u64 roll(struct scenario *sc)
{
    u64 z = sc->rng += 0x9e3779b97f4a7c15ull;

    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
    return z ^ (z >> 31);
}
static u64 upto(struct scenario *sc, u64 n) { return roll(sc) % (n + 1); }
static bool one_in(struct scenario *sc, u32 n) { return roll(sc) % n == 0; }

/* Half of them uniform, half with a uniform exponent: small values are likelier. */
static u64 upto_log(struct scenario *sc, u64 max_value)
{
    if (one_in(sc, 2))
        return upto(sc, max_value);
    return upto(sc, max_value >> roll(sc) % (64 - (u64)__builtin_clzll(max_value | 1)));
}

static u8 pattern(u32 seed, u64 place) { return (u8)(((place + ((u64)seed << 32)) * 0x9e3779b97f4a7c15ull) >> 56); }

static struct scenario draw(u64 seed)
{
    static const char *const ca[] = { "cubic", "reno", "bbr" };
    static const u32 mtus[] = { 1500, 1500, 1500, 576, 1000, 9000 };
    struct scenario sc = { .seed = seed, .rng = seed * 0x5851f42d4c957f2dull + 1 };
    bool clean = one_in(&sc, 8);

    sc.link.seed = roll(&sc) | 1;
    sc.link.delay_ns = upto_log(&sc, 200 * NSEC_PER_MSEC);
    if (!one_in(&sc, 3))
        sc.link.rate_bps = 500000 + upto_log(&sc, 1000000000);
    sc.link.queue_packets = one_in(&sc, 3) ? 8 + (u32)upto(&sc, 60) : 0;
    if (!clean) {
        sc.link.loss_ppm = (u32)upto_log(&sc, 50000);
        sc.link.dup_ppm = one_in(&sc, 2) ? (u32)upto_log(&sc, 20000) : 0;
        sc.link.reorder_ppm = one_in(&sc, 2) ? (u32)upto_log(&sc, 100000) : 0;
        sc.link.reorder_delay_ns = upto_log(&sc, 50 * NSEC_PER_MSEC);
        sc.link.corrupt_ppm = one_in(&sc, 2) ? (u32)upto_log(&sc, 10000) : 0;
        if (one_in(&sc, 4)) {
            sc.link.burst_enter_ppm = (u32)upto_log(&sc, 2000);
            sc.link.burst_exit_ppm = 100000 + (u32)upto(&sc, 400000);
        }
    }
    sc.link.mtu = mtus[roll(&sc) % ARRAY_SIZE(mtus)];
    sc.link.features = one_in(&sc, 2) ? NETIF_F_SG | NETIF_F_HW_CSUM | NETIF_F_TSO | NETIF_F_NOWIRE | NETIF_F_GRO
                       : one_in(&sc, 2) ? NETIF_F_SG | NETIF_F_HW_CSUM | NETIF_F_GRO : 0;
    sc.ca[0] = ca[roll(&sc) % 3];
    sc.ca[1] = ca[roll(&sc) % 3];
    sc.timestamps = !one_in(&sc, 4);
    sc.sack = !one_in(&sc, 4);
    sc.wscale = !one_in(&sc, 4);
    sc.sndbuf = one_in(&sc, 3) ? 5000 + (int)upto(&sc, 60000) : 0;
    sc.rcvbuf = one_in(&sc, 3) ? 3000 + (int)upto(&sc, 60000) : 0;
    sc.nodelay = one_in(&sc, 3);
    sc.bytes[0] = upto_log(&sc, 1000000);
    sc.bytes[1] = upto_log(&sc, 1000000);
    return sc;
}

static void describe(const struct scenario *sc)
{
    const struct link_config *l = &sc->link;

    fprintf(stderr,
            "SIM_SEED=%llu: %llu and %llu bytes, %s/%s%s%s%s%s, sndbuf %d, rcvbuf %d; link %.3f Mbit/s, %.3f ms, queue %u, mtu %u, features 0x%x,\n"
            "  loss %u, dup %u, reorder %u (by %.3f ms), corrupt %u, burst %u/%u ppm\n",
            (unsigned long long)sc->seed, (unsigned long long)sc->bytes[0], (unsigned long long)sc->bytes[1], sc->ca[0], sc->ca[1],
            sc->timestamps ? " ts" : "", sc->sack ? " sack" : "", sc->wscale ? " wscale" : "", sc->nodelay ? " nodelay" : "", sc->sndbuf,
            sc->rcvbuf, (double)l->rate_bps / 1e6, (double)l->delay_ns / 1e6, l->queue_packets, l->mtu, l->features, l->loss_ppm,
            l->dup_ppm, l->reorder_ppm, (double)l->reorder_delay_ns / 1e6, l->corrupt_ppm, l->burst_enter_ppm, l->burst_exit_ppm);
}

#define must(cond, ...)                                                                                                \
    do {                                                                                                               \
        if (!(cond)) {                                                                                                 \
            describe(sc);                                                                                              \
            cr_assert_fail(__VA_ARGS__);                                                                               \
        }                                                                                                              \
    } while (0)

/* SIM_TRACE: what each end puts on the wire, before the link's dice. */
static void trace(void *arg, int end, const struct sk_buff *skb, u64 now)
{
    const struct tcphdr *th;
    const struct iphdr *ip = (const struct iphdr *)(skb->data + ETH_HLEN);
    u32 hlen;

    if (skb->protocol != htobe16(ETH_P_IP) || ip->protocol != IPPROTO_TCP)
        return;
    th = (const struct tcphdr *)((const u8 *)ip + ip->ihl * 4);
    hlen = ETH_HLEN + ip->ihl * 4u + th->doff * 4u;
    fprintf(stderr, "%10.6f %c %s%s%s%s%s seq %u:%u ack %u win %u", (double)now / NSEC_PER_SEC, "AB"[end], th->syn ? "S" : "",
            th->fin ? "F" : "", th->rst ? "R" : "", th->psh ? "P" : "", th->ack ? "." : "", be32toh(th->seq),
            be32toh(th->seq) + skb->len - hlen, be32toh(th->ack_seq), be16toh(th->window));
    for (u32 i = 20; i + 1 < th->doff * 4u; i += ((const u8 *)th)[i] == 1 ? 1 : ((const u8 *)th)[i + 1])
        if (((const u8 *)th)[i] == TCPOPT_SACK_)
            for (u32 k = 2; k < ((const u8 *)th)[i + 1]; k += 8) {
                u32 edge[2];
                memcpy(edge, (const u8 *)th + i + k, 8);
                fprintf(stderr, " {%u:%u}", be32toh(edge[0]), be32toh(edge[1]));
            }
        else if (!((const u8 *)th)[i])
            break;
    fprintf(stderr, "\n");
}

/* ---- the programs ----------------------------------------------------------------------------------------------- */

/* The event itself: the loop that drives the programs runs after it. */
static void wake_reader(void *arg) {}

/* Write and read as much as goes without blocking, in pieces of random size. True: something moved. */
static bool pump(struct scenario *sc, struct endpoint *e, struct net *net, u32 peer_seed)
{
    static u8 buf[65536];
    bool moved = false;
    ssize_t n;

    net_tick(net);
    while (e->sent < e->to_send) {
        size_t len = (size_t)min(e->to_send - e->sent, 1 + upto_log(sc, sizeof(buf) - 1));
        struct iovec iov = { buf, len };
        struct sk_msghdr msg = { .msg_flags = MSG_DONTWAIT | (one_in(sc, 10) ? MSG_MORE : 0) };

        for (size_t i = 0; i < len; i++)
            buf[i] = pattern(e->seed, e->sent + i);
        iov_iter_init(&msg.msg_iter, &iov, 1, len);
        n = sock_sendmsg(e->s, &msg);
        if (n == -EAGAIN)
            break;
        must(n > 0, "write: %s after %llu bytes", strerror((int)-n), (unsigned long long)e->sent);
        e->sent += (u64)n;
        moved = true;
    }
    if (e->sent == e->to_send && !e->fin_sent) {
        int err = e->s->ops->shutdown(e->s, SHUT_WR);
        must(!err, "shutdown: %s", strerror(-err));
        e->fin_sent = moved = true;
    }
    while (!e->eof) {
        size_t len = 1 + (size_t)upto_log(sc, sizeof(buf) - 1);
        struct iovec iov = { buf, len };
        struct sk_msghdr msg = { 0 };

        iov_iter_init(&msg.msg_iter, &iov, 1, len);
        n = sock_recvmsg(e->s, &msg, MSG_DONTWAIT);
        if (n == -EAGAIN)
            break;
        must(n >= 0, "read: %s after %llu bytes", strerror((int)-n), (unsigned long long)e->received);
        moved = true;
        if (!n) {
            e->eof = true;
            must(e->received == e->expected, "end of file after %llu of %llu bytes", (unsigned long long)e->received,
                 (unsigned long long)e->expected);
        }
        must(e->received + (u64)n <= e->expected, "more bytes arrived than were sent");
        for (ssize_t i = 0; i < n; i++)
            must(buf[i] == pattern(peer_seed, e->received + (u64)i), "byte %llu is wrong",
                 (unsigned long long)(e->received + (u64)i));
        e->received += (u64)n;
        if (one_in(sc, 20)) { /* a slow reader: it comes back later */
            sim_at(e->sim, e->sim->now + 1 + upto_log(sc, 20 * NSEC_PER_MSEC), wake_reader, NULL);
            break;
        }
    }
    return moved;
}

static void settings(const struct scenario *sc, struct net *net)
{
    net->ipv4.sysctl_tcp_timestamps = sc->timestamps;
    net->ipv4.sysctl_tcp_sack = sc->sack;
    net->ipv4.sysctl_tcp_window_scaling = sc->wscale;
    net->ipv4.sysctl_tcp_syn_retries = 12;
    net->ipv4.sysctl_tcp_synack_retries = 12;
    net->ipv4.sysctl_tcp_retries2 = 100; /* the link may be as bad as it is drawn: no giving up */
}

static struct socket *new_socket(const struct scenario *sc, struct net *net, int end)
{
    struct socket *s = NULL;
    int err = sock_create(net, AF_INET, SOCK_STREAM, 0, &s), on = 1;

    must(!err, "socket: %s", strerror(-err));
    err = s->ops->setsockopt(s, IPPROTO_TCP, TCP_CONGESTION, sc->ca[end], (socklen_t)strlen(sc->ca[end]));
    if (!err && sc->sndbuf)
        err = sock_setsockopt(s, SOL_SOCKET, SO_SNDBUF, &sc->sndbuf, sizeof(sc->sndbuf));
    if (!err && sc->rcvbuf)
        err = sock_setsockopt(s, SOL_SOCKET, SO_RCVBUF, &sc->rcvbuf, sizeof(sc->rcvbuf));
    if (!err && sc->nodelay)
        err = s->ops->setsockopt(s, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    must(!err, "setsockopt: %s", strerror(-err));
    return s;
}

static void run_scenario(const struct scenario *given)
{
    struct scenario copy = *given, *sc = &copy;
    struct sim *sim = sim_create(sc->seed + 1);
    struct net *na = sim_net(sim), *nb = sim_net(sim);
    struct memlink *link = sim_link(sim, na, nb, &sc->link);
    struct sockaddr_in addr = { .sin_family = AF_INET, .sin_port = htobe16(80) };
    struct endpoint a = { .sim = sim, .to_send = sc->bytes[0], .expected = sc->bytes[1], .seed = 1 };
    struct endpoint b = { .sim = sim, .to_send = sc->bytes[1], .expected = sc->bytes[0], .seed = 2 };
    struct socket *l;
    const char *left;
    u64 last;
    int err;

    memlink_dev(link, 0)->own_address = memlink_dev(link, 1)->own_address = true;
    if (getenv("SIM_TRACE"))
        memlink_set_tap(link, trace, NULL);
    dev_add_addr(memlink_dev(link, 0), htobe32(A_ADDR), 24);
    dev_add_addr(memlink_dev(link, 1), htobe32(B_ADDR), 24);
    settings(sc, na);
    settings(sc, nb);

    l = new_socket(sc, nb, 1);
    err = l->ops->bind(l, (struct sockaddr *)&addr, sizeof(addr));
    if (!err)
        err = l->ops->listen(l, 5);
    must(!err, "bind or listen: %s", strerror(-err));
    a.s = new_socket(sc, na, 0);
    addr.sin_addr.s_addr = htobe32(B_ADDR);
    for (int tries = 0; tries < 20; tries++) { /* ARP may fail on such a link: the program tries again */
        net_tick(na);
        err = a.s->ops->connect(a.s, (struct sockaddr *)&addr, sizeof(addr), 0);
        if (err != -EHOSTUNREACH && err != -ETIMEDOUT)
            break;
    }
    must(!err, "connect: %s", strerror(-err));
    b.s = sock_alloc(nb);
    b.s->type = l->type;
    b.s->ops = l->ops;
    net_tick(nb);
    err = l->ops->accept(l, b.s, 0);
    must(!err, "accept: %s", strerror(-err));
    sock_release(l);

    for (last = sim->now; !(a.eof && b.eof);) {
        bool moved = pump(sc, &a, na, b.seed);

        moved |= pump(sc, &b, nb, a.seed);
        if (moved)
            last = sim->now;
        must(sim->now - last < STALL_LIMIT, "no progress for %llu s: %llu of %llu and %llu of %llu bytes arrived",
             STALL_LIMIT / NSEC_PER_SEC, (unsigned long long)b.received, (unsigned long long)b.expected,
             (unsigned long long)a.received, (unsigned long long)a.expected);
        must(sim_step(sim) || (a.eof && b.eof), "nothing will happen any more: %llu of %llu and %llu of %llu bytes arrived",
             (unsigned long long)b.received, (unsigned long long)b.expected, (unsigned long long)a.received,
             (unsigned long long)a.expected);
    }
    if (getenv("SIM_SEED"))
        fprintf(stderr, "  done at %.3f s; %llu and %llu segments sent, %llu and %llu retransmitted, %llu and %llu time-outs\n",
                (double)sim->now / NSEC_PER_SEC, (unsigned long long)net_mib(na, TCP_MIB_OUTSEGS),
                (unsigned long long)net_mib(nb, TCP_MIB_OUTSEGS), (unsigned long long)net_mib(na, TCP_MIB_RETRANSSEGS),
                (unsigned long long)net_mib(nb, TCP_MIB_RETRANSSEGS), (unsigned long long)net_mib(na, LINUX_MIB_TCPTIMEOUTS),
                (unsigned long long)net_mib(nb, LINUX_MIB_TCPTIMEOUTS));
    net_tick(na);
    sock_release(a.s);
    sim_run_for(sim, upto_log(sc, NSEC_PER_SEC));
    sock_release(b.s);
    sim_run_idle(sim, 3600 * NSEC_PER_SEC);
    sim_not_home(na); /* forgets neighbours: what waits at a for one may be b's page */
    sim_not_home(nb);
    left = sim_not_home(na);
    must(!left, "at the client: %s", left);
    left = sim_not_home(nb);
    must(!left, "at the server: %s", left);
    must(!atomic_load(&na->tcp_memory_allocated) && !atomic_load(&nb->tcp_memory_allocated), "TCP memory stays charged");
    sim_destroy(sim);
}

static void run_range(int which)
{
    const char *one = getenv("SIM_SEED"), *count = getenv("SIM_COUNT"), *first = getenv("SIM_FIRST");
    u64 n = count ? strtoull(count, NULL, 0) : SCENARIOS, from = (first ? strtoull(first, NULL, 0) : 1) + (u64)which * n;

    inet_init();
    if (one) {
        struct scenario sc = draw(strtoull(one, NULL, 0));

        if (which)
            return;
        describe(&sc);
        run_scenario(&sc);
        return;
    }
    for (u64 seed = from; seed < from + n; seed++) {
        struct scenario sc = draw(seed);

        run_scenario(&sc);
    }
}

Test(sim_transfer, seeds_0) { run_range(0); }
Test(sim_transfer, seeds_1) { run_range(1); }
Test(sim_transfer, seeds_2) { run_range(2); }
Test(sim_transfer, seeds_3) { run_range(3); }
Test(sim_transfer, seeds_4) { run_range(4); }
Test(sim_transfer, seeds_5) { run_range(5); }
Test(sim_transfer, seeds_6) { run_range(6); }
Test(sim_transfer, seeds_7) { run_range(7); }
