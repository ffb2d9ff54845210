/* SPDX-License-Identifier: MIT */
/* Two namespaces and a veth pair for driver tests. */

#include "veth.h"
#include "../../stack/core/checksum.h"
#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <netinet/in.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static struct sk_buff_head received;

static u64 veth_clock(struct net *net)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (u64)t.tv_sec * NSEC_PER_SEC + (u64)t.tv_nsec;
}
static u64 veth_random(struct net *net)
{
    u64 r = 0;

    BUG_ON(getrandom(&r, sizeof(r), 0) != sizeof(r));
    return r;
}
static struct waiter *veth_waiter(struct net *net) { return NULL; }
static int veth_wait(struct net *net, struct waiter *w, u64 deadline) { return 0; }
static void veth_wake(struct net *net, struct waiter *w) {}
static void veth_timer(struct net *net, u64 expires) {}
static void veth_log(struct net *net, int level, const char *text)
{
    if (getenv("VETH_LOG"))
        fprintf(stderr, "%d: %s\n", level, text);
}
static const struct net_ops veth_ops = {
    .clock_ns = veth_clock, .random = veth_random, .current_waiter = veth_waiter, .wait = veth_wait,
    .wake = veth_wake, .timer_armed = veth_timer, .log = veth_log,
};

static int veth_receive(struct sk_buff *skb, struct net_device *dev)
{
    skb_push(skb, ETH_HLEN);
    __skb_queue_tail(&received, skb);
    return 0;
}
static struct packet_type veth_ip = {.func = veth_receive}, veth_arp = {.func = veth_receive};

static void veth_run(const char *fmt, int a)
{
    char cmd[256];

    snprintf(cmd, sizeof(cmd), fmt, a, a);
    if (system(cmd)) {
        fprintf(stderr, "veth fixture: failed: %s\n", cmd);
        abort();
    }
}

static void veth_mac(int fd, const char *name, u8 *mac, int *ifindex)
{
    struct ifreq ifr = {0};

    snprintf(ifr.ifr_name, sizeof(ifr.ifr_name), "%s", name);
    BUG_ON(ioctl(fd, SIOCGIFHWADDR, &ifr));
    memcpy(mac, ifr.ifr_hwaddr.sa_data, 6);
    BUG_ON(ioctl(fd, SIOCGIFINDEX, &ifr));
    *ifindex = ifr.ifr_ifindex;
}

/* A child in a namespace of its own, that waits to be killed. */
static int veth_hold_ns(void)
{
    int ready[2], child;
    char c;

    BUG_ON(pipe(ready));
    child = fork();
    if (child == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (unshare(CLONE_NEWNET) == 0 && write(ready[1], "", 1) == 1)
            for (;;)
                pause();
        _exit(1);
    }
    close(ready[1]);
    BUG_ON(child < 0 || read(ready[0], &c, 1) != 1);
    close(ready[0]);
    return child;
}

struct veth *veth_up(void)
{
    struct veth *v = calloc(1, sizeof(*v));
    char path[64];
    int fd, i;

    if (!v || geteuid() || unshare(CLONE_NEWNET)) {
        free(v);
        return NULL;
    }
    v->raw = -1;
    v->child = veth_hold_ns();
    snprintf(path, sizeof(path), "/proc/%d/ns/net", v->child);
    v->peer_ns = open(path, O_RDONLY | O_CLOEXEC);
    v->own_ns = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
    veth_run("sysctl -qw net.ipv6.conf.default.disable_ipv6=1 net.ipv6.conf.all.disable_ipv6=1; ip link set lo up;"
             "ip link add sl0 type veth peer name sl1 && ip link set sl1 netns %d && ip addr add 10.9.0.1/24 dev sl0 &&"
             "ip link set sl0 up", v->child);
    veth_run("nsenter --net=/proc/%d/ns/net sh -c 'sysctl -qw net.ipv6.conf.sl1.disable_ipv6=1; ip link set lo up;"
             "ip addr add 10.9.0.2/24 dev sl1; ip link set sl1 up'", v->child);
    fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    veth_mac(fd, "sl0", v->mac[0], &v->ifindex);
    close(fd);
    fd = veth_peer_socket(v, AF_INET, SOCK_DGRAM, 0);
    veth_mac(fd, "sl1", v->mac[1], &i);
    close(fd);
    v->net = net_alloc(&veth_ops, NULL);
    BUG_ON(!v->net);
    skb_queue_head_init(&received);
    veth_ip.type = htobe16(ETH_P_IP);
    veth_arp.type = htobe16(ETH_P_ARP);
    dev_add_pack(&veth_ip);
    dev_add_pack(&veth_arp);
    return v;
}

void veth_down(struct veth *v)
{
    if (v->raw >= 0)
        close(v->raw);
    __skb_queue_purge(&received, SKB_DROP_REASON_NOT_SPECIFIED);
    net_rcu_barrier(v->net);
    net_free(v->net);
    close(v->peer_ns);
    close(v->own_ns);
    kill(v->child, SIGKILL);
    waitpid(v->child, NULL, 0);
    free(v);
}

int veth_peer_socket(struct veth *v, int domain, int type, int proto)
{
    int fd;

    BUG_ON(setns(v->peer_ns, CLONE_NEWNET));
    fd = socket(domain, type | SOCK_CLOEXEC, proto);
    BUG_ON(setns(v->own_ns, CLONE_NEWNET));
    BUG_ON(fd < 0);
    return fd;
}

void veth_raw(struct veth *v)
{
    struct sockaddr_ll ll = {.sll_family = AF_PACKET, .sll_protocol = htobe16(ETH_P_ALL)};
    struct ifreq ifr = {.ifr_name = "sl1"};
    int on = 1, size = 16 << 20;

    v->raw = veth_peer_socket(v, AF_PACKET, SOCK_RAW, htobe16(ETH_P_ALL));
    BUG_ON(ioctl(v->raw, SIOCGIFINDEX, &ifr));
    ll.sll_ifindex = ifr.ifr_ifindex;
    BUG_ON(bind(v->raw, (struct sockaddr *)&ll, sizeof(ll)));
    setsockopt(v->raw, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size));
    BUG_ON(setsockopt(v->raw, SOL_PACKET, PACKET_IGNORE_OUTGOING, &on, sizeof(on)));
}

void veth_send(struct veth *v, const void *frame, size_t len)
{
    BUG_ON(send(v->raw, frame, len, 0) != (ssize_t)len);
}

ssize_t veth_recv(struct veth *v, void *frame, size_t room, int proto, int ms)
{
    struct pollfd p = {.fd = v->raw, .events = POLLIN};
    const u8 *f = frame;
    ssize_t n;

    while (poll(&p, 1, ms) > 0) {
        n = recv(v->raw, frame, room, MSG_DONTWAIT);
        if (n >= 34 && f[12] == 8 && f[13] == 0 && (!proto || f[23] == proto))
            return n;
    }
    return -1;
}

struct sk_buff *veth_rx(struct veth *v, int ms)
{
    u64 end = veth_clock(v->net) + (u64)ms * NSEC_PER_MSEC;
    struct timespec nap = {.tv_nsec = 100000};

    while (skb_queue_empty(&received)) {
        net_poll(v->net, 64);
        if (veth_clock(v->net) > end)
            break;
        if (skb_queue_empty(&received))
            nanosleep(&nap, NULL);
    }
    return __skb_dequeue(&received);
}

u32 veth_tcp(struct veth *v, u8 *f, const struct seg *s, bool out)
{
    u8 *ip = f + 14, *th = f + 34;
    u32 tlen = 20 + s->len, addr[2] = {inet_addr(s->src), inet_addr(s->dst)}, seq = htobe32(s->seq);
    u16 w;

    memset(f, 0, 54);
    memcpy(f, v->mac[out ? 1 : 0], 6);
    memcpy(f + 6, v->mac[out ? 0 : 1], 6);
    f[12] = 8;
    ip[0] = 0x45;
    w = htobe16((u16)(20 + tlen));
    memcpy(ip + 2, &w, 2);
    w = htobe16(0x1234);
    memcpy(ip + 4, &w, 2);
    ip[6] = 0x40;
    ip[8] = 64;
    ip[9] = IPPROTO_TCP;
    memcpy(ip + 12, addr, 8);
    w = ip_fast_csum(ip, 5);
    memcpy(ip + 10, &w, 2);
    w = htobe16(s->sport);
    memcpy(th, &w, 2);
    w = htobe16(s->dport);
    memcpy(th + 2, &w, 2);
    memcpy(th + 4, &seq, 4);
    th[12] = 0x50;
    th[13] = s->flags;
    th[14] = 0xff;
    w = csum_tcpudp_magic(addr[0], addr[1], tlen, IPPROTO_TCP, csum_partial(th, tlen, 0));
    memcpy(th + 16, &w, 2);
    return 34 + tlen;
}
