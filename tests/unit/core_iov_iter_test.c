/* SPDX-License-Identifier: MIT */
/* The program's buffers, walked over; and the names of counters and drop reasons. */

#include "../../stack/core/iov_iter.h"
#include "../../stack/core/mib.h"
#include <criterion/criterion.h>

static char a[4] = "abc", b[1], c[6] = "defgh";
static const struct iovec iov[] = {{a, 3}, {b, 0}, {c, 5}};

Test(core_iov_iter, copy_crosses_segments_and_skips_empty_ones)
{
    struct iov_iter i;
    char out[9] = "";

    iov_iter_init(&i, iov, 3, 8);
    cr_assert_eq(copy_from_iter(out, 8, &i), 8);
    cr_assert_str_eq(out, "abcdefgh");
    cr_assert_eq(iov_iter_count(&i), 0);
    cr_assert_eq(copy_from_iter(out, 1, &i), 0, "nothing is left");
}

Test(core_iov_iter, count_below_the_segments_ends_the_copy)
{
    struct iov_iter i;

    iov_iter_init(&i, iov, 3, 4);
    cr_assert_eq(copy_to_iter("ABCDEFGH", 8, &i), 4);
    cr_assert_str_eq(a, "ABC");
    cr_assert_str_eq(c, "Defgh");
}

Test(core_iov_iter, reverts_back_over_segments)
{
    struct iov_iter i;
    char out[8] = "";

    iov_iter_init(&i, iov, 3, 8);
    iov_iter_advance(&i, 5);
    iov_iter_revert(&i, 4);
    cr_assert_eq(iov_iter_count(&i), 7);
    cr_assert_eq(copy_from_iter(out, 7, &i), 7);
    cr_assert_str_eq(out, "bcdefgh");
}

Test(core_mib, each_counter_and_drop_reason_has_a_name_and_no_other)
{
    for (int f = 0; f < __MIB_MAX; f++)
        for (int g = 0; g < f; g++)
            cr_assert_str_neq(mib_name((enum linux_mib)f), mib_name((enum linux_mib)g));
    cr_assert_str_eq(mib_name(__MIB_MAX), "?");
    for (int r = 0; r < __SKB_DROP_REASON_MAX; r++) {
        cr_assert(*drop_reason_name((enum skb_drop_reason)r));
        cr_assert(*drop_reason_text((enum skb_drop_reason)r));
    }
    cr_assert_str_eq(drop_reason_name(__SKB_DROP_REASON_MAX), "?");
    cr_assert_str_eq(drop_reason_text(__SKB_DROP_REASON_MAX), "?");
}
