/* SPDX-License-Identifier: MIT */
/* SO_TIMESTAMPING of what TCP sends: the last byte of each send call is followed to the queueing discipline (SCHED),
 * to the driver (SND) and to its acknowledgement (ACK). As Linux: calls whose bytes join in one sk_buff share the
 * last one's stamp. */

#include "../core/errqueue.h"
#include "tcp_output.h"
#include <linux/net_tstamp.h>

/* Byte 0 of SOF_TIMESTAMPING_OPT_ID: the first that is not acknowledged; with OPT_ID_TCP the next one written. */
u32 tcp_tskey(const struct sock *sk, bool tcp) { return tcp ? tcp_sk(sk)->write_seq : tcp_sk(sk)->snd_una; }

void tcp_tx_timestamp(struct sock *sk, u32 tsflags)
{
    struct sk_buff *skb = tcp_write_queue_tail(sk);

    if (likely(!(tsflags & SOF_TIMESTAMPING_TX_RECORD_MASK)) || !skb)
        return;
    skb_shinfo(skb)->tx_flags |= sock_tx_timestamp_flags(tsflags);
    if (tsflags & SOF_TIMESTAMPING_TX_ACK)
        TCP_SKB_CB(skb)->txstamp_ack = 1;
    skb_shinfo(skb)->tskey = TCP_SKB_CB(skb)->seq + skb->len - 1;
}

void tcp_ack_tstamp(struct sock *sk, struct sk_buff *skb, u32 prior_snd_una)
{
    const u32 key = skb_shinfo(skb)->tskey;
    struct cds_list_head anchor;

    if (likely(!TCP_SKB_CB(skb)->txstamp_ack))
        return;
    if (before(key, prior_snd_una) || !before(key, tcp_sk(sk)->snd_una))
        return;
    anchor = tcp_skb_tsorted_save(skb);
    __skb_tstamp_tx(skb, sk, SCM_TSTAMP_ACK);
    tcp_skb_tsorted_restore(skb, anchor);
}

void tcp_fragment_tstamp(struct sk_buff *skb, struct sk_buff *skb2)
{
    struct skb_shared_info *si = skb_shinfo(skb), *si2 = skb_shinfo(skb2);

    if (likely(!si->tx_flags && !TCP_SKB_CB(skb)->txstamp_ack) || before(si->tskey, TCP_SKB_CB(skb2)->seq))
        return; /* the byte stays in the first half */
    si2->tx_flags |= si->tx_flags;
    si->tx_flags = 0;
    si2->tskey = si->tskey;
    TCP_SKB_CB(skb2)->txstamp_ack = TCP_SKB_CB(skb)->txstamp_ack;
    TCP_SKB_CB(skb)->txstamp_ack = 0;
}
