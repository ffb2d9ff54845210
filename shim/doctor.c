/* SPDX-License-Identifier: MIT */
/* `sluicectl doctor`. Every finding is a line: ok, note (works, but could be better) or FAIL (sluice leaves
 * sockets to the kernel), a sentence, and what to type. */

#include "doctor.h"
#include "firewall.h"
#include <dirent.h>
#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/capability.h>
#include <linux/ethtool.h>
#include <linux/genetlink.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <linux/sockios.h>
#include <linux/tcp.h>
#include <net/if.h>
#include <netinet/in.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

#ifndef AF_XDP
#define AF_XDP 44
#endif
/* linux/netdev.h (6.3); its values are part of the kernel's interface. */
enum { NETDEV_CMD_DEV_GET_ = 1, NETDEV_A_DEV_IFINDEX_ = 1, NETDEV_A_DEV_XDP_FEATURES_ = 3 };
enum { XDP_ACT_BASIC = 1, XDP_ACT_REDIRECT = 2, XDP_ACT_XSK_ZEROCOPY = 8 };

enum level { OK, NOTE, FAIL };
static struct {
    bool json;
    int count, failures;
} report;

static void finding(enum level level, const char *topic, const char *mend, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));
static void finding(enum level level, const char *topic, const char *mend, const char *fmt, ...)
{
    static const char *const names[] = {"ok", "note", "FAIL"};
    char text[1024];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    report.failures += level == FAIL;
    if (report.json) {
        for (char *p = text; *p; p++)
            if (*p == '"' || *p == '\\')
                *p = '\'';
        printf("%s\n  {\"level\": \"%s\", \"topic\": \"%s\", \"text\": \"%s\", \"mend\": \"%s\"}", report.count++ ? "," : "[", names[level],
               topic, text, mend ? mend : "");
        return;
    }
    printf("%-5s %-11s %s\n", names[level], topic, text);
    if (mend)
        printf("%18s-> %s\n", "", mend);
}

static bool read_line(const char *path, char *buf, size_t len)
{
    FILE *f = fopen(path, "re");
    bool ok = f && fgets(buf, (int)len, f);
    if (ok)
        buf[strcspn(buf, "\n")] = 0;
    if (f)
        fclose(f);
    return ok;
}

/* ---- kernel and privileges ------------------------------------------------------------------------------------------- */

static void check_kernel(void)
{
    struct utsname u;
    int major = 0, minor = 0;
    uname(&u);
    sscanf(u.release, "%d.%d", &major, &minor);
    int fd = socket(AF_XDP, SOCK_RAW | SOCK_CLOEXEC, 0);
    int e = fd < 0 ? errno : 0;
    if (fd >= 0)
        close(fd);
    if (e == EAFNOSUPPORT)
        finding(FAIL, "kernel", "boot a kernel with CONFIG_XDP_SOCKETS=y (Debian's has it)", "Linux %s has no AF_XDP sockets", u.release);
    else if (e)
        finding(FAIL, "kernel", "run as root, or see the line on privileges", "Linux %s does not give this process an AF_XDP socket: %s",
                u.release, strerror(e));
    else if (major < 5 || (major == 5 && minor < 10))
        finding(FAIL, "kernel", "boot Linux 5.10 or later", "Linux %s is older than what sluice is made for", u.release);
    else if (major < 6 || (major == 6 && minor < 6))
        finding(NOTE, "kernel", "boot Linux 6.6 or later for large frames in several buffers",
                "Linux %s has AF_XDP, but not yet multi-buffer receive: bulk transfers over veth are slower", u.release);
    else
        finding(OK, "kernel", NULL, "Linux %s: AF_XDP with multi-buffer", u.release);
}

static void check_capabilities(void)
{
    static const struct {
        int bit;
        const char *name, *why;
    } caps[] = {{CAP_NET_ADMIN, "CAP_NET_ADMIN", "attach the steering program, reserve ports"},
                {CAP_NET_RAW, "CAP_NET_RAW", "open AF_XDP and packet sockets"},
                {CAP_BPF, "CAP_BPF", "load the steering program"}};
    char line[256];
    unsigned long long eff = 0;
    FILE *f = fopen("/proc/self/status", "re");
    while (f && fgets(line, sizeof(line), f))
        sscanf(line, "CapEff: %llx", &eff);
    if (f)
        fclose(f);
    bool all = true, admin = eff >> CAP_SYS_ADMIN & 1; /* it includes CAP_BPF */
    for (size_t i = 0; i < sizeof(caps) / sizeof(*caps); i++) {
        if (eff >> caps[i].bit & 1 || (caps[i].bit == CAP_BPF && admin))
            continue;
        all = false;
        finding(FAIL, "privileges", "sudo sluice PROGRAM, or setpriv --inh-caps +net_raw,+net_admin,+bpf --ambient-caps +net_raw,+net_admin,+bpf sluice PROGRAM",
                "%s is missing: without it sluice cannot %s", caps[i].name, caps[i].why);
    }
    if (all)
        finding(OK, "privileges", NULL, "CAP_NET_ADMIN, CAP_NET_RAW and CAP_BPF are there");
    struct rlimit rl;
    if (!(eff >> CAP_IPC_LOCK & 1) && !getrlimit(RLIMIT_MEMLOCK, &rl) && rl.rlim_cur < (64u << 20))
        finding(NOTE, "memory", "ulimit -l unlimited, or -o umem=FRAMES with less",
                "this process may lock %lu KiB, and the default UMEM is 65536 KiB", (unsigned long)(rl.rlim_cur >> 10));
}

static void check_repair(void)
{
    int one = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd >= 0 && setsockopt(fd, IPPROTO_TCP, TCP_REPAIR, &one, sizeof(one)))
        finding(FAIL, "hand-over", errno == EPERM ? NULL : "boot a kernel with TCP_REPAIR (CONFIG_CHECKPOINT_RESTORE is not needed)",
                "TCP_REPAIR is refused (%s): connections cannot share the host's ports nor go back to the kernel", strerror(errno));
    else
        finding(OK, "hand-over", NULL, "TCP_REPAIR works: ports are shared with the kernel, connections can be handed to it");
    if (fd >= 0)
        close(fd);
}

static void check_bpf(void)
{
    char line[64] = "";

    if (read_line("/proc/sys/net/core/bpf_jit_enable", line, sizeof(line)) && line[0] == '0')
        finding(NOTE, "bpf", "sysctl net.core.bpf_jit_enable=1", "the BPF compiler is off: each received packet costs more");
    else
        finding(OK, "bpf", NULL, "the BPF compiler is on");
}

static void check_firewall(void)
{
    char why[512];
    if (host_has_filter_rules(why, sizeof(why)))
        finding(FAIL, "firewall", "sluice -o firewall=ignore PROGRAM", "%s", why);
    else
        finding(OK, "firewall", NULL, "no input or output rules that packets of the stack would miss");
}

/* ---- interfaces ---------------------------------------------------------------------------------------------------------- */

struct link {
    int ifindex;
    unsigned flags, mtu, rxq, txq, xdp_mode, xdp_id;
    char name[IFNAMSIZ], kind[32], driver[32];
    bool ipv4;
    uint64_t features; /* XDP_ACT_*, 0: not known */
};
#define DOCTOR_LINKS 256
struct links {
    struct link v[DOCTOR_LINKS];
    int n;
};

static void parse_xdp(const struct nlattr *nest, struct link *l)
{
    const struct nlattr *a;
    mnl_attr_for_each_nested(a, nest) {
        if (mnl_attr_get_type(a) == IFLA_XDP_ATTACHED)
            l->xdp_mode = mnl_attr_get_u8(a);
        if (mnl_attr_get_type(a) == IFLA_XDP_PROG_ID)
            l->xdp_id = mnl_attr_get_u32(a);
    }
}

static int link_cb(const struct nlmsghdr *nlh, void *data)
{
    struct links *ls = data;
    const struct ifinfomsg *ifi = mnl_nlmsg_get_payload(nlh);
    const struct nlattr *a, *b;
    if (nlh->nlmsg_type != RTM_NEWLINK || ls->n == DOCTOR_LINKS)
        return MNL_CB_OK;
    struct link *l = &ls->v[ls->n++];
    *l = (struct link){.ifindex = ifi->ifi_index, .flags = ifi->ifi_flags};
    mnl_attr_for_each(a, nlh, sizeof(*ifi)) {
        switch (mnl_attr_get_type(a)) {
        case IFLA_IFNAME:
            snprintf(l->name, sizeof(l->name), "%s", mnl_attr_get_str(a));
            break;
        case IFLA_MTU:
            l->mtu = mnl_attr_get_u32(a);
            break;
        case IFLA_NUM_RX_QUEUES:
            l->rxq = mnl_attr_get_u32(a);
            break;
        case IFLA_NUM_TX_QUEUES:
            l->txq = mnl_attr_get_u32(a);
            break;
        case IFLA_XDP:
            parse_xdp(a, l);
            break;
        case IFLA_LINKINFO:
            mnl_attr_for_each_nested(b, a)
                if (mnl_attr_get_type(b) == IFLA_INFO_KIND)
                    snprintf(l->kind, sizeof(l->kind), "%s", mnl_attr_get_str(b));
            break;
        }
    }
    return MNL_CB_OK;
}

static int addr_cb(const struct nlmsghdr *nlh, void *data)
{
    struct links *ls = data;
    const struct ifaddrmsg *ifa = mnl_nlmsg_get_payload(nlh);
    for (int i = 0; i < ls->n; i++)
        if (nlh->nlmsg_type == RTM_NEWADDR && ls->v[i].ifindex == (int)ifa->ifa_index)
            ls->v[i].ipv4 = true;
    return MNL_CB_OK;
}

/* Send a request that is built in buf and run cb over the answer. 0 or -errno. */
static int talk(struct mnl_socket *nl, struct nlmsghdr *nlh, char *buf, size_t size, mnl_cb_t cb, void *data)
{
    uint32_t seq = nlh->nlmsg_seq = (uint32_t)random();
    if (mnl_socket_sendto(nl, nlh, nlh->nlmsg_len) < 0)
        return -errno;
    for (;;) {
        ssize_t n = mnl_socket_recvfrom(nl, buf, size);
        if (n < 0)
            return -errno;
        int rc = mnl_cb_run(buf, n, seq, mnl_socket_get_portid(nl), cb, data);
        if (rc == MNL_CB_ERROR)
            return -errno;
        if (rc == MNL_CB_STOP)
            return 0;
    }
}

static struct nlmsghdr *dump_request(char *buf, int type, int family)
{
    struct nlmsghdr *nlh = mnl_nlmsg_put_header(buf);
    nlh->nlmsg_type = type;
    nlh->nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
    struct rtgenmsg *g = mnl_nlmsg_put_extra_header(nlh, type == RTM_GETLINK ? sizeof(struct ifinfomsg) : sizeof(struct ifaddrmsg));
    g->rtgen_family = family;
    return nlh;
}

static int family_cb(const struct nlmsghdr *nlh, void *data)
{
    const struct nlattr *a;
    mnl_attr_for_each(a, nlh, sizeof(struct genlmsghdr))
        if (mnl_attr_get_type(a) == CTRL_ATTR_FAMILY_ID)
            *(uint16_t *)data = mnl_attr_get_u16(a);
    return MNL_CB_OK;
}

static int features_cb(const struct nlmsghdr *nlh, void *data)
{
    struct links *ls = data;
    const struct nlattr *a;
    uint32_t ifindex = 0;
    uint64_t features = 0;
    mnl_attr_for_each(a, nlh, sizeof(struct genlmsghdr)) {
        if (mnl_attr_get_type(a) == NETDEV_A_DEV_IFINDEX_)
            ifindex = mnl_attr_get_u32(a);
        else if (mnl_attr_get_type(a) == NETDEV_A_DEV_XDP_FEATURES_)
            features = mnl_attr_get_u64(a);
    }
    for (int i = 0; i < ls->n; i++)
        if (ls->v[i].ifindex == (int)ifindex)
            ls->v[i].features = features;
    return MNL_CB_OK;
}

/* What drivers say of their XDP (Linux 6.3): without it, nothing is known, and nothing is lost. */
static void read_features(struct links *ls)
{
    char buf[16384] __attribute__((aligned(8)));
    struct mnl_socket *nl = mnl_socket_open2(NETLINK_GENERIC, SOCK_CLOEXEC);
    uint16_t family = 0;
    if (!nl)
        return;
    if (mnl_socket_bind(nl, 0, MNL_SOCKET_AUTOPID) == 0) {
        struct nlmsghdr *nlh = mnl_nlmsg_put_header(buf);
        nlh->nlmsg_type = GENL_ID_CTRL;
        nlh->nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK;
        struct genlmsghdr *g = mnl_nlmsg_put_extra_header(nlh, sizeof(*g));
        *g = (struct genlmsghdr){.cmd = CTRL_CMD_GETFAMILY, .version = 1};
        mnl_attr_put_strz(nlh, CTRL_ATTR_FAMILY_NAME, "netdev");
        if (!talk(nl, nlh, buf, sizeof(buf), family_cb, &family) && family) {
            nlh = mnl_nlmsg_put_header(buf);
            nlh->nlmsg_type = family;
            nlh->nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
            g = mnl_nlmsg_put_extra_header(nlh, sizeof(*g));
            *g = (struct genlmsghdr){.cmd = NETDEV_CMD_DEV_GET_, .version = 1};
            talk(nl, nlh, buf, sizeof(buf), features_cb, ls);
        }
    }
    mnl_socket_close(nl);
}

static void read_drivers(struct links *ls)
{
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    for (int i = 0; fd >= 0 && i < ls->n; i++) {
        struct ethtool_drvinfo info = {.cmd = ETHTOOL_GDRVINFO};
        struct ethtool_channels ch = {.cmd = ETHTOOL_GCHANNELS};
        struct ifreq ifr = {.ifr_data = (void *)&info};
        memcpy(ifr.ifr_name, ls->v[i].name, IFNAMSIZ);
        if (!ioctl(fd, SIOCETHTOOL, &ifr))
            snprintf(ls->v[i].driver, sizeof(ls->v[i].driver), "%.31s", info.driver);
        ifr.ifr_data = (char *)&ch; /* the netlink attribute counts the queues allocated, not those in use */
        if (!ioctl(fd, SIOCETHTOOL, &ifr) && ch.rx_count + ch.combined_count)
            ls->v[i].rxq = ch.rx_count + ch.combined_count;
    }
    if (fd >= 0)
        close(fd);
}

static int read_links(struct links *ls)
{
    char buf[32768] __attribute__((aligned(8)));
    struct mnl_socket *nl = mnl_socket_open2(NETLINK_ROUTE, SOCK_CLOEXEC);
    int rc;
    if (!nl)
        return -errno;
    rc = mnl_socket_bind(nl, 0, MNL_SOCKET_AUTOPID) < 0 ? -errno : 0;
    if (!rc)
        rc = talk(nl, dump_request(buf, RTM_GETLINK, AF_UNSPEC), buf, sizeof(buf), link_cb, ls);
    if (!rc)
        rc = talk(nl, dump_request(buf, RTM_GETADDR, AF_INET), buf, sizeof(buf), addr_cb, ls);
    mnl_socket_close(nl);
    read_features(ls);
    read_drivers(ls);
    return rc;
}

/* One interface: what it is, and the mode that sluice would take. */
static void show_link(const struct link *l)
{
    const char *topic = l->name, *driver = l->driver[0] ? l->driver : l->kind[0] ? l->kind : "unknown driver";
    bool veth = !strcmp(l->kind, "veth") || !strcmp(l->driver, "veth");
    if (l->flags & IFF_LOOPBACK)
        return;
    if (!(l->flags & IFF_UP)) {
        char cmd[64];
        snprintf(cmd, sizeof(cmd), "ip link set dev %s up", l->name);
        finding(NOTE, topic, cmd, "%s, is down", driver);
        return;
    }
    if (!l->ipv4) {
        finding(NOTE, topic, NULL, "%s, has no IPv4 address: nothing for sluice to serve", driver);
        return;
    }
    if (!(l->flags & IFF_RUNNING))
        finding(NOTE, topic, NULL, "%s, is up but has no carrier", driver);
    if (l->xdp_mode) {
        char cmd[96];
        snprintf(cmd, sizeof(cmd), "ip link set dev %s %s off, if it is a left-over", l->name,
                 l->xdp_mode == XDP_ATTACHED_SKB ? "xdpgeneric" : "xdp");
        finding(NOTE, topic, cmd, "an XDP program (id %u) is attached, of another sluice process or of a tool: sockets stay with the kernel meanwhile",
                l->xdp_id);
    }
    if (veth)
        finding(OK, topic, NULL, "veth, MTU %u, %u queue%s: generic mode with multi-buffer, because a kernel peer keeps its TSO and whole super-frames arrive",
                l->mtu, l->rxq, l->rxq == 1 ? "" : "s");
    else if (l->features & XDP_ACT_XSK_ZEROCOPY)
        finding(OK, topic, NULL, "driver %s, MTU %u, %u queues: zero-copy, because the driver has it", driver, l->mtu, l->rxq);
    else if (l->features & XDP_ACT_BASIC || !l->features)
        finding(OK, topic, NULL, "driver %s, MTU %u, %u queues: %s", driver, l->mtu, l->rxq,
                l->features ? "native copy, because the driver has XDP but no zero-copy"
                            : "zero-copy, native copy or generic mode, whichever the driver takes (it does not say before)");
    else
        finding(NOTE, topic, NULL, "driver %s, MTU %u, %u queues: generic mode, because the driver has no XDP of its own", driver, l->mtu,
                l->rxq);
}

int doctor(bool json)
{
    static struct links ls;
    report.json = json;
    srandom((unsigned)time(NULL));
    check_kernel();
    check_capabilities();
    check_repair();
    check_bpf();
    check_firewall();
    int rc = read_links(&ls), usable = 0;
    if (rc)
        finding(FAIL, "interfaces", NULL, "the interfaces cannot be listed: %s", strerror(-rc));
    for (int i = 0; i < ls.n; i++) {
        show_link(&ls.v[i]);
        usable += (ls.v[i].flags & (IFF_UP | IFF_LOOPBACK)) == IFF_UP && ls.v[i].ipv4;
    }
    if (!rc && !usable)
        finding(FAIL, "interfaces", "ip link set dev NAME up; ip address add ADDRESS/PREFIX dev NAME",
                "no interface besides the loopback one is up with an IPv4 address");
    if (json)
        printf("\n]\n");
    return report.failures;
}
