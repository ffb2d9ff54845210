/* SPDX-License-Identifier: MIT */
/* Filter hooks: sluice rules for traffic that the host's own tables never see. First match wins. */

#include "tcp.h"
#include "../core/rcu.h"
#include "../core/spinlock.h"
#include "../core/trace.h"

struct nf_entry {
    struct rcu_free rcu; /* first */
    struct nf_rule rule; /* but its counters */
    _Atomic u64 packets, bytes;
    struct cds_list_head node;
};

int nf_init(struct net *net)
{
    struct nf_table *t = calloc(1, sizeof(*t));

    if (!t)
        return -ENOMEM;
    spin_lock_init(&t->lock);
    for (int h = 0; h < NF_HOOK_MAX; h++)
        CDS_INIT_LIST_HEAD(&t->rules[h]);
    net->nf = t;
    nf_reject_init(net);
    return 0;
}

static void nf_entry_free(struct rcu_free *f) { free(container_of(f, struct nf_entry, rcu)); }

void nf_flush(struct net *net)
{
    struct nf_table *t = net->nf;
    struct nf_entry *e, *next;

    spin_lock(&t->lock);
    for (int h = 0; h < NF_HOOK_MAX; h++) {
        cds_list_for_each_entry_safe(e, next, &t->rules[h], node) {
            cds_list_del_rcu(&e->node);
            net_call_rcu(net, &e->rcu, nf_entry_free);
        }
        atomic_store(&t->count[h], 0);
    }
    spin_unlock(&t->lock);
}

void nf_exit(struct net *net)
{
    struct nf_table *t = net->nf;

    if (!t)
        return;
    nf_flush(net);
    nf_reject_exit(net);
    net->nf = NULL;
    spin_lock_destroy(&t->lock);
    free(t);
}

int nf_add_rule(struct net *net, const struct nf_rule *rule)
{
    struct nf_table *t = net->nf;
    struct nf_entry *e;

    if ((unsigned)rule->hook >= NF_HOOK_MAX || rule->verdict > NF_VERDICT_REJECT || rule->reject_with >= NF_REJECT_MAX)
        return -EINVAL;
    e = calloc(1, sizeof(*e));
    if (!e)
        return -ENOMEM;
    e->rule = *rule;
    /* An address without a mask is that address. */
    if (e->rule.saddr && !e->rule.smask)
        e->rule.smask = 0xffffffff;
    if (e->rule.daddr && !e->rule.dmask)
        e->rule.dmask = 0xffffffff;
    spin_lock(&t->lock);
    cds_list_add_tail_rcu(&e->node, &t->rules[rule->hook]);
    atomic_fetch_add(&t->count[rule->hook], 1);
    spin_unlock(&t->lock);
    return 0;
}

bool nf_get_rule(struct net *net, enum nf_inet_hooks_ hook, unsigned n, struct nf_rule *rule)
{
    struct nf_entry *e;
    bool found = false;

    rcu_read_lock();
    cds_list_for_each_entry_rcu(e, &net->nf->rules[hook], node) {
        if (n-- == 0) {
            *rule = e->rule;
            rule->packets = atomic_load_explicit(&e->packets, memory_order_relaxed);
            rule->bytes = atomic_load_explicit(&e->bytes, memory_order_relaxed);
            found = true;
            break;
        }
    }
    rcu_read_unlock();
    return found;
}

/* Ports of TCP, UDP and SCTP lie at the same place; later fragments have none. Host order. */
static bool nf_ports(const struct sk_buff *skb, const struct iphdr *iph, u16 *sport, u16 *dport)
{
    __be16 buf[2];
    const __be16 *p;

    if ((iph->protocol != IPPROTO_TCP && iph->protocol != IPPROTO_UDP && iph->protocol != IPPROTO_SCTP) ||
        (iph->frag_off & htobe16(IP_OFFSET)))
        return false;
    p = skb_header_pointer(skb, (u32)skb_network_offset(skb) + iph->ihl * 4u, sizeof(buf), buf);
    if (!p)
        return false;
    *sport = be16toh(p[0]);
    *dport = be16toh(p[1]);
    return true;
}

static bool nf_match(const struct nf_rule *r, const struct sk_buff *skb)
{
    const struct iphdr *iph = ip_hdr(skb);
    u16 sport = 0, dport = 0;

    if ((r->proto && r->proto != iph->protocol) || (iph->saddr & r->smask) != (r->saddr & r->smask) ||
        (iph->daddr & r->dmask) != (r->daddr & r->dmask))
        return false;
    if (!r->sport && !r->dport)
        return true;
    return nf_ports(skb, iph, &sport, &dport) && (!r->sport || r->sport == sport) && (!r->dport || r->dport == dport);
}

/* The first rule that matches decides, none accepts. *with: how a reject is told. */
static int nf_verdict(struct nf_table *t, enum nf_inet_hooks_ hook, struct sk_buff *skb, u8 *with)
{
    int verdict = NF_VERDICT_ACCEPT;
    struct nf_entry *e;

    rcu_read_lock();
    cds_list_for_each_entry_rcu(e, &t->rules[hook], node) {
        if (nf_match(&e->rule, skb)) {
            atomic_fetch_add_explicit(&e->packets, 1, memory_order_relaxed);
            atomic_fetch_add_explicit(&e->bytes, skb->len, memory_order_relaxed);
            verdict = e->rule.verdict;
            *with = e->rule.reject_with;
            break;
        }
    }
    rcu_read_unlock();
    return verdict;
}

int nf_hook_slow(enum nf_inet_hooks_ hook, struct net *net, struct sock *sk, struct sk_buff *skb,
                 int (*okfn)(struct net *, struct sock *, struct sk_buff *))
{
    u8 with = NF_REJECT_AUTO;
    int verdict = nf_verdict(net->nf, hook, skb, &with);

    if (verdict == NF_VERDICT_ACCEPT)
        return WALK(okfn(net, sk, skb));
    if (verdict == NF_VERDICT_REJECT)
        nf_reject(skb, hook, with);
    kfree_skb_reason(skb, SKB_DROP_REASON_NETFILTER_DROP);
    return -EPERM;
}
