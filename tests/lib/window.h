/* SPDX-License-Identifier: MIT */
#ifndef SLUICE_TESTS_LIB_WINDOW_H
#define SLUICE_TESTS_LIB_WINDOW_H
/* One connection with a very large window, and a peer that does its worst with it: what an ACK (to a sender) or an
 * early segment (to a receiver) costs. bench/window prints it; tests/unit/tcp_window_test.c asserts that it does not
 * grow with the window. */

#include "ipnet.h"

enum window_case {
    WINDOW_LOSS,        /* sender: one segment in a hundred is lost, every other one is SACKed, in order */
    WINDOW_REORDER,     /* sender: segments arrive in an order within which nothing is near its neighbours */
    WINDOW_ABUSE,       /* sender: four SACK blocks of one segment each, anywhere, again and again */
    WINDOW_FLAPPING,    /* sender: half of the window SACKed; each ACK tells all of that anew with other edges */
    WINDOW_OFO_RANDOM,  /* receiver: full segments in any order */
    WINDOW_OFO_REVERSE, /* receiver: the last one first */
    WINDOW_OFO_TINY,    /* receiver: one byte each, none beside another */
    WINDOW_CASES,
};
extern const char *const window_case_name[WINDOW_CASES];

/* `segments` of them in flight (or to be received); nanoseconds of CPU for one of what the peer sends, on average. */
double window_cost(enum window_case c, u32 segments);

#endif
