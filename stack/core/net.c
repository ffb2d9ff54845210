/* SPDX-License-Identifier: MIT */
/* struct net: making and ending an instance, and memory that waits for a grace period. */

#include "net.h"
#include "neighbour.h"
#include "rcu.h"

#define MAX_FAMILIES 8
#define RECLAIM_THRESHOLD 256 /* deferred objects that are worth a grace period */

/* Written before the first net_alloc (inet_init), read-only afterwards. */
static struct {
    int (*init)(struct net *net);
    void (*exit)(struct net *net);
} families[MAX_FAMILIES];
static int nr_families;

void net_register_family(int (*init)(struct net *net), void (*exit)(struct net *net))
{
    for (int i = 0; i < nr_families; i++)
        if (families[i].init == init && families[i].exit == exit)
            return;
    BUG_ON(nr_families == MAX_FAMILIES);
    families[nr_families].init = init;
    families[nr_families++].exit = exit;
}

void net_call_rcu(struct net *net, struct rcu_free *f, void (*func)(struct rcu_free *))
{
    f->func = func;
    spin_lock(&net->defer_lock);
    f->next = net->defer_head;
    net->defer_head = f;
    spin_unlock(&net->defer_lock);
    atomic_fetch_add_explicit(&net->defer_count, 1, memory_order_relaxed);
}

int net_rcu_barrier(struct net *net)
{
    struct rcu_free *f, *next, *order = NULL;
    int n = 0;

    spin_lock(&net->defer_lock);
    f = net->defer_head;
    net->defer_head = NULL;
    spin_unlock(&net->defer_lock);
    if (!f)
        return 0;
    for (; f; f = next) { /* first queued, first run */
        next = f->next;
        f->next = order;
        order = f;
    }
    synchronize_rcu();
    for (f = order; f; f = next, n++) {
        next = f->next;
        f->func(f);
    }
    atomic_fetch_sub_explicit(&net->defer_count, (u32)n, memory_order_relaxed);
    return n;
}

int net_rcu_reclaim(struct net *net)
{
    if (atomic_load_explicit(&net->defer_count, memory_order_relaxed) < RECLAIM_THRESHOLD || rcu_read_ongoing())
        return 0;
    return net_rcu_barrier(net);
}

static void net_destroy(struct net *net)
{
    neigh_table_free(net->arp_tbl);
    while (net_rcu_barrier(net))
        ;
    timer_base_free(net->timers);
    spin_lock_destroy(&net->dev_lock);
    spin_lock_destroy(&net->tx_sched_lock);
    spin_lock_destroy(&net->defer_lock);
    free(net);
}

struct net *net_alloc(const struct net_ops *ops, void *priv)
{
    struct net *net = calloc(1, sizeof(*net));
    int i;

    if (!net)
        return NULL;
    net->ops = ops;
    net->priv = priv;
    spin_lock_init(&net->dev_lock);
    spin_lock_init(&net->tx_sched_lock);
    spin_lock_init(&net->defer_lock);
    CDS_INIT_LIST_HEAD(&net->dev_list);
    CDS_INIT_LIST_HEAD(&net->tx_sched);
    netns_ipv4_defaults(&net->ipv4);
    net_tick(net);
    net->timers = timer_base_alloc();
    if (!net->timers)
        goto out;
    net->arp_tbl = neigh_table_alloc(net);
    if (!net->arp_tbl)
        goto out;
    for (i = 0; i < nr_families; i++)
        if (families[i].init(net) < 0)
            goto out_families;
    return net;

out_families:
    while (--i >= 0)
        families[i].exit(net);
out:
    net_destroy(net);
    return NULL;
}

void net_free(struct net *net)
{
    if (!net)
        return;
    for (int i = nr_families - 1; i >= 0; i--)
        families[i].exit(net);
    net_destroy(net);
}

/* Values of Linux 6.x on a host with plenty of memory: Documentation/networking/ip-sysctl.rst, tcp(7). */
void netns_ipv4_defaults(struct netns_ipv4 *s)
{
    *s = (struct netns_ipv4){
        .sysctl_ip_default_ttl = 64,
        .sysctl_ip_no_pmtu_disc = 0,
        .sysctl_min_pmtu = 552,
        .sysctl_ip_local_port_range = {32768, 60999},
        .sysctl_tcp_timestamps = 1,
        .sysctl_tcp_window_scaling = 1,
        .sysctl_tcp_sack = 1,
        .sysctl_tcp_dsack = 1,
        .sysctl_tcp_ecn = 2,
        .sysctl_tcp_ecn_fallback = 1,
        .sysctl_tcp_rmem = {4096, 131072, 6291456},
        .sysctl_tcp_wmem = {4096, 16384, 4194304},
        .sysctl_tcp_mem = {190000, 253000, 380000}, /* pages: Linux's share of 16 GiB */
        .sysctl_rmem_max = 212992,
        .sysctl_wmem_max = 212992,
        .sysctl_rmem_default = 212992,
        .sysctl_wmem_default = 212992,
        .sysctl_tcp_moderate_rcvbuf = 1,
        .sysctl_tcp_app_win = 31,
        .sysctl_tcp_syn_retries = 6,
        .sysctl_tcp_syn_linear_timeouts = 4,
        .sysctl_tcp_synack_retries = 5,
        .sysctl_tcp_retries1 = 3,
        .sysctl_tcp_retries2 = 15,
        .sysctl_tcp_rto_min_us = 200000,
        .sysctl_tcp_rto_max_ms = 120000,
        .sysctl_tcp_orphan_retries = 0,
        .sysctl_tcp_max_orphans = 65536,
        .sysctl_tcp_fin_timeout = 60,
        .sysctl_tcp_keepalive_time = 7200,
        .sysctl_tcp_keepalive_intvl = 75,
        .sysctl_tcp_keepalive_probes = 9,
        .sysctl_tcp_syncookies = 1,
        .sysctl_tcp_max_syn_backlog = 4096,
        .sysctl_tcp_abort_on_overflow = 0,
        .sysctl_somaxconn = 4096,
        .sysctl_tcp_tw_reuse = 2,
        .sysctl_tcp_tw_reuse_delay = 1000,
        .sysctl_tcp_max_tw_buckets = 65536,
        .sysctl_tcp_rfc1337 = 0,
        .sysctl_tcp_stdurg = 0,
        .sysctl_tcp_fastopen = 1,
        .sysctl_tcp_mtu_probing = 0,
        .sysctl_tcp_base_mss = 1024,
        .sysctl_tcp_mtu_probe_floor = 48,
        .sysctl_tcp_probe_threshold = 8,
        .sysctl_tcp_probe_interval = 600,
        .sysctl_tcp_min_snd_mss = 48,
        .sysctl_tcp_limit_output_bytes = 4 * 1024 * 1024,
        .sysctl_tcp_challenge_ack_limit = INT32_MAX,
        .sysctl_tcp_invalid_ratelimit = 500,
        .sysctl_tcp_slow_start_after_idle = 1,
        .sysctl_tcp_no_metrics_save = 0,
        .sysctl_tcp_no_ssthresh_metrics_save = 1,
        .sysctl_tcp_hystart = 2, /* not Linux's, which is 1 */
        .sysctl_tcp_autocorking = 1,
        .sysctl_tcp_early_retrans = 3,
        .sysctl_tcp_recovery = 1,
        .sysctl_tcp_thin_linear_timeouts = 0,
        .sysctl_tcp_frto = 2,
        .sysctl_tcp_reordering = 3,
        .sysctl_tcp_max_reordering = 300,
        .sysctl_tcp_retrans_collapse = 1,
        .sysctl_tcp_min_tso_segs = 2,
        .sysctl_tcp_tso_win_divisor = 3,
        .sysctl_tcp_tso_rtt_log = 9,
        .sysctl_tcp_pacing_ss_ratio = 200,
        .sysctl_tcp_pacing_ca_ratio = 120,
        .sysctl_tcp_notsent_lowat = -1, /* UINT_MAX: no limit */
        .sysctl_tcp_workaround_signed_windows = 0,
        .sysctl_tcp_comp_sack_delay_ns = 1000000,
        .sysctl_tcp_comp_sack_nr = 44,
        .sysctl_tcp_congestion_control = "cubic",
        .sysctl_icmp_ratelimit = 1000,
        .sysctl_icmp_echo_ignore_all = 0,
        .sysctl_ipfrag_time = 30,
        .sysctl_ipfrag_max_dist = 64,
        .sysctl_ipfrag_high_thresh = 4 * 1024 * 1024,
        .sysctl_neigh_base_reachable_time = 30000,
        .sysctl_neigh_retrans_time = 1000,
        .sysctl_neigh_ucast_solicit = 3,
        .sysctl_neigh_mcast_solicit = 3,
        .sysctl_neigh_app_solicit = 0,
        .sysctl_neigh_delay_first_probe_time = 5,
        .sysctl_neigh_unres_qlen_bytes = 212992,
        .sysctl_neigh_gc_thresh1 = 128,
        .sysctl_neigh_gc_thresh2 = 512,
        .sysctl_neigh_gc_thresh3 = 1024,
        .sysctl_neigh_locktime = 100,
        .sysctl_neigh_gc_stale_time = 60,
        .sysctl_dev_weight = 64,
    };
}
