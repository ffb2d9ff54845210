/* SPDX-License-Identifier: MIT */
/* SOL_SOCKET options, with Linux's lengths, limits and errnos (socket(7), net/core/sock.c). Privileges are the
 * kernel's to judge: shim asks the twin before it calls here. */

#include "netdevice.h"
#include "socket.h"
#include <linux/errqueue.h>
#include <linux/net_tstamp.h>
#include <sys/time.h>

/* Numbers of the kernel's uapi that libc's header may lack or hide behind its time_t choice. */
enum {
    OPT_RCVTIMEO_OLD = 20,
    OPT_SNDTIMEO_OLD = 21,
    OPT_TIMESTAMP_OLD = 29,
    OPT_TIMESTAMPNS_OLD = 35,
    OPT_TIMESTAMPING_OLD = 37,
    OPT_BPF_EXTENSIONS = 48,
    OPT_MEMINFO = 55,
    OPT_INCOMING_NAPI_ID = 56,
    OPT_COOKIE = 57,
    OPT_ZEROCOPY = 60,
    OPT_BINDTOIFINDEX = 62,
    OPT_TIMESTAMP_NEW = 63,
    OPT_TIMESTAMPNS_NEW = 64,
    OPT_TIMESTAMPING_NEW = 65,
    OPT_RCVTIMEO_NEW = 66,
    OPT_SNDTIMEO_NEW = 67,
    OPT_PREFER_BUSY_POLL = 69,
    OPT_BUSY_POLL_BUDGET = 70,
    OPT_BUF_LOCK = 72,
    OPT_TXREHASH = 74,
};

#define SOCK_MIN_SNDBUF 4608 /* two of the smallest sk_buff that TCP makes: 2048 + 256 */
#define SOCK_MIN_RCVBUF 2304
enum { /* newer than the header of Debian 12 */
    TS_OPT_ID_TCP = 1 << 16,
    TS_OPT_RX_FILTER = 1 << 17,
    TS_TX_COMPLETION = 1 << 18,
};
#define TS_MASK ((TS_TX_COMPLETION - 1) | TS_TX_COMPLETION)
#define SOCK_PASSCRED_BIT 8ul /* socket->flags */

/* struct timeval of both ABIs: 64-bit seconds and microseconds on all that we run on. */
struct sock_timeval {
    s64 tv_sec, tv_usec;
};

static int set_timeout(u64 *timeo, const void *optval, socklen_t len)
{
    struct sock_timeval tv;

    if (len < sizeof(tv))
        return -EINVAL;
    memcpy(&tv, optval, sizeof(tv));
    if (tv.tv_usec < 0 || tv.tv_usec >= (s64)USEC_PER_SEC)
        return -EDOM;
    if (tv.tv_sec < 0)
        *timeo = 0;
    else if (!tv.tv_sec && !tv.tv_usec)
        *timeo = UINT64_MAX;
    else if ((u64)tv.tv_sec > UINT64_MAX / NSEC_PER_SEC - 1)
        *timeo = UINT64_MAX;
    else
        *timeo = (u64)tv.tv_sec * NSEC_PER_SEC + (u64)tv.tv_usec * NSEC_PER_USEC;
    return 0;
}

static struct sock_timeval get_timeout(u64 timeo)
{
    if (timeo == UINT64_MAX)
        return (struct sock_timeval){0, 0};
    return (struct sock_timeval){(s64)(timeo / NSEC_PER_SEC), (s64)(timeo % NSEC_PER_SEC / NSEC_PER_USEC)};
}

static int set_linger(struct sock *sk, const void *optval, socklen_t len)
{
    struct linger l;

    if (len < sizeof(l))
        return -EINVAL;
    memcpy(&l, optval, sizeof(l));
    if (!l.l_onoff) {
        sock_reset_flag(sk, SOCK_LINGER);
        return 0;
    }
    sk->sk_lingertime = (u32)l.l_linger * NSEC_PER_SEC;
    sock_set_flag(sk, SOCK_LINGER);
    return 0;
}

/* Doubled: half of it is for the bookkeeping (socket(7)). */
static void set_sndbuf(struct sock *sk, int val)
{
    val = min(val, INT32_MAX / 2);
    sk->sk_userlocks |= SOCK_SNDBUF_LOCK;
    WRITE_ONCE(sk->sk_sndbuf, max(val * 2, SOCK_MIN_SNDBUF));
    sk->sk_write_space(sk); /* a waiting sender may go on */
}

static void set_rcvbuf(struct sock *sk, int val)
{
    val = min(val, INT32_MAX / 2);
    sk->sk_userlocks |= SOCK_RCVBUF_LOCK;
    WRITE_ONCE(sk->sk_rcvbuf, max(val * 2, SOCK_MIN_RCVBUF));
}

static int set_max_pacing_rate(struct sock *sk, const void *optval, socklen_t len, int val)
{
    u64 rate = (u32)val;

    if (len == sizeof(u64))
        memcpy(&rate, optval, sizeof(rate));
    else if (rate == UINT32_MAX)
        rate = ~(u64)0;
    if (rate != ~(u64)0 && sk->sk_pacing_status == SK_PACING_NONE)
        sk->sk_pacing_status = SK_PACING_NEEDED;
    WRITE_ONCE(sk->sk_max_pacing_rate, rate);
    WRITE_ONCE(sk->sk_pacing_rate, min(sk->sk_pacing_rate, rate));
    return 0;
}

static int set_timestamping(struct sock *sk, int val)
{
    if ((val & ~TS_MASK) || ((val & TS_OPT_ID_TCP) && !(val & SOF_TIMESTAMPING_OPT_ID)) ||
        ((val & SOF_TIMESTAMPING_OPT_STATS) && !(val & SOF_TIMESTAMPING_OPT_TSONLY)))
        return -EINVAL;
    if (val & SOF_TIMESTAMPING_BIND_PHC) /* no device of ours has a clock */
        return -EOPNOTSUPP;
    if ((val & SOF_TIMESTAMPING_OPT_ID) && !(sk->sk_tsflags & SOF_TIMESTAMPING_OPT_ID)) {
        if (sk->sk_type == SOCK_STREAM && (TCPF(sk->sk_state) & (TCPF_CLOSE | TCPF_LISTEN)))
            return -EINVAL;
        sk->sk_tskey = sk->sk_prot->tskey ? sk->sk_prot->tskey(sk, val & TS_OPT_ID_TCP) : 0;
    }
    sk->sk_tsflags = (u32)val;
    return 0;
}

static void set_timestamp(struct sock *sk, bool on, bool ns)
{
    if (on) {
        sock_set_flag(sk, SOCK_RCVTSTAMP);
        sock_valbool_flag(sk, SOCK_TIMESTAMPNS, ns);
        sock_set_flag(sk, SOCK_TIMESTAMP);
    } else {
        sock_reset_flag(sk, SOCK_RCVTSTAMP);
        sock_reset_flag(sk, SOCK_TIMESTAMPNS);
    }
}

static int bind_to_index(struct sock *sk, int ifindex)
{
    if (ifindex < 0)
        return -EINVAL;
    if (sk->sk_bound_dev_if != ifindex) {
        sk->sk_bound_dev_if = ifindex;
        sk_dst_reset(sk);
    }
    return 0;
}

static int bind_to_device(struct sock *sk, const void *optval, socklen_t len)
{
    struct net_device *dev;
    char name[16] = "";
    int ifindex = 0;

    memcpy(name, optval, min_t(size_t, len, sizeof(name) - 1));
    if (name[0]) {
        rcu_read_lock();
        dev = dev_get_by_name(sk->sk_net, name);
        ifindex = dev ? dev->ifindex : -1;
        rcu_read_unlock();
        if (ifindex < 0)
            return -ENODEV;
    }
    return bind_to_index(sk, ifindex);
}

/* The options that are one flag of the sock. -1: not one. */
static int flag_of(int optname)
{
    switch (optname) {
    case SO_DEBUG: return SOCK_DBG;
    case SO_DONTROUTE: return SOCK_LOCALROUTE;
    case SO_BROADCAST: return SOCK_BROADCAST;
    case SO_OOBINLINE: return SOCK_URGINLINE;
    case SO_RXQ_OVFL: return SOCK_RXQ_OVFL;
    case SO_NOFCS: return SOCK_NOFCS;
    case SO_SELECT_ERR_QUEUE: return SOCK_SELECT_ERR_QUEUE;
    default: return -1;
    }
}

/* lock_sock held; len >= sizeof(int) and val is its value. */
static int set_locked(struct socket *sock, int optname, const void *optval, socklen_t len, int val)
{
    struct sock *sk = sock->sk;
    const struct netns_ipv4 *s = &sk->sk_net->ipv4;
    int on = val != 0, flag = flag_of(optname);

    if (flag >= 0) {
        sock_valbool_flag(sk, (enum sock_flags)flag, on);
        if (optname == SO_DONTROUTE)
            sk_dst_reset(sk);
        return 0;
    }
    switch (optname) {
    case SO_REUSEADDR:
        sk->sk_reuse = on ? SK_CAN_REUSE : SK_NO_REUSE;
        return 0;
    case SO_REUSEPORT:
        sk->sk_reuseport = on & 1;
        return 0;
    case SO_TYPE:
    case SO_PROTOCOL:
    case SO_DOMAIN:
    case SO_ERROR:
    case SO_ACCEPTCONN:
        return -ENOPROTOOPT;
    case SO_SNDBUF:
        set_sndbuf(sk, (int)min_t(u32, val, s->sysctl_wmem_max));
        return 0;
    case SO_SNDBUFFORCE:
        set_sndbuf(sk, max(val, 0));
        return 0;
    case SO_RCVBUF:
        set_rcvbuf(sk, (int)min_t(u32, val, s->sysctl_rmem_max));
        return 0;
    case SO_RCVBUFFORCE:
        set_rcvbuf(sk, max(val, 0));
        return 0;
    case SO_KEEPALIVE:
        if (sk->sk_prot->keepalive)
            sk->sk_prot->keepalive(sk, on);
        sock_valbool_flag(sk, SOCK_KEEPOPEN, on);
        return 0;
    case SO_NO_CHECK:
        sk->sk_no_check_tx = on & 1;
        return 0;
    case SO_PRIORITY:
        sk->sk_priority = val;
        return 0;
    case SO_MARK:
        if (sk->sk_mark != val) {
            sk->sk_mark = val;
            sk_dst_reset(sk);
        }
        return 0;
    case SO_LINGER:
        return set_linger(sk, optval, len);
    case SO_BSDCOMPAT:
        return 0;
    case SO_PASSCRED:
        if (on)
            __atomic_fetch_or(&sock->flags, SOCK_PASSCRED_BIT, __ATOMIC_RELAXED);
        else
            __atomic_fetch_and(&sock->flags, ~SOCK_PASSCRED_BIT, __ATOMIC_RELAXED);
        return 0;
    case OPT_TIMESTAMP_OLD:
    case OPT_TIMESTAMP_NEW:
    case OPT_TIMESTAMPNS_OLD:
    case OPT_TIMESTAMPNS_NEW:
        set_timestamp(sk, on, optname == OPT_TIMESTAMPNS_OLD || optname == OPT_TIMESTAMPNS_NEW);
        return 0;
    case OPT_TIMESTAMPING_OLD:
    case OPT_TIMESTAMPING_NEW:
        return set_timestamping(sk, val);
    case SO_RCVLOWAT:
        val = val < 0 ? INT32_MAX : val;
        if (sk->sk_prot->set_rcvlowat)
            return sk->sk_prot->set_rcvlowat(sk, val);
        WRITE_ONCE(sk->sk_rcvlowat, val ? val : 1);
        return 0;
    case OPT_RCVTIMEO_OLD:
    case OPT_RCVTIMEO_NEW:
        return set_timeout(&sk->sk_rcvtimeo, optval, len);
    case OPT_SNDTIMEO_OLD:
    case OPT_SNDTIMEO_NEW:
        return set_timeout(&sk->sk_sndtimeo, optval, len);
    case SO_DETACH_FILTER: /* SO_DETACH_BPF */
        return -ENOENT;
    case SO_PEEK_OFF:
        return -EOPNOTSUPP;
    case SO_BUSY_POLL:
        if (val < 0)
            return -EINVAL;
        sk->sk_ll_usec = (u32)val;
        return 0;
    case OPT_PREFER_BUSY_POLL:
        return 0; /* any value is a truth value; our pollers always are busy */
    case OPT_BUSY_POLL_BUDGET:
        return val < 0 || val > UINT16_MAX ? -EINVAL : 0;
    case SO_MAX_PACING_RATE:
        return set_max_pacing_rate(sk, optval, len, val);
    case SO_INCOMING_CPU:
        sk->sk_incoming_cpu = (u32)val;
        return 0;
    case SO_CNX_ADVICE:
        if (val == 1)
            sk_dst_reset(sk);
        return 0;
    case OPT_ZEROCOPY:
        if (val < 0 || val > 1)
            return -EINVAL;
        sock_valbool_flag(sk, SOCK_ZEROCOPY, on);
        return 0;
    case OPT_BINDTOIFINDEX:
        return bind_to_index(sk, val);
    case OPT_BUF_LOCK:
        if (val & ~(SOCK_SNDBUF_LOCK | SOCK_RCVBUF_LOCK))
            return -EINVAL;
        sk->sk_userlocks = (u8)(val | (sk->sk_userlocks & ~(SOCK_SNDBUF_LOCK | SOCK_RCVBUF_LOCK)));
        return 0;
    case OPT_TXREHASH:
        if (val < -1 || val > 1)
            return -EINVAL;
        sk->sk_txrehash = val != 0; /* -1: the default, as net.core.txrehash */
        return 0;
    default:
        return -ENOPROTOOPT;
    }
}

int sock_setsockopt(struct socket *sock, int level, int optname, const void *optval, socklen_t len)
{
    struct sock *sk = sock->sk;
    int val, err;

    if (optname != SO_BINDTODEVICE && len < sizeof(int))
        return -EINVAL;
    if (!optval && len)
        return -EFAULT;
    lock_sock(sk);
    if (optname == SO_BINDTODEVICE) {
        err = bind_to_device(sk, optval, len);
    } else {
        memcpy(&val, optval, sizeof(val));
        err = set_locked(sock, optname, optval, len, val);
    }
    release_sock(sk);
    return err;
}

/* ---- reading ------------------------------------------------------------------------------------------------------------ */

static _Atomic u64 next_cookie = 1;

static u64 sock_gen_cookie(struct sock *sk)
{
    u64 c = __atomic_load_n(&sk->__sk_common.skc_cookie, __ATOMIC_RELAXED), zero = 0;

    if (c)
        return c;
    c = atomic_fetch_add(&next_cookie, 1);
    if (__atomic_compare_exchange_n(&sk->__sk_common.skc_cookie, &zero, c, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED))
        return c;
    return zero;
}

static u64 get_max_pacing_rate(const struct sock *sk, socklen_t len)
{
    u64 rate = READ_ONCE(sk->sk_max_pacing_rate);

    return len >= sizeof(u64) ? rate : min(rate, (u64)UINT32_MAX);
}

static void get_meminfo(const struct sock *sk, u32 *mem) /* SK_MEMINFO_* of linux/sock_diag.h */
{
    mem[0] = (u32)atomic_load(&((struct sock *)sk)->sk_rmem_alloc);
    mem[1] = (u32)READ_ONCE(sk->sk_rcvbuf);
    mem[2] = (u32)atomic_load(&((struct sock *)sk)->sk_wmem_alloc) - 1;
    mem[3] = (u32)READ_ONCE(sk->sk_sndbuf);
    mem[4] = (u32)READ_ONCE(sk->sk_forward_alloc);
    mem[5] = (u32)READ_ONCE(sk->sk_wmem_queued);
    mem[6] = 0;
    mem[7] = READ_ONCE(sk->sk_backlog.len);
    mem[8] = atomic_load(&((struct sock *)sk)->sk_drops);
}

/* The options whose value is an int. 0 or -ENOPROTOOPT. */
static int get_int(struct socket *sock, int optname, int *v)
{
    struct sock *sk = sock->sk;
    int flag = flag_of(optname);

    if (flag >= 0) {
        *v = sock_flag(sk, (enum sock_flags)flag);
        return 0;
    }
    switch (optname) {
    case SO_SNDBUF: *v = sk->sk_sndbuf; return 0;
    case SO_RCVBUF: *v = sk->sk_rcvbuf; return 0;
    case SO_REUSEADDR: *v = sk->sk_reuse; return 0;
    case SO_REUSEPORT: *v = sk->sk_reuseport; return 0;
    case SO_KEEPALIVE: *v = sock_flag(sk, SOCK_KEEPOPEN); return 0;
    case SO_TYPE: *v = sk->sk_type; return 0;
    case SO_PROTOCOL: *v = sk->sk_protocol; return 0;
    case SO_DOMAIN: *v = sk->sk_family; return 0;
    case SO_ERROR:
        *v = -sock_error(sk);
        if (!*v)
            *v = __atomic_exchange_n(&sk->sk_err_soft, 0, __ATOMIC_ACQ_REL);
        return 0;
    case SO_NO_CHECK: *v = sk->sk_no_check_tx; return 0;
    case SO_PRIORITY: *v = sk->sk_priority; return 0;
    case SO_MARK: *v = sk->sk_mark; return 0;
    case SO_BSDCOMPAT: *v = 0; return 0;
    case SO_PASSCRED: *v = (sock->flags & SOCK_PASSCRED_BIT) != 0; return 0;
    case OPT_TIMESTAMP_OLD:
    case OPT_TIMESTAMP_NEW: *v = sock_flag(sk, SOCK_RCVTSTAMP) && !sock_flag(sk, SOCK_TIMESTAMPNS); return 0;
    case OPT_TIMESTAMPNS_OLD:
    case OPT_TIMESTAMPNS_NEW: *v = sock_flag(sk, SOCK_RCVTSTAMP) && sock_flag(sk, SOCK_TIMESTAMPNS); return 0;
    case SO_RCVLOWAT: *v = sk->sk_rcvlowat; return 0;
    case SO_SNDLOWAT: *v = 1; return 0;
    case SO_ACCEPTCONN: *v = sk->sk_state == TCP_LISTEN; return 0;
    case SO_PEEK_OFF: return -EOPNOTSUPP;
    case OPT_BPF_EXTENSIONS: *v = 64; return 0; /* SKF_AD_MAX */
    case SO_BUSY_POLL: *v = (int)sk->sk_ll_usec; return 0;
    case OPT_PREFER_BUSY_POLL: *v = 0; return 0;
    case SO_INCOMING_CPU: *v = (int)sk->sk_incoming_cpu; return 0;
    case OPT_INCOMING_NAPI_ID: *v = 0; return 0;
    case OPT_ZEROCOPY: *v = sock_flag(sk, SOCK_ZEROCOPY); return 0;
    case OPT_BINDTOIFINDEX: *v = sk->sk_bound_dev_if; return 0;
    case OPT_BUF_LOCK: *v = sk->sk_userlocks & (SOCK_SNDBUF_LOCK | SOCK_RCVBUF_LOCK); return 0;
    case OPT_TXREHASH: *v = sk->sk_txrehash; return 0;
    default: return -ENOPROTOOPT;
    }
}

static int give(const void *v, size_t size, void *optval, socklen_t *len)
{
    *len = (socklen_t)min_t(size_t, *len, size);
    memcpy(optval, v, *len);
    return 0;
}

static int get_bound_device(struct sock *sk, void *optval, socklen_t *len)
{
    struct net_device *dev;
    char name[16] = "";

    if (!sk->sk_bound_dev_if) {
        *len = 0;
        return 0;
    }
    if (*len < sizeof(name))
        return -EINVAL;
    rcu_read_lock();
    dev = dev_get_by_index(sk->sk_net, sk->sk_bound_dev_if);
    if (dev)
        memcpy(name, dev->name, sizeof(name));
    rcu_read_unlock();
    return dev ? give(name, strlen(name) + 1, optval, len) : -ENODEV;
}

static int get_peername(struct socket *sock, void *optval, socklen_t *len)
{
    struct sockaddr_storage ss;
    socklen_t sl = sizeof(ss);

    if (!sock->ops || sock->ops->getname(sock, (struct sockaddr *)&ss, &sl, 1) < 0)
        return -ENOTCONN;
    if (sl < *len)
        return -EINVAL;
    return give(&ss, sl, optval, len);
}

int sock_getsockopt(struct socket *sock, int level, int optname, void *optval, socklen_t *len)
{
    struct sock *sk = sock->sk;
    struct ucred nobody = {.pid = 0, .uid = (uid_t)-1, .gid = (gid_t)-1};
    struct sock_timeval tv;
    struct linger l;
    u32 mem[9];
    u64 v64;
    int v, err;

    if ((int)*len < 0)
        return -EINVAL;
    switch (optname) {
    case SO_LINGER:
        l.l_onoff = sock_flag(sk, SOCK_LINGER);
        l.l_linger = (int)(sk->sk_lingertime / NSEC_PER_SEC);
        return give(&l, sizeof(l), optval, len);
    case OPT_RCVTIMEO_OLD:
    case OPT_RCVTIMEO_NEW:
        tv = get_timeout(sk->sk_rcvtimeo);
        return give(&tv, sizeof(tv), optval, len);
    case OPT_SNDTIMEO_OLD:
    case OPT_SNDTIMEO_NEW:
        tv = get_timeout(sk->sk_sndtimeo);
        return give(&tv, sizeof(tv), optval, len);
    case SO_PEERCRED: /* of a local peer; TCP has none */
        return give(&nobody, sizeof(nobody), optval, len);
    case SO_PEERNAME:
        return get_peername(sock, optval, len);
    case SO_BINDTODEVICE:
        return get_bound_device(sk, optval, len);
    case SO_MAX_PACING_RATE:
        v64 = get_max_pacing_rate(sk, *len);
        return give(&v64, *len >= sizeof(v64) ? sizeof(v64) : sizeof(u32), optval, len);
    case OPT_TIMESTAMPING_OLD:
    case OPT_TIMESTAMPING_NEW: /* struct so_timestamping: flags, and the clock of BIND_PHC, which is none */
        v64 = sk->sk_tsflags;
        return give(&v64, sizeof(v64), optval, len);
    case OPT_COOKIE:
        if (*len < sizeof(v64))
            return -EINVAL;
        v64 = sock_gen_cookie(sk);
        return give(&v64, sizeof(v64), optval, len);
    case OPT_MEMINFO:
        get_meminfo(sk, mem);
        return give(mem, sizeof(mem), optval, len);
    default:
        err = get_int(sock, optname, &v);
        return err ? err : give(&v, sizeof(v), optval, len);
    }
}

/* ---- control messages ---------------------------------------------------------------------------------------------------- */

/* One message of SOL_SOCKET. SO_MARK and SO_PRIORITY are accepted and change nothing, as with Linux's TCP, which takes
 * the socket's own. */
static int sock_cmsg_one(const struct cmsghdr *cmsg, struct sockcm_cookie *sockc)
{
    u32 v;

    switch (cmsg->cmsg_type) {
    case SO_MARK:
    case SO_PRIORITY:
        return cmsg->cmsg_len == CMSG_LEN(sizeof(v)) ? 0 : -EINVAL;
    case OPT_TIMESTAMPING_OLD:
    case OPT_TIMESTAMPING_NEW:
        if (cmsg->cmsg_len != CMSG_LEN(sizeof(v)))
            return -EINVAL;
        memcpy(&v, CMSG_DATA(cmsg), sizeof(v));
        if (v & ~(u32)SOF_TIMESTAMPING_TX_RECORD_MASK)
            return -EINVAL;
        sockc->tsflags = (sockc->tsflags & ~(u32)SOF_TIMESTAMPING_TX_RECORD_MASK) | v;
        return 0;
    case SCM_RIGHTS: /* a Unix socket's; ignored, as by Linux */
    case SCM_CREDENTIALS:
        return 0;
    default:
        return -EINVAL;
    }
}

int sock_cmsg_send(const struct sk_msghdr *msg, struct sockcm_cookie *sockc)
{
    const u8 *p = msg->msg_control;
    size_t left = msg->msg_controllen;
    int err = 0;

    while (p && left >= sizeof(struct cmsghdr) && !err) {
        const struct cmsghdr *cmsg = (const struct cmsghdr *)p;
        size_t n = cmsg->cmsg_len;

        if (n < sizeof(*cmsg) || n > left)
            return -EINVAL;
        if (cmsg->cmsg_level == SOL_SOCKET)
            err = sock_cmsg_one(cmsg, sockc);
        n = min((size_t)CMSG_ALIGN(n), left);
        p += n;
        left -= n;
    }
    return err;
}

int put_cmsg(struct sk_msghdr *msg, int level, int type, int len, const void *data)
{
    struct cmsghdr *cm = msg->msg_control;
    size_t cmlen = CMSG_LEN((size_t)len), space;

    if (!cm || msg->msg_controllen < sizeof(*cm)) {
        msg->msg_flags |= MSG_CTRUNC;
        return 0; /* recvmsg(2) itself goes on */
    }
    if (msg->msg_controllen < cmlen) {
        msg->msg_flags |= MSG_CTRUNC;
        cmlen = msg->msg_controllen;
    }
    cm->cmsg_level = level;
    cm->cmsg_type = type;
    cm->cmsg_len = cmlen;
    memcpy(CMSG_DATA(cm), data, cmlen - sizeof(*cm));
    space = min(CMSG_SPACE((size_t)len), msg->msg_controllen);
    msg->msg_control = (u8 *)msg->msg_control + space;
    msg->msg_controllen -= space;
    return 0;
}

void sock_recv_timestamp(struct sk_msghdr *msg, struct sock *sk, struct sk_buff *skb)
{
    struct net *net = sk->sk_net;
    struct sock_timeval ts;
    struct scm_timestamping all = {0};
    u64 t;

    if (!skb->tstamp)
        return;
    t = skb->tstamp + (u64)(net->ops->realtime_offset ? net->ops->realtime_offset(net) : 0);
    WRITE_ONCE(sk->sk_stamp, t); /* the last reader's, no lock held */
    ts = (struct sock_timeval){(s64)(t / NSEC_PER_SEC), (s64)(t % NSEC_PER_SEC)};
    if (sock_flag(sk, SOCK_RCVTSTAMP)) {
        if (sock_flag(sk, SOCK_TIMESTAMPNS)) {
            put_cmsg(msg, SOL_SOCKET, OPT_TIMESTAMPNS_OLD, sizeof(ts), &ts);
        } else {
            struct sock_timeval us = {ts.tv_sec, ts.tv_usec / 1000};

            put_cmsg(msg, SOL_SOCKET, OPT_TIMESTAMP_OLD, sizeof(us), &us);
        }
    }
    if ((sk->sk_tsflags & TS_OPT_RX_FILTER) && !(sk->sk_tsflags & SOF_TIMESTAMPING_RX_SOFTWARE) &&
        !(msg->msg_flags & MSG_ERRQUEUE))
        return;
    if (sk->sk_tsflags & SOF_TIMESTAMPING_SOFTWARE) {
        all.ts[0].tv_sec = ts.tv_sec;
        all.ts[0].tv_nsec = ts.tv_usec;
        put_cmsg(msg, SOL_SOCKET, OPT_TIMESTAMPING_OLD, sizeof(all), &all);
    }
}
