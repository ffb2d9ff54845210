// SPDX-License-Identifier: MIT
#include "partial_csum.h"
#include "../stack/core/checksum.h"
#include <linux/if_ether.h>
#include <netinet/in.h>

void frame_complete_csum(u8 *p, u32 len, bool partial)
{
    u32 ihl, tot, tlen;
    __be32 saddr, daddr;
    u16 field, pseudo, sum;
    u8 *ip = p + ETH_HLEN, *th;

    if (len < ETH_HLEN + 20 || p[12] != 0x08 || p[13] != 0x00 || ip[0] >> 4 != 4)
        return;
    ihl = (ip[0] & 15u) * 4;
    tot = (u32)ip[2] << 8 | ip[3];
    if (ihl < 20 || tot < ihl + 20 || tot > len - ETH_HLEN || ip[9] != IPPROTO_TCP ||
        ((ip[6] & 0x3f) | ip[7])) /* a fragment has not the whole segment */
        return;
    th = ip + ihl;
    tlen = tot - ihl;
    memcpy(&saddr, ip + 12, 4);
    memcpy(&daddr, ip + 16, 4);
    memcpy(&field, th + 16, 2);
    pseudo = (u16)~csum_tcpudp_magic(saddr, daddr, tlen, IPPROTO_TCP, 0);
    if (!partial && field != pseudo)
        return;
    memset(th + 16, 0, 2);
    sum = csum_tcpudp_magic(saddr, daddr, tlen, IPPROTO_TCP, csum_partial(th, tlen, 0));
    memcpy(th + 16, &sum, 2);
}
