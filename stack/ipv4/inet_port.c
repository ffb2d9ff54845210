/* SPDX-License-Identifier: MIT */
/* Local ports: bind()'s rules, connect()'s choice (RFC 6056), and who owns which port. Locking is described in
 * inet_hashtables.h; everything about a port happens under its bhash_lock. */

#include "inet_hashtables.h"
#include "tcp.h"

static struct sock_common *owner_sk(struct cds_list_head *n) { return container_of(n, struct sock_common, skc_bnode); }

/* ---- owners --------------------------------------------------------------------------------------------------- */

/* The port's bucket, made when there is none; NULL without memory. bhash_lock held. */
static struct inet_bind_bucket *bind_bucket_get(struct inet_hashinfo *h, u16 port)
{
    struct inet_bind_bucket *tb = h->bhash[port];

    if (!tb) {
        tb = calloc(1, sizeof(*tb));
        if (!tb)
            return NULL;
        tb->port = port;
        CDS_INIT_LIST_HEAD(&tb->owners);
        h->bhash[port] = tb;
    }
    return tb;
}

static void bind_bucket_drop_empty(struct inet_hashinfo *h, struct inet_bind_bucket *tb)
{
    if (cds_list_empty(&tb->owners)) {
        h->bhash[tb->port] = NULL;
        free(tb);
    }
}

static void bind_bucket_add(struct inet_bind_bucket *tb, struct sock_common *sk)
{
    sk->skc_num = tb->port;
    sk->skc_bind_bucket = tb;
    cds_list_add(&sk->skc_bnode, &tb->owners);
}

void inet_bind_bucket_leave(struct inet_hashinfo *h, struct sock_common *sk)
{
    struct inet_bind_bucket *tb;
    spinlock_t *lock;

    if (!READ_ONCE(sk->skc_bind_bucket))
        return;
    lock = inet_bhash_lockp(h, sk->skc_num);
    spin_lock(lock);
    tb = sk->skc_bind_bucket;
    if (tb) {
        cds_list_del(&sk->skc_bnode);
        WRITE_ONCE(sk->skc_bind_bucket, NULL);
        bind_bucket_drop_empty(h, tb);
    }
    spin_unlock(lock);
}

bool inet_bind_bucket_share(struct inet_hashinfo *h, const struct sock_common *from, struct sock_common *to)
{
    spinlock_t *lock = inet_bhash_lockp(h, from->skc_num);
    struct inet_bind_bucket *tb;

    spin_lock(lock);
    tb = from->skc_bind_bucket;
    if (tb)
        bind_bucket_add(tb, to);
    spin_unlock(lock);
    return tb != NULL;
}

/* Role: give up the port. Any state; does nothing without one. inet_sport stays, for getsockname(). */
void inet_put_port(struct sock *sk)
{
    inet_bind_bucket_leave(sock_net(sk)->hashinfo, &sk->__sk_common);
    WRITE_ONCE(sk->sk_num, 0);
}

/* Role: an accepted child owns its listener's port too. 0, or -ENOENT when the listener lost it meanwhile. */
int __inet_inherit_port(const struct sock *sk, struct sock *child)
{
    struct inet_hashinfo *h = sock_net(sk)->hashinfo;
    spinlock_t *lock = inet_bhash_lockp(h, child->sk_num);
    struct inet_bind_bucket *tb;
    int err = 0;

    spin_lock(lock);
    tb = sk->__sk_common.skc_bind_bucket;
    if (!tb)
        err = -ENOENT;
    else if (tb->port == child->sk_num)
        bind_bucket_add(tb, &child->__sk_common);
    else if ((tb = bind_bucket_get(h, child->sk_num))) /* a listener that was reached under another port */
        bind_bucket_add(tb, &child->__sk_common);
    else
        err = -ENOMEM;
    spin_unlock(lock);
    return err;
}

/* ---- bind(): may these two share a port? ------------------------------------------------------------------------- */

static bool rcv_saddr_overlap(const struct sock_common *a, const struct sock_common *b)
{
    if (a->skc_ipv6only != b->skc_ipv6only)
        return false; /* one is IPv6 alone, the other serves IPv4 */
    return !a->skc_rcv_saddr || !b->skc_rcv_saddr || a->skc_rcv_saddr == b->skc_rcv_saddr;
}

/* relax: SO_REUSEADDR on both is enough while the other does not listen (an explicit port). reuseport_ok: so is
 * SO_REUSEPORT on both. bhash_lock held. */
static bool bind_conflict_with(const struct sock_common *sk, const struct sock_common *sk2, bool relax, bool reuseport_ok)
{
    const bool both_reuseport = sk->skc_reuseport && sk2->skc_reuseport;

    if (sk == sk2 || sk2->skc_reuse == SK_FORCE_REUSE)
        return false;
    if (sk->skc_bound_dev_if && sk2->skc_bound_dev_if && sk->skc_bound_dev_if != sk2->skc_bound_dev_if)
        return false;
    if (sk->skc_reuse && sk2->skc_reuse && sk2->skc_state != TCP_LISTEN) {
        if (relax && (reuseport_ok || !both_reuseport))
            return false;
    } else if (reuseport_ok && both_reuseport) {
        return false;
    }
    return rcv_saddr_overlap(sk, sk2);
}

static bool bind_conflict(const struct sock_common *sk, struct inet_bind_bucket *tb, bool relax, bool reuseport_ok)
{
    struct cds_list_head *n;

    cds_list_for_each(n, &tb->owners)
        if (bind_conflict_with(sk, owner_sk(n), relax, reuseport_ok))
            return true;
    return false;
}

/* Keep the short cut true: fastreuse 1 while every owner allows sharing and none listens. */
static void bind_update_fastreuse(struct inet_bind_bucket *tb, const struct sock_common *sk)
{
    const bool reuse = sk->skc_reuse && sk->skc_state != TCP_LISTEN;

    if (cds_list_empty(&tb->owners))
        tb->fastreuse = reuse;
    else if (!reuse || tb->fastreuse < 0)
        tb->fastreuse = 0;
}

/* Take the port for sk when the rules allow. 0 or -EADDRINUSE, -ENOMEM. */
static int bind_port(struct sock *sk, u16 port, bool relax, bool reuseport_ok)
{
    struct sock_common *c = &sk->__sk_common;
    struct inet_hashinfo *h = sock_net(sk)->hashinfo;
    spinlock_t *lock = inet_bhash_lockp(h, port);
    const bool reuse = c->skc_reuse && c->skc_state != TCP_LISTEN;
    struct inet_bind_bucket *tb;
    int err = 0;

    spin_lock(lock);
    tb = bind_bucket_get(h, port);
    if (!tb) {
        err = -ENOMEM;
        goto out;
    }
    if (!cds_list_empty(&tb->owners) && c->skc_reuse != SK_FORCE_REUSE && !(relax && tb->fastreuse > 0 && reuse) &&
        bind_conflict(c, tb, relax, reuseport_ok)) {
        err = -EADDRINUSE;
        goto out;
    }
    if (c->skc_reuse != SK_FORCE_REUSE || cds_list_empty(&tb->owners))
        bind_update_fastreuse(tb, c);
    if (!c->skc_bind_bucket)
        bind_bucket_add(tb, c);
out:
    spin_unlock(lock);
    return err;
}

static void port_range(const struct sock *sk, u32 *low, u32 *high)
{
    const struct netns_ipv4 *s = &sock_net(sk)->ipv4;
    const struct inet_sock *inet = inet_sk(sk);
    u32 lo = (u32)s->sysctl_ip_local_port_range[0], hi = (u32)s->sysctl_ip_local_port_range[1];

    /* IP_LOCAL_PORT_RANGE narrows the host's range, never widens it. */
    if (inet->local_port_range[0] >= lo && inet->local_port_range[0] <= hi)
        lo = inet->local_port_range[0];
    if (inet->local_port_range[1] >= lo && inet->local_port_range[1] <= hi)
        hi = inet->local_port_range[1];
    *low = max(lo, 1u);
    *high = min(hi, 65535u);
}

/* bind(0): a random start, ports of the parity that connect() tries last. */
static int bind_any_port(struct sock *sk)
{
    u32 low, high, n, offset;

    port_range(sk, &low, &high);
    if (high < low)
        return -EADDRINUSE;
    n = high - low + 1;
    offset = net_random_below(sock_net(sk), n);
    for (u32 half = 0; half < 2; half++)
        for (u32 i = 0; i < n; i++) {
            const u32 port = low + (offset + i) % n;
            if (((port - low) & 1) == half) /* odd distances first */
                continue;
            int err = bind_port(sk, (u16)port, false, false);
            if (err != -EADDRINUSE)
                return err;
        }
    return -EADDRINUSE;
}

int inet_csk_get_port(struct sock *sk, u16 snum)
{
    return snum ? bind_port(sk, snum, true, true) : bind_any_port(sk);
}

/* ---- connect() --------------------------------------------------------------------------------------------------- */

/* Put sk into the established table under its 4-tuple with local port `port`. A time-wait sock there yields
 * when TCP says that the new connection cannot be taken for the old one (tcp_tw_reuse): *twp, with the
 * table's reference. 0, -EADDRNOTAVAIL, or the steering program's error. bhash_lock held. */
static int connect_hash(struct sock *sk, u16 port, struct inet_timewait_sock **twp)
{
    struct sock_common *c = &sk->__sk_common, *other;
    const u16 old_num = c->skc_num;
    int err;

    *twp = NULL;
    c->skc_num = port;
    inet_sk(sk)->inet_sport = htobe16(port);
    rcu_read_lock();
    err = __inet_ehash_insert(c, NULL);
    if (err == -EADDRNOTAVAIL) {
        other = __inet_lookup_established(sock_net(sk), c->skc_daddr, c->skc_dport, c->skc_rcv_saddr, port,
                                          c->skc_bound_dev_if);
        if (other && other->skc_state == TCP_TIME_WAIT && tcp_twsk_unique(sk, (struct inet_timewait_sock *)other)) {
            err = __inet_ehash_insert(c, other);
            if (!err)
                *twp = (struct inet_timewait_sock *)other;
        }
    }
    rcu_read_unlock();
    if (err) {
        c->skc_num = old_num;
        inet_sk(sk)->inet_sport = htobe16(old_num);
    }
    return err;
}

/* One port on trial. */
static int connect_try_port(struct sock *sk, u16 port, struct inet_timewait_sock **twp)
{
    struct inet_hashinfo *h = sock_net(sk)->hashinfo;
    spinlock_t *lock = inet_bhash_lockp(h, port);
    struct inet_bind_bucket *tb;
    int err = -EADDRNOTAVAIL;

    spin_lock(lock);
    tb = h->bhash[port];
    if (tb && tb->fastreuse >= 0) /* somebody bound it by name */
        goto out;
    if (!tb) {
        tb = bind_bucket_get(h, port);
        if (!tb) {
            err = -ENOMEM;
            goto out;
        }
        tb->fastreuse = -1;
    }
    err = connect_hash(sk, port, twp);
    if (err)
        bind_bucket_drop_empty(h, tb);
    else
        bind_bucket_add(tb, &sk->__sk_common);
out:
    spin_unlock(lock);
    return err;
}

/* RFC 6056 3.3.4, double hash: a start that depends on the destination and a secret, and a counter per group
 * of destinations. Ports at an even distance first: bind(0) prefers the odd ones. */
static int connect_any_port(struct sock *sk, struct inet_timewait_sock **twp)
{
    struct inet_hashinfo *h = sock_net(sk)->hashinfo;
    const u64 key = inet_port_offset(h, sk->sk_rcv_saddr, sk->sk_daddr, sk->sk_dport);
    _Atomic u32 *perturb = &h->table_perturb[key % INET_TABLE_PERTURB_SIZE];
    u32 low, high, n, offset;

    port_range(sk, &low, &high);
    if (high < low)
        return -EADDRNOTAVAIL;
    n = high - low + 1;
    if (n > 1)
        n &= ~1u;
    offset = (atomic_load(perturb) + (u32)(key >> 32)) % n & ~1u;
    for (u32 odd = 0; odd < (n > 1 ? 2u : 1u); odd++)
        for (u32 i = 0; i < n; i += 2) {
            int err = connect_try_port(sk, (u16)(low + (offset + odd + i) % n), twp);
            if (!err) { /* a random step, so that the next one cannot be guessed */
                atomic_fetch_add(perturb, max(i, net_random_below(sock_net(sk), 8) * 2) + 2);
                return 0;
            }
            if (err != -EADDRNOTAVAIL)
                return err;
        }
    return -EADDRNOTAVAIL;
}

int inet_hash_connect(struct sock *sk)
{
    struct inet_timewait_sock *tw = NULL;
    int err;

    inet_hash_nodes_recycle(&sk->__sk_common);
    inet_ehash_service(sock_net(sk));
    if (sk->sk_num)
        err = connect_hash(sk, sk->sk_num, &tw);
    else
        err = connect_any_port(sk, &tw);
    if (tw) {
        inet_twsk_kill(tw); /* out of the table already: its timer and its port */
        inet_twsk_put(tw);
    }
    return err;
}

/* ---- per net ------------------------------------------------------------------------------------------------------- */

int inet_bhash_init(struct inet_hashinfo *h)
{
    h->bhash = calloc(65536, sizeof(*h->bhash));
    if (!h->bhash)
        return -ENOMEM;
    for (int i = 0; i < INET_LOCKS; i++)
        spin_lock_init(&h->bhash_lock[i]);
    return 0;
}

void inet_bhash_exit(struct inet_hashinfo *h)
{
    for (int i = 0; i < INET_LOCKS; i++)
        spin_lock_destroy(&h->bhash_lock[i]);
    for (u32 p = 0; p < 65536; p++)
        if (h->bhash[p]) /* 65536 calls for nothing are felt where nets come and go by the thousand */
            free(h->bhash[p]);
    free(h->bhash);
}
