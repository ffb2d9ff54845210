/* SPDX-License-Identifier: MIT */
#ifndef SLUICE_TESTS_TCPSCRIPT_SEG_H
#define SLUICE_TESTS_TCPSCRIPT_SEG_H
/* A segment's form on the wire, as text and as a struct, for tcpscript.c only. */

#include "tcpscript.h"

struct flow { /* a connection, as the script knows it */
    u16 sport, lport;      /* the peer's, the stack's */
    u32 peer_isn, isn;     /* isn: the stack's, once seen */
    bool isn_known, peer_syn_sent;
    s64 peer_nxt;          /* relative: highest sent in order by the peer */
    s64 seen, nxt;         /* highest sent by the stack; and looked at by tx() */
    int win;
    bool peer_ts, ts;      /* sent in its SYN */
    u32 ts_base;           /* the stack's first stamp */
    u32 last_tsval;        /* the stack's last, absolute */
    u32 peer_tsval;        /* the peer's last, sent at peer_ts_ns */
    u64 peer_ts_ns;
};

struct wire { /* a segment, parsed */
    u64 when;
    bool from_stack;
    u16 sport, lport;
    u8 flags, tos, ttl, proto;
    bool df;
    u16 ip_id;
    char ip_opt[81]; /* hexadecimal */
    u32 seq, ack;
    u16 win, urg;
    u32 len;
    u8 opt[40];
    u32 optlen;
    u8 data[2048];
};

#define SCRIPT_HDRS (14 + 20 + 20 + 40)

int seg_flags(const char *letters);
/* "mss 1460,..." to bytes. Relative SACK edges and the stack's own stamps are made absolute. Length, or -1. */
int seg_opt_build(const struct flow *f, const char *text, u8 *out);
void seg_opt_text(const struct flow *f, const struct wire *w, char *out, size_t size);
/* One line in tcpdump's notation. */
void seg_text(const struct flow *f, const struct wire *w, char *out, size_t size);
/* The Ethernet frame of a segment from the peer into buf; returns its length. s: what is to be wrong in it. */
u32 seg_frame(const struct wire *w, const struct seg *s, const u8 *dst_mac, u8 *buf);
/* The same for an ICMP error about the stack's segment with the (real) sequence number seq. */
u32 seg_icmp_frame(const struct flow *f, int type, int code, u32 info, u32 seq, const u8 *dst_mac, u8 *buf);
/* Check and parse a frame of the stack. NULL, or what is wrong with it. */
const char *seg_parse(const u8 *frame, u32 len, struct wire *w);
u32 seg_find_ts(const struct wire *w, u32 *ecr, bool *found);

#endif
