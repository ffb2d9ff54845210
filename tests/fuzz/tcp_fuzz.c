/* SPDX-License-Identifier: MIT */
/* The receive path: segments into connections in every state, calls of the program and steps of the clock in
 * between. Byte 0: settings; 1-2: which flows are set up (a bit each); then operations. */

#include "fuzznet.h"

static void set_option(struct fuzznet *f, struct input *in)
{
    static const struct { int level, opt; } opts[] = {
        {IPPROTO_TCP, TCP_NODELAY}, {IPPROTO_TCP, TCP_CORK}, {IPPROTO_TCP, TCP_QUICKACK}, {IPPROTO_TCP, TCP_USER_TIMEOUT},
        {IPPROTO_TCP, TCP_WINDOW_CLAMP}, {IPPROTO_TCP, TCP_MAXSEG}, {IPPROTO_TCP, TCP_LINGER2}, {IPPROTO_TCP, TCP_NOTSENT_LOWAT},
        {SOL_SOCKET, SO_RCVBUF}, {SOL_SOCKET, SO_SNDBUF}, {SOL_SOCKET, SO_KEEPALIVE}, {SOL_SOCKET, SO_OOBINLINE},
        {SOL_SOCKET, SO_RCVLOWAT}, {SOL_SOCKET, SO_TIMESTAMP}, {SOL_SOCKET, SO_MAX_PACING_RATE}, {SOL_SOCKET, SO_ZEROCOPY},
    };
    struct socket *s = f->flow[in_u8(in) % FZ_FLOWS].sock;
    u8 which = in_u8(in) % ARRAY_SIZE(opts);
    int v = in_u16(in);

    if (s)
        s->ops->setsockopt(s, opts[which].level, opts[which].opt, &v, sizeof(v));
}

/* An ICMP error about a segment of a flow (RFC 792): 28 bytes of it come along, or as many as the input says. */
static void icmp_error(struct fuzznet *f, struct input *in)
{
    u8 p[20 + 8 + 60 + 40] = {0}, i = in_u8(in) % FZ_FLOWS, type = in_u8(in), code = in_u8(in);
    const struct fz_flow *w = &f->flow[i];
    struct tcphdr *th = (struct tcphdr *)(p + 48);
    u32 extra, inner;

    ipnet_iphdr((struct iphdr *)p, IPNET_PEERIP, IPNET_MYIP, IPPROTO_ICMP, 0, 1, 0);
    p[20] = type & 0x80 ? type & 0x7f : 3;
    p[21] = type & 0x80 ? code : type & 15;
    p[26] = in_u8(in);
    p[27] = in_u8(in);
    ipnet_iphdr((struct iphdr *)(p + 28), IPNET_MYIP, IPNET_PEERIP, IPPROTO_TCP, 1500, 1, 0x4000);
    th->source = htobe16(w->lport);
    th->dest = htobe16((u16)(FZ_SPORT + i));
    th->seq = htobe32(w->una - in_u16(in));
    th->doff = 5;
    inner = 28;
    extra = in_u8(in);
    if (extra & 0x80) /* cut short, or longer */
        inner = extra & 0x3f;
    fz_rx_ip(f, p, 28 + inner, false);
}

static void raw_packet(struct fuzznet *f, struct input *in, bool raw)
{
    u8 p[600] = {0};
    u32 n;

    ipnet_iphdr((struct iphdr *)p, IPNET_PEERIP, IPNET_MYIP, IPPROTO_TCP, 40, 1, 0);
    n = in_bytes(in, p + (raw ? 0 : 20), min_t(u32, in_u8(in) * 2u, 500));
    fz_rx_ip(f, p, n + (raw ? 0 : 20), raw);
    for (int i = 0; i < FZ_FLOWS; i++)
        f->flow[i].urg = true; /* its payload is anything */
}

static void operation(struct fuzznet *f, struct input *in)
{
    static const int send_flags[] = {0, MSG_MORE, MSG_OOB, MSG_EOR, MSG_ZEROCOPY, 0, 0, MSG_MORE | MSG_OOB};
    static const int recv_flags[] = {0, MSG_PEEK, MSG_TRUNC, MSG_OOB, MSG_WAITALL, MSG_ERRQUEUE, MSG_PEEK | MSG_OOB, MSG_PEEK | MSG_TRUNC};
    u8 op = in_u8(in), i;
    struct socket *s;

    switch (op & 15) {
    case 6:
        fz_step(f, in_u8(in));
        break;
    case 7:
        i = in_u8(in) % FZ_FLOWS;
        fz_write(f, i, in_u8(in) * 181u, send_flags[op >> 4 & 7]);
        break;
    case 8:
        i = in_u8(in) % FZ_FLOWS;
        fz_read(f, i, in_u8(in) * 16u, recv_flags[op >> 4 & 7]);
        break;
    case 9:
        i = in_u8(in) % FZ_FLOWS;
        s = f->flow[i].sock;
        if (op & 0x80) {
            fz_close(f, i, op & 0x40);
        } else if (s) {
            net_tick(f->net);
            s->ops->shutdown(s, op >> 4 & 3);
        }
        break;
    case 10:
        set_option(f, in);
        break;
    case 11:
        i = in_u8(in) % FZ_FLOWS;
        fz_accept(f, i, op >> 4);
        break;
    case 12:
        icmp_error(f, in);
        break;
    case 13:
        raw_packet(f, in, op & 0x80);
        break;
    case 14:
        fz_connect(f, in_u8(in) % FZ_FLOWS);
        break;
    case 15:
        s = f->flow[in_u8(in) % FZ_FLOWS].sock;
        if (s)
            s->ops->poll(s, NULL);
        break;
    default:
        fz_input_segment(f, in);
    }
}

int LLVMFuzzerTestOneInput(const u8 *data, size_t size)
{
    struct input in = {data, size};
    struct fuzznet *f = fz_new(in_u8(&in));
    u16 states = in_u16(&in);

    for (int i = 0; i < FZ_STATES; i++)
        if (states >> i & 1)
            fz_set_up(f, i);
    for (int n = 0; in.left && n < 60; n++)
        operation(f, &in);
    fz_free(f, states >> 15);
    return 0;
}
