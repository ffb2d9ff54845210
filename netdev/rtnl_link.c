/* SPDX-License-Identifier: MIT */
/* Links and addresses of the host: questions and how to read the answers (rtnetlink(7)). */

#include "rtnl_priv.h"
#include <linux/if_link.h>

static void rtnl_parse_kind(const struct nlattr *info, struct rtnl_link *l)
{
    const struct nlattr *a;

    mnl_attr_for_each_nested(a, info)
        if (mnl_attr_get_type(a) == IFLA_INFO_KIND)
            snprintf(l->kind, sizeof(l->kind), "%s", mnl_attr_get_str(a));
}

bool rtnl_parse_link(const struct nlmsghdr *nlh, struct rtnl_link *l)
{
    const struct ifinfomsg *ifi = mnl_nlmsg_get_payload(nlh);
    const struct nlattr *a;

    memset(l, 0, sizeof(*l));
    if ((nlh->nlmsg_type != RTM_NEWLINK && nlh->nlmsg_type != RTM_DELLINK) ||
        mnl_nlmsg_get_payload_len(nlh) < sizeof(*ifi))
        return false;
    l->ifindex = ifi->ifi_index;
    l->flags = ifi->ifi_flags;
    l->arp_type = ifi->ifi_type;
    mnl_attr_for_each(a, nlh, sizeof(*ifi)) {
        switch (mnl_attr_get_type(a)) {
        case IFLA_IFNAME:
            snprintf(l->name, sizeof(l->name), "%s", mnl_attr_get_str(a));
            break;
        case IFLA_ADDRESS:
            if (mnl_attr_get_payload_len(a) == ETH_ALEN)
                memcpy(l->addr, mnl_attr_get_payload(a), ETH_ALEN);
            break;
        case IFLA_MTU:
            l->mtu = mnl_attr_get_u32(a);
            break;
        case IFLA_NUM_RX_QUEUES:
            l->num_rx_queues = mnl_attr_get_u32(a);
            break;
        case IFLA_NUM_TX_QUEUES:
            l->num_tx_queues = mnl_attr_get_u32(a);
            break;
        case IFLA_LINKINFO:
            rtnl_parse_kind(a, l);
            break;
        }
    }
    return true;
}

bool rtnl_parse_addr(const struct nlmsghdr *nlh, struct rtnl_addr *out)
{
    const struct ifaddrmsg *ifa = mnl_nlmsg_get_payload(nlh);
    const struct nlattr *a;
    __be32 peer = 0;

    memset(out, 0, sizeof(*out));
    if ((nlh->nlmsg_type != RTM_NEWADDR && nlh->nlmsg_type != RTM_DELADDR) ||
        mnl_nlmsg_get_payload_len(nlh) < sizeof(*ifa) || ifa->ifa_family != AF_INET)
        return false;
    out->ifindex = (int)ifa->ifa_index;
    out->prefixlen = min(ifa->ifa_prefixlen, (__u8)32);
    mnl_attr_for_each(a, nlh, sizeof(*ifa)) {
        if (mnl_attr_get_payload_len(a) < 4)
            continue;
        switch (mnl_attr_get_type(a)) {
        case IFA_LOCAL:
            out->local = mnl_attr_get_u32(a);
            break;
        case IFA_ADDRESS: /* the peer's on point-to-point links, else the same */
            peer = mnl_attr_get_u32(a);
            break;
        case IFA_BROADCAST:
            out->broadcast = mnl_attr_get_u32(a);
            break;
        }
    }
    if (!out->local)
        out->local = peer;
    return out->local != 0;
}

struct link_list {
    struct rtnl_link *link;
    u32 n, room;
    bool nomem;
};

static int rtnl_collect_link(const struct nlmsghdr *nlh, void *data)
{
    struct link_list *list = data;
    struct rtnl_link l, *more;

    if (!rtnl_parse_link(nlh, &l))
        return MNL_CB_OK;
    if (list->n == list->room) {
        more = realloc(list->link, (list->room + 16) * sizeof(*more));
        if (!more) {
            list->nomem = true;
            return MNL_CB_OK;
        }
        list->link = more;
        list->room += 16;
    }
    list->link[list->n++] = l;
    return MNL_CB_OK;
}

static int rtnl_collect_addr(const struct nlmsghdr *nlh, void *data)
{
    struct link_list *list = data;
    struct rtnl_addr a;
    u32 i;

    if (!rtnl_parse_addr(nlh, &a))
        return MNL_CB_OK;
    for (i = 0; i < list->n; i++) {
        struct rtnl_link *l = &list->link[i];

        if (l->ifindex != a.ifindex || l->naddr == NET_DEV_ADDRS)
            continue;
        l->ip[l->naddr].local = a.local;
        l->ip[l->naddr].prefixlen = a.prefixlen;
        l->ip[l->naddr++].broadcast = a.broadcast;
    }
    return MNL_CB_OK;
}

static struct nlmsghdr *rtnl_request(char *buf, u16 type, u16 flags, size_t extra, void **payload)
{
    struct nlmsghdr *nlh = mnl_nlmsg_put_header(buf);

    nlh->nlmsg_type = type;
    nlh->nlmsg_flags = flags;
    *payload = mnl_nlmsg_put_extra_header(nlh, extra);
    return nlh;
}

/* ifindex 0: all links. */
static int rtnl_get_links(struct rtnl *r, int ifindex, struct link_list *list)
{
    char buf[512];
    struct nlmsghdr *nlh;
    struct ifinfomsg *ifi;
    struct ifaddrmsg *ifa;
    void *p;
    int err;

    memset(list, 0, sizeof(*list));
    nlh = rtnl_request(buf, RTM_GETLINK, ifindex ? 0 : NLM_F_DUMP, sizeof(*ifi), &p);
    ifi = p;
    ifi->ifi_family = AF_UNSPEC;
    ifi->ifi_index = ifindex;
    err = rtnl_talk(r, nlh, rtnl_collect_link, list);
    if (!err && list->nomem)
        err = -ENOMEM;
    if (!err) {
        nlh = rtnl_request(buf, RTM_GETADDR, NLM_F_DUMP, sizeof(*ifa), &p);
        ifa = p;
        ifa->ifa_family = AF_INET;
        err = rtnl_talk(r, nlh, rtnl_collect_addr, list);
    }
    if (err)
        free(list->link);
    return err;
}

int rtnl_get_link(struct net *net, int ifindex, struct rtnl_link *link)
{
    struct rtnl *r = rtnl_of(net);
    struct link_list list;
    int err;

    if (!r)
        return -ENOTCONN;
    if (ifindex <= 0)
        return -ENODEV;
    err = rtnl_get_links(r, ifindex, &list);
    if (err)
        return err;
    err = list.n == 1 ? 0 : -ENODEV;
    if (!err)
        *link = list.link[0];
    free(list.link);
    return err;
}

int rtnl_for_each_link(struct net *net, void (*fn)(const struct rtnl_link *l, void *arg), void *arg)
{
    struct rtnl *r = rtnl_of(net);
    struct link_list list;
    u32 i;
    int err;

    if (!r)
        return -ENOTCONN;
    err = rtnl_get_links(r, 0, &list);
    if (err)
        return err;
    for (i = 0; i < list.n; i++) {
        const struct rtnl_link *l = &list.link[i];

        if (l->naddr && (l->flags & 1 /* IFF_UP */) && !(l->flags & 8 /* IFF_LOOPBACK */))
            fn(l, arg);
    }
    free(list.link);
    return 0;
}

struct addr_call {
    void (*fn)(int ifindex, __be32 local, void *arg);
    void *arg;
};

static int rtnl_call_addr(const struct nlmsghdr *nlh, void *data)
{
    struct addr_call *c = data;
    struct rtnl_addr a;

    if (rtnl_parse_addr(nlh, &a))
        c->fn(a.ifindex, a.local, c->arg);
    return MNL_CB_OK;
}

int rtnl_for_each_addr(struct net *net, void (*fn)(int ifindex, __be32 local, void *arg), void *arg)
{
    struct addr_call c = {fn, arg};
    struct rtnl *r = rtnl_of(net);
    struct ifaddrmsg *ifa;
    struct nlmsghdr *nlh;
    char buf[512];
    void *p;

    if (!r)
        return -ENOTCONN;
    nlh = rtnl_request(buf, RTM_GETADDR, NLM_F_DUMP, sizeof(*ifa), &p);
    ifa = p;
    ifa->ifa_family = AF_INET;
    return rtnl_talk(r, nlh, rtnl_call_addr, &c);
}
