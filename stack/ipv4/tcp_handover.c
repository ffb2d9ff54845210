/* SPDX-License-Identifier: MIT */
/* A live connection leaves for the kernel twin (DESIGN.md, section 2). Between tcp_extract() and _done() or
 * _undo() the caller owns the socket lock: nothing is sent, and what arrives waits in the backlog. */

#include "tcp_handover.h"
#include "tcp_output.h"

#define TCPF_MOVABLE                                                                                        \
    (TCPF_ESTABLISHED | TCPF_SYN_SENT | TCPF_FIN_WAIT1 | TCPF_FIN_WAIT2 | TCPF_CLOSE_WAIT | TCPF_LAST_ACK | \
     TCPF_CLOSING)

int tcp_extract(struct sock *sk, struct tcp_handover_state *st)
{
    const struct inet_sock *inet = inet_sk(sk);
    struct tcp_sock *tp = tcp_sk(sk);

    lock_sock(sk);
    if (!tcp_in_states(sk, TCPF_MOVABLE)) {
        release_sock(sk);
        return -EINVAL;
    }
    tcp_mstamp_refresh(tp);
    *st = (struct tcp_handover_state){
        .laddr = inet->inet_saddr,
        .raddr = inet->inet_daddr,
        .lport = inet->inet_sport,
        .rport = inet->inet_dport,
        .state = sk->sk_state,
        .snd_una = tp->snd_una,
        .snd_nxt = tp->snd_nxt,
        .write_seq = tp->write_seq,
        .rcv_nxt = tp->rcv_nxt,
        .copied_seq = tp->copied_seq,
        .snd_wnd = tp->snd_wnd,
        .max_window = tp->max_window,
        .snd_wl1 = tp->snd_wl1,
        .rcv_wnd = tp->rcv_wnd,
        .rcv_wup = tp->rcv_wup,
        .snd_wscale = tp->rx_opt.snd_wscale,
        .rcv_wscale = tp->rx_opt.rcv_wscale,
        .mss_clamp = tp->rx_opt.mss_clamp,
        .tsval = tcp_time_stamp_ts(tp) + tp->tsoffset,
        .ts_recent = tp->rx_opt.ts_recent,
        .zc_next = tp->zckey,
        .zc_unread = tcp_zerocopy_unread(sk),
        .fin_queued = tcp_in_states(sk, TCPF_FIN_WAIT1 | TCPF_FIN_WAIT2 | TCPF_LAST_ACK | TCPF_CLOSING),
        .fin_acked = sk->sk_state == TCP_FIN_WAIT2,
        .fin_rcvd = tcp_in_states(sk, TCPF_CLOSE_WAIT | TCPF_LAST_ACK | TCPF_CLOSING),
    };
    if (tp->rx_opt.tstamp_ok)
        st->options |= TCPI_OPT_TIMESTAMPS;
    if (tcp_is_sack(tp))
        st->options |= TCPI_OPT_SACK;
    if (tp->rx_opt.wscale_ok)
        st->options |= TCPI_OPT_WSCALE;
    if (sk->sk_state == TCP_SYN_SENT)
        st->iss = tp->snd_una; /* nothing is acknowledged: the SYN itself */
    if (st->fin_queued) {
        st->write_seq--;
        if (after(st->snd_nxt, st->write_seq))
            st->snd_nxt = st->write_seq;
        if (after(st->snd_una, st->write_seq))
            st->snd_una = st->write_seq;
    }
    if (st->fin_rcvd) {
        st->rcv_nxt--;
        if (after(st->copied_seq, st->rcv_nxt)) /* the program has read the end */
            st->copied_seq = st->rcv_nxt;
    }
    return 0;
}

/* Copy what skb holds of [seq + *done, seq + len) to its place in buf, and move *done on. False: no need to look at
 * what follows it. */
static bool copy_one(const struct sk_buff *skb, u32 seq, u8 *buf, u32 len, u32 *done)
{
    u32 start = TCP_SKB_CB(skb)->seq + !!(TCP_SKB_CB(skb)->tcp_flags & TCPHDR_SYN), off, n;

    if (*done == len || after(start, seq + *done)) /* nothing is missing in these queues: past the end */
        return false;
    off = seq + *done - start;
    if (off >= skb->len)
        return true;
    n = min(skb->len - off, len - *done);
    if (skb_copy_bits(skb, off, buf + *done, n))
        return false;
    *done += n;
    return true;
}

/* Copy what a queue holds of [seq, seq + len) to buf. Returns the bytes copied from seq on without a hole. */
static u32 copy_queue(const struct sk_buff_head *q, u32 seq, u8 *buf, u32 len)
{
    const struct sk_buff *skb;
    u32 done = 0;

    skb_queue_walk(q, skb)
        if (!copy_one(skb, seq, buf, len, &done))
            break;
    return done;
}

static u32 copy_rtx_queue(const struct sock *sk, u32 seq, u8 *buf, u32 len)
{
    const struct sk_buff *skb = tcp_sacktag_skip(sk, seq);
    u32 done = 0;

    skb_rbtree_walk_from(skb)
        if (!copy_one(skb, seq, buf, len, &done))
            break;
    return done;
}

ssize_t tcp_handover_peek_send(struct sock *sk, u32 off, void *buf, u32 len)
{
    const struct tcp_sock *tp = tcp_sk(sk);
    u32 seq = tp->snd_una + off, n;

    n = copy_rtx_queue(sk, seq, buf, len);
    return n + copy_queue(&sk->sk_write_queue, seq + n, (u8 *)buf + n, len - n);
}

ssize_t tcp_handover_peek_recv(struct sock *sk, u32 off, void *buf, u32 len)
{
    return copy_queue(&sk->sk_receive_queue, tcp_sk(sk)->copied_seq + off, buf, len);
}

/* What arrived meanwhile is the peer's to repeat: the twin will acknowledge it. */
static void tcp_drop_backlog(struct sock *sk)
{
    struct sk_buff *skb, *next;

    bh_lock_sock(sk);
    skb = sk->sk_backlog.head;
    sk->sk_backlog.head = sk->sk_backlog.tail = NULL;
    sk->sk_backlog.len = 0;
    bh_unlock_sock(sk);
    for (; skb; skb = next) {
        next = skb->next;
        skb->next = NULL;
        kfree_skb_reason(skb, SKB_DROP_REASON_SOCKET_CLOSED);
    }
}

void tcp_handover_done(struct sock *sk)
{
    struct tcp_sock *tp = tcp_sk(sk);

    tp->handed_over = 1;
    tcp_clear_xmit_timers(sk);
    inet_csk_delete_keepalive_timer(sk);
    tcp_write_queue_purge(sk);
    __skb_queue_purge(&sk->sk_receive_queue, SKB_CONSUMED);
    tcp_ofo_purge(sk, SKB_DROP_REASON_SOCKET_CLOSED);
    tcp_drop_backlog(sk);
    WRITE_ONCE(tp->copied_seq, tp->rcv_nxt);
    WRITE_ONCE(tp->urg_data, 0);
    WRITE_ONCE(sk->sk_shutdown, SHUTDOWN_MASK);
    if (tcp_in_states(sk, TCPF_ESTABLISHED | TCPF_CLOSE_WAIT))
        tcp_set_state(sk, TCP_CLOSING); /* it is not reset: TcpEstabResets must not count it */
    bh_lock_sock(sk);                   /* no segment between the table and the end of the backlog */
    tcp_set_state(sk, TCP_CLOSE);
    bh_unlock_sock(sk);
    tcp_drop_backlog(sk);
    NET_INC_STATS(sock_net(sk), SLUICE_MIB_HANDOVERS);
    if (!sock_flag(sk, SOCK_DEAD)) {
        sk->sk_state_change(sk);
    } else {
        bh_lock_sock(sk);
        inet_csk_destroy_sock(sk);
        bh_unlock_sock(sk);
    }
    release_sock(sk);
}

void tcp_handover_undo(struct sock *sk) { release_sock(sk); }
