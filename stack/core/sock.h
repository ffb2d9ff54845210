/* SPDX-License-Identifier: MIT */
#ifndef SLUICE_CORE_SOCK_H
#define SLUICE_CORE_SOCK_H
/* struct sock: the protocol's side of a socket; struct proto: its protocol's operations. */

#include "dst.h"
#include "iov_iter.h"
#include "rcu.h"
#include "skbuff.h"
#include "wait.h"
#include <sys/epoll.h>

struct socket;
struct proto;
struct request_sock;

/* TCP states (RFC 9293 3.3.2) with Linux's numbers, as TCP_INFO and ss report them. */
enum {
    TCP_ESTABLISHED = 1,
    TCP_SYN_SENT,
    TCP_SYN_RECV,
    TCP_FIN_WAIT1,
    TCP_FIN_WAIT2,
    TCP_TIME_WAIT,
    TCP_CLOSE,
    TCP_CLOSE_WAIT,
    TCP_LAST_ACK,
    TCP_LISTEN,
    TCP_CLOSING,
    TCP_NEW_SYN_RECV,
    TCP_MAX_STATES
};
#define TCPF(s) (1u << (s))
#define TCPF_ESTABLISHED TCPF(TCP_ESTABLISHED)
#define TCPF_SYN_SENT TCPF(TCP_SYN_SENT)
#define TCPF_SYN_RECV TCPF(TCP_SYN_RECV)
#define TCPF_FIN_WAIT1 TCPF(TCP_FIN_WAIT1)
#define TCPF_FIN_WAIT2 TCPF(TCP_FIN_WAIT2)
#define TCPF_TIME_WAIT TCPF(TCP_TIME_WAIT)
#define TCPF_CLOSE TCPF(TCP_CLOSE)
#define TCPF_CLOSE_WAIT TCPF(TCP_CLOSE_WAIT)
#define TCPF_LAST_ACK TCPF(TCP_LAST_ACK)
#define TCPF_LISTEN TCPF(TCP_LISTEN)
#define TCPF_CLOSING TCPF(TCP_CLOSING)
#define TCPF_NEW_SYN_RECV TCPF(TCP_NEW_SYN_RECV)

/* What established, time-wait and request socks have in common: enough to be found. First member. */
struct sock_common {
    struct rcu_free rcu; /* first */
    __be32 skc_daddr;     /* foreign address */
    __be32 skc_rcv_saddr; /* bound local address */
    __be16 skc_dport;     /* foreign port */
    u16 skc_num;          /* local port, host order */
    u32 skc_hash;
    u16 skc_family;
    _Atomic u8 skc_state;
    u8 skc_reuse : 4; /* SK_NO_REUSE, SK_CAN_REUSE, SK_FORCE_REUSE */
    u8 skc_reuseport : 1;
    u8 skc_ipv6only : 1;
    int skc_bound_dev_if;
    struct net *skc_net;
    struct proto *skc_prot;
    _Atomic u32 skc_refcnt;
    struct cds_lfht_node skc_node;   /* established table */
    struct cds_list_head skc_lnode;  /* listening table bucket */
    struct cds_list_head skc_bnode;  /* owners of a bound port */
    struct inet_bind_bucket *skc_bind_bucket;
    bool skc_hashed;                 /* in the established or listening table */
    bool skc_parked;                 /* listener: steered past, see inet_listen_park() */
    bool skc_flow;                   /* request: it has a flow of its own; listener: its requests are to have one */
    u64 skc_cookie;                  /* SO_COOKIE */
};
enum { SK_NO_REUSE = 0, SK_CAN_REUSE = 1, SK_FORCE_REUSE = 2 };

#define RCV_SHUTDOWN 1
#define SEND_SHUTDOWN 2
#define SHUTDOWN_MASK 3

enum sock_flags {
    SOCK_DEAD,
    SOCK_DONE,
    SOCK_URGINLINE,
    SOCK_KEEPOPEN,
    SOCK_LINGER,
    SOCK_DESTROY,
    SOCK_BROADCAST,
    SOCK_TIMESTAMP,
    SOCK_TIMESTAMPNS,
    SOCK_USE_WRITE_QUEUE,
    SOCK_DBG,
    SOCK_RCVTSTAMP,
    SOCK_LOCALROUTE,
    SOCK_ZEROCOPY,
    SOCK_RXQ_OVFL,
    SOCK_SELECT_ERR_QUEUE,
    SOCK_NOFCS,
};
#undef SOCK_SNDBUF_LOCK /* <linux/socket.h> has macros of these names and values */
#undef SOCK_RCVBUF_LOCK
enum { SOCK_SNDBUF_LOCK = 1, SOCK_RCVBUF_LOCK = 2 };   /* sk_userlocks */
enum { SOCK_NOSPACE = 1, SOCK_ASYNC_NOSPACE = 2 };     /* socket->flags */
enum { SK_PACING_NONE = 0, SK_PACING_NEEDED = 1, SK_PACING_FQ = 2 };

/* lock_sock(): like Linux, a mutex made of a short lock and an owner flag, so that the receive path,
 * which may not sleep, can put a segment on the backlog of a socket that a thread is using. */
struct socket_lock {
    spinlock_t slock;      /* protects owned and sk_backlog. Nests: wait queue lock, timer base, tables'
                              bucket locks, dev locks. Forbidden under it: sleeping */
    u32 owned;             /* a thread is between lock_sock and release_sock */
    u32 waiters;
    pthread_cond_t wq;     /* threads waiting in lock_sock */
    pthread_t owner;       /* assertion only */
};

struct sock {
    struct sock_common __sk_common; /* first */
#define sk_daddr __sk_common.skc_daddr
#define sk_rcv_saddr __sk_common.skc_rcv_saddr
#define sk_dport __sk_common.skc_dport
#define sk_num __sk_common.skc_num
#define sk_hash __sk_common.skc_hash
#define sk_family __sk_common.skc_family
#define sk_state __sk_common.skc_state
#define sk_reuse __sk_common.skc_reuse
#define sk_reuseport __sk_common.skc_reuseport
#define sk_ipv6only __sk_common.skc_ipv6only
#define sk_bound_dev_if __sk_common.skc_bound_dev_if
#define sk_net __sk_common.skc_net
#define sk_prot __sk_common.skc_prot
#define sk_refcnt __sk_common.skc_refcnt
    struct socket_lock sk_lock;
    struct { /* under slock */
        struct sk_buff *head, *tail;
        u32 len;      /* bytes of truesize */
    } sk_backlog;

    /* Below: owned by whoever holds lock_sock, or slock while nobody owns it. */
    struct sk_buff_head sk_receive_queue;
    struct sk_buff_head sk_write_queue; /* not yet sent */
    struct sk_buff_head sk_error_queue; /* own lock */
    _Atomic s32 sk_rmem_alloc;   /* truesize on the receive queues */
    _Atomic s32 sk_wmem_alloc;   /* truesize of clones below TCP, +1 while alive */
    s32 sk_wmem_queued;          /* truesize on the write and retransmit queues */
    s32 sk_forward_alloc;        /* charged but unused */
    s32 sk_rcvbuf, sk_sndbuf;    /* limits, bytes */
    s32 sk_rcvlowat;
    u32 sk_reserved_mem;
    _Atomic u32 sk_drops;
    u8 sk_shutdown, sk_userlocks;
    u8 sk_no_check_tx, sk_type;
    u16 sk_protocol;
    u16 sk_gso_max_segs;
    u32 sk_gso_max_size;
    u32 sk_route_caps;           /* NETIF_F_* of the route's device */
    u32 sk_pacing_status;
    u64 sk_pacing_rate, sk_max_pacing_rate; /* bytes/s; ~0: none */
    int sk_pacing_shift;
    unsigned long sk_flags;      /* enum sock_flags bits */
    int sk_err, sk_err_soft;
    int sk_priority, sk_mark;
    int sk_write_pending;        /* threads waiting to send */
    u32 sk_ack_backlog, sk_max_ack_backlog;
    u32 sk_tsflags, sk_tskey;
    u64 sk_rcvtimeo, sk_sndtimeo; /* ns; UINT64_MAX: for ever */
    u64 sk_lingertime;            /* ns */
    u64 sk_stamp;
    struct dst_entry *sk_dst_cache;
    bool sk_dst_pending_confirm;
    struct timer_list sk_timer;   /* keepalive, synack, FIN_WAIT2 */
    u32 sk_incoming_cpu;
    u32 sk_ll_usec;               /* SO_BUSY_POLL */
    u32 sk_txhash;
    u8 sk_txrehash;               /* SO_TXREHASH: may sk_txhash change? */

    struct socket *sk_socket;     /* NULL: orphan. Under slock */
    struct wait_queue_head *sk_wq;/* of the socket; NULL when orphaned */
    void *sk_user_data;           /* of the layer above (shim) */
    void (*sk_state_change)(struct sock *sk);
    void (*sk_data_ready)(struct sock *sk);
    void (*sk_write_space)(struct sock *sk);
    void (*sk_error_report)(struct sock *sk);
    int (*sk_backlog_rcv)(struct sock *sk, struct sk_buff *skb);
    void (*sk_destruct)(struct sock *sk);
    /* Called when a connection left the established table for good (the twin may be let go). */
    void (*sk_unhashed)(struct sock *sk);
};

struct proto { /* the transport protocol's operations: tcp_prot */
    const char *name;
    void (*close)(struct sock *sk, u64 timeout_ns);
    int (*connect)(struct sock *sk, const struct sockaddr *addr, socklen_t len);
    int (*disconnect)(struct sock *sk, int flags);
    struct sock *(*accept)(struct sock *sk, int flags, int *err);
    int (*ioctl)(struct sock *sk, int cmd, int *karg);
    int (*init)(struct sock *sk);
    void (*destroy)(struct sock *sk);
    void (*shutdown)(struct sock *sk, int how);
    int (*setsockopt)(struct sock *sk, int level, int optname, const void *optval, socklen_t len);
    int (*getsockopt)(struct sock *sk, int level, int optname, void *optval, socklen_t *len);
    ssize_t (*sendmsg)(struct sock *sk, struct sk_msghdr *msg, size_t len);
    ssize_t (*recvmsg)(struct sock *sk, struct sk_msghdr *msg, size_t len, int flags);
    void (*splice_eof)(struct sock *sk); /* may be NULL */
    int (*backlog_rcv)(struct sock *sk, struct sk_buff *skb);
    void (*release_cb)(struct sock *sk); /* release_sock: deferred timers, TSQ; slock held */
    /* May more be queued (TCP_NOTSENT_LOWAT)? wake: asked for EPOLLOUT. NULL: yes. */
    bool (*stream_memory_free)(const struct sock *sk, int wake);
    /* SOF_TIMESTAMPING_OPT_ID: where ids begin; tcp: OPT_ID_TCP is set too; NULL: 0 */
    u32 (*tskey)(const struct sock *sk, bool tcp);
    void (*keepalive)(struct sock *sk, int val);   /* SO_KEEPALIVE changed: arm or stop the timer; may be NULL */
    int (*set_rcvlowat)(struct sock *sk, int val); /* SO_RCVLOWAT; NULL: sk_rcvlowat alone */
    int (*hash)(struct sock *sk);
    void (*unhash)(struct sock *sk);
    int (*get_port)(struct sock *sk, u16 snum);
    size_t obj_size;
};

/* Looked at with and without the lock (poll, recvmsg's end): one untorn word. */
static inline bool sock_flag(const struct sock *sk, enum sock_flags f) { return READ_ONCE(sk->sk_flags) >> f & 1; }
static inline void sock_set_flag(struct sock *sk, enum sock_flags f)
{
    __atomic_fetch_or(&sk->sk_flags, 1ul << f, __ATOMIC_RELAXED);
}
static inline void sock_reset_flag(struct sock *sk, enum sock_flags f)
{
    __atomic_fetch_and(&sk->sk_flags, ~(1ul << f), __ATOMIC_RELAXED);
}
static inline void sock_valbool_flag(struct sock *sk, enum sock_flags f, int v)
{
    if (v)
        sock_set_flag(sk, f);
    else
        sock_reset_flag(sk, f);
}

/* ---- lifetime --------------------------------------------------------------------------------------- */

/* Role: allocate a sock of prot->obj_size, zeroed, one reference, not initialised. NULL without memory. */
struct sock *sk_alloc(struct net *net, int family, struct proto *prot);
/* Role: defaults, queues, lock and call-backs; ties it to `sock` (may be NULL). */
void sock_init_data(struct socket *sock, struct sock *sk);
/* Role: a child of a listener: copy of its settings, fresh queues and lock, slock held, 2 references
 * as in Linux (caller and the hash). */
struct sock *sk_clone_lock(const struct sock *sk);
static inline void sock_hold(struct sock *sk)
{
    atomic_fetch_add_explicit(&sk->sk_refcnt, 1, memory_order_relaxed);
}
/* Take a reference unless the last has gone (RCU lookups). */
bool sock_hold_safe(struct sock_common *sk);
/* Drop a reference; the last one frees it after a grace period. */
void sock_put(struct sock *sk);
/* Drop the "alive" count of sk_wmem_alloc and the caller's reference chain ends here. */
void sk_free(struct sock *sk);
void sk_common_release(struct sock *sk);
/* Cut the tie to the struct socket. slock held. */
void sock_orphan(struct sock *sk);
void sock_graft(struct sock *sk, struct socket *parent);
/* Role: the path seems bad, so let queue and path be chosen anew; false: the program forbade it. slock held. */
bool sk_rethink_txhash(struct sock *sk);

/* ---- lock ---------------------------------------------------------------------------------------------- */

/* May wait for another thread (never for the network); run the backlog on release. */
void lock_sock(struct sock *sk);
void release_sock(struct sock *sk);
/* Run the backlog now; the caller owns the lock (sk_flush_backlog). */
void sk_flush_backlog(struct sock *sk);
static inline void bh_lock_sock(struct sock *sk) { spin_lock(&sk->sk_lock.slock); }
static inline void bh_unlock_sock(struct sock *sk) { spin_unlock(&sk->sk_lock.slock); }
static inline bool sock_owned_by_user(const struct sock *sk) { return READ_ONCE(sk->sk_lock.owned); }
/* slock held, owned by another thread. 0, or -ENOBUFS: over `limit` bytes, the caller drops it. */
int sk_add_backlog(struct sock *sk, struct sk_buff *skb, u32 limit);

/* ---- memory ---------------------------------------------------------------------------------------------- */

void sock_rfree(struct sk_buff *skb); /* destructor: uncharges sk_rmem_alloc */
void __sock_wfree(struct sk_buff *skb); /* destructor: uncharges sk_wmem_alloc, tells nobody */
void skb_set_owner_r(struct sk_buff *skb, struct sock *sk);
/* Charge size bytes against tcp_memory_allocated and tcp_mem; false: over the limit. */
bool sk_wmem_schedule(struct sock *sk, int size);
bool sk_rmem_schedule(struct sock *sk, struct sk_buff *skb, int size);
static inline void sk_mem_charge(struct sock *sk, int size) { sk->sk_forward_alloc -= size; }
static inline void sk_mem_uncharge(struct sock *sk, int size) { sk->sk_forward_alloc += size; }
/* Give unused whole quanta (4096 bytes) back. */
void sk_mem_reclaim(struct sock *sk);
static inline bool sk_stream_memory_free(const struct sock *sk) /* room below sk_sndbuf */
{
    return READ_ONCE(sk->sk_wmem_queued) < READ_ONCE(sk->sk_sndbuf);
}
static inline int sk_stream_wspace(const struct sock *sk) { return READ_ONCE(sk->sk_sndbuf) - READ_ONCE(sk->sk_wmem_queued); }
static inline int sk_stream_min_wspace(const struct sock *sk) { return READ_ONCE(sk->sk_wmem_queued) >> 1; }
/* A third of the buffer free and not too much unsent: EPOLLOUT. */
bool sk_stream_is_writeable(const struct sock *sk);

/* ---- waiting (core/stream.c, core/sock.c). The socket lock is held on entry and exit, let go while asleep.
 * *timeo: ns left, UINT64_MAX for ever; updated. ------------------------------------------------------------ */

/* Until data arrives behind `skb` on the receive queue. 1: something happened, 0: not; signals as below. */
int sk_wait_data(struct sock *sk, u64 *timeo, const struct sk_buff *skb);
/* Until connected. 0, or -EPIPE, sk_err, -EAGAIN (no time), -ERESTARTSYS/-EINTR. */
int sk_stream_wait_connect(struct sock *sk, u64 *timeo);
/* Until there is send room (sets SOCK_NOSPACE). 0, -EPIPE, -EAGAIN, -ERESTARTSYS/-EINTR. */
int sk_stream_wait_memory(struct sock *sk, u64 *timeo);
void sk_stream_wait_close(struct sock *sk, u64 timeo);
/* Generic: sleep once on the socket's queue until woken, time-out or signal. Returns 0 or -EINTR.
 * cond(sk) is looked at after the waiter is armed; true: do not sleep. Lock as above. */
int sk_wait_event(struct sock *sk, u64 *timeo, bool (*cond)(struct sock *sk));
/* -ERESTARTSYS for an untimed wait, -EINTR for a timed one (sock_intr_errno). */
static inline int sock_intr_errno(u64 timeo) { return timeo == UINT64_MAX ? -ERESTARTSYS : -EINTR; }
static inline u64 sock_rcvtimeo(const struct sock *sk, bool noblock) { return noblock ? 0 : sk->sk_rcvtimeo; }
static inline u64 sock_sndtimeo(const struct sock *sk, bool noblock) { return noblock ? 0 : sk->sk_sndtimeo; }

/* ---- events ---------------------------------------------------------------------------------------------- */

void sk_stream_write_space(struct sock *sk);
/* SIGURG to the socket's owner. slock held. */
void sk_send_sigurg(struct sock *sk);
/* Error to report on an operation: takes -sk_err and clears it; -EPIPE with SIGPIPE left to shim. */
int sock_error(struct sock *sk);
int sk_stream_error(struct sock *sk, int flags, int err);
void sk_stream_kill_queues(struct sock *sk);

/* ---- route ------------------------------------------------------------------------------------------------- */

/* The cached route if still valid, else NULL and the cache dropped. No reference is taken. */
struct dst_entry *__sk_dst_check(struct sock *sk);
/* Takes over the caller's reference; sets route caps, gso limits. */
void sk_setup_caps(struct sock *sk, struct dst_entry *dst);
void __sk_dst_set(struct sock *sk, struct dst_entry *dst);
void sk_dst_reset(struct sock *sk);
static inline void sk_dst_confirm(struct sock *sk) { WRITE_ONCE(sk->sk_dst_pending_confirm, true); }

/* ---- timers -------------------------------------------------------------------------------------------------- */

/* Arm/stop a timer that holds a reference on sk while pending. */
void sk_reset_timer(struct sock *sk, struct timer_list *t, u64 expires);
void sk_stop_timer(struct sock *sk, struct timer_list *t);

/* ---- options (SOL_SOCKET) -------------------------------------------------------------------------------------- */

int sock_setsockopt(struct socket *sock, int level, int optname, const void *optval, socklen_t len);
int sock_getsockopt(struct socket *sock, int level, int optname, void *optval, socklen_t *len);
/* What the control messages of one send call ask for, in place of the socket's own settings. */
struct sockcm_cookie {
    u32 tsflags; /* SOF_TIMESTAMPING_*; the caller begins with sk_tsflags */
};
/* Role: read a send call's control messages (cmsg(3), SOL_SOCKET only) into *sockc. 0 or -EINVAL. */
int sock_cmsg_send(const struct sk_msghdr *msg, struct sockcm_cookie *sockc);
/* Timestamps and the like as control messages. */
void sock_recv_timestamp(struct sk_msghdr *msg, struct sock *sk, struct sk_buff *skb);
int put_cmsg(struct sk_msghdr *msg, int level, int type, int len, const void *data);

static inline struct net *sock_net(const struct sock *sk) { return sk->sk_net; }

#endif
