/* SPDX-License-Identifier: MIT */
#ifndef SLUICE_TESTS_CAMPAIGN_H
#define SLUICE_TESTS_CAMPAIGN_H
/* Many scenarios, in several processes: so many seeds, or new ones until the time is over. */

#include "scenario.h"

struct campaign {
    u64 first, count;   /* seeds first .. first + count - 1; count 0: on and on */
    long seconds;       /* 0: no limit */
    bool progress;      /* say how far it is: on a terminal each second, else each ten */
};

struct campaign_result {
    struct sim_totals totals; /* of the scenarios that held */
    u64 failed_seed;
    char why[1100];           /* of the lowest seed that failed or crashed; empty: none */
    bool interrupted;         /* by SIGINT or SIGTERM: what was running was finished */
};

/* inet_init() is done here. True: all held. */
bool campaign_run(const struct campaign *c, struct campaign_result *res);
/* What failed, and the command that shows it again. */
void campaign_explain(FILE *out, const struct campaign_result *res);

#endif
