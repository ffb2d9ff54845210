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
    /* A router's ends take finished packets one by one. */
    l->features = sc->routers    ? (one_in(r, 2) ? NETIF_F_SG | NETIF_F_HW_CSUM | NETIF_F_GRO : 0)
                  : one_in(r, 2) ? NETIF_F_SG | NETIF_F_HW_CSUM | NETIF_F_TSO | NETIF_F_NOWIRE | NETIF_F_GRO
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
    if (one_in(r, 3))
        l->ce_threshold_ns = 1 + upto_log(r, 30 * NSEC_PER_MSEC);
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
    s->zerocopy = one_in(r, 6);
    s->oob = one_in(r, 8);
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

/* Next hop by next hop: the links from one node to another, shortest first (there is but one way). */
static bool find_path(const struct scenario *sc, int from, int to, int came, int *path, int *len)
{
    if (from == to)
        return true;
    if (*len == SC_PATH)
        return false;
    for (int l = 0; l < sc->links; l++) {
        const int *h = sc->link_host[l];
        int n = h[0] == from ? h[1] : h[1] == from ? h[0] : -1;

        if (n < 0 || l == came || (n < sc->hosts && n != to))
            continue;
        path[(*len)++] = l;
        if (find_path(sc, n, to, l, path, len))
            return true;
        --*len;
    }
    return false;
}

void conn_find_path(const struct scenario *sc, struct conn_plan *c)
{
    c->path_len = 0;
    find_path(sc, c->client, c->server, -1, c->path, &c->path_len);
    c->link = c->path[c->path_len - 1];
}

static void draw_conn(struct scenario *sc, struct conn_plan *c)
{
    u64 *r = &sc->rng;

    if (sc->routers) {
        c->client = (int)(roll(r) % (u64)sc->hosts);
        c->server = (int)((u64)c->client + 1 + roll(r) % (u64)(sc->hosts - 1)) % sc->hosts;
    } else {
        int link = (int)(roll(r) % (u64)sc->links);
        bool swap = one_in(r, 2);

        c->client = sc->link_host[link][swap];
        c->server = sc->link_host[link][!swap];
    }
    conn_find_path(sc, c);
    c->start = upto_log(r, 2 * NSEC_PER_SEC);
    draw_side(sc, &c->side[0]);
    draw_side(sc, &c->side[1]);
    c->fastopen = sc->host[c->client].fastopen && one_in(r, 2);
    if (!sc->clean && one_in(r, 8)) {
        c->outcome = one_in(r, 2) ? ABORT_BY_CLIENT : ABORT_BY_SERVER;
        c->abort_after = upto_log(r, c->side[c->outcome == ABORT_BY_SERVER].bytes);
    }
}

/* Many small connections to one listener, which is late and whose queue is short. */
static void draw_crowd(struct scenario *sc)
{
    u64 *r = &sc->rng;
    int server = sc->conn[0].server;

    sc->crowd = true;
    sc->conns = 6 + (int)upto(r, SC_CONNS - 6);
    sc->backlog = 1 + (int)upto(r, 5); /* 0 and no cookies: as with Linux nobody gets in */
    sc->accept_delay = upto_log(r, 4 * NSEC_PER_SEC);
    for (int i = 0; i < sc->conns; i++) {
        struct conn_plan *c = &sc->conn[i];

        do {
            draw_conn(sc, c);
        } while (c->server != server);
        c->outcome = sc->host[server].syncookies ? MAY_BE_RESET : MUST_COMPLETE;
        c->start = upto_log(r, NSEC_PER_SEC);
        c->side[1] = sc->conn[0].side[1]; /* the listener's options */
        for (int w = 0; w < 2; w++) {
            c->side[w].bytes = 1 + upto_log(r, 5000); /* a client that waits for a server that knows only its cookie would wait for ever */
            c->side[w].oob = false;
        }
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

static bool crosses(const struct conn_plan *c, int link)
{
    for (int i = 0; i < c->path_len; i++)
        if (c->path[i] == link)
            return true;
    return false;
}

static void cut_link(struct scenario *sc)
{
    int link = (int)(roll(&sc->rng) % (u64)sc->links);

    add_event(sc, upto_log(&sc->rng, 5 * NSEC_PER_SEC), EV_CUT, link);
    for (int i = 0; i < sc->conns; i++)
        if (crosses(&sc->conn[i], link))
            sc->conn[i].outcome = LINK_IS_CUT;
}

static struct host_plan draw_host(struct scenario *sc)
{
    static const int fastopen[] = {0, 0, 0x403, 0x607}; /* net.ipv4.tcp_fastopen: off; with cookies; without; any listener */
    u64 *r = &sc->rng;
    struct host_plan h = {.timestamps = !one_in(r, 4), .sack = !one_in(r, 4), .wscale = !one_in(r, 4), .ecn = one_in(r, 3),
                          .qdisc = one_in(r, 3) ? FQ : one_in(r, 6) ? TBF : PFIFO_FAST, .frto = one_in(r, 4) ? 0 : 2, .recovery = 1,
                          .early_retrans = one_in(r, 4) ? 0 : 3, .autocorking = !one_in(r, 4), .fastopen = fastopen[roll(r) % 4],
                          .syncookies = one_in(r, 2), .silent = one_in(r, 3)};

    h.tbf_rate = 50000 + (u32)upto_log(r, 10000000);
    return h;
}

/* A pair or a star around host 0; or hosts at one or two routers, whose link they share. */
static void draw_topology(struct scenario *sc)
{
    u64 *r = &sc->rng;

    if (one_in(r, 4)) {
        sc->routers = 1 + (int)upto(r, 1);
        sc->hosts = 2 + (int)upto(r, 3);
        for (int i = 0; i < sc->hosts; i++, sc->links++) {
            sc->link_host[sc->links][0] = i;
            sc->link_host[sc->links][1] = sc->hosts + (i + (int)upto(r, 1)) % sc->routers;
        }
        if (sc->routers == 2) {
            sc->link_host[sc->links][0] = sc->hosts;
            sc->link_host[sc->links++][1] = sc->hosts + 1;
        }
        return;
    }
    sc->links = one_in(r, 3) ? 2 + (int)upto(r, 2) : 1;
    sc->hosts = sc->links + 1;
    for (int i = 0; i < sc->links; i++)
        sc->link_host[i][1] = i + 1;
}

struct scenario scenario_draw(u64 seed)
{
    struct scenario sc = {.seed = seed, .rng = seed * 0x5851f42d4c957f2dull + 1, .backlog = 5};
    u64 *r = &sc.rng;

    sc.clean = one_in(r, 8);
    draw_topology(&sc);
    sc.conns = one_in(r, 3) || sc.routers ? 1 + (int)upto(r, 3) : 1;
    for (int i = 0; i < sc.hosts + sc.routers; i++)
        sc.host[i] = draw_host(&sc);
    for (int i = 0; i < sc.links; i++)
        draw_link(&sc, &sc.link[i]);
    for (int i = 0; i < sc.conns; i++)
        draw_conn(&sc, &sc.conn[i]);
    if (sc.clean)
        return sc;
    if (one_in(r, 10))
        draw_crowd(&sc);
    if (one_in(r, 2))
        for (int n = 1 + (int)upto(r, 3); n; n--)
            draw_event(&sc);
    if (!sc.crowd && one_in(r, 12))
        cut_link(&sc);
    return sc;
}

static void describe_link(const struct scenario *sc, int i)
{
    const struct link_config *l = &sc->link[i];

    fprintf(stderr,
            "  link %d (%d to %d): %.3f Mbit/s, %.3f ms, queue %u%s, mtu %u, features 0x%x; loss %u, dup %u, reorder %u (by %.3f ms), "
            "corrupt %u, burst %u/%u ppm; CE above %.3f ms\n",
            i, sc->link_host[i][0], sc->link_host[i][1], (double)l->rate_bps / 1e6, (double)l->delay_ns / 1e6, l->queue_packets, l->far_queue ? " far" : "", l->mtu,
            l->features, l->loss_ppm, l->dup_ppm, l->reorder_ppm, (double)l->reorder_delay_ns / 1e6, l->corrupt_ppm,
            l->burst_enter_ppm, l->burst_exit_ppm, (double)l->ce_threshold_ns / 1e6);
}

static void describe_side(const struct side *s, const char *name)
{
    static const char *const endings[] = {"shutdown", "close", "linger"};

    fprintf(stderr, "    %s: %s, %llu bytes by %u, reads by %u, sndbuf %d, rcvbuf %d, pacing %u, rests %u x %.3f s, %s%s%s%s%s%s%s%s\n",
            name, s->ca, (unsigned long long)s->bytes, s->write_max, s->read_max, s->sndbuf, s->rcvbuf, s->max_pacing, s->rests,
            (double)s->pause_ns / 1e9, endings[s->ending], s->nodelay ? " nodelay" : "", s->cork ? " cork" : "",
            s->more ? " more" : "", s->waitall ? " waitall" : "", s->peek ? " peek" : "",
            s->zerocopy ? " zerocopy" : "", s->oob ? " oob" : "");
}

void scenario_describe(const struct scenario *sc)
{
    static const char *const outcomes[] = {"completes", "is aborted by the client", "is aborted by the server", "is cut", "may be reset"};
    static const char *const disciplines[] = {"pfifo_fast", "fq", "tbf"};
    static const char *const kinds[] = {"MTU", "down", "up", "black hole", "black hole ends", "path MTU", "cut for ever"};

    fprintf(stderr, "seed %llu: %d hosts, %d routers, %d links, %d connections, %d events%s\n", (unsigned long long)sc->seed, sc->hosts,
            sc->routers, sc->links, sc->conns, sc->events, sc->clean ? ", clean" : "");
    if (sc->crowd)
        fprintf(stderr, "  a crowd: backlog %d, accepted from %.3f s on\n", sc->backlog, (double)sc->accept_delay / 1e9);
    for (int i = 0; i < sc->hosts + sc->routers; i++) {
        const struct host_plan *h = &sc->host[i];

        fprintf(stderr, "  %s %d: %s", i < sc->hosts ? "host" : "router", i, disciplines[h->qdisc]);
        if (h->qdisc == TBF)
            fprintf(stderr, " (%u bytes/s)", h->tbf_rate);
        if (i < sc->hosts)
            fprintf(stderr, "%s%s%s%s frto %d, early_retrans %d, fastopen 0x%x, syncookies %d", h->timestamps ? " ts" : "",
                    h->sack ? " sack" : "", h->wscale ? " wscale" : "", h->ecn ? " ecn" : "", h->frto, h->early_retrans, h->fastopen,
                    h->syncookies);
        fprintf(stderr, "%s\n", i >= sc->hosts && h->silent ? " silent" : "");
    }
    for (int i = 0; i < sc->links; i++)
        describe_link(sc, i);
    for (int i = 0; i < sc->conns; i++) {
        const struct conn_plan *c = &sc->conn[i];

        fprintf(stderr, "  conn %d: host %d -> host %d from %.3f s, %s (after %llu)%s\n", i, c->client, c->server,
                (double)c->start / 1e9, outcomes[c->outcome], (unsigned long long)c->abort_after, c->fastopen ? ", fast open" : "");
        describe_side(&c->side[0], "client");
        describe_side(&c->side[1], "server");
    }
    for (int i = 0; i < sc->events; i++)
        fprintf(stderr, "  at %.3f s: link %d %s %u (end %d)%s\n", (double)sc->event[i].at / 1e9, sc->event[i].link,
                kinds[sc->event[i].kind], sc->event[i].value, sc->event[i].end, sc->event[i].icmp ? " with ICMP" : "");
}
