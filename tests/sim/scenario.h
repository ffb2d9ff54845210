/* SPDX-License-Identifier: MIT */
#ifndef SLUICE_TESTS_SCENARIO_H
#define SLUICE_TESTS_SCENARIO_H
/* A random scenario, all of it from one seed: hosts, routers and links (a pair, a star around one host, or hosts that
 * share the links between routers), what befalls the links, the connections and how the programs at both ends behave.
 * scenario_run() plays it and checks:
 *   - the bytes read are the bytes written, in order and each once;
 *   - nothing is sent beyond the window that the peer ever offered, above the MTU, or before its pacing time
 *     (seen on the wire: wire.c);
 *   - it goes on whenever the links allow it (virtual time without progress is bounded), and a call that must end
 *     with an error does;
 *   - at the end every sk_buff, page, sock and timer has come home. */

#include "../lib/simprog.h"
#include "feature.h"

#define SC_NODES 8 /* hosts, then routers */
#define SC_LINKS 8
#define SC_PATH 4  /* links between two hosts */
#define SC_CONNS 24
#define SC_EVENTS 12

enum ending { END_SHUTDOWN, END_CLOSE, END_LINGER };      /* shutdown(), read to the end, close(); close() when all is written and read; the same, blocking */
/* MAY_BE_RESET: from a SYN cookie. What follows a lost first segment is no answer to the cookie, and is reset. */
enum outcome { MUST_COMPLETE, ABORT_BY_CLIENT, ABORT_BY_SERVER, LINK_IS_CUT, MAY_BE_RESET };

struct side { /* one end of a connection */
    const char *ca;
    u64 bytes;              /* it writes */
    int sndbuf, rcvbuf;     /* 0: the default */
    bool nodelay, cork, more, waitall, peek, zerocopy, oob;
    u32 max_pacing;         /* bytes/s, 0: none */
    u32 write_max, read_max;/* size of one call */
    u64 pause_ns;           /* the longest rest of a slow reader; 0: never rests */
    u32 rests;              /* how often at most */
    enum ending ending;
};

struct conn_plan {
    int client, server, link; /* hosts, and the server's link */
    int path[SC_PATH], path_len;
    u64 start;
    bool fastopen;            /* the first bytes with sendto(MSG_FASTOPEN) */
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

enum discipline { PFIFO_FAST, FQ, TBF };
struct host_plan { /* of a router: qdisc and silent alone */
    bool timestamps, sack, wscale, ecn;
    enum discipline qdisc;
    u32 tbf_rate;           /* bytes/s */
    int frto, recovery, early_retrans, autocorking, fastopen, syncookies;
    bool silent;
};

/* What a test of the checks themselves lets go wrong (checks_test.c). */
enum sabotage { SOUND, WRONG_BYTE, BYTE_TWICE, BYTE_MISSING, WINDOW_OVERRUN, SENT_TOO_EARLY, ABOVE_MAX_PACING, SKB_LOST, TIMER_LEFT, NO_PROGRESS };

struct scenario {
    u64 seed, rng;
    int hosts, routers, links, conns, events;
    struct host_plan host[SC_NODES];
    struct link_config link[SC_LINKS];
    int link_host[SC_LINKS][2];
    struct conn_plan conn[SC_CONNS];
    struct event event[SC_EVENTS];
    bool crowd;      /* all connections to one listener, which accepts late and queues few */
    int backlog;
    u64 accept_delay;
    bool clean;      /* no dice and no events: must be quick */
    u64 last_event;
    enum sabotage sabotage;
};

struct scenario_result {
    char why[1024];  /* what failed; empty: nothing */
    u64 digest;      /* of all that was on the wires, and when: equal for equal seeds */
    u64 virtual_ns, segments, retransmitted, timeouts, bytes;
    u64 feature[FEATURES];
};

struct scenario scenario_draw(u64 seed);
/* The links between client and server, once hosts and links stand. */
void conn_find_path(const struct scenario *sc, struct conn_plan *c);
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
