/* SPDX-License-Identifier: MIT */
/* Ports and tables: bind()'s rules, connect()'s choice, who gets a segment, TIME-WAIT's place, listeners,
 * v4-mapped names, the states of inet_stream_ops, SOL_IP. */
#include "../lib/ipnet.h"
#include "../../stack/core/rcu.h"
#include "../../stack/ipv4/inet_hashtables.h"
#include <criterion/criterion.h>
#include <fcntl.h>
#include <pthread.h>

#ifndef IP_LOCAL_PORT_RANGE
#define IP_LOCAL_PORT_RANGE 51
#endif

#define ANY 0u
#define ME IPNET_MYIP
#define ME2 (IPNET_MYIP + 2)

static struct ipnet *setup(void)
{
    struct ipnet *n = ipnet_new();

    dev_add_addr(&n->dev, htobe32(ME2), 24);
    return n;
}

static struct socket *mk(struct ipnet *n, int family)
{
    struct socket *s;

    cr_assert_eq(sock_create(n->net, family, SOCK_STREAM, 0, &s), 0);
    return s;
}

static int do_bind(struct socket *s, u32 addr, u16 port)
{
    struct sockaddr_in sin = {.sin_family = AF_INET, .sin_port = htobe16(port), .sin_addr.s_addr = htobe32(addr)};

    return s->ops->bind(s, (struct sockaddr *)&sin, sizeof(sin));
}

static u16 port_of(struct socket *s)
{
    struct sockaddr_in sin;
    socklen_t len = sizeof(sin);

    cr_assert_eq(s->ops->getname(s, (struct sockaddr *)&sin, &len, 0), 0);
    return be16toh(sin.sin_port);
}

/* ---- socket() ------------------------------------------------------------------------------------------------------ */

Test(ipv4_sock, create)
{
    struct ipnet *n = setup();
    struct socket *s;

    cr_expect_eq(sock_create(n->net, AF_INET, SOCK_DGRAM, 0, &s), -ESOCKTNOSUPPORT);
    cr_expect_eq(sock_create(n->net, AF_INET, SOCK_STREAM, IPPROTO_UDP, &s), -EPROTONOSUPPORT);
    cr_expect_eq(sock_create(n->net, AF_UNIX, SOCK_STREAM, 0, &s), -EAFNOSUPPORT);
    cr_assert_eq(sock_create(n->net, AF_INET6, SOCK_STREAM, IPPROTO_TCP, &s), 0);
    cr_expect_eq(s->ops->family, AF_INET6);
    sock_release(s);
    ipnet_free(n);
}

/* ---- bind() -------------------------------------------------------------------------------------------------------- */

struct one { u32 addr; u8 reuse, reuseport; bool listen; };
struct bind_case {
    const char *what;
    struct one a, b;
    int bind_err, listen_err; /* of b */
};

Test(ipv4_bind, table)
{
    static const struct bind_case c[] = {
        {"same address", {ME, 0, 0, false}, {ME, 0, 0, true}, -EADDRINUSE, 0},
        {"any and one", {ANY, 0, 0, false}, {ME, 0, 0, true}, -EADDRINUSE, 0},
        {"one and any", {ME, 0, 0, false}, {ANY, 0, 0, true}, -EADDRINUSE, 0},
        {"two addresses", {ME, 0, 0, true}, {ME2, 0, 0, true}, 0, 0},
        {"reuse on the first only", {ME, 1, 0, false}, {ME, 0, 0, true}, -EADDRINUSE, 0},
        {"reuse on the second only", {ME, 0, 0, false}, {ME, 1, 0, true}, -EADDRINUSE, 0},
        {"reuse on both, the first idle", {ME, 1, 0, false}, {ME, 1, 0, true}, 0, 0},
        {"reuse on both, the first listens", {ME, 1, 0, true}, {ME, 1, 0, true}, -EADDRINUSE, 0},
        {"reuse, any listens", {ANY, 1, 0, true}, {ME, 1, 0, true}, -EADDRINUSE, 0},
        {"reuseport on both, listening", {ME, 0, 1, true}, {ME, 0, 1, true}, 0, 0},
        {"reuseport on one", {ME, 0, 1, true}, {ME, 0, 0, true}, -EADDRINUSE, 0},
        {"reuseport on both, any and one", {ANY, 0, 1, true}, {ME, 0, 1, true}, 0, 0},
        {"reuse here, reuseport there", {ME, 1, 0, false}, {ME, 0, 1, true}, -EADDRINUSE, 0},
        {"both kinds on both", {ME, 1, 1, true}, {ME, 1, 1, true}, 0, 0},
        {"forced", {ME, 0, 0, true}, {ME, SK_FORCE_REUSE, 0, false}, 0, 0},
        {"after a forced one", {ME, SK_FORCE_REUSE, 0, false}, {ME, 0, 0, true}, 0, 0},
    };
    struct ipnet *n = setup();

    for (u32 i = 0; i < ARRAY_SIZE(c); i++) {
        struct socket *s[2];

        for (int k = 0; k < 2; k++) {
            const struct one *o = k ? &c[i].b : &c[i].a;
            int err;

            s[k] = mk(n, AF_INET);
            s[k]->sk->sk_reuse = o->reuse & 3;
            s[k]->sk->sk_reuseport = o->reuseport & 1;
            err = do_bind(s[k], o->addr, 7000);
            cr_expect_eq(err, k ? c[i].bind_err : 0, "%s: bind says %d", c[i].what, err);
            if (!err && o->listen) {
                err = s[k]->ops->listen(s[k], 5);
                cr_expect_eq(err, k ? c[i].listen_err : 0, "%s: listen says %d", c[i].what, err);
            }
        }
        sock_release(s[0]);
        sock_release(s[1]);
    }
    ipnet_free(n);
}

/* Two may bind with SO_REUSEADDR; only one may listen. */
Test(ipv4_bind, the_second_listen_fails)
{
    struct ipnet *n = setup();
    struct socket *a = mk(n, AF_INET), *b = mk(n, AF_INET);

    a->sk->sk_reuse = b->sk->sk_reuse = SK_CAN_REUSE;
    cr_assert_eq(do_bind(a, ME, 80), 0);
    cr_assert_eq(do_bind(b, ME, 80), 0);
    cr_assert_eq(a->ops->listen(a, 5), 0);
    cr_assert_eq(b->ops->listen(b, 5), -EADDRINUSE);
    cr_expect_eq(n->listeners, 1);
    sock_release(a);
    cr_assert_eq(b->ops->listen(b, 5), 0);
    sock_release(b);
    ipnet_free(n);
}

Test(ipv4_bind, devices_keep_apart)
{
    struct ipnet *n = setup();
    struct socket *a = mk(n, AF_INET), *b = mk(n, AF_INET), *c = mk(n, AF_INET);

    a->sk->sk_bound_dev_if = 7;
    b->sk->sk_bound_dev_if = 8;
    cr_expect_eq(do_bind(a, ANY, 80), 0);
    cr_expect_eq(do_bind(b, ANY, 80), 0);
    cr_expect_eq(do_bind(c, ANY, 80), -EADDRINUSE);
    sock_release(a), sock_release(b), sock_release(c);
    ipnet_free(n);
}

Test(ipv4_bind, errors)
{
    struct sockaddr_in sin = {.sin_family = AF_UNSPEC};
    struct ipnet *n = setup();
    struct socket *s = mk(n, AF_INET);

    cr_expect_eq(s->ops->bind(s, (struct sockaddr *)&sin, 8), -EINVAL, "short");
    cr_expect_eq(do_bind(s, IPNET_PEERIP, 80), -EADDRNOTAVAIL, "not ours");
    sin.sin_family = AF_INET6;
    cr_expect_eq(s->ops->bind(s, (struct sockaddr *)&sin, sizeof(sin)), -EAFNOSUPPORT);
    sin.sin_family = AF_UNSPEC;
    sin.sin_port = htobe16(81);
    cr_expect_eq(s->ops->bind(s, (struct sockaddr *)&sin, sizeof(sin)), 0, "AF_UNSPEC with the any address");
    cr_expect_eq(do_bind(s, ME, 82), -EINVAL, "bound already");
    sock_release(s);
    ipnet_free(n);
}

Test(ipv4_bind, any_port_until_the_range_is_used_up)
{
    struct ipnet *n = setup();
    struct socket *s[9];
    bool seen[10] = {0};

    n->net->ipv4.sysctl_ip_local_port_range[0] = 5000;
    n->net->ipv4.sysctl_ip_local_port_range[1] = 5007;
    for (int i = 0; i < 8; i++) {
        s[i] = mk(n, AF_INET);
        cr_assert_eq(do_bind(s[i], ME, 0), 0);
        u16 p = port_of(s[i]);
        cr_assert(p >= 5000 && p <= 5007 && !seen[p - 5000]);
        seen[p - 5000] = true;
    }
    s[8] = mk(n, AF_INET);
    cr_expect_eq(do_bind(s[8], ME, 0), -EADDRINUSE);
    cr_expect_eq(do_bind(s[8], ME2, 0), 0, "another address has ports of its own");
    for (int i = 0; i < 9; i++)
        sock_release(s[i]);
    ipnet_free(n);
}

/* ---- the established table -------------------------------------------------------------------------------------------- */

/* Put a fresh socket in the table as connected; no segment is sent. */
static struct socket *connected(struct ipnet *n, u32 laddr, u16 lport, u32 faddr, u16 fport, int *err)
{
    struct socket *s = mk(n, AF_INET);
    struct sock *sk = s->sk;

    sk->sk_rcv_saddr = inet_sk(sk)->inet_saddr = htobe32(laddr);
    sk->sk_daddr = htobe32(faddr);
    sk->sk_dport = htobe16(fport);
    sk->sk_num = lport;
    inet_sk(sk)->inet_sport = htobe16(lport);
    lock_sock(sk);
    tcp_set_state(sk, TCP_SYN_SENT);
    *err = inet_hash_connect(sk);
    release_sock(sk);
    return s;
}

static void drop(struct socket *s)
{
    lock_sock(s->sk);
    tcp_set_state(s->sk, TCP_CLOSE);
    release_sock(s->sk);
    sock_release(s);
}

static struct sock_common *find(struct ipnet *n, u32 faddr, u16 fport, u32 laddr, u16 lport)
{
    struct sock_common *sk;

    rcu_read_lock();
    sk = __inet_lookup_established(n->net, htobe32(faddr), htobe16(fport), htobe32(laddr), lport, 7);
    rcu_read_unlock();
    return sk;
}

Test(ipv4_hash, exact_match_only)
{
    struct ipnet *n = setup();
    int err;
    struct socket *s = connected(n, ME, 4000, IPNET_PEERIP, 80, &err), *t;

    cr_assert_eq(err, 0);
    cr_expect_eq((void *)find(n, IPNET_PEERIP, 80, ME, 4000), (void *)s->sk);
    cr_expect_null(find(n, IPNET_PEERIP, 81, ME, 4000));
    cr_expect_null(find(n, IPNET_PEERIP, 80, ME, 4001));
    cr_expect_null(find(n, IPNET_PEERIP, 80, ME2, 4000));
    cr_expect_null(find(n, IPNET_PEERIP + 1, 80, ME, 4000));
    cr_expect_eq(n->flows, 1);
    t = connected(n, ME, 4000, IPNET_PEERIP, 80, &err);
    cr_expect_eq(err, -EADDRNOTAVAIL, "the 4-tuple is taken");
    drop(t);
    cr_expect_eq(n->flows, 1);
    drop(s);
    cr_expect_eq(n->flows, 0);
    cr_expect_null(find(n, IPNET_PEERIP, 80, ME, 4000));
    ipnet_free(n);
}

/* A socket that connects a second time. */
Test(ipv4_hash, a_socket_may_come_back)
{
    struct ipnet *n = setup();
    int err;
    struct socket *s = connected(n, ME, 0, IPNET_PEERIP, 80, &err);

    cr_assert_eq(err, 0);
    for (int i = 0; i < 5; i++) {
        lock_sock(s->sk);
        tcp_set_state(s->sk, TCP_CLOSE);
        cr_expect_eq(s->sk->sk_num, 0, "connect()'s port is given back");
        tcp_set_state(s->sk, TCP_SYN_SENT);
        cr_assert_eq(inet_hash_connect(s->sk), 0);
        release_sock(s->sk);
        cr_expect_eq((void *)find(n, IPNET_PEERIP, 80, ME, s->sk->sk_num), (void *)s->sk);
    }
    drop(s);
    ipnet_free(n);
}

Test(ipv4_connect, ports_of_the_range_all_serve_and_destinations_share)
{
    struct ipnet *n = setup();
    struct socket *s[17], *b;
    u32 seen = 0;
    int err;

    n->net->ipv4.sysctl_ip_local_port_range[0] = 5000;
    n->net->ipv4.sysctl_ip_local_port_range[1] = 5007;
    b = mk(n, AF_INET);
    cr_assert_eq(do_bind(b, ME, 5003), 0);
    for (int i = 0; i < 7; i++) {
        s[i] = connected(n, ME, 0, IPNET_PEERIP, 80, &err);
        cr_assert_eq(err, 0);
        seen |= 1u << (port_of(s[i]) - 5000);
    }
    cr_expect_eq(seen, 0xffu & ~(1u << 3), "all but the bound one: %x", seen);
    s[7] = connected(n, ME, 0, IPNET_PEERIP, 80, &err);
    cr_expect_eq(err, -EADDRNOTAVAIL);
    for (int i = 8; i < 15; i++) {
        s[i] = connected(n, ME, 0, IPNET_PEERIP, 81, &err);
        cr_expect_eq(err, 0, "another destination shares the ports");
    }
    for (int i = 0; i < 15; i++)
        drop(s[i]);
    sock_release(b);
    ipnet_free(n);
}

Test(ipv4_connect, own_range_of_a_socket)
{
    struct ipnet *n = setup();
    u32 range = 50010u << 16 | 50010u;
    struct socket *s = mk(n, AF_INET);

    cr_assert_eq(s->ops->setsockopt(s, SOL_IP, IP_LOCAL_PORT_RANGE, &range, sizeof(range)), 0);
    cr_assert_eq(do_bind(s, ME, 0), 0);
    cr_expect_eq(port_of(s), 50010);
    sock_release(s);
    ipnet_free(n);
}

/* ---- TIME-WAIT ----------------------------------------------------------------------------------------------------------- */

static struct inet_timewait_sock *into_timewait(struct socket *s)
{
    struct inet_timewait_sock *tw;

    lock_sock(s->sk);
    tw = inet_twsk_alloc(s->sk, TCP_TIME_WAIT);
    cr_assert_not_null(tw);
    inet_twsk_hashdance(tw, s->sk);
    inet_twsk_schedule(tw, TCP_TIMEWAIT_LEN);
    inet_twsk_put(tw);
    tcp_set_state(s->sk, TCP_CLOSE);
    release_sock(s->sk);
    return tw;
}

Test(ipv4_timewait, takes_the_place_and_gives_it_back)
{
    struct ipnet *n = setup();
    int err;
    struct socket *s = connected(n, ME, 4000, IPNET_PEERIP, 80, &err), *b;
    struct inet_timewait_sock *tw;

    drop(s); /* port 4000 was set by hand: bind it properly */
    s = mk(n, AF_INET);
    cr_assert_eq(do_bind(s, ME, 4000), 0);
    s->sk->sk_daddr = htobe32(IPNET_PEERIP);
    s->sk->sk_dport = htobe16(80);
    lock_sock(s->sk);
    tcp_set_state(s->sk, TCP_SYN_SENT);
    cr_assert_eq(inet_hash_connect(s->sk), 0);
    release_sock(s->sk);
    tw = into_timewait(s);
    sock_release(s);
    cr_expect_eq((void *)find(n, IPNET_PEERIP, 80, ME, 4000), (void *)tw);
    cr_expect_eq(n->flows, 1, "still ours");
    b = mk(n, AF_INET);
    cr_expect_eq(do_bind(b, ME, 4000), -EADDRINUSE, "the port too");
    ipnet_advance(n, 59 * NSEC_PER_SEC);
    cr_expect_eq((void *)find(n, IPNET_PEERIP, 80, ME, 4000), (void *)tw);
    ipnet_advance(n, 2 * NSEC_PER_SEC);
    cr_expect_null(find(n, IPNET_PEERIP, 80, ME, 4000));
    cr_expect_eq(n->flows, 0);
    cr_expect_eq(do_bind(b, ME, 4000), 0);
    cr_expect_eq(net_mib(n->net, LINUX_MIB_TIMEWAITED), 1);
    sock_release(b);
    ipnet_free(n);
}

Test(ipv4_timewait, its_end_comes_with_the_net)
{
    struct ipnet *n = setup();

    for (int i = 0; i < 50; i++) {
        int err;
        struct socket *s = connected(n, ME, 0, IPNET_PEERIP, 80, &err);
        into_timewait(s);
        sock_release(s);
    }
    cr_expect_eq(inet_ehash_count(n->net), 50);
    ipnet_free(n);
}

Test(ipv4_timewait, number_is_limited)
{
    struct ipnet *n = setup();
    struct socket *s;
    int err;

    n->net->ipv4.sysctl_tcp_max_tw_buckets = 0;
    s = connected(n, ME, 0, IPNET_PEERIP, 80, &err);
    cr_expect_null(inet_twsk_alloc(s->sk, TCP_TIME_WAIT));
    drop(s);
    ipnet_free(n);
}

/* A reader never finds the 4-tuple empty while sk gives way to tw, and the table grows under it. */
static struct ipnet *race_net;
static _Atomic bool race_stop;
static _Atomic u32 race_port, race_misses;

static void *race_reader(void *arg)
{
    while (!atomic_load(&race_stop)) {
        const u32 port = atomic_load(&race_port);

        rcu_read_lock();
        if (port && !__inet_lookup_established(race_net->net, htobe32(IPNET_PEERIP), htobe16(80), htobe32(ME), (u16)port, 7) &&
            atomic_load(&race_port) == port)
            atomic_fetch_add(&race_misses, 1);
        rcu_read_unlock();
    }
    return NULL;
}

Test(ipv4_hash, no_gap_while_time_wait_takes_over)
{
    pthread_t t;

    race_net = setup();
    pthread_create(&t, NULL, race_reader, NULL);
    for (int i = 0; i < 4000; i++) {
        int err;
        struct socket *s = connected(race_net, ME, 0, IPNET_PEERIP, 80, &err);

        cr_assert_eq(err, 0);
        atomic_store(&race_port, s->sk->sk_num);
        into_timewait(s);
        atomic_store(&race_port, 0);
        sock_release(s);
    }
    atomic_store(&race_stop, true);
    pthread_join(t, NULL);
    cr_expect_eq(race_misses, 0, "%u lookups found nothing", race_misses);
    cr_expect_eq(inet_ehash_count(race_net->net), 4000);
    cr_expect_geq(race_net->net->hashinfo->ehash_size, 4000);
    ipnet_free(race_net);
}

/* ---- listeners ------------------------------------------------------------------------------------------------------------ */

static struct socket *listener(struct ipnet *n, int family, u32 addr, u16 port, bool reuseport, int dev)
{
    struct socket *s = mk(n, family);

    s->sk->sk_reuseport = reuseport;
    s->sk->sk_bound_dev_if = dev;
    if (family == AF_INET6) {
        struct sockaddr_in6 a = {.sin6_family = AF_INET6, .sin6_port = htobe16(port)};
        cr_assert_eq(s->ops->bind(s, (struct sockaddr *)&a, sizeof(a)), 0);
    } else {
        cr_assert_eq(do_bind(s, addr, port), 0);
    }
    cr_assert_eq(s->ops->listen(s, 16), 0);
    return s;
}

static struct sock *find_listener(struct ipnet *n, u16 fport, u32 laddr, u16 lport, int dif)
{
    struct sock *sk;

    rcu_read_lock();
    sk = __inet_lookup_listener(n->net, htobe32(IPNET_PEERIP), htobe16(fport), htobe32(laddr), lport, dif);
    rcu_read_unlock();
    return sk;
}

Test(ipv4_listen, the_most_specific_gets_it)
{
    struct ipnet *n = setup();
    struct socket *one = listener(n, AF_INET, ME, 80, true, 0), *any = listener(n, AF_INET, ANY, 80, true, 0);
    struct socket *six = listener(n, AF_INET6, ANY, 81, false, 0), *dev = listener(n, AF_INET, ANY, 80, true, 9);

    cr_expect_eq(find_listener(n, 1, ME, 80, 7), one->sk);
    cr_expect_eq(find_listener(n, 1, ME2, 80, 7), any->sk);
    cr_expect_eq(find_listener(n, 1, ME2, 80, 9), dev->sk);
    cr_expect_eq(find_listener(n, 1, ME, 81, 7), six->sk, "dual stack");
    cr_expect_null(find_listener(n, 1, ME, 82, 7));
    cr_expect_eq(n->listeners, 3, "any:80 stands once in the steering program");
    sock_release(one), sock_release(any), sock_release(six), sock_release(dev);
    ipnet_free(n);
}

Test(ipv4_listen, a_group_shares_by_hash)
{
    struct ipnet *n = setup();
    struct socket *s[4];
    u32 hits[4] = {0};

    for (int i = 0; i < 4; i++)
        s[i] = listener(n, AF_INET, ME, 80, true, 0);
    for (u16 p = 1; p <= 4000; p++) {
        struct sock *sk = find_listener(n, p, ME, 80, 7);
        cr_assert_eq(sk, find_listener(n, p, ME, 80, 7), "the same one each time");
        for (int i = 0; i < 4; i++)
            hits[i] += s[i]->sk == sk;
    }
    for (int i = 0; i < 4; i++)
        cr_expect(hits[i] > 800 && hits[i] < 1200, "%u", hits[i]);
    for (int i = 0; i < 4; i++)
        sock_release(s[i]);
    ipnet_free(n);
}

Test(ipv4_listen, v6only_does_not_take_ipv4)
{
    struct ipnet *n = setup();
    struct socket *six = mk(n, AF_INET6), *four;
    struct sockaddr_in6 a = {.sin6_family = AF_INET6, .sin6_port = htobe16(80)};
    int on = 1;

    cr_assert_eq(six->ops->setsockopt(six, SOL_IPV6, IPV6_V6ONLY, &on, sizeof(on)), 0);
    cr_assert_eq(six->ops->bind(six, (struct sockaddr *)&a, sizeof(a)), 0);
    cr_expect_eq(six->ops->setsockopt(six, SOL_IPV6, IPV6_V6ONLY, &on, sizeof(on)), -EINVAL, "too late");
    cr_assert_eq(six->ops->listen(six, 5), 0);
    cr_expect_null(find_listener(n, 1, ME, 80, 7));
    cr_expect_eq(n->listeners, 0);
    four = listener(n, AF_INET, ANY, 80, false, 0);
    cr_expect_eq(find_listener(n, 1, ME, 80, 7), four->sk);
    sock_release(six), sock_release(four);
    ipnet_free(n);
}

Test(ipv4_listen, again_after_shutdown)
{
    struct ipnet *n = setup();
    struct socket *s = listener(n, AF_INET, ME, 80, false, 0);

    for (int i = 0; i < 3; i++) {
        cr_assert_eq(s->ops->shutdown(s, SHUT_RD), 0);
        cr_expect_null(find_listener(n, 1, ME, 80, 7));
        cr_expect_eq(n->listeners, 0);
        cr_assert_eq(s->ops->listen(s, 5), 0);
        cr_expect_eq(find_listener(n, 1, ME, 80, 7), s->sk);
    }
    sock_release(s);
    ipnet_free(n);
}

Test(ipv4_listen, accept_without_connections)
{
    struct ipnet *n = setup();
    struct socket *s = listener(n, AF_INET, ME, 80, false, 0), *c = sock_alloc(n->net), *idle = mk(n, AF_INET);

    cr_expect_eq(s->ops->accept(s, c, O_NONBLOCK), -EAGAIN);
    s->sk->sk_rcvtimeo = 3 * NSEC_PER_SEC;
    const u64 t0 = n->now;
    cr_expect_eq(s->ops->accept(s, c, 0), -EAGAIN, "SO_RCVTIMEO");
    cr_expect_eq(n->now - t0, 3 * NSEC_PER_SEC);
    s->sk->sk_rcvtimeo = UINT64_MAX;
    cr_expect_eq(s->ops->accept(s, c, 0), -ERESTARTSYS, "a signal");
    cr_expect_eq(idle->ops->accept(idle, c, 0), -EINVAL);
    sock_release(c), sock_release(s), sock_release(idle);
    ipnet_free(n);
}

/* ---- names and states --------------------------------------------------------------------------------------------------------- */

Test(ipv4_names, v4_mapped)
{
    struct sockaddr_in6 a = {.sin6_family = AF_INET6, .sin6_port = htobe16(90)}, got;
    struct ipnet *n = setup();
    struct socket *s = mk(n, AF_INET6);
    socklen_t len = sizeof(got);
    __be32 me = htobe32(ME);

    cr_expect_eq(s->ops->getname(s, (struct sockaddr *)&got, &len, 1), -ENOTCONN);
    a.sin6_addr.s6_addr[0] = 0x20; /* an IPv6 address */
    cr_expect_eq(s->ops->bind(s, (struct sockaddr *)&a, sizeof(a)), -EADDRNOTAVAIL);
    cr_expect_eq(s->ops->connect(s, (struct sockaddr *)&a, sizeof(a), O_NONBLOCK), -ENETUNREACH);
    cr_expect_eq(s->ops->bind(s, (struct sockaddr *)&a, 20), -EINVAL);
    memset(&a.sin6_addr, 0, 16);
    a.sin6_addr.s6_addr[10] = a.sin6_addr.s6_addr[11] = 0xff;
    memcpy(&a.sin6_addr.s6_addr[12], &me, 4);
    cr_assert_eq(s->ops->bind(s, (struct sockaddr *)&a, sizeof(a)), 0);
    cr_assert_eq(s->ops->getname(s, (struct sockaddr *)&got, &len, 0), 0);
    cr_expect_eq(len, sizeof(got));
    cr_expect_arr_eq(&got.sin6_addr, &a.sin6_addr, 16);
    cr_expect_eq(got.sin6_port, htobe16(90));
    len = 4;
    got.sin6_flowinfo = 0x1234;
    cr_assert_eq(s->ops->getname(s, (struct sockaddr *)&got, &len, 0), 0);
    cr_expect_eq(len, sizeof(got), "the full size is told");
    cr_expect_eq(got.sin6_flowinfo, 0x1234, "and no more written than there was room");
    sock_release(s);
    s = mk(n, AF_INET6);
    cr_expect_eq(do_bind(s, ME, 91), -EINVAL, "sockaddr_in is too short");
    memset(&a.sin6_addr, 0, 16);
    cr_assert_eq(s->ops->bind(s, (struct sockaddr *)&a, sizeof(a)), 0);
    len = sizeof(got);
    cr_assert_eq(s->ops->getname(s, (struct sockaddr *)&got, &len, 0), 0);
    cr_expect(IN6_IS_ADDR_UNSPECIFIED(&got.sin6_addr), "any is ::");
    sock_release(s);
    ipnet_free(n);
}

static int do_connect(struct socket *s, u32 addr, u16 port, int flags)
{
    struct sockaddr_in sin = {.sin_family = AF_INET, .sin_port = htobe16(port), .sin_addr.s_addr = htobe32(addr)};

    return s->ops->connect(s, (struct sockaddr *)&sin, sizeof(sin), flags);
}

Test(ipv4_states, connect)
{
    struct sockaddr unspec = {.sa_family = AF_UNSPEC};
    struct ipnet *n = setup();
    struct socket *s = mk(n, AF_INET);

    ipnet_resolve(n, IPNET_PEERIP);
    cr_expect_eq(s->ops->connect(s, &unspec, 1, 0), -EINVAL);
    cr_expect_eq(do_connect(s, 0xc0a80001, 80, O_NONBLOCK), -ENETUNREACH, "no route");
    cr_expect_eq(do_connect(s, 0xe0000001, 80, O_NONBLOCK), -ENETUNREACH, "multicast");
    cr_expect_eq(do_connect(s, IPNET_PEERIP, 80, O_NONBLOCK), -EINPROGRESS);
    cr_expect_eq(n->nsent, 1, "a SYN");
    cr_expect_eq(do_connect(s, IPNET_PEERIP, 80, O_NONBLOCK), -EALREADY);
    cr_expect_eq(s->ops->listen(s, 1), -EINVAL);
    cr_expect_eq(n->flows, 1);
    cr_expect_eq(s->ops->connect(s, &unspec, sizeof(unspec), 0), 0, "AF_UNSPEC gives up");
    cr_expect_eq(n->flows, 0);
    cr_expect_eq(do_connect(s, IPNET_PEERIP, 80, O_NONBLOCK), -EINPROGRESS, "and it can begin again");
    cr_expect_eq(s->ops->shutdown(s, SHUT_RDWR), 0);
    cr_expect_eq(s->ops->shutdown(s, SHUT_RDWR), -ENOTCONN);
    cr_expect_eq(s->ops->shutdown(s, 3), -EINVAL);
    sock_release(s);
    s = mk(n, AF_INET);
    s->sk->sk_sndtimeo = 2 * NSEC_PER_SEC;
    cr_expect_eq(do_connect(s, IPNET_PEERIP, 80, 0), -EINPROGRESS, "SO_SNDTIMEO");
    s->sk->sk_sndtimeo = UINT64_MAX;
    cr_expect_eq(do_connect(s, IPNET_PEERIP, 80, 0), -ERESTARTSYS, "a signal");
    sock_release(s);
    ipnet_free(n);
}

Test(ipv4_states, unreachable_neighbour_fails_the_connect)
{
    struct ipnet *n = setup();
    struct socket *s = mk(n, AF_INET);

    s->sk->sk_sndtimeo = 20 * NSEC_PER_SEC;
    cr_expect_eq(do_connect(s, IPNET_PEERIP, 80, 0), -EHOSTUNREACH);
    cr_expect_eq(n->flows, 0);
    sock_release(s);
    ipnet_free(n);
}

/* ---- SOL_IP ---------------------------------------------------------------------------------------------------------------------- */

static int set(struct socket *s, int level, int opt, int val) { return s->ops->setsockopt(s, level, opt, &val, sizeof(val)); }
static int get(struct socket *s, int level, int opt)
{
    int val = -77, err;
    socklen_t len = sizeof(val);

    err = s->ops->getsockopt(s, level, opt, &val, &len);
    return err ? err : val;
}

Test(ipv4_sockopt, values)
{
    struct ipnet *n = setup();
    struct socket *s = mk(n, AF_INET);
    u8 byte = 0x10;
    socklen_t len = 1;

    cr_expect_eq(set(s, SOL_IP, IP_TOS, 0x1f), 0);
    cr_expect_eq(get(s, SOL_IP, IP_TOS), 0x1c, "the ECN bits are TCP's");
    cr_expect_eq(s->ops->setsockopt(s, SOL_IP, IP_TOS, &byte, 1), 0, "a byte will do");
    byte = 0;
    cr_expect_eq(s->ops->getsockopt(s, SOL_IP, IP_TOS, &byte, &len), 0);
    cr_expect_eq(byte, 0x10);
    cr_expect_eq(len, 1);
    cr_expect_eq(get(s, SOL_IP, IP_TTL), 64);
    cr_expect_eq(set(s, SOL_IP, IP_TTL, 0), -EINVAL);
    cr_expect_eq(set(s, SOL_IP, IP_TTL, 256), -EINVAL);
    cr_expect_eq(set(s, SOL_IP, IP_TTL, 9), 0);
    cr_expect_eq(get(s, SOL_IP, IP_TTL), 9);
    cr_expect_eq(set(s, SOL_IP, IP_TTL, -1), 0);
    cr_expect_eq(get(s, SOL_IP, IP_MTU_DISCOVER), IP_PMTUDISC_WANT);
    cr_expect_eq(set(s, SOL_IP, IP_MTU_DISCOVER, 6), -EINVAL);
    cr_expect_eq(set(s, SOL_IP, IP_MTU_DISCOVER, IP_PMTUDISC_DONT), 0);
    cr_expect_eq(get(s, SOL_IP, IP_MTU), -ENOTCONN);
    cr_expect_eq(set(s, SOL_IP, IP_RECVERR, 1), 0);
    cr_expect_eq(get(s, SOL_IP, IP_RECVERR), 1);
    cr_expect_eq(set(s, SOL_IP, IP_TRANSPARENT, 1), -EPERM);
    cr_expect_eq(set(s, SOL_IP, IP_MINTTL, 255), 0);
    cr_expect_eq(get(s, SOL_IP, IP_MINTTL), 255);
    cr_expect_eq(set(s, SOL_IP, IP_HDRINCL, 1), -ENOPROTOOPT);
    cr_expect_eq(set(s, SOL_IP, 999, 1), -ENOPROTOOPT);
    cr_expect_eq(get(s, SOL_IP, 999), -ENOPROTOOPT);
    cr_expect_eq(set(s, SOL_IP, IP_ADD_MEMBERSHIP, 1), -EPROTO);
    cr_expect_eq(set(s, SOL_IP, IP_PKTINFO, 1), 0);
    cr_expect_eq(get(s, SOL_IP, IP_PKTINFO), 1);
    cr_expect_eq(set(s, SOL_IP, IP_LOCAL_PORT_RANGE, (int)(2000u << 16 | 3000)), -EINVAL, "upside down");
    cr_expect_eq(set(s, SOL_IPV6, IPV6_V6ONLY, 1), -ENOPROTOOPT, "not on AF_INET");
    cr_expect_eq(set(s, SOL_IP, IP_FREEBIND, 1), 0);
    cr_expect_eq(do_bind(s, 0x01020304, 80), 0, "freebind");
    sock_release(s);

    s = mk(n, AF_INET6);
    cr_expect_eq(get(s, SOL_IPV6, IPV6_V6ONLY), 0);
    cr_expect_eq(set(s, SOL_IPV6, IPV6_TCLASS, 0x20), 0);
    cr_expect_eq(get(s, SOL_IPV6, IPV6_TCLASS), 0x20);
    cr_expect_eq(set(s, SOL_IPV6, IPV6_TCLASS, 256), -EINVAL);
    cr_expect_eq(get(s, SOL_IPV6, IPV6_UNICAST_HOPS), 64);
    cr_expect_eq(set(s, SOL_IPV6, IPV6_RECVPKTINFO, 1), 0);
    cr_expect_eq(get(s, SOL_IPV6, IPV6_RECVPKTINFO), 1);
    cr_expect_eq(get(s, SOL_IPV6, 999), -ENOPROTOOPT);
    cr_expect_eq(set(s, SOL_IP, IP_TOS, 8), 0, "SOL_IP works on AF_INET6 too");
    sock_release(s);
    ipnet_free(n);
}
