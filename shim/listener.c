/* SPDX-License-Identifier: MIT */
/* Listeners that processes share.
 *
 * A connection that the stack's half has taken can be accepted by this process only: the kernel has no way to put a
 * connection into a socket's accept queue. So that half takes connections only while this process is known to
 * accept them, and all others go to the twin, where every process finds them:
 *
 *   listen()                           parked
 *   accept(), poll & co.               takes: the program waits for connections itself
 *   fork()                             parked: the child may be the one who accepts from now on
 *   accept() again                     takes
 *   poll & co. again                   takes if the program has accepted before; who only ever polled may be inetd,
 *                                      whose child accepts
 *   all children have let go           takes, by the same rule
 *   another process uses the listener  parked for good (ceded)
 *
 * What the stack had taken before it was ceded stays with this process. If it calls no accept() for LISTENER_LEFT_NS,
 * or never has, the client gets a reset and can try again, as Linux does to what it cannot queue with
 * tcp_abort_on_overflow: the alternative is a client that waits for ever. That meets the first client of an inetd
 * ("wait"): later ones are the kernel's. */

#include "listener.h"
#include "libc.h"
#include "runtime.h"
#include <sys/timerfd.h>

#define LISTENER_LEFT_NS NSEC_PER_SEC

/* Protects accepted, lent, ceded and the half that takes connections. Inside f->lock and epoll's locks. */
static pthread_mutex_t listener_lock = PTHREAD_MUTEX_INITIALIZER;
static int left_timer = -1; /* runs while a ceded listener has connections left; under listener_lock */

static struct sock *listener_sk(struct file *f) { return f->private_data->sk; }

void listener_take(struct file *f, bool accepting)
{
    pthread_mutex_lock(&listener_lock);
    if (accepting)
        WRITE_ONCE(f->accepted, true);
    if (f->ceded)
        f->accepted_at = accepting ? clock_ns_now() : f->accepted_at;
    else if (f->accepted || !f->lent)
        inet_listen_park(listener_sk(f), false);
    pthread_mutex_unlock(&listener_lock);
}

void listener_lend(struct file *f)
{
    pthread_mutex_lock(&listener_lock);
    f->lent = true;
    inet_listen_park(listener_sk(f), true);
    pthread_mutex_unlock(&listener_lock);
}

void listener_back(struct file *f, const _Atomic u32 *holders)
{
    pthread_mutex_lock(&listener_lock);
    if (!atomic_load(holders) && f->accepted && !f->ceded)
        inet_listen_park(listener_sk(f), false);
    pthread_mutex_unlock(&listener_lock);
}

/* ---- ceded ---------------------------------------------------------------------------------------------------------- */

static bool anything_left(struct file *f)
{
    struct sock *sk = listener_sk(f);
    return READ_ONCE(sk->sk_ack_backlog) || atomic_load(&inet_csk(sk)->icsk_accept_queue.qlen) > 0;
}

static void purge(struct file *f)
{
    struct sock *sk = listener_sk(f);
    lock_sock(sk);
    inet_csk_accept_queue_purge(sk);
    release_sock(sk);
}

static bool is_ceded(struct file *f) { return atomic_load(&f->state) == FILE_LISTEN_BOTH && f->ceded; }

/* On the backstop thread. */
static void look_at_left(void *arg)
{
    struct file **v;
    bool left = false;
    u64 ticks;

    if (real_read(left_timer, &ticks, sizeof(ticks)) < 0)
        return;
    size_t n = file_collect(is_ceded, &v);
    for (size_t i = 0; i < n; i++) {
        struct file *f = v[i];
        pthread_mutex_lock(&f->lock);
        if (is_ceded(f)) {
            if (clock_ns_now() - READ_ONCE(f->accepted_at) >= LISTENER_LEFT_NS && READ_ONCE(listener_sk(f)->sk_ack_backlog)) {
                shim_warn("connections that were meant for another process of the same listener are reset: "
                          "this one does not accept them");
                purge(f);
            }
            left |= anything_left(f);
        }
        pthread_mutex_unlock(&f->lock);
        fput(f);
    }
    free(v);
    if (!left)
        timerfd_settime(left_timer, 0, &(struct itimerspec){0}, NULL);
}

static void watch_left(void)
{
    const struct timespec period = {.tv_nsec = LISTENER_LEFT_NS / 4};

    if (left_timer < 0) {
        left_timer = private_fd(timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK));
        if (left_timer >= 0 && backstop_add_fd(left_timer, look_at_left, NULL)) {
            private_close(left_timer);
            left_timer = -1;
        }
    }
    if (left_timer >= 0)
        timerfd_settime(left_timer, 0, &(struct itimerspec){period, period}, NULL);
}

bool listener_cede(struct file *f)
{
    bool left;

    pthread_mutex_lock(&listener_lock);
    if (!f->ceded) {
        f->ceded = true;
        f->accepted_at = f->accepted ? clock_ns_now() : 0;
    }
    inet_listen_park(listener_sk(f), true);
    left = anything_left(f);
    if (left)
        watch_left();
    pthread_mutex_unlock(&listener_lock);
    return !left;
}

void listener_end_left(void)
{
    struct file **v;
    size_t n = file_collect(is_ceded, &v);

    for (size_t i = 0; i < n; i++) {
        pthread_mutex_lock(&v[i]->lock);
        if (is_ceded(v[i]))
            purge(v[i]);
        pthread_mutex_unlock(&v[i]->lock);
        fput(v[i]);
    }
    free(v);
}

void listener_forget_in_child(void)
{
    pthread_mutex_init(&listener_lock, NULL); /* another thread may have held it */
    if (left_timer >= 0)
        private_close(left_timer);
    left_timer = -1;
}
