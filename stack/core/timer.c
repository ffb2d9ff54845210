/* SPDX-License-Identifier: MIT */
/* Timers: a min-heap by `key`, where key <= expires. A timer that moves later keeps its place, one that is
 * stopped keeps it too (expires 0): both are put right when the old key comes to the top. */

#include "timer.h"
#include "net.h"

struct timer_base {
    pthread_mutex_t lock;  /* the heap, every timer's expires/key/idx, running. Innermost: nothing nests in it */
    pthread_cond_t done;   /* a function that someone waits for has returned */
    struct timer_list **heap; /* 1-based */
    u32 n, cap;
    u32 waiters;           /* threads in del_timer_sync */
    _Atomic u32 pending;
    _Atomic u32 runner;    /* a thread is in net_run_timers */
    struct timer_list *running;
    pthread_t running_thread;
};

struct timer_base *timer_base_alloc(void)
{
    struct timer_base *b = calloc(1, sizeof(*b));

    if (!b)
        return NULL;
    b->cap = 64;
    b->heap = malloc((b->cap + 1) * sizeof(*b->heap));
    if (!b->heap) {
        free(b);
        return NULL;
    }
    pthread_mutex_init(&b->lock, NULL);
    pthread_cond_init(&b->done, NULL);
    return b;
}

void timer_base_free(struct timer_base *b)
{
    if (!b)
        return;
    for (u32 i = 1; i <= b->n; i++)
        b->heap[i]->idx = 0;
    pthread_cond_destroy(&b->done);
    pthread_mutex_destroy(&b->lock);
    free(b->heap);
    free(b);
}

void timer_setup(struct timer_list *t, struct net *net, void (*fn)(struct timer_list *))
{
    t->expires = 0;
    t->key = 0;
    t->idx = 0;
    t->net = net;
    t->function = fn;
}

/* ---- the heap; base lock held ------------------------------------------------------------------------ */

static void heap_put(struct timer_base *b, u32 i, struct timer_list *t)
{
    b->heap[i] = t;
    t->idx = i;
}

static void heap_up(struct timer_base *b, u32 i)
{
    struct timer_list *t = b->heap[i];

    while (i > 1 && b->heap[i / 2]->key > t->key) {
        heap_put(b, i, b->heap[i / 2]);
        i /= 2;
    }
    heap_put(b, i, t);
}

static void heap_down(struct timer_base *b, u32 i)
{
    struct timer_list *t = b->heap[i];
    u32 c;

    while ((c = 2 * i) <= b->n) {
        if (c < b->n && b->heap[c + 1]->key < b->heap[c]->key)
            c++;
        if (b->heap[c]->key >= t->key)
            break;
        heap_put(b, i, b->heap[c]);
        i = c;
    }
    heap_put(b, i, t);
}

static void heap_remove(struct timer_base *b, struct timer_list *t)
{
    u32 i = t->idx;
    struct timer_list *last = b->heap[b->n--];

    t->idx = 0;
    if (last == t)
        return;
    heap_put(b, i, last);
    heap_up(b, i);
    heap_down(b, last->idx);
}

static void heap_insert(struct timer_base *b, struct timer_list *t)
{
    if (b->n == b->cap) {
        struct timer_list **h = realloc(b->heap, (2ul * b->cap + 1) * sizeof(*h));

        /* No timer may be lost: a retransmission that never fires is a connection that hangs. */
        BUG_ON(!h);
        b->heap = h;
        b->cap *= 2;
    }
    b->heap[++b->n] = t;
    heap_up(b, b->n);
}

/* Make the top's key its true time; drop stopped ones. NULL: no timer. */
static struct timer_list *heap_top(struct timer_base *b)
{
    struct timer_list *t;

    while (b->n) {
        t = b->heap[1];
        if (!t->expires) {
            heap_remove(b, t);
        } else if (t->expires > t->key) {
            t->key = t->expires;
            heap_down(b, 1);
        } else {
            return t;
        }
    }
    return NULL;
}

/* ---- the interface ------------------------------------------------------------------------------------- */

bool mod_timer(struct timer_list *t, u64 expires)
{
    struct net *net = t->net;
    struct timer_base *b = net->timers;
    bool was_pending, nearer = false;

    if (!expires)
        expires = 1;
    pthread_mutex_lock(&b->lock);
    was_pending = t->expires != 0;
    __atomic_store_n(&t->expires, expires, __ATOMIC_RELAXED);
    if (!t->idx) {
        t->key = expires;
        heap_insert(b, t);
        nearer = t->idx == 1;
    } else if (expires < t->key) {
        t->key = expires;
        heap_up(b, t->idx);
        nearer = t->idx == 1;
    }
    if (!was_pending)
        atomic_fetch_add_explicit(&b->pending, 1, memory_order_relaxed);
    pthread_mutex_unlock(&b->lock);
    if (nearer && net->ops->timer_armed)
        net->ops->timer_armed(net, expires);
    return was_pending;
}

static bool stop_locked(struct timer_base *b, struct timer_list *t)
{
    if (!t->expires)
        return false;
    __atomic_store_n(&t->expires, 0, __ATOMIC_RELAXED);
    atomic_fetch_sub_explicit(&b->pending, 1, memory_order_relaxed);
    return true;
}

bool del_timer(struct timer_list *t)
{
    struct timer_base *b;
    bool was_pending;

    if (!t->net || !timer_pending(t))
        return false;
    b = t->net->timers;
    pthread_mutex_lock(&b->lock);
    was_pending = stop_locked(b, t);
    pthread_mutex_unlock(&b->lock);
    return was_pending;
}

bool del_timer_sync(struct timer_list *t)
{
    struct timer_base *b;
    bool was_pending;

    if (!t->net || !t->net->timers)
        return false;
    b = t->net->timers;
    pthread_mutex_lock(&b->lock);
    was_pending = stop_locked(b, t);
    /* From its own function there is nothing to wait for; the caller must not free it there. */
    while (b->running == t && !pthread_equal(b->running_thread, pthread_self())) {
        b->waiters++;
        pthread_cond_wait(&b->done, &b->lock);
        b->waiters--;
        was_pending |= stop_locked(b, t); /* it re-armed itself meanwhile */
    }
    if (t->idx)
        heap_remove(b, t);
    pthread_mutex_unlock(&b->lock);
    return was_pending;
}

bool del_timer_now(struct timer_list *t)
{
    struct timer_base *b;
    bool was_pending;

    if (!t->net)
        return false;
    b = t->net->timers;
    pthread_mutex_lock(&b->lock);
    was_pending = stop_locked(b, t);
    if (t->idx)
        heap_remove(b, t);
    pthread_mutex_unlock(&b->lock);
    return was_pending;
}

int net_run_timers(struct net *net)
{
    struct timer_base *b = net->timers;
    struct timer_list *t;
    u64 now = net_now(net);
    int ran = 0;

    if (!atomic_load_explicit(&b->pending, memory_order_relaxed))
        return 0;
    if (atomic_exchange_explicit(&b->runner, 1, memory_order_acquire))
        return 0;
    pthread_mutex_lock(&b->lock);
    while ((t = heap_top(b)) != NULL && t->expires <= now) {
        heap_remove(b, t);
        stop_locked(b, t);
        b->running = t;
        b->running_thread = pthread_self();
        pthread_mutex_unlock(&b->lock);
        t->function(t); /* may free t */
        ran++;
        pthread_mutex_lock(&b->lock);
        b->running = NULL;
        if (b->waiters)
            pthread_cond_broadcast(&b->done);
    }
    pthread_mutex_unlock(&b->lock);
    atomic_store_explicit(&b->runner, 0, memory_order_release);
    return ran;
}

u64 net_next_timer(struct net *net)
{
    struct timer_base *b = net->timers;
    struct timer_list *t;
    u64 next = UINT64_MAX;

    /* A qdisc that raised NET_TX, or a socket that TSQ lets go on, is due now. */
    if (atomic_load_explicit(&net->tx_sched_len, memory_order_acquire) ||
        atomic_load_explicit(&net->tsq_head, memory_order_acquire))
        return net_now(net);
    if (!atomic_load_explicit(&b->pending, memory_order_acquire))
        return UINT64_MAX;
    pthread_mutex_lock(&b->lock);
    t = heap_top(b);
    if (t)
        next = t->expires;
    pthread_mutex_unlock(&b->lock);
    return next;
}

u32 net_timers_pending(struct net *net)
{
    return atomic_load_explicit(&net->timers->pending, memory_order_acquire);
}
