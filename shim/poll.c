/* SPDX-License-Identifier: MIT */
/* poll(2): descriptors of the stack and of the kernel in one call. select.c comes here too. */

#include "poll.h"
#include "file.h"
#include "listener.h"
#include "runtime.h"
#include <sys/resource.h>

#define INLINE_FDS 16

struct poll_entry { /* a descriptor of ours */
    struct file *f;
    struct pollfd *pfd;
    struct wait_queue_head *wq;
    struct wait_queue_entry wqe;
};

struct poll_call {
    struct poll_entry *entries; /* ours */
    struct pollfd *kfds;        /* what the kernel is asked: its own, and its half of a listener or a set */
    struct pollfd **kwhich;     /* whose answer each is */
    int nentries, nk;
    struct poll_entry inline_entries[INLINE_FDS];
    struct pollfd inline_kfds[INLINE_FDS];
    struct pollfd *inline_kwhich[INLINE_FDS];
};

bool poll_has_ours(const struct pollfd *fds, nfds_t n)
{
    if (fd_table_highest() < 0)
        return false;
    for (nfds_t i = 0; i < n; i++)
        if (unlikely(fd_kind_of(fds[i].fd) >= FD_EPOLL))
            return true;
    return false;
}

static int call_alloc(struct poll_call *c, nfds_t n)
{
    c->entries = c->inline_entries;
    c->kfds = c->inline_kfds;
    c->kwhich = c->inline_kwhich;
    c->nentries = c->nk = 0;
    if (n <= INLINE_FDS)
        return 0;
    c->entries = malloc(n * (sizeof(*c->entries) + sizeof(*c->kfds) + sizeof(*c->kwhich)));
    if (!c->entries)
        return -ENOMEM;
    c->kwhich = (struct pollfd **)(c->entries + n);
    c->kfds = (struct pollfd *)(c->kwhich + n);
    return 0;
}

static void ask_kernel(struct poll_call *c, struct pollfd *p)
{
    c->kwhich[c->nk] = p;
    c->kfds[c->nk++] = (struct pollfd){.fd = p->fd, .events = p->events};
}

/* Who answers for each descriptor. Takes references. */
static void call_sort(struct poll_call *c, struct pollfd *fds, nfds_t n)
{
    for (nfds_t i = 0; i < n; i++) {
        struct pollfd *p = &fds[i];
        u8 kind = fd_kind_of(p->fd);
        struct file *f = NULL;
        u32 state;

        p->revents = 0;
        if (p->fd < 0)
            continue;
        if (kind == FD_EPOLL) {
            f = fget(p->fd);
        } else if (kind >= FD_STACK) {
            SHIM_LEAVE(); /* file_enter() looks at the depth, and adds to it */
            f = file_enter(p->fd);
            SHIM_ENTER();
            if (f)
                SHIM_LEAVE();
        }
        state = f ? atomic_load(&f->state) : FILE_KERNEL;
        if (f) {
            c->entries[c->nentries].f = f;
            c->entries[c->nentries].wq = NULL;
            c->entries[c->nentries++].pfd = p;
        }
        if (state == FILE_LISTEN_BOTH && (p->events & (POLLIN | POLLRDNORM)))
            listener_wanted(f, false);
        if (state != FILE_STACK)
            ask_kernel(c, p);
    }
}

static void call_free(struct poll_call *c)
{
    for (int i = 0; i < c->nentries; i++) {
        if (c->entries[i].wq)
            remove_wait_queue(c->entries[i].wq, &c->entries[i].wqe);
        fput(c->entries[i].f);
    }
    if (c->entries != c->inline_entries)
        free(c->entries);
}

struct poll_arg {
    struct poll_entry *entry;
    struct waiter *w;
};

static void pollwait(struct socket *sock, struct wait_queue_head *q, struct poll_table *pt)
{
    struct poll_arg *a = pt->arg;

    if (a->entry->wq)
        return;
    a->entry->wq = q;
    init_wait_entry(&a->entry->wqe, a->w);
    add_wait_queue(q, &a->entry->wqe);
}

/* One look at ours; registers while nothing is ready (w not NULL). Returns how many are ready; *moved: one
 * was handed over, sort again. */
static int look_at_ours(struct poll_call *c, struct waiter *w, bool *moved)
{
    int ready = 0;

    for (int i = 0; i < c->nentries; i++) {
        struct poll_entry *e = &c->entries[i];
        struct poll_arg arg = {e, w};
        struct poll_table pt = {pollwait, &arg};
        u32 mask;

        if (atomic_load(&e->f->state) == FILE_HANDED)
            *moved = true;
        mask = file_poll(e->f, w && !ready && !e->wq ? &pt : NULL);
        e->pfd->revents |= (short)(mask & ((u16)e->pfd->events | POLLERR | POLLHUP));
        ready += e->pfd->revents != 0;
    }
    return ready;
}

/* What the kernel answered, joined to the program's array. Returns how many descriptors that adds. */
static int merge_kernel(struct poll_call *c)
{
    int ready = 0;

    for (int i = 0; i < c->nk; i++) {
        if (!c->kfds[i].revents)
            continue;
        ready += c->kwhich[i]->revents == 0;
        c->kwhich[i]->revents |= c->kfds[i].revents;
        c->kfds[i].revents = 0;
    }
    return ready;
}

static int ask_now(struct poll_call *c)
{
    if (!c->nk || real_poll(c->kfds, (nfds_t)c->nk, 0) <= 0)
        return 0;
    return merge_kernel(c);
}

/* Sorted; until something is ready, the deadline, a signal (-EINTR) or a hand-over (-EAGAIN). */
static int call_wait(struct poll_call *c, u64 deadline, const sigset_t *mask)
{
    struct waiter *w = NULL;
    bool moved = false;
    int ready, r = 0;

    net_drive();
    ready = look_at_ours(c, NULL, &moved);
    ready += ask_now(c);
    if (ready || !deadline)
        return ready;
    w = current_waiter();
    for (;;) {
        waiter_prepare(w);
        ready = look_at_ours(c, w, &moved);
        ready += merge_kernel(c);
        if (ready)
            return ready + ask_now(c);
        if (moved)
            return -EAGAIN;
        if (r)
            return r;
        if (deadline != UINT64_MAX && clock_ns_now() >= deadline)
            return ask_now(c);
        r = net_sleep(live_net, w, deadline, c->kfds, c->nk, mask);
    }
}

int shim_poll(struct pollfd *fds, nfds_t n, u64 deadline, const sigset_t *mask)
{
    struct rlimit rl;
    struct poll_call c;
    int r;

    if (n > 1024 && !getrlimit(RLIMIT_NOFILE, &rl) && n > rl.rlim_cur)
        return -EINVAL;
    if (!user_ok(fds, n * sizeof(*fds)))
        return -EFAULT;
    do {
        SHIM_ENTER();
        r = call_alloc(&c, n);
        if (!r) {
            call_sort(&c, fds, n);
            if (live_net)
                r = call_wait(&c, deadline, mask);
            else /* only sets of the kernel */
                r = -ENOSYS;
            call_free(&c);
        }
        SHIM_LEAVE();
        if (unlikely(shim_tls.deferred) && !shim_tls.in_stack)
            sigdefer_run();
        if (unlikely(r == -EINTR && shim_tls.cancel && !shim_tls.in_stack)) {
            shim_tls.cancel = 0;
            pthread_testcancel();
        }
    } while (r == -EAGAIN);
    return r;
}

static u64 ms_deadline(int timeout)
{
    if (timeout < 0)
        return UINT64_MAX;
    return timeout ? clock_ns_now() + (u64)timeout * NSEC_PER_MSEC : 0;
}

/* With no stack there is nothing of ours to wait for: sets are the kernel's alone. */
static bool pass(const struct pollfd *fds, nfds_t n)
{
    return likely(!stack_active) || shim_bypass() || !user_ok(fds, n * sizeof(*fds)) || !poll_has_ours(fds, n);
}

SHIM_EXPORT int poll(struct pollfd *fds, nfds_t n, int timeout)
{
    if (likely(pass(fds, n)))
        return real_poll(fds, n, timeout);
    return (int)shim_ret(shim_poll(fds, n, ms_deadline(timeout), NULL));
}

SHIM_EXPORT int __poll(struct pollfd *fds, nfds_t n, int timeout) { return poll(fds, n, timeout); }

SHIM_EXPORT int __poll_chk(struct pollfd *fds, nfds_t n, int timeout, size_t fdslen)
{
    if (unlikely(fdslen / sizeof(*fds) < n))
        return real___poll_chk(fds, n, timeout, fdslen); /* which ends the program */
    return poll(fds, n, timeout);
}

SHIM_EXPORT int ppoll(struct pollfd *fds, nfds_t n, const struct timespec *ts, const sigset_t *mask)
{
    u64 deadline = UINT64_MAX;

    if (likely(pass(fds, n)))
        return real_ppoll(fds, n, ts, mask);
    if (ts) {
        if (ts->tv_sec < 0 || (u64)ts->tv_nsec >= NSEC_PER_SEC)
            return (int)shim_ret(-EINVAL);
        deadline = (u64)min(ts->tv_sec, (time_t)4000000000) * NSEC_PER_SEC + (u64)ts->tv_nsec;
        deadline = deadline ? clock_ns_now() + deadline : 0;
    }
    return (int)shim_ret(shim_poll(fds, n, deadline, mask));
}

SHIM_EXPORT int __ppoll_chk(struct pollfd *fds, nfds_t n, const struct timespec *ts, const sigset_t *mask,
                            size_t fdslen)
{
    if (unlikely(fdslen / sizeof(*fds) < n))
        return real___ppoll_chk(fds, n, ts, mask, fdslen);
    return ppoll(fds, n, ts, mask);
}
