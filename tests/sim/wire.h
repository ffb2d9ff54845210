/* SPDX-License-Identifier: MIT */
#ifndef SLUICE_TESTS_WIRE_H
#define SLUICE_TESTS_WIRE_H
/* What is seen on the wires of a simulation, independent of what the stack believes: windows, MTU, pacing. */

#include "scenario.h"

#define WIRE_FLOWS 64

struct wire_flow { /* one direction */
    u32 saddr, daddr;
    u16 sport, dport;
    bool syn_seen, acked; /* acked: it has offered a window */
    int wscale;           /* of its own SYN; -1: no option */
    u32 isn, edge;        /* highest ack + window that it offered */
    u32 high;             /* highest sequence sent */
    u64 data_segs;
    u64 paced_since, paced_bytes, paced_last; /* under SO_MAX_PACING_RATE, after the first ten segments */
    u64 last_data, paced_again; /* the rate is not looked at before paced_again */
    u32 paced_last_len;
};

struct wire {
    struct sim *sim;
    struct memlink *link;
    u64 mtu_changed;         /* when: what was queued before may be longer */
    bool behind_router[2];   /* what this end sends was on another link before, and may be damaged */
    u32 path_mtu;            /* a router that says so (RFC 1191); 0: none */
    u64 one_way_ns;
    struct wire_flow flow[WIRE_FLOWS];
    int flows;
    u64 digest, segments, told;
    u64 checked_window, at_edge, checked_stamp, checked_rate, checked_mtu; /* how often each property was looked at */
    u64 held_by_fq;          /* packets with a departure time of a socket that leaves pacing to fq */
    enum sabotage lie;       /* what is seen wrongly on purpose */
    char why[512];           /* the first thing that was wrong */
    bool trace;
};

/* Watch a link. w stays the caller's and must outlive it. */
void wire_watch(struct wire *w, struct sim *sim, struct memlink *link);

#endif
