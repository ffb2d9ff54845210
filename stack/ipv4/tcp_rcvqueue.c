// SPDX-License-Identifier: MIT
/* The receive queue: segments in, in order; those that are not go to tcp_ofo.c. Joins what is adjacent, makes room
 * within the receive buffer. */

#include "tcp_input.h"
#include "tcp_output.h"

void tcp_drop_reason(struct sock *sk, struct sk_buff *skb, enum skb_drop_reason reason)
{
    atomic_fetch_add_explicit(&sk->sk_drops, 1, memory_order_relaxed);
    kfree_skb_reason(skb, reason);
}

/* ---- in order ------------------------------------------------------------------------------------------------------ */

/* Append from to `to` without a copy when they are adjacent. True: from's data moved (free the shell). */
bool tcp_try_coalesce(struct sock *sk, struct sk_buff *to, struct sk_buff *from, bool *fragstolen)
{
    int delta;

    *fragstolen = false;
    if (TCP_SKB_CB(from)->seq != TCP_SKB_CB(to)->end_seq)
        return false;
    if (!skb_try_coalesce(to, from, fragstolen, &delta))
        return false;
    atomic_fetch_add_explicit(&sk->sk_rmem_alloc, delta, memory_order_relaxed);
    sk_mem_charge(sk, delta);
    NET_INC_STATS(sock_net(sk), LINUX_MIB_TCPRCVCOALESCE);
    TCP_SKB_CB(to)->end_seq = TCP_SKB_CB(from)->end_seq;
    TCP_SKB_CB(to)->ack_seq = TCP_SKB_CB(from)->ack_seq;
    TCP_SKB_CB(to)->tcp_flags |= TCP_SKB_CB(from)->tcp_flags;
    if (TCP_SKB_CB(from)->has_rxtstamp) {
        TCP_SKB_CB(to)->has_rxtstamp = true;
        to->tstamp = from->tstamp;
    }
    return true;
}

void tcp_rcv_nxt_update(struct tcp_sock *tp, u32 seq)
{
    u32 delta = seq - tp->rcv_nxt;

    tp->bytes_received += delta;
    WRITE_ONCE(tp->rcv_nxt, seq);
}

/* Append to the receive queue; nonzero: merged into the tail, the caller frees the shell. */
int tcp_queue_rcv(struct sock *sk, struct sk_buff *skb, bool *fragstolen)
{
    struct sk_buff *tail = skb_peek_tail(&sk->sk_receive_queue);
    int eaten = tail && tcp_try_coalesce(sk, tail, skb, fragstolen) ? 1 : 0;

    tcp_rcv_nxt_update(tcp_sk(sk), TCP_SKB_CB(skb)->end_seq);
    if (!eaten) {
        __skb_queue_tail(&sk->sk_receive_queue, skb);
        skb_set_owner_r(skb, sk);
    }
    return eaten;
}

/* skb was copied: it goes, and leaves its place to nskb, unless that is queued already (NULL). */
static void tcp_collapse_one(struct sock *sk, struct sk_buff *skb, struct sk_buff_head *list, struct sk_buff *nskb)
{
    struct tcp_sock *tp = tcp_sk(sk);

    if (list) {
        if (nskb)
            __skb_queue_before(list, skb, nskb);
        __skb_unlink(skb, list);
    } else if (nskb) {
        tcp_ofo_replace(tp, skb, nskb);
    } else {
        tcp_ofo_unlink(tp, skb);
    }
    consume_skb(skb);
}

/* Copy small segments that hold big buffers together, from head on, so that truesize shrinks. list NULL: those of
 * the out-of-order queue, where the walk ends when an eighth of the buffer was found to be lone ones: more will come
 * of a peer that makes them, and each would pay for all. */
static void tcp_collapse(struct sock *sk, struct sk_buff_head *list)
{
    struct sk_buff *skb = list ? skb_peek(list) : skb_rb_first(&tcp_sk(sk)->out_of_order_queue), *next, *nskb = NULL;
    int lone = 0; /* truesize */

    for (; skb; skb = next) {
        u32 seq = TCP_SKB_CB(skb)->seq, len = skb->len;
        bool fresh = false;

        next = list ? skb_peek_next(skb, list) : skb_rb_next(skb);
        /* Leave what is dense enough, control flags and gaps alone. */
        if (skb->truesize < 2 * len + 512 || (TCP_SKB_CB(skb)->tcp_flags & (TCPHDR_SYN | TCPHDR_FIN))) {
            nskb = NULL;
            continue;
        }
        if (!nskb || skb_tailroom(nskb) < len || TCP_SKB_CB(nskb)->end_seq != seq) {
            if (skb->truesize < 2 * 4096 && /* alone between holes: nothing to gain */
                (!next || TCP_SKB_CB(next)->seq != TCP_SKB_CB(skb)->end_seq)) {
                if (!list && (lone += (int)skb->truesize) > sk->sk_rcvbuf >> 3)
                    return;
                nskb = NULL;
                continue;
            }
            nskb = alloc_skb(sock_net(sk), max_t(u32, 4096, len));
            if (!nskb)
                return;
            memcpy(nskb->cb, skb->cb, sizeof(skb->cb));
            nskb->tstamp = skb->tstamp;
            TCP_SKB_CB(nskb)->end_seq = seq;
            TCP_SKB_CB(nskb)->tcp_flags &= (u8)~(TCPHDR_FIN | TCPHDR_SYN);
            skb_reset_transport_header(nskb);
            skb_set_owner_r(nskb, sk);
            fresh = true;
        }
        BUG_ON(skb_copy_bits(skb, 0, skb_put(nskb, len), len));
        TCP_SKB_CB(nskb)->end_seq += len;
        TCP_SKB_CB(nskb)->tcp_flags |= TCP_SKB_CB(skb)->tcp_flags;
        tcp_collapse_one(sk, skb, list, fresh ? nskb : NULL);
        NET_INC_STATS(sock_net(sk), LINUX_MIB_TCPRCVCOLLAPSED);
    }
}

/* Make room within the receive buffer. 0: there is, -1: drop the segment. */
static int tcp_prune_queue(struct sock *sk, const struct sk_buff *in_skb)
{
    struct tcp_sock *tp = tcp_sk(sk);

    if (!atomic_load(&sk->sk_rmem_alloc)) /* nothing is queued; tcp_clamp_window() would take the whole buffer away */
        return -1;
    NET_INC_STATS(sock_net(sk), LINUX_MIB_PRUNECALLED);
    if (atomic_load(&sk->sk_rmem_alloc) >= sk->sk_rcvbuf)
        tcp_clamp_window(sk);
    else if (tcp_under_memory_pressure(sk))
        tcp_adjust_rcv_ssthresh(sk);
    if (atomic_load(&sk->sk_rmem_alloc) <= sk->sk_rcvbuf)
        return 0;
    tcp_collapse(sk, NULL);
    if (!skb_queue_empty(&sk->sk_receive_queue))
        tcp_collapse(sk, &sk->sk_receive_queue);
    if (atomic_load(&sk->sk_rmem_alloc) <= sk->sk_rcvbuf)
        return 0;
    tcp_prune_ofo_queue(sk, in_skb);
    if (atomic_load(&sk->sk_rmem_alloc) <= sk->sk_rcvbuf)
        return 0;
    NET_INC_STATS(sock_net(sk), LINUX_MIB_RCVPRUNED);
    tp->pred_flags = 0; /* massive buffer overcommit: slow path until it is over */
    return -1;
}

/* A connection may always queue one skb, whatever the limits say: else a full buffer could never drain. */
int tcp_try_rmem_schedule(struct sock *sk, struct sk_buff *skb, unsigned int size)
{
    if (atomic_load(&sk->sk_rmem_alloc) <= sk->sk_rcvbuf && sk_rmem_schedule(sk, skb, (int)size))
        return 0;
    if (tcp_prune_queue(sk, skb) < 0)
        return -1;
    while (!sk_rmem_schedule(sk, skb, (int)size)) {
        if (!tcp_prune_ofo_queue(sk, skb))
            return -1;
    }
    return 0;
}

/* In-order data: queue it, then whatever it made in-order. */
static void tcp_queue_and_out(struct sock *sk, struct sk_buff *skb)
{
    struct tcp_sock *tp = tcp_sk(sk);
    bool fragstolen = false, fin = TCP_SKB_CB(skb)->tcp_flags & TCPHDR_FIN;
    int eaten;

    if (tcp_try_rmem_schedule(sk, skb, skb->truesize)) {
        inet_csk(sk)->icsk_ack.pending |= ICSK_ACK_NOMEM | ICSK_ACK_NOW;
        inet_csk_schedule_ack(sk);
        sk->sk_data_ready(sk);
        if (skb_queue_len(&sk->sk_receive_queue) && skb->len) {
            NET_INC_STATS(sock_net(sk), LINUX_MIB_TCPRCVQDROP);
            tcp_drop_reason(sk, skb, SKB_DROP_REASON_PROTO_MEM);
            return;
        }
        /* The queue is empty: one segment over the limit is allowed. */
        sk_forced_mem_schedule(sk, (int)skb->truesize);
    }
    eaten = tcp_queue_rcv(sk, skb, &fragstolen);
    if (skb->len || eaten)
        tcp_event_data_recv(sk, skb);
    if (fin)
        tcp_fin(sk);
    if (!RB_EMPTY_ROOT(&tp->out_of_order_queue)) {
        tcp_ofo_queue(sk);
        /* RFC 5681 4.2: acknowledge at once when a gap is filled. */
        if (RB_EMPTY_ROOT(&tp->out_of_order_queue))
            inet_csk(sk)->icsk_ack.pending |= ICSK_ACK_NOW;
    }
    if (tp->rx_opt.num_sacks)
        tcp_sack_remove(tp);
    tcp_fast_path_check(sk);
    if (eaten)
        consume_skb(skb);
    if (!sock_flag(sk, SOCK_DEAD))
        tcp_data_ready(sk);
}

/* Role: the text of a segment that passed tcp_validate_incoming (RFC 9293 3.10.7.4, seventh). */
void tcp_data_queue(struct sock *sk, struct sk_buff *skb)
{
    struct tcp_sock *tp = tcp_sk(sk);
    enum skb_drop_reason reason;

    if (TCP_SKB_CB(skb)->seq == TCP_SKB_CB(skb)->end_seq) {
        consume_skb(skb);
        return;
    }
    skb_dst_drop(skb);
    pskb_pull(skb, tcp_hdr(skb)->doff * 4u);
    tp->rx_opt.dsack = 0;

    if (TCP_SKB_CB(skb)->seq == tp->rcv_nxt) {
        if (tcp_receive_window(tp) == 0) {
            /* A lone FIN needs no buffer (tcp_queue_and_out copes). */
            if (skb->len || !(TCP_SKB_CB(skb)->tcp_flags & TCPHDR_FIN)) {
                reason = SKB_DROP_REASON_TCP_ZEROWINDOW;
                NET_INC_STATS(sock_net(sk), LINUX_MIB_TCPZEROWINDOWDROP);
                goto out_of_window;
            }
        }
        tcp_queue_and_out(sk, skb);
        return;
    }
    if (!after(TCP_SKB_CB(skb)->end_seq, tp->rcv_nxt)) {
        /* A retransmit: 2nd most common case; force an immediate ack. */
        NET_INC_STATS(sock_net(sk), LINUX_MIB_DELAYEDACKLOST);
        reason = SKB_DROP_REASON_TCP_OLD_DATA;
        tcp_dsack_set(sk, TCP_SKB_CB(skb)->seq, TCP_SKB_CB(skb)->end_seq);
        goto out_of_window;
    }
    if (!before(TCP_SKB_CB(skb)->seq, tp->rcv_nxt + tcp_receive_window(tp))) {
        reason = SKB_DROP_REASON_TCP_OVERWINDOW;
        goto out_of_window;
    }
    if (before(TCP_SKB_CB(skb)->seq, tp->rcv_nxt)) {
        tcp_dsack_set(sk, TCP_SKB_CB(skb)->seq, tp->rcv_nxt); /* partial packet: seq < rcv_nxt < end_seq */
        if (!tcp_receive_window(tp)) {
            reason = SKB_DROP_REASON_TCP_ZEROWINDOW;
            NET_INC_STATS(sock_net(sk), LINUX_MIB_TCPZEROWINDOWDROP);
            goto out_of_window;
        }
        tcp_queue_and_out(sk, skb);
        return;
    }
    tcp_data_queue_ofo(sk, skb);
    return;

out_of_window:
    tcp_enter_quickack_mode(sk, TCP_MAX_QUICKACKS);
    inet_csk_schedule_ack(sk);
    tcp_drop_reason(sk, skb, reason);
}
