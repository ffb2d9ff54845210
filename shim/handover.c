/* SPDX-License-Identifier: MIT */
/* Moving a live connection from the stack into its kernel twin.
 *
 * Order, and why:
 *  1. the program's options are read (that takes the socket lock, which step 2 keeps);
 *  2. tcp_extract() freezes the connection: from now on the stack answers nothing;
 *  3. twin_inject(): the kernel has the state. Steering still sends the flow to our ring, where segments
 *     are dropped, because a socket in repair mode would answer them or die of them;
 *  4. the flow leaves the steering map: segments reach the kernel from here on;
 *  5. twin_resume(): unsent data, or a window probe, FINs. Their answers must find the kernel;
 *  6. file_to_kernel(): new calls go to the kernel, only now, so that nothing overtakes the unsent data;
 *  7. tcp_handover_done(): sleepers in the stack wake, see FILE_HANDED and repeat their call. */

#include "handover.h"
#include "../stack/core/net.h"
#include "../stack/core/rcu.h"
#include "../stack/core/socket.h"
#include "../stack/ipv4/tcp_handover.h"
#include "fork.h"
#include "listener.h"
#include "runtime.h"
#include "stats.h"
#include <arpa/inet.h>
#include <linux/tcp.h>

struct handover_stats handover_stats;

/* ---- options ---------------------------------------------------------------------------------------------------- */

/* What a program can set and the kernel must know to go on alike. Not here: what the hand-over itself sets
 * (buffers, SO_REUSEADDR), and what died with the past (TCP_DEFER_ACCEPT, TCP_FASTOPEN). */
static const struct carried_option {
    int level, name;
} carried_options[] = {
    {SOL_SOCKET, SO_KEEPALIVE},      {SOL_SOCKET, SO_OOBINLINE},     {SOL_SOCKET, SO_LINGER},
    {SOL_SOCKET, SO_RCVTIMEO},       {SOL_SOCKET, SO_SNDTIMEO},      {SOL_SOCKET, SO_RCVLOWAT},
    {SOL_SOCKET, SO_PRIORITY},       {SOL_SOCKET, SO_MARK},          {SOL_SOCKET, SO_MAX_PACING_RATE},
    {IPPROTO_IP, IP_TOS},            {IPPROTO_IP, IP_TTL},           {IPPROTO_TCP, TCP_NODELAY},
    {IPPROTO_TCP, TCP_CORK},         {IPPROTO_TCP, TCP_KEEPIDLE},    {IPPROTO_TCP, TCP_KEEPINTVL},
    {IPPROTO_TCP, TCP_KEEPCNT},      {IPPROTO_TCP, TCP_LINGER2},     {IPPROTO_TCP, TCP_USER_TIMEOUT},
    {IPPROTO_TCP, TCP_NOTSENT_LOWAT}, {SOL_SOCKET, SO_ZEROCOPY},
    {SOL_SOCKET, SO_TIMESTAMPING}, /* SOF_TIMESTAMPING_OPT_ID then counts from here on: the kernel cannot be told another start */
};
struct option_value {
    socklen_t len; /* 0: the stack does not know it */
    char val[sizeof(struct timeval)];
};
struct carried {
    struct option_value v[ARRAY_SIZE(carried_options)];
    char congestion[16];
    int sndbuf, rcvbuf; /* as given by the program; 0: automatic */
};

static void options_read(struct socket *sock, struct carried *c)
{
    memset(c, 0, sizeof(*c));
    for (size_t i = 0; i < ARRAY_SIZE(carried_options); i++) {
        socklen_t len = sizeof(c->v[i].val);
        if (!file_getsockopt(sock, carried_options[i].level, carried_options[i].name, c->v[i].val, &len) &&
            len <= sizeof(c->v[i].val))
            c->v[i].len = len;
    }
    socklen_t len = sizeof(c->congestion) - 1;
    if (file_getsockopt(sock, IPPROTO_TCP, TCP_CONGESTION, c->congestion, &len))
        c->congestion[0] = 0;
    c->congestion[sizeof(c->congestion) - 1] = 0;
    if (sock->sk->sk_userlocks & SOCK_SNDBUF_LOCK)
        c->sndbuf = sock->sk->sk_sndbuf / 2;
    if (sock->sk->sk_userlocks & SOCK_RCVBUF_LOCK)
        c->rcvbuf = sock->sk->sk_rcvbuf / 2;
}

/* Set what differs from what the twin has already (most of it was mirrored when the program set it). */
static void options_write(int fd, const struct carried *c)
{
    char have[sizeof(c->v[0].val)];
    for (size_t i = 0; i < ARRAY_SIZE(carried_options); i++) {
        const struct carried_option *o = &carried_options[i];
        const struct option_value *v = &c->v[i];
        socklen_t len = sizeof(have);
        if (!v->len)
            continue;
        if (!real_getsockopt(fd, o->level, o->name, have, &len) && len == v->len && !memcmp(have, v->val, len))
            continue;
        real_setsockopt(fd, o->level, o->name, v->val, v->len);
    }
    char cc[16] = "";
    socklen_t len = sizeof(cc);
    if (c->congestion[0] && !real_getsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, cc, &len) && strncmp(cc, c->congestion, sizeof(cc)))
        real_setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, c->congestion, strlen(c->congestion));
}

static void buffers_write(int fd, const struct carried *c)
{
    if (c->sndbuf)
        real_setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &c->sndbuf, sizeof(int));
    if (c->rcvbuf)
        real_setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &c->rcvbuf, sizeof(int));
}

/* ---- one connection ------------------------------------------------------------------------------------------------ */

static ssize_t peek_send(void *arg, u32 off, void *buf, u32 len) { return tcp_handover_peek_send(arg, off, buf, len); }
static ssize_t peek_recv(void *arg, u32 off, void *buf, u32 len) { return tcp_handover_peek_recv(arg, off, buf, len); }

static void to_twin_state(const struct tcp_handover_state *h, int family, struct sock *sk, struct twin_state *t)
{
    *t = (struct twin_state){
        .family = family,
        .laddr = h->laddr,
        .raddr = h->raddr,
        .lport = h->lport,
        .rport = h->rport,
        .snd_una = h->snd_una,
        .snd_nxt = h->snd_nxt,
        .write_seq = h->write_seq,
        .copied_seq = h->copied_seq,
        .rcv_nxt = h->rcv_nxt,
        .snd_wnd = h->snd_wnd,
        .max_window = h->max_window,
        .snd_wl1 = h->snd_wl1,
        .rcv_wnd = h->rcv_wnd,
        .rcv_wup = h->rcv_wup,
        .snd_wscale = h->snd_wscale,
        .rcv_wscale = h->rcv_wscale,
        .options = h->options,
        .mss_clamp = h->mss_clamp,
        .tsval = h->tsval,
        .zc_next = h->zc_next,
        .zc_unread = h->zc_unread,
        .peek_send = peek_send,
        .peek_recv = peek_recv,
        .arg = sk,
    };
}

static void unsteer(struct net *net, const struct tcp_handover_state *h)
{
    struct flow_key k = {.laddr = h->laddr, .raddr = h->raddr, .lport = h->lport, .rport = h->rport};
    if (net->steer_ops && net->steer_ops->del_flow)
        net->steer_ops->del_flow(net, &k);
}

static void resteer(struct net *net, const struct tcp_handover_state *h)
{
    struct flow_key k = {.laddr = h->laddr, .raddr = h->raddr, .lport = h->lport, .rport = h->rport};
    if (net->steer_ops && net->steer_ops->add_flow)
        net->steer_ops->add_flow(net, &k);
}

static void log_moved(const struct tcp_handover_state *h, const char *reason, int rc)
{
    char l[INET_ADDRSTRLEN], r[INET_ADDRSTRLEN];
    inet_ntop(AF_INET, &h->laddr, l, sizeof(l));
    inet_ntop(AF_INET, &h->raddr, r, sizeof(r));
    if (rc)
        shim_warn("the connection %s:%u -> %s:%u could not be handed to the kernel (%s): %s", l, ntohs(h->lport), r,
                  ntohs(h->rport), strerror(-rc),
                  rc == -EPERM ? "that takes CAP_NET_ADMIN, which the process no longer has" : reason);
    else
        shim_info("the connection %s:%u -> %s:%u goes on in the kernel because %s", l, ntohs(h->lport), r, ntohs(h->rport), reason);
}

/* Steps 3 to 5 for a connection past its handshake. */
static int move_established(int fd, struct net *net, const struct tcp_handover_state *h, const struct twin_state *t,
                            const struct carried *c)
{
    int rc = twin_inject(fd, t);
    if (rc)
        return rc;
    unsteer(net, h);
    if (c)
        options_write(fd, c);
    rc = twin_resume(fd, t, h->fin_rcvd, h->fin_queued);
    if (rc)
        shim_warn("a connection is in the kernel, but not all of it arrived there (%s)", strerror(-rc));
    if (c)
        buffers_write(fd, c);
    return 0;
}

/* A descriptor on the twin that nobody closes under us. An accepted connection that the program has closed
 * has none: it gets one. -errno */
static int twin_hold(struct file *f, bool orphan)
{
    int fd = file_fd(f);
    if (fd < 0 && !orphan)
        return -EBADF;
    return fd < 0 ? REAL(real_socket(f->family, SOCK_STREAM | SOCK_CLOEXEC, 0)) : REAL(real_fcntl(fd, F_DUPFD_CLOEXEC, 0));
}

/* The sock of a FILE_STACK or FILE_ORPHAN with a reference, or NULL: an orphan may end at any moment. */
static struct sock *file_sock_get(struct file *f, bool orphan)
{
    struct sock *sk;
    if (!orphan) {
        sk = f->private_data ? f->private_data->sk : NULL;
        if (sk)
            sock_hold(sk);
        return sk;
    }
    rcu_read_lock(); /* socks are freed after a grace period */
    sk = READ_ONCE(f->orphan_sk);
    if (sk && !sock_hold_safe(&sk->__sk_common))
        sk = NULL;
    rcu_read_unlock();
    return sk;
}

/* What remains of a connection that has ended both ways: its unread bytes, and whether it was reset. */
static void dead_state(const struct sock *sk, int family, bool reset, struct twin_state *t)
{
    const struct inet_sock *inet = inet_sk(sk);
    const struct tcp_sock *tp = tcp_sk(sk);
    *t = (struct twin_state){
        .family = family,
        .laddr = inet->inet_saddr,
        .raddr = inet->inet_daddr,
        .lport = inet->inet_sport,
        .rport = inet->inet_dport,
        .snd_una = tp->write_seq,
        .snd_nxt = tp->write_seq,
        .write_seq = tp->write_seq,
        .copied_seq = tp->copied_seq,
        .rcv_nxt = tp->rcv_nxt - !reset, /* without the FIN */
        .snd_wnd = tp->snd_wnd,
        .max_window = tp->max_window,
        .snd_wl1 = tp->rcv_nxt - 1,
        .rcv_wnd = tp->rcv_wnd,
        .rcv_wup = tp->rcv_nxt - 1,
        .snd_wscale = tp->rx_opt.snd_wscale,
        .rcv_wscale = tp->rx_opt.rcv_wscale,
        .options = TCPI_OPT_WSCALE,
        .mss_clamp = tp->rx_opt.mss_clamp,
        .peek_recv = peek_recv,
        .arg = (void *)sk,
    };
}

/* Nothing lives any more (reset, or ended both ways). Unread bytes and the end behind them go to the twin all
 * the same; the flow stays steered to the stack, whose time-wait sock answers the peer. */
static int release_dead(struct file *f, struct sock *sk, int fd, const char *reason)
{
    struct twin_state t;
    int rc = 0;
    lock_sock(sk);
    if (skb_queue_empty(&sk->sk_receive_queue)) {
        if (f->reserved)
            twin_release(fd, true);
    } else {
        dead_state(sk, f->family, sk->sk_err != 0, &t);
        rc = twin_inject(fd, &t);
        if (!rc)
            rc = twin_end(fd, &t, sk->sk_err != 0);
    }
    release_sock(sk);
    if (rc)
        return rc;
    twin_set_nonblock(fd, file_nonblock(f));
    stats_kernel_socket(f, reason);
    file_to_kernel(f, FILE_HANDED);
    fork_file_handed(f, true);
    return 0;
}

/* f->lock held; f is FILE_STACK or FILE_ORPHAN, sk its sock, fd its twin. */
static int move_connection(struct file *f, struct sock *sk, int fd, bool orphan, const char *reason)
{
    struct net *net = sock_net(sk);
    struct tcp_handover_state h;
    struct twin_state t;
    struct carried c;
    if (!orphan)
        options_read(f->private_data, &c); /* 1 */
    net_tick(net);
    int rc = tcp_extract(sk, &h); /* 2 */
    if (rc)
        return orphan ? 0 : release_dead(f, sk, fd, reason);
    to_twin_state(&h, f->family, sk, &t);
    if (h.state == TCP_SYN_SENT) {
        unsteer(net, &h);
        rc = twin_reconnect(fd, f->family, h.laddr, h.lport, h.raddr, h.rport, h.iss);
        if (rc)
            resteer(net, &h);
        else if (!orphan)
            options_write(fd, &c);
    } else {
        rc = move_established(fd, net, &h, &t, orphan ? NULL : &c); /* 3, 4, 5 */
    }
    log_moved(&h, reason, rc);
    if (rc) {
        tcp_handover_undo(sk);
        atomic_fetch_add(&handover_stats.failed, 1);
        return rc;
    }
    atomic_fetch_add(&handover_stats.done, 1);
    if (!orphan) {
        twin_set_nonblock(fd, file_nonblock(f));
        stats_kernel_socket(f, reason);
        file_to_kernel(f, FILE_HANDED); /* 6 */
        fork_file_handed(f, true);
    }
    /* Segments that our ring got before step 4 meet the frozen sock still, and not nobody: the stack would
     * reset the connection for them. */
    net_drive();
    tcp_handover_done(sk); /* 7 */
    return 0;
}

static int move_file(struct file *f, const char *reason)
{
    bool orphan = atomic_load(&f->state) == FILE_ORPHAN;
    struct sock *sk = file_sock_get(f, orphan);
    if (!sk)
        return orphan ? 0 : -EINVAL;
    int fd = twin_hold(f, orphan), rc = fd;
    if (fd >= 0) {
        rc = move_connection(f, sk, fd, orphan, reason);
        real_close(fd);
    }
    sock_put(sk);
    return rc;
}

/* f->lock held; f is FILE_LISTEN_BOTH. What the stack has accepted, or has in its handshake, stays ours to accept()
 * (listener.h). When the program ends, the unaccepted are reset; of a half-open one nothing is told the peer, whose ACK
 * the kernel answers by a reset, as Linux when a listener goes. */
static int move_listener(struct file *f, const char *reason)
{
    struct sock *sk = f->private_data ? f->private_data->sk : NULL;
    if (!sk)
        return -EINVAL;
    if (!f->ceded)
        shim_info("port %u is served by the kernel from now on because %s", sk->sk_num, reason);
    if (!listener_cede(f)) {
        fork_file_handed(f, true);
        return 0;
    }
    int fd = file_fd(f);
    if (fd >= 0)
        twin_set_nonblock(fd, file_nonblock(f));
    file_to_kernel(f, FILE_HANDED);
    fork_file_handed(f, true);
    return 0;
}

int handover_file(struct file *f, const char *reason)
{
    int rc = 0;
    u32 state = atomic_load(&f->state);
    if (state == FILE_FOREIGN)
        return foreign_touch(f);
    if (state != FILE_STACK && state != FILE_ORPHAN && state != FILE_LISTEN_BOTH)
        return 0;
    SHIM_ENTER();
    pthread_mutex_lock(&f->lock);
    state = atomic_load(&f->state);
    if (state == FILE_STACK || state == FILE_ORPHAN)
        rc = move_file(f, reason);
    else if (state == FILE_LISTEN_BOTH)
        rc = move_listener(f, reason);
    pthread_mutex_unlock(&f->lock);
    SHIM_EXIT();
    return rc;
}

int handover_fd(int fd, const char *reason)
{
    if (fd_kind_of(fd) < FD_STACK || shim_bypass())
        return 0;
    struct file *f = fget(fd);
    if (!f)
        return 0;
    SHIM_ENTER();
    int rc = handover_file(f, reason);
    SHIM_LEAVE();
    fput(f);
    return rc;
}

/* ---- all of them ---------------------------------------------------------------------------------------------------- */

int handover_all(bool (*pick)(struct file *f), const char *reason)
{
    struct file **v;
    int failed = 0;
    SHIM_ENTER();
    size_t n = file_collect(pick, &v);
    for (size_t i = 0; i < n; i++) {
        failed += handover_file(v[i], reason) != 0;
        fput(v[i]);
    }
    free(v);
    SHIM_EXIT();
    return failed;
}

static bool is_orphan(struct file *f) { return atomic_load(&f->state) == FILE_ORPHAN; }

void handover_orphans_at_exit(void)
{
    handover_all(is_orphan, "its program ends and the peer has not acknowledged everything yet");
}
