/* SPDX-License-Identifier: MIT */
/* struct socket: the program's side (Linux: net/socket.c). */

#include "socket.h"
#include "trace.h"

#define NPROTO 46 /* one past AF_MCTP */

/* Written by inet_init() before the first socket, read-only afterwards. */
static int (*net_families[NPROTO])(struct net *net, struct socket *sock, int protocol);

int (*security_socket_sendmsg)(struct socket *sock, struct sk_msghdr *msg, size_t size);

void sock_register(int family, int (*create)(struct net *net, struct socket *sock, int protocol))
{
    BUG_ON(family < 0 || family >= NPROTO);
    net_families[family] = create;
}

struct socket *sock_alloc(struct net *net)
{
    struct socket *sock = calloc(1, sizeof(*sock));

    if (!sock)
        return NULL;
    sock->net = net;
    sock->state = SS_UNCONNECTED;
    init_waitqueue_head(&sock->wq);
    return sock;
}

static void sock_free_rcu(struct rcu_free *f)
{
    struct socket *sock = container_of(f, struct socket, rcu);

    spin_lock_destroy(&sock->wq.lock);
    free(sock);
}

int sock_create(struct net *net, int family, int type, int protocol, struct socket **res)
{
    struct socket *sock;
    int err;

    *res = NULL;
    if (family < 0 || family >= NPROTO)
        return -EAFNOSUPPORT;
    if (type < 0 || type > SOCK_PACKET)
        return -EINVAL;
    if (!net_families[family])
        return -EAFNOSUPPORT;
    net_tick(net);
    sock = sock_alloc(net);
    if (!sock)
        return -ENOMEM;
    sock->type = (short)type;
    err = net_families[family](net, sock, protocol);
    if (err < 0) {
        sock_release(sock);
        return err;
    }
    *res = sock;
    return 0;
}

void sock_release(struct socket *sock)
{
    if (sock->ops) {
        net_tick(sock->net);
        sock->ops->release(sock);
        sock->ops = NULL;
    }
    /* A waker that read sk_wq a moment ago may still look at wq. */
    net_call_rcu(sock->net, &sock->rcu, sock_free_rcu);
}

/* Security has agreed: to the protocol family. */
static inline ssize_t sock_sendmsg_nosec(struct socket *sock, struct sk_msghdr *msg)
{
    net_tick(sock->net);
    return WALK(sock->ops->sendmsg(sock, msg, iov_iter_count(&msg->msg_iter)));
}

ssize_t sock_sendmsg(struct socket *sock, struct sk_msghdr *msg)
{
    int err;

    if (unlikely(security_socket_sendmsg)) {
        err = security_socket_sendmsg(sock, msg, iov_iter_count(&msg->msg_iter));
        if (err)
            return err;
    }
    return WALK(sock_sendmsg_nosec(sock, msg));
}

ssize_t sock_recvmsg(struct socket *sock, struct sk_msghdr *msg, int flags)
{
    net_tick(sock->net);
    return sock->ops->recvmsg(sock, msg, iov_iter_count(&msg->msg_iter), flags);
}
