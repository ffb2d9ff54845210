/* SPDX-License-Identifier: MIT */
/* The host's own answer to "where does this flow go": RTM_GETROUTE for the flow itself, so that policy
 * rules, metrics, source address and learned path MTUs are the kernel's. */

#include "rtnl_priv.h"
#include <linux/fib_rules.h>

static void rtnl_parse_metrics(const struct nlattr *nest, struct fib_result *res)
{
    const struct nlattr *a;

    mnl_attr_for_each_nested(a, nest) {
        if (mnl_attr_get_payload_len(a) < 4)
            continue;
        switch (mnl_attr_get_type(a)) {
        case RTAX_MTU:
            res->mtu = mnl_attr_get_u32(a);
            break;
        case RTAX_ADVMSS:
            res->advmss = mnl_attr_get_u32(a);
            break;
        case RTAX_INITCWND:
            res->initcwnd = mnl_attr_get_u32(a);
            break;
        case RTAX_INITRWND:
            res->initrwnd = mnl_attr_get_u32(a);
            break;
        case RTAX_HOPLIMIT:
            res->hoplimit = mnl_attr_get_u32(a);
            break;
        case RTAX_RTO_MIN:
            res->rto_min_ms = mnl_attr_get_u32(a);
            break;
        case RTAX_RTT: /* in units of 1/8 ms */
            res->rtt_ms = mnl_attr_get_u32(a) / 8;
            break;
        }
    }
}

static int rtnl_parse_route(const struct nlmsghdr *nlh, void *data)
{
    const struct rtmsg *rtm = mnl_nlmsg_get_payload(nlh);
    struct fib_result *res = data;
    const struct nlattr *a;

    if (nlh->nlmsg_type != RTM_NEWROUTE || mnl_nlmsg_get_payload_len(nlh) < sizeof(*rtm))
        return MNL_CB_OK;
    res->type = rtm->rtm_type;
    mnl_attr_for_each(a, nlh, sizeof(*rtm)) {
        switch (mnl_attr_get_type(a)) {
        case RTA_OIF:
            res->ifindex = (int)mnl_attr_get_u32(a);
            break;
        case RTA_GATEWAY:
            res->gateway = mnl_attr_get_u32(a);
            break;
        case RTA_PREFSRC:
            res->prefsrc = mnl_attr_get_u32(a);
            break;
        case RTA_METRICS:
            rtnl_parse_metrics(a, res);
            break;
        }
    }
    return MNL_CB_OK;
}

/* An IPv4 route through an IPv6 next hop (RTA_VIA) has neither a gateway for us nor an on-link destination:
 * told as unreachable, so that the kernel serves that socket. */
static int rtnl_find_via(const struct nlmsghdr *nlh, void *data)
{
    const struct nlattr *a;

    if (nlh->nlmsg_type != RTM_NEWROUTE)
        return MNL_CB_OK;
    mnl_attr_for_each(a, nlh, sizeof(struct rtmsg))
        if (mnl_attr_get_type(a) == RTA_VIA)
            *(bool *)data = true;
    return MNL_CB_OK;
}

struct route_answer {
    struct fib_result *res;
    bool via;
};

static int rtnl_route_answer(const struct nlmsghdr *nlh, void *data)
{
    struct route_answer *ans = data;

    rtnl_find_via(nlh, &ans->via);
    return rtnl_parse_route(nlh, ans->res);
}

static int rtnl_route_lookup(struct net *net, const struct flowi4 *fl, struct fib_result *res)
{
    struct route_answer ans = {.res = res};
    struct rtnl *r = rtnl_of(net);
    struct nlmsghdr *nlh;
    struct rtmsg *rtm;
    char buf[512];
    int err;

    memset(res, 0, sizeof(*res));
    if (!r)
        return -ENETUNREACH;
    nlh = mnl_nlmsg_put_header(buf);
    nlh->nlmsg_type = RTM_GETROUTE;
    rtm = mnl_nlmsg_put_extra_header(nlh, sizeof(*rtm));
    rtm->rtm_family = AF_INET;
    rtm->rtm_dst_len = 32;
    rtm->rtm_tos = fl->tos & 0xfc; /* without the ECN bits */
    mnl_attr_put_u32(nlh, RTA_DST, fl->daddr);
    if (fl->saddr) {
        rtm->rtm_src_len = 32;
        mnl_attr_put_u32(nlh, RTA_SRC, fl->saddr);
    }
    if (fl->oif)
        mnl_attr_put_u32(nlh, RTA_OIF, (u32)fl->oif);
    if (fl->mark)
        mnl_attr_put_u32(nlh, RTA_MARK, fl->mark);
    if (fl->proto) { /* rules may look at these too */
        mnl_attr_put_u8(nlh, RTA_IP_PROTO, fl->proto);
        if (fl->sport)
            mnl_attr_put_u16(nlh, RTA_SPORT, fl->sport);
        if (fl->dport)
            mnl_attr_put_u16(nlh, RTA_DPORT, fl->dport);
    }
    err = rtnl_talk(r, nlh, rtnl_route_answer, &ans);
    if (err)
        return err;
    if (ans.via || !res->ifindex)
        return -ENETUNREACH;
    return 0;
}

const struct net_route_ops rtnl_route_ops = {.lookup = rtnl_route_lookup};
