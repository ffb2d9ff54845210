/* SPDX-License-Identifier: MIT */
/* The error queue, and the transmit timestamps that go there (SO_TIMESTAMPING; Linux's timestamping.rst). Software
 * stamps only: AF_XDP gives none of the hardware's. */

#include "errqueue.h"
#include <errno.h>
#include <linux/net_tstamp.h>

/* Charged without the socket lock: only sk_rmem_alloc moves. */
static void sock_rmem_free(struct sk_buff *skb)
{
    atomic_fetch_sub(&skb->sk->sk_rmem_alloc, (s32)skb->truesize);
}

int sock_queue_err_skb(struct sock *sk, struct sk_buff *skb)
{
    if (atomic_load(&sk->sk_rmem_alloc) + (s32)skb->truesize >= READ_ONCE(sk->sk_rcvbuf))
        return -ENOMEM;
    skb_orphan(skb);
    skb->sk = sk;
    skb->destructor = sock_rmem_free;
    atomic_fetch_add(&sk->sk_rmem_alloc, (s32)skb->truesize);
    skb_dst_drop(skb);
    spin_lock(&sk->sk_error_queue.lock);
    __skb_queue_tail(&sk->sk_error_queue, skb);
    spin_unlock(&sk->sk_error_queue.lock);
    if (!sock_flag(sk, SOCK_DEAD))
        sk->sk_error_report(sk);
    return 0;
}

static bool is_icmp_err_skb(const struct sk_buff *skb)
{
    return skb && SKB_EXT_ERR(skb)->ee.ee_origin == SO_EE_ORIGIN_ICMP;
}

struct sk_buff *sock_dequeue_err_skb(struct sock *sk)
{
    struct sk_buff *skb, *next;
    bool icmp_next;

    spin_lock(&sk->sk_error_queue.lock);
    skb = __skb_dequeue(&sk->sk_error_queue);
    next = skb ? skb_peek(&sk->sk_error_queue) : NULL;
    icmp_next = is_icmp_err_skb(next);
    if (icmp_next)
        WRITE_ONCE(sk->sk_err, (int)SKB_EXT_ERR(next)->ee.ee_errno);
    spin_unlock(&sk->sk_error_queue.lock);
    if (is_icmp_err_skb(skb) && !icmp_next)
        WRITE_ONCE(sk->sk_err, 0);
    if (next)
        sk->sk_error_report(sk); /* edge-triggered pollers read one at a time */
    return skb;
}

u8 sock_tx_timestamp_flags(u32 tsflags)
{
    u8 flags = 0;

    if (tsflags & SOF_TIMESTAMPING_TX_HARDWARE)
        flags |= SKBTX_HW_TSTAMP;
    if (tsflags & SOF_TIMESTAMPING_TX_SOFTWARE)
        flags |= SKBTX_SW_TSTAMP;
    if (tsflags & SOF_TIMESTAMPING_TX_SCHED)
        flags |= SKBTX_SCHED_TSTAMP;
    return flags;
}

void __skb_tstamp_tx(const struct sk_buff *orig, struct sock *sk, int tstype)
{
    const u32 tsflags = READ_ONCE(sk->sk_tsflags);
    struct sk_buff *skb;

    /* The packet itself comes back as a copy: a clone would keep transmit slots until the program reads. */
    skb = tsflags & SOF_TIMESTAMPING_OPT_TSONLY ? alloc_skb(sock_net(sk), 0) : skb_copy(orig);
    if (!skb)
        return;
    skb->dev = NULL; /* orig may be in a tree */
    memset(skb->cb, 0, sizeof(skb->cb));
    SKB_EXT_ERR(skb)->ee = (struct sock_extended_err){
        .ee_errno = ENOMSG, .ee_origin = SO_EE_ORIGIN_TIMESTAMPING, .ee_info = (u32)tstype};
    if (tsflags & SOF_TIMESTAMPING_OPT_ID)
        SKB_EXT_ERR(skb)->ee.ee_data = skb_shinfo(orig)->tskey - READ_ONCE(sk->sk_tskey);
    skb->tstamp = net_tick(sock_net(sk));
    if (sock_queue_err_skb(sk, skb))
        kfree_skb_reason(skb, SKB_DROP_REASON_SOCKET_RCVBUFF);
}
