// SPDX-License-Identifier: MIT
/* A SYN for a listener: SYN queue, cookies when it is full, SYN-ACK; and the child of the finished handshake. */

#include "../core/log.h"
#include "../core/rcu.h"
#include "tcp_fastopen.h"
#include "tcp_metrics.h"
#include "tcp_saved_syn.h"

const struct request_sock_ops tcp_request_sock_ops = {
    .rtx_syn_ack = tcp_rtx_synack,
    .send_ack = tcp_v4_reqsk_send_ack,
    .send_reset = tcp_v4_send_reset,
};

static void tcp_openreq_init(struct request_sock *req, const struct tcp_options_received *rx_opt, struct sk_buff *skb,
                             const struct sock *sk)
{
    const struct iphdr *iph = ip_hdr(skb);
    const struct tcphdr *th = tcp_hdr(skb);
    const struct tcp_skb_cb *cb = TCP_SKB_CB(skb);

    req->rcv_isn = cb->seq;
    req->rcv_nxt = cb->seq + 1;
    req->mss = rx_opt->mss_clamp;
    req->ts_recent = rx_opt->saw_tstamp ? rx_opt->rcv_tsval : 0;
    req->tstamp_ok = rx_opt->tstamp_ok;
    req->sack_ok = rx_opt->sack_ok != 0;
    req->snd_wscale = rx_opt->snd_wscale;
    req->wscale_ok = rx_opt->wscale_ok;
    req->acked = 0;
    req->ecn_ok = 0;
    req->ir_loc_addr = iph->daddr;
    req->ir_rmt_addr = iph->saddr;
    req->ir_rmt_port = th->source;
    req->ir_num = be16toh(th->dest);
    req->ir_mark = skb->mark;
    req->ir_iif = sk->sk_bound_dev_if;
    req->__req_common.skc_family = sk->sk_family;
    req->__req_common.skc_bound_dev_if = sk->sk_bound_dev_if;
    req->syn_tos = iph->tos;
    req->txhash = net_random_u32(sock_net(sk)) | 1;
    req->last_oow_ack_time = 0;
    req->ts_off = secure_tcp_ts_off(sock_net(sk), iph->daddr, iph->saddr);
}

/* RFC 3168 6.1.1: both ECE and CWR in a SYN that is not itself marked. */
static void tcp_ecn_create_request(struct request_sock *req, const struct sk_buff *skb, const struct sock *sk)
{
    const struct tcphdr *th = tcp_hdr(skb);
    bool th_ecn = th->ece && th->cwr, ect = (TCP_SKB_CB(skb)->ip_dsfield & INET_ECN_MASK) != INET_ECN_NOT_ECT;

    if (!th_ecn)
        return;
    if (!ect && (sock_net(sk)->ipv4.sysctl_tcp_ecn || inet_csk(sk)->icsk_ca_ops->needs_ecn))
        req->ecn_ok = 1;
}

/* SYN flood: the queue is full. Says whether to go on with a cookie. */
static bool tcp_syn_flood_action(struct sock *sk)
{
    struct request_sock_queue *queue = &inet_csk(sk)->icsk_accept_queue;
    struct net *net = sock_net(sk);
    bool want_cookie = net->ipv4.sysctl_tcp_syncookies != 0;

    NET_INC_STATS(net, want_cookie ? LINUX_MIB_TCPREQQFULLDOCOOKIES : LINUX_MIB_TCPREQQFULLDROP);
    if (net->ipv4.sysctl_tcp_syncookies != 2 && !queue->synflood_warned && __sync_bool_compare_and_swap(&queue->synflood_warned, 0, 1))
        net_info(net, "port %u: the SYN queue is full, %s", READ_ONCE(sk->sk_num),
                 want_cookie ? "answering with SYN cookies" : "dropping SYNs (net.ipv4.tcp_syncookies=1 would answer)");
    return want_cookie;
}

/* A child that has the SYN's data already: SYN-ACK, and to the accept queue. child's slock and reference end here. */
static void tcp_fastopen_queue_child(struct sock *sk, struct sock *child, struct request_sock *req, struct dst_entry *dst,
                                     struct tcp_fastopen_cookie *foc)
{
    tcp_v4_send_synack(child, dst, req, foc);
    atomic_fetch_add(&req->rsk_refcnt, 1); /* the queue's */
    if (inet_csk_reqsk_queue_add(sk, req, child))
        sk->sk_data_ready(sk);
    bh_unlock_sock(child);
    sock_put(child);
}

/* Is more than a quarter of tcp_max_syn_backlog free? */
static bool tcp_synq_has_room(const struct sock *sk)
{
    const int max = sock_net(sk)->ipv4.sysctl_tcp_max_syn_backlog;

    return max - atomic_load(&inet_csk(sk)->icsk_accept_queue.qlen) >= max >> 2;
}

/* Role: a SYN arrived at listener sk. Always 0; the caller keeps skb (and drops it). RCU read section. */
int tcp_conn_request(struct sock *sk, struct sk_buff *skb)
{
    struct tcp_options_received tmp = {0};
    u32 isn = TCP_SKB_CB(skb)->tcp_tw_isn;
    const struct iphdr *iph = ip_hdr(skb);
    const struct tcphdr *th = tcp_hdr(skb);
    struct net *net = sock_net(sk);
    struct dst_entry *dst = NULL;
    struct request_sock *req;
    struct tcp_fastopen_cookie foc = {.len = -1};
    struct sock *child = NULL;
    bool want_cookie = false;
    struct flowi4 fl;
    u16 cookie_mss;

    /* tcp_syncookies == 2: always; TIME-WAIT recycling needs its own ISN, so no cookie there. */
    if ((net->ipv4.sysctl_tcp_syncookies == 2 || inet_csk_reqsk_queue_is_full(sk)) && !isn) {
        want_cookie = tcp_syn_flood_action(sk);
        if (!want_cookie)
            goto drop;
    }
    if (sk_acceptq_is_full(sk)) {
        NET_INC_STATS(net, LINUX_MIB_LISTENOVERFLOWS);
        goto drop;
    }
    req = inet_reqsk_alloc(&tcp_request_sock_ops, sk);
    if (!req)
        goto drop;
    req->syncookie = want_cookie;

    tmp.mss_clamp = TCP_MSS_DEFAULT_;
    tmp.user_mss = tcp_sk(sk)->rx_opt.user_mss;
    tcp_parse_options(net, skb, &tmp, 0);
    if (want_cookie && !tmp.saw_tstamp) { /* without timestamps a cookie has no place for options */
        u16 mss = tmp.mss_clamp;
        tcp_clear_options(&tmp);
        tmp.mss_clamp = mss;
    }
    tmp.tstamp_ok = tmp.saw_tstamp;
    tcp_openreq_init(req, &tmp, skb, sk);

    fl = (struct flowi4){0};
    dst = (struct dst_entry *)inet_csk_route_req(sk, &fl, req);
    if (!dst)
        goto drop_and_free;
    tcp_ecn_create_request(req, skb, sk);
    if (want_cookie) {
        cookie_mss = req->mss;
        isn = cookie_v4_init_sequence(sk, skb, &cookie_mss);
        if (!req->tstamp_ok)
            req->ecn_ok = 0;
    } else if (!isn) {
        /* Without cookies the last quarter of the backlog is for peers that are known to be alive. */
        if (!net->ipv4.sysctl_tcp_syncookies && !tcp_synq_has_room(sk) && !tcp_peer_is_proven(net, iph->daddr, iph->saddr))
            goto drop_and_release;
        isn = secure_tcp_seq(net, iph->daddr, iph->saddr, th->dest, th->source);
    }
    req->snt_isn = isn;
    req->snt_synack = net_now(net);
    tcp_openreq_init_rwin(req, sk, dst);
    if (!want_cookie) {
        tcp_reqsk_record_syn(sk, req, skb);
        tcp_parse_fastopen_option(skb, &foc);
        child = tcp_try_fastopen(sk, skb, req, &foc, dst);
    }
    if (child) {
        tcp_fastopen_queue_child(sk, child, req, dst, &foc);
        dst_release(dst);
        reqsk_put(req);
        return 0;
    }
    if (!want_cookie) {
        req->timeout_ns = TCP_TIMEOUT_INIT;
        inet_csk_reqsk_queue_hash_add(sk, req, req->timeout_ns);
    }
    if (want_cookie)
        NET_INC_STATS(net, LINUX_MIB_SYNCOOKIESSENT);
    tcp_v4_send_synack(sk, dst, req, &foc);
    dst_release(dst);
    reqsk_put(req);
    return 0;

drop_and_release:
    dst_release(dst);
drop_and_free:
    reqsk_put(req);
drop:
    NET_INC_STATS(net, LINUX_MIB_LISTENDROPS);
    return 0;
}

int tcp_v4_conn_request(struct sock *sk, struct sk_buff *skb)
{
    if (skb->pkt_type != PACKET_HOST) { /* never answer SYNs sent to broadcast (RFC 1122 4.2.3.10) */
        NET_INC_STATS(sock_net(sk), LINUX_MIB_LISTENDROPS);
        return 0;
    }
    return tcp_conn_request(sk, skb);
}

/* Send one SYN-ACK. dst NULL: look the route up. 0 or -errno. */
int tcp_v4_send_synack(const struct sock *sk, struct dst_entry *dst, struct request_sock *req,
                       const struct tcp_fastopen_cookie *foc)
{
    struct net *net = sock_net(sk);
    struct rtable *rt = NULL;
    struct sk_buff *skb;
    struct flowi4 fl = {0};
    int err = -ENOMEM;
    u8 tos;

    if (!dst) {
        rt = inet_csk_route_req(sk, &fl, req);
        if (!rt)
            return -EHOSTUNREACH;
        dst = &rt->dst;
    }
    skb = tcp_make_synack(sk, dst, req, foc);
    if (skb) {
        tos = inet_sk(sk)->tos;
        skb->priority = (u32)sk->sk_priority;
        err = ip_build_and_send_pkt(skb, net, (struct sock *)sk, (struct rtable *)dst, req->ir_loc_addr,
                                    req->ir_rmt_addr, req->ireq_opt, tos, 0);
        err = err > 0 ? 0 : err; /* queued with congestion is sent well enough: the timer repeats it */
    }
    if (rt)
        dst_release(&rt->dst);
    return err;
}

/* Role: the sock for a finished handshake, hashed in place of its request. Returned with slock held; NULL
 * when the accept queue is full, no memory, or no route. *own_req: it replaced the request. */
struct sock *tcp_v4_syn_recv_sock(const struct sock *sk, struct sk_buff *skb, struct request_sock *req,
                                  struct dst_entry *dst, bool *own_req)
{
    struct inet_sock *newinet;
    struct tcp_sock *newtp;
    struct sock *newsk;
    struct flowi4 fl = {0};

    if (sk_acceptq_is_full(sk)) {
        NET_INC_STATS(sock_net(sk), LINUX_MIB_LISTENOVERFLOWS);
        goto exit;
    }
    newsk = tcp_create_openreq_child(sk, req, skb);
    if (!newsk)
        goto exit;
    newtp = tcp_sk(newsk);
    newinet = inet_sk(newsk);
    newinet->inet_daddr = req->ir_rmt_addr;
    newinet->inet_rcv_saddr = req->ir_loc_addr;
    newinet->inet_saddr = req->ir_loc_addr;
    newinet->inet_dport = req->ir_rmt_port;
    newinet->inet_sport = htobe16(req->ir_num);
    newinet->inet_num = req->ir_num;
    newsk->sk_bound_dev_if = req->ir_iif;
    newinet->inet_opt = req->ireq_opt;
    req->ireq_opt = NULL;
    newinet->tos = inet_sk(sk)->tos;
    atomic_store(&newinet->inet_id, net_random_u32(sock_net(sk)) & 0xffff);
    inet_csk(newsk)->icsk_ext_hdr_len = newinet->inet_opt ? newinet->inet_opt->optlen : 0;
    newsk->sk_txhash = req->txhash;

    if (!dst) {
        dst = (struct dst_entry *)inet_csk_route_req(sk, &fl, req);
        if (!dst)
            goto put_and_exit;
    }
    sk_setup_caps(newsk, dst);
    if (!inet_csk(newsk)->icsk_ca_setsockopt) /* else the listener's choice (TCP_CONGESTION) is inherited */
        tcp_assign_congestion_control(newsk);
    inet_csk(newsk)->icsk_ca_initialized = 0;
    memset(inet_csk_ca(newsk), 0, ICSK_CA_PRIV_SIZE);
    tcp_sync_mss(newsk, dst_mtu(dst));
    newtp->advmss = dst->advmss ? (u16)dst->advmss : (u16)(dst_mtu(dst) - 40);
    if (tcp_sk(sk)->rx_opt.user_mss && tcp_sk(sk)->rx_opt.user_mss < newtp->advmss)
        newtp->advmss = tcp_sk(sk)->rx_opt.user_mss;
    tcp_initialize_rcv_mss(newsk);
    if (__inet_inherit_port(sk, newsk) < 0)
        goto put_and_exit;
    *own_req = inet_ehash_insert(&newsk->__sk_common, req->syncookie || req->tfo_listener ? NULL : &req->__req_common);
    if (*own_req) {
        tcp_move_syn(newtp, req);
        return newsk;
    }
put_and_exit:
    inet_csk_prepare_forced_close(newsk); /* unlocks */
    tcp_done(newsk);
exit:
    NET_INC_STATS(sock_net(sk), LINUX_MIB_LISTENDROPS);
    return NULL;
}
