/* SPDX-License-Identifier: MIT */
/* What a segment from the peer costs does not grow with the window: not while one packet in a hundred is lost, and not
 * when a peer scatters SACK blocks or bytes all over it (CVE-2018-5390, CVE-2019-11478 were about this). CPU time is
 * measured, so a neighbour on the processor may spoil one attempt; it does not make a list as quick as a tree in any. */

#include "../lib/window.h"
#include <criterion/criterion.h>

#define SMALL 1000u
#define LARGE 8000u /* walks along the queue would cost eight times as much, and more beyond the cache */

static void costs_the_same(enum window_case c)
{
    double small = 0, large = 0;

    for (int attempt = 0; attempt < 5; attempt++) {
        small = window_cost(c, SMALL);
        large = window_cost(c, LARGE);
        if (large < 4 * small)
            return;
    }
    cr_assert_fail("%s: %.0f ns each with %u segments, %.0f ns with %u", window_case_name[c], small, SMALL, large, LARGE);
}

Test(tcp_window, ack_in_loss_recovery_costs_the_same) { costs_the_same(WINDOW_LOSS); }
Test(tcp_window, scattered_sack_blocks_cost_the_same) { costs_the_same(WINDOW_ABUSE); }
Test(tcp_window, reordered_data_cost_the_same) { costs_the_same(WINDOW_OFO_RANDOM); }
Test(tcp_window, data_that_come_last_first_cost_the_same) { costs_the_same(WINDOW_OFO_REVERSE); }
Test(tcp_window, single_bytes_between_holes_cost_the_same) { costs_the_same(WINDOW_OFO_TINY); }
