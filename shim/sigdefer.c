/* SPDX-License-Identifier: MIT */
/* Signals that arrive while their thread is inside the stack.
 *
 * A handler may do anything the program likes, on the sockets too, so it must not run while the thread
 * holds a lock of the stack. Every handler is therefore installed behind a trampoline. Outside the stack
 * the trampoline just calls it. Inside, it queues the same signal to its own thread again and leaves it
 * blocked in the interrupted context: the kernel is the queue, siginfo included. When the thread leaves
 * the stack, sigdefer_run() unblocks it and the kernel delivers it as if it had just come, on the right
 * stack and with the right mask. A thread that sleeps in the stack is woken by the signal, leaves with
 * -EINTR or -ERESTARTSYS, and runs the handler then; the handler may longjmp.
 *
 * Faults (SIGSEGV and its like raised by the kernel) and abort() never wait. */

#include "runtime.h"
#include <sys/syscall.h>
#include <sys/ucontext.h>

#define SIGBIT(sig) (1ull << ((sig)-1))
#define NSIG_ 64

static struct action { /* what the program asked for; written under actions_lock, read by handlers without */
    void *handler;     /* sa_handler or sa_sigaction; NULL: not behind the trampoline */
    int flags;
} actions[NSIG_ + 1];
static void (*last_words[NSIG_ + 1])(int sig); /* in place of SIG_DFL; under actions_lock */
static u64 interrupt_set; /* siginterrupt(sig, 1), under actions_lock */
static pthread_mutex_t actions_lock = PTHREAD_MUTEX_INITIALIZER; /* taken with all signals blocked; innermost */
static _Atomic bool started;

static u64 lock_actions(void)
{
    u64 all = SIGMASK_ALL, old;

    raw_sigmask(SIG_BLOCK, &all, &old);
    pthread_mutex_lock(&actions_lock);
    return old;
}

static void unlock_actions(u64 old)
{
    pthread_mutex_unlock(&actions_lock);
    raw_sigmask(SIG_SETMASK, &old, NULL);
}

static bool cannot_wait(int sig, const siginfo_t *info)
{
    switch (sig) {
    case SIGSEGV:
    case SIGBUS:
    case SIGILL:
    case SIGFPE:
    case SIGTRAP:
    case SIGSYS:
        return info->si_code > 0;
    case SIGABRT:
        return true;
    }
    return false;
}

/* Put the signal back: pending for this thread, blocked until sigdefer_run(). */
static void defer(int sig, siginfo_t *info, ucontext_t *uc)
{
    struct shim_tls *t = &shim_tls;
    u64 *mask = (u64 *)&uc->uc_sigmask;
    pid_t pid = (pid_t)raw_syscall4(SYS_getpid, 0, 0, 0, 0), tid = (pid_t)raw_syscall4(SYS_gettid, 0, 0, 0, 0);

    if (t->in_ppoll && (t->ppoll_orig & SIGBIT(sig)))
        t->reblock |= SIGBIT(sig);
    t->deferred |= SIGBIT(sig);
    if (!(actions[sig].flags & SA_RESTART))
        t->norestart = 1;
    *mask |= SIGBIT(sig);
    if (raw_syscall4(SYS_rt_tgsigqueueinfo, pid, tid, sig, info) < 0) /* queue limit reached: without siginfo */
        raw_syscall4(SYS_tgkill, pid, tid, sig, 0);
}

static void trampoline(int sig, siginfo_t *info, void *uc)
{
    struct action a = actions[sig];

    if (unlikely(shim_tls.in_stack) && !cannot_wait(sig, info)) {
        defer(sig, info, uc);
        return;
    }
    if (a.flags & SA_RESETHAND) { /* the kernel would have done it at the first delivery, which we put off */
        struct sigaction dfl = {.sa_handler = SIG_DFL};
        real_sigaction(sig, &dfl, NULL);
    }
    if (!a.handler)
        return;
    if (a.flags & SA_SIGINFO)
        ((void (*)(int, siginfo_t *, void *))a.handler)(sig, info, uc);
    else
        ((void (*)(int))a.handler)(sig);
}

bool sigdefer_run(void)
{
    struct shim_tls *t = &shim_tls;
    u64 unblock = t->deferred, reblock = t->reblock;
    bool norestart = t->norestart;
    int saved = errno;

    if (t->in_stack || !unblock)
        return false;
    t->deferred = t->reblock = 0;
    t->norestart = 0;
    raw_sigmask(SIG_UNBLOCK, &unblock, NULL); /* the handlers run here */
    if (reblock)
        raw_sigmask(SIG_BLOCK, &reblock, NULL);
    errno = saved;
    return norestart;
}

static bool is_function(const struct sigaction *sa)
{
    return sa->sa_handler != SIG_DFL && sa->sa_handler != SIG_IGN && sa->sa_handler != SIG_ERR;
}

/* What the program would see, had we not put the trampoline there. */
static void show_own(int sig, struct sigaction *sa, const struct action *a)
{
    if (sa->sa_sigaction != trampoline || !a->handler)
        return;
    if (a->handler == (void *)last_words[sig]) {
        sa->sa_handler = SIG_DFL;
        sa->sa_flags &= ~SA_SIGINFO;
        return;
    }
    sa->sa_sigaction = (void (*)(int, siginfo_t *, void *))a->handler;
    sa->sa_flags = (sa->sa_flags & ~(SA_SIGINFO | SA_RESETHAND)) | (a->flags & (SA_SIGINFO | (int)SA_RESETHAND));
}

static int set_action(int sig, const struct sigaction *act, struct sigaction *old)
{
    struct sigaction k, kold;
    struct action before;
    int r, err;
    u64 mask;

    if (shim_tls.in_vfork || sig < 1 || sig > NSIG_) { /* the table is the parent's: only look */
        r = real_sigaction(sig, act, old);
        if (!r && old && sig >= 1 && sig <= NSIG_)
            show_own(sig, old, &actions[sig]);
        return r;
    }
    if (act)
        k = *act; /* faults here, not under the lock */
    mask = lock_actions();
    before = actions[sig];
    if (act && k.sa_handler == SIG_DFL && last_words[sig])
        k.sa_handler = last_words[sig];
    if (act && is_function(&k)) {
        actions[sig] = (struct action){(void *)k.sa_sigaction, k.sa_flags};
        k.sa_sigaction = trampoline;
        k.sa_flags = (k.sa_flags | SA_SIGINFO) & ~(int)SA_RESETHAND;
    }
    r = real_sigaction(sig, act ? &k : NULL, &kold);
    err = errno;
    if (r < 0)
        actions[sig] = before;
    unlock_actions(mask);
    if (r < 0) {
        errno = err;
        return r;
    }
    show_own(sig, &kold, &before);
    if (old)
        *old = kold;
    return 0;
}

void sigdefer_last_words(int sig, void (*fn)(int sig))
{
    struct sigaction sa;
    u64 mask;

    if (real_sigaction(sig, NULL, &sa))
        return;
    mask = lock_actions();
    last_words[sig] = fn;
    unlock_actions(mask);
    if (sa.sa_handler == SIG_DFL)
        set_action(sig, &sa, NULL);
}

void sigdefer_default(int sig)
{
    struct sigaction sa = {.sa_handler = SIG_DFL};
    pid_t pid = (pid_t)raw_syscall4(SYS_getpid, 0, 0, 0, 0), tid = (pid_t)raw_syscall4(SYS_gettid, 0, 0, 0, 0);

    real_sigaction(sig, &sa, NULL);
    raw_syscall4(SYS_tgkill, pid, tid, sig, 0);
}

void sigdefer_start(void)
{
    int saved = errno;

    if (atomic_exchange(&started, true))
        return;
    for (int sig = 1; sig <= NSIG_; sig++) {
        struct sigaction sa;

        if (!real_sigaction(sig, NULL, &sa) && is_function(&sa) && sa.sa_sigaction != trampoline)
            set_action(sig, &sa, NULL);
    }
    errno = saved;
}

/* ---- the calls ------------------------------------------------------------------------------------------- */

SHIM_EXPORT int sigaction(int sig, const struct sigaction *act, struct sigaction *old)
{
    return atomic_load_explicit(&started, memory_order_relaxed) ? set_action(sig, act, old) : real_sigaction(sig, act, old);
}

SHIM_EXPORT int __sigaction(int sig, const struct sigaction *act, struct sigaction *old)
{
    return sigaction(sig, act, old);
}

static sighandler_t signal_with(int sig, sighandler_t handler, int flags, bool mask_itself)
{
    struct sigaction sa = {.sa_handler = handler, .sa_flags = flags}, old;

    sigemptyset(&sa.sa_mask);
    if (handler == SIG_ERR || sig < 1 || sig > NSIG_) {
        errno = EINVAL;
        return SIG_ERR;
    }
    if (mask_itself)
        sigaddset(&sa.sa_mask, sig);
    return set_action(sig, &sa, &old) < 0 ? SIG_ERR : old.sa_handler;
}

SHIM_EXPORT sighandler_t signal(int sig, sighandler_t handler)
{
    if (!atomic_load_explicit(&started, memory_order_relaxed))
        return real_signal(sig, handler);
    return signal_with(sig, handler, sig >= 1 && sig <= NSIG_ && (interrupt_set & SIGBIT(sig)) ? 0 : SA_RESTART, true);
}

SHIM_EXPORT sighandler_t bsd_signal(int sig, sighandler_t handler) { return signal(sig, handler); }

SHIM_EXPORT sighandler_t __sysv_signal(int sig, sighandler_t handler)
{
    if (!atomic_load_explicit(&started, memory_order_relaxed))
        return real___sysv_signal(sig, handler);
    return signal_with(sig, handler, (int)SA_RESETHAND | SA_NODEFER, false);
}

SHIM_EXPORT sighandler_t sysv_signal(int sig, sighandler_t handler) { return __sysv_signal(sig, handler); }

#pragma GCC diagnostic ignored "-Wdeprecated-declarations"
SHIM_EXPORT int siginterrupt(int sig, int flag)
{
    struct sigaction sa;
    u64 mask;

    if (sig >= 1 && sig <= NSIG_) {
        mask = lock_actions();
        interrupt_set = flag ? interrupt_set | SIGBIT(sig) : interrupt_set & ~SIGBIT(sig);
        unlock_actions(mask);
    }
    if (!atomic_load_explicit(&started, memory_order_relaxed))
        return real_siginterrupt(sig, flag);
    if (set_action(sig, NULL, &sa) < 0)
        return -1;
    sa.sa_flags = flag ? sa.sa_flags & ~SA_RESTART : sa.sa_flags | SA_RESTART;
    return set_action(sig, &sa, NULL);
}
