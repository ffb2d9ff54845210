/* SPDX-License-Identifier: MIT */
#ifndef SLUICE_NETDEV_AF_XDP_PRIV_H
#define SLUICE_NETDEV_AF_XDP_PRIV_H
/* What the files of the AF_XDP driver share. */

#include "af_xdp.h"
#include "rtnl.h"
#include "steer_maps.h"
#include "xsk.h"
#include "../stack/core/log.h"

#define AF_XDP_MAX_QUEUES 64

struct af_xdp_state;

/* The steering maps of a process: descriptors at high numbers; -1: not open. */
struct steer {
    int flows, listeners, locals, owns, frags, arps, verdicts;
    spinlock_t arp_lock; /* taken by try-lock: one reader of the ARP ring. Delivery runs under it */
    u64 *arp_consumer;   /* mapped ring buffer (Documentation/bpf/ringbuf.rst) */
    const u64 *arp_producer;
    const u8 *arp_data;
    u32 arp_mask;
    size_t arp_data_len;
};

/* The GSO lane of a device. Under the device's tx_lock. */
struct lane {
    int fd;            /* -1: none */
    u64 refused_until; /* ns: the kernel or the device would not take a GSO frame */
    u64 refused_for;   /* ns, how long the next refusal counts: doubles */
};

struct af_xdp_dev {
    struct net_device dev; /* first */
    struct af_xdp_state *st;
    struct cds_list_head node; /* st->devs */
    char kind[16];
    char reason[200]; /* why this mode, a sentence */
    bool generic, zerocopy, sg;
    _Atomic bool dead; /* closed, or this is a fork child */
    int link_fd, xsks_fd;
    u32 nqueues;
    struct xsk_queue *queues; /* transmit goes by queue 0: order within a flow, one doorbell */
    struct lane lane;
    _Atomic u32 tx_need;      /* descriptors that the packet needs for which the queue was stopped */
    _Atomic bool lane_busy;   /* it was stopped because the lane was full */
    _Atomic u64 tx_progress;  /* ns: when transmit last moved */
};

struct af_xdp_state {
    struct af_xdp_state *next;
    struct net *net;
    struct af_xdp_config cfg;
    struct umem umem;
    struct steer steer;
    spinlock_t lock; /* protects devs and why: opening and closing. Outermost; taken by no poll or xmit */
    struct cds_list_head devs;
    u32 fill_given; /* chunks promised to FILL rings */
    char why[256];
};

static inline struct af_xdp_dev *af_xdp_dev(struct net_device *dev) { return (struct af_xdp_dev *)dev->priv; }
/* The driver's state of that net, or NULL. */
struct af_xdp_state *af_xdp_state_of(struct net *net);

/* af_xdp_tx.c */
netdev_tx_t af_xdp_start_xmit(struct sk_buff *skb, struct net_device *dev);
void af_xdp_xmit_flush(struct net_device *dev);
/* Reap completions, ring a doorbell that the kernel did not answer, wake a stopped queue. Any thread, no lock. */
void af_xdp_tx_poll(struct af_xdp_dev *adev);
/* Transmit waits for something of which no descriptor will tell. */
bool af_xdp_tx_stalled(struct af_xdp_dev *adev);

/* af_xdp_rx.c */
int af_xdp_poll(struct net_device *dev, int budget);
int af_xdp_poll_fds(struct net_device *dev, int *fds, int max);
bool af_xdp_prepare_sleep(struct net_device *dev);

/* lane.c */
/* 0 or -errno. */
int lane_open(struct lane *l, int ifindex);
void lane_close(struct lane *l);
/* Role: send the packet as one frame that the kernel or the device segments. The skb stays the caller's.
 * 0: sent; -EAGAIN: full for now, nothing sent; else -errno: refused, segment it yourself. tx_lock held. */
int lane_xmit(struct lane *l, const struct sk_buff *skb);
/* May a GSO packet be tried now? */
bool lane_ready(const struct lane *l, u64 now);
void lane_refused(struct lane *l, u64 now);

/* steer.c */
/* Create the maps. 0 or -errno. */
int steer_init(struct af_xdp_state *st);
void steer_exit(struct af_xdp_state *st);
void steer_forget(struct af_xdp_state *st);
/* Role: load the program for a device and attach it by a link, gone with its last descriptor, so that a
 * killed process leaves none behind. xdp_flags: XDP_FLAGS_SKB_MODE or _DRV_MODE. 0 or -errno (-EBUSY:
 * another program is there). Sets link_fd and xsks_fd. */
int steer_attach(struct af_xdp_dev *adev, u32 xdp_flags);
void steer_detach(struct af_xdp_dev *adev);
int steer_add_queue(struct af_xdp_dev *adev, u32 queue, int xsk_fd);
void steer_local_addr(struct af_xdp_state *st, __be32 addr, bool add);
int steer_own_addr(struct af_xdp_state *st, __be32 addr, bool add);
/* Deliver ARP replies that the program copied. Returns how many. */
int steer_poll_arps(struct af_xdp_state *st);
bool steer_arps_ready(const struct steer *s);
void steer_for_each_fd(const struct steer *s, void (*fn)(int fd, void *arg), void *arg);

#endif
