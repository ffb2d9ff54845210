/* SPDX-License-Identifier: MIT */
#ifndef SLUICE_IPV4_IP_H
#define SLUICE_IPV4_IP_H
/* IPv4 (RFC 791, 1122): output, input, fragmentation, filter hooks. */

#include "../core/sock.h"
#include "route.h"
#include "../core/spinlock.h"
#include "../core/trace.h"
#include <linux/ip.h>
#include <netinet/in.h>

#define IPV4_MIN_MTU 68
#define IP_CE 0x8000
#define IP_DF 0x4000
#define IP_MF 0x2000
#define IP_OFFSET 0x1fff
#define INET_ECN_NOT_ECT 0
#define INET_ECN_ECT_1 1
#define INET_ECN_ECT_0 2
#define INET_ECN_CE 3
#define INET_ECN_MASK 3

struct ip_options {
    __be32 faddr; /* first hop of a source route, 0: none */
    __be32 nexthop;
    u8 optlen; /* bytes, multiple of 4 */
    u8 srr, rr, ts, router_alert, is_strictroute;
    u8 data[40];
};

struct inet_skb_parm { /* skb->cb while in IP; TCP_SKB_CB keeps it at the same place */
    int iif;
    u8 optlen;
    u16 flags;
    u16 frag_max_size;
};
#define IPCB(skb) ((struct inet_skb_parm *)(skb)->cb)

static inline struct iphdr *ip_hdr(const struct sk_buff *skb) { return (struct iphdr *)skb_network_header(skb); }

/* Role: send a transport packet of a connected socket: route (cached in sk), header, out.
 * skb->data at the transport header; takes it over. 0 or NET_XMIT_* or -errno. Socket lock held. */
int ip_queue_xmit(struct sock *sk, struct sk_buff *skb);
/* Role: as above without a full socket (SYN-ACK, time-wait and reset answers). rt is not consumed. */
int ip_build_and_send_pkt(struct sk_buff *skb, struct net *net, struct sock *sk, struct rtable *rt, __be32 saddr,
                          __be32 daddr, const struct ip_options *opt, u8 tos, u8 ttl);
/* Role: as above for a packet without a socket (ICMP, TCP resets): protocol by hand, ident 0 with DF.
 * skb->data at the transport header; takes skb over, not rt. */
int ip_send_unicast(struct sk_buff *skb, struct net *net, struct rtable *rt, __be32 saddr, __be32 daddr, u8 proto,
                    u8 tos, u8 ttl, bool df);
int ip_local_out(struct net *net, struct sock *sk, struct sk_buff *skb);
int ip_output(struct net *net, struct sock *sk, struct sk_buff *skb); /* dst.output */
int ip_rcv(struct sk_buff *skb, struct net_device *dev);              /* packet_type */
int ip_local_deliver(struct sk_buff *skb);                            /* dst.input */
/* Fragment skb and send each by output(); takes it over. */
int ip_do_fragment(struct net *net, struct sock *sk, struct sk_buff *skb,
                   int (*output)(struct net *, struct sock *, struct sk_buff *));
/* Reassembly: the whole datagram, or NULL (kept or dropped). Takes skb over. */
struct sk_buff *ip_defrag(struct net *net, struct sk_buff *skb);
int ipfrag_init(struct net *net);
void ipfrag_exit(struct net *net);
/* Bytes of reassembly memory in use (tests, limits). */
long ipfrag_mem(struct net *net);
/* Parse received or user options; 0 or -EINVAL. data is copied; len at most 40, a multiple of 4. */
int ip_options_compile(struct ip_options *opt, const u8 *data, int len);
/* As given by a program (IP_OPTIONS): padded, a source route's first hop taken out to opt->faddr.
 * *res: allocated, NULL for len 0. 0, -EINVAL, -ENOMEM */
int ip_options_get(struct ip_options **res, const u8 *data, int len);
/* Back to the form in which the program gave them; returns the length, at most 40. */
int ip_options_undo(const struct ip_options *opt, u8 *data);
/* Write them behind the 20 bytes of the header at skb's network header (ihl is the caller's). */
void ip_options_build(struct sk_buff *skb, const struct ip_options *opt, __be32 daddr);
/* Options of a fragment other than the first: what must not be copied becomes NOP (RFC 791 3.1). */
void ip_options_fragment(u8 *data, int len);

/* The transport protocols of IPv4. */
struct net_protocol {
    int (*handler)(struct sk_buff *skb);              /* takes over; data at the transport header */
    int (*err_handler)(struct sk_buff *skb, u32 info); /* ICMP: data at the inner IP header; not taken over.
                                                          icmp type/code via icmp_hdr() */
};
int inet_add_protocol(const struct net_protocol *prot, u8 protocol);
/* NULL when there is none. */
const struct net_protocol *inet_find_protocol(u8 protocol);
/* Registers ip_rcv, arp_rcv, ICMP, TCP and the inet family; idempotent; before the first net_alloc(). */
void inet_init(void);
void arp_init(void);
void icmp_init(void);
void tcp_v4_init(void);
/* Per-net state of the IPv4 layers; 0 or -ENOMEM (nothing left behind). */
int inet_net_init(struct net *net);
void inet_net_exit(struct net *net);

/* ---- netfilter.c ------------------------------------------------------------------------------------- */

enum nf_inet_hooks_ { NF_LOCAL_IN = 0, NF_LOCAL_OUT, NF_POST_ROUTING, NF_HOOK_MAX };
enum { NF_VERDICT_DROP = 0, NF_VERDICT_ACCEPT = 1, NF_VERDICT_REJECT = 2 };
/* How a reject is told (iptables-extensions(8), REJECT). AUTO: a reset for TCP, else port unreachable. */
enum { NF_REJECT_AUTO = 0, NF_REJECT_RESET, NF_REJECT_PORT, NF_REJECT_HOST, NF_REJECT_NET, NF_REJECT_ADMIN, NF_REJECT_MAX };
struct nf_table {
    spinlock_t lock; /* writers of rules and count; the queue `rejected`. Nothing nests in it */
    struct cds_list_head rules[NF_HOOK_MAX]; /* nf_entry.node; RCU: written under lock, read anywhere */
    _Atomic u32 count[NF_HOOK_MAX];          /* 0: the hook costs one load */
    struct sk_buff_head rejected;            /* the beginnings of our own packets whose senders are to be told */
    struct timer_list reject_timer;          /* does so, with no lock held */
};
struct nf_rule { /* 0 in a field: any */
    enum nf_inet_hooks_ hook;
    __be32 saddr, smask, daddr, dmask;
    u16 sport, dport; /* host order */
    u8 proto;
    u8 verdict;
    u8 reject_with;     /* NF_REJECT_* */
    u32 line;           /* of the file it came from, for people; 0: none */
    u64 packets, bytes; /* that it decided about, as nf_get_rule() tells them */
};
int nf_init(struct net *net);
void nf_exit(struct net *net);
/* Append a rule; first match wins, no match accepts. 0 or -ENOMEM. */
int nf_add_rule(struct net *net, const struct nf_rule *rule);
void nf_flush(struct net *net);
/* Copy the hook's rule number n with its counters. False: there are not so many. */
bool nf_get_rule(struct net *net, enum nf_inet_hooks_ hook, unsigned n, struct nf_rule *rule);
/* Role: tell the sender of a packet that a rule rejects: the peer at LOCAL_IN (at once), our own socket at LOCAL_OUT
 * (soon, without locks: as Linux's answer that comes back through lo). skb stays the caller's. nf_reject.c */
void nf_reject(struct sk_buff *skb, enum nf_inet_hooks_ hook, u8 with);
void nf_reject_init(struct net *net);
void nf_reject_exit(struct net *net);
/* Role: run the hook; when it accepts, okfn(net, sk, skb) and its value; else skb is dropped: -EPERM. */
int nf_hook_slow(enum nf_inet_hooks_ hook, struct net *net, struct sock *sk, struct sk_buff *skb,
                 int (*okfn)(struct net *, struct sock *, struct sk_buff *));
static inline int nf_hook(enum nf_inet_hooks_ hook, struct net *net, struct sock *sk, struct sk_buff *skb,
                          int (*okfn)(struct net *, struct sock *, struct sk_buff *))
{
    if (likely(!atomic_load_explicit(&net->nf->count[hook], memory_order_relaxed)))
        return WALK(okfn(net, sk, skb));
    return nf_hook_slow(hook, net, sk, skb, okfn);
}

/* ---- icmp.c ------------------------------------------------------------------------------------------ */

/* Send an ICMP error about skb_in (not taken over), rate limited (RFC 1812 4.3.2.8). On a shared address the kernel
 * answers for what is nobody's: icmp_send() sends on an address of our own only. */
void icmp_send(struct sk_buff *skb_in, int type, int code, __be32 info);
void __icmp_send(struct sk_buff *skb_in, int type, int code, __be32 info);
/* Role: the protocol that sent skb (not taken over; at its IP header) hears what an ICMP destination unreachable of
 * this code would tell it. Without locks. */
void icmp_local_unreach(const struct sk_buff *skb, struct net_device *dev, u8 code);
struct icmphdr;
static inline struct icmphdr *icmp_hdr(const struct sk_buff *skb) { return (struct icmphdr *)skb_transport_header(skb); }
struct icmp_err {
    int errno_;
    bool fatal;
};
extern const struct icmp_err icmp_err_convert[]; /* by code of ICMP_DEST_UNREACH */

/* True at most once in 10 s: for warnings about what others send, which they must not be able to multiply. */
bool ip_warn_ratelimit(struct net *net);
int icmp_net_init(struct net *net);
void icmp_net_exit(struct net *net);

/* ---- arp.c -------------------------------------------------------------------------------------------- */

int arp_rcv(struct sk_buff *skb, struct net_device *dev);
/* Role: ask whether anybody has this address, which is to become ours (RFC 5227 2.1); one ARP probe for each call. Until
 * arp_announce() nobody is told that we have it. */
void arp_probe(struct net_device *dev, __be32 addr);
/* Has somebody else said so since, or asked the same? */
bool arp_probe_conflict(struct net *net);
/* Announce our address, now and 2 s later (RFC 5227 2.3), and defend it from now on. */
void arp_announce(struct net_device *dev, __be32 addr);
int arp_net_init(struct net *net);
void arp_net_exit(struct net *net);
struct arp_packet { /* Ethernet and IPv4 (RFC 826) */
    __be16 ar_hrd, ar_pro;
    u8 ar_hln, ar_pln;
    __be16 ar_op;
    u8 ar_sha[ETH_ALEN];
    u8 ar_sip[4];
    u8 ar_tha[ETH_ALEN];
    u8 ar_tip[4];
} __attribute__((packed));

/* ---- ip_sockglue.c: SOL_IP ------------------------------------------------------------------------------ */

int ip_setsockopt(struct sock *sk, int level, int optname, const void *optval, socklen_t len);
int ip_getsockopt(struct sock *sk, int level, int optname, void *optval, socklen_t *len);

#endif
