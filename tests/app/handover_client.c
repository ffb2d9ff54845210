/* SPDX-License-Identifier: MIT */
/* handover_client HOST PORT CASE: a program that does with its connection what a stack inside one process cannot
 * do alone. The server (handover.sh) answers a line "echo", "count" or "data N". Prints one line, "ok" or what
 * went wrong; handover.sh compares. Built and run by handover.sh; nothing here knows of sluice. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <linux/errqueue.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

static struct sockaddr_in server;
#define SAY(...) (dprintf(1, __VA_ARGS__), dprintf(1, "\n"))
#define MUST(cond)                                                                                 \
    do {                                                                                           \
        if (!(cond)) {                                                                             \
            SAY("line %d: %s: %s", __LINE__, #cond, strerror(errno));                              \
            _exit(1);                                                                              \
        }                                                                                          \
    } while (0)

static int dial(const char *hello)
{
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    MUST(fd >= 0 && connect(fd, (struct sockaddr *)&server, sizeof(server)) == 0);
    MUST(write(fd, hello, strlen(hello)) == (ssize_t)strlen(hello));
    return fd;
}

/* There and back: n bytes of a pattern. */
static int echo(int fd, size_t n, unsigned seed)
{
    char out[4096], in[4096];
    for (size_t i = 0; i < n; i++)
        out[i] = (char)(i * 31 + seed);
    if (write(fd, out, n) != (ssize_t)n)
        return 0;
    for (size_t got = 0; got < n;) {
        ssize_t r = read(fd, in + got, n - got);
        if (r <= 0)
            return 0;
        got += r;
    }
    return !memcmp(in, out, n);
}

static void reap(pid_t pid)
{
    int st;
    MUST(waitpid(pid, &st, 0) == pid && WIFEXITED(st) && WEXITSTATUS(st) == 0);
}

static void fdopen_case(void)
{
    int fd = dial("echo\n");
    char line[64];
    MUST(echo(fd, 1000, 1));
    FILE *f = fdopen(fd, "r+");
    MUST(f && fputs("by stdio\n", f) >= 0 && fflush(f) == 0);
    MUST(fgets(line, sizeof(line), f) && !strcmp(line, "by stdio\n"));
    MUST(fclose(f) == 0);
}

static void fork_child_uses(void)
{
    int fd = dial("echo\n");
    MUST(echo(fd, 1000, 1));
    pid_t pid = fork();
    if (!pid) {
        MUST(echo(fd, 2000, 2));
        _exit(0);
    }
    reap(pid);
    MUST(echo(fd, 3000, 3)); /* and the parent still has it */
}

static void fork_parent_goes_on(void)
{
    int fd = dial("echo\n");
    pid_t pid = fork();
    if (!pid) {
        usleep(50000); /* holds it and lets it go, untouched */
        _exit(0);
    }
    for (int i = 0; i < 50; i++)
        MUST(echo(fd, 500, i));
    reap(pid);
    for (int i = 0; i < 50; i++)
        MUST(echo(fd, 500, i));
}

static void fork_parent_closes(void)
{
    int fd = dial("echo\n"), p[2];
    char c;
    MUST(echo(fd, 1000, 1) && pipe(p) == 0);
    pid_t pid = fork();
    if (!pid) {
        MUST(read(p[0], &c, 1) == 1);
        MUST(echo(fd, 2000, 2));
        _exit(0);
    }
    close(fd);
    MUST(write(p[1], "x", 1) == 1);
    reap(pid);
}

static void fork_parent_exits(void)
{
    int fd = dial("echo\n");
    MUST(echo(fd, 1000, 1));
    pid_t pid = fork();
    if (pid)
        _exit(0); /* "ok" comes from the child */
    usleep(100000);
    MUST(echo(fd, 2000, 2));
    SAY("ok");
    _exit(0);
}

/* One write and one read by each of several processes in turn. */
static void fork_chain(void)
{
    int fd = dial("echo\n");
    for (int depth = 0; depth < 4; depth++) {
        pid_t pid = fork();
        if (pid) {
            reap(pid);
            MUST(echo(fd, 100, depth));
            if (depth)
                _exit(0);
            return;
        }
    }
    MUST(echo(fd, 1000, 9));
    _exit(0);
}

static void owner_killed(void)
{
    int fd = dial("echo\n"), p[2];
    char c;
    MUST(echo(fd, 100, 1) && pipe(p) == 0);
    pid_t pid = fork();
    if (pid) {
        raise(SIGKILL);
        _exit(1);
    }
    usleep(100000);
    ssize_t r = write(fd, "x", 1);
    if (r == 1) /* it may take a round trip */
        r = read(fd, &c, 1);
    SAY(r < 0 && (errno == ECONNRESET || errno == EPIPE || errno == ENOTCONN) ? "ok" : "no error");
    _exit(0);
}

static void exec_inherits(void)
{
    int fd = dial("echo\n");
    MUST(echo(fd, 1000, 1));
    MUST(dup2(fd, 0) == 0);
    MUST(write(fd, "through exec\n", 13) == 13);
    execlp("head", "head", "-n1", (char *)NULL);
    MUST(0);
}

static void exec_cloexec(void)
{
    int fd = dial("count\n");
    static char buf[300000];
    fcntl(fd, F_SETFD, FD_CLOEXEC);
    fcntl(fd, F_SETFL, O_NONBLOCK);
    ssize_t n = write(fd, buf, sizeof(buf));
    MUST(n > 0);
    char text[64];
    snprintf(text, sizeof(text), "echo %zd", n + 0);
    execl("/bin/sh", "sh", "-c", text, (char *)NULL);
    MUST(0);
}

static void spawn_stdin(void)
{
    int fd = dial("echo\n"), st;
    extern char **environ;
    posix_spawn_file_actions_t fa;
    pid_t pid;
    char *argv[] = {"head", "-n1", NULL};
    MUST(echo(fd, 100, 1));
    MUST(write(fd, "through spawn\n", 14) == 14);
    posix_spawn_file_actions_init(&fa);
    posix_spawn_file_actions_adddup2(&fa, fd, 0);
    MUST(posix_spawnp(&pid, "head", &fa, NULL, argv, environ) == 0);
    MUST(waitpid(pid, &st, 0) == pid && st == 0);
}

static void scm_rights(void)
{
    int fd = dial("echo\n"), sv[2];
    MUST(echo(fd, 1000, 1) && socketpair(AF_UNIX, SOCK_STREAM, 0, sv) == 0);
    char byte = 'x', buf[CMSG_SPACE(sizeof(int))] __attribute__((aligned(8))) = {0};
    struct iovec iov = {&byte, 1};
    struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = buf, .msg_controllen = sizeof(buf)};
    pid_t pid = fork();
    if (!pid) {
        close(fd);
        MUST(recvmsg(sv[1], &m, 0) == 1);
        memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&m)), sizeof(fd));
        MUST(echo(fd, 2000, 2));
        _exit(0);
    }
    struct cmsghdr *c = CMSG_FIRSTHDR(&m);
    *c = (struct cmsghdr){.cmsg_len = CMSG_LEN(sizeof(int)), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS};
    memcpy(CMSG_DATA(c), &fd, sizeof(fd));
    MUST(sendmsg(sv[0], &m, 0) == 1);
    close(fd);
    reap(pid);
}

/* The kernel finishes what was written, however the program ends. how: close first? */
static void exit_unsent(int close_first)
{
    int fd = dial("count\n");
    static char buf[65536];
    size_t total = 0;
    fcntl(fd, F_SETFL, O_NONBLOCK);
    for (ssize_t n; (n = write(fd, buf, sizeof(buf))) > 0;)
        total += n;
    MUST(errno == EAGAIN && total > 0);
    if (close_first)
        close(fd);
    SAY("%zu", total);
    exit(0);
}

static void unread_moves(void)
{
    int fd = dial("data 200000\n");
    static char buf[200000];
    size_t got = 0;
    usleep(100000); /* now it waits unread, as much as the window takes */
    int copy = dup2(fd, 2); /* a standard stream: it goes to the kernel */
    MUST(copy == 2);
    while (got < sizeof(buf)) {
        ssize_t n = read(2, buf + got, sizeof(buf) - got);
        MUST(n > 0);
        got += n;
    }
    for (size_t i = 0; i < got; i++)
        MUST(buf[i] == (char)(i * 7));
    MUST(read(2, buf, 1) == 0); /* the server's end came with it, or comes now */
}

static void half_closed_moves(void)
{
    int fd = dial("data 5000\n");
    char buf[5000];
    size_t got = 0;
    MUST(shutdown(fd, SHUT_WR) == 0);
    usleep(100000);
    FILE *f = fdopen(fd, "r");
    for (int ch; (ch = fgetc(f)) != EOF; got++)
        if (got < sizeof(buf))
            buf[got] = ch;
    MUST(got == sizeof(buf));
    for (size_t i = 0; i < got; i++)
        MUST(buf[i] == (char)(i * 7));
}

/* Reset with 3000 bytes unread: they can still be read, then comes the error. */
static void reset_moves(void)
{
    int fd = dial("reset\n");
    static char buf[4000];
    size_t got = 0;
    ssize_t n;
    usleep(300000);
    MUST(dup2(fd, 0) == 0);
    while ((n = read(0, buf, sizeof(buf))) > 0)
        got += n;
    MUST(got == 3000 && n < 0 && errno == ECONNRESET);
}

static void peer_closed_moves(void)
{
    int fd = dial("data 3000\n"), copy;
    static char buf[4000];
    usleep(100000); /* CLOSE_WAIT with 3000 bytes unread */
    MUST((copy = dup2(fd, 0)) == 0);
    size_t got = 0;
    for (ssize_t n; (n = read(0, buf, sizeof(buf))) > 0;)
        got += n;
    MUST(got == 3000);
    MUST(write(0, "more", 4) == 4); /* our direction still works */
}

/* An AF_INET6 socket that carries IPv4. */
static void mapped_moves(void)
{
    struct sockaddr_in6 to = {.sin6_family = AF_INET6, .sin6_port = server.sin_port}, me;
    socklen_t len = sizeof(me);
    int fd = socket(AF_INET6, SOCK_STREAM, 0);
    to.sin6_addr.s6_addr[10] = to.sin6_addr.s6_addr[11] = 0xff;
    memcpy(to.sin6_addr.s6_addr + 12, &server.sin_addr, 4);
    MUST(connect(fd, (struct sockaddr *)&to, sizeof(to)) == 0 && write(fd, "echo\n", 5) == 5);
    MUST(echo(fd, 1000, 1));
    MUST(dup2(fd, 0) == 0 && echo(0, 1000, 2) && echo(fd, 1000, 3));
    MUST(getsockname(0, (struct sockaddr *)&me, &len) == 0 && me.sin6_family == AF_INET6);
}

/* Not yet connected (the script lets no SYN through at first): the kernel goes on asking. */
static void syn_sent_moves(void)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), err = -1;
    socklen_t len = sizeof(err);
    struct sockaddr_in before, after;
    server.sin_port = htons(ntohs(server.sin_port) + 1);
    MUST(connect(fd, (struct sockaddr *)&server, sizeof(server)) < 0 && errno == EINPROGRESS);
    len = sizeof(before);
    MUST(getsockname(fd, (struct sockaddr *)&before, &len) == 0);
    usleep(100000);
    MUST(dup2(fd, 0) == 0);
    struct pollfd p = {.fd = 0, .events = POLLOUT};
    MUST(poll(&p, 1, 10000) == 1);
    len = sizeof(err);
    MUST(getsockopt(0, SOL_SOCKET, SO_ERROR, &err, &len) == 0 && err == 0);
    len = sizeof(after);
    MUST(getsockname(0, (struct sockaddr *)&after, &len) == 0 && after.sin_port == before.sin_port);
    fcntl(0, F_SETFL, 0);
    MUST(write(0, "echo\n", 5) == 5 && echo(0, 1000, 2));
}

/* What the program had set holds in the kernel too. */
static void options_move(void)
{
    int fd = dial("echo\n"), one = 1, idle = 77, v;
    socklen_t len = sizeof(v);
    MUST(setsockopt(fd, IPPROTO_TCP, 1 /* TCP_NODELAY */, &one, sizeof(one)) == 0);
    MUST(setsockopt(fd, IPPROTO_TCP, 4 /* TCP_KEEPIDLE */, &idle, sizeof(idle)) == 0);
    MUST(setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &one, sizeof(one)) == 0);
    MUST(fcntl(fd, F_SETFL, O_NONBLOCK) == 0);
    MUST(dup2(fd, 0) == 0);
    MUST(getsockopt(0, IPPROTO_TCP, 1, &v, &len) == 0 && v == 1);
    MUST(getsockopt(0, IPPROTO_TCP, 4, &v, &len) == 0 && v == 77);
    MUST(getsockopt(0, SOL_SOCKET, SO_KEEPALIVE, &v, &len) == 0 && v == 1);
    MUST((fcntl(0, F_GETFL) & O_NONBLOCK) && read(0, &v, 1) < 0 && errno == EAGAIN);
}

/* The range of calls that the next completion on the error queue is about; false: none within a second. */
static int completed(int fd, unsigned *lo, unsigned *hi)
{
    char control[256];
    for (int i = 0; i < 100; i++) {
        struct msghdr m = {.msg_control = control, .msg_controllen = sizeof(control)};
        if (recvmsg(fd, &m, MSG_ERRQUEUE | MSG_DONTWAIT) >= 0) {
            struct sock_extended_err *e = (void *)CMSG_DATA(CMSG_FIRSTHDR(&m));
            *lo = e->ee_info;
            *hi = e->ee_data;
            return e->ee_origin == SO_EE_ORIGIN_ZEROCOPY;
        }
        usleep(10000);
    }
    return 0;
}

static void zerocopy_sends(int fd, int n)
{
    char buf[100];
    while (n--)
        MUST(send(fd, "0123456789", 10, MSG_ZEROCOPY) == 10 && recv(fd, buf, 10, MSG_WAITALL) == 10);
}

/* Calls with MSG_ZEROCOPY keep their numbers: what was read is not told again, what was not is. */
static void zerocopy_moves(void)
{
    int fd = dial("echo\n"), one = 1;
    unsigned lo, hi, next;
    MUST(setsockopt(fd, SOL_SOCKET, SO_ZEROCOPY, &one, sizeof(one)) == 0);
    zerocopy_sends(fd, 3);
    MUST(completed(fd, &lo, &hi) && lo == 0 && hi == 2);
    zerocopy_sends(fd, 2);
    MUST(dup2(fd, 0) == 0);
    zerocopy_sends(0, 2);
    for (next = 3; next < 7; next = hi + 1)
        MUST(completed(0, &lo, &hi) && lo == next && hi < 7);
}

/* A thread sleeps in read() while the connection moves away under it: here by a child's touch. */
static void sleeper_follows(void)
{
    int fd = dial("echo\n");
    char buf[8];
    pid_t pid = fork();
    if (!pid) {
        usleep(100000);
        MUST(write(fd, "wake up", 7) == 7);
        _exit(0);
    }
    MUST(read(fd, buf, 7) == 7 && !memcmp(buf, "wake up", 7));
    reap(pid);
}

static void poller_follows(void)
{
    int fd = dial("echo\n");
    struct pollfd p = {.fd = fd, .events = POLLIN};
    char buf[8];
    pid_t pid = fork();
    if (!pid) {
        usleep(100000);
        MUST(write(fd, "wake up", 7) == 7);
        _exit(0);
    }
    MUST(poll(&p, 1, 5000) == 1 && (p.revents & POLLIN));
    MUST(read(fd, buf, 7) == 7);
    reap(pid);
}

static int listen_at(int port)
{
    int one = 1, l = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in me = {.sin_family = AF_INET, .sin_port = htons(port)};
    MUST(setsockopt(l, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) == 0);
    MUST(bind(l, (struct sockaddr *)&me, sizeof(me)) == 0 && listen(l, 16) == 0);
    return l;
}

/* Echo on a connection of the listener until its end. */
static void serve_one(int l)
{
    char buf[4096];
    int fd = accept(l, NULL, NULL);
    MUST(fd >= 0);
    for (ssize_t n; (n = read(fd, buf, sizeof(buf))) > 0;)
        MUST(write(fd, buf, n) == n);
    close(fd);
}

/* A server that forks for each connection, as inetd and socat do. */
static void fork_server(void)
{
    int l = listen_at(4242), st;
    for (int i = 0; i < 5; i++) {
        int fd = accept(l, NULL, NULL);
        MUST(fd >= 0);
        pid_t pid = fork();
        if (!pid) {
            char buf[4096];
            close(l);
            for (ssize_t n; (n = read(fd, buf, sizeof(buf))) > 0;)
                MUST(write(fd, buf, n) == n);
            _exit(0);
        }
        close(fd);
    }
    while (wait(&st) > 0)
        MUST(st == 0);
}

/* A server whose processes are there before the connections. The parent never accepts, the child is slow to begin:
 * the client is there first. */
static void prefork_server(void)
{
    int l = listen_at(4243);
    pid_t pid = fork();
    if (!pid) {
        usleep(700000);
        serve_one(l);
        serve_one(l);
        _exit(0);
    }
    reap(pid);
}

/* The same, but the parent dies by a signal while the child has not begun. */
static void prefork_parent_killed(void)
{
    int l = listen_at(4244);
    pid_t pid = fork();
    if (pid) {
        usleep(500000);
        kill(getpid(), SIGKILL);
    }
    usleep(700000);
    serve_one(l);
    serve_one(l);
    SAY("ok");
    _exit(0);
}

/* The first child dies by a signal without ever having used the listener; the parent accepts after that. */
static void prefork_child_killed(void)
{
    int l = listen_at(4245), st;
    pid_t pid = fork();
    if (!pid) {
        usleep(500000);
        kill(getpid(), SIGKILL);
    }
    MUST(waitpid(pid, &st, 0) == pid && WIFSIGNALED(st));
    serve_one(l);
    serve_one(l);
}

/* The parent accepts first and leaves it to a child then. */
static void parent_accepts_first(void)
{
    int l = listen_at(4246);
    serve_one(l);
    pid_t pid = fork();
    if (!pid) {
        usleep(700000);
        serve_one(l);
        _exit(0);
    }
    reap(pid);
}

/* inetd's "wait": who waits for a connection starts a program that accepts it. */
static void wait_server(void)
{
    int l = listen_at(4247);
    for (int i = 0; i < 2; i++) {
        struct pollfd p = {.fd = l, .events = POLLIN};
        MUST(poll(&p, 1, 10000) == 1);
        pid_t pid = fork();
        if (!pid) {
            MUST(dup2(l, 0) == 0);
            execl("/proc/self/exe", "client", "127.0.0.1", "1", "accept_stdin", NULL);
            _exit(1);
        }
        reap(pid);
    }
}

static void accept_stdin(void)
{
    serve_one(0);
    _exit(0);
}

static const struct {
    const char *name;
    void (*fn)(void);
} cases[] = {
    {"fdopen", fdopen_case},
    {"fork_child_uses", fork_child_uses},
    {"fork_parent_goes_on", fork_parent_goes_on},
    {"fork_parent_closes", fork_parent_closes},
    {"fork_parent_exits", fork_parent_exits},
    {"fork_chain", fork_chain},
    {"owner_killed", owner_killed},
    {"exec_inherits", exec_inherits},
    {"exec_cloexec", exec_cloexec},
    {"spawn_stdin", spawn_stdin},
    {"scm_rights", scm_rights},
    {"unread_moves", unread_moves},
    {"half_closed_moves", half_closed_moves},
    {"reset_moves", reset_moves},
    {"peer_closed_moves", peer_closed_moves},
    {"mapped_moves", mapped_moves},
    {"syn_sent_moves", syn_sent_moves},
    {"options_move", options_move},
    {"zerocopy_moves", zerocopy_moves},
    {"sleeper_follows", sleeper_follows},
    {"poller_follows", poller_follows},
    {"fork_server", fork_server},
    {"prefork_server", prefork_server},
    {"prefork_parent_killed", prefork_parent_killed},
    {"prefork_child_killed", prefork_child_killed},
    {"parent_accepts_first", parent_accepts_first},
    {"wait_server", wait_server},
    {"accept_stdin", accept_stdin},
};

int main(int argc, char **argv)
{
    if (argc != 4)
        return 2;
    signal(SIGPIPE, SIG_IGN);
    server.sin_family = AF_INET;
    server.sin_port = htons(atoi(argv[2]));
    inet_pton(AF_INET, argv[1], &server.sin_addr);
    if (!strcmp(argv[3], "exit_unsent"))
        exit_unsent(0);
    if (!strcmp(argv[3], "close_exit_unsent"))
        exit_unsent(1);
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        if (strcmp(cases[i].name, argv[3]))
            continue;
        cases[i].fn();
        if (strcmp(argv[3], "fork_parent_exits"))
            SAY("ok");
        return 0;
    }
    return 2;
}
