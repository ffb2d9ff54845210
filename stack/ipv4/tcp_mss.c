/* SPDX-License-Identifier: MIT */
/* How large a segment may be (RFC 9293 3.7.1, RFC 1191, RFC 4821) and which window we offer (RFC 9293 3.8.6,
 * RFC 7323 2). */

#include "tcp_output.h"

u32 tcp_dst_advmss(const struct dst_entry *dst)
{
    u32 mss;

    if (dst->advmss)
        return dst->advmss;
    mss = dst_mtu(dst) - (sizeof(struct iphdr) + sizeof(struct tcphdr));
    return clamp(mss, 256u, 65535u - 40u);
}

u16 tcp_advertise_mss(struct sock *sk)
{
    struct tcp_sock *tp = tcp_sk(sk);
    const struct dst_entry *dst = sk->sk_dst_cache;

    if (dst)
        tp->advmss = (u16)min((u32)tp->advmss, tcp_dst_advmss(dst)); /* the route changed since connect() */
    return tp->advmss;
}

static int __tcp_mtu_to_mss(struct sock *sk, int pmtu)
{
    const struct inet_connection_sock *icsk = inet_csk(sk);
    int mss = pmtu - icsk->icsk_af_ops->net_header_len - (int)sizeof(struct tcphdr);

    mss = min(mss, (int)tcp_sk(sk)->rx_opt.mss_clamp);
    mss -= icsk->icsk_ext_hdr_len;
    return max(mss, sock_net(sk)->ipv4.sysctl_tcp_min_snd_mss); /* no header may eat all of a segment */
}

/* The payload of one segment, SACK blocks apart. */
int tcp_mtu_to_mss(struct sock *sk, int pmtu)
{
    return __tcp_mtu_to_mss(sk, pmtu) - (tcp_sk(sk)->tcp_header_len - (int)sizeof(struct tcphdr));
}

int tcp_mss_to_mtu(struct sock *sk, int mss)
{
    const struct inet_connection_sock *icsk = inet_csk(sk);

    return mss + tcp_sk(sk)->tcp_header_len + icsk->icsk_ext_hdr_len + icsk->icsk_af_ops->net_header_len;
}

/* RFC 4821: start of the search. */
void tcp_mtup_init(struct sock *sk)
{
    struct inet_connection_sock *icsk = inet_csk(sk);
    struct net *net = sock_net(sk);

    icsk->icsk_mtup.enabled = net->ipv4.sysctl_tcp_mtu_probing > 1;
    icsk->icsk_mtup.search_high =
        tcp_sk(sk)->rx_opt.mss_clamp + (int)sizeof(struct tcphdr) + icsk->icsk_af_ops->net_header_len;
    icsk->icsk_mtup.search_low = tcp_mss_to_mtu(sk, net->ipv4.sysctl_tcp_base_mss);
    icsk->icsk_mtup.probe_size = 0;
    if (icsk->icsk_mtup.enabled)
        icsk->icsk_mtup.probe_timestamp = tcp_clock_ns(sk);
}

/* Never more than half the largest window the peer ever offered, or a small buffer would stop us for each
 * segment (silly windows); with tiny windows, the window itself. */
int tcp_bound_to_half_wnd(const struct tcp_sock *tp, int pktsize)
{
    int cutoff = tp->max_window > TCP_MSS_DEFAULT_ ? (int)(tp->max_window >> 1) : (int)tp->max_window;

    if (cutoff && pktsize > cutoff)
        return max(cutoff, 68 - (int)tp->tcp_header_len);
    return pktsize;
}

unsigned int tcp_sync_mss(struct sock *sk, u32 pmtu)
{
    struct tcp_sock *tp = tcp_sk(sk);
    struct inet_connection_sock *icsk = inet_csk(sk);
    int mss_now;

    if (icsk->icsk_mtup.search_high > (int)pmtu)
        icsk->icsk_mtup.search_high = (int)pmtu;
    mss_now = tcp_bound_to_half_wnd(tp, tcp_mtu_to_mss(sk, (int)pmtu));
    icsk->icsk_pmtu_cookie = pmtu;
    if (icsk->icsk_mtup.enabled)
        mss_now = min(mss_now, tcp_mtu_to_mss(sk, icsk->icsk_mtup.search_low));
    tp->mss_cache = (u32)mss_now;
    return tp->mss_cache;
}

unsigned int tcp_current_mss(struct sock *sk)
{
    const struct tcp_sock *tp = tcp_sk(sk);
    const struct dst_entry *dst = sk->sk_dst_cache;
    struct tcp_out_options opts;
    u32 mss_now = tp->mss_cache, header_len;

    if (dst) {
        u32 mtu = dst_mtu(dst);
        if (mtu != inet_csk(sk)->icsk_pmtu_cookie)
            mss_now = tcp_sync_mss(sk, mtu);
    }
    /* mss_cache knows the fixed options only: SACK blocks come off here. */
    header_len = tcp_established_options(sk, NULL, &opts) + sizeof(struct tcphdr);
    if (header_len != tp->tcp_header_len)
        mss_now -= header_len - tp->tcp_header_len;
    return mss_now;
}

/* ---- MTU probing (RFC 4821) ------------------------------------------------------------------------------ */

static void tcp_mtu_check_reprobe(struct sock *sk)
{
    struct inet_connection_sock *icsk = inet_csk(sk);

    if (tcp_clock_ns(sk) - icsk->icsk_mtup.probe_timestamp <
        (u64)sock_net(sk)->ipv4.sysctl_tcp_probe_interval * NSEC_PER_SEC)
        return;
    icsk->icsk_mtup.probe_size = 0;
    icsk->icsk_mtup.search_high =
        tcp_sk(sk)->rx_opt.mss_clamp + (int)sizeof(struct tcphdr) + icsk->icsk_af_ops->net_header_len;
    icsk->icsk_mtup.search_low = tcp_mss_to_mtu(sk, (int)tcp_sk(sk)->mss_cache);
    icsk->icsk_mtup.probe_timestamp = tcp_clock_ns(sk);
}

/* May the first len bytes of the write queue be merged into one segment? */
static bool tcp_can_coalesce_send_queue_head(struct sock *sk, int len)
{
    struct sk_buff *skb;

    skb_queue_walk (&sk->sk_write_queue, skb) {
        if (len <= (int)skb->len)
            break;
        if (TCP_SKB_CB(skb)->eor || (TCP_SKB_CB(skb)->tcp_flags & TCPHDR_FIN))
            return false;
        len -= (int)skb->len;
    }
    return true;
}

/* Move probe_size bytes from the head of the write queue to nskb, which becomes the new head. */
static void tcp_build_probe(struct sock *sk, struct sk_buff *nskb, int probe_size, u32 mss_now)
{
    struct sk_buff *skb = tcp_send_head(sk), *next;
    int len = 0, copy;

    TCP_SKB_CB(nskb)->seq = TCP_SKB_CB(skb)->seq;
    TCP_SKB_CB(nskb)->end_seq = TCP_SKB_CB(skb)->seq + (u32)probe_size;
    TCP_SKB_CB(nskb)->tcp_flags = TCPHDR_ACK;
    __skb_queue_before(&sk->sk_write_queue, skb, nskb);
    for (; skb && len < probe_size; skb = next) {
        next = skb_peek_next(skb, &sk->sk_write_queue);
        copy = min((int)skb->len, probe_size - len);
        skb_copy_bits(skb, 0, skb_put(nskb, (u32)copy), (u32)copy);
        len += copy;
        if ((int)skb->len <= copy) {
            TCP_SKB_CB(nskb)->tcp_flags |= TCP_SKB_CB(skb)->tcp_flags;
            TCP_SKB_CB(nskb)->eor = TCP_SKB_CB(skb)->eor;
            __skb_unlink(skb, &sk->sk_write_queue);
            tcp_wmem_free_skb(sk, skb);
        } else {
            TCP_SKB_CB(nskb)->tcp_flags |= TCP_SKB_CB(skb)->tcp_flags & (u8) ~(TCPHDR_FIN | TCPHDR_PSH);
            pskb_trim_head(skb, (u32)copy);
            tcp_set_skb_tso_segs(skb, mss_now);
            TCP_SKB_CB(skb)->seq += (u32)copy;
        }
    }
    tcp_set_skb_tso_segs(nskb, (unsigned int)nskb->len);
}

int tcp_mtu_probe(struct sock *sk)
{
    struct inet_connection_sock *icsk = inet_csk(sk);
    struct tcp_sock *tp = tcp_sk(sk);
    int probe_size, size_needed, mss_now, interval;
    struct sk_buff *nskb;

    if (likely(!icsk->icsk_mtup.enabled || icsk->icsk_mtup.probe_size || icsk->icsk_ca_state != TCP_CA_Open ||
               tp->snd_cwnd < 11 || tp->rx_opt.num_sacks || tp->rx_opt.dsack))
        return -1;
    mss_now = (int)tcp_current_mss(sk);
    probe_size = tcp_mtu_to_mss(sk, (icsk->icsk_mtup.search_high + icsk->icsk_mtup.search_low) >> 1);
    size_needed = probe_size + (int)((tp->reordering + 1) * tp->mss_cache);
    interval = icsk->icsk_mtup.search_high - icsk->icsk_mtup.search_low;
    if (probe_size > tcp_mtu_to_mss(sk, icsk->icsk_mtup.search_high) ||
        interval < sock_net(sk)->ipv4.sysctl_tcp_probe_threshold) {
        tcp_mtu_check_reprobe(sk);
        return -1;
    }
    if ((int)(tp->write_seq - tp->snd_nxt) < size_needed || (int)tp->snd_wnd < size_needed)
        return -1;
    if (after(tp->snd_nxt + (u32)size_needed, tcp_wnd_end(tp)))
        return 0;
    if (tcp_packets_in_flight(tp) + 2 > tcp_snd_cwnd(tp))
        return tcp_packets_in_flight(tp) ? 0 : -1;
    if (!tcp_can_coalesce_send_queue_head(sk, probe_size) || tcp_pacing_check(sk))
        return -1;

    nskb = sk_stream_alloc_skb(sk, (u32)probe_size);
    if (!nskb)
        return -1;
    sk_wmem_queued_add(sk, (int)nskb->truesize);
    sk_mem_charge(sk, (int)nskb->truesize);
    tcp_build_probe(sk, nskb, probe_size, (u32)mss_now);
    if (tcp_transmit_skb(sk, nskb, 1))
        return -1;
    tcp_snd_cwnd_set(tp, tcp_snd_cwnd(tp) - 1); /* the probe is not counted against the others */
    tcp_event_new_data_sent(sk, nskb);
    icsk->icsk_mtup.probe_size = (u32)tcp_mss_to_mtu(sk, (int)nskb->len) & 0x7fffffff;
    tp->mtu_probe.probe_seq_start = TCP_SKB_CB(nskb)->seq;
    tp->mtu_probe.probe_seq_end = TCP_SKB_CB(nskb)->end_seq;
    return 1;
}

/* The probe was acknowledged: segments get larger, and the window, which counts them, smaller by as much. */
void tcp_mtup_probe_success(struct sock *sk)
{
    struct inet_connection_sock *icsk = inet_csk(sk);
    struct tcp_sock *tp = tcp_sk(sk);
    u64 val = (u64)tcp_snd_cwnd(tp) * (u32)tcp_mss_to_mtu(sk, (int)tp->mss_cache) / icsk->icsk_mtup.probe_size;

    tcp_snd_cwnd_set(tp, max_t(u32, 1, (u32)val));
    tp->snd_cwnd_cnt = 0;
    tp->snd_cwnd_stamp = tcp_clock_ns(sk);
    tp->snd_ssthresh = tcp_current_ssthresh(sk);
    icsk->icsk_mtup.search_low = (int)icsk->icsk_mtup.probe_size;
    icsk->icsk_mtup.probe_size = 0;
    tcp_sync_mss(sk, icsk->icsk_pmtu_cookie);
    NET_INC_STATS(sock_net(sk), LINUX_MIB_TCPMTUPSUCCESS);
}

/* The probe alone was lost: too large for the path, and no congestion. */
void tcp_mtup_probe_failed(struct sock *sk)
{
    struct inet_connection_sock *icsk = inet_csk(sk);

    icsk->icsk_mtup.search_high = (int)icsk->icsk_mtup.probe_size - 1;
    icsk->icsk_mtup.probe_size = 0;
    NET_INC_STATS(sock_net(sk), LINUX_MIB_TCPMTUPFAIL);
}

/* ---- the receive window ------------------------------------------------------------------------------------ */

/* Role: window and scale for our SYN or SYN-ACK (RFC 7323 2.2). space: buffer room in window bytes.
 * *window_clamp 0: none. */
void tcp_select_initial_window(const struct sock *sk, int space, u32 mss, u32 *rcv_wnd, u32 *window_clamp,
                               int wscale_ok, u8 *rcv_wscale, u32 init_rcv_wnd)
{
    const struct netns_ipv4 *ipv4 = &sock_net(sk)->ipv4;
    u32 room = space < 0 ? 0 : (u32)space;

    if (*window_clamp == 0)
        *window_clamp = 65535u << TCP_MAX_WSCALE_;
    room = min(*window_clamp, room);
    if (room > mss)
        room -= room % mss; /* whole segments */
    *rcv_wnd = min(room, ipv4->sysctl_tcp_workaround_signed_windows ? MAX_TCP_WINDOW : 65535u);
    if (init_rcv_wnd)
        *rcv_wnd = min(*rcv_wnd, init_rcv_wnd * mss);

    *rcv_wscale = 0;
    if (wscale_ok) { /* for the largest buffer that autotuning may come to */
        room = max(room, (u32)ipv4->sysctl_tcp_rmem[2]);
        room = max(room, (u32)ipv4->sysctl_rmem_max);
        room = min(room, *window_clamp);
        while (*rcv_wscale < TCP_MAX_WSCALE_ && room > 65535u) {
            room >>= 1;
            (*rcv_wscale)++;
        }
    }
    *window_clamp = min(65535u << *rcv_wscale, *window_clamp);
}

/* Role: the window that the receive buffer allows, with silly window avoidance (RFC 9293 3.8.6.2.2):
 * in window bytes, rounded to the scale. */
u32 __tcp_select_window(struct sock *sk)
{
    struct inet_connection_sock *icsk = inet_csk(sk);
    struct tcp_sock *tp = tcp_sk(sk);
    int mss = icsk->icsk_ack.rcv_mss; /* not the advertised MSS: what the peer really sends */
    int free_space = tcp_space(sk);
    int allowed_space = tcp_full_space(sk);
    int full_space = (int)min_t(u32, tp->window_clamp, (u32)max(allowed_space, 0));
    int window;

    if (unlikely(mss > full_space)) {
        mss = full_space;
        if (mss <= 0)
            return 0;
    }
    if (free_space < full_space >> 1) {
        icsk->icsk_ack.quick = 0;
        if (tcp_under_memory_pressure(sk))
            tcp_adjust_rcv_ssthresh(sk);
        /* Rounding up below must not offer what is not there. */
        free_space -= free_space & ((1 << tp->rx_opt.rcv_wscale) - 1);
        /* Close the window in time: autotuning must not be fed when the buffer is nearly full. */
        if (free_space < allowed_space >> 4 || free_space < mss)
            return 0;
    }
    free_space = min(free_space, (int)tp->rcv_ssthresh);
    if (tp->rx_opt.rcv_wscale)
        return ALIGN((u32)free_space, 1u << tp->rx_opt.rcv_wscale);

    /* Without scaling: whole segments, and no change for less than one. */
    window = (int)tp->rcv_wnd;
    if (window <= free_space - mss || window > free_space)
        window = free_space - free_space % mss;
    else if (mss == full_space && free_space > window + (full_space >> 1))
        window = free_space;
    return (u32)window;
}

u16 tcp_select_window(struct sock *sk)
{
    struct tcp_sock *tp = tcp_sk(sk);
    struct net *net = sock_net(sk);
    u32 old_win = tp->rcv_wnd, cur_win, new_win;

    if (unlikely(inet_csk(sk)->icsk_ack.pending & ICSK_ACK_NOMEM)) { /* what came could not even be queued */
        tp->pred_flags = 0;
        tp->rcv_wnd = 0;
        tp->rcv_wup = tp->rcv_nxt;
        return 0;
    }
    cur_win = tcp_receive_window(tp);
    new_win = __tcp_select_window(sk);
    if (new_win < cur_win) { /* never shrink what was offered (RFC 9293 3.8.6) */
        if (new_win == 0)
            NET_INC_STATS(net, LINUX_MIB_TCPWANTZEROWINDOWADV);
        new_win = ALIGN(cur_win, 1u << tp->rx_opt.rcv_wscale);
    }
    tp->rcv_wnd = new_win;
    tp->rcv_wup = tp->rcv_nxt;
    if (after(tp->rcv_wup + tp->rcv_wnd, tp->rcv_mwnd_seq))
        tp->rcv_mwnd_seq = tp->rcv_wup + tp->rcv_wnd;
    if (!tp->rx_opt.rcv_wscale && net->ipv4.sysctl_tcp_workaround_signed_windows)
        new_win = min(new_win, MAX_TCP_WINDOW);
    else
        new_win = min(new_win, 65535u << tp->rx_opt.rcv_wscale);
    new_win >>= tp->rx_opt.rcv_wscale;

    if (new_win == 0) {
        tp->pred_flags = 0; /* data may come only through the slow path */
        if (old_win)
            NET_INC_STATS(net, LINUX_MIB_TCPTOZEROWINDOWADV);
    } else if (old_win == 0) {
        NET_INC_STATS(net, LINUX_MIB_TCPFROMZEROWINDOWADV);
    }
    return (u16)new_win;
}
