// SPDX-License-Identifier: MIT
/* Data that came too early: the out-of-order queue, and the SACK and D-SACK blocks that tell the sender of it
 * (RFC 2018, 2883). */

#include "tcp_input.h"
#include "tcp_output.h"

/* ---- SACK blocks to send ------------------------------------------------------------------------------------ */

static bool tcp_sack_extend(struct tcp_sack_block *sp, u32 seq, u32 end_seq)
{
    if (after(seq, sp->end_seq) || after(sp->start_seq, end_seq))
        return false;
    if (before(seq, sp->start_seq))
        sp->start_seq = seq;
    if (after(end_seq, sp->end_seq))
        sp->end_seq = end_seq;
    return true;
}

void tcp_dsack_set(struct sock *sk, u32 seq, u32 end_seq)
{
    struct tcp_sock *tp = tcp_sk(sk);

    if (!tcp_is_sack(tp) || !sock_net(sk)->ipv4.sysctl_tcp_dsack)
        return;
    NET_INC_STATS(sock_net(sk), before(seq, tp->rcv_nxt) ? LINUX_MIB_TCPDSACKOLDSENT : LINUX_MIB_TCPDSACKOFOSENT);
    tp->rx_opt.dsack = 1;
    tp->duplicate_sack[0].start_seq = seq;
    tp->duplicate_sack[0].end_seq = end_seq;
}

static void tcp_dsack_extend(struct sock *sk, u32 seq, u32 end_seq)
{
    struct tcp_sock *tp = tcp_sk(sk);

    if (!tp->rx_opt.dsack)
        tcp_dsack_set(sk, seq, end_seq);
    else
        tcp_sack_extend(tp->duplicate_sack, seq, end_seq);
}

/* An out-of-window or duplicate segment is answered at once, with a D-SACK when it was received before. */
void tcp_send_dupack(struct sock *sk, const struct sk_buff *skb)
{
    struct tcp_sock *tp = tcp_sk(sk);
    u32 end_seq = TCP_SKB_CB(skb)->end_seq;

    if (end_seq != TCP_SKB_CB(skb)->seq && before(TCP_SKB_CB(skb)->seq, tp->rcv_nxt)) {
        NET_INC_STATS(sock_net(sk), LINUX_MIB_DELAYEDACKLOST);
        tcp_enter_quickack_mode(sk, TCP_MAX_QUICKACKS);
        if (tcp_is_sack(tp) && sock_net(sk)->ipv4.sysctl_tcp_dsack) {
            if (after(end_seq, tp->rcv_nxt))
                end_seq = tp->rcv_nxt;
            tcp_dsack_set(sk, TCP_SKB_CB(skb)->seq, end_seq);
        }
    }
    tcp_send_ack(sk);
}

/* selective_acks[0] has just grown: swallow those that it now touches. */
static void tcp_sack_maybe_coalesce(struct tcp_sock *tp)
{
    struct tcp_sack_block *sp = &tp->selective_acks[0];
    int i = 1;

    while (i < tp->rx_opt.num_sacks) {
        if (tcp_sack_extend(sp, tp->selective_acks[i].start_seq, tp->selective_acks[i].end_seq)) {
            tp->rx_opt.num_sacks--;
            memmove(&tp->selective_acks[i], &tp->selective_acks[i + 1],
                    (size_t)(tp->rx_opt.num_sacks - i) * sizeof(*sp));
            continue;
        }
        i++;
    }
}

/* The most recently received block goes first (RFC 2018 4). */
static void tcp_sack_new_ofo_skb(struct sock *sk, u32 seq, u32 end_seq)
{
    struct tcp_sock *tp = tcp_sk(sk);
    struct tcp_sack_block *sp = &tp->selective_acks[0];
    int cur_sacks = tp->rx_opt.num_sacks, this_sack;

    for (this_sack = 0; this_sack < cur_sacks; this_sack++) {
        if (tcp_sack_extend(&sp[this_sack], seq, end_seq)) {
            struct tcp_sack_block moved = sp[this_sack];

            memmove(&sp[1], &sp[0], (size_t)this_sack * sizeof(*sp));
            sp[0] = moved;
            if (cur_sacks > 1)
                tcp_sack_maybe_coalesce(tp);
            return;
        }
    }
    if (this_sack >= TCP_NUM_SACKS) {
        if (tp->compressed_ack) /* the block about to be forgotten was never told */
            tcp_send_ack(sk);
        this_sack--;
        tp->rx_opt.num_sacks--;
    }
    memmove(&sp[1], &sp[0], (size_t)this_sack * sizeof(*sp));
    sp[0].start_seq = seq;
    sp[0].end_seq = end_seq;
    tp->rx_opt.num_sacks++;
}

/* rcv_nxt moved: forget blocks below it. */
void tcp_sack_remove(struct tcp_sock *tp)
{
    struct tcp_sack_block *sp = &tp->selective_acks[0];
    int num_sacks = tp->rx_opt.num_sacks, this_sack = 0;

    if (RB_EMPTY_ROOT(&tp->out_of_order_queue)) {
        tp->rx_opt.num_sacks = 0;
        return;
    }
    while (this_sack < num_sacks) {
        if (!before(tp->rcv_nxt, sp[this_sack].start_seq)) {
            memmove(&sp[this_sack], &sp[this_sack + 1], (size_t)(num_sacks - this_sack - 1) * sizeof(*sp));
            num_sacks--;
            continue;
        }
        this_sack++;
    }
    tp->rx_opt.num_sacks = (u8)num_sacks;
}

/* ---- the queue ---------------------------------------------------------------------------------------------- */

void tcp_ofo_unlink(struct tcp_sock *tp, struct sk_buff *skb)
{
    if (skb == tp->ooo_last_skb)
        tp->ooo_last_skb = skb_rb_prev(skb);
    skb_rb_unlink(skb, &tp->out_of_order_queue);
}

void tcp_ofo_replace(struct tcp_sock *tp, struct sk_buff *victim, struct sk_buff *skb)
{
    rb_replace_node(&victim->rbnode, &skb->rbnode, &tp->out_of_order_queue);
    victim->next = victim->prev = NULL;
    victim->dev = NULL;
    if (victim == tp->ooo_last_skb)
        tp->ooo_last_skb = skb;
}

/* Out-of-order data that has become in-order moves to the receive queue. */
void tcp_ofo_queue(struct sock *sk)
{
    struct tcp_sock *tp = tcp_sk(sk);
    u32 dsack_high = tp->rcv_nxt;
    struct sk_buff *skb, *tail;
    bool fin, fragstolen, eaten;

    while ((skb = skb_rb_first(&tp->out_of_order_queue))) {
        if (after(TCP_SKB_CB(skb)->seq, tp->rcv_nxt))
            break;
        if (before(TCP_SKB_CB(skb)->seq, dsack_high)) {
            u32 dsack = dsack_high;

            if (before(TCP_SKB_CB(skb)->end_seq, dsack_high))
                dsack = TCP_SKB_CB(skb)->end_seq;
            tcp_dsack_extend(sk, TCP_SKB_CB(skb)->seq, dsack);
        }
        tcp_ofo_unlink(tp, skb);
        if (!after(TCP_SKB_CB(skb)->end_seq, tp->rcv_nxt)) {
            tcp_drop_reason(sk, skb, SKB_DROP_REASON_TCP_OFOMERGE);
            continue;
        }
        tail = skb_peek_tail(&sk->sk_receive_queue);
        eaten = tail && tcp_try_coalesce(sk, tail, skb, &fragstolen);
        tcp_rcv_nxt_update(tp, TCP_SKB_CB(skb)->end_seq);
        fin = TCP_SKB_CB(skb)->tcp_flags & TCPHDR_FIN;
        if (!eaten)
            __skb_queue_tail(&sk->sk_receive_queue, skb);
        else
            consume_skb(skb);
        if (unlikely(fin)) {
            tcp_fin(sk);
            break; /* tcp_fin() purges the out-of-order queue */
        }
    }
}

void tcp_ofo_purge(struct sock *sk, enum skb_drop_reason reason)
{
    skb_rbtree_purge(&tcp_sk(sk)->out_of_order_queue, reason);
    tcp_sk(sk)->ooo_last_skb = NULL;
}

/* Drop the newest out-of-order data, most distant first, an eighth of the buffer at a time, until there is room and
 * memory is no longer short (RFC 2018 8 allows reneging).
 * True: something was freed. */
bool tcp_prune_ofo_queue(struct sock *sk, const struct sk_buff *in_skb)
{
    struct tcp_sock *tp = tcp_sk(sk);
    struct sk_buff *skb;
    bool pruned = false;
    int goal = sk->sk_rcvbuf >> 3;

    while ((skb = tp->ooo_last_skb)) {
        /* If the new data is beyond the last one, it is the one to drop. */
        if (in_skb && after(TCP_SKB_CB(in_skb)->seq, TCP_SKB_CB(skb)->seq))
            break;
        pruned = true;
        tcp_ofo_unlink(tp, skb);
        goal -= (int)skb->truesize;
        tcp_drop_reason(sk, skb, SKB_DROP_REASON_TCP_OFO_QUEUE_PRUNE);
        if (goal <= 0 || RB_EMPTY_ROOT(&tp->out_of_order_queue)) {
            sk_mem_reclaim(sk);
            if (atomic_load(&sk->sk_rmem_alloc) <= sk->sk_rcvbuf && !tcp_under_memory_pressure(sk))
                break;
            goal = sk->sk_rcvbuf >> 3;
        }
    }
    if (pruned) {
        NET_INC_STATS(sock_net(sk), LINUX_MIB_OFOPRUNED);
        if (tp->rx_opt.sack_ok) /* our SACKs were promises that no longer hold */
            tp->rx_opt.num_sacks = 0;
    }
    return pruned;
}

struct ofo_place { /* where a segment goes */
    struct sk_buff *prev; /* the one before it: the last that does not start after it. NULL: it will be the first */
    struct rb_node *parent, **link;
};

static struct ofo_place tcp_ofo_find(struct tcp_sock *tp, u32 seq)
{
    struct ofo_place at = {NULL, NULL, &tp->out_of_order_queue.rb_node};
    struct sk_buff *last = tp->ooo_last_skb;

    if (last && !before(seq, TCP_SKB_CB(last)->seq)) { /* the common case: the end, no search */
        at.prev = last;
        at.parent = &last->rbnode;
        at.link = &last->rbnode.rb_right;
        return at;
    }
    while (*at.link) {
        at.parent = *at.link;
        if (before(seq, TCP_SKB_CB(rb_to_skb(at.parent))->seq)) {
            at.link = &at.parent->rb_left;
        } else {
            at.prev = rb_to_skb(at.parent);
            at.link = &at.parent->rb_right;
        }
    }
    return at;
}

/* Remove queued skbs that [.., end_seq) covers; D-SACK a partial overlap. */
static void tcp_ofo_trim_covered(struct sock *sk, struct sk_buff *skb, u32 end_seq)
{
    struct tcp_sock *tp = tcp_sk(sk);
    struct sk_buff *next;

    while ((next = skb_rb_next(skb))) {
        if (!after(end_seq, TCP_SKB_CB(next)->seq))
            break;
        if (before(end_seq, TCP_SKB_CB(next)->end_seq)) {
            tcp_dsack_extend(sk, TCP_SKB_CB(next)->seq, end_seq);
            break;
        }
        tcp_ofo_unlink(tp, next);
        tcp_dsack_extend(sk, TCP_SKB_CB(next)->seq, TCP_SKB_CB(next)->end_seq);
        NET_INC_STATS(sock_net(sk), LINUX_MIB_TCPOFOMERGE);
        tcp_drop_reason(sk, next, SKB_DROP_REASON_TCP_OFOMERGE);
    }
}

void tcp_data_queue_ofo(struct sock *sk, struct sk_buff *skb)
{
    struct tcp_sock *tp = tcp_sk(sk);
    u32 seq = TCP_SKB_CB(skb)->seq, end_seq = TCP_SKB_CB(skb)->end_seq;
    struct ofo_place at;
    struct sk_buff *prev;
    bool fragstolen;

    tcp_ecn_check_ce(sk, skb);
    if (unlikely(tcp_try_rmem_schedule(sk, skb, skb->truesize))) {
        NET_INC_STATS(sock_net(sk), LINUX_MIB_TCPOFODROP);
        sk->sk_data_ready(sk);
        tcp_drop_reason(sk, skb, SKB_DROP_REASON_PROTO_MEM);
        return;
    }
    tp->pred_flags = 0;
    inet_csk_schedule_ack(sk);
    tp->rcv_ooopack += max_t(u16, 1, skb_shinfo(skb)->gso_segs);
    NET_INC_STATS(sock_net(sk), LINUX_MIB_TCPOFOQUEUE);

    at = tcp_ofo_find(tp, seq);
    prev = at.prev;
    if (prev && before(seq, TCP_SKB_CB(prev)->end_seq)) {
        if (!after(end_seq, TCP_SKB_CB(prev)->end_seq)) { /* all of it is there already */
            NET_INC_STATS(sock_net(sk), LINUX_MIB_TCPOFOMERGE);
            tcp_dsack_set(sk, seq, end_seq);
            tcp_drop_reason(sk, skb, SKB_DROP_REASON_TCP_OFOMERGE);
            goto add_sack;
        }
        if (after(seq, TCP_SKB_CB(prev)->seq)) {
            tcp_dsack_set(sk, seq, TCP_SKB_CB(prev)->end_seq); /* partial overlap */
        } else { /* starts alike but longer: the old one is covered */
            NET_INC_STATS(sock_net(sk), LINUX_MIB_TCPOFOMERGE);
            tcp_dsack_extend(sk, TCP_SKB_CB(prev)->seq, TCP_SKB_CB(prev)->end_seq);
            tcp_ofo_replace(tp, prev, skb);
            tcp_drop_reason(sk, prev, SKB_DROP_REASON_TCP_OFOMERGE);
            goto queued;
        }
    } else if (prev && tcp_try_coalesce(sk, prev, skb, &fragstolen)) {
        if (!tcp_is_sack(tp) || skb->len >= 128)
            tcp_grow_window(sk, prev);
        consume_skb(skb);
        skb = NULL;
        tcp_ofo_trim_covered(sk, prev, end_seq);
        goto add_sack;
    }
    rb_link_node(&skb->rbnode, at.parent, at.link);
    rb_insert_color(&skb->rbnode, &tp->out_of_order_queue);
    if (prev == tp->ooo_last_skb)
        tp->ooo_last_skb = skb;
queued:
    skb_set_owner_r(skb, sk);
    tcp_ofo_trim_covered(sk, skb, end_seq);
    if (tcp_is_sack(tp))
        tcp_grow_window(sk, skb);
add_sack:
    if (tcp_is_sack(tp))
        tcp_sack_new_ofo_skb(sk, seq, end_seq);
}
