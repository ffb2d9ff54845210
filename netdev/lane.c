/* SPDX-License-Identifier: MIT */
/* The GSO lane: an AF_PACKET socket over which a large sk_buff goes to the device as one frame
 * (packet(7), PACKET_VNET_HDR). AF_XDP has no TSO; where the kernel copies every frame anyway, one copy of
 * 64 KiB that the device or the peer's stack segments is an order of magnitude cheaper than 45 frames. */

#include "af_xdp_priv.h"
#include "highfd.h"
#include <linux/if_packet.h>
#include <linux/virtio_net.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#ifndef PACKET_QDISC_BYPASS
#define PACKET_QDISC_BYPASS 20
#endif

int lane_open(struct lane *l, int ifindex)
{
    /* Protocol 0: the socket receives nothing. */
    struct sockaddr_ll ll = {.sll_family = AF_PACKET, .sll_protocol = 0, .sll_ifindex = ifindex};
    int on = 1, sndbuf = 16 << 20, err;

    l->fd = highfd_move(socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0));
    if (l->fd < 0) {
        err = -errno;
        l->fd = -1;
        return err;
    }
    if (setsockopt(l->fd, SOL_PACKET, PACKET_VNET_HDR, &on, sizeof(on)) ||
        setsockopt(l->fd, SOL_PACKET, PACKET_QDISC_BYPASS, &on, sizeof(on)) ||
        bind(l->fd, (struct sockaddr *)&ll, sizeof(ll))) {
        err = -errno;
        lane_close(l);
        return err;
    }
    if (setsockopt(l->fd, SOL_SOCKET, SO_SNDBUFFORCE, &sndbuf, sizeof(sndbuf)))
        setsockopt(l->fd, SOL_SOCKET, SO_SNDBUF, &sndbuf, sizeof(sndbuf));
    return 0;
}

void lane_close(struct lane *l)
{
    if (l->fd >= 0)
        close(l->fd);
    l->fd = -1;
}

bool lane_ready(const struct lane *l, u64 now) { return l->fd >= 0 && now >= l->refused_until; }

void lane_refused(struct lane *l, u64 now)
{
    l->refused_for = l->refused_for ? min(l->refused_for * 2, 60 * NSEC_PER_SEC) : NSEC_PER_SEC;
    l->refused_until = now + l->refused_for;
}

static void lane_header(struct virtio_net_hdr *h, const struct sk_buff *skb)
{
    const struct skb_shared_info *si = skb_shinfo(skb);

    memset(h, 0, sizeof(*h));
    if (skb->ip_summed == CHECKSUM_PARTIAL) {
        h->flags = VIRTIO_NET_HDR_F_NEEDS_CSUM;
        h->csum_start = (u16)(skb->csum_start - skb_headroom(skb));
        h->csum_offset = skb->csum_offset;
    }
    if (si->gso_size) {
        u32 th = skb->transport_header - skb_headroom(skb);

        h->gso_type = VIRTIO_NET_HDR_GSO_TCPV4;
        if (si->gso_type & SKB_GSO_TCP_ECN)
            h->gso_type |= VIRTIO_NET_HDR_GSO_ECN;
        h->gso_size = si->gso_size;
        h->hdr_len = (u16)(th + (skb_transport_header(skb)[12] >> 4) * 4u);
    }
}

int lane_xmit(struct lane *l, const struct sk_buff *skb)
{
    const struct skb_shared_info *si = skb_shinfo(skb);
    struct iovec iov[2 + MAX_SKB_FRAGS];
    struct virtio_net_hdr h;
    struct msghdr msg = {.msg_iov = iov, .msg_iovlen = 2u + si->nr_frags};
    u32 i;

    if (l->fd < 0)
        return -EOPNOTSUPP;
    lane_header(&h, skb);
    iov[0] = (struct iovec){&h, sizeof(h)};
    iov[1] = (struct iovec){skb->data, skb_headlen(skb)};
    for (i = 0; i < si->nr_frags; i++)
        iov[2 + i] = (struct iovec){skb_frag_address(&si->frags[i]), si->frags[i].size};
    if (sendmsg(l->fd, &msg, MSG_DONTWAIT | MSG_NOSIGNAL) >= 0)
        return 0;
    switch (errno) {
    case EAGAIN:  /* our send buffer */
    case ENOBUFS: /* the far queue dropped it: nothing of it has arrived */
    case EINTR:
        return -EAGAIN;
    default:
        return -errno;
    }
}
