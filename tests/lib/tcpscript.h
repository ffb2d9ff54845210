/* SPDX-License-Identifier: MIT */
#ifndef SLUICE_TESTS_TCPSCRIPT_H
#define SLUICE_TESTS_TCPSCRIPT_H
/* Segment scripts in the stack's view: one net with one Ethernet device that is the script itself.
 *
 *     TestSuite(handshake, .init = script_init, .fini = script_fini);
 *     Test(handshake, syn_in_listen_is_answered) {
 *         struct socket *l = sys_listen(80, 10);
 *         rx(.flags = "S", .opt = "mss 1460,sackOK");
 *         tx(.flags = "SA", .ack = 1, .opt = "mss 1460,nop,nop,sackOK");
 *         rx();
 *         struct socket *s = sys_accept_ok(l);
 *         ...
 *
 * rx() injects what the peer sends, tx() asserts what the stack sent next, tx_nothing() that it sent nothing. Only the
 * fields that matter are given. Sequence numbers are relative to the sender's ISN (the SYN is 0, data begins
 * at 1); the real ones lie just below 2^32, so that every script crosses the wrap. Time is virtual: it moves
 * in advance_ms(), tx_at() and while the program blocks. Payload is a pattern of its place in the stream: rx makes it,
 * tx and sys_read check it.
 *
 * Every segment sent must be asked for: rx() and tx_at() fail while one is waiting, and so does the end of the test. A failure prints the caller's line, both segments in tcpdump's notation and the last ones before. script_fini()
 * closes what is open, lets every timer run out and proves that each sk_buff, page, sock and timer came home. */

#include "../../stack/core/net.h"
#include "../../stack/core/netdevice.h"
#include "../../stack/core/socket.h"
#include "../../stack/ipv4/tcp.h"
#include <criterion/criterion.h>

/* Defaults come first in the initialisers below and may be overridden. */
#pragma GCC diagnostic ignored "-Woverride-init"

#define SEG_NEXT INT64_MIN

struct seg {
    const char *flags;  /* of "SFRPAUEW" in any order. rx: "A", with data "PA". tx: "A", with data "A" or "PA"; "*": any */
    s64 seq;            /* rx, tx: next in order */
    s64 ack;            /* rx: all that was seen; tx: not looked at */
    int win;            /* as on the wire. rx: as last time (65535); tx: not looked at */
    u32 len;            /* 0 */
    const char *opt;    /* as tcpdump prints: "mss 1460,sackOK,TS val 100 ecr 0,nop,wscale 7", "nop,nop,sack 1 {1461:2921}".
                           rx: none, but TS when negotiated; tx: not looked at; '*' matches anything. The stack's own TS
                           values count from 1 at its first, in ms; the peer's are as given */
    int urg;            /* urgent pointer; rx: none, tx: not looked at */
    int tos;            /* rx: 0; tx: not looked at */
    u16 sport, lport;   /* the peer's and the stack's port; the current connection's */
    /* tx only, the IP header; not looked at */
    int df, ttl;
    s64 ip_id;
    const char *ip_opt; /* its options in hexadecimal, "" for none */
    /* rx only */
    bool bad_csum, bad_ip_csum;
    int doff;           /* 32-bit words, when it is to be wrong */
    int cut;            /* bytes missing at the end of the frame */
    int flag_byte;      /* all eight flag bits, instead of flags */
    u32 data_seed;      /* payload of another pattern (0: the stream's own) */
};
#define SEG(...)                                                                                                       \
    (&(struct seg){ .seq = SEG_NEXT, .ack = SEG_NEXT, .win = -1, .urg = -1, .tos = -1, .doff = -1, .flag_byte = -1, .df = -1, .ttl = -1, \
                    .ip_id = -1, __VA_ARGS__ })

#define rx(...) script_rx(__FILE__, __LINE__, SEG(__VA_ARGS__))
#define tx(...) script_tx(__FILE__, __LINE__, SEG(__VA_ARGS__))
/* As tx(), in ms milliseconds from now (within a ms and 1 %) and not sooner. Moves the clock there. */
#define tx_at(ms, ...) script_tx_at(__FILE__, __LINE__, ms, SEG(__VA_ARGS__))
#define tx_nothing() script_tx_nothing(__FILE__, __LINE__)
/* Take all that was sent and look at none of it. Returns the number of segments. */
#define tx_ignore() script_tx_ignore()
/* rx() in ms milliseconds from now, while the program waits or the clock moves. */
#define rx_in(ms, ...) script_rx_in(__FILE__, __LINE__, ms, SEG(__VA_ARGS__))
/* Move the clock, running timers. What is sent meanwhile is for the next tx(), tx_nothing() or tx_ignore(). */
#define advance_ms(n) script_advance(__FILE__, __LINE__, (n) * NSEC_PER_MSEC)
#define advance_us(n) script_advance(__FILE__, __LINE__, (n) * NSEC_PER_USEC)
/* An ICMP error about the stack's segment with this relative sequence number. */
#define rx_icmp(type, code, info, seq) script_rx_icmp(__FILE__, __LINE__, type, code, info, seq)

void script_init(void);
void script_fini(void);
void script_rx(const char *file, int line, const struct seg *s);
void script_rx_in(const char *file, int line, u64 ms, const struct seg *s);
void script_tx(const char *file, int line, const struct seg *s);
void script_tx_at(const char *file, int line, u64 ms, const struct seg *s);
void script_tx_nothing(const char *file, int line);
int script_tx_ignore(void);
void script_advance(const char *file, int line, u64 ns);
void script_rx_icmp(const char *file, int line, int type, int code, u32 info, s64 seq);

/* The net under test, its device and its clock. */
extern struct net *script_net;
extern struct net_device *script_dev;
u64 script_now(void);
extern int script_sigurgs; /* signals to owners of sockets: urgent data was announced */
#define SCRIPT_LOCAL 0x0a000001u /* 10.0.0.1, host order */
#define SCRIPT_PEER 0x0a000002u
#define SCRIPT_PEER_PORT 12345
#define SCRIPT_PORT 40000 /* what sys_socket_bound() binds to */
/* Further segments are of the connection with this peer port (rx() and connect set it too). */
void script_flow(u16 peer_port, u16 local_port);
/* Value of a counter now. */
static inline u64 mib(enum linux_mib f) { return net_mib(script_net, f); }
static inline u64 drops(enum skb_drop_reason r) { return atomic_load(&script_net->drops[r]); }

/* ---- the program's side: 0, a count or -errno; non-blocking unless the name says _wait ------------------------ */

struct socket *sys_socket(void);
/* Bound to SCRIPT_PORT, for an active open. */
struct socket *sys_socket_bound(void);
int sys_bind(struct socket *s, u32 addr, u16 port);
struct socket *sys_listen(u16 port, int backlog);
int sys_connect(struct socket *s, u16 peer_port);
int sys_connect_wait(struct socket *s, u16 peer_port);
int sys_accept(struct socket *l, struct socket **res);
struct socket *sys_accept_ok(struct socket *l); /* must succeed */
/* Write the next len bytes of the pattern. */
ssize_t sys_write(struct socket *s, size_t len);
ssize_t sys_write_wait(struct socket *s, size_t len);
ssize_t sys_send(struct socket *s, size_t len, int flags);
/* With control messages (cmsg(3)). */
ssize_t sys_sendmsg(struct socket *s, size_t len, int flags, void *control, size_t controllen);
/* sendto() the peer (MSG_FASTOPEN). flags without MSG_DONTWAIT: it may block. */
ssize_t sys_sendto(struct socket *s, u16 peer_port, size_t len, int flags);
/* Read up to len bytes and check them against the pattern (unless MSG_OOB). */
ssize_t sys_read(struct socket *s, size_t len);
ssize_t sys_read_wait(struct socket *s, size_t len);
ssize_t sys_recv(struct socket *s, size_t len, int flags);
int sys_recv_oob(struct socket *s, int flags); /* the byte, or -errno */
/* The next read's place in the pattern moves on by n (urgent bytes that are not in the stream). */
void sys_skip(struct socket *s, s64 n);
int sys_shutdown(struct socket *s, int how);
void sys_close(struct socket *s);
u32 sys_poll(struct socket *s);
int sys_setsockopt(struct socket *s, int level, int opt, int value);
int sys_getsockopt_int(struct socket *s, int level, int opt);
int sys_linger(struct socket *s, int on, int seconds);
int sys_error(struct socket *s); /* SO_ERROR, as a positive errno */
int sys_state(struct socket *s); /* TCP_* */
int sys_inq(struct socket *s);
struct tcp_info sys_tcp_info(struct socket *s);

/* A connection that a client (the script) opened; its SYN with these options and window. Port 80. */
struct socket *script_accepted(const char *syn_opt, int win);
/* A connection that the program opened; the peer's SYN-ACK with these options and window. */
struct socket *script_connected(const char *synack_opt, int win);

/* The byte of the pattern at this place; seed tells streams and overwrites apart. */
u8 script_pattern(u32 seed, u64 place);

#endif
