/* SPDX-License-Identifier: MIT */
/* The steering program: which frames of a device are ours. Runs in the kernel for every received frame,
 * before the kernel's own stack. What it does not claim it passes, so the host's address and ports stay
 * shared; and where no AF_XDP socket stands behind the queue (the process is gone) bpf_redirect_map()
 * falls back to XDP_PASS as well.
 *
 * A frame may have more buffers than the one at data..data_end (multi-buffer XDP); the headers are usually
 * all in the first, and load() fetches them from elsewhere when not. */

#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/tcp.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>
#include "steer_maps.h"

#define IP_MF 0x2000
#define IP_OFFSET 0x1fff
#define ICMP_DEST_UNREACH 3
#define ICMP_TIME_EXCEEDED 11
#define ICMP_PARAMETERPROB 12
#define ARPOP_REPLY 2

struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(map_flags, BPF_F_NO_PREALLOC);
    __uint(max_entries, 131072);
    __type(key, struct steer_flow);
    __type(value, __u8);
} flows SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(map_flags, BPF_F_NO_PREALLOC);
    __uint(max_entries, 4096);
    __type(key, struct steer_listener);
    __type(value, __u8);
} listeners SEC(".maps");

struct { /* the host's own addresses: what "any address" of a listener means */
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(map_flags, BPF_F_NO_PREALLOC);
    __uint(max_entries, 4096);
    __type(key, __u32);
    __type(value, __u8);
} locals SEC(".maps");

struct { /* addresses that sluice alone serves (own-address mode) */
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(map_flags, BPF_F_NO_PREALLOC);
    __uint(max_entries, 64);
    __type(key, __u32);
    __type(value, __u8);
} owns SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_LRU_HASH);
    __uint(max_entries, 1024);
    __type(key, struct steer_frag);
    __type(value, __u8);
} frags SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_RINGBUF);
    __uint(max_entries, 65536);
} arps SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
    __uint(max_entries, __STEER_MAX);
    __type(key, __u32);
    __type(value, __u64);
} verdicts SEC(".maps");

struct { /* of one device, by receive queue */
    __uint(type, BPF_MAP_TYPE_XSKMAP);
    __uint(max_entries, 64);
    __type(key, __u32);
    __type(value, __u32);
} xsks SEC(".maps");

/* Bytes off..off+len of the frame, wherever they lie. len is a constant. 0, or not when beyond the end. */
static __always_inline int load(struct xdp_md *ctx, __u32 off, void *to, __u32 len)
{
    void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;

    if (off > 512)
        return -1;
    if (data + off + len <= end) {
        __builtin_memcpy(to, data + off, len);
        return 0;
    }
    return (int)bpf_xdp_load_bytes(ctx, off, to, len);
}

static __always_inline int is_local(__u32 addr) { return bpf_map_lookup_elem(&locals, &addr) != 0; }

/* Whose is a TCP segment raddr:rport -> laddr:lport? `syn`: it opens a connection. */
static __always_inline int tcp_verdict(struct xdp_md *ctx, const struct steer_flow *f, int syn)
{
    struct steer_listener l = {.laddr = f->laddr, .lport = f->lport};
    struct bpf_sock_tuple t;
    struct bpf_sock *sk;
    __u8 *how;

    if (bpf_map_lookup_elem(&flows, f))
        return STEER_FLOW;
    how = bpf_map_lookup_elem(&listeners, &l);
    if (!how) {
        l.laddr = 0;
        how = bpf_map_lookup_elem(&listeners, &l);
        if (!how || !is_local(f->laddr))
            return STEER_PASS;
    }
    if (*how == STEER_PARKED)
        return STEER_PASS;

    /* The port is served by both worlds: the kernel has connections there that came by way of another device, from
     * before us, while we were parked (a SYN may be one of those again), or handed over. Its listening socket (our
     * twin) does not count. */
    __builtin_memset(&t, 0, sizeof(t));
    t.ipv4.saddr = f->raddr;
    t.ipv4.daddr = f->laddr;
    t.ipv4.sport = f->rport;
    t.ipv4.dport = f->lport;
    sk = bpf_skc_lookup_tcp(ctx, &t, sizeof(t.ipv4), BPF_F_CURRENT_NETNS, 0);
    if (sk) {
        __u32 state = sk->state;

        bpf_sk_release(sk);
        if (state != BPF_TCP_LISTEN)
            return STEER_KERNEL_SOCKET;
    }
    return syn ? STEER_LISTEN_SYN : STEER_LISTEN_SEGMENT;
}

/* ICMP errors belong to whom the packet belonged that they are about: the inner header's source is us. */
static __always_inline int icmp_verdict(struct xdp_md *ctx, __u32 off)
{
    struct steer_flow f;
    struct iphdr inner;
    __u16 ports[2];
    __u8 type;

    if (load(ctx, off, &type, 1))
        return STEER_PASS;
    if (type != ICMP_DEST_UNREACH && type != ICMP_TIME_EXCEEDED && type != ICMP_PARAMETERPROB)
        return STEER_PASS;
    off += 8;
    if (load(ctx, off, &inner, sizeof(inner)) || inner.version != 4 || inner.ihl < 5 ||
        inner.protocol != IPPROTO_TCP || (inner.frag_off & bpf_htons(IP_OFFSET)))
        return STEER_PASS;
    if (load(ctx, off + inner.ihl * 4, ports, sizeof(ports)))
        return STEER_PASS;
    f.laddr = inner.saddr;
    f.raddr = inner.daddr;
    f.lport = ports[0];
    f.rport = ports[1];
    switch (tcp_verdict(ctx, &f, 0)) {
    case STEER_FLOW:
    case STEER_LISTEN_SEGMENT:
        return STEER_ICMP;
    default:
        return STEER_PASS;
    }
}

static __always_inline int ip_verdict(struct xdp_md *ctx)
{
    struct steer_frag fk = {};
    struct steer_flow f;
    struct iphdr ip;
    __u8 hdr[14]; /* ports, sequence numbers, offset, flags */
    __u32 off = sizeof(struct ethhdr);
    int v, more, later;

    if (load(ctx, off, &ip, sizeof(ip)) || ip.version != 4 || ip.ihl < 5)
        return STEER_PASS;
    if (bpf_map_lookup_elem(&owns, &ip.daddr))
        return STEER_OWN_ADDRESS;
    off += ip.ihl * 4;
    later = (ip.frag_off & bpf_htons(IP_OFFSET)) != 0;
    more = (ip.frag_off & bpf_htons(IP_MF)) != 0;
    if (ip.protocol == IPPROTO_ICMP)
        return later ? STEER_PASS : icmp_verdict(ctx, off);
    if (ip.protocol != IPPROTO_TCP)
        return STEER_PASS;
    fk.saddr = ip.saddr;
    fk.daddr = ip.daddr;
    fk.id = ip.id;
    if (later) /* no ports in it. One that overtook the first fragment is the kernel's, and TCP resends */
        return bpf_map_lookup_elem(&frags, &fk) ? STEER_FRAGMENT : STEER_PASS;
    if (load(ctx, off, hdr, sizeof(hdr)))
        return STEER_PASS;
    f.laddr = ip.daddr;
    f.raddr = ip.saddr;
    __builtin_memcpy(&f.rport, hdr, 2);
    __builtin_memcpy(&f.lport, hdr + 2, 2);
    v = tcp_verdict(ctx, &f, (hdr[13] & 0x12) == 0x02);
    if (more && v > STEER_KERNEL_SOCKET) {
        __u8 one = 1;

        bpf_map_update_elem(&frags, &fk, &one, BPF_ANY);
    }
    return v;
}

/* Shared address: the kernel answers ARP, and what is answered to it is news for us too. */
static __always_inline int arp_verdict(struct xdp_md *ctx)
{
    struct steer_arp *a;
    __u8 frame[STEER_ARP_FRAME];
    __u32 tpa;

    if (load(ctx, 0, frame, sizeof(frame)))
        return STEER_PASS;
    __builtin_memcpy(&tpa, frame + 38, 4);
    if (bpf_map_lookup_elem(&owns, &tpa))
        return STEER_OWN_ADDRESS;
    if (frame[20] != 0 || frame[21] != ARPOP_REPLY)
        return STEER_PASS;
    a = bpf_ringbuf_reserve(&arps, sizeof(*a), 0);
    if (!a)
        return STEER_PASS;
    a->ifindex = ctx->ingress_ifindex;
    __builtin_memcpy(a->frame, frame, sizeof(frame));
    a->zero[0] = a->zero[1] = 0;
    bpf_ringbuf_submit(a, 0);
    return STEER_ARP_COPY;
}

SEC("xdp.frags")
int steer(struct xdp_md *ctx)
{
    __u16 proto;
    __u32 v = STEER_PASS;
    __u64 *n;

    if (load(ctx, 12, &proto, sizeof(proto)))
        return XDP_PASS;
    if (proto == bpf_htons(ETH_P_IP))
        v = ip_verdict(ctx);
    else if (proto == bpf_htons(ETH_P_ARP))
        v = arp_verdict(ctx);
    n = bpf_map_lookup_elem(&verdicts, &v);
    if (n)
        ++*n;
    if (v > STEER_KERNEL_SOCKET && v != STEER_ARP_COPY)
        return bpf_redirect_map(&xsks, ctx->rx_queue_index, XDP_PASS);
    return XDP_PASS;
}

/* bpf_skc_lookup_tcp() and others are for programs under a licence that the kernel calls compatible. */
char _license[] SEC("license") = "Dual MIT/GPL";
