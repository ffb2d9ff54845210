/* SPDX-License-Identifier: MIT */
/* Detection of host filter rules: nf_tables chains over nfnetlink (libmnl), the legacy table by
 * IPT_SO_GET_INFO. Chains of other types (nat) and forward chains do not concern a local socket's policy. */

#include "firewall.h"
#include <arpa/inet.h>
#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter_ipv4/ip_tables.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define MEND "; -o firewall=ignore uses the stack all the same"

struct verdict {
    bool found;
    char *why;
    size_t len;
    int family;
};

static void parse_hook(const struct nlattr *nest, uint32_t *num)
{
    const struct nlattr *a;
    mnl_attr_for_each_nested(a, nest)
        if (mnl_attr_get_type(a) == NFTA_HOOK_HOOKNUM && mnl_attr_get_payload_len(a) >= 4)
            *num = ntohl(mnl_attr_get_u32(a));
}

/* One chain of the dump. */
static int chain_cb(const struct nlmsghdr *nlh, void *data)
{
    struct verdict *v = data;
    const struct nlattr *a;
    const char *table = "?", *name = "?", *type = "";
    uint32_t hook = UINT32_MAX, policy = NF_ACCEPT, use = 0;
    if (NFNL_MSG_TYPE(nlh->nlmsg_type) != NFT_MSG_NEWCHAIN || v->found)
        return MNL_CB_OK;
    mnl_attr_for_each(a, nlh, sizeof(struct nfgenmsg)) {
        switch (mnl_attr_get_type(a)) {
        case NFTA_CHAIN_TABLE:
            table = mnl_attr_get_str(a);
            break;
        case NFTA_CHAIN_NAME:
            name = mnl_attr_get_str(a);
            break;
        case NFTA_CHAIN_TYPE:
            type = mnl_attr_get_str(a);
            break;
        case NFTA_CHAIN_HOOK:
            parse_hook(a, &hook);
            break;
        case NFTA_CHAIN_POLICY:
            policy = ntohl(mnl_attr_get_u32(a));
            break;
        case NFTA_CHAIN_USE: /* of a base chain, which nothing can jump to: its rules */
            use = ntohl(mnl_attr_get_u32(a));
            break;
        }
    }
    if ((hook != NF_INET_LOCAL_IN && hook != NF_INET_LOCAL_OUT) || !strcmp(type, "nat") || (!use && policy == NF_ACCEPT))
        return MNL_CB_OK;
    v->found = true;
    if (use)
        snprintf(v->why, v->len, "nftables chain '%s' of table '%s %s' at hook %s has %u rule%s, which packets of the stack never meet" MEND,
                 name, v->family == NFPROTO_IPV4 ? "ip" : "inet", table, hook == NF_INET_LOCAL_IN ? "input" : "output", use,
                 use == 1 ? "" : "s");
    else
        snprintf(v->why, v->len, "nftables chain '%s' of table '%s %s' at hook %s has the policy drop, which packets of the stack never meet" MEND,
                 name, v->family == NFPROTO_IPV4 ? "ip" : "inet", table, hook == NF_INET_LOCAL_IN ? "input" : "output");
    return MNL_CB_OK;
}

/* Dump the chains of one family. 0 or -errno. */
static int dump_chains(struct mnl_socket *nl, struct verdict *v)
{
    char buf[16384] __attribute__((aligned(8)));
    struct nlmsghdr *nlh = mnl_nlmsg_put_header(buf);
    uint32_t seq = (uint32_t)time(NULL) + v->family;
    nlh->nlmsg_type = (NFNL_SUBSYS_NFTABLES << 8) | NFT_MSG_GETCHAIN;
    nlh->nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
    nlh->nlmsg_seq = seq;
    struct nfgenmsg *nfg = mnl_nlmsg_put_extra_header(nlh, sizeof(*nfg));
    nfg->nfgen_family = v->family;
    nfg->version = NFNETLINK_V0;
    if (mnl_socket_sendto(nl, nlh, nlh->nlmsg_len) < 0)
        return -errno;
    for (;;) {
        ssize_t n = mnl_socket_recvfrom(nl, buf, sizeof(buf));
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -errno;
        int rc = mnl_cb_run(buf, n, seq, mnl_socket_get_portid(nl), chain_cb, v);
        if (rc == MNL_CB_ERROR && errno == EINTR) /* a rule set change under the dump: what was seen counts */
            return v->found ? 0 : -EAGAIN;
        if (rc == MNL_CB_ERROR)
            return -errno;
        if (rc == MNL_CB_STOP)
            return 0;
    }
}

/* 0, or -errno when the kernel did not answer. */
static int nft_has_rules(struct verdict *v)
{
    static const int families[] = {NFPROTO_INET, NFPROTO_IPV4};
    struct mnl_socket *nl = mnl_socket_open2(NETLINK_NETFILTER, SOCK_CLOEXEC);
    int rc = 0;
    if (!nl)
        return -errno;
    if (mnl_socket_bind(nl, 0, MNL_SOCKET_AUTOPID) < 0)
        rc = -errno;
    for (size_t i = 0; i < 2 && !rc && !v->found; i++) {
        v->family = families[i];
        for (int tries = 0; tries < 5; tries++) {
            rc = dump_chains(nl, v);
            if (rc != -EAGAIN)
                break;
        }
    }
    mnl_socket_close(nl);
    return rc;
}

/* Is the legacy filter table in use? Asking for a table that is not would make the kernel load it. */
static bool legacy_filter_loaded(void)
{
    char line[64];
    bool found = false;
    FILE *f = fopen("/proc/net/ip_tables_names", "re");
    while (f && fgets(line, sizeof(line), f))
        found |= !strcmp(line, "filter\n");
    if (f)
        fclose(f);
    return found;
}

/* The policy: the last entry of the chain is a standard target with the verdict. */
static bool legacy_policy_drops(int fd, const struct ipt_getinfo *info, int hook)
{
    socklen_t len = sizeof(struct ipt_get_entries) + info->size;
    struct ipt_get_entries *e = calloc(1, len);
    bool drop = false;
    if (!e)
        return false;
    strcpy(e->name, "filter");
    e->size = info->size;
    if (!getsockopt(fd, IPPROTO_IP, IPT_SO_GET_ENTRIES, e, &len) && info->underflow[hook] < info->size) {
        const struct ipt_entry *last = (const void *)((const char *)e->entrytable + info->underflow[hook]);
        const struct xt_standard_target *t = (const void *)((const char *)last + last->target_offset);
        drop = t->verdict == -NF_DROP - 1;
    }
    free(e);
    return drop;
}

static int legacy_has_rules(struct verdict *v)
{
    static const struct {
        int hook;
        const char *name;
    } chains[] = {{NF_INET_LOCAL_IN, "INPUT"}, {NF_INET_LOCAL_OUT, "OUTPUT"}};
    struct ipt_getinfo info = {.name = "filter"};
    socklen_t len = sizeof(info);
    if (!legacy_filter_loaded())
        return 0;
    int fd = socket(AF_INET, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_RAW);
    if (fd < 0)
        return -errno;
    if (getsockopt(fd, IPPROTO_IP, IPT_SO_GET_INFO, &info, &len)) {
        int e = errno;
        close(fd);
        return e == ENOPROTOOPT || e == ENOENT ? 0 : -e;
    }
    for (size_t i = 0; i < 2 && !v->found; i++) {
        int h = chains[i].hook;
        if (!(info.valid_hooks & (1u << h)))
            continue;
        bool rules = info.hook_entry[h] != info.underflow[h];
        if (rules || legacy_policy_drops(fd, &info, h)) {
            v->found = true;
            snprintf(v->why, v->len, "iptables chain %s of table filter has %s, which packets of the stack never meet" MEND,
                     chains[i].name, rules ? "rules" : "the policy DROP");
        }
    }
    close(fd);
    return 0;
}

bool host_has_filter_rules(char *why, size_t len)
{
    struct verdict v = {.why = why, .len = len};
    int rc = nft_has_rules(&v);
    if (rc == -EPROTONOSUPPORT || rc == -EOPNOTSUPP || rc == -EINVAL || rc == -ENOENT || rc == -EAFNOSUPPORT)
        rc = 0; /* this kernel has no nf_tables */
    if (!rc && !v.found)
        rc = legacy_has_rules(&v);
    if (!rc || v.found)
        return v.found;
    snprintf(why, len, "the firewall's rules cannot be read (%s), so there may be some that packets of the stack never meet" MEND,
             strerror(-rc));
    return true;
}
