/* SPDX-License-Identifier: MIT */
/* `sluice --trace`. Two halves, because a packet is met deep inside the stack, under its locks:
 *
 *   at the packet    which kind of segment is it; return addresses into a table (on_packet)
 *   later            functions, files and lines, and the printing: on the backstop thread, or when the process
 *                    ends (print_listings, print_folded)
 *
 * list: the first packet of each kind, and the first completion. folded: every packet; equal paths are counted.
 *
 * A packet may reach the ring in several goes: kept by a neighbour that is not resolved yet, or by a queueing
 * discipline, it is sent on by whoever comes next. The stacks of the first goes are kept meanwhile and printed
 * first. */

#include "trace.h"
#include "../stack/core/netdevice.h"
#include "../stack/core/skbuff.h"
#include "../stack/core/trace.h"
#include "config.h"
#include "libc.h"
#include "runtime.h"
#include "trace_symbols.h"
#include <arpa/inet.h>
#include <linux/if_ether.h>
#include <linux/ip.h>
#include <linux/tcp.h>
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

#define DEPTH 96           /* return addresses of one stack */
#define QUEUED 64          /* packets waiting on the way, whose stack is remembered */
#define PATHS 4096         /* distinct stacks that folded counts; a power of two */
#define FRAMES 160         /* functions of one listing, inlined ones too */
#define FOLDED_LINE 4096
#define END_MS 2000        /* to print before a signal ends the program; then without */
#define GOES 3             /* of one packet before the last; it takes two: a neighbour, then a discipline */

enum kind {
    KIND_SYN,
    KIND_SYNACK,
    KIND_DATA,
    KIND_ACK,
    KIND_RETRANSMISSION,
    KIND_FIN,
    KIND_RST,
    KIND_COMPLETION, /* not a segment: the end of the first clone that carried data */
    KINDS,
    KIND_OTHER = KINDS,
};
static const char *const kind_names[KINDS] = {"SYN",            "SYN-ACK", "data", "ACK",
                                              "retransmission", "FIN",     "RST",  "completion"};

struct segment {
    enum kind kind;
    __be32 saddr, daddr;
    u16 sport, dport;
    u32 seq, ack_seq, len, segs;
    u8 flags;
};
struct stack {
    u32 n;          /* 0: none */
    void *ip[DEPTH]; /* within the library, innermost first */
    void *caller;   /* in the program, or NULL */
};
struct queued {
    const struct sk_buff *skb; /* a name only: it may be gone */
    struct segment seg;
    enum trace_point where;
    struct stack stack;
};
struct listing {
    bool taken;
    u32 order;      /* of print; 0: printed, or none yet */
    struct segment seg;
    enum trace_point where;
    char dev[16];
    u32 ngoes;
    struct {
        enum trace_point where; /* it stayed */
        struct stack stack;
    } goes[GOES];
    struct stack stack; /* the last one */
};
struct path {
    u64 count;
    u32 n;
    void *ip[DEPTH];
};

static struct {
    pthread_mutex_t lock; /* protects all but printing; taken under any lock of the stack, nothing nests in it */
    pthread_mutex_t printing; /* one printer; nests outside lock, never taken under a lock of the stack */
    pid_t pid;
    u32 orders;
    u32 next_queued;
    u64 lost; /* folded: packets for whose path there was no room */
    u32 npaths;
    struct listing first[KINDS];
    struct queued queued[QUEUED];
    struct path *paths; /* folded: open addressing, by the addresses */
} tr = {.lock = PTHREAD_MUTEX_INITIALIZER, .printing = PTHREAD_MUTEX_INITIALIZER};
static _Atomic u32 unprinted;

/* ---- at the packet ------------------------------------------------------------------------------------------- */

/* Which segment is it? Headers are in place and linear wherever there is a trace point. */
static void look(const struct sk_buff *skb, struct segment *s)
{
    const struct iphdr *iph;
    const struct tcphdr *th;
    u32 headers;

    *s = (struct segment){.kind = KIND_OTHER};
    if (skb->protocol != htobe16(ETH_P_IP) || skb->network_header == 0xffff)
        return;
    iph = (const struct iphdr *)skb_network_header(skb);
    s->saddr = iph->saddr;
    s->daddr = iph->daddr;
    if (iph->protocol != IPPROTO_TCP || (iph->frag_off & htobe16(0x1fff)))
        return;
    th = (const struct tcphdr *)((const u8 *)iph + iph->ihl * 4);
    s->sport = be16toh(th->source);
    s->dport = be16toh(th->dest);
    s->seq = be32toh(th->seq);
    s->ack_seq = be32toh(th->ack_seq);
    s->flags = ((const u8 *)th)[13];
    s->segs = max((u32)skb_shinfo(skb)->gso_segs, 1u);
    headers = (u32)((const u8 *)th - skb->data) + th->doff * 4u;
    s->len = skb->len - min(headers, skb->len);
    s->kind = th->rst               ? KIND_RST
              : skb->retransmitted  ? KIND_RETRANSMISSION
              : th->syn && !th->ack ? KIND_SYN
              : th->syn             ? KIND_SYNACK
              : th->fin             ? KIND_FIN
              : s->len              ? KIND_DATA
                                    : KIND_ACK;
}

/* Our own frames off, and those of the program: what is left begins in the library's outermost function. */
static __attribute__((noinline)) void unwind(struct stack *st)
{
    void *ip[DEPTH + 32];
    int n = trace_unwind(ip, (int)ARRAY_SIZE(ip)), last = n - 1;

    st->n = 0;
    st->caller = NULL;
    while (last >= 0 && !trace_in_library(ip[last]))
        last--;
    if (last >= 0 && last + 1 < n)
        st->caller = ip[last + 1];
    for (int i = 0; i <= last && st->n < DEPTH; i++)
        st->ip[st->n++] = ip[i];
}

static bool same_segment(const struct segment *a, const struct segment *b)
{
    return a->saddr == b->saddr && a->daddr == b->daddr && a->sport == b->sport && a->dport == b->dport && a->seq == b->seq &&
           a->ack_seq == b->ack_seq && a->flags == b->flags;
}

/* tr.lock held. The packet stays behind: remember who brought it here. */
static void remember_queued(enum trace_point where, const struct sk_buff *skb, const struct segment *s)
{
    struct queued *q = &tr.queued[tr.next_queued++ % QUEUED];

    q->skb = skb;
    q->seg = *s;
    q->where = where;
    unwind(&q->stack);
}

/* Is the stack of one go part of the next one's (queued, and sent within the same call)? Then it tells nothing. */
static bool still_there(const struct stack *queued, const struct stack *st)
{
    u32 common = 0;

    while (common < queued->n && common < st->n && queued->ip[queued->n - 1 - common] == st->ip[st->n - 1 - common])
        common++;
    return common > 3; /* several functions up from the program's call, they are one call */
}

/* tr.lock held. The goes before this one, oldest first. */
static void fill_goes(struct listing *l, const struct sk_buff *skb, const struct segment *s)
{
    const struct stack *next;
    u32 kept = 0;

    l->ngoes = 0;
    for (u32 i = 0; i < QUEUED; i++) {
        struct queued *q = &tr.queued[(tr.next_queued + i) % QUEUED];

        if (q->skb != skb || !same_segment(&q->seg, s))
            continue;
        q->skb = NULL;
        if (l->ngoes < GOES) {
            l->goes[l->ngoes].where = q->where;
            l->goes[l->ngoes++].stack = q->stack;
        }
    }
    for (u32 i = 0; i < l->ngoes; i++) {
        next = i + 1 < l->ngoes ? &l->goes[i + 1].stack : &l->stack;
        if (!still_there(&l->goes[i].stack, next))
            l->goes[kept++] = l->goes[i];
    }
    l->ngoes = kept;
}

/* tr.lock held. */
static void fill_listing(struct listing *l, enum trace_point where, const struct sk_buff *skb, const struct segment *s)
{
    l->taken = true;
    l->seg = *s;
    l->where = where;
    snprintf(l->dev, sizeof(l->dev), "%s", skb->dev ? skb->dev->name : "?");
    unwind(&l->stack);
    l->ngoes = 0;
    if (where != TRACE_COMPLETION)
        fill_goes(l, skb, s);
    l->order = ++tr.orders;
    atomic_fetch_add(&unprinted, 1);
}

/* tr.lock held. */
static void count_path(void)
{
    struct stack st;
    u64 hash = 14695981039346656037ull;

    unwind(&st);
    for (u32 i = 0; i < st.n; i++)
        hash = (hash ^ (u64)(uintptr_t)st.ip[i]) * 1099511628211ull;
    for (u32 i = (u32)(hash >> 20), tries = 0; tries < PATHS; i++, tries++) {
        struct path *p = &tr.paths[i % PATHS];

        if (p->count && (p->n != st.n || memcmp(p->ip, st.ip, st.n * sizeof(*st.ip))))
            continue;
        if (!p->count && tr.npaths > PATHS * 3 / 4)
            break;
        if (!p->count++) {
            p->n = st.n;
            memcpy(p->ip, st.ip, st.n * sizeof(*st.ip));
            tr.npaths++;
        }
        return;
    }
    tr.lost++;
}

static void on_packet(enum trace_point where, struct sk_buff *skb)
{
    bool folded = sluice_config.trace == CFG_TRACE_FOLDED;
    bool kick = atomic_load_explicit(&unprinted, memory_order_relaxed); /* one that came while the thread was at work is lost */
    struct segment s;
    int saved = errno;

    SHIM_ENTER();
    if (!folded) {
        look(skb, &s);
        if (where == TRACE_COMPLETION) /* header-only frames are not waited for */
            s.kind = s.kind != KIND_OTHER && s.len ? KIND_COMPLETION : KIND_OTHER;
        if (s.kind == KIND_OTHER || READ_ONCE(tr.first[s.kind].taken))
            goto out;
    } else if (where != TRACE_RING && where != TRACE_LANE) {
        goto out;
    }
    pthread_mutex_lock(&tr.lock);
    if (folded) {
        count_path();
    } else if (where == TRACE_NEIGH || where == TRACE_QDISC) {
        remember_queued(where, skb, &s);
    } else if (!tr.first[s.kind].taken) {
        fill_listing(&tr.first[s.kind], where, skb, &s);
        kick = true;
    }
    pthread_mutex_unlock(&tr.lock);
out:
    if (unlikely(kick))
        backstop_kick(); /* it prints */
    SHIM_LEAVE();
    errno = saved;
}

/* ---- a stack in words ------------------------------------------------------------------------------------------ */

/* Innermost first. A function that the compiler has cut in two (a small part inlined, the rest called), or wrapped
 * (the fortified poll() of the C library's headers), stands there twice: its inner part knows the line. */
static int merge_parts(struct trace_frame *frames, int n)
{
    int kept = 0;

    for (int i = 0; i < n; i++)
        if (!kept || strcmp(frames[i].func, frames[kept - 1].func))
            frames[kept++] = frames[i];
        else
            frames[kept - 1].inlined = frames[i].inlined;
    return kept;
}

/* Outermost function first; without this file's own and the trace points'. Returns how many. */
static int resolve(const struct stack *st, struct trace_frame *frames, int max)
{
    int n = 0;

    for (u32 i = 0; i < st->n && n < max; i++)
        n += trace_symbolize(st->ip[i], frames + n, max - n);
    for (int i = 0; i < n; i++) /* innermost first: the hook's end where the point begins */
        if (!strcmp(frames[i].func, "trace_xmit") || !strcmp(frames[i].func, "on_packet")) {
            bool point = i + 1 < n && !strcmp(frames[i + 1].func, "trace_xmit");

            i += point + 1;
            memmove(frames, frames + i, (size_t)(n - i) * sizeof(*frames));
            n -= i;
            break;
        }
    n = merge_parts(frames, n);
    for (int i = 0, j = n - 1; i < j; i++, j--) {
        struct trace_frame f = frames[i];

        frames[i] = frames[j];
        frames[j] = f;
    }
    return n;
}

static void print_stack(FILE *out, const struct stack *st)
{
    struct trace_frame *frames = calloc(FRAMES, sizeof(*frames));
    int n = frames ? resolve(st, frames, FRAMES) : 0, width = 0;

    for (int i = 0; i < n; i++)
        width = max(width, i + (int)strlen(frames[i].func));
    for (int i = 0; i < n; i++) {
        fprintf(out, "%*s%s()", i + 1, "", frames[i].func);
        if (frames[i].file[0])
            fprintf(out, "%*s  %s:%u%s", width - i - (int)strlen(frames[i].func), "", frames[i].file, frames[i].line,
                    frames[i].inlined ? " (inlined)" : "");
        fputc('\n', out);
    }
    free(frames);
}

static void print_title(FILE *out, const struct listing *l)
{
    static const char names[][5] = {"FIN ", "SYN ", "RST ", "PSH ", "ACK ", "URG ", "ECE ", "CWR "};
    const struct segment *s = &l->seg;
    char from[INET_ADDRSTRLEN], to[INET_ADDRSTRLEN], caller[320];
    const struct stack *st = l->ngoes ? &l->goes[0].stack : &l->stack;

    inet_ntop(AF_INET, &s->saddr, from, sizeof(from));
    inet_ntop(AF_INET, &s->daddr, to, sizeof(to));
    fprintf(out, "sluice[%d]: trace: the first %s: %s:%u > %s:%u ", (int)getpid(), kind_names[s->kind], from, s->sport, to,
            s->dport);
    for (int i = 0; i < 8; i++)
        if (s->flags & 1 << i)
            fputs(names[i], out);
    fprintf(out, "seq %u ack %u, %u bytes", s->seq, s->ack_seq, s->len);
    if (s->segs > 1)
        fprintf(out, " in %u segments", s->segs);
    if (l->where == TRACE_COMPLETION)
        fprintf(out, ": %s is done with it, its clone is freed", l->dev);
    else
        fprintf(out, ", into the %s of %s", l->where == TRACE_LANE ? "GSO lane" : "ring", l->dev);
    if (st->caller)
        fprintf(out, "; called from %s", trace_address_name(st->caller, caller, sizeof(caller)));
    fputc('\n', out);
}

static void print_listing(const struct listing *l)
{
    char *text = NULL;
    size_t len = 0;
    FILE *out = open_memstream(&text, &len);

    if (!out)
        return;
    print_title(out, l);
    for (u32 i = 0; i < l->ngoes; i++) {
        print_stack(out, &l->goes[i].stack);
        fprintf(out, " -- %s:\n",
                l->goes[i].where == TRACE_NEIGH ? "it waits here for the answer to an ARP request; who receives that sends it on"
                                                : "it waits here while another packet is being sent; who sends that sends it on");
    }
    print_stack(out, &l->stack);
    if (!fclose(out))
        shim_log_text(text, len); /* in one piece */
    free(text);
}

static void print_listings(void *unused)
{
    struct listing *next = NULL;

    if (!atomic_load(&unprinted))
        return;
    pthread_mutex_lock(&tr.printing);
    while (atomic_load(&unprinted)) {
        next = NULL;
        pthread_mutex_lock(&tr.lock);
        for (int i = 0; i < KINDS; i++)
            if (tr.first[i].order && (!next || tr.first[i].order < next->order))
                next = &tr.first[i];
        pthread_mutex_unlock(&tr.lock);
        if (!next)
            break;
        print_listing(next); /* nobody writes to it any more */
        pthread_mutex_lock(&tr.lock);
        next->order = 0;
        pthread_mutex_unlock(&tr.lock);
        atomic_fetch_sub(&unprinted, 1);
    }
    pthread_mutex_unlock(&tr.printing);
}

/* ---- folded ----------------------------------------------------------------------------------------------------- */

struct folded {
    char *line;
    u64 count;
};

static int by_line(const void *a, const void *b)
{
    return strcmp(((const struct folded *)a)->line, ((const struct folded *)b)->line);
}

/* "write;sock_write_iter;...". NULL without memory. The caller frees it. */
static char *fold(const struct path *p)
{
    struct trace_frame *frames = calloc(FRAMES, sizeof(*frames));
    struct stack *st = calloc(1, sizeof(*st));
    char *line = malloc(FOLDED_LINE);
    size_t used = 0;

    if (frames && st && line) {
        st->n = p->n;
        memcpy(st->ip, p->ip, p->n * sizeof(*p->ip));
        line[0] = 0;
        for (int i = 0, n = resolve(st, frames, FRAMES); i < n && used < FOLDED_LINE; i++)
            used += (size_t)snprintf(line + used, FOLDED_LINE - used, "%s%s", i ? ";" : "", frames[i].func);
    } else {
        free(line);
        line = NULL;
    }
    free(frames);
    free(st);
    return line;
}

/* Paths that differ only in the lines of their calls are one. */
static void print_folded(void)
{
    struct folded *f = calloc(tr.npaths + 1, sizeof(*f));
    char *text = NULL;
    size_t len = 0, n = 0;
    FILE *out = open_memstream(&text, &len);

    if (!f || !out) {
        shim_err("there is no memory to print the folded paths of --trace");
        goto out;
    }
    for (int i = 0; i < PATHS && n < tr.npaths; i++) {
        if (!tr.paths[i].count)
            continue;
        f[n] = (struct folded){fold(&tr.paths[i]), tr.paths[i].count};
        n += f[n].line != NULL;
    }
    qsort(f, n, sizeof(*f), by_line);
    for (size_t i = 0; i < n; i++) {
        if (i + 1 < n && !strcmp(f[i].line, f[i + 1].line))
            f[i + 1].count += f[i].count;
        else
            fprintf(out, "%s %llu\n", f[i].line, (unsigned long long)f[i].count);
        free(f[i].line);
    }
    if (tr.lost)
        shim_warn("--trace=folded met more than %d different paths; %llu packets of further ones are not counted", PATHS * 3 / 4,
                  (unsigned long long)tr.lost);
out:
    free(f);
    if (out && !fclose(out) && len)
        shim_log_text(text, len);
    free(text);
}

/* A signal ends the program: no handler may print, so the backstop thread does. */
static _Atomic bool ending, printed;

static void print_before_the_end(void *unused)
{
    if (!atomic_load(&ending) || atomic_load(&printed))
        return;
    trace_at_exit();
    atomic_store(&printed, true);
}

static void end_by_signal(int sig)
{
    struct timespec tick = {.tv_nsec = NSEC_PER_MSEC};

    atomic_store(&ending, true);
    for (int ms = 0; ms < END_MS && tr.pid == getpid() && !atomic_load(&printed); ms++) {
        backstop_kick();
        raw_syscall4(SYS_nanosleep, &tick, NULL, 0, 0);
    }
    sigdefer_default(sig);
}

/* ---- begin and end -------------------------------------------------------------------------------------------------- */

void trace_start(void)
{
    static const int ends[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGPIPE, SIGALRM};
    char why[320];
    bool folded = sluice_config.trace == CFG_TRACE_FOLDED;

    if (sluice_config.trace == CFG_TRACE_OFF)
        return;
    if (trace_symbols_open(why, sizeof(why))) {
        shim_warn("%s", why);
        return;
    }
    if (why[0])
        shim_warn("%s", why);
    /* A fork child begins anew: what is here was met by its parent, whose threads may have held the locks. */
    pthread_mutex_init(&tr.lock, NULL);
    pthread_mutex_init(&tr.printing, NULL);
    memset(tr.first, 0, sizeof(tr.first));
    memset(tr.queued, 0, sizeof(tr.queued));
    tr.lost = tr.npaths = tr.orders = 0;
    atomic_store(&unprinted, 0);
    atomic_store(&printed, false);
    if (folded) {
        free(tr.paths);
        tr.paths = calloc(PATHS, sizeof(*tr.paths));
        if (!tr.paths) {
            shim_warn("there is no memory for --trace=folded");
            return;
        }
    }
    tr.pid = getpid();
    if (backstop_add_fd(-1, folded ? print_before_the_end : print_listings, NULL)) {
        shim_info("--trace prints when the program ends"); /* no place left on the backstop thread */
    } else if (folded) {
        for (size_t i = 0; i < ARRAY_SIZE(ends); i++)
            sigdefer_last_words(ends[i], end_by_signal);
    }
    trace_hook = on_packet;
}

void trace_at_exit(void)
{
    if (!trace_hook || tr.pid != getpid())
        return;
    if (sluice_config.trace == CFG_TRACE_FOLDED) {
        pthread_mutex_lock(&tr.lock); /* the backstop thread may still send; from here on nothing is counted */
        trace_hook = NULL;
        pthread_mutex_unlock(&tr.lock);
        print_folded();
    } else {
        print_listings(NULL);
    }
}
