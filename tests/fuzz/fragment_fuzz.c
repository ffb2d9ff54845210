/* SPDX-License-Identifier: MIT */
/* IP input and reassembly (RFC 791, 815, 5722): fragments of a few datagrams with any offsets and lengths, IP options,
 * whole packets of any bytes, and steps of the clock past ipfrag_time. Byte 0: settings; then per packet:
 * what, datagram, offset / 8, length, flags. */

#include "fuzznet.h"

#define DATAGRAM 65535

/* Datagram d as it was before it was cut: an echo request, a TCP segment, or a protocol that nobody has. The request's checksum
 * is right for every length that is a multiple of 4: behind its header each word is followed by its complement. */
static u8 byte_of(u32 d, u32 at)
{
    static const u8 echo[8] = {8, 0, 0xa8, 0x04, 0x5e, 0xed, 0xf1, 0x0d};

    if (d & 1)
        return (u8)(at * 13 + d);
    if (at < 8)
        return echo[at];
    return (u8)((at & 1 ? (at >> 2) * 7 : (at >> 10)) ^ (at & 2 ? 0xff : 0));
}

/* The answer to it is what was asked, byte for byte: fragments came together in their places. */
static void check_echo(const u8 *icmp, u32 len)
{
    if (len < 8 || icmp[0] != 0 || memcmp(icmp + 4, "\x5e\xed\xf1\x0d", 4))
        return;
    for (u32 at = 8; at < len; at++)
        BUG_ON(icmp[at] != byte_of(0, at));
}

static void fragment(struct fuzznet *f, struct input *in)
{
    static u8 p[60 + DATAGRAM];
    u8 what = in_u8(in), d = what & 7;
    u32 off = (what & 8 ? in_u16(in) & 0x1fff : in_u8(in)) * 8, len = in_u8(in), hlen = 20;
    struct iphdr *iph = (struct iphdr *)p;

    len *= what & 0x20 ? 6 : 1;
    if (what & 0x10) /* whole multiples of 8, so that it may be a part in the middle */
        len &= ~7u;
    memset(p, 0, 60);
    if (what & 0x80) { /* IP options */
        u8 n = in_u8(in) % 41;
        in_bytes(in, p + 20, n);
        hlen += ALIGN((u32)n, 4u);
    }
    ipnet_iphdr(iph, IPNET_PEERIP, IPNET_MYIP, d & 1 ? (d & 2 ? IPPROTO_TCP : 200) : IPPROTO_ICMP, hlen + len, d, 0);
    iph->ihl = hlen / 4;
    iph->frag_off = htobe16((u16)(off / 8 | (what & 0x40 ? 0x2000 : 0)));
    for (u32 i = 0; i < len; i++)
        p[hlen + i] = byte_of(d, off + i);
    fz_rx_ip(f, p, hlen + len, false);
}

int LLVMFuzzerTestOneInput(const u8 *data, size_t size)
{
    struct input in = {data, size};
    u8 cfg = in_u8(&in);
    struct fuzznet *f = fz_new(cfg & 1);

    f->on_icmp = check_echo;
    if (cfg & 2)
        f->net->ipv4.sysctl_ipfrag_high_thresh = 8192;
    if (cfg & 4)
        f->net->ipv4.sysctl_ipfrag_max_dist = 2;
    for (int n = 0; in.left && n < 80; n++) {
        u8 op = in_u8(&in);
        u8 p[512];
        u32 len;

        switch (op & 7) {
        case 6:
            fz_step(f, in_u8(&in));
            break;
        case 7: /* any packet; its checksums and lengths made right or not */
            f->on_icmp = NULL;
            memset(p, 0, sizeof(p));
            ipnet_iphdr((struct iphdr *)p, IPNET_PEERIP, IPNET_MYIP, 0, 20, 0, 0);
            len = in_u8(&in);
            if (op & 0x40) {
                len = in_bytes(&in, p, len);
            } else { /* our addresses stand */
                p[9] = in_u8(&in);
                len = 20 + in_bytes(&in, p + 20, len);
                p[0] = (u8)(0x45 + (op >> 4 & 3));
            }
            fz_rx_ip(f, p, len, op & 0x80);
            break;
        default:
            fragment(f, &in);
        }
    }
    fz_free(f, false);
    return 0;
}
