/* SPDX-License-Identifier: MIT */
/* SYN cookies and TIME-WAIT: a listener that always answers with cookies, acknowledgements of these (right, late, off by a
 * little), and connections in TIME-WAIT that get SYNs, resets, old and new segments. Byte 0: settings; 1: which of
 * flows 0-7 are in TIME-WAIT; then operations. */

#include "fuzznet.h"

static void time_wait(struct fuzznet *f, int i)
{
    fz_establish(f, i, i & 1);
    fz_close(f, i, false);
    if (i & 2) { /* FIN-WAIT-2 held as a time-wait sock */
        fz_send(f, i, TCPHDR_ACK, 0, NULL, 0);
        return;
    }
    fz_send(f, i, TCPHDR_ACK | TCPHDR_FIN, 0, NULL, 0);
}

/* An ACK is taken for a cookie only while the listener may have sent one: it has, to a port of nobody's. */
static void send_one_cookie(struct fuzznet *f)
{
    const struct fz_seg syn = {.sport = 9999, .dport = 80, .seq = 1, .win = 60000, .flags = TCPHDR_SYN};

    fz_rx_seg(f, &syn);
    BUG_ON(net_mib(f->net, LINUX_MIB_SYNCOOKIESSENT) != 1);
}

int LLVMFuzzerTestOneInput(const u8 *data, size_t size)
{
    struct input in = {data, size};
    u8 cfg = in_u8(&in), tw = in_u8(&in), i;
    struct fuzznet *f = fz_new((cfg & ~0x40) | 2);

    f->net->ipv4.sysctl_tcp_tw_reuse = cfg & 3;
    f->net->ipv4.sysctl_tcp_rfc1337 = cfg >> 6 & 1;
    if (cfg & 0x20)
        f->net->ipv4.sysctl_tcp_max_tw_buckets = 2;
    send_one_cookie(f);
    for (i = 0; i < 8; i++)
        if (tw >> i & 1)
            time_wait(f, i);
    for (int n = 0; in.left && n < 60; n++) {
        u8 op = in_u8(&in), opt[40];

        switch (op & 7) {
        case 4: /* a SYN, for a cookie */
            i = op >> 4;
            fz_send(f, i, TCPHDR_SYN, 0, opt, fz_input_options(f, &in, &f->flow[i], opt));
            break;
        case 5:
            fz_step(f, in_u8(&in));
            break;
        case 6:
            fz_accept(f, op >> 4, op >> 3);
            break;
        case 7:
            if (op & 8)
                fz_connect(f, op >> 4); /* over a TIME-WAIT (tcp_tw_reuse) */
            else
                fz_close(f, op >> 4, in_u8(&in) & 1);
            break;
        default:
            fz_input_segment(f, &in);
        }
    }
    fz_free(f, cfg & 4);
    return 0;
}
