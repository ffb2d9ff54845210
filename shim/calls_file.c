/* SPDX-License-Identifier: MIT */
/* sendfile(2) and splice(2): bytes between a file and a connection without the program's own buffer. */

#include "file.h"
#include "runtime.h"
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <sys/syscall.h>

#define CHUNK (64 * 1024)
#define MAX_RW_COUNT 0x7ffff000ul

static ssize_t send_chunk(struct file *f, const char *buf, size_t n, bool more)
{
    struct iovec iov = {(void *)buf, n};
    struct kiocb iocb = {f, MSG_NOSIGNAL | (more ? MSG_MORE : 0)};
    struct iov_iter it;
    ssize_t r;

    iov_iter_init(&it, &iov, 1, n);
    r = f->f_op->write_iter(&iocb, &it);
    if (r == -EAGAIN && file_nonblock(f)) {
        net_drive();
        iov_iter_init(&it, &iov, 1, n);
        r = f->f_op->write_iter(&iocb, &it);
    }
    return r;
}

static void raise_sigpipe(void)
{
    raw_syscall4(SYS_tgkill, raw_syscall4(SYS_getpid, 0, 0, 0, 0), raw_syscall4(SYS_gettid, 0, 0, 0, 0), SIGPIPE, 0);
}

/* Role: up to n bytes of `in` from pos to the connection f. Returns the bytes sent, or -errno when none
 * were. A signal or a full buffer ends it early, as in the kernel. */
static ssize_t send_from(struct file *f, int in, off_t pos, size_t n)
{
    char *buf = malloc(CHUNK);
    size_t done = 0;
    ssize_t r = 0, w;

    if (!buf)
        return -ENOMEM;
    while (done < n) {
        r = REAL(pread(in, buf, min(n - done, (size_t)CHUNK), pos + (off_t)done));
        if (r <= 0)
            break;
        w = send_chunk(f, buf, (size_t)r, done + (size_t)r < n);
        if (w < 0) {
            r = w;
            break;
        }
        done += (size_t)w;
        if (w < r)
            break;
    }
    free(buf);
    if (!r && done && done < n)
        f->private_data->ops->splice_eof(f->private_data);
    if (r == -ESPIPE)
        r = -EINVAL; /* not something that can be mapped */
    return done ? (ssize_t)done : r;
}

static ssize_t file_sendfile(struct file *f, int in, off_t *offset, size_t n)
{
    off_t pos;
    ssize_t r;
    int fl = real_fcntl(in, F_GETFL);

    if (fl < 0 || (fl & O_ACCMODE) == O_WRONLY)
        return -EBADF;
    if (offset && !user_ok(offset, sizeof(*offset)))
        return -EFAULT;
    pos = offset ? *offset : lseek(in, 0, SEEK_CUR);
    if (pos < 0)
        return offset ? -EINVAL : errno == ESPIPE ? -EINVAL : -errno;
    if ((ssize_t)n < 0)
        return -EINVAL;
    r = send_from(f, in, pos, min(n, MAX_RW_COUNT));
    if (r > 0 && offset)
        *offset = pos + r;
    else if (r > 0)
        lseek(in, pos + r, SEEK_SET);
    return r;
}

SHIM_EXPORT ssize_t sendfile(int out, int in, off_t *offset, size_t n)
{
    struct file *f;
    ssize_t r;

    if (unlikely(fd_kind_of(in) >= FD_STACK) && !shim_bypass()) {
        if ((f = file_enter(in))) { /* a socket of the stack is not a file */
            file_leave(f, 1);
            errno = EINVAL;
            return -1;
        }
    }
    do {
        f = file_enter(out);
        r = f ? file_sendfile(f, in, offset, n) : real_sendfile(out, in, offset, n);
    } while (f && file_leave(f, r));
    if (!f)
        return r;
    if (r == -EPIPE)
        raise_sigpipe();
    return shim_ret(r);
}

SHIM_EXPORT ssize_t sendfile64(int out, int in, off64_t *offset, size_t n) { return sendfile(out, in, offset, n); }

/* ---- splice(2) ------------------------------------------------------------------------------------------------ */

/* The stack has no pages to give to a pipe, nor takes any: the bytes are copied. What the other side does not take
 * must stay where it was. So they are looked at first (tee(2), MSG_PEEK) and consumed when they have been taken. */

/* What the pipe holds, up to n bytes, copied to buf by way of another pipe. 0: it has ended. */
static ssize_t pipe_peek(int pipe, const int scratch[2], char *buf, size_t n, bool nonblock)
{
    ssize_t r = tee(pipe, scratch[1], n, nonblock ? SPLICE_F_NONBLOCK : 0);

    return r < 0 ? -errno : r ? REAL(real_read(scratch[0], buf, (size_t)r)) : 0;
}

static ssize_t splice_to_socket(struct file *f, int pipe, size_t n, unsigned flags, const int scratch[2], char *buf)
{
    size_t done = 0;
    ssize_t r = 0;

    while (done < n) {
        r = pipe_peek(pipe, scratch, buf, min(n - done, (size_t)CHUNK), done || (flags & SPLICE_F_NONBLOCK));
        if (r <= 0)
            break;
        r = send_chunk(f, buf, (size_t)r, flags & SPLICE_F_MORE);
        if (r <= 0)
            break;
        done += (size_t)r;
        (void)!real_read(pipe, buf, (size_t)r);
    }
    return done ? (ssize_t)done : r;
}

static ssize_t read_chunk(struct file *f, char *buf, size_t n, int flags)
{
    struct iovec iov = {buf, n};
    struct kiocb iocb = {f, flags};
    struct iov_iter it;
    ssize_t r;

    iov_iter_init(&it, &iov, 1, n);
    r = f->f_op->read_iter(&iocb, &it);
    if (r == -EAGAIN && ((flags & MSG_DONTWAIT) || file_nonblock(f))) {
        net_drive();
        iov_iter_init(&it, &iov, 1, n);
        r = f->f_op->read_iter(&iocb, &it);
    }
    return r;
}

/* A pipe that polls writable takes PIPE_BUF bytes without waiting: pieces of that size. */
static ssize_t splice_to_pipe(struct file *f, int pipe, size_t n, unsigned flags, char *buf)
{
    struct pollfd p = {.fd = pipe, .events = POLLOUT};
    bool nonblock = (flags & SPLICE_F_NONBLOCK) || (real_fcntl(pipe, F_GETFL) & O_NONBLOCK);
    size_t done = 0;
    ssize_t r = 0;

    while (done < n) {
        r = real_poll(&p, 1, done || nonblock ? 0 : -1);
        if (r <= 0) {
            r = r < 0 ? -errno : -EAGAIN;
            break;
        }
        r = read_chunk(f, buf, min(n - done, (size_t)PIPE_BUF), MSG_PEEK | (done ? MSG_DONTWAIT : 0));
        if (r > 0)
            r = REAL(real_write(pipe, buf, (size_t)r));
        if (r <= 0)
            break;
        done += (size_t)r;
        read_chunk(f, buf, (size_t)r, MSG_DONTWAIT);
    }
    return done ? (ssize_t)done : r;
}

static bool is_pipe(int fd) { return real_fcntl(fd, F_GETPIPE_SZ) >= 0; }

/* One side is a connection of the stack; the other must be a pipe. */
static ssize_t file_splice(struct file *f, bool to_socket, int pipe, bool pipe_off, bool sock_off, size_t n, unsigned flags)
{
    int scratch[2] = {-1, -1};
    char *buf;
    ssize_t r;

    if (flags & ~(unsigned)(SPLICE_F_MOVE | SPLICE_F_NONBLOCK | SPLICE_F_MORE | SPLICE_F_GIFT))
        return -EINVAL;
    if (real_fcntl(pipe, F_GETFD) < 0)
        return -EBADF;
    if (!is_pipe(pipe))
        return -EINVAL;
    if (pipe_off)
        return -ESPIPE;
    if (sock_off) /* cannot be sought in */
        return -EINVAL;
    buf = malloc(CHUNK);
    if (!buf)
        return -ENOMEM;
    if (!to_socket)
        r = splice_to_pipe(f, pipe, n, flags, buf);
    else if (pipe2(scratch, O_CLOEXEC) < 0)
        r = -errno;
    else
        r = splice_to_socket(f, pipe, n, flags, scratch, buf);
    if (scratch[0] >= 0) {
        real_close(scratch[0]);
        real_close(scratch[1]);
    }
    free(buf);
    return r;
}

SHIM_EXPORT ssize_t splice(int in, off64_t *off_in, int out, off64_t *off_out, size_t n, unsigned flags)
{
    bool to_socket = fd_kind_of(out) >= FD_STACK;
    int ours = to_socket ? out : in;
    struct file *f;
    ssize_t r;

    if (likely(fd_kind_of(ours) < FD_STACK) || !n)
        return real_splice(in, off_in, out, off_out, n, flags);
    do {
        f = file_enter(ours);
        r = f ? file_splice(f, to_socket, to_socket ? in : out, to_socket ? off_in : off_out, to_socket ? off_out : off_in, n, flags)
              : real_splice(in, off_in, out, off_out, n, flags);
    } while (f && file_leave(f, r));
    if (!f)
        return r;
    if (r == -EPIPE && to_socket)
        raise_sigpipe();
    return shim_ret(r);
}
