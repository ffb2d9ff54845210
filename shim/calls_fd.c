/* SPDX-License-Identifier: MIT */
/* Descriptors: what makes, copies and closes them, and their flags. */

#include "file.h"
#include "handover.h"
#include "runtime.h"
#include <asm/ioctls.h>
#include <linux/close_range.h>
#include <linux/sockios.h>

/* ---- close --------------------------------------------------------------------------------------------------- */

/* Close descriptor fd of ours: the table first, then the kernel, then the connection. */
static int close_ours(int fd)
{
    struct file *f;
    int r;

    SHIM_ENTER();
    f = fd_detach(fd); /* before the close: afterwards another thread may have the number */
    r = real_close(fd);
    if (f) {
        int saved = errno;
        fput(f); /* may wait: SO_LINGER */
        errno = saved;
    }
    SHIM_EXIT();
    return r;
}

SHIM_EXPORT int close(int fd)
{
    u8 kind = fd_kind_of(fd);

    if (likely(kind == FD_FREE) || shim_tls.in_vfork)
        return real_close(fd);
    if (kind == FD_PRIVATE) {
        if (shim_tls.in_stack) { /* the library that opened it */
            fd_unprotect(fd);
            return real_close(fd);
        }
        errno = EBADF;
        return -1;
    }
    return close_ours(fd);
}

SHIM_EXPORT int __close(int fd) { return close(fd); }

SHIM_EXPORT int close_range(unsigned first, unsigned last, int flags)
{
    unsigned start = first;
    int fd, r;

    if (shim_bypass() || first > last || (flags & ~(CLOSE_RANGE_CLOEXEC | CLOSE_RANGE_UNSHARE)) ||
        (flags & CLOSE_RANGE_CLOEXEC) || fd_table_highest() < 0)
        return real_close_range(first, last, flags); /* what is ours is close-on-exec anyway */
    if (flags & CLOSE_RANGE_UNSHARE && real_close_range(~0u, ~0u, flags) < 0)
        return -1;
    for (fd = fd_next_used((int)min(first, FD_TABLE_MAX)); fd >= 0 && (unsigned)fd <= last; fd = fd_next_used(fd + 1)) {
        if (fd_kind_of(fd) != FD_PRIVATE) {
            close_ours(fd);
            continue;
        }
        if ((unsigned)fd > start && (r = real_close_range(start, (unsigned)fd - 1, 0)) < 0)
            return r;
        start = (unsigned)fd + 1;
    }
    return start <= last ? real_close_range(start, last, 0) : 0;
}

SHIM_EXPORT void closefrom(int low)
{
    if (shim_bypass() || fd_table_highest() < 0)
        real_closefrom(low);
    else
        (void)close_range((unsigned)max(low, 0), ~0u, 0);
}

/* ---- dup ----------------------------------------------------------------------------------------------------- */

/* Is the descriptor hidden from the program? */
static bool hidden(int fd) { return unlikely(fd_kind_of(fd) == FD_PRIVATE) && !shim_bypass(); }

/* The kernel made newfd a copy of fd. */
static int copied(int fd, int newfd)
{
    struct file *f;

    if (newfd < 0 || shim_bypass())
        return newfd;
    if (likely(fd_kind_of(fd) < FD_NEW)) {
        fd_fresh(newfd);
        return newfd;
    }
    SHIM_ENTER();
    f = fget(fd);
    if (f) {
        fd_install(newfd, f);
        fput(f);
    }
    SHIM_EXIT();
    return newfd;
}

SHIM_EXPORT int dup(int fd)
{
    if (hidden(fd)) {
        errno = EBADF;
        return -1;
    }
    return copied(fd, real_dup(fd));
}

/* dup2 and dup3; real is the call itself. */
static int dup_onto(int fd, int newfd, int flags, bool dup3_)
{
    struct file *old = NULL;
    int r;

#define KERNEL_DUP() (dup3_ ? real_dup3(fd, newfd, flags) : real_dup2(fd, newfd))
    if (likely(fd_kind_of(fd) == FD_FREE && fd_kind_of(newfd) == FD_FREE) || shim_bypass() || fd == newfd)
        return KERNEL_DUP();
    if (hidden(fd)) {
        errno = EBADF;
        return -1;
    }
    if (hidden(newfd)) { /* one of ours cannot go away: as if another thread were about to open it */
        errno = EBUSY;
        return -1;
    }
    if (real_fcntl(fd, F_GETFD) < 0)
        return -1;
    /* Standard streams are read and written by code that cannot be intercepted. */
    if (newfd >= 0 && newfd <= 2 && fd_kind_of(fd) >= FD_STACK)
        handover_fd(fd, "the program made it a standard stream");
    SHIM_ENTER();
    if (newfd >= 0 && newfd <= 2 && fd_kind_of(fd) == FD_NEW && (old = fget(fd))) {
        if (atomic_load(&old->state) == FILE_NEW)
            file_to_kernel(old, FILE_KERNEL);
        fput(old);
    }
    old = fd_detach(newfd);
    r = KERNEL_DUP();
    if (r >= 0) {
        struct file *f = fget(fd);

        if (f) {
            fd_install(newfd, f);
            fput(f);
        }
    }
    if (old) {
        int saved = errno;
        fput(old);
        errno = saved;
    }
    SHIM_EXIT();
    return r;
}

SHIM_EXPORT int dup2(int fd, int newfd) { return dup_onto(fd, newfd, 0, false); }
SHIM_EXPORT int __dup2(int fd, int newfd) { return dup2(fd, newfd); }
SHIM_EXPORT int dup3(int fd, int newfd, int flags) { return dup_onto(fd, newfd, flags, true); }

/* ---- fcntl, ioctl ----------------------------------------------------------------------------------------------- */

static void set_nonblock(struct file *f, bool on)
{
    WRITE_ONCE(f->f_flags, on ? f->f_flags | O_NONBLOCK : f->f_flags & ~O_NONBLOCK);
}

/* The flags of the twin are the program's too, but that a listener's twin never blocks. */
static int file_fcntl(struct file *f, int fd, int cmd, long arg)
{
    bool listener = atomic_load(&f->state) == FILE_LISTEN_BOTH;
    int r;

    switch (cmd) {
    case F_SETFL:
        r = REAL(real_fcntl(fd, cmd, listener ? arg | O_NONBLOCK : arg));
        if (!r)
            set_nonblock(f, arg & O_NONBLOCK);
        return r;
    case F_GETFL:
        r = REAL(real_fcntl(fd, cmd, arg));
        return r < 0 ? r : (r & ~O_NONBLOCK) | (f->f_flags & O_NONBLOCK);
    default:
        return REAL(real_fcntl(fd, cmd, arg));
    }
}

static int do_fcntl(int fd, int cmd, long arg)
{
    struct file *f;
    int r;

    if (likely(fd_kind_of(fd) == FD_FREE)) {
        r = real_fcntl(fd, cmd, arg);
        return cmd == F_DUPFD || cmd == F_DUPFD_CLOEXEC ? copied(fd, r) : r;
    }
    if (hidden(fd)) {
        errno = EBADF;
        return -1;
    }
    if (cmd == F_DUPFD || cmd == F_DUPFD_CLOEXEC)
        return copied(fd, real_fcntl(fd, cmd, arg));
    if (fd_kind_of(fd) == FD_NEW && cmd == F_SETFL && !shim_bypass() && (f = fget(fd))) {
        SHIM_ENTER();
        r = real_fcntl(fd, cmd, arg);
        if (!r)
            set_nonblock(f, arg & O_NONBLOCK);
        fput(f);
        SHIM_EXIT();
        return r;
    }
    return (int)FILE_CALL(fd, real_fcntl(fd, cmd, arg), file_fcntl(f, fd, cmd, arg));
}

SHIM_EXPORT int fcntl(int fd, int cmd, ...)
{
    va_list ap;
    long arg;

    va_start(ap, cmd);
    arg = va_arg(ap, long);
    va_end(ap);
    return do_fcntl(fd, cmd, arg);
}

SHIM_EXPORT int fcntl64(int fd, int cmd, ...)
{
    va_list ap;
    long arg;

    va_start(ap, cmd);
    arg = va_arg(ap, long);
    va_end(ap);
    return do_fcntl(fd, cmd, arg);
}

SHIM_EXPORT int __fcntl(int fd, int cmd, ...)
{
    va_list ap;
    long arg;

    va_start(ap, cmd);
    arg = va_arg(ap, long);
    va_end(ap);
    return do_fcntl(fd, cmd, arg);
}

static int file_ioctl(struct file *f, int fd, unsigned long cmd, void *arg)
{
    switch (cmd) {
    case FIONBIO:
        if (!user_ok(arg, sizeof(int)) || !arg)
            return -EFAULT;
        set_nonblock(f, *(int *)arg);
        return atomic_load(&f->state) == FILE_LISTEN_BOTH ? 0 : REAL(real_ioctl(fd, cmd, arg));
    case FIONREAD:
    case SIOCOUTQ:
    case SIOCOUTQNSD:
    case SIOCATMARK:
        if (!user_ok(arg, sizeof(int)) || !arg)
            return -EFAULT;
        return f->f_op->unlocked_ioctl(f, cmd, arg);
    default:
        return REAL(real_ioctl(fd, cmd, arg));
    }
}

SHIM_EXPORT int ioctl(int fd, unsigned long cmd, ...)
{
    struct file *f;
    va_list ap;
    void *arg;
    int r;

    va_start(ap, cmd);
    arg = va_arg(ap, void *);
    va_end(ap);
    if (likely(fd_kind_of(fd) == FD_FREE))
        return real_ioctl(fd, cmd, arg);
    if (hidden(fd)) {
        errno = EBADF;
        return -1;
    }
    if (fd_kind_of(fd) == FD_NEW && cmd == FIONBIO && !shim_bypass() && (f = fget(fd))) {
        SHIM_ENTER();
        r = real_ioctl(fd, cmd, arg);
        if (!r)
            set_nonblock(f, *(int *)arg);
        fput(f);
        SHIM_EXIT();
        return r;
    }
    return (int)FILE_CALL(fd, real_ioctl(fd, cmd, arg), file_ioctl(f, fd, cmd, arg));
}
