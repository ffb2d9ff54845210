/* SPDX-License-Identifier: MIT */
#ifndef SLUICE_CORE_SOCKET_H
#define SLUICE_CORE_SOCKET_H
/* struct socket: the program's side, and the calls that shim/ makes. Every function here returns -errno
 * (never sets errno), may sleep through net->ops->wait unless MSG_DONTWAIT/O_NONBLOCK says not to, and
 * is called with no lock held. */

#include "sock.h"

typedef enum { SS_FREE = 0, SS_UNCONNECTED, SS_CONNECTING, SS_CONNECTED, SS_DISCONNECTING } socket_state;

struct poll_table { /* who wants to know: qproc registers with q; NULL: just look */
    void (*qproc)(struct socket *sock, struct wait_queue_head *q, struct poll_table *pt);
    void *arg;
};

struct socket {
    struct rcu_free rcu; /* first: a waker may still look at wq when the program closes */
    socket_state state;
    short type;
    unsigned long flags; /* SOCK_NOSPACE ... */
    struct net *net;
    struct sock *sk;
    const struct proto_ops *ops;
    struct wait_queue_head wq;
    void *file; /* the shim's struct file */
};

struct proto_ops { /* the address family's operations: inet_stream_ops */
    int family;
    int (*release)(struct socket *sock);
    int (*bind)(struct socket *sock, const struct sockaddr *addr, socklen_t len);
    int (*connect)(struct socket *sock, const struct sockaddr *addr, socklen_t len, int flags);
    int (*accept)(struct socket *sock, struct socket *newsock, int flags);
    int (*getname)(struct socket *sock, struct sockaddr *addr, socklen_t *len, int peer);
    u32 (*poll)(struct socket *sock, struct poll_table *pt); /* EPOLL* mask */
    int (*ioctl)(struct socket *sock, unsigned long cmd, int *arg);
    int (*listen)(struct socket *sock, int backlog);
    int (*shutdown)(struct socket *sock, int how);
    int (*setsockopt)(struct socket *sock, int level, int optname, const void *optval, socklen_t len);
    int (*getsockopt)(struct socket *sock, int level, int optname, void *optval, socklen_t *len);
    ssize_t (*sendmsg)(struct socket *sock, struct sk_msghdr *msg, size_t len);
    ssize_t (*recvmsg)(struct socket *sock, struct sk_msghdr *msg, size_t len, int flags);
    /* The file that sendfile(2) sends ended before the count did: what was sent with MSG_MORE goes now. */
    void (*splice_eof)(struct socket *sock);
};

/* Role: make a socket. family AF_INET or AF_INET6 (v4-mapped peers only), type SOCK_STREAM (flags
 * masked off by the caller), protocol 0 or IPPROTO_TCP. 0 and *res, or -EAFNOSUPPORT, -ESOCKTNOSUPPORT,
 * -EPROTONOSUPPORT, -ENOMEM. The caller owns it until sock_release(). (socket(2)) */
int sock_create(struct net *net, int family, int type, int protocol, struct socket **res);
/* Registered once by the address family (af_inet.c). */
void sock_register(int family, int (*create)(struct net *net, struct socket *sock, int protocol));
/* An unconnected socket without a sock, for accept(). */
struct socket *sock_alloc(struct net *net);
/* close(2): ends the socket; orphaned data goes on being sent. Frees sock. */
void sock_release(struct socket *sock);

/* The send path's second step: security hook (sock_security, NULL by default), then ops->sendmsg. */
ssize_t sock_sendmsg(struct socket *sock, struct sk_msghdr *msg);
ssize_t sock_recvmsg(struct socket *sock, struct sk_msghdr *msg, int flags);
extern int (*security_socket_sendmsg)(struct socket *sock, struct sk_msghdr *msg, size_t size);

static inline void poll_wait(struct socket *sock, struct wait_queue_head *q, struct poll_table *pt)
{
    if (pt && pt->qproc && q)
        pt->qproc(sock, q, pt);
}

#endif
