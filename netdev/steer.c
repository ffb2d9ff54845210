/* SPDX-License-Identifier: MIT */
/* The steering maps, seen from user space, and the program's attachment to devices.
 *
 * Program and maps come as one skeleton (steer.bpf.c). It is loaded once without the program for the maps
 * that all devices share, and once for each device, whose queues have a map of their own. libbpf's
 * descriptors have low numbers and go with the skeleton at once; we keep duplicates out of the way. */

#include "af_xdp_priv.h"
#include "highfd.h"
#include "steer.skel.h"
#include "../stack/core/rcu.h"
#include <bpf/bpf.h>
#include <linux/if_link.h>
#include <pthread.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

/* ---- libbpf's messages ------------------------------------------------------------------------------- */

/* It prints to stderr, which is the program's. Errors come back as numbers; sentences are made of those. */
static int steer_silent(enum libbpf_print_level level, const char *fmt, va_list ap) { return 0; }

/* ---- listeners, remembered ------------------------------------------------------------------------------ */

/* A listener may be older than the maps (no device has been needed yet) and there may be several at one port
 * (SO_REUSEPORT). Protects the list and, for listeners, the order of map updates; nothing nests in it. */
static pthread_mutex_t listen_lock = PTHREAD_MUTEX_INITIALIZER;
static struct steer_known {
    struct steer_known *next;
    struct net *net;
    struct steer_listener key;
    u32 count;
    u8 value; /* STEER_LISTENS, STEER_PARKED */
} * known;

static struct steer_known **steer_find_listener(struct net *net, const struct steer_listener *key)
{
    struct steer_known **p;

    for (p = &known; *p; p = &(*p)->next)
        if ((*p)->net == net && !memcmp(&(*p)->key, key, sizeof(*key)))
            break;
    return p;
}

static int steer_add_listener(struct net *net, __be32 laddr, __be16 lport, bool parked)
{
    struct steer_listener key = {.laddr = laddr, .lport = lport};
    struct af_xdp_state *st = af_xdp_state_of(net);
    struct steer_known **p, *k;
    int err = 0;

    pthread_mutex_lock(&listen_lock);
    p = steer_find_listener(net, &key);
    if (*p) {
        (*p)->count++;
    } else if (!(k = calloc(1, sizeof(*k)))) {
        err = -ENOMEM;
    } else {
        *k = (struct steer_known){.net = net, .key = key, .count = 1, .value = parked ? STEER_PARKED : STEER_LISTENS};
        if (st && st->steer.listeners >= 0 && bpf_map_update_elem(st->steer.listeners, &key, &k->value, BPF_ANY)) {
            err = -errno;
            free(k);
        } else {
            *p = k;
        }
    }
    pthread_mutex_unlock(&listen_lock);
    return err;
}

static void steer_del_listener(struct net *net, __be32 laddr, __be16 lport)
{
    struct steer_listener key = {.laddr = laddr, .lport = lport};
    struct af_xdp_state *st = af_xdp_state_of(net);
    struct steer_known **p, *k;

    pthread_mutex_lock(&listen_lock);
    p = steer_find_listener(net, &key);
    k = *p;
    if (k && --k->count == 0) {
        *p = k->next;
        free(k);
        if (st && st->steer.listeners >= 0)
            bpf_map_delete_elem(st->steer.listeners, &key);
    }
    pthread_mutex_unlock(&listen_lock);
}

static void steer_park_listener(struct net *net, __be32 laddr, __be16 lport, bool parked)
{
    struct steer_listener key = {.laddr = laddr, .lport = lport};
    struct af_xdp_state *st = af_xdp_state_of(net);
    struct steer_known *k;

    pthread_mutex_lock(&listen_lock);
    k = *steer_find_listener(net, &key);
    if (k) {
        k->value = parked ? STEER_PARKED : STEER_LISTENS;
        if (st && st->steer.listeners >= 0 && bpf_map_update_elem(st->steer.listeners, &key, &k->value, BPF_ANY))
            bpf_map_delete_elem(st->steer.listeners, &key); /* no memory: the kernel takes connections at least */
    }
    pthread_mutex_unlock(&listen_lock);
}

static void steer_replay_listeners(struct af_xdp_state *st)
{
    struct steer_known *k;

    pthread_mutex_lock(&listen_lock);
    for (k = known; k; k = k->next)
        if (k->net == st->net)
            bpf_map_update_elem(st->steer.listeners, &k->key, &k->value, BPF_ANY);
    pthread_mutex_unlock(&listen_lock);
}

/* ---- flows and addresses ---------------------------------------------------------------------------------- */

static int steer_add_flow(struct net *net, const struct flow_key *f)
{
    struct steer_flow key = {.laddr = f->laddr, .raddr = f->raddr, .lport = f->lport, .rport = f->rport};
    struct af_xdp_state *st = af_xdp_state_of(net);
    u8 one = 1;

    if (!st || st->steer.flows < 0)
        return 0; /* no device, no frame to steer */
    return bpf_map_update_elem(st->steer.flows, &key, &one, BPF_ANY) ? -errno : 0;
}

static void steer_del_flow(struct net *net, const struct flow_key *f)
{
    struct steer_flow key = {.laddr = f->laddr, .raddr = f->raddr, .lport = f->lport, .rport = f->rport};
    struct af_xdp_state *st = af_xdp_state_of(net);

    if (st && st->steer.flows >= 0)
        bpf_map_delete_elem(st->steer.flows, &key);
}

const struct net_steer_ops af_xdp_steer_ops = {
    .add_flow = steer_add_flow,
    .del_flow = steer_del_flow,
    .add_listener = steer_add_listener,
    .del_listener = steer_del_listener,
    .park_listener = steer_park_listener,
};

void steer_local_addr(struct af_xdp_state *st, __be32 addr, bool add)
{
    u8 one = 1;

    if (st->steer.locals < 0)
        return;
    if (add)
        bpf_map_update_elem(st->steer.locals, &addr, &one, BPF_ANY);
    else
        bpf_map_delete_elem(st->steer.locals, &addr);
}

int steer_own_addr(struct af_xdp_state *st, __be32 addr, bool add)
{
    u8 one = 1;

    if (add)
        return bpf_map_update_elem(st->steer.owns, &addr, &one, BPF_ANY) ? -errno : 0;
    return bpf_map_delete_elem(st->steer.owns, &addr) ? -errno : 0;
}

/* ---- ARP replies, from the program's ring buffer ------------------------------------------------------------ */

static int steer_map_arps(struct steer *s)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE), size = 65536; /* max_entries of the map */
    void *p;

    p = mmap(NULL, page, PROT_READ | PROT_WRITE, MAP_SHARED, s->arps, 0);
    if (p == MAP_FAILED)
        return -errno;
    s->arp_consumer = p;
    madvise(p, page, MADV_DONTFORK);
    /* The producer's page, then the data twice in a row, so that no record wraps. */
    s->arp_data_len = page + 2 * size;
    p = mmap(NULL, s->arp_data_len, PROT_READ, MAP_SHARED, s->arps, (off_t)page);
    if (p == MAP_FAILED) {
        munmap(s->arp_consumer, page);
        s->arp_consumer = NULL;
        return -errno;
    }
    madvise(p, s->arp_data_len, MADV_DONTFORK);
    s->arp_producer = p;
    s->arp_data = (u8 *)p + page;
    s->arp_mask = (u32)size - 1;
    return 0;
}

bool steer_arps_ready(const struct steer *s)
{
    return s->arp_consumer &&
           __atomic_load_n(s->arp_producer, __ATOMIC_ACQUIRE) != __atomic_load_n(s->arp_consumer, __ATOMIC_RELAXED);
}

static void steer_deliver_arp(struct net *net, const struct steer_arp *a)
{
    struct net_device *dev;
    struct sk_buff *skb;

    rcu_read_lock();
    dev = dev_get_by_index(net, (int)a->ifindex);
    while (dev && dev->lower)
        dev = dev->lower; /* from there it climbs, as every received frame */
    skb = dev ? alloc_skb(net, STEER_ARP_FRAME) : NULL;
    if (skb) {
        memcpy(skb_put(skb, STEER_ARP_FRAME), a->frame, STEER_ARP_FRAME);
        skb->dev = dev;
        skb->tstamp = net_now(net);
        netif_receive_skb(skb);
    }
    rcu_read_unlock();
}

int steer_poll_arps(struct af_xdp_state *st)
{
    struct steer *s = &st->steer;
    u64 pos, end;
    int n = 0;

    if (!s->arp_consumer || !spin_trylock(&s->arp_lock))
        return 0;
    pos = *s->arp_consumer;
    end = __atomic_load_n(s->arp_producer, __ATOMIC_ACQUIRE);
    while (pos != end) {
        const u8 *rec = s->arp_data + (pos & s->arp_mask);
        u32 len = __atomic_load_n((const u32 *)rec, __ATOMIC_ACQUIRE);
        struct steer_arp a;

        if (len & BPF_RINGBUF_BUSY_BIT)
            break;
        memcpy(&a, rec + BPF_RINGBUF_HDR_SZ, sizeof(a));
        pos += ALIGN((len & ~BPF_RINGBUF_DISCARD_BIT) + BPF_RINGBUF_HDR_SZ, 8u);
        __atomic_store_n(s->arp_consumer, pos, __ATOMIC_RELEASE);
        if (!(len & BPF_RINGBUF_DISCARD_BIT)) {
            steer_deliver_arp(st->net, &a);
            n++;
        }
    }
    spin_unlock(&s->arp_lock);
    return n;
}

/* ---- maps and program ------------------------------------------------------------------------------------------ */

static const struct steer_map { /* those that devices share */
    size_t fd;
    const char *name;
} steer_maps[] = {
    {offsetof(struct steer, flows), "flows"}, {offsetof(struct steer, listeners), "listeners"},
    {offsetof(struct steer, locals), "locals"}, {offsetof(struct steer, owns), "owns"},
    {offsetof(struct steer, frags), "frags"}, {offsetof(struct steer, arps), "arps"},
    {offsetof(struct steer, verdicts), "verdicts"},
};
#define STEER_FD(s, i) (*(int *)((u8 *)(s) + steer_maps[i].fd))

static int steer_keep_maps(struct steer *s, struct steer_bpf *skel)
{
    size_t i;

    for (i = 0; i < ARRAY_SIZE(steer_maps); i++) {
        struct bpf_map *m = bpf_object__find_map_by_name(skel->obj, steer_maps[i].name);
        int fd = m ? highfd_dup(bpf_map__fd(m)) : -ENOENT;

        if (fd < 0)
            return fd;
        STEER_FD(s, i) = fd;
    }
    return 0;
}

static void steer_close(struct steer *s)
{
    size_t i;

    for (i = 0; i < ARRAY_SIZE(steer_maps); i++) {
        if (STEER_FD(s, i) >= 0)
            close(STEER_FD(s, i));
        STEER_FD(s, i) = -1;
    }
}

int steer_init(struct af_xdp_state *st)
{
    libbpf_print_fn_t old = libbpf_set_print(steer_silent);
    struct steer *s = &st->steer;
    struct steer_bpf *skel;
    size_t i;
    int err;

    memset(s, 0, sizeof(*s));
    for (i = 0; i < ARRAY_SIZE(steer_maps); i++)
        STEER_FD(s, i) = -1;
    spin_lock_init(&s->arp_lock);
    skel = steer_bpf__open();
    err = skel ? 0 : -errno;
    if (skel) {
        bpf_program__set_autoload(skel->progs.steer, false);
        bpf_map__set_autocreate(skel->maps.xsks, false);
        err = steer_bpf__load(skel);
        if (!err)
            err = steer_keep_maps(s, skel);
        steer_bpf__destroy(skel);
    }
    libbpf_set_print(old);
    if (!err)
        err = steer_map_arps(s);
    if (err)
        steer_close(s);
    else
        steer_replay_listeners(st);
    return err;
}

void steer_exit(struct af_xdp_state *st)
{
    struct steer *s = &st->steer;

    if (s->arp_consumer) {
        munmap(s->arp_consumer, (size_t)sysconf(_SC_PAGESIZE));
        munmap((void *)s->arp_producer, s->arp_data_len);
    }
    s->arp_consumer = NULL;
    steer_close(s);
    spin_lock_destroy(&s->arp_lock);
}

void steer_forget(struct af_xdp_state *st)
{
    struct steer_known *k;

    st->steer.arp_consumer = NULL; /* not mapped here */
    steer_close(&st->steer);
    pthread_mutex_init(&listen_lock, NULL); /* another thread may have held it at the fork */
    for (k = known; k; k = k->next)
        if (k->net == st->net)
            k->net = NULL;
}

static int steer_load(struct af_xdp_dev *adev, struct steer_bpf *skel, bool frags)
{
    size_t i;
    int err = 0;

    if (!frags) /* before Linux 5.18 there are no multi-buffer programs */
        bpf_program__set_flags(skel->progs.steer, bpf_program__flags(skel->progs.steer) & ~(u32)BPF_F_XDP_HAS_FRAGS);
    for (i = 0; i < ARRAY_SIZE(steer_maps) && !err; i++)
        err = bpf_map__reuse_fd(bpf_object__find_map_by_name(skel->obj, steer_maps[i].name),
                                STEER_FD(&adev->st->steer, i));
    return err ? err : steer_bpf__load(skel);
}

static int steer_link(int prog, int ifindex, u32 xdp_flags)
{
    LIBBPF_OPTS(bpf_link_create_opts, o, .flags = xdp_flags);
    struct timespec nap = {.tv_nsec = 10000000};
    int fd, tries = 5;

    /* A process that ends now may be about to take its program away. */
    while ((fd = bpf_link_create(prog, ifindex, BPF_XDP, &o)) == -EBUSY && --tries)
        nanosleep(&nap, NULL);
    return fd == -EEXIST ? -EBUSY : fd;
}

int steer_attach(struct af_xdp_dev *adev, u32 xdp_flags)
{
    libbpf_print_fn_t old = libbpf_set_print(steer_silent);
    struct steer_bpf *skel = NULL;
    int err = -EINVAL, frags, fd;

    adev->link_fd = adev->xsks_fd = -1;
    for (frags = 1; frags >= 0 && err && err != -EPERM; frags--) {
        steer_bpf__destroy(skel);
        skel = steer_bpf__open();
        err = skel ? steer_load(adev, skel, frags) : -errno;
    }
    if (!err) {
        adev->xsks_fd = highfd_dup(bpf_map__fd(skel->maps.xsks));
        fd = steer_link(bpf_program__fd(skel->progs.steer), adev->dev.ifindex, xdp_flags);
        adev->link_fd = highfd_move(fd);
        err = min(0, min(adev->link_fd, adev->xsks_fd));
    }
    steer_bpf__destroy(skel);
    libbpf_set_print(old);
    if (err)
        steer_detach(adev);
    return err;
}

void steer_detach(struct af_xdp_dev *adev)
{
    if (adev->link_fd >= 0) {
        bpf_link_detach(adev->link_fd); /* now, even if a fork child still has the descriptor */
        close(adev->link_fd);
    }
    if (adev->xsks_fd >= 0)
        close(adev->xsks_fd);
    adev->link_fd = adev->xsks_fd = -1;
}

int steer_add_queue(struct af_xdp_dev *adev, u32 queue, int xsk_fd)
{
    return bpf_map_update_elem(adev->xsks_fd, &queue, &xsk_fd, BPF_ANY) ? -errno : 0;
}

void steer_for_each_fd(const struct steer *s, void (*fn)(int fd, void *arg), void *arg)
{
    size_t i;

    for (i = 0; i < ARRAY_SIZE(steer_maps); i++)
        if (STEER_FD(s, i) >= 0)
            fn(STEER_FD(s, i), arg);
}
