/* SPDX-License-Identifier: MIT */
/* What is left of a connection in TIME-WAIT (and in FIN-WAIT-2 after close): enough to answer, not a sock.
 *
 * References: the established table has one while the sock is in it, each caller its own. The timer has none:
 * memory is freed after a grace period and after del_timer_sync(), and a handler that comes late finds
 * nothing to do. */

#include "inet_hashtables.h"

static void tw_free_rcu(struct rcu_free *f)
{
    struct inet_timewait_sock *tw = container_of(f, struct inet_timewait_sock, __tw_common.rcu);

    del_timer_sync(&tw->tw_timer);
    free(tw);
}

void inet_twsk_put(struct inet_timewait_sock *tw)
{
    struct sock_common *c = &tw->__tw_common;

    if (atomic_fetch_sub_explicit(&c->skc_refcnt, 1, memory_order_acq_rel) != 1)
        return;
    atomic_fetch_sub(&c->skc_net->hashinfo->tw_count, 1);
    atomic_fetch_sub(&c->skc_net->sock_count, 1);
    net_call_rcu(c->skc_net, &c->rcu, tw_free_rcu);
}

/* Out of table, port and timer. A new connection may have taken its place in the table before. */
void inet_twsk_kill(struct inet_timewait_sock *tw)
{
    struct sock_common *c = &tw->__tw_common;

    del_timer(&tw->tw_timer);
    inet_bind_bucket_leave(c->skc_net->hashinfo, c);
    atomic_fetch_add_explicit(&c->skc_refcnt, 1, memory_order_relaxed); /* over the table's put */
    inet_ehash_remove(c);
    void (*unhashed)(struct sock_common *) = __atomic_exchange_n(&tw->tw_unhashed, NULL, __ATOMIC_ACQ_REL);
    if (unhashed)
        unhashed(c);
    inet_twsk_put(tw);
}

static void tw_timer_handler(struct timer_list *t)
{
    struct inet_timewait_sock *tw = container_of(t, struct inet_timewait_sock, tw_timer);
    struct sock_common *c = &tw->__tw_common;

    rcu_read_lock();
    if (sock_hold_safe(c)) {
        if (READ_ONCE(c->skc_hashed)) {
            NET_INC_STATS(c->skc_net, LINUX_MIB_TIMEWAITED);
            inet_twsk_kill(tw);
        }
        inet_twsk_put(tw);
    }
    rcu_read_unlock();
}

struct inet_timewait_sock *inet_twsk_alloc(struct sock *sk, int state)
{
    struct net *net = sock_net(sk);
    struct inet_hashinfo *h = net->hashinfo;
    const struct sock_common *s = &sk->__sk_common;
    struct inet_timewait_sock *tw;
    struct sock_common *c;

    if (atomic_load(&h->tw_count) >= (u32)net->ipv4.sysctl_tcp_max_tw_buckets)
        return NULL;
    tw = calloc(1, sizeof(*tw));
    if (!tw)
        return NULL;
    c = &tw->__tw_common;
    c->skc_daddr = s->skc_daddr;
    c->skc_rcv_saddr = s->skc_rcv_saddr;
    c->skc_dport = s->skc_dport;
    c->skc_num = s->skc_num;
    c->skc_hash = s->skc_hash;
    c->skc_family = s->skc_family;
    c->skc_state = TCP_TIME_WAIT;
    c->skc_reuse = s->skc_reuse;
    c->skc_reuseport = s->skc_reuseport;
    c->skc_ipv6only = s->skc_ipv6only;
    c->skc_bound_dev_if = s->skc_bound_dev_if;
    c->skc_net = net;
    c->skc_prot = s->skc_prot;
    c->skc_cookie = s->skc_cookie;
    atomic_store(&c->skc_refcnt, 1);
    tw->tw_substate = (u8)state;
    tw->tw_tos = inet_sk(sk)->tos;
    tw->tw_user_data = sk->sk_user_data;
    timer_setup(&tw->tw_timer, net, tw_timer_handler);
    atomic_fetch_add(&h->tw_count, 1);
    atomic_fetch_add(&net->sock_count, 1);
    return tw;
}

void inet_twsk_hashdance(struct inet_timewait_sock *tw, struct sock *sk)
{
    struct inet_hashinfo *h = sock_net(sk)->hashinfo;

    /* The port first: it must not be free for a moment in between. */
    inet_bind_bucket_share(h, &sk->__sk_common, &tw->__tw_common);
    if (__inet_ehash_insert(&tw->__tw_common, &sk->__sk_common)) {
        inet_bind_bucket_leave(h, &tw->__tw_common); /* sk was not in the table (any more) */
        return;
    }
    sock_put(sk); /* the table's */
    if (sk->sk_unhashed && !tw->tw_unhashed)
        sk->sk_unhashed(sk);
}

void inet_twsk_schedule(struct inet_timewait_sock *tw, u64 timeout_ns)
{
    WRITE_ONCE(tw->tw_timeout, timeout_ns);
    mod_timer(&tw->tw_timer, net_now(tw->__tw_common.skc_net) + timeout_ns);
}

void inet_twsk_deschedule_put(struct inet_timewait_sock *tw)
{
    inet_twsk_kill(tw);
    inet_twsk_put(tw);
}
