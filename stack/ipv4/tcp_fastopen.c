/* SPDX-License-Identifier: MIT */
/* TCP Fast Open, the option and the client (RFC 7413 3, 4.2): a connect() whose SYN carries data and the cookie that
 * the peer gave us before; the first connection to a peer asks for one. As Linux; the difference to the RFC: no
 * list of bad paths is kept, a black hole stops fast open to everybody for a while (when
 * tcp_fastopen_blackhole_timeout_sec says so). */

#include "tcp_fastopen.h"
#include "tcp_input.h"
#include "tcp_metrics.h"
#include "tcp_output.h"
#include <fcntl.h>

/* ---- the option (RFC 7413 4.1.1, and RFC 6994's experimental form) ----------------------------------------- */

static void tcp_parse_fastopen_cookie(struct tcp_fastopen_cookie *c, const u8 *val, int len, bool exp)
{
    if (len && (len < TCP_FASTOPEN_COOKIE_MIN || len > TCP_FASTOPEN_COOKIE_MAX || (len & 1)))
        return;
    memcpy(c->val, val, (size_t)len);
    c->len = (s8)len;
    c->exp = exp;
}

void tcp_parse_fastopen_option(const struct sk_buff *skb, struct tcp_fastopen_cookie *cookie)
{
    const struct tcphdr *th = tcp_hdr(skb);
    const u8 *p = (const u8 *)(th + 1), *end = (const u8 *)th + th->doff * 4;

    cookie->len = -1;
    if (!th->syn)
        return;
    while (p < end && *p != TCPOPT_EOL_) {
        if (*p == TCPOPT_NOP_) {
            p++;
            continue;
        }
        if (end - p < 2 || p[1] < 2 || p[1] > end - p)
            return;
        if (p[0] == TCPOPT_FASTOPEN_)
            tcp_parse_fastopen_cookie(cookie, p + 2, p[1] - 2, false);
        else if (p[0] == TCPOPT_EXP_ && p[1] >= 4 && (p[2] << 8 | p[3]) == TCPOPT_FASTOPEN_MAGIC)
            tcp_parse_fastopen_cookie(cookie, p + 4, p[1] - 4, true);
        p += p[1];
    }
}

u32 tcp_fastopen_option_len(const struct tcp_fastopen_cookie *cookie)
{
    return ((u32)cookie->len + (cookie->exp ? 4 : 2) + 3) & ~3u;
}

__be32 *tcp_fastopen_option_write(__be32 *ptr, const struct tcp_fastopen_cookie *cookie)
{
    u32 padded = tcp_fastopen_option_len(cookie), n = 0;
    u8 *p = (u8 *)ptr;

    p[n++] = cookie->exp ? TCPOPT_EXP_ : TCPOPT_FASTOPEN_;
    p[n++] = (u8)(cookie->len + (cookie->exp ? 4 : 2));
    if (cookie->exp) {
        p[n++] = TCPOPT_FASTOPEN_MAGIC >> 8;
        p[n++] = TCPOPT_FASTOPEN_MAGIC & 0xff;
    }
    memcpy(p + n, cookie->val, (size_t)cookie->len);
    n += (u32)cookie->len;
    memset(p + n, TCPOPT_NOP_, padded - n);
    return ptr + padded / 4;
}

/* ---- black holes (RFC 7413 7.1) --------------------------------------------------------------------------------- */

void tcp_fastopen_active_disable(struct sock *sk)
{
    struct netns_ipv4 *ipv4 = &sock_net(sk)->ipv4;

    if (!ipv4->sysctl_tcp_fastopen_blackhole_timeout)
        return;
    __atomic_store_n(&ipv4->tfo_active_disable_stamp, tcp_clock_ns(sk), __ATOMIC_RELAXED);
    __atomic_fetch_add(&ipv4->tfo_active_disable_times, 1, __ATOMIC_RELEASE); /* after the stamp: read in this order */
    NET_INC_STATS(sock_net(sk), LINUX_MIB_TCPFASTOPENBLACKHOLE);
}

bool tcp_fastopen_active_should_disable(struct sock *sk)
{
    struct netns_ipv4 *ipv4 = &sock_net(sk)->ipv4;
    u32 times = __atomic_load_n(&ipv4->tfo_active_disable_times, __ATOMIC_ACQUIRE);
    u64 pause = (u64)ipv4->sysctl_tcp_fastopen_blackhole_timeout * NSEC_PER_SEC;

    if (!pause || !times)
        return false;
    pause <<= min(times - 1, 6u);
    if (tcp_clock_ns(sk) < __atomic_load_n(&ipv4->tfo_active_disable_stamp, __ATOMIC_RELAXED) + pause)
        return true;
    tcp_sk(sk)->syn_fastopen_ch = 1; /* it decides whether all is well again */
    return false;
}

void tcp_fastopen_active_detect_blackhole(struct sock *sk, bool expired)
{
    const struct tcp_sock *tp = tcp_sk(sk);
    u32 timeouts = inet_csk(sk)->icsk_retransmits;

    if ((tp->syn_fastopen || tp->syn_data || tp->syn_data_acked) && (timeouts == 2 || (timeouts < 2 && expired)))
        tcp_fastopen_active_disable(sk);
}

void tcp_fastopen_active_disable_ofo_check(struct sock *sk)
{
    struct tcp_sock *tp = tcp_sk(sk);
    struct sk_buff *skb = skb_rb_first(&tp->out_of_order_queue);

    if (!tp->syn_fastopen)
        return;
    if (!tp->data_segs_in) {
        if (skb && !skb_rb_next(skb) && (TCP_SKB_CB(skb)->tcp_flags & TCPHDR_FIN))
            tcp_fastopen_active_disable(sk);
    } else if (tp->syn_fastopen_ch) {
        __atomic_store_n(&sock_net(sk)->ipv4.tfo_active_disable_times, 0, __ATOMIC_RELAXED);
    }
}

/* ---- connect ------------------------------------------------------------------------------------------------ */

void tcp_free_fastopen_req(struct tcp_sock *tp)
{
    free(tp->fastopen_req);
    tp->fastopen_req = NULL;
}

bool tcp_fastopen_cookie_check(struct sock *sk, u16 *mss, struct tcp_fastopen_cookie *cookie)
{
    tcp_fastopen_cache_get(sk, mss, cookie);
    if (tcp_fastopen_active_should_disable(sk)) { /* an ordinary SYN, which asks for no cookie either */
        cookie->len = -1;
        return false;
    }
    if ((sock_net(sk)->ipv4.sysctl_tcp_fastopen & TFO_CLIENT_NO_COOKIE) || tcp_sk(sk)->fastopen_no_cookie) {
        cookie->len = -1;
        return true;
    }
    if (cookie->len > 0)
        return true;
    tcp_sk(sk)->fastopen_client_fail = TFO_COOKIE_UNAVAILABLE;
    return false;
}

bool tcp_fastopen_defer_connect(struct sock *sk, int *err)
{
    struct tcp_fastopen_cookie cookie = {.len = 0};
    struct tcp_sock *tp = tcp_sk(sk);
    u16 mss;

    if (!tp->fastopen_connect || tp->fastopen_req)
        return false;
    if (tcp_fastopen_cookie_check(sk, &mss, &cookie)) {
        inet_sk(sk)->defer_connect = 1;
        return true;
    }
    /* So that the SYN asks for a cookie. */
    tp->fastopen_req = calloc(1, sizeof(*tp->fastopen_req));
    if (tp->fastopen_req)
        tp->fastopen_req->cookie = cookie;
    else
        *err = -ENOBUFS;
    return false;
}

int tcp_sendmsg_fastopen(struct sock *sk, struct sk_msghdr *msg, u32 *copied, size_t size)
{
    const struct sockaddr *addr = msg->msg_name;
    struct inet_sock *inet = inet_sk(sk);
    struct tcp_sock *tp = tcp_sk(sk);
    int err;

    if (!(sock_net(sk)->ipv4.sysctl_tcp_fastopen & TFO_CLIENT_ENABLE) ||
        (addr && msg->msg_namelen >= sizeof(addr->sa_family) && addr->sa_family == AF_UNSPEC))
        return -EOPNOTSUPP;
    if (tp->fastopen_req)
        return -EALREADY; /* another fast open is in progress */
    tp->fastopen_req = calloc(1, sizeof(*tp->fastopen_req));
    if (!tp->fastopen_req)
        return -ENOBUFS;
    tp->fastopen_req->data = &msg->msg_iter;
    tp->fastopen_req->size = size;
    if (inet->defer_connect) {
        err = tcp_connect(sk);
        if (err) {
            tcp_set_state(sk, TCP_CLOSE);
            inet->inet_dport = 0;
            sk->sk_route_caps = 0;
        }
    }
    err = __inet_stream_connect(sk->sk_socket, addr, msg->msg_namelen,
                                msg->msg_flags & MSG_DONTWAIT ? O_NONBLOCK : 0, true);
    /* A time-out or a reset has freed it. */
    if (tp->fastopen_req) {
        *copied = tp->fastopen_req->copied;
        tcp_free_fastopen_req(tp);
        inet->defer_connect = 0;
    }
    return err;
}

/* The sk_buff of a SYN's data, with the program's bytes. NULL: none could be taken. */
static struct sk_buff *tcp_syn_data_skb(struct sock *sk, struct tcp_fastopen_request *fo, u32 space)
{
    struct sk_buff *skb = __sk_stream_alloc_skb(sk, tcp_can_sg(sk) ? 0 : space, true);
    int err = 0;
    u32 n;

    if (!skb)
        return NULL;
    sk_wmem_queued_add(sk, (int)skb->truesize);
    sk_mem_charge(sk, (int)skb->truesize);
    n = tcp_copy_to_skb(sk, skb, fo->data, space, space, &err);
    if (!n) {
        tcp_wmem_free_skb(sk, skb);
        return NULL;
    }
    if (n == fo->size)
        fo->data = NULL; /* nothing is left for after the handshake */
    fo->copied = n;
    return skb;
}

/* Send syn's header with data behind it. The data stays queued apart from the SYN, so that a lost SYN is sent
 * again without it. 0 or -errno: then the data waits in the write queue. */
static int tcp_transmit_syn_data(struct sock *sk, struct sk_buff *syn, struct sk_buff *data)
{
    struct tcp_skb_cb *cb = TCP_SKB_CB(data);
    struct tcp_sock *tp = tcp_sk(sk);
    int err;

    memcpy(data->cb, syn->cb, sizeof(syn->cb));
    cb->end_seq += data->len;
    WRITE_ONCE(tp->write_seq, cb->end_seq);
    tcp_chrono_start(sk, TCP_CHRONO_BUSY);
    err = tcp_transmit_skb(sk, data, 1);
    syn->tstamp = data->tstamp;
    cb->seq++;
    cb->tcp_flags = TCPHDR_ACK | TCPHDR_PSH;
    if (err) {
        __skb_queue_tail(&sk->sk_write_queue, data);
        return err;
    }
    tp->syn_data = 1;
    tp->packets_out += (u32)tcp_skb_pcount(data);
    tcp_rbtree_insert(&tp->tcp_rtx_queue, data);
    NET_INC_STATS(sock_net(sk), LINUX_MIB_TCPORIGDATASENT);
    return 0;
}

int tcp_send_syn_data(struct sock *sk, struct sk_buff *syn)
{
    struct tcp_fastopen_request *fo = tcp_sk(sk)->fastopen_req;
    struct inet_connection_sock *icsk = inet_csk(sk);
    struct tcp_sock *tp = tcp_sk(sk);
    struct sk_buff *data;
    u16 mss = tp->advmss; /* when the peer's is not known */
    u32 space;
    int err;

    if (!tcp_fastopen_cookie_check(sk, &mss, &fo->cookie))
        goto fallback;
    tp->rx_opt.mss_clamp = tp->rx_opt.user_mss ? min(mss, tp->rx_opt.user_mss) : mss;
    tcp_sync_mss(sk, icsk->icsk_pmtu_cookie);
    /* Less all the room that options may take: middleboxes add some to SYNs. */
    space = (u32)tcp_mtu_to_mss(sk, (int)icsk->icsk_pmtu_cookie) + (tp->tcp_header_len - (u32)sizeof(struct tcphdr)) -
            MAX_TCP_OPTION_SPACE;
    space = (u32)min((size_t)space, fo->size);
    if (!fo->data || !space) {
        err = tcp_transmit_skb(sk, syn, 1);
        goto done;
    }
    data = tcp_syn_data_skb(sk, fo, space);
    if (!data)
        goto fallback;
    err = tcp_transmit_syn_data(sk, syn, data);
    if (!err)
        goto done;
fallback: /* an ordinary SYN that asks for a cookie */
    if (fo->cookie.len > 0)
        fo->cookie.len = 0;
    err = tcp_transmit_skb(sk, syn, 1);
    if (err)
        tp->syn_fastopen = 0;
done:
    fo->cookie.len = -1; /* retries of the SYN go without the option */
    return err;
}

/* ---- SYN-ACK --------------------------------------------------------------------------------------------------- */

/* The peer's MSS option, which TCP_MAXSEG may have covered. */
static u16 tcp_synack_mss(struct sock *sk, struct sk_buff *synack)
{
    struct tcp_options_received opt = {0};

    if (tcp_sk(sk)->rx_opt.mss_clamp != tcp_sk(sk)->rx_opt.user_mss)
        return tcp_sk(sk)->rx_opt.mss_clamp;
    tcp_parse_options(sock_net(sk), synack, &opt, 0);
    return opt.mss_clamp;
}

bool tcp_rcv_fastopen_synack(struct sock *sk, struct sk_buff *synack, const struct tcp_fastopen_cookie *received)
{
    struct tcp_fastopen_cookie cookie = *received;
    struct tcp_sock *tp = tcp_sk(sk);
    struct sk_buff *data = tp->syn_data ? tcp_rtx_queue_head(sk) : NULL, *skb;
    bool syn_drop = false;
    u16 try_exp = 0;

    if (!tp->syn_fastopen) {
        cookie.len = -1; /* one that we did not ask for */
    } else if (tp->total_retrans) {
        /* Neither a cookie nor an ACK of the data after a time-out: the SYN with data, or its answer, was dropped. */
        syn_drop = cookie.len < 0 && data;
    } else if (cookie.len < 0 && !tp->syn_data) {
        try_exp = tp->syn_fastopen_exp ? 2 : 1;
    }
    tcp_fastopen_cache_set(sk, tcp_synack_mss(sk, synack), &cookie, syn_drop, try_exp);
    if (data) {
        tp->fastopen_client_fail = tp->total_retrans ? TFO_SYN_RETRANSMITTED : TFO_DATA_NOT_ACKED;
        skb_rbtree_walk(skb, &tp->tcp_rtx_queue)
            tcp_mark_skb_lost(sk, skb);
        tcp_non_congestion_loss_retransmit(sk);
        NET_INC_STATS(sock_net(sk), LINUX_MIB_TCPFASTOPENACTIVEFAIL);
        return true;
    }
    tp->syn_data_acked = tp->syn_data;
    if (tp->syn_data_acked) {
        NET_INC_STATS(sock_net(sk), LINUX_MIB_TCPFASTOPENACTIVE);
        if (tp->delivered > 1) /* SYN and data were one packet */
            tp->delivered--;
    }
    tcp_fastopen_add_skb(sk, synack);
    return false;
}
