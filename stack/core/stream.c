/* SPDX-License-Identifier: MIT */
/* Waiting on stream sockets (Linux: net/core/stream.c). The socket lock is held on entry and exit and let go
 * while asleep; release_sock() runs the backlog, and what comes up there wakes the waiter armed before. */

#include "socket.h"

/* vm_wait: how long a sender sleeps when memory, not buffer space, ran out: 2 to 200 ms, at random so that
 * many do not come back at once. */
#define VM_WAIT_MIN (2 * NSEC_PER_MSEC)
#define VM_WAIT_SPREAD (198 * NSEC_PER_MSEC)

typedef bool (*sk_cond_fn)(struct sock *sk, const void *arg);

/* Role: sleep once until woken, time-out or signal, unless cond is true after the waiter was armed.
 * 0 or -EINTR; *timeo is what is left. */
static int sk_sleep(struct sock *sk, u64 *timeo, sk_cond_fn cond, const void *arg)
{
    struct net *net = sk->sk_net;
    struct waiter *w = net->ops->current_waiter(net);
    struct wait_queue_head *wq = sk->sk_wq;
    struct wait_queue_entry e;
    u64 start, now;
    int rc = 0;

    init_wait_entry(&e, w);
    if (wq)
        add_wait_queue(wq, &e);
    waiter_prepare(w);
    if (*timeo && !cond(sk, arg)) {
        start = net_tick(net);
        release_sock(sk);
        rc = net->ops->wait(net, w, *timeo > UINT64_MAX - start ? UINT64_MAX : start + *timeo);
        lock_sock(sk);
        now = net_tick(net);
        if (*timeo != UINT64_MAX)
            *timeo = now - start < *timeo ? *timeo - (now - start) : 0;
    }
    if (wq)
        remove_wait_queue(wq, &e);
    return rc < 0 ? -EINTR : 0;
}

struct cond_arg {
    bool (*cond)(struct sock *sk);
};

static bool call_cond(struct sock *sk, const void *arg)
{
    return ((const struct cond_arg *)arg)->cond(sk);
}

int sk_wait_event(struct sock *sk, u64 *timeo, bool (*cond)(struct sock *sk))
{
    struct cond_arg arg = {cond};

    return sk_sleep(sk, timeo, call_cond, &arg);
}

static bool tail_changed(struct sock *sk, const void *skb)
{
    return skb_peek_tail(&sk->sk_receive_queue) != skb;
}

int sk_wait_data(struct sock *sk, u64 *timeo, const struct sk_buff *skb)
{
    u64 timed = *timeo;

    if (sk_sleep(sk, timeo, tail_changed, skb))
        return sock_intr_errno(timed);
    return tail_changed(sk, skb);
}

static bool is_connected(struct sock *sk, const void *arg)
{
    return !sk->sk_err && !(TCPF(sk->sk_state) & ~(TCPF_ESTABLISHED | TCPF_CLOSE_WAIT));
}

int sk_stream_wait_connect(struct sock *sk, u64 *timeo)
{
    int err;

    do {
        err = sock_error(sk);
        if (err)
            return err;
        if (TCPF(sk->sk_state) & ~(TCPF_SYN_SENT | TCPF_SYN_RECV))
            return -EPIPE;
        if (!*timeo)
            return -EAGAIN;
        err = sock_intr_errno(*timeo);
        sk->sk_write_pending++;
        if (!sk_sleep(sk, timeo, is_connected, NULL))
            err = 0;
        sk->sk_write_pending--;
        if (err && !is_connected(sk, NULL))
            return err;
    } while (!is_connected(sk, NULL));
    return 0;
}

/* May the sender queue more? TCP_NOTSENT_LOWAT included. */
static bool stream_memory_free(const struct sock *sk, int wake)
{
    return sk_stream_memory_free(sk) &&
           (!sk->sk_prot->stream_memory_free || sk->sk_prot->stream_memory_free(sk, wake));
}

static bool has_memory(struct sock *sk, const void *vm_wait)
{
    return sk->sk_err || (sk->sk_shutdown & SEND_SHUTDOWN) ||
           (stream_memory_free(sk, 0) && !*(const u64 *)vm_wait);
}

static void sock_set_bits(struct sock *sk, unsigned long bits)
{
    if (sk->sk_socket)
        __atomic_fetch_or(&sk->sk_socket->flags, bits, __ATOMIC_SEQ_CST);
}

static void sock_clear_bits(struct sock *sk, unsigned long bits)
{
    if (sk->sk_socket)
        __atomic_fetch_and(&sk->sk_socket->flags, ~bits, __ATOMIC_SEQ_CST);
}

int sk_stream_wait_memory(struct sock *sk, u64 *timeo)
{
    u64 vm_wait = 0, now_wait = *timeo, slept;
    int err = 0;

    /* There is buffer space, so it was memory that ran out: nobody will call write_space for that. */
    if (stream_memory_free(sk, 0))
        now_wait = vm_wait = VM_WAIT_MIN + net_random_below(sk->sk_net, VM_WAIT_SPREAD);
    for (;;) {
        sock_set_bits(sk, SOCK_ASYNC_NOSPACE);
        if (sk->sk_err || (sk->sk_shutdown & SEND_SHUTDOWN))
            return -EPIPE;
        if (!*timeo) {
            /* A write that failed for want of space: EPOLLOUT must come, edge-triggered too. */
            sock_set_bits(sk, SOCK_NOSPACE);
            return -EAGAIN;
        }
        if (err)
            return sock_intr_errno(*timeo);
        sock_clear_bits(sk, SOCK_ASYNC_NOSPACE);
        if (stream_memory_free(sk, 0) && !vm_wait)
            return 0;
        sock_set_bits(sk, SOCK_NOSPACE);
        sk->sk_write_pending++;
        slept = now_wait = min(now_wait, *timeo);
        err = sk_sleep(sk, &now_wait, has_memory, &vm_wait);
        sk->sk_write_pending--;
        slept -= now_wait; /* 0 when there is no limit */
        if (*timeo != UINT64_MAX)
            *timeo -= min(slept, *timeo);
        vm_wait = 0;
        now_wait = *timeo;
    }
}

static bool is_closed(struct sock *sk, const void *arg)
{
    return !(TCPF(sk->sk_state) & (TCPF_FIN_WAIT1 | TCPF_CLOSING | TCPF_LAST_ACK));
}

void sk_stream_wait_close(struct sock *sk, u64 timeo)
{
    while (timeo && !is_closed(sk, NULL))
        if (sk_sleep(sk, &timeo, is_closed, NULL))
            break;
}

bool sk_stream_is_writeable(const struct sock *sk)
{
    return sk_stream_wspace(sk) >= sk_stream_min_wspace(sk) &&
           (!sk->sk_prot->stream_memory_free || sk->sk_prot->stream_memory_free(sk, 1));
}

void sk_stream_write_space(struct sock *sk)
{
    struct wait_queue_head *wq;

    if (!sk_stream_is_writeable(sk))
        return;
    rcu_read_lock();
    wq = rcu_dereference(sk->sk_wq);
    if (wq) {
        sock_clear_bits(sk, SOCK_NOSPACE);
        wake_up_poll(wq, EPOLLOUT | EPOLLWRNORM | EPOLLWRBAND);
    }
    rcu_read_unlock();
}

int sk_stream_error(struct sock *sk, int flags, int err)
{
    int pending;

    if (err != -EPIPE)
        return err;
    pending = sock_error(sk);
    return pending ? pending : -EPIPE; /* SIGPIPE, unless MSG_NOSIGNAL, is shim's */
}

void sk_stream_kill_queues(struct sock *sk)
{
    __skb_queue_purge(&sk->sk_receive_queue, SKB_CONSUMED);
    __skb_queue_purge(&sk->sk_error_queue, SKB_CONSUMED);
    BUG_ON(!skb_queue_empty(&sk->sk_write_queue));
    sk_mem_reclaim(sk);
    BUG_ON(sk->sk_wmem_queued);
}
