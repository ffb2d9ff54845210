/* SPDX-License-Identifier: MIT */
/* select(2) by way of poll: the same descriptors, the same three meanings (the kernel's own tables). */

#include "file.h"
#include "poll.h"
#include "runtime.h"

#define POLLIN_SET (POLLRDNORM | POLLRDBAND | POLLIN | POLLHUP | POLLERR)
#define POLLOUT_SET (POLLWRBAND | POLLWRNORM | POLLOUT | POLLERR)
#define POLLEX_SET POLLPRI
#define BITS (8 * (int)sizeof(unsigned long))

typedef unsigned long word;

static bool in_set(const fd_set *s, int fd) { return s && ((const word *)s)[fd / BITS] >> (fd % BITS) & 1; }
static void put(fd_set *s, int fd) { ((word *)s)[fd / BITS] |= (word)1 << (fd % BITS); }

static size_t set_bytes(int n) { return (size_t)((n + BITS - 1) / BITS) * sizeof(word); }

/* Does any bit belong to us? */
static bool has_ours(int n, const fd_set *r, const fd_set *w, const fd_set *e)
{
    int top = min(n, fd_table_highest() + 1);

    for (int i = 0; i * BITS < top; i++) {
        word all = (r ? ((const word *)r)[i] : 0) | (w ? ((const word *)w)[i] : 0) | (e ? ((const word *)e)[i] : 0);

        for (; all; all &= all - 1) {
            int fd = i * BITS + __builtin_ctzl(all);

            if (fd < n && unlikely(fd_kind_of(fd) >= FD_EPOLL))
                return true;
        }
    }
    return false;
}

static bool pass(int n, const fd_set *r, const fd_set *w, const fd_set *e)
{
    size_t len = n > 0 ? set_bytes(n) : 0;

    return likely(!stack_active) || n <= 0 || shim_bypass() || (r && !user_ok(r, len)) || (w && !user_ok(w, len)) ||
           (e && !user_ok(e, len)) || !has_ours(n, r, w, e);
}

/* Number of bits set, or -errno. The sets are written on success only. */
static int shim_select(int n, fd_set *r, fd_set *w, fd_set *e, u64 deadline, const sigset_t *mask)
{
    struct pollfd *fds = NULL, few[64];
    int count = 0, bits = 0, ret;
    size_t len = set_bytes(n);

    fds = n <= (int)ARRAY_SIZE(few) ? few : malloc((size_t)n * sizeof(*fds));
    if (!fds)
        return -ENOMEM;
    for (int fd = 0; fd < n; fd++) {
        short events = (short)((in_set(r, fd) ? POLLIN_SET : 0) | (in_set(w, fd) ? POLLOUT_SET : 0) |
                               (in_set(e, fd) ? POLLEX_SET : 0));

        if (events)
            fds[count++] = (struct pollfd){.fd = fd, .events = events};
    }
    ret = shim_poll(fds, (nfds_t)count, deadline, mask);
    for (int i = 0; ret >= 0 && i < count; i++)
        if (fds[i].revents & POLLNVAL)
            ret = -EBADF;
    if (ret < 0)
        goto out;
    for (int i = 0; i < count; i++) { /* which sets asked, before they are cleared */
        short rev = fds[i].revents;
        int fd = fds[i].fd;

        fds[i].events = (short)((in_set(r, fd) && rev & POLLIN_SET ? 1 : 0) | (in_set(w, fd) && rev & POLLOUT_SET ? 2 : 0) |
                                (in_set(e, fd) && rev & POLLEX_SET ? 4 : 0));
    }
    if (r)
        memset(r, 0, len);
    if (w)
        memset(w, 0, len);
    if (e)
        memset(e, 0, len);
    for (int i = 0; i < count; i++) {
        if (fds[i].events & 1)
            put(r, fds[i].fd), bits++;
        if (fds[i].events & 2)
            put(w, fds[i].fd), bits++;
        if (fds[i].events & 4)
            put(e, fds[i].fd), bits++;
    }
    ret = bits;
out:
    if (fds != few)
        free(fds);
    return ret;
}

SHIM_EXPORT int select(int n, fd_set *r, fd_set *w, fd_set *e, struct timeval *tv)
{
    u64 deadline = UINT64_MAX, start = 0;
    int ret;

    if (likely(pass(n, r, w, e)))
        return real_select(n, r, w, e, tv);
    if (tv) {
        if (tv->tv_sec < 0 || tv->tv_usec < 0)
            return (int)shim_ret(-EINVAL);
        deadline = (u64)min(tv->tv_sec, (time_t)4000000000) * NSEC_PER_SEC + (u64)tv->tv_usec * NSEC_PER_USEC;
        start = clock_ns_now();
        deadline = deadline ? start + deadline : 0;
    }
    ret = shim_select(n, r, w, e, deadline, NULL);
    if (tv) { /* Linux tells the time not slept */
        u64 now = clock_ns_now(), left = deadline > now ? deadline - now : 0;

        *tv = (struct timeval){(time_t)(left / NSEC_PER_SEC), (suseconds_t)(left % NSEC_PER_SEC / NSEC_PER_USEC)};
    }
    return (int)shim_ret(ret);
}

SHIM_EXPORT int __select(int n, fd_set *r, fd_set *w, fd_set *e, struct timeval *tv) { return select(n, r, w, e, tv); }

SHIM_EXPORT int pselect(int n, fd_set *r, fd_set *w, fd_set *e, const struct timespec *ts, const sigset_t *mask)
{
    u64 deadline = UINT64_MAX;

    if (likely(pass(n, r, w, e)))
        return real_pselect(n, r, w, e, ts, mask);
    if (ts) {
        if (ts->tv_sec < 0 || (u64)ts->tv_nsec >= NSEC_PER_SEC)
            return (int)shim_ret(-EINVAL);
        deadline = (u64)min(ts->tv_sec, (time_t)4000000000) * NSEC_PER_SEC + (u64)ts->tv_nsec;
        deadline = deadline ? clock_ns_now() + deadline : 0;
    }
    return (int)shim_ret(shim_select(n, r, w, e, deadline, mask));
}
