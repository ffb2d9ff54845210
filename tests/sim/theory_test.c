/* SPDX-License-Identifier: MIT */
/* Congestion control against theory: the quick rows of theory.tsv (make theory measures all of them). */

#include "../../stack/ipv4/ip.h"
#include "theory.h"
#include <criterion/criterion.h>

Test(sim_theory, quick_rows_hold)
{
    struct theory_failure fails = {{0}};

    inet_init();
    cr_assert_eq(theory_run("tests/sim/theory.tsv", true, &fails), 0, "%s", fails.text);
}
