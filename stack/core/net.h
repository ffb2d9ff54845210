/* SPDX-License-Identifier: MIT */
#ifndef SLUICE_CORE_NET_H
#define SLUICE_CORE_NET_H
/* struct net: one instance of the stack, as Linux's network namespace. All tables hang on it, and so do
 * time, randomness and configuration: no file under stack/ reads a clock, a random source or the
 * environment. A process under libsluice.so has one; a simulation has as many as it has hosts. */

#include "mib.h"
#include "page.h"
#include "spinlock.h"
#include "timer.h"
#include "types.h"
#include "wait.h"
#include <urcu/list.h>

struct net;
struct net_device;
struct sk_buff;
struct socket;
struct inet_hashinfo;
struct fib_table;
struct neigh_table;
struct nf_table;
struct ipq_table;
struct flowi4;
struct fib_result;
struct rt_cache;

/* What the stack needs from outside. Set once before the net is used. */
struct net_ops {
    /* Monotonic nanoseconds, never 0. */
    u64 (*clock_ns)(struct net *net);
    /* 64 random bits; simulation: from the seed. */
    u64 (*random)(struct net *net);
    /* The calling thread's waiter. */
    struct waiter *(*current_waiter)(struct net *net);
    /* Sleep until w->woken, the absolute deadline (UINT64_MAX: none) or a signal, driving the network
     * meanwhile (devices polled, timers run). No lock held. Returns 0 (woken or timed out) or -EINTR. */
    int (*wait)(struct net *net, struct waiter *w, u64 deadline_ns);
    /* Wake a thread that sleeps in wait(); w->woken is set already. Any lock may be held. */
    void (*wake)(struct net *net, struct waiter *w);
    /* The earliest timer moved nearer: a sleeping poller must look again. Any lock may be held. */
    void (*timer_armed)(struct net *net, u64 expires);
    /* Write one log line (no newline). level as in log.h. */
    void (*log)(struct net *net, int level, const char *text);
    /* Wall clock minus clock_ns, ns: for SO_TIMESTAMP. NULL: 0. */
    s64 (*realtime_offset)(struct net *net);
    /* Has the program this capability (CAP_NET_ADMIN)? NULL: it has none. */
    bool (*capable)(struct net *net, int cap);
    /* Urgent data was announced: SIGURG to the socket's owner (fcntl(2) F_SETOWN). Its slock is held. NULL: nobody. */
    void (*send_sigurg)(struct net *net, struct socket *sock);
};

/* Routes from outside the stack (shared address mode: the host kernel's own answer). */
struct net_route_ops {
    /* Fill *res for *fl; 0, or -ENETUNREACH, -EHOSTUNREACH, -EACCES, -EINVAL as the host answers.
     * May block for a netlink round trip; no lock held. */
    int (*lookup)(struct net *net, const struct flowi4 *fl, struct fib_result *res);
};

/* Who must know which flows are ours: the steering program of a shared address. All may be NULL. */
struct flow_key { /* the segment's view of our own side; network order */
    __be32 laddr, raddr;
    __be16 lport, rport;
};
struct net_steer_ops {
    int (*add_flow)(struct net *net, const struct flow_key *k);
    void (*del_flow)(struct net *net, const struct flow_key *k);
    /* laddr 0: any of the host's addresses. */
    int (*add_listener)(struct net *net, __be32 laddr, __be16 lport, bool parked);
    void (*del_listener)(struct net *net, __be32 laddr, __be16 lport);
    /* parked: what is no flow of ours is not for us, also where a listener at laddr 0 would have it. */
    void (*park_listener)(struct net *net, __be32 laddr, __be16 lport, bool parked);
};

/* The host's settings, by Linux's names under /proc/sys/net/ipv4 (values and units as there). */
struct netns_ipv4 {
    int sysctl_ip_default_ttl, sysctl_ip_no_pmtu_disc, sysctl_min_pmtu;
    int sysctl_ip_local_port_range[2];
    int sysctl_tcp_timestamps, sysctl_tcp_window_scaling, sysctl_tcp_sack, sysctl_tcp_dsack;
    int sysctl_tcp_ecn, sysctl_tcp_ecn_fallback;
    int sysctl_tcp_rmem[3], sysctl_tcp_wmem[3];
    long sysctl_tcp_mem[3];
    int sysctl_rmem_max, sysctl_wmem_max, sysctl_rmem_default, sysctl_wmem_default; /* net.core */
    int sysctl_tcp_moderate_rcvbuf, sysctl_tcp_app_win;
    int sysctl_tcp_syn_retries, sysctl_tcp_syn_linear_timeouts, sysctl_tcp_synack_retries, sysctl_tcp_retries1, sysctl_tcp_retries2;
    int sysctl_tcp_rto_min_us, sysctl_tcp_rto_max_ms;
    int sysctl_tcp_orphan_retries, sysctl_tcp_max_orphans;
    int sysctl_tcp_fin_timeout; /* s */
    int sysctl_tcp_keepalive_time, sysctl_tcp_keepalive_intvl, sysctl_tcp_keepalive_probes; /* s, s, count */
    int sysctl_tcp_syncookies, sysctl_tcp_max_syn_backlog, sysctl_tcp_abort_on_overflow;
    int sysctl_somaxconn;
    int sysctl_tcp_tw_reuse, sysctl_tcp_tw_reuse_delay /* ms */, sysctl_tcp_max_tw_buckets, sysctl_tcp_rfc1337, sysctl_tcp_stdurg;
    int sysctl_tcp_fastopen, sysctl_tcp_fastopen_blackhole_timeout; /* s, 0: off */
    u8 sysctl_tcp_fastopen_key[32];  /* the host's, first the one in use */
    u32 sysctl_tcp_fastopen_key_len; /* 0: made at random, 16, or 32 with the one before */
    u64 tfo_active_disable_stamp;    /* ns, when a black hole was seen last */
    u32 tfo_active_disable_times;    /* and how often since a connection that went well; atomic */
    int sysctl_tcp_mtu_probing, sysctl_tcp_base_mss, sysctl_tcp_min_snd_mss;
    int sysctl_tcp_mtu_probe_floor, sysctl_tcp_probe_threshold, sysctl_tcp_probe_interval; /* bytes, bytes, s */
    int sysctl_tcp_limit_output_bytes, sysctl_tcp_challenge_ack_limit, sysctl_tcp_invalid_ratelimit; /* ms */
    int sysctl_tcp_slow_start_after_idle, sysctl_tcp_no_metrics_save, sysctl_tcp_no_ssthresh_metrics_save,
        sysctl_tcp_autocorking;
    int sysctl_tcp_early_retrans, sysctl_tcp_recovery, sysctl_tcp_thin_linear_timeouts, sysctl_tcp_frto;
    int sysctl_tcp_reordering, sysctl_tcp_max_reordering, sysctl_tcp_retrans_collapse;
    int sysctl_tcp_min_tso_segs, sysctl_tcp_tso_win_divisor, sysctl_tcp_tso_rtt_log;
    int sysctl_tcp_hystart; /* CUBIC's: 0 none, 1 HyStart as Linux, 2 HyStart++ (RFC 9406); a module parameter there */
    int sysctl_tcp_pacing_ss_ratio, sysctl_tcp_pacing_ca_ratio;
    int sysctl_tcp_notsent_lowat, sysctl_tcp_workaround_signed_windows;
    int sysctl_tcp_comp_sack_delay_ns, sysctl_tcp_comp_sack_nr;
    char sysctl_tcp_congestion_control[16];
    /* Names between spaces that only CAP_NET_ADMIN may choose: the host has them available and not allowed
     * (tcp_available_congestion_control less tcp_allowed_congestion_control). */
    char sysctl_tcp_restricted_congestion_control[256];
    int sysctl_icmp_ratelimit; /* ms */
    int sysctl_icmp_echo_ignore_all;
    int sysctl_ipfrag_time, sysctl_ipfrag_max_dist; /* s, count */
    long sysctl_ipfrag_high_thresh;
    int sysctl_neigh_base_reachable_time, sysctl_neigh_retrans_time; /* ms */
    int sysctl_neigh_ucast_solicit, sysctl_neigh_mcast_solicit, sysctl_neigh_app_solicit;
    int sysctl_neigh_delay_first_probe_time, sysctl_neigh_unres_qlen_bytes; /* s, bytes */
    int sysctl_neigh_gc_thresh1, sysctl_neigh_gc_thresh2, sysctl_neigh_gc_thresh3, sysctl_neigh_gc_stale_time; /* s */
    int sysctl_neigh_mcast_resolicit, sysctl_neigh_locktime; /* 10 ms */
    int sysctl_arp_accept, sysctl_drop_gratuitous_arp; /* of conf/all */
    int sysctl_dev_weight;        /* net.core.dev_weight: weight_p, the qdisc's and the poll's quota */
};

struct net {
    const struct net_ops *ops;
    const struct net_route_ops *route_ops; /* NULL: the fib table below */
    const struct net_steer_ops *steer_ops; /* NULL: nothing to steer */
    void *priv;                            /* of the creator */
    _Atomic u64 now;                       /* cached clock stamp, ns; refreshed by net_tick() */
    struct netns_ipv4 ipv4;
    struct timer_base *timers;
    struct page_pool *tx_pool; /* where tcp_sendmsg takes payload slots; owned by the creator */

    spinlock_t dev_lock;            /* writers of dev_list; nothing nests in it */
    struct cds_list_head dev_list;  /* net_device.node; RCU: written under dev_lock, read anywhere */
    _Atomic u32 dev_gen;

    struct inet_hashinfo *hashinfo; /* stack/ipv4/inet_hashtables.c */
    struct fib_table *fib;          /* stack/ipv4/route.c */
    struct rt_cache *rt_cache;      /* stack/ipv4/route.c */
    _Atomic u32 rt_genid;           /* a cached dst of another generation is void */
    struct neigh_table *arp_tbl;    /* stack/core/neighbour.c */
    struct nf_table *nf;            /* stack/ipv4/netfilter.c */
    struct arp_acd *acd;            /* stack/ipv4/arp.c: the address of our own that is probed, announced, defended */
    struct ipq_table *ipq;          /* stack/ipv4/ip_fragment.c */
    struct socket_global *icmp_sk;  /* stack/ipv4/icmp.c */
    void *tcp_priv;                 /* stack/ipv4/tcp_ipv4.c: ISN and cookie secrets, metrics */

    spinlock_t tx_sched_lock;           /* protects tx_sched; nothing nests in it */
    struct cds_list_head tx_sched;      /* qdiscs that raised NET_TX (Qdisc.sched_node) */
    _Atomic u32 tx_sched_len;           /* how many, to look at without the lock */
    /* TCP Small Queues: sockets whose transmit completions made room. Pushed from destructors in any context
     * (a stack of tcp_sock.tsq_node, lock-free); emptied by tsq_drain with no lock held. */
    _Atomic(struct cds_list_head *) tsq_head;
    void (*tsq_drain)(struct net *net); /* tcp_tsq_drain, once TCP is in use */

    spinlock_t defer_lock;              /* protects defer_head */
    struct rcu_free *defer_head;        /* memory waiting for a grace period */
    _Atomic u32 defer_count;            /* how much; net_poll runs a grace period past a threshold */

    _Atomic u32 challenge_stamp;   /* s: the second in which challenge_count holds (RFC 5961 7) */
    _Atomic u32 challenge_count;   /* challenge ACKs that may still be sent in it */

    _Atomic s64 skb_count;     /* sk_buffs alive; tests assert 0 */
    _Atomic s64 sock_count;    /* struct sock alive, request and time-wait socks included */
    _Atomic s64 orphan_count;
    _Atomic s64 tcp_memory_allocated; /* bytes charged by all TCP sockets */
    _Atomic u64 mib[__MIB_MAX];
    _Atomic u64 drops[__SKB_DROP_REASON_MAX];
};

/* Role: make an instance with Linux's default settings, no device and empty tables.
 * Returns NULL with nothing left behind when memory ran out. The caller may change net->ipv4, route_ops,
 * steer_ops and tx_pool before the first socket. Free with net_free() after all sockets are closed. */
struct net *net_alloc(const struct net_ops *ops, void *priv);
/* Role: end an instance: kills time-wait and orphan sockets, timers, neighbours, routes, queued skbs.
 * Devices must have been unregistered. */
void net_free(struct net *net);
/* Role: the protocol family's per-net state: net_alloc calls init (0 or -errno), net_free calls exit, in
 * reverse order. The creator (shim, tests) calls inet_init(), which registers, once before net_alloc(). */
void net_register_family(int (*init)(struct net *net), void (*exit)(struct net *net));
/* Linux's defaults for a host with plenty of memory. */
void netns_ipv4_defaults(struct netns_ipv4 *s);

/* The cached stamp: what the protocol calls "now". */
static inline u64 net_now(const struct net *net)
{
    return atomic_load_explicit(&((struct net *)net)->now, memory_order_relaxed);
}
/* Refresh the stamp; at every entry into the stack (a call, a poll, a timer run). Never goes back. */
static inline u64 net_tick(struct net *net)
{
    u64 t = net->ops->clock_ns(net);
    atomic_store_explicit(&net->now, t, memory_order_relaxed);
    return t;
}
static inline u32 net_random_u32(struct net *net) { return (u32)net->ops->random(net); }
/* Uniform in [0, ceil). */
static inline u32 net_random_below(struct net *net, u32 ceil)
{
    return (u32)(((u64)net_random_u32(net) * ceil) >> 32);
}

/* Deferred freeing: no call_rcu thread runs in the program. Embed first in what is to be freed. */
struct rcu_free {
    struct rcu_free *next;
    void (*func)(struct rcu_free *);
};
/* Queue f->func(f) to run after a grace period. Any thread; inside a read section too. */
void net_call_rcu(struct net *net, struct rcu_free *f, void (*func)(struct rcu_free *));
/* Wait for a grace period and run what is queued (what that queues in turn is left: call again until 0).
 * Outside any read section. Returns the number run. */
int net_rcu_barrier(struct net *net);
/* As net_rcu_barrier when enough has gathered and the caller is in no read section; net_poll calls it. */
int net_rcu_reclaim(struct net *net);

/* Let sockets go on that TCP Small Queues held back. At the end of net_poll() and of a send call; no lock held. */
static inline void net_tsq_service(struct net *net)
{
    if (unlikely(atomic_load_explicit(&net->tsq_head, memory_order_acquire) != NULL))
        net->tsq_drain(net);
}

/* MIB */
#define NET_INC_STATS(net, f) atomic_fetch_add_explicit(&(net)->mib[f], 1, memory_order_relaxed)
#define NET_ADD_STATS(net, f, n)                                                                   \
    atomic_fetch_add_explicit(&(net)->mib[f], (u64)(n), memory_order_relaxed)
#define NET_DEC_STATS(net, f) atomic_fetch_sub_explicit(&(net)->mib[f], 1, memory_order_relaxed)
static inline u64 net_mib(const struct net *net, enum linux_mib f)
{
    return atomic_load_explicit(&((struct net *)net)->mib[f], memory_order_relaxed);
}

#endif
