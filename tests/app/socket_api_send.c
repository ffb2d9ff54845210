/* SPDX-License-Identifier: MIT */
/* Groups of socket_api that are about moving bytes. */
#include "socket_api.h"
#include <fcntl.h>
#include <linux/errqueue.h>
#include <linux/net_tstamp.h>
#include <linux/sockios.h>
#include <linux/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/select.h>
#include <sys/sendfile.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

void g_data(void)
{
    int fd = tell("E\n"), v;
    struct iovec iov[2] = {{buf, 3}, {buf + 10, 3}};
    struct msghdr m = {.msg_iov = iov, .msg_iovlen = 2};
    struct mmsghdr mm[2] = {{.msg_hdr = m}, {.msg_hdr = m}};
    struct sockaddr_in from;
    socklen_t len = sizeof(from);

    CALL(write(fd, "", 0));
    CALL(read(fd, buf, 0));
    CALL(write(fd, "abcdef", 6));
    CALL(recv(fd, buf, 6, MSG_PEEK | MSG_WAITALL));
    CALL(ioctl(fd, FIONREAD, &v));
    SAY("FIONREAD %d", v);
    CALL(recvfrom(fd, buf, 6, 0, (struct sockaddr *)&from, &len));
    SAY("%.6s from %d bytes", buf, (int)len);
    CALL(recv(fd, buf, 1, MSG_DONTWAIT));
    CALL(write(fd, (void *)8, 5));
    CALL(readv(fd, iov, -1));
    CALL(writev(fd, iov, 0));
    CALL(writev(fd, iov, 2000));
    CALL(pread(fd, buf, 1, 0));
    CALL(pwrite(fd, buf, 1, 0));
    CALL(lseek(fd, 0, SEEK_CUR));
    CALL(isatty(fd));
    CALL(writev(fd, iov, 2));
    CALL(recvmsg(fd, &m, MSG_WAITALL));
    SAY("flags %x name %d control %d", m.msg_flags, (int)m.msg_namelen, (int)m.msg_controllen);
    CALL(preadv2(fd, iov, 2, 5, 0));
    CALL(pwritev2(fd, iov, 2, -1, 0));
    CALL(recv(fd, buf, 6, MSG_WAITALL));
    CALL(sendmmsg(fd, mm, 2, 0));
    CALL(recv(fd, buf, 12, MSG_WAITALL));
    CALL(sendmmsg(fd, mm, 2, 0));
    while (ioctl(fd, FIONREAD, &v), v < 12)
        nap(1);
    CALL(recvmmsg(fd, mm, 2, 0, NULL));
    SAY("lengths %u %u", mm[0].msg_len, mm[1].msg_len);
    CALL(sendto(fd, "xy", 2, 0, (struct sockaddr *)&peer_addr, sizeof(peer_addr)));
    CALL(recv(fd, buf, 2, MSG_WAITALL | MSG_TRUNC));
    CALL(dprintf(fd, "%s-%d", "number", 7));
    CALL(recv(fd, buf, 8, MSG_WAITALL));
    SAY("%.8s", buf);
    nap(50);
    CALL(ioctl(fd, SIOCOUTQ, &v));
    SAY("SIOCOUTQ %d", v);
    CALL(syscall(SYS_write, fd, "raw", 3));
    CALL(syscall(SYS_recvfrom, fd, buf, 3, MSG_WAITALL, NULL, NULL));
    CALL(shutdown(fd, 7));
    CALL(shutdown(fd, SHUT_WR));
    CALL(send(fd, "x", 1, MSG_NOSIGNAL));
    CALL(read(fd, buf, 10));
    SAY("poll %x", polled(fd, POLLIN | POLLOUT | POLLRDHUP, 1000));
    CALL(shutdown(fd, SHUT_RDWR));
    CALL(syscall(SYS_close, fd));
    CALL(read(fd, buf, 1));
}

static volatile int pipes;
static void on_pipe(int sig) { pipes++; }

void g_ends(void)
{
    int fd, err = 0;
    socklen_t len = sizeof(err);

    signal(SIGPIPE, on_pipe);
    fd = tell("C\n");
    SAY("end: poll %x", polled(fd, POLLIN, 2000));
    SAY("poll %x", polled(fd, POLLIN | POLLOUT | POLLRDHUP, 0));
    CALL(read(fd, buf, 10));
    CALL(write(fd, "x", 1));
    nap(100);
    SAY("after reset: poll %x", polled(fd, POLLIN | POLLOUT | POLLRDHUP, 0));
    CALL(write(fd, "x", 1));
    SAY("SIGPIPE %d", pipes);
    CALL(read(fd, buf, 10));
    close(fd);

    fd = tell("R\n");
    SAY("reset: poll %x", polled(fd, POLLIN, 2000));
    SAY("poll %x", polled(fd, POLLIN | POLLOUT | POLLRDHUP, 0));
    CALL(read(fd, buf, 10));
    CALL(read(fd, buf, 10));
    pipes = 0;
    CALL(write(fd, "x", 1));
    SAY("SIGPIPE %d", pipes);
    CALL(send(fd, "x", 1, MSG_NOSIGNAL));
    SAY("SIGPIPE %d", pipes);
    close(fd);

    fd = tell("R\n");
    polled(fd, POLLIN, 2000);
    CALL(getsockopt(fd, SOL_SOCKET, SO_ERROR, &err, &len));
    SAY("SO_ERROR %s", strerrorname_np(err));
    CALL(read(fd, buf, 10));
    close(fd);

    fd = tell("E\n");
    CALL(shutdown(fd, SHUT_RD));
    CALL(read(fd, buf, 10));
    SAY("poll %x", polled(fd, POLLIN | POLLOUT | POLLRDHUP, 0));
    CALL(write(fd, "abc", 3));
    close(fd);

    fd = tell("S 200000\n"); /* to the end */
    long total = 0, n;
    while ((n = read(fd, buf, sizeof(buf))) > 0)
        total += n;
    SAY("%ld bytes, then %ld", total, n);
    close(fd);
    signal(SIGPIPE, SIG_DFL);
}

void g_sendfile(void)
{
    char name[] = "/tmp/socket_api.XXXXXX";
    int in = mkstemp(name), fd = tell("E\n"), p[2], v = -1;
    off_t off = 3;

    unlink(name);
    (void)!pipe(p);
    (void)!write(in, "0123456789", 10);
    CALL(sendfile(fd, in, &off, 4));
    SAY("offset %ld, position %ld", (long)off, (long)lseek(in, 0, SEEK_CUR));
    CALL(recv(fd, buf, 4, MSG_WAITALL));
    SAY("%.4s", buf);
    lseek(in, 8, SEEK_SET);
    CALL(sendfile(fd, in, NULL, 100));
    SAY("position %ld", (long)lseek(in, 0, SEEK_CUR));
    CALL(sendfile(fd, in, NULL, 100));
    CALL(sendfile(fd, 999, NULL, 100));
    CALL(sendfile(in, fd, NULL, 100));
    CALL(sendfile(fd, p[0], NULL, 10));
    CALL(recv(fd, buf, 2, MSG_WAITALL));
    memset(buf, 'z', sizeof(buf));
    lseek(in, 0, SEEK_SET);
    (void)!write(in, buf, sizeof(buf));
    off = 299900; /* asked for more than there is: the rest must not wait for it */
    CALL(sendfile(fd, in, &off, 1000000));
    CALL(ioctl(fd, SIOCOUTQNSD, &v));
    SAY("not sent yet: %d", v);
    CALL(recv(fd, buf, 100, MSG_WAITALL));
    int h = tell("H 100\n");
    off = 0;
    CALL(sendfile(h, in, &off, 1000000));
    shutdown(h, SHUT_WR);
    ssize_t n = recv(h, buf, 100, 0);
    buf[n > 0 ? n : 0] = 0;
    SAY("peer has %s", buf);
    close(h), close(fd), close(in), close(p[0]), close(p[1]);
}


static void count(const char *what, ssize_t n, size_t all)
{
    SAY("%s: %s", what, n < 0 ? strerrorname_np(errno) : n == 0 ? "0" : (size_t)n < all ? "a part" : "all");
}

static ssize_t peer_has(int fd)
{
    char text[32] = "";

    shutdown(fd, SHUT_WR);
    (void)!recv(fd, text, sizeof(text) - 1, 0);
    return atol(text);
}

void g_send(void)
{
    int fd = tell("H 300\n"), small = 10000, one = 1;
    struct iovec iov[1024];
    struct msghdr m = {.msg_iov = iov, .msg_iovlen = 1024};
    struct mmsghdr mm[2] = {{.msg_hdr = m}, {.msg_hdr = m}};
    struct timeval limit = {.tv_usec = 200000};
    ssize_t n, total = 0;

    /* a part, and nothing */
    setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &small, sizeof(small));
    memset(buf, 'x', sizeof(buf));
    for (int i = 0; i < 200 && (n = send(fd, buf, sizeof(buf), MSG_DONTWAIT)) >= 0; i++)
        total += n;
    SAY("in all less than all: %d", total > 0 && total < 200 * (ssize_t)sizeof(buf));
    count("then", n, 1);
    SAY("poll %x", polled(fd, POLLOUT, 0));
    SAY("the peer has it: %d", peer_has(fd) == total);
    close(fd);

    /* a time limit */
    fd = tell("H 600\n");
    setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &small, sizeof(small));
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
    total = 0;
    for (int i = 0; i < 200 && (n = write(fd, buf, sizeof(buf))) == (ssize_t)sizeof(buf); i++)
        total += n;
    count("write with a time limit", n, sizeof(buf));
    total += n > 0 ? n : 0;
    SAY("the peer has it: %d", peer_has(fd) == total);
    close(fd);

    /* many pieces, empty ones among them; the next message must not overtake a part of the last */
    for (int i = 0; i < 1024; i++)
        iov[i] = (struct iovec){buf, i % 3 ? 700 : 0};
    fd = tell("H 100\n");
    CALL(sendmsg(fd, &m, 0));
    m.msg_iovlen = 1025;
    CALL(sendmsg(fd, &m, 0));
    m.msg_iovlen = 1;
    CALL(sendmsg(fd, &m, 0)); /* the first is empty */
    iov[0].iov_len = (size_t)-1;
    CALL(sendmsg(fd, &m, 0));
    CALL(writev(fd, iov, 1));
    iov[0].iov_len = 0;
    SAY("the peer has %zd", peer_has(fd));
    close(fd);
    fd = tell("H 300\n");
    setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &small, sizeof(small));
    mm[1].msg_hdr.msg_iovlen = 1; /* an empty one, which could always be sent */
    CALL(sendmmsg(fd, mm, 2, MSG_DONTWAIT));
    total = mm[0].msg_len;
    SAY("in part: %d", total > 0 && total < 682 * 700);
    SAY("the peer has it: %d", peer_has(fd) == total);
    close(fd);

    /* nothing to send, and nowhere to send it */
    signal(SIGPIPE, SIG_IGN);
    fd = tell("E\n");
    CALL(send(fd, buf, 0, 0));
    CALL(writev(fd, iov, 1));
    shutdown(fd, SHUT_WR);
    CALL(write(fd, buf, 0));
    CALL(writev(fd, iov, 1));
    CALL(pwritev2(fd, iov, 1, -1, 0));
    CALL(send(fd, buf, 0, MSG_NOSIGNAL));
    CALL(sendmsg(fd, &m, 0));
    close(fd);
    fd = socket(AF_INET, SOCK_STREAM, 0);
    CALL(write(fd, buf, 0));
    CALL(send(fd, "x", 1, 0));
    close(fd);
    signal(SIGPIPE, SIG_DFL);

    /* cork, then more, then both off */
    fd = tell("E\n");
    setsockopt(fd, IPPROTO_TCP, TCP_CORK, &one, sizeof(one));
    CALL(send(fd, "ab", 2, 0));
    CALL(send(fd, "cd", 2, MSG_MORE | MSG_EOR));
    SAY("poll %x", polled(fd, POLLIN, 50));
    one = 0;
    setsockopt(fd, IPPROTO_TCP, TCP_CORK, &one, sizeof(one));
    CALL(recv(fd, buf, 4, MSG_WAITALL));
    close(fd);
}

static volatile int urgents;
static void on_urgent(int sig) { urgents++; }

void g_urgent(void)
{
    struct timeval second = {1, 0};
    int fd, v = 0, one = 1;
    char text[100] = "";
    fd_set ex;

    signal(SIGURG, on_urgent);
    fd = socket(AF_INET, SOCK_STREAM, 0);
    CALL(fcntl(fd, F_SETOWN, getpid()));
    connect(fd, (struct sockaddr *)&peer_addr, sizeof(peer_addr));
    (void)!write(fd, "U 100\n", 6);
    SAY("poll %x", polled(fd, POLLPRI, 3000));
    SAY("SIGURG %d", urgents);
    FD_ZERO(&ex);
    FD_SET(fd, &ex);
    CALL(select(fd + 1, NULL, NULL, &ex, &second));
    CALL(sockatmark(fd));
    CALL(ioctl(fd, FIONREAD, &v));
    SAY("FIONREAD %d", v);
    nap(200);
    CALL(recv(fd, buf, 100, 0));
    CALL(sockatmark(fd));
    CALL(recv(fd, text, 1, MSG_OOB | MSG_PEEK));
    CALL(recv(fd, text, 1, MSG_OOB));
    SAY("%.1s, poll %x", text, polled(fd, POLLPRI | POLLIN, 0));
    CALL(recv(fd, text, 1, MSG_OOB));
    CALL(recv(fd, buf, 100, 0));
    SAY("%.3s", buf);
    close(fd);

    fd = tell("U 50\n"); /* as part of the stream */
    setsockopt(fd, SOL_SOCKET, SO_OOBINLINE, &one, sizeof(one));
    nap(300);
    CALL(recv(fd, text, 1, MSG_OOB));
    CALL(recv(fd, buf, 100, 0));
    CALL(sockatmark(fd));
    CALL(recv(fd, buf, 100, 0));
    SAY("%.4s", buf);
    close(fd);

    fd = tell("M 300\n");
    (void)!write(fd, "abc", 3);
    nap(50);
    CALL(send(fd, "XY", 2, MSG_OOB));
    nap(50);
    (void)!write(fd, "de", 2);
    shutdown(fd, SHUT_WR);
    recv(fd, text, sizeof(text) - 1, 0);
    SAY("the peer read %s", text);
    close(fd);
    signal(SIGURG, SIG_DFL);
}

/* One entry of the error queue. */
static void show_error(int fd)
{
    char control[512], data[100];
    struct iovec iov = {data, sizeof(data)};
    struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof(control)};
    ssize_t n = recvmsg(fd, &m, MSG_ERRQUEUE);

    if (n < 0) {
        SAY("error queue: %s", strerrorname_np(errno));
        return;
    }
    SAY("error queue: %zd bytes, flags %x", n, m.msg_flags);
    for (struct cmsghdr *c = CMSG_FIRSTHDR(&m); c; c = CMSG_NXTHDR(&m, c)) {
        struct sock_extended_err *e = (void *)CMSG_DATA(c);
        if (c->cmsg_level == SOL_SOCKET)
            SAY("  type %d of %zu", c->cmsg_type, (size_t)c->cmsg_len);
        else /* the kernel does without the copy, or not: that much is its own */
            SAY("  level %d type %d of %zu: errno %u origin %u info %u data %u", c->cmsg_level, c->cmsg_type,
                (size_t)c->cmsg_len, e->ee_errno, e->ee_origin, e->ee_info, e->ee_data);
    }
}

void g_errqueue(void)
{
    int fd = tell("E\n"), one = 1, ts;
    struct {
        size_t len;
        int level, type;
        unsigned flags, pad;
    } c = {CMSG_LEN(4), SOL_SOCKET, SO_TIMESTAMPING, SOF_TIMESTAMPING_TX_ACK, 0};
    struct iovec iov = {buf, 10};
    struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = &c, .msg_controllen = sizeof(c)};

    show_error(fd);
    CALL(send(fd, buf, 1000, MSG_ZEROCOPY)); /* nobody asked for completions */
    recv(fd, buf, 1000, MSG_WAITALL);
    show_error(fd);
    CALL(setsockopt(fd, SOL_SOCKET, SO_ZEROCOPY, &one, sizeof(one)));
    CALL(send(fd, buf, 0, MSG_ZEROCOPY));
    for (int i = 0; i < 3; i++) {
        send(fd, buf, 1000, MSG_ZEROCOPY);
        recv(fd, buf, 1000, MSG_WAITALL);
    }
    nap(100);
    SAY("poll %x", polled(fd, 0, 1000));
    show_error(fd);
    show_error(fd);
    CALL(send(fd, buf, 1000, MSG_ZEROCOPY));
    recv(fd, buf, 1000, MSG_WAITALL);
    nap(100);
    show_error(fd);
    close(fd);

    fd = tell("E\n");
    nap(200); /* all acknowledged: numbers count from there */
    ts = SOF_TIMESTAMPING_SOFTWARE | SOF_TIMESTAMPING_OPT_ID | SOF_TIMESTAMPING_OPT_TSONLY;
    CALL(setsockopt(fd, SOL_SOCKET, SO_TIMESTAMPING, &ts, sizeof(ts)));
    send(fd, buf, 5, 0);
    recv(fd, buf, 5, MSG_WAITALL);
    CALL(sendmsg(fd, &m, 0));
    recv(fd, buf, 10, MSG_WAITALL);
    SAY("poll %x", polled(fd, 0, 1000));
    show_error(fd);
    show_error(fd);
    c.flags = SOF_TIMESTAMPING_OPT_ID;
    CALL(sendmsg(fd, &m, 0));
    c.type = 99;
    CALL(sendmsg(fd, &m, 0));
    c.len = 1;
    CALL(sendmsg(fd, &m, 0));
    ts = 1 << 16;
    CALL(setsockopt(fd, SOL_SOCKET, SO_TIMESTAMPING, &ts, sizeof(ts)));
    ts = SOF_TIMESTAMPING_OPT_STATS;
    CALL(setsockopt(fd, SOL_SOCKET, SO_TIMESTAMPING, &ts, sizeof(ts)));
    ts = SOF_TIMESTAMPING_BIND_PHC;
    CALL(setsockopt(fd, SOL_SOCKET, SO_TIMESTAMPING, &ts, sizeof(ts)));
    int both[2] = {7, 7};
    socklen_t len = sizeof(both);
    CALL(getsockopt(fd, SOL_SOCKET, SO_TIMESTAMPING, both, &len));
    SAY("%d bytes: %d %d", (int)len, both[0], both[1]);
    close(fd);
}

void g_splice(void)
{
    int fd = tell("E\n"), p[2], small = 4096;
    off_t off = 0;
    ssize_t n, total = 0, sent;

    (void)!pipe(p);
    CALL(splice(p[0], NULL, fd, NULL, 100, SPLICE_F_NONBLOCK)); /* empty */
    (void)!write(p[1], "0123456789", 10);
    CALL(splice(p[0], NULL, fd, NULL, 4, 0));
    CALL(splice(p[0], NULL, fd, NULL, 100, 0)); /* what there is */
    CALL(recv(fd, buf, 10, MSG_WAITALL));
    SAY("%.10s", buf);
    (void)!write(fd, "abcdef", 6);
    polled(fd, POLLIN, 2000);
    CALL(splice(fd, NULL, p[1], NULL, 2, 0));
    CALL(splice(fd, NULL, p[1], NULL, 100, SPLICE_F_MOVE));
    CALL(read(p[0], buf, 100));
    SAY("%.6s", buf);
    fcntl(fd, F_SETFL, O_NONBLOCK);
    CALL(splice(fd, NULL, p[1], NULL, 100, 0));
    fcntl(fd, F_SETFL, 0);
    CALL(splice(fd, &off, p[1], NULL, 100, 0));
    CALL(splice(p[0], &off, fd, NULL, 100, 0));
    CALL(splice(fd, NULL, p[1], &off, 100, 0));
    CALL(splice(p[0], NULL, fd, &off, 100, 0));
    CALL(splice(fd, NULL, fd, NULL, 100, 0));
    CALL(splice(fd, NULL, 999, NULL, 100, 0));
    CALL(splice(fd, NULL, p[1], NULL, 100, 1 << 20));
    CALL(splice(fd, NULL, p[1], NULL, 0, 0));
    shutdown(fd, SHUT_WR);
    CALL(splice(fd, NULL, p[1], NULL, 100, 0)); /* the end */
    signal(SIGPIPE, SIG_IGN);
    (void)!write(p[1], "x", 1);
    CALL(splice(p[0], NULL, fd, NULL, 100, 0));
    CALL(read(p[0], buf, 100)); /* still there */
    signal(SIGPIPE, SIG_DFL);
    close(fd);

    /* through a full pipe into a full socket: nothing is lost */
    int h = tell("H 200\n");
    setsockopt(h, SOL_SOCKET, SO_SNDBUF, &small, sizeof(small));
    fcntl(h, F_SETFL, O_NONBLOCK);
    fcntl(p[1], F_SETFL, O_NONBLOCK);
    for (sent = 0; total < 3000000;) {
        if ((n = write(p[1], buf, 50000)) > 0)
            total += n;
        n = splice(p[0], NULL, h, NULL, 70000, SPLICE_F_NONBLOCK);
        if (n > 0)
            sent += n;
        else if (errno == EAGAIN)
            polled(h, POLLOUT, 1000);
    }
    close(p[1]);
    fcntl(h, F_SETFL, 0);
    while ((n = splice(p[0], NULL, h, NULL, 70000, 0)) > 0)
        sent += n;
    SAY("all of it: %d, %zd", sent == total, n);
    SAY("the peer has it: %d", peer_has(h) == total);
    close(h), close(p[0]);
}

void g_time(void)
{
    int fd = tell("H 300\n");
    struct timeval tv = {0, 100000}, long_tv = {5, 0}, back;
    socklen_t len = sizeof(back);
    long total = 0, n;

    CALL(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv)));
    TIMED(80, 250, recv(fd, buf, 1, 0));
    CALL(getsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &back, &len));
    SAY("%ld.%06ld", (long)back.tv_sec, (long)back.tv_usec);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &long_tv, sizeof(tv));
    /* fill it: the peer does not read yet */
    fcntl(fd, F_SETFL, O_NONBLOCK);
    do /* acknowledgements of what is under way may make room again, until the peer's window is shut */
        while ((n = write(fd, buf, sizeof(buf))) > 0)
            total += n;
    while (errno == EAGAIN && polled(fd, POLLOUT, 50));
    SAY("full: %s, poll %x", strerrorname_np(errno), polled(fd, POLLOUT, 0));
    fcntl(fd, F_SETFL, 0);
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &tv, sizeof(tv));
    n = write(fd, buf, 20000000 < sizeof(buf) ? 0 : 10);
    total += n > 0 ? n : 0;
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &long_tv, sizeof(tv));
    n = write(fd, buf, 100000); /* waits for room */
    SAY("blocking write %ld", n);
    total += n;
    shutdown(fd, SHUT_WR);
    n = recv(fd, buf, 100, 0);
    buf[n > 0 ? n : 0] = 0;
    SAY("peer has all: %d", atol(buf) == total);
    close(fd);
    TIMED(80, 200, poll(NULL, 0, 100));
    fd = tell("E\n");
    TIMED(80, 200, polled(fd, POLLIN, 100));
    fd_set r;
    FD_ZERO(&r);
    FD_SET(fd, &r);
    tv = (struct timeval){0, 100000};
    TIMED(80, 200, select(fd + 1, &r, NULL, NULL, &tv));
    SAY("left %ld.%06ld, set %d", (long)tv.tv_sec, (long)tv.tv_usec, !!FD_ISSET(fd, &r));
    close(fd);
}

void g_stdio(void)
{
    int fd = tell("E\n"), d = dup(fd);
    FILE *f = fdopen(fd, "r+");
    char line[64] = "";

    fprintf(f, "by stdio\n");
    fflush(f);
    SAY("%s", fgets(line, sizeof(line), f) ? "line" : "nothing");
    SAY("%.8s", line);
    CALL(write(d, "abc", 3));
    CALL(recv(d, buf, 3, MSG_WAITALL));
    fclose(f);
    CALL(write(d, "abc", 3));
    CALL(recv(d, buf, 3, MSG_WAITALL));
    close(d);
    /* an AF_UNSPEC connect ends a connection */
    fd = tell("E\n");
    struct sockaddr un = {.sa_family = AF_UNSPEC};
    CALL(connect(fd, &un, sizeof(un)));
    CALL(write(fd, "a", 0) <= 0);
    CALL(recv(fd, buf, 1, 0));
    CALL(connect(fd, (struct sockaddr *)&peer_addr, sizeof(peer_addr)));
    CALL(write(fd, "E\nabc", 5));
    CALL(recv(fd, buf, 3, MSG_WAITALL));
    close(fd);
}

/* TCP_INFO of both ends of one connection after an exchange that both know. */
void g_info(void)
{
    int fd = tell("I 50000\n");
    struct tcp_info me = {0}, it = {0};
    socklen_t len = sizeof(me);

    memset(buf, 'x', 50000);
    CALL(write(fd, buf, 50000));
    CALL(recv(fd, buf, 50000, MSG_WAITALL));
    nap(250); /* the last ACK has come, and the peer has not written again */
    CALL(getsockopt(fd, IPPROTO_TCP, TCP_INFO, &me, &len));
    CALL(recv(fd, &it, sizeof(it), MSG_WAITALL) == sizeof(it));
    SAY("state %d %d, ca_state %d %d", me.tcpi_state, it.tcpi_state, me.tcpi_ca_state, it.tcpi_ca_state);
    SAY("mss %u %u, advmss %u %u, pmtu %u %u", me.tcpi_snd_mss, it.tcpi_snd_mss, me.tcpi_advmss, it.tcpi_advmss, me.tcpi_pmtu, it.tcpi_pmtu);
    SAY("options %x %x, scales cross: %d %d", me.tcpi_options, it.tcpi_options, me.tcpi_snd_wscale == it.tcpi_rcv_wscale,
        me.tcpi_rcv_wscale == it.tcpi_snd_wscale);
    SAY("sent - received: %lld %lld", (long long)(me.tcpi_bytes_sent - it.tcpi_bytes_received), (long long)(it.tcpi_bytes_sent - me.tcpi_bytes_received));
    SAY("acked - received: %lld %lld", (long long)(me.tcpi_bytes_acked - it.tcpi_bytes_received),
        (long long)(it.tcpi_bytes_acked - me.tcpi_bytes_received));
    /* Not the other way: what came may be counted in larger pieces than it was sent. */
    SAY("segments out - in: %d, with data %d", (int)(me.tcpi_segs_out - it.tcpi_segs_in), (int)(me.tcpi_data_segs_out - it.tcpi_data_segs_in));
    SAY("delivered - data segments: %d %d", (int)(me.tcpi_delivered - me.tcpi_data_segs_out), (int)(it.tcpi_delivered - it.tcpi_data_segs_out));
    SAY("unacked %u, lost %u, retrans %u, total_retrans %u, notsent %u, retransmits %u, backoff %u", me.tcpi_unacked, me.tcpi_lost, me.tcpi_retrans,
        me.tcpi_total_retrans, me.tcpi_notsent_bytes, me.tcpi_retransmits, me.tcpi_backoff);
    SAY("rtt %d, min_rtt %d, rto %d, rcv_space %d, cwnd %d", me.tcpi_rtt > 0, me.tcpi_min_rtt > 0, me.tcpi_rto >= 200000, me.tcpi_rcv_space > 0,
        me.tcpi_snd_cwnd >= 10);
    close(fd);
}
