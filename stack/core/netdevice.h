/* SPDX-License-Identifier: MIT */
#ifndef SLUICE_CORE_NETDEVICE_H
#define SLUICE_CORE_NETDEVICE_H
/* Network devices as the stack sees them, and the way of a packet between IP and a driver.
 *
 * Devices wrap devices: a pcap or fault device has the driver below it as `lower`; the stack sends to
 * the top one, and what a driver receives climbs through each `rx_handler` to the top. */

#include "skbuff.h"
#include <linux/if_ether.h>

struct Qdisc;
struct in_ifaddr;

typedef enum { NETDEV_TX_OK = 0, NETDEV_TX_BUSY = 0x10 } netdev_tx_t;

enum { /* features */
    NETIF_F_SG = 1 << 0,      /* takes frags */
    NETIF_F_HW_CSUM = 1 << 1, /* completes CHECKSUM_PARTIAL (the driver may do so in software) */
    NETIF_F_TSO = 1 << 2,     /* takes GSO packets */
    NETIF_F_NOWIRE = 1 << 3,  /* veth and its like: no wire behind it, a received partial checksum is good */
    NETIF_F_GRO = 1 << 4,
};

struct net_device_ops {
    int (*ndo_open)(struct net_device *dev);  /* 0 or -errno */
    void (*ndo_stop)(struct net_device *dev);
    /* Takes the packet over when it answers NETDEV_TX_OK (sent, queued or dropped with a counted
     * reason); NETDEV_TX_BUSY: the caller keeps it and the driver wakes the queue later.
     * skb->data is at the Ethernet header. Called with dev->tx_lock held. */
    netdev_tx_t (*ndo_start_xmit)(struct sk_buff *skb, struct net_device *dev);
    /* Tell the hardware: one doorbell per batch. dev->tx_lock held. May be NULL. */
    void (*ndo_xmit_flush)(struct net_device *dev);
    /* Receive up to budget packets (netif_receive_skb each) and reap completions; one thread at a time
     * (the queue's own try-lock: returns 0 at once when another thread polls). Returns packets handled. */
    int (*ndo_poll)(struct net_device *dev, int budget);
    /* File descriptors whose readability means work for ndo_poll. Returns how many (<= max). May be NULL. */
    int (*ndo_poll_fds)(struct net_device *dev, int *fds, int max);
    /* Called before a poller sleeps on those fds: false when there is work already. May be NULL. */
    bool (*ndo_prepare_sleep)(struct net_device *dev);
};

struct net_device_stats {
    _Atomic u64 rx_packets, tx_packets, rx_bytes, tx_bytes, rx_dropped, tx_dropped, rx_errors, tx_errors;
};

#define NET_DEV_ADDRS 16
struct net_device {
    struct rcu_free rcu;
    struct cds_list_head node; /* net->dev_list */
    struct net *net;
    char name[16];
    int ifindex;
    u32 mtu;
    u32 flags;    /* IFF_UP | IFF_RUNNING | IFF_LOOPBACK | IFF_NOARP */
    u32 features; /* NETIF_F_* */
    u32 gso_max_size, gso_max_segs;
    u16 hard_header_len;
    u16 num_queues;
    u8 dev_addr[ETH_ALEN];
    u8 broadcast[ETH_ALEN];
    struct in_ifaddr { /* IPv4 addresses. Written under net->dev_lock and addr_seq; read with dev_addrs() */
        __be32 local, mask, broadcast;
    } addr[NET_DEV_ADDRS];
    _Atomic u32 naddr;
    _Atomic u32 addr_seq;      /* seqlock of the two: odd while they change */
    bool own_address; /* all frames of its addresses are ours: answer ARP and ping */
    const struct net_device_ops *ops;
    struct Qdisc *qdisc;
    spinlock_t tx_lock;          /* HARD_TX_LOCK: serialises ndo_start_xmit and ndo_xmit_flush. Nests in
                                    nothing of the qdisc's; nothing of the stack's nests in it */
    _Atomic u32 queue_stopped;   /* netif_stop_queue */
    _Atomic u32 tx_defer;        /* pollers at work: their end flushes (see dev_tx_batch_end) */
    bool tx_pending;             /* sent but not flushed. Under tx_lock */
    struct net_device *lower;    /* of a wrapping device */
    struct net_device *upper;    /* the device that wraps this one, or NULL */
    /* Set by dev_wrap() in the wrapped device: gives the packet to the upper one, or NULL (consumed).
     * skb->dev is the wrapped device, skb->data behind the Ethernet header, skb_mac_header() set. */
    struct sk_buff *(*rx_handler)(struct sk_buff *skb);
    void (*gro_flush)(struct net_device *dev);
    void *gro;
    _Atomic u32 refcnt;          /* dev_hold/dev_put; 1 for being registered */
    void (*destructor)(struct net_device *dev); /* after the last reference and a grace period; may be NULL */
    struct net_device_stats stats;
    void *priv;
};

/* Role: add a device (all fields but node, qdisc and stats filled in, or left 0 for the default:
 * gso_max_*, hard_header_len 14, num_queues 1, broadcast ff:..). Gives it a pfifo_fast qdisc and opens
 * it. 0 or -errno (nothing registered). The memory stays the caller's until after unregister_netdev
 * and a grace period. */
int register_netdev(struct net *net, struct net_device *dev);
/* Stop it, purge its qdisc, flush its neighbours and routes. */
void unregister_netdev(struct net_device *dev);
static inline void dev_hold(struct net_device *dev)
{
    atomic_fetch_add_explicit(&dev->refcnt, 1, memory_order_relaxed);
}
/* The last one calls dev->destructor after a grace period. */
void dev_put(struct net_device *dev);
/* Role: put a device around a registered one: upper takes its place in net->dev_list (name, ifindex, MAC,
 * MTU, flags and addresses are copied; ops, features and priv are upper's own) with a qdisc of its own.
 * handler: see rx_handler. upper's ndo_start_xmit passes on with dev_lower_xmit(). 0 or -ENOMEM. */
int dev_wrap(struct net_device *upper, struct net_device *lower, struct sk_buff *(*handler)(struct sk_buff *));
/* Undo it: lower is in the list again. unregister_netdev(lower) unwraps too. Drops the list's reference
 * of upper (see destructor). Not in a read section. */
void dev_unwrap(struct net_device *upper);
/* Role: from a wrapping device's ndo_start_xmit to the device below (takes its tx_lock). Answers
 * NETDEV_TX_BUSY without touching the skb when its queue is stopped. */
netdev_tx_t dev_lower_xmit(struct sk_buff *skb, struct net_device *lower);
/* ndo_xmit_flush and ndo_poll of a wrapping device: pass on to the device below. */
void dev_lower_flush(struct net_device *upper);
int dev_lower_poll(struct net_device *upper, int budget);
/* RCU read section. NULL when none. */
struct net_device *dev_get_by_index(struct net *net, int ifindex);
struct net_device *dev_get_by_name(struct net *net, const char *name);
/* All addresses as they are at one moment, to out[NET_DEV_ADDRS]. Returns how many. Any thread, no lock. */
u32 dev_addrs(const struct net_device *dev, struct in_ifaddr *out);
/* Is addr (network order) one of the addresses of this device / of any device? */
bool dev_has_addr(const struct net_device *dev, __be32 addr);
struct net_device *ip_dev_find(struct net *net, __be32 addr);
int dev_add_addr(struct net_device *dev, __be32 local, int prefixlen);
void dev_del_addr(struct net_device *dev, __be32 local);
/* Change the MTU (68 .. 65535) and void cached routes. 0 or -EINVAL. */
int dev_set_mtu(struct net_device *dev, u32 mtu);

/* ---- transmit ------------------------------------------------------------------------------------------ */

enum { NET_XMIT_SUCCESS = 0, NET_XMIT_DROP = 1, NET_XMIT_CN = 2 };
/* Role: hand a packet with its link header to the device's queueing discipline and run it.
 * Takes the skb over in every case. Returns NET_XMIT_* or -errno. Any thread; no tx_lock held. */
int dev_queue_xmit(struct sk_buff *skb);
/* Role: from the qdisc to the driver: segments and checksums what the device cannot. Takes the list over
 * but for what it returns (the rest, driver busy). tx_lock held. *ret: last NETDEV_TX_*. */
struct sk_buff *dev_hard_start_xmit(struct sk_buff *first, struct net_device *dev, int *ret);
/* The driver has room again: restart the queue, raise NET_TX. */
void netif_wake_queue(struct net_device *dev);
static inline void netif_stop_queue(struct net_device *dev)
{
    atomic_store_explicit(&dev->queue_stopped, 1, memory_order_seq_cst);
}
static inline bool netif_queue_stopped(struct net_device *dev)
{
    return atomic_load_explicit(&dev->queue_stopped, memory_order_seq_cst) != 0;
}
/* Between these two, packets sent by anyone wait in the ring for one common doorbell at the end. */
void dev_tx_batch_begin(struct net_device *dev);
void dev_tx_batch_end(struct net_device *dev);
/* Run qdiscs that raised NET_TX. Returns how many. */
int net_tx_action(struct net *net);

/* ---- receive ------------------------------------------------------------------------------------------- */

struct packet_type {
    struct cds_list_head node;
    __be16 type; /* ETH_P_*, network order */
    int (*func)(struct sk_buff *skb, struct net_device *dev); /* takes the skb over; RCU read section */
};
/* Registered once for all nets (ip_packet_type, arp_packet_type). */
void dev_add_pack(struct packet_type *pt);
/* Role: a frame from a driver: skb->data at the Ethernet header, dev set. Checks and pulls the Ethernet
 * header (eth_type_trans), climbs to the top device, then GRO and delivery.
 * Takes the skb over. Called from ndo_poll only, in any thread. */
void netif_receive_skb(struct sk_buff *skb);
/* End of a receive batch: deliver what GRO holds. */
void napi_complete(struct net_device *dev);

/* Poll all devices once, run timers and NET_TX. Returns packets + timers handled. Any thread. */
int net_poll(struct net *net, int budget);

#endif
