/* SPDX-License-Identifier: MIT */
#ifndef SLUICE_CORE_TIMER_H
#define SLUICE_CORE_TIMER_H
/* Timers in nanoseconds of the net's clock. A min-heap with lazy keys: moving a timer later (every RTO
 * re-arm) or stopping it is O(1); the heap is put right when the old key comes up. */

#include "types.h"

struct net;
struct timer_list {
    u64 expires;                            /* wanted time, ns; 0: not pending */
    u64 key;                                /* place in the heap; <= expires while pending */
    u32 idx;                                /* 1-based heap index, 0: not in the heap */
    struct net *net;
    void (*function)(struct timer_list *t); /* runs without any lock of the timer base held */
};

struct timer_base;
struct timer_base *timer_base_alloc(void);
void timer_base_free(struct timer_base *b);

void timer_setup(struct timer_list *t, struct net *net, void (*fn)(struct timer_list *));
/* (Re-)arm for `expires` (absolute ns; the past means at the next run). Returns true if it was pending.
 * Any thread. Calls net->ops->timer_armed when the net's earliest deadline moved nearer. */
bool mod_timer(struct timer_list *t, u64 expires);
/* Stop. Returns true if it was pending. The function may still be running in another thread. */
bool del_timer(struct timer_list *t);
/* Stop and take it out of the heap, and wait for a running function (never call it from there):
 * afterwards the memory may be freed. */
bool del_timer_sync(struct timer_list *t);
/* Stop and take it out of the heap without waiting: for objects whose running function holds a reference
 * (sk_stop_timer of a dead socket), where waiting could deadlock. Any thread, any lock. */
bool del_timer_now(struct timer_list *t);
static inline bool timer_pending(const struct timer_list *t)
{
    return __atomic_load_n(&t->expires, __ATOMIC_RELAXED) != 0;
}
/* Run what is due at net_now(net); one thread at a time (others return at once). Returns the number run. */
int net_run_timers(struct net *net);
/* When the earliest timer is due: absolute ns, UINT64_MAX when there is none. May be early (lazy keys). */
u64 net_next_timer(struct net *net);
/* Timers pending; tests assert 0. */
u32 net_timers_pending(struct net *net);

#endif
