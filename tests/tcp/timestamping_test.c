/* SPDX-License-Identifier: MIT */
/* The error queue: SO_TIMESTAMPING of what is sent, completions of MSG_ZEROCOPY, and ICMP errors (IP_RECVERR). */

#include "../lib/tcpscript.h"
#include <linux/errqueue.h>
#include <linux/icmp.h>
#include <linux/net_tstamp.h>

TestSuite(timestamping, .init = script_init, .fini = script_fini);

struct stamp {
    ssize_t n;              /* bytes, or -errno */
    int flags;
    struct sock_extended_err ee;
    struct sockaddr_in offender;
    u64 when;               /* ns, 0: none */
    u8 data[2048];
};

static struct stamp next_error(struct socket *s)
{
    static struct stamp st;
    char control[256];
    struct iovec iov = { .iov_base = st.data, .iov_len = sizeof(st.data) };
    struct sk_msghdr msg = { .msg_control = control, .msg_controllen = sizeof(control) };
    struct msghdr m = { .msg_control = control };

    memset(&st, 0, sizeof(st));
    iov_iter_init(&msg.msg_iter, &iov, 1, sizeof(st.data));
    net_tick(script_net);
    st.n = sock_recvmsg(s, &msg, MSG_ERRQUEUE | MSG_DONTWAIT);
    st.flags = (int)msg.msg_flags;
    m.msg_controllen = sizeof(control) - msg.msg_controllen;
    for (struct cmsghdr *c = st.n < 0 ? NULL : CMSG_FIRSTHDR(&m); c; c = CMSG_NXTHDR(&m, c)) {
        if (c->cmsg_level == SOL_IP && c->cmsg_type == IP_RECVERR) {
            memcpy(&st.ee, CMSG_DATA(c), sizeof(st.ee));
            memcpy(&st.offender, CMSG_DATA(c) + sizeof(st.ee), sizeof(st.offender));
        } else if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SO_TIMESTAMPING) {
            struct scm_timestamping t;
            memcpy(&t, CMSG_DATA(c), sizeof(t));
            st.when = (u64)t.ts[0].tv_sec * NSEC_PER_SEC + (u64)t.ts[0].tv_nsec;
        }
    }
    return st;
}

#define ONLY (SOF_TIMESTAMPING_SOFTWARE | SOF_TIMESTAMPING_OPT_ID | SOF_TIMESTAMPING_OPT_TSONLY)
#define expect_stamp(s, type, id)                                                                                      \
    do {                                                                                                               \
        struct stamp st_ = next_error(s);                                                                              \
        cr_assert_eq(st_.n, 0);                                                                                        \
        cr_assert_eq(st_.ee.ee_errno, ENOMSG);                                                                         \
        cr_assert_eq(st_.ee.ee_origin, SO_EE_ORIGIN_TIMESTAMPING);                                                     \
        cr_assert_eq(st_.ee.ee_info, (u32)(type));                                                                     \
        cr_assert_eq(st_.ee.ee_data, (u32)(id), "byte %u, expected %u", st_.ee.ee_data, (u32)(id));                    \
        cr_assert_eq(st_.when, script_now());                                                                          \
    } while (0)

static struct socket *stamped(int flags)
{
    struct socket *s = script_accepted("mss 1000", 65535);

    cr_assert_eq(sys_setsockopt(s, SOL_SOCKET, SO_TIMESTAMPING, flags), 0);
    return s;
}

struct ts_cmsg { /* a cmsghdr and its data */
    size_t cmsg_len;
    int cmsg_level, cmsg_type;
    u32 flags, pad;
};

static struct ts_cmsg ask(u32 flags)
{
    return (struct ts_cmsg){
        .cmsg_len = CMSG_LEN(sizeof(u32)), .cmsg_level = SOL_SOCKET, .cmsg_type = SO_TIMESTAMPING, .flags = flags };
}

Test(timestamping, sched_snd_and_ack_of_one_write)
{
    struct socket *s = stamped(ONLY | SOF_TIMESTAMPING_TX_SCHED | SOF_TIMESTAMPING_TX_SOFTWARE | SOF_TIMESTAMPING_TX_ACK);

    cr_assert_eq(sys_write(s, 100), 100);
    tx(.len = 100);
    cr_assert(sys_poll(s) & EPOLLERR);
    expect_stamp(s, SCM_TSTAMP_SCHED, 99);
    expect_stamp(s, SCM_TSTAMP_SND, 99);
    cr_assert_eq(next_error(s).n, -EAGAIN);
    advance_ms(30);
    rx(.ack = 101);
    expect_stamp(s, SCM_TSTAMP_ACK, 99);
    cr_assert_eq(next_error(s).n, -EAGAIN);
    cr_assert_eq(sys_poll(s) & EPOLLERR, 0);
}

Test(timestamping, ids_count_from_where_opt_id_was_set)
{
    struct socket *s = script_accepted("mss 1000", 65535);

    cr_assert_eq(sys_write(s, 50), 50);
    tx(.len = 50);
    rx(.ack = 51);
    cr_assert_eq(sys_setsockopt(s, SOL_SOCKET, SO_TIMESTAMPING, ONLY | SOF_TIMESTAMPING_TX_ACK), 0);
    cr_assert_eq(sys_write(s, 10), 10);
    tx(.len = 10);
    rx(.ack = 61);
    expect_stamp(s, SCM_TSTAMP_ACK, 9);
}

Test(timestamping, ack_waits_for_the_last_byte_of_the_write)
{
    struct socket *s = stamped(ONLY | SOF_TIMESTAMPING_TX_ACK);

    cr_assert_eq(sys_write(s, 3000), 3000);
    cr_assert_eq(tx_ignore(), 3);
    rx(.ack = 2001);
    cr_assert_eq(next_error(s).n, -EAGAIN);
    advance_ms(5);
    rx(.ack = 3001);
    expect_stamp(s, SCM_TSTAMP_ACK, 2999);
}

Test(timestamping, snd_of_a_write_that_is_cut_comes_once_with_its_last_part)
{
    struct socket *s = script_accepted("mss 1000", 8000);

    cr_assert_eq(sys_setsockopt(s, SOL_SOCKET, SO_TIMESTAMPING, ONLY | SOF_TIMESTAMPING_TX_SOFTWARE), 0);
    rx(.len = 1);
    tx_ignore();
    rx(.len = 1, .win = 1000); /* taken back */
    tx_ignore();
    cr_assert_eq(sys_write(s, 2500), 2500);
    tx(.len = 1000);
    cr_assert_eq(next_error(s).n, -EAGAIN);
    rx(.win = 4000);
    tx_ignore();
    rx();
    tx_ignore();
    expect_stamp(s, SCM_TSTAMP_SND, 2499);
    rx(.ack = 2501);
}

Test(timestamping, ack_of_a_byte_before_the_cut_comes_with_the_first_part)
{
    struct socket *s = stamped(ONLY);
    struct ts_cmsg c = ask(SOF_TIMESTAMPING_TX_ACK);

    rx(.len = 1);
    tx_ignore();
    rx(.len = 1, .win = 1000); /* taken back */
    tx_ignore();
    cr_assert_eq(sys_sendmsg(s, 500, MSG_MORE, &c, sizeof(c)), 500);
    cr_assert_eq(sys_write(s, 2000), 2000); /* joins it, and asks for nothing */
    tx(.len = 1000);
    rx(.ack = 1001);
    tx_ignore();
    expect_stamp(s, SCM_TSTAMP_ACK, 499);
    rx(.win = 8000);
    tx_ignore();
    rx();
    cr_assert_eq(next_error(s).n, -EAGAIN);
}

Test(timestamping, ids_count_from_the_first_byte_that_is_not_acknowledged)
{
    struct socket *s = script_accepted("mss 1000", 65535);

    cr_assert_eq(sys_write(s, 50), 50);
    tx(.len = 50);
    cr_assert_eq(sys_setsockopt(s, SOL_SOCKET, SO_TIMESTAMPING, ONLY | SOF_TIMESTAMPING_TX_ACK), 0);
    rx(.ack = 51);
    cr_assert_eq(sys_write(s, 10), 10);
    tx(.len = 10);
    rx(.ack = 61);
    expect_stamp(s, SCM_TSTAMP_ACK, 59);
}

Test(timestamping, without_tsonly_the_packet_comes_back)
{
    struct socket *s = stamped(SOF_TIMESTAMPING_SOFTWARE | SOF_TIMESTAMPING_TX_ACK);
    struct stamp st;

    cr_assert_eq(sys_write(s, 100), 100);
    tx(.len = 100);
    rx(.ack = 101);
    st = next_error(s);
    cr_assert_eq(st.n, 100);
    cr_assert(st.flags & MSG_ERRQUEUE);
    cr_assert_eq(st.data[0], script_pattern(80, 1));
    cr_assert_eq(st.ee.ee_data, 0); /* no OPT_ID */
}

Test(timestamping, snd_of_a_retransmission_too)
{
    struct socket *s = stamped(ONLY | SOF_TIMESTAMPING_TX_SOFTWARE);

    cr_assert_eq(sys_write(s, 100), 100);
    tx(.len = 100);
    expect_stamp(s, SCM_TSTAMP_SND, 99);
    advance_ms(1100);
    cr_assert_geq(tx_ignore(), 1);
    cr_assert_eq(next_error(s).n, 0);
    rx(.ack = 101);
}

Test(timestamping, nothing_asked_nothing_queued)
{
    struct socket *s = stamped(ONLY);

    cr_assert_eq(sys_write(s, 100), 100);
    tx(.len = 100);
    rx(.ack = 101);
    cr_assert_eq(next_error(s).n, -EAGAIN);
}

Test(timestamping, full_receive_buffer_drops_stamps)
{
    struct socket *s = stamped(ONLY | SOF_TIMESTAMPING_TX_SCHED);
    int n = 0;

    cr_assert_eq(sys_setsockopt(s, SOL_SOCKET, SO_RCVBUF, 3000), 0);
    for (int i = 0; i < 30; i++) {
        cr_assert_eq(sys_write(s, 10), 10);
        tx_ignore();
        rx();
    }
    while (next_error(s).n == 0)
        n++;
    cr_assert_gt(n, 0);
    cr_assert_lt(n, 30);
    cr_assert_eq(atomic_load(&s->sk->sk_rmem_alloc), 0);
}

/* ---- control messages ---------------------------------------------------------------------------------------- */

Test(timestamping, control_message_asks_for_one_call)
{
    struct socket *s = stamped(ONLY);
    struct ts_cmsg c = ask(SOF_TIMESTAMPING_TX_ACK);

    cr_assert_eq(sys_write(s, 10), 10);
    tx(.len = 10);
    rx();
    cr_assert_eq(sys_sendmsg(s, 20, 0, &c, sizeof(c)), 20);
    tx(.len = 20);
    rx();
    cr_assert_eq(sys_write(s, 30), 30);
    tx(.len = 30);
    rx();
    expect_stamp(s, SCM_TSTAMP_ACK, 29);
    cr_assert_eq(next_error(s).n, -EAGAIN);
}

Test(timestamping, control_message_takes_back_what_the_socket_asks_for)
{
    struct socket *s = stamped(ONLY | SOF_TIMESTAMPING_TX_ACK | SOF_TIMESTAMPING_TX_SOFTWARE);
    struct ts_cmsg c = ask(0);

    cr_assert_eq(sys_sendmsg(s, 20, 0, &c, sizeof(c)), 20);
    tx(.len = 20);
    rx();
    cr_assert_eq(next_error(s).n, -EAGAIN);
}

Test(timestamping, control_message_that_is_wrong_sends_nothing)
{
    struct socket *s = stamped(ONLY);
    struct ts_cmsg c = ask(SOF_TIMESTAMPING_OPT_TSONLY); /* not a point in time */

    cr_assert_eq(sys_sendmsg(s, 20, 0, &c, sizeof(c)), -EINVAL);
    c = ask(SOF_TIMESTAMPING_TX_ACK);
    c.cmsg_len--;
    cr_assert_eq(sys_sendmsg(s, 20, 0, &c, sizeof(c)), -EINVAL);
    c.cmsg_len = 4096; /* longer than the buffer */
    cr_assert_eq(sys_sendmsg(s, 20, 0, &c, sizeof(c)), -EINVAL);
    c.cmsg_len = 3;
    cr_assert_eq(sys_sendmsg(s, 20, 0, &c, sizeof(c)), -EINVAL);
    c = ask(0);
    c.cmsg_type = 99;
    cr_assert_eq(sys_sendmsg(s, 20, 0, &c, sizeof(c)), -EINVAL);
    tx_nothing();
    c.cmsg_type = SCM_RIGHTS; /* a Unix socket's */
    cr_assert_eq(sys_sendmsg(s, 20, 0, &c, sizeof(c)), 20);
    tx(.len = 20);
    c = ask(99);
    c.cmsg_level = SOL_IP; /* not looked at, but for its length */
    c.cmsg_len = 4096;
    cr_assert_eq(sys_sendmsg(s, 20, 0, &c, sizeof(c)), -EINVAL);
    c.cmsg_len = CMSG_LEN(sizeof(u32));
    cr_assert_eq(sys_sendmsg(s, 20, 0, &c, sizeof(c)), 20);
    rx();
    tx(.len = 20);
    rx();
}

Test(timestamping, opt_id_tcp_counts_from_what_is_written_next)
{
    struct socket *s = script_accepted("mss 1000", 65535);

    cr_assert_eq(sys_write(s, 50), 50);
    tx(.len = 50);
    cr_assert_eq(sys_setsockopt(s, SOL_SOCKET, SO_TIMESTAMPING, 1 << 16), -EINVAL); /* without OPT_ID */
    cr_assert_eq(sys_setsockopt(s, SOL_SOCKET, SO_TIMESTAMPING, ONLY | SOF_TIMESTAMPING_TX_ACK | 1 << 16), 0);
    rx(.ack = 51);
    cr_assert_eq(sys_write(s, 10), 10);
    tx(.len = 10);
    rx(.ack = 61);
    expect_stamp(s, SCM_TSTAMP_ACK, 9);
}

Test(timestamping, write_that_is_joined_with_the_next_shares_its_stamp)
{
    struct socket *s = stamped(ONLY | SOF_TIMESTAMPING_TX_ACK);

    cr_assert_eq(sys_send(s, 10, MSG_MORE), 10);
    cr_assert_eq(sys_write(s, 20), 20);
    tx(.len = 30);
    rx();
    expect_stamp(s, SCM_TSTAMP_ACK, 29);
    cr_assert_eq(next_error(s).n, -EAGAIN);
}

Test(timestamping, stamp_survives_two_writes_joined_for_retransmission)
{
    struct socket *s = stamped(ONLY | SOF_TIMESTAMPING_TX_ACK);

    cr_assert_eq(sys_setsockopt(s, IPPROTO_TCP, TCP_NODELAY, 1), 0);
    sys_write(s, 10);
    tx(.len = 10);
    sys_write(s, 20);
    tx(.len = 20);
    tx_at(200, .seq = 1, .len = 30);
    rx(.ack = 31);
    expect_stamp(s, SCM_TSTAMP_ACK, 29);
}

/* What a poller that reads one entry at a time is told. */
static int reports;
static void (*error_report)(struct sock *sk);
static void count_report(struct sock *sk)
{
    reports++;
    error_report(sk);
}

Test(timestamping, every_entry_left_on_the_error_queue_is_reported_again)
{
    struct socket *s = stamped(ONLY | SOF_TIMESTAMPING_TX_SCHED | SOF_TIMESTAMPING_TX_SOFTWARE);

    cr_assert_eq(sys_write(s, 10), 10);
    tx(.len = 10);
    error_report = s->sk->sk_error_report;
    s->sk->sk_error_report = count_report;
    reports = 0;
    cr_assert_eq(next_error(s).n, 0);
    cr_assert_eq(reports, 1);
    cr_assert_eq(next_error(s).n, 0);
    cr_assert_eq(reports, 1);
    rx();
}

/* ---- MSG_ZEROCOPY --------------------------------------------------------------------------------------------- */

static struct socket *zero_copy(void)
{
    struct socket *s = script_accepted("mss 1000", 65535);

    cr_assert_eq(sys_setsockopt(s, SOL_SOCKET, SO_ZEROCOPY, 1), 0);
    return s;
}

#define expect_completion(s, first, last)                                                                              \
    do {                                                                                                               \
        struct stamp st_ = next_error(s);                                                                              \
        cr_assert_eq(st_.n, 0);                                                                                        \
        cr_assert(st_.flags & MSG_ERRQUEUE);                                                                           \
        cr_assert_eq(st_.ee.ee_errno, 0);                                                                              \
        cr_assert_eq(st_.ee.ee_origin, SO_EE_ORIGIN_ZEROCOPY);                                                         \
        cr_assert_eq(st_.ee.ee_code, SO_EE_CODE_ZEROCOPY_COPIED);                                                      \
        cr_assert_eq(st_.ee.ee_info, (u32)(first));                                                                    \
        cr_assert_eq(st_.ee.ee_data, (u32)(last));                                                                     \
        cr_assert_eq(st_.when, 0);                                                                                     \
    } while (0)

Test(timestamping, zerocopy_calls_complete_as_one_range)
{
    struct socket *s = zero_copy();

    for (int i = 0; i < 3; i++)
        cr_assert_eq(sys_send(s, 1000, MSG_ZEROCOPY), 1000);
    cr_assert_eq(tx_ignore(), 3);
    cr_assert(sys_poll(s) & EPOLLERR);
    expect_completion(s, 0, 2);
    cr_assert_eq(next_error(s).n, -EAGAIN);
    cr_assert_eq(sys_poll(s) & EPOLLERR, 0);
    cr_assert_eq(sys_send(s, 10, MSG_ZEROCOPY), 10);
    tx(.len = 10);
    expect_completion(s, 3, 3);
    rx();
}

Test(timestamping, zerocopy_completion_does_not_wait_for_the_ack_nor_come_again_with_a_retransmission)
{
    struct socket *s = zero_copy();

    cr_assert_eq(sys_send(s, 100, MSG_ZEROCOPY), 100);
    tx(.len = 100);
    expect_completion(s, 0, 0);
    tx_at(200, .seq = 1, .len = 100); /* from the copy */
    cr_assert_eq(next_error(s).n, -EAGAIN);
    rx();
    cr_assert_eq(next_error(s).n, -EAGAIN);
}

Test(timestamping, zerocopy_is_nothing_special_unless_the_socket_asked)
{
    struct socket *s = script_accepted("mss 1000", 65535);

    cr_assert_eq(sys_send(s, 100, MSG_ZEROCOPY), 100);
    tx(.len = 100);
    cr_assert_eq(next_error(s).n, -EAGAIN);
    rx();
}

Test(timestamping, zerocopy_of_no_bytes_or_refused_has_no_completion)
{
    struct socket *s = zero_copy();

    cr_assert_eq(sys_send(s, 0, MSG_ZEROCOPY), 0);
    cr_assert_eq(sys_setsockopt(s, SOL_SOCKET, SO_SNDBUF, 1), 0);
    cr_assert_gt(sys_send(s, 100000, MSG_ZEROCOPY), 0); /* a part: it completes */
    cr_assert_eq(sys_send(s, 100000, MSG_ZEROCOPY), -EAGAIN);
    expect_completion(s, 0, 0);
    cr_assert_eq(next_error(s).n, -EAGAIN);
    for (int i = 0; i < 40 && !(sys_poll(s) & EPOLLOUT); i++) {
        tx_ignore();
        rx();
    }
    tx_ignore();
    cr_assert_gt(sys_send(s, 10, MSG_ZEROCOPY), 0);
    expect_completion(s, 1, 1); /* the refused call took no number */
    tx_ignore();
    rx();
}

Test(timestamping, zerocopy_ranges_are_not_joined_across_a_timestamp)
{
    struct socket *s = stamped(ONLY | SOF_TIMESTAMPING_TX_ACK);

    cr_assert_eq(sys_setsockopt(s, SOL_SOCKET, SO_ZEROCOPY, 1), 0);
    cr_assert_eq(sys_send(s, 10, MSG_ZEROCOPY), 10);
    tx(.len = 10);
    rx();
    cr_assert_eq(sys_send(s, 10, MSG_ZEROCOPY), 10);
    tx(.len = 10);
    expect_completion(s, 0, 0);
    expect_stamp(s, SCM_TSTAMP_ACK, 9);
    expect_completion(s, 1, 1);
    rx();
    expect_stamp(s, SCM_TSTAMP_ACK, 19);
}

Test(timestamping, zerocopy_completions_nobody_read_go_with_the_socket)
{
    struct socket *s = zero_copy();

    cr_assert_eq(sys_send(s, 100, MSG_ZEROCOPY), 100);
    tx(.len = 100);
    sys_close(s);
    tx(.flags = "FA");
    rx(.flags = "FA");
    tx_ignore();
}

Test(timestamping, zerocopy_in_the_syn_completes_too)
{
    struct socket *s = sys_socket_bound();

    script_net->ipv4.sysctl_tcp_fastopen = 1 | 4; /* no cookie is needed */
    cr_assert_eq(sys_setsockopt(s, SOL_SOCKET, SO_ZEROCOPY, 1), 0);
    cr_assert_eq(sys_sendto(s, SCRIPT_PEER_PORT, 100, MSG_FASTOPEN | MSG_ZEROCOPY | MSG_DONTWAIT), 100);
    tx(.flags = "S", .len = 100);
    expect_completion(s, 0, 0);
    rx(.flags = "SA", .ack = 101, .opt = "mss 1000");
    tx_ignore();
}

/* ---- IP_RECVERR ------------------------------------------------------------------------------------------- */

Test(timestamping, icmp_error_of_a_connection_attempt_is_queued_with_its_source)
{
    struct socket *s = sys_socket_bound();
    struct stamp st;

    cr_assert_eq(sys_setsockopt(s, SOL_IP, IP_RECVERR, 1), 0);
    cr_assert_eq(sys_connect(s, SCRIPT_PEER_PORT), -EINPROGRESS);
    tx(.flags = "S");
    rx_icmp(ICMP_DEST_UNREACH, ICMP_HOST_UNREACH, 0, 0);
    cr_assert_eq(s->sk->sk_err, EHOSTUNREACH);
    st = next_error(s);
    cr_assert_eq(s->sk->sk_err, 0); /* told, and no other error follows */
    cr_assert_geq(st.n, 8);
    cr_assert_eq(st.ee.ee_errno, EHOSTUNREACH);
    cr_assert_eq(st.ee.ee_origin, SO_EE_ORIGIN_ICMP);
    cr_assert_eq(st.ee.ee_type, ICMP_DEST_UNREACH);
    cr_assert_eq(st.ee.ee_code, ICMP_HOST_UNREACH);
    cr_assert_eq(st.offender.sin_family, AF_INET);
}

Test(timestamping, icmp_error_behind_another_is_the_sockets_error_when_the_first_was_read)
{
    struct socket *s = sys_socket_bound();

    cr_assert_eq(sys_setsockopt(s, SOL_IP, IP_RECVERR, 1), 0);
    cr_assert_eq(sys_connect(s, SCRIPT_PEER_PORT), -EINPROGRESS);
    tx(.flags = "S");
    rx_icmp(ICMP_DEST_UNREACH, ICMP_HOST_UNREACH, 0, 0);
    cr_assert_eq(sys_connect(s, SCRIPT_PEER_PORT), -EHOSTUNREACH);
    cr_assert_eq(sys_connect(s, SCRIPT_PEER_PORT), -EINPROGRESS);
    tx_ignore();
    rx_icmp(ICMP_DEST_UNREACH, ICMP_PROT_UNREACH, 0, 0);
    cr_assert_eq(sys_error(s), ENOPROTOOPT);
    cr_assert_eq(next_error(s).ee.ee_errno, EHOSTUNREACH);
    cr_assert_eq(s->sk->sk_err, ENOPROTOOPT);
    cr_assert_eq(next_error(s).ee.ee_errno, ENOPROTOOPT);
    cr_assert_eq(s->sk->sk_err, 0);
}

/* An AF_INET6 socket that carries IPv4 gets the IPv6 message, with mapped addresses. */
Test(timestamping, icmp_error_of_an_inet6_socket_has_an_ipv6_control_message)
{
    struct socket *s = sys_socket_bound();
    struct {
        struct cmsghdr h;
        struct sock_extended_err ee;
        struct sockaddr_in6 offender;
    } c = { 0 };
    struct sockaddr_storage name;
    const struct sockaddr_in6 *about = (struct sockaddr_in6 *)&name;
    u8 data[100];
    struct iovec iov = { data, sizeof(data) };
    struct sk_msghdr msg = {
        .msg_control = &c, .msg_controllen = sizeof(c), .msg_name = &name };

    cr_assert_eq(sys_setsockopt(s, SOL_IP, IP_RECVERR, 1), 0);
    cr_assert_eq(sys_connect(s, SCRIPT_PEER_PORT), -EINPROGRESS);
    tx(.flags = "S");
    rx_icmp(ICMP_DEST_UNREACH, ICMP_HOST_UNREACH, 0, 0);
    iov_iter_init(&msg.msg_iter, &iov, 1, sizeof(data));
    s->sk->sk_family = AF_INET6;
    cr_assert_gt(sock_recvmsg(s, &msg, MSG_ERRQUEUE), 0);
    s->sk->sk_family = AF_INET;
    cr_assert_eq(c.h.cmsg_level, SOL_IPV6);
    cr_assert_eq(c.h.cmsg_type, IPV6_RECVERR);
    cr_assert_eq(c.ee.ee_errno, EHOSTUNREACH);
    cr_assert_eq(c.offender.sin6_family, AF_INET6);
    cr_assert(IN6_IS_ADDR_V4MAPPED(&c.offender.sin6_addr));
    cr_assert_eq(msg.msg_namelen, sizeof(*about));
    cr_assert_eq(about->sin6_family, AF_INET6);
    cr_assert_eq(about->sin6_addr.s6_addr32[3], htobe32(SCRIPT_PEER));
    cr_assert_eq(about->sin6_port, htobe16(SCRIPT_PEER_PORT));
}

Test(timestamping, icmp_error_without_recverr_is_not_queued)
{
    struct socket *s = sys_socket_bound();

    cr_assert_eq(sys_connect(s, SCRIPT_PEER_PORT), -EINPROGRESS);
    tx(.flags = "S");
    rx_icmp(ICMP_DEST_UNREACH, ICMP_HOST_UNREACH, 0, 0);
    cr_assert_eq(sys_error(s), EHOSTUNREACH);
    cr_assert_eq(next_error(s).n, -EAGAIN);
}

Test(timestamping, icmp_error_of_an_established_connection_is_reported_with_recverr)
{
    struct socket *s = script_connected("mss 1000", 65535);

    cr_assert_eq(sys_setsockopt(s, SOL_IP, IP_RECVERR, 1), 0);
    cr_assert_eq(sys_write(s, 100), 100);
    tx(.len = 100);
    rx_icmp(ICMP_DEST_UNREACH, ICMP_HOST_UNREACH, 0, 1);
    cr_assert_eq(sys_write(s, 100), -EHOSTUNREACH); /* once */
    cr_assert_eq(sys_state(s), TCP_ESTABLISHED);
    rx(.ack = 101);
}
