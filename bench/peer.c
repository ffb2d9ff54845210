/* SPDX-License-Identifier: MIT */
/* peer ADDRESS PORT: the far end of every measurement, on the kernel's TCP. One client at a time. */
#include "proto.h"
#include <signal.h>

static char buf[1 << 18];

static void sink(int fd)
{
    uint64_t total = 0;
    ssize_t n;
    while ((n = read(fd, buf, sizeof(buf))) > 0)
        total += (uint64_t)n;
    if (n == 0 && write(fd, &total, sizeof(total)) < 0)
        perror("peer: write");
}

static void source(int fd, uint32_t ms)
{
    double end = now_s() + ms / 1e3;
    while (now_s() < end && write(fd, buf, sizeof(buf)) > 0)
        ;
    shutdown(fd, SHUT_WR);
    while (read(fd, buf, sizeof(buf)) > 0)
        ;
}

static void echo(int fd, size_t size)
{
    for (;;) {
        for (size_t have = 0; have < size;) {
            ssize_t n = read(fd, buf + have, size - have);
            if (n <= 0)
                return;
            have += (size_t)n;
        }
        if (write(fd, buf, size) != (ssize_t)size)
            return;
    }
}

int main(int argc, char **argv)
{
    struct sockaddr_in a = {.sin_family = AF_INET};
    struct bench_hello h;
    int one = 1, l = socket(AF_INET, SOCK_STREAM, 0), fd;
    if (argc != 3 || inet_pton(AF_INET, argv[1], &a.sin_addr) != 1) {
        fputs("usage: peer ADDRESS PORT\n", stderr);
        return 1;
    }
    a.sin_port = htons((uint16_t)atoi(argv[2]));
    signal(SIGPIPE, SIG_IGN);
    setsockopt(l, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
    if (bind(l, (struct sockaddr *)&a, sizeof(a)) || listen(l, 16))
        fail("listen");
    while ((fd = accept(l, NULL, NULL)) >= 0) {
        if (read(fd, &h, sizeof(h)) == sizeof(h)) {
            setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
            if (h.job == BENCH_SINK)
                sink(fd);
            else if (h.job == BENCH_SOURCE)
                source(fd, h.arg);
            else if (h.job == BENCH_ECHO && h.arg && h.arg <= sizeof(buf))
                echo(fd, h.arg);
        }
        close(fd);
    }
    fail("accept");
}
