/* SPDX-License-Identifier: MIT */
/* syscall(2). libuv closes its sockets by syscall(SYS_close), so the numbers that concern descriptors go
 * through our own calls. All others must jump: syscall(SYS_clone) comes back on another stack. */

#include "file.h"
#include "runtime.h"
#include <sys/syscall.h>

/* 1: goes to syscall_dispatch. Indexed by number. */
#define SYSCALL_MAP 512
u8 syscall_map[SYSCALL_MAP] __attribute__((visibility("hidden"))) = {
    [SYS_read] = 1,       [SYS_write] = 1,      [SYS_close] = 1,       [SYS_poll] = 1,        [SYS_ioctl] = 1,
    [SYS_readv] = 1,      [SYS_writev] = 1,     [SYS_select] = 1,      [SYS_dup] = 1,         [SYS_dup2] = 1,
    [SYS_dup3] = 1,       [SYS_sendfile] = 1,   [SYS_socket] = 1,      [SYS_connect] = 1,     [SYS_accept] = 1,
    [SYS_accept4] = 1,    [SYS_sendto] = 1,     [SYS_recvfrom] = 1,    [SYS_sendmsg] = 1,     [SYS_recvmsg] = 1,
    [SYS_sendmmsg] = 1,   [SYS_recvmmsg] = 1,   [SYS_shutdown] = 1,    [SYS_bind] = 1,        [SYS_listen] = 1,
    [SYS_getsockname] = 1, [SYS_getpeername] = 1, [SYS_setsockopt] = 1, [SYS_getsockopt] = 1, [SYS_fcntl] = 1,
    [SYS_preadv2] = 1,    [SYS_pwritev2] = 1,   [SYS_splice] = 1,      [SYS_close_range] = 1, [SYS_epoll_create] = 1,
    [SYS_epoll_create1] = 1, [SYS_epoll_ctl] = 1, [SYS_epoll_wait] = 1, [SYS_epoll_pwait] = 1, [SYS_epoll_pwait2] = 1,
    [SYS_ppoll] = 1,      [SYS_pselect6] = 1,   [SYS_io_uring_setup] = 1,
};

/* sigset arguments: the kernel's 8 bytes, libc's type is larger but only these are used. */
static const sigset_t *widen(const void *mask, sigset_t *buf)
{
    if (!mask)
        return NULL;
    memset(buf, 0, sizeof(*buf));
    memcpy(buf, mask, KERNEL_SIGSET_SIZE);
    return buf;
}

static long do_pselect6(int n, void *r, void *w, void *e, struct timespec *ts, void *arg)
{
    struct {
        const void *set;
        size_t len;
    } *a = arg;
    sigset_t buf;

    return pselect(n, r, w, e, ts, a && a->set ? widen(a->set, &buf) : NULL);
}

long syscall_dispatch(long nr, long a, long b, long c, long d, long e, long f) __attribute__((visibility("hidden"), used));
long syscall_dispatch(long nr, long a, long b, long c, long d, long e, long f)
{
    sigset_t set;

    if (shim_bypass())
        return real_syscall(nr, a, b, c, d, e, f);
    switch (nr) {
    case SYS_read:
        return read((int)a, (void *)b, (size_t)c);
    case SYS_write:
        return write((int)a, (const void *)b, (size_t)c);
    case SYS_close:
        return close((int)a);
    case SYS_poll:
        return poll((struct pollfd *)a, (nfds_t)b, (int)c);
    case SYS_ppoll:
        return ppoll((struct pollfd *)a, (nfds_t)b, (const struct timespec *)c, widen((void *)d, &set));
    case SYS_ioctl:
        return ioctl((int)a, (unsigned long)b, (void *)c);
    case SYS_readv:
        return readv((int)a, (const struct iovec *)b, (int)c);
    case SYS_writev:
        return writev((int)a, (const struct iovec *)b, (int)c);
    case SYS_select:
        return select((int)a, (fd_set *)b, (fd_set *)c, (fd_set *)d, (struct timeval *)e);
    case SYS_pselect6:
        return do_pselect6((int)a, (void *)b, (void *)c, (void *)d, (struct timespec *)e, (void *)f);
    case SYS_dup:
        return dup((int)a);
    case SYS_dup2:
        return dup2((int)a, (int)b);
    case SYS_dup3:
        return dup3((int)a, (int)b, (int)c);
    case SYS_sendfile:
        return sendfile((int)a, (int)b, (off_t *)c, (size_t)d);
    case SYS_socket:
        return socket((int)a, (int)b, (int)c);
    case SYS_connect:
        return connect((int)a, (const struct sockaddr *)b, (socklen_t)c);
    case SYS_accept:
        return accept((int)a, (struct sockaddr *)b, (socklen_t *)c);
    case SYS_accept4:
        return accept4((int)a, (struct sockaddr *)b, (socklen_t *)c, (int)d);
    case SYS_sendto:
        return sendto((int)a, (const void *)b, (size_t)c, (int)d, (const struct sockaddr *)e, (socklen_t)f);
    case SYS_recvfrom:
        return recvfrom((int)a, (void *)b, (size_t)c, (int)d, (struct sockaddr *)e, (socklen_t *)f);
    case SYS_sendmsg:
        return sendmsg((int)a, (const struct msghdr *)b, (int)c);
    case SYS_recvmsg:
        return recvmsg((int)a, (struct msghdr *)b, (int)c);
    case SYS_sendmmsg:
        return sendmmsg((int)a, (struct mmsghdr *)b, (unsigned)c, (int)d);
    case SYS_recvmmsg:
        return recvmmsg((int)a, (struct mmsghdr *)b, (unsigned)c, (int)d, (struct timespec *)e);
    case SYS_shutdown:
        return shutdown((int)a, (int)b);
    case SYS_bind:
        return bind((int)a, (const struct sockaddr *)b, (socklen_t)c);
    case SYS_listen:
        return listen((int)a, (int)b);
    case SYS_getsockname:
        return getsockname((int)a, (struct sockaddr *)b, (socklen_t *)c);
    case SYS_getpeername:
        return getpeername((int)a, (struct sockaddr *)b, (socklen_t *)c);
    case SYS_setsockopt:
        return setsockopt((int)a, (int)b, (int)c, (const void *)d, (socklen_t)e);
    case SYS_getsockopt:
        return getsockopt((int)a, (int)b, (int)c, (void *)d, (socklen_t *)e);
    case SYS_fcntl:
        return fcntl((int)a, (int)b, c);
    case SYS_preadv2:
        return preadv2((int)a, (const struct iovec *)b, (int)c, (off_t)d, (int)f);
    case SYS_pwritev2:
        return pwritev2((int)a, (const struct iovec *)b, (int)c, (off_t)d, (int)f);
    case SYS_splice:
        return splice((int)a, (off64_t *)b, (int)c, (off64_t *)d, (size_t)e, (unsigned)f);
    case SYS_close_range:
        return close_range((unsigned)a, (unsigned)b, (int)c);
    case SYS_epoll_create:
        return epoll_create((int)a);
    case SYS_epoll_create1:
        return epoll_create1((int)a);
    case SYS_epoll_ctl:
        return epoll_ctl((int)a, (int)b, (int)c, (struct epoll_event *)d);
    case SYS_epoll_wait:
        return epoll_wait((int)a, (struct epoll_event *)b, (int)c, (int)d);
    case SYS_epoll_pwait:
        return epoll_pwait((int)a, (struct epoll_event *)b, (int)c, (int)d, widen((void *)e, &set));
    case SYS_epoll_pwait2:
        return epoll_pwait2((int)a, (struct epoll_event *)b, (int)c, (const struct timespec *)d, widen((void *)e, &set));
    case SYS_io_uring_setup:
        if (stack_active) { /* its requests would reach the twins */
            errno = ENOSYS;
            return -1;
        }
        break;
    }
    return real_syscall(nr, a, b, c, d, e, f);
}

__asm__(".pushsection .text\n"
        ".globl syscall\n.type syscall,@function\n"
        "syscall:\n"
        "    cmp $512, %rdi\n"
        "    jae 1f\n"
        "    lea syscall_map(%rip), %r11\n"
        "    cmpb $0, (%r11,%rdi)\n"
        "    je 1f\n"
        "    push 8(%rsp)\n" /* the seventh argument, on the stack as the ABI has it; aligns it too */
        "    call syscall_dispatch\n"
        "    add $8, %rsp\n"
        "    ret\n"
        "1:  jmp *real_syscall(%rip)\n"
        ".size syscall, . - syscall\n"
        ".popsection\n");
