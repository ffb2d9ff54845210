/* SPDX-License-Identifier: MIT */
/* The programs of a scenario: each connection gets an accepting and a connecting one, and each end of it a writer
 * and a reader. */

#include "../../stack/core/errqueue.h"
#include "../../stack/ipv4/tcp.h"
#include "run.h"

#ifndef MSG_ZEROCOPY
#define MSG_ZEROCOPY 0x4000000
#endif
#ifndef MSG_FASTOPEN
#define MSG_FASTOPEN 0x20000000
#endif
#ifndef SO_ZEROCOPY
#define SO_ZEROCOPY 60
#endif
#define USER_TIMEOUT_MS 20000
#define PIECE 65536

static u8 pattern(const struct endpoint *e, int which, u64 place)
{
    return (u8)(((place + ((u64)(2 * e->conn + which + 1) << 32)) * 0x9e3779b97f4a7c15ull) >> 56);
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
    if (!err && o->zerocopy)
        err = set_int(s, SOL_SOCKET, SO_ZEROCOPY, 1);
    if (!err && p->side[!which].oob) /* urgent bytes stay where they are in the stream */
        err = set_int(s, SOL_SOCKET, SO_OOBINLINE, 1);
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
        run_fail(r, "socket or setsockopt: %s", strerror(-err));
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
    run_fail(e->run, "conn %d, %s: %s after %llu bytes: %s", e->conn, e->which ? "server" : "client", call, (unsigned long long)bytes,
         strerror((int)-err));
}

/* ---- the programs ------------------------------------------------------------------------------------------- */

static bool aborts(const struct endpoint *e) { return e->plan->outcome == (e->which ? ABORT_BY_SERVER : ABORT_BY_CLIENT); }

/* MSG_ZEROCOPY: each call is completed once and in order (Documentation/networking/msg_zerocopy.rst). */
static void reap_completions(struct endpoint *e)
{
    struct {
        struct cmsghdr hdr;
        struct sock_extended_err ee;
        struct sockaddr_in offender;
    } ctl;

    for (;;) {
        struct sk_msghdr msg = {.msg_control = &ctl, .msg_controllen = sizeof(ctl)};
        struct iovec none = {NULL, 0};

        iov_iter_init(&msg.msg_iter, &none, 1, 0);
        if (sock_recvmsg(e->s, &msg, MSG_ERRQUEUE | MSG_DONTWAIT) < 0)
            return;
        if (ctl.ee.ee_origin != SO_EE_ORIGIN_ZEROCOPY)
            continue;
        if (ctl.ee.ee_info != e->zerocopy_done || ctl.ee.ee_data >= e->zerocopy_calls)
            run_fail(e->run, "conn %d, %s: MSG_ZEROCOPY calls %u to %u completed after %u of %u", e->conn, e->which ? "server" : "client",
                     ctl.ee.ee_info, ctl.ee.ee_data, e->zerocopy_done, e->zerocopy_calls);
        e->zerocopy_done = ctl.ee.ee_data + 1;
    }
}

static void fill(const struct endpoint *e, u8 *buf, size_t len)
{
    for (size_t i = 0; i < len; i++)
        buf[i] = pattern(e, e->which, e->sent + i);
}

/* One write(); false: the socket is of no more use. */
static bool write_some(struct endpoint *e, u8 *buf, u64 total)
{
    size_t len = (size_t)min(total - e->sent, 1 + upto_log(&e->rng, e->side->write_max - 1));
    bool last = e->sent + len == total;
    struct iovec iov = {buf, len};
    struct sk_msghdr msg = {0};
    ssize_t n;

    if (e->side->more && one_in(&e->rng, 4) && !last)
        msg.msg_flags = MSG_MORE;
    else if (one_in(&e->rng, 50))
        msg.msg_flags = MSG_EOR;
    if (e->side->zerocopy && one_in(&e->rng, 2))
        msg.msg_flags |= MSG_ZEROCOPY;
    if (e->side->oob && one_in(&e->rng, 6)) { /* the last byte of the call is the urgent one */
        msg.msg_flags = MSG_OOB;
        len = iov.iov_len = (size_t)min(len, 100ul);
    }
    fill(e, buf, len);
    iov_iter_init(&msg.msg_iter, &iov, 1, len);
    n = sock_sendmsg(e->s, &msg);
    if (n <= 0) {
        call_failed(e, "write", n, e->sent);
        return false;
    }
    run_count(e->run, F_MSG_MORE, !!(msg.msg_flags & MSG_MORE));
    run_count(e->run, F_MSG_EOR, !!(msg.msg_flags & MSG_EOR));
    run_count(e->run, F_MSG_OOB, !!(msg.msg_flags & MSG_OOB));
    e->zerocopy_calls += !!(msg.msg_flags & MSG_ZEROCOPY);
    e->sent += (u64)n;
    moved(e);
    if (e->side->zerocopy)
        reap_completions(e);
    return true;
}

static u64 to_write(const struct endpoint *e) { return aborts(e) ? e->plan->abort_after : e->side->bytes; }

static void writer(void *arg)
{
    struct endpoint *e = arg;
    u64 total = to_write(e);
    u8 *buf = malloc(PIECE);

    while (e->sent < total && !e->failed)
        if (!write_some(e, buf, total))
            break;
    free(buf);
    if (e->side->cork && !e->failed)
        set_int(e->s, IPPROTO_TCP, TCP_CORK, 0);
    if (aborts(e)) {
        set_linger(e->s, 0);
        run_count(e->run, F_ABORTED, 1);
    } else if (e->side->ending == END_SHUTDOWN && !e->failed) {
        int err = e->s->ops->shutdown(e->s, SHUT_WR);

        e->fin_sent = true;
        if (err)
            call_failed(e, "shutdown", err, e->sent);
    }
    leave(e);
}

static bool check_bytes(struct endpoint *e, const u8 *buf, u64 place, ssize_t n)
{
    u64 expected = e->peer->bytes;

    if (place + (u64)n > expected)
        run_fail(e->run, "conn %d, %s: more bytes arrived than were sent", e->conn, e->which ? "server" : "client");
    for (ssize_t i = 0; i < n && !e->run->res->why[0]; i++)
        if (buf[i] != pattern(e, !e->which, place + (u64)i))
            run_fail(e->run, "conn %d, %s: byte %llu is wrong", e->conn, e->which ? "server" : "client",
                 (unsigned long long)(place + (u64)i));
    return !e->run->res->why[0];
}

/* checks_test.c: as if the stack had delivered wrongly. */
static void sabotage_bytes(struct endpoint *e, u8 *buf, bool peek)
{
    enum sabotage s = e->run->sc->sabotage;

    if (s == WRONG_BYTE && e->received > 1000)
        buf[0] ^= 1;
    else if (s == BYTE_TWICE && !peek && e->received > 1000)
        e->received--;
    else if (s == BYTE_MISSING && !peek && e->received > 1000)
        e->received++;
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
        if (e->received != expected && !may_fail(e))
            run_fail(e->run, "conn %d, %s: end of file after %llu of %llu bytes", e->conn, e->which ? "server" : "client",
                 (unsigned long long)e->received, (unsigned long long)expected);
        return false;
    }
    sabotage_bytes(e, buf, peek);
    if (!check_bytes(e, buf, e->received, n))
        return false;
    run_count(e->run, F_CHECKED_BYTES, (u64)n);
    run_count(e->run, F_MSG_PEEK, peek);
    if (!peek) {
        run_count(e->run, F_HALF_CLOSED, e->fin_sent ? (u64)n : 0);
        e->received += (u64)n;
        moved(e);
    }
    return true;
}

static void reader(void *arg)
{
    struct endpoint *e = arg;
    u8 *buf = malloc(PIECE);
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
    e->started = true;
    e->users = aborts(e) ? 1 : 2;
    sim_spawn(e->run->sim, e->net, writer, e);
    if (!aborts(e))
        sim_spawn(e->run->sim, e->net, reader, e);
}

/* ---- opening ------------------------------------------------------------------------------------------------- */

#define CROWD_PORT 20000 /* of the first client: its number tells whose connection it is */

/* Whose connection was accepted. NULL: a SYN of fast open that came twice may make a connection twice (RFC 7413
 * 6.2), which is nobody's. */
static struct endpoint *whose(struct endpoint *e, const struct socket *s)
{
    int i = be16toh(inet_sk(s->sk)->inet_dport) - CROWD_PORT;

    if (!e->run->sc->crowd)
        return e;
    if (i < 0 || i >= e->run->sc->conns)
        run_fail(e->run, "accept gave a connection from port %d, which nobody uses", i + CROWD_PORT);
    else if (!e->run->end[i][1].started)
        return &e->run->end[i][1];
    else if (!e->run->sc->conn[i].fastopen)
        run_fail(e->run, "conn %d was accepted twice", i);
    return NULL;
}

static void server(void *arg)
{
    struct endpoint *e = arg, *owner = NULL;
    struct run *r = e->run;
    int at = r->sc->crowd ? 0 : e->conn, err = 0;
    struct socket *l = r->listener[at], *s;

    if (r->sc->crowd)
        sim_sleep(r->sim, 1 + r->sc->accept_delay);
    while (!owner && !err && !r->res->why[0]) {
        s = sock_alloc(e->net);
        s->type = l->type;
        s->ops = l->ops;
        err = l->ops->accept(l, s, 0);
        owner = err ? NULL : whose(e, s);
        if (owner) {
            owner->s = s;
            start_programs(owner);
        } else {
            sock_release(s);
        }
    }
    if (err)
        call_failed(e, "accept", err, 0);
    if (!--r->accepting[at])
        sock_release(l);
}

/* connect(), or the first bytes by fast open. */
static int open_connection(struct endpoint *e, struct sockaddr_in *addr)
{
    size_t len = (size_t)min(to_write(e), 1 + upto(&e->rng, 1500));
    u8 buf[1501];
    struct iovec iov = {buf, len};
    struct sk_msghdr msg = {.msg_name = addr, .msg_namelen = sizeof(*addr), .msg_flags = MSG_FASTOPEN};
    ssize_t n;

    if (!e->plan->fastopen || !len)
        return e->s->ops->connect(e->s, (struct sockaddr *)addr, sizeof(*addr), 0);
    fill(e, buf, len);
    iov_iter_init(&msg.msg_iter, &iov, 1, len);
    n = sock_sendmsg(e->s, &msg);
    if (n > 0)
        e->sent += (u64)n;
    return n < 0 ? (int)n : 0;
}

/* ARP may fail on such links, and a host may seem unreachable: the program tries again. */
static void client(void *arg)
{
    struct endpoint *e = arg;
    const struct scenario *sc = e->run->sc;
    const struct conn_plan *p = e->plan;
    int far_end = sc->link_host[p->link][0] == p->server ? 0 : 1, err = 0;
    struct sockaddr_in addr = {.sin_family = AF_INET, .sin_port = htobe16((u16)(80 + (sc->crowd ? 0 : e->conn))),
                               .sin_addr.s_addr = htobe32(link_address(p->link, far_end))};
    struct sockaddr_in own = {.sin_family = AF_INET, .sin_port = htobe16((u16)(CROWD_PORT + e->conn))};

    sim_sleep(e->run->sim, p->start + 1);
    e->s = new_socket(e->run, p, 0);
    if (sc->crowd && (err = e->s->ops->bind(e->s, (struct sockaddr *)&own, sizeof(own))) != 0)
        run_fail(e->run, "bind: %s", strerror(-err));
    for (int tries = 0; tries < 60; tries++) {
        err = open_connection(e, &addr);
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

static void listen_at(struct run *r, int i)
{
    const struct conn_plan *p = &r->sc->conn[i];
    struct sockaddr_in addr = {.sin_family = AF_INET, .sin_port = htobe16((u16)(80 + i))};
    struct __kernel_sock_timeval { s64 sec, usec; } tv = {1000, 0};
    struct socket *l = new_socket(r, p, 1);
    int err = l->ops->bind(l, (struct sockaddr *)&addr, sizeof(addr));

    r->listener[i] = l;
    if (!err)
        err = l->ops->listen(l, r->sc->backlog);
    if (!err && p->outcome != MUST_COMPLETE) /* the client may never come */
        err = sock_setsockopt(l, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv));
    if (err)
        run_fail(r, "bind or listen: %s", strerror(-err));
}

static void count_side(struct run *r, const struct side *s)
{
    run_count(r, !strcmp(s->ca, "reno") ? F_RENO : !strcmp(s->ca, "bbr") ? F_BBR : F_CUBIC, 1);
    run_count(r, F_SMALL_SNDBUF, s->sndbuf != 0);
    run_count(r, F_SMALL_RCVBUF, s->rcvbuf != 0);
    run_count(r, F_NODELAY, s->nodelay);
    run_count(r, F_CORK, s->cork);
}

void make_connection(struct run *r, int i)
{
    const struct conn_plan *p = &r->sc->conn[i];
    int at = r->sc->crowd ? 0 : i;

    for (int which = 0; which < 2; which++) {
        r->end[i][which] = (struct endpoint){.run = r, .plan = p, .side = &p->side[which], .peer = &p->side[!which], .conn = i,
                                             .which = which, .net = r->net[which ? p->server : p->client],
                                             .rng = r->sc->seed * 131 + (u64)(2 * i + which)};
        count_side(r, &p->side[which]);
    }
    if (at == i)
        listen_at(r, i);
    r->accepting[at]++;
    sim_spawn(r->sim, r->net[p->server], server, &r->end[i][1]);
    sim_spawn(r->sim, r->net[p->client], client, &r->end[i][0]);
}

void check_connection(struct run *r, int i)
{
    for (int w = 0; w < 2; w++) {
        const struct endpoint *e = &r->end[i][w];

        if (e->zerocopy_done != e->zerocopy_calls)
            run_fail(r, "conn %d, %s: %u of %u MSG_ZEROCOPY calls completed", i, w ? "server" : "client", e->zerocopy_done, e->zerocopy_calls);
        run_count(r, F_MSG_ZEROCOPY, e->zerocopy_done);
    }
}
