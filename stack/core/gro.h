/* SPDX-License-Identifier: MIT */
#ifndef SLUICE_CORE_GRO_H
#define SLUICE_CORE_GRO_H
/* Generic receive offload: in-order TCP/IPv4 segments of one flow become one sk_buff within a poll. */

#include "netdevice.h"

/* 0 or -ENOMEM. */
int gro_init(struct net_device *dev);
void gro_exit(struct net_device *dev);
/* Role: merge, hold or pass on; skb->data at the network header, dev the top device. Takes the skb over.
 * Returns the packets to deliver now, in order, linked by ->next. */
struct sk_buff *dev_gro_receive(struct net_device *dev, struct sk_buff *skb);
/* What this thread's polling left held, linked by ->next. */
struct sk_buff *gro_flush_own(struct net_device *dev);

#endif
