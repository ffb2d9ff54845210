// SPDX-License-Identifier: MIT
/* The sender's scoreboard: what the peer's SACK blocks (RFC 2018, 2883, 6675) say of the retransmit queue;
 * and its emulation by duplicate ACKs where the peer has no SACK. */

#include "tcp_input.h"

/* Packets were delivered out of order by `metric` packets: raise the reordering degree. */
void tcp_check_sack_reordering(struct sock *sk, const u32 low_seq, const int ts)
{
    struct tcp_sock *tp = tcp_sk(sk);
    const u32 mss = tp->mss_cache;
    u32 fack, metric;

    fack = tcp_highest_sack_seq_of(tp);
    if (!before(low_seq, fack))
        return;
    metric = fack - low_seq;
    if (metric > tp->reordering * mss && mss)
        tp->reordering = min((metric + mss - 1) / mss, (u32)sock_net(sk)->ipv4.sysctl_tcp_max_reordering);
    tp->reord_seen++;
    NET_INC_STATS(sock_net(sk), ts ? LINUX_MIB_TCPTSREORDER : LINUX_MIB_TCPSACKREORDER);
}

/* Is this SACK block possible at all (RFC 2018 8, RFC 2883 5)? */
static bool tcp_is_sackblock_valid(const struct tcp_sock *tp, bool is_dsack, u32 start_seq, u32 end_seq)
{
    if (after(end_seq, tp->snd_nxt) || !before(start_seq, end_seq))
        return false;
    if (!before(start_seq, tp->snd_nxt))
        return false;
    if (after(start_seq, tp->snd_una))
        return true;
    if (!is_dsack || !tp->undo_marker)
        return false;
    if (after(end_seq, tp->snd_una)) /* a D-SACK must be below snd_una */
        return false;
    if (!before(start_seq, tp->undo_marker))
        return true;
    if (!after(end_seq, tp->undo_marker)) /* too old */
        return false;
    /* Undo_marker boundary crossing: valid while within the largest window ever. */
    return !before(start_seq, end_seq - tp->max_window);
}

/* A D-SACK block. Returns its segments, 0 when it cannot be believed: larger than any window, or more
 * duplicates than we ever retransmitted (the network duplicates, or the peer lies). */
static u32 tcp_dsack_seen(struct tcp_sock *tp, u32 start_seq, u32 end_seq, struct tcp_sacktag_state *state)
{
    u32 seq_len = end_seq - start_seq, dup_segs = 1;

    if (!before(start_seq, end_seq) || seq_len > tp->max_window)
        return 0;
    if (seq_len > tp->mss_cache && tp->mss_cache)
        dup_segs = DIV_ROUND_UP(seq_len, tp->mss_cache);
    else if (tp->tlp_high_seq && tp->tlp_retrans && tp->tlp_high_seq == end_seq)
        state->flag |= FLAG_DSACK_TLP;
    tp->dsack_dups += dup_segs;
    if (tp->dsack_dups > tp->total_retrans)
        return 0;
    tp->rx_opt.sack_ok |= TCP_DSACK_SEEN;
    /* RACK was too quick only if there is reordering, and not when a timer (TLP) resent it. */
    if (tp->reord_seen && !(state->flag & FLAG_DSACK_TLP))
        tp->rack.dsack_seen = 1;
    state->flag |= FLAG_DSACKING_ACK;
    state->sack_delivered += dup_segs; /* the needless retransmission was delivered too */
    return dup_segs;
}

/* D-SACK (RFC 2883): the first block is below the ACK or within the second. Returns its segments. */
static u32 tcp_check_dsack(struct sock *sk, const struct sk_buff *ack_skb, const struct tcp_sack_block *sp, int num_sacks,
                           u32 prior_snd_una, struct tcp_sacktag_state *state)
{
    struct tcp_sock *tp = tcp_sk(sk);
    u32 dup_segs;

    if (before(sp[0].start_seq, TCP_SKB_CB(ack_skb)->ack_seq)) {
        NET_INC_STATS(sock_net(sk), LINUX_MIB_TCPDSACKRECV);
    } else if (num_sacks > 1 && !after(sp[0].end_seq, sp[1].end_seq) && !before(sp[0].start_seq, sp[1].start_seq)) {
        NET_INC_STATS(sock_net(sk), LINUX_MIB_TCPDSACKOFORECV);
    } else {
        return 0;
    }
    dup_segs = tcp_dsack_seen(tp, sp[0].start_seq, sp[0].end_seq, state);
    if (!dup_segs)
        return 0; /* Linux counts these as TCPDSACKIgnoredDubious */
    NET_ADD_STATS(sock_net(sk), LINUX_MIB_TCPDSACKRECVSEGS, dup_segs);
    /* D-SACK for already forgotten data: one undoable retransmission less. */
    if (tp->undo_marker && tp->undo_retrans > 0 && !after(sp[0].end_seq, prior_snd_una) &&
        after(sp[0].end_seq, tp->undo_marker))
        tp->undo_retrans = max_t(int, 0, tp->undo_retrans - (int)dup_segs);
    return dup_segs;
}

/* Is skb within [start, end)? Splits it at a segment boundary when it is so in part. >0: inside. */
static int tcp_match_skb_to_sack(struct sock *sk, struct sk_buff *skb, u32 start_seq, u32 end_seq)
{
    bool in_sack = !after(start_seq, TCP_SKB_CB(skb)->seq) && !before(end_seq, TCP_SKB_CB(skb)->end_seq);
    unsigned int mss, pkt_len;

    if (tcp_skb_pcount(skb) <= 1 || in_sack || !after(TCP_SKB_CB(skb)->end_seq, start_seq))
        return in_sack;
    mss = (unsigned int)tcp_skb_mss(skb);
    in_sack = !after(start_seq, TCP_SKB_CB(skb)->seq);
    if (!in_sack) {
        pkt_len = start_seq - TCP_SKB_CB(skb)->seq;
        if (pkt_len < mss)
            pkt_len = mss;
    } else {
        pkt_len = end_seq - TCP_SKB_CB(skb)->seq;
    }
    /* Round up to the MSS so that a split leaves whole segments. */
    if (pkt_len > mss) {
        unsigned int new_len = pkt_len / mss * mss;

        if (!in_sack && new_len < pkt_len)
            new_len += mss;
        pkt_len = new_len;
    }
    if (pkt_len >= skb->len && !in_sack)
        return 0;
    if (pkt_len >= skb->len)
        return in_sack;
    if (in_sack && pkt_len < mss)
        return 0; /* less than one segment of it was received */
    if (tcp_fragment(sk, TCP_FRAG_IN_RTX_QUEUE, skb, pkt_len, mss) < 0)
        return -ENOMEM;
    return in_sack;
}

/* Mark one skb that the peer has. */
static void tcp_sacktag_one(struct sock *sk, struct tcp_sacktag_state *state, struct sk_buff *skb, bool dup_sack)
{
    struct tcp_sock *tp = tcp_sk(sk);
    struct tcp_skb_cb *cb = TCP_SKB_CB(skb);
    u64 xmit_time = tcp_skb_timestamp_us(skb);
    int pcount = tcp_skb_pcount(skb);
    u8 sacked = cb->sacked;

    if (dup_sack && (sacked & TCPCB_RETRANS)) {
        if (tp->undo_marker && tp->undo_retrans > 0 && after(cb->end_seq, tp->undo_marker))
            tp->undo_retrans = max_t(int, 0, tp->undo_retrans - pcount);
        if ((sacked & TCPCB_SACKED_ACKED) && before(cb->seq, state->reord))
            state->reord = cb->seq;
    }
    if (!after(cb->end_seq, tp->snd_una) || (sacked & TCPCB_SACKED_ACKED))
        return;

    tcp_rack_advance(tp, sacked, cb->end_seq, xmit_time);
    if (sacked & TCPCB_SACKED_RETRANS) {
        /* The retransmission or the original arrived: no longer lost, no longer retransmitted. */
        if (sacked & TCPCB_LOST) {
            sacked &= (u8) ~(TCPCB_LOST | TCPCB_SACKED_RETRANS);
            tp->lost_out -= (u32)pcount;
            tp->retrans_out -= (u32)pcount;
        }
    } else {
        if (!(sacked & TCPCB_RETRANS)) {
            /* New SACK for never retransmitted data below the highest: reordering. */
            if (before(cb->seq, tcp_highest_sack_seq_of(tp)) && before(cb->seq, state->reord))
                state->reord = cb->seq;
            if (!after(cb->end_seq, tp->high_seq))
                state->flag |= FLAG_ORIG_SACK_ACKED;
            if (state->first_sackt == 0)
                state->first_sackt = xmit_time;
            state->last_sackt = xmit_time;
        }
        if (sacked & TCPCB_LOST) {
            sacked &= (u8)~TCPCB_LOST;
            tp->lost_out -= (u32)pcount;
        }
    }
    sacked |= TCPCB_SACKED_ACKED;
    state->flag |= FLAG_DATA_SACKED;
    tp->sacked_out += (u32)pcount;
    state->sack_delivered += (u32)pcount;
    if (dup_sack && (sacked & TCPCB_SACKED_RETRANS)) {
        sacked &= (u8)~TCPCB_SACKED_RETRANS;
        tp->retrans_out -= (u32)pcount;
    }
    cb->sacked = sacked;
    tcp_tsorted_del(skb);
    tcp_rate_skb_delivered(sk, skb, state->rate);
    /* highest_sack: the skb after the highest SACKed one. */
    if (!before(cb->seq, tp->sacked_out == (u32)pcount ? tp->snd_una : tcp_highest_sack_seq_of(tp)))
        tp->highest_sack = skb_rb_next(skb);
}

/* Mark what lies in [start, end), from skb on. */
static void tcp_sacktag_walk(struct sk_buff *skb, struct sock *sk, struct tcp_sacktag_state *state,
                             u32 start_seq, u32 end_seq, bool dup_sack)
{
    skb_rbtree_walk_from(skb) {
        int in_sack;

        if (!before(TCP_SKB_CB(skb)->seq, end_seq))
            break;
        if (!after(TCP_SKB_CB(skb)->end_seq, start_seq))
            continue;
        in_sack = tcp_match_skb_to_sack(sk, skb, start_seq, end_seq);
        if (in_sack < 0)
            break;
        if (in_sack)
            tcp_sacktag_one(sk, state, skb, dup_sack);
    }
}

/* Where the part of a block begins that the last ACK did not tell already (*start is moved up). False:
 * nothing new. A segment that straddles that point was not marked then, so match by the whole block. */
static bool tcp_sack_cache_trim(const struct tcp_sock *tp, u32 *start, u32 end)
{
    for (unsigned i = 0; i < ARRAY_SIZE(tp->recv_sack_cache); i++) {
        const struct tcp_sack_block *c = &tp->recv_sack_cache[i];

        if (!c->start_seq && !c->end_seq)
            continue;
        if (!before(*start, c->start_seq) && !after(end, c->end_seq))
            return false;
        if (!before(*start, c->start_seq) && before(*start, c->end_seq))
            *start = c->end_seq;
    }
    return true;
}

static void tcp_sort_blocks(struct tcp_sack_block *sp, int n, int *first_sack_index)
{
    for (int i = n - 1; i > 0; i--)
        for (int j = 0; j < i; j++)
            if (after(sp[j].start_seq, sp[j + 1].start_seq)) {
                struct tcp_sack_block t = sp[j];

                sp[j] = sp[j + 1];
                sp[j + 1] = t;
                if (j == *first_sack_index) /* the D-SACK block, when there is one, moves */
                    *first_sack_index = j + 1;
                else if (j + 1 == *first_sack_index)
                    *first_sack_index = j;
            }
}

/* The SACK option's blocks (RFC 2018 3), found again in the header; NULL when there is none. */
static const u8 *tcp_find_sack_option(const struct sk_buff *skb, int *num)
{
    const struct tcphdr *th = tcp_hdr(skb);
    const u8 *p = (const u8 *)(th + 1), *end = (const u8 *)th + th->doff * 4;

    while (p < end && *p != TCPOPT_EOL_) {
        if (*p == TCPOPT_NOP_) {
            p++;
            continue;
        }
        if (p + 1 >= end || p[1] < 2 || p + p[1] > end)
            return NULL;
        if (*p == TCPOPT_SACK_ && p[1] >= 10 && (p[1] - 2) % TCPOLEN_SACK_PERBLOCK == 0) {
            *num = min((p[1] - 2) / TCPOLEN_SACK_PERBLOCK, TCP_NUM_SACKS);
            return p + 2;
        }
        p += p[1];
    }
    return NULL;
}

static u32 get_be32(const u8 *p) { return (u32)p[0] << 24 | (u32)p[1] << 16 | (u32)p[2] << 8 | p[3]; }

/* Role: apply the SACK blocks of ack_skb. Returns state->flag. */
int tcp_sacktag_write_queue(struct sock *sk, const struct sk_buff *ack_skb, u32 prior_snd_una,
                            struct tcp_sacktag_state *state)
{
    struct tcp_sock *tp = tcp_sk(sk);
    struct tcp_sack_block wire[TCP_NUM_SACKS], sp[TCP_NUM_SACKS];
    int num_sacks = 0, used = 0, first_sack_index = 0;
    bool found_dup_sack;
    const u8 *p;

    state->flag = 0;
    state->reord = tp->snd_nxt;
    p = tcp_find_sack_option(ack_skb, &num_sacks);
    if (!p)
        return 0;
    for (int i = 0; i < num_sacks; i++, p += TCPOLEN_SACK_PERBLOCK)
        wire[i] = (struct tcp_sack_block){get_be32(p), get_be32(p + 4)};
    if (!tp->sacked_out)
        tp->highest_sack = tcp_rtx_queue_head(sk);

    found_dup_sack = tcp_check_dsack(sk, ack_skb, wire, num_sacks, prior_snd_una, state) != 0;
    /* Eliminate too old ACKs, but take into account that D-SACK alone may be news. */
    if (before(TCP_SKB_CB(ack_skb)->ack_seq, prior_snd_una - tp->max_window))
        return 0;
    if (!tp->packets_out)
        goto out;
    for (int i = 0; i < num_sacks; i++) {
        bool dup_sack = !i && found_dup_sack;

        if (!tcp_is_sackblock_valid(tp, dup_sack, wire[i].start_seq, wire[i].end_seq)) {
            if (i == 0)
                first_sack_index = -1;
            continue;
        }
        if (!after(wire[i].end_seq, prior_snd_una)) { /* below the ACK: tells nothing but the D-SACK did */
            if (i == 0)
                first_sack_index = -1;
            continue;
        }
        sp[used++] = wire[i];
    }
    tcp_sort_blocks(sp, used, &first_sack_index);
    for (int i = 0; i < used; i++) {
        u32 from = sp[i].start_seq;
        bool dup_sack = found_dup_sack && i == first_sack_index;

        if (!dup_sack && !tcp_sack_cache_trim(tp, &from, sp[i].end_seq))
            continue;
        tcp_sacktag_walk(tcp_sacktag_skip(sk, from), sk, state, sp[i].start_seq, sp[i].end_seq, dup_sack);
    }
    memset(tp->recv_sack_cache, 0, sizeof(tp->recv_sack_cache));
    for (int i = 0, j = 0; i < used; i++)
        if (!(found_dup_sack && i == first_sack_index))
            tp->recv_sack_cache[j++] = sp[i];
    if (inet_csk(sk)->icsk_ca_state != TCP_CA_Loss || tp->undo_marker)
        tcp_check_sack_reordering(sk, state->reord, 0);
out:
    BUG_ON((s32)tp->sacked_out < 0 || (s32)tp->lost_out < 0 || (s32)tp->retrans_out < 0);
    return state->flag;
}

/* ---- without SACK: duplicate ACKs count as SACKs (RFC 6582) ------------------------------------------------- */

/* Limits sacked_out so that the sum with lost_out is not beyond packets_out. True: it was beyond. */
static bool tcp_limit_reno_sacked(struct tcp_sock *tp)
{
    u32 holes = max(tp->lost_out, 1u);

    holes = min(holes, tp->packets_out);
    if (tp->sacked_out + holes > tp->packets_out) {
        tp->sacked_out = tp->packets_out - holes;
        return true;
    }
    return false;
}

static void tcp_check_reno_reordering(struct sock *sk, int addend)
{
    struct tcp_sock *tp = tcp_sk(sk);

    if (!tcp_limit_reno_sacked(tp))
        return;
    tp->reordering = min_t(u32, tp->packets_out + (u32)addend, (u32)sock_net(sk)->ipv4.sysctl_tcp_max_reordering);
    tp->reord_seen++;
    NET_INC_STATS(sock_net(sk), LINUX_MIB_TCPRENOREORDER);
}

void tcp_add_reno_sack(struct sock *sk, int num_dupack)
{
    struct tcp_sock *tp = tcp_sk(sk);
    u32 prior_sacked = tp->sacked_out;

    if (!num_dupack)
        return;
    tp->sacked_out += (u32)num_dupack;
    tcp_check_reno_reordering(sk, 0);
    if (after(tp->sacked_out, prior_sacked))
        tp->delivered += tp->sacked_out - prior_sacked;
}

/* A partial ACK removes what was counted by duplicates. */
void tcp_remove_reno_sacks(struct sock *sk, int acked)
{
    struct tcp_sock *tp = tcp_sk(sk);

    if (acked > 0) {
        /* One ACK acked the hole. The rest eat duplicate ACKs. */
        tp->delivered += (u32)max_t(int, acked - (int)tp->sacked_out, 1);
        if (acked - 1 >= (int)tp->sacked_out)
            tp->sacked_out = 0;
        else
            tp->sacked_out -= (u32)(acked - 1);
    }
    tcp_check_reno_reordering(sk, acked);
}

void tcp_reset_reno_sack(struct tcp_sock *tp) { tp->sacked_out = 0; }
