/* SPDX-License-Identifier: MIT */
/* TCP_REPAIR on the twin: reserve a 4-tuple, inject a live connection. Only the kernel's side; the order of
 * the steps is the kernel's (tcp(7), and what CRIU relies on):
 *   sequence numbers can be set in CLOSE only; connect() in repair mode goes to ESTABLISHED and sends
 *   nothing; options, timestamp, queues and windows are set there; what is sent to the send queue in
 *   repair mode counts as sent before. */

#include "handover.h"
#include "runtime.h"
#include <arpa/inet.h>
#include <linux/ip.h>
#include <linux/tcp.h>

#ifndef SO_BUF_LOCK
#define SO_BUF_LOCK 72 /* linux 5.15 */
#endif
#define MAX_ZEROCOPY_CALLS (1u << 20) /* 2.5 us each */
#define CHUNK 65536u

static int sso(int fd, int level, int name, int val)
{
    return REAL(real_setsockopt(fd, level, name, &val, sizeof(val)));
}

static int gso(int fd, int level, int name)
{
    int val = 0;
    socklen_t len = sizeof(val);
    int rc = REAL(real_getsockopt(fd, level, name, &val, &len));
    return rc < 0 ? rc : val;
}

static int repair(int fd, int mode) { return sso(fd, IPPROTO_TCP, TCP_REPAIR, mode); }

socklen_t twin_sockaddr(int family, __be32 addr, __be16 port, struct sockaddr_storage *sa)
{
    memset(sa, 0, sizeof(*sa));
    if (family == AF_INET6) {
        struct sockaddr_in6 *s6 = (struct sockaddr_in6 *)sa;
        s6->sin6_family = AF_INET6;
        s6->sin6_port = port;
        if (addr) {
            s6->sin6_addr.s6_addr[10] = s6->sin6_addr.s6_addr[11] = 0xff;
            memcpy(s6->sin6_addr.s6_addr + 12, &addr, 4);
        }
        return sizeof(*s6);
    }
    struct sockaddr_in *s4 = (struct sockaddr_in *)sa;
    s4->sin_family = AF_INET;
    s4->sin_port = port;
    s4->sin_addr.s_addr = addr;
    return sizeof(*s4);
}

void twin_set_nonblock(int fd, bool on)
{
    int fl = real_fcntl(fd, F_GETFL);
    if (fl >= 0 && !(fl & O_NONBLOCK) == on)
        real_fcntl(fd, F_SETFL, fl ^ O_NONBLOCK);
}

/* The local address of the twin as IPv4. -errno, or -EAFNOSUPPORT when it is a real IPv6 one. */
static int twin_name(int fd, struct sockaddr_in *res)
{
    struct sockaddr_storage sa;
    socklen_t len = sizeof(sa);
    int rc = REAL(real_getsockname(fd, (struct sockaddr *)&sa, &len));
    if (rc)
        return rc;
    memset(res, 0, sizeof(*res));
    res->sin_family = AF_INET;
    if (sa.ss_family == AF_INET) {
        *res = *(struct sockaddr_in *)&sa;
        return 0;
    }
    const struct sockaddr_in6 *s6 = (const struct sockaddr_in6 *)&sa;
    if (sa.ss_family != AF_INET6 || (!IN6_IS_ADDR_V4MAPPED(&s6->sin6_addr) && !IN6_IS_ADDR_UNSPECIFIED(&s6->sin6_addr)))
        return -EAFNOSUPPORT;
    res->sin_port = s6->sin6_port;
    memcpy(&res->sin_addr, s6->sin6_addr.s6_addr + 12, 4);
    return 0;
}

/* ---- reserve ------------------------------------------------------------------------------------------------- */

/* Leave repair mode without a window probe. The kernel clears SO_REUSEADDR there. */
static void repair_leave(int fd, bool reuse)
{
    repair(fd, TCP_REPAIR_OFF_NO_WP);
    if (reuse)
        sso(fd, SOL_SOCKET, SO_REUSEADDR, 1);
}

int twin_reserve(int fd, const struct sockaddr *dst, socklen_t dlen, struct sockaddr_in *local_out)
{
    int reuse = gso(fd, SOL_SOCKET, SO_REUSEADDR), keep = gso(fd, SOL_SOCKET, SO_KEEPALIVE);
    if (reuse < 0)
        return reuse;
    int rc = repair(fd, TCP_REPAIR_ON);
    if (rc)
        return rc;
    if (keep > 0) /* an established twin would send keepalive probes with sequence numbers of its own */
        sso(fd, SOL_SOCKET, SO_KEEPALIVE, 0);
    sso(fd, IPPROTO_TCP, TCP_FASTOPEN_CONNECT, 0); /* it would defer the connect; an old kernel refuses: fine */
    rc = REAL(real_connect(fd, dst, dlen));
    if (!rc)
        rc = twin_name(fd, local_out);
    if (!rc)
        return 0;
    struct sockaddr un = {.sa_family = AF_UNSPEC};
    if (gso(fd, IPPROTO_TCP, TCP_REPAIR) > 0)
        real_connect(fd, &un, sizeof(un));
    gso(fd, SOL_SOCKET, SO_ERROR);
    repair_leave(fd, reuse);
    if (keep > 0)
        sso(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
    return rc;
}

/* To CLOSE without a segment; the explicitly bound port stays. Repair mode is on and stays on. */
static int disconnect(int fd)
{
    struct sockaddr un = {.sa_family = AF_UNSPEC};
    int rc = REAL(real_connect(fd, &un, sizeof(un)));
    gso(fd, SOL_SOCKET, SO_ERROR); /* ECONNABORTED: our own doing */
    return rc;
}

void twin_release(int fd, bool reuse)
{
    repair(fd, TCP_REPAIR_ON); /* on already, unless the kernel was asked to leave it meanwhile */
    disconnect(fd);
    repair_leave(fd, reuse);
}

void twin_abort(int fd)
{
    struct sockaddr un = {.sa_family = AF_UNSPEC};
    /* Outside repair mode a disconnect resets. The kernel's sequence number is not the connection's: the
     * peer answers with a challenge ACK, and the reset that the kernel makes of that one fits. */
    if (gso(fd, IPPROTO_TCP, TCP_REPAIR) > 0 && !repair(fd, TCP_REPAIR_OFF_NO_WP))
        real_connect(fd, &un, sizeof(un));
}

/* ---- inject ---------------------------------------------------------------------------------------------------- */

/* Fill a queue (both: repair mode; send only: live) from peek(). 0 or -errno. */
static int fill_queue(int fd, const struct twin_state *st, ssize_t (*peek)(void *, u32, void *, u32), u32 off, u32 end,
                      int flags)
{
    if (off == end)
        return 0;
    char *buf = malloc(CHUNK);
    int rc = buf ? 0 : -ENOMEM;
    while (!rc && off != end) {
        ssize_t n = peek(st->arg, off, buf, min(CHUNK, end - off));
        if (n <= 0) {
            rc = -EIO;
            break;
        }
        for (ssize_t done = 0; done < n && !rc;) {
            ssize_t k = REAL(real_send(fd, buf + done, n - done, MSG_DONTWAIT | MSG_NOSIGNAL | flags));
            if (k == -EINTR)
                continue;
            if (k <= 0)
                rc = k ? (int)k : -EIO;
            else
                done += k;
        }
        off += n;
    }
    free(buf);
    return rc;
}

static int set_seq(int fd, int queue, u32 seq)
{
    int rc = sso(fd, IPPROTO_TCP, TCP_REPAIR_QUEUE, queue);
    return rc ? rc : sso(fd, IPPROTO_TCP, TCP_QUEUE_SEQ, (int)seq);
}

/* The options as they were negotiated on the wire. */
static int set_options(int fd, const struct twin_state *st)
{
    struct tcp_repair_opt o[4];
    int n = 0;
    if (st->options & TCPI_OPT_SACK)
        o[n++] = (struct tcp_repair_opt){4 /* SACK permitted */, 0};
    if (st->options & TCPI_OPT_WSCALE)
        o[n++] = (struct tcp_repair_opt){3 /* window scale */, st->snd_wscale | (u32)st->rcv_wscale << 16};
    if (st->options & TCPI_OPT_TIMESTAMPS)
        o[n++] = (struct tcp_repair_opt){8 /* timestamps */, 0};
    o[n++] = (struct tcp_repair_opt){2 /* MSS */, st->mss_clamp};
    int rc = REAL(real_setsockopt(fd, IPPROTO_TCP, TCP_REPAIR_OPTIONS, o, n * sizeof(*o)));
    if (!rc && (st->options & TCPI_OPT_TIMESTAMPS)) /* bit 0 would switch to microsecond timestamps */
        rc = sso(fd, IPPROTO_TCP, TCP_TIMESTAMP, (int)(st->tsval & ~1u));
    return rc;
}

/* The kernel refuses windows that contradict each other: bring them in line, never to the peer's harm. */
static int set_windows(int fd, const struct twin_state *st)
{
    struct tcp_repair_window w = {
        .snd_wl1 = st->snd_wl1,
        .snd_wnd = st->snd_wnd,
        .max_window = max(st->max_window, st->snd_wnd),
        .rcv_wnd = st->rcv_wnd,
        .rcv_wup = st->rcv_wup,
    };
    if ((s32)(w.rcv_wup - st->rcv_nxt) > 0)
        w.rcv_wup = st->rcv_nxt;
    if ((s32)(w.snd_wl1 - st->rcv_nxt) > 0)
        w.snd_wl1 = st->rcv_nxt;
    return REAL(real_setsockopt(fd, IPPROTO_TCP, TCP_REPAIR_WINDOW, &w, sizeof(w)));
}

/* Bind to the connection's local end. A port that the program had bound is still held (EINVAL then); one
 * that a reservation had chosen is only remembered by getsockname() and must be bound again. */
static int bind_local(int fd, int family, __be32 laddr, __be16 lport)
{
    struct sockaddr_storage sa;
    struct sockaddr_in me;
    int rc = REAL(real_bind(fd, (struct sockaddr *)&sa, twin_sockaddr(family, laddr, lport, &sa)));
    if (rc == -EINVAL && !twin_name(fd, &me) && me.sin_port == lport)
        return 0;
    return rc;
}

/* The kernel numbers calls with MSG_ZEROCOPY from 0. It must go on where the stack stopped, or the program waits for
 * completions that never come. In repair mode, at the receive queue, a call whose bytes cannot be read fails, moves
 * nothing, and yet is counted and completed: as many of these as the program made, then what it has read is read. */
static int set_zerocopy(int fd, const struct twin_state *st)
{
    char control[256];
    struct msghdr m = {0};
    int rc;

    if (!st->zc_next)
        return 0;
    if (st->zc_next > MAX_ZEROCOPY_CALLS) {
        shim_warn("the kernel numbers a connection's MSG_ZEROCOPY calls from 0 again: there were %u", st->zc_next);
        return 0;
    }
    rc = sso(fd, SOL_SOCKET, SO_ZEROCOPY, 1);
    if (!rc)
        rc = sso(fd, IPPROTO_TCP, TCP_REPAIR_QUEUE, TCP_RECV_QUEUE);
    for (u32 i = 0; !rc && i < st->zc_next; i++) {
        real_send(fd, (void *)8, 1, MSG_ZEROCOPY | MSG_DONTWAIT | MSG_NOSIGNAL);
        if (i + 1 == st->zc_unread)
            do
                m = (struct msghdr){.msg_control = control, .msg_controllen = sizeof(control)};
            while (real_recvmsg(fd, &m, MSG_ERRQUEUE | MSG_DONTWAIT) >= 0);
    }
    return rc;
}

/* Bound, sequence numbers set, connected: the twin in repair mode and ESTABLISHED at the 4-tuple. */
static int establish(int fd, const struct twin_state *st)
{
    struct sockaddr_storage sa;
    struct sockaddr_in me;
    int rc = bind_local(fd, st->family, st->laddr, st->lport);
    if (!rc)
        rc = set_seq(fd, TCP_SEND_QUEUE, st->snd_una);
    if (!rc)
        rc = set_seq(fd, TCP_RECV_QUEUE, st->copied_seq);
    if (!rc)
        rc = REAL(real_connect(fd, (struct sockaddr *)&sa, twin_sockaddr(st->family, st->raddr, st->rport, &sa)));
    if (!rc)
        rc = twin_name(fd, &me);
    if (!rc && me.sin_addr.s_addr != st->laddr)
        rc = -EADDRNOTAVAIL;
    return rc;
}

int twin_inject(int fd, const struct twin_state *st)
{
    u32 outq = st->write_seq - st->snd_una, inq = st->rcv_nxt - st->copied_seq;
    int rc = repair(fd, TCP_REPAIR_ON); /* also makes bind() ignore other users of the port */
    if (rc)
        return rc;
    /* SIOCOUTQ and friends do not tell: only a connected socket has a peer name */
    struct sockaddr_storage peer;
    socklen_t len = sizeof(peer);
    bool reserved = !real_getpeername(fd, (struct sockaddr *)&peer, &len);
    if (reserved)
        rc = disconnect(fd);
    /* room for the queues, or filling them gives EAGAIN; autotuning is given back in twin_resume() */
    if (!rc)
        rc = sso(fd, SOL_SOCKET, SO_SNDBUFFORCE, (int)min(outq * 2ull + CHUNK, 0x3fffffffull));
    if (!rc)
        rc = sso(fd, SOL_SOCKET, SO_RCVBUFFORCE, (int)min(max(inq, st->rcv_wnd) * 2ull + CHUNK, 0x3fffffffull));
    if (!rc)
        rc = establish(fd, st);
    if (!rc)
        rc = set_options(fd, st);
    if (!rc && inq) {
        rc = sso(fd, IPPROTO_TCP, TCP_REPAIR_QUEUE, TCP_RECV_QUEUE);
        if (!rc)
            rc = fill_queue(fd, st, st->peek_recv, 0, inq, 0);
    }
    if (!rc)
        rc = set_zerocopy(fd, st);
    if (!rc)
        rc = sso(fd, IPPROTO_TCP, TCP_REPAIR_QUEUE, TCP_SEND_QUEUE);
    if (!rc)
        rc = fill_queue(fd, st, st->peek_send, 0, st->snd_nxt - st->snd_una, 0);
    if (!rc)
        rc = set_windows(fd, st);
    if (!rc)
        return repair(fd, TCP_REPAIR_OFF_NO_WP);
    /* undo: nothing was sent. A reservation is put back so that the stack can go on with the 4-tuple */
    disconnect(fd);
    if (reserved) {
        struct twin_state again = *st;
        establish(fd, &again);
    } else {
        repair_leave(fd, false);
    }
    return rc;
}

/* ---- resume ----------------------------------------------------------------------------------------------------- */

static u32 csum_add(const void *data, int len, u32 sum)
{
    const u8 *p = data;
    for (int i = 0; i < len; i++)
        sum += i & 1 ? p[i] : p[i] << 8;
    return sum;
}

/* The peer's FIN (or RST), which the stack has consumed already: made again and sent to ourselves through a
 * raw socket. Without a timestamp option: a guessed TSval would poison ts_recent and PAWS would then drop
 * the peer's real segments. It acknowledges nothing new and repeats the window. */
static int forge_end(const struct twin_state *st, bool reset)
{
    struct {
        struct iphdr ip;
        struct tcphdr tcp;
    } p = {.ip = {.version = 4, .ihl = 5, .ttl = 64, .protocol = IPPROTO_TCP, .saddr = st->raddr, .daddr = st->laddr},
           .tcp = {.source = st->rport, .dest = st->lport, .doff = 5, .fin = !reset, .rst = reset, .ack = 1}};
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_addr.s_addr = st->laddr};
    p.ip.tot_len = htons(sizeof(p));
    p.tcp.seq = htonl(st->rcv_nxt);
    p.tcp.ack_seq = htonl(st->snd_una);
    p.tcp.window = htons((u16)min(st->snd_wnd >> st->snd_wscale, 65535u));
    u32 sum = csum_add(&p.ip.saddr, 8, IPPROTO_TCP + sizeof(p.tcp));
    sum = csum_add(&p.tcp, sizeof(p.tcp), sum);
    while (sum >> 16)
        sum = (sum & 0xffff) + (sum >> 16);
    p.tcp.check = htons((u16)~sum);

    int fd = REAL(real_socket(AF_INET, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_RAW));
    if (fd < 0)
        return fd;
    ssize_t n = REAL(real_sendto(fd, &p, sizeof(p), 0, (struct sockaddr *)&to, sizeof(to)));
    real_close(fd);
    return n < 0 ? (int)n : 0;
}

static int tcp_state(int fd)
{
    struct tcp_info ti;
    socklen_t len = sizeof(ti);
    return real_getsockopt(fd, IPPROTO_TCP, TCP_INFO, &ti, &len) ? -1 : ti.tcpi_state;
}

int twin_resume(int fd, const struct twin_state *st, bool fin_rcvd, bool shut_wr)
{
    int rc = 0, lost = 0;
    if (fin_rcvd) {
        rc = forge_end(st, false);
        if (!rc && tcp_state(fd) == TCP_ESTABLISHED) /* a filter on lo: the peer repeats its FIN when we ask */
            shim_info("the end of a peer's data could not be told to the kernel; its reader waits until the peer repeats it");
    }
    if (st->snd_nxt != st->write_seq) {
        lost = fill_queue(fd, st, st->peek_send, st->snd_nxt - st->snd_una, st->write_seq - st->snd_una, 0);
    } else if (!shut_wr && !fin_rcvd) { /* a probe: the answer tells the peer's window as it is now */
        repair(fd, TCP_REPAIR_ON);
        repair(fd, TCP_REPAIR_OFF);
    }
    if (shut_wr && !lost)
        real_shutdown(fd, SHUT_WR);
    sso(fd, SOL_SOCKET, SO_BUF_LOCK, 0); /* SO_*BUFFORCE had stopped autotuning */
    sso(fd, SOL_SOCKET, SO_REUSEADDR, 1); /* leaving repair cleared it; without it the port could not be bound again */
    return lost ? -EIO : rc;
}

int twin_end(int fd, const struct twin_state *st, bool reset)
{
    int rc = forge_end(st, reset);
    sso(fd, SOL_SOCKET, SO_REUSEADDR, 1);
    return rc;
}

int twin_reconnect(int fd, int family, __be32 laddr, __be16 lport, __be32 raddr, __be16 rport, u32 iss)
{
    struct sockaddr_storage sa;
    int fl = real_fcntl(fd, F_GETFL);
    int rc = repair(fd, TCP_REPAIR_ON);
    if (rc)
        return rc;
    socklen_t len = sizeof(sa);
    if (!real_getpeername(fd, (struct sockaddr *)&sa, &len)) /* the reservation */
        rc = disconnect(fd);
    if (!rc)
        rc = bind_local(fd, family, laddr, lport);
    if (!rc)
        rc = set_seq(fd, TCP_SEND_QUEUE, iss);
    repair_leave(fd, true);
    if (rc)
        return rc;
    real_fcntl(fd, F_SETFL, fl | O_NONBLOCK);
    rc = REAL(real_connect(fd, (struct sockaddr *)&sa, twin_sockaddr(family, raddr, rport, &sa)));
    if (!(fl & O_NONBLOCK))
        real_fcntl(fd, F_SETFL, fl);
    return rc == -EINPROGRESS ? 0 : rc;
}
