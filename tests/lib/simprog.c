/* SPDX-License-Identifier: MIT */
#include "simprog.h"
#include <sys/mman.h>
#include <ucontext.h>

/* ThreadSanitizer must be told of stacks that change. */
#ifdef __SANITIZE_THREAD__
#include <sanitizer/tsan_interface.h>
#define fiber_new() __tsan_create_fiber(0)
#define fiber_self() __tsan_get_current_fiber()
#define fiber_enter(f) __tsan_switch_to_fiber(f, 0)
#define fiber_end(f) __tsan_destroy_fiber(f)
#else
#define fiber_new() NULL
#define fiber_self() NULL
#define fiber_enter(f) ((void)(f))
#define fiber_end(f) ((void)(f))
#endif

#define STACK_BYTES (256 * 1024) /* pages that are not touched cost nothing */

struct sim_program {
    struct sim_program *next;
    struct sim *sim;
    struct net *net;
    void (*fn)(void *arg);
    void *arg;
    struct waiter waiter;
    u64 deadline;         /* parked until woken or then */
    struct waiter *waits; /* what it is parked on; NULL: runs at once */
    bool done;
    ucontext_t ctx, back;
    void *stack;
    void *fiber, *main_fiber;
};

static void program_main(unsigned int high, unsigned int low)
{
    struct sim_program *p = (struct sim_program *)(((uintptr_t)high << 32) | low);

    p->fn(p->arg);
    p->done = true;
    fiber_enter(p->main_fiber);
    swapcontext(&p->ctx, &p->back);
}

void sim_spawn(struct sim *sim, struct net *net, void (*fn)(void *arg), void *arg)
{
    struct sim_program *p = calloc(1, sizeof(*p)), **at;

    if (!p || getcontext(&p->ctx))
        abort();
    p->sim = sim;
    p->net = p->waiter.net = net;
    p->fn = fn;
    p->arg = arg;
    p->fiber = fiber_new();
    p->stack = mmap(NULL, STACK_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);
    if (p->stack == MAP_FAILED)
        abort();
    p->ctx.uc_stack = (stack_t){.ss_sp = p->stack, .ss_size = STACK_BYTES};
    makecontext(&p->ctx, (void (*)(void))program_main, 2, (unsigned int)((uintptr_t)p >> 32), (unsigned int)(uintptr_t)p);
    for (at = &sim->programs; *at; at = &(*at)->next)
        ;
    *at = p;
}

struct waiter *sim_program_waiter(struct sim *sim, struct net *net)
{
    sim->running->waiter.net = net;
    return &sim->running->waiter;
}

int sim_program_park(struct sim *sim, struct waiter *w, u64 deadline_ns)
{
    struct sim_program *p = sim->running;

    p->waits = w;
    p->deadline = deadline_ns;
    sim->running = NULL;
    fiber_enter(p->main_fiber);
    swapcontext(&p->ctx, &p->back);
    p->waits = NULL;
    return 0;
}

void sim_sleep(struct sim *sim, u64 ns)
{
    struct waiter none = {.net = sim->running->net};

    sim_program_park(sim, &none, sim->now + ns);
}

static bool runnable(const struct sim_program *p)
{
    return !p->done && (!p->waits || atomic_load(&p->waits->woken) || p->deadline <= p->sim->now);
}

static void resume(struct sim_program *p)
{
    p->sim->running = p;
    net_tick(p->net);
    p->main_fiber = fiber_self();
    fiber_enter(p->fiber);
    swapcontext(&p->back, &p->ctx);
    p->sim->running = NULL;
}

int sim_run_programs(struct sim *sim, bool (*go_on)(void *arg), void *arg)
{
    for (;;) {
        u64 wish = UINT64_MAX;
        bool ran = false, all = true;

        for (struct sim_program *p = sim->programs; p; p = p->next) {
            if (runnable(p)) {
                resume(p);
                ran = true;
            }
            if (!p->done) {
                all = false;
                wish = min(wish, p->deadline);
            }
        }
        if (all)
            return 1;
        if (!go_on(arg))
            return 0;
        if (ran)
            continue;
        if (wish < sim_next(sim))
            sim_run_until(sim, wish);
        else if (!sim_step(sim))
            return -1;
    }
}

void sim_programs_free(struct sim *sim)
{
    struct sim_program *p;

    while ((p = sim->programs) != NULL) {
        sim->programs = p->next;
        munmap(p->stack, STACK_BYTES);
        fiber_end(p->fiber);
        free(p);
    }
}
