/* SPDX-License-Identifier: MIT */
#ifndef SLUICE_CORE_TRACE_H
#define SLUICE_CORE_TRACE_H
/* Where somebody may look at packets on their way down, call stack and all (`sluice --trace`: shim/trace.c).
 * Off, a point costs one load and one branch that is never taken. */

#include "types.h"

struct sk_buff;

enum trace_point {
    TRACE_QUEUED, /* left behind on the way (no neighbour yet, queueing discipline): somebody else takes it on */
    TRACE_RING,   /* its descriptors are in the transmit ring, not yet submitted */
    TRACE_LANE,   /* went through the GSO lane */
};

/* NULL: off. Set before the first packet, never changed while a stack runs. Called under any lock of the stack
 * (tx_lock, a neighbour's, a qdisc's): it must not sleep and must not call back in. The sk_buff stays the
 * caller's. */
extern void (*trace_hook)(enum trace_point where, struct sk_buff *skb);

static inline void trace_xmit(enum trace_point where, struct sk_buff *skb)
{
    if (unlikely(trace_hook != NULL))
        trace_hook(where, skb);
}

#endif
