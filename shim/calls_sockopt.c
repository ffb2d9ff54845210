/* SPDX-License-Identifier: MIT */
/* setsockopt(2), getsockopt(2): the stack answers, the twin is told too (so that a hand-over finds it there), and an
 * option that only the kernel has hands the connection over to it. */

#include "file.h"
#include "handover.h"
#include "runtime.h"
#include <netinet/in.h>

/* Options that the twin, not the stack, answers: who the socket is. */
static bool twin_answers(int level, int optname)
{
    if (level != SOL_SOCKET)
        return false;
    switch (optname) {
    case SO_TYPE:
    case SO_DOMAIN:
    case SO_PROTOCOL:
    case SO_COOKIE:
    case SO_BINDTODEVICE:
    case SO_PEERSEC:
        return true;
    }
    return false;
}

/* Advice that changes nothing which the program could see. */
static bool harmless(int level, int optname)
{
    if (level == IPPROTO_IPV6)
        return true;
    if (level != SOL_SOCKET)
        return false;
    switch (optname) {
    case SO_PRIORITY:
    case SO_BUSY_POLL:
    case SO_INCOMING_CPU:
    case SO_REUSEPORT:
    case SO_REUSEADDR:
    case SO_DEBUG:
        return true;
    }
    return false;
}

static int file_set(struct file *f, int fd, int level, int optname, const void *val, socklen_t len)
{
    int r, k;

    if (!user_ok(val, len) || (!val && len))
        return -EFAULT;
    r = file_setsockopt(f->private_data, level, optname, val, len);
    if (r && r != -ENOPROTOOPT)
        return r;
    k = REAL(real_setsockopt(fd, level, optname, val, len)); /* so that a hand-over finds it there */
    if (r != -ENOPROTOOPT || k || harmless(level, optname))
        return r ? k : 0;
    /* The kernel serves the option and the stack does not: then the kernel serves the connection. */
    return handover_file(f, "the program set a socket option that sluice does not serve") ? -ENOPROTOOPT : 0;
}

SHIM_EXPORT int setsockopt(int fd, int level, int optname, const void *val, socklen_t len)
{
    struct file *f = enter_new(fd);
    int r;

    if (f) {
        r = real_setsockopt(fd, level, optname, val, len);
        if (!r) {
            pthread_mutex_lock(&f->lock);
            file_record_opt(f, level, optname, val, len);
            pthread_mutex_unlock(&f->lock);
        }
        leave_new(f);
        return r;
    }
    return (int)FILE_CALL(fd, real_setsockopt(fd, level, optname, val, len), file_set(f, fd, level, optname, val, len));
}

static int file_get(struct file *f, int fd, int level, int optname, void *val, socklen_t *len)
{
    int r;

    if (twin_answers(level, optname))
        return REAL(real_getsockopt(fd, level, optname, val, len));
    if (!user_ok(len, sizeof(*len)) || !user_ok(val, *len))
        return -EFAULT;
    if ((int)*len < 0)
        return -EINVAL;
    r = file_getsockopt(f->private_data, level, optname, val, len);
    return r == -ENOPROTOOPT ? REAL(real_getsockopt(fd, level, optname, val, len)) : r;
}

SHIM_EXPORT int getsockopt(int fd, int level, int optname, void *val, socklen_t *len)
{
    return (int)FILE_CALL(fd, real_getsockopt(fd, level, optname, val, len), file_get(f, fd, level, optname, val, len));
}

static int file_atmark(struct file *f)
{
    int v = 0, r = f->f_op->unlocked_ioctl(f, 0x8905 /* SIOCATMARK */, &v);

    return r ? r : v;
}

SHIM_EXPORT int sockatmark(int fd) { return (int)FILE_CALL(fd, real_sockatmark(fd), file_atmark(f)); }
