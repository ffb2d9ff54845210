/* SPDX-License-Identifier: MIT */
/* The live stack: nothing of it exists before the first TCP socket wants to connect or listen, because
 * daemons fork first and most processes never do either. */

#include "runtime.h"
#include "../netdev/af_xdp.h"
#include "../netdev/fault.h"
#include "../netdev/pcap.h"
#include "../netdev/rtnl.h"
#include "../stack/core/log.h"
#include "../stack/core/sch_generic.h"
#include "../stack/ipv4/ip.h"
#include "../stack/ipv4/tcp.h"
#include "../stack/ipv4/tcp_fastopen.h"
#include "config.h"
#include "exit.h"
#include "file.h"
#include "filter.h"
#include "firewall.h"
#include "fork.h"
#include "qdisc_option.h"
#include "stats.h"
#include "trace.h"
#include <arpa/inet.h>
#include <linux/capability.h>
#include <net/if.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/syscall.h>

struct net *live_net;
u8 stack_active;

static struct {
    pthread_mutex_t lock; /* protects starting and opening devices; outermost of shim/'s but f->lock */
    int result;           /* 0: not tried; 1: runs; -errno */
    char why[320];
    struct opened {
        int ifindex;
        struct net_device *dev; /* the top one, or NULL */
        char why[256];
        u64 tried;
    } opened[64];
    int nopened;
    struct pcap_file *pcap;
    __be32 own_addr;
} rt = {.lock = PTHREAD_MUTEX_INITIALIZER};

/* ---- log ---------------------------------------------------------------------------------------------------- */

static _Atomic int log_fd = -1;

static int log_descriptor(void)
{
    char path[OPTION_PATH_MAX + 16];
    int fd = atomic_load(&log_fd), none = -1;

    if (fd >= 0 || !sluice_config.log_file[0])
        return fd >= 0 ? fd : STDERR_FILENO;
    if (config_expand_path(sluice_config.log_file, path, sizeof(path)))
        return STDERR_FILENO;
    fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
    if (fd < 0) {
        static atomic_flag told = ATOMIC_FLAG_INIT;
        char line[OPTION_PATH_MAX + 160];
        int n = snprintf(line, sizeof(line), "sluice[%d]: warning: the log file %s cannot be written (%s); the log comes here\n",
                         (int)getpid(), path, strerror(errno));

        if (!atomic_flag_test_and_set(&told))
            (void)!real_write(STDERR_FILENO, line, (size_t)n);
        return STDERR_FILENO;
    }
    fd = private_fd(fd);
    if (!atomic_compare_exchange_strong(&log_fd, &none, fd)) {
        private_close(fd);
        return none;
    }
    return fd;
}

void shim_log(int level, const char *fmt, ...)
{
    static const char *const names[] = {"error", "warning", "info", "debug"};
    char line[1024];
    va_list ap;
    int n, saved = errno;

    if (level > sluice_config.log)
        return;
    SHIM_ENTER();
    n = snprintf(line, sizeof(line), "sluice[%d]: %s: ", (int)getpid(), names[clamp(level, 0, 3)]);
    va_start(ap, fmt);
    n += vsnprintf(line + n, sizeof(line) - (size_t)n - 1, fmt, ap);
    va_end(ap);
    n = min(n, (int)sizeof(line) - 2);
    line[n++] = '\n';
    (void)!real_write(log_descriptor(), line, (size_t)n);
    SHIM_EXIT();
    errno = saved;
}

void shim_log_text(const char *text, size_t len)
{
    int saved = errno;
    ssize_t n;

    SHIM_ENTER();
    for (; len; text += n, len -= (size_t)n) {
        n = real_write(log_descriptor(), text, len);
        if (n < 0 && errno == EINTR)
            n = 0;
        else if (n <= 0)
            break;
    }
    SHIM_EXIT();
    errno = saved;
}

/* ---- descriptors of our own ------------------------------------------------------------------------------------- */

static int private_base(void)
{
    struct rlimit rl;

    if (getrlimit(RLIMIT_NOFILE, &rl) || rl.rlim_cur <= 64)
        return 32;
    return (int)min((u64)rl.rlim_cur - (rl.rlim_cur / 4), (u64)60000);
}

int private_fd(int fd)
{
    int high, saved = errno;

    if (fd < 0)
        return fd;
    high = real_fcntl(fd, F_DUPFD_CLOEXEC, private_base());
    if (high < 0) {
        real_fcntl(fd, F_SETFD, FD_CLOEXEC);
        high = fd;
    } else {
        real_close(fd);
    }
    fd_protect(high);
    errno = saved;
    return high;
}

void private_close(int fd)
{
    int saved = errno;

    if (fd < 0)
        return;
    fd_unprotect(fd);
    real_close(fd);
    errno = saved;
}

/* Descriptors 0 to 2 that a daemon has closed must not become ours. Returns the mask of those filled. */
static int fill_std_fds(void)
{
    int mask = 0;

    for (int fd = 0; fd <= 2; fd++) {
        if (real_fcntl(fd, F_GETFD) >= 0 || errno != EBADF)
            continue;
        if (open("/dev/null", O_RDWR | O_CLOEXEC) == fd)
            mask |= 1 << fd;
    }
    return mask;
}

static void free_std_fds(int mask)
{
    for (int fd = 0; fd <= 2; fd++)
        if (mask & 1 << fd)
            real_close(fd);
}

static void protect_cb(int fd, void *arg) { fd_protect(fd); }

static void protect_all(void)
{
    af_xdp_for_each_fd(live_net, protect_cb, NULL);
    rtnl_for_each_fd(live_net, protect_cb, NULL);
    if (rt.pcap)
        fd_protect(pcap_fd(rt.pcap));
}

/* ---- the host's settings ------------------------------------------------------------------------------------------ */

#define NET4(x) offsetof(struct netns_ipv4, sysctl_##x)
static const struct sysctl {
    const char *path; /* below /proc/sys/net/ */
    size_t off;
    u8 n, size; /* values, bytes of each */
} sysctls[] = {
    {"ipv4/ip_default_ttl", NET4(ip_default_ttl), 1, 4},
    {"ipv4/ip_no_pmtu_disc", NET4(ip_no_pmtu_disc), 1, 4},
    {"ipv4/route/min_pmtu", NET4(min_pmtu), 1, 4},
    {"ipv4/ip_local_port_range", NET4(ip_local_port_range), 2, 4},
    {"ipv4/tcp_timestamps", NET4(tcp_timestamps), 1, 4},
    {"ipv4/tcp_window_scaling", NET4(tcp_window_scaling), 1, 4},
    {"ipv4/tcp_sack", NET4(tcp_sack), 1, 4},
    {"ipv4/tcp_dsack", NET4(tcp_dsack), 1, 4},
    {"ipv4/tcp_ecn", NET4(tcp_ecn), 1, 4},
    {"ipv4/tcp_ecn_fallback", NET4(tcp_ecn_fallback), 1, 4},
    {"ipv4/tcp_rmem", NET4(tcp_rmem), 3, 4},
    {"ipv4/tcp_wmem", NET4(tcp_wmem), 3, 4},
    {"ipv4/tcp_mem", NET4(tcp_mem), 3, 8},
    {"core/rmem_max", NET4(rmem_max), 1, 4},
    {"core/wmem_max", NET4(wmem_max), 1, 4},
    {"core/rmem_default", NET4(rmem_default), 1, 4},
    {"core/wmem_default", NET4(wmem_default), 1, 4},
    {"ipv4/tcp_moderate_rcvbuf", NET4(tcp_moderate_rcvbuf), 1, 4},
    {"ipv4/tcp_app_win", NET4(tcp_app_win), 1, 4},
    {"ipv4/tcp_syn_retries", NET4(tcp_syn_retries), 1, 4},
    {"ipv4/tcp_syn_linear_timeouts", NET4(tcp_syn_linear_timeouts), 1, 4},
    {"ipv4/tcp_synack_retries", NET4(tcp_synack_retries), 1, 4},
    {"ipv4/tcp_retries1", NET4(tcp_retries1), 1, 4},
    {"ipv4/tcp_retries2", NET4(tcp_retries2), 1, 4},
    {"ipv4/tcp_rto_min_us", NET4(tcp_rto_min_us), 1, 4},
    {"ipv4/tcp_rto_max_ms", NET4(tcp_rto_max_ms), 1, 4},
    {"ipv4/tcp_orphan_retries", NET4(tcp_orphan_retries), 1, 4},
    {"ipv4/tcp_max_orphans", NET4(tcp_max_orphans), 1, 4},
    {"ipv4/tcp_fin_timeout", NET4(tcp_fin_timeout), 1, 4},
    {"ipv4/tcp_keepalive_time", NET4(tcp_keepalive_time), 1, 4},
    {"ipv4/tcp_keepalive_intvl", NET4(tcp_keepalive_intvl), 1, 4},
    {"ipv4/tcp_keepalive_probes", NET4(tcp_keepalive_probes), 1, 4},
    {"ipv4/tcp_syncookies", NET4(tcp_syncookies), 1, 4},
    {"ipv4/tcp_max_syn_backlog", NET4(tcp_max_syn_backlog), 1, 4},
    {"ipv4/tcp_abort_on_overflow", NET4(tcp_abort_on_overflow), 1, 4},
    {"core/somaxconn", NET4(somaxconn), 1, 4},
    {"ipv4/tcp_tw_reuse", NET4(tcp_tw_reuse), 1, 4},
    {"ipv4/tcp_tw_reuse_delay", NET4(tcp_tw_reuse_delay), 1, 4},
    {"ipv4/tcp_max_tw_buckets", NET4(tcp_max_tw_buckets), 1, 4},
    {"ipv4/tcp_rfc1337", NET4(tcp_rfc1337), 1, 4},
    {"ipv4/tcp_stdurg", NET4(tcp_stdurg), 1, 4},
    {"ipv4/tcp_fastopen", NET4(tcp_fastopen), 1, 4},
    {"ipv4/tcp_fastopen_blackhole_timeout_sec", NET4(tcp_fastopen_blackhole_timeout), 1, 4},
    {"ipv4/tcp_mtu_probing", NET4(tcp_mtu_probing), 1, 4},
    {"ipv4/tcp_base_mss", NET4(tcp_base_mss), 1, 4},
    {"ipv4/tcp_min_snd_mss", NET4(tcp_min_snd_mss), 1, 4},
    {"ipv4/tcp_mtu_probe_floor", NET4(tcp_mtu_probe_floor), 1, 4},
    {"ipv4/tcp_probe_threshold", NET4(tcp_probe_threshold), 1, 4},
    {"ipv4/tcp_probe_interval", NET4(tcp_probe_interval), 1, 4},
    {"ipv4/tcp_limit_output_bytes", NET4(tcp_limit_output_bytes), 1, 4},
    {"ipv4/tcp_challenge_ack_limit", NET4(tcp_challenge_ack_limit), 1, 4},
    {"ipv4/tcp_invalid_ratelimit", NET4(tcp_invalid_ratelimit), 1, 4},
    {"ipv4/tcp_slow_start_after_idle", NET4(tcp_slow_start_after_idle), 1, 4},
    {"ipv4/tcp_no_metrics_save", NET4(tcp_no_metrics_save), 1, 4},
    {"ipv4/tcp_no_ssthresh_metrics_save", NET4(tcp_no_ssthresh_metrics_save), 1, 4},
    {"ipv4/tcp_autocorking", NET4(tcp_autocorking), 1, 4},
    {"ipv4/tcp_early_retrans", NET4(tcp_early_retrans), 1, 4},
    {"ipv4/tcp_recovery", NET4(tcp_recovery), 1, 4},
    {"ipv4/tcp_thin_linear_timeouts", NET4(tcp_thin_linear_timeouts), 1, 4},
    {"ipv4/tcp_frto", NET4(tcp_frto), 1, 4},
    {"ipv4/tcp_reordering", NET4(tcp_reordering), 1, 4},
    {"ipv4/tcp_max_reordering", NET4(tcp_max_reordering), 1, 4},
    {"ipv4/tcp_retrans_collapse", NET4(tcp_retrans_collapse), 1, 4},
    {"ipv4/tcp_min_tso_segs", NET4(tcp_min_tso_segs), 1, 4},
    {"ipv4/tcp_tso_win_divisor", NET4(tcp_tso_win_divisor), 1, 4},
    {"ipv4/tcp_tso_rtt_log", NET4(tcp_tso_rtt_log), 1, 4},
    {"ipv4/tcp_pacing_ss_ratio", NET4(tcp_pacing_ss_ratio), 1, 4},
    {"ipv4/tcp_pacing_ca_ratio", NET4(tcp_pacing_ca_ratio), 1, 4},
    {"ipv4/tcp_notsent_lowat", NET4(tcp_notsent_lowat), 1, 4},
    {"ipv4/tcp_workaround_signed_windows", NET4(tcp_workaround_signed_windows), 1, 4},
    {"ipv4/tcp_comp_sack_delay_ns", NET4(tcp_comp_sack_delay_ns), 1, 4},
    {"ipv4/tcp_comp_sack_nr", NET4(tcp_comp_sack_nr), 1, 4},
    {"ipv4/icmp_ratelimit", NET4(icmp_ratelimit), 1, 4},
    {"ipv4/icmp_echo_ignore_all", NET4(icmp_echo_ignore_all), 1, 4},
    {"ipv4/ipfrag_time", NET4(ipfrag_time), 1, 4},
    {"ipv4/ipfrag_max_dist", NET4(ipfrag_max_dist), 1, 4},
    {"ipv4/ipfrag_high_thresh", NET4(ipfrag_high_thresh), 1, 8},
    {"ipv4/neigh/default/base_reachable_time_ms", NET4(neigh_base_reachable_time), 1, 4},
    {"ipv4/neigh/default/retrans_time_ms", NET4(neigh_retrans_time), 1, 4},
    {"ipv4/neigh/default/ucast_solicit", NET4(neigh_ucast_solicit), 1, 4},
    {"ipv4/neigh/default/mcast_solicit", NET4(neigh_mcast_solicit), 1, 4},
    {"ipv4/neigh/default/delay_first_probe_time", NET4(neigh_delay_first_probe_time), 1, 4},
    {"ipv4/neigh/default/unres_qlen_bytes", NET4(neigh_unres_qlen_bytes), 1, 4},
    {"ipv4/neigh/default/mcast_resolicit", NET4(neigh_mcast_resolicit), 1, 4},
    {"ipv4/neigh/default/locktime", NET4(neigh_locktime), 1, 4},
    {"ipv4/neigh/default/gc_thresh1", NET4(neigh_gc_thresh1), 1, 4},
    {"ipv4/neigh/default/gc_thresh2", NET4(neigh_gc_thresh2), 1, 4},
    {"ipv4/neigh/default/gc_thresh3", NET4(neigh_gc_thresh3), 1, 4},
    {"ipv4/conf/all/arp_accept", NET4(arp_accept), 1, 4},
    {"ipv4/conf/all/drop_gratuitous_arp", NET4(drop_gratuitous_arp), 1, 4},
    {"ipv4/neigh/default/gc_stale_time", NET4(neigh_gc_stale_time), 1, 4},
    {"core/dev_weight", NET4(dev_weight), 1, 4},
};

static bool read_sysctl(const char *name, char *buf, size_t len)
{
    char path[128];
    ssize_t n;
    int fd;

    snprintf(path, sizeof(path), "/proc/sys/net/%s", name);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    n = real_read(fd, buf, len - 1);
    real_close(fd);
    if (n <= 0)
        return false;
    buf[n] = 0;
    buf[strcspn(buf, "\n")] = 0;
    return true;
}

/* What the host has and does not allow to everybody; an algorithm that it has not is ours alone, and free. */
static void read_restricted_congestion(char *res, size_t size)
{
    char have[512], allowed[512], *save;
    size_t used = 0;

    if (!read_sysctl("ipv4/tcp_available_congestion_control", have, sizeof(have)) ||
        !read_sysctl("ipv4/tcp_allowed_congestion_control", allowed, sizeof(allowed)))
        return;
    for (char *name = strtok_r(have, " ", &save); name; name = strtok_r(NULL, " ", &save))
        if (!tcp_ca_in_list(allowed, name) && used + strlen(name) + 1 < size)
            used += (size_t)snprintf(res + used, size - used, "%s ", name);
}

/* What a namespace does not show (not all of these exist in every one) keeps Linux's default. */
static void read_sysctls(struct netns_ipv4 *s)
{
    char buf[128], *p;

    for (size_t i = 0; i < ARRAY_SIZE(sysctls); i++) {
        const struct sysctl *c = &sysctls[i];

        if (!read_sysctl(c->path, buf, sizeof(buf)))
            continue;
        p = buf;
        for (int k = 0; k < c->n && *p; k++) {
            char *end;
            long v = strtol(p, &end, 10);

            if (end == p)
                break;
            if (c->size == 8)
                *(long *)((char *)s + c->off + (size_t)k * 8) = v;
            else
                *(int *)((char *)s + c->off + (size_t)k * 4) = (int)v; /* 4294967295 is -1: no limit */
            p = end;
        }
    }
    if (sluice_config.fastopen_key[0])
        s->sysctl_tcp_fastopen_key_len = tcp_fastopen_parse_key(sluice_config.fastopen_key, s->sysctl_tcp_fastopen_key);
    else if (read_sysctl("ipv4/tcp_fastopen_key", buf, sizeof(buf))) /* root's to read */
        s->sysctl_tcp_fastopen_key_len = tcp_fastopen_parse_key(buf, s->sysctl_tcp_fastopen_key);
    if (read_sysctl("ipv4/tcp_congestion_control", buf, sizeof(s->sysctl_tcp_congestion_control)))
        strcpy(s->sysctl_tcp_congestion_control, buf);
    if (sluice_config.congestion[0])
        snprintf(s->sysctl_tcp_congestion_control, sizeof(s->sysctl_tcp_congestion_control), "%.15s",
                 sluice_config.congestion);
    read_restricted_congestion(s->sysctl_tcp_restricted_congestion_control,
                               sizeof(s->sysctl_tcp_restricted_congestion_control));
    s->sysctl_tcp_hystart = sluice_config.hystart;
}

/* ---- devices ------------------------------------------------------------------------------------------------------- */

static bool dev_allowed(const char *name)
{
    const char *p = sluice_config.dev;
    size_t n = strlen(name);

    if (!*p)
        return true;
    while (*p) {
        size_t len = strcspn(p, ",");

        if (len == n && !memcmp(p, name, n))
            return true;
        p += len;
        p += *p == ',';
    }
    return false;
}

#define PROBE_MS 60 /* in which a host on the link answers, though the RFC would wait for seconds */

/* Role: has another host the address (RFC 5227)? Two probes; what answers is received here. rt.lock held. */
static bool address_is_taken(struct net_device *dev, __be32 addr)
{
    for (int ms = 0; ms < PROBE_MS && !arp_probe_conflict(live_net); ms += 5) {
        const struct timespec t = {.tv_nsec = 5 * NSEC_PER_MSEC};

        if (ms % (PROBE_MS / 2) == 0)
            arp_probe(dev, addr);
        nanosleep(&t, NULL);
        net_tick(live_net);
        net_poll(live_net, 64);
    }
    return arp_probe_conflict(live_net);
}

static bool host_has_address(__be32 addr)
{
    struct flowi4 fl = {.daddr = addr, .proto = IPPROTO_TCP};
    struct fib_result res;

    return !rtnl_route_ops.lookup(live_net, &fl, &res) && res.type == RTN_LOCAL_;
}

static int add_own_address(struct net_device *dev, const char **why)
{
    char addr[OPTION_TEXT_MAX];
    struct in_addr in, gw;
    int plen, r;
    char *slash;

    snprintf(addr, sizeof(addr), "%s", sluice_config.address);
    slash = strchr(addr, '/');
    if (!slash)
        return -EINVAL;
    *slash = 0;
    plen = atoi(slash + 1);
    inet_pton(AF_INET, addr, &in);
    if (host_has_address(in.s_addr)) {
        *why = "option address: this host has the address already; without the option the stack shares the host's";
        return -EADDRINUSE;
    }
    r = af_xdp_own_address(dev, in.s_addr, plen); /* every frame to it is ours from now on */
    if (!r)
        r = fib_add_route(live_net, in.s_addr & (plen ? htonl(~0u << (32 - plen)) : 0), plen, 0, dev->ifindex, 0, 0);
    if (!r && sluice_config.gateway[0] && inet_pton(AF_INET, sluice_config.gateway, &gw) == 1)
        r = fib_add_route(live_net, 0, 0, gw.s_addr, dev->ifindex, 0, 0);
    if (r && r != -EEXIST) {
        *why = "the address of the stack's own could not be added to the interface";
        return r;
    }
    if (address_is_taken(dev, in.s_addr)) {
        *why = "option address: another host on the link has this address";
        return -EADDRINUSE;
    }
    arp_announce(dev, in.s_addr); /* RFC 5227 2.3: who has the address from an earlier run forgets that */
    return 0;
}

static struct net_device *wrap(struct net_device *dev)
{
    const struct option_fault *o = &sluice_config.fault;
    struct net_device *top = dev, *w;

    if (o->loss_ppm | o->reorder_ppm | o->dup_ppm | o->corrupt_ppm) {
        struct fault_config f = {o->loss_ppm, o->dup_ppm, o->reorder_ppm, o->corrupt_ppm, 0, true, true, o->seed};

        w = fault_wrap(top, &f);
        if (w)
            top = w;
        else
            shim_warn("%s: the fault device could not be made; traffic is not spoilt", dev->name);
    }
    if (rt.pcap) {
        w = pcap_wrap(top, rt.pcap);
        if (w)
            top = w;
        else
            shim_warn("%s: the capture device could not be made; nothing of it is captured", dev->name);
    }
    return top;
}

/* The option `qdisc`, on the device that is in the list. 0, or -errno with a sentence in why. */
static int set_qdisc(struct net_device *dev, char *why, size_t len)
{
    static const struct Qdisc_ops *const ops[] = {&pfifo_fast_ops, &fq_ops, &tbf_ops}; /* as enum qdisc_kind */
    const u32 frame = READ_ONCE(dev->mtu) + dev->hard_header_len;
    struct qdisc_option o;
    int r;

    if (!sluice_config.qdisc[0] || qdisc_option_parse(sluice_config.qdisc, &o))
        return 0; /* (config_init() has refused what is wrong) */
    if (o.kind == QDISC_TBF && o.burst < frame) {
        snprintf(why, len, "option qdisc: the burst of %u bytes is less than a frame of %s, %u bytes, which could never leave",
                 o.burst, dev->name, frame);
        return -EINVAL;
    }
    r = dev_graft_qdisc(dev, ops[o.kind]);
    if (!r && o.kind == QDISC_TBF)
        r = tbf_change(dev->qdisc, o.rate, o.burst, o.limit);
    else if (!r && o.kind == QDISC_FQ)
        r = fq_change(dev->qdisc, &(struct fq_opt){o.rate, o.limit, o.flow_limit, o.quantum, o.initial_quantum});
    else if (!r && o.limit)
        r = pfifo_fast_change(dev->qdisc, o.limit);
    if (r)
        snprintf(why, len, "the queueing discipline of %s could not be made: %s", dev->name, strerror(-r));
    return r;
}

/* rt.lock held. */
static int open_dev(int ifindex, struct net_device **res, const char **why)
{
    char name[IF_NAMESIZE] = "";
    struct opened *o = NULL;
    struct net_device *dev = NULL;
    int r;

    for (int i = 0; i < rt.nopened; i++)
        if (rt.opened[i].ifindex == ifindex)
            o = &rt.opened[i];
    if (o && o->dev) {
        *res = o->dev;
        return 0;
    }
    if (o && clock_ns_now() - o->tried < NSEC_PER_SEC) { /* the reason will not have gone away yet */
        *why = o->why;
        return -ENODEV;
    }
    if (!o) {
        if (rt.nopened == ARRAY_SIZE(rt.opened)) {
            *why = "there are more interfaces than sluice can serve";
            return -ENODEV;
        }
        o = &rt.opened[rt.nopened++];
        *o = (struct opened){.ifindex = ifindex};
    }
    o->tried = clock_ns_now();
    if (!if_indextoname(ifindex, name)) {
        if (ifindex)
            snprintf(o->why, sizeof(o->why), "the interface with index %d is gone", ifindex);
        else
            snprintf(o->why, sizeof(o->why), "option dev: there is no interface '%.100s'", sluice_config.dev);
        *why = o->why;
        return -ENODEV;
    }
    if (!dev_allowed(name)) {
        snprintf(o->why, sizeof(o->why), "%s: not in the option dev=%.100s", name, sluice_config.dev);
        *why = o->why;
        return -ENODEV;
    }
    *why = "the interface cannot be opened";
    r = af_xdp_open(live_net, ifindex, &dev, why);
    protect_all();
    if (r) {
        snprintf(o->why, sizeof(o->why), "%s", *why);
        *why = o->why;
        return r;
    }
    dev = wrap(dev);
    r = set_qdisc(dev, o->why, sizeof(o->why));
    if (r) {
        af_xdp_close(dev);
        *why = o->why;
        return r;
    }
    if (rt.own_addr && (r = add_own_address(dev, why))) {
        snprintf(o->why, sizeof(o->why), "%s", *why);
        *why = o->why;
        af_xdp_close(dev);
        return r;
    }
    o->dev = dev;
    *res = o->dev;
    backstop_kick(); /* if it sleeps, then on the devices that there were */
    return 0;
}

int runtime_open_dev(int ifindex, struct net_device **dev, const char **why)
{
    int r, filled;

    pthread_mutex_lock(&rt.lock);
    filled = fill_std_fds();
    r = open_dev(ifindex, dev, why);
    free_std_fds(filled);
    pthread_mutex_unlock(&rt.lock);
    return r;
}

struct open_all {
    int n;
    const char *why;
};

static void open_link(const struct rtnl_link *l, void *arg)
{
    struct open_all *a = arg;
    struct net_device *dev;

    if (!dev_allowed(l->name))
        return;
    if (!open_dev(l->ifindex, &dev, &a->why))
        a->n++;
}

int runtime_open_all(const char **why)
{
    struct open_all a = {.why = "no interface is up with an IPv4 address"};
    int filled;

    pthread_mutex_lock(&rt.lock);
    filled = fill_std_fds();
    if (rt.own_addr) {
        char names[OPTION_TEXT_MAX], *save = NULL;
        struct net_device *dev;

        a.why = "an address of the stack's own needs the option dev";
        snprintf(names, sizeof(names), "%s", sluice_config.dev);
        for (char *n = strtok_r(names, ",", &save); n; n = strtok_r(NULL, ",", &save))
            if (!open_dev((int)if_nametoindex(n), &dev, &a.why))
                a.n++;
    } else {
        rtnl_for_each_link(live_net, open_link, &a);
    }
    free_std_fds(filled);
    pthread_mutex_unlock(&rt.lock);
    *why = a.why;
    return a.n;
}

__be32 runtime_own_address(void) { return rt.own_addr; }

/* ---- start ----------------------------------------------------------------------------------------------------------- */

static void open_pcap(void)
{
    char path[OPTION_PATH_MAX + 16];

    if (!sluice_config.pcap[0])
        return;
    if (!config_expand_path(sluice_config.pcap, path, sizeof(path)))
        rt.pcap = pcap_open(path);
    if (!rt.pcap)
        shim_err("%s cannot be written (%s): nothing is captured", path, strerror(errno));
}

bool runtime_capable(struct net *net, int cap)
{
    struct __user_cap_header_struct h = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct d[2] = {0};

    return raw_syscall4(SYS_capget, &h, d, 0, 0) == 0 && (d[cap / 32].effective & 1u << cap % 32);
}

/* What opening AF_XDP sockets, attaching programs and reserving ports take. */
static bool privileged(void) { return runtime_capable(NULL, CAP_NET_ADMIN) && runtime_capable(NULL, CAP_NET_RAW); }

static int add_rule(void *net, const struct nf_rule *rule) { return nf_add_rule(net, rule); }

/* rt.lock held, std descriptors filled. 0 or -errno with rt.why. */
static int start(void)
{
    struct af_xdp_config cfg = {
        .mode = (enum xdp_bind_mode)sluice_config.mode,
        .umem_frames = sluice_config.umem,
        .ring_size = sluice_config.ring,
        .lane = sluice_config.lane == CFG_LANE_AUTO ? -1 : sluice_config.lane == CFG_LANE_ON,
        .lane_min_segs = sluice_config.lane_min_segs,
        .own_address = sluice_config.address[0] != 0,
    };
    const char *why = "out of memory";
    struct net *net;
    struct in_addr in;
    char addr[OPTION_TEXT_MAX];
    int r;

    if (!privileged()) {
        snprintf(rt.why, sizeof(rt.why), "the process has not the privilege to open AF_XDP sockets "
                 "(CAP_NET_ADMIN, CAP_NET_RAW and CAP_BPF; run it as root)");
        return -EPERM;
    }
    if (sluice_config.firewall == CFG_FIREWALL_REFUSE && !sluice_config.filter[0] && host_has_filter_rules(rt.why, sizeof(rt.why)))
        return -EPERM;
    inet_init();
    net = net_alloc(&live_net_ops, NULL);
    if (!net) {
        snprintf(rt.why, sizeof(rt.why), "there is no memory for the stack");
        return -ENOMEM;
    }
    read_sysctls(&net->ipv4);
    tcp_fastopen_init_key(tcp_net_fastopen(net), net);
    net_tick(net);
    r = sluice_config.filter[0] ? filter_load(sluice_config.filter, add_rule, net, rt.why, sizeof(rt.why)) : 0;
    if (r)
        goto err_net;
    r = rtnl_init(net);
    if (r) {
        snprintf(rt.why, sizeof(rt.why), "routes cannot be read from the kernel over rtnetlink: %s", strerror(-r));
        goto err_net;
    }
    r = af_xdp_init(net, &cfg, &why);
    if (r) {
        snprintf(rt.why, sizeof(rt.why), "%s", why);
        goto err_rtnl;
    }
    if (cfg.own_address) {
        snprintf(addr, sizeof(addr), "%s", sluice_config.address);
        addr[strcspn(addr, "/")] = 0;
        if (inet_pton(AF_INET, addr, &in) == 1)
            rt.own_addr = in.s_addr;
    } else {
        net->route_ops = &rtnl_route_ops;
    }
    net->steer_ops = &af_xdp_steer_ops;
    open_pcap();
    trace_start();
    live_net = net;
    protect_all();
    backstop_start();
    fork_init();
    __atomic_store_n(&stack_active, 1, __ATOMIC_RELEASE);
    stats_start();
    return 0;
err_rtnl:
    rtnl_exit(net);
err_net:
    net_free(net);
    return r;
}

int runtime_start(const char **why)
{
    int r, filled;

    if (likely(stack_active) && !shim_exiting)
        return 0;
    if (shim_exiting) {
        *why = "the program is ending";
        return -ESHUTDOWN;
    }
    pthread_mutex_lock(&rt.lock);
    if (!rt.result) {
        sigdefer_start();
        filled = fill_std_fds();
        r = start();
        free_std_fds(filled);
        rt.result = r ? r : 1;
    }
    r = rt.result;
    *why = rt.why;
    pthread_mutex_unlock(&rt.lock);
    return r < 0 ? r : 0;
}

/* ---- fork -------------------------------------------------------------------------------------------------------------- */

void runtime_before_fork(void)
{
    SHIM_ENTER(); /* a handler must not run between the locks */
    pthread_mutex_lock(&rt.lock);
    epoll_lock_for_fork();
    file_lock_for_fork();
}

void runtime_after_fork_parent(void)
{
    file_unlock_after_fork(false);
    epoll_unlock_after_fork(false);
    pthread_mutex_unlock(&rt.lock);
    SHIM_EXIT();
}

static void unprotect_cb(int fd, void *arg)
{
    if (fd >= 0)
        private_close(fd);
}

void runtime_forget_in_child(void)
{
    struct net *net = live_net;

    file_unlock_after_fork(true);
    epoll_unlock_after_fork(true);
    pthread_mutex_init(&rt.lock, NULL);
    if (net) {
        int pcap = rt.pcap ? pcap_fd(rt.pcap) : -1;

        stack_active = 0;
        waiter_forget_in_child();
        af_xdp_for_each_fd(net, unprotect_cb, NULL);
        rtnl_for_each_fd(net, unprotect_cb, NULL);
        unprotect_cb(pcap, NULL);
        af_xdp_forget(net);
        rtnl_forget(net);
        live_net = NULL; /* the parent's memory: nothing in it may be freed or used */
        rt.pcap = NULL;
        rt.nopened = 0;
        rt.own_addr = 0;
        rt.result = 0;
    }
    if (strstr(sluice_config.log_file, "%p")) /* one for each process */
        private_close(atomic_exchange(&log_fd, -1));
    SHIM_EXIT();
}

/* ---- loading ------------------------------------------------------------------------------------------------------------- */

/* First of all constructors (-z initfirst). Nothing is opened, no thread is made, nothing is allocated. */
__attribute__((constructor)) static void shim_load(int argc, char **argv, char **envp)
{
    int saved = errno;

    SHIM_ENTER();
    libc_resolve_all();
    config_init(envp);
    SHIM_EXIT();
    errno = saved;
}
