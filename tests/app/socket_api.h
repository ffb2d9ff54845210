/* SPDX-License-Identifier: MIT */
#ifndef SLUICE_TESTS_SOCKET_API_H
#define SLUICE_TESTS_SOCKET_API_H
/* What the groups of socket_api share: saying what happened, and connections to the peer. */

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <netinet/in.h>
#include <time.h>

extern const char *last; /* the group that runs */
extern struct sockaddr_in peer_addr;
extern char buf[300000];

/* A connection to the peer, told to do this (run_peer). */
int tell(const char *cmd);
void nap(int ms);
short polled(int fd, short events, int ms);

#define SAY(...) (printf("%-16s ", last), printf(__VA_ARGS__), putchar('\n'), fflush(stdout))
/* The value of a call, and its errno when it failed. */
#define CALL(expr)                                                                                  \
    ({                                                                                              \
        errno = 0;                                                                                  \
        long v_ = (long)(expr);                                                                     \
        int e_ = errno;                                                                             \
        SAY("%s = %ld%s%s", #expr, v_, v_ < 0 ? " " : e_ ? " but errno " : "", v_ < 0 || e_ ? strerrorname_np(e_) : ""); \
        v_;                                                                                         \
    })
/* Milliseconds, rounded to what a loaded machine can hold. */
static inline long since(const struct timespec *t0)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (t.tv_sec - t0->tv_sec) * 1000 + (t.tv_nsec - t0->tv_nsec) / 1000000;
}
#define TIMED(lo, hi, expr)                                                                         \
    do {                                                                                            \
        struct timespec t0_;                                                                        \
        clock_gettime(CLOCK_MONOTONIC, &t0_);                                                       \
        CALL(expr);                                                                                 \
        long ms_ = since(&t0_);                                                                     \
        SAY("  in %d..%d ms: %s", lo, hi, ms_ >= lo && ms_ <= hi + 3000 ? "yes" : "no"); /* busy machine */ \
    } while (0)


/* socket_api_send.c */
void g_data(void);
void g_ends(void);
void g_sendfile(void);
void g_send(void);
void g_urgent(void);
void g_errqueue(void);
void g_splice(void);
void g_time(void);
void g_stdio(void);
void g_info(void);

#endif
