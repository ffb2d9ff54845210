/* SPDX-License-Identifier: MIT */
/* What random scenarios have found, each cut down to the least that shows it. */

#include "../../stack/ipv4/ip.h"
#include "scenario.h"
#include <criterion/criterion.h>

#define FEATURES (NETIF_F_SG | NETIF_F_HW_CSUM | NETIF_F_TSO | NETIF_F_NOWIRE | NETIF_F_GRO)

/* Two hosts, one link, one connection on which the client writes `bytes`. */
static struct scenario one_way(u64 bytes)
{
    struct host_plan host = {.timestamps = true, .sack = true, .wscale = true, .frto = 2, .recovery = 1, .early_retrans = 3, .autocorking = 1};
    struct side side = {.ca = "cubic", .write_max = 65535, .read_max = 65535, .ending = END_SHUTDOWN};
    struct scenario sc = {.seed = 1, .hosts = 2, .links = 1, .conns = 1, .host = {host, host}, .backlog = 5, .link_host = {{0, 1}},
                          .link = {{.delay_ns = 10 * NSEC_PER_MSEC, .features = FEATURES}},
                          .conn = {{.client = 0, .server = 1, .side = {side, side}}}};

    sc.conn[0].side[0].bytes = bytes;
    conn_find_path(&sc, &sc.conn[0]);
    return sc;
}

static struct scenario_result play(const struct scenario *sc)
{
    struct scenario_result res;

    inet_init();
    cr_assert(scenario_run(sc, &res), "%s", res.why);
    return res;
}

/* A segment that was joined with its predecessor on the receive queue was measured with length 0: the buffer seemed
 * to hold one byte of payload in 256, and the window stayed at 95 bytes (skb_try_coalesce, tcp_measure_rcv_mss). */
Test(sim_found, joined_segments_do_not_shrink_the_window)
{
    struct scenario sc = one_way(60000);

    sc.clean = true; /* says how long it may take */
    sc.host[0].wscale = false;
    sc.link[0].delay_ns = 11 * NSEC_PER_USEC;
    sc.conn[0].side[0].bytes = 101222;
    sc.conn[0].side[0].ca = "bbr";
    sc.conn[0].side[0].write_max = 16338;
    sc.conn[0].side[0].read_max = 124;
    sc.conn[0].side[0].ending = sc.conn[0].side[1].ending = END_CLOSE;
    sc.conn[0].side[1].rcvbuf = 12269;
    sc.conn[0].side[1].read_max = 849;
    sc.conn[0].side[1].bytes = 61442;
    sc.conn[0].side[1].write_max = 40018;
    sc.conn[0].side[1].ca = "bbr";
    cr_assert_lt(play(&sc).segments, 400);
}

/* An MTU probe did not wait for its pacing time (tcp_mtu_probe). */
Test(sim_found, mtu_probe_waits_for_pacing)
{
    struct scenario sc = one_way(3000000);

    sc.conn[0].side[0].ca = "bbr";
    sc.conn[0].side[0].max_pacing = 200000;
    sc.link[0].mtu = 1500;
    sc.link[0].features = 0;
    sc.events = 1;
    sc.event[0] = (struct event){.at = NSEC_PER_SEC, .kind = EV_PATH_MTU, .value = 1200};
    play(&sc);
}

/* fq did not tell the socket that it does the pacing, and TCP went on pacing itself (fq_classify). */
Test(sim_found, fq_takes_over_the_pacing)
{
    struct scenario sc = one_way(400000);

    sc.host[0].qdisc = FQ;
    sc.conn[0].side[0].max_pacing = 100000;
    cr_assert_gt(play(&sc).feature[F_FQ_HELD], 20);
    sc.host[0].qdisc = PFIFO_FAST;
    cr_assert_eq(play(&sc).feature[F_FQ_HELD], 0);
}

/* A packet that the queueing discipline dropped woke its own socket, which had a retransmission waiting below: it sent
 * the same again at once, for as long as the queue was full (tcp_tsq_drain). */
Test(sim_found, a_local_drop_is_not_tried_again_at_once)
{
    struct scenario sc = one_way(400000);

    sc.conn[0].side[0].ca = "bbr";
    sc.host[0].qdisc = TBF;
    sc.host[0].tbf_rate = 95822;
    sc.link[0] = (struct link_config){.delay_ns = 6000, .mtu = 9000, .features = NETIF_F_SG | NETIF_F_HW_CSUM | NETIF_F_GRO, .loss_ppm = 50000};
    for (sc.link[0].seed = 1; sc.link[0].seed <= 20; sc.link[0].seed++)
        play(&sc);
}
