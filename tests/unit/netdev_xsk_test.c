/* SPDX-License-Identifier: MIT */
/* The AF_XDP driver on a real veth pair: steering, receive, both ways of transmit, and leaving no trace. */

#include "../../netdev/af_xdp.h"
#include "../../netdev/pcap.h"
#include "../../netdev/rtnl.h"
#include "../../netdev/steer_maps.h"
#include "../../stack/core/checksum.h"
#include "../lib/veth.h"
#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define PORT 7000

static struct veth *v;
static struct net_device *dev;
static u8 frame[70000];

static bool up(const struct af_xdp_config *cfg)
{
    const char *why;

    v = veth_up();
    if (!v)
        return false;
    v->net->steer_ops = &af_xdp_steer_ops;
    cr_assert_eq(af_xdp_init(v->net, cfg, &why), 0, "init: %s", why);
    cr_assert_eq(af_xdp_open(v->net, v->ifindex, &dev, &why), 0, "open: %s", why);
    veth_raw(v);
    return true;
}

/* Every chunk and slot home, no program left on the device. */
static void down(void)
{
    struct page_pool *pool = v->net->tx_pool;

    af_xdp_close(dev);
    cr_assert_eq(pool->outstanding, 0, "%ld transmit slots not home", (long)pool->outstanding);
    cr_assert_eq(v->net->skb_count, 0, "%ld sk_buffs left", (long)v->net->skb_count);
    cr_assert_neq(system("ip -d link show dev sl0 | grep -q xdp"), 0, "a program is left on the device");
    af_xdp_exit(v->net);
    cr_assert_null(v->net->tx_pool);
    rtnl_exit(v->net);
    veth_down(v);
}

#define NEED(cfg)                                                                                            \
    if (!up(cfg))                                                                                            \
    cr_skip_test("needs root and network namespaces")

static struct seg to_us(u16 sport, u16 dport, u8 flags)
{
    return (struct seg){.src = "10.9.0.2", .dst = "10.9.0.1", .sport = sport, .dport = dport, .flags = flags,
                        .seq = 0xfffffff0u};
}

/* The next IPv4 frame: the kernel's own ARP brings replies too. */
static struct sk_buff *rx_ip(int ms)
{
    struct sk_buff *skb;

    while ((skb = veth_rx(v, ms)) && skb->protocol != htobe16(ETH_P_IP))
        consume_skb(skb);
    return skb;
}

static bool arrives(const struct seg *s)
{
    u32 n = veth_tcp(v, frame, s, false);
    struct sk_buff *skb;
    bool same;

    veth_send(v, frame, n);
    skb = rx_ip(100);
    if (!skb)
        return false;
    same = skb->len == n && !memcmp(skb->data, frame, n);
    consume_skb(skb);
    cr_assert(same, "what arrives is what was sent");
    return true;
}

static u64 verdicts(int which)
{
    u64 n[__STEER_MAX] = {0};

    cr_assert_eq(af_xdp_steer_stats(v->net, n, __STEER_MAX), __STEER_MAX);
    return n[which];
}

#define ACK 0x10
#define SYN 0x02

Test(netdev_xsk, mode_on_veth_is_generic_multi_buffer, .timeout = 30)
{
    NEED(NULL);
    cr_assert_str_eq(af_xdp_mode_name(dev), "generic, multi-buffer");
    cr_assert(dev->features & NETIF_F_NOWIRE);
    cr_assert(dev_has_addr(dev, inet_addr("10.9.0.1")));
    down();
}

Test(netdev_xsk, only_registered_flows_arrive, .timeout = 30)
{
    struct flow_key k = {.laddr = inet_addr("10.9.0.1"), .raddr = inet_addr("10.9.0.2"), .lport = htobe16(PORT),
                         .rport = htobe16(999)};
    struct seg s = to_us(999, PORT, ACK);

    NEED(NULL);
    cr_assert_not(arrives(&s), "unregistered: the kernel's");
    cr_assert_eq(v->net->steer_ops->add_flow(v->net, &k), 0);
    cr_assert(arrives(&s));
    s.sport++;
    cr_assert_not(arrives(&s), "another port: the kernel's");
    s.sport--;
    v->net->steer_ops->del_flow(v->net, &k);
    cr_assert_not(arrives(&s), "removed: the kernel's");
    cr_assert_eq(verdicts(STEER_FLOW), 1);
    down();
}

Test(netdev_xsk, listener_takes_syns_of_local_addresses, .timeout = 30)
{
    struct seg s = to_us(999, PORT, SYN);

    NEED(NULL);
    cr_assert_eq(v->net->steer_ops->add_listener(v->net, 0, htobe16(PORT), false), 0);
    cr_assert(arrives(&s));
    s.flags = ACK;
    cr_assert(arrives(&s), "a segment that the kernel has no socket for");
    s.flags = SYN;
    s.dst = "10.9.0.77";
    cr_assert_not(arrives(&s), "not an address of this host");
    s.dst = "10.9.0.1";
    v->net->steer_ops->add_listener(v->net, 0, htobe16(PORT), false);
    v->net->steer_ops->del_listener(v->net, 0, htobe16(PORT));
    cr_assert(arrives(&s), "one of two listeners is left");
    v->net->steer_ops->del_listener(v->net, 0, htobe16(PORT));
    cr_assert_not(arrives(&s));
    cr_assert_eq(verdicts(STEER_LISTEN_SYN), 2);
    cr_assert_eq(verdicts(STEER_LISTEN_SEGMENT), 1);
    down();
}

Test(netdev_xsk, parked_listener_leaves_all_but_flows_to_the_kernel, .timeout = 30)
{
    struct flow_key k = {.laddr = inet_addr("10.9.0.1"), .raddr = inet_addr("10.9.0.2"), .lport = htobe16(PORT),
                         .rport = htobe16(1000)};
    struct seg s = to_us(999, PORT, SYN);

    NEED(NULL);
    v->net->steer_ops->add_listener(v->net, 0, htobe16(PORT), false);
    v->net->steer_ops->add_listener(v->net, k.laddr, htobe16(PORT), true);
    cr_assert_not(arrives(&s), "also where another one listens at any address");
    s.flags = ACK;
    cr_assert_not(arrives(&s));
    v->net->steer_ops->add_flow(v->net, &k);
    s.sport = 1000;
    cr_assert(arrives(&s), "a handshake that was begun before");
    s.sport = 999;
    s.flags = SYN;
    v->net->steer_ops->park_listener(v->net, k.laddr, htobe16(PORT), false);
    cr_assert(arrives(&s));
    v->net->steer_ops->park_listener(v->net, k.laddr, htobe16(PORT), true);
    cr_assert_not(arrives(&s));
    down();
}

Test(netdev_xsk, kernel_connections_at_a_shared_port_stay, .timeout = 30)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htobe16(PORT), .sin_addr.s_addr = inet_addr("10.9.0.1")};
    struct timeval tv = {.tv_sec = 5};
    struct seg s = to_us(999, PORT, SYN);
    socklen_t len = sizeof(a);
    int l, c, k;
    char b[8];

    NEED(NULL);
    l = socket(AF_INET, SOCK_STREAM, 0);
    cr_assert_eq(bind(l, (struct sockaddr *)&a, sizeof(a)), 0);
    cr_assert_eq(listen(l, 5), 0);
    c = veth_peer_socket(v, AF_INET, SOCK_STREAM, 0);
    setsockopt(c, SOL_SOCKET, SO_SNDTIMEO, &tv, sizeof(tv));
    cr_assert_eq(connect(c, (struct sockaddr *)&a, sizeof(a)), 0);
    k = accept(l, NULL, NULL);
    cr_assert_geq(k, 0);
    setsockopt(k, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv));
    cr_assert_eq(v->net->steer_ops->add_listener(v->net, a.sin_addr.s_addr, a.sin_port, false), 0);
    cr_assert_eq(write(c, "hello", 5), 5);
    cr_assert_eq(read(k, b, sizeof(b)), 5, "the kernel's connection goes on");
    cr_assert_gt(verdicts(STEER_KERNEL_SOCKET), 0);
    cr_assert(arrives(&s), "a new one is ours, though the kernel listens too");
    cr_assert_eq(getsockname(c, (struct sockaddr *)&a, &len), 0);
    s.sport = be16toh(a.sin_port);
    cr_assert_not(arrives(&s), "the SYN of a connection that the kernel has");
    close(l);
    close(c);
    close(k);
    down();
}

Test(netdev_xsk, fragments_follow_their_first, .timeout = 30)
{
    struct flow_key k = {.laddr = inet_addr("10.9.0.1"), .raddr = inet_addr("10.9.0.2"), .lport = htobe16(PORT),
                         .rport = htobe16(999)};
    struct seg s = to_us(999, PORT, ACK);
    struct sk_buff *skb;
    u16 w;
    u32 n;
    int i;

    NEED(NULL);
    v->net->steer_ops->add_flow(v->net, &k);
    s.len = 16;
    n = veth_tcp(v, frame, &s, false);
    for (i = 0; i < 3; i++) { /* first, last, then a last one of another datagram */
        w = htobe16(i ? 5 : 0x2000);
        memcpy(frame + 20, &w, 2);
        frame[19] = (u8)(i == 2);
        memset(frame + 24, 0, 2);
        w = ip_fast_csum(frame + 14, 5);
        memcpy(frame + 24, &w, 2);
        veth_send(v, frame, n);
        skb = rx_ip(100);
        cr_assert_eq(skb != NULL, i < 2, "fragment %d", i);
        consume_skb(skb);
    }
    down();
}

Test(netdev_xsk, icmp_errors_go_to_the_inner_flow, .timeout = 30)
{
    struct flow_key k = {.laddr = inet_addr("10.9.0.1"), .raddr = inet_addr("10.9.0.2"), .lport = htobe16(PORT),
                         .rport = htobe16(999)};
    struct seg inner = {.src = "10.9.0.1", .dst = "10.9.0.2", .sport = PORT, .dport = 999, .flags = ACK};
    u8 in[64];
    struct sk_buff *skb;
    struct seg s = to_us(1, 1, ACK);
    int i;

    NEED(NULL);
    for (i = 0; i < 2; i++) {
        if (i)
            v->net->steer_ops->add_flow(v->net, &k);
        veth_tcp(v, in, &inner, true);
        veth_tcp(v, frame, &s, false);
        frame[23] = IPPROTO_ICMP;
        frame[17] = 20 + 8 + 28;
        memset(frame + 24, 0, 2);
        *(u16 *)(frame + 24) = ip_fast_csum(frame + 14, 5);
        memset(frame + 34, 0, 8);
        frame[34] = 3;
        frame[35] = 1;
        memcpy(frame + 42, in + 14, 28);
        *(u16 *)(frame + 36) = ip_compute_csum(frame + 34, 36);
        veth_send(v, frame, 70);
        skb = rx_ip(100);
        cr_assert_eq(skb != NULL, i == 1);
        consume_skb(skb);
    }
    cr_assert_eq(verdicts(STEER_ICMP), 1);
    down();
}

Test(netdev_xsk, arp_replies_are_copied_and_requests_left_to_the_kernel, .timeout = 30)
{
    u8 a[42] = {0};
    struct sk_buff *skb;
    int fds[8], n;

    NEED(NULL);
    memcpy(a, v->mac[0], 6);
    memcpy(a + 6, v->mac[1], 6);
    memcpy(a + 12, "\x08\x06\0\1\x08\0\6\4\0\1", 10);
    memcpy(a + 22, v->mac[1], 6);
    memcpy(a + 28, "\x0a\x09\0\2", 4);
    memcpy(a + 38, "\x0a\x09\0\1", 4);
    veth_send(v, a, sizeof(a));
    skb = veth_rx(v, 50);
    cr_assert_null(skb, "a request is the kernel's");
    a[21] = 2;
    memcpy(a + 32, v->mac[0], 6);
    veth_send(v, a, sizeof(a));
    skb = veth_rx(v, 100);
    cr_assert_not_null(skb);
    cr_assert_eq(skb->len, 42);
    cr_assert_arr_eq(skb->data, a, 42);
    consume_skb(skb);
    n = dev->ops->ndo_poll_fds(dev, fds, 8);
    cr_assert_geq(n, 2, "a socket and the ARP ring");
    while (n--)
        cr_assert_geq(fds[n], 512, "own descriptors have high numbers");
    down();
}

Test(netdev_xsk, own_address_gets_everything, .timeout = 30)
{
    struct af_xdp_config cfg = {.own_address = true, .lane = -1, .umem_frames = 1024, .ring_size = 256};
    struct seg s = to_us(999, PORT, ACK);

    NEED(&cfg);
    cr_assert_eq(atomic_load(&dev->naddr), 0, "the host's addresses stay the host's");
    cr_assert_eq(af_xdp_own_address(dev, inet_addr("10.9.0.50"), 24), 0);
    cr_assert_not(arrives(&s));
    s.dst = "10.9.0.50";
    cr_assert(arrives(&s));
    down();
}

/* ---- transmit ---------------------------------------------------------------------------------------------- */

/* A TCP packet with its payload in slots of `per` bytes each, partial checksum. */
static struct sk_buff *make_tcp(u32 payload, u32 per, u32 mss)
{
    struct seg s = {.src = "10.9.0.1", .dst = "10.9.0.2", .sport = PORT, .dport = 999, .flags = ACK | 0x08, .seq = 1};
    struct sk_buff *skb = alloc_skb(v->net, MAX_HEADER_ROOM + 64);
    u32 i, off, n;
    u16 w;

    cr_assert_not_null(skb);
    for (i = 0; i < payload; i++)
        frame[54 + i] = (u8)(i * 7 + i / 251);
    s.len = payload;
    veth_tcp(v, frame, &s, true);
    skb_reserve(skb, MAX_HEADER_ROOM);
    memcpy(skb_put(skb, 54), frame, 54);
    for (i = 0, off = 0; off < payload; i++, off += n) {
        struct page *p = v->net->tx_pool->alloc(v->net->tx_pool);

        cr_assert_not_null(p);
        cr_assert_lt(i, MAX_SKB_FRAGS);
        n = min(per, payload - off);
        memcpy(p->addr + p->pool->headroom, frame + 54 + off, n);
        skb_fill_page_desc(skb, (int)i, p, p->pool->headroom, n);
        skb->len += n;
        skb->data_len += n;
        skb->truesize += n;
    }
    skb_reset_mac_header(skb);
    skb->mac_len = 14;
    skb->network_header = (u16)(skb->mac_header + 14);
    skb->transport_header = (u16)(skb->mac_header + 34);
    skb->protocol = htobe16(ETH_P_IP);
    skb->ip_summed = CHECKSUM_PARTIAL;
    skb->csum_start = skb->transport_header;
    skb->csum_offset = offsetof(struct tcphdr, check);
    w = (u16)~csum_tcpudp_magic(inet_addr(s.src), inet_addr(s.dst), 20 + payload, IPPROTO_TCP, 0);
    memcpy(skb_transport_header(skb) + 16, &w, 2);
    if (mss) {
        skb_shinfo(skb)->gso_size = (u16)mss;
        skb_shinfo(skb)->gso_segs = (u16)DIV_ROUND_UP(payload, mss);
        skb_shinfo(skb)->gso_type = SKB_GSO_TCPV4;
    }
    skb->dev = dev;
    return skb;
}

/* Take `payload` bytes of it at the peer; checks every checksum (`partial`: as veth leaves them) and byte.
 * Returns the number of frames. */
static u32 take_tcp(u32 payload, bool partial)
{
    static u8 f[70000];
    u32 got = 0, frames = 0, i, len;
    ssize_t n;

    while (got < payload) {
        n = veth_recv(v, f, sizeof(f), IPPROTO_TCP, 500);
        cr_assert_geq(n, 54, "%u of %u bytes came", got, payload);
        len = (u32)n - 54;
        cr_assert_eq(((u32)f[16] << 8 | f[17]), len + 40);
        cr_assert_eq(ip_fast_csum(f + 14, 5), 0, "IP checksum");
        if (!partial)
            cr_assert_eq(csum_tcpudp_magic(inet_addr("10.9.0.1"), inet_addr("10.9.0.2"), len + 20, IPPROTO_TCP,
                                           csum_partial(f + 34, len + 20, 0)),
                         0, "TCP checksum at %u", got);
        cr_assert_eq(ntohl(*(u32 *)(f + 38)), 1 + got, "in order");
        for (i = 0; i < len; i++)
            cr_assert_eq(f[54 + i], (u8)((got + i) * 7 + (got + i) / 251), "byte %u", got + i);
        cr_assert_eq(!!(f[47] & 8), got + len == payload, "PSH on the last only");
        got += len;
        frames++;
    }
    return frames;
}

static void xmit(struct sk_buff *skb)
{
    cr_assert_eq(dev_queue_xmit(skb), NET_XMIT_SUCCESS);
}

/* Completions may come a moment after the frame. */
static void settle(void)
{
    int i;

    for (i = 0; i < 200 && v->net->skb_count; i++) {
        net_poll(v->net, 64);
        usleep(500);
    }
    cr_assert_eq(v->net->skb_count, 0, "%ld sk_buffs: completed and freed", (long)v->net->skb_count);
}

static void send_and_check(u32 payload, u32 per, u32 mss, bool lane, u32 frames, u64 copies)
{
    u64 c = net_mib(v->net, SLUICE_MIB_TX_COPIES);

    xmit(make_tcp(payload, per, mss));
    cr_assert_eq(take_tcp(payload, lane), frames);
    cr_assert_eq(net_mib(v->net, SLUICE_MIB_TX_COPIES) - c, copies, "%u in slots of %u: %lu copies", payload, per,
                 (unsigned long)(net_mib(v->net, SLUICE_MIB_TX_COPIES) - c));
    settle();
}

Test(netdev_xsk, plain_segments_in_place_or_copied, .timeout = 30)
{
    NEED(NULL);
    send_and_check(1460, 1460, 0, false, 1, 0);
    send_and_check(1, 1460, 0, false, 1, 0);
    send_and_check(1460, 1000, 0, false, 1, 1);
    send_and_check(999, 333, 0, false, 1, 1);
    down();
}

Test(netdev_xsk, software_segmentation_moves_no_payload, .timeout = 30)
{
    struct af_xdp_config cfg = {.lane = 0};

    NEED(&cfg);
    send_and_check(1460 * 44, 1460, 1460, false, 44, 0);
    send_and_check(1448 * 3 + 5, 1448, 1448, false, 4, 0);
    send_and_check(40000, 1448, 1000, false, 40, 39); /* only the first starts where a slot does */
    cr_assert_eq(net_mib(v->net, SLUICE_MIB_GSO_LANE_PKTS), 0);
    down();
}

Test(netdev_xsk, lane_carries_large_ones_whole, .timeout = 30)
{
    NEED(NULL);
    send_and_check(1460 * 44, 1460, 1460, true, 1, 0);
    send_and_check(1460 * 3, 1460, 1460, false, 3, 0); /* fewer than lane_min_segs */
    cr_assert_eq(net_mib(v->net, SLUICE_MIB_GSO_LANE_PKTS), 1);
    cr_assert_eq(net_mib(v->net, SLUICE_MIB_GSO_LANE_SEGS), 44);
    down();
}

Test(netdev_xsk, many_packets_through_a_small_ring, .timeout = 60)
{
    struct af_xdp_config cfg = {.lane = 0, .umem_frames = 256, .ring_size = 64};
    u32 i;

    NEED(&cfg);
    for (i = 0; i < 300; i++) {
        xmit(make_tcp(1460 * 12, 1460, 1460));
        cr_assert_eq(take_tcp(1460 * 12, false), 12);
        net_poll(v->net, 64);
    }
    down();
}

Test(netdev_xsk, a_burst_waits_in_the_qdisc_when_the_ring_is_full, .timeout = 60)
{
    struct af_xdp_config cfg = {.lane = 0, .umem_frames = 1024, .ring_size = 64};
    u32 i, got = 0;
    static u8 f[2000];

    NEED(&cfg);
    dev_tx_batch_begin(dev); /* nobody flushes but a full ring */
    for (i = 0; i < 200; i++)
        xmit(make_tcp(100, 1460, 0));
    dev_tx_batch_end(dev);
    for (i = 0; i < 1000 && got < 200; i++) {
        net_poll(v->net, 64);
        while (veth_recv(v, f, sizeof(f), IPPROTO_TCP, 0) > 0)
            got++;
    }
    cr_assert_eq(got, 200);
    down();
}

Test(netdev_xsk, original_is_busy_until_completion, .timeout = 30)
{
    struct sk_buff *orig, *clone;

    NEED(NULL);
    orig = make_tcp(1460, 1460, 0);
    cr_assert_eq(skb_track_clones(orig), 0);
    clone = skb_clone(orig);
    dev_tx_batch_begin(dev);
    xmit(clone);
    cr_assert(skb_fclone_busy(orig), "in the ring");
    /* Sent again meanwhile: its slot may not be written, so this one is a copy. */
    xmit(skb_clone(orig));
    dev_tx_batch_end(dev);
    cr_assert_eq(take_tcp(1460, false), 1);
    cr_assert_eq(take_tcp(1460, false), 1);
    cr_assert_eq(net_mib(v->net, SLUICE_MIB_TX_COPIES), 1);
    net_poll(v->net, 64);
    cr_assert_not(skb_fclone_busy(orig));
    consume_skb(orig);
    down();
}

/* ---- receive ------------------------------------------------------------------------------------------------------- */

Test(netdev_xsk, super_frames_of_a_kernel_peer_arrive_whole, .timeout = 60)
{
    struct flow_key k = {.laddr = inet_addr("10.9.0.1"), .raddr = inet_addr("10.9.0.2"), .lport = htobe16(PORT),
                         .rport = htobe16(999)};
    struct sk_buff *skb;
    u32 n, i;
    int on = 1;
    u8 *f = frame + 10;
    struct seg s = to_us(999, PORT, ACK);

    NEED(NULL);
    v->net->steer_ops->add_flow(v->net, &k);
    cr_assert_eq(setsockopt(v->raw, 263 /* SOL_PACKET */, 15 /* PACKET_VNET_HDR */, &on, sizeof(on)), 0);
    s.len = 60000;
    for (i = 0; i < s.len; i++)
        f[54 + i] = (u8)(i % 253);
    n = veth_tcp(v, f, &s, false);
    memcpy(frame, "\1\1\x36\0\xb4\5\x22\0\x10\0", 10); /* NEEDS_CSUM, TCPV4, hdr 54, gso 1460, csum at 34+16 */
    for (u32 round = 0; round < 200; round++) {
        veth_send(v, frame, n + 10);
        skb = rx_ip(500);
        cr_assert_not_null(skb, "round %u", round);
        cr_assert_eq(skb->len, n);
        cr_assert_geq(skb_shinfo(skb)->nr_frags, 15);
        {
            static u8 back[70000];

            cr_assert_eq(skb_copy_bits(skb, 0, back, n), 0);
            cr_assert_arr_eq(back + 54, f + 54, s.len);
        }
        consume_skb(skb);
    }
    cr_assert_eq(net_mib(v->net, SLUICE_MIB_RX_MULTIBUF), 200);
    down();
}

Test(netdev_xsk, hoarded_data_is_copied_out_before_chunks_end, .timeout = 60)
{
    struct af_xdp_config cfg = {.lane = -1, .umem_frames = 256, .ring_size = 64};
    struct flow_key k = {.laddr = inet_addr("10.9.0.1"), .raddr = inet_addr("10.9.0.2"), .lport = htobe16(PORT),
                         .rport = htobe16(999)};
    struct seg s = to_us(999, PORT, ACK);
    struct sk_buff *hoard[600];
    u32 i, n;

    NEED(&cfg);
    v->net->steer_ops->add_flow(v->net, &k);
    s.len = 100;
    for (i = 0; i < 600; i++) {
        s.seq = i;
        memset(frame + 54, (int)i, 100);
        n = veth_tcp(v, frame, &s, false);
        veth_send(v, frame, n);
        hoard[i] = rx_ip(500);
        cr_assert_not_null(hoard[i], "frame %u", i);
    }
    cr_assert_gt(net_mib(v->net, SLUICE_MIB_RX_COPYOUT), 400);
    for (i = 0; i < 600; i++) {
        cr_assert_eq(hoard[i]->data[54], (u8)i);
        consume_skb(hoard[i]);
    }
    down();
}

/* ---- other modes ---------------------------------------------------------------------------------------------------- */

Test(netdev_xsk, native_mode_on_request, .timeout = 60)
{
    struct af_xdp_config cfg = {.mode = XDP_MODE_NATIVE, .lane = -1, .umem_frames = 2048, .ring_size = 256};
    struct seg s = to_us(999, PORT, SYN);

    NEED(&cfg);
    cr_assert(strstr(af_xdp_mode_name(dev), "native copy"), "%s", af_xdp_mode_name(dev));
    v->net->steer_ops->add_listener(v->net, inet_addr("10.9.0.1"), htobe16(PORT), false);
    cr_assert(arrives(&s));
    send_and_check(1460, 1460, 0, false, 1, 0);
    down();
}

Test(netdev_xsk, zero_copy_on_veth_is_refused_with_a_reason, .timeout = 60)
{
    struct af_xdp_config cfg = {.mode = XDP_MODE_ZEROCOPY};
    const char *why;

    v = veth_up();
    if (!v)
        cr_skip_test("needs root and network namespaces");
    cr_assert_eq(af_xdp_init(v->net, &cfg, &why), 0, "%s", why);
    cr_assert_lt(af_xdp_open(v->net, v->ifindex, &dev, &why), 0);
    cr_assert(strstr(why, "sl0: queue 0"), "%s", why);
    cr_assert_neq(system("ip -d link show dev sl0 | grep -q xdp"), 0, "no program is left");
    cr_assert_lt(af_xdp_open(v->net, 1, &dev, &why), 0);
    cr_assert_str_eq(why, "lo: loopback has no AF_XDP");
    cr_assert_eq(af_xdp_open(v->net, 4242, &dev, &why), -ENODEV);
    af_xdp_exit(v->net);
    rtnl_exit(v->net);
    veth_down(v);
}

Test(netdev_xsk, every_queue_of_the_device_is_bound, .timeout = 60)
{
    struct af_xdp_config cfg = {.lane = -1, .umem_frames = 4096, .ring_size = 256};
    struct seg s = to_us(0, PORT, SYN);
    const char *why;
    int fds[8], i;

    v = veth_up();
    if (!v)
        cr_skip_test("needs root and network namespaces");
    if (system("ethtool -L sl0 rx 2 tx 2 2>/dev/null")) {
        veth_down(v);
        cr_skip_test("no second queue to be had");
    }
    v->net->steer_ops = &af_xdp_steer_ops;
    cr_assert_eq(v->net->steer_ops->add_listener(v->net, 0, htobe16(PORT), false), 0, "older than the maps");
    cr_assert_eq(af_xdp_init(v->net, &cfg, &why), 0, "%s", why);
    cr_assert_eq(af_xdp_open(v->net, v->ifindex, &dev, &why), 0, "%s", why);
    veth_raw(v);
    cr_assert_eq(dev->ops->ndo_poll_fds(dev, fds, 8), 3, "two sockets and the ARP ring");
    for (i = 0; i < 32; i++) {
        s.sport = (u16)(1000 + i);
        cr_assert(arrives(&s));
    }
    down();
}

/* ---- the end ---------------------------------------------------------------------------------------------------------- */

Test(netdev_xsk, a_second_process_is_told_that_the_device_is_taken, .timeout = 30)
{
    const char *why;
    struct net_device *d2;
    int status;
    pid_t pid;

    NEED(NULL);
    pid = fork();
    if (pid == 0) {
        af_xdp_forget(v->net);
        rtnl_forget(v->net);
        if (af_xdp_init(v->net, NULL, &why))
            _exit(1);
        if (af_xdp_open(v->net, v->ifindex, &d2, &why) != -EBUSY)
            _exit(2);
        _exit(strstr(why, "another XDP program") ? 0 : 3);
    }
    cr_assert_eq(waitpid(pid, &status, 0), pid);
    cr_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0, "status %x", status);
    send_and_check(1460, 1460, 0, false, 1, 0); /* the child did the parent no harm */
    down();
}

Test(netdev_xsk, sigkill_leaves_nothing_and_the_next_one_starts, .timeout = 60)
{
    struct net_device *d;
    const char *why;
    int ready[2], i, status;
    pid_t pid;
    char c;

    v = veth_up();
    if (!v)
        cr_skip_test("needs root and network namespaces");
    for (i = 0; i < 5; i++) {
        cr_assert_eq(pipe(ready), 0);
        pid = fork();
        if (pid == 0) {
            if (af_xdp_init(v->net, NULL, &why) || af_xdp_open(v->net, v->ifindex, &d, &why))
                fprintf(stderr, "open: %s\n", why);
            else if (write(ready[1], "", 1) == 1)
                pause();
            _exit(1);
        }
        close(ready[1]);
        cr_assert_eq(read(ready[0], &c, 1), 1, "round %d could not open", i);
        close(ready[0]);
        cr_assert_eq(system("ip -d link show dev sl0 | grep -q xdp"), 0);
        kill(pid, SIGKILL);
        waitpid(pid, &status, 0);
        cr_assert_neq(system("ip -d link show dev sl0 | grep -q xdp"), 0, "a program is left");
    }
    veth_down(v);
}
