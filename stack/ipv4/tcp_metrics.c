/* SPDX-License-Identifier: MIT */
/* The metrics table (RFC 9040): by pair of addresses, a fixed number of buckets with a few entries each, the
 * oldest of which makes room; so a scan cannot make it grow. Entries are void after an hour. */

#include "tcp_metrics.h"
#include "../core/dst.h"
#include "tcp_output.h"

#define METRICS_BUCKETS 256u
#define METRICS_DEPTH 5
#define METRICS_TIMEOUT (3600 * NSEC_PER_SEC)

struct tcp_metrics_block {
    __be32 saddr, daddr; /* daddr 0: free */
    u64 stamp;           /* ns, last written */
    struct tcp_metrics m;
    u16 mss, syn_loss, try_exp;
    struct tcp_fastopen_cookie cookie;
};
struct tcp_metrics_table {
    spinlock_t lock; /* all entries; nests in a socket's slock, nothing nests in it */
    u32 count;
    struct tcp_metrics_block *bucket[METRICS_BUCKETS]; /* METRICS_DEPTH each, NULL until used */
};

struct tcp_metrics_table *tcp_metrics_alloc(void)
{
    struct tcp_metrics_table *t = calloc(1, sizeof(*t));

    if (t)
        spin_lock_init(&t->lock);
    return t;
}

void tcp_metrics_free(struct tcp_metrics_table *t)
{
    if (!t)
        return;
    for (u32 i = 0; i < METRICS_BUCKETS; i++)
        free(t->bucket[i]);
    spin_lock_destroy(&t->lock);
    free(t);
}

static u32 tcp_metrics_hash(__be32 saddr, __be32 daddr)
{
    u32 h = (daddr ^ (saddr * 0x85ebca6bu)) * 0x9e3779b1u;

    return h >> 24 & (METRICS_BUCKETS - 1);
}

/* The entry of the pair; NULL: there is none. create: in the place of a free or the oldest one. Lock held. */
static struct tcp_metrics_block *tcp_get_metrics(struct net *net, __be32 saddr, __be32 daddr, bool create)
{
    struct tcp_metrics_table *t = tcp_net_metrics(net);
    struct tcp_metrics_block **bucket = &t->bucket[tcp_metrics_hash(saddr, daddr)], *b = *bucket, *victim = b;
    u64 now = net_now(net);

    for (int i = 0; b && i < METRICS_DEPTH; i++) {
        if (b[i].daddr == daddr && b[i].saddr == saddr) {
            if (now - b[i].stamp < METRICS_TIMEOUT)
                return &b[i];
            b[i].daddr = 0;
            t->count--;
        }
        if (!b[i].daddr || (victim->daddr && b[i].stamp < victim->stamp))
            victim = &b[i];
    }
    if (!create || !daddr)
        return NULL;
    if (!b)
        victim = *bucket = calloc(METRICS_DEPTH, sizeof(*b));
    if (!victim)
        return NULL;
    if (!victim->daddr)
        t->count++;
    *victim = (struct tcp_metrics_block){.saddr = saddr, .daddr = daddr, .stamp = now};
    return victim;
}

static struct tcp_metrics_block *tcp_sk_metrics(struct sock *sk, bool create)
{
    return tcp_get_metrics(sock_net(sk), inet_sk(sk)->inet_saddr, inet_sk(sk)->inet_daddr, create);
}

bool tcp_metrics_lookup(struct net *net, __be32 saddr, __be32 daddr, struct tcp_metrics *m)
{
    struct tcp_metrics_table *t = tcp_net_metrics(net);
    const struct tcp_metrics_block *b;

    *m = (struct tcp_metrics){0};
    spin_lock(&t->lock);
    b = tcp_get_metrics(net, saddr, daddr, false);
    if (b)
        *m = b->m;
    spin_unlock(&t->lock);
    return b != NULL;
}

bool tcp_peer_is_proven(struct net *net, __be32 saddr, __be32 daddr)
{
    struct tcp_metrics m;

    return tcp_metrics_lookup(net, saddr, daddr, &m) && m.rtt_us;
}

u32 tcp_metrics_count(struct net *net)
{
    struct tcp_metrics_table *t = tcp_net_metrics(net);
    u32 n;

    spin_lock(&t->lock);
    n = t->count;
    spin_unlock(&t->lock);
    return n;
}

/* ---- written when a connection ends ----------------------------------------------------------------------------- */

/* A longer RTT is taken at once, a shorter one slowly: overestimating is the safe side. */
static void tcp_metrics_rtt(struct tcp_metrics *m, const struct tcp_sock *tp)
{
    s32 d = (s32)(m->rtt_us - tp->srtt_us);
    u32 dev;

    m->rtt_us = d <= 0 ? tp->srtt_us : m->rtt_us - (u32)(d >> 3);
    dev = max((u32)(d < 0 ? -d : d) >> 1, tp->mdev_us);
    m->rttvar_us = dev >= m->rttvar_us ? dev : m->rttvar_us - ((m->rttvar_us - dev) >> 2);
}

static void tcp_metrics_window(struct tcp_metrics *m, const struct sock *sk)
{
    const bool no_ssthresh = sock_net(sk)->ipv4.sysctl_tcp_no_ssthresh_metrics_save;
    const struct tcp_sock *tp = tcp_sk(sk);
    const u32 cwnd = tcp_snd_cwnd(tp);

    if (tcp_in_initial_slowstart(tp)) { /* slow start was not over */
        if (!no_ssthresh && m->ssthresh && (cwnd >> 1) > m->ssthresh)
            m->ssthresh = cwnd >> 1;
        m->cwnd = max(m->cwnd, cwnd);
    } else if (!tcp_in_slow_start(tp) && inet_csk(sk)->icsk_ca_state == TCP_CA_Open) { /* the window is reliable */
        if (!no_ssthresh)
            m->ssthresh = max(cwnd >> 1, tp->snd_ssthresh);
        m->cwnd = m->cwnd ? (m->cwnd + cwnd) >> 1 : cwnd;
    } else { /* after a loss: the window says nothing, ssthresh may */
        m->cwnd = m->cwnd ? (m->cwnd + tp->snd_ssthresh) >> 1 : tp->snd_ssthresh;
        if (!no_ssthresh && m->ssthresh && tp->snd_ssthresh > m->ssthresh)
            m->ssthresh = tp->snd_ssthresh;
    }
}

/* Role: keep what the connection learned. Socket lock held. */
void tcp_update_metrics(struct sock *sk)
{
    const struct tcp_sock *tp = tcp_sk(sk);
    struct net *net = sock_net(sk);
    struct tcp_metrics_table *t = tcp_net_metrics(net);
    struct tcp_metrics_block *b;
    bool no_rtt = inet_csk(sk)->icsk_backoff || !tp->srtt_us;

    sk_dst_confirm(sk);
    if (net->ipv4.sysctl_tcp_no_metrics_save || !__sk_dst_check(sk))
        return;
    spin_lock(&t->lock);
    b = tcp_sk_metrics(sk, !no_rtt);
    if (b && no_rtt) {
        b->m.rtt_us = 0; /* the network behaved badly: what was known is void */
    } else if (b) {
        tcp_metrics_rtt(&b->m, tp);
        tcp_metrics_window(&b->m, sk);
        if (b->m.reordering < tp->reordering && tp->reordering != (u32)net->ipv4.sysctl_tcp_reordering)
            b->m.reordering = tp->reordering;
        b->stamp = net_now(net);
    }
    spin_unlock(&t->lock);
}

/* ---- read when one begins --------------------------------------------------------------------------------------------- */

/* The RTO to begin with: from what is known of the path when that is longer than the handshake's round trip; and when
 * that estimate was lost with a retransmitted SYN, the careful one (RFC 6298 5.7). */
void tcp_init_metrics(struct sock *sk)
{
    struct inet_connection_sock *icsk = inet_csk(sk);
    const struct dst_entry *dst = __sk_dst_check(sk);
    struct tcp_sock *tp = tcp_sk(sk);
    struct tcp_metrics m = {0};
    u64 rtt_ns;

    sk_dst_confirm(sk);
    tp->snd_ssthresh = TCP_INFINITE_SSTHRESH; /* a lost SYN may have lowered it */
    if (dst)
        tcp_metrics_lookup(sock_net(sk), inet_sk(sk)->inet_saddr, inet_sk(sk)->inet_daddr, &m);
    if (m.ssthresh && !sock_net(sk)->ipv4.sysctl_tcp_no_ssthresh_metrics_save)
        tp->snd_ssthresh = min(m.ssthresh, tp->snd_cwnd_clamp);
    if (m.reordering)
        tp->reordering = m.reordering;
    rtt_ns = m.rtt_us ? (u64)(m.rtt_us >> 3) * NSEC_PER_USEC : dst ? READ_ONCE(dst->rtt_ns) : 0;
    if (rtt_ns > (u64)(tp->srtt_us >> 3) * NSEC_PER_USEC) {
        icsk->icsk_rto = min(rtt_ns + max(2 * rtt_ns, icsk->icsk_rto_min), icsk->icsk_rto_max);
    } else if (!tp->srtt_us) {
        tp->rttvar_us = (u32)(TCP_TIMEOUT_FALLBACK / NSEC_PER_USEC);
        tp->mdev_us = tp->mdev_max_us = tp->rttvar_us;
        icsk->icsk_rto = TCP_TIMEOUT_FALLBACK;
    }
}

/* ---- fast open (RFC 7413 4.1.3) ------------------------------------------------------------------------------------------ */

void tcp_fastopen_cache_get(struct sock *sk, u16 *mss, struct tcp_fastopen_cookie *cookie)
{
    struct tcp_metrics_table *t = tcp_net_metrics(sock_net(sk));
    const struct tcp_metrics_block *b;

    *cookie = (struct tcp_fastopen_cookie){.len = 0};
    spin_lock(&t->lock);
    b = tcp_sk_metrics(sk, false);
    if (b) {
        if (b->mss)
            *mss = b->mss;
        *cookie = b->cookie;
        if (cookie->len <= 0 && b->try_exp == 1)
            cookie->exp = true;
    }
    spin_unlock(&t->lock);
}

void tcp_fastopen_cache_set(struct sock *sk, u16 mss, const struct tcp_fastopen_cookie *cookie, bool syn_lost,
                            u16 try_exp)
{
    struct tcp_metrics_table *t = tcp_net_metrics(sock_net(sk));
    struct tcp_metrics_block *b;

    spin_lock(&t->lock);
    b = tcp_sk_metrics(sk, true);
    if (b) {
        b->stamp = net_now(sock_net(sk));
        if (mss)
            b->mss = mss;
        if (cookie->len > 0)
            b->cookie = *cookie;
        else if (try_exp > b->try_exp && b->cookie.len <= 0 && !b->cookie.exp)
            b->try_exp = try_exp;
        b->syn_loss = syn_lost ? (u16)(b->syn_loss + 1) : 0;
    }
    spin_unlock(&t->lock);
}
