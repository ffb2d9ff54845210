/* SPDX-License-Identifier: MIT */
#ifndef SLUICE_NETDEV_RTNL_PRIV_H
#define SLUICE_NETDEV_RTNL_PRIV_H
/* What the files of the rtnetlink mirror share. */

#include "rtnl.h"
#include "../stack/core/rcu.h"
#include <libmnl/libmnl.h>
#include <linux/rtnetlink.h>

#define RTNL_BUF 32768

struct rtnl {
    struct rtnl *next;
    struct net *net;
    spinlock_t lock; /* protects req and seq: one question at a time. A route lookup may wait for it; nothing
                        of the stack's is held then and nothing nests in it */
    struct mnl_socket *req;
    u32 seq;
    spinlock_t ntf_lock; /* taken by try-lock: one reader of ntf */
    struct mnl_socket *ntf;
};

/* The mirror of that net, or NULL. */
struct rtnl *rtnl_of(struct net *net);
/* Role: send the request in nlh (NLM_F_REQUEST is added) and give each answer to cb. 0 or -errno: the
 * kernel's own where it refused. */
int rtnl_talk(struct rtnl *r, struct nlmsghdr *nlh, mnl_cb_t cb, void *data);
/* Facts of a link message; addresses are not in it. False: not an RTM_NEWLINK. */
bool rtnl_parse_link(const struct nlmsghdr *nlh, struct rtnl_link *l);
struct rtnl_addr {
    int ifindex;
    __be32 local, broadcast;
    u8 prefixlen;
};
bool rtnl_parse_addr(const struct nlmsghdr *nlh, struct rtnl_addr *a);

#endif
