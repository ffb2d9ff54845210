/* SPDX-License-Identifier: MIT */
/* From SYN to accept(): request socks, their timers, the accept queue and its end. Segments are made by hand. */
#include "../lib/ipnet.h"
#include "../../stack/core/checksum.h"
#include "../../stack/core/rcu.h"
#include <criterion/criterion.h>
#include <fcntl.h>

#define ISS 0xfffffff0u /* the peer's; wraps soon */

static void rx_tcp(struct ipnet *n, u16 sport, u8 flags, u32 seq, u32 ack, const char *data)
{
    u8 p[400] = {0};
    struct iphdr *iph = (struct iphdr *)p;
    struct tcphdr *th = (struct tcphdr *)(p + 20);
    u32 dlen = (u32)strlen(data), len = 40 + dlen;

    ipnet_iphdr(iph, IPNET_PEERIP, IPNET_MYIP, IPPROTO_TCP, len, 1, IP_DF);
    th->source = htobe16(sport);
    th->dest = htobe16(80);
    th->seq = htobe32(seq);
    th->ack_seq = htobe32(ack);
    th->doff = 5;
    p[33] = flags;
    th->window = htobe16(60000);
    memcpy(p + 40, data, dlen);
    th->check = csum_fold(csum_partial(th, 20 + dlen, csum_tcpudp_nofold(iph->saddr, iph->daddr, 20 + dlen, IPPROTO_TCP, 0)));
    ipnet_rx_ip(n, p, len);
}

/* The last frame sent; NULL when none since the last call. */
static const struct tcphdr *tx(struct ipnet *n)
{
    if (!n->nsent)
        return NULL;
    n->sent[0] = n->sent[n->nsent - 1];
    n->nsent = 0;
    return (const struct tcphdr *)(n->sent[0].data + 34);
}

static struct socket *serve(struct ipnet *n, int backlog)
{
    struct sockaddr_in sin = {.sin_family = AF_INET, .sin_port = htobe16(80)};
    struct socket *s;

    ipnet_resolve(n, IPNET_PEERIP);
    cr_assert_eq(sock_create(n->net, AF_INET, SOCK_STREAM, 0, &s), 0);
    cr_assert_eq(s->ops->bind(s, (struct sockaddr *)&sin, sizeof(sin)), 0);
    cr_assert_eq(s->ops->listen(s, backlog), 0);
    return s;
}

/* SYN and SYN-ACK; returns our ISN. */
static u32 syn(struct ipnet *n, u16 sport)
{
    const struct tcphdr *th;

    rx_tcp(n, sport, TCPHDR_SYN, ISS, 0, "");
    th = tx(n);
    cr_assert_not_null(th);
    cr_assert(th->syn && th->ack);
    cr_assert_eq(th->ack_seq, htobe32(ISS + 1));
    return be32toh(th->seq);
}

static struct request_sock_queue *queue(struct socket *s) { return &inet_csk(s->sk)->icsk_accept_queue; }

Test(ipv4_accept, requests_of_a_parked_listener_are_flows)
{
    struct ipnet *n = ipnet_new();
    struct socket *s = serve(n, 5), *c = sock_alloc(n->net);
    u32 iss = syn(n, 4000);

    cr_expect_eq(n->flows, 0);
    inet_listen_park(s->sk, true);
    cr_expect_eq(n->parked, 1);
    cr_expect_eq(n->flows, 1, "the handshake that has begun");
    rx_tcp(n, 4000, TCPHDR_ACK, ISS + 1, iss + 1, "");
    cr_expect_eq(n->flow_adds, 1, "its connection has the same flow");
    cr_assert_eq(s->ops->accept(s, c, O_NONBLOCK), 0);
    syn(n, 4001);
    cr_expect_eq(n->flows, 2, "a SYN that was on its way");
    inet_listen_park(s->sk, false);
    cr_expect_eq(n->parked, 0);
    syn(n, 4002);
    cr_expect_eq(n->flows, 3, "it may be parked again");
    sock_release(s);
    ipnet_advance(n, 200 * NSEC_PER_SEC);
    cr_expect_eq(n->flows, 1);
    rx_tcp(n, 4000, TCPHDR_RST, ISS + 1, 0, "");
    cr_expect_eq(n->flows, 0);
    sock_release(c);
    ipnet_free(n);
}

Test(ipv4_accept, handshake)
{
    struct sockaddr_in a;
    socklen_t len = sizeof(a);
    struct ipnet *n = ipnet_new();
    struct socket *s = serve(n, 5), *c = sock_alloc(n->net);
    u32 iss = syn(n, 4000);

    cr_expect_eq(n->flows, 0, "a request is no flow yet");
    cr_expect_eq(queue(s)->qlen, 1);
    cr_expect_eq(s->ops->accept(s, c, O_NONBLOCK), -EAGAIN);
    rx_tcp(n, 4000, TCPHDR_ACK, ISS + 1, iss + 1, "");
    cr_expect_eq(n->flows, 1);
    cr_expect_eq(queue(s)->qlen, 0);
    cr_expect_eq(s->sk->sk_ack_backlog, 1);
    cr_assert_eq(s->ops->accept(s, c, O_NONBLOCK), 0);
    cr_expect_eq(s->sk->sk_ack_backlog, 0);
    cr_expect_eq(c->state, SS_CONNECTED);
    cr_expect_eq(c->sk->sk_state, TCP_ESTABLISHED);
    cr_assert_eq(c->ops->getname(c, (struct sockaddr *)&a, &len, 1), 0);
    cr_expect_eq(a.sin_port, htobe16(4000));
    cr_expect_eq(a.sin_addr.s_addr, htobe32(IPNET_PEERIP));
    cr_assert_eq(c->ops->getname(c, (struct sockaddr *)&a, &len, 0), 0);
    cr_expect_eq(a.sin_port, htobe16(80));
    cr_expect_eq(a.sin_addr.s_addr, htobe32(IPNET_MYIP));
    sock_release(s); /* the connection outlives its listener */
    cr_expect_eq(n->flows, 1);
    cr_expect_eq(n->listeners, 0);
    rx_tcp(n, 4000, TCPHDR_RST, ISS + 1, 0, "");
    cr_expect_eq(n->flows, 0);
    sock_release(c);
    ipnet_free(n);
}

Test(ipv4_accept, syn_ack_is_sent_again_with_backoff_and_given_up)
{
    static const u32 at[] = {1, 3, 7, 15, 31}; /* s; tcp_synack_retries 5 */
    struct ipnet *n = ipnet_new();
    struct socket *s = serve(n, 5);
    u64 t = 0;

    syn(n, 4000);
    for (u32 i = 0; i < 5; i++) {
        ipnet_advance(n, at[i] * NSEC_PER_SEC - t - NSEC_PER_MSEC);
        cr_expect_eq(n->nsent, 0, "not before %u s", at[i]);
        ipnet_advance(n, 2 * NSEC_PER_MSEC);
        cr_expect_eq(n->nsent, 1, "at %u s: %u", at[i], n->nsent);
        t = at[i] * NSEC_PER_SEC + NSEC_PER_MSEC;
        n->nsent = 0;
    }
    cr_expect_eq(queue(s)->young, 0);
    cr_expect_eq(queue(s)->qlen, 1);
    ipnet_advance(n, 33 * NSEC_PER_SEC);
    cr_expect_eq(n->nsent, 0);
    cr_expect_eq(queue(s)->qlen, 0);
    cr_expect_eq(inet_ehash_count(n->net), 0);
    sock_release(s);
    ipnet_free(n);
}

Test(ipv4_accept, reset_ends_a_request)
{
    struct ipnet *n = ipnet_new();
    struct socket *s = serve(n, 5);

    syn(n, 4000);
    rx_tcp(n, 4000, TCPHDR_RST, ISS + 1, 0, "");
    cr_expect_eq(queue(s)->qlen, 0);
    cr_expect_eq(queue(s)->young, 0);
    cr_expect_eq(inet_ehash_count(n->net), 0);
    sock_release(s);
    ipnet_free(n);
}

Test(ipv4_accept, closing_resets_what_nobody_took)
{
    struct ipnet *n = ipnet_new();
    struct socket *s = serve(n, 5);
    u32 iss1 = syn(n, 4000), iss2 = syn(n, 4001);
    u32 resets = 0;

    syn(n, 4002); /* stays half open */
    rx_tcp(n, 4000, TCPHDR_ACK, ISS + 1, iss1 + 1, "");
    rx_tcp(n, 4001, TCPHDR_ACK, ISS + 1, iss2 + 1, "");
    cr_expect_eq(n->flows, 2);
    n->nsent = 0;
    sock_release(s);
    for (u32 i = 0; i < n->nsent; i++)
        resets += ((const struct tcphdr *)(n->sent[i].data + 34))->rst;
    cr_expect_eq(resets, 2);
    cr_expect_eq(n->flows, 0);
    cr_expect_eq(inet_ehash_count(n->net), 1, "the half open one ends with its timer");
    ipnet_advance(n, 2 * NSEC_PER_SEC);
    cr_expect_eq(inet_ehash_count(n->net), 0);
    ipnet_free(n);
}

Test(ipv4_accept, a_child_inherits_the_port)
{
    struct sockaddr_in sin = {.sin_family = AF_INET, .sin_port = htobe16(80)};
    struct ipnet *n = ipnet_new();
    struct socket *s = serve(n, 5), *c = sock_alloc(n->net), *b;
    u32 iss = syn(n, 4000);

    rx_tcp(n, 4000, TCPHDR_ACK, ISS + 1, iss + 1, "");
    cr_assert_eq(s->ops->accept(s, c, O_NONBLOCK), 0);
    sock_release(s);
    cr_assert_eq(sock_create(n->net, AF_INET, SOCK_STREAM, 0, &b), 0);
    cr_expect_eq(b->ops->bind(b, (struct sockaddr *)&sin, sizeof(sin)), -EADDRINUSE, "the server restarts without SO_REUSEADDR");
    b->sk->sk_reuse = SK_CAN_REUSE;
    cr_expect_eq(b->ops->bind(b, (struct sockaddr *)&sin, sizeof(sin)), -EADDRINUSE, "the child's came from a listener without it");
    rx_tcp(n, 4000, TCPHDR_RST, ISS + 1, 0, "");
    cr_expect_eq(b->ops->bind(b, (struct sockaddr *)&sin, sizeof(sin)), 0);
    sock_release(c);
    sock_release(b);
    ipnet_free(n);
}

Test(ipv4_accept, close_leads_to_time_wait)
{
    struct ipnet *n = ipnet_new();
    struct socket *s = serve(n, 5), *c = sock_alloc(n->net);
    u32 iss = syn(n, 4000);
    const struct tcphdr *th;
    struct sock_common *tw;

    rx_tcp(n, 4000, TCPHDR_ACK, ISS + 1, iss + 1, "");
    cr_assert_eq(s->ops->accept(s, c, O_NONBLOCK), 0);
    sock_release(c);
    th = tx(n);
    cr_assert(th && th->fin);
    rx_tcp(n, 4000, TCPHDR_ACK, ISS + 1, iss + 2, "");
    rx_tcp(n, 4000, TCPHDR_ACK | TCPHDR_FIN, ISS + 1, iss + 2, "");
    rcu_read_lock();
    tw = __inet_lookup_established(n->net, htobe32(IPNET_PEERIP), htobe16(4000), htobe32(IPNET_MYIP), 80, 7);
    cr_assert_not_null(tw);
    cr_expect_eq(tw->skc_state, TCP_TIME_WAIT);
    rcu_read_unlock();
    cr_expect_eq(n->flows, 1);
    cr_expect_eq(n->flow_adds, 1, "told once, over all changes of hands");
    ipnet_advance(n, 61 * NSEC_PER_SEC);
    cr_expect_eq(n->flows, 0);
    sock_release(s);
    ipnet_free(n);
}

Test(ipv4_accept, the_net_ends_with_requests_and_orphans)
{
    struct ipnet *n = ipnet_new();
    struct socket *s = serve(n, 5), *c = sock_alloc(n->net);
    u32 iss = syn(n, 4000);

    rx_tcp(n, 4000, TCPHDR_ACK, ISS + 1, iss + 1, "");
    cr_assert_eq(s->ops->accept(s, c, O_NONBLOCK), 0);
    sock_release(c); /* FIN is on its way: an orphan */
    syn(n, 4001);
    sock_release(s);
    cr_expect_eq(inet_ehash_count(n->net), 2);
    ipnet_free(n);
}
