/* SPDX-License-Identifier: MIT */
/* The script's fixture: a net whose one device is the script. Frames that the stack sends are parsed and kept
 * until tx() asks for them; rx() puts a frame where ndo_poll finds it. Single-threaded; the clock stands still but
 * where the header says it moves. */

#include "tcpscript_seg.h"
#include "../../stack/core/neighbour.h"
#include "../../stack/core/rcu.h"
#include <fnmatch.h>
#include <net/if.h>

#define START_NS (1000 * NSEC_PER_SEC)
#define ISN_BELOW_WRAP 1000u /* relative 1000 is sequence number 0 */
#define PEER_ISN (0u - 700u)
#define MAX_FLOWS 64
#define MAX_SENT 4096
#define MAX_PLANNED 256
#define HISTORY 40
#define POLL_ROUNDS 10000

struct net *script_net;
struct net_device *script_dev;

static struct {
    u64 now;
    struct waiter waiter;
    struct page_pool *rx_pool, *tx_pool;
    struct flow flows[MAX_FLOWS];
    int nflows;
    struct flow *cur;
    bool isn_placed;
    struct wire *sent[MAX_SENT]; /* ring: what tx() has not yet seen */
    unsigned sent_head, sent_tail;
    struct wire history[HISTORY];
    unsigned nhistory;
    struct { u8 *frame; u32 len; } inbox; /* for the next ndo_poll */
    struct planned { u64 when; struct seg seg; const char *file; int line; } planned[MAX_PLANNED];
    int nplanned;
    s64 base_skbs, base_socks;
    u32 base_timers;
    u64 seed;
    bool draining, failed;
    unsigned injected;
} sc;

u64 script_now(void) { return sc.now; }

u8 script_pattern(u32 seed, u64 place)
{
    u64 x = (place + ((u64)seed << 32)) * 0x9e3779b97f4a7c15ull;

    return (u8)(x >> 56);
}

/* ---- failing --------------------------------------------------------------------------------------------------- */

static struct flow *flow_of(u16 sport, u16 lport)
{
    struct flow *f;

    for (int i = 0; i < sc.nflows; i++)
        if (sc.flows[i].sport == sport && sc.flows[i].lport == lport)
            return &sc.flows[i];
    cr_assert(sc.nflows < MAX_FLOWS, "script: more than %d connections", MAX_FLOWS);
    f = &sc.flows[sc.nflows++];
    memset(f, 0, sizeof(*f));
    f->sport = sport;
    f->lport = lport;
    f->peer_isn = PEER_ISN + (u32)(f - sc.flows) * 1000;
    f->win = 65535;
    return f;
}

static void text_of(const struct wire *w, char *out, size_t size)
{
    if (w->proto == IPPROTO_TCP)
        seg_text(flow_of(w->sport, w->lport), w, out, size);
    else
        snprintf(out, size, "%s %llu.%06llu IP protocol %u", w->from_stack ? "tx" : "rx",
                 (unsigned long long)(w->when / NSEC_PER_SEC), (unsigned long long)(w->when % NSEC_PER_SEC / 1000), w->proto);
}

static void remember(const struct wire *w)
{
    char line[512];

    sc.history[sc.nhistory++ % HISTORY] = *w;
    if (getenv("SCRIPT_TRACE")) {
        text_of(w, line, sizeof(line));
        fprintf(stderr, "    %s\n", line);
    }
}

static void __attribute__((format(printf, 3, 4), noreturn)) fail(const char *file, int line, const char *fmt, ...)
{
    static char text[16384];
    char one[512];
    va_list ap;
    size_t n;

    sc.failed = true;
    va_start(ap, fmt);
    n = (size_t)snprintf(text, sizeof(text), "%s:%d: ", file, line);
    n += (size_t)vsnprintf(text + n, sizeof(text) - n, fmt, ap);
    va_end(ap);
    n += (size_t)snprintf(text + n, sizeof(text) - n, "\n  the segments before, oldest first:");
    for (unsigned i = sc.nhistory > HISTORY ? sc.nhistory - HISTORY : 0; i < sc.nhistory && n < sizeof(text) - 600; i++) {
        text_of(&sc.history[i % HISTORY], one, sizeof(one));
        n += (size_t)snprintf(text + n, sizeof(text) - n, "\n    %s", one);
    }
    cr_assert_fail("%s", text);
    abort();
}

int script_sigurgs;

/* ---- net_ops ------------------------------------------------------------------------------------------------------- */

static u64 op_clock(struct net *net) { return sc.now; }

static u64 op_random(struct net *net)
{
    sc.seed = sc.seed * 6364136223846793005ull + 1442695040888963407ull;
    return sc.seed >> 29 ^ sc.seed << 13;
}

static struct waiter *op_waiter(struct net *net) { return &sc.waiter; }
static void op_wake(struct net *net, struct waiter *w) {}
static void op_timer_armed(struct net *net, u64 expires) {}
static void op_sigurg(struct net *net, struct socket *sock) { script_sigurgs++; }

static void op_log(struct net *net, int level, const char *text)
{
    if (getenv("SCRIPT_TRACE"))
        fprintf(stderr, "    log %d: %s\n", level, text);
}

/* Let the stack do all that it can do now. */
static void run(void)
{
    net_tick(script_net);
    for (int i = 0; i < POLL_ROUNDS; i++)
        if (!net_poll(script_net, 64) && !sc.inbox.frame)
            return;
    cr_assert_fail("the stack does not come to rest: %d polls at one moment all did something", POLL_ROUNDS);
}

static void inject(const char *file, int line, const struct seg *s);

/* The next thing that happens at or before limit; false: nothing does (the clock is then at limit). */
static bool step(u64 limit)
{
    u64 t = net_next_timer(script_net);
    int plan = -1;

    for (int i = 0; i < sc.nplanned; i++)
        if (sc.planned[i].when < t || (plan >= 0 && sc.planned[i].when < sc.planned[plan].when)) {
            plan = i;
            t = sc.planned[i].when;
        }
    if (t > limit || t == UINT64_MAX) {
        if (limit != UINT64_MAX)
            sc.now = max(sc.now, limit);
        net_tick(script_net);
        return false;
    }
    sc.now = max(sc.now, t);
    if (plan >= 0) {
        struct planned p = sc.planned[plan];
        sc.planned[plan] = sc.planned[--sc.nplanned];
        inject(p.file, p.line, &p.seg);
    }
    run();
    return true;
}

/* A blocking call of the program: time passes until it is woken. */
static int op_wait(struct net *net, struct waiter *w, u64 deadline)
{
    run();
    while (!atomic_load(&w->woken) && sc.now < deadline)
        if (!step(deadline) && deadline == UINT64_MAX)
            fail("the program", 0, "a call blocks for ever: no timer runs and no segment is on its way (rx_in)");
    return 0;
}

static const struct net_ops script_ops = {
    .clock_ns = op_clock,
    .random = op_random,
    .current_waiter = op_waiter,
    .wait = op_wait,
    .wake = op_wake,
    .timer_armed = op_timer_armed,
    .send_sigurg = op_sigurg,
    .log = op_log,
};

/* ---- the device ------------------------------------------------------------------------------------------------------ */

/* Where the sequence space of a segment of the stack ends, relative. */
static s64 segment_end(const struct flow *f, const struct wire *w)
{
    s64 seq = f->seen + (s32)(w->seq - f->isn - (u32)f->seen);

    return seq + w->len + (w->flags & TCPHDR_SYN ? 1 : 0) + (w->flags & TCPHDR_FIN ? 1 : 0);
}

static void note_sent(struct wire *w)
{
    struct flow *f = flow_of(w->sport, w->lport);
    bool has_ts;
    u32 tsval = seg_find_ts(w, NULL, &has_ts);

    if ((w->flags & TCPHDR_SYN) && !(w->flags & TCPHDR_RST)) {
        if (!f->isn_known || f->isn != w->seq) {
            f->isn = w->seq;
            f->isn_known = true;
            f->nxt = f->seen = 0;
            f->ts_base = tsval;
        }
        f->ts = has_ts;
    }
    if (has_ts)
        f->last_tsval = tsval;
    if (!(w->flags & TCPHDR_RST))
        f->seen = max(f->seen, segment_end(f, w));
}

static netdev_tx_t dev_xmit(struct sk_buff *skb, struct net_device *dev)
{
    static u8 frame[65536 + 100];
    struct wire w;
    const char *wrong;
    u32 len = skb->len;

    cr_assert(len <= sizeof(frame) && !skb_copy_bits(skb, 0, frame, len), "the stack sent a frame that cannot be read (%u bytes)", len);
    consume_skb(skb);
    if (frame[12] == 0x08 && frame[13] == 0x06)
        return NETDEV_TX_OK; /* the neighbour is permanent: an announcement at most */
    wrong = seg_parse(frame, len, &w);
    cr_assert(!wrong, "the stack sent a bad frame of %u bytes: %s", len, wrong ? wrong : "");
    w.when = sc.now;
    if (w.proto == IPPROTO_TCP)
        note_sent(&w);
    remember(&w);
    if (!sc.draining) {
        cr_assert(sc.sent_tail - sc.sent_head < MAX_SENT, "the stack sent more than %d frames that nobody asked for", MAX_SENT);
        sc.sent[sc.sent_tail % MAX_SENT] = malloc(sizeof(w));
        *sc.sent[sc.sent_tail++ % MAX_SENT] = w;
    }
    return NETDEV_TX_OK;
}

static int dev_poll(struct net_device *dev, int budget)
{
    struct sk_buff *skb;
    u8 *frame = sc.inbox.frame;
    u32 len = sc.inbox.len;

    if (!frame)
        return 0;
    sc.inbox.frame = NULL;
    if (sc.injected++ & 1) { /* in turn on a page of a pool, as from a ring, and on the heap */
        struct page *page = sc.rx_pool->alloc(sc.rx_pool);
        cr_assert(page, "script: the receive pool is empty");
        skb = build_skb_page(script_net, page, sc.rx_pool->headroom);
    } else {
        skb = alloc_skb(script_net, len);
    }
    cr_assert(skb, "script: no sk_buff");
    memcpy(skb_put(skb, len), frame, len);
    free(frame);
    skb->dev = dev;
    netif_receive_skb(skb);
    napi_complete(dev);
    return 1;
}

static const struct net_device_ops script_dev_ops = { .ndo_start_xmit = dev_xmit, .ndo_poll = dev_poll };

/* ---- the fixture -------------------------------------------------------------------------------------------------------- */

void script_init(void)
{
    struct neighbour *n;

    memset(&sc, 0, sizeof(sc));
    script_sigurgs = 0;
    sc.now = START_NS;
    sc.seed = 42;
    sc.rx_pool = page_pool_heap_create(2048, 256, 0);
    sc.tx_pool = page_pool_heap_create(1460, 256, 0);
    inet_init();
    script_net = net_alloc(&script_ops, NULL);
    cr_assert(script_net && sc.rx_pool && sc.tx_pool, "script: no memory for the net");
    sc.waiter.net = script_net;
    script_net->tx_pool = sc.tx_pool;
    net_tick(script_net);

    script_dev = calloc(1, sizeof(*script_dev));
    snprintf(script_dev->name, sizeof(script_dev->name), "script0");
    script_dev->ifindex = 2;
    script_dev->mtu = 1500;
    script_dev->flags = IFF_UP | IFF_RUNNING;
    script_dev->ops = &script_dev_ops;
    script_dev->own_address = true;
    memcpy(script_dev->dev_addr, "\x02\0\0\0\0\x01", 6);
    cr_assert_eq(register_netdev(script_net, script_dev), 0, "script: register_netdev failed");
    cr_assert_eq(dev_add_addr(script_dev, htobe32(SCRIPT_LOCAL), 24), 0, "script: dev_add_addr failed");

    rcu_read_lock();
    n = __neigh_create(script_net, htobe32(SCRIPT_PEER), script_dev);
    cr_assert(n, "script: no neighbour");
    neigh_update(n, (const u8 *)"\x02\0\0\0\0\x02", NUD_PERMANENT, true);
    rcu_read_unlock();
    run();
    tx_ignore();
    net_rcu_barrier(script_net);
    sc.base_skbs = atomic_load(&script_net->skb_count);
    sc.base_socks = atomic_load(&script_net->sock_count);
    sc.base_timers = net_timers_pending(script_net);
    script_flow(SCRIPT_PEER_PORT, 80);
}

void script_close_all(void); /* tcpscript_sys.c */

void script_fini(void)
{
    u64 end;

    if (!script_net)
        return;
    if (!sc.failed)
        tx_nothing();
    sc.draining = true;
    sc.nplanned = 0;
    script_close_all();
    run();
    /* Retransmissions to a peer that is gone, FIN-WAIT-2, TIME-WAIT: an hour of virtual time ends them all. */
    for (end = sc.now + 3600 * NSEC_PER_SEC; net_timers_pending(script_net) > sc.base_timers && step(end);)
        ;
    run();
    net_rcu_barrier(script_net);
    cr_assert_eq(net_timers_pending(script_net), sc.base_timers, "%u timers are still pending after the test",
                 net_timers_pending(script_net) - sc.base_timers);
    cr_assert_eq(atomic_load(&script_net->sock_count), sc.base_socks, "%lld socks did not come home",
                 (long long)(atomic_load(&script_net->sock_count) - sc.base_socks));
    cr_assert_eq(atomic_load(&script_net->skb_count), sc.base_skbs, "%lld sk_buffs did not come home",
                 (long long)(atomic_load(&script_net->skb_count) - sc.base_skbs));
    cr_assert_eq(atomic_load(&script_net->tcp_memory_allocated), 0, "%lld bytes stay charged to TCP",
                 (long long)atomic_load(&script_net->tcp_memory_allocated));
    cr_assert_eq(atomic_load(&script_net->orphan_count), 0, "orphan_count is %lld at the end",
                 (long long)atomic_load(&script_net->orphan_count));
    cr_assert_eq(net_mib(script_net, TCP_MIB_CURRESTAB), 0, "TcpCurrEstab is %lld at the end",
                 (long long)net_mib(script_net, TCP_MIB_CURRESTAB));
    unregister_netdev(script_dev);
    net_rcu_barrier(script_net);
    net_free(script_net);
    script_net = NULL;
    free(script_dev);
    cr_assert_eq(atomic_load(&sc.rx_pool->outstanding), 0, "%lld receive pages did not come home", (long long)sc.rx_pool->outstanding);
    cr_assert_eq(atomic_load(&sc.tx_pool->outstanding), 0, "%lld transmit pages did not come home", (long long)sc.tx_pool->outstanding);
    page_pool_heap_destroy(sc.rx_pool);
    page_pool_heap_destroy(sc.tx_pool);
}

void script_flow(u16 peer_port, u16 local_port) { sc.cur = flow_of(peer_port, local_port); }

/* Place the clock so that the ISN of the first connection lies just below 2^32 (RFC 6528: a hash and a clock of 64 ns). */
void script_place_isn(u16 lport, u16 sport)
{
    u32 isn;

    if (sc.isn_placed)
        return;
    sc.isn_placed = true;
    net_tick(script_net);
    isn = secure_tcp_seq(script_net, htobe32(SCRIPT_LOCAL), htobe32(SCRIPT_PEER), htobe16(lport), htobe16(sport));
    sc.now += (u64)(0u - ISN_BELOW_WRAP - isn) << 6;
    for (int i = 0; i < sc.nplanned; i++)
        sc.planned[i].when += (u64)(0u - ISN_BELOW_WRAP - isn) << 6;
    net_tick(script_net);
}

/* ---- rx -------------------------------------------------------------------------------------------------------------------- */

static void frame_to_stack(u8 *frame, u32 len)
{
    sc.inbox.frame = frame;
    sc.inbox.len = len;
    run();
}

static void default_ts(struct flow *f, struct wire *w)
{
    u32 val = f->peer_tsval + (u32)((sc.now - f->peer_ts_ns) / NSEC_PER_MSEC); /* the peer's clock */

    w->opt[0] = w->opt[1] = 1;
    w->opt[2] = 8;
    w->opt[3] = 10;
    for (int i = 0; i < 4; i++) {
        w->opt[4 + i] = (u8)(val >> (24 - 8 * i));
        w->opt[8 + i] = (u8)(f->last_tsval >> (24 - 8 * i));
    }
    w->optlen = 12;
}

static void inject(const char *file, int line, const struct seg *s)
{
    struct flow *f = s->sport || s->lport ? flow_of(s->sport ? s->sport : sc.cur->sport, s->lport ? s->lport : sc.cur->lport) : sc.cur;
    struct wire w = { .when = sc.now, .sport = f->sport, .lport = f->lport, .proto = IPPROTO_TCP, .len = s->len };
    int flags = seg_flags(s->flags ? s->flags : s->len ? "PA" : "A"), optlen;
    s64 seq, end;
    u8 *frame;
    u32 tsval;
    bool has_ts;

    if ((flags & TCPHDR_SYN) && !(flags & TCPHDR_ACK))
        script_place_isn(f->lport, f->sport);
    w.when = sc.now;
    if ((flags & TCPHDR_SYN) && s->seq == SEG_NEXT)
        seq = 0;
    else
        seq = s->seq == SEG_NEXT ? f->peer_nxt : s->seq;
    w.flags = (u8)flags;
    w.seq = f->peer_isn + (u32)seq;
    w.ack = flags & TCPHDR_ACK ? f->isn + (u32)(s->ack == SEG_NEXT ? f->seen : s->ack) : 0;
    if (s->win >= 0)
        f->win = s->win;
    w.win = (u16)f->win;
    w.tos = s->tos >= 0 ? (u8)s->tos : 0;
    if (s->urg >= 0)
        w.urg = (u16)s->urg;
    if (s->opt) {
        optlen = seg_opt_build(f, s->opt, w.opt);
        if (optlen < 0 || optlen > 40)
            fail(file, line, "script: cannot make options of \"%s\"", s->opt);
        w.optlen = (u32)optlen;
    } else if (f->peer_ts && f->ts && !(flags & TCPHDR_SYN)) {
        default_ts(f, &w);
    }
    tsval = seg_find_ts(&w, NULL, &has_ts);
    if (has_ts) {
        f->peer_tsval = tsval;
        f->peer_ts_ns = sc.now;
    }
    if (flags & TCPHDR_SYN) {
        f->peer_ts = has_ts;
        f->peer_nxt = max(f->peer_nxt, seq + 1);
    }
    if (w.len > sizeof(w.data))
        fail(file, line, "script: payload of %u bytes", w.len);
    for (u32 i = 0; i < w.len; i++)
        w.data[i] = script_pattern(f->sport + s->data_seed, (u64)(seq + (flags & TCPHDR_SYN ? 1 : 0) + i));
    end = seq + w.len + (flags & TCPHDR_FIN ? 1 : 0) + (flags & TCPHDR_SYN ? 1 : 0);
    if (!(flags & TCPHDR_RST) && !s->bad_csum && !s->bad_ip_csum && !s->cut && s->doff < 0 && seq <= f->peer_nxt)
        f->peer_nxt = max(f->peer_nxt, end); /* what fills a hole may leave another: then the script says .seq */
    remember(&w);
    frame = malloc(2048 + SCRIPT_HDRS);
    frame_to_stack(frame, seg_frame(&w, s, script_dev->dev_addr, frame));
}

void script_rx(const char *file, int line, const struct seg *s)
{
    script_tx_nothing(file, line);
    if (s->sport || s->lport)
        script_flow(s->sport ? s->sport : sc.cur->sport, s->lport ? s->lport : sc.cur->lport);
    inject(file, line, s);
}

void script_rx_in(const char *file, int line, u64 ms, const struct seg *s)
{
    cr_assert(sc.nplanned < MAX_PLANNED, "script: too many rx_in");
    sc.planned[sc.nplanned++] = (struct planned){ .when = sc.now + ms * NSEC_PER_MSEC, .seg = *s, .file = file, .line = line };
}

void script_rx_icmp(const char *file, int line, int type, int code, u32 info, s64 seq)
{
    u8 *frame = malloc(128);

    script_tx_nothing(file, line);
    frame_to_stack(frame, seg_icmp_frame(sc.cur, type, code, info, sc.cur->isn + (u32)seq, script_dev->dev_addr, frame));
}

/* ---- tx -------------------------------------------------------------------------------------------------------------------------- */

static void expected_text(const struct flow *f, const struct seg *s, s64 seq, char *out, size_t size)
{
    int n = snprintf(out, size, "10.0.0.1.%u > 10.0.0.2.%u: Flags [%s], seq %lld", f->lport, f->sport,
                     s->flags ? s->flags : s->len ? "A or PA" : "A", (long long)seq);
#define ADD(cond, ...) if (cond) n += snprintf(out + n, size - (size_t)n, __VA_ARGS__)
    ADD(s->len, ":%lld", (long long)seq + s->len);
    ADD(s->ack != SEG_NEXT, ", ack %lld", (long long)s->ack);
    ADD(s->win >= 0, ", win %d", s->win);
    ADD(s->urg >= 0, ", urg %d", s->urg);
    ADD(s->tos >= 0, ", tos 0x%x", (unsigned)s->tos);
    ADD(s->df >= 0, ", %s", s->df ? "DF" : "no DF");
    ADD(s->ttl >= 0, ", ttl %d", s->ttl);
    ADD(s->ip_id >= 0, ", id %lld", (long long)s->ip_id);
    ADD(s->ip_opt, ", IP options [%s]", s->ip_opt);
    ADD(s->opt, ", options [%s]", s->opt);
    ADD(true, ", length %u", s->len);
#undef ADD
}

static const char *differs(const struct flow *f, const struct wire *w, const struct seg *s, s64 seq)
{
    static char opts[256];

    if (w->proto != IPPROTO_TCP)
        return "protocol";
    if (w->sport != f->sport || w->lport != f->lport)
        return "ports";
    if (s->flag_byte >= 0 ? w->flags != s->flag_byte
        : s->flags        ? strcmp(s->flags, "*") && w->flags != seg_flags(s->flags)
        : s->len          ? (w->flags & ~TCPHDR_PSH) != TCPHDR_ACK
                          : w->flags != TCPHDR_ACK)
        return "flags";
    if (w->seq != f->isn + (u32)seq)
        return "seq";
    if (w->len != s->len)
        return "length";
    if (s->ack != SEG_NEXT && w->ack != f->peer_isn + (u32)s->ack)
        return "ack";
    if (s->win >= 0 && w->win != s->win)
        return "window";
    if (s->urg >= 0 && (w->urg != s->urg || !(w->flags & TCPHDR_URG)))
        return "urgent pointer";
    if (s->tos >= 0 && w->tos != s->tos)
        return "TOS";
    if (s->df >= 0 && w->df != s->df)
        return "DF";
    if (s->ttl >= 0 && w->ttl != s->ttl)
        return "TTL";
    if (s->ip_id >= 0 && w->ip_id != s->ip_id)
        return "IP ident";
    if (s->ip_opt && strcmp(s->ip_opt, w->ip_opt))
        return "IP options";
    if (s->opt) {
        seg_opt_text(f, w, opts, sizeof(opts));
        if (fnmatch(s->opt, opts, 0))
            return "options";
    }
    for (u32 i = 0; i < w->len; i++)
        if (w->data[i] != script_pattern(f->lport, (u64)(seq + (w->flags & TCPHDR_SYN ? 1 : 0) + i)))
            return "payload";
    return NULL;
}

void script_tx(const char *file, int line, const struct seg *s)
{
    struct flow *f = s->sport || s->lport ? flow_of(s->sport ? s->sport : sc.cur->sport, s->lport ? s->lport : sc.cur->lport) : sc.cur;
    char want[512], got[512];
    struct wire *w;
    const char *what;
    s64 seq = s->seq;

    /* A SYN begins the stack's stream anew: relative numbers count from it. */
    if (seq == SEG_NEXT)
        seq = s->flags && strchr(s->flags, 'S') ? 0 : f->nxt;
    if (sc.sent_head == sc.sent_tail) {
        expected_text(f, s, seq, want, sizeof(want));
        fail(file, line, "nothing was sent, expected\n    %s", want);
    }
    w = sc.sent[sc.sent_head % MAX_SENT];
    what = differs(f, w, s, seq);
    if (what) {
        expected_text(f, s, seq, want, sizeof(want));
        text_of(w, got, sizeof(got));
        fail(file, line, "another segment was sent (%s differs)\n  expected %s\n  sent     %s", what, want, got);
    }
    if (!(w->flags & TCPHDR_RST))
        f->nxt = max(f->nxt, segment_end(f, w));
    free(w);
    sc.sent_head++;
}

void script_tx_nothing(const char *file, int line)
{
    char got[512];

    if (!script_net || sc.sent_head == sc.sent_tail)
        return;
    text_of(sc.sent[sc.sent_head % MAX_SENT], got, sizeof(got));
    fail(file, line, "%u segment(s) were sent that no tx() asked for, the first is\n    %s", sc.sent_tail - sc.sent_head, got);
}

int script_tx_ignore(void)
{
    int n = 0;

    for (; sc.sent_head != sc.sent_tail; n++) {
        struct wire *w = sc.sent[sc.sent_head++ % MAX_SENT];
        if (w->proto == IPPROTO_TCP && !(w->flags & TCPHDR_RST)) {
            struct flow *f = flow_of(w->sport, w->lport);
            f->nxt = max(f->nxt, segment_end(f, w));
        }
        free(w);
    }
    return n;
}

void script_advance(const char *file, int line, u64 ns)
{
    u64 end = sc.now + ns;

    while (step(end))
        ;
    run();
}

void script_tx_at(const char *file, int line, u64 ms, const struct seg *s)
{
    u64 slack = ms * NSEC_PER_MSEC / 100 + NSEC_PER_MSEC, begin = sc.now, due = begin + ms * NSEC_PER_MSEC;

    script_tx_nothing(file, line);
    while (sc.sent_head == sc.sent_tail && step(due + slack))
        ;
    if (sc.sent_head != sc.sent_tail && sc.now + slack < due) {
        char got[512];
        text_of(sc.sent[sc.sent_head % MAX_SENT], got, sizeof(got));
        fail(file, line, "sent after %.3f ms, expected after %llu\n    %s", (double)(sc.now - begin) / 1e6, (unsigned long long)ms, got);
    }
    script_tx(file, line, s);
}
