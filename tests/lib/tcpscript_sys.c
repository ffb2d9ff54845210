/* SPDX-License-Identifier: MIT */
/* The program's side of a segment script: the calls that shim/ makes into the stack, with payload made and checked. */

#include "tcpscript.h"
#include <fcntl.h>

#define MAX_SOCKETS 256

void script_place_isn(u16 lport, u16 sport);
void script_close_all(void);
static struct open_socket {
    struct socket *sock;
    u64 written, read;   /* places in the streams; the first byte is 1 */
    u16 lport, sport;    /* they choose the pattern */
} sockets[MAX_SOCKETS];

static struct open_socket *slot(struct socket *s)
{
    for (int i = 0; i < MAX_SOCKETS; i++)
        if (sockets[i].sock == s)
            return &sockets[i];
    cr_assert_fail("script: unknown or too many sockets");
    abort();
}

static struct socket *opened(struct socket *s)
{
    *slot(NULL) = (struct open_socket){ .sock = s, .written = 1, .read = 1 };
    return s;
}

/* The connection's ports, once it has them. */
static struct open_socket *stream(struct socket *s)
{
    struct open_socket *o = slot(s);

    if (s->sk && inet_sk(s->sk)->inet_dport) {
        o->lport = s->sk->sk_num;
        o->sport = be16toh(s->sk->sk_dport);
    }
    return o;
}

/* A call has ended: what it left for the softirq happens now. */
static void settle(void)
{
    net_tick(script_net);
    while (net_poll(script_net, 64))
        ;
}

struct socket *sys_socket(void)
{
    struct socket *s = NULL;
    int err;

    net_tick(script_net);
    err = sock_create(script_net, AF_INET, SOCK_STREAM, 0, &s);
    cr_assert_eq(err, 0, "socket(): %s", strerror(-err));
    return opened(s);
}

int sys_bind(struct socket *s, u32 addr, u16 port)
{
    struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htobe32(addr), .sin_port = htobe16(port) };

    net_tick(script_net);
    return s->ops->bind(s, (struct sockaddr *)&a, sizeof(a));
}

struct socket *sys_socket_bound(void)
{
    struct socket *s = sys_socket();
    int err = sys_bind(s, 0, SCRIPT_PORT);

    cr_assert_eq(err, 0, "bind(): %s", strerror(-err));
    return s;
}

struct socket *sys_listen(u16 port, int backlog)
{
    struct socket *s = sys_socket();
    int err = sys_setsockopt(s, SOL_SOCKET, SO_REUSEADDR, 1);

    if (!err)
        err = sys_bind(s, 0, port);
    if (!err)
        err = s->ops->listen(s, backlog);
    cr_assert_eq(err, 0, "bind() or listen(): %s", strerror(-err));
    settle();
    return s;
}

static int do_connect(struct socket *s, u16 port, int flags)
{
    struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htobe32(SCRIPT_PEER), .sin_port = htobe16(port) };
    int err;

    if (s->sk->sk_num) {
        script_place_isn(s->sk->sk_num, port);
        script_flow(port, s->sk->sk_num);
    }
    net_tick(script_net);
    err = s->ops->connect(s, (struct sockaddr *)&a, sizeof(a), flags);
    settle();
    return err;
}

int sys_connect(struct socket *s, u16 peer_port) { return do_connect(s, peer_port, O_NONBLOCK); }
int sys_connect_wait(struct socket *s, u16 peer_port) { return do_connect(s, peer_port, 0); }

int sys_accept(struct socket *l, struct socket **res)
{
    struct socket *s = sock_alloc(script_net);
    int err;

    cr_assert(s, "sock_alloc(): no memory");
    net_tick(script_net);
    s->type = l->type;
    s->ops = l->ops;
    err = l->ops->accept(l, s, O_NONBLOCK);
    if (err) {
        sock_release(s);
        s = NULL;
    } else {
        opened(s);
    }
    settle();
    if (res)
        *res = s;
    return err;
}

struct socket *sys_accept_ok(struct socket *l)
{
    struct socket *s;
    int err = sys_accept(l, &s);

    cr_assert_eq(err, 0, "accept(): %s", strerror(-err));
    return s;
}

static ssize_t do_sendmsg(struct socket *s, struct sk_msghdr *msg, size_t len)
{
    struct open_socket *o = stream(s);
    u8 *buf = malloc(len + 1);
    struct iovec iov = { .iov_base = buf, .iov_len = len };
    ssize_t n;

    for (size_t i = 0; i < len; i++)
        buf[i] = script_pattern(o->lport ? o->lport : s->sk->sk_num, o->written + i);
    iov_iter_init(&msg->msg_iter, &iov, 1, len);
    net_tick(script_net);
    n = sock_sendmsg(s, msg);
    settle();
    free(buf);
    if (n > 0)
        slot(s)->written += (u64)n;
    return n;
}

static ssize_t do_send(struct socket *s, size_t len, int flags)
{
    struct sk_msghdr msg = { .msg_flags = (unsigned)flags };

    return do_sendmsg(s, &msg, len);
}

ssize_t sys_sendmsg(struct socket *s, size_t len, int flags, void *control, size_t controllen)
{
    struct sk_msghdr msg = {
        .msg_flags = (unsigned)flags | MSG_DONTWAIT, .msg_control = control, .msg_controllen = controllen };

    return do_sendmsg(s, &msg, len);
}

ssize_t sys_sendto(struct socket *s, u16 port, size_t len, int flags)
{
    struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htobe32(SCRIPT_PEER), .sin_port = htobe16(port) };
    struct sk_msghdr msg = { .msg_flags = (unsigned)flags, .msg_name = &a, .msg_namelen = sizeof(a) };

    if (s->sk->sk_num) {
        script_place_isn(s->sk->sk_num, port);
        script_flow(port, s->sk->sk_num);
    }
    return do_sendmsg(s, &msg, len);
}

ssize_t sys_write(struct socket *s, size_t len) { return do_send(s, len, MSG_DONTWAIT); }
ssize_t sys_write_wait(struct socket *s, size_t len) { return do_send(s, len, 0); }
ssize_t sys_send(struct socket *s, size_t len, int flags) { return do_send(s, len, flags | MSG_DONTWAIT); }

static ssize_t do_recv(struct socket *s, size_t len, int flags)
{
    struct open_socket *o = stream(s);
    u8 *buf = malloc(len + 1);
    struct iovec iov = { .iov_base = buf, .iov_len = len };
    struct sk_msghdr msg = { 0 };
    ssize_t n;

    iov_iter_init(&msg.msg_iter, &iov, 1, len);
    net_tick(script_net);
    n = sock_recvmsg(s, &msg, flags);
    settle();
    cr_assert(n <= (ssize_t)len, "recv(): %zd bytes into a buffer of %zu", n, len);
    if (!(flags & (MSG_OOB | MSG_TRUNC)))
        for (ssize_t i = 0; i < n; i++)
            cr_assert_eq(buf[i], script_pattern(o->sport, o->read + (u64)i), "recv(): byte %llu of the stream is wrong",
                         (unsigned long long)(o->read + (u64)i));
    if (n > 0 && !(flags & (MSG_PEEK | MSG_OOB)))
        o->read += (u64)n;
    free(buf);
    return n;
}

ssize_t sys_read(struct socket *s, size_t len) { return do_recv(s, len, MSG_DONTWAIT); }
ssize_t sys_read_wait(struct socket *s, size_t len) { return do_recv(s, len, 0); }
ssize_t sys_recv(struct socket *s, size_t len, int flags) { return do_recv(s, len, flags | MSG_DONTWAIT); }

int sys_recv_oob(struct socket *s, int flags)
{
    u8 byte = 0;
    struct iovec iov = { .iov_base = &byte, .iov_len = 1 };
    struct sk_msghdr msg = { 0 };
    ssize_t n;

    iov_iter_init(&msg.msg_iter, &iov, 1, 1);
    net_tick(script_net);
    n = sock_recvmsg(s, &msg, MSG_OOB | MSG_DONTWAIT | flags);
    settle();
    return n == 1 ? byte : (int)n;
}

void sys_skip(struct socket *s, s64 n) { slot(s)->read += (u64)n; }

int sys_shutdown(struct socket *s, int how)
{
    int err;

    net_tick(script_net);
    err = s->ops->shutdown(s, how);
    settle();
    return err;
}

void sys_close(struct socket *s)
{
    slot(s)->sock = NULL;
    net_tick(script_net);
    sock_release(s);
    settle();
}

void script_close_all(void)
{
    for (int i = 0; i < MAX_SOCKETS; i++)
        if (sockets[i].sock)
            sys_close(sockets[i].sock);
}

u32 sys_poll(struct socket *s)
{
    net_tick(script_net);
    return s->ops->poll(s, NULL);
}

int sys_setsockopt(struct socket *s, int level, int opt, int value)
{
    int err;

    net_tick(script_net);
    if (level == SOL_SOCKET)
        err = sock_setsockopt(s, level, opt, &value, sizeof(value));
    else
        err = s->ops->setsockopt(s, level, opt, &value, sizeof(value));
    settle();
    return err;
}

int sys_getsockopt_int(struct socket *s, int level, int opt)
{
    int value = 0, err;
    socklen_t len = sizeof(value);

    net_tick(script_net);
    if (level == SOL_SOCKET)
        err = sock_getsockopt(s, level, opt, &value, &len);
    else
        err = s->ops->getsockopt(s, level, opt, &value, &len);
    cr_assert_eq(err, 0, "getsockopt(%d, %d): %s", level, opt, strerror(-err));
    return value;
}

int sys_linger(struct socket *s, int on, int seconds)
{
    struct linger l = { .l_onoff = on, .l_linger = seconds };

    return sock_setsockopt(s, SOL_SOCKET, SO_LINGER, &l, sizeof(l));
}

int sys_error(struct socket *s) { return sys_getsockopt_int(s, SOL_SOCKET, SO_ERROR); }
int sys_state(struct socket *s) { return s->sk->sk_state; }

int sys_inq(struct socket *s)
{
    lock_sock(s->sk);
    int n = tcp_inq(s->sk);
    release_sock(s->sk);
    return n;
}

struct tcp_info sys_tcp_info(struct socket *s)
{
    struct tcp_info info = { 0 };

    lock_sock(s->sk);
    tcp_get_info(s->sk, &info);
    release_sock(s->sk);
    return info;
}

struct socket *script_accepted(const char *syn_opt, int win)
{
    struct socket *l = sys_listen(80, 10), *s;

    rx(.flags = "S", .opt = syn_opt, .win = win);
    tx(.flags = "SA", .ack = 1);
    rx();
    s = sys_accept_ok(l);
    sys_close(l);
    return s;
}

struct socket *script_connected(const char *synack_opt, int win)
{
    struct socket *s = sys_socket_bound();
    int err = sys_connect(s, SCRIPT_PEER_PORT);

    cr_assert_eq(err, -EINPROGRESS, "connect(): %s", strerror(-err));
    tx(.flags = "S");
    rx(.flags = "SA", .opt = synack_opt, .win = win);
    tx(.ack = 1);
    cr_assert_eq(sys_state(s), TCP_ESTABLISHED, "the connection is not established");
    return s;
}
