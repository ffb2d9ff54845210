/* SPDX-License-Identifier: MIT */
#ifndef SLUICE_TESTS_RUN_H
#define SLUICE_TESTS_RUN_H
/* Between scenario_run.c (the world and the verdict) and programs.c (who reads and writes). */

#include "../../stack/core/socket.h"
#include "../lib/router.h"
#include "scenario.h"
#include "wire.h"

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
    u32 zerocopy_calls, zerocopy_done;
    int users;             /* programs that use s; the last one closes it */
    bool started, fin_sent, failed;
};

struct run {
    const struct scenario *sc;
    struct scenario_result *res;
    struct sim *sim;
    struct net *net[SC_NODES];
    struct router *router[SC_NODES]; /* of the nodes that are */
    struct memlink *link[SC_LINKS];
    struct wire wire[SC_LINKS];
    struct endpoint end[SC_CONNS][2];
    struct socket *listener[SC_CONNS];
    int accepting[SC_CONNS];         /* programs at the listener; the last one closes it */
    u64 last; /* something moved, or a link changed */
    void *lost;                      /* SKB_LOST */
    struct timer_list forgotten;     /* TIMER_LEFT */
};

static inline u32 link_address(int link, int end) { return 0x0a000001u + ((u32)link << 8) + (u32)end; }
/* The first failure is the one that is told; everything stops then. */
__attribute__((format(printf, 2, 3))) void run_fail(struct run *r, const char *fmt, ...);
static inline void run_count(struct run *r, enum feature f, u64 n) { r->res->feature[f] += n; }
/* programs.c: the programs of connection i, and what it needs to listen. */
void make_connection(struct run *r, int i);
/* After a connection that completed: what its program still has to find. */
void check_connection(struct run *r, int i);

#endif
