/* SPDX-License-Identifier: MIT */
/* epoll_wait(2) and its relatives, and poll(2) on a set: collect what is ready in both halves, or sleep. */

#include "eventpoll.h"
#include "listener.h"

/* ---- epoll_wait ---------------------------------------------------------------------------------------------------- */

/* ONESHOT fired: disarmed in both halves. ep->mtx held. */
static void disarm(struct eventpoll *ep, struct epitem *epi)
{
    WRITE_ONCE(epi->event.events, epi->event.events & EP_PRIVATE_BITS);
    if (epi->kernel_too) {
        struct epoll_event k = {.events = EPOLLONESHOT, .data.u64 = (u64)(uintptr_t)epi};

        real_epoll_ctl(file_fd(ep->file), EPOLL_CTL_MOD, epi->fd, &k);
    }
}

static struct epitem *rdl_pop(struct eventpoll *ep)
{
    struct epitem *epi = NULL;

    pthread_mutex_lock(&ep->lock);
    if (!cds_list_empty(&ep->rdl)) {
        epi = cds_list_first_entry(&ep->rdl, struct epitem, rdl_node);
        rdl_del(ep, epi);
    }
    pthread_mutex_unlock(&ep->lock);
    return epi;
}

/* Role: our half's events, at most max. Level-triggered items stay on the list. ep->mtx held. */
static int ep_send_events(struct eventpoll *ep, struct epoll_event *events, int max)
{
    struct epitem *epi;
    u32 round = READ_ONCE(ep->rdl_len);
    int n = 0;

    for (; round && n < max && (epi = rdl_pop(ep)); round--) {
        u32 mask = file_poll(epi->file, NULL) & epi->event.events;

        if (!mask)
            continue;
        events[n] = (struct epoll_event){.events = mask, .data = epi->event.data};
        epi->slot = n++;
        if (epi->event.events & EPOLLONESHOT) {
            disarm(ep, epi);
        } else if (!(epi->event.events & EPOLLET)) {
            pthread_mutex_lock(&ep->lock);
            rdl_add(ep, epi);
            pthread_mutex_unlock(&ep->lock);
        }
    }
    return n;
}

/* Role: translate what the kernel's half reported into events[n..]: drop the eventfd's marker, join a
 * listener's two halves. Returns the new count. ep->mtx held. */
static int ep_filter(struct eventpoll *ep, struct epoll_event *events, int n, int got)
{
    for (int i = 0, at = n; i < got; i++) {
        struct epoll_event ev = events[at + i];
        struct epitem *epi;
        bool mine = false;

        if (ev.data.u64 == ep_marker(ep))
            continue;
        cds_list_for_each_entry(epi, &ep->listeners, k_node) {
            if (ev.data.u64 != (u64)(uintptr_t)epi)
                continue;
            mine = true;
            if (epi->slot >= 0 && epi->slot < n) {
                events[epi->slot].events |= ev.events;
            } else {
                epi->slot = n;
                events[n++] = (struct epoll_event){.events = ev.events, .data = epi->event.data};
            }
            if (epi->event.events & EPOLLONESHOT)
                disarm(ep, epi);
            break;
        }
        if (!mine)
            events[n++] = ev;
    }
    return n;
}

/* Role: before a look at both halves of the listeners, which tells that the program waits for them. ep->mtx held. */
static void begin_listeners(struct eventpoll *ep)
{
    struct epitem *epi;

    cds_list_for_each_entry(epi, &ep->listeners, k_node) {
        epi->slot = -1;
        if (epi->event.events & EPOLLIN)
            listener_wanted(epi->file, false);
    }
}

/* Role: what is ready now in both halves. kernel: look there too. */
static int ep_collect(struct eventpoll *ep, int epfd, struct epoll_event *events, int max, bool kernel)
{
    int n, got;

    pthread_mutex_lock(&ep->mtx);
    pthread_mutex_lock(&ep->lock);
    ep_unsignal(ep);
    pthread_mutex_unlock(&ep->lock);
    begin_listeners(ep);
    n = ep_send_events(ep, events, max);
    if (atomic_load(&ep->nr_kernel) > 0 && n < max && (kernel && (!n || ep->rounds++ % 8 == 0))) {
        got = real_epoll_wait(epfd, events + n, max - n, 0);
        if (got > 0)
            n = ep_filter(ep, events, n, got);
    }
    pthread_mutex_lock(&ep->lock);
    if (ep->rdl_len && !waitqueue_active(&ep->wq))
        ep_tell_outside(ep);
    pthread_mutex_unlock(&ep->lock);
    pthread_mutex_unlock(&ep->mtx);
    return n;
}

/* Inside SHIM_ENTER. Number of events or -EINTR. */
static int ep_poll(struct eventpoll *ep, int epfd, struct epoll_event *events, int max, u64 deadline,
                   const sigset_t *mask)
{
    struct pollfd k = {.fd = epfd, .events = POLLIN};
    struct wait_queue_entry e;
    struct waiter *w;
    int n, r = 0;

    net_drive();
    n = ep_collect(ep, epfd, events, max, true);
    if (n || !deadline)
        return n;
    w = current_waiter();
    init_wait_entry(&e, w);
    e.exclusive = true;
    add_wait_queue(&ep->wq, &e);
    for (;;) {
        waiter_prepare(w);
        n = ep_collect(ep, epfd, events, max, k.revents != 0); /* the sleep has looked at the kernel's half */
        if (n || (deadline != UINT64_MAX && clock_ns_now() >= deadline))
            break;
        r = net_sleep(live_net, w, deadline, &k, atomic_load(&ep->nr_kernel) > 0, mask);
        if (r) {
            n = ep_collect(ep, epfd, events, max, true);
            break;
        }
    }
    remove_wait_queue(&ep->wq, &e);
    return n ? n : r;
}

/* Wait in the kernel, while all members are the kernel's. fine: in nanoseconds (epoll_pwait2). */
static int ep_kernel_wait(struct eventpoll *ep, int epfd, struct epoll_event *events, int max, u64 deadline,
                          const sigset_t *mask, bool fine)
{
    struct timespec ts;
    u64 left = UINT64_MAX;
    int r = 0, ms = -1;

    if (deadline != UINT64_MAX) {
        u64 now = deadline ? clock_ns_now() : 0;

        left = deadline > now ? deadline - now : 0;
        ts = (struct timespec){(time_t)(left / NSEC_PER_SEC), (long)(left % NSEC_PER_SEC)};
        ms = (int)min(DIV_ROUND_UP(left, NSEC_PER_MSEC), (u64)INT32_MAX);
    }
    atomic_fetch_add(&ep->kernel_waiters, 1);
    /* Who adds the first stack member from here on sees kernel_waiters; one that was faster shows here. */
    if (atomic_load(&ep->nr_user))
        ;
    else if (fine)
        r = real_epoll_pwait2(epfd, events, max, left == UINT64_MAX ? NULL : &ts, mask);
    else
        r = mask ? real_epoll_pwait(epfd, events, max, ms, mask) : real_epoll_wait(epfd, events, max, ms);
    atomic_fetch_sub(&ep->kernel_waiters, 1);
    return r;
}

/* deadline: absolute, 0: do not wait, UINT64_MAX: for ever. *kernel: not ours, make the real call. */
static int ep_wait(int epfd, struct epoll_event *events, int max, u64 deadline, const sigset_t *mask, bool fine,
                   bool *kernel)
{
    struct file *f;
    struct eventpoll *ep;
    int r;

    *kernel = true;
    if (shim_bypass() || fd_kind_of(epfd) != FD_EPOLL || !(f = fget(epfd)))
        return 0;
    ep = f->private_ep;
    if (!ep || max <= 0 || !user_ok(events, (size_t)max * sizeof(*events))) {
        fput(f);
        return 0;
    }
    *kernel = false;
    for (;;) {
        if (atomic_load(&ep->nr_user)) {
            SHIM_ENTER();
            r = ep_poll(ep, epfd, events, max, deadline, mask);
            fput(f);
            SHIM_LEAVE();
            if (unlikely(shim_tls.deferred))
                sigdefer_run();
            if (r == -EINTR && shim_tls.cancel) {
                shim_tls.cancel = 0;
                pthread_testcancel();
            }
            return (int)shim_ret(r);
        }
        r = ep_kernel_wait(ep, epfd, events, max, deadline, mask, fine);
        if (r > 0) {
            SHIM_ENTER();
            pthread_mutex_lock(&ep->mtx);
            pthread_mutex_lock(&ep->lock);
            ep_unsignal(ep);
            pthread_mutex_unlock(&ep->lock);
            begin_listeners(ep);
            r = ep_filter(ep, events, 0, r);
            pthread_mutex_unlock(&ep->mtx);
            SHIM_EXIT();
            if (!r && deadline && (deadline == UINT64_MAX || clock_ns_now() < deadline))
                continue; /* it was the eventfd alone: there are stack members now */
        } else if (!r && atomic_load(&ep->nr_user)) {
            continue;
        }
        fput(f);
        return r;
    }
}

static u64 ms_deadline(int timeout)
{
    if (timeout < 0)
        return UINT64_MAX;
    return timeout ? clock_ns_now() + (u64)timeout * NSEC_PER_MSEC : 0;
}

SHIM_EXPORT int epoll_wait(int epfd, struct epoll_event *events, int max, int timeout)
{
    bool kernel = true;
    int r = 0;

    if (fd_kind_of(epfd) == FD_EPOLL)
        r = ep_wait(epfd, events, max, ms_deadline(timeout), NULL, false, &kernel);
    return kernel ? real_epoll_wait(epfd, events, max, timeout) : r;
}

SHIM_EXPORT int epoll_pwait(int epfd, struct epoll_event *events, int max, int timeout, const sigset_t *mask)
{
    bool kernel = true;
    int r = 0;

    if (fd_kind_of(epfd) == FD_EPOLL)
        r = ep_wait(epfd, events, max, ms_deadline(timeout), mask, false, &kernel);
    return kernel ? real_epoll_pwait(epfd, events, max, timeout, mask) : r;
}

SHIM_EXPORT int epoll_pwait2(int epfd, struct epoll_event *events, int max, const struct timespec *ts,
                             const sigset_t *mask)
{
    bool kernel = true;
    u64 deadline = UINT64_MAX;
    int r = 0;

    if (fd_kind_of(epfd) == FD_EPOLL &&
        (!ts || (user_ok(ts, sizeof(*ts)) && ts->tv_sec >= 0 && (u64)ts->tv_nsec < NSEC_PER_SEC))) {
        if (ts) {
            deadline = (u64)min(ts->tv_sec, (time_t)4000000000) * NSEC_PER_SEC + (u64)ts->tv_nsec;
            deadline = deadline ? clock_ns_now() + deadline : 0;
        }
        r = ep_wait(epfd, events, max, deadline, mask, true, &kernel);
    }
    return kernel ? real_epoll_pwait2(epfd, events, max, ts, mask) : r;
}

/* ---- poll(2) on a set ------------------------------------------------------------------------------------------------ */

u32 epoll_poll_user(struct file *f, struct poll_table *pt)
{
    struct eventpoll *ep = f->private_ep;
    struct epitem *epi;
    u32 ready = 0;

    if (!ep)
        return 0;
    poll_wait(NULL, &ep->wq, pt);
    if (!atomic_load(&ep->nr_user))
        return 0;
    pthread_mutex_lock(&ep->mtx);
    for (u32 round = READ_ONCE(ep->rdl_len); round && !ready && (epi = rdl_pop(ep)); round--)
        if (file_poll(epi->file, NULL) & epi->event.events) {
            pthread_mutex_lock(&ep->lock);
            rdl_add(ep, epi);
            pthread_mutex_unlock(&ep->lock);
            ready = EPOLLIN | EPOLLRDNORM;
        }
    pthread_mutex_unlock(&ep->mtx);
    return ready;
}
