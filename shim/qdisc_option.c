/* SPDX-License-Identifier: MIT */
/* Parser of the option `qdisc`. */

#include "qdisc_option.h"
#include <ctype.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>

enum unit { PACKETS, BYTES, RATE };
static const struct parameter {
    const char *name;
    u8 kinds; /* bits of enum qdisc_kind */
    enum unit unit;
    size_t offset;
} parameters[] = {
    {"limit", 1 << QDISC_PFIFO_FAST | 1 << QDISC_FQ, PACKETS, offsetof(struct qdisc_option, limit)},
    {"limit", 1 << QDISC_TBF, BYTES, offsetof(struct qdisc_option, limit)},
    {"flow_limit", 1 << QDISC_FQ, PACKETS, offsetof(struct qdisc_option, flow_limit)},
    {"quantum", 1 << QDISC_FQ, BYTES, offsetof(struct qdisc_option, quantum)},
    {"initial_quantum", 1 << QDISC_FQ, BYTES, offsetof(struct qdisc_option, initial_quantum)},
    {"maxrate", 1 << QDISC_FQ, RATE, offsetof(struct qdisc_option, rate)},
    {"rate", 1 << QDISC_TBF, RATE, offsetof(struct qdisc_option, rate)},
    {"burst", 1 << QDISC_TBF, BYTES, offsetof(struct qdisc_option, burst)},
};

static bool is(const char *s, size_t len, const char *word) { return strlen(word) == len && !memcmp(s, word, len); }

/* The number at the beginning; *unit is what follows. False: none, or too large. */
static bool parse_number(const char *s, size_t len, u64 *res, const char **unit)
{
    size_t i = 0;

    for (*res = 0; i < len && isdigit((unsigned char)s[i]); i++)
        if (__builtin_mul_overflow(*res, 10, res) || __builtin_add_overflow(*res, (u64)(s[i] - '0'), res))
            return false;
    *unit = s + i;
    return i > 0;
}

/* "10mbit": into bytes/s. */
static bool parse_rate(const char *s, size_t len, u64 *res)
{
    static const struct {
        const char *name;
        u64 bits;
    } units[] = {{"bit", 1}, {"kbit", 1000}, {"mbit", 1000000}, {"gbit", 1000000000}};
    const char *unit;

    if (!parse_number(s, len, res, &unit))
        return false;
    for (size_t i = 0; i < ARRAY_SIZE(units); i++)
        if (is(unit, len - (size_t)(unit - s), units[i].name))
            return !__builtin_mul_overflow(*res, units[i].bits, res) && (*res /= 8) >= 1 && *res <= 1000000000000ull;
    return false;
}

/* "1500", "64k", "1m" (of 1024, as tc has it). */
static bool parse_size(const char *s, size_t len, u64 *res)
{
    const char *unit;
    u64 times;

    if (!parse_number(s, len, res, &unit))
        return false;
    len -= (size_t)(unit - s);
    times = !len ? 1 : is(unit, len, "k") ? 1024 : is(unit, len, "m") ? 1024 * 1024 : 0;
    return times && !__builtin_mul_overflow(*res, times, res) && *res >= 1 && *res <= 1u << 30;
}

static const char *parse_value(const struct parameter *p, const char *s, size_t len, struct qdisc_option *q)
{
    void *field = (char *)q + p->offset;
    const char *unit;
    u64 v = 0;

    switch (p->unit) {
    case RATE:
        if (!parse_rate(s, len, &v))
            return "a rate is like 500kbit, 10mbit or 1gbit";
        *(u64 *)field = v;
        return NULL;
    case BYTES:
        if (!parse_size(s, len, &v))
            return "a number of bytes is like 3000, 64k or 1m";
        break;
    case PACKETS:
        if (!parse_number(s, len, &v, &unit) || unit != s + len || v < 1 || v > 1000000)
            return "a number of packets is from 1 to 1000000";
        break;
    }
    *(u32 *)field = (u32)v;
    return NULL;
}

static const char *parse_parameter(const char *s, size_t len, struct qdisc_option *q)
{
    static const char *const wrong[] = {"pfifo_fast has only limit", "fq has limit, flow_limit, quantum, initial_quantum and maxrate",
                                        "tbf has rate, burst and limit"};
    const char *eq = memchr(s, '=', len);
    size_t key = eq ? (size_t)(eq - s) : len;

    for (size_t i = 0; i < ARRAY_SIZE(parameters); i++) {
        const struct parameter *p = &parameters[i];

        if ((p->kinds & 1 << q->kind) && is(s, key, p->name))
            return eq ? parse_value(p, eq + 1, len - key - 1, q) : "each parameter is NAME=VALUE";
    }
    return wrong[q->kind];
}

const char *qdisc_option_parse(const char *text, struct qdisc_option *res)
{
    static const char *const kinds[] = {"pfifo_fast", "fq", "tbf"}; /* as enum qdisc_kind */
    struct qdisc_option q = {0};
    size_t n = strcspn(text, ",");
    unsigned kind = 0;

    while (kind < ARRAY_SIZE(kinds) && !is(text, n, kinds[kind]))
        kind++;
    if (kind == ARRAY_SIZE(kinds))
        return "the disciplines are pfifo_fast, fq and tbf";
    q.kind = (enum qdisc_kind)kind;
    while (text[n]) {
        const char *wrong;

        text += n + 1;
        n = strcspn(text, ",");
        wrong = parse_parameter(text, n, &q);
        if (wrong)
            return wrong;
    }
    if (q.kind == QDISC_TBF && (!q.rate || !q.burst))
        return "tbf needs rate and burst";
    if (q.kind == QDISC_TBF && q.limit && q.limit < q.burst)
        return "tbf's limit is less than its burst";
    *res = q;
    return NULL;
}
