/* SPDX-License-Identifier: MIT */
/* Random scenarios, each from one seed (scenario.h says what must hold). make sim SEED=n runs one alone. */

#include "../../stack/ipv4/ip.h"
#include "campaign.h"
#include <criterion/criterion.h>

#define SCENARIOS 3200
#define AT_LEAST 3 /* scenarios that exercise each feature: else a check is vacuous */

Test(sim_scenario, thousands_hold_and_exercise_every_feature)
{
    struct campaign_result res;

    if (!campaign_run(&(struct campaign){.first = 1, .count = SCENARIOS}, &res)) {
        campaign_explain(stdout, &res);
        fflush(stdout);
        cr_assert_fail("seed %llu: %s", (unsigned long long)res.failed_seed, res.why);
    }
    totals_print(stdout, &res.totals, "# ");
    fflush(stdout);
    cr_assert_eq(res.totals.scenarios, SCENARIOS);
    for (int i = 0; i < FEATURES; i++)
        cr_expect_geq(res.totals.in_scenarios[i], AT_LEAST, "nothing exercises: %s", feature_text[i]);
}

/* One seed decides everything: each segment and its time are the same in a second run. */
Test(sim_scenario, same_seed_same_segments)
{
    inet_init();
    for (u64 seed = 1000001; seed < 1000041; seed++) {
        struct scenario sc = scenario_draw(seed);
        struct scenario_result a, b;

        cr_assert(scenario_run(&sc, &a) && scenario_run(&sc, &b), "seed %llu: %s", (unsigned long long)seed, a.why);
        cr_assert(a.digest == b.digest && a.virtual_ns == b.virtual_ns && !memcmp(a.feature, b.feature, sizeof(a.feature)),
                  "seed %llu is not the same twice", (unsigned long long)seed);
    }
}
