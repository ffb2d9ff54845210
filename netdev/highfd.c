/* SPDX-License-Identifier: MIT */
/* Moving descriptors out of the program's way. */

#include "highfd.h"
#include <errno.h>
#include <fcntl.h>
#include <sys/resource.h>
#include <unistd.h>

#define HIGHFD_FIRST 512

int highfd_dup(int fd)
{
    struct rlimit rl;
    int n = fcntl(fd, F_DUPFD_CLOEXEC, HIGHFD_FIRST);

    if (n >= 0)
        return n;
    if (errno != EINVAL && errno != EMFILE)
        return -errno;
    /* RLIMIT_NOFILE is lower than that: the upper quarter of what there is. */
    if (getrlimit(RLIMIT_NOFILE, &rl) == 0 && rl.rlim_cur >= 16 && rl.rlim_cur != RLIM_INFINITY) {
        n = fcntl(fd, F_DUPFD_CLOEXEC, (int)(rl.rlim_cur - rl.rlim_cur / 4));
        if (n >= 0)
            return n;
    }
    n = fcntl(fd, F_DUPFD_CLOEXEC, 3);
    return n >= 0 ? n : -errno;
}

int highfd_move(int fd)
{
    int saved = errno, n;

    if (fd < 0)
        return fd;
    n = highfd_dup(fd);
    if (n > fd) {
        close(fd);
    } else {
        if (n >= 0)
            close(n);
        fcntl(fd, F_SETFD, FD_CLOEXEC);
        n = fd;
    }
    errno = saved;
    return n;
}
