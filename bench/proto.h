/* SPDX-License-Identifier: MIT */
#ifndef SLUICE_BENCH_PROTO_H
#define SLUICE_BENCH_PROTO_H
/* What a bench client first says to the peer, and the socket calls that both use. Plain socket programs: they know
 * nothing of sluice. */

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum bench_job {
    BENCH_SINK = 1, /* read to the end, then answer the number of bytes (u64, host order: same machine) */
    BENCH_SOURCE,   /* write for `arg` milliseconds, then end */
    BENCH_ECHO,     /* send back every `arg` bytes */
};
struct bench_hello {
    uint32_t job, arg;
};

static inline double now_s(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

__attribute__((noreturn)) static inline void fail(const char *what)
{
    fprintf(stderr, "bench: %s: %s\n", what, strerror(errno));
    exit(1);
}

/* All of len, or the end of the program. */
static inline void write_all(int fd, const void *buf, size_t len)
{
    for (const char *p = buf; len;) {
        ssize_t n = write(fd, p, len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            fail("write");
        p += n;
        len -= (size_t)n;
    }
}
static inline void read_all(int fd, void *buf, size_t len)
{
    for (char *p = buf; len;) {
        ssize_t n = read(fd, p, len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            fail(n ? "read" : "the peer ended early");
        p += n;
        len -= (size_t)n;
    }
}

static inline int dial(const char *addr, const char *port, int nodelay, enum bench_job job, uint32_t arg)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(port))};
    struct bench_hello h = {job, arg};
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    if (inet_pton(AF_INET, addr, &a.sin_addr) != 1 || fd < 0 || connect(fd, (struct sockaddr *)&a, sizeof(a)))
        fail("connect");
    if (nodelay && setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &nodelay, sizeof(nodelay)))
        fail("TCP_NODELAY");
    write_all(fd, &h, sizeof(h));
    return fd;
}

#endif
