/* SPDX-License-Identifier: MIT */
#include "campaign.h"
#include "../../stack/ipv4/ip.h"
#include <poll.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define JOBS_MAX 64
#define HANG_S 300 /* of real time for one scenario: it hangs, and its seed is told */

#if defined(__SANITIZE_ADDRESS__)
#define BUILT_WITH " SAN=address"
#elif defined(__SANITIZE_THREAD__)
#define BUILT_WITH " SAN=thread"
#else
#define BUILT_WITH ""
#endif

struct report { /* of a process, at its end */
    struct sim_totals totals;
    u64 failed_seed;
    char why[1024];
};

struct shared { /* by all processes */
    _Atomic u64 done, seed[JOBS_MAX]; /* seed: which it is at */
};

struct job {
    pid_t pid;
    int pipe;
    size_t got;
    struct report report;
};

static volatile sig_atomic_t stop;

static void on_signal(int sig) { stop = sig; }

static void catch_signals(void)
{
    struct sigaction sa = {.sa_handler = on_signal};

    sigaction(SIGINT, &sa, NULL);
    sigaction(SIGTERM, &sa, NULL);
}

static u64 seconds_now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (u64)t.tv_sec;
}

/* Every step-th seed. */
static void work(const struct campaign *c, struct shared *sh, int i, int step, u64 end, int out)
{
    struct report *rep = calloc(1, sizeof(*rep));

    for (u64 n = (u64)i; (!c->count || n < c->count) && (!end || seconds_now() < end) && !stop; n += (u64)step) {
        struct scenario sc = scenario_draw(c->first + n);
        struct scenario_result res;

        atomic_store(&sh->seed[i], c->first + n);
        alarm(HANG_S);
        if (!scenario_run(&sc, &res)) {
            rep->failed_seed = c->first + n;
            memcpy(rep->why, res.why, sizeof(rep->why));
            break;
        }
        totals_add(&rep->totals, &res);
        atomic_fetch_add(&sh->done, 1);
    }
    for (size_t at = 0; at < sizeof(*rep);) {
        ssize_t n = write(out, (char *)rep + at, sizeof(*rep) - at);

        if (n < 0)
            break;
        at += (size_t)n;
    }
    _exit(0);
}

static void note_failure(struct campaign_result *res, u64 seed, const char *why)
{
    if (res->why[0] && seed > res->failed_seed)
        return;
    res->failed_seed = seed;
    snprintf(res->why, sizeof(res->why), "%s", why);
}

/* A process has ended. */
static void collect(struct job *j, const struct shared *sh, int i, struct campaign_result *res)
{
    char text[64];
    int status;

    close(j->pipe);
    j->pipe = -1;
    while (waitpid(j->pid, &status, 0) < 0)
        ;
    totals_join(&res->totals, &j->report.totals);
    if (j->report.why[0])
        note_failure(res, j->report.failed_seed, j->report.why);
    if (j->got == sizeof(j->report))
        return;
    if (WIFSIGNALED(status) && WTERMSIG(status) == SIGALRM)
        snprintf(text, sizeof(text), "it hangs");
    else if (WIFSIGNALED(status))
        snprintf(text, sizeof(text), "it crashes: %s", strsignal(WTERMSIG(status)));
    else
        snprintf(text, sizeof(text), "it ends the process, exit status %d", WEXITSTATUS(status));
    note_failure(res, atomic_load(&sh->seed[i]), text);
}

static void say_progress(const struct campaign *c, const struct shared *sh, u64 start, bool last)
{
    static u64 told;
    u64 now = seconds_now(), passed = now - start;
    bool tty = isatty(STDERR_FILENO);
    char of[64] = "";

    if (!c->progress || (!last && now < told + (tty ? 1 : 10)))
        return;
    told = now;
    if (c->count)
        snprintf(of, sizeof(of), " of %llu", (unsigned long long)c->count);
    else if (c->seconds)
        snprintf(of, sizeof(of), " (%llu s left)", (unsigned long long)(passed < (u64)c->seconds ? (u64)c->seconds - passed : 0));
    if (tty && last)
        fprintf(stderr, "\r\033[K");
    else if (!last && passed)
        fprintf(stderr, "%s%llu scenarios held%s in %llu s%s", tty ? "\r\033[K" : "", (unsigned long long)atomic_load(&sh->done), of,
                (unsigned long long)passed, tty ? "" : "\n");
}

static void start_jobs(const struct campaign *c, struct shared *sh, struct job *jobs, int n, u64 end)
{
    int p[2];

    fflush(NULL);
    for (int i = 0; i < n; i++) {
        if (pipe(p))
            abort();
        jobs[i].pid = fork();
        if (!jobs[i].pid) {
            close(p[0]);
            work(c, sh, i, n, end, p[1]);
        }
        close(p[1]);
        jobs[i].pipe = p[0];
    }
}

bool campaign_run(const struct campaign *c, struct campaign_result *res)
{
    struct shared *sh = mmap(NULL, sizeof(*sh), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    int n = (int)min(max(sysconf(_SC_NPROCESSORS_ONLN), 1l), (long)JOBS_MAX), left = n;
    struct job *jobs = calloc((size_t)n, sizeof(*jobs));
    struct pollfd fds[JOBS_MAX];
    u64 start = seconds_now();
    bool told = false;

    *res = (struct campaign_result){0};
    inet_init();
    stop = 0;
    catch_signals();
    start_jobs(c, sh, jobs, n, c->seconds ? start + (u64)c->seconds : 0);
    while (left) {
        for (int i = 0; i < n; i++)
            fds[i] = (struct pollfd){.fd = jobs[i].pipe, .events = POLLIN};
        poll(fds, (nfds_t)n, 1000);
        say_progress(c, sh, start, false);
        for (int i = 0; i < n; i++) {
            struct job *j = &jobs[i];
            ssize_t got;

            if (j->pipe < 0 || !fds[i].revents)
                continue;
            got = read(j->pipe, (char *)&j->report + j->got, sizeof(j->report) - j->got);
            if (got > 0) {
                j->got += (size_t)got;
                continue;
            }
            collect(j, sh, i, res);
            left--;
        }
        if ((stop || res->why[0]) && !told)
            for (int i = 0; i < n; i++)
                if (jobs[i].pipe >= 0)
                    kill(jobs[i].pid, SIGTERM);
        told |= stop || res->why[0];
    }
    say_progress(c, sh, start, true);
    res->interrupted = stop != 0;
    free(jobs);
    munmap(sh, sizeof(*sh));
    return !res->why[0];
}

void campaign_explain(FILE *out, const struct campaign_result *res)
{
    fprintf(out, "seed %llu failed: %s\nThe same again, described: make sim SEED=%llu%s   (SIM_TRACE=1 make ...: each segment)\n",
            (unsigned long long)res->failed_seed, res->why, (unsigned long long)res->failed_seed, BUILT_WITH);
}
