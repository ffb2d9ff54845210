/* SPDX-License-Identifier: MIT */
#ifndef SLUICE_TESTS_LIB_IPNET_H
#define SLUICE_TESTS_LIB_IPNET_H
/* A net with a clock that stands still and one Ethernet device whose frames are kept: what tests of the IP layer
 * need. ipnet_free() proves that every sk_buff and sock came home. */

#include "../../stack/core/netdevice.h"
#include "../../stack/ipv4/tcp.h"

#define IPNET_FRAMES 64
#define IPNET_MYIP 0x0a000001u   /* 10.0.0.1/24 on the device, host order */
#define IPNET_PEERIP 0x0a000002u /* 10.0.0.2 */
extern const u8 ipnet_mymac[6], ipnet_peermac[6];

struct ipnet {
    struct net *net;
    struct net_device dev;
    u64 now, seed;
    struct {
        u32 len;
        u8 data[2048];
    } sent[IPNET_FRAMES]; /* as given to the driver */
    u32 nsent;
    int last_drop;        /* enum skb_drop_reason, -1: none since the last ipnet_rx() */
    char last_log[512];
    int flows, listeners, parked; /* what steer_ops was told: additions less removals */
    int flow_adds;
};

struct ipnet *ipnet_new(void);
void ipnet_free(struct ipnet *n);
/* Move the clock and run timers, NET_TX and deferred freeing. */
void ipnet_advance(struct ipnet *n, u64 ns);
/* Give a frame (Ethernet header included) to the stack. */
void ipnet_rx(struct ipnet *n, const void *frame, u32 len);
/* Give an IPv4 packet to the stack in a frame from the peer to us; fills length and checksum when 0. */
void ipnet_rx_ip(struct ipnet *n, const void *packet, u32 len);
/* An IPv4 header: len is the whole datagram's; checksum complete. frag: host order. */
void ipnet_iphdr(struct iphdr *iph, u32 saddr, u32 daddr, u8 proto, u32 len, u16 id, u16 frag);
/* Make the peer's address known, so that packets to it leave at once. */
void ipnet_resolve(struct ipnet *n, u32 addr);
struct sock *ipnet_sock(struct ipnet *n, struct socket **sock);
extern struct ipnet *ipnet_current;

#endif
