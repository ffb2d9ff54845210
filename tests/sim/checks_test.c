/* SPDX-License-Identifier: MIT */
/* The simulator's own checks: each sees what it is there to see (scenario.h: enum sabotage), and a failing seed is told
 * and fails again, alike. */

#include "../../stack/ipv4/ip.h"
#include "scenario.h"
#include <criterion/criterion.h>

/* One connection, paced by its sender, whose reader is slow: windows fill. */
static struct scenario_result spoilt(enum sabotage what)
{
    struct host_plan host = {.timestamps = true, .sack = true, .wscale = true, .frto = 2, .recovery = 1, .early_retrans = 3};
    struct side side = {.ca = "cubic", .write_max = 65535, .read_max = 5000, .pause_ns = 100 * NSEC_PER_MSEC, .rests = 20, .ending = END_SHUTDOWN};
    struct scenario sc = {.seed = 1, .hosts = 2, .links = 1, .conns = 1, .backlog = 5, .host = {host, host}, .link_host = {{0, 1}},
                          .link = {{.delay_ns = 10 * NSEC_PER_MSEC}}, .conn = {{.client = 0, .server = 1, .side = {side, side}}},
                          .sabotage = what};
    struct scenario_result res, again;

    inet_init();
    sc.conn[0].side[0].bytes = 200000;
    sc.conn[0].side[0].max_pacing = 1000000;
    sc.conn[0].side[1].rcvbuf = 20000;
    conn_find_path(&sc, &sc.conn[0]);
    if (what == NO_PROGRESS) { /* and nobody said that it may fail */
        sc.events = 1;
        sc.event[0] = (struct event){.at = NSEC_PER_SEC / 10, .kind = EV_CUT};
    }
    scenario_run(&sc, &res);
    scenario_run(&sc, &again);
    cr_assert_str_eq(res.why, again.why);
    cr_assert_eq(res.digest, again.digest);
    return res;
}

static void sees(enum sabotage what, const char *text)
{
    struct scenario_result res = spoilt(what);

    cr_assert(strstr(res.why, text), "it should see \"%s\", and said: %s", text, res.why[0] ? res.why : "all is well");
}

Test(sim_checks, nothing_spoilt_is_sound)
{
    struct scenario_result res = spoilt(SOUND);

    cr_assert_str_eq(res.why, "");
    cr_assert_gt(res.feature[F_AT_EDGE], 0);
    cr_assert_gt(res.feature[F_CHECKED_STAMP], 0);
    cr_assert_gt(res.feature[F_CHECKED_RATE], 0);
}

Test(sim_checks, wrong_byte) { sees(WRONG_BYTE, "is wrong"); }
Test(sim_checks, byte_delivered_twice) { sees(BYTE_TWICE, "is wrong"); }
Test(sim_checks, byte_never_delivered) { sees(BYTE_MISSING, "is wrong"); }
Test(sim_checks, sent_beyond_the_window) { sees(WINDOW_OVERRUN, "beyond the highest window"); }
Test(sim_checks, sent_before_its_departure_time) { sees(SENT_TOO_EARLY, "before their departure time"); }
Test(sim_checks, sent_faster_than_the_maximum_pacing_rate) { sees(ABOVE_MAX_PACING, "too early for"); }
Test(sim_checks, sk_buff_that_does_not_come_home) { sees(SKB_LOST, "not home: 1 sk_buffs"); }
Test(sim_checks, timer_that_is_left) { sees(TIMER_LEFT, "1 timers pending"); }
Test(sim_checks, no_progress) { sees(NO_PROGRESS, "no progress for"); }
