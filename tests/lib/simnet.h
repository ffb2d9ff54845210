/* SPDX-License-Identifier: MIT */
#ifndef SLUICE_TESTS_SIMNET_H
#define SLUICE_TESTS_SIMNET_H
/* Any number of nets in one process on one virtual clock, joined by memory links. Single-threaded: time moves
 * only in sim_step(), sim_run_*() and while a stack call blocks, from event to event, so that hours pass in
 * seconds and everything happens again with the same seed.
 *
 *     inet_init();                                   (tests of the ipv4 layers)
 *     struct sim *sim = sim_create(1);
 *     struct net *a = sim_net(sim), *b = sim_net(sim);
 *     struct memlink *l = sim_link(sim, a, b, &(struct link_config){.delay_ns = 10 * NSEC_PER_MSEC});
 *     dev_add_addr(memlink_dev(l, 0), inet_addr("10.0.0.1"), 24); ...
 *     sim_run_for(sim, NSEC_PER_SEC);
 *     sim_run_idle(sim, NSEC_PER_SEC * 300);
 *     sim_assert_home(a);
 *     sim_destroy(sim);
 */

#include "../../netdev/link.h"
#include "../../stack/core/net.h"

#define SIM_NETS 16
#define SIM_LINKS 32

struct sim_event {
    u64 at, seq;
    void (*fn)(void *arg);
    void *arg;
    struct sim_event *next;
};

struct sim {
    u64 now; /* ns; starts at 1 s, because 0 is never a time */
    u64 seed, rng;
    struct net *nets[SIM_NETS];
    struct page_pool *pools[SIM_NETS]; /* each net's tx_pool */
    struct waiter waiters[SIM_NETS];
    int nr_nets;
    struct memlink *links[SIM_LINKS];
    int nr_links;
    struct sim_event *events; /* by time */
    u64 event_seq, steps;
    int log_level;            /* lines up to this level go to stderr; -1 (default): none, or SIM_LOG=0..3 */
    char last_log[512];       /* the last line of any level */
    struct sim_program *programs, *running; /* simprog.h */
};

struct sim *sim_create(u64 seed);
/* Destroys links, nets and pools. Sockets must have been released. */
void sim_destroy(struct sim *sim);
/* A net with a heap pool of MSS-sized slots as tx_pool. */
struct net *sim_net(struct sim *sim);
/* A link named "sim<n>" at both ends. */
struct memlink *sim_link(struct sim *sim, struct net *a, struct net *b, const struct link_config *cfg);
/* Call fn(arg) at a time (at once when past), between steps, with no lock held. */
void sim_at(struct sim *sim, u64 at, void (*fn)(void *arg), void *arg);

/* When something happens next; UINT64_MAX: never. */
u64 sim_next(struct sim *sim);
/* Go to the next event and handle all that is due then. False: there is none. */
bool sim_step(struct sim *sim);
void sim_run_until(struct sim *sim, u64 t);
void sim_run_for(struct sim *sim, u64 ns);
/* Until nothing is left to happen, or `limit` ns have passed. True: idle. */
bool sim_run_idle(struct sim *sim, u64 limit);

/* What this net still has that should have come home (sk_buffs, socks, pages, timers); NULL: nothing. Neighbours
 * are forgotten first. Static text, overwritten by the next call. */
const char *sim_not_home(struct net *net);
#define sim_assert_home(net)                                                                       \
    do {                                                                                           \
        const char *left_ = sim_not_home(net);                                                     \
        cr_assert(left_ == NULL, "%s", left_);                                                     \
    } while (0)

#endif
