/* SPDX-License-Identifier: MIT */
/* The end of a process: exit(), _exit(), _Exit(), quick_exit(), and the library's destructor, which exit()
 * runs behind the program's own handlers. Connections go to the kernel, which ends them as it ends those of
 * any process: what was closed is finished, what is open is closed. */

#include "exit.h"
#include "../stack/core/net.h"
#include "config.h"
#include "fork.h"
#include "handover.h"
#include "runtime.h"
#include "stats.h"
#include "trace.h"
#include <sched.h>

bool shim_exiting;

#define EXIT_LINGER_NS (2 * NSEC_PER_MSEC) /* for answers that are on their way already */
#define EXIT_DRAIN_NS (3 * NSEC_PER_SEC)   /* when the kernel cannot take over */

static bool is_orphan(struct file *f) { return atomic_load(&f->state) == FILE_ORPHAN; }

static bool any_orphan(void)
{
    struct file **v;
    size_t n = file_collect(is_orphan, &v);
    for (size_t i = 0; i < n; i++)
        fput(v[i]);
    free(v);
    return n != 0;
}

/* Run the network until no closed connection is unfinished, at most that long. */
static void drain(u64 ns)
{
    for (u64 until = clock_ns_now() + ns; any_orphan() && clock_ns_now() < until;) {
        net_drive();
        if (ns > 10 * EXIT_LINGER_NS)
            usleep(200);
        else
            sched_yield();
    }
}

static bool is_open(struct file *f) { return atomic_load(&f->state) == FILE_STACK; }
static bool is_listener(struct file *f) { return atomic_load(&f->state) == FILE_LISTEN_BOTH; }

/* Without the privilege to hand over: end what is open as close() would, and wait for the peers. */
static void close_in_stack(void)
{
    struct file **v;
    size_t n = file_collect(is_open, &v);
    for (size_t i = 0; i < n; i++) {
        if (v[i]->private_data)
            v[i]->private_data->ops->shutdown(v[i]->private_data, SHUT_RDWR);
        fput(v[i]);
    }
    free(v);
    for (u64 until = clock_ns_now() + 50 * NSEC_PER_MSEC; n && clock_ns_now() < until; usleep(200))
        net_drive();
    drain(EXIT_DRAIN_NS);
}

/* Accepted by the stack but not by the program: reset, as the kernel does when a listener goes. */
static void end_listeners(void)
{
    struct file **v;
    size_t n = file_collect(is_listener, &v);
    for (size_t i = 0; i < n; i++) {
        struct socket *sock = v[i]->private_data;
        handover_file(v[i], "its program ends");
        if (sock && atomic_load(&v[i]->state) == FILE_LISTEN_BOTH)
            sock->ops->shutdown(sock, SHUT_RD);
        fput(v[i]);
    }
    free(v);
}

void shim_at_exit(const char *why)
{
    static _Atomic bool done;
    static pid_t done_by; /* a fork child of an ending process ends on its own */
    if (shim_bypass() || !fd_file || (atomic_exchange(&done, true) && done_by == getpid()))
        return;
    done_by = getpid();
    WRITE_ONCE(shim_exiting, true);
    int saved = errno;
    SHIM_ENTER();
    fork_let_go_all(false, false);
    if (stack_active) {
        drain(EXIT_LINGER_NS);
        end_listeners();
        int failed = handover_all(is_open, why);
        handover_orphans_at_exit();
        if (failed || any_orphan())
            close_in_stack();
    }
    trace_at_exit();
    char path[OPTION_PATH_MAX + 16];
    if (sluice_config.stats[0] && stats_worth_writing() && !config_expand_path(sluice_config.stats, path, sizeof(path))) {
        int rc = stats_write_file(path);
        if (rc)
            shim_warn("the statistics could not be written to %s: %s", path, strerror(-rc));
    }
    SHIM_LEAVE(); /* no handler of the program's any more */
    errno = saved;
}

__attribute__((destructor)) static void unload(void) { shim_at_exit("its program ends"); }

SHIM_EXPORT void _exit(int status)
{
    shim_at_exit("its program ends");
    real__exit(status);
    __builtin_unreachable();
}

SHIM_EXPORT void _Exit(int status)
{
    shim_at_exit("its program ends");
    real__Exit(status);
    __builtin_unreachable();
}

/* Handlers registered by at_quick_exit() run after this: what they use is the kernel's by then. */
SHIM_EXPORT void quick_exit(int status)
{
    shim_at_exit("its program ends");
    real_quick_exit(status);
    __builtin_unreachable();
}
