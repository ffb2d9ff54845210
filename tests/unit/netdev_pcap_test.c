/* SPDX-License-Identifier: MIT */
/* The capture file: block structure, both directions, completed checksums, whole blocks after SIGKILL. */

#include "../../netdev/pcap.h"
#include "../../stack/core/checksum.h"
#include "../../stack/core/net.h"
#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

static u64 clock_ns(struct net *net) { return 1000000000; }
static u64 random_(struct net *net) { return 4; }
static void armed(struct net *net, u64 expires) {}
static void wake(struct net *net, struct waiter *w) {}
static void log_(struct net *net, int level, const char *text) {}
static const struct net_ops ops = {.clock_ns = clock_ns, .random = random_, .timer_armed = armed, .wake = wake,
                                   .log = log_};
static char path[64];
static struct net *net;
static struct net_device low;
static struct net_device *top;
static struct pcap_file *file;
static bool busy;
static u32 sent;

static netdev_tx_t low_xmit(struct sk_buff *skb, struct net_device *dev)
{
    if (busy)
        return NETDEV_TX_BUSY;
    sent++;
    consume_skb(skb);
    return NETDEV_TX_OK;
}
static const struct net_device_ops low_ops = {.ndo_start_xmit = low_xmit};
static int eat(struct sk_buff *skb, struct net_device *dev)
{
    consume_skb(skb);
    return 0;
}
static struct packet_type ip = {.func = eat};

static void up(void)
{
    snprintf(path, sizeof(path), "/tmp/sluice-pcap-test.%d", getpid());
    net = net_alloc(&ops, NULL);
    net_tick(net);
    memcpy(low.name, "eth7", 5);
    low.ops = &low_ops;
    low.features = NETIF_F_SG | NETIF_F_HW_CSUM | NETIF_F_NOWIRE | NETIF_F_TSO;
    memcpy(low.dev_addr, "\2\0\0\0\0\1", 6);
    cr_assert_eq(register_netdev(net, &low), 0);
    ip.type = htobe16(ETH_P_IP);
    dev_add_pack(&ip);
    file = pcap_open(path);
    cr_assert_not_null(file);
    cr_assert_geq(pcap_fd(file), 512);
    top = pcap_wrap(&low, file);
    cr_assert_not_null(top);
}

static void down(void)
{
    pcap_unwrap(top);
    pcap_close(file);
    unregister_netdev(&low);
    net_rcu_barrier(net);
    cr_assert_eq(net->skb_count, 0);
    net_free(net);
    unlink(path);
}

/* Ethernet + IPv4 + TCP, len payload bytes, the checksum field holding the pseudo-header sum. */
static struct sk_buff *tcp(u32 len, bool partial)
{
    struct sk_buff *skb = alloc_skb(net, 70000);
    u8 *p = skb_put(skb, 54 + len);
    u16 w;
    u32 i;

    memset(p, 0, 54);
    memcpy(p, "\2\0\0\0\0\1\2\0\0\0\0\2\x08\0\x45", 15);
    w = htobe16((u16)(40 + len));
    memcpy(p + 16, &w, 2);
    memcpy(p + 22, "\x40\6\0\0\x0a\0\0\1\x0a\0\0\2", 12);
    w = ip_fast_csum(p + 14, 5);
    memcpy(p + 24, &w, 2);
    p[46] = 0x50;
    p[47] = 0x10;
    for (i = 0; i < len; i++)
        p[54 + i] = (u8)i;
    w = (u16)~csum_tcpudp_magic(inet_addr("10.0.0.1"), inet_addr("10.0.0.2"), 20 + len, IPPROTO_TCP, 0);
    memcpy(p + 50, &w, 2);
    if (partial) {
        skb->ip_summed = CHECKSUM_PARTIAL;
        skb_reset_mac_header(skb);
        skb->csum_start = 34;
        skb->csum_offset = 16;
    }
    skb->dev = top;
    skb->protocol = htobe16(ETH_P_IP);
    return skb;
}

static u8 *content(size_t *len)
{
    int fd = open(path, O_RDONLY);
    off_t n = lseek(fd, 0, SEEK_END);
    u8 *p = malloc((size_t)n + 1);

    cr_assert_eq(pread(fd, p, (size_t)n, 0), n);
    close(fd);
    *len = (size_t)n;
    return p;
}

static u32 u32_at(const u8 *p)
{
    u32 x;
    memcpy(&x, p, 4);
    return x;
}

/* Walks the blocks, checking both lengths; counts packets by direction and checks TCP checksums. */
static void walk(u32 *in, u32 *out)
{
    size_t len, at = 0;
    u8 *p = content(&len);

    *in = *out = 0;
    while (at < len) {
        u32 type = u32_at(p + at), n = u32_at(p + at + 4);

        cr_assert_leq(at + n, len, "a whole block");
        cr_assert_eq(n % 4, 0, "block of %u bytes at %zu of %zu", n, at, len);
        cr_assert_eq(u32_at(p + at + n - 4), n);
        if (type == 6) {
            u32 cap = u32_at(p + at + 20);
            u8 *f = p + at + 28;
            u32 flags = u32_at(f + ALIGN(cap, 4) + 4);

            cr_assert_eq(u32_at(p + at + 24), cap);
            ++*(flags == 1 ? in : out);
            cr_assert_eq(csum_tcpudp_magic(inet_addr("10.0.0.1"), inet_addr("10.0.0.2"), cap - 34, IPPROTO_TCP,
                                           csum_partial(f + 34, cap - 34, 0)),
                         0, "checksum is complete in the file");
        } else {
            cr_assert(type == 0x0a0d0d0a || type == 1 || type == 0x80000f11, "block type %x at %zu", type, at);
        }
        at += n;
    }
    free(p);
}

Test(netdev_pcap, both_ways_with_complete_checksums, .timeout = 20)
{
    struct sk_buff *skb;
    u32 in, out, before;

    up();
    cr_assert_eq(dev_queue_xmit(tcp(100, true)), 0);
    cr_assert_eq(dev_queue_xmit(tcp(60001, true)), 0);
    cr_assert_eq(sent, 2);
    skb = tcp(33, false);
    before = u32_at(skb->data + 48);
    skb->dev = &low;
    netif_receive_skb(skb_get(skb));
    cr_assert_eq(u32_at(skb_mac_header(skb) + 48), before, "the packet itself is left alone");
    consume_skb(skb);
    walk(&in, &out);
    cr_assert_eq(in, 1);
    cr_assert_eq(out, 2);
    down();
}

Test(netdev_pcap, a_refused_packet_is_written_once, .timeout = 20)
{
    u32 in, out;

    up();
    busy = true;
    dev_queue_xmit(tcp(100, true));
    walk(&in, &out);
    cr_assert_eq(out, 0);
    busy = false;
    netif_wake_queue(top);
    net_tx_action(net);
    walk(&in, &out);
    cr_assert_eq(out, 1);
    down();
}

Test(netdev_pcap, tshark_reads_it, .timeout = 60)
{
    char cmd[512];

    if (system("command -v tshark >/dev/null 2>&1"))
        cr_skip_test("tshark is not installed");
    up();
    dev_queue_xmit(tcp(100, true));
    dev_queue_xmit(tcp(60001, true));
    snprintf(cmd, sizeof(cmd),
             "test \"$(tshark -r %s -o tcp.check_checksum:TRUE -o ip.check_checksum:TRUE -Y "
             "'tcp.checksum.status==1 && ip.checksum.status==1 && !_ws.malformed' -T fields -e frame.number "
             "2>/dev/null | wc -l)\" = 2", path);
    cr_assert_eq(system(cmd), 0);
    down();
}

Test(netdev_pcap, killed_writer_leaves_whole_blocks, .timeout = 60)
{
    u32 in, out, i;
    char cmd[512];
    pid_t pid;

    for (i = 0; i < 10; i++) {
        pid = fork();
        if (pid == 0) {
            up();
            for (;;)
                dev_queue_xmit(tcp(30000, true));
        }
        usleep(30000);
        kill(pid, SIGKILL);
        cr_assert_eq(waitpid(pid, NULL, 0), pid);
        snprintf(path, sizeof(path), "/tmp/sluice-pcap-test.%d", pid);
        walk(&in, &out);
        cr_assert_gt(out, 0);
        if (i == 0 && !system("command -v tshark >/dev/null 2>&1")) {
            snprintf(cmd, sizeof(cmd), "tshark -r %s -c 5 >/dev/null 2>&1 && tshark -r %s -Y 'frame.number==1' -T fields "
                                       "-e frame.len 2>&1 | grep -qx 30054", path, path);
            cr_assert_eq(system(cmd), 0, "%s", cmd);
        }
        unlink(path);
    }
}

Test(netdev_pcap, removed_with_its_lower, .timeout = 20)
{
    up();
    unregister_netdev(&low);
    pcap_close(file);
    net_rcu_barrier(net);
    net_free(net);
    unlink(path);
}
