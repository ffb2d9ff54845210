/* SPDX-License-Identifier: MIT */
#ifndef SLUICE_IPV4_TCP_HYSTART_H
#define SLUICE_IPV4_TCP_HYSTART_H
/* HyStart++ (RFC 9406): when the round trip grows in slow start, go on at a quarter of the speed (CSS) for a few
 * rounds, and leave slow start only if it stays so. CUBIC's default; Linux's HyStart by net->ipv4.sysctl_tcp_hystart. */

#include "../core/types.h"

enum { TCP_HYSTART_OFF, TCP_HYSTART_LINUX, TCP_HYSTART_PP };

struct hystartpp {
    u32 window_end;   /* the round ends when this is acknowledged */
    u32 last_rtt;     /* least RTT of the round before, us; ~0: none */
    u32 curr_rtt;     /* of this round */
    u32 css_baseline; /* least RTT of the round that began CSS */
    u8 samples;
    u8 css_rounds;    /* CSS rounds that ended */
    bool in_css;
    u8 rest;          /* acknowledged packets that made no growth yet */
};

void hystartpp_reset(struct hystartpp *h, u32 snd_nxt);
/* One RTT sample in slow start. True: leave it, ssthresh is the window. */
bool hystartpp_acked(struct hystartpp *h, u32 snd_una, u32 snd_nxt, u32 rtt_us);
/* Packets that the window grows by for these acknowledged ones. */
u32 hystartpp_growth(struct hystartpp *h, u32 acked);

#endif
