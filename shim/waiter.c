/* SPDX-License-Identifier: MIT */
/* Who runs the network: the threads that wait for it.
 *
 * Of the threads asleep in net_sleep() one is the poller: it spins for a while, then sleeps in the kernel on
 * the devices' descriptors with the next timer as time-out. The others sleep on their own eventfd; when the
 * poller leaves it hands the role to one of them. With nobody waiting at all, the backstop thread looks
 * after timers and packets about once a millisecond, and when nothing happens it sleeps as well:
 *
 *   TICK   1 ms steps: polls when no application thread has since the last step
 *   WATCH  nobody waits and nothing happens: asleep on the devices and the next timer
 *   DEEP   an application thread has been the poller for a while: asleep until that one leaves
 *
 * Sleeping and waking (Dekker): the sleeper stores `sleeping`, then reads the condition (A); the waker
 * stores the condition, then reads `sleeping` (B); both sequentially consistent, so one sees the other.
 * Signals: all blocked from the look at `deferred` until ppoll() restores the program's mask atomically. */

#include "file.h"
#include "runtime.h"

#include "../netdev/rtnl.h"
#include "../stack/core/log.h"
#include "../stack/core/rcu.h"
#include "config.h"
#include <sys/eventfd.h>
#include <sys/random.h>
#include <sys/syscall.h>
#include <time.h>

#define TICK_NS NSEC_PER_MSEC
#define POLL_BUDGET 64
#define MAX_DEV_FDS 128
#define BACKSTOP_FDS 8
#define BACKSTOP_STACK (256 * 1024)

struct shim_thread {
    struct waiter w; /* first */
    int efd;         /* -1: none to be had, sleeps in short slices */
    _Atomic u32 sleeping;
    _Atomic u32 cancelled;
    bool offered;              /* the role was passed to it; under wait_lock */
    pthread_t self;
    struct cds_list_head node; /* sleepers, under wait_lock */
    struct cds_list_head all;  /* threads, under wait_lock */
};

/* Protects sleepers and threads. May be taken under any lock of the stack; nothing nests in it. */
static pthread_mutex_t wait_lock = PTHREAD_MUTEX_INITIALIZER;
static CDS_LIST_HEAD(sleepers);
static CDS_LIST_HEAD(threads);
static pthread_key_t thread_key;
static pthread_once_t thread_key_once = PTHREAD_ONCE_INIT;

static struct shim_thread *_Atomic poller;
static _Atomic u64 poller_until; /* what the sleeping poller sleeps for at the longest */
static _Atomic u64 last_poll;

enum { BACKSTOP_NONE, BACKSTOP_TICK, BACKSTOP_WATCH, BACKSTOP_DEEP };
static struct {
    _Atomic u32 state;
    _Atomic u64 until; /* in WATCH */
    struct shim_thread *_Atomic thread;
    pthread_mutex_t lock; /* protects fds and the start; callbacks run without it */
    struct backstop_fd {
        int fd;
        bool used;
        void (*fn)(void *arg);
        void *arg;
    } fds[BACKSTOP_FDS];
} backstop = {.lock = PTHREAD_MUTEX_INITIALIZER};

u64 clock_ns_now(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (u64)ts.tv_sec * NSEC_PER_SEC + (u64)ts.tv_nsec;
}

/* ---- a thread's waiter ------------------------------------------------------------------------------------- */

static void thread_exit(void *arg)
{
    struct shim_thread *t = arg;

    SHIM_ENTER();
    pthread_mutex_lock(&wait_lock);
    cds_list_del(&t->all);
    pthread_mutex_unlock(&wait_lock);
    private_close(t->efd);
    shim_tls.thread = NULL;
    free(t);
    SHIM_EXIT();
}

static void make_thread_key(void) { pthread_key_create(&thread_key, thread_exit); }

static struct shim_thread *thread_alloc(void)
{
    struct shim_thread *t = calloc(1, sizeof(*t));

    BUG_ON(!t);
    t->w.net = live_net;
    t->efd = private_fd(eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC));
    t->self = pthread_self();
    CDS_INIT_LIST_HEAD(&t->node);
    pthread_mutex_lock(&wait_lock);
    cds_list_add(&t->all, &threads);
    pthread_mutex_unlock(&wait_lock);
    return t;
}

static struct shim_thread *current_thread(void)
{
    struct shim_thread *t = shim_tls.thread;

    if (unlikely(!t)) {
        pthread_once(&thread_key_once, make_thread_key);
        t = shim_tls.thread = thread_alloc();
        pthread_setspecific(thread_key, t);
    }
    if (unlikely(t->w.net != live_net))
        t->w.net = live_net;
    return t;
}

struct waiter *current_waiter(void) { return &current_thread()->w; }

/* Wake t if it sleeps; once is enough until it sleeps again. Any lock may be held. (B) */
static void kick(struct shim_thread *t)
{
    u64 one = 1;

    if (atomic_load(&t->sleeping) && atomic_exchange(&t->sleeping, 0) && t->efd >= 0)
        raw_syscall4(SYS_write, t->efd, &one, sizeof(one), 0);
}

void waiters_wake_all(void)
{
    struct shim_thread *t;

    pthread_mutex_lock(&wait_lock);
    cds_list_for_each_entry(t, &threads, all) {
        atomic_store(&t->w.woken, 1);
        kick(t);
    }
    pthread_mutex_unlock(&wait_lock);
}

static void drain(int efd)
{
    u64 n;

    raw_syscall4(SYS_read, efd, &n, sizeof(n), 0);
}

/* ---- sleeping in the kernel ---------------------------------------------------------------------------------- */

struct poll_list {
    struct pollfd *fds;
    int n, cap;
    struct pollfd inline_fds[MAX_DEV_FDS + 32];
};

static void poll_list_init(struct poll_list *l, int extra)
{
    l->n = 0;
    l->fds = l->inline_fds;
    l->cap = ARRAY_SIZE(l->inline_fds);
    if (extra + MAX_DEV_FDS + 2 > l->cap) {
        l->cap = extra + MAX_DEV_FDS + 2;
        l->fds = malloc((size_t)l->cap * sizeof(*l->fds));
        BUG_ON(!l->fds);
    }
}

static void poll_list_free(struct poll_list *l)
{
    if (l->fds != l->inline_fds)
        free(l->fds);
}

static void poll_list_add(struct poll_list *l, int fd, short events)
{
    if (fd >= 0 && l->n < l->cap)
        l->fds[l->n++] = (struct pollfd){.fd = fd, .events = events};
}

/* Every device's descriptors, after telling the devices that nobody will look at their rings; false: there
 * is work already. */
static bool add_device_fds(struct net *net, struct poll_list *l)
{
    struct net_device *dev;
    bool quiet = true;
    int fds[MAX_DEV_FDS], n = 0;

    rcu_read_lock();
    cds_list_for_each_entry_rcu(dev, &net->dev_list, node) {
        struct net_device *d = dev;

        while (d->lower)
            d = d->lower;
        if (d->ops->ndo_prepare_sleep && !d->ops->ndo_prepare_sleep(d))
            quiet = false;
        if (d->ops->ndo_poll_fds && n < MAX_DEV_FDS)
            n += d->ops->ndo_poll_fds(d, fds + n, MAX_DEV_FDS - n);
    }
    rcu_read_unlock();
    for (int i = 0; i < n; i++)
        poll_list_add(l, fds[i], POLLIN);
    poll_list_add(l, rtnl_fd(net), POLLIN);
    return quiet;
}

/* ppoll() until `until`, with the program's signal mask (or sigmask) while asleep. t->sleeping is set.
 * Returns the number of ready descriptors, 0, or -EINTR. Not a cancellation point (pthread_cancel()
 * wakes the thread by its eventfd instead). */
static int sleep_masked(struct shim_thread *t, struct poll_list *l, u64 until, const sigset_t *sigmask)
{
    struct shim_tls *tls = &shim_tls;
    struct timespec ts, *tsp = NULL;
    u64 all = SIGMASK_ALL, orig, during;
    long r;

    raw_sigmask(SIG_BLOCK, &all, &orig);
    during = (sigmask ? *(const u64 *)sigmask : orig) | tls->deferred;
    if (tls->deferred || atomic_load(&t->w.woken) || !atomic_load(&t->sleeping)) {
        r = tls->deferred ? -EINTR : 0;
        goto out;
    }
    if (until != UINT64_MAX) {
        u64 now = clock_ns_now(), left = until > now ? until - now : 0;

        ts = (struct timespec){(time_t)(left / NSEC_PER_SEC), (long)(left % NSEC_PER_SEC)};
        tsp = &ts;
    }
    tls->ppoll_orig = orig;
    tls->in_ppoll = 1;
    r = raw_syscall6(SYS_ppoll, (long)l->fds, l->n, (long)tsp, (long)&during, KERNEL_SIGSET_SIZE, 0);
    tls->in_ppoll = 0;
out:
    orig |= tls->deferred;
    raw_sigmask(SIG_SETMASK, &orig, NULL);
    return (int)r;
}

/* Role: one sleep of thread t on its eventfd, what l holds already, and kfds. 1: look again, 0: one of kfds
 * is ready, -EINTR. Clears t->sleeping. */
static int sleep_once(struct shim_thread *t, struct poll_list *l, u64 until, struct pollfd *kfds, int nk,
                      const sigset_t *sigmask)
{
    int own = l->n, r, ready = 0;

    poll_list_add(l, t->efd, POLLIN);
    for (int i = 0; i < nk; i++)
        l->fds[l->n++] = kfds[i];
    if (t->efd < 0)
        until = min(until, clock_ns_now() + TICK_NS);
    r = sleep_masked(t, l, until, sigmask);
    atomic_store(&t->sleeping, 0);
    if (r < 0)
        return r == -EINTR ? -EINTR : 1;
    if (r == 0)
        return 1;
    if (t->efd >= 0 && l->fds[own].revents)
        drain(t->efd);
    for (int i = 0; i < nk; i++) {
        kfds[i].revents = l->fds[l->n - nk + i].revents;
        ready += kfds[i].revents != 0;
    }
    return ready ? 0 : 1;
}

/* ---- the poller ------------------------------------------------------------------------------------------------ */

static void pass_role(void)
{
    struct shim_thread *t = NULL;

    pthread_mutex_lock(&wait_lock);
    if (!cds_list_empty(&sleepers)) {
        t = cds_list_first_entry(&sleepers, struct shim_thread, node);
        cds_list_del_init(&t->node);
        t->offered = true;
        kick(t);
    }
    pthread_mutex_unlock(&wait_lock);
    if (!t && atomic_load(&backstop.state) == BACKSTOP_DEEP)
        backstop_kick();
}

static void drop_role(void)
{
    atomic_store(&poller, NULL);
    pass_role();
}

static int drive(struct net *net)
{
    int n;

    net_tick(net);
    n = net_poll(net, POLL_BUDGET);
    atomic_store_explicit(&last_poll, net_now(net), memory_order_relaxed);
    return n;
}

void net_drive(void)
{
    if (live_net)
        drive(live_net);
}

static int poller_sleep(struct net *net, struct shim_thread *t, u64 deadline, struct pollfd *kfds, int nk,
                        const sigset_t *sigmask)
{
    struct poll_list l;
    u64 until;
    int r = 1, rtfd = rtnl_fd(net);

    poll_list_init(&l, nk);
    atomic_store(&t->sleeping, 1); /* (A) */
    /* From here a timer that is armed kicks us, until we know by its key how long to sleep. */
    atomic_store(&poller_until, UINT64_MAX);
    until = min(deadline, net_next_timer(net));
    atomic_store(&poller_until, until);
    if (add_device_fds(net, &l) && !atomic_load(&t->w.woken))
        r = sleep_once(t, &l, until, kfds, nk, sigmask);
    atomic_store(&t->sleeping, 0);
    for (int i = 0; i < l.n; i++)
        if (rtfd >= 0 && l.fds[i].fd == rtfd && l.fds[i].revents)
            rtnl_poll(net);
    poll_list_free(&l);
    return r;
}

/* Spinning pays only while something tends to arrive during it: after some sleeps in a row that spinning
 * did not save, try only now and then. */
static _Atomic u32 spin_misses;
static u64 spin_budget(void)
{
    static int cpus;

    if (!sluice_config.spin)
        return 0;
    if (!cpus)
        cpus = (int)sysconf(_SC_NPROCESSORS_ONLN);
    if (cpus < 2)
        return 0;
    if (sluice_config.spin > 100) /* asked for: a busy core */
        return sluice_config.spin * NSEC_PER_USEC;
    u32 m = atomic_load_explicit(&spin_misses, memory_order_relaxed);
    return m < 8 || m % 32 == 0 ? sluice_config.spin * NSEC_PER_USEC : 0;
}

static int run_as_poller(struct net *net, struct shim_thread *t, u64 deadline, struct pollfd *kfds, int nk,
                         const sigset_t *sigmask)
{
    u64 now = net_tick(net), spin = spin_budget(), spin_until = now + spin;
    u32 loops = 0;
    bool slept = false;

    for (;;) {
        int r, n = drive(net);

        if (atomic_load(&t->w.woken)) {
            if (!slept && spin)
                atomic_store_explicit(&spin_misses, 0, memory_order_relaxed);
            return 0;
        }
        if (shim_tls.deferred || atomic_load(&t->cancelled))
            return -EINTR;
        now = net_tick(net);
        if (now >= deadline)
            return 0;
        if (nk && ++loops % 64 == 0 && raw_syscall4(SYS_poll, kfds, nk, 0, 0) > 0)
            return 0;
        if (n > 0)
            continue;
        if (now < spin_until) {
            __builtin_ia32_pause();
            continue;
        }
        if (!slept)
            atomic_fetch_add_explicit(&spin_misses, 1, memory_order_relaxed);
        slept = true;
        r = poller_sleep(net, t, deadline, kfds, nk, sigmask);
        if (r != 1)
            return r;
    }
}

/* ---- the others ---------------------------------------------------------------------------------------------------- */

static int sleep_beside(struct shim_thread *t, u64 deadline, struct pollfd *kfds, int nk, const sigset_t *sigmask)
{
    struct poll_list l;
    bool offered;
    int r = 1;

    pthread_mutex_lock(&wait_lock);
    t->offered = false;
    cds_list_add_tail(&t->node, &sleepers);
    atomic_store(&t->sleeping, 1); /* (A) */
    pthread_mutex_unlock(&wait_lock);
    /* The poller that left before it could see us has passed the role to nobody: then it is free. */
    if (atomic_load(&poller) && !atomic_load(&t->w.woken)) {
        poll_list_init(&l, nk);
        r = sleep_once(t, &l, deadline, kfds, nk, sigmask);
        poll_list_free(&l);
    }
    atomic_store(&t->sleeping, 0);
    pthread_mutex_lock(&wait_lock);
    offered = t->offered;
    t->offered = false;
    cds_list_del_init(&t->node);
    pthread_mutex_unlock(&wait_lock);
    if (offered && r != 1 && !atomic_load(&poller))
        pass_role(); /* we have something else to do */
    return r;
}

int net_sleep(struct net *net, struct waiter *w, u64 deadline, struct pollfd *kfds, int nk, const sigset_t *sigmask)
{
    struct shim_thread *t = container_of(w, struct shim_thread, w);

    for (int i = 0; i < nk; i++)
        kfds[i].revents = 0;
    for (;;) {
        struct shim_thread *nobody = NULL;
        int r;

        if (shim_tls.deferred || atomic_load(&t->cancelled)) {
            if (atomic_exchange(&t->cancelled, 0))
                shim_tls.cancel = 1;
            return -EINTR;
        }
        if (atomic_load(&w->woken))
            return 0;
        if (deadline != UINT64_MAX && clock_ns_now() >= deadline)
            return 0;
        if (atomic_compare_exchange_strong(&poller, &nobody, t)) {
            r = run_as_poller(net, t, deadline, kfds, nk, sigmask);
            drop_role();
        } else {
            r = sleep_beside(t, deadline, kfds, nk, sigmask);
        }
        if (r == 0)
            return 0;
        if (r == -EINTR) {
            if (atomic_exchange(&t->cancelled, 0))
                shim_tls.cancel = 1;
            return -EINTR;
        }
    }
}

SHIM_EXPORT int pthread_cancel(pthread_t thread)
{
    int r = real_pthread_cancel(thread);
    struct shim_thread *t;

    if (r || !stack_active || shim_bypass())
        return r;
    SHIM_ENTER();
    pthread_mutex_lock(&wait_lock);
    cds_list_for_each_entry(t, &threads, all)
        if (pthread_equal(t->self, thread)) {
            atomic_store(&t->cancelled, 1);
            kick(t);
        }
    pthread_mutex_unlock(&wait_lock);
    SHIM_EXIT();
    return 0;
}

/* ---- the backstop thread -------------------------------------------------------------------------------------------- */

static void backstop_run_fns(struct pollfd *fds, int n, bool kicked)
{
    for (int i = 0; i < BACKSTOP_FDS; i++) {
        struct backstop_fd b;

        pthread_mutex_lock(&backstop.lock);
        b = backstop.fds[i];
        pthread_mutex_unlock(&backstop.lock);
        if (!b.used)
            continue;
        if (b.fd < 0 && kicked)
            b.fn(b.arg);
        for (int j = 0; b.fd >= 0 && j < n; j++)
            if (fds[j].fd == b.fd && fds[j].revents)
                b.fn(b.arg);
    }
}

/* One sleep; with dev also on the devices (WATCH). Returns true when a device has packets. */
static bool backstop_sleep(struct shim_thread *t, u64 until, bool dev)
{
    struct net *net = live_net;
    struct poll_list l;
    struct timespec ts, *tsp = NULL;
    int ndev = 0, efd_at;
    bool rx = false, kicked;
    long r;

    poll_list_init(&l, BACKSTOP_FDS);
    if (dev && net) {
        if (!add_device_fds(net, &l)) {
            poll_list_free(&l);
            atomic_store(&t->sleeping, 0);
            return true;
        }
        ndev = l.n;
    }
    efd_at = l.n;
    poll_list_add(&l, t->efd, POLLIN);
    pthread_mutex_lock(&backstop.lock);
    for (int i = 0; i < BACKSTOP_FDS; i++)
        if (backstop.fds[i].used)
            poll_list_add(&l, backstop.fds[i].fd, POLLIN);
    pthread_mutex_unlock(&backstop.lock);
    if (until != UINT64_MAX) {
        u64 now = clock_ns_now(), left = until > now ? until - now : 0;

        ts = (struct timespec){(time_t)(left / NSEC_PER_SEC), (long)(left % NSEC_PER_SEC)};
        tsp = &ts;
    }
    r = raw_syscall6(SYS_ppoll, (long)l.fds, l.n, (long)tsp, 0, 0, 0);
    atomic_store(&t->sleeping, 0);
    kicked = r > 0 && t->efd >= 0 && l.fds[efd_at].revents;
    if (kicked)
        drain(t->efd);
    if (r > 0) {
        backstop_run_fns(l.fds + efd_at, l.n - efd_at, kicked);
        for (int i = 0; i < ndev; i++) {
            if (l.fds[i].revents && l.fds[i].fd == rtnl_fd(net))
                rtnl_poll(net);
            else if (l.fds[i].revents)
                rx = true;
        }
    }
    poll_list_free(&l);
    return rx;
}

static void backstop_housekeep(struct net *net)
{
    if (READ_ONCE(net->defer_head))
        net_rcu_barrier(net);
    epoll_signal_pending();
}

/* Somebody else is the poller: stay out of its way. *present counts the ticks that it has been there. */
static void backstop_stand_by(struct shim_thread *t, struct net *net, u32 *present)
{
    if (++*present == 8)
        backstop_housekeep(net);
    if (*present <= 8) {
        atomic_store(&t->sleeping, 1);
        backstop_sleep(t, clock_ns_now() + TICK_NS, false);
        return;
    }
    *present = 0;
    atomic_store(&t->sleeping, 1); /* (A): who leaves the role reads the state, then kicks */
    atomic_store(&backstop.state, BACKSTOP_DEEP);
    if (atomic_load(&poller))
        backstop_sleep(t, UINT64_MAX, false);
    atomic_store(&t->sleeping, 0);
    atomic_store(&backstop.state, BACKSTOP_TICK);
}

static void backstop_watch(struct shim_thread *t, struct net *net)
{
    bool rx = false;
    u64 until;

    atomic_store(&t->sleeping, 1); /* (A) */
    atomic_store(&backstop.until, UINT64_MAX);
    atomic_store(&backstop.state, BACKSTOP_WATCH);
    until = net_next_timer(net);
    atomic_store(&backstop.until, until);
    if (!READ_ONCE(net->defer_head))
        rx = backstop_sleep(t, until, true);
    atomic_store(&t->sleeping, 0);
    atomic_store(&backstop.state, BACKSTOP_TICK);
    if (rx) /* the application has a millisecond to fetch it itself */
        atomic_store(&last_poll, clock_ns_now());
}

static void *backstop_main(void *arg)
{
    struct shim_thread *t;
    u32 present = 0, quiet = 0;
    u64 own = 0; /* last_poll after a drive of our own */

    shim_tls.in_stack = 1; /* for good: what it calls goes straight to libc */
    pthread_setname_np(pthread_self(), "sluice");
    t = current_thread();
    atomic_store(&backstop.thread, t);
    for (;;) {
        struct net *net = live_net;
        u64 now = clock_ns_now(), last = atomic_load(&last_poll);

        if (atomic_load(&poller)) {
            quiet = 0;
            backstop_stand_by(t, net, &present);
            continue;
        }
        present = 0;
        if (now < last + TICK_NS) {
            if (last != own)
                quiet = 0;
            atomic_store(&t->sleeping, 1);
            backstop_sleep(t, last + TICK_NS, false);
            if (READ_ONCE(net->defer_head))
                backstop_housekeep(net);
            else
                epoll_signal_pending();
            continue;
        }
        quiet = drive(net) > 0 ? 0 : quiet + 1;
        own = atomic_load(&last_poll);
        backstop_housekeep(net);
        if (quiet > 2) {
            backstop_watch(t, net);
            /* A look at once after it, but no TICK phase for a lone timer. */
            quiet = 2;
        }
    }
    return arg;
}

int backstop_start(void)
{
    pthread_attr_t attr;
    pthread_t thread;
    u64 all = ~0ull, old;
    int r = 0;

    pthread_mutex_lock(&backstop.lock);
    if (atomic_load(&backstop.state) == BACKSTOP_NONE) {
        atomic_store(&backstop.state, BACKSTOP_TICK);
        pthread_attr_init(&attr);
        pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
        pthread_attr_setstacksize(&attr, BACKSTOP_STACK);
        raw_sigmask(SIG_SETMASK, &all, &old);
        r = pthread_create(&thread, &attr, backstop_main, NULL);
        raw_sigmask(SIG_SETMASK, &old, NULL);
        pthread_attr_destroy(&attr);
        if (r) {
            atomic_store(&backstop.state, BACKSTOP_NONE);
            shim_warn("no thread for timers can be made (%s): connections advance only while the program waits on them",
                      strerror(r));
        }
    }
    pthread_mutex_unlock(&backstop.lock);
    return -r;
}

void backstop_kick(void)
{
    struct shim_thread *t = atomic_load(&backstop.thread);

    if (t)
        kick(t);
}

int backstop_add_fd(int fd, void (*fn)(void *arg), void *arg)
{
    int i;

    pthread_mutex_lock(&backstop.lock);
    for (i = 0; i < BACKSTOP_FDS && backstop.fds[i].used; i++)
        ;
    if (i < BACKSTOP_FDS)
        backstop.fds[i] = (struct backstop_fd){fd, true, fn, arg};
    pthread_mutex_unlock(&backstop.lock);
    backstop_kick();
    return i < BACKSTOP_FDS ? 0 : -ENOSPC;
}

void backstop_del_fd(int fd)
{
    pthread_mutex_lock(&backstop.lock);
    for (int i = 0; i < BACKSTOP_FDS; i++)
        if (backstop.fds[i].used && backstop.fds[i].fd == fd)
            backstop.fds[i].used = false;
    pthread_mutex_unlock(&backstop.lock);
    backstop_kick();
}

/* getrandom(2) in blocks: ISNs and ports are chosen often. */
static struct {
    pthread_mutex_t lock; /* protects the rest; innermost */
    u32 n; /* left; a fork child starts with none, not to repeat its parent's */
    u64 v[64];
} pool = {.lock = PTHREAD_MUTEX_INITIALIZER};

/* In the child: the other threads are gone, and the eventfds are shared with the parent. */
void waiter_forget_in_child(void)
{
    struct shim_thread *t = shim_tls.thread, *u, *tmp;

    pthread_mutex_init(&wait_lock, NULL);
    pthread_mutex_init(&backstop.lock, NULL);
    pthread_mutex_init(&pool.lock, NULL);
    pool.n = 0;
    cds_list_for_each_entry_safe(u, tmp, &threads, all) {
        private_close(u->efd);
        u->efd = -1;
        if (u != t)
            free(u);
    }
    CDS_INIT_LIST_HEAD(&threads);
    CDS_INIT_LIST_HEAD(&sleepers);
    atomic_store(&poller, NULL);
    atomic_store(&backstop.state, BACKSTOP_NONE);
    atomic_store(&backstop.thread, NULL);
    for (int i = 0; i < BACKSTOP_FDS; i++)
        backstop.fds[i].used = false;
    if (t) {
        free(t);
        shim_tls.thread = NULL;
        pthread_setspecific(thread_key, NULL);
    }
}

/* ---- net_ops of the live stack ---------------------------------------------------------------------------------------- */

static u64 ops_clock(struct net *net) { return clock_ns_now(); }

static u64 ops_random(struct net *net)
{
    u64 v;

    pthread_mutex_lock(&pool.lock);
    if (!pool.n) {
        if (getrandom(pool.v, sizeof(pool.v), 0) != sizeof(pool.v))
            for (size_t i = 0; i < ARRAY_SIZE(pool.v); i++)
                pool.v[i] = (clock_ns_now() + i) * 0x9e3779b97f4a7c15ull;
        pool.n = ARRAY_SIZE(pool.v);
    }
    v = pool.v[--pool.n];
    pthread_mutex_unlock(&pool.lock);
    return v;
}

static struct waiter *ops_current_waiter(struct net *net) { return current_waiter(); }

static int ops_wait(struct net *net, struct waiter *w, u64 deadline)
{
    return net_sleep(net, w, deadline, NULL, 0, NULL);
}

static void ops_wake(struct net *net, struct waiter *w) { kick(container_of(w, struct shim_thread, w)); }

static void ops_timer_armed(struct net *net, u64 expires)
{
    struct shim_thread *p = atomic_load(&poller);

    if (p) {
        if (expires < atomic_load(&poller_until) && p != shim_tls.thread) {
            /* The poller cannot be freed here: it cannot leave its call without passing this lock. */
            pthread_mutex_lock(&wait_lock);
            if (atomic_load(&poller) == p)
                kick(p);
            pthread_mutex_unlock(&wait_lock);
        }
    } else if (atomic_load(&backstop.state) == BACKSTOP_WATCH && expires < atomic_load(&backstop.until)) {
        backstop_kick();
    }
}

static void ops_log(struct net *net, int level, const char *text) { shim_log(level, "%s", text); }

const struct net_ops live_net_ops = {
    .clock_ns = ops_clock,
    .random = ops_random,
    .current_waiter = ops_current_waiter,
    .wait = ops_wait,
    .wake = ops_wake,
    .timer_armed = ops_timer_armed,
    .send_sigurg = file_send_sigurg,
    .log = ops_log,
    .capable = runtime_capable,
};
