/* SPDX-License-Identifier: MIT */
/* The AF_XDP driver: opening a device in the mode that suits it, and closing it without a trace. */

#include "af_xdp_priv.h"
#include "../stack/core/rcu.h"
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <linux/ethtool.h>
#include <linux/if.h>
#include <linux/if_arp.h>
#include <linux/if_link.h>
#include <linux/sockios.h>
#include <pthread.h>
#include <stdarg.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define BUSY_MS 1000
#define CARRIER_MS 5000

static pthread_mutex_t states_lock = PTHREAD_MUTEX_INITIALIZER; /* writers of states; nothing nests in it */
static struct af_xdp_state *states; /* one for each net: one in a process, two in a test */

struct af_xdp_state *af_xdp_state_of(struct net *net)
{
    struct af_xdp_state *st = __atomic_load_n(&states, __ATOMIC_ACQUIRE);

    while (st && st->net != net)
        st = st->next;
    return st;
}

/* ---- the process's part ------------------------------------------------------------------------------ */

static void af_xdp_addr_changed(struct net *net, __be32 local, bool add)
{
    struct af_xdp_state *st = af_xdp_state_of(net);

    if (st)
        steer_local_addr(st, local, add);
}

static void af_xdp_add_local(int ifindex, __be32 local, void *arg) { steer_local_addr(arg, local, true); }

static void af_xdp_defaults(struct af_xdp_config *c)
{
    if (!c->umem_frames)
        c->umem_frames = 16384;
    if (!c->ring_size)
        c->ring_size = 4096;
    c->ring_size = min(c->ring_size, 65536u);
    while (c->ring_size & (c->ring_size - 1)) /* a power of two, downwards */
        c->ring_size &= c->ring_size - 1;
    c->ring_size = max(c->ring_size, 64u);
    if (!c->lane_min_segs)
        c->lane_min_segs = 4;
}

int af_xdp_init(struct net *net, const struct af_xdp_config *cfg, const char **why)
{
    struct af_xdp_state *st;
    int err;

    *why = "";
    if (af_xdp_state_of(net))
        return 0;
    st = calloc(1, sizeof(*st));
    if (!st) {
        *why = "no memory for the AF_XDP driver";
        return -ENOMEM;
    }
    st->net = net;
    st->cfg = cfg ? *cfg : (struct af_xdp_config){.lane = -1};
    af_xdp_defaults(&st->cfg);
    spin_lock_init(&st->lock);
    CDS_INIT_LIST_HEAD(&st->devs);
    err = rtnl_init(net);
    if (err) {
        *why = "no rtnetlink socket: the host's links and addresses cannot be read";
        goto out;
    }
    err = umem_create(&st->umem, st->cfg.umem_frames);
    if (err) {
        *why = "no memory for the UMEM (option umem, in frames of 4 KiB)";
        goto out;
    }
    err = steer_init(st);
    if (err) {
        *why = err == -EPERM ? "BPF maps need root or CAP_BPF, CAP_NET_ADMIN and CAP_NET_RAW"
                             : "the kernel would not make the steering program's BPF maps";
        goto out_umem;
    }
    rtnl_addr_hook = af_xdp_addr_changed;
    rtnl_for_each_addr(net, af_xdp_add_local, st);
    net->tx_pool = &st->umem.tx_pool;
    pthread_mutex_lock(&states_lock);
    st->next = states;
    __atomic_store_n(&states, st, __ATOMIC_RELEASE);
    pthread_mutex_unlock(&states_lock);
    return 0;
out_umem:
    umem_destroy(&st->umem);
out:
    spin_lock_destroy(&st->lock);
    free(st);
    return err;
}

static void af_xdp_unlink_state(struct af_xdp_state *st)
{
    struct af_xdp_state **p;

    pthread_mutex_lock(&states_lock);
    for (p = &states; *p && *p != st; p = &(*p)->next)
        ;
    if (*p)
        __atomic_store_n(p, st->next, __ATOMIC_RELEASE);
    pthread_mutex_unlock(&states_lock);
}

/* ---- choosing the mode --------------------------------------------------------------------------------- */

struct af_xdp_plan {
    u32 xdp_flags; /* how the program is attached */
    u16 bind_flags;
    const char *why; /* why this one, as the end of "... because" */
};

#define COPY_SG (XDP_COPY | XDP_USE_SG | XDP_USE_NEED_WAKEUP)
#define COPY_1 (XDP_COPY | XDP_USE_NEED_WAKEUP)
#define ZEROCOPY (XDP_ZEROCOPY | XDP_USE_NEED_WAKEUP)

static const struct af_xdp_plan plan_veth[] = {
    {XDP_FLAGS_SKB_MODE, COPY_SG, "on a veth a kernel peer then keeps its TSO and whole super-frames arrive"},
    {XDP_FLAGS_DRV_MODE, COPY_1, "this kernel has no multi-buffer AF_XDP (Linux 6.6), without which a veth "
                                 "peer's super-frames would be lost in generic mode"},
    {XDP_FLAGS_SKB_MODE, COPY_1, "neither multi-buffer AF_XDP nor a native program is to be had here"},
};
static const struct af_xdp_plan plan_nic[] = {
    {XDP_FLAGS_DRV_MODE, ZEROCOPY, "the driver does zero-copy"},
    {XDP_FLAGS_DRV_MODE, COPY_SG, "the driver runs XDP programs but has no zero-copy"},
    {XDP_FLAGS_DRV_MODE, COPY_1, "the driver runs XDP programs but has no zero-copy, the kernel no multi-buffer"},
    {XDP_FLAGS_SKB_MODE, COPY_SG, "the driver cannot run XDP programs"},
    {XDP_FLAGS_SKB_MODE, COPY_1, "the driver cannot run XDP programs, the kernel has no multi-buffer AF_XDP"},
};
static const struct af_xdp_plan plan_zerocopy[] = {{XDP_FLAGS_DRV_MODE, ZEROCOPY, "option mode asks for it"}};
static const struct af_xdp_plan plan_generic[] = {{XDP_FLAGS_SKB_MODE, COPY_SG, "option mode asks for it"},
                                                  {XDP_FLAGS_SKB_MODE, COPY_1, "option mode asks for it"}};
static const struct af_xdp_plan plan_native[] = {{XDP_FLAGS_DRV_MODE, COPY_SG, "option mode asks for it"},
                                                 {XDP_FLAGS_DRV_MODE, COPY_1, "option mode asks for it"}};

static const struct af_xdp_plan *af_xdp_plans(const struct af_xdp_dev *adev, u32 *n)
{
#define PLAN(p) (*n = ARRAY_SIZE(p), p)
    switch (adev->st->cfg.mode) {
    case XDP_MODE_ZEROCOPY:
        return PLAN(plan_zerocopy);
    case XDP_MODE_GENERIC:
        return PLAN(plan_generic);
    case XDP_MODE_NATIVE:
        return PLAN(plan_native);
    default:
        return !strcmp(adev->kind, "veth") ? PLAN(plan_veth) : PLAN(plan_nic);
    }
#undef PLAN
}

const char *af_xdp_mode_name(const struct net_device *dev)
{
    const struct af_xdp_dev *a;

    while (dev->lower)
        dev = dev->lower;
    a = dev->priv;
    if (a->zerocopy)
        return "zero-copy";
    if (a->generic)
        return a->sg ? "generic, multi-buffer" : "generic";
    return a->sg ? "native copy, multi-buffer" : "native copy";
}

const char *af_xdp_mode_reason(const struct net_device *dev)
{
    while (dev->lower)
        dev = dev->lower;
    return ((const struct af_xdp_dev *)dev->priv)->reason;
}

/* ---- queues --------------------------------------------------------------------------------------------- */

/* Receive queues in use: ethtool's channels (the netlink attribute counts those allocated). */
static u32 af_xdp_count_queues(const struct rtnl_link *link)
{
    struct ethtool_channels ch = {.cmd = ETHTOOL_GCHANNELS};
    struct ifreq ifr = {.ifr_data = (char *)&ch};
    u32 n = max(link->num_rx_queues, 1u);
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

    snprintf(ifr.ifr_name, sizeof(ifr.ifr_name), "%s", link->name);
    if (fd >= 0 && ioctl(fd, SIOCETHTOOL, &ifr) == 0 && ch.rx_count + ch.combined_count)
        n = ch.rx_count + ch.combined_count;
    if (fd >= 0)
        close(fd);
    return min(n, (u32)AF_XDP_MAX_QUEUES);
}

static void af_xdp_close_queues(struct af_xdp_dev *adev)
{
    u32 i;

    for (i = 0; i < adev->nqueues; i++)
        xsk_queue_close(&adev->queues[i]);
}

/* All queues of the device in one mode. 0 or -errno, and *queue: at which. Nothing is open after an error. */
static int af_xdp_bind_queues(struct af_xdp_dev *adev, u32 want, u16 flags, u32 *queue)
{
    struct af_xdp_state *st = adev->st;
    u32 i, fill, half = st->umem.nrx / 2;
    int err;

    /* FILL rings get at most half of the receive chunks, each device half of what is left of that. */
    fill = half > st->fill_given ? (half - st->fill_given) / 2 / want : 0;
    fill = min(st->cfg.ring_size, max(fill, 32u));

    adev->nqueues = 0;
    for (i = 0; i < want; i++) {
        struct xsk_queue *q = &adev->queues[i];
        int shared = i ? adev->queues[0].fd : -1;

        memset(q, 0, sizeof(*q));
        q->adev = adev;
        *queue = i;
        err = xsk_queue_open(q, &st->umem, i, st->cfg.ring_size, fill, shared);
        if (!err) {
            adev->nqueues = i + 1;
            err = xsk_queue_bind(q, adev->dev.ifindex, flags, shared, BUSY_MS);
        }
        if (!err && i == 0 && (flags & XDP_ZEROCOPY) && !xsk_queue_zerocopy(q))
            err = -EOPNOTSUPP;
        if (err == -EINVAL && i) { /* no such queue: the count was one of allocated ones */
            xsk_queue_close(q);
            adev->nqueues = i;
            return 0;
        }
        if (err) {
            af_xdp_close_queues(adev);
            adev->nqueues = 0;
            return err;
        }
    }
    return 0;
}

static void af_xdp_why(struct af_xdp_state *st, const char **why, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(st->why, sizeof(st->why), fmt, ap);
    va_end(ap);
    *why = st->why;
}

static void af_xdp_bind_sentence(struct af_xdp_dev *adev, int err, u32 queue, const char **why)
{
    static const char *const asked[] = {[XDP_MODE_ZEROCOPY] = "zero-copy", [XDP_MODE_GENERIC] = "generic", [XDP_MODE_NATIVE] = "native"};
    const char *name = adev->dev.name;
    struct af_xdp_state *st = adev->st;

    if (err == -EBUSY)
        af_xdp_why(st, why, "%s: queue %u is in use by another AF_XDP socket", name, queue);
    else if (err == -EPERM || err == -EACCES)
        af_xdp_why(st, why, "%s: AF_XDP needs root or CAP_NET_RAW, CAP_NET_ADMIN and CAP_BPF", name);
    else if (err == -ENOBUFS || err == -ENOMEM)
        af_xdp_why(st, why, "%s: no memory for an AF_XDP socket (ulimit -l, option umem): %s", name,
                   strerror(-err));
    else if (st->cfg.mode != XDP_MODE_AUTO)
        af_xdp_why(st, why, "%s: queue %u cannot be bound in the mode that option mode=%s asks for (%s); mode=auto takes one that it can",
                   name, queue, asked[st->cfg.mode], strerror(-err));
    else
        af_xdp_why(st, why, "%s: queue %u cannot be bound as AF_XDP: %s", name, queue, strerror(-err));
}

static void af_xdp_attach_sentence(struct af_xdp_dev *adev, int err, const char **why)
{
    const char *name = adev->dev.name;

    if (err == -EBUSY)
        af_xdp_why(adev->st, why, "%s: another XDP program is attached (see: ip link show dev %s)", name, name);
    else if (err == -EPERM || err == -EACCES)
        af_xdp_why(adev->st, why, "%s: attaching an XDP program needs root or CAP_NET_ADMIN and CAP_BPF", name);
    else
        af_xdp_why(adev->st, why, "%s: the steering program cannot be attached: %s", name, strerror(-err));
}

/* Try the plans in turn. The first failure is the one worth telling. */
static int af_xdp_choose(struct af_xdp_dev *adev, const struct rtnl_link *link, const char **why)
{
    u32 n, i, queue = 0, attached = 0, refused = 0, want = af_xdp_count_queues(link);
    const struct af_xdp_plan *plan = af_xdp_plans(adev, &n);
    const char *text;
    int err = 0, first = 0;

    for (i = 0; i < n; i++) {
        if (plan[i].xdp_flags == refused)
            continue;
        if (attached != plan[i].xdp_flags) {
            steer_detach(adev);
            attached = 0;
            err = steer_attach(adev, plan[i].xdp_flags);
            if (err) {
                refused = plan[i].xdp_flags;
                af_xdp_attach_sentence(adev, err, &text);
            } else {
                attached = plan[i].xdp_flags;
            }
        }
        if (!err) {
            err = af_xdp_bind_queues(adev, want, plan[i].bind_flags, &queue);
            if (err)
                af_xdp_bind_sentence(adev, err, queue, &text);
        }
        if (!err)
            break;
        net_dbg(adev->st->net, "%s", text);
        if (!first) {
            first = err;
            *why = text;
        }
        if (err == -EBUSY || err == -EPERM || err == -EACCES) { /* the next mode will not help */
            first = err;
            *why = text;
            i = n;
        }
        err = 0;
    }
    if (i >= n) {
        steer_detach(adev);
        return first ? first : -EOPNOTSUPP;
    }
    adev->generic = plan[i].xdp_flags == XDP_FLAGS_SKB_MODE;
    adev->zerocopy = plan[i].bind_flags & XDP_ZEROCOPY;
    adev->sg = plan[i].bind_flags & XDP_USE_SG;
    snprintf(adev->reason, sizeof(adev->reason), "%s", plan[i].why);
    return 0;
}

/* Binding resets the link of some drivers (igb: one to four seconds). */
static void af_xdp_wait_carrier(struct af_xdp_dev *adev, const struct rtnl_link *before)
{
    struct timespec nap = {.tv_nsec = 10000000};
    struct rtnl_link now;
    int ms;

    if (adev->generic || !(before->flags & IFF_RUNNING))
        return;
    for (ms = 0; ms < CARRIER_MS; ms += 10) {
        if (rtnl_get_link(adev->st->net, before->ifindex, &now) || (now.flags & IFF_RUNNING))
            return;
        nanosleep(&nap, NULL);
    }
    net_warn(adev->st->net, "%s: no carrier %d s after binding; going on without", adev->dev.name,
             CARRIER_MS / 1000);
}

/* ---- the net_device ------------------------------------------------------------------------------------------ */

/* The last reference to the device (a route's, a neighbour's) has gone. */
static void af_xdp_destroy(struct net_device *dev)
{
    struct af_xdp_dev *adev = dev->priv;

    free(adev->queues);
    free(adev);
}

/* Nobody sends or polls any more: what the kernel has comes home. */
static void af_xdp_release(struct af_xdp_dev *adev)
{
    lane_close(&adev->lane);
    af_xdp_close_queues(adev);
}

static int af_xdp_ndo_open(struct net_device *dev) { return 0; }
static void af_xdp_ndo_stop(struct net_device *dev) {}

static const struct net_device_ops af_xdp_ops = {
    .ndo_open = af_xdp_ndo_open,
    .ndo_stop = af_xdp_ndo_stop,
    .ndo_start_xmit = af_xdp_start_xmit,
    .ndo_xmit_flush = af_xdp_xmit_flush,
    .ndo_poll = af_xdp_poll,
    .ndo_poll_fds = af_xdp_poll_fds,
    .ndo_prepare_sleep = af_xdp_prepare_sleep,
};

static void af_xdp_fill_device(struct af_xdp_dev *adev, const struct rtnl_link *link)
{
    struct net_device *dev = &adev->dev;
    struct af_xdp_state *st = adev->st;
    u32 i;

    dev->net = st->net;
    dev->ifindex = link->ifindex;
    memcpy(dev->name, link->name, sizeof(dev->name));
    memcpy(dev->dev_addr, link->addr, ETH_ALEN);
    memset(dev->broadcast, 0xff, ETH_ALEN);
    dev->mtu = link->mtu;
    dev->flags = link->flags & (IFF_UP | IFF_RUNNING | IFF_NOARP);
    dev->hard_header_len = ETH_HLEN;
    dev->features = NETIF_F_SG | NETIF_F_HW_CSUM | NETIF_F_TSO | NETIF_F_GRO;
    if (!strcmp(adev->kind, "veth"))
        dev->features |= NETIF_F_NOWIRE;
    dev->gso_max_size = GSO_MAX_SIZE;
    dev->gso_max_segs = (u16)max(1u, min(st->umem.tx_reserve / 2, st->cfg.ring_size / 4));
    dev->own_address = st->cfg.own_address;
    dev->ops = &af_xdp_ops;
    dev->destructor = af_xdp_destroy;
    dev->priv = adev;
    if (dev->own_address)
        return; /* the host's addresses stay the host's: af_xdp_own_address() adds ours */
    for (i = 0; i < link->naddr; i++) {
        dev->addr[i].local = link->ip[i].local;
        dev->addr[i].mask = link->ip[i].prefixlen ? htobe32(~0u << (32 - link->ip[i].prefixlen)) : 0;
        dev->addr[i].broadcast = link->ip[i].broadcast;
    }
    atomic_store(&dev->naddr, link->naddr);
}

static int af_xdp_check_link(struct af_xdp_state *st, const struct rtnl_link *link, const char **why)
{
    if (link->flags & IFF_LOOPBACK)
        af_xdp_why(st, why, "%s: loopback has no AF_XDP", link->name);
    else if (link->arp_type != ARPHRD_ETHER)
        af_xdp_why(st, why, "%s: not an Ethernet device", link->name);
    else if (!(link->flags & IFF_UP))
        af_xdp_why(st, why, "%s: the link is down (ip link set %s up)", link->name, link->name);
    else
        return 0;
    return link->flags & IFF_UP ? -EOPNOTSUPP : -ENETDOWN;
}

/* Everything but the queues' places in the XSKMAP, with which frames begin to come. */
static int af_xdp_register(struct af_xdp_dev *adev, const char **why)
{
    struct af_xdp_state *st = adev->st;
    bool lane = st->cfg.lane > 0 || (st->cfg.lane < 0 && !adev->zerocopy);
    int err;

    adev->lane.fd = -1;
    if (lane || !adev->sg) { /* without multi-buffer it also carries what is larger than a slot */
        err = lane_open(&adev->lane, adev->dev.ifindex);
        if (err)
            net_info(st->net, "%s: no GSO lane (%s): segmenting in software", adev->dev.name, strerror(-err));
        if (!lane)
            adev->lane.refused_until = UINT64_MAX;
    }
    err = register_netdev(st->net, &adev->dev);
    if (err)
        af_xdp_why(st, why, "%s: cannot be registered: %s", adev->dev.name, strerror(-err));
    return err;
}

/* Takes a registered device out of service; its memory goes with its last reference. */
static void af_xdp_unregister(struct af_xdp_dev *adev)
{
    struct net *net = adev->st->net;

    atomic_store(&adev->dead, true);
    steer_detach(adev); /* from here on frames pass to the kernel */
    dev_hold(&adev->dev);
    unregister_netdev(&adev->dev); /* and waits until pollers have left */
    af_xdp_release(adev);
    dev_put(&adev->dev);
    net_rcu_barrier(net);
}

static int af_xdp_steer_queues(struct af_xdp_dev *adev, const char **why)
{
    u32 i;
    int err;

    for (i = 0; i < adev->nqueues; i++) {
        err = steer_add_queue(adev, i, adev->queues[i].fd);
        if (err) {
            af_xdp_why(adev->st, why, "%s: queue %u cannot be steered to: %s", adev->dev.name, i, strerror(-err));
            return err;
        }
    }
    return 0;
}

static struct af_xdp_dev *af_xdp_alloc_dev(struct af_xdp_state *st, const struct rtnl_link *link)
{
    struct af_xdp_dev *adev = calloc(1, sizeof(*adev));
    u32 i;

    if (!adev)
        return NULL;
    adev->queues = calloc(AF_XDP_MAX_QUEUES, sizeof(*adev->queues));
    if (!adev->queues) {
        free(adev);
        return NULL;
    }
    for (i = 0; i < AF_XDP_MAX_QUEUES; i++)
        adev->queues[i].fd = -1;
    adev->st = st;
    adev->link_fd = adev->xsks_fd = adev->lane.fd = -1;
    memcpy(adev->kind, link->kind, sizeof(adev->kind));
    af_xdp_fill_device(adev, link);
    return adev;
}

static int af_xdp_open_locked(struct af_xdp_state *st, int ifindex, struct net_device **dev, const char **why)
{
    struct af_xdp_dev *adev;
    struct rtnl_link link;
    int err;

    cds_list_for_each_entry(adev, &st->devs, node) {
        if (adev->dev.ifindex == ifindex) {
            for (*dev = &adev->dev; (*dev)->upper; *dev = (*dev)->upper)
                ;
            return 0;
        }
    }
    err = rtnl_get_link(st->net, ifindex, &link);
    if (err) {
        af_xdp_why(st, why, "interface %d: rtnetlink does not know it: %s", ifindex, strerror(-err));
        return err;
    }
    err = af_xdp_check_link(st, &link, why);
    if (err)
        return err;
    adev = af_xdp_alloc_dev(st, &link);
    if (!adev) {
        af_xdp_why(st, why, "%s: no memory for the device", link.name);
        return -ENOMEM;
    }
    err = af_xdp_choose(adev, &link, why);
    if (!err) {
        af_xdp_wait_carrier(adev, &link);
        err = af_xdp_register(adev, why);
    }
    if (err) {
        steer_detach(adev);
        af_xdp_release(adev);
        af_xdp_destroy(&adev->dev);
        return err;
    }
    err = af_xdp_steer_queues(adev, why);
    if (err) {
        af_xdp_unregister(adev);
        return err;
    }
    cds_list_add_tail(&adev->node, &st->devs);
    st->fill_given += adev->nqueues * adev->queues[0].fill_target;
    *dev = &adev->dev;
    net_info(st->net, "%s: AF_XDP in %s mode, %u queue%s, because %s", adev->dev.name, af_xdp_mode_name(*dev),
             adev->nqueues, adev->nqueues == 1 ? "" : "s", adev->reason);
    return 0;
}

int af_xdp_open(struct net *net, int ifindex, struct net_device **dev, const char **why)
{
    struct af_xdp_state *st = af_xdp_state_of(net);
    int err;

    *why = "";
    *dev = NULL;
    if (!st) {
        *why = "the AF_XDP driver was not set up";
        return -ENODEV;
    }
    spin_lock(&st->lock);
    err = af_xdp_open_locked(st, ifindex, dev, why);
    spin_unlock(&st->lock);
    return err;
}

static void af_xdp_close_locked(struct af_xdp_dev *adev)
{
    cds_list_del(&adev->node);
    adev->st->fill_given -= adev->nqueues * adev->queues[0].fill_target;
    af_xdp_unregister(adev);
}

void af_xdp_close(struct net_device *dev)
{
    struct af_xdp_state *st;

    while (dev->lower)
        dev = dev->lower;
    st = af_xdp_dev(dev)->st;
    spin_lock(&st->lock);
    af_xdp_close_locked(af_xdp_dev(dev));
    spin_unlock(&st->lock);
}

void af_xdp_exit(struct net *net)
{
    struct af_xdp_state *st = af_xdp_state_of(net);
    struct af_xdp_dev *adev, *next;

    if (!st)
        return;
    spin_lock(&st->lock);
    cds_list_for_each_entry_safe(adev, next, &st->devs, node)
        af_xdp_close_locked(adev);
    spin_unlock(&st->lock);
    af_xdp_unlink_state(st);
    steer_exit(st);
    if (net->tx_pool == &st->umem.tx_pool)
        net->tx_pool = NULL;
    if (!umem_destroy(&st->umem)) {
        net_warn(net, "UMEM: %lld transmit slots and %lld receive chunks have not come home",
                 (long long)st->umem.tx_pool.outstanding, (long long)st->umem.rx_pool.outstanding);
        return; /* somebody still points there: better leaked than freed */
    }
    spin_lock_destroy(&st->lock);
    free(st);
}

int af_xdp_own_address(struct net_device *dev, __be32 addr, int prefixlen)
{
    struct net_device *low = dev;
    int err;

    while (low->lower)
        low = low->lower;
    err = steer_own_addr(af_xdp_dev(low)->st, addr, true);
    return err ? err : dev_add_addr(dev, addr, prefixlen);
}

void af_xdp_for_each_fd(struct net *net, void (*fn)(int fd, void *arg), void *arg)
{
    struct af_xdp_state *st = af_xdp_state_of(net);
    struct af_xdp_dev *adev;
    u32 i;

    if (!st)
        return;
    steer_for_each_fd(&st->steer, fn, arg);
    spin_lock(&st->lock);
    cds_list_for_each_entry(adev, &st->devs, node) {
        int own[] = {adev->link_fd, adev->xsks_fd, adev->lane.fd};

        for (i = 0; i < ARRAY_SIZE(own); i++)
            if (own[i] >= 0)
                fn(own[i], arg);
        for (i = 0; i < adev->nqueues; i++)
            fn(adev->queues[i].fd, arg);
    }
    spin_unlock(&st->lock);
}

/* Locks may have been held by threads that do not exist here: none is taken, and memory is left alone. */
void af_xdp_forget(struct net *net)
{
    struct af_xdp_state *st = af_xdp_state_of(net);
    struct af_xdp_dev *adev;
    u32 i;

    if (!st)
        return;
    pthread_mutex_init(&states_lock, NULL);
    cds_list_for_each_entry(adev, &st->devs, node) {
        atomic_store(&adev->dead, true);
        for (i = 0; i < adev->nqueues; i++)
            xsk_queue_forget(&adev->queues[i]);
        lane_close(&adev->lane);
        if (adev->link_fd >= 0)
            close(adev->link_fd); /* the link lives on with the parent's descriptor */
        if (adev->xsks_fd >= 0)
            close(adev->xsks_fd);
        adev->link_fd = adev->xsks_fd = -1;
    }
    steer_forget(st);
    if (net->tx_pool == &st->umem.tx_pool)
        net->tx_pool = NULL; /* its memory is not mapped here */
    af_xdp_unlink_state(st);
}

int af_xdp_steer_stats(struct net *net, u64 *count, int max)
{
    struct af_xdp_state *st = af_xdp_state_of(net);
    int cpus = libbpf_num_possible_cpus(), i, c;
    u64 *v;

    if (!st || st->steer.verdicts < 0 || cpus < 1 || !(v = calloc((size_t)cpus, sizeof(*v))))
        return 0;
    for (i = 0; i < __STEER_MAX && i < max; i++) {
        u32 key = (u32)i;

        count[i] = 0;
        if (bpf_map_lookup_elem(st->steer.verdicts, &key, v) == 0)
            for (c = 0; c < cpus; c++)
                count[i] += v[c];
    }
    free(v);
    return i;
}

const char *af_xdp_steer_text(int verdict)
{
    static const char *const text[] = {
#define X(name, t) t,
        STEER_VERDICT_LIST(X)
#undef X
    };
    return verdict >= 0 && verdict < __STEER_MAX ? text[verdict] : "";
}
