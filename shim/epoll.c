/* SPDX-License-Identifier: MIT */
/* epoll(7): one set, two halves.
 *
 * The descriptor is a real kernel set and keeps every member that the kernel serves. Sockets of the stack
 * are members in user space only (a twin in a kernel set would report a hang-up). A listener is in both
 * halves, its kernel half under a marker, so that either makes it ready. An undecided socket (FILE_NEW) is
 * in the kernel's half and known here, so that it can move over when connect() or listen() decides.
 *
 * One eventfd in the kernel's half stands for ours, for waiters that look at the descriptor from outside:
 * a thread that entered epoll_wait() before there was a stack member, a set nested in another, a waiter
 * that we do not intercept. It is signalled at once where such a waiter is known, else by the backstop
 * when nobody has taken the events for a tick.
 *
 * Locks: epmutex (membership: lists of files and sets) > ep->mtx (items and their events; held while
 * events are collected) > a socket's wait queue lock > ep->lock (ready list) and ep->wq.lock. */

#include "file.h"
#include "handover.h"
#include "runtime.h"
#include <sys/eventfd.h>
#include <sys/syscall.h>

#define EP_PRIVATE_BITS (EPOLLWAKEUP | EPOLLONESHOT | EPOLLET | EPOLLEXCLUSIVE)
#define EPOLLINOUT_BITS (EPOLLIN | EPOLLOUT)
#define EPOLLEXCLUSIVE_OK_BITS (EPOLLINOUT_BITS | EPOLLERR | EPOLLHUP | EPOLLWAKEUP | EPOLLET | EPOLLEXCLUSIVE)
#define MARK_EP 0x51u /* low bits that no pointer of ours has; told from the program's data by exact value */

struct epitem {
    struct eventpoll *ep;
    struct file *file; /* no reference: it takes its items with it */
    int fd;
    struct epoll_event event;
    bool in_kernel;  /* the kernel's half alone has it (FILE_NEW) */
    bool kernel_too; /* a listener: the twin is in the kernel's half, data = this item's address */
    bool on_rdl;     /* under ep->lock */
    s32 slot;        /* where this round reported it, -1: not */
    struct wait_queue_head *wq; /* where wqe is queued */
    struct wait_queue_entry wqe;
    struct epitem *next_fd;        /* same fd, another file; under ep->mtx */
    struct cds_list_head f_node;   /* file->watchers; epmutex */
    struct cds_list_head rdl_node; /* under ep->lock */
    struct cds_list_head k_node;   /* ep->listeners; ep->mtx */
};

struct eventpoll {
    struct file *file;
    pthread_mutex_t mtx;
    pthread_mutex_t lock;
    struct cds_list_head rdl;
    u32 rdl_len;
    struct wait_queue_head wq; /* threads in epoll_wait() or poll() on it */
    struct epitem **by_fd;
    int by_fd_len;
    _Atomic s32 nr_user;   /* members in our half */
    _Atomic s32 nr_kernel; /* at most so many in the kernel's, the eventfd not counted */
    _Atomic s32 kernel_waiters;
    bool nested;
    int efd;               /* -1: none yet */
    bool signalled;        /* efd is readable; under lock */
    bool want_signal;      /* for the backstop; under lock */
    u32 rounds;
    struct cds_list_head listeners;
    struct cds_list_head all; /* epmutex */
};

static pthread_mutex_t epmutex = PTHREAD_MUTEX_INITIALIZER;
static CDS_LIST_HEAD(all_eps);
static _Atomic u32 signals_wanted;

void epoll_lock_for_fork(void) { pthread_mutex_lock(&epmutex); }

void epoll_unlock_after_fork(bool child)
{
    if (child)
        pthread_mutex_init(&epmutex, NULL);
    else
        pthread_mutex_unlock(&epmutex);
}

/* ---- the eventfd ------------------------------------------------------------------------------------------- */

static u64 ep_marker(const struct eventpoll *ep) { return (u64)(uintptr_t)ep | MARK_EP; }

/* ep->lock held. */
static void ep_signal(struct eventpoll *ep)
{
    u64 one = 1;

    ep->want_signal = false;
    if (!ep->signalled && ep->efd >= 0) {
        ep->signalled = true;
        raw_syscall4(SYS_write, ep->efd, &one, sizeof(one), 0);
    }
}

/* ep->lock held. */
static void ep_unsignal(struct eventpoll *ep)
{
    u64 n;

    ep->want_signal = false;
    if (ep->signalled) {
        ep->signalled = false;
        raw_syscall4(SYS_read, ep->efd, &n, sizeof(n), 0);
    }
}

/* Something is ready: tell those who look from outside. ep->lock held. */
static void ep_tell_outside(struct eventpoll *ep)
{
    if (atomic_load(&ep->kernel_waiters) || ep->nested) {
        ep_signal(ep);
    } else if (!ep->want_signal && !ep->signalled) {
        ep->want_signal = true;
        atomic_store_explicit(&signals_wanted, 1, memory_order_relaxed);
    }
}

void epoll_signal_pending(void)
{
    struct eventpoll *ep;

    if (!atomic_load_explicit(&signals_wanted, memory_order_relaxed))
        return;
    if (pthread_mutex_trylock(&epmutex))
        return;
    atomic_store(&signals_wanted, 0);
    cds_list_for_each_entry(ep, &all_eps, all) {
        pthread_mutex_lock(&ep->lock);
        if (ep->want_signal && ep->rdl_len && !waitqueue_active(&ep->wq))
            ep_signal(ep);
        ep->want_signal = false;
        pthread_mutex_unlock(&ep->lock);
    }
    pthread_mutex_unlock(&epmutex);
}

/* A member in our half: the kernel's half needs the eventfd. */
static int ep_need_efd(struct eventpoll *ep)
{
    struct epoll_event ev = {.events = EPOLLIN, .data.u64 = ep_marker(ep)};
    int epfd = file_fd(ep->file), r;

    if (ep->efd >= 0)
        return 0;
    ep->efd = private_fd(REAL(eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)));
    if (ep->efd < 0) {
        r = ep->efd;
        ep->efd = -1;
        return r;
    }
    r = REAL(real_epoll_ctl(epfd, EPOLL_CTL_ADD, ep->efd, &ev));
    if (r < 0) {
        private_close(ep->efd);
        ep->efd = -1;
    }
    return r;
}

/* ---- sets ---------------------------------------------------------------------------------------------------- */

static struct eventpoll *ep_alloc(struct file *f)
{
    struct eventpoll *ep = calloc(1, sizeof(*ep));

    if (!ep)
        return NULL;
    ep->file = f;
    ep->efd = -1;
    pthread_mutex_init(&ep->mtx, NULL);
    pthread_mutex_init(&ep->lock, NULL);
    CDS_INIT_LIST_HEAD(&ep->rdl);
    CDS_INIT_LIST_HEAD(&ep->listeners);
    init_waitqueue_head(&ep->wq);
    pthread_mutex_lock(&epmutex);
    cds_list_add(&ep->all, &all_eps);
    pthread_mutex_unlock(&epmutex);
    return ep;
}

/* Descriptor epfd is a fresh epoll set. */
static int ep_created(int epfd)
{
    struct file *f;

    if (epfd < 0 || shim_bypass())
        return epfd;
    fd_fresh(epfd);
    SHIM_ENTER();
    f = file_alloc(FILE_EPOLL);
    if (f) {
        f->private_ep = ep_alloc(f);
        if (f->private_ep)
            fd_install(epfd, f);
        else
            atomic_store(&f->state, FILE_KERNEL);
        fput(f);
    }
    SHIM_EXIT();
    return epfd;
}

static struct epitem *ep_find(struct eventpoll *ep, struct file *f, int fd)
{
    struct epitem *epi = fd < ep->by_fd_len ? ep->by_fd[fd] : NULL;

    while (epi && epi->file != f)
        epi = epi->next_fd;
    return epi;
}

static bool ep_grow(struct eventpoll *ep, int fd)
{
    struct epitem **p;
    int n = max(64, ep->by_fd_len * 2);

    if (fd < ep->by_fd_len)
        return true;
    n = max(n, fd + 1);
    p = realloc(ep->by_fd, (size_t)n * sizeof(*p));
    if (!p)
        return false;
    memset(p + ep->by_fd_len, 0, (size_t)(n - ep->by_fd_len) * sizeof(*p));
    ep->by_fd = p;
    ep->by_fd_len = n;
    return true;
}

/* ---- ready --------------------------------------------------------------------------------------------------- */

/* ep->lock held. */
static void rdl_add(struct eventpoll *ep, struct epitem *epi)
{
    if (!epi->on_rdl) {
        epi->on_rdl = true;
        ep->rdl_len++;
        cds_list_add_tail(&epi->rdl_node, &ep->rdl);
    }
}

static void rdl_del(struct eventpoll *ep, struct epitem *epi)
{
    if (epi->on_rdl) {
        epi->on_rdl = false;
        ep->rdl_len--;
        cds_list_del(&epi->rdl_node);
    }
}

static void ep_ready(struct eventpoll *ep, struct epitem *epi)
{
    bool waiting;

    pthread_mutex_lock(&ep->lock);
    rdl_add(ep, epi);
    waiting = waitqueue_active(&ep->wq);
    if (!waiting || ep->nested)
        ep_tell_outside(ep);
    pthread_mutex_unlock(&ep->lock);
    if (waiting)
        wake_up_poll(&ep->wq, EPOLLIN);
}

/* The socket's wake-up; its wait queue lock is held. */
static void ep_poll_callback(struct wait_queue_entry *e, u32 mask)
{
    struct epitem *epi = container_of(e, struct epitem, wqe);
    u32 want = READ_ONCE(epi->event.events);

    if (!(want & ~EP_PRIVATE_BITS) || (mask && !(mask & want)))
        return;
    ep_ready(epi->ep, epi);
}

static void ep_ptable_queue(struct socket *sock, struct wait_queue_head *q, struct poll_table *pt)
{
    struct epitem *epi = pt->arg;

    if (epi->wq)
        return; /* a TCP socket has one queue */
    epi->wq = q;
    epi->wqe.func = ep_poll_callback;
    epi->wqe.exclusive = epi->event.events & EPOLLEXCLUSIVE;
    add_wait_queue(q, &epi->wqe);
}

/* Put an item into our half and look whether it is ready already. ep->mtx held. */
static int ep_attach(struct eventpoll *ep, struct epitem *epi)
{
    struct poll_table pt = {ep_ptable_queue, epi};
    int epfd = file_fd(ep->file), r = ep_need_efd(ep);

    if (r < 0)
        return r;
    if (atomic_load(&epi->file->state) == FILE_LISTEN_BOTH) {
        struct epoll_event ev = {.events = epi->event.events & ~(u32)EPOLLWAKEUP, .data.u64 = (u64)(uintptr_t)epi};

        r = REAL(real_epoll_ctl(epfd, EPOLL_CTL_ADD, epi->fd, &ev));
        if (r < 0)
            return r;
        epi->kernel_too = true;
        cds_list_add(&epi->k_node, &ep->listeners);
        atomic_fetch_add(&ep->nr_kernel, 1);
    }
    epi->in_kernel = false;
    atomic_fetch_add(&ep->nr_user, 1);
    if (file_poll(epi->file, &pt) & epi->event.events)
        ep_ready(ep, epi);
    pthread_mutex_lock(&ep->lock);
    if (atomic_load(&ep->kernel_waiters)) /* they sleep where they cannot see it: fetch them */
        ep_signal(ep);
    pthread_mutex_unlock(&ep->lock);
    return 0;
}

/* Out of our half. keep_kernel: the listener's twin stays in the kernel's. ep->mtx held. */
static void ep_detach(struct eventpoll *ep, struct epitem *epi, bool closing)
{
    if (epi->in_kernel)
        return;
    if (epi->wq)
        remove_wait_queue(epi->wq, &epi->wqe);
    epi->wq = NULL;
    pthread_mutex_lock(&ep->lock);
    rdl_del(ep, epi);
    pthread_mutex_unlock(&ep->lock);
    if (epi->kernel_too) {
        struct epoll_event ev = {0};

        if (!closing)
            real_epoll_ctl(file_fd(ep->file), EPOLL_CTL_DEL, epi->fd, &ev);
        cds_list_del(&epi->k_node);
        epi->kernel_too = false;
        atomic_fetch_sub(&ep->nr_kernel, 1);
    }
    atomic_fetch_sub(&ep->nr_user, 1);
    epi->in_kernel = true;
}

/* epmutex and ep->mtx held. */
static void ep_free_item(struct eventpoll *ep, struct epitem *epi)
{
    struct epitem **p = &ep->by_fd[epi->fd];

    while (*p != epi)
        p = &(*p)->next_fd;
    *p = epi->next_fd;
    cds_list_del(&epi->f_node);
    free(epi);
}

/* epmutex and ep->mtx held. */
static struct epitem *ep_new_item(struct eventpoll *ep, struct file *f, int fd, const struct epoll_event *ev)
{
    struct epitem *epi = ep_grow(ep, fd) ? calloc(1, sizeof(*epi)) : NULL;

    if (!epi)
        return NULL;
    epi->ep = ep;
    epi->file = f;
    epi->fd = fd;
    epi->event = *ev;
    epi->event.events |= EPOLLERR | EPOLLHUP;
    epi->in_kernel = true;
    epi->slot = -1;
    epi->next_fd = ep->by_fd[fd];
    ep->by_fd[fd] = epi;
    cds_list_add(&epi->f_node, &f->watchers);
    return epi;
}

/* ---- what the file's life does to its memberships ------------------------------------------------------------- */

void epoll_file_to_stack(struct file *f)
{
    struct epoll_event none = {0};
    struct epitem *epi;
    int saved = errno;

    pthread_mutex_lock(&epmutex);
    cds_list_for_each_entry(epi, &f->watchers, f_node) {
        struct eventpoll *ep = epi->ep;

        pthread_mutex_lock(&ep->mtx);
        if (epi->in_kernel) {
            real_epoll_ctl(file_fd(ep->file), EPOLL_CTL_DEL, epi->fd, &none);
            if (ep_attach(ep, epi) < 0)
                shim_err("descriptor %d cannot be watched: no descriptor is free for the epoll set's own event", epi->fd);
        }
        pthread_mutex_unlock(&ep->mtx);
    }
    pthread_mutex_unlock(&epmutex);
    errno = saved;
}

void epoll_file_to_kernel(struct file *f)
{
    struct epitem *epi;
    int saved = errno;

    pthread_mutex_lock(&epmutex);
    cds_list_for_each_entry(epi, &f->watchers, f_node) {
        struct eventpoll *ep = epi->ep;
        struct epoll_event ev = epi->event;

        pthread_mutex_lock(&ep->mtx);
        if (!epi->in_kernel) {
            ep_detach(ep, epi, false);
            if (!(ev.events & ~EP_PRIVATE_BITS))
                ev.events |= EPOLLONESHOT; /* had fired: disarmed until the next MOD */
            real_epoll_ctl(file_fd(ep->file), EPOLL_CTL_ADD, epi->fd, &ev);
            if (ev.events & EPOLLONESHOT && !(epi->event.events & ~EP_PRIVATE_BITS)) {
                ev.events = EPOLLONESHOT; /* the kernel adds ERR and HUP: one report at most */
                real_epoll_ctl(file_fd(ep->file), EPOLL_CTL_MOD, epi->fd, &ev);
            }
        }
        pthread_mutex_unlock(&ep->mtx);
    }
    pthread_mutex_unlock(&epmutex);
    errno = saved;
}

static void drop_items(struct file *f, bool closing)
{
    struct epitem *epi, *tmp;

    pthread_mutex_lock(&epmutex);
    cds_list_for_each_entry_safe(epi, tmp, &f->watchers, f_node) {
        struct eventpoll *ep = epi->ep;

        pthread_mutex_lock(&ep->mtx);
        ep_detach(ep, epi, closing);
        if (!closing)
            atomic_fetch_add(&ep->nr_kernel, 1);
        ep_free_item(ep, epi);
        pthread_mutex_unlock(&ep->mtx);
    }
    pthread_mutex_unlock(&epmutex);
}

void epoll_file_untrack(struct file *f) { drop_items(f, false); }
void epoll_file_release(struct file *f) { drop_items(f, true); }

void epoll_release(struct file *f)
{
    struct eventpoll *ep = f->private_ep;

    if (!ep)
        return;
    f->private_ep = NULL;
    pthread_mutex_lock(&epmutex);
    pthread_mutex_lock(&ep->mtx);
    for (int fd = 0; fd < ep->by_fd_len; fd++)
        while (ep->by_fd[fd]) {
            ep_detach(ep, ep->by_fd[fd], true);
            ep_free_item(ep, ep->by_fd[fd]);
        }
    pthread_mutex_unlock(&ep->mtx);
    cds_list_del(&ep->all);
    pthread_mutex_unlock(&epmutex);
    private_close(ep->efd);
    free(ep->by_fd);
    free(ep);
}

/* ---- epoll_create, epoll_ctl ------------------------------------------------------------------------------------- */

SHIM_EXPORT int epoll_create(int size) { return ep_created(real_epoll_create(size)); }
SHIM_EXPORT int epoll_create1(int flags) { return ep_created(real_epoll_create1(flags)); }

/* The kernel's own checks of what it is asked to do (epoll_ctl(2)). */
static int ctl_check(int op, struct epitem *epi, const struct epoll_event *ev)
{
    u32 bits = ev ? ev->events : 0;

    if (op != EPOLL_CTL_ADD && op != EPOLL_CTL_MOD && op != EPOLL_CTL_DEL)
        return -EINVAL;
    if (op != EPOLL_CTL_DEL && (bits & EPOLLEXCLUSIVE) &&
        (op == EPOLL_CTL_MOD || (bits & ~(u32)EPOLLEXCLUSIVE_OK_BITS)))
        return -EINVAL;
    if (op == EPOLL_CTL_ADD)
        return epi ? -EEXIST : 0;
    if (!epi)
        return -ENOENT;
    if (op == EPOLL_CTL_MOD && (epi->event.events & EPOLLEXCLUSIVE))
        return -EINVAL;
    return 0;
}

/* epmutex and ep->mtx held. */
static int ctl_mod(struct eventpoll *ep, struct epitem *epi, const struct epoll_event *ev)
{
    WRITE_ONCE(epi->event.events, ev->events | EPOLLERR | EPOLLHUP);
    epi->event.data = ev->data;
    if (epi->kernel_too) {
        struct epoll_event k = {.events = epi->event.events & ~(u32)EPOLLWAKEUP, .data.u64 = (u64)(uintptr_t)epi};

        real_epoll_ctl(file_fd(ep->file), EPOLL_CTL_MOD, epi->fd, &k);
    }
    /* As Linux: look after the change, so that an event between the two is not lost. */
    if (file_poll(epi->file, NULL) & epi->event.events)
        ep_ready(ep, epi);
    return 0;
}

/* A member that the stack serves. */
static int ctl_stack(struct eventpoll *ep, int op, struct file *f, int fd, const struct epoll_event *ev)
{
    struct epitem *epi;
    int r;

    if (op != EPOLL_CTL_DEL && !user_ok(ev, sizeof(*ev)))
        return -EFAULT;
    pthread_mutex_lock(&epmutex);
    pthread_mutex_lock(&ep->mtx);
    epi = ep_find(ep, f, fd);
    r = ctl_check(op, epi, ev);
    if (!r && op == EPOLL_CTL_ADD) {
        epi = ep_new_item(ep, f, fd, ev);
        r = epi ? ep_attach(ep, epi) : -ENOMEM;
        if (r && epi)
            ep_free_item(ep, epi);
    } else if (!r && op == EPOLL_CTL_MOD) {
        r = ctl_mod(ep, epi, ev);
    } else if (!r) {
        ep_detach(ep, epi, false);
        ep_free_item(ep, epi);
    }
    pthread_mutex_unlock(&ep->mtx);
    pthread_mutex_unlock(&epmutex);
    return r;
}

/* An undecided socket: the kernel's half has it, and we remember. */
static int ctl_new(struct eventpoll *ep, int epfd, int op, struct file *f, int fd, struct epoll_event *ev)
{
    struct epitem *epi;
    int r;

    pthread_mutex_lock(&epmutex);
    pthread_mutex_lock(&ep->mtx);
    r = REAL(real_epoll_ctl(epfd, op, fd, ev));
    epi = r ? NULL : ep_find(ep, f, fd);
    if (!r && op == EPOLL_CTL_ADD && !epi) {
        atomic_fetch_add(&ep->nr_kernel, 1); /* and stays counted: an upper bound */
        if (!ep_new_item(ep, f, fd, ev)) {
            real_epoll_ctl(epfd, EPOLL_CTL_DEL, fd, ev);
            r = -ENOMEM;
        }
    } else if (epi && op == EPOLL_CTL_MOD) {
        epi->event = *ev;
        epi->event.events |= EPOLLERR | EPOLLHUP;
    } else if (epi && op == EPOLL_CTL_DEL) {
        ep_free_item(ep, epi);
    }
    pthread_mutex_unlock(&ep->mtx);
    pthread_mutex_unlock(&epmutex);
    return r;
}

/* A plain member of the kernel's half. */
static int ctl_kernel(struct eventpoll *ep, int epfd, int op, int fd, struct epoll_event *ev)
{
    int r = real_epoll_ctl(epfd, op, fd, ev);

    if (!r && op == EPOLL_CTL_ADD)
        atomic_fetch_add(&ep->nr_kernel, 1);
    else if (!r && op == EPOLL_CTL_DEL && atomic_load(&ep->nr_kernel) > 0)
        atomic_fetch_sub(&ep->nr_kernel, 1);
    if (!r && op == EPOLL_CTL_ADD && fd_kind_of(fd) == FD_EPOLL) { /* a set inside this one */
        struct file *inner = fget(fd);

        if (inner) {
            if (inner->private_ep)
                inner->private_ep->nested = true;
            fput(inner);
        }
    }
    return r;
}

/* An epoll descriptor that we have not seen being made (it came over exec or a socket). */
static bool adopt(int epfd)
{
    char path[32], name[32];
    ssize_t n;

    snprintf(path, sizeof(path), "/proc/self/fd/%d", epfd);
    n = readlink(path, name, sizeof(name) - 1);
    if (n <= 0)
        return false;
    name[n] = 0;
    if (strcmp(name, "anon_inode:[eventpoll]"))
        return false;
    ep_created(epfd);
    return fd_kind_of(epfd) == FD_EPOLL;
}

SHIM_EXPORT int epoll_ctl(int epfd, int op, int fd, struct epoll_event *ev)
{
    struct file *epf, *f;
    u8 kind = fd_kind_of(fd);
    int r;

    if (shim_bypass() || (fd_kind_of(epfd) != FD_EPOLL && (likely(kind < FD_NEW) || kind == FD_EPOLL || !adopt(epfd))))
        return real_epoll_ctl(epfd, op, fd, ev);
    if (kind == FD_PRIVATE) {
        errno = EBADF;
        return -1;
    }
    epf = fget(epfd);
    if (!epf || !epf->private_ep) {
        if (epf)
            fput(epf);
        return real_epoll_ctl(epfd, op, fd, ev);
    }
    SHIM_ENTER();
    if (kind == FD_NEW && (f = fget(fd))) {
        if (atomic_load(&f->state) == FILE_NEW)
            r = (int)shim_ret(ctl_new(epf->private_ep, epfd, op, f, fd, ev));
        else
            r = ctl_kernel(epf->private_ep, epfd, op, fd, ev);
        fput(f);
    } else if (kind >= FD_STACK && (SHIM_LEAVE(), f = file_enter(fd), SHIM_ENTER(), f)) {
        SHIM_LEAVE(); /* file_enter's own */
        r = (int)shim_ret(ctl_stack(epf->private_ep, op, f, fd, ev));
        fput(f);
    } else {
        r = ctl_kernel(epf->private_ep, epfd, op, fd, ev);
    }
    fput(epf);
    SHIM_EXIT();
    return r;
}

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

static void forget_slots(struct eventpoll *ep)
{
    struct epitem *epi;

    cds_list_for_each_entry(epi, &ep->listeners, k_node)
        epi->slot = -1;
}

/* Role: what is ready now in both halves. kernel: look there too. */
static int ep_collect(struct eventpoll *ep, int epfd, struct epoll_event *events, int max, bool kernel)
{
    int n, got;

    pthread_mutex_lock(&ep->mtx);
    pthread_mutex_lock(&ep->lock);
    ep_unsignal(ep);
    pthread_mutex_unlock(&ep->lock);
    forget_slots(ep);
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
            forget_slots(ep);
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
