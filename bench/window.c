/* SPDX-License-Identifier: MIT */
/* window [SEGMENTS [REPEATS]]: what an ACK costs a sender with so many segments in flight, and an early segment a
 * receiver: nanoseconds of CPU, the least of the repeats. No network: the peer's segments are made up. */
#include "../tests/lib/window.h"

int main(int argc, char **argv)
{
    u32 segments = argc > 1 ? (u32)atoi(argv[1]) : 12000, repeats = argc > 2 ? (u32)atoi(argv[2]) : 3;

    if (segments < 100 || segments > 100000 || !repeats) {
        fputs("usage: window [SEGMENTS (100 to 100000) [REPEATS]]\n", stderr);
        return 1;
    }
    printf("%u segments\n", segments);
    for (int c = 0; c < WINDOW_CASES; c++) {
        double best = 1e18;

        for (u32 i = 0; i < repeats; i++)
            best = min(best, window_cost((enum window_case)c, segments));
        printf("%-32s %10.0f ns\n", window_case_name[c], best);
        fflush(stdout);
    }
    return 0;
}
