/* SPDX-License-Identifier: MIT */
/* TCP Fast Open, the server (RFC 7413 4.2.2): a SYN with a cookie of ours and data makes a sock at once, which the
 * program may accept, read and answer while it is still in SYN-RECEIVED.
 *
 * Such a child and its request_sock refer to each other until the handshake's last ACK: the child has a
 * reference on the request (fastopen_rsk), the accept queue another. The listener counts them (fastopen_qlen,
 * under rskq_lock) against TCP_FASTOPEN's limit. */

#include "../core/rcu.h"
#include "tcp_fastopen.h"
#include "tcp_input.h"
#include "tcp_output.h"
#include <stdio.h>

#define FASTOPEN_RST_HOLD (60 * NSEC_PER_SEC)

/* ---- cookies -------------------------------------------------------------------------------------------------- */

static u64 get_le64(const u8 *p)
{
    u64 v;

    memcpy(&v, p, 8);
    return le64toh(v);
}

static void put_le64(u8 *p, u64 v)
{
    v = htole64(v);
    memcpy(p, &v, 8);
}

static void tcp_fastopen_ctx_free(struct rcu_free *f) { free(container_of(f, struct tcp_fastopen_context, rcu)); }

/* The listener's own keys, else the net's. RCU read section. */
static const struct tcp_fastopen_context *tcp_fastopen_ctx(const struct sock *sk)
{
    const struct tcp_fastopen_context *ctx = rcu_dereference(inet_csk(sk)->icsk_accept_queue.fastopen_ctx);

    return ctx ? ctx : tcp_net_fastopen(sock_net(sk));
}

u32 tcp_fastopen_parse_key(const char *text, u8 *key)
{
    unsigned int w[8];
    int n = sscanf(text, "%8x-%8x-%8x-%8x,%8x-%8x-%8x-%8x", w, w + 1, w + 2, w + 3, w + 4, w + 5, w + 6, w + 7);

    if ((n != 4 && n != 8) || !(w[0] | w[1] | w[2] | w[3]))
        return 0;
    for (int i = 0; i < n; i++) {
        u32 le = htole32(w[i]);

        memcpy(key + 4 * i, &le, 4);
    }
    return 4 * (u32)n;
}

static void tcp_fastopen_fill_keys(struct tcp_fastopen_context *ctx, const u8 *key, u32 len)
{
    ctx->num = (int)(len / TCP_FASTOPEN_KEY_LENGTH);
    for (int i = 0; i < ctx->num; i++) {
        ctx->key[i].key[0] = get_le64(key + 16 * i);
        ctx->key[i].key[1] = get_le64(key + 16 * i + 8);
    }
}

void tcp_fastopen_init_key(struct tcp_fastopen_context *ctx, struct net *net)
{
    if (net->ipv4.sysctl_tcp_fastopen_key_len) {
        tcp_fastopen_fill_keys(ctx, net->ipv4.sysctl_tcp_fastopen_key, net->ipv4.sysctl_tcp_fastopen_key_len);
        return;
    }
    ctx->num = 1;
    ctx->key[0].key[0] = net->ops->random(net);
    ctx->key[0].key[1] = net->ops->random(net);
}

int tcp_fastopen_set_key(struct sock *sk, const u8 *key, u32 len)
{
    struct request_sock_queue *q = &inet_csk(sk)->icsk_accept_queue;
    struct tcp_fastopen_context *ctx, *old;

    if (len != TCP_FASTOPEN_KEY_LENGTH && len != 2 * TCP_FASTOPEN_KEY_LENGTH)
        return -EINVAL;
    ctx = calloc(1, sizeof(*ctx));
    if (!ctx)
        return -ENOMEM;
    tcp_fastopen_fill_keys(ctx, key, len);
    old = q->fastopen_ctx;
    rcu_assign_pointer(q->fastopen_ctx, ctx);
    if (old)
        net_call_rcu(sock_net(sk), &old->rcu, tcp_fastopen_ctx_free);
    return 0;
}

void tcp_fastopen_get_key(struct sock *sk, u8 *key, u32 *len)
{
    const struct tcp_fastopen_context *ctx;

    rcu_read_lock();
    ctx = tcp_fastopen_ctx(sk);
    *len = (u32)ctx->num * TCP_FASTOPEN_KEY_LENGTH;
    for (int i = 0; i < ctx->num; i++) {
        put_le64(key + 16 * i, ctx->key[i].key[0]);
        put_le64(key + 16 * i + 8, ctx->key[i].key[1]);
    }
    rcu_read_unlock();
}

void tcp_fastopen_destroy_cipher(struct sock *sk)
{
    struct request_sock_queue *q = &inet_csk(sk)->icsk_accept_queue;
    struct tcp_fastopen_context *old = q->fastopen_ctx;

    rcu_assign_pointer(q->fastopen_ctx, NULL);
    if (old)
        net_call_rcu(sock_net(sk), &old->rcu, tcp_fastopen_ctx_free);
}

/* A cookie proves that its owner receives at this address; nothing else goes in (RFC 7413 4.1.2). */
static void __tcp_fastopen_cookie_gen(const struct sk_buff *syn, const siphash_key_t *key, struct tcp_fastopen_cookie *c)
{
    const struct iphdr *iph = ip_hdr(syn);
    u64 w[1] = {(u64)iph->daddr << 32 | iph->saddr};

    put_le64(c->val, siphash_words(w, 1, key));
    c->len = TCP_FASTOPEN_COOKIE_SIZE;
}

static void tcp_fastopen_cookie_gen(const struct sock *sk, const struct sk_buff *syn, struct tcp_fastopen_cookie *c)
{
    rcu_read_lock();
    __tcp_fastopen_cookie_gen(syn, &tcp_fastopen_ctx(sk)->key[0], c);
    rcu_read_unlock();
}

/* 0: not one of ours; 1: right; 2: made with the key before, *valid is the new one. */
static int tcp_fastopen_cookie_gen_check(const struct sock *sk, const struct sk_buff *syn,
                                         const struct tcp_fastopen_cookie *orig, struct tcp_fastopen_cookie *valid)
{
    const struct tcp_fastopen_context *ctx;
    struct tcp_fastopen_cookie c = {.len = -1};
    int ret = 0;

    rcu_read_lock();
    ctx = tcp_fastopen_ctx(sk);
    for (int i = 0; i < ctx->num && !ret; i++) {
        __tcp_fastopen_cookie_gen(syn, &ctx->key[i], &c);
        if (i == 0)
            *valid = c;
        if (orig->len == c.len && !memcmp(orig->val, c.val, (size_t)c.len))
            ret = i + 1;
    }
    rcu_read_unlock();
    return ret;
}

/* ---- the SYN ------------------------------------------------------------------------------------------------------- */

void tcp_fastopen_add_skb(struct sock *sk, struct sk_buff *syn)
{
    struct tcp_sock *tp = tcp_sk(sk);
    bool fragstolen = false;
    struct sk_buff *skb;

    if (TCP_SKB_CB(syn)->end_seq == tp->rcv_nxt)
        return;
    skb = skb_clone(syn);
    if (!skb)
        return;
    skb_dst_drop(skb);
    tp->segs_in = 1;
    tp->data_segs_in = 1;
    pskb_pull(skb, tcp_hdrlen(syn));
    sk_forced_mem_schedule(sk, (int)skb->truesize);
    TCP_SKB_CB(skb)->seq++;
    TCP_SKB_CB(skb)->tcp_flags &= (u8)~TCPHDR_SYN;
    tp->syn_data_acked = 1;
    tp->bytes_received = 0; /* tcp_queue_rcv counts. SYN with FIN was dropped at the door */
    if (tcp_queue_rcv(sk, skb, &fragstolen))
        kfree_skb_partial(skb, fragstolen);
}

/* The sock for a SYN whose data is taken now. slock held, a reference; NULL: no memory, the queue is full. */
static struct sock *tcp_fastopen_create_child(struct sock *sk, struct sk_buff *skb, struct request_sock *req)
{
    struct request_sock_queue *q = &inet_csk(sk)->icsk_accept_queue;
    struct tcp_sock *tp;
    struct sock *child;
    bool own_req;

    req->tfo_listener = true; /* it is in no table for the child to take its place */
    child = inet_csk(sk)->icsk_af_ops->syn_recv_sock(sk, skb, req, NULL, &own_req);
    if (!child) {
        req->tfo_listener = false;
        return NULL;
    }
    spin_lock(&q->rskq_lock);
    q->fastopen_qlen++;
    spin_unlock(&q->rskq_lock);

    tp = tcp_sk(child);
    atomic_fetch_add(&req->rsk_refcnt, 1);
    req->sk = child;
    tp->fastopen_rsk = req;
    tp->syn_fastopen_child = 1;
    tp->snd_wnd = be16toh(tcp_hdr(skb)->window); /* never scaled in a SYN (RFC 7323 2.2) */
    tp->max_window = tp->snd_wnd;
    req->timeout_ns = TCP_TIMEOUT_INIT;
    inet_csk_reset_xmit_timer(child, ICSK_TIME_RETRANS, req->timeout_ns, tcp_rto_max(child));
    tcp_init_transfer(child, false);
    WRITE_ONCE(tp->rcv_nxt, TCP_SKB_CB(skb)->seq + 1);
    tcp_fastopen_add_skb(child, skb);
    req->rcv_nxt = tp->rcv_nxt;
    tp->rcv_wup = tp->rcv_nxt;
    return child;
}

/* Is there room for one more child without a handshake? A place that a reset one kept is free again after a minute. */
static bool tcp_fastopen_queue_check(struct sock *sk)
{
    struct request_sock_queue *q = &inet_csk(sk)->icsk_accept_queue;
    struct request_sock *old = NULL;
    bool room;

    spin_lock(&q->rskq_lock);
    room = q->fastopen_qlen < q->fastopen_max_qlen;
    old = q->fastopen_rst_head;
    if (!room && q->fastopen_max_qlen && old && old->timeout_ns <= net_now(sock_net(sk))) {
        q->fastopen_rst_head = old->dl_next;
        if (!old->dl_next)
            q->fastopen_rst_tail = NULL;
        q->fastopen_qlen--;
        room = true;
    } else {
        old = NULL;
    }
    spin_unlock(&q->rskq_lock);
    if (!room && q->fastopen_max_qlen)
        NET_INC_STATS(sock_net(sk), LINUX_MIB_TCPFASTOPENLISTENOVERFLOW);
    if (old)
        reqsk_put(old);
    return room;
}

/* The data is taken. *foc: what the SYN-ACK carries, valid when the cookie's key is the old one. */
static struct sock *tcp_fastopen_accept_data(struct sock *sk, struct sk_buff *skb, struct request_sock *req,
                                             struct tcp_fastopen_cookie *foc, bool alt_key,
                                             const struct tcp_fastopen_cookie *valid)
{
    struct sock *child = tcp_fastopen_create_child(sk, skb, req);

    if (!child) {
        NET_INC_STATS(sock_net(sk), LINUX_MIB_TCPFASTOPENPASSIVEFAIL);
        return NULL;
    }
    if (alt_key) {
        bool exp = foc->exp;

        *foc = *valid;
        foc->exp = exp;
        NET_INC_STATS(sock_net(sk), LINUX_MIB_TCPFASTOPENPASSIVEALTKEY);
    } else {
        foc->len = -1;
    }
    NET_INC_STATS(sock_net(sk), LINUX_MIB_TCPFASTOPENPASSIVE);
    return child;
}

struct sock *tcp_try_fastopen(struct sock *sk, struct sk_buff *skb, struct request_sock *req,
                              struct tcp_fastopen_cookie *foc, struct dst_entry *dst)
{
    bool syn_data = TCP_SKB_CB(skb)->end_seq != TCP_SKB_CB(skb)->seq + 1, exp = foc->exp;
    const int bits = sock_net(sk)->ipv4.sysctl_tcp_fastopen;
    struct tcp_fastopen_cookie valid = {.len = -1};
    struct sock *child;
    int ret = 0;

    if (foc->len == 0)
        NET_INC_STATS(sock_net(sk), LINUX_MIB_TCPFASTOPENCOOKIEREQD);
    if (!((bits & TFO_SERVER_ENABLE) && (syn_data || foc->len >= 0) && tcp_fastopen_queue_check(sk))) {
        foc->len = -1;
        return NULL;
    }
    if ((bits & TFO_SERVER_COOKIE_NOT_REQD) || tcp_sk(sk)->fastopen_no_cookie) {
        child = tcp_fastopen_accept_data(sk, skb, req, foc, false, &valid);
        if (child)
            return child;
    } else if (foc->len == 0) {
        tcp_fastopen_cookie_gen(sk, skb, &valid);
    } else if (foc->len > 0) {
        ret = tcp_fastopen_cookie_gen_check(sk, skb, foc, &valid);
        if (!ret) {
            NET_INC_STATS(sock_net(sk), LINUX_MIB_TCPFASTOPENPASSIVEFAIL);
        } else {
            child = tcp_fastopen_accept_data(sk, skb, req, foc, ret == 2, &valid);
            if (child)
                return child;
        }
    }
    valid.exp = exp;
    *foc = valid;
    return NULL;
}

/* ---- until the handshake ends ----------------------------------------------------------------------------------------- */

void reqsk_fastopen_remove(struct sock *sk, struct request_sock *req, bool reset)
{
    struct sock *lsk = req->rsk_listener;
    struct request_sock_queue *q = &inet_csk(lsk)->icsk_accept_queue;
    bool keep;

    tcp_sk(sk)->fastopen_rsk = NULL;
    spin_lock(&q->rskq_lock);
    q->fastopen_qlen--;
    req->tfo_listener = false;
    /* While accept() has not taken the child, the accept queue has the request and dl_next. */
    keep = reset && !req->sk && atomic_load(&lsk->sk_state) == TCP_LISTEN;
    if (keep) {
        req->timeout_ns = net_now(sock_net(lsk)) + FASTOPEN_RST_HOLD;
        req->dl_next = NULL;
        if (q->fastopen_rst_tail)
            q->fastopen_rst_tail->dl_next = req;
        else
            q->fastopen_rst_head = req;
        q->fastopen_rst_tail = req;
        q->fastopen_qlen++;
    }
    spin_unlock(&q->rskq_lock);
    if (!keep)
        reqsk_put(req);
}

void tcp_fastopen_listen(struct sock *sk, int backlog)
{
    const int bits = sock_net(sk)->ipv4.sysctl_tcp_fastopen;

    if ((bits & TFO_SERVER_WO_SOCKOPT1) && (bits & TFO_SERVER_ENABLE) &&
        !inet_csk(sk)->icsk_accept_queue.fastopen_max_qlen)
        inet_csk(sk)->icsk_accept_queue.fastopen_max_qlen = (u32)backlog;
}

void tcp_fastopen_listen_stop(struct sock *sk)
{
    struct request_sock_queue *q = &inet_csk(sk)->icsk_accept_queue;
    struct request_sock *req, *next;

    spin_lock(&q->rskq_lock);
    req = q->fastopen_rst_head;
    q->fastopen_rst_head = q->fastopen_rst_tail = NULL;
    for (next = req; next; next = next->dl_next)
        q->fastopen_qlen--;
    spin_unlock(&q->rskq_lock);
    for (; req; req = next) {
        next = req->dl_next;
        reqsk_put(req);
    }
    tcp_fastopen_destroy_cipher(sk);
}

void tcp_fastopen_synack_timer(struct sock *sk, struct request_sock *req)
{
    struct inet_connection_sock *icsk = inet_csk(sk);
    struct tcp_sock *tp = tcp_sk(sk);
    int max_retries = icsk->icsk_syn_retries ? icsk->icsk_syn_retries
                                             : sock_net(sk)->ipv4.sysctl_tcp_synack_retries + 1;

    if (req->num_timeout >= max_retries) {
        tcp_write_err(sk);
        return;
    }
    if (icsk->icsk_retransmits == 1) /* as tcp_init_transfer() does after a lost SYN-ACK */
        tcp_enter_loss(sk);
    /* A child that the program has is not given up for an error on the way. */
    tcp_rtx_synack(sk, req);
    req->num_timeout++;
    tcp_update_rto_stats(sk);
    if (!tp->retrans_stamp)
        tp->retrans_stamp = tcp_time_stamp_ts(tp);
    inet_csk_reset_xmit_timer(sk, ICSK_TIME_RETRANS, req->timeout_ns << req->num_timeout, tcp_rto_max(sk));
}

void tcp_rcv_synrecv_state_fastopen(struct sock *sk)
{
    struct tcp_sock *tp = tcp_sk(sk);

    if (inet_csk(sk)->icsk_ca_state == TCP_CA_Loss && !tp->packets_out)
        tcp_try_undo_recovery(sk);
    tcp_update_rto_time(tcp_sk(sk));
    inet_csk(sk)->icsk_retransmits = 0;
    if (!tp->packets_out)
        tp->retrans_stamp = 0;
    reqsk_fastopen_remove(sk, tp->fastopen_rsk, false);
    /* The timer was the SYN-ACK's; data may be out. */
    tcp_rearm_rto(sk);
}
