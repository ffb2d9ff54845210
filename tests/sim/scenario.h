/* SPDX-License-Identifier: MIT */
#ifndef SLUICE_TESTS_SCENARIO_H
#define SLUICE_TESTS_SCENARIO_H
/* A random scenario, all of it from one seed: hosts and links (a pair, or a star around one host), what befalls
 * the links, the connections and how the programs at both ends behave. scenario_run() plays it and checks:
 *   - the bytes read are the bytes written, in order and each once;
 *   - nothing is sent beyond the window that the peer ever offered, above the MTU, or before its pacing time
 *     (seen on the wire: wire.c);
 *   - it goes on whenever the links allow it (virtual time without progress is bounded), and a call that must end
 *     with an error does;
 *   - at the end every sk_buff, page, sock and timer has come home. */

#include "../lib/simprog.h"

#define SC_HOSTS 5
#define SC_LINKS 4
#define SC_CONNS 4
#define SC_EVENTS 12

enum ending { END_SHUTDOWN, END_CLOSE, END_LINGER };      /* shutdown(), read to the end, close(); close() when all is written and read; the same, blocking */
enum outcome { MUST_COMPLETE, ABORT_BY_CLIENT, ABORT_BY_SERVER, LINK_IS_CUT };

struct side { /* one end of a connection */
    const char *ca;
    u64 bytes;              /* it writes */
    int sndbuf, rcvbuf;     /* 0: the default */
    bool nodelay, cork, more, waitall, peek;
    u32 max_pacing;         /* bytes/s, 0: none */
    u32 write_max, read_max;/* size of one call */
    u64 pause_ns;           /* the longest rest of a slow reader; 0: never rests */
    u32 rests;              /* how often at most */
    enum ending ending;
};

struct conn_plan {
    int client, server, link; /* hosts, and the link between */
    u64 start;
    struct side side[2];      /* client, server */
    enum outcome outcome;
    u64 abort_after;          /* bytes written by who aborts */
};

enum event_kind { EV_MTU, EV_DOWN, EV_UP, EV_HOLE, EV_HOLE_END, EV_PATH_MTU, EV_CUT };
struct event {
    u64 at;
    enum event_kind kind;
    int link, end;
    u32 value; /* MTU */
    bool icmp; /* EV_PATH_MTU: the router says so */
};

struct host_plan {
    bool timestamps, sack, wscale, fq, ecn;
    int frto, recovery, early_retrans, autocorking;
};

struct scenario {
    u64 seed, rng;
    int hosts, links, conns, events;
    struct host_plan host[SC_HOSTS];
    struct link_config link[SC_LINKS];
    int link_host[SC_LINKS][2];
    struct conn_plan conn[SC_CONNS];
    struct event event[SC_EVENTS];
    bool clean;      /* no dice and no events: must be quick */
    u64 last_event;
};

struct scenario_result {
    char why[1024];  /* what failed; empty: nothing */
    u64 digest;      /* of all that was on the wires, and when: equal for equal seeds */
    u64 virtual_ns, segments, retransmitted, timeouts, bytes;
    u64 held_by_fq;  /* packets with a departure time of a socket that leaves pacing to fq */
};

struct scenario scenario_draw(u64 seed);
/* To stderr. */
void scenario_describe(const struct scenario *sc);
/* True: all properties held. */
bool scenario_run(const struct scenario *sc, struct scenario_result *res);

/* The scenario's dice; programs roll them while they run. */
u64 roll(u64 *rng);
static inline u64 upto(u64 *rng, u64 n) { return roll(rng) % (n + 1); }
static inline bool one_in(u64 *rng, u32 n) { return roll(rng) % n == 0; }
/* Half of them uniform, half with a uniform exponent: small values are likelier. */
u64 upto_log(u64 *rng, u64 max_value);

#endif
