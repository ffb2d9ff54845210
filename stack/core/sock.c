/* SPDX-License-Identifier: MIT */
/* struct sock: life, lock and backlog, memory accounting, route cache, timers (Linux: net/core/sock.c). */

#include "sock.h"
#include "netdevice.h"
#include "socket.h"

#define SK_MEM_QUANTUM 4096

/* ---- events: what a sock tells the threads that wait on its socket ------------------------------------------ */

/* The socket may be let go of by its program at the same time: it is freed after a grace period. */
static void sock_wake(struct sock *sk, u32 mask)
{
    struct wait_queue_head *wq;

    rcu_read_lock();
    wq = rcu_dereference(sk->sk_wq);
    if (wq)
        wake_up_poll(wq, mask);
    rcu_read_unlock();
}

static void sock_def_wakeup(struct sock *sk)
{
    sock_wake(sk, 0);
}

static void sock_def_error_report(struct sock *sk)
{
    sock_wake(sk, EPOLLERR);
}

static void sock_def_readable(struct sock *sk)
{
    sock_wake(sk, EPOLLIN | EPOLLPRI | EPOLLRDNORM | EPOLLRDBAND);
}

static void sock_def_write_space(struct sock *sk)
{
    if ((atomic_load(&sk->sk_wmem_alloc) << 1) <= READ_ONCE(sk->sk_sndbuf))
        sock_wake(sk, EPOLLOUT | EPOLLWRNORM | EPOLLWRBAND);
}

static int sock_no_backlog_rcv(struct sock *sk, struct sk_buff *skb)
{
    kfree_skb_reason(skb, SKB_DROP_REASON_NO_SOCKET);
    return 0;
}

/* ---- life ---------------------------------------------------------------------------------------------------------- */

struct sock *sk_alloc(struct net *net, int family, struct proto *prot)
{
    struct sock *sk = calloc(1, max(prot->obj_size, sizeof(struct sock)));

    if (!sk)
        return NULL;
    sk->sk_family = (u16)family;
    sk->sk_net = net;
    sk->sk_prot = prot;
    atomic_init(&sk->sk_refcnt, 1);
    atomic_init(&sk->sk_wmem_alloc, 1);
    sk->__sk_common.skc_node = (struct cds_lfht_node){0};
    CDS_INIT_LIST_HEAD(&sk->__sk_common.skc_lnode);
    CDS_INIT_LIST_HEAD(&sk->__sk_common.skc_bnode);
    atomic_fetch_add_explicit(&net->sock_count, 1, memory_order_relaxed);
    return sk;
}

static void sock_lock_init(struct sock *sk)
{
    spin_lock_init(&sk->sk_lock.slock);
    sk->sk_lock.owned = 0;
    sk->sk_lock.waiters = 0;
    pthread_cond_init(&sk->sk_lock.wq, NULL);
    sk->sk_backlog.head = sk->sk_backlog.tail = NULL;
    sk->sk_backlog.len = 0;
}

void sock_init_data(struct socket *sock, struct sock *sk)
{
    const struct netns_ipv4 *s = &sk->sk_net->ipv4;

    sock_lock_init(sk);
    skb_queue_head_init(&sk->sk_receive_queue);
    skb_queue_head_init(&sk->sk_write_queue);
    skb_queue_head_init(&sk->sk_error_queue);
    timer_setup(&sk->sk_timer, sk->sk_net, sk->sk_timer.function);
    sk->sk_rcvbuf = s->sysctl_rmem_default;
    sk->sk_sndbuf = s->sysctl_wmem_default;
    sk->sk_state = TCP_CLOSE;
    sk->sk_rcvlowat = 1;
    sk->sk_rcvtimeo = sk->sk_sndtimeo = UINT64_MAX;
    sk->sk_max_pacing_rate = sk->sk_pacing_rate = ~(u64)0;
    sk->sk_pacing_shift = 10;
    sk->sk_gso_max_size = GSO_MAX_SIZE;
    sk->sk_gso_max_segs = 65535;
    sk->sk_stamp = ~(u64)0;
    sk->sk_incoming_cpu = ~0u;
    sk->sk_txhash = net_random_u32(sk->sk_net) | 1;
    sk->sk_txrehash = 1;
    sk->sk_state_change = sock_def_wakeup;
    sk->sk_data_ready = sock_def_readable;
    sk->sk_write_space = sock_def_write_space;
    sk->sk_error_report = sock_def_error_report;
    sk->sk_backlog_rcv = sk->sk_prot->backlog_rcv ? sk->sk_prot->backlog_rcv : sock_no_backlog_rcv;
    sock_set_flag(sk, SOCK_USE_WRITE_QUEUE);
    if (sock) {
        sk->sk_type = (u8)sock->type;
        sock_graft(sk, sock);
    }
}

/* The listener's owner may be at work meanwhile, as in Linux: a setting is copied before or after his change, and what must not
 * be copied at all (lock, references, list places, queues) is made anew by the caller. */
static void sk_copy(struct sock *to, const struct sock *from, size_t size)
{
#ifdef __SANITIZE_THREAD__
    void AnnotateIgnoreReadsBegin(const char *file, int line);
    void AnnotateIgnoreReadsEnd(const char *file, int line);

    AnnotateIgnoreReadsBegin(__FILE__, __LINE__);
    memcpy(to, from, size);
    AnnotateIgnoreReadsEnd(__FILE__, __LINE__);
#else
    memcpy(to, from, size);
#endif
}

struct sock *sk_clone_lock(const struct sock *sk)
{
    size_t size = max(sk->sk_prot->obj_size, sizeof(*sk));
    struct sock *n = malloc(size);

    if (!n)
        return NULL;
    sk_copy(n, sk, size);
    memset(&n->__sk_common.rcu, 0, sizeof(n->__sk_common.rcu));
    memset(&n->__sk_common.skc_node, 0, sizeof(n->__sk_common.skc_node));
    CDS_INIT_LIST_HEAD(&n->__sk_common.skc_lnode);
    CDS_INIT_LIST_HEAD(&n->__sk_common.skc_bnode);
    n->__sk_common.skc_bind_bucket = NULL;
    n->__sk_common.skc_hashed = false;
    n->__sk_common.skc_cookie = 0;
    sock_lock_init(n);
    skb_queue_head_init(&n->sk_receive_queue);
    skb_queue_head_init(&n->sk_write_queue);
    skb_queue_head_init(&n->sk_error_queue);
    timer_setup(&n->sk_timer, sk->sk_net, sk->sk_timer.function);
    atomic_init(&n->sk_refcnt, 2);
    atomic_init(&n->sk_wmem_alloc, 1);
    atomic_init(&n->sk_rmem_alloc, 0);
    atomic_init(&n->sk_drops, 0);
    n->sk_wmem_queued = n->sk_forward_alloc = 0;
    n->sk_reserved_mem = 0;
    n->sk_dst_cache = NULL;
    n->sk_dst_pending_confirm = false;
    n->sk_userlocks = sk->sk_userlocks & (SOCK_SNDBUF_LOCK | SOCK_RCVBUF_LOCK);
    n->sk_write_pending = 0;
    n->sk_err = n->sk_err_soft = 0;
    n->sk_shutdown = 0;
    n->sk_ack_backlog = 0;
    n->sk_tskey = 0;
    n->sk_socket = NULL;
    n->sk_wq = NULL;
    n->sk_user_data = NULL;
    n->sk_unhashed = NULL;
    n->sk_incoming_cpu = ~0u;
    sock_reset_flag(n, SOCK_DONE);
    sock_reset_flag(n, SOCK_DEAD);
    atomic_fetch_add_explicit(&n->sk_net->sock_count, 1, memory_order_relaxed);
    bh_lock_sock(n);
    return n;
}

bool sock_hold_safe(struct sock_common *sk)
{
    u32 old = atomic_load_explicit(&sk->skc_refcnt, memory_order_relaxed);

    while (old)
        if (atomic_compare_exchange_weak_explicit(&sk->skc_refcnt, &old, old + 1, memory_order_acquire,
                                                  memory_order_relaxed))
            return true;
    return false;
}

/* After a grace period: no lookup can still see it. */
static void sk_destruct_rcu(struct rcu_free *f)
{
    struct sock *sk = container_of(f, struct sock, __sk_common.rcu);
    struct net *net = sk->sk_net;
    struct sk_buff *skb, *next;

    del_timer_sync(&sk->sk_timer);
    for (skb = sk->sk_backlog.head; skb; skb = next) {
        next = skb->next;
        skb->next = NULL;
        kfree_skb_reason(skb, SKB_DROP_REASON_SOCKET_CLOSED);
    }
    if (sk->sk_destruct)
        sk->sk_destruct(sk);
    __skb_queue_purge(&sk->sk_receive_queue, SKB_CONSUMED);
    __skb_queue_purge(&sk->sk_write_queue, SKB_CONSUMED);
    __skb_queue_purge(&sk->sk_error_queue, SKB_CONSUMED);
    sk_dst_reset(sk);
    sk_mem_reclaim(sk);
    spin_lock_destroy(&sk->sk_receive_queue.lock);
    spin_lock_destroy(&sk->sk_write_queue.lock);
    spin_lock_destroy(&sk->sk_error_queue.lock);
    spin_lock_destroy(&sk->sk_lock.slock);
    pthread_cond_destroy(&sk->sk_lock.wq);
    atomic_fetch_sub_explicit(&net->sock_count, 1, memory_order_relaxed);
    free(sk);
}

static void sk_wmem_put(struct sock *sk, s32 n)
{
    if (atomic_fetch_sub_explicit(&sk->sk_wmem_alloc, n, memory_order_acq_rel) == n)
        net_call_rcu(sk->sk_net, &sk->__sk_common.rcu, sk_destruct_rcu);
}

void sk_free(struct sock *sk)
{
    sk_wmem_put(sk, 1);
}

void sock_put(struct sock *sk)
{
    if (atomic_fetch_sub_explicit(&sk->sk_refcnt, 1, memory_order_acq_rel) == 1)
        sk_free(sk);
}

bool sk_rethink_txhash(struct sock *sk)
{
    if (!sk->sk_txrehash)
        return false;
    sk->sk_txhash = net_random_u32(sk->sk_net) | 1;
    return true;
}

void sock_orphan(struct sock *sk)
{
    sock_set_flag(sk, SOCK_DEAD);
    sk->sk_socket = NULL;
    rcu_assign_pointer(sk->sk_wq, NULL);
}

void sock_graft(struct sock *sk, struct socket *parent)
{
    parent->sk = sk;
    sk->sk_socket = parent;
    rcu_assign_pointer(sk->sk_wq, &parent->wq);
}

void sk_common_release(struct sock *sk)
{
    if (sk->sk_prot->destroy)
        sk->sk_prot->destroy(sk);
    if (sk->sk_prot->unhash)
        sk->sk_prot->unhash(sk);
    bh_lock_sock(sk);
    sock_orphan(sk);
    bh_unlock_sock(sk);
    sock_put(sk);
}

/* ---- lock ---------------------------------------------------------------------------------------------------------------- */

void lock_sock(struct sock *sk)
{
    struct socket_lock *l = &sk->sk_lock;

    spin_lock(&l->slock);
    BUG_ON(l->owned && pthread_equal(l->owner, pthread_self()));
    while (l->owned) {
        l->waiters++;
        pthread_cond_wait(&l->wq, &l->slock.m);
        l->waiters--;
    }
    WRITE_ONCE(l->owned, 1);
    l->owner = pthread_self();
    spin_unlock(&l->slock);
}

/* slock held on entry and exit, let go while a segment is handled: more may come meanwhile, and are handled
 * too. The bytes count as queued until the end, so that a fast sender cannot keep us here for ever. */
static void __release_sock(struct sock *sk)
{
    struct sk_buff *skb, *next;

    while ((skb = sk->sk_backlog.head) != NULL) {
        sk->sk_backlog.head = sk->sk_backlog.tail = NULL;
        spin_unlock(&sk->sk_lock.slock);
        for (; skb; skb = next) {
            next = skb->next;
            skb->next = NULL;
            rcu_read_lock();
            sk->sk_backlog_rcv(sk, skb);
            rcu_read_unlock();
        }
        spin_lock(&sk->sk_lock.slock);
    }
    sk->sk_backlog.len = 0;
}

void release_sock(struct sock *sk)
{
    struct socket_lock *l = &sk->sk_lock;

    spin_lock(&l->slock);
    if (unlikely(sk->sk_backlog.head != NULL))
        __release_sock(sk);
    if (sk->sk_prot->release_cb)
        sk->sk_prot->release_cb(sk);
    WRITE_ONCE(l->owned, 0);
    if (unlikely(l->waiters))
        pthread_cond_signal(&l->wq);
    spin_unlock(&l->slock);
}

void sk_flush_backlog(struct sock *sk)
{
    if (!READ_ONCE(sk->sk_backlog.head))
        return;
    spin_lock(&sk->sk_lock.slock);
    __release_sock(sk);
    spin_unlock(&sk->sk_lock.slock);
}

int sk_add_backlog(struct sock *sk, struct sk_buff *skb, u32 limit)
{
    u32 queued = sk->sk_backlog.len + (u32)atomic_load(&sk->sk_rmem_alloc);

    if (queued > limit)
        return -ENOBUFS;
    skb->next = NULL;
    if (sk->sk_backlog.tail)
        sk->sk_backlog.tail->next = skb;
    else
        WRITE_ONCE(sk->sk_backlog.head, skb);
    WRITE_ONCE(sk->sk_backlog.tail, skb); /* the owner looks at both without slock */
    WRITE_ONCE(sk->sk_backlog.len, sk->sk_backlog.len + skb->truesize);
    return 0;
}

/* ---- memory ---------------------------------------------------------------------------------------------------------------- */

void sock_rfree(struct sk_buff *skb)
{
    struct sock *sk = skb->sk;

    atomic_fetch_sub_explicit(&sk->sk_rmem_alloc, (s32)skb->truesize, memory_order_relaxed);
    sk_mem_uncharge(sk, (int)skb->truesize);
}

void __sock_wfree(struct sk_buff *skb) { sk_wmem_put(skb->sk, (s32)skb->truesize); }

void skb_set_owner_r(struct sk_buff *skb, struct sock *sk)
{
    skb_orphan(skb);
    skb->sk = sk;
    skb->destructor = sock_rfree;
    atomic_fetch_add_explicit(&sk->sk_rmem_alloc, (s32)skb->truesize, memory_order_relaxed);
    sk_mem_charge(sk, (int)skb->truesize);
}

/* Role: may this socket have more, with `allocated` bytes charged by all (__sk_mem_raise_allocated)? A socket
 * below its guaranteed minimum always may; under pressure the rest share evenly; a full sender may go on
 * to the end of what fits into its buffer, or it would never drain. */
static bool sk_mem_allowed(struct sock *sk, s64 allocated, int size, bool send)
{
    struct net *net = sk->sk_net;
    const struct netns_ipv4 *s = &net->ipv4;
    s64 socks, own;

    if (allocated <= (s64)s->sysctl_tcp_mem[0] * SK_MEM_QUANTUM)
        return true;
    if (allocated <= (s64)s->sysctl_tcp_mem[2] * SK_MEM_QUANTUM) {
        if (allocated <= (s64)s->sysctl_tcp_mem[1] * SK_MEM_QUANTUM)
            return true;
        if (send ? sk->sk_wmem_queued < s->sysctl_tcp_wmem[0]
                 : atomic_load(&sk->sk_rmem_alloc) < s->sysctl_tcp_rmem[0])
            return true;
        socks = max(atomic_load_explicit(&net->sock_count, memory_order_relaxed), (s64)1);
        own = (s64)sk->sk_wmem_queued + atomic_load(&sk->sk_rmem_alloc) + max(sk->sk_forward_alloc, 0);
        if ((s64)s->sysctl_tcp_mem[2] * SK_MEM_QUANTUM > socks * own)
            return true;
        NET_INC_STATS(net, LINUX_MIB_TCPMEMORYPRESSURES);
    }
    if (!send)
        return false;
    if (!(sk->sk_userlocks & SOCK_SNDBUF_LOCK)) /* sk_stream_moderate_sndbuf */
        WRITE_ONCE(sk->sk_sndbuf, max(min(sk->sk_sndbuf, sk->sk_wmem_queued >> 1), 4608));
    return sk->sk_wmem_queued + size >= sk->sk_sndbuf;
}

static bool __sk_mem_schedule(struct sock *sk, int size, bool send)
{
    struct net *net = sk->sk_net;
    s64 amount = ALIGN((s64)size - sk->sk_forward_alloc, SK_MEM_QUANTUM);
    s64 allocated = atomic_fetch_add_explicit(&net->tcp_memory_allocated, amount, memory_order_relaxed) + amount;

    sk->sk_forward_alloc += (s32)amount;
    if (likely(sk_mem_allowed(sk, allocated, size, send)))
        return true;
    sk->sk_forward_alloc -= (s32)amount;
    atomic_fetch_sub_explicit(&net->tcp_memory_allocated, amount, memory_order_relaxed);
    return false;
}

bool sk_wmem_schedule(struct sock *sk, int size)
{
    return size <= sk->sk_forward_alloc || __sk_mem_schedule(sk, size, true);
}

bool sk_rmem_schedule(struct sock *sk, struct sk_buff *skb, int size)
{
    return size <= sk->sk_forward_alloc || __sk_mem_schedule(sk, size, false);
}

void sk_mem_reclaim(struct sock *sk)
{
    s32 amount = sk->sk_forward_alloc & ~(SK_MEM_QUANTUM - 1);

    if (sk->sk_forward_alloc < SK_MEM_QUANTUM)
        return;
    sk->sk_forward_alloc -= amount;
    atomic_fetch_sub_explicit(&sk->sk_net->tcp_memory_allocated, amount, memory_order_relaxed);
}

/* ---- errors ------------------------------------------------------------------------------------------------------------------ */

int sock_error(struct sock *sk)
{
    if (likely(!READ_ONCE(sk->sk_err)))
        return 0;
    return -__atomic_exchange_n(&sk->sk_err, 0, __ATOMIC_ACQ_REL);
}

/* ---- route ----------------------------------------------------------------------------------------------------------------------- */

void __sk_dst_set(struct sock *sk, struct dst_entry *dst)
{
    struct dst_entry *old = sk->sk_dst_cache;

    sk->sk_dst_pending_confirm = false;
    WRITE_ONCE(sk->sk_dst_cache, dst);
    dst_release(old);
}

void sk_dst_reset(struct sock *sk)
{
    if (sk->sk_dst_cache)
        __sk_dst_set(sk, NULL);
}

struct dst_entry *__sk_dst_check(struct sock *sk)
{
    struct dst_entry *dst = sk->sk_dst_cache;

    if (dst && unlikely(!dst_check(dst))) {
        sk_dst_reset(sk);
        return NULL;
    }
    return dst;
}

void sk_setup_caps(struct sock *sk, struct dst_entry *dst)
{
    __sk_dst_set(sk, dst);
    if (!dst || !dst->dev)
        return;
    /* Segmentation is always there, in software if need be: dev_xmit.c. */
    sk->sk_route_caps = dst->dev->features | NETIF_F_SG | NETIF_F_HW_CSUM | NETIF_F_TSO;
    sk->sk_gso_max_size = dst->dev->gso_max_size;
    sk->sk_gso_max_segs = (u16)clamp(dst->dev->gso_max_segs, 1u, 65535u);
}

void sk_send_sigurg(struct sock *sk)
{
    if (sk->sk_socket && sk->sk_net->ops->send_sigurg)
        sk->sk_net->ops->send_sigurg(sk->sk_net, sk->sk_socket);
}

/* ---- timers ---------------------------------------------------------------------------------------------------------------------- */

/* The reference is taken first: the timer may fire, and drop it, before mod_timer() returns. */
void sk_reset_timer(struct sock *sk, struct timer_list *t, u64 expires)
{
    sock_hold(sk);
    if (mod_timer(t, expires))
        atomic_fetch_sub_explicit(&sk->sk_refcnt, 1, memory_order_relaxed); /* it held one already */
}

/* A socket at its end takes the timer out of the heap too: its memory goes soon. */
void sk_stop_timer(struct sock *sk, struct timer_list *t)
{
    bool last = sock_flag(sk, SOCK_DEAD) || sk->sk_state == TCP_CLOSE;

    if (last ? del_timer_now(t) : del_timer(t))
        sock_put(sk);
}
