/* SPDX-License-Identifier: MIT */
/* A library that uses sockets in its constructor and destructor, and a program that checks what came of it.
 * Built twice by pass.sh: with -DLIBRARY into the library, without into the program. */
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#ifdef LIBRARY
int preinit_fd = -1, preinit_ok;

__attribute__((constructor)) static void before_main(void)
{
    struct sockaddr_in a = {.sin_family = AF_INET};
    socklen_t len = sizeof(a);
    int fd = socket(AF_INET, SOCK_STREAM, 0), p[2];
    preinit_ok = fd >= 0 && bind(fd, (struct sockaddr *)&a, sizeof(a)) == 0 && listen(fd, 1) == 0 &&
                 getsockname(fd, (struct sockaddr *)&a, &len) == 0 && a.sin_port != 0;
    preinit_fd = fd;
    char c = 'x';
    preinit_ok = preinit_ok && pipe(p) == 0 && write(p[1], &c, 1) == 1 && read(p[0], &c, 1) == 1;
    close(p[0]);
    close(p[1]);
}

__attribute__((destructor)) static void after_main(void)
{
    struct pollfd f = {.fd = preinit_fd, .events = POLLIN};
    int n = poll(&f, 1, 0), rc = close(preinit_fd), fd = socket(AF_INET, SOCK_STREAM, 0);
    printf("after %d %d %s\n", n, rc, fd >= 0 && close(fd) == 0 ? "ok" : "bad");
    fflush(stdout);
}
#else
extern int preinit_fd, preinit_ok;

int main(void)
{
    struct pollfd f = {.fd = preinit_fd, .events = POLLIN};
    printf("before %s, listening %d\n", preinit_ok ? "ok" : "bad", poll(&f, 1, 0));
    return 0;
}
#endif
