/* SPDX-License-Identifier: MIT */
#ifndef SLUICE_TESTS_FEATURE_H
#define SLUICE_TESTS_FEATURE_H
/* What a scenario exercised, counted where it happened (links, counters of the stack, calls), so that a run can show
 * that nothing of it is vacuous. */

#include "../../stack/core/types.h"
#include <stdio.h>

#define FEATURE_LIST(X)                                                 \
    X(MORE_HOSTS, "hosts beyond two")                                   \
    X(FORWARDED, "packets forwarded by routers")                        \
    X(SHARED, "connections across a shared router link")                \
    X(CONNS, "connections")                                             \
    X(CROWD, "connections in crowds at one listener")                   \
    X(CLEAN, "clean networks, held to a time limit")                    \
    X(RATE_LIMITED, "links with a rate")                                \
    X(LOST, "packets lost one by one")                                  \
    X(BURST, "packets lost in bursts")                                  \
    X(QUEUE, "packets lost to a full queue")                            \
    X(REORDERED, "packets reordered")                                   \
    X(DUPLICATED, "packets duplicated")                                 \
    X(CORRUPTED, "packets corrupted")                                   \
    X(MTU, "MTU changes")                                               \
    X(TOO_LONG, "packets too long for the path")                        \
    X(TOLD, "fragmentation needed, by ICMP")                            \
    X(DOWN, "packets lost to a link that was down")                     \
    X(HOLE, "packets lost in a black hole")                             \
    X(CUT, "links cut for ever")                                        \
    X(ABORTED, "connections aborted")                                   \
    X(CE_MARKED, "packets marked CE by a link")                         \
    X(CE_HEARD, "segments delivered with CE (ECN)")                     \
    X(RENO, "ends with reno")                                           \
    X(CUBIC, "ends with cubic")                                         \
    X(BBR, "ends with bbr")                                             \
    X(PFIFO_FAST, "nodes with pfifo_fast")                              \
    X(FQ, "nodes with fq")                                              \
    X(TBF, "nodes with tbf")                                            \
    X(TBF_HELD, "times that tbf held a packet back")                    \
    X(FQ_HELD, "packets that fq held back for a paced socket")          \
    X(SMALL_SNDBUF, "ends with a small send buffer")                    \
    X(SMALL_RCVBUF, "ends with a small receive buffer")                 \
    X(NODELAY, "ends with TCP_NODELAY")                                 \
    X(CORK, "ends with TCP_CORK")                                       \
    X(MSG_MORE, "writes with MSG_MORE")                                 \
    X(MSG_EOR, "writes with MSG_EOR")                                   \
    X(MSG_OOB, "urgent bytes (MSG_OOB)")                                \
    X(MSG_ZEROCOPY, "writes with MSG_ZEROCOPY, completed")              \
    X(MSG_PEEK, "reads with MSG_PEEK")                                  \
    X(TFO, "SYNs whose data was accepted (fast open)")                  \
    X(COOKIES, "connections from SYN cookies")                          \
    X(OVERFLOW, "accept queue overflows")                               \
    X(HALF_CLOSED, "bytes read after the own FIN (half-close)")         \
    X(RETRANS, "segments retransmitted")                                \
    X(RTO, "retransmission time-outs")                                  \
    X(TLP, "tail loss probes")                                          \
    X(SACK_RECOVERY, "recoveries with SACK")                            \
    X(RENO_RECOVERY, "recoveries without SACK")                         \
    X(UNDO, "congestion windows undone")                                \
    X(FRTO, "spurious time-outs seen (F-RTO)")                          \
    X(ZERO_WINDOW, "windows closed")                                    \
    X(WIN_PROBE, "window probes")                                       \
    X(KEEPALIVE, "keepalive probes")                                    \
    X(MTU_PROBE, "MTU probes that succeeded")                           \
    X(PRUNED, "receive queues pruned")                                  \
    X(CHALLENGE, "challenge ACKs")                                      \
    X(TIME_WAIT, "connections in TIME-WAIT")                            \
    X(CHECKED_BYTES, "checked: bytes read")                             \
    X(CHECKED_WINDOW, "checked: segments against the window")           \
    X(AT_EDGE, "          of these, filling it to the last byte")       \
    X(CHECKED_STAMP, "checked: segments against their departure time")  \
    X(CHECKED_RATE, "checked: segments against SO_MAX_PACING_RATE")     \
    X(CHECKED_MTU, "checked: segments against the MTU")

enum feature {
#define X(name, text) F_##name,
    FEATURE_LIST(X)
#undef X
        FEATURES
};

extern const char *const feature_text[FEATURES];

struct sim_totals { /* plain: crosses a pipe */
    u64 scenarios, bytes, segments;
    double virtual_s;
    u64 in_scenarios[FEATURES], amount[FEATURES];
};

struct scenario_result;
void totals_add(struct sim_totals *t, const struct scenario_result *res);
void totals_join(struct sim_totals *t, const struct sim_totals *more);
/* Each line after prefix. */
void totals_print(FILE *out, const struct sim_totals *t, const char *prefix);

#endif
