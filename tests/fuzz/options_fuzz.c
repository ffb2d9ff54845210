/* SPDX-License-Identifier: MIT */
/* TCP options: the parser alone with any bytes, then the same bytes in a SYN, in a SYN-ACK and in acknowledgements of
 * data in flight, where SACK blocks change the scoreboard. Byte 0: settings; then repeated: one byte (where the
 * options go), the options as fz_input_options() takes them. */

#include "fuzznet.h"

/* In memory of its own size, as SYN or not. */
static void parse_alone(struct fuzznet *f, const u8 *opt, u32 len, bool syn, bool estab)
{
    struct tcp_options_received got = {.tstamp_ok = 1, .sack_ok = 1};
    struct sk_buff *skb = alloc_skb(f->net, 20 + len);
    struct tcphdr *th = skb_put(skb, 20 + len);

    memset(th, 0, 20);
    th->doff = (u16)(5 + len / 4);
    th->syn = syn;
    memcpy(th + 1, opt, len);
    skb->transport_header = (u16)(skb->data - skb->head);
    tcp_parse_options(f->net, skb, &got, estab);
    BUG_ON(got.snd_wscale > 14);
    BUG_ON(got.num_sacks > 4);
    consume_skb(skb);
}

int LLVMFuzzerTestOneInput(const u8 *data, size_t size)
{
    struct input in = {data, size};
    struct fuzznet *f = fz_new(in_u8(&in) & ~0x40);

    fz_set_up(f, 2);
    fz_set_up(f, 11);
    fz_set_up(f, 7);
    for (int n = 0; in.left && n < 24; n++) {
        u8 where = in_u8(&in), i = where & 8 ? 7 : 11;
        struct fz_flow *w = &f->flow[i];
        struct fz_seg s = {.sport = (u16)(FZ_SPORT + i), .dport = w->lport, .win = 60000, .flags = TCPHDR_ACK, .seq = w->nxt, .ack = w->una};

        s.optlen = fz_input_options(f, &in, w, s.opt);
        parse_alone(f, s.opt, ALIGN(s.optlen, 4u), where & 1, where & 2);
        switch (where >> 4 & 7) {
        case 0: /* a SYN to the listener */
            s.sport = (u16)(FZ_SPORT + 12 + (where & 3));
            s.flags = TCPHDR_SYN;
            s.dport = where & 4 ? 81 : 80;
            break;
        case 1: /* the answer to our SYN */
            w = &f->flow[2];
            s.sport = FZ_SPORT + 2;
            s.dport = w->lport;
            s.seq = w->nxt;
            s.ack = w->una;
            s.flags = TCPHDR_SYN | (where & 1 ? 0 : TCPHDR_ACK);
            break;
        case 2: /* with data */
            s.len = 100;
            w->nxt += 100;
            break;
        case 3: /* the clock first */
            fz_step(f, in_u8(&in));
            break;
        case 4:
            fz_write(f, i, in_u8(&in) * 100u, 0);
            break;
        default: /* an acknowledgement of a part */
            s.ack -= in_u16(&in);
        }
        fz_rx_seg(f, &s);
    }
    fz_free(f, false);
    return 0;
}
