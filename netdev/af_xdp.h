/* SPDX-License-Identifier: MIT */
#ifndef SLUICE_NETDEV_AF_XDP_H
#define SLUICE_NETDEV_AF_XDP_H
/* The AF_XDP driver: UMEM, one socket with its four rings per queue, the GSO lane, the steering program. */

#include "../stack/core/netdevice.h"

enum xdp_bind_mode { XDP_MODE_AUTO = 0, XDP_MODE_ZEROCOPY, XDP_MODE_GENERIC, XDP_MODE_NATIVE };

struct af_xdp_config { /* zero: the defaults */
    enum xdp_bind_mode mode;
    u32 umem_frames;   /* 4 KiB chunks in the process's UMEM; default 16384 */
    u32 ring_size;     /* descriptors of each ring, power of two; default 4096 */
    int lane;          /* GSO lane: -1 auto (copy modes on), 0 off, 1 on */
    u32 lane_min_segs; /* sk_buffs of at least that many segments take the lane; default 4 */
    bool own_address;  /* every frame to the device's sluice addresses is ours */
};

/* Role: set up the process's UMEM as net->tx_pool and the steering maps. Once per net, before the first
 * device. 0 or -errno; *why (static text or net-lifetime) says in one sentence what failed. */
int af_xdp_init(struct net *net, const struct af_xdp_config *cfg, const char **why);
/* Role: open the device of that ifindex: mode by kind of device, bind all its queues, attach the
 * steering program, register the net_device (name, MTU, addresses, MAC mirrored from the kernel).
 * Idempotent. 0 or -errno with *why: a sentence for SLUICE_LOG=info ("eth0: queue 0 is in use ..."). */
int af_xdp_open(struct net *net, int ifindex, struct net_device **dev, const char **why);
/* Close one / all devices: detaches the program, gives the queues back. */
void af_xdp_close(struct net_device *dev);
void af_xdp_exit(struct net *net);
/* "zero-copy", "generic, multi-buffer", "native copy" and why it was chosen. */
const char *af_xdp_mode_name(const struct net_device *dev);
const char *af_xdp_mode_reason(const struct net_device *dev);
/* Role: give an own-address device (config own_address) an address that the host does not have: every frame
 * to it is ours from now on. 0 or -errno. */
int af_xdp_own_address(struct net_device *dev, __be32 addr, int prefixlen);
/* Every descriptor that the driver (and libxdp, libbpf) opened, so that the program cannot close them:
 * calls fn for each fd. */
void af_xdp_for_each_fd(struct net *net, void (*fn)(int fd, void *arg), void *arg);
/* After fork in the child: forget everything without touching the kernel objects of the parent. */
void af_xdp_forget(struct net *net);
extern const struct net_steer_ops af_xdp_steer_ops;

/* What the steering program decided, all CPUs together: one count for each entry of STEER_VERDICT_LIST in
 * steer_maps.h; returns their number (at most max), 0 without maps. */
int af_xdp_steer_stats(struct net *net, u64 *count, int max);
const char *af_xdp_steer_text(int verdict);

#endif
