/* SPDX-License-Identifier: MIT */
#ifndef SLUICE_NETDEV_LINK_H
#define SLUICE_NETDEV_LINK_H
/* The memory link: a pair of devices in two nets joined by a wire in memory, with rate, delay, queue,
 * loss and the rest as inputs. Deterministic from its seed and the nets' clock; single-threaded. */

#include "../stack/core/netdevice.h"

struct link_config { /* zero: a perfect wire with no delay */
    u64 rate_bps;        /* bits per second, 0: infinite */
    u64 delay_ns;        /* one way */
    u32 queue_packets;   /* 0: 1000 */
    u32 loss_ppm, dup_ppm, reorder_ppm, corrupt_ppm;
    u32 burst_enter_ppm, burst_exit_ppm; /* Gilbert-Elliott: in the bad state, at most 1 s, everything is lost */
    u64 reorder_delay_ns;
    u64 seed;
    u32 mtu;             /* 0: 1500 */
    u32 features;        /* NETIF_F_* that both ends advertise */
    /* The bottleneck is a router behind the device: a frame is complete at once (TCP Small Queues do not see it),
     * rate and queue_packets are the router's, which drops what finds the queue full. */
    bool far_queue;
    u32 path_mtu;        /* IP packets longer than this are lost on the way, without a word; 0: none */
    u64 ce_threshold_ns; /* an AQM (RFC 3168 5): ECN-capable packets that would wait longer are marked CE; 0: none */
};

struct link_stats { /* frames, by what befell them on the way from both ends */
    u64 sent, lost, burst_lost, queue_dropped, too_long, while_down, black_holed, duplicated, reordered, corrupted, ce_marked;
};
struct memlink;
/* Role: make a link with one device in each net, named name, MACs and ifindex given out by order.
 * clock of both nets must be the same. Addresses are the caller's to add. NULL without memory. */
struct memlink *memlink_create(struct net *a, struct net *b, const char *name, const struct link_config *cfg);
struct net_device *memlink_dev(struct memlink *l, int end);
/* Change at run time; down: everything in flight is lost, and so is all that is sent. */
void memlink_config(struct memlink *l, const struct link_config *cfg);
void memlink_set_up(struct memlink *l, bool up);
/* Everything that `end` sends from now on is lost (on), or no more: the sender is not told. */
void memlink_black_hole(struct memlink *l, int end, bool on);
/* A frame out of nowhere (an ICMP error of a router on the way) arrives at `end` at an absolute time. Copied. */
void memlink_inject(struct memlink *l, int end, const void *frame, u32 len, u64 at);
/* How long a frame that `end` sends now would wait for the wire, ns. */
u64 memlink_backlog_ns(struct memlink *l, int end);
/* A tap that sees every frame put on the wire (end: the sender), before loss. */
void memlink_set_tap(struct memlink *l, void (*tap)(void *arg, int end, const struct sk_buff *skb, u64 now), void *arg);
/* One way, without queue and dice. */
u64 memlink_delay_ns(const struct memlink *l);
/* What befell the frames so far. */
struct link_stats memlink_stats(const struct memlink *l);
/* A router instead of a host at `end`: forward() is asked about each frame that arrives there (skb->data at the
 * Ethernet header, the checksum complete), and says whether it took it over. */
void memlink_set_forward(struct memlink *l, int end, bool (*forward)(void *arg, struct sk_buff *skb), void *arg);
/* When the next frame is due at either end: absolute ns, UINT64_MAX: none. */
u64 memlink_next(struct memlink *l);
/* Deliver to `end` what is due at now (the receiving net's net_now). Returns frames delivered. Called by
 * the device's ndo_poll too. */
int memlink_poll(struct memlink *l, int end);
void memlink_destroy(struct memlink *l);

#endif
