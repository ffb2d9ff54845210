/* SPDX-License-Identifier: MIT */
#ifndef SLUICE_IPV4_TCP_METRICS_H
#define SLUICE_IPV4_TCP_METRICS_H
/* What one connection teaches the next to the same peer (RFC 9040): round trip, window, reordering, and the
 * peer's fast open cookie (RFC 7413 4.1.3). */

#include "tcp_fastopen.h"

struct tcp_metrics { /* a copy; 0: not known */
    u32 rtt_us;      /* smoothed, << 3 as srtt_us */
    u32 rttvar_us;   /* << 2 as mdev_us */
    u32 ssthresh, cwnd, reordering;
};
struct tcp_metrics_table;
struct tcp_metrics_table *tcp_metrics_alloc(void); /* NULL without memory */
void tcp_metrics_free(struct tcp_metrics_table *t);
/* Of the net (tcp_ipv4.c). */
struct tcp_metrics_table *tcp_net_metrics(struct net *net);
/* What is known of daddr from saddr; false: nothing, *m is zeroed. */
bool tcp_metrics_lookup(struct net *net, __be32 saddr, __be32 daddr, struct tcp_metrics *m);
/* Did a connection of daddr's live long enough to have a round-trip time? A spoofed address has none. */
bool tcp_peer_is_proven(struct net *net, __be32 saddr, __be32 daddr);
/* Entries of the net (tests, limits). */
u32 tcp_metrics_count(struct net *net);
/* A connection's transfer begins: ssthresh, reordering and RTO from what is known. Socket lock held. */
void tcp_init_metrics(struct sock *sk);

/* The cookie and MSS that this peer gave last; cookie->len -1 when a Linux of old wants no request, 0: none. */
void tcp_fastopen_cache_get(struct sock *sk, u16 *mss, struct tcp_fastopen_cookie *cookie);
/* try_exp: 1 the experimental option is worth a try next time, 2 the standard one again. */
void tcp_fastopen_cache_set(struct sock *sk, u16 mss, const struct tcp_fastopen_cookie *cookie, bool syn_lost,
                            u16 try_exp);

#endif
