/* SPDX-License-Identifier: MIT */
/* Options of SOL_TCP that act on a connection or tell of it (tcp(7)); their ranges: tests/unit/tcp_output_test.c. What is
 * expected here was compared with a 6.18 kernel. */

#include "../lib/tcpscript.h"
#include <linux/inet_diag.h>

#ifndef SO_TXREHASH
#define SO_TXREHASH 74
#endif

TestSuite(option, .init = script_init, .fini = script_fini);

/* ---- TCP_QUICKACK -------------------------------------------------------------------------------------------------- */

/* One that answers, so that ACKs wait; the last segment's does. */
static struct socket *ack_waits(void)
{
    struct socket *s = script_accepted("mss 1460", 65535);

    rx(.len = 100);
    tx(.ack = 101);
    cr_assert_eq(sys_read(s, 100), 100);
    cr_assert_eq(sys_write(s, 100), 100);
    tx(.len = 100, .ack = 101);
    rx(.len = 100);
    tx_nothing();
    cr_assert_eq(sys_read(s, 100), 100);
    tx_nothing();
    return s;
}

Test(option, quickack_even_value_sends_the_waiting_ack_and_delays_the_next)
{
    struct socket *s = ack_waits();

    cr_assert_eq(sys_setsockopt(s, IPPROTO_TCP, TCP_QUICKACK, 2), 0);
    tx(.ack = 201);
    cr_assert_eq(sys_getsockopt_int(s, IPPROTO_TCP, TCP_QUICKACK), 0);
    rx(.len = 100);
    tx_at(40, .ack = 301);
}

Test(option, quickack_odd_value_stays)
{
    struct socket *s = ack_waits();

    cr_assert_eq(sys_setsockopt(s, IPPROTO_TCP, TCP_QUICKACK, 3), 0);
    tx(.ack = 201);
    cr_assert_eq(sys_getsockopt_int(s, IPPROTO_TCP, TCP_QUICKACK), 1);
    rx(.len = 100);
    tx(.ack = 301);
}

Test(option, quickack_0_delays_what_a_new_connection_would_acknowledge_at_once)
{
    struct socket *s = script_accepted("mss 1460", 65535);

    cr_assert_eq(sys_setsockopt(s, IPPROTO_TCP, TCP_QUICKACK, 0), 0);
    rx(.len = 100);
    tx_at(40, .ack = 101);
}

/* ---- TCP_INQ --------------------------------------------------------------------------------------------------------- */

/* recvmsg() of up to len bytes; *inq: what its control message says, -1 without. */
static ssize_t read_inq(struct socket *s, size_t len, int *inq)
{
    char control[CMSG_SPACE(sizeof(int))] = {0}, buf[4096];
    struct iovec iov = { .iov_base = buf, .iov_len = len };
    struct sk_msghdr msg = { .msg_control = control, .msg_controllen = sizeof(control) };
    struct msghdr sent = { .msg_control = control };
    struct cmsghdr *c;
    ssize_t n;

    iov_iter_init(&msg.msg_iter, &iov, 1, len);
    n = sock_recvmsg(s, &msg, MSG_DONTWAIT);
    sent.msg_controllen = sizeof(control) - msg.msg_controllen;
    c = CMSG_FIRSTHDR(&sent);
    *inq = c && c->cmsg_level == IPPROTO_TCP && c->cmsg_type == TCP_CM_INQ ? *(int *)CMSG_DATA(c) : -1;
    return n;
}

Test(option, inq_tells_what_is_left_and_counts_a_fin)
{
    struct socket *s = script_accepted("mss 1460", 65535);
    int inq;

    rx(.len = 1000);
    tx(.ack = 1001);
    cr_assert_eq(read_inq(s, 100, &inq), 100);
    cr_assert_eq(inq, -1, "not asked for");
    cr_assert_eq(sys_setsockopt(s, IPPROTO_TCP, TCP_INQ, 2), -EINVAL);
    cr_assert_eq(sys_setsockopt(s, IPPROTO_TCP, TCP_INQ, 1), 0);
    cr_assert_eq(sys_getsockopt_int(s, IPPROTO_TCP, TCP_INQ), 1);
    cr_assert_eq(read_inq(s, 500, &inq), 500);
    cr_assert_eq(inq, 400);
    cr_assert_eq(read_inq(s, 400, &inq), 400);
    cr_assert_eq(inq, 0);
    cr_assert_eq(read_inq(s, 1, &inq), -EAGAIN);
    cr_assert_eq(inq, -1, "an error has no control message");
    rx(.flags = "FPA", .len = 200);
    tx_ignore();
    cr_assert_eq(read_inq(s, 150, &inq), 150);
    cr_assert_eq(inq, 51);
    cr_assert_eq(read_inq(s, 50, &inq), 50);
    cr_assert_eq(inq, 1, "the end is still to be read");
    cr_assert_eq(read_inq(s, 50, &inq), 0);
    cr_assert_eq(inq, 1);
    cr_assert_eq(sys_setsockopt(s, IPPROTO_TCP, TCP_INQ, 0), 0);
    cr_assert_eq(read_inq(s, 50, &inq), 0);
    cr_assert_eq(inq, -1);
}

/* ---- TCP_NOTSENT_LOWAT ------------------------------------------------------------------------------------------------ */

Test(option, notsent_lowat_poll_waits_for_less_than_half_of_it_unsent)
{
    struct socket *s = script_accepted("mss 1000", 2000);

    cr_assert_eq(sys_setsockopt(s, IPPROTO_TCP, TCP_NOTSENT_LOWAT, 4000), 0);
    cr_assert_eq(sys_write(s, 2000), 2000);
    tx_ignore();
    cr_assert(sys_poll(s) & EPOLLOUT);
    cr_assert_eq(sys_write(s, 2000), 2000);
    cr_assert_eq(sys_poll(s) & EPOLLOUT, 0, "2000 unsent are not less than half");
    cr_assert_eq(sys_write(s, 1500), 1500, "but a write may go on below the whole");
    rx(.ack = 2001, .win = 1000);
    tx_ignore();
    cr_assert_eq(sys_poll(s) & EPOLLOUT, 0, "2500 unsent");
    rx(.ack = 3001, .win = 1000);
    tx_ignore();
    cr_assert(sys_poll(s) & EPOLLOUT, "1500 unsent");
    rx(.ack = 4001, .win = 2000);
    tx_ignore();
    rx();
}

Test(option, notsent_lowat_blocking_write_waits_for_what_is_unsent_not_for_the_buffer)
{
    struct socket *s = script_accepted("mss 1000", 2000);
    u64 begin = script_now();

    cr_assert_eq(sys_setsockopt(s, IPPROTO_TCP, TCP_NOTSENT_LOWAT, 2000), 0);
    cr_assert_eq(sys_write(s, 5000), 4000, "2000 in the window, 2000 unsent");
    tx_ignore();
    rx_in(300, .ack = 2001, .win = 2000);
    cr_assert_eq(sys_write_wait(s, 100), 100);
    cr_assert_geq(script_now() - begin, 300 * NSEC_PER_MSEC);
    cr_assert_lt(script_now() - begin, 310 * NSEC_PER_MSEC);
    tx_ignore();
    rx(.ack = 4001, .win = 20000);
    tx_ignore();
    rx();
}

Test(option, notsent_lowat_raised_wakes_the_writer)
{
    struct socket *s = script_accepted("mss 1000", 2000);

    cr_assert_eq(sys_setsockopt(s, IPPROTO_TCP, TCP_NOTSENT_LOWAT, 2000), 0);
    cr_assert_eq(sys_write(s, 5000), 4000);
    cr_assert_eq(sys_write(s, 100), -EAGAIN);
    cr_assert_eq(sys_poll(s) & EPOLLOUT, 0);
    cr_assert_eq(sys_setsockopt(s, IPPROTO_TCP, TCP_NOTSENT_LOWAT, 20000), 0);
    cr_assert(sys_poll(s) & EPOLLOUT);
    cr_assert_eq(sys_write(s, 100), 100);
    tx_ignore();
    rx(.win = 20000);
    tx_ignore();
    rx();
}

/* ---- what a connection tells ------------------------------------------------------------------------------------------- */

Test(option, timestamp_runs_in_milliseconds_and_is_even)
{
    struct socket *s = script_accepted("mss 1460,TS val 1000 ecr 0", 65535);
    u32 before = (u32)sys_getsockopt_int(s, IPPROTO_TCP, TCP_TIMESTAMP), after;

    advance_ms(101);
    after = (u32)sys_getsockopt_int(s, IPPROTO_TCP, TCP_TIMESTAMP);
    cr_assert_eq((before | after) & 1, 0, "an odd one would say microseconds");
    cr_assert(after - before == 100 || after - before == 102);
}

Test(option, cc_info_is_empty_for_cubic_and_bbrs_model_for_bbr)
{
    struct socket *s = script_accepted("mss 1460", 65535);
    union tcp_cc_info cc;
    socklen_t len = sizeof(cc);

    cr_assert_eq(s->ops->getsockopt(s, IPPROTO_TCP, TCP_CC_INFO, &cc, &len), 0);
    cr_assert_eq(len, 0);
    cr_assert_eq(s->ops->setsockopt(s, IPPROTO_TCP, TCP_CONGESTION, "bbr", 3), 0);
    sys_write(s, 2920);
    tx_ignore();
    advance_ms(50);
    rx(.ack = 2921);
    len = sizeof(cc);
    cr_assert_eq(s->ops->getsockopt(s, IPPROTO_TCP, TCP_CC_INFO, &cc, &len), 0);
    cr_assert_eq(len, sizeof(struct tcp_bbr_info));
    cr_assert_leq(cc.bbr.bbr_min_rtt, 50000);
    cr_assert_eq(cc.bbr.bbr_pacing_gain, 739, "2/ln 2 in 1/256");
    cr_assert_gt(cc.bbr.bbr_bw_lo, 50000);
    len = 8;
    cr_assert_eq(s->ops->getsockopt(s, IPPROTO_TCP, TCP_CC_INFO, &cc, &len), 0);
    cr_assert_eq(len, 8);
    tx_ignore();
}

/* ---- refused --------------------------------------------------------------------------------------------------------------- */

Test(option, repair_is_refused_with_all_that_belongs_to_it)
{
    struct socket *fresh = sys_socket(), *s = script_accepted("mss 1460", 65535);
    static const int opts[] = { TCP_REPAIR, TCP_REPAIR_QUEUE, TCP_REPAIR_WINDOW, TCP_TIMESTAMP };

    for (u32 i = 0; i < ARRAY_SIZE(opts); i++) {
        cr_assert_eq(sys_setsockopt(fresh, IPPROTO_TCP, opts[i], 1), -EPERM, "option %d", opts[i]);
        cr_assert_eq(sys_setsockopt(s, IPPROTO_TCP, opts[i], 1), -EPERM, "option %d", opts[i]);
    }
    cr_assert_eq(sys_setsockopt(fresh, IPPROTO_TCP, TCP_QUEUE_SEQ, 1), -EINVAL);
    cr_assert_eq(sys_setsockopt(s, IPPROTO_TCP, TCP_QUEUE_SEQ, 1), -EPERM);
    cr_assert_eq(sys_setsockopt(s, IPPROTO_TCP, TCP_REPAIR_OPTIONS, 1), -EINVAL);
    cr_assert_eq(sys_getsockopt_int(s, IPPROTO_TCP, TCP_REPAIR), 0);
}

/* ---- SO_TXREHASH ------------------------------------------------------------------------------------------------------------ */

Test(option, txrehash_0_keeps_the_hash_through_time_outs)
{
    struct socket *s = script_accepted("mss 1460", 65535);
    u32 hash = s->sk->sk_txhash;

    cr_assert_eq(sys_setsockopt(s, SOL_SOCKET, SO_TXREHASH, 0), 0);
    sys_write(s, 100);
    tx(.len = 100);
    tx_at(200, .seq = 1, .len = 100);
    cr_assert_eq(s->sk->sk_txhash, hash);
    cr_assert_eq(mib(LINUX_MIB_TCPTIMEOUTREHASH), 0);
    cr_assert_eq(sys_setsockopt(s, SOL_SOCKET, SO_TXREHASH, -1), 0); /* the default: yes */
    tx_at(400, .seq = 1, .len = 100);
    cr_assert_neq(s->sk->sk_txhash, hash);
    cr_assert_eq(mib(LINUX_MIB_TCPTIMEOUTREHASH), 1);
    rx();
}
