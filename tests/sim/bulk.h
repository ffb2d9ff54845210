/* SPDX-License-Identifier: MIT */
#ifndef SLUICE_TESTS_BULK_H
#define SLUICE_TESTS_BULK_H
/* Bulk transfers over one path, measured: what congestion control does with it. */

#include "../lib/simprog.h"

#define BULK_FLOWS 2

struct bulk_config {
    struct link_config link;
    int flows;
    const char *ca[BULK_FLOWS];
    u64 stagger;            /* the second flow starts so much later */
    u64 warmup, duration;   /* measured: duration after warmup (from the last start) */
    u64 seed;
    bool fq;                /* at the sender */
    u64 sample_ns;          /* into log */
    FILE *log;              /* CSV: seconds, flow, cwnd, in flight (packets), ssthresh, bytes/s since the last, srtt ms, queue ms */
};

struct bulk_result {
    double bytes_per_s[BULK_FLOWS];
    double queue_s;         /* mean wait in the bottleneck's queue */
    double rtt_s;           /* mean smoothed round trip */
    u64 segments, retransmitted, timeouts;
    char why[128];          /* what went wrong; empty: nothing */
};

void bulk_run(const struct bulk_config *cfg, struct bulk_result *res);
/* One of the plots' settings to a file. 0, or 1: no such name. */
int bulk_sample(const char *name, FILE *out);

#endif
