/* SPDX-License-Identifier: MIT */
/* The socket's life: birth, state, poll, shutdown, close (RFC 9293 3.10, tcp(7)). Sending is in tcp_sendmsg.c,
 * receiving in tcp_recvmsg.c, options in tcp_sockopt.c. */

#include "tcp_fastopen.h"
#include "tcp_metrics.h"
#include "tcp_output.h"
#include <linux/sockios.h>
#include <sys/ioctl.h>

#ifndef SIOCOUTQNSD
#define SIOCOUTQNSD 0x894B
#endif
#ifndef SIOCINQ
#define SIOCINQ FIONREAD
#endif
#ifndef SIOCOUTQ
#define SIOCOUTQ TIOCOUTQ
#endif

/* ---- memory ------------------------------------------------------------------------------------------------- */

#define SK_MEM_QUANTUM 4096
#define SK_RECLAIM_THRESHOLD (1 << 21) /* charged but unused bytes that a socket may sit on */

void sk_forced_mem_schedule(struct sock *sk, int size)
{
    int amt;

    if (size <= sk->sk_forward_alloc)
        return;
    amt = ALIGN(size - sk->sk_forward_alloc, SK_MEM_QUANTUM);
    sk->sk_forward_alloc += amt;
    atomic_fetch_add_explicit(&sock_net(sk)->tcp_memory_allocated, amt, memory_order_relaxed);
}

/* tcp_mem[1], in pages. */
bool tcp_under_memory_pressure(const struct sock *sk)
{
    const struct net *net = sock_net(sk);

    return atomic_load_explicit(&((struct net *)net)->tcp_memory_allocated, memory_order_relaxed) >
           net->ipv4.sysctl_tcp_mem[1] * (s64)SK_MEM_QUANTUM;
}

/* Ask the writer for less until memory is there (sk_stream_moderate_sndbuf). */
static void sk_stream_moderate_sndbuf(struct sock *sk)
{
    if (!(sk->sk_userlocks & SOCK_SNDBUF_LOCK))
        WRITE_ONCE(sk->sk_sndbuf, max(min(sk->sk_sndbuf, sk->sk_wmem_queued >> 1), 2 * TCP_SKB_MIN_TRUESIZE));
}

struct sk_buff *__sk_stream_alloc_skb(struct sock *sk, u32 size, bool force)
{
    struct sk_buff *skb = alloc_skb(sock_net(sk), size + MAX_TCP_HEADER);

    if (likely(skb && !skb_track_clones(skb))) {
        bool charged = true;

        if (unlikely(force))
            sk_forced_mem_schedule(sk, (int)skb->truesize);
        else
            charged = sk_wmem_schedule(sk, (int)skb->truesize);
        if (likely(charged)) {
            skb_reserve(skb, MAX_TCP_HEADER);
            skb->ip_summed = CHECKSUM_PARTIAL;
            return skb;
        }
    }
    consume_skb(skb);
    sk_stream_moderate_sndbuf(sk);
    return NULL;
}

struct sk_buff *sk_stream_alloc_skb(struct sock *sk, u32 size)
{
    /* One sk_buff at least, whatever the limits: or nothing would ever move. */
    return __sk_stream_alloc_skb(sk, size, tcp_rtx_and_write_queues_empty(sk));
}

void tcp_wmem_free_skb(struct sock *sk, struct sk_buff *skb)
{
    sk_wmem_queued_add(sk, -(int)skb->truesize);
    sk_mem_uncharge(sk, (int)skb->truesize);
    if (unlikely(sk->sk_forward_alloc > SK_RECLAIM_THRESHOLD))
        sk_mem_reclaim(sk);
    consume_skb(skb);
}

void tcp_rtx_queue_unlink_and_free(struct sk_buff *skb, struct sock *sk)
{
    struct tcp_sock *tp = tcp_sk(sk);

    if (skb == tp->highest_sack)
        tp->highest_sack = skb_rb_next(skb);
    tcp_tsorted_del(skb); /* before the free: the anchor lies where dst and destructor are */
    skb_rb_unlink(skb, &tp->tcp_rtx_queue);
    tcp_wmem_free_skb(sk, skb);
}

void tcp_rbtree_insert(struct rb_root *root, struct sk_buff *skb)
{
    struct rb_node **p = &root->rb_node, *parent = NULL;

    while (*p) {
        parent = *p;
        p = before(TCP_SKB_CB(skb)->seq, TCP_SKB_CB(rb_to_skb(parent))->seq) ? &parent->rb_left : &parent->rb_right;
    }
    rb_link_node(&skb->rbnode, parent, p);
    rb_insert_color(&skb->rbnode, root);
}

struct sk_buff *tcp_sacktag_skip(const struct sock *sk, u32 skip_to_seq)
{
    struct rb_node *p = tcp_sk(sk)->tcp_rtx_queue.rb_node;
    struct sk_buff *found = NULL;

    while (p) {
        struct sk_buff *skb = rb_to_skb(p);

        if (after(TCP_SKB_CB(skb)->end_seq, skip_to_seq)) {
            found = skb;
            p = p->rb_left;
        } else {
            p = p->rb_right;
        }
    }
    return found;
}

/* Forget everything to be sent or acknowledged. */
void tcp_write_queue_purge(struct sock *sk)
{
    struct tcp_sock *tp = tcp_sk(sk);
    struct sk_buff *skb;

    tcp_chrono_stop(sk, TCP_CHRONO_BUSY);
    while ((skb = __skb_dequeue(&sk->sk_write_queue)) != NULL)
        tcp_wmem_free_skb(sk, skb);
    while ((skb = tcp_rtx_queue_head(sk)) != NULL)
        tcp_rtx_queue_unlink_and_free(skb, sk);
    tp->highest_sack = tp->retransmit_skb_hint = NULL;
    sk_mem_reclaim(sk);
    tp->packets_out = 0;
    tp->retrans_out = tp->lost_out = tp->sacked_out = 0;
    inet_csk(sk)->icsk_backoff = 0;
}

/* Too many orphans, or no memory: true when this one must die. */
bool tcp_check_oom(const struct sock *sk, int shift)
{
    struct net *net = sock_net(sk);

    return (s64)atomic_load(&net->orphan_count) << shift > net->ipv4.sysctl_tcp_max_orphans ||
           (sk->sk_wmem_queued > 2 * TCP_SKB_MIN_TRUESIZE &&
            atomic_load(&net->tcp_memory_allocated) > net->ipv4.sysctl_tcp_mem[2] * (s64)SK_MEM_QUANTUM);
}

/* ---- what limits the sender (TCP_INFO's busy times) ------------------------------------------------------------ */

static void tcp_chrono_set(struct tcp_sock *tp, enum tcp_chrono type)
{
    u32 now = tcp_ms_now((struct sock *)tp);

    if (tp->chrono_type > TCP_CHRONO_UNSPEC)
        tp->chrono_stat[tp->chrono_type - 1] += now - tp->chrono_start;
    tp->chrono_start = now;
    tp->chrono_type = (u8)type;
}

/* The later one of the enum is the more interesting and hides the others. */
void tcp_chrono_start(struct sock *sk, enum tcp_chrono type)
{
    if (type > tcp_sk(sk)->chrono_type)
        tcp_chrono_set(tcp_sk(sk), type);
}

void tcp_chrono_stop(struct sock *sk, enum tcp_chrono type)
{
    if (tcp_rtx_and_write_queues_empty(sk))
        tcp_chrono_set(tcp_sk(sk), TCP_CHRONO_UNSPEC);
    else if (type == tcp_sk(sk)->chrono_type)
        tcp_chrono_set(tcp_sk(sk), TCP_CHRONO_BUSY);
}

/* ---- birth and state --------------------------------------------------------------------------------------------- */

int tcp_init_sock(struct sock *sk)
{
    struct inet_connection_sock *icsk = inet_csk(sk);
    struct tcp_sock *tp = tcp_sk(sk);
    struct net *net = sock_net(sk);

    tp->tcp_rtx_queue = tp->out_of_order_queue = RB_ROOT;
    CDS_INIT_LIST_HEAD(&tp->tsorted_sent_queue);
    CDS_INIT_LIST_HEAD(&tp->tsq_node);
    tcp_init_xmit_timers(sk);

    icsk->icsk_rto = TCP_TIMEOUT_INIT;
    icsk->icsk_rto_min = (u64)net->ipv4.sysctl_tcp_rto_min_us * NSEC_PER_USEC;
    icsk->icsk_rto_max = (u64)net->ipv4.sysctl_tcp_rto_max_ms * NSEC_PER_MSEC;
    icsk->icsk_delack_max = TCP_DELACK_MAX;
    icsk->icsk_sync_mss = tcp_sync_mss;
    icsk->icsk_ack.rcv_mss = TCP_MIN_MSS;
    tp->mdev_us = TCP_TIMEOUT_INIT / NSEC_PER_USEC;
    tp->rtt_min.s[0].v = tp->rtt_min.s[1].v = tp->rtt_min.s[2].v = ~0u;

    /* RFC 6928's ten until the route says otherwise; ssthresh arbitrarily high (RFC 5681 3.1). */
    tp->snd_cwnd = TCP_INIT_CWND;
    tp->app_limited = ~0u;
    tp->rate_app_limited = 1;
    tp->snd_ssthresh = TCP_INFINITE_SSTHRESH;
    tp->snd_cwnd_clamp = ~0u;
    tp->mss_cache = TCP_MSS_DEFAULT_;
    tp->rx_opt.mss_clamp = TCP_MSS_DEFAULT_;
    tp->reordering = (u32)net->ipv4.sysctl_tcp_reordering;
    tp->rack.reo_wnd_steps = 1;
    tp->scaling_ratio = 1 << 7;
    tcp_assign_congestion_control(sk);

    sk->sk_state = TCP_CLOSE;
    sk->sk_write_space = sk_stream_write_space;
    sock_set_flag(sk, SOCK_USE_WRITE_QUEUE);
    WRITE_ONCE(sk->sk_sndbuf, net->ipv4.sysctl_tcp_wmem[1]);
    WRITE_ONCE(sk->sk_rcvbuf, net->ipv4.sysctl_tcp_rmem[1]);
    if (!sk->sk_pacing_shift)
        sk->sk_pacing_shift = 10;
    if (!sk->sk_pacing_rate)
        sk->sk_pacing_rate = sk->sk_max_pacing_rate = ~0ull;
    return 0;
}

/* The handshake is complete: set up what a transfer starts from. */
void tcp_init_transfer(struct sock *sk, bool active)
{
    struct inet_connection_sock *icsk = inet_csk(sk);
    struct tcp_sock *tp = tcp_sk(sk);

    tcp_mtup_init(sk);
    if (icsk->icsk_mtup.enabled)
        tcp_sync_mss(sk, icsk->icsk_pmtu_cookie); /* an accepted one begins with tcp_base_mss, too */
    icsk->icsk_af_ops->rebuild_header(sk);
    tcp_init_metrics(sk);
    /* The SYN or SYN-ACK was lost more than once: start with one (RFC 5681 3.1, RFC 6298 5.7). */
    if (tp->total_retrans > 1 && tp->undo_marker)
        tcp_snd_cwnd_set(tp, 1);
    else
        tcp_snd_cwnd_set(tp, tcp_init_cwnd(tp, sk->sk_dst_cache));
    tp->snd_cwnd_stamp = tcp_clock_ns(sk);
    if (!icsk->icsk_ca_initialized)
        tcp_init_congestion_control(sk);
    tcp_init_buffer_space(sk);
}

void tcp_set_state(struct sock *sk, int state)
{
    int oldstate = sk->sk_state;
    struct net *net = sock_net(sk);
    bool was_estab = oldstate == TCP_ESTABLISHED || oldstate == TCP_CLOSE_WAIT;

    switch (state) {
    case TCP_ESTABLISHED:
        if (oldstate != TCP_ESTABLISHED)
            NET_INC_STATS(net, TCP_MIB_CURRESTAB);
        break;
    case TCP_CLOSE_WAIT:
        if (oldstate == TCP_SYN_RECV)
            NET_INC_STATS(net, TCP_MIB_CURRESTAB);
        break;
    case TCP_CLOSE:
        if (was_estab)
            NET_INC_STATS(net, TCP_MIB_ESTABRESETS);
        sk->sk_prot->unhash(sk);
        if (sk->__sk_common.skc_bind_bucket && !(sk->sk_userlocks & SOCK_BINDPORT_LOCK))
            inet_put_port(sk);
        __attribute__((fallthrough));
    default:
        if (was_estab)
            NET_DEC_STATS(net, TCP_MIB_CURRESTAB);
    }
    /* After the hash: a lookup may not find a sock whose state is final. */
    atomic_store_explicit(&sk->sk_state, (u8)state, memory_order_release);
}

/* ---- poll and ioctl -------------------------------------------------------------------------------------------------- */

static bool tcp_rmem_pressure(const struct sock *sk)
{
    int rcvbuf = READ_ONCE(sk->sk_rcvbuf);

    if (tcp_under_memory_pressure(sk))
        return true;
    return atomic_load_explicit(&((struct sock *)sk)->sk_rmem_alloc, memory_order_relaxed) >
           rcvbuf - (rcvbuf >> 3);
}

/* At least `target` bytes, or all that the window lets the peer send. */
static bool tcp_epollin_ready(const struct sock *sk, int target)
{
    const struct tcp_sock *tp = tcp_sk(sk);
    int avail = (int)(READ_ONCE(tp->rcv_nxt) - READ_ONCE(tp->copied_seq));

    if (avail <= 0)
        return false;
    return avail >= target || tcp_rmem_pressure(sk) ||
           tcp_receive_window(tp) <= inet_csk(sk)->icsk_ack.rcv_mss;
}

/* In-order data arrived: tell the program when it is enough (SO_RCVLOWAT). */
void tcp_data_ready(struct sock *sk)
{
    if (tcp_epollin_ready(sk, sk->sk_rcvlowat) || sock_flag(sk, SOCK_DONE))
        sk->sk_data_ready(sk);
}

static u32 tcp_poll_writable(struct sock *sk, struct socket *sock)
{
    if (sk_stream_is_writeable(sk))
        return EPOLLOUT | EPOLLWRNORM;
    __atomic_fetch_or(&sock->flags, SOCK_ASYNC_NOSPACE | SOCK_NOSPACE, __ATOMIC_SEQ_CST);
    /* Room may have come between the look and the flag, with nobody to wake: look again
     * (pairs with the barrier in tcp_check_space). */
    return sk_stream_is_writeable(sk) ? EPOLLOUT | EPOLLWRNORM : 0;
}

/* EPOLL* mask. Takes no lock: the state may change at any time, and then a wake-up follows. */
u32 tcp_poll(struct socket *sock, struct poll_table *pt)
{
    struct sock *sk = sock->sk;
    const struct tcp_sock *tp = tcp_sk(sk);
    u32 mask = 0;
    int state;
    u8 shutdown;

    poll_wait(sock, &sock->wq, pt);
    atomic_thread_fence(memory_order_seq_cst); /* registered before the look */
    state = atomic_load_explicit(&sk->sk_state, memory_order_acquire);
    if (state == TCP_LISTEN)
        return READ_ONCE(inet_csk(sk)->icsk_accept_queue.rskq_accept_head) ? EPOLLIN | EPOLLRDNORM : 0;

    /* HUP only when both directions are down: a program that gets it can do nothing but close. */
    shutdown = READ_ONCE(sk->sk_shutdown);
    if (shutdown == SHUTDOWN_MASK || state == TCP_CLOSE)
        mask |= EPOLLHUP;
    if (shutdown & RCV_SHUTDOWN)
        mask |= EPOLLIN | EPOLLRDNORM | EPOLLRDHUP;
    if (state != TCP_SYN_SENT && (state != TCP_SYN_RECV || tp->fastopen_rsk)) {
        u16 urg_data = READ_ONCE(tp->urg_data);
        int target = max(READ_ONCE(sk->sk_rcvlowat), 1);

        if (unlikely(urg_data) && READ_ONCE(tp->urg_seq) == READ_ONCE(tp->copied_seq) &&
            !sock_flag(sk, SOCK_URGINLINE))
            target++; /* the urgent byte itself is not readable */
        if (tcp_epollin_ready(sk, target))
            mask |= EPOLLIN | EPOLLRDNORM;
        mask |= shutdown & SEND_SHUTDOWN ? EPOLLOUT | EPOLLWRNORM : tcp_poll_writable(sk, sock);
        if (urg_data & TCP_URG_VALID)
            mask |= EPOLLPRI;
    } else if (state == TCP_SYN_SENT && inet_sk(sk)->defer_connect) {
        mask |= EPOLLOUT | EPOLLWRNORM; /* fast open: the first write makes the SYN */
    }
    atomic_thread_fence(memory_order_acquire); /* tcp_reset() sets sk_err before the state */
    if (READ_ONCE(sk->sk_err) || !skb_queue_empty(&sk->sk_error_queue))
        mask |= EPOLLERR;
    return mask;
}

int tcp_inq(struct sock *sk)
{
    const struct tcp_sock *tp = tcp_sk(sk);
    int answ;

    if (tcp_in_states(sk, TCPF_SYN_SENT | TCPF_SYN_RECV))
        return 0;
    if (!sock_flag(sk, SOCK_URGINLINE) && tp->urg_data && !before(tp->urg_seq, tp->copied_seq) &&
        before(tp->urg_seq, tp->rcv_nxt))
        return (int)(tp->urg_seq - tp->copied_seq); /* a read stops there */
    answ = (int)(tp->rcv_nxt - tp->copied_seq);
    if (answ && sock_flag(sk, SOCK_DONE)) /* the FIN is not data */
        answ--;
    return answ;
}

/* tcp(7) Ioctls. 0 with *karg, -EINVAL on a listener, -ENOTTY. */
int tcp_ioctl(struct sock *sk, int cmd, int *karg)
{
    const struct tcp_sock *tp = tcp_sk(sk);
    bool fresh = tcp_in_states(sk, TCPF_SYN_SENT | TCPF_SYN_RECV);

    switch (cmd) {
    case SIOCINQ:
    case SIOCOUTQ:
    case SIOCOUTQNSD:
        if (sk->sk_state == TCP_LISTEN)
            return -EINVAL;
        if (cmd == SIOCINQ) {
            lock_sock(sk);
            *karg = tcp_inq(sk);
            release_sock(sk);
        } else if (cmd == SIOCOUTQ) {
            *karg = fresh ? 0 : (int)(READ_ONCE(tp->write_seq) - READ_ONCE(tp->snd_una));
        } else {
            *karg = fresh ? 0 : (int)(READ_ONCE(tp->write_seq) - READ_ONCE(tp->snd_nxt));
        }
        return 0;
    case SIOCATMARK:
        *karg = READ_ONCE(tp->urg_data) && READ_ONCE(tp->urg_seq) == READ_ONCE(tp->copied_seq);
        return 0;
    default:
        return -ENOTTY;
    }
}

/* ---- shutdown and close ------------------------------------------------------------------------------------------------ */

#define TCP_ACTION_FIN 0x80
/* Where a close of our direction leads (RFC 9293 3.10.4). */
static const u8 new_state[TCP_MAX_STATES] = {
    [TCP_ESTABLISHED] = TCP_FIN_WAIT1 | TCP_ACTION_FIN,
    [TCP_SYN_SENT] = TCP_CLOSE,
    [TCP_SYN_RECV] = TCP_FIN_WAIT1 | TCP_ACTION_FIN,
    [TCP_FIN_WAIT1] = TCP_FIN_WAIT1,
    [TCP_FIN_WAIT2] = TCP_FIN_WAIT2,
    [TCP_TIME_WAIT] = TCP_CLOSE,
    [TCP_CLOSE] = TCP_CLOSE,
    [TCP_CLOSE_WAIT] = TCP_LAST_ACK | TCP_ACTION_FIN,
    [TCP_LAST_ACK] = TCP_LAST_ACK,
    [TCP_LISTEN] = TCP_CLOSE,
    [TCP_CLOSING] = TCP_CLOSING,
    [TCP_NEW_SYN_RECV] = TCP_CLOSE,
};

/* True: a FIN is due. */
static bool tcp_close_state(struct sock *sk)
{
    int next = new_state[sk->sk_state];

    tcp_set_state(sk, next & ~TCP_ACTION_FIN);
    return next & TCP_ACTION_FIN;
}

void tcp_shutdown(struct sock *sk, int how)
{
    if (!(how & SEND_SHUTDOWN)) /* nothing on the wire says that we will not read */
        return;
    if (tcp_in_states(sk, TCPF_ESTABLISHED | TCPF_SYN_SENT | TCPF_CLOSE_WAIT) && tcp_close_state(sk))
        tcp_send_fin(sk);
}

void tcp_clear_xmit_timers(struct sock *sk)
{
    struct tcp_sock *tp = tcp_sk(sk);

    sk_stop_timer(sk, &tp->pacing_timer);
    sk_stop_timer(sk, &tp->compressed_ack_timer);
    inet_csk_clear_xmit_timers(sk);
}

/* The connection is over: nothing more is sent, all who wait are woken; an orphan is destroyed. */
void tcp_done(struct sock *sk)
{
    if (tcp_in_states(sk, TCPF_SYN_SENT | TCPF_SYN_RECV))
        NET_INC_STATS(sock_net(sk), TCP_MIB_ATTEMPTFAILS);
    tcp_set_state(sk, TCP_CLOSE);
    tcp_clear_xmit_timers(sk);
    if (tcp_sk(sk)->fastopen_rsk)
        reqsk_fastopen_remove(sk, tcp_sk(sk)->fastopen_rsk, false);
    WRITE_ONCE(sk->sk_shutdown, SHUTDOWN_MASK);
    if (!sock_flag(sk, SOCK_DEAD))
        sk->sk_state_change(sk);
    else
        inet_csk_destroy_sock(sk);
}

/* Throw unread data away; true when there was some. */
static bool tcp_discard_receive_queue(struct sock *sk)
{
    bool unread = false;
    struct sk_buff *skb;

    while ((skb = __skb_dequeue(&sk->sk_receive_queue)) != NULL) {
        u32 end_seq = TCP_SKB_CB(skb)->end_seq;

        if (TCP_SKB_CB(skb)->tcp_flags & TCPHDR_FIN)
            end_seq--;
        if (after(end_seq, tcp_sk(sk)->copied_seq))
            unread = true;
        consume_skb(skb);
    }
    return unread;
}

/* What the peer is told. Socket lock held. */
static void tcp_close_peer(struct sock *sk, bool data_was_unread)
{
    struct net *net = sock_net(sk);

    if (data_was_unread) { /* data was lost: the peer must know (RFC 2525 2.17) */
        NET_INC_STATS(net, LINUX_MIB_TCPABORTONCLOSE);
        tcp_set_state(sk, TCP_CLOSE);
        tcp_send_active_reset(sk);
    } else if (sock_flag(sk, SOCK_LINGER) && !sk->sk_lingertime) {
        sk->sk_prot->disconnect(sk, 0);
        NET_INC_STATS(net, LINUX_MIB_TCPABORTONDATA);
    } else if (tcp_close_state(sk)) {
        tcp_send_fin(sk);
    }
}

/* An orphan in FIN_WAIT2 waits for the peer's FIN: here, in TIME_WAIT's small form, or not at all. True: gone. */
static bool tcp_close_fin_wait2(struct sock *sk)
{
    u64 tmo;

    if (tcp_sk(sk)->linger2 == UINT64_MAX) { /* TCP_LINGER2 < 0 */
        tcp_set_state(sk, TCP_CLOSE);
        tcp_send_active_reset(sk);
        NET_INC_STATS(sock_net(sk), LINUX_MIB_TCPABORTONLINGER);
        return false;
    }
    tmo = tcp_fin_time(sk);
    if (tmo > TCP_TIMEWAIT_LEN) {
        inet_csk_reset_keepalive_timer(sk, tmo - TCP_TIMEWAIT_LEN);
        return false;
    }
    tcp_time_wait(sk, TCP_FIN_WAIT2, tmo);
    return true;
}

/* No descriptor leads here any more: who ends the sock? slock held, sk orphaned. */
static void tcp_adjudge_to_death(struct sock *sk, int state)
{
    if (state != TCP_CLOSE && sk->sk_state == TCP_CLOSE)
        return; /* ended by the backlog, which found an orphan and destroyed it */
    if (sk->sk_state == TCP_FIN_WAIT2 && tcp_close_fin_wait2(sk))
        return;
    if (sk->sk_state != TCP_CLOSE && tcp_check_oom(sk, 0)) {
        tcp_set_state(sk, TCP_CLOSE);
        tcp_send_active_reset(sk);
        NET_INC_STATS(sock_net(sk), LINUX_MIB_TCPABORTONMEMORY);
    }
    if (sk->sk_state == TCP_CLOSE)
        inet_csk_destroy_sock(sk);
    /* else it lives until the protocol ends it */
}

/* Socket lock held; leaves a reference for the caller to put. */
void __tcp_close(struct sock *sk, u64 timeout_ns)
{
    bool unread;
    int state;

    WRITE_ONCE(sk->sk_shutdown, SHUTDOWN_MASK);
    if (sk->sk_state == TCP_LISTEN) {
        tcp_set_state(sk, TCP_CLOSE);
        inet_csk_listen_stop(sk);
    } else {
        unread = tcp_discard_receive_queue(sk);
        if (sk->sk_state != TCP_CLOSE) { /* else it has been reset already */
            tcp_close_peer(sk, unread);
            sk_stream_wait_close(sk, timeout_ns);
        }
    }

    state = sk->sk_state;
    sock_hold(sk);
    bh_lock_sock(sk);
    sock_orphan(sk);
    atomic_fetch_add(&sock_net(sk)->orphan_count, 1);
    bh_unlock_sock(sk);
    sk_flush_backlog(sk); /* under the new order: an orphan answers data with a reset */
    bh_lock_sock(sk);
    tcp_adjudge_to_death(sk, state);
    bh_unlock_sock(sk);
}

void tcp_close(struct sock *sk, u64 timeout_ns)
{
    struct net *net = sock_net(sk);

    lock_sock(sk);
    __tcp_close(sk, timeout_ns);
    release_sock(sk);
    sock_put(sk);
    net_tsq_service(net);
}

/* ---- abort ----------------------------------------------------------------------------------------------------------------- */

static bool tcp_need_reset(int state)
{
    return TCPF(state) &
           (TCPF_ESTABLISHED | TCPF_CLOSE_WAIT | TCPF_FIN_WAIT1 | TCPF_FIN_WAIT2 | TCPF_SYN_RECV);
}

/* Everything that a next connect() on this sock must not inherit. */
static void tcp_forget_connection(struct sock *sk)
{
    struct inet_connection_sock *icsk = inet_csk(sk);
    struct tcp_sock *tp = tcp_sk(sk);

    tp->srtt_us = 0;
    tp->mdev_us = TCP_TIMEOUT_INIT / NSEC_PER_USEC;
    tp->rcv_rtt_last_tsecr = 0;
    icsk->icsk_backoff = 0;
    icsk->icsk_probes_out = 0;
    icsk->icsk_probes_tstamp = 0;
    icsk->icsk_rto = TCP_TIMEOUT_INIT;
    icsk->icsk_rto_min = TCP_RTO_MIN;
    icsk->icsk_delack_max = TCP_DELACK_MAX;
    tp->snd_ssthresh = TCP_INFINITE_SSTHRESH;
    tcp_snd_cwnd_set(tp, TCP_INIT_CWND);
    tp->snd_cwnd_cnt = 0;
    tp->is_cwnd_limited = 0;
    tp->max_packets_out = 0;
    tp->window_clamp = 0;
    tp->delivered = tp->delivered_ce = 0;
    tcp_cleanup_congestion_control(sk); /* the choice of algorithm stays */
    memset(icsk->icsk_ca_priv, 0, sizeof(icsk->icsk_ca_priv));
    tcp_set_ca_state(sk, TCP_CA_Open);
    tp->is_sack_reneg = 0;
    tcp_clear_retrans(tp);
    tp->total_retrans = 0;
    tp->total_rto = tp->total_rto_recoveries = tp->timeout_rehash = 0;
    tp->total_rto_time = tp->rto_stamp = 0;
    memset(&icsk->icsk_ack, 0, sizeof(icsk->icsk_ack));
    icsk->icsk_ack.rcv_mss = TCP_MIN_MSS; /* __tcp_select_window divides by it */
    memset(&tp->rx_opt, 0, sizeof(tp->rx_opt));
    tp->rx_opt.mss_clamp = TCP_MSS_DEFAULT_;
    tp->compressed_ack = 0;
    tp->segs_in = tp->segs_out = tp->data_segs_in = tp->data_segs_out = 0;
    tp->bytes_sent = tp->bytes_acked = tp->bytes_received = tp->bytes_retrans = 0;
    tp->dsack_dups = tp->reord_seen = tp->rcv_ooopack = 0;
    tp->retrans_stamp = 0;
    tp->tlp_high_seq = 0;
    tp->max_packets_seq = 0;
    tp->snd_cwnd_stamp = 0;
    tp->duplicate_sack[0] = (struct tcp_sack_block){0};
    tp->app_limited = ~0u;
    tp->rate_app_limited = 1;
    tp->ecn_flags = 0;
    memset(&tp->rack, 0, sizeof(tp->rack));
    tp->rack.reo_wnd_steps = 1;
}

/* Role: back to a fresh socket (connect() with AF_UNSPEC, close with linger 0). Socket lock held. 0. */
int tcp_disconnect(struct sock *sk, int flags)
{
    struct tcp_sock *tp = tcp_sk(sk);
    struct inet_sock *inet = inet_sk(sk);
    int old_state = sk->sk_state;

    if (old_state != TCP_CLOSE)
        tcp_set_state(sk, TCP_CLOSE);
    if (old_state == TCP_LISTEN) {
        inet_csk_listen_stop(sk);
    } else if (tcp_need_reset(old_state) ||
               (tp->snd_nxt != tp->write_seq && (TCPF(old_state) & (TCPF_CLOSING | TCPF_LAST_ACK)))) {
        tcp_send_active_reset(sk);
        WRITE_ONCE(sk->sk_err, ECONNRESET);
    } else if (old_state == TCP_SYN_SENT) {
        WRITE_ONCE(sk->sk_err, ECONNRESET);
    }

    tcp_clear_xmit_timers(sk);
    __skb_queue_purge(&sk->sk_receive_queue, SKB_CONSUMED);
    WRITE_ONCE(tp->copied_seq, tp->rcv_nxt);
    WRITE_ONCE(tp->urg_data, 0);
    tcp_write_queue_purge(sk);
    tcp_ofo_purge(sk, SKB_DROP_REASON_SOCKET_CLOSED);
    inet->inet_dport = 0;
    inet->defer_connect = 0;
    tcp_free_fastopen_req(tp);
    tp->fastopen_client_fail = 0;
    tp->syn_fastopen = tp->syn_fastopen_ch = tp->syn_fastopen_child = tp->syn_fastopen_exp = tp->syn_data = tp->syn_data_acked = 0;
    if (tp->fastopen_rsk)
        reqsk_fastopen_remove(sk, tp->fastopen_rsk, false);
    if (!(sk->sk_userlocks & SOCK_BINDADDR_LOCK))
        inet->inet_rcv_saddr = inet->inet_saddr = 0;
    WRITE_ONCE(sk->sk_shutdown, 0);
    sock_reset_flag(sk, SOCK_DONE);
    tcp_forget_connection(sk);
    /* A new connection's sequence numbers must not meet old segments. */
    WRITE_ONCE(tp->write_seq, tp->write_seq + tp->max_window + 2);
    if (!tp->write_seq)
        WRITE_ONCE(tp->write_seq, 1);
    sk_dst_reset(sk);
    sk->sk_error_report(sk);
    return 0;
}

/* Kill a connection from outside: reset to the peer, err to the program. No lock held. 0. */
int tcp_abort(struct sock *sk, int err)
{
    lock_sock(sk);
    if (sk->sk_state == TCP_LISTEN) {
        tcp_set_state(sk, TCP_CLOSE);
        inet_csk_listen_stop(sk);
    }
    bh_lock_sock(sk);
    if (!sock_flag(sk, SOCK_DEAD)) {
        if (tcp_need_reset(sk->sk_state))
            tcp_send_active_reset(sk);
        WRITE_ONCE(sk->sk_err, err);
        sk->sk_error_report(sk);
        tcp_done(sk);
    }
    bh_unlock_sock(sk);
    tcp_write_queue_purge(sk);
    release_sock(sk);
    return 0;
}
