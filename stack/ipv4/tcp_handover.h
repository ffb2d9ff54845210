/* SPDX-License-Identifier: MIT */
#ifndef SLUICE_IPV4_TCP_HANDOVER_H
#define SLUICE_IPV4_TCP_HANDOVER_H
/* A live connection's state, as another TCP (the kernel twin, by TCP_REPAIR) needs it to go on. */

#include "tcp.h"

struct tcp_handover_state { /* addresses and ports in network order, the rest host order */
    __be32 laddr, raddr;
    __be16 lport, rport;
    int state;             /* TCP_ESTABLISHED ... */
    u32 snd_una, snd_nxt;  /* snd_nxt without our FIN */
    u32 write_seq;         /* end of the send queue, without our FIN */
    u32 rcv_nxt;           /* without the peer's FIN */
    u32 copied_seq;        /* unread: rcv_nxt - copied_seq bytes */
    u32 snd_wnd, max_window, snd_wl1, rcv_wnd, rcv_wup; /* bytes, unscaled */
    u8 snd_wscale, rcv_wscale;
    u16 mss_clamp;
    u8 options;            /* TCPI_OPT_TIMESTAMPS | TCPI_OPT_SACK | TCPI_OPT_WSCALE */
    u32 tsval;             /* what the next segment's TSval would be */
    u32 ts_recent;         /* peer's last TSval */
    bool fin_queued;       /* we sent or queued our FIN */
    bool fin_acked;        /* and the peer acknowledged it */
    bool fin_rcvd;         /* the peer's FIN was received (its sequence is rcv_nxt) */
    u32 iss;               /* SYN_SENT: our initial sequence number */
    u32 zc_next, zc_unread; /* MSG_ZEROCOPY: number of the next call, and of the first whose completion is not read */
};

/* Role: freeze the connection (it stays in the tables but answers nothing: segments are dropped until
 * tcp_handover_done or _undo) and describe it. Socket lock NOT held by the caller; the call takes it and,
 * on success, KEEPS it (lock_sock) until done/undo. 0, or -EINVAL for a state that cannot be moved
 * (LISTEN, CLOSE, TIME_WAIT). */
int tcp_extract(struct sock *sk, struct tcp_handover_state *st);
/* Copy len bytes of the send queue from offset off after snd_una / of the unread data from copied_seq.
 * Returns the bytes copied (short at the end). */
ssize_t tcp_handover_peek_send(struct sock *sk, u32 off, void *buf, u32 len);
ssize_t tcp_handover_peek_recv(struct sock *sk, u32 off, void *buf, u32 len);
/* The twin lives: end our sock silently (nothing is sent), unhash it (steering entry last), wake all
 * waiters, release the lock. A sendmsg or recvmsg that was waiting in the stack, and any later one, returns
 * -SLUICE_EMOVED (tcp.h): the caller makes it again on the twin. */
void tcp_handover_done(struct sock *sk);
/* It did not work out: go on as before; releases the lock. */
void tcp_handover_undo(struct sock *sk);

#endif
