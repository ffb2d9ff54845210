/* SPDX-License-Identifier: MIT */
#ifndef SLUICE_NETDEV_STEER_MAPS_H
#define SLUICE_NETDEV_STEER_MAPS_H
/* Keys and values of the steering program's maps: shared by steer.bpf.c and steer.c. Addresses and ports
 * in network order. Included by a BPF program, so plain __u types only. */

#include <linux/types.h>

struct steer_flow { /* map flows: exact 4-tuples that are ours (struct flow_key of net.h) */
    __u32 laddr, raddr;
    __u16 lport, rport;
};
struct steer_listener { /* map listeners; laddr 0: any address in map locals */
    __u32 laddr;
    __u16 lport, zero;
};
enum { STEER_LISTENS = 1, STEER_PARKED = 2 }; /* values of listeners; parked: the kernel's twin serves it */
struct steer_frag { /* map frags: datagrams whose first fragment was ours (RFC 791: src, dst, proto, id) */
    __u32 saddr, daddr;
    __u16 id, zero;
};

#define STEER_ARP_FRAME 42 /* Ethernet 14 + ARP for IPv4 over Ethernet 28 (RFC 826) */
struct steer_arp {         /* map arps: replies that the kernel got as well */
    __u32 ifindex;
    __u8 frame[STEER_ARP_FRAME];
    __u8 zero[2];
};

/* One list: why a frame went where it went. PASS, KERNEL_SOCKET and ARP_COPY stay with the
 * kernel. */
#define STEER_VERDICT_LIST(X)                                                                                \
    X(PASS, "passed: not ours")                                                                              \
    X(KERNEL_SOCKET, "passed: port is shared, the kernel has this connection")                               \
    X(FLOW, "ours: exact 4-tuple")                                                                           \
    X(LISTEN_SYN, "ours: SYN to a listener")                                                                 \
    X(LISTEN_SEGMENT, "ours: segment to a listener's port, unknown to the kernel")                           \
    X(FRAGMENT, "ours: later fragment of a datagram of ours")                                                \
    X(ICMP, "ours: ICMP error about a flow of ours")                                                         \
    X(OWN_ADDRESS, "ours: to an address of our own")                                                         \
    X(ARP_COPY, "passed, and copied to us: ARP reply")

enum steer_verdict {
#define X(name, text) STEER_##name,
    STEER_VERDICT_LIST(X)
#undef X
        __STEER_MAX
};

#endif
