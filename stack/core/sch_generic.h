/* SPDX-License-Identifier: MIT */
#ifndef SLUICE_CORE_SCH_GENERIC_H
#define SLUICE_CORE_SCH_GENERIC_H
/* Queueing disciplines. stack/sched/ has the disciplines; stack/core/dev.c runs them. */

#include "netdevice.h"

struct Qdisc_ops {
    const char *id;
    int (*enqueue)(struct sk_buff *skb, struct Qdisc *q); /* takes over; NET_XMIT_*; q->lock held */
    struct sk_buff *(*dequeue)(struct Qdisc *q);          /* q->lock held */
    int (*init)(struct Qdisc *q);
    void (*reset)(struct Qdisc *q); /* free all packets */
    void (*destroy)(struct Qdisc *q);
};

enum { __QDISC_STATE_SCHED = 1, __QDISC_STATE_DEACTIVATED = 2, __QDISC_STATE_MISSED = 4 };

struct Qdisc {
    const struct Qdisc_ops *ops;
    struct net_device *dev;
    spinlock_t lock;              /* the queue and its counters. dev->tx_lock is taken after dropping it */
    _Atomic u32 running;          /* one thread at a time sends (qdisc_run_begin) */
    _Atomic u32 state;            /* __QDISC_STATE_* */
    bool can_bypass;              /* TCQ_F_CAN_BYPASS: empty and idle: straight to the driver */
    u32 limit;                    /* packets */
    struct sk_buff_head gso_skb;  /* requeued: goes first */
    u32 qlen;
    struct cds_list_head sched_node; /* net->tx_sched */
    struct timer_list watchdog;   /* throttled disciplines: run again then */
    struct { _Atomic u64 packets, bytes, drops, requeues, overlimits, backlog; } stats;
    void *priv;
};

extern const struct Qdisc_ops pfifo_fast_ops, fq_ops, tbf_ops;

/* NULL without memory. */
struct Qdisc *qdisc_create(struct net_device *dev, const struct Qdisc_ops *ops);
void qdisc_destroy(struct Qdisc *q);
/* Send under the quota weight_p; what is left raises NET_TX. */
void __qdisc_run(struct Qdisc *q);
void __netif_schedule(struct Qdisc *q);
/* Role: the packets of skb (a list by ->next) to the driver; what it refuses is requeued. Takes the list over.
 * validated: segmented and checksummed already. q->running held, no lock. False: stop for now. */
bool sch_direct_xmit(struct sk_buff *skb, struct Qdisc *q, struct net_device *dev, bool validated);
/* dev_queue_xmit's part behind the device: bypass, or enqueue and run. Takes the skb over. NET_XMIT_* */
int qdisc_xmit(struct sk_buff *skb, struct Qdisc *q);
/* Refused packets (a list by ->next) go first next time, in their order. Takes the list over. */
void qdisc_requeue(struct sk_buff *skb, struct Qdisc *q);
/* Into / out of the discipline, counting qlen and backlog; q->lock held. */
int qdisc_enqueue(struct sk_buff *skb, struct Qdisc *q);
struct sk_buff *qdisc_dequeue(struct Qdisc *q);
/* A throttled discipline's wish: run again at `expires` (ns). */
void qdisc_watchdog_schedule(struct Qdisc *q, u64 expires);
/* Bytes on the wire of a packet, GSO headers included (qdisc_pkt_len). */
u32 qdisc_pkt_len(const struct sk_buff *skb);
/* Parameters by tc(8)'s names; 0 leaves one as it is. Any time, packets may wait. 0, or -EINVAL: another discipline, or
 * what cannot be. */
struct fq_opt {
    u64 maxrate; /* bytes/s that no flow may exceed, ~0: none */
    u32 limit, flow_limit; /* packets: of all flows, of one */
    u32 quantum, initial_quantum; /* bytes a flow sends before it is the next one's turn; a new one's */
};
int fq_change(struct Qdisc *q, const struct fq_opt *opt);
/* rate in bytes/s, burst and limit in bytes. */
int tbf_change(struct Qdisc *q, u64 rate, u32 burst, u32 limit);
/* Packets that a band holds (txqueuelen). */
int pfifo_fast_change(struct Qdisc *q, u32 limit);
/* Replace the device's root discipline. 0 or -errno. */
int dev_graft_qdisc(struct net_device *dev, const struct Qdisc_ops *ops);

#endif
