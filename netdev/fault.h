/* SPDX-License-Identifier: MIT */
#ifndef SLUICE_NETDEV_FAULT_H
#define SLUICE_NETDEV_FAULT_H
/* A device around a device that loses, duplicates, delays (reorders) and corrupts packets, by seed. */

#include "../stack/core/netdevice.h"

struct fault_config { /* probabilities in parts per million */
    u32 loss_ppm, dup_ppm, reorder_ppm, corrupt_ppm;
    u64 reorder_delay_ns; /* how long a reordered packet is held; default 1 ms */
    bool rx, tx;          /* which direction */
    u64 seed;
};
struct net_device *fault_wrap(struct net_device *lower, const struct fault_config *cfg);
void fault_unwrap(struct net_device *dev);

#endif
