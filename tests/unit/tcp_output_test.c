/* SPDX-License-Identifier: MIT */
/* The sending side and the socket's life between two simulated hosts: slots, memory running out, the error
 * queue, urgent data, options, hand-over, and transfers whole under many settings. */

#include "../../stack/ipv4/tcp_handover.h"
#include "../lib/simnet.h"
#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <linux/errqueue.h>
#include <linux/sockios.h>

#define SG (NETIF_F_SG | NETIF_F_HW_CSUM | NETIF_F_TSO)
#define MIB (1u << 20)

static struct sim *sim;
static struct net *a, *b;
static struct memlink *wire;
static struct socket *listener, *client, *server;
static u8 out[2 * MIB], in[2 * MIB];

static u8 pattern(u64 i) { return (u8)((i * 2654435761u) >> 13 ^ i); }

/* ---- fixture -------------------------------------------------------------------------------------------------- */

static struct link_config config = {.delay_ns = NSEC_PER_MSEC, .features = SG};

static void make_hosts(void)
{
    inet_init();
    for (u32 i = 0; i < sizeof(out); i++)
        out[i] = pattern(i);
    sim = sim_create(7);
    a = sim_net(sim);
    b = sim_net(sim);
}

static void add_host(int end, const char *addr)
{
    struct net_device *dev = memlink_dev(wire, end);

    dev->own_address = true;
    dev_add_addr(dev, inet_addr(addr), 24);
    fib_add_route(dev->net, inet_addr("10.0.0.0"), 24, 0, dev->ifindex, 0, 0);
}

static struct socket *tcp_socket(struct net *net)
{
    struct socket *s;

    cr_assert_eq(sock_create(net, AF_INET, SOCK_STREAM, 0, &s), 0);
    return s;
}

/* A connection from client in a to server in b. */
static void join_hosts(void)
{
    struct sockaddr_in addr = {
        .sin_family = AF_INET, .sin_port = htons(80), .sin_addr.s_addr = inet_addr("10.0.0.2")};

    wire = sim_link(sim, a, b, &config);
    add_host(0, "10.0.0.1");
    add_host(1, "10.0.0.2");
    listener = tcp_socket(b);
    cr_assert_eq(listener->ops->bind(listener, (struct sockaddr *)&addr, sizeof(addr)), 0);
    cr_assert_eq(listener->ops->listen(listener, 5), 0);
    client = tcp_socket(a);
    cr_assert_eq(client->ops->connect(client, (struct sockaddr *)&addr, sizeof(addr), 0), 0);
    server = sock_alloc(b);
    cr_assert_eq(listener->ops->accept(listener, server, 0), 0);
}

static void set_up(void) { make_hosts(); }

static void tear_down(void)
{
    sock_release(client);
    sock_release(server);
    sock_release(listener);
    sim_run_idle(sim, 600 * NSEC_PER_SEC);
    sim_assert_home(a);
    sim_assert_home(b);
    sim_destroy(sim);
}

TestSuite(tcp_output, .init = set_up, .fini = tear_down);

static ssize_t send_bytes(struct socket *s, const void *buf, size_t len, int flags)
{
    struct iovec iov = {(void *)buf, len};
    struct sk_msghdr msg = {.msg_flags = (unsigned)flags};

    iov_iter_init(&msg.msg_iter, &iov, 1, len);
    net_tick(s->net);
    return sock_sendmsg(s, &msg);
}

static ssize_t recv_bytes(struct socket *s, void *buf, size_t len, int flags)
{
    struct iovec iov = {buf, len};
    struct sk_msghdr msg = {0};

    iov_iter_init(&msg.msg_iter, &iov, 1, len);
    net_tick(s->net);
    return sock_recvmsg(s, &msg, flags);
}

static u64 received;

/* Take everything that has arrived and check it. */
static void drain(void)
{
    ssize_t n;

    while ((n = recv_bytes(server, in, sizeof(in), MSG_DONTWAIT)) > 0) {
        for (ssize_t i = 0; i < n; i++)
            cr_assert_eq(in[i], pattern((received + (u64)i) % sizeof(out)), "byte %llu is wrong",
                         (unsigned long long)(received + (u64)i));
        received += (u64)n;
    }
}

static void drain_every_ms(void *arg)
{
    drain();
    if (received < *(u64 *)arg)
        sim_at(sim, sim->now + NSEC_PER_MSEC, drain_every_ms, arg);
}

/* Write `total` bytes of the pattern in pieces and read them. */
static void transfer(u64 total, size_t piece)
{
    u64 sent = 0, at, idle = 0;
    ssize_t n;

    while (received < total) {
        n = 0;
        if (sent < total) {
            at = sent % sizeof(out);
            n = send_bytes(client, out + at, min(min(piece, (size_t)(total - sent)), sizeof(out) - at),
                           MSG_DONTWAIT);
            cr_assert(n > 0 || n == -EAGAIN, "send: %zd", n);
            sent += n > 0 ? (u64)n : 0;
        }
        at = received;
        drain();
        if (n <= 0 && received == at)
            cr_assert(sim_step(sim) && ++idle < 1000000, "stuck at %llu of %llu sent, %llu received",
                      (unsigned long long)sent, (unsigned long long)total, (unsigned long long)received);
    }
    cr_assert_eq(received, total);
}

/* ---- slots ------------------------------------------------------------------------------------------------------- */

static u32 segments_seen, headroom_missing, shared_segments;

static void look_at_frags(void *arg, int end, const struct sk_buff *skb, u64 now)
{
    const struct skb_shared_info *si = skb_shinfo(skb);

    if (end != 0 || !si->nr_frags)
        return;
    segments_seen += si->gso_size ? si->gso_segs : 1;
    shared_segments += si->nr_frags != (si->gso_size ? si->gso_segs : 1);
    for (int i = 0; i < si->nr_frags; i++)
        headroom_missing += si->frags[i].off < MAX_HEADER_ROOM;
}

Test(tcp_output, every_segment_is_one_frag_with_headroom)
{
    join_hosts();
    memlink_set_tap(wire, look_at_frags, NULL);
    transfer(2 * MIB, 10000);
    cr_assert_gt(segments_seen, 1400);
    cr_assert_eq(shared_segments, 0);
    cr_assert_eq(headroom_missing, 0);
}

Test(tcp_output, small_writes_fill_one_slot)
{
    s64 before;

    join_hosts();
    tcp_sk(client->sk)->nonagle = TCP_NAGLE_CORK;
    before = atomic_load(&a->tx_pool->outstanding);
    for (int i = 0; i < 100; i++)
        cr_assert_eq(send_bytes(client, out + i * 14, 14, 0), 14);
    cr_assert_eq(atomic_load(&a->tx_pool->outstanding) - before, 1);
    tcp_sk(client->sk)->nonagle = 0;
}

static void limit_pool(u64 pages)
{
    page_pool_heap_destroy(sim->pools[0]);
    sim->pools[0] = a->tx_pool = page_pool_heap_create(2048, MAX_HEADER_ROOM, pages);
}

Test(tcp_output, blocking_write_waits_for_slots)
{
    static u64 total = MIB;

    limit_pool(40);
    join_hosts();
    sim_at(sim, sim->now, drain_every_ms, &total);
    cr_assert_eq(send_bytes(client, out, total, 0), (ssize_t)total);
    sim_run_for(sim, NSEC_PER_SEC);
    cr_assert_eq(received, total);
}

Test(tcp_output, nonblocking_write_with_few_slots_loses_nothing)
{
    limit_pool(10);
    join_hosts();
    transfer(MIB, 65536);
}

/* ---- windows ------------------------------------------------------------------------------------------------------- */

Test(tcp_output, zero_window_is_probed_and_opens_again)
{
    u64 sent = 0;
    ssize_t n;

    join_hosts();
    for (int i = 0; i < 200; i++) {
        n = send_bytes(client, out + sent, sizeof(out) - sent, MSG_DONTWAIT);
        sent += n > 0 ? (u64)n : 0;
        sim_run_for(sim, 10 * NSEC_PER_MSEC);
    }
    cr_assert_eq(tcp_sk(client->sk)->snd_wnd, 0);
    sim_run_for(sim, 60 * NSEC_PER_SEC);
    cr_assert_geq(net_mib(a, LINUX_MIB_TCPWINPROBE), 5);
    while (received < sent) {
        drain();
        cr_assert(sim_step(sim));
    }
}

Test(tcp_output, mtu_probing_finds_the_path_mtu)
{
    a->ipv4.sysctl_tcp_mtu_probing = 2;
    a->ipv4.sysctl_tcp_base_mss = 512;
    config.rate_bps = 1000000000;
    join_hosts();
    cr_assert_eq(tcp_sk(client->sk)->mss_cache, 512);
    transfer(8 * (u64)MIB, 65536);
    cr_assert_gt(tcp_sk(client->sk)->mss_cache, 1400);
    cr_assert_geq(net_mib(a, LINUX_MIB_TCPMTUPSUCCESS), 1);
}

/* ---- whole transfers ----------------------------------------------------------------------------------------------- */

Test(tcp_output, without_scatter_gather_segments_are_linear)
{
    config.features = NETIF_F_HW_CSUM;
    join_hosts();
    transfer(2 * MIB, 65536);
    cr_assert_eq(net_mib(a, TCP_MIB_RETRANSSEGS), 0);
}

Test(tcp_output, survives_loss_reordering_duplication_and_corruption)
{
    config.rate_bps = 1000000000;
    config.loss_ppm = 20000;
    config.reorder_ppm = 20000;
    config.reorder_delay_ns = 500000;
    config.dup_ppm = 5000;
    config.corrupt_ppm = 5000;
    join_hosts();
    transfer(4 * (u64)MIB, 65536);
    cr_assert_gt(net_mib(a, TCP_MIB_RETRANSSEGS), 0);
}

Test(tcp_output, no_options_at_all_and_reno)
{
    a->ipv4.sysctl_tcp_sack = a->ipv4.sysctl_tcp_timestamps = a->ipv4.sysctl_tcp_window_scaling = 0;
    strcpy(a->ipv4.sysctl_tcp_congestion_control, "reno");
    config.rate_bps = 100000000;
    config.loss_ppm = 10000;
    join_hosts();
    cr_assert_eq(tcp_sk(client->sk)->mss_cache, 1460);
    transfer(2 * MIB, 65536);
}

Test(tcp_output, jumbo_frames_span_slots)
{
    config.mtu = 9000;
    config.loss_ppm = 5000;
    join_hosts();
    cr_assert_eq(tcp_sk(client->sk)->mss_cache, 8948);
    transfer(4 * (u64)MIB, 65536);
}

Test(tcp_output, tiny_mtu_runs_out_of_frags_not_of_order)
{
    config.mtu = 300;
    config.loss_ppm = 5000;
    join_hosts();
    transfer(MIB, 65536);
}

Test(tcp_output, internal_pacing_keeps_the_rate)
{
    u64 begin;

    join_hosts();
    client->sk->sk_pacing_status = SK_PACING_NEEDED;
    client->sk->sk_max_pacing_rate = client->sk->sk_pacing_rate = 1000000; /* bytes/s */
    begin = sim->now;
    transfer(MIB, 65536);
    cr_assert_geq(sim->now - begin, 900 * NSEC_PER_MSEC);
    cr_assert_leq(sim->now - begin, 1200 * NSEC_PER_MSEC);
}

/* ---- the program's side -------------------------------------------------------------------------------------------- */

Test(tcp_output, zerocopy_sends_complete_as_copied)
{
    struct {
        struct cmsghdr hdr;
        struct sock_extended_err ee;
        struct sockaddr_in offender;
    } ctl = {0};
    struct sk_msghdr msg = {.msg_control = &ctl, .msg_controllen = sizeof(ctl)};
    struct iovec iov = {in, 1};
    int one = 1;

    join_hosts();
    cr_assert_eq(sock_setsockopt(client, SOL_SOCKET, SO_ZEROCOPY, &one, sizeof(one)), 0);
    for (int i = 0; i < 3; i++)
        cr_assert_eq(send_bytes(client, out, 1000, MSG_ZEROCOPY), 1000);
    cr_assert(client->ops->poll(client, NULL) & EPOLLERR);
    iov_iter_init(&msg.msg_iter, &iov, 1, 1);
    cr_assert_eq(sock_recvmsg(client, &msg, MSG_ERRQUEUE | MSG_DONTWAIT), 0);
    cr_assert_eq(ctl.hdr.cmsg_type, IP_RECVERR);
    cr_assert_eq(ctl.ee.ee_origin, SO_EE_ORIGIN_ZEROCOPY);
    cr_assert_eq(ctl.ee.ee_code, SO_EE_CODE_ZEROCOPY_COPIED);
    cr_assert_eq(ctl.ee.ee_info, 0);
    cr_assert_eq(ctl.ee.ee_data, 2);
    cr_assert_eq(sock_recvmsg(client, &msg, MSG_ERRQUEUE | MSG_DONTWAIT), -EAGAIN);
    cr_assert_eq(client->ops->poll(client, NULL) & EPOLLERR, 0);
}

Test(tcp_output, completed_pure_ack_lets_no_throttled_socket_go_on)
{
    struct tcp_sock *tp;

    join_hosts();
    tp = (struct tcp_sock *)client->sk;
    sim_run_idle(sim, NSEC_PER_SEC);
    lock_sock(client->sk);
    tp->tsq_flags |= 1ul << TSQ_THROTTLED;
    tcp_send_ack(client->sk);
    release_sock(client->sk);
    sim_run_idle(sim, NSEC_PER_SEC);
    cr_assert_eq(atomic_load(&client->sk->sk_wmem_alloc), 1, "the ACK is still charged");
    cr_assert(tp->tsq_flags & 1ul << TSQ_THROTTLED);
    tp->tsq_flags &= ~(1ul << TSQ_THROTTLED);
}

Test(tcp_output, urgent_byte_is_out_of_band)
{
    int mark = 0;

    join_hosts();
    send_bytes(client, "abc", 3, 0);
    send_bytes(client, "X", 1, MSG_OOB);
    send_bytes(client, "def", 3, 0);
    sim_run_for(sim, 100 * NSEC_PER_MSEC);
    cr_assert(server->ops->poll(server, NULL) & EPOLLPRI);
    cr_assert_eq(recv_bytes(server, in, 10, 0), 3);
    cr_assert_eq(server->ops->ioctl(server, SIOCATMARK, &mark), 0);
    cr_assert_eq(mark, 1);
    cr_assert_eq(recv_bytes(server, in, 10, MSG_OOB), 1);
    cr_assert_eq(in[0], 'X');
    cr_assert_eq(recv_bytes(server, in, 10, 0), 3);
    cr_assert_eq(memcmp(in, "def", 3), 0);
}

static void opt_is(int opt, int val, int err, int then)
{
    int got = -7;
    socklen_t len = sizeof(got);

    cr_expect_eq(client->ops->setsockopt(client, IPPROTO_TCP, opt, &val, sizeof(val)), err, "option %d = %d",
                 opt, val);
    cr_expect_eq(client->ops->getsockopt(client, IPPROTO_TCP, opt, &got, &len), 0, "option %d", opt);
    cr_expect_eq(got, then, "option %d after %d: %d", opt, val, got);
}

Test(tcp_output, options_have_linuxs_ranges) /* compared with a 6.18 kernel's answers */
{
    int val = 1;

    join_hosts();
    opt_is(TCP_KEEPIDLE, 0, -EINVAL, 7200);
    opt_is(TCP_KEEPIDLE, 32767, 0, 32767);
    opt_is(TCP_KEEPIDLE, 32768, -EINVAL, 32767);
    opt_is(TCP_KEEPCNT, 128, -EINVAL, 9);
    opt_is(TCP_SYNCNT, 127, 0, 127);
    opt_is(TCP_LINGER2, -1, 0, -1);
    opt_is(TCP_LINGER2, 32767, 0, 120);
    opt_is(TCP_DEFER_ACCEPT, 100, 0, 127);
    opt_is(TCP_WINDOW_CLAMP, 1, 0, 1152);
    opt_is(TCP_QUICKACK, 0, 0, 0);
    opt_is(TCP_QUICKACK, 2, 0, 1);
    opt_is(TCP_MAXSEG, 87, -EINVAL, 1448);
    opt_is(TCP_USER_TIMEOUT, -1, -EINVAL, 0);
    opt_is(TCP_NODELAY, 2, 0, 1);
    opt_is(TCP_REPAIR, 1, -EPERM, 0);
    opt_is(44 /* TCP_RTO_MAX_MS */, 999, -EINVAL, 120000);
    opt_is(44, 1000, 0, 1000);
    opt_is(44, 120001, -EINVAL, 1000);
    opt_is(45 /* TCP_RTO_MIN_US */, 1999, -EINVAL, 200000);
    opt_is(45, 200001, -EINVAL, 200000);
    opt_is(45, 100000, 0, 100000);
    opt_is(46 /* TCP_DELACK_MAX_US */, 1999, -EINVAL, 200000);
    opt_is(46, 200001, -EINVAL, 200000);
    opt_is(46, 100000, 0, 100000);
    cr_assert_eq(client->ops->setsockopt(client, IPPROTO_TCP, 99, &val, sizeof(val)), -ENOPROTOOPT);
    cr_assert_eq(client->ops->setsockopt(client, IPPROTO_TCP, TCP_NODELAY, &val, 3), -EINVAL);
    cr_assert_eq(client->ops->setsockopt(client, IPPROTO_TCP, TCP_CONGESTION, "nonsense", 8), -ENOENT);
}

Test(tcp_output, notsent_lowat_stops_the_writer)
{
    ssize_t n, total = 0;

    a->ipv4.sysctl_tcp_wmem[1] = 4 << 20; /* the buffer is not what stops it */
    join_hosts();
    opt_is(TCP_NOTSENT_LOWAT, 20000, 0, 20000);
    while ((n = send_bytes(client, out + total, 4096, MSG_DONTWAIT)) > 0)
        total += n;
    cr_assert_eq(n, -EAGAIN);
    cr_assert_leq(tcp_sk(client->sk)->write_seq - tcp_sk(client->sk)->snd_nxt, 20000 + 65536);
    cr_assert_eq(client->ops->poll(client, NULL) & EPOLLOUT, 0);
    received = 0;
    while (!(client->ops->poll(client, NULL) & EPOLLOUT)) {
        drain();
        cr_assert(sim_step(sim));
    }
}

/* ---- hand-over ----------------------------------------------------------------------------------------------------- */

static struct tcp_handover_state st;

/* 5000 bytes unread, 120000 written and nothing acknowledged. */
static ssize_t extract(void)
{
    ssize_t n;

    join_hosts();
    send_bytes(server, out, 5000, 0);
    sim_run_for(sim, 50 * NSEC_PER_MSEC);
    memlink_set_up(wire, false);
    n = send_bytes(client, out, 120000, MSG_DONTWAIT);
    cr_assert_gt(n, 20000);
    cr_assert_eq(tcp_extract(client->sk, &st), 0);
    return n;
}

Test(tcp_output, extract_describes_the_connection_and_its_bytes)
{
    ssize_t n = extract();

    cr_assert_eq(st.state, TCP_ESTABLISHED);
    cr_assert_eq(st.options, TCPI_OPT_TIMESTAMPS | TCPI_OPT_SACK | TCPI_OPT_WSCALE);
    cr_assert_eq(st.snd_nxt - st.snd_una, 14480);
    cr_assert_eq(st.write_seq - st.snd_una, (u32)n);
    cr_assert_eq(st.rcv_nxt - st.copied_seq, 5000);
    cr_assert_eq(tcp_handover_peek_send(client->sk, 0, in, sizeof(in)), n);
    cr_assert_eq(memcmp(in, out, (size_t)n), 0);
    cr_assert_eq(tcp_handover_peek_send(client->sk, 777, in, 20000), 20000);
    cr_assert_eq(memcmp(in, out + 777, 20000), 0);
    cr_assert_eq(tcp_handover_peek_recv(client->sk, 100, in, sizeof(in)), 4900);
    cr_assert_eq(memcmp(in, out + 100, 4900), 0);
    tcp_handover_undo(client->sk);
    memlink_set_up(wire, true);
    while (received < (u64)n) { /* it goes on as before */
        drain();
        cr_assert(sim_step(sim));
    }
}

Test(tcp_output, done_ends_the_sock_silently)
{
    u64 sent;

    extract();
    sent = net_mib(a, TCP_MIB_OUTSEGS);
    tcp_handover_done(client->sk);
    memlink_set_up(wire, true);
    sim_run_for(sim, NSEC_PER_SEC);
    cr_assert_eq(recv_bytes(client, in, 10, 0), -SLUICE_EMOVED);
    cr_assert_eq(send_bytes(client, out, 10, 0), -SLUICE_EMOVED);
    cr_assert_eq(net_mib(a, TCP_MIB_OUTSEGS), sent);
    cr_assert_eq(net_mib(a, TCP_MIB_ESTABRESETS), 0);
    cr_assert_eq(net_mib(a, TCP_MIB_CURRESTAB), 0);
    cr_assert_eq(net_mib(a, SLUICE_MIB_HANDOVERS), 1);
}

Test(tcp_output, extract_counts_no_fin_as_data)
{
    join_hosts();
    send_bytes(server, out, 100, 0);
    server->ops->shutdown(server, SHUT_WR);
    sim_run_for(sim, 100 * NSEC_PER_MSEC);
    cr_assert_eq(tcp_extract(client->sk, &st), 0);
    cr_assert_eq(st.state, TCP_CLOSE_WAIT);
    cr_assert(st.fin_rcvd && !st.fin_queued);
    cr_assert_eq(st.rcv_nxt - st.copied_seq, 100);
    cr_assert_eq(tcp_handover_peek_recv(client->sk, 0, in, sizeof(in)), 100);
    tcp_handover_undo(client->sk);
    cr_assert_eq(tcp_extract(server->sk, &st), 0);
    cr_assert_eq(st.state, TCP_FIN_WAIT2);
    cr_assert(st.fin_queued && st.fin_acked && !st.fin_rcvd);
    cr_assert_eq(st.snd_una, st.write_seq);
    cr_assert_eq(st.snd_nxt, st.write_seq);
    tcp_handover_undo(server->sk);
    cr_assert_eq(tcp_extract(listener->sk, &st), -EINVAL);
}
