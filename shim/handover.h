/* SPDX-License-Identifier: MIT */
#ifndef SLUICE_SHIM_HANDOVER_H
#define SLUICE_SHIM_HANDOVER_H
/* A connection's kernel twin: holding its 4-tuple while the stack serves it, and moving the live
 * connection into it (TCP_REPAIR, tcp(7); facts from CRIU's use of it). */

#include "file.h"
#include <netinet/in.h>

/* ---- twin.c: the kernel's side; knows nothing of the stack ------------------------------------------------ */

/* Role: reserve the exact 4-tuple silently: a connect() in repair mode on the CLOSE twin, bound or not.
 * dst: AF_INET, or AF_INET6 with a v4-mapped address. local_out: the address and port that the kernel
 * chose. Afterwards TCP_REPAIR is on, getsockname and getpeername tell the truth, SO_KEEPALIVE is off
 * (the kernel would probe) and O_NONBLOCK as before. 0, or -errno with the twin as it was: -EPERM (no
 * CAP_NET_ADMIN), -EADDRNOTAVAIL, -ENETUNREACH ...: the caller leaves the socket to the kernel. */
int twin_reserve(int fd, const struct sockaddr *dst, socklen_t dlen, struct sockaddr_in *local_out);
/* Role: undo it: disconnect silently, leave repair mode, SO_ERROR read away. An explicit bind() is kept;
 * reuse: the program's SO_REUSEADDR, which repair mode overwrites. */
void twin_release(int fd, bool reuse);
/* Role: the connection that a reserved twin stood for is lost: whoever uses it next gets ECONNRESET, and the
 * peer is reset. Needs CAP_NET_ADMIN; without it nothing happens. */
void twin_abort(int fd);
/* O_NONBLOCK of the description, for all who share it. */
void twin_set_nonblock(int fd, bool on);
/* A sockaddr for a twin of that family. Returns its length. */
socklen_t twin_sockaddr(int family, __be32 addr, __be16 port, struct sockaddr_storage *sa);

/* What the kernel needs to go on with a connection; sequence numbers as in tcp_handover_state. */
struct twin_state {
    int family;                 /* of the twin */
    __be32 laddr, raddr;
    __be16 lport, rport;
    u32 snd_una, snd_nxt, write_seq, copied_seq, rcv_nxt;
    u32 snd_wnd, max_window, snd_wl1, rcv_wnd, rcv_wup;
    u8 snd_wscale, rcv_wscale, options; /* TCPI_OPT_* */
    u16 mss_clamp;
    u32 tsval;
    u32 zc_next, zc_unread; /* as in struct tcp_handover_state */
    /* len bytes from off after snd_una / copied_seq; returns the bytes copied. */
    ssize_t (*peek_send)(void *arg, u32 off, void *buf, u32 len);
    ssize_t (*peek_recv)(void *arg, u32 off, void *buf, u32 len);
    void *arg;
};
/* Role: make the twin (CLOSE, or reserved) the live connection, up to and with the data that was sent but
 * not acknowledged. It is out of repair mode then and answers segments, but has sent nothing itself.
 * 0 or -errno; the twin then holds nothing, or its reservation again when it had one. */
int twin_inject(int fd, const struct twin_state *st);
/* Role: the rest, with segments reaching the kernel again: the unsent data, or a window probe that tells
 * the peer's present window, the peer's FIN (fin_rcvd: forged through a raw socket), our FIN. 0 or -errno
 * (-EIO: data was lost, the connection must be reset). */
int twin_resume(int fd, const struct twin_state *st, bool fin_rcvd, bool shut_wr);
/* Role: instead of twin_resume(), for a connection that has ended both ways but has unread data: the reader
 * finds the data and then the end (or ECONNRESET). The peer is sent at most an ACK. 0 or -errno. */
int twin_end(int fd, const struct twin_state *st, bool reset);
/* Role: a connect() under way goes on in the kernel with the same ISN (its SYN looks retransmitted).
 * 0 (or -EINPROGRESS made 0) or -errno. Leaves O_NONBLOCK as it was. */
int twin_reconnect(int fd, int family, __be32 laddr, __be16 lport, __be32 raddr, __be16 rport, u32 iss);

/* ---- handover.c: stack -> twin ------------------------------------------------------------------------------ */

/* Role: move the connection of f into its twin, for `reason` (ends a log sentence: "because ..."). A
 * listener only stops taking SYNs: what it has accepted stays with this process, what comes is the
 * kernel's. Caller holds a reference and no lock. On success f is FILE_HANDED (a listener: FILE_LISTEN_BOTH
 * still, unless nothing was queued), sleepers have been woken and make their call again on the kernel.
 * 0 (also when it is the kernel's already), -EPERM (no CAP_NET_ADMIN any more) or -errno: f as before. */
int handover_file(struct file *f, const char *reason);
/* Role: for a descriptor about to be used by code that sluice cannot see (fdopen, dup2 onto 0..2,
 * SCM_RIGHTS ...): hand over what it refers to; nothing if it is not ours. 0 or -errno. */
int handover_fd(int fd, const char *reason);
/* Every connection of this process that pick(f) wants (NULL: all). Returns how many could not be moved. */
int handover_all(bool (*pick)(struct file *f), const char *reason);
/* Role: at exit and exec: connections closed by the program whose data or FIN is not acknowledged yet go
 * to the kernel, which finishes them. */
void handover_orphans_at_exit(void);
/* Totals, for stats.c and sluicectl. */
struct handover_stats {
    _Atomic u64 done, failed;
};
extern struct handover_stats handover_stats;

#endif
