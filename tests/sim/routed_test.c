/* SPDX-License-Identifier: MIT */
/* Hosts behind routers (tests/lib/router.c), played by hand-made scenarios: the path's MTU, the shared link, CE marks. */

#include "../../stack/ipv4/ip.h"
#include "scenario.h"
#include <criterion/criterion.h>

/* Hosts 0 and 1 at router 4, hosts 2 and 3 at router 5; 0 writes to 2 and 1 to 3. Link 4 is between the routers. */
static struct scenario dumbbell(u64 bytes)
{
    struct host_plan host = {.timestamps = true, .sack = true, .wscale = true, .frto = 2, .recovery = 1, .early_retrans = 3};
    struct side side = {.ca = "cubic", .write_max = 65535, .read_max = 65535, .ending = END_SHUTDOWN};
    struct scenario sc = {.seed = 1, .hosts = 4, .routers = 2, .links = 5, .conns = 2, .backlog = 5,
                          .link_host = {{0, 4}, {1, 4}, {2, 5}, {3, 5}, {4, 5}}};

    for (int i = 0; i < 6; i++)
        sc.host[i] = host;
    for (int i = 0; i < 5; i++)
        sc.link[i].delay_ns = 2 * NSEC_PER_MSEC;
    for (int i = 0; i < 2; i++) {
        sc.conn[i] = (struct conn_plan){.client = i, .server = i + 2, .side = {side, side}};
        sc.conn[i].side[0].bytes = bytes;
        conn_find_path(&sc, &sc.conn[i]);
    }
    return sc;
}

static struct scenario_result play(const struct scenario *sc)
{
    struct scenario_result res;

    inet_init();
    cr_assert(scenario_run(sc, &res), "%s", res.why);
    return res;
}

Test(sim_routed, two_connections_share_the_link_between_routers)
{
    struct scenario sc = dumbbell(500000);
    struct scenario_result res;

    sc.link[4].rate_bps = 8000000; /* 1 MB: a second at least, and not much more */
    res = play(&sc);
    cr_assert_eq(res.feature[F_SHARED], 2);
    cr_assert_gt(res.feature[F_FORWARDED], 4 * 500000 / 1448);
    cr_assert_geq(res.virtual_ns, NSEC_PER_SEC);
    cr_assert_leq(res.virtual_ns, 2 * NSEC_PER_SEC);
}

Test(sim_routed, router_says_that_a_packet_is_too_long)
{
    struct scenario sc = dumbbell(100000);

    sc.link[4].mtu = 1000;
    cr_assert_gt(play(&sc).feature[F_TOLD], 0);
    cr_assert_eq(play(&sc).feature[F_RTO], 0);
}

Test(sim_routed, silent_router_is_found_by_probing)
{
    struct scenario sc = dumbbell(100000);
    struct scenario_result res;

    sc.link[4].mtu = 1000;
    sc.host[4].silent = sc.host[5].silent = true;
    res = play(&sc);
    cr_assert_eq(res.feature[F_TOLD], 0);
    cr_assert_gt(res.feature[F_RTO], 0);
}

/* An AQM at the bottleneck keeps its queue short without losing anything (RFC 3168), where tail drop loses. */
Test(sim_routed, marks_in_place_of_losses)
{
    struct scenario sc = dumbbell(2000000);
    struct scenario_result res;

    sc.link[4].rate_bps = 8000000;
    sc.link[4].queue_packets = 60;
    cr_assert_gt(play(&sc).feature[F_QUEUE], 0);
    for (int i = 0; i < 4; i++)
        sc.host[i].ecn = true;
    sc.link[4].ce_threshold_ns = 5 * NSEC_PER_MSEC;
    res = play(&sc);
    cr_assert_gt(res.feature[F_CE_HEARD], 0);
    cr_assert_eq(res.feature[F_QUEUE], 0);
    cr_assert_eq(res.feature[F_RETRANS], 0);
}
