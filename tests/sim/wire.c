/* SPDX-License-Identifier: MIT */
#include "wire.h"
#include "../../stack/core/sch_generic.h"
#include "../../stack/ipv4/tcp.h"
#include "../lib/router.h"
#include "../lib/tcpframe.h"
#include <stdarg.h>

#define FQ_HORIZON (9 * NSEC_PER_SEC) /* tc-fq(8): 10 s; when fq got the packet is not seen here */

struct seg { /* a segment as read from the frame */
    const struct iphdr *ip;
    const struct tcphdr *th;
    u32 seq, ack, win, len, hlen; /* len: payload; hlen: all headers, Ethernet included */
};

static void wrong(struct wire *w, u64 now, const char *fmt, ...)
{
    va_list ap;
    int n;

    if (w->why[0])
        return;
    n = snprintf(w->why, sizeof(w->why), "at %.6f s: ", (double)now / NSEC_PER_SEC);
    va_start(ap, fmt);
    vsnprintf(w->why + n, sizeof(w->why) - (size_t)n, fmt, ap);
    va_end(ap);
}

static int find_option(const struct tcphdr *th, u8 kind, const u8 **value)
{
    const u8 *o = (const u8 *)th;

    for (u32 i = 20; i + 1 < th->doff * 4u; i += o[i] == TCPOPT_NOP_ ? 1 : max(o[i + 1], (u8)2)) {
        if (o[i] == TCPOPT_EOL_)
            break;
        if (o[i] == kind) {
            *value = o + i + 2;
            return o[i + 1] - 2;
        }
    }
    return -1;
}

static void trace(const struct seg *s, int end, u64 departure, u64 now)
{
    const u8 *v;
    int n = find_option(s->th, TCPOPT_SACK_, &v);

    fprintf(stderr, "%10.6f %c %u>%u %s%s%s%s%s seq %u:%u ack %u win %u", (double)now / NSEC_PER_SEC, "AB"[end],
            be16toh(s->th->source), be16toh(s->th->dest), s->th->syn ? "S" : "", s->th->fin ? "F" : "", s->th->rst ? "R" : "",
            s->th->psh ? "P" : "", s->th->ack ? "." : "", s->seq, s->seq + s->len, s->ack, s->win);
    for (int k = 0; k + 8 <= n; k += 8) {
        u32 edge[2];

        memcpy(edge, v + k, 8);
        fprintf(stderr, " {%u:%u}", be32toh(edge[0]), be32toh(edge[1]));
    }
    if (departure)
        fprintf(stderr, " departs %.6f", (double)departure / NSEC_PER_SEC);
    fprintf(stderr, "\n");
}

static struct wire_flow *flow(struct wire *w, u32 saddr, u32 daddr, u16 sport, u16 dport)
{
    struct wire_flow *f;

    for (int i = 0; i < w->flows; i++) {
        f = &w->flow[i];
        if (f->saddr == saddr && f->daddr == daddr && f->sport == sport && f->dport == dport)
            return f;
    }
    if (w->flows == WIRE_FLOWS)
        return NULL;
    f = &w->flow[w->flows++];
    *f = (struct wire_flow){.saddr = saddr, .daddr = daddr, .sport = sport, .dport = dport, .wscale = -1};
    return f;
}

/* RFC 9293 3.8.6: nothing beyond the window; a SYN (RFC 7413) and resets have none. */
static void check_window(struct wire *w, const struct seg *s, struct wire_flow *me, struct wire_flow *peer, u64 now)
{
    u32 end_seq = s->seq + s->len + s->th->fin;

    if (s->th->syn) {
        const u8 *v;

        if (!me->syn_seen || me->isn != s->seq) {
            me->acked = false;
            me->high = s->seq + 1;
            me->data_segs = me->paced_since = me->last_data = 0;
        }
        me->syn_seen = true;
        me->isn = s->seq;
        me->wscale = find_option(s->th, TCPOPT_WINDOW_, &v) == 1 ? v[0] : -1;
    } else if (!s->th->rst && (s->len || s->th->fin) && peer->acked) {
        w->checked_window++;
        w->at_edge += end_seq == peer->edge;
        if (after(end_seq, peer->edge))
            wrong(w, now, "port %u sends %u:%u, %u beyond the highest window that was ever offered", me->sport, s->seq, end_seq,
                  end_seq - peer->edge);
    }
    if (s->th->ack && !s->th->rst) {
        u32 edge = s->ack + (!s->th->syn && me->wscale >= 0 && peer->wscale >= 0 ? s->win << me->wscale : s->win);

        if (!me->acked || after(edge, me->edge))
            me->edge = edge;
        me->acked = true;
    }
}

/* What stood in a queue when the MTU changed may be longer; fq holds packets for ten seconds at most. */
static void check_mtu(struct wire *w, const struct seg *s, const struct sk_buff *skb, u64 now)
{
    u32 longest = skb_is_gso(skb) ? s->hlen - ETH_HLEN + skb->shinfo->gso_size : skb->len - ETH_HLEN;

    w->checked_mtu++;
    if (longest > skb->dev->mtu && now > w->mtu_changed + 15 * NSEC_PER_SEC)
        wrong(w, now, "a packet of %u bytes on a device with MTU %u", longest, skb->dev->mtu);
}

/* The stamp that the stack itself gave it; and, with SO_MAX_PACING_RATE, what such a rate means on any wire: no more
 * than rate * time (plus one packet), and after a late packet the next at most twice as early. */
static void check_pacing(struct wire *w, const struct seg *s, const struct sk_buff *skb, struct wire_flow *me, u64 now)
{
    struct sock *sk = skb->sk;
    u64 departure = skb->tstamp && w->lie == SENT_TOO_EARLY ? skb->tstamp + NSEC_PER_MSEC : skb->tstamp;
    bool fresh = !before(s->seq, me->high);
    u64 rate;

    if (after(s->seq + s->len, me->high))
        me->high = s->seq + s->len;
    if (!s->len)
        return;
    me->data_segs += max(skb->shinfo->gso_segs, (u16)1);
    if (!sk || TCPF(sk->sk_state) & (TCPF_TIME_WAIT | TCPF_NEW_SYN_RECV) || sk->sk_pacing_status == SK_PACING_NONE)
        return;
    w->held_by_fq += sk->sk_pacing_status == SK_PACING_FQ && skb->tstamp;
    /* What a timer sends again, or a probe of a shut window, does not wait for the internal timer, as in Linux; fq holds
     * all. */
    w->checked_stamp += skb->tstamp != 0;
    if (departure > now && (fresh || sk->sk_pacing_status == SK_PACING_FQ))
        wrong(w, now, "port %u sends %u bytes %llu ns before their departure time", me->sport, s->len,
              (unsigned long long)(departure - now));
    rate = w->lie == ABOVE_MAX_PACING && sk->sk_max_pacing_rate != ~0ull ? sk->sk_max_pacing_rate / 4 : sk->sk_max_pacing_rate;
    if (me->last_data && now > me->last_data + FQ_HORIZON) { /* fq holds nothing longer: all of that leaves at once */
        me->paced_since = 0;
        me->paced_again = now + NSEC_PER_SEC;
    }
    me->last_data = now;
    if (rate == ~0ull || me->data_segs <= TCP_INIT_CWND || !fresh || now < me->paced_again)
        return;
    if (me->paced_since) {
        w->checked_rate++;
        u64 soonest = me->paced_last + me->paced_last_len * NSEC_PER_SEC / rate / 2;

        if (now + 1000 < soonest && skb->dev->qdisc->ops != &tbf_ops) /* which holds some back, and then lets them go */
            wrong(w, now, "port %u sends %llu ns too early for %llu bytes/s", me->sport, (unsigned long long)(soonest - now),
                  (unsigned long long)rate);
        if (me->paced_bytes > (now - me->paced_since) * rate / NSEC_PER_SEC + 65536)
            wrong(w, now, "port %u has sent %llu bytes in %.3f s with a maximum of %llu bytes/s", me->sport,
                  (unsigned long long)me->paced_bytes, (double)(now - me->paced_since) / NSEC_PER_SEC, (unsigned long long)rate);
    } else {
        me->paced_since = now;
        me->paced_bytes = 0;
    }
    me->paced_bytes += s->len;
    me->paced_last = now;
    me->paced_last_len = s->len;
}

/* A router on the way says so (RFC 1191). */
static void say_too_big(struct wire *w, const struct sk_buff *skb, int end, u64 now)
{
    u8 f[FRAG_NEEDED_LEN];

    frag_needed(f, skb->data, w->path_mtu);
    memlink_inject(w->link, end, f, sizeof(f), now + w->one_way_ns);
    w->told++;
}

static void see(void *arg, int end, const struct sk_buff *skb, u64 now)
{
    struct wire *w = arg;
    struct seg s = {.ip = (const struct iphdr *)(skb->data + ETH_HLEN)};
    struct wire_flow *me, *peer;

    w->digest = (w->digest ^ now ^ skb->len) * 0x100000001b3ull;
    if (skb->protocol != htobe16(ETH_P_IP) || s.ip->protocol != IPPROTO_TCP || (s.ip->frag_off & htobe16(IP_OFFSET)))
        return;
    if (w->behind_router[end] && !frame_csum_ok(skb))
        return;
    s.th = (const struct tcphdr *)((const u8 *)s.ip + s.ip->ihl * 4);
    s.hlen = ETH_HLEN + s.ip->ihl * 4u + s.th->doff * 4u;
    s.len = skb->len - s.hlen;
    s.seq = be32toh(s.th->seq);
    s.ack = be32toh(s.th->ack_seq);
    s.win = be16toh(s.th->window);
    if (w->lie == WINDOW_OVERRUN)
        s.win /= 2;
    w->segments += max(skb->shinfo->gso_segs, (u16)1);
    w->digest = (w->digest ^ s.seq ^ ((u64)s.ack << 32) ^ s.win) * 0x100000001b3ull;
    if (w->trace)
        trace(&s, end, skb->tstamp, now);
    me = flow(w, s.ip->saddr, s.ip->daddr, be16toh(s.th->source), be16toh(s.th->dest));
    peer = flow(w, s.ip->daddr, s.ip->saddr, be16toh(s.th->dest), be16toh(s.th->source));
    if (!me || !peer)
        return;
    check_window(w, &s, me, peer, now);
    check_mtu(w, &s, skb, now);
    check_pacing(w, &s, skb, me, now);
    if (w->path_mtu && (skb_is_gso(skb) ? s.hlen - ETH_HLEN + skb->shinfo->gso_size : skb->len - ETH_HLEN) > w->path_mtu)
        say_too_big(w, skb, end, now);
}

void wire_watch(struct wire *w, struct sim *sim, struct memlink *link)
{
    *w = (struct wire){.sim = sim, .link = link, .trace = getenv("SIM_TRACE") != NULL};
    memlink_set_tap(link, see, w);
}
