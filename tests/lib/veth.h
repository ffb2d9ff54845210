/* SPDX-License-Identifier: MIT */
#ifndef SLUICE_TESTS_VETH_H
#define SLUICE_TESTS_VETH_H
/* A fixture for driver tests: this process in a network namespace of its own, with one end of a veth pair
 * (sl0, 10.9.0.1/24); the other end (sl1, 10.9.0.2/24) in a second namespace, which a child process holds. */

#include "../../stack/core/net.h"
#include "../../stack/core/netdevice.h"

struct veth {
    struct net *net;  /* an instance with the real clock and no protocols */
    int ifindex;      /* of sl0 */
    int raw;          /* AF_PACKET socket on sl1, gets everything; -1 until veth_raw() */
    int peer_ns;      /* descriptor of the peer's namespace */
    int own_ns;
    int child;        /* holds it */
    u8 mac[2][6];     /* of sl0, sl1 */
};

/* NULL: not root, or no namespaces here; the test is to be skipped. Any other failure ends the test. */
struct veth *veth_up(void);
void veth_down(struct veth *v);
/* A socket made in the peer's namespace. */
int veth_peer_socket(struct veth *v, int domain, int type, int proto);
void veth_raw(struct veth *v);
/* Send a frame from the peer; receive one at the peer within ms that is IPv4 of that protocol (0: any), with
 * the virtio_net_hdr in front when that is wanted. */
void veth_send(struct veth *v, const void *frame, size_t len);
ssize_t veth_recv(struct veth *v, void *frame, size_t room, int proto, int ms);

/* What the stack received: IPv4 and ARP frames, oldest first; the caller ends the sk_buff. NULL: nothing
 * within ms. */
struct sk_buff *veth_rx(struct veth *v, int ms);

/* Write Ethernet + IPv4 + TCP headers (no options) for len bytes of payload from peer to us (or the other way
 * round with `out`), checksums complete. frame has 54 + len bytes, the payload is there already. Returns the
 * frame's length. */
struct seg {
    const char *src, *dst;
    u16 sport, dport;
    u8 flags;
    u32 seq;
    u32 len;
};
u32 veth_tcp(struct veth *v, u8 *frame, const struct seg *s, bool out);

#endif
