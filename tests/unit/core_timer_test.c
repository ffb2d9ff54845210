/* SPDX-License-Identifier: MIT */
/* Timers: order, lazy keys, stopping, and the simulation that runs them. */

#include "../lib/simnet.h"
#include <criterion/criterion.h>

static struct sim *sim;
static struct net *net;

struct probe {
    struct timer_list t;
    u64 fired;
    int count;
    u64 again; /* re-arm in its function */
};

static void fire(struct timer_list *t)
{
    struct probe *p = container_of(t, struct probe, t);

    p->fired = net_now(net);
    p->count++;
    if (p->again)
        mod_timer(t, net_now(net) + p->again);
}

static void setup(void)
{
    sim = sim_create(1);
    net = sim_net(sim);
}
static void teardown(void)
{
    sim_assert_home(net);
    sim_destroy(sim);
}
TestSuite(core_timer, .init = setup, .fini = teardown);

Test(core_timer, fires_when_due_in_order)
{
    struct probe p[200] = {0};

    for (int i = 0; i < 200; i++) {
        timer_setup(&p[i].t, net, fire);
        cr_assert(!mod_timer(&p[i].t, sim->now + 1 + (u64)(i * 7919 % 200)));
    }
    cr_assert_eq(net_timers_pending(net), 200);
    while (sim_step(sim))
        ;
    for (int i = 0; i < 200; i++)
        cr_assert_eq(p[i].fired, NSEC_PER_SEC + 1 + (u64)(i * 7919 % 200));
}

Test(core_timer, moving_later_and_nearer)
{
    struct probe p = {0};
    u64 t0 = sim->now;

    timer_setup(&p.t, net, fire);
    mod_timer(&p.t, t0 + 100);
    cr_assert(mod_timer(&p.t, t0 + 1000)); /* later: lazy */
    cr_assert_eq(net_next_timer(net), t0 + 1000);
    sim_run_until(sim, t0 + 500);
    cr_assert_eq(p.count, 0);
    cr_assert(mod_timer(&p.t, t0 + 600)); /* nearer */
    sim_run_until(sim, t0 + 2000);
    cr_assert_eq(p.fired, t0 + 600);
    cr_assert_eq(p.count, 1);
}

Test(core_timer, stopped_timers_do_not_fire)
{
    struct probe p = {0}, q = {0};

    timer_setup(&p.t, net, fire);
    timer_setup(&q.t, net, fire);
    cr_assert(!del_timer(&p.t));
    mod_timer(&p.t, sim->now + 10);
    mod_timer(&q.t, sim->now + 20);
    cr_assert(del_timer(&p.t));
    cr_assert(!del_timer(&p.t));
    cr_assert(del_timer_sync(&q.t));
    cr_assert_eq(q.t.idx, 0);
    cr_assert_eq(net_next_timer(net), UINT64_MAX);
    mod_timer(&p.t, sim->now + 30); /* stopped lazily, then armed again */
    sim_run_for(sim, 100);
    cr_assert_eq(p.count, 1);
    cr_assert_eq(q.count, 0);
}

Test(core_timer, rearms_itself_and_removal_in_the_middle)
{
    struct probe p = {.again = 5}, q[64] = {0};

    timer_setup(&p.t, net, fire);
    mod_timer(&p.t, sim->now + 5);
    for (int i = 0; i < 64; i++) {
        timer_setup(&q[i].t, net, fire);
        mod_timer(&q[i].t, sim->now + 1000 + (u64)(i * 37 % 64));
    }
    for (int i = 0; i < 64; i += 3)
        del_timer_sync(&q[i].t);
    sim_run_for(sim, 100);
    cr_assert_eq(p.count, 20);
    del_timer(&p.t);
    sim_run_for(sim, 2000);
    for (int i = 0; i < 64; i++)
        cr_assert_eq(q[i].count, i % 3 ? 1 : 0);
}

Test(core_timer, a_blocking_call_sleeps_until_its_deadline_or_a_wake_up)
{
    struct waiter *w = net->ops->current_waiter(net);
    u64 t0 = sim->now;

    waiter_prepare(w);
    cr_assert_eq(net->ops->wait(net, w, t0 + 12345), 0);
    cr_assert_eq(sim->now, t0 + 12345);
    waiter_prepare(w);
    sim_at(sim, t0 + 20000, (void (*)(void *))waiter_wake, w);
    cr_assert_eq(net->ops->wait(net, w, UINT64_MAX), 0);
    cr_assert_eq(sim->now, t0 + 20000);
}
