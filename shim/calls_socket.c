/* SPDX-License-Identifier: MIT */
/* socket(2) to shutdown(2): where it is decided who serves a socket.
 *
 * socket() makes the kernel's socket, the twin. Nothing else happens until connect() or listen(): until
 * then the twin answers everything, and bind() and setsockopt() are remembered. */

#include "../netdev/rtnl.h"
#include "config.h"
#include "file.h"
#include "listener.h"
#include "fork.h"
#include "handover.h"
#include "runtime.h"
#include "stats.h"
#include "exit.h"
#include <arpa/inet.h>
#include <net/if.h>
#include <netinet/in.h>

SHIM_EXPORT int socket(int domain, int type, int protocol)
{
    int fd = real_socket(domain, type, protocol);
    struct file *f;

    if (fd < 0 || shim_bypass())
        return fd;
    fd_fresh(fd);
    if ((domain != AF_INET && domain != AF_INET6) || (type & ~(SOCK_NONBLOCK | SOCK_CLOEXEC)) != SOCK_STREAM ||
        (protocol && protocol != IPPROTO_TCP) || sluice_config.accelerate == CFG_ACCEL_OFF || shim_exiting)
        return fd;
    SHIM_ENTER();
    sigdefer_start();
    f = file_alloc(FILE_NEW);
    if (f) {
        f->family = domain;
        f->f_flags = O_RDWR | (type & SOCK_NONBLOCK ? O_NONBLOCK : 0);
        fd_install(fd, f);
        fput(f);
    }
    SHIM_EXIT();
    return fd;
}

/* ---- addresses ---------------------------------------------------------------------------------------------- */

/* The IPv4 address in a sockaddr of the program, or what it carries: false for anything but AF_INET and
 * v4-mapped AF_INET6. */
bool sockaddr_v4(const struct sockaddr *sa, socklen_t len, struct sockaddr_in *in)
{
    const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)sa;

    if (!user_ok(sa, len) || len < sizeof(sa_family_t))
        return false;
    memset(in, 0, sizeof(*in));
    in->sin_family = AF_INET;
    if (sa->sa_family == AF_INET && len >= sizeof(*in)) {
        in->sin_addr = ((const struct sockaddr_in *)sa)->sin_addr;
        in->sin_port = ((const struct sockaddr_in *)sa)->sin_port;
        return true;
    }
    if (sa->sa_family == AF_INET6 && len >= 24 /* SIN6_LEN_RFC2133 */ && IN6_IS_ADDR_V4MAPPED(&in6->sin6_addr)) {
        memcpy(&in->sin_addr, &in6->sin6_addr.s6_addr[12], 4);
        in->sin_port = in6->sin6_port;
        return true;
    }
    return false;
}

int sockaddr_out(const struct file *f, const struct sockaddr_in *in, struct sockaddr *addr, socklen_t *len)
{
    struct sockaddr_storage ss;
    socklen_t n = twin_sockaddr(f->family, in->sin_addr.s_addr, in->sin_port, &ss);

    if (!user_ok(len, sizeof(*len)) || !user_ok(addr, *len))
        return -EFAULT;
    if ((int)*len < 0)
        return -EINVAL;
    memcpy(addr, &ss, min(n, *len));
    *len = n;
    return 0;
}

/* ---- connect ------------------------------------------------------------------------------------------------- */

/* Leave the socket to the kernel, and say why: once for each reason, or a busy program fills the log. */
static void leave_to_kernel(struct file *f, const char *what, const struct sockaddr_in *peer, const char *why)
{
    char addr[INET_ADDRSTRLEN] = "";
    static _Atomic u64 said[64];
    u64 h = 14695981039346656037ull;

    for (const char *p = why; *p; p++)
        h = (h ^ (u8)*p) * 1099511628211ull;
    stats_fallback(why);
    if (sluice_config.log >= CFG_LOG_DEBUG || atomic_exchange(&said[h % 64], h) != h) {
        if (peer)
            inet_ntop(AF_INET, &peer->sin_addr, addr, sizeof(addr));
        if (peer)
            shim_info("%s %s port %u is left to the kernel: %s", what, addr, ntohs(peer->sin_port), why);
        else
            shim_info("%s is left to the kernel: %s", what, why);
    }
    file_to_kernel(f, FILE_KERNEL);
}

static const struct sockopt_record *last_opt(const struct file *f, int level, int optname)
{
    const struct sockopt_record *found = NULL;

    for (const struct sockopt_record *o = f->opts; o; o = o->next)
        if (o->level == level && o->optname == optname)
            found = o;
    return found;
}

static int int_opt(const struct file *f, int level, int optname)
{
    const struct sockopt_record *o = last_opt(f, level, optname);
    int v = 0;

    if (o && o->len >= sizeof(v))
        memcpy(&v, o->val, sizeof(v));
    return v;
}

/* Destinations that no device of ours leads to, known without a look at the routes. */
static const char *never_ours(const struct sockaddr_in *dst)
{
    u32 a = ntohl(dst->sin_addr.s_addr);

    if (a >> 24 == 127)
        return "a loopback address does not pass an interface that sluice could serve";
    if (a == 0)
        return "the destination is this host";
    if (a >> 28 == 0xe || a == 0xffffffff)
        return "the destination is no unicast address";
    if (!dst->sin_port)
        return "the destination has no port";
    return NULL;
}

/* Egress link of the flow by the host's own routes. 0 or -errno with *why. */
static int egress(struct file *f, const struct sockaddr_in *dst, __be32 saddr, struct net_device **dev, const char **why)
{
    const struct sockopt_record *d = last_opt(f, SOL_SOCKET, SO_BINDTODEVICE);
    struct flowi4 fl = {.daddr = dst->sin_addr.s_addr, .dport = dst->sin_port, .saddr = saddr, .proto = IPPROTO_TCP};
    struct fib_result res;
    char name[IF_NAMESIZE] = "";
    int r;

    fl.mark = (u32)int_opt(f, SOL_SOCKET, SO_MARK);
    fl.tos = (u8)int_opt(f, IPPROTO_IP, IP_TOS);
    if (d && d->len)
        memcpy(name, d->val, min(d->len, (socklen_t)sizeof(name) - 1));
    if (name[0])
        fl.oif = (int)if_nametoindex(name);
    r = live_net->route_ops->lookup(live_net, &fl, &res);
    if (r) {
        *why = "the host has no route to it";
        return r;
    }
    if (res.type != RTN_UNICAST_) {
        *why = res.type == RTN_LOCAL_ ? "the destination is this host" : "its route is not a unicast one";
        return -ENETUNREACH;
    }
    return runtime_open_dev(res.ifindex, dev, why);
}

/* Role: what has to be right before the stack may take a connect(): policy, stack, device, 4-tuple. f->lock
 * held. 0 with the local address, the twin then reserving the 4-tuple; or -errno with *why. */
static int connect_prepare(struct file *f, int fd, const struct sockaddr *addr, socklen_t len,
                           const struct sockaddr_in *dst, struct sockaddr_in *local, const char **why)
{
    struct sockaddr_storage ss;
    socklen_t sslen = sizeof(ss);
    struct net_device *dev;
    int r;

    memset(local, 0, sizeof(*local));
    local->sin_family = AF_INET;
    if (sluice_config.accelerate == CFG_ACCEL_LISTEN) {
        *why = "the option accelerate=listen leaves outgoing connections to the kernel";
        return -EPERM;
    }
    if ((*why = never_ours(dst)))
        return -ENETUNREACH;
    r = runtime_start(why);
    if (r)
        return r;
    if (runtime_own_address()) {
        if (f->bound) {
            *why = "the socket is bound to an address of the host, and sluice has one of its own";
            return -EADDRNOTAVAIL;
        }
        if (!runtime_open_all(why))
            return -ENODEV;
        local->sin_addr.s_addr = runtime_own_address();
        return 0;
    }
    if (f->bound) {
        if (real_getsockname(fd, (struct sockaddr *)&ss, &sslen) < 0)
            return -errno;
        if (ss.ss_family == AF_INET6 && IN6_IS_ADDR_UNSPECIFIED(&((struct sockaddr_in6 *)&ss)->sin6_addr))
            ;
        else if (!sockaddr_v4((struct sockaddr *)&ss, sslen, local)) {
            *why = "the socket is bound to an IPv6 address";
            return -EAFNOSUPPORT;
        }
    }
    r = egress(f, dst, local->sin_addr.s_addr, &dev, why);
    if (r)
        return r;
    r = twin_reserve(fd, addr, len, local);
    if (r) {
        *why = r == -EPERM ? "its ports cannot be reserved in the kernel without CAP_NET_ADMIN"
                           : "its ports cannot be reserved in the kernel";
        return r;
    }
    f->reserved = true;
    return 0;
}

/* The stack's socket for an outgoing connection, bound to what the twin reserved. */
static int connect_socket(struct file *f, int fd, const struct sockaddr_in *local, const char **why)
{
    struct socket *sock;
    int r = sock_create(live_net, AF_INET, SOCK_STREAM, IPPROTO_TCP, &sock);

    if (r) {
        *why = "the stack has no memory for another socket";
        return r;
    }
    sock->file = f;
    file_apply_opts(f, sock);
    sock->sk->sk_reuse = SK_FORCE_REUSE; /* the kernel has settled who may use the port */
    r = sock->ops->bind(sock, (const struct sockaddr *)local, sizeof(*local));
    if (r) {
        *why = "the stack still has a connection with these ports";
        sock_release(sock);
        return r;
    }
    f->private_data = sock;
    atomic_store(&f->state, FILE_STACK);
    if (!cds_list_empty(&f->watchers))
        epoll_file_to_stack(f);
    file_update_kind(f);
    return 0;
}

/* connect() again after one that failed: the twin reserves a 4-tuple that is of no use now. f->lock held. */
static void connect_again(struct file *f, int fd)
{
    struct socket *sock = f->private_data;
    bool reuse = sock->sk && sock->sk->sk_reuse == SK_CAN_REUSE;

    if (!cds_list_empty(&f->watchers))
        epoll_file_to_kernel(f);
    atomic_store(&f->state, FILE_NEW);
    file_update_kind(f);
    f->private_data = NULL;
    sock_release(sock);
    if (f->reserved)
        twin_release(fd, reuse || int_opt(f, SOL_SOCKET, SO_REUSEADDR));
    f->reserved = false;
}

static bool may_connect_again(struct file *f)
{
    struct socket *sock = f->private_data;

    return sock && sock->state == SS_UNCONNECTED && sock->sk && atomic_load(&sock->sk->sk_state) == TCP_CLOSE;
}

/* Decide. True: f is FILE_STACK and the stack is to connect; false: the kernel. */
static bool connect_decide(struct file *f, int fd, const struct sockaddr *addr, socklen_t len,
                           const struct sockaddr_in *dst)
{
    struct sockaddr_in local;
    const char *why = NULL;
    bool ours = false;
    int r;

    pthread_mutex_lock(&f->lock);
    if (atomic_load(&f->state) == FILE_STACK && may_connect_again(f))
        connect_again(f, fd);
    if (atomic_load(&f->state) == FILE_STACK)
        ours = true; /* another thread was faster */
    else if (atomic_load(&f->state) == FILE_NEW) {
        r = connect_prepare(f, fd, addr, len, dst, &local, &why);
        if (!r)
            r = connect_socket(f, fd, &local, &why);
        if (r && f->reserved) {
            twin_release(fd, int_opt(f, SOL_SOCKET, SO_REUSEADDR));
            f->reserved = false;
        }
        if (r)
            leave_to_kernel(f, "the connection to", dst, why ? why : strerror(-r));
        ours = !r;
    }
    pthread_mutex_unlock(&f->lock);
    return ours;
}

/* -EOPNOTSUPP (never the stack's answer to connect): the kernel is to connect. */
#define KERNEL_CONNECTS (-EOPNOTSUPP)
static int file_connect(struct file *f, int fd, const struct sockaddr *addr, socklen_t len)
{
    struct sockaddr_in dst;
    struct socket *sock;

    if (!user_ok(addr, len))
        return -EFAULT;
    if (len < sizeof(sa_family_t))
        return -EINVAL;
    if (addr->sa_family == AF_UNSPEC) {
        sock = f->private_data;
        return sock ? sock->ops->connect(sock, addr, len, 0) : KERNEL_CONNECTS;
    }
    if ((f->family == AF_INET && addr->sa_family != AF_INET) || !sockaddr_v4(addr, len, &dst)) {
        if (atomic_load(&f->state) == FILE_STACK)
            return addr->sa_family == AF_INET6 ? -ENETUNREACH : -EAFNOSUPPORT;
        return KERNEL_CONNECTS; /* IPv6 and nonsense */
    }
    if ((atomic_load(&f->state) == FILE_NEW || may_connect_again(f)) && !connect_decide(f, fd, addr, len, &dst))
        return KERNEL_CONNECTS;
    sock = f->private_data;
    net_tick(live_net);
    return sock->ops->connect(sock, (struct sockaddr *)&dst, sizeof(dst), file_nonblock(f) ? O_NONBLOCK : 0);
}

void file_decide_connect(struct file *f, int fd, const struct sockaddr *addr, socklen_t len)
{
    struct sockaddr_in dst;

    if (!user_ok(addr, len) || len < sizeof(sa_family_t) || (f->family == AF_INET && addr->sa_family != AF_INET) ||
        !sockaddr_v4(addr, len, &dst)) {
        pthread_mutex_lock(&f->lock);
        if (atomic_load(&f->state) == FILE_NEW)
            leave_to_kernel(f, "a fast open connection", NULL, "its address is not an IPv4 one");
        pthread_mutex_unlock(&f->lock);
        return;
    }
    connect_decide(f, fd, addr, len, &dst);
}

SHIM_EXPORT int connect(int fd, __CONST_SOCKADDR_ARG addr, socklen_t len)
{
    struct file *f;
    ssize_t r;

    for (;;) {
        f = fd_kind_of(fd) == FD_NEW ? enter_new(fd) : NULL;
        if (!f)
            f = file_enter(fd);
        if (!f)
            return real_connect(fd, addr, len);
        r = file_connect(f, fd, SA(addr), len);
        if (r == KERNEL_CONNECTS) {
            bool v6 = user_ok(SA(addr), len) && len >= 2 && SA(addr)->sa_family == AF_INET6;

            if (v6 && atomic_load(&f->state) == FILE_NEW) {
                pthread_mutex_lock(&f->lock);
                leave_to_kernel(f, "an IPv6 connection", NULL, "sluice serves IPv4 only");
                pthread_mutex_unlock(&f->lock);
            }
            errno = shim_tls.saved_errno;
            leave_new(f);
            return real_connect(fd, addr, len);
        }
        if (!file_leave(f, r))
            return (int)shim_ret(r);
    }
}

SHIM_EXPORT int __connect(int fd, __CONST_SOCKADDR_ARG addr, socklen_t len) { return connect(fd, addr, len); }

/* ---- bind, listen ------------------------------------------------------------------------------------------------ */

SHIM_EXPORT int bind(int fd, __CONST_SOCKADDR_ARG addr, socklen_t len)
{
    struct file *f = enter_new(fd);
    int r;

    if (f) {
        r = real_bind(fd, addr, len);
        if (!r) {
            struct sockaddr_in in;

            f->bound = true;
            f->bound_port = sockaddr_v4(SA(addr), len, &in) ? in.sin_port != 0
                                                            : ((const struct sockaddr_in6 *)SA(addr))->sin6_port != 0;
        }
        leave_new(f);
        return r;
    }
    /* Bound already: EINVAL, but the kernel looks at the address first. */
    return (int)FILE_CALL(fd, real_bind(fd, addr, len), f->reserved ? REAL(real_bind(fd, addr, len)) : -EINVAL);
}

/* Where the twin is (to be) bound, as the stack's listener sees it. 0 or -errno with *why. */
static int listen_address(int fd, struct sockaddr_in *local, const char **why)
{
    struct sockaddr_storage ss;
    socklen_t len = sizeof(ss);
    int v6only = 0;

    if (sluice_config.accelerate == CFG_ACCEL_CONNECT) {
        *why = "the option accelerate=connect leaves listening sockets to the kernel";
        return -EPERM;
    }
    if (real_getsockname(fd, (struct sockaddr *)&ss, &len) < 0)
        return -errno;
    if (!sockaddr_v4((struct sockaddr *)&ss, len, local)) {
        const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)&ss;
        socklen_t n = sizeof(v6only);

        real_getsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &v6only, &n);
        if (v6only || !IN6_IS_ADDR_UNSPECIFIED(&in6->sin6_addr)) {
            *why = "it listens for IPv6 only, and sluice serves IPv4";
            return -EAFNOSUPPORT;
        }
        *local = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = in6->sin6_port};
    }
    if (ntohl(local->sin_addr.s_addr) >> 24 == 127) {
        *why = "it listens on a loopback address";
        return -EADDRNOTAVAIL;
    }
    return 0;
}

/* What takes long, before the twin listens: a client that sees the port open then soon meets the stack too (one
 * in between is the kernel's). 0 or -errno with *why. */
static int listen_prepare(int fd, const char **why)
{
    struct sockaddr_in local;
    int r = listen_address(fd, &local, why);

    if (!r)
        r = runtime_start(why);
    if (!r && !runtime_open_all(why))
        r = -ENODEV;
    return r;
}

/* The stack's listener beside the twin's, which listens. f->lock held. 0 or -errno with *why. */
static int listen_beside(struct file *f, int fd, int backlog, const char **why)
{
    struct sockaddr_in local;
    struct socket *sock;
    int r = listen_address(fd, &local, why);

    if (r)
        return r;
    r = sock_create(live_net, AF_INET, SOCK_STREAM, IPPROTO_TCP, &sock);
    if (r) {
        *why = "the stack has no memory for another socket";
        return r;
    }
    sock->file = f;
    file_apply_opts(f, sock);
    sock->sk->sk_reuse = SK_FORCE_REUSE;
    inet_listen_park(sock->sk, true);
    r = sock->ops->bind(sock, (struct sockaddr *)&local, sizeof(local));
    if (!r)
        r = sock->ops->listen(sock, backlog);
    if (r) {
        *why = "the stack cannot listen there";
        sock_release(sock);
        return r;
    }
    f->private_data = sock;
    return 0;
}

SHIM_EXPORT int listen(int fd, int backlog)
{
    struct file *f = enter_new(fd);
    const char *why = NULL;
    int r, fl, prepared;

    if (!f)
        return (int)FILE_CALL(fd, real_listen(fd, backlog), ({
                                  int l_ = REAL(real_listen(fd, backlog));
                                  if (!l_ && atomic_load(&f->state) == FILE_LISTEN_BOTH)
                                      (void)f->private_data->ops->listen(f->private_data, backlog);
                                  l_;
                              }));
    fl = errno;
    prepared = listen_prepare(fd, &why);
    errno = fl;
    r = real_listen(fd, backlog);
    if (!r) {
        int err = errno;

        pthread_mutex_lock(&f->lock);
        r = prepared ? prepared : listen_beside(f, fd, backlog, &why);
        if (r) {
            leave_to_kernel(f, "a listening socket", NULL, why ? why : strerror(-r));
            r = 0;
        } else {
            /* accept() looks at both; neither may keep it from the other. F_GETFL still tells the
             * program's own setting. */
            fl = real_fcntl(fd, F_GETFL);
            real_fcntl(fd, F_SETFL, fl | O_NONBLOCK);
            atomic_store(&f->state, FILE_LISTEN_BOTH);
            if (!cds_list_empty(&f->watchers))
                epoll_file_to_stack(f);
            file_update_kind(f);
        }
        pthread_mutex_unlock(&f->lock);
        errno = err;
    }
    leave_new(f);
    return r;
}

/* ---- names, shutdown ---------------------------------------------------------------------------------------------------- */

static int file_getname(struct file *f, int fd, struct sockaddr *addr, socklen_t *len, int peer)
{
    struct sockaddr_in in = {.sin_family = AF_INET};
    socklen_t n = sizeof(in);
    int r;

    if (atomic_load(&f->state) == FILE_LISTEN_BOTH)
        return peer ? REAL(real_getpeername(fd, addr, len)) : REAL(real_getsockname(fd, addr, len));
    r = f->private_data->ops->getname(f->private_data, (struct sockaddr *)&in, &n, peer);
    return r < 0 ? r : sockaddr_out(f, &in, addr, len);
}

SHIM_EXPORT int getsockname(int fd, __SOCKADDR_ARG addr, socklen_t *len)
{
    return (int)FILE_CALL(fd, real_getsockname(fd, addr, len), file_getname(f, fd, SA_OUT(addr), len, 0));
}

SHIM_EXPORT int getpeername(int fd, __SOCKADDR_ARG addr, socklen_t *len)
{
    return (int)FILE_CALL(fd, real_getpeername(fd, addr, len), file_getname(f, fd, SA_OUT(addr), len, 1));
}

static int file_shutdown(struct file *f, int fd, int how)
{
    int r = f->private_data->ops->shutdown(f->private_data, how);

    if (atomic_load(&f->state) == FILE_LISTEN_BOTH)
        r = REAL(real_shutdown(fd, how));
    return r;
}

SHIM_EXPORT int shutdown(int fd, int how)
{
    return (int)FILE_CALL(fd, real_shutdown(fd, how), file_shutdown(f, fd, how));
}
