/* SPDX-License-Identifier: MIT */
/* epoll sets: members and their two halves (see eventpoll.h), what is ready, epoll_create() and epoll_ctl(). */

#include "eventpoll.h"
#include <sys/eventfd.h>
#include <sys/syscall.h>

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

void ep_unsignal(struct eventpoll *ep)
{
    u64 n;

    ep->want_signal = false;
    if (ep->signalled) {
        ep->signalled = false;
        raw_syscall4(SYS_read, ep->efd, &n, sizeof(n), 0);
    }
}

void ep_tell_outside(struct eventpoll *ep)
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

void rdl_add(struct eventpoll *ep, struct epitem *epi)
{
    if (!epi->on_rdl) {
        epi->on_rdl = true;
        ep->rdl_len++;
        cds_list_add_tail(&epi->rdl_node, &ep->rdl);
    }
}

void rdl_del(struct eventpoll *ep, struct epitem *epi)
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
