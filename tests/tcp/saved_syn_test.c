/* SPDX-License-Identifier: MIT */
/* TCP_SAVE_SYN and TCP_SAVED_SYN. */

#include "../lib/tcpscript.h"

TestSuite(saved_syn, .init = script_init, .fini = script_fini);

static struct socket *accepted_with(int save)
{
    struct socket *l = sys_listen(80, 10);

    cr_assert_eq(sys_setsockopt(l, IPPROTO_TCP, TCP_SAVE_SYN, save), 0);
    rx(.flags = "S", .opt = "mss 1460,nop,wscale 7");
    tx(.flags = "SA");
    rx();
    return sys_accept_ok(l);
}

static int saved(struct socket *s, u8 *buf, socklen_t *len) { return s->ops->getsockopt(s, IPPROTO_TCP, TCP_SAVED_SYN, buf, len); }

Test(saved_syn, ip_and_tcp_headers_once)
{
    struct socket *s = accepted_with(1);
    u8 buf[200];
    socklen_t len = sizeof(buf);

    cr_assert_eq(saved(s, buf, &len), 0);
    cr_assert_eq(len, 20 + 20 + 8);
    cr_assert_eq(buf[0], 0x45);
    cr_assert_eq(buf[20 + 13], TCPHDR_SYN);
    cr_assert_eq(buf[40], 2); /* the MSS option */
    len = sizeof(buf);
    cr_assert_eq(saved(s, buf, &len), 0);
    cr_assert_eq(len, 0);
}

Test(saved_syn, with_the_ethernet_header)
{
    struct socket *s = accepted_with(2);
    u8 buf[200];
    socklen_t len = sizeof(buf);

    cr_assert_eq(saved(s, buf, &len), 0);
    cr_assert_eq(len, 14 + 20 + 20 + 8);
    cr_assert_eq(buf[12] << 8 | buf[13], 0x0800);
    cr_assert_eq(buf[14], 0x45);
}

Test(saved_syn, too_small_a_buffer_is_told_the_size)
{
    struct socket *s = accepted_with(1);
    u8 buf[200];
    socklen_t len = 10;

    cr_assert_eq(saved(s, buf, &len), -EINVAL);
    cr_assert_eq(len, 48);
    cr_assert_eq(saved(s, buf, &len), 0);
}

Test(saved_syn, not_asked_for_none)
{
    struct socket *s = script_accepted("mss 1460", 65535);
    u8 buf[200];
    socklen_t len = sizeof(buf);

    cr_assert_eq(saved(s, buf, &len), 0);
    cr_assert_eq(len, 0);
}
