/* SPDX-License-Identifier: MIT */
/* simtool soak SECONDS [FIRST]   scenarios with new seeds until the time is over or one fails
 * simtool run SEED               one scenario, described
 * simtool theory FILE            congestion control against theory: the table's rows, measured
 * simtool sample NAME            samples of one or two flows for the plots, as CSV */

#include "../../stack/ipv4/ip.h"
#include "bulk.h"
#include "scenario.h"
#include "theory.h"
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static bool run_one(u64 seed, bool tell)
{
    struct scenario sc = scenario_draw(seed);
    struct scenario_result res;
    bool ok;

    if (tell)
        scenario_describe(&sc);
    ok = scenario_run(&sc, &res);
    if (!ok) {
        if (!tell)
            scenario_describe(&sc);
        fprintf(stderr, "SIM_SEED=%llu failed: %s\nAgain: SIM_SEED=%llu build/tests/sim/scenario_test (SIM_TRACE=1: each segment)\n",
                (unsigned long long)seed, res.why, (unsigned long long)seed);
    } else if (tell) {
        printf("%.3f virtual seconds, %llu bytes, %llu segments, %llu retransmitted, %llu time-outs\n",
               (double)res.virtual_ns / NSEC_PER_SEC, (unsigned long long)res.bytes, (unsigned long long)res.segments,
               (unsigned long long)res.retransmitted, (unsigned long long)res.timeouts);
    }
    return ok;
}

/* One process's share: every step-th seed. Exit status 0: all held. */
static int soak(u64 first, u64 step, time_t end, bool tell)
{
    time_t told = time(NULL);
    u64 n = 0, seed;

    for (seed = first; time(NULL) < end; seed += step, n++) {
        if (!run_one(seed, false))
            return 1;
        if (tell && time(NULL) >= told + 10) {
            told = time(NULL);
            printf("seed %llu: about %llu scenarios held, %ld s left\n", (unsigned long long)seed, (unsigned long long)(n * step),
                   (long)(end - told));
            fflush(stdout);
        }
    }
    printf("%llu scenarios held (seeds %llu to %llu, each %llu.)\n", (unsigned long long)n, (unsigned long long)first,
           (unsigned long long)(seed - step), (unsigned long long)step);
    return 0;
}

static int soak_all(long seconds, u64 first)
{
    long jobs = max(sysconf(_SC_NPROCESSORS_ONLN), 1l);
    time_t end = time(NULL) + seconds;
    int failed = 0, status;

    printf("New seeds from %llu on, %ld processes, %ld s.\n", (unsigned long long)first, jobs, seconds);
    fflush(stdout);
    pid_t pids[64];
    jobs = min(jobs, 64l);
    for (long i = 0; i < jobs; i++) {
        pids[i] = fork();
        if (!pids[i])
            _exit((fflush(stdout), soak(first + (u64)i, (u64)jobs, end, i == 0)) | fflush(stdout));
    }
    for (long i = 0; i < jobs; i++)
        if (wait(&status) > 0 && status && !failed) {
            failed = 1;
            for (long k = 0; k < jobs; k++)
                kill(pids[k], SIGTERM);
        }
    return failed;
}

int main(int argc, char **argv)
{
    inet_init();
    if (argc >= 3 && !strcmp(argv[1], "soak")) /* seeds of today that make test does not use */
        return soak_all(atol(argv[2]), argc > 3 ? strtoull(argv[3], NULL, 0) : (u64)time(NULL) * 1000);
    if (argc == 3 && !strcmp(argv[1], "run"))
        return !run_one(strtoull(argv[2], NULL, 0), true);
    if (argc == 3 && !strcmp(argv[1], "theory"))
        return theory_run(argv[2], false, NULL) != 0;
    if (argc == 3 && !strcmp(argv[1], "sample"))
        return bulk_sample(argv[2], stdout);
    fprintf(stderr, "usage: simtool soak SECONDS [FIRST] | run SEED | theory FILE | sample NAME\n");
    return 125;
}
