/* SPDX-License-Identifier: MIT */
#ifndef SLUICE_IPV4_TCP_FASTOPEN_H
#define SLUICE_IPV4_TCP_FASTOPEN_H
/* TCP Fast Open (RFC 7413): data with the SYN, for peers that have a cookie. */

#include "tcp.h"

#define TCP_FASTOPEN_COOKIE_MIN 4
#define TCP_FASTOPEN_COOKIE_MAX 16
#define TCP_FASTOPEN_COOKIE_SIZE 8 /* the ones that we make */
#define TCP_FASTOPEN_KEY_LENGTH 16
#define TCPOPT_EXP_ 254
#define TCPOPT_FASTOPEN_MAGIC 0xf989

enum { /* net.ipv4.tcp_fastopen */
    TFO_CLIENT_ENABLE = 1,
    TFO_SERVER_ENABLE = 2,
    TFO_CLIENT_NO_COOKIE = 4,          /* data in the SYN without having a cookie */
    TFO_SERVER_COOKIE_NOT_REQD = 0x200,
    TFO_SERVER_WO_SOCKOPT1 = 0x400,    /* every listener, with its backlog as the queue's length */
};

struct tcp_fastopen_cookie {
    s8 len;   /* -1: no option; 0: the option without a cookie asks for one */
    bool exp; /* in the experimental option (254, 0xf989) */
    u8 val[TCP_FASTOPEN_COOKIE_MAX];
};
struct tcp_fastopen_request { /* of a connect() that may carry data */
    struct tcp_fastopen_cookie cookie; /* what the SYN carries */
    struct iov_iter *data;             /* the program's bytes, NULL: none, or all are in the SYN */
    size_t size;
    u32 copied;
};
struct tcp_fastopen_context { /* keys of a listener or a net; RCU */
    struct rcu_free rcu;      /* first */
    siphash_key_t key[2];     /* the first makes cookies, both are accepted */
    int num;
};

/* The option of a segment; cookie->len -1 when there is none or it is malformed. */
void tcp_parse_fastopen_option(const struct sk_buff *skb, struct tcp_fastopen_cookie *cookie);
/* Bytes of the option with padding; write it (returns behind it). */
u32 tcp_fastopen_option_len(const struct tcp_fastopen_cookie *cookie);
__be32 *tcp_fastopen_option_write(__be32 *p, const struct tcp_fastopen_cookie *cookie);

/* ---- client --------------------------------------------------------------------------------------------- */

/* May the SYN carry data, and with which cookie? */
bool tcp_fastopen_cookie_check(struct sock *sk, u16 *mss, struct tcp_fastopen_cookie *cookie);
/* TCP_FASTOPEN_CONNECT: true: connect() returns now, the first write makes the SYN. *err: -ENOBUFS. */
bool tcp_fastopen_defer_connect(struct sock *sk, int *err);
/* The first write of a fast open connection (MSG_FASTOPEN, or a deferred connect): connects; *copied bytes of
 * msg went with the SYN. 0: connected, -EINPROGRESS, or another -errno. Socket lock held. */
int tcp_sendmsg_fastopen(struct sock *sk, struct sk_msghdr *msg, u32 *copied, size_t size);
/* In place of the plain SYN, which is queued already: SYN with data, or with a request for a cookie. 0 or -errno. */
int tcp_send_syn_data(struct sock *sk, struct sk_buff *syn);
/* The SYN-ACK came: cookie kept; data that it does not acknowledge is sent again. True: it was, and carried
 * the ACK. */
bool tcp_rcv_fastopen_synack(struct sock *sk, struct sk_buff *synack, const struct tcp_fastopen_cookie *cookie);
void tcp_free_fastopen_req(struct tcp_sock *tp);
/* A middlebox seems to swallow fast open connections: none for tcp_fastopen_blackhole_timeout_sec, twice as long each
 * time up to 64 times, until one went well (tcp_fastopen(7) calls it the black hole). Off by default, as in Linux. */
void tcp_fastopen_active_disable(struct sock *sk);
bool tcp_fastopen_active_should_disable(struct sock *sk);
/* A retransmission time-out: the third in a row of a fast open connection, or its last. slock held. */
void tcp_fastopen_active_detect_blackhole(struct sock *sk, bool expired);
/* The sock ends: nothing but a FIN beyond a hole came, or data did. */
void tcp_fastopen_active_disable_ofo_check(struct sock *sk);

/* ---- server ----------------------------------------------------------------------------------------------- */

/* Role: a SYN with the option or with data. The child (slock held, a reference) when the data is taken now; else
 * NULL, with *foc what the SYN-ACK answers. */
struct sock *tcp_try_fastopen(struct sock *sk, struct sk_buff *skb, struct request_sock *req,
                              struct tcp_fastopen_cookie *foc, struct dst_entry *dst);
/* The data of a SYN or SYN-ACK to the receive queue. */
void tcp_fastopen_add_skb(struct sock *sk, struct sk_buff *skb);
/* The child's handshake is over, one way or the other: req is let go. reset: by the peer's RST; when the program
 * has the child it counts against the queue for a minute more (RFC 7413 5.1, spoofed SYNs). slock of sk held. */
void reqsk_fastopen_remove(struct sock *sk, struct request_sock *req, bool reset);
/* The retransmission timer of a child whose SYN-ACK is not acknowledged. */
void tcp_fastopen_synack_timer(struct sock *sk, struct request_sock *req);
/* The last ACK of the child's handshake came. */
void tcp_rcv_synrecv_state_fastopen(struct sock *sk);
/* TCP_FASTOPEN_KEY on a listener: 16 bytes, or 32 with the key before. 0 or -errno. */
int tcp_fastopen_set_key(struct sock *sk, const u8 *key, u32 len);
/* The keys in use, *len bytes. */
void tcp_fastopen_get_key(struct sock *sk, u8 *key, u32 *len);
void tcp_fastopen_destroy_cipher(struct sock *sk);
/* net.ipv4.tcp_fastopen_key's text ("%08x-%08x-%08x-%08x", a second one behind a comma) to bytes as TCP_FASTOPEN_KEY has
 * them: 16, 32, or 0 when it is none (all zero: the kernel has not made one). */
u32 tcp_fastopen_parse_key(const char *text, u8 *key);
/* listen(): net.ipv4.tcp_fastopen may switch it on for every listener. */
void tcp_fastopen_listen(struct sock *sk, int backlog);
/* The listener goes. */
void tcp_fastopen_listen_stop(struct sock *sk);
/* The net's own keys, before it has listeners: the host's (sysctl_tcp_fastopen_key), else one made at random. */
void tcp_fastopen_init_key(struct tcp_fastopen_context *ctx, struct net *net);
/* The net's own keys (tcp_ipv4.c). */
struct tcp_fastopen_context *tcp_net_fastopen(struct net *net);

#endif
