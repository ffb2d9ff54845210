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
        if (strcmp(word, "from") && strcmp(word, "to") && strcmp(word, "port"))
            return "only tcp, udp, icmp, from, to and port may stand here";
        if (!next_word(&s, arg, sizeof(arg)))
            return "from and to need an address, port a number";
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
    static const char *const verdicts[] = {"drop", "accept", "reject"}, *const hooks[] = {"in", "out"};
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
    rule->verdict = (u8)verdict; /* in the order of NF_VERDICT_* */
    rule->hook = hook ? NF_LOCAL_OUT : NF_LOCAL_IN;
    *wrong = parse_match(line, rule);
    return *wrong ? -1 : 1;
}

int filter_load(struct net *net, const char *path, char *why, size_t len)
{
    FILE *f = fopen(path, "re");
    struct nf_rule rule;
    const char *wrong;
    char line[512];
    int n = 0, r;

    if (!f) {
        r = -errno;
        snprintf(why, len, "the filter file %s cannot be read: %s", path, strerror(-r));
        return r;
    }
    for (r = 0; r >= 0 && fgets(line, sizeof(line), f);) {
        n++;
        r = filter_parse_line(line, &rule, &wrong);
        if (r < 0)
            snprintf(why, len, "line %d of the filter file %s is wrong: %s", n, path, wrong);
        else if (r > 0 && nf_add_rule(net, &rule))
            r = -1, snprintf(why, len, "there is no memory for the rules of %s", path);
    }
    fclose(f);
    return r < 0 ? -EINVAL : 0;
}
