/* SPDX-License-Identifier: MIT */
/* Playing a scenario: hosts and links are made, each connection gets an accepting and a connecting program, and
 * each end of it a writer and a reader. */

#include "../../stack/core/sch_generic.h"
#include "../../stack/core/socket.h"
#include "../../stack/ipv4/tcp.h"
#include "scenario.h"
#include "wire.h"
#include <stdarg.h>

#define STALL_LIMIT (600 * NSEC_PER_SEC)      /* nothing moved for so long: no progress */
#define CUT_LIMIT (600 * NSEC_PER_SEC)        /* after a link was cut: all calls have ended */
#define USER_TIMEOUT_MS 20000

struct run;

struct endpoint {
    struct run *run;
    const struct conn_plan *plan;
    const struct side *side;
    const struct side *peer;
    struct net *net;
    struct socket *s;
    int conn, which;       /* 0: client */
    u64 sent, received, rng;
    int users;             /* programs that use s; the last one closes it */
    bool eof, failed;
};

struct run {
    const struct scenario *sc;
    struct scenario_result *res;
    struct sim *sim;
    struct net *net[SC_HOSTS];
    struct memlink *link[SC_LINKS];
    struct wire wire[SC_LINKS];
    struct endpoint end[SC_CONNS][2];
    struct socket *listener[SC_CONNS];
    u64 last; /* something moved, or a link changed */
};

struct armed_event {
    struct run *run;
    const struct event *e;
};

/* The first failure is the one that is told; everything stops then. */
static void fail(struct run *r, const char *fmt, ...)
{
    va_list ap;

    if (r->res->why[0])
        return;
    va_start(ap, fmt);
    vsnprintf(r->res->why, sizeof(r->res->why), fmt, ap);
    va_end(ap);
}

static u8 pattern(const struct endpoint *e, int which, u64 place)
{
    return (u8)(((place + ((u64)(2 * e->conn + which + 1) << 32)) * 0x9e3779b97f4a7c15ull) >> 56);
}

/* ---- the world ------------------------------------------------------------------------------------------- */

static u32 address(int link, int end) { return 0x0a000001u + ((u32)link << 8) + (u32)end; }

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
        break;
    case EV_DOWN:
    case EV_CUT:
    case EV_UP:
        memlink_set_up(l, e->kind == EV_UP);
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
    s->sysctl_tcp_mtu_probing = 1; /* black holes are found */
    s->sysctl_tcp_syn_retries = s->sysctl_tcp_synack_retries = 12;
    s->sysctl_tcp_retries2 = s->sysctl_tcp_orphan_retries = 100; /* the links may be as bad as drawn: no giving up */
    for (int c = 0; c < r->sc->conns; c++)
        if (r->sc->conn[c].outcome == LINK_IS_CUT) {
            s->sysctl_tcp_syn_retries = s->sysctl_tcp_synack_retries = 4;
            s->sysctl_tcp_orphan_retries = 0;
        }
}

static void make_world(struct run *r)
{
    const struct scenario *sc = r->sc;

    for (int i = 0; i < sc->hosts; i++)
        make_host(r, i);
    for (int i = 0; i < sc->links; i++) {
        r->link[i] = sim_link(r->sim, r->net[sc->link_host[i][0]], r->net[sc->link_host[i][1]], &sc->link[i]);
        wire_watch(&r->wire[i], r->sim, r->link[i]);
        r->wire[i].one_way_ns = sc->link[i].delay_ns;
        for (int end = 0; end < 2; end++) {
            struct net_device *dev = memlink_dev(r->link[i], end);

            dev_add_addr(dev, htobe32(address(i, end)), 24);
            if (sc->host[sc->link_host[i][end]].fq && dev_graft_qdisc(dev, &fq_ops))
                fail(r, "fq cannot be had");
        }
    }
    for (int i = 0; i < sc->events; i++) {
        struct armed_event *a = malloc(sizeof(*a));

        *a = (struct armed_event){r, &sc->event[i]};
        sim_at(r->sim, r->sim->now + sc->event[i].at, happen, a);
    }
}

/* ---- sockets --------------------------------------------------------------------------------------------- */

static int set_int(struct socket *s, int level, int name, int v)
{
    return level == SOL_SOCKET ? sock_setsockopt(s, level, name, &v, sizeof(v)) : s->ops->setsockopt(s, level, name, &v, sizeof(v));
}

static struct socket *new_socket(struct run *r, const struct conn_plan *p, int which)
{
    const struct side *o = &p->side[which];
    struct socket *s = NULL;
    int err = sock_create(r->net[which ? p->server : p->client], AF_INET, SOCK_STREAM, 0, &s);

    if (!err)
        err = s->ops->setsockopt(s, IPPROTO_TCP, TCP_CONGESTION, o->ca, (socklen_t)strlen(o->ca));
    if (!err && o->sndbuf)
        err = set_int(s, SOL_SOCKET, SO_SNDBUF, o->sndbuf);
    if (!err && o->rcvbuf)
        err = set_int(s, SOL_SOCKET, SO_RCVBUF, o->rcvbuf);
    if (!err && o->nodelay)
        err = set_int(s, IPPROTO_TCP, TCP_NODELAY, 1);
    if (!err && o->cork)
        err = set_int(s, IPPROTO_TCP, TCP_CORK, 1);
    if (!err && o->max_pacing)
        err = set_int(s, SOL_SOCKET, SO_MAX_PACING_RATE, (int)o->max_pacing);
    if (!err && p->outcome != MUST_COMPLETE) { /* a lost reset is noticed by asking */
        err = set_int(s, SOL_SOCKET, SO_KEEPALIVE, 1);
        err = err ? err : set_int(s, IPPROTO_TCP, TCP_KEEPIDLE, 5);
        err = err ? err : set_int(s, IPPROTO_TCP, TCP_KEEPINTVL, 5);
        if (!err && p->outcome == LINK_IS_CUT)
            err = set_int(s, IPPROTO_TCP, TCP_USER_TIMEOUT, USER_TIMEOUT_MS);
    }
    if (err)
        fail(r, "socket or setsockopt: %s", strerror(-err));
    return s;
}

static void set_linger(struct socket *s, int seconds)
{
    struct linger l = {.l_onoff = 1, .l_linger = seconds};

    sock_setsockopt(s, SOL_SOCKET, SO_LINGER, &l, sizeof(l));
}

/* May this end meet an error where bytes should be? */
static bool may_fail(const struct endpoint *e) { return e->plan->outcome != MUST_COMPLETE; }

static void moved(struct endpoint *e) { e->run->last = e->run->sim->now; }

/* A program is done with the socket; the last one closes it. */
static void leave(struct endpoint *e)
{
    if (--e->users || !e->s)
        return;
    if (e->side->ending == END_LINGER && !e->failed)
        set_linger(e->s, 3600);
    sock_release(e->s);
    e->s = NULL;
    moved(e);
}

static void call_failed(struct endpoint *e, const char *call, long err, u64 bytes)
{
    static const int fair[] = {-ECONNRESET, -EPIPE, -ETIMEDOUT, -EHOSTUNREACH, -ENETUNREACH, -ECONNREFUSED, -EAGAIN, -ENOTCONN};

    e->failed = true;
    moved(e);
    for (u32 i = 0; i < ARRAY_SIZE(fair); i++)
        if (may_fail(e) && err == fair[i])
            return;
    fail(e->run, "conn %d, %s: %s after %llu bytes: %s", e->conn, e->which ? "server" : "client", call, (unsigned long long)bytes,
         strerror((int)-err));
}

/* ---- the programs ------------------------------------------------------------------------------------------- */

static bool aborts(const struct endpoint *e) { return e->plan->outcome == (e->which ? ABORT_BY_SERVER : ABORT_BY_CLIENT); }

static void writer(void *arg)
{
    struct endpoint *e = arg;
    u64 total = aborts(e) ? e->plan->abort_after : e->side->bytes;
    u8 *buf = malloc(65536);

    while (e->sent < total && !e->failed) {
        size_t len = (size_t)min(total - e->sent, 1 + upto_log(&e->rng, e->side->write_max - 1));
        struct iovec iov = {buf, len};
        struct sk_msghdr msg = {.msg_flags = e->side->more && one_in(&e->rng, 4) && e->sent + len < total ? MSG_MORE
                                             : one_in(&e->rng, 50)                                        ? MSG_EOR
                                                                                                          : 0};
        ssize_t n;

        for (size_t i = 0; i < len; i++)
            buf[i] = pattern(e, e->which, e->sent + i);
        iov_iter_init(&msg.msg_iter, &iov, 1, len);
        n = sock_sendmsg(e->s, &msg);
        if (n <= 0) {
            call_failed(e, "write", n, e->sent);
            break;
        }
        e->sent += (u64)n;
        moved(e);
    }
    if (e->side->cork && !e->failed)
        set_int(e->s, IPPROTO_TCP, TCP_CORK, 0);
    if (aborts(e))
        set_linger(e->s, 0);
    else if (e->side->ending == END_SHUTDOWN && !e->failed) {
        int err = e->s->ops->shutdown(e->s, SHUT_WR);

        if (err)
            call_failed(e, "shutdown", err, e->sent);
    }
    free(buf);
    leave(e);
}

static bool check_bytes(struct endpoint *e, const u8 *buf, u64 place, ssize_t n)
{
    u64 expected = e->peer->bytes;

    if (place + (u64)n > expected)
        fail(e->run, "conn %d, %s: more bytes arrived than were sent", e->conn, e->which ? "server" : "client");
    for (ssize_t i = 0; i < n && !e->run->res->why[0]; i++)
        if (buf[i] != pattern(e, !e->which, place + (u64)i))
            fail(e->run, "conn %d, %s: byte %llu is wrong", e->conn, e->which ? "server" : "client",
                 (unsigned long long)(place + (u64)i));
    return !e->run->res->why[0];
}

/* One read(); false: no more. */
static bool read_some(struct endpoint *e, u8 *buf)
{
    u64 expected = e->peer->bytes;
    size_t len = (size_t)(1 + upto_log(&e->rng, e->side->read_max - 1));
    bool peek = e->side->peek && one_in(&e->rng, 4);
    struct iovec iov = {buf, len};
    struct sk_msghdr msg = {0};
    ssize_t n;

    if (e->side->ending != END_SHUTDOWN)
        len = iov.iov_len = (size_t)min((u64)len, expected - e->received); /* the peer's end may wait for ours */
    iov_iter_init(&msg.msg_iter, &iov, 1, len);
    n = sock_recvmsg(e->s, &msg, peek ? MSG_PEEK : e->side->waitall && e->received + len <= expected ? MSG_WAITALL : 0);
    if (n < 0) {
        call_failed(e, "read", n, e->received);
        return false;
    }
    if (!n) {
        e->eof = true;
        if (e->received != expected && !may_fail(e))
            fail(e->run, "conn %d, %s: end of file after %llu of %llu bytes", e->conn, e->which ? "server" : "client",
                 (unsigned long long)e->received, (unsigned long long)expected);
        return false;
    }
    if (!check_bytes(e, buf, e->received, n))
        return false;
    if (!peek) {
        e->received += (u64)n;
        moved(e);
    }
    return true;
}

static void reader(void *arg)
{
    struct endpoint *e = arg;
    u8 *buf = malloc(65536);
    u32 rests = e->side->rests;

    for (;;) {
        if (e->side->ending != END_SHUTDOWN && e->received >= e->peer->bytes)
            break;
        if (!read_some(e, buf) || e->run->res->why[0])
            break;
        if (e->side->pause_ns && rests && one_in(&e->rng, 8)) {
            rests--;
            sim_sleep(e->run->sim, 1 + upto_log(&e->rng, e->side->pause_ns));
            moved(e);
        }
    }
    free(buf);
    leave(e);
}

static void start_programs(struct endpoint *e)
{
    moved(e);
    e->users = aborts(e) ? 1 : 2;
    sim_spawn(e->run->sim, e->net, writer, e);
    if (!aborts(e))
        sim_spawn(e->run->sim, e->net, reader, e);
}

static void server(void *arg)
{
    struct endpoint *e = arg;
    struct socket *l = e->run->listener[e->conn];
    int err;

    e->s = sock_alloc(e->net);
    e->s->type = l->type;
    e->s->ops = l->ops;
    err = l->ops->accept(l, e->s, 0);
    sock_release(l);
    if (!err) {
        start_programs(e);
        return;
    }
    call_failed(e, "accept", err, 0);
    sock_release(e->s);
    e->s = NULL;
}

/* ARP may fail on such links, and a host may seem unreachable: the program tries again. */
static void client(void *arg)
{
    struct endpoint *e = arg;
    const struct scenario *sc = e->run->sc;
    const struct conn_plan *p = e->plan;
    int far_end = sc->link_host[p->link][0] == p->server ? 0 : 1, err = 0;
    struct sockaddr_in addr = {.sin_family = AF_INET, .sin_port = htobe16((u16)(80 + e->conn)),
                               .sin_addr.s_addr = htobe32(address(p->link, far_end))};

    sim_sleep(e->run->sim, p->start + 1);
    e->s = new_socket(e->run, p, 0);
    for (int tries = 0; tries < 60; tries++) {
        err = e->s->ops->connect(e->s, (struct sockaddr *)&addr, sizeof(addr), 0);
        moved(e);
        if (err != -EHOSTUNREACH && err != -ETIMEDOUT)
            break;
        sim_sleep(e->run->sim, NSEC_PER_SEC);
    }
    if (!err) {
        start_programs(e);
        return;
    }
    call_failed(e, "connect", err, 0);
    sock_release(e->s);
    e->s = NULL;
}

static void make_connection(struct run *r, int i)
{
    const struct conn_plan *p = &r->sc->conn[i];
    struct sockaddr_in addr = {.sin_family = AF_INET, .sin_port = htobe16((u16)(80 + i))};
    struct __kernel_sock_timeval { s64 sec, usec; } tv = {1000, 0};
    struct socket *l;
    int err;

    for (int which = 0; which < 2; which++)
        r->end[i][which] = (struct endpoint){.run = r, .plan = p, .side = &p->side[which], .peer = &p->side[!which], .conn = i,
                                             .which = which, .net = r->net[which ? p->server : p->client],
                                             .rng = r->sc->seed * 131 + (u64)(2 * i + which)};
    r->listener[i] = l = new_socket(r, p, 1);
    err = l->ops->bind(l, (struct sockaddr *)&addr, sizeof(addr));
    if (!err)
        err = l->ops->listen(l, 5);
    if (!err && p->outcome != MUST_COMPLETE) /* the client may never come */
        err = sock_setsockopt(l, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv));
    if (err)
        fail(r, "bind or listen: %s", strerror(-err));
    sim_spawn(r->sim, r->net[p->server], server, &r->end[i][1]);
    sim_spawn(r->sim, r->net[p->client], client, &r->end[i][0]);
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
            fail(r, "link %d %s", i, r->wire[i].why);
    if (!r->res->why[0] && r->sim->now > r->last + STALL_LIMIT + 1000 * NSEC_PER_SEC * (r->sc->conn[0].outcome != MUST_COMPLETE)) {
        say_state(r, state, sizeof(state));
        fail(r, "no progress for %llu s at %.3f s%s", (unsigned long long)(r->sim->now - r->last) / NSEC_PER_SEC,
             (double)r->sim->now / NSEC_PER_SEC, state);
    }
    return !r->res->why[0];
}

/* A clean network: what the bytes, the paths and the programs' rests need, generously, and no more. */
static void check_quick(struct run *r)
{
    const struct scenario *sc = r->sc;
    double need = 5;

    for (int i = 0; i < sc->conns; i++) {
        const struct conn_plan *p = &sc->conn[i];
        const struct link_config *l = &sc->link[p->link];
        double rtt = 2e-9 * (double)l->delay_ns, rate = l->rate_bps ? (double)l->rate_bps / 8 : 1e12;

        for (int w = 0; w < 2; w++) {
            const struct side *s = &p->side[w];
            double window = min(p->side[!w].rcvbuf ? p->side[!w].rcvbuf : 60000, s->sndbuf ? s->sndbuf : 60000) / 8.0;

            need += (double)s->bytes / min(rate, s->max_pacing ? (double)s->max_pacing : 1e12) * 3 + (double)s->bytes / window * (rtt + 0.05) +
                    20 * rtt + (double)s->rests * (double)s->pause_ns / 1e9 + (double)s->bytes / s->write_max * 0.25;
        }
        need += (double)p->start / 1e9;
    }
    if ((double)(r->sim->now - NSEC_PER_SEC) / 1e9 > need)
        fail(r, "the network is clean, yet it took %.3f s where %.3f s are enough", (double)(r->sim->now - NSEC_PER_SEC) / 1e9, need);
}

static void check_home(struct run *r)
{
    const char *left;

    sim_run_idle(r->sim, 6 * 3600 * NSEC_PER_SEC);
    for (int i = 0; i < r->sc->hosts; i++)
        sim_not_home(r->net[i]); /* forgets neighbours: what waits at one host for one may be another's page */
    for (int i = 0; i < r->sc->hosts; i++) {
        left = sim_not_home(r->net[i]);
        if (left)
            fail(r, "host %d: %s", i, left);
        else if (atomic_load(&r->net[i]->tcp_memory_allocated))
            fail(r, "host %d: %lld bytes of TCP memory stay charged", i, (long long)atomic_load(&r->net[i]->tcp_memory_allocated));
    }
}

static void summarize(struct run *r)
{
    struct scenario_result *res = r->res;

    res->virtual_ns = r->sim->now - NSEC_PER_SEC;
    for (int i = 0; i < r->sc->links; i++) {
        res->digest = res->digest * 31 + r->wire[i].digest;
        res->segments += r->wire[i].segments;
        res->held_by_fq += r->wire[i].held_by_fq;
    }
    for (int i = 0; i < r->sc->hosts; i++) {
        res->retransmitted += net_mib(r->net[i], TCP_MIB_RETRANSSEGS);
        res->timeouts += net_mib(r->net[i], LINUX_MIB_TCPTIMEOUTS);
    }
    for (int i = 0; i < r->sc->conns; i++)
        res->bytes += r->end[i][0].received + r->end[i][1].received;
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
        fail(r, "all wait for what will never come%s", state);
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
        free(r);
    }
    return ok;
}
