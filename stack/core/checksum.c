/* SPDX-License-Identifier: MIT */
/* The Internet checksum (RFC 1071), eight bytes at a time with the carries kept in the chain: the sum of
 * 64-bit words modulo 2^64-1 folds to the sum of 16-bit words modulo 2^16-1. */

#include "checksum.h"

static inline u64 add_carry(u64 a, u64 b)
{
    a += b;
    return a + (a < b);
}

static inline u64 load64(const u8 *p)
{
    u64 v;
    memcpy(&v, p, 8);
    return v;
}

static inline wsum fold64(u64 s)
{
    s = (s & 0xffffffff) + (s >> 32);
    return (u32)s + (u32)(s >> 32);
}

/* The bytes after the last whole word, as they would stand in memory with zeros behind. */
static inline u64 tail_word(const u8 *p, size_t len)
{
    u64 v = 0;
    memcpy(&v, p, len);
    return v;
}

#if defined(__x86_64__) && !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
static inline u64 sum_block64(const u8 *p, u64 sum)
{
    __asm__("addq 0*8(%1), %0\n\t"
            "adcq 1*8(%1), %0\n\t"
            "adcq 2*8(%1), %0\n\t"
            "adcq 3*8(%1), %0\n\t"
            "adcq 4*8(%1), %0\n\t"
            "adcq 5*8(%1), %0\n\t"
            "adcq 6*8(%1), %0\n\t"
            "adcq 7*8(%1), %0\n\t"
            "adcq $0, %0"
            : "+r"(sum)
            : "r"(p), "m"(*(const u8(*)[64])p)
            : "cc");
    return sum;
}
#else
static inline u64 sum_block64(const u8 *p, u64 sum)
{
    u64 a = 0, b = 0;
    int i;

    for (i = 0; i < 64; i += 16) { /* two chains, for machines without a carry flag */
        a = add_carry(a, load64(p + i));
        b = add_carry(b, load64(p + i + 8));
    }
    return add_carry(sum, add_carry(a, b));
}
#endif

wsum csum_partial(const void *buf, size_t len, wsum sum)
{
    const u8 *p = buf;
    u64 s = sum, s2 = 0;

    /* Two chains: the adds of one run in the shadow of the other's carries. */
    for (; len >= 128; p += 128, len -= 128) {
        s = sum_block64(p, s);
        s2 = sum_block64(p + 64, s2);
    }
    s = add_carry(s, s2);
    if (len >= 64) {
        s = sum_block64(p, s);
        p += 64;
        len -= 64;
    }
    for (; len >= 8; p += 8, len -= 8)
        s = add_carry(s, load64(p));
    if (len)
        s = add_carry(s, tail_word(p, len));
    return fold64(s);
}

wsum csum_partial_copy(const void *src, void *dst, size_t len, wsum sum)
{
    const u8 *p = src;
    u8 *d = dst;
    u64 s = sum, s2 = 0, v, w;

    for (; len >= 16; p += 16, d += 16, len -= 16) {
        v = load64(p);
        w = load64(p + 8);
        memcpy(d, &v, 8);
        memcpy(d + 8, &w, 8);
        s = add_carry(s, v);
        s2 = add_carry(s2, w);
    }
    s = add_carry(s, s2);
    if (len >= 8) {
        v = load64(p);
        memcpy(d, &v, 8);
        s = add_carry(s, v);
        p += 8;
        d += 8;
        len -= 8;
    }
    if (len) {
        memcpy(d, p, len);
        s = add_carry(s, tail_word(p, len));
    }
    return fold64(s);
}

u16 ip_fast_csum(const void *iph, unsigned ihl)
{
    return csum_fold(csum_partial(iph, ihl * 4, 0));
}

u16 ip_compute_csum(const void *buf, size_t len)
{
    return csum_fold(csum_partial(buf, len, 0));
}
