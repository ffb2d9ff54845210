/* SPDX-License-Identifier: MIT */
/* HyStart++ (RFC 9406) alone: rounds of RTT samples in, growth and the end of slow start out. */

#include "../../stack/ipv4/tcp_hystart.h"
#include <criterion/criterion.h>

static struct hystartpp h;
static u32 una, nxt;

static void begin(void)
{
    una = 0xfffffff0u; /* across the wrap */
    nxt = una + 100;
    hystartpp_reset(&h, nxt);
}
TestSuite(hystart, .init = begin);

/* One round of n samples. True: slow start ended. */
static bool play_round(int n, u32 rtt_us)
{
    bool end = false;

    for (int i = 0; i < n && !end; i++) {
        una++;
        end = hystartpp_acked(&h, una, nxt, rtt_us);
    }
    una = nxt + 1;
    nxt = una + 100;
    return end;
}

Test(hystart, steady_rtt_stays_in_slow_start)
{
    for (int i = 0; i < 20; i++)
        cr_assert_not(play_round(20, 40000));
    cr_assert_not(h.in_css);
    cr_assert_eq(hystartpp_growth(&h, 5), 5);
}

Test(hystart, growing_rtt_enters_css_at_an_eighth)
{
    play_round(20, 40000);
    play_round(20, 44999);
    cr_assert_not(h.in_css);
    begin();
    play_round(20, 40000);
    play_round(20, 45000);
    cr_assert(h.in_css);
}

Test(hystart, threshold_is_between_4_and_16_ms)
{
    play_round(20, 1000);
    play_round(20, 4999);
    cr_assert_not(h.in_css);
    play_round(20, 8999);
    cr_assert(h.in_css);
    begin();
    play_round(20, 400000);
    play_round(20, 416000);
    cr_assert(h.in_css);
}

Test(hystart, fewer_than_eight_samples_say_nothing)
{
    play_round(20, 40000);
    play_round(7, 90000);
    cr_assert_not(h.in_css);
}

Test(hystart, css_grows_a_quarter)
{
    u32 sum = 0;

    play_round(20, 40000);
    play_round(20, 60000);
    for (int i = 0; i < 40; i++)
        sum += hystartpp_growth(&h, 1);
    cr_assert_eq(sum, 10);
}

Test(hystart, css_ends_slow_start_after_five_rounds)
{
    play_round(20, 40000);
    cr_assert_not(play_round(20, 60000)); /* the round in which CSS begins counts */
    for (int i = 0; i < 4; i++)
        cr_assert_not(play_round(20, 60000), "round %d", i);
    cr_assert(play_round(20, 60000));
}

Test(hystart, css_is_left_when_the_rtt_falls_again)
{
    play_round(20, 40000);
    play_round(20, 60000);
    cr_assert(h.in_css);
    play_round(20, 50000);
    cr_assert_not(h.in_css);
    for (int i = 0; i < 20; i++)
        cr_assert_not(play_round(20, 50000));
}

Test(hystart, an_ack_of_many_counts_for_all_as_in_linux)
{
    cr_assert_eq(hystartpp_growth(&h, 100), 100);
}
