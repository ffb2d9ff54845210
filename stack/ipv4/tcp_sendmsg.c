/* SPDX-License-Identifier: MIT */
/* The program's bytes into the write queue (WALK.md, steps 4 to 12).
 *
 * Payload goes straight into transmit slots (net->tx_pool), the only copy. A slot holds the payload of one
 * segment at most and begins one, so that the device finds every segment in one piece with room for its
 * headers in front; where the MSS is larger than a slot a segment has several, and still begins one.
 * A slot belongs to one sk_buff. Devices that cannot take frags get linear sk_buffs of one segment. */

#include "tcp_fastopen.h"
#include "tcp_output.h"

#define BACKLOG_FLUSH_SKBS 16 /* during a long write, look at what arrived after so many sk_buffs */

#ifndef MSG_ZEROCOPY
#define MSG_ZEROCOPY 0x4000000
#endif
#ifndef MSG_FASTOPEN
#define MSG_FASTOPEN 0x20000000
#endif

/* ---- how much into one sk_buff --------------------------------------------------------------------------- */

/* Bytes of a full sk_buff: a multiple of the MSS that the device or its lane will cut, within half the window. */
static u32 tcp_xmit_size_goal(struct sock *sk, u32 mss_now, bool large_allowed)
{
    struct tcp_sock *tp = tcp_sk(sk);
    u32 new_size_goal, size_goal;

    if (!large_allowed || sk->sk_gso_max_size <= MAX_TCP_HEADER + mss_now)
        return mss_now;
    new_size_goal = (u32)tcp_bound_to_half_wnd(tp, (int)(sk->sk_gso_max_size - 1 - MAX_TCP_HEADER));
    size_goal = tp->gso_segs * mss_now; /* no division while it stays right */
    if (unlikely(new_size_goal < size_goal || new_size_goal >= size_goal + mss_now)) {
        tp->gso_segs = (u16)min(new_size_goal / mss_now, max((u32)sk->sk_gso_max_segs, 1u));
        size_goal = tp->gso_segs * mss_now;
    }
    return max(size_goal, mss_now);
}

/* Payload in slots, or in the linear part? */
bool tcp_can_sg(const struct sock *sk)
{
    return (sk->sk_route_caps & NETIF_F_SG) && sock_net(sk)->tx_pool;
}

int tcp_send_mss(struct sock *sk, u32 *size_goal, int flags)
{
    u32 mss_now = tcp_current_mss(sk);

    *size_goal = tcp_xmit_size_goal(sk, mss_now, !(flags & MSG_OOB) && tcp_can_sg(sk));
    return (int)mss_now;
}

bool tcp_stream_memory_free(const struct sock *sk, int wake)
{
    const struct tcp_sock *tp = tcp_sk(sk);
    u32 notsent = READ_ONCE(tp->write_seq) - READ_ONCE(tp->snd_nxt);

    return ((u64)notsent << wake) < tcp_notsent_lowat(tp);
}

/* ---- push -------------------------------------------------------------------------------------------------- */

void tcp_mark_push(struct tcp_sock *tp, struct sk_buff *skb)
{
    TCP_SKB_CB(skb)->tcp_flags |= TCPHDR_PSH;
    tp->pushed_seq = tp->write_seq;
}

/* More than half the largest window was written since the last push: the peer's reader should be told. */
static bool forced_push(const struct tcp_sock *tp)
{
    return after(tp->write_seq, tp->pushed_seq + (tp->max_window >> 1));
}

/* A small sk_buff follows others that the device has not finished yet: wait for that completion, more bytes
 * may come until then (net.ipv4.tcp_autocorking). */
static bool tcp_should_autocork(struct sock *sk, const struct sk_buff *skb, u32 size_goal)
{
    return skb->len < size_goal && sock_net(sk)->ipv4.sysctl_tcp_autocorking && !tcp_rtx_queue_empty(sk) &&
           atomic_load(&sk->sk_wmem_alloc) > (s32)skb->truesize && tcp_skb_can_collapse_to(skb);
}

void tcp_push(struct sock *sk, int flags, u32 mss_now, int nonagle, u32 size_goal)
{
    struct tcp_sock *tp = tcp_sk(sk);
    struct sk_buff *skb = tcp_write_queue_tail(sk);

    if (!skb)
        return;
    if (!(flags & MSG_MORE) || forced_push(tp))
        tcp_mark_push(tp, skb);
    if (flags & MSG_OOB)
        tp->snd_up = tp->write_seq;
    if (tcp_should_autocork(sk, skb, size_goal)) {
        if (!tcp_tsq_test(tp, TSQ_THROTTLED)) {
            NET_INC_STATS(sock_net(sk), LINUX_MIB_TCPAUTOCORKING);
            test_and_set_tsq(tp, TSQ_THROTTLED);
        }
        /* A completion before the flag was set would not push (pairs with tcp_wfree): look again. */
        if (atomic_load(&sk->sk_wmem_alloc) > (s32)skb->truesize)
            return;
    }
    if (flags & MSG_MORE)
        nonagle = TCP_NAGLE_CORK;
    __tcp_push_pending_frames(sk, mss_now, nonagle);
    WALK_END();
}

/* ---- the write queue ------------------------------------------------------------------------------------------ */

/* After an idle period the old window is no guide (RFC 5681 4.1, tcp_slow_start_after_idle). */
static void tcp_slow_start_after_idle_check(struct sock *sk)
{
    const struct tcp_sock *tp = tcp_sk(sk);
    u64 delta;

    if (!sock_net(sk)->ipv4.sysctl_tcp_slow_start_after_idle || tp->packets_out ||
        inet_csk(sk)->icsk_ca_ops->cong_control)
        return;
    delta = tcp_clock_ns(sk) - tp->lsndtime;
    if ((s64)delta > 0 && delta > inet_csk(sk)->icsk_rto)
        tcp_cwnd_restart(sk, delta);
}

/* Append an empty sk_buff to the write queue, charged. */
void skb_entail(struct sock *sk, struct sk_buff *skb)
{
    struct tcp_sock *tp = tcp_sk(sk);
    struct tcp_skb_cb *tcb = TCP_SKB_CB(skb);

    tcb->seq = tcb->end_seq = tp->write_seq;
    tcb->tcp_flags = TCPHDR_ACK;
    __skb_queue_tail(&sk->sk_write_queue, skb);
    if (skb_queue_len(&sk->sk_write_queue) == 1)
        tcp_chrono_start(sk, TCP_CHRONO_BUSY);
    sk_wmem_queued_add(sk, (int)skb->truesize);
    sk_mem_charge(sk, (int)skb->truesize);
    if (tp->nonagle & TCP_NAGLE_PUSH)
        tp->nonagle &= (u8)~TCP_NAGLE_PUSH;
    tcp_slow_start_after_idle_check(sk);
}

/* The wait came before the first byte: an empty sk_buff must not stay. */
static void tcp_remove_empty_skb(struct sock *sk)
{
    struct sk_buff *skb = tcp_write_queue_tail(sk);

    if (!skb || TCP_SKB_CB(skb)->end_seq != TCP_SKB_CB(skb)->seq)
        return;
    __skb_unlink(skb, &sk->sk_write_queue);
    if (tcp_write_queue_empty(sk))
        tcp_chrono_stop(sk, TCP_CHRONO_BUSY);
    tcp_wmem_free_skb(sk, skb);
}

/* ---- copying --------------------------------------------------------------------------------------------------- */

/* Copy into the linear part; the caller knows that there is tailroom. */
static u32 skb_add_data_nocache(struct sk_buff *skb, struct iov_iter *from, u32 copy)
{
    copy = min(copy, skb_tailroom(skb));
    return (u32)copy_from_iter(skb_put(skb, copy), copy, from);
}

/* Copy behind the last frag's payload. */
static void skb_copy_to_page_nocache(struct sk_buff *skb, struct iov_iter *from, u32 copy)
{
    struct skb_frag *f = &skb_shinfo(skb)->frags[skb_shinfo(skb)->nr_frags - 1];

    copy_from_iter((u8 *)skb_frag_address(f) + f->size, copy, from);
    f->size += copy;
    skb->len += copy;
    skb->data_len += copy;
}

/* Bytes that may still go into the last slot: to the end of the segment or of the slot. */
static u32 tcp_slot_room(const struct sk_buff *skb, u32 mss_now)
{
    const struct skb_shared_info *si = skb_shinfo(skb);
    const struct skb_frag *f;
    u32 in_segment;

    if (!si->nr_frags)
        return 0;
    in_segment = skb->len < mss_now ? skb->len : skb->len % mss_now;
    if (!in_segment)
        return 0;
    f = &si->frags[si->nr_frags - 1];
    return min(mss_now - in_segment, f->page->size - (f->off + f->size));
}

/* A fresh slot at the end of skb, charged. 0; -EMSGSIZE: skb is full; -ENOBUFS: no slot or no memory now. */
static int tcp_slot_add(struct sock *sk, struct sk_buff *skb)
{
    struct page_pool *pool = sock_net(sk)->tx_pool;
    int i = skb_shinfo(skb)->nr_frags;
    struct page *page;

    if (i >= MAX_SKB_FRAGS || unlikely(!pool))
        return -EMSGSIZE;
    page = pool->alloc(pool);
    if (unlikely(!page))
        return -ENOBUFS;
    if (unlikely(!sk_wmem_schedule(sk, (int)page->size))) {
        put_page(page);
        return -ENOBUFS;
    }
    skb_fill_page_desc(skb, i, page, pool->headroom, 0);
    skb->truesize += page->size;
    sk_wmem_queued_add(sk, (int)page->size);
    sk_mem_charge(sk, (int)page->size);
    return 0;
}

/* Role: copy up to `copy` bytes of the program's into skb. Returns how many; fewer than asked for with *err
 * as tcp_slot_add says. */
u32 tcp_copy_to_skb(struct sock *sk, struct sk_buff *skb, struct iov_iter *from, u32 copy, u32 mss_now, int *err)
{
    u32 done = 0, room;

    *err = 0;
    if (skb_tailroom(skb) > 0 && !tcp_can_sg(sk))
        return skb_add_data_nocache(skb, from, copy);
    while (done < copy) {
        room = tcp_slot_room(skb, mss_now);
        if (!room) {
            *err = tcp_slot_add(sk, skb);
            if (*err)
                break;
            room = min(mss_now, sock_net(sk)->tx_pool->slot_size);
            if (unlikely(skb->len && skb->len % mss_now)) /* the segment goes on in this slot */
                room = min(room, mss_now - skb->len % mss_now);
        }
        room = min(room, copy - done);
        skb_copy_to_page_nocache(skb, from, room);
        done += room;
    }
    return done;
}

/* ---- sendmsg ------------------------------------------------------------------------------------------------------ */

struct send_state {
    struct sk_msghdr *msg;
    int flags, err;
    u32 mss_now, size_goal;
    u64 timeo;
    ssize_t copied;
    u32 copied_syn;     /* bytes that left in the SYN (fast open) */
    int new_skbs;       /* since the backlog was looked at */
    struct sk_buff *zc; /* to be this call's completion (MSG_ZEROCOPY), or NULL */
    struct sockcm_cookie sockc;
};

/* With a small MSS the frags run out before size_goal is reached. */
static bool tcp_skb_has_room(const struct sock *sk, const struct sk_buff *skb, u32 mss_now)
{
    if (!tcp_can_sg(sk))
        return skb_tailroom(skb) > 0;
    return skb_shinfo(skb)->nr_frags < MAX_SKB_FRAGS || tcp_slot_room(skb, mss_now) > 0;
}

/* The sk_buff that the next bytes go to: the tail when there is room and they may be joined to it, else a new
 * one. NULL with s->err -ENOBUFS: wait for room. *room: bytes it may take. */
static struct sk_buff *tcp_send_skb(struct sock *sk, struct send_state *s, u32 *room)
{
    struct sk_buff *skb = tcp_write_queue_tail(sk);

    if (skb && skb->len < s->size_goal && tcp_skb_can_collapse_to(skb) &&
        tcp_skb_has_room(sk, skb, s->mss_now)) {
        *room = s->size_goal - skb->len;
        return skb;
    }
    if (skb && unlikely(skb->len < s->size_goal) && tcp_skb_can_collapse_to(skb))
        tcp_mark_push(tcp_sk(sk), skb); /* the frags ran out: complete as it is */
    s->err = -ENOBUFS;
    if (!sk_stream_memory_free(sk) || !tcp_stream_memory_free(sk, 0))
        return NULL;
    skb = sk_stream_alloc_skb(sk, tcp_can_sg(sk) ? 0 : s->size_goal);
    if (!skb)
        return NULL;
    s->err = 0;
    s->new_skbs++;
    skb_entail(sk, skb);
    *room = s->size_goal;
    return skb;
}

/* Copy what fits into one sk_buff and account for it. 0; -ENOBUFS: wait for room. */
static int tcp_send_chunk(struct sock *sk, struct send_state *s)
{
    struct iov_iter *from = &s->msg->msg_iter;
    struct tcp_sock *tp = tcp_sk(sk);
    struct sk_buff *skb;
    u32 room = 0, n;
    int err;

    skb = tcp_send_skb(sk, s, &room);
    if (!skb)
        return s->err;
    n = tcp_copy_to_skb(sk, skb, from, (u32)min((size_t)room, iov_iter_count(from)), s->mss_now, &err);
    if (n) {
        if (!s->copied)
            TCP_SKB_CB(skb)->tcp_flags &= (u8)~TCPHDR_PSH;
        WRITE_ONCE(tp->write_seq, tp->write_seq + n);
        TCP_SKB_CB(skb)->end_seq += n;
        tcp_skb_pcount_set(skb, 0); /* to be counted again before it goes */
        s->copied += n;
    }
    if (unlikely(err == -ENOBUFS))
        return err;
    if (!iov_iter_count(from)) {
        if (unlikely(s->flags & MSG_EOR))
            TCP_SKB_CB(skb)->eor = 1;
        return 0;
    }
    if ((skb->len < s->size_goal && err != -EMSGSIZE) || (s->flags & MSG_OOB))
        return 0;
    if (forced_push(tp)) {
        tcp_mark_push(tp, skb);
        __tcp_push_pending_frames(sk, s->mss_now, TCP_NAGLE_PUSH);
    } else if (skb == tcp_send_head(sk) && skb->len >= s->mss_now) {
        tcp_push_one(sk, s->mss_now);
    }
    return 0;
}

/* Push what was copied, then sleep until there is room; the MSS may be another one then. 0 or -errno. */
static int wait_for_memory(struct sock *sk, struct send_state *s)
{
    int err;

    tcp_remove_empty_skb(sk);
    if (s->copied)
        tcp_push(sk, s->flags & ~MSG_MORE, s->mss_now, TCP_NAGLE_PUSH, s->size_goal);
    err = sk_stream_wait_memory(sk, &s->timeo);
    if (!err)
        s->mss_now = (u32)tcp_send_mss(sk, &s->size_goal, s->flags);
    return err;
}

/* No room below sk_sndbuf, or no slot: whoever makes room is to call write_space. Linux's labels of these names;
 * as its newer versions, for both causes. 0 or -errno. */
static int wait_for_sndbuf(struct sock *sk, struct send_state *s)
{
    if (sk->sk_socket)
        __atomic_fetch_or(&sk->sk_socket->flags, SOCK_NOSPACE, __ATOMIC_SEQ_CST);
    return wait_for_memory(sk, s);
}

/* What the call asks for besides bytes: control messages, and a completion, for which there must be memory before
 * the first byte is taken. 0 or -errno. */
static int tcp_send_begin(struct sock *sk, struct send_state *s, size_t size)
{
    s->sockc.tsflags = READ_ONCE(sk->sk_tsflags);
    if (unlikely(s->msg->msg_controllen) && sock_cmsg_send(s->msg, &s->sockc))
        return -EINVAL;
    if (unlikely(s->flags & MSG_ZEROCOPY) && size && sock_flag(sk, SOCK_ZEROCOPY)) {
        s->zc = alloc_skb(sock_net(sk), 0);
        if (!s->zc)
            return -ENOBUFS;
    }
    return 0;
}

/* 0, or why nothing may be sent. */
static int tcp_send_prepare(struct sock *sk, struct send_state *s)
{
    int err;

    tcp_rate_check_app_limited(sk);
    if (!tcp_in_states(sk, TCPF_ESTABLISHED | TCPF_CLOSE_WAIT) &&
        !(tcp_in_states(sk, TCPF_SYN_RECV) && tcp_sk(sk)->fastopen_rsk)) { /* passive fast open: send at once */
        err = sk_stream_wait_connect(sk, &s->timeo);
        if (err)
            return err;
    }
    if (sk->sk_socket)
        __atomic_fetch_and(&sk->sk_socket->flags, ~(unsigned long)SOCK_ASYNC_NOSPACE, __ATOMIC_SEQ_CST);
    s->mss_now = (u32)tcp_send_mss(sk, &s->size_goal, s->flags);
    return sk->sk_err || (sk->sk_shutdown & SEND_SHUTDOWN) ? -EPIPE : 0;
}

/* Queue bytes until all are taken or err says why not. */
static int tcp_send_loop(struct sock *sk, struct send_state *s)
{
    int err = 0;

    while (!err && iov_iter_count(&s->msg->msg_iter)) {
        if (unlikely(s->new_skbs >= BACKLOG_FLUSH_SKBS)) {
            s->new_skbs = 0;
            sk_flush_backlog(sk);
            s->mss_now = (u32)tcp_send_mss(sk, &s->size_goal, s->flags);
            if (sk->sk_err || (sk->sk_shutdown & SEND_SHUTDOWN))
                return -EPIPE;
        }
        err = tcp_send_chunk(sk, s);
        if (err == -ENOBUFS)
            err = wait_for_sndbuf(sk, s);
    }
    return err;
}

/* What the call returns: the bytes that it took, or else err (0 when it was asked for none). */
static ssize_t tcp_send_end(struct sock *sk, struct send_state *s, int err)
{
    if (s->copied || s->copied_syn) {
        if (unlikely(s->zc))
            tcp_zerocopy_complete(sk, s->zc);
        return s->copied + s->copied_syn;
    }
    consume_skb(s->zc);
    if (tcp_sk(sk)->handed_over)
        return -SLUICE_EMOVED;
    err = sk_stream_error(sk, s->flags, err);
    /* An edge-triggered poller would never hear again of a socket with nothing outstanding. */
    if (unlikely(err == -EAGAIN && tcp_rtx_and_write_queues_empty(sk))) {
        sk->sk_write_space(sk);
        tcp_chrono_stop(sk, TCP_CHRONO_SNDBUF_LIMITED);
    }
    return err;
}

/* Role: queue the program's bytes, sending as the windows allow. Returns the bytes taken, which are then the
 * stack's to deliver, or -errno when there were none. Socket lock held. */
ssize_t tcp_sendmsg_locked(struct sock *sk, struct sk_msghdr *msg, size_t size)
{
    struct send_state s = {.msg = msg, .flags = (int)msg->msg_flags};
    int err = tcp_send_begin(sk, &s, size);

    if (unlikely(!err && ((s.flags & MSG_FASTOPEN) || inet_sk(sk)->defer_connect))) {
        err = tcp_sendmsg_fastopen(sk, msg, &s.copied_syn, size);
        if (err != -EINPROGRESS)
            s.copied_syn = err ? 0 : s.copied_syn; /* the connection failed, and the bytes with it */
    }
    if (err)
        return tcp_send_end(sk, &s, err);
    s.timeo = sock_sndtimeo(sk, s.flags & MSG_DONTWAIT);
    err = tcp_send_prepare(sk, &s);
    if (!err)
        err = tcp_send_loop(sk, &s);
    if (s.copied) {
        tcp_tx_timestamp(sk, s.sockc.tsflags);
        tcp_push(sk, s.flags, s.mss_now, tcp_sk(sk)->nonagle, s.size_goal);
    }
    return tcp_send_end(sk, &s, err);
}

void tcp_splice_eof(struct sock *sk)
{
    u32 mss_now, size_goal;

    lock_sock(sk);
    if (tcp_write_queue_tail(sk)) {
        mss_now = (u32)tcp_send_mss(sk, &size_goal, 0);
        tcp_push(sk, 0, mss_now, tcp_sk(sk)->nonagle, size_goal);
    }
    release_sock(sk);
    net_tsq_service(sock_net(sk));
}

ssize_t tcp_sendmsg(struct sock *sk, struct sk_msghdr *msg, size_t size)
{
    ssize_t ret;

    lock_sock(sk);
    ret = tcp_sendmsg_locked(sk, msg, size);
    release_sock(sk);
    net_tsq_service(sock_net(sk));
    return ret;
}
