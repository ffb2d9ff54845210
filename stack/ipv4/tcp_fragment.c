/* SPDX-License-Identifier: MIT */
/* Cutting and joining queued sk_buffs, with the packet counters kept right. Payload never moves when the cut
 * is made between transmit slots. */

#include "tcp_output.h"

int tcp_set_skb_tso_segs(struct sk_buff *skb, unsigned int mss_now)
{
    if (skb->len <= mss_now) {
        TCP_SKB_CB(skb)->tcp_gso_size = 0;
        tcp_skb_pcount_set(skb, 1);
        return 1;
    }
    TCP_SKB_CB(skb)->tcp_gso_size = (u16)mss_now;
    tcp_skb_pcount_set(skb, (int)DIV_ROUND_UP(skb->len, mss_now));
    return tcp_skb_pcount(skb);
}

void tcp_adjust_pcount(struct sock *sk, const struct sk_buff *skb, int decr)
{
    struct tcp_sock *tp = tcp_sk(sk);
    u8 sacked = TCP_SKB_CB(skb)->sacked;

    tp->packets_out -= (u32)decr;
    if (sacked & TCPCB_SACKED_ACKED)
        tp->sacked_out -= (u32)decr;
    if (sacked & TCPCB_SACKED_RETRANS)
        tp->retrans_out -= (u32)decr;
    if (sacked & TCPCB_LOST)
        tp->lost_out -= (u32)decr;
    /* Without SACK, sacked_out counts duplicate ACKs: it may not outgrow what is out. */
    if (tcp_is_reno(tp) && decr > 0)
        tp->sacked_out -= min(tp->sacked_out, (u32)decr);
}

/* Second half of a split: buff takes what lies beyond len. 0 or -ENOMEM (nothing changed). */
static int tcp_split(struct sock *sk, enum tcp_queue q, struct sk_buff *skb, struct sk_buff *buff, u32 len,
                     unsigned int mss_now)
{
    struct tcp_sock *tp = tcp_sk(sk);
    struct tcp_skb_cb *cb = TCP_SKB_CB(skb), *ncb = TCP_SKB_CB(buff);
    int old_factor = tcp_skb_pcount(skb), diff;
    u32 nlen = skb->len - len;

    if (skb_split(skb, buff, len))
        return -ENOMEM;
    sk_wmem_queued_add(sk, (int)buff->truesize);
    sk_mem_charge(sk, (int)buff->truesize);
    buff->truesize += nlen; /* the sum over both stays what was charged */
    skb->truesize -= nlen;
    buff->ip_summed = CHECKSUM_PARTIAL;
    buff->tstamp = skb->tstamp;

    ncb->seq = cb->seq + len;
    ncb->end_seq = cb->end_seq;
    cb->end_seq = ncb->seq;
    ncb->tcp_flags = cb->tcp_flags;
    cb->tcp_flags &= (u8) ~(TCPHDR_FIN | TCPHDR_PSH); /* they belong to the end */
    ncb->sacked = cb->sacked;
    ncb->eor = cb->eor;
    cb->eor = 0;
    ncb->tx = cb->tx;

    tcp_set_skb_tso_segs(skb, mss_now);
    tcp_set_skb_tso_segs(buff, mss_now);
    if (q == TCP_FRAG_IN_RTX_QUEUE) { /* counted as in flight already */
        diff = old_factor - tcp_skb_pcount(skb) - tcp_skb_pcount(buff);
        if (diff)
            tcp_adjust_pcount(sk, skb, diff);
    }
    tcp_fragment_tstamp(skb, buff);
    if (q != TCP_FRAG_IN_RTX_QUEUE) {
        __skb_queue_after(&sk->sk_write_queue, skb, buff);
        return 0;
    }
    tcp_rbtree_insert(&tp->tcp_rtx_queue, buff);
    if (tcp_skb_tsorted(skb))
        cds_list_add(&buff->tcp_tsorted_anchor, &skb->tcp_tsorted_anchor);
    return 0;
}

int tcp_fragment(struct sock *sk, enum tcp_queue q, struct sk_buff *skb, u32 len, unsigned int mss_now)
{
    s64 limit = (s64)sk->sk_sndbuf + 2 * (s64)GSO_MAX_SIZE;
    struct sk_buff *buff;
    u32 headlen;
    int err;

    if (len > skb->len)
        return -EINVAL;
    /* A peer that makes us cut everything into crumbs must not grow the queue for ever (CVE-2019-11478). */
    if (unlikely(sk->sk_wmem_queued >> 1 > limit && q == TCP_FRAG_IN_RTX_QUEUE &&
                 skb != tcp_rtx_queue_head(sk) && skb != tcp_rtx_queue_tail(sk))) {
        NET_INC_STATS(sock_net(sk), LINUX_MIB_TCPWQUEUETOOBIG);
        return -ENOMEM;
    }
    if (skb_unclone(skb))
        return -ENOMEM;
    headlen = skb_headlen(skb);
    buff = __sk_stream_alloc_skb(sk, headlen > len ? headlen - len : 0, true);
    if (!buff)
        return -ENOMEM;
    err = tcp_split(sk, q, skb, buff, len, mss_now);
    if (err)
        consume_skb(buff);
    return err;
}

int tso_fragment(struct sock *sk, struct sk_buff *skb, unsigned int len, unsigned int mss_now)
{
    struct sk_buff *buff;
    int err;

    if (skb->len != skb->data_len)
        return tcp_fragment(sk, TCP_FRAG_IN_WRITE_QUEUE, skb, len, mss_now);
    buff = __sk_stream_alloc_skb(sk, 0, true);
    if (unlikely(!buff))
        return -ENOMEM;
    err = tcp_split(sk, TCP_FRAG_IN_WRITE_QUEUE, skb, buff, len, mss_now);
    if (err)
        consume_skb(buff);
    return err;
}

/* Role: drop the acknowledged first len bytes. 0 or -ENOMEM. The frags' slots go home at once. */
int tcp_trim_head(struct sock *sk, struct sk_buff *skb, u32 len)
{
    u32 truesize, delta;

    if (skb_unclone(skb))
        return -ENOMEM;
    truesize = skb->truesize;
    if (pskb_trim_head(skb, len))
        return -ENOMEM;
    TCP_SKB_CB(skb)->seq += len;
    if (skb->truesize == truesize && skb_is_nonlinear(skb)) /* else pskb_trim_head() has settled it */
        skb->truesize -= min(len, skb->truesize - skb->len);
    delta = truesize - skb->truesize;
    if (delta) {
        sk_wmem_queued_add(sk, -(int)delta);
        sk_mem_uncharge(sk, (int)delta);
    }
    if (tcp_skb_pcount(skb) > 1)
        tcp_set_skb_tso_segs(skb, (unsigned int)tcp_skb_mss(skb));
    return 0;
}

/* ---- joining -------------------------------------------------------------------------------------------- */

/* Where len bytes may be copied behind to's payload: the linear part's tailroom, or the rest of a slot that
 * nobody else refers to. NULL: nowhere. */
static u8 *tcp_skb_room(struct sk_buff *to, u32 len)
{
    struct skb_shared_info *si = skb_shinfo(to);
    struct skb_frag *f;

    if (!si->nr_frags)
        return skb_tailroom(to) >= len ? skb_tail_pointer(to) : NULL;
    f = &si->frags[si->nr_frags - 1];
    if (page_count(f->page) != 1 || f->page->size - (f->off + f->size) < len)
        return NULL;
    return (u8 *)skb_frag_address(f) + f->size;
}

bool tcp_skb_append(struct sk_buff *to, struct sk_buff *from)
{
    struct skb_shared_info *a = skb_shinfo(to), *b = skb_shinfo(from);
    u32 len = from->len;
    u8 *room;

    room = tcp_skb_room(to, len);
    if (room) { /* a copy of less than one segment, which then stays one frag */
        if (skb_copy_bits(from, 0, room, len))
            return false;
        if (!a->nr_frags) {
            skb_put(to, len);
        } else {
            a->frags[a->nr_frags - 1].size += len;
            to->len += len;
            to->data_len += len;
        }
        return true;
    }
    if (skb_headlen(from) || a->nr_frags + b->nr_frags > MAX_SKB_FRAGS)
        return false;
    memcpy(&a->frags[a->nr_frags], b->frags, b->nr_frags * sizeof(b->frags[0]));
    a->nr_frags = (u8)(a->nr_frags + b->nr_frags);
    b->nr_frags = 0;
    to->len += len;
    to->data_len += len;
    to->truesize += len;
    from->len = from->data_len = 0;
    from->truesize -= len;
    return true;
}

/* Join skb and its successor on the retransmission queue; the successor is freed. */
static bool tcp_collapse_retrans(struct sock *sk, struct sk_buff *skb)
{
    struct tcp_sock *tp = tcp_sk(sk);
    struct sk_buff *next = skb_rb_next(skb);

    BUG_ON(tcp_skb_pcount(skb) != 1 || tcp_skb_pcount(next) != 1);
    if (next->len && !tcp_skb_append(skb, next))
        return false;
    if (next == tp->highest_sack)
        tp->highest_sack = skb;
    TCP_SKB_CB(skb)->end_seq = TCP_SKB_CB(next)->end_seq;
    TCP_SKB_CB(skb)->tcp_flags |= TCP_SKB_CB(next)->tcp_flags;
    TCP_SKB_CB(skb)->sacked |= TCP_SKB_CB(next)->sacked & TCPCB_EVER_RETRANS;
    TCP_SKB_CB(skb)->eor = TCP_SKB_CB(next)->eor;
    if (next == tp->retransmit_skb_hint)
        tp->retransmit_skb_hint = skb;
    tcp_adjust_pcount(sk, next, tcp_skb_pcount(next));
    tcp_skb_collapse_tstamp(skb, next);
    tcp_rtx_queue_unlink_and_free(next, sk);
    return true;
}

static bool tcp_can_collapse(const struct sk_buff *skb)
{
    return tcp_skb_pcount(skb) == 1 && !skb_cloned(skb) && !(TCP_SKB_CB(skb)->sacked & TCPCB_SACKED_ACKED);
}

void tcp_retrans_try_collapse(struct sock *sk, struct sk_buff *to, int space)
{
    struct tcp_sock *tp = tcp_sk(sk);
    struct sk_buff *next;

    if (!sock_net(sk)->ipv4.sysctl_tcp_retrans_collapse || (TCP_SKB_CB(to)->tcp_flags & TCPHDR_SYN) ||
        !tcp_can_collapse(to))
        return;
    space -= (int)to->len;
    while ((next = skb_rb_next(to)) != NULL) {
        if (!tcp_can_collapse(next) || !tcp_skb_can_collapse_to(to))
            return;
        space -= (int)next->len;
        if (space < 0 || after(TCP_SKB_CB(next)->end_seq, tcp_wnd_end(tp)))
            return;
        if (!tcp_collapse_retrans(sk, to))
            return;
    }
}
