// SPDX-License-Identifier: MIT
/* TCP's timers (RFC 9293 3.8, RFC 6298, RFC 1122 4.2.3): retransmission, zero-window probe, delayed ACK,
 * keepalive (with FIN_WAIT2 and SYN-ACK use of sk_timer), pacing, compressed ACK.
 *
 * Each runs under the socket's slock. When a thread owns the socket the work is noted in tsq_flags and
 * done by tcp_release_cb(), with the reference that the timer held. */

#include "tcp_fastopen.h"

/* Linear-backoff model of RFC 1122 4.2.3.5: how long `boundary` retransmissions take from rto_base. */
static u64 tcp_model_timeout(struct sock *sk, unsigned int boundary, u64 rto_base)
{
    unsigned int linear_backoff_thresh = 0;
    u64 rto_max = inet_csk(sk)->icsk_rto_max;

    for (u64 t = rto_max / rto_base; t > 1; t >>= 1)
        linear_backoff_thresh++;
    if (boundary <= linear_backoff_thresh)
        return ((2ull << boundary) - 1) * rto_base;
    return ((2ull << linear_backoff_thresh) - 1) * rto_base + (boundary - linear_backoff_thresh) * rto_max;
}

static u64 tcp_clamp_rto_to_user_timeout(const struct sock *sk)
{
    const struct inet_connection_sock *icsk = inet_csk(sk);
    u32 user_timeout = READ_ONCE(icsk->icsk_user_timeout);
    u32 start_ts = tcp_sk(sk)->retrans_stamp;
    s32 remaining;

    if (!user_timeout)
        return icsk->icsk_rto;
    remaining = (s32)user_timeout - (s32)(tcp_time_stamp_ts(tcp_sk(sk)) - start_ts);
    if (remaining <= 0)
        return NSEC_PER_MSEC; /* user time-out has passed; fire ASAP */
    return min(icsk->icsk_rto, (u64)remaining * NSEC_PER_MSEC);
}

static u64 tcp_clamp_probe0_to_user_timeout(const struct sock *sk, u64 when)
{
    const struct inet_connection_sock *icsk = inet_csk(sk);
    u32 user_timeout = READ_ONCE(icsk->icsk_user_timeout);
    u64 elapsed, limit = (u64)user_timeout * NSEC_PER_MSEC;

    if (!user_timeout || !icsk->icsk_probes_tstamp)
        return when;
    elapsed = tcp_clock_ns(sk) - icsk->icsk_probes_tstamp;
    if (elapsed >= limit)
        return NSEC_PER_MSEC;
    return min(when, max(limit - elapsed, (u64)TCP_TIMEOUT_MIN));
}

/* Has the time for `boundary` retransmissions (or `timeout` ms when not 0) passed since the first one? */
static bool retransmits_timed_out(struct sock *sk, unsigned int boundary, u32 timeout_ms)
{
    struct tcp_sock *tp = tcp_sk(sk);

    if (!inet_csk(sk)->icsk_retransmits)
        return false;
    if (!timeout_ms) {
        u64 rto_base = TCP_RTO_MIN;
        if (TCPF(sk->sk_state) & (TCPF_SYN_SENT | TCPF_SYN_RECV))
            rto_base = TCP_TIMEOUT_INIT;
        timeout_ms = (u32)(tcp_model_timeout(sk, boundary, rto_base) / NSEC_PER_MSEC);
    }
    return (s32)(tcp_time_stamp_ts(tp) - tp->retrans_stamp - timeout_ms) >= 0;
}

void tcp_write_err(struct sock *sk)
{
    WRITE_ONCE(sk->sk_err, sk->sk_err_soft ? sk->sk_err_soft : ETIMEDOUT);
    sk->sk_error_report(sk);
    tcp_write_queue_purge(sk);
    tcp_done(sk);
    NET_INC_STATS(sock_net(sk), LINUX_MIB_TCPABORTONTIMEOUT);
}

/* Orphans may not hold memory for long: kill one when there are too many or memory is short. 1: killed. */
static int tcp_out_of_resources(struct sock *sk, bool do_reset)
{
    struct tcp_sock *tp = tcp_sk(sk);
    u64 idle = tcp_clock_ns(sk) - tp->lsndtime;
    int shift = 0;

    /* One that could send nothing for long counts twice, and twice again after an ICMP error. */
    if (idle > 2 * inet_csk(sk)->icsk_rto_max || !do_reset)
        shift++;
    if (sk->sk_err_soft)
        shift++;
    if (!tcp_check_oom(sk, shift))
        return 0;
    /* Catch exceptional cases, when the connection requires a reset: it may be window-probing still. */
    if (idle <= TCP_TIMEWAIT_LEN || (!tp->snd_wnd && !tp->packets_out))
        do_reset = true;
    if (do_reset)
        tcp_send_active_reset(sk);
    tcp_done(sk);
    NET_INC_STATS(sock_net(sk), LINUX_MIB_TCPABORTONMEMORY);
    return 1;
}

static int tcp_orphan_retries(struct sock *sk, bool alive)
{
    int retries = sock_net(sk)->ipv4.sysctl_tcp_orphan_retries;

    if (sk->sk_err_soft && !alive)
        retries = 0; /* an ICMP said that the path is dead: nobody waits for it */
    if (retries == 0 && alive)
        retries = 8; /* about 100 s: the far end still acknowledges, so do not give up soon */
    return retries;
}

/* Packetisation-layer path MTU discovery when black-holed (RFC 4821 7.6). */
static void tcp_mtu_probing(struct inet_connection_sock *icsk, struct sock *sk)
{
    const struct net *net = sock_net(sk);
    int mss;

    if (!net->ipv4.sysctl_tcp_mtu_probing)
        return;
    if (!icsk->icsk_mtup.enabled) {
        icsk->icsk_mtup.enabled = 1;
        icsk->icsk_mtup.probe_timestamp = tcp_clock_ns(sk);
    } else {
        mss = tcp_mtu_to_mss(sk, icsk->icsk_mtup.search_low) >> 1;
        mss = min(net->ipv4.sysctl_tcp_base_mss, mss);
        mss = max(mss, net->ipv4.sysctl_tcp_mtu_probe_floor);
        mss = max(mss, net->ipv4.sysctl_tcp_min_snd_mss);
        icsk->icsk_mtup.search_low = tcp_mss_to_mtu(sk, mss);
    }
    tcp_sync_mss(sk, icsk->icsk_pmtu_cookie);
}

/* Too many retransmissions? Returns true when the connection was ended. */
static bool tcp_write_timeout(struct sock *sk)
{
    struct inet_connection_sock *icsk = inet_csk(sk);
    struct net *net = sock_net(sk);
    bool expired = false;
    int retry_until;

    if (TCPF(sk->sk_state) & (TCPF_SYN_SENT | TCPF_SYN_RECV)) {
        retry_until = icsk->icsk_syn_retries ? icsk->icsk_syn_retries : net->ipv4.sysctl_tcp_syn_retries;
        expired = icsk->icsk_retransmits >=
                  retry_until + (sk->sk_state == TCP_SYN_SENT ? net->ipv4.sysctl_tcp_syn_linear_timeouts : 0);
    } else {
        if (retransmits_timed_out(sk, net->ipv4.sysctl_tcp_retries1, 0))
            tcp_mtu_probing(icsk, sk);
        retry_until = net->ipv4.sysctl_tcp_retries2;
        if (sock_flag(sk, SOCK_DEAD)) {
            const bool alive = icsk->icsk_rto < icsk->icsk_rto_max;

            retry_until = tcp_orphan_retries(sk, alive);
            if (tcp_out_of_resources(sk, alive || !retransmits_timed_out(sk, retry_until, 0)))
                return true;
        }
    }
    if (!expired)
        expired = retransmits_timed_out(sk, retry_until, icsk->icsk_user_timeout);
    tcp_fastopen_active_detect_blackhole(sk, expired);
    if (expired) {
        tcp_write_err(sk);
        return true;
    }
    if (sk_rethink_txhash(sk)) {
        tcp_sk(sk)->timeout_rehash++;
        NET_INC_STATS(net, LINUX_MIB_TCPTIMEOUTREHASH);
    }
    return false;
}

/* Zero-window probe (RFC 9293 3.8.6.1). */
static void tcp_probe_timer(struct sock *sk)
{
    struct inet_connection_sock *icsk = inet_csk(sk);
    struct sk_buff *skb = tcp_send_head(sk);
    struct tcp_sock *tp = tcp_sk(sk);
    int max_probes;

    if (tp->packets_out || !skb) {
        icsk->icsk_probes_out = 0;
        icsk->icsk_probes_tstamp = 0;
        return;
    }
    /* RFC 1122 4.2.2.17: keep the connection open as long as the peer answers; user time-out limits it. */
    if (!icsk->icsk_probes_tstamp) {
        icsk->icsk_probes_tstamp = tcp_clock_ns(sk);
    } else if (icsk->icsk_user_timeout &&
               tcp_clock_ns(sk) - icsk->icsk_probes_tstamp >= (u64)icsk->icsk_user_timeout * NSEC_PER_MSEC) {
        tcp_write_err(sk);
        return;
    }
    max_probes = sock_net(sk)->ipv4.sysctl_tcp_retries2;
    if (sock_flag(sk, SOCK_DEAD)) {
        const bool alive = (icsk->icsk_rto << icsk->icsk_backoff) < icsk->icsk_rto_max;

        max_probes = tcp_orphan_retries(sk, alive);
        if (!alive && icsk->icsk_backoff >= max_probes) {
            tcp_write_err(sk);
            return;
        }
        if (tcp_out_of_resources(sk, true))
            return;
    }
    if (icsk->icsk_probes_out >= max_probes)
        tcp_write_err(sk);
    else
        tcp_send_probe0(sk);
}

void tcp_update_rto_stats(struct sock *sk)
{
    struct tcp_sock *tp = tcp_sk(sk);

    if (!inet_csk(sk)->icsk_retransmits) {
        tp->total_rto_recoveries++;
        tp->rto_stamp = tcp_ms_now(sk);
    }
    inet_csk(sk)->icsk_retransmits++;
    tp->total_rto++;
}

/* Retransmissions into a window that the peer closed over data in flight: given up when neither an ACK nor progress
 * came for twice the longest RTO; TCP_USER_TIMEOUT counts from the first, answered or not. */
static bool tcp_rtx_probe0_timed_out(const struct sock *sk, const struct sk_buff *skb)
{
    const struct inet_connection_sock *icsk = inet_csk(sk);
    const struct tcp_sock *tp = tcp_sk(sk);
    u64 limit = 2 * icsk->icsk_rto_max / NSEC_PER_MSEC;
    u32 begin = tp->retrans_stamp ? tp->retrans_stamp : (u32)(tcp_skb_timestamp_us(skb) / 1000);
    u32 rtx_delta = tcp_time_stamp_ts(tp) - begin, user_timeout = READ_ONCE(icsk->icsk_user_timeout);

    if (user_timeout && rtx_delta > user_timeout)
        return true;
    if (user_timeout)
        limit = min(limit, (u64)user_timeout);
    return tcp_clock_ns(sk) - tp->rcv_tstamp > limit * NSEC_PER_MSEC && rtx_delta > limit;
}

/* RTO expired (RFC 6298 5.4-5.7). */
void tcp_retransmit_timer(struct sock *sk)
{
    struct tcp_sock *tp = tcp_sk(sk);
    struct inet_connection_sock *icsk = inet_csk(sk);
    struct net *net = sock_net(sk);
    struct sk_buff *skb;

    if (tp->fastopen_rsk) { /* nothing but the SYN-ACK is sent again until it is acknowledged */
        tcp_fastopen_synack_timer(sk, tp->fastopen_rsk);
        return;
    }
    if (!tp->packets_out)
        return;
    skb = tcp_rtx_queue_head(sk);
    if (!skb)
        return;
    if (!tp->snd_wnd && !sock_flag(sk, SOCK_DEAD) &&
        !(TCPF(sk->sk_state) & (TCPF_SYN_SENT | TCPF_SYN_RECV))) {
        /* The peer shrank its window to nothing while data was in flight: the retransmission is a
         * window probe, and the connection ends only when it stays unanswered for long. */
        if (tcp_rtx_probe0_timed_out(sk, skb)) {
            tcp_write_err(sk);
            return;
        }
        tcp_enter_loss(sk);
        tcp_retransmit_skb(sk, skb, 1);
        sk_dst_reset(sk);
        goto out_reset_timer;
    }

    NET_INC_STATS(net, LINUX_MIB_TCPTIMEOUTS);
    if (tcp_write_timeout(sk))
        return;
    tcp_enter_loss(sk);
    tcp_update_rto_stats(sk);
    skb = tcp_rtx_queue_head(sk);
    if (!skb)
        return;
    if (tcp_retransmit_skb(sk, skb, 1) > 0) {
        /* Local congestion: probably a small resource; try again soon, without backing off. */
        inet_csk_reset_xmit_timer(sk, ICSK_TIME_RETRANS, TCP_RESOURCE_PROBE_INTERVAL, icsk->icsk_rto_max);
        return;
    }

out_reset_timer:
    /* A thin stream cannot trigger fast retransmission; it may ask for linear time-outs. */
    if (sk->sk_state == TCP_ESTABLISHED && (tp->thin_lto || net->ipv4.sysctl_tcp_thin_linear_timeouts) &&
        tp->packets_out < 4 && !tcp_in_initial_slowstart(tp) && icsk->icsk_retransmits <= 6) {
        icsk->icsk_backoff = 0;
        tcp_set_rto(sk);
    } else if (sk->sk_state != TCP_SYN_SENT || tp->total_rto > (u32)net->ipv4.sysctl_tcp_syn_linear_timeouts) {
        /* Not the first SYNs: as Linux those go every second, RFC 6298 5.5 doubles from the first. */
        icsk->icsk_backoff++;
        icsk->icsk_rto = min(icsk->icsk_rto << 1, icsk->icsk_rto_max);
    }
    inet_csk_reset_xmit_timer(sk, ICSK_TIME_RETRANS, tcp_clamp_rto_to_user_timeout(sk), icsk->icsk_rto_max);
    if (retransmits_timed_out(sk, net->ipv4.sysctl_tcp_retries1 + 1, 0))
        sk_dst_reset(sk); /* perhaps another route works */
}

/* Role: the path is down, so the time-out of the segment at seq was no congestion: one doubling is taken back
 * (RFC 6069). slock held; without effect while a thread owns the socket. */
void tcp_ld_RTO_revert(struct sock *sk, u32 seq)
{
    struct inet_connection_sock *icsk = inet_csk(sk);
    struct tcp_sock *tp = tcp_sk(sk);
    const struct sk_buff *head = tcp_rtx_queue_head(sk);
    s64 remaining;

    if (sock_owned_by_user(sk) || seq != tp->snd_una || !icsk->icsk_retransmits || !icsk->icsk_backoff || !head)
        return;
    icsk->icsk_backoff--;
    if (tp->srtt_us)
        tcp_set_rto(sk);
    else
        icsk->icsk_rto = TCP_TIMEOUT_INIT;
    icsk->icsk_rto = min(icsk->icsk_rto << min_t(u8, icsk->icsk_backoff, 20), icsk->icsk_rto_max);
    tcp_mstamp_refresh(tp);
    remaining = (s64)(head->tstamp + icsk->icsk_rto - tp->tcp_clock_cache);
    if (remaining > 0)
        inet_csk_reset_xmit_timer(sk, ICSK_TIME_RETRANS, (u64)remaining, icsk->icsk_rto_max);
    else
        tcp_retransmit_timer(sk);
}

/* slock held, socket not owned by a thread (or called from tcp_release_cb). */
void tcp_write_timer_handler(struct sock *sk)
{
    struct inet_connection_sock *icsk = inet_csk(sk);
    int event;

    if ((TCPF(sk->sk_state) & (TCPF_CLOSE | TCPF_LISTEN)) || !icsk->icsk_pending)
        return;
    if (icsk->icsk_timeout > tcp_clock_ns(sk)) {
        sk_reset_timer(sk, &icsk->icsk_retransmit_timer, icsk->icsk_timeout);
        return;
    }
    tcp_mstamp_refresh(tcp_sk(sk));
    event = icsk->icsk_pending;
    switch (event) {
    case ICSK_TIME_REO_TIMEOUT:
        tcp_rack_reo_timeout(sk);
        break;
    case ICSK_TIME_LOSS_PROBE:
        tcp_send_loss_probe(sk);
        break;
    case ICSK_TIME_RETRANS:
        icsk->icsk_pending = 0;
        tcp_retransmit_timer(sk);
        break;
    case ICSK_TIME_PROBE0:
        icsk->icsk_pending = 0;
        tcp_probe_timer(sk);
        break;
    }
}

void tcp_delack_timer_handler(struct sock *sk)
{
    struct inet_connection_sock *icsk = inet_csk(sk);
    struct tcp_sock *tp = tcp_sk(sk);

    if (TCPF(sk->sk_state) & (TCPF_CLOSE | TCPF_LISTEN))
        return;
    if (tp->compressed_ack) {
        tcp_mstamp_refresh(tp);
        tcp_send_ack(sk);
        return;
    }
    if (!(icsk->icsk_ack.pending & ICSK_ACK_TIMER))
        return;
    if (icsk->icsk_ack.timeout > tcp_clock_ns(sk)) {
        sk_reset_timer(sk, &icsk->icsk_delack_timer, icsk->icsk_ack.timeout);
        return;
    }
    icsk->icsk_ack.pending &= (u8)~ICSK_ACK_TIMER;
    if (inet_csk_ack_scheduled(sk)) {
        if (!inet_csk_in_pingpong_mode(sk)) {
            /* Delayed ACK missed: inflate ATO. */
            icsk->icsk_ack.ato = min(icsk->icsk_ack.ato << 1, icsk->icsk_rto);
        } else {
            /* Delayed ACK missed in interactive mode: the program does not answer so fast after all. */
            inet_csk_exit_pingpong_mode(sk);
            icsk->icsk_ack.ato = TCP_ATO_MIN;
        }
        tcp_mstamp_refresh(tp);
        tcp_send_ack(sk);
        NET_INC_STATS(sock_net(sk), LINUX_MIB_DELAYEDACKS);
    }
}

/* Run handler now, or leave it to tcp_release_cb() with the timer's reference. */
static void tcp_run_or_defer(struct sock *sk, void (*handler)(struct sock *), int deferred_bit)
{
    bh_lock_sock(sk);
    if (!sock_owned_by_user(sk))
        handler(sk);
    else if (!test_and_set_tsq(tcp_sk(sk), deferred_bit))
        sock_hold(sk);
    bh_unlock_sock(sk);
    sock_put(sk);
}

static void tcp_write_timer(struct timer_list *t)
{
    struct inet_connection_sock *icsk = container_of(t, struct inet_connection_sock, icsk_retransmit_timer);
    struct sock *sk = &icsk->icsk_inet.sk;

    tcp_run_or_defer(sk, tcp_write_timer_handler, TCP_WRITE_TIMER_DEFERRED);
}

static void tcp_delack_timer(struct timer_list *t)
{
    struct inet_connection_sock *icsk = container_of(t, struct inet_connection_sock, icsk_delack_timer);
    struct sock *sk = &icsk->icsk_inet.sk;

    if (sock_owned_by_user(sk))
        NET_INC_STATS(sock_net(sk), LINUX_MIB_DELAYEDACKLOCKED);
    tcp_run_or_defer(sk, tcp_delack_timer_handler, TCP_DELACK_TIMER_DEFERRED);
}

static void tcp_compressed_ack_kick(struct timer_list *t)
{
    struct tcp_sock *tp = container_of(t, struct tcp_sock, compressed_ack_timer);

    tcp_run_or_defer((struct sock *)tp, tcp_delack_timer_handler, TCP_DELACK_TIMER_DEFERRED);
}

static void tcp_pace_kick(struct timer_list *t)
{
    struct tcp_sock *tp = container_of(t, struct tcp_sock, pacing_timer);

    tcp_run_or_defer((struct sock *)tp, tcp_tsq_write, TCP_TSQ_DEFERRED);
}

void tcp_set_keepalive(struct sock *sk, int val)
{
    if (TCPF(sk->sk_state) & (TCPF_CLOSE | TCPF_LISTEN))
        return;
    if (val && !sock_flag(sk, SOCK_KEEPOPEN))
        inet_csk_reset_keepalive_timer(sk, tcp_keepalive_time_when(tcp_sk(sk)));
    else if (!val)
        inet_csk_delete_keepalive_timer(sk);
}

u64 tcp_keepalive_time_when(const struct tcp_sock *tp)
{
    u32 v = tp->keepalive_time ? tp->keepalive_time
                               : (u32)((const struct sock *)tp)->sk_net->ipv4.sysctl_tcp_keepalive_time;
    return v * NSEC_PER_SEC;
}

static u64 keepalive_intvl_when(const struct tcp_sock *tp)
{
    u32 v = tp->keepalive_intvl ? tp->keepalive_intvl
                                : (u32)((const struct sock *)tp)->sk_net->ipv4.sysctl_tcp_keepalive_intvl;
    return v * NSEC_PER_SEC;
}

static int keepalive_probes(const struct tcp_sock *tp)
{
    return tp->keepalive_probes ? tp->keepalive_probes
                                : ((const struct sock *)tp)->sk_net->ipv4.sysctl_tcp_keepalive_probes;
}

/* Time-out of FIN_WAIT2 (TCP_LINGER2, tcp_fin_timeout), at least 3.5 RTO. */
u64 tcp_fin_time(const struct sock *sk)
{
    u64 fin_timeout = tcp_sk(sk)->linger2 && tcp_sk(sk)->linger2 != UINT64_MAX
                          ? tcp_sk(sk)->linger2
                          : (u64)sock_net(sk)->ipv4.sysctl_tcp_fin_timeout * NSEC_PER_SEC;
    const u64 rto = inet_csk(sk)->icsk_rto;

    return max(fin_timeout, (rto << 2) - (rto >> 1));
}

u64 tcp_probe0_base(const struct sock *sk) { return max(inet_csk(sk)->icsk_rto, (u64)TCP_RTO_MIN); }

u64 tcp_probe0_when(const struct sock *sk, u64 max_when)
{
    u8 backoff = min_t(u8, 20, inet_csk(sk)->icsk_backoff);
    u64 when = tcp_probe0_base(sk) << backoff;

    return tcp_clamp_probe0_to_user_timeout(sk, min(when, max_when));
}

static u64 keepalive_time_elapsed(const struct tcp_sock *tp)
{
    u64 now = tcp_clock_ns((const struct sock *)tp);
    u64 a = now - inet_csk((const struct sock *)tp)->icsk_ack.lrcvtime, b = now - tp->rcv_tstamp;

    return min(a, b);
}

/* FIN_WAIT2 of an orphan: TIME_WAIT takes over, or it is over. Returns with sk ended. */
static void tcp_fin_wait2_timer(struct sock *sk)
{
    if (tcp_sk(sk)->linger2 != UINT64_MAX) {
        const u64 tmo = tcp_fin_time(sk);

        if (tmo > TCP_TIMEWAIT_LEN) {
            tcp_time_wait(sk, TCP_FIN_WAIT2, tmo - TCP_TIMEWAIT_LEN);
            return;
        }
    }
    tcp_send_active_reset(sk);
    tcp_done(sk);
}

/* Probe an idle peer (RFC 1122 4.2.3.6); ns until the next look, 0: connection ended or nothing to do. */
static u64 tcp_keepalive_probe(struct sock *sk)
{
    struct inet_connection_sock *icsk = inet_csk(sk);
    struct tcp_sock *tp = tcp_sk(sk);
    u64 elapsed, when = tcp_keepalive_time_when(tp);

    if (tp->packets_out || !tcp_write_queue_empty(sk))
        return when; /* data is outstanding: the RTO looks after the peer */
    elapsed = keepalive_time_elapsed(tp);
    if (elapsed < when)
        return when - elapsed;
    /* TCP_USER_TIMEOUT takes the place of the number of probes. */
    if ((icsk->icsk_user_timeout && elapsed >= (u64)icsk->icsk_user_timeout * NSEC_PER_MSEC &&
         icsk->icsk_probes_out > 0) ||
        (!icsk->icsk_user_timeout && icsk->icsk_probes_out >= keepalive_probes(tp))) {
        tcp_send_active_reset(sk);
        tcp_write_err(sk);
        return 0;
    }
    if (tcp_write_wakeup(sk, LINUX_MIB_TCPKEEPALIVE) <= 0) {
        icsk->icsk_probes_out++;
        return keepalive_intvl_when(tp);
    }
    return TCP_RESOURCE_PROBE_INTERVAL; /* local congestion: soon again */
}

static void tcp_keepalive_handler(struct sock *sk)
{
    u64 next;

    if (sk->sk_state == TCP_LISTEN)
        return;
    tcp_mstamp_refresh(tcp_sk(sk));
    if (sk->sk_state == TCP_FIN_WAIT2 && sock_flag(sk, SOCK_DEAD)) {
        tcp_fin_wait2_timer(sk);
        return;
    }
    if (!sock_flag(sk, SOCK_KEEPOPEN) || (TCPF(sk->sk_state) & (TCPF_CLOSE | TCPF_SYN_SENT)))
        return;
    next = tcp_keepalive_probe(sk);
    if (next)
        inet_csk_reset_keepalive_timer(sk, next);
}

static void tcp_keepalive_timer(struct timer_list *t)
{
    struct sock *sk = container_of(t, struct sock, sk_timer);

    bh_lock_sock(sk);
    if (sock_owned_by_user(sk)) /* try again soon: nothing here is urgent */
        inet_csk_reset_keepalive_timer(sk, 50 * NSEC_PER_MSEC);
    else
        tcp_keepalive_handler(sk);
    bh_unlock_sock(sk);
    sock_put(sk);
}

void tcp_init_xmit_timers(struct sock *sk)
{
    struct tcp_sock *tp = tcp_sk(sk);

    inet_csk_init_xmit_timers(sk, tcp_write_timer, tcp_delack_timer, tcp_keepalive_timer);
    timer_setup(&tp->pacing_timer, sock_net(sk), tcp_pace_kick);
    timer_setup(&tp->compressed_ack_timer, sock_net(sk), tcp_compressed_ack_kick);
}

void inet_csk_reset_xmit_timer(struct sock *sk, int what, u64 when, u64 max_when)
{
    struct inet_connection_sock *icsk = inet_csk(sk);
    u64 at = tcp_clock_ns(sk) + min(when, max_when);

    if (what == ICSK_TIME_DACK) {
        icsk->icsk_ack.pending |= ICSK_ACK_TIMER;
        icsk->icsk_ack.timeout = at;
        sk_reset_timer(sk, &icsk->icsk_delack_timer, at);
        return;
    }
    icsk->icsk_pending = (u8)what;
    icsk->icsk_timeout = at;
    sk_reset_timer(sk, &icsk->icsk_retransmit_timer, at);
}

void inet_csk_clear_xmit_timer(struct sock *sk, int what)
{
    struct inet_connection_sock *icsk = inet_csk(sk);

    if (what == ICSK_TIME_DACK) {
        icsk->icsk_ack.pending = 0;
        icsk->icsk_ack.retry = 0;
        sk_stop_timer(sk, &icsk->icsk_delack_timer);
    } else {
        icsk->icsk_pending = 0;
        sk_stop_timer(sk, &icsk->icsk_retransmit_timer);
    }
}
