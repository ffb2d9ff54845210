/* SPDX-License-Identifier: MIT */
#include "theory.h"
#include "bulk.h"
#include <math.h>

#define MSS 1448.0 /* MTU 1500, timestamps */
#define BBR_LINK 20e6
#define FAIR_LINK 10e6
#define RTO_MIN 0.2

struct row {
    char kind[16], ca[16], quick[8];
    double loss, rtt, seconds, low, high, last;
};

/* The response to random loss, segments/s. Without time-outs: Mathis et al., the window of RFC 5681's congestion
 * avoidance, sqrt(3/2p) (RFC 5681 and Linux count bytes or packets, so delayed ACKs do not matter: b = 1). */
static double reno_mathis(double p, double rtt) { return sqrt(1.5 / p) / rtt; }

/* With time-outs as Reno without SACK has them: RFC 5348 3.1 (Padhye, Firoiu, Towsley, Kurose). SACK, RACK-TLP and
 * limited transmit spare most of them, so a complete TCP lies between the two. */
static double reno_pftk(double p, double rtt)
{
    double t_rto = fmax(4 * rtt, RTO_MIN + rtt);

    return 1 / (rtt * sqrt(2 * p / 3) + t_rto * fmin(1, 3 * sqrt(3 * p / 8)) * p * (1 + 32 * p * p));
}

/* RFC 9438 5.1: average window 1.054 RTT^(3/4) / p^(3/4) (C 0.4, beta 0.7), and never less than Reno's. */
static double cubic_rate(double p, double rtt) { return 1.054 * pow(rtt, 0.75) / pow(p, 0.75) / rtt; }

static u64 ns(double s) { return (u64)(s * 1e9); }

static void say(const struct row *r, double value, double upper, const char *what, bool ok, struct theory_failure *fails)
{
    char line[256];
    size_t n;

    snprintf(line, sizeof(line), "%-6s %-6s loss %5.2f %% rtt %3.0f ms: %s %.3f (at least %.2f), %.3f (at most %.2f): %s", r->kind, r->ca, r->loss * 100,
             r->rtt * 1000, what, value, r->low, upper, r->high, ok ? "holds" : "DOES NOT HOLD");
    printf("%s\n", line);
    fflush(stdout);
    if (!ok && fails) {
        n = strlen(fails->text);
        snprintf(fails->text + n, sizeof(fails->text) - n, "%s\n", line);
    }
}

static struct bulk_config path(const struct row *r)
{
    return (struct bulk_config){.link = {.delay_ns = ns(r->rtt / 2), .loss_ppm = (u32)(r->loss * 1e6), .far_queue = true,
                                         .queue_packets = 1000000, .features = NETIF_F_SG | NETIF_F_HW_CSUM | NETIF_F_TSO},
                                .flows = 1, .ca = {r->ca, r->ca}, .seed = 1, .warmup = ns(fmax(5, 20 * r->rtt)), .duration = ns(r->seconds)};
}

/* Throughput under random loss over what is predicted, for the lower and for the upper bound. */
static double under_loss(const struct row *r, struct bulk_result *res, double *upper)
{
    struct bulk_config c = path(r);
    double low = reno_pftk(r->loss, r->rtt) * MSS, high = reno_mathis(r->loss, r->rtt) * MSS;

    if (!strcmp(r->ca, "bbr")) { /* does not answer to loss: what the link gives, less what is lost and the headers */
        c.link.rate_bps = (u64)BBR_LINK;
        c.link.queue_packets = (u32)fmax(BBR_LINK * r->rtt / 8 / 1514, 20);
        low = high = BBR_LINK / 8 * MSS / 1514 * (1 - r->loss);
    } else if (!strcmp(r->ca, "cubic")) {
        low = fmax(low, cubic_rate(r->loss, r->rtt) * MSS);
        high = fmax(high, cubic_rate(r->loss, r->rtt) * MSS);
    }
    bulk_run(&c, res);
    *upper = res->bytes_per_s[0] / high;
    return res->bytes_per_s[0] / low;
}

#define FAIR_RUNS 3

/* Jain's index of two flows of which the second starts later, at a bottleneck with a queue of one round trip; the
 * mean of some seeds. */
static double fairness(const struct row *r, struct bulk_result *res, double *upper)
{
    struct bulk_config c = path(r);
    double x, y, sum = 0;

    c.flows = 2;
    c.stagger = ns(5);
    c.warmup = ns(30);
    c.link.rate_bps = (u64)FAIR_LINK;
    c.link.queue_packets = (u32)(FAIR_LINK * r->rtt / 8 / 1514);
    for (c.seed = 1; c.seed <= FAIR_RUNS; c.seed++) {
        bulk_run(&c, res);
        x = res->bytes_per_s[0];
        y = res->bytes_per_s[1];
        sum += (x + y) * (x + y) / (2 * (x * x + y * y));
    }
    return *upper = sum / FAIR_RUNS;
}

/* The mean wait in a queue of four round trips, of this algorithm over CUBIC's. */
static double queue_against_cubic(const struct row *r, struct bulk_result *res, double *upper)
{
    struct bulk_config c = path(r);
    struct bulk_result cubic;

    c.link.rate_bps = (u64)FAIR_LINK;
    c.link.queue_packets = (u32)(4 * FAIR_LINK * r->rtt / 8 / 1514);
    bulk_run(&c, res);
    c.ca[0] = "cubic";
    bulk_run(&c, &cubic);
    return *upper = res->queue_s / cubic.queue_s;
}

/* How full the link is with a queue of one round trip. */
static double utilization(const struct row *r, struct bulk_result *res, double *upper)
{
    struct bulk_config c = path(r);

    c.link.rate_bps = (u64)FAIR_LINK;
    c.link.queue_packets = (u32)(FAIR_LINK * r->rtt / 8 / 1514);
    bulk_run(&c, res);
    return *upper = res->bytes_per_s[0] / (FAIR_LINK / 8 * MSS / 1514);
}

static const struct {
    const char *kind, *what;
    double (*measure)(const struct row *r, struct bulk_result *res, double *upper);
} kinds[] = {
    {"loss", "measured/predicted throughput", under_loss},
    {"fair", "Jain's index", fairness},
    {"queue", "mean queue/CUBIC's", queue_against_cubic},
    {"full", "throughput/link rate", utilization},
};

static bool check_row(const struct row *r, struct theory_failure *fails)
{
    struct bulk_result res = {0};
    double v, upper;
    bool ok;

    for (u32 i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
        if (!strcmp(kinds[i].kind, r->kind)) {
            v = kinds[i].measure(r, &res, &upper);
            ok = v >= r->low && upper <= r->high && !res.why[0];
            say(r, v, upper, res.why[0] ? res.why : kinds[i].what, ok, fails);
            return ok;
        }
    printf("theory: a row of unknown kind: %s\n", r->kind);
    return false;
}

int theory_run(const char *file, bool quick, struct theory_failure *fails)
{
    FILE *f = fopen(file, "r");
    char line[256];
    int bad = 0;

    if (!f) {
        fprintf(stderr, "%s: %s\n", file, strerror(errno));
        return -1;
    }
    while (fgets(line, sizeof(line), f)) {
        struct row r = {0};

        if (line[0] == '#' || sscanf(line, "%15s %15s %lf %lf %lf %lf %lf %7s %lf", r.kind, r.ca, &r.loss, &r.rtt, &r.seconds, &r.low,
                                     &r.high, r.quick, &r.last) < 8)
            continue;
        r.loss /= 100;
        r.rtt /= 1000;
        if (!quick || !strcmp(r.quick, "quick"))
            bad += !check_row(&r, fails);
    }
    fclose(f);
    return bad;
}
