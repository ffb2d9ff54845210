/* SPDX-License-Identifier: MIT */
/* The error queue: SO_TIMESTAMPING of what is sent, and ICMP errors (IP_RECVERR). */

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
    struct socket *s = script_accepted("mss 1000", 1500);

    cr_assert_eq(sys_setsockopt(s, SOL_SOCKET, SO_TIMESTAMPING, ONLY | SOF_TIMESTAMPING_TX_SOFTWARE), 0);
    cr_assert_eq(sys_write(s, 2500), 2500);
    cr_assert_gt(tx_ignore(), 0);
    cr_assert_eq(next_error(s).n, -EAGAIN);
    rx(.win = 4000);
    tx_ignore();
    rx();
    tx_ignore();
    expect_stamp(s, SCM_TSTAMP_SND, 2499);
    rx(.ack = 2501);
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

/* ---- IP_RECVERR ------------------------------------------------------------------------------------------- */

Test(timestamping, icmp_error_of_a_connection_attempt_is_queued_with_its_source)
{
    struct socket *s = sys_socket_bound();
    struct stamp st;

    cr_assert_eq(sys_setsockopt(s, SOL_IP, IP_RECVERR, 1), 0);
    cr_assert_eq(sys_connect(s, SCRIPT_PEER_PORT), -EINPROGRESS);
    tx(.flags = "S");
    rx_icmp(ICMP_DEST_UNREACH, ICMP_HOST_UNREACH, 0, 0);
    cr_assert_eq(sys_error(s), EHOSTUNREACH);
    st = next_error(s);
    cr_assert_geq(st.n, 8);
    cr_assert_eq(st.ee.ee_errno, EHOSTUNREACH);
    cr_assert_eq(st.ee.ee_origin, SO_EE_ORIGIN_ICMP);
    cr_assert_eq(st.ee.ee_type, ICMP_DEST_UNREACH);
    cr_assert_eq(st.ee.ee_code, ICMP_HOST_UNREACH);
    cr_assert_eq(st.offender.sin_family, AF_INET);
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
    cr_assert_eq(sys_error(s), EHOSTUNREACH);
    cr_assert_eq(sys_state(s), TCP_ESTABLISHED);
    rx(.ack = 101);
}
