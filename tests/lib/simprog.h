/* SPDX-License-Identifier: MIT */
#ifndef SLUICE_TESTS_SIMPROG_H
#define SLUICE_TESTS_SIMPROG_H
/* Programs of a simulation: each has a stack of its own and may block in connect(), accept(), read(), write()
 * and close() as any program does; meanwhile the others run, and when all of them wait, virtual time goes on.
 * One runs at a time, in the order in which they were made, so that everything happens again with the same seed. */

#include "simnet.h"

struct sim_program;

/* A program on a host; it starts with the next sim_run_programs(). May be called by a program. */
void sim_spawn(struct sim *sim, struct net *net, void (*fn)(void *arg), void *arg);
/* Of the calling program: sleep. */
void sim_sleep(struct sim *sim, u64 ns);
/* Role: run all until they have ended (1), or go_on(arg) says no, asked at each step (0), or all wait for what
 * will never come (-1). */
int sim_run_programs(struct sim *sim, bool (*go_on)(void *arg), void *arg);

/* simnet.c: the running program's waiter; and its sleep. */
struct waiter *sim_program_waiter(struct sim *sim, struct net *net);
int sim_program_park(struct sim *sim, struct waiter *w, u64 deadline_ns);
void sim_programs_free(struct sim *sim);

#endif
