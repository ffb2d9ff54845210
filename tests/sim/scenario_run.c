/* SPDX-License-Identifier: MIT */
/* Playing a scenario: the world is made, the programs (programs.c) run in it, and what came of it is judged. */

#include "../../stack/core/neighbour.h"
#include "../../stack/core/rcu.h"
#include "../../stack/core/sch_generic.h"
#include "../../stack/ipv4/route.h"
#include "../../stack/ipv4/tcp.h"
#include "run.h"
#include <stdarg.h>

#define STALL_LIMIT (600 * NSEC_PER_SEC)      /* nothing moved for so long: no progress */
#define TBF_BURST 20000u
#define TBF_LIMIT 65536u

struct armed_event {
    struct run *run;
    const struct event *e;
};

void run_fail(struct run *r, const char *fmt, ...)
{
    va_list ap;

    if (r->res->why[0])
        return;
    va_start(ap, fmt);
    vsnprintf(r->res->why, sizeof(r->res->why), fmt, ap);
    va_end(ap);
}

/* ---- the world ------------------------------------------------------------------------------------------- */

static void happen(void *arg)
{
    struct armed_event *a = arg;
    struct run *r = a->run;
    const struct event *e = a->e;
    struct memlink *l = r->link[e->link];
    struct link_config c = r->sc->link[e->link];

    switch (e->kind) {
    case EV_MTU:
        dev_set_mtu(memlink_dev(l, 0), e->value);
        dev_set_mtu(memlink_dev(l, 1), e->value);
        r->wire[e->link].mtu_changed = r->sim->now;
        run_count(r, F_MTU, 1);
        break;
    case EV_DOWN:
    case EV_CUT:
    case EV_UP:
        memlink_set_up(l, e->kind == EV_UP);
        run_count(r, F_CUT, e->kind == EV_CUT);
        break;
    case EV_HOLE:
    case EV_HOLE_END:
        memlink_black_hole(l, e->end, e->kind == EV_HOLE);
        break;
    case EV_PATH_MTU:
        c.path_mtu = e->value;
        c.mtu = 0;
        memlink_config(l, &c);
        if (e->icmp)
            r->wire[e->link].path_mtu = e->value;
        break;
    }
    r->last = r->sim->now;
    free(a);
}

static void make_host(struct run *r, int i)
{
    const struct host_plan *h = &r->sc->host[i];
    struct netns_ipv4 *s;

    if (i >= r->sc->hosts) {
        r->router[i] = router_create(r->sim);
        r->router[i]->silent = h->silent;
        r->net[i] = r->router[i]->net;
        return;
    }
    r->net[i] = sim_net(r->sim);
    s = &r->net[i]->ipv4;
    s->sysctl_tcp_timestamps = h->timestamps;
    s->sysctl_tcp_sack = h->sack;
    s->sysctl_tcp_window_scaling = h->wscale;
    s->sysctl_tcp_ecn = h->ecn ? 1 : 2;
    s->sysctl_tcp_frto = h->frto;
    s->sysctl_tcp_recovery = h->recovery;
    s->sysctl_tcp_early_retrans = h->early_retrans;
    s->sysctl_tcp_autocorking = h->autocorking;
    s->sysctl_tcp_fastopen = h->fastopen;
    s->sysctl_tcp_syncookies = h->syncookies;
    s->sysctl_tcp_mtu_probing = 1; /* black holes are found */
    s->sysctl_tcp_syn_retries = s->sysctl_tcp_synack_retries = 12;
    s->sysctl_tcp_retries2 = s->sysctl_tcp_orphan_retries = 100; /* the links may be as bad as drawn: no giving up */
    for (int c = 0; c < r->sc->conns; c++)
        if (r->sc->conn[c].outcome == LINK_IS_CUT) {
            s->sysctl_tcp_syn_retries = s->sysctl_tcp_synack_retries = 4;
            s->sysctl_tcp_orphan_retries = 0;
        }
}

static void make_qdisc(struct run *r, struct net_device *dev, const struct host_plan *h)
{
    if (h->qdisc == PFIFO_FAST) /* the default */
        return;
    if (dev_graft_qdisc(dev, h->qdisc == FQ ? &fq_ops : &tbf_ops) ||
        (h->qdisc == TBF && tbf_change(dev->qdisc, h->tbf_rate, TBF_BURST, TBF_LIMIT)))
        run_fail(r, "the queueing discipline cannot be had");
}

static void make_link(struct run *r, int i)
{
    const struct scenario *sc = r->sc;
    const int *node = sc->link_host[i];

    r->link[i] = sim_link(r->sim, r->net[node[0]], r->net[node[1]], &sc->link[i]);
    wire_watch(&r->wire[i], r->sim, r->link[i]);
    r->wire[i].one_way_ns = sc->link[i].delay_ns;
    r->wire[i].lie = sc->sabotage;
    for (int end = 0; end < 2; end++) {
        dev_add_addr(memlink_dev(r->link[i], end), htobe32(link_address(i, end)), 24);
        make_qdisc(r, memlink_dev(r->link[i], end), &sc->host[node[end]]);
        r->wire[i].behind_router[end] = r->router[node[end]] != NULL;
        if (r->router[node[end]])
            router_add_port(r->router[node[end]], r->link[i], end);
    }
}

/* Routers: each link's subnet behind the port that is nearer to it. Hosts: everything by way of their router. */
static void add_routes(struct run *r, int l, int node, int end)
{
    const struct scenario *sc = r->sc;
    int far = sc->link_host[l][!end], port = 0;

    if (!r->router[node]) {
        if (r->router[far] && fib_add_route(r->net[node], 0, 0, htobe32(link_address(l, !end)), memlink_dev(r->link[l], end)->ifindex, 0, 0))
            run_fail(r, "no route");
        return;
    }
    for (int i = 0; i < r->router[node]->ports; i++)
        if (r->router[node]->port[i].link == r->link[l])
            port = i;
    router_add_route(r->router[node], htobe32(link_address(l, 0)), 24, port);
    for (int i = 0; r->router[far] && i < sc->links; i++)
        if (i != l && (sc->link_host[i][0] == far || sc->link_host[i][1] == far))
            router_add_route(r->router[node], htobe32(link_address(i, 0)), 24, port);
}

/* Fast open tells a program nothing when ARP fails: there, hosts know their neighbours. */
static void know_neighbours(struct run *r, int l, int end)
{
    struct net_device *dev = memlink_dev(r->link[l], end);
    struct neighbour *n;

    rcu_read_lock();
    n = __neigh_create(dev->net, htobe32(link_address(l, !end)), dev);
    if (n)
        neigh_update(n, memlink_dev(r->link[l], !end)->dev_addr, NUD_PERMANENT, true);
    rcu_read_unlock();
}

static void sabotage_home(struct run *r)
{
    if (r->sc->sabotage == SKB_LOST)
        r->lost = alloc_skb(r->net[0], 100);
    if (r->sc->sabotage == TIMER_LEFT) {
        timer_setup(&r->forgotten, r->net[0], NULL);
        mod_timer(&r->forgotten, r->sim->now + 1000 * 3600 * NSEC_PER_SEC);
    }
}

static void make_world(struct run *r)
{
    const struct scenario *sc = r->sc;
    bool fastopen = false;

    for (int i = 0; i < sc->conns; i++)
        fastopen |= sc->conn[i].fastopen;
    for (int i = 0; i < sc->hosts + sc->routers; i++) {
        make_host(r, i);
        run_count(r, (enum feature[]){F_PFIFO_FAST, F_FQ, F_TBF}[sc->host[i].qdisc], 1);
    }
    for (int i = 0; i < sc->links; i++) {
        make_link(r, i);
        run_count(r, F_RATE_LIMITED, sc->link[i].rate_bps != 0);
    }
    for (int i = 0; i < sc->links; i++)
        for (int end = 0; end < 2; end++) {
            add_routes(r, i, sc->link_host[i][end], end);
            if (fastopen)
                know_neighbours(r, i, end);
        }
    for (int i = 0; i < sc->events; i++) {
        struct armed_event *a = malloc(sizeof(*a));

        *a = (struct armed_event){r, &sc->event[i]};
        sim_at(r->sim, r->sim->now + sc->event[i].at, happen, a);
    }
    sabotage_home(r);
}

/* ---- the verdict ---------------------------------------------------------------------------------------------- */

static void say_state(struct run *r, char *text, size_t size)
{
    size_t n = 0;

    text[0] = 0;
    for (int i = 0; i < r->sc->conns; i++)
        for (int w = 0; w < 2 && n < size; w++) {
            const struct endpoint *e = &r->end[i][w];

            n += (size_t)snprintf(text + n, size - n, "; conn %d %s wrote %llu of %llu, read %llu, state %d", i, w ? "server" : "client",
                                  (unsigned long long)e->sent, (unsigned long long)e->side->bytes, (unsigned long long)e->received,
                                  e->s && e->s->sk ? (int)e->s->sk->sk_state : 0);
        }
}

static bool go_on(void *arg)
{
    struct run *r = arg;
    char state[600];

    for (int i = 0; i < r->sc->links; i++)
        if (r->wire[i].why[0])
            run_fail(r, "link %d %s", i, r->wire[i].why);
    if (!r->res->why[0] && r->sim->now > r->last + STALL_LIMIT + 1000 * NSEC_PER_SEC * (r->sc->conn[0].outcome != MUST_COMPLETE)) {
        say_state(r, state, sizeof(state));
        run_fail(r, "no progress for %llu s at %.3f s%s", (unsigned long long)(r->sim->now - r->last) / NSEC_PER_SEC,
             (double)r->sim->now / NSEC_PER_SEC, state);
    }
    return !r->res->why[0];
}

/* What a link of the path adds to the round trip and leaves of the rate (bytes/s). */
static void at_best(const struct scenario *sc, int link, double *rtt, double *rate)
{
    const struct link_config *l = &sc->link[link];

    *rtt += 2e-9 * (double)l->delay_ns;
    if (l->rate_bps)
        *rate = min(*rate, (double)l->rate_bps / 8);
    for (int end = 0; end < 2; end++) {
        const struct host_plan *h = &sc->host[sc->link_host[link][end]];

        if (h->qdisc == TBF) {
            *rate = min(*rate, (double)h->tbf_rate);
            *rtt += (double)TBF_LIMIT / h->tbf_rate;
        }
    }
}

/* A clean network: what the bytes, the paths and the programs' rests need, generously, and no more. */
static void check_quick(struct run *r)
{
    const struct scenario *sc = r->sc;
    double need = 5;

    for (int i = 0; i < sc->conns; i++) {
        const struct conn_plan *p = &sc->conn[i];
        double rtt = 0, rate = 1e12;

        for (int k = 0; k < p->path_len; k++)
            at_best(sc, p->path[k], &rtt, &rate);
        for (int w = 0; w < 2; w++) {
            const struct side *s = &p->side[w];
            double window = min(p->side[!w].rcvbuf ? p->side[!w].rcvbuf : 60000, s->sndbuf ? s->sndbuf : 60000) / 8.0;

            need += (double)s->bytes / min(rate, s->max_pacing ? (double)s->max_pacing : 1e12) * 3 + (double)s->bytes / window * (rtt + 0.05) +
                    20 * rtt + (double)s->rests * (double)s->pause_ns / 1e9 + (double)s->bytes / s->write_max * 0.25;
        }
        need += (double)p->start / 1e9;
    }
    if ((double)(r->sim->now - NSEC_PER_SEC) / 1e9 > need)
        run_fail(r, "the network is clean, yet it took %.3f s where %.3f s are enough", (double)(r->sim->now - NSEC_PER_SEC) / 1e9, need);
}

static void check_home(struct run *r)
{
    const char *left;

    sim_run_idle(r->sim, 6 * 3600 * NSEC_PER_SEC);
    for (int i = 0; i < r->sc->hosts + r->sc->routers; i++)
        sim_not_home(r->net[i]); /* forgets neighbours: what waits at one host for one may be another's page */
    for (int i = 0; i < r->sc->hosts + r->sc->routers; i++) {
        left = sim_not_home(r->net[i]);
        if (left)
            run_fail(r, "host %d: %s", i, left);
        else if (atomic_load(&r->net[i]->tcp_memory_allocated))
            run_fail(r, "host %d: %lld bytes of TCP memory stay charged", i, (long long)atomic_load(&r->net[i]->tcp_memory_allocated));
    }
}

static void count_link(struct run *r, int i)
{
    const struct link_stats s = memlink_stats(r->link[i]);
    const struct wire *w = &r->wire[i];

    run_count(r, F_LOST, s.lost);
    run_count(r, F_BURST, s.burst_lost);
    run_count(r, F_QUEUE, s.queue_dropped);
    run_count(r, F_REORDERED, s.reordered);
    run_count(r, F_DUPLICATED, s.duplicated);
    run_count(r, F_CORRUPTED, s.corrupted);
    run_count(r, F_TOO_LONG, s.too_long);
    run_count(r, F_DOWN, s.while_down);
    run_count(r, F_HOLE, s.black_holed);
    run_count(r, F_CE_MARKED, s.ce_marked);
    run_count(r, F_TOLD, w->told);
    run_count(r, F_FQ_HELD, w->held_by_fq);
    run_count(r, F_CHECKED_WINDOW, w->checked_window);
    run_count(r, F_AT_EDGE, w->at_edge);
    run_count(r, F_CHECKED_STAMP, w->checked_stamp);
    run_count(r, F_CHECKED_RATE, w->checked_rate);
    run_count(r, F_CHECKED_MTU, w->checked_mtu);
    for (int end = 0; end < 2; end++) {
        struct Qdisc *q = memlink_dev(r->link[i], end)->qdisc;

        if (q->ops == &tbf_ops)
            run_count(r, F_TBF_HELD, atomic_load(&q->stats.overlimits));
    }
}

static void count_node(struct run *r, int i)
{
    static const struct { enum feature f; u32 mib; } mibs[] = {
        {F_CE_HEARD, LINUX_MIB_TCPDELIVEREDCE}, {F_TFO, LINUX_MIB_TCPFASTOPENPASSIVE}, {F_COOKIES, LINUX_MIB_SYNCOOKIESRECV},
        {F_OVERFLOW, LINUX_MIB_LISTENOVERFLOWS}, {F_RETRANS, TCP_MIB_RETRANSSEGS}, {F_RTO, LINUX_MIB_TCPTIMEOUTS},
        {F_TLP, LINUX_MIB_TCPLOSSPROBES}, {F_SACK_RECOVERY, LINUX_MIB_TCPSACKRECOVERY}, {F_RENO_RECOVERY, LINUX_MIB_TCPRENORECOVERY},
        {F_UNDO, LINUX_MIB_TCPFULLUNDO}, {F_UNDO, LINUX_MIB_TCPPARTIALUNDO}, {F_UNDO, LINUX_MIB_TCPDSACKUNDO}, {F_UNDO, LINUX_MIB_TCPLOSSUNDO},
        {F_FRTO, LINUX_MIB_TCPSPURIOUSRTOS}, {F_ZERO_WINDOW, LINUX_MIB_TCPTOZEROWINDOWADV}, {F_WIN_PROBE, LINUX_MIB_TCPWINPROBE},
        {F_KEEPALIVE, LINUX_MIB_TCPKEEPALIVE}, {F_MTU_PROBE, LINUX_MIB_TCPMTUPSUCCESS}, {F_PRUNED, LINUX_MIB_PRUNECALLED},
        {F_CHALLENGE, LINUX_MIB_TCPCHALLENGEACK}, {F_TIME_WAIT, LINUX_MIB_TIMEWAITED},
    };

    for (u32 k = 0; k < ARRAY_SIZE(mibs); k++)
        run_count(r, mibs[k].f, net_mib(r->net[i], mibs[k].mib));
    if (r->router[i]) {
        run_count(r, F_FORWARDED, r->router[i]->forwarded);
        run_count(r, F_TOLD, r->router[i]->told);
    }
}

/* How many connections go by way of a link between routers that others use as well. */
static u64 sharing(const struct scenario *sc)
{
    u64 users[SC_LINKS] = {0}, n = 0;

    for (int i = 0; i < sc->conns; i++)
        for (int k = 1; k + 1 < sc->conn[i].path_len; k++)
            users[sc->conn[i].path[k]]++;
    for (int l = 0; l < sc->links; l++)
        n += users[l] > 1 ? users[l] : 0;
    return n;
}

static void summarize(struct run *r)
{
    const struct scenario *sc = r->sc;
    struct scenario_result *res = r->res;

    res->virtual_ns = r->sim->now - NSEC_PER_SEC;
    for (int i = 0; i < sc->links; i++) {
        res->digest = res->digest * 31 + r->wire[i].digest;
        res->segments += r->wire[i].segments;
        count_link(r, i);
    }
    for (int i = 0; i < sc->hosts + sc->routers; i++)
        count_node(r, i);
    for (int i = 0; i < sc->conns; i++) {
        res->bytes += r->end[i][0].received + r->end[i][1].received;
        if (!res->why[0] && sc->conn[i].outcome == MUST_COMPLETE)
            check_connection(r, i);
    }
    res->retransmitted = res->feature[F_RETRANS];
    res->timeouts = res->feature[F_RTO];
    run_count(r, F_MORE_HOSTS, (u64)sc->hosts - 2);
    run_count(r, F_SHARED, sharing(sc));
    run_count(r, F_CONNS, (u64)sc->conns);
    run_count(r, F_CROWD, sc->crowd ? (u64)sc->conns : 0);
    run_count(r, F_CLEAN, sc->clean);
}

bool scenario_run(const struct scenario *sc, struct scenario_result *res)
{
    struct run *r = calloc(1, sizeof(*r));
    char state[600];
    bool ok;

    *res = (struct scenario_result){0};
    r->sc = sc;
    r->res = res;
    r->sim = sim_create(sc->seed + 1);
    make_world(r);
    for (int i = 0; i < sc->conns; i++)
        make_connection(r, i);
    r->last = r->sim->now;
    if (!res->why[0] && sim_run_programs(r->sim, go_on, r) < 0) {
        say_state(r, state, sizeof(state));
        run_fail(r, "all wait for what will never come%s", state);
    }
    if (!res->why[0] && sc->clean)
        check_quick(r);
    summarize(r);
    if (!res->why[0])
        check_home(r);
    go_on(r);
    ok = !res->why[0];
    if (ok) { /* else the sockets are still there: their memory is left to the end of the process */
        sim_destroy(r->sim);
        for (int i = sc->hosts; i < sc->hosts + sc->routers; i++)
            router_destroy(r->router[i]);
        free(r);
    }
    return ok;
}
