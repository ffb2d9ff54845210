/* SPDX-License-Identifier: MIT */
/* TCP Small Queues and pacing: how much a socket may have below TCP, and when it may go on.
 *
 * A completion (tcp_wfree) can run anywhere, under a device's tx_lock too, so it never sends: it puts the
 * socket on net->tsq_head, and whoever next passes net_tsq_service() with no lock held lets it go on. */

#include "../core/trace.h"
#include "tcp_output.h"

static void tcp_tsq_set(struct tcp_sock *tp, int bit)
{
    __atomic_fetch_or(&tp->tsq_flags, 1ul << bit, __ATOMIC_SEQ_CST);
}

bool tcp_small_queue_check(struct sock *sk, const struct sk_buff *skb, unsigned int factor)
{
    u64 limit = max((u64)2 * skb->truesize, sk->sk_pacing_rate >> READ_ONCE(sk->sk_pacing_shift));
    struct sk_buff *head = tcp_rtx_queue_head(sk);

    if (sk->sk_pacing_status == SK_PACING_NONE)
        limit = min(limit, (u64)sock_net(sk)->ipv4.sysctl_tcp_limit_output_bytes);
    limit <<= factor;
    if (likely((u64)atomic_load(&sk->sk_wmem_alloc) <= limit))
        return false;
    /* With one sk_buff or none outstanding there may be no completion to wait for: send. */
    if (!head || head == tcp_rtx_queue_tail(sk))
        return false;
    tcp_tsq_set(tcp_sk(sk), TSQ_THROTTLED);
    /* A completion before the flag was set would not have woken us (pairs with tcp_wfree). */
    return (u64)atomic_load(&sk->sk_wmem_alloc) > limit;
}

bool skb_still_in_host_queue(struct sock *sk, const struct sk_buff *skb)
{
    if (likely(!skb_fclone_busy(skb)))
        return false;
    tcp_tsq_set(tcp_sk(sk), TSQ_THROTTLED);
    return skb_fclone_busy(skb); /* again: the completion may have come before the flag */
}

static void tcp_tsq_push(struct tcp_sock *tp)
{
    struct net *net = sock_net((struct sock *)tp);
    struct cds_list_head *head = atomic_load_explicit(&net->tsq_head, memory_order_relaxed);

    do
        tp->tsq_node.next = head;
    while (!atomic_compare_exchange_weak_explicit(&net->tsq_head, &head, &tp->tsq_node, memory_order_acq_rel,
                                                  memory_order_relaxed));
}

/* Destructor of what TCP sent: uncharges it; a throttled socket is queued to go on. Any context. */
void tcp_wfree(struct sk_buff *skb)
{
    struct sock *sk = skb->sk;
    struct tcp_sock *tp = tcp_sk(sk);
    unsigned long old, new;

    trace_xmit(TRACE_COMPLETION, skb);
    /* One byte of sk_wmem_alloc stays and keeps sk alive until sk_free(), here or after tcp_tsq_drain(). */
    atomic_fetch_sub(&sk->sk_wmem_alloc, (s32)skb->truesize - 1);
    old = __atomic_load_n(&tp->tsq_flags, __ATOMIC_SEQ_CST);
    do {
        if (!(old & (1ul << TSQ_THROTTLED)) || (old & (1ul << TSQ_QUEUED))) {
            sk_free(sk);
            return;
        }
        new = (old & ~(1ul << TSQ_THROTTLED)) | (1ul << TSQ_QUEUED);
    } while (
        !__atomic_compare_exchange_n(&tp->tsq_flags, &old, new, true, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST));
    tcp_tsq_push(tp);
}

/* Send on, or retransmit, what the small queue held back. Socket lock held. */
void tcp_tsq_write(struct sock *sk)
{
    struct tcp_sock *tp = tcp_sk(sk);

    if (!tcp_in_states(sk,
                       TCPF_ESTABLISHED | TCPF_FIN_WAIT1 | TCPF_CLOSING | TCPF_CLOSE_WAIT | TCPF_LAST_ACK))
        return;
    if (tp->lost_out > tp->retrans_out && tcp_snd_cwnd(tp) > tcp_packets_in_flight(tp)) {
        tcp_mstamp_refresh(tp);
        tcp_xmit_retransmit_queue(sk);
    }
    tcp_write_xmit(sk, tcp_current_mss(sk), tp->nonagle, 0);
}

void tcp_tsq_dropped(struct tcp_sock *tp) { tcp_tsq_set(tp, TSQ_DROPPED); }

/* Was it woken by a packet of its own that the queueing discipline dropped? With others still below, the next of these
 * that leaves is soon enough; else it would try again at once for as long as the queue is full. (Linux stops there when
 * it finds itself in ksoftirqd, see its tcp_wfree.) */
static bool tcp_tsq_wait_for_room(struct sock *sk)
{
    struct tcp_sock *tp = tcp_sk(sk);

    if (!test_and_clear_tsq(tp, TSQ_DROPPED))
        return false;
    tcp_tsq_set(tp, TSQ_THROTTLED);
    /* A completion before the flag was set would not have woken us (pairs with tcp_wfree). */
    return atomic_load(&sk->sk_wmem_alloc) >= (s32)sizeof(struct sk_buff);
}

/* Role: let every queued socket go on. No lock held; any thread. */
void tcp_tsq_drain(struct net *net)
{
    struct cds_list_head *n = atomic_exchange_explicit(&net->tsq_head, NULL, memory_order_acq_rel), *next,
                         *fifo = NULL;

    for (; n; n = next) { /* it was a stack: first come, first served */
        next = n->next;
        n->next = fifo;
        fifo = n;
    }
    for (n = fifo; n; n = next) {
        struct tcp_sock *tp = container_of(n, struct tcp_sock, tsq_node);
        struct sock *sk = (struct sock *)tp;

        next = n->next;
        test_and_clear_tsq(tp, TSQ_QUEUED); /* from here on it may be queued again */
        bh_lock_sock(sk);
        if (!sock_owned_by_user(sk)) {
            if (!tcp_tsq_wait_for_room(sk))
                tcp_tsq_write(sk);
        } else if (!test_and_set_tsq(tp, TCP_TSQ_DEFERRED))
            sock_hold(sk);
        bh_unlock_sock(sk);
        sk_free(sk);
    }
}

/* release_sock(): what came up while a thread owned the socket. slock held; each bit has a reference. */
void tcp_release_cb(struct sock *sk)
{
    struct tcp_sock *tp = tcp_sk(sk);

    if (likely(!(__atomic_load_n(&tp->tsq_flags, __ATOMIC_SEQ_CST) &
                 (1ul << TCP_TSQ_DEFERRED | 1ul << TCP_WRITE_TIMER_DEFERRED |
                  1ul << TCP_DELACK_TIMER_DEFERRED | 1ul << TCP_MTU_REDUCED_DEFERRED))))
        return;
    if (test_and_clear_tsq(tp, TCP_TSQ_DEFERRED)) {
        tcp_tsq_write(sk);
        sock_put(sk);
    }
    if (test_and_clear_tsq(tp, TCP_WRITE_TIMER_DEFERRED)) {
        tcp_write_timer_handler(sk);
        sock_put(sk);
    }
    if (test_and_clear_tsq(tp, TCP_DELACK_TIMER_DEFERRED)) {
        tcp_delack_timer_handler(sk);
        sock_put(sk);
    }
    if (test_and_clear_tsq(tp, TCP_MTU_REDUCED_DEFERRED)) {
        inet_csk(sk)->icsk_af_ops->mtu_reduced(sk);
        sock_put(sk);
    }
}

/* ---- pacing without fq ------------------------------------------ */

bool tcp_pacing_check(struct sock *sk)
{
    struct tcp_sock *tp = tcp_sk(sk);

    if (!tcp_needs_internal_pacing(sk) || tp->tcp_wstamp_ns <= tp->tcp_clock_cache)
        return false;
    if (!timer_pending(&tp->pacing_timer))
        sk_reset_timer(sk, &tp->pacing_timer, tp->tcp_wstamp_ns);
    return true;
}

/* A timer until the next departure counts from then. */
static u64 tcp_pacing_delay(const struct sock *sk)
{
    s64 delay = (s64)(tcp_sk(sk)->tcp_wstamp_ns - tcp_sk(sk)->tcp_clock_cache);

    return delay > 0 ? (u64)delay : 0;
}

void tcp_reset_xmit_timer(struct sock *sk, int what, u64 delay_ns, u64 max_ns)
{
    inet_csk_reset_xmit_timer(sk, what, delay_ns + tcp_pacing_delay(sk), max_ns);
}

/* skb was handed down: when may the next one leave (earliest departure time)? */
void tcp_update_skb_after_send(struct sock *sk, struct sk_buff *skb, u64 prior_wstamp)
{
    struct tcp_sock *tp = tcp_sk(sk);
    u64 rate = sk->sk_pacing_rate, len_ns, credit;

    /* The first window is not paced, as sch_fq does it. */
    if (sk->sk_pacing_status == SK_PACING_NONE || !rate || rate == ~0ull || tp->data_segs_out < TCP_INIT_CWND)
        return;
    len_ns = skb->len * NSEC_PER_SEC / rate;
    credit = tp->tcp_wstamp_ns - prior_wstamp; /* late wake-ups are made up for, by half at most */
    len_ns -= min(len_ns / 2, credit);
    tp->tcp_wstamp_ns += len_ns;
}
