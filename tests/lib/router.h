/* SPDX-License-Identifier: MIT */
#ifndef SLUICE_TESTS_ROUTER_H
#define SLUICE_TESTS_ROUTER_H
/* A router of a simulation: a net without programs that forwards IPv4 between the links at its ports (RFC 1812 5.3:
 * header checksum, TTL, MTU), through its devices' queueing disciplines. The stack does not forward; this is the
 * tests' own. It knows its neighbours, and answers ARP as any net does.
 *
 *     struct router *r = router_create(sim);
 *     int p = router_add_port(r, link, 1);            (router_net(r) was given to sim_link() for that end)
 *     router_add_route(r, inet_addr("10.0.3.0"), 24, p);
 *     ... sim_run_idle(sim), sim_destroy(sim), router_destroy(r)
 */

#include "simnet.h"

#define ROUTER_PORTS 8
#define ROUTER_ROUTES 16

struct router {
    struct net *net;
    struct router_port {
        struct router *router;
        struct memlink *link;
        int end;
    } port[ROUTER_PORTS];
    int ports, routes;
    struct {
        u32 subnet, mask; /* host order */
        int port;
    } route[ROUTER_ROUTES];
    bool silent;          /* says nothing about what is too long: a black hole for path MTU discovery */
    u64 forwarded, dropped, told; /* packets; told: "fragmentation needed" */
};

struct router *router_create(struct sim *sim);
/* This end of the link is a port from now on; which number. The link has no NETIF_F_TSO and no NETIF_F_NOWIRE. */
int router_add_port(struct router *r, struct memlink *l, int end);
/* The first route that fits is taken. */
void router_add_route(struct router *r, __be32 subnet, int prefixlen, int port);
/* After the sim. */
void router_destroy(struct router *r);
/* Put ICMP's "fragmentation needed, the MTU is ..." (RFC 1191) about the frame into out[70]. */
void frag_needed(u8 *out, const void *frame, u32 mtu);
#define FRAG_NEEDED_LEN 70

#endif
