/* SPDX-License-Identifier: MIT */
/* Names of the counters and drop reasons: the lists of mib.h once more. */

#include "mib.h"

static const char *const mib_names[] = {
#define X(name, text) text,
    MIB_LIST(X)
#undef X
};

static const char *const drop_names[] = {
#define X(name, text) #name,
    DROP_REASON_LIST(X)
#undef X
};

static const char *const drop_texts[] = {
#define X(name, text) text,
    DROP_REASON_LIST(X)
#undef X
};

const char *mib_name(enum linux_mib f)
{
    return (unsigned)f < __MIB_MAX ? mib_names[f] : "?";
}

const char *drop_reason_name(enum skb_drop_reason r)
{
    return (unsigned)r < __SKB_DROP_REASON_MAX ? drop_names[r] : "?";
}

const char *drop_reason_text(enum skb_drop_reason r)
{
    return (unsigned)r < __SKB_DROP_REASON_MAX ? drop_texts[r] : "?";
}
