/* SPDX-License-Identifier: MIT */
#ifndef SLUICE_IPV4_TCP_INPUT_H
#define SLUICE_IPV4_TCP_INPUT_H
/* What the files of the receive side share: tcp_input.c (options, acceptability, ESTABLISHED), tcp_state.c (the other
 * states), tcp_ack.c (ACK clock), tcp_sack.c (scoreboard), tcp_loss.c (recovery state machine), tcp_rcvqueue.c and
 * tcp_ofo.c (receive queues), tcp_rcvbuf.c (window and buffer), tcp_delack.c (when to acknowledge). */

#include "tcp.h"

/* What tcp_ack() found out about one ACK. */
#define FLAG_DATA 0x01              /* incoming frame contained data */
#define FLAG_WIN_UPDATE 0x02        /* incoming ACK was a window update */
#define FLAG_DATA_ACKED 0x04        /* this ACK acknowledged new data */
#define FLAG_RETRANS_DATA_ACKED 0x08
#define FLAG_SYN_ACKED 0x10
#define FLAG_DATA_SACKED 0x20       /* new SACK */
#define FLAG_ECE 0x40               /* ECE in this ACK */
#define FLAG_LOST_RETRANS 0x80      /* this ACK marks some retransmission lost */
#define FLAG_SLOWPATH 0x100
#define FLAG_ORIG_SACK_ACKED 0x200  /* never retransmitted data are (s)acked */
#define FLAG_SND_UNA_ADVANCED 0x400
#define FLAG_DSACKING_ACK 0x800     /* SACK blocks contained D-SACK info */
#define FLAG_SET_XMIT_TIMER 0x1000  /* re-arm RTO or TLP */
#define FLAG_SACK_RENEGING 0x2000   /* snd_una advanced to a sacked seq */
#define FLAG_UPDATE_TS_RECENT 0x4000
#define FLAG_NO_CHALLENGE_ACK 0x8000
#define FLAG_ACK_MAYBE_DELAYED 0x10000
#define FLAG_DSACK_TLP 0x20000
#define FLAG_ACKED (FLAG_DATA_ACKED | FLAG_SYN_ACKED)
#define FLAG_NOT_DUP (FLAG_DATA | FLAG_WIN_UPDATE | FLAG_ACKED)
#define FLAG_CA_ALERT (FLAG_DATA_SACKED | FLAG_ECE | FLAG_DSACKING_ACK)
#define FLAG_FORWARD_PROGRESS (FLAG_ACKED | FLAG_DATA_SACKED)

#define REXMIT_NONE 0
#define REXMIT_LOST 1 /* retransmit packets marked lost */
#define REXMIT_NEW 2  /* F-RTO: new data before loss recovery */

struct tcp_sacktag_state {
    u64 first_sackt, last_sackt; /* us: send time of the first/last packet newly sacked */
    u32 reord;
    u32 sack_delivered;
    int flag;
    unsigned int mss_now;
    struct rate_sample *rate;
};

/* tcp_ack.c. tcp_ack: >0 acceptable, 0 old duplicate, <0: -(drop reason), not acceptable. */
int tcp_ack(struct sock *sk, const struct sk_buff *skb, int flag);
void tcp_ack_update_rtt_synack(struct sock *sk, u64 synack_us);
void tcp_rtt_estimator(struct sock *sk, long mrtt_us);
void tcp_update_pacing_rate(struct sock *sk);
void tcp_replace_ts_recent(struct tcp_sock *tp, u32 seq);
void tcp_ecn_rcv_synack(struct tcp_sock *tp, const struct tcphdr *th);
void tcp_ack_probe(struct sock *sk);

/* tcp_sack.c */
int tcp_sacktag_write_queue(struct sock *sk, const struct sk_buff *ack_skb, u32 prior_snd_una,
                            struct tcp_sacktag_state *state);
void tcp_check_sack_reordering(struct sock *sk, u32 low_seq, int ts);
void tcp_add_reno_sack(struct sock *sk, int num_dupack);
void tcp_remove_reno_sacks(struct sock *sk, int acked);
void tcp_reset_reno_sack(struct tcp_sock *tp);
static inline u32 tcp_highest_sack_seq_of(const struct tcp_sock *tp)
{
    if (!tp->sacked_out)
        return tp->snd_una;
    return tp->highest_sack ? TCP_SKB_CB(tp->highest_sack)->seq : tp->snd_nxt;
}

/* tcp_loss.c */
void tcp_fastretrans_alert(struct sock *sk, u32 prior_snd_una, int num_dupack, int *ack_flag, int *rexmit);
void tcp_process_tlp_ack(struct sock *sk, u32 ack, int flag);
void tcp_cong_control(struct sock *sk, u32 ack, u32 acked_sacked, int flag, const struct rate_sample *rs);
void tcp_cwnd_reduction(struct sock *sk, int newly_acked_sacked, int newly_lost, int flag);
void tcp_xmit_recovery(struct sock *sk, int rexmit);
void tcp_init_undo(struct tcp_sock *tp);
bool tcp_check_sack_reneging(struct sock *sk, int *ack_flag);
void tcp_try_undo_spurious_syn(struct sock *sk);
bool tcp_try_undo_recovery(struct sock *sk);
/* Something is lost for another reason than congestion: send it again without lowering the window. */
void tcp_non_congestion_loss_retransmit(struct sock *sk);
/* Is the segment's window newer than snd_wnd (RFC 9293 3.10.7.4: SND.WL1, SND.WL2)? nwin is scaled. */
bool tcp_may_update_window(const struct tcp_sock *tp, u32 ack, u32 ack_seq, u32 nwin);
bool tcp_tsopt_ecr_before(const struct tcp_sock *tp, u32 when);

/* tcp_input.c. tcp_validate_incoming: the first to fourth check of RFC 9293 3.10.7.4; false: skb was consumed. */
bool tcp_validate_incoming(struct sock *sk, struct sk_buff *skb, const struct tcphdr *th, int syn_inerr);
void tcp_urg(struct sock *sk, struct sk_buff *skb, const struct tcphdr *th);

/* tcp_rcvqueue.c */
void tcp_data_queue(struct sock *sk, struct sk_buff *skb); /* takes skb over */
int tcp_queue_rcv(struct sock *sk, struct sk_buff *skb, bool *fragstolen);
bool tcp_try_coalesce(struct sock *sk, struct sk_buff *to, struct sk_buff *from, bool *fragstolen);
void tcp_rcv_nxt_update(struct tcp_sock *tp, u32 seq);
int tcp_try_rmem_schedule(struct sock *sk, struct sk_buff *skb, unsigned int size);
void tcp_drop_reason(struct sock *sk, struct sk_buff *skb, enum skb_drop_reason reason);

/* tcp_ofo.c */
void tcp_data_queue_ofo(struct sock *sk, struct sk_buff *skb); /* takes skb over */
void tcp_ofo_queue(struct sock *sk);
/* Out of the queue, which keeps ooo_last_skb right; skb is the caller's. */
void tcp_ofo_unlink(struct tcp_sock *tp, struct sk_buff *skb);
/* skb, with the same sequence number, takes victim's place; victim is the caller's. */
void tcp_ofo_replace(struct tcp_sock *tp, struct sk_buff *victim, struct sk_buff *skb);
void tcp_dsack_set(struct sock *sk, u32 seq, u32 end_seq);
void tcp_sack_remove(struct tcp_sock *tp);
void tcp_send_dupack(struct sock *sk, const struct sk_buff *skb);

/* tcp_rcvbuf.c */
void tcp_event_data_recv(struct sock *sk, struct sk_buff *skb);
void tcp_rcv_rtt_measure_ts(struct sock *sk, const struct sk_buff *skb);
void tcp_grow_window(struct sock *sk, const struct sk_buff *skb);
void tcp_clamp_window(struct sock *sk);

/* tcp_delack.c */
void tcp_ack_snd_check(struct sock *sk);
void __tcp_ack_snd_check(struct sock *sk, int ofo_possible);
void tcp_incr_quickack(struct sock *sk, unsigned int max_quickacks);
bool tcp_in_quickack_mode(struct sock *sk);
void tcp_ecn_check_ce(struct sock *sk, const struct sk_buff *skb);
void tcp_ecn_accept_cwr(struct sock *sk, const struct sk_buff *skb);

#endif
