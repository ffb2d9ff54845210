/* SPDX-License-Identifier: MIT */
/* Drawing a scenario from its seed, and saying what was drawn. */

#include "scenario.h"

static const char *const algorithms[] = {"cubic", "reno", "bbr"};

/* splitmix64 */
u64 roll(u64 *rng)
{
    u64 z = *rng += 0x9e3779b97f4a7c15ull;

    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
    return z ^ (z >> 31);
}

u64 upto_log(u64 *rng, u64 max_value)
{
    if (one_in(rng, 2))
        return upto(rng, max_value);
    return upto(rng, max_value >> roll(rng) % (64 - (u64)__builtin_clzll(max_value | 1)));
}

static void draw_link(struct scenario *sc, struct link_config *l)
{
    static const u32 mtus[] = {1500, 1500, 1500, 576, 1000, 9000};
    u64 *r = &sc->rng;

    l->seed = roll(r) | 1;
    l->delay_ns = upto_log(r, 200 * NSEC_PER_MSEC);
    if (!one_in(r, 3))
        l->rate_bps = 500000 + upto_log(r, 1000000000);
    l->queue_packets = one_in(r, 3) ? 8 + (u32)upto(r, 60) : 0;
    l->far_queue = one_in(r, 2);
    l->mtu = mtus[roll(r) % ARRAY_SIZE(mtus)];
    l->features = one_in(r, 2)   ? NETIF_F_SG | NETIF_F_HW_CSUM | NETIF_F_TSO | NETIF_F_NOWIRE | NETIF_F_GRO
                  : one_in(r, 2) ? NETIF_F_SG | NETIF_F_HW_CSUM | NETIF_F_GRO
                                 : 0;
    if (sc->clean) {
        l->queue_packets = 0;
        return;
    }
    l->loss_ppm = (u32)upto_log(r, 50000);
    l->dup_ppm = one_in(r, 2) ? (u32)upto_log(r, 20000) : 0;
    l->reorder_ppm = one_in(r, 2) ? (u32)upto_log(r, 100000) : 0;
    l->reorder_delay_ns = upto_log(r, 50 * NSEC_PER_MSEC);
    l->corrupt_ppm = one_in(r, 2) ? (u32)upto_log(r, 10000) : 0;
    if (one_in(r, 4)) {
        l->burst_enter_ppm = (u32)upto_log(r, 2000);
        l->burst_exit_ppm = 100000 + (u32)upto(r, 400000);
    }
}

static void draw_side(struct scenario *sc, struct side *s)
{
    u64 *r = &sc->rng;

    s->ca = algorithms[roll(r) % 3];
    s->bytes = one_in(r, 10) ? 0 : upto_log(r, one_in(r, 20) ? 4000000 : 300000);
    s->sndbuf = one_in(r, 3) ? 5000 + (int)upto(r, 60000) : 0;
    s->rcvbuf = one_in(r, 3) ? 3000 + (int)upto(r, 60000) : 0;
    s->nodelay = one_in(r, 3);
    s->cork = one_in(r, 8);
    s->more = one_in(r, 4);
    s->waitall = one_in(r, 4);
    s->peek = one_in(r, 6);
    s->max_pacing = one_in(r, 6) ? 20000 + (u32)upto_log(r, 20000000) : 0;
    s->write_max = 1 + (u32)upto_log(r, 65535);
    s->read_max = 1 + (u32)upto_log(r, 65535);
    s->pause_ns = one_in(r, 3) ? upto_log(r, 3 * NSEC_PER_SEC) : 0;
    s->rests = (u32)upto_log(r, 20);
    s->ending = (enum ending[]){END_SHUTDOWN, END_SHUTDOWN, END_CLOSE, END_LINGER}[roll(r) % 4];
    if (s->write_max < 64 || s->read_max < 64) /* many calls: fewer bytes, so that it ends today */
        s->bytes = min(s->bytes, 20000ull);
    if (s->max_pacing)
        s->bytes = min(s->bytes, 10ull * s->max_pacing);
}

static void draw_conn(struct scenario *sc, struct conn_plan *c)
{
    u64 *r = &sc->rng;
    bool swap = one_in(r, 2);

    c->link = (int)(roll(r) % (u64)sc->links);
    c->client = sc->link_host[c->link][swap];
    c->server = sc->link_host[c->link][!swap];
    c->start = upto_log(r, 2 * NSEC_PER_SEC);
    draw_side(sc, &c->side[0]);
    draw_side(sc, &c->side[1]);
    if (!sc->clean && one_in(r, 8)) {
        c->outcome = one_in(r, 2) ? ABORT_BY_CLIENT : ABORT_BY_SERVER;
        c->abort_after = upto_log(r, c->side[c->outcome == ABORT_BY_SERVER].bytes);
    }
}

static struct event *add_event(struct scenario *sc, u64 at, enum event_kind kind, int link)
{
    struct event *e = &sc->event[sc->events++];

    *e = (struct event){.at = at, .kind = kind, .link = link, .end = (int)upto(&sc->rng, 1)};
    sc->last_event = max(sc->last_event, at);
    return e;
}

static void draw_event(struct scenario *sc)
{
    static const u32 mtus[] = {552, 576, 700, 1280, 1400, 1500, 4000};
    u64 *r = &sc->rng, at = upto_log(r, 5 * NSEC_PER_SEC), end = at + 1 + upto_log(r, one_in(r, 4) ? 30 * NSEC_PER_SEC : NSEC_PER_SEC);
    int link = (int)(roll(r) % (u64)sc->links);
    struct event *e;

    switch (roll(r) % 5) {
    case 0:
    case 1:
        add_event(sc, at, EV_MTU, link)->value = mtus[roll(r) % ARRAY_SIZE(mtus)];
        return;
    case 2:
        add_event(sc, at, EV_DOWN, link);
        add_event(sc, end, EV_UP, link);
        return;
    case 3:
        e = add_event(sc, at, EV_HOLE, link);
        add_event(sc, end, EV_HOLE_END, link)->end = e->end;
        return;
    default:
        e = add_event(sc, at, EV_PATH_MTU, link);
        e->value = 600 + (u32)upto(r, 800);
        e->icmp = one_in(r, 2);
    }
}

static void cut_link(struct scenario *sc)
{
    int link = (int)(roll(&sc->rng) % (u64)sc->links);

    add_event(sc, upto_log(&sc->rng, 5 * NSEC_PER_SEC), EV_CUT, link);
    for (int i = 0; i < sc->conns; i++)
        if (sc->conn[i].link == link)
            sc->conn[i].outcome = LINK_IS_CUT;
}

struct scenario scenario_draw(u64 seed)
{
    struct scenario sc = {.seed = seed, .rng = seed * 0x5851f42d4c957f2dull + 1};
    u64 *r = &sc.rng;

    sc.clean = one_in(r, 8);
    sc.links = one_in(r, 3) ? 2 + (int)upto(r, SC_LINKS - 2) : 1;
    sc.hosts = sc.links + 1;
    sc.conns = one_in(r, 3) ? 1 + (int)upto(r, SC_CONNS - 1) : 1;
    for (int i = 0; i < sc.hosts; i++)
        sc.host[i] = (struct host_plan){.timestamps = !one_in(r, 4), .sack = !one_in(r, 4), .wscale = !one_in(r, 4),
                                        .fq = one_in(r, 3), .ecn = one_in(r, 4), .frto = one_in(r, 4) ? 0 : 2,
                                        .recovery = 1, .early_retrans = one_in(r, 4) ? 0 : 3, .autocorking = !one_in(r, 4)};
    for (int i = 0; i < sc.links; i++) {
        sc.link_host[i][0] = 0;
        sc.link_host[i][1] = i + 1;
        draw_link(&sc, &sc.link[i]);
    }
    for (int i = 0; i < sc.conns; i++)
        draw_conn(&sc, &sc.conn[i]);
    if (sc.clean)
        return sc;
    if (one_in(r, 2))
        for (int n = 1 + (int)upto(r, 3); n; n--)
            draw_event(&sc);
    if (one_in(r, 12))
        cut_link(&sc);
    return sc;
}

static void describe_link(const struct link_config *l, int i)
{
    fprintf(stderr,
            "  link %d: %.3f Mbit/s, %.3f ms, queue %u%s, mtu %u, features 0x%x; loss %u, dup %u, reorder %u (by %.3f ms), "
            "corrupt %u, burst %u/%u ppm\n",
            i, (double)l->rate_bps / 1e6, (double)l->delay_ns / 1e6, l->queue_packets, l->far_queue ? " far" : "", l->mtu,
            l->features, l->loss_ppm, l->dup_ppm, l->reorder_ppm, (double)l->reorder_delay_ns / 1e6, l->corrupt_ppm,
            l->burst_enter_ppm, l->burst_exit_ppm);
}

static void describe_side(const struct side *s, const char *name)
{
    static const char *const endings[] = {"shutdown", "close", "linger"};

    fprintf(stderr, "    %s: %s, %llu bytes by %u, reads by %u, sndbuf %d, rcvbuf %d, pacing %u, rests %u x %.3f s, %s%s%s%s%s%s\n",
            name, s->ca, (unsigned long long)s->bytes, s->write_max, s->read_max, s->sndbuf, s->rcvbuf, s->max_pacing, s->rests,
            (double)s->pause_ns / 1e9, endings[s->ending], s->nodelay ? " nodelay" : "", s->cork ? " cork" : "",
            s->more ? " more" : "", s->waitall ? " waitall" : "", s->peek ? " peek" : "");
}

void scenario_describe(const struct scenario *sc)
{
    static const char *const outcomes[] = {"completes", "is aborted by the client", "is aborted by the server", "is cut"};
    static const char *const kinds[] = {"MTU", "down", "up", "black hole", "black hole ends", "path MTU", "cut for ever"};

    fprintf(stderr, "SIM_SEED=%llu: %d hosts, %d links, %d connections, %d events%s\n", (unsigned long long)sc->seed, sc->hosts,
            sc->links, sc->conns, sc->events, sc->clean ? ", clean" : "");
    for (int i = 0; i < sc->hosts; i++)
        fprintf(stderr, "  host %d:%s%s%s%s%s frto %d, early_retrans %d\n", i, sc->host[i].timestamps ? " ts" : "",
                sc->host[i].sack ? " sack" : "", sc->host[i].wscale ? " wscale" : "", sc->host[i].fq ? " fq" : "",
                sc->host[i].ecn ? " ecn" : "", sc->host[i].frto, sc->host[i].early_retrans);
    for (int i = 0; i < sc->links; i++)
        describe_link(&sc->link[i], i);
    for (int i = 0; i < sc->conns; i++) {
        const struct conn_plan *c = &sc->conn[i];

        fprintf(stderr, "  conn %d: host %d -> host %d from %.3f s, %s (after %llu)\n", i, c->client, c->server,
                (double)c->start / 1e9, outcomes[c->outcome], (unsigned long long)c->abort_after);
        describe_side(&c->side[0], "client");
        describe_side(&c->side[1], "server");
    }
    for (int i = 0; i < sc->events; i++)
        fprintf(stderr, "  at %.3f s: link %d %s %u (end %d)%s\n", (double)sc->event[i].at / 1e9, sc->event[i].link,
                kinds[sc->event[i].kind], sc->event[i].value, sc->event[i].end, sc->event[i].icmp ? " with ICMP" : "");
}
