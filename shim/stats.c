/* SPDX-License-Identifier: MIT */
/* What a process tells about its stack.
 *
 * sluicectl connects to the abstract socket "\0sluice/<pid>" and gets, without asking, one byte with a memfd:
 * the answer never blocks the thread that gives it, however long it is. Its lines are tab-separated:
 *   sock STATE recvq sendq local peer | kernel inode why | mib name value | drop name count text |
 *   rule line packets bytes text | dev name mode reason rx_packets rx_bytes tx_packets tx_bytes rx_dropped tx_dropped |
 *   qdisc dev kind packets bytes dropped overlimits requeues backlog qlen | fallback count why | program pid name */

#include "stats.h"
#include "../netdev/af_xdp.h"
#include "../stack/core/mib.h"
#include "../stack/core/net.h"
#include "../stack/core/netdevice.h"
#include "../stack/core/rcu.h"
#include "../stack/core/sch_generic.h"
#include "../stack/ipv4/tcp.h"
#include "config.h"
#include "filter.h"
#include "handover.h"
#include "runtime.h"
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/un.h>

#define MAX_SENTENCES 32
#define MAX_KERNEL_SOCKETS 1024

/* Why sockets are the kernel's. */
static struct {
    pthread_mutex_t lock; /* protects the rest; innermost */
    struct sentence {
        char why[256];
        u64 count;
    } s[MAX_SENTENCES];
    int n;
    u64 total;
    struct kernel_socket { /* the last ones */
        ino_t inode;
        int sentence;
    } k[MAX_KERNEL_SOCKETS];
    u32 nk;
} fallbacks = {.lock = PTHREAD_MUTEX_INITIALIZER};
static int listen_fd = -1;

/* lock held. The index of the sentence; the last slot is for all that do not fit. */
static int sentence_index(const char *why)
{
    int i;
    for (i = 0; i < fallbacks.n; i++)
        if (!strncmp(fallbacks.s[i].why, why, sizeof(fallbacks.s[i].why) - 1))
            return i;
    if (fallbacks.n == MAX_SENTENCES)
        return MAX_SENTENCES - 1;
    snprintf(fallbacks.s[i].why, sizeof(fallbacks.s[i].why), "%s", i == MAX_SENTENCES - 1 ? "various reasons" : why);
    fallbacks.n++;
    return i;
}

void stats_fallback(const char *why)
{
    struct net *net = live_net;
    pthread_mutex_lock(&fallbacks.lock);
    fallbacks.s[sentence_index(why)].count++;
    fallbacks.total++;
    pthread_mutex_unlock(&fallbacks.lock);
    if (net)
        NET_INC_STATS(net, SLUICE_MIB_FALLBACKS);
}

void stats_kernel_socket(struct file *f, const char *why)
{
    struct stat st;
    int fd = file_fd(f);
    if (fd < 0 || fstat(fd, &st))
        return;
    pthread_mutex_lock(&fallbacks.lock);
    fallbacks.k[fallbacks.nk++ % MAX_KERNEL_SOCKETS] = (struct kernel_socket){st.st_ino, sentence_index(why)};
    pthread_mutex_unlock(&fallbacks.lock);
}

bool stats_worth_writing(void) { return live_net || fallbacks.total; }

/* ---- sockets ---------------------------------------------------------------------------------------------------- */

static const char *const state_names[] = {"UNKNOWN",   "ESTAB",  "SYN-SENT",   "SYN-RECV", "FIN-WAIT-1", "FIN-WAIT-2", "TIME-WAIT",
                                          "UNCONN",    "CLOSE-WAIT", "LAST-ACK", "LISTEN", "CLOSING",    "SYN-RECV"};

static void print_addr(FILE *out, __be32 addr, u16 port, bool any)
{
    char a[INET_ADDRSTRLEN];
    inet_ntop(AF_INET, &addr, a, sizeof(a));
    if (port || !any)
        fprintf(out, "\t%s:%u", addr || !any ? a : "0.0.0.0", port);
    else
        fprintf(out, "\t%s:*", addr ? a : "0.0.0.0");
}

static void print_sock(struct sock_common *skc, void *arg)
{
    FILE *out = arg;
    u8 st = atomic_load(&skc->skc_state);
    u32 rq = 0, sq = 0;
    if (st == TCP_LISTEN) {
        const struct sock *sk = (const struct sock *)skc;
        rq = READ_ONCE(sk->sk_ack_backlog);
        sq = READ_ONCE(sk->sk_max_ack_backlog);
    } else if (st != TCP_TIME_WAIT && st != TCP_NEW_SYN_RECV) {
        const struct tcp_sock *tp = tcp_sk((const struct sock *)skc);
        rq = READ_ONCE(tp->rcv_nxt) - READ_ONCE(tp->copied_seq);
        sq = READ_ONCE(tp->write_seq) - READ_ONCE(tp->snd_una);
    }
    fprintf(out, "sock\t%s\t%u\t%u", st < ARRAY_SIZE(state_names) ? state_names[st] : "UNKNOWN", rq, sq);
    print_addr(out, skc->skc_rcv_saddr, skc->skc_num, false);
    print_addr(out, skc->skc_daddr, ntohs(skc->skc_dport), st == TCP_LISTEN);
    fputc('\n', out);
}

static void print_sockets(FILE *out, struct net *net)
{
    rcu_read_lock();
    inet_for_each(net, print_sock, out);
    rcu_read_unlock();
    pthread_mutex_lock(&fallbacks.lock);
    for (u32 i = 0; i < min(fallbacks.nk, (u32)MAX_KERNEL_SOCKETS); i++)
        fprintf(out, "kernel\t%lu\t%s\n", (unsigned long)fallbacks.k[i].inode, fallbacks.s[fallbacks.k[i].sentence].why);
    pthread_mutex_unlock(&fallbacks.lock);
}

/* ---- the service for sluicectl ------------------------------------------------------------------------------------- */

static const struct net_device *lowest(const struct net_device *dev)
{
    while (dev->lower)
        dev = dev->lower;
    return dev;
}

static void print_dev(FILE *out, const struct net_device *top)
{
    const struct net_device *dev = lowest(top);
    const struct net_device_stats *s = &dev->stats;
    fprintf(out, "dev\t%s\t%s\t%s\t%lu\t%lu\t%lu\t%lu\t%lu\t%lu\n", dev->name, af_xdp_mode_name(dev), af_xdp_mode_reason(dev),
            s->rx_packets, s->rx_bytes, s->tx_packets, s->tx_bytes, s->rx_dropped, s->tx_dropped);
}

/* Call fn for each rule, in the order of input, output; first: the first of all. */
static void each_rule(FILE *out, struct net *net, void (*fn)(FILE *out, const struct nf_rule *r, const char *text, bool first))
{
    char text[FILTER_TEXT_MAX];
    struct nf_rule r;
    bool first = true;
    for (int h = 0; h < NF_HOOK_MAX; h++)
        for (unsigned n = 0; nf_get_rule(net, (enum nf_inet_hooks_)h, n, &r); n++, first = false)
            fn(out, &r, filter_print(&r, text, sizeof(text)), first);
}

static void print_rule(FILE *out, const struct nf_rule *r, const char *text, bool first)
{
    (void)first;
    fprintf(out, "rule\t%u\t%lu\t%lu\t%s\n", r->line, r->packets, r->bytes, text);
}

/* The discipline of the device that is in the list: what wraps the interface has it. RCU section. */
static void print_qdisc(FILE *out, const struct net_device *top)
{
    struct Qdisc *q = rcu_dereference(top->qdisc);
    if (q)
        fprintf(out, "qdisc\t%s\t%s\t%lu\t%lu\t%lu\t%lu\t%lu\t%lu\t%u\n", top->name, q->ops->id, atomic_load(&q->stats.packets),
                atomic_load(&q->stats.bytes), atomic_load(&q->stats.drops), atomic_load(&q->stats.overlimits),
                atomic_load(&q->stats.requeues), atomic_load(&q->stats.backlog), READ_ONCE(q->qlen));
}

static void print_all(FILE *out, struct net *net)
{
    struct net_device *dev;
    fprintf(out, "program\t%d\t%s\n", getpid(), program_invocation_short_name);
    print_sockets(out, net);
    for (int i = 0; i < __MIB_MAX; i++)
        if (net_mib(net, i))
            fprintf(out, "mib\t%s\t%lu\n", mib_name(i), net_mib(net, i));
    for (int i = 0; i < __SKB_DROP_REASON_MAX; i++)
        if (atomic_load(&net->drops[i]))
            fprintf(out, "drop\t%s\t%lu\t%s\n", drop_reason_name(i), atomic_load(&net->drops[i]), drop_reason_text(i));
    each_rule(out, net, print_rule);
    rcu_read_lock();
    cds_list_for_each_entry_rcu(dev, &net->dev_list, node)
        print_dev(out, dev);
    cds_list_for_each_entry_rcu(dev, &net->dev_list, node)
        print_qdisc(out, dev);
    rcu_read_unlock();
    pthread_mutex_lock(&fallbacks.lock);
    for (int i = 0; i < fallbacks.n; i++)
        if (fallbacks.s[i].count)
            fprintf(out, "fallback\t%lu\t%s\n", fallbacks.s[i].count, fallbacks.s[i].why);
    pthread_mutex_unlock(&fallbacks.lock);
}

static bool peer_may_look(int fd)
{
    struct ucred cred;
    socklen_t len = sizeof(cred);
    return !real_getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len) && (cred.uid == 0 || cred.uid == geteuid());
}

static void send_fd(int to, int fd)
{
    char byte = 'S', buf[CMSG_SPACE(sizeof(int))] __attribute__((aligned(8))) = {0};
    struct iovec iov = {&byte, 1};
    struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = buf, .msg_controllen = sizeof(buf)};
    struct cmsghdr *c = CMSG_FIRSTHDR(&m);
    c->cmsg_level = SOL_SOCKET;
    c->cmsg_type = SCM_RIGHTS;
    c->cmsg_len = CMSG_LEN(sizeof(int));
    memcpy(CMSG_DATA(c), &fd, sizeof(int));
    real_sendmsg(to, &m, MSG_DONTWAIT | MSG_NOSIGNAL);
}

/* In the backstop thread: somebody has connected. */
static void serve(void *arg)
{
    struct net *net = live_net;
    int fd = real_accept4(listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (fd < 0)
        return;
    if (net && peer_may_look(fd)) {
        int mem = memfd_create("sluice-stats", MFD_CLOEXEC);
        int copy = mem < 0 ? -1 : real_fcntl(mem, F_DUPFD_CLOEXEC, 0);
        FILE *out = copy < 0 ? NULL : real_fdopen(copy, "w");
        if (out) {
            print_all(out, net);
            fclose(out);
            send_fd(fd, mem);
        } else if (copy >= 0) {
            real_close(copy);
        }
        if (mem >= 0)
            real_close(mem);
    }
    real_close(fd);
}

int stats_start(void)
{
    struct sockaddr_un un = {.sun_family = AF_UNIX};
    int n = snprintf(un.sun_path + 1, sizeof(un.sun_path) - 1, "sluice/%d", getpid());
    if (listen_fd >= 0)
        return 0;
    int fd = private_fd(REAL(real_socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)));
    if (fd < 0)
        return fd;
    int rc = REAL(real_bind(fd, (struct sockaddr *)&un, offsetof(struct sockaddr_un, sun_path) + 1 + n));
    if (!rc)
        rc = REAL(real_listen(fd, 8));
    if (!rc) {
        listen_fd = fd;
        rc = backstop_add_fd(fd, serve, NULL);
    }
    if (rc) {
        listen_fd = -1;
        private_close(fd);
    }
    return rc;
}

void stats_forget_in_child(void)
{
    pthread_mutex_init(&fallbacks.lock, NULL);
    fallbacks.n = 0;
    fallbacks.nk = 0;
    fallbacks.total = 0;
    memset(fallbacks.s, 0, sizeof(fallbacks.s));
    private_close(listen_fd); /* the parent goes on listening */
    listen_fd = -1;
}

/* ---- JSON at exit ----------------------------------------------------------------------------------------------------- */

static void json_string(FILE *out, const char *s)
{
    fputc('"', out);
    for (; *s; s++) {
        if (*s == '"' || *s == '\\')
            fprintf(out, "\\%c", *s);
        else if ((unsigned char)*s < 0x20)
            fprintf(out, "\\u%04x", *s);
        else
            fputc(*s, out);
    }
    fputc('"', out);
}

static void json_dev(FILE *out, const struct net_device *top, bool first)
{
    const struct net_device *dev = lowest(top);
    const struct net_device_stats *s = &dev->stats;
    fprintf(out, "%s\n    {\"name\": ", first ? "" : ",");
    json_string(out, dev->name);
    fprintf(out, ", \"mode\": ");
    json_string(out, af_xdp_mode_name(dev));
    fprintf(out, ", \"reason\": ");
    json_string(out, af_xdp_mode_reason(dev));
    fprintf(out,
            ", \"rx_packets\": %lu, \"rx_bytes\": %lu, \"tx_packets\": %lu, \"tx_bytes\": %lu, \"rx_dropped\": %lu, "
            "\"tx_dropped\": %lu, \"rx_errors\": %lu, \"tx_errors\": %lu",
            s->rx_packets, s->rx_bytes, s->tx_packets, s->tx_bytes, s->rx_dropped, s->tx_dropped, s->rx_errors, s->tx_errors);
    const struct Qdisc *q = rcu_dereference(top->qdisc);
    if (q)
        fprintf(out,
                ", \"qdisc\": {\"kind\": \"%s\", \"packets\": %lu, \"bytes\": %lu, \"dropped\": %lu, \"overlimits\": %lu, "
                "\"requeues\": %lu, \"backlog\": %lu, \"qlen\": %u}",
                q->ops->id, q->stats.packets, q->stats.bytes, q->stats.drops, q->stats.overlimits, q->stats.requeues, q->stats.backlog,
                q->qlen);
    fputc('}', out);
}

static void json_rule(FILE *out, const struct nf_rule *r, const char *text, bool first)
{
    fprintf(out, "%s\n    {\"line\": %u, \"packets\": %lu, \"bytes\": %lu, \"rule\": ", first ? "" : ",", r->line, r->packets,
            r->bytes);
    json_string(out, text);
    fputc('}', out);
}

static void json_net(FILE *out, struct net *net)
{
    struct net_device *dev;
    bool first = true;
    fprintf(out, "  \"connections\": {\"active\": %lu, \"passive\": %lu, \"established\": %lu},\n",
            net_mib(net, TCP_MIB_ACTIVEOPENS), net_mib(net, TCP_MIB_PASSIVEOPENS), net_mib(net, TCP_MIB_CURRESTAB));
    fprintf(out, "  \"segments\": {\"in\": %lu, \"out\": %lu, \"retransmitted\": %lu},\n", net_mib(net, TCP_MIB_INSEGS),
            net_mib(net, TCP_MIB_OUTSEGS), net_mib(net, TCP_MIB_RETRANSSEGS));
    fprintf(out, "  \"devices\": [");
    rcu_read_lock();
    cds_list_for_each_entry_rcu(dev, &net->dev_list, node) {
        json_dev(out, dev, first);
        first = false;
    }
    rcu_read_unlock();
    fprintf(out, "],\n  \"rules\": [");
    each_rule(out, net, json_rule);
    fprintf(out, "],\n  \"counters\": {");
    first = true;
    for (int i = 0; i < __MIB_MAX; i++) {
        if (!net_mib(net, i))
            continue;
        fprintf(out, "%s\n    \"%s\": %ld", first ? "" : ",", mib_name(i), (long)net_mib(net, i));
        first = false;
    }
    fprintf(out, "},\n  \"drops\": [");
    first = true;
    for (int i = 0; i < __SKB_DROP_REASON_MAX; i++) {
        if (!atomic_load(&net->drops[i]))
            continue;
        fprintf(out, "%s\n    {\"reason\": \"%s\", \"text\": ", first ? "" : ",", drop_reason_name(i));
        json_string(out, drop_reason_text(i));
        fprintf(out, ", \"count\": %lu}", atomic_load(&net->drops[i]));
        first = false;
    }
    fprintf(out, "],\n");
}

static void json_all(FILE *out)
{
    fprintf(out, "{\n  \"pid\": %d,\n  \"program\": ", getpid());
    json_string(out, program_invocation_short_name);
    fprintf(out, ",\n");
    if (live_net)
        json_net(out, live_net);
    fprintf(out, "  \"handovers\": {\"done\": %lu, \"failed\": %lu},\n", atomic_load(&handover_stats.done),
            atomic_load(&handover_stats.failed));
    fprintf(out, "  \"fallbacks\": [");
    pthread_mutex_lock(&fallbacks.lock);
    bool first = true;
    for (int i = 0; i < fallbacks.n; i++) {
        if (!fallbacks.s[i].count)
            continue;
        fprintf(out, "%s\n    {\"count\": %lu, \"why\": ", first ? "" : ",", fallbacks.s[i].count);
        json_string(out, fallbacks.s[i].why);
        fputc('}', out);
        first = false;
    }
    pthread_mutex_unlock(&fallbacks.lock);
    fprintf(out, "]\n}\n");
}

/* To a file beside it first: a reader sees a whole one or none. */
int stats_write_file(const char *path)
{
    char tmp[OPTION_PATH_MAX + 48];
    snprintf(tmp, sizeof(tmp), "%s.%d", path, getpid());
    FILE *out = fopen(tmp, "we");
    if (!out)
        return -errno;
    json_all(out);
    int rc = ferror(out) ? -EIO : 0;
    if (fclose(out))
        rc = -errno;
    if (!rc && rename(tmp, path))
        rc = -errno;
    if (rc)
        unlink(tmp);
    return rc;
}
