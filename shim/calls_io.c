/* SPDX-License-Identifier: MIT */
/* The calls that move bytes: read and write, send and recv and their families. */

#include "file.h"
#include "handover.h"
#include "runtime.h"
#include <limits.h>
#include <stdio.h>
#include <sys/syscall.h>

#define MAX_RW_COUNT 0x7ffff000ul
#define UIO_MAXIOV_ 1024

/* ---- what they have in common ----------------------------------------------------------------------------- */

/* EPIPE has a signal with it (send(2)), synchronous, to this thread. */
static ssize_t sent(ssize_t r, int flags)
{
    if (unlikely(r == -EPIPE) && !(flags & MSG_NOSIGNAL))
        raw_syscall4(SYS_tgkill, raw_syscall4(SYS_getpid, 0, 0, 0, 0), raw_syscall4(SYS_gettid, 0, 0, 0, 0), SIGPIPE, 0);
    return r;
}

/* import_iovec(): bytes in all, or -EINVAL, -EFAULT. */
static ssize_t iov_total(const struct iovec *iov, long n)
{
    size_t total = 0;

    if (n < 0 || n > UIO_MAXIOV_)
        return -EINVAL;
    if (!user_ok(iov, (size_t)n * sizeof(*iov)))
        return -EFAULT;
    for (long i = 0; i < n; i++) {
        if ((ssize_t)iov[i].iov_len < 0)
            return -EINVAL;
        if (!user_ok(iov[i].iov_base, iov[i].iov_len))
            return -EFAULT;
        total += iov[i].iov_len;
        if ((ssize_t)total < 0)
            return -EINVAL;
    }
    return (ssize_t)min(total, MAX_RW_COUNT);
}

/* A call that does not sleep gives the network its turn when there is nothing: the program may be polling
 * by calling us again and again. */
#define DRIVE_AND_RETRY(r, nonblock, again)                                                        \
    if (unlikely((r) == -EAGAIN) && (nonblock)) {                                                  \
        net_drive();                                                                               \
        (r) = (again);                                                                             \
    }

/* ---- read(2), write(2): through file_operations ------------------------------------------------------------ */

static ssize_t vfs_iter_read(struct file *f, const struct iovec *iov, long n, int flags)
{
    ssize_t total = iov_total(iov, n), r;
    struct kiocb iocb = {f, flags};
    struct iov_iter it;

    if (total < 0)
        return total;
    iov_iter_init(&it, iov, (size_t)n, (size_t)total);
    r = f->f_op->read_iter(&iocb, &it);
    DRIVE_AND_RETRY(r, file_nonblock(f) || (flags & MSG_DONTWAIT),
                    (iov_iter_init(&it, iov, (size_t)n, (size_t)total), f->f_op->read_iter(&iocb, &it)));
    return r;
}

static ssize_t vfs_iter_write(struct file *f, const struct iovec *iov, long n, int flags)
{
    ssize_t total = iov_total(iov, n), r;
    struct kiocb iocb = {f, flags};
    struct iov_iter it;

    if (total < 0)
        return total;
    iov_iter_init(&it, iov, (size_t)n, (size_t)total);
    r = f->f_op->write_iter(&iocb, &it);
    DRIVE_AND_RETRY(r, file_nonblock(f) || (flags & MSG_DONTWAIT),
                    (iov_iter_init(&it, iov, (size_t)n, (size_t)total), f->f_op->write_iter(&iocb, &it)));
    return r;
}

/* writev(2): of no bytes at all it does not even ask the socket, unlike write(2). */
static ssize_t vfs_writev(struct file *f, const struct iovec *iov, long n, int flags)
{
    ssize_t total = iov_total(iov, n);

    return total <= 0 ? total : vfs_iter_write(f, iov, n, flags);
}

static ssize_t file_read(struct file *f, void *buf, size_t n)
{
    struct iovec iov = {buf, min(n, MAX_RW_COUNT)};

    return (ssize_t)n < 0 ? -EINVAL : vfs_iter_read(f, &iov, 1, 0);
}

static ssize_t file_write(struct file *f, const void *buf, size_t n)
{
    struct iovec iov = {(void *)buf, min(n, MAX_RW_COUNT)};

    return (ssize_t)n < 0 ? -EINVAL : vfs_iter_write(f, &iov, 1, 0);
}

/* SIGPIPE belongs after the call has left the stack, so that its handler runs at once. */
#define FILE_SEND_CALL(fd, call, op, flags)                                                        \
    ({                                                                                             \
        ssize_t sr_;                                                                               \
        struct file *f;                                                                            \
        do {                                                                                       \
            f = file_enter(fd);                                                                    \
            sr_ = f ? (ssize_t)(op) : (ssize_t)(call);                                             \
        } while (unlikely(f != NULL) && file_leave(f, sr_));                                       \
        f ? shim_ret(sent(sr_, flags)) : sr_;                                                      \
    })

SHIM_EXPORT ssize_t read(int fd, void *buf, size_t n)
{
    return FILE_CALL(fd, real_read(fd, buf, n), file_read(f, buf, n));
}

SHIM_EXPORT ssize_t __read(int fd, void *buf, size_t n) { return read(fd, buf, n); }

SHIM_EXPORT ssize_t __read_chk(int fd, void *buf, size_t n, size_t buflen)
{
    if (unlikely(n > buflen))
        return real___read_chk(fd, buf, n, buflen); /* which ends the program */
    return read(fd, buf, n);
}

SHIM_EXPORT ssize_t write(int fd, const void *buf, size_t n)
{
    return FILE_SEND_CALL(fd, real_write(fd, buf, n), file_write(f, buf, n), 0);
}

SHIM_EXPORT ssize_t __write(int fd, const void *buf, size_t n) { return write(fd, buf, n); }

SHIM_EXPORT ssize_t readv(int fd, const struct iovec *iov, int n)
{
    return FILE_CALL(fd, real_readv(fd, iov, n), vfs_iter_read(f, iov, n, 0));
}

SHIM_EXPORT ssize_t writev(int fd, const struct iovec *iov, int n)
{
    return FILE_SEND_CALL(fd, real_writev(fd, iov, n), vfs_writev(f, iov, n, 0), 0);
}

/* pread(2) and its like answer ESPIPE by the twin, so libc's own serve. These two take offset -1 for "as
 * readv". RWF_NOWAIT is the only flag that means something on a socket. */
#define RWF_KNOWN 0x3f
static ssize_t rwv2(struct file *f, const struct iovec *iov, int n, off_t off, int flags, bool wr)
{
    int msg = flags & RWF_NOWAIT ? MSG_DONTWAIT : 0;

    if (off != -1)
        return off < 0 ? -EINVAL : -ESPIPE;
    if (flags & ~RWF_KNOWN)
        return -EOPNOTSUPP;
    return wr ? vfs_writev(f, iov, n, msg) : vfs_iter_read(f, iov, n, msg);
}

SHIM_EXPORT ssize_t preadv2(int fd, const struct iovec *iov, int n, off_t off, int flags)
{
    return FILE_CALL(fd, real_preadv2(fd, iov, n, off, flags), rwv2(f, iov, n, off, flags, false));
}

SHIM_EXPORT ssize_t preadv64v2(int fd, const struct iovec *iov, int n, off64_t off, int flags)
{
    return preadv2(fd, iov, n, off, flags);
}

SHIM_EXPORT ssize_t pwritev2(int fd, const struct iovec *iov, int n, off_t off, int flags)
{
    return FILE_SEND_CALL(fd, real_pwritev2(fd, iov, n, off, flags), rwv2(f, iov, n, off, flags, true), 0);
}

SHIM_EXPORT ssize_t pwritev64v2(int fd, const struct iovec *iov, int n, off64_t off, int flags)
{
    return pwritev2(fd, iov, n, off, flags);
}

/* ---- recv ----------------------------------------------------------------------------------------------------- */

/* A connected TCP socket names no sender (length 0); an entry of the error queue may name a destination. */
static void name_out(const struct sk_msghdr *m, void *name, socklen_t *len)
{
    if (m->msg_namelen)
        memcpy(name, m->msg_name, min(*len, m->msg_namelen));
    *len = m->msg_namelen;
}

static ssize_t file_recv(struct file *f, void *buf, size_t n, int flags, void *addr, socklen_t *alen)
{
    struct sockaddr_storage name;
    struct iovec iov = {buf, min(n, MAX_RW_COUNT)};
    struct sk_msghdr m = {.msg_name = &name};
    bool nonblock = file_nonblock(f) || (flags & MSG_DONTWAIT);
    ssize_t r;

    if (!user_ok(buf, iov.iov_len))
        return -EFAULT;
    if (nonblock)
        flags |= MSG_DONTWAIT;
    iov_iter_init(&m.msg_iter, &iov, 1, iov.iov_len);
    r = sock_recvmsg(f->private_data, &m, flags);
    DRIVE_AND_RETRY(r, nonblock, sock_recvmsg(f->private_data, &m, flags));
    if (r >= 0 && addr && alen)
        name_out(&m, addr, alen);
    return r;
}

SHIM_EXPORT ssize_t recv(int fd, void *buf, size_t n, int flags)
{
    return FILE_CALL(fd, real_recv(fd, buf, n, flags), file_recv(f, buf, n, flags, NULL, NULL));
}

SHIM_EXPORT ssize_t __recv_chk(int fd, void *buf, size_t n, size_t buflen, int flags)
{
    if (unlikely(n > buflen))
        return real___recv_chk(fd, buf, n, buflen, flags);
    return recv(fd, buf, n, flags);
}

SHIM_EXPORT ssize_t recvfrom(int fd, void *buf, size_t n, int flags, __SOCKADDR_ARG addr, socklen_t *alen)
{
    return FILE_CALL(fd, real_recvfrom(fd, buf, n, flags, addr, alen),
                     file_recv(f, buf, n, flags, addr.__sockaddr__, alen));
}

SHIM_EXPORT ssize_t __recvfrom_chk(int fd, void *buf, size_t n, size_t buflen, int flags, struct sockaddr *addr,
                                   socklen_t *alen)
{
    if (unlikely(n > buflen))
        return real___recvfrom_chk(fd, buf, n, buflen, flags, addr, alen);
    return recvfrom(fd, buf, n, flags, addr, alen);
}

static ssize_t file_recvmsg(struct file *f, struct msghdr *msg, int flags)
{
    struct sockaddr_storage name;
    struct sk_msghdr m = {
        .msg_name = &name, .msg_control = msg->msg_control, .msg_controllen = msg->msg_controllen};
    bool nonblock = file_nonblock(f) || (flags & MSG_DONTWAIT);
    ssize_t total, r;

    if (msg->msg_iovlen > UIO_MAXIOV_)
        return -EMSGSIZE;
    total = iov_total(msg->msg_iov, (long)msg->msg_iovlen);
    if (total < 0)
        return total;
    if (nonblock)
        flags |= MSG_DONTWAIT;
    iov_iter_init(&m.msg_iter, msg->msg_iov, msg->msg_iovlen, (size_t)total);
    r = sock_recvmsg(f->private_data, &m, flags);
    DRIVE_AND_RETRY(r, nonblock, sock_recvmsg(f->private_data, &m, flags));
    if (r < 0)
        return r;
    if (msg->msg_name)
        name_out(&m, msg->msg_name, &msg->msg_namelen);
    msg->msg_flags = (int)m.msg_flags;
    msg->msg_controllen = msg->msg_control ? (size_t)((char *)m.msg_control - (char *)msg->msg_control) : 0;
    return r;
}

/* Descriptors that came with the message are new ones. */
static void fresh_rights(struct msghdr *msg)
{
    for (struct cmsghdr *c = CMSG_FIRSTHDR(msg); c; c = CMSG_NXTHDR(msg, c))
        if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS)
            for (size_t i = 0; i < (c->cmsg_len - CMSG_LEN(0)) / sizeof(int); i++)
                fd_fresh(((int *)CMSG_DATA(c))[i]);
}

static ssize_t kernel_recvmsg(int fd, struct msghdr *msg, int flags)
{
    ssize_t r = real_recvmsg(fd, msg, flags);

    if (r >= 0 && msg->msg_controllen && fd_file && !shim_bypass())
        fresh_rights(msg);
    return r;
}

SHIM_EXPORT ssize_t recvmsg(int fd, struct msghdr *msg, int flags)
{
    return FILE_CALL(fd, kernel_recvmsg(fd, msg, flags), user_ok(msg, sizeof(*msg)) ? file_recvmsg(f, msg, flags) : -EFAULT);
}

/* recvmmsg(2): the time-out is looked at only between messages; an error after the first message is kept
 * back by Linux in sk_err for the next call, and by us only as far as it comes up again. */
static int file_recvmmsg(struct file *f, struct mmsghdr *v, unsigned n, int flags, struct timespec *ts)
{
    u64 deadline = UINT64_MAX;
    unsigned i;
    ssize_t r = 0;

    if (ts) {
        if (ts->tv_sec < 0 || ts->tv_nsec < 0 || ts->tv_nsec >= 1000000000)
            return -EINVAL;
        deadline = clock_ns_now() + (u64)ts->tv_sec * NSEC_PER_SEC + (u64)ts->tv_nsec;
    }
    for (i = 0; i < min(n, (unsigned)UIO_MAXIOV_); i++) {
        r = file_recvmsg(f, &v[i].msg_hdr, flags & ~MSG_WAITFORONE);
        if (r < 0)
            break;
        v[i].msg_len = (unsigned)r;
        if (flags & MSG_WAITFORONE)
            flags |= MSG_DONTWAIT;
        if (ts) {
            u64 now = clock_ns_now(), left = deadline > now ? deadline - now : 0;

            *ts = (struct timespec){(time_t)(left / NSEC_PER_SEC), (long)(left % NSEC_PER_SEC)};
            if (!left) {
                i++;
                break;
            }
        }
        if (!r) { /* end of file: no use in asking again */
            i++;
            break;
        }
    }
    return i ? (int)i : (int)r;
}

static int kernel_recvmmsg(int fd, struct mmsghdr *v, unsigned n, int flags, struct timespec *ts)
{
    int r = real_recvmmsg(fd, v, n, flags, ts);

    for (int i = 0; i < r && fd_file && !shim_bypass(); i++)
        if (v[i].msg_hdr.msg_controllen)
            fresh_rights(&v[i].msg_hdr);
    return r;
}

SHIM_EXPORT int recvmmsg(int fd, struct mmsghdr *v, unsigned n, int flags, struct timespec *ts)
{
    return (int)FILE_CALL(fd, kernel_recvmmsg(fd, v, n, flags, ts),
                          user_ok(v, n * sizeof(*v)) ? file_recvmmsg(f, v, n, flags, ts) : -EFAULT);
}

/* ---- send ------------------------------------------------------------------------------------------------------ */

static ssize_t file_sendmsg(struct file *f, const struct msghdr *msg, int flags)
{
    struct sockaddr_in dst;
    struct sk_msghdr m = {.msg_control = msg->msg_control, .msg_controllen = msg->msg_controllen};
    bool nonblock = file_nonblock(f) || (flags & MSG_DONTWAIT);
    ssize_t total, r;

    if (msg->msg_iovlen > UIO_MAXIOV_)
        return -EMSGSIZE;
    total = iov_total(msg->msg_iov, (long)msg->msg_iovlen);
    if (total < 0)
        return total;
    if (msg->msg_controllen && !user_ok(msg->msg_control, msg->msg_controllen))
        return -EFAULT;
    if (unlikely(flags & MSG_FASTOPEN) && msg->msg_name) { /* else a connected socket ignores the address */
        if (!user_ok(msg->msg_name, msg->msg_namelen))
            return -EFAULT;
        if (sockaddr_v4(msg->msg_name, msg->msg_namelen, &dst)) {
            m.msg_name = &dst;
            m.msg_namelen = sizeof(dst);
        }
    }
    m.msg_flags = (unsigned)flags | (nonblock ? MSG_DONTWAIT : 0);
    iov_iter_init(&m.msg_iter, msg->msg_iov, msg->msg_iovlen, (size_t)total);
    r = sock_sendmsg(f->private_data, &m);
    DRIVE_AND_RETRY(r, nonblock,
                    (iov_iter_init(&m.msg_iter, msg->msg_iov, msg->msg_iovlen, (size_t)total),
                     sock_sendmsg(f->private_data, &m)));
    return r;
}

static ssize_t file_sendto(struct file *f, const void *buf, size_t n, int flags, const struct sockaddr *addr, socklen_t alen)
{
    struct iovec iov = {(void *)buf, min(n, MAX_RW_COUNT)};
    struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1, .msg_name = (void *)addr, .msg_namelen = alen};

    return file_sendmsg(f, &msg, flags);
}

static ssize_t file_send(struct file *f, const void *buf, size_t n, int flags)
{
    return file_sendto(f, buf, n, flags, NULL, 0);
}

/* MSG_FASTOPEN on an undecided socket is a connect() too: the same decision. */
static void fastopen_decides(int fd, int flags, const struct sockaddr *addr, socklen_t alen)
{
    struct file *f;

    if (likely(!(flags & MSG_FASTOPEN)) || fd_kind_of(fd) != FD_NEW || shim_bypass() || !(f = fget(fd)))
        return;
    SHIM_ENTER();
    if (atomic_load(&f->state) == FILE_NEW && addr)
        file_decide_connect(f, fd, addr, alen);
    fput(f);
    SHIM_EXIT();
}

SHIM_EXPORT ssize_t send(int fd, const void *buf, size_t n, int flags)
{
    fastopen_decides(fd, flags, NULL, 0);
    return FILE_SEND_CALL(fd, real_send(fd, buf, n, flags), file_send(f, buf, n, flags), flags);
}

SHIM_EXPORT ssize_t __send(int fd, const void *buf, size_t n, int flags) { return send(fd, buf, n, flags); }

SHIM_EXPORT ssize_t sendto(int fd, const void *buf, size_t n, int flags, __CONST_SOCKADDR_ARG addr, socklen_t alen)
{
    fastopen_decides(fd, flags, addr.__sockaddr__, alen);
    return FILE_SEND_CALL(fd, real_sendto(fd, buf, n, flags, addr, alen),
                          file_sendto(f, buf, n, flags, addr.__sockaddr__, alen), flags);
}

/* A descriptor of ours that leaves for another process must be a whole kernel connection first. */
static void hand_over_rights(const struct msghdr *msg)
{
    if (!fd_file || shim_bypass() || !user_ok(msg, sizeof(*msg)) || !msg->msg_controllen)
        return;
    for (struct cmsghdr *c = CMSG_FIRSTHDR(msg); c; c = CMSG_NXTHDR((struct msghdr *)msg, c))
        if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS && c->cmsg_len >= CMSG_LEN(0))
            for (size_t i = 0; i < (c->cmsg_len - CMSG_LEN(0)) / sizeof(int); i++)
                handover_fd(((int *)CMSG_DATA(c))[i], "its descriptor is sent to another process");
}

SHIM_EXPORT ssize_t sendmsg(int fd, const struct msghdr *msg, int flags)
{
    if (fd_kind_of(fd) < FD_STACK && unlikely(msg && stack_active))
        hand_over_rights(msg);
    if (unlikely(flags & MSG_FASTOPEN) && user_ok(msg, sizeof(*msg)))
        fastopen_decides(fd, flags, msg->msg_name, msg->msg_namelen);
    return FILE_SEND_CALL(fd, real_sendmsg(fd, msg, flags),
                          user_ok(msg, sizeof(*msg)) ? file_sendmsg(f, msg, flags) : -EFAULT, flags);
}

static int file_sendmmsg(struct file *f, struct mmsghdr *v, unsigned n, int flags)
{
    unsigned i;
    ssize_t r = 0;

    for (i = 0; i < min(n, (unsigned)UIO_MAXIOV_); i++) {
        r = file_sendmsg(f, &v[i].msg_hdr, flags);
        if (r < 0)
            break;
        v[i].msg_len = (unsigned)r;
        if (r < iov_total(v[i].msg_hdr.msg_iov, (long)v[i].msg_hdr.msg_iovlen)) {
            i++; /* the next message must not overtake the rest of this one */
            break;
        }
    }
    return i ? (int)i : (int)r;
}

SHIM_EXPORT int sendmmsg(int fd, struct mmsghdr *v, unsigned n, int flags)
{
    if (fd_kind_of(fd) < FD_STACK && unlikely(v && stack_active))
        for (unsigned i = 0; i < n; i++)
            hand_over_rights(&v[i].msg_hdr);
    return (int)FILE_SEND_CALL(fd, real_sendmmsg(fd, v, n, flags),
                               user_ok(v, n * sizeof(*v)) ? file_sendmmsg(f, v, n, flags) : -EFAULT, flags);
}

/* ---- stdio's way in ------------------------------------------------------------------------------------------------ */

SHIM_EXPORT int vdprintf(int fd, const char *fmt, va_list ap)
{
    char *text;
    int n, done = 0;

    if (fd_kind_of(fd) < FD_STACK || shim_bypass())
        return real_vdprintf(fd, fmt, ap);
    n = vasprintf(&text, fmt, ap);
    if (n < 0)
        return n;
    while (done < n) {
        ssize_t r = write(fd, text + done, (size_t)(n - done));

        if (r < 0) {
            free(text);
            return -1;
        }
        done += (int)r;
    }
    free(text);
    return n;
}

SHIM_EXPORT int __vdprintf_chk(int fd, int flag, const char *fmt, va_list ap)
{
    return fd_kind_of(fd) < FD_STACK ? real___vdprintf_chk(fd, flag, fmt, ap) : vdprintf(fd, fmt, ap);
}

SHIM_EXPORT int dprintf(int fd, const char *fmt, ...)
{
    va_list ap;
    int r;

    va_start(ap, fmt);
    r = vdprintf(fd, fmt, ap);
    va_end(ap);
    return r;
}

SHIM_EXPORT int __dprintf_chk(int fd, int flag, const char *fmt, ...)
{
    va_list ap;
    int r;

    va_start(ap, fmt);
    r = __vdprintf_chk(fd, flag, fmt, ap);
    va_end(ap);
    return r;
}

/* A FILE reads and writes below every entry point that could be intercepted: the kernel gets it. */
SHIM_EXPORT FILE *fdopen(int fd, const char *mode)
{
    struct file *f;
    u8 kind = fd_kind_of(fd);

    if (unlikely(kind >= FD_STACK))
        handover_fd(fd, "the program opened a stdio stream on it");
    else if (unlikely(kind == FD_NEW) && !shim_bypass() && (f = fget(fd))) {
        SHIM_ENTER();
        if (atomic_load(&f->state) == FILE_NEW)
            file_to_kernel(f, FILE_KERNEL);
        fput(f);
        SHIM_EXIT();
    }
    return real_fdopen(fd, mode);
}
