/* SPDX-License-Identifier: MIT */
#ifndef SLUICE_TESTS_THEORY_H
#define SLUICE_TESTS_THEORY_H
/* Congestion control against theory, row by row of theory.tsv, which says what the columns mean. */

#include <stdbool.h>
#include <stddef.h>

struct theory_failure {
    char text[4096];
};
/* Role: measure each row (quick: those that are marked so), print it with its bounds. Returns how many rows do not
 * hold, or -1: the file cannot be read. fails may be NULL. */
int theory_run(const char *file, bool quick, struct theory_failure *fails);

#endif
