/* SPDX-License-Identifier: MIT */
#ifndef SLUICE_IPV4_INET_SOCK_H
#define SLUICE_IPV4_INET_SOCK_H
/* inet_sock, request_sock, inet_connection_sock, inet_timewait_sock: what lies between sock and tcp_sock. */

#include "../core/sock.h"
#include "../core/socket.h"
#include "ip.h"

struct inet_sock {
    struct sock sk; /* first */
    __be32 inet_saddr; /* sending source */
    __be16 inet_sport;
    __be16 inet_id_be; /* unused on the wire order side */
    _Atomic u32 inet_id; /* next IP identification */
    s16 uc_ttl;        /* -1: default */
    u8 tos, min_ttl;
    u8 pmtudisc;       /* IP_PMTUDISC_* */
    u8 recverr : 1, hdrincl : 1, is_icsk : 1, freebind : 1, transparent : 1, bind_address_no_port : 1,
        defer_connect : 1, nodefrag : 1;
    u8 saddr_fixed;    /* bound to an address by the program */
    u16 local_port_range[2];
    struct ip_options *inet_opt;
    u32 cmsg_flags;    /* bit per IP_RECV* / IP_PKTINFO option that was switched on */
    /* AF_INET6 sockets (v4-mapped peers): stored for getsockopt, without meaning on an IPv4 wire */
    s16 v6_hops;       /* IPV6_UNICAST_HOPS, -1: default */
    s16 v6_tclass;     /* IPV6_TCLASS */
    u32 v6_flags;      /* bit per IPV6_* switch */
};
/* sk_userlocks, beside SOCK_SNDBUF_LOCK and SOCK_RCVBUF_LOCK: the program chose address, port. */
enum { SOCK_BINDADDR_LOCK = 4, SOCK_BINDPORT_LOCK = 8 };
#define inet_daddr sk.__sk_common.skc_daddr
#define inet_rcv_saddr sk.__sk_common.skc_rcv_saddr
#define inet_dport sk.__sk_common.skc_dport
#define inet_num sk.__sk_common.skc_num
static inline struct inet_sock *inet_sk(const struct sock *sk) { return (struct inet_sock *)sk; }

/* ---- IP_MTU_DISCOVER (ip(7)), as Linux does it for a stream ----------------------------------------------- */

/* DF? Only DO and WANT set it, PROBE not (that is for datagrams); WANT gives it up when the path's MTU fell
 * below min_pmtu. */
static inline bool ip_dont_fragment(const struct sock *sk, const struct dst_entry *dst)
{
    const u8 d = inet_sk(sk)->pmtudisc;

    return d == IP_PMTUDISC_DO || (d == IP_PMTUDISC_WANT && !READ_ONCE(((const struct rtable *)dst)->rt_mtu_locked));
}
/* Is what an ICMP error says acted upon at once? */
static inline bool ip_sk_accept_pmtu(const struct sock *sk)
{
    const u8 d = inet_sk(sk)->pmtudisc;

    return d != IP_PMTUDISC_INTERFACE && d != IP_PMTUDISC_OMIT;
}
/* Is what is sent measured against the path's MTU, or against the device's? */
static inline bool ip_sk_use_pmtu(const struct sock *sk) { return inet_sk(sk)->pmtudisc < IP_PMTUDISC_PROBE; }

/* ---- request_sock: a connection in SYN-RECEIVED, before it has a sock ------------------------------------ */

struct request_sock_ops {
    int (*rtx_syn_ack)(const struct sock *listener, struct request_sock *req);
    void (*send_ack)(const struct sock *listener, struct sk_buff *skb, struct request_sock *req);
    void (*send_reset)(const struct sock *listener, struct sk_buff *skb);
};
struct request_sock {
    struct sock_common __req_common; /* first; skc_state TCP_NEW_SYN_RECV; found in the ehash */
#define rsk_refcnt __req_common.skc_refcnt
    struct sock *rsk_listener;   /* a reference */
    struct request_sock *dl_next; /* accept queue */
    struct sock *sk;             /* the child, once complete */
    const struct request_sock_ops *rsk_ops;
    struct timer_list rsk_timer; /* SYN-ACK retransmission */
    u16 mss;                     /* peer's MSS */
    u8 num_retrans, num_timeout;
    u8 cookie_ts : 1, syncookie : 1;
    u32 ts_recent;
    u64 timeout_ns;
    u32 rsk_rcv_wnd, rsk_window_clamp;
    /* inet_request_sock */
    u16 snd_wscale : 4, rcv_wscale : 4, tstamp_ok : 1, sack_ok : 1, wscale_ok : 1, ecn_ok : 1, acked : 1,
        no_srccheck : 1;
    u32 ir_mark;
    int ir_iif;
    struct ip_options *ireq_opt;
    /* tcp_request_sock */
    u32 rcv_isn, snt_isn;
    u32 rcv_nxt;
    u32 last_oow_ack_time; /* ms */
    u32 ts_off;
    u32 snt_tsval_first, snt_tsval_last; /* of our SYN-ACKs, as on the wire; 0: none yet */
    u64 snt_synack;        /* ns, first SYN-ACK sent */
    bool tfo_listener;
    u8 syn_tos;
    u32 txhash;
    struct saved_syn *saved_syn; /* TCP_SAVE_SYN; heap memory */
};
#define ir_loc_addr __req_common.skc_rcv_saddr
#define ir_rmt_addr __req_common.skc_daddr
#define ir_rmt_port __req_common.skc_dport
#define ir_num __req_common.skc_num

struct request_sock_queue { /* of a listener */
    spinlock_t rskq_lock; /* the accept list. Nests in nothing but a socket's slock */
    struct request_sock *rskq_accept_head, *rskq_accept_tail;
    _Atomic s32 qlen, young;
    u8 rskq_defer_accept; /* retransmissions */
    u32 synflood_warned;
    u64 synq_overflow_stamp; /* ns, when a cookie was sent last; 0: never */
    /* Fast open: children whose handshake is not complete, and those that were reset less than a minute ago. */
    u32 fastopen_max_qlen, fastopen_qlen;
    struct request_sock *fastopen_rst_head, *fastopen_rst_tail; /* dl_next; each with a reference */
    struct tcp_fastopen_context *fastopen_ctx; /* TCP_FASTOPEN_KEY. RCU: written under the socket lock */
};

/* ---- inet_connection_sock ----------------------------------------------------------------------------------- */

struct inet_connection_sock_af_ops {
    int (*queue_xmit)(struct sock *sk, struct sk_buff *skb);
    void (*send_check)(struct sock *sk, struct sk_buff *skb);
    int (*rebuild_header)(struct sock *sk);
    int (*conn_request)(struct sock *sk, struct sk_buff *skb);
    struct sock *(*syn_recv_sock)(const struct sock *sk, struct sk_buff *skb, struct request_sock *req,
                                  struct dst_entry *dst, bool *own_req);
    u16 net_header_len, sockaddr_len;
    int (*setsockopt)(struct sock *sk, int level, int optname, const void *optval, socklen_t len);
    int (*getsockopt)(struct sock *sk, int level, int optname, void *optval, socklen_t *len);
    void (*addr2sockaddr)(struct sock *sk, struct sockaddr *sa);
    void (*mtu_reduced)(struct sock *sk);
};

enum { ICSK_TIME_RETRANS = 1, ICSK_TIME_DACK = 2, ICSK_TIME_PROBE0 = 3, ICSK_TIME_LOSS_PROBE = 5, ICSK_TIME_REO_TIMEOUT = 6 };
enum { ICSK_ACK_SCHED = 1, ICSK_ACK_TIMER = 2, ICSK_ACK_PUSHED = 4, ICSK_ACK_PUSHED2 = 8, ICSK_ACK_NOW = 16, ICSK_ACK_NOMEM = 32 };

#define ICSK_CA_PRIV_SIZE (13 * sizeof(u64))
struct inet_connection_sock {
    struct inet_sock icsk_inet; /* first */
    struct request_sock_queue icsk_accept_queue;
    u64 icsk_timeout; /* ns */
    struct timer_list icsk_retransmit_timer, icsk_delack_timer;
    u64 icsk_rto;     /* ns */
    u64 icsk_rto_min, icsk_rto_max, icsk_delack_max; /* ns */
    u32 icsk_pmtu_cookie;
    const struct tcp_congestion_ops *icsk_ca_ops;
    const struct inet_connection_sock_af_ops *icsk_af_ops;
    unsigned int (*icsk_sync_mss)(struct sock *sk, u32 pmtu);
    u8 icsk_ca_state : 5, icsk_ca_initialized : 1, icsk_ca_setsockopt : 1, icsk_ca_dst_locked : 1;
    u8 icsk_retransmits, icsk_pending, icsk_backoff, icsk_syn_retries, icsk_probes_out;
    u16 icsk_ext_hdr_len;
    struct {
        u8 pending;     /* ICSK_ACK_* */
        u8 quick, pingpong, retry;
        u64 ato;        /* ns, predicted tick of soft clock */
        u64 timeout;    /* ns, when the delayed ACK is due */
        u64 lrcvtime;   /* ns, last data received */
        u16 last_seg_size, rcv_mss;
    } icsk_ack;
    struct {
        int search_high, search_low;
        u32 probe_size : 31, enabled : 1;
        u64 probe_timestamp;
    } icsk_mtup;
    u32 icsk_probes_tstamp_ms;
    u64 icsk_probes_tstamp;
    u32 icsk_user_timeout; /* ms */
    u64 icsk_ca_priv[ICSK_CA_PRIV_SIZE / sizeof(u64)];
};
static inline struct inet_connection_sock *inet_csk(const struct sock *sk) { return (struct inet_connection_sock *)sk; }
static inline void *inet_csk_ca(const struct sock *sk) { return inet_csk(sk)->icsk_ca_priv; }

/* inet_connection_sock.c */
int inet_csk_get_port(struct sock *sk, u16 snum); /* bind: 0, -EADDRINUSE, -EADDRNOTAVAIL (inet_hashtables) */
struct sock *inet_csk_accept(struct sock *sk, int flags, int *err);
int inet_csk_listen_start(struct sock *sk);
void inet_csk_listen_stop(struct sock *sk);
/* Reset what accept() has not taken; it goes on listening. Socket lock held. */
void inet_csk_accept_queue_purge(struct sock *sk);
/* One reference, the caller's; holds the listener. NULL: no memory, or the listener is going. */
struct request_sock *inet_reqsk_alloc(const struct request_sock_ops *ops, struct sock *listener);
void reqsk_put(struct request_sock *req);
/* Out of the hash (dropping its reference) and timers, young/qlen counted down. A second call does nothing. */
void inet_csk_reqsk_queue_drop(struct sock *sk, struct request_sock *req);
/* Into the established table (a reference of its own; the caller keeps its one), SYN-ACK timer armed,
 * young/qlen counted up. False: the 4-tuple is in the table already, nothing changed. */
bool inet_csk_reqsk_queue_hash_add(struct sock *sk, struct request_sock *req, u64 timeout_ns);
/* Role: put a complete child on the accept queue (sysctl cookies and the like; the usual way is
 * inet_csk_complete_hashdance). Takes a reference on req over. NULL: the listener has gone; req was put and
 * child was forgotten (reset, orphaned, destroyed; the caller's own reference on child stays with it). */
struct sock *inet_csk_reqsk_queue_add(struct sock *sk, struct request_sock *req, struct sock *child);
/* Role: child onto the accept queue, req's timer stopped. own_req: inet_ehash_insert(child, req) was true, which
 * gave the hash's reference on req to the caller; it passes to the queue here. child's slock held.
 * NULL: the listener has gone or another child won; child was unlocked and put. */
struct sock *inet_csk_complete_hashdance(struct sock *sk, struct sock *child, struct request_sock *req, bool own_req);
struct sock *inet_csk_clone_lock(const struct sock *sk, const struct request_sock *req);
struct rtable *inet_csk_route_req(const struct sock *sk, struct flowi4 *fl, const struct request_sock *req);
void inet_csk_destroy_sock(struct sock *sk);
void inet_csk_prepare_forced_close(struct sock *sk);
void inet_csk_init_xmit_timers(struct sock *sk, void (*retransmit)(struct timer_list *), void (*delack)(struct timer_list *), void (*keepalive)(struct timer_list *));
void inet_csk_clear_xmit_timers(struct sock *sk);
void inet_csk_delete_keepalive_timer(struct sock *sk);
void inet_csk_reset_keepalive_timer(struct sock *sk, u64 delay_ns);
/* As in Linux (measured: 6.18) listen(n) holds n + 1 half-open connections, and n + 1 that wait for accept(). */
static inline bool inet_csk_reqsk_queue_is_full(const struct sock *sk)
{
    return (u32)max(atomic_load(&inet_csk(sk)->icsk_accept_queue.qlen), 0) > READ_ONCE(sk->sk_max_ack_backlog);
}
static inline bool sk_acceptq_is_full(const struct sock *sk) { return READ_ONCE(sk->sk_ack_backlog) > READ_ONCE(sk->sk_max_ack_backlog); }

/* ---- inet_timewait_sock --------------------------------------------------------------------------------------- */

struct inet_timewait_sock {
    struct sock_common __tw_common; /* first; skc_state TCP_TIME_WAIT */
    u8 tw_substate;                 /* TCP_FIN_WAIT2 or TCP_TIME_WAIT */
    u8 tw_rcv_wscale, tw_tos;
    u64 tw_timeout; /* ns */
    struct timer_list tw_timer;
    /* tcp_timewait_sock */
    u32 tw_rcv_nxt, tw_snd_nxt, tw_rcv_wnd, tw_ts_offset, tw_ts_recent, tw_last_oow_ack_time;
    u64 tw_ts_recent_stamp; /* s */
    u64 tw_entry_stamp;     /* ns, into TIME-WAIT: tcp_tw_reuse_delay counts from here */
    u8 tw_tstamp_ok;
    void (*tw_unhashed)(struct sock_common *tw); /* the 4-tuple is free: called once, no lock held. When
                                                    hashdance() finds NULL here it calls sk->sk_unhashed */
    void *tw_user_data;
};
/* One reference, the caller's. NULL: no memory, or tcp_max_tw_buckets. tw_user_data = sk_user_data. */
struct inet_timewait_sock *inet_twsk_alloc(struct sock *sk, int state);
/* Replace sk in the established table by tw (atomic for readers), share its bound port. The table takes a
 * reference of its own. slock of sk held. */
void inet_twsk_hashdance(struct inet_timewait_sock *tw, struct sock *sk);
/* (Re-)start its end. */
void inet_twsk_schedule(struct inet_timewait_sock *tw, u64 timeout_ns);
/* End it now and drop the caller's reference. */
void inet_twsk_deschedule_put(struct inet_timewait_sock *tw);
void inet_twsk_put(struct inet_timewait_sock *tw);

/* ---- af_inet.c --------------------------------------------------------------------------------------------------- */

extern const struct proto_ops inet_stream_ops;
int inet_create(struct net *net, struct socket *sock, int protocol); /* by way of inetsw */
struct inet_protosw {
    int type, protocol;
    struct proto *prot;
    const struct proto_ops *ops;
};
void inet_register_protosw(struct inet_protosw *p);
int inet_release(struct socket *sock);
int inet_bind(struct socket *sock, const struct sockaddr *addr, socklen_t len);
/* Socket lock held. is_sendmsg: the first write of a fast open connection. */
int __inet_stream_connect(struct socket *sock, const struct sockaddr *addr, socklen_t len, int flags, bool is_sendmsg);
int inet_stream_connect(struct socket *sock, const struct sockaddr *addr, socklen_t len, int flags);
int inet_accept(struct socket *sock, struct socket *newsock, int flags);
int inet_getname(struct socket *sock, struct sockaddr *addr, socklen_t *len, int peer);
int inet_listen(struct socket *sock, int backlog);
int inet_shutdown(struct socket *sock, int how);
int inet_ioctl(struct socket *sock, unsigned long cmd, int *arg);
ssize_t inet_sendmsg(struct socket *sock, struct sk_msghdr *msg, size_t size);
ssize_t inet_recvmsg(struct socket *sock, struct sk_msghdr *msg, size_t size, int flags);
/* Re-route a connected socket whose route became void. 0 or -errno. */
int inet_sk_rebuild_header(struct sock *sk);
void inet_sock_destruct(struct sock *sk);

/* ---- inet_hashtables.c: the connection tables (RCU: writers under a bucket lock, readers without) ----------------- */

int inet_hashinfo_init(struct net *net);
void inet_hashinfo_exit(struct net *net);
/* Role: who gets this segment: an established, request or time-wait sock, else a listener.
 * addresses and ports in network order, seen from the segment (saddr: the peer's); hnum host order.
 * RCU read section; takes no reference. *refcounted: found in the established table, where a user that
 * outlives the read section takes one (sock_hold_safe, which fails when it is going); false: a listener. */
struct sock *__inet_lookup(struct net *net, __be32 saddr, __be16 sport, __be32 daddr, u16 hnum, int dif, bool *refcounted);
struct sock_common *__inet_lookup_established(struct net *net, __be32 saddr, __be16 sport, __be32 daddr, u16 hnum, int dif);
struct sock *__inet_lookup_listener(struct net *net, __be32 saddr, __be16 sport, __be32 daddr, u16 hnum, int dif);
/* Role: into the established table, which takes a reference. osk: the request sock that it replaces, in one
 * step for readers; the table's reference on osk passes to the caller.
 * False: the 4-tuple is there already (osk: it is no longer there), or steer_ops refused. Tells steer_ops of
 * full socks; request socks are reached by their listener's entry, unless that has been parked before. */
bool inet_ehash_insert(struct sock_common *sk, struct sock_common *osk);
/* Grow the established table when it is crowded. Outside read sections and spinlocks; connect() and
 * accept() call it, and any service point may. */
void inet_ehash_service(struct net *net);
/* proto.hash for listeners and sockets in SYN-SENT/ESTABLISHED, proto.unhash. 0 or -EADDRINUSE */
int inet_hash(struct sock *sk);
void inet_unhash(struct sock *sk);
/* Role: a listener from which new connections are kept away (parked; also before listen()), or not any more. The
 * handshakes that it has begun go on, each with a flow of its own from then on. Outside locks and read sections. */
void inet_listen_park(struct sock *sk, bool parked);
/* Bind to a port for connect() (chosen when inet_num is 0; RFC 6056) and hash. 0 or -EADDRNOTAVAIL */
int inet_hash_connect(struct sock *sk);
void inet_put_port(struct sock *sk);
int __inet_inherit_port(const struct sock *sk, struct sock *child);
/* Every sock of the net (RCU read section): listeners, established, request, time-wait. */
void inet_for_each(struct net *net, void (*fn)(struct sock_common *sk, void *arg), void *arg);
u32 inet_ehash_count(struct net *net);

#endif
