/* SPDX-License-Identifier: MIT */
#ifndef SLUICE_SHIM_LIBC_H
#define SLUICE_SHIM_LIBC_H
/* The C library underneath: real_xxx for every symbol of intercept.def, callable at any time (before our
 * constructor, after our destructor, inside dlsym), and the thread's own state.
 *
 * Rule: code in shim/ that wants the kernel calls real_xxx. Code below shim/ (the stack, the drivers,
 * liburcu, libxdp) calls the plain names and so reaches our wrappers; SHIM_ENTER() makes those go
 * straight to libc. */

#include "../stack/core/types.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <stdarg.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/select.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

/* Declared nowhere in the public headers. */
ssize_t __read_chk(int fd, void *buf, size_t n, size_t buflen);
ssize_t __recv_chk(int fd, void *buf, size_t n, size_t buflen, int flags);
ssize_t __recvfrom_chk(int fd, void *buf, size_t n, size_t buflen, int flags, struct sockaddr *addr, socklen_t *len);
int __poll_chk(struct pollfd *fds, nfds_t n, int timeout, size_t fdslen);
int __ppoll_chk(struct pollfd *fds, nfds_t n, const struct timespec *ts, const sigset_t *mask, size_t fdslen);
int __dprintf_chk(int fd, int flag, const char *fmt, ...);
int __vdprintf_chk(int fd, int flag, const char *fmt, va_list ap);
ssize_t __read(int fd, void *buf, size_t n);
ssize_t __write(int fd, const void *buf, size_t n);
int __close(int fd);
int __connect(int fd, __CONST_SOCKADDR_ARG addr, socklen_t len);
ssize_t __send(int fd, const void *buf, size_t n, int flags);
int __poll(struct pollfd *fds, nfds_t n, int timeout);
int __select(int n, fd_set *r, fd_set *w, fd_set *e, struct timeval *tv);
int __fcntl(int fd, int cmd, ...);
int __dup2(int fd, int fd2);
pid_t __fork(void);
pid_t __vfork(void);
int __clone(int (*fn)(void *), void *stack, int flags, void *arg, ...);
int __sigaction(int sig, const struct sigaction *act, struct sigaction *old);
sighandler_t __sysv_signal(int sig, sighandler_t handler);
sighandler_t bsd_signal(int sig, sighandler_t handler);

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wdeprecated-declarations" /* siginterrupt */
#define SYM(name, nr) extern __typeof__(name) *real_##name;
#include "intercept.def"
#undef SYM
#pragma GCC diagnostic pop

/* Look up every symbol now. Idempotent, any thread. The constructor calls it; until then, and inside
 * dlsym itself, real_xxx resolve themselves or make the raw system call. */
void libc_resolve_all(void);

/* Per thread, initial-exec TLS (comes out of every thread's stack: keep it below 256 bytes). */
struct shim_tls {
    u32 in_stack;      /* depth: wrappers go straight to libc, handlers are deferred */
    u32 in_vfork;      /* between vfork() and exec in the child: this is the parent's memory */
    u64 deferred;      /* signals (bit sig-1) that arrived meanwhile: blocked and queued in the kernel */
    u64 reblock;       /* of those, the ones that the program itself blocks */
    u64 ppoll_orig;    /* while asleep: the program's mask */
    u8 in_ppoll;
    u8 norestart;      /* one of the deferred handlers has no SA_RESTART */
    u8 cancel;         /* pthread_cancel() was aimed at this thread */
    u8 resolving;      /* inside dlsym() for us: real_xxx are raw system calls */
    int saved_errno;   /* at file_enter(): a call that succeeds leaves errno alone */
    struct shim_thread *thread; /* waiter.c */
};
extern __thread struct shim_tls shim_tls __attribute__((tls_model("initial-exec"), visibility("hidden")));

/* Is this call to go straight to libc, whatever the descriptor? */
static inline bool shim_bypass(void) { return unlikely(shim_tls.in_stack | shim_tls.in_vfork); }

/* sigdefer.c: let the handlers of deferred signals run now (in_stack is 0). Returns true when one of them
 * has no SA_RESTART. */
bool sigdefer_run(void);

/* Between these two the thread is inside the stack. They nest. EXIT runs what was deferred. */
#define SHIM_ENTER() ((void)(shim_tls.in_stack++, __atomic_signal_fence(__ATOMIC_SEQ_CST)))
#define SHIM_LEAVE() ((void)(__atomic_signal_fence(__ATOMIC_SEQ_CST), shim_tls.in_stack--))
#define SHIM_EXIT()                                                                                \
    do {                                                                                           \
        SHIM_LEAVE();                                                                              \
        if (unlikely(shim_tls.deferred) && !shim_tls.in_stack)                                     \
            (void)sigdefer_run();                                                                  \
    } while (0)

/* A system call that is no cancellation point and leaves errno alone: -errno. */
static inline long raw_syscall6(long nr, long a, long b, long c, long d, long e, long f)
{
    register long r10 __asm__("r10") = d;
    register long r8 __asm__("r8") = e;
    register long r9 __asm__("r9") = f;
    long r;

    __asm__ volatile("syscall"
                     : "=a"(r)
                     : "a"(nr), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
                     : "rcx", "r11", "memory");
    return r;
}
#define raw_syscall4(nr, a, b, c, d) raw_syscall6(nr, (long)(a), (long)(b), (long)(c), (long)(d), 0, 0)
#define KERNEL_SIGSET_SIZE 8
/* how: SIG_BLOCK ...; kernel masks: bit sig-1. */
static inline void raw_sigmask(int how, const u64 *set, u64 *old)
{
    raw_syscall4(14 /* rt_sigprocmask */, how, set, old, KERNEL_SIGSET_SIZE);
}
/* Everything that may be blocked but glibc's own SIGCANCEL and SIGSETXID. */
#define SIGMASK_ALL (~0ull & ~(3ull << 31))

#define SHIM_EXPORT __attribute__((visibility("default")))

/* -errno to libc's convention; success does not touch errno. */
static inline ssize_t shim_ret(ssize_t r)
{
    if (unlikely(r < 0)) {
        errno = r == -ERESTARTSYS ? EINTR : (int)-r;
        return -1;
    }
    return r;
}
/* libc's convention to -errno. */
#define REAL(call)                                                                                 \
    ({                                                                                             \
        __auto_type r_ = (call);                                                                   \
        r_ < 0 ? -(__typeof__(r_))errno : r_;                                                      \
    })

#endif
