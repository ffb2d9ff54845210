/* SPDX-License-Identifier: MIT */
#ifndef SLUICE_TESTS_FUZZNET_H
#define SLUICE_TESTS_FUZZNET_H
/* What the fuzz targets share: one net with one Ethernet device for each input, connections whose sequence numbers
 * are followed, so that an input may say "in order" or "7 bytes before what was acknowledged" and reaches TCP; and
 * the proof at the end that every sk_buff, page and sock came home.
 *
 * Three things are checked while an input runs, besides what the sanitizers see: frames that the stack sends are well
 * formed (lengths, checksums, option list); received payload, which is a function of its sequence number, is read as
 * it was sent; and the clock moves in steps that the input gives, so that timers run in between.
 *
 * A frame lies in memory of exactly its size: one byte read beyond its end is an ASan report. */

#include "../lib/ipnet.h"

/* ---- input: reading past its end gives zeros ------------------------------------------------------------------ */

struct input {
    const u8 *p;
    size_t left;
};
u8 in_u8(struct input *in);
u16 in_u16(struct input *in); /* big-endian */
u32 in_u32(struct input *in);
/* Up to `want` bytes; returns how many were left. */
u32 in_bytes(struct input *in, void *to, u32 want);

/* ---- the net -------------------------------------------------------------------------------------------------------- */

#define FZ_FLOWS 16
#define FZ_SPORT 10000 /* flow i is from this port + i of the peer */
#define FZ_LPORT 40000 /* ... to port 80, or to this port + i when the program connects */
struct fz_flow {
    u16 lport;
    u32 nxt;           /* the peer's next sequence number */
    u32 una, rcv_nxt;  /* the highest the stack has sent; what it acknowledged last */
    u32 tsval;         /* the stack's last timestamp */
    bool urg;          /* urgent data was sent: the stream is no longer a function of its place */
    struct socket *sock;
};

struct fuzznet {
    struct ipnet *n;
    struct net *net;
    struct page_pool *rx_pool;
    struct fz_flow flow[FZ_FLOWS];
    struct socket *listener[2]; /* port 80; port 81 with TCP_FASTOPEN and TCP_DEFER_ACCEPT */
    u32 rx_headroom;
    bool hold;                  /* leave what GRO holds where it is */
    void (*on_icmp)(const u8 *icmp, u32 len); /* whole ICMP messages that the stack sends; may be NULL */
};

/* A net; bits of `cfg` choose settings (see the function). */
struct fuzznet *fz_new(u8 cfg);
/* Close everything, by reset or (patient) by letting the timers run out; then nothing may be left. */
void fz_free(struct fuzznet *f, bool patient);
/* Move the clock by a step that one byte of input says: 100 us to 60 s. */
void fz_step(struct fuzznet *f, u8 how);

/* ---- frames ------------------------------------------------------------------------------------------------------------ */

/* Give a frame to the stack, and look at what it sends in return. */
void fz_rx(struct fuzznet *f, const void *frame, u32 len);
/* The same for an IPv4 packet, with lengths and checksums made right unless `raw`. packet has room in place. */
void fz_rx_ip(struct fuzznet *f, u8 *packet, u32 len, bool raw);
/* Look at what was sent since the last call. */
void fz_collect(struct fuzznet *f);

struct fz_seg {
    u32 seq, ack, len;
    u16 sport, dport, win, urg;
    u8 flags, tos;
    u8 opt[40];
    u32 optlen; /* padded with zeros to a multiple of 4 */
};
void fz_rx_seg(struct fuzznet *f, const struct fz_seg *s);
/* A segment of flow i with these flags, in order, with len bytes; moves flow[i].nxt. */
void fz_send(struct fuzznet *f, int i, u8 flags, u32 len, const u8 *opt, u32 optlen);
/* A segment as the input describes it (tests/fuzz/seeds.py knows the encoding). */
void fz_input_segment(struct fuzznet *f, struct input *in);
/* Options as the input describes them; returns the length. */
u32 fz_input_options(struct fuzznet *f, struct input *in, const struct fz_flow *w, u8 *opt);

/* ---- the program ----------------------------------------------------------------------------------------------------- */

extern const u8 fz_syn_opt[20]; /* mss 1460, sackOK, TS, wscale 7 */
/* Flow i: handshake by the peer with these SYN options, accepted. */
void fz_establish(struct fuzznet *f, int i, bool options);
/* Flow i in the state with this number, 0 .. FZ_STATES - 1. */
#define FZ_STATES 12
void fz_set_up(struct fuzznet *f, int i);
void fz_connect(struct fuzznet *f, int i);
void fz_accept(struct fuzznet *f, int i, int listener);
void fz_write(struct fuzznet *f, int i, u32 len, int flags);
void fz_read(struct fuzznet *f, int i, u32 len, int flags);
void fz_close(struct fuzznet *f, int i, bool reset);

#endif
