/* SPDX-License-Identifier: MIT */
#ifndef SLUICE_CORE_CHECKSUM_H
#define SLUICE_CORE_CHECKSUM_H
/* The Internet checksum (RFC 1071). Partial sums are 32-bit, folded late, in network order of the
 * summed 16-bit words (as Linux's __wsum). */

#include "types.h"

typedef u32 wsum;

/* Sum len bytes at buf onto sum. A chunk that is not the last must have even length, or be combined by
 * csum_block_add(). */
wsum csum_partial(const void *buf, size_t len, wsum sum);
/* Copy and sum in one pass. */
wsum csum_partial_copy(const void *src, void *dst, size_t len, wsum sum);

static inline u16 csum_fold(wsum sum)
{
    sum = (sum & 0xffff) + (sum >> 16);
    sum = (sum & 0xffff) + (sum >> 16);
    return (u16)~sum;
}
static inline wsum csum_add(wsum a, wsum b)
{
    u64 s = (u64)a + b;
    return (u32)s + (u32)(s >> 32);
}
/* Add the sum of a block that starts `offset` bytes into the whole (odd offsets swap the bytes). */
static inline wsum csum_block_add(wsum sum, wsum sum2, size_t offset)
{
    if (offset & 1)
        sum2 = ((sum2 & 0x00ff00ff) << 8) | ((sum2 >> 8) & 0x00ff00ff);
    return csum_add(sum, sum2);
}
/* Pseudo header sum, unfolded (RFC 9293 3.1). len: TCP header and payload, host order. */
static inline wsum csum_tcpudp_nofold(__be32 saddr, __be32 daddr, u32 len, u8 proto, wsum sum)
{
    u64 s = (u64)sum + saddr + daddr + htobe32(len) + ((u32)htobe16(proto));
#if __BYTE_ORDER == __LITTLE_ENDIAN
    s = (u64)sum + saddr + daddr + (((u64)len + proto) << 8);
#endif
    s = (s & 0xffffffff) + (s >> 32);
    return (u32)((s & 0xffffffff) + (s >> 32));
}
static inline u16 csum_tcpudp_magic(__be32 saddr, __be32 daddr, u32 len, u8 proto, wsum sum)
{
    return csum_fold(csum_tcpudp_nofold(saddr, daddr, len, proto, sum));
}
/* IPv4 header checksum over ihl 32-bit words. */
u16 ip_fast_csum(const void *iph, unsigned ihl);
u16 ip_compute_csum(const void *buf, size_t len);

#endif
