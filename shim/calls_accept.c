/* SPDX-License-Identifier: MIT */
/* accept(2): one queue for the program, two behind it: the stack's listener and the twin's. */

#include "file.h"
#include "listener.h"
#include "runtime.h"
#include <netinet/in.h>

/* A connection from the stack's accept queue. fd, or -EAGAIN, -EMFILE ... */
static int accept_stack(struct file *f, struct sockaddr *addr, socklen_t *alen, int flags)
{
    struct socket *sock = f->private_data, *newsock;
    struct file *nf = NULL;
    struct sockaddr_in peer;
    socklen_t n = sizeof(peer);
    int fd, r;

    if (!(sock->ops->poll(sock, NULL) & EPOLLIN))
        return -EAGAIN;
    fd = REAL(real_socket(f->family, SOCK_STREAM | (flags & (SOCK_CLOEXEC | SOCK_NONBLOCK)), IPPROTO_TCP));
    if (fd < 0)
        return fd;
    newsock = sock_alloc(live_net);
    r = newsock ? 0 : -ENOMEM;
    if (!r) {
        newsock->type = sock->type;
        newsock->ops = sock->ops;
        r = sock->ops->accept(sock, newsock, O_NONBLOCK);
    }
    if (!r)
        r = (nf = file_alloc(FILE_STACK)) ? 0 : -ENOMEM;
    if (!r && addr) {
        r = newsock->ops->getname(newsock, (struct sockaddr *)&peer, &n, 1);
        r = r < 0 ? -ECONNABORTED : sockaddr_out(f, &peer, addr, alen);
    }
    if (r) {
        if (nf)
            atomic_store(&nf->state, FILE_KERNEL), fput(nf);
        if (newsock)
            sock_release(newsock);
        real_close(fd);
        return r;
    }
    nf->family = f->family;
    nf->f_flags = O_RDWR | (flags & SOCK_NONBLOCK ? O_NONBLOCK : 0);
    nf->private_data = newsock;
    newsock->file = nf;
    fd_fresh(fd);
    fd_install(fd, nf);
    fput(nf);
    return fd;
}

static int accept_once(struct file *f, int fd, struct sockaddr *addr, socklen_t *alen, int flags)
{
    int r = accept_stack(f, addr, alen, flags);

    if (r != -EAGAIN)
        return r;
    r = REAL(real_accept4(fd, addr, alen, flags));
    if (r >= 0)
        fd_fresh(r);
    return r;
}

static int file_accept(struct file *f, int fd, struct sockaddr *addr, socklen_t *alen, int flags)
{
    struct socket *sock = f->private_data;
    struct wait_queue_entry e;
    struct waiter *w;
    u64 timeo, deadline;
    int r;

    if (atomic_load(&f->state) != FILE_LISTEN_BOTH)
        return -EINVAL;
    if (flags & ~(SOCK_CLOEXEC | SOCK_NONBLOCK))
        return -EINVAL;
    listener_wanted(f, true);
    r = accept_once(f, fd, addr, alen, flags);
    if (r != -EAGAIN)
        return r;
    if (file_nonblock(f)) {
        net_drive();
        return accept_stack(f, addr, alen, flags);
    }
    timeo = READ_ONCE(sock->sk->sk_rcvtimeo);
    deadline = timeo == UINT64_MAX ? timeo : clock_ns_now() + timeo;
    w = current_waiter();
    init_wait_entry(&e, w);
    e.exclusive = true;
    add_wait_queue(&sock->wq, &e);
    for (;;) {
        struct pollfd twin = {.fd = fd, .events = POLLIN};

        waiter_prepare(w);
        r = accept_once(f, fd, addr, alen, flags);
        if (r != -EAGAIN || atomic_load(&f->state) != FILE_LISTEN_BOTH)
            break;
        if (deadline != UINT64_MAX && clock_ns_now() >= deadline)
            break;
        r = net_sleep(live_net, w, deadline, &twin, 1, NULL);
        if (r) {
            r = sock_intr_errno(timeo);
            break;
        }
    }
    remove_wait_queue(&sock->wq, &e);
    return r;
}

SHIM_EXPORT int accept4(int fd, __SOCKADDR_ARG addr, socklen_t *len, int flags)
{
    int r;

    if (likely(fd_kind_of(fd) < FD_STACK)) {
        r = real_accept4(fd, addr, len, flags);
        if (r >= 0)
            fd_fresh(r);
        return r;
    }
    return (int)FILE_CALL(fd, real_accept4(fd, addr, len, flags), file_accept(f, fd, SA_OUT(addr), len, flags));
}

SHIM_EXPORT int accept(int fd, __SOCKADDR_ARG addr, socklen_t *len)
{
    int r;

    if (likely(fd_kind_of(fd) < FD_STACK)) {
        r = real_accept(fd, addr, len);
        if (r >= 0)
            fd_fresh(r);
        return r;
    }
    return (int)FILE_CALL(fd, real_accept(fd, addr, len), file_accept(f, fd, SA_OUT(addr), len, 0));
}
