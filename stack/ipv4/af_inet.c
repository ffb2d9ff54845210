/* SPDX-License-Identifier: MIT */
/* The address family between struct socket and the protocol: AF_INET, and AF_INET6 sockets whose peers are
 * IPv4 (v4-mapped addresses, RFC 4291 2.5.5.2). States and errors as Linux answers them (ip(7), tcp(7),
 * connect(2), bind(2)). */

#include "../core/rcu.h"
#include "../core/trace.h"
#include "tcp_fastopen.h"
#include <fcntl.h>
#include <pthread.h>

#define INETSW_MAX 8
#define SIN6_LEN_RFC2133 24 /* sockaddr_in6 before sin6_scope_id */

/* ---- the protocols: inetsw and inet_protos ------------------------------------------------------------------------ */

/* Both are filled by inet_init() before any net exists and only read afterwards. */
static const struct inet_protosw *inetsw[INETSW_MAX];
static const struct net_protocol *inet_protos[256];

void inet_register_protosw(struct inet_protosw *p)
{
    for (int i = 0; i < INETSW_MAX; i++)
        if (!inetsw[i] || inetsw[i] == p) {
            inetsw[i] = p;
            return;
        }
    BUG_ON(true); /* INETSW_MAX is too small */
}

int inet_add_protocol(const struct net_protocol *prot, u8 protocol)
{
    const struct net_protocol *none = NULL;

    if (__atomic_compare_exchange_n(&inet_protos[protocol], &none, prot, false, __ATOMIC_RELEASE, __ATOMIC_RELAXED))
        return 0;
    return none == prot ? 0 : -EEXIST;
}

const struct net_protocol *inet_find_protocol(u8 protocol)
{
    return __atomic_load_n(&inet_protos[protocol], __ATOMIC_ACQUIRE);
}

/* ---- addresses ------------------------------------------------------------------------------------------------------- */

/* Role: the IPv4 meaning of a program's address. 0 and *sin, or -EINVAL, -EAFNOSUPPORT, -ENETUNREACH (an IPv6
 * address, which the stack does not serve; the shim sends such sockets to the kernel before). */
static int inet_parse_addr(const struct sock *sk, const struct sockaddr *addr, socklen_t len, struct sockaddr_in *sin)
{
    struct sockaddr_in6 sin6 = {0};

    if (sk->sk_family == AF_INET) {
        if (len < (socklen_t)sizeof(*sin))
            return -EINVAL;
        memcpy(sin, addr, sizeof(*sin));
        return 0; /* the family is the caller's to check: bind() and connect() differ */
    }
    if (len < SIN6_LEN_RFC2133)
        return -EINVAL;
    memcpy(&sin6, addr, min(len, (socklen_t)sizeof(sin6)));
    if (sin6.sin6_family != AF_INET6)
        return -EAFNOSUPPORT;
    *sin = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = sin6.sin6_port};
    if (IN6_IS_ADDR_UNSPECIFIED(&sin6.sin6_addr))
        return 0;
    if (!IN6_IS_ADDR_V4MAPPED(&sin6.sin6_addr) || sk->sk_ipv6only)
        return -ENETUNREACH;
    memcpy(&sin->sin_addr, &sin6.sin6_addr.s6_addr[12], 4);
    return 0;
}

/* A name for the program in its own family; any address on AF_INET6 is "::". Copies what fits in *len and sets
 * it to the full size. */
static void inet_put_name(const struct sock *sk, __be32 a, __be16 port, struct sockaddr *addr, socklen_t *len)
{
    struct sockaddr_in sin = {.sin_family = AF_INET, .sin_port = port, .sin_addr.s_addr = a};
    struct sockaddr_in6 sin6 = {.sin6_family = AF_INET6, .sin6_port = port};

    if (sk->sk_family == AF_INET) {
        memcpy(addr, &sin, min(*len, (socklen_t)sizeof(sin)));
        *len = sizeof(sin);
        return;
    }
    if (a) {
        sin6.sin6_addr.s6_addr[10] = sin6.sin6_addr.s6_addr[11] = 0xff;
        memcpy(&sin6.sin6_addr.s6_addr[12], &a, 4);
    }
    memcpy(addr, &sin6, min(*len, (socklen_t)sizeof(sin6)));
    *len = sizeof(sin6);
}

int inet_getname(struct socket *sock, struct sockaddr *addr, socklen_t *len, int peer)
{
    struct sock *sk = sock->sk;
    const struct inet_sock *inet = inet_sk(sk);
    int err = 0;

    lock_sock(sk);
    if (!peer)
        inet_put_name(sk, inet->inet_rcv_saddr ? inet->inet_rcv_saddr : inet->inet_saddr, inet->inet_sport, addr, len);
    else if (!inet->inet_dport || (TCPF(sk->sk_state) & (TCPF_CLOSE | TCPF_SYN_SENT) && peer == 1))
        err = -ENOTCONN;
    else
        inet_put_name(sk, inet->inet_daddr, inet->inet_dport, addr, len);
    release_sock(sk);
    return err;
}

/* ---- socket(), close() --------------------------------------------------------------------------------------------------- */

void inet_sock_destruct(struct sock *sk)
{
    struct inet_sock *inet = inet_sk(sk);

    __skb_queue_purge(&sk->sk_receive_queue, SKB_DROP_REASON_SOCKET_CLOSED);
    __skb_queue_purge(&sk->sk_error_queue, SKB_DROP_REASON_SOCKET_CLOSED);
    sk_mem_reclaim(sk);
    free(inet->inet_opt);
    inet->inet_opt = NULL;
    dst_release(sk->sk_dst_cache);
    sk->sk_dst_cache = NULL;
}

static const struct proto_ops inet6_stream_ops;

static int inet_create_family(struct net *net, struct socket *sock, int protocol, int family)
{
    const struct inet_protosw *p = NULL;
    int err = -ESOCKTNOSUPPORT;
    struct inet_sock *inet;
    struct sock *sk;

    for (int i = 0; i < INETSW_MAX && inetsw[i]; i++) {
        if (inetsw[i]->type != sock->type)
            continue;
        if (protocol == IPPROTO_IP || protocol == inetsw[i]->protocol) {
            p = inetsw[i];
            break;
        }
        err = -EPROTONOSUPPORT;
    }
    if (!p)
        return err;
    sk = sk_alloc(net, family, p->prot);
    if (!sk)
        return -ENOMEM;
    sock->state = SS_UNCONNECTED;
    sock->ops = family == AF_INET6 && p->ops == &inet_stream_ops ? &inet6_stream_ops : p->ops;
    sock_init_data(sock, sk);
    sk->sk_destruct = inet_sock_destruct;
    sk->sk_protocol = (u16)p->protocol;
    sk->sk_backlog_rcv = sk->sk_prot->backlog_rcv;
    inet = inet_sk(sk);
    inet->is_icsk = sock->type == SOCK_STREAM;
    inet->uc_ttl = -1;
    inet->v6_hops = -1;
    inet->pmtudisc = net->ipv4.sysctl_ip_no_pmtu_disc ? IP_PMTUDISC_DONT : IP_PMTUDISC_WANT;
    atomic_store(&inet->inet_id, net_random_u32(net));
    if (inet->is_icsk)
        spin_lock_init(&inet_csk(sk)->icsk_accept_queue.rskq_lock);
    if (sk->sk_prot->init) {
        err = sk->sk_prot->init(sk);
        if (err) {
            sk_common_release(sk);
            sock->sk = NULL;
            return err;
        }
    }
    return 0;
}

int inet_create(struct net *net, struct socket *sock, int protocol)
{
    return inet_create_family(net, sock, protocol, AF_INET);
}

static int inet6_create(struct net *net, struct socket *sock, int protocol)
{
    return inet_create_family(net, sock, protocol, AF_INET6);
}

/* close(2): with SO_LINGER the call may wait that long for unsent data. */
int inet_release(struct socket *sock)
{
    struct sock *sk = sock->sk;

    if (sk) {
        sk->sk_prot->close(sk, sock_flag(sk, SOCK_LINGER) ? sk->sk_lingertime : 0);
        sock->sk = NULL;
    }
    return 0;
}

/* ---- bind(), listen() ------------------------------------------------------------------------------------------------------- */

static int inet_bind_locked(struct sock *sk, const struct sockaddr_in *sin)
{
    struct inet_sock *inet = inet_sk(sk);
    const __be32 addr = sin->sin_addr.s_addr;
    const u16 snum = be16toh(sin->sin_port);
    const int type = inet_addr_type(sock_net(sk), addr);
    int err;

    if (addr && !inet->freebind && !inet->transparent && type == RTN_UNICAST_)
        return -EADDRNOTAVAIL;
    if (sk->sk_state != TCP_CLOSE || inet->inet_num)
        return -EINVAL;
    inet->inet_rcv_saddr = inet->inet_saddr = addr;
    if (type == RTN_MULTICAST_ || type == RTN_BROADCAST_)
        inet->inet_saddr = 0; /* the device's own is used to send */
    if (snum || !inet->bind_address_no_port) {
        err = sk->sk_prot->get_port(sk, snum);
        if (err) {
            inet->inet_rcv_saddr = inet->inet_saddr = 0;
            return err;
        }
    }
    if (addr) {
        sk->sk_userlocks |= SOCK_BINDADDR_LOCK;
        inet->saddr_fixed = 1;
    }
    if (snum)
        sk->sk_userlocks |= SOCK_BINDPORT_LOCK;
    inet->inet_sport = htobe16(inet->inet_num);
    inet->inet_daddr = 0;
    inet->inet_dport = 0;
    sk_dst_reset(sk);
    return 0;
}

int inet_bind(struct socket *sock, const struct sockaddr *addr, socklen_t len)
{
    struct sock *sk = sock->sk;
    struct sockaddr_in sin;
    int err = inet_parse_addr(sk, addr, len, &sin);

    if (err)
        return err == -ENETUNREACH ? -EADDRNOTAVAIL : err;
    /* AF_UNSPEC with the any address is taken for AF_INET, as ever. */
    if (sin.sin_family != AF_INET && (sin.sin_family != AF_UNSPEC || sin.sin_addr.s_addr))
        return -EAFNOSUPPORT;
    lock_sock(sk);
    err = inet_bind_locked(sk, &sin);
    release_sock(sk);
    return err;
}

int inet_listen(struct socket *sock, int backlog)
{
    struct sock *sk = sock->sk;
    int err = -EINVAL;

    lock_sock(sk);
    if (sock->state != SS_UNCONNECTED || sock->type != SOCK_STREAM ||
        !(TCPF(sk->sk_state) & (TCPF_CLOSE | TCPF_LISTEN)))
        goto out;
    if ((unsigned)backlog > (unsigned)sock_net(sk)->ipv4.sysctl_somaxconn)
        backlog = sock_net(sk)->ipv4.sysctl_somaxconn;
    WRITE_ONCE(sk->sk_max_ack_backlog, (u32)backlog);
    tcp_fastopen_listen(sk, backlog);
    err = sk->sk_state == TCP_LISTEN ? 0 : inet_csk_listen_start(sk);
out:
    release_sock(sk);
    return err;
}

/* ---- connect(), accept() ------------------------------------------------------------------------------------------------------- */

static bool not_connecting(struct sock *sk) { return !(TCPF(sk->sk_state) & (TCPF_SYN_SENT | TCPF_SYN_RECV)); }

/* Wait for the handshake. 0: it ended one way or the other; -EINPROGRESS: no time left; -EINTR, -ERESTARTSYS. */
static int inet_wait_for_connect(struct sock *sk, u64 timeo)
{
    while (!not_connecting(sk)) {
        if (!timeo)
            return -EINPROGRESS;
        if (sk_wait_event(sk, &timeo, not_connecting) && !not_connecting(sk))
            return sock_intr_errno(timeo);
    }
    return 0;
}

/* Begin: the protocol's SYN. 0 or -errno. */
static int inet_start_connect(struct socket *sock, struct sock *sk, const struct sockaddr *addr, socklen_t len)
{
    struct sockaddr_in sin;
    int err = inet_parse_addr(sk, addr, len, &sin);

    if (err)
        return err;
    if (sin.sin_family != AF_INET)
        return -EAFNOSUPPORT;
    if (sk->sk_state != TCP_CLOSE)
        return -EISCONN;
    err = sk->sk_prot->connect(sk, (struct sockaddr *)&sin, sizeof(sin));
    if (err < 0)
        return err;
    sock->state = SS_CONNECTING;
    return 0;
}

int __inet_stream_connect(struct socket *sock, const struct sockaddr *addr, socklen_t len, int flags, bool is_sendmsg)
{
    struct sock *sk = sock->sk;
    int err, wait;

    if (addr && len < (socklen_t)sizeof(addr->sa_family))
        return -EINVAL;
    if (addr && addr->sa_family == AF_UNSPEC) {
        err = sk->sk_prot->disconnect(sk, flags);
        sock->state = err ? SS_DISCONNECTING : SS_UNCONNECTED;
        return err;
    }
    switch (sock->state) {
    default:
        return -EINVAL;
    case SS_CONNECTED:
        return -EISCONN;
    case SS_CONNECTING:
        if (inet_sk(sk)->defer_connect)
            err = is_sendmsg ? -EINPROGRESS : -EISCONN;
        else
            err = -EALREADY;
        break;
    case SS_UNCONNECTED:
        err = addr ? inet_start_connect(sock, sk, addr, len) : -EINVAL;
        if (err)
            return err;
        if (inet_sk(sk)->defer_connect) /* fast open: the SYN goes with the first data */
            return 0;
        err = -EINPROGRESS;
        break;
    }
    if (!not_connecting(sk)) {
        /* Data waits for the handshake: the ACK of the SYN-ACK may go with it. */
        const int writebias = tcp_sk(sk)->fastopen_req && tcp_sk(sk)->fastopen_req->data;

        sk->sk_write_pending += writebias;
        wait = inet_wait_for_connect(sk, sock_sndtimeo(sk, flags & O_NONBLOCK));
        sk->sk_write_pending -= writebias;
        if (wait)
            return wait == -EINPROGRESS ? err : wait;
    }
    /* sk_err may be set on a connected socket too; that one belongs to a later call. */
    if (sk->sk_state != TCP_CLOSE) {
        sock->state = SS_CONNECTED;
        return 0;
    }
    err = sock_error(sk);
    if (!err)
        err = -ECONNABORTED;
    sock->state = sk->sk_prot->disconnect(sk, flags) ? SS_DISCONNECTING : SS_UNCONNECTED;
    return err;
}

int inet_stream_connect(struct socket *sock, const struct sockaddr *addr, socklen_t len, int flags)
{
    int err;

    lock_sock(sock->sk);
    err = __inet_stream_connect(sock, addr, len, flags, false);
    release_sock(sock->sk);
    return err;
}

int inet_accept(struct socket *sock, struct socket *newsock, int flags)
{
    struct sock *sk = sock->sk, *newsk;
    int err = -EINVAL;

    newsk = sk->sk_prot->accept(sk, flags, &err);
    if (!newsk)
        return err;
    lock_sock(newsk);
    newsock->type = sock->type;
    newsock->ops = sock->ops;
    sock_graft(newsk, newsock);
    newsock->state = SS_CONNECTED;
    release_sock(newsk);
    return 0;
}

/* ---- shutdown(), data, options ----------------------------------------------------------------------------------------------------- */

int inet_shutdown(struct socket *sock, int how)
{
    struct sock *sk = sock->sk;
    int err = 0;

    how++; /* SHUT_RD, WR, RDWR -> RCV_SHUTDOWN, SEND_SHUTDOWN, both */
    if ((how & ~SHUTDOWN_MASK) || !how)
        return -EINVAL;
    lock_sock(sk);
    if (sock->state == SS_CONNECTING)
        sock->state = TCPF(sk->sk_state) & (TCPF_SYN_SENT | TCPF_SYN_RECV | TCPF_CLOSE) ? SS_DISCONNECTING : SS_CONNECTED;
    switch (atomic_load(&sk->sk_state)) {
    case TCP_CLOSE:
        err = -ENOTCONN;
        __attribute__((fallthrough)); /* pollers get their EPOLLHUP all the same */
    default:
        WRITE_ONCE(sk->sk_shutdown, sk->sk_shutdown | how);
        if (sk->sk_prot->shutdown)
            sk->sk_prot->shutdown(sk, how);
        break;
    case TCP_LISTEN:
        if (!(how & RCV_SHUTDOWN))
            break;
        __attribute__((fallthrough));
    case TCP_SYN_SENT:
        err = sk->sk_prot->disconnect(sk, O_NONBLOCK);
        sock->state = err ? SS_DISCONNECTING : SS_UNCONNECTED;
        break;
    }
    sk->sk_state_change(sk);
    release_sock(sk);
    return err;
}

int inet_ioctl(struct socket *sock, unsigned long cmd, int *arg)
{
    struct sock *sk = sock->sk;

    return sk->sk_prot->ioctl ? sk->sk_prot->ioctl(sk, (int)cmd, arg) : -ENOTTY;
}

/* A protocol without connections gets its port here (inet_autobind); TCP gets one in connect() only, so that
 * writing to a socket that is not connected fails with EPIPE. */
static int inet_send_prepare(struct sock *sk)
{
    int err = 0;

    if (likely(READ_ONCE(inet_sk(sk)->inet_num) || inet_sk(sk)->is_icsk))
        return 0;
    lock_sock(sk);
    if (!inet_sk(sk)->inet_num) {
        err = sk->sk_prot->get_port(sk, 0) ? -EAGAIN : 0;
        if (!err)
            inet_sk(sk)->inet_sport = htobe16(inet_sk(sk)->inet_num);
    }
    release_sock(sk);
    return err;
}

ssize_t inet_sendmsg(struct socket *sock, struct sk_msghdr *msg, size_t size)
{
    struct sock *sk = sock->sk;
    int err = inet_send_prepare(sk);

    return err ? err : WALK(sk->sk_prot->sendmsg(sk, msg, size));
}

ssize_t inet_recvmsg(struct socket *sock, struct sk_msghdr *msg, size_t size, int flags)
{
    struct sock *sk = sock->sk;

    msg->msg_namelen = 0;
    return sk->sk_prot->recvmsg(sk, msg, size, flags);
}

static int inet_stream_setsockopt(struct socket *sock, int level, int optname, const void *optval, socklen_t len)
{
    if (level == SOL_SOCKET)
        return sock_setsockopt(sock, level, optname, optval, len);
    return sock->sk->sk_prot->setsockopt(sock->sk, level, optname, optval, len);
}

static int inet_stream_getsockopt(struct socket *sock, int level, int optname, void *optval, socklen_t *len)
{
    if (level == SOL_SOCKET)
        return sock_getsockopt(sock, level, optname, optval, len);
    return sock->sk->sk_prot->getsockopt(sock->sk, level, optname, optval, len);
}

static void inet_splice_eof(struct socket *sock)
{
    if (sock->sk->sk_prot->splice_eof)
        sock->sk->sk_prot->splice_eof(sock->sk);
}

/* The same operations under two families. */
#define INET_STREAM_OPS(fam)                                                                                           \
    {                                                                                                                  \
        .family = fam, .release = inet_release, .bind = inet_bind, .connect = inet_stream_connect,                     \
        .accept = inet_accept, .getname = inet_getname, .poll = tcp_poll, .ioctl = inet_ioctl, .listen = inet_listen,  \
        .shutdown = inet_shutdown, .setsockopt = inet_stream_setsockopt, .getsockopt = inet_stream_getsockopt,         \
        .sendmsg = inet_sendmsg, .recvmsg = inet_recvmsg, .splice_eof = inet_splice_eof,                               \
    }
const struct proto_ops inet_stream_ops = INET_STREAM_OPS(AF_INET);
static const struct proto_ops inet6_stream_ops = INET_STREAM_OPS(AF_INET6);

int inet_sk_rebuild_header(struct sock *sk)
{
    struct inet_sock *inet = inet_sk(sk);
    const struct ip_options *opt = inet->inet_opt;
    struct flowi4 fl;
    struct rtable *rt;
    int err;

    if (__sk_dst_check(sk))
        return 0;
    fl = (struct flowi4){.daddr = opt && opt->srr ? opt->faddr : inet->inet_daddr,
                         .saddr = inet->inet_saddr,
                         .dport = inet->inet_dport,
                         .sport = inet->inet_sport,
                         .oif = sk->sk_bound_dev_if,
                         .mark = (u32)sk->sk_mark,
                         .tos = inet->tos,
                         .proto = (u8)sk->sk_protocol};
    rt = ip_route_output_flow(sock_net(sk), &fl, &err);
    if (rt) {
        sk_setup_caps(sk, &rt->dst);
        return 0;
    }
    sk->sk_route_caps = 0;
    sk->sk_err_soft = -err;
    return err;
}

/* ---- start and per-net state ------------------------------------------------------------------------------------------------------------ */

int inet_net_init(struct net *net)
{
    int err = nf_init(net);

    if (err)
        return err;
    err = ip_rt_init(net);
    if (err)
        goto out_nf;
    err = ipfrag_init(net);
    if (err)
        goto out_rt;
    err = icmp_net_init(net);
    if (err)
        goto out_frag;
    err = inet_hashinfo_init(net);
    if (err)
        goto out_icmp;
    err = arp_net_init(net);
    if (err)
        goto out_hash;
    err = tcp_net_init(net);
    if (err)
        goto out_arp;
    return 0;
out_arp:
    arp_net_exit(net);
out_hash:
    inet_hashinfo_exit(net);
out_icmp:
    icmp_net_exit(net);
out_frag:
    ipfrag_exit(net);
out_rt:
    ip_rt_exit(net);
out_nf:
    nf_exit(net);
    return err;
}

void inet_net_exit(struct net *net)
{
    inet_hashinfo_exit(net); /* the sockets first: they still use all the rest */
    tcp_net_exit(net);
    arp_net_exit(net);
    icmp_net_exit(net);
    ipfrag_exit(net);
    ip_rt_exit(net);
    nf_exit(net);
}

static struct packet_type ip_packet_type = {.func = ip_rcv};

static void inet_init_once(void)
{
    ip_packet_type.type = htobe16(ETH_P_IP);
    sock_register(AF_INET, inet_create);
    sock_register(AF_INET6, inet6_create);
    arp_init();
    icmp_init();
    tcp_v4_init();
    dev_add_pack(&ip_packet_type);
    net_register_family(inet_net_init, inet_net_exit);
}

void inet_init(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;

    pthread_once(&once, inet_init_once);
}
