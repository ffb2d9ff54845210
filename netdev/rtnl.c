/* SPDX-License-Identifier: MIT */
/* The rtnetlink mirror: the two sockets, and what the notifications change in our devices. */

#include "rtnl_priv.h"
#include "highfd.h"
#include <linux/if.h>
#include <pthread.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

static pthread_mutex_t rtnls_lock = PTHREAD_MUTEX_INITIALIZER; /* writers of rtnls; nothing nests in it */
static struct rtnl *rtnls;

void (*rtnl_addr_hook)(struct net *net, __be32 local, bool add);

struct rtnl *rtnl_of(struct net *net)
{
    struct rtnl *r = __atomic_load_n(&rtnls, __ATOMIC_ACQUIRE);

    while (r && r->net != net)
        r = r->next;
    return r;
}

/* ---- sockets ------------------------------------------------------------------------------------------- */

static int rtnl_socket(struct mnl_socket **out, unsigned groups)
{
    int fd = highfd_move(socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE)), err, size = 1 << 20;
    struct timeval tv = {.tv_sec = 5};
    struct mnl_socket *nl;

    if (fd < 0)
        return -errno;
    /* Answers come at once; a limit in case one is lost. Notifications may come in crowds. */
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv));
    if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size)))
        setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size));
    nl = mnl_socket_fdopen(fd);
    if (!nl) {
        err = -errno;
        close(fd);
        return err ? err : -ENOMEM;
    }
    if (mnl_socket_bind(nl, groups, MNL_SOCKET_AUTOPID) < 0) {
        err = -errno;
        mnl_socket_close(nl);
        return err;
    }
    *out = nl;
    return 0;
}

int rtnl_init(struct net *net)
{
    const unsigned groups = RTMGRP_LINK | RTMGRP_IPV4_IFADDR | RTMGRP_IPV4_ROUTE | RTMGRP_IPV4_RULE |
                            1u << (RTNLGRP_NEXTHOP - 1);
    struct rtnl *r;
    int err;

    if (rtnl_of(net))
        return 0;
    r = calloc(1, sizeof(*r));
    if (!r)
        return -ENOMEM;
    r->net = net;
    err = rtnl_socket(&r->req, 0);
    if (!err) {
        err = rtnl_socket(&r->ntf, groups);
        if (err)
            mnl_socket_close(r->req);
    }
    if (err) {
        free(r);
        return err;
    }
    spin_lock_init(&r->lock);
    spin_lock_init(&r->ntf_lock);
    pthread_mutex_lock(&rtnls_lock);
    r->next = rtnls;
    __atomic_store_n(&rtnls, r, __ATOMIC_RELEASE);
    pthread_mutex_unlock(&rtnls_lock);
    return 0;
}

static void rtnl_unlink(struct rtnl *r)
{
    struct rtnl **p;

    for (p = &rtnls; *p && *p != r; p = &(*p)->next)
        ;
    if (*p)
        __atomic_store_n(p, r->next, __ATOMIC_RELEASE);
}

void rtnl_exit(struct net *net)
{
    struct rtnl *r = rtnl_of(net);

    if (!r)
        return;
    pthread_mutex_lock(&rtnls_lock);
    rtnl_unlink(r);
    pthread_mutex_unlock(&rtnls_lock);
    mnl_socket_close(r->req);
    mnl_socket_close(r->ntf);
    spin_lock_destroy(&r->lock);
    spin_lock_destroy(&r->ntf_lock);
    free(r);
}

/* A fork child: the sockets are shared with the parent, and reading from them would steal its answers. */
void rtnl_forget(struct net *net)
{
    struct rtnl *r = rtnl_of(net);

    if (!r)
        return;
    pthread_mutex_init(&rtnls_lock, NULL);
    rtnl_unlink(r);
    close(mnl_socket_get_fd(r->req));
    close(mnl_socket_get_fd(r->ntf));
}

int rtnl_fd(struct net *net)
{
    struct rtnl *r = rtnl_of(net);

    return r ? mnl_socket_get_fd(r->ntf) : -1;
}

void rtnl_for_each_fd(struct net *net, void (*fn)(int fd, void *arg), void *arg)
{
    struct rtnl *r = rtnl_of(net);

    if (!r)
        return;
    fn(mnl_socket_get_fd(r->req), arg);
    fn(mnl_socket_get_fd(r->ntf), arg);
}

static int rtnl_exchange(struct rtnl *r, struct nlmsghdr *nlh, mnl_cb_t cb, void *data)
{
    char *buf = malloc(RTNL_BUF);
    unsigned port = mnl_socket_get_portid(r->req);
    int err = 0, ret = MNL_CB_OK;
    ssize_t n;

    if (!buf)
        return -ENOMEM;
    nlh->nlmsg_seq = ++r->seq;
    nlh->nlmsg_flags |= NLM_F_REQUEST;
    if (!(nlh->nlmsg_flags & NLM_F_DUMP))
        nlh->nlmsg_flags |= NLM_F_ACK; /* an end that is always there */
    if (mnl_socket_sendto(r->req, nlh, nlh->nlmsg_len) < 0)
        err = -errno;
    while (!err && ret > MNL_CB_STOP) {
        n = mnl_socket_recvfrom(r->req, buf, RTNL_BUF);
        if (n < 0) {
            if (errno != EINTR)
                err = -errno;
            continue;
        }
        ret = mnl_cb_run(buf, (size_t)n, r->seq, port, cb, data);
        if (ret < 0 && errno == EPROTO)
            ret = MNL_CB_OK; /* the tail of an answer that was given up before */
        else if (ret < 0)
            err = errno ? -errno : -EPROTO;
    }
    free(buf);
    return err;
}

int rtnl_talk(struct rtnl *r, struct nlmsghdr *nlh, mnl_cb_t cb, void *data)
{
    int err, saved = errno;

    spin_lock(&r->lock);
    err = rtnl_exchange(r, nlh, cb, data);
    spin_unlock(&r->lock);
    errno = saved;
    return err;
}

/* ---- notifications ---------------------------------------------------------------------------------------- */

static void rtnl_apply_link(struct net *net, const struct rtnl_link *l, bool gone)
{
    u32 flags = gone ? 0 : l->flags & (IFF_UP | IFF_RUNNING | IFF_NOARP);
    struct net_device *dev;

    rcu_read_lock();
    for (dev = dev_get_by_index(net, l->ifindex); dev; dev = dev->lower) { /* wrappers and the driver alike */
        WRITE_ONCE(dev->flags, flags);
        if (!gone && l->mtu && l->mtu != dev->mtu)
            dev_set_mtu(dev, l->mtu);
    }
    rcu_read_unlock();
}

static void rtnl_apply_addr(struct net *net, const struct rtnl_addr *a, bool add)
{
    struct net_device *dev;

    if (rtnl_addr_hook)
        rtnl_addr_hook(net, a->local, add);
    rcu_read_lock();
    for (dev = dev_get_by_index(net, a->ifindex); dev; dev = dev->lower) {
        if (dev->own_address)
            continue; /* the host's addresses are not ours there */
        if (!add)
            dev_del_addr(dev, a->local);
        else if (!dev_has_addr(dev, a->local))
            dev_add_addr(dev, a->local, a->prefixlen);
    }
    rcu_read_unlock();
}

static int rtnl_notified(const struct nlmsghdr *nlh, void *data)
{
    struct net *net = data;
    struct rtnl_link l;
    struct rtnl_addr a;

    switch (nlh->nlmsg_type) {
    case RTM_NEWLINK:
    case RTM_DELLINK:
        /* Bridges tell of their ports by the same types (AF_BRIDGE): those are not whole links. */
        if (((const struct ifinfomsg *)mnl_nlmsg_get_payload(nlh))->ifi_family == AF_UNSPEC &&
            rtnl_parse_link(nlh, &l))
            rtnl_apply_link(net, &l, nlh->nlmsg_type == RTM_DELLINK);
        break;
    case RTM_NEWADDR:
    case RTM_DELADDR:
        if (rtnl_parse_addr(nlh, &a))
            rtnl_apply_addr(net, &a, nlh->nlmsg_type == RTM_NEWADDR);
        break;
    }
    return MNL_CB_OK;
}

/* Notifications were lost: look at everything again. Addresses that went are found by their absence. */
static void rtnl_resync_link(const struct rtnl_link *l, void *arg)
{
    struct net *net = arg;
    struct net_device *dev;
    u32 i, j;

    rtnl_apply_link(net, l, false);
    for (i = 0; i < l->naddr; i++) {
        struct rtnl_addr a = {.ifindex = l->ifindex, .local = l->ip[i].local, .prefixlen = l->ip[i].prefixlen};

        rtnl_apply_addr(net, &a, true);
    }
    rcu_read_lock();
    dev = dev_get_by_index(net, l->ifindex);
    for (i = dev && !dev->own_address ? atomic_load(&dev->naddr) : 0; i-- > 0;) {
        struct rtnl_addr a = {.ifindex = l->ifindex, .local = dev->addr[i].local};

        for (j = 0; j < l->naddr && l->ip[j].local != a.local; j++)
            ;
        if (j == l->naddr)
            rtnl_apply_addr(net, &a, false);
    }
    rcu_read_unlock();
}

void rtnl_poll(struct net *net)
{
    struct rtnl *r = rtnl_of(net);
    bool news = false, lost = false;
    char *buf;

    if (!r || !spin_trylock(&r->ntf_lock))
        return;
    buf = malloc(RTNL_BUF);
    while (buf) {
        ssize_t n = recv(mnl_socket_get_fd(r->ntf), buf, RTNL_BUF, MSG_DONTWAIT);

        if (n < 0 && errno == ENOBUFS) {
            lost = news = true;
            continue;
        }
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            break;
        news = true;
        mnl_cb_run(buf, (size_t)n, 0, 0, rtnl_notified, net);
    }
    free(buf);
    spin_unlock(&r->ntf_lock);
    if (lost)
        rtnl_for_each_link(net, rtnl_resync_link, net);
    if (news) /* rt_cache_flush(): cached routes of the old generation are void */
        atomic_fetch_add(&net->rt_genid, 1);
}
