/* SPDX-License-Identifier: MIT */
/* simtool run SEED               one scenario, described (make sim SEED=n)
 * simtool seeds FIRST COUNT      so many scenarios, and what they exercised (make sim SEED=n COUNT=m)
 * simtool soak SECONDS [FIRST]   new seeds until the time is over or one fails (make soak)
 * simtool theory FILE            congestion control against theory: the table's rows, measured
 * simtool sample NAME            samples of one or two flows for the plots, as CSV */

#include "../../stack/ipv4/ip.h"
#include "bulk.h"
#include "campaign.h"
#include "theory.h"
#include <time.h>
#include <unistd.h>

/* Says the same, byte for byte, each time. */
static int run_one(u64 seed)
{
    struct scenario sc = scenario_draw(seed);
    struct scenario_result res;
    bool ok;

    inet_init();
    scenario_describe(&sc);
    ok = scenario_run(&sc, &res);
    printf("%.6f virtual seconds, %llu bytes, %llu segments, %llu retransmitted, %llu time-outs, digest %016llx\n",
           (double)res.virtual_ns / NSEC_PER_SEC, (unsigned long long)res.bytes, (unsigned long long)res.segments,
           (unsigned long long)res.retransmitted, (unsigned long long)res.timeouts, (unsigned long long)res.digest);
    for (int i = 0; i < FEATURES; i++)
        if (res.feature[i])
            printf("  %llu %s\n", (unsigned long long)res.feature[i], feature_text[i]);
    if (!ok)
        printf("FAILED: %s\n", res.why);
    return !ok;
}

static int run_many(const struct campaign *c)
{
    struct campaign_result res;
    bool ok = campaign_run(c, &res);

    totals_print(stdout, &res.totals, "");
    if (res.interrupted && ok)
        printf("Interrupted; all so far held.\n");
    if (!ok)
        campaign_explain(stdout, &res);
    return !ok ? 1 : res.interrupted ? 130 : 0;
}

int main(int argc, char **argv)
{
    if (argc == 3 && !strcmp(argv[1], "run"))
        return run_one(strtoull(argv[2], NULL, 0));
    if (argc == 4 && !strcmp(argv[1], "seeds"))
        return run_many(&(struct campaign){.first = strtoull(argv[2], NULL, 0), .count = strtoull(argv[3], NULL, 0), .progress = true});
    if (argc >= 3 && !strcmp(argv[1], "soak")) { /* by default seeds of now, that make test does not use */
        struct campaign c = {.first = argc > 3 ? strtoull(argv[3], NULL, 0) : (u64)time(NULL) * 1000, .seconds = atol(argv[2]), .progress = true};

        printf("New seeds from %llu on, for %ld s.\n", (unsigned long long)c.first, c.seconds);
        return run_many(&c);
    }
    inet_init();
    if (argc == 3 && !strcmp(argv[1], "theory"))
        return theory_run(argv[2], false, NULL) != 0;
    if (argc == 3 && !strcmp(argv[1], "sample"))
        return bulk_sample(argv[2], stdout);
    fprintf(stderr, "usage: simtool run SEED | seeds FIRST COUNT | soak SECONDS [FIRST] | theory FILE | sample NAME\n");
    return 125;
}
