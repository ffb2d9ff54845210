/* SPDX-License-Identifier: MIT */
#ifndef SLUICE_SHIM_EVENTPOLL_H
#define SLUICE_SHIM_EVENTPOLL_H
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
#include "runtime.h"

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

/* ---- eventpoll: the set and its members (epoll.c) ---------------------------------------------------------------- */

/* The data under which the kernel's half reports the eventfd. */
static inline u64 ep_marker(const struct eventpoll *ep) { return (u64)(uintptr_t)ep | MARK_EP; }
/* The eventfd is not readable any more. ep->lock held. */
void ep_unsignal(struct eventpoll *ep);
/* Something is ready: tell those who look from outside. ep->lock held. */
void ep_tell_outside(struct eventpoll *ep);
/* The ready list. ep->lock held. */
void rdl_add(struct eventpoll *ep, struct epitem *epi);
void rdl_del(struct eventpoll *ep, struct epitem *epi);

#endif
