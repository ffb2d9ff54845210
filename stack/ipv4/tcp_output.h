/* SPDX-License-Identifier: MIT */
#ifndef SLUICE_IPV4_TCP_OUTPUT_H
#define SLUICE_IPV4_TCP_OUTPUT_H
/* What the files of the sending side share: tcp_output.c (write_xmit, transmit), tcp_options.c (option
 * writing), tcp_mss.c (MSS, MTU probing, receive window), tcp_fragment.c (splitting and joining),
 * tcp_retransmit.c (retransmission, TLP), tcp_control.c (SYN, FIN, RST, ACK, probes), tcp_tsq.c (small queues,
 * pacing), tcp_sendmsg.c, tcp.c. All under the socket lock. */

#include "../core/trace.h"
#include "tcp.h"

/* ---- tcp_options.c ------------------------------------------------------------------------------------ */

enum { OPTION_SACK_ADVERTISE = 1, OPTION_TS = 2, OPTION_WSCALE = 4 };
struct tcp_fastopen_cookie;
struct tcp_out_options {
    u16 options;        /* OPTION_* */
    u16 mss;            /* 0: no MSS option */
    u8 ws;              /* window scale, 0-14 */
    u8 num_sack_blocks; /* D-SACK included */
    u32 tsval, tsecr;
    const struct tcp_fastopen_cookie *fastopen; /* NULL: not there */
};
/* Decide which options a segment carries; return their length, a multiple of 4. skb NULL: for the size only. */
unsigned int tcp_syn_options(struct sock *sk, const struct sk_buff *skb, struct tcp_out_options *opts);
unsigned int tcp_synack_options(const struct sock *sk, struct request_sock *req, u16 mss,
                                const struct sk_buff *skb, struct tcp_out_options *opts,
                                const struct tcp_fastopen_cookie *foc);
unsigned int tcp_established_options(struct sock *sk, const struct sk_buff *skb,
                                     struct tcp_out_options *opts);
/* Write them behind th. tp NULL: a SYN-ACK without a full socket (no SACK blocks). */
void tcp_options_write(struct tcphdr *th, struct tcp_sock *tp, const struct tcp_out_options *opts);

/* ---- tcp_mss.c ------------------------------------------------------------------------------------------ */

/* The MSS that the route allows us to advertise (RTAX_ADVMSS or from the MTU). */
u32 tcp_dst_advmss(const struct dst_entry *dst);
u16 tcp_advertise_mss(struct sock *sk);
/* pktsize, but at most half of the largest window that the peer ever offered. */
int tcp_bound_to_half_wnd(const struct tcp_sock *tp, int pktsize);
/* The window field of the next segment; records what was offered. */
u16 tcp_select_window(struct sock *sk);
/* Send a packetisation-layer probe (RFC 4821): 1 sent, 0 wait for more data, -1 not now. */
int tcp_mtu_probe(struct sock *sk);

/* ---- tcp_fragment.c --------------------------------------------------------------------------------------- */

/* Set pcount and gso_size for this MSS. Returns pcount. */
int tcp_set_skb_tso_segs(struct sk_buff *skb, unsigned int mss_now);
/* A sent sk_buff now counts decr packets fewer: put the counters right. */
void tcp_adjust_pcount(struct sock *sk, const struct sk_buff *skb, int decr);
/* Split an unsent GSO sk_buff for the window. 0 or -ENOMEM. */
int tso_fragment(struct sock *sk, struct sk_buff *skb, unsigned int len, unsigned int mss_now);
/* Fill a lone retransmission up with its successors (RFC 9293 3.8.1 permits repacketisation). */
void tcp_retrans_try_collapse(struct sock *sk, struct sk_buff *to, int space);
/* Append all of from's payload to `to`, emptying from. False: does not fit, nothing changed. */
bool tcp_skb_append(struct sk_buff *to, struct sk_buff *from);

/* ---- tcp_output.c -------------------------------------------------------------------------------------------- */

void tcp_event_new_data_sent(struct sock *sk, struct sk_buff *skb);
u32 tcp_tso_segs(struct sock *sk, unsigned int mss_now);
bool tcp_snd_wnd_test(const struct tcp_sock *tp, const struct sk_buff *skb, unsigned int cur_mss);
/* The tsorted anchor lies where other sk_buffs have dst and destructor: out of the way while sent is copied. */
static inline struct cds_list_head tcp_skb_tsorted_save(struct sk_buff *skb)
{
    struct cds_list_head anchor = skb->tcp_tsorted_anchor;

    skb->dst = NULL;
    skb->destructor = NULL;
    return anchor;
}
static inline void tcp_skb_tsorted_restore(struct sk_buff *skb, struct cds_list_head anchor)
{
    skb->tcp_tsorted_anchor = anchor;
}
static inline bool tcp_urg_mode(const struct tcp_sock *tp) { return tp->snd_una != tp->snd_up; }
static inline bool tcp_skb_is_last(const struct sock *sk, const struct sk_buff *skb)
{
    return skb->next == (const struct sk_buff *)&sk->sk_write_queue;
}
static inline bool tcp_in_states(const struct sock *sk, u32 states) { return TCPF(sk->sk_state) & states; }

/* ---- tcp_control.c ----------------------------------------------------------------------------------------------- */

/* Make skb a segment without data: flags, sequence, one packet. */
void tcp_init_nondata_skb(struct sk_buff *skb, u32 seq, u8 flags);

/* ---- tcp_tsq.c ------------------------------------------------------------------------------------------------------ */

/* Is a clone of it still with the qdisc or the device? Then it must not be sent again now; the completion
 * will call tcp_tsq_write(). */
bool skb_still_in_host_queue(struct sock *sk, const struct sk_buff *skb);
/* Does the socket have enough below TCP already? True: stop; the completion goes on. */
bool tcp_small_queue_check(struct sock *sk, const struct sk_buff *skb, unsigned int factor);
/* What was just handed down was dropped by the queueing discipline. Socket lock held. */
void tcp_tsq_dropped(struct tcp_sock *tp);
/* net->tsq_drain */
void tcp_tsq_drain(struct net *net);
static inline bool tcp_tsq_test(const struct tcp_sock *tp, int bit)
{
    return __atomic_load_n(&tp->tsq_flags, __ATOMIC_RELAXED) >> bit & 1;
}

/* ---- tcp.c ------------------------------------------------------------------------------------------------------------ */

/* tcp_sendmsg.c: payload in slots, or in the linear part? */
bool tcp_can_sg(const struct sock *sk);
/* Copy up to `copy` of the program's bytes to skb; how many. *err: why fewer. */
u32 tcp_copy_to_skb(struct sock *sk, struct sk_buff *skb, struct iov_iter *from, u32 copy, u32 mss_now, int *err);
/* Charge size bytes whatever the limits say: for what must be sent to make progress (FIN, first sk_buff). */
void sk_forced_mem_schedule(struct sock *sk, int size);
/* As sk_stream_alloc_skb; force: what is queued already is cut, or a SYN: the limits do not count. */
struct sk_buff *__sk_stream_alloc_skb(struct sock *sk, u32 size, bool force);
static inline void sk_wmem_queued_add(struct sock *sk, int val)
{
    WRITE_ONCE(sk->sk_wmem_queued, sk->sk_wmem_queued + val);
}
bool tcp_under_memory_pressure(const struct sock *sk);
/* Memory is short: the window may be four segments at most. */
static inline void tcp_adjust_rcv_ssthresh(struct sock *sk)
{
    struct tcp_sock *tp = tcp_sk(sk);

    tp->rcv_ssthresh = min(tp->rcv_ssthresh, 4u * tp->advmss);
}
void tcp_clear_xmit_timers(struct sock *sk);
/* A MSG_ZEROCOPY send was copied: tell the error queue (tcp_errqueue.c). Takes skb, an empty one, over. */
void tcp_zerocopy_complete(struct sock *sk, struct sk_buff *skb);
/* The first call whose completion the program has not read; that of the next call when it has read all. */
u32 tcp_zerocopy_unread(struct sock *sk);
/* tcp_timestamping.c: follow the last byte of this send call; skb was (partly) acknowledged; skb was cut in two. */
void tcp_tx_timestamp(struct sock *sk, u32 tsflags);
u32 tcp_tskey(const struct sock *sk, bool tcp); /* proto.tskey */
void tcp_ack_tstamp(struct sock *sk, struct sk_buff *skb, u32 prior_snd_una);
void tcp_fragment_tstamp(struct sk_buff *skb, struct sk_buff *skb2);
/* IP_RECVERR: an ICMP error about sk, skb->data at the inner IP header (not taken over). */
void tcp_icmp_error(struct sock *sk, const struct sk_buff *skb, int err, u32 info);
ssize_t tcp_recv_error(struct sock *sk, struct sk_msghdr *msg, size_t len);

/* ---- ECN (RFC 3168) ------------------------------------------------------------------------------------------------------ */

static inline bool tcp_ca_needs_ecn(const struct sock *sk)
{
    return inet_csk(sk)->icsk_ca_ops && inet_csk(sk)->icsk_ca_ops->needs_ecn;
}
static inline void INET_ECN_xmit(struct sock *sk) { inet_sk(sk)->tos |= INET_ECN_ECT_0; }
static inline void INET_ECN_dontxmit(struct sock *sk) { inet_sk(sk)->tos &= (u8)~INET_ECN_MASK; }

#endif
