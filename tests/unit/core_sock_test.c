/* SPDX-License-Identifier: MIT */
/* struct sock: lock and backlog across threads, waiting, memory accounting, SOL_SOCKET. A protocol of its own,
 * so that no TCP is needed. */

#include "../../stack/core/socket.h"
#include "../lib/simnet.h"
#include <criterion/criterion.h>
#include <sys/time.h>

static struct sim *sim;
static struct net *net;
static struct socket *sock;
static struct sock *sk;
static u32 backlog_run, released;

static int backlog_rcv(struct sock *s, struct sk_buff *skb)
{
    backlog_run++;
    if (skb->len) { /* leaves another behind, once */
        struct sk_buff *n = alloc_skb(net, 0);

        bh_lock_sock(s);
        cr_assert_eq(sk_add_backlog(s, n, UINT32_MAX), 0);
        bh_unlock_sock(s);
    }
    consume_skb(skb);
    return 0;
}
static void release_cb(struct sock *s) { released++; }
static struct proto test_prot = {.name = "test", .backlog_rcv = backlog_rcv, .release_cb = release_cb,
                                 .obj_size = sizeof(struct sock)};

static int test_release(struct socket *so)
{
    struct sock *s = so->sk;

    bh_lock_sock(s);
    sock_orphan(s);
    bh_unlock_sock(s);
    so->sk = NULL;
    sock_put(s);
    return 0;
}
static const struct proto_ops test_ops = {.family = AF_INET, .release = test_release};
static int create(struct net *n, struct socket *so, int protocol)
{
    so->ops = &test_ops;
    sk = sk_alloc(n, AF_INET, &test_prot);
    sock_init_data(so, sk);
    sk->sk_protocol = 6;
    return 0;
}

static void setup(void)
{
    sim = sim_create(1);
    net = sim_net(sim);
    sock_register(AF_INET, create);
    cr_assert_eq(sock_create(net, AF_INET, SOCK_STREAM, 0, &sock), 0);
}
static void teardown(void)
{
    sock_release(sock);
    sim_assert_home(net);
    cr_assert_eq(atomic_load(&net->tcp_memory_allocated), 0);
    sim_destroy(sim);
}
TestSuite(core_sock, .init = setup, .fini = teardown);

/* ---- lock, backlog, waiting ------------------------------------------------------------------------------ */

Test(core_sock, backlog_runs_at_release_with_what_comes_meanwhile)
{
    struct sk_buff *skb = alloc_skb(net, 64);

    skb_put(skb, 1);
    lock_sock(sk);
    bh_lock_sock(sk);
    cr_assert(sock_owned_by_user(sk));
    cr_assert_eq(sk_add_backlog(sk, skb, 100000), 0);
    cr_assert_eq(sk_add_backlog(sk, alloc_skb(net, 0), 100000), 0);
    cr_assert_eq(sk_add_backlog(sk, skb, 100), -ENOBUFS);
    bh_unlock_sock(sk);
    cr_assert_eq(backlog_run, 0);
    release_sock(sk);
    cr_assert_eq(backlog_run, 3);
    cr_assert_eq(released, 1);
    cr_assert_eq(sk->sk_backlog.len, 0);
}

static u64 shared;
static void *locker(void *arg)
{
    for (int i = 0; i < 20000; i++) {
        lock_sock(sk);
        shared++;
        release_sock(sk);
    }
    return NULL;
}
Test(core_sock, lock_excludes_threads)
{
    pthread_t t[4];

    for (int i = 0; i < 4; i++)
        pthread_create(&t[i], NULL, locker, NULL);
    for (int i = 0; i < 4; i++)
        pthread_join(t[i], NULL);
    cr_assert_eq(shared, 80000);
}

static bool never(struct sock *s) { return false; }
static void become_ready(void *arg) { sk->sk_data_ready(sk); }
static void signal_error(void *arg)
{
    sk->sk_err = ECONNRESET;
    sk->sk_error_report(sk);
}
static void free_space(void *arg)
{
    sk->sk_wmem_queued = 0;
    sk_stream_write_space(sk);
}

Test(core_sock, waits_end_by_event_or_time)
{
    u64 t0 = sim->now, timeo = 5 * NSEC_PER_MSEC;

    lock_sock(sk);
    cr_assert_eq(sk_wait_event(sk, &timeo, never), 0);
    cr_assert_eq(timeo, 0);
    cr_assert_eq(sim->now - t0, 5 * NSEC_PER_MSEC);
    timeo = 10 * NSEC_PER_MSEC;
    sim_at(sim, sim->now + NSEC_PER_MSEC, become_ready, NULL);
    cr_assert_eq(sk_wait_data(sk, &timeo, NULL), 0);
    cr_assert_eq(timeo, 9 * NSEC_PER_MSEC);
    timeo = UINT64_MAX;
    cr_assert_eq(sk_wait_data(sk, &timeo, NULL), -ERESTARTSYS, "the simulation has nothing left: as a signal");
    release_sock(sk);
}

Test(core_sock, sndbuf_wait_follows_linux)
{
    u64 timeo = 0, t0;

    lock_sock(sk);
    sk->sk_write_space = sk_stream_write_space;
    sk->sk_wmem_queued = sk->sk_sndbuf;
    cr_assert_eq(sk_stream_wait_memory(sk, &timeo), -EAGAIN);
    cr_assert(sock->flags & SOCK_NOSPACE);
    timeo = NSEC_PER_MSEC;
    cr_assert_eq(sk_stream_wait_memory(sk, &timeo), -EAGAIN);
    timeo = UINT64_MAX;
    t0 = sim->now;
    sim_at(sim, t0 + 777, free_space, NULL);
    cr_assert_eq(sk_stream_wait_memory(sk, &timeo), 0);
    cr_assert_eq(sim->now, t0 + 777);
    cr_assert(!(sock->flags & SOCK_NOSPACE));
    /* Space, but no memory: 2 to 200 ms, then try again. */
    t0 = sim->now;
    cr_assert_eq(sk_stream_wait_memory(sk, &timeo), 0);
    cr_assert(sim->now - t0 >= 2 * NSEC_PER_MSEC && sim->now - t0 <= 200 * NSEC_PER_MSEC);
    sk->sk_wmem_queued = sk->sk_sndbuf;
    sim_at(sim, sim->now + 10, signal_error, NULL);
    cr_assert_eq(sk_stream_wait_memory(sk, &timeo), -EPIPE);
    cr_assert_eq(sk_stream_error(sk, 0, -EPIPE), -ECONNRESET);
    cr_assert_eq(sk_stream_error(sk, 0, -EPIPE), -EPIPE);
    sk->sk_wmem_queued = 0;
    sk->sk_state = TCP_SYN_SENT;
    sim_at(sim, sim->now + 10, signal_error, NULL);
    cr_assert_eq(sk_stream_wait_connect(sk, &timeo), -ECONNRESET);
    sk->sk_state = TCP_CLOSE;
    cr_assert_eq(sk_stream_wait_connect(sk, &timeo), -EPIPE);
    release_sock(sk);
}

Test(core_sock, memory_is_charged_in_quanta_and_limited)
{
    struct sk_buff *skb = alloc_skb(net, 5000);

    cr_assert(sk_rmem_schedule(sk, skb, (int)skb->truesize));
    cr_assert_eq(atomic_load(&net->tcp_memory_allocated), 8192);
    skb_set_owner_r(skb, sk);
    cr_assert_eq(atomic_load(&sk->sk_rmem_alloc), (s32)skb->truesize);
    consume_skb(skb);
    cr_assert_eq(atomic_load(&sk->sk_rmem_alloc), 0);
    sk_mem_reclaim(sk);
    cr_assert_eq(atomic_load(&net->tcp_memory_allocated), 0);
    for (int i = 0; i < 3; i++)
        net->ipv4.sysctl_tcp_mem[i] = 4;
    cr_assert(sk_wmem_schedule(sk, 16000));
    cr_assert(!sk_rmem_schedule(sk, NULL, 20000));
    cr_assert_eq(atomic_load(&net->tcp_memory_allocated), 16384);
}

Test(core_sock, a_clone_is_locked_and_has_two_references)
{
    struct sock *n;

    sk->sk_sndbuf = 12345;
    n = sk_clone_lock(sk);
    cr_assert(!spin_trylock(&n->sk_lock.slock));
    bh_unlock_sock(n);
    cr_assert_eq(n->sk_sndbuf, 12345);
    cr_assert_eq(atomic_load(&n->sk_refcnt), 2);
    cr_assert_eq(atomic_load(&net->sock_count), 2);
    sock_put(n);
    sock_put(n);
}

static void timer_fn(struct timer_list *t)
{
    struct sock *s = container_of(t, struct sock, sk_timer);

    released += 100;
    sock_put(s);
}
Test(core_sock, a_pending_timer_holds_a_reference)
{
    sk->sk_timer.function = timer_fn;
    sk_reset_timer(sk, &sk->sk_timer, sim->now + 100);
    sk_reset_timer(sk, &sk->sk_timer, sim->now + 200);
    cr_assert_eq(atomic_load(&sk->sk_refcnt), 2);
    sk_stop_timer(sk, &sk->sk_timer);
    sk_stop_timer(sk, &sk->sk_timer);
    cr_assert_eq(atomic_load(&sk->sk_refcnt), 1);
    sk_reset_timer(sk, &sk->sk_timer, sim->now + 300);
    sim_run_for(sim, 1000);
    cr_assert_eq(released, 100);
    cr_assert_eq(atomic_load(&sk->sk_refcnt), 1);
}

/* ---- options ------------------------------------------------------------------------------------------------ */

static int set_int(int name, int v) { return sock_setsockopt(sock, SOL_SOCKET, name, &v, sizeof(v)); }
static int get_int_(int name)
{
    int v = -12345;
    socklen_t len = sizeof(v);

    cr_assert_eq(sock_getsockopt(sock, SOL_SOCKET, name, &v, &len), 0, "option %d", name);
    cr_assert_eq(len, sizeof(v));
    return v;
}

Test(core_sock, buffers_double_within_limits)
{
    cr_assert_eq(set_int(SO_SNDBUF, 10000), 0);
    cr_assert_eq(get_int_(SO_SNDBUF), 20000);
    set_int(SO_SNDBUF, 1 << 30);
    cr_assert_eq(get_int_(SO_SNDBUF), 2 * 212992);
    set_int(SO_SNDBUF, 1);
    cr_assert_eq(get_int_(SO_SNDBUF), 4608);
    set_int(SO_SNDBUF, -1); /* unsigned: the maximum, as Linux */
    cr_assert_eq(get_int_(SO_SNDBUF), 2 * 212992);
    set_int(SO_RCVBUF, 1);
    cr_assert_eq(get_int_(SO_RCVBUF), 2304);
    set_int(SO_RCVBUFFORCE, 1 << 20);
    cr_assert_eq(get_int_(SO_RCVBUF), 2 << 20);
    cr_assert_eq(sk->sk_userlocks, SOCK_SNDBUF_LOCK | SOCK_RCVBUF_LOCK);
    cr_assert_eq(get_int_(72), 3);
}

Test(core_sock, timeouts)
{
    struct timeval tv = {2, 500000}, back;
    socklen_t len = sizeof(back);

    for (int name = 20; name <= 66; name += 46) { /* SO_RCVTIMEO_OLD, _NEW */
        cr_assert_eq(sock_setsockopt(sock, SOL_SOCKET, name, &tv, sizeof(tv)), 0);
        cr_assert_eq(sk->sk_rcvtimeo, 2500 * NSEC_PER_MSEC);
        cr_assert_eq(sock_getsockopt(sock, SOL_SOCKET, name, &back, &len), 0);
        cr_assert(back.tv_sec == 2 && back.tv_usec == 500000 && len == sizeof(back));
    }
    tv.tv_usec = 1000000;
    cr_assert_eq(sock_setsockopt(sock, SOL_SOCKET, SO_SNDTIMEO, &tv, sizeof(tv)), -EDOM);
    cr_assert_eq(sock_setsockopt(sock, SOL_SOCKET, SO_SNDTIMEO, &tv, 8), -EINVAL);
    tv = (struct timeval){-1, 0};
    cr_assert_eq(sock_setsockopt(sock, SOL_SOCKET, SO_SNDTIMEO, &tv, sizeof(tv)), 0);
    cr_assert_eq(sk->sk_sndtimeo, 0);
    tv = (struct timeval){0, 0};
    sock_setsockopt(sock, SOL_SOCKET, SO_SNDTIMEO, &tv, sizeof(tv));
    cr_assert_eq(sk->sk_sndtimeo, UINT64_MAX);
}

Test(core_sock, flags_and_facts)
{
    struct linger l = {1, 7};
    socklen_t len = sizeof(l);
    u64 cookie = 0, c2 = 0, rate = 5000000000ull;

    cr_assert_eq(sock_setsockopt(sock, SOL_SOCKET, SO_LINGER, &l, sizeof(l)), 0);
    l = (struct linger){0, 0};
    sock_getsockopt(sock, SOL_SOCKET, SO_LINGER, &l, &len);
    cr_assert(l.l_onoff == 1 && l.l_linger == 7);
    cr_assert_eq(sock_setsockopt(sock, SOL_SOCKET, SO_LINGER, &l, 4), -EINVAL);
    set_int(SO_REUSEADDR, 5);
    cr_assert_eq(get_int_(SO_REUSEADDR), 1);
    set_int(SO_KEEPALIVE, 1);
    cr_assert_eq(get_int_(SO_KEEPALIVE), 1);
    cr_assert_eq(get_int_(SO_TYPE), SOCK_STREAM);
    cr_assert_eq(get_int_(SO_DOMAIN), AF_INET);
    cr_assert_eq(get_int_(SO_PROTOCOL), 6);
    cr_assert_eq(get_int_(SO_ACCEPTCONN), 0);
    sk->sk_err = ETIMEDOUT;
    cr_assert_eq(get_int_(SO_ERROR), ETIMEDOUT);
    cr_assert_eq(get_int_(SO_ERROR), 0);
    cr_assert_eq(set_int(SO_TYPE, 1), -ENOPROTOOPT);
    cr_assert_eq(set_int(9999, 1), -ENOPROTOOPT);
    cr_assert_eq(sock_setsockopt(sock, SOL_SOCKET, SO_REUSEADDR, &l, 3), -EINVAL);
    len = sizeof(cookie);
    cr_assert_eq(sock_getsockopt(sock, SOL_SOCKET, SO_COOKIE, &cookie, &len), 0);
    cr_assert_eq(sock_getsockopt(sock, SOL_SOCKET, SO_COOKIE, &c2, &len), 0);
    cr_assert(cookie && cookie == c2);
    len = 4;
    cr_assert_eq(sock_getsockopt(sock, SOL_SOCKET, SO_COOKIE, &c2, &len), -EINVAL);
    cr_assert_eq(sock_setsockopt(sock, SOL_SOCKET, SO_MAX_PACING_RATE, &rate, sizeof(rate)), 0);
    cr_assert_eq(sk->sk_max_pacing_rate, rate);
    cr_assert_eq(get_int_(SO_MAX_PACING_RATE), -1);
    cr_assert_eq(sock_setsockopt(sock, SOL_SOCKET, SO_BINDTODEVICE, "nosuch0", 8), -ENODEV);
    cr_assert_eq(sock_setsockopt(sock, SOL_SOCKET, SO_BINDTODEVICE, "", 0), 0);
    set_int(SO_RCVLOWAT, -1);
    cr_assert_eq(get_int_(SO_RCVLOWAT), INT32_MAX);
    len = 2; /* short buffers get what fits */
    cr_assert_eq(sock_getsockopt(sock, SOL_SOCKET, SO_TYPE, &c2, &len), 0);
    cr_assert_eq(len, 2);
}

Test(core_sock, control_messages)
{
    char buf[64];
    struct sk_msghdr m = {.msg_control = buf, .msg_controllen = sizeof(buf)};
    struct sk_buff *skb = alloc_skb(net, 0);
    struct cmsghdr *c = (struct cmsghdr *)buf;

    skb->tstamp = 3 * NSEC_PER_SEC + 5000;
    set_int(SO_TIMESTAMP, 1);
    sock_recv_timestamp(&m, sk, skb);
    cr_assert_eq(sizeof(buf) - m.msg_controllen, CMSG_SPACE(16));
    cr_assert(c->cmsg_type == SO_TIMESTAMP && c->cmsg_len == CMSG_LEN(16));
    cr_assert_eq(((struct timeval *)CMSG_DATA(c))->tv_usec, 5);
    put_cmsg(&m, 1, 2, 100, buf);
    cr_assert(m.msg_flags & MSG_CTRUNC);
    consume_skb(skb);
}
