/* SPDX-License-Identifier: MIT */
/* sendfile(2) and splice(2): bytes between a file and a connection without the program's own buffer. */

#include "file.h"
#include "runtime.h"
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
        raw_syscall4(SYS_tgkill, raw_syscall4(SYS_getpid, 0, 0, 0, 0), raw_syscall4(SYS_gettid, 0, 0, 0, 0), SIGPIPE, 0);
    return shim_ret(r);
}

SHIM_EXPORT ssize_t sendfile64(int out, int in, off64_t *offset, size_t n) { return sendfile(out, in, offset, n); }

/* The stack has no pages to give to a pipe: EINVAL makes callers fall back to recv and send (haproxy does). */
SHIM_EXPORT ssize_t splice(int in, off64_t *off_in, int out, off64_t *off_out, size_t n, unsigned flags)
{
    int ours[2] = {in, out};

    for (int i = 0; i < 2; i++) {
        struct file *f = file_enter(ours[i]);

        if (f) {
            file_leave(f, 1);
            errno = EINVAL;
            return -1;
        }
    }
    return real_splice(in, off_in, out, off_out, n, flags);
}
