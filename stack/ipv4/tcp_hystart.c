/* SPDX-License-Identifier: MIT */
/* HyStart++, with the constants that RFC 9406 4.3 recommends. */

#include "tcp_hystart.h"
#include "tcp.h"

#define MIN_RTT_THRESH_US 4000u
#define MAX_RTT_THRESH_US 16000u
#define MIN_RTT_DIVISOR 8
#define N_RTT_SAMPLE 8
#define CSS_GROWTH_DIVISOR 4
#define CSS_ROUNDS 5
#define RTT_NONE (~0u)

void hystartpp_reset(struct hystartpp *h, u32 snd_nxt)
{
    *h = (struct hystartpp){.window_end = snd_nxt, .last_rtt = RTT_NONE, .curr_rtt = RTT_NONE, .css_baseline = RTT_NONE};
}

/* A round begins. True: it was the last one of CSS. */
static bool hystartpp_round(struct hystartpp *h, u32 snd_nxt)
{
    h->last_rtt = h->curr_rtt;
    h->curr_rtt = RTT_NONE;
    h->samples = 0;
    h->window_end = snd_nxt;
    return h->in_css && ++h->css_rounds >= CSS_ROUNDS;
}

bool hystartpp_acked(struct hystartpp *h, u32 snd_una, u32 snd_nxt, u32 rtt_us)
{
    if (after(snd_una, h->window_end) && hystartpp_round(h, snd_nxt))
        return true;
    h->curr_rtt = min(h->curr_rtt, rtt_us);
    if (h->samples < N_RTT_SAMPLE)
        h->samples++;
    if (h->samples < N_RTT_SAMPLE)
        return false;
    if (h->in_css) {
        if (h->curr_rtt < h->css_baseline) { /* the growth was a false alarm */
            h->in_css = false;
            h->css_baseline = RTT_NONE;
        }
    } else if (h->last_rtt != RTT_NONE &&
               h->curr_rtt >= h->last_rtt + clamp(h->last_rtt / MIN_RTT_DIVISOR, MIN_RTT_THRESH_US, MAX_RTT_THRESH_US)) {
        h->in_css = true;
        h->css_rounds = 0;
        h->css_baseline = h->curr_rtt;
    }
    return false;
}

/* As Linux's slow start, an ACK counts for all that it acknowledges: RFC 9406's L is infinite, paced or not. Peers
 * that join segments (GRO) acknowledge dozens at once, and L = 8 would leave them a linear start. */
u32 hystartpp_growth(struct hystartpp *h, u32 acked)
{
    if (!h->in_css)
        return acked;
    acked += h->rest;
    h->rest = (u8)(acked % CSS_GROWTH_DIVISOR);
    return acked / CSS_GROWTH_DIVISOR;
}
