/* SPDX-License-Identifier: MIT */
#ifndef SLUICE_CORE_TRACE_H
#define SLUICE_CORE_TRACE_H
/* Where somebody may look at packets on their way down, call stack and all (`sluice --trace`: shim/trace.c).
 * Off, a point costs one load and one branch that is never taken. */

#include "types.h"

struct sk_buff;

enum trace_point {
    TRACE_NEIGH,      /* the neighbour is not resolved: it stays in arp_queue until somebody receives the answer */
    TRACE_QDISC,      /* into the queueing discipline: whoever runs that takes it on */
    TRACE_RING,       /* its descriptors are in the transmit ring, not yet submitted */
    TRACE_LANE,       /* went through the GSO lane */
    TRACE_COMPLETION, /* a clone of TCP's is free again (its destructor runs) */
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

/* For `return next(...)` in a function of the walk (stack/README.md): stay on the call stack, so that --trace, gdb and
 * perf show every step. A compiler would jump to the next function instead. Where caller and callee share a file the
 * step is inlined rather: the debugging information still shows it, and the call stack stays shallower than what a
 * processor keeps of return addresses. Measured over a memory link, 64-byte writes and their reception: 690 ns with
 * WALK, 694 without (no difference), 712 with -fno-optimize-sibling-calls for all of stack/.
 * Linux has prevent_tail_call_optimization() for it. */
#define WALK(call)                                                                                 \
    ({                                                                                             \
        __auto_type walk_ = (call);                                                                \
        __asm__ volatile("" : "+r"(walk_));                                                        \
        walk_;                                                                                     \
    })
/* The same behind a call without a value, at the end of a function. */
#define WALK_END() __asm__ volatile("")

#endif
