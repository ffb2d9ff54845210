/* SPDX-License-Identifier: MIT */
/* The error queue (recv(MSG_ERRQUEUE), ip(7) IP_RECVERR): completions of MSG_ZEROCOPY sends. The bytes are
 * copied into transmit slots before the call returns, so each completion says so (SO_EE_CODE_ZEROCOPY_COPIED)
 * and programs stop asking, as they do with a kernel that had to copy. */

#include "tcp_output.h"
#include <linux/errqueue.h>

/* In skb->cb of what lies on sk_error_queue. */
struct sock_exterr_skb {
    struct sock_extended_err ee;
    struct sockaddr_in offender;
};
#define SKB_EXT_ERR(skb) ((struct sock_exterr_skb *)(skb)->cb)
_Static_assert(sizeof(struct sock_exterr_skb) <= 64, "sock_exterr_skb must fit skb->cb");

/* Join a completion to the last one, as Linux does: ranges of calls, ee_info to ee_data. sk_error_queue.lock held. */
static bool tcp_zerocopy_extend(struct sock *sk, u32 id)
{
    struct sk_buff *tail = skb_peek_tail(&sk->sk_error_queue);
    struct sock_exterr_skb *serr = tail ? SKB_EXT_ERR(tail) : NULL;

    if (!serr || serr->ee.ee_origin != SO_EE_ORIGIN_ZEROCOPY || serr->ee.ee_data + 1 != id)
        return false;
    serr->ee.ee_data = id;
    return true;
}

void tcp_zerocopy_complete(struct sock *sk)
{
    u32 id = tcp_sk(sk)->zckey++;
    struct sk_buff *skb = NULL;
    bool joined;

    spin_lock(&sk->sk_error_queue.lock);
    joined = tcp_zerocopy_extend(sk, id);
    if (!joined && (skb = alloc_skb(sock_net(sk), 0)) != NULL) {
        SKB_EXT_ERR(skb)->ee = (struct sock_extended_err){.ee_origin = SO_EE_ORIGIN_ZEROCOPY,
                                                          .ee_code = SO_EE_CODE_ZEROCOPY_COPIED,
                                                          .ee_info = id,
                                                          .ee_data = id};
        __skb_queue_tail(&sk->sk_error_queue, skb);
    }
    spin_unlock(&sk->sk_error_queue.lock);
    if (skb)
        sk->sk_error_report(sk);
}

/* One entry: its data, and a IP_RECVERR control message. Bytes, or -EAGAIN when there is none. */
ssize_t tcp_recv_error(struct sock *sk, struct sk_msghdr *msg, size_t len)
{
    struct {
        struct sock_extended_err ee;
        struct sockaddr_in offender;
    } errhdr = {0};
    struct sk_buff *skb;
    ssize_t copied;

    spin_lock(&sk->sk_error_queue.lock);
    skb = __skb_dequeue(&sk->sk_error_queue);
    spin_unlock(&sk->sk_error_queue.lock);
    if (!skb)
        return -EAGAIN;
    copied = skb->len;
    if ((size_t)copied > len) {
        msg->msg_flags |= MSG_TRUNC;
        copied = (ssize_t)len;
    }
    if (copied)
        skb_copy_datagram_iter(skb, 0, &msg->msg_iter, (u32)copied);
    errhdr.ee = SKB_EXT_ERR(skb)->ee;
    put_cmsg(msg, SOL_IP, IP_RECVERR, sizeof(errhdr), &errhdr);
    msg->msg_flags |= MSG_ERRQUEUE;
    consume_skb(skb);
    return copied;
}
