/* SPDX-License-Identifier: MIT */
#ifndef SLUICE_IPV4_TCP_H
#define SLUICE_IPV4_TCP_H
/* TCP (RFC 9293 and those listed in stack/README.md). One struct, one comment per field; who writes what:
 *   tcp.c            the program's side: sendmsg, recvmsg, poll, options, close
 *   tcp_output.c     segments out: write queue, TSO, windows, retransmission, ACKs
 *   tcp_input.c      segments in (tcp_state.c, tcp_ack.c, ...: see tcp_input.h)
 *   tcp_recovery.c   RACK; tcp_rate.c delivery rate; tcp_cong.c + tcp_cubic.c + tcp_bbr.c congestion control
 *   tcp_timer.c      RTO, probes, delayed ACK, keepalive
 *   tcp_ipv4.c       lookup, checksums, connect, resets, ISN; tcp_ipv4_err.c ICMP errors; tcp_minisocks.c TIME-WAIT, SYN-RECEIVED
 *   tcp_handover.c   a live connection's state for the kernel twin
 * Everything in tcp_sock is under the socket lock. Time: ns from net_now(), unless the name says us/ms. */

#include "../core/siphash.h"
#include "inet_sock.h"
#include <linux/tcp.h>

/* ---- sequence numbers (RFC 9293 3.4): only through these -------------------------------------------- */

static inline bool before(u32 a, u32 b) { return (s32)(a - b) < 0; }
#define after(a, b) before(b, a)
/* lo <= seq <= hi */
static inline bool between(u32 seq, u32 lo, u32 hi) { return hi - lo >= seq - lo; }

/* ---- constants, with Linux's values -------------------------------------------------------------------- */

#define MAX_TCP_HEADER MAX_HEADER_ROOM
#define MAX_TCP_OPTION_SPACE 40
#define MAX_TCP_WINDOW 32767u
#define TCP_MAX_WSCALE_ 14
#define TCP_MIN_MSS 88u
#define TCP_MSS_DEFAULT_ 536u
#define TCP_FASTRETRANS_THRESH 3
#define TCP_MAX_QUICKACKS 16u
#define TCP_INIT_CWND 10
#define TCP_INFINITE_SSTHRESH 0x7fffffff
#define TCP_PING_PONG_THRESH 1
#define TCP_TIMEOUT_INIT (1 * NSEC_PER_SEC)      /* RFC 6298 2.1 */
#define TCP_TIMEOUT_FALLBACK (3 * NSEC_PER_SEC)  /* RFC 6298 5.7 */
#define TCP_TIMEOUT_MIN (2 * NSEC_PER_MSEC)
#define TCP_RTO_MAX (120 * NSEC_PER_SEC)
#define TCP_RTO_MIN (200 * NSEC_PER_MSEC)
#define TCP_DELACK_MAX (200 * NSEC_PER_MSEC)
#define TCP_DELACK_MIN (40 * NSEC_PER_MSEC)
#define TCP_ATO_MIN (40 * NSEC_PER_MSEC)
#define TCP_RESOURCE_PROBE_INTERVAL (500 * NSEC_PER_MSEC)
#define TCP_TIMEWAIT_LEN (60 * NSEC_PER_SEC)
#define TCP_PAWS_WINDOW 1
#define TCP_PAWS_MSL 60
#define TCP_PAWS_24DAYS (60 * 60 * 24 * 24)
#define TCP_SKB_MIN_TRUESIZE 2048
#define TCP_NUM_SACKS 4

#define TCPOPT_NOP_ 1
#define TCPOPT_EOL_ 0
#define TCPOPT_MSS_ 2
#define TCPOPT_WINDOW_ 3
#define TCPOPT_SACK_PERM_ 4
#define TCPOPT_SACK_ 5
#define TCPOPT_TIMESTAMP_ 8
#define TCPOPT_FASTOPEN_ 34
#define TCPOLEN_TSTAMP_ALIGNED 12
#define TCPOLEN_WSCALE_ALIGNED 4
#define TCPOLEN_SACKPERM_ALIGNED 4
#define TCPOLEN_SACK_BASE_ALIGNED 4
#define TCPOLEN_SACK_PERBLOCK 8
#define TCPOLEN_MSS_ALIGNED 4

#define TCPHDR_FIN 0x01
#define TCPHDR_SYN 0x02
#define TCPHDR_RST 0x04
#define TCPHDR_PSH 0x08
#define TCPHDR_ACK 0x10
#define TCPHDR_URG 0x20
#define TCPHDR_ECE 0x40
#define TCPHDR_CWR 0x80
#define TCPHDR_SYN_ECN (TCPHDR_SYN | TCPHDR_ECE | TCPHDR_CWR)

#define TCP_NAGLE_OFF 1
#define TCP_NAGLE_CORK 2
#define TCP_NAGLE_PUSH 4

#define TCP_ECN_OK 1
#define TCP_ECN_QUEUE_CWR 2
#define TCP_ECN_DEMAND_CWR 4
#define TCP_ECN_SEEN 8

enum tcp_ca_state_ { TCP_CA_Open_ = 0, TCP_CA_Disorder_, TCP_CA_CWR_, TCP_CA_Recovery_, TCP_CA_Loss_ };
#ifndef TCPF_CA_Open
#define TCPF_CA_Open (1 << TCP_CA_Open)
#define TCPF_CA_Disorder (1 << TCP_CA_Disorder)
#define TCPF_CA_CWR (1 << TCP_CA_CWR)
#define TCPF_CA_Recovery (1 << TCP_CA_Recovery)
#define TCPF_CA_Loss (1 << TCP_CA_Loss)
#endif

enum tcp_chrono { TCP_CHRONO_UNSPEC, TCP_CHRONO_BUSY, TCP_CHRONO_RWND_LIMITED, TCP_CHRONO_SNDBUF_LIMITED, __TCP_CHRONO_MAX };

/* ---- per-packet ------------------------------------------------------------------------------------------- */

struct tcp_skb_cb { /* in skb->cb, host order; at most 64 bytes */
    struct inet_skb_parm h4; /* first: IP's part stays readable */
    u32 seq, end_seq;        /* SEQ + FIN + SYN + datalen */
    union {
        u32 tcp_tw_isn;      /* RX: ISN chosen by TIME-WAIT */
        struct {             /* TX */
            u16 tcp_gso_segs;
            u16 tcp_gso_size;
        };
    };
    u8 tcp_flags;            /* TCPHDR_* */
    u8 sacked;
#define TCPCB_SACKED_ACKED 0x01
#define TCPCB_SACKED_RETRANS 0x02
#define TCPCB_LOST 0x04
#define TCPCB_TAGBITS 0x07
#define TCPCB_REPAIRED 0x10
#define TCPCB_EVER_RETRANS 0x80
#define TCPCB_RETRANS (TCPCB_SACKED_RETRANS | TCPCB_EVER_RETRANS | TCPCB_REPAIRED)
    u8 ip_dsfield;
    u8 eor : 1, has_rxtstamp : 1, txstamp_ack : 1, unused : 5;
    u32 ack_seq;
    struct { /* TX: state when sent, for the delivery rate */
        u32 is_app_limited : 1, delivered_ce : 20, unused : 11;
        u32 delivered;
        u32 first_tx_us, delivered_us; /* low 32 bits of tcp_mstamp (us) */
    } tx;
};
#define TCP_SKB_CB(skb) ((struct tcp_skb_cb *)(skb)->cb)
_Static_assert(sizeof(struct tcp_skb_cb) <= 64, "tcp_skb_cb must fit skb->cb");

static inline struct tcphdr *tcp_hdr(const struct sk_buff *skb) { return (struct tcphdr *)skb_transport_header(skb); }
static inline u32 tcp_hdrlen(const struct sk_buff *skb) { return tcp_hdr(skb)->doff * 4u; }
static inline u8 tcp_flag_byte(const struct tcphdr *th) { return ((const u8 *)th)[13]; }
static inline int tcp_skb_pcount(const struct sk_buff *skb) { return TCP_SKB_CB(skb)->tcp_gso_segs; }
static inline void tcp_skb_pcount_set(struct sk_buff *skb, int n) { TCP_SKB_CB(skb)->tcp_gso_segs = (u16)n; }
static inline void tcp_skb_pcount_add(struct sk_buff *skb, int n) { TCP_SKB_CB(skb)->tcp_gso_segs += n; }
static inline int tcp_skb_mss(const struct sk_buff *skb) { return TCP_SKB_CB(skb)->tcp_gso_size; }
/* May bytes be appended to it (not after MSG_EOR)? */
static inline bool tcp_skb_can_collapse_to(const struct sk_buff *skb) { return likely(!TCP_SKB_CB(skb)->eor); }
static inline u64 tcp_skb_timestamp_us(const struct sk_buff *skb) { return skb->tstamp / 1000; }

struct tcp_sack_block {
    u32 start_seq, end_seq;
};

struct tcp_options_received {
    u64 ts_recent_stamp; /* s, when ts_recent was stored (for aging) */
    u32 ts_recent;       /* time stamp to echo next */
    u32 rcv_tsval, rcv_tsecr;
    u16 saw_tstamp : 1, tstamp_ok : 1, dsack : 1, wscale_ok : 1, sack_ok : 3, snd_wscale : 4, rcv_wscale : 4;
    u8 num_sacks;
    u16 user_mss; /* mss requested by the user */
    u16 mss_clamp; /* maximal mss, negotiated */
};
#define TCP_SACK_SEEN (1 << 0)
#define TCP_DSACK_SEEN (1 << 2)

struct rate_sample {
    u64 prior_mstamp_us;
    u32 prior_delivered, prior_delivered_ce;
    s32 delivered, delivered_ce;
    long interval_us;
    u32 snd_interval_us, rcv_interval_us;
    long rtt_us;
    int losses;
    u32 acked_sacked, prior_in_flight, last_end_seq;
    bool is_app_limited, is_retrans, is_ack_delayed;
};

/* ---- the connection ----------------------------------------------------------------------------------------- */

struct tcp_sock {
    struct inet_connection_sock inet_conn; /* first */
    u16 tcp_header_len; /* bytes of header to send, without variable options (SACK) */
    u16 gso_segs;       /* max number of segs per GSO packet */
    __be32 pred_flags;  /* header prediction */

    /* RFC 9293 3.3.1 */
    u64 bytes_received, bytes_acked, bytes_sent, bytes_retrans;
    u32 segs_in, segs_out, data_segs_in, data_segs_out, dsack_dups;
    u32 rcv_nxt;        /* what we want to receive next */
    u32 copied_seq;     /* head of yet unread data */
    u32 rcv_wup;        /* rcv_nxt on last window update sent */
    u32 snd_nxt;        /* next sequence we send */
    u32 snd_una;        /* first byte we want an ack for */
    u32 snd_sml;        /* last byte of the most recently transmitted small packet (Minshall) */
    u64 rcv_tstamp;     /* last received ACK, ns (keepalives) */
    u64 lsndtime;       /* last sent data packet, ns */
    u32 last_oow_ack_time; /* last out-of-window ACK, ms */
    u32 compressed_ack_rcv_nxt;
    u32 tsoffset;       /* timestamp offset */

    u32 snd_wl1;        /* sequence for window update */
    u32 snd_wnd;        /* the window we expect to receive */
    u32 max_window;     /* maximal window ever seen from peer */
    u32 mss_cache;      /* cached effective mss, without SACKs */
    u32 window_clamp;   /* maximal window to advertise */
    u32 rcv_ssthresh;   /* current window clamp */
    u8 scaling_ratio;   /* payload / truesize of received packets, /256 */
    u16 advmss;         /* advertised MSS */
    u8 compressed_ack;  /* ACKs not sent, waiting for compressed_ack_timer */
    u8 dup_ack_counter;
    u8 nonagle;         /* TCP_NAGLE_* */
    u8 ecn_flags;
    u8 repair : 1, thin_lto : 1, frto : 1, rate_app_limited : 1, is_cwnd_limited : 1, is_sack_reneg : 1,
        fastopen_connect : 1, fastopen_no_cookie : 1, syn_fastopen : 1, syn_data : 1, syn_data_acked : 1,
        syn_fastopen_exp : 1, syn_fastopen_child : 1, syn_fastopen_ch : 1, fastopen_client_fail : 2, tlp_retrans : 1, save_syn : 2, fast_ack_mode : 2,
        handed_over : 1; /* the kernel twin has the connection now: waiters get -SLUICE_EMOVED */
    u8 recvmsg_inq;      /* TCP_INQ; a byte of its own, read without the lock */
    u8 keepalive_probes; /* TCP_KEEPCNT */
    u32 chrono_start, chrono_stat[3]; /* ms */
    u8 chrono_type;
    u32 notsent_lowat;
    u8 tcp_usec_ts;

    /* clock */
    u64 tcp_wstamp_ns;   /* departure time for next sent data packet */
    u64 tcp_clock_cache; /* ns, of this socket's last tcp_mstamp_refresh() */
    u64 tcp_mstamp;      /* us, most recent packet received/sent */

    /* RTT (RFC 6298), us */
    u32 srtt_us;     /* smoothed round trip time << 3 */
    u32 mdev_us, mdev_max_us, rttvar_us, rtt_seq;
    struct { /* windowed minimum of the RTT */
        struct { u64 t_ms; u32 v; } s[3];
    } rtt_min;
    u32 packets_out; /* packets which are "in flight" */
    u32 retrans_out; /* retransmitted packets out */
    u32 max_packets_out;
    u32 max_packets_seq;
    u32 cwnd_usage_seq;
    u16 urg_data;    /* saved octet of OOB data and control flags: TCP_URG_* */
    u32 urg_seq;     /* seq of received urgent pointer */
    u32 snd_up;      /* urgent pointer */
    u32 reordering;  /* packet reordering metric */
    u32 reord_seen;
    struct tcp_options_received rx_opt;

    /* congestion control (RFC 5681) */
    u32 snd_ssthresh;
    u32 snd_cwnd;    /* sending congestion window, packets */
    u32 snd_cwnd_cnt;
    u32 snd_cwnd_clamp;
    u32 snd_cwnd_used;
    u64 snd_cwnd_stamp; /* ns */
    u32 prior_cwnd;  /* cwnd right before starting loss recovery */
    u32 prr_delivered, prr_out; /* RFC 6937 */
    u32 delivered, delivered_ce, lost, app_limited;
    u64 first_tx_mstamp, delivered_mstamp; /* us */
    u32 rate_delivered, rate_interval_us;

    u32 rcv_wnd;     /* current receiver window */
    u32 rcv_mwnd_seq; /* highest right edge ever offered (RFC 7323 2.4) */
    u32 write_seq;   /* tail (+1) of data held in the write queue */
    u32 pushed_seq;  /* last pushed seq, required to talk to Windows */
    u32 lost_out, sacked_out;
    struct rb_root tcp_rtx_queue;           /* sent, not acknowledged, by seq */
    struct cds_list_head tsorted_sent_queue;/* what of it may be in flight, by time of (re)transmission: RACK's */
    struct rb_root out_of_order_queue;      /* received beyond rcv_nxt, by seq */
    struct sk_buff *ooo_last_skb;           /* the last of it (NULL: empty) */
    struct tcp_sack_block duplicate_sack[1];/* D-SACK block */
    struct tcp_sack_block selective_acks[4];
    struct tcp_sack_block recv_sack_cache[4];
    struct sk_buff *highest_sack;           /* skb just after the highest SACKed one (NULL: none) */
    struct sk_buff *retransmit_skb_hint;
    u32 prior_ssthresh; /* ssthresh saved at recovery start */
    u32 high_seq;       /* snd_nxt at onset of congestion */
    u32 retrans_stamp;  /* timestamp (tcp_time_stamp_ts) of the first retransmit, 0: none */
    u32 undo_marker;    /* snd_una upon a new recovery episode */
    s32 undo_retrans;   /* number of undoable retransmissions */
    u32 total_retrans;
    u32 tlp_high_seq;   /* snd_nxt at the time of TLP */
    struct {            /* RACK (RFC 8985) */
        u64 mstamp_us;  /* (re)sent time of the latest delivered */
        u32 rtt_us, end_seq;
        u32 last_delivered;
        u8 reo_wnd_steps;
        u8 reo_wnd_persist : 5, dsack_seen : 1, advanced : 1;
    } rack;
    u32 keepalive_time, keepalive_intvl; /* s */
    u64 linger2;     /* ns; TCP_LINGER2, UINT64_MAX: none at all */
    struct { u32 rtt_us, seq; u64 time_us; } rcv_rtt_est; /* receiver side RTT */
    struct { u32 space, seq; u64 time_us; } rcvq_space;   /* receive buffer tuning (DRS) */
    struct { u32 probe_seq_start, probe_seq_end; } mtu_probe;
    u32 mtu_info;       /* ICMP frag-needed seen while the socket was owned */
    u16 timeout_rehash;
    u32 rcv_ooopack;
    u32 rcv_rtt_last_tsecr;
    u16 total_rto, total_rto_recoveries;
    u32 total_rto_time; /* ms spent in RTO recoveries */
    u32 rto_stamp;      /* ms, when the running one began; 0: none */
    unsigned long tsq_flags;  /* enum tsq_enum bits, atomic */
    struct cds_list_head tsq_node;
    struct timer_list pacing_timer, compressed_ack_timer;
    u32 zckey;          /* MSG_ZEROCOPY: number of the next call */
    u32 tcp_tx_delay;   /* us, TCP_TX_DELAY (needs fq) */
    struct saved_syn *saved_syn; /* TCP_SAVED_SYN, heap memory */
    struct tcp_fastopen_request *fastopen_req;
    struct request_sock *fastopen_rsk;
    void (*tcp_clean_acked)(struct sock *sk, u32 acked_seq);
};
static inline struct tcp_sock *tcp_sk(const struct sock *sk) { return (struct tcp_sock *)sk; }

enum tsq_enum { TSQ_THROTTLED, TSQ_QUEUED, TCP_TSQ_DEFERRED, TCP_WRITE_TIMER_DEFERRED, TCP_DELACK_TIMER_DEFERRED, TCP_MTU_REDUCED_DEFERRED,
    TSQ_DROPPED /* ours: the qdisc dropped what was just sent */ };
static inline bool test_and_set_tsq(struct tcp_sock *tp, int bit) { return __atomic_fetch_or(&tp->tsq_flags, 1ul << bit, __ATOMIC_SEQ_CST) >> bit & 1; }
static inline bool test_and_clear_tsq(struct tcp_sock *tp, int bit) { return __atomic_fetch_and(&tp->tsq_flags, ~(1ul << bit), __ATOMIC_SEQ_CST) >> bit & 1; }

#define TCP_URG_VALID 0x0100
#define TCP_URG_NOTYET 0x0200
#define TCP_URG_READ 0x0400

extern struct proto tcp_prot;
extern const struct inet_connection_sock_af_ops ipv4_specific, ipv6_mapped;

/* Internal errno of sendmsg, recvmsg: the connection moved to the kernel twin while the call ran, nothing was
 * transferred; shim/ makes the call again, on the twin. Never reaches a program. */
#define SLUICE_EMOVED 530

/* ---- clock ------------------------------------------------------------------------------------------------------ */

static inline u64 tcp_clock_ns(const struct sock *sk) { return net_now(sk->sk_net); }
static inline void tcp_mstamp_refresh(struct tcp_sock *tp)
{
    tp->tcp_clock_cache = tcp_clock_ns((struct sock *)tp);
    tp->tcp_mstamp = tp->tcp_clock_cache / 1000;
}
/* RFC 7323 clock: milliseconds; the socket adds tsoffset on the wire. */
static inline u32 tcp_time_stamp_ts(const struct tcp_sock *tp) { return (u32)(tp->tcp_mstamp / 1000); }
static inline u32 tcp_ms_now(const struct sock *sk) { return (u32)(tcp_clock_ns(sk) / NSEC_PER_MSEC); }
/* An RTO recovery is over: its time counts (TCP_INFO). */
static inline void tcp_update_rto_time(struct tcp_sock *tp)
{
    if (!tp->rto_stamp)
        return;
    tp->total_rto_time += tcp_ms_now((struct sock *)tp) - tp->rto_stamp;
    tp->rto_stamp = 0;
}

/* ---- small rules --------------------------------------------------------------------------------------------------- */

static inline bool tcp_is_sack(const struct tcp_sock *tp) { return likely(tp->rx_opt.sack_ok); }
static inline bool tcp_is_reno(const struct tcp_sock *tp) { return !tcp_is_sack(tp); }
static inline u32 tcp_left_out(const struct tcp_sock *tp) { return tp->sacked_out + tp->lost_out; }
static inline u32 tcp_packets_in_flight(const struct tcp_sock *tp) { return tp->packets_out - tcp_left_out(tp) + tp->retrans_out; }
static inline u32 tcp_snd_cwnd(const struct tcp_sock *tp) { return tp->snd_cwnd; }
static inline void tcp_snd_cwnd_set(struct tcp_sock *tp, u32 v) { BUG_ON((s32)v <= 0); tp->snd_cwnd = v; }
static inline bool tcp_in_slow_start(const struct tcp_sock *tp) { return tp->snd_cwnd < tp->snd_ssthresh; }
static inline bool tcp_in_initial_slowstart(const struct tcp_sock *tp) { return tp->snd_ssthresh >= TCP_INFINITE_SSTHRESH; }
static inline bool tcp_in_cwnd_reduction(const struct sock *sk) { return (TCPF_CA_CWR | TCPF_CA_Recovery) & (1 << inet_csk(sk)->icsk_ca_state); }
static inline u32 tcp_current_ssthresh(const struct sock *sk)
{
    const struct tcp_sock *tp = tcp_sk(sk);
    return tcp_in_cwnd_reduction(sk) ? tp->snd_ssthresh : max(tp->snd_ssthresh, (tp->snd_cwnd >> 1) + (tp->snd_cwnd >> 2));
}
static inline u32 tcp_wnd_end(const struct tcp_sock *tp) { return tp->snd_una + tp->snd_wnd; }
static inline bool tcp_is_cwnd_limited(const struct sock *sk)
{
    const struct tcp_sock *tp = tcp_sk(sk);
    if (tp->is_cwnd_limited)
        return true;
    return tcp_in_slow_start(tp) && tp->snd_cwnd < 2 * tp->max_packets_out;
}
static inline u32 tcp_receive_window(const struct tcp_sock *tp)
{
    s32 win = (s32)(tp->rcv_wup + tp->rcv_wnd - tp->rcv_nxt);
    return win < 0 ? 0 : (u32)win;
}
/* What lies below the highest right edge that was ever offered stays acceptable after a window had to be taken back
 * (RFC 7323 2.4): else two peers that both take theirs back drop each other's ACKs for ever. */
static inline u32 tcp_max_receive_window(const struct tcp_sock *tp)
{
    s32 win = (s32)(tp->rcv_mwnd_seq - tp->rcv_nxt);
    return win < 0 ? 0 : (u32)win;
}
/* Buffer bytes to window bytes: the part of truesize that is payload. */
static inline int tcp_win_from_space(const struct sock *sk, int space) { return (int)(((s64)space * tcp_sk(sk)->scaling_ratio) >> 8); }
static inline int tcp_space_from_win(const struct sock *sk, int win) { return (int)(((u64)win << 8) / tcp_sk(sk)->scaling_ratio); }
static inline int tcp_full_space(const struct sock *sk) { return tcp_win_from_space(sk, READ_ONCE(sk->sk_rcvbuf)); }
static inline int tcp_space(const struct sock *sk)
{
    return tcp_win_from_space(sk, READ_ONCE(sk->sk_rcvbuf) - (int)READ_ONCE(sk->sk_backlog.len) -
                                      atomic_load_explicit(&((struct sock *)sk)->sk_rmem_alloc, memory_order_relaxed));
}
static inline struct sk_buff *tcp_write_queue_tail(const struct sock *sk) { return skb_peek_tail(&sk->sk_write_queue); }
static inline struct sk_buff *tcp_send_head(const struct sock *sk) { return skb_peek(&sk->sk_write_queue); }
static inline struct sk_buff *tcp_rtx_queue_head(const struct sock *sk) { return skb_rb_first(&tcp_sk(sk)->tcp_rtx_queue); }
static inline struct sk_buff *tcp_rtx_queue_tail(const struct sock *sk) { return skb_rb_last(&tcp_sk(sk)->tcp_rtx_queue); }
static inline bool tcp_rtx_queue_empty(const struct sock *sk) { return RB_EMPTY_ROOT(&tcp_sk(sk)->tcp_rtx_queue); }
static inline bool tcp_write_queue_empty(const struct sock *sk) { return tcp_sk(sk)->write_seq == tcp_sk(sk)->snd_nxt; }
static inline bool tcp_rtx_and_write_queues_empty(const struct sock *sk) { return tcp_rtx_queue_empty(sk) && skb_queue_empty(&sk->sk_write_queue); }
static inline u32 tcp_min_rtt(const struct tcp_sock *tp) { return tp->rtt_min.s[0].v; }
static inline u64 tcp_rto_delta_base(const struct sock *sk) { return inet_csk(sk)->icsk_rto; }
/* Below tcp_mem's first mark (pages of 4096 bytes): buffers may grow. */
static inline bool tcp_memory_is_plenty(const struct net *net)
{
    return atomic_load_explicit(&((struct net *)net)->tcp_memory_allocated, memory_order_relaxed) <
           (s64)net->ipv4.sysctl_tcp_mem[0] * 4096;
}
/* ns. The route's, else TCP_RTO_MIN_US or tcp_rto_min_us. */
static inline u64 tcp_rto_min(const struct sock *sk)
{
    const struct dst_entry *dst = sk->sk_dst_cache;

    return dst && dst->rto_min_ns ? dst->rto_min_ns : READ_ONCE(inet_csk(sk)->icsk_rto_min);
}
static inline u64 tcp_rto_max(const struct sock *sk) { return READ_ONCE(inet_csk(sk)->icsk_rto_max); }
/* ns. An ACK may not wait for longer than a peer with the same least RTO does. */
static inline u64 tcp_delack_max(const struct sock *sk)
{
    return min(READ_ONCE(inet_csk(sk)->icsk_delack_max), max(tcp_rto_min(sk), (u64)TCP_TIMEOUT_MIN) - NSEC_PER_MSEC);
}
static inline u32 tcp_notsent_lowat(const struct tcp_sock *tp)
{
    return tp->notsent_lowat ? tp->notsent_lowat : (u32)((const struct sock *)tp)->sk_net->ipv4.sysctl_tcp_notsent_lowat;
}
static inline bool inet_csk_in_pingpong_mode(const struct sock *sk) { return inet_csk(sk)->icsk_ack.pingpong >= TCP_PING_PONG_THRESH; }
static inline void inet_csk_enter_pingpong_mode(struct sock *sk) { inet_csk(sk)->icsk_ack.pingpong = TCP_PING_PONG_THRESH; }
static inline void inet_csk_exit_pingpong_mode(struct sock *sk) { inet_csk(sk)->icsk_ack.pingpong = 0; }
static inline void inet_csk_inc_pingpong_cnt(struct sock *sk)
{
    if (inet_csk(sk)->icsk_ack.pingpong < 255)
        inet_csk(sk)->icsk_ack.pingpong++;
}
static inline bool inet_csk_ack_scheduled(const struct sock *sk) { return inet_csk(sk)->icsk_ack.pending & ICSK_ACK_SCHED; }
static inline void inet_csk_schedule_ack(struct sock *sk) { inet_csk(sk)->icsk_ack.pending |= ICSK_ACK_SCHED; }
/* Header prediction: the exact doff/flags/window word that the fast path expects (0: slow path). */
static inline void __tcp_fast_path_on(struct tcp_sock *tp, u32 snd_wnd) { tp->pred_flags = htobe32(((u32)tp->tcp_header_len << 26) | (TCPHDR_ACK << 16) | snd_wnd); }
static inline void tcp_fast_path_on(struct tcp_sock *tp) { __tcp_fast_path_on(tp, tp->snd_wnd >> tp->rx_opt.snd_wscale); }
static inline void tcp_fast_path_check(struct sock *sk)
{
    struct tcp_sock *tp = tcp_sk(sk);
    if (RB_EMPTY_ROOT(&tp->out_of_order_queue) && tp->rcv_wnd && sk->sk_rmem_alloc < sk->sk_rcvbuf && !tp->urg_data)
        tcp_fast_path_on(tp);
}

/* ---- tcp.c ------------------------------------------------------------------------------------------------------------ */

int tcp_init_sock(struct sock *sk); /* proto.init: defaults of a fresh socket */
/* The only place that changes sk_state: counters, hash, poll wake-up. */
void tcp_set_state(struct sock *sk, int state);
ssize_t tcp_sendmsg(struct sock *sk, struct sk_msghdr *msg, size_t size);
void tcp_splice_eof(struct sock *sk); /* proto.splice_eof */
ssize_t tcp_sendmsg_locked(struct sock *sk, struct sk_msghdr *msg, size_t size);
ssize_t tcp_recvmsg(struct sock *sk, struct sk_msghdr *msg, size_t len, int flags);
u32 tcp_poll(struct socket *sock, struct poll_table *pt);
int tcp_ioctl(struct sock *sk, int cmd, int *karg);
void tcp_shutdown(struct sock *sk, int how);
void tcp_close(struct sock *sk, u64 timeout_ns);
void __tcp_close(struct sock *sk, u64 timeout_ns);
int tcp_disconnect(struct sock *sk, int flags);
void tcp_done(struct sock *sk);
/* Abort with a reset and an error for the program (sluicectl kill, memory). */
int tcp_abort(struct sock *sk, int err);
int tcp_setsockopt(struct sock *sk, int level, int optname, const void *optval, socklen_t len);
int tcp_getsockopt(struct sock *sk, int level, int optname, void *optval, socklen_t *len);
/* struct tcp_info goes on, in kernels newer than the <linux/tcp.h> that this may be built with. */
struct tcp_info_tail {
    u32 tcpi_rcv_wnd, tcpi_rehash;                    /* Linux 6.2 */
    u16 tcpi_total_rto, tcpi_total_rto_recoveries;    /* Linux 6.7 */
    u32 tcpi_total_rto_time;                          /* ms */
    u32 accecn[8];                                    /* Linux 6.18: zero without AccECN */
};
#define TCP_INFO_TAIL (offsetof(struct tcp_info, tcpi_snd_wnd) + 4)
struct tcp_info_full {
    union {
        struct tcp_info base;
        struct {
            u8 known[TCP_INFO_TAIL];
            struct tcp_info_tail tail;
        };
    };
};
_Static_assert(offsetof(struct tcp_info_full, tail) == TCP_INFO_TAIL, "no hole before the tail");
void tcp_get_info(struct sock *sk, struct tcp_info *info);
void tcp_get_info_tail(const struct sock *sk, struct tcp_info_tail *t);
void tcp_push(struct sock *sk, int flags, u32 mss_now, int nonagle, u32 size_goal);
void tcp_mark_push(struct tcp_sock *tp, struct sk_buff *skb);
int tcp_send_mss(struct sock *sk, u32 *size_goal, int flags);
/* A sk_buff charged to sk for the write queue, `size` linear payload bytes. NULL: no memory now. */
struct sk_buff *sk_stream_alloc_skb(struct sock *sk, u32 size);
void skb_entail(struct sock *sk, struct sk_buff *skb);
void tcp_write_queue_purge(struct sock *sk);
void tcp_cleanup_rbuf(struct sock *sk, int copied);
void tcp_data_ready(struct sock *sk);
/* proto.stream_memory_free: less than TCP_NOTSENT_LOWAT unsent (wake: less than half of it). */
bool tcp_stream_memory_free(const struct sock *sk, int wake);
/* Unread bytes in order (SIOCINQ). */
int tcp_inq(struct sock *sk);
void tcp_init_transfer(struct sock *sk, bool active);
/* Free memory of a write queue skb / of a retransmit queue skb (unlinks it). */
void tcp_wmem_free_skb(struct sock *sk, struct sk_buff *skb);
void tcp_rtx_queue_unlink_and_free(struct sk_buff *skb, struct sock *sk);
/* Into a tree that is ordered by sequence number. */
void tcp_rbtree_insert(struct rb_root *root, struct sk_buff *skb);
/* The first sk_buff of the retransmission queue that ends after seq; NULL: none. O(log n). */
struct sk_buff *tcp_sacktag_skip(const struct sock *sk, u32 skip_to_seq);
/* tsorted_sent_queue: what may be in flight, oldest transmission first. Neither what is SACKed nor what is lost and
 * not yet sent again is on it, so that RACK meets only what it has to judge. */
static inline bool tcp_skb_tsorted(const struct sk_buff *skb) { return skb->tcp_tsorted_anchor.next != NULL; }
static inline void tcp_tsorted_del(struct sk_buff *skb)
{
    if (tcp_skb_tsorted(skb)) {
        cds_list_del(&skb->tcp_tsorted_anchor);
        skb->tcp_tsorted_anchor.next = skb->tcp_tsorted_anchor.prev = NULL;
    }
}
/* It was (re)transmitted just now. */
static inline void tcp_tsorted_move_tail(struct tcp_sock *tp, struct sk_buff *skb)
{
    tcp_tsorted_del(skb);
    cds_list_add_tail(&skb->tcp_tsorted_anchor, &tp->tsorted_sent_queue);
}
/* May an orphan not stay: too many (each counts 2^shift times), or memory ran out? */
bool tcp_check_oom(const struct sock *sk, int shift);
void tcp_chrono_start(struct sock *sk, enum tcp_chrono type);
void tcp_chrono_stop(struct sock *sk, enum tcp_chrono type);

/* ---- tcp_output.c --------------------------------------------------------------------------------------------------------- */

int tcp_connect(struct sock *sk); /* build and send the SYN; 0 or -errno */
bool tcp_write_xmit(struct sock *sk, u32 mss_now, int nonagle, int push_one); /* true: nothing could be sent and nothing is in flight */
void __tcp_push_pending_frames(struct sock *sk, u32 cur_mss, int nonagle);
void tcp_push_one(struct sock *sk, u32 mss_now);
static inline void tcp_push_pending_frames(struct sock *sk);
/* Role: put a header on a clone (clone_it) or on skb itself and send it. rcv_nxt: the ACK to claim.
 * 0, NET_XMIT_* folded, or -errno. Socket lock held. */
int __tcp_transmit_skb(struct sock *sk, struct sk_buff *skb, int clone_it, u32 rcv_nxt);
int tcp_transmit_skb(struct sock *sk, struct sk_buff *skb, int clone_it);
int __tcp_retransmit_skb(struct sock *sk, struct sk_buff *skb, int segs);
int tcp_retransmit_skb(struct sock *sk, struct sk_buff *skb, int segs);
void tcp_xmit_retransmit_queue(struct sock *sk);
void tcp_simple_retransmit(struct sock *sk); /* tcp_input.c: MTU shrank */
bool tcp_schedule_loss_probe(struct sock *sk, bool advancing_rto);
void tcp_send_loss_probe(struct sock *sk);
void tcp_send_ack(struct sock *sk);
void __tcp_send_ack(struct sock *sk, u32 rcv_nxt);
void tcp_send_delayed_ack(struct sock *sk);
void tcp_send_fin(struct sock *sk);
void tcp_send_active_reset(struct sock *sk);
int tcp_send_synack(struct sock *sk); /* simultaneous open */
int tcp_write_wakeup(struct sock *sk, int mib);
void tcp_send_probe0(struct sock *sk);
void tcp_send_window_probe(struct sock *sk);
struct tcp_fastopen_cookie;
/* foc: the answer to a fast open option, NULL: none. */
struct sk_buff *tcp_make_synack(const struct sock *sk, struct dst_entry *dst, struct request_sock *req,
                                const struct tcp_fastopen_cookie *foc);
int tcp_rtx_synack(const struct sock *sk, struct request_sock *req);
unsigned int tcp_sync_mss(struct sock *sk, u32 pmtu);
unsigned int tcp_current_mss(struct sock *sk);
int tcp_mtu_to_mss(struct sock *sk, int pmtu);
int tcp_mss_to_mtu(struct sock *sk, int mss);
void tcp_mtup_init(struct sock *sk);
void tcp_mtup_probe_success(struct sock *sk);
void tcp_mtup_probe_failed(struct sock *sk);
/* Split a queued skb at len bytes; queue: which list skb is on. 0 or -ENOMEM */
enum tcp_queue { TCP_FRAG_IN_WRITE_QUEUE, TCP_FRAG_IN_RTX_QUEUE };
int tcp_fragment(struct sock *sk, enum tcp_queue q, struct sk_buff *skb, u32 len, unsigned int mss_now);
int tcp_trim_head(struct sock *sk, struct sk_buff *skb, u32 len);
u32 __tcp_select_window(struct sock *sk);
void tcp_select_initial_window(const struct sock *sk, int space, u32 mss, u32 *rcv_wnd, u32 *window_clamp, int wscale_ok, u8 *rcv_wscale, u32 init_rcv_wnd);
void tcp_release_cb(struct sock *sk);
void tcp_wfree(struct sk_buff *skb);
/* A pure ACK hardly counts against the small queue, and its completion lets nobody go on. */
static inline void skb_set_tcp_pure_ack(struct sk_buff *skb) { skb->truesize = 2; }
static inline bool skb_is_tcp_pure_ack(const struct sk_buff *skb) { return skb->truesize == 2; }
void tcp_tsq_write(struct sock *sk);
void tcp_cwnd_restart(struct sock *sk, u64 delta_ns);
void tcp_update_skb_after_send(struct sock *sk, struct sk_buff *skb, u64 prior_wstamp);
int tcp_tso_autosize(const struct sock *sk, unsigned int mss_now, int min_tso_segs);
void tcp_reset_xmit_timer(struct sock *sk, int what, u64 delay_ns, u64 max_ns);
static inline void tcp_push_pending_frames(struct sock *sk)
{
    if (tcp_send_head(sk))
        __tcp_push_pending_frames(sk, tcp_current_mss(sk), tcp_sk(sk)->nonagle);
}
u32 tcp_init_cwnd(const struct tcp_sock *tp, const struct dst_entry *dst);
/* Pacing: nothing may leave before tcp_wstamp_ns. */
bool tcp_pacing_check(struct sock *sk);
static inline bool tcp_needs_internal_pacing(const struct sock *sk) { return sk->sk_pacing_status == SK_PACING_NEEDED; }

/* ---- tcp_input.c ------------------------------------------------------------------------------------------------------------- */

int tcp_rcv_state_process(struct sock *sk, struct sk_buff *skb); /* nonzero: send a reset */
void tcp_rcv_established(struct sock *sk, struct sk_buff *skb);   /* takes skb over */
void tcp_parse_options(const struct net *net, const struct sk_buff *skb, struct tcp_options_received *opt, int estab);
void tcp_initialize_rcv_mss(struct sock *sk);
void tcp_enter_loss(struct sock *sk);
void tcp_enter_cwr(struct sock *sk);
void tcp_enter_recovery(struct sock *sk, bool ece_ack);
/* PRR (RFC 6937): the cwnd of an ACK in recovery. flag: FLAG_* of tcp_input.c. */
void tcp_cwnd_reduction(struct sock *sk, int newly_acked_sacked, int newly_lost, int flag);
void tcp_clear_retrans(struct tcp_sock *tp);
void tcp_skb_mark_lost_uncond_verify(struct tcp_sock *tp, struct sk_buff *skb);
void tcp_mark_skb_lost(struct sock *sk, struct sk_buff *skb);
void tcp_rearm_rto(struct sock *sk);
void tcp_set_rto(struct sock *sk);
void tcp_fin(struct sock *sk);
void tcp_reset(struct sock *sk, struct sk_buff *skb);
void tcp_rcv_space_adjust(struct sock *sk);
bool tcp_oow_rate_limited(struct net *net, const struct sk_buff *skb, int mib, u32 *last_oow_ack_time);
void tcp_enter_quickack_mode(struct sock *sk, unsigned int max_quickacks);
void tcp_dec_quickack_mode(struct sock *sk);
void tcp_clear_options(struct tcp_options_received *rx_opt);
bool tcp_paws_check(const struct tcp_sock *tp, const struct tcp_options_received *rx_opt, int paws_win);
bool tcp_paws_reject(const struct tcp_options_received *rx_opt, int rst, u64 now_s);
void tcp_ofo_purge(struct sock *sk, enum skb_drop_reason reason);
bool tcp_prune_ofo_queue(struct sock *sk, const struct sk_buff *in_skb);
void tcp_check_space(struct sock *sk);
void tcp_data_snd_check(struct sock *sk);
/* SYN for a listener: SYN queue, cookies, SYN-ACK. 0 (skb consumed by caller's drop) */
int tcp_conn_request(struct sock *sk, struct sk_buff *skb);
void tcp_sndbuf_expand(struct sock *sk);
void tcp_update_metrics(struct sock *sk);
void tcp_init_buffer_space(struct sock *sk);
void tcp_skb_collapse_tstamp(struct sk_buff *skb, const struct sk_buff *next);
void tcp_send_challenge_ack(struct sock *sk);

/* ---- tcp_recovery.c (RACK-TLP, RFC 8985), tcp_rate.c ------------------------------------------------------------------------------ */

bool tcp_rack_mark_lost(struct sock *sk); /* true: the reordering timer was armed for packets that may yet be lost */
void tcp_rack_advance(struct tcp_sock *tp, u8 sacked, u32 end_seq, u64 xmit_time_us);
void tcp_rack_reo_timeout(struct sock *sk);
void tcp_rack_update_reo_wnd(struct sock *sk, struct rate_sample *rs);
s32 tcp_rack_skb_timeout(struct tcp_sock *tp, struct sk_buff *skb, u32 reo_wnd);
void tcp_newreno_mark_lost(struct sock *sk, bool snd_una_advanced);
static inline bool tcp_rack_sent_after(u64 t1, u64 t2, u32 seq1, u32 seq2) { return t1 > t2 || (t1 == t2 && after(seq1, seq2)); }
void tcp_rate_skb_sent(struct sock *sk, struct sk_buff *skb);
void tcp_rate_skb_delivered(struct sock *sk, struct sk_buff *skb, struct rate_sample *rs);
void tcp_rate_gen(struct sock *sk, u32 delivered, u32 lost, bool is_sack_reneg, struct rate_sample *rs);
void tcp_rate_check_app_limited(struct sock *sk);
void tcp_min_rtt_update(struct tcp_sock *tp, u32 rtt_us, u64 now_ms, u64 win_ms);

/* ---- tcp_cong.c: congestion control modules ------------------------------------------------------------------------------------------ */

enum tcp_ca_event { CA_EVENT_TX_START, CA_EVENT_CWND_RESTART, CA_EVENT_COMPLETE_CWR, CA_EVENT_LOSS, CA_EVENT_ECN_NO_CE, CA_EVENT_ECN_IS_CE };
struct ack_sample { u32 pkts_acked; s32 rtt_us; u32 in_flight; };
struct tcp_congestion_ops {
    const char *name;
    u32 (*ssthresh)(struct sock *sk);                          /* required */
    void (*cong_avoid)(struct sock *sk, u32 ack, u32 acked);   /* required unless cong_control */
    void (*set_state)(struct sock *sk, u8 new_state);
    void (*cwnd_event)(struct sock *sk, enum tcp_ca_event ev);
    void (*pkts_acked)(struct sock *sk, const struct ack_sample *sample);
    u32 (*min_tso_segs)(struct sock *sk);
    void (*cong_control)(struct sock *sk, u32 ack, int flag, const struct rate_sample *rs);
    u32 (*undo_cwnd)(struct sock *sk);                         /* required */
    u32 (*sndbuf_expand)(struct sock *sk);
    size_t (*get_info)(struct sock *sk, u32 ext, int *attr, void *info);
    void (*init)(struct sock *sk);
    void (*release)(struct sock *sk);
    bool needs_ecn;
};
extern const struct tcp_congestion_ops tcp_reno, tcp_cubic, tcp_bbr;
const struct tcp_congestion_ops *tcp_ca_find(const char *name);
/* Is the name in the list, which has spaces between its names? */
bool tcp_ca_in_list(const char *list, const char *name);
void tcp_assign_congestion_control(struct sock *sk);
void tcp_init_congestion_control(struct sock *sk);
void tcp_cleanup_congestion_control(struct sock *sk);
int tcp_set_congestion_control(struct sock *sk, const char *name); /* 0, -ENOENT or -EPERM */
u32 tcp_reno_ssthresh(struct sock *sk);
void tcp_reno_cong_avoid(struct sock *sk, u32 ack, u32 acked);
u32 tcp_reno_undo_cwnd(struct sock *sk);
u32 tcp_slow_start(struct tcp_sock *tp, u32 acked);
void tcp_cong_avoid_ai(struct tcp_sock *tp, u32 w, u32 acked);
void tcp_set_ca_state(struct sock *sk, u8 ca_state);
static inline void tcp_ca_event(struct sock *sk, enum tcp_ca_event ev)
{
    const struct inet_connection_sock *icsk = inet_csk(sk);
    if (icsk->icsk_ca_ops->cwnd_event)
        icsk->icsk_ca_ops->cwnd_event((struct sock *)sk, ev);
}

/* ---- tcp_timer.c --------------------------------------------------------------------------------------------------------------------------- */

void tcp_init_xmit_timers(struct sock *sk); /* write, delayed-ACK, keepalive, pacing, compressed-ACK timers */
void tcp_write_timer_handler(struct sock *sk);
void tcp_delack_timer_handler(struct sock *sk);
void tcp_retransmit_timer(struct sock *sk);
void tcp_ld_RTO_revert(struct sock *sk, u32 seq);
/* Give up: sk_err_soft or ETIMEDOUT to the program. */
void tcp_write_err(struct sock *sk);
void tcp_update_rto_stats(struct sock *sk);
void tcp_set_keepalive(struct sock *sk, int val);
void tcp_syn_ack_timeout(const struct request_sock *req);
u64 tcp_probe0_base(const struct sock *sk);
u64 tcp_probe0_when(const struct sock *sk, u64 max_when);
u64 tcp_keepalive_time_when(const struct tcp_sock *tp);
u64 tcp_fin_time(const struct sock *sk);
/* Arm ICSK_TIME_* in `when` ns from now, at most max_when. */
void inet_csk_reset_xmit_timer(struct sock *sk, int what, u64 when, u64 max_when);
void inet_csk_clear_xmit_timer(struct sock *sk, int what);

/* ---- tcp_ipv4.c ------------------------------------------------------------------------------------------------------------------------------ */

extern const struct request_sock_ops tcp_request_sock_ops;
int tcp_net_init(struct net *net); /* per-net secrets; 0 or -ENOMEM */
void tcp_net_exit(struct net *net);
int tcp_v4_rcv(struct sk_buff *skb);
int tcp_v4_do_rcv(struct sock *sk, struct sk_buff *skb);
int tcp_v4_err(struct sk_buff *skb, u32 info);
int tcp_v4_connect(struct sock *sk, const struct sockaddr *addr, socklen_t len);
int tcp_v4_conn_request(struct sock *sk, struct sk_buff *skb);
struct sock *tcp_v4_syn_recv_sock(const struct sock *sk, struct sk_buff *skb, struct request_sock *req, struct dst_entry *dst, bool *own_req);
void tcp_v4_send_check(struct sock *sk, struct sk_buff *skb);
void tcp_v4_send_reset(const struct sock *sk, struct sk_buff *skb);
void tcp_v4_reqsk_send_ack(const struct sock *sk, struct sk_buff *skb, struct request_sock *req);
int tcp_v4_send_synack(const struct sock *sk, struct dst_entry *dst, struct request_sock *req,
                       const struct tcp_fastopen_cookie *foc);
void tcp_v4_mtu_reduced(struct sock *sk);
int tcp_twsk_unique(struct sock *sk, struct inet_timewait_sock *tw);
/* RFC 6528; keyed per net. */
u32 secure_tcp_seq(struct net *net, __be32 saddr, __be32 daddr, __be16 sport, __be16 dport);
u32 secure_tcp_ts_off(struct net *net, __be32 saddr, __be32 daddr);
bool tcp_add_backlog(struct sock *sk, struct sk_buff *skb);

/* ---- syncookies.c ------------------------------------------------------------------------------------------------------------------------------- */

/* The ISN that encodes the connection; *mss in: the peer's, out: the one that the cookie can express. */
u32 cookie_v4_init_sequence(struct sock *sk, const struct sk_buff *skb, u16 *mss);
/* TSval of a cookie SYN-ACK: the low bits carry wscale, SACK and ECN (ms clock, offset excluded). */
u32 cookie_init_timestamp(const struct request_sock *req, u64 now_ns);
/* Role: a segment at a listener: is it the ACK of a cookie? Returns the child (slock held, a reference for
 * the caller), sk itself when it is something else (a SYN), NULL when it must be dropped. */
struct sock *cookie_v4_check(struct sock *sk, struct sk_buff *skb);
siphash_key_t *tcp_cookie_key(struct net *net);

/* ---- tcp_minisocks.c ------------------------------------------------------------------------------------------------------------------------------ */

enum tcp_tw_status { TCP_TW_SUCCESS = 0, TCP_TW_RST = 1, TCP_TW_ACK = 2, TCP_TW_SYN = 3 };
enum tcp_tw_status tcp_timewait_state_process(struct inet_timewait_sock *tw, struct sk_buff *skb, const struct tcphdr *th, u32 *tw_isn);
void tcp_time_wait(struct sock *sk, int state, u64 timeo_ns);
struct sock *tcp_create_openreq_child(const struct sock *sk, struct request_sock *req, struct sk_buff *skb);
struct sock *tcp_check_req(struct sock *sk, struct sk_buff *skb, struct request_sock *req, bool fastopen, bool *lost_race);
int tcp_child_process(struct sock *parent, struct sock *child, struct sk_buff *skb);
void tcp_openreq_init_rwin(struct request_sock *req, const struct sock *sk, const struct dst_entry *dst);

#endif
