// SPDX-License-Identifier: MIT
/* Segments in: options, acceptability (RFC 9293 3.10.7.4, RFC 5961), urgent data, ESTABLISHED. */

#include "tcp_fastopen.h"
#include "tcp_input.h"

/* ---- options (RFC 9293 3.1, 7323, 2018) ------------------------------------------------------------------- */

void tcp_clear_options(struct tcp_options_received *rx_opt)
{
    rx_opt->tstamp_ok = rx_opt->sack_ok = 0;
    rx_opt->wscale_ok = rx_opt->snd_wscale = 0;
}

static u32 get_be32(const u8 *p) { return (u32)p[0] << 24 | (u32)p[1] << 16 | (u32)p[2] << 8 | p[3]; }

/* One option of known length. syn: the segment has SYN; estab: the connection's options are settled. */
static void tcp_parse_one(const struct net *net, const u8 *ptr, int opcode, int opsize, bool syn, int estab,
                          struct tcp_options_received *opt_rx)
{
    switch (opcode) {
    case TCPOPT_MSS_:
        if (opsize == 4 && syn && !estab) {
            u16 in_mss = (u16)(ptr[0] << 8 | ptr[1]);

            if (in_mss) {
                if (opt_rx->user_mss && opt_rx->user_mss < in_mss)
                    in_mss = opt_rx->user_mss;
                opt_rx->mss_clamp = in_mss;
            }
        }
        break;
    case TCPOPT_WINDOW_:
        if (opsize == 3 && syn && !estab && net->ipv4.sysctl_tcp_window_scaling) {
            opt_rx->wscale_ok = 1;
            opt_rx->snd_wscale = min(ptr[0], (u8)TCP_MAX_WSCALE_) & 0xf;
        }
        break;
    case TCPOPT_TIMESTAMP_:
        if (opsize == 10 && ((estab && opt_rx->tstamp_ok) || (!estab && net->ipv4.sysctl_tcp_timestamps))) {
            opt_rx->saw_tstamp = 1;
            opt_rx->rcv_tsval = get_be32(ptr);
            opt_rx->rcv_tsecr = get_be32(ptr + 4);
        }
        break;
    case TCPOPT_SACK_PERM_:
        if (opsize == 2 && syn && !estab && net->ipv4.sysctl_tcp_sack) {
            opt_rx->sack_ok = TCP_SACK_SEEN;
            opt_rx->num_sacks = 0;
        }
        break;
    }
}

/* Role: read a segment's options. Unknown ones are skipped; a malformed one ends the reading. The blocks
 * of a SACK option are read by tcp_sacktag_write_queue(). */
void tcp_parse_options(const struct net *net, const struct sk_buff *skb, struct tcp_options_received *opt_rx, int estab)
{
    const struct tcphdr *th = tcp_hdr(skb);
    const u8 *ptr = (const u8 *)(th + 1);
    int length = (th->doff * 4) - (int)sizeof(struct tcphdr);

    opt_rx->saw_tstamp = 0;
    while (length > 0) {
        int opcode = *ptr++, opsize;

        if (opcode == TCPOPT_EOL_)
            return;
        if (opcode == TCPOPT_NOP_) {
            length--;
            continue;
        }
        if (length < 2)
            return;
        opsize = *ptr++;
        if (opsize < 2 || opsize > length) /* silly or partial option */
            return;
        tcp_parse_one(net, ptr, opcode, opsize, th->syn, estab, opt_rx);
        ptr += opsize - 2;
        length -= opsize;
    }
}

/* The usual case: only an aligned timestamp. True: a timestamp was there. */
static bool tcp_parse_aligned_timestamp(struct tcp_sock *tp, const struct tcphdr *th)
{
    const u8 *ptr = (const u8 *)(th + 1);

    if (get_be32(ptr) != (TCPOPT_NOP_ << 24 | TCPOPT_NOP_ << 16 | TCPOPT_TIMESTAMP_ << 8 | 10))
        return false;
    tp->rx_opt.saw_tstamp = 1;
    tp->rx_opt.rcv_tsval = get_be32(ptr + 4);
    tp->rx_opt.rcv_tsecr = get_be32(ptr + 8);
    if (tp->rx_opt.rcv_tsecr)
        tp->rx_opt.rcv_tsecr -= tp->tsoffset;
    return true;
}

static bool tcp_fast_parse_options(const struct net *net, const struct sk_buff *skb, const struct tcphdr *th,
                                   struct tcp_sock *tp)
{
    if (th->doff == sizeof(*th) / 4) {
        tp->rx_opt.saw_tstamp = 0;
        return false;
    }
    if (tp->rx_opt.tstamp_ok && th->doff == (sizeof(*th) + TCPOLEN_TSTAMP_ALIGNED) / 4) {
        if (tcp_parse_aligned_timestamp(tp, th))
            return true;
    }
    tcp_parse_options(net, skb, &tp->rx_opt, 1);
    if (tp->rx_opt.saw_tstamp && tp->rx_opt.rcv_tsecr)
        tp->rx_opt.rcv_tsecr -= tp->tsoffset;
    return true;
}

/* ---- acceptability -------------------------------------------------------------------------------------------- */

bool tcp_paws_check(const struct tcp_sock *tp, const struct tcp_options_received *rx_opt, int paws_win)
{
    u64 now_s = net_now(((const struct sock *)tp)->sk_net) / NSEC_PER_SEC;

    if ((s32)(rx_opt->ts_recent - rx_opt->rcv_tsval) <= paws_win)
        return true;
    if (now_s >= rx_opt->ts_recent_stamp + TCP_PAWS_24DAYS)
        return true;
    /* Some peers send RSTs and FINs with a zero timestamp. */
    return !rx_opt->ts_recent;
}

bool tcp_paws_reject(const struct tcp_options_received *rx_opt, int rst, u64 now_s)
{
    if ((s32)(rx_opt->ts_recent - rx_opt->rcv_tsval) <= 0 || now_s >= rx_opt->ts_recent_stamp + TCP_PAWS_24DAYS ||
        !rx_opt->ts_recent)
        return false;
    /* RST segments are accepted for 60 s after the last stamp even when stale (RFC 7323 5.3 R1 does not
     * apply to them): a rebooted peer must be able to reset us. */
    return !rst || now_s < rx_opt->ts_recent_stamp + TCP_PAWS_MSL;
}

/* A pure duplicate ACK that tells no window may be reordered behind newer data on the path: no old duplicate while its
 * stamp is within a retransmission time-out (of the peer's clock, which may tick 1200 times a second). */
static bool tcp_disordered_ack(const struct sock *sk, const struct sk_buff *skb)
{
    const struct tcp_sock *tp = tcp_sk(sk);
    const struct tcphdr *th = tcp_hdr(skb);
    u32 seq = TCP_SKB_CB(skb)->seq, ack = TCP_SKB_CB(skb)->ack_seq;

    return (th->ack && seq == TCP_SKB_CB(skb)->end_seq && seq == tp->rcv_nxt) && ack == tp->snd_una &&
           !tcp_may_update_window(tp, ack, seq, (u32)be16toh(th->window) << tp->rx_opt.snd_wscale) &&
           (s32)(tp->rx_opt.ts_recent - tp->rx_opt.rcv_tsval) <= (s32)(inet_csk(sk)->icsk_rto * 1200 / NSEC_PER_SEC);
}

static bool tcp_paws_discard(const struct sock *sk, const struct sk_buff *skb)
{
    const struct tcp_sock *tp = tcp_sk(sk);

    return !tcp_paws_check(tp, &tp->rx_opt, TCP_PAWS_WINDOW) && !tcp_disordered_ack(sk, skb);
}

static bool tcp_sequence(const struct tcp_sock *tp, u32 seq, u32 end_seq)
{
    return !before(end_seq, tp->rcv_wup) && !after(seq, tp->rcv_nxt + tcp_max_receive_window(tp));
}

static bool tcp_reset_check(const struct sock *sk, const struct sk_buff *skb)
{
    /* RFC 5961 3.2: only the exact next sequence resets; after our FIN was acked the peer may be one short. */
    return TCP_SKB_CB(skb)->seq == tcp_sk(sk)->rcv_nxt - 1 &&
           (TCPF(sk->sk_state) & (TCPF_CLOSE_WAIT | TCPF_LAST_ACK | TCPF_CLOSING));
}

/* An in-window RST that is not exact may still end a SACK hole's right edge (RFC 5961 3.2, Linux). */
static bool tcp_rst_matches_sack(const struct tcp_sock *tp, u32 seq)
{
    u32 max_sack;

    if (!tcp_is_sack(tp) || tp->rx_opt.num_sacks <= 0)
        return false;
    max_sack = tp->selective_acks[0].end_seq;
    for (int i = 1; i < tp->rx_opt.num_sacks; i++)
        if (after(tp->selective_acks[i].end_seq, max_sack))
            max_sack = tp->selective_acks[i].end_seq;
    return seq == max_sack;
}

/* Role: first to fourth check of RFC 9293 3.10.7.4. True: go on. False: skb was consumed. */
bool tcp_validate_incoming(struct sock *sk, struct sk_buff *skb, const struct tcphdr *th, int syn_inerr)
{
    struct tcp_sock *tp = tcp_sk(sk);
    enum skb_drop_reason reason;

    /* RFC 7323: H1. Apply PAWS check first. */
    if (tcp_fast_parse_options(sock_net(sk), skb, th, tp) && tp->rx_opt.saw_tstamp && tcp_paws_discard(sk, skb)) {
        if (!th->rst) {
            NET_INC_STATS(sock_net(sk), LINUX_MIB_PAWSESTABREJECTED);
            if (unlikely(th->syn))
                goto syn_challenge;
            if (!tcp_oow_rate_limited(sock_net(sk), skb, LINUX_MIB_TCPACKSKIPPEDPAWS, &tp->last_oow_ack_time))
                tcp_send_dupack(sk, skb);
            reason = SKB_DROP_REASON_TCP_RFC7323_PAWS;
            goto discard;
        }
        /* A reset is checked by its sequence number alone. */
    }
    /* Step 1: sequence number. */
    if (!tcp_sequence(tp, TCP_SKB_CB(skb)->seq, TCP_SKB_CB(skb)->end_seq)) {
        if (!th->rst) {
            if (th->syn)
                goto syn_challenge;
            if (!tcp_oow_rate_limited(sock_net(sk), skb, LINUX_MIB_TCPACKSKIPPEDSEQ, &tp->last_oow_ack_time))
                tcp_send_dupack(sk, skb);
        } else if (tcp_reset_check(sk, skb)) {
            goto reset;
        }
        reason = SKB_DROP_REASON_TCP_INVALID_SEQUENCE;
        goto discard;
    }
    /* Step 2: RST bit. */
    if (th->rst) {
        if (TCP_SKB_CB(skb)->seq == tp->rcv_nxt || tcp_reset_check(sk, skb) ||
            tcp_rst_matches_sack(tp, TCP_SKB_CB(skb)->seq))
            goto reset;
        tcp_send_challenge_ack(sk);
        reason = SKB_DROP_REASON_TCP_RESET;
        goto discard;
    }
    /* Step 4: SYN in the window (RFC 5961 4.2); a simultaneous open completes in SYN_RECV. */
    if (th->syn) {
        if (sk->sk_state == TCP_SYN_RECV && th->ack && TCP_SKB_CB(skb)->seq + 1 == TCP_SKB_CB(skb)->end_seq &&
            TCP_SKB_CB(skb)->seq + 1 == tp->rcv_nxt && TCP_SKB_CB(skb)->ack_seq == tp->snd_nxt)
            return true;
        goto syn_challenge;
    }
    return true;

syn_challenge:
    if (syn_inerr)
        NET_INC_STATS(sock_net(sk), TCP_MIB_INERRS);
    NET_INC_STATS(sock_net(sk), LINUX_MIB_TCPSYNCHALLENGE);
    tcp_send_challenge_ack(sk);
    reason = SKB_DROP_REASON_TCP_INVALID_SYN;
discard:
    tcp_drop_reason(sk, skb, reason);
    return false;
reset:
    tcp_reset(sk, skb);
    kfree_skb_reason(skb, SKB_DROP_REASON_TCP_RESET);
    return false;
}

/* The peer reset the connection. */
void tcp_reset(struct sock *sk, struct sk_buff *skb __attribute__((unused)))
{
    switch ((u8)sk->sk_state) {
    case TCP_SYN_SENT:
        WRITE_ONCE(sk->sk_err, ECONNREFUSED);
        break;
    case TCP_CLOSE_WAIT:
        WRITE_ONCE(sk->sk_err, EPIPE);
        break;
    case TCP_CLOSE:
        return;
    default:
        WRITE_ONCE(sk->sk_err, ECONNRESET);
    }
    tcp_write_queue_purge(sk);
    tcp_done(sk);
    if (!sock_flag(sk, SOCK_DEAD))
        sk->sk_error_report(sk);
}

/* The peer's FIN is next in order (RFC 9293 3.10.7.4, eighth). rcv_nxt counts it already. */
void tcp_fin(struct sock *sk)
{
    struct tcp_sock *tp = tcp_sk(sk);

    inet_csk_schedule_ack(sk);
    WRITE_ONCE(sk->sk_shutdown, sk->sk_shutdown | RCV_SHUTDOWN);
    sock_set_flag(sk, SOCK_DONE);
    switch ((u8)sk->sk_state) {
    case TCP_SYN_RECV:
    case TCP_ESTABLISHED:
        tcp_set_state(sk, TCP_CLOSE_WAIT);
        inet_csk_enter_pingpong_mode(sk); /* the program closes soon: its FIN carries the ACK */
        break;
    case TCP_CLOSE_WAIT:
    case TCP_CLOSING:
    case TCP_LAST_ACK:
        break; /* a retransmitted FIN */
    case TCP_FIN_WAIT1: /* simultaneous close */
        tcp_send_ack(sk);
        tcp_set_state(sk, TCP_CLOSING);
        break;
    case TCP_FIN_WAIT2:
        tcp_send_ack(sk);
        tcp_time_wait(sk, TCP_TIME_WAIT, 0);
        break;
    default: /* LISTEN and CLOSE never get here */
        BUG_ON(sk->sk_state == TCP_LISTEN);
        break;
    }
    /* Out-of-order data behind a FIN makes no sense. */
    tcp_ofo_purge(sk, SKB_DROP_REASON_TCP_CLOSE);
    if (tcp_is_sack(tp))
        tp->rx_opt.num_sacks = 0;
    if (!sock_flag(sk, SOCK_DEAD))
        sk->sk_state_change(sk);
}

/* ---- urgent data (RFC 9293 3.8.5, RFC 6093: the pointer is one past the byte) -------------------------------------- */

static void tcp_check_urg(struct sock *sk, const struct tcphdr *th)
{
    struct tcp_sock *tp = tcp_sk(sk);
    u32 ptr = be16toh(th->urg_ptr);

    if (ptr && !sock_net(sk)->ipv4.sysctl_tcp_stdurg)
        ptr--;
    ptr += be32toh(th->seq);
    if (after(tp->copied_seq, ptr)) /* read already */
        return;
    /* The pointer may point into the past while the byte was read out of band. */
    if (before(ptr, tp->rcv_nxt))
        return;
    if (tp->urg_data && !after(ptr, tp->urg_seq))
        return;
    sk_send_sigurg(sk);
    /* A second urgent byte while the first was not read inline: the first becomes ordinary, skip it. */
    if (tp->urg_seq == tp->copied_seq && tp->urg_data && !sock_flag(sk, SOCK_URGINLINE) &&
        tp->copied_seq != tp->rcv_nxt) {
        struct sk_buff *skb = skb_peek(&sk->sk_receive_queue);

        WRITE_ONCE(tp->copied_seq, tp->copied_seq + 1);
        if (skb && !before(tp->copied_seq, TCP_SKB_CB(skb)->end_seq)) {
            __skb_unlink(skb, &sk->sk_receive_queue);
            consume_skb(skb);
        }
    }
    WRITE_ONCE(tp->urg_data, TCP_URG_NOTYET);
    WRITE_ONCE(tp->urg_seq, ptr);
    tp->pred_flags = 0;
}

/* skb->data at the TCP header. */
void tcp_urg(struct sock *sk, struct sk_buff *skb, const struct tcphdr *th)
{
    struct tcp_sock *tp = tcp_sk(sk);

    if (unlikely(th->urg))
        tcp_check_urg(sk, th);
    if (unlikely(tp->urg_data == TCP_URG_NOTYET)) {
        u32 ptr = tp->urg_seq - be32toh(th->seq) + (th->doff * 4u) - th->syn;

        if (ptr < skb->len) { /* the urgent byte is in this segment */
            u8 tmp;

            BUG_ON(skb_copy_bits(skb, ptr, &tmp, 1));
            WRITE_ONCE(tp->urg_data, TCP_URG_VALID | tmp);
            if (!sock_flag(sk, SOCK_DEAD))
                sk->sk_data_ready(sk);
        }
    }
}

/* ---- room to send --------------------------------------------------------------------------------------------------- */

/* Send buffer autotuning: room for twice the congestion window. */
void tcp_sndbuf_expand(struct sock *sk)
{
    const struct tcp_sock *tp = tcp_sk(sk);
    const struct tcp_congestion_ops *ca_ops = inet_csk(sk)->icsk_ca_ops;
    u32 per_mss, nr_segs, sndmem;

    /* Worst case is non GSO/TSO: each frame consumes one skb and its own slot. */
    per_mss = max_t(u32, tp->rx_opt.mss_clamp, tp->mss_cache) + MAX_TCP_HEADER + 512;
    if (sock_net(sk)->tx_pool)
        per_mss = max(per_mss, sock_net(sk)->tx_pool->slot_size + sock_net(sk)->tx_pool->headroom);
    per_mss += sizeof(struct sk_buff);
    nr_segs = max_t(u32, TCP_INIT_CWND, tcp_snd_cwnd(tp));
    nr_segs = max_t(u32, nr_segs, tp->reordering + 1);
    sndmem = ca_ops->sndbuf_expand ? ca_ops->sndbuf_expand(sk) : 2;
    sndmem *= nr_segs * per_mss;
    if (sk->sk_sndbuf < (int)sndmem)
        WRITE_ONCE(sk->sk_sndbuf, min((int)sndmem, sock_net(sk)->ipv4.sysctl_tcp_wmem[2]));
}

static bool tcp_should_expand_sndbuf(struct sock *sk)
{
    const struct tcp_sock *tp = tcp_sk(sk);

    if ((sk->sk_userlocks & SOCK_SNDBUF_LOCK) || !tcp_memory_is_plenty(sock_net(sk)))
        return false;
    /* A full window limited by cwnd needs no larger buffer. */
    return tcp_packets_in_flight(tp) < tcp_snd_cwnd(tp);
}

static void tcp_new_space(struct sock *sk)
{
    struct tcp_sock *tp = tcp_sk(sk);

    if (tcp_should_expand_sndbuf(sk)) {
        tcp_sndbuf_expand(sk);
        tp->snd_cwnd_stamp = tcp_clock_ns(sk);
    }
    sk->sk_write_space(sk);
}

/* A writer waits for room and there is some: wake it. */
void tcp_check_space(struct sock *sk)
{
    if (sk->sk_socket && (__atomic_load_n(&sk->sk_socket->flags, __ATOMIC_SEQ_CST) & (unsigned long)SOCK_NOSPACE)) {
        tcp_new_space(sk);
        if (!(__atomic_load_n(&sk->sk_socket->flags, __ATOMIC_SEQ_CST) & (unsigned long)SOCK_NOSPACE))
            tcp_chrono_stop(sk, TCP_CHRONO_SNDBUF_LIMITED);
    }
}

void tcp_data_snd_check(struct sock *sk)
{
    tcp_push_pending_frames(sk);
    tcp_check_space(sk);
}

/* ---- ESTABLISHED -------------------------------------------------------------------------------------------------------- */

/* In-order data, no surprises: straight to the receive queue. */
static void tcp_fast_path_data(struct sock *sk, struct sk_buff *skb, u32 tcp_header_len)
{
    struct tcp_sock *tp = tcp_sk(sk);
    bool fragstolen = false;
    int eaten;

    if (tcp_header_len == sizeof(struct tcphdr) + TCPOLEN_TSTAMP_ALIGNED && tp->rcv_nxt == tp->rcv_wup &&
        tp->rx_opt.saw_tstamp) {
        tp->rx_opt.ts_recent = tp->rx_opt.rcv_tsval;
        tp->rx_opt.ts_recent_stamp = tp->tcp_mstamp / USEC_PER_SEC;
    }
    tcp_rcv_rtt_measure_ts(sk, skb);
    NET_INC_STATS(sock_net(sk), LINUX_MIB_TCPHPHITS);
    skb_dst_drop(skb);
    pskb_pull(skb, tcp_header_len);
    eaten = tcp_queue_rcv(sk, skb, &fragstolen);
    tcp_event_data_recv(sk, skb);
    if (TCP_SKB_CB(skb)->ack_seq != tp->snd_una) {
        /* Well, only one small jumplet in fast path... */
        tcp_ack(sk, skb, FLAG_DATA);
        tcp_data_snd_check(sk);
        if (inet_csk_ack_scheduled(sk))
            __tcp_ack_snd_check(sk, 0);
    } else {
        tp->snd_wl1 = TCP_SKB_CB(skb)->seq;
        __tcp_ack_snd_check(sk, 0);
    }
    if (eaten)
        consume_skb(skb);
    tcp_data_ready(sk);
}

/* The fast path's conditions (header prediction). 0: slow path, 1: skb was consumed. */
static int tcp_rcv_fast(struct sock *sk, struct sk_buff *skb, const struct tcphdr *th)
{
    struct tcp_sock *tp = tcp_sk(sk);
    u32 tcp_header_len = tp->tcp_header_len, len = skb->len;
    __be32 word;

    memcpy(&word, (const u8 *)th + 12, 4); /* doff, flags, window */
    if ((word & htobe32(0xfff7ffff)) != tp->pred_flags || TCP_SKB_CB(skb)->seq != tp->rcv_nxt ||
        after(TCP_SKB_CB(skb)->ack_seq, tp->snd_nxt))
        return 0;
    if (tcp_header_len == sizeof(struct tcphdr) + TCPOLEN_TSTAMP_ALIGNED) {
        if (!tcp_parse_aligned_timestamp(tp, th))
            return 0;
        if ((s32)(tp->rx_opt.rcv_tsval - tp->rx_opt.ts_recent) < 0) /* PAWS failed: slow path decides */
            return 0;
    }
    if (len <= tcp_header_len) {
        if (len < tcp_header_len) {
            NET_INC_STATS(sock_net(sk), TCP_MIB_INERRS);
            tcp_drop_reason(sk, skb, SKB_DROP_REASON_PKT_TOO_SMALL);
            return 1;
        }
        /* Pure ACK of the predicted kind. */
        if (tcp_header_len == sizeof(struct tcphdr) + TCPOLEN_TSTAMP_ALIGNED && tp->rcv_nxt == tp->rcv_wup) {
            tp->rx_opt.ts_recent = tp->rx_opt.rcv_tsval;
            tp->rx_opt.ts_recent_stamp = tp->tcp_mstamp / USEC_PER_SEC;
        }
        tcp_ack(sk, skb, 0);
        consume_skb(skb);
        tcp_data_snd_check(sk);
        return 1;
    }
    /* Data: it must fit what is charged, else the slow path makes room. */
    if ((int)skb->truesize > sk->sk_forward_alloc || atomic_load(&sk->sk_rmem_alloc) > sk->sk_rcvbuf)
        return 0;
    tcp_fast_path_data(sk, skb, tcp_header_len);
    return 1;
}

/* Role: a segment in ESTABLISHED. Socket lock (slock, or owner running the backlog). Takes skb over. */
void tcp_rcv_established(struct sock *sk, struct sk_buff *skb)
{
    const struct tcphdr *th = tcp_hdr(skb);
    struct tcp_sock *tp = tcp_sk(sk);
    int reason;

    tcp_mstamp_refresh(tp);
    tp->rx_opt.saw_tstamp = 0;
    if (tcp_rcv_fast(sk, skb, th))
        return;
    if (skb->len < th->doff * 4u) {
        tcp_drop_reason(sk, skb, SKB_DROP_REASON_PKT_TOO_SMALL);
        return;
    }
    if (!th->ack && !th->rst && !th->syn) {
        tcp_drop_reason(sk, skb, SKB_DROP_REASON_TCP_FLAGS);
        return;
    }
    if (!tcp_validate_incoming(sk, skb, th, 1))
        return;
    /* Step 5. */
    reason = tcp_ack(sk, skb, FLAG_SLOWPATH | FLAG_UPDATE_TS_RECENT);
    if (reason < 0) {
        tcp_drop_reason(sk, skb, (enum skb_drop_reason)-reason);
        return;
    }
    tcp_rcv_rtt_measure_ts(sk, skb);
    tcp_ecn_accept_cwr(sk, skb);
    tcp_urg(sk, skb, th);
    tcp_data_queue(sk, skb);
    tcp_data_snd_check(sk);
    tcp_ack_snd_check(sk);
}
