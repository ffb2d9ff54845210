/* SPDX-License-Identifier: MIT */
/* TCP above a neighbour that is not certain: acknowledgements prove that it hears us, silence is asked about. */

#include "../lib/tcpscript.h"
#include "../../stack/core/neighbour.h"
#include "../../stack/core/rcu.h"

static u32 unicast, broadcast;

static void ask(struct neighbour *n, const u8 *ha, __be32 saddr) { *(ha ? &unicast : &broadcast) += 1; }

static void setup(void)
{
    script_init();
    neigh_solicit = ask;
}
TestSuite(neighbour, .init = setup, .fini = script_fini);

/* The peer's entry, anew and in this state. */
static struct neighbour *peer(u8 state)
{
    struct neighbour *n;

    neigh_flush_dev(script_dev);
    rcu_read_lock();
    n = __neigh_create(script_net, htobe32(SCRIPT_PEER), script_dev);
    neigh_update(n, (const u8 *)"\x02\0\0\0\0\x02", state, true);
    rcu_read_unlock();
    return n;
}

Test(neighbour, delay_acks_confirm_it_and_nobody_asks)
{
    struct socket *s = script_accepted("mss 1460", 65535);
    struct neighbour *n = peer(NUD_STALE);

    sys_write(s, 100);
    tx(.flags = "PA", .len = 100);
    cr_assert_eq(n->nud_state, NUD_DELAY, "the first packet by way of a stale one");
    advance_ms(1000);
    tx_ignore();
    rx();
    sys_write(s, 100); /* carries the news down (sk_dst_confirm) */
    tx(.flags = "PA", .len = 100);
    rx();
    advance_ms(4500);
    cr_assert_eq(n->nud_state, NUD_REACHABLE);
    cr_assert_eq(unicast + broadcast, 0);
    tx_ignore();
}

Test(neighbour, delay_without_acks_is_asked_by_unicast_then_by_broadcast)
{
    struct socket *s = script_accepted("mss 1460", 65535);
    struct neighbour *n;

    sys_write(s, 100); /* carries the news of the handshake's ACK */
    tx(.flags = "PA", .len = 100);
    n = peer(NUD_STALE);
    advance_ms(5000); /* 200 ms to the first retransmission, and 5 s */
    cr_assert_eq(n->nud_state, NUD_DELAY);
    cr_assert_eq(unicast, 0);
    advance_ms(400);
    cr_assert_eq(n->nud_state, NUD_PROBE);
    cr_assert_eq(unicast, 1);
    advance_ms(2000);
    cr_assert_eq(unicast, 3);
    cr_assert_eq(broadcast, 0);
    cr_assert_gt(tx_ignore(), 1, "what is known is used meanwhile");
    advance_ms(20000); /* it failed; the retransmissions ask anew, and fail */
    cr_assert_eq(unicast, 3);
    cr_assert_geq(broadcast, 3);
    cr_assert_eq(sys_state(s), TCP_ESTABLISHED);
    cr_assert_eq(sys_error(s), EHOSTUNREACH, "a soft error");
    tx_nothing();
    n = peer(NUD_REACHABLE);
    advance_ms(60000);
    tx(.flags = "PA", .seq = 1, .len = 100);
    tx_ignore();
    rx();
}

Test(neighbour, an_ack_confirms_once_and_not_what_is_sent_into_silence)
{
    struct socket *s = script_accepted("mss 1460", 65535);
    struct neighbour *n;

    sys_write(s, 100);
    tx(.flags = "PA", .len = 100);
    rx();
    n = peer(NUD_STALE);
    sys_write(s, 100); /* carries the confirmation; the retransmissions carry none */
    tx(.flags = "PA", .len = 100);
    advance_ms(5500);
    cr_assert_eq(n->nud_state, NUD_REACHABLE);
    advance_ms(120000);
    tx_ignore();
    cr_assert_eq(unicast, 3, "%u asked by unicast", unicast);
    cr_assert_eq(n->nud_state & NUD_CONNECTED, 0);
    n = peer(NUD_REACHABLE);
    rx();
}

Test(neighbour, failed_connect_hears_host_unreachable)
{
    struct socket *s = sys_socket_bound();

    peer(NUD_FAILED);
    cr_assert_eq(sys_connect_wait(s, SCRIPT_PEER_PORT), -EHOSTUNREACH);
    cr_assert_eq(broadcast, 3);
    tx_nothing();
}
