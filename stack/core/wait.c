/* SPDX-License-Identifier: MIT */
/* Wait queues, see wait.h for the order that loses no wake-up. */

#include "wait.h"
#include "net.h"

void init_waitqueue_head(struct wait_queue_head *q)
{
    spin_lock_init(&q->lock);
    CDS_INIT_LIST_HEAD(&q->head);
}

void init_wait_entry(struct wait_queue_entry *e, struct waiter *w)
{
    e->waiter = w;
    e->func = NULL;
    e->exclusive = false;
    e->private_ = NULL;
    CDS_INIT_LIST_HEAD(&e->node);
}

/* Exclusive entries stand behind the others, as in Linux: a wake-up reaches all that only watch. */
void add_wait_queue(struct wait_queue_head *q, struct wait_queue_entry *e)
{
    spin_lock(&q->lock);
    if (e->exclusive)
        cds_list_add_tail(&e->node, &q->head);
    else
        cds_list_add(&e->node, &q->head);
    spin_unlock(&q->lock);
}

void remove_wait_queue(struct wait_queue_head *q, struct wait_queue_entry *e)
{
    spin_lock(&q->lock);
    cds_list_del_init(&e->node);
    spin_unlock(&q->lock);
}

/* True when this call woke it. */
static bool wake_waiter(struct waiter *w)
{
    if (atomic_exchange_explicit(&w->woken, 1, memory_order_seq_cst))
        return false;
    if (w->net->ops->wake)
        w->net->ops->wake(w->net, w);
    return true;
}

void waiter_wake(struct waiter *w)
{
    wake_waiter(w);
}

void wake_up_poll(struct wait_queue_head *q, u32 mask)
{
    struct wait_queue_entry *e, *n;
    bool woke;

#ifndef __SANITIZE_THREAD__ /* which does not know fences; the lock alone is right too */
    /* Pairs with waiter_prepare(): either the sleeper sees the changed condition, or we see its entry. */
    atomic_thread_fence(memory_order_seq_cst);
    if (!waitqueue_active(q))
        return;
#endif
    spin_lock(&q->lock);
    cds_list_for_each_entry_safe(e, n, &q->head, node) {
        woke = true;
        if (e->func)
            e->func(e, mask);
        else
            woke = wake_waiter(e->waiter);
        if (e->exclusive && woke)
            break;
    }
    spin_unlock(&q->lock);
}
