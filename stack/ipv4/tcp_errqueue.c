/* SPDX-License-Identifier: MIT */
/* The error queue (recv(MSG_ERRQUEUE), ip(7) IP_RECVERR): ICMP errors, transmit timestamps (tcp_timestamping.c) and
 * completions of MSG_ZEROCOPY sends. The bytes of those are copied into transmit slots before the call returns. So
 * each completes at once, which no retransmission and no close can change, and says that it was copied
 * (SO_EE_CODE_ZEROCOPY_COPIED): programs stop asking, as they do with a kernel whose device cannot scatter. */

#include "../core/errqueue.h"
#include "tcp_output.h"
#include <linux/icmp.h>

/* Join a completion to the last one, as Linux does: ranges of calls, ee_info to ee_data, the last one's follower here
 * by construction. sk_error_queue.lock held. */
static bool tcp_zerocopy_extend(struct sock *sk, u32 id)
{
    struct sk_buff *tail = skb_peek_tail(&sk->sk_error_queue);
    struct sock_exterr_skb *serr = tail ? SKB_EXT_ERR(tail) : NULL;

    if (!serr || serr->ee.ee_origin != SO_EE_ORIGIN_ZEROCOPY)
        return false;
    serr->ee.ee_data = id;
    return true;
}

void tcp_zerocopy_complete(struct sock *sk, struct sk_buff *skb)
{
    u32 id = tcp_sk(sk)->zckey++;

    memset(skb->cb, 0, sizeof(skb->cb));
    SKB_EXT_ERR(skb)->ee = (struct sock_extended_err){.ee_origin = SO_EE_ORIGIN_ZEROCOPY,
                                                      .ee_code = SO_EE_CODE_ZEROCOPY_COPIED,
                                                      .ee_info = id,
                                                      .ee_data = id};
    spin_lock(&sk->sk_error_queue.lock);
    if (!tcp_zerocopy_extend(sk, id)) {
        __skb_queue_tail(&sk->sk_error_queue, skb);
        skb = NULL;
    }
    spin_unlock(&sk->sk_error_queue.lock);
    consume_skb(skb);
    sk->sk_error_report(sk);
}

u32 tcp_zerocopy_unread(struct sock *sk)
{
    u32 first = tcp_sk(sk)->zckey;
    struct sk_buff *skb;

    spin_lock(&sk->sk_error_queue.lock);
    skb_queue_walk (&sk->sk_error_queue, skb)
        if (SKB_EXT_ERR(skb)->ee.ee_origin == SO_EE_ORIGIN_ZEROCOPY) {
            first = SKB_EXT_ERR(skb)->ee.ee_info;
            break;
        }
    spin_unlock(&sk->sk_error_queue.lock);
    return first;
}

/* As Linux: a failed connection attempt leaves the error here with where it came from. Linux does so without
 * IP_RECVERR too; here a program must have asked, so that others poll no EPOLLERR that they cannot clear. */
void tcp_icmp_error(struct sock *sk, const struct sk_buff *icmp, int err, u32 info)
{
    const struct iphdr *inner = (const struct iphdr *)icmp->data;
    const u32 thoff = inner->ihl * 4u;
    struct sock_exterr_skb *e;
    struct sk_buff *skb;
    u32 n;

    if (!inet_sk(sk)->recverr || icmp->len <= thoff)
        return;
    n = icmp->len - thoff;
    skb = alloc_skb(sock_net(sk), n);
    if (!skb)
        return;
    skb_copy_bits(icmp, thoff, skb_put(skb, n), n);
    e = SKB_EXT_ERR(skb);
    *e = (struct sock_exterr_skb){
        .ee = {.ee_errno = (u32)err, .ee_origin = SO_EE_ORIGIN_ICMP, .ee_type = icmp_hdr(icmp)->type,
               .ee_code = icmp_hdr(icmp)->code, .ee_info = info},
        .offender = {.sin_family = AF_INET, .sin_addr.s_addr = ip_hdr(icmp)->saddr},
        .about = {.sin_family = AF_INET, .sin_port = inet_sk(sk)->inet_dport, .sin_addr.s_addr = inner->daddr},
    };
    if (sock_queue_err_skb(sk, skb))
        kfree_skb_reason(skb, SKB_DROP_REASON_SOCKET_RCVBUFF);
}

static void tcp_put_error(struct sk_msghdr *msg, const struct sock_exterr_skb *e)
{
    struct {
        struct sock_extended_err ee;
        struct sockaddr_in offender;
    } errhdr = {e->ee, e->offender};

    if (msg->msg_name && e->about.sin_family == AF_INET) {
        memcpy(msg->msg_name, &e->about, sizeof(e->about));
        msg->msg_namelen = sizeof(e->about);
    }
    put_cmsg(msg, SOL_IP, IP_RECVERR, sizeof(errhdr), &errhdr);
}

static struct sockaddr_in6 v4mapped(const struct sockaddr_in *a)
{
    struct sockaddr_in6 a6 = {.sin6_family = AF_INET6, .sin6_port = a->sin_port};

    a6.sin6_addr.s6_addr32[2] = htobe32(0xffff);
    a6.sin6_addr.s6_addr32[3] = a->sin_addr.s_addr;
    return a6;
}

/* An AF_INET6 socket's, with mapped addresses. */
static void tcp_put_error6(struct sk_msghdr *msg, const struct sock_exterr_skb *e)
{
    struct {
        struct sock_extended_err ee;
        struct sockaddr_in6 offender;
    } errhdr = {.ee = e->ee};
    struct sockaddr_in6 about;

    if (e->offender.sin_family == AF_INET)
        errhdr.offender = v4mapped(&e->offender);
    if (msg->msg_name && e->about.sin_family == AF_INET) {
        about = v4mapped(&e->about);
        memcpy(msg->msg_name, &about, sizeof(about));
        msg->msg_namelen = sizeof(about);
    }
    put_cmsg(msg, SOL_IPV6, IPV6_RECVERR, sizeof(errhdr), &errhdr);
}

/* One entry: its data, and an IP_RECVERR or IPV6_RECVERR control message. Bytes, or -EAGAIN when there is none. */
ssize_t tcp_recv_error(struct sock *sk, struct sk_msghdr *msg, size_t len)
{
    struct sk_buff *skb;
    ssize_t copied;

    skb = sock_dequeue_err_skb(sk);
    if (!skb)
        return -EAGAIN;
    copied = skb->len;
    if ((size_t)copied > len) {
        msg->msg_flags |= MSG_TRUNC;
        copied = (ssize_t)len;
    }
    if (copied)
        skb_copy_datagram_iter(skb, 0, &msg->msg_iter, (u32)copied);
    msg->msg_flags |= MSG_ERRQUEUE;
    sock_recv_timestamp(msg, sk, skb);
    if (sk->sk_family == AF_INET6)
        tcp_put_error6(msg, SKB_EXT_ERR(skb));
    else
        tcp_put_error(msg, SKB_EXT_ERR(skb));
    consume_skb(skb);
    return copied;
}
