/* SPDX-License-Identifier: MIT */
/* Congestion control: the table of algorithms, their place in a socket's life, and the parts that they share:
 * slow start and additive increase (RFC 5681 3.1), Reno. */

#include "tcp.h"
#include <linux/capability.h>

/* What TCP_CONGESTION and net.ipv4.tcp_congestion_control may name. */
static const struct tcp_congestion_ops *const tcp_cong_list[] = { &tcp_cubic, &tcp_reno, &tcp_bbr };

/* NULL: there is no algorithm of that name. */
const struct tcp_congestion_ops *tcp_ca_find(const char *name)
{
    for (size_t i = 0; i < ARRAY_SIZE(tcp_cong_list); i++)
        if (!strcmp(tcp_cong_list[i]->name, name))
            return tcp_cong_list[i];
    return NULL;
}

/* Role: the algorithm of a fresh socket: the net's default; Reno where the host names one that is not here. */
void tcp_assign_congestion_control(struct sock *sk)
{
    struct inet_connection_sock *icsk = inet_csk(sk);
    const struct tcp_congestion_ops *ca = tcp_ca_find(sk->sk_net->ipv4.sysctl_tcp_congestion_control);

    icsk->icsk_ca_ops = ca ? ca : &tcp_reno;
    memset(icsk->icsk_ca_priv, 0, sizeof(icsk->icsk_ca_priv));
}

/* Role: start it, when the connection is about to carry data. */
void tcp_init_congestion_control(struct sock *sk)
{
    struct inet_connection_sock *icsk = inet_csk(sk);

    tcp_sk(sk)->prior_ssthresh = 0;
    if (icsk->icsk_ca_ops->init)
        icsk->icsk_ca_ops->init(sk);
    icsk->icsk_ca_initialized = 1;
}

void tcp_cleanup_congestion_control(struct sock *sk)
{
    struct inet_connection_sock *icsk = inet_csk(sk);

    if (icsk->icsk_ca_ops && icsk->icsk_ca_initialized && icsk->icsk_ca_ops->release)
        icsk->icsk_ca_ops->release(sk);
    icsk->icsk_ca_initialized = 0;
}

bool tcp_ca_in_list(const char *list, const char *name)
{
    size_t len = strlen(name);

    for (const char *p = list; (p = strstr(p, name)) != NULL; p += len)
        if ((p == list || p[-1] == ' ') && (!p[len] || p[len] == ' '))
            return true;
    return false;
}

/* Role: TCP_CONGESTION, at any time in the connection's life. 0, -ENOENT (there is none of that name) or -EPERM (the
 * host does not allow it to everybody). What the socket has already may always be chosen again. */
int tcp_set_congestion_control(struct sock *sk, const char *name)
{
    struct inet_connection_sock *icsk = inet_csk(sk);
    const struct tcp_congestion_ops *ca = tcp_ca_find(name);
    struct net *net = sk->sk_net;

    if (!ca)
        return -ENOENT;
    if (ca == icsk->icsk_ca_ops) {
        icsk->icsk_ca_setsockopt = 1;
        return 0;
    }
    if (tcp_ca_in_list(net->ipv4.sysctl_tcp_restricted_congestion_control, name) &&
        !(net->ops->capable && net->ops->capable(net, CAP_NET_ADMIN)))
        return -EPERM;
    icsk->icsk_ca_setsockopt = 1;
    tcp_cleanup_congestion_control(sk);
    icsk->icsk_ca_ops = ca;
    memset(icsk->icsk_ca_priv, 0, sizeof(icsk->icsk_ca_priv));
    if (!(TCPF(sk->sk_state) & (TCPF_CLOSE | TCPF_LISTEN)))
        tcp_init_congestion_control(sk);
    return 0;
}

/* The only place that changes icsk_ca_state: the algorithm hears of it first, as it may want the old one. */
void tcp_set_ca_state(struct sock *sk, u8 ca_state)
{
    struct inet_connection_sock *icsk = inet_csk(sk);

    if (icsk->icsk_ca_ops->set_state)
        icsk->icsk_ca_ops->set_state(sk, ca_state);
    icsk->icsk_ca_state = ca_state;
}

/* Role: one packet more for each one acknowledged, up to ssthresh (RFC 5681 3.1, with RFC 3465's counting).
 * Returns how many acknowledged packets are left for congestion avoidance. */
u32 tcp_slow_start(struct tcp_sock *tp, u32 acked)
{
    u32 cwnd = min(tcp_snd_cwnd(tp) + acked, tp->snd_ssthresh);

    acked -= cwnd - tcp_snd_cwnd(tp);
    tcp_snd_cwnd_set(tp, min(cwnd, tp->snd_cwnd_clamp));
    return acked;
}

/* Role: one packet more for each w acknowledged. */
void tcp_cong_avoid_ai(struct tcp_sock *tp, u32 w, u32 acked)
{
    /* w may have become smaller since the last ACK: what was collected counts as one step, not several. */
    if (tp->snd_cwnd_cnt >= w) {
        tp->snd_cwnd_cnt = 0;
        tcp_snd_cwnd_set(tp, tcp_snd_cwnd(tp) + 1);
    }
    tp->snd_cwnd_cnt += acked;
    if (tp->snd_cwnd_cnt >= w) {
        u32 steps = tp->snd_cwnd_cnt / w;

        tp->snd_cwnd_cnt -= steps * w;
        tcp_snd_cwnd_set(tp, tcp_snd_cwnd(tp) + steps);
    }
    tcp_snd_cwnd_set(tp, min(tcp_snd_cwnd(tp), tp->snd_cwnd_clamp));
}

/* ---- Reno (RFC 5681) ----------------------------------------------------------------------------------- */

void tcp_reno_cong_avoid(struct sock *sk, u32 ack, u32 acked)
{
    struct tcp_sock *tp = tcp_sk(sk);

    if (!tcp_is_cwnd_limited(sk)) /* RFC 7661's point: a window that was not used was not tested */
        return;
    if (tcp_in_slow_start(tp)) {
        acked = tcp_slow_start(tp, acked);
        if (!acked)
            return;
    }
    tcp_cong_avoid_ai(tp, tcp_snd_cwnd(tp), acked);
}

u32 tcp_reno_ssthresh(struct sock *sk) { return max(tcp_snd_cwnd(tcp_sk(sk)) >> 1, 2u); }

/* The loss was none: back to the window before it. */
u32 tcp_reno_undo_cwnd(struct sock *sk)
{
    const struct tcp_sock *tp = tcp_sk(sk);

    return max(tcp_snd_cwnd(tp), tp->prior_cwnd);
}

const struct tcp_congestion_ops tcp_reno = {
    .name = "reno",
    .ssthresh = tcp_reno_ssthresh,
    .cong_avoid = tcp_reno_cong_avoid,
    .undo_cwnd = tcp_reno_undo_cwnd,
};
