/* SPDX-License-Identifier: MIT */
#ifndef SLUICE_TESTS_TCPFRAME_H
#define SLUICE_TESTS_TCPFRAME_H
/* Ethernet+IPv4+TCP frames for the core's tests, and the checksum the slow way. */

#include "../../stack/core/skbuff.h"
#include <linux/if_ether.h>
#include <linux/ip.h>
#include <linux/tcp.h>

struct tcp_frame { /* zero: a pure ACK from 10.0.0.1:1000 to 10.0.0.2:2000 with the 12-byte timestamp option */
    u32 seq, ack;
    u32 len;          /* payload bytes: byte i is (u8)(seq + i) */
    u8 flags;         /* 0: ACK */
    u16 id;
    u16 sport;        /* 0: 1000 */
    u8 tos, ttl;      /* ttl 0: 64 */
    u16 window;       /* 0: 1000 */
    u32 tsval;
    bool df_off;
    u16 gso_size;     /* TX: large packet of such segments */
    u32 linear;       /* payload bytes in the linear part; the rest in frags */
    u32 frag;         /* bytes per frag, 0: 1000 */
    bool partial;     /* the checksum is left partial (pseudo-header sum) */
    bool page_head;   /* the linear part is a page (as received from a UMEM) */
    u8 dmac[ETH_ALEN];
};

/* data at the Ethernet header, offsets set. Pages come from `pool`. */
struct sk_buff *tcp_frame_build(struct net *net, struct page_pool *pool, const struct tcp_frame *f);
/* RFC 1071, one 16-bit word at a time. */
u16 naive_csum(const u8 *p, size_t len, u32 start);
/* Are the IP and TCP checksums of a linear copy of this frame right? */
bool frame_csum_ok(const struct sk_buff *skb);

#endif
