/* SPDX-License-Identifier: MIT */
/* Socket options of SOL_SOCKET, SOL_IP and SOL_IPV6 as a table: what setting answers, and what is read back (socket(7), ip(7),
 * ipv6(7)). With COMPARE_KERNEL=1 each line is asked of the host's kernel too, and what differs is printed. */

#include "../lib/ipnet.h"
#include <criterion/criterion.h>
#include <linux/net_tstamp.h>
#include <netinet/ip6.h>
#include <unistd.h>

#define NEVER INT32_MIN /* not read back */
struct line {
    int level, opt, value;
    int answer;    /* 0 or -errno */
    int read_back; /* afterwards; NEVER */
    bool v6;
};

#ifndef SO_BUF_LOCK
#define SO_BUF_LOCK 72
#endif
#ifndef SO_TXREHASH
#define SO_TXREHASH 74
#endif
#define S(o, v, a, r) {SOL_SOCKET, o, v, a, r, false}
#define I(o, v, a, r) {SOL_IP, o, v, a, r, false}
#define V(o, v, a, r) {SOL_IPV6, o, v, a, r, true}

static const struct line lines[] = {
    S(SO_DEBUG, 1, 0, 1), S(SO_DONTROUTE, 5, 0, 1), S(SO_DONTROUTE, 0, 0, 0), S(SO_BROADCAST, 1, 0, 1),
    S(SO_OOBINLINE, 1, 0, 1), S(SO_RXQ_OVFL, 1, 0, 1), S(SO_SELECT_ERR_QUEUE, 1, 0, 1), S(SO_NOFCS, 1, 0, 1),
    S(SO_REUSEADDR, 7, 0, 1), S(SO_REUSEPORT, 1, 0, 1), S(SO_REUSEPORT, 0, 0, 0),
    S(SO_TYPE, 1, -ENOPROTOOPT, SOCK_STREAM), S(SO_PROTOCOL, 1, -ENOPROTOOPT, IPPROTO_TCP),
    S(SO_DOMAIN, 1, -ENOPROTOOPT, AF_INET), S(SO_ERROR, 1, -ENOPROTOOPT, 0), S(SO_ACCEPTCONN, 1, -ENOPROTOOPT, 0),
    S(SO_SNDBUFFORCE, 100000, 0, NEVER), S(SO_SNDBUF, 50000, 0, 100000), S(SO_RCVBUFFORCE, 300000, 0, NEVER),
    S(SO_RCVBUF, 50000, 0, 100000), S(SO_RCVBUF, 0, 0, 2304), S(SO_BUF_LOCK, 1, 0, 1), S(SO_BUF_LOCK, 4, -EINVAL, 1),
    S(SO_KEEPALIVE, 1, 0, 1), S(SO_NO_CHECK, 1, 0, 1), S(SO_PRIORITY, 6, 0, 6), S(SO_MARK, 77, 0, 77), S(SO_MARK, 0, 0, 0),
    S(SO_BSDCOMPAT, 1, 0, 0), S(SO_PASSCRED, 1, NEVER, NEVER), S(SO_TIMESTAMP, 1, 0, 1), S(SO_TIMESTAMPNS, 1, 0, 1), S(SO_TIMESTAMP, 0, 0, 0),
    S(SO_TIMESTAMPING, 1 << 30, -EINVAL, 0), S(SO_TIMESTAMPING, SOF_TIMESTAMPING_SOFTWARE, 0, NEVER),
    S(SO_TIMESTAMPING, SOF_TIMESTAMPING_OPT_ID, -EINVAL, NEVER),
    S(SO_RCVLOWAT, 100, 0, 100), S(SO_RCVLOWAT, 0, 0, 1), S(SO_SNDLOWAT, 5, -ENOPROTOOPT, 1), S(SO_DETACH_FILTER, 1, -ENOENT, NEVER),
    S(SO_PEEK_OFF, 1, -EOPNOTSUPP, NEVER), S(SO_BUSY_POLL, 50, 0, 50), S(SO_BUSY_POLL, -1, -EINVAL, 50),
    S(69 /* SO_PREFER_BUSY_POLL */, 2, 0, NEVER), S(70 /* SO_BUSY_POLL_BUDGET */, 65536, -EINVAL, NEVER),
    S(SO_MAX_PACING_RATE, 1000000, 0, 1000000), S(SO_INCOMING_CPU, 1, 0, 1), S(SO_CNX_ADVICE, 1, 0, NEVER),
    S(SO_ZEROCOPY, 1, 0, 1), S(SO_ZEROCOPY, 2, -EINVAL, 1), S(SO_BINDTOIFINDEX, -1, -EINVAL, 0), S(SO_TXREHASH, 2, -EINVAL, 1),
    S(SO_TXREHASH, 0, 0, 0), S(SO_TXREHASH, -2, -EINVAL, 0), S(SO_TXREHASH, -1, 0, 1), S(SO_TXREHASH, 1, 0, 1), S(4711, 1, -ENOPROTOOPT, NEVER),
    I(IP_TOS, 0x10, 0, 0x10), I(IP_TTL, 0, -EINVAL, 64), I(IP_MINTTL, 256, -EINVAL, 0), I(IP_MTU_DISCOVER, IP_PMTUDISC_PROBE, 0, IP_PMTUDISC_PROBE),
    I(IP_RECVERR, 1, 0, 1), I(IP_RECVERR, 0, 0, 0), I(IP_FREEBIND, 1, 0, 1), I(IP_TRANSPARENT, 0, 0, 0), I(IP_BIND_ADDRESS_NO_PORT, 1, 0, 1),
    I(IP_MULTICAST_LOOP, 1, 0, 1), I(IP_MULTICAST_ALL, 1, 0, 1), I(IP_MULTICAST_TTL, 1, -EINVAL, 1), I(IP_MULTICAST_IF, 1, -EINVAL, NEVER),
    I(IP_DROP_MEMBERSHIP, 1, -EPROTO, NEVER), I(IP_BLOCK_SOURCE, 1, -EINVAL, NEVER), I(IP_MSFILTER, 1, -EINVAL, NEVER),
    I(MCAST_JOIN_GROUP, 1, -EINVAL, NEVER), I(IP_HDRINCL, 1, -ENOPROTOOPT, NEVER), I(IP_ROUTER_ALERT, 1, -EINVAL, NEVER),
    I(IP_RECVTTL, 1, 0, 1), I(IP_RECVTOS, 1, 0, 1), I(IP_RECVOPTS, 1, 0, 1), I(IP_RETOPTS, 1, 0, 1), I(4711, 1, -ENOPROTOOPT, NEVER),
    V(IPV6_V6ONLY, 1, 0, 1), V(IPV6_V6ONLY, 0, 0, 0), V(IPV6_TCLASS, 0x20, 0, 0x20), V(IPV6_TCLASS, 256, -EINVAL, 0x20), V(IPV6_TCLASS, -1, 0, 0),
    V(IPV6_UNICAST_HOPS, 9, 0, 9), V(IPV6_UNICAST_HOPS, 256, -EINVAL, 9), V(IPV6_UNICAST_HOPS, -1, 0, 64),
    V(IPV6_MTU_DISCOVER, IPV6_PMTUDISC_DO, 0, IPV6_PMTUDISC_DO), V(IPV6_RECVERR, 1, 0, 1), V(IPV6_FREEBIND, 1, 0, 1),
    V(IPV6_TRANSPARENT, 0, 0, 0), V(IPV6_RECVPKTINFO, 1, 0, 1), V(IPV6_RECVHOPLIMIT, 1, 0, 1), V(IPV6_RECVTCLASS, 1, 0, 1), V(4711, 1, -ENOPROTOOPT, NEVER),
};

static void compare_with_kernel(const struct line *l, int fd, int answer, int read_back)
{
    int v = 0, err = setsockopt(fd, l->level, l->opt, &l->value, sizeof(l->value)) ? -errno : 0;
    socklen_t len = sizeof(v);

    if (getsockopt(fd, l->level, l->opt, &v, &len))
        v = -errno;
    if (err != answer || (l->read_back != NEVER && v != read_back))
        fprintf(stderr, "level %d option %d value %d: set %d, then %d; the kernel: set %d, then %d\n", l->level, l->opt, l->value, answer, read_back, err, v);
}

Test(sockopt_table, each_option_answers_and_keeps_as_linux_does)
{
    struct ipnet *n = ipnet_new();
    struct socket *s4, *s6;
    int fd4 = -1, fd6 = -1;

    cr_assert_eq(sock_create(n->net, AF_INET, SOCK_STREAM, 0, &s4), 0);
    cr_assert_eq(sock_create(n->net, AF_INET6, SOCK_STREAM, 0, &s6), 0);
    if (getenv("COMPARE_KERNEL")) {
        fd4 = socket(AF_INET, SOCK_STREAM, 0);
        fd6 = socket(AF_INET6, SOCK_STREAM, 0);
    }
    for (u32 i = 0; i < ARRAY_SIZE(lines); i++) {
        const struct line *l = &lines[i];
        struct socket *s = l->v6 ? s6 : s4;
        int v = 0, err = s->ops->setsockopt(s, l->level, l->opt, &l->value, sizeof(l->value)), e;
        socklen_t len = sizeof(v);

        e = s->ops->getsockopt(s, l->level, l->opt, &v, &len);
        if (e)
            v = e;
        cr_expect(l->answer == NEVER || err == l->answer, "line %u: level %d option %d value %d answers %d, not %d", i, l->level, l->opt, l->value, err, l->answer);
        cr_expect(l->read_back == NEVER || v == l->read_back, "line %u: level %d option %d reads back %d, not %d", i, l->level, l->opt, v, l->read_back);
        if (fd4 >= 0)
            compare_with_kernel(l, l->v6 ? fd6 : fd4, err, v);
    }
    sock_release(s4);
    sock_release(s6);
    ipnet_free(n);
}

Test(sockopt_table, short_long_and_missing_values)
{
    struct ipnet *n = ipnet_new();
    struct linger l = {1, 7}, got;
    struct timeval tv = {3, 500000}, tgot;
    struct socket *s;
    u64 rate = 10000000000ull, rgot = 0;
    u32 mem[9];
    socklen_t len;
    int one = 1;
    char name[16];

    ipnet_sock(n, &s);
    for (int opt = 1; opt < 80; opt++) /* an int is the least (SO_BINDTODEVICE takes a name) */
        if (opt != SO_BINDTODEVICE)
            cr_expect_lt(s->ops->setsockopt(s, SOL_SOCKET, opt, &one, 2), 0, "option %d of two bytes", opt);
    cr_expect_eq(s->ops->setsockopt(s, SOL_SOCKET, SO_LINGER, &l, sizeof(int)), -EINVAL);
    cr_expect_eq(s->ops->setsockopt(s, SOL_SOCKET, SO_LINGER, &l, sizeof(l)), 0);
    len = sizeof(got);
    cr_expect_eq(s->ops->getsockopt(s, SOL_SOCKET, SO_LINGER, &got, &len), 0);
    cr_expect_eq(got.l_onoff, 1);
    cr_expect_eq(got.l_linger, 7);
    l.l_onoff = 0;
    cr_expect_eq(s->ops->setsockopt(s, SOL_SOCKET, SO_LINGER, &l, sizeof(l)), 0);
    cr_expect_eq(s->ops->setsockopt(s, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(int)), -EINVAL);
    cr_expect_eq(s->ops->setsockopt(s, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv)), 0);
    len = sizeof(tgot);
    cr_expect_eq(s->ops->getsockopt(s, SOL_SOCKET, SO_RCVTIMEO, &tgot, &len), 0);
    cr_expect_eq(tgot.tv_sec, 3);
    cr_expect_eq(tgot.tv_usec, 500000);
    tv = (struct timeval){1, 1000000};
    cr_expect_eq(s->ops->setsockopt(s, SOL_SOCKET, SO_SNDTIMEO, &tv, sizeof(tv)), -EDOM);
    tv = (struct timeval){-1, 0};
    cr_expect_eq(s->ops->setsockopt(s, SOL_SOCKET, SO_SNDTIMEO, &tv, sizeof(tv)), 0, "negative: do not wait");
    cr_expect_eq(s->sk->sk_sndtimeo, 0);
    cr_expect_eq(s->ops->setsockopt(s, SOL_SOCKET, SO_MAX_PACING_RATE, &rate, sizeof(rate)), 0);
    len = sizeof(rgot);
    cr_expect_eq(s->ops->getsockopt(s, SOL_SOCKET, SO_MAX_PACING_RATE, &rgot, &len), 0);
    cr_expect_eq(rgot, rate, "above 4 GB/s in eight bytes");
    len = sizeof(rgot);
    cr_expect_eq(s->ops->getsockopt(s, SOL_SOCKET, SO_COOKIE, &rgot, &len), 0);
    cr_expect_neq(rgot, 0);
    rate = rgot;
    len = sizeof(rgot);
    cr_expect_eq(s->ops->getsockopt(s, SOL_SOCKET, SO_COOKIE, &rgot, &len), 0);
    cr_expect_eq(rgot, rate, "a cookie stays");
    len = sizeof(mem);
    cr_expect_eq(s->ops->getsockopt(s, SOL_SOCKET, SO_MEMINFO, mem, &len), 0);
    cr_expect_eq(mem[3], (u32)s->sk->sk_sndbuf);
    cr_expect_eq(s->ops->setsockopt(s, SOL_SOCKET, SO_BINDTODEVICE, "nodev", 5), -ENODEV);
    cr_expect_eq(s->ops->setsockopt(s, SOL_SOCKET, SO_BINDTODEVICE, "fx0", 3), 0);
    len = sizeof(name);
    cr_expect_eq(s->ops->getsockopt(s, SOL_SOCKET, SO_BINDTODEVICE, name, &len), 0);
    cr_expect_str_eq(name, "fx0");
    cr_expect_eq(s->ops->setsockopt(s, SOL_SOCKET, SO_BINDTODEVICE, "", 0), 0);
    len = sizeof(name);
    cr_expect_eq(s->ops->getsockopt(s, SOL_SOCKET, SO_BINDTODEVICE, name, &len), 0);
    cr_expect_eq(len, 0);
    sock_release(s);
    ipnet_free(n);
}

/* IP options of a socket (RFC 791 3.1): checked, given back, and on every packet. */
Test(sockopt_table, ip_options)
{
    static const u8 rr[12] = {7, 11, 4}, ts[8] = {68, 8, 5}, lsrr[8] = {131, 7, 4, 10, 0, 0, 9}, ra[4] = {148, 4};
    static const struct { u8 opt[8]; socklen_t len; } bad[] = {
        {{7, 2, 4, 0}, 4}, {{7, 40, 4, 0}, 4}, {{7, 7, 3, 0, 0, 0, 0, 0}, 8}, {{68, 3, 5, 0}, 4}, {{68, 8, 4, 0}, 8}, {{131, 2}, 4}, {{200}, 1},
    };
    struct ipnet *n = ipnet_new();
    struct sockaddr_in peer = {.sin_family = AF_INET, .sin_port = htobe16(80), .sin_addr.s_addr = htobe32(IPNET_PEERIP)};
    struct socket *s;
    socklen_t len;
    u8 got[40];

    ipnet_resolve(n, IPNET_PEERIP);
    ipnet_sock(n, &s);
    for (u32 i = 0; i < ARRAY_SIZE(bad); i++)
        cr_expect_eq(s->ops->setsockopt(s, SOL_IP, IP_OPTIONS, bad[i].opt, bad[i].len), -EINVAL, "bad options %u", i);
    cr_expect_eq(s->ops->setsockopt(s, SOL_IP, IP_OPTIONS, rr, 41), -EINVAL);
    cr_expect_eq(s->ops->setsockopt(s, SOL_IP, IP_OPTIONS, lsrr, sizeof(lsrr)), 0);
    len = sizeof(got);
    cr_expect_eq(s->ops->getsockopt(s, SOL_IP, IP_OPTIONS, got, &len), 0);
    cr_expect_eq(memcmp(got, lsrr, 7), 0, "a source route is given back as it was set, first hop included");
    cr_expect_eq(s->ops->setsockopt(s, SOL_IP, IP_OPTIONS, ts, sizeof(ts)), 0);
    cr_expect_eq(s->ops->setsockopt(s, SOL_IP, IP_OPTIONS, ra, sizeof(ra)), 0);
    cr_expect_eq(s->ops->setsockopt(s, SOL_IP, IP_OPTIONS, rr, sizeof(rr)), 0);
    len = sizeof(got);
    cr_expect_eq(s->ops->getsockopt(s, SOL_IP, IP_OPTIONS, got, &len), 0);
    cr_expect_eq(len, 12);
    cr_expect_eq(memcmp(got, rr, 11), 0);
    n->nsent = 0;
    cr_expect_eq(s->ops->connect(s, (struct sockaddr *)&peer, sizeof(peer), 04000), -EINPROGRESS);
    cr_assert_eq(n->nsent, 1);
    cr_expect_eq(n->sent[0].data[14] & 15, 8, "the SYN carries 12 bytes of options");
    cr_expect_eq(n->sent[0].data[14 + 20], 7);
    cr_expect_eq(s->ops->setsockopt(s, SOL_IP, IP_OPTIONS, NULL, 0), 0, "none any more");
    sock_release(s);
    ipnet_free(n);
}
