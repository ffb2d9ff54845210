/* SPDX-License-Identifier: MIT */
/* Socket options of ip(7), and of ipv6(7) for AF_INET6 sockets that carry IPv4. What has no meaning for a stream
 * answers as Linux does. */

#include "tcp.h"
#include <linux/errqueue.h>
#include <netinet/in.h>

#ifndef IP_LOCAL_PORT_RANGE
#define IP_LOCAL_PORT_RANGE 51
#endif
#ifndef IP_RECVERR_RFC4884
#define IP_RECVERR_RFC4884 26
#endif
#ifndef IPV6_RECVERR_RFC4884
#define IPV6_RECVERR_RFC4884 31
#endif
#ifndef IP_NODEFRAG
#define IP_NODEFRAG 22
#endif
#ifndef IP_CHECKSUM
#define IP_CHECKSUM 23
#endif
#ifndef IP_RECVFRAGSIZE
#define IP_RECVFRAGSIZE 25
#endif
#ifndef IPV6_AUTOFLOWLABEL
#define IPV6_AUTOFLOWLABEL 70
#endif
#ifndef IPV6_FLOWINFO_SEND
#define IPV6_FLOWINFO_SEND 33
#endif

/* Switches that ask for control messages: kept, without effect on a stream. -1: not one of them. */
static int cmsg_bit(int optname)
{
    static const u8 opts[] = {IP_PKTINFO, IP_RECVTTL, IP_RECVOPTS, IP_RECVTOS, IP_RETOPTS, IP_PASSSEC,
                              IP_RECVORIGDSTADDR, IP_CHECKSUM, IP_RECVFRAGSIZE, IP_RECVERR_RFC4884, IP_NODEFRAG};

    for (u32 i = 0; i < ARRAY_SIZE(opts); i++)
        if (opts[i] == optname)
            return (int)i;
    return -1;
}

/* An int, or one byte where the program gave only that. False: too short for either. */
static bool get_val(const void *optval, socklen_t len, int *val)
{
    *val = 0;
    if (len >= sizeof(int)) {
        memcpy(val, optval, sizeof(int));
        return true;
    }
    if (len >= 1)
        *val = *(const u8 *)optval;
    return len >= 1;
}

/* As Linux: an int, or a byte when the program's buffer is smaller and the value fits. */
static int put_val(int val, void *optval, socklen_t *len)
{
    if ((int)*len < 0)
        return -EINVAL;
    if (*len < sizeof(int) && *len > 0 && val >= 0 && val <= 255) {
        *(u8 *)optval = (u8)val;
        *len = 1;
        return 0;
    }
    *len = min(*len, (socklen_t)sizeof(int));
    memcpy(optval, &val, *len);
    return 0;
}

/* SO_PRIORITY that a TOS value implies (rt_tos2priority; tc-prio(8)). */
static int tos_to_priority(u8 tos)
{
    static const u8 prio[16] = {0, 1, 0, 0, 2, 2, 2, 2, 6, 6, 6, 6, 4, 4, 4, 4};

    return prio[(tos & 0x1e) >> 1];
}

static int set_tos(struct sock *sk, int val)
{
    struct inet_sock *inet = inet_sk(sk);

    if (sk->sk_type == SOCK_STREAM) /* the ECN bits are TCP's */
        val = (val & ~INET_ECN_MASK) | (inet->tos & INET_ECN_MASK);
    if (inet->tos != (u8)val) {
        inet->tos = (u8)val;
        sk->sk_priority = tos_to_priority((u8)val);
        sk_dst_reset(sk);
    }
    return 0;
}

static int set_options(struct sock *sk, const void *optval, socklen_t len)
{
    struct inet_connection_sock *icsk = inet_csk(sk);
    struct inet_sock *inet = inet_sk(sk);
    struct ip_options *opt, *old = inet->inet_opt;
    int err;

    if (len > 40)
        return -EINVAL;
    err = ip_options_get(&opt, optval, (int)len);
    if (err)
        return err;
    if (inet->is_icsk) {
        if (old)
            icsk->icsk_ext_hdr_len -= old->optlen;
        if (opt)
            icsk->icsk_ext_hdr_len += opt->optlen;
        /* The header grew or shrank: the MSS does the contrary. */
        if (icsk->icsk_sync_mss && inet->inet_daddr && !(TCPF(sk->sk_state) & (TCPF_LISTEN | TCPF_CLOSE)))
            icsk->icsk_sync_mss(sk, icsk->icsk_pmtu_cookie);
    }
    inet->inet_opt = opt; /* read under the socket lock only */
    free(old);
    return 0;
}

static int set_port_range(struct inet_sock *inet, const void *optval, socklen_t len)
{
    u32 val;
    u16 lo, hi;

    if (len != sizeof(val))
        return -EINVAL;
    memcpy(&val, optval, sizeof(val));
    lo = (u16)val;
    hi = (u16)(val >> 16);
    if (lo && hi && lo > hi)
        return -EINVAL;
    inet->local_port_range[0] = lo;
    inet->local_port_range[1] = hi;
    return 0;
}

/* Options that a stream socket refuses, with the error that Linux has for each; 0: not one of them. */
static int set_refused(const struct sock *sk, int optname)
{
    switch (optname) {
    case IP_MULTICAST_TTL:
    case IP_MULTICAST_IF:
        return -EINVAL;
    case IP_ADD_MEMBERSHIP:
    case IP_DROP_MEMBERSHIP:
        return inet_sk(sk)->is_icsk ? -EPROTO : -EINVAL;
    case IP_ADD_SOURCE_MEMBERSHIP:
    case IP_DROP_SOURCE_MEMBERSHIP:
    case IP_BLOCK_SOURCE:
    case IP_UNBLOCK_SOURCE:
    case IP_MSFILTER:
        return -EINVAL;
    case MCAST_JOIN_GROUP:
    case MCAST_LEAVE_GROUP:
    case MCAST_JOIN_SOURCE_GROUP:
    case MCAST_LEAVE_SOURCE_GROUP:
    case MCAST_BLOCK_SOURCE:
    case MCAST_UNBLOCK_SOURCE:
    case MCAST_MSFILTER:
        return -EINVAL;
    case IP_XFRM_POLICY:
    case IP_IPSEC_POLICY:
        return -EPERM;
    case IP_HDRINCL: /* raw sockets only */
        return -ENOPROTOOPT;
    default:
        return 0;
    }
}

static int set_pmtudisc(struct inet_sock *inet, int val)
{
    if (val < IP_PMTUDISC_DONT || val > IP_PMTUDISC_OMIT)
        return -EINVAL;
    inet->pmtudisc = (u8)val;
    return 0;
}

/* Socket lock held. */
static int do_ip_setsockopt(struct sock *sk, int optname, const void *optval, socklen_t len)
{
    struct inet_sock *inet = inet_sk(sk);
    int val, err = set_refused(sk, optname), bit = cmsg_bit(optname);
    const bool have = get_val(optval, len, &val);

    if (err)
        return err;
    if (bit >= 0) {
        if (!have)
            return -EINVAL;
        inet->cmsg_flags = (inet->cmsg_flags & ~(1u << bit)) | (u32)(val != 0) << bit;
        return 0;
    }
    switch (optname) {
    case IP_OPTIONS:
        return set_options(sk, optval, len);
    case IP_LOCAL_PORT_RANGE:
        return set_port_range(inet, optval, len);
    case IP_TOS:
        return have ? set_tos(sk, val) : -EINVAL;
    case IP_TTL:
        if (!have || (val != -1 && (val < 1 || val > 255)))
            return -EINVAL;
        inet->uc_ttl = (s16)val;
        return 0;
    case IP_MINTTL:
        if (!have || val < 0 || val > 255)
            return -EINVAL;
        inet->min_ttl = (u8)val;
        return 0;
    case IP_MTU_DISCOVER:
        return set_pmtudisc(inet, val);
    case IP_RECVERR:
        inet->recverr = val != 0;
        if (!val)
            __skb_queue_purge(&sk->sk_error_queue, SKB_DROP_REASON_SOCKET_CLOSED);
        return 0;
    case IP_FREEBIND:
        if (!have)
            return -EINVAL;
        inet->freebind = val != 0;
        return 0;
    case IP_TRANSPARENT:
        /* Needs the host's tproxy rules, which steered frames never meet; the capability is the twin's to check. */
        if (!have)
            return -EINVAL;
        if (val)
            return -EPERM;
        inet->transparent = 0;
        return 0;
    case IP_BIND_ADDRESS_NO_PORT:
        inet->bind_address_no_port = val != 0;
        return 0;
    case IP_MULTICAST_LOOP:
    case IP_MULTICAST_ALL:
    case IP_UNICAST_IF: /* accepted, without meaning for a stream */
        return have ? 0 : -EINVAL;
    case IP_ROUTER_ALERT: /* raw sockets only */
        return -EINVAL;
    default:
        return -ENOPROTOOPT;
    }
}

/* Of the route that the last segment took, be it void by now. */
static int get_mtu(const struct sock *sk, int *val)
{
    const struct dst_entry *dst = sk->sk_dst_cache;

    if (!dst)
        return -ENOTCONN;
    *val = (int)dst_mtu(dst);
    return 0;
}

static int get_options(const struct inet_sock *inet, void *optval, socklen_t *len)
{
    u8 buf[40];
    int n = inet->inet_opt ? ip_options_undo(inet->inet_opt, buf) : 0;

    *len = min(*len, (socklen_t)n);
    memcpy(optval, buf, *len);
    return 0;
}

/* Socket lock held. */
static int do_ip_getsockopt(struct sock *sk, int optname, void *optval, socklen_t *len)
{
    const struct inet_sock *inet = inet_sk(sk);
    const int bit = cmsg_bit(optname);
    int val, err;

    if (bit >= 0)
        return put_val(inet->cmsg_flags >> bit & 1, optval, len);
    switch (optname) {
    case IP_OPTIONS:
        return get_options(inet, optval, len);
    case IP_TOS:
        val = inet->tos;
        break;
    case IP_TTL:
        val = inet->uc_ttl < 0 ? sock_net(sk)->ipv4.sysctl_ip_default_ttl : inet->uc_ttl;
        break;
    case IP_MINTTL:
        val = inet->min_ttl;
        break;
    case IP_MTU_DISCOVER:
        val = inet->pmtudisc;
        break;
    case IP_MTU:
        err = get_mtu(sk, &val);
        if (err)
            return err;
        break;
    case IP_RECVERR:
        val = inet->recverr;
        break;
    case IP_FREEBIND:
        val = inet->freebind;
        break;
    case IP_TRANSPARENT:
        val = inet->transparent;
        break;
    case IP_BIND_ADDRESS_NO_PORT:
        val = inet->bind_address_no_port;
        break;
    case IP_LOCAL_PORT_RANGE:
        val = (int)((u32)inet->local_port_range[1] << 16 | inet->local_port_range[0]);
        break;
    case IP_HDRINCL:
        val = 0;
        break;
    case IP_MULTICAST_TTL:
    case IP_MULTICAST_LOOP:
    case IP_MULTICAST_ALL:
        val = 1;
        break;
    default:
        return -ENOPROTOOPT;
    }
    return put_val(val, optval, len);
}

/* ---- SOL_IPV6 on a socket whose peers are v4-mapped ------------------------------------------------------------ */

/* Switches that are kept and told again. -1: not one of them. */
static int v6_bit(int optname)
{
    static const u8 opts[] = {IPV6_RECVPKTINFO, IPV6_RECVHOPLIMIT, IPV6_RECVTCLASS, IPV6_RECVRTHDR, IPV6_RECVHOPOPTS,
                              IPV6_RECVDSTOPTS, IPV6_DONTFRAG, IPV6_RECVPATHMTU, IPV6_AUTOFLOWLABEL, IPV6_FLOWINFO_SEND,
                              IPV6_RECVERR_RFC4884, IPV6_MULTICAST_LOOP};

    for (u32 i = 0; i < ARRAY_SIZE(opts); i++)
        if (opts[i] == optname)
            return (int)i;
    return -1;
}

/* Socket lock held. */
static int do_ipv6_setsockopt(struct sock *sk, int optname, const void *optval, socklen_t len)
{
    struct inet_sock *inet = inet_sk(sk);
    const int bit = v6_bit(optname);
    int val = 0;

    if (len < sizeof(int))
        return optname == IPV6_V6ONLY || bit >= 0 ? -EINVAL : -ENOPROTOOPT;
    memcpy(&val, optval, sizeof(val));
    if (bit >= 0) {
        inet->v6_flags = (inet->v6_flags & ~(1u << bit)) | (u32)(val != 0) << bit;
        return 0;
    }
    switch (optname) {
    case IPV6_V6ONLY:
        if (inet->inet_num)
            return -EINVAL;
        sk->sk_ipv6only = val != 0;
        return 0;
    case IPV6_TCLASS: /* IPv6's; the IPv4 header has IP_TOS */
        if (val < -1 || val > 255)
            return -EINVAL;
        inet->v6_tclass = (s16)(val < 0 ? 0 : val);
        return 0;
    case IPV6_UNICAST_HOPS:
        if (val < -1 || val > 255)
            return -EINVAL;
        inet->v6_hops = (s16)val;
        return 0;
    case IPV6_MTU_DISCOVER:
        return set_pmtudisc(inet, val);
    case IPV6_RECVERR:
        inet->recverr = val != 0;
        return 0;
    case IPV6_FREEBIND:
        inet->freebind = val != 0;
        return 0;
    case IPV6_TRANSPARENT:
        return val ? -EPERM : 0;
    default:
        return -ENOPROTOOPT;
    }
}

static int do_ipv6_getsockopt(struct sock *sk, int optname, void *optval, socklen_t *len)
{
    const struct inet_sock *inet = inet_sk(sk);
    const int bit = v6_bit(optname);
    int val, err;

    if ((int)*len < 0)
        return -EINVAL;
    switch (optname) {
    case IPV6_V6ONLY:
        val = sk->sk_ipv6only;
        break;
    case IPV6_TCLASS:
        val = inet->v6_tclass;
        break;
    case IPV6_UNICAST_HOPS:
        val = inet->v6_hops < 0 ? 64 : inet->v6_hops;
        break;
    case IPV6_MTU_DISCOVER:
        val = inet->pmtudisc;
        break;
    case IPV6_MTU:
        err = get_mtu(sk, &val);
        if (err)
            return err;
        break;
    case IPV6_RECVERR:
        val = inet->recverr;
        break;
    case IPV6_FREEBIND:
        val = inet->freebind;
        break;
    case IPV6_TRANSPARENT:
        val = inet->transparent;
        break;
    default:
        if (bit < 0)
            return -ENOPROTOOPT;
        val = inet->v6_flags >> bit & 1;
        break;
    }
    *len = min(*len, (socklen_t)sizeof(val));
    memcpy(optval, &val, *len);
    return 0;
}

/* ---- entry ---------------------------------------------------------------------------------------------------------- */

/* No lock held; takes the socket lock. 0 or -EINVAL, -ENOPROTOOPT, -EPERM, -EPROTO, -ENOMEM. */
int ip_setsockopt(struct sock *sk, int level, int optname, const void *optval, socklen_t len)
{
    int err = -ENOPROTOOPT;

    if (level != SOL_IP && (level != SOL_IPV6 || sk->sk_family != AF_INET6))
        return err;
    lock_sock(sk);
    if (level == SOL_IP)
        err = do_ip_setsockopt(sk, optname, optval, len);
    else
        err = do_ipv6_setsockopt(sk, optname, optval, len);
    release_sock(sk);
    return err;
}

/* As above; *len: the buffer's size, then the value's. -ENOTCONN: IP_MTU without a connection. */
int ip_getsockopt(struct sock *sk, int level, int optname, void *optval, socklen_t *len)
{
    int err = -ENOPROTOOPT;

    if (level != SOL_IP && (level != SOL_IPV6 || sk->sk_family != AF_INET6))
        return err;
    lock_sock(sk);
    if (level == SOL_IP)
        err = do_ip_getsockopt(sk, optname, optval, len);
    else
        err = do_ipv6_getsockopt(sk, optname, optval, len);
    release_sock(sk);
    return err;
}
