/* SPDX-License-Identifier: MIT */
#include "window.h"
#include "../../stack/core/checksum.h"
#include "../../stack/core/rcu.h"
#include "../../stack/core/socket.h"
#include <fcntl.h>
#include <time.h>

#define MSS 1460u
#define PEER_ISN 1000u
#define PEER_PORT 5000
#define PORT 80

const char *const window_case_name[WINDOW_CASES] = {
    "sender, 1 % lost", "sender, reordered", "sender, scattered SACK blocks", "sender, the same SACKed anew",
    "receiver, reordered", "receiver, last first", "receiver, one byte each"};

struct block { u32 start, end; };

struct window {
    struct ipnet *n;
    struct socket *listener, *s;
    u32 isn;      /* ours + 1 */
    u32 segments;
    u32 *order;   /* in which the segments arrive */
    u8 *has;      /* the peer has this segment */
    u64 rng;
};

static u32 dice(struct window *w, u32 n)
{
    w->rng = w->rng * 6364136223846793005ull + 1442695040888963407ull;
    return (u32)((w->rng >> 32) * n >> 32);
}

static double cpu_ns(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
    return (double)ts.tv_sec * 1e9 + (double)ts.tv_nsec;
}

/* ---- the peer's segments -------------------------------------------------------------------------------------- */

static void rx(struct window *w, u8 flags, u32 seq, u32 ack, const u8 *opt, u32 optlen, u32 len)
{
    static u8 frame[ETH_HLEN + 40 + 40 + MSS];
    struct ethhdr *eth = (struct ethhdr *)frame;
    u8 *ip = frame + ETH_HLEN;
    struct tcphdr *th = (struct tcphdr *)(ip + 20);
    u32 l4 = 20 + optlen + len;
    struct sk_buff *skb = alloc_skb(w->n->net, ETH_HLEN + 20 + l4 + 2);

    BUG_ON(!skb);
    memcpy(eth->h_dest, ipnet_mymac, 6);
    memcpy(eth->h_source, ipnet_peermac, 6);
    eth->h_proto = htobe16(ETH_P_IP);
    ipnet_iphdr((struct iphdr *)ip, IPNET_PEERIP, IPNET_MYIP, IPPROTO_TCP, 20 + l4, 1, 0x4000);
    memset(th, 0, sizeof(*th));
    th->source = htobe16(PEER_PORT);
    th->dest = htobe16(PORT);
    th->seq = htobe32(seq);
    th->ack_seq = htobe32(ack);
    th->doff = (u16)((20 + optlen) / 4);
    ((u8 *)th)[13] = flags;
    th->window = htobe16(65535);
    if (optlen)
        memcpy(th + 1, opt, optlen);
    skb_reserve(skb, 2);
    memcpy(skb_put(skb, ETH_HLEN + 20 + l4), frame, ETH_HLEN + 20 + l4);
    skb->dev = &w->n->dev;
    skb->ip_summed = CHECKSUM_UNNECESSARY;
    w->n->now += NSEC_PER_USEC;
    net_tick(w->n->net);
    rcu_read_lock();
    netif_receive_skb(skb);
    napi_complete(&w->n->dev);
    rcu_read_unlock();
    while (net_poll(w->n->net, 64))
        ;
    w->n->nsent = 0;
}

static void rx_ack(struct window *w, u32 ack, const struct block *b, u32 blocks)
{
    u8 opt[4 + 8 * 4] = {1, 1, 5, (u8)(2 + 8 * blocks)};

    for (u32 i = 0; i < blocks; i++) {
        __be32 edge[2] = {htobe32(w->isn + b[i].start * MSS), htobe32(w->isn + b[i].end * MSS)};

        memcpy(opt + 4 + 8 * i, edge, 8);
    }
    rx(w, TCPHDR_ACK, PEER_ISN + 1, ack, opt, blocks ? 4 + 8 * blocks : 0, 0);
}

/* ---- set-up --------------------------------------------------------------------------------------------------- */

static void window_open(struct window *w, u32 segments)
{
    static const u8 syn_opt[] = {2, 4, MSS >> 8, MSS & 255, 1, 3, 3, 14, 1, 1, 4, 2};
    struct sockaddr_in addr = {.sin_family = AF_INET, .sin_port = htobe16(PORT)};
    struct net *net;
    const u8 *f;
    u32 at;

    *w = (struct window){.n = ipnet_new(), .segments = segments, .rng = 7};
    net = w->n->net;
    for (int i = 1; i < 3; i++) {
        net->ipv4.sysctl_tcp_rmem[i] = net->ipv4.sysctl_tcp_wmem[i] = 1 << 30;
        net->ipv4.sysctl_tcp_mem[i] = 1 << 30;
    }
    net->ipv4.sysctl_tcp_mem[0] = 1 << 30;
    ipnet_resolve(w->n, IPNET_PEERIP);
    ipnet_sock(w->n, &w->listener);
    BUG_ON(w->listener->ops->bind(w->listener, (struct sockaddr *)&addr, sizeof(addr)));
    BUG_ON(w->listener->ops->listen(w->listener, 5));
    w->n->nsent = 0;
    ipnet_advance(w->n, NSEC_PER_MSEC);
    rx(w, TCPHDR_SYN, PEER_ISN, 0, syn_opt, sizeof(syn_opt), 0);
    f = w->n->sent[0].data + ETH_HLEN + 20; /* nsent was reset, the frame is still there: the SYN-ACK */
    memcpy(&at, f + 4, 4);
    w->isn = be32toh(at) + 1;
    ipnet_advance(w->n, 100 * NSEC_PER_MSEC); /* the round trip */
    rx(w, TCPHDR_ACK, PEER_ISN + 1, w->isn, NULL, 0, 0);
    w->s = sock_alloc(net);
    w->s->type = w->listener->type;
    w->s->ops = w->listener->ops;
    BUG_ON(w->listener->ops->accept(w->listener, w->s, O_NONBLOCK));
    w->order = malloc(segments * sizeof(u32));
    w->has = calloc(segments, 1);
    for (u32 i = 0; i < segments; i++)
        w->order[i] = i;
}

/* Any order; the first is not there, so that nothing can be acknowledged. */
static void shuffle(struct window *w)
{
    for (u32 i = w->segments - 1; i > 0; i--) {
        u32 j = dice(w, i + 1), t = w->order[i];

        w->order[i] = w->order[j];
        w->order[j] = t;
    }
}

static void fill(struct window *w)
{
    struct tcp_sock *tp = tcp_sk(w->s->sk);
    u64 left = (u64)w->segments * MSS;
    static u8 buf[64 * MSS];

    tp->snd_cwnd = 2 * w->segments; /* as if it had grown so large */
    w->s->sk->sk_gso_max_segs = 1;  /* an sk_buff for each segment */
    tp->snd_cwnd_clamp = ~0u;
    while (left) {
        size_t len = (size_t)min(left, (u64)sizeof(buf));
        struct iovec iov = {buf, len};
        struct sk_msghdr msg = {.msg_flags = MSG_DONTWAIT};
        ssize_t n;

        iov_iter_init(&msg.msg_iter, &iov, 1, len);
        w->n->now += 64 * NSEC_PER_USEC;
        net_tick(w->n->net);
        n = sock_sendmsg(w->s, &msg);
        BUG_ON(n <= 0);
        left -= (u64)n;
        while (net_poll(w->n->net, 64))
            ;
    }
    w->n->nsent = 0;
    BUG_ON(tp->packets_out != w->segments);
    w->n->now += 100 * NSEC_PER_MSEC - w->segments * NSEC_PER_USEC; /* before the loss probe */
    net_tick(w->n->net);
}

static void window_close(struct window *w)
{
    struct linger l = {.l_onoff = 1};

    sock_setsockopt(w->s, SOL_SOCKET, SO_LINGER, &l, sizeof(l));
    sock_release(w->s);
    sock_release(w->listener);
    ipnet_advance(w->n, 100 * NSEC_PER_SEC);
    ipnet_free(w->n);
    free(w->order);
    free(w->has);
}

/* ---- a receiver's SACK blocks -------------------------------------------------------------------------------------- */

/* The run of segments around i that the peer has. */
static struct block run_around(const struct window *w, u32 i)
{
    struct block b = {i, i + 1};

    while (b.start && w->has[b.start - 1])
        b.start--;
    while (b.end < w->segments && w->has[b.end])
        b.end++;
    return b;
}

/* The block of the segment that came last, and the two told before it (RFC 2018 4). */
static u32 told(const struct window *w, struct block *recent, u32 segment)
{
    struct block now = run_around(w, segment), out[3] = {now};
    u32 n = 1;

    for (int i = 0; i < 3 && n < 3; i++)
        if (recent[i].end && (recent[i].end <= now.start || recent[i].start >= now.end))
            out[n++] = recent[i];
    memset(recent, 0, 3 * sizeof(*recent));
    memcpy(recent, out, n * sizeof(*recent));
    return n;
}

static double sender_in_order_or_not(struct window *w, bool reorder)
{
    struct block recent[3] = {{0, 0}};
    u32 sent = 0;
    double from, spent = 0;

    if (reorder)
        shuffle(w);
    fill(w);
    for (u32 i = 0; i < w->segments; i++) {
        u32 segment = w->order[i], n;

        if (!segment || (!reorder && dice(w, 100) == 0))
            continue;
        w->has[segment] = 1;
        n = told(w, recent, segment);
        from = cpu_ns();
        rx_ack(w, w->isn, recent, n);
        spent += cpu_ns() - from;
        sent++;
    }
    BUG_ON(!tcp_sk(w->s->sk)->sacked_out);
    return spent / sent;
}

static double sender_scattered(struct window *w)
{
    u32 acks = w->segments;
    double from;

    fill(w);
    from = cpu_ns();
    for (u32 i = 0; i < acks; i++) {
        struct block b[4];

        for (u32 k = 0; k < 4; k++) {
            b[k].start = 1 + dice(w, w->segments - 2);
            b[k].end = b[k].start + 1;
        }
        rx_ack(w, w->isn, b, 4);
    }
    return (cpu_ns() - from) / acks;
}

static double sender_flapping(struct window *w)
{
    u32 half = w->segments / 2, acks = 2000;
    double from;

    fill(w);
    from = cpu_ns();
    for (u32 i = 0; i < acks; i++) {
        struct block b = {half + (i & 1 ? 0 : 2), w->segments - (i & 1 ? 2 : 0)};

        rx_ack(w, w->isn, &b, 1);
    }
    return (cpu_ns() - from) / acks;
}

static double receiver(struct window *w, enum window_case c)
{
    u32 sent = 0, len = c == WINDOW_OFO_TINY ? 1 : MSS, step = c == WINDOW_OFO_TINY ? 3 : MSS;
    double from;

    if (c == WINDOW_OFO_REVERSE)
        for (u32 i = 0; i < w->segments; i++)
            w->order[i] = w->segments - 1 - i;
    else
        shuffle(w);
    tcp_sk(w->s->sk)->rcv_wnd = tcp_sk(w->s->sk)->window_clamp = 1 << 29; /* as if it had grown so large */
    tcp_sk(w->s->sk)->rcv_ssthresh = 1 << 29;
    tcp_sk(w->s->sk)->rcv_mwnd_seq = tcp_sk(w->s->sk)->rcv_nxt + (1 << 29);
    tcp_sk(w->s->sk)->rcv_wup = tcp_sk(w->s->sk)->rcv_nxt;
    from = cpu_ns();
    for (u32 i = 0; i < w->segments; i++)
        if (w->order[i]) {
            rx(w, TCPHDR_ACK, PEER_ISN + 1 + w->order[i] * step, w->isn, NULL, 0, len);
            sent++;
        }
    BUG_ON(tcp_sk(w->s->sk)->rcv_nxt != PEER_ISN + 1);
    BUG_ON(net_mib(w->n->net, LINUX_MIB_TCPOFOQUEUE) < sent / 2);
    return (cpu_ns() - from) / sent;
}

double window_cost(enum window_case c, u32 segments)
{
    struct window w;
    double ns = 0;

    window_open(&w, segments);
    switch (c) {
    case WINDOW_LOSS:
    case WINDOW_REORDER:
        ns = sender_in_order_or_not(&w, c == WINDOW_REORDER);
        break;
    case WINDOW_ABUSE:
        ns = sender_scattered(&w);
        break;
    case WINDOW_FLAPPING:
        ns = sender_flapping(&w);
        break;
    default:
        ns = receiver(&w, c);
    }
    window_close(&w);
    return ns;
}
