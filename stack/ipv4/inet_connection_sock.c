/* SPDX-License-Identifier: MIT */
/* Listeners: SYN queue, accept queue, request timers; and the ends of connection-oriented socks.
 *
 * References on a request_sock: the established table has one while it is in it; when a child replaces it there,
 * that one passes to the accept queue and from there to accept(). The timer has none (see
 * inet_timewait_sock.c). A request holds its listener. */

#include "inet_hashtables.h"
#include "tcp_fastopen.h"
#include <fcntl.h>

/* ---- request socks -------------------------------------------------------------------------------------------- */

static void reqsk_timer_handler(struct timer_list *t);

static void reqsk_free_rcu(struct rcu_free *f)
{
    struct request_sock *req = container_of(f, struct request_sock, __req_common.rcu);

    del_timer_sync(&req->rsk_timer);
    free(req->ireq_opt);
    free(req->saved_syn);
    free(req);
}

struct request_sock *inet_reqsk_alloc(const struct request_sock_ops *ops, struct sock *listener)
{
    struct request_sock *req = calloc(1, sizeof(*req));
    struct sock_common *c;

    if (!req)
        return NULL;
    if (!sock_hold_safe(&listener->__sk_common)) {
        free(req);
        return NULL;
    }
    c = &req->__req_common;
    c->skc_net = sock_net(listener);
    c->skc_family = listener->sk_family;
    c->skc_state = TCP_NEW_SYN_RECV;
    c->skc_prot = listener->sk_prot;
    c->skc_bound_dev_if = listener->sk_bound_dev_if;
    c->skc_reuse = listener->sk_reuse;
    c->skc_reuseport = listener->sk_reuseport;
    atomic_store(&c->skc_refcnt, 1);
    req->rsk_listener = listener;
    req->rsk_ops = ops;
    timer_setup(&req->rsk_timer, c->skc_net, reqsk_timer_handler);
    atomic_fetch_add(&c->skc_net->sock_count, 1);
    return req;
}

void reqsk_put(struct request_sock *req)
{
    struct net *net = req->__req_common.skc_net;

    if (atomic_fetch_sub_explicit(&req->rsk_refcnt, 1, memory_order_acq_rel) != 1)
        return;
    sock_put(req->rsk_listener);
    atomic_fetch_sub(&net->sock_count, 1);
    net_call_rcu(net, &req->__req_common.rcu, reqsk_free_rcu);
}

static void reqsk_queue_added(struct request_sock_queue *q)
{
    atomic_fetch_add(&q->young, 1);
    atomic_fetch_add(&q->qlen, 1);
}

static void reqsk_queue_removed(struct request_sock_queue *q, const struct request_sock *req)
{
    if (READ_ONCE(req->num_timeout) == 0)
        atomic_fetch_sub(&q->young, 1);
    atomic_fetch_sub(&q->qlen, 1);
}

bool inet_csk_reqsk_queue_hash_add(struct sock *sk, struct request_sock *req, u64 timeout_ns)
{
    req->timeout_ns = timeout_ns;
    reqsk_queue_added(&inet_csk(sk)->icsk_accept_queue);
    if (!inet_ehash_insert(&req->__req_common, NULL)) {
        reqsk_queue_removed(&inet_csk(sk)->icsk_accept_queue, req);
        return false;
    }
    mod_timer(&req->rsk_timer, net_now(sock_net(sk)) + timeout_ns);
    return true;
}

void inet_csk_reqsk_queue_drop(struct sock *sk, struct request_sock *req)
{
    del_timer(&req->rsk_timer);
    /* The caller may have found req without a reference: the table's must not be the last one used here. */
    if (!sock_hold_safe(&req->__req_common))
        return;
    if (inet_ehash_remove(&req->__req_common))
        reqsk_queue_removed(&inet_csk(sk)->icsk_accept_queue, req);
    reqsk_put(req);
}

/* Retries that a SYN-ACK gets now: fewer while the SYN queue is more than half full of old requests. */
static int reqsk_max_retries(struct sock *sk)
{
    struct request_sock_queue *q = &inet_csk(sk)->icsk_accept_queue;
    int max_retries = inet_csk(sk)->icsk_syn_retries ? inet_csk(sk)->icsk_syn_retries
                                                     : sock_net(sk)->ipv4.sysctl_tcp_synack_retries;
    u32 qlen = (u32)max(atomic_load(&q->qlen), 0);

    if (qlen << 1 > max(8u, READ_ONCE(sk->sk_max_ack_backlog))) {
        u32 young = (u32)max(atomic_load(&q->young), 0) << 1;
        while (max_retries > 2 && qlen >= young) {
            max_retries--;
            young <<= 1;
            if (!young)
                young = 1;
        }
    }
    return max_retries;
}

/* Send the SYN-ACK again, or give the request up. With TCP_DEFER_ACCEPT a request whose ACK came stays silent
 * until the last period, and is given up only after it. */
static bool reqsk_timer_expire(struct sock *sk, struct request_sock *req)
{
    const u8 defer = READ_ONCE(inet_csk(sk)->icsk_accept_queue.rskq_defer_accept);
    const int max_retries = reqsk_max_retries(sk);
    bool expire = req->num_timeout >= max_retries, resend = true;

    if (sk->sk_state != TCP_LISTEN)
        return true;
    if (defer) {
        expire = expire && (!req->acked || req->num_timeout >= defer);
        resend = !req->acked || req->num_timeout >= defer - 1;
    }
    if (expire)
        return true;
    if (resend) {
        int err = req->rsk_ops->rtx_syn_ack(sk, req);
        if (!err)
            req->num_retrans++;
        else if (!req->acked)
            return true;
    }
    return false;
}

static void reqsk_timer_handler(struct timer_list *t)
{
    struct request_sock *req = container_of(t, struct request_sock, rsk_timer);
    struct sock_common *c = &req->__req_common;

    rcu_read_lock();
    if (!sock_hold_safe(c)) {
        rcu_read_unlock();
        return;
    }
    if (READ_ONCE(c->skc_hashed)) {
        struct sock *sk = req->rsk_listener;
        if (reqsk_timer_expire(sk, req)) {
            inet_csk_reqsk_queue_drop(sk, req);
        } else if (READ_ONCE(c->skc_hashed)) {
            if (req->num_timeout++ == 0)
                atomic_fetch_sub(&inet_csk(sk)->icsk_accept_queue.young, 1);
            mod_timer(t, net_now(c->skc_net) + min(req->timeout_ns << min(req->num_timeout, (u8)20), tcp_rto_max(sk)));
        }
    }
    reqsk_put(req);
    rcu_read_unlock();
}

struct rtable *inet_csk_route_req(const struct sock *sk, struct flowi4 *fl, const struct request_sock *req)
{
    const struct ip_options *opt = req->ireq_opt;
    struct rtable *rt;
    int err;

    *fl = (struct flowi4){.daddr = opt && opt->srr ? opt->faddr : req->ir_rmt_addr,
                          .saddr = req->ir_loc_addr,
                          .dport = req->ir_rmt_port,
                          .sport = htobe16(req->ir_num),
                          .oif = sk->sk_bound_dev_if,
                          .mark = req->ir_mark,
                          .tos = inet_sk(sk)->tos,
                          .proto = (u8)sk->sk_protocol};
    rt = ip_route_output_flow(sock_net(sk), fl, &err);
    if (rt && opt && opt->is_strictroute && rt_uses_gateway(rt)) {
        dst_release(&rt->dst);
        rt = NULL;
    }
    if (!rt)
        NET_INC_STATS(sock_net(sk), IPSTATS_MIB_OUTNOROUTES);
    return rt;
}

/* ---- the accept queue -------------------------------------------------------------------------------------------- */

/* A child that no accept() will see: reset it. child's slock held. */
static void inet_child_forget(struct sock *sk, struct sock *child)
{
    sk->sk_prot->disconnect(child, O_NONBLOCK);
    sock_orphan(child);
    atomic_fetch_add(&sock_net(sk)->orphan_count, 1);
    inet_csk_destroy_sock(child);
}

struct sock *inet_csk_reqsk_queue_add(struct sock *sk, struct request_sock *req, struct sock *child)
{
    struct request_sock_queue *q = &inet_csk(sk)->icsk_accept_queue;
    bool listening;

    spin_lock(&q->rskq_lock);
    listening = sk->sk_state == TCP_LISTEN; /* listen_stop() changes it first and empties the queue after */
    if (listening) {
        req->sk = child;
        req->dl_next = NULL;
        if (q->rskq_accept_tail)
            q->rskq_accept_tail->dl_next = req;
        else
            WRITE_ONCE(q->rskq_accept_head, req);
        q->rskq_accept_tail = req;
        WRITE_ONCE(sk->sk_ack_backlog, sk->sk_ack_backlog + 1);
    }
    spin_unlock(&q->rskq_lock);
    if (listening)
        return child;
    inet_child_forget(sk, child);
    reqsk_put(req);
    return NULL;
}

static struct request_sock *reqsk_queue_remove(struct sock *sk)
{
    struct request_sock_queue *q = &inet_csk(sk)->icsk_accept_queue;
    struct request_sock *req;

    spin_lock(&q->rskq_lock);
    req = q->rskq_accept_head;
    if (req) {
        WRITE_ONCE(sk->sk_ack_backlog, sk->sk_ack_backlog - 1);
        WRITE_ONCE(q->rskq_accept_head, req->dl_next);
        if (!q->rskq_accept_head)
            q->rskq_accept_tail = NULL;
        req->dl_next = NULL;
    }
    spin_unlock(&q->rskq_lock);
    return req;
}

/* The child that accept() takes. A fast open request that lives on knows by NULL that it was taken. */
static struct sock *reqsk_take_child(struct sock *sk, struct request_sock *req)
{
    struct request_sock_queue *q = &inet_csk(sk)->icsk_accept_queue;
    struct sock *child;

    spin_lock(&q->rskq_lock);
    child = req->sk;
    req->sk = NULL;
    spin_unlock(&q->rskq_lock);
    return child;
}

struct sock *inet_csk_complete_hashdance(struct sock *sk, struct sock *child, struct request_sock *req, bool own_req)
{
    if (own_req) {
        del_timer(&req->rsk_timer);
        reqsk_queue_removed(&inet_csk(req->rsk_listener)->icsk_accept_queue, req);
        if (inet_csk_reqsk_queue_add(sk, req, child))
            return child;
        bh_unlock_sock(child);
        sock_put(child);
    } else { /* it is in no table: nobody else can reach it */
        inet_csk_prepare_forced_close(child);
        tcp_done(child);
    }
    return NULL;
}

static bool accept_ready(struct sock *sk)
{
    return READ_ONCE(inet_csk(sk)->icsk_accept_queue.rskq_accept_head) || sk->sk_state != TCP_LISTEN;
}

/* accept(2). Returns the child with the accept queue's reference (its own "alive" one), or NULL with
 * *err = -EINVAL (not listening), -EAGAIN, -EINTR, -ERESTARTSYS. */
struct sock *inet_csk_accept(struct sock *sk, int flags, int *err)
{
    struct request_sock *req = NULL;
    struct sock *newsk = NULL;
    u64 timeo;
    int ret;

    lock_sock(sk);
    timeo = sock_rcvtimeo(sk, flags & O_NONBLOCK);
    for (;;) {
        ret = -EINVAL;
        if (sk->sk_state != TCP_LISTEN)
            break;
        req = reqsk_queue_remove(sk);
        if (req)
            break;
        ret = -EAGAIN;
        if (!timeo)
            break;
        ret = sk_wait_event(sk, &timeo, accept_ready);
        if (ret && !accept_ready(sk)) {
            ret = sock_intr_errno(timeo);
            break;
        }
    }
    release_sock(sk);
    if (req) {
        newsk = reqsk_take_child(sk, req);
        reqsk_put(req);
        inet_ehash_service(sock_net(newsk));
        ret = 0;
    }
    *err = ret;
    return newsk;
}

/* ---- listen ------------------------------------------------------------------------------------------------------ */

/* Role: into LISTEN. Socket lock held. 0 or -EADDRINUSE, -ENOMEM. */
int inet_csk_listen_start(struct sock *sk)
{
    struct inet_connection_sock *icsk = inet_csk(sk);
    int err;

    icsk->icsk_accept_queue.rskq_accept_head = icsk->icsk_accept_queue.rskq_accept_tail = NULL;
    /* qlen and young stay: requests of an earlier listen() may still be counted down. */
    sk->sk_ack_backlog = 0;
    memset(&icsk->icsk_ack, 0, sizeof(icsk->icsk_ack));

    /* The state first: the port's rules look at it, and two listeners racing must see each other. */
    tcp_set_state(sk, TCP_LISTEN);
    err = sk->sk_prot->get_port(sk, sk->sk_num);
    if (!err) {
        inet_sk(sk)->inet_sport = htobe16(sk->sk_num);
        sk_dst_reset(sk);
        err = sk->sk_prot->hash(sk);
        if (!err)
            return 0;
    }
    tcp_set_state(sk, TCP_CLOSE);
    return err;
}

void inet_csk_accept_queue_purge(struct sock *sk)
{
    struct request_sock *req;

    while ((req = reqsk_queue_remove(sk))) {
        struct sock *child = req->sk;

        sock_hold(child);
        bh_lock_sock(child);
        inet_child_forget(sk, child);
        bh_unlock_sock(child);
        sock_put(child);
        reqsk_put(req);
    }
}

/* Role: end what accept() has not taken; state is no longer LISTEN. Socket lock held. */
void inet_csk_listen_stop(struct sock *sk)
{
    inet_csk_accept_queue_purge(sk);
    tcp_fastopen_listen_stop(sk);
}

/* ---- children and ends --------------------------------------------------------------------------------------------- */

/* Role: the sock of a new connection: SYN_RECV, addresses and port of the request, in no table. slock held.
 * NULL without memory. */
struct sock *inet_csk_clone_lock(const struct sock *sk, const struct request_sock *req)
{
    struct sock *newsk = sk_clone_lock(sk);
    struct inet_connection_sock *newicsk;
    struct inet_sock *newinet;
    struct sock_common *c;

    if (!newsk)
        return NULL;
    c = &newsk->__sk_common;
    newicsk = inet_csk(newsk);
    newinet = inet_sk(newsk);
    c->skc_state = TCP_SYN_RECV;
    memset(&c->skc_node, 0, sizeof(c->skc_node));
    c->skc_lnode.next = c->skc_lnode.prev = NULL;
    c->skc_bnode.next = c->skc_bnode.prev = NULL;
    c->skc_bind_bucket = NULL;
    c->skc_hashed = false;
    c->skc_daddr = req->ir_rmt_addr;
    c->skc_rcv_saddr = newinet->inet_saddr = req->ir_loc_addr;
    c->skc_dport = req->ir_rmt_port;
    c->skc_num = req->ir_num;
    newinet->inet_sport = htobe16(req->ir_num);
    newinet->inet_opt = NULL;
    atomic_store(&newinet->inet_id, net_random_u32(sock_net(sk)));
    newsk->sk_mark = (int)req->ir_mark;
    newsk->sk_unhashed = NULL; /* the layer above sets its own when it accepts */
    newsk->sk_user_data = NULL;
    newicsk->icsk_retransmits = newicsk->icsk_backoff = newicsk->icsk_probes_out = 0;
    newicsk->icsk_probes_tstamp = 0;
    memset(&newicsk->icsk_accept_queue, 0, sizeof(newicsk->icsk_accept_queue));
    spin_lock_init(&newicsk->icsk_accept_queue.rskq_lock);
    return newsk;
}

/* Role: end a sock in TCP_CLOSE that nobody owns (SOCK_DEAD); drops the reference of being alive and counts
 * the orphan down. slock held (or nobody else can reach it). */
void inet_csk_destroy_sock(struct sock *sk)
{
    BUG_ON(sk->sk_state != TCP_CLOSE);
    BUG_ON(!sock_flag(sk, SOCK_DEAD));
    sk->sk_prot->destroy(sk);
    sk_stream_kill_queues(sk);
    atomic_fetch_sub(&sock_net(sk)->orphan_count, 1);
    sock_put(sk);
}

/* Role: make a child that never came to life ready for tcp_done(): it unlocks child and drops one of the two
 * references of sk_clone_lock. */
void inet_csk_prepare_forced_close(struct sock *sk)
{
    bh_unlock_sock(sk);
    sock_put(sk);
    sock_set_flag(sk, SOCK_DEAD);
    atomic_fetch_add(&sock_net(sk)->orphan_count, 1);
}

/* ---- timers ----------------------------------------------------------------------------------------------------------- */

void inet_csk_init_xmit_timers(struct sock *sk, void (*retransmit)(struct timer_list *), void (*delack)(struct timer_list *),
                               void (*keepalive)(struct timer_list *))
{
    struct inet_connection_sock *icsk = inet_csk(sk);

    timer_setup(&icsk->icsk_retransmit_timer, sock_net(sk), retransmit);
    timer_setup(&icsk->icsk_delack_timer, sock_net(sk), delack);
    timer_setup(&sk->sk_timer, sock_net(sk), keepalive);
    icsk->icsk_pending = icsk->icsk_ack.pending = 0;
}

void inet_csk_clear_xmit_timers(struct sock *sk)
{
    struct inet_connection_sock *icsk = inet_csk(sk);

    icsk->icsk_pending = icsk->icsk_ack.pending = 0;
    sk_stop_timer(sk, &icsk->icsk_retransmit_timer);
    sk_stop_timer(sk, &icsk->icsk_delack_timer);
    sk_stop_timer(sk, &sk->sk_timer);
}

void inet_csk_delete_keepalive_timer(struct sock *sk) { sk_stop_timer(sk, &sk->sk_timer); }

void inet_csk_reset_keepalive_timer(struct sock *sk, u64 delay_ns)
{
    sk_reset_timer(sk, &sk->sk_timer, net_now(sock_net(sk)) + delay_ns);
}
