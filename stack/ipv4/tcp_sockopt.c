/* SPDX-License-Identifier: MIT */
/* SOL_TCP options (tcp(7)) with Linux's ranges and errors; TCP_INFO: tcp_info.c. Other levels go to the address family. */

#include "tcp_fastopen.h"
#include "tcp_output.h"
#include "tcp_saved_syn.h"
#include <linux/inet_diag.h>

#ifndef TCP_IS_MPTCP
#define TCP_IS_MPTCP 43
#endif
#ifndef TCP_RTO_MAX_MS
#define TCP_RTO_MAX_MS 44
#endif
#ifndef TCP_RTO_MIN_US
#define TCP_RTO_MIN_US 45
#endif
#ifndef TCP_DELACK_MAX_US
#define TCP_DELACK_MAX_US 46
#endif

#define SOCK_MIN_RCVBUF 2304 /* Linux's, so that TCP_WINDOW_CLAMP has the same floor */
#define MAX_TCP_KEEPIDLE 32767
#define MAX_TCP_KEEPINTVL 32767
#define MAX_TCP_KEEPCNT 127
#define MAX_TCP_SYNCNT 127
#define TCP_FIN_TIMEOUT_MAX_S 120
#define TCP_CA_NAME_MAX_ 16

/* ---- TCP_DEFER_ACCEPT: seconds to SYN-ACK retransmissions and back --------------------------------------- */

static u8 secs_to_retrans(int seconds, int timeout, int rto_max)
{
    int period = timeout;
    u8 res = 1;

    if (seconds <= 0)
        return 0;
    while (seconds > period && res < 255) {
        res++;
        timeout = min(timeout << 1, rto_max);
        period += timeout;
    }
    return res;
}

static int retrans_to_secs(u8 retrans, int timeout, int rto_max)
{
    int period = timeout;

    if (!retrans)
        return 0;
    while (--retrans) {
        timeout = min(timeout << 1, rto_max);
        period += timeout;
    }
    return period;
}

#define TIMEOUT_INIT_S ((int)(TCP_TIMEOUT_INIT / NSEC_PER_SEC))
#define RTO_MAX_S ((int)(TCP_RTO_MAX / NSEC_PER_SEC))

/* ---- set ---------------------------------------------------------------------------------------------------- */

static void tcp_sock_set_nodelay(struct sock *sk, bool on)
{
    struct tcp_sock *tp = tcp_sk(sk);

    if (on) { /* PUSH: what is queued goes now, whatever cork says later */
        tp->nonagle |= TCP_NAGLE_OFF | TCP_NAGLE_PUSH;
        tcp_push_pending_frames(sk);
    } else {
        tp->nonagle &= (u8)~TCP_NAGLE_OFF;
    }
}

static void tcp_sock_set_cork(struct sock *sk, bool on)
{
    struct tcp_sock *tp = tcp_sk(sk);

    if (on) {
        tp->nonagle |= TCP_NAGLE_CORK;
        return;
    }
    tp->nonagle &= (u8)~TCP_NAGLE_CORK;
    if (tp->nonagle & TCP_NAGLE_OFF)
        tp->nonagle |= TCP_NAGLE_PUSH;
    tcp_push_pending_frames(sk);
}

static void tcp_sock_set_quickack(struct sock *sk, int val)
{
    if (!val) {
        inet_csk_enter_pingpong_mode(sk);
        return;
    }
    inet_csk_exit_pingpong_mode(sk);
    if (tcp_in_states(sk, TCPF_ESTABLISHED | TCPF_CLOSE_WAIT) && inet_csk_ack_scheduled(sk)) {
        inet_csk(sk)->icsk_ack.pending |= ICSK_ACK_PUSHED;
        tcp_cleanup_rbuf(sk, 1);
        if (!(val & 1)) /* an even value: this once */
            inet_csk_enter_pingpong_mode(sk);
    }
}

static int tcp_sock_set_keepidle(struct sock *sk, int val)
{
    struct tcp_sock *tp = tcp_sk(sk);
    u64 now = tcp_clock_ns(sk), elapsed, when;

    if (val < 1 || val > MAX_TCP_KEEPIDLE)
        return -EINVAL;
    tp->keepalive_time = (u32)val;
    if (sock_flag(sk, SOCK_KEEPOPEN) && !tcp_in_states(sk, TCPF_CLOSE | TCPF_LISTEN)) {
        elapsed = min(now - inet_csk(sk)->icsk_ack.lrcvtime, now - tp->rcv_tstamp);
        when = val * NSEC_PER_SEC;
        inet_csk_reset_keepalive_timer(sk, when > elapsed ? when - elapsed : 0);
    }
    return 0;
}

static int tcp_set_window_clamp(struct sock *sk, int val)
{
    struct tcp_sock *tp = tcp_sk(sk);
    u32 old = tp->window_clamp, clamp_;

    if (!val) {
        if (sk->sk_state != TCP_CLOSE)
            return -EINVAL;
        tp->window_clamp = 0;
        return 0;
    }
    clamp_ = (u32)max(SOCK_MIN_RCVBUF / 2, val);
    if (clamp_ == old)
        return 0;
    tp->window_clamp = clamp_;
    if (clamp_ < old)
        tp->rcv_ssthresh = min(tp->rcv_ssthresh, clamp_);
    else
        tp->rcv_ssthresh = max(tp->rcv_ssthresh, min(tp->rcv_wnd, clamp_));
    return 0;
}

static int set_in_range(int val, int lo, int hi) { return val < lo || val > hi ? -EINVAL : 0; }

static void tcp_set_linger2(struct tcp_sock *tp, int val)
{
    if (val < 0)
        tp->linger2 = UINT64_MAX;
    else
        tp->linger2 = min(val, TCP_FIN_TIMEOUT_MAX_S) * NSEC_PER_SEC;
}

/* The limits of the RTO and of the delayed ACK. 1: not one of these. */
static int tcp_setsockopt_limit(struct sock *sk, int optname, int val)
{
    struct inet_connection_sock *icsk = inet_csk(sk);
    const int least_us = TCP_TIMEOUT_MIN / NSEC_PER_USEC;
    int err;

    switch (optname) {
    case TCP_RTO_MAX_MS:
        err = set_in_range(val, 1000, TCP_RTO_MAX / NSEC_PER_MSEC);
        if (!err)
            WRITE_ONCE(icsk->icsk_rto_max, (u64)val * NSEC_PER_MSEC);
        return err;
    case TCP_RTO_MIN_US:
        err = set_in_range(val, least_us, TCP_RTO_MIN / NSEC_PER_USEC);
        if (!err)
            WRITE_ONCE(icsk->icsk_rto_min, (u64)val * NSEC_PER_USEC);
        return err;
    case TCP_DELACK_MAX_US:
        err = set_in_range(val, least_us, TCP_DELACK_MAX / NSEC_PER_USEC);
        if (!err)
            WRITE_ONCE(icsk->icsk_delack_max, (u64)val * NSEC_PER_USEC);
        return err;
    default:
        return 1;
    }
}

/* Timers, buffers and modes that are plain fields. 1: not one of these. */
static int tcp_setsockopt_field(struct sock *sk, int optname, int val)
{
    struct inet_connection_sock *icsk = inet_csk(sk);
    struct tcp_sock *tp = tcp_sk(sk);
    int err = 0;

    switch (optname) {
    case TCP_MAXSEG:
        if (val && (val < (int)TCP_MIN_MSS || val > (int)MAX_TCP_WINDOW))
            return -EINVAL;
        tp->rx_opt.user_mss = (u16)val;
        return 0;
    case TCP_KEEPINTVL:
        err = set_in_range(val, 1, MAX_TCP_KEEPINTVL);
        if (!err)
            tp->keepalive_intvl = (u32)val;
        return err;
    case TCP_KEEPCNT:
        err = set_in_range(val, 1, MAX_TCP_KEEPCNT);
        if (!err)
            tp->keepalive_probes = (u8)val;
        return err;
    case TCP_SYNCNT:
        err = set_in_range(val, 1, MAX_TCP_SYNCNT);
        if (!err)
            icsk->icsk_syn_retries = (u8)val;
        return err;
    case TCP_LINGER2:
        tcp_set_linger2(tp, val);
        return 0;
    case TCP_DEFER_ACCEPT:
        icsk->icsk_accept_queue.rskq_defer_accept = secs_to_retrans(val, TIMEOUT_INIT_S, RTO_MAX_S);
        return 0;
    case TCP_USER_TIMEOUT:
        if (val < 0)
            return -EINVAL;
        icsk->icsk_user_timeout = (u32)val;
        return 0;
    case TCP_THIN_LINEAR_TIMEOUTS:
        err = set_in_range(val, 0, 1);
        if (!err)
            tp->thin_lto = val & 1;
        return err;
    case TCP_THIN_DUPACK: /* accepted, as Linux since 4.11: RACK has taken its place */
        return set_in_range(val, 0, 1);
    case TCP_SAVE_SYN:
        err = set_in_range(val, 0, 2);
        if (!err)
            tp->save_syn = val & 3;
        return err;
    case TCP_INQ:
        err = set_in_range(val, 0, 1);
        if (!err)
            tp->recvmsg_inq = val & 1;
        return err;
    case TCP_TX_DELAY:
        if (val < 0)
            return -EINVAL;
        tp->tcp_tx_delay = (u32)val;
        return 0;
    default:
        return 1;
    }
}

/* Fast open (RFC 7413). 1: not one. */
static int tcp_setsockopt_fastopen(struct sock *sk, int optname, int val)
{
    struct tcp_sock *tp = tcp_sk(sk);
    bool closed = tcp_in_states(sk, TCPF_CLOSE), fresh = closed || tcp_in_states(sk, TCPF_LISTEN);

    switch (optname) {
    case TCP_FASTOPEN:
        if (val < 0 || !fresh)
            return -EINVAL;
        inet_csk(sk)->icsk_accept_queue.fastopen_max_qlen =
            (u32)min(val, sock_net(sk)->ipv4.sysctl_somaxconn);
        return 0;
    case TCP_FASTOPEN_CONNECT:
        if (val > 1 || val < 0)
            return -EINVAL;
        if (!(sock_net(sk)->ipv4.sysctl_tcp_fastopen & TFO_CLIENT_ENABLE))
            return -EOPNOTSUPP;
        if (!closed)
            return -EINVAL;
        tp->fastopen_connect = val & 1;
        return 0;
    case TCP_FASTOPEN_NO_COOKIE:
        if (val > 1 || val < 0 || !fresh)
            return -EINVAL;
        tp->fastopen_no_cookie = val & 1;
        return 0;
    default:
        return 1;
    }
}

/* Those that act on the connection at once. */
static int tcp_setsockopt_action(struct sock *sk, int optname, int val)
{
    switch (optname) {
    case TCP_NODELAY:
        tcp_sock_set_nodelay(sk, val != 0);
        return 0;
    case TCP_CORK:
        tcp_sock_set_cork(sk, val != 0);
        return 0;
    case TCP_QUICKACK:
        tcp_sock_set_quickack(sk, val);
        return 0;
    case TCP_KEEPIDLE:
        return tcp_sock_set_keepidle(sk, val);
    case TCP_WINDOW_CLAMP:
        return tcp_set_window_clamp(sk, val);
    case TCP_NOTSENT_LOWAT:
        tcp_sk(sk)->notsent_lowat = (u32)val;
        sk->sk_write_space(sk);
        return 0;
    case TCP_REPAIR: /* the twin's business */
    case TCP_REPAIR_QUEUE:
    case TCP_REPAIR_WINDOW:
    case TCP_TIMESTAMP:
        return -EPERM;
    case TCP_QUEUE_SEQ:
        return tcp_in_states(sk, TCPF_CLOSE) ? -EINVAL : -EPERM;
    case TCP_REPAIR_OPTIONS:
        return -EINVAL;
    default:
        return -ENOPROTOOPT;
    }
}

static int tcp_setsockopt_string(struct sock *sk, int optname, const void *optval, socklen_t len)
{
    char name[TCP_CA_NAME_MAX_] = {0};
    int err;

    if (optname == TCP_FASTOPEN_KEY)
        goto key;
    if (len < 1)
        return -EINVAL;
    if (optname == TCP_ULP)
        return -ENOENT;
    memcpy(name, optval, min((size_t)len, sizeof(name) - 1));
    lock_sock(sk);
    err = tcp_set_congestion_control(sk, name);
    release_sock(sk);
    return err;
key:
    lock_sock(sk);
    err = tcp_fastopen_set_key(sk, optval, (u32)len);
    release_sock(sk);
    return err;
}

int tcp_setsockopt(struct sock *sk, int level, int optname, const void *optval, socklen_t len)
{
    int val, err;

    if (level != IPPROTO_TCP)
        return inet_csk(sk)->icsk_af_ops->setsockopt(sk, level, optname, optval, len);
    if (optname == TCP_CONGESTION || optname == TCP_ULP || optname == TCP_FASTOPEN_KEY)
        return tcp_setsockopt_string(sk, optname, optval, len);
    if (len < (socklen_t)sizeof(int))
        return -EINVAL;
    memcpy(&val, optval, sizeof(val));
    lock_sock(sk);
    err = tcp_setsockopt_field(sk, optname, val);
    if (err == 1)
        err = tcp_setsockopt_limit(sk, optname, val);
    if (err == 1)
        err = tcp_setsockopt_fastopen(sk, optname, val);
    if (err == 1)
        err = tcp_setsockopt_action(sk, optname, val);
    release_sock(sk);
    net_tsq_service(sock_net(sk));
    return err;
}

/* ---- get ----------------------------------------------------------------------------------------------------------- */

/* Copy at most *len bytes and say how many. */
static int put_opt(void *optval, socklen_t *len, const void *val, size_t size)
{
    *len = (socklen_t)min((size_t)*len, size);
    memcpy(optval, val, *len);
    return 0;
}

/* Options that are not an int. 1: it is not one of these. */
static int tcp_getsockopt_struct(struct sock *sk, int optname, void *optval, socklen_t *len)
{
    const struct tcp_congestion_ops *ca = inet_csk(sk)->icsk_ca_ops;
    char name[TCP_CA_NAME_MAX_] = {0};
    union tcp_cc_info cc;
    struct tcp_info_full info;
    u8 key[2 * TCP_FASTOPEN_KEY_LENGTH];
    size_t size = 0;
    u32 keylen;
    int attr;

    switch (optname) {
    case TCP_INFO:
        lock_sock(sk);
        tcp_get_info(sk, &info.base);
        tcp_get_info_tail(sk, &info.tail);
        release_sock(sk);
        return put_opt(optval, len, &info, sizeof(info));
    case TCP_CC_INFO:
        memset(&cc, 0, sizeof(cc));
        lock_sock(sk);
        if (ca && ca->get_info)
            size = ca->get_info(sk, ~0u, &attr, &cc);
        release_sock(sk);
        return put_opt(optval, len, &cc, min(size, sizeof(cc)));
    case TCP_CONGESTION:
        if (ca)
            snprintf(name, sizeof(name), "%s", ca->name);
        return put_opt(optval, len, name, sizeof(name));
    case TCP_FASTOPEN_KEY:
        tcp_fastopen_get_key(sk, key, &keylen);
        return put_opt(optval, len, key, keylen);
    case TCP_SAVED_SYN:
        lock_sock(sk);
        attr = tcp_get_saved_syn(sk, optval, len);
        release_sock(sk);
        return attr;
    case TCP_ULP: /* none */
        *len = 0;
        return 0;
    default:
        return 1;
    }
}

static int tcp_get_linger2(const struct sock *sk)
{
    u64 v = tcp_sk(sk)->linger2;

    if (v == UINT64_MAX)
        return -1;
    return v ? (int)(v / NSEC_PER_SEC) : sock_net(sk)->ipv4.sysctl_tcp_fin_timeout;
}

static int tcp_get_maxseg(const struct sock *sk)
{
    const struct tcp_sock *tp = tcp_sk(sk);

    if (tp->rx_opt.user_mss && tcp_in_states(sk, TCPF_CLOSE | TCPF_LISTEN))
        return tp->rx_opt.user_mss;
    return (int)tp->mss_cache;
}

static int or_default(u32 val, int sysctl) { return val ? (int)val : sysctl; }

/* 0 with *val, or -errno. */
static int tcp_getsockopt_int(struct sock *sk, int optname, int *val)
{
    const struct inet_connection_sock *icsk = inet_csk(sk);
    const struct netns_ipv4 *ipv4 = &sock_net(sk)->ipv4;
    const struct tcp_sock *tp = tcp_sk(sk);

    switch (optname) {
    case TCP_MAXSEG:
        *val = tcp_get_maxseg(sk);
        return 0;
    case TCP_NODELAY:
        *val = !!(tp->nonagle & TCP_NAGLE_OFF);
        return 0;
    case TCP_CORK:
        *val = !!(tp->nonagle & TCP_NAGLE_CORK);
        return 0;
    case TCP_KEEPIDLE:
        *val = or_default(tp->keepalive_time, ipv4->sysctl_tcp_keepalive_time);
        return 0;
    case TCP_KEEPINTVL:
        *val = or_default(tp->keepalive_intvl, ipv4->sysctl_tcp_keepalive_intvl);
        return 0;
    case TCP_KEEPCNT:
        *val = or_default(tp->keepalive_probes, ipv4->sysctl_tcp_keepalive_probes);
        return 0;
    case TCP_SYNCNT:
        *val = or_default(icsk->icsk_syn_retries, ipv4->sysctl_tcp_syn_retries);
        return 0;
    case TCP_LINGER2:
        *val = tcp_get_linger2(sk);
        return 0;
    case TCP_DEFER_ACCEPT:
        *val = retrans_to_secs(icsk->icsk_accept_queue.rskq_defer_accept, TIMEOUT_INIT_S, RTO_MAX_S);
        return 0;
    case TCP_WINDOW_CLAMP:
        *val = (int)tp->window_clamp;
        return 0;
    case TCP_QUICKACK:
        *val = !inet_csk_in_pingpong_mode(sk);
        return 0;
    case TCP_THIN_LINEAR_TIMEOUTS:
        *val = tp->thin_lto;
        return 0;
    case TCP_THIN_DUPACK:
        *val = 0;
        return 0;
    case TCP_REPAIR:
        *val = 0;
        return 0;
    case TCP_REPAIR_QUEUE:
        return -EINVAL;
    case TCP_REPAIR_WINDOW:
        return -EINVAL;
    case TCP_QUEUE_SEQ:
        return -EINVAL;
    case TCP_USER_TIMEOUT:
        *val = (int)icsk->icsk_user_timeout;
        return 0;
    case TCP_FASTOPEN:
        *val = (int)icsk->icsk_accept_queue.fastopen_max_qlen;
        return 0;
    case TCP_FASTOPEN_CONNECT:
        *val = tp->fastopen_connect;
        return 0;
    case TCP_FASTOPEN_NO_COOKIE:
        *val = tp->fastopen_no_cookie;
        return 0;
    case TCP_TX_DELAY:
        *val = (int)tp->tcp_tx_delay;
        return 0;
    case TCP_TIMESTAMP:
        *val = (int)((tcp_ms_now(sk) + tp->tsoffset) & ~1u); /* bit 0 would say that they are microseconds */
        return 0;
    case TCP_NOTSENT_LOWAT:
        *val = (int)tp->notsent_lowat;
        return 0;
    case TCP_INQ:
        *val = tp->recvmsg_inq;
        return 0;
    case TCP_SAVE_SYN:
        *val = tp->save_syn;
        return 0;
    case TCP_RTO_MAX_MS:
        *val = (int)(icsk->icsk_rto_max / NSEC_PER_MSEC);
        return 0;
    case TCP_RTO_MIN_US:
        *val = (int)(icsk->icsk_rto_min / NSEC_PER_USEC);
        return 0;
    case TCP_DELACK_MAX_US:
        *val = (int)(icsk->icsk_delack_max / NSEC_PER_USEC);
        return 0;
    case TCP_IS_MPTCP:
        *val = 0;
        return 0;
    default:
        return -ENOPROTOOPT; /* TCP_ZEROCOPY_RECEIVE and TCP_MD5SIG too */
    }
}

int tcp_getsockopt(struct sock *sk, int level, int optname, void *optval, socklen_t *len)
{
    int val, err;

    if (level != IPPROTO_TCP)
        return inet_csk(sk)->icsk_af_ops->getsockopt(sk, level, optname, optval, len);
    if ((int)*len < 0)
        return -EINVAL;
    err = tcp_getsockopt_struct(sk, optname, optval, len);
    if (err != 1)
        return err;
    err = tcp_getsockopt_int(sk, optname, &val);
    return err ? err : put_opt(optval, len, &val, sizeof(val));
}
