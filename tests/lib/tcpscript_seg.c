/* SPDX-License-Identifier: MIT */
/* Segments: text <-> struct <-> frame. Own code and no helper of the stack's but the checksum of a block, so that the tests
 * do not repeat the stack's mistakes. */

#include "tcpscript_seg.h"
#include <ctype.h>
#include <linux/if_ether.h>

static const char flag_letters[] = "FSRPAUEW";

int seg_flags(const char *letters)
{
    int flags = 0;

    for (; *letters; letters++) {
        const char *p = strchr(flag_letters, *letters);
        if (!p)
            cr_assert_fail("script: unknown flag letter '%c'", *letters);
        flags |= 1 << (p - flag_letters);
    }
    return flags;
}

static u16 sum16(const u8 *p, u32 len, u32 sum)
{
    for (u32 i = 0; i < len; i++)
        sum += i & 1 ? p[i] : (u32)p[i] << 8;
    while (sum >> 16)
        sum = (sum & 0xffff) + (sum >> 16);
    return (u16)~sum;
}

static u32 pseudo(const u8 *ip, u32 tcplen)
{
    u32 sum = ip[9] + tcplen;

    for (int i = 12; i < 20; i += 2)
        sum += (u32)ip[i] << 8 | ip[i + 1];
    return sum;
}

static void put16(u8 *p, u32 v)
{
    p[0] = (u8)(v >> 8);
    p[1] = (u8)v;
}
static void put32(u8 *p, u32 v)
{
    put16(p, v >> 16);
    put16(p + 2, v);
}
static u16 get16(const u8 *p) { return (u16)(p[0] << 8 | p[1]); }
static u32 get32(const u8 *p) { return (u32)get16(p) << 16 | get16(p + 2); }

/* ---- options ------------------------------------------------------------------------------------------------ */

int seg_opt_build(const struct flow *f, const char *text, u8 *out)
{
    u8 *p = out;
    unsigned a, b, n;
    int used;

    while (*text) {
        while (*text == ',' || *text == ' ')
            text++;
        used = 0;
        if (sscanf(text, "mss %u%n", &a, &used) == 1 && used) {
            p[0] = 2;
            p[1] = 4;
            put16(p + 2, a);
            p += 4;
        } else if (!strncmp(text, "sackOK", 6)) {
            used = 6;
            p[0] = 4;
            p[1] = 2;
            p += 2;
        } else if (sscanf(text, "TS val %u ecr %u%n", &a, &b, &used) == 2 && used) {
            p[0] = 8;
            p[1] = 10;
            put32(p + 2, a);
            put32(p + 6, b ? f->ts_base + b - 1 : 0);
            p += 10;
        } else if (sscanf(text, "wscale %u%n", &a, &used) == 1 && used) {
            p[0] = 3;
            p[1] = 3;
            p[2] = (u8)a;
            p += 3;
        } else if (!strncmp(text, "nop", 3)) {
            used = 3;
            *p++ = 1;
        } else if (!strncmp(text, "eol", 3)) {
            used = 3;
            *p++ = 0;
        } else if (sscanf(text, "sack %u %n", &n, &used) == 1 && used) {
            p[0] = 5;
            p[1] = (u8)(2 + 8 * n);
            p += 2;
            for (text += used; n; n--) {
                if (sscanf(text, "{%u:%u}%n", &a, &b, &used) != 2)
                    return -1;
                put32(p, f->isn + a);
                put32(p + 4, f->isn + b);
                p += 8;
                if (n > 1)
                    text += used;
            }
        } else if (!strncmp(text, "tfo cookiereq", 13)) {
            used = 13;
            *p++ = 34;
            *p++ = 2;
        } else if (!strncmp(text, "tfo cookie ", 11)) {
            u8 *start = p;
            text += 11;
            p += 2;
            for (used = 0; isxdigit((unsigned char)text[used]) && isxdigit((unsigned char)text[used + 1]); used += 2) {
                sscanf(text + used, "%2x", &a);
                *p++ = (u8)a;
            }
            start[0] = 34;
            start[1] = (u8)(p - start);
        } else if (sscanf(text, "raw %n", &used), !strncmp(text, "raw ", 4)) {
            text += 4;
            for (used = 0; isxdigit((unsigned char)text[used]) && isxdigit((unsigned char)text[used + 1]); used += 2) {
                sscanf(text + used, "%2x", &a);
                *p++ = (u8)a;
            }
        } else {
            return -1;
        }
        text += used;
    }
    while ((p - out) % 4)
        *p++ = 0;
    return (int)(p - out);
}

u32 seg_find_ts(const struct wire *w, u32 *ecr, bool *found)
{
    *found = false;
    for (u32 i = 0; i < w->optlen && w->opt[i];) {
        if (w->opt[i] == 1) {
            i++;
            continue;
        }
        if (w->opt[i] == 8 && i + 10 <= w->optlen) {
            *found = true;
            if (ecr)
                *ecr = get32(w->opt + i + 6);
            return get32(w->opt + i + 2);
        }
        if (i + 1 >= w->optlen || w->opt[i + 1] < 2)
            break;
        i += w->opt[i + 1];
    }
    return 0;
}

void seg_opt_text(const struct flow *f, const struct wire *w, char *out, size_t size)
{
    const char *sep = "";
    size_t n = 0;

    *out = 0;
#define ADD(...) n += (size_t)snprintf(out + n, n < size ? size - n : 0, __VA_ARGS__)
    for (u32 i = 0; i < w->optlen && n < size;) {
        const u8 *o = w->opt + i;
        u32 left = w->optlen - i, olen = left > 1 ? o[1] : 0;

        ADD("%s", sep);
        sep = ",";
        if (o[0] == 1) {
            ADD("nop");
            i++;
            continue;
        }
        if (o[0] == 0) {
            ADD("eol");
            break;
        }
        if (olen < 2 || olen > left) {
            ADD("bad opt %u", o[0]);
            break;
        }
        if (o[0] == 2 && olen == 4)
            ADD("mss %u", get16(o + 2));
        else if (o[0] == 3 && olen == 3)
            ADD("wscale %u", o[2]);
        else if (o[0] == 4 && olen == 2)
            ADD("sackOK");
        else if (o[0] == 8 && olen == 10) {
            u32 val = get32(o + 2), ecr = get32(o + 6);
            if (w->from_stack)
                val = val - f->ts_base + 1;
            else
                ecr = ecr ? ecr - f->ts_base + 1 : 0;
            ADD("TS val %u ecr %u", val, ecr);
        } else if (o[0] == 5) {
            u32 base = w->from_stack ? f->peer_isn : f->isn;
            ADD("sack %u ", (olen - 2) / 8);
            for (u32 k = 2; k + 8 <= olen; k += 8)
                ADD("{%u:%u}", get32(o + k) - base, get32(o + k + 4) - base);
        } else if (o[0] == 34 && olen == 2) {
            ADD("tfo cookiereq");
        } else if (o[0] == 34) {
            ADD("tfo cookie ");
            for (u32 k = 2; k < olen; k++)
                ADD("%02x", o[k]);
        } else
            ADD("opt-%u:%u", o[0], olen);
        i += olen;
    }
#undef ADD
}

void seg_text(const struct flow *f, const struct wire *w, char *out, size_t size)
{
    char opts[256], flags[12];
    int n = 0;
    u32 sbase = w->from_stack ? f->isn : f->peer_isn, abase = w->from_stack ? f->peer_isn : f->isn;
    u32 rseq = w->seq - sbase;
    static const char order[] = "SFRPUEWA";

    for (const char *c = order; *c; c++)
        if (w->flags & (1 << (strchr(flag_letters, *c) - flag_letters)))
            flags[n++] = *c == 'A' ? '.' : *c;
    flags[n] = 0;
    seg_opt_text(f, w, opts, sizeof(opts));
    n = snprintf(out, size, "%s %llu.%06llu %s.%u > %s.%u: Flags [%s], seq %u", w->from_stack ? "tx" : "rx",
                 (unsigned long long)(w->when / NSEC_PER_SEC), (unsigned long long)(w->when % NSEC_PER_SEC / 1000),
                 w->from_stack ? "10.0.0.1" : "10.0.0.2", w->from_stack ? w->lport : w->sport,
                 w->from_stack ? "10.0.0.2" : "10.0.0.1", w->from_stack ? w->sport : w->lport, flags, rseq);
    if (w->len)
        n += snprintf(out + n, size - (size_t)n, ":%u", rseq + w->len);
    if (w->flags & 0x10)
        n += snprintf(out + n, size - (size_t)n, ", ack %u", w->ack - abase);
    n += snprintf(out + n, size - (size_t)n, ", win %u", w->win);
    if (w->flags & 0x20)
        n += snprintf(out + n, size - (size_t)n, ", urg %u", w->urg);
    if (w->optlen)
        n += snprintf(out + n, size - (size_t)n, ", options [%s]", opts);
    snprintf(out + n, size - (size_t)n, ", length %u%s", w->len, (w->tos & 3) == 3 ? " (CE)" : "");
}

/* ---- frames ---------------------------------------------------------------------------------------------------- */

/* Ethernet and IP headers of a packet with len bytes behind the IP header. */
static void put_ip(u8 *buf, const u8 *dst_mac, u32 src, u32 dst, u8 proto, u8 tos, u32 len)
{
    static u16 ident;
    u8 *ip = buf + 14;

    memcpy(buf, dst_mac, 6);
    memcpy(buf + 6, "\x02\0\0\0\0\x02", 6);
    put16(buf + 12, ETH_P_IP);
    memset(ip, 0, 20);
    ip[0] = 0x45;
    ip[1] = tos;
    put16(ip + 2, 20 + len);
    put16(ip + 4, ++ident);
    put16(ip + 6, 0x4000);
    ip[8] = 64;
    ip[9] = proto;
    put32(ip + 12, src);
    put32(ip + 16, dst);
    put16(ip + 10, sum16(ip, 20, 0));
}

u32 seg_frame(const struct wire *w, const struct seg *s, const u8 *dst_mac, u8 *buf)
{
    u8 *ip = buf + 14, *tcp = ip + 20;
    u32 thl = 20 + w->optlen;
    u16 sum;

    put_ip(buf, dst_mac, SCRIPT_PEER, SCRIPT_LOCAL, IPPROTO_TCP, w->tos, thl + w->len);
    if (s->bad_ip_csum)
        ip[10] ^= 1;
    put16(tcp, w->sport);
    put16(tcp + 2, w->lport);
    put32(tcp + 4, w->seq);
    put32(tcp + 8, w->ack);
    tcp[12] = (u8)((s->doff >= 0 ? (u32)s->doff : thl / 4) << 4);
    tcp[13] = s->flag_byte >= 0 ? (u8)s->flag_byte : w->flags;
    put16(tcp + 14, w->win);
    put16(tcp + 16, 0);
    put16(tcp + 18, w->urg);
    memcpy(tcp + 20, w->opt, w->optlen);
    memcpy(tcp + thl, w->data, w->len);
    sum = sum16(tcp, thl + w->len, pseudo(ip, thl + w->len));
    put16(tcp + 16, s->bad_csum ? sum ^ 0x0101 : sum);
    return 14 + 20 + thl + w->len - (u32)s->cut;
}

u32 seg_icmp_frame(const struct flow *f, int type, int code, u32 info, u32 seq, const u8 *dst_mac, u8 *buf)
{
    u8 *icmp = buf + 34, *tcp = icmp + 28, inner[34];

    put_ip(inner, dst_mac, SCRIPT_LOCAL, SCRIPT_PEER, IPPROTO_TCP, 0, 20); /* the packet that is complained about */
    icmp[0] = (u8)type;
    icmp[1] = (u8)code;
    put16(icmp + 2, 0);
    put32(icmp + 4, info);
    memcpy(icmp + 8, inner + 14, 20);
    put16(tcp, f->lport);
    put16(tcp + 2, f->sport);
    put32(tcp + 4, seq);
    put16(icmp + 2, sum16(icmp, 36, 0));
    put_ip(buf, dst_mac, SCRIPT_PEER, SCRIPT_LOCAL, IPPROTO_ICMP, 0, 36);
    return 34 + 36;
}

const char *seg_parse(const u8 *frame, u32 len, struct wire *w)
{
    const u8 *ip = frame + 14, *tcp;
    u32 ihl, total, thl;

    memset(w, 0, sizeof(*w));
    w->from_stack = true;
    if (len < 14 + 20)
        return "shorter than an IP header";
    if (memcmp(frame, "\x02\0\0\0\0\x02", 6))
        return "not sent to the peer's MAC address";
    if (get16(frame + 12) != ETH_P_IP)
        return "not IPv4";
    ihl = (ip[0] & 15) * 4u;
    total = get16(ip + 2);
    if (ip[0] >> 4 != 4 || ihl < 20 || total < ihl || 14 + total > len)
        return "IP version or length is wrong";
    if (sum16(ip, ihl, 0))
        return "IP header checksum is wrong";
    if (get32(ip + 12) != SCRIPT_LOCAL || get32(ip + 16) != SCRIPT_PEER)
        return "IP addresses are wrong";
    if (get16(ip + 6) & 0x3fff)
        return "is a fragment";
    w->tos = ip[1];
    w->ttl = ip[8];
    w->df = ip[6] & 0x40;
    w->ip_id = get16(ip + 4);
    for (u32 i = 20; i < ihl; i++)
        snprintf(w->ip_opt + 2 * (i - 20), 3, "%02x", ip[i]);
    w->proto = ip[9];
    if (w->proto != 6)
        return NULL;
    tcp = ip + ihl;
    if (total < ihl + 20)
        return "shorter than a TCP header";
    thl = (tcp[12] >> 4) * 4u;
    if (thl < 20 || ihl + thl > total)
        return "TCP header length is wrong";
    if (sum16(tcp, total - ihl, pseudo(ip, total - ihl)))
        return "TCP checksum is wrong";
    w->lport = get16(tcp);
    w->sport = get16(tcp + 2);
    w->seq = get32(tcp + 4);
    w->ack = get32(tcp + 8);
    w->flags = tcp[13];
    w->win = get16(tcp + 14);
    w->urg = get16(tcp + 18);
    w->optlen = thl - 20;
    memcpy(w->opt, tcp + 20, w->optlen);
    w->len = total - ihl - thl;
    if (w->len > sizeof(w->data))
        return "longer than the device's MTU";
    memcpy(w->data, tcp + thl, w->len);
    return NULL;
}
