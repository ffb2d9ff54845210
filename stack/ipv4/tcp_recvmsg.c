/* SPDX-License-Identifier: MIT */
/* Received bytes to the program (RFC 9293 3.10.3, recv(2), tcp(7)), and the window updates that follow. */

#include "tcp_output.h"
#include <limits.h>

/* ---- after reading ----------------------------------------------------------------------------------------- */

/* Role: the program took `copied` bytes: is an ACK or a window update due now? Socket lock held. */
void tcp_cleanup_rbuf(struct sock *sk, int copied)
{
    const struct inet_connection_sock *icsk = inet_csk(sk);
    struct tcp_sock *tp = tcp_sk(sk);
    bool time_to_ack = false;

    if (inet_csk_ack_scheduled(sk)) {
        bool drained = copied > 0 && !atomic_load_explicit(&sk->sk_rmem_alloc, memory_order_relaxed);
        bool pushed = (icsk->icsk_ack.pending & ICSK_ACK_PUSHED2) ||
                      ((icsk->icsk_ack.pending & ICSK_ACK_PUSHED) && !inet_csk_in_pingpong_mode(sk));

        /* Two segments without an ACK (delayed ACK found the socket locked); or all was read, it ended with a
         * small segment, and the program is not one that answers. */
        if (tp->rcv_nxt - tp->rcv_wup > icsk->icsk_ack.rcv_mss || (drained && pushed))
            time_to_ack = true;
    }
    /* The window at least doubled: the peer may be waiting for that. */
    if (copied > 0 && !time_to_ack && !(sk->sk_shutdown & RCV_SHUTDOWN)) {
        u32 rcv_window_now = tcp_receive_window(tp);

        if (2 * rcv_window_now <= tp->window_clamp) {
            u32 new_window = __tcp_select_window(sk);

            if (new_window && new_window >= 2 * rcv_window_now)
                time_to_ack = true;
        }
    }
    if (time_to_ack) {
        tcp_mstamp_refresh(tp);
        tcp_send_ack(sk);
    }
}

/* ---- urgent data (RFC 6093) ---------------------------------------------------------------------------------- */

/* recv(MSG_OOB): the one urgent byte. Never blocks. */
static ssize_t tcp_recv_urg(struct sock *sk, struct sk_msghdr *msg, size_t len, int flags)
{
    struct tcp_sock *tp = tcp_sk(sk);
    char c;

    if (sock_flag(sk, SOCK_URGINLINE) || !tp->urg_data || tp->urg_data == TCP_URG_READ)
        return -EINVAL;
    if (sk->sk_state == TCP_CLOSE && !sock_flag(sk, SOCK_DONE))
        return -ENOTCONN;
    if (tp->urg_data & TCP_URG_VALID) {
        c = (char)tp->urg_data;
        if (!(flags & MSG_PEEK))
            WRITE_ONCE(tp->urg_data, TCP_URG_READ);
        msg->msg_flags |= MSG_OOB;
        if (len == 0) {
            msg->msg_flags |= MSG_TRUNC;
            return 0;
        }
        if (!(flags & MSG_TRUNC))
            copy_to_iter(&c, 1, &msg->msg_iter);
        return 1;
    }
    if (sk->sk_state == TCP_CLOSE || (sk->sk_shutdown & RCV_SHUTDOWN))
        return 0;
    return -EAGAIN;
}

/* ---- recvmsg ----------------------------------------------------------------------------------------------------- */

struct recv_state {
    struct sk_msghdr *msg;
    size_t len; /* bytes still wanted */
    int flags;
    u32 *seq; /* next byte to read: copied_seq, or our own when peeking */
    u32 peek_seq, urg_hole;
    size_t target; /* return when that much is there */
    u64 timeo;
    ssize_t copied; /* or -errno */
    u64 rxtstamp;   /* of the last segment that had one, 0: none */
};

/* The sk_buff with the next byte: NULL when it has not come. *last: where the search ended. */
static struct sk_buff *tcp_recv_find(struct sock *sk, const struct recv_state *r, u32 *offset,
                                     struct sk_buff **last)
{
    struct sk_buff *skb;

    *last = skb_peek_tail(&sk->sk_receive_queue);
    skb_queue_walk (&sk->sk_receive_queue, skb) {
        *last = skb;
        *offset = *r->seq - TCP_SKB_CB(skb)->seq;
        if (unlikely(TCP_SKB_CB(skb)->tcp_flags & TCPHDR_SYN))
            (*offset)--;
        if (*offset < skb->len || (TCP_SKB_CB(skb)->tcp_flags & TCPHDR_FIN))
            return skb;
    }
    return NULL;
}

/* Nothing to read: return what there is (false), or wait (true: look again). */
static bool tcp_recv_wait(struct sock *sk, struct recv_state *r, const struct sk_buff *last)
{
    int err;

    if (r->copied >= (ssize_t)r->target && !READ_ONCE(sk->sk_backlog.tail))
        return false;
    if (r->copied) {
        if (!r->timeo || sk->sk_err || sk->sk_state == TCP_CLOSE || (sk->sk_shutdown & RCV_SHUTDOWN))
            return false;
    } else {
        if (unlikely(tcp_sk(sk)->handed_over))
            r->copied = -SLUICE_EMOVED;
        else if (sock_flag(sk, SOCK_DONE))
            return false;
        else if (sk->sk_err)
            r->copied = sock_error(sk);
        else if (sk->sk_shutdown & RCV_SHUTDOWN)
            return false;
        else if (sk->sk_state == TCP_CLOSE)
            r->copied = -ENOTCONN; /* never connected */
        else if (!r->timeo)
            r->copied = -EAGAIN;
        if (r->copied)
            return false;
    }
    if (r->copied >= (ssize_t)r->target) {
        sk_flush_backlog(sk);
    } else {
        tcp_cleanup_rbuf(sk, (int)min(r->copied, (ssize_t)INT_MAX));
        err = sk_wait_data(sk, &r->timeo, last);
        if (err < 0) {
            if (!r->copied)
                r->copied = err;
            return false;
        }
    }
    if ((r->flags & MSG_PEEK) && r->peek_seq - (u32)r->copied - r->urg_hole != tcp_sk(sk)->copied_seq)
        r->peek_seq = tcp_sk(sk)->copied_seq; /* another thread read meanwhile */
    return true;
}

/* How much of `used` bytes may be read at once: the urgent byte is not part of the stream (unless
 * SO_OOBINLINE), and reading stops before it. */
static u32 tcp_recv_urg_stop(struct sock *sk, struct recv_state *r, u32 *offset, u32 used)
{
    u32 urg_offset = tcp_sk(sk)->urg_seq - *r->seq;

    if (urg_offset >= used)
        return used;
    if (urg_offset)
        return urg_offset;
    if (!sock_flag(sk, SOCK_URGINLINE)) {
        WRITE_ONCE(*r->seq, *r->seq + 1);
        r->urg_hole++;
        (*offset)++;
        used--;
    }
    return used;
}

/* Read from skb at offset. False: stop here. */
static bool tcp_recv_skb(struct sock *sk, struct recv_state *r, struct sk_buff *skb, u32 offset)
{
    struct tcp_sock *tp = tcp_sk(sk);
    u32 used = (u32)min((size_t)(skb->len - offset), r->len);

    if (offset < skb->len) {
        if (unlikely(tp->urg_data))
            used = tcp_recv_urg_stop(sk, r, &offset, used);
        if (used) {
            if (!(r->flags & MSG_TRUNC) && skb_copy_datagram_iter(skb, offset, &r->msg->msg_iter, used)) {
                if (!r->copied)
                    r->copied = -EFAULT;
                return false;
            }
            WRITE_ONCE(*r->seq, *r->seq + used);
            r->copied += used;
            r->len -= used;
            tcp_rcv_space_adjust(sk);
        }
        if (unlikely(tp->urg_data) && after(tp->copied_seq, tp->urg_seq)) {
            WRITE_ONCE(tp->urg_data, 0);
            tcp_fast_path_check(sk);
        }
        if (TCP_SKB_CB(skb)->has_rxtstamp)
            r->rxtstamp = skb->tstamp;
        if (used + offset < skb->len)
            return true;
    }
    if (TCP_SKB_CB(skb)->tcp_flags & TCPHDR_FIN) {
        WRITE_ONCE(*r->seq, *r->seq + 1);
        r->len = 0; /* the stream ends here */
    }
    if (!(r->flags & MSG_PEEK)) {
        __skb_unlink(skb, &sk->sk_receive_queue);
        consume_skb(skb);
    }
    return true;
}

static ssize_t tcp_recvmsg_locked(struct sock *sk, struct recv_state *r)
{
    struct tcp_sock *tp = tcp_sk(sk);
    struct sk_buff *skb, *last;
    u32 offset;

    if (sk->sk_state == TCP_LISTEN)
        return -ENOTCONN;
    r->timeo = sock_rcvtimeo(sk, r->flags & MSG_DONTWAIT);
    if (r->flags & MSG_OOB)
        return tcp_recv_urg(sk, r->msg, r->len, r->flags);
    r->seq = &tp->copied_seq;
    if (r->flags & MSG_PEEK) {
        r->peek_seq = tp->copied_seq;
        r->seq = &r->peek_seq;
    }
    r->target = r->flags & MSG_WAITALL ? r->len : min((size_t)max(READ_ONCE(sk->sk_rcvlowat), 0), r->len);
    if (!r->target)
        r->target = 1;

    do {
        if (unlikely(tp->urg_data) && tp->urg_seq == *r->seq && r->copied)
            break; /* at the mark: the next call goes past it */
        skb = tcp_recv_find(sk, r, &offset, &last);
        if (!skb) {
            if (!tcp_recv_wait(sk, r, last))
                break;
        } else if (!tcp_recv_skb(sk, r, skb, offset)) {
            break;
        }
    } while (r->len > 0);

    tcp_cleanup_rbuf(sk, (int)min(r->copied, (ssize_t)INT_MAX));
    return r->copied;
}

/* SO_TIMESTAMP and TCP_INQ, asked for by the program. */
static void tcp_recv_cmsg(struct sock *sk, struct sk_msghdr *msg, const struct recv_state *r, int inq)
{
    if (r->rxtstamp) {
        struct sk_buff stamp = {.tstamp = r->rxtstamp}; /* the segment itself may have gone */

        sock_recv_timestamp(msg, sk, &stamp);
    }
    if (tcp_sk(sk)->recvmsg_inq)
        put_cmsg(msg, IPPROTO_TCP, TCP_CM_INQ, sizeof(inq), &inq);
}

/* Bytes left to read; as in Linux a FIN that has come counts as one, also when it has been read. */
static int tcp_inq_hint(struct sock *sk)
{
    int inq = (int)(tcp_sk(sk)->rcv_nxt - tcp_sk(sk)->copied_seq);

    return inq == 0 && sock_flag(sk, SOCK_DONE) ? 1 : inq;
}

/* Returns bytes, 0 at the end of the stream, or -errno. No lock held. */
ssize_t tcp_recvmsg(struct sock *sk, struct sk_msghdr *msg, size_t len, int flags)
{
    struct recv_state r = {.msg = msg, .len = len, .flags = flags};
    ssize_t ret;
    int inq;

    if (unlikely(flags & MSG_ERRQUEUE))
        return tcp_recv_error(sk, msg, len);
    lock_sock(sk);
    ret = tcp_recvmsg_locked(sk, &r);
    inq = tcp_sk(sk)->recvmsg_inq ? tcp_inq_hint(sk) : 0;
    release_sock(sk);
    if (ret >= 0)
        tcp_recv_cmsg(sk, msg, &r, inq);
    net_tsq_service(sock_net(sk));
    return ret;
}
