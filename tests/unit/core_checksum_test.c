/* SPDX-License-Identifier: MIT */
/* The fast checksum against RFC 1071 taken word by word. */

#include "../../stack/core/checksum.h"
#include "../lib/tcpframe.h"
#include <criterion/criterion.h>

static u8 buf[4096 + 64];

static void setup(void)
{
    u64 x = 1;

    for (size_t i = 0; i < sizeof(buf); i++) {
        x = x * 6364136223846793005ull + 1442695040888963407ull;
        buf[i] = (u8)(x >> 56);
    }
}
TestSuite(core_checksum, .init = setup);

static u16 fast(const u8 *p, size_t len)
{
    return be16toh(ip_compute_csum(p, len));
}

Test(core_checksum, every_length_and_alignment)
{
    for (size_t len = 0; len < 700; len++)
        for (size_t off = 0; off < 9; off++)
            cr_assert_eq(fast(buf + off, len), naive_csum(buf + off, len, 0), "len %zu off %zu", len, off);
    cr_assert_eq(fast(buf, 4096), naive_csum(buf, 4096, 0));
}

Test(core_checksum, all_ones_and_zeros)
{
    memset(buf, 0xff, sizeof(buf));
    for (size_t len = 0; len < 300; len++)
        cr_assert_eq(fast(buf, len), naive_csum(buf, len, 0), "0xff x %zu", len);
    memset(buf, 0, sizeof(buf));
    cr_assert_eq(fast(buf, 299), 0xffff);
}

Test(core_checksum, copy_sums_and_copies)
{
    u8 to[700];

    for (size_t len = 0; len < sizeof(to); len++) {
        memset(to, 0x5a, sizeof(to));
        cr_assert_eq(be16toh(csum_fold(csum_partial_copy(buf + 3, to, len, 0))), naive_csum(buf + 3, len, 0));
        cr_assert(!memcmp(to, buf + 3, len));
        cr_assert(len == sizeof(to) || to[len] == 0x5a);
    }
}

Test(core_checksum, blocks_at_odd_offsets_combine)
{
    for (size_t cut = 0; cut <= 333; cut++) {
        wsum sum = csum_block_add(csum_partial(buf, cut, 0), csum_partial(buf + cut, 333 - cut, 0), cut);

        cr_assert_eq(be16toh(csum_fold(sum)), naive_csum(buf, 333, 0), "cut %zu", cut);
    }
}

Test(core_checksum, pseudo_header)
{
    u16 want = naive_csum(buf, 100, 0x0a00 + 0x0001 + 0xc0a8 + 0xfffe + 6 + 100);
    u16 got = csum_tcpudp_magic(htobe32(0x0a000001), htobe32(0xc0a8fffe), 100, 6, csum_partial(buf, 100, 0));

    cr_assert_eq(be16toh(got), want);
}
