/* SPDX-License-Identifier: MIT */
/* The rtnetlink mirror against the kernel, in a namespace of the test's own. */

#include "../../netdev/af_xdp.h"
#include "../../netdev/rtnl.h"
#include "../lib/veth.h"
#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <fcntl.h>
#include <net/if.h>
#include <poll.h>
#include <unistd.h>

static struct veth *v;

#define NEED()                                                                                               \
    do {                                                                                                     \
        v = veth_up();                                                                                       \
        if (!v)                                                                                              \
            cr_skip_test("needs root and network namespaces");                                               \
        cr_assert_eq(rtnl_init(v->net), 0);                                                                  \
    } while (0)

static void down(void)
{
    rtnl_exit(v->net);
    veth_down(v);
}

static void sh(const char *cmd) { cr_assert_eq(system(cmd), 0, "%s", cmd); }

static int lookup(const char *to, struct fib_result *r)
{
    struct flowi4 fl = {.daddr = inet_addr(to), .proto = 6, .dport = htobe16(80)};

    return rtnl_route_ops.lookup(v->net, &fl, r);
}

Test(netdev_rtnl, link_facts, .timeout = 30)
{
    struct rtnl_link l;

    NEED();
    sh("ip link set sl0 mtu 1400");
    cr_assert_eq(rtnl_get_link(v->net, v->ifindex, &l), 0);
    cr_assert_str_eq(l.name, "sl0");
    cr_assert_str_eq(l.kind, "veth");
    cr_assert_eq(l.mtu, 1400);
    cr_assert_arr_eq(l.addr, v->mac[0], 6);
    cr_assert(l.flags & IFF_UP);
    cr_assert_eq(l.naddr, 1);
    cr_assert_eq(l.ip[0].local, inet_addr("10.9.0.1"));
    cr_assert_eq(l.ip[0].prefixlen, 24);
    cr_assert_eq(rtnl_get_link(v->net, 9999, &l), -ENODEV);
    down();
}

static void count_link(const struct rtnl_link *l, void *arg)
{
    cr_assert_str_eq(l->name, "sl0", "neither loopback nor links without an address");
    ++*(int *)arg;
}
static void count_addr(int ifindex, __be32 local, void *arg) { ++*(int *)arg; }

Test(netdev_rtnl, links_and_addresses_of_the_host, .timeout = 30)
{
    int links = 0, addrs = 0;

    NEED();
    sh("ip link add sl9 type veth peer name sl8; ip link set sl9 up; ip addr add 10.9.0.3/24 dev sl0");
    cr_assert_eq(rtnl_for_each_link(v->net, count_link, &links), 0);
    cr_assert_eq(links, 1);
    cr_assert_eq(rtnl_for_each_addr(v->net, count_addr, &addrs), 0);
    cr_assert_eq(addrs, 3, "127.0.0.1 and two of sl0");
    down();
}

Test(netdev_rtnl, routes_are_the_kernels_answers, .timeout = 30)
{
    struct fib_result r;
    struct flowi4 fl = {.daddr = inet_addr("192.0.2.1"), .mark = 7, .proto = 6};

    NEED();
    cr_assert_eq(lookup("10.9.0.2", &r), 0);
    cr_assert_eq(r.ifindex, v->ifindex);
    cr_assert_eq(r.type, RTN_UNICAST_);
    cr_assert_eq(r.gateway, 0, "on link");
    cr_assert_eq(r.prefsrc, inet_addr("10.9.0.1"));
    cr_assert_eq(lookup("10.9.0.1", &r), 0);
    cr_assert_eq(r.type, RTN_LOCAL_);
    cr_assert_eq(lookup("192.0.2.1", &r), -ENETUNREACH);
    sh("ip route add 192.0.2.0/24 via 10.9.0.2 mtu 1300 advmss 1200 initcwnd 20 rto_min 300ms");
    cr_assert_eq(lookup("192.0.2.1", &r), 0);
    cr_assert_eq(r.gateway, inet_addr("10.9.0.2"));
    cr_assert_eq(r.mtu, 1300);
    cr_assert_eq(r.advmss, 1200);
    cr_assert_eq(r.initcwnd, 20);
    cr_assert_eq(r.rto_min_ms, 300);
    sh("ip route add unreachable 198.51.100.0/24; ip route add prohibit 203.0.113.0/24; ip route add blackhole "
       "198.18.0.0/15");
    cr_assert_eq(lookup("198.51.100.1", &r), -EHOSTUNREACH);
    cr_assert_eq(lookup("203.0.113.1", &r), -EACCES);
    cr_assert_eq(lookup("198.18.0.1", &r), -EINVAL);
    /* policy: another table for marked flows */
    sh("ip link add sl9 type veth peer name sl8; ip link set sl8 up; ip link set sl9 up; ip addr add 10.77.0.1/24 dev sl9;"
       "ip route add default dev sl9 table 77; ip rule add fwmark 7 table 77");
    cr_assert_eq(rtnl_route_ops.lookup(v->net, &fl, &r), 0);
    cr_assert_eq(r.prefsrc, inet_addr("10.77.0.1"));
    down();
}

Test(netdev_rtnl, notifications_change_the_device, .timeout = 30)
{
    struct pollfd p;
    struct net_device *dev;
    const char *why;
    u32 gen;

    NEED();
    cr_assert_eq(af_xdp_init(v->net, NULL, &why), 0, "%s", why);
    cr_assert_eq(af_xdp_open(v->net, v->ifindex, &dev, &why), 0, "%s", why);
    rtnl_poll(v->net);
    gen = v->net->rt_genid;
    p = (struct pollfd){.fd = rtnl_fd(v->net), .events = POLLIN};
    cr_assert_eq(poll(&p, 1, 50), 0, "quiet");
    sh("ip link set sl0 mtu 1300; ip addr add 10.9.1.9/24 dev sl0; ip addr del 10.9.0.1/24 dev sl0");
    cr_assert_eq(poll(&p, 1, 1000), 1);
    rtnl_poll(v->net);
    cr_assert_eq(dev->mtu, 1300);
    cr_assert(dev_has_addr(dev, inet_addr("10.9.1.9")));
    cr_assert_not(dev_has_addr(dev, inet_addr("10.9.0.1")));
    cr_assert_neq(v->net->rt_genid, gen, "cached routes are void");
    sh("ip link set sl0 down");
    rtnl_poll(v->net);
    cr_assert_not(dev->flags & IFF_UP);
    sh("ip link set sl0 up");
    rtnl_poll(v->net);
    cr_assert(dev->flags & IFF_UP);
    gen = v->net->rt_genid;
    sh("ip route add 192.0.2.0/24 dev sl0");
    rtnl_poll(v->net);
    cr_assert_neq(v->net->rt_genid, gen);
    af_xdp_exit(v->net);
    down();
}

static void is_high(int fd, void *arg)
{
    cr_assert_geq(fd, 512, "own descriptor %d is in the program's range", fd);
    cr_assert(fcntl(fd, F_GETFD) & FD_CLOEXEC);
    ++*(int *)arg;
}

Test(netdev_rtnl, the_programs_descriptor_numbers_are_left_alone, .timeout = 30)
{
    struct net_device *dev;
    const char *why;
    int low, again, n = 0;

    v = veth_up();
    if (!v)
        cr_skip_test("needs root and network namespaces");
    low = dup(0);
    close(low);
    cr_assert_eq(af_xdp_init(v->net, NULL, &why), 0, "%s", why);
    cr_assert_eq(af_xdp_open(v->net, v->ifindex, &dev, &why), 0, "%s", why);
    again = dup(0);
    cr_assert_eq(again, low, "the lowest free number is what it was");
    close(again);
    af_xdp_for_each_fd(v->net, is_high, &n);
    rtnl_for_each_fd(v->net, is_high, &n);
    cr_assert_geq(n, 12);
    af_xdp_exit(v->net);
    down();
}
