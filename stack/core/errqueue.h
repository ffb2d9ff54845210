/* SPDX-License-Identifier: MIT */
#ifndef SLUICE_CORE_ERRQUEUE_H
#define SLUICE_CORE_ERRQUEUE_H
/* The error queue of a socket (recv(MSG_ERRQUEUE)): completions, transmit timestamps, ICMP errors. */

#include "sock.h"
#include <linux/errqueue.h>
#include <netinet/in.h>

struct sock_exterr_skb { /* skb->cb of what lies on sk_error_queue */
    struct sock_extended_err ee;
    struct sockaddr_in offender; /* who sent the ICMP error */
    struct sockaddr_in about;    /* and about which destination */
};
#define SKB_EXT_ERR(skb) ((struct sock_exterr_skb *)(skb)->cb)
_Static_assert(sizeof(struct sock_exterr_skb) <= 64, "sock_exterr_skb must fit skb->cb");

enum { /* skb_shared_info.tx_flags */
    SKBTX_HW_TSTAMP = 1 << 0, /* asked for; no device of ours has it */
    SKBTX_SW_TSTAMP = 1 << 1,
    SKBTX_SCHED_TSTAMP = 1 << 6,
};

/* Role: append skb, charged to the receive buffer, and wake pollers. 0: taken over; -ENOMEM: the buffer is full, skb
 * stays the caller's. Any context; the caller knows that sk lives. */
int sock_queue_err_skb(struct sock *sk, struct sk_buff *skb);
/* Role: take the oldest entry, the caller's to free; NULL: none. An ICMP error that is now the oldest becomes sk_err;
 * pollers hear of what is left. */
struct sk_buff *sock_dequeue_err_skb(struct sock *sk);
/* What SO_TIMESTAMPING asks to record of the bytes of a send call, as tx_flags. */
u8 sock_tx_timestamp_flags(u32 tsflags);
/* Role: report that orig passed the point tstype (SCM_TSTAMP_*) now. orig is not changed. */
void __skb_tstamp_tx(const struct sk_buff *orig, struct sock *sk, int tstype);
/* To the queueing discipline / to the driver. */
static inline void skb_tstamp_sched(const struct sk_buff *skb)
{
    if (unlikely(skb_shinfo(skb)->tx_flags & SKBTX_SCHED_TSTAMP) && skb->sk)
        __skb_tstamp_tx(skb, skb->sk, SCM_TSTAMP_SCHED);
}
static inline void skb_tx_timestamp(const struct sk_buff *skb)
{
    if (unlikely(skb_shinfo(skb)->tx_flags & SKBTX_SW_TSTAMP) && skb->sk)
        __skb_tstamp_tx(skb, skb->sk, SCM_TSTAMP_SND);
}

#endif
