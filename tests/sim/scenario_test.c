/* SPDX-License-Identifier: MIT */
/* Random scenarios, each from one seed (scenario.h says what must hold).
 *
 * SIM_SEED=n runs that one (and says what it is; SIM_TRACE=1: with every segment). SIM_COUNT=n: as many per test,
 * from SIM_FIRST on. */

#include "../../stack/ipv4/ip.h"
#include "scenario.h"
#include <criterion/criterion.h>

#define SCENARIOS 400 /* per test; eight tests */

static void run_seed(u64 seed, bool tell)
{
    struct scenario sc = scenario_draw(seed);
    struct scenario_result res;

    if (tell)
        scenario_describe(&sc);
    if (!scenario_run(&sc, &res)) {
        if (!tell)
            scenario_describe(&sc);
        cr_assert_fail("SIM_SEED=%llu: %s", (unsigned long long)seed, res.why);
    }
    if (tell)
        fprintf(stderr, "  %.3f virtual seconds, %llu segments, %llu retransmitted, %llu time-outs, digest %016llx\n",
                (double)res.virtual_ns / NSEC_PER_SEC, (unsigned long long)res.segments, (unsigned long long)res.retransmitted,
                (unsigned long long)res.timeouts, (unsigned long long)res.digest);
}

static void run_range(u64 which)
{
    const char *one = getenv("SIM_SEED"), *count = getenv("SIM_COUNT"), *first = getenv("SIM_FIRST");
    u64 n = count ? strtoull(count, NULL, 0) : SCENARIOS, from = (first ? strtoull(first, NULL, 0) : 1) + which * n;

    inet_init();
    if (one) {
        if (!which)
            run_seed(strtoull(one, NULL, 0), true);
        return;
    }
    for (u64 seed = from; seed < from + n; seed++)
        run_seed(seed, false);
}

Test(sim_scenario, seeds_0) { run_range(0); }
Test(sim_scenario, seeds_1) { run_range(1); }
Test(sim_scenario, seeds_2) { run_range(2); }
Test(sim_scenario, seeds_3) { run_range(3); }
Test(sim_scenario, seeds_4) { run_range(4); }
Test(sim_scenario, seeds_5) { run_range(5); }
Test(sim_scenario, seeds_6) { run_range(6); }
Test(sim_scenario, seeds_7) { run_range(7); }

/* One seed decides everything: each segment and its time are the same in a second run. */
Test(sim_scenario, same_seed_same_segments)
{
    inet_init();
    for (u64 seed = 1000001; seed < 1000021; seed++) {
        struct scenario sc = scenario_draw(seed);
        struct scenario_result a, b;

        cr_assert(scenario_run(&sc, &a) && scenario_run(&sc, &b), "SIM_SEED=%llu: %s", (unsigned long long)seed, a.why);
        cr_assert(a.digest == b.digest && a.virtual_ns == b.virtual_ns, "SIM_SEED=%llu is not the same twice", (unsigned long long)seed);
    }
}
