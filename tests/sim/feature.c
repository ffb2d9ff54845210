/* SPDX-License-Identifier: MIT */
#include "scenario.h"

const char *const feature_text[FEATURES] = {
#define X(name, text) text,
    FEATURE_LIST(X)
#undef X
};

void totals_add(struct sim_totals *t, const struct scenario_result *res)
{
    t->scenarios++;
    t->bytes += res->bytes;
    t->segments += res->segments;
    t->virtual_s += (double)res->virtual_ns / NSEC_PER_SEC;
    for (int i = 0; i < FEATURES; i++) {
        t->in_scenarios[i] += res->feature[i] != 0;
        t->amount[i] += res->feature[i];
    }
}

void totals_join(struct sim_totals *t, const struct sim_totals *more)
{
    t->scenarios += more->scenarios;
    t->bytes += more->bytes;
    t->segments += more->segments;
    t->virtual_s += more->virtual_s;
    for (int i = 0; i < FEATURES; i++) {
        t->in_scenarios[i] += more->in_scenarios[i];
        t->amount[i] += more->amount[i];
    }
}

void totals_print(FILE *out, const struct sim_totals *t, const char *prefix)
{
    fprintf(out, "%s%llu scenarios held: %.1f hours of virtual time, %.1f MB read, %llu segments. What they exercised:\n",
            prefix, (unsigned long long)t->scenarios, t->virtual_s / 3600, (double)t->bytes / 1e6, (unsigned long long)t->segments);
    fprintf(out, "%s%14s  %9s\n", prefix, "in all", "scenarios");
    for (int i = 0; i < FEATURES; i++)
        fprintf(out, "%s%14llu  %9llu  %s\n", prefix, (unsigned long long)t->amount[i], (unsigned long long)t->in_scenarios[i], feature_text[i]);
}
