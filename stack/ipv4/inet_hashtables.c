/* SPDX-License-Identifier: MIT */
/* Established and listening tables: who gets a segment. Locking is described in inet_hashtables.h. */

#include "inet_hashtables.h"
#include "../core/log.h"
#include <signal.h>

/* ---- hash ------------------------------------------------------------------------------------------------ */

/* Keyed 128-bit product, both halves folded: cheap, and without the key nobody can aim at a bucket. */
static inline u64 mum(u64 a, u64 b)
{
    const unsigned __int128 p = (unsigned __int128)a * b;
    return (u64)p ^ (u64)(p >> 64);
}

static inline u64 keyed_mix(const struct inet_hashinfo *h, u64 addrs, u64 ports)
{
    const u64 x = mum(addrs ^ h->secret[0], ports ^ h->secret[1] ^ 0x9e3779b97f4a7c15ull);
    return mum(x ^ h->secret[1], 0xd6e8feb86659fd93ull ^ h->secret[0]);
}

u32 inet_ehashfn(const struct inet_hashinfo *h, __be32 laddr, u16 lport, __be32 faddr, __be16 fport)
{
    return (u32)keyed_mix(h, (u64)laddr << 32 | faddr, (u64)lport << 16 | fport);
}

u64 inet_port_offset(const struct inet_hashinfo *h, __be32 laddr, __be32 faddr, __be16 fport)
{
    return keyed_mix(h, (u64)laddr << 32 | faddr, (u64)fport | 1ull << 40);
}

static u32 sk_ehashfn(const struct sock_common *sk)
{
    return inet_ehashfn(sk->skc_net->hashinfo, sk->skc_rcv_saddr, sk->skc_num, sk->skc_daddr, sk->skc_dport);
}

/* ---- established ------------------------------------------------------------------------------------------- */

struct ehash_key {
    __be32 laddr, faddr;
    __be16 fport;
    u16 lport;
    int dif; /* 0: whatever device the sock is bound to */
};

static inline struct sock_common *node_sk(struct cds_lfht_node *n)
{
    return container_of(n, struct sock_common, skc_node);
}

static int ehash_match(struct cds_lfht_node *node, const void *key)
{
    const struct ehash_key *k = key;
    struct sock_common *sk = node_sk(node);

    lfht_node_seen(node);
    /* A: pairs with B in __inet_ehash_insert(): what was written before the insert is seen. (liburcu's own
     * publication is enough for the machine; this says it in C11, which race detectors understand.) */
    (void)atomic_load_explicit(&sk->skc_refcnt, memory_order_acquire);
    return sk->skc_daddr == k->faddr && sk->skc_rcv_saddr == k->laddr && sk->skc_dport == k->fport &&
           READ_ONCE(sk->skc_num) == k->lport && (!sk->skc_bound_dev_if || !k->dif || sk->skc_bound_dev_if == k->dif);
}

static int ehash_match_self(struct cds_lfht_node *node, const void *key) { return node == key; }

struct sock_common *__inet_lookup_established(struct net *net, __be32 saddr, __be16 sport, __be32 daddr, u16 hnum, int dif)
{
    struct inet_hashinfo *h = net->hashinfo;
    const struct ehash_key key = {.laddr = daddr, .faddr = saddr, .fport = sport, .lport = hnum, .dif = dif};
    const u32 hash = inet_ehashfn(h, daddr, hnum, saddr, sport);
    _Atomic u32 *replaced = &h->replaced[hash % INET_LOCKS];
    struct cds_lfht_iter iter;
    struct cds_lfht_node *n;
    u32 seq;

    /* The sock that a reader stands on may be replaced and then lose its key (its port is given back) before it is
     * compared; its successor is then behind the reader's back. So a miss counts only when nothing was replaced. */
    do {
        seq = atomic_load_explicit(replaced, memory_order_acquire);
        cds_lfht_lookup(h->ehash, hash, ehash_match, &key, &iter);
        n = cds_lfht_iter_get_node(&iter);
        if (likely(n))
            return node_sk(n);
        atomic_thread_fence(memory_order_acquire); /* C: pairs with D; the key first, then the count */
    } while (unlikely(atomic_load_explicit(replaced, memory_order_relaxed) != seq));
    return NULL;
}

/* Request socks are no flows: the listener's entry brings their segments (a SYN flood costs no map update). Those
 * of a listener that has been parked before are: it may be parked again at any moment. */
static bool is_flow(const struct sock_common *sk) { return sk->skc_state != TCP_NEW_SYN_RECV || sk->skc_flow; }

static struct flow_key flow_key_of(const struct sock_common *sk)
{
    return (struct flow_key){.laddr = sk->skc_rcv_saddr,
                             .raddr = sk->skc_daddr,
                             .lport = htobe16(sk->skc_num),
                             .rport = sk->skc_dport};
}

static int steer_add_flow(const struct sock_common *sk)
{
    const struct net_steer_ops *ops = sk->skc_net->steer_ops;
    const struct flow_key k = flow_key_of(sk);

    return ops && ops->add_flow ? ops->add_flow(sk->skc_net, &k) : 0;
}

static void steer_del_flow(const struct sock_common *sk)
{
    const struct net_steer_ops *ops = sk->skc_net->steer_ops;
    const struct flow_key k = flow_key_of(sk);

    if (ops && ops->del_flow)
        ops->del_flow(sk->skc_net, &k);
}

/* sk in osk's place in one step, so that no reader finds neither. ehash_lock held, osk in the table. */
static void ehash_replace(struct inet_hashinfo *h, struct sock_common *sk, struct sock_common *osk)
{
    struct cds_lfht_iter iter;
    int ret;

    cds_lfht_lookup(h->ehash, osk->skc_hash, ehash_match_self, &osk->skc_node, &iter);
    BUG_ON(!cds_lfht_iter_get_node(&iter));
    ret = cds_lfht_replace(h->ehash, &iter, osk->skc_hash, ehash_match_self, &osk->skc_node, &sk->skc_node);
    BUG_ON(ret); /* writers of this 4-tuple hold the same lock */
    WRITE_ONCE(osk->skc_hashed, false);
    atomic_fetch_add_explicit(&h->replaced[osk->skc_hash % INET_LOCKS], 1, memory_order_relaxed);
    atomic_thread_fence(memory_order_release); /* D: pairs with C; counted before osk's key may change */
}

static int ehash_add(struct inet_hashinfo *h, struct sock_common *sk, struct sock_common *osk)
{
    int err;

    if (osk) {
        if (!osk->skc_hashed)
            return -EADDRNOTAVAIL;
        err = is_flow(sk) && !is_flow(osk) ? steer_add_flow(sk) : 0;
        if (!err)
            ehash_replace(h, sk, osk);
        return err;
    }
    if (__inet_lookup_established(sk->skc_net, sk->skc_daddr, sk->skc_dport, sk->skc_rcv_saddr, sk->skc_num,
                                  sk->skc_bound_dev_if))
        return -EADDRNOTAVAIL;
    if (sk->skc_state == TCP_NEW_SYN_RECV)
        sk->skc_flow = READ_ONCE(((struct request_sock *)sk)->rsk_listener->__sk_common.skc_flow);
    if (is_flow(sk)) {
        err = steer_add_flow(sk);
        if (err)
            return err;
    }
    cds_lfht_add(h->ehash, sk->skc_hash, &sk->skc_node);
    atomic_fetch_add_explicit(&h->ehash_count, 1, memory_order_relaxed);
    return 0;
}

int __inet_ehash_insert(struct sock_common *sk, struct sock_common *osk)
{
    struct inet_hashinfo *h = sk->skc_net->hashinfo;
    spinlock_t *lock;
    int err;

    sk->skc_hash = sk_ehashfn(sk);
    BUG_ON(osk && osk->skc_hash != sk->skc_hash);
    lock = inet_ehash_lockp(h, sk->skc_hash);
    rcu_read_lock();
    spin_lock(lock);
    /* The table's reference, before a reader can find it. B: pairs with A in ehash_match(). */
    atomic_fetch_add_explicit(&sk->skc_refcnt, 1, memory_order_release);
    err = ehash_add(h, sk, osk);
    if (!err)
        WRITE_ONCE(sk->skc_hashed, true);
    else
        atomic_fetch_sub_explicit(&sk->skc_refcnt, 1, memory_order_relaxed);
    spin_unlock(lock);
    rcu_read_unlock();
    return err;
}

bool inet_ehash_insert(struct sock_common *sk, struct sock_common *osk) { return !__inet_ehash_insert(sk, osk); }

/* Drop the table's reference on whatever kind it is. */
static void skc_put(struct sock_common *sk)
{
    switch (atomic_load(&sk->skc_state)) {
    case TCP_NEW_SYN_RECV:
        reqsk_put((struct request_sock *)sk);
        break;
    case TCP_TIME_WAIT:
        inet_twsk_put((struct inet_timewait_sock *)sk);
        break;
    default:
        sock_put((struct sock *)sk);
    }
}

bool inet_ehash_remove(struct sock_common *sk)
{
    struct inet_hashinfo *h = sk->skc_net->hashinfo;
    spinlock_t *lock = inet_ehash_lockp(h, sk->skc_hash);
    bool found;

    rcu_read_lock();
    spin_lock(lock);
    found = sk->skc_hashed;
    if (found) {
        cds_lfht_del(h->ehash, &sk->skc_node);
        WRITE_ONCE(sk->skc_hashed, false);
        atomic_fetch_sub_explicit(&h->ehash_count, 1, memory_order_relaxed);
        if (is_flow(sk))
            steer_del_flow(sk);
    }
    spin_unlock(lock);
    rcu_read_unlock();
    if (found)
        skc_put(sk);
    return found;
}

/* A node that left the table may still be under a reader's feet: used again at once it would lead the
 * reader into another chain. Only a program that connects or listens twice with one socket waits here. */
void inet_hash_nodes_recycle(struct sock_common *sk)
{
    if (sk->skc_hashed || (!sk->skc_node.next && !sk->skc_lnode.next))
        return;
    synchronize_rcu();
    memset(&sk->skc_node, 0, sizeof(sk->skc_node));
    sk->skc_lnode.next = sk->skc_lnode.prev = NULL;
}

void inet_ehash_service(struct net *net)
{
    struct inet_hashinfo *h = net->hashinfo;
    u32 count = atomic_load_explicit(&h->ehash_count, memory_order_relaxed);
    sigset_t all, old;

    if (likely(count <= READ_ONCE(h->ehash_size)) || atomic_exchange(&h->resizing, 1))
        return;
    while (h->ehash_size < count && h->ehash_size < 1u << 24)
        WRITE_ONCE(h->ehash_size, h->ehash_size * 2);
    WRITE_ONCE(h->ehash_size, h->ehash_size * 2);
    /* liburcu may split a large table's growth among short-lived threads; the program's signals are not theirs. */
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    cds_lfht_resize(h->ehash, h->ehash_size);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    atomic_store(&h->resizing, 0);
}

u32 inet_ehash_count(struct net *net)
{
    return atomic_load_explicit(&net->hashinfo->ehash_count, memory_order_relaxed);
}

/* ---- listening ------------------------------------------------------------------------------------------------ */

static struct inet_listen_hashbucket *lhash_bucket(struct inet_hashinfo *h, u16 port)
{
    return &h->lhash[(port ^ port >> 8) % INET_LHTABLE_SIZE];
}

/* How well a listener fits: -1 not at all; a bound address before a bound device before the family, and of several
 * at the same address (SO_REUSEPORT) one that takes connections before one that is parked. */
static int listener_score(const struct sock_common *sk, __be32 daddr, u16 hnum, int dif)
{
    int score = 1;

    if (READ_ONCE(sk->skc_num) != hnum || sk->skc_ipv6only)
        return -1;
    if (sk->skc_rcv_saddr) {
        if (sk->skc_rcv_saddr != daddr)
            return -1;
        score += 8;
    }
    if (sk->skc_bound_dev_if) {
        if (sk->skc_bound_dev_if != dif)
            return -1;
        score += 4;
    }
    if (sk->skc_family == AF_INET)
        score += 2;
    return score * 2 + !READ_ONCE(sk->skc_parked);
}

/* Among the best listeners of a SO_REUSEPORT group the connection's hash decides, so that a retransmitted SYN
 * meets the same one. */
struct sock *__inet_lookup_listener(struct net *net, __be32 saddr, __be16 sport, __be32 daddr, u16 hnum, int dif)
{
    struct inet_hashinfo *h = net->hashinfo;
    struct inet_listen_hashbucket *b = lhash_bucket(h, hnum);
    struct sock_common *sk, *best = NULL;
    int hiscore = 0;
    u32 group = 0, pick;

    cds_list_for_each_entry_rcu(sk, &b->head, skc_lnode) {
        int score = listener_score(sk, daddr, hnum, dif);
        if (score > hiscore) {
            hiscore = score;
            best = sk;
            group = sk->skc_reuseport;
        } else if (score == hiscore && best && best->skc_reuseport && sk->skc_reuseport) {
            group++;
        }
    }
    if (group <= 1)
        return (struct sock *)best;
    pick = (u32)(((u64)inet_ehashfn(h, daddr, hnum, saddr, sport) * group) >> 32);
    cds_list_for_each_entry_rcu(sk, &b->head, skc_lnode)
        if (sk->skc_reuseport && listener_score(sk, daddr, hnum, dif) == hiscore && pick-- == 0)
            return (struct sock *)sk;
    return (struct sock *)best; /* the group shrank meanwhile */
}

struct sock *__inet_lookup(struct net *net, __be32 saddr, __be16 sport, __be32 daddr, u16 hnum, int dif, bool *refcounted)
{
    struct sock_common *sk = __inet_lookup_established(net, saddr, sport, daddr, hnum, dif);

    *refcounted = sk != NULL;
    return sk ? (struct sock *)sk : __inet_lookup_listener(net, saddr, sport, daddr, hnum, dif);
}

/* Does another listener (taking: that is not parked) stand for the same steering entry? Bucket lock held. */
static bool listener_has_twin(const struct inet_listen_hashbucket *b, const struct sock_common *sk, bool taking)
{
    const struct sock_common *o;

    cds_list_for_each_entry(o, &b->head, skc_lnode)
        if (o != sk && o->skc_num == sk->skc_num && o->skc_rcv_saddr == sk->skc_rcv_saddr && !o->skc_ipv6only &&
            !(taking && o->skc_parked))
            return true;
    return false;
}

/* Whether sk is parked matters while no other listener takes connections in its place. Bucket lock held. */
static void steer_park(const struct inet_listen_hashbucket *b, const struct sock_common *sk, bool parked)
{
    const struct net_steer_ops *ops = sk->skc_net->steer_ops;

    if (ops && ops->park_listener && !sk->skc_ipv6only && !listener_has_twin(b, sk, true))
        ops->park_listener(sk->skc_net, sk->skc_rcv_saddr, htobe16(sk->skc_num), parked);
}

/* The handshakes of sk, those to come and those under way, become flows. */
static void requests_to_flows(struct sock_common *sk)
{
    struct inet_hashinfo *h = sk->skc_net->hashinfo;
    struct cds_lfht_iter iter;
    struct sock_common *c;

    WRITE_ONCE(sk->skc_flow, true);
    for (int i = 0; i < INET_LOCKS; i++) { /* who has read false has inserted by then */
        spin_lock(&h->ehash_lock[i]);
        spin_unlock(&h->ehash_lock[i]);
    }
    if (!atomic_load(&inet_csk((struct sock *)sk)->icsk_accept_queue.qlen))
        return;
    rcu_read_lock();
    cds_lfht_for_each_entry(h->ehash, &iter, c, skc_node) {
        if (c->skc_state != TCP_NEW_SYN_RECV || ((struct request_sock *)c)->rsk_listener != (struct sock *)sk)
            continue;
        spin_lock(inet_ehash_lockp(h, c->skc_hash));
        if (c->skc_hashed && !c->skc_flow)
            c->skc_flow = !steer_add_flow(c);
        spin_unlock(inet_ehash_lockp(h, c->skc_hash));
    }
    rcu_read_unlock();
}

void inet_listen_park(struct sock *sk, bool parked)
{
    struct sock_common *c = &sk->__sk_common;
    struct inet_listen_hashbucket *b = lhash_bucket(c->skc_net->hashinfo, c->skc_num);

    if (parked && !c->skc_flow && sk->sk_state == TCP_LISTEN)
        requests_to_flows(c);
    spin_lock(&b->lock);
    if (c->skc_parked != parked) {
        WRITE_ONCE(c->skc_parked, parked);
        if (c->skc_lnode.prev)
            steer_park(b, c, parked);
    }
    spin_unlock(&b->lock);
}

static int lhash_insert(struct sock_common *sk)
{
    struct net *net = sk->skc_net;
    struct inet_listen_hashbucket *b = lhash_bucket(net->hashinfo, sk->skc_num);
    const struct net_steer_ops *ops = net->steer_ops;
    int err = 0;

    inet_hash_nodes_recycle(sk);
    spin_lock(&b->lock);
    if (listener_has_twin(b, sk, false)) {
        if (!sk->skc_parked)
            steer_park(b, sk, false);
    } else if (ops && ops->add_listener && !sk->skc_ipv6only) {
        err = ops->add_listener(net, sk->skc_rcv_saddr, htobe16(sk->skc_num), sk->skc_parked);
    }
    if (!err) {
        atomic_fetch_add_explicit(&sk->skc_refcnt, 1, memory_order_relaxed);
        WRITE_ONCE(sk->skc_hashed, true);
        cds_list_add_rcu(&sk->skc_lnode, &b->head);
    }
    spin_unlock(&b->lock);
    return err;
}

static void lhash_remove(struct sock_common *sk)
{
    struct net *net = sk->skc_net;
    struct inet_listen_hashbucket *b = lhash_bucket(net->hashinfo, sk->skc_num);
    const struct net_steer_ops *ops = net->steer_ops;
    bool found;

    spin_lock(&b->lock);
    found = sk->skc_lnode.prev != NULL;
    if (found) {
        cds_list_del_rcu(&sk->skc_lnode);
        sk->skc_lnode.prev = NULL; /* readers use next only; prev says "in the list" */
        WRITE_ONCE(sk->skc_hashed, false);
        if (listener_has_twin(b, sk, false)) {
            if (!sk->skc_parked)
                steer_park(b, sk, true);
        } else if (ops && ops->del_listener && !sk->skc_ipv6only) {
            ops->del_listener(net, sk->skc_rcv_saddr, htobe16(sk->skc_num));
        }
    }
    spin_unlock(&b->lock);
    if (found)
        sock_put((struct sock *)sk);
}

/* ---- proto.hash, proto.unhash ------------------------------------------------------------------------------------ */

int inet_hash(struct sock *sk)
{
    struct sock_common *c = &sk->__sk_common;

    if (READ_ONCE(c->skc_hashed))
        return 0;
    if (sk->sk_state == TCP_LISTEN)
        return lhash_insert(c);
    if (sk->sk_state == TCP_CLOSE)
        return 0;
    return __inet_ehash_insert(c, NULL) ? -EADDRINUSE : 0;
}

void inet_unhash(struct sock *sk)
{
    struct sock_common *c = &sk->__sk_common;

    if (!READ_ONCE(c->skc_hashed))
        return;
    if (c->skc_lnode.prev)
        lhash_remove(c);
    else if (inet_ehash_remove(c) && sk->sk_unhashed)
        sk->sk_unhashed(sk);
}

void inet_for_each(struct net *net, void (*fn)(struct sock_common *sk, void *arg), void *arg)
{
    struct inet_hashinfo *h = net->hashinfo;
    struct cds_lfht_iter iter;
    struct sock_common *sk;

    for (u32 i = 0; i < INET_LHTABLE_SIZE; i++)
        cds_list_for_each_entry_rcu(sk, &h->lhash[i].head, skc_lnode)
            fn(sk, arg);
    cds_lfht_for_each_entry(h->ehash, &iter, sk, skc_node)
        fn(sk, arg);
}

/* ---- per net ------------------------------------------------------------------------------------------------------- */

int inet_hashinfo_init(struct net *net)
{
    struct inet_hashinfo *h = calloc(1, sizeof(*h));

    if (!h)
        return -ENOMEM;
    /* No AUTO_RESIZE: it would start a thread in the program. */
    h->ehash = cds_lfht_new_flavor(INET_EHASH_MIN, INET_EHASH_MIN, 0, 0, &urcu_bp_flavor, NULL);
    if (!h->ehash || inet_bhash_init(h)) {
        if (h->ehash)
            cds_lfht_destroy(h->ehash, NULL);
        free(h);
        return -ENOMEM;
    }
    h->ehash_size = INET_EHASH_MIN;
    for (int i = 0; i < INET_LOCKS; i++)
        spin_lock_init(&h->ehash_lock[i]);
    for (int i = 0; i < INET_LHTABLE_SIZE; i++) {
        spin_lock_init(&h->lhash[i].lock);
        CDS_INIT_LIST_HEAD(&h->lhash[i].head);
    }
    h->secret[0] = net->ops->random(net);
    h->secret[1] = net->ops->random(net);
    for (int i = 0; i < INET_TABLE_PERTURB_SIZE; i++)
        h->table_perturb[i] = net_random_u32(net);
    net->hashinfo = h;
    return 0;
}

/* End what has no program any more: requests, time-wait socks and orphans. */
static void inet_purge(struct net *net)
{
    struct inet_hashinfo *h = net->hashinfo;
    struct cds_lfht_iter iter;
    struct sock_common *c;

    rcu_read_lock();
    cds_lfht_for_each_entry(h->ehash, &iter, c, skc_node) {
        struct sock *sk = (struct sock *)c;

        if (c->skc_state == TCP_NEW_SYN_RECV) {
            inet_csk_reqsk_queue_drop(((struct request_sock *)c)->rsk_listener, (struct request_sock *)c);
        } else if (c->skc_state == TCP_TIME_WAIT) {
            inet_twsk_kill((struct inet_timewait_sock *)c);
        } else if (sock_flag(sk, SOCK_DEAD) && sock_hold_safe(c)) {
            bh_lock_sock(sk);
            if (sk->sk_state != TCP_CLOSE) {
                sk->sk_prot->disconnect(sk, 0);
                inet_csk_destroy_sock(sk);
            }
            bh_unlock_sock(sk);
            sock_put(sk);
        }
    }
    rcu_read_unlock();
}

void inet_hashinfo_exit(struct net *net)
{
    struct inet_hashinfo *h = net->hashinfo;
    u32 left;

    if (!h)
        return;
    inet_purge(net);
    left = inet_ehash_count(net);
    if (left) {
        net_err(net, "The stack ends while %u connections are in its table: their program did not close them; "
                     "their memory is lost.", left);
        return;
    }
    while (net_rcu_barrier(net))
        ;
    cds_lfht_destroy(h->ehash, NULL);
    inet_bhash_exit(h);
    for (int i = 0; i < INET_LOCKS; i++)
        spin_lock_destroy(&h->ehash_lock[i]);
    for (int i = 0; i < INET_LHTABLE_SIZE; i++)
        spin_lock_destroy(&h->lhash[i].lock);
    free(h);
    net->hashinfo = NULL;
}
