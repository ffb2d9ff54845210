/* SPDX-License-Identifier: MIT */
/* TCP options on the way out (RFC 9293 3.2, RFC 7323, RFC 2018): which ones, and their bytes in Linux's order
 * and with its padding, so that a middlebox or a fingerprinter sees what it is used to. */

#include "tcp_fastopen.h"
#include "tcp_output.h"

static u32 tcp_skb_tsval(const struct sk_buff *skb) { return (u32)(skb->tstamp / NSEC_PER_MSEC); }

/* SYN (also the SYN-ACK of a simultaneous open, with the settings of our own SYN). */
unsigned int tcp_syn_options(struct sock *sk, const struct sk_buff *skb, struct tcp_out_options *opts)
{
    struct tcp_sock *tp = tcp_sk(sk);
    const struct netns_ipv4 *ipv4 = &sock_net(sk)->ipv4;
    unsigned int size = TCPOLEN_MSS_ALIGNED;

    opts->mss = tcp_advertise_mss(sk);
    if (ipv4->sysctl_tcp_timestamps) {
        opts->options |= OPTION_TS;
        opts->tsval = tcp_skb_tsval(skb) + tp->tsoffset;
        opts->tsecr = tp->rx_opt.ts_recent;
        size += TCPOLEN_TSTAMP_ALIGNED;
    }
    if (ipv4->sysctl_tcp_window_scaling) {
        opts->options |= OPTION_WSCALE;
        opts->ws = tp->rx_opt.rcv_wscale;
        size += TCPOLEN_WSCALE_ALIGNED;
    }
    if (ipv4->sysctl_tcp_sack) {
        opts->options |= OPTION_SACK_ADVERTISE;
        if (!(opts->options & OPTION_TS)) /* else it takes the place of the timestamp's two NOPs */
            size += TCPOLEN_SACKPERM_ALIGNED;
    }
    if (unlikely(tp->fastopen_req && tp->fastopen_req->cookie.len >= 0)) {
        u32 need = tcp_fastopen_option_len(&tp->fastopen_req->cookie);

        if (size + need <= MAX_TCP_OPTION_SPACE) {
            opts->fastopen = &tp->fastopen_req->cookie;
            size += need;
            tp->syn_fastopen = 1;
            tp->syn_fastopen_exp = tp->fastopen_req->cookie.exp;
        }
    }
    return size;
}

unsigned int tcp_synack_options(const struct sock *sk, struct request_sock *req, u16 mss,
                                const struct sk_buff *skb, struct tcp_out_options *opts,
                                const struct tcp_fastopen_cookie *foc)
{
    unsigned int size = TCPOLEN_MSS_ALIGNED;

    opts->mss = mss;
    if (req->wscale_ok) {
        opts->options |= OPTION_WSCALE;
        opts->ws = req->rcv_wscale;
        size += TCPOLEN_WSCALE_ALIGNED;
    }
    if (req->tstamp_ok) {
        opts->options |= OPTION_TS;
        opts->tsval = tcp_skb_tsval(skb) + req->ts_off;
        if (!req->snt_tsval_first)
            req->snt_tsval_first = opts->tsval = opts->tsval ? opts->tsval : UINT32_MAX;
        WRITE_ONCE(req->snt_tsval_last, opts->tsval);
        opts->tsecr = req->ts_recent;
        size += TCPOLEN_TSTAMP_ALIGNED;
    }
    if (req->sack_ok) {
        opts->options |= OPTION_SACK_ADVERTISE;
        if (!req->tstamp_ok)
            size += TCPOLEN_SACKPERM_ALIGNED;
    }
    if (foc && foc->len >= 0 && size + tcp_fastopen_option_len(foc) <= MAX_TCP_OPTION_SPACE) {
        opts->fastopen = foc;
        size += tcp_fastopen_option_len(foc);
    }
    return size;
}

unsigned int tcp_established_options(struct sock *sk, const struct sk_buff *skb, struct tcp_out_options *opts)
{
    struct tcp_sock *tp = tcp_sk(sk);
    unsigned int size = 0, blocks, room;

    opts->options = 0;
    opts->num_sack_blocks = 0;
    if (likely(tp->rx_opt.tstamp_ok)) {
        opts->options |= OPTION_TS;
        opts->tsval = skb ? tcp_skb_tsval(skb) + tp->tsoffset : 0;
        opts->tsecr = tp->rx_opt.ts_recent;
        size += TCPOLEN_TSTAMP_ALIGNED;
    }
    blocks = tp->rx_opt.num_sacks + tp->rx_opt.dsack;
    if (unlikely(blocks)) {
        room = (MAX_TCP_OPTION_SPACE - size - TCPOLEN_SACK_BASE_ALIGNED) / TCPOLEN_SACK_PERBLOCK;
        opts->num_sack_blocks = (u8)min(blocks, room);
        size += TCPOLEN_SACK_BASE_ALIGNED + opts->num_sack_blocks * TCPOLEN_SACK_PERBLOCK;
    }
    return size;
}

static __be32 *put_word(__be32 *p, u8 a, u8 b, u8 c, u8 d)
{
    *p = htobe32((u32)a << 24 | (u32)b << 16 | (u32)c << 8 | d);
    return p + 1;
}

static __be32 *put_sack_blocks(__be32 *p, struct tcp_sock *tp, unsigned int n)
{
    unsigned int i = 0, sack = 0;

    p = put_word(p, TCPOPT_NOP_, TCPOPT_NOP_, TCPOPT_SACK_, (u8)(2 + n * TCPOLEN_SACK_PERBLOCK));
    for (; i < n; i++) {
        /* A D-SACK block goes first (RFC 2883 4). */
        const struct tcp_sack_block *b =
            i == 0 && tp->rx_opt.dsack ? &tp->duplicate_sack[0] : &tp->selective_acks[sack++];
        *p++ = htobe32(b->start_seq);
        *p++ = htobe32(b->end_seq);
    }
    tp->rx_opt.dsack = 0; /* reported once */
    return p;
}

void tcp_options_write(struct tcphdr *th, struct tcp_sock *tp, const struct tcp_out_options *opts)
{
    __be32 *p = (__be32 *)(th + 1);
    u16 options = opts->options;

    if (unlikely(opts->mss))
        p = put_word(p, TCPOPT_MSS_, 4, (u8)(opts->mss >> 8), (u8)opts->mss);
    if (likely(options & OPTION_TS)) {
        if (unlikely(options & OPTION_SACK_ADVERTISE)) {
            p = put_word(p, TCPOPT_SACK_PERM_, 2, TCPOPT_TIMESTAMP_, 10);
            options &= (u16)~OPTION_SACK_ADVERTISE;
        } else {
            p = put_word(p, TCPOPT_NOP_, TCPOPT_NOP_, TCPOPT_TIMESTAMP_, 10);
        }
        *p++ = htobe32(opts->tsval);
        *p++ = htobe32(opts->tsecr);
    }
    if (unlikely(options & OPTION_SACK_ADVERTISE))
        p = put_word(p, TCPOPT_NOP_, TCPOPT_NOP_, TCPOPT_SACK_PERM_, 2);
    if (unlikely(options & OPTION_WSCALE))
        p = put_word(p, TCPOPT_NOP_, TCPOPT_WINDOW_, 3, opts->ws);
    if (unlikely(tp && opts->num_sack_blocks))
        p = put_sack_blocks(p, tp, opts->num_sack_blocks);
    if (unlikely(opts->fastopen))
        tcp_fastopen_option_write(p, opts->fastopen);
}
