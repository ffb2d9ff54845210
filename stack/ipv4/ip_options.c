/* SPDX-License-Identifier: MIT */
/* IPv4 options (RFC 791 3.1, RFC 1122 3.2.1.8): checked once on the way in, built on the way out. A host may
 * leave Record Route and Timestamp as they are; received bytes are never changed. */

#include "ip.h"

/* Each list option is type, length, pointer, entries of 4 (or 8) bytes; pointer counts from 1. */
static bool list_option_ok(const u8 *o, int min_ptr) { return o[1] >= 3 && o[2] >= min_ptr; }

static bool srr_ok(const struct ip_options *opt, const u8 *o)
{
    return !opt->srr && list_option_ok(o, 4) && (o[1] - 3) % 4 == 0;
}

static bool rr_ok(const struct ip_options *opt, const u8 *o)
{
    /* No room left (pointer behind the end) is legal, half an address is not. */
    return !opt->rr && list_option_ok(o, 4) && (o[2] > o[1] || o[2] + 3 <= o[1]);
}

static bool ts_ok(const struct ip_options *opt, const u8 *o)
{
    int need;

    if (opt->ts || o[1] < 4 || o[2] < 5)
        return false;
    if (o[2] > o[1])
        return (o[3] >> 4) < 15; /* full: the overflow count must have room */
    switch (o[3] & 0xf) {
    case IPOPT_TS_TSONLY:
        need = 4;
        break;
    case IPOPT_TS_TSANDADDR:
    case IPOPT_TS_PRESPEC:
        need = 8;
        break;
    default:
        return false;
    }
    return o[2] + need - 1 <= o[1];
}

int ip_options_compile(struct ip_options *opt, const u8 *data, int len)
{
    if (len < 0 || len > 40)
        return -EINVAL;
    memset(opt, 0, sizeof(*opt));
    memcpy(opt->data, data, (size_t)len);
    opt->optlen = (u8)len;
    for (int i = 0; i < len;) {
        const u8 *o = &opt->data[i];

        if (o[0] == IPOPT_END)
            break;
        if (o[0] == IPOPT_NOOP) {
            i++;
            continue;
        }
        if (len - i < 2 || o[1] < 2 || o[1] > len - i)
            return -EINVAL;
        switch (o[0]) {
        case IPOPT_LSRR:
        case IPOPT_SSRR:
            if (!srr_ok(opt, o))
                return -EINVAL;
            opt->srr = (u8)(i + 20); /* offsets count from the header's start, so that 0 means none */
            opt->is_strictroute = o[0] == IPOPT_SSRR;
            break;
        case IPOPT_RR:
            if (!rr_ok(opt, o))
                return -EINVAL;
            opt->rr = (u8)(i + 20);
            break;
        case IPOPT_TIMESTAMP:
            if (!ts_ok(opt, o))
                return -EINVAL;
            opt->ts = (u8)(i + 20);
            break;
        case IPOPT_RA:
            if (o[1] < 4)
                return -EINVAL;
            opt->router_alert = (u8)(i + 20);
            break;
        default: /* unknown ones are passed over (RFC 1122 3.2.1.8) */
            break;
        }
        i += o[1];
    }
    return 0;
}

int ip_options_get(struct ip_options **res, const u8 *data, int len)
{
    u8 buf[40] = {0}; /* padded with IPOPT_END */
    struct ip_options *opt;

    *res = NULL;
    if (len < 0 || len > 40)
        return -EINVAL;
    if (!len)
        return 0;
    memcpy(buf, data, (size_t)len);
    opt = malloc(sizeof(*opt));
    if (!opt)
        return -ENOMEM;
    if (ip_options_compile(opt, buf, (len + 3) & ~3))
        goto bad;
    if (opt->srr) {
        /* The first hop becomes the header's destination; the list moves up and ends with a free place for
         * the final destination, filled in by ip_options_build(). */
        u8 *o = &opt->data[opt->srr - 20];

        if (o[2] != 4 || o[1] < 7 || ((o[1] - 3) & 3))
            goto bad;
        memcpy(&opt->faddr, &o[3], 4);
        if (o[1] > 7)
            memmove(&o[3], &o[7], (size_t)o[1] - 7);
    }
    *res = opt;
    return 0;
bad:
    free(opt);
    return -EINVAL;
}

int ip_options_undo(const struct ip_options *opt, u8 *data)
{
    memcpy(data, opt->data, opt->optlen);
    if (opt->srr) {
        u8 *o = &data[opt->srr - 20];

        memmove(&o[7], &o[3], (size_t)o[1] - 7);
        memcpy(&o[3], &opt->faddr, 4);
    }
    return opt->optlen;
}

void ip_options_build(struct sk_buff *skb, const struct ip_options *opt, __be32 daddr)
{
    u8 *to = skb_network_header(skb) + sizeof(struct iphdr);

    memcpy(to, opt->data, opt->optlen);
    if (opt->srr) {
        u8 *o = &to[opt->srr - 20];

        memcpy(&o[o[1] - 4], &daddr, 4);
    }
}

void ip_options_fragment(u8 *data, int len)
{
    for (int i = 0; i < len;) {
        int n;

        if (data[i] == IPOPT_END)
            return;
        if (data[i] == IPOPT_NOOP) {
            i++;
            continue;
        }
        n = len - i < 2 ? 0 : data[i + 1];
        if (n < 2 || n > len - i)
            return;
        if (!(data[i] & 0x80)) /* the copied flag */
            memset(&data[i], IPOPT_NOOP, (size_t)n);
        i += n;
    }
}
