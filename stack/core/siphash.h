/* SPDX-License-Identifier: MIT */
#ifndef SLUICE_CORE_SIPHASH_H
#define SLUICE_CORE_SIPHASH_H
/* SipHash-2-4 over whole 64-bit words (Aumasson, Bernstein 2012): the keyed hash behind initial sequence
 * numbers, timestamp offsets, cookies and table hashes, so that no peer can predict them. */

#include "types.h"

typedef struct {
    u64 key[2];
} siphash_key_t;

static inline u64 sip_rotl(u64 x, int b) { return x << b | x >> (64 - b); }
static inline void sip_round(u64 v[4])
{
    v[0] += v[1], v[1] = sip_rotl(v[1], 13), v[1] ^= v[0], v[0] = sip_rotl(v[0], 32);
    v[2] += v[3], v[3] = sip_rotl(v[3], 16), v[3] ^= v[2];
    v[0] += v[3], v[3] = sip_rotl(v[3], 21), v[3] ^= v[0];
    v[2] += v[1], v[1] = sip_rotl(v[1], 17), v[1] ^= v[2], v[2] = sip_rotl(v[2], 32);
}
/* The hash of n words. */
static inline u64 siphash_words(const u64 *w, int n, const siphash_key_t *k)
{
    u64 v[4] = {k->key[0] ^ 0x736f6d6570736575ull, k->key[1] ^ 0x646f72616e646f6dull,
                k->key[0] ^ 0x6c7967656e657261ull, k->key[1] ^ 0x7465646279746573ull};

    for (int i = 0; i <= n; i++) {
        u64 m = i < n ? w[i] : (u64)(n * 8) << 56;

        v[3] ^= m;
        sip_round(v);
        sip_round(v);
        v[0] ^= m;
    }
    v[2] ^= 0xff;
    for (int i = 0; i < 4; i++)
        sip_round(v);
    return v[0] ^ v[1] ^ v[2] ^ v[3];
}

#endif
