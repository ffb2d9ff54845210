/* SPDX-License-Identifier: MIT */
#include "simprog.h"
#include "../../stack/core/neighbour.h"
#include "../../stack/core/rcu.h"

#define SIM_SLOT 2048u       /* payload of a transmit slot: one MSS at MTU 1500, and some */
#define STUCK_STEPS 1000000u /* steps without the clock moving that mean it never will */

/* splitmix64 */
static u64 sim_random(struct net *net)
{
    struct sim *sim = net->priv;
    u64 z = sim->rng += 0x9e3779b97f4a7c15ull;

    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
    return z ^ (z >> 31);
}

static u64 sim_clock(struct net *net)
{
    return ((struct sim *)net->priv)->now;
}

static struct waiter *sim_waiter(struct net *net)
{
    struct sim *sim = net->priv;

    if (sim->running)
        return sim_program_waiter(sim, net);
    for (int i = 0; i < sim->nr_nets; i++)
        if (sim->nets[i] == net)
            return &sim->waiters[i];
    abort();
}

/* A blocking call: the rest of the world goes on until it wakes the caller or the deadline comes. */
static int sim_wait(struct net *net, struct waiter *w, u64 deadline_ns)
{
    struct sim *sim = net->priv;

    if (sim->running)
        return sim_program_park(sim, w, deadline_ns);
    while (!atomic_load(&w->woken) && sim->now < deadline_ns) {
        if (sim_next(sim) > deadline_ns) {
            sim_run_until(sim, deadline_ns);
            break;
        }
        if (!sim_step(sim)) {
            fprintf(stderr, "simnet: a call waits at %.6f s for ever: nothing will happen any more\n",
                    (double)sim->now / NSEC_PER_SEC);
            return -EINTR;
        }
    }
    return 0;
}

static void sim_log(struct net *net, int level, const char *text)
{
    struct sim *sim = net->priv;

    snprintf(sim->last_log, sizeof(sim->last_log), "%s", text);
    if (level <= sim->log_level)
        fprintf(stderr, "%.6f net%p: %s\n", (double)sim->now / NSEC_PER_SEC, (void *)net, text);
}

static const struct net_ops sim_ops = {
    .clock_ns = sim_clock,
    .random = sim_random,
    .current_waiter = sim_waiter,
    .wait = sim_wait,
    .log = sim_log,
};

struct sim *sim_create(u64 seed)
{
    struct sim *sim = calloc(1, sizeof(*sim));
    const char *level = getenv("SIM_LOG");

    if (!sim)
        abort();
    sim->now = NSEC_PER_SEC;
    sim->seed = sim->rng = seed;
    sim->log_level = level ? atoi(level) : -1;
    return sim;
}

struct net *sim_net(struct sim *sim)
{
    int i = sim->nr_nets;

    if (i == SIM_NETS)
        abort();
    sim->pools[i] = page_pool_heap_create(SIM_SLOT, MAX_HEADER_ROOM, 0);
    sim->nets[i] = net_alloc(&sim_ops, sim);
    if (!sim->nets[i] || !sim->pools[i])
        abort();
    sim->nets[i]->tx_pool = sim->pools[i];
    sim->waiters[i].net = sim->nets[i];
    sim->nr_nets++;
    return sim->nets[i];
}

struct memlink *sim_link(struct sim *sim, struct net *a, struct net *b, const struct link_config *cfg)
{
    struct link_config c = cfg ? *cfg : (struct link_config){0};
    struct memlink *l;
    char name[16];

    if (!c.seed)
        c.seed = sim->seed * 0x2545f4914f6cdd1dull + (u64)sim->nr_links + 1;
    snprintf(name, sizeof(name), "sim%d", sim->nr_links);
    l = memlink_create(a, b, name, &c);
    if (!l || sim->nr_links == SIM_LINKS)
        abort();
    return sim->links[sim->nr_links++] = l;
}

void sim_at(struct sim *sim, u64 at, void (*fn)(void *arg), void *arg)
{
    struct sim_event *e = malloc(sizeof(*e)), **p;

    if (!e)
        abort();
    *e = (struct sim_event){max(at, sim->now), sim->event_seq++, fn, arg, NULL};
    for (p = &sim->events; *p && (*p)->at <= e->at; p = &(*p)->next)
        ;
    e->next = *p;
    *p = e;
}

u64 sim_next(struct sim *sim)
{
    u64 next = sim->events ? sim->events->at : UINT64_MAX;

    for (int i = 0; i < sim->nr_nets; i++)
        next = min(next, net_next_timer(sim->nets[i]));
    for (int i = 0; i < sim->nr_links; i++)
        next = min(next, memlink_next(sim->links[i]));
    return next;
}

static void handle_due(struct sim *sim)
{
    struct sim_event *e;

    for (int i = 0; i < sim->nr_nets; i++)
        net_tick(sim->nets[i]);
    while ((e = sim->events) != NULL && e->at <= sim->now) {
        sim->events = e->next;
        e->fn(e->arg);
        free(e);
    }
    for (int i = 0; i < sim->nr_nets; i++)
        net_poll(sim->nets[i], INT32_MAX);
}

bool sim_step(struct sim *sim)
{
    u64 next = sim_next(sim);

    if (next == UINT64_MAX)
        return false;
    if (next > sim->now) {
        sim->now = next;
        sim->steps = 0;
    } else if (++sim->steps > STUCK_STEPS) {
        fprintf(stderr, "simnet: the clock stands still at %.6f s: something is due for ever\n",
                (double)sim->now / NSEC_PER_SEC);
        abort();
    }
    handle_due(sim);
    return true;
}

void sim_run_until(struct sim *sim, u64 t)
{
    while (sim_next(sim) <= t)
        sim_step(sim);
    sim->now = max(sim->now, t);
    handle_due(sim);
}

void sim_run_for(struct sim *sim, u64 ns)
{
    sim_run_until(sim, sim->now + ns);
}

bool sim_run_idle(struct sim *sim, u64 limit)
{
    u64 end = sim->now + limit;

    while (sim_next(sim) <= end)
        if (!sim_step(sim))
            return true;
    return sim_next(sim) == UINT64_MAX;
}

static void drain_rcu(struct net *net)
{
    while (net_rcu_barrier(net))
        ;
}

const char *sim_not_home(struct net *net)
{
    static char text[256];
    s64 skbs, socks, pages, timers;
    struct net_device *dev;

    cds_list_for_each_entry(dev, &net->dev_list, node)
        neigh_flush_dev(dev);
    drain_rcu(net);
    skbs = atomic_load(&net->skb_count);
    socks = atomic_load(&net->sock_count);
    pages = net->tx_pool ? atomic_load(&net->tx_pool->outstanding) : 0;
    timers = net_timers_pending(net);
    if (!skbs && !socks && !pages && !timers)
        return NULL;
    snprintf(text, sizeof(text), "not home: %lld sk_buffs, %lld socks, %lld pages, %lld timers pending", (long long)skbs,
             (long long)socks, (long long)pages, (long long)timers);
    return text;
}

void sim_destroy(struct sim *sim)
{
    struct sim_event *e;

    while ((e = sim->events) != NULL) {
        sim->events = e->next;
        free(e);
    }
    sim_programs_free(sim);
    for (int i = 0; i < sim->nr_links; i++)
        memlink_destroy(sim->links[i]);
    for (int i = 0; i < sim->nr_nets; i++) {
        drain_rcu(sim->nets[i]);
        net_free(sim->nets[i]);
    }
    for (int i = 0; i < sim->nr_nets; i++)
        page_pool_heap_destroy(sim->pools[i]);
    free(sim);
}
