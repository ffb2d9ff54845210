/* SPDX-License-Identifier: MIT */
/* Urgent data both ways (RFC 9293 3.8.5, RFC 6093, tcp(7)). */

#include "../../stack/ipv4/tcp_output.h"
#include "../lib/tcpscript.h"
#include <linux/sockios.h>

TestSuite(urgent, .init = script_init, .fini = script_fini);

static int at_mark(struct socket *s)
{
    int mark = -1;

    cr_assert_eq(s->ops->ioctl(s, SIOCATMARK, &mark), 0);
    return mark;
}

static u8 byte_at(u64 place) { return script_pattern(SCRIPT_PEER_PORT, place); }

/* ---- received --------------------------------------------------------------------------------------------- */

Test(urgent, urgent_byte_is_read_out_of_band)
{
    struct socket *s = script_accepted("mss 1460", 65535);

    rx(.flags = "PAU", .len = 3, .urg = 3);
    tx(.ack = 4);
    cr_assert(sys_poll(s) & EPOLLPRI);
    cr_assert_eq(sys_recv_oob(s, MSG_PEEK), byte_at(3));
    cr_assert_eq(sys_recv_oob(s, 0), byte_at(3));
    cr_assert_eq(sys_poll(s) & EPOLLPRI, 0);
    cr_assert_eq(sys_recv_oob(s, 0), -EINVAL); /* once */
    cr_assert_eq(sys_read(s, 10), 2);          /* not part of the stream */
    cr_assert_eq(sys_read(s, 10), -EAGAIN);
}

Test(urgent, read_stops_at_the_mark_and_the_next_goes_on_behind_the_byte)
{
    struct socket *s = script_accepted("mss 1460", 65535);

    rx(.flags = "PAU", .len = 3, .urg = 3);
    tx_ignore();
    rx(.len = 5);
    tx_ignore();
    cr_assert_eq(at_mark(s), 0);
    cr_assert_eq(sys_inq(s), 2);
    cr_assert_eq(sys_read(s, 10), 2);
    cr_assert_eq(at_mark(s), 1);
    sys_skip(s, 1);
    cr_assert_eq(sys_read(s, 10), 5);
    cr_assert_eq(at_mark(s), 0);
    cr_assert_eq(sys_recv_oob(s, 0), -EINVAL); /* read past */
}

Test(urgent, inline_byte_is_part_of_the_stream_and_marked)
{
    struct socket *s = script_accepted("mss 1460", 65535);

    cr_assert_eq(sys_setsockopt(s, SOL_SOCKET, SO_OOBINLINE, 1), 0);
    rx(.flags = "PAU", .len = 3, .urg = 3);
    tx_ignore();
    cr_assert(sys_poll(s) & EPOLLPRI);
    cr_assert_eq(sys_read(s, 10), 2);
    cr_assert_eq(at_mark(s), 1);
    cr_assert_eq(sys_read(s, 10), 1);
    cr_assert_eq(at_mark(s), 0);
    cr_assert_eq(sys_poll(s) & EPOLLPRI, 0);
    cr_assert_eq(sys_recv_oob(s, 0), -EINVAL);
}

Test(urgent, urgent_byte_alone_is_nothing_to_read)
{
    struct socket *s = script_accepted("mss 1460", 65535);

    rx(.flags = "PAU", .len = 1, .urg = 1);
    tx_ignore();
    cr_assert_eq(sys_poll(s) & (EPOLLIN | EPOLLPRI), EPOLLPRI);
    cr_assert_eq(sys_inq(s), 0);
    cr_assert_eq(at_mark(s), 1);
    cr_assert_eq(sys_recv_oob(s, MSG_PEEK), byte_at(1));
    cr_assert_eq(sys_read(s, 10), -EAGAIN); /* but it moves past the mark, and the byte is gone */
    cr_assert_eq(sys_recv_oob(s, 0), -EINVAL);
}

Test(urgent, pointer_before_its_byte_announces_it)
{
    struct socket *s = script_accepted("mss 1460", 65535);

    rx(.flags = "AU", .len = 10, .urg = 30); /* the byte is 20 further */
    tx_ignore();
    cr_assert_eq(script_sigurgs, 1);
    cr_assert_eq(sys_poll(s) & EPOLLPRI, 0);
    cr_assert_eq(sys_recv_oob(s, 0), -EAGAIN);
    rx(.flags = "AU", .len = 20, .urg = 20); /* the same byte again */
    tx_ignore();
    cr_assert_eq(script_sigurgs, 1);
    cr_assert(sys_poll(s) & EPOLLPRI);
    cr_assert_eq(sys_recv_oob(s, 0), byte_at(30));
    cr_assert_eq(sys_read(s, 100), 29);
}

Test(urgent, pointer_whose_byte_never_comes_ends_with_the_stream)
{
    struct socket *s = script_accepted("mss 1460", 65535);

    rx(.flags = "AU", .len = 10, .urg = 30);
    tx_ignore();
    rx(.flags = "FA");
    advance_ms(50);
    tx_ignore();
    cr_assert_eq(sys_recv_oob(s, 0), 0);
    cr_assert_eq(sys_read(s, 100), 10);
    cr_assert_eq(sys_read(s, 100), 0);
}

Test(urgent, second_byte_makes_the_first_an_ordinary_one)
{
    struct socket *s = script_accepted("mss 1460", 65535);

    rx(.flags = "PAU", .len = 3, .urg = 3);
    tx_ignore();
    rx(.flags = "PAU", .len = 4, .urg = 4);
    tx_ignore();
    cr_assert_eq(script_sigurgs, 2);
    cr_assert_eq(sys_recv_oob(s, 0), byte_at(7));
    cr_assert_eq(sys_read(s, 100), 6); /* all but the seventh */
}

Test(urgent, second_byte_while_the_program_stands_at_the_first_drops_that)
{
    struct socket *s = script_accepted("mss 1460", 65535);

    rx(.flags = "PAU", .len = 3, .urg = 3);
    tx_ignore();
    cr_assert_eq(sys_read(s, 100), 2);
    cr_assert_eq(at_mark(s), 1);
    rx(.flags = "PAU", .len = 4, .urg = 4);
    tx_ignore();
    sys_skip(s, 1);
    cr_assert_eq(sys_read(s, 100), 3);
    cr_assert_eq(at_mark(s), 1);
    cr_assert_eq(sys_recv_oob(s, 0), byte_at(7));
}

Test(urgent, pointer_to_what_was_read_is_ignored)
{
    struct socket *s = script_accepted("mss 1460", 65535);

    rx(.len = 10);
    tx_ignore();
    cr_assert_eq(sys_read(s, 100), 10);
    rx(.flags = "PAU", .seq = 1, .len = 10, .urg = 5);
    tx_ignore();
    cr_assert_eq(script_sigurgs, 0);
    cr_assert_eq(sys_recv_oob(s, 0), -EINVAL);
}

Test(urgent, pointer_into_the_part_of_a_segment_that_came_before_is_ignored)
{
    struct socket *s = script_accepted("mss 1460", 65535);

    rx(.len = 10);
    tx_ignore();
    rx(.flags = "PAU", .seq = 6, .len = 10, .urg = 3);
    tx_ignore();
    cr_assert_eq(script_sigurgs, 0);
    cr_assert_eq(sys_read(s, 100), 15);
}

Test(urgent, stdurg_setting_reads_the_pointer_as_rfc_1122_does)
{
    struct socket *s = script_accepted("mss 1460", 65535);

    script_net->ipv4.sysctl_tcp_stdurg = 1;
    rx(.flags = "PAU", .len = 3, .urg = 2); /* at the byte, not behind it */
    tx_ignore();
    cr_assert_eq(sys_recv_oob(s, 0), byte_at(3));
    cr_assert_eq(sys_read(s, 10), 2);
}

Test(urgent, blocking_read_returns_at_the_mark_without_waiting_for_more)
{
    struct socket *s = script_accepted("mss 1460", 65535);
    u64 begin = script_now();

    rx(.flags = "PAU", .len = 3, .urg = 3);
    tx_ignore();
    cr_assert_eq(sys_recv(s, 10, MSG_WAITALL), 2);
    cr_assert_eq(script_now(), begin);
}

/* ---- sent ------------------------------------------------------------------------------------------------- */

Test(urgent, msg_oob_makes_its_last_byte_urgent)
{
    struct socket *s = script_accepted("mss 1460", 65535);

    cr_assert_eq(sys_send(s, 3, MSG_OOB), 3);
    tx(.flags = "PAU", .len = 3, .urg = 3);
    rx();
    cr_assert_eq(sys_write(s, 3), 3); /* acknowledged: urgent mode is over */
    tx(.flags = "PA", .len = 3);
    cr_assert_eq(sys_write(s, 2), 2); /* so Nagle is back */
    tx_nothing();
    rx();
    tx(.flags = "PA", .len = 2);
    rx();
}

Test(urgent, urgent_mode_sends_small_segments_at_once_and_points_in_each_before_the_byte)
{
    struct socket *s = script_accepted("mss 1000", 65535);

    sys_write(s, 10);
    tx(.flags = "PA", .len = 10);
    sys_write(s, 20);
    tx_nothing(); /* Nagle */
    cr_assert_eq(sys_send(s, 1, MSG_OOB), 1);
    tx(.flags = "PAU", .seq = 11, .len = 21, .urg = 21);
    sys_write(s, 5); /* still urgent mode, no pointer: the byte is before */
    tx(.flags = "PA", .seq = 32, .len = 5);
    tx_at(200, .flags = "PAU", .seq = 1, .len = 36, .urg = 31); /* a retransmission has it too */
    rx();
}

Test(urgent, second_msg_oob_moves_the_pointer)
{
    struct socket *s = script_accepted("mss 1000", 500);

    cr_assert_eq(sys_send(s, 400, MSG_OOB), 400);
    tx(.flags = "PAU", .len = 400, .urg = 400);
    cr_assert_eq(sys_send(s, 600, MSG_OOB), 600);
    tx_ignore();
    rx(.ack = 401, .win = 65535);
    tx_ignore();
    cr_assert_eq(tcp_sk(s->sk)->snd_up, tcp_sk(s->sk)->write_seq);
    rx();
    tx_ignore();
    rx();
    cr_assert_eq(tcp_sk(s->sk)->snd_up, tcp_sk(s->sk)->snd_una);
}

Test(urgent, byte_beyond_the_reach_of_16_bits_is_pointed_at_as_far_as_it_goes)
{
    struct socket *s = script_accepted("mss 1000,nop,wscale 7", 65535);

    cr_assert_eq(sys_setsockopt(s, SOL_SOCKET, SO_SNDBUF, 400000), 0);
    cr_assert_eq(sys_setsockopt(s, IPPROTO_TCP, TCP_CORK, 1), 0);
    lock_sock(s->sk);
    tcp_sk(s->sk)->snd_cwnd = 1;
    release_sock(s->sk);
    cr_assert_eq(sys_write(s, 100000), 100000);
    tx_ignore();
    cr_assert_eq(sys_send(s, 1, MSG_OOB), 1);
    tx_ignore();
    rx(.ack = 1001);
    tx(.flags = "AU", .len = 1000, .urg = 0xffff);
    tx_ignore();
    for (int i = 0; i < 200 && tcp_sk(s->sk)->packets_out; i++) {
        rx();
        tx_ignore();
    }
    advance_ms(300);
    tx_ignore();
    rx();
}

Test(urgent, zero_window_probe_announces_the_urgent_byte)
{
    struct socket *s = script_accepted("mss 1000", 2000);

    sys_write(s, 2000);
    tx(.len = 1000);
    tx(.len = 1000);
    rx(.win = 0);
    cr_assert_eq(sys_send(s, 1, MSG_OOB), 1);
    advance_ms(250);
    tx(.flags = "AU", .len = 0, .urg = 1); /* an old byte's number: the peer answers, and knows */
    tx_ignore();
    rx(.win = 2000);
    tx(.flags = "PAU", .len = 1, .urg = 1);
    rx();
}

Test(urgent, msg_oob_of_nothing_is_nothing)
{
    struct socket *s = script_accepted("mss 1000", 65535);

    cr_assert_eq(sys_send(s, 0, MSG_OOB), 0);
    tx_nothing();
    cr_assert_eq(tcp_sk(s->sk)->snd_up, tcp_sk(s->sk)->snd_una);
}
