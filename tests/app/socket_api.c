/* SPDX-License-Identifier: MIT */
/* What the socket calls answer, line by line. Run on the kernel's TCP and under sluice, the two outputs are to
 * be equal.
 *   socket_api peer PORT           the other end, one process a connection, told what to do by its first bytes
 *   socket_api ADDRESS PORT [WORD] the program; WORD: only groups whose name has it */
#include "socket_api.h"
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <linux/sockios.h>
#include <linux/tcp.h>
#include <time.h>
#include <unistd.h>

struct sockaddr_in peer_addr;

/* ---- the peer ---------------------------------------------------------------------------------------------- */

static void peer_connection(int c)
{
    char cmd[32] = "", buf[65536];
    ssize_t n, i = 0;

    while (i < 31 && read(c, cmd + i, 1) == 1 && cmd[i] != '\n')
        i++;
    long arg = atol(cmd + 1);
    switch (cmd[0]) {
    case 'E': /* echo until the end */
        while ((n = read(c, buf, sizeof(buf))) > 0)
            if (write(c, buf, n) != n)
                break;
        break;
    case 'S': /* send so many bytes, then end */
        memset(buf, 'x', sizeof(buf));
        for (; arg > 0; arg -= n)
            if ((n = write(c, buf, arg < 65536 ? arg : 65536)) <= 0)
                break;
        break;
    case 'R': { /* reset */
        struct linger l = {1, 0};
        setsockopt(c, SOL_SOCKET, SO_LINGER, &l, sizeof(l));
        break;
    }
    case 'D': /* after so many ms one byte, then wait for the end */
        usleep(arg * 1000);
        n = write(c, "d", 1);
        while (read(c, buf, sizeof(buf)) > 0)
            ;
        break;
    case 'H': /* read nothing for so many ms, then everything; tell how much */
        usleep(arg * 1000);
        for (arg = 0; (n = read(c, buf, sizeof(buf))) > 0; arg += n)
            ;
        n = snprintf(buf, sizeof(buf), "%ld", arg);
        n = write(c, buf, n);
        break;
    case 'K': { /* connect to the caller's port, say hello, and wait for its end */
        struct sockaddr_in a;
        socklen_t len = sizeof(a);
        getpeername(c, (struct sockaddr *)&a, &len);
        a.sin_port = htons(arg);
        int k = socket(AF_INET, SOCK_STREAM, 0);
        if (!connect(k, (struct sockaddr *)&a, sizeof(a))) {
            n = write(k, "hello", 5);
            while (read(k, buf, sizeof(buf)) > 0)
                ;
        }
        close(k);
        break;
    }
    case 'U': /* three bytes, an urgent one, three more; then what came, and whether it stopped at a mark */
        n = write(c, "abc", 3);
        usleep(arg * 1000);
        n = send(c, "X", 1, MSG_OOB);
        usleep(arg * 1000);
        n = write(c, "def", 3);
        while (read(c, buf, sizeof(buf)) > 0)
            ;
        break;
    case 'M': { /* read to the end, telling each piece and whether it ends at the urgent mark; SO_OOBINLINE */
        int one = 1, mark = 0;
        char out[256] = "";
        setsockopt(c, SOL_SOCKET, SO_OOBINLINE, &one, sizeof(one));
        usleep(arg * 1000);
        while ((n = read(c, buf, 100)) > 0) {
            ioctl(c, SIOCATMARK, &mark);
            snprintf(out + strlen(out), sizeof(out) - strlen(out), "%.*s%s ", (int)n, buf, mark ? "|" : "");
        }
        n = write(c, out, strlen(out));
        break;
    }
    case 'I': { /* echo so many bytes, then tell this end's tcp_info */
        struct tcp_info ti = {0};
        socklen_t len = sizeof(ti);
        for (i = 0; i < arg && (n = read(c, buf, sizeof(buf))) > 0; i += n)
            if (write(c, buf, n) != n)
                break;
        usleep(500000);
        getsockopt(c, IPPROTO_TCP, TCP_INFO, &ti, &len);
        n = write(c, &ti, sizeof(ti));
        break;
    }
    case 'C': /* end at once */
        break;
    }
    close(c);
}

static int run_peer(int port)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(port)};
    int l = socket(AF_INET, SOCK_STREAM, 0), one = 1;

    signal(SIGCHLD, SIG_IGN);
    signal(SIGPIPE, SIG_IGN);
    setsockopt(l, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
    if (bind(l, (struct sockaddr *)&a, sizeof(a)) || listen(l, 64))
        return perror("peer"), 1;
    for (;;) {
        int c = accept(l, NULL, NULL);
        if (c >= 0 && fork() == 0) {
            close(l);
            peer_connection(c);
            _exit(0);
        }
        close(c);
    }
}

const char *last;
char buf[300000];

/* ---- saying what happened ------------------------------------------------------------------------------------ */

int tell(const char *cmd)
{
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    if (connect(fd, (struct sockaddr *)&peer_addr, sizeof(peer_addr)))
        SAY("connect: %s", strerrorname_np(errno));
    if (cmd)
        (void)!write(fd, cmd, strlen(cmd));
    return fd;
}

void nap(int ms) { usleep(ms * 1000); }

short polled(int fd, short events, int ms)
{
    struct pollfd p = {fd, events, 0};
    poll(&p, 1, ms);
    return p.revents;
}

/* ---- groups ------------------------------------------------------------------------------------------------------ */

static void g_new(void)
{
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in a;
    socklen_t len = sizeof(a);

    CALL(recv(fd, buf, 1, 0));
    CALL(send(fd, buf, 1, MSG_NOSIGNAL));
    SAY("poll %x", polled(fd, POLLIN | POLLOUT, 0));
    CALL(getpeername(fd, (struct sockaddr *)&a, &len));
    CALL(accept(fd, NULL, NULL));
    CALL(shutdown(fd, SHUT_RDWR));
    CALL(close(fd));
    CALL(close(fd));
    CALL(read(fd, buf, 1));
    CALL(socket(AF_INET, SOCK_STREAM, IPPROTO_UDP));
    CALL(socket(AF_INET, 77, 0));
}

static void g_connect(void)
{
    struct sockaddr_in bad = peer_addr, a;
    socklen_t len = sizeof(a);
    int fd = socket(AF_INET, SOCK_STREAM, 0), err = -1;

    bad.sin_port = htons(1);
    CALL(connect(fd, NULL, 16) < 0);
    CALL(connect(fd, (struct sockaddr *)&bad, 4));
    CALL(connect(fd, (struct sockaddr *)&bad, sizeof(bad)));
    CALL(connect(fd, (struct sockaddr *)&peer_addr, sizeof(peer_addr)));
    CALL(connect(fd, (struct sockaddr *)&peer_addr, sizeof(peer_addr)));
    CALL(bind(fd, (struct sockaddr *)&bad, sizeof(bad)));
    CALL(listen(fd, 5));
    CALL(getsockname(fd, (struct sockaddr *)&a, &len));
    SAY("name: family %d, %d bytes, port %s", a.sin_family, (int)len, a.sin_port ? "set" : "0");
    len = 4;
    CALL(getpeername(fd, (struct sockaddr *)&a, &len));
    SAY("true length %d", (int)len);
    len = sizeof(a);
    CALL(getpeername(fd, (struct sockaddr *)&a, &len));
    SAY("peer is the peer: %d", a.sin_addr.s_addr == peer_addr.sin_addr.s_addr && a.sin_port == peer_addr.sin_port);
    close(fd);

    fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    CALL(connect(fd, (struct sockaddr *)&peer_addr, sizeof(peer_addr)));
    SAY("poll %x", polled(fd, POLLOUT, 2000));
    len = sizeof(err);
    CALL(getsockopt(fd, SOL_SOCKET, SO_ERROR, &err, &len));
    SAY("SO_ERROR %d", err);
    CALL(connect(fd, (struct sockaddr *)&peer_addr, sizeof(peer_addr)));
    CALL(connect(fd, (struct sockaddr *)&peer_addr, sizeof(peer_addr)));
    CALL(recv(fd, buf, 1, 0));
    close(fd);

    fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    connect(fd, (struct sockaddr *)&bad, sizeof(bad));
    SAY("refused: poll %x", polled(fd, POLLOUT | POLLIN | POLLRDHUP, 2000));
    len = sizeof(err);
    getsockopt(fd, SOL_SOCKET, SO_ERROR, &err, &len);
    SAY("SO_ERROR %s", strerrorname_np(err));
    getsockopt(fd, SOL_SOCKET, SO_ERROR, &err, &len);
    SAY("again %d, poll %x", err, polled(fd, POLLOUT | POLLIN, 0));
    CALL(send(fd, buf, 1, MSG_NOSIGNAL));
    CALL(connect(fd, (struct sockaddr *)&peer_addr, sizeof(peer_addr)));
    SAY("poll %x", polled(fd, POLLOUT, 2000));
    close(fd);

    /* bound first */
    struct sockaddr_in any = {.sin_family = AF_INET};
    fd = socket(AF_INET, SOCK_STREAM, 0);
    CALL(bind(fd, (struct sockaddr *)&any, sizeof(any)));
    len = sizeof(a);
    getsockname(fd, (struct sockaddr *)&a, &len);
    in_port_t port = a.sin_port;
    CALL(connect(fd, (struct sockaddr *)&peer_addr, sizeof(peer_addr)));
    getsockname(fd, (struct sockaddr *)&a, &len);
    SAY("port kept: %d, address set: %d", a.sin_port == port, a.sin_addr.s_addr != 0);
    close(fd);
}

static void g_mapped(void)
{
    struct sockaddr_in6 a6 = {.sin6_family = AF_INET6, .sin6_port = peer_addr.sin_port}, n;
    socklen_t len = sizeof(n);
    char text[64];
    int fd = socket(AF_INET6, SOCK_STREAM, 0), v = 0;

    inet_pton(AF_INET6, "::ffff:0.0.0.0", &a6.sin6_addr);
    memcpy(&a6.sin6_addr.s6_addr[12], &peer_addr.sin_addr, 4);
    CALL(connect(fd, (struct sockaddr *)&a6, sizeof(a6)));
    CALL(getpeername(fd, (struct sockaddr *)&n, &len));
    SAY("family %d, %d bytes, mapped %d", n.sin6_family, (int)len, !strncmp(inet_ntop(AF_INET6, &n.sin6_addr, text, 64), "::ffff:", 7));
    CALL(getsockname(fd, (struct sockaddr *)&n, &len));
    SAY("family %d, mapped %d", n.sin6_family, !strncmp(inet_ntop(AF_INET6, &n.sin6_addr, text, 64), "::ffff:", 7));
    len = sizeof(v);
    CALL(getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &v, &len));
    SAY("domain %d", v);
    CALL(write(fd, "E\nabc", 5));
    CALL(recv(fd, buf, 3, MSG_WAITALL));
    close(fd);
}

static void g_select(void)
{
    int fd = tell("E\n"), p[2];
    fd_set r, w, e;
    struct timeval tv = {1, 0};

    (void)!pipe(p);
    FD_ZERO(&r);
    FD_ZERO(&w);
    FD_ZERO(&e);
    FD_SET(fd, &r);
    FD_SET(fd, &w);
    FD_SET(p[0], &r);
    FD_SET(fd, &e);
    CALL(select(p[0] + 1, &r, &w, &e, &tv));
    SAY("%d %d %d", !!FD_ISSET(fd, &r), !!FD_ISSET(fd, &w), !!FD_ISSET(p[0], &r));
    (void)!write(fd, "abc", 3);
    (void)!write(p[1], "x", 1);
    polled(fd, POLLIN, 1000);
    FD_ZERO(&r);
    FD_ZERO(&w);
    FD_SET(fd, &r);
    FD_SET(p[0], &r);
    FD_SET(p[1], &w);
    CALL(select(p[1] + 1, &r, &w, NULL, NULL));
    SAY("%d %d %d", !!FD_ISSET(fd, &r), !!FD_ISSET(p[0], &r), !!FD_ISSET(p[1], &w));
    FD_SET(50, &r); /* not open; below 64, for Linux leaves out what is beyond the process's table */
    tv = (struct timeval){0, 1000};
    CALL(select(51, &r, NULL, NULL, &tv));
    tv = (struct timeval){-1, 0};
    FD_CLR(50, &r);
    CALL(select(fd + 1, &r, NULL, NULL, &tv));
    struct pollfd pf[4] = {{fd, POLLIN | POLLOUT, 0}, {p[0], POLLIN, 0}, {999, POLLIN, 0}, {-1, POLLIN, 7}};
    CALL(poll(pf, 4, 0));
    SAY("%x %x %x %x", pf[0].revents, pf[1].revents, pf[2].revents, pf[3].revents);
    close(fd), close(p[0]), close(p[1]);
}

static void show(const char *what, int ep, int max, int ms)
{
    struct epoll_event ev[8];
    int n = epoll_wait(ep, ev, max, ms);

    printf("%-16s %s: %d", last, what, n);
    for (int i = 0; i < 8; i++) /* by data, the order is not promised */
        for (int j = 0; j < n; j++)
            if (ev[j].data.u32 == i)
                printf(" [%d %x]", i, ev[j].events);
    putchar('\n');
}

static int add(int ep, int op, int fd, unsigned events, int data)
{
    struct epoll_event ev = {events, {.u32 = data}};
    return epoll_ctl(ep, op, fd, &ev);
}

static void g_epoll(void)
{
    int ep = epoll_create1(EPOLL_CLOEXEC), fd = tell("E\n"), p[2], d, ep2, file = open("/etc/passwd", O_RDONLY);

    (void)!pipe(p);
    CALL(epoll_create(0));
    CALL(epoll_ctl(ep, EPOLL_CTL_ADD, fd, NULL));
    CALL(add(ep, 9, fd, EPOLLIN, 1));
    CALL(add(ep, EPOLL_CTL_MOD, fd, EPOLLIN, 1));
    CALL(add(ep, EPOLL_CTL_DEL, fd, EPOLLIN, 1));
    CALL(add(ep, EPOLL_CTL_ADD, file, EPOLLIN, 1));
    CALL(add(ep, EPOLL_CTL_ADD, ep, EPOLLIN, 1));
    CALL(add(ep, EPOLL_CTL_ADD, 999, EPOLLIN, 1));
    CALL(add(999, EPOLL_CTL_ADD, fd, EPOLLIN, 1));
    CALL(add(fd, EPOLL_CTL_ADD, fd, EPOLLIN, 1));
    CALL(add(ep, EPOLL_CTL_ADD, fd, EPOLLIN | EPOLLOUT, 1));
    CALL(add(ep, EPOLL_CTL_ADD, fd, EPOLLIN | EPOLLOUT, 1));
    CALL(add(ep, EPOLL_CTL_MOD, fd, EPOLLIN | EPOLLEXCLUSIVE, 1));
    CALL(epoll_wait(ep, NULL, 0, 0));
    show("writable", ep, 8, 1000);
    show("again", ep, 8, 0);
    add(ep, EPOLL_CTL_MOD, fd, EPOLLIN | EPOLLRDHUP, 1);
    show("not readable", ep, 8, 50);
    (void)!write(fd, "abc", 3);
    show("readable", ep, 8, 1000);
    show("level", ep, 8, 0);
    add(ep, EPOLL_CTL_ADD, p[0], EPOLLIN, 2);
    (void)!write(p[1], "x", 1);
    show("both", ep, 8, 1000);
    show("one at a time", ep, 1, 0) /* which one is not promised */;
    add(ep, EPOLL_CTL_DEL, p[0], 0, 0);
    /* edge */
    add(ep, EPOLL_CTL_MOD, fd, EPOLLIN | EPOLLET, 3);
    show("edge after MOD", ep, 8, 1000);
    show("edge silent", ep, 8, 50);
    (void)!write(fd, "def", 3);
    show("edge new data", ep, 8, 1000);
    show("edge silent", ep, 8, 50);
    (void)!recv(fd, buf, 6, MSG_WAITALL);
    show("edge drained", ep, 8, 50);
    /* one shot */
    add(ep, EPOLL_CTL_MOD, fd, EPOLLOUT | EPOLLONESHOT, 4);
    show("oneshot", ep, 8, 1000);
    show("disarmed", ep, 8, 50);
    add(ep, EPOLL_CTL_MOD, fd, EPOLLOUT | EPOLLONESHOT, 4);
    show("re-armed", ep, 8, 1000);
    /* a copy keeps the membership of the closed descriptor */
    add(ep, EPOLL_CTL_MOD, fd, EPOLLIN, 5);
    d = dup(fd);
    CALL(add(ep, EPOLL_CTL_ADD, d, EPOLLOUT, 6));
    show("two members", ep, 8, 1000);
    CALL(add(ep, EPOLL_CTL_DEL, d, 0, 0));
    close(fd);
    (void)!write(d, "ghi", 3);
    polled(d, POLLIN, 1000);
    show("closed, copy lives", ep, 8, 1000);
    CALL(add(ep, EPOLL_CTL_DEL, fd, 0, 0));
    close(d);
    show("gone", ep, 8, 50);
    /* a set in a set, and poll on a set */
    fd = tell("E\n");
    ep2 = epoll_create1(0);
    CALL(add(ep2, EPOLL_CTL_ADD, fd, EPOLLIN, 1));
    CALL(add(ep, EPOLL_CTL_ADD, ep2, EPOLLIN, 7));
    show("nested quiet", ep, 8, 50);
    SAY("poll %x", polled(ep2, POLLIN, 0));
    (void)!write(fd, "abc", 3);
    polled(fd, POLLIN, 1000);
    show("nested", ep, 8, 1000);
    SAY("poll %x", polled(ep2, POLLIN, 1000));
    show("inner", ep2, 8, 0);
    close(ep2);
    /* end of file, hang-up */
    ep2 = epoll_create1(0);
    add(ep2, EPOLL_CTL_ADD, fd, EPOLLIN | EPOLLRDHUP, 1);
    shutdown(fd, SHUT_WR);
    for (int i = 0; i < 100 && !(polled(fd, POLLRDHUP, 10) & POLLRDHUP); i++)
        ;
    show("half closed", ep2, 8, 1000);
    close(fd);
    /* before connect */
    fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    CALL(add(ep2, EPOLL_CTL_ADD, fd, EPOLLIN | EPOLLOUT | EPOLLET, 2));
    show("unconnected", ep2, 8, 0);
    connect(fd, (struct sockaddr *)&peer_addr, sizeof(peer_addr));
    show("connected", ep2, 8, 1000);
    CALL(add(ep2, EPOLL_CTL_DEL, fd, 0, 0));
    close(fd), close(ep2), close(ep), close(p[0]), close(p[1]), close(file);
}

static void g_fds(void)
{
    int fd = tell("E\n"), d, one = 1, r;

    CALL(fcntl(fd, F_GETFL));
    CALL(fcntl(fd, F_SETFL, O_NONBLOCK));
    CALL(fcntl(fd, F_GETFL));
    d = dup(fd);
    CALL(fcntl(d, F_GETFL));
    CALL(recv(d, buf, 1, 0));
    one = 0;
    CALL(ioctl(d, FIONBIO, &one));
    CALL(fcntl(fd, F_GETFL));
    CALL(fcntl(fd, F_GETFD));
    CALL(fcntl(fd, F_SETFD, FD_CLOEXEC));
    CALL(fcntl(fd, F_GETFD));
    CALL(fcntl(d, F_GETFD));
    r = fcntl(fd, F_DUPFD, 100);
    SAY("F_DUPFD %d", r);
    CALL(dup2(fd, 150));
    CALL(dup3(fd, 151, O_CLOEXEC));
    CALL(fcntl(151, F_GETFD));
    CALL(dup3(fd, fd, 0));
    CALL(dup2(fd, fd) == fd);
    CALL(dup2(999, 150));
    close(fd);
    CALL(write(150, "abc", 3));
    CALL(recv(151, buf, 3, MSG_WAITALL));
    CALL(close_range(100, 160, 0));
    CALL(write(150, "abc", 3));
    CALL(write(d, "abc", 3));
    CALL(recv(d, buf, 3, MSG_WAITALL));
    int q = open("/dev/null", O_RDWR);
    CALL(dup2(q, d) == d);
    CALL(write(d, "abc", 3));
    CALL(read(d, buf, 3));
    close(q), close(d);
    closefrom(3);
    fd = tell("E\n"); /* and all of ours is still there */
    CALL(write(fd, "abc", 3));
    CALL(recv(fd, buf, 3, MSG_WAITALL));
    SAY("lowest free: %d", fd);
    close(fd);
}

static void g_options(void)
{
    static const struct {
        int level, name;
        const char *text;
    } opts[] = {
        {SOL_SOCKET, SO_TYPE, "SO_TYPE"}, {SOL_SOCKET, SO_PROTOCOL, "SO_PROTOCOL"}, {SOL_SOCKET, SO_ACCEPTCONN, "SO_ACCEPTCONN"},
        {SOL_SOCKET, SO_KEEPALIVE, "SO_KEEPALIVE"}, {SOL_SOCKET, SO_ERROR, "SO_ERROR"}, {SOL_SOCKET, SO_OOBINLINE, "SO_OOBINLINE"},
        {SOL_SOCKET, SO_RCVLOWAT, "SO_RCVLOWAT"}, {SOL_SOCKET, SO_PRIORITY, "SO_PRIORITY"}, {SOL_SOCKET, SO_MARK, "SO_MARK"},
        {IPPROTO_TCP, TCP_NODELAY, "TCP_NODELAY"}, {IPPROTO_TCP, TCP_CORK, "TCP_CORK"}, {IPPROTO_TCP, TCP_KEEPIDLE, "TCP_KEEPIDLE"},
        {IPPROTO_TCP, TCP_KEEPINTVL, "TCP_KEEPINTVL"}, {IPPROTO_TCP, TCP_KEEPCNT, "TCP_KEEPCNT"}, {IPPROTO_TCP, TCP_SYNCNT, "TCP_SYNCNT"},
        {IPPROTO_TCP, TCP_LINGER2, "TCP_LINGER2"}, {IPPROTO_TCP, TCP_DEFER_ACCEPT, "TCP_DEFER_ACCEPT"},
        {IPPROTO_TCP, TCP_USER_TIMEOUT, "TCP_USER_TIMEOUT"}, {IPPROTO_IP, IP_TOS, "IP_TOS"}, {IPPROTO_IP, IP_TTL, "IP_TTL"},
        {IPPROTO_IP, IP_MTU_DISCOVER, "IP_MTU_DISCOVER"}, {IPPROTO_IP, IP_RECVERR, "IP_RECVERR"}, {SOL_SOCKET, SO_SNDBUF, "SO_SNDBUF"},
        {IPPROTO_IP, 9999, "nonsense"}, {7777, 1, "no such level"},
    };
    int fd = socket(AF_INET, SOCK_STREAM, 0), v, one = 1;
    socklen_t len;
    char cc[16] = "";
    struct tcp_info ti;

    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    v = 77;
    setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &v, sizeof(v));
    v = 0x10;
    setsockopt(fd, IPPROTO_IP, IP_TOS, &v, sizeof(v));
    connect(fd, (struct sockaddr *)&peer_addr, sizeof(peer_addr));
    for (size_t i = 0; i < sizeof(opts) / sizeof(*opts); i++) {
        len = sizeof(v), v = -1;
        int r = getsockopt(fd, opts[i].level, opts[i].name, &v, &len);
        if (opts[i].name == SO_SNDBUF && opts[i].level == SOL_SOCKET)
            v = v > 0;
        SAY("%s: %d %s %d (%d)", opts[i].text, r, r ? strerrorname_np(errno) : "", v, (int)len);
    }
    len = sizeof(cc);
    CALL(getsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, cc, &len));
    SAY("%s, %d", cc, (int)len);
    len = sizeof(ti);
    CALL(getsockopt(fd, IPPROTO_TCP, TCP_INFO, &ti, &len));
    SAY("state %d, options %x", ti.tcpi_state, ti.tcpi_options);
    len = 4;
    CALL(getsockopt(fd, IPPROTO_TCP, TCP_MAXSEG, &v, &len));
    SAY("mss %d", v);
    CALL(setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, 2));
    CALL(setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, (void *)8, 4));
    CALL(setsockopt(fd, IPPROTO_TCP, 9999, &one, 4));
    CALL(setsockopt(fd, SOL_SOCKET, SO_PRIORITY, &one, 4));
    CALL(setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, "nonesuch", 8));
    CALL(setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, "reno", 4));
    v = 100000;
    CALL(setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &v, 4));
    len = 4;
    getsockopt(fd, SOL_SOCKET, SO_RCVBUF, &v, &len);
    SAY("SO_RCVBUF %d", v);
    CALL(ioctl(fd, 0x12345, &v));
    CALL(write(fd, "E\nabc", 5));
    CALL(recv(fd, buf, 3, MSG_WAITALL));
    close(fd);
}

static volatile int alarms;
static int alarm_fd = -1;
static sigjmp_buf jump;
static void on_alarm(int sig)
{
    alarms++;
    if (alarm_fd >= 0)
        (void)!write(alarm_fd, "E\nalarm", 7);
}
static void on_alarm_jump(int sig) { siglongjmp(jump, 1); }

static void set_alarm(void (*fn)(int), int flags, int ms)
{
    struct sigaction sa = {.sa_handler = fn, .sa_flags = flags}, old;
    struct itimerval it = {{0, 0}, {0, ms * 1000}};

    sigaction(SIGALRM, &sa, NULL);
    sigaction(SIGALRM, NULL, &old);
    if (old.sa_handler != fn || (old.sa_flags & ~0x04000000) != flags)
        SAY("sigaction tells %s, flags %x", old.sa_handler == fn ? "it" : "another", old.sa_flags);
    setitimer(ITIMER_REAL, &it, NULL);
}

static void g_signals(void)
{
    int fd = tell("D 300\n"), ep = epoll_create1(0);
    struct timeval tv = {2, 0};

    set_alarm(on_alarm, 0, 100);
    TIMED(80, 250, recv(fd, buf, 1, 0));
    SAY("handled %d", alarms);
    set_alarm(on_alarm, SA_RESTART, 50);
    TIMED(100, 1000, recv(fd, buf, 1, 0));
    SAY("handled %d", alarms);
    /* poll and its like are never restarted */
    set_alarm(on_alarm, SA_RESTART, 50);
    struct pollfd p = {fd, POLLIN, 0};
    CALL(poll(&p, 1, 2000));
    set_alarm(on_alarm, SA_RESTART, 50);
    fd_set r;
    FD_ZERO(&r);
    FD_SET(fd, &r);
    CALL(select(fd + 1, &r, NULL, NULL, &tv));
    add(ep, EPOLL_CTL_ADD, fd, EPOLLIN, 1);
    struct epoll_event ev;
    set_alarm(on_alarm, SA_RESTART, 50);
    CALL(epoll_wait(ep, &ev, 1, 2000));
    /* with a time-out of its own recv is not restarted either */
    tv = (struct timeval){2, 0};
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv));
    set_alarm(on_alarm, SA_RESTART, 50);
    CALL(recv(fd, buf, 1, 0));
    tv.tv_sec = 0;
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv));
    /* blocked, and open in ppoll alone */
    sigset_t block, none;
    sigemptyset(&block), sigemptyset(&none);
    sigaddset(&block, SIGALRM);
    sigprocmask(SIG_BLOCK, &block, NULL);
    alarms = 0;
    set_alarm(on_alarm, 0, 50);
    nap(100);
    SAY("blocked: %d", alarms);
    struct timespec ts = {2, 0};
    TIMED(0, 200, ppoll(&p, 1, &ts, &none));
    SAY("in ppoll: %d", alarms);
    set_alarm(on_alarm, 0, 50);
    TIMED(30, 300, epoll_pwait(ep, &ev, 1, 2000, &none));
    SAY("in epoll_pwait: %d", alarms);
    sigprocmask(SIG_SETMASK, NULL, &block);
    SAY("blocked again: %d", sigismember(&block, SIGALRM));
    sigprocmask(SIG_SETMASK, &none, NULL);
    /* a handler that uses sockets */
    int e = tell(NULL);
    alarm_fd = e;
    set_alarm(on_alarm, SA_RESTART, 50);
    CALL(recv(e, buf, 5, MSG_WAITALL));
    SAY("%.5s", buf);
    alarm_fd = -1;
    /* and one that never returns */
    if (!sigsetjmp(jump, 1)) {
        set_alarm(on_alarm_jump, 0, 50);
        CALL(recv(e, buf, 1, 0));
    } else {
        SAY("jumped out of recv");
    }
    CALL(write(e, "abc", 3));
    CALL(recv(e, buf, 3, MSG_WAITALL));
    set_alarm(SIG_IGN, 0, 50);
    CALL(write(e, "abc", 3));
    nap(80);
    CALL(recv(e, buf, 3, MSG_WAITALL));
    set_alarm(on_alarm, (int)SA_RESETHAND, 50);
    struct sigaction sa;
    CALL(recv(e, buf, 1, 0));
    sigaction(SIGALRM, NULL, &sa);
    SAY("default again: %d", sa.sa_handler == SIG_DFL);
    close(e), close(fd), close(ep);
}

static void *reader(void *arg)
{
    static char c[8];
    long n = recv((int)(long)arg, c, 5, MSG_WAITALL);
    return (void *)n;
}

static void g_threads(void)
{
    pthread_t t[4];
    int fd[4];
    void *res;

    for (int i = 0; i < 4; i++) {
        fd[i] = tell("E\n");
        pthread_create(&t[i], NULL, reader, (void *)(long)fd[i]);
    }
    nap(50);
    for (int i = 3; i >= 0; i--)
        (void)!write(fd[i], "12345", 5);
    for (int i = 0; i < 4; i++) {
        pthread_join(t[i], &res);
        SAY("thread %d read %ld", i, (long)res);
    }
    pthread_create(&t[0], NULL, reader, (void *)(long)fd[0]);
    nap(50);
    pthread_cancel(t[0]);
    pthread_join(t[0], &res);
    SAY("cancelled: %d", res == PTHREAD_CANCELED);
    CALL(write(fd[0], "12345", 5));
    CALL(recv(fd[0], buf, 5, MSG_WAITALL));
    /* shutdown wakes a reader */
    pthread_create(&t[0], NULL, reader, (void *)(long)fd[1]);
    nap(50);
    CALL(shutdown(fd[1], SHUT_RD));
    pthread_join(t[0], &res);
    SAY("woken: %ld", (long)res);
    for (int i = 0; i < 4; i++)
        close(fd[i]);
}

static int call_me(int port)
{
    char cmd[32];
    snprintf(cmd, sizeof(cmd), "K %d\n", port);
    return tell(cmd);
}

static void g_listen(void)
{
    struct sockaddr_in a = {.sin_family = AF_INET}, n;
    socklen_t len = sizeof(a);
    int l = socket(AF_INET, SOCK_STREAM, 0), c, k, v, ep = epoll_create1(0), one = 1;

    setsockopt(l, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
    CALL(bind(l, (struct sockaddr *)&a, sizeof(a)));
    CALL(listen(l, 8));
    CALL(listen(l, 9));
    getsockname(l, (struct sockaddr *)&a, &len);
    int port = ntohs(a.sin_port);
    len = 4;
    CALL(getsockopt(l, SOL_SOCKET, SO_ACCEPTCONN, &v, &len));
    SAY("%d", v);
    CALL(fcntl(l, F_GETFL));
    CALL(recv(l, buf, 1, 0));
    CALL(send(l, buf, 1, MSG_NOSIGNAL));
    CALL(connect(l, (struct sockaddr *)&peer_addr, sizeof(peer_addr)));
    SAY("poll %x", polled(l, POLLIN | POLLOUT, 0));
    struct timeval tv = {0, 100000};
    setsockopt(l, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv));
    TIMED(80, 250, accept(l, NULL, NULL));
    tv.tv_usec = 0;
    setsockopt(l, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv));
    set_alarm(on_alarm, 0, 50);
    TIMED(30, 200, accept(l, NULL, NULL));
    /* from the wire, then from this host */
    for (int i = 0; i < 2; i++) {
        if (i == 0) {
            k = call_me(port);
        } else {
            struct sockaddr_in self = {.sin_family = AF_INET, .sin_port = a.sin_port};
            self.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
            k = socket(AF_INET, SOCK_STREAM, 0);
            CALL(connect(k, (struct sockaddr *)&self, sizeof(self)));
            (void)!write(k, "hello", 5);
        }
        len = sizeof(n);
        c = accept4(l, (struct sockaddr *)&n, &len, SOCK_CLOEXEC);
        SAY("accepted %d, family %d, %d bytes, CLOEXEC %d, flags %x", c >= 0, n.sin_family, (int)len, fcntl(c, F_GETFD), fcntl(c, F_GETFL));
        SAY("from the peer: %d", n.sin_addr.s_addr == peer_addr.sin_addr.s_addr);
        len = sizeof(n);
        CALL(getsockname(c, (struct sockaddr *)&n, &len));
        SAY("port %d", n.sin_port == a.sin_port);
        CALL(recv(c, buf, 5, MSG_WAITALL));
        CALL(write(c, "x", 1));
        close(c), close(k);
    }
    /* not blocking, with epoll */
    fcntl(l, F_SETFL, O_NONBLOCK);
    CALL(accept(l, NULL, NULL));
    CALL(accept4(l, NULL, NULL, 0x1234));
    add(ep, EPOLL_CTL_ADD, l, EPOLLIN, 1);
    show("quiet", ep, 8, 50);
    k = call_me(port);
    show("ready", ep, 8, 2000);
    c = accept4(l, NULL, NULL, SOCK_NONBLOCK);
    SAY("flags %x", fcntl(c, F_GETFL));
    polled(c, POLLIN, 1000);
    CALL(recv(c, buf, 9, 0));
    CALL(recv(c, buf, 9, 0));
    show("quiet", ep, 8, 50);
    close(c), close(k);
    /* left in the queue when the listener closes */
    k = call_me(port);
    polled(l, POLLIN, 1000);
    CALL(close(l));
    show("closed", ep, 8, 50);
    close(k), close(ep);
    signal(SIGALRM, SIG_DFL);

    struct sockaddr_in6 a6 = {.sin6_family = AF_INET6}, n6;
    l = socket(AF_INET6, SOCK_STREAM, 0);
    CALL(bind(l, (struct sockaddr *)&a6, sizeof(a6)));
    CALL(listen(l, 5));
    len = sizeof(a6);
    getsockname(l, (struct sockaddr *)&a6, &len);
    k = call_me(ntohs(a6.sin6_port));
    len = sizeof(n6);
    c = accept(l, (struct sockaddr *)&n6, &len);
    SAY("dual stack: family %d, %d bytes, mapped %d", n6.sin6_family, (int)len, n6.sin6_addr.s6_addr[10] == 0xff);
    close(c), close(k), close(l);
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        void (*fn)(void);
    } groups[] = {
        {"new", g_new},       {"connect", g_connect}, {"mapped", g_mapped},   {"data", g_data},     {"ends", g_ends},
        {"time", g_time},     {"select", g_select},   {"epoll", g_epoll},     {"fds", g_fds},       {"options", g_options}, {"info", g_info},
        {"sendfile", g_sendfile}, {"writing", g_send}, {"urgent", g_urgent}, {"errqueue", g_errqueue}, {"splice", g_splice},
        {"signals", g_signals}, {"threads", g_threads}, {"listen", g_listen}, {"stdio", g_stdio},
    };

    if (argc > 2 && !strcmp(argv[1], "peer"))
        return run_peer(atoi(argv[2]));
    if (argc < 3)
        return fprintf(stderr, "socket_api peer PORT | socket_api ADDRESS PORT [GROUP]\n"), 2;
    peer_addr.sin_family = AF_INET;
    peer_addr.sin_port = htons(atoi(argv[2]));
    inet_pton(AF_INET, argv[1], &peer_addr.sin_addr);
    for (size_t i = 0; i < sizeof(groups) / sizeof(*groups); i++) {
        if (argc > 3 && !strstr(groups[i].name, argv[3]))
            continue;
        last = groups[i].name;
        alarm(0);
        groups[i].fn();
    }
    return 0;
}
