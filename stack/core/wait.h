/* SPDX-License-Identifier: MIT */
#ifndef SLUICE_CORE_WAIT_H
#define SLUICE_CORE_WAIT_H
/* Wait queues. A thread sleeps on its `struct waiter` (one per thread, from net->ops->current_waiter);
 * a wait_queue_entry ties a waiter, or a callback such as epoll's, to a socket.
 *
 * The order that loses no wake-up: reset the waiter (waiter_prepare), then look at the condition, then
 * net->ops->wait(). A waker changes the condition first and calls wake_up afterwards. */

#include "spinlock.h"
#include "types.h"
#include <urcu/list.h>

struct net;
struct waiter {
    _Atomic u32 woken;
    struct net *net;
};

struct wait_queue_entry {
    struct cds_list_head node;
    struct waiter *waiter;                                   /* for the default func */
    void (*func)(struct wait_queue_entry *e, u32 poll_mask); /* called with the queue's lock held */
    bool exclusive; /* wake_up stops after one exclusive entry that was woken */
    void *private_;
};

struct wait_queue_head {
    spinlock_t lock; /* protects head; innermost: nothing nests in it but an epoll set's own lock */
    struct cds_list_head head;
};

void init_waitqueue_head(struct wait_queue_head *q);
/* Prepare an entry that wakes `w`. */
void init_wait_entry(struct wait_queue_entry *e, struct waiter *w);
void add_wait_queue(struct wait_queue_head *q, struct wait_queue_entry *e);
void remove_wait_queue(struct wait_queue_head *q, struct wait_queue_entry *e);
/* mask: the EPOLL* events that came about (0: unknown, look for yourself). */
void wake_up_poll(struct wait_queue_head *q, u32 mask);
static inline bool waitqueue_active(struct wait_queue_head *q) { return !cds_list_empty(&q->head); }

static inline void waiter_prepare(struct waiter *w)
{
    atomic_store_explicit(&w->woken, 0, memory_order_seq_cst);
}
/* Marks w woken and, if its thread sleeps, wakes it (net->ops->wake). */
void waiter_wake(struct waiter *w);

#endif
