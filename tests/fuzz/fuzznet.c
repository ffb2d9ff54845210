/* SPDX-License-Identifier: MIT */
#include "fuzznet.h"
#include "../../stack/core/checksum.h"
#include "../../stack/core/neighbour.h"
#include "../../stack/core/rcu.h"
#include <fcntl.h>

#define PEER_ISN 0xfffffe00u /* wraps soon */

/* ---- input ---------------------------------------------------------------------------------------------------------- */

u8 in_u8(struct input *in)
{
    if (!in->left)
        return 0;
    in->left--;
    return *in->p++;
}

u16 in_u16(struct input *in)
{
    u16 hi = in_u8(in);

    return (u16)(hi << 8 | in_u8(in));
}

u32 in_u32(struct input *in)
{
    u32 hi = in_u16(in);

    return hi << 16 | in_u16(in);
}

u32 in_bytes(struct input *in, void *to, u32 want)
{
    u32 n = min_t(u32, want, in->left);

    memcpy(to, in->p, n);
    in->p += n;
    in->left -= n;
    return n;
}

/* Payload byte at this sequence number. */
static u8 pattern(u32 seq) { return (u8)(seq * 0x9e3779b1u >> 24); }

/* ---- pages of exactly the frame's size --------------------------------------------------------------------------------- */

static struct page *exact_page(struct page_pool *pool, u32 size)
{
    struct page *p = malloc(sizeof(*p) + size);

    BUG_ON(!p);
    atomic_init(&p->refcount, 1);
    p->size = size;
    p->addr = (u8 *)(p + 1);
    p->pool = pool;
    atomic_fetch_add(&pool->outstanding, 1);
    return p;
}

void fz_rx(struct fuzznet *f, const void *frame, u32 len)
{
    struct page *page = exact_page(f->rx_pool, f->rx_headroom + len);
    struct sk_buff *skb = build_skb_page(f->net, page, f->rx_headroom);

    BUG_ON(!skb);
    memcpy(skb_put(skb, len), frame, len);
    skb->dev = &f->n->dev;
    net_tick(f->net);
    rcu_read_lock();
    netif_receive_skb(skb);
    if (!f->hold)
        napi_complete(&f->n->dev);
    rcu_read_unlock();
    if (!f->hold)
        while (net_poll(f->net, 64))
            ;
    fz_collect(f);
}

void fz_rx_ip(struct fuzznet *f, u8 *packet, u32 len, bool raw)
{
    static u8 frame[ETH_HLEN + 65536];
    struct ethhdr *eth = (struct ethhdr *)frame;
    struct iphdr *iph = (struct iphdr *)packet;

    if (!raw && len >= sizeof(*iph)) {
        u32 hlen;

        iph->version = 4;
        iph->ihl = max_t(u32, iph->ihl, 5);
        if (iph->ihl * 4u > len)
            iph->ihl = 5;
        hlen = iph->ihl * 4u;
        iph->tot_len = htobe16((u16)len);
        iph->check = 0;
        iph->check = ip_fast_csum(iph, iph->ihl);
        if (!(iph->frag_off & htobe16(0x3fff))) {
            u32 l4 = len - hlen;
            u8 *p = packet + hlen;

            if (iph->protocol == IPPROTO_TCP && l4 >= sizeof(struct tcphdr)) {
                ((struct tcphdr *)p)->check = 0;
                ((struct tcphdr *)p)->check = csum_fold(csum_partial(p, l4, csum_tcpudp_nofold(iph->saddr, iph->daddr, l4, IPPROTO_TCP, 0)));
            } else if (iph->protocol == IPPROTO_ICMP && l4 >= 8) {
                p[2] = p[3] = 0;
                u16 c = csum_fold(csum_partial(p, l4, 0));
                memcpy(p + 2, &c, 2);
            }
        }
    }
    memcpy(eth->h_dest, ipnet_mymac, 6);
    memcpy(eth->h_source, ipnet_peermac, 6);
    eth->h_proto = htobe16(ETH_P_IP);
    memcpy(frame + ETH_HLEN, packet, len);
    fz_rx(f, frame, ETH_HLEN + len);
}

void fz_rx_seg(struct fuzznet *f, const struct fz_seg *s)
{
    u8 p[20 + 60 + 2048] = {0};
    u32 optlen = ALIGN(min(s->optlen, 40u), 4u), dlen = min(s->len, 2000u), len = 40 + optlen + dlen;
    struct tcphdr *th = (struct tcphdr *)(p + 20);

    ipnet_iphdr((struct iphdr *)p, IPNET_PEERIP, IPNET_MYIP, IPPROTO_TCP, len, 1, 0x4000);
    p[1] = s->tos;
    th->source = htobe16(s->sport);
    th->dest = htobe16(s->dport);
    th->seq = htobe32(s->seq);
    th->ack_seq = htobe32(s->ack);
    th->doff = (u16)(5 + optlen / 4);
    p[33] = s->flags;
    th->window = htobe16(s->win);
    th->urg_ptr = htobe16(s->urg);
    memcpy(p + 40, s->opt, min(s->optlen, 40u));
    for (u32 i = 0; i < dlen; i++)
        p[40 + optlen + i] = pattern(s->seq + (s->flags & TCPHDR_SYN ? 1 : 0) + i);
    fz_rx_ip(f, p, len, false);
}

/* ---- what the stack sends ------------------------------------------------------------------------------------------------ */

static void check_options(struct fuzznet *f, const struct tcphdr *th, struct fz_flow *w)
{
    const u8 *o = (const u8 *)(th + 1), *end = (const u8 *)th + th->doff * 4;

    while (o < end && *o) {
        if (*o == 1) {
            o++;
            continue;
        }
        BUG_ON(end - o < 2 || o[1] < 2 || o[1] > end - o);
        if (*o == 8 && w)
            w->tsval = (u32)o[2] << 24 | (u32)o[3] << 16 | (u32)o[4] << 8 | o[5];
        o += o[1];
    }
}

static void check_tcp(struct fuzznet *f, const struct iphdr *iph, u32 len)
{
    const struct tcphdr *th = (const void *)((const u8 *)iph + iph->ihl * 4);
    u32 i, end;
    struct fz_flow *w;

    BUG_ON(len < 20 || th->doff < 5 || th->doff * 4u > len);
    BUG_ON(csum_fold(csum_partial(th, len, csum_tcpudp_nofold(iph->saddr, iph->daddr, len, IPPROTO_TCP, 0))));
    i = (u32)be16toh(th->dest) - FZ_SPORT;
    w = i < FZ_FLOWS ? &f->flow[i] : NULL;
    check_options(f, th, w);
    if (!w || th->rst)
        return;
    end = be32toh(th->seq) + len - th->doff * 4u + th->syn + th->fin;
    if (th->syn || after(end, w->una))
        w->una = end;
    if (th->ack)
        w->rcv_nxt = be32toh(th->ack_seq);
}

static void check_frame(struct fuzznet *f, const u8 *frame, u32 len)
{
    const struct iphdr *iph = (const void *)(frame + ETH_HLEN);

    BUG_ON(len < ETH_HLEN || len > ETH_HLEN + 1500);
    if (frame[12] != 8 || frame[13] != 0)
        return;
    BUG_ON(len < ETH_HLEN + 20 || iph->version != 4 || iph->ihl < 5 || be16toh(iph->tot_len) != len - ETH_HLEN);
    BUG_ON(ip_fast_csum(iph, iph->ihl));
    if (iph->protocol == IPPROTO_TCP && !(iph->frag_off & htobe16(0x3fff)))
        check_tcp(f, iph, len - ETH_HLEN - iph->ihl * 4u);
    if (iph->protocol == IPPROTO_ICMP && !(iph->frag_off & htobe16(0x3fff)) && f->on_icmp)
        f->on_icmp((const u8 *)iph + iph->ihl * 4, len - ETH_HLEN - iph->ihl * 4u);
}

void fz_collect(struct fuzznet *f)
{
    for (u32 i = 0; i < f->n->nsent; i++)
        check_frame(f, f->n->sent[i].data, f->n->sent[i].len);
    f->n->nsent = 0;
}

/* ---- the program ------------------------------------------------------------------------------------------------------------ */

/* A call has ended: what it left for the softirq happens now. */
static void settle(struct fuzznet *f)
{
    while (net_poll(f->net, 64))
        ;
    fz_collect(f);
}

static struct socket *new_socket(struct fuzznet *f, u16 port)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htobe16(port)};
    struct socket *s;
    int one = 1;

    BUG_ON(sock_create(f->net, AF_INET, SOCK_STREAM, 0, &s));
    BUG_ON(s->ops->setsockopt(s, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)));
    if (s->ops->bind(s, (struct sockaddr *)&a, sizeof(a))) {
        sock_release(s);
        return NULL;
    }
    return s;
}

void fz_connect(struct fuzznet *f, int i)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htobe32(IPNET_PEERIP), .sin_port = htobe16((u16)(FZ_SPORT + i))};
    struct fz_flow *w = &f->flow[i];

    if (w->sock)
        return;
    w->lport = (u16)(FZ_LPORT + i);
    w->sock = new_socket(f, w->lport);
    if (!w->sock)
        return;
    net_tick(f->net);
    w->sock->ops->connect(w->sock, (struct sockaddr *)&a, sizeof(a), O_NONBLOCK);
    settle(f);
}

void fz_accept(struct fuzznet *f, int i, int listener)
{
    struct socket *l = f->listener[listener & 1], *s;

    if (f->flow[i].sock || !l)
        return;
    s = sock_alloc(f->net);
    s->type = l->type;
    s->ops = l->ops;
    net_tick(f->net);
    if (l->ops->accept(l, s, O_NONBLOCK))
        sock_release(s);
    else
        f->flow[i].sock = s;
    settle(f);
}

void fz_write(struct fuzznet *f, int i, u32 len, int flags)
{
    static const u8 data[65536];
    struct iovec iov = {.iov_base = (void *)data, .iov_len = min_t(u32, len, sizeof(data))};
    struct sk_msghdr msg = {.msg_flags = (unsigned)flags | MSG_DONTWAIT};

    if (!f->flow[i].sock)
        return;
    iov_iter_init(&msg.msg_iter, &iov, 1, iov.iov_len);
    net_tick(f->net);
    sock_sendmsg(f->flow[i].sock, &msg);
    settle(f);
}

void fz_read(struct fuzznet *f, int i, u32 len, int flags)
{
    u8 buf[4096];
    struct iovec iov = {.iov_base = buf, .iov_len = min_t(u32, len, sizeof(buf))};
    struct sk_msghdr msg = {0};
    struct socket *s = f->flow[i].sock;
    u32 seq;
    ssize_t got;

    if (!s || !s->sk)
        return;
    iov_iter_init(&msg.msg_iter, &iov, 1, iov.iov_len);
    net_tick(f->net);
    seq = tcp_sk(s->sk)->copied_seq;
    got = sock_recvmsg(s, &msg, flags | MSG_DONTWAIT);
    BUG_ON(got > (ssize_t)iov.iov_len && !(flags & MSG_TRUNC));
    for (ssize_t k = 0; k < got && !f->flow[i].urg && !(flags & (MSG_TRUNC | MSG_OOB | MSG_ERRQUEUE)); k++)
        BUG_ON(buf[k] != pattern(seq + (u32)k));
    settle(f);
}

void fz_close(struct fuzznet *f, int i, bool reset)
{
    struct linger l = {.l_onoff = 1, .l_linger = 0};
    struct socket *s = f->flow[i].sock;

    if (!s)
        return;
    f->flow[i].sock = NULL;
    net_tick(f->net);
    if (reset)
        s->ops->setsockopt(s, SOL_SOCKET, SO_LINGER, &l, sizeof(l));
    sock_release(s);
    settle(f);
}

/* ---- connections in their states ----------------------------------------------------------------------------------------------- */

const u8 fz_syn_opt[20] = {2, 4, 5, 180, 4, 2, 8, 10, 0, 0, 0, 100, 0, 0, 0, 0, 1, 3, 3, 7};

void fz_send(struct fuzznet *f, int i, u8 flags, u32 len, const u8 *opt, u32 optlen)
{
    struct fz_flow *w = &f->flow[i];
    struct fz_seg s = {.seq = w->nxt, .ack = flags & TCPHDR_ACK ? w->una : 0, .len = len, .sport = (u16)(FZ_SPORT + i),
                       .dport = w->lport, .win = 60000, .flags = flags, .optlen = optlen};

    if (opt)
        memcpy(s.opt, opt, optlen);
    w->nxt += len + !!(flags & TCPHDR_SYN) + !!(flags & TCPHDR_FIN);
    fz_rx_seg(f, &s);
}

/* The timestamp option that belongs to an in-order segment now. */
static u32 ts_option(struct fuzznet *f, const struct fz_flow *w, u8 *opt)
{
    u32 val = 100 + (u32)(f->n->now / NSEC_PER_MSEC) - 1000000;

    memcpy(opt, "\1\1\10\12", 4);
    for (int i = 0; i < 4; i++) {
        opt[4 + i] = (u8)(val >> (24 - 8 * i));
        opt[8 + i] = (u8)(w->tsval >> (24 - 8 * i));
    }
    return 12;
}

void fz_establish(struct fuzznet *f, int i, bool options)
{
    u8 ts[12];

    fz_send(f, i, TCPHDR_SYN, 0, options ? fz_syn_opt : NULL, options ? sizeof(fz_syn_opt) : 0);
    fz_send(f, i, TCPHDR_ACK, 0, ts, options ? ts_option(f, &f->flow[i], ts) : 0);
    fz_accept(f, i, 0);
}

void fz_set_up(struct fuzznet *f, int i)
{
    struct fz_flow *w = &f->flow[i];

    switch (i) {
    case 0: /* ESTABLISHED, all options */
        fz_establish(f, i, true);
        break;
    case 1: /* ESTABLISHED, no options, data in flight and more waiting */
        fz_establish(f, i, false);
        fz_write(f, i, 30000, 0);
        break;
    case 2: /* SYN-SENT */
        fz_connect(f, i);
        break;
    case 3: /* a request in SYN-RECV */
        fz_send(f, i, TCPHDR_SYN, 0, fz_syn_opt, sizeof(fz_syn_opt));
        break;
    case 4: /* CLOSE-WAIT with unread data */
        fz_establish(f, i, false);
        fz_send(f, i, TCPHDR_ACK | TCPHDR_FIN, 1000, NULL, 0);
        break;
    case 5: /* FIN-WAIT-1 with data in flight */
        fz_establish(f, i, true);
        fz_write(f, i, 20000, 0);
        if (w->sock)
            w->sock->ops->shutdown(w->sock, SHUT_WR);
        break;
    case 6: /* FIN-WAIT-2 */
        fz_establish(f, i, false);
        if (w->sock)
            w->sock->ops->shutdown(w->sock, SHUT_WR);
        settle(f);
        fz_send(f, i, TCPHDR_ACK, 0, NULL, 0);
        break;
    case 7: /* two holes in what was received */
        fz_establish(f, i, false);
        w->nxt += 1000;
        fz_send(f, i, TCPHDR_ACK, 500, NULL, 0);
        w->nxt += 700;
        fz_send(f, i, TCPHDR_ACK, 300, NULL, 0);
        w->nxt -= 2500;
        break;
    case 8: /* TIME-WAIT */
        fz_establish(f, i, true);
        fz_close(f, i, false);
        fz_send(f, i, TCPHDR_ACK | TCPHDR_FIN, 0, NULL, 0);
        break;
    case 9: /* LAST-ACK */
        fz_establish(f, i, false);
        fz_send(f, i, TCPHDR_ACK | TCPHDR_FIN, 0, NULL, 0);
        fz_close(f, i, false);
        break;
    case 10: /* SYN-RECV of a simultaneous open */
        fz_connect(f, i);
        fz_send(f, i, TCPHDR_SYN, 0, fz_syn_opt, sizeof(fz_syn_opt));
        break;
    case 11: /* ESTABLISHED by the program, all options, data in flight: SACK has something to say */
        fz_connect(f, i);
        fz_send(f, i, TCPHDR_SYN | TCPHDR_ACK, 0, fz_syn_opt, sizeof(fz_syn_opt));
        fz_write(f, i, 14480, 0);
        break;
    }
    settle(f);
}

/* ---- segments from the input ---------------------------------------------------------------------------------------------------- */

/* A difference to a sequence number: two bits choose its reach. */
static u32 in_delta(struct input *in, u8 kind)
{
    switch (kind & 3) {
    case 1:
        return (u32)(s8)in_u8(in);
    case 2:
        return (u32)((s8)in_u8(in) * 181);
    case 3:
        return in_u32(in);
    default:
        return 0;
    }
}

u32 fz_input_options(struct fuzznet *f, struct input *in, const struct fz_flow *w, u8 *opt)
{
    u8 kind = in_u8(in), n;
    u32 len = 0;

    switch (kind & 7) {
    case 1: /* as it should be */
        return ts_option(f, w, opt);
    case 2:
        memcpy(opt, fz_syn_opt, sizeof(fz_syn_opt));
        return sizeof(fz_syn_opt);
    case 3: /* SACK blocks below what was sent; with the timestamp, if it has room */
    case 4:
        if ((kind & 7) == 4)
            len = ts_option(f, w, opt);
        n = min_t(u8, (kind >> 3) & 7, (40 - len - 4) / 8);
        opt[len] = opt[len + 1] = 1;
        opt[len + 2] = 5;
        opt[len + 3] = (u8)(2 + 8 * n);
        len += 4;
        for (u8 i = 0; i < n; i++) {
            u32 start = w->una - in_u16(in), end = start + in_u16(in);
            for (int b = 24; b >= 0; b -= 8) {
                opt[len] = (u8)(start >> b);
                opt[len + 4] = (u8)(end >> b);
                len++;
            }
            len += 4;
        }
        return len;
    case 5: { /* a timestamp from another time */
        u32 d = in_u32(in);
        len = ts_option(f, w, opt);
        for (int i = 0; i < 4; i++)
            opt[4 + i] ^= (u8)(d >> (24 - 8 * i));
        if (kind & 8)
            memset(opt + 8, kind & 16 ? 0xff : 0, 4);
        return len;
    }
    case 6:
        return in_bytes(in, opt, min_t(u32, in_u8(in), 40));
    case 7: /* timestamp, then anything */
        len = ts_option(f, w, opt);
        return len + in_bytes(in, opt + len, min_t(u32, in_u8(in), 28));
    default:
        return 0;
    }
}

void fz_input_segment(struct fuzznet *f, struct input *in)
{
    u8 i = in_u8(in), shape, extra;
    struct fz_flow *w = &f->flow[i % FZ_FLOWS];
    struct fz_seg s = {.sport = (u16)(FZ_SPORT + i % FZ_FLOWS), .dport = i & 0x40 ? 81 : w->lport, .win = 60000};

    s.flags = in_u8(in);
    shape = in_u8(in);
    extra = in_u8(in);
    s.seq = (shape & 1 ? w->rcv_nxt : w->nxt) + in_delta(in, shape >> 1);
    s.ack = w->una + in_delta(in, shape >> 3);
    if (!(s.flags & TCPHDR_ACK) && !(shape & 0x80))
        s.ack = 0;
    switch (shape >> 5 & 3) {
    case 1:
        s.len = in_u8(in);
        break;
    case 2:
        s.len = in_u8(in) * 7u;
        break;
    case 3:
        s.len = 1448;
        break;
    }
    if (extra & 1)
        s.win = in_u16(in);
    if (extra & 2)
        s.optlen = fz_input_options(f, in, w, s.opt);
    if (extra & 4)
        s.urg = in_u8(in);
    if (extra & 8)
        s.tos = in_u8(in);
    f->hold = extra & 0x10;
    w->urg |= (s.flags & TCPHDR_URG) != 0;
    if (!(extra & 0x20) && !(s.flags & TCPHDR_RST) && s.seq == w->nxt)
        w->nxt += s.len + !!(s.flags & TCPHDR_SYN) + !!(s.flags & TCPHDR_FIN);
    fz_rx_seg(f, &s);
    f->hold = false;
}

/* ---- the net ---------------------------------------------------------------------------------------------------------------------- */

static struct page *no_alloc(struct page_pool *pool) { return NULL; }

static void exact_free(struct page_pool *pool, struct page *page)
{
    atomic_fetch_sub(&pool->outstanding, 1);
    free(page);
}

static struct socket *serve(struct fuzznet *f, u16 port, int backlog)
{
    struct socket *s = new_socket(f, port);
    int v = 5;

    BUG_ON(!s || s->ops->listen(s, backlog));
    if (port == 81) {
        s->ops->setsockopt(s, IPPROTO_TCP, TCP_FASTOPEN, &v, sizeof(v));
        s->ops->setsockopt(s, IPPROTO_TCP, TCP_DEFER_ACCEPT, &v, sizeof(v));
    }
    return s;
}

struct fuzznet *fz_new(u8 cfg)
{
    struct fuzznet *f = calloc(1, sizeof(*f));

    BUG_ON(!f);
    f->n = ipnet_new();
    f->net = f->n->net;
    f->rx_pool = calloc(1, sizeof(*f->rx_pool));
    f->rx_pool->alloc = no_alloc;
    f->rx_pool->free = exact_free;
    f->rx_headroom = 2;
    if (cfg & 1)
        f->n->dev.features |= NETIF_F_GRO;
    f->net->ipv4.sysctl_tcp_syncookies = cfg & 2 ? 2 : 1;
    f->net->ipv4.sysctl_tcp_ecn = cfg & 4 ? 1 : 2;
    f->net->ipv4.sysctl_tcp_fastopen = cfg & 8 ? 0x602 : 3;
    strcpy(f->net->ipv4.sysctl_tcp_congestion_control, cfg & 0x10 ? "bbr" : cfg & 0x20 ? "reno" : "cubic");
    if (cfg & 0x40) { /* memory is short everywhere */
        page_pool_heap_destroy(f->net->tx_pool);
        f->net->tx_pool = page_pool_heap_create(1920, 128, 6);
        f->net->ipv4.sysctl_tcp_rmem[1] = 4096;
        f->net->ipv4.sysctl_tcp_wmem[1] = 4608;
    }
    f->net->ipv4.sysctl_tcp_abort_on_overflow = cfg >> 7;
    ipnet_resolve(f->n, IPNET_PEERIP);
    f->listener[0] = serve(f, 80, 3);
    f->listener[1] = serve(f, 81, 2);
    for (u32 i = 0; i < FZ_FLOWS; i++)
        f->flow[i] = (struct fz_flow){.lport = 80, .nxt = PEER_ISN};
    return f;
}

void fz_step(struct fuzznet *f, u8 how)
{
    u64 n = (how & 63) + 1;

    ipnet_advance(f->n, how < 64    ? n * 100 * NSEC_PER_USEC
                        : how < 128 ? n * 2 * NSEC_PER_MSEC
                        : how < 192 ? n * 50 * NSEC_PER_MSEC
                                    : n * NSEC_PER_SEC);
    fz_collect(f);
}

void fz_free(struct fuzznet *f, bool patient)
{
    f->hold = false;
    napi_complete(&f->n->dev);
    for (int i = 0; i < FZ_FLOWS; i++)
        fz_close(f, i, !patient);
    for (int i = 0; i < 2; i++)
        if (f->listener[i])
            sock_release(f->listener[i]);
    settle(f);
    if (patient) { /* longer than tcp_orphan_retries, FIN-WAIT-2 and TIME-WAIT together */
        for (int i = 0; i < 20; i++)
            fz_step(f, 255);
        BUG_ON(atomic_load(&f->net->orphan_count));
    }
    ipnet_free(f->n);
    BUG_ON(atomic_load(&f->rx_pool->outstanding));
    free(f->rx_pool);
    free(f);
}
