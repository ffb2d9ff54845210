/* SPDX-License-Identifier: MIT */
/* The filter file: parsed before the stack starts, so that a mistake is told and nothing runs unfiltered. */

#include "filter.h"
#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The next word of *s into word. False: there is none. */
static bool next_word(const char **s, char *word, size_t size)
{
    size_t n;

    *s += strspn(*s, " \t\r\n");
    n = strcspn(*s, " \t\r\n#");
    if (!n || n >= size)
        return false;
    memcpy(word, *s, n);
    word[n] = 0;
    *s += n;
    return true;
}

/* "192.0.2.0/24", "192.0.2.7" or "any". */
static bool parse_address(char *text, __be32 *addr, __be32 *mask)
{
    char *slash = strchr(text, '/'), *end;
    struct in_addr in;
    long bits = 32;

    *addr = *mask = 0;
    if (!strcmp(text, "any"))
        return true;
    if (slash) {
        *slash++ = 0;
        bits = strtol(slash, &end, 10);
        if (!isdigit((unsigned char)*slash) || *end || bits < 0 || bits > 32)
            return false;
    }
    if (inet_pton(AF_INET, text, &in) != 1)
        return false;
    *mask = bits ? htobe32(~0u << (32 - bits)) : 0;
    *addr = in.s_addr & *mask;
    return true;
}

static bool parse_port(const char *text, u16 *port)
{
    char *end;
    long v = strtol(text, &end, 10);

    *port = (u16)v;
    return isdigit((unsigned char)*text) && !*end && v >= 1 && v <= 65535;
}

static bool parse_choice(const char *word, const char *const *names, int n, int *choice)
{
    for (*choice = 0; *choice < n; ++*choice)
        if (!strcmp(word, names[*choice]))
            return true;
    return false;
}

static const char *const verdicts[] = {"drop", "accept", "reject"}, *const hooks[] = {"in", "out"}; /* as NF_VERDICT_* */
static const char *const rejects[NF_REJECT_MAX] = { /* as NF_REJECT_*; AUTO has no name */
    "", "reset", "port-unreachable", "host-unreachable", "net-unreachable", "admin-prohibited"};

/* "with ARG". NULL, or what is wrong. */
static const char *parse_with(const char *arg, struct nf_rule *r)
{
    int with;

    if (r->verdict != NF_VERDICT_REJECT)
        return "with belongs to reject";
    if (!*arg || !parse_choice(arg, rejects, NF_REJECT_MAX, &with))
        return "after with comes reset, port-unreachable, host-unreachable, net-unreachable or admin-prohibited";
    if (with == NF_REJECT_RESET && r->proto != IPPROTO_TCP)
        return "a reset belongs to tcp: name it before";
    r->reject_with = (u8)with;
    return NULL;
}

/* What follows verdict and direction. NULL, or what is wrong. */
static const char *parse_match(const char *s, struct nf_rule *r)
{
    char word[64], arg[64];
    bool to = false, side = false;

    while (next_word(&s, word, sizeof(word))) {
        if (!strcmp(word, "tcp") || !strcmp(word, "udp") || !strcmp(word, "icmp")) {
            r->proto = word[0] == 't' ? IPPROTO_TCP : word[0] == 'u' ? IPPROTO_UDP : IPPROTO_ICMP;
            continue;
        }
        if (strcmp(word, "from") && strcmp(word, "to") && strcmp(word, "port") && strcmp(word, "with"))
            return "only tcp, udp, icmp, from, to, port and with may stand here";
        if (!next_word(&s, arg, sizeof(arg)))
            return "from and to need an address, port a number, with a word";
        if (!strcmp(word, "with")) {
            const char *wrong = parse_with(arg, r);

            if (wrong)
                return wrong;
            continue;
        }
        if (!strcmp(word, "port")) {
            if (!side)
                return "port follows from ADDRESS or to ADDRESS (any is an address too)";
            if (r->proto != IPPROTO_TCP && r->proto != IPPROTO_UDP)
                return "ports belong to tcp or udp: name one of them before";
            if (!parse_port(arg, to ? &r->dport : &r->sport))
                return "a port is a number from 1 to 65535";
            continue;
        }
        side = true;
        to = word[0] == 't';
        if (!parse_address(arg, to ? &r->daddr : &r->saddr, to ? &r->dmask : &r->smask))
            return "an address is like 192.0.2.7, 192.0.2.0/24 or any";
    }
    s += strspn(s, " \t\r\n");
    return *s && *s != '#' ? "a word is too long" : NULL;
}

int filter_parse_line(const char *line, struct nf_rule *rule, const char **wrong)
{
    char word[64];
    int verdict, hook;

    memset(rule, 0, sizeof(*rule));
    if (!next_word(&line, word, sizeof(word))) {
        *wrong = "a word is too long";
        return *line && *line != '#' ? -1 : 0;
    }
    *wrong = "a rule begins with accept, drop or reject";
    if (!parse_choice(word, verdicts, 3, &verdict))
        return -1;
    *wrong = "after the verdict comes in or out";
    if (!next_word(&line, word, sizeof(word)) || !parse_choice(word, hooks, 2, &hook))
        return -1;
    rule->verdict = (u8)verdict;
    rule->hook = hook ? NF_LOCAL_OUT : NF_LOCAL_IN;
    *wrong = parse_match(line, rule);
    return *wrong ? -1 : 1;
}

static size_t print_side(char *buf, size_t len, const char *word, __be32 addr, __be32 mask, u16 port)
{
    char a[INET_ADDRSTRLEN] = "any", bits[8] = "", num[16] = "";

    if (!mask && !port)
        return 0;
    if (mask) {
        inet_ntop(AF_INET, &addr, a, sizeof(a));
        if (~mask)
            snprintf(bits, sizeof(bits), "/%d", __builtin_popcount(mask));
    }
    if (port)
        snprintf(num, sizeof(num), " port %u", port);
    return (size_t)snprintf(buf, len, " %s %s%s%s", word, a, bits, num);
}

char *filter_print(const struct nf_rule *r, char *buf, size_t len)
{
    const char *proto = r->proto == IPPROTO_TCP ? " tcp" : r->proto == IPPROTO_UDP ? " udp" : r->proto == IPPROTO_ICMP ? " icmp" : "";
    size_t n = (size_t)snprintf(buf, len, "%s %s%s", verdicts[r->verdict], hooks[r->hook == NF_LOCAL_OUT], proto);

    n += print_side(buf + n, len - n, "from", r->saddr, r->smask, r->sport);
    n += print_side(buf + n, len - n, "to", r->daddr, r->dmask, r->dport);
    if (r->reject_with)
        snprintf(buf + n, len - n, " with %s", rejects[r->reject_with]);
    return buf;
}

int filter_load(const char *path, int (*add)(void *arg, const struct nf_rule *rule), void *arg, char *why, size_t len)
{
    FILE *f = fopen(path, "re");
    struct nf_rule rule;
    const char *wrong;
    char line[512];
    u32 n = 0;
    int r;

    if (!f) {
        r = -errno;
        snprintf(why, len, "the filter file %s cannot be read: %s", path, strerror(-r));
        return r;
    }
    for (r = 0; r >= 0 && fgets(line, sizeof(line), f);) {
        n++;
        wrong = "it is too long";
        r = strchr(line, '\n') || feof(f) ? filter_parse_line(line, &rule, &wrong) : -1;
        rule.line = n;
        if (r < 0)
            snprintf(why, len, "line %u of the filter file %s is wrong: %s", n, path, wrong);
        else if (r > 0 && add && add(arg, &rule))
            r = -1, snprintf(why, len, "there is no memory for the rules of %s", path);
    }
    if (r >= 0 && ferror(f)) { /* a directory opens, and fails here */
        r = -errno;
        snprintf(why, len, "the filter file %s cannot be read: %s", path, strerror(-r));
        fclose(f);
        return r;
    }
    fclose(f);
    return r < 0 ? -EINVAL : 0;
}
