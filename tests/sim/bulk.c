/* SPDX-License-Identifier: MIT */
#include "bulk.h"
#include "../../stack/core/sch_generic.h"
#include "../../stack/core/socket.h"
#include "../../stack/ipv4/tcp.h"

#define PIECE 65536
#define RECEIVE_WINDOW (16 << 20) /* never what limits */

struct bulk_run;
struct bulk_flow {
    struct bulk_run *r;
    int i;
    struct socket *s;      /* the sender's */
    u64 received, at_start, last_sampled;
    bool up;
};

struct bulk_run {
    const struct bulk_config *cfg;
    struct bulk_result *res;
    struct sim *sim;
    struct net *a, *b;
    struct memlink *link;
    struct bulk_flow flow[BULK_FLOWS];
    u64 start, measure_from, end;
    double queue_sum, rtt_sum;
    u64 samples;
    bool over;
};

static void wrong(struct bulk_run *r, const char *what, int err)
{
    if (!r->res->why[0])
        snprintf(r->res->why, sizeof(r->res->why), "%s: %s", what, strerror(-err));
    r->over = true;
}

static void buffers(struct net *net)
{
    net->ipv4.sysctl_tcp_rmem[1] = net->ipv4.sysctl_tcp_rmem[2] = 4 * RECEIVE_WINDOW;
    net->ipv4.sysctl_tcp_wmem[2] = 4 * RECEIVE_WINDOW;
    net->ipv4.sysctl_tcp_no_metrics_save = 1;
}

static void reader(void *arg)
{
    struct bulk_flow *f = arg;
    struct bulk_run *r = f->r;
    struct sockaddr_in addr = {.sin_family = AF_INET, .sin_port = htobe16((u16)(80 + f->i))};
    struct socket *l, *s;
    u8 *buf = malloc(PIECE);
    ssize_t n;
    int err = sock_create(r->b, AF_INET, SOCK_STREAM, 0, &l);

    err = err ? err : l->ops->bind(l, (struct sockaddr *)&addr, sizeof(addr));
    err = err ? err : l->ops->listen(l, 1);
    s = sock_alloc(r->b);
    s->type = l->type;
    s->ops = l->ops;
    err = err ? err : l->ops->accept(l, s, 0);
    if (err)
        wrong(r, "accept", err);
    while (!err) {
        struct iovec iov = {buf, PIECE};
        struct sk_msghdr msg = {0};

        iov_iter_init(&msg.msg_iter, &iov, 1, PIECE);
        n = sock_recvmsg(s, &msg, 0);
        if (n <= 0)
            break;
        f->received += (u64)n;
    }
    sock_release(s);
    sock_release(l);
    free(buf);
}

static void writer(void *arg)
{
    struct bulk_flow *f = arg;
    struct bulk_run *r = f->r;
    struct sockaddr_in addr = {.sin_family = AF_INET, .sin_port = htobe16((u16)(80 + f->i)), .sin_addr.s_addr = htobe32(0x0a000002)};
    const char *ca = r->cfg->ca[f->i];
    struct linger now = {1, 0};
    u8 *buf = calloc(1, PIECE);
    int err;

    sim_sleep(r->sim, 1 + (u64)f->i * r->cfg->stagger);
    err = sock_create(r->a, AF_INET, SOCK_STREAM, 0, &f->s);
    err = err ? err : f->s->ops->setsockopt(f->s, IPPROTO_TCP, TCP_CONGESTION, ca, (socklen_t)strlen(ca));
    for (int tries = 0; tries < 20; tries++) {
        err = err && err != -EHOSTUNREACH ? err : f->s->ops->connect(f->s, (struct sockaddr *)&addr, sizeof(addr), 0);
        if (err != -EHOSTUNREACH)
            break;
    }
    f->up = !err;
    while (!err && r->sim->now < r->end) {
        struct iovec iov = {buf, PIECE};
        struct sk_msghdr msg = {0};
        ssize_t n;

        iov_iter_init(&msg.msg_iter, &iov, 1, PIECE);
        n = sock_sendmsg(f->s, &msg);
        if (n < 0)
            err = (int)n;
    }
    if (err)
        wrong(r, "connect or write", err);
    f->up = false;
    sock_setsockopt(f->s, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
    sock_release(f->s);
    free(buf);
}

static void log_flow(struct bulk_run *r, struct bulk_flow *f)
{
    const struct tcp_sock *tp = tcp_sk(f->s->sk);
    double rate = (double)(f->received - f->last_sampled) * NSEC_PER_SEC / (double)r->cfg->sample_ns;

    fprintf(r->cfg->log, "%.4f,%d,%u,%u,%u,%.0f,%.3f,%.3f\n", (double)(r->sim->now - NSEC_PER_SEC) / NSEC_PER_SEC, f->i, tp->snd_cwnd,
            tcp_packets_in_flight(tp), tp->snd_ssthresh, rate, (double)(tp->srtt_us >> 3) / 1000,
            (double)memlink_backlog_ns(r->link, 0) / 1e6);
    f->last_sampled = f->received;
}

static void sample(void *arg)
{
    struct bulk_run *r = arg;

    if (r->over || r->sim->now >= r->end) {
        r->over = true;
        return;
    }
    for (int i = 0; i < r->cfg->flows; i++)
        if (r->flow[i].up) {
            if (r->cfg->log)
                log_flow(r, &r->flow[i]);
            if (r->sim->now >= r->measure_from)
                r->rtt_sum += (double)tcp_sk(r->flow[i].s->sk)->srtt_us / 8e6 / r->cfg->flows;
        }
    if (r->sim->now >= r->measure_from) {
        r->queue_sum += (double)memlink_backlog_ns(r->link, 0) / NSEC_PER_SEC;
        r->samples++;
    }
    sim_at(r->sim, r->sim->now + r->cfg->sample_ns, sample, r);
}

static void begin_measuring(void *arg)
{
    struct bulk_run *r = arg;

    for (int i = 0; i < r->cfg->flows; i++)
        r->flow[i].at_start = r->flow[i].received;
}

static void end_measuring(void *arg)
{
    struct bulk_run *r = arg;

    for (int i = 0; i < r->cfg->flows; i++)
        r->res->bytes_per_s[i] = (double)(r->flow[i].received - r->flow[i].at_start) * NSEC_PER_SEC / (double)r->cfg->duration;
    r->res->queue_s = r->samples ? r->queue_sum / (double)r->samples : 0;
    r->res->rtt_s = r->samples ? r->rtt_sum / (double)r->samples : 0;
    r->res->segments = net_mib(r->a, TCP_MIB_OUTSEGS);
    r->res->retransmitted = net_mib(r->a, TCP_MIB_RETRANSSEGS);
    r->res->timeouts = net_mib(r->a, LINUX_MIB_TCPTIMEOUTS);
    r->over = true;
}

static bool go_on(void *arg) { return true; }

void bulk_run(const struct bulk_config *cfg, struct bulk_result *res)
{
    struct bulk_config c = *cfg;
    struct bulk_run *r = calloc(1, sizeof(*r));

    if (!c.sample_ns)
        c.sample_ns = 5 * NSEC_PER_MSEC;
    *res = (struct bulk_result){0};
    r->cfg = &c;
    r->res = res;
    r->sim = sim_create(c.seed + 1);
    r->a = sim_net(r->sim);
    r->b = sim_net(r->sim);
    buffers(r->a);
    buffers(r->b);
    r->link = sim_link(r->sim, r->a, r->b, &c.link);
    dev_add_addr(memlink_dev(r->link, 0), htobe32(0x0a000001), 24);
    dev_add_addr(memlink_dev(r->link, 1), htobe32(0x0a000002), 24);
    if (c.fq)
        dev_graft_qdisc(memlink_dev(r->link, 0), &fq_ops);
    r->start = r->sim->now;
    r->measure_from = r->start + (u64)(c.flows - 1) * c.stagger + c.warmup;
    r->end = r->measure_from + c.duration;
    for (int i = 0; i < c.flows; i++) {
        r->flow[i] = (struct bulk_flow){.r = r, .i = i};
        sim_spawn(r->sim, r->b, reader, &r->flow[i]);
        sim_spawn(r->sim, r->a, writer, &r->flow[i]);
    }
    sim_at(r->sim, r->start, sample, r);
    sim_at(r->sim, r->measure_from, begin_measuring, r);
    sim_at(r->sim, r->end, end_measuring, r);
    if (sim_run_programs(r->sim, go_on, r) < 0)
        wrong(r, "all wait for what will never come", 0);
    sim_run_idle(r->sim, 3600 * NSEC_PER_SEC);
    sim_destroy(r->sim);
    free(r);
}

/* ---- settings of the plots ---------------------------------------------------------------------------------- */

int bulk_sample(const char *name, FILE *out)
{
    static const char *const ca[] = {"reno", "cubic", "bbr"};
    struct bulk_config c = {.link = {.rate_bps = 10000000, .delay_ns = 20 * NSEC_PER_MSEC, .queue_packets = 35, .far_queue = true,
                                     .features = NETIF_F_SG | NETIF_F_HW_CSUM | NETIF_F_TSO},
                            .flows = 1, .duration = 40 * NSEC_PER_SEC, .seed = 7, .sample_ns = 50 * NSEC_PER_MSEC, .log = out};
    struct bulk_result res;
    char want[32];

    for (int i = 0; i < 3; i++) {
        c.ca[0] = c.ca[1] = ca[i];
        snprintf(want, sizeof(want), "%s-bottleneck", ca[i]);
        if (!strcmp(name, want))
            goto found;
        snprintf(want, sizeof(want), "%s-loss", ca[i]);
        if (!strcmp(name, want)) {
            c.link.loss_ppm = 1000;
            c.link.queue_packets = 200;
            c.link.rate_bps = 50000000;
            goto found;
        }
        snprintf(want, sizeof(want), "%s-two-flows", ca[i]);
        if (!strcmp(name, want)) {
            c.flows = 2;
            c.stagger = 10 * NSEC_PER_SEC;
            c.duration = 50 * NSEC_PER_SEC;
            goto found;
        }
    }
    fprintf(stderr, "simtool: no plot is called %s; they are {reno,cubic,bbr}-{bottleneck,loss,two-flows}\n", name);
    return 1;
found:
    fprintf(out, "seconds,flow,cwnd,inflight,ssthresh,bytes_per_s,srtt_ms,queue_ms\n");
    bulk_run(&c, &res);
    if (res.why[0])
        fprintf(stderr, "simtool: %s\n", res.why);
    return res.why[0] != 0;
}
